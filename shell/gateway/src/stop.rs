//! Calls that end before their answer: stopped by an operator, cancelled or given up by their client; and what the server hears of it.

use std::sync::Arc;

use bytes::Bytes;
use remit_kernel::{Denial, Principal, SpaceView, ToolView};

use crate::Inner;
use crate::call::Caller;
use crate::upstream::{Link, Sending, Upstream};

/// Watches whether a call that is under way is stopped.
#[derive(Debug)]
pub(crate) struct Stop {
    changed: tokio::sync::watch::Receiver<()>,
    gateway: Arc<Inner>,
    principal: Arc<Principal>,
    space: Arc<SpaceView>,
    upstream: Arc<Upstream>,
    tool: Option<Arc<ToolView>>,
}

impl Stop {
    pub(crate) fn of(caller: &Caller, upstream: &Arc<Upstream>, tool: Option<&Arc<ToolView>>) -> Self {
        Self {
            changed: caller.gateway.revoked.subscribe(),
            gateway: Arc::clone(&caller.gateway),
            principal: Arc::clone(&caller.principal),
            space: Arc::clone(&caller.space),
            upstream: Arc::clone(upstream),
            tool: tool.map(Arc::clone),
        }
    }

    /// Resolves when who calls, or what is called, is suspended or revoked.
    pub(crate) async fn stopped(&mut self) -> Denial {
        loop {
            self.changed.borrow_and_update();
            let (space, tool) = (&self.space.space, self.tool.as_ref().map(|tool| tool.name.as_str()));
            let revocations = self.gateway.revocations.load_full();
            let cuts = revocations.cuts(&self.principal, space.role.as_ref(), space.id.as_str(), &self.upstream.key, tool);
            if let Some(denial) = cuts {
                return denial;
            }
            if self.changed.changed().await.is_err() {
                // The gateway itself ends.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Why a call ends before its server has answered.
pub(crate) enum Cut {
    /// Its client cancelled.
    Cancelled,
    /// It was stopped.
    Stopped(Box<Denial>),
}

/// A request that a server of the session era has not begun to answer. There a lost connection says nothing: if nobody waits any more,
/// the server is told so. A child process learns of it from its own exchange.
pub(crate) struct Unanswered {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) sent: Option<(Arc<Link>, String)>,
}

impl Unanswered {
    pub(crate) fn answered(mut self) {
        self.sent = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some((link, id)) = self.sent.take().filter(|(link, _)| link.child.is_none()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let upstream = Arc::clone(&self.upstream);
        runtime.spawn(async move {
            let sending = Sending { link: Some(&link), ..Sending::default() };
            let _ = upstream.tell(cancellation(&id), &sending).await;
        });
    }
}

pub(crate) fn cancellation(id: &str) -> Bytes {
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}"))
}
