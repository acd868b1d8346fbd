//! `policy_set` of a space: policies in Cedar and Dogwood, in files of their own.

use std::collections::BTreeMap;

use remit_cedar::{File, Mode, Source};
use remit_model::{PolicyFile, PolicyTexts};

use crate::fault::{Fault, Severity};
use crate::item::{Item, shown};
use crate::path;

/// The most files of one set.
const FILES_MAX: usize = 1_000;

/// The modes of a set, as AgentCore names them.
const MODES: [(&str, bool); 2] = [("ENFORCE", false), ("LOG_ONLY", true)];
/// The modes of a policy.
const FILE_MODES: [(&str, bool); 2] = [("ACTIVE", false), ("LOG_ONLY", true)];

/// Reads it, and its policies as far as that goes without the tools.
pub(crate) fn policy_set(item: &Item<'_>, files: &BTreeMap<&str, &str>) -> Option<PolicyTexts> {
    let object = item.object("a policy set", &["mode", "policies"])?;
    let log_only = object.get("mode").and_then(|mode| mode.choice(&MODES)).unwrap_or_default();
    let list = object.need("policies")?;
    let mut texts = PolicyTexts { log_only, files: Vec::new() };
    for item in list.list("policies") {
        let Some(object) = item.object("a file of policies", &["file", "mode"]) else { continue };
        let log_only = object.get("mode").and_then(|mode| mode.choice(&FILE_MODES)).unwrap_or_default();
        let Some(named) = object.need("file") else { continue };
        let Some(text) = named.text() else { continue };
        let Some(path) = path::resolve(named.file, text).filter(|path| path::is_policy(path)) else {
            let what = format!("{} is no file of policies inside the configuration directory", shown(text));
            named.error(what, "write a `.cedar` or `.dw` file of this directory, relative to this file");
            continue;
        };
        if texts.files.iter().any(|file| file.path == path) {
            named.error(format!("`{path}` is named twice"), "keep one");
            continue;
        }
        match files.get(path.as_str()) {
            Some(text) => texts.files.push(PolicyFile { path, text: (*text).to_owned(), log_only }),
            None => named.error(format!("there is no file `{path}`"), "write it, or correct the path"),
        }
    }
    if texts.files.len() > FILES_MAX {
        list.error(format!("there are more than {FILES_MAX} files in one policy set"), "put more policies into each");
        return None;
    }
    let mode = |log_only: bool| if log_only { Mode::LogOnly } else { Mode::Active };
    let read = |file: &PolicyFile| File { path: file.path.clone(), text: file.text.clone(), mode: mode(file.log_only) };
    if let Err(faults) = Source::read(mode(log_only), texts.files.iter().map(read).collect()) {
        for fault in faults {
            item.sink.push(Fault {
                severity: Severity::Error,
                file: fault.path,
                line: fault.line,
                column: fault.column,
                pointer: String::new(),
                what: fault.what,
                mend: fault
                    .mend
                    .unwrap_or_else(|| "see Cedar's syntax (docs.cedarpolicy.com) and Dogwood's for `when temporal`".to_owned()),
            });
        }
        return None;
    }
    if texts.files.is_empty() {
        list.warn("the policy set has no policies: it permits nothing", "name some, or leave `policy_set` out");
    }
    Some(texts)
}
