//! From files to cases: every table written out, every fault told with its place.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use remit_config::item::{Item, Object, Sink, shown};
use remit_config::yaml::{At, Node, Value, parse};
use remit_config::{Fault, LOCK_FILE, SourceFile, did_you_mean};
use remit_model::{AgentId, Organization, ServerKey, TOOL_SEPARATOR, ToolName};

use super::after::after;
use super::expect::{Expect, one_or_many, risk};
use super::facts::{Said, facts, json, known_space};
use super::suppose::Suppose;
use super::{CASE, CASES_MAX, Case, DEFAULTS, ROW, SUPPOSITIONS_MAX, Wanted};
use crate::Lock;

/// What a case can ask for.
const TARGETS: [&str; 3] = ["tool", "prompt", "resource"];

/// What cases may name.
pub struct Known<'a> {
    /// The organization.
    pub organization: &'a Organization,
    /// The accepted definitions of tools, if there are any.
    pub lock: Option<&'a Lock>,
    tools: BTreeSet<String>,
}

impl<'a> Known<'a> {
    /// Works out the names of tools: those under which spaces expose them, and `server___tool` for every one that is locked.
    pub fn new(organization: &'a Organization, lock: Option<&'a Lock>) -> Self {
        let mut tools = BTreeSet::new();
        let unprefixed = organization.spaces.values().flat_map(|space| {
            space.servers.iter().filter(|entry| !entry.prefix).map(move |entry| Organization::server_key(space, entry))
        });
        let unprefixed: BTreeSet<_> = unprefixed.collect();
        for (server, name) in lock.into_iter().flat_map(Lock::tools) {
            let said = organization.servers.get(server).and_then(|server| server.tools.get(name));
            let base = said.and_then(|tool| tool.expose_as.as_ref()).map_or(name, ToolName::as_str);
            tools.insert(format!("{}{TOOL_SEPARATOR}{base}", server.name));
            if unprefixed.contains(server) {
                tools.insert(base.to_owned());
            }
        }
        Self { organization, lock, tools }
    }

    /// The tools of a server by the names that policies use, each with the server's own.
    fn of_server(&self, server: &ServerKey) -> impl Iterator<Item = (&str, &str)> {
        let said = self.organization.servers.get(server);
        let own = self.lock.into_iter().flat_map(Lock::tools).filter(move |(key, _)| *key == server);
        own.map(move |(_, name)| {
            let exposed = said.and_then(|said| said.tools.get(name)).and_then(|tool| tool.expose_as.as_ref());
            (exposed.map_or(name, ToolName::as_str), name)
        })
    }

    /// The server's own name for a tool.
    pub(super) fn own_name(&self, server: &ServerKey, name: &str) -> Option<String> {
        self.of_server(server).find(|(base, _)| *base == name).map(|(_, own)| own.to_owned())
    }

    /// The names of a server's tools.
    pub(super) fn names(&self, server: &ServerKey) -> Vec<String> {
        self.of_server(server).map(|(base, _)| base.to_owned()).collect()
    }
}

/// Reads files of cases, or names every fault of all of them.
pub fn read(files: &[SourceFile], known: &Known<'_>) -> Result<Vec<Case>, Vec<Fault>> {
    let sink = Sink::default();
    let mut cases = Vec::new();
    for file in files {
        let parsed = parse(&file.path, &file.text, &sink);
        let mut names = BTreeMap::new();
        for node in parsed.documents.iter().filter(|node| !matches!(node.value, Value::Null)) {
            let root = Item { sink: &sink, file: &file.path, node, pointer: String::new() };
            document(&root, known, &mut names, &mut cases);
        }
    }
    let supposed: HashSet<&Suppose> = cases.iter().filter_map(|case: &Case| case.suppose.as_deref()).collect();
    if supposed.len() > SUPPOSITIONS_MAX {
        let what = format!("the cases make more than {SUPPOSITIONS_MAX} different suppositions");
        sink.error(".", At::START, String::new(), what, "split them, and run one part at a time".to_owned());
    }
    let faults = sink.into_faults();
    if faults.is_empty() { Ok(cases) } else { Err(faults) }
}

fn document<'a>(root: &Item<'a>, known: &Known<'_>, names: &mut BTreeMap<&'a str, usize>, cases: &mut Vec<Case>) {
    let Some(object) = root.object("a file of cases", &["$schema", "defaults", "cases"]) else { return };
    let defaults = object.get("defaults").map(|defaults| defaults.object("what cases have in common", DEFAULTS));
    let Ok(defaults) = defaults.map_or(Ok(None), |read| read.map(Some).ok_or(())) else { return };
    for item in object.need("cases").map(|list| list.list("cases")).unwrap_or_default() {
        let Some(case) = item.object("a case", CASE) else { continue };
        let Some(name) = case.need("name").and_then(|name| name.text()) else { continue };
        if name.contains(char::is_control) {
            item.error("the name holds a line break or another control character", "write it on one line");
            continue;
        }
        if let Some(line) = names.insert(name, item.node.at.line) {
            item.error(format!("the case on line {line} has this name already"), "give each case of a file a name of its own");
            continue;
        }
        let places: Vec<&Object<'a>> = std::iter::once(&case).chain(&defaults).collect();
        let Some(each) = case.get("each") else {
            written_out(&Said { places }, name, known, cases);
            continue;
        };
        let rows = each.list("rows");
        if rows.is_empty() && each.node.nodes().is_empty() {
            each.error("an empty table makes no case", "write a row, or leave `each` out");
        }
        for row in rows {
            let Some(object) = row.object("a row of a case", ROW) else { continue };
            let name = format!("{name}{}", label(&object));
            let places: Vec<&Object<'a>> = std::iter::once(&object).chain(places.iter().copied()).collect();
            written_out(&Said { places }, &name, known, cases);
        }
    }
}

/// What tells a row from the others: its own name, or whom and what it is about.
fn label(row: &Object<'_>) -> String {
    let text = |key: &str| row.get(key).and_then(|item| item.as_text().map(str::to_owned));
    let named = text("name").map(|name| vec![name]);
    let about = || ["space", "agent", "user", "tool", "prompt", "resource", "risk"].into_iter().filter_map(text).collect();
    let parts: Vec<String> = named.unwrap_or_else(about);
    if parts.is_empty() { format!(" [line {}]", row.item.node.at.line) } else { format!(" [{}]", parts.join(", ")) }
}

/// One case for each member of its lists.
fn written_out(said: &Said<'_, '_>, name: &str, known: &Known<'_>, cases: &mut Vec<Case>) {
    let Some(item) = said.item() else { return };
    let all = |key: &str, of: &str| said.get(key).map(|list| one_or_many(&list, of)).unwrap_or_default();
    let spaces = all("space", "space ids");
    if spaces.is_empty() && said.get("space").is_none() {
        item.error("this doesn't say in which space it happens", "add `space: …` here or under `defaults`");
    }
    let agents: Vec<Option<(&str, Item<'_>)>> = match said.get("agent") {
        Some(list) => one_or_many(&list, "agent ids").into_iter().map(Some).collect(),
        None => vec![None],
    };
    let Some(expect) = said.get("expect") else {
        item.error("this doesn't say what is expected", "add `expect: allow`, `expect: hold` or `expect: deny`");
        return;
    };
    let Some(expect) = Expect::read(&expect).map(Arc::new) else { return };
    // The nearest place that asks for something says what.
    let place = said.places.iter().find(|place| !place.present(&TARGETS).is_empty());
    let Some((place, [kind])) = place
        .map(|place| (place, place.present(&TARGETS)))
        .and_then(|(place, kinds)| if let [kind] = kinds.as_slice() { Some((place, [*kind])) } else { None })
    else {
        item.error("a case asks for exactly one of `tool`, `prompt` and `resource`", "add one, or keep one");
        return;
    };
    let wanted = place.get(kind).map(|list| one_or_many(&list, "names")).unwrap_or_default();
    let many = (spaces.len() > 1, agents.len() > 1, wanted.len() > 1);
    for (_, space) in &spaces {
        for agent in &agents {
            for (target, target_item) in &wanted {
                let about = [
                    many.0.then(|| space.as_text().unwrap_or_default()),
                    agent.as_ref().filter(|_| many.1).map(|(agent, _)| *agent),
                    many.2.then_some(*target),
                ];
                let about: Vec<&str> = about.into_iter().flatten().collect();
                let name = if about.is_empty() { name.to_owned() } else { format!("{name} [{}]", about.join(", ")) };
                if cases.len() >= CASES_MAX {
                    item.error(format!("there are more than {CASES_MAX} cases"), "split them, and run one part at a time");
                    return;
                }
                let one = One { said, known, name, expect: &expect };
                cases.extend(one.case(space, agent.as_ref(), kind, target, target_item));
            }
        }
    }
}

/// One case to be made.
struct One<'s, 'p, 'a> {
    said: &'s Said<'p, 'a>,
    known: &'s Known<'s>,
    name: String,
    expect: &'s Arc<Expect>,
}

impl<'a> One<'_, '_, 'a> {
    fn case(
        self,
        space: &Item<'a>,
        agent: Option<&(&'a str, Item<'a>)>,
        kind: &str,
        target: &str,
        at: &Item<'a>,
    ) -> Option<Case> {
        let item = self.said.item()?;
        let organization = self.known.organization;
        let space = known_space(organization, space)?;
        if let Some((name, item)) = agent
            && !AgentId::new(name).is_ok_and(|id| organization.agents.contains_key(&id))
        {
            let known = organization.agents.keys().map(AgentId::as_str);
            let what = format!("there is no agent {}{}", shown(name), did_you_mean(name, known));
            item.error(what, "name an agent of this configuration");
            return None;
        }
        let wanted = match kind {
            "tool" => self.tool(target, at)?,
            "prompt" => self.prompt(target, at)?,
            _ => self.resource(space, target, at)?,
        };
        let (facts, now_secs) = facts(organization, self.said, agent.map(|(agent, _)| *agent), space)?;
        let after = match self.said.get("after") {
            Some(item) => after(&item, organization, |name, at| self.knows(name, at))?,
            None => Vec::new(),
        };
        let risk = match self.said.get("risk") {
            Some(item) => Some(risk(&item)?),
            None => None,
        };
        let suppose = match self.said.get("suppose") {
            Some(item) => Some(Arc::new(Suppose::read(&item, space, self.known)?)),
            None => None,
        };
        let request = self.said.get("request").map_or(Some(None), |item| item.text().map(|text| Some(text.into())))?;
        let approved = self.said.get("approved").map_or(Some(false), |flag| flag.flag())?;
        let (file, line) = (item.file.to_owned(), item.node.at.line);
        let expect = Arc::clone(self.expect);
        Some(Case {
            file,
            line,
            name: self.name,
            space: space.to_owned(),
            wanted,
            facts,
            after: Arc::new(after),
            request,
            risk,
            approved,
            suppose,
            now_secs,
            expect,
        })
    }

    /// Whether some server has a tool: of any other a denial would say nothing. What is wrong is told.
    fn knows(&self, name: &str, at: &Item<'_>) -> bool {
        if self.known.lock.is_none() {
            let mend = format!("write it from a gateway that accepted the tools: `remit pins --export {LOCK_FILE}`");
            at.error(format!("there is no `{LOCK_FILE}` beside the configuration: its tools aren't known"), mend);
            return false;
        }
        if !self.known.tools.contains(name) {
            let near = did_you_mean(name, self.known.tools.iter().map(String::as_str));
            let what = format!("no server has a tool {} in `{LOCK_FILE}`{near}", shown(name));
            at.error(what, "correct the name, or write the lock again: `remit pins --export`");
            return false;
        }
        true
    }

    fn tool(&self, name: &str, at: &Item<'_>) -> Option<Wanted> {
        if !self.knows(name, at) {
            return None;
        }
        let arguments = match self.said.get("arguments") {
            None => None,
            Some(item) => Some(arguments(&item)?.into()),
        };
        Some(Wanted::Tool { name: name.to_owned(), arguments })
    }

    fn prompt(&self, name: &str, at: &Item<'_>) -> Option<Wanted> {
        self.no_arguments()?;
        let entries = self.known.organization.spaces.values().flat_map(|space| &space.servers);
        let fits = |prefix: bool, server: &str| !prefix || name.split_once(TOOL_SEPARATOR).is_some_and(|(own, _)| own == server);
        if !entries.into_iter().any(|entry| fits(entry.prefix, entry.server.as_str())) {
            at.error(format!("no space has a server whose prompt {} could be", shown(name)), "write `server___prompt`");
            return None;
        }
        Some(Wanted::Prompt(name.to_owned()))
    }

    /// A resource is known by its server alone: with several that admit theirs nothing offline tells which has it.
    fn resource(&self, space: &str, uri: &str, at: &Item<'_>) -> Option<Wanted> {
        self.no_arguments()?;
        let servers = self.known.organization.spaces.get(space)?.servers.iter().filter(|entry| entry.resources).count();
        if servers > 1 {
            let what =
                format!("space `{space}` admits the resources of {servers} servers, and nothing offline says which has this one");
            at.error(what, "ask the running gateway");
            return None;
        }
        Some(Wanted::Resource(uri.to_owned()))
    }

    fn no_arguments(&self) -> Option<()> {
        if let Some(item) = self.said.get("arguments") {
            item.error("only tools have arguments", "leave `arguments` out");
            return None;
        }
        Some(())
    }
}

/// The arguments of a call, as JSON text.
fn arguments(item: &Item<'_>) -> Option<String> {
    let Node { at, value } = item.node;
    if !matches!(value, Value::Map(_)) {
        let At { line, .. } = *at;
        item.error(format!("arguments are a mapping, and on line {line} stands something else"), "write `{ name: value, … }`");
        return None;
    }
    let mut text = String::new();
    json(item, item.node, &mut text)?;
    if let Err(error) = remit_kernel::Arguments::scan(&text) {
        item.error(format!("these are no acceptable arguments: {error}"), "make them smaller");
        return None;
    }
    Some(text)
}
