//! A session with a server of the session era, Remit being the client.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use remit_mcp::json::quote;
use remit_mcp::{Kind, Message, Version};

use crate::observe::{SessionEnded, Watcher};

use super::{IMPLEMENTATION, Sending, Upstream, UpstreamError, legacy_request, stdio, streamable};

/// How many sessions one server's pool holds before the longest unused goes.
const LINKS_MAX: usize = 256;

/// A session with a server.
#[derive(Debug)]
pub(crate) struct Link {
    version: Option<Version>,
    session_id: Option<HeaderValue>,
    /// The result of `initialize`, as JSON text.
    pub(crate) initialized: String,
    /// The child process of a stdio server that serves this session.
    pub(crate) child: Option<Arc<stdio::Child>>,
    /// The log level that the server was last told.
    pub(crate) log_level: std::sync::Mutex<Option<String>>,
    upstream: std::sync::Weak<Upstream>,
    server: String,
    watcher: Watcher,
    /// The server has ended it.
    gone: AtomicBool,
    next_id: AtomicU64,
    started: Instant,
    used_ms: AtomicU64,
}

impl Link {
    fn new(upstream: &Arc<Upstream>, child: Option<Arc<stdio::Child>>) -> Self {
        Self {
            version: None,
            session_id: None,
            initialized: String::new(),
            child,
            log_level: std::sync::Mutex::new(None),
            upstream: Arc::downgrade(upstream),
            server: upstream.key.name.as_str().to_owned(),
            watcher: upstream.watcher.clone(),
            gone: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            started: Instant::now(),
            used_ms: AtomicU64::new(0),
        }
    }

    /// Opens a session and declares these capabilities: JSON text.
    pub(crate) async fn open(upstream: &Arc<Upstream>, capabilities: &str) -> Result<Arc<Self>, UpstreamError> {
        let opened = tokio::time::timeout(Duration::from_secs(30), Self::open_now(upstream, capabilities)).await;
        opened.map_err(|_| UpstreamError::Timeout)?
    }

    async fn open_now(upstream: &Arc<Upstream>, capabilities: &str) -> Result<Arc<Self>, UpstreamError> {
        let version = quote(Version::LEGACY_LATEST.as_str());
        let params = format!("{{\"protocolVersion\":{version},\"capabilities\":{capabilities},\"clientInfo\":{IMPLEMENTATION}}}");
        let body = legacy_request("\"remit-initialize\"", "initialize", &params);
        let link = match (upstream.http(), upstream.stdio()) {
            (Some(http), _) => {
                let pending = Arc::new(Self::new(upstream, None));
                let (message, session_id) = streamable::initialize(http, body, &pending).await?;
                let mut link = Self::new(upstream, None);
                link.session_id = session_id;
                link.read(&message)?;
                link
            }
            (None, Some(stdio)) => {
                let child = stdio.child(capabilities)?;
                let (version, initialized) = child.initialize(body).await?;
                let mut link = Self::new(upstream, Some(child));
                link.agree(&version)?;
                link.initialized = initialized;
                link.touch();
                return Ok(Arc::new(link));
            }
            (None, None) => return Err(UpstreamError::Protocol("no transport".to_owned())),
        };
        link.touch();
        let link = Arc::new(link);
        let initialized = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        upstream.tell(initialized, &Sending { link: Some(&link), ..Sending::default() }).await?;
        Ok(link)
    }

    /// The server says that it has ended this.
    pub(crate) fn lose(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// A server that keeps no session has none that ends.
    fn tell_of_the_end(&self) {
        if self.initialized.is_empty() || self.session_id.is_none() && self.child.is_none() {
            return;
        }
        self.watcher.0.session_ended(SessionEnded {
            server: Some(&self.server),
            version: self.version.map_or("2024-11-05", Version::as_str),
            transport: if self.child.is_some() { "pipe" } else { "tcp" },
            error: self.gone.load(Ordering::Relaxed).then_some("session_gone"),
            lasted: self.started.elapsed(),
        });
    }

    fn read(&mut self, message: &Message) -> Result<(), UpstreamError> {
        if message.kind() != Kind::Response {
            return Err(UpstreamError::Protocol("`initialize` was refused".to_owned()));
        }
        self.agree(&message.param_str("protocolVersion").unwrap_or_default())?;
        message.params().unwrap_or("{}").clone_into(&mut self.initialized);
        Ok(())
    }

    fn agree(&mut self, version: &str) -> Result<(), UpstreamError> {
        // A server of 2024-11-05 that speaks Streamable HTTP or stdio differs in nothing that is used here.
        self.version = match Version::parse(version) {
            Some(version) => Some(version),
            None if version == "2024-11-05" => None,
            None => return Err(UpstreamError::Protocol("it speaks no revision that Remit speaks".to_owned())),
        };
        Ok(())
    }

    /// The revision that was agreed on; `None` while it is being opened, and for 2024-11-05.
    pub(crate) fn version(&self) -> Option<Version> {
        self.version
    }

    /// The session's id, if the server gave one.
    pub(crate) fn session_id(&self) -> Option<&HeaderValue> {
        self.session_id.as_ref()
    }

    /// A request id that was not used on this session.
    pub(crate) fn next_id(&self) -> String {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        match &self.child {
            Some(child) => child.next_id().to_string(),
            None => number.to_string(),
        }
    }

    /// Remembers that it was used.
    pub(crate) fn touch(&self) {
        self.used_ms.store(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn unused_since(&self) -> Instant {
        self.started + Duration::from_millis(self.used_ms.load(Ordering::Relaxed))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tell_of_the_end();
        let (Some(upstream), Some(id)) = (self.upstream.upgrade(), self.session_id.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let version = self.version;
        runtime.spawn(async move {
            let mut link = Self::new(&upstream, None);
            link.version = version;
            link.session_id = Some(id);
            let link = Arc::new(link);
            if let Some(http) = upstream.http() {
                let _ = tokio::time::timeout(Duration::from_secs(5), http.delete(&link)).await;
            }
            // It was ended just now: nothing is left to end.
            if let Some(mut link) = Arc::into_inner(link) {
                link.session_id = None;
            }
        });
    }
}

/// Drops the longest unused session when there are too many.
pub(crate) fn make_room(links: &mut HashMap<String, Arc<Link>>) {
    while links.len() >= LINKS_MAX {
        let Some(oldest) = links.iter().min_by_key(|(_, link)| link.unused_since()).map(|(key, _)| key.clone()) else { return };
        links.remove(&oldest);
    }
}
