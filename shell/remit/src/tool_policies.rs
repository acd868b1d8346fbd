//! `remit tool-policies`: the registry as rows of a DynamoDB table or as CSV, and back.

use std::path::{Path, PathBuf};

use remit_config::yaml::{Value as Yaml, parse};
use remit_config::{Fault, SourceFile};
use remit_control::DirectoryError;
use remit_trial::registry::{self, Form, Placed, Row};
use serde_json::json;

use crate::cli::{Export, Import, ToolPolicies};
use crate::files;
use crate::offline::{Offline, Refused};
use crate::output::{Failure, Printer, warn};

/// Runs the command.
pub(crate) fn run(command: ToolPolicies) -> Result<(), Failure> {
    match command {
        ToolPolicies::Export(options) => export(&options),
        ToolPolicies::Import(options) => {
            let printer = Printer::new(options.json);
            match import(&options, printer) {
                Err(Refused::Other(failure)) => Err(failure),
                Err(faults) => Err(faults.told(printer)?),
                Ok(()) => Ok(()),
            }
        }
    }
}

fn form(name: &str) -> Result<Form, Failure> {
    let known = Form::NAMED.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
    known.ok_or_else(|| Failure::invalid("--format is one of dynamodb-json, csv"))
}

fn export(options: &Export) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let form = form(&options.format)?;
    let offline = match Offline::read(options.directory.as_deref()) {
        Ok(offline) => offline,
        Err(refused) => return Err(refused.told(printer)?),
    };
    let rows: Vec<Row> = offline.source.loaded.organization.tool_policies.iter().map(Row::from).collect();
    let text = match (&options.table, form) {
        (Some(table), Form::DynamodbJson) => registry::write_batches(table, &rows),
        (Some(_), Form::Csv) => return Err(Failure::invalid("--table goes with --format dynamodb-json")),
        (None, form) => registry::write(form, &rows),
    };
    if let Some(file) = &options.write {
        files::write(file, &text)?;
    }
    match (&options.write, options.json) {
        (None, false) => printer.line(text.trim_end_matches('\n')),
        (file, true) => {
            printer.line(&json!({"rows": rows.len(), "file": file, "text": file.is_none().then_some(text)}).to_string())
        }
        (Some(file), false) => printer.line(&format!("{} rows written to {}", rows.len(), file.display())),
    }
}

fn import(options: &Import, printer: Printer) -> Result<(), Refused> {
    let form = form(&options.format).map_err(Refused::Other)?;
    let name = options.file.display().to_string();
    let text = files::read_or_stdin(&options.file, registry::BYTES_MAX).map_err(Refused::Other)?;
    let mut rows = registry::read(form, &name, &text, &options.ignore).map_err(Refused::Faults)?;
    let source = match options.file.file_name().map(std::ffi::OsStr::to_string_lossy) {
        Some(name) if name != "-" => name.into_owned(),
        _ => "standard input".to_owned(),
    };
    let Some(directory) = &options.into else {
        let text = registry::yaml(&rows, &source, &name).map_err(|fault| Refused::Faults(vec![*fault]))?;
        let said = if options.json {
            printer.line(&json!({"rows": rows.len(), "file": null, "text": text, "warnings": []}).to_string())
        } else {
            printer.line(text.trim_end_matches('\n'))
        };
        return said.map_err(Refused::Other);
    };
    let target = Target::of(directory, &options.name, options.replace)?;
    if options.qualify {
        // What stands there already is what says which servers there are.
        let organization = remit_config::read(&target.others).map_err(Refused::Faults)?.organization;
        registry::qualify(&organization, &name, &mut rows).map_err(Refused::Faults)?;
    }
    let text = registry::yaml(&rows, &source, &name).map_err(|fault| Refused::Faults(vec![*fault]))?;
    let warnings = target.checked(&text, &name, &rows)?;
    files::write(&target.path, &text).map_err(Refused::Other)?;
    let said = if options.json {
        printer.line(&json!({"rows": rows.len(), "file": target.path, "text": null, "warnings": warnings}).to_string())
    } else {
        warnings.iter().for_each(|warning| warn(&warning.to_string()));
        printer.line(&format!("{} rows written to {}", rows.len(), target.path.display()))
    };
    said.map_err(Refused::Other)
}

/// The file that rows are written to, among the others of its directory.
struct Target {
    name: String,
    path: PathBuf,
    others: Vec<SourceFile>,
}

impl Target {
    fn of(directory: &Path, name: &str, replace: bool) -> Result<Self, Refused> {
        let invalid = |what: String| Err(Refused::Other(Failure::invalid(what)));
        let is_yaml = Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if !is_yaml || name.contains(['/', '\\']) || !remit_config::is_source(name) {
            return invalid(format!("`{name}` is no file of a configuration directory: write a name such as tool-policies.yaml"));
        }
        let mut files = remit_control::directory::texts(directory).map_err(Refused::from)?;
        let path = directory.join(name);
        match files.iter().position(|file| file.path == name) {
            Some(_) if !replace => {
                return invalid(format!("`{}` is there already: --replace replaces it, --as gives another name", path.display()));
            }
            Some(place) => {
                let file = files.remove(place);
                if let Some(key) = another_key(&file) {
                    let what = format!("`{}` says `{key}` too, which would be lost: --as gives another name", path.display());
                    return invalid(what);
                }
            }
            None => {}
        }
        Ok(Self { name: name.to_owned(), path, others: files })
    }

    /// What is allowed but probably not meant of the whole directory with the new file in it; or every fault, those of rows by row.
    fn checked(&self, text: &str, source: &str, rows: &[Placed]) -> Result<Vec<Fault>, Refused> {
        let mut files = self.others.clone();
        files.push(SourceFile { path: self.name.clone(), text: text.to_owned() });
        let of_rows = |faults| registry::faults_of_rows(faults, &self.name, source, rows);
        match remit_control::Source::of(files) {
            Ok(source) => Ok(of_rows(source.loaded.warnings)),
            Err(DirectoryError::Faults(faults)) => Err(Refused::Faults(of_rows(faults))),
            Err(other) => Err(Refused::from(other)),
        }
    }
}

/// A key of a configuration file besides the registry.
fn another_key(file: &SourceFile) -> Option<String> {
    let documents = parse(&file.path, &file.text, &remit_config::item::Sink::default()).documents;
    let keys = documents.into_iter().flat_map(|document| match document.value {
        Yaml::Map(entries) => entries.into_iter().map(|entry| entry.key).collect(),
        _ => Vec::new(),
    });
    keys.into_iter().find(|key| !matches!(key.as_str(), "$schema" | "tool_policies"))
}
