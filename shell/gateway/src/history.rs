//! What temporal conditions look back on: one history per space, in the order of its decisions.
//!
//! A call of a tool that a condition reads is put into the history, decided and enqueued for the journal under one lock, so that two
//! calls at once can't both pass a limit that admits one. The journal's entries carry what the history needs, sealed; at start the
//! histories are made of them again. Tools that no condition reads never come here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use remit_cedar::{Claims, EventKind, History, HistoryEvent, PolicySet, PrincipalKind, Who};
use remit_kernel::policy::{HISTORY_VALUE_BYTES_MAX as VALUE_BYTES_MAX, outcome_kind};
use remit_kernel::{PolicyCaller, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::session::lock;
use crate::space_key::{SpaceKeys, Unopened};

/// Why a history is in doubt whose space's key was destroyed.
const FORGOTTEN: &str = "the key of the space was destroyed, and with it what had happened before";

/// The histories of all spaces, and the keys under which the journal keeps them.
pub(crate) struct Histories {
    keys: Arc<SpaceKeys>,
    spaces: Mutex<HashMap<String, Arc<Mutex<Option<History>>>>>,
}

impl std::fmt::Debug for Histories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Histories")
    }
}

/// A call as a history knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Called {
    /// Whether the caller signed: an `IamEntity`.
    signed: bool,
    id: String,
    principal: String,
    agent: String,
    session: String,
    tool: String,
    request_id: String,
    at_ms: u64,
    input: Value,
    /// The arguments are larger than a history holds: they aren't here.
    #[serde(default)]
    lost: bool,
}

impl Called {
    pub(crate) fn new(
        caller: PolicyCaller,
        session: &str,
        tool: &str,
        request_id: &str,
        at_ms: u64,
        input: Option<Value>,
    ) -> Self {
        let fits = input.filter(|input| size(input) <= VALUE_BYTES_MAX);
        let (lost, input) = (fits.is_none(), fits.unwrap_or_default());
        Self {
            lost,
            signed: caller.kind == PrincipalKind::IamEntity,
            id: caller.id,
            principal: caller.principal,
            agent: caller.agent,
            session: session.to_owned(),
            tool: tool.to_owned(),
            request_id: request_id.to_owned(),
            at_ms,
            input,
        }
    }

    fn event<'a>(&'a self, kind: EventKind, output: Option<&'a Value>, claims: &'a Claims, at_ms: u64) -> HistoryEvent<'a> {
        let kind_of_who = if self.signed { PrincipalKind::IamEntity } else { PrincipalKind::OAuthUser };
        HistoryEvent {
            kind,
            who: Who { kind: kind_of_who, id: &self.id, claims },
            scopes: remit_cedar::Scopes { session: &self.session, principal: &self.principal, agent: &self.agent },
            tool: &self.tool,
            input: &self.input,
            output,
            request_id: &self.request_id,
            now_ms: at_ms,
        }
    }
}

/// The history of one space, locked: what happens now happens in this order.
pub(crate) struct Locked<'a>(MutexGuard<'a, Option<History>>);

impl Locked<'_> {
    /// The history under this set. What unchanged rules had gathered is kept.
    fn under(&mut self, set: &Arc<PolicySet>) -> &mut History {
        let history = self.0.get_or_insert_with(|| History::new(Arc::clone(set)));
        history.turn_to(set);
        history
    }

    /// A call is asked for.
    pub(crate) fn request(&mut self, set: &Arc<PolicySet>, called: &Called) -> Result<remit_cedar::Bindings, String> {
        if called.lost {
            return Err(format!(
                "the arguments are larger than the {VALUE_BYTES_MAX} bytes that a history holds, or hold a number that policies can't see"
            ));
        }
        let claims = Claims::new();
        let event = called.event(EventKind::Request, None, &claims, called.at_ms);
        self.under(set).request(&event).map_err(|error| error.to_string())
    }

    /// A call goes on that could not be taken in, because the set is only logged: from now on the history is in doubt.
    pub(crate) fn missed(&mut self, set: &Arc<PolicySet>, called: &Called, why: &str) {
        let scopes = remit_cedar::Scopes { session: &called.session, principal: &called.principal, agent: &called.agent };
        self.under(set).doubt(&called.tool, &scopes, &format!("a call of `{}`: {why}", called.tool), called.at_ms);
    }

    /// A call that was asked for was refused, or has failed.
    pub(crate) fn failed(&mut self, called: &Called, at_ms: u64) {
        self.ended(called, EventKind::Error, None, at_ms);
    }

    /// It has ended. What can't be understood of the result is in doubt from then on: the history itself remembers it.
    fn ended(&mut self, called: &Called, kind: EventKind, output: Option<&Value>, at_ms: u64) {
        let Some(history) = self.0.as_mut() else { return };
        let set = Arc::clone(history.set());
        if !set.watches(&called.tool) {
            return;
        }
        let claims = Claims::new();
        let event = called.event(kind, output, &claims, at_ms);
        let unseen = kind == EventKind::Response && output.is_none() && set.watches_output(&called.tool);
        if unseen {
            history.doubt(&called.tool, &event.scopes, &format!("a result of `{}` could not be seen", called.tool), at_ms);
        }
        // A failure is in doubt by itself; a request that was never taken in has no outcome to speak of.
        let _ = history.outcome(&event);
    }
}

fn size(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// A call under way whose outcome its history waits for.
pub(crate) struct Watched {
    pub(crate) histories: Arc<Histories>,
    pub(crate) space: Arc<str>,
    pub(crate) called: Called,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

/// What an outcome is to a history.
pub(crate) struct Told {
    pub(crate) kind: EventKind,
    /// The result, sealed.
    pub(crate) output: Option<String>,
}

impl Watched {
    /// Puts an outcome into the history; `then` enqueues it for the journal in the same order.
    pub(crate) fn ended<T>(&self, outcome: &str, result: Option<&[u8]>, at_ms: u64, then: impl FnOnce(Option<Told>) -> T) -> T {
        let Some(kind) = outcome_kind(outcome) else { return then(None) };
        let space = self.histories.of(&self.space);
        let mut history = Locked(lock(&space));
        let reads = history.0.as_ref().is_some_and(|history| history.set().watches_output(&self.called.tool));
        let output = (kind == EventKind::Response && reads).then(|| result.and_then(structured)).flatten();
        let output = output.filter(|output| size(output) <= VALUE_BYTES_MAX);
        let sealed = output.as_ref().and_then(|output| self.histories.seal(output, &self.space, &self.called.request_id));
        // What can't be kept for the next start can't be relied on in this one.
        let output = output.filter(|_| sealed.is_some());
        history.ended(&self.called, kind, output.as_ref(), at_ms);
        then(Some(Told { kind, output: sealed }))
    }
}

/// The structured content of a result.
pub(crate) fn structured(answer: &[u8]) -> Option<Value> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    answer.pointer_mut("/result/structuredContent").map(Value::take).filter(Value::is_object)
}

/// An entry of the journal that a history is made of.
#[derive(Deserialize)]
struct Past {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: String,
    space: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    history: Option<String>,
    #[serde(default)]
    history_event: Option<String>,
    #[serde(default)]
    history_output: Option<String>,
    #[serde(default)]
    history_at_ms: u64,
}

impl Histories {
    /// No history yet.
    pub(crate) fn new(keys: Arc<SpaceKeys>) -> Self {
        Self { keys, spaces: Mutex::default() }
    }

    /// The history of a space.
    pub(crate) fn of(&self, space: &str) -> Arc<Mutex<Option<History>>> {
        let mut spaces = lock(&self.spaces);
        if let Some(known) = spaces.get(space) {
            return Arc::clone(known);
        }
        Arc::clone(spaces.entry(space.to_owned()).or_default())
    }

    /// Seals a value for the journal, bound to its space and call.
    pub(crate) fn seal(&self, value: &impl Serialize, space: &str, call: &str) -> Option<String> {
        let sealed = self.keys.of(space).ok()?.seal(serde_json::to_vec(value).ok()?, &aad(space, call))?;
        Some(STANDARD_NO_PAD.encode(sealed))
    }

    /// Forgets what a space's history holds. Conditions that would look back on it can't be decided until none reaches back so far.
    pub(crate) fn forget(&self, space: &str, at_ms: u64) {
        let space = self.of(space);
        let mut history = lock(&space);
        if let Some(history) = history.as_mut() {
            let set = Arc::clone(history.set());
            *history = History::new(set);
            history.doubt_all(FORGOTTEN, at_ms);
        }
    }

    /// Makes the histories again of the journal's entries, in its order. Answers how many events they hold.
    ///
    /// An entry that can't be opened would be forgotten, and a rule that forbids after it would permit: it is an error. Where the space's key
    /// was destroyed, everything before is in doubt.
    pub(crate) fn recall<'a>(&self, snapshot: &Snapshot, entries: impl Iterator<Item = &'a [u8]>) -> Result<usize, String> {
        let mut under_way: HashMap<String, Called> = HashMap::new();
        let mut recalled = 0;
        for entry in entries {
            let Ok(past) = serde_json::from_slice::<Past>(entry) else { continue };
            let set = snapshot.spaces.get(&past.space).and_then(|view| view.policy_set.as_ref());
            let Some(set) = set.filter(|set| set.looks_back()) else { continue };
            let unopened = |call: &str| {
                format!(
                    "the history of call {call} in space `{}` can't be opened: `history.key` is not the one that sealed it",
                    past.space
                )
            };
            let space = self.of(&past.space);
            let mut history = Locked(lock(&space));
            match (past.kind.as_str(), &past.history, &past.history_event) {
                ("decision", Some(sealed), _) => {
                    let called = match open::<Called>(&self.keys, sealed, &past.space, &past.id) {
                        Ok(called) => called,
                        Err(Unopened::Destroyed) => {
                            let at_ms = remit_model::time_ms(&past.time).unwrap_or_default();
                            history.under(set).doubt_all(FORGOTTEN, at_ms);
                            continue;
                        }
                        Err(Unopened::Foreign) => return Err(unopened(&past.id)),
                    };
                    // A tool that is no more is in no condition that could still be evaluated.
                    if !set.watches(&called.tool) {
                        continue;
                    }
                    recalled += 1;
                    match (history.request(set, &called), past.verdict.as_str()) {
                        (Ok(_), "ALLOW") => drop(under_way.insert(past.id, called)),
                        (Ok(_), _) => {
                            let at_ms = called.at_ms;
                            history.failed(&called, at_ms);
                        }
                        (Err(why), "ALLOW") => history.missed(set, &called, &why),
                        (Err(_), _) => {}
                    }
                }
                ("outcome", _, Some(event)) => {
                    let Some(called) = under_way.remove(&past.decision) else { continue };
                    recalled += 1;
                    let output = match &past.history_output {
                        Some(sealed) => match open::<Value>(&self.keys, sealed, &past.space, &past.decision) {
                            Ok(output) => Some(output),
                            // Without its result the history itself is in doubt of it.
                            Err(Unopened::Destroyed) => None,
                            Err(Unopened::Foreign) => return Err(unopened(&past.decision)),
                        },
                        None => None,
                    };
                    let kind = if event == "response" { EventKind::Response } else { EventKind::Error };
                    history.ended(&called, kind, output.as_ref(), past.history_at_ms);
                }
                _ => {}
            }
        }
        Ok(recalled)
    }
}

/// Opens a value that the journal holds, sealed by [`Histories::seal`].
pub(crate) fn open<T: serde::de::DeserializeOwned>(
    keys: &SpaceKeys,
    sealed: &str,
    space: &str,
    call: &str,
) -> Result<T, Unopened> {
    let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| Unopened::Foreign)?;
    let key = keys.existing(space).ok().flatten().ok_or(Unopened::Foreign)?;
    serde_json::from_slice(&key.open(sealed, &aad(space, call))?).map_err(|_| Unopened::Foreign)
}

fn aad(space: &str, call: &str) -> Vec<u8> {
    format!("remit history v1\n{space}\n{call}").into_bytes()
}

/// Locks the history of a space.
pub(crate) fn locked(space: &Mutex<Option<History>>) -> Locked<'_> {
    Locked(lock(space))
}

#[cfg(test)]
mod tests {
    use remit_cedar::{File, Mode, Source, Tool};
    use serde_json::json;

    use super::*;

    const SPACE: &str = "support";

    fn histories(dir: &std::path::Path) -> Histories {
        Histories::new(Arc::new(SpaceKeys::new(&[7; 32], dir.to_owned()).unwrap()))
    }

    /// At most one that has not failed.
    const ONE: &str = r#"@id("one") @history("principal")
permit (principal, action == AgentCore::Action::"bank___refund", resource)
when temporal { (count for (q: String). where (formerly within 1h AgentCore::Action::"bank___refund"::request{ requestId: q }
    && !exists (t: Timepoint). formerly within 1h (AgentCore::Action::"bank___refund"::error{ requestId: q } && tp(t)))) <= 1 };"#;

    fn called(number: u32) -> Called {
        let caller = PolicyCaller {
            kind: PrincipalKind::OAuthUser,
            id: "ann".to_owned(),
            claims: Arc::default(),
            principal: "ann".to_owned(),
            agent: "agent-1".to_owned(),
        };
        Called::new(caller, "s", "bank___refund", &format!("r{number}"), 1_790_000_000_000, Some(json!({"amount": 1})))
    }

    #[test]
    fn what_may_have_been_done_counts_and_what_was_surely_not_done_does_not() {
        let definition = r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"}}}}"#;
        let file = File { path: "a.dw".to_owned(), text: ONE.to_owned(), mode: Mode::Active };
        let source = Arc::new(Source::read(Mode::Active, vec![file]).unwrap());
        let tools = [Tool { id: "bank___refund", server: "bank", definition }];
        let set = Arc::new(PolicySet::compile(&source, &tools, "arn:aws:mcp:eu-west-1:111122223333:space/support"));
        assert_eq!(set.findings(), []);
        for (outcome, counts) in [
            // Nobody knows whether a request arrived whose connection broke, or whose answer was not understood.
            ("unreachable", true),
            ("timeout", true),
            ("status", true),
            ("protocol", true),
            ("result_too_large", true),
            ("session_gone", true),
            ("cancelled", true),
            ("unknown", true),
            ("task", true),
            ("ok", true),
            ("withheld", true),
            ("tool_error", false),
            ("error", false),
            ("egress_refused", false),
            ("busy", false),
            ("credential", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let histories = Arc::new(histories(dir.path()));
            let space = histories.of(SPACE);
            let asked = |number: u32| {
                let bindings = locked(&space).request(&set, &called(number)).unwrap();
                bindings.values().all(|holds| *holds)
            };
            assert!(asked(1));
            let watched = Watched { histories: Arc::clone(&histories), space: SPACE.into(), called: called(1) };
            watched.ended(outcome, None, 1_790_000_000_001, drop);
            assert_eq!(asked(2), !counts, "{outcome}");
        }
    }

    #[test]
    fn a_set_that_is_only_logged_and_misses_a_call_is_in_doubt() {
        let file = File { path: "a.dw".to_owned(), text: ONE.to_owned(), mode: Mode::Active };
        let source = Arc::new(Source::read(Mode::LogOnly, vec![file]).unwrap());
        let definition = r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"}}}}"#;
        let tools = [Tool { id: "bank___refund", server: "bank", definition }];
        let set = Arc::new(PolicySet::compile(&source, &tools, "arn:aws:mcp:eu-west-1:111122223333:space/support"));
        let dir = tempfile::tempdir().unwrap();
        let histories = histories(dir.path());
        let space = histories.of(SPACE);
        let lost = Called { lost: true, ..called(1) };
        let why = locked(&space).request(&set, &lost).unwrap_err();
        locked(&space).missed(&set, &lost, &why);
        assert!(locked(&space).request(&set, &called(2)).unwrap_err().contains("in doubt"));
        let later = Called { at_ms: 1_790_003_600_001, ..called(3) };
        assert!(locked(&space).request(&set, &later).is_ok(), "until no window reaches it");
    }
}
