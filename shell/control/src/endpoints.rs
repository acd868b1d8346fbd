//! Every endpoint of the operator's interface, in one table: what it is asked with, and which action a role must allow for it.

use http::{Method, StatusCode};
use remit_identity::form;
use remit_kernel::Snapshot;
use remit_kernel::operate::organization_arn;
use remit_model::{AccountId, ServerKey, ServerName};
use serde_json::{Value, json};

use crate::asked;
use crate::caller::Caller;
use crate::operator::Operator;
use crate::organization;

/// What the paths of changes begin with.
pub(crate) const CHANGES: &str = "/v1/configuration/";

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path; a part in braces stands for any one part.
    pub path: &'static str,
    /// The action that must be allowed.
    pub action: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// Whether it changes anything: then who did it is recorded, and who wasn't let to.
    pub changes: bool,
    runs: Runs,
}

impl Endpoint {
    /// Whether nothing at all is a question: these never had one.
    pub(crate) fn may_be_empty(&self) -> bool {
        self.method == Method::POST && matches!(self.runs, Runs::Reload | Runs::Link | Runs::Decisions(_))
    }

    /// The statuses of an answer that isn't a refusal.
    pub(crate) fn succeeds_with(&self) -> &'static [&'static str] {
        match self.runs {
            Runs::Connect => &["201"],
            // What somebody must review first is accepted, and waits.
            Runs::Change("apply" | "rollback") => &["200", "202"],
            _ => &["200"],
        }
    }
}

/// What runs.
#[derive(Debug, Clone, Copy)]
enum Runs {
    Status,
    Organization,
    Explain,
    Ways,
    Effective,
    Credentials,
    Revoke,
    Suspend,
    Accept,
    Reload,
    Connect,
    Disconnect,
    Attempt,
    Change(&'static str),
    Approvals(&'static str),
    Decisions(&'static str),
    Trust(&'static str),
    Retention(&'static str),
    Secrets(&'static str),
    Registry(&'static str),
    Alarms,
    Behaviour,
    Usage,
    Journal,
    Link,
}

const fn get(path: &'static str, action: &'static str, runs: Runs, about: &'static str) -> Endpoint {
    Endpoint { method: Method::GET, path, action, about, changes: false, runs }
}

/// A question that is too large for a query.
const fn ask(path: &'static str, action: &'static str, runs: Runs, about: &'static str) -> Endpoint {
    Endpoint { method: Method::POST, path, action, about, changes: false, runs }
}

const fn change(path: &'static str, action: &'static str, runs: Runs, about: &'static str) -> Endpoint {
    Endpoint { method: Method::POST, path, action, about, changes: true, runs }
}

/// The table. Of two paths that fit, the earlier one is meant.
pub static ENDPOINTS: [Endpoint; 60] = [
    get("/v1/status", "remit:GetStatus", Runs::Status, "The snapshot in effect: spaces, servers, tools, pins, what is suspended"),
    get("/v1/organization", "remit:GetOrganization", Runs::Organization, "The tree, with what is attached to it"),
    ask("/v1/explain", "remit:Explain", Runs::Explain, "One decision with every layer, and what would allow it"),
    ask("/v1/ways", "remit:ListAccess", Runs::Ways, "Who can do something, and on which path"),
    ask("/v1/effective", "remit:GetEffectivePolicies", Runs::Effective, "The policies that reach a space"),
    change("/v1/credentials", "remit:IssueCredentials", Runs::Credentials, "Issue a key pair for a principal"),
    get("/v1/secrets", "remit:ListSecrets", Runs::Secrets("list"), "The secrets that are kept: names and times, never values"),
    change("/v1/secrets/put", "remit:PutSecret", Runs::Secrets("put"), "Keep a secret in place of the one of its name"),
    change("/v1/secrets/delete", "remit:DeleteSecret", Runs::Secrets("delete"), "Forget a secret"),
    change(
        "/v1/agents/secret",
        "remit:IssueAgentSecret",
        Runs::Secrets("agent"),
        "Issue an agent's new client secret: the one before is of no more use",
    ),
    change("/v1/revoke", "remit:Revoke", Runs::Revoke, "Revoke credentials"),
    change("/v1/suspend", "remit:Suspend", Runs::Suspend, "Stop something, or let it go on"),
    change("/v1/pins/accept", "remit:AcceptPin", Runs::Accept, "Accept the definitions that a server shows now"),
    get("/v1/servers", "remit:ListServers", Runs::Registry("list"), "How servers stand in the registry"),
    change("/v1/servers/submit", "remit:SubmitServerForApproval", Runs::Registry("submit"), "Submit a server for approval"),
    change(
        "/v1/servers/status",
        "remit:UpdateServerStatus",
        Runs::Registry("status"),
        "Approve, reject or deprecate a server, or take it back to a draft",
    ),
    change(
        "/v1/servers/reached",
        "remit:RecordReachedServer",
        Runs::Registry("reached"),
        "Record that a server was reached around Remit",
    ),
    change("/v1/reload", "remit:ReloadConfiguration", Runs::Reload, "Read the configuration directory again"),
    change("/v1/connections", "remit:Connect", Runs::Connect, "Begin to connect a server"),
    change("/v1/connections/forget", "remit:Disconnect", Runs::Disconnect, "Forget a connection"),
    get("/v1/connections/{id}", "remit:GetConnection", Runs::Attempt, "How an attempt to connect goes"),
    change("/v1/configuration/plan", "remit:PlanChange", Runs::Change("plan"), "What a change would do"),
    change("/v1/configuration/apply", "remit:ApplyChange", Runs::Change("apply"), "Put a configuration into effect"),
    change("/v1/configuration/rollback", "remit:ApplyChange", Runs::Change("rollback"), "Put an earlier version into effect"),
    ask("/v1/configuration/plans", "remit:ListChanges", Runs::Change("plans"), "The plans that wait for their review"),
    change("/v1/configuration/review", "remit:ReviewChange", Runs::Change("review"), "Add a signed review to a plan"),
    change("/v1/configuration/withdraw", "remit:WithdrawChange", Runs::Change("withdraw"), "Withdraw a plan"),
    ask("/v1/configuration/history", "remit:ListVersions", Runs::Change("history"), "The versions, the newest first"),
    ask("/v1/configuration/diff", "remit:GetVersion", Runs::Change("diff"), "What two versions say differently"),
    ask(
        "/v1/configuration/files",
        "remit:GetConfiguration",
        Runs::Change("files"),
        "The text of a file of the version in effect",
    ),
    get("/v1/approvals", "remit:ListApprovals", Runs::Approvals("list"), "The approvals that are asked for"),
    get("/v1/approvals/{id}", "remit:GetApproval", Runs::Approvals("get"), "One approval with all that it is about"),
    change("/v1/approvals/{id}/approve", "remit:DecideApproval", Runs::Approvals("approve"), "Approve"),
    change("/v1/approvals/{id}/reject", "remit:DecideApproval", Runs::Approvals("reject"), "Reject"),
    change("/v1/approvals/{id}/revoke", "remit:DecideApproval", Runs::Approvals("revoke"), "Take an approval back"),
    change(
        "/v1/approvals/{id}/review",
        "remit:DecideApproval",
        Runs::Approvals("review"),
        "Say afterwards what an emergency was",
    ),
    get("/v1/decisions", "remit:SearchDecisions", Runs::Decisions("search"), "Decisions on record, the newest first"),
    get("/v1/decisions/counts", "remit:SearchDecisions", Runs::Decisions("counts"), "How many decisions there were, over time"),
    get("/v1/decisions/standing", "remit:GetIndex", Runs::Decisions("standing"), "How far the index of decisions is"),
    change("/v1/decisions/rebuild", "remit:RebuildIndex", Runs::Decisions("rebuild"), "Make the index of decisions anew"),
    get("/v1/decisions/{id}", "remit:GetDecision", Runs::Decisions("get"), "One decision with every layer and its proof"),
    get("/v1/trust", "remit:ListTrust", Runs::Trust("list"), "How far agents are trusted"),
    get("/v1/trust/explain", "remit:ListTrust", Runs::Trust("explain"), "Every number that an agent's tiers come from"),
    change("/v1/trust/promote", "remit:PromoteAgent", Runs::Trust("promote"), "Sign the promotion that is proposed for an agent"),
    change("/v1/incidents", "remit:RecordIncident", Runs::Trust("incident"), "Record that an agent did harm"),
    get("/v1/alarms", "remit:ListAlarms", Runs::Alarms, "How alarms over decisions stand"),
    get("/v1/usage", "remit:GetUsage", Runs::Usage, "What calls used up, and how budgets stand"),
    get("/v1/behaviour", "remit:GetBehaviour", Runs::Behaviour, "What is usual for agents, and what was found that isn't"),
    get("/v1/journal", "remit:GetJournal", Runs::Journal, "The journal's key, size and checkpoint"),
    get("/v1/journal/{index}", "remit:GetJournal", Runs::Journal, "An entry, byte for byte, and the proof that it is in the log"),
    get(
        "/v1/retention",
        "remit:GetRetention",
        Runs::Retention("get"),
        "For how long records are kept, and which holds there are",
    ),
    change(
        "/v1/retention/sweep",
        "remit:SweepJournal",
        Runs::Retention("sweep"),
        "Erase the records of calls whose time is over",
    ),
    change("/v1/retention/holds", "remit:PlaceHold", Runs::Retention("hold"), "Keep records whatever their age: a legal hold"),
    change("/v1/retention/release", "remit:ReleaseHold", Runs::Retention("release"), "Let go of a legal hold"),
    change("/v1/retention/erase", "remit:EraseUser", Runs::Retention("erase"), "Erase the records of calls on a person's behalf"),
    change("/v1/reveal", "remit:RevealCall", Runs::Retention("reveal"), "What is kept of a call: its arguments and its result"),
    change(
        "/v1/space-keys/destroy",
        "remit:DestroySpaceKey",
        Runs::Retention("destroy"),
        "Destroy the key of a space, and with it what is kept of its calls",
    ),
    get("/v1/archive", "remit:GetRetention", Runs::Retention("archive"), "How far the journal is archived"),
    change(
        "/v1/archive/restore",
        "remit:RestoreArchive",
        Runs::Retention("restore"),
        "Put what was erased of a segment back from the archive",
    ),
    change("/v1/console/link", "remit:IssueConsoleLink", Runs::Link, "A link that opens the console once"),
];

/// Why a request came to nothing: the status, and the error as RFC 9457 writes it.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) StatusCode, pub(crate) Value);

impl Failed {
    pub(crate) fn new(status: StatusCode, detail: &str) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self(status, json!({"title": title, "status": status.as_u16(), "detail": detail}))
    }

    pub(crate) fn unavailable(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail.as_ref())
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        if let Some(fields) = self.1.as_object_mut() {
            fields.insert(key.to_owned(), value);
        }
        self
    }

    /// What went wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        self.1.get("detail").and_then(Value::as_str).unwrap_or("the request failed")
    }
}

/// The part of a path that stands for any one, by its name in the table.
pub(crate) type Part<'a> = (&'static str, &'a str);

/// Why there is no endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfound {
    Path,
    /// The path is asked with these methods alone.
    Method(Vec<&'static str>),
}

/// The endpoint that a request is for, with what stands in its path's place for any part.
pub(crate) fn find<'a>(method: &Method, path: &'a str) -> Result<(&'static Endpoint, Vec<Part<'a>>), Unfound> {
    let Some((meant, parts)) = ENDPOINTS.iter().find_map(|endpoint| Some((endpoint.path, fits(endpoint.path, path)?))) else {
        return Err(Unfound::Path);
    };
    let of_path = || ENDPOINTS.iter().filter(|endpoint| endpoint.path == meant);
    match of_path().find(|endpoint| endpoint.method == *method) {
        Some(endpoint) => Ok((endpoint, parts)),
        None => Err(Unfound::Method(of_path().map(|endpoint| endpoint.method.as_str()).collect())),
    }
}

/// The endpoint with this path, which is one of the table's.
pub(crate) fn named(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.path == path)
}

fn fits<'a>(pattern: &'static str, path: &'a str) -> Option<Vec<Part<'a>>> {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return Some(found),
            (Some(pattern), Some(part)) if pattern == part => {}
            (Some(pattern), Some(part)) if !part.is_empty() => {
                let name = pattern.strip_prefix('{')?.strip_suffix('}')?;
                found.push((name, part));
            }
            _ => return None,
        }
    }
}

/// What is asked: the body's JSON, or the query's parameters.
pub(crate) fn question(endpoint: &Endpoint, query: Option<&str>, body: &[u8]) -> Result<Value, String> {
    if endpoint.method == Method::GET {
        return asked::of_query(endpoint, query);
    }
    if query.is_some_and(|query| !query.is_empty()) {
        return Err("the endpoint is asked by its body, and takes no query".to_owned());
    }
    if body.is_empty() && endpoint.may_be_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
}

/// Puts what stands in the path into the question; answers whether it is a text at all.
pub(crate) fn identify(request: &mut Value, parts: &[Part<'_>]) -> bool {
    let Some(fields) = request.as_object_mut() else { return parts.is_empty() };
    for (name, part) in parts {
        let Some(part) = form::decode(part) else { return false };
        let number = (*name == "index").then(|| part.parse::<u64>().ok()).flatten();
        fields.insert((*name).to_owned(), number.map_or_else(|| part.into(), Value::from));
    }
    true
}

/// Puts into a question that changes something who asks it, and how far that is proved. Whoever holds the operator's token goes by the name
/// that they state.
pub(crate) fn sign(endpoint: &Endpoint, request: &mut Value, caller: &Caller) {
    let Some(fields) = request.as_object_mut().filter(|_| endpoint.changes) else { return };
    if caller.is_named() {
        fields.insert("by".to_owned(), caller.person.id.as_str().into());
    }
    let (proof, key) = caller.proof();
    fields.insert("proof".to_owned(), proof.into());
    if let Some(key) = key {
        fields.insert("access_key_id".to_owned(), key.into());
    }
}

/// The ARN of what a request is about: a space, an agent, a server, a tool; else the organization as a whole.
pub(crate) async fn resource(
    operator: &Operator,
    snapshot: &Snapshot,
    caller: &Caller,
    endpoint: &Endpoint,
    request: &Value,
) -> String {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let about = match endpoint.runs {
        Runs::Trust(_) | Runs::Secrets("agent") => target(snapshot, text("agent"), None, None, None),
        Runs::Suspend | Runs::Accept | Runs::Registry(_) | Runs::Connect | Runs::Disconnect | Runs::Effective => {
            target(snapshot, text("agent"), text("space"), text("server"), text("tool"))
        }
        Runs::Approvals("approve" | "reject" | "revoke" | "review") => {
            let asked = json!({"id": text("id")});
            let found = operator.plane.approvals(&caller.person, "get", &asked).await.ok();
            let space = found.as_ref().and_then(|found| found.get("space")).and_then(Value::as_str);
            target(snapshot, None, space, None, None)
        }
        _ => None,
    };
    about.unwrap_or_else(|| organization_arn(&snapshot.organization))
}

fn target(
    snapshot: &Snapshot,
    agent: Option<&str>,
    space: Option<&str>,
    server: Option<&str>,
    tool: Option<&str>,
) -> Option<String> {
    let organization = &snapshot.organization;
    let partition = &organization.partition;
    if let Some(agent) = agent {
        let agent = organization.agents.get(agent)?;
        return Some(format!("arn:{partition}:remit::{}:agent/{}", agent.account, agent.id));
    }
    if let Some(space) = space {
        return snapshot.spaces.get(space).map(|space| space.arn.clone());
    }
    let (account, name) = server?.split_once('/')?;
    let key = ServerKey { account: AccountId::new(account).ok()?, name: ServerName::new(name).ok()? };
    organization.servers.get(&key)?;
    let server = format!("arn:{partition}:remit::{account}:server/{name}");
    Some(tool.map_or_else(|| server.clone(), |tool| format!("{server}/tool/{tool}")))
}

/// Runs what is allowed.
pub(crate) async fn run(
    operator: &Operator,
    caller: &Caller,
    endpoint: &Endpoint,
    request: Value,
) -> Result<(StatusCode, Value), Failed> {
    let plane = &*operator.plane;
    let bad = |why: String| Failed::new(StatusCode::BAD_REQUEST, &why);
    let refused = |(status, why): (StatusCode, String)| Failed::new(status, &why);
    let ok = |said: Value| (StatusCode::OK, said);
    match endpoint.runs {
        Runs::Status => Ok(ok(plane.status())),
        Runs::Organization => Ok(ok(organization::told(&plane.snapshot()))),
        Runs::Explain => plane.explain(&request).map(ok).map_err(bad),
        Runs::Ways => plane.ways(&request).map(ok).map_err(bad),
        Runs::Effective => plane.effective(&request).map(ok).map_err(bad),
        Runs::Credentials => plane.credentials(&request).await.map(ok).map_err(refused),
        Runs::Revoke => plane.revoke(&request).await.map(ok).map_err(refused),
        Runs::Suspend => plane.suspend(&request).await.map(ok).map_err(refused),
        Runs::Accept => plane.accept(&request).await.map(ok).map_err(|why| Failed::new(StatusCode::CONFLICT, &why)),
        Runs::Reload => plane.reload().await.map(ok).map_err(|faults| Failed(StatusCode::UNPROCESSABLE_ENTITY, faults)),
        Runs::Connect => plane.connect(&request).await.map(|begun| (StatusCode::CREATED, begun)).map_err(refused),
        Runs::Disconnect => plane.disconnect(&request).await.map(ok).map_err(refused),
        Runs::Attempt => {
            let id = request.get("id").and_then(Value::as_str).unwrap_or_default();
            plane.attempt(id).await.map(ok).ok_or_else(|| Failed::new(StatusCode::NOT_FOUND, "no such attempt"))
        }
        Runs::Change(what) => match plane.change(what, request).await {
            Some((status, said)) if status.is_client_error() || status.is_server_error() => Err(Failed(status, said)),
            Some(done) => Ok(done),
            None => Err(Failed::new(StatusCode::NOT_FOUND, "no such endpoint")),
        },
        Runs::Approvals(what) => plane.approvals(&caller.person, what, &request).await.map(ok).map_err(refused),
        Runs::Decisions(what) => plane.decisions(what, request).await.map(ok).map_err(refused),
        Runs::Trust(what) => plane.trust(&caller.person, what, request).await.map(ok).map_err(refused),
        Runs::Retention(what) => plane.retention(&caller.person, what, request).await.map(ok).map_err(refused),
        Runs::Secrets(what) => plane.secrets(&caller.person, what, request).await.map(ok).map_err(refused),
        Runs::Registry(what) => plane.registry(&caller.person, what, request).await.map(ok).map_err(refused),
        Runs::Alarms => Ok(ok(plane.alarms(&request))),
        Runs::Usage => Ok(ok(plane.usage(&request))),
        Runs::Behaviour => plane.behaviour(&request).map(ok).map_err(refused),
        Runs::Journal => plane.journal(&request).await.map(ok).map_err(refused),
        Runs::Link => {
            let none = || {
                Failed::new(StatusCode::TOO_MANY_REQUESTS, "so many links wait to be used that there can't be another one yet")
            };
            let address = operator.console_link(&caller.person.id).ok_or_else(none)?;
            plane.record("console_link", json!({"person": caller.person})).await.map_err(Failed::unavailable)?;
            Ok(ok(json!({"address": address, "expires_in_secs": crate::console::LINK_SECS})))
        }
    }
}
