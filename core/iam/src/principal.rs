//! Who asks, and whom a policy names.
//!
//! The rules are those of [Principal] and [NotPrincipal].
//!
//! [Principal]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
//! [NotPrincipal]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html

use crate::{bytes, condition::split_arn, truth::Truth};

/// What kind of principal asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A session of a role.
    Session,
    /// A user.
    User,
    /// The root user of an account. It has no rights of its own here: what it may do has to be allowed.
    Root,
    /// A service, by name.
    Service,
    /// Somebody whom an identity provider vouches for, before a role is assumed.
    Federated,
}

/// The principal of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal<'a> {
    kind: PrincipalKind,
    account: Option<&'a str>,
    name: &'a str,
    role: Option<&'a str>,
}

/// Why a name is no principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPrincipal(&'static str);

impl std::fmt::Display for NotAPrincipal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a principal: {}", self.0)
    }
}

impl std::error::Error for NotAPrincipal {}

impl<'a> Principal<'a> {
    /// A session of a role: `arn:aws:iam::111122223333:role/path/name` and
    /// `arn:aws:sts::111122223333:assumed-role/name/session`. It answers to both names.
    #[inline]
    pub fn session(role: &'a str, session: &'a str) -> Result<Self, NotAPrincipal> {
        Self::read_session(role, session).ok_or(NotAPrincipal("a session needs the ARN of its role and its own, of one account"))
    }

    #[inline]
    fn read_session(role: &'a str, session: &'a str) -> Option<Self> {
        let rest = role.strip_prefix("arn:")?;
        let (partition, rest) = rest.split_at_checked(bytes::find(rest.as_bytes(), b':')?)?;
        let (account, path) = rest.strip_prefix(":iam::")?.split_at_checked(12)?;
        let path = path.strip_prefix(":role/")?;
        let name = path.bytes().rposition(|byte| byte == b'/').and_then(|at| path.get(at + 1..)).unwrap_or(path);
        let rest = session.strip_prefix("arn:")?.strip_prefix(partition)?.strip_prefix(":sts::")?;
        let rest = rest.strip_prefix(account)?.strip_prefix(":assumed-role/")?;
        let session_name = rest.strip_prefix(name)?.strip_prefix('/')?;
        let fits = is_account(account) && !partition.is_empty() && is_name(name) && is_name(session_name);
        fits.then_some(Self { kind: PrincipalKind::Session, account: Some(account), name: session, role: Some(role) })
    }

    /// A user: `arn:aws:iam::111122223333:user/path/name`.
    pub fn user(arn: &'a str) -> Result<Self, NotAPrincipal> {
        match split_arn(arn) {
            Some([_, _, "iam", "", account, user]) if is_account(account) && is_named(user, "user/") => {
                Ok(Self { kind: PrincipalKind::User, account: Some(account), name: arn, role: None })
            }
            _ => Err(NotAPrincipal("a user needs its ARN")),
        }
    }

    /// The root user of an account: `arn:aws:iam::111122223333:root`.
    pub fn root(arn: &'a str) -> Result<Self, NotAPrincipal> {
        match split_arn(arn) {
            Some([_, _, "iam", "", account, "root"]) if is_account(account) => {
                Ok(Self { kind: PrincipalKind::Root, account: Some(account), name: arn, role: None })
            }
            _ => Err(NotAPrincipal("a root user needs its ARN")),
        }
    }

    /// A service, by its name: `scheduler.amazonaws.com`.
    pub fn service(name: &'a str) -> Result<Self, NotAPrincipal> {
        if is_host(name) {
            Ok(Self { kind: PrincipalKind::Service, account: None, name, role: None })
        } else {
            Err(NotAPrincipal("a service needs its name, like `scheduler.amazonaws.com`"))
        }
    }

    /// Somebody whom an identity provider vouches for, by the provider's name as a trust policy states it.
    pub fn federated(provider: &'a str) -> Result<Self, NotAPrincipal> {
        if is_provider(provider) {
            Ok(Self { kind: PrincipalKind::Federated, account: None, name: provider, role: None })
        } else {
            Err(NotAPrincipal("an identity provider needs its ARN or its host"))
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The account it belongs to; none for services and for those who are federated.
    pub fn account(&self) -> Option<&'a str> {
        self.account
    }

    /// The ARN or the name under which it acts.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The ARN of a session's role.
    pub fn role(&self) -> Option<&'a str> {
        self.role
    }
}

/// How a resource's policy came to name the principal, the weaker first: what else limits its grant depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// As a member of its account: the account's own policies must allow too.
    Account,
    /// As everyone.
    Everyone,
    /// By the ARN of a session's role: boundary and session policy limit it.
    Role,
    /// As everyone, where a condition names the principal's ARN.
    EveryoneByArn,
    /// By its own name.
    Own,
}

/// A principal as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    Everyone,
    Account(Box<str>),
    Role(Box<str>),
    Session(Box<str>),
    User(Box<str>),
    Service(Box<str>),
    Federated(Box<str>),
    /// Nobody here has one.
    Canonical,
}

impl Named {
    /// Reads an entry of a `Principal` of this type. The error says how to mend it.
    pub(crate) fn read(kind: &str, text: &str) -> Result<Self, &'static str> {
        match kind {
            "AWS" => Self::read_aws(text)
                .ok_or("write `*`, an account's number, or the full ARN of a root, role, user or assumed-role session, without wildcards"),
            "Service" if is_host(text) => Ok(Self::Service(text.into())),
            "Service" => Err("write the service's name, like `scheduler.amazonaws.com`"),
            "Federated" if is_provider(text) => Ok(Self::Federated(text.into())),
            "Federated" => Err("write the provider's ARN, or its host"),
            "CanonicalUser" if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Self::Canonical),
            _ => Err("write the canonical user's 64 hexadecimal digits"),
        }
    }

    fn read_aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        if is_account(text) {
            return Some(Self::Account(text.into()));
        }
        let [_, partition, service, "", account, resource] = split_arn(text)? else { return None };
        if !is_account(account) || !partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
            return None;
        }
        match (service, resource) {
            ("iam", "root") => Some(Self::Account(account.into())),
            ("iam", role) if is_named(role, "role/") => Some(Self::Role(text.into())),
            ("iam", user) if is_named(user, "user/") => Some(Self::User(text.into())),
            ("sts", session) => {
                let (role, name) = session.strip_prefix("assumed-role/")?.split_once('/')?;
                (is_name(role) && is_name(name)).then(|| Self::Session(text.into()))
            }
            _ => None,
        }
    }

    fn standing(&self) -> Standing {
        match self {
            Self::Everyone => Standing::Everyone,
            Self::Account(_) => Standing::Account,
            Self::Role(_) => Standing::Role,
            _ => Standing::Own,
        }
    }

    /// Whether it names this principal. AWS keeps the identifier of a role, not its name, and no two names differ in case
    /// only: a name that differs in nothing else can't be told.
    #[inline]
    fn matches(&self, principal: &Principal<'_>) -> Truth {
        let same = |kind, name: &str| Truth::from(principal.kind == kind && principal.name == name);
        match self {
            Self::Everyone => Truth::Yes,
            Self::Account(account) => (principal.account == Some(account.as_ref())).into(),
            Self::Role(role) => match principal.role {
                Some(found) if found == role.as_ref() => Truth::Yes,
                Some(found) if found.eq_ignore_ascii_case(role) => Truth::Maybe,
                _ => Truth::No,
            },
            Self::Session(session) => {
                let truth = same(PrincipalKind::Session, session);
                let maybe = principal.kind == PrincipalKind::Session && principal.name.eq_ignore_ascii_case(session);
                if maybe { truth.or(Truth::Maybe) } else { truth }
            }
            Self::User(user) => same(PrincipalKind::User, user),
            Self::Service(name) => same(PrincipalKind::Service, name),
            Self::Federated(provider) => same(PrincipalKind::Federated, provider),
            Self::Canonical => Truth::No,
        }
    }
}

/// The principals of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principals {
    /// The policy is attached to its principal.
    Attached,
    /// `Principal`.
    In(Box<[Named]>),
    /// `NotPrincipal`, of a Deny.
    NotIn(Box<[Named]>),
}

impl Principals {
    /// Whether the statement is about this principal.
    pub(crate) fn matches(&self, principal: &Principal<'_>, bounded: bool) -> Truth {
        match self {
            Self::Attached => Truth::Yes,
            Self::In(named) => named.iter().fold(Truth::No, |truth, named| truth.or(named.matches(principal))),
            // "The NotPrincipal element with a Deny effect will always deny any IAM principal that has a permissions boundary
            // policy attached" (Permissions boundaries for IAM entities).
            Self::NotIn(named) => (bounded || !excepted(named, principal)).into(),
        }
    }

    /// How the statement names a principal that it is about.
    pub(crate) fn standing(&self, principal: &Principal<'_>) -> Option<Standing> {
        match self {
            Self::Attached | Self::NotIn(_) => None,
            Self::In(named) => named.iter().filter(|named| named.matches(principal) == Truth::Yes).map(Named::standing).max(),
        }
    }
}

/// Whether `NotPrincipal` leaves this principal out. "When you use NotPrincipal with Deny, you must also specify the account
/// ARN of the not-denied principal", and of a session its role.
fn excepted(named: &[Named], principal: &Principal<'_>) -> bool {
    let has = |test: fn(&Named) -> bool| named.iter().any(|named| test(named) && named.matches(principal) == Truth::Yes);
    let account = || has(|named| matches!(named, Named::Account(_)));
    match principal.kind {
        PrincipalKind::Session => account() && has(|named| matches!(named, Named::Role(_))),
        PrincipalKind::User => account() && has(|named| matches!(named, Named::User(_))),
        PrincipalKind::Root => account(),
        PrincipalKind::Service => has(|named| matches!(named, Named::Service(_))),
        PrincipalKind::Federated => has(|named| matches!(named, Named::Federated(_))),
    }
}

/// Twelve digits.
#[inline]
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A role's, user's or session's name: `[\w+=,.@-]`, at most 64 of it.
#[inline]
fn is_name(text: &str) -> bool {
    let fits = |byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// `role/path/name` or `user/path/name`.
fn is_named(text: &str, kind: &str) -> bool {
    let Some(path) = text.strip_prefix(kind) else { return false };
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    is_name(name) && folders.len() <= 512 && folders.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && !b"*?".contains(&byte))
}

fn is_host(text: &str) -> bool {
    let fits = |byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    (1..=253).contains(&text.len()) && text.contains('.') && text.bytes().all(fits)
}

/// An identity provider: its ARN in IAM, or the host and path of an issuer.
fn is_provider(text: &str) -> bool {
    let fits = |byte: u8| (0x21..=0x7e).contains(&byte) && !b"*?\"'$".contains(&byte);
    let known = match split_arn(text) {
        Some([_, _, "iam", "", account, provider]) => {
            is_account(account) && (provider.starts_with("oidc-provider/") || provider.starts_with("saml-provider/"))
        }
        Some(_) => false,
        None => is_host(text.split(['/', ':']).next().unwrap_or_default()),
    };
    text.len() <= 512 && text.bytes().all(fits) && known
}
