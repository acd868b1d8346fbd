//! A state machine of AWS Step Functions: started with an approval, and followed to its end (API reference of AWS Step Functions:
//! `StartExecution`, `DescribeExecution`, `StopExecution`; JSON 1.0, signed with SigV4).
//!
//! An execution bears the approval's id as its name, so that starting it again starts nothing twice.

use std::sync::Arc;

use remit_model::Network;
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::aws::{self, Endpoint};
use crate::{ChannelError, beginning};

/// The largest result that is read, in bytes: as much as Step Functions passes on.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// A state machine, and with what requests to it are signed.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// Its ARN.
    pub arn: &'a str,
    /// The endpoint; `None` is AWS's own of its region.
    pub endpoint: Option<&'a str>,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: &'a str,
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("arn", &self.arn).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// How an execution stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// It goes on.
    Running,
    /// It has come to this decision.
    Decided(Decided),
    /// It ended without one, and how.
    Failed(String),
}

/// What an execution came to: its output, `{"decision": "APPROVE" | "REJECT", "by"?, "reason"?, "ttl_secs"?}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whether it agrees.
    pub approves: bool,
    /// Who decided, as the state machine says.
    pub by: String,
    /// Why.
    pub reason: String,
    /// For how long; without it for one call.
    pub ttl_secs: Option<u64>,
}

impl Machine<'_> {
    fn region(&self) -> &str {
        aws::region(self.arn)
    }

    fn url(&self) -> String {
        let suffix = aws::suffix(self.arn);
        self.endpoint.map_or_else(|| format!("https://states.{}.{suffix}/", self.region()), str::to_owned)
    }

    /// The ARN of its execution of this name.
    fn execution(&self, name: &str) -> String {
        format!("{}:{name}", self.arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// Starts it. An execution of this name that is there already is left as it is.
    pub async fn start(&self, tls: &Arc<ClientConfig>, name: &str, input: &Value, now_secs: u64) -> Result<(), ChannelError> {
        let body = json!({"stateMachineArn": self.arn, "name": name, "input": input.to_string()});
        match self.call(tls, "StartExecution", &body, now_secs).await {
            Err(ChannelError::Refused { said, .. }) if said.contains("ExecutionAlreadyExists") => Ok(()),
            started => started.map(drop),
        }
    }

    /// How its execution of this name stands.
    pub async fn describe(&self, tls: &Arc<ClientConfig>, name: &str, now_secs: u64) -> Result<Execution, ChannelError> {
        let body = json!({"executionArn": self.execution(name)});
        let said = self.call(tls, "DescribeExecution", &body, now_secs).await?;
        let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
        Ok(match text("status") {
            "RUNNING" | "PENDING_REDRIVE" => Execution::Running,
            "SUCCEEDED" => match decided(text("output")) {
                Some(decided) => Execution::Decided(decided),
                None => Execution::Failed("its output is no decision: `{\"decision\": \"APPROVE\" | \"REJECT\", …}`".to_owned()),
            },
            other => {
                let why = [text("error"), text("cause")].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
                let why = if why.is_empty() { String::new() } else { format!(": {}", beginning(why.join(": ").as_bytes())) };
                Execution::Failed(format!("it ended as {other}{why}"))
            }
        })
    }

    /// Stops its execution of this name: nobody needs its result any more.
    pub async fn stop(&self, tls: &Arc<ClientConfig>, name: &str, why: &str, now_secs: u64) -> Result<(), ChannelError> {
        let body = json!({"executionArn": self.execution(name), "error": "Decided", "cause": why});
        self.call(tls, "StopExecution", &body, now_secs).await.map(drop)
    }

    async fn call(&self, tls: &Arc<ClientConfig>, operation: &str, body: &Value, now_secs: u64) -> Result<Value, ChannelError> {
        let url = self.url();
        let target = format!("AWSStepFunctions.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &*target)];
        let (network, credentials, region) = (self.network, self.credentials, self.region());
        let to = Endpoint { url: &url, network, credentials, region, service: "states" };
        let answer = aws::post(tls, to, &headers, body.to_string(), now_secs).await?;
        serde_json::from_slice(answer.body()).map_err(|error| ChannelError::Invalid(format!("its answer is no JSON: {error}")))
    }
}

fn decided(output: &str) -> Option<Decided> {
    if output.len() > OUTPUT_BYTES_MAX {
        return None;
    }
    let output: Value = serde_json::from_str(output).ok()?;
    let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let approves = match output.get("decision")?.as_str()? {
        "APPROVE" => true,
        "REJECT" => false,
        _ => return None,
    };
    Some(Decided { approves, by: text("by"), reason: text("reason"), ttl_secs: output.get("ttl_secs").and_then(Value::as_u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine<'_> = Machine {
        arn: "arn:aws:states:eu-central-1:111122223333:stateMachine:approve",
        endpoint: None,
        network: Network::Public,
        credentials: "AKIA:secret",
    };

    #[test]
    fn addresses_are_those_of_the_region_and_executions_bear_their_name() {
        assert_eq!(MACHINE.url(), "https://states.eu-central-1.amazonaws.com/");
        let china = Machine { arn: "arn:aws-cn:states:cn-north-1:1:stateMachine:a", ..MACHINE };
        assert_eq!(china.url(), "https://states.cn-north-1.amazonaws.com.cn/");
        assert_eq!(MACHINE.execution("apr-1"), "arn:aws:states:eu-central-1:111122223333:execution:approve:apr-1");
        assert!(!format!("{MACHINE:?}").contains("secret"));
    }

    #[test]
    fn only_a_clear_word_decides() {
        let yes = Decided { approves: true, by: "ann".into(), reason: String::new(), ttl_secs: Some(60) };
        assert_eq!(decided(r#"{"decision":"APPROVE","by":"ann","ttl_secs":60}"#), Some(yes));
        assert!(decided(r#"{"decision":"REJECT"}"#).is_some_and(|said| !said.approves));
        for unclear in ["", "null", "{}", r#"{"decision":"approve"}"#, r#"{"decision":true}"#, r#""APPROVE""#] {
            assert_eq!(decided(unclear), None, "{unclear}");
        }
    }
}
