//! Which rules hold a call: what of a rule is known of a tool is settled when the snapshot is compiled, the rest at each call.

use std::collections::HashMap;
use std::sync::Arc;

use remit_cedar::{Ask as Question, Meant, Mode, PolicySet, Source, Tool};
use remit_model::{
    AgentId, ApprovalRule, Approvals, CallOrigin, Risk, Space, TOOL_SEPARATOR, TrustTier, ValueOrigin, plain_pointer,
};

use super::RuleAsked;
use crate::catalogue::PinState;
use crate::facts::Principal;
use crate::snapshot::ToolView;

/// How many values a statement names.
const VALUES_TOLD_MAX: usize = 3;

/// Puts a call as policies see it before whoever is given; `false` if it can't be put.
pub(crate) type Asking<'a> = dyn Fn(&mut dyn FnMut(&Question<'_>)) -> bool + 'a;

/// The rules that may hold calls of one space's tools.
#[derive(Debug, Default)]
pub struct Holds {
    /// By exposed name.
    by_tool: HashMap<String, Vec<Hold>>,
    /// In whose vocabulary conditions are asked.
    set: Option<Arc<PolicySet>>,
    /// Conditions that don't fit a tool: the rule holds all of its calls. Rule, tool, and why.
    pub unfit: Vec<(String, String, String)>,
}

/// A rule that may hold calls of a tool.
#[derive(Debug)]
pub struct Hold {
    /// The rule, as approvals remember it.
    pub asked: RuleAsked,
    rule: ApprovalRule,
    when: When,
}

/// Of which calls a rule speaks.
#[derive(Debug)]
enum When {
    Always,
    Meant(Box<Meant>),
    /// The condition can't be asked of the tool: whether it is meant isn't known.
    Unfit(String),
}

impl Holds {
    /// Those of a space.
    pub(crate) fn compile(
        approvals: &Approvals,
        space: &Space,
        tools: &[Arc<ToolView>],
        own: Option<&Arc<PolicySet>>,
        arn: &str,
    ) -> Self {
        let speaks = |rule: &&ApprovalRule| rule.calls.spaces.is_empty() || rule.calls.spaces.contains(&space.id);
        let rules: Vec<&ApprovalRule> = approvals.rules.iter().filter(speaks).collect();
        let mut holds = Self::default();
        if rules.is_empty() {
            return holds;
        }
        if rules.iter().any(|rule| rule.calls.when.is_some()) {
            holds.set = Some(own.cloned().unwrap_or_else(|| vocabulary(tools, arn)));
        }
        for tool in tools {
            let found: Vec<Hold> = rules.iter().filter(|rule| may_hold(rule, tool)).map(|rule| holds.hold(rule, tool)).collect();
            if !found.is_empty() {
                holds.by_tool.insert(tool.exposed.as_str().to_owned(), found);
            }
        }
        holds
    }

    fn hold(&mut self, rule: &ApprovalRule, tool: &ToolView) -> Hold {
        let when = match (&rule.calls.when, &self.set) {
            (None, _) => When::Always,
            (Some(_), None) => When::Unfit("there is no vocabulary to ask it in".to_owned()),
            (Some(condition), Some(set)) => match set.meant(&tool.id, condition) {
                Ok(meant) => When::Meant(Box::new(meant)),
                Err(faults) => {
                    let why: Vec<String> = faults.into_iter().map(|fault| fault.what).collect();
                    When::Unfit(why.join("; "))
                }
            },
        };
        if let When::Unfit(why) = &when {
            self.unfit.push((rule.id.clone(), tool.id.to_string(), why.clone()));
        }
        let asked = RuleAsked { id: rule.id.clone(), origin: rule.origin.clone(), ask: rule.ask.clone() };
        Hold { asked, rule: rule.clone(), when }
    }

    /// In whose vocabulary conditions are asked, if there are any.
    pub(crate) fn vocabulary(&self) -> Option<&Arc<PolicySet>> {
        self.set.as_ref()
    }

    /// Whether no call at all is held.
    pub fn is_empty(&self) -> bool {
        self.by_tool.is_empty()
    }

    /// Whether any call of a tool could be held.
    pub fn may_hold(&self, exposed: &str) -> bool {
        self.by_tool.contains_key(exposed)
    }

    /// The rules that may hold calls of a tool.
    pub fn of(&self, exposed: &str) -> &[Hold] {
        self.by_tool.get(exposed).map(Vec::as_slice).unwrap_or_default()
    }

    /// A rule that holds every call of a tool by an agent, whatever its arguments are and on whose behalf it is made.
    pub(crate) fn certainly(&self, exposed: &str, agent: &AgentId, registered: Risk) -> Option<&Hold> {
        self.of(exposed).iter().find(|hold| hold.is_certain(agent, registered))
    }

    /// The rules that hold a call. `asking` puts the call as policies see it; a condition that can't be evaluated holds.
    pub(crate) fn that_hold<'a>(
        &'a self,
        tool: &ToolView,
        principal: &Principal,
        risk: Risk,
        tier: Option<TrustTier>,
        origin: Option<&CallOrigin>,
        asking: &Asking<'_>,
    ) -> Vec<&'a Hold> {
        let found = self.of(tool.exposed.as_str()).iter();
        found
            .filter(|hold| {
                let calls = &hold.rule.calls;
                let agent = calls.agents.is_empty() || calls.agents.contains(&principal.agent);
                let delegated = calls.delegated.is_none_or(|delegated| delegated == principal.user.is_some());
                let risky = calls.risk_min.is_none_or(|min| risk >= min);
                // Without a tier nobody has earned anything.
                let trusted = calls.trust_max.is_none_or(|max| tier.is_none_or(|tier| tier <= max));
                // What nobody knows of may have touched anything.
                let touched = calls.origin.is_empty() || origin.is_none_or(|origin| calls.origin.means(origin));
                agent && delegated && risky && trusted && touched && self.is_meant(hold, asking)
            })
            .collect()
    }

    fn is_meant(&self, hold: &Hold, asking: &Asking<'_>) -> bool {
        let (meant, set) = match (&hold.when, &self.set) {
            (When::Always, _) => return true,
            (When::Meant(meant), Some(set)) => (meant, set),
            _ => return true,
        };
        let mut holds = true;
        // Arguments that can't be put as policies see them: whether they are meant isn't known.
        let put = asking(&mut |ask| holds = set.means(meant, ask).unwrap_or(true));
        holds || !put
    }
}

impl Hold {
    /// The condition on calls, if there is one.
    pub(crate) fn condition(&self) -> Option<&str> {
        self.rule.calls.when.as_deref()
    }

    /// Which values of a call the rule speaks of, where it speaks of what stands behind them, or that the request names none.
    pub(crate) fn values(&self, origin: &CallOrigin) -> Vec<String> {
        let rule = &self.rule.calls.origin.provenance;
        let meant = origin.values.iter().filter(|value| rule.get(&value.role).is_some_and(|bad| bad.contains(&value.provenance)));
        let told = |value: &ValueOrigin| {
            let source = value.source.as_ref().map(|source| format!(", from {source}")).unwrap_or_default();
            format!("{} ({}) is {}{source}", plain_pointer(&value.pointer), value.role.as_str(), value.provenance)
        };
        let unrequested = self.rule.calls.origin.requested == Some(false) && !origin.requested;
        let unrequested = unrequested.then(|| "the user's request names nothing that it does".to_owned());
        unrequested.into_iter().chain(meant.take(VALUES_TOLD_MAX).map(told)).collect()
    }

    fn is_certain(&self, agent: &AgentId, registered: Risk) -> bool {
        let calls = &self.rule.calls;
        matches!(self.when, When::Always | When::Unfit(_))
            && (calls.agents.is_empty() || calls.agents.contains(agent))
            && calls.delegated.is_none()
            && calls.origin.is_empty()
            && calls.risk_min.is_none_or(|min| registered >= min)
            && calls.trust_max.is_none_or(|max| max == TrustTier::Autonomous)
    }
}

/// Whether a rule could speak of a tool.
fn may_hold(rule: &ApprovalRule, tool: &ToolView) -> bool {
    let calls = &rule.calls;
    let named = |name: &String| match name.strip_suffix('*') {
        Some(start) => tool.id.starts_with(start),
        None => **name == *tool.id,
    };
    (calls.tools.is_empty() || calls.tools.iter().any(named))
        && (calls.categories.is_empty() || calls.categories.iter().any(|category| tool.categories.contains(category)))
        && (calls.classes.is_empty() || calls.classes.contains(&tool.class))
}

/// A set without rules that knows these tools.
fn vocabulary(tools: &[Arc<ToolView>], arn: &str) -> Arc<PolicySet> {
    let server = |id: &str| id.split_once(TOOL_SEPARATOR).map_or(0, |(server, _)| server.len());
    let known: Vec<Tool<'_>> = tools
        .iter()
        .filter(|tool| tool.pin != PinState::New)
        .map(|tool| Tool {
            id: &tool.id,
            server: tool.id.get(..server(&tool.id)).unwrap_or_default(),
            definition: &tool.definition,
        })
        .collect();
    let source = Arc::new(Source::read(Mode::Active, Vec::new()).unwrap_or_else(|_| Source::unreadable()));
    Arc::new(PolicySet::compile(&source, &known, arn))
}
