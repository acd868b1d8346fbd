//! Who may act in which role, for how long and as whom: the decisions of the token service.
//!
//! The rules are those of "AssumeRole" and "AssumeRoleWithWebIdentity" in the STS API reference, "Pass session tags in AWS STS" and
//! "Monitor and control actions taken with assumed roles" in the IAM User Guide. Two limits are the product's: an operator who comes by
//! IAM keys has half an hour, and one whom an identity provider vouches for at most twelve.

use std::sync::Arc;

use remit_iam::{Policy, PolicyKind};
use remit_identity::sts::{AssumeRole, AwsError, CHAINED_MAX_SECS, Tag};
use remit_model::{AccountId, Attached, Organization, Role, RoleKey, Tags, UserKey};

use crate::context::{Actor, ActorKind, Asked, Issuer, Origin, SessionFacts};
use crate::facts::{Session, SessionOf};
use crate::snapshot::Snapshot;
use crate::tree::{Acting, Ask, Judged, Open, role_session};
use crate::verdict::LayerLine;

/// The longest session of an operator who comes by IAM keys, in seconds.
pub const OPERATOR_IAM_MAX_SECS: u64 = 30 * 60;
/// The life of a session whose caller doesn't ask for one, in seconds.
const DURATION_DEFAULT_SECS: u64 = 3600;

/// Somebody whom an identity provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    /// The provider as trust policies name its keys: the issuer without `https://`.
    pub provider: String,
    /// The subject.
    pub subject: String,
    /// The token's audience.
    pub audience: String,
    /// The claims that conditions may name, by `<provider>:<claim>`.
    pub claims: Vec<(String, Vec<String>)>,
}

/// Who asks the token service.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// Somebody with a key pair.
    Session(&'a Session),
    /// Somebody with an identity provider's token.
    WebIdentity(&'a WebIdentity),
}

/// A session that may be issued. Its id is the key pair's, which the caller of this makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// Whose session.
    pub role: RoleKey,
    /// Its ARN.
    pub arn: String,
    /// `AssumedRoleId`.
    pub unique_id: String,
    /// Its name.
    pub name: String,
    /// When it ends, in seconds since the epoch.
    pub expires_at_secs: u64,
    /// Whether it was assumed from another session.
    pub chained: bool,
    /// Its tags, with those that were inherited.
    pub tags: Vec<Tag>,
    /// Who is behind it.
    pub source_identity: Option<String>,
    /// The documents of its session policies, as JSON text.
    pub policies: Vec<String>,
}

/// What was decided of a request for a session, with the layers that spoke.
#[derive(Debug)]
pub struct Assumption {
    /// The session, or the error for the caller.
    pub outcome: Result<Granted, AwsError>,
    /// What each layer said.
    pub layers: Vec<LayerLine>,
}

/// The name under which a session acts: ARN, unique id and account, as GetCallerIdentity answers. `None` if its role or user is gone.
pub fn caller_identity(organization: &Organization, session: &Session) -> Option<(String, String, AccountId)> {
    let actor = actor(organization, session)?;
    Some((actor.arn.to_string(), actor.user_id(), actor.account?.clone()))
}

/// Decides a request for a session.
pub fn assume_role(snapshot: &Snapshot, caller: Caller<'_>, asked: &AssumeRole, origin: &Origin, now_secs: u64) -> Assumption {
    let mut layers = Vec::new();
    let outcome = assumed(snapshot, caller, asked, origin, now_secs, &mut layers);
    Assumption { outcome, layers }
}

/// Decides whether the holder of a key pair may do something to a resource of an account, such as `iam:GetRole`. The region that is asked is the
/// one in the resource's ARN, if there is one.
pub fn authorize(
    snapshot: &Snapshot,
    session: &Session,
    action: &str,
    (resource, account, tags): (&str, &AccountId, Option<&Tags>),
    origin: &Origin,
    now_secs: u64,
) -> (Result<(), AwsError>, Vec<LayerLine>) {
    let organization = &snapshot.organization;
    let Some(actor) = actor(organization, session) else { return (Err(gone()), Vec::new()) };
    let asked = Asked {
        organization,
        actor: &actor,
        origin,
        now_secs,
        region: resource.split(':').nth(3).filter(|region| !region.is_empty()),
        resource_account: Some(account),
        resource_tags: tags,
        source: None,
        call: None,
        session: None,
    };
    let acting = acting(session);
    let ask = Ask { asked, acting, session: &session.policies, action, resource, server: None, trust: None, open: Open::Said };
    let judged = snapshot.tree.ask(&ask, true);
    (refusal(&judged), lines(judged))
}

fn assumed(
    snapshot: &Snapshot,
    caller: Caller<'_>,
    asked: &AssumeRole,
    origin: &Origin,
    now_secs: u64,
    layers: &mut Vec<LayerLine>,
) -> Result<Granted, AwsError> {
    let organization = &*snapshot.organization;
    let action = match caller {
        Caller::Session(_) => "sts:AssumeRole",
        Caller::WebIdentity(_) => "sts:AssumeRoleWithWebIdentity",
    };
    let who = match caller {
        Caller::Session(session) => actor(organization, session).ok_or_else(gone)?,
        Caller::WebIdentity(_) => web_identity(caller, &asked.role_arn, &organization.partition),
    };
    let unauthorized = || {
        let what = format!("{action} on resource: {}", asked.role_arn);
        AwsError::denied(format!(
            "User: {} is not authorized to perform: {what} because no role trust policy allows the {action} action",
            who.arn
        ))
    };
    // A role that isn't there is refused in the words of one that doesn't trust: names can't be guessed.
    let role = RoleKey::of_arn(&asked.role_arn).and_then(|key| organization.roles.get(&key));
    let role = role.filter(|role| role.arn(&organization.partition) == asked.role_arn).ok_or_else(unauthorized)?;
    let (chained, inherited, source_identity) = inherited(caller, asked)?;
    let tags: Vec<Tag> = inherited.iter().chain(&asked.tags).cloned().collect();
    let empty = Vec::new();
    let session = SessionFacts {
        name: &asked.session_name,
        external_id: asked.external_id.as_deref(),
        source_identity: source_identity.as_deref(),
        tags: &tags,
        provider: match caller {
            Caller::WebIdentity(identity) => Some(identity.provider.as_str()),
            Caller::Session(_) => None,
        },
        claims: match caller {
            Caller::WebIdentity(identity) => &identity.claims,
            Caller::Session(_) => &empty,
        },
    };
    // Tags and a source identity have actions of their own, which the same trust policy must allow.
    let also = [(!tags.is_empty(), "sts:TagSession"), (source_identity.is_some(), "sts:SetSourceIdentity")];
    for action in std::iter::once(action).chain(also.iter().filter(|(is, _)| *is).map(|(_, action)| *action)) {
        let judged = assumable(snapshot, caller, &who, role, (action, &session), origin, now_secs);
        let refused = refusal(&judged);
        layers.extend(lines(judged));
        refused?;
    }
    let duration_secs = duration(organization, caller, role, asked.duration_secs, chained)?;
    let policies = policies(organization, role, asked)?;
    Ok(Granted {
        role: role.key.clone(),
        arn: role.session_arn(&organization.partition, &asked.session_name),
        unique_id: format!("{}:{}", role.unique_id(), asked.session_name),
        name: asked.session_name.clone(),
        expires_at_secs: now_secs.saturating_add(duration_secs),
        chained,
        tags,
        source_identity,
        policies,
    })
}

/// What session policies together may take, in characters; a token that is too large for its header is refused when it is made.
const POLICIES_CHARS_MAX: usize = 12 * 1024;

/// What goes over from the caller's session: whether this is a chain, transitive tags, the source identity.
fn inherited(caller: Caller<'_>, asked: &AssumeRole) -> Result<(bool, Vec<Tag>, Option<String>), AwsError> {
    let Caller::Session(session) = caller else { return Ok((false, Vec::new(), None)) };
    let transitive: Vec<Tag> = session.tags.iter().filter(|tag| tag.transitive).cloned().collect();
    if let Some(tag) = asked.tags.iter().find(|tag| transitive.iter().any(|other| other.key.eq_ignore_ascii_case(&tag.key))) {
        let message = format!("The tag {} is transitive in the calling session and can't be set again.", tag.key);
        return Err(AwsError::new(400, "InvalidParameterValue", message));
    }
    let source_identity = match (&session.source_identity, &asked.source_identity) {
        (Some(own), Some(said)) if own != said => {
            return Err(AwsError::denied("The source identity of a session can't be changed by assuming another role."));
        }
        (own, said) => own.clone().or_else(|| said.clone()),
    };
    Ok((matches!(session.who, SessionOf::Role(_)), transitive, source_identity))
}

fn assumable(
    snapshot: &Snapshot,
    caller: Caller<'_>,
    who: &Actor<'_>,
    role: &Role,
    (action, session): (&str, &SessionFacts<'_>),
    origin: &Origin,
    now_secs: u64,
) -> Vec<Judged> {
    let organization = &*snapshot.organization;
    let asked = Asked {
        organization,
        actor: who,
        origin,
        now_secs,
        region: None,
        resource_account: Some(&role.key.account),
        resource_tags: Some(&role.tags),
        source: None,
        call: None,
        session: Some(*session),
    };
    let (acting, policies) = match caller {
        Caller::Session(session) => (acting(session), session.policies.as_slice()),
        Caller::WebIdentity(_) => (Acting::Nobody, &[][..]),
    };
    let resource = role.arn(&organization.partition);
    let trust = Some(&role.key);
    let open = Open::Said;
    snapshot.tree.ask(&Ask { asked, acting, session: policies, action, resource: &resource, server: None, trust, open }, true)
}

/// How long a session lives.
fn duration(
    organization: &Organization,
    caller: Caller<'_>,
    role: &Role,
    said: Option<u64>,
    chained: bool,
) -> Result<u64, AwsError> {
    let operator = organization.spaces.values().any(|space| space.operator_role.as_ref() == Some(&role.key));
    let by_keys = operator && matches!(caller, Caller::Session(_));
    let longest = [
        (role.session_max_secs, "the MaxSessionDuration set for this role"),
        (if chained { CHAINED_MAX_SECS } else { u64::MAX }, "the 1 hour session limit for roles assumed by role chaining"),
        (if by_keys { OPERATOR_IAM_MAX_SECS } else { u64::MAX }, "the 30 minutes of an operator's session by IAM keys"),
    ];
    let secs = said.unwrap_or(DURATION_DEFAULT_SECS);
    for (max, what) in longest {
        if secs > max && said.is_some() {
            return Err(AwsError::validation(format!("The requested DurationSeconds exceeds {what}.")));
        }
    }
    Ok(longest.iter().fold(secs, |secs, (max, _)| secs.min(*max)))
}

/// The documents of the session policies that were asked for, each of them read.
fn policies(organization: &Organization, role: &Role, asked: &AssumeRole) -> Result<Vec<String>, AwsError> {
    let mut policies = Vec::new();
    if let Some(text) = &asked.policy {
        session_policy(text).map_err(|fault| {
            AwsError::new(
                400,
                "MalformedPolicyDocument",
                format!("This policy contains invalid Json or is no session policy: {fault}"),
            )
        })?;
        policies.push(text.clone());
    }
    for arn in &asked.policy_arns {
        let own = format!("arn:{}:iam::{}:policy/", organization.partition, role.key.account);
        let name = arn.rsplit_once(":policy/").map(|(_, name)| name);
        // What Remit ships is AWS's by its ARN; the organization's own are each account's.
        let is_named = |attached: &&Attached| match &attached.arn {
            Some(shipped) => shipped == arn,
            None => arn.strip_prefix(own.as_str()) == Some(attached.name.as_str()),
        };
        let Some(attached) = name.and_then(|name| organization.policies.get(name)).filter(is_named) else {
            let shown: String = arn.chars().take(80).collect();
            return Err(AwsError::validation(format!("The policy ARN {shown} names no managed policy of the role's account.")));
        };
        policies.push(attached.document.to_string());
    }
    let total: usize = policies.iter().map(|policy| policy.chars().count()).sum();
    if total > POLICIES_CHARS_MAX {
        return Err(AwsError::new(
            400,
            "PackedPolicyTooLarge",
            "The session policies together are larger than a session can carry.",
        ));
    }
    Ok(policies)
}

/// Reads a session policy; the text of the first fault, if it is none.
pub fn session_policy(text: &str) -> Result<Arc<Policy>, String> {
    let node = remit_iam::document::parse(text).map_err(|faults| first(&faults))?;
    Policy::read(PolicyKind::Session, "session policy", "session", &node).map(Arc::new).map_err(|faults| first(&faults))
}

fn first(faults: &[remit_iam::document::Fault]) -> String {
    faults.first().map_or_else(String::new, |fault| format!("line {}: {}", fault.place.line, fault.what))
}

fn acting(session: &Session) -> Acting<'_> {
    match &session.who {
        SessionOf::Role(key) => Acting::Role(key),
        SessionOf::User(key) => Acting::User(key),
    }
}

/// Who a session is, as IAM sees it; `None` if its role or user is gone.
fn actor<'a>(organization: &'a Organization, session: &'a Session) -> Option<Actor<'a>> {
    match &session.who {
        SessionOf::Role(key) => {
            let mut actor = role_session(organization, organization.roles.get(key)?, &session.name);
            actor.session_tags = session.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
            actor.source_identity = session.source_identity.as_deref();
            actor.issued_at_secs = Some(session.issued_at_secs);
            Some(actor)
        }
        SessionOf::User(key) => {
            let mut actor = user(organization, key)?;
            // Long-term keys have no session; what GetSessionToken gave for them is one.
            actor.issued_at_secs = session.id.starts_with("ASIA").then_some(session.issued_at_secs);
            Some(actor)
        }
    }
}

fn user<'a>(organization: &'a Organization, key: &'a UserKey) -> Option<Actor<'a>> {
    let user = organization.users.get(key)?;
    let arn = user.arn(&organization.partition);
    Some(Actor {
        issuer_arn: arn.clone().into(),
        arn: arn.into(),
        kind: ActorKind::User,
        account: Some(&user.key.account),
        issuer: Issuer::User(user),
        user_name: Some(key.name.as_str()),
        tags: Some(&user.tags),
        session_tags: Vec::new(),
        source_identity: None,
        issued_at_secs: None,
    })
}

fn web_identity(caller: Caller<'_>, role_arn: &str, partition: &str) -> Actor<'static> {
    let provider = match caller {
        Caller::WebIdentity(identity) => identity.provider.as_str(),
        Caller::Session(_) => "",
    };
    let account = RoleKey::of_arn(role_arn).map(|key| key.account.to_string()).unwrap_or_default();
    Actor {
        arn: provider.to_owned().into(),
        issuer_arn: format!("arn:{partition}:iam::{account}:oidc-provider/{provider}").into(),
        kind: ActorKind::WebIdentity,
        account: None,
        issuer: Issuer::Nobody,
        user_name: None,
        tags: None,
        session_tags: Vec::new(),
        source_identity: None,
        issued_at_secs: None,
    }
}

fn gone() -> AwsError {
    AwsError::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
}

fn refusal(judged: &[Judged]) -> Result<(), AwsError> {
    match judged.iter().find(|line| !line.effect.agrees()) {
        None => Ok(()),
        Some(line) => Err(AwsError::denied(line.statement.as_str())),
    }
}

fn lines(judged: Vec<Judged>) -> Vec<LayerLine> {
    let line = |Judged { layer, effect, statement, origin, .. }| LayerLine { layer, effect, statement, origin };
    judged.into_iter().map(line).collect()
}
