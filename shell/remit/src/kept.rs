//! What is kept of calls beside the journal: shown to who may see it, or destroyed for ever.
//!
//! An entry tells nothing of a call's arguments or its result but a commitment, salted with what only the space's key gives. Who sees what is
//! kept is on record before it is shown.

use http::{Method, StatusCode};
use remit_gateway::{Committed, KeptFacts, NoKey, NotKept, SpaceKeys, commitment};
use remit_kernel::recorded::Recorded;
use remit_model::Person;
use serde_json::{Value, json};

use crate::cli;
use crate::commands::operator;
use crate::fields::{Refused, away, bad};
use crate::home::Home;
use crate::output::{FAILURE, Failure, Printer, warn};
use crate::up::World;

/// A decision's entry, as far as it leads to what is kept of it.
struct Asked {
    index: u64,
    decision: String,
    space: String,
    facts_digest: Option<String>,
    arguments: Option<String>,
    outcome: Option<(u64, Option<String>)>,
}

impl Asked {
    fn of(found: &Value) -> Option<Self> {
        let entry = found.get("entry")?;
        let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
        if text(entry, "type").as_deref() != Some("decision") {
            return None;
        }
        let outcome_index = found.get("outcome_index").and_then(Value::as_u64);
        let outcome = found.get("outcome").map(|outcome| text(outcome, "result_commitment"));
        Some(Self {
            index: found.get("index").and_then(Value::as_u64)?,
            decision: text(entry, "id")?,
            space: text(entry, "space")?,
            facts_digest: text(entry, "facts_digest"),
            arguments: text(entry, "arguments_commitment"),
            outcome: outcome_index.zip(outcome),
        })
    }

    /// What is kept, and whether it is what the entries committed to.
    fn revealed(&self, kept: &mut KeptFacts) -> Value {
        let arguments = match (&self.arguments, &self.facts_digest) {
            (None, _) => Err("the call had none, or no space knew it".to_owned()),
            (Some(_), None) => Err("none were kept of this call".to_owned()),
            (Some(committed), Some(digest)) => self.arguments(kept, digest).map(|text| (text, committed)),
        };
        let result = match &self.outcome {
            None => Err("the call has no outcome yet, or none was recorded".to_owned()),
            Some((_, None)) => Err("it has none".to_owned()),
            Some((index, Some(committed))) => kept
                .kept_result(*index, &self.space, &self.decision)
                .map_err(|error| match error {
                    NotKept::Gone => "it isn't there: its space keeps no results, or its time is over".to_owned(),
                    other => other.to_string(),
                })
                .map(|bytes| (String::from_utf8_lossy(&bytes).into_owned(), committed)),
        };
        json!({
            "index": self.index, "decision": self.decision, "space": self.space,
            "arguments": self.told(kept, Committed::Arguments, arguments), "result": self.told(kept, Committed::Result, result),
        })
    }

    fn arguments(&self, kept: &mut KeptFacts, digest: &str) -> Result<String, String> {
        let text = kept.facts(self.index, &self.space, &self.decision, digest).map_err(|error| error.to_string())?;
        let recorded = Recorded::read(&text).map_err(|error| error.to_string())?;
        recorded.arguments_text().map(str::to_owned).ok_or_else(|| "none were kept of this call".to_owned())
    }

    fn told(&self, kept: &KeptFacts, what: Committed, found: Result<(String, &String), String>) -> Value {
        let (text, committed) = match found {
            Ok(found) => found,
            Err(why) => return json!({"missing": why}),
        };
        let salt = kept.keys().salt(&self.space, what, &self.decision).ok().flatten();
        let salt = salt.filter(|salt| commitment(salt, text.as_bytes()) == *committed);
        json!({"text": text, "commitment": committed, "salt": salt.map(|salt| remit_mcp::canonical::hex(&salt)), "committed": salt.is_some()})
    }
}

impl World {
    /// What is kept of a call.
    pub(crate) async fn reveal(&self, person: &Person, entry: &str, reason: &str) -> Result<Value, Refused> {
        let found = self.decisions.answer(&self.journal, "get", json!({"id": entry})).await?;
        let asked = Asked::of(&found)
            .ok_or_else(|| bad("this entry is no decision: `remit log --type decision` shows those that are"))?;
        let event = json!({
            "index": asked.index, "decision": asked.decision, "space": asked.space, "reason": reason, "by": person.id, "proof": person.proof,
        });
        self.recorded("revealed", event).await?;
        let (home, keys) = (self.home.clone(), self.gateway.space_keys());
        let read = move || -> Result<Value, Failure> {
            let key = home.existing_history_key()?;
            let kept = KeptFacts::with_keys(&key, &home.facts(), &home.facts_shared(), keys);
            let mut kept = kept.ok_or_else(|| Failure::new("the history key is not fit"))?;
            Ok(asked.revealed(&mut kept))
        };
        let told = tokio::task::spawn_blocking(read).await.map_err(away)?;
        told.map_err(|failure| away(failure.message))
    }

    /// Destroys the key of a space, once that is on record.
    pub(crate) async fn destroy_space_key(&self, person: &Person, space: &str, reason: &str) -> Result<Value, Refused> {
        let known =
            self.gateway.snapshot().spaces.contains_key(space) || self.home.space_keys().join(format!("{space}.key")).is_file();
        if !known || space.contains('/') {
            return Err((StatusCode::NOT_FOUND, format!("there is no space `{space}`")));
        }
        let _turn = self.retention.turn.lock().await;
        let holds = self.holds().await?;
        // A hold keeps what is kept of calls as well, whichever of them it means.
        let held = holds.iter().find(|(_, hold)| hold.may_be_in(space)).map(|(name, _)| name.clone());
        if let Some(name) = held {
            return Err((StatusCode::CONFLICT, format!("the legal hold `{name}` keeps records of `{space}`: release it first")));
        }
        let open = self.gateway.approvals_open_in(space);
        if open > 0 {
            let why = format!("{open} approvals of `{space}` are open: decide them or take them back first");
            return Err((StatusCode::CONFLICT, why));
        }
        let event = json!({"space": space, "reason": reason, "by": person.id, "proof": person.proof});
        self.recorded("space_key_destroyed", event).await?;
        let (gateway, named) = (self.gateway.clone(), space.to_owned());
        let destroyed = tokio::task::spawn_blocking(move || gateway.destroy_space_key(&named)).await.map_err(away)?;
        destroyed.map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}: it is on record, and not done; ask again")))?;
        Ok(json!({"space": space, "destroyed": true}))
    }
}

/// Looks whether the keys of spaces can be opened. Those that can't are given up where `forget` says so; else nothing starts: no call in these spaces
/// could be recorded.
pub(crate) fn keys_checked(home: &Home, forget: bool) -> Result<(), Failure> {
    let keys =
        SpaceKeys::new(&*home.history_key()?, home.space_keys()).ok_or_else(|| Failure::new("the history key is not fit"))?;
    let keys = keys.shared_by(home.shared().cloned().map(crate::cluster::share_space_keys));
    let fault = |error: NoKey| Failure::new(error.to_string());
    let lost = keys.unopened().map_err(fault)?;
    if lost.is_empty() {
        return Ok(());
    }
    let spaces = lost.join(", ");
    if !forget {
        return Err(Failure::new(format!(
            "the keys of spaces can't be opened ({spaces}): `history.key` is not the one that sealed them, or they are damaged. Restore it, or start \
             once with --forget-history: what was kept of their calls is then lost, and nothing before counts for rules that look back"
        )));
    }
    lost.iter().try_for_each(|space| keys.destroy(space)).map_err(fault)?;
    warn(&format!("what was kept of calls in these spaces can't be opened any more, as --forget-history says: {spaces}"));
    Ok(())
}

/// `remit reveal`.
pub(crate) async fn run(options: &cli::Reveal) -> Result<(), Failure> {
    let home = Home::existing(&options.because.common.data)?;
    let request = json!({"entry": options.entry, "by": options.because.by, "reason": options.because.reason});
    let told = operator(&home, Method::POST, "/v1/reveal", Some(&request)).await?;
    let printer = Printer::new(options.because.common.json);
    let mut differs = false;
    for what in ["arguments", "result"] {
        let of = told.get(what).unwrap_or(&Value::Null);
        let text = |key: &str| of.get(key).and_then(Value::as_str);
        differs |= of.get("committed") == Some(&json!(false));
        if printer.json {
            continue;
        }
        match (text("text"), text("missing")) {
            (Some(shown), _) => {
                let is_same = of.get("committed") == Some(&json!(true));
                let held = if is_same { "what the journal committed to" } else { "NOT what the journal committed to" };
                printer.line(&format!("{what}, {held}:"))?;
                printer.line(&crate::approvals::plain(shown))?;
            }
            (None, why) => printer.line(&format!("{what}: {}", why.unwrap_or_default()))?,
        }
    }
    if printer.json {
        printer.line(&told.to_string())?;
    }
    if differs { Err(Failure::said(FAILURE)) } else { Ok(()) }
}
