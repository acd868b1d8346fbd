//! A data plane that remembers what it was asked, behind an operator's interface.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use remit_control::operator::Boxed;
use remit_control::{Operator, Options, Plane, SignedIn, Source};
use remit_identity::sigv4;
use remit_kernel::assume::WebIdentity;
use remit_kernel::{Catalogue, Revocations, Session, Snapshot};
use remit_model::{Person, Proof, RoleKey};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::file;

/// The operator's token.
pub(crate) const TOKEN: &str = "the token of this test";
/// The roles of the console, each with the policies that it has.
pub(crate) const ROLES: [(&str, &str); 5] = [
    ("viewer", "[RemitViewerAccess]"),
    ("approver", "[RemitApproverAccess]"),
    ("author", "[RemitPolicyAuthorAccess]"),
    ("administrator", "[RemitAdministratorAccess]"),
    ("nobody", "[]"),
];
const PROVIDER: &str = "idp.acme.example";

/// An organization where `<role>@acme.example` may take the role of that name, and `both@acme.example` two of them.
pub(crate) fn configuration(more: &str) -> String {
    let role = |(name, policies): &(&str, &str)| {
        let who = if ["viewer", "approver"].contains(name) { ", both@acme.example" } else { "" };
        format!(
            "  - name: {name}
    policies: {policies}
    trust_policy: {{ Version: '2012-10-17', Statement: [{{ Effect: Allow, Principal: {{ Federated: 'arn:aws:iam::111122223333:oidc-provider/{PROVIDER}' }}, Action: 'sts:AssumeRoleWithWebIdentity', Condition: {{ StringEquals: {{ '{PROVIDER}:aud': remit, '{PROVIDER}:email': [{name}@acme.example{who}] }} }} }}] }}
"
        )
    };
    let roles: String = ROLES.iter().map(role).collect();
    let arns: Vec<String> = ROLES.iter().map(|(name, _)| format!("'arn:aws:iam::111122223333:role/{name}'")).collect();
    format!(
        "accounts: [{{ id: '111122223333', name: ops }}]
agents: [{{ id: agent-1, owner: o@acme.example, credentials: [client_secret] }}]
servers: [{{ name: s, command: [x] }}]
spaces: [{{ id: ops, region: us-east-1, agents: [agent-1], servers: [{{ server: s, tools: all }}] }}]
roles:
{roles}console:
  sign_in: {{ issuer: 'https://{PROVIDER}', client_id: remit }}
  roles: [{}]
{more}",
        arns.join(", ")
    )
}

pub(crate) struct FakePlane {
    pub(crate) snapshot: Mutex<Arc<Snapshot>>,
    pub(crate) revocations: Mutex<Arc<Revocations>>,
    /// What was done, by name, with its question.
    pub(crate) done: Mutex<Vec<(String, Value)>>,
    /// What was recorded.
    pub(crate) recorded: Mutex<Vec<(String, Value)>>,
    pub(crate) approval: Mutex<Value>,
    pub(crate) changed: watch::Sender<u64>,
    /// Whose keys sign.
    pub(crate) signer: Mutex<Option<Session>>,
    /// While it is closed, credentials are asked for and not yet issued.
    pub(crate) open: watch::Sender<bool>,
}

impl FakePlane {
    pub(crate) fn new(configuration: &str) -> Arc<Self> {
        let snapshot = compiled(configuration);
        Arc::new(Self {
            snapshot: Mutex::new(snapshot),
            revocations: Mutex::default(),
            done: Mutex::default(),
            recorded: Mutex::default(),
            approval: Mutex::new(json!({
                "id": "a1", "state": "PENDING", "space": "ops", "tool": "s___pay", "agent": "agent-1", "owner": "o@acme.example",
                "class": "MUTATIVE", "risk": "high", "categories": [], "asked_at_secs": 1, "expires_at_secs": 900,
                "arguments": {"amount": 5, "to": "<script>alert(1)</script>\u{202E}"}, "arguments_digest": "sha256:00",
                "rules": [{"id": "payments", "approvals_needed": 1, "approvals_got": 0, "approvers": ["approver"]}],
                "led_to": [], "votes": [], "redeemed_by": [],
            })),
            changed: watch::Sender::new(0),
            open: watch::Sender::new(true),
            signer: Mutex::default(),
        })
    }

    fn did(&self, what: &str, question: &Value) -> Value {
        self.done.lock().unwrap().push((what.to_owned(), question.clone()));
        json!({"did": what})
    }

    /// The last thing that was done.
    pub(crate) fn last(&self) -> (String, Value) {
        self.done.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// The configuration, compiled.
pub(crate) fn compiled(configuration: &str) -> Arc<Snapshot> {
    let source = Source::of(vec![file("a.yaml", configuration)]).unwrap_or_else(|error| panic!("{error}: {error:.800?}"));
    Arc::new(Snapshot::compile(1, Arc::new(source.loaded.organization), &Catalogue::default()))
}

impl Plane for FakePlane {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self) -> Result<String, String> {
        Ok(String::new())
    }
    fn status(&self) -> Value {
        self.did("status", &Value::Null);
        json!({"servers": [{"server": "111122223333/s", "status": "ready", "detail": "2026-07-28", "tools": [
            {"tool": "pay", "pin": "drifted", "digest": "sha256:00", "accepted": "{\"name\":\"pay\"}", "shown": "{\"name\":\"pay\",\"description\":\"<b>new</b>\u{200B}\"}"}]}]})
    }
    fn explain(&self, question: &Value) -> Result<Value, String> {
        Ok(self.did("explain", question))
    }
    fn accept<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, String>> {
        Box::pin(async { Ok(self.did("accept", request)) })
    }
    fn credentials<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async {
            let count = self.done.lock().unwrap().len();
            self.did("credentials", request);
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            Ok(json!({"SecretAccessKey": format!("secret {count}")}))
        })
    }
    fn secrets<'a>(&'a self, _: &'a Person, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move { Ok(self.did(what, &request)) })
    }
    fn revoke<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async { Ok(self.did("revoke", request)) })
    }
    fn suspend<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async { Ok(self.did("suspend", request)) })
    }
    fn effective(&self, question: &Value) -> Result<Value, String> {
        Ok(self.did("effective", question))
    }
    fn ways(&self, question: &Value) -> Result<Value, String> {
        Ok(self.did("ways", question))
    }
    fn reload(&self) -> Boxed<'_, Result<Value, Value>> {
        Box::pin(async { Ok(self.did("reload", &Value::Null)) })
    }
    fn change<'a>(&'a self, what: &'a str, request: Value) -> Boxed<'a, Option<(StatusCode, Value)>> {
        Box::pin(async move { Some((StatusCode::OK, self.did(what, &request))) })
    }
    fn connect<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async {
            let said = self.did("connect", request);
            if request["server"] == "gone" { Err((StatusCode::NOT_FOUND, "no such server".to_owned())) } else { Ok(said) }
        })
    }
    fn disconnect<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async { Ok(self.did("disconnect", request)) })
    }
    fn attempt<'a>(&'a self, id: &'a str) -> Boxed<'a, Option<Value>> {
        Box::pin(async move { Some(self.did("attempt", &json!({"id": id}))) })
    }
    fn approvals<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: &'a Value,
    ) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move {
            let approval = self.approval.lock().unwrap().clone();
            match what {
                "list" => Ok(json!({"approvals": [approval]})),
                "get" => Ok(approval),
                _ => {
                    let mut asked = request.clone();
                    asked["person"] = json!(person);
                    Ok(self.did(what, &asked))
                }
            }
        })
    }
    fn link_shown(&self, _: &str) -> Result<Value, String> {
        Err("there are no links here".to_owned())
    }

    fn link_used<'a>(&'a self, _: &'a str, _: &'a str) -> Boxed<'a, Result<String, String>> {
        Box::pin(async { Err("there are no links here".to_owned()) })
    }

    fn approvals_changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
    fn trust<'a>(&'a self, _: &'a Person, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move {
            self.did(what, &request);
            Ok(json!({"agents": []}))
        })
    }

    fn retention<'a>(&'a self, _: &'a Person, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move { Ok(self.did(what, &request)) })
    }

    fn registry<'a>(&'a self, _: &'a Person, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move {
            let status = if what == "list" {
                json!({"servers": []})
            } else if what == "reached" {
                json!({"entry": 7})
            } else {
                json!({"server": request["server"], "status": "APPROVED", "registration": "sha256:r", "said": null})
            };
            self.did(what, &request);
            Ok(status)
        })
    }

    fn behaviour(&self, question: &Value) -> Result<Value, (StatusCode, String)> {
        self.did("behaviour", question);
        Ok(json!({"watched": true, "agents": [], "findings": [], "counts": {}}))
    }

    fn usage(&self, question: &Value) -> Value {
        self.did("usage", question);
        json!({"time_unit": "MONTHLY", "budgets": [], "totals": []})
    }

    fn alarms(&self, question: &Value) -> Value {
        self.did("alarms", question);
        json!({"alarms": [{"alarm": "denials", "group_by": "agent", "group": "agent-1", "state": "ALARM", "since": "2026-01-01T00:00:00Z", "reason": "20 of <b>20</b>"}], "more": false})
    }

    fn decisions<'a>(&'a self, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move {
            self.did(what, &request);
            let one = json!({"index": 3, "id": "d1", "time": "2026-01-01T00:00:00Z", "agent": "agent-1", "space": "ops", "tool": "s___pay", "verdict": "DENY", "reason": "tool_policy"});
            Ok(match what {
                "search" => json!({"decisions": [one]}),
                "counts" => json!({"series": [{"at_secs": 0, "key": "ops", "allow": 1, "deny": 2, "hold": 0}]}),
                _ => json!({"index": 3, "entry": {"id": "d1", "verdict": "DENY", "tool": "s___pay", "layers": [
                    {"checkType": "IDENTITY", "effect": "ALLOW", "statement": "known"},
                    {"checkType": "TOOL_POLICY", "effect": "EXPLICIT_DENY", "statement": "<i>row</i>", "origin": "a.yaml:3"}]}}),
            })
        })
    }
    fn journal<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async { Ok(self.did("journal", request)) })
    }
    fn record<'a>(&'a self, kind: &'a str, event: Value) -> Boxed<'a, Result<(), String>> {
        self.recorded.lock().unwrap().push((kind.to_owned(), event));
        Box::pin(async { Ok(()) })
    }
    fn claimed(&self, _: &sigv4::Request<'_>) -> Option<Arc<Session>> {
        self.signer.lock().unwrap().clone().map(Arc::new)
    }
    fn signed(&self, request: &sigv4::Request<'_>, _once: bool) -> Result<Arc<Session>, sigv4::SigError> {
        let session = self.signer.lock().unwrap().clone();
        session.filter(|_| request.body != b"altered").map(Arc::new).ok_or_else(sigv4::SigError::unknown_key)
    }
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap())
    }
    fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.revocations.lock().unwrap())
    }
    fn sign_in<'a>(&'a self, redirect_uri: &'a str, _browser: [u8; 32], again: bool) -> Boxed<'a, Result<String, String>> {
        Box::pin(async move { Ok(format!("https://{PROVIDER}/authorize?redirect_uri={redirect_uri}&again={again}")) })
    }
    /// The provider vouches for whoever the query names.
    fn signed_in<'a>(
        &'a self,
        _redirect_uri: &'a str,
        query: &'a str,
        _browser: [u8; 32],
    ) -> Boxed<'a, Result<SignedIn, String>> {
        Box::pin(async move {
            let email = format!("{}@acme.example", query.strip_prefix("as=").ok_or("nobody")?);
            let claim = |name: &str, value: &str| (format!("{PROVIDER}:{name}"), vec![value.to_owned()]);
            let identity = WebIdentity {
                provider: PROVIDER.to_owned(),
                subject: "s".to_owned(),
                audience: "remit".to_owned(),
                claims: vec![claim("email", &email), claim("aud", "remit"), claim("sub", "s")],
            };
            let proof =
                Proof::SignIn { issuer: format!("https://{PROVIDER}"), subject: "s".into(), acr: None, auth_time_secs: None };
            Ok(SignedIn { person: Person { id: email, proof }, identity })
        })
    }
    fn redirected(&self, _query: String) -> Boxed<'_, Result<String, String>> {
        Box::pin(async { Err("nobody waits".to_owned()) })
    }
}

/// The time of these tests.
pub(crate) fn now() -> u64 {
    1_800_000_000
}

/// An interface over a plane, and a browser for it.
pub(crate) struct Desk {
    pub(crate) plane: Arc<FakePlane>,
    pub(crate) operator: Operator,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The cookie of this name that is set, without its attributes.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let all = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let found = all.filter_map(|cookie| cookie.split(';').next()).find(|cookie| cookie.starts_with(&format!("{name}=")))?;
        Some(found.to_owned())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::at(&configuration(""), "http://127.0.0.1:7481")
    }

    pub(crate) fn at(configuration: &str, address: &str) -> Self {
        let plane = FakePlane::new(configuration);
        let options = Options { address: address.to_owned(), now_secs: now };
        Self { operator: Operator::new(Arc::clone(&plane) as Arc<dyn Plane>, TOKEN, &options), plane }
    }

    pub(crate) async fn ask(&self, head: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let (method, path) = head.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:7481");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let answer = self.operator.handle(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        let (parts, body) = answer.into_parts();
        let body = if parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            String::new()
        } else {
            String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
        };
        Got { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Signs somebody in: the session's cookie, and the token of its forms.
    pub(crate) async fn signed_in(&self, name: &str) -> (String, String) {
        let begun = self.ask("GET /console/sign-in/start", &[], "").await;
        let browser = begun.cookie("remit_sign_in").unwrap();
        let done = self.ask(&format!("GET /console/sign-in/callback?as={name}"), &[("cookie", &browser)], "").await;
        assert_eq!(done.status, 303, "{done:?}");
        let session = done.cookie("remit_console").unwrap();
        let csrf = self.csrf(&session).await;
        (session, csrf)
    }

    /// The token of a session's forms, as its pages carry it.
    pub(crate) async fn csrf(&self, session: &str) -> String {
        let page = self.ask("GET /console/roles", &[("cookie", session)], "").await;
        let (_, rest) = page.body.split_once("data-csrf=\"").unwrap_or_else(|| panic!("{page:?}"));
        rest.split('"').next().unwrap().to_owned()
    }

    /// Sends a form as a page of ours does.
    pub(crate) async fn post(&self, path: &str, session: &str, fields: &str) -> Got {
        let headers =
            [("cookie", session), ("origin", "http://127.0.0.1:7481"), ("content-type", "application/x-www-form-urlencoded")];
        self.ask(&format!("POST {path}"), &headers, fields).await
    }
}

/// Whether a role has a name among the console's.
pub(crate) fn role(name: &str) -> RoleKey {
    RoleKey::of_arn(&format!("arn:aws:iam::111122223333:role/{name}")).unwrap()
}
