//! Secrets that are kept for servers, and client secrets of agents: `remit secret`, `remit agent-secret`, and what they do in the gateway.
//!
//! While a gateway is up it alone writes its store, so the commands ask it; else they write the store themselves. A value is taken out of
//! the question that brings it before anything else is done: no entry, no error and no answer has it.

use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use remit_authority::{Directory as _, client_secret_new};
use remit_model::{AgentId, Person};
use remit_store::{SqliteStore, Store as _, StoreError, check_secret};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::aws::set;
use crate::cli::{AgentSecret, Common, Secret};
use crate::commands::operator;
use crate::fields::{Refused, away, bad};
use crate::home::Home;
use crate::now_secs;
use crate::output::{FAILURE, Failure, Printer};
use crate::shared::{RESERVED, agent_secret_new};
use crate::up::World;

/// What came of a question.
pub(crate) type Answer = Result<Value, Refused>;

impl World {
    /// Answers what a person asks about secrets. What changes something is on record first.
    pub(crate) async fn answer_secrets(&self, person: &Person, what: &str, mut request: Value) -> Answer {
        let store = &self.shared.store;
        match what {
            "list" => listed(store).map_err(away),
            "put" => {
                let value = value_of(&mut request)?;
                let name = name_of(&request, &value)?;
                let _turn = self.shared.turn.lock().await;
                self.note_secret("secret_put", ("name", name), person, &request).await?;
                store.secret_put(name, &value, now_secs()).map_err(away)?;
                self.gateway.secrets_changed();
                Ok(json!({"name": name}))
            }
            "delete" => {
                let name = name_of(&request, &[])?;
                let _turn = self.shared.turn.lock().await;
                let deleted = store.secret_list().map_err(away)?.iter().any(|info| info.name == name);
                if deleted {
                    self.note_secret("secret_deleted", ("name", name), person, &request).await?;
                    store.secret_delete(name).map_err(away)?;
                    self.gateway.secrets_changed();
                }
                Ok(json!({"name": name, "deleted": deleted}))
            }
            "agent" => self.issue_agent_secret(person, &request).await,
            _ => Err((StatusCode::NOT_FOUND, "no such endpoint".to_owned())),
        }
    }

    async fn issue_agent_secret(&self, person: &Person, request: &Value) -> Answer {
        let agent = text(request, "agent");
        // No change of the configuration is under way: one that was made ready before would put the old digest back.
        let _one = self.reloading.lock().await;
        let organization = self.shared.organization();
        let agent = organization.agents.get(agent).map(|agent| &agent.id).ok_or_else(|| {
            let why = format!("no agent `{agent}` is registered with the gateway that is up");
            (StatusCode::NOT_FOUND, why)
        })?;
        let (secret, digest) = client_secret_new().map_err(away)?;
        self.note_secret("agent_secret", ("agent", agent.as_str()), person, request).await?;
        self.shared.replace_secret(agent, &digest, &person.id).map_err(|failure| away(failure.message))?;
        Ok(json!({"agent": agent, "client_id": agent, "client_secret": secret.as_str()}))
    }

    async fn note_secret(&self, kind: &str, about: (&str, &str), person: &Person, request: &Value) -> Result<(), Refused> {
        let mut event = json!({about.0: about.1, "by": person.id});
        for key in ["proof", "access_key_id"] {
            if let Some(said) = request.get(key) {
                set(&mut event, key, said.clone());
            }
        }
        self.gateway.record(kind, event).await.map(drop).map_err(away)
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A text, taken out of where it stands and wiped after its use.
fn taken(from: &mut Value, key: &str) -> Option<Zeroizing<String>> {
    match from.as_object_mut()?.remove(key)? {
        Value::String(text) => Some(Zeroizing::new(text)),
        _ => None,
    }
}

/// The value that a question brings.
fn value_of(request: &mut Value) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let value = match (taken(request, "value"), taken(request, "value_base64")) {
        (Some(mut text), None) => Zeroizing::new(std::mem::take(&mut *text).into_bytes()),
        (None, Some(text)) => {
            let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
            // The library's own error tells a byte of what it read.
            STANDARD.decode_vec(text.as_bytes(), &mut bytes).map_err(|_| bad("`value_base64` is not base64"))?;
            bytes
        }
        _ => return Err(bad("one of `value` and `value_base64` is needed")),
    };
    if value.is_empty() { Err(bad("a secret has one byte at least")) } else { Ok(value) }
}

/// The name of a question, which fits as the value does.
fn name_of<'a>(request: &'a Value, value: &[u8]) -> Result<&'a str, Refused> {
    let name = text(request, "name");
    if let Some(why) = reserved(name) {
        return Err(bad(why));
    }
    check_secret(name, value, now_secs()).map_err(|error| bad(error.to_string()))?;
    Ok(name)
}

fn reserved(name: &str) -> Option<String> {
    name.starts_with(RESERVED).then(|| format!("names that begin with `{RESERVED}` are Remit's own"))
}

/// Names and times of all that is kept.
fn listed(store: &SqliteStore) -> Result<Value, StoreError> {
    let told = store
        .secret_list()?
        .into_iter()
        .map(|info| json!({"name": info.name, "created_at_secs": info.created_at_secs, "updated_at_secs": info.updated_at_secs}));
    Ok(json!({"secrets": told.collect::<Vec<_>>()}))
}

/// Who writes the store of a data directory.
enum Keeper {
    /// The gateway that is up on it.
    Gateway(Home),
    /// This process.
    Store(Arc<SqliteStore>),
}

impl Keeper {
    fn of(common: &Common) -> Result<Self, Failure> {
        let home = Home::create(&common.data)?;
        Ok(if home.running().is_ok() { Self::Gateway(home) } else { Self::Store(home.store()?) })
    }

    async fn put(&self, name: &str, value: &Zeroizing<Vec<u8>>) -> Result<(), Failure> {
        match self {
            Self::Gateway(home) => {
                let mut request = json!({"name": name, "by": crate::change::operator(), "value_base64": STANDARD.encode(value)});
                let done = asked(home, "/v1/secrets/put", &request).await;
                drop(taken(&mut request, "value_base64"));
                done.map(drop)
            }
            Self::Store(store) => store.secret_put(name, value, now_secs()).map_err(|error| fault(&error)),
        }
    }

    async fn list(&self) -> Result<Value, Failure> {
        match self {
            Self::Gateway(home) => operator(home, Method::GET, "/v1/secrets", None).await,
            Self::Store(store) => listed(store).map_err(|error| fault(&error)),
        }
    }

    async fn delete(&self, name: &str) -> Result<bool, Failure> {
        match self {
            Self::Gateway(home) => {
                let told = asked(home, "/v1/secrets/delete", &json!({"name": name, "by": crate::change::operator()})).await?;
                Ok(told.get("deleted").and_then(Value::as_bool) == Some(true))
            }
            Self::Store(store) => store.secret_delete(name).map_err(|error| fault(&error)),
        }
    }
}

fn fault(error: &StoreError) -> Failure {
    Failure::new(error.to_string())
}

/// Asks the gateway; what it refuses ends the command as what the store refuses.
async fn asked(home: &Home, path: &str, request: &Value) -> Result<Value, Failure> {
    operator(home, Method::POST, path, Some(request)).await.map_err(|failure| Failure { code: FAILURE, ..failure })
}

/// `remit secret`.
pub(crate) async fn secret(command: Secret) -> Result<(), Failure> {
    match command {
        Secret::Set { common, name } => {
            reserved(&name).map_or(Ok(()), |why| Err(Failure::invalid(why)))?;
            let value = read()?;
            Keeper::of(&common)?.put(&name, &value).await?;
            Printer::new(common.json).line(&json!({"secret": name, "kept": true}).to_string())
        }
        Secret::List(common) => {
            let printer = Printer::new(common.json);
            let told = Keeper::of(&common)?.list().await?;
            for one in told.get("secrets").and_then(Value::as_array).into_iter().flatten() {
                let updated_at_secs = one.get("updated_at_secs").and_then(Value::as_u64).unwrap_or_default();
                let (name, age_secs) = (text(one, "name"), now_secs().saturating_sub(updated_at_secs));
                if printer.json {
                    printer.line(&json!({"secret": name, "age_secs": age_secs}).to_string())?;
                } else {
                    printer.line(&format!("{name:<40} {} days old", age_secs / 86_400))?;
                }
            }
            Ok(())
        }
        Secret::Delete { common, name } => {
            reserved(&name).map_or(Ok(()), |why| Err(Failure::invalid(why)))?;
            if !Keeper::of(&common)?.delete(&name).await? {
                return Err(Failure::invalid(format!("there is no secret `{name}`")));
            }
            Printer::new(common.json).line(&json!({"secret": name, "kept": false}).to_string())
        }
    }
}

/// A secret from standard input, without the newline at its end.
fn read() -> Result<Zeroizing<Vec<u8>>, Failure> {
    const BYTES_MAX: usize = 64 * 1024 + 1;
    let mut value = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
    let read = std::io::stdin().lock().take(BYTES_MAX as u64).read_to_end(&mut value);
    read.map_err(|error| Failure::new(format!("standard input: {error}")))?;
    while value.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        value.pop();
    }
    if value.is_empty() { Err(Failure::invalid("no secret came on standard input")) } else { Ok(value) }
}

/// `remit agent-secret`.
pub(crate) async fn agent_secret(options: &AgentSecret) -> Result<(), Failure> {
    let agent = AgentId::new(&options.agent).map_err(|error| Failure::invalid(error.to_string()))?;
    let home = Home::create(&options.common.data)?;
    let path = if home.running().is_ok() {
        let request = json!({"agent": agent, "by": crate::change::operator()});
        let mut told = operator(&home, Method::POST, "/v1/agents/secret", Some(&request)).await?;
        let secret = taken(&mut told, "client_secret").ok_or_else(|| Failure::new("the gateway answered no secret"))?;
        home.keep_agent_secret(agent.as_str(), &secret)?
    } else {
        agent_secret_new(&*home.store()?, &home, agent.as_str())?
    };
    Printer::new(options.common.json).line(&json!({"agent": agent, "client_id": agent, "client_secret_file": path}).to_string())
}
