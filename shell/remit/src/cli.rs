//! The command line.

mod alarms;
mod approval;
mod behaviour;
mod change;
mod cluster;
mod export;
mod iam;
mod record;
mod retention;
mod sandbox;
mod servers;
mod trust;
mod usage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use alarms::AlarmsOf;
pub(crate) use approval::{Answering, Approvals, ApprovalsCommand};
pub(crate) use behaviour::BehaviourOf;
pub(crate) use change::{Apply, Diff, History, Plan, Plans, Review, ReviewKey, Rollback};
pub(crate) use cluster::Cluster;
pub(crate) use export::{ExportCommand, ExportFormat, ExportOf};
pub(crate) use iam::Iam;
pub(crate) use record::{IndexOf, Log};
pub(crate) use retention::{Archive, ArchiveOf, Retention, RetentionOf};
pub(crate) use sandbox::{SandboxOf, SandboxRun};
pub(crate) use servers::{EgressImport, EgressOf, ImportServer, InventoryOf, Servers, ServersOf, VerifyPackage};
pub(crate) use trust::{Incident, Trust, TrustOf};
pub(crate) use usage::UsageOf;

/// Keep AI agents within their remit: every tool call authenticated, decided, enforced and recorded.
///
/// Exit codes: 0 ok, 1 failure, 2 denied, 3 invalid input, 4 held.
#[derive(Debug, Parser)]
#[command(name = "remit", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway. Without --config it serves the sample organization, Acme.
    Up(Up),
    /// Take a short tour of a running gateway: five calls through the real endpoint, each decision with its layers and its proof.
    Try(Common),
    /// Check a configuration directory and name every fault in it.
    Check(Check),
    /// Run an organization's own cases: who calls what, and what must be said of it. Without a directory it runs the sample
    /// organization's, Acme's.
    ///
    /// Cases stand in DIR/tests/*.yaml and below, the tools in DIR/tools.lock.json (`remit pins --export`). Nothing is started. Exit code 0 if every
    /// case passes, 1 if one fails or the coverage is under --coverage-min, 3 if a file of cases or the configuration has a fault.
    Test(Test),
    /// Show what a configuration directory would change: what it says differently, what it newly allows and denies, and why.
    ///
    /// Nothing is changed. Compared is with what the running gateway has in effect, or, when none is up, with the stored version in effect and
    /// the tools that were accepted. Where changes are reviewed (`change_review`), the running gateway keeps the plan for its reviewers.
    /// The directory's `invariants` are told with it: shown to hold, unknown, or violated by a call that is named. Some that are about arguments
    /// can only be shown with a solver: `cvc5` on PATH, or what REMIT_CVC5 names.
    Plan(Plan),
    /// Put a configuration directory, or a reviewed plan, into effect: all of it at once, as a new version.
    ///
    /// Exit code 0 once it is in effect, 1 if something else was put into effect since it was planned, 3 if it has faults or violates one of
    /// its `invariants`, 4 if it waits for its reviewers.
    Apply(Apply),
    /// Put an earlier version into effect again, as a new version. It goes through the same review as any change.
    Rollback(Rollback),
    /// Show the versions of the configuration: who made each, when, why, and who agreed.
    History(History),
    /// Show what two versions say differently, and what the second newly allows and denies.
    Diff(Diff),
    /// Show the plans that wait for their reviewers, or one of them whole.
    Plans(Plans),
    /// Approve or reject a plan: sign its digest with a reviewer's key.
    Review(Review),
    /// Make a reviewer's key. The private half goes to a file that only you may read; what is printed belongs into `change_review`.
    ReviewKey(ReviewKey),
    /// See what waits for people, and decide it.
    ///
    /// A call that a rule of `approval_rules` holds waits here. Whoever holds the operator's token may answer under a name; what needs a proven
    /// name takes `--key FILE`, the private half of the key that `approvers` names, or a sign-in at the console.
    Approvals(Approvals),
    /// Decide one call as if it had been made, with what every layer says. Nothing is called and nothing is recorded.
    Explain(Explain),
    /// Read the journal, or find decisions in it.
    ///
    /// Without filters, and with --follow, --from, --last, --type or --decision, entries are printed in their order. Else decisions that fit all
    /// filters are, the newest first, each with how it ended: from the journal's index, by the running gateway or from its files.
    Log(Log),
    /// Look at the index of the journal's decisions, or make it anew. It is derived: nothing is lost with it.
    #[command(subcommand)]
    Index(IndexOf),
    /// Write recorded decisions, each with how it ended, in the words of others: OCSF, CloudTrail or Parquet.
    ///
    /// Every record names the log's origin, the entry's index and its leaf hash, so that it can be traced back to a proof.
    Export(ExportOf),
    /// Prove the journal: every entry, every checkpoint, every decision with its outcome.
    Verify(Verify),
    /// Get the receipt of an entry: the entry with the proof that it is in the log, for `remit verify --receipt` anywhere.
    Receipt(Receipt),
    /// Show what is kept of a call: its arguments, and its result where its space keeps results. That you looked is on record.
    ///
    /// Each is held against what the journal's entry committed to when the call was made.
    Reveal(Reveal),
    /// Be a witness of logs: cosign their checkpoints, each only if it extends all that was cosigned of its log before (C2SP tlog-witness).
    Witness(Witness),
    /// Decide recorded calls again: one of them as it was, or those of a period under another configuration.
    ///
    /// With --against, every call of the period is decided under the configuration in DIR from the very facts that it was decided from then,
    /// and what would flip is told by the statement that causes it. Without, each is decided under its own configuration again, and what
    /// comes out otherwise is told. Nothing is called and nothing is recorded. Facts are kept for `remit up --facts-days`.
    ///
    /// Exit code 1 if a decision can't be reproduced, or with --expect-same if a verdict flips or can't be decided.
    Replay(Replay),
    /// Get an access token for an agent, from the running gateway's token endpoint.
    Token(Token),
    /// Show spaces, servers and tools of a running gateway.
    Status(Common),
    /// See how servers stand in the registry, submit drafts for approval, and approve, reject or deprecate them.
    Servers(ServersOf),
    /// Notice MCP servers that agents reached around Remit, in logs of the network.
    #[command(subcommand)]
    Egress(EgressOf),
    /// List the components that a configuration brings in, as CycloneDX: servers, packages, versions, checksums, standing, pins.
    Inventory(InventoryOf),
    /// Look at tools whose definition changed, accept what changed, and write what is accepted to a file.
    Pins(PinsOf),
    /// Let a person consent to what a server's authorization server asks: for servers with `grant: authorization_code`.
    Connect(Connect),
    /// Keep secrets that servers need, sealed under the master key.
    #[command(subcommand)]
    Secret(Secret),
    /// Make a new client secret for an agent; the old one stops working.
    AgentSecret(AgentSecret),
    /// Issue a key pair for AWS's tools, in the form of `credential_process`: to act as a space, a role or a user.
    Credentials(Credentials),
    /// Revoke credentials at once: one of them, an agent's, a role's, or everything that was issued up to a time.
    #[command(subcommand)]
    Revoke(Revoke),
    /// Print a link that opens the console in a browser on this machine, once.
    Console(Console),
    /// Stop an agent, a space, a server, a tool, or whatever is done on a user's behalf, at once and until `remit resume`.
    ///
    /// It is in effect when the command ends: the next call is refused (`suspended`), lists no longer show it, sessions and streams of what can't
    /// enter any more end. Calls that are under way at a server come to their end. The configuration doesn't change, and a restart forgets
    /// nothing.
    #[command(subcommand)]
    Suspend(Switch),
    /// Let go on what `remit suspend` stopped.
    #[command(subcommand)]
    Resume(Switch),
    /// Show how far agents are trusted in each category of tools, and what is missing for the next tier; explain it, or sign a promotion.
    Trust(TrustOf),
    /// Record that an agent did harm. Where the configuration says so, it falls to a lower tier at once.
    Incident(Incident),
    /// Show how alarms over decisions stand: OK, ALARM or INSUFFICIENT_DATA, each group by itself.
    Alarms(AlarmsOf),
    /// Show what is usual for agents and their tools, and what was found lately that isn't.
    Behaviour(BehaviourOf),
    /// Show what calls use up and how budgets stand.
    Usage(UsageOf),
    /// See for how long records of calls are kept, erase those whose time is over, keep some for ever, or forget a person.
    ///
    /// Erased entries leave their hashes: the tree, every checkpoint and every proof of another entry stay what they were, and the journal
    /// says what was erased, when, why and by whom. The running gateway looks for what is over every six hours.
    Retention(RetentionOf),
    /// See how far the journal is archived, and put back what was erased.
    Archive(ArchiveOf),
    /// Ask and examine IAM policies.
    #[command(subcommand)]
    Iam(Iam),
    /// Write the tool policy registry as rows of a DynamoDB table or as CSV, and read such rows into a configuration directory.
    #[command(subcommand)]
    ToolPolicies(ToolPolicies),
    /// What this machine offers to the sandboxes of servers, and a command run in one.
    #[command(subcommand)]
    Sandbox(SandboxOf),
    /// Print or write the JSON Schemas of configuration files, of cases and of the lock of tools, for editors.
    Schema(Schema),
    /// One of the sample organization's MCP servers.
    #[command(hide = true)]
    SampleServer(SampleServer),
}

/// Where a gateway keeps its data, and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The data directory of the gateway.
    #[arg(long, global = true, default_value = ".remit", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Your configuration directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) host: std::net::IpAddr,
    /// The port of the gateway; 0 takes a free one.
    #[arg(long, default_value_t = 7480)]
    pub(crate) port: u16,
    /// The port of the operator's interface, always on loopback; 0 takes a free one. Defaults to the gateway's plus one.
    #[arg(long)]
    pub(crate) control_port: Option<u16>,
    /// The address under which people reach the console, when a proxy with TLS stands before the operator's interface.
    #[arg(long, value_name = "URL")]
    pub(crate) control_address: Option<String>,
    /// The address under which clients reach the gateway, when it is not the one that it listens on.
    #[arg(long, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// Origins of browsers that may call.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Vec<String>,
    /// A certificate chain, PEM; read again when it changes.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Further certificate authorities to trust towards servers, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The OTLP/HTTP collector for spans, metrics and logs, such as http://127.0.0.1:4318.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// Write metrics of decisions for CloudWatch to this file, in its embedded metric format, every ten seconds; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) emf: Option<PathBuf>,
    /// Write a line of JSON for every decision to this file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) decision_log: Option<PathBuf>,
    /// How many days the facts of decisions are kept, sealed, for `remit replay`: arguments and what tokens claimed. 0 keeps none.
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    pub(crate) facts_days: u64,
    /// How much disk they may take, in GiB: the oldest go first. 0 keeps none.
    #[arg(long, default_value_t = 16, value_name = "GIB")]
    pub(crate) facts_max_gib: u64,
    /// The size of the journal's files, in KiB: one that is full is never written to again, but for what is erased.
    #[arg(long, default_value_t = 65_536, value_name = "KIB")]
    pub(crate) journal_segment_kib: u32,
    /// The name of a new log, such as a URL without its scheme: it stands in every checkpoint, and logs of one witness have different names.
    /// remit/journal if nothing is said.
    #[arg(long, value_name = "NAME")]
    pub(crate) log_origin: Option<String>,
    /// Begin without what temporal conditions look back on: for when the journal's history can't be opened any more.
    #[arg(long)]
    pub(crate) forget_history: bool,
    /// For tests on loopback only: everybody who calls is this agent.
    #[arg(long, hide = true, value_name = "AGENT")]
    pub(crate) anonymous_agent: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration directory.
    pub(crate) directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The configuration directory.
    pub(crate) directory: Option<PathBuf>,
    /// Only cases whose file and name hold this text, such as `support.yaml` or `publish`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Show which statements, policies of sets, rows and listed tools the cases exercised.
    #[arg(long)]
    pub(crate) coverage: bool,
    /// Write the same as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) coverage_json: Option<PathBuf>,
    /// Write the same as an lcov trace file, by line of the configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) lcov: Option<PathBuf>,
    /// Fail if less than this share is exercised, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) coverage_min: Option<u8>,
    /// Print JSON: one object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The agent that would call.
    #[arg(long)]
    pub(crate) agent: String,
    /// The tool by its exposed name, such as helpdesk___search_kb.
    #[arg(long)]
    pub(crate) tool: String,
    /// The space; found by itself where the agent is in one only.
    #[arg(long)]
    pub(crate) space: Option<String>,
    /// The arguments, a JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) args: Option<String>,
    /// A risk that the caller would state.
    #[arg(long)]
    pub(crate) risk: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) common: Common,
    /// One decision: the index of its entry, or its id.
    #[arg(value_name = "ENTRY", conflicts_with_all = ["since", "until", "agent", "space", "tool"])]
    pub(crate) entry: Option<String>,
    /// The configuration directory to decide under.
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// From when on: a span before now (30d, 12h, 45m), or a time in UTC (2026-03-01T12:00:00Z). Else 30d.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Until when.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Only this agent's calls.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only calls in this space.
    #[arg(long)]
    pub(crate) space: Option<String>,
    /// Only calls of this tool, by its name in policies.
    #[arg(long)]
    pub(crate) tool: Option<String>,
    /// End with code 1 if anything flips or can't be decided: for pipelines.
    #[arg(long, requires = "against")]
    pub(crate) expect_same: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The log's public key, if you hold it from elsewhere; else the one beside the journal.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
    /// Checkpoints that you kept: the log must still hold to them.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// Verify this receipt instead, with nothing but the file and the keys: no journal is needed.
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
    pub(crate) receipt: Option<PathBuf>,
    /// The entry, for a receipt that doesn't hold it.
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub(crate) entry: Option<PathBuf>,
    /// The arguments that the call was made with, byte for byte as they were sent: prove that the receipt's entry is about these. The salt comes
    /// with the receipt, in the result's `_meta`.
    #[arg(long, value_name = "FILE", requires = "receipt", requires = "salt")]
    pub(crate) arguments: Option<PathBuf>,
    /// The salt, in hexadecimal.
    #[arg(long, value_name = "HEX", requires = "arguments")]
    pub(crate) salt: Option<String>,
    /// The public key of a witness whose cosignature is looked for, in the receipt or in every checkpoint that you kept. May be repeated.
    #[arg(long, value_name = "VKEY")]
    pub(crate) witness: Vec<String>,
    /// How many of the witnesses must have cosigned; without it all.
    #[arg(long, value_name = "COUNT")]
    pub(crate) witnesses_min: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Receipt {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The entry's index, as `remit log` prints it.
    pub(crate) index: u64,
    /// Where to write it; else it is printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Witness {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The witness's name: a URL without its scheme, such as witness.example.com/w1.
    #[arg(long)]
    pub(crate) name: String,
    /// The public key of a log that it knows: what stands in a gateway's `journal.vkey`. May be repeated.
    #[arg(long, value_name = "VKEY", required = true)]
    pub(crate) log: Vec<String>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7482", value_name = "ADDRESS")]
    pub(crate) listen: std::net::SocketAddr,
    /// A certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The agent.
    #[arg(long)]
    pub(crate) agent: String,
    /// The space that the token is for.
    #[arg(long)]
    pub(crate) space: String,
    /// Narrow the token: mcp:read, mcp:write, mcp:destroy.
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// The user's token, to act on behalf of a user (RFC 8693).
    #[arg(long, value_name = "FILE")]
    pub(crate) subject_token: Option<PathBuf>,
}

/// Without a command, `list`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PinsOf {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Write every accepted definition to this file, sorted: `tools.lock.json` beside a configuration lets `remit check` and `remit test`
    /// know the tools without starting any server.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Pins>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pins {
    /// Show tools that wait, with what changed.
    List(Common),
    /// Accept what a server shows now.
    Accept {
        #[command(flatten)]
        common: Common,
        /// The server: ACCOUNT/NAME.
        server: String,
        /// One tool; all of the server's without it.
        tool: Option<String>,
        /// Who accepts, for the record.
        #[arg(long, env = "USER")]
        by: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The server: ACCOUNT/NAME.
    pub(crate) server: String,
    /// Who connects it, for the record.
    #[arg(long, env = "USER")]
    pub(crate) by: String,
    /// Forget its connection, and Remit's registration for it, instead.
    #[arg(long)]
    pub(crate) forget: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Keep a secret that is read from standard input.
    Set {
        #[command(flatten)]
        common: Common,
        /// Its name.
        name: String,
    },
    /// Show names and ages.
    List(Common),
    /// Forget a secret.
    Delete {
        #[command(flatten)]
        common: Common,
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AgentSecret {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The agent.
    pub(crate) agent: String,
}

#[derive(Debug, Args)]
pub(crate) struct Credentials {
    /// The data directory of the gateway.
    #[arg(long, default_value = ".remit", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The ARN of a space (it acts in its role), of a role, or of a user.
    #[arg(long, value_name = "ARN")]
    pub(crate) principal: String,
    /// The session's name; a space's is the space's id.
    #[arg(long, value_name = "NAME")]
    pub(crate) session_name: Option<String>,
    /// How long, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration_secs: Option<u64>,
    /// Who asks, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
    /// Printed as JSON with or without it: `credential_process` has one form.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why something is revoked, suspended or let go on.
#[derive(Debug, Clone, Args)]
pub(crate) struct Because {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: String,
    /// Who does it, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct Reveal {
    /// The index of the decision's entry, or the decision's id.
    pub(crate) entry: String,
    #[command(flatten)]
    pub(crate) because: Because,
}

#[derive(Debug, Args)]
pub(crate) struct Console {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Who will use it, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Revoke {
    /// One session or token, by its access key id or its token's id (`credential_id` in the journal).
    Session {
        /// The id.
        id: String,
        #[command(flatten)]
        because: Because,
    },
    /// Everything that an agent was issued up to now.
    Agent {
        /// The agent.
        agent: String,
        #[command(flatten)]
        because: Because,
    },
    /// Every session of a role that was issued up to now, and every token whose bearer acts in it.
    Role {
        /// The role's ARN.
        arn: String,
        #[command(flatten)]
        because: Because,
    },
    /// Everything that was issued up to now, or up to a time.
    Everything {
        /// Up to this time, in seconds since the epoch.
        #[arg(long, value_name = "SECONDS")]
        before_secs: Option<u64>,
        #[command(flatten)]
        because: Because,
    },
}

/// What can be stopped.
#[derive(Debug, Subcommand)]
pub(crate) enum Switch {
    /// An agent, in every space.
    Agent {
        /// The agent.
        agent: String,
        #[command(flatten)]
        because: Because,
    },
    /// A space: nobody enters it.
    Space {
        /// The space.
        space: String,
        #[command(flatten)]
        because: Because,
    },
    /// A server, in every space.
    Server {
        /// The server: ACCOUNT/NAME.
        server: String,
        #[command(flatten)]
        because: Because,
    },
    /// One tool of a server, in every space.
    Tool {
        /// The server: ACCOUNT/NAME.
        server: String,
        /// The server's own name for the tool.
        tool: String,
        #[command(flatten)]
        because: Because,
    },
    /// A user on whose behalf agents act.
    User {
        /// The user, as tokens name them (`user` in the journal).
        user: String,
        #[command(flatten)]
        because: Because,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which one to print: configuration, cases or lock.
    #[arg(default_value = "configuration")]
    pub(crate) which: String,
    /// Write all of them to this directory instead. In a configuration directory its name must begin with a dot, or they would be read as
    /// configuration: `remit schema --write acme/.schemas`.
    #[arg(long, value_name = "DIR", conflicts_with = "which")]
    pub(crate) write: Option<PathBuf>,
    /// Say what was written as JSON; a schema is JSON with or without it.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolPolicies {
    /// Write the registry of a configuration directory; without one, the sample organization's.
    ///
    /// dynamodb-json writes a line {"Item": …} for each row, as an import from S3 takes them; with --table a line for each request of
    /// `aws dynamodb batch-write-item`. csv writes agent_id, tool_id, allowed, max_risk.
    Export(Export),
    /// Read rows and write them as YAML: all of them, or every fault with its row and nothing at all.
    ///
    /// dynamodb-json takes what `aws dynamodb scan` or `query` prints, lines of an export to S3, and requests of batch-write-item. Each row has
    /// agent_id, tool_id, max_risk and, if it may not be called, allowed. With --into the rows are checked together with the directory.
    /// Exit code 3 for faults.
    Import(Import),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The configuration directory.
    pub(crate) directory: Option<PathBuf>,
    /// dynamodb-json or csv.
    #[arg(long)]
    pub(crate) format: String,
    /// Write requests of `aws dynamodb batch-write-item` for this table instead of items.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Print JSON: how many rows, and the text if no file is written.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file with the rows; `-` is standard input.
    pub(crate) file: PathBuf,
    /// dynamodb-json or csv.
    #[arg(long)]
    pub(crate) format: String,
    /// The configuration directory to write them into. Without it the YAML is printed, and the rows are checked by themselves only.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// The file in it.
    #[arg(long = "as", default_value = "tool-policies.yaml", value_name = "NAME", requires = "into")]
    pub(crate) name: String,
    /// Replace the file if it is there.
    #[arg(long, requires = "into")]
    pub(crate) replace: bool,
    /// Where a row names a tool without its server, name the one server that lists it in the spaces of the row's agent.
    #[arg(long, requires = "into")]
    pub(crate) qualify: bool,
    /// An attribute that may be there and says nothing to Remit; may be given several times.
    #[arg(long, value_name = "ATTRIBUTE")]
    pub(crate) ignore: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SampleServer {
    /// Which one.
    pub(crate) name: String,
    /// Serve Streamable HTTP on a free port of loopback, and print its address; else serve standard input and output.
    #[arg(long)]
    pub(crate) http: bool,
}
