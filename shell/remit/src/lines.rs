//! Lines for who collects them, in a file or on standard output: metrics for CloudWatch, and decisions as a log.
//!
//! A file is opened for each batch, so that it can be moved away at any time.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use remit_kernel::alarm::Event;
use remit_telemetry::figures::Batch;
use remit_telemetry::{decision_log, emf};

use crate::cli::Up;
use crate::follow::{Follow, Following};
use crate::home::Home;
use crate::now_ms;
use crate::output::{Failure, warn};

/// How often metrics are written.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many bytes are kept while they can't be written.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where lines go, and what couldn't be written yet.
struct Lines {
    /// `-` is standard output.
    path: PathBuf,
    kept: Vec<u8>,
    lost: u64,
    failed: bool,
}

impl Lines {
    /// To a file, which must be one that can be written to now.
    fn to(path: PathBuf) -> Result<Self, Failure> {
        let mut lines = Self { path, kept: Vec::new(), lost: 0, failed: false };
        lines.write().map_err(|error| Failure::io(&lines.path, &error))?;
        Ok(lines)
    }

    fn add(&mut self, line: &str) {
        if self.kept.len() + line.len() >= KEPT_BYTES_MAX {
            self.lost += 1;
            return;
        }
        self.kept.extend_from_slice(line.as_bytes());
        self.kept.push(b'\n');
    }

    fn write(&mut self) -> std::io::Result<()> {
        if self.path.as_os_str() == "-" {
            let mut out = std::io::stdout().lock();
            return drain(&mut self.kept, &mut out).and_then(|()| out.flush());
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        drain(&mut self.kept, &mut file)
    }

    /// Writes what there is, and says once that it can't, and once that it can again.
    fn flush(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        match self.write() {
            Ok(()) => {
                if std::mem::take(&mut self.failed) {
                    warn(&format!("`{}` is written again; {} lines were lost", self.path.display(), self.lost));
                    self.lost = 0;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    warn(&format!("`{}` can't be written: {error}; the journal has everything", self.path.display()));
                }
            }
        }
    }
}

/// Writes as much as goes, and keeps the rest: what is written later goes on in the middle of its line.
fn drain(kept: &mut Vec<u8>, out: &mut impl Write) -> std::io::Result<()> {
    let mut written = 0;
    let done = loop {
        match kept.get(written..).map(|rest| out.write(rest)) {
            None | Some(Ok(0)) => break Ok(()),
            Some(Ok(count)) => written += count,
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            Some(Err(error)) => break Err(error),
        }
    };
    kept.drain(..written.min(kept.len()));
    done
}

struct Metrics {
    lines: Lines,
    batch: Batch,
    written: Instant,
}

impl Follow for Metrics {
    fn take(&mut self, _index: u64, entry: &[u8]) {
        if let Some(event) = Event::read(entry) {
            self.batch.add(&event);
        }
    }

    fn turn(&mut self, last: bool) {
        if !last && self.written.elapsed() < INTERVAL {
            return;
        }
        self.written = Instant::now();
        for line in emf::lines(&self.batch.take(), now_ms()) {
            self.lines.add(&line);
        }
        self.lines.flush();
    }
}

struct Log(Lines);

impl Follow for Log {
    fn take(&mut self, _index: u64, entry: &[u8]) {
        if let Some(line) = Event::read(entry).and_then(|event| decision_log::line(&event)) {
            self.0.add(&line);
        }
    }

    fn turn(&mut self, _last: bool) {
        self.0.flush();
    }
}

/// Begins what the options ask for, from the entry with this index on.
pub(crate) fn write(options: &Up, home: &Home, from: u64) -> Result<Vec<Following>, Failure> {
    let mut all = Vec::new();
    if let Some(path) = &options.emf {
        let metrics = Metrics { lines: Lines::to(path.clone())?, batch: Batch::default(), written: Instant::now() };
        all.push(Following::start("metrics for CloudWatch", &home.journal(), from, metrics)?);
    }
    if let Some(path) = &options.decision_log {
        all.push(Following::start("decision log", &home.journal(), from, Log(Lines::to(path.clone())?))?);
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use super::*;

    /// Takes so many bytes at a time, and then fails as a full disk does.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let count = bytes.len().min(self.1).min(3);
            if count == 0 && !bytes.is_empty() {
                return Err(ErrorKind::StorageFull.into());
            }
            self.1 -= count;
            self.0.extend(bytes.iter().take(count));
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_cut_off_goes_on_where_it_was() {
        let mut kept = b"one\ntwo\nthree\n".to_vec();
        let mut full = Full(Vec::new(), 7);
        assert_eq!(drain(&mut kept, &mut full).unwrap_err().kind(), ErrorKind::StorageFull);
        full.1 = 100;
        drain(&mut kept, &mut full).unwrap();
        assert_eq!((full.0.as_slice(), kept.len()), (&b"one\ntwo\nthree\n"[..], 0));
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_one_that_cannot_be_written_loses_the_least() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("log");
        let mut lines = Lines::to(path.clone()).unwrap();
        lines.add("one");
        lines.flush();
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        lines.add("two");
        lines.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        lines.add("three");
        lines.flush();
        assert!(lines.failed);
        for _ in 0..=KEPT_BYTES_MAX / 1024 {
            lines.add(&"x".repeat(1024));
        }
        assert!(lines.lost > 0 && lines.kept.len() <= KEPT_BYTES_MAX);
        std::fs::remove_dir(&path).unwrap();
        lines.flush();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("three\nxxx") && !lines.failed && lines.lost == 0);
        assert!(Lines::to(dir.path().join("nowhere/log")).is_err());
    }
}
