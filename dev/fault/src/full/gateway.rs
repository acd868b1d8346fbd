//! `remit up` on a file system that its journal fills: calls are refused, none that was answered is lost, and with room it goes on.
//!
//! The questions go to `POST /authorize`, whose answers name the decision and its place in the journal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;

use remit_journal::Reader;
use serde_json::Value;

use super::{done, unmount};
use crate::report::{Tally, cannot, say};

/// Room for one segment of the gateway's, and not for another.
const SMALL_MIB: u64 = 96;
const LARGE_MIB: u64 = 320;
const CALLERS: u64 = 16;
/// How many calls a caller makes at most: more than a segment has room for.
const CALLS_MAX: u64 = 20_000;
/// How many further calls are refused, and how many are answered when there is room again.
const CALLS_AFTER: u64 = 100;

/// How often a start on a nearly full disk may fail.
const STARTS_MAX: u64 = 8;

/// A gateway that runs.
struct Gateway {
    child: Child,
    address: String,
    token: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
enum Answer {
    /// Allowed or denied: the entry's index, and the decision's id.
    Decided(u64, String),
    /// HTTP 503: nothing was decided.
    Unavailable,
    Other(u16),
}

/// Fills a gateway's file system, and makes room again.
pub(super) fn fill(remit: &Path, small: &Path, tally: &mut Tally) -> Result<(), String> {
    let size = |mib: u64| format!("size={mib}m");
    if !done(Command::new("mount").args(["-t", "tmpfs", "-o", &size(SMALL_MIB), "none"]).arg(small)) {
        return Err("`tmpfs` can't be mounted".to_owned());
    }
    let data = small.join("data");
    let gateway = Gateway::start_on_little(remit, &data)?;
    let decided = Mutex::new(Vec::new());
    let refused = Mutex::new(0_u64);
    thread::scope(|scope| {
        let (gateway, decided, refused) = (&gateway, &decided, &refused);
        let call = |caller| scope.spawn(move || gateway.call_until_refused(caller, decided, refused));
        let callers: Vec<_> = (0..CALLERS).map(call).collect();
        callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| "a caller panicked".to_owned())?)
    })?;
    let mut refused = refused.into_inner().map_err(cannot("count"))?;
    let mut decided = decided.into_inner().map_err(cannot("count"))?;
    if refused < CALLERS {
        tally.broke(format!("the gateway: only {refused} of {CALLERS} callers were refused"));
    }
    // It stays so, as long as this gateway runs.
    let answers = gateway.ask(CALLS_AFTER)?;
    let unavailable = answers.iter().filter(|answer| matches!(answer, Answer::Unavailable)).count() as u64;
    refused += unavailable;
    if unavailable != CALLS_AFTER {
        tally.broke(format!("the gateway: {} calls were decided without a journal", CALLS_AFTER - unavailable));
    }
    gateway.stop()?;
    check(&data, &decided, "the gateway, with a full disk", tally)?;
    if !done(Command::new("mount").args(["-o", &format!("remount,{}", size(LARGE_MIB))]).arg(small)) {
        return Err("`tmpfs` can't be made larger".to_owned());
    }
    let gateway = Gateway::start(remit, &data)?;
    let before = decided.len();
    decided.extend(gateway.ask(CALLS_AFTER)?.into_iter().filter_map(|answer| match answer {
        Answer::Decided(index, id) => Some((index, id)),
        Answer::Unavailable | Answer::Other(_) => None,
    }));
    if (decided.len() - before) as u64 != CALLS_AFTER {
        tally.broke(format!("the gateway: with room again only {} calls are answered", decided.len() - before));
    }
    gateway.stop()?;
    check(&data, &decided, "the gateway, with room again", tally)?;
    if !done(Command::new(remit).args(["verify", "--data"]).arg(&data)) {
        tally.broke("the gateway: `remit verify` finds something".to_owned());
    }
    tally.injected += refused;
    say(&format!(
        "`remit up` on {SMALL_MIB} MiB: {before} calls answered, then {refused} refused with 503; with room and a restart {} answered",
        decided.len() - before
    ));
    unmount(small)
}

/// Holds a journal to the decisions that were answered.
fn check(data: &Path, decided: &[(u64, String)], when: &str, tally: &mut Tally) -> Result<(), String> {
    let mut reader = Reader::open(data.join("journal"), 0).map_err(cannot("read the gateway's journal"))?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().map_err(cannot("read the gateway's journal"))? {
        entries.push(entry.bytes);
    }
    for (index, id) in decided {
        let entry = usize::try_from(*index).ok().and_then(|index| entries.get(index));
        let entry: Option<Value> = entry.and_then(|bytes| serde_json::from_slice(bytes).ok());
        if entry.as_ref().and_then(|entry| entry.get("id")?.as_str()) != Some(id.as_str()) {
            tally.lost += 1;
            tally.broke(format!("{when}: decision {id} was answered and isn't entry {index}"));
        }
    }
    Ok(())
}

impl Gateway {
    /// A start may meet the moment at which the next segment, for which there is no room, has taken the last of it. It fails as a whole then.
    fn start_on_little(remit: &Path, data: &Path) -> Result<Self, String> {
        let mut failed = 0;
        loop {
            match Self::start(remit, data) {
                Err(error) if failed == STARTS_MAX => return Err(error),
                Err(_) => failed += 1,
                Ok(gateway) => return Ok(gateway),
            }
        }
    }

    fn start(remit: &Path, data: &Path) -> Result<Self, String> {
        let mut command = Command::new(remit);
        command.args(["up", "--json", "--port", "0", "--control-port", "0", "--data"]).arg(data);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(cannot("start Remit"))?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("Remit has no output")?;
        BufReader::new(stdout).read_line(&mut line).map_err(cannot("read what Remit says"))?;
        let ready: Option<Value> = serde_json::from_str(&line).ok();
        let address = ready.as_ref().and_then(|ready| ready.get("gateway")?.as_str()?.strip_prefix("http://").map(str::to_owned));
        // From here on it ends with this value.
        let gateway = Self { child, address: address.unwrap_or_default(), token: String::new() };
        if gateway.address.is_empty() {
            return Err(format!("Remit says `{}`", line.trim()));
        }
        let mut command = Command::new(remit);
        command.args(["token", "--agent", "agent-support-1", "--space", "support", "--data"]).arg(data);
        let said = command.output().map_err(cannot("ask for a token"))?.stdout;
        let token = String::from_utf8_lossy(&said).trim().to_owned();
        if token.is_empty() { Err("no token could be had".to_owned()) } else { Ok(gateway.with(token)) }
    }

    fn with(mut self, token: String) -> Self {
        self.token = token;
        self
    }

    /// Ends the gateway as an operator does.
    fn stop(mut self) -> Result<(), String> {
        if !done(Command::new("kill").arg(self.child.id().to_string())) {
            return Err("the gateway can't be told to end".to_owned());
        }
        self.child.wait().map(drop).map_err(cannot("wait for the gateway"))
    }

    fn call_until_refused(&self, caller: u64, decided: &Mutex<Vec<(u64, String)>>, refused: &Mutex<u64>) -> Result<(), String> {
        let mut connection = Connection::open(&self.address)?;
        for number in 0..CALLS_MAX {
            match connection.authorize(&self.token, &format!("{caller}.{number}"))? {
                Answer::Decided(index, id) => decided.lock().map_err(cannot("count"))?.push((index, id)),
                Answer::Unavailable => {
                    *refused.lock().map_err(cannot("count"))? += 1;
                    break;
                }
                Answer::Other(status) => return Err(format!("an answer that wasn't expected: HTTP {status}")),
            }
        }
        Ok(())
    }

    fn ask(&self, calls: u64) -> Result<Vec<Answer>, String> {
        let mut connection = Connection::open(&self.address)?;
        (0..calls).map(|number| connection.authorize(&self.token, &format!("after.{number}"))).collect()
    }
}

/// A connection that is kept.
struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(cannot("connect to the gateway"))?;
        let _ = stream.set_nodelay(true);
        Ok(Self { stream: BufReader::new(stream), host: address.to_owned() })
    }

    /// Asks about a tool that there isn't, under a long name: the denial is recorded, and takes some room.
    fn authorize(&mut self, token: &str, name: &str) -> Result<Answer, String> {
        let body = format!(r#"{{"tool_id":"helpdesk___{name}{}"}}"#, "x".repeat(400));
        let head = format!("Host: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json", self.host);
        let request = format!("POST /authorize HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes()).map_err(cannot("send a call"))?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(cannot("read an answer"))? == 0 {
                return Err("the gateway closed a connection".to_owned());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().and_then(|status| status.parse().ok()).unwrap_or(0);
            } else if let Some(rest) = line.strip_prefix("content-length:") {
                length = rest.trim().parse().map_err(cannot("read an answer's length"))?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(cannot("read an answer"))?;
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let index = said.get("journal_index").and_then(Value::as_u64);
        let id = said.get("decision_id").and_then(Value::as_str);
        Ok(match (status, index, id) {
            (200 | 403, Some(index), Some(id)) => Answer::Decided(index, id.to_owned()),
            (503, ..) => Answer::Unavailable,
            _ => Answer::Other(status),
        })
    }
}
