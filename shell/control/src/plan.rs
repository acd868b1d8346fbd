//! What a change of the configuration would do: what it says differently, what it newly grants and denies, and what is to be said of it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use remit_config::outline::{self, Change};
use remit_iam::access::{Access, Answer, new_access_within, new_trust_within};
use remit_iam::lint::lint;
use remit_iam::{Policy, Statement};
use remit_kernel::compare::{Bounds, Compared, Difference, compare, unheard};
use remit_kernel::{Catalogue, Snapshot};
use remit_model::{AccountId, Attached, Organization};
use serde_json::{Value, json};

use crate::directory::Source;

/// The most changes that are told one by one.
const CHANGES_MAX: usize = 1_000;
/// The most findings of lint that are told.
const FINDINGS_MAX: usize = 500;
/// How far calls are compared.
const BOUNDS: Bounds = Bounds { examined_max: 300_000, told_max: 200 };
/// The most requests that are tried for one role's policies.
const CASES_MAX: u64 = 100_000;
/// The most requests that are tried for all roles and users together.
const CASES_ALL_MAX: u64 = 1_000_000;

/// What `after` makes of `before`, as JSON; an absent `before` allowed nothing. `catalogue` is what servers offer.
pub fn report(before: Option<&Source>, after: &Source, catalogue: &Catalogue, now_secs: u64) -> Value {
    let none = Arc::new(Organization::default());
    let old = before.map_or_else(|| Arc::clone(&none), |before| Arc::new(before.loaded.organization.clone()));
    let new = Arc::new(after.loaded.organization.clone());
    let changes = outline::changes(before.map(|before| before.files.as_slice()).unwrap_or_default(), &after.files);
    let snapshots = [Snapshot::compile(0, Arc::clone(&old), catalogue), Snapshot::compile(0, Arc::clone(&new), catalogue)];
    let [was, is] = &snapshots;
    let Compared { granted, denied, granted_count, denied_count, examined, unexamined } = compare(was, is, BOUNDS, now_secs);
    let unheard = unheard(is, |server| catalogue.servers.contains_key(server));
    let new_servers: Vec<Value> =
        unheard.iter().map(|(space, server)| json!({"space": space.as_str(), "server": server})).collect();
    let (findings, findings_count) = new_findings(&old, &new);
    let reviewers = |organization: &Organization| organization.change_review.clone().filter(|review| review.required);
    json!({
        "changes": changes.iter().take(CHANGES_MAX).collect::<Vec<&Change>>(),
        "changes_count": changes.len(),
        "grants": grouped(&granted),
        "grants_count": granted_count,
        "denials": grouped(&denied),
        "denials_count": denied_count,
        "examined": examined,
        "unexamined": unexamined,
        "reviewers_change": reviewers(&old) != reviewers(&new),
        "policies": new_access(&old, &new),
        "unheard": new_servers,
        "warnings": after.loaded.warnings,
        "findings": findings,
        "findings_count": findings_count,
    })
}

/// What two configurations say differently, as JSON.
pub fn differences(before: &[remit_config::SourceFile], after: &[remit_config::SourceFile], most: usize) -> Value {
    let changes = outline::changes(before, after);
    json!({"changes": changes.iter().take(most).collect::<Vec<&Change>>(), "changes_count": changes.len()})
}

/// Sorted by space, agent and target: a reader goes through them as through the spaces.
fn grouped(differences: &[Difference]) -> Vec<&Difference> {
    let mut sorted: Vec<&Difference> = differences.iter().collect();
    sorted.sort_by(|a, b| (&a.space, &a.agent, &a.target, &a.signs_as).cmp(&(&b.space, &b.agent, &b.target, &b.signs_as)));
    sorted
}

/// Every policy of an organization, each once; those that are shipped with Remit are not its own.
pub fn policies(organization: &Organization) -> Vec<Arc<Policy>> {
    let units = organization.units.values().map(|unit| &unit.controls);
    let accounts = organization.accounts.values().map(|account| &account.controls);
    let controls = std::iter::once(&organization.controls).chain(units).chain(accounts);
    let controls = controls.flat_map(|controls| controls.service_control.iter().chain(&controls.resource_control).flatten());
    let attached = organization.roles.values().flat_map(|role| &role.policies);
    let attached = attached.chain(organization.users.values().flat_map(|user| &user.policies));
    let attached = attached.chain(organization.policies.values()).map(|attached| &attached.policy);
    let trusts = organization.roles.values().map(|role| &role.trust);
    let resources = organization.servers.values().filter_map(|server| server.resource_policy.as_ref());
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for policy in controls.chain(attached).chain(trusts).chain(resources) {
        let shipped = policy.statements().iter().any(|statement: &Arc<Statement>| statement.origin().starts_with("arn:"));
        if !shipped && seen.insert(Arc::as_ptr(policy)) {
            all.push(Arc::clone(policy));
        }
    }
    all
}

/// What is found in a policy, as JSON.
pub fn findings(policy: &Policy) -> Vec<Value> {
    let origin = policy.statements().first().map(|statement| statement.origin().to_string()).unwrap_or_default();
    let file = origin.rsplit_once(':').map_or(origin.as_str(), |(file, _)| file).to_owned();
    let finding = |finding: remit_iam::lint::Finding| {
        json!({
            "severity": finding.severity.name(), "code": finding.code, "file": file, "line": finding.place.line,
            "column": finding.place.column, "policy": &**policy.name(), "statement": finding.label, "what": finding.what,
            "mend": finding.mend,
        })
    };
    lint(policy).into_iter().map(finding).collect()
}

/// What is found now and wasn't before, and how much of it there is. A finding that moves isn't new.
fn new_findings(old: &Organization, new: &Organization) -> (Vec<Value>, usize) {
    let of = |finding: &Value| -> Vec<String> {
        ["policy", "statement", "code", "what"]
            .iter()
            .map(|key| finding.get(*key).map(ToString::to_string).unwrap_or_default())
            .collect()
    };
    let (before, after) = (policies(old), policies(new));
    let known: BTreeSet<Vec<String>> = before.iter().flat_map(|policy| findings(policy)).map(|finding| of(&finding)).collect();
    let mut found: Vec<Value> = after.iter().flat_map(|policy| findings(policy)).collect();
    found.retain(|finding| !known.contains(&of(finding)));
    let count = found.len();
    found.truncate(FINDINGS_MAX);
    (found, count)
}

/// Whether a role or a user may do what it couldn't, and whether a role may be assumed by whom it couldn't: for those whose policies changed.
fn new_access(old: &Organization, new: &Organization) -> Vec<Value> {
    let mut left = CASES_ALL_MAX;
    let mut answers = Vec::new();
    let mut tell = |what: String, answer: &dyn Fn(u64) -> Answer, left: &mut u64| {
        let answer = match (*left).min(CASES_MAX) {
            0 => Answer::Unknown {
                cases: 0,
                why: format!("more than {CASES_ALL_MAX} requests would have to be tried for all of the change"),
            },
            cases => answer(cases),
        };
        let cases = match &answer {
            Answer::Nothing { cases } | Answer::Unknown { cases, .. } => *cases,
            Answer::Grants(_) => 1_000,
        };
        *left = left.saturating_sub(cases.max(1));
        if let Some(told) = told(&what, &answer) {
            answers.push(told);
        }
    };
    for (key, role) in &new.roles {
        let before = old.roles.get(key);
        let arn = role.arn(&new.partition);
        let now = access(new, &key.account, &role.policies, role.permissions_boundary.as_ref());
        let then =
            before.map(|role| access(old, &key.account, &role.policies, role.permissions_boundary.as_ref())).unwrap_or_default();
        if !same(&then, &now) {
            let account = key.account.as_str();
            tell(format!("what {arn} may do"), &|cases| new_access_within(&then, &now, account, cases), &mut left);
        }
        let trust = before.map(|role| &role.trust);
        if !trust.is_some_and(|trust| trust.says_as(&role.trust)) {
            tell(format!("who may assume {arn}"), &|cases| new_trust_within(trust, &role.trust, &arn, cases), &mut left);
        }
    }
    for (key, user) in &new.users {
        let now = access(new, &key.account, &user.policies, user.permissions_boundary.as_ref());
        let then = old.users.get(key);
        let then =
            then.map(|user| access(old, &key.account, &user.policies, user.permissions_boundary.as_ref())).unwrap_or_default();
        if !same(&then, &now) {
            let (arn, account) = (user.arn(&new.partition), key.account.as_str());
            tell(format!("what {arn} may do"), &|cases| new_access_within(&then, &now, account, cases), &mut left);
        }
    }
    answers
}

fn same(a: &Access, b: &Access) -> bool {
    let list = |a: &[Arc<Policy>], b: &[Arc<Policy>]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.says_as(b));
    list(&a.identity, &b.identity)
        && match (&a.boundary, &b.boundary) {
            (None, None) => true,
            (Some(a), Some(b)) => a.says_as(b),
            _ => false,
        }
        && a.service_control.len() == b.service_control.len()
        && a.service_control.iter().zip(&b.service_control).all(|(a, b)| list(a, b))
}

fn access(organization: &Organization, account: &AccountId, policies: &[Attached], boundary: Option<&Attached>) -> Access {
    let exempt = organization.management_account.as_ref() == Some(account);
    let levels = organization.controls_above(account).into_iter().filter(|_| !exempt);
    Access {
        identity: policies.iter().map(|attached| Arc::clone(&attached.policy)).collect(),
        boundary: boundary.map(|attached| Arc::clone(&attached.policy)),
        service_control: levels.filter_map(|(_, controls)| controls.service_control.clone()).collect(),
    }
}

fn told(what: &str, answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Nothing { .. } => None,
        Answer::Unknown { cases, why } => Some(json!({"what": what, "answer": "unknown", "cases": cases, "why": why})),
        Answer::Grants(witness) => Some(json!({
            "what": what, "answer": "grants",
            "witness": {
                "principal": witness.principal, "action": witness.action, "resource": witness.resource, "context": witness.context,
                "by": witness.by,
            },
        })),
    }
}
