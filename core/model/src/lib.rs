//! The nouns of Remit, shared by every other crate: identifiers that are checked when they are made, and the
//! records of an organization. Nothing here decides anything.

mod access;
mod id;
mod organization;
mod server;

pub use access::{Agent, AgentCredential, ClaimRule, ClaimTest, Issuer, Quotas, Space, SpaceServer, ToolAdmission, ToolPolicy};
pub use id::{AccountId, AgentId, IdError, Region, ServerName, SpaceId, TOOL_NAME_LEN_MAX, TOOL_SEPARATOR, ToolName};
pub use organization::{Account, Organization, ServerKey};
pub use server::{
    AuthorizationCodeClient, Credential, Network, OAuthClient, ProtocolChoice, RegisteredClient, Risk, SecretRef, Server,
    ServerLimits, ToolClass, ToolOverride, Transport,
};
