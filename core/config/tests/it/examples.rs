//! The examples load, show what the tour needs, and fit the schema; the schema in the tree is the one in the code.

use std::fs;
use std::path::{Path, PathBuf};

use remit_config::outline::changes;
use remit_config::{Loaded, SourceFile, is_source, read, schema};
use remit_model::{AgentId, Credential, Risk, SpaceId, ToolAdmission, ToolClass, Transport};
use serde_json::Value;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if is_source(&name) {
            files.push(SourceFile { path: name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

fn load(example: &str) -> (Vec<SourceFile>, Loaded) {
    let root = examples().join(example);
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    let loaded = read(&files).unwrap_or_else(|faults| panic!("{example}: {}", crate::told(&faults)));
    (files, loaded)
}

#[test]
fn every_example_loads_without_fault_or_warning() {
    for example in ["acme", "first-server"] {
        let (_, loaded) = load(example);
        assert_eq!(loaded.warnings, Vec::new(), "{example}");
        assert!(!loaded.organization.spaces.is_empty() && !loaded.organization.tool_policies.is_empty());
    }
}

#[test]
fn acme_shows_what_the_tour_needs() {
    let (_, Loaded { organization, .. }) = load("acme");
    let agent = AgentId::new("agent-support-1").unwrap();
    let rows = |tool: &str| organization.tool_policies.iter().find(|row| row.agent == agent && row.tool == tool).cloned();
    for tool in ["helpdesk___search_kb", "helpdesk___get_ticket"] {
        let row = rows(tool).unwrap();
        assert_eq!((row.allowed, row.risk_max), (true, Risk::Medium));
        assert!(row.origin.starts_with("tool-policies.yaml:"), "{}", row.origin);
    }
    let support = &organization.spaces[&SpaceId::new("support").unwrap()];
    let ToolAdmission::Listed(tools) = &support.servers[0].tools else { panic!("the tools are listed") };
    assert!(tools.iter().any(|tool| tool == "search_kb") && !tools.iter().any(|tool| tool == "delete_ticket"));
    let helpdesk = organization.servers.values().find(|server| server.name.as_str() == "helpdesk").unwrap();
    assert!(helpdesk.tools["close_ticket"].risk > Some(rows("helpdesk___close_ticket").unwrap().risk_max));
    assert!(organization.spaces.values().any(|space| space.class_max == ToolClass::ReadOnly));
    let launched = organization.servers.values().filter(|server| {
        matches!(&server.transport, Transport::Http { launch, credential: Credential::ApiKey { .. }, .. } if !launch.is_empty())
    });
    assert_eq!(launched.count(), 1);
    assert_eq!(
        organization.space_arn(&organization.spaces["prod-sre"]),
        "arn:aws:aidevops:us-east-1:111122223333:agentspace/prod-sre"
    );
}

#[test]
fn the_schema_in_the_tree_is_current_and_fits_every_example() {
    let path = examples().join("../docs/schemas/configuration.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "stale: cargo run -- schema --write docs/schemas");
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let reference = fs::read_to_string(examples().join("../docs/reference/configuration.md")).unwrap();
    let mut texts = blocks(&reference);
    for example in ["acme", "first-server"] {
        let files =
            load(example).0.into_iter().filter(|file| !file.path.starts_with("keys/") && !file.path.starts_with("policies/"));
        texts.extend(files.map(|file| (file.path, file.text)));
    }
    assert!(texts.len() >= 7);
    for (name, text) in texts {
        let faults: Vec<String> =
            validator.iter_errors(&json(&text)).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
    }
    for wrong in [
        "servers: [{ name: a, url: x, command: [y] }]",
        "spaces: [{ id: a }]",
        "tool_policies: [{ agent: abc, tool: a }]",
        "agent: []",
    ] {
        assert!(!validator.is_valid(&json(wrong)), "{wrong}");
    }
}

#[test]
fn the_complete_example_of_the_reference_loads() {
    let reference = fs::read_to_string(examples().join("../docs/reference/configuration.md")).unwrap();
    let (name, text) = blocks(&reference).remove(0);
    let keys = fs::read_to_string(examples().join("acme/keys/agent-ops-2.json")).unwrap();
    let files = [crate::file(&name, &text), crate::file("keys/agent.json", &keys)];
    let told = read(&files).map_or_else(|faults| faults, |loaded| loaded.warnings);
    assert!(told.is_empty(), "{}", crate::told(&told));
}

/// The YAML blocks of a page.
fn blocks(page: &str) -> Vec<(String, String)> {
    let parts = page.split("```yaml\n").skip(1).filter_map(|part| part.split_once("```"));
    parts.enumerate().map(|(n, (text, _))| (format!("block-{n}.yaml"), text.to_owned())).collect()
}

/// A YAML text as JSON, by events: enough for documents without anchors.
fn json(text: &str) -> Value {
    use saphyr_parser::{Event, Parser, ScalarStyle};
    let mut stack: Vec<(bool, Vec<Value>)> = vec![(false, Vec::new())];
    for event in Parser::new_from_str(text) {
        let value = match event.unwrap().0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) => {
                serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
            }
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                stack.push((true, Vec::new()));
                continue;
            }
            Event::SequenceEnd => Value::Array(stack.pop().unwrap().1),
            Event::MappingEnd => {
                let flat = stack.pop().unwrap().1;
                Value::Object(flat.chunks(2).map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect())
            }
            _ => continue,
        };
        stack.last_mut().unwrap().1.push(value);
    }
    stack[0].1.first().cloned().unwrap_or_default()
}

/// Whatever makes another organization of a configuration is told as a change: nobody who reviews one can miss it.
#[test]
fn no_change_of_meaning_goes_untold() {
    let (files, loaded) = load("acme");
    let base = files.clone();
    let words = [("low", "high"), ("READ_ONLY", "DESTRUCTIVE"), ("Allow", "Deny"), ("1", "2"), ("s3:", "s4:")];
    let (mut told, mut refused, mut same) = (0, 0, 0);
    for (n, file) in files.iter().enumerate() {
        let lines: Vec<&str> = file.text.lines().collect();
        // Every second line: reading takes its time.
        for (at, line) in lines.iter().enumerate().skip(n % 2).step_by(2) {
            // A line of YAML can go without moving the others.
            let comment = (!file.path.contains(".json")).then(|| "#".to_owned());
            let other_words = words.iter().filter(|(from, _)| line.contains(from)).map(|(from, to)| line.replacen(from, to, 1));
            for other in other_words.chain(comment) {
                let mut with = lines.clone();
                with[at] = &other;
                let mut files = files.clone();
                files[n].text = with.join("\n") + "\n";
                match read(&files) {
                    Err(_) => refused += 1,
                    Ok(now) if now.organization == loaded.organization => same += 1,
                    Ok(_) => {
                        told += 1;
                        assert!(
                            !changes(&base, &files).is_empty(),
                            "{}:{}: {line:?} became {other:?}, and nobody says so",
                            file.path,
                            at + 1
                        );
                    }
                }
            }
        }
    }
    assert!(told > 40 && refused > 40 && same > 20, "{told} {refused} {same}");
}
