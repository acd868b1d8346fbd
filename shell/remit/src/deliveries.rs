//! The deliveries of a gateway that is up: those of the configuration in effect, for as long as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remit_delivery::{Deliveries, Kept, Secrets, Standing, Way};
use remit_model::{Delivery, Destination};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::audit;
use crate::cli::ExportCommand;
use crate::export::places_of;
use crate::home::Home;
use crate::output::{Failure, Printer, warn};
use crate::up::World;

/// How often it is looked whether another configuration is in effect.
const TICK: Duration = Duration::from_millis(500);
/// The region of what happens in spaces that the configuration doesn't have any more.
const REGION: &str = "us-east-1";

/// What the threads told last, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<Standing>>);

impl Told {
    fn set(&self, standings: Vec<Standing>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standings;
    }

    /// The figures as Prometheus reads them; `durable` is how many entries the journal has. Names are those of the configuration.
    pub(crate) fn metrics(&self, durable: u64) -> String {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if standings.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "# HELP remit_delivery_behind Entries of the journal that a delivery has not come to\n# TYPE remit_delivery_behind gauge\n",
        );
        for standing in standings.iter() {
            let behind = durable.saturating_sub(standing.next);
            text.push_str(&format!("remit_delivery_behind{{delivery=\"{}\"}} {behind}\n", standing.name));
        }
        text.push_str("# HELP remit_delivery_failures_total Batches that a destination did not take, since its delivery began\n# TYPE remit_delivery_failures_total counter\n");
        for standing in standings.iter() {
            text.push_str(&format!("remit_delivery_failures_total{{delivery=\"{}\"}} {}\n", standing.name, standing.failures));
        }
        text
    }
}

/// Keeps the deliveries of the configuration in effect running until the gateway stops.
pub(crate) async fn keep(world: Arc<World>, mut stop: watch::Receiver<bool>) {
    let secret = Arc::clone(&world);
    let secrets: Secrets = Arc::new(move |reference| secret.secret(reference));
    let way = Way { tls: Arc::clone(&world.tls), secrets, hostname: hostname() };
    let home = world.home.clone();
    let origin = audit::origin(&home).unwrap_or_else(|| audit::ORIGIN.to_owned());
    let mut deliveries = Deliveries::new(&home.journal(), &home.deliveries(), &origin, way);
    let mut current = None;
    loop {
        let organization = Arc::clone(&world.gateway.snapshot().organization);
        let wanted = (organization.deliveries.clone(), places_of(&organization, REGION));
        if current.as_ref() != Some(&wanted) {
            // Ending one waits for what it is sending.
            let (list, places) = wanted.clone();
            let done = tokio::task::spawn_blocking(move || {
                let run = deliveries.run(&list, &places);
                (deliveries, run)
            });
            let Ok((back, run)) = done.await else { return };
            deliveries = back;
            match run {
                Ok(()) => current = Some(wanted),
                Err(error) => warn(&error.to_string()),
            }
        }
        world.delivered.set(deliveries.standings());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep(TICK) => {}
        }
    }
    let _ = tokio::task::spawn_blocking(move || drop(deliveries)).await;
}

/// This machine's name, as syslog messages have it.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// `remit export status`.
pub(crate) fn status(command: &ExportCommand) -> Result<(), Failure> {
    let ExportCommand::Status(common) = command;
    let home = Home::existing(&common.data)?;
    let durable = remit_journal::durable_entries(home.journal());
    let durable = durable.map_err(|error| Failure::new(format!("the journal can't be read: {error}")))?;
    let configured = crate::export::in_effect(&home).map_err(Failure::new)?;
    let deliveries = configured.map(|organization| organization.deliveries).unwrap_or_default();
    let shown: Vec<Value> = deliveries.iter().map(|delivery| shown(&home, delivery, durable)).collect::<Result<_, _>>()?;
    let printer = Printer::new(common.json);
    if common.json {
        return printer.line(&json!({"entries": durable, "deliveries": shown}).to_string());
    }
    if shown.is_empty() {
        return printer.line("the configuration in effect has no `deliveries`");
    }
    for one in &shown {
        let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| one.get(key).and_then(Value::as_u64).unwrap_or_default();
        let wrong = one.pointer("/trouble/error").and_then(Value::as_str).map(|why| format!("; it doesn't go on: {why}"));
        printer.line(&format!(
            "{} ({} {}): {} records delivered, {} entries behind{}",
            text("name"),
            text("kind"),
            text("to"),
            number("records"),
            number("behind"),
            wrong.unwrap_or_default()
        ))?;
    }
    Ok(())
}

fn shown(home: &Home, delivery: &Delivery, durable: u64) -> Result<Value, Failure> {
    let kept = Kept::new(&home.deliveries(), &delivery.name);
    let cursor = kept.cursor().map_err(|error| Failure::new(error.to_string()))?;
    let (kind, to) = match &delivery.to {
        Destination::Syslog { address, .. } => ("syslog", address.clone()),
        Destination::Https { url, .. } => ("https", url.split(['?', '#']).next().unwrap_or_default().to_owned()),
        Destination::S3(to) => ("s3", format!("s3://{}/{}", to.bucket, to.prefix)),
    };
    Ok(json!({
        "name": delivery.name, "kind": kind, "to": to, "next": cursor.open.next, "open": cursor.open.open.len(),
        "behind": durable.saturating_sub(cursor.open.next), "records": cursor.records,
        "delivered_at_secs": (cursor.delivered_at_secs > 0).then_some(cursor.delivered_at_secs), "trouble": kept.trouble(),
    }))
}
