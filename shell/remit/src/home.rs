//! The data directory of a gateway: its keys, its store, its journal, and where it can be reached while it is up.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use remit_cluster::Active;
use remit_gateway::{KeptPins, Pins};
use remit_journal::SigningKey;
use remit_kernel::registry::Record;
use remit_kernel::{Pin, PinKey};
use remit_mcp::canonical::hex;
use remit_model::ServerKey;
use remit_store::{KeyError, MasterKey, Note, SqliteStore, Store};
use zeroize::Zeroizing;

use crate::cluster::{Share, StandsBy};
use crate::now_secs;
use crate::output::Failure;

/// The variable that holds the master key, base64, where it is not to lie in a file.
const MASTER_KEY_ENV: &str = "REMIT_MASTER_KEY";
/// The store's kind of record for pins.
const PIN_KIND: &str = "tool_pin";
/// The kind of the records of how servers stand in the registry.
const STANDING_KIND: &str = "server_status";

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
    /// Where other nodes have from what is written here, while this one is active.
    shared: Arc<OnceLock<Active>>,
}

/// Where a gateway that is up can be reached.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Running {
    pub(crate) gateway: String,
    pub(crate) control: String,
    pub(crate) token_endpoint: String,
    pub(crate) pid: u32,
    /// A certificate authority, or the very certificate, that the gateway's own is to be known by.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
}

impl Home {
    /// The directory; made, for its owner alone, if it isn't there.
    pub(crate) fn create(root: &Path) -> Result<Self, Failure> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|error| Failure::io(root, &error))?;
        let root = root.canonicalize().map_err(|error| Failure::io(root, &error))?;
        let home = Self { root, shared: Arc::default() };
        for directory in [home.journal(), home.root.join("agents")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(|error| Failure::io(&directory, &error))?;
        }
        Ok(home)
    }

    /// The directory of a gateway that has been up.
    pub(crate) fn existing(root: &Path) -> Result<Self, Failure> {
        if !root.join("journal").is_dir() {
            return Err(Failure::invalid(format!(
                "`{}` is no data directory of a gateway: name one with --data",
                root.display()
            )));
        }
        Ok(Self { root: root.to_owned(), shared: Arc::default() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The index of the journal's decisions: derived, made again where it is missing.
    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// How far each delivery is.
    pub(crate) fn deliveries(&self) -> PathBuf {
        self.root.join("deliveries")
    }

    /// The facts of decisions, each beside its entry.
    pub(crate) fn facts(&self) -> PathBuf {
        self.root.join("facts").join("calls")
    }

    /// What the facts of many decisions share.
    pub(crate) fn facts_shared(&self) -> PathBuf {
        self.root.join("facts").join("shared")
    }

    /// The key of each space.
    pub(crate) fn space_keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn journal_vkey(&self) -> PathBuf {
        self.root.join("journal.vkey")
    }

    /// What the journal's entries come to, so that a start needn't read all of them.
    pub(crate) fn recap(&self) -> PathBuf {
        self.root.join("journal.recap")
    }

    /// What is usual for agents, so that a start needn't learn it again.
    pub(crate) fn behaviour(&self) -> PathBuf {
        self.root.join("journal.behaviour")
    }

    /// The largest checkpoint that enough witnesses cosigned.
    pub(crate) fn cosigned(&self) -> PathBuf {
        self.root.join("journal.cosigned")
    }

    fn run_file(&self) -> PathBuf {
        self.root.join("run.json")
    }

    fn agent_secret_file(&self, agent: &str) -> PathBuf {
        self.root.join("agents").join(format!("{agent}.secret"))
    }

    /// The key that signs checkpoints; made on first use.
    pub(crate) fn journal_key(&self) -> Result<SigningKey, Failure> {
        let path = self.root.join("journal.key");
        let seed = random_file(&path)?;
        Ok(crate::audit::signing_key(&seed))
    }

    /// The key that seals state which clients carry.
    pub(crate) fn seal_key(&self) -> Result<Zeroizing<[u8; 32]>, Failure> {
        random_file(&self.root.join("seal.key"))
    }

    /// The key under which the journal keeps what temporal conditions look back on.
    pub(crate) fn history_key(&self) -> Result<Zeroizing<[u8; 32]>, Failure> {
        random_file(&self.root.join("history.key"))
    }

    /// The same, where it must be there already.
    pub(crate) fn existing_history_key(&self) -> Result<Zeroizing<[u8; 32]>, Failure> {
        let path = self.root.join("history.key");
        if !path.exists() {
            return Err(Failure::new(format!("`{}` is missing: without it nothing that was kept can be opened", path.display())));
        }
        self.history_key()
    }

    /// The operator's token; made on first use.
    pub(crate) fn operator_token(&self) -> Result<Zeroizing<String>, Failure> {
        let key = random_file(&self.root.join("operator.token"))?;
        Ok(Zeroizing::new(hex(&*key)))
    }

    /// How far a node of a cluster has followed it; the directory of a node has it.
    pub(crate) fn cluster_place(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    /// From now on other nodes have what is written here, before it is.
    pub(crate) fn share(&self, active: Active) {
        let _ = self.shared.set(active);
    }

    /// Where they have it from, if this node is the active one of several.
    pub(crate) fn shared(&self) -> Option<&Active> {
        self.shared.get()
    }

    /// The master key, where there is one already.
    pub(crate) fn master_key(&self) -> Result<Option<MasterKey>, Failure> {
        let key = match master_key_given() {
            None => {
                let path = self.master_key_file();
                path.exists().then(|| MasterKey::open(&path))
            }
            given => given,
        };
        key.transpose().map_err(|error| Failure::new(error.to_string()))
    }

    fn master_key_file(&self) -> PathBuf {
        self.root.join("master.key")
    }

    /// The store, under the master key.
    pub(crate) fn store(&self) -> Result<Arc<SqliteStore>, Failure> {
        let fault = |error: &dyn std::fmt::Display| Failure::new(format!("the store can't be opened: {error}"));
        let path = self.root.join("remit.db");
        let is_node = self.cluster_place().exists();
        if is_node && self.master_key()?.is_none() {
            return Err(Failure::invalid("this directory is a node's of a cluster: set REMIT_MASTER_KEY as its nodes have it"));
        }
        let store = match master_key_given() {
            Some(key) => SqliteStore::open(&path, key.map_err(|error| fault(&error))?),
            None => SqliteStore::open_with_key_file(&path, &self.master_key_file()),
        };
        let store = store.map_err(|error| fault(&error))?;
        if let Some(active) = self.shared() {
            store.replicate(Arc::new(Share::new(active.clone())));
        } else if is_node {
            store.replicate(Arc::new(StandsBy));
        }
        Ok(Arc::new(store))
    }

    /// Remembers where the gateway can be reached.
    pub(crate) fn set_running(&self, running: &Running) -> Result<(), Failure> {
        let text = serde_json::to_string(running).map_err(|error| Failure::new(error.to_string()))?;
        write_private(&self.run_file(), text.as_bytes())
    }

    pub(crate) fn clear_running(&self) {
        let _ = fs::remove_file(self.run_file());
    }

    /// Where the gateway can be reached.
    pub(crate) fn running(&self) -> Result<Running, Failure> {
        let path = self.run_file();
        let none = || {
            if self.cluster_place().exists() {
                "of this cluster's nodes the one here stands by, or isn't up: ask on the active one".to_owned()
            } else {
                format!("no gateway is up on `{}`: start one with `remit up`", self.root.display())
            }
        };
        let text = fs::read_to_string(&path).map_err(|_| Failure::new(none()))?;
        let running: Running =
            serde_json::from_str(&text).map_err(|error| Failure::new(format!("`{}`: {error}", path.display())))?;
        // A gateway that was killed left its file behind.
        // Where others' processes are hidden (hidepid), nobody can tell.
        let gone = Path::new("/proc/1").exists() && !Path::new("/proc").join(running.pid.to_string()).exists();
        if gone {
            return Err(Failure::new(format!("the gateway on `{}` has ended: start it with `remit up`", self.root.display())));
        }
        Ok(running)
    }

    /// Keeps an agent's new secret for the command line of this machine.
    pub(crate) fn keep_agent_secret(&self, agent: &str, secret: &str) -> Result<PathBuf, Failure> {
        let path = self.agent_secret_file(agent);
        write_private(&path, secret.as_bytes())?;
        Ok(path)
    }

    /// An agent's secret, if it was made here.
    pub(crate) fn agent_secret(&self, agent: &str) -> Result<Zeroizing<String>, Failure> {
        let path = self.agent_secret_file(agent);
        let text = fs::read_to_string(&path).map_err(|_| {
            Failure::invalid(format!(
                "no secret of `{agent}` is kept in `{}`: make one with `remit agent-secret {agent}`",
                path.display()
            ))
        })?;
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}

/// The master key that the environment holds, if it does.
fn master_key_given() -> Option<Result<MasterKey, KeyError>> {
    let text = Zeroizing::new(std::env::var(MASTER_KEY_ENV).ok()?);
    Some(MasterKey::from_base64(&text))
}

/// A new key, as its file holds it.
pub(crate) fn key_new() -> Result<(Zeroizing<[u8; 32]>, Zeroizing<String>), Failure> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| Failure::new("the system has no randomness"))?;
    let text = Zeroizing::new(hex(&*key));
    Ok((key, text))
}

/// Thirty-two random bytes that a file holds as hexadecimal; made on first use, for the owner alone.
pub(crate) fn random_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            let mode = fs::metadata(path).map_err(|error| Failure::io(path, &error))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(Failure::new(format!("`{}` can be read by others: `chmod 600` it", path.display())));
            }
            let fault = || Failure::new(format!("`{}` does not hold 64 hexadecimal digits", path.display()));
            bytes_of(text.trim()).ok_or_else(fault)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (key, text) = key_new()?;
            write_private(path, text.as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(Failure::io(path, &error)),
    }
}

/// Thirty-two bytes of 64 hexadecimal digits.
pub(crate) fn bytes_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    (text.len() == 64).then_some(bytes)
}

/// A short file that only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let fault = |error: std::io::Error| Failure::io(path, &error);
    let file = fs::File::open(path).map_err(fault)?;
    if file.metadata().map_err(fault)?.permissions().mode() & 0o077 != 0 {
        return Err(Failure::invalid(format!("`{}` can be read by others: `chmod 600` it", path.display())));
    }
    let mut text = Zeroizing::new(String::with_capacity(4096));
    file.take(4096).read_to_string(&mut text).map_err(fault)?;
    Ok(text)
}

/// Writes a new file for the owner alone; one that is there stays as it is.
pub(crate) fn write_new_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::io(path, &error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fault)
}

/// Writes a file for the owner alone, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::io(path, &error);
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(fault)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fault)?;
    fs::rename(&draft, path).map_err(fault)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(fault)
}

/// Pins in the store: one record a server, so that a server's pins change together.
pub(crate) struct StoredPins(pub(crate) Arc<SqliteStore>);

#[derive(serde::Serialize, serde::Deserialize, Default)]
struct PinRecord {
    server: Option<ServerKey>,
    tools: BTreeMap<String, PinText>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct PinText {
    digest: String,
    definition: String,
    accepted_by: String,
    accepted_at_secs: u64,
}

impl StoredPins {
    fn change(&self, server: &ServerKey, change: impl FnOnce(&mut PinRecord), author: &str, reason: &str) -> Result<(), String> {
        let key = server.to_string();
        let current = self.0.get(PIN_KIND, &key).map_err(|error| error.to_string())?;
        let mut record: PinRecord = match &current {
            Some(current) => serde_json::from_slice(&current.body).map_err(|error| error.to_string())?,
            None => PinRecord::default(),
        };
        record.server = Some(server.clone());
        change(&mut record);
        let body = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
        if current.as_ref().is_some_and(|current| current.body == body) {
            return Ok(());
        }
        let note = Note { author, reason, now_secs: now_secs() };
        self.0.put(PIN_KIND, &key, current.map(|current| current.version), &body, note).map_err(|error| error.to_string())?;
        Ok(())
    }
}

impl Pins for StoredPins {
    fn load(&self) -> Result<KeptPins, String> {
        let mut pins = Vec::new();
        let mut servers = Vec::new();
        for record in self.0.list(PIN_KIND).map_err(|error| error.to_string())? {
            let record: PinRecord = serde_json::from_slice(&record.body).map_err(|error| error.to_string())?;
            let Some(server) = record.server else { continue };
            for (tool, pin) in record.tools {
                let PinText { digest, definition, accepted_by, accepted_at_secs } = pin;
                pins.push((PinKey { server: server.clone(), tool }, Pin { digest, definition, accepted_by, accepted_at_secs }));
            }
            servers.push(server);
        }
        Ok((pins, servers))
    }

    fn save(&self, pins: &[(PinKey, Pin)]) -> Result<(), String> {
        let mut by_server: BTreeMap<&ServerKey, Vec<&(PinKey, Pin)>> = BTreeMap::new();
        for pin in pins {
            by_server.entry(&pin.0.server).or_default().push(pin);
        }
        for (server, pins) in by_server {
            let author = pins.first().map(|(_, pin)| pin.accepted_by.clone()).unwrap_or_default();
            let add = |record: &mut PinRecord| {
                for (key, pin) in pins {
                    let text = PinText {
                        digest: pin.digest.clone(),
                        definition: pin.definition.clone(),
                        accepted_by: pin.accepted_by.clone(),
                        accepted_at_secs: pin.accepted_at_secs,
                    };
                    record.tools.insert(key.tool.clone(), text);
                }
            };
            self.change(server, add, &author, "tool definitions accepted")?;
        }
        Ok(())
    }

    fn registered(&self, server: &ServerKey) -> Result<(), String> {
        self.change(server, |_| {}, "remit", "server registered")
    }

    fn records(&self) -> Result<Vec<(ServerKey, Record)>, String> {
        let read = |kept: remit_store::Record| serde_json::from_slice(&kept.body).map_err(|error| error.to_string());
        self.0.list(STANDING_KIND).map_err(|error| error.to_string())?.into_iter().map(read).collect()
    }

    fn save_record(&self, server: &ServerKey, record: &Record) -> Result<(), String> {
        let fault = |error: &dyn std::fmt::Display| error.to_string();
        let body = serde_json::to_vec(&(server, record)).map_err(|error| fault(&error))?;
        let before = self.0.get(STANDING_KIND, &server.to_string()).map_err(|error| fault(&error))?;
        let note = Note { author: &record.by, reason: &record.reason, now_secs: now_secs() };
        let version = before.map(|before| before.version);
        self.0.put(STANDING_KIND, &server.to_string(), version, &body, note).map_err(|error| fault(&error))?;
        Ok(())
    }
}
