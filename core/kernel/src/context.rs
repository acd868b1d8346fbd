//! What the context keys of policies hold in one request.
//!
//! A snapshot knows which keys its policies name, and works out once where each comes from ([`Key::parse`]); a request binds those and
//! no others. Keys of AWS keep AWS's names and meaning ("AWS global condition context keys", IAM User Guide); `mcp:` is the service of
//! tool calls.

use std::borrow::Cow;
use std::net::IpAddr;

use remit_identity::sigv4;
use remit_model::{AccountId, Organization, Role, Tags, User};

use crate::facts::Fact;

/// Where a key's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    PrincipalArn,
    PrincipalAccount,
    PrincipalType,
    PrincipalTag(String),
    PrincipalIsAwsService,
    PrincipalServiceName,
    OrgId(Whose),
    OrgPaths(Whose),
    UserId,
    UserName,
    SourceIdentity,
    TokenIssueTime,
    MultiFactorAuthPresent,
    RequestedRegion,
    ResourceAccount,
    ResourceTag(String),
    CurrentTime,
    EpochTime,
    SecureTransport,
    SourceIp,
    SourceAccount,
    SourceArn,
    SourceOrgId,
    ViaAwsService,
    ViaAwsMcpService,
    CalledViaAwsMcp,
    RequestTag(String),
    TagKeys,
    TransitiveTagKeys,
    ExternalId,
    RoleSessionName,
    StsSourceIdentity,
    FederatedProvider,
    /// A claim of a web identity's token: `<provider>:sub`, `:aud`, `:amr`, `:email`, `:groups`.
    Claim(String),
    Agent,
    User,
    AgentSpace,
    Server,
    Tool,
    ToolClass,
    ToolRisk,
    ToolCategories,
    /// Nothing here sets it.
    Nobodys,
}

/// The principal's or the resource's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Principal,
    Resource,
}

impl Key {
    /// The key with this name, in lower case.
    pub(crate) fn parse(name: &str) -> Self {
        let simple = match name {
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principalaccount" => Self::PrincipalAccount,
            "aws:principaltype" => Self::PrincipalType,
            "aws:principalisawsservice" => Self::PrincipalIsAwsService,
            "aws:principalservicename" => Self::PrincipalServiceName,
            "aws:principalorgid" => Self::OrgId(Whose::Principal),
            "aws:principalorgpaths" => Self::OrgPaths(Whose::Principal),
            "aws:resourceorgid" => Self::OrgId(Whose::Resource),
            "aws:resourceorgpaths" => Self::OrgPaths(Whose::Resource),
            "aws:userid" => Self::UserId,
            "aws:username" => Self::UserName,
            "aws:sourceidentity" => Self::SourceIdentity,
            "aws:tokenissuetime" => Self::TokenIssueTime,
            "aws:multifactorauthpresent" => Self::MultiFactorAuthPresent,
            "aws:requestedregion" => Self::RequestedRegion,
            "aws:resourceaccount" => Self::ResourceAccount,
            "aws:currenttime" => Self::CurrentTime,
            "aws:epochtime" => Self::EpochTime,
            "aws:securetransport" => Self::SecureTransport,
            "aws:sourceip" => Self::SourceIp,
            "aws:sourceaccount" => Self::SourceAccount,
            "aws:sourcearn" => Self::SourceArn,
            "aws:sourceorgid" => Self::SourceOrgId,
            "aws:viaawsservice" => Self::ViaAwsService,
            "aws:viaawsmcpservice" => Self::ViaAwsMcpService,
            "aws:calledviaawsmcp" => Self::CalledViaAwsMcp,
            "aws:tagkeys" => Self::TagKeys,
            "aws:federatedprovider" => Self::FederatedProvider,
            "sts:transitivetagkeys" => Self::TransitiveTagKeys,
            "sts:externalid" => Self::ExternalId,
            "sts:rolesessionname" => Self::RoleSessionName,
            "sts:sourceidentity" => Self::StsSourceIdentity,
            "mcp:agent" => Self::Agent,
            "mcp:user" => Self::User,
            "mcp:agentspace" => Self::AgentSpace,
            "mcp:server" => Self::Server,
            "mcp:tool" => Self::Tool,
            "mcp:toolclass" => Self::ToolClass,
            "mcp:toolrisk" => Self::ToolRisk,
            "mcp:toolcategories" => Self::ToolCategories,
            _ => Self::Nobodys,
        };
        let tag = |prefix: &str| name.strip_prefix(prefix).map(str::to_owned);
        match simple {
            Self::Nobodys => tag("aws:principaltag/")
                .map(Self::PrincipalTag)
                .or_else(|| tag("aws:resourcetag/").or_else(|| tag("mcp:resourcetag/")).map(Self::ResourceTag))
                .or_else(|| tag("aws:requesttag/").map(Self::RequestTag))
                .or_else(|| {
                    let (_, claim) = name.rsplit_once(':')?;
                    matches!(claim, "sub" | "aud" | "amr" | "email" | "groups").then(|| Self::Claim(name.to_owned()))
                })
                .unwrap_or(Self::Nobodys),
            simple => simple,
        }
    }
}

/// Who acts, as IAM sees it.
#[derive(Debug, Clone)]
pub(crate) struct Actor<'a> {
    /// The session's, the user's or the service's name.
    pub(crate) arn: Cow<'a, str>,
    /// `aws:PrincipalArn`: a session's role, else the same.
    pub(crate) issuer_arn: Cow<'a, str>,
    pub(crate) kind: ActorKind,
    /// The account; a service and a web identity have none.
    pub(crate) account: Option<&'a AccountId>,
    /// Whose unique id `aws:userid` begins with.
    pub(crate) issuer: Issuer<'a>,
    /// A user's name.
    pub(crate) user_name: Option<&'a str>,
    /// The tags of the role or user.
    pub(crate) tags: Option<&'a Tags>,
    /// The session's tags, which stand above those of the role.
    pub(crate) session_tags: Vec<(&'a str, &'a str)>,
    pub(crate) source_identity: Option<&'a str>,
    /// When the session began, in seconds since the epoch; long-term keys have no session.
    pub(crate) issued_at_secs: Option<u64>,
}

/// What issues a principal its unique id.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Issuer<'a> {
    Role(&'a Role, &'a str),
    User(&'a User),
    /// A space without a role: its id, and the session's name.
    Space(&'a str, &'a str),
    Nobody,
}

impl Actor<'_> {
    /// `aws:userid`.
    pub(crate) fn user_id(&self) -> String {
        match self.issuer {
            Issuer::Role(role, session) => format!("{}:{session}", role.unique_id()),
            Issuer::User(user) => user.unique_id(),
            Issuer::Space(space, session) => format!("{space}:{session}"),
            Issuer::Nobody => String::new(),
        }
    }
}

/// What kind of principal acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActorKind {
    Session,
    User,
    Service,
    WebIdentity,
}

/// From where a request came.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The caller's address, as far as Remit can tell.
    pub source_ip: Fact<IpAddr>,
    /// Whether the connection to Remit was encrypted.
    pub secure_transport: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self { source_ip: Fact::Unknown("the caller's address was not kept".to_owned()), secure_transport: false }
    }
}

/// What is said of a call to something that a server offers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallFacts<'a> {
    pub(crate) agent: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) space_arn: &'a str,
    pub(crate) server: &'a str,
    pub(crate) called_via: &'a str,
    pub(crate) tool: Option<&'a str>,
    pub(crate) class: Option<&'static str>,
    pub(crate) risk: Option<&'static str>,
    pub(crate) categories: &'a [String],
}

/// What is said of a request for a session.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SessionFacts<'a> {
    pub(crate) name: &'a str,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) source_identity: Option<&'a str>,
    pub(crate) tags: &'a [remit_identity::sts::Tag],
    /// A web identity's provider and its claims.
    pub(crate) provider: Option<&'a str>,
    pub(crate) claims: &'a [(String, Vec<String>)],
}

/// Everything that a request says, to bind keys from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) organization: &'a Organization,
    pub(crate) actor: &'a Actor<'a>,
    pub(crate) origin: &'a Origin,
    pub(crate) now_secs: u64,
    pub(crate) region: Option<&'a str>,
    pub(crate) resource_account: Option<&'a AccountId>,
    pub(crate) resource_tags: Option<&'a Tags>,
    /// On whose behalf a service acts: account and ARN.
    pub(crate) source: Option<(&'a str, &'a str)>,
    pub(crate) call: Option<CallFacts<'a>>,
    pub(crate) session: Option<SessionFacts<'a>>,
}

/// A key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    Absent,
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
    Unknown,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::One(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::One(Cow::Owned(text))
    }
}

impl<'a, T: Into<Text<'a>>> From<Option<T>> for Text<'a> {
    fn from(text: Option<T>) -> Self {
        text.map_or(Self::Absent, Into::into)
    }
}

fn flag(flag: bool) -> Text<'static> {
    Text::from(if flag { "true" } else { "false" })
}

impl<'a> Asked<'a> {
    /// What a key holds.
    pub(crate) fn value(&self, key: &Key) -> Text<'a> {
        let actor = self.actor;
        match key {
            Key::PrincipalArn if actor.account.is_some() => Text::One(Cow::Borrowed(&actor.issuer_arn)),
            Key::PrincipalAccount => actor.account.map(AccountId::as_str).into(),
            Key::PrincipalType => self.principal_type(),
            Key::PrincipalTag(name) => self.principal_tag(name),
            Key::PrincipalIsAwsService => flag(actor.kind == ActorKind::Service),
            Key::PrincipalServiceName => (actor.kind == ActorKind::Service).then_some(&*actor.arn).into(),
            Key::OrgId(whose) => self.account(*whose).map(|_| self.organization.id.as_str()).into(),
            Key::OrgPaths(whose) => match self.account(*whose) {
                Some(account) => Text::Many(vec![Cow::Owned(self.organization.path(account))]),
                None => Text::Absent,
            },
            Key::UserId if actor.kind != ActorKind::Service => actor.user_id().into(),
            Key::UserName => actor.user_name.into(),
            Key::SourceIdentity => actor.source_identity.into(),
            Key::TokenIssueTime => actor.issued_at_secs.map(sigv4::date_time).into(),
            Key::MultiFactorAuthPresent => actor.issued_at_secs.map(|_| "false").into(),
            Key::RequestedRegion => self.region.into(),
            Key::ResourceAccount => self.resource_account.map(AccountId::as_str).into(),
            Key::ResourceTag(name) => self.resource_tags.and_then(|tags| tagged(tags, name)).into(),
            Key::CurrentTime => sigv4::date_time(self.now_secs).into(),
            Key::EpochTime => self.now_secs.to_string().into(),
            Key::SecureTransport => flag(self.origin.secure_transport),
            Key::SourceIp => match &self.origin.source_ip {
                Fact::Known(ip) => ip.to_canonical().to_string().into(),
                Fact::Unknown(_) => Text::Unknown,
            },
            Key::SourceAccount => self.source.map(|(account, _)| account).into(),
            Key::SourceArn => self.source.map(|(_, arn)| arn).into(),
            Key::SourceOrgId => self.source.map(|_| self.organization.id.as_str()).into(),
            Key::ViaAwsService => flag(false),
            // Whatever an agent calls here, it calls through an MCP server.
            Key::ViaAwsMcpService => flag(self.call.is_some()),
            Key::CalledViaAwsMcp => self.call.map(|call| call.called_via).into(),
            _ => self.more(key),
        }
    }

    /// The keys of calls and of requests for sessions.
    fn more(&self, key: &Key) -> Text<'a> {
        let call = self.call;
        let session = self.session;
        match key {
            Key::Agent => call.map(|call| call.agent).into(),
            Key::User => call.and_then(|call| call.user).into(),
            Key::AgentSpace => call.map(|call| call.space_arn).into(),
            Key::Server => call.map(|call| call.server).into(),
            Key::Tool => call.and_then(|call| call.tool).into(),
            Key::ToolClass => call.and_then(|call| call.class).into(),
            Key::ToolRisk => call.and_then(|call| call.risk).into(),
            Key::ToolCategories => match call {
                Some(call) => Text::Many(call.categories.iter().map(|category| Cow::Borrowed(category.as_str())).collect()),
                None => Text::Absent,
            },
            Key::ExternalId => session.and_then(|session| session.external_id).into(),
            Key::RoleSessionName => session.map(|session| session.name).into(),
            Key::StsSourceIdentity => session.and_then(|session| session.source_identity).into(),
            Key::RequestTag(name) => {
                let tags = session.map(|session| session.tags).unwrap_or_default();
                tags.iter().find(|tag| tag.key.eq_ignore_ascii_case(name)).map(|tag| tag.value.as_str()).into()
            }
            Key::TagKeys | Key::TransitiveTagKeys => {
                let tags = session.map(|session| session.tags).unwrap_or_default();
                let keys = tags.iter().filter(|tag| *key == Key::TagKeys || tag.transitive);
                let keys: Vec<Cow<'a, str>> = keys.map(|tag| Cow::Borrowed(tag.key.as_str())).collect();
                if keys.is_empty() { Text::Absent } else { Text::Many(keys) }
            }
            Key::FederatedProvider => session.and_then(|session| session.provider).into(),
            Key::Claim(name) => {
                let claims = session.map(|session| session.claims).unwrap_or_default();
                let Some((_, values)) = claims.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
                    return Text::Absent;
                };
                match values.as_slice() {
                    [one] if !name.ends_with(":amr") => one.as_str().into(),
                    several => Text::Many(several.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
                }
            }
            _ => Text::Absent,
        }
    }

    fn account(&self, whose: Whose) -> Option<&'a AccountId> {
        match whose {
            Whose::Principal => self.actor.account,
            Whose::Resource => self.resource_account,
        }
        .filter(|account| self.organization.accounts.contains_key(*account))
    }

    fn principal_type(&self) -> Text<'a> {
        match self.actor.kind {
            ActorKind::Session => "AssumedRole".into(),
            ActorKind::User => "User".into(),
            ActorKind::Service => "Service".into(),
            ActorKind::WebIdentity => "FederatedUser".into(),
        }
    }

    fn principal_tag(&self, name: &str) -> Text<'a> {
        let of_session = self.actor.session_tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        match (of_session, self.actor.tags) {
            (Some((_, value)), _) => (*value).into(),
            (None, Some(tags)) => tagged(tags, name).into(),
            (None, None) => Text::Absent,
        }
    }
}

fn tagged<'a>(tags: &'a Tags, name: &str) -> Option<&'a str> {
    tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
