//! Metrics put to CloudWatch, as moto keeps them and boto3 reads them; and a CloudWatch that nobody reaches.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::channels::States;
use crate::client::send;
use crate::gateway::{Place, Remit, config, until};

const UNKNOWN: &str = "helpdesk___drop_everything";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

fn settings(endpoint: &str) -> Value {
    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    whole["cloudwatch"] =
        json!({"region": "us-east-1", "endpoint": endpoint, "network": "loopback", "credentials": {"secret": "metrics-key"}});
    whole
}

fn up(endpoint: &str) -> Remit {
    let place = Place::new();
    place.write(&settings(endpoint));
    assert_eq!(place.cli_with(&["secret", "set", "metrics-key"], Some(&format!("AKIAEXAMPLE:{SECRET}"))).code, 0);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    remit
}

fn metric(remit: &Remit, name: &str) -> u64 {
    let text = send(remit.control, "GET /metrics", &[], b"").body();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no {name}"));
    line.parse().unwrap()
}

/// The seed's command, from the guide, as somebody would type it.
fn seeds_alarm() -> String {
    let guide = include_str!("../../../../docs/guides/alarms.md");
    let from = guide.find("aws cloudwatch put-metric-alarm").unwrap();
    guide[from..].split("\n```").next().unwrap().to_owned()
}

#[test]
fn boto_reads_the_true_counts_under_the_seeds_names() {
    let states = States::start(1, 1);
    // AWS's own command line takes the seed's command as it stands, and moto keeps it.
    let aws = crate::aws::Peers::installed().bin("aws");
    let command = seeds_alarm().replacen("aws ", &format!("{} --endpoint-url {} ", aws.display(), states.endpoint), 1);
    let done = Command::new("bash")
        .args(["-c", &command])
        .envs([("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "example"), ("AWS_DEFAULT_REGION", "us-east-1")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let remit = up(&states.endpoint);
    for (agent, times) in [("agent-1", 13), ("agent-2", 7)] {
        let client = remit.client(agent, "helpdesk");
        for _ in 0..times {
            assert!(client.call(UNKNOWN, "{}").get("error").is_some());
        }
    }
    let client = remit.client("agent-1", "helpdesk");
    for _ in 0..30 {
        assert!(client.call("helpdesk___search_kb", r#"{"query":"vpn"}"#).get("result").is_some());
    }
    until("they were put", || metric(&remit, "remit_cloudwatch_data_total") > 0);
    assert_eq!((metric(&remit, "remit_cloudwatch_lost_total"), metric(&remit, "remit_cloudwatch_waiting")), (0, 0));
    // What isn't put yet is put at the end.
    assert!(client.call(UNKNOWN, "{}").get("error").is_some());
    let place = remit.stop();
    assert!(!crate::gateway::holds(&place.data().join("journal"), SECRET));

    let told = states.aws(&["metrics", "agent-governance-policy-denials"]);
    // What the seed's alarm looks at: its namespace, its name, its statistic, no dimensions.
    assert_eq!(told["alarm"]["sum"], 21.0, "{told}");
    assert_eq!((&told["alarm"]["Namespace"], &told["alarm"]["MetricName"]), (&json!("AgentGovernance"), &json!("PolicyDenied")));
    assert!(told["alarm"]["sum"].as_f64() >= told["alarm"]["Threshold"].as_f64(), "it goes off");
    let of = |name: &str, dimension: &str| told["sums"][name][dimension].clone();
    assert_eq!(
        (of("PolicyDenied", "agent_id=agent-1"), of("PolicyDenied", "agent_id=agent-2"), of("PolicyDenied", "space=helpdesk")),
        (json!(14.0), json!(7.0), json!(21.0))
    );
    assert_eq!((of("PolicyDecisions", ""), of("CallErrors", ""), of("RiskyAttempts", "")), (json!(51.0), json!(0.0), json!(0.0)));
    assert_eq!(told["latency"], json!({"count": 30, "unit": "Milliseconds"}));
}

#[test]
fn a_cloudwatch_that_nobody_reaches_slows_no_call_and_is_told_of() {
    // It takes connections, and never answers.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let remit = up(&format!("http://{}", dead.local_addr().unwrap()));
    let client = remit.client("agent-1", "helpdesk");
    let denied = || assert!(client.call(UNKNOWN, "{}").get("error").is_some());
    denied();
    until("something waits", || metric(&remit, "remit_cloudwatch_waiting") > 0);
    // While a request is under way that nobody answers.
    let (request, _) = dead.accept().unwrap();
    let begun = Instant::now();
    for _ in 0..50 {
        denied();
    }
    // A request is waited for 15 seconds.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop((request, dead));
    remit.until_said("metrics can't be put to CloudWatch");
    let pid = remit.pid();
    crate::gateway::signal("TERM", pid);
    remit.until_said("data of metrics were not put before the end");
    let (place, code) = remit.wait();
    assert_eq!(code, Some(0));
    assert_eq!(place.verify()["decisions"], 51);
}

#[test]
fn what_is_refused_is_given_up_and_what_is_too_often_is_put_again() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (seen, bodies) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let answers = ["400 Bad Request", "400 Bad Request", "503 Service Unavailable"];
        let codes = ["Throttling", "InvalidParameterValue", "ServiceUnavailable"];
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let (status, code) = (answers.get(number).unwrap_or(&"200 OK"), codes.get(number).unwrap_or(&""));
            let said = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
            let _ = write!(
                stream.get_mut(),
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}",
                said.len()
            );
            if seen.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    let remit = up(&endpoint);
    let client = remit.client("agent-1", "helpdesk");
    assert!(client.call(UNKNOWN, "{}").get("error").is_some());
    let (first, again) = (bodies.recv().unwrap(), bodies.recv().unwrap());
    assert_eq!(first.1, again.1, "too often: the same again");
    assert!(first.1.starts_with("Action=PutMetricData&Version=2010-08-01&Namespace=AgentGovernance&"), "{}", first.1);
    assert!(first.0.contains("/us-east-1/monitoring/aws4_request") && !first.0.contains(SECRET), "{}", first.0);
    until("it was given up", || metric(&remit, "remit_cloudwatch_lost_total") > 0);
    remit.until_said("InvalidParameterValue");
    assert!(client.call(UNKNOWN, "{}").get("error").is_some());
    let (unavailable, at_last) = (bodies.recv().unwrap(), bodies.recv().unwrap());
    assert_eq!(unavailable.1, at_last.1);
    remit.until_said("CloudWatch takes metrics again");
    until("it was put", || metric(&remit, "remit_cloudwatch_data_total") > 0 && metric(&remit, "remit_cloudwatch_waiting") == 0);
    remit.stop();
}
