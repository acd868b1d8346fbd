//! The whole of Remit as its users meet it: the binary, real sockets, servers of every era and temper, real clients.
//!
//! [`gateway`] starts Remit, [`client`] speaks to it, [`upstream`] and [`child`] are the servers behind it, [`aws`] has AWS's clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::print_stderr,
    reason = "a test that can't go on fails"
)]

mod aws;
mod aws_signed;
mod aws_table;
mod child;
mod client;
mod gateway;
#[path = "../../../bucket/tests/it/seaweed.rs"]
mod seaweed;
mod upstream;

mod alarms;
mod api;
mod approvals;
mod attestation;
mod aws_boto;
mod aws_cli;
mod aws_guide;
mod aws_hostile;
mod aws_mcp;
mod bedrock;
mod behaviour;
mod bridging;
mod budgets;
mod changes;
mod channels;
mod cloudwatch;
mod cluster;
mod connect;
mod console;
mod decisions;
mod export;
mod faults;
mod guardrails;
mod hostile;
mod invariants;
mod kept;
mod offline;
mod operations;
mod organization;
mod otlp;
mod policy_guide;
mod policy_sets;
mod prometheus;
mod provenance;
mod real;
mod receipts;
mod replay;
mod retention;
mod runbooks;
mod sandboxes;
mod secrets;
mod signed_requests;
mod smuggling;
mod supply_chain;
mod suspensions;
mod trust;
