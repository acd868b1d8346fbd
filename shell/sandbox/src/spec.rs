//! What a process is started with: written by Remit, read by the launcher.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use remit_model::SandboxProfile;
use serde::{Deserialize, Serialize};

/// The largest that may be sent, in bytes.
const BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Where a program is looked for when its environment has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the proxy to named hosts listens, on the loopback that the sandbox alone has.
pub const PROXY_PORT: u16 = 3128;

/// A program, its whole environment, and the profile that it runs under.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The program, by its whole path.
    pub program: PathBuf,
    /// Its name, as it was written, and its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment. It may hold secrets: so all of this goes through a pipe.
    pub env: Vec<(String, String)>,
    /// What it may do.
    pub profile: SandboxProfile,
    /// What no profile can grant: the folder of Remit's keys and journal, and what else only Remit may read.
    pub forbidden: Vec<PathBuf>,
    /// The process with which it ends.
    pub parent: Option<u32>,
}

impl Spec {
    /// How this command is started. `remit` is the program that stands for the word `remit`.
    ///
    /// # Errors
    ///
    /// The text says what is wrong: there is no such program, or no command.
    pub fn new(
        command: &[String],
        env: Vec<(String, String)>,
        profile: SandboxProfile,
        forbidden: Vec<PathBuf>,
        remit: &Path,
    ) -> Result<Self, String> {
        let name = command.first().ok_or("no command")?;
        let path = env.iter().find_map(|(key, value)| (key == "PATH").then_some(value.as_str()));
        let program = if name == "remit" { remit.to_owned() } else { find(name, path.unwrap_or(PATH))? };
        Ok(Self { program, arguments: command.to_vec(), env, profile, forbidden, parent: Some(std::process::id()) })
    }

    /// Writes it, with its length before it.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let length = u32::try_from(text.len()).ok().filter(|length| *length <= BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("command and environment are too large"))?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(&text)
    }

    /// Reads it, and not one byte more: what follows is the program's own input.
    pub(crate) fn read(from: &mut dyn Read) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > BYTES_MAX {
            return Err(io::Error::other("what was sent is too large"));
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        from.read_exact(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    }
}

fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    let given = Path::new(name);
    if given.is_absolute() {
        return if given.exists() { Ok(given.to_owned()) } else { Err(format!("there is no `{name}`")) };
    }
    if name.contains('/') {
        return Err(format!("`{name}` is no whole path: write it from the root"));
    }
    let fits = |file: &PathBuf| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let found = path.split(':').map(Path::new).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(fits);
    found.ok_or_else(|| format!("there is no `{name}` in {path}: write its whole path"))
}
