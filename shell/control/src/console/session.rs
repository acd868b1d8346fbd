//! Sessions of the console and the links that open it. Of what a browser holds only the digest is in memory; all of it ends with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{ACCEPT, COOKIE};
use http::{HeaderMap, HeaderName};
use remit_kernel::assume::WebIdentity;
use remit_kernel::operate::role_taken;
use remit_kernel::{Origin, Session, SessionOf};
use remit_mcp::canonical::{hex, sha256};
use remit_model::{CONSOLE_SESSION_SECS_MAX, Person, RoleKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use zeroize::Zeroizing;

use super::events::STREAMS_MAX;
use crate::caller::Caller;
use crate::operator::Operator;

/// How long a link can be used, in seconds.
pub(crate) const LINK_SECS: u64 = 10 * 60;
/// How long a person may take to sign in at the provider, in seconds.
pub(super) const SIGN_IN_SECS: u64 = 10 * 60;
/// How long a session lasts that nobody uses, in seconds.
const IDLE_SECS: u64 = 60 * 60;
/// The most sessions at once: of more the one that was idle for longest ends.
const SESSIONS_MAX: usize = 1_000;
/// The most links that wait to be used.
const LINKS_MAX: usize = 16;
/// The longest value of a cookie that is looked at, in bytes.
const COOKIE_BYTES_MAX: usize = 128;

/// What the script says of questions that nobody asked it.
const LIVE: HeaderName = HeaderName::from_static("x-remit-live");

/// Whose session it is.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) person: Person,
    /// For whom the provider vouched, and which role they took; without it the session is the machine's administrator's.
    pub(crate) vouched: Option<(WebIdentity, Option<RoleKey>)>,
}

#[derive(Debug)]
struct Kept {
    holder: Holder,
    began_secs: u64,
    seen_secs: u64,
    ends_secs: u64,
}

impl Kept {
    fn is_alive(&self, now_secs: u64) -> bool {
        now_secs < self.ends_secs && now_secs < self.seen_secs.saturating_add(IDLE_SECS)
    }
}

#[derive(Debug)]
struct Link {
    digest: [u8; 32],
    by: String,
    ends_secs: u64,
}

/// What the console remembers.
#[derive(Debug)]
pub(crate) struct Console {
    /// Whether browsers come by TLS.
    pub(crate) secure: bool,
    sessions: Mutex<HashMap<[u8; 32], Kept>>,
    links: Mutex<Vec<Link>>,
    closing: watch::Sender<bool>,
    streams: Arc<Semaphore>,
}

/// A session that a request belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Who asks, and in whose right.
    pub(crate) caller: Caller,
    pub(crate) holder: Holder,
    pub(crate) ends_secs: u64,
    /// What forms of this session carry: made of its id, so that only its own pages know it.
    pub(crate) csrf: String,
}

impl Found {
    /// Whether this is what the session's forms carry.
    pub(crate) fn csrf_is(&self, shown: &[u8]) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), shown).is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A random text of 256 bits; `None` if the system has no randomness to give.
pub(super) fn secret() -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).ok()?;
    Some(Zeroizing::new(hex(&*bytes)))
}

/// What a browser's secret is remembered by.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    sha256(secret.as_bytes())
}

fn csrf(id: &str) -> String {
    hex(&sha256(format!("remit console form\n{id}").as_bytes()))
}

/// The value of a cookie; the first one if a browser sends several.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok()).flat_map(|header| header.split(';'));
    let value = all.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)?;
    (value.len() <= COOKIE_BYTES_MAX).then_some(value)
}

/// Whether a page asks without its person's doing.
fn by_itself(headers: &HeaderMap) -> bool {
    headers.contains_key(LIVE) || headers.get(ACCEPT).is_some_and(|kind| kind.as_bytes() == b"text/event-stream")
}

impl Console {
    pub(crate) fn new(secure: bool) -> Self {
        Self {
            secure,
            sessions: Mutex::default(),
            links: Mutex::default(),
            closing: watch::Sender::new(false),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    /// The session's cookie. By TLS its name makes browsers refuse it from any other host and path (RFC 6265bis, section 4.1.3.2).
    pub(super) fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-remit_console" } else { "remit_console" }
    }

    /// The cookie of a sign-in that is under way.
    pub(super) fn sign_in_cookie_name(&self) -> &'static str {
        if self.secure { "__Host-remit_sign_in" } else { "remit_sign_in" }
    }

    /// A cookie's text, as `Set-Cookie` takes it.
    pub(super) fn cookie_text(&self, name: &str, value: &str, secs: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={secs}; HttpOnly; SameSite=Lax{secure}")
    }

    /// Makes a link: what follows `#` in its address.
    pub(crate) fn link(&self, by: &str, now_secs: u64) -> Option<Zeroizing<String>> {
        let code = secret()?;
        let mut links = lock(&self.links);
        links.retain(|link| now_secs < link.ends_secs);
        if links.len() >= LINKS_MAX {
            return None;
        }
        links.push(Link { digest: digest(&code), by: by.to_owned(), ends_secs: now_secs.saturating_add(LINK_SECS) });
        Some(code)
    }

    /// Uses a link up; answers who made it.
    pub(super) fn link_used(&self, code: &str, now_secs: u64) -> Option<String> {
        let shown = digest(code);
        let mut links = lock(&self.links);
        links.retain(|link| now_secs < link.ends_secs);
        let at = links.iter().position(|link| verify_slices_are_equal(&link.digest, &shown).is_ok())?;
        Some(links.swap_remove(at).by)
    }

    /// Begins a session under an id that nobody knew before; answers the id and how long it lasts at most.
    pub(super) fn begin(&self, holder: Holder, secs_max: u64, now_secs: u64) -> Option<(Zeroizing<String>, u64)> {
        let id = secret()?;
        let secs = secs_max.min(CONSOLE_SESSION_SECS_MAX);
        let kept = Kept { holder, began_secs: now_secs, seen_secs: now_secs, ends_secs: now_secs.saturating_add(secs) };
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, session| session.is_alive(now_secs));
        if sessions.len() >= SESSIONS_MAX
            && let Some(idle) = sessions.iter().min_by_key(|(_, session)| session.seen_secs).map(|(id, _)| *id)
        {
            sessions.remove(&idle);
        }
        sessions.insert(digest(&id), kept);
        Some((id, secs))
    }

    /// Ends the session that a browser shows.
    pub(super) fn end(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers, self.cookie_name()) {
            lock(&self.sessions).remove(&digest(id));
        }
    }

    /// The session that a browser shows, if it is alive and its holder may still have it. With every request the role's trust policy, the
    /// configuration and what was revoked are looked at again.
    pub(crate) fn caller(&self, operator: &Operator, headers: &HeaderMap, origin: &Origin) -> Option<Found> {
        let id = cookie(headers, self.cookie_name())?;
        let now_secs = (operator.now_secs)();
        let key = digest(id);
        let (holder, began_secs, ends_secs) = {
            let mut sessions = lock(&self.sessions);
            let alive = sessions.get_mut(&key).filter(|session| session.is_alive(now_secs));
            let Some(session) = alive else {
                sessions.remove(&key);
                return None;
            };
            // What a page asks by itself, so as to stay up to date, is no use of it.
            if !by_itself(headers) {
                session.seen_secs = now_secs;
            }
            (session.holder.clone(), session.began_secs, session.ends_secs)
        };
        let revocations = operator.plane.revocations();
        let name = hex(key.get(..8)?);
        let person = holder.person.clone();
        let role = holder.vouched.as_ref().and_then(|(_, role)| role.as_ref());
        if revocations.find(&[&name], None, role, began_secs).is_some() {
            lock(&self.sessions).remove(&key);
            return None;
        }
        let caller = match &holder.vouched {
            None => Caller::administrator(person),
            Some((_, None)) => Caller::nobody(person),
            Some((identity, Some(role))) => {
                let snapshot = operator.plane.snapshot();
                let console = snapshot.organization.console.as_ref();
                let console = console
                    .filter(|console| console.sign_in.as_ref().is_some_and(|sign_in| sign_in.provider() == identity.provider));
                let taken = console
                    .and_then(|console| role_taken(&snapshot, console, role, identity, &person.id, origin, began_secs))
                    .filter(|taken| now_secs < taken.expires_at_secs);
                match taken {
                    None => Caller::nobody(person),
                    Some(taken) => {
                        let session = Session {
                            id: name,
                            who: SessionOf::Role(role.clone()),
                            name: taken.name,
                            issued_at_secs: began_secs,
                            expires_at_secs: ends_secs.min(taken.expires_at_secs),
                            chained: false,
                            tags: taken.tags,
                            source_identity: None,
                            policies: Vec::new(),
                            policy_documents: Vec::new(),
                            user: Some(person.id.clone()),
                            via: Vec::new(),
                        };
                        Caller::in_role(person, session, origin.clone())
                    }
                }
            }
        };
        Some(Found { caller, holder, ends_secs, csrf: csrf(id) })
    }

    /// A place for one more stream, if there is one; given back when it is dropped.
    pub(super) fn stream_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// Tells streams when they are to end.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Ends the streams.
    pub(crate) fn close_streams(&self) {
        self.closing.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use remit_model::Proof;

    use super::*;

    fn holder() -> Holder {
        Holder { person: Person { id: "ana".into(), proof: Proof::Token }, vouched: None }
    }

    fn shown(console: &Console, id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("other=1; {}={id}", console.cookie_name()).parse().unwrap());
        headers
    }

    #[test]
    fn a_link_is_good_once_and_for_ten_minutes() {
        let console = Console::new(false);
        let code = console.link("ana", 100).unwrap();
        assert_eq!(console.link_used("0".repeat(64).as_str(), 100), None);
        assert_eq!(console.link_used(&code, 100 + LINK_SECS - 1), Some("ana".into()));
        assert_eq!(console.link_used(&code, 101), None, "it was used");
        let late = console.link("ana", 100).unwrap();
        assert_eq!(console.link_used(&late, 100 + LINK_SECS), None);
        for _ in 0..LINKS_MAX {
            assert!(console.link("ana", 5_000).is_some());
        }
        assert!(console.link("ana", 5_000).is_none(), "bounded");
        assert!(console.link("ana", 5_000 + LINK_SECS).is_some(), "old ones make room");
    }

    #[test]
    fn sessions_are_bounded_and_end() {
        let console = Console::new(true);
        assert!(console.cookie_text(console.cookie_name(), "x", 5).contains("; HttpOnly; SameSite=Lax; Secure"));
        let (first, secs) = console.begin(holder(), u64::MAX, 0).unwrap();
        assert_eq!(secs, CONSOLE_SESSION_SECS_MAX);
        let alive = |id: &str, now: u64| lock(&console.sessions).get(&digest(id)).is_some_and(|kept| kept.is_alive(now));
        assert!(alive(&first, IDLE_SECS - 1) && !alive(&first, IDLE_SECS), "idle");
        for n in 0..SESSIONS_MAX {
            console.begin(holder(), 1_000, 1 + u64::try_from(n).unwrap() / 500).unwrap();
        }
        assert_eq!(lock(&console.sessions).len(), SESSIONS_MAX);
        assert!(!alive(&first, 1), "the one that was idle for longest made room");
        let (id, _) = console.begin(holder(), 10, 5).unwrap();
        assert!(alive(&id, 14) && !alive(&id, 15));
        console.end(&shown(&console, &id));
        assert!(!alive(&id, 6));
    }

    #[test]
    fn the_token_of_forms_is_the_sessions_own() {
        assert_ne!(csrf("a"), csrf("b"));
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("remit_console={}", "x".repeat(4_000)).parse().unwrap());
        assert_eq!(cookie(&headers, "remit_console"), None, "no such id was ever given");
    }
}
