//! The guide is the fixture: its files are the configuration, and every command of its verify steps is run and answers as it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::aws::{Peers, isolated, said};
use crate::gateway::{Place, Remit};

/// A block of the guide.
pub(crate) struct Block<'a> {
    pub(crate) heading: &'a str,
    /// The words after the fence: the language, and what else is to be known.
    pub(crate) info: &'a str,
    pub(crate) text: String,
}

pub(crate) fn blocks(guide: &str) -> Vec<Block<'_>> {
    let (mut found, mut heading, mut lines) = (Vec::new(), "", guide.lines());
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            heading = line;
        } else if let Some(info) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(Block { heading, info, text: text.join("\n") + "\n" });
        }
    }
    found
}

/// The file that a block's first line names.
pub(crate) fn named(block: &Block<'_>) -> PathBuf {
    let first = block.text.lines().next().unwrap();
    PathBuf::from(first.strip_prefix("# ").unwrap_or_else(|| panic!("{first:?} names no file")))
}

struct Run {
    place: Option<Place>,
    remit: Option<Remit>,
    peers: Peers,
}

impl Run {
    fn root(&self) -> &Path {
        self.remit.as_ref().map_or_else(|| self.place.as_ref().unwrap().root(), |remit| remit.place().root())
    }

    /// Puts a file where the guide has it.
    fn write(&self, block: &Block<'_>) {
        let path = self.root().join(named(block));
        std::fs::write(path, &block.text).unwrap();
    }

    /// The gateway, which the first verify step needs; from then on it takes the files that there are.
    fn settle(&mut self) {
        if let Some(remit) = &self.remit {
            let (status, answer) = remit.operator("POST /v1/reload", "");
            assert_eq!(status, 200, "{answer}");
        } else {
            let remit = Remit::up_at(self.place.take().unwrap(), &[]);
            let root = remit.place().root();
            std::os::unix::fs::symlink(remit.place().data(), root.join(".remit")).unwrap();
            std::fs::create_dir(root.join("bin")).unwrap();
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_remit"), root.join("bin/remit")).unwrap();
            std::os::unix::fs::symlink(self.peers.bin("aws"), root.join("bin/aws")).unwrap();
            self.remit = Some(remit);
        }
        for server in ["observability", "helpdesk"] {
            self.remit.as_ref().unwrap().until_server(server, "ready");
        }
    }

    /// Runs a block of commands as a reader would; answers the exit code and what was said.
    fn run(&self, commands: &str) -> (i32, String) {
        let remit = self.remit.as_ref().unwrap();
        let path = format!("{}:{}", self.root().join("bin").display(), std::env::var("PATH").unwrap());
        let mut shell: Command = isolated(Path::new("bash"), remit);
        shell.env_remove("AWS_DEFAULT_REGION").env_remove("AWS_CONFIG_FILE").env("PATH", path).current_dir(self.root());
        let done = said(shell.args(["-e", "-o", "pipefail", "-c", &self.here(commands)]));
        (done.code, done.out + done.err.as_str())
    }

    /// With the port that the test's gateway has.
    fn here(&self, text: &str) -> String {
        text.replace("http://127.0.0.1:7480", &format!("http://{}", self.remit.as_ref().unwrap().addr))
    }
}

#[test]
fn every_verify_step_of_the_devops_agent_guide() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/devops-agent.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let place = Place::new();
    // The guide's directory is the one that the gateway is given.
    std::fs::rename(place.config(), place.root().join("devops")).unwrap();
    std::os::unix::fs::symlink("devops", place.config()).unwrap();
    std::fs::create_dir(place.root().join(".aws")).unwrap();
    let mut run = Run { place: Some(place), remit: None, peers: Peers::installed() };
    let blocks = blocks(&guide);
    let (mut steps, mut changed, mut profiles) = (0, false, None);
    let mut blocks = blocks.iter().peekable();
    while let Some(block) = blocks.next() {
        match (block.info, block.heading) {
            ("yaml", _) => {
                run.write(block);
                changed = true;
            }
            ("ini", _) => profiles = Some(&block.text),
            ("sh" | "sh refused", "### Verify") => {
                if changed {
                    run.settle();
                    changed = false;
                }
                if let Some(profiles) = profiles.take() {
                    std::fs::write(run.root().join(".aws/config"), run.here(profiles)).unwrap();
                }
                let (code, said) = run.run(&block.text);
                assert_eq!(code != 0, block.info == "sh refused", "{}\n{said}", block.text);
                // What it says stands in the block after it.
                let expected = blocks.next().filter(|next| next.info == "text" && next.heading == "### Verify");
                for line in expected.unwrap_or_else(|| panic!("nothing is expected of\n{}", block.text)).text.lines() {
                    assert!(said.contains(line), "{line:?} isn't in what\n{}said:\n{said}", block.text);
                }
                steps += 1;
            }
            ("sh", _) => {
                assert_eq!(block.text, "remit up --config devops\n", "only the start stands outside a verify step");
            }
            ("json", _) => drop(crate::client::json(&block.text)),
            (info, heading) => panic!("{info:?} under {heading:?}"),
        }
    }
    assert!(steps >= 15, "{steps}");
    run.remit.unwrap().stop();
}
