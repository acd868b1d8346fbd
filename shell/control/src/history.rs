//! What one row of the tool policy registry was in each version: who changed it, why, and who agreed.

use std::collections::HashMap;

use remit_config::SourceFile;
use remit_config::outline::{Said, said};
use serde::Serialize;

use crate::versions::{Version, VersionError, Versions};

/// The noun of a row, as an outline says it.
const NOUN: &str = "tool policy";
/// How many versions are read at a time.
const PAGE: usize = 100;
/// The most versions that are looked through.
const VERSIONS_MAX: usize = 10_000;

/// What a version made of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The version, with its author, reason and reviewers.
    #[serde(flatten)]
    pub version: Version,
    /// What the row says in it; several if it stands there several times, none if it was removed.
    pub rows: Vec<Said>,
}

/// Every version that changed the row of an agent and a tool as the configuration names them, the newest first, at most `count`; and whether
/// there are more versions that weren't looked at.
pub fn tool_policy(versions: &Versions, agent: &str, tool: &str, count: usize) -> Result<(Vec<Step>, bool), VersionError> {
    let name = format!("{agent} → {tool}");
    let mut read: HashMap<String, Vec<Said>> = HashMap::new();
    let (mut steps, mut later): (Vec<Step>, Option<Step>) = (Vec::new(), None);
    let (mut before, mut looked) = (u64::MAX, 0);
    loop {
        let page = versions.recent(before, PAGE)?;
        let last = page.len() < PAGE;
        for version in page {
            before = version.version;
            looked += 1;
            let rows = rows(versions, &version, &name, &mut read)?;
            let says = |step: &Step| step.rows.iter().map(|row| &row.fields).eq(rows.iter().map(|row| &row.fields));
            // A version that says something else than the one after it: then that one changed it.
            match later.take() {
                Some(step) if !says(&step) => steps.push(step),
                _ => {}
            }
            if steps.len() >= count {
                return Ok((steps, true));
            }
            later = Some(Step { version, rows });
        }
        if last {
            break;
        }
        if looked >= VERSIONS_MAX {
            return Ok((steps, true));
        }
    }
    // Of the first version only what it says counts.
    steps.extend(later.filter(|step| !step.rows.is_empty()));
    Ok((steps, false))
}

/// The rows of this name in a version. A text that was read is not read again.
fn rows(
    versions: &Versions,
    version: &Version,
    name: &str,
    read: &mut HashMap<String, Vec<Said>>,
) -> Result<Vec<Said>, VersionError> {
    let mut rows = Vec::new();
    for (path, digest) in versions.paths(version)? {
        let key = format!("{path}\n{digest}");
        if !read.contains_key(&key) {
            let file = SourceFile { path, text: versions.text(&digest)? };
            read.insert(key.clone(), said(&file, NOUN).remove(name).unwrap_or_default());
        }
        rows.extend(read.get(&key).into_iter().flatten().cloned());
    }
    Ok(rows)
}
