//! Deliveries of a real journal to a collector with moods: it takes little at once, loses answers, and is away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remit_delivery::{Deliveries, Kept, Way};
use remit_export::Places;
use remit_journal::{Journal, Options, SigningKey};
use remit_model::{Delivery, DeliveryFormat, Destination, Network, SecretRef};
use serde_json::{Value, json};
use tempfile::TempDir;

const ORIGIN: &str = "remit/journal";

/// How often each entry was taken, by its index.
type Taken = Arc<Mutex<BTreeMap<u64, u64>>>;

/// A collector that takes at most ten records at once, and of whose first answers every other one is lost after it took the batch.
fn collector() -> (String, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let taken = Taken::default();
    let kept = Arc::clone(&taken);
    std::thread::spawn(move || {
        let mut answers = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut key) = (0, String::new());
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.trim().split_once(": ").unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "x-api-key" => value.clone_into(&mut key),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
            let status = match (key.as_str(), events.len()) {
                ("the-key", 1..=10) => 200,
                ("the-key", _) => 413,
                _ => 401,
            };
            if status == 200 {
                let mut kept = kept.lock().unwrap();
                for event in &events {
                    *kept.entry(event["additionalEventData"]["entryIndex"].as_u64().unwrap()).or_default() += 1;
                }
                answers += 1;
                if answers % 2 == 1 && answers < 6 {
                    continue;
                }
            }
            write!(stream.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    (url, taken)
}

fn journal(dir: &Path) -> Journal {
    let key = SigningKey::from_seed(&[7; 32]);
    Journal::open(Options::new(dir, ORIGIN), key, |_, _| {}).unwrap().0
}

fn decision(id: u64, verdict: &str) -> Vec<u8> {
    let entry = json!({
        "v": 1, "type": "decision", "time": "2026-03-01T12:00:00.500Z", "id": format!("{id:032x}"), "agent": "a", "space": "s",
        "tool": "files___read", "method": "tools/call", "verdict": verdict, "layers": [],
    });
    entry.to_string().into_bytes()
}

fn outcome(id: u64) -> Vec<u8> {
    json!({"v": 1, "type": "outcome", "time": "2026-03-01T12:00:01.000Z", "decision": format!("{id:032x}"), "outcome": "ok"})
        .to_string()
        .into_bytes()
}

fn delivery(url: &str) -> Delivery {
    let header = Some(("x-api-key".to_owned(), SecretRef::Stored("key".to_owned())));
    Delivery {
        name: "siem".to_owned(),
        to: Destination::Https { url: url.to_owned(), network: Network::Loopback, header, array: true },
        format: DeliveryFormat::CloudTrail,
        gather_secs: 1,
        agents: Vec::new(),
        spaces: Vec::new(),
        tools: Vec::new(),
        verdicts: Vec::new(),
    }
}

fn deliveries(root: &Path, journal: &str, secret: &'static str) -> Deliveries {
    let secrets: remit_delivery::Secrets = Arc::new(move |_| Ok(secret.to_owned().into()));
    let way = Way { tls: remit_egress::tls_config(), secrets, hostname: "host".to_owned() };
    Deliveries::new(&root.join(journal), &root.join("deliveries"), ORIGIN, way)
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn everything_arrives_in_batches_that_fit_and_the_cursor_is_of_this_journal_alone() {
    let root = TempDir::new().unwrap();
    let (url, taken) = collector();
    let writer = journal(&root.path().join("journal"));
    let append = |bytes: Vec<u8>| writer.append(bytes).wait().unwrap().index;
    // The first is under way all the time: what comes after it doesn't wait.
    let open = append(decision(0, "ALLOW"));
    let mut wanted = Vec::new();
    for id in 1..60 {
        wanted.push(append(decision(id, ["ALLOW", "DENY"][usize::from(id % 3 == 0)])));
        if id % 3 != 0 {
            append(outcome(id));
        }
    }
    let kept = Kept::new(&root.path().join("deliveries"), "siem");
    // A secret that is wrong is told, without the secret.
    let mut wrong = deliveries(root.path(), "journal", "not-the-key");
    wrong.run(&[delivery(&url)], &Places::default()).unwrap();
    until("it is told", || kept.trouble().is_some_and(|trouble| trouble.error.contains("401")));
    assert!(!format!("{:?} {:?}", kept.trouble(), wrong.standings()).contains("not-the-key"));
    drop(wrong);
    let mut right = deliveries(root.path(), "journal", "the-key");
    right.run(&[delivery(&url)], &Places::default()).unwrap();
    let all = |wanted: &[u64]| wanted.iter().all(|index| taken.lock().unwrap().contains_key(index));
    until("all are there", || all(&wanted) && kept.trouble().is_none());
    let cursor = kept.cursor().unwrap();
    assert_eq!(cursor.open.open, [open]);
    assert!(taken.lock().unwrap().values().any(|times| *times > 1), "what was taken and not answered came again");
    // Across a restart the open one is still known, and nothing that was taken comes again.
    let before = taken.lock().unwrap().clone();
    drop(right);
    let mut again = deliveries(root.path(), "journal", "the-key");
    again.run(&[delivery(&url)], &Places::default()).unwrap();
    let ended = append(outcome(0));
    until("the first is there", || all(&[open]) && kept.cursor().unwrap().open.next > ended);
    let mut expected = before.clone();
    expected.insert(open, 1);
    assert_eq!(*taken.lock().unwrap(), expected);
    drop(again);
    // Another journal under the same cursor is told, and nothing of it goes.
    let other = journal(&root.path().join("other"));
    for id in 0..200 {
        other.append(decision(1000 + id, "DENY")).wait().unwrap();
    }
    let mut foreign = deliveries(root.path(), "other", "the-key");
    foreign.run(&[delivery(&url)], &Places::default()).unwrap();
    until("it is told", || kept.trouble().is_some_and(|trouble| trouble.error.contains("not the one that was delivered")));
    assert_eq!(*taken.lock().unwrap(), expected);
    // A cursor that can't be read is no beginning.
    drop(foreign);
    std::fs::write(root.path().join("deliveries/siem.cursor.json"), "{").unwrap();
    assert!(kept.cursor().is_err());
}
