//! `cargo xtask tidy`: the rules of the tree, checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{Outcome, root, say};

/// The longest source file, in lines; tests may be longer.
const FILE_LINES_MAX: usize = 800;
/// The longest README, in lines.
const README_LINES_MAX: usize = 120;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "manager", "types"];
/// What only the binary may do: read the environment.
const ENVIRONMENT: &str = "env::var";

/// A member of the workspace.
struct Member {
    folder: String,
    dependencies: BTreeSet<String>,
}

/// Checks every rule and names every breach.
pub(crate) fn run(_options: &[String]) -> Outcome {
    let members = members()?;
    let mut breaches = Vec::new();
    edges(&members, &mut breaches);
    let mut files = Vec::new();
    for folder in ["core", "shell", "dev"] {
        sources(&root().join(folder), &mut files)?;
    }
    for file in &files {
        source(file, &mut breaches)?;
    }
    let readme = fs::read_to_string(root().join("README.md"))?.lines().count();
    if readme > README_LINES_MAX {
        breaches.push(format!("README.md has {readme} lines, more than {README_LINES_MAX}"));
    }
    for breach in &breaches {
        say(&format!("tidy: {breach}"));
    }
    say(&format!("tidy: {} crates, {} files, {} breaches", members.len(), files.len(), breaches.len()));
    Ok(breaches.is_empty())
}

/// Who may depend on whom.
fn edges(members: &BTreeMap<String, Member>, breaches: &mut Vec<String>) {
    for (name, member) in members {
        for dependency in &member.dependencies {
            let Some(other) = members.get(dependency) else { continue };
            if member.folder.starts_with("core/") && !other.folder.starts_with("core/") {
                breaches.push(format!("`{name}` is core and depends on `{dependency}`, which is not"));
            }
            if !member.folder.starts_with("dev/") && other.folder.starts_with("dev/") {
                breaches.push(format!("`{name}` is of the product and depends on `{dependency}`, which is for development"));
            }
            let planes = ["remit-gateway", "remit-control"];
            if planes.contains(&name.as_str()) && planes.contains(&dependency.as_str()) {
                breaches.push(format!("`{name}` depends on `{dependency}`: the planes don't know each other"));
            }
        }
        if member.folder.starts_with("core/") {
            for io in ["tokio", "hyper", "rusqlite", "rustls"] {
                if member.dependencies.contains(io) {
                    breaches.push(format!("`{name}` is core and depends on `{io}`"));
                }
            }
        }
    }
}

/// What one file may hold.
fn source(file: &Path, breaches: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    let name = file.strip_prefix(root()).unwrap_or(file).display().to_string();
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs") || name.ends_with("_test.rs");
    let lines = text.lines().count();
    if !is_test && lines > FILE_LINES_MAX {
        breaches.push(format!("{name} has {lines} lines, more than {FILE_LINES_MAX}"));
    }
    if !is_test && !text.starts_with("//!") {
        breaches.push(format!("{name} doesn't begin by saying what it is for"));
    }
    if file.file_stem().is_some_and(|stem| EMPTY_NAMES.iter().any(|empty| stem == *empty)) {
        breaches.push(format!("{name} has a name that says nothing"));
    }
    let may_read = ["shell/remit/", "shell/authority/src/upstream.rs", "dev/"].iter().any(|place| name.starts_with(place));
    if !may_read && !is_test && text.contains(ENVIRONMENT) {
        breaches.push(format!("{name} reads the environment, which only the binary may"));
    }
    if text.contains(concat!("#[ig", "nore]")) {
        breaches.push(format!("{name} ignores a test"));
    }
    Ok(())
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("node_modules") && !path.ends_with("target") {
                sources(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn members() -> Result<BTreeMap<String, Member>, Box<dyn Error>> {
    let output = Command::new("cargo").args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root()).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata.get("packages").and_then(Value::as_array).ok_or("no packages")?;
    let mut members = BTreeMap::new();
    for package in packages {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let folder = Path::new(text("manifest_path")).parent().unwrap_or(Path::new("")).to_owned();
        let folder = folder.strip_prefix(root()).unwrap_or(&folder).display().to_string();
        let normal = |dependency: &&Value| dependency.get("kind").is_none_or(Value::is_null);
        let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten().filter(normal);
        let dependencies =
            dependencies.filter_map(|dependency| dependency.get("name").and_then(Value::as_str).map(str::to_owned)).collect();
        members.insert(text("name").to_owned(), Member { folder, dependencies });
    }
    Ok(members)
}
