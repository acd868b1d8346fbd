//! Acme with its AWS endpoint, and AWS's own clients in front of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::client::json;
use crate::gateway::{Place, Remit, Said};

pub(crate) const SPACE_ARN: &str = "arn:aws:aidevops:us-east-1:111122223333:agentspace/prod-sre";
pub(crate) const SPACE_ROLE: &str = "arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole";
pub(crate) const OPERATOR_ROLE: &str = "arn:aws:iam::111122223333:role/DevOpsAgentOperatorAppRole";
pub(crate) const SUPPORT_ROLE: &str = "arn:aws:iam::444455556666:role/DevOpsAgentSpaceRole";
pub(crate) const RILEY: &str = "arn:aws:iam::111122223333:user/riley";

/// AWS's clients: `awscli`, `boto3` and `mcp-proxy-for-aws`, in an environment of their own, because they need an older MCP SDK.
pub(crate) struct Peers {
    root: PathBuf,
}

impl Peers {
    /// Installs what isn't there, or isn't what the lock says; one process at a time.
    pub(crate) fn installed() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/aws");
        let peers = Self { root: Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-aws") };
        std::fs::create_dir_all(&peers.root).unwrap();
        let lock = std::fs::File::create(peers.root.join("lock")).unwrap();
        lock.lock().unwrap();
        for name in ["requirements.txt", "calls.py", "proxy.py"] {
            // Renamed into place: another test may be running it.
            let draft = peers.root.join(format!("{name}.draft"));
            std::fs::copy(source.join(name), &draft).unwrap();
            std::fs::rename(draft, peers.root.join(name)).unwrap();
        }
        python_environment(&peers.root, &source.join("requirements.txt"), &["--no-deps"]);
        peers
    }

    pub(crate) fn bin(&self, name: &str) -> PathBuf {
        self.root.join("venv/bin").join(name)
    }

    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Makes an environment of Python in a folder, `venv`, unless these requirements made the one that is there. Whoever calls holds the folder's
/// lock.
pub(crate) fn python_environment(root: &Path, requirements: &Path, options: &[&str]) {
    let wanted = std::fs::read_to_string(requirements).unwrap();
    let marker = root.join("installed");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return;
    }
    let requirements = requirements.canonicalize().unwrap();
    let pip = ["venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"];
    let installs = [&pip[..], options, &["-r", requirements.to_str().unwrap()]].concat();
    for arguments in [&["python3", "-m", "venv", "--clear", "venv"][..], &installs] {
        let done = Command::new(arguments[0]).args(&arguments[1..]).current_dir(root).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    std::fs::write(marker, wanted).unwrap();
}

/// A configuration directory that is a copy of the sample organization's, with further files beside it.
pub(crate) fn acme(further: &[(&str, String)]) -> Place {
    let place = Place::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme");
    copy(&source, &place.config());
    for (name, text) in further {
        std::fs::write(place.config().join(name), text).unwrap();
    }
    place
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A key pair that `remit credentials` prints.
#[track_caller]
pub(crate) fn credentials(remit: &Remit, principal: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["credentials", "--principal", principal];
    arguments.extend(more);
    let said = remit.place().cli(&arguments);
    assert_eq!(said.code, 0, "{said:?}");
    json(&said.out)
}

/// The address of the gateway, which is the endpoint of STS and IAM.
pub(crate) fn endpoint(remit: &Remit) -> String {
    format!("http://{}", remit.addr)
}

/// A command that finds credentials as the test gives them, and no others.
pub(crate) fn isolated(program: &Path, remit: &Remit) -> Command {
    let root = remit.place().root();
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("HOME", root).env("AWS_CONFIG_FILE", root.join("aws-config")).env("AWS_EC2_METADATA_DISABLED", "true");
    command
        .env("AWS_SHARED_CREDENTIALS_FILE", root.join("aws-credentials"))
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_PAGER", "");
    command
}

/// The environment variables of a key pair.
pub(crate) fn environment(pair: &Value) -> Vec<(&'static str, String)> {
    [("AWS_ACCESS_KEY_ID", "AccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"), ("AWS_SESSION_TOKEN", "SessionToken")]
        .into_iter()
        .filter_map(|(name, key)| Some((name, pair[key].as_str()?.to_owned())))
        .collect()
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// A process that answers a line with a line, ended with the test.
pub(crate) struct Lines {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lines {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    #[track_caller]
    pub(crate) fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the process ended");
        json(&line)
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, line: &Value) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.read()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// boto3, which makes the calls that it is told.
pub(crate) struct Boto(Lines);

impl Boto {
    pub(crate) fn start(remit: &Remit) -> Self {
        let peers = Peers::installed();
        Self(Lines::start(isolated(&peers.bin("python"), remit).arg(peers.script("calls.py")).arg(endpoint(remit))))
    }

    /// One call as it is written.
    #[track_caller]
    pub(crate) fn call(&mut self, call: &Value) -> Value {
        self.0.ask(call)
    }

    /// A call that succeeds.
    #[track_caller]
    pub(crate) fn ok(&mut self, pair: &Value, (service, operation): (&str, &str), parameters: &Value) -> Value {
        let call = json!({"service": service, "operation": operation, "parameters": parameters, "credentials": pair});
        let mut answer = self.call(&call);
        assert!(answer["error"].is_null(), "{operation} {parameters}: {answer}");
        answer["answer"].take()
    }

    /// A call that is refused: the type of the exception, the code and the status; and the message.
    #[track_caller]
    pub(crate) fn refused(
        &mut self,
        pair: &Value,
        (service, operation): (&str, &str),
        parameters: &Value,
    ) -> ([String; 3], String) {
        let call =
            json!({"service": service, "operation": operation, "parameters": parameters, "credentials": pair, "unchecked": true});
        let answer = self.call(&call);
        let error = &answer["error"];
        assert!(error.is_object(), "{operation} {parameters}: {answer}");
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        ([text("type"), text("code"), error["status"].to_string()], text("message"))
    }

    /// AssumeRole that succeeds.
    #[track_caller]
    pub(crate) fn assume(&mut self, pair: &Value, parameters: &Value) -> Value {
        self.ok(pair, ("sts", "assume_role"), parameters)
    }
}

/// An OpenID provider on loopback (npm's `oidc-provider`), ended with the test.
pub(crate) struct Provider {
    _lines: Lines,
    pub(crate) issuer: String,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../authority/tests/oidc");
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc");
        std::fs::create_dir_all(&root).unwrap();
        let lock = std::fs::File::create(root.join("lock")).unwrap();
        lock.lock().unwrap();
        for name in ["issuer.mjs", "package.json", "package-lock.json"] {
            std::fs::copy(source.join(name), root.join(name)).unwrap();
        }
        let wanted = std::fs::read_to_string(root.join("package-lock.json")).unwrap();
        let marker = root.join("installed");
        if !std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            let done = said(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&root));
            assert_eq!(done.code, 0, "{done:?}");
            std::fs::write(marker, wanted).unwrap();
        }
        let mut lines = Lines::start(Command::new("node").arg("issuer.mjs").current_dir(&root));
        let issuer = lines.read()["issuer"].as_str().unwrap().to_owned();
        Self { _lines: lines, issuer }
    }

    /// The issuer as IAM names it.
    pub(crate) fn name(&self) -> &str {
        self.issuer.split_once("://").unwrap().1
    }

    /// A token that says that this is `user`, for an audience.
    pub(crate) fn token(&self, user: &str, audience: &str) -> String {
        let addr: SocketAddr = self.name().parse().unwrap();
        let resource = audience.replace(':', "%3A").replace('/', "%2F");
        let form = format!("grant_type=urn%3Aremit%3Atest%3Auser&user={user}&resource={resource}&scope=mcp%3Aread");
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic d29ya2xvYWQ6d29ya2xvYWQtc2VjcmV0")];
        let answer = crate::client::send(addr, "POST /token", &headers, form.as_bytes()).message();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}
