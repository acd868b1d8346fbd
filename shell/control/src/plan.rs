//! What a change of the configuration would do: what it says differently, what it newly grants and denies, and what is to be said of it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use remit_cedar::Prover;
use remit_config::SourceFile;
use remit_config::outline::{self, Change};
use remit_iam::access::{Access, Answer, new_access_within, new_trust_within};
use remit_iam::lint::lint;
use remit_iam::{Policy, Statement};
use remit_kernel::compare::{Bounds, Compared, Difference, compare, unheard};
use remit_kernel::invariant::{self, Checked, Standing};
use remit_kernel::{Catalogue, Snapshot};
use remit_model::{AccountId, AgentCredential, Attached, Organization};
use serde::Serialize;
use serde_json::{Value, json};

use crate::directory::Source;

/// The most bytes, as JSON, of the changes that are told one by one; the rest is counted.
const CHANGES_BYTES_MAX: usize = 256 * 1024;
/// The same for each other list.
const LIST_BYTES_MAX: usize = 96 * 1024;
/// How far calls are compared.
const BOUNDS: Bounds = Bounds { examined_max: 300_000, told_max: 200 };
/// The most requests that are tried for one role's policies.
const CASES_MAX: u64 = 20_000;
/// The most searches for what roles and users newly may do.
const SEARCHES_MAX: usize = 50;

/// How many combinations of agent, way, space and tool are looked at for one invariant.
const EXAMINED_MAX: u64 = 300_000;

/// How the invariants of an organization stand, given what its servers offer; `prover` answers by symbolic analysis. `now_secs` is the time
/// in seconds since the epoch.
pub fn invariants(organization: &Arc<Organization>, catalogue: &Catalogue, prover: &Prover<'_>, now_secs: u64) -> Vec<Checked> {
    if organization.invariants.is_empty() {
        return Vec::new();
    }
    invariants_of(&Snapshot::compile(0, Arc::clone(organization), catalogue), catalogue, prover, now_secs)
}

fn invariants_of(snapshot: &Snapshot, catalogue: &Catalogue, prover: &Prover<'_>, now_secs: u64) -> Vec<Checked> {
    invariant::check(snapshot, |server| catalogue.servers.contains_key(server), prover, EXAMINED_MAX, now_secs)
}

/// Those that are violated.
pub fn violated(checked: &[Checked]) -> Vec<&Checked> {
    checked.iter().filter(|checked| checked.standing == Standing::Violated).collect()
}

/// What `after` makes of `before`, as JSON; an absent `before` allowed nothing. `catalogue` is what servers offer; `prover` answers by
/// symbolic analysis.
pub fn report(before: Option<&Source>, after: &Source, catalogue: &Catalogue, prover: &Prover<'_>, now_secs: u64) -> Value {
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
    let findings = new_findings(&old, &new);
    let invariants = invariants_of(is, catalogue, prover, now_secs);
    let policies = new_access(&old, &new);
    let credentials = credentials(&old, &new);
    let warnings = &after.loaded.warnings;
    let reviewers = |organization: &Organization| organization.change_review.clone().filter(|review| review.required);
    json!({
        "changes": within(&changes, CHANGES_BYTES_MAX),
        "changes_count": changes.len(),
        "grants": within(&sorted(&granted), LIST_BYTES_MAX),
        "grants_count": granted_count,
        "denials": within(&sorted(&denied), LIST_BYTES_MAX),
        "denials_count": denied_count,
        "examined": examined,
        "unexamined": unexamined,
        "reviewers_change": reviewers(&old) != reviewers(&new),
        "operators_change": old.console != new.console,
        "credentials_change": within(&credentials, LIST_BYTES_MAX),
        "credentials_change_count": credentials.len(),
        "invariants": within(&invariants, LIST_BYTES_MAX),
        "invariants_count": invariants.len(),
        "invariants_violated": violated(&invariants).len(),
        "policies": within(&policies, LIST_BYTES_MAX),
        "policies_count": policies.len(),
        "unheard": within(&new_servers, LIST_BYTES_MAX),
        "unheard_count": new_servers.len(),
        "warnings": within(warnings, LIST_BYTES_MAX),
        "warnings_count": warnings.len(),
        "findings": within(&findings, LIST_BYTES_MAX),
        "findings_count": findings.len(),
    })
}

/// The first of a list, as JSON, so many bytes of it.
pub fn within<T: Serialize>(list: &[T], bytes_max: usize) -> Vec<Value> {
    let mut left = bytes_max;
    let fits = list.iter().map_while(|one| {
        let value = json!(one);
        left = left.checked_sub(value.to_string().len() + 1)?;
        Some(value)
    });
    fits.collect()
}

/// What two configurations say differently, as JSON, the first `most` of it.
pub fn differences(before: &[SourceFile], after: &[SourceFile], most: usize) -> Value {
    let changes = outline::changes(before, after);
    let told: Vec<&Change> = changes.iter().take(most).collect();
    json!({"changes": within(&told, LIST_BYTES_MAX), "changes_count": changes.len()})
}

/// Agents who prove who they are in another way than before, or whose issuer's word is another one: calls are compared as if the agent were
/// known, so this is a change of its own.
fn credentials(old: &Organization, new: &Organization) -> Vec<String> {
    let vouched = |agent: &remit_model::Agent| {
        let issuers = agent.credentials.iter().filter_map(|credential| match credential {
            AgentCredential::External { issuer, .. } => Some(issuer),
            _ => None,
        });
        issuers.into_iter().any(|issuer| old.issuers.get(issuer) != new.issuers.get(issuer))
    };
    let changed = new.agents.values().filter(|agent| {
        let before = old.agents.get(&agent.id).map(|agent| agent.credentials.as_slice()).unwrap_or_default();
        before != agent.credentials.as_slice() || vouched(agent)
    });
    changed.map(|agent| agent.id.as_str().to_owned()).collect()
}

/// Sorted by space, agent and target: a reader goes through them as through the spaces.
fn sorted(differences: &[Difference]) -> Vec<&Difference> {
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

/// What is found now and wasn't before. A finding that moves isn't new.
fn new_findings(old: &Organization, new: &Organization) -> Vec<Value> {
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
    found
}

/// Whether a role or a user may do what it couldn't, and whether a role may be assumed by whom it couldn't: for those whose policies changed.
fn new_access(old: &Organization, new: &Organization) -> Vec<Value> {
    let (mut answers, mut searches) = (Vec::new(), 0_usize);
    let mut search = |what: String, answer: &dyn Fn() -> Answer| {
        searches += 1;
        if searches <= SEARCHES_MAX {
            answers.extend(told(&what, &answer()));
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
            search(format!("what {arn} may do"), &|| new_access_within(&then, &now, account, CASES_MAX));
        }
        let trust = before.map(|role| &role.trust);
        if !trust.is_some_and(|trust| trust.says_as(&role.trust)) {
            search(format!("who may assume {arn}"), &|| new_trust_within(trust, &role.trust, &arn, CASES_MAX));
        }
    }
    for (key, user) in &new.users {
        let now = access(new, &key.account, &user.policies, user.permissions_boundary.as_ref());
        let then = old.users.get(key);
        let then =
            then.map(|user| access(old, &key.account, &user.policies, user.permissions_boundary.as_ref())).unwrap_or_default();
        if !same(&then, &now) {
            let (arn, account) = (user.arn(&new.partition), key.account.as_str());
            search(format!("what {arn} may do"), &|| new_access_within(&then, &now, account, CASES_MAX));
        }
    }
    if let Some(more) = searches.checked_sub(SEARCHES_MAX).filter(|more| *more > 0) {
        let what = format!("what {more} more roles and users may do, and who may assume them");
        answers.push(json!({"what": what, "answer": "unknown", "cases": 0, "why": "too many changed at once"}));
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
