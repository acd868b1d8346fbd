//! Deployments: plan, apply, roll back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::world::{Answer, Effect, Outcome, World, id, text, tool};

struct Plan {
    service: String,
    version: String,
    applied: bool,
}

/// The running versions and the plans to change them.
pub(crate) struct Deployments {
    /// By service: its versions, the running one last.
    running: BTreeMap<&'static str, Vec<String>>,
    plans: Vec<Plan>,
}

impl Deployments {
    /// Three services as they run.
    pub(crate) fn new() -> Self {
        let versions = |old: &str, new: &str| vec![old.to_owned(), new.to_owned()];
        let running = [
            ("billing", versions("2026.44.2", "2026.45.0")),
            ("checkout", versions("2026.45.3", "2026.46.1")),
            ("search", versions("2026.40.0", "2026.41.0")),
        ];
        Self { running: running.into_iter().collect(), plans: Vec::new() }
    }
}

fn outcome(service: &str, from: &str, to: &str, text: String, plan: Option<&str>) -> Outcome {
    let mut data = json!({ "service": service, "from": from, "to": to });
    if let (Some(plan), Some(map)) = (plan, data.as_object_mut()) {
        map.insert("plan_id".to_owned(), plan.into());
    }
    Outcome::Done(text, data)
}

impl World for Deployments {
    fn about(&self) -> (&'static str, &'static str) {
        ("Deployments", "Changes what runs in production, in two steps: plan, then apply the plan.")
    }

    fn tools(&self) -> Vec<Value> {
        let service = || json!({ "type": "string", "enum": ["billing", "checkout", "search"], "description": "The service" });
        let string = json!({ "type": "string" });
        let output = || {
            (json!({ "service": string, "from": string, "to": string, "plan_id": string }), &["service", "from", "to"] as &[&str])
        };
        vec![
            tool(
                "plan",
                ("Plan a deployment", "Says what deploying a version would change; changes nothing"),
                Effect::Reads,
                (json!({ "service": service(), "version": text("The version to deploy") }), &["service", "version"]),
                output(),
            ),
            tool(
                "apply",
                ("Apply a plan", "Deploys what a plan says"),
                Effect::Changes,
                (json!({ "plan_id": id("PLAN") }), &["plan_id"]),
                output(),
            ),
            tool(
                "rollback",
                ("Roll back", "Puts the version before the running one back; data written since may be lost"),
                Effect::Destroys,
                (json!({ "service": service(), "reason": text("Why") }), &["service", "reason"]),
                output(),
            ),
        ]
    }

    fn call(&mut self, tool: &str, arguments: Arguments<'_>, _answer: Option<&Answer>) -> Result<Outcome, String> {
        match tool {
            "plan" => {
                let (service, version) = (arguments.text("service"), arguments.text("version"));
                let now = self.running.get(service).and_then(|versions| versions.last()).ok_or("there is no such service")?;
                if now == version {
                    return Err(format!("{service} already runs {version}"));
                }
                self.plans.push(Plan { service: service.to_owned(), version: version.to_owned(), applied: false });
                let plan = format!("PLAN-{:04}", 1000 + self.plans.len());
                Ok(outcome(
                    service,
                    now,
                    version,
                    format!("{plan}: {service} {now} -> {version}, 6 instances, no migration"),
                    Some(&plan),
                ))
            }
            "apply" => {
                let id = arguments.text("plan_id");
                let at = id
                    .strip_prefix("PLAN-")
                    .and_then(|number| number.parse::<usize>().ok())
                    .and_then(|number| number.checked_sub(1001));
                let plan = at.and_then(|at| self.plans.get_mut(at)).ok_or_else(|| format!("there is no plan {id}"))?;
                if std::mem::replace(&mut plan.applied, true) {
                    return Err(format!("{id} was applied already"));
                }
                let versions = self.running.get_mut(plan.service.as_str()).ok_or("there is no such service")?;
                let before = versions.last().cloned().unwrap_or_default();
                versions.push(plan.version.clone());
                Ok(outcome(
                    &plan.service,
                    &before,
                    &plan.version,
                    format!("{id} applied: {} runs {}", plan.service, plan.version),
                    Some(id),
                ))
            }
            _ => {
                let service = arguments.text("service");
                let versions = self.running.get_mut(service).filter(|versions| versions.len() > 1);
                let versions = versions.ok_or_else(|| format!("{service} has no earlier version"))?;
                let gone = versions.pop().unwrap_or_default();
                let now = versions.last().cloned().unwrap_or_default();
                Ok(outcome(service, &gone, &now, format!("{service} is back at {now}"), None))
            }
        }
    }
}
