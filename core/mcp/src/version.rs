//! Protocol revisions and the two eras that they fall into.

/// A revision that Remit speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2025-03-26: Streamable HTTP, JSON-RPC batches.
    V20250326,
    /// 2025-06-18: no batches, `MCP-Protocol-Version`, elicitation.
    V20250618,
    /// 2025-11-25: tasks, URL elicitation, priming events.
    V20251125,
    /// 2026-07-28: stateless.
    V20260728,
}

/// How a revision keeps state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// `initialize`, `Mcp-Session-Id`, requests from server to client.
    Legacy,
    /// Every request stands alone; multi-round-trip requests.
    Modern,
}

impl Version {
    /// Every revision, oldest first.
    pub const ALL: [Self; 4] = [Self::V20250326, Self::V20250618, Self::V20251125, Self::V20260728];

    /// The newest revision of the session era.
    pub const LEGACY_LATEST: Self = Self::V20251125;

    /// Its date, as the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V20250326 => "2025-03-26",
            Self::V20250618 => "2025-06-18",
            Self::V20251125 => "2025-11-25",
            Self::V20260728 => "2026-07-28",
        }
    }

    /// The revision of this date.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Its era.
    pub fn era(self) -> Era {
        if self >= Self::V20260728 { Era::Modern } else { Era::Legacy }
    }

    /// What `initialize` answers to a client that asks for `requested`: the same revision if it is of the session era and
    /// known, else the newest of that era (lifecycle, version negotiation).
    pub fn negotiate(requested: &str) -> Self {
        Self::parse(requested).filter(|version| version.era() == Era::Legacy).unwrap_or(Self::LEGACY_LATEST)
    }
}

/// `_meta` keys of 2026-07-28 (SEP-2575).
pub mod meta {
    /// The revision of this request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// What the client can do.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Who the client says that it is.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// From which level the client wants log messages.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// The subscription that a notification belongs to.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// Who the server says that it is.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The task that a message belongs to (2025-11-25).
    pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
}
