//! The vocabulary of a space's policies, made of its tools.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::NAMESPACE;
use crate::shape::{Record, quote};

/// What an event carries, for every action: AgentCore's `eventResource`, Dogwood's own `callerPrincipal` and `callerResource`, and the ids
/// of the call and of the session. The longest look-back is 30 days.
pub(crate) const EVENTS: &str = "
max_window = 30d

decision event <A>::request {
    ...inputs(A),
    eventPrincipal: principalType(A),
    eventResource: resourceType(A),
    callerPrincipal: principalType(A),
    callerResource: resourceType(A),
    requestId: String,
    sessionId: String,
}

event <A>::response {
    ...inputs(A),
    ...outputs(A),
    eventPrincipal: principalType(A),
    eventResource: resourceType(A),
    callerPrincipal: principalType(A),
    callerResource: resourceType(A),
    requestId: String,
    sessionId: String,
}

event <A>::error {
    ...inputs(A),
    eventPrincipal: principalType(A),
    eventResource: resourceType(A),
    callerPrincipal: principalType(A),
    callerResource: resourceType(A),
    requestId: String,
    sessionId: String,
}
";

/// Remit's own facts, beside AgentCore's.
const FACTS: &str = "{
    agent: __cedar::String, user?: __cedar::String, delegated: __cedar::Bool, space: __cedar::String, account: __cedar::String,
    role?: __cedar::String, sourceIdentity?: __cedar::String, sessionId: __cedar::String, sourceIp?: __cedar::ipaddr,
    risk: __cedar::String, riskLevel: __cedar::Long, class: __cedar::String, categories: Set<__cedar::String>,
    approved: __cedar::Bool, trustTier?: __cedar::String, trustLevel?: __cedar::Long,
    promptAttackScore: __cedar::Long, guardrailFindings: Set<__cedar::String>,
    integrity: __cedar::String, confidentiality: __cedar::String, confidentialityLevel: __cedar::Long,
    requested: __cedar::Bool
  }";

/// A tool as the vocabulary needs it.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// Its name in policies: `server___tool`.
    pub id: &'a str,
    /// Its server's name: the group of its action.
    pub server: &'a str,
    /// Its pinned definition, as JSON text.
    pub definition: &'a str,
}

/// What is known of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) server: String,
    pub(crate) input: Record,
    pub(crate) output: Record,
}

/// The actions of a space, and the schema that says so in Cedar's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    pub(crate) actions: BTreeMap<String, Action>,
    pub(crate) schema: String,
}

impl Vocabulary {
    pub(crate) fn of(tools: &[Tool<'_>]) -> Self {
        let mut actions = BTreeMap::new();
        for tool in tools {
            let definition: Value = serde_json::from_str(tool.definition).unwrap_or_default();
            let of = |key: &str| definition.get(key).map(Record::of_schema).unwrap_or_default();
            actions.insert(
                tool.id.to_owned(),
                Action { server: tool.server.to_owned(), input: of("inputSchema"), output: of("outputSchema") },
            );
        }
        let mut vocabulary = Self { actions, schema: String::new() };
        vocabulary.schema = vocabulary.schema_of(|_| true);
        vocabulary
    }

    /// The groups of actions: servers, but for one that is named as a tool is.
    pub(crate) fn groups(&self) -> BTreeSet<&str> {
        let servers = self.actions.values().map(|action| action.server.as_str());
        servers.filter(|server| !self.actions.contains_key(*server)).collect()
    }

    /// The schema of some actions and groups. An action's group is there with it.
    pub(crate) fn schema_of(&self, has: impl Fn(&str) -> bool) -> String {
        let actions: Vec<(&String, &Action)> = self.actions.iter().filter(|(id, _)| has(id)).collect();
        let of_these: BTreeSet<&str> = actions.iter().map(|(_, action)| action.server.as_str()).collect();
        let groups = self.groups().into_iter().filter(|group| of_these.contains(group) || has(group)).collect();
        schema(&groups, actions.into_iter())
    }
}

fn schema<'a>(servers: &BTreeSet<&str>, actions: impl Iterator<Item = (&'a String, &'a Action)>) -> String {
    let mut text = format!(
        "namespace {NAMESPACE} {{
  entity OAuthUser = {{ id: __cedar::String }} tags __cedar::String;
  entity IamEntity = {{ id: __cedar::String }} tags __cedar::String;
  entity Gateway;
  type SystemContext = {{ now: __cedar::datetime }};
  type RemitContext = {FACTS};
"
    );
    for server in servers {
        text.push_str(&format!("  action {};\n", quote(server)));
    }
    for (id, action) in actions {
        let group =
            if servers.contains(action.server.as_str()) { format!(" in [{}]", quote(&action.server)) } else { String::new() };
        text.push_str(&format!(
            "  action {}{group} appliesTo {{
    principal: [OAuthUser, IamEntity], resource: [Gateway],
    context: {{ input: {}, output?: {}, isOutput: __cedar::Bool, system: SystemContext, remit: RemitContext,
      provenance: {} }}
  }};
",
            quote(id),
            action.input.to_cedar(),
            action.output.to_cedar(),
            action.input.origins_to_cedar(),
        ));
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dogwood_language::{LoweredPolicySet, PolicySchema, ServiceSchema};

    #[test]
    fn dogwood_takes_the_vocabulary() {
        let tools = [
            Tool {
                id: "bank___transfer-funds",
                server: "bank",
                definition: r#"{"name":"transfer-funds","inputSchema":{"type":"object","properties":{"to-account":{"type":"string"},"amount":{"type":"integer"},"in":{"type":"string"}},"required":["amount"]},"outputSchema":{"type":"object","properties":{"receipt-id":{"type":"string"}}}}"#,
            },
            Tool { id: "bank___ping", server: "bank", definition: "{}" },
        ];
        let vocabulary = Vocabulary::of(&tools);
        let schema = PolicySchema::from_cedarschema_str(&vocabulary.schema).unwrap();
        let service = ServiceSchema::builder().event_schema_str(EVENTS).build().unwrap();
        let policy = r#"
            permit (principal is AgentCore::OAuthUser, action == AgentCore::Action::"bank___transfer-funds", resource)
            when { context.input["to-account"] == context.input.to_u2daccount_placeholder };
        "#
        .replace("context.input.to_u2daccount_placeholder", "\"x\"");
        for policy in [
            policy.as_str(),
            r#"permit (principal, action in AgentCore::Action::"bank", resource) when temporal { formerly within 24h AgentCore::Action::"bank___transfer-funds"::response{ eventResource: resource, output.receipt_u2d_id: _ } };"#,
            r#"forbid (principal, action == AgentCore::Action::"bank___transfer-funds", resource) when { context.input.amount > 10 && context.remit.riskLevel > 1 && context.system.now > datetime("2026-01-01") };"#,
        ] {
            let lowered = LoweredPolicySet::from_str(policy, &service, &schema).unwrap();
            let result = dogwood_language::Validator::new().validate(&lowered);
            let errors: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
            assert!(
                errors.iter().all(|error| error.contains("required attribute") || error.contains("optional")),
                "{policy}: {errors:?}"
            );
        }
    }
}
