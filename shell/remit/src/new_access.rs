//! `remit iam new-access`: a proof that a change grants nothing new, or a request that it does.

use std::path::Path;
use std::sync::Arc;

use remit_iam::PolicyKind;
use remit_iam::access::{Access, Answer, new_access, new_trust};
use remit_model::{AccountId, Attached, Organization};
use serde_json::{Value, json};

use crate::lint;
use crate::output::{DENIED, FAILURE, Failure, Printer};

/// The account whose principal a policy file is taken to be attached to.
const ACCOUNT: &str = "111122223333";

/// Compares two policy files, or two configuration directories role by role and user by user.
pub(crate) fn run(old: &Path, new: &Path, kind: &str, as_json: bool) -> Result<(), Failure> {
    let answers = if old.is_dir() && new.is_dir() {
        directories(&lint::organization(old)?, &lint::organization(new)?)
    } else {
        vec![files(old, new, kind)?]
    };
    let printer = Printer::new(as_json);
    let of = |word: &str| answers.iter().filter(|answer| answer.get("answer").and_then(Value::as_str) == Some(word)).count();
    let (grants, unknown) = (of("grants"), of("unknown"));
    if as_json {
        printer.line(&json!({"grants": grants > 0, "unknown": unknown > 0, "answers": answers}).to_string())?;
    } else {
        for answer in &answers {
            printer.line(&told(answer))?;
        }
        printer.line(&format!("{} compared, {grants} grant something new, {unknown} can't be told", answers.len()))?;
    }
    match (grants, unknown) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure::said(FAILURE)),
        _ => Err(Failure::said(DENIED)),
    }
}

fn files(old: &Path, new: &Path, kind: &str) -> Result<Value, Failure> {
    let (before, after) = (Arc::new(lint::file(old, kind)?), Arc::new(lint::file(new, kind)?));
    let what = format!("{} → {}", old.display(), new.display());
    let answer = match after.kind() {
        PolicyKind::Trust => new_trust(Some(&before), &after, &format!("arn:aws:iam::{ACCOUNT}:role/role")),
        PolicyKind::Identity | PolicyKind::Session | PolicyKind::Boundary => {
            let access = |policy| Access { identity: vec![policy], ..Access::default() };
            new_access(&access(before), &access(after), ACCOUNT)
        }
        // What these let through is compared for somebody who may do everything else.
        PolicyKind::ServiceControl => {
            let access = |policy| Access { service_control: vec![vec![policy]], ..everything() };
            new_access(&access(before), &access(after), ACCOUNT)
        }
        PolicyKind::Resource | PolicyKind::ResourceControl => {
            return Err(Failure::invalid(
                "resource policies can't be compared alone: compare identity, trust or service-control policies",
            ));
        }
    };
    Ok(shown(&what, &answer))
}

fn everything() -> Access {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let read = remit_iam::document::parse(text)
        .and_then(|node| remit_iam::Policy::read(PolicyKind::Identity, "everything", "everything", &node));
    Access { identity: read.into_iter().map(Arc::new).collect(), ..Access::default() }
}

/// Every role and every user that there is now; one that wasn't there before could do nothing.
fn directories(old: &Organization, new: &Organization) -> Vec<Value> {
    let mut answers = Vec::new();
    for (key, role) in &new.roles {
        let before = old.roles.get(key);
        let arn = role.arn(&new.partition);
        let now = access(new, &key.account, &role.policies, role.permissions_boundary.as_ref());
        let then = before.map(|role| access(old, &key.account, &role.policies, role.permissions_boundary.as_ref()));
        answers.push(shown(&format!("what {arn} may do"), &new_access(&then.unwrap_or_default(), &now, key.account.as_str())));
        let trust = new_trust(before.map(|role| &role.trust), &role.trust, &arn);
        answers.push(shown(&format!("who may assume {arn}"), &trust));
    }
    for (key, user) in &new.users {
        let now = access(new, &key.account, &user.policies, user.permissions_boundary.as_ref());
        let then = old.users.get(key).map(|user| access(old, &key.account, &user.policies, user.permissions_boundary.as_ref()));
        let answer = new_access(&then.unwrap_or_default(), &now, key.account.as_str());
        answers.push(shown(&format!("what {} may do", user.arn(&new.partition)), &answer));
    }
    answers
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

fn shown(what: &str, answer: &Answer) -> Value {
    match answer {
        Answer::Nothing { cases } => json!({"what": what, "answer": "nothing", "cases": cases}),
        Answer::Unknown { cases, why } => json!({"what": what, "answer": "unknown", "cases": cases, "why": why}),
        Answer::Grants(witness) => json!({
            "what": what, "answer": "grants",
            "witness": {
                "principal": witness.principal, "action": witness.action, "resource": witness.resource, "context": witness.context,
                "by": witness.by,
            },
        }),
    }
}

fn told(answer: &Value) -> String {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let cases = answer.get("cases").and_then(Value::as_u64).unwrap_or_default();
    match text("/answer") {
        "nothing" => format!(
            "✓ {}: nothing new (proved by {cases} requests, one of each kind that the policies tell apart)",
            text("/what")
        ),
        "unknown" => format!("? {}: can't be told: {} ({cases} requests tried)", text("/what"), text("/why")),
        _ => {
            let mut told = format!("✗ {}: newly allowed", text("/what"));
            for (name, pointer) in
                [("principal", "/witness/principal"), ("action", "/witness/action"), ("resource", "/witness/resource")]
            {
                let value = text(pointer);
                if !value.is_empty() {
                    told.push_str(&format!("\n    {name:<9} {value}"));
                }
            }
            for (key, values) in answer.pointer("/witness/context").and_then(Value::as_object).into_iter().flatten() {
                told.push_str(&format!("\n    with      {key} = {values}"));
            }
            told.push_str(&format!("\n    by        {}", text("/witness/by")));
            told
        }
    }
}
