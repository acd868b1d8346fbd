//! Policies as read: immutable, every statement with its name and its place.

use std::sync::Arc;

use crate::{
    condition::Condition,
    document::{Fault, Node, Place},
    glob::Pattern,
    principal::{Named, Principals},
    read,
};

/// What a policy is for; the kind decides what may stand in it and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Attached to a role or a user: grants.
    Identity,
    /// Attached to a resource: grants to the principals it names.
    Resource,
    /// Attached to a role: who may assume it.
    Trust,
    /// Given with a session: limits it.
    Session,
    /// Attached to a role or a user: limits what its identity policies grant.
    Boundary,
    /// Attached to the organization's tree: limits the principals of the accounts below.
    ServiceControl,
    /// Attached to the organization's tree: limits the access to resources of the accounts below.
    ResourceControl,
}

impl PolicyKind {
    /// The largest document, in characters of JSON without white space.
    ///
    /// From [IAM's quotas] (managed policies 6,144, a role's inline policies 10,240 together, trust 2,048, session 2,048),
    /// [those of Organizations] (5,120) and, for resources, Amazon S3's 20 KB.
    ///
    /// [IAM's quotas]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    /// [those of Organizations]: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
    pub fn chars_max(self) -> usize {
        match self {
            Self::Identity => 10_240,
            Self::Boundary => 6_144,
            Self::Trust | Self::Session => 2_048,
            Self::ServiceControl | Self::ResourceControl => 5_120,
            Self::Resource => 20_480,
        }
    }

    /// What to call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity policy",
            Self::Resource => "resource policy",
            Self::Trust => "trust policy",
            Self::Session => "session policy",
            Self::Boundary => "permissions boundary",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
        }
    }
}

/// What a statement does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever allows.
    Deny,
}

/// A policy without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    kind: PolicyKind,
    name: Arc<str>,
    statements: Vec<Arc<Statement>>,
}

impl Policy {
    /// Reads a policy: all of it, or every fault.
    ///
    /// `name` and `file` are for people: they appear in the labels and origins of its statements. The faults may be none at
    /// all if the document holds a [`Broken`](crate::document::Data::Broken) part, whose fault was already told.
    pub fn read(kind: PolicyKind, name: &str, file: &str, root: &Node) -> Result<Self, Vec<Fault>> {
        let statements = read::statements(kind, name, file, root)?;
        Ok(Self { kind, name: name.into(), statements: statements.into_iter().map(Arc::new).collect() })
    }

    /// What it is for.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its statements, in order.
    pub fn statements(&self) -> &[Arc<Statement>] {
        &self.statements
    }

    /// Whether both say the same, wherever they stand and whatever they are called.
    pub fn says_as(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.statements.len() == other.statements.len()
            && self.statements.iter().zip(&other.statements).all(|(a, b)| a.says_as(b))
    }
}

/// A statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    pub(crate) label: Arc<str>,
    pub(crate) origin: Arc<str>,
    pub(crate) place: Place,
    pub(crate) principals: Principals,
    pub(crate) actions: Actions,
    pub(crate) resources: Resources,
    pub(crate) conditions: Vec<Condition>,
}

impl Statement {
    /// Its `Sid`.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The policy's name and the `Sid`, or the number from 1: `read-only: AllowList`, `read-only: statement 2`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Where it stands: `file:line`.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The services that its `Principal` names.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.named().iter().filter_map(|named| match named {
            Named::Service(name) => Some(&**name),
            _ => None,
        })
    }

    /// The accounts, roles, sessions and users that its `Principal` names, as written: an account's id or an ARN; `*` for everyone.
    pub fn trusted(&self) -> impl Iterator<Item = &str> {
        self.named().iter().filter_map(|named| match named {
            Named::Everyone => Some("*"),
            Named::Account(name) | Named::Role(name) | Named::Session(name) | Named::User(name) => Some(&**name),
            Named::Service(_) | Named::Federated(_) | Named::Canonical => None,
        })
    }

    /// The identity providers that its `Principal` names.
    pub fn federated(&self) -> impl Iterator<Item = &str> {
        self.named().iter().filter_map(|named| match named {
            Named::Federated(name) => Some(&**name),
            _ => None,
        })
    }

    /// The sessions of roles that its `Principal` or `NotPrincipal` names, as ARNs.
    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        let named = match &self.principals {
            Principals::In(named) | Principals::NotIn(named) => &**named,
            Principals::Attached => &[],
        };
        named.iter().filter_map(|named| match named {
            Named::Session(arn) => Some(&**arn),
            _ => None,
        })
    }

    fn named(&self) -> &[Named] {
        match &self.principals {
            Principals::In(named) => named,
            Principals::Attached | Principals::NotIn(_) => &[],
        }
    }

    /// Its conditions, all of which must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn says_as(&self, other: &Self) -> bool {
        (self.effect, &self.principals, &self.actions, &self.resources)
            == (other.effect, &other.principals, &other.actions, &other.resources)
            && self.conditions.len() == other.conditions.len()
            && self.conditions.iter().zip(&other.conditions).all(|(a, b)| a.says_as(b))
    }
}

/// `Action` or `NotAction`; patterns in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actions {
    pub(crate) not: bool,
    pub(crate) patterns: Vec<Pattern>,
}

/// `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resources {
    /// A trust policy's: the role itself.
    Attached,
    In(Vec<Pattern>),
    NotIn(Vec<Pattern>),
}
