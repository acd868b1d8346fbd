//! What is done when an alarm goes off, and when it is over: off the call path, tried a few times, recorded either way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remit_channel::pagerduty::{Integration, Trouble};
use remit_channel::sns::Topic;
use remit_channel::{ChannelError, webhook};
use remit_control::Plane as _;
use remit_gateway::rfc3339;
use remit_kernel::alarm::{Change, OTHER, State};
use remit_mcp::canonical::{hex, sha256};
use remit_model::{AlarmAction, GroupBy, MissingData, Proof, Risk, Statistic, Threshold};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::now_secs;
use crate::output::warn;
use crate::up::World;

/// How often it is tried.
const TRIES_MAX: u32 = 8;
/// How long is waited before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// How many are told at once.
const AT_ONCE_MAX: usize = 16;
/// How many are under way or wait for it.
const UNDER_WAY_MAX: usize = 2_000;

/// Begins what is to be done.
pub(crate) struct Actions {
    world: Arc<World>,
    tls: Arc<ClientConfig>,
    at_once: Arc<Semaphore>,
    under_way: Arc<AtomicUsize>,
}

impl Actions {
    pub(crate) fn new(world: Arc<World>, tls: Arc<ClientConfig>) -> Self {
        Self { world, tls, at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)), under_way: Arc::default() }
    }

    /// Begins what a change asks for and isn't done: everything where it goes off; where it is over, those who were told are told.
    pub(crate) fn begin(&self, runtime: &Handle, change: Change, done: &BTreeSet<u64>) {
        let (off, over) = (change.to == State::Alarm, change.from == State::Alarm);
        let change = Arc::new(change);
        for (number, action) in (0..).zip(&change.alarm.actions) {
            if !(off || over && action.tells()) || done.contains(&number) {
                continue;
            }
            let one = One {
                world: Arc::clone(&self.world),
                tls: Arc::clone(&self.tls),
                change: Arc::clone(&change),
                number,
                action: action.clone(),
            };
            let (at_once, under_way) = (Arc::clone(&self.at_once), Arc::clone(&self.under_way));
            let many = under_way.fetch_add(1, Ordering::Relaxed) >= UNDER_WAY_MAX;
            runtime.spawn(async move {
                // What stops an agent waits for nobody who is slow to be told.
                let place = if one.action.tells() { at_once.acquire_owned().await.ok() } else { None };
                let many = (many && one.action.tells()).then(|| format!("more than {UNDER_WAY_MAX} wait to be told already"));
                let done = match many {
                    Some(why) => Err(why),
                    None => one.run().await,
                };
                drop(place);
                under_way.fetch_sub(1, Ordering::Relaxed);
                one.record(done).await;
            });
        }
    }
}

/// One action for one change.
struct One {
    world: Arc<World>,
    tls: Arc<ClientConfig>,
    change: Arc<Change>,
    /// Its place among the alarm's.
    number: u64,
    action: AlarmAction,
}

/// What an action came to: it was done with the try of this number, or nothing was left to do.
type Done = Result<Option<u32>, String>;

impl One {
    async fn run(&self) -> Done {
        match &self.action {
            AlarmAction::Suspend => self.suspend().await,
            AlarmAction::Incident { severity } => self.incident(*severity).await,
            _ => self.tell().await,
        }
    }

    /// Tells until that succeeds, or can't.
    async fn tell(&self) -> Done {
        let mut pause = PAUSE;
        let mut last = String::new();
        for number in 1..=TRIES_MAX {
            // An incident that is over must not be opened after it was closed.
            let opens = matches!(self.action, AlarmAction::PagerDuty { .. }) && self.change.to == State::Alarm;
            if opens && !self.world.alarms.is(&self.change.alarm.name, &self.change.group, State::Alarm) {
                return Ok(None);
            }
            match self.attempt().await {
                Ok(()) => return Ok(Some(number)),
                Err(error) => {
                    last = error.to_string();
                    if !error.may_pass() {
                        break;
                    }
                }
            }
            if number < TRIES_MAX {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Err(last)
    }

    async fn attempt(&self) -> Result<(), ChannelError> {
        let secret = |reference: &remit_model::SecretRef| self.world.secret(reference).map_err(ChannelError::Invalid);
        match &self.action {
            AlarmAction::Webhook { url, secret: key, network } => {
                let key = secret(key)?;
                let target = webhook::Target { url, network: *network, secret: &key };
                webhook::deliver(&self.tls, &target, &self.id(), now_secs(), &self.message()).await
            }
            AlarmAction::Sns { topic, endpoint, credentials, network } => {
                let credentials = secret(credentials)?;
                let topic = Topic { arn: topic, endpoint: endpoint.as_deref(), network: *network, credentials: &credentials };
                let subject = format!("{}: \"{}\" in {}", self.change.to.as_str(), self.change.alarm.name, topic.region());
                topic.publish(&self.tls, &subject, &notification(&self.change, topic.arn).to_string(), now_secs()).await
            }
            AlarmAction::PagerDuty { routing_key, severity, endpoint, network } => {
                let routing_key = secret(routing_key)?;
                let to = Integration { endpoint: endpoint.as_deref(), network: *network, routing_key: &routing_key };
                let key = dedup_key(&self.change);
                if self.change.to != State::Alarm {
                    return to.resolve(&self.tls, &key).await;
                }
                let (alarm, timestamp) = (&self.change.alarm, rfc3339(self.change.at_ms));
                let whose = if self.change.group.is_empty() { String::new() } else { format!(" of {}", self.change.group) };
                let trouble = Trouble {
                    summary: &format!("{}{whose}: {}", alarm.name, self.change.reason),
                    source: &self.world.control_address,
                    severity: severity.as_str(),
                    timestamp: &timestamp,
                    class: alarm.metric.as_str(),
                    group: &self.change.group,
                    details: self.told(),
                };
                to.trigger(&self.tls, &key, &trouble).await
            }
            AlarmAction::Suspend | AlarmAction::Incident { .. } => Ok(()),
        }
    }

    /// Tells a message from all others, and is the same when it is delivered again.
    fn id(&self) -> String {
        let change = &self.change;
        let all = json!([change.alarm.name, change.group, change.at_ms, change.to]).to_string();
        format!("alarm-{}", hex(sha256(all.as_bytes()).get(..16).unwrap_or_default()))
    }

    fn told(&self) -> Value {
        let (change, alarm) = (&self.change, &self.change.alarm);
        json!({
            "alarm": alarm.name, "metric": alarm.metric, "group_by": alarm.group_by, "group": change.group, "state": change.to,
            "previous": change.from, "at": rfc3339(change.at_ms), "reason": change.reason, "datapoints": change.datapoints,
        })
    }

    fn message(&self) -> Value {
        let kind = if self.change.to == State::Alarm { "alarm.raised" } else { "alarm.ended" };
        json!({"type": kind, "timestamp": rfc3339(now_secs().saturating_mul(1000)), "data": self.told()})
    }

    /// The agent whose doing it is.
    fn agent(&self) -> Result<&str, String> {
        let known = |agent: &str| self.world.gateway.snapshot().organization.agents.contains_key(agent);
        match &*self.change.group {
            OTHER if !known(OTHER) => Err("it is the doing of callers whom nobody knows".to_owned()),
            agent if known(agent) => Ok(agent),
            agent => Err(format!("there is no agent `{agent}` any more")),
        }
    }

    async fn suspend(&self) -> Done {
        let agent = self.agent()?;
        let stopped = &self.world.gateway.revocations().suspended;
        if serde_json::to_value(stopped).is_ok_and(|all| all.pointer("/agents").is_some_and(|agents| agents.get(agent).is_some()))
        {
            return Ok(None);
        }
        let request = json!({"agent": agent, "by": self.by(), "reason": self.change.reason});
        self.world.suspend(&request).await.map(|_| Some(1)).map_err(|(_, why)| why)
    }

    async fn incident(&self, severity: Risk) -> Done {
        let event = json!({
            "agent": self.agent()?, "severity": severity, "by": self.by(), "proof": Proof::Token, "reason": self.change.reason,
        });
        self.world.recorded("incident", event).await.map(|()| Some(1)).map_err(|(_, why)| why)
    }

    fn by(&self) -> String {
        format!("alarm {}", self.change.alarm.name)
    }

    async fn record(&self, done: Done) {
        let change = &self.change;
        let mut event = json!({"alarm": change.alarm.name, "group": change.group, "to": change.to, "number": self.number, "action": self.action.kind()});
        let (kind, key, value) = match done {
            Ok(None) => return,
            Ok(Some(tries)) => ("alarm_action", "tries", json!(tries)),
            Err(why) => {
                warn(&format!("alarm `{}`: `{}` was not done: {why}", change.alarm.name, self.action.kind()));
                ("alarm_action_failed", "why", json!(why))
            }
        };
        if let Some(event) = event.as_object_mut() {
            event.insert(key.to_owned(), value);
        }
        let _ = self.world.gateway.record(kind, event).await;
    }
}

/// One incident for one alarm and group, whatever happens in between. Short, and no two have the same.
fn dedup_key(change: &Change) -> String {
    let both = json!([change.alarm.name, change.group]).to_string();
    format!("remit-{}", hex(&sha256(both.as_bytes())))
}

/// What CloudWatch would have sent to the topic: whatever takes its messages takes these.
fn notification(change: &Change, topic: &str) -> Value {
    let alarm = &change.alarm;
    let mut arn = topic.split(':').skip(3);
    let (region, account) = (arn.next().unwrap_or_default(), arn.next().unwrap_or_default());
    let (operator, threshold) = match alarm.threshold {
        Threshold::AtLeast(threshold) | Threshold::Ratio { percent: threshold, .. } => {
            ("GreaterThanOrEqualToThreshold", threshold)
        }
        Threshold::FewerThan(threshold) => ("LessThanThreshold", threshold),
    };
    let statistic = match alarm.statistic {
        Statistic::Sum => "SUM",
        Statistic::Average => "AVERAGE",
        Statistic::Maximum => "MAXIMUM",
    };
    let missing = match alarm.missing_data {
        MissingData::Missing => "missing",
        MissingData::Ignore => "ignore",
        MissingData::Breaching => "breaching",
        MissingData::NotBreaching => "notBreaching",
    };
    let dimension = alarm.group_by.map(|by| match by {
        GroupBy::Agent => "agent_id",
        GroupBy::Space => "space",
        GroupBy::Tool => "tool",
    });
    let dimensions: Vec<Value> = dimension.map(|name| json!({"name": name, "value": change.group})).into_iter().collect();
    json!({
        "AlarmName": alarm.name,
        "AlarmDescription": null,
        "AWSAccountId": account,
        "NewStateValue": change.to,
        "NewStateReason": change.reason,
        "StateChangeTime": rfc3339(change.at_ms).replace('Z', "+0000"),
        "Region": region,
        "OldStateValue": change.from,
        "Trigger": {
            "MetricName": alarm.metric.cloudwatch_name(),
            "Namespace": remit_telemetry::figures::NAMESPACE,
            "StatisticType": "Statistic",
            "Statistic": statistic,
            "Unit": null,
            "Dimensions": dimensions,
            "Period": alarm.period_secs,
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints_to_alarm,
            "ComparisonOperator": operator,
            "Threshold": threshold,
            "TreatMissingData": missing,
        },
    })
}
