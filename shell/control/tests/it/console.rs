//! The console as a browser meets it, and as whoever attacks one does.

use std::sync::Arc;

use remit_kernel::Revocations;
use serde_json::json;

use crate::plane::{Desk, TOKEN, compiled, configuration, now, role};

async fn link(desk: &Desk) -> String {
    let token = format!("Bearer {TOKEN}");
    let made = desk.ask("POST /v1/console/link", &[("authorization", &token)], r#"{"by":"ana"}"#).await.json();
    made["address"].as_str().unwrap().split_once('#').unwrap().1.to_owned()
}

/// The session of an administrator who came by a link.
async fn administrator(desk: &Desk) -> (String, String) {
    let entered = desk.post("/console/link", "", &format!("code={}", link(desk).await)).await;
    let session = entered.cookie("remit_console").unwrap();
    let csrf = desk.csrf(&session).await;
    (session, csrf)
}

#[tokio::test]
async fn a_link_opens_once_and_under_a_new_id() {
    let desk = Desk::new();
    let code = link(&desk).await;
    // An id that somebody planted beforehand is worth nothing afterwards.
    let planted = "remit_console=0123456789012345678901234567890123456789012345678901234567890123";
    let entered = desk.post("/console/link", planted, &format!("code={code}")).await;
    assert_eq!((entered.status, entered.header("location")), (303, "/console?done=entered"), "{entered:?}");
    let set = entered.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Lax") && set.contains("; Path=/;") && !set.contains("Secure"), "{set}");
    let session = entered.cookie("remit_console").unwrap();
    assert!(session.len() == "remit_console=".len() + 64 && session != planted);
    assert_eq!(desk.ask("GET /console", &[("cookie", planted)], "").await.header("location"), "/console/sign-in");
    let page = desk.ask("GET /console", &[("cookie", &session)], "").await;
    assert!(page.status == 200 && page.body.contains("machine administrator") && page.body.contains(">ana<"), "{page:?}");
    let again = desk.post("/console/link", "", &format!("code={code}")).await;
    assert!(again.status == 403 && again.cookie("remit_console").is_none(), "used up: {again:?}");
    assert_eq!(desk.post("/console/link", "", "code=").await.status, 403);
    // Whoever signs in anew leaves the old session behind.
    let other = desk.post("/console/link", &session, &format!("code={}", link(&desk).await)).await;
    assert_eq!(other.status, 303);
    assert_eq!(desk.ask("GET /console", &[("cookie", &session)], "").await.status, 303, "the old id has ended");
    let recorded = desk.plane.recorded.lock().unwrap();
    assert!(recorded.iter().all(|(_, event)| !event.to_string().contains(&code)), "no code is on record");
}

#[tokio::test]
async fn by_tls_the_cookie_is_the_hosts_own() {
    let desk = Desk::at(&configuration(""), "https://console.acme.example");
    let token = format!("Bearer {TOKEN}");
    let host = ("host", "console.acme.example");
    let made = desk.ask("POST /v1/console/link", &[("authorization", &token), host], "{}").await.json();
    let (address, code) = made["address"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(address, "https://console.acme.example/console/link");
    let form = [host, ("origin", "https://console.acme.example"), ("content-type", "application/x-www-form-urlencoded")];
    let entered = desk.ask("POST /console/link", &form, &format!("code={code}")).await;
    let set = entered.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(set.starts_with("__Host-remit_console=") && set.ends_with("; Secure") && set.contains("Path=/;"), "{set}");
    assert_eq!(entered.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn a_form_of_another_page_does_nothing() {
    let desk = Desk::new();
    let (session, csrf) = administrator(&desk).await;
    let stop = |csrf: &str| format!("kind=agent&id=agent-1&reason=r&csrf={csrf}");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let cookie = ("cookie", session.as_str());
    let own = ("origin", "http://127.0.0.1:7481");
    let (_, other) = administrator(&desk).await;
    for (headers, fields, why) in [
        (vec![cookie, own, kind], stop(""), "no token"),
        (vec![cookie, own, kind], stop(&other), "another session's"),
        (vec![cookie, kind], stop(&csrf), "no origin"),
        (vec![cookie, ("origin", "http://evil.example"), kind], stop(&csrf), "another origin"),
        (vec![cookie, ("origin", "null"), kind], stop(&csrf), "no page's origin"),
        (vec![cookie, ("origin", "http://127.0.0.1:9999"), kind], stop(&csrf), "another port"),
        (vec![cookie, own, kind, ("sec-fetch-site", "cross-site")], stop(&csrf), "another site"),
        (vec![cookie, own, kind, ("host", "evil.example")], stop(&csrf), "a name that was rebound"),
        (vec![cookie, own, ("content-type", "text/plain")], stop(&csrf), "no form"),
    ] {
        let got = desk.ask("POST /console/suspend", &headers, &fields).await;
        assert!((400..500).contains(&got.status), "{why}: {got:?}");
    }
    // The same for the endpoints, when a browser's session asks them.
    for (headers, why) in [
        (vec![cookie, own], "no token"),
        (vec![cookie, ("x-remit-csrf", csrf.as_str())], "no origin"),
        (vec![cookie, ("x-remit-csrf", csrf.as_str()), ("origin", "http://evil.example")], "another origin"),
        (vec![cookie, ("x-remit-csrf", other.as_str()), own], "another session's"),
    ] {
        assert_eq!(desk.ask("POST /v1/suspend", &headers, r#"{"agent":"agent-1","reason":"r"}"#).await.status, 403, "{why}");
    }
    assert_eq!(desk.ask("GET /v1/status", &[cookie, ("sec-fetch-site", "cross-site")], "").await.status, 403);
    assert!(!desk.plane.done.lock().unwrap().iter().any(|(what, _)| what == "suspend"), "nothing was done");
    let done = desk.ask("POST /console/suspend", &[cookie, own, kind, ("sec-fetch-site", "same-origin")], &stop(&csrf)).await;
    assert_eq!((done.status, done.header("location")), (303, "/console/agents?done=suspended"), "{done:?}");
    assert_eq!(desk.plane.last().1["by"], "ana");
}

#[tokio::test]
async fn a_legal_hold_is_placed_and_released_on_the_journals_page() {
    let desk = Desk::new();
    let (session, csrf) = administrator(&desk).await;
    let cookie = ("cookie", session.as_str());
    let headers = [cookie, ("origin", "http://127.0.0.1:7481"), ("content-type", "application/x-www-form-urlencoded")];
    let page = desk.ask("GET /console/journal", &[cookie], "").await;
    assert!(page.status == 200 && page.body.contains("Legal holds") && page.body.contains("for ever"), "{}", page.body);
    let fields = format!("name=case%207&user=ann&agent=&space=&tool=&reason=her%20lawyer&csrf={csrf}");
    let done = desk.ask("POST /console/journal/hold", &headers, &fields).await;
    assert_eq!((done.status, done.header("location")), (303, "/console/journal?done=hold"), "{done:?}");
    let (what, request) = desk.plane.last();
    assert_eq!((what.as_str(), &request["name"], &request["user"]), ("hold", &json!("case 7"), &json!("ann")));
    assert_eq!((&request["agent"], &request["by"]), (&json!(null), &json!("ana")));
    let done = desk.ask("POST /console/journal/release", &headers, &format!("name=case%207&reason=over&csrf={csrf}")).await;
    assert_eq!((done.status, desk.plane.last().0.as_str()), (303, "release"), "{done:?}");
    // Whoever may only look sees no form, and a form of theirs does nothing.
    let (session, csrf) = desk.signed_in("viewer").await;
    let page = desk.ask("GET /console/journal", &[("cookie", &session)], "").await;
    assert!(page.status == 200 && !page.body.contains("/console/journal/hold"), "{}", page.body);
    let headers = [("cookie", session.as_str()), headers[1], headers[2]];
    let refused = desk.ask("POST /console/journal/hold", &headers, &format!("name=x&reason=y&csrf={csrf}")).await;
    assert!(refused.status == 403 && desk.plane.last().0 != "hold", "{refused:?}");
}

#[tokio::test]
async fn a_name_that_was_rebound_reaches_nothing() {
    let desk = Desk::new();
    let token = format!("Bearer {TOKEN}");
    for path in ["/", "/console", "/console/sign-in", "/console/link", "/console/assets/remit.svg", "/v1/status"] {
        for host in ["evil.example", "evil.example:7481", "127.0.0.1.evil.example"] {
            let got = desk.ask(&format!("GET {path}"), &[("host", host), ("authorization", &token)], "").await;
            assert_eq!(got.status, 421, "{path} {host}");
        }
    }
    assert_eq!(desk.ask("GET /healthz", &[("host", "evil.example")], "").await.status, 200, "nothing is told");
}

#[tokio::test]
async fn pages_are_not_kept_framed_or_scripted() {
    let desk = Desk::new();
    let (session, _) = administrator(&desk).await;
    for path in
        ["/console", "/console/sign-in", "/console/link", "/console/approvals/a1", "/console/nowhere", "/console/decisions/d1"]
    {
        let page = desk.ask(&format!("GET {path}"), &[("cookie", &session)], "").await;
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let said = [
            page.header("cache-control"),
            page.header("referrer-policy"),
            page.header("x-content-type-options"),
            page.header("x-frame-options"),
        ];
        assert_eq!(said, ["no-store", "no-referrer", "nosniff", "DENY"], "{path}");
        assert!(!page.body.contains(" style=") && !page.body.contains(" onclick=") && !page.body.contains("<script>"), "{path}");
    }
}

#[tokio::test]
async fn what_strangers_wrote_stays_text() {
    let desk = Desk::new();
    let (session, _) = administrator(&desk).await;
    let page = |path: &'static str| {
        let (desk, session) = (&desk, session.clone());
        async move { desk.ask(path, &[("cookie", &session)], "").await }
    };
    let approval = page("GET /console/approvals/a1").await.body;
    assert!(approval.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && approval.contains("U+202E"), "{approval}");
    assert!(!approval.contains("<script>alert") && !approval.contains('\u{202E}'));
    let server = page("GET /console/servers/111122223333/s").await.body;
    assert!(server.contains("&lt;b&gt;new&lt;/b&gt;") && server.contains("U+200B") && !server.contains('\u{200B}'), "{server}");
    let decision = page("GET /console/decisions/d1").await.body;
    assert!(decision.contains("&lt;i&gt;row&lt;/i&gt;") && decision.contains("deciding"), "{decision}");
    let searched = page("GET /console/decisions?agent=%22%3E%3Cscript%3E").await.body;
    assert!(!searched.contains("\"><script>"), "{searched}");
}

#[tokio::test]
async fn a_person_takes_the_roles_that_trust_them_and_no_other() {
    let desk = Desk::new();
    // One who can take one role has it at once.
    let (viewer, csrf) = desk.signed_in("viewer").await;
    let page = desk.ask("GET /console", &[("cookie", &viewer)], "").await.body;
    assert!(page.contains("viewer@acme.example") && !page.contains("Stop it now"), "{page}");
    assert!(page.contains("denials of agent agent-1") && page.contains("20 of &lt;b&gt;20"), "an alarm that is off: {page}");
    let got = desk.post("/console/roles", &viewer, &format!("csrf={csrf}&role={}", role("administrator"))).await;
    assert_eq!(got.status, 403, "a role that doesn't trust them");
    // One who can take two chooses, and can do nothing before.
    let (both, csrf) = desk.signed_in("both").await;
    let page = desk.ask("GET /console", &[("cookie", &both)], "").await.body;
    assert!(
        page.contains("Take a role") && page.contains(">viewer<") && page.contains(">approver<") && !page.contains(">author<"),
        "{page}"
    );
    assert_eq!(desk.ask("GET /v1/status", &[("cookie", &both)], "").await.status, 403);
    let taken = desk.post("/console/roles", &both, &format!("csrf={csrf}&role={}", role("approver"))).await;
    let session = taken.cookie("remit_console").unwrap();
    assert_ne!(session, both, "another role, another id");
    assert_eq!(desk.ask("GET /v1/status", &[("cookie", &session)], "").await.status, 200);
    assert_eq!(desk.ask("GET /v1/status", &[("cookie", &both)], "").await.status, 401, "the id before has ended");
    // A stranger has none.
    let (stranger, _) = desk.signed_in("stranger").await;
    let page = desk.ask("GET /console", &[("cookie", &stranger)], "").await.body;
    assert!(page.contains("There is no role that you may take."), "{page}");
    assert_eq!(desk.ask("GET /v1/decisions", &[("cookie", &stranger)], "").await.status, 403);
}

#[tokio::test]
async fn what_changes_while_somebody_is_signed_in_holds_for_them() {
    let desk = Desk::new();
    let (viewer, _) = desk.signed_in("viewer").await;
    let status = || async { desk.ask("GET /v1/status", &[("cookie", &viewer)], "").await.status };
    assert_eq!(status().await, 200);
    let set = |text: String| *desk.plane.snapshot.lock().unwrap() = compiled(&text);
    // The trust policy no longer lets them in.
    set(configuration("").replace("[viewer@acme.example, both@acme.example]", "[another@acme.example]"));
    assert_eq!(status().await, 403);
    // The role isn't one of the console's any more.
    set(configuration("").replace("'arn:aws:iam::111122223333:role/viewer', ", ""));
    assert_eq!(status().await, 403);
    // Another provider vouches for people now.
    set(configuration("").replace("issuer: 'https://idp.acme.example'", "issuer: 'https://other.example'"));
    assert_eq!(status().await, 403);
    set(configuration(""));
    assert_eq!(status().await, 200);
    // Its sessions were revoked.
    let mut revoked = Revocations::default();
    revoked.roles.insert(role("viewer").to_string(), now());
    *desk.plane.revocations.lock().unwrap() = Arc::new(revoked);
    assert_eq!(status().await, 401);
    *desk.plane.revocations.lock().unwrap() = Arc::default();
    assert_eq!(status().await, 401, "what was revoked doesn't come back");
}

#[tokio::test]
async fn a_sign_in_is_of_the_browser_that_began_it() {
    let desk = Desk::new();
    let begun = desk.ask("GET /console/sign-in/start", &[], "").await;
    assert!(begun.status == 303 && begun.header("location").starts_with("https://idp.acme.example/authorize?"), "{begun:?}");
    assert!(begun.header("location").ends_with("&again=false"));
    let again = desk.ask("GET /console/sign-in/start?again=yes", &[], "").await;
    assert!(again.header("location").ends_with("&again=true"), "whoever must, authenticates once more");
    let without = desk.ask("GET /console/sign-in/callback?as=administrator", &[], "").await;
    assert!(without.status == 400 && without.cookie("remit_console").is_none());
    let browser = begun.cookie("remit_sign_in").unwrap();
    let refused = desk.ask("GET /console/sign-in/callback?error=access_denied", &[("cookie", &browser)], "").await;
    assert!(refused.status == 403 && refused.cookie("remit_console").is_none(), "{refused:?}");
}

#[tokio::test]
async fn whoever_signs_out_is_out() {
    let desk = Desk::new();
    let (session, csrf) = administrator(&desk).await;
    let out = desk.post("/console/sign-out", &session, &format!("csrf={csrf}")).await;
    assert_eq!((out.status, out.header("location")), (303, "/console/sign-in"));
    assert!(out.headers.get("set-cookie").unwrap().to_str().unwrap().contains("Max-Age=0"));
    for head in ["GET /console", "GET /console/events", "GET /v1/status"] {
        let got = desk.ask(head, &[("cookie", &session)], "").await;
        assert!(matches!(got.status, 303 | 401), "{head}: {got:?}");
    }
}

#[tokio::test]
async fn an_approval_is_decided_as_narrowly_as_the_form_says() {
    let desk = Desk::new();
    let (session, csrf) = desk.signed_in("approver").await;
    let fields = format!("csrf={csrf}&reason=fine&for=time&ttl_minutes=5&pin%3Aamount=yes&pin%3Anowhere=yes");
    let done = desk.post("/console/approvals/a1/approve", &session, &fields).await;
    assert_eq!((done.status, done.header("location")), (303, "/console/approvals/a1?done=approved"), "{done:?}");
    let (what, asked) = desk.plane.last();
    assert_eq!(what, "approve");
    assert_eq!(
        (
            &asked["pins"],
            &asked["ttl_secs"],
            &asked.get("single_use").cloned().unwrap_or_default(),
            &asked["reason"],
            &asked["person"]["id"]
        ),
        (&json!({"/amount": 5}), &json!(300), &json!(null), &json!("fine"), &json!("approver@acme.example"))
    );
    // Whoever may only look is shown no form, and refused if they make one.
    let (viewer, csrf) = desk.signed_in("viewer").await;
    let page = desk.ask("GET /console/approvals/a1", &[("cookie", &viewer)], "").await.body;
    assert!(page.contains("lets you look, not decide") && !page.contains("data-key"), "{page}");
    desk.plane.done.lock().unwrap().clear();
    let refused = desk.post("/console/approvals/a1/approve", &viewer, &format!("csrf={csrf}&reason=r")).await;
    assert!(refused.body.contains("not authorized") || refused.status == 403, "{refused:?}");
    assert!(!desk.plane.done.lock().unwrap().iter().any(|(what, _)| what == "approve"));
}

#[tokio::test]
async fn whoever_cannot_agree_is_told_what_would_help() {
    let desk = Desk::new();
    let (session, _) = desk.signed_in("approver").await;
    let shown = async |you: serde_json::Value| {
        desk.plane.approval.lock().unwrap()["you"] = you;
        desk.ask("GET /console/approvals/a1", &[("cookie", &session)], "").await.body
    };
    let page = shown(
        json!({"may": false, "why": "a sign-in of the last 300 seconds is needed", "sign_in_helps": true, "who_may": ["bob"]}),
    )
    .await;
    assert!(page.contains("Sign in again") && !page.contains("Who may:"), "{page}");
    let why = "ana is no approver of rule `payments`";
    let page = shown(json!({"may": false, "why": why, "sign_in_helps": false, "who_may": ["bob", "<b>eve"]})).await;
    assert!(
        !page.contains("Sign in again") && page.contains("Who may: <strong>bob</strong>, <strong>&lt;b&gt;eve</strong>"),
        "{page}"
    );
    let page = shown(json!({"may": false, "why": why, "sign_in_helps": false, "who_may": []})).await;
    assert!(page.contains("Nobody whom the configuration names may agree to it."), "{page}");
    let page = shown(json!({"may": false, "why": why, "sign_in_helps": false, "who_may": null})).await;
    assert!(page.contains("Somebody else may, whose role lets them decide."), "{page}");
    let page = shown(json!({"may": true, "why": null})).await;
    assert!(!page.contains("Sign in again") && !page.contains("You can't agree to it"), "{page}");
}

#[tokio::test]
async fn a_server_is_approved_on_its_page_as_it_was_looked_at() {
    let desk = Desk::new();
    let (session, csrf) = desk.signed_in("administrator").await;
    let cookie = ("cookie", session.as_str());
    let headers = [cookie, ("origin", "http://127.0.0.1:7481"), ("content-type", "application/x-www-form-urlencoded")];
    let fields = format!("server=111122223333%2Fup&registration=sha256%3Ar&status=APPROVED&reason=read%20it&csrf={csrf}");
    let done = desk.ask("POST /console/server-status", &headers, &fields).await;
    assert_eq!((done.status, done.header("location")), (303, "/console/servers/111122223333/up?done=status"), "{done:?}");
    let (what, request) = desk.plane.last();
    assert_eq!((what.as_str(), &request["status"], &request["registration"]), ("status", &json!("APPROVED"), &json!("sha256:r")));
    assert_eq!((&request["by"], &request["proof"]), (&json!("administrator@acme.example"), &json!("SIGN_IN")));
    let fields = format!("server=111122223333%2Fup&status=SUBMIT&reason=new&csrf={csrf}");
    assert_eq!(
        (desk.ask("POST /console/server-status", &headers, &fields).await.status, desk.plane.last().0.as_str()),
        (303, "submit")
    );
    let (session, csrf) = desk.signed_in("viewer").await;
    let headers = [("cookie", session.as_str()), headers[1], headers[2]];
    let fields = format!("server=111122223333%2Fup&status=APPROVED&reason=x&csrf={csrf}");
    let refused = desk.ask("POST /console/server-status", &headers, &fields).await;
    assert!(refused.status == 403 && desk.plane.last().0 != "status", "{refused:?}");
}
