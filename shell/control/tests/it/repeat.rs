//! Requests that are sent again under their key.

use std::sync::Arc;

use serde_json::json;

use crate::plane::{Desk, Got, TOKEN, compiled, configuration};

const ASKED: &str = r#"{"principal":"p"}"#;

async fn keyed(desk: &Desk, head: &str, key: &str, body: &str) -> Got {
    let token = format!("Bearer {TOKEN}");
    desk.ask(head, &[("authorization", &token), ("idempotency-key", key)], body).await
}

/// How often something was done.
fn times(desk: &Desk, what: &str) -> usize {
    desk.plane.done.lock().unwrap().iter().filter(|(done, _)| done == what).count()
}

#[tokio::test]
async fn what_is_sent_twice_is_done_once() {
    let desk = Desk::new();
    let first = keyed(&desk, "POST /v1/credentials", "\"one\"", ASKED).await;
    let second = keyed(&desk, "POST /v1/credentials", "one", ASKED).await;
    assert_eq!((first.status, &first.body, first.header("content-type")), (200, &second.body, "application/json"));
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), ("", "true"));
    assert_eq!(
        (second.status, second.header("content-type"), second.header("cache-control")),
        (200, "application/json", "no-store")
    );
    assert_eq!(times(&desk, "credentials"), 1);
    // The key is this request's: another body, or another endpoint, is another request.
    for (head, body) in [
        ("POST /v1/credentials", r#"{"principal": "p"}"#),
        ("POST /v1/credentials", r#"{"principal":"q"}"#),
        ("POST /v1/connections", r#"{"server":"s"}"#),
    ] {
        let other = keyed(&desk, head, "one", body).await;
        assert_eq!((other.status, other.header("content-type")), (422, "application/problem+json"), "{head}: {other:?}");
        assert_eq!(other.json()["status"], 422);
    }
    assert_eq!(desk.plane.done.lock().unwrap().len(), 1);
    // Without a key, and under another one, it is done again.
    let token = format!("Bearer {TOKEN}");
    assert_ne!(desk.ask("POST /v1/credentials", &[("authorization", &token)], ASKED).await.body, first.body);
    assert_ne!(keyed(&desk, "POST /v1/credentials", "two", ASKED).await.body, first.body);
    assert_eq!(times(&desk, "credentials"), 3);
    for unfit in ["", "\"open", "two words"] {
        assert_eq!(keyed(&desk, "POST /v1/credentials", unfit, ASKED).await.status, 400, "{unfit}");
    }
    assert_eq!(times(&desk, "credentials"), 3);
}

#[tokio::test]
async fn a_second_one_waits_for_the_first() {
    let desk = Arc::new(Desk::new());
    desk.plane.open.send_replace(false);
    let ask = |desk: &Arc<Desk>| {
        let desk = Arc::clone(desk);
        tokio::spawn(async move { keyed(&desk, "POST /v1/credentials", "one", ASKED).await })
    };
    let all: Vec<_> = (0..5).map(|_| ask(&desk)).collect();
    // Until everybody who can be waiting waits.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(times(&desk, "credentials"), 1);
    desk.plane.open.send_replace(true);
    let mut replayed = 0;
    let mut bodies = Vec::new();
    for one in all {
        let got = one.await.unwrap();
        assert_eq!(got.status, 200, "{got:?}");
        replayed += usize::from(got.header("idempotency-replayed") == "true");
        bodies.push(got.body);
    }
    bodies.dedup();
    assert_eq!((bodies.len(), replayed, times(&desk, "credentials")), (1, 4, 1));
}

#[tokio::test]
async fn what_was_begun_ends_without_its_caller() {
    let desk = Arc::new(Desk::new());
    desk.plane.open.send_replace(false);
    let asker = {
        let desk = Arc::clone(&desk);
        tokio::spawn(async move { keyed(&desk, "POST /v1/credentials", "one", ASKED).await })
    };
    while times(&desk, "credentials") == 0 {
        tokio::task::yield_now().await;
    }
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    desk.plane.open.send_replace(true);
    let got = keyed(&desk, "POST /v1/credentials", "one", ASKED).await;
    assert_eq!((got.status, got.header("idempotency-replayed"), times(&desk, "credentials")), (200, "true", 1));
}

#[tokio::test]
async fn a_refusal_is_asked_again() {
    let desk = Desk::new();
    for _ in 0..2 {
        let got = keyed(&desk, "POST /v1/connections", "one", r#"{"server":"gone"}"#).await;
        assert_eq!((got.status, got.header("idempotency-replayed")), (404, ""), "{got:?}");
    }
    assert_eq!(times(&desk, "connect"), 2);
    // What was never a request takes no key.
    assert_eq!(keyed(&desk, "POST /v1/connections", "two", "nonsense").await.status, 400);
    let begun = keyed(&desk, "POST /v1/connections", "two", r#"{"server":"s"}"#).await;
    assert_eq!((begun.status, keyed(&desk, "POST /v1/connections", "two", r#"{"server":"s"}"#).await.status), (201, 201));
    assert_eq!(times(&desk, "connect"), 3);
}

#[tokio::test]
async fn a_key_is_its_callers_own_and_opens_nothing_to_who_lost_the_role() {
    let desk = Desk::new();
    let (session, csrf) = desk.signed_in("administrator").await;
    let headers =
        [("cookie", session.as_str()), ("x-remit-csrf", &csrf), ("origin", "http://127.0.0.1:7481"), ("idempotency-key", "one")];
    let machine = keyed(&desk, "POST /v1/credentials", "one", ASKED).await;
    let person = desk.ask("POST /v1/credentials", &headers, ASKED).await;
    assert_eq!((person.status, person.header("idempotency-replayed")), (200, ""), "{person:?}");
    assert_ne!(machine.body, person.body);
    assert_eq!(desk.ask("POST /v1/credentials", &headers, ASKED).await.body, person.body);
    let stripped = configuration("").replace("[RemitAdministratorAccess]", "[RemitViewerAccess]");
    *desk.plane.snapshot.lock().unwrap() = compiled(&stripped);
    let got = desk.ask("POST /v1/credentials", &headers, ASKED).await;
    assert_eq!((got.status, &got.json()["action"]), (403, &json!("remit:IssueCredentials")));
    assert!(!got.body.contains("secret "), "{got:?}");
}
