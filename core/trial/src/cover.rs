//! What cases exercised: for each statement of IAM, each policy of a policy set, each row of the registry and each tool that a space lists,
//! in how many cases it decided, and in how many it applied and the verdict went its way.
//!
//! Only what stands in the configuration is counted, not what Remit ships, and only what some call can reach: a role in which nobody
//! acts and a user's policies are told apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use remit_cedar::{File, Mode, RuleEffect, Source};
use remit_config::SourceFile;
use remit_config::item::Sink;
use remit_config::yaml::{Node, Value, parse};
use remit_iam::Policy;
use remit_kernel::{Decision, Layer, Verdict};
use remit_model::{
    AccountId, AgentCredential, Organization, PolicyFile, PolicyTexts, RoleKey, ServerKey, TOOL_SEPARATOR, ToolAdmission,
    ToolName,
};

use crate::cases::Case;
use crate::run::deciding;

/// Something that can be exercised.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unit {
    /// What it is: `service control policy`, `policy set`, `tool policy`, `listed tool`, …
    pub kind: &'static str,
    /// Its name: a statement's label, a policy's id, a row's agent and tool, a space and a tool.
    pub name: String,
    /// Whether it denies by name.
    pub denies: bool,
    /// Where it stands: the file, and the line from 1.
    pub file: String,
    /// The line.
    pub line: usize,
    /// Whether a call can reach it at all.
    pub reachable: bool,
    /// In how many cases the verdict rests on it.
    pub decided: u64,
    /// In how many others it applied, and the verdict went its way.
    pub contributed: u64,
}

impl Unit {
    /// Whether a case exercised it.
    pub fn is_covered(&self) -> bool {
        self.decided + self.contributed > 0
    }
}

/// What a run of cases exercised.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    units: Vec<Unit>,
    /// By `file:line`.
    places: HashMap<String, Vec<usize>>,
    /// Listed tools by space and policy name.
    listed: HashMap<(String, String), usize>,
    /// Spaces' entries that admit every tool, by space and server.
    open: HashMap<(String, ServerKey), usize>,
}

impl Coverage {
    /// Everything that an organization can exercise. `files` are its sources: they say on which lines spaces list their tools.
    pub fn of(organization: &Organization, files: &[SourceFile]) -> Self {
        let mut coverage = Self::default();
        let reach = Reach::of(organization);
        coverage.controls(organization);
        for (key, role) in &organization.roles {
            let reachable = reach.roles.contains(key);
            let boundary = role.permissions_boundary.as_ref();
            coverage.policy("permissions boundary", boundary.map(|attached| &*attached.policy), reachable);
            coverage.policy("trust policy", Some(&role.trust), reachable);
            for attached in &role.policies {
                coverage.policy("identity policy", Some(&attached.policy), reachable);
            }
        }
        for user in organization.users.values() {
            for attached in user.policies.iter().chain(&user.permissions_boundary) {
                coverage.policy("identity policy", Some(&attached.policy), false);
            }
        }
        for account in organization.accounts.values() {
            let boundary = account.permissions_boundary.as_ref().map(|attached| &*attached.policy);
            coverage.policy("permissions boundary", boundary, reach.accounts.contains(&account.id));
        }
        for (key, server) in &organization.servers {
            coverage.policy("resource policy", server.resource_policy.as_deref(), reach.servers.contains(key));
        }
        for row in &organization.tool_policies {
            let name = format!("({}, {})", row.agent, row.tool);
            coverage.unit(TOOL_POLICY, name, !row.allowed, &row.origin, true);
        }
        for rule in &organization.approvals.rules {
            coverage.unit(APPROVAL, rule.id.clone(), false, &rule.origin, true);
        }
        for space in organization.spaces.values() {
            coverage.policy_set(space.policy_set.as_ref());
        }
        coverage.lists(organization, files);
        coverage
    }

    /// The units, by file and line.
    pub fn units(&self) -> Vec<&Unit> {
        let mut units: Vec<&Unit> = self.units.iter().collect();
        units.sort_by(|a, b| (&a.file, a.line, a.kind, &a.name).cmp(&(&b.file, b.line, b.kind, &b.name)));
        units
    }

    /// How many of those that a call can reach were exercised, and how many there are.
    pub fn counts(&self) -> (usize, usize) {
        let reachable = self.units.iter().filter(|unit| unit.reachable);
        (reachable.clone().filter(|unit| unit.is_covered()).count(), reachable.count())
    }

    /// The share that was exercised, in hundredths of a percent: 10,000 is all, and nothing to exercise is all too.
    pub fn share(&self) -> usize {
        let (covered, all) = self.counts();
        (covered * 10_000).checked_div(all).unwrap_or(10_000)
    }

    /// As the trace file of `lcov` has it (geninfo(1)): each unit a line and a function of its name. `folder` stands before each file.
    pub fn lcov(&self, folder: &str) -> String {
        let mut files: BTreeMap<&str, Vec<&Unit>> = BTreeMap::new();
        for unit in self.units().into_iter().filter(|unit| unit.reachable) {
            files.entry(&unit.file).or_default().push(unit);
        }
        let mut out = String::new();
        for (file, units) in files {
            out.push_str(&format!("TN:remit\nSF:{folder}{file}\n"));
            let mut lines: BTreeMap<usize, u64> = BTreeMap::new();
            for unit in &units {
                let count = unit.decided + unit.contributed;
                out.push_str(&format!(
                    "FN:{},{} {}\nFNDA:{count},{} {}\n",
                    unit.line, unit.kind, unit.name, unit.kind, unit.name
                ));
                *lines.entry(unit.line).or_default() += count;
            }
            let hit = units.iter().filter(|unit| unit.is_covered()).count();
            out.push_str(&format!("FNF:{}\nFNH:{hit}\n", units.len()));
            for (line, count) in &lines {
                out.push_str(&format!("DA:{line},{count}\n"));
            }
            let hit = lines.values().filter(|count| **count > 0).count();
            out.push_str(&format!("LF:{}\nLH:{hit}\nend_of_record\n", lines.len()));
        }
        out
    }

    /// Counts what a decision rests on.
    pub(crate) fn record(&mut self, case: &Case, decision: &Decision) {
        // What waits for people passed everything else.
        let allowed = decision.may_become();
        let origins: Vec<&str> = deciding(decision, allowed).into_iter().filter_map(|line| line.origin.as_deref()).collect();
        // A case counts once for a statement, however often trust was asked.
        let mut seen: Vec<(usize, bool)> = Vec::new();
        for statement in &decision.applied {
            if (statement.effect() == remit_iam::Effect::Allow) != allowed {
                continue;
            }
            let decides = origins.contains(&&**statement.origin());
            let units = self.places.get(&**statement.origin()).into_iter().flatten();
            let named =
                units.copied().filter(|place| self.units.get(*place).is_some_and(|unit| *unit.name == **statement.label()));
            for place in named {
                match seen.iter_mut().find(|(known, _)| *known == place) {
                    Some((_, before)) => *before |= decides,
                    None => seen.push((place, decides)),
                }
            }
        }
        for policy in &decision.applied_policies {
            // What is only logged never has its way, so it counts where it applied, whatever the verdict.
            if policy.is_enforced && (policy.effect == RuleEffect::Permit) != allowed {
                continue;
            }
            let decides = policy.is_enforced && origins.contains(&policy.origin.as_str());
            let units = self.places.get(&policy.origin).into_iter().flatten().copied();
            let named = units
                .filter(|place| self.units.get(*place).is_some_and(|unit| unit.kind == POLICY_SET && unit.name == policy.id));
            seen.extend(named.map(|place| (place, decides)));
        }
        if let Some(line) = decision.layers.iter().find(|line| line.layer == Layer::ToolPolicy)
            && let Some(origin) = line.origin.as_deref()
            && line.effect.agrees() == allowed
        {
            let rows = self.places.get(origin).into_iter().flatten().copied();
            let decides = allowed || matches!(&decision.verdict, Verdict::Deny(denial) if denial.layer == Layer::ToolPolicy);
            seen.extend(
                rows.filter(|place| self.units.get(*place).is_some_and(|unit| unit.kind == TOOL_POLICY)).map(|p| (p, decides)),
            );
        }
        let held = match &decision.verdict {
            Verdict::Hold(request) => request.rules.as_slice(),
            _ => decision.approval.as_ref().map(|approval| approval.rules.as_slice()).unwrap_or_default(),
        };
        for rule in held {
            let places = self.places.get(&rule.origin).into_iter().flatten().copied();
            seen.extend(
                places
                    .filter(|place| self.units.get(*place).is_some_and(|unit| unit.kind == APPROVAL))
                    .map(|place| (place, true)),
            );
        }
        if let Some(tool) = decision.tool.as_ref().filter(|_| allowed) {
            let listed = self.listed.get(&(case.space.clone(), tool.id.to_string()));
            let open = || self.open.get(&(case.space.clone(), tool.server.clone()));
            seen.extend(listed.or_else(open).map(|place| (*place, true)));
        }
        for (place, decides) in seen {
            if let Some(unit) = self.units.get_mut(place) {
                *(if decides { &mut unit.decided } else { &mut unit.contributed }) += 1;
            }
        }
    }

    /// Control policies count wherever they are attached: they are for accounts and spaces that may come.
    fn controls(&mut self, organization: &Organization) {
        let units = organization.units.values().map(|unit| &unit.controls);
        let accounts = organization.accounts.values().map(|account| &account.controls);
        for controls in std::iter::once(&organization.controls).chain(units).chain(accounts) {
            for policy in controls.service_control.iter().flatten() {
                self.policy("service control policy", Some(policy), true);
            }
            for policy in controls.resource_control.iter().flatten() {
                self.policy("resource control policy", Some(policy), true);
            }
        }
    }

    /// Adds a policy's statements, unless Remit ships it. What is attached in several places is one unit, and reachable if any is.
    fn policy(&mut self, kind: &'static str, policy: Option<&Policy>, reachable: bool) {
        for statement in policy.into_iter().flat_map(Policy::statements) {
            if statement.origin().starts_with("arn:") {
                continue;
            }
            let denies = statement.effect() == remit_iam::Effect::Deny;
            self.unit(kind, statement.label().to_string(), denies, statement.origin(), reachable);
        }
    }

    /// Adds the policies of a space's set. A file that several spaces name is there once.
    fn policy_set(&mut self, texts: Option<&PolicyTexts>) {
        let Some(texts) = texts else { return };
        let read = |file: &PolicyFile| File { path: file.path.clone(), text: file.text.clone(), mode: Mode::Active };
        // What can't be read isn't in a configuration that was read.
        let Ok(source) = Source::read(Mode::Active, texts.files.iter().map(read).collect()) else { return };
        for rule in source.rules() {
            self.unit(POLICY_SET, rule.id.clone(), rule.effect == RuleEffect::Forbid, &rule.origin, true);
        }
    }

    fn unit(&mut self, kind: &'static str, name: String, denies: bool, origin: &str, reachable: bool) -> Option<usize> {
        let (file, line) = origin.rsplit_once(':')?;
        let line = line.parse().ok()?;
        let known = self.places.entry(origin.to_owned()).or_default();
        for place in known.iter() {
            if let Some(unit) = self.units.get_mut(*place).filter(|unit| unit.kind == kind && unit.name == name) {
                unit.reachable |= reachable;
                return Some(*place);
            }
        }
        let place = self.units.len();
        known.push(place);
        self.units.push(Unit { kind, name, denies, file: file.to_owned(), line, reachable, decided: 0, contributed: 0 });
        Some(place)
    }

    fn lists(&mut self, organization: &Organization, files: &[SourceFile]) {
        let lines = lines(files);
        for space in organization.spaces.values() {
            for entry in &space.servers {
                let server = Organization::server_key(space, entry);
                let origin = |tool: &str| lines.get(&(space.id.to_string(), entry.server.to_string(), tool.to_owned()));
                match &entry.tools {
                    ToolAdmission::All => {
                        let Some(origin) = origin("") else { continue };
                        let name = format!("{} lists every tool of {}", space.id, entry.server);
                        if let Some(place) = self.unit(LISTED_TOOL, name, false, origin, true) {
                            self.open.insert((space.id.to_string(), server), place);
                        }
                    }
                    ToolAdmission::Listed(tools) => {
                        for tool in tools {
                            let Some(origin) = origin(tool) else { continue };
                            let said = organization.servers.get(&server).and_then(|server| server.tools.get(tool));
                            let base = said.and_then(|tool| tool.expose_as.as_ref()).map_or(tool.as_str(), ToolName::as_str);
                            let id = format!("{}{TOOL_SEPARATOR}{base}", entry.server);
                            let name = format!("{} lists {id}", space.id);
                            if let Some(place) = self.unit(LISTED_TOOL, name, false, origin, true) {
                                self.listed.insert((space.id.to_string(), id), place);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a row is called.
const TOOL_POLICY: &str = "tool policy";
const APPROVAL: &str = "rule of approvals";
/// What a policy in Cedar or Dogwood is called.
const POLICY_SET: &str = "policy set";
/// What a tool of a space's list is called.
const LISTED_TOOL: &str = "listed tool";

/// What calls can reach: in whose right they are made, and whose servers they are for.
struct Reach<'a> {
    roles: BTreeSet<&'a RoleKey>,
    servers: BTreeSet<ServerKey>,
    accounts: BTreeSet<&'a AccountId>,
}

impl<'a> Reach<'a> {
    fn of(organization: &'a Organization) -> Self {
        let mut reach = Self { roles: BTreeSet::new(), servers: BTreeSet::new(), accounts: BTreeSet::new() };
        for space in organization.spaces.values() {
            reach.accounts.insert(&space.account);
            reach.roles.extend(&space.role);
            for entry in &space.servers {
                reach.roles.extend(&entry.role);
                reach.servers.insert(Organization::server_key(space, entry));
            }
        }
        for credential in organization.agents.values().flat_map(|agent| &agent.credentials) {
            if let AgentCredential::Role { role, .. } = credential {
                reach.roles.insert(role);
            }
        }
        reach.accounts.extend(reach.roles.iter().map(|role| &role.account));
        reach
    }
}

/// Where spaces list tools: by space, server and tool, `file:line`; the tool is empty where all are admitted.
fn lines(files: &[SourceFile]) -> HashMap<(String, String, String), String> {
    let mut found = HashMap::new();
    let sink = Sink::default();
    let text = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    for file in files {
        let documents = parse(&file.path, &file.text, &sink).documents;
        for space in documents.iter().filter_map(|document| document.get("spaces")).flat_map(Node::nodes) {
            for entry in space.get("servers").map(Node::nodes).unwrap_or_default() {
                let Some(tools) = entry.get("tools") else { continue };
                let all = matches!(tools.value, Value::Text(_));
                for tool in tools.nodes().iter().chain(all.then_some(tools)) {
                    let name = if all { String::new() } else { text(Some(tool)) };
                    let key = (text(space.get("id")), text(entry.get("server")), name);
                    found.insert(key, format!("{}:{}", file.path, tool.at.line));
                }
            }
        }
    }
    found
}
