//! What the parts of a call cost, each alone on one thread: where the microseconds of the whole go.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use remit_journal::{Journal, Options, SigningKey};
use remit_kernel::facts::Identity;
use remit_kernel::{
    Arguments, Call, Catalogue, Fact, Facts, Origin, Principal, QuotaUse, ServerCatalogue, Snapshot, Target, decide,
};
use remit_mcp::Message;
use remit_mcp::json::Limits;
use remit_model::{AgentId, Organization, ServerKey};

use crate::report::{say, spread};

/// How often each part is done in one measurement.
const TIMES: u32 = 100_000;
/// How many measurements.
const MEASUREMENTS: usize = 5;
/// A call as a client of 2026-07-28 sends it.
const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"bench___echo","arguments":{"message":"hello 7, said a client that checks every answer"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}}}"#;

/// Measures and prints.
pub(crate) fn layers() -> Result<(), String> {
    say("part                                                       ns, median (min–max)");
    let body = Bytes::from_static(CALL.as_bytes());
    measured("strict scan and envelope of the request (330 bytes)", || {
        black_box(Message::parse(body.clone(), Limits::default()).is_ok());
    });
    let message = Message::parse(body, Limits::default()).map_err(|error| error.to_string())?;
    let snapshot = snapshot(&crate::run::configuration("http://127.0.0.1:1/mcp"))?;
    let governed = self::snapshot(&crate::run::governed("http://127.0.0.1:1/mcp"))?;
    let facts = facts()?;
    let call = |arguments| Call {
        space: "bench",
        target: Target::Tool { name: "bench___echo", arguments },
        risk_requested: None,
        explain: false,
    };
    for snapshot in [&snapshot, &governed] {
        let decision = decide(snapshot, &facts, &call(Some(Arguments::of(&message))), 1);
        if !decision.allows() {
            return Err(format!("the call that is measured is not allowed: {decision:?}"));
        }
    }
    measured("decision, no policies of an organization, with schema", || {
        black_box(decide(&snapshot, &facts, &call(Some(Arguments::of(&message))), 1).allows());
    });
    measured("the same without arguments", || {
        black_box(decide(&snapshot, &facts, &call(None), 1).allows());
    });
    measured("policies at three levels, trust, role, boundary too", || {
        black_box(decide(&governed, &facts, &call(None), 1).allows());
    });
    journal()
}

fn measured(what: &str, mut part: impl FnMut()) {
    let figures = (0..MEASUREMENTS).map(|_| {
        let started = Instant::now();
        for _ in 0..TIMES {
            part();
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
    });
    let (median, min, max) = spread(figures.collect());
    say(&format!("{what:<56} {median:8.0} ({min:.0}–{max:.0})"));
}

/// Two entries a call, with 32 calls under way: what durability costs of the processor, not of time.
fn journal() -> Result<(), String> {
    let home = std::env::temp_dir().join(format!("remit-layers-{}", std::process::id()));
    std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let key = SigningKey::from_seed(&[7; 32]);
    let opened = Journal::open(Options::new(home.join("journal"), "bench"), key, |_, _| {});
    let (journal, _) = opened.map_err(|error| error.to_string())?;
    let entry = vec![b'x'; 700];
    let figures = (0..MEASUREMENTS).map(|_| {
        let (before, calls) = (crate::run::cpu_us(std::process::id()), 20_000_u32);
        for _ in 0..calls / 32 {
            let appends: Vec<_> = (0..64).map(|_| journal.append(entry.clone())).collect();
            for append in appends {
                let _ = append.wait();
            }
        }
        (crate::run::cpu_us(std::process::id()) - before) * 1000.0 / f64::from(calls)
    });
    let (median, min, max) = spread(figures.collect());
    say(&format!("{:<56} {median:8.0} ({min:.0}–{max:.0})", "journal: both entries durable, 32 calls under way (CPU)"));
    journal.close();
    std::fs::remove_dir_all(&home).map_err(|error| error.to_string())
}

fn snapshot(text: &str) -> Result<Snapshot, String> {
    let files = [remit_config::SourceFile { path: "bench.yaml".to_owned(), text: text.to_owned() }];
    let organization: Organization = remit_config::read(&files).map_err(|faults| format!("{faults:?}"))?.organization;
    let server: ServerKey = organization.servers.keys().next().cloned().ok_or("no server")?;
    let live = ServerCatalogue { tools: vec![crate::upstream::tool().to_string().into()], ..ServerCatalogue::default() };
    let mut catalogue =
        Catalogue { pins: Catalogue::first_pins(&server, &live, &|_| true, 0).into_iter().collect(), ..Catalogue::default() };
    catalogue.servers.insert(server, Arc::new(live));
    Ok(Snapshot::compile(1, Arc::new(organization), &catalogue))
}

fn facts() -> Result<Facts, String> {
    let principal = Principal {
        agent: AgentId::new("bench-agent").map_err(|error| error.to_string())?,
        user: None,
        credential_id: "bench".to_owned(),
        audiences: vec!["bench".to_owned()],
        expires_at_secs: 2,
        class_max: None,
        issued_at_secs: 0,
        session: None,
        claims: Arc::default(),
    };
    Ok(Facts {
        identity: Fact::Known(Identity::Authenticated(Arc::new(principal))),
        audience: "bench".into(),
        quota: Fact::Known(QuotaUse { calls_concurrent: 1, calls_per_minute: 1 }),
        budgets: Fact::Known(Vec::new()),
        origin: Origin::default(),
        revocations: Fact::Known(Arc::default()),
        policy_session: remit_kernel::PolicySession::default(),
        trust: Fact::Known(Arc::default()),
        approvals: Fact::Known(Vec::new()),
        provenance: Fact::Known(None),
        guardrails: std::sync::Arc::default(),
    })
}
