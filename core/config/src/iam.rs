//! The tree above the accounts, policies, roles and users.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remit_iam::{Policy, PolicyKind};
use remit_model::{
    AccountId, Attached, Controls, FindingsAdmitted, OrganizationalUnit, OuId, PolicyName, Role, RoleKey, RoleName, Tags, User,
    UserKey, UserName,
};

use crate::item::{Item, Object, shown};
use crate::managed;
use crate::suggest::did_you_mean;
use crate::yaml::{At, Node, Value};
use crate::{Fault, Severity, path};

/// The most managed policies of one role or user (IAM's quota after an increase).
const POLICIES_MAX: usize = 20;
/// The most control policies of one kind at one node (AWS Organizations).
const CONTROLS_MAX: usize = 5;
/// The most tags of anything (IAM).
const TAGS_MAX: usize = 50;

/// The words for which findings a tool is admitted with.
const FINDINGS_ADMITTED: [(&str, FindingsAdmitted); 3] =
    [("none", FindingsAdmitted::None), ("low", FindingsAdmitted::Low), ("medium", FindingsAdmitted::Medium)];
/// The words for a managed policy's type, as AWS Organizations has them.
const TYPES: [(&str, PolicyKind); 3] = [
    ("MANAGED_POLICY", PolicyKind::Identity),
    ("SERVICE_CONTROL_POLICY", PolicyKind::ServiceControl),
    ("RESOURCE_CONTROL_POLICY", PolicyKind::ResourceControl),
];

/// A policy by its name: from `policies`, or shipped with Remit.
#[derive(Debug, Clone)]
pub(crate) struct Managed {
    pub(crate) kind: PolicyKind,
    pub(crate) policy: Arc<Policy>,
    pub(crate) document: Arc<str>,
    /// Whether it is shipped with Remit: `arn:aws:iam::aws:policy/…`.
    pub(crate) shipped: bool,
}

/// What policies are read with.
pub(crate) struct Shelf<'f> {
    /// All files by path.
    pub(crate) files: &'f BTreeMap<&'f str, &'f str>,
    pub(crate) partition: String,
    managed: BTreeMap<String, Managed>,
    /// Policies whose faults are told already.
    broken: BTreeSet<String>,
    /// Whether every file could be read: else a policy that isn't found may stand in the rest.
    complete: bool,
}

/// A role and where it stands.
#[derive(Debug)]
pub(crate) struct RoleDraft<'a> {
    pub(crate) role: Role,
    pub(crate) item: Item<'a>,
    pub(crate) trust: Option<Item<'a>>,
}

/// A user and where it stands.
#[derive(Debug)]
pub(crate) struct UserDraft<'a> {
    pub(crate) user: User,
    pub(crate) item: Item<'a>,
}

/// A unit and where it stands.
#[derive(Debug)]
pub(crate) struct UnitDraft<'a> {
    pub(crate) unit: OrganizationalUnit,
    pub(crate) item: Item<'a>,
    pub(crate) parent: Option<Item<'a>>,
}

impl<'f> Shelf<'f> {
    /// With the policies that are shipped.
    pub(crate) fn new(files: &'f BTreeMap<&'f str, &'f str>, partition: &str, complete: bool) -> Self {
        let managed = managed::all(partition).into_iter().map(|(name, managed)| (name.to_owned(), managed)).collect();
        Self { files, partition: partition.to_owned(), managed, broken: BTreeSet::new(), complete }
    }

    /// Reads one of `policies`.
    pub(crate) fn add(&mut self, item: &Item<'_>) {
        let Some(object) = item.object("a policy", &["name", "type", "description", "document"]) else { return };
        let kind = object.get("type").and_then(|kind| kind.choice(&TYPES)).unwrap_or(PolicyKind::Identity);
        if let Some(description) = object.get("description") {
            description.text();
        }
        let Some(named) = object.need("name") else { return };
        let Some(name) = named.id(PolicyName::new) else { return };
        let read = object.need("document").and_then(|document| self.document(&document, kind, name.as_str()));
        if let Some(other) = self.managed.get(name.as_str()) {
            let whose = if other.shipped { "Remit ships a policy" } else { "there is already a policy" };
            named.error(format!("{whose} `{name}`"), "rename this one");
            return;
        }
        let Some((policy, document)) = read else {
            self.broken.insert(name.as_str().to_owned());
            return;
        };
        self.managed.insert(name.as_str().to_owned(), Managed { kind, policy, document, shipped: false });
    }

    /// A policy document: `{ file: … }`, or the document itself.
    pub(crate) fn document(&self, item: &Item<'_>, kind: PolicyKind, name: &str) -> Option<(Arc<Policy>, Arc<str>)> {
        let (file, node) = self.node(item)?;
        match Policy::read(kind, name, &file, &node) {
            Ok(policy) => Some((Arc::new(policy), node.to_json().into())),
            Err(faults) => {
                let inline = if file == item.file { item.pointer.as_str() } else { "" };
                tell(item, &file, inline, faults);
                None
            }
        }
    }

    /// A document of any kind as JSON text, `{ file: … }` or the document itself, and the file that it stands in.
    pub(crate) fn json(&self, item: &Item<'_>) -> Option<(String, String)> {
        self.node(item).map(|(file, node)| (file, node.to_json()))
    }

    fn node(&self, item: &Item<'_>) -> Option<(String, remit_iam::document::Node)> {
        if item.node.get("file").is_none() {
            return Some((item.file.to_owned(), node(item.node)));
        }
        let named = item.object("a document", &["file"])?.get("file")?;
        let file = self.file(&named)?;
        let text = self.files.get(file.as_str())?;
        match remit_iam::document::parse(text) {
            Ok(node) => Some((file, node)),
            Err(faults) => {
                tell(item, &file, "", faults);
                None
            }
        }
    }

    fn file(&self, named: &Item<'_>) -> Option<String> {
        let text = named.text()?;
        let Some(path) = path::resolve(named.file, text).filter(|path| path::is_source(path)) else {
            let what = format!("{} is no JSON file inside the configuration directory", shown(text));
            named.error(what, "write a `.json` file of this directory, relative to this file");
            return None;
        };
        if !self.files.contains_key(path.as_str()) {
            named.error(format!("there is no file `{path}`"), "put the document there, or correct the path");
            return None;
        }
        Some(path)
    }

    /// The managed policy that an item names, by name or ARN.
    fn named(&self, item: &Item<'_>, kind: PolicyKind, account: Option<&AccountId>) -> Option<Attached> {
        let text = item.text()?;
        let name = text.rsplit_once(":policy/").map_or(text, |(_, path)| path.rsplit('/').next().unwrap_or(path));
        let Some(found) = self.managed.get(name) else {
            if self.complete && !self.broken.contains(name) {
                let known = self.managed.iter().filter(|(_, other)| other.kind == kind).map(|(name, _)| name.as_str());
                let what = format!("there is no policy {}{}", shown(name), did_you_mean(name, known));
                item.error(what, "add it to `policies`, or correct the name");
            }
            return None;
        };
        if found.kind != kind {
            let word = |kind: PolicyKind| TYPES.iter().find(|(_, other)| *other == kind).map_or("", |(word, _)| word);
            let what = format!("`{name}` is a {}, and a {} belongs here", word(found.kind), word(kind));
            item.error(what, "name a policy of that type, or set its `type`");
            return None;
        }
        let owner = if found.shipped { "aws" } else { account.map_or("", AccountId::as_str) };
        Some(Attached {
            name: PolicyName::new(name).ok()?,
            arn: Some(format!("arn:{}:iam::{owner}:policy/{name}", self.partition)),
            policy: Arc::clone(&found.policy),
            document: Arc::clone(&found.document),
        })
    }

    /// Every managed policy for roles and users.
    pub(crate) fn policies_managed(&self) -> BTreeMap<String, Attached> {
        let identity = self.managed.iter().filter(|(_, managed)| managed.kind == PolicyKind::Identity);
        let attached = identity.filter_map(|(name, managed)| {
            let (policy, document) = (Arc::clone(&managed.policy), Arc::clone(&managed.document));
            let arn = managed.shipped.then(|| format!("arn:{}:iam::aws:policy/{name}", self.partition));
            Some((name.clone(), Attached { name: PolicyName::new(name).ok()?, arn, policy, document }))
        });
        attached.collect()
    }

    /// The control policies of a node.
    pub(crate) fn controls(&self, object: &Object<'_>) -> Controls {
        let list = |key: &str, kind: PolicyKind| {
            let list = object.get(key)?;
            let texts = list.texts("policy names");
            if texts.len() > CONTROLS_MAX {
                list.error(format!("more than {CONTROLS_MAX} policies at one node"), "merge some of them");
            }
            if list.node.nodes().is_empty() {
                list.warn("an empty list lets nothing through", "name at least FullAWSAccess, or leave the key out");
            }
            Some(texts.iter().filter_map(|(_, item)| Some(self.named(item, kind, None)?.policy)).collect())
        };
        Controls {
            service_control: list("service_control_policies", PolicyKind::ServiceControl),
            resource_control: list("resource_control_policies", PolicyKind::ResourceControl),
            findings_admitted: object.get("findings_admitted").and_then(|word| word.choice(&FINDINGS_ADMITTED)),
        }
    }

    /// The boundary that an object names. A boundary is read as an identity policy.
    pub(crate) fn boundary(&self, object: &Object<'_>, account: &AccountId) -> Option<Attached> {
        self.named(&object.get("permissions_boundary")?, PolicyKind::Identity, Some(account))
    }

    /// Managed and inline policies of a role or a user.
    fn policies(&self, object: &Object<'_>, account: &AccountId) -> Vec<Attached> {
        let mut attached = Vec::new();
        if let Some(list) = object.get("policies") {
            let texts = list.texts("policy names");
            if texts.len() > POLICIES_MAX {
                list.error(format!("more than {POLICIES_MAX} managed policies"), "merge some of them");
            }
            attached.extend(texts.iter().filter_map(|(_, item)| self.named(item, PolicyKind::Identity, Some(account))));
        }
        let inline = object.get("inline_policies").map(|map| map.pairs("policies by name")).unwrap_or_default();
        for (name, item) in inline {
            let Ok(checked) = PolicyName::new(name) else {
                item.error(format!("{} is not a policy name", shown(name)), "1 to 128 of letters, digits and `_+=,.@-`");
                continue;
            };
            if let Some((policy, document)) = self.document(&item, PolicyKind::Identity, name) {
                attached.push(Attached { name: checked, arn: None, policy, document });
            }
        }
        attached
    }
}

/// A session policy that stands where it is needed. Its faults go to the item's sink.
pub fn session_policy(item: &Item<'_>) -> Option<Arc<Policy>> {
    match Policy::read(PolicyKind::Session, "session", item.file, &node(item.node)) {
        Ok(policy) => Some(Arc::new(policy)),
        Err(faults) => {
            tell(item, item.file, &item.pointer, faults);
            None
        }
    }
}

/// Passes faults of a policy on. Those of an inline document stand in the configuration's own file.
fn tell(item: &Item<'_>, file: &str, inline: &str, faults: Vec<remit_iam::document::Fault>) {
    for fault in faults {
        item.sink.push(Fault {
            severity: Severity::Error,
            file: file.to_owned(),
            line: fault.place.line,
            column: fault.place.column,
            pointer: format!("{inline}{}", fault.pointer),
            what: fault.what,
            mend: fault.mend,
        });
    }
}

/// A YAML tree as IAM reads it.
pub(crate) fn node(from: &Node) -> remit_iam::document::Node {
    use remit_iam::document::{Data as Is, Entry, Node as To, Place};
    let place = |at: At| Place { line: at.line, column: at.column };
    let value = match &from.value {
        Value::Null => Is::Null,
        Value::Bool(flag) => Is::Bool(*flag),
        Value::Number(text) => Is::Number(text.clone()),
        Value::Text(text) => Is::Text(text.clone()),
        Value::List(nodes) => Is::List(nodes.iter().map(node).collect()),
        Value::Map(entries) => {
            let entry =
                |entry: &crate::yaml::Entry| Entry { place: place(entry.at), key: entry.key.clone(), value: node(&entry.value) };
            Is::Map(entries.iter().map(entry).collect())
        }
        Value::Broken => Is::Broken,
    };
    To { place: place(from.at), data: value }
}

/// Reads one organizational unit.
pub(crate) fn unit<'a>(item: &Item<'a>, shelf: &Shelf<'_>) -> Option<UnitDraft<'a>> {
    let keys = &["id", "name", "parent", "service_control_policies", "resource_control_policies", "findings_admitted"];
    let object = item.object("an organizational unit", keys)?;
    let id = object.need("id").and_then(|id| id.id(OuId::new));
    let name = object.need("name").and_then(|name| name.text()).unwrap_or_default().to_owned();
    let named = object.get("parent");
    let parent = named.as_ref().and_then(|parent| parent.id(OuId::new));
    let controls = shelf.controls(&object);
    Some(UnitDraft { unit: OrganizationalUnit { id: id?, name, parent, controls }, item: item.clone(), parent: named })
}

/// Reads one role.
pub(crate) fn role<'a>(
    item: &Item<'a>,
    shelf: &Shelf<'_>,
    account: impl Fn(&Object<'_>) -> Option<AccountId>,
) -> Option<RoleDraft<'a>> {
    let keys = &[
        "name",
        "account",
        "path",
        "description",
        "trust_policy",
        "policies",
        "inline_policies",
        "permissions_boundary",
        "max_session_duration_secs",
        "tags",
        "zone",
    ];
    let object = item.object("a role", keys)?;
    let name = object.need("name").and_then(|name| name.id(RoleName::new));
    let account = account(&object)?;
    let trusted = object.need("trust_policy");
    let trust =
        trusted.as_ref().and_then(|trust| shelf.document(trust, PolicyKind::Trust, name.as_ref().map_or("", RoleName::as_str)));
    let policies = shelf.policies(&object, &account);
    let permissions_boundary = shelf.boundary(&object, &account);
    let session_max_secs = object.get("max_session_duration_secs").and_then(|secs| {
        let count = secs.count(43_200)?;
        if count < 3600 {
            secs.error("a role's longest session is 3600 to 43200 seconds", "a caller may always ask for less");
        }
        Some(count)
    });
    let description = object.get("description").and_then(|text| text.text()).unwrap_or_default().to_owned();
    let tags = tags(&object);
    let path = iam_path(&object);
    let (trust, trust_document) = trust?;
    let role = Role {
        key: RoleKey { account, name: name? },
        path,
        description,
        trust,
        trust_document,
        policies,
        permissions_boundary,
        session_max_secs: session_max_secs.unwrap_or(3600),
        tags,
        zone: crate::zone::named(&object),
        origin: item.origin(),
    };
    Some(RoleDraft { role, item: item.clone(), trust: trusted })
}

/// Reads one user.
pub(crate) fn user<'a>(
    item: &Item<'a>,
    shelf: &Shelf<'_>,
    account: impl Fn(&Object<'_>) -> Option<AccountId>,
) -> Option<UserDraft<'a>> {
    let keys = &["name", "account", "path", "policies", "inline_policies", "permissions_boundary", "tags"];
    let object = item.object("a user", keys)?;
    let name = object.need("name").and_then(|name| name.id(UserName::new));
    let account = account(&object)?;
    let policies = shelf.policies(&object, &account);
    let permissions_boundary = shelf.boundary(&object, &account);
    let (path, tags) = (iam_path(&object), tags(&object));
    let key = UserKey { account, name: name? };
    let user = User { key, path, policies, permissions_boundary, tags, origin: item.origin() };
    Some(UserDraft { user, item: item.clone() })
}

/// A path as IAM has it: begins and ends with `/`, at most 512 characters.
fn iam_path(object: &Object<'_>) -> String {
    let Some(item) = object.get("path") else { return "/".to_owned() };
    let Some(text) = item.text() else { return "/".to_owned() };
    let fits = text.len() <= 512
        && text.starts_with('/')
        && text.ends_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b":*?".contains(&byte));
    if !fits {
        item.error(format!("{} is no path", shown(text)), "it begins and ends with `/`, such as `/service-role/`");
    }
    text.to_owned()
}

/// Tags: at most 50, keys of 1 to 128 and values of up to 256 characters (IAM).
pub(crate) fn tags(object: &Object<'_>) -> Tags {
    let mut tags = Tags::new();
    let Some(map) = object.get("tags") else { return tags };
    for (key, item) in map.pairs("tags: key and value") {
        let value = if matches!(&item.node.value, Value::Text(text) if text.is_empty()) { Some("") } else { item.text() };
        let Some(value) = value else { continue };
        if !tag_fits(key, value) {
            item.error(
                format!("{} is no tag", shown(key)),
                "keys of 1 to 128 and values of up to 256 letters, digits, spaces and `_.:/=+-@`",
            );
        } else if tags.keys().any(|other| other.eq_ignore_ascii_case(key)) {
            item.error(format!("{} differs from another tag only in its case", shown(key)), "keep one of the two");
        } else {
            tags.insert(key.to_owned(), value.to_owned());
        }
    }
    if tags.len() > TAGS_MAX {
        map.error(format!("more than {TAGS_MAX} tags"), "remove some");
    }
    tags
}

fn tag_fits(key: &str, value: &str) -> bool {
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c));
    (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 && allowed(key) && allowed(value)
}
