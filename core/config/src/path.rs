//! Paths below the configuration directory, as texts.

/// Whether a caller should hand a file of this path to [`crate::read`]: YAML, JSON and key sets, hidden files left out.
pub fn is_source(path: &str) -> bool {
    !hidden(path) && (is_configuration(path) || is_key_set(path))
}

/// Whether the file is one that can only be a key set.
pub(crate) fn is_key_set(path: &str) -> bool {
    has_extension(path, &["jwks"])
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
        assert!(is_source("a/b.YML") && is_source("k.jwks") && !is_source("README.md") && !is_source(".git/x.yaml"));
    }
}
