//! What IAM policies are asked with.

use std::path::PathBuf;

use clap::Subcommand;

use super::Common;

#[derive(Debug, Subcommand)]
pub(crate) enum Iam {
    /// Evaluate cases from standard input, one JSON object a line, and answer each with `{"id", "decision"}`.
    ///
    /// A case has id, request (principal, action, resource, context), identityPolicies, permissionBoundaries, sessionPolicy,
    /// serviceControlPolicies (a list of levels, root first), resourceControlPolicies and resourcePolicy. The decision is Allowed,
    /// ImplicitlyDenied or ExplicitlyDenied.
    Simulate,
    /// Find what is allowed in policies and probably not meant. Exit code 0 without errors and warnings, 1 with, 3 for unreadable ones.
    Lint {
        /// Configuration directories and policy files (JSON).
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// What the files are: identity, boundary, trust, resource, session, service-control, resource-control.
        #[arg(long = "type", value_name = "TYPE", default_value = "identity")]
        kind: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prove that a change grants nothing new, or show a request that it grants. Exit code 0 if nothing is new, 2 if something is, 1 if it
    /// can't be told.
    ///
    /// Two policy files are compared as they are; two configuration directories role by role and user by user, with boundaries, service
    /// control policies and trust policies.
    NewAccess {
        /// The policy file or configuration directory as it was.
        old: PathBuf,
        /// As it is to be.
        new: PathBuf,
        /// What the files are: identity, boundary, trust, session, service-control.
        #[arg(long = "type", value_name = "TYPE", default_value = "identity")]
        kind: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say whether somebody can do something, and on which path. Exit code 0 if they can, 2 if not.
    Can {
        #[command(flatten)]
        common: Common,
        /// An agent's id, or the ARN of a user, a role or a space.
        who: String,
        /// The action, such as mcp:CallTool or sts:AssumeRole.
        action: String,
        /// The resource's ARN, or a tool's exposed name.
        resource: String,
    },
    /// Say who can do something: everybody who is allowed, with the path. With --all those too who aren't, and why.
    Who {
        #[command(flatten)]
        common: Common,
        /// The action, such as mcp:CallTool or sts:AssumeRole.
        action: String,
        /// The resource's ARN, or a tool's exposed name.
        resource: String,
        /// Show those who can't as well.
        #[arg(long)]
        all: bool,
    },
    /// Show every policy that reaches a space, with where each comes from.
    Effective {
        #[command(flatten)]
        common: Common,
        /// The space.
        space: String,
    },
}
