//! A case in, a decision out: one line of JSON each, so that the command line, tests and other engines can be compared.
//!
//! A case is an object. `request` holds `principal` (an ARN, a service's name or an identity provider's), `action`, `resource`
//! (a text, or `{"resource", "accountId"}`) and `context` (or `contextVariables`): texts, numbers, truth values, lists of them,
//! and `null` for what could not be found out. A principal that is a session may come with `role`, the ARN of its role.
//!
//! The policies stand in `identityPolicies`, `permissionBoundaries` (or `permissionBoundaryPolicies`) and `sessionPolicy`,
//! `serviceControlPolicies` and `resourceControlPolicies` (a list of levels, the root first; a level is a list of policies or
//! `{"orgIdentifier", "policies"}`), and `resourcePolicy`, or `trustPolicy` for the question who may assume a role. A policy is
//! a document, or `{"name", "policy"}`.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{
    document::{self, Data, Entry, Node, quote},
    evaluate::{Decision, Layers, Request, evaluate, trust},
    keys::{Context, Keys, Value},
    policy::{Policy, PolicyKind},
    principal::Principal,
    set::PolicySet,
};

/// Decides one case.
///
/// The answer is a line of JSON, without its end: `{"id":…,"decision":"Allowed"}`, or as an error `{"id":…,"error":"…"}` for a
/// case that can't be read.
pub fn simulate_line(line: &str) -> Result<String, String> {
    let root = document::parse(line).map_err(|faults| failure("null", &told(&faults)))?;
    let id = root.get("id").map_or_else(|| "null".to_owned(), Node::to_json);
    match decide(&root) {
        Ok(decision) => Ok(format!(r#"{{"id":{id},"decision":"{}"}}"#, decision.name())),
        Err(error) => Err(failure(&id, &error)),
    }
}

fn failure(id: &str, error: &str) -> String {
    format!(r#"{{"id":{id},"error":{}}}"#, quote(error))
}

fn told(faults: &[document::Fault]) -> String {
    let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.what)).collect();
    told.join("; ")
}

fn decide(root: &Node) -> Result<Decision, String> {
    known(
        root,
        "the case",
        &[
            "id",
            "request",
            "identityPolicies",
            "permissionBoundaries",
            "permissionBoundaryPolicies",
            "sessionPolicy",
            "serviceControlPolicies",
            "resourceControlPolicies",
            "resourcePolicy",
            "trustPolicy",
        ],
    )?;
    let mut keys = Keys::new();
    let mut set = |kind, nodes: Vec<&Node>| compile(&mut keys, kind, &nodes);
    let identity = set(PolicyKind::Identity, list(root.get("identityPolicies"))?)?;
    let boundaries = root.get("permissionBoundaries").or_else(|| root.get("permissionBoundaryPolicies"));
    if boundaries.is_some_and(|node| node.data == Data::List(Vec::new())) {
        return Err("an empty list of boundaries may mean none, or one that allows nothing: leave it out".into());
    }
    let boundaries = list(boundaries)?;
    let boundary = (!boundaries.is_empty()).then(|| set(PolicyKind::Boundary, boundaries)).transpose()?;
    let one = |key: &str| root.get(key).filter(|node| node.data != Data::Null);
    let session = one("sessionPolicy").map(|node| set(PolicyKind::Session, vec![node])).transpose()?;
    let resource = one("resourcePolicy").map(|node| set(PolicyKind::Resource, vec![node])).transpose()?;
    let trusted = one("trustPolicy").map(|node| set(PolicyKind::Trust, vec![node])).transpose()?;
    let mut levels = |kind, key: &str| -> Result<Vec<PolicySet>, String> {
        let levels = list(root.get(key))?;
        levels.into_iter().map(|level| set(kind, list(Some(level.get("policies").unwrap_or(level)))?)).collect()
    };
    let service_control = levels(PolicyKind::ServiceControl, "serviceControlPolicies")?;
    let resource_control = levels(PolicyKind::ResourceControl, "resourceControlPolicies")?;
    if resource.is_some() && trusted.is_some() {
        return Err("`resourcePolicy` and `trustPolicy` exclude each other".into());
    }
    let layers = Layers {
        service_control: &service_control.iter().collect::<Vec<_>>(),
        resource_control: &resource_control.iter().collect::<Vec<_>>(),
        boundary: boundary.as_ref(),
        session: session.as_ref(),
        resource: resource.as_ref().or(trusted.as_ref()),
        ..Layers::of_identity(&identity)
    };
    ask(root.get("request").ok_or("`request` is missing")?, &keys, &layers, trusted.is_some())
}

fn ask(request: &Node, keys: &Keys, layers: &Layers<'_>, is_trust: bool) -> Result<Decision, String> {
    known(request, "`request`", &["principal", "role", "action", "resource", "context", "contextVariables"])?;
    let name = text(request.get("principal"), "principal")?;
    let role = match request.get("role") {
        Some(role) => Some(text(Some(role), "role")?.to_owned()),
        None => role_of(name),
    };
    let principal = principal(name, role.as_deref())?;
    let resource = request.get("resource");
    let (resource, account) = if let Some(inner) = resource.and_then(|resource| resource.get("resource")) {
        (text(Some(inner), "resource")?, resource.and_then(|resource| resource.get("accountId")?.text()))
    } else {
        let arn = text(resource, "resource")?;
        (arn, arn.split(':').nth(4).filter(|account| !account.is_empty()))
    };
    let entries = match request.get("context").or_else(|| request.get("contextVariables")).map(|node| &node.data) {
        None => &[],
        Some(Data::Map(entries)) => entries.as_slice(),
        Some(_) => return Err("`context` must be a mapping".into()),
    };
    let mut context = Context::new(keys);
    let many: Vec<Option<Vec<Cow<'_, str>>>> = entries.iter().map(|entry| several(&entry.value)).collect::<Result<_, _>>()?;
    for (Entry { key, value, .. }, many) in entries.iter().zip(&many) {
        let value = match (&value.data, many) {
            (Data::Null, _) => Value::Unknown,
            (_, Some(many)) => Value::Many(many),
            _ => Value::One(scalar(value)?),
        };
        if let Some(slot) = keys.slot(key) {
            context.set(slot, value);
        }
    }
    let action = text(request.get("action"), "action")?;
    let request = Request { principal: &principal, action, resource, resource_account: account, context: &context };
    let evaluation = if is_trust { trust(&request, layers, false) } else { evaluate(&request, layers, false) };
    if evaluation.lines().is_empty() {
        return Err("the action or the resource can't be read, or there are too many levels".into());
    }
    Ok(evaluation.decision())
}

/// The role of a session, if it has no path.
fn role_of(session: &str) -> Option<String> {
    let (head, tail) = session.split_once(":sts::")?;
    let (account, of_session) = tail.split_once(":assumed-role/")?;
    let (role, _) = of_session.split_once('/')?;
    Some(format!("{head}:iam::{account}:role/{role}"))
}

fn principal<'a>(name: &'a str, role: Option<&'a str>) -> Result<Principal<'a>, String> {
    let found = match role {
        Some(role) => Principal::session(role, name),
        None if name.ends_with(":root") => Principal::root(name),
        None if name.contains(":user/") => Principal::user(name),
        None if name.ends_with(".amazonaws.com") => Principal::service(name),
        None => Principal::federated(name),
    };
    found.map_err(|error| format!("`principal`: {error}"))
}

fn compile(keys: &mut Keys, kind: PolicyKind, nodes: &[&Node]) -> Result<PolicySet, String> {
    let mut policies = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let (name, document) = match node.get("policy") {
            Some(document) => (node.get("name").and_then(Node::text).unwrap_or("policy").to_owned(), document),
            None => (format!("{} {}", kind.name(), index + 1), *node),
        };
        let policy = Policy::read(kind, &name, "case", document).map_err(|faults| format!("{name}: {}", told(&faults)))?;
        policies.push(Arc::new(policy));
    }
    Ok(PolicySet::compile(keys, &policies))
}

fn known(node: &Node, what: &str, keys: &[&str]) -> Result<(), String> {
    let Data::Map(entries) = &node.data else { return Err(format!("{what} must be a mapping")) };
    match entries.iter().find(|entry| !keys.contains(&entry.key.as_str())) {
        None => Ok(()),
        Some(entry) => Err(format!("{what} has an unknown field `{}`", document::cut(&entry.key))),
    }
}

fn list(node: Option<&Node>) -> Result<Vec<&Node>, String> {
    match node.map(|node| &node.data) {
        None | Some(Data::Null) => Ok(Vec::new()),
        Some(Data::List(nodes)) => Ok(nodes.iter().collect()),
        Some(_) => Err("policies and levels must stand in lists".into()),
    }
}

fn text<'n>(node: Option<&'n Node>, what: &str) -> Result<&'n str, String> {
    node.and_then(Node::text).ok_or_else(|| format!("`{what}` must be a text"))
}

fn several(node: &Node) -> Result<Option<Vec<Cow<'_, str>>>, String> {
    match &node.data {
        Data::List(nodes) => nodes.iter().map(|node| scalar(node).map(Cow::Borrowed)).collect::<Result<_, _>>().map(Some),
        _ => Ok(None),
    }
}

fn scalar(node: &Node) -> Result<&str, String> {
    match &node.data {
        Data::Text(text) | Data::Number(text) => Ok(text),
        Data::Bool(true) => Ok("true"),
        Data::Bool(false) => Ok("false"),
        _ => Err("a value of the context must be a text, a number, a truth value, a list of them, or null".into()),
    }
}
