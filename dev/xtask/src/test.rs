//! `cargo xtask test` and `cargo xtask ci`.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{Outcome, conformance, iam_diff, say, succeeds};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "[--no-conformance]";

/// What the tests need of the system: a program and the Debian package that brings it.
const NEEDED: [(&str, &str); 10] = [
    ("rsyslogd", "rsyslog-openssl"),
    ("cc", "gcc"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("chromium", "chromium"),
    ("go", "golang-go"),
    ("strace", "strace"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
];
/// Debian's package of Go's `sumdb` packages, which a test verifies a journal with, and where it puts them.
const GO_MOD: (&str, &str) = ("golang-golang-x-mod-dev", "/usr/share/gocode/src/golang.org/x/mod/sumdb");

/// What a build of everything and its tests leave on the disk, in MiB.
const ROOM_MIB: u64 = 9 * 1024;

/// Installs what is missing and runs every test of the workspace, then the conformance suite through Remit.
pub(crate) fn run(options: &[String]) -> Outcome {
    install()?;
    room();
    let tested = succeeds("cargo", &["test", "--workspace", "--no-fail-fast"])?;
    if options.iter().any(|option| option == "--no-conformance") {
        return Ok(tested);
    }
    say("\nThe MCP conformance suite, through Remit in front of the fixture:");
    // The suite asks for answers, not for speed: the binaries that the tests were built for will do.
    let conforms = conformance::run(&["--only", "through", "--debug"].map(str::to_owned))?;
    say("\nThe same suite's client scenarios, with Remit as the client:");
    let authorizes = conformance::client::run(&["--debug".to_owned()])?;
    say("\nThe IAM engine beside another one, on random cases:");
    let agrees = iam_diff::run(&["--seed", "1", "--count", "2000"].map(str::to_owned))?;
    Ok(tested && conforms && authorizes && agrees)
}

/// Format, lints, the rules of the tree, and the tests.
pub(crate) fn ci(_options: &[String]) -> Outcome {
    let mut well = true;
    for arguments in
        [&["fmt", "--all", "--check"][..], &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"][..]]
    {
        say(&format!("cargo {}", arguments.join(" ")));
        well &= succeeds("cargo", arguments)?;
    }
    say("cargo xtask tidy");
    well &= crate::tidy::run(&[])?;
    say("cargo xtask test");
    Ok(run(&[])? && well)
}

/// Installs the system's packages that the tests need, where something is missing and the system is Debian's kind.
fn install() -> Result<(), Box<dyn std::error::Error>> {
    let missing: Vec<&str> = NEEDED.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    let venv =
        Command::new("python3").args(["-c", "import venv, ensurepip"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let mut packages = missing;
    packages.dedup();
    if !venv.is_ok_and(|status| status.success()) {
        packages.extend(["python3", "python3-venv"]);
    }
    if !Path::new(GO_MOD.1).exists() {
        packages.push(GO_MOD.0);
    }
    if packages.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", packages.join(", ")));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages.iter().copied());
    if !(succeeds("apt-get", &["update"])? && succeeds("apt-get", &arguments)?) {
        return Err(format!("the tests need {}: install them and run this again", packages.join(", ")).into());
    }
    Ok(())
}

/// Says so where the disk is likely to be too small: what fails then says anything but that.
fn room() {
    let Ok(told) = Command::new("df").args(["-Pk", "."]).output() else { return };
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let free_kib = told.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    if let Some(free_kib) = free_kib.filter(|free_kib| *free_kib < ROOM_MIB * 1024) {
        say(&format!("note: {} MiB are free here, and a build with its tests takes about {ROOM_MIB} MiB", free_kib / 1024));
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
