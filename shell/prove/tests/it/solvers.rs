//! Solvers that are absent, late, talkative or strange: nothing of it ever makes an invariant hold.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use remit_kernel::invariant::Standing;
use remit_prove::{Limits, Prover, Solver};

use crate::{World, checked, solver};

/// A program of one line of shell.
fn program(directory: &tempfile::TempDir, does: &str) -> PathBuf {
    let path = directory.path().join("cvc5");
    std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn world() -> World {
    World::new("permit (principal, action, resource) when { context.input.amount <= 500 };", "context.input.amount > 500")
}

#[test]
fn whatever_a_solver_does_wrong_nothing_holds() {
    let snapshot = world().snapshot();
    for (does, told) in [
        ("exit 0", "failed"),
        ("echo maybe; exec cat", "unrecognized"),
        ("echo unknown; exec cat >/dev/null", "doesn't know"),
        ("echo '(error \"no\")'; exec cat >/dev/null", "failed"),
        ("echo sat; echo '('; echo 'nonsense'; echo ')'; exec cat >/dev/null", "failed"),
        ("echo sat; echo '('; exec yes x", "bytes"),
        ("tr '\\0' x </dev/zero", "bytes"),
        ("cat >/dev/null", "no answer within"),
        ("env > \"$0.env\"; exit 0", "failed"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let found = Solver::find(Some(program(&directory, does).as_os_str()), None);
        let limits = Limits { question: Duration::from_secs(2), all: Duration::from_secs(4) };
        let (begun, prover) = (Instant::now(), Prover::within(found, limits));
        let checked = checked(&snapshot, &prover);
        assert!(begun.elapsed() < Duration::from_secs(20), "{does}");
        assert_eq!(checked.standing, Standing::Unknown, "{does}: {checked:?}");
        assert!(checked.open[0].why.contains(told), "{does}: {:?}", checked.open);
        if let Ok(env) = std::fs::read_to_string(directory.path().join("cvc5.env")) {
            assert!(!env.contains("HOME=") && !env.contains("CARGO"), "it gets nothing of ours: {env}");
        }
    }
}

#[test]
fn a_solver_is_found_by_name_by_path_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = program(&directory, "exit 0");
    let on_path = std::ffi::OsString::from(format!("relative:{}", directory.path().display()));
    assert_eq!(Solver::find(None, Some(&on_path)), Solver::find(Some(path.as_os_str()), None));
    assert!(Solver::find(Some("cvc5 --quiet".as_ref()), Some(&on_path)).is_ok());
    for (said, path) in
        [(Some("/nowhere/cvc5"), None), (None, Some("/nowhere")), (None, None), (Some("   "), None), (Some("cvc5"), Some("."))]
    {
        let told = Solver::find(said.map(AsRef::as_ref), path.map(AsRef::as_ref)).unwrap_err();
        assert!(told.contains("REMIT_CVC5"), "{told}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Solver::find(None, Some(&on_path)).is_err(), "what can't be run is no solver");
}

#[tokio::test]
async fn it_may_be_asked_from_within_a_runtime_and_ends_with_its_prover() {
    let (snapshot, prover) = (world().snapshot(), Prover::new(Ok(solver())));
    assert_eq!(checked(&snapshot, &prover).standing, Standing::Holds);
    drop(prover);
}

#[test]
fn one_process_answers_many_questions_and_the_time_for_all_ends() {
    let (snapshot, prover) = (world().snapshot(), Prover::new(Ok(solver())));
    for _ in 0..3 {
        assert_eq!(checked(&snapshot, &prover).standing, Standing::Holds);
    }
    let over = Prover::within(Ok(solver()), Limits { question: Duration::from_secs(2), all: Duration::ZERO });
    let found = checked(&snapshot, &over);
    assert!(found.standing == Standing::Unknown && found.open[0].why.contains("were over"), "{found:?}");
}
