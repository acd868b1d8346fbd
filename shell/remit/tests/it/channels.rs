//! Approvals that are decided elsewhere: by a state machine of AWS Step Functions, which moto really executes, and by a signed webhook.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::aws::python_environment;
use crate::client::send;
use crate::gateway::{Place, Remit, config, until};

const CLOSE: &str = "helpdesk___close_ticket";

fn ticket(number: u32) -> String {
    json!({"ticket_id": format!("TCK-{number}"), "resolution": "done"}).to_string()
}

/// moto, with a state machine of `deploy/` in it.
pub(crate) struct States {
    child: Child,
    root: PathBuf,
    pub(crate) endpoint: String,
    told: Value,
}

impl Drop for States {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl States {
    pub(crate) fn start(ask_secs: u32, escalate_secs: u32) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/step_functions");
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-step-functions");
        std::fs::create_dir_all(&root).unwrap();
        let lock = std::fs::File::create(root.join("lock")).unwrap();
        lock.lock().unwrap();
        python_environment(&root, &source.join("requirements.txt"), &["--no-deps"]);
        drop(lock);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(root.join("venv/bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &free.to_string()])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut states = Self { child, root, endpoint: format!("http://127.0.0.1:{free}"), told: Value::Null };
        until("moto answers", || TcpStream::connect(("127.0.0.1", free)).is_ok());
        let executes = br#"{"stepfunctions":{"execute_state_machine":true}}"#;
        let addr = format!("127.0.0.1:{free}").parse().unwrap();
        assert_eq!(send(addr, "POST /moto-api/config", &[("content-type", "application/json")], executes).status, 201);
        let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/step-functions/approval.asl.json");
        let (ask, escalate) = (ask_secs.to_string(), escalate_secs.to_string());
        states.told = states.aws(&["set-up", definition.to_str().unwrap(), &ask, &escalate]);
        states
    }

    pub(crate) fn aws(&self, args: &[&str]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/step_functions/aws.py");
        let done = Command::new(self.root.join("venv/bin/python"))
            .arg(script)
            .arg(&self.endpoint)
            .args(args)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// What came into a queue.
    fn receive(&self, queue: &str) -> Value {
        self.aws(&["receive", self.told[queue].as_str().unwrap()])
    }

    fn answer(&self, message: &Value, said: &Value) {
        self.aws(&["answer", message["task_token"].as_str().unwrap(), &said.to_string()]);
    }

    fn status(&self, approval: &str) -> Value {
        self.aws(&["status", self.told["machine"].as_str().unwrap(), approval])["status"].clone()
    }

    fn channel(&self) -> Value {
        json!({"name": "states", "step_functions": {
            "state_machine": self.told["machine"], "endpoint": self.endpoint, "network": "loopback",
            "credentials": {"secret": "states-key"}, "approver": "step-functions",
        }})
    }
}

fn up(channel: &Value, approver: &str, secret: (&str, &str)) -> Remit {
    let place = Place::new();
    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    let ask = json!({"wait_secs": 1, "approvers": [approver, "ann"], "channels": [channel["name"]], "authentication": {"proven": true}});
    whole["approval_rules"] = json!([{"id": "closing", "hold": {"tools": [CLOSE]}, "ask": ask}]);
    whole["approvers"] = json!([{"id": approver}, {"id": "ann"}]);
    whole["approval_channels"] = json!([channel]);
    place.write(&whole);
    let said = place.cli_with(&["secret", "set", secret.0], Some(secret.1));
    assert_eq!(said.code, 0, "{said:?}");
    again(place)
}

fn again(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    remit
}

/// The id and the state of the approval that a call waits for; nothing if it went.
fn asked(remit: &Remit, number: u32) -> Option<(String, String)> {
    let answer = remit.client("agent-1", "helpdesk").call(CLOSE, &ticket(number));
    let told = answer["result"]["_meta"].get("remit/approval")?.clone();
    Some((told["id"].as_str().unwrap().to_owned(), told["state"].as_str().unwrap().to_owned()))
}

fn shown(remit: &Remit, id: &str) -> Value {
    remit.operator(&format!("GET /v1/approvals/{id}"), "").1
}

fn until_state(remit: &Remit, id: &str, state: &str) {
    until(state, || shown(remit, id)["state"] == state);
}

#[test]
fn a_state_machine_approves_rejects_and_goes_on_through_a_restart() {
    let states = States::start(60, 60);
    let remit = up(&states.channel(), "step-functions", ("states-key", "AKIAEXAMPLE:example"));
    // It approves.
    let (id, _) = asked(&remit, 1001).unwrap();
    let message = states.receive("queue");
    assert_eq!((&message["approval"]["id"], &message["approval"]["agent"]), (&json!(id), &json!("agent-1")));
    assert_eq!(message["approval"]["arguments"], serde_json::from_str::<Value>(&ticket(1001)).unwrap());
    states.answer(&message, &json!({"decision": "APPROVE", "by": "maria", "reason": "ticket 4711"}));
    until_state(&remit, &id, "APPROVED");
    let vote = shown(&remit, &id)["votes"][0].clone();
    assert_eq!(
        (&vote["by"], &vote["proof"], &vote["reason"]),
        (&json!("step-functions"), &json!("CHANNEL"), &json!("maria: ticket 4711"))
    );
    assert_eq!(asked(&remit, 1001), None, "the call goes");
    // It rejects.
    let (id, _) = asked(&remit, 1002).unwrap();
    states.answer(&states.receive("queue"), &json!({"decision": "REJECT", "by": "maria", "reason": "no"}));
    until_state(&remit, &id, "REJECTED");
    // Remit goes down while a person thinks, and goes on following where it was: nothing is started twice.
    let (id, _) = asked(&remit, 1003).unwrap();
    let message = states.receive("queue");
    let remit = again(remit.kill());
    assert_eq!(shown(&remit, &id)["state"], "PENDING");
    states.answer(&message, &json!({"decision": "APPROVE"}));
    until_state(&remit, &id, "APPROVED");
    assert_eq!(asked(&remit, 1003), None);
}

#[test]
fn when_nobody_answers_the_state_machine_asks_others_and_then_leaves_it_to_remit() {
    let states = States::start(1, 1);
    let remit = up(&states.channel(), "step-functions", ("states-key", "AKIAEXAMPLE:example"));
    let (id, _) = asked(&remit, 1001).unwrap();
    assert_eq!(states.receive("queue").get("escalated"), None);
    assert_eq!(states.receive("escalation")["escalated"], true);
    let failed = || remit.place().log_of("channel_failed");
    until("it has failed", || !failed().is_empty());
    let why = failed()[0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("FAILED") && why.contains("NobodyAnswered"), "{why}");
    assert_eq!(states.status(&id), "FAILED");
    assert_eq!(shown(&remit, &id)["state"], "PENDING", "others may still decide");
}

/// A request as it came: its head's lines and its body.
pub(crate) type Received = (Vec<String>, Vec<u8>);

/// What receives webhooks: the heads and bodies.
pub(crate) fn receiver() -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    (url, receive(listener))
}

/// The same on a socket that is there already.
pub(crate) fn receive(listener: TcpListener) -> Receiver<Received> {
    let (told, received) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_ascii_lowercase());
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            // The first try fails: it is tried again.
            let status = if number == 0 { "503 Service Unavailable" } else { "204 No Content" };
            // Whoever asked may have ended meanwhile.
            let _ = write!(stream.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if told.send((head, body)).is_err() {
                return;
            }
        }
    });
    received
}

pub(crate) fn value<'a>(head: &'a [String], name: &str) -> &'a str {
    head.iter().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap()
}

#[test]
fn a_webhook_is_signed_tried_again_and_its_links_decide_once() {
    let (url, received) = receiver();
    let channel = json!({"name": "chat", "webhook": {
        "url": url, "network": "loopback", "secret": {"secret": "chat-key"}, "approver": "chat",
    }});
    let remit = up(&channel, "chat", ("chat-key", "a shared secret of some length"));
    let (id, _) = asked(&remit, 1001).unwrap();
    let (first, second) = (received.recv().unwrap(), received.recv().unwrap());
    assert_eq!(value(&first.0, "webhook-id"), value(&second.0, "webhook-id"), "the same message");
    let (head, body) = second;
    let at: u64 = value(&head, "webhook-timestamp").parse().unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&message["type"], &message["data"]["approval"]["id"]), (&json!("approval.requested"), &json!(id)));
    // As any receiver would verify it.
    let python = "import base64,hashlib,hmac,sys; b=sys.stdin.buffer.read(); m=(sys.argv[1]+'.'+sys.argv[2]+'.').encode()+b; print('v1,'+base64.b64encode(hmac.new(sys.argv[3].encode(),m,hashlib.sha256).digest()).decode())";
    let mut verify = Command::new("python3")
        .args(["-c", python, &format!("{id}-requested"), &at.to_string(), "a shared secret of some length"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    verify.stdin.take().unwrap().write_all(&body).unwrap();
    let signed = String::from_utf8(verify.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(value(&head, "webhook-signature"), signed.trim().to_ascii_lowercase());
    // A link is looked at before it decides, as what previews it in a chat does, and decides once.
    let link = |which: &str| {
        let link = message["data"]["links"][which].as_str().unwrap().to_owned();
        let (host, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
        (host.parse().unwrap(), format!("/{path}"))
    };
    let (addr, path) = link("approve");
    for _ in 0..2 {
        let page = send(addr, &format!("GET {path}"), &[], b"").is(200);
        assert!(page.contains(CLOSE) && page.contains("agent-1") && page.contains("<form"), "{page}");
    }
    assert_eq!(shown(&remit, &id)["state"], "PENDING");
    let (token, origin) = (path.split_once("token=").unwrap().1, format!("http://{addr}"));
    let post = |origin: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", origin)];
        send(addr, "POST /console/answer", &headers, format!("token={token}&reason=fine").as_bytes())
    };
    assert_eq!(post("http://evil.example").status, 403, "no other page sends the form");
    assert!(post(&origin).is(200).contains("APPROVED"));
    assert_eq!(post(&origin).status, 400, "once");
    let (_, other) = link("reject");
    let other = send(addr, &format!("GET {other}"), &[], b"");
    assert_eq!(other.status, 400, "the other link went with it");
    assert_eq!(asked(&remit, 1001), None, "the call goes");
}
