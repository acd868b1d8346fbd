//! Snapshots are compiled beside the calls: on a thread of their own, under no lock that a call takes. A large policy set may take seconds,
//! in which calls are decided under the snapshot before.

use std::sync::Arc;

use remit_kernel::{Catalogue, Snapshot};
use remit_model::Organization;

use crate::observe::Gauge;
use crate::session::lock;
use crate::{Inner, Registry, State};

/// What a snapshot is made of.
pub(crate) struct Parts {
    before: Arc<Snapshot>,
    version: u64,
    organization: Arc<Organization>,
    catalogue: Catalogue,
    /// The digest of the configuration's files.
    configuration: String,
}

type Work = Arc<dyn Fn(Parts) -> Snapshot + Send + Sync>;

/// Lets one snapshot be compiled at a time, from what is known when its turn has come to where it takes effect: so a later one is never
/// replaced by an earlier one.
pub(crate) struct Compiler {
    turn: tokio::sync::Mutex<()>,
    work: Work,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            work: Arc::new(|parts: Parts| {
                Snapshot::compile_after(Some(&parts.before), parts.version, parts.organization, &parts.catalogue)
            }),
        }
    }
}

/// A snapshot whose turn it still is.
pub(crate) struct Compiled<'a> {
    snapshot: Snapshot,
    /// The digest of what its decisions share, if that is kept.
    basis: Option<Arc<str>>,
    /// The changes of the catalogue that it knows.
    changes: u64,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Inner {
    /// Compiles an organization with what is known of its servers; nothing takes effect yet.
    pub(crate) async fn compiled(&self, organization: Arc<Organization>, configuration: &str) -> Result<Compiled<'_>, String> {
        let turn = self.compiler.turn.lock().await;
        let (parts, changes) = {
            let registry = lock(&self.registry);
            (self.parts(&registry, organization, configuration), registry.changes)
        };
        let (snapshot, basis) = self.run(parts).await?;
        Ok(Compiled { snapshot, basis, changes, _turn: turn })
    }

    /// Puts what is known by now into effect, as soon as it is compiled. What was asked for while another was compiled is done once.
    pub(crate) async fn rebuild(self: &Arc<Self>) {
        let wanted = {
            let mut registry = lock(&self.registry);
            registry.changes += 1;
            registry.changes
        };
        let inner = Arc::clone(self);
        // Whoever asked may be given up meanwhile; what became known must take effect all the same.
        let _ = tokio::spawn(async move { inner.rebuilt(wanted).await }).await;
    }

    async fn rebuilt(&self, wanted: u64) {
        let turn = self.compiler.turn.lock().await;
        let (parts, changes) = {
            let registry = lock(&self.registry);
            if registry.changes_compiled >= wanted {
                return;
            }
            (self.parts(&registry, Arc::clone(&registry.organization), &registry.configuration), registry.changes)
        };
        let version = parts.version;
        // What can't be compiled is no reason to go on with what was true before: nothing is in effect then, and everything is denied.
        let nothing = || Snapshot::compile(version, Arc::default(), &Catalogue::default());
        let (snapshot, basis) = self.run(parts).await.unwrap_or_else(|_| (nothing(), None));
        self.swap(&mut lock(&self.registry), Compiled { snapshot, basis, changes, _turn: turn }, || ());
    }

    fn parts(&self, registry: &Registry, organization: Arc<Organization>, configuration: &str) -> Parts {
        let (before, catalogue) = (Arc::clone(&self.state.load().snapshot), registry.catalogue.clone());
        Parts { before, version: registry.version + 1, organization, catalogue, configuration: configuration.to_owned() }
    }

    async fn run(&self, parts: Parts) -> Result<(Snapshot, Option<Arc<str>>), String> {
        let (work, keeper) = (Arc::clone(&self.compiler.work), Arc::clone(&self.keeper));
        let both = move || {
            let basis = keeper.basis(&parts.configuration, &parts.catalogue);
            (work(parts), basis)
        };
        let done = tokio::task::spawn_blocking(both).await;
        done.map_err(|error| format!("the configuration could not be compiled: {error}"))
    }

    /// Puts a snapshot into effect, with the servers of the registry as they are. `taken` runs at the last moment.
    pub(crate) fn swap(&self, registry: &mut Registry, compiled: Compiled<'_>, taken: impl FnOnce()) -> u64 {
        let Compiled { snapshot, basis, changes, _turn } = compiled;
        registry.version = snapshot.version;
        registry.changes_compiled = changes;
        let addresses =
            snapshot.spaces.keys().map(|space| (space.clone(), format!("{}/spaces/{space}/mcp", self.address).into())).collect();
        let state = State { snapshot: Arc::new(snapshot), upstreams: registry.upstreams.clone(), addresses, basis };
        taken();
        let before = self.state.swap(Arc::new(state));
        // To let go of a large one takes a while, too.
        tokio::task::spawn_blocking(move || drop(before));
        self.recorder.observer().gauge(Gauge::Snapshot(registry.version));
        registry.version
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use remit_journal::{Journal, SigningKey};
    use remit_kernel::{Fact, Identity, Pin, PinKey, Revocations};
    use remit_model::{AgentId, Credential, SecretRef, ServerKey};
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::upstream::{CredentialError, Credentials, Header};
    use crate::{
        Approvals, Authenticate, Boxed, Gateway, KeptPins, Observed, Observer, Options, Pins, PolicyFlip, SignedRequest,
    };

    /// Nobody, nothing and nowhere.
    struct None;

    impl Authenticate for None {
        fn authenticate<'a>(&'a self, _: Option<&'a str>, _: u64) -> Boxed<'a, Fact<Identity>> {
            Box::pin(async { Fact::Unknown("nobody".to_owned()) })
        }

        fn has_key(&self, _: &SignedRequest<'_>, _: u64) -> bool {
            false
        }

        fn signed(&self, _: &SignedRequest<'_>, _: u64) -> Fact<Identity> {
            Fact::Unknown("nobody".to_owned())
        }
    }

    impl Credentials for None {
        fn secret(&self, _: &SecretRef) -> Result<zeroize::Zeroizing<String>, CredentialError> {
            Ok(String::new().into())
        }

        fn header<'a>(
            &'a self,
            _: &'a ServerKey,
            _: &'a str,
            _: &'a Credential,
            _: Option<&'a str>,
        ) -> Boxed<'a, Result<Option<Header>, CredentialError>> {
            Box::pin(async { Ok(Option::None) })
        }
    }

    impl Pins for None {
        fn load(&self) -> Result<KeptPins, String> {
            Ok(KeptPins::default())
        }

        fn save(&self, _: &[(PinKey, Pin)]) -> Result<(), String> {
            Ok(())
        }

        fn registered(&self, _: &ServerKey) -> Result<(), String> {
            Ok(())
        }

        fn records(&self) -> Result<Vec<(ServerKey, remit_kernel::registry::Record)>, String> {
            Ok(Vec::new())
        }

        fn save_record(&self, _: &ServerKey, _: &remit_kernel::registry::Record) -> Result<(), String> {
            Ok(())
        }
    }

    impl Approvals for None {
        fn open(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
            Ok(Vec::new())
        }

        fn save(&self, _: &str, _: &[u8], _: bool) -> Result<(), String> {
            Ok(())
        }

        fn get(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(Option::None)
        }

        fn ended(&self, _: Option<&str>, _: usize) -> Result<Vec<(String, Vec<u8>)>, String> {
            Ok(Vec::new())
        }
    }

    impl crate::Trust for None {
        fn tiers(&self, _: &remit_model::TrustRules, _: &AgentId) -> Fact<Arc<remit_kernel::trust::Tiers>> {
            Fact::Unknown("nobody knows".to_owned())
        }
    }

    impl crate::AskGuardrails for None {
        fn ask<'a>(&'a self, asks: &'a [remit_kernel::Ask]) -> Boxed<'a, Vec<Result<Vec<u8>, String>>> {
            Box::pin(async { asks.iter().map(|_| Err("nobody is asked here".to_owned())).collect() })
        }
    }

    impl Observer for None {
        fn observed(&self, _: &Observed<'_>) {}

        fn session_ended(&self, _: crate::SessionEnded<'_>) {}

        fn gauge(&self, _: Gauge) {}

        fn policy_flip(&self, _: PolicyFlip<'_>) {}
        fn guardrail_asked(&self, _: bool) {}

        fn traces(&self) -> bool {
            false
        }
    }

    /// A gateway whose compiler says when it begins, and goes on when it is let.
    struct Held {
        gateway: Gateway,
        begun: UnboundedReceiver<u64>,
        on: std::sync::mpsc::Sender<()>,
        done: Arc<AtomicUsize>,
        _dir: tempfile::TempDir,
    }

    fn held(work: impl Fn(Parts) -> Snapshot + Send + Sync + 'static) -> Held {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(
            remit_journal::Options::new(dir.path(), "compile.example/log"),
            SigningKey::generate().unwrap(),
            |_, _| {},
        )
        .unwrap();
        let mut gateway = Gateway::new(Options {
            address: "http://localhost".to_owned(),
            limits: crate::Limits::default(),
            journal,
            observer: Arc::new(None),
            authenticate: Arc::new(None),
            credentials: Arc::new(None),
            pins: Arc::new(None),
            approvals: Arc::new(None),
            approval_pages: String::new(),
            history_key: [1; 32].into(),
            facts_dir: Option::None,
            space_keys_dir: dir.path().join("keys"),
            share_space_keys: Option::None,
            seal_key: [2; 32].into(),
            program: "remit".into(),
            forbidden: Vec::new(),
            tls: remit_egress::tls_config(),
            edge: crate::Edge { hosts: Vec::new(), origins: Vec::new(), loopback: true },
            anonymous_agent: Option::None,
            revocations: Revocations::default(),
            trust: Arc::new(None),
            ask_guardrails: Arc::new(None),
        })
        .unwrap();
        let (told, begun) = tokio::sync::mpsc::unbounded_channel();
        let (on, go) = std::sync::mpsc::channel();
        let (go, done) = (Mutex::new(go), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&done);
        Arc::get_mut(&mut gateway.inner).unwrap().compiler.work = Arc::new(move |parts| {
            told.send(parts.version).unwrap();
            // It ends by itself only where nobody could let it go on: then the tests below see that it isn't held.
            let _ = go.lock().unwrap().recv_timeout(Duration::from_secs(20));
            counted.fetch_add(1, Ordering::SeqCst);
            work(parts)
        });
        Held { gateway, begun, on, done, _dir: dir }
    }

    fn compiled(parts: Parts) -> Snapshot {
        (Compiler::default().work)(parts)
    }

    // One thread alone runs everything but what is compiled.
    #[tokio::test]
    async fn calls_are_decided_and_lists_answered_while_a_configuration_is_compiled() {
        let mut held = held(compiled);
        let gateway = held.gateway.clone();
        let applied = tokio::spawn(async move { gateway.apply(Organization::default(), serde_json::json!({}), || ()).await });
        assert_eq!(held.begun.recv().await, Some(1));
        let (decision, _) = held.gateway.explain("s", &AgentId::new("agent-1").unwrap(), "t", Option::None, Option::None);
        assert!(!decision.allows());
        assert_eq!((held.gateway.servers().len(), held.gateway.snapshot().version), (0, 0));
        assert!(held.gateway.catalogue().servers.is_empty());
        held.gateway.settled(Duration::from_secs(1)).await;
        assert_eq!(held.done.load(Ordering::SeqCst), 0, "all that was answered while it is compiled");
        held.on.send(()).unwrap();
        assert_eq!(applied.await.unwrap(), Ok(1));
        assert_eq!(held.gateway.snapshot().version, 1);
    }

    #[tokio::test]
    async fn changes_during_a_compilation_are_compiled_once_and_by_nobody_given_up() {
        let mut held = held(compiled);
        let inner = Arc::clone(&held.gateway.inner);
        let ask = || {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move { inner.rebuild().await })
        };
        let first = ask();
        assert_eq!(held.begun.recv().await, Some(1));
        let others = [ask(), ask(), ask()];
        while lock(&inner.registry).changes < 4 {
            tokio::task::yield_now().await;
        }
        first.abort();
        others.iter().for_each(tokio::task::JoinHandle::abort);
        held.on.send(()).unwrap();
        assert_eq!(held.begun.recv().await, Some(2), "what became known meanwhile is compiled");
        held.on.send(()).unwrap();
        inner.rebuilt(4).await;
        assert_eq!((held.gateway.snapshot().version, held.done.load(Ordering::SeqCst)), (2, 2));
        assert_eq!(lock(&inner.registry).changes_compiled, 4);
    }

    #[tokio::test]
    async fn what_cannot_be_compiled_leaves_nothing_allowed() {
        let mut held = held(|parts| if parts.version > 1 { panic!("it can't be compiled") } else { compiled(parts) });
        let id = "o-acme";
        let organization = Organization { id: id.to_owned(), ..Organization::default() };
        held.on.send(()).unwrap();
        assert_eq!(held.gateway.apply(organization, serde_json::json!({}), || ()).await, Ok(1));
        held.begun.recv().await;
        held.on.send(()).unwrap();
        let refused = held.gateway.apply(Organization::default(), serde_json::json!({}), || ()).await;
        assert!(refused.unwrap_err().contains("could not be compiled"));
        assert_eq!(held.gateway.snapshot().organization.id, id, "a new configuration doesn't take effect");
        held.on.send(()).unwrap();
        held.gateway.inner.rebuild().await;
        assert_ne!(held.gateway.snapshot().organization.id, id, "and what servers have become isn't left out");
    }
}
