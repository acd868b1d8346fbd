//! `alarms`: what is watched in the decisions, and what is done when it is too much.

use remit_model::{
    Alarm, AlarmAction, AlarmMetric, CallsCounted, GroupBy, MissingData, Network, PagerSeverity, REASONS, Statistic, Threshold,
};

use crate::draft::Draft;
use crate::invariant::{agent_ids, spaces};
use crate::item::{Item, Object, shown};
use crate::secret::secret;
use crate::server::{NETWORKS, RISKS};
use crate::suggest::did_you_mean;
use crate::url::{Rules, url};

/// The most alarms.
const ALARMS_MAX: usize = 200;
/// The longest name, in bytes: as long as CloudWatch's.
const NAME_BYTES_MAX: usize = 255;
/// The most that a period looks back on, and all of an alarm's periods together, in seconds: a day.
const WINDOW_SECS_MAX: u64 = 86_400;
/// The most periods that one alarm looks at.
const PERIODS_MAX: u64 = 24;
/// The most actions of an alarm.
const ACTIONS_MAX: usize = 5;
/// The largest number that a threshold can be.
const THRESHOLD_MAX: u64 = 1_000_000_000;

const METRICS: [(&str, AlarmMetric); 8] = [
    ("decisions", AlarmMetric::Decisions),
    ("denials", AlarmMetric::Denials),
    ("holds", AlarmMetric::Holds),
    ("risky_attempts", AlarmMetric::RiskyAttempts),
    ("errors", AlarmMetric::Errors),
    ("latency_ms", AlarmMetric::LatencyMs),
    ("findings", AlarmMetric::Findings),
    ("finding_score", AlarmMetric::FindingScore),
];
const STATISTICS: [(&str, Statistic); 3] =
    [("sum", Statistic::Sum), ("average", Statistic::Average), ("maximum", Statistic::Maximum)];
const GROUPS: [(&str, GroupBy); 3] = [("agent", GroupBy::Agent), ("space", GroupBy::Space), ("tool", GroupBy::Tool)];
const MISSING: [(&str, MissingData); 4] = [
    ("missing", MissingData::Missing),
    ("ignore", MissingData::Ignore),
    ("breaching", MissingData::Breaching),
    ("not_breaching", MissingData::NotBreaching),
];
const SEVERITIES: [(&str, PagerSeverity); 4] = [
    ("critical", PagerSeverity::Critical),
    ("error", PagerSeverity::Error),
    ("warning", PagerSeverity::Warning),
    ("info", PagerSeverity::Info),
];

const ALARM: &[&str] = &[
    "name",
    "metric",
    "statistic",
    "of",
    "threshold",
    "fewer_than",
    "ratio",
    "period_secs",
    "evaluation_periods",
    "datapoints_to_alarm",
    "treat_missing_data",
    "group_by",
    "actions",
];

/// Reads them; agents and spaces were read before.
pub(crate) fn alarms(items: &[Item<'_>], draft: &Draft<'_>) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = Vec::new();
    for item in items {
        let Some(alarm) = alarm(item, draft) else { continue };
        if alarms.iter().any(|other| other.name == alarm.name) {
            item.error(format!("there is already an alarm {}", shown(&alarm.name)), "rename one of the two");
        }
        alarms.push(alarm);
    }
    if let Some(item) = items.get(ALARMS_MAX) {
        item.error(format!("there are more than {ALARMS_MAX} alarms"), "keep fewer; `group_by` watches many things with one");
    }
    alarms
}

fn alarm(item: &Item<'_>, draft: &Draft<'_>) -> Option<Alarm> {
    let object = item.object("an alarm", ALARM)?;
    let name = object.need("name").and_then(|item| name(&item));
    let metric = object.need("metric").and_then(|item| item.choice(&METRICS));
    let statistic = statistic(&object, metric);
    let threshold = threshold(&object, metric);
    let period_secs = object.need("period_secs").and_then(|item| period(&item));
    let periods = object.get("evaluation_periods").and_then(|item| item.count(PERIODS_MAX)).unwrap_or(1);
    let datapoints = object.get("datapoints_to_alarm").and_then(|item| item.count(periods)).unwrap_or(periods);
    if let Some(item) = object.get("evaluation_periods")
        && period_secs.is_some_and(|secs| secs.saturating_mul(periods) > WINDOW_SECS_MAX)
    {
        item.error("all periods together are longer than a day", "look at fewer, or at shorter ones");
    }
    let group_by = object.get("group_by").and_then(|item| item.choice(&GROUPS));
    let missing_data = object.get("treat_missing_data").and_then(|item| item.choice(&MISSING)).unwrap_or(match threshold {
        // Nothing at all is less than whatever was expected.
        Some(Threshold::FewerThan(_)) => MissingData::Breaching,
        _ => MissingData::Missing,
    });
    Some(Alarm {
        calls: object.get("of").map(|of| calls(&of, metric, draft)).unwrap_or_default(),
        actions: actions(&object, group_by),
        name: name?,
        metric: metric?,
        statistic,
        threshold: threshold?,
        period_secs: period_secs?,
        evaluation_periods: periods,
        datapoints_to_alarm: datapoints,
        missing_data,
        group_by,
    })
}

fn name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.len() > NAME_BYTES_MAX || !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        item.error(
            format!("{} is no name of an alarm", shown(text)),
            format!("write 1 to {NAME_BYTES_MAX} printable characters of ASCII"),
        );
        return None;
    }
    Some(text.to_owned())
}

/// A period as CloudWatch has them.
fn period(item: &Item<'_>) -> Option<u64> {
    let secs = item.count(WINDOW_SECS_MAX)?;
    if !matches!(secs, 10 | 20 | 30) && !secs.is_multiple_of(60) {
        item.error(format!("{secs} seconds are no period"), "write 10, 20, 30 or a multiple of 60");
        return None;
    }
    Some(secs)
}

fn statistic(object: &Object<'_>, metric: Option<AlarmMetric>) -> Statistic {
    let value = metric.is_some_and(AlarmMetric::is_value);
    let default = if value { Statistic::Average } else { Statistic::Sum };
    let Some(item) = object.get("statistic") else { return default };
    let Some(statistic) = item.choice(&STATISTICS) else { return default };
    if metric.is_some() && value == (statistic == Statistic::Sum) {
        item.error(
            "counts are added up, and latencies and scores aren't",
            "leave `statistic` out, or write `average` or `maximum` of `latency_ms` or `finding_score`",
        );
    }
    statistic
}

fn threshold(object: &Object<'_>, metric: Option<AlarmMetric>) -> Option<Threshold> {
    let present = object.present(&["threshold", "fewer_than", "ratio"]);
    let [kind] = present.as_slice() else {
        object.item.error("an alarm has exactly one of `threshold`, `fewer_than` and `ratio`", "write one of the three");
        return None;
    };
    let item = object.get(kind)?;
    match *kind {
        "threshold" => item.count(THRESHOLD_MAX).map(Threshold::AtLeast),
        "fewer_than" => item.count(THRESHOLD_MAX).map(Threshold::FewerThan),
        _ => {
            if metric.is_some_and(|metric| metric.is_value() || matches!(metric, AlarmMetric::Decisions | AlarmMetric::Findings))
            {
                item.error("a ratio is of counts among all calls", "write `threshold`");
            }
            let ratio = item.object("a ratio", &["percent", "of_at_least"])?;
            let percent = ratio.need("percent").and_then(|item| item.count(100));
            let of_at_least = ratio.need("of_at_least").and_then(|item| item.count(THRESHOLD_MAX));
            Some(Threshold::Ratio { percent: percent?, of_at_least: of_at_least? })
        }
    }
}

fn calls(item: &Item<'_>, metric: Option<AlarmMetric>, draft: &Draft<'_>) -> CallsCounted {
    let Some(object) = item.object("which calls count", &["agents", "spaces", "tools", "reasons"]) else {
        return CallsCounted::default();
    };
    let texts = |key: &str, of: &str| {
        let Some(item) = object.get(key) else { return Vec::new() };
        if item.node.nodes().is_empty() {
            item.error("the list is empty, and an empty list speaks of nothing", "name some, or leave the key out");
        }
        item.texts(of)
    };
    if let Some(item) = object.get("reasons")
        && metric.is_some_and(|metric| !metric.is_of_decisions())
    {
        item.error("only what was decided has a reason", "leave `reasons` out, or count `denials`");
    }
    // Denials are of tools that nobody lists, too: any name will do.
    let tools = texts("tools", "tools");
    let reasons = texts("reasons", "reasons");
    for (text, item) in reasons.iter().filter(|(text, _)| !REASONS.contains(text)) {
        let what = format!("nothing is denied for {}{}", shown(text), did_you_mean(text, REASONS.iter().copied()));
        item.error(what, format!("write one of {}", REASONS.join(", ")));
    }
    CallsCounted {
        agents: agent_ids(texts("agents", "agents"), draft),
        spaces: spaces(texts("spaces", "spaces"), draft),
        tools: tools.into_iter().map(|(text, _)| text.to_owned()).collect(),
        reasons: reasons.into_iter().map(|(text, _)| text.to_owned()).collect(),
    }
}

fn actions(object: &Object<'_>, group_by: Option<GroupBy>) -> Vec<AlarmAction> {
    let Some(list) = object.get("actions") else { return Vec::new() };
    let items = list.list("actions");
    if items.len() > ACTIONS_MAX {
        list.error(format!("there are more than {ACTIONS_MAX} actions"), "keep fewer; a topic of SNS tells many");
    }
    items.iter().filter_map(|item| action(item, group_by)).collect()
}

fn action(item: &Item<'_>, group_by: Option<GroupBy>) -> Option<AlarmAction> {
    const KINDS: &[&str] = &["webhook", "sns", "pagerduty", "suspend", "incident"];
    let object = item.object("an action", KINDS)?;
    let present = object.present(KINDS);
    let [kind] = present.as_slice() else {
        item.error("an action is exactly one of `webhook`, `sns`, `pagerduty`, `suspend` and `incident`", "write one of them");
        return None;
    };
    let inner = object.get(kind)?;
    match *kind {
        "webhook" => webhook(&inner),
        "sns" => sns(&inner),
        "pagerduty" => pagerduty(&inner),
        kind => {
            if group_by != Some(GroupBy::Agent) {
                inner.error("no agent is told apart here, so nobody knows whose doing it is", "add `group_by: agent`");
            }
            if kind == "suspend" {
                inner.choice(&[("agent", ())]).map(|()| AlarmAction::Suspend)
            } else {
                inner.choice(&RISKS).map(|severity| AlarmAction::Incident { severity })
            }
        }
    }
}

fn network(object: &Object<'_>) -> Network {
    object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default()
}

fn webhook(item: &Item<'_>) -> Option<AlarmAction> {
    let object = item.object("a webhook", &["url", "secret", "network"])?;
    let network = network(&object);
    let address = object.need("url").and_then(|item| url(&item, Rules { network, query: true }));
    let secret = object.need("secret").and_then(|item| secret(&item));
    Some(AlarmAction::Webhook { url: address?, secret: secret?, network })
}

fn sns(item: &Item<'_>) -> Option<AlarmAction> {
    let object = item.object("a topic", &["topic", "endpoint", "credentials", "network"])?;
    let network = network(&object);
    let topic = object.need("topic")?;
    let arn = topic.text()?;
    let parts: Vec<&str> = arn.split(':').collect();
    let fits = matches!(parts.as_slice(), ["arn", _, "sns", region, account, name] if !region.is_empty() && account.len() == 12 && !name.is_empty());
    if !fits || arn.len() > 400 {
        topic.error(format!("{} is no ARN of a topic", shown(arn)), "write `arn:aws:sns:<region>:<account>:<name>`");
        return None;
    }
    if arn.strip_suffix(".fifo").is_some() {
        topic.error("a FIFO topic takes messages in groups, which an alarm has none of", "name a standard topic");
        return None;
    }
    let endpoint = object.get("endpoint").and_then(|item| url(&item, Rules { network, query: false }));
    let credentials = object.need("credentials").and_then(|item| secret(&item))?;
    Some(AlarmAction::Sns { topic: arn.to_owned(), endpoint, credentials, network })
}

fn pagerduty(item: &Item<'_>) -> Option<AlarmAction> {
    let object = item.object("an integration of PagerDuty", &["routing_key", "severity", "endpoint", "network"])?;
    let network = network(&object);
    let routing_key = object.need("routing_key").and_then(|item| secret(&item))?;
    let severity = object.get("severity").and_then(|item| item.choice(&SEVERITIES)).unwrap_or_default();
    let endpoint = object.get("endpoint").and_then(|item| url(&item, Rules { network, query: false }));
    Some(AlarmAction::PagerDuty { routing_key, severity, endpoint, network })
}
