//! Calls that wait for people: which rules hold which calls, whose yes counts, and what a yes covers.

use std::sync::Arc;

use remit_kernel::approval::{Answer, Before, Refusal, Terms, arguments_digest};
use remit_kernel::compare::{Bounds, compare};
use remit_kernel::verdict::ApprovalRequest;
use remit_kernel::{
    Approval, ApprovalState, Arguments, Call, Catalogue, Decision, Fact, Facts, ServerCatalogue, Snapshot, Target, Verdict,
    decide, decide_in_general,
};
use remit_model::{Person, Proof, Risk};
use serde_json::{Value, json};

use crate::{NOW, World};

const PAY: &str = "ops___pay";

/// An organization with rules, and a tool that moves money.
struct Held {
    world: World,
    rules: String,
    approvals: Vec<Arc<Approval>>,
}

impl Held {
    fn new(rules: &str) -> Self {
        Self { world: World::new(), rules: rules.to_owned(), approvals: Vec::new() }
    }

    fn snapshot(&self) -> Snapshot {
        let mut text = self.world.text();
        text.push_str(&self.rules);
        let organization = match remit_config::read(&[remit_config::SourceFile { path: "remit.yaml".into(), text: text.clone() }])
        {
            Ok(loaded) => loaded.organization,
            Err(faults) => panic!("{}\n{text}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        };
        let tools: Vec<Arc<str>> = vec![
            r#"{"name":"look","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#.into(),
            r#"{"name":"pay","inputSchema":{"type":"object","properties":{"cents":{"type":"integer"},"to":{"type":"string"}},"required":["cents"]},"annotations":{"destructiveHint":false}}"#.into(),
        ];
        let mut catalogue = Catalogue::default();
        for key in organization.servers.keys() {
            let live = ServerCatalogue { tools: tools.clone(), ..ServerCatalogue::default() };
            catalogue.pins.extend(Catalogue::first_pins(key, &live, &|_| true, 0));
            catalogue.servers.insert(key.clone(), Arc::new(live));
        }
        Snapshot::compile(1, Arc::new(organization), &catalogue)
    }

    fn facts(&self) -> Facts {
        Facts { approvals: Fact::Known(self.approvals.clone()), ..self.world.facts() }
    }

    fn decide_at(&self, tool: &str, arguments: &str, now: u64) -> Decision {
        let (snapshot, facts) = (self.snapshot(), self.facts());
        let target = Target::Tool { name: tool, arguments: Some(Arguments::scan(arguments).unwrap()) };
        let mut call = Call { space: "ops", target, risk_requested: None, explain: false };
        let short = decide(&snapshot, &facts, &call, now);
        call.explain = true;
        let whole = decide(&snapshot, &facts, &call, now);
        assert_eq!(short.word(), whole.word(), "explaining changes nothing");
        if now == NOW {
            crate::kept(&snapshot, &facts, &call, &whole);
        }
        whole
    }

    fn word(&self, tool: &str, arguments: &str) -> &'static str {
        self.decide_at(tool, arguments, NOW).word().0
    }

    fn request(&self, arguments: &str) -> ApprovalRequest {
        match self.decide_at(PAY, arguments, NOW).verdict {
            Verdict::Hold(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// What is asked for by a held call of `pay`.
    fn asked(&self, arguments: &str) -> Approval {
        let request = self.request(arguments);
        let snapshot = self.snapshot();
        let tool = &snapshot.spaces["ops"].tools[PAY];
        Approval {
            id: "apr-1".into(),
            state: ApprovalState::Pending,
            decision: "d1".into(),
            asked_at_secs: NOW,
            expires_at_secs: NOW + request.pending_secs(),
            agent: "agent-1".into(),
            owner: "o@acme.example".into(),
            user: self.world.user.clone(),
            requesters: vec!["me@acme.example".into()],
            principal: request.principal.clone(),
            space: "ops".into(),
            server: tool.server.to_string(),
            tool: tool.id.to_string(),
            tool_digest: tool.digest.clone(),
            class: tool.class,
            risk: tool.risk,
            categories: tool.categories.clone(),
            arguments: arguments.into(),
            arguments_salt: "5a17".to_owned(),
            arguments_digest: arguments_digest("5a17", arguments),
            origin: None,
            pattern: None,
            rules: request.rules,
            led_to: vec![Before { decision: "d0".into(), at_ms: 1, tool: "ops___look".into(), verdict: "ALLOW".into() }],
            votes: Vec::new(),
            grant: None,
            redeemed_by: Vec::new(),
            ended: None,
            review: None,
            escalated: 0,
        }
    }

    /// Puts an approval by these people into the facts.
    fn approved(&mut self, arguments: &str, people: &[Person], terms: &Terms) -> Approval {
        let mut approval = self.asked(arguments);
        for person in people {
            approval.answer(yes(person.clone(), terms.clone()), &self.snapshot().organization.approvals, NOW).unwrap();
        }
        assert_eq!(approval.state, ApprovalState::Approved);
        self.approvals = vec![Arc::new(approval.clone())];
        approval
    }
}

fn person(id: &str, proof: Proof) -> Person {
    Person { id: id.into(), proof }
}

fn ann() -> Person {
    person("ann", Proof::Token)
}

fn signed_in(id: &str, acr: Option<&str>, ago: u64) -> Person {
    let proof = Proof::SignIn {
        issuer: "https://idp".into(),
        subject: id.into(),
        acr: acr.map(str::to_owned),
        auth_time_secs: Some(NOW - ago),
    };
    person(id, proof)
}

fn yes(by: Person, terms: Terms) -> Answer {
    Answer { by, approves: true, reason: String::new(), terms, break_glass: false }
}

fn no(by: Person, reason: &str) -> Answer {
    Answer { by, approves: false, reason: reason.into(), terms: Terms::default(), break_glass: false }
}

const RULE: &str = "approval_rules: [{ id: money, hold: { tools: [ops___pay] } }]\n";

#[test]
fn a_rule_holds_what_it_speaks_of_and_nothing_else() {
    let args = r#"{"cents": 5}"#;
    let cases: &[(&str, &str)] = &[
        ("{ tools: [ops___pay] }", "HOLD"),
        ("{ tools: [\"ops___p*\"] }", "HOLD"),
        ("{ tools: [ops___look] }", "ALLOW"),
        ("{ classes: [MUTATIVE] }", "HOLD"),
        ("{ classes: [DESTRUCTIVE] }", "ALLOW"),
        ("{ risk_min: medium }", "HOLD"),
        ("{ risk_min: critical }", "ALLOW"),
        ("{ categories: [transfer] }", "ALLOW"),
        ("{ agents: [agent-1], classes: [MUTATIVE] }", "HOLD"),
        ("{ spaces: [ops], classes: [MUTATIVE] }", "HOLD"),
        ("{ delegated: true, classes: [MUTATIVE] }", "ALLOW"),
        ("{ delegated: false, classes: [MUTATIVE] }", "HOLD"),
        ("{ tools: [ops___pay], when: context.input.cents > 4 }", "HOLD"),
        ("{ tools: [ops___pay], when: context.input.cents > 5 }", "ALLOW"),
        // What can't be asked of a tool, or can't be computed, waits.
        ("{ tools: [ops___pay], when: context.input.nothing > 5 }", "HOLD"),
        ("{ tools: [ops___pay], when: context.input.cents * 9223372036854775807 > 5 }", "HOLD"),
        // Without tiers nobody has earned anything.
        ("{ trust_max: supervised, classes: [MUTATIVE] }", "HOLD"),
        ("{ tools: [ops___pay], when: 'context.system.now.toTime() < duration(\"6h\")' }", "HOLD"),
        ("{ tools: [ops___pay], when: 'context.system.now.toTime() > duration(\"6h\")' }", "ALLOW"),
    ];
    for (hold, wanted) in cases {
        let held = Held::new(&format!("approval_rules: [{{ id: r, hold: {hold} }}]\n"));
        assert_eq!(held.word(PAY, args), *wanted, "{hold}");
        if !hold.contains("look") {
            assert_eq!(held.word("ops___look", "{}"), "ALLOW", "{hold}");
        }
    }
}

#[test]
fn whatever_denies_denies_before_anybody_is_asked() {
    let mut held = Held::new(RULE);
    assert_eq!(held.word(PAY, r#"{"cents": "many"}"#), "DENY");
    held.world.agent = "suspended: true".into();
    assert_eq!(held.word(PAY, r#"{"cents": 5}"#), "DENY");
}

#[test]
fn an_approval_lets_through_what_was_asked_for_once_and_nothing_else() {
    let mut held = Held::new(RULE);
    let asked = r#"{"cents": 500, "to": "bob"}"#;
    held.approved(asked, &[ann()], &Terms::default());
    let decision = held.decide_at(PAY, asked, NOW);
    assert_eq!(decision.word().0, "ALLOW");
    assert_eq!(decision.approval.as_ref().map(|approval| approval.id.as_str()), Some("apr-1"));
    let line = decision.layers.last().unwrap();
    assert_eq!((line.layer.as_str(), line.statement.as_str()), ("APPROVAL", "approval apr-1 by ann"));
    assert!(line.origin.as_deref().is_some_and(|origin| origin.starts_with("remit.yaml:")));
    // The same by another spelling; everything else is another call.
    assert_eq!(held.word(PAY, r#"{"to":"b\u006fb","cents":500}"#), "ALLOW");
    for other in [
        r#"{"cents": 501, "to": "bob"}"#,
        r#"{"cents": 500}"#,
        r#"{"cents": 500, "to": "bob", "x": 1}"#,
        r#"{"cents": 500.0, "to": "bob"}"#,
    ] {
        assert_eq!(held.word(PAY, other), "HOLD", "{other}");
    }
    let other_tool = held.decide_at("desk___pay", asked, NOW);
    assert_ne!(other_tool.approval.map(|approval| approval.id.clone()), Some("apr-1".into()));
    // Another user behind the same agent asks for itself.
    held.world.user = Some("eve".into());
    assert_eq!(held.word(PAY, asked), "HOLD");
    held.world.user = None;
    // Used up, and over.
    let mut used = Approval::clone(&held.approvals[0]);
    assert!(used.redeem("d2", NOW));
    assert!(!used.redeem("d3", NOW));
    assert_eq!((used.state, used.redeemed_by.as_slice()), (ApprovalState::Redeemed, ["d2".to_owned()].as_slice()));
    held.approvals = vec![Arc::new(used)];
    assert_eq!(held.word(PAY, asked), "HOLD");
}

#[test]
fn its_time_ends() {
    let mut held = Held::new(RULE);
    let asked = r#"{"cents": 5}"#;
    let approval = held.approved(asked, &[ann()], &Terms::default());
    let until = approval.grant.as_ref().unwrap().until_secs;
    assert_eq!(held.decide_at(PAY, asked, until - 1).word().0, "DENY", "the token has ended by then");
    let mut late = approval.clone();
    assert!(!late.redeem("d", until));
    assert!(late.expire(until));
    assert_eq!(late.state, ApprovalState::Expired);
    let mut pending = held.asked_anew(asked);
    assert!(!pending.expire(pending.expires_at_secs - 1));
    assert!(pending.expire(pending.expires_at_secs));
    let late = pending.answer(yes(ann(), Terms::default()), &held.snapshot().organization.approvals, NOW + 10_000);
    assert_eq!(late, Err(Refusal::NotPending(ApprovalState::Expired)));
}

impl Held {
    fn asked_anew(&mut self, arguments: &str) -> Approval {
        self.approvals.clear();
        self.asked(arguments)
    }
}

#[test]
fn who_may_agree() {
    let approvers = "approvers:
  - { id: ann, groups: [leads] }
  - { id: bob, groups: [leads], away: { until: \"2026-08-01\", deputy: cid } }
  - { id: cid }
  - { id: dan }
  - { id: o@acme.example, groups: [leads] }
";
    let rule = |ask: &str| format!("{approvers}approval_rules: [{{ id: r, hold: {{ tools: [ops___pay] }}, ask: {ask} }}]\n");
    let try_it = |ask: &str, who: Person, risk: Risk| {
        let mut held = Held::new(&rule(ask));
        held.world.user = Some("sam".into());
        let mut approval = held.asked(r#"{"cents": 5}"#);
        approval.risk = risk;
        let said = approval.answer(yes(who, Terms::default()), &held.snapshot().organization.approvals, NOW);
        said.map(ApprovalState::as_str).map_err(|refusal| refusal.to_string())
    };
    let leads = "{ approvers: [leads] }";
    assert_eq!(try_it(leads, ann(), Risk::High), Ok("APPROVED"));
    assert_eq!(try_it(leads, person("dan", Proof::Token), Risk::High), Err("dan is no approver of rule `r`".into()));
    assert_eq!(try_it("{ approvers: [dan] }", person("dan", Proof::Token), Risk::High), Ok("APPROVED"));
    // Bob is away until August, and cid stands in for him.
    assert_eq!(try_it(leads, person("cid", Proof::Token), Risk::High), Ok("APPROVED"));
    // Whoever asks can't agree, under whatever name.
    for own in ["sam", "Sam", "me@acme.example", "agent-1"] {
        assert!(try_it("{}", person(own, Proof::Token), Risk::High).unwrap_err().contains("asks for it"), "{own}");
    }
    // The agent's owner may for what isn't critical, unless the rule says otherwise.
    assert_eq!(try_it(leads, person("o@acme.example", Proof::Key), Risk::High), Ok("APPROVED"));
    assert!(try_it(leads, person("o@acme.example", Proof::Key), Risk::Critical).is_err());
    assert!(try_it("{ owner_may: false }", person("o@acme.example", Proof::Key), Risk::Low).is_err());
    // Critical calls need proof, and a recent one.
    assert!(try_it(leads, ann(), Risk::Critical).unwrap_err().contains("nothing proves"));
    assert_eq!(try_it(leads, person("ann", Proof::Key), Risk::Critical), Ok("APPROVED"));
    assert_eq!(try_it(leads, signed_in("ann", None, 900), Risk::Critical), Ok("APPROVED"));
    assert!(try_it(leads, signed_in("ann", None, 901), Risk::Critical).unwrap_err().contains("last 900 seconds"));
    assert_eq!(try_it(leads, signed_in("ann", None, 90_000), Risk::High), Ok("APPROVED"));
    let strong = "{ authentication: { acr: [phr, phrh] } }";
    assert_eq!(try_it(strong, signed_in("ann", Some("phr"), 0), Risk::Low), Ok("APPROVED"));
    for weak in [signed_in("ann", None, 0), signed_in("ann", Some("pwd"), 0), person("ann", Proof::Key), ann()] {
        assert!(try_it(strong, weak, Risk::Low).is_err());
    }
}

#[test]
fn two_people_are_two_people_and_who_is_one_no_more_has_not_agreed() {
    let rules = |who: &str| {
        format!(
            "approvers: [{{ id: ann }}, {{ id: bob }}, {{ id: cid }}]\napproval_rules: [{{ id: r, hold: {{ tools: [ops___pay] }}, ask: {{ approvals: 2, approvers: [{who}] }} }}]\n"
        )
    };
    let mut held = Held::new(&rules("ann, bob"));
    let organization = held.snapshot().organization.clone();
    let mut approval = held.asked(r#"{"cents": 5}"#);
    let answer = |approval: &mut Approval, who: &str| {
        approval.answer(yes(person(who, Proof::Key), Terms::default()), &organization.approvals, NOW)
    };
    let unproven = approval.answer(yes(ann(), Terms::default()), &organization.approvals, NOW);
    assert!(matches!(unproven, Err(Refusal::NotEligible(_))), "names that nothing proves tell no two people apart");
    assert_eq!(answer(&mut approval, "ann"), Ok(ApprovalState::Pending));
    assert_eq!(answer(&mut approval, "ann"), Err(Refusal::Again("ann".into())));
    assert_eq!(answer(&mut approval, "bob"), Ok(ApprovalState::Approved));
    held.approvals = vec![Arc::new(approval)];
    assert_eq!(held.word(PAY, r#"{"cents": 5}"#), "ALLOW");
    // The rules of the moment of use count.
    held.rules = rules("ann, cid");
    assert_eq!(held.word(PAY, r#"{"cents": 5}"#), "HOLD");
    // A second rule that nobody has agreed for holds it as well.
    let second = ", { id: s, hold: { tools: [ops___pay] }, ask: { approvers: [cid] } }]\n";
    held.rules = format!("{}{second}", rules("ann, bob").strip_suffix("]\n").unwrap());
    let decision = held.decide_at(PAY, r#"{"cents": 5}"#, NOW);
    assert_eq!(decision.word().0, "HOLD");
    assert_eq!(decision.layers.last().unwrap().statement.as_str(), "rule `r` and rule `s` ask for a person's approval");
}

#[test]
fn a_rejection_needs_a_reason_and_ends_it() {
    let held = Held::new(RULE);
    let rules = held.snapshot().organization.approvals.clone();
    let mut approval = held.asked(r#"{"cents": 5}"#);
    assert!(matches!(approval.answer(no(ann(), " "), &rules, NOW), Err(Refusal::Invalid(_))));
    assert_eq!(approval.state, ApprovalState::Pending);
    assert_eq!(approval.answer(no(ann(), "not today"), &rules, NOW), Ok(ApprovalState::Rejected));
    assert_eq!(approval.ended.as_ref().map(|ended| ended.reason.as_str()), Some("not today"));
    let after = approval.answer(yes(person("bob", Proof::Token), Terms::default()), &rules, NOW);
    assert_eq!(after, Err(Refusal::NotPending(ApprovalState::Rejected)));
    assert!(!approval.revoke("bob", "x", NOW));
}

#[test]
fn terms_narrow_and_never_widen() {
    let timed = "approval_rules: [{ id: r, hold: { tools: [ops___pay] }, ask: { grant_secs_max: 600 } }]\n";
    let mut held = Held::new(timed);
    let asked = r#"{"cents": 5, "to": "bob"}"#;
    let refuse = |held: &Held, terms: Terms| {
        held.asked(asked).answer(yes(ann(), terms), &held.snapshot().organization.approvals, NOW).unwrap_err().to_string()
    };
    let ttl = |secs: u64| Terms { ttl_secs: Some(secs), ..Terms::default() };
    assert!(refuse(&held, ttl(601)).contains("at most 600"));
    assert!(refuse(&held, ttl(0)).contains("at least one second"));
    assert!(refuse(&Held::new(RULE), ttl(1)).contains("one call alone"));
    let wider = Terms { pins: [("/to".to_owned(), json!("eve"))].into(), ..Terms::default() };
    assert!(refuse(&held, wider).contains("never widen"));
    let absent = Terms { pins: [("/cc".to_owned(), Value::Null)].into(), ..Terms::default() };
    assert!(refuse(&held, absent).contains("never widen"));
    // For a time: the same call again and again, and no other.
    let mut approval = held.approved(asked, &[ann()], &ttl(600));
    assert_eq!(approval.grant.as_ref().map(|grant| (grant.single_use, grant.until_secs)), Some((false, NOW + 600)));
    assert!(approval.redeem("d2", NOW) && approval.redeem("d3", NOW + 599) && !approval.redeem("d4", NOW + 600));
    held.approvals = vec![Arc::new(approval.clone())];
    assert_eq!(held.word(PAY, asked), "ALLOW");
    assert_eq!(held.word(PAY, r#"{"cents": 6, "to": "bob"}"#), "HOLD");
    assert!(approval.expire(NOW + 600));
    assert_eq!(approval.state, ApprovalState::Redeemed);
}

#[test]
fn a_pattern_covers_what_it_is_bound_to() {
    let mut held = Held::new("approval_rules: [{ id: r, hold: { tools: [ops___pay] }, ask: { grant_secs_max: 600 } }]\n");
    let rules = held.snapshot().organization.approvals.clone();
    let mut approval = held.asked(r#"{"cents": 5, "to": "bob"}"#);
    approval.pattern = Some([("/to".to_owned(), json!("bob"))].into());
    let timed = Terms { ttl_secs: Some(60), ..Terms::default() };
    let mut wide = approval.clone();
    wide.answer(yes(ann(), timed.clone()), &rules, NOW).unwrap();
    held.approvals = vec![Arc::new(wide)];
    assert_eq!(held.word(PAY, r#"{"cents": 7, "to": "bob"}"#), "ALLOW");
    assert_eq!(held.word(PAY, r#"{"cents": 7, "to": "eve"}"#), "HOLD");
    assert_eq!(held.word(PAY, r#"{"cents": 7}"#), "HOLD");
    // The approver binds it further.
    let mut narrow = approval.clone();
    narrow.answer(yes(ann(), Terms { pins: [("/cents".to_owned(), json!(5))].into(), ..timed }), &rules, NOW).unwrap();
    held.approvals = vec![Arc::new(narrow)];
    assert_eq!(held.word(PAY, r#"{"cents": 5, "to": "bob"}"#), "ALLOW");
    assert_eq!(held.word(PAY, r#"{"cents": 7, "to": "bob"}"#), "HOLD");
    // For one call it is the call that was asked for.
    let mut once = approval;
    once.answer(yes(ann(), Terms::default()), &rules, NOW).unwrap();
    held.approvals = vec![Arc::new(once)];
    assert_eq!(held.word(PAY, r#"{"cents": 5, "to": "bob"}"#), "ALLOW");
    assert_eq!(held.word(PAY, r#"{"cents": 7, "to": "bob"}"#), "HOLD");
}

#[test]
fn an_emergency_takes_two_proven_people_and_asks_for_a_review() {
    let rules = "approvers: [{ id: ann }, { id: bob }, { id: cid }]\napproval_rules: [{ id: r, hold: { tools: [ops___pay] }, ask: { approvers: [cid] } }]\n";
    let mut held = Held::new(rules);
    let organization = held.snapshot().organization.clone();
    let mut approval = held.asked(r#"{"cents": 5}"#);
    let broken = |by: Person| Answer { reason: "outage".into(), break_glass: true, ..yes(by, Terms::default()) };
    let mut say = |answer: Answer| approval.answer(answer, &organization.approvals, NOW).map_err(|refusal| refusal.to_string());
    assert!(say(broken(ann())).unwrap_err().contains("nothing proves"));
    assert!(say(Answer { reason: String::new(), ..broken(person("ann", Proof::Key)) }).unwrap_err().contains("reason"));
    assert_eq!(say(broken(person("ann", Proof::Key))), Ok(ApprovalState::Pending));
    assert!(say(broken(person("ann", Proof::Key))).is_err());
    assert_eq!(say(broken(signed_in("bob", None, 0))), Ok(ApprovalState::Approved));
    assert!(approval.awaits_review());
    held.approvals = vec![Arc::new(approval)];
    let decision = held.decide_at(PAY, r#"{"cents": 5}"#, NOW);
    assert_eq!(decision.layers.last().unwrap().statement.as_str(), "approval apr-1 by ann, bob, in an emergency");
}

#[test]
fn an_unknown_book_denies_and_a_tool_in_general_is_held_where_every_call_is() {
    let held = Held::new(RULE);
    let (snapshot, mut facts) = (held.snapshot(), held.facts());
    facts.approvals = Fact::Unknown("the disk is full".into());
    let arguments = Arguments::scan(r#"{"cents": 5}"#).unwrap();
    let mut call = Call {
        space: "ops",
        target: Target::Tool { name: PAY, arguments: Some(arguments) },
        risk_requested: None,
        explain: false,
    };
    let decision = decide(&snapshot, &facts, &call, NOW);
    assert_eq!(decision.against().map(|denial| denial.reason.as_str()), Some("could_not_decide"));
    call.target = Target::Tool { name: PAY, arguments: None };
    assert_eq!(decide(&snapshot, &held.facts(), &call, NOW).word().0, "ALLOW", "nothing is asked of a tool in general");
    assert_eq!(decide_in_general(&snapshot, &held.facts(), &call, NOW).word().0, "HOLD");
    let depends = Held::new("approval_rules: [{ id: r, hold: { tools: [ops___pay], when: context.input.cents > 4 } }]\n");
    assert_eq!(decide_in_general(&depends.snapshot(), &depends.facts(), &call, NOW).word().0, "ALLOW");
}

#[test]
fn a_change_that_only_some_arguments_show_is_told_with_them() {
    let rule = |bound: u32| {
        let hold = format!("{{ tools: [{PAY}], when: 'context.input.cents > {bound}' }}");
        Held::new(&format!("approval_rules: [{{ id: large, hold: {hold} }}]\n")).snapshot()
    };
    let bounds = Bounds { examined_max: 10_000, told_max: 10 };
    let (lax, strict) = (rule(1000), rule(500));
    let told = compare(&lax, &strict, bounds, NOW);
    assert_eq!((told.granted_count, told.denied_count), (0, 1), "{told:?}");
    let cents = told.denied[0].arguments.as_ref().unwrap()["cents"].as_i64().unwrap();
    assert!((501..=1000).contains(&cents), "{told:?}");
    assert_eq!(told.denied[0].target, PAY);
    // The other way round it is a grant, and what says the same isn't told.
    assert_eq!(compare(&strict, &lax, bounds, NOW).granted_count, 1);
    assert_eq!(compare(&lax, &rule(1000), bounds, NOW).denied_count, 0);
}
