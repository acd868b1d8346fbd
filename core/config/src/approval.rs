//! `approval_rules`, `approvers` and `approval_channels`: which calls wait for people, who they are, and where they are told.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use remit_model::{
    ApprovalRule, Approvals, Approver, Ask, Authentication, Away, CallsHeld, Channel, Escalation, Network, Risk, TrustTier,
};
use remit_tlog::Verifier;

use crate::draft::Draft;
use crate::invariant::{agent_ids, category, condition, spaces, tool_named};
use crate::item::{Item, Object, shown};
use crate::label;
use crate::secret::secret;
use crate::server::{CLASSES, NETWORKS, RISKS};
use crate::suggest::did_you_mean;
use crate::url::{Rules, url};

/// The most rules.
const RULES_MAX: usize = 500;
/// The most approvers, and the most channels.
const NAMED_MAX: usize = 1_000;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The most people that one rule may ask for.
const APPROVALS_MAX: u64 = 5;
/// The longest that a call may wait, in seconds: a week.
const PENDING_SECS_MAX: u64 = 7 * 24 * 3600;
/// How long a call waits where nobody says, in seconds.
const PENDING_SECS: u64 = 3600;
/// The longest that a call is kept open, in seconds.
const WAIT_SECS_MAX: u64 = 600;
/// How long a call is kept open where nobody says, in seconds: shorter than what clients wait.
const WAIT_SECS: u64 = 45;
/// The longest that an approval may hold, in seconds (AWS DevOps Agent: four hours).
const GRANT_SECS_MAX: u64 = 14_400;
/// How recent a sign-in must be for a critical call where nobody says, in seconds.
const CRITICAL_AGE_SECS: u64 = 900;
/// The most escalations of a rule.
const ESCALATIONS_MAX: usize = 5;

const TIERS: [(&str, TrustTier); 4] = [
    ("probation", TrustTier::Probation),
    ("supervised", TrustTier::Supervised),
    ("trusted", TrustTier::Trusted),
    ("autonomous", TrustTier::Autonomous),
];

/// The three lists, read.
pub(crate) struct Lists<'a, 'b> {
    pub(crate) rules: &'b [Item<'a>],
    pub(crate) approvers: &'b [Item<'a>],
    pub(crate) channels: &'b [Item<'a>],
}

/// Reads them; everything that they may name was read before.
pub(crate) fn approvals(lists: &Lists<'_, '_>, draft: &Draft<'_>) -> Approvals {
    let mut approvals = Approvals::default();
    let mut absences: Vec<(String, Item<'_>)> = Vec::new();
    for item in lists.approvers {
        let Some((approver, deputy)) = approver(item) else { continue };
        absences.extend(deputy);
        let what = format!("there is already an approver {}", shown(&approver.id));
        insert(&mut approvals.approvers, approver.id.clone(), approver, item, what);
    }
    for item in lists.channels {
        let Some((name, channel)) = channel(item) else { continue };
        let what = format!("there is already a channel {}", shown(&name));
        insert(&mut approvals.channels, name, channel, item, what);
    }
    for (deputy, item) in absences {
        if draft.complete && !approvals.approvers.contains_key(&deputy) {
            let known = approvals.approvers.keys().map(String::as_str);
            let what = format!("there is no approver {}{}", shown(&deputy), did_you_mean(&deputy, known));
            item.error(what, "add it to `approvers`, or correct the id");
        }
    }
    keys_differ(&approvals, lists.approvers);
    for item in lists.rules {
        let Some(rule) = rule(item, &approvals, draft) else { continue };
        if let Some(other) = approvals.rules.iter().find(|other| other.id == rule.id) {
            item.error(format!("there is already a rule {}, at {}", shown(&rule.id), other.origin), "rename one of the two");
        }
        approvals.rules.push(rule);
    }
    for (list, max, of) in
        [(lists.rules, RULES_MAX, "rules"), (lists.approvers, NAMED_MAX, "approvers"), (lists.channels, NAMED_MAX, "channels")]
    {
        if let Some(item) = list.get(max) {
            item.error(format!("there are more than {max} {of}"), "keep fewer");
        }
    }
    approvals
}

fn insert<T>(map: &mut BTreeMap<String, T>, key: String, value: T, item: &Item<'_>, what: String) {
    match map.entry(key) {
        Entry::Occupied(_) => item.error(what, "keep one"),
        Entry::Vacant(place) => drop(place.insert(value)),
    }
}

/// A key is one person's: two approvals with it would look like two people's.
fn keys_differ(approvals: &Approvals, items: &[Item<'_>]) {
    let mut seen: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    for approver in approvals.approvers.values() {
        let Some(Ok(key)) = approver.key.as_deref().map(Verifier::parse) else { continue };
        if let Some(other) = seen.insert(*key.key(), &approver.id)
            && let Some(item) = items.first()
        {
            item.error(
                format!("{} and {} have the same key", shown(other), shown(&approver.id)),
                "let each make its own: `remit review-key NAME`",
            );
        }
    }
}

fn approver<'a>(item: &Item<'a>) -> Option<(Approver, Option<(String, Item<'a>)>)> {
    let object = item.object("an approver", &["id", "key", "groups", "away"])?;
    let id = name(&object.need("id")?)?;
    let key = object.get("key").and_then(|key| {
        let text = key.text()?;
        if Verifier::parse(text).is_err() {
            key.error("this is no public key", "let the approver run `remit review-key NAME`, and write here what it prints");
            return None;
        }
        Some(text.to_owned())
    });
    let groups = object.get("groups").map(|list| list.texts("groups")).unwrap_or_default();
    let groups = groups.iter().filter_map(|(_, item)| name(item)).collect();
    let mut deputy = None;
    let away = object.get("away").and_then(|item| {
        let object = item.object("an absence", &["until", "deputy"])?;
        let until = object.need("until")?;
        let until_secs = until.text().and_then(remit_iam::moment_secs).and_then(|secs| u64::try_from(secs).ok());
        if until_secs.is_none() {
            until.error("this is no time", "write a date such as \"2026-12-24\" or \"2026-12-24T18:00:00Z\", in quotes");
        }
        let named = object.need("deputy")?;
        let id = name(&named)?;
        deputy = Some((id.clone(), named));
        Some(Away { until_secs: until_secs?, deputy: id })
    });
    Some((Approver { id, key, groups, away }, deputy))
}

/// A name of a person, a group, a channel or a rule.
fn name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let fits = text.len() <= NAME_BYTES_MAX && text.chars().all(|c| c.is_alphanumeric() || "@._-+/#:".contains(c));
    if !fits {
        let rule = format!("1 to {NAME_BYTES_MAX} bytes of letters, digits and `@._-+/#:`");
        item.error(format!("{} is no name", shown(text)), rule);
        return None;
    }
    Some(text.to_owned())
}

fn channel(item: &Item<'_>) -> Option<(String, Channel)> {
    let object = item.object("a channel", &["name", "webhook", "step_functions"])?;
    let name = name(&object.need("name")?)?;
    let present = object.present(&["webhook", "step_functions"]);
    let [kind] = present.as_slice() else {
        item.error("a channel is exactly one of `webhook` and `step_functions`", "write one of the two");
        return None;
    };
    let inner = object.get(kind)?;
    let channel = if *kind == "webhook" { webhook(&inner)? } else { step_functions(&inner)? };
    Some((name, channel))
}

fn network(object: &Object<'_>) -> Network {
    object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default()
}

fn webhook(item: &Item<'_>) -> Option<Channel> {
    let object = item.object("a webhook", &["url", "secret", "network", "approver"])?;
    let network = network(&object);
    let address = object.need("url").and_then(|item| url(&item, Rules { network, query: true }));
    let secret = object.need("secret").and_then(|item| secret(&item));
    let approver = object.get("approver").and_then(|item| name(&item));
    Some(Channel::Webhook { url: address?, secret: secret?, network, approver })
}

fn step_functions(item: &Item<'_>) -> Option<Channel> {
    let keys = &["state_machine", "endpoint", "credentials", "network", "approver"];
    let object = item.object("a state machine", keys)?;
    let network = network(&object);
    let machine = object.need("state_machine")?;
    let arn = machine.text()?;
    let parts: Vec<&str> = arn.split(':').collect();
    if !matches!(parts.as_slice(), ["arn", _, "states", region, _, "stateMachine", _] if !region.is_empty()) {
        machine.error(
            format!("{} is no ARN of a state machine", shown(arn)),
            "write `arn:aws:states:<region>:<account>:stateMachine:<name>`",
        );
        return None;
    }
    let endpoint = object.get("endpoint").and_then(|item| url(&item, Rules { network, query: false }));
    let credentials = object.need("credentials").and_then(|item| secret(&item));
    let approver = object.need("approver").and_then(|item| name(&item));
    let (state_machine, credentials, approver) = (arn.to_owned(), credentials?, approver?);
    Some(Channel::StepFunctions { state_machine, endpoint, credentials, network, approver })
}

fn rule(item: &Item<'_>, approvals: &Approvals, draft: &Draft<'_>) -> Option<ApprovalRule> {
    let object = item.object("a rule of approvals", &["id", "hold", "ask"])?;
    let id = object.need("id").and_then(|id| name(&id));
    let calls = object.need("hold").and_then(|hold| calls(&hold, draft));
    let critical = calls.as_ref().is_some_and(|calls| calls.risk_min == Some(Risk::Critical));
    let ask = match object.get("ask") {
        Some(item) => ask(&item, critical, approvals, draft)?,
        None => asked_by_default(critical),
    };
    if ask.approvers.is_empty() && approvals.approvers.is_empty() && ask.approvals > 1 {
        item.warn("several people must agree, and `approvers` names nobody", "name them: a name alone tells no two apart");
    }
    Some(ApprovalRule { id: id?, origin: item.origin(), calls: calls?, ask })
}

const HOLD: &[&str] = &[
    "tools",
    "categories",
    "classes",
    "risk_min",
    "trust_max",
    "agents",
    "spaces",
    "delegated",
    "integrity",
    "confidentiality_min",
    "provenance",
    "requested",
    "when",
];

fn calls(item: &Item<'_>, draft: &Draft<'_>) -> Option<CallsHeld> {
    let object = item.object("what is held", HOLD)?;
    if object.present(HOLD).is_empty() {
        item.error(
            "the rule doesn't say which calls it holds",
            "add `categories`, for example; `tools: [\"*\"]` means every tool",
        );
        return None;
    }
    let texts = |key: &str, of: &str| {
        let Some(item) = object.get(key) else { return Vec::new() };
        if item.node.nodes().is_empty() {
            item.error("the list is empty, and an empty list speaks of nothing", "name some, or leave the key out");
        }
        item.texts(of)
    };
    let tools = texts("tools", "tools").into_iter().filter(|(text, item)| tool_named(text, item, draft));
    let categories = texts("categories", "categories").into_iter().filter(|(text, item)| category(text, item));
    Some(CallsHeld {
        tools: tools.map(|(text, _)| text.to_owned()).collect(),
        categories: categories.map(|(text, _)| text.to_owned()).collect(),
        classes: texts("classes", "classes").into_iter().filter_map(|(_, item)| item.choice(&CLASSES)).collect(),
        risk_min: object.get("risk_min").and_then(|item| item.choice(&RISKS)),
        trust_max: object.get("trust_max").and_then(|item| item.choice(&TIERS)),
        agents: agent_ids(texts("agents", "agents"), draft),
        spaces: spaces(texts("spaces", "spaces"), draft),
        delegated: object.get("delegated").and_then(|item| item.flag()),
        origin: label::meant(&object),
        when: object.get("when").and_then(|item| condition(&item)),
    })
}

/// What is asked for where a rule doesn't say.
fn asked_by_default(critical: bool) -> Ask {
    Ask {
        approvals: 1,
        approvers: Vec::new(),
        owner_may: !critical,
        authentication: authentication_by_default(critical),
        pending_secs: PENDING_SECS,
        wait_secs: WAIT_SECS,
        grant_secs_max: None,
        escalations: Vec::new(),
        channels: Vec::new(),
    }
}

fn authentication_by_default(critical: bool) -> Authentication {
    Authentication { proven: critical, acr: Vec::new(), age_secs_max: critical.then_some(CRITICAL_AGE_SECS) }
}

const ASK: &[&str] = &[
    "approvals",
    "approvers",
    "owner_may",
    "authentication",
    "pending_secs",
    "wait_secs",
    "grant_secs_max",
    "escalate",
    "channels",
];

fn ask(item: &Item<'_>, critical: bool, approvals: &Approvals, draft: &Draft<'_>) -> Option<Ask> {
    let object = item.object("what is asked", ASK)?;
    let mut default = asked_by_default(critical);
    let count = |key: &str, max: u64| object.get(key).and_then(|item| item.count(max));
    let approvals_needed = count("approvals", APPROVALS_MAX).and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    // Names that nothing proves tell no two people apart.
    default.authentication.proven |= approvals_needed > 1;
    let asked = Ask {
        approvals: approvals_needed,
        approvers: people(&object, approvals, draft),
        owner_may: object.get("owner_may").and_then(|flag| flag.flag()).unwrap_or(default.owner_may),
        authentication: object
            .get("authentication")
            .map_or(default.authentication.clone(), |item| authentication(&item, &default.authentication)),
        pending_secs: count("pending_secs", PENDING_SECS_MAX).unwrap_or(PENDING_SECS),
        wait_secs: count("wait_secs", WAIT_SECS_MAX).unwrap_or(WAIT_SECS),
        grant_secs_max: count("grant_secs_max", GRANT_SECS_MAX),
        escalations: escalations(&object, approvals, draft),
        channels: channels(&object, approvals, draft),
    };
    let named = approvals.named(&asked.approvers, 0);
    let few = !asked.approvers.is_empty() && named.len() < usize::try_from(asked.approvals).unwrap_or(usize::MAX);
    if few && draft.complete && asked.escalations.is_empty() {
        item.error(
            format!("{} approvals are asked for, and {} could give one: no call could ever go", asked.approvals, named.len()),
            "name more people, or ask for fewer approvals",
        );
    }
    Some(asked)
}

fn authentication(item: &Item<'_>, default: &Authentication) -> Authentication {
    let Some(object) = item.object("an authentication", &["proven", "acr", "age_secs_max"]) else { return default.clone() };
    let acr = object.get("acr").map(|list| list.texts("values of `acr`")).unwrap_or_default();
    let age = object.get("age_secs_max").and_then(|item| item.count(PENDING_SECS_MAX));
    let proven = object.get("proven").and_then(|flag| flag.flag()).unwrap_or(default.proven);
    Authentication {
        // What is asked of a sign-in can't be had from a name.
        proven: proven || !acr.is_empty() || age.is_some(),
        acr: acr.into_iter().map(|(text, _)| text.to_owned()).collect(),
        age_secs_max: age.or(default.age_secs_max.filter(|_| proven)),
    }
}

/// `approvers`: people by id, and groups that somebody is in.
fn people(object: &Object<'_>, approvals: &Approvals, draft: &Draft<'_>) -> Vec<String> {
    let texts = object.get("approvers").map(|list| list.texts("people and groups")).unwrap_or_default();
    let groups: BTreeSet<&str> = approvals.approvers.values().flat_map(|approver| &approver.groups).map(String::as_str).collect();
    for (text, item) in &texts {
        if draft.complete && !approvals.approvers.contains_key(*text) && !groups.contains(text) {
            let known = approvals.approvers.keys().map(String::as_str).chain(groups.iter().copied());
            let what = format!("no approver and no group is called {}{}", shown(text), did_you_mean(text, known));
            item.error(what, "add it to `approvers`, or correct the name");
        }
    }
    texts.into_iter().map(|(text, _)| text.to_owned()).collect()
}

fn channels(object: &Object<'_>, approvals: &Approvals, draft: &Draft<'_>) -> Vec<String> {
    let texts = object.get("channels").map(|list| list.texts("channels")).unwrap_or_default();
    for (text, item) in &texts {
        if draft.complete && !approvals.channels.contains_key(*text) {
            let known = approvals.channels.keys().map(String::as_str);
            let what = format!("there is no channel {}{}", shown(text), did_you_mean(text, known));
            item.error(what, "add it to `approval_channels`, or correct the name");
        }
    }
    texts.into_iter().map(|(text, _)| text.to_owned()).collect()
}

fn escalations(object: &Object<'_>, approvals: &Approvals, draft: &Draft<'_>) -> Vec<Escalation> {
    let Some(list) = object.get("escalate") else { return Vec::new() };
    let mut found = Vec::new();
    for item in list.list("escalations") {
        let Some(object) = item.object("an escalation", &["after_secs", "approvers", "channels"]) else { continue };
        let Some(after_secs) = object.need("after_secs").and_then(|item| item.count(PENDING_SECS_MAX)) else { continue };
        let (approvers, channels) = (people(&object, approvals, draft), channels(&object, approvals, draft));
        if approvers.is_empty() && channels.is_empty() {
            item.error("the escalation asks nobody besides and tells nobody", "add `approvers` or `channels`");
        }
        found.push(Escalation { after_secs, approvers, channels });
    }
    if found.len() > ESCALATIONS_MAX {
        list.error(format!("there are more than {ESCALATIONS_MAX} escalations"), "keep fewer");
    }
    found.sort_by_key(|escalation| escalation.after_secs);
    found
}
