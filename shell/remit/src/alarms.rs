//! Alarms over decisions: kept in step with the journal on a thread of their own, recorded there, and told; and `remit alarms`.
//!
//! What an alarm is and how it stands is `kernel::alarm`; what is done then is `alarm_actions`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use remit_gateway::rfc3339;
use remit_kernel::alarm::{Alarms, Change, Event, Standing, State};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::alarm_actions::Actions;
use crate::cli::AlarmsOf;
use crate::commands::operator;
use crate::follow::{Follow, Following};
use crate::home::Home;
use crate::now_ms;
use crate::output::{Failure, Printer, warn};
use crate::up::World;

/// How many of the last entries a start reads again, to go on with what has happened.
const RECALLED_MAX: u64 = 200_000;
/// The most groups that are told.
const TOLD_MAX: usize = 2_000;

/// How alarms stand, for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Vec<Standing>>);

impl Board {
    fn put(&self, mut standings: Vec<Standing>) {
        let place = |state: State| match state {
            State::Alarm => 0,
            State::Ok => 1,
            State::InsufficientData => 2,
        };
        standings.sort_by_key(|standing| place(standing.state));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standings;
    }

    /// Every group of every alarm, what is off first: `{state?}` in.
    pub(crate) fn told(&self, request: &Value) -> Value {
        let wanted = request.get("state").and_then(Value::as_str);
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = |standing: &&Standing| wanted.is_none_or(|wanted| standing.state.as_str() == wanted);
        let row = |standing: &Standing| {
            let alarm = &standing.alarm;
            let since = (standing.since_ms > 0).then(|| rfc3339(standing.since_ms));
            json!({
                "alarm": alarm.name, "metric": alarm.metric, "group_by": alarm.group_by, "group": standing.group,
                "state": standing.state, "since": since, "reason": standing.reason,
            })
        };
        let mut meant = standings.iter().filter(meant);
        let rows: Vec<Value> = meant.by_ref().take(TOLD_MAX).map(row).collect();
        json!({"alarms": rows, "more": meant.next().is_some()})
    }

    /// How many groups are in each state, in Prometheus' text format.
    pub(crate) fn prometheus(&self) -> String {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from("# HELP remit_alarms Groups of alarms over decisions, by state\n# TYPE remit_alarms gauge\n");
        for state in [State::Ok, State::Alarm, State::InsufficientData] {
            let count = standings.iter().filter(|standing| standing.state == state).count();
            text.push_str(&format!("remit_alarms{{state=\"{}\"}} {count}\n", state.as_str()));
        }
        text
    }

    /// Whether a group is in this state.
    pub(crate) fn is(&self, alarm: &str, group: &str, state: State) -> bool {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standings.iter().any(|one| one.alarm.name == alarm && one.group == group && one.state == state)
    }
}

/// Keeps them in step.
struct Keeper {
    world: Arc<World>,
    actions: Actions,
    runtime: Handle,
    alarms: Alarms,
    /// The snapshot whose alarms these are.
    snapshot: u64,
}

/// Follows the journal until what is given back is dropped. Must be called on the runtime.
pub(crate) fn keep(world: &Arc<World>, tls: Arc<ClientConfig>) -> Result<Following, Failure> {
    let snapshot = world.gateway.snapshot();
    let mut alarms = Alarms::default();
    drop(alarms.configure(&snapshot.organization.alarms, now_ms()));
    let last = alarms.restore(&world.book.alarms());
    let size = world.journal.checkpoint().size;
    let from = if alarms.window_secs() > 0 { size.saturating_sub(RECALLED_MAX) } else { size };
    let actions = Actions::new(Arc::clone(world), tls);
    let keeper = Keeper { world: Arc::clone(world), actions, runtime: Handle::current(), alarms, snapshot: snapshot.version };
    keeper.show();
    // What was to be done when the gateway ended, and wasn't.
    for (change, done) in last {
        keeper.actions.begin(&keeper.runtime, change, &done);
    }
    Following::start("alarms", &world.home.journal(), from, keeper)
}

impl Follow for Keeper {
    fn take(&mut self, _index: u64, entry: &[u8]) {
        if let Some(event) = Event::read(entry) {
            self.alarms.observe(&event);
        }
    }

    fn turn(&mut self, _last: bool) {
        let snapshot = self.world.gateway.snapshot();
        let configured = snapshot.version != self.snapshot;
        let mut changes = Vec::new();
        if configured {
            self.snapshot = snapshot.version;
            changes = self.alarms.configure(&snapshot.organization.alarms, now_ms());
        }
        changes.extend(self.alarms.evaluate(now_ms()));
        if configured || !changes.is_empty() {
            self.show();
        }
        for change in changes {
            self.record(&change);
            self.actions.begin(&self.runtime, change, &BTreeSet::new());
        }
    }
}

impl Keeper {
    fn show(&self) {
        self.world.alarms.put(self.alarms.standings().collect());
    }

    /// Recorded first, and told even where that fails: a journal that has stopped is no reason to be silent.
    fn record(&self, change: &Change) {
        let alarm = &change.alarm;
        let mut event = json!({
            "alarm": alarm.name, "metric": alarm.metric, "from": change.from, "to": change.to, "reason": change.reason,
            "datapoints": change.datapoints, "at_ms": change.at_ms,
        });
        if let (Some(by), Some(event)) = (alarm.group_by, event.as_object_mut()) {
            event.insert("group_by".to_owned(), json!(by));
            event.insert("group".to_owned(), json!(change.group));
        }
        if let Err(why) = self.runtime.block_on(self.world.gateway.record("alarm", event)) {
            warn(&format!("alarm `{}` is {} and that could not be recorded: {why}", alarm.name, change.to.as_str()));
        }
    }
}

/// `remit alarms`.
pub(crate) async fn run(options: &AlarmsOf) -> Result<(), Failure> {
    let query = options.state.as_deref().map(|state| format!("?state={}", state.to_ascii_uppercase())).unwrap_or_default();
    let home = Home::existing(&options.common.data)?;
    let told = operator(&home, Method::GET, &format!("/v1/alarms{query}"), None).await?;
    let printer = Printer::new(options.common.json);
    if options.common.json {
        return printer.line(&told.to_string());
    }
    let rows = told.get("alarms").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let group = if text("group").is_empty() { String::new() } else { format!("{} {}", text("group_by"), text("group")) };
        let since = if text("since").is_empty() { String::new() } else { format!("since {}", text("since")) };
        printer
            .line(format!("{:<17} {:<32} {group:<24} {since}  {}", text("state"), text("alarm"), text("reason")).trim_end())?;
    }
    if told.get("more") == Some(&json!(true)) {
        printer.line("… and more: narrow it with --state")?;
    }
    if rows.is_empty() { printer.line("no alarms: see docs/guides/alarms.md") } else { Ok(()) }
}
