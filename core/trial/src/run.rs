//! Cases decided by the kernel itself, and held against what was expected.

use std::collections::HashMap;
use std::sync::Arc;

use remit_kernel::catalogue::Listed;
use remit_kernel::remedy::remedies;
use remit_kernel::{Call, Catalogue, Decision, Layer, LayerLine, Snapshot, Verdict, decide_in_general};
use remit_mcp::json::JsonError;
use remit_model::{Organization, TOOL_SEPARATOR};

use crate::cases::{Case, Expect, Expected, Suppose, Wanted, looked_back};
use crate::{Coverage, Lock};

/// An organization ready to be tried.
#[derive(Debug)]
pub struct Trial {
    snapshot: Snapshot,
    /// What cases suppose, each compiled once.
    supposed: HashMap<Suppose, Snapshot>,
}

/// Why a case could not be run. None of those that were read and given to [`Trial::new`] can't.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// Its arguments are no JSON.
    #[error("the arguments are no JSON: {0}")]
    Arguments(#[from] JsonError),
    /// What came before it can't have come.
    #[error("{0}")]
    After(String),
    /// It supposes what was not compiled with the others.
    #[error("the supposition is of another trial")]
    Supposition,
}

/// What came of one case.
#[derive(Debug)]
pub struct Outcome {
    /// What was said otherwise than expected; nothing for a case that passes.
    pub mismatches: Vec<Mismatch>,
    /// What was decided, with an answer from every layer.
    pub decision: Decision,
    /// What that comes to, where the case says that people agree.
    pub verdict: Expected,
}

/// Something that was said otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// Which key of the expectation it is.
    pub key: &'static str,
    /// What was expected.
    pub expected: String,
    /// What was said.
    pub said: String,
}

impl Trial {
    /// Compiles what cases are decided by: the organization, with every server offering exactly the tools that are locked, and the
    /// prompts that a case names. Prompts aren't pinned; a running gateway knows them from their server.
    pub fn new(organization: &Arc<Organization>, lock: Option<&Lock>, cases: &[Case]) -> Self {
        let mut catalogue = lock.map(Lock::catalogue).unwrap_or_default();
        let prompts = cases.iter().filter_map(|case| match &case.wanted {
            Wanted::Prompt(name) => Some(name.as_str()),
            _ => None,
        });
        for name in prompts {
            offer(organization, &mut catalogue, name);
        }
        let mut supposed = HashMap::new();
        for suppose in cases.iter().filter_map(|case| case.suppose.as_deref()) {
            if !supposed.contains_key(suppose) {
                let changed = Arc::new(suppose.applied(organization));
                supposed.insert(suppose.clone(), Snapshot::compile(1, changed, &catalogue));
            }
        }
        Self { snapshot: Snapshot::compile(1, Arc::clone(organization), &catalogue), supposed }
    }

    /// What a case is decided by.
    fn snapshot(&self, case: &Case) -> Result<&Snapshot, NotRun> {
        match &case.suppose {
            None => Ok(&self.snapshot),
            Some(suppose) => self.supposed.get(&**suppose).ok_or(NotRun::Supposition),
        }
    }

    /// Decides a case and holds the decision against what was expected. What it exercised is counted in `coverage`.
    pub fn run(&self, case: &Case, coverage: &mut Coverage) -> Result<Outcome, NotRun> {
        let call = case.call()?;
        let snapshot = self.snapshot(case)?;
        let facts = looked_back(snapshot, case).map_err(NotRun::After)?;
        let decision = decide_in_general(snapshot, &facts, &call, case.now_secs);
        let verdict = match &decision.verdict {
            Verdict::Hold(_) if !case.approved => Expected::Hold,
            Verdict::Allow(_) | Verdict::Hold(_) => Expected::Allow,
            Verdict::Deny(_) => Expected::Deny,
        };
        coverage.record(case, &decision);
        let mismatches = compared(snapshot, case, &call, &decision, verdict);
        Ok(Outcome { mismatches, decision, verdict })
    }

    /// What would have to change for a denied case to be allowed.
    pub fn remedies(&self, case: &Case, decision: &Decision) -> Vec<remit_kernel::remedy::Remedy> {
        let (Ok(call), Ok(snapshot)) = (case.call(), self.snapshot(case)) else { return Vec::new() };
        remedies(snapshot, &case.facts, &call, decision)
    }
}

fn compared(snapshot: &Snapshot, case: &Case, call: &Call<'_>, decision: &Decision, said: Expected) -> Vec<Mismatch> {
    let Expect { verdict, reason, layer, effect, statements, at, acts_as, risk, remedies: wanted, layers } = &*case.expect;
    let mut found = Vec::new();
    let denial = decision.against().filter(|_| said != Expected::Allow);
    let denial = denial.as_ref();
    if *verdict != said {
        found.push(mismatch("verdict", verdict.as_str(), said.as_str()));
    }
    let mut word = |key, expected: Option<&str>, said: Option<&str>| {
        if let Some(expected) = expected.filter(|expected| Some(*expected) != said) {
            found.push(mismatch(key, expected, said.unwrap_or("nothing")));
        }
    };
    let deciding = deciding(decision, said == Expected::Allow);
    let denying = denial.and_then(|_| deciding.first());
    word("reason", reason.map(remit_kernel::Reason::as_str), denial.map(|denial| denial.reason.as_str()));
    word("layer", layer.map(Layer::as_str), denial.map(|denial| denial.layer.as_str()));
    word("effect", effect.map(remit_kernel::Effect::as_str), denying.map(|line| line.effect.as_str()));
    word("risk", risk.map(remit_model::Risk::as_str), decision.risk.map(remit_model::Risk::as_str));
    word("acts_as", acts_as.as_deref(), decision.acted_as.as_ref().map(|acted| acted.principal_arn.as_str()));
    for (layer, effect) in layers {
        // Of a layer that stands there several times, as trust does, the one that denies is what it says.
        let mut lines = decision.layers.iter().filter(|line| line.layer == *layer);
        let said = lines.clone().find(|line| !line.effect.agrees()).or_else(|| lines.next());
        if said.map(|line| line.effect) != Some(*effect) {
            let said = said.map_or("no line", |line| line.effect.as_str());
            found.push(mismatch("layers", format!("{} {}", layer.as_str(), effect.as_str()), said));
        }
    }
    let told = || deciding.iter().map(|line| line.statement.as_str()).collect::<Vec<_>>().join("; ");
    for statement in statements {
        if !deciding.iter().any(|line| line.statement.as_str().contains(statement.as_str())) {
            found.push(mismatch("statement", statement, told()));
        }
    }
    if let Some(at) = at
        && !deciding.iter().any(|line| line.origin.as_deref().is_some_and(|origin| stands(origin, at)))
    {
        let origins: Vec<&str> = deciding.iter().filter_map(|line| line.origin.as_deref()).collect();
        found.push(mismatch("at", at, if origins.is_empty() { "nowhere".to_owned() } else { origins.join(", ") }));
    }
    if !wanted.is_empty() {
        let changes = remedies(snapshot, &case.facts, call, decision);
        for remedy in wanted.iter().filter(|remedy| !changes.iter().any(|change| change.change.contains(remedy.as_str()))) {
            let said = changes.iter().map(|change| change.change.as_str()).collect::<Vec<_>>().join("; ");
            found.push(mismatch("remedy", remedy, if said.is_empty() { "nothing".to_owned() } else { said }));
        }
    }
    found
}

/// The lines that the verdict rests on: of a denial the first that denies, of a permission those that allow.
pub fn deciding(decision: &Decision, allowed: bool) -> Vec<&LayerLine> {
    if allowed {
        decision.layers.iter().filter(|line| line.effect == remit_kernel::Effect::Allow).collect()
    } else {
        decision.layers.iter().find(|line| !line.effect.agrees()).into_iter().collect()
    }
}

/// Whether `origin`, a file and a line, is what `at` names: the file with or without its first folders, with or without the line.
fn stands(origin: &str, at: &str) -> bool {
    let ends = |text: &str| text.strip_suffix(at).is_some_and(|before| before.is_empty() || before.ends_with('/'));
    ends(origin) || origin.rsplit_once(':').is_some_and(|(file, _)| ends(file))
}

fn mismatch(key: &'static str, expected: impl Into<String>, said: impl Into<String>) -> Mismatch {
    Mismatch { key, expected: expected.into(), said: said.into() }
}

/// Lets every server offer a prompt that could have it by its name.
fn offer(organization: &Organization, catalogue: &mut Catalogue, exposed: &str) {
    for space in organization.spaces.values() {
        for entry in space.servers.iter().filter(|entry| entry.prompts) {
            let own = match (entry.prefix, exposed.split_once(TOOL_SEPARATOR)) {
                (true, Some((server, own))) if server == entry.server.as_str() => own,
                (false, _) => exposed,
                _ => continue,
            };
            let offered = catalogue.servers.entry(Organization::server_key(space, entry)).or_default();
            let offered = Arc::make_mut(offered);
            if !offered.prompts.iter().any(|prompt| prompt.name == own) {
                let json = serde_json::json!({ "name": own }).to_string();
                offered.prompts.push(Listed { name: own.to_owned(), json: json.into() });
            }
        }
    }
}
