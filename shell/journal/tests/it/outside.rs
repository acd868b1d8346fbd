//! A journal of Remit's, verified by programs that others wrote: Go's `sumdb` packages and `pymerkle`.
//!
//! Each computes the tree from the leaves by itself, checks every root and inclusion proof, and makes the same ones. Go checks the signatures
//! and the consistency proofs too; `pymerkle`, which lays those out in its own way, shows by its own that the signed roots go on from each other.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_journal::{Reader, inclusion_proof};
use remit_tlog::{Frontier, Hash, Node, ProofError, consistency_proof, leaf_hash};
use serde_json::{Value, json};

use crate::{entry, open, spawn, vkey};

const ENTRIES: u64 = 150;
/// How many of the journal's checkpoints are compared with each other, from the last on.
const COMPARED: usize = 24;

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_base64).collect()
}

/// The root of a perfect subtree.
fn node(leaves: &[Vec<u8>], node: Node) -> Hash {
    let (start, count) = (usize::try_from(node.index).unwrap() << node.level, 1 << node.level);
    let mut frontier = Frontier::new();
    leaves[start..start + count].iter().for_each(|leaf| frontier.append(leaf_hash(leaf)));
    frontier.root()
}

/// Writes a journal with batches of several sizes, and gives all that it says: read back, as anybody could.
fn evidence(dir: &Path) -> Value {
    let (journal, ..) = open(dir).unwrap();
    let mut checkpoints = vec![journal.checkpoint().note];
    let mut written = 0;
    for batch in (1..=7).cycle() {
        let entries: Vec<Vec<u8>> = (written..ENTRIES.min(written + batch)).map(entry).collect();
        if entries.is_empty() {
            break;
        }
        written += entries.len() as u64;
        journal.append_many(entries).wait().unwrap();
    }
    journal.close();
    let mut reader = Reader::open(dir, 0).unwrap();
    let (mut leaves, mut sizes) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next().unwrap() {
        leaves.push(entry.bytes);
        let checkpoint = reader.checkpoint().unwrap();
        if sizes.last() != Some(&checkpoint.size) {
            sizes.push(checkpoint.size);
            checkpoints.push(checkpoint.note.clone());
        }
    }
    assert_eq!(leaves.len() as u64, ENTRIES);
    let mut inclusion = Vec::new();
    for size in [sizes[0], sizes[1], sizes[9], ENTRIES] {
        for index in 0..size {
            let proof = inclusion_proof(dir, index, size).unwrap();
            inclusion.push(json!({"Index": index, "Size": size, "Proof": base64(&proof)}));
        }
    }
    let mut consistency = Vec::new();
    for newer in sizes.iter().rev().take(COMPARED) {
        for older in sizes.iter().take_while(|older| *older <= newer) {
            let proof = consistency_proof(*older, *newer, |wanted| Ok::<_, ProofError>(node(&leaves, wanted))).unwrap();
            consistency.push(json!({"Older": older, "Newer": newer, "Proof": base64(&proof)}));
        }
    }
    let leaves: Vec<String> = leaves.iter().map(|leaf| STANDARD.encode(leaf)).collect();
    json!({"Vkey": vkey(), "Leaves": leaves, "Checkpoints": checkpoints, "Inclusion": inclusion, "Consistency": consistency})
}

/// What each forgery changes, and where.
fn forgeries(sound: &Value) -> Vec<Value> {
    let last = sound["Checkpoints"].as_array().unwrap().len() - 1;
    let mut all = Vec::new();
    let mut forge = |change: &dyn Fn(&mut Value)| {
        let mut forged = sound.clone();
        change(&mut forged);
        all.push(forged);
    };
    forge(&|forged| forged["Leaves"][70] = json!(STANDARD.encode("another entry")));
    forge(&|forged| forged["Leaves"].as_array_mut().unwrap().swap(3, 4));
    forge(&|forged| forged["Inclusion"][100]["Index"] = json!(forged["Inclusion"][101]["Index"]));
    forge(&|forged| forged["Consistency"][9]["Proof"][0] = json!(leaf_hash(b"another").to_base64()));
    forge(&|forged| {
        let note = forged["Checkpoints"][last].as_str().unwrap();
        let root = note.lines().nth(2).unwrap();
        forged["Checkpoints"][last] = json!(note.replace(root, &leaf_hash(b"another").to_base64()));
    });
    // The tree of 149 leaves has another root too, but the signature is looked at first.
    forge(&|forged| {
        let note = forged["Checkpoints"][last].as_str().unwrap().replace("\n150\n", "\n149\n");
        forged["Checkpoints"][last] = json!(note);
    });
    all
}

fn run(program: &mut Command, given: &Value) -> Output {
    let mut child = spawn(program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut input = child.stdin.take().unwrap();
    // A program that ends early says why.
    let _ = input.write_all(given.to_string().as_bytes());
    drop(input);
    child.wait_with_output().unwrap()
}

/// Holds a program to a journal, of which it checks what `pairs` says, and to what was forged of it as far as it can see that.
fn check(pairs: &str, seen: &[usize], mut program: impl FnMut() -> Command) {
    let dir = tempfile::tempdir().unwrap();
    let sound = evidence(dir.path());
    let output = run(&mut program(), &sound);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = ["Checkpoints", "Inclusion", "Consistency"].map(|what| sound[what].as_array().unwrap().len());
    let [checkpoints, inclusion, consistency] = counts;
    assert!(checkpoints > 35 && inclusion > 180 && consistency > 500, "{counts:?}");
    let wanted = format!("{checkpoints} checkpoints, {inclusion} inclusion proofs, {consistency} {pairs}\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
    let forgeries = forgeries(&sound);
    for place in seen {
        assert_eq!(run(&mut program(), &forgeries[*place]).status.code(), Some(1), "forgery {place}");
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/journal").canonicalize().unwrap()
}

/// Where a peer is built and installed.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&place).unwrap();
    place
}

fn ran(command: &mut Command) {
    let output = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_sumdb_packages_of_go_verify_a_journal() {
    let place = place("journal-go");
    let program = place.join("check");
    // Debian's sources of Go packages; nothing is fetched.
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(peers().join("main.go")).current_dir(&place);
    build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "").env("GOCACHE", place.join("cache"));
    ran(&mut build);
    check("consistency proofs", &[0, 1, 2, 3, 4, 5], || Command::new(&program));
}

#[test]
fn pymerkle_verifies_a_journal() {
    let place = place("journal-python");
    let wanted = std::fs::read_to_string(peers().join("requirements.txt")).unwrap();
    let installed = place.join("installed.txt");
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        ran(Command::new("python3").args(["-m", "venv", "--clear", "venv"]).current_dir(&place));
        let mut pip = Command::new(place.join("venv/bin/pip"));
        ran(pip
            .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"])
            .arg(peers().join("requirements.txt")));
        std::fs::write(&installed, wanted).unwrap();
    }
    check("pairs of roots", &[0, 1, 2, 4], || {
        let mut python = Command::new(place.join("venv/bin/python"));
        python.arg(peers().join("check.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        python
    });
}
