//! Observability: logs, metrics and incidents of a few services.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::world::{Answer, Effect, Outcome, World, count, text, tool};

const SERVICES: [&str; 3] = ["checkout", "search", "billing"];

const LOGS: [(&str, &str, &str, &str); 8] = [
    ("2026-11-16T07:58:02Z", "checkout", "info", "deploy 2026.46.1 finished"),
    ("2026-11-16T08:01:17Z", "checkout", "error", "upstream timeout after 3000 ms: payments.authorize"),
    ("2026-11-16T08:01:19Z", "checkout", "error", "upstream timeout after 3000 ms: payments.authorize"),
    ("2026-11-16T08:01:20Z", "billing", "warn", "connection pool 48/50 in use"),
    ("2026-11-16T08:01:44Z", "billing", "error", "connection pool exhausted, request refused"),
    ("2026-11-16T08:02:03Z", "search", "info", "index refreshed in 812 ms"),
    ("2026-11-16T08:03:11Z", "checkout", "warn", "circuit to payments is open"),
    ("2026-11-16T08:05:40Z", "billing", "info", "pool grown to 80"),
];

struct Incident {
    service: String,
    title: String,
    severity: String,
}

/// The services and what is known of them.
pub(crate) struct Observability {
    incidents: Vec<Incident>,
    /// How often each service was restarted.
    restarts: [u32; 3],
}

impl Observability {
    /// Three services, one of them in trouble.
    pub(crate) fn new() -> Self {
        Self { incidents: Vec::new(), restarts: [0; 3] }
    }
}

fn service() -> Value {
    json!({ "type": "string", "enum": SERVICES, "description": "The service" })
}

impl World for Observability {
    fn about(&self) -> (&'static str, &'static str) {
        ("Observability", "Logs, metrics and incidents of Acme's production services. Look before you restart.")
    }

    fn tools(&self) -> Vec<Value> {
        let level = json!({ "type": "string", "enum": ["info", "warn", "error"], "description": "Only this level" });
        let metric = json!({ "type": "string", "enum": ["error_rate", "latency_p99_ms", "requests_per_minute"], "description": "The metric" });
        let severity = json!({ "type": "string", "enum": ["sev1", "sev2", "sev3"], "description": "How bad it is" });
        let string = json!({ "type": "string" });
        vec![
            tool(
                "search_logs",
                ("Search logs", "Finds log lines by text, service and level"),
                Effect::Reads,
                (
                    json!({ "query": text("Text to look for"), "service": service(), "level": level, "limit": count("How many lines at most", 1, 100) }),
                    &["query"],
                ),
                (json!({ "lines": { "type": "array", "items": { "type": "object" } } }), &["lines"]),
            ),
            tool(
                "get_metric",
                ("Read a metric", "Reads the last ten minutes of a metric, one value a minute"),
                Effect::Reads,
                (json!({ "service": service(), "metric": metric }), &["service", "metric"]),
                (json!({ "values": { "type": "array", "items": { "type": "number" } } }), &["values"]),
            ),
            tool(
                "open_incident",
                ("Open an incident", "Opens an incident and pages whoever is on call"),
                Effect::Changes,
                (
                    json!({ "service": service(), "title": text("One line that says what is broken"), "severity": severity }),
                    &["service", "title", "severity"],
                ),
                (
                    json!({ "id": string, "service": string, "title": string, "severity": string }),
                    &["id", "service", "title", "severity"],
                ),
            ),
            tool(
                "restart_service",
                ("Restart a service", "Restarts every instance of a service, one after the other"),
                Effect::Changes,
                (json!({ "service": service(), "reason": text("Why") }), &["service", "reason"]),
                (json!({ "service": string, "restarts": { "type": "integer" } }), &["service", "restarts"]),
            ),
        ]
    }

    fn call(&mut self, tool: &str, arguments: Arguments<'_>, _answer: Option<&Answer>) -> Result<Outcome, String> {
        let service = arguments.text("service");
        match tool {
            "search_logs" => Ok(logs(arguments)),
            "get_metric" => {
                let at = SERVICES.iter().position(|known| *known == service).unwrap_or_default();
                let calm = self.restarts.get(at).is_some_and(|restarts| *restarts > 0);
                let values = values(service, arguments.text("metric"), calm);
                let last = values.last().copied().unwrap_or_default();
                Ok(Outcome::Done(format!("{service} {}: {last} now", arguments.text("metric")), json!({ "values": values })))
            }
            "open_incident" => {
                let incident = Incident {
                    service: service.to_owned(),
                    title: arguments.text("title").to_owned(),
                    severity: arguments.text("severity").to_owned(),
                };
                self.incidents.push(incident);
                let id = format!("INC-{:04}", 2000 + self.incidents.len());
                let incident = self.incidents.last().ok_or("the incident was lost")?;
                let text = format!(
                    "{id} opened ({}): {}; the on-call of {} was paged",
                    incident.severity, incident.title, incident.service
                );
                Ok(Outcome::Done(
                    text,
                    json!({ "id": id, "service": incident.service, "title": incident.title, "severity": incident.severity }),
                ))
            }
            _ => {
                let at = SERVICES.iter().position(|known| *known == service).unwrap_or_default();
                let restarts = self.restarts.get_mut(at).ok_or("there is no such service")?;
                *restarts += 1;
                Ok(Outcome::Done(
                    format!("{service} was restarted: {}", arguments.text("reason")),
                    json!({ "service": service, "restarts": *restarts }),
                ))
            }
        }
    }
}

fn logs(arguments: Arguments<'_>) -> Outcome {
    let query = arguments.text("query").to_lowercase();
    let limit = arguments.count("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(20);
    let fits = |(_, service, level, line): &&(&str, &str, &str, &str)| {
        line.to_lowercase().contains(&query)
            && arguments.optional("service").is_none_or(|wanted| wanted == *service)
            && arguments.optional("level").is_none_or(|wanted| wanted == *level)
    };
    let found: Vec<&(&str, &str, &str, &str)> = LOGS.iter().filter(fits).take(limit).collect();
    let lines: Vec<String> = found.iter().map(|(at, service, level, line)| format!("{at} {service} {level}: {line}")).collect();
    let text = if lines.is_empty() { "No line was found.".to_owned() } else { lines.join("\n") };
    let lines: Vec<Value> = found
        .iter()
        .map(|(at, service, level, line)| json!({ "at": at, "service": service, "level": level, "line": line }))
        .collect();
    Outcome::Done(text, json!({ "lines": lines }))
}

/// Ten minutes of a metric; a service in trouble calms down once it was restarted.
fn values(service: &str, metric: &str, calm: bool) -> Vec<f64> {
    let trouble = if service == "search" || calm { 0.0 } else { 1.0 };
    let (base, rise) = match metric {
        "error_rate" => (0.2, 1.4),
        "latency_p99_ms" => (180.0, 310.0),
        _ => (1200.0, -45.0),
    };
    let rounded = |value: f64| (value * 10.0).round() / 10.0;
    (0..10).map(|minute| rounded(base + trouble * rise * f64::from(minute))).collect()
}
