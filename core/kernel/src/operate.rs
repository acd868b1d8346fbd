//! What the people who operate Remit may do: each request of the operator's interface is an action of the service `remit`, and the role
//! that a person acts in decides on it, as it would on any action of AWS: identity policies, boundary and control policies, all of which
//! must agree, and nothing is allowed by default.

use remit_identity::sts::AssumeRole;
use remit_model::{Console, Organization, RoleKey};

use crate::assume::{Caller, Granted, WebIdentity, assume_role, authorize};
use crate::context::Origin;
use crate::facts::{Session, SessionOf};
use crate::snapshot::Snapshot;
use crate::verdict::{Effect, LayerLine};

/// The service whose actions these are.
pub const SERVICE: &str = "remit";
/// The longest name of a session of a role (STS API reference, AssumeRole).
const SESSION_NAME_LEN_MAX: usize = 64;

/// What was decided of an operator's request.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The statement that decided: the one that forbids, that none allows, or the last that allows.
    pub statement: String,
    /// What each layer said.
    pub layers: Vec<LayerLine>,
}

/// The ARN of the organization as a whole: the resource of what is about no single space, server or agent.
pub fn organization_arn(organization: &Organization) -> String {
    format!("arn:{}:{SERVICE}:::organization/{}", organization.partition, organization.id)
}

/// Whether a person who acts in this session may do `action`, such as `remit:Suspend`, to a resource.
pub fn operate(
    snapshot: &Snapshot,
    session: &Session,
    action: &str,
    resource: &str,
    origin: &Origin,
    now_secs: u64,
) -> Operation {
    let refused = |statement: &str| Operation { allowed: false, statement: statement.to_owned(), layers: Vec::new() };
    let SessionOf::Role(role) = &session.who else { return refused("people operate in a role, and this is no role's session") };
    if action.strip_prefix(SERVICE).and_then(|rest| rest.strip_prefix(':')).is_none_or(str::is_empty) {
        return refused("this is no action of the operator's interface");
    }
    if now_secs >= session.expires_at_secs {
        return refused("the session has ended");
    }
    // Remit is the organization's own: its operators' policies decide alone, and no resource has a policy that lets others in.
    let (allowed, layers) = authorize(snapshot, session, action, (resource, &role.account, None), origin, now_secs);
    let statement = match &allowed {
        Err(error) => error.message.clone(),
        Ok(()) => layers.iter().rfind(|line| line.effect == Effect::Allow).map_or("", |line| line.statement.as_str()).to_owned(),
    };
    // Without a layer that spoke nobody said yes.
    Operation { allowed: allowed.is_ok() && !layers.is_empty(), statement, layers }
}

/// The roles that somebody whom the console's provider vouches for may take, in the configuration's order, each with the session that would
/// be had. A role's trust policy decides, as it does for `AssumeRoleWithWebIdentity`.
pub fn roles_to_take(
    snapshot: &Snapshot,
    console: &Console,
    identity: &WebIdentity,
    name: &str,
    origin: &Origin,
    now_secs: u64,
) -> Vec<Granted> {
    console.roles.iter().filter_map(|role| role_taken(snapshot, console, role, identity, name, origin, now_secs)).collect()
}

/// The session of one of the console's roles, if its trust policy gives it to whom the provider vouches for.
pub fn role_taken(
    snapshot: &Snapshot,
    console: &Console,
    role: &RoleKey,
    identity: &WebIdentity,
    name: &str,
    origin: &Origin,
    now_secs: u64,
) -> Option<Granted> {
    let listed = console.roles.contains(role);
    let role = snapshot.organization.roles.get(role).filter(|_| listed)?;
    let asked = AssumeRole {
        role_arn: role.arn(&snapshot.organization.partition),
        session_name: session_name(name),
        duration_secs: Some(role.session_max_secs.min(console.session_secs_max)),
        policy: None,
        policy_arns: Vec::new(),
        tags: Vec::new(),
        external_id: None,
        source_identity: None,
    };
    assume_role(snapshot, Caller::WebIdentity(identity), &asked, origin, now_secs).outcome.ok()
}

/// A person's name as a session's: what a name can't hold becomes `-`.
fn session_name(person: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    let mut name: String = person.chars().map(fit).take(SESSION_NAME_LEN_MAX).collect();
    while name.len() < 2 {
        name.push('-');
    }
    name
}
