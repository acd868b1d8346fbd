//! Recorded decisions: found, counted and proved through the gateway and from its files; the index goes away and comes back.

use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::{Place, Remit, config};

fn placed() -> Place {
    let place = Place::new();
    let server = |name: &str| json!({"name": name, "command": ["remit", "sample-server", name]});
    place.write(&config(&[server("ledger")]));
    place
}

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    remit
}

fn calls(remit: &Remit) {
    let (one, two): (Client, Client) = (remit.client("agent-1", "ledger"), remit.client("agent-2", "ledger"));
    for _ in 0..3 {
        one.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    }
    two.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    one.call("ledger___get_account", r#"{"account_id":7}"#);
    one.call("ledger___no_such_tool", "{}");
}

/// The decisions that a `remit log` with these filters prints.
fn log(place: &Place, filters: &[&str]) -> Vec<Value> {
    let said = place.cli(&[&["log", "--json"], filters].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is asked, and how many decisions `calls` leaves of it.
const ASKED: [(&[&str], usize); 9] = [
    (&["--agent", "agent-1"], 5),
    (&["--agent", "agent-1", "--verdict", "allow"], 3),
    (&["--verdict", "DENY"], 2),
    (&["--reason", "arguments_invalid"], 1),
    (&["--tool", "ledger___get_account", "--agent", "agent-2", "--since", "1h"], 1),
    (&["--statement", "lists no such tool", "--layer", "space"], 1),
    (&["--statement", "authenticated", "--verdict", "ALLOW", "--limit", "2"], 2),
    (&["--until", "1h"], 0),
    (&["--user", "nobody"], 0),
];

#[test]
fn decisions_are_found_counted_and_proved_by_the_gateway_and_from_its_files() {
    let remit = up(placed());
    calls(&remit);
    for (filters, count) in ASKED {
        assert_eq!(log(remit.place(), filters).len(), count, "{filters:?}");
    }
    // By pages, without gaps, the newest first.
    let mut path = "GET /v1/decisions?agent=agent-1&limit=2".to_owned();
    let mut indexes = Vec::new();
    loop {
        let (status, page) = remit.operator(&path, "");
        assert_eq!(status, 200, "{page}");
        indexes.extend(page["decisions"].as_array().unwrap().iter().map(|one| one["index"].as_u64().unwrap()));
        let Some(cursor) = page.get("next_cursor") else { break };
        path = format!("GET /v1/decisions?agent=agent-1&limit=2&cursor={}", cursor.as_str().unwrap());
    }
    assert!(indexes.len() == 5 && indexes.is_sorted_by(|one, other| one > other), "{indexes:?}");
    let allowed = log(remit.place(), &["--verdict", "ALLOW", "--limit", "1"]).remove(0);
    assert_eq!(allowed["outcome"], "ok", "{allowed}");
    // The whole entry, how it ended, and the proof that it is there.
    for id in [allowed["id"].as_str().unwrap().to_owned(), allowed["index"].to_string()] {
        let (status, got) = remit.operator(&format!("GET /v1/decisions/{id}"), "");
        assert_eq!((status, &got["entry"]["id"], &got["outcome"]["decision"]), (200, &allowed["id"], &allowed["id"]), "{got}");
        proved(&remit, &got);
    }
    let (status, counted) =
        remit.operator("GET /v1/decisions/counts?since_secs=0&until_secs=4102444800&step_secs=86400000&by=agent", "");
    assert_eq!(status, 200, "{counted}");
    let of = |key: &str| counted["series"].as_array().unwrap().iter().find(|one| one["key"] == key).cloned().unwrap();
    assert_eq!(
        (of("agent-1")["allow"].clone(), of("agent-1")["deny"].clone(), of("agent-2")["allow"].clone()),
        (json!(3), json!(2), json!(1))
    );
    // The same from the files.
    let place = remit.stop();
    for (filters, count) in ASKED {
        assert_eq!(log(&place, filters).len(), count, "{filters:?}");
    }
    let rebuilt = place.cli(&["index", "rebuild", "--json"]);
    let rebuilt: Value = serde_json::from_str(&rebuilt.out).unwrap();
    assert_eq!(rebuilt["entries"], rebuilt["durable"]);
    assert_eq!(log(&place, &["--agent", "agent-1"]).len(), 5);
}

/// Holds a proof against the entry's own bytes and the root of the checkpoint.
fn proved(remit: &Remit, got: &Value) {
    let hash = |value: &Value| remit_tlog::Hash::from_base64(value.as_str().unwrap()).unwrap();
    let proof = &got["proof"];
    let path: Vec<remit_tlog::Hash> = proof["path"].as_array().unwrap().iter().map(hash).collect();
    let (index, size) = (got["index"].as_u64().unwrap(), proof["size"].as_u64().unwrap());
    let mut reader = remit_journal::Reader::open(remit.place().data().join("journal"), index).unwrap();
    let leaf = remit_tlog::leaf_hash(&reader.next().unwrap().unwrap().bytes);
    assert!(remit_tlog::verify_inclusion(&leaf, index, size, &path, &hash(&proof["root"])).is_ok(), "{proof}");
    assert!(proof["checkpoint"].as_str().unwrap().contains(proof["root"].as_str().unwrap()), "{proof}");
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let remit = up(placed());
    for (path, status) in [
        ("GET /v1/decisions?colour=red", 400),
        ("GET /v1/decisions?limit=501", 400),
        ("GET /v1/decisions?limit=many", 400),
        ("GET /v1/decisions?verdict=MAYBE", 400),
        ("GET /v1/decisions?cursor=..%2F..%2Fetc", 400),
        ("GET /v1/decisions?agent=a&agent=b", 400),
        ("GET /v1/decisions?agent=%00", 400),
        ("GET /v1/decisions?statement=ab", 400),
        ("GET /v1/decisions/counts?since_secs=0&until_secs=60&step_secs=7", 400),
        ("GET /v1/decisions/counts", 400),
        ("GET /v1/decisions/99999999", 404),
        ("GET /v1/decisions/no-such-id", 404),
        ("POST /v1/decisions", 405),
        ("GET /v1/decisionsx", 404),
    ] {
        let (got, said) = remit.operator(path, "");
        assert_eq!(got, status, "{path}: {said}");
    }
    let said = remit.place().cli(&["log", "--reason", "suspended", "--follow"]);
    assert_eq!(said.code, 3, "{said:?}");
}

#[test]
fn an_index_that_goes_away_or_is_broken_comes_back_and_no_call_waits_for_it() {
    let remit = up(placed());
    calls(&remit);
    let index = remit.place().data().join("index");
    // Its files go away under the gateway.
    std::fs::remove_dir_all(&index).unwrap();
    calls(&remit);
    let (_, standing) = remit.operator("GET /v1/decisions/standing", "");
    crate::gateway::until("the index is back", || log_is(&remit, 12));
    assert!(standing["durable"].as_u64().unwrap() >= 12, "{standing}");
    // A crash, and something else in its place.
    let place = remit.kill();
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::write(&index, "no directory").unwrap();
    let remit = up(place);
    calls(&remit);
    let (status, said) = remit.operator("GET /v1/decisions", "");
    assert!(status == 503 && said["detail"].as_str().unwrap().contains("index"), "{said}");
    let (status, got) = remit.operator("GET /v1/decisions/0", "");
    assert!(status == 200 && got["proof"].is_null(), "{got}");
    std::fs::remove_file(&index).unwrap();
    crate::gateway::until("the index is made", || log_is(&remit, 18));
    let place = remit.stop();
    assert_eq!(place.cli(&["verify"]).code, 0);
}

fn log_is(remit: &Remit, count: usize) -> bool {
    let (status, page) = remit.operator("GET /v1/decisions?limit=500", "");
    status == 200 && page["decisions"].as_array().unwrap().len() == count
}
