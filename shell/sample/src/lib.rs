//! The sample organization's MCP servers: what the tour of Remit governs.
//!
//! Five small servers with real behaviour in memory: a helpdesk, observability, deployments, a ledger and publishing. Each
//! speaks both eras of MCP, legacy (`initialize`, sessions) and 2026-07-28 (stateless), over standard input and output or
//! over Streamable HTTP on this machine. They are written over `remit_mcp` alone, so that they cost little to compile and
//! share no code with the gateway's own way of speaking to servers.
//!
//! - [`serve_stdio`] and [`HttpServer`] are the ways in; `service` answers requests of both eras; `state` seals what must
//!   survive between the rounds of one call; `world` is what a server implements, and the five of them follow.

mod arguments;
mod deployments;
mod helpdesk;
mod http;
mod ledger;
mod observability;
mod publishing;
mod service;
mod state;
mod stdio;
#[cfg(test)]
mod tests;
mod world;

pub use http::{Access, HttpServer};
pub use stdio::serve_stdio;

/// The names of the sample servers.
pub const NAMES: [&str; 5] = ["helpdesk", "observability", "deployments", "ledger", "publishing"];

/// There is no sample server of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownServer(pub String);

impl std::fmt::Display for UnknownServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no sample server `{}`; there are {}", self.0, NAMES.join(", "))
    }
}

impl std::error::Error for UnknownServer {}

fn world(name: &str) -> Result<Box<dyn world::World>, UnknownServer> {
    Ok(match name {
        "helpdesk" => Box::new(helpdesk::Helpdesk::new()),
        "observability" => Box::new(observability::Observability::new()),
        "deployments" => Box::new(deployments::Deployments::new()),
        "ledger" => Box::new(ledger::Ledger::new()),
        "publishing" => Box::new(publishing::Publishing::new()),
        other => return Err(UnknownServer(other.to_owned())),
    })
}
