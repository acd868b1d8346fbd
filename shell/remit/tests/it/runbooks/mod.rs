//! The runbooks are the fixture: each test makes a situation with a running gateway, and whoever is on duty does what the runbook says, reads from
//! what was printed what is to be filled in, and must see what the runbook says that they see.

mod denials;
mod drift;
mod full;
mod injection;
mod people;
mod unusual;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::gateway::{Place, Remit, until};

const TEXT: &str = include_str!("../../../../../docs/guides/runbooks.md");
/// The section that every walk ends with.
const OVER: &str = "When it is over";
/// Who is on duty.
const ON_DUTY: &str = "olive";

/// One thing of a runbook that is to be done.
#[derive(Debug)]
enum Step {
    /// Commands, and what is printed.
    Run { commands: String, ends: Ends, shows: Vec<String> },
    /// A file to be written.
    Write { path: PathBuf, text: String },
    /// What a person must judge.
    Judge,
}

/// How commands end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Refused,
    /// They are given again until they show what they should.
    Showing,
}

/// How much there was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    commands: usize,
    judged: usize,
}

/// One runbook: what is done first, and what after that, by heading.
struct Runbook {
    first: Vec<Step>,
    branches: Vec<(&'static str, Vec<Step>)>,
}

/// Whether something is expected of commands; copying says nothing.
fn shown(commands: &str, shows: &[String]) -> bool {
    !shows.is_empty() || commands.starts_with("cp ")
}

/// The words that are to be filled in, as the page lists them.
fn words() -> Vec<&'static str> {
    let line = TEXT.lines().find_map(|line| line.strip_prefix("Fill in: ")).expect("the page says what is to be filled in");
    line.trim_end_matches('.').split(", ").collect()
}

fn steps(text: &'static str) -> Vec<Step> {
    let (mut steps, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            if line.starts_with("**You judge**") {
                steps.push(Step::Judge);
            }
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let run = |ends| Step::Run { commands: block.join("\n"), ends, shows: Vec::new() };
        match (info, steps.last_mut()) {
            ("sh", _) => steps.push(run(Ends::Well)),
            ("sh refused", _) => steps.push(run(Ends::Refused)),
            ("sh until", _) => steps.push(run(Ends::Showing)),
            ("text", Some(Step::Run { shows, .. })) => shows.extend(block.iter().map(|line| line.trim().to_owned())),
            ("yaml", _) => {
                let path = PathBuf::from(block[0].strip_prefix("# ").expect("a file's first line names it"));
                steps.push(Step::Write { path, text: block.join("\n") + "\n" });
            }
            other => panic!("{other:?} is no step"),
        }
    }
    steps
}

impl Runbook {
    fn of(section: &str) -> Self {
        let (_, text) = TEXT.split_once(&format!("## {section}\n")).unwrap_or_else(|| panic!("there is no runbook {section}"));
        let text = text.split("\n## ").next().unwrap();
        let mut parts = text.split("\n### ");
        let first = steps(parts.next().unwrap());
        let branches = parts.map(|part| part.split_once('\n').unwrap()).map(|(name, text)| (name, steps(text))).collect();
        Self { first, branches }
    }

    /// What may have to be done after the first steps; an empty name where nothing is to be chosen.
    fn branches(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.branches.iter().map(|(name, _)| *name).filter(|name| *name != OVER).collect();
        if names.is_empty() {
            names.push("");
        }
        names
    }

    fn branch(&self, name: &str) -> &[Step] {
        self.branches.iter().find(|(of, _)| *of == name).map_or(&[], |(_, steps)| steps)
    }

    fn count(&self) -> Count {
        let all = || self.first.iter().chain(self.branches.iter().flat_map(|(_, steps)| steps));
        Count {
            commands: all().filter(|step| matches!(step, Step::Run { .. })).count(),
            judged: all().filter(|step| matches!(step, Step::Judge)).count(),
        }
    }
}

/// Whoever is on duty, in a shell at the gateway's machine.
struct Duty {
    root: PathBuf,
    remit: Option<Remit>,
    /// What the gateway is started with.
    options: &'static [&'static str],
    filled: BTreeMap<String, String>,
}

impl Duty {
    /// At a gateway that follows the directory `acme`.
    fn at(place: Place, options: &'static [&'static str]) -> Self {
        let root = place.root().to_owned();
        std::fs::rename(place.config(), root.join("acme")).unwrap();
        std::os::unix::fs::symlink("acme", place.config()).unwrap();
        std::fs::create_dir(root.join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_remit"), root.join("bin/remit")).unwrap();
        std::os::unix::fs::symlink(place.data(), root.join(".remit")).unwrap();
        Self { root, remit: Some(Remit::up_at(place, options)), options, filled: BTreeMap::new() }
    }

    fn remit(&self) -> &Remit {
        self.remit.as_ref().unwrap()
    }

    /// What they know before they begin.
    fn knows(&mut self, word: &str, value: &str) {
        assert!(words().contains(&word), "{word} is no word of the page");
        self.filled.insert(word.to_owned(), value.to_owned());
    }

    fn known(&self, word: &str) -> &str {
        self.filled.get(word).unwrap_or_else(|| panic!("{word} was never read"))
    }

    /// What the service manager does.
    fn restart(&mut self) {
        let remit = self.remit.take().unwrap();
        crate::gateway::signal("TERM", remit.pid());
        let (place, _) = remit.wait();
        self.remit = Some(Remit::up_at(place, self.options));
    }

    /// Follows a runbook from its beginning to its end by one of its branches. `after` sees what has become of each command.
    fn follow(&mut self, runbook: &Runbook, branch: &str, mut after: impl FnMut(&Self, &str)) {
        for step in runbook.first.iter().chain(runbook.branch(branch)).chain(runbook.branch(OVER)) {
            self.take(step);
            if let Step::Run { commands, .. } = step {
                after(self, commands);
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Judge => {}
            Step::Write { path, text } => {
                let text = self.fill(text);
                std::fs::write(self.root.join(path), text).unwrap();
            }
            Step::Run { commands, ends, shows } => {
                assert!(shown(commands, shows), "nobody knows what\n{commands}\nshows");
                let commands = self.fill(commands);
                if *ends == Ends::Showing {
                    let mut said = String::new();
                    until(&commands, || {
                        said = self.run(&commands).1;
                        self.missed(shows, &said).is_none()
                    });
                    self.learn(shows, &said);
                    return;
                }
                let (code, said) = self.run(&commands);
                assert_eq!(code != 0, *ends == Ends::Refused, "{commands}\n{said}");
                if let Some(line) = self.missed(shows, &said) {
                    panic!("{line:?} (with {:?}) isn't in what\n{commands}\nsaid:\n{said}", self.filled);
                }
                self.learn(shows, &said);
            }
        }
    }

    /// Runs commands as a person would; answers the exit code and what was said.
    fn run(&mut self, commands: &str) -> (i32, String) {
        if commands == "systemctl restart remit" {
            self.restart();
            return (0, self.remit().ready.to_string());
        }
        let path = format!("{}:{}", self.root.join("bin").display(), std::env::var("PATH").unwrap());
        let commands = commands.replace("127.0.0.1:7481", &self.remit().control.to_string());
        let mut shell = Command::new("bash");
        shell.env("USER", ON_DUTY).env("PATH", path).current_dir(&self.root).args(["-e", "-o", "pipefail", "-c", &commands]);
        let done = shell.output().unwrap();
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (done.status.code().unwrap_or(-1), said)
    }

    /// A text with all that is to be filled in.
    fn fill(&self, text: &str) -> String {
        pieces(text)
            .map(|piece| match piece {
                Piece::Word(word) => self.known(word).to_owned(),
                Piece::Text(text) => text.to_owned(),
            })
            .collect()
    }

    /// What a line of the page is to be found by; what isn't known yet is whatever stands there.
    fn pattern(&self, line: &str) -> Regex {
        let mut pattern = String::new();
        let mut named = Vec::new();
        for piece in pieces(line) {
            match piece {
                Piece::Text(text) => {
                    let parts: Vec<String> = text.split('…').map(regex::escape).collect();
                    pattern.push_str(&parts.join(".*?"));
                }
                Piece::Word(word) => match self.filled.get(word) {
                    Some(value) => pattern.push_str(&regex::escape(value)),
                    None if named.contains(&word) => panic!("{line:?} has {word} twice before it is known"),
                    None => {
                        named.push(word);
                        write!(pattern, "(?P<{word}>[^\\s\"(),:]+)").unwrap();
                    }
                },
            }
        }
        // Columns are as wide as they are.
        let pattern = Regex::new(" +").unwrap().replace_all(&pattern, "\\s+").into_owned();
        Regex::new(&pattern).unwrap()
    }

    /// The first line of the page that isn't in what was said.
    fn missed<'a>(&self, shows: &'a [String], said: &str) -> Option<&'a str> {
        shows.iter().map(String::as_str).find(|line| !said.lines().any(|of| self.pattern(line).is_match(of)))
    }

    /// Reads from what was said what is to be filled in.
    fn learn(&mut self, shows: &[String], said: &str) {
        for line in shows {
            let pattern = self.pattern(line);
            let found = said.lines().find_map(|of| pattern.captures(of)).unwrap();
            for word in pattern.capture_names().flatten() {
                self.filled.insert(word.to_owned(), found[word].to_owned());
            }
        }
    }
}

/// A part of a text of the page.
enum Piece<'a> {
    Text(&'a str),
    /// A word to be filled in.
    Word(&'static str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let words = words();
    let mut rest = text;
    std::iter::from_fn(move || {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let at = |word: &'static str| {
            rest.match_indices(word)
                .map(|(at, _)| at)
                .find(|at| !rest[..*at].ends_with(joins) && !rest[at + word.len()..].starts_with(joins))
                .map(|at| (at, word))
        };
        match words.iter().filter_map(|word| at(word)).min() {
            _ if rest.is_empty() => None,
            Some((0, word)) => {
                rest = &rest[word.len()..];
                Some(Piece::Word(word))
            }
            found => {
                let (text, after) = rest.split_at(found.map_or(rest.len(), |(at, _)| at));
                rest = after;
                Some(Piece::Text(text))
            }
        }
    })
}

#[test]
fn every_runbook_is_followed_by_a_test_and_every_command_of_theirs_shows_something() {
    let named: Vec<&str> = TEXT.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut followed =
        [denials::SECTION, unusual::SECTION, drift::SECTION, people::ESCALATION, injection::SECTION, people::LOST, full::SECTION];
    followed.sort_unstable();
    let mut sorted = named.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, followed);
    for section in named {
        let runbook = Runbook::of(section);
        let all = runbook.first.iter().chain(runbook.branches.iter().flat_map(|(_, steps)| steps));
        for step in all {
            if let Step::Run { commands, shows, .. } = step {
                assert!(shown(commands, shows), "{section}: nobody knows what\n{commands}\nshows");
            }
        }
        assert!(runbook.count().commands >= 4, "{section}");
    }
}

#[test]
fn a_page_that_is_wrong_is_found() {
    let words = |text: &str| pieces(text).filter(|piece| matches!(piece, Piece::Word(_))).count();
    assert_eq!((words("remit explain --agent AGENT --tool TOOL"), words("AGENTS ALARM GAGENT AGENT-1")), (2, 0));
    let found = Path::new("a");
    let duty = Duty {
        root: found.to_owned(),
        remit: None,
        options: &[],
        filled: BTreeMap::from([("AGENT".to_owned(), "a.b".to_owned())]),
    };
    let shows = ["DENY  AGENT in SPACE: … (REASON)".to_owned()];
    assert_eq!(duty.missed(&shows, "  8 DENY a.b in desk: → x (unknown)  #1"), None);
    assert!(duty.missed(&shows, "  8 DENY axb in desk: → x (unknown)  #1").is_some(), "another agent");
    assert!(duty.missed(&shows, "ALLOW a.b in desk: → x (unknown)").is_some());
}
