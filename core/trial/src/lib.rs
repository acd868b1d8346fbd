//! A configuration tried offline, as the running gateway would decide by it: nothing is started, called or recorded.
//!
//! - [`lock`]: the accepted definitions of servers' tools as a file beside the configuration;
//! - [`cases`]: an organization's own cases; [`run`]: what the kernel says of them;
//! - [`cover`]: which statements, policies of sets, rows and listed tools they exercised;
//! - [`replay`]: recorded calls decided again, as they were or under another configuration;
//! - [`registry`]: the tool policies in other forms;
//! - [`egress`]: servers that were reached around Remit, out of logs of the network;
//! - [`server_json`]: registrations out of what the official MCP registry publishes;
//! - [`schema`]: the shapes of all of this, for editors.

pub mod cases;
pub mod cover;
pub mod egress;
pub mod lock;
pub mod registry;
pub mod replay;
pub mod run;
pub mod schema;
pub mod server_json;

pub use cases::Case;
pub use cover::Coverage;
pub use lock::Lock;
pub use run::{Outcome, Trial};
