//! Each test in its short version, and again with something that is wrong on purpose: that must be found.
//!
//! Power cuts are not here: they run with the journal's own tests, which this program starts with more of them.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its assertions do")]

use std::process::{Command, Output};

fn fault(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_remit-fault")).args(arguments).output().unwrap()
}

/// The figures of the last line.
fn figures(output: &Output) -> (u64, u64) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = text.lines().last().and_then(|line| line.strip_prefix("faults injected: ")?.split_once(", records lost: "));
    let (injected, lost) = figures.unwrap();
    (injected.parse().unwrap(), lost.parse().unwrap())
}

fn holds(name: &str, injected_min: u64) {
    let output = fault(&[name, "--short"]);
    assert!(output.status.success(), "{output:?}");
    let (injected, lost) = figures(&output);
    assert!(injected >= injected_min && lost == 0, "{output:?}");
}

fn is_found_out(name: &str) {
    let output = fault(&[name, "--short", "--faulty"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (injected, lost) = figures(&output);
    assert!(injected > 0 && lost > 0, "{output:?}");
}

#[test]
fn whatever_system_call_fails_nothing_acknowledged_is_lost() {
    holds("strace", 45);
}

#[test]
fn a_workload_that_acknowledges_too_early_is_found_out_when_a_call_fails() {
    is_found_out("strace");
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    holds("kill", 12);
}

#[test]
fn a_workload_that_acknowledges_too_early_is_found_out_when_it_is_killed() {
    is_found_out("kill");
}

#[test]
fn a_full_file_system_refuses_and_loses_nothing() {
    holds("full", 12);
}

#[test]
fn a_workload_that_acknowledges_too_early_is_found_out_when_the_disk_is_full() {
    is_found_out("full");
}

#[test]
fn whatever_is_changed_in_a_journal_is_found() {
    holds("tamper", 400);
}

#[test]
fn an_auditor_without_a_checkpoint_misses_what_was_cut_off() {
    is_found_out("tamper");
}

#[test]
fn parsers_take_anything() {
    holds("fuzz", 60_400);
}

#[test]
fn a_parser_that_is_too_lenient_is_found_out() {
    is_found_out("fuzz");
}

#[test]
fn of_eight_nodes_that_share_a_log_none_forks_it_and_nothing_is_lost() {
    holds("replicas", 20_000);
}

#[test]
fn a_bucket_that_does_not_keep_its_conditions_is_found_out() {
    is_found_out("replicas");
}

#[test]
fn what_is_not_there_does_not_pass() {
    let output = fault(&["nonsense"]);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}
