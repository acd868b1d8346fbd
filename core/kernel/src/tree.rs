//! The organization's policies, compiled: who may act in which role, and what IAM says of a call.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use remit_iam::{
    CheckEffect, CheckType, Context, Decision, Evaluation, Keys, Layers, Line, Policy, PolicyKind, PolicySet, Request, Slot,
    Source, Value,
};
use remit_model::{AccountId, Organization, Role, RoleKey, SPACE_SERVICE, ServerKey, Space, Tags, UserKey};

use crate::context::{Actor, ActorKind, Asked, Issuer, Key, Text};
use crate::verdict::{Effect, Layer, Reason, Statement};

/// The most levels between root and account.
const LEVELS_MAX: usize = remit_iam::LEVELS_MAX;

/// Every policy of an organization, compiled together.
#[derive(Debug)]
pub(crate) struct Tree {
    keys: Keys,
    /// Where each key's value comes from, by slot.
    bindings: Vec<Key>,
    accounts: HashMap<AccountId, AccountView>,
    roles: HashMap<RoleKey, RoleView>,
    users: HashMap<UserKey, Grants>,
    resources: HashMap<ServerKey, PolicySet>,
    everything: PolicySet,
    nothing: PolicySet,
}

/// The levels above an account that say more than `FullAWSAccess`.
#[derive(Debug, Default)]
struct AccountView {
    service_control: Vec<LevelView>,
    resource_control: Vec<LevelView>,
    /// The management account: control policies don't apply.
    exempt: bool,
    /// What caps whoever names no boundary.
    boundary: Option<PolicySet>,
}

/// One node of the tree.
#[derive(Debug)]
pub(crate) struct LevelView {
    pub(crate) node: String,
    set: PolicySet,
}

/// A role, compiled.
#[derive(Debug)]
pub(crate) struct RoleView {
    arn: String,
    trust: PolicySet,
    grants: Grants,
}

/// What a role or a user may do.
#[derive(Debug)]
pub(crate) struct Grants {
    identity: PolicySet,
    boundary: Option<PolicySet>,
}

/// What one layer of IAM says.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) layer: Layer,
    pub(crate) effect: Effect,
    pub(crate) reason: Reason,
    pub(crate) statement: Statement,
    pub(crate) origin: Option<Arc<str>>,
    /// Where the layer doesn't allow and that is explained: the statements that nearly did.
    pub(crate) near: Vec<Near>,
    /// Where that is explained: every statement that applies, whether or not it decides.
    pub(crate) applied: Vec<Arc<remit_iam::Statement>>,
}

/// A statement that would have allowed but for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Near {
    pub(crate) label: Arc<str>,
    pub(crate) origin: Arc<str>,
    pub(crate) missing: Missing,
}

/// What a statement lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The resource.
    Resource,
    /// The principal.
    Principal,
    /// Conditions that don't hold, as text.
    Conditions(Vec<String>),
}

/// In whose right somebody acts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Acting<'a> {
    /// In a role of the organization.
    Role(&'a RoleKey),
    /// As a user of the organization.
    User(&'a UserKey),
    /// In a space that has no role: no identity policy limits it.
    Unlimited,
    /// Nobody's: a service or a web identity, which have no policies of their own.
    Nobody,
}

/// One question to IAM.
pub(crate) struct Ask<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) acting: Acting<'a>,
    /// The session policies of whoever acts.
    pub(crate) session: &'a [Arc<Policy>],
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    /// The server whose resource policy applies.
    pub(crate) server: Option<&'a ServerKey>,
    /// The role whose trust policy applies: then this is the question whether it may be assumed.
    pub(crate) trust: Option<&'a RoleKey>,
    /// How what nobody here can know counts.
    pub(crate) open: Open,
}

/// How facts count that a caller or the weather chooses: its address, the time, the user, the tags of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// They are as they are said: a decision.
    Said,
    /// They could be anything, and whatever could let the call through counts as so. `signed`: in a session, whose tags its caller chose.
    Any {
        /// Whether the caller signs.
        signed: bool,
    },
}

impl Open {
    /// Whether a key's value isn't settled.
    fn leaves(self, key: &Key) -> bool {
        let Self::Any { signed } = self else { return false };
        match key {
            Key::SourceIp
            | Key::SecureTransport
            | Key::CurrentTime
            | Key::EpochTime
            | Key::TokenIssueTime
            | Key::MultiFactorAuthPresent
            | Key::User
            | Key::SourceIdentity
            | Key::StsSourceIdentity => true,
            Key::PrincipalTag(_)
            | Key::RequestTag(_)
            | Key::TagKeys
            | Key::TransitiveTagKeys
            | Key::RoleSessionName
            | Key::UserId => signed,
            _ => false,
        }
    }
}

impl Tree {
    /// The keys that policies name and that aren't settled before a call is made.
    pub(crate) fn left_open(&self, signed: bool) -> Vec<String> {
        let open = Open::Any { signed };
        let named = self.keys.iter().filter(|(_, name)| open.leaves(&Key::parse(name)));
        named.map(|(_, name)| name.to_owned()).collect()
    }

    /// Names of a role's sessions that a policy speaks of: no two policies tell other names apart.
    pub(crate) fn sessions_named(organization: &Organization, role: &RoleKey) -> Vec<String> {
        let prefix = format!("arn:{}:sts::{}:assumed-role/{}/", organization.partition, role.account, role.name);
        let trusts = organization.roles.values().map(|role| &role.trust);
        let resources = organization.servers.values().filter_map(|server| server.resource_policy.as_ref());
        let units = organization.units.values().map(|unit| &unit.controls);
        let accounts = organization.accounts.values().map(|account| &account.controls);
        let controls = std::iter::once(&organization.controls).chain(units).chain(accounts);
        let controls = controls.flat_map(|controls| controls.resource_control.iter().flatten());
        let statements = trusts.chain(resources).chain(controls).flat_map(|policy| policy.statements());
        let arns = statements.flat_map(|statement| statement.sessions());
        arns.filter_map(|arn| Some(arn.strip_prefix(&prefix)?.to_owned())).collect()
    }

    /// Compiles.
    pub(crate) fn compile(organization: &Organization) -> Self {
        let mut keys = Keys::new();
        let full = [shipped(
            PolicyKind::Identity,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
        )];
        let full: Vec<Arc<Policy>> = full.into_iter().flatten().collect();
        let mut set = |policies: &[Arc<Policy>]| PolicySet::compile(&mut keys, policies);
        let everything = set(&full);
        let nothing = set(&[]);
        let mut grants = |policies: &[remit_model::Attached], boundary: Option<&remit_model::Attached>| {
            let policies: Vec<Arc<Policy>> = policies.iter().map(|attached| Arc::clone(&attached.policy)).collect();
            let boundary = boundary.map(|attached| set(&[Arc::clone(&attached.policy)]));
            Grants { identity: set(&policies), boundary }
        };
        let users = organization.users.iter();
        let users = users.map(|(key, user)| (key.clone(), grants(&user.policies, user.permissions_boundary.as_ref()))).collect();
        let roles: Vec<(RoleKey, &Role, Grants)> = organization
            .roles
            .iter()
            .map(|(key, role)| (key.clone(), role, grants(&role.policies, role.permissions_boundary.as_ref())))
            .collect();
        let roles = roles
            .into_iter()
            .map(|(key, role, grants)| {
                (key, RoleView { arn: role.arn(&organization.partition), trust: set(&[Arc::clone(&role.trust)]), grants })
            })
            .collect();
        let with_policy = organization.servers.iter().filter_map(|(key, server)| Some((key, server.resource_policy.as_ref()?)));
        let resources = with_policy.map(|(key, policy)| (key.clone(), set(&[Arc::clone(policy)]))).collect();
        let mut accounts = HashMap::new();
        for account in organization.accounts.keys() {
            let exempt = organization.management_account.as_ref() == Some(account);
            let boundary = organization.accounts.get(account).and_then(|account| account.permissions_boundary.as_ref());
            let boundary = boundary.map(|attached| set(&[Arc::clone(&attached.policy)]));
            let mut view = AccountView { exempt, boundary, ..AccountView::default() };
            for (node, controls) in organization.controls_above(account) {
                let mut level = |policies: &Option<Vec<Arc<Policy>>>| {
                    let policies = policies.as_ref().filter(|policies| !is_full(policies))?;
                    Some(LevelView { node: node.clone(), set: set(policies) })
                };
                view.service_control.extend(level(&controls.service_control));
                view.resource_control.extend(level(&controls.resource_control));
            }
            accounts.insert(account.clone(), view);
        }
        let bindings = bindings(&keys);
        Self { keys, bindings, accounts, roles, users, resources, everything, nothing }
    }

    /// Whether a policy may read when a call is made.
    pub(crate) fn reads_time(&self) -> bool {
        self.bindings.iter().any(|key| matches!(key, Key::CurrentTime | Key::EpochTime))
    }

    /// The ARN of a role of the organization.
    pub(crate) fn role_arn(&self, role: &RoleKey) -> Option<&str> {
        self.roles.get(role).map(|role| role.arn.as_str())
    }

    /// Whether no policy has anything to say of calls from an account to a server of the same account by somebody without a role.
    pub(crate) fn is_silent(&self, account: &AccountId, server: &ServerKey) -> bool {
        let view = self.accounts.get(account);
        let open = view
            .is_some_and(|view| view.service_control.is_empty() && view.resource_control.is_empty() && view.boundary.is_none());
        open && server.account == *account && !self.resources.contains_key(server)
    }

    /// Asks. With `explain` every layer answers, else the answer may end at the first that denies.
    pub(crate) fn ask(&self, ask: &Ask<'_>, explain: bool) -> Vec<Judged> {
        let mut extended = None;
        let (bindings, session) = if ask.session.is_empty() {
            (self.bindings.as_slice(), None)
        } else {
            // A session's own policies may name keys that no other policy names.
            let mut keys = self.keys.clone();
            let set = PolicySet::compile(&mut keys, ask.session);
            let (bindings, set) = extended.insert((bindings(&keys), set));
            (bindings.as_slice(), Some(&*set))
        };
        let values = Values::new(bindings, ask);
        let mut context = Context::of(&values);
        if ask.open != Open::Said {
            context = context.lenient();
        }
        self.evaluated(ask, &context, session, explain)
    }

    fn evaluated(&self, ask: &Ask<'_>, context: &Context<'_>, session: Option<&PolicySet>, explain: bool) -> Vec<Judged> {
        let Asked { actor, resource_account, .. } = ask.asked;
        let Some(principal) = principal(actor) else {
            return vec![undecided(ask, "the principal has no name that policies could hold")];
        };
        let grants = match ask.acting {
            Acting::Role(key) => self.roles.get(key).map(|role| &role.grants),
            Acting::User(key) => self.users.get(key),
            Acting::Unlimited | Acting::Nobody => None,
        };
        let identity = match (ask.acting, grants) {
            (_, Some(grants)) => &grants.identity,
            (Acting::Unlimited, None) => &self.everything,
            _ => &self.nothing,
        };
        let own = actor.account.and_then(|account| self.accounts.get(account));
        let theirs = resource_account.and_then(|account| self.accounts.get(account));
        let (service, service_len) = self.levels(own.map(|view| view.service_control.as_slice()));
        let (resource, resource_len) = self.levels(theirs.map(|view| view.resource_control.as_slice()));
        let layers = Layers {
            service_control: service.get(..service_len).unwrap_or_default(),
            service_control_exempt: own.is_some_and(|view| view.exempt),
            resource_control: resource.get(..resource_len).unwrap_or_default(),
            resource_control_exempt: theirs.is_some_and(|view| view.exempt),
            identity,
            boundary: match ask.acting {
                // Who has no role is capped as a role without a boundary of its own would be.
                Acting::Unlimited => own.and_then(|view| view.boundary.as_ref()),
                _ => grants.and_then(|grants| grants.boundary.as_ref()),
            },
            session,
            resource: match ask.trust {
                Some(role) => Some(self.roles.get(role).map_or(&self.nothing, |role| &role.trust)),
                None => ask.server.and_then(|server| self.resources.get(server)),
            },
        };
        let request = Request {
            principal: &principal,
            action: ask.action,
            resource: ask.resource,
            resource_account: resource_account.map(AccountId::as_str),
            context,
        };
        let evaluation = match ask.trust {
            Some(_) => remit_iam::trust(&request, &layers, explain),
            None => remit_iam::evaluate(&request, &layers, explain),
        };
        let nodes = Nodes {
            service: own.map(|view| view.service_control.as_slice()).unwrap_or_default(),
            resource: theirs.map(|view| view.resource_control.as_slice()).unwrap_or_default(),
        };
        judged(ask, &evaluation, &nodes, explain)
    }

    fn levels<'a>(&'a self, levels: Option<&'a [LevelView]>) -> ([&'a PolicySet; LEVELS_MAX], usize) {
        let mut sets = [&self.nothing; LEVELS_MAX];
        let levels = levels.unwrap_or_default();
        for (place, level) in sets.iter_mut().zip(levels) {
            *place = &level.set;
        }
        (sets, levels.len().min(LEVELS_MAX))
    }
}

/// Where each key's value comes from, by slot.
fn bindings(keys: &Keys) -> Vec<Key> {
    keys.iter().map(|(_, name)| Key::parse(name)).collect()
}

/// The values of a request's keys, each found when the first policy asks for it: times and addresses are texts that few want.
struct Values<'a> {
    bindings: &'a [Key],
    ask: &'a Ask<'a>,
    /// By slot.
    found: Vec<OnceCell<Text<'a>>>,
}

impl<'a> Values<'a> {
    fn new(bindings: &'a [Key], ask: &'a Ask<'a>) -> Self {
        Self { bindings, ask, found: bindings.iter().map(|_| OnceCell::new()).collect() }
    }
}

impl Source for Values<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        let (Some(key), Some(cell)) = (self.bindings.get(slot.index()), self.found.get(slot.index())) else {
            return Value::Unknown;
        };
        match cell.get_or_init(|| if self.ask.open.leaves(key) { Text::Unknown } else { self.ask.asked.value(key) }) {
            Text::Absent => Value::Absent,
            Text::One(text) => Value::One(text),
            Text::Many(texts) => Value::Many(texts),
            Text::Unknown => Value::Unknown,
        }
    }
}

struct Nodes<'a> {
    service: &'a [LevelView],
    resource: &'a [LevelView],
}

/// Whether this is what AWS Organizations attaches by itself, and nothing else.
fn is_full(policies: &[Arc<Policy>]) -> bool {
    matches!(policies, [only] if matches!(&**only.name(), "FullAWSAccess" | "RCPFullAWSAccess"))
}

fn shipped(kind: PolicyKind, text: &str) -> Option<Arc<Policy>> {
    let node = remit_iam::document::parse(text).ok()?;
    Policy::read(kind, "everything", "remit", &node).ok().map(Arc::new)
}

fn principal<'a>(actor: &'a Actor<'_>) -> Option<remit_iam::Principal<'a>> {
    use remit_iam::Principal;
    match actor.kind {
        ActorKind::Session => Principal::session(&actor.issuer_arn, &actor.arn).ok(),
        ActorKind::User => Principal::user(&actor.arn).ok(),
        ActorKind::Service => Principal::service(&actor.arn).ok(),
        ActorKind::WebIdentity => Principal::federated(&actor.issuer_arn).ok(),
    }
}

/// The lines of an evaluation as the kernel's layers, one for each kind: of several levels the one that decides.
fn judged(ask: &Ask<'_>, evaluation: &Evaluation<'_>, nodes: &Nodes<'_>, explain: bool) -> Vec<Judged> {
    let lines = evaluation.lines();
    if lines.is_empty() {
        return vec![undecided(ask, "the request can't be read as one of IAM")];
    }
    let allowed = evaluation.decision() == Decision::Allowed;
    let mut judged: Vec<Judged> = Vec::with_capacity(4);
    for check in [
        CheckType::ServiceControl,
        CheckType::ResourceControl,
        CheckType::Resource,
        CheckType::Principal,
        CheckType::Boundary,
        CheckType::Session,
    ] {
        let of_check = lines.iter().enumerate().filter(|(_, line)| line.check == check);
        let rank = |(_, line): &(usize, &Line<'_>)| match line.effect {
            CheckEffect::ExplicitDeny => 0,
            CheckEffect::ImplicitDeny => 1,
            CheckEffect::Allow => 2,
            CheckEffect::NoImpact => 3,
        };
        match of_check.min_by_key(rank) {
            Some((place, line)) => judged.extend(one(ask, line, nodes).map(|judged| Judged {
                near: if line.effect == CheckEffect::ImplicitDeny { near(evaluation, place) } else { Vec::new() },
                applied: applied(evaluation, check),
                ..judged
            })),
            // No level says more than the default.
            None if ask.trust.is_none() && check == CheckType::ServiceControl => judged.push(no_controls()),
            None => {}
        }
    }
    if !allowed && judged.iter().all(|line| line.effect.agrees()) {
        judged.push(undecided(ask, "no policy of the organization allows it"));
    }
    if !explain && let Some(first) = judged.iter().position(|line| !line.effect.agrees()) {
        judged.truncate(first + 1);
    }
    judged
}

/// The statements that apply in a layer, at all of its levels.
fn applied(evaluation: &Evaluation<'_>, check: CheckType) -> Vec<Arc<remit_iam::Statement>> {
    let of_check = evaluation.lines().iter().zip(evaluation.details()).filter(|(line, _)| line.check == check);
    of_check.flat_map(|(_, detail)| detail.matched.iter().map(|statement| Arc::clone(statement))).collect()
}

/// The allowing statements that nearly applied in a line.
fn near(evaluation: &Evaluation<'_>, place: usize) -> Vec<Near> {
    let Some(detail) = evaluation.details().get(place) else { return Vec::new() };
    let allowing = detail.near.iter().filter(|near| near.statement.effect() == remit_iam::Effect::Allow);
    let condition = |unmet: &remit_iam::Unmet<'_>| {
        let values: Vec<&str> = unmet.condition.values().collect();
        format!("{} {} [{}]", unmet.condition.key(), unmet.condition.operator(), values.join(", "))
    };
    allowing
        .map(|near| Near {
            label: Arc::clone(near.statement.label()),
            origin: Arc::clone(near.statement.origin()),
            missing: match &near.missing {
                remit_iam::Missing::Resource => Missing::Resource,
                remit_iam::Missing::Principal => Missing::Principal,
                remit_iam::Missing::Conditions(unmet) => Missing::Conditions(unmet.iter().map(condition).collect()),
            },
        })
        .collect()
}

/// The lines of a call that no policy speaks of.
pub(crate) fn silent() -> [Judged; 2] {
    let no_role = Judged { layer: Layer::Principal, statement: NO_ROLE.into(), ..no_controls() };
    [no_controls(), no_role]
}

const NO_ROLE: &str = "the space has no role";

/// Where no level says more than what is attached by itself.
fn no_controls() -> Judged {
    Judged {
        layer: Layer::ServiceControlPolicy,
        effect: Effect::NoImpact,
        reason: Reason::CouldNotDecide,
        statement: "no service control policy but FullAWSAccess above the account".into(),
        origin: None,
        near: Vec::new(),
        applied: Vec::new(),
    }
}

/// One line in the kernel's words; `None` for layers that aren't there.
fn one(ask: &Ask<'_>, line: &Line<'_>, nodes: &Nodes<'_>) -> Option<Judged> {
    let trust = ask.trust.is_some();
    let (layer, reason, one, some) = match line.check {
        CheckType::ServiceControl => {
            (Layer::ServiceControlPolicy, Reason::ServiceControlPolicy, "a service control policy", "service control policy")
        }
        CheckType::ResourceControl => {
            (Layer::ResourceControlPolicy, Reason::ResourceControlPolicy, "a resource control policy", "resource control policy")
        }
        CheckType::Resource if trust => (Layer::RoleTrust, Reason::RoleTrust, "the role's trust policy", "role trust policy"),
        CheckType::Resource => (Layer::Resource, Reason::ResourcePolicy, "a resource-based policy", "resource-based policy"),
        CheckType::Principal => (Layer::Principal, Reason::RolePolicy, "an identity-based policy", "identity-based policy"),
        CheckType::Boundary => {
            (Layer::PermissionsBoundary, Reason::PermissionsBoundary, "a permissions boundary", "permissions boundary")
        }
        CheckType::Session => (Layer::Session, Reason::SessionPolicy, "a session policy", "session policy"),
    };
    let node = match line.check {
        CheckType::ServiceControl => nodes.service.get(line.level).map(|level| level.node.as_str()),
        CheckType::ResourceControl => nodes.resource.get(line.level).map(|level| level.node.as_str()),
        _ => None,
    };
    let at = node.map(|node| format!(" at {node}")).unwrap_or_default();
    let origin = line.statement.map(|statement| Arc::clone(statement.origin()));
    let (effect, statement): (Effect, Statement) = match (line.effect, line.statement) {
        (CheckEffect::Allow, Some(statement)) => (Effect::Allow, Arc::clone(statement.label()).into()),
        (CheckEffect::Allow | CheckEffect::NoImpact, _)
            if matches!(ask.acting, Acting::Unlimited) && layer == Layer::Principal =>
        {
            (Effect::NoImpact, NO_ROLE.into())
        }
        (CheckEffect::NoImpact, Some(statement)) => {
            (Effect::NoImpact, format!("{} allows, and another layer's word counts", statement.label()).into())
        }
        // A layer that isn't there has nothing to say, and needs no line.
        (CheckEffect::Allow | CheckEffect::NoImpact, None) => return None,
        (CheckEffect::ExplicitDeny, statement) => {
            let by = statement.map(|statement| format!(" ({}{at})", statement.label())).unwrap_or_default();
            (Effect::ExplicitDeny, format!("{} with an explicit deny in {one}{by}", refused(ask)).into())
        }
        (CheckEffect::ImplicitDeny, _) => {
            (Effect::ImplicitDeny, format!("{} because no {some}{at} allows the {} action", refused(ask), ask.action).into())
        }
    };
    let unlimited = matches!(ask.acting, Acting::Unlimited) && layer == Layer::Principal && effect.agrees();
    let statement = if unlimited { NO_ROLE.into() } else { statement };
    let effect = if unlimited { Effect::NoImpact } else { effect };
    let origin = if unlimited { None } else { origin };
    Some(Judged { layer, effect, reason, statement, origin, near: Vec::new(), applied: Vec::new() })
}

/// The beginning of AWS's sentence for a refusal ("Troubleshoot access denied error messages", IAM User Guide).
fn refused(ask: &Ask<'_>) -> String {
    format!("User: {} is not authorized to perform: {} on resource: {}", ask.asked.actor.arn, ask.action, ask.resource)
}

fn undecided(ask: &Ask<'_>, what: &str) -> Judged {
    Judged {
        layer: Layer::Principal,
        effect: Effect::ImplicitDeny,
        reason: Reason::RolePolicy,
        statement: format!("{}: {what}", refused(ask)).into(),
        origin: None,
        near: Vec::new(),
        applied: Vec::new(),
    }
}

/// The service as which Remit assumes the role of a space.
pub(crate) fn space_service() -> Actor<'static> {
    Actor {
        arn: SPACE_SERVICE.into(),
        issuer_arn: SPACE_SERVICE.into(),
        kind: ActorKind::Service,
        account: None,
        issuer: Issuer::Nobody,
        user_name: None,
        tags: None,
        session_tags: Vec::new(),
        source_identity: None,
        issued_at_secs: None,
    }
}

/// A session of a role.
pub(crate) fn role_session<'a>(organization: &Organization, role: &'a Role, name: &'a str) -> Actor<'a> {
    let tags: &Tags = &role.tags;
    Actor {
        arn: role.session_arn(&organization.partition, name).into(),
        issuer_arn: role.arn(&organization.partition).into(),
        kind: ActorKind::Session,
        account: Some(&role.key.account),
        issuer: Issuer::Role(role, name),
        user_name: None,
        tags: Some(tags),
        session_tags: Vec::new(),
        source_identity: None,
        issued_at_secs: None,
    }
}

/// What an agent is where its space has no role: a session of a role that nobody can name anything for, so that control policies have
/// a principal to compare with.
pub(crate) fn stand_in<'a>(organization: &Organization, space: &'a Space, name: &'a str) -> Actor<'a> {
    let (partition, account, id) = (&organization.partition, &space.account, &space.id);
    Actor {
        arn: format!("arn:{partition}:sts::{account}:assumed-role/{id}/{name}").into(),
        issuer_arn: format!("arn:{partition}:iam::{account}:role/aws-service-role/{SPACE_SERVICE}/{id}").into(),
        kind: ActorKind::Session,
        account: Some(account),
        issuer: Issuer::Space(id.as_str(), name),
        user_name: None,
        tags: None,
        session_tags: Vec::new(),
        source_identity: None,
        issued_at_secs: None,
    }
}

/// A session's name made of an agent's id: at most 64 characters, at least two.
pub(crate) fn session_name(agent: &str) -> &str {
    agent.get(..64).unwrap_or(agent)
}
