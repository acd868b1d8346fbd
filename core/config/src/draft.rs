//! From files to an organization: every file is read, merged, and then held against the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remit_model::{Account, AccountId, AgentId, Issuer, Organization, OuId, RoleKey, Server, ServerKey, SpaceId, UserKey};

use crate::access::{self, AgentDraft, PolicyDraft, SpaceDraft};
use crate::iam::{self, RoleDraft, Shelf, UnitDraft, UserDraft};
use crate::item::{Item, Object, Sink};
use crate::suggest::did_you_mean;
use crate::yaml::{At, Node, Value, parse};
use crate::{
    Fault, Loaded, SourceFile, alarm, approval, behaviour, budget, check, cloudwatch, console, delivery, guardrail, invariant,
    path, registry, retention, review, sandbox, server, trust, witness, zone,
};

/// The most bytes of all files together.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The keys of a document. `$schema` is for editors.
const TOP: &[&str] = &[
    "$schema",
    "organization",
    "change_review",
    "console",
    "organizational_units",
    "accounts",
    "policies",
    "roles",
    "users",
    "servers",
    "sandbox_profiles",
    "trust_zones",
    "spaces",
    "agents",
    "issuers",
    "tool_policies",
    "approval_rules",
    "approvers",
    "approval_channels",
    "deliveries",
    "guardrails",
    "bedrock_policies",
    "invariants",
    "alarms",
    "budgets",
    "behaviour",
    "cloudwatch",
    "registry",
    "retention",
    "trust",
    "witnessing",
];

/// What was read, with the place of each part.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) organization: Organization,
    pub(crate) accounts: BTreeMap<AccountId, Item<'a>>,
    pub(crate) units: BTreeMap<OuId, UnitDraft<'a>>,
    pub(crate) roles: BTreeMap<RoleKey, RoleDraft<'a>>,
    pub(crate) users: BTreeMap<UserKey, UserDraft<'a>>,
    pub(crate) servers: BTreeMap<ServerKey, (Server, Item<'a>)>,
    pub(crate) spaces: BTreeMap<SpaceId, SpaceDraft<'a>>,
    pub(crate) agents: BTreeMap<AgentId, AgentDraft<'a>>,
    pub(crate) issuers: BTreeMap<String, (Issuer, Item<'a>)>,
    pub(crate) policies: Vec<PolicyDraft<'a>>,
    /// Whether every file could be read to its end: else a name that isn't found may stand in the rest.
    pub(crate) complete: bool,
}

/// Reads a configuration directory: all of its files, in any order. Those that [`crate::is_source`] admits are enough. Names
/// every fault of every file, in their order; or, if there is none, answers the organization and its warnings.
pub fn read(files: &[SourceFile]) -> Result<Loaded, Vec<Fault>> {
    let sink = Sink::default();
    let mut sorted: Vec<&SourceFile> = files.iter().collect();
    sorted.sort();
    if sorted.iter().map(|file| file.text.len()).sum::<usize>() > BYTES_MAX {
        let what = format!("the directory holds more than {} MiB", BYTES_MAX / 1024 / 1024);
        sink.error(".", At::START, String::new(), what, "keep only the configuration in it".into());
        return Err(sink.into_faults());
    }
    let (documents, complete) = documents(&sorted, &sink);
    let texts: BTreeMap<&str, &str> = sorted.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    let roots: Vec<Object<'_>> = documents
        .iter()
        .filter(|(_, node)| !matches!(node.value, Value::Null))
        .filter_map(|(file, node)| Item { sink: &sink, file, node, pointer: String::new() }.object("a configuration", TOP))
        .collect();
    if roots.is_empty() && complete {
        let what = "there is no configuration here".to_owned();
        sink.error(".", At::START, String::new(), what, "write a `remit.yaml`; `examples/first-server` is the smallest".into());
    }
    let mut draft = Draft { complete, ..Draft::default() };
    draft.fill(&roots, &texts);
    check::check(&draft);
    let organization = draft.finish();
    let mut faults = sink.into_faults();
    if faults.iter().any(Fault::is_error) {
        // What is refused comes first: a warning may only be its consequence.
        faults.retain(Fault::is_error);
        return Err(faults);
    }
    Ok(Loaded { organization, warnings: faults })
}

/// All documents of all configuration files, without the files that others name as key sets or policy documents, and whether all
/// were read fully.
fn documents<'a>(files: &[&'a SourceFile], sink: &Sink) -> (Vec<(&'a str, Node)>, bool) {
    let mut read = Vec::new();
    let mut sets: BTreeSet<String> = BTreeSet::new();
    let mut last: Option<&str> = None;
    for file in files.iter().filter(|file| path::is_configuration(&file.path)) {
        if last == Some(&file.path) {
            let what = "the file was given twice".to_owned();
            sink.error(&file.path, At::START, String::new(), what, "give each file once".into());
        }
        last = Some(&file.path);
        let own = Sink::default();
        let parsed = parse(&file.path, &file.text, &own);
        parsed.documents.iter().for_each(|document| named_files(&file.path, document, &mut sets));
        read.push((file.path.as_str(), parsed, own));
    }
    let (mut documents, mut complete) = (Vec::new(), true);
    for (file, parsed, own) in read {
        if sets.contains(file) {
            continue;
        }
        own.into_faults().into_iter().for_each(|fault| sink.push(fault));
        complete &= parsed.complete;
        documents.extend(parsed.documents.into_iter().map(|document| (file, document)));
    }
    (documents, complete)
}

/// The files that a document names as key sets or policy documents.
pub(crate) fn named_files(file: &str, document: &Node, files: &mut BTreeSet<String>) {
    let list = |key: &str| document.get(key).map(Node::nodes).unwrap_or_default();
    let mut add = |named: Option<&Node>| {
        if let Some(Value::Text(named)) = named.map(|node| &node.value) {
            files.extend(path::resolve(file, named));
        }
    };
    for credential in list("agents").iter().filter_map(|agent| agent.get("credentials")).flat_map(Node::nodes) {
        add(credential.get("jwks_file"));
    }
    for keys in list("agents").iter().filter_map(|agent| agent.get("request_keys")) {
        add(keys.get("jwks_file"));
    }
    let documents = list("policies").iter().filter_map(|policy| policy.get("document"));
    let trusts = list("roles").iter().filter_map(|role| role.get("trust_policy"));
    let resources = list("servers").iter().filter_map(|server| server.get("resource_policy"));
    let holders = list("roles").iter().chain(list("users"));
    let inline = holders.filter_map(|holder| holder.get("inline_policies")).flat_map(|map| match &map.value {
        Value::Map(entries) => entries.iter().map(|entry| &entry.value).collect(),
        _ => Vec::new(),
    });
    let guardrails = list("guardrails").iter().filter_map(|guardrail| guardrail.get("definition"));
    let attached = list("bedrock_policies").iter().filter_map(|policy| policy.get("document"));
    for document in documents.chain(trusts).chain(resources).chain(inline).chain(guardrails).chain(attached) {
        add(document.get("file"));
    }
}

/// The items of a list, of all files.
fn lists<'a>(roots: &[Object<'a>], key: &'static str, of: &'static str) -> Vec<Item<'a>> {
    roots.iter().filter_map(|root| root.get(key)).flat_map(|list| list.list(of)).collect()
}

impl<'a> Draft<'a> {
    fn fill(&mut self, roots: &[Object<'a>], texts: &BTreeMap<&str, &str>) {
        let all = |key: &'static str, of: &'static str| lists(roots, key, of);
        self.organization.partition = partition(roots);
        let mut policies = Shelf::new(texts, &self.organization.partition, self.complete);
        for item in all("policies", "policies") {
            policies.add(&item);
        }
        let policies = policies;
        self.organization.policies = policies.policies_managed();
        self.organization(roots, &policies);
        self.organization.change_review = review::change_review(roots);
        self.organization.trust = trust::trust(roots);
        self.organization.witnessing = witness::witnessing(roots);
        for item in all("organizational_units", "organizational units") {
            let Some(unit) = iam::unit(&item, &policies) else { continue };
            let what = format!("there is already an organizational unit `{}`", unit.unit.id);
            once(&mut self.units, unit.unit.id.clone(), unit, &item, what);
        }
        for item in all("accounts", "accounts") {
            self.account(&item, &policies);
        }
        let accounts = std::mem::take(&mut self.organization.accounts);
        let account = |object: &Object<'_>| account_of(object, &accounts, self.complete);
        for item in all("roles", "roles") {
            let Some(role) = iam::role(&item, &policies, account) else { continue };
            let what = format!("account {} already has a role `{}`", role.role.key.account, role.role.key.name);
            once(&mut self.roles, role.role.key.clone(), role, &item, what);
        }
        for item in all("users", "users") {
            let Some(user) = iam::user(&item, &policies, account) else { continue };
            let what = format!("account {} already has a user `{}`", user.user.key.account, user.user.key.name);
            once(&mut self.users, user.user.key.clone(), user, &item, what);
        }
        self.servers(roots, &accounts, &policies);
        let account = |object: &Object<'_>| account_of(object, &accounts, self.complete);
        for item in all("issuers", "issuers") {
            let Some(issuer) = access::issuer(&item) else { continue };
            let what = format!("there is already an issuer `{}`", issuer.name);
            once(&mut self.issuers, issuer.name.clone(), (issuer, item.clone()), &item, what);
        }
        for item in all("agents", "agents") {
            let Some(agent) = access::agent(&item, account, texts) else { continue };
            let what = format!("there is already an agent `{}`", agent.agent.id);
            once(&mut self.agents, agent.agent.id.clone(), agent, &item, what);
        }
        for item in all("spaces", "spaces") {
            let Some(space) = access::space(&item, account, texts) else { continue };
            let what = format!("there is already a space `{}`", space.space.id);
            once(&mut self.spaces, space.space.id.clone(), space, &item, what);
        }
        self.policies = all("tool_policies", "tool policies").iter().filter_map(access::policy).collect();
        let (versions, attached) = (all("guardrails", "guardrails"), all("bedrock_policies", "policies"));
        let account = |object: &Object<'a>| account_of(object, &accounts, self.complete);
        self.organization.accounts = accounts.clone();
        let found = guardrail::guardrails((&versions, &attached), account, &policies, self);
        self.organization.guardrails = found;
        self.beside(roots);
    }

    /// Servers, what they run in, and the trust zones that they are of.
    fn servers(&mut self, roots: &[Object<'a>], accounts: &BTreeMap<AccountId, Account>, policies: &Shelf<'_>) {
        let account = |object: &Object<'_>| account_of(object, accounts, self.complete);
        let all = |key: &'static str, of: &'static str| lists(roots, key, of);
        let mut profiles = sandbox::Profiles::new();
        for item in all("sandbox_profiles", "sandbox profiles") {
            let Some(profile) = sandbox::profile(&item) else { continue };
            let what = format!("there is already a sandbox profile `{}`", profile.name);
            once(&mut profiles, profile.name.clone(), Arc::new(profile), &item, what);
        }
        let sandbox = |item: Option<&Item<'_>>| sandbox::sandbox(item, &profiles, self.complete);
        let profiles_said = all("sandbox_profiles", "sandbox profiles");
        let zones_said = all("trust_zones", "trust zones");
        let mut zones = zone::Zones::new();
        for item in &zones_said {
            let Some(zone) = zone::zone(item, sandbox) else { continue };
            let what = format!("there is already a trust zone `{}`", zone.name);
            once(&mut zones, zone.name.clone(), zone, item, what);
        }
        for item in all("servers", "servers") {
            let Some(mut server) = server::server(&item, account, policies, sandbox, &zones) else { continue };
            server.registration = registry::registration(&item, &profiles_said, &zones_said);
            let key = ServerKey { account: server.account.clone(), name: server.name.clone() };
            let what = format!("account {} already has a server `{}`", key.account, key.name);
            once(&mut self.servers, key, (server, item.clone()), &item, what);
        }
        self.organization.sandbox_profiles = profiles;
        self.organization.trust_zones = zones;
    }

    /// What is said about the nouns: they are known by then.
    fn beside(&mut self, roots: &[Object<'a>]) {
        let all = |key: &'static str, of: &'static str| lists(roots, key, of);
        let (rules, approvers, channels) =
            (all("approval_rules", "rules of approvals"), all("approvers", "approvers"), all("approval_channels", "channels"));
        let lists = approval::Lists { rules: &rules, approvers: &approvers, channels: &channels };
        let found = approval::approvals(&lists, self);
        self.organization.approvals = found;
        self.organization.invariants = invariant::invariants(&all("invariants", "invariants"), self);
        self.organization.alarms = alarm::alarms(&all("alarms", "alarms"), self);
        self.organization.budgets = budget::budgets(&all("budgets", "budgets"), self);
        self.organization.behaviour = behaviour::behaviour(roots, self);
        self.organization.cloudwatch = cloudwatch::cloudwatch(roots);
        self.organization.console = console::console(roots, self);
        self.organization.registry = registry::registry(roots);
        self.organization.retention = retention::retention(roots, self);
        self.organization.deliveries = delivery::deliveries(&all("deliveries", "deliveries"), self);
    }

    fn organization(&mut self, roots: &[Object<'a>], policies: &Shelf<'_>) {
        let found: Vec<Item<'a>> = roots.iter().filter_map(|root| root.get("organization")).collect();
        for more in found.iter().skip(1) {
            more.error("the organization is described twice", "keep one `organization`");
        }
        let keys = &[
            "id",
            "name",
            "partition",
            "root",
            "owner",
            "management_account",
            "service_control_policies",
            "resource_control_policies",
            "findings_admitted",
        ];
        let object = found.first().and_then(|item| item.object("an organization", keys));
        let text = |key: &str| object.as_ref().and_then(|object| object.get(key)).and_then(|item| Some((item.text()?, item)));
        let word = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        for key in ["id", "partition", "root"] {
            if let Some((text, item)) = text(key).filter(|(text, _)| !word(text)) {
                let what = format!("{} is no {key} of an organization", crate::item::shown(text));
                item.error(what, "1 to 64 lower-case letters, digits and `-`");
            }
        }
        let or = |key: &str, default: &str| text(key).map_or(default, |(text, _)| text).to_owned();
        self.organization.id = or("id", "o-local");
        self.organization.name = or("name", "Local");
        self.organization.root = or("root", "r-root");
        self.organization.owner = text("owner").map(|(owner, _)| owner.to_owned());
        let management = object.as_ref().and_then(|object| object.get("management_account"));
        self.organization.management_account = management.and_then(|item| item.id(AccountId::new));
        self.organization.controls = object.as_ref().map(|object| policies.controls(object)).unwrap_or_default();
    }

    fn account(&mut self, item: &Item<'a>, policies: &Shelf<'_>) {
        let keys = &[
            "id",
            "name",
            "owner",
            "organizational_unit",
            "service_control_policies",
            "resource_control_policies",
            "findings_admitted",
            "permissions_boundary",
            "tags",
        ];
        let Some(object) = item.object("an account", keys) else { return };
        let name = object.need("name").and_then(|name| name.text()).unwrap_or_default().to_owned();
        let Some(id) = object.need("id").and_then(|id| id.id(AccountId::new)) else { return };
        let owner = object.get("owner").and_then(|owner| owner.text()).map(str::to_owned);
        let unit = object.get("organizational_unit").and_then(|unit| unit.id(OuId::new));
        let permissions_boundary = policies.boundary(&object, &id);
        let (controls, tags) = (policies.controls(&object), iam::tags(&object));
        let what = format!("there is already an account {id}");
        self.accounts.entry(id.clone()).or_insert_with(|| item.clone());
        let account = Account { id: id.clone(), name, owner, unit, controls, permissions_boundary, tags };
        once(&mut self.organization.accounts, id, account, item, what);
    }

    fn finish(self) -> Organization {
        let mut organization = self.organization;
        organization.units = self.units.into_iter().map(|(id, draft)| (id, draft.unit)).collect();
        organization.roles = self.roles.into_iter().map(|(key, draft)| (key, draft.role)).collect();
        organization.users = self.users.into_iter().map(|(key, draft)| (key, draft.user)).collect();
        // What an account's administrators can hand out at most holds for whoever names no boundary.
        let boundary = |account: &AccountId| organization.accounts.get(account)?.permissions_boundary.clone();
        for role in organization.roles.values_mut() {
            role.permissions_boundary = role.permissions_boundary.take().or_else(|| boundary(&role.key.account));
        }
        for user in organization.users.values_mut() {
            user.permissions_boundary = user.permissions_boundary.take().or_else(|| boundary(&user.key.account));
        }
        organization.servers = self.servers.into_iter().map(|(key, (server, _))| (key, server)).collect();
        organization.spaces = self.spaces.into_iter().map(|(id, draft)| (id, draft.space)).collect();
        organization.agents = self.agents.into_iter().map(|(id, draft)| (id, draft.agent)).collect();
        organization.issuers = self.issuers.into_iter().map(|(name, (issuer, _))| (name, issuer)).collect();
        organization.tool_policies = self.policies.into_iter().map(|draft| draft.policy).collect();
        organization
    }
}

/// The partition that the organization says, before anything else is read: ARNs need it.
fn partition(roots: &[Object<'_>]) -> String {
    let said = roots.iter().filter_map(|root| root.get("organization")).find_map(|item| {
        let Some(Value::Text(text)) = item.node.get("partition").map(|node| &node.value) else { return None };
        Some(text.clone())
    });
    said.unwrap_or_else(|| "aws".to_owned())
}

/// Adds to a map; tells of a second value for one key and keeps the first.
fn once<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, item: &Item<'_>, what: String) {
    if let std::collections::btree_map::Entry::Vacant(e) = map.entry(key) {
        e.insert(value);
    } else {
        item.error(what, "rename one of the two, or remove it");
    }
}

/// The account that an object names; the only one there is, if it names none.
fn account_of(object: &Object<'_>, accounts: &BTreeMap<AccountId, Account>, complete: bool) -> Option<AccountId> {
    let Some(item) = object.get("account") else {
        let mut ids = accounts.keys();
        return match (ids.next(), ids.next()) {
            (Some(only), None) => Some(only.clone()),
            (None, _) if complete => {
                object.item.error("there is no account", "add `accounts: [{ id: \"111122223333\", name: … }]`");
                None
            }
            (None, _) => None,
            _ => {
                object.item.error("there are several accounts, and this names none", "add `account: …`");
                None
            }
        };
    };
    let id = item.id(AccountId::new)?;
    if !accounts.contains_key(&id) && complete {
        let known = accounts.keys().map(AccountId::as_str);
        item.error(
            format!("there is no account {id}{}", did_you_mean(id.as_str(), known)),
            "add it to `accounts`, or correct the id",
        );
    }
    Some(id)
}
