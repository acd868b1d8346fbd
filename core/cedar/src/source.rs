//! The texts of a policy set, read.

use dogwood_language::{Error, ParsedPolicySet, ServiceSchema};

use crate::split::{BRACKETS_DEEP_MAX, Unit, brackets_deep, column_of, line_of, split};
use crate::vocabulary::EVENTS;

/// The most policies of a set.
const RULES_MAX: usize = 20_000;

/// Whether what is said is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// It is enforced.
    #[default]
    Active,
    /// It is asked and recorded, and changes nothing.
    LogOnly,
}

impl Mode {
    /// As AgentCore writes it for a policy.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ACTIVE" => Some(Self::Active),
            "LOG_ONLY" => Some(Self::LogOnly),
            _ => None,
        }
    }
}

/// Whose history a temporal condition sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryScope {
    /// The policy session's, as in AgentCore. The caller names the session.
    #[default]
    Session,
    /// All sessions of the agent and, in a delegation, the user for whom it acts.
    Principal,
    /// All sessions of the agent, for whomever it acts.
    Agent,
    /// Everybody's in the space.
    Space,
}

impl HistoryScope {
    /// All, the narrowest first.
    pub const ALL: [Self; 4] = [Self::Session, Self::Principal, Self::Agent, Self::Space];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Principal => "principal",
            Self::Agent => "agent",
            Self::Space => "space",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleEffect {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
}

impl RuleEffect {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

/// One policy of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whether it bears its name itself.
    pub(crate) is_named: bool,
    /// Its name: `@id("…")`, else its file's name and its place in it: `refunds#2`.
    pub id: String,
    /// Where it stands: file and line.
    pub origin: String,
    /// What it does.
    pub effect: RuleEffect,
    /// `@mode("LOG_ONLY")`, or its file's mode.
    pub mode: Mode,
    /// `@history("principal")`: whose history its temporal conditions see.
    pub scope: HistoryScope,
    /// Its text, without the definitions of its file.
    pub text: String,
    /// Which file it is in, and which of the file's policies it is.
    pub(crate) place: (usize, usize),
}

/// A file of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, for people.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The mode of its policies that state none.
    pub mode: Mode,
}

/// Something wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it, if that is known.
    pub mend: Option<String>,
}

/// The texts of a set, read without the tools.
#[derive(Debug, Clone)]
pub struct Source {
    /// Whether the whole set is enforced.
    pub mode: Mode,
    pub(crate) files: Vec<File>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) parsed: Vec<std::sync::Arc<ParsedPolicySet>>,
    pub(crate) service: ServiceSchema,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.mode == other.mode && self.files == other.files
    }
}

impl Source {
    /// Reads files: all of them, or every fault.
    pub fn read(mode: Mode, files: Vec<File>) -> Result<Self, Vec<Fault>> {
        let service = match service() {
            Ok(service) => service,
            Err(error) => {
                return Err(vec![Fault { path: String::new(), line: 1, column: 1, what: error.to_string(), mend: None }]);
            }
        };
        Self::read_with(mode, files, service)
    }

    /// The same over another event schema.
    pub(crate) fn read_with(mode: Mode, files: Vec<File>, service: ServiceSchema) -> Result<Self, Vec<Fault>> {
        let (mut rules, mut parsed, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (index, file) in files.iter().enumerate() {
            if brackets_deep(&file.text) > BRACKETS_DEEP_MAX {
                faults.push(Fault {
                    path: file.path.clone(),
                    line: 1,
                    column: 1,
                    what: format!("brackets stand within more than {BRACKETS_DEEP_MAX} others"),
                    mend: Some("close each bracket, and write the condition flatter".to_owned()),
                });
                continue;
            }
            match ParsedPolicySet::parse(&file.text, &service) {
                Ok(set) => {
                    read_rules(index, file, set.policy_count(), &mut rules, &mut faults);
                    parsed.push(std::sync::Arc::new(set));
                }
                Err(error) => faults.extend(located(file, &|at| at, &error)),
            }
        }
        let mut seen = std::collections::HashMap::new();
        for rule in &rules {
            if let Some(first) = seen.insert(rule.id.as_str(), rule.origin.as_str()) {
                let (path, line) = rule.origin.rsplit_once(':').unwrap_or((&rule.origin, "1"));
                faults.push(Fault {
                    path: path.to_owned(),
                    line: line.parse().unwrap_or(1),
                    column: 1,
                    what: format!("another policy of this set is named `{}` ({first})", rule.id),
                    mend: Some("give each its own `@id`".to_owned()),
                });
            }
        }
        if rules.len() > RULES_MAX {
            let path = files.first().map(|file| file.path.clone()).unwrap_or_default();
            faults.push(Fault {
                path,
                line: 1,
                column: 1,
                what: format!("more than {RULES_MAX} policies in one set"),
                mend: None,
            });
        }
        if faults.is_empty() { Ok(Self { mode, files, rules, parsed, service }) } else { Err(faults) }
    }

    /// What stands for texts that can't be read: it permits nothing.
    pub fn unreadable() -> Self {
        Self {
            mode: Mode::Active,
            files: Vec::new(),
            rules: Vec::new(),
            parsed: Vec::new(),
            service: service().unwrap_or_else(|error| unreachable!("the events are tested: {error}")),
        }
    }

    /// Its rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Its files.
    pub fn files(&self) -> &[File] {
        &self.files
    }
}

fn service() -> Result<ServiceSchema, Error> {
    ServiceSchema::builder().event_schema_str(EVENTS).build()
}

fn read_rules(index: usize, file: &File, count: usize, rules: &mut Vec<Rule>, faults: &mut Vec<Fault>) {
    let units: Vec<Unit> = split(&file.text).into_iter().filter(|unit| !unit.is_def).collect();
    if units.len() != count {
        faults.push(Fault {
            path: file.path.clone(),
            line: 1,
            column: 1,
            what: format!("{count} policies were read, and {} have a place", units.len()),
            mend: Some("end each policy with a semicolon".to_owned()),
        });
        return;
    }
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let name = name.split('.').next().unwrap_or(name);
    for (at, unit) in units.into_iter().enumerate() {
        let said = |name: &str| unit.annotations.iter().find(|(said, _)| said == name).map(|(_, value)| value.as_str());
        let mut fault = |what: String, mend: &str| {
            faults.push(Fault { path: file.path.clone(), line: unit.line, column: 1, what, mend: Some(mend.to_owned()) });
        };
        if !unit.is_known || unit.annotations.iter().any(|(_, value)| value.contains('\\')) {
            // What stands where must be beyond doubt: else a rule's effect or mode would be taken for another's.
            fault(
                "it can't be told for certain where this policy's annotations end".to_owned(),
                "write each annotation as `@name(\"value\")`, without escapes",
            );
            continue;
        }
        if ["id", "mode", "history"].iter().any(|name| unit.annotations.iter().filter(|(said, _)| said == name).count() > 1) {
            fault("an annotation stands twice".to_owned(), "keep one");
            continue;
        }
        let mode = match said("mode").map(|word| (word, Mode::parse(word))) {
            None => file.mode,
            Some((_, Some(mode))) => mode,
            Some((word, None)) => {
                fault(format!("`@mode(\"{word}\")` is no mode"), "write `ACTIVE` or `LOG_ONLY`");
                continue;
            }
        };
        let scope = match said("history").map(|word| (word, HistoryScope::parse(word))) {
            None => HistoryScope::default(),
            Some((_, Some(scope))) => scope,
            Some((word, None)) => {
                fault(format!("`@history(\"{word}\")` is nobody's history"), "write `session`, `principal`, `agent` or `space`");
                continue;
            }
        };
        rules.push(Rule {
            is_named: said("id").is_some(),
            id: said("id").map_or_else(|| format!("{name}#{}", at + 1), str::to_owned),
            origin: format!("{}:{}", file.path, unit.line),
            effect: if unit.forbids { RuleEffect::Forbid } else { RuleEffect::Permit },
            mode,
            scope,
            text: file.text.get(unit.span).unwrap_or_default().to_owned(),
            place: (index, at),
        });
    }
}

impl Fault {
    /// What is wrong at a place in a file.
    pub(crate) fn at(file: &File, at: usize, what: String, mend: Option<String>) -> Self {
        Self { path: file.path.clone(), line: line_of(&file.text, at), column: column_of(&file.text, at), what, mend }
    }
}

/// An error of the parser as faults with places: `place` leads from the parsed text to the file's.
pub(crate) fn located(file: &File, place: &dyn Fn(usize) -> usize, error: &Error) -> Vec<Fault> {
    let at = |offset: Option<usize>, what: String| Fault::at(file, place(offset.unwrap_or_default()), what, None);
    match error {
        Error::Parse(errors) => {
            errors.iter().map(|error| at(Some(error.location().span().offset()), error.to_string())).collect()
        }
        Error::Macro(error) => vec![at(Some(error.location().span().offset()), error.to_string())],
        Error::Cedarify(error) => vec![at(error.location().map(|location| location.span().offset()), error.to_string())],
        other => vec![at(None, other.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { path: "policies/refunds.dw".to_owned(), text: text.to_owned(), mode: Mode::Active }
    }

    #[test]
    fn rules_have_names_places_modes_and_scopes() {
        let text = "@id(\"one\")\npermit (principal, action, resource);\n\n@mode(\"LOG_ONLY\") @history(\"principal\")\nforbid (principal, action, resource) when { true };\n";
        let source = Source::read(Mode::Active, vec![file(text)]).unwrap();
        let [one, two] = source.rules() else { panic!("two rules") };
        assert_eq!(
            (one.id.as_str(), one.origin.as_str(), one.effect, one.mode, one.scope),
            ("one", "policies/refunds.dw:2", RuleEffect::Permit, Mode::Active, HistoryScope::Session)
        );
        assert_eq!(
            (two.id.as_str(), two.origin.as_str(), two.effect, two.mode, two.scope),
            ("refunds#2", "policies/refunds.dw:5", RuleEffect::Forbid, Mode::LogOnly, HistoryScope::Principal)
        );
    }

    #[test]
    fn faults_have_places() {
        for (text, line, what) in [
            ("permit (principal, action, resource)\nwhen { context.input. };", 2, ""),
            ("\n@mode(\"MAYBE\")\npermit (principal, action, resource);", 3, "is no mode"),
            ("@history(\"mine\") permit (principal, action, resource);", 1, "nobody's history"),
            (
                "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
                2,
                "is named `a`",
            ),
            ("permit (principal, action, resource) when temporal { formerly within 1x A::Action::\"b\"::request{} };", 1, ""),
        ] {
            let faults = Source::read(Mode::Active, vec![file(text)]).unwrap_err();
            let fault = faults.first().unwrap();
            assert_eq!((fault.path.as_str(), fault.line), ("policies/refunds.dw", line), "{fault:?}");
            assert!(fault.what.contains(what), "{fault:?}");
        }
    }
}
