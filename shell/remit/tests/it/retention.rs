//! Records of calls go when their time is over, stay while a hold keeps them, and a person can be forgotten; the journal stays provable.

use remit_journal::{EraseError, Eraser, Journal, Options, Reader, SigningKey};
use serde_json::{Value, json};

use crate::gateway::{Place, Remit, config, holds, until};
use crate::seaweed::{CREDENTIALS, Seaweed};

const SMALL: [&str; 2] = ["--journal-segment-kib", "32"];
const BECAUSE: [&str; 4] = ["--reason", "as the policy says", "--by", "ana"];

fn settings() -> Value {
    let mut config = config(&[json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"]})]);
    config["retention"] = json!({"framework": "HIPAA", "rules": [{"spaces": ["ledger"], "classes": ["READ_ONLY"], "days": 30}]});
    config
}

fn placed() -> Place {
    let place = Place::new();
    place.write(&settings());
    place
}

/// Makes a journal of calls of a year ago: reads and writes, on behalf of ann and of ben in turn.
pub(crate) fn past(data: &std::path::Path) {
    // The key that such a gateway would have made.
    std::fs::create_dir_all(data).unwrap();
    let key = data.join("journal.key");
    std::fs::write(&key, "07".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = Options { segment_bytes: 32 * 1024, ..Options::new(data.join("journal"), "remit/journal") };
    let (journal, _) = Journal::open(options, SigningKey::from_seed(&[7; 32]), |_, _| {}).unwrap();
    for number in 0..200 {
        let (user, class) = (["ann@example.com", "ben@example.com"][number % 2], ["READ_ONLY", "MUTATIVE"][number / 2 % 2]);
        let id = format!("{number:032x}");
        let decision = json!({
            "v": 1, "type": "decision", "time": "2025-11-01T10:00:00.000Z", "id": id, "trace_id": id, "agent": "agent-1", "user": user,
            "space": "ledger", "tool": "ledger___x", "method": "tools/call", "risk": "low", "class": class, "verdict": "ALLOW",
            "policy_session": "policy-session", "labels": {"integrity": "untrusted", "confidentiality": "public"},
            "layers": [{"checkType": "IDENTITY", "effect": "ALLOW", "statement": "x".repeat(300)}],
        });
        let outcome = json!({
            "v": 1, "type": "outcome", "time": "2025-11-01T10:00:01.000Z", "decision": id, "agent": "agent-1", "space": "ledger",
            "tool": "ledger___x", "outcome": "ok",
        });
        for entry in [decision, outcome] {
            journal.append(entry.to_string().into_bytes()).wait().unwrap();
        }
    }
    journal.close();
}

fn retention(place: &Place, args: &[&str], code: i32) -> Value {
    let said = place.cli(&[&["retention"], args, &BECAUSE, &["--json"]].concat());
    assert_eq!(said.code, code, "{args:?}: {said:?}");
    serde_json::from_str(&said.out).unwrap()
}

fn found(place: &Place, filters: &[&str]) -> usize {
    let said = place.cli(&[&["log", "--json", "--limit", "500"], filters].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said.out.lines().count()
}

/// A gateway over such a journal, with calls of now, so that the past isn't in the last segment alone.
fn lived_in() -> Remit {
    let place = placed();
    past(&place.data());
    let remit = Remit::up_at(place, &SMALL);
    remit.until_server("ledger", "ready");
    let client = remit.client("agent-1", "ledger");
    for _ in 0..30 {
        client.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    }
    remit
}

#[test]
fn what_is_over_goes_unless_it_is_held_and_every_proof_stays() {
    let remit = lived_in();
    let place = remit.place();
    assert_eq!((found(place, &["--user", "ann@example.com"]), found(place, &["--user", "ben@example.com"])), (100, 100));
    let checkpoint = place.data().join("saved.checkpoint");
    let told: Value = remit.operator("GET /v1/journal", "").1;
    std::fs::write(&checkpoint, told["checkpoint"].as_str().unwrap()).unwrap();
    let kept = remit.operator("GET /v1/decisions?user=ben@example.com&limit=1", "").1["decisions"][0]["index"].as_u64().unwrap();
    let proof = remit.operator(&format!("GET /v1/decisions/{kept}"), "").1;

    retention(place, &["hold", "case-7", "--user", "ben@example.com"], 0);
    let twice = place.cli(&[&["retention", "hold", "case-7"][..], &BECAUSE].concat());
    assert!(twice.code != 0 && twice.err.contains("already"), "{twice:?}");
    let dry = retention(place, &["sweep", "--dry-run"], 0);
    // Half of them are reads, and half of those are ben's. A decision and its outcome each.
    assert_eq!((&dry["erased"], &dry["kept_by_holds"], &dry["bytes_freed"]), (&json!(100), &json!(50), &json!(0)), "{dry}");
    assert_eq!(found(place, &["--user", "ann@example.com"]), 100);
    let swept = retention(place, &["sweep"], 0);
    assert_eq!((&swept["erased"], &swept["kept_by_holds"]), (&json!(100), &json!(50)), "{swept}");
    assert!(swept["bytes_freed"].as_u64().unwrap() > 30_000, "{swept}");
    assert_eq!(retention(place, &["sweep"], 0)["erased"], 0, "nothing goes twice");
    // The index has let go of them, and nothing else.
    assert_eq!((found(place, &["--user", "ann@example.com"]), found(place, &["--user", "ben@example.com"])), (50, 100));
    let erased = place.log_of("entries_erased");
    assert_eq!(erased.iter().map(|entry| entry["count"].as_u64().unwrap()).sum::<u64>(), 100);
    assert!(erased.iter().all(|entry| entry["why"] == "retention" && entry["by"] == "ana"), "{erased:?}");
    let proved = place.verify();
    assert_eq!((&proved["findings"], &proved["erased"]), (&json!([]), &json!(100)));
    let said = place.cli(&["verify", "--checkpoint", checkpoint.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    // A proof from before is the one of now, under the checkpoint of then.
    let leaf = |told: &Value| (told["entry"].clone(), told["proof"]["leaf"].clone());
    assert_eq!(leaf(&remit.operator(&format!("GET /v1/decisions/{kept}"), "").1), leaf(&proof));

    // A restart forgets no hold; without it the rest goes.
    let remit = Remit::up_at(remit.stop(), &SMALL);
    let place = remit.place();
    assert_eq!(retention(place, &["sweep"], 0)["erased"], 0);
    assert_eq!(remit.operator("GET /v1/retention", "").1["holds"]["case-7"]["user"], "ben@example.com");
    retention(place, &["release", "case-7"], 0);
    assert_eq!(retention(place, &["sweep"], 0)["erased"], 100);
    assert_eq!(place.verify()["findings"], json!([]));
    let place = remit.stop();
    assert_eq!((found(&place, &["--user", "ann@example.com"]), found(&place, &["--user", "ben@example.com"])), (50, 50));
}

/// Everything in the bucket.
fn objects(server: &Seaweed) -> Vec<(String, remit_bucket::Head)> {
    let options = remit_bucket::Options {
        bucket: "archive".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(server.endpoint()),
        network: remit_model::Network::Loopback,
        credentials: CREDENTIALS.to_owned().into(),
        timeout: std::time::Duration::from_secs(20),
    };
    let bucket = remit_bucket::Bucket::new(&options, &remit_egress::tls_config()).unwrap();
    let now_secs = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let listed = bucket.list("journals/", None, now_secs).await.unwrap().objects;
        let mut all = Vec::new();
        for object in listed {
            let head = bucket.head(&object.key, None, now_secs).await.unwrap().unwrap();
            let version = head.version.clone().unwrap();
            // Nobody deletes it, with whatever key.
            assert!(bucket.delete(&object.key, Some(&version), now_secs).await.is_err(), "{} was deleted", object.key);
            all.push((object.key, head));
        }
        all
    })
}

#[test]
fn nothing_is_erased_before_it_is_archived_and_what_was_comes_back_whole() {
    let mut server = Seaweed::start();
    server.make("archive", true);
    let place = placed();
    past(&place.data());
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(place.config().join("it.json")).unwrap()).unwrap();
    let s3 = json!({"bucket": "archive", "region": "us-east-1", "prefix": "journals/", "endpoint": server.endpoint(), "network": "loopback", "credentials": {"secret": "archive"}});
    config["retention"]["archive"] = json!({"s3": s3, "framework": "HIPAA"});
    place.write(&config);
    assert_eq!(place.cli_with(&["secret", "set", "archive"], Some(CREDENTIALS)).code, 0);
    // It is away: calls go on, and what isn't there isn't erased here.
    server.stop();
    let remit = Remit::up_at(place, &SMALL);
    remit.until_server("ledger", "ready");
    let client = remit.client("agent-1", "ledger");
    for _ in 0..30 {
        assert_eq!(client.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#).get("error"), None);
    }
    let place = remit.place();
    let standing = || -> Value {
        let said = place.cli(&["archive", "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    };
    until("it is missed", || standing()["failed"].is_string());
    assert_eq!(retention(place, &["sweep"], 0)["erased"], 0);
    server.start_again();
    until("every full segment is archived", || {
        let told = standing();
        told["failed"].is_null() && told["segments"].as_array().unwrap().iter().all(|segment| segment["archived"] == true)
    });
    let archived = place.log_of("segment_archived");
    let kept = objects(&server);
    assert_eq!(kept.len(), archived.len());
    assert!(kept.len() > 3 && kept.iter().all(|(_, head)| head.retain_until.is_some()), "{kept:?}");
    let swept = retention(place, &["sweep"], 0);
    assert_eq!(swept["erased"], 200, "{swept}");
    assert_eq!(found(place, &["--user", "ann@example.com"]), 50);

    // An auditor asks: a hold, what is needed comes back, and is found and proved again.
    retention(place, &["hold", "audit"], 0);
    let restored: u64 = archived
        .iter()
        .map(|entry| {
            let number = entry["segment"].as_u64().unwrap().to_string();
            let said = place.cli(&[&["archive", "restore", &number, "--json"][..], &BECAUSE].concat());
            assert_eq!(said.code, 0, "{said:?}");
            serde_json::from_str::<Value>(&said.out).unwrap()["restored"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(restored, 200);
    let proved = place.verify();
    assert_eq!((&proved["findings"], &proved["erased"]), (&json!([]), &json!(0)));
    assert_eq!(found(place, &["--user", "ann@example.com"]), 100);
    assert_eq!(place.cli(&["index", "rebuild"]).code, 0);
    until("they are found again", || found(place, &["--user", "ann@example.com"]) == 100);
    assert_eq!(retention(place, &["sweep"], 0)["erased"], 0, "the hold keeps them");
    let missing = place.cli(&[&["archive", "restore", "4000"][..], &BECAUSE].concat());
    assert!(missing.code == 3 && missing.err.contains("isn't archived"), "{missing:?}");
    remit.stop();
}

#[test]
fn a_person_is_forgotten_and_what_nobody_told_is_found() {
    let remit = lived_in();
    let place = remit.place();
    retention(place, &["hold", "all"], 0);
    let held = retention(place, &["erase", "--user", "ann@example.com"], 0);
    assert_eq!((&held["erased"], &held["kept_by_holds"]), (&json!(0), &json!(100)), "a hold stands above it");
    retention(place, &["release", "all"], 0);
    assert!(holds(&place.data().join("journal"), "ann@example.com") && holds(&place.data().join("index"), "ann@example.com"));
    let erased = retention(place, &["erase", "--user", "ann@example.com"], 0);
    assert_eq!((&erased["erased"], &erased["not_yet"]), (&json!(200), &json!(0)), "{erased}");
    assert_eq!((found(place, &["--user", "ann@example.com"]), found(place, &["--user", "ben@example.com"])), (0, 100));
    assert_eq!(place.verify()["findings"], json!([]));
    // Not in what the index writes ahead, either.
    assert!(!holds(&place.data().join("index"), "ann@example.com"), "while the gateway is up");
    let place = remit.stop();
    let recap = std::fs::read_to_string(place.data().join("journal.recap")).unwrap();
    assert!(recap.contains("\"policy-session\"") && !recap.contains("@example.com"), "{recap}");
    for part in ["journal", "index"] {
        assert!(!holds(&place.data().join(part), "ann@example.com"), "{part} still names her");
        assert!(holds(&place.data().join(part), "ben@example.com"));
    }
    // What follows an erased entry still names it, and a delivery that was there goes on.
    let mut leaves = Reader::open(place.data().join("journal"), 0).unwrap();
    let gone: Vec<_> = (0..2).map(|_| leaves.next_leaf().unwrap().unwrap()).collect();
    assert!(gone.iter().all(|leaf| leaf.bytes.is_none()));
    let said = place.cli(&["export", "--format", "ocsf", "--output", "-"]);
    let first: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["unmapped"]["log"]["index"], 2, "{first}");
    assert!(first.to_string().contains(&format!("\"previous_leaf_hash\":\"{}\"", gone[1].hash)), "{first}");
    let cursor = json!({"next": 2, "open": [], "leaf": gone[1].hash.to_string(), "records": 1, "delivered_at_secs": 0});
    std::fs::create_dir_all(place.data().join("deliveries")).unwrap();
    std::fs::write(place.data().join("deliveries/soc.cursor.json"), cursor.to_string()).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut delivering: Value = settings();
    delivering["deliveries"] = json!([{"name": "soc", "syslog": {"address": closed.to_string(), "network": "loopback"}}]);
    place.write(&delivering);
    let remit = Remit::up_at(place, &SMALL);
    let trouble = || -> Value {
        let said = remit.place().cli(&["export", "status", "--json"]);
        serde_json::from_str::<Value>(&said.out).unwrap()["deliveries"][0]["trouble"].clone()
    };
    until("it tries to send", || !trouble().is_null());
    assert!(!trouble().to_string().contains("or another one, before"), "{}", trouble());
    let place = remit.stop();
    // Somebody erases what the journal doesn't say: the tree is what it was, and still it is found.
    let intruder = Eraser::open(place.data().join("journal")).unwrap();
    let segment = intruder.full_segments().unwrap()[0];
    let ben = |entry: &[u8]| entry.windows(15).any(|window| window == b"ben@example.com");
    let done = intruder.erase(segment, |_, entry| ben(entry), |_| Ok::<_, EraseError>(())).unwrap();
    assert!(done.erased > 0);
    let said = place.cli(&["verify", "--json"]);
    assert!(said.code == 1 && said.out.contains("were erased, and the journal doesn't say so"), "{said:?}");
}

#[test]
fn what_a_crash_left_of_an_erasure_is_erased_afterwards() {
    let place = placed();
    past(&place.data());
    // A gateway recorded that these went, and then its power was cut: ann's first call.
    let options = Options { segment_bytes: 32 * 1024, ..Options::new(place.data().join("journal"), "remit/journal") };
    let (journal, _) = Journal::open(options, SigningKey::from_seed(&[7; 32]), |_, _| {}).unwrap();
    let told = json!({"v": 1, "type": "entries_erased", "time": "2025-11-02T10:00:00.000Z", "ranges": [[0, 2]], "count": 2, "why": "erasure"});
    journal.append(told.to_string().into_bytes()).wait().unwrap();
    journal.close();
    let remit = Remit::up_at(place, &SMALL);
    let place = remit.place();
    let first = || Reader::open(place.data().join("journal"), 0).unwrap().next().unwrap().unwrap().index;
    retention(place, &["hold", "case", "--user", "ann@example.com"], 0);
    let dave = ["erase", "--user", "dave@example.com"];
    assert_eq!(retention(place, &dave, 0)["erased"], 0);
    assert_eq!(first(), 0, "a hold keeps what isn't gone");
    retention(place, &["release", "case"], 0);
    assert_eq!(retention(place, &dave, 0)["erased"], 0);
    assert_eq!(first(), 2, "and nothing else goes");
    assert_eq!((&place.verify()["findings"], &place.verify()["erased"]), (&json!([]), &json!(2)));
    remit.stop();
}
