//! The guide to policy as code is the fixture: its files are the directories, and every command on it is run and answers as it says.

use std::path::Path;
use std::process::Command;

use crate::aws_guide::{blocks, named};
use crate::gateway::{Place, Remit};

/// What stands on the page for what a reader has: the reviewers' keys, and the newest plan.
#[derive(Default)]
struct Filled(Vec<(&'static str, String)>);

impl Filled {
    fn put(&mut self, word: &'static str, value: &str) {
        self.0.retain(|(known, _)| *known != word);
        self.0.push((word, value.to_owned()));
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    /// Takes from what was said what a reader would take from it.
    fn learn(&mut self, said: &str) {
        for (word, name) in [("DANA", "dana+"), ("ROBIN", "robin+")] {
            if let Some(line) = said.lines().find(|line| line.starts_with(name)) {
                self.put(word, line);
            }
        }
        if let Some((_, plan)) = said.split_once("as plan ") {
            self.put("PLAN", plan.split_whitespace().next().unwrap());
        }
    }
}

#[test]
fn every_step_of_the_policy_as_code_guide() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/policy-as-code.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let place = Place::new();
    // The guide's directory is the one that the gateway is given.
    std::fs::rename(place.config(), place.root().join("shop")).unwrap();
    std::os::unix::fs::symlink("shop", place.config()).unwrap();
    let root = place.root().to_owned();
    std::fs::create_dir(root.join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_remit"), root.join("bin/remit")).unwrap();
    std::os::unix::fs::symlink(place.data(), root.join(".remit")).unwrap();
    let (mut place, mut remit, mut filled) = (Some(place), None::<Remit>, Filled::default());
    let run = |commands: &str| {
        let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.env_remove("USER").env("PATH", path).current_dir(&root).args(["-e", "-o", "pipefail", "-c", commands]);
        let done = shell.output().unwrap();
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (done.status.code().unwrap_or(-1), said)
    };
    let (mut steps, mut expected_steps) = (0, 0);
    let blocks = blocks(&guide);
    let mut blocks = blocks.iter().peekable();
    while let Some(block) = blocks.next() {
        match block.info {
            "yaml" => {
                let path = root.join(named(block));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, filled.fill(&block.text)).unwrap();
                if let (Some(remit), true) = (&remit, path.starts_with(root.join("shop"))) {
                    let (status, answer) = remit.operator("POST /v1/reload", "");
                    assert_eq!(status, 200, "{answer}");
                }
            }
            "sh" if block.text == "remit up --config shop\n" => {
                let up = Remit::up_at(place.take().unwrap(), &[]);
                up.until_server("helpdesk", "ready");
                remit = Some(up);
            }
            "sh" | "sh refused" => {
                let commands = filled.fill(&block.text);
                let (code, said) = run(&commands);
                assert_eq!(code != 0, block.info == "sh refused", "{commands}\n{said}");
                filled.learn(&said);
                steps += 1;
                if let Some(expected) = blocks.next_if(|next| next.info == "text") {
                    for line in expected.text.lines() {
                        assert!(said.contains(line), "{line:?} isn't in what\n{commands}said:\n{said}");
                    }
                    expected_steps += 1;
                } else {
                    let copies = commands.starts_with("cp ");
                    assert!(copies || block.heading != "### Verify", "nothing is expected of\n{commands}");
                }
            }
            info => panic!("{info:?} under {:?}", block.heading),
        }
    }
    assert!(steps >= 20 && expected_steps >= 16, "{steps} {expected_steps}");
    remit.unwrap().stop();
}
