//! `server.json`, as the official MCP registry publishes servers, into a registration: a draft that somebody has to approve.
//!
//! Every version of its schema from 2025-07-09 on is read, names in snake case of the first one included. What isn't known is left out, since
//! publishers add to it; what can't be registered faithfully is a fault with its place and a mend, and never guessed.

use std::collections::BTreeMap;

use remit_config::item::{Item, Sink, shown};
use remit_config::yaml::{Node, Value, parse};
use remit_config::{Fault, Severity};
use remit_mcp::json::quote;
use remit_model::ServerName;

/// The versions of the schema.
const SCHEMAS: [&str; 6] = ["2025-07-09", "2025-09-16", "2025-09-29", "2025-10-11", "2025-10-17", "2025-12-11"];
/// The most packages, remotes, arguments and variables of one list.
const LIST_MAX: usize = 100;
/// Where packages are suggested to be installed.
const HOME: &str = "/opt/mcp";

/// What is to be made of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The name to register it under; else the last part of its own.
    pub name: Option<&'a str>,
    /// The remote to take, by its place from 0.
    pub remote: Option<usize>,
    /// The package to take, by its place from 0.
    pub package: Option<usize>,
    /// What its inputs are, by their names.
    pub set: Option<&'a BTreeMap<String, String>>,
}

/// A registration, as YAML, and what of it can be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The configuration: one server, a draft, and its sandbox profile.
    pub yaml: String,
    /// The name that it is registered under.
    pub name: String,
    /// The package that it runs; `None`: it runs elsewhere.
    pub package: Option<Package>,
    /// The secrets that have to be set.
    pub secrets: Vec<String>,
    /// How the package is brought there, for a person; `None`: it runs elsewhere.
    pub install: Option<String>,
}

/// A package as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `npm`, `pypi`.
    pub registry: String,
    /// Its name there.
    pub identifier: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its file, hexadecimal, if it is declared.
    pub file_sha256: Option<String>,
}

/// Reads a `server.json`. `path` is what faults call it.
pub fn import(path: &str, text: &str, wanted: &Wanted<'_>) -> Result<Imported, Vec<Fault>> {
    let sink = Sink::default();
    let imported = {
        let parsed = parse(path, text, &sink);
        let root = parsed.documents.first().map(|node| Item { sink: &sink, file: path, node, pointer: String::new() });
        if root.is_none() {
            let mend = "give a `server.json` of the official MCP registry".to_owned();
            sink.error(path, remit_config::yaml::At::START, String::new(), "the file is empty".to_owned(), mend);
        }
        root.and_then(|root| Reader { wanted, secrets: Vec::new() }.server(&root))
    };
    let faults = sink.into_faults();
    match imported {
        Some(imported) if !faults.iter().any(|fault| fault.severity == Severity::Error) => Ok(imported),
        _ => Err(faults),
    }
}

/// A member by its name, or by the one that the first schema had for it.
fn member<'a>(item: &Item<'a>, name: &str) -> Option<Item<'a>> {
    let snake: String =
        name.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] }).collect();
    let Value::Map(_) = &item.node.value else { return None };
    let all = item.pairs("a mapping");
    let found = |wanted: &str| all.iter().find(|(key, _)| *key == wanted).map(|(_, item)| item.clone());
    found(name).or_else(|| found(&snake)).filter(|item| !matches!(item.node.value, Value::Null))
}

fn texted<'a>(item: &Item<'a>, name: &str) -> Option<&'a str> {
    member(item, name).and_then(|item| item.text())
}

fn needed<'a>(item: &Item<'a>, name: &str) -> Option<&'a str> {
    let found = member(item, name);
    if found.is_none() {
        item.error(format!("`{name}` is missing"), "a `server.json` without it can't be registered: ask its publisher");
    }
    found.and_then(|item| item.text())
}

fn members<'a>(item: &Item<'a>, name: &str) -> Vec<Item<'a>> {
    let Some(list) = member(item, name) else { return Vec::new() };
    let all = list.list(name);
    if all.len() > LIST_MAX {
        list.error(format!("`{name}` has more than {LIST_MAX} members"), "import a `server.json` that has fewer");
        return Vec::new();
    }
    all
}

fn is_true(node: Option<&Node>) -> bool {
    matches!(node.map(|node| &node.value), Some(Value::Bool(true)))
}

/// The repository that it declares, as a tag: whose its provenance must be. It is a word of the publisher's, and publishers leave it empty: what is
/// no tag is left out, and nothing rests on it.
fn repository(root: &Item<'_>) -> Option<String> {
    let url = member(&member(root, "repository")?, "url")?;
    let Value::Text(url) = &url.node.value else { return None };
    let fits = url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:/=+-@".contains(&byte));
    (fits && (1..=256).contains(&url.len())).then(|| url.clone())
}

struct Reader<'w> {
    wanted: &'w Wanted<'w>,
    secrets: Vec<String>,
}

impl Reader<'_> {
    fn server(mut self, root: &Item<'_>) -> Option<Imported> {
        // The registry's own interface wraps it.
        let wrapped = member(root, "server").filter(|_| member(root, "name").is_none());
        let root = wrapped.as_ref().unwrap_or(root);
        if root.pairs("a mapping (a server.json)").is_empty() {
            return None;
        }
        if let Some(schema) = member(root, "$schema") {
            let known =
                schema.text().is_some_and(|text| SCHEMAS.iter().any(|known| text.contains(&format!("/schemas/{known}/"))));
            if !known {
                let mend = format!("import one of {}, or update Remit", SCHEMAS.join(", "));
                schema.error("this Remit doesn't know this version of the schema", mend);
                return None;
            }
        }
        let (own, version) = (needed(root, "name")?, needed(root, "version")?);
        let last = own.rsplit('/').next().unwrap_or(own);
        let plain: String = last.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).take(40).collect();
        let name = self.wanted.name.unwrap_or(&plain).to_owned();
        if let Err(error) = ServerName::new(&name) {
            let mend = "give another one: `--name NAME`";
            member(root, "name")?.error(format!("{} is not {}: {}", shown(&name), error.kind, error.rule), mend);
            return None;
        }
        let (packages, remotes) = (members(root, "packages"), members(root, "remotes"));
        let one = |of: &[Item<'_>], n: Option<usize>| n.map_or(of.len() == 1, |n| n < of.len());
        let is_remote = self.wanted.remote.is_some() || self.wanted.package.is_none() && packages.is_empty();
        let (chosen, all, option) =
            if is_remote { (self.wanted.remote, &remotes, "--remote") } else { (self.wanted.package, &packages, "--package") };
        if !one(all, chosen) {
            let what =
                format!("it has {} packages and {} remotes, and one of them is to be registered", packages.len(), remotes.len());
            root.error(what, format!("say which, from 0: `{option} N`"));
            return None;
        }
        let item = all.get(chosen.unwrap_or(0))?;
        let head = format!("# {}\n", line(&format!("{own} {version}: {}", texted(root, "description").unwrap_or_default())));
        let mut tags = vec![("mcp:name", own.to_owned()), ("mcp:version", version.to_owned())];
        tags.extend(repository(root).map(|url| ("mcp:repository", url)));
        let (body, package, install) = if is_remote {
            (self.remote(item, &name)?, None, None)
        } else {
            let (body, package, install) = self.package(item, &name)?;
            tags.push(("mcp:package", format!("{}:{}@{}", package.registry, package.identifier, package.version)));
            tags.extend(package.file_sha256.clone().map(|digest| ("mcp:package-sha256", digest)));
            (body, Some(package), Some(install))
        };
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{}: {}", quote(key), quote(value))).collect();
        let profile = if package.is_some() {
            format!(
                "sandbox_profiles:\n  # No network until it shows that it needs one: then name its hosts (docs/guides/sandbox.md).\n  - {{ name: {}, execute: [{}], network: none }}\n",
                quote(&name),
                quote(&format!("{HOME}/{name}"))
            )
        } else {
            String::new()
        };
        let yaml = format!(
            "{head}servers:\n  - name: {}\n    status: DRAFT\n{body}    tags: {{ {} }}\n{profile}",
            quote(&name),
            tags.join(", ")
        );
        Some(Imported { yaml, name, package, secrets: self.secrets, install })
    }

    /// One that runs elsewhere.
    fn remote(&mut self, item: &Item<'_>, name: &str) -> Option<String> {
        let kind = member(item, "type").or_else(|| member(item, "transportType"))?;
        match kind.text()? {
            "streamable-http" | "streamable" | "http" => {}
            other => {
                kind.error(
                    format!("{} is a transport that Remit doesn't speak", shown(other)),
                    "take a remote of `streamable-http`",
                );
                return None;
            }
        }
        let variables = member(item, "variables");
        let url = self.filled(item, needed(item, "url")?, variables.as_ref(), "url")?;
        let mut body = format!("    url: {}\n", quote(&url));
        let mut shown_to_it = 0;
        for header in members(item, "headers") {
            let Some(header_name) = needed(&header, "name") else { continue };
            let required = is_true(member(&header, "isRequired").map(|item| item.node));
            let secret = is_true(member(&header, "isSecret").map(|item| item.node));
            if !required && !secret {
                continue;
            }
            shown_to_it += 1;
            let bearer = header_name.eq_ignore_ascii_case("authorization");
            if shown_to_it > 1 || !secret && !bearer {
                let mend = "register it by hand, with the one credential that it needs";
                header.error("Remit shows a server one credential and no other headers", mend);
                continue;
            }
            let kept = self.secret(name, "token");
            body.push_str(&if bearer {
                format!("    credential: {{ bearer: {{ secret: {} }} }}\n", quote(&kept))
            } else {
                let header_name = quote(&header_name.to_ascii_lowercase());
                format!("    credential: {{ api_key: {{ header: {header_name}, value: {{ secret: {} }} }} }}\n", quote(&kept))
            });
        }
        Some(body)
    }

    /// One that Remit starts.
    fn package(&mut self, item: &Item<'_>, name: &str) -> Option<(String, Package, String)> {
        let kind = member(item, "registryType").or_else(|| member(item, "registryName"));
        let Some(kind) = kind else {
            item.error("`registryType` is missing", "a package without it can't be registered: ask its publisher");
            return None;
        };
        let (registry, identifier) = (kind.text()?, needed(item, "identifier")?);
        if let Some(transport) = member(item, "transport").and_then(|transport| member(&transport, "type"))
            && transport.text()? != "stdio"
        {
            transport.error("this package serves HTTP by itself", "start it yourself, and register its `url`");
            return None;
        }
        let place = format!("{HOME}/{name}");
        let fits = |c: char| c.is_ascii_alphanumeric() || "@/._-".contains(c);
        if !identifier.chars().all(fits) || identifier.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let mend = "a package is named as its registry names it, such as `@acme/weather`";
            member(item, "identifier")?.error(format!("{} is no package's name", shown(identifier)), mend);
            return None;
        }
        let program = identifier.rsplit('/').next().unwrap_or(identifier);
        if let Err((what, mend)) = started(registry) {
            kind.error(what, mend);
            return None;
        }
        let version = version(item)?;
        let (path, install) = if registry == "npm" {
            (
                format!("{place}/node_modules/.bin/{program}"),
                format!("npm install --ignore-scripts --prefix {place} {identifier}@{version}"),
            )
        } else {
            (
                format!("{place}/bin/{program}"),
                format!("python3 -m venv {place} && {place}/bin/pip install {identifier}=={version}"),
            )
        };
        let mut words = vec![path];
        for argument in members(item, "packageArguments") {
            self.argument(&argument, &mut words);
        }
        let mut env = Vec::new();
        for variable in members(item, "environmentVariables") {
            let Some(key) = needed(&variable, "name") else { continue };
            if is_true(member(&variable, "isSecret").map(|item| item.node)) {
                let kept = self.secret(name, key);
                env.push(format!("{}: {{ secret: {} }}", quote(key), quote(&kept)));
            } else if let Some(value) = self.input(&variable, key) {
                env.push(format!("{}: {}", quote(key), quote(&value)));
            }
        }
        let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let env = if env.is_empty() { String::new() } else { format!("    env: {{ {} }}\n", env.join(", ")) };
        let body = format!("    command: [{}]\n{env}    sandbox: {}\n", words.join(", "), quote(name));
        let file_sha256 = digest(item)?;
        let package = Package {
            registry: registry.to_owned(),
            identifier: identifier.to_owned(),
            version: version.to_owned(),
            file_sha256,
        };
        Some((body, package, install))
    }

    fn argument(&mut self, argument: &Item<'_>, words: &mut Vec<String>) {
        let named = texted(argument, "type") == Some("named");
        let label = texted(argument, "name").or_else(|| texted(argument, "valueHint")).unwrap_or("argument").to_owned();
        let has_value = ["value", "default"].iter().any(|key| member(argument, key).is_some());
        // A flag that takes nothing is said by its name alone.
        let takes = has_value || member(argument, "valueHint").is_some() || self.set(&label).is_some() || !named;
        let required = is_true(member(argument, "isRequired").map(|item| item.node));
        let value = if takes { self.input(argument, &label) } else { None };
        match (named, value) {
            (true, Some(value)) => words.extend([label, value]),
            (true, None) if required && !takes => words.push(label),
            (false, Some(value)) => words.push(value),
            _ => {}
        }
    }

    fn set(&self, name: &str) -> Option<&str> {
        let set = self.wanted.set?;
        set.get(name).or_else(|| set.get(name.trim_start_matches('-'))).map(String::as_str)
    }

    /// What an input is: as it is fixed, as somebody said, or as it is without a word.
    fn input(&self, item: &Item<'_>, name: &str) -> Option<String> {
        if let Some(value) = texted(item, "value") {
            return self.filled(item, value, member(item, "variables").as_ref(), name);
        }
        if let Some(said) = self.set(name).or_else(|| texted(item, "default")) {
            return Some(said.to_owned());
        }
        if is_true(member(item, "isRequired").map(|item| item.node)) || texted(item, "type") == Some("positional") {
            item.error(format!("nobody says what {} is", shown(name)), format!("say it: `--set {name}=VALUE`"));
        }
        None
    }

    /// A text with its variables, `{in_braces}`, filled in.
    fn filled(&self, item: &Item<'_>, text: &str, variables: Option<&Item<'_>>, name: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((variable, after)) = after.split_once('}') else { break };
            let declared = variables.and_then(|variables| member(variables, variable));
            let said = self.set(variable).map(str::to_owned);
            let said = said.or_else(|| {
                declared.as_ref().and_then(|one| texted(one, "value").or_else(|| texted(one, "default"))).map(str::to_owned)
            });
            let Some(said) = said else {
                item.error(
                    format!("nobody says what {} in `{name}` is", shown(variable)),
                    format!("say it: `--set {variable}=VALUE`"),
                );
                return None;
            };
            filled.push_str(before);
            filled.push_str(&said);
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }

    /// The name of a secret that has to be set.
    fn secret(&mut self, server: &str, of: &str) -> String {
        let name = format!("{server}-{}", of.to_ascii_lowercase().replace('_', "-"));
        self.secrets.push(name.clone());
        name
    }
}

/// Whether Remit starts packages of a registry; else what is wrong, and the mend.
fn started(registry: &str) -> Result<(), (String, &'static str)> {
    match registry {
        "npm" | "pypi" => Ok(()),
        "oci" => Err((
            "Remit starts no images: a container engine would be outside of its sandbox".to_owned(),
            "run it yourself, and register its `url`",
        )),
        "mcpb" => Err((
            "what a bundle starts stands in its `manifest.json`, not here".to_owned(),
            "unpack it, and register that `command`; `remit servers verify` holds the file against `fileSha256`",
        )),
        other => {
            Err((format!("{} is a registry that Remit doesn't know", shown(other)), "register the installed program by hand"))
        }
    }
}

/// A version, and no range: what is approved is one program.
fn version<'a>(item: &Item<'a>) -> Option<&'a str> {
    let text = needed(item, "version")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-!".contains(c);
    let ranges = text == "latest" || text.split('.').any(|part| part == "x") || !text.chars().all(fits);
    if ranges {
        member(item, "version")?
            .error(format!("{} is no one version", shown(text)), "a registration is of one: ask its publisher");
    }
    (!ranges).then_some(text)
}

/// The declared digest of the package's file. Outer `None`: it is no digest.
#[allow(clippy::option_option, reason = "absent and malformed are two")]
fn digest(item: &Item<'_>) -> Option<Option<String>> {
    let Some(found) = member(item, "fileSha256") else { return Some(None) };
    let text = found.text()?;
    let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !fits {
        found.error("this is no SHA-256", "64 hexadecimal digits, in lower case");
    }
    fits.then(|| Some(text.to_owned()))
}

/// A text as one line of a comment.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
