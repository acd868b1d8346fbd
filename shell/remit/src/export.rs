//! `remit export`: recorded decisions in the words of others, each with its place in the log.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use remit_control::versions::Versions;
use remit_delivery::{Format, LakeFile, Partition};
use remit_export::{Filter, Open, Pairing, Place, Places, Record};
use remit_journal::Reader;
use remit_model::{Organization, time_ms};
use serde_json::json;

use crate::cli::{ExportFormat, ExportOf};
use crate::home::Home;
use crate::output::{Failure, Printer, warn};
use crate::{audit, deliveries};

/// The most Parquet files that are open at once; the one that was begun first ends when another is needed.
const FILES_MAX: usize = 64;

/// `remit export`.
pub(crate) fn run(options: &ExportOf) -> Result<(), Failure> {
    if let Some(command) = &options.command {
        return deliveries::status(command);
    }
    let home = Home::existing(&options.common.data)?;
    let filter = filter(options)?;
    let mut output = Output::open(options)?;
    let fault = |error: remit_journal::ReadError| Failure::new(format!("the journal can't be read: {error}"));
    let mut reader = Reader::open(home.journal(), 0).map_err(fault)?;
    let origin = audit::origin(&home).unwrap_or_else(|| audit::ORIGIN.to_owned());
    let mut pairing = Pairing::new(&origin, filter, places(&home, &options.region), Open::default());
    while let Some(entry) = reader.next_leaf().map_err(fault)? {
        let Some(bytes) = &entry.bytes else {
            pairing.pass(entry.index, entry.hash);
            continue;
        };
        if let Some(record) = pairing.take(entry.index, bytes) {
            output.write(&record)?;
        }
    }
    // Under way, or cut short by a crash that no start has found yet.
    for record in pairing.rest() {
        output.write(&record)?;
    }
    let (records, files) = output.finish()?;
    // Standard output is the export's own.
    if options.output != Path::new("-") {
        let printer = Printer::new(options.common.json);
        if options.common.json {
            return printer.line(&json!({"records": records, "files": files}).to_string());
        }
        printer.line(&format!("{records} records in {}", options.output.display()))?;
    }
    Ok(())
}

fn filter(options: &ExportOf) -> Result<Filter, Failure> {
    let ms = |time: &Option<String>| -> Result<Option<u64>, Failure> {
        let Some(time) = time else { return Ok(None) };
        let at = crate::replay::since(time)?;
        time_ms(&at).map(Some).ok_or_else(|| Failure::invalid(format!("`{time}` is no time")))
    };
    Ok(Filter {
        agents: options.agent.clone(),
        spaces: options.space.clone(),
        tools: options.tool.clone(),
        users: options.user.clone(),
        verdicts: options.verdict.iter().map(|verdict| verdict.to_ascii_uppercase()).collect(),
        reasons: options.reason.clone(),
        since_ms: ms(&options.since)?,
        until_ms: ms(&options.until)?,
    })
}

/// Where the spaces of an organization stand.
pub(crate) fn places_of(organization: &Organization, region: &str) -> Places {
    let place = |space: &remit_model::Space| Place { account: space.account.to_string(), region: space.region.to_string() };
    let spaces = organization.spaces.values().map(|space| (space.id.to_string(), place(space))).collect();
    Places { spaces, region: region.to_owned() }
}

/// The organization of the version in effect, if a configuration was ever in effect here.
pub(crate) fn in_effect(home: &Home) -> Result<Option<Organization>, String> {
    if !home.root().join("remit.db").exists() {
        return Ok(None);
    }
    let store = home.store().map_err(|failure| failure.message)?;
    let versions = Versions::new(store as _);
    let Some(head) = versions.head().map_err(|error| error.to_string())? else { return Ok(None) };
    let files = versions.files(&head).map_err(|error| error.to_string())?;
    let loaded = remit_config::read(&files).map_err(|_| "the version in effect has faults for this program".to_owned())?;
    Ok(Some(loaded.organization))
}

/// Where the spaces of the version in effect stand. Without one, accounts are those that entries name, and the region is the one that was
/// given.
fn places(home: &Home, region: &str) -> Places {
    let organization = in_effect(home).unwrap_or_else(|why| {
        warn(&format!("where spaces stand is not known, so their region is `{region}`: {why}"));
        None
    });
    let none = || Places { spaces: BTreeMap::new(), region: region.to_owned() };
    organization.map_or_else(none, |organization| places_of(&organization, region))
}

/// Where records go.
enum Output {
    Lines { to: Box<dyn Write>, format: Format, records: u64, draft: Option<(PathBuf, PathBuf)> },
    Lake(Lake),
}

impl Output {
    fn open(options: &ExportOf) -> Result<Self, Failure> {
        let path = &options.output;
        let format = match options.format {
            ExportFormat::Ocsf => Format::Ocsf,
            ExportFormat::Cloudtrail => Format::CloudTrail,
            ExportFormat::Parquet if path == Path::new("-") => {
                return Err(Failure::invalid("parquet is written as files: name a directory with --output DIR"));
            }
            ExportFormat::Parquet => return Ok(Self::Lake(Lake::open(path)?)),
        };
        if path == Path::new("-") {
            let to = Box::new(BufWriter::new(io::stdout().lock()));
            return Ok(Self::Lines { to, format, records: 0, draft: None });
        }
        let draft = path.with_extension("draft");
        let file = private(&draft)?;
        Ok(Self::Lines { to: Box::new(BufWriter::new(file)), format, records: 0, draft: Some((draft, path.clone())) })
    }

    fn write(&mut self, record: &Record) -> Result<(), Failure> {
        match self {
            Self::Lake(lake) => lake.write(record),
            Self::Lines { to, format, records, .. } => {
                *records += 1;
                writeln!(to, "{}", format.tell(record)).map_err(|error| stopped(&error))
            }
        }
    }

    /// How many records there are, and in which files.
    fn finish(self) -> Result<(u64, Vec<String>), Failure> {
        match self {
            Self::Lake(lake) => lake.finish(),
            Self::Lines { mut to, records, draft, .. } => {
                to.flush().map_err(|error| stopped(&error))?;
                let Some((draft, path)) = draft else { return Ok((records, Vec::new())) };
                fs::rename(&draft, &path).map_err(|error| Failure::io(&path, &error))?;
                Ok((records, vec![path.display().to_string()]))
            }
        }
    }
}

/// Whoever stopped reading has heard enough.
fn stopped(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe { Failure::said(0) } else { Failure::new(format!("the output: {error}")) }
}

/// A file for the owner alone.
fn private(path: &Path) -> Result<File, Failure> {
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    options.map_err(|error| Failure::io(path, &error))
}

/// Parquet files below a directory.
struct Lake {
    root: PathBuf,
    open: BTreeMap<Partition, (String, LakeFile<BufWriter<File>>)>,
    /// Partitions in the order in which they were begun.
    order: Vec<Partition>,
    records: u64,
    files: Vec<String>,
}

impl Lake {
    fn open(root: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(|error| Failure::io(root, &error))?;
        Ok(Self { root: root.to_owned(), open: BTreeMap::new(), order: Vec::new(), records: 0, files: Vec::new() })
    }

    fn write(&mut self, record: &Record) -> Result<(), Failure> {
        let partition = Partition::of(record);
        if !self.open.contains_key(&partition) {
            if self.open.len() >= FILES_MAX && !self.order.is_empty() {
                let oldest = self.order.remove(0);
                self.close(&oldest)?;
            }
            let path = partition.path(record.decision.index);
            let whole = self.root.join(&path);
            if let Some(parent) = whole.parent() {
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
                made.map_err(|error| Failure::io(parent, &error))?;
            }
            let file = BufWriter::new(private(&whole.with_extension("draft"))?);
            let file = LakeFile::new(file).map_err(|error| Failure::new(error.to_string()))?;
            self.open.insert(partition.clone(), (path, file));
            self.order.push(partition.clone());
        }
        if let Some((_, file)) = self.open.get_mut(&partition) {
            file.push(record).map_err(|error| Failure::new(error.to_string()))?;
            self.records += 1;
        }
        Ok(())
    }

    fn close(&mut self, partition: &Partition) -> Result<(), Failure> {
        let Some((path, file)) = self.open.remove(partition) else { return Ok(()) };
        let whole = self.root.join(&path);
        let mut written = file.finish().map_err(|error| Failure::new(error.to_string()))?;
        written.flush().map_err(|error| Failure::io(&whole, &error))?;
        fs::rename(whole.with_extension("draft"), &whole).map_err(|error| Failure::io(&whole, &error))?;
        self.files.push(path);
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, Vec<String>), Failure> {
        for partition in std::mem::take(&mut self.order) {
            self.close(&partition)?;
        }
        Ok((self.records, self.files))
    }
}
