//! The Model Context Protocol without I/O, for the data plane: what is authorized is read from the very bytes that are sent.
//!
//! - [`json`]: a strict scanner that finds spans and rejects duplicate keys at every level;
//! - [`message`]: the JSON-RPC envelope over those spans;
//! - [`splice`]: edits that leave every other byte as it was;
//! - [`header`]: `Mcp-Name`, `Mcp-Param-*` and their encoding; [`sse`]: event streams; [`version`]: revisions and eras;
//! - [`canonical`]: the canonical form and digest of a tool; [`uri`]: URI templates; [`error`]: error codes and answers.

pub mod canonical;
pub mod error;
pub mod header;
pub mod json;
pub mod message;
pub mod splice;
pub mod sse;
pub mod uri;
pub mod version;

pub use error::{ErrorCode, RpcError};
pub use message::{Kind, Message, MessageError};
pub use version::{Era, Version};
