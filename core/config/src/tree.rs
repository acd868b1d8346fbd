//! What holds in the tree, and between roles and those who act in them.

use std::collections::BTreeSet;

use remit_iam::{Context, Decision, Effect, Keys, Layers, PolicySet, Principal, Request, Statement, Value};
use remit_model::{AccountId, OuId, Role, RoleKey, SPACE_SERVICE, ToolAdmission};

use crate::access::SpaceDraft;
use crate::draft::Draft;
use crate::iam::RoleDraft;
use crate::item::{Item, shown};
use crate::managed;
use crate::server::CLASSES;
use crate::suggest::did_you_mean;

/// The most levels of organizational units (AWS Organizations).
const DEPTH_MAX: usize = 5;
/// The longest name of a session (STS).
const SESSION_NAME_MAX: usize = 64;

/// Checks all of it.
pub(crate) fn check(draft: &Draft<'_>) {
    for unit in draft.units.values() {
        if let (Some(parent), Some(item)) = (&unit.unit.parent, &unit.parent) {
            unit_known(draft, parent, item);
        }
        depth_checked(draft, &unit.unit.id, &unit.item);
    }
    for (id, account) in &draft.organization.accounts {
        let Some(item) = draft.accounts.get(id) else { continue };
        if let Some(unit) = &account.unit {
            unit_known(draft, unit, item);
        }
    }
    boundaries_checked(draft);
    if let Some(account) = draft.organization.management_account.as_ref().filter(|_| draft.complete)
        && let Some(item) = draft.accounts.values().next()
        && !draft.organization.accounts.contains_key(account)
    {
        item.error(
            format!("the management account {account} is none of the accounts"),
            "add it, or correct `management_account`",
        );
    }
    for space in draft.spaces.values() {
        space_checked(draft, space);
    }
    for role in draft.roles.values() {
        deputies_checked(draft, role);
    }
    for agent in draft.agents.values() {
        for (role, item) in &agent.roles {
            role_known(draft, role, item);
        }
    }
}

fn unit_known(draft: &Draft<'_>, unit: &OuId, item: &Item<'_>) {
    if draft.complete && !draft.units.contains_key(unit) {
        let known = draft.units.keys().map(OuId::as_str);
        let what = format!("there is no organizational unit {}{}", shown(unit.as_str()), did_you_mean(unit.as_str(), known));
        item.error(what, "add it to `organizational_units`, or correct the id");
    }
}

fn depth_checked(draft: &Draft<'_>, start: &OuId, item: &Item<'_>) {
    let (mut seen, mut next) = (BTreeSet::new(), Some(start));
    while let Some(id) = next {
        if !seen.insert(id) {
            item.error(format!("`{start}` is above itself"), "give one of the units of the ring another `parent`");
            return;
        }
        next = draft.units.get(id).and_then(|unit| unit.unit.parent.as_ref());
    }
    if seen.len() > DEPTH_MAX {
        item.error(format!("`{start}` is deeper than {DEPTH_MAX} levels below the root"), "hang it higher");
    }
}

/// An account's boundary is what its administrators can hand out at most: no role or user of it names another.
fn boundaries_checked(draft: &Draft<'_>) {
    let roles = draft.roles.values().map(|draft| (&draft.role.key.account, &draft.role.permissions_boundary, &draft.item));
    let users = draft.users.values().map(|draft| (&draft.user.key.account, &draft.user.permissions_boundary, &draft.item));
    for (account, own, item) in roles.chain(users) {
        let required = draft.organization.accounts.get(account).and_then(|account| account.permissions_boundary.as_ref());
        if let (Some(own), Some(required)) = (own, required)
            && own.name != required.name
        {
            let what = format!("account {account} requires the boundary `{}`, and this names `{}`", required.name, own.name);
            item.error(what, "leave `permissions_boundary` out, or narrow with policies");
        }
    }
}

/// Whether a statement can apply only where the key holds one of its values.
fn binds(statement: &Statement, key: &str) -> bool {
    statement.conditions().iter().any(|condition| {
        let positive = ["StringEquals", "StringLike", "StringEqualsIgnoreCase", "ArnEquals", "ArnLike"]
            .iter()
            .any(|operator| condition.operator().trim_start_matches("ForAnyValue:") == *operator);
        // A pattern that leaves the account open binds nothing.
        let account = |value: &str| value.split(':').nth(4).unwrap_or(value).to_owned();
        let open = condition.values().any(|value| account(value).contains(['*', '?']) || account(value).is_empty());
        positive && !open && condition.key().eq_ignore_ascii_case(key)
    })
}

/// The confused deputy: a service that acts for many is trusted for whom it acts, and another organization's account by an external id
/// ("The confused deputy problem", IAM User Guide).
fn deputies_checked(draft: &Draft<'_>, role: &RoleDraft<'_>) {
    let Some(item) = &role.trust else { return };
    for statement in role.role.trust.statements().iter().filter(|statement| statement.effect() == Effect::Allow) {
        let at = |what: String, mend: &str| {
            item.error(format!("{} at {}: {what}", statement.label(), statement.origin()), mend);
        };
        if let Some(service) = statement.services().next() {
            let account = ["aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths"].iter().any(|key| binds(statement, key));
            if !account || !binds(statement, "aws:SourceArn") {
                at(
                    format!(
                        "it trusts {service} for whomever it acts: another account could make it act for it (confused deputy)"
                    ),
                    "add conditions on `aws:SourceAccount` and on `aws:SourceArn`",
                );
            }
        }
        for provider in statement.federated() {
            let claims = statement.conditions().iter().any(|condition| {
                let about = condition.key().ends_with(":sub") || condition.key().ends_with(":aud");
                about && binds(statement, condition.key())
            });
            if !claims {
                at(
                    format!("it trusts everybody whom {provider} vouches for"),
                    "add a condition on the provider's `:aud` or `:sub`, such as `StringEquals: { \"login.example.com:aud\": … }`",
                );
            }
        }
        for trusted in statement.trusted() {
            let account = trusted.split(':').nth(4).unwrap_or(trusted);
            let ours = AccountId::new(account).is_ok_and(|account| draft.organization.accounts.contains_key(&account));
            if trusted == "*" && !binds(statement, "aws:PrincipalOrgID") && !binds(statement, "aws:PrincipalArn") {
                at("it trusts everybody".to_owned(), "name the principals, or add a condition on `aws:PrincipalOrgID`");
            } else if trusted != "*" && !ours && draft.complete && !binds(statement, "sts:ExternalId") {
                at(
                    format!("it trusts {trusted}, which is of no account of this organization, without an external id"),
                    "add a condition on `sts:ExternalId`, or correct the account",
                );
            }
        }
    }
}

/// What a role's trust policy says to somebody of whom only these keys are known.
fn assumable(role: &Role, principal: &Principal<'_>, action: &str, known: &[(&str, &str)], partition: &str) -> Decision {
    let mut keys = Keys::new();
    let trust = PolicySet::compile(&mut keys, std::slice::from_ref(&role.trust));
    let everything = managed::administrator(&mut keys);
    let mut context = Context::new(&keys);
    for (slot, name) in keys.iter() {
        let value = known.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| Value::One(value));
        context.set(slot, value.unwrap_or(Value::Unknown));
    }
    let arn = role.arn(partition);
    let account = Some(role.key.account.as_str());
    let request = Request { principal, action, resource: &arn, resource_account: account, context: &context };
    let layers = Layers { resource: Some(&trust), ..Layers::of_identity(&everything) };
    remit_iam::trust(&request, &layers, false).decision()
}

/// Tells of a role that doesn't let in whom the configuration sends.
fn trust_checked(draft: &Draft<'_>, space: &SpaceDraft<'_>) {
    let (organization, account) = (&draft.organization, space.space.account.as_str());
    let arn = organization.space_arn(&space.space);
    let source = [("aws:SourceAccount", account), ("aws:SourceArn", arn.as_str())];
    let own = space.space.role.as_ref().and_then(|key| draft.roles.get(key)).map(|draft| &draft.role);
    let Some(own) = own else { return };
    let tagged = space.space.agents.iter().filter_map(|id| draft.agents.get(id)).any(|agent| !agent.agent.tags.is_empty());
    let users = draft.issuers.values().any(|(issuer, _)| issuer.users);
    let needed = [
        (true, "sts:AssumeRole", "the agents of this space act in it"),
        (tagged, "sts:TagSession", "an agent of this space has tags"),
        (users, "sts:SetSourceIdentity", "agents act for users, who are the source identity of their sessions"),
    ];
    if let (Some(item), Ok(service)) = (&space.role, Principal::service(SPACE_SERVICE)) {
        for (_, action, why) in needed.into_iter().filter(|(is, ..)| *is) {
            if assumable(own, &service, action, &source, &organization.partition) != Decision::Allowed {
                let what =
                    format!("role `{}` does not clearly allow {action} to {SPACE_SERVICE} for {arn}, and {why}", own.key.name);
                item.warn(
                    what,
                    "let its trust policy allow that to the service, with `aws:SourceAccount` and `aws:SourceArn` of this space",
                );
            }
        }
        for (id, item) in space.space.agents.iter().zip(&space.agents).filter(|(id, _)| id.as_str().len() > SESSION_NAME_MAX) {
            let what = format!("`{id}` is longer than the {SESSION_NAME_MAX} characters of a session's name");
            item.error(what, "give the agent a shorter id: two of them could have one session");
        }
    }
    for (entry, place) in space.space.servers.iter().zip(&space.servers) {
        let theirs = entry.role.as_ref().and_then(|key| draft.roles.get(key)).map(|draft| &draft.role);
        let (Some(theirs), Some(item)) = (theirs, &place.role) else { continue };
        let (role, session) = (own.arn(&organization.partition), own.session_arn(&organization.partition, "agent"));
        let external_id = entry.external_id.as_deref().unwrap_or(&arn);
        let known = [("sts:ExternalId", external_id), ("aws:PrincipalArn", role.as_str()), ("aws:PrincipalAccount", account)];
        let Ok(principal) = Principal::session(&role, &session) else { continue };
        if assumable(theirs, &principal, "sts:AssumeRole", &known, &organization.partition) != Decision::Allowed {
            let what = format!("role `{}` does not clearly trust {role} with the external id {external_id}", theirs.key.name);
            item.warn(what, "let its trust policy allow `sts:AssumeRole` to that role under this external id");
        }
    }
}

fn role_known(draft: &Draft<'_>, role: &RoleKey, item: &Item<'_>) -> bool {
    let known = draft.roles.contains_key(role);
    if !known && draft.complete {
        let names = draft.roles.keys().filter(|other| other.account == role.account).map(|other| other.name.as_str());
        let what = format!("there is no role {} in account {}", shown(role.name.as_str()), role.account);
        item.error(format!("{what}{}", did_you_mean(role.name.as_str(), names)), "add it to `roles`, or correct the name");
    }
    known
}

fn space_checked(draft: &Draft<'_>, space: &SpaceDraft<'_>) {
    let account = &space.space.account;
    for (role, item) in [(&space.space.role, &space.role), (&space.space.operator_role, &space.operator_role)] {
        let (Some(role), Some(item)) = (role, item) else { continue };
        if role_known(draft, role, item) && role.account != *account {
            let what = format!("the role is of account {}, and the space of {account}", role.account);
            item.error(what, "name a role of the space's own account; a role elsewhere belongs to an entry of `servers`");
        }
    }
    for (entry, place) in space.space.servers.iter().zip(&space.servers) {
        if let (Some(role), Some(item)) = (&entry.role, &place.role) {
            role_known(draft, role, item);
        }
        let elsewhere: Option<&AccountId> = entry.account.as_ref().filter(|other| *other != account);
        match (elsewhere, &entry.role) {
            (Some(other), Some(role)) if role.account != *other => {
                let what = format!("the role is of account {}, and the server of {other}", role.account);
                place.item.error(what, "name a role of the server's account");
            }
            (Some(_), Some(_)) if space.space.role.is_none() => {
                place.item.error("the space has no role that could assume this one", "give the space a `role`");
            }
            (None, Some(_)) => place.item.error("a server of the space's own account needs no `role`", "leave `role` out"),
            _ => {}
        }
        mandate_checked(draft, space, entry, place);
    }
    if draft.complete {
        trust_checked(draft, space);
    }
}

/// Tells of listed tools whose class, as the operator states it, is above the space's mandate.
fn mandate_checked(
    draft: &Draft<'_>,
    space: &SpaceDraft<'_>,
    entry: &remit_model::SpaceServer,
    place: &crate::access::EntryDraft<'_>,
) {
    let key = remit_model::Organization::server_key(&space.space, entry);
    let (Some((server, _)), ToolAdmission::Listed(names)) = (draft.servers.get(&key), &entry.tools) else { return };
    for (name, item) in names.iter().zip(&place.tools) {
        let Some(class) = server.tools.get(name).and_then(|said| said.class) else { continue };
        if class > space.space.class_max {
            let word = |class| CLASSES.iter().find(|(_, other)| *other == class).map_or("", |(word, _)| word);
            let what = format!("the space is mandated {}, and {} is {}", word(space.space.class_max), shown(name), word(class));
            item.error(what, "take the tool off the list, or raise the space's `mandate`");
        }
    }
}
