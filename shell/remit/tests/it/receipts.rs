//! Receipts that agents take away and anybody verifies, and witnesses that find out what the log's own key can't.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use remit_tlog::{Note, TlogProof, Verifier};
use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::{Place, Remit, Said, config, remit, until};

const CALL: &str = r#"{"account_id":"ACC-1003"}"#;

fn settings() -> Value {
    config(&[json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"]})])
}

fn asking(remit: &Remit, agent: &str) -> Client {
    let mut client = remit.client(agent, "ledger");
    r#","remit/receipt":true"#.clone_into(&mut client.meta);
    client
}

fn vkey(place: &Place) -> String {
    std::fs::read_to_string(place.data().join("journal.vkey")).unwrap()
}

fn proved(file: &Path, more: &[&str]) -> Said {
    remit(&[&["verify", "--data", "/nowhere", "--json", "--receipt", file.to_str().unwrap()], more].concat(), None)
}

#[test]
fn an_agent_takes_a_receipt_away_and_anybody_verifies_it() {
    let place = Place::new();
    place.write(&settings());
    let running = Remit::up_at(place, &[]);
    running.until_server("ledger", "ready");
    let plain = running.client("agent-1", "ledger").call("ledger___get_account", CALL);
    assert_eq!(plain["result"]["_meta"]["remit/receipt"], Value::Null);
    let client = asking(&running, "agent-1");
    let answer = client.call("ledger___get_account", CALL);
    let mut without = answer["result"].clone();
    let receipt = without["_meta"].as_object_mut().unwrap().remove("remit/receipt").unwrap();
    let mut expected = plain["result"].clone();
    if expected.get("_meta").is_none() {
        expected["_meta"] = json!({});
    }
    assert_eq!(without, expected, "and nothing else differs");
    let index = receipt["index"].as_u64().unwrap();
    let key = vkey(running.place());
    assert_eq!(receipt["log"], key.as_str());
    let note = Note::parse(receipt["checkpoint"].as_str().unwrap()).unwrap();
    note.verify(&Verifier::parse(&key).unwrap()).unwrap();

    // What it fetches stands alone.
    let path = |client: &Client, index: u64| Client { path: format!("/receipts/{index}"), ..client.clone() };
    let mut fetched = path(&client, index).send("GET", &[], b"");
    assert_eq!(fetched.status, 200);
    let text = fetched.text();
    let proof: TlogProof = text.parse().unwrap();
    let entry: Value = serde_json::from_slice(proof.extra.as_ref().unwrap()).unwrap();
    assert_eq!((&entry["id"], &entry["verdict"], proof.index), (&receipt["decision"], &json!("ALLOW"), index));
    let file = running.place().root().join("call.tlog-proof");
    std::fs::write(&file, &text).unwrap();
    let said = proved(&file, &["--key", &key]);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &told["proved"], &told["entry"]["id"]), (0, &json!(true), &receipt["decision"]), "{said:?}");
    let words = remit(&["verify", "--data", "/nowhere", "--key", &key, "--receipt", file.to_str().unwrap()], None);
    assert!(words.out.contains("PROVED") && words.out.contains("Not proved: that others were shown the same log"), "{words:?}");
    // An operator's is the same.
    let other = running.place().root().join("operators.tlog-proof");
    let said = running.place().cli(&["receipt", &index.to_string(), "--output", other.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let again: TlogProof = std::fs::read_to_string(&other).unwrap().parse().unwrap();
    assert_eq!((again.index, &again.extra), (index, &proof.extra));

    // Nobody gets another's, nor what is no decision; and no token gets none.
    let stranger = running.client("agent-2", "ledger");
    for (client, index) in [(&stranger, index), (&client, 0), (&client, index + 1), (&client, 1 << 40)] {
        assert_eq!(path(client, index).send("GET", &[], b"").status, 404, "{index}");
    }
    let nobody = Client { token: "nonsense".to_owned(), ..path(&client, index) };
    assert_eq!(nobody.send("GET", &[], b"").status, 401);
    // Whatever is changed in it is found.
    let swapped = text.replacen(&format!("index {index}"), &format!("index {}", index - 1), 1);
    let forged = {
        let mut proof = proof.clone();
        let entry = String::from_utf8(proof.extra.take().unwrap()).unwrap().replace("ALLOW", "DENY");
        proof.extra = Some(entry.into_bytes());
        proof.to_string()
    };
    for bad in [swapped, forged] {
        std::fs::write(&file, bad).unwrap();
        let said = proved(&file, &["--key", &key]);
        assert!(said.code == 1 && said.out.contains("\"proved\":false"), "{said:?}");
    }
    std::fs::write(&file, &text).unwrap();
    let other = remit_journal::SigningKey::from_seed(&[5; 32]).verifier_key("remit/journal").unwrap();
    assert_eq!(proved(&file, &["--key", &other]).code, 1);
    std::fs::write(&file, "nonsense").unwrap();
    assert_eq!(proved(&file, &["--key", &key]).code, 3);
    running.stop();
}

/// A witness that runs.
struct Witness {
    child: Child,
    key: String,
    url: String,
}

impl Witness {
    fn up(dir: &Path, name: &str, listen: &str, log: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command.args(["witness", "--json", "--name", name, "--listen", listen, "--log", log, "--data"]).arg(dir.join(name));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        Self { key: text("key"), url: text("url"), child }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a witness to cosign a note, as whoever has one can.
fn add_checkpoint(witness: &Witness, old_size: u64, note: &str) -> String {
    let body = format!("old {old_size}\n\n{note}");
    let host = witness.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head =
        format!("POST /add-checkpoint HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_witness_is_alone_and_keeps_its_memory_whatever_a_note_carries() {
    let dir = tempfile::tempdir().unwrap();
    let signer = remit_tlog::Signer::from_seed("log.example", &[3; 32]).unwrap();
    let text = format!("log.example\n1\n{}\n", remit_tlog::leaf_hash(b"x").to_base64());
    let note = signer.sign(&text).unwrap().to_string();
    let key = signer.verifier().to_string();
    let witness = Witness::up(dir.path(), "one.example", "127.0.0.1:0", &key);
    // Another in its directory would have a memory of its own.
    let data = dir.path().join("one.example");
    let second = ["witness", "--name", "one.example", "--listen", "127.0.0.1:0", "--log", &key, "--data", data.to_str().unwrap()];
    let second = remit(&second, None);
    assert!(second.code != 0 && second.err.contains("another witness"), "{second:?}");
    // Signatures under its name that aren't its own, and so many of strangers that its own has no room.
    let id: u32 = u32::from_str_radix(witness.key.split('+').nth(1).unwrap(), 16).unwrap();
    let line = |name: &str, id: u32| {
        remit_tlog::note::NoteSignature { name: name.to_owned(), key_id: id.to_be_bytes(), bytes: vec![7; 72] }.to_string()
    };
    let mut spoilt = format!("{note}{}\n", line("one.example", id));
    for stranger in 0..62 {
        spoilt.push_str(&format!("{}\n", line("stranger.example", stranger)));
    }
    let answer = add_checkpoint(&witness, 0, &spoilt);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(witness);
    let witness = Witness::up(dir.path(), "one.example", "127.0.0.1:0", &key);
    let answer = add_checkpoint(&witness, 1, &note);
    assert!(answer.starts_with("HTTP/1.1 200"), "it remembers: {answer}");
    let other =
        signer.sign(&text.replace(&remit_tlog::leaf_hash(b"x").to_base64(), &remit_tlog::leaf_hash(b"y").to_base64())).unwrap();
    for old_size in [0, 1] {
        let answer = add_checkpoint(&witness, old_size, &other.to_string());
        assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn witnesses_cosign_what_extends_and_find_out_a_log_that_was_rewritten() {
    let place = Place::new();
    place.write(&settings());
    let place = Remit::up_at(place, &["--log-origin", "acme.example/log"]).stop();
    let key = vkey(&place);
    assert!(key.starts_with("acme.example/log+"), "{key}");
    // What an attacker has put aside: the journal as it was now.
    let (journal, saved) = (place.data().join("journal"), place.root().join("saved"));
    copy(&journal, &saved);
    let dir = place.root().to_owned();
    let twice =
        remit(&["witness", "--data", dir.join("no").to_str().unwrap(), "--name", "w", "--log", &key, "--log", &key], None);
    assert!(twice.code == 3 && twice.err.contains("--log-origin"), "{twice:?}");
    let one = Witness::up(&dir, "one.example", "127.0.0.1:0", &key);
    let two = Witness::up(&dir, "two.example", "127.0.0.1:0", &key);
    let mut watched = settings();
    let named = |witness: &Witness| json!({"url": witness.url, "network": "loopback", "key": witness.key});
    watched["witnessing"] = json!({"witnesses": [named(&one), named(&two)], "quorum": 2, "interval_secs": 1});
    place.write(&watched);
    let running = Remit::up_at(place, &[]);
    running.until_server("ledger", "ready");
    let client = running.client("agent-1", "ledger");
    client.call("ledger___get_account", CALL);
    let size = |running: &Remit| -> u64 {
        let told = running.operator("GET /v1/journal", "").1;
        let note = told["cosigned"].as_str().and_then(remit_journal::SignedCheckpoint::parse);
        note.map_or(0, |note| note.size)
    };
    until("a checkpoint is cosigned", || size(&running) > 0);
    let before = size(&running);
    let answer = asking(&running, "agent-1").call("ledger___get_account", CALL);
    let index = answer["result"]["_meta"]["remit/receipt"]["index"].as_u64().unwrap();
    until("the next is, too", || size(&running) > index.max(before));
    // A receipt carries what they said, and it can be demanded.
    let file = dir.join("a.tlog-proof");
    assert_eq!(running.place().cli(&["receipt", &index.to_string(), "--output", file.to_str().unwrap()]).code, 0);
    let both = ["--key", &key, "--witness", &one.key, "--witness", &two.key];
    let said = proved(&file, &both);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, told["cosigned"].as_array().map(Vec::len)), (0, Some(2)), "{said:?}");
    let stranger = remit_tlog::Cosigner::from_seed("three.example", &[9; 32]).unwrap().key().to_string();
    let three = [&both[..], &["--witness", &stranger]].concat();
    assert_eq!(proved(&file, &three).code, 1, "all that are named are demanded");
    assert_eq!(proved(&file, &[&three[..], &["--witnesses-min", "2"]].concat()).code, 0);
    assert_eq!(proved(&file, &[&both[..], &["--witnesses-min", "3"]].concat()).code, 3);
    let verified = running.place().cli(&["verify", "--witness", &one.key, "--witness", &two.key]);
    assert_eq!(verified.code, 0, "{verified:?}");

    // One is away: nothing more is witnessed, the record says so, and calls go on.
    let listen = two.url.strip_prefix("http://").unwrap().to_owned();
    let second = two.key.clone();
    drop(two);
    assert_eq!(client.call("ledger___get_account", CALL).get("error"), None);
    until("it is missed", || !running.place().log_of("unwitnessed").is_empty());
    let stuck = size(&running);
    assert!(running.place().log_of("unwitnessed")[0]["why"].as_str().unwrap().contains("1 of 2 cosigned (2 demanded)"));
    let two = Witness::up(&dir, "two.example", &listen, &key);
    assert_eq!(two.key, second, "it is who it was");
    client.call("ledger___get_account", CALL);
    until("it cosigns again from where it was", || size(&running) > stuck);
    let place = running.stop();

    // The journal of before is put back, and what was cosigned is still there: the gateway says itself that the log was cut.
    copy(&journal, &dir.join("whole"));
    copy(&saved, &journal);
    let running = Remit::up_at(place, &[]);
    until("it says so", || !running.place().log_of("unwitnessed").is_empty());
    let why = running.place().log_of("unwitnessed")[0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("fewer entries than witnesses have cosigned"), "{why}");
    let place = running.kill();
    copy(&dir.join("whole"), &journal);

    // The journal of before is put back, with all that is beside it: the log's own key signs what comes now.
    copy(&saved, &journal);
    for beside in ["journal.recap", "journal.cosigned"] {
        let _ = std::fs::remove_file(place.data().join(beside));
    }
    let _ = std::fs::remove_dir_all(place.data().join("index"));
    let running = Remit::up_at(place, &[]);
    running.until_server("ledger", "ready");
    let forger = running.client("agent-1", "ledger");
    assert_eq!(forger.call("ledger___get_account", CALL).get("error"), None);
    let place = running.place();
    assert_eq!(place.verify()["findings"], json!([]), "by itself it looks whole");
    until("the witnesses find it out", || !place.log_of("unwitnessed").is_empty());
    for _ in 0..30 {
        forger.call("ledger___get_account", CALL);
    }
    let told = || place.log_of("unwitnessed").last().unwrap()["why"].as_str().unwrap().to_owned();
    until("even when it is as long as before", || told().contains("was rewritten"));
    assert_eq!(size(&running), 0);
    // Whoever kept a receipt has the proof: the log no longer holds to it.
    let kept: TlogProof = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let checkpoint = dir.join("kept.checkpoint");
    std::fs::write(&checkpoint, &kept.note).unwrap();
    let said = place.cli(&["verify", "--checkpoint", checkpoint.to_str().unwrap()]);
    assert!(said.code == 1 && said.out.contains("history was rewritten"), "{said:?}");
    running.stop();
}
