//! A bank, a mail server and a deployer.

use std::sync::Arc;

use remit_cedar::{
    Answer, Ask, Claims, ContextFacts, EventKind, File, History, HistoryError, HistoryEvent, Mode, PolicySet, PrincipalKind,
    Scopes, Source, Tool, Who,
};
use serde_json::{Value, json};

pub(crate) const TOOLS: &[Tool<'static>] = &[
    Tool {
        id: "bank___lookup",
        server: "bank",
        definition: r#"{"name":"lookup","inputSchema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]},
            "outputSchema":{"type":"object","properties":{"account-id":{"type":"string"},"secret":{"type":"boolean"}},"required":["account-id"]}}"#,
    },
    Tool {
        id: "bank___refund",
        server: "bank",
        definition: r#"{"name":"refund","inputSchema":{"type":"object","properties":{"account":{"type":"string"},"amount":{"type":"integer"},"note":{"type":"string"}},"required":["account","amount"]}}"#,
    },
    Tool {
        id: "mail___send",
        server: "mail",
        definition: r#"{"name":"send","inputSchema":{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}}"#,
    },
    Tool {
        id: "ci___test",
        server: "ci",
        definition: r#"{"name":"test","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"passed":{"type":"boolean"}}}}"#,
    },
    Tool { id: "ci___deploy", server: "ci", definition: r#"{"name":"deploy","inputSchema":{"type":"object"}}"# },
];

pub(crate) const GATEWAY: &str = "arn:aws:remit:eu-central-1:111111111111:space/support";
pub(crate) const START_MS: u64 = 1_790_000_000_000;

pub(crate) fn set_of(mode: Mode, text: &str) -> Arc<PolicySet> {
    let file = File { path: "policies/rules.dw".to_owned(), text: text.to_owned(), mode: Mode::Active };
    let source = Source::read(mode, vec![file]).unwrap_or_else(|faults| panic!("{faults:#?}"));
    Arc::new(PolicySet::compile(&Arc::new(source), TOOLS, GATEWAY))
}

pub(crate) fn set(text: &str) -> Arc<PolicySet> {
    set_of(Mode::Active, text)
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) session: String,
    pub(crate) claims: Claims,
}

impl Caller {
    pub(crate) fn new(id: &str, session: &str) -> Self {
        Self { id: id.to_owned(), session: session.to_owned(), claims: Claims::new() }
    }

    pub(crate) fn who(&self) -> Who<'_> {
        Who { kind: PrincipalKind::OAuthUser, id: &self.id, claims: &self.claims }
    }

    fn scopes(&self) -> Scopes<'_> {
        Scopes { session: &self.session, principal: &self.id, agent: "agent" }
    }
}

pub(crate) fn facts(session_id: &str) -> ContextFacts<'_> {
    ContextFacts {
        agent: "agent",
        user: None,
        space: "support",
        account: "111111111111",
        role: None,
        source_identity: None,
        session_id,
        source_ip: None,
        risk: "low",
        risk_level: 1,
        class: "write",
        categories: &[],
        trust: None,
        approved: false,
        prompt_attack_percent: 0,
        guardrail_findings: &[],
        origin: None,
    }
}

pub(crate) fn ask<'a>(caller: &'a Caller, tool: &'a str, input: &'a Value, now_ms: u64) -> Ask<'a> {
    Ask { who: caller.who(), tool, input, output: None, facts: facts(&caller.session), now_ms, bindings: None }
}

/// A gateway in small.
pub(crate) struct World {
    pub(crate) set: Arc<PolicySet>,
    pub(crate) history: History,
    pub(crate) now_ms: u64,
    calls: u64,
}

impl World {
    pub(crate) fn new(text: &str) -> Self {
        let set = set(text);
        Self { history: History::new(Arc::clone(&set)), set, now_ms: START_MS, calls: 0 }
    }

    pub(crate) fn wait(&mut self, secs: u64) {
        self.now_ms += secs * 1000;
    }

    pub(crate) fn event<'a>(
        &self,
        kind: EventKind,
        caller: &'a Caller,
        tool: &'a str,
        input: &'a Value,
        output: Option<&'a Value>,
        id: &'a str,
    ) -> HistoryEvent<'a> {
        HistoryEvent {
            kind,
            who: caller.who(),
            scopes: caller.scopes(),
            tool,
            input,
            output,
            request_id: id,
            now_ms: self.now_ms,
        }
    }

    /// A call is asked for and decided, and is in flight if it is allowed.
    pub(crate) fn begin(&mut self, caller: &Caller, tool: &str, input: &Value) -> Result<(bool, String), HistoryError> {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        let event = self.event(EventKind::Request, caller, tool, input, None, &id);
        let bindings = self.history.request(&event)?;
        let answer = self.set.decide(&Ask { bindings: Some(&bindings), ..ask(caller, tool, input, self.now_ms) });
        let allowed = answer.allows();
        if !allowed {
            let event = self.event(EventKind::Error, caller, tool, input, None, &id);
            self.history.outcome(&event)?;
        }
        Ok((allowed, id))
    }

    /// A call that was allowed is answered.
    pub(crate) fn end(
        &mut self,
        caller: &Caller,
        tool: &str,
        input: &Value,
        id: &str,
        output: Option<&Value>,
    ) -> Result<(), HistoryError> {
        self.now_ms += 1;
        let kind = if output.is_some() { EventKind::Response } else { EventKind::Error };
        let event = self.event(kind, caller, tool, input, output, id);
        self.history.outcome(&event)
    }

    /// A whole call; whether it was allowed.
    pub(crate) fn call(&mut self, caller: &Caller, tool: &str, input: &Value, output: &Value) -> bool {
        self.now_ms += 1;
        let (allowed, id) = self.begin(caller, tool, input).unwrap();
        if allowed {
            self.end(caller, tool, input, &id, Some(output)).unwrap();
        }
        allowed
    }

    pub(crate) fn refund(&mut self, caller: &Caller, account: &str, amount: i64) -> bool {
        self.call(caller, "bank___refund", &json!({"account": account, "amount": amount}), &json!({}))
    }
}

pub(crate) fn answer(set: &PolicySet, caller: &Caller, tool: &str, input: &Value) -> Answer {
    set.decide(&ask(caller, tool, input, START_MS))
}
