//! What is looked after while the gateway serves: changes of files, what has been idle, keys, certificates; and the wish that it stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::output::{Failure, warn};
use crate::serve::Certificate;
use crate::up::World;
use crate::{connect, now_secs};

/// How long a burst of changes in the configuration directory may settle.
const SETTLE: Duration = Duration::from_millis(200);
/// How often what has been idle is ended, keys are looked at, and certificates.
const TICK: Duration = Duration::from_secs(10);
/// How often it is looked for segments that are full and not archived.
const ARCHIVE: Duration = Duration::from_secs(2);
/// How often records whose time is over are looked for.
const SWEEP: Duration = Duration::from_hours(6);

/// Tells when the configuration directory changes. Reading it must not count as a change.
pub(crate) fn watch_config(config: Option<&Path>) -> Result<mpsc::Receiver<()>, Failure> {
    let (sender, changes) = mpsc::channel(1);
    let Some(directory) = config else {
        // Nothing to watch: the channel stays open and silent.
        std::mem::forget(sender);
        return Ok(changes);
    };
    let fault = |error: notify::Error| Failure::new(format!("`{}` can't be watched: {error}", directory.display()));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_))) {
            let _ = sender.try_send(());
        }
    })
    .map_err(fault)?;
    watcher.watch(directory, RecursiveMode::Recursive).map_err(fault)?;
    // The watcher lives as long as the process.
    std::mem::forget(watcher);
    Ok(changes)
}

/// What is looked after while the gateway serves.
pub(crate) async fn keep(
    world: Arc<World>,
    certificate: Option<Arc<Certificate>>,
    mut changes: mpsc::Receiver<()>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(TICK);
    let mut sweep = tokio::time::interval_at(tokio::time::Instant::now() + SWEEP / 72, SWEEP);
    let mut archive = tokio::time::interval(ARCHIVE);
    archive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let archiving = Arc::new(tokio::sync::Mutex::new(()));
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut written = certificate.as_ref().and_then(|certificate| certificate.written_at());
    loop {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => {
                    hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = asked_to_stop(&mut stop) => return,
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                let _ = changes.try_recv();
                let _ = world.reload_now().await;
            }
            () = hung_up => {
                let _ = world.reload_now().await;
            }
            _ = archive.tick() => {
                // One at a time: the next looks again.
                if let Ok(busy) = Arc::clone(&archiving).try_lock_owned() {
                    let world = Arc::clone(&world);
                    tokio::spawn(async move {
                        world.archive_when_due().await;
                        drop(busy);
                    });
                }
            }
            _ = sweep.tick() => {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.sweep_when_due().await });
            }
            _ = tick.tick() => {
                world.gateway.sweep();
                world.gateway.approvals_tick().await;
                connect::record_ended(&world.credentials, &world.gateway).await;
                if let Ok(true) = world.authority.rotate_if_due(now_secs()) {
                    world.authenticator.invalidate();
                }
                if let Some(certificate) = &certificate {
                    let now = certificate.written_at();
                    if now.is_some() && now != written {
                        match certificate.reload() {
                            Ok(()) => written = now,
                            Err(why) => warn(&format!("the certificate was not taken; the one in use stays: {why}")),
                        }
                    }
                }
            }
        }
    }
}

/// Resolves when the gateway stops.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The signals by which somebody wants the gateway to stop: heard from when they are made.
pub(crate) struct Stops([Option<Signal>; 2]);

impl Stops {
    pub(crate) fn hear() -> Self {
        Self([SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok()))
    }

    /// Waits until somebody does.
    pub(crate) async fn stopped(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        let heard = |signal| async {
            let signal: &mut Option<Signal> = signal;
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = heard(terminate) => {}
            () = heard(interrupt) => {}
        }
    }
}
