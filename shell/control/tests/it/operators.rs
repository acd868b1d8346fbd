//! Who may ask which endpoint: the whole table, role by role.

use remit_control::endpoints::{ENDPOINTS, Endpoint};
use serde_json::{Map, Value, json};

use crate::plane::{Desk, ROLES, TOKEN};

/// Endpoints whose authorization no test shows. It may only shrink.
const UNTESTED: [&str; 0] = [];

/// What `a` means in the table: allowed. `-`: not.
const TABLE: &str = "
                                       viewer approver author administrator nobody
GET  /v1/status                        a a a a -  remit:GetStatus
GET  /v1/organization                  a a a a -  remit:GetOrganization
POST /v1/explain                       a a a a -  remit:Explain
POST /v1/ways                          a a a a -  remit:ListAccess
POST /v1/effective                     a a a a -  remit:GetEffectivePolicies
POST /v1/credentials                   - - - a -  remit:IssueCredentials
GET  /v1/secrets                       a a a a -  remit:ListSecrets
POST /v1/secrets/put                   - - - a -  remit:PutSecret
POST /v1/secrets/delete                - - - a -  remit:DeleteSecret
POST /v1/agents/secret                 - - - a -  remit:IssueAgentSecret
POST /v1/revoke                        - - - a -  remit:Revoke
POST /v1/suspend                       - - - a -  remit:Suspend
POST /v1/pins/accept                   - - - a -  remit:AcceptPin
GET  /v1/servers                       a a a a -  remit:ListServers
POST /v1/servers/submit                - - - a -  remit:SubmitServerForApproval
POST /v1/servers/status                - - - a -  remit:UpdateServerStatus
POST /v1/servers/reached               - - - a -  remit:RecordReachedServer
POST /v1/reload                        - - - a -  remit:ReloadConfiguration
POST /v1/connections                   - - - a -  remit:Connect
POST /v1/connections/forget            - - - a -  remit:Disconnect
GET  /v1/connections/{id}              a a a a -  remit:GetConnection
POST /v1/configuration/plan            - - a a -  remit:PlanChange
POST /v1/configuration/apply           - - - a -  remit:ApplyChange
POST /v1/configuration/rollback        - - - a -  remit:ApplyChange
POST /v1/configuration/plans           a a a a -  remit:ListChanges
POST /v1/configuration/review          - - a a -  remit:ReviewChange
POST /v1/configuration/withdraw        - - a a -  remit:WithdrawChange
POST /v1/configuration/history         a a a a -  remit:ListVersions
POST /v1/configuration/diff            a a a a -  remit:GetVersion
POST /v1/configuration/files           a a a a -  remit:GetConfiguration
GET  /v1/approvals                     a a a a -  remit:ListApprovals
GET  /v1/approvals/{id}                a a a a -  remit:GetApproval
POST /v1/approvals/{id}/approve        - a - a -  remit:DecideApproval
POST /v1/approvals/{id}/reject         - a - a -  remit:DecideApproval
POST /v1/approvals/{id}/revoke         - a - a -  remit:DecideApproval
POST /v1/approvals/{id}/review         - a - a -  remit:DecideApproval
GET  /v1/decisions                     a a a a -  remit:SearchDecisions
GET  /v1/decisions/counts              a a a a -  remit:SearchDecisions
GET  /v1/decisions/standing            a a a a -  remit:GetIndex
POST /v1/decisions/rebuild             - - - a -  remit:RebuildIndex
GET  /v1/decisions/{id}                a a a a -  remit:GetDecision
GET  /v1/trust                         a a a a -  remit:ListTrust
GET  /v1/trust/explain                 a a a a -  remit:ListTrust
POST /v1/trust/promote                 - - - a -  remit:PromoteAgent
POST /v1/incidents                     - - - a -  remit:RecordIncident
GET  /v1/alarms                        a a a a -  remit:ListAlarms
GET  /v1/usage                         a a a a -  remit:GetUsage
GET  /v1/behaviour                     a a a a -  remit:GetBehaviour
GET  /v1/journal                       a a a a -  remit:GetJournal
GET  /v1/journal/{index}               a a a a -  remit:GetJournal
GET  /v1/retention                     a a a a -  remit:GetRetention
POST /v1/retention/sweep               - - - a -  remit:SweepJournal
POST /v1/retention/holds               - - - a -  remit:PlaceHold
POST /v1/retention/release             - - - a -  remit:ReleaseHold
POST /v1/retention/erase               - - - a -  remit:EraseUser
POST /v1/reveal                        - - - a -  remit:RevealCall
POST /v1/space-keys/destroy            - - - a -  remit:DestroySpaceKey
GET  /v1/archive                       a a a a -  remit:GetRetention
POST /v1/archive/restore               - - - a -  remit:RestoreArchive
POST /v1/console/link                  - - - a -  remit:IssueConsoleLink
";

/// A question with all that an endpoint needs, as the document says it: what is added to the path, and the body.
fn question(document: &Value, endpoint: &Endpoint) -> (String, String) {
    let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
    let value = |schema: &Value| match schema["type"].as_str() {
        Some("string") => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("x")),
        Some("integer") => schema["minimum"].clone(),
        Some("array") => json!([]),
        _ => panic!("{schema}"),
    };
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let needed = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
    let body: Map<String, Value> = needed.map(|name| (name.to_owned(), value(&schema["properties"][name]))).collect();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let query: Vec<String> = parameters
        .filter(|one| one["in"] == "query" && one["required"] == true)
        .map(|one| format!("{}={}", one["name"].as_str().unwrap(), value(&one["schema"])))
        .map(|pair| pair.replace('"', ""))
        .collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    (query, if endpoint.method == "POST" { Value::Object(body).to_string() } else { String::new() })
}

#[tokio::test]
async fn every_endpoint_answers_the_roles_that_may() {
    let document = remit_control::openapi::document();
    let desk = Desk::new();
    let mut sessions = Vec::new();
    for (name, _) in ROLES {
        sessions.push(desk.signed_in(name).await);
    }
    let names: Vec<&str> = ROLES.iter().map(|(name, _)| *name).collect();
    let mut found = format!("\n{:39}{}\n", "", names.join(" "));
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !UNTESTED.contains(&endpoint.path)) {
        let path = endpoint.path.replace("{id}", "a1").replace("{index}", "1");
        let (query, body) = question(&document, endpoint);
        let head = format!("{} {path}{query}", endpoint.method);
        let mut answers = Vec::new();
        for (session, csrf) in &sessions {
            let before = desk.plane.done.lock().unwrap().len();
            let headers = [("cookie", session.as_str()), ("x-remit-csrf", csrf), ("origin", "http://127.0.0.1:7481")];
            let got = desk.ask(&head, &headers, &body).await;
            let did = desk.plane.done.lock().unwrap().len() > before;
            answers.push(match got.status {
                200 | 201 => "a",
                403 => {
                    assert!(!did, "{}: refused, and done all the same", endpoint.path);
                    assert_eq!(got.json()["action"], endpoint.action);
                    "-"
                }
                status => panic!("{path}: {status} {got:?}"),
            });
        }
        found += &format!("{:4} {:34}{}  {}\n", endpoint.method.as_str(), endpoint.path, answers.join(" "), endpoint.action);
        // Whoever holds the operator's token may all of it, and nobody without either.
        let token = format!("Bearer {TOKEN}");
        assert!(desk.ask(&head, &[("authorization", &token)], &body).await.status < 300, "{path}");
        for none in [&[][..], &[("authorization", "Bearer another")], &[("cookie", "remit_console=00")]] {
            assert_eq!(desk.ask(&head, none, &body).await.status, 401, "{path}");
        }
    }
    assert_eq!(found, TABLE, "{found}");
}

#[tokio::test]
async fn who_did_it_is_the_person_and_nobody_else() {
    let desk = Desk::new();
    let (session, csrf) = desk.signed_in("administrator").await;
    let headers = [("cookie", session.as_str()), ("x-remit-csrf", &csrf), ("origin", "http://127.0.0.1:7481")];
    let forged = json!({"agent": "agent-1", "reason": "r", "by": "somebody else", "proof": "KEY"}).to_string();
    assert_eq!(desk.ask("POST /v1/suspend", &headers, &forged).await.status, 400, "nobody says how they are proved");
    let stop = json!({"agent": "agent-1", "reason": "r", "by": "somebody else"}).to_string();
    assert_eq!(desk.ask("POST /v1/suspend", &headers, &stop).await.status, 200);
    let (what, asked) = desk.plane.last();
    assert_eq!(
        (what.as_str(), &asked["by"], &asked["proof"]),
        ("suspend", &json!("administrator@acme.example"), &json!("SIGN_IN"))
    );
    // The holder of the token goes by the name that they state, and the record says that nothing proves it.
    let token = format!("Bearer {TOKEN}");
    assert_eq!(desk.ask("POST /v1/suspend", &[("authorization", &token)], &stop).await.status, 200);
    let (_, asked) = desk.plane.last();
    assert_eq!((&asked["by"], &asked["proof"]), (&json!("somebody else"), &json!("TOKEN")));
    let decided = desk.ask("POST /v1/approvals/a1/approve", &[("authorization", &token)], r#"{"by":"ana"}"#).await;
    assert_eq!(decided.status, 200);
    assert_eq!(desk.plane.last().1["person"], json!({"id": "ana", "proof": {"kind": "TOKEN"}}));
    // What was refused is on record, with the statement.
    let (session, csrf) = desk.signed_in("viewer").await;
    let headers = [("cookie", session.as_str()), ("x-remit-csrf", &csrf), ("origin", "http://127.0.0.1:7481")];
    assert_eq!(desk.ask("POST /v1/suspend", &headers, &stop).await.status, 403);
    let (kind, event) = desk.plane.recorded.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        (kind.as_str(), &event["action"], &event["person"]["id"]),
        ("operation_refused", &json!("remit:Suspend"), &json!("viewer@acme.example"))
    );
    assert_eq!(event["resource"], "arn:aws:remit::111122223333:agent/agent-1");
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_not_to_those_who_may_not_ask() {
    let desk = Desk::new();
    let token = format!("Bearer {TOKEN}");
    let (session, csrf) = desk.signed_in("viewer").await;
    let viewer = [("cookie", session.as_str()), ("x-remit-csrf", &csrf), ("origin", "http://127.0.0.1:7481")];
    for body in [
        "nonsense",
        "[]",
        "",
        r#"{"agent":"agent-1"}"#,
        r#"{"agent":"agent-1","reason":null}"#,
        r#"{"agent":"agent-1","reason":""}"#,
        r#"{"agent":"agent-1","reason":7}"#,
        r#"{"agent":["agent-1"],"reason":"r"}"#,
        r#"{"agnet":"agent-1","reason":"r"}"#,
        r#"{"agent":"agent-1","reason":"r","resume":"yes"}"#,
        r#"{"agent":"agent-1","reason":"r","by":7}"#,
        &json!({"agent": "agent-1", "reason": "r".repeat(1025)}).to_string(),
        &json!({"agent": "agent-1", "reason": "r", "by": "b".repeat(257)}).to_string(),
    ] {
        let got = desk.ask("POST /v1/suspend", &[("authorization", &token)], body).await;
        assert_eq!((got.status, got.header("content-type")), (400, "application/problem+json"), "{body}: {got:?}");
        let got = desk.ask("POST /v1/suspend", &viewer, body).await;
        assert_eq!(got.status, 403, "{body}: {got:?}");
    }
    for head in [
        "GET /v1/approvals?limit=0",
        "GET /v1/approvals?limit=201",
        "GET /v1/approvals?limit=05",
        "GET /v1/approvals?limit=+5",
        "GET /v1/approvals?limit=5&limit=5",
        "GET /v1/decisions?agnet=agent-1",
        "GET /v1/decisions?verdict=maybe",
        "GET /v1/status?x=1",
        "GET /v1/decisions/counts?since_secs=1&until_secs=2",
        "POST /v1/suspend?agent=agent-1",
    ] {
        let body = if head.starts_with("POST") { r#"{"agent":"agent-1","reason":"r"}"# } else { "" };
        assert_eq!(desk.ask(head, &[("authorization", &token)], body).await.status, 400, "{head}");
    }
    assert!(desk.plane.done.lock().unwrap().iter().all(|(what, _)| what != "suspend"));
    // What isn't there, or is null, is the same.
    let body = r#"{"agent":"agent-1","reason":"r","space":null}"#;
    assert_eq!(desk.ask("POST /v1/suspend", &[("authorization", &token)], body).await.status, 200);
    let form = [("authorization", token.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(desk.ask("POST /v1/suspend", &form, body).await.status, 415);
    let json = [("authorization", token.as_str()), ("content-type", "application/json; charset=utf-8")];
    assert_eq!(desk.ask("POST /v1/suspend", &json, body).await.status, 200);
    let large = format!("{{\"agent\":\"agent-1\",\"reason\":\"{}\"}}", "r".repeat(1024 * 1024));
    assert_eq!(desk.ask("POST /v1/suspend", &[("authorization", &token)], &large).await.status, 413);
    for (head, allowed) in [("PUT /v1/suspend", "POST"), ("DELETE /v1/status", "GET"), ("GET /v1/decisions/rebuild", "POST")] {
        let got = desk.ask(head, &[("authorization", &token)], "").await;
        assert_eq!((got.status, got.header("allow")), (405, allowed), "{head}");
    }
    assert_eq!(desk.ask("GET /v1/nothing", &[("authorization", &token)], "").await.status, 404);
}

#[tokio::test]
async fn a_role_may_be_let_to_one_space_alone() {
    let policy = "{ Version: '2012-10-17', Statement: [{ Effect: Allow, Action: 'remit:*', Resource: 'arn:aws:aidevops:us-east-1:111122223333:agentspace/ops' }] }";
    let configuration = crate::plane::configuration("").replace(
        "  - name: nobody\n    policies: []\n",
        &format!("  - name: nobody\n    inline_policies: {{ own: {policy} }}\n"),
    );
    let desk = Desk::at(&configuration, "http://127.0.0.1:7481");
    let (session, csrf) = desk.signed_in("nobody").await;
    let headers = [("cookie", session.as_str()), ("x-remit-csrf", &csrf), ("origin", "http://127.0.0.1:7481")];
    let ask = |head: &'static str, body: &'static str| desk.ask(head, &headers, body);
    assert_eq!(ask("POST /v1/suspend", r#"{"space":"ops","reason":"r"}"#).await.status, 200);
    assert_eq!(ask("POST /v1/approvals/a1/approve", "{}").await.status, 200, "the approval is of this space");
    assert_eq!(ask("POST /v1/suspend", r#"{"agent":"agent-1","reason":"r"}"#).await.status, 403);
    assert_eq!(ask("GET /v1/status", "").await.status, 403);
}

#[tokio::test]
async fn a_control_policy_stands_above_the_role() {
    let deny = "policies:
  - { name: no-stopping, type: SERVICE_CONTROL_POLICY, document: { Version: '2012-10-17', Statement: [{ Sid: Calm, Effect: Deny, Action: 'remit:Suspend', Resource: '*' }] } }
";
    let configuration = crate::plane::configuration(deny).replace(
        "accounts: [{ id: '111122223333', name: ops }]",
        "accounts: [{ id: '111122223333', name: ops, service_control_policies: [FullAWSAccess, no-stopping] }]",
    );
    let desk = Desk::at(&configuration, "http://127.0.0.1:7481");
    let (session, csrf) = desk.signed_in("administrator").await;
    let headers = [("cookie", session.as_str()), ("x-remit-csrf", &csrf), ("origin", "http://127.0.0.1:7481")];
    let got = desk.ask("POST /v1/suspend", &headers, r#"{"agent":"agent-1","reason":"r"}"#).await;
    assert!(got.status == 403 && got.body.contains("Calm"), "{got:?}");
    assert_eq!(desk.ask("POST /v1/reload", &headers, "").await.status, 200);
}

#[test]
fn the_document_in_the_tree_is_the_tables() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let document = remit_control::openapi::document();
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "stale: UPDATE=1 cargo test -p remit-control");
    let operations = |method: &str| -> usize {
        document["paths"].as_object().unwrap().values().filter(|path| path.get(method).is_some()).count()
    };
    assert_eq!(operations("get") + operations("post"), ENDPOINTS.len());
    let mut ids: Vec<&str> = Vec::new();
    for path in document["paths"].as_object().unwrap().values() {
        ids.extend(path.as_object().unwrap().values().map(|operation| operation["operationId"].as_str().unwrap()));
    }
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "each has a name of its own");
}

#[tokio::test]
async fn what_somebody_has_is_not_sent_again() {
    let desk = Desk::new();
    let token = format!("Bearer {TOKEN}");
    let first = desk.ask("GET /v1/organization", &[("authorization", &token)], "").await;
    let tag = first.header("etag").to_owned();
    assert!(first.status == 200 && tag.len() == 34 && first.header("cache-control") == "private, no-cache", "{first:?}");
    let again = desk.ask("GET /v1/organization", &[("authorization", &token), ("if-none-match", &tag)], "").await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag.as_str()));
    let other = desk.ask("GET /v1/organization", &[("authorization", &token), ("if-none-match", "\"x\"")], "").await;
    assert_eq!(other.status, 200);
    assert_eq!(
        desk.ask("GET /v1/organization", &[("if-none-match", &tag)], "").await.status,
        401,
        "nothing is told to strangers"
    );
}

#[test]
fn nothing_but_a_roles_session_and_an_action_of_this_service_is_let_through() {
    use remit_kernel::operate::operate;
    use remit_kernel::{Origin, Session, SessionOf};

    let snapshot = crate::plane::compiled(&crate::plane::configuration(""));
    let now = crate::plane::now();
    let session = |who: SessionOf| Session {
        id: "s".to_owned(),
        who,
        name: "ana".to_owned(),
        issued_at_secs: now,
        expires_at_secs: now + 10,
        chained: false,
        tags: Vec::new(),
        source_identity: None,
        policies: Vec::new(),
        policy_documents: Vec::new(),
        user: None,
        via: Vec::new(),
    };
    let administrator = session(SessionOf::Role(crate::plane::role("administrator")));
    let allowed = |session: &Session, action: &str, at: u64| {
        operate(&snapshot, session, action, "arn:aws:remit:::x", &Origin::default(), at).allowed
    };
    assert!(allowed(&administrator, "remit:Suspend", now) && allowed(&administrator, "remit:suspend", now));
    for action in ["", "remit", "remit:", "iam:GetRole", "mcp:CallTool", "remitx:Suspend", ":Suspend"] {
        assert!(!allowed(&administrator, action, now), "{action}");
    }
    assert!(!allowed(&administrator, "remit:Suspend", now + 10), "it has ended");
    assert!(!allowed(&session(SessionOf::Role(crate::plane::role("gone"))), "remit:GetStatus", now), "there is no such role");
    let user =
        remit_model::UserKey { account: crate::plane::role("viewer").account, name: remit_model::UserName::new("ana").unwrap() };
    assert!(!allowed(&session(SessionOf::User(user)), "remit:GetStatus", now), "people operate in roles");
    let refused = operate(
        &snapshot,
        &session(SessionOf::Role(crate::plane::role("viewer"))),
        "remit:Suspend",
        "arn:aws:remit:::x",
        &Origin::default(),
        now,
    );
    assert!(!refused.allowed && refused.statement.contains("remit:Suspend"), "{refused:?}");
}

#[tokio::test]
async fn who_signs_acts_in_a_role_of_the_consoles_until_it_is_taken_away() {
    use remit_kernel::{Revocations, Session, SessionOf};

    let desk = Desk::new();
    let signed = ("authorization", "AWS4-HMAC-SHA256 Credential=ASIAX/20260101/us-east-1/remit/aws4_request");
    let session = |who: SessionOf| Session {
        id: "ASIAX".to_owned(),
        who,
        name: "ana".to_owned(),
        issued_at_secs: crate::plane::now(),
        expires_at_secs: crate::plane::now() + 10,
        chained: false,
        tags: Vec::new(),
        source_identity: None,
        policies: Vec::new(),
        policy_documents: Vec::new(),
        user: None,
        via: vec!["AKIAX".to_owned()],
    };
    let stop = r#"{"agent":"agent-1","reason":"r","by":"somebody else"}"#;
    let ask = async || desk.ask("POST /v1/suspend", &[signed], stop).await;
    assert_eq!(ask().await.status, 401, "nobody has such a key");
    for (name, status) in [("administrator", 200), ("viewer", 403), ("gone", 403)] {
        *desk.plane.signer.lock().unwrap() = Some(session(SessionOf::Role(crate::plane::role(name))));
        let got = ask().await;
        assert_eq!(got.status, status, "{name}: {got:?}");
        // A configuration is read of whoever may operate alone.
        let large = json!({"files": [], "reason": "r".repeat(1024 * 1024)}).to_string();
        let got = desk.ask("POST /v1/configuration/apply", &[signed], &large).await;
        assert_eq!(
            got.status,
            if name == "gone" {
                413
            } else if name == "viewer" {
                403
            } else {
                400
            },
            "{name}: {got:?}"
        );
    }
    let arn = "arn:aws:sts::111122223333:assumed-role/administrator/ana";
    let (_, asked) = desk.plane.done.lock().unwrap().iter().find(|(what, _)| what == "suspend").cloned().unwrap();
    assert_eq!((&asked["by"], &asked["proof"], &asked["access_key_id"]), (&json!(arn), &json!("SIGNATURE"), &json!("ASIAX")));
    *desk.plane.signer.lock().unwrap() = Some(session(SessionOf::Role(crate::plane::role("administrator"))));
    let altered = desk.ask("POST /v1/suspend", &[signed], "altered").await;
    assert_eq!((altered.status, altered.header("www-authenticate")), (401, "AWS4-HMAC-SHA256"), "{altered:?}");
    // Neither its own key nor one that it was got with may have been taken away.
    for id in ["ASIAX", "AKIAX"] {
        let mut revoked = Revocations::default();
        revoked.credentials.insert(id.to_owned(), u64::MAX);
        *desk.plane.revocations.lock().unwrap() = std::sync::Arc::new(revoked);
        assert_eq!(ask().await.json()["code"], "ExpiredToken", "{id}");
    }
}
