//! The sample organization with one thing changed at a time: a statement gone or turned around, a row, a list, a mandate. Its own cases must
//! notice. What they don't notice is listed here, each with why.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_config::SourceFile;
use remit_model::Organization;
use remit_trial::cases::{self, Case, Known};
use remit_trial::{Coverage, Lock, Trial};
use serde_json::{Value, json};

use crate::{json_of_text, lock, sources, suite};

fn is_policies(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "dw")
}

/// A change: what kind, what it is about, and the organization's files with it.
struct Mutant {
    kind: &'static str,
    about: String,
    files: Vec<SourceFile>,
}

struct Maker {
    files: Vec<(String, Value)>,
    /// Cedar and Dogwood, as they are.
    policies: Vec<SourceFile>,
    mutants: Vec<Mutant>,
}

impl Maker {
    fn new() -> Self {
        let (policies, files): (Vec<SourceFile>, Vec<SourceFile>) =
            sources().into_iter().partition(|file| is_policies(&file.path));
        let files = files.into_iter().map(|file| (file.path, json_of_text(&file.text)));
        Self { files: files.collect(), policies, mutants: Vec::new() }
    }

    fn change(&mut self, kind: &'static str, about: &str, file: usize, pointer: &str, change: impl FnOnce(&mut Value)) {
        let mut files = self.files.clone();
        change(files[file].1.pointer_mut(pointer).unwrap());
        let files = files.into_iter().map(|(path, value)| SourceFile { path, text: value.to_string() });
        let files = files.chain(self.policies.clone()).collect();
        self.mutants.push(Mutant { kind, about: about.to_owned(), files });
    }

    /// Each policy gone, turned around, with a limit raised, with a longer look back.
    fn policies(&mut self) {
        for (at, file) in self.policies.clone().into_iter().enumerate() {
            let read = remit_cedar::File { path: file.path.clone(), text: file.text.clone(), mode: remit_cedar::Mode::Active };
            let source = remit_cedar::Source::read(remit_cedar::Mode::Active, vec![read]).unwrap();
            for rule in source.rules() {
                let verb = rule.effect.as_str();
                let other = if verb == "permit" { "forbid" } else { "permit" };
                let changes = [
                    ("policy removed", String::new()),
                    ("policy turned around", rule.text.replacen(&format!("{verb} ("), &format!("{other} ("), 1)),
                    (
                        "limit raised",
                        rule.text.replace("5000000", "5000009").replace("20000000", "90000000").replace("<= 3", "<= 4"),
                    ),
                    ("look back lengthened", rule.text.replace("1h", "9h").replace("24h", "30d")),
                    ("scope of history narrowed", rule.text.replace("@history(\"agent\")", "")),
                ];
                for (kind, text) in changes.into_iter().filter(|(_, text)| *text != rule.text) {
                    let mut policies = self.policies.clone();
                    policies[at].text = file.text.replace(&rule.text, &text);
                    let files = self.files.iter().map(|(path, value)| SourceFile { path: path.clone(), text: value.to_string() });
                    let files = files.chain(policies).collect();
                    self.mutants.push(Mutant { kind, about: format!("{} {}", file.path, rule.id), files });
                }
            }
        }
    }

    /// Every place of a value for which `found` says what it is.
    fn places(&self, found: fn(&str, &Value) -> Option<String>) -> Vec<(usize, String, String)> {
        fn walk(
            pointer: &str,
            key: &str,
            value: &Value,
            found: fn(&str, &Value) -> Option<String>,
            into: &mut Vec<(String, String)>,
        ) {
            if let Some(about) = found(key, value) {
                into.push((pointer.to_owned(), about));
            }
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| {
                    walk(&format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), key, value, found, into);
                }),
                Value::Array(all) => {
                    all.iter().enumerate().for_each(|(n, value)| walk(&format!("{pointer}/{n}"), key, value, found, into));
                }
                _ => {}
            }
        }
        let mut places = Vec::new();
        for (n, (path, value)) in self.files.iter().enumerate() {
            let mut of_file = Vec::new();
            walk("", "", value, found, &mut of_file);
            places.extend(of_file.into_iter().map(|(pointer, about)| (n, pointer, format!("{path} {about}"))));
        }
        places
    }

    fn statements(&mut self) {
        let statements = self.places(|_, value| {
            value.get("Effect")?;
            Some(value.get("Sid").and_then(Value::as_str).unwrap_or("a statement").to_owned())
        });
        for (file, pointer, about) in statements {
            let (list, place) = pointer.rsplit_once('/').unwrap();
            let place: usize = place.parse().unwrap();
            self.change("statement removed", &about, file, list, |list| drop(list.as_array_mut().unwrap().remove(place)));
            self.change("effect turned around", &about, file, &pointer, |statement| {
                let turned = if statement["Effect"] == "Allow" { "Deny" } else { "Allow" };
                statement["Effect"] = json!(turned);
            });
            if self.files[file].1.pointer(&format!("{pointer}/Condition")).is_some() {
                self.change("conditions removed", &about, file, &pointer, |statement| {
                    statement.as_object_mut().unwrap().remove("Condition");
                });
            }
        }
    }

    fn rows(&mut self) {
        let rows = self.places(|_, value| Some(format!("({}, {})", value.get("agent")?.as_str()?, value.get("tool")?.as_str()?)));
        for (file, pointer, about) in rows {
            let place: usize = pointer.rsplit_once('/').unwrap().1.parse().unwrap();
            self.change("row removed", &about, file, "/tool_policies", |list| drop(list.as_array_mut().unwrap().remove(place)));
            self.change("row turned around", &about, file, &pointer, |row| {
                let forbids = row.get("allowed") == Some(&json!(false));
                row["allowed"] = json!(forbids);
                row["max_risk"] = row.get("max_risk").cloned().unwrap_or(json!("critical"));
            });
            let risk = self.files[file].1.pointer(&format!("{pointer}/max_risk")).and_then(Value::as_str).map(str::to_owned);
            let risks = ["low", "medium", "high", "critical"];
            let Some(at) = risk.and_then(|risk| risks.iter().position(|known| *known == risk)) else { continue };
            if at > 0 {
                self.change("risk lowered", &about, file, &pointer, |row| row["max_risk"] = json!(risks[at - 1]));
            }
            if at < 3 {
                self.change("risk raised", &about, file, &pointer, |row| row["max_risk"] = json!("critical"));
            }
        }
    }

    fn spaces(&mut self) {
        let lists =
            self.places(|key, value| (matches!(key, "tools" | "agents") && value.is_string()).then(|| format!("{key} {value}")));
        for (file, pointer, about) in lists {
            if !self.files[file].0.starts_with("spaces") {
                continue;
            }
            let (list, place) = pointer.rsplit_once('/').unwrap();
            let place: usize = place.parse().unwrap();
            let about = format!("{about} of {}", list.rsplit_once('/').unwrap().0);
            self.change("list shortened", &about, file, list, |list| drop(list.as_array_mut().unwrap().remove(place)));
        }
        for (file, pointer, about) in self.places(|key, value| (key == "mandate").then(|| format!("mandate {value}"))) {
            let classes = ["READ_ONLY", "MUTATIVE", "DESTRUCTIVE"];
            let mandate = self.files[file].1.pointer(&pointer).and_then(Value::as_str).unwrap();
            let at = classes.iter().position(|class| *class == mandate).unwrap();
            if at < 2 {
                self.change("mandate raised", &about, file, &pointer, |mandate| *mandate = json!("DESTRUCTIVE"));
            }
            if at > 0 {
                self.change("mandate lowered", &about, file, &pointer, |mandate| *mandate = json!(classes[at - 1]));
            }
        }
    }

    fn attachments(&mut self) {
        let attached = self.places(|key, value| {
            let attached = matches!(key, "service_control_policies" | "policies") && value.is_string();
            attached.then(|| format!("{key} {value}"))
        });
        for (file, pointer, about) in attached {
            let (list, place) = pointer.rsplit_once('/').unwrap();
            let place: usize = place.parse().unwrap();
            self.change("policy detached", &about, file, list, |list| drop(list.as_array_mut().unwrap().remove(place)));
        }
        for (file, pointer, about) in self.places(|key, _| (key == "permissions_boundary").then(|| "a boundary".to_owned())) {
            let holder = pointer.rsplit_once('/').unwrap().0;
            self.change("boundary removed", &about, file, holder, |holder| {
                holder.as_object_mut().unwrap().remove("permissions_boundary");
            });
        }
        for (file, pointer, about) in self.places(|key, value| (key == "risk").then(|| format!("risk {value}"))) {
            self.change("tool's risk forgotten", &format!("{about} {pointer}"), file, &pointer, |risk| *risk = json!("low"));
        }
    }
}

/// No tool is called in the role of operators, or as a user.
const NO_CALL: &str = "no call of a tool can reach it";

/// What the cases don't notice, and why. A list that should only ever shrink.
const SURVIVE: &[(&str, &str)] = &[
    (
        "conditions removed: policies/deny-when-accessed-via-mcp.json DenyWhenAccessedViaMCP",
        "every call of a tool is made through an MCP server",
    ),
    ("statement removed: policies/trust-operators.json TheOperatorApp", NO_CALL),
    ("effect turned around: policies/trust-operators.json TheOperatorApp", NO_CALL),
    ("statement removed: policies/trust-operators.json PeopleWithKeys", NO_CALL),
    ("effect turned around: policies/trust-operators.json PeopleWithKeys", NO_CALL),
    ("effect turned around: roles.yaml a statement", "it is about iam:CreateServiceLinkedRole"),
    ("conditions removed: roles.yaml a statement", "it is about iam:CreateServiceLinkedRole"),
    ("statement removed: roles.yaml Operate", NO_CALL),
    ("effect turned around: roles.yaml Operate", NO_CALL),
    ("statement removed: roles.yaml Look", NO_CALL),
    ("effect turned around: roles.yaml Look", NO_CALL),
    (
        "policy detached: organization.yaml service_control_policies \"FullAWSAccess\"",
        "of the unit in which everything is denied by name anyhow",
    ),
    ("policy detached: roles.yaml policies \"McpPlanAccess\"", "planning reads, and another policy of the role lets it read"),
    ("policy detached: roles.yaml policies \"AIDevOpsOperatorAppAccessPolicy\"", NO_CALL),
    ("policy removed: policies/finance.dw trial-no-large-transfers", "it is only logged"),
    ("policy turned around: policies/finance.dw trial-no-large-transfers", "it is only logged"),
];

/// Whether a case is no longer read, or fails. Those that suppose nothing come first: what others suppose takes long to compile.
fn noticed(organization: &Arc<Organization>, lock: &Lock, suite: &[SourceFile]) -> bool {
    let Ok(cases) = cases::read(suite, &Known::new(organization, Some(lock))) else { return true };
    let (supposing, plain): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.suppose.is_some());
    [plain, supposing].iter().any(|cases| {
        let trial = Trial::new(organization, Some(lock), cases);
        let mut coverage = Coverage::default();
        cases.iter().any(|case| trial.run(case, &mut coverage).map_or(true, |outcome| !outcome.mismatches.is_empty()))
    })
}

#[test]
fn the_sample_organizations_cases_notice_what_changes() {
    let mut maker = Maker::new();
    maker.statements();
    maker.rows();
    maker.spaces();
    maker.attachments();
    maker.policies();
    let (lock, suite) = (lock(), suite());
    let mut tally: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut survivors = Vec::new();
    for Mutant { kind, about, files } in &maker.mutants {
        let counts = tally.entry(kind).or_default();
        // Turned into what nobody would accept: `remit check` refuses it before any case is run.
        let Ok(loaded) = remit_config::read(files) else {
            counts[1] += 1;
            continue;
        };
        let organization = Arc::new(loaded.organization);
        if noticed(&organization, &lock, &suite) {
            counts[0] += 1;
        } else {
            counts[2] += 1;
            survivors.push(format!("{kind}: {about}"));
        }
    }
    let sum = |n: usize| tally.values().map(|counts| counts[n]).sum::<usize>();
    for (kind, [noticed, refused, missed]) in &tally {
        println!("{kind:<22} {noticed:>4} noticed {refused:>4} refused {missed:>4} missed");
    }
    println!("{:<22} {:>4} noticed {:>4} refused {:>4} missed of {}", "all", sum(0), sum(1), sum(2), maker.mutants.len());
    SURVIVE.iter().for_each(|(mutant, why)| println!("missed {mutant}: {why}"));
    let expected: Vec<&str> = SURVIVE.iter().map(|(mutant, _)| *mutant).collect();
    assert_eq!(survivors, expected, "the cases of examples/acme/tests should notice these");
    assert!(sum(0) > 100, "too few changes were tried");
}
