//! The last layer: whether people must agree, and whether they have.

use std::sync::Arc;

use remit_model::Risk;

use super::Finding;
use crate::approval::{Approval, CallAsked, Hold, RuleAsked};
use crate::facts::{Arguments, Fact, Facts, Principal};
use crate::guardrail::Guarded;
use crate::policy::{self, Input, PolicyCaller};
use crate::snapshot::{Snapshot, SpaceView, ToolView};
use crate::verdict::{ApprovalRequest, Reason};

/// A call of a tool that rules of approvals may speak of.
pub(super) struct Held<'a> {
    rules: Vec<&'a Hold>,
    space: &'a str,
    tool: Arc<ToolView>,
    arguments: Option<Arguments<'a>>,
    principal: String,
    /// The approval that lets it through, once that was judged.
    pub(super) used: Option<Arc<Approval>>,
}

/// What holds a call; `None` if no rule speaks of the tool.
#[allow(clippy::too_many_arguments, reason = "everything that a call is")]
pub(super) fn held<'a>(
    snapshot: &Snapshot,
    facts: &Facts,
    space: &'a SpaceView,
    principal: &Principal,
    tool: &Arc<ToolView>,
    given: &Input<'a>,
    risk: Option<Risk>,
    guarded: Option<&Guarded>,
    now_secs: u64,
) -> Option<Held<'a>> {
    if !space.holds.may_hold(tool.exposed.as_str()) {
        return None;
    }
    let (organization, arguments) = (&snapshot.organization, given.arguments);
    let asking = |ask: &mut dyn FnMut(&remit_cedar::Ask<'_>)| {
        let Some(input) = given.value() else { return false };
        let now_ms = now_secs.saturating_mul(1000);
        policy::asking(snapshot, space, facts, principal, tool, input, (false, guarded), now_ms, |asked| ask(asked));
        true
    };
    // Of a tool in general nothing is asked: people agree to calls.
    let rules = if arguments.is_some() {
        let tier = policy::tier(organization, facts, tool);
        space.holds.that_hold(tool, principal, risk.unwrap_or(tool.risk), tier, facts.known_origin(), &asking)
    } else {
        Vec::new()
    };
    let principal = PolicyCaller::of(organization, principal).principal;
    Some(Held { rules, space: space.space.id.as_str(), tool: Arc::clone(tool), arguments, principal, used: None })
}

impl Held<'_> {
    /// Whether a person is asked for.
    pub(super) fn asks(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The layer's word.
    pub(super) fn judge(&mut self, snapshot: &Snapshot, facts: &Facts, now_secs: u64) -> Finding<'static> {
        let Some(arguments) = self.arguments else { return Finding::no_impact("no arguments to agree to") };
        let Some(first) = self.rules.first() else { return Finding::no_impact("no rule asks for a person") };
        let origin: Arc<str> = first.asked.origin.as_str().into();
        let approvals = match &facts.approvals {
            Fact::Known(approvals) => approvals,
            Fact::Unknown(why) => {
                let why = format!("approvals could not be looked up: {why}");
                return Finding::implicit(Reason::CouldNotDecide, why).origin(&origin);
            }
        };
        let call = CallAsked {
            space: self.space,
            principal: &self.principal,
            tool: &self.tool.id,
            tool_digest: &self.tool.digest,
            arguments: arguments.as_str(),
        };
        let rules: Vec<&RuleAsked> = self.rules.iter().map(|rule| &rule.asked).collect();
        let said = &snapshot.organization.approvals;
        let found = approvals.iter().find(|approval| approval.covers(&call, &rules, said, now_secs));
        if let Some(approval) = found {
            let people: Vec<&str> = approval.votes.iter().filter(|vote| vote.approves).map(|vote| vote.by.id.as_str()).collect();
            let emergency = if approval.is_emergency() { ", in an emergency" } else { "" };
            let statement = format!("approval {} by {}{emergency}", approval.id, people.join(", "));
            self.used = Some(Arc::clone(approval));
            return Finding::allow(statement).origin(&origin);
        }
        let named: Vec<String> = self.rules.iter().map(|rule| format!("rule `{}`", rule.asked.id)).collect();
        let verb = if named.len() == 1 { "asks" } else { "ask" };
        let mut statement = format!("{} {verb} for a person's approval", named.join(" and "));
        if let Some(origin) = facts.known_origin() {
            let values: Vec<String> = self.rules.iter().flat_map(|rule| rule.values(origin)).collect();
            if !values.is_empty() {
                statement.push_str(&format!(": {}", values.join("; ")));
            }
        }
        Finding::implicit(Reason::ApprovalRequired, statement).origin(&origin)
    }

    /// What the call waits for.
    pub(super) fn request(self, statement: String) -> ApprovalRequest {
        let rules = self.rules.iter().map(|rule| rule.asked.clone()).collect();
        ApprovalRequest { rules, principal: self.principal, statement }
    }
}
