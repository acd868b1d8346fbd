//! One compiled configuration: immutable, swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use remit_cedar::{File, Mode, PolicySet, Source, Tool};
use remit_mcp::header::ParamHeader;
use remit_mcp::json::{Limits, quote, scan};
use remit_mcp::splice::Splice;
use remit_model::{
    AgentId, Organization, RegistryStatus, ResultLabels, Risk, Server, ServerKey, Space, SpaceServer, TOOL_SEPARATOR,
    ToolAdmission, ToolClass, ToolName, ToolPolicy,
};
use remit_provenance::Roles;

use crate::approval::Holds;
use crate::catalogue::{Catalogue, PinKey, PinState, Pinned, ToolFinding};
use crate::definitions::INSTRUCTIONS;
use crate::guardrail::Guards;
use crate::said::Memory;
use crate::schema::ArgumentSchema;
use crate::tree::Tree;

/// A configuration ready for decisions.
#[derive(Debug)]
pub struct Snapshot {
    /// Its version: it grows by one with every configuration or catalogue that takes effect.
    pub version: u64,
    /// The organization that it was made of.
    pub organization: Arc<Organization>,
    /// The spaces by id.
    pub spaces: HashMap<String, Arc<SpaceView>>,
    /// What operators should know of tools that can't be offered.
    pub findings: Vec<ToolFinding>,
    rows: HashMap<AgentId, AgentRows>,
    pub(crate) tree: Tree,
    /// What IAM has said, where it is remembered.
    pub(crate) said: OnceLock<Memory>,
}

/// One space with everything that its agents could see.
#[derive(Debug)]
pub struct SpaceView {
    /// The space.
    pub space: Space,
    /// Its ARN.
    pub arn: String,
    /// Tools that it admits, by exposed name.
    pub tools: HashMap<String, Arc<ToolView>>,
    /// The same, in the order of the space's servers and of each server's own list.
    pub tools_listed: Vec<Arc<ToolView>>,
    /// Prompts that it admits.
    pub prompts: Vec<ListedView>,
    /// Resources that it admits.
    pub resources: Vec<ListedView>,
    /// Resource templates that it admits.
    pub templates: Vec<ListedView>,
    /// How servers that meet here stand in the registry, if they aren't simply approved.
    pub statuses: HashMap<ServerKey, RegistryStatus>,
    /// The servers that meet here, in order, with how they are exposed.
    pub servers: Vec<(ServerKey, SpaceServer)>,
    /// Its policy set, if it has one.
    pub policy_set: Option<Arc<PolicySet>>,
    /// The rules that hold calls of its tools until people agree.
    pub holds: Holds,
    /// The guardrails that hold here.
    pub guards: Guards,
    /// Whether it matters here what sessions have touched and where values come from: a rule reads it, or people are asked about calls.
    pub traces: bool,
}

/// A tool as a space sees it.
#[derive(Debug)]
pub struct ToolView {
    /// The name that clients use here.
    pub exposed: ToolName,
    /// The name that policies use everywhere: `server___tool`.
    pub id: Arc<str>,
    /// Its server.
    pub server: ServerKey,
    /// The server's own name for it.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its class: the operator's word above the server's.
    pub class: ToolClass,
    /// Its risk.
    pub risk: Risk,
    /// Its categories.
    pub categories: Vec<String>,
    /// How its live definition stands to the accepted one.
    pub pin: PinState,
    /// The digest of the accepted definition.
    pub digest: String,
    /// The accepted definition under its exposed name: JSON text.
    pub definition: Arc<str>,
    /// The same as guardrails let agents see it; `None` where they don't.
    pub shown: Option<Arc<str>>,
    /// Its argument schema.
    pub schema: Arc<ArgumentSchema>,
    /// What its arguments do.
    pub roles: Roles,
    /// What its results are.
    pub results: ResultLabels,
    /// Parameters that travel in headers too.
    pub param_headers: Vec<ParamHeader>,
}

/// A prompt, a resource or a template as a space sees it.
#[derive(Debug, Clone)]
pub struct ListedView {
    /// The name that clients use here, or the URI or URI template.
    pub exposed: String,
    /// The name that policies use: `server___prompts/<name>`, `server___resources/<uri>`.
    pub id: String,
    /// Its server.
    pub server: ServerKey,
    /// The server's own name for it.
    pub name: String,
    /// The entry under its exposed name, as guardrails let agents see it: JSON text; `None` where they don't.
    pub json: Option<Arc<str>>,
}

/// The registry rows of one agent.
#[derive(Debug, Default)]
struct AgentRows {
    exact: HashMap<String, Vec<Row>>,
    /// Rows that end in `*`, the longest first.
    prefix: Vec<(String, Row)>,
}

/// One registry row, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) allowed: bool,
    pub(crate) risk_max: Risk,
    pub(crate) statement: Arc<str>,
    pub(crate) origin: Arc<str>,
}

/// What the registry says of an agent and a tool.
#[derive(Debug)]
pub(crate) enum RowMatch<'a> {
    /// No row names the agent at all.
    UnknownAgent,
    /// Rows name the agent, none this tool.
    None,
    /// This row decides.
    Row(&'a Row),
}

impl Snapshot {
    /// Compiles. Never fails: what can't be offered isn't, and is named in [`Snapshot::findings`].
    pub fn compile(version: u64, organization: Arc<Organization>, catalogue: &Catalogue) -> Self {
        Self::compile_after(None, version, organization, catalogue)
    }

    /// The same, after another one: policy sets that say what they said, of the same tools, are taken over.
    pub fn compile_after(before: Option<&Self>, version: u64, organization: Arc<Organization>, catalogue: &Catalogue) -> Self {
        let mut findings: Vec<ToolFinding> = Vec::new();
        let mut pinned: HashMap<ServerKey, Vec<Pinned>> = HashMap::new();
        for (key, server) in &organization.servers {
            let (tools, found) = catalogue.tools(server, organization.findings_admitted(&key.account));
            findings.extend(found);
            pinned.insert(key.clone(), tools);
        }
        let mut spaces = HashMap::new();
        for space in organization.spaces.values() {
            let before = before.and_then(|before| before.spaces.get(space.id.as_str()));
            let guards = Guards::compile(&organization, space, before.map(|view| &view.guards));
            let (organization, findings) = (&*organization, &mut findings);
            let mut builder = SpaceBuilder { organization, catalogue, space, guards: &guards, findings };
            let mut view = builder.build(&pinned);
            let old = before.and_then(|view| view.policy_set.as_ref());
            view.policy_set = policy_set(&view, &builder.unheard(), old);
            let (approvals, set) = (&organization.approvals, view.policy_set.as_ref());
            view.holds = Holds::compile(approvals, space, &view.tools_listed, set, &view.arn);
            view.guards = guards;
            view.traces = !view.holds.is_empty() || set.is_some_and(|set| set.reads_origin());
            spaces.insert(space.id.as_str().to_owned(), Arc::new(view));
        }
        let mut rows: HashMap<AgentId, AgentRows> = HashMap::new();
        for policy in &organization.tool_policies {
            rows.entry(policy.agent.clone()).or_default().add(policy);
        }
        for agent in rows.values_mut() {
            agent.prefix.sort_by(|(a, x), (b, y)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)).then(x.risk_max.cmp(&y.risk_max)));
            agent.exact.values_mut().for_each(|rows| rows.sort_by_key(|row| row.risk_max));
        }
        findings.sort_by(|a, b| (&a.server, &a.tool, &a.fault).cmp(&(&b.server, &b.tool, &b.fault)));
        findings.dedup();
        let tree = Tree::compile(&organization);
        Self { version, organization, spaces, findings, rows, tree, said: OnceLock::new() }
    }

    /// From now on answers are remembered that are the same for many calls: for whoever decides very many, such as a replay. It changes no
    /// decision (tests decide both ways).
    pub fn remember(&self) {
        self.said.get_or_init(Memory::default);
        self.spaces.values().filter_map(|space| space.policy_set.as_ref()).for_each(|set| set.remember());
    }

    /// What the registry says. A row that forbids stands above every other; else the most specific one decides, and of equals the
    /// strictest.
    pub(crate) fn row(&self, agent: &AgentId, id: &str) -> RowMatch<'_> {
        let Some(rows) = self.rows.get(agent) else { return RowMatch::UnknownAgent };
        let exact = rows.exact.get(id).into_iter().flatten();
        let prefix = rows.prefix.iter().filter(|(prefix, _)| id.starts_with(prefix.as_str())).map(|(_, row)| row);
        let mut decides: Option<&Row> = None;
        for row in exact.chain(prefix) {
            if !row.allowed {
                return RowMatch::Row(row);
            }
            decides = decides.or(Some(row));
        }
        decides.map_or(RowMatch::None, RowMatch::Row)
    }
}

impl AgentRows {
    fn add(&mut self, policy: &ToolPolicy) {
        let verb = if policy.allowed { "allows" } else { "forbids" };
        let statement = format!("tool policy ({}, {}) {verb}, risk_max {}", policy.agent, policy.tool, policy.risk_max);
        let row = Row {
            allowed: policy.allowed,
            risk_max: policy.risk_max,
            statement: statement.into(),
            origin: policy.origin.as_str().into(),
        };
        match policy.tool.strip_suffix('*') {
            Some(prefix) => self.prefix.push((prefix.to_owned(), row)),
            None => self.exact.entry(policy.tool.clone()).or_default().push(row),
        }
    }
}

/// The policy set of a space, compiled against its tools.
///
/// `unheard` are the accepted tools, by id and definition, of servers that haven't answered yet: at a start rules about them, and the
/// history that those look back on, must not wait for the slowest server.
fn policy_set(view: &SpaceView, unheard: &[(String, &str)], old: Option<&Arc<PolicySet>>) -> Option<Arc<PolicySet>> {
    let texts = view.space.policy_set.as_ref()?;
    let mode = |log_only: bool| if log_only { Mode::LogOnly } else { Mode::Active };
    let file =
        |file: &remit_model::PolicyFile| File { path: file.path.clone(), text: file.text.clone(), mode: mode(file.log_only) };
    let files: Vec<File> = texts.files.iter().map(file).collect();
    // What nobody accepted is in no vocabulary: it is refused anyhow.
    let accepted = view.tools_listed.iter().filter(|tool| tool.pin != PinState::New);
    let heard = accepted.map(|tool| (&*tool.id, &*tool.definition));
    let server = |id: &'_ str| id.split_once(TOOL_SEPARATOR).map_or(0, |(server, _)| server.len());
    let tools: Vec<Tool<'_>> = heard
        .chain(unheard.iter().map(|(id, definition)| (id.as_str(), *definition)))
        .map(|(id, definition)| Tool { id, server: id.get(..server(id)).unwrap_or_default(), definition })
        .collect();
    let kept = old.filter(|set| set.mode() == mode(texts.log_only) && set.source().files() == files);
    let source = match kept {
        Some(set) if set.is_of(set.source(), &tools, &view.arn) => return Some(Arc::clone(set)),
        Some(set) => Arc::clone(set.source()),
        // What can't be read permits nothing. A configuration with such a text is refused when it is read.
        None => Arc::new(Source::read(mode(texts.log_only), files).unwrap_or_else(|_| Source::unreadable())),
    };
    Some(Arc::new(PolicySet::compile(&source, &tools, &view.arn)))
}

struct SpaceBuilder<'a> {
    organization: &'a Organization,
    catalogue: &'a Catalogue,
    space: &'a Space,
    guards: &'a Guards,
    findings: &'a mut Vec<ToolFinding>,
}

impl SpaceBuilder<'_> {
    fn build(&mut self, pinned: &HashMap<ServerKey, Vec<Pinned>>) -> SpaceView {
        let mut view = SpaceView {
            space: self.space.clone(),
            arn: self.organization.space_arn(self.space),
            tools: HashMap::new(),
            tools_listed: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            statuses: HashMap::new(),
            servers: Vec::new(),
            policy_set: None,
            holds: Holds::default(),
            guards: Guards::default(),
            traces: false,
        };
        for entry in &self.space.servers {
            let key = Organization::server_key(self.space, entry);
            let Some(server) = self.organization.servers.get(&key) else { continue };
            let status = self.catalogue.status(server);
            if status != RegistryStatus::Approved {
                view.statuses.insert(key.clone(), status);
            }
            for tool in pinned.get(&key).into_iter().flatten() {
                self.tool(&mut view, server, &key, entry, tool);
            }
            self.absent(&key, entry, pinned);
            self.listed(&mut view, &key, entry);
            view.servers.push((key, entry.clone()));
        }
        view
    }

    /// The accepted tools that the space admits of servers that haven't answered yet: their ids and definitions.
    fn unheard(&self) -> Vec<(String, &str)> {
        let mut unheard = Vec::new();
        for entry in &self.space.servers {
            let key = Organization::server_key(self.space, entry);
            let Some(server) = self.organization.servers.get(&key).filter(|_| !self.catalogue.servers.contains_key(&key)) else {
                continue;
            };
            let own = |(pin_key, _): &(&PinKey, _)| pin_key.server == key && pin_key.tool != INSTRUCTIONS;
            for (pin_key, pin) in self.catalogue.pins.iter().filter(own) {
                let admitted = match &entry.tools {
                    ToolAdmission::All => true,
                    ToolAdmission::Listed(names) => names.contains(&pin_key.tool),
                };
                if admitted {
                    unheard.push((tool_id(entry, server, &pin_key.tool), pin.definition.as_str()));
                }
            }
        }
        unheard
    }

    fn finding(&mut self, server: &ServerKey, tool: &str, fault: String) {
        self.findings.push(ToolFinding { server: server.clone(), tool: tool.to_owned(), fault });
    }

    /// What a server says of something that it offers, as agents of the space may see it.
    fn shown(&mut self, server: &ServerKey, name: &str, said: &Arc<str>, called: &[&str]) -> Option<Arc<str>> {
        let shown = self.guards.shown(said, called);
        if let Err(why) = &shown {
            self.finding(server, name, format!("space `{}` doesn't list it: {why}", self.space.id));
        }
        shown.ok()
    }

    /// Names the tools that the space lists and the server, having answered, doesn't offer.
    fn absent(&mut self, key: &ServerKey, entry: &SpaceServer, pinned: &HashMap<ServerKey, Vec<Pinned>>) {
        let ToolAdmission::Listed(names) = &entry.tools else { return };
        if !self.catalogue.servers.contains_key(key) {
            return;
        }
        let offered: HashSet<&str> = pinned.get(key).into_iter().flatten().map(|tool| tool.definition.name.as_str()).collect();
        for name in names.iter().filter(|name| !offered.contains(name.as_str())) {
            self.finding(key, name, format!("space `{}` lists it, but the server doesn't offer it", self.space.id));
        }
    }

    fn tool(&mut self, view: &mut SpaceView, server: &Server, key: &ServerKey, entry: &SpaceServer, tool: &Pinned) {
        let own = &tool.definition.name;
        let admitted = match &entry.tools {
            ToolAdmission::All => true,
            ToolAdmission::Listed(names) => names.contains(own),
        };
        if !admitted {
            return;
        }
        let said = server.tools.get(own).cloned().unwrap_or_default();
        let base = said.expose_as.as_ref().map_or(own.as_str(), ToolName::as_str);
        let exposed = if entry.prefix { format!("{}{TOOL_SEPARATOR}{base}", entry.server) } else { base.to_owned() };
        let Ok(exposed) = ToolName::new(&exposed) else {
            let fault =
                format!("its exposed name `{exposed}` is not 1 to 64 of letters, digits, `_` and `-`: give it an `expose_as`");
            self.finding(key, own, fault);
            return;
        };
        if let Some(other) = view.tools.get(exposed.as_str()) {
            let fault = format!(
                "space `{}` already exposes `{exposed}` from server `{}`: give one of them an `expose_as`",
                self.space.id, other.server.name
            );
            self.finding(key, own, fault);
            return;
        }
        let class = said.class.unwrap_or(tool.definition.class);
        if class > self.space.class_max {
            let fault = format!(
                "space `{}` is mandated {}, and this tool is {class}: it is refused; take it off the list or state its class",
                self.space.id, self.space.class_max
            );
            self.finding(key, own, fault);
        }
        let definition = renamed(&tool.definition.json, "name", exposed.as_str());
        let shown = self.shown(key, own, &definition, &["name"]);
        let input = serde_json::from_str::<serde_json::Value>(&tool.definition.json).ok();
        let input = input.as_ref().and_then(|definition| definition.get("inputSchema")).unwrap_or(&serde_json::Value::Null);
        let view_of_tool = ToolView {
            roles: Roles::of(own, input, &said.arguments),
            results: said.results.over(server.results.over(ResultLabels::default())),
            id: tool_id(entry, server, own).into(),
            server: key.clone(),
            name: own.clone(),
            arn: self.organization.offered_arn(self.space, key, "tool", own),
            class,
            risk: said.risk.unwrap_or_else(|| class.risk_default()),
            categories: said.categories,
            pin: tool.state.clone(),
            digest: tool.definition.digest.clone(),
            definition,
            shown,
            schema: Arc::clone(&tool.definition.schema),
            param_headers: tool.definition.param_headers.clone(),
            exposed: exposed.clone(),
        };
        let tool = Arc::new(view_of_tool);
        view.tools_listed.push(Arc::clone(&tool));
        view.tools.insert(exposed.as_str().to_owned(), tool);
    }

    fn listed(&mut self, view: &mut SpaceView, key: &ServerKey, entry: &SpaceServer) {
        let Some(live) = self.catalogue.servers.get(key) else { return };
        let live = Arc::clone(live);
        if entry.prompts {
            for prompt in &live.prompts {
                let exposed =
                    if entry.prefix { format!("{}{TOOL_SEPARATOR}{}", entry.server, prompt.name) } else { prompt.name.clone() };
                if view.prompts.iter().any(|other| other.exposed == exposed) {
                    self.finding(key, &prompt.name, format!("space `{}` already exposes a prompt `{exposed}`", self.space.id));
                    continue;
                }
                let json = self.shown(key, &prompt.name, &renamed(&prompt.json, "name", &exposed), &["name"]);
                view.prompts.push(ListedView {
                    id: format!("{}{TOOL_SEPARATOR}prompts/{}", entry.server, prompt.name),
                    server: key.clone(),
                    name: prompt.name.clone(),
                    json,
                    exposed,
                });
            }
        }
        if entry.resources {
            for (listed, into) in [(&live.resources, &mut view.resources), (&live.templates, &mut view.templates)] {
                for resource in listed {
                    if into.iter().any(|other| other.exposed == resource.name) {
                        let fault = format!("space `{}` already exposes the resource `{}`", self.space.id, resource.name);
                        self.findings.push(ToolFinding { server: key.clone(), tool: resource.name.clone(), fault });
                        continue;
                    }
                    let json = self.shown(key, &resource.name, &resource.json, &["uri", "uriTemplate"]);
                    into.push(ListedView {
                        exposed: resource.name.clone(),
                        id: format!("{}{TOOL_SEPARATOR}resources/{}", entry.server, resource.name),
                        server: key.clone(),
                        name: resource.name.clone(),
                        json,
                    });
                }
            }
        }
    }
}

/// The name of a tool that policies use.
fn tool_id(entry: &SpaceServer, server: &Server, own: &str) -> String {
    let said = server.tools.get(own).and_then(|said| said.expose_as.as_ref());
    format!("{}{TOOL_SEPARATOR}{}", entry.server, said.map_or(own, ToolName::as_str))
}

impl SpaceView {
    /// Why nothing of a server can be reached, if so: how it stands in the registry.
    pub fn unserved(&self, server: &ServerKey) -> Option<String> {
        let status = self.statuses.get(server).filter(|status| !status.serves())?;
        Some(format!("server `{server}` is {status} in the registry, and only what is APPROVED can be reached"))
    }

    /// The same of the server that a name would be of, by its prefix.
    pub(crate) fn unserved_by_name(&self, exposed: &str) -> Option<String> {
        let named = |(key, entry): &&(ServerKey, SpaceServer)| {
            let rest = exposed.strip_prefix(entry.server.as_str());
            entry.prefix && rest.is_some_and(|rest| rest.starts_with(TOOL_SEPARATOR)) && self.statuses.contains_key(key)
        };
        self.servers.iter().find(named).and_then(|(key, _)| self.unserved(key))
    }

    /// Which server knows a resource: the one that lists it, else the first whose template it could come from, else the only
    /// server here whose resources are admitted.
    pub fn resource_server(&self, uri: &str) -> Option<&ServerKey> {
        let listed = self.resources.iter().find(|resource| resource.exposed == uri).map(|resource| &resource.server);
        let templated = || {
            let fits = |template: &&ListedView| remit_mcp::uri::template_matches(&template.exposed, uri);
            self.templates.iter().find(fits).map(|template| &template.server)
        };
        let only = || {
            let mut with = self.servers.iter().filter(|(_, entry)| entry.resources);
            with.next().filter(|_| with.next().is_none()).map(|(key, _)| key)
        };
        listed.or_else(templated).or_else(only)
    }

    /// The prompt with this exposed name.
    pub fn prompt(&self, exposed: &str) -> Option<&ListedView> {
        self.prompts.iter().find(|prompt| prompt.exposed == exposed)
    }
}

/// The JSON text with its root field `key` changed to `value`, every other byte kept.
fn renamed(json: &Arc<str>, key: &str, value: &str) -> Arc<str> {
    let bytes = json.as_bytes();
    let Ok(spans) = scan(bytes, Limits::default()) else { return Arc::clone(json) };
    let Some(span) = spans.get(bytes, &spans.root, 1, key) else { return Arc::clone(json) };
    let mut splice = Splice::new();
    splice.replace(span, quote(value));
    String::from_utf8(splice.apply(bytes, spans.root)).map_or_else(|_| Arc::clone(json), Into::into)
}
