//! Paths below the configuration directory, as texts.

/// The accepted definitions of tools, at the top of a configuration directory: for what works offline, and no configuration.
pub const LOCK_FILE: &str = "tools.lock.json";
/// The folder at the top of a configuration directory that holds an organization's own cases, and no configuration.
pub const TESTS_FOLDER: &str = "tests";

/// Whether a caller should hand a file of this path to [`crate::read`]: YAML, JSON, key sets and policies; hidden files, the lock of
/// tools and cases left out.
pub fn is_source(path: &str) -> bool {
    !hidden(path) && !beside(path) && (is_configuration(path) || is_policy(path) || is_key_set(path))
}

/// Whether the file holds policies in Cedar or Dogwood.
pub(crate) fn is_policy(path: &str) -> bool {
    !hidden(path) && has_extension(path, &["cedar", "dw"])
}

/// Whether the file is one that can only be a key set.
pub(crate) fn is_key_set(path: &str) -> bool {
    has_extension(path, &["jwks"])
}

/// Whether a file holds cases: YAML in `tests/` or below.
pub fn is_cases(path: &str) -> bool {
    path != LOCK_FILE && beside(path) && !hidden(path) && has_extension(path, &["yaml", "yml"])
}

/// Whether it stands beside the configuration in its directory, and is none.
fn beside(path: &str) -> bool {
    path == LOCK_FILE || path.strip_prefix(TESTS_FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether the file is read as configuration, unless it is named as a key set.
pub(crate) fn is_configuration(path: &str) -> bool {
    !hidden(path) && has_extension(path, &["yaml", "yml", "json"])
}

/// `named`, as a document in `from` names it, as a path below the directory. `None` if it leaves the directory.
pub(crate) fn resolve(from: &str, named: &str) -> Option<String> {
    if named.is_empty() || named.starts_with('/') || named.contains(['\\', '\0']) {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.pop();
    for part in named.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn hidden(path: &str) -> bool {
    path.split('/').any(|part| part.len() > 1 && part.starts_with('.') && part != "..")
}

fn has_extension(path: &str, extensions: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, extension)| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(resolve("a/b.yaml", "keys/x.json").as_deref(), Some("a/keys/x.json"));
        assert_eq!(resolve("./b.yaml", "./x.json").as_deref(), Some("x.json"));
        assert_eq!(resolve("a/b.yaml", "../x.json").as_deref(), Some("x.json"));
        assert_eq!(resolve("b.yaml", "../x.json"), None);
        assert_eq!(resolve("b.yaml", "/etc/x.json"), None);
        assert!(!is_source("tools.lock.json") && is_source("a/tools.lock.json"));
        assert!(
            !is_source("tests/a.yaml")
                && !is_source("tests/deep/a.yaml")
                && is_source("a/tests/b.yaml")
                && is_source("tests.yaml")
        );
        assert!(is_cases("tests/a.yaml") && is_cases("tests/deep/a.yml"));
        assert!(!is_cases("tests/.a.yaml") && !is_cases("a/tests/a.yaml") && !is_cases("tools.lock.json"));
        assert!(is_source("a/b.YML") && is_source("k.jwks") && !is_source("README.md") && !is_source(".git/x.yaml"));
        assert!(
            is_source("a/b.YML")
                && is_source("k.jwks")
                && is_source("p/a.cedar")
                && is_source("a.dw")
                && !is_source("README.md")
                && !is_source(".git/x.yaml")
        );
    }
}
