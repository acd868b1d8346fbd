//! What servers offer: asked at registration and whenever a server says that it has changed, compared with the pins, and put into a new
//! snapshot. One task a server; a server that is away is asked again, ever more slowly, and hurts nobody else.

use std::sync::Arc;
use std::time::Duration;

use remit_kernel::catalogue::Listed;
use remit_kernel::definitions::{self, FIRST_REGISTRATION, Gravest, INSTRUCTIONS, instructions_pin};
use remit_kernel::{Catalogue, PinKey, ServerCatalogue};
use remit_mcp::json::quote;
use remit_mcp::{Era, Kind, Message};
use remit_model::ServerKey;
use serde_json::value::RawValue;

use crate::listen::{ListKind, list_changed};
use crate::session::lock;
use crate::upstream::{Incoming, Link, Reply, Sending, Upstream, UpstreamError, legacy_request, modern_request};
use crate::{Inner, ServerState};

/// The shortest time between two attempts.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// The most pages of one list.
const PAGES_MAX: usize = 100;
/// The most entries of one list.
const ENTRIES_MAX: usize = 10_000;
/// How long to wait for further changes before a list is read again.
const SETTLE: Duration = Duration::from_millis(20);

/// Keeps the catalogue of one server true, until it is aborted.
pub(crate) async fn run(gateway: Arc<Inner>, upstream: Arc<Upstream>) {
    let mut retry = RETRY_MIN;
    // Whoever changes how it stands asks again.
    if !gateway.is_asked(&upstream.key) {
        upstream.stop();
        return;
    }
    loop {
        match watched(&gateway, &upstream).await {
            Ok(()) => retry = RETRY_MIN,
            Err(error) => {
                gateway.server_state(&upstream.key, ServerState::Away(error.to_string()));
                upstream.forget();
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
        tokio::time::sleep(retry).await;
    }
}

/// Reads everything once, then again whenever it changes; ends when the server's stream does.
async fn watched(gateway: &Arc<Inner>, upstream: &Arc<Upstream>) -> Result<(), UpstreamError> {
    let era = upstream.era(Era::Modern).await?;
    let link = match era {
        Era::Modern => None,
        Era::Legacy => Some(Link::open(upstream, "{}").await?),
    };
    // The stream is opened before the lists are read, so that no change falls between the two.
    let incoming = open_stream(upstream, link.as_ref()).await?;
    let live = read(upstream, link.as_ref()).await?;
    gateway.learned(upstream, live).await;
    gateway.server_state(&upstream.key, ServerState::Ready(era));
    gateway.note_sandbox(upstream).await;
    let Some(mut incoming) = incoming else {
        return poll(gateway, upstream, link.as_ref()).await;
    };
    loop {
        let Some(message) = incoming.next_patiently().await? else { return Ok(()) };
        answer_ping(upstream, link.as_ref(), &message).await;
        let Some(kind) = ListKind::of(message.method()) else { continue };
        let mut kinds = vec![kind];
        // Changes come in bursts: one reading serves them all.
        while let Ok(next) = tokio::time::timeout(SETTLE, incoming.next_patiently()).await {
            let Some(message) = next? else { break };
            answer_ping(upstream, link.as_ref(), &message).await;
            kinds.extend(ListKind::of(message.method()).filter(|kind| !kinds.contains(kind)));
        }
        let live = read(upstream, link.as_ref()).await?;
        gateway.learned(upstream, live).await;
        for kind in kinds {
            list_changed(gateway, &upstream.key, kind);
        }
    }
}

async fn answer_ping(upstream: &Arc<Upstream>, link: Option<&Arc<Link>>, message: &Message) {
    if message.kind() == Kind::Request && message.method() == "ping" {
        let pong = remit_mcp::error::result_answer(message.id().unwrap_or("null"), "{}");
        let _ = upstream.tell(pong.into(), &Sending { link, ..Sending::default() }).await;
    }
}

/// A server without a stream is asked from time to time.
async fn poll(gateway: &Arc<Inner>, upstream: &Arc<Upstream>, link: Option<&Arc<Link>>) -> Result<(), UpstreamError> {
    loop {
        tokio::time::sleep(gateway.limits.poll).await;
        let live = read(upstream, link).await?;
        for kind in gateway.learned(upstream, live).await {
            list_changed(gateway, &upstream.key, kind);
        }
    }
}

async fn open_stream(upstream: &Arc<Upstream>, link: Option<&Arc<Link>>) -> Result<Option<Incoming>, UpstreamError> {
    let Some(link) = link else {
        let filter = ",\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourcesListChanged\":true}";
        let body = modern_request("subscriptions/listen", "{}", filter);
        let sending = Sending { method: "subscriptions/listen", ..Sending::default() };
        return match upstream.request(body, &sending).await {
            Ok(Reply::Stream(incoming)) => Ok(Some(incoming)),
            Ok(Reply::Whole(_)) | Err(UpstreamError::Status(_) | UpstreamError::Protocol(_) | UpstreamError::Timeout) => Ok(None),
            Err(error) => Err(error),
        };
    };
    match upstream.listen(link).await {
        Ok(incoming) => Ok(incoming),
        Err(UpstreamError::Status(_) | UpstreamError::Protocol(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Everything that the server offers.
async fn read(upstream: &Arc<Upstream>, link: Option<&Arc<Link>>) -> Result<ServerCatalogue, UpstreamError> {
    let about = match link {
        Some(link) => link.initialized.clone(),
        None => upstream.discover().await?,
    };
    let about: serde_json::Value = serde_json::from_str(&about).unwrap_or_default();
    let capabilities = about.get("capabilities").cloned().unwrap_or_else(|| serde_json::json!({}));
    let offers = |name: &str| capabilities.get(name).is_some();
    let mut live = ServerCatalogue {
        capabilities: capabilities.to_string(),
        instructions: about.get("instructions").and_then(serde_json::Value::as_str).map(str::to_owned),
        ..ServerCatalogue::default()
    };
    if offers("tools") {
        live.tools = all(upstream, link, "tools/list", "tools").await?.into_iter().map(Into::into).collect();
    }
    if offers("prompts") {
        live.prompts = listed(all(upstream, link, "prompts/list", "prompts").await?, "name");
    }
    if offers("resources") {
        live.resources = listed(all(upstream, link, "resources/list", "resources").await?, "uri");
        // Templates are optional even where resources are offered.
        live.templates = match all(upstream, link, "resources/templates/list", "resourceTemplates").await {
            Ok(templates) => listed(templates, "uriTemplate"),
            Err(UpstreamError::Protocol(_) | UpstreamError::Status(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
    }
    Ok(live)
}

fn listed(entries: Vec<String>, name: &str) -> Vec<Listed> {
    let named = |json: String| {
        let value: serde_json::Value = serde_json::from_str(&json).ok()?;
        let name = value.get(name)?.as_str()?.to_owned();
        remit_mcp::json::scan(json.as_bytes(), remit_mcp::json::Limits::default()).ok()?;
        Some(Listed { name, json: json.into() })
    };
    entries.into_iter().filter_map(named).collect()
}

/// Every page of a list; each entry as the server wrote it.
async fn all(upstream: &Arc<Upstream>, link: Option<&Arc<Link>>, method: &str, key: &str) -> Result<Vec<String>, UpstreamError> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let at = cursor.as_ref().map(|cursor| format!("\"cursor\":{}", quote(cursor)));
        let body = match link {
            Some(link) => legacy_request(&link.next_id(), method, &format!("{{{}}}", at.unwrap_or_default())),
            None => modern_request(method, "{}", &at.map(|at| format!(",{at}")).unwrap_or_default()),
        };
        let answer = upstream.response(body, &Sending { method, link, ..Sending::default() }).await?;
        if answer.kind() == Kind::Error {
            return Err(UpstreamError::Protocol(format!("`{method}` was refused")));
        }
        let page = answer.param(key).unwrap_or("[]");
        let page: Vec<&RawValue> =
            serde_json::from_str(page).map_err(|_| UpstreamError::Protocol(format!("`{method}` answers no list")))?;
        entries.extend(page.into_iter().map(|entry| entry.get().to_owned()));
        if entries.len() > ENTRIES_MAX {
            return Err(UpstreamError::Protocol(format!("`{method}` lists more than {ENTRIES_MAX} entries")));
        }
        let next = answer.param_str("nextCursor").map(std::borrow::Cow::into_owned);
        if next.is_none() {
            return Ok(entries);
        }
        if next == cursor {
            return Err(UpstreamError::Protocol(format!("`{method}` answers the same cursor again")));
        }
        cursor = next;
    }
    Err(UpstreamError::Protocol(format!("`{method}` has more than {PAGES_MAX} pages")))
}

impl Inner {
    /// Takes what a server offers into the catalogue, pins what is new at its first registration, and puts a new snapshot into effect.
    /// Answers which lists have changed.
    pub(crate) async fn learned(self: &Arc<Self>, upstream: &Arc<Upstream>, live: ServerCatalogue) -> Vec<ListKind> {
        let now_secs = crate::clock::now_ms() / 1000;
        let key = upstream.key.clone();
        // What servers say is scanned together, so that of two that come at once the later one is seen beside the earlier.
        let learning = self.learning.lock().await;
        let (changed, known, mut offered, before) = {
            let registry = lock(&self.registry);
            let old = registry.catalogue.servers.get(&key);
            let known = registry.catalogue.pins.keys().any(|pin| pin.server == key) || registry.registered.contains(&key);
            let offered = Catalogue { servers: registry.catalogue.servers.clone(), ..Catalogue::default() };
            (changes(old.map(AsRef::as_ref), &live), known, offered, registry.findings.clone())
        };
        if changed.is_empty() {
            return changed;
        }
        let live = Arc::new(live);
        offered.servers.insert(key.clone(), Arc::clone(&live));
        let offered_keys: Vec<ServerKey> = offered.servers.keys().cloned().collect();
        let found = if changed.contains(&ListKind::Tools) {
            // What can't be scanned isn't taken in.
            let scanned = tokio::task::spawn_blocking(move || definitions::findings(&offered)).await;
            let Ok(found) = scanned else { return Vec::new() };
            found
        } else {
            lock(&self.registry).definitions.clone()
        };
        let gravest = Gravest::of_all(offered_keys.iter(), &found);
        let new_pins = {
            let registry = lock(&self.registry);
            let admitted = registry.organization.findings_admitted(&key.account);
            let admits = |tool: &str| gravest.get(&key).is_none_or(|gravest| gravest.admits(admitted, tool));
            let mut pins = if known { Vec::new() } else { Catalogue::first_pins(&key, &live, &admits, now_secs) };
            // Instructions that nobody has looked at yet are accepted at first sight, whenever that is.
            let own = PinKey { server: key.clone(), tool: INSTRUCTIONS.to_owned() };
            if !registry.catalogue.pins.contains_key(&own) && admits(INSTRUCTIONS) {
                pins.push((own, instructions_pin(live.instructions.as_deref(), FIRST_REGISTRATION, now_secs)));
            }
            pins
        };
        // A pin that can't be kept is no pin: the tool stays quarantined.
        let kept = new_pins.is_empty() || self.pins.save(&new_pins).is_ok();
        let registered = self.pins.registered(&key).is_ok();
        {
            let mut registry = lock(&self.registry);
            if kept && registered {
                registry.catalogue.pins.extend(new_pins.iter().cloned());
                registry.registered.insert(key.clone());
            }
            registry.catalogue.servers.insert(key.clone(), live);
            registry.definitions = found;
            registry.catalogue.gravest = gravest;
        }
        drop(learning);
        self.rebuild().await;
        // That there are no instructions is accepted, too, and needn't be told.
        let named = new_pins.iter().filter(|(_, held)| kept && held.definition != "null");
        if named.clone().next().is_some() {
            let tools: Vec<serde_json::Value> =
                named.map(|(pin, held)| serde_json::json!({"tool": pin.tool, "digest": held.digest})).collect();
            let event = serde_json::json!({"server": key.to_string(), "by": FIRST_REGISTRATION, "tools": tools});
            let _ = self.recorder.event("tool_pin", event).await;
        }
        self.report_findings(&before).await;
        changed
    }

    /// Records tools that have become quarantined or unfit.
    async fn report_findings(&self, before: &[String]) {
        let now = self.quarantine();
        lock(&self.registry).findings.clone_from(&now);
        for finding in now.iter().filter(|finding| !before.contains(finding)) {
            let _ = self.recorder.event("tool_quarantine", serde_json::json!({"finding": finding})).await;
        }
    }
}

fn changes(old: Option<&ServerCatalogue>, live: &ServerCatalogue) -> Vec<ListKind> {
    let Some(old) = old else { return vec![ListKind::Tools, ListKind::Prompts, ListKind::Resources] };
    let mut kinds = Vec::new();
    if old.tools != live.tools || old.capabilities != live.capabilities || old.instructions != live.instructions {
        kinds.push(ListKind::Tools);
    }
    if old.prompts != live.prompts {
        kinds.push(ListKind::Prompts);
    }
    if old.resources != live.resources || old.templates != live.templates {
        kinds.push(ListKind::Resources);
    }
    kinds
}
