//! What a state machine's endpoint really receives: the operation, the execution's name, and a signature that verifies.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use remit_channel::ChannelError;
use remit_channel::step_functions::{Execution, Machine};
use remit_identity::sigv4::{Claim, Request};
use remit_model::Network;
use serde_json::{Value, json};

const NOW: u64 = 1_790_000_000;

/// What was asked for: the operation and its body.
type Asked = (String, Value);

/// An endpoint that verifies each request and answers in turn.
fn endpoint(answers: Vec<(u16, Value)>) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for (status, answer) in answers {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut headers, mut first) = (Vec::new(), String::new());
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            let header = |name: &str| headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone()).unwrap();
            let mut body = vec![0; header("content-length").parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let request = Request { method: "POST", path: "/", query: "", headers: &pairs, body: &body };
            let claim = Claim::read(&request).unwrap().unwrap();
            claim.verify(&request, "secret", NOW).unwrap();
            let target = header("x-amz-target");
            let operation = target.strip_prefix("AWSStepFunctions.").unwrap().to_owned();
            told.send((operation, serde_json::from_slice(&body).unwrap())).unwrap();
            let text = answer.to_string();
            write!(stream.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
                .unwrap();
        }
    });
    (url, heard)
}

fn machine(url: &str) -> Machine<'_> {
    Machine {
        arn: "arn:aws:states:eu-central-1:111122223333:stateMachine:approve",
        endpoint: Some(url),
        network: Network::Loopback,
        credentials: "AKIAEXAMPLE:secret:a-session-token",
    }
}

const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:approve:apr-1";

#[tokio::test]
async fn what_is_asked_of_a_state_machine() {
    let tls = remit_egress::tls_config();
    let (url, heard) = endpoint(vec![
        (200, json!({"executionArn": EXECUTION})),
        (400, json!({"__type": "ExecutionAlreadyExists", "message": "it is there"})),
        (200, json!({"status": "RUNNING"})),
        (200, json!({"status": "SUCCEEDED", "output": "{\"decision\":\"REJECT\",\"by\":\"ann\"}"})),
        (200, json!({"status": "ABORTED", "error": "Decided", "cause": "elsewhere"})),
        (200, json!({})),
        (400, json!({"__type": "AccessDeniedException"})),
        (503, json!({})),
    ]);
    let machine = machine(&url);
    machine.start(&tls, "apr-1", &json!({"approval": {"id": "apr-1"}}), NOW).await.unwrap();
    machine.start(&tls, "apr-1", &json!({}), NOW).await.unwrap();
    assert_eq!(machine.describe(&tls, "apr-1", NOW).await.unwrap(), Execution::Running);
    let Execution::Decided(decided) = machine.describe(&tls, "apr-1", NOW).await.unwrap() else { panic!("it decides") };
    assert_eq!((decided.approves, decided.by.as_str()), (false, "ann"));
    let ended = machine.describe(&tls, "apr-1", NOW).await.unwrap();
    assert_eq!(ended, Execution::Failed("it ended as ABORTED: Decided: elsewhere".to_owned()));
    machine.stop(&tls, "apr-1", "elsewhere", NOW).await.unwrap();
    let refused = machine.describe(&tls, "apr-1", NOW).await.unwrap_err();
    assert!(matches!(refused, ChannelError::Refused { status: 400, .. }) && !refused.may_pass(), "{refused}");
    let away = machine.describe(&tls, "apr-1", NOW).await.unwrap_err();
    assert!(away.may_pass(), "{away}");
    let asked: Vec<Asked> = heard.iter().collect();
    let operations: Vec<&str> = asked.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(operations[..3], ["StartExecution", "StartExecution", "DescribeExecution"]);
    assert_eq!(
        asked[0].1,
        json!({"stateMachineArn": machine.arn, "name": "apr-1", "input": "{\"approval\":{\"id\":\"apr-1\"}}"})
    );
    assert_eq!((operations[5], &asked[5].1["executionArn"]), ("StopExecution", &json!(EXECUTION)));
    assert!(!format!("{refused} {away}").contains("secret"));
}
