//! What sessions have touched: labels, and where the values of calls come from.
//!
//! Every session of a space where a rule reads it has a [`Flow`]: what its calls read is put into it before anybody sees it, and each call is
//! judged against it before it is decided. Flows are bounded, in memory, and hold no text; one that is put aside for want of room keeps its
//! labels, and whatever it had read may have held anything. After a restart the journal's entries give sessions back so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use remit_kernel::{Fact, Principal, ToolView};
use remit_mcp::canonical::{hex, sha256};
use remit_mcp::{Message, RpcError};
use remit_model::{CallOrigin, Labels, Organization, ResultLabels, ServerKey, ToolClass};
use remit_provenance::{Flow, Reading};
use serde::Deserialize;
use serde_json::Value;

use crate::call::{Asked, AskedKind, Caller, Client};
use crate::clock::random;
use crate::session::{Session, lock};
use crate::user_request::UserRequest;

/// The most words that all sessions hold: about 40 bytes each.
const WORDS_MAX: usize = 4_000_000;
/// The most sessions.
const SESSIONS_MAX: usize = 100_000;
/// How many of them may be one caller's.
const SESSIONS_OWN_MAX: usize = 1_000;

/// The flows of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Flows(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    all: HashMap<Key, Entry>,
    own: HashMap<Owner, usize>,
    /// Callers of whom sessions were forgotten: one of theirs that isn't here may have touched anything.
    crowded: HashSet<Owner>,
    /// Whether sessions were forgotten of so many that nobody knows any more whose.
    crowded_all: bool,
    words: usize,
    clock: u64,
}

/// A session: its caller, and its id there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Key {
    owner: Owner,
    session: String,
}

/// A caller in a space: nothing of one session or space ever reaches another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Owner {
    space: String,
    agent: String,
    /// A digest: what is kept of sessions beside the journal outlives the entries of a person who is forgotten, and names nobody.
    user: String,
}

impl Owner {
    fn new(space: &str, agent: &str, user: Option<&str>) -> Self {
        let parts = user.map(|user| format!("remit session owner v1\n{space}\n{agent}\n{user}"));
        let user = parts.map(|parts| hex(&sha256(parts.as_bytes()))).unwrap_or_default();
        Self { space: space.to_owned(), agent: agent.to_owned(), user }
    }

    fn of(space: &str, principal: &Principal) -> Self {
        Self::new(space, principal.agent.as_str(), principal.user.as_deref())
    }
}

#[derive(Debug)]
struct Entry {
    flow: Arc<Mutex<Flow>>,
    words: usize,
    used: u64,
}

impl Sessions {
    fn get(&mut self, key: &Key) -> Option<Arc<Mutex<Flow>>> {
        self.clock += 1;
        if let Some(entry) = self.all.get_mut(key) {
            entry.used = self.clock;
            return Some(Arc::clone(&entry.flow));
        }
        let known = !self.crowded_all && !self.crowded.contains(&key.owner);
        let seed = random::<16>()?;
        let flow = if known { Flow::new(seed) } else { Flow::forgotten(seed, Labels::UNKNOWN) };
        Some(self.put(key.clone(), flow))
    }

    fn put(&mut self, key: Key, flow: Flow) -> Arc<Mutex<Flow>> {
        self.clock += 1;
        if self.own.get(&key.owner).is_some_and(|count| *count >= SESSIONS_OWN_MAX) {
            self.forget_of(Some(&key.owner.clone()));
        }
        if self.all.len() >= SESSIONS_MAX {
            self.forget_of(None);
        }
        let words = flow.words();
        let flow = Arc::new(Mutex::new(flow));
        *self.own.entry(key.owner.clone()).or_default() += 1;
        self.words += words;
        self.all.insert(key, Entry { flow: Arc::clone(&flow), words, used: self.clock });
        flow
    }

    /// Forgets the session that was used the longest time ago, of one caller or of all.
    fn forget_of(&mut self, owner: Option<&Owner>) {
        let of = |key: &&Key| owner.is_none_or(|owner| key.owner == *owner);
        let oldest = self.all.iter().filter(|(key, _)| of(key)).min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        let Some(key) = oldest else { return };
        if let Some(entry) = self.all.remove(&key) {
            self.words -= entry.words;
        }
        if let Some(count) = self.own.get_mut(&key.owner) {
            *count -= 1;
            if *count == 0 {
                self.own.remove(&key.owner);
            }
        }
        if self.crowded.len() >= SESSIONS_MAX {
            self.crowded_all = true;
        } else {
            self.crowded.insert(key.owner);
        }
    }

    /// Weighs a session anew, and puts aside what others hold if all of them together hold too much.
    fn weigh(&mut self, key: &Key, words: usize) {
        let Some(entry) = self.all.get_mut(key) else { return };
        self.words = self.words - entry.words + words;
        entry.words = words;
        while self.words > WORDS_MAX {
            let heavy = self.all.iter_mut().filter(|(_, entry)| entry.words > 0).min_by_key(|(_, entry)| entry.used);
            let Some((_, entry)) = heavy else { return };
            self.words -= entry.words;
            entry.words = 0;
            let labels = lock(&entry.flow).labels();
            // Without randomness nothing is put in its place: it stays as it is, and is weighed no more.
            if let Some(seed) = random::<16>() {
                *lock(&entry.flow) = Flow::forgotten(seed, labels);
            }
        }
    }
}

/// A call, judged.
pub(crate) struct Judged {
    /// What stands behind its values.
    pub(crate) provenance: Fact<Option<Arc<CallOrigin>>>,
    /// Its place in what its session touches; none where no rule of the space reads it.
    pub(crate) traced: Option<Traced>,
}

/// A call's place in what its session touches.
#[derive(Debug, Clone)]
pub(crate) struct Traced {
    key: Key,
    flow: Arc<Mutex<Flow>>,
    /// The tool, prompt or resource, as policies name it.
    id: Arc<str>,
    labels: ResultLabels,
    changes: bool,
}

impl Traced {
    /// What came back, or what the server says meanwhile, is read.
    pub(crate) fn read(&self, flows: &Flows, message: &[u8]) {
        let said: Value = serde_json::from_slice(message).unwrap_or_default();
        let said = said.get("result").or_else(|| said.get("error")).or_else(|| said.get("params")).unwrap_or(&said);
        let mut texts = Vec::new();
        // What is said of the protocol is nobody's text, and does no harm; what can't be understood is read as it stands.
        if said.is_null() {
            texts.push(std::str::from_utf8(message).unwrap_or_default());
        }
        gather(said, &mut texts);
        let (structured, changes) = (said.get("structuredContent"), self.changes);
        let reading = Reading { tool: &self.id, labels: self.labels, changes, structured, texts: &texts };
        let words = {
            let mut flow = lock(&self.flow);
            flow.read(&reading);
            flow.words()
        };
        lock(&flows.0).weigh(&self.key, words);
    }

    /// Its results are nobody's whom the operator trusts.
    pub(crate) fn distrust(&mut self) {
        self.labels.integrity = remit_model::Integrity::Untrusted;
    }

    /// The call goes on, with what stands behind its values.
    pub(crate) fn passed(&self, arguments: &str, origin: &CallOrigin) {
        if let Ok(arguments) = serde_json::from_str(arguments) {
            lock(&self.flow).passed(&arguments, origin);
        }
    }
}

/// The texts of a result but for its structured content.
fn gather<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(map) => {
            let others = map.iter().filter(|(key, _)| key.as_str() != "structuredContent");
            others.for_each(|(_, value)| gather(value, texts));
        }
        _ => {}
    }
}

impl Flows {
    /// What a server says of its own accord is read in every policy session of the one that it says it to; whether it could be.
    pub(crate) fn stray(&self, organization: &Organization, session: &Session, server: &ServerKey, message: &[u8]) -> bool {
        let owner = Owner::of(&session.space, &session.principal);
        session.policy_sessions().into_iter().all(|name| {
            let key = Key { owner: owner.clone(), session: name.to_string() };
            let Some(flow) = lock(&self.0).get(&key) else { return false };
            let (id, labels) = (server.name.as_str().into(), results(organization, server, None));
            Traced { key, flow, id, labels, changes: false }.read(self, message);
            true
        })
    }

    /// Judges a call: what its session has touched, and what stands behind its values. Nothing where no rule of the space reads it.
    pub(crate) fn judge(&self, caller: &Caller, asked: &Asked, message: &Message, session: &str) -> Result<Judged, RpcError> {
        if !caller.space.traces {
            return Ok(Judged { provenance: Fact::Known(None), traced: None });
        }
        let request = UserRequest::read(message)?;
        let standing = request
            .as_ref()
            .map(|request| caller.gateway.signatures.standing(caller, session, request, crate::clock::now_ms() / 1000));
        if let Client::Legacy(own) = &caller.client {
            own.names(&session.into());
        }
        let owner = Owner::of(caller.space.space.id.as_str(), &caller.principal);
        let key = Key { owner, session: session.to_owned() };
        let Some(flow) = lock(&self.0).get(&key) else {
            let why = "what the session has touched isn't known: the system has no random bytes".to_owned();
            return Ok(Judged { provenance: Fact::Unknown(why), traced: None });
        };
        let tool = caller.space.tools.get(&asked.name).filter(|_| matches!(asked.kind, AskedKind::Call | AskedKind::Tool));
        let arguments = message.param("arguments").filter(|_| matches!(asked.kind, AskedKind::Call)).unwrap_or("{}");
        let (origin, words) = {
            let mut flow = lock(&flow);
            if let (Some(request), Some(standing)) = (&request, standing) {
                match standing.doubt() {
                    None => flow.asked(&request.text),
                    Some(why) => flow.doubted(why, &request.text),
                }
            }
            let origin = match (tool, serde_json::from_str(arguments)) {
                (_, Err(_)) => None,
                (Some(tool), Ok(arguments)) => Some(flow.judge(&tool.roles, &arguments)),
                (None, Ok(_)) => Some(CallOrigin { labels: flow.labels(), ..CallOrigin::default() }),
            };
            (origin, flow.words())
        };
        // What was asked for weighs, too, even where every call is denied.
        lock(&self.0).weigh(&key, words);
        let provenance = match origin {
            Some(origin) => Fact::Known(Some(Arc::new(CallOrigin { request: standing, ..origin }))),
            None => Fact::Unknown("the arguments hold a number that can't be looked for".to_owned()),
        };
        let traced = match tool {
            Some(tool) => of_tool(key, flow, tool),
            None => of_listed(key, flow, caller, asked),
        };
        Ok(Judged { provenance, traced: Some(traced) })
    }
}

fn of_tool(key: Key, flow: Arc<Mutex<Flow>>, tool: &ToolView) -> Traced {
    Traced { key, flow, id: Arc::clone(&tool.id), labels: tool.results, changes: tool.class != ToolClass::ReadOnly }
}

/// Of a prompt or a resource: what is said of its server holds.
fn of_listed(key: Key, flow: Arc<Mutex<Flow>>, caller: &Caller, asked: &Asked) -> Traced {
    let server = match asked.kind {
        AskedKind::Prompt => caller.space.prompt(&asked.name).map(|prompt| &prompt.server),
        AskedKind::Resource => caller.space.resource_server(&asked.name),
        AskedKind::Call | AskedKind::Tool => None,
    };
    let organization = &caller.state.snapshot.organization;
    let labels = server.map_or_else(ResultLabels::default, |server| results(organization, server, None));
    Traced { key, flow, id: crate::record::clip(&asked.name).into(), labels, changes: false }
}

/// What results of a server, or of one of its tools, are.
fn results(organization: &Organization, server: &ServerKey, tool: Option<&str>) -> ResultLabels {
    let Some(server) = organization.servers.get(server) else { return ResultLabels::default() };
    let said = tool.and_then(|tool| {
        let exposed = |said: &remit_model::ToolOverride| said.expose_as.as_ref().is_some_and(|name| name.as_str() == tool);
        server.tools.get(tool).or_else(|| server.tools.values().find(|said| exposed(said)))
    });
    said.map(|said| said.results).unwrap_or_default().over(server.results.over(ResultLabels::default()))
}

/// An entry of the journal that says what a session has touched.
#[derive(Deserialize)]
struct Past {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    space: String,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    policy_session: Option<String>,
    labels: Labels,
}

/// What the journal says that sessions have touched, gathered from its entries in their order.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Touched {
    #[serde(with = "pairs")]
    sessions: HashMap<Key, Read>,
    /// Whether there were too many.
    crowded: bool,
}

/// What a session has read: labels, and what calls were let through, whose results are labelled by what is said of them now.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Read {
    labels: Labels,
    of: HashSet<(String, String)>,
}

/// A map whose keys are no texts, as JSON has it: a list of pairs.
mod pairs {
    use std::collections::HashMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Key, Read};

    pub(super) fn serialize<S: Serializer>(map: &HashMap<Key, Read>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<Key, Read>, D::Error> {
        Ok(Vec::<(Key, Read)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// The most tools of one session that are told apart; whoever has called more has touched anything.
const TOOLS_MAX: usize = 256;

impl Touched {
    /// Takes in an entry; most say nothing of it.
    pub fn take(&mut self, entry: &[u8]) {
        const KEY: &[u8] = b"\"labels\":{";
        if !entry.windows(KEY.len()).any(|window| window == KEY) {
            return;
        }
        let Ok(past) = serde_json::from_slice::<Past>(entry) else { return };
        let (Some(agent), Some(session), "decision") = (past.agent, past.policy_session, past.kind.as_str()) else { return };
        let key = Key { owner: Owner::new(&past.space, &agent, past.user.as_deref()), session };
        if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(&key) {
            self.crowded = true;
            return;
        }
        let read = self.sessions.entry(key).or_default();
        read.labels = read.labels.join(past.labels);
        if past.verdict == "ALLOW" && read.of.len() <= TOOLS_MAX {
            read.of.insert((past.server.unwrap_or_default(), past.tool.unwrap_or_default()));
        }
    }
}

impl Flows {
    /// Of sessions before a restart their labels are known, and nothing else. Answers how many there were.
    pub(crate) fn recall(&self, organization: &Organization, touched: Touched) -> usize {
        let by_name: HashMap<String, &ServerKey> = organization.servers.keys().map(|key| (key.to_string(), key)).collect();
        let mut sessions = lock(&self.0);
        sessions.crowded_all |= touched.crowded;
        let count = touched.sessions.len();
        for (key, read) in touched.sessions {
            let mut labels = if read.of.len() > TOOLS_MAX { Labels::UNKNOWN } else { read.labels };
            for (server, tool) in &read.of {
                let tool = tool.split_once(remit_model::TOOL_SEPARATOR).map(|(_, tool)| tool);
                let of = |server: &&ServerKey| results(organization, server, tool).labels();
                labels = labels.join(by_name.get(server).map_or(Labels::UNKNOWN, of));
            }
            match random::<16>() {
                Some(seed) => drop(sessions.put(key, Flow::forgotten(seed, labels))),
                None => sessions.crowded_all = true,
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use remit_model::Integrity;

    use super::*;

    fn key(agent: &str, session: usize) -> Key {
        let owner = Owner { space: "s".to_owned(), agent: agent.to_owned(), user: String::new() };
        Key { owner, session: session.to_string() }
    }

    #[test]
    fn who_opens_very_many_sessions_sheds_no_label() {
        let mut sessions = Sessions::default();
        for session in 0..=SESSIONS_OWN_MAX {
            assert_eq!(lock(&sessions.get(&key("a", session)).unwrap()).labels(), Labels::default());
        }
        // The first one had to make room: under its name nobody is trusted any more.
        assert_eq!(lock(&sessions.get(&key("a", 0)).unwrap()).labels(), Labels::UNKNOWN);
        assert_eq!(lock(&sessions.get(&key("a", SESSIONS_OWN_MAX + 5)).unwrap()).labels(), Labels::UNKNOWN);
        assert_eq!(lock(&sessions.get(&key("b", 0)).unwrap()).labels(), Labels::default(), "it is no other caller's affair");
        assert_eq!(sessions.own[&key("a", 0).owner], SESSIONS_OWN_MAX);
    }

    #[test]
    fn what_is_too_heavy_keeps_its_labels_and_forgets_its_words() {
        let mut sessions = Sessions::default();
        let (old, new) = (key("a", 1), key("a", 2));
        let flow = sessions.get(&old).unwrap();
        let labels = ResultLabels::default();
        lock(&flow).read(&Reading { tool: "t", labels, changes: false, structured: None, texts: &["something read"] });
        sessions.weigh(&old, WORDS_MAX);
        sessions.get(&new).unwrap();
        sessions.weigh(&new, 10);
        assert_eq!(sessions.words, 10);
        let kept = lock(&sessions.get(&old).unwrap()).labels();
        assert_eq!(kept.integrity, Integrity::Untrusted);
        assert_eq!(lock(&flow).words(), 0);
    }
}
