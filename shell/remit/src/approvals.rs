//! Approvals: `remit approvals`, and what operators ask of the gateway about them.

use std::sync::Arc;

use http::{Method, StatusCode};
use remit_control::approval::{Asked, Said, SignatureError, sign, told, told_approver, verify};
use remit_gateway::{ApprovalError, Approvals, Gateway, rfc3339};
use remit_kernel::approval::{Answer, Terms};
use remit_kernel::{Approval, ApprovalState, Suspended};
use remit_model::Person;
use remit_store::{Note, SqliteStore, Store as _, StoreError};
use serde_json::{Value, json};

use crate::cli::{Answering, Approvals as Options, ApprovalsCommand};
use crate::commands::operator;
use crate::fields::{Refused, bad, text};
use crate::home::Home;
use crate::now_secs;
use crate::output::{Failure, Printer};
use crate::up::World;

/// Those that haven't ended.
const OPEN_KIND: &str = "approval";
/// Those that have.
const ENDED_KIND: &str = "approval_ended";
/// How many one page has where nobody says.
const PAGE: u64 = 50;
/// How much of an id is enough to name an approval.
const ID_PART_MIN: usize = 6;

/// Approvals in the store.
pub(crate) struct StoredApprovals(pub(crate) Arc<SqliteStore>);

impl StoredApprovals {
    fn put(&self, kind: &str, id: &str, body: &[u8]) -> Result<(), StoreError> {
        let current = self.0.get(kind, id)?.map(|record| record.version);
        let note = Note { author: "remit", reason: "approval", now_secs: now_secs() };
        self.0.put(kind, id, current, body, note).map(drop)
    }

    fn bodies(records: Vec<remit_store::Record>) -> Vec<(String, Vec<u8>)> {
        records.into_iter().map(|record| (record.key, record.body)).collect()
    }
}

impl Approvals for StoredApprovals {
    fn open(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let open = self.0.list(OPEN_KIND).map_err(|error| error.to_string())?;
        // One that was cut short between its end and its leaving has ended.
        let ended = |id: &str| self.0.get(ENDED_KIND, id).map(|record| record.is_some()).map_err(|error| error.to_string());
        let mut still = Vec::new();
        for (id, body) in Self::bodies(open) {
            if !ended(&id)? {
                still.push((id, body));
            }
        }
        Ok(still)
    }

    fn save(&self, id: &str, body: &[u8], ended: bool) -> Result<(), String> {
        let saved = if ended {
            self.put(ENDED_KIND, id, body).and_then(|()| match self.0.get(OPEN_KIND, id)? {
                None => Ok(()),
                Some(open) => {
                    let note = Note { author: "remit", reason: "approval ended", now_secs: now_secs() };
                    self.0.delete(OPEN_KIND, id, open.version, note).map(drop)
                }
            })
        } else {
            self.put(OPEN_KIND, id, body)
        };
        saved.map_err(|error| error.to_string())
    }

    fn get(&self, id: &str) -> Result<Option<Vec<u8>>, String> {
        let of = |kind: &str| self.0.get(kind, id).map_err(|error| error.to_string());
        Ok(match of(ENDED_KIND)? {
            Some(ended) => Some(ended.body),
            None => of(OPEN_KIND)?.map(|open| open.body),
        })
    }

    fn ended(&self, before: Option<&str>, count: usize) -> Result<Vec<(String, Vec<u8>)>, String> {
        self.0.page(ENDED_KIND, before, count).map(Self::bodies).map_err(|error| error.to_string())
    }
}

fn refused(error: &ApprovalError) -> Refused {
    let status = match error {
        ApprovalError::Absent(_) => StatusCode::NOT_FOUND,
        ApprovalError::Refused(remit_kernel::approval::Refusal::NotEligible(_)) => StatusCode::FORBIDDEN,
        ApprovalError::Refused(remit_kernel::approval::Refusal::Invalid(_)) => StatusCode::BAD_REQUEST,
        ApprovalError::Refused(_) | ApprovalError::Conflict(_) | ApprovalError::Busy(_) => StatusCode::CONFLICT,
        ApprovalError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

impl World {
    /// Answers what an operator asks about approvals.
    pub(crate) async fn answer_approvals(&self, person: &Person, what: &str, request: &Value) -> Result<Value, Refused> {
        match what {
            "list" => self.list_approvals(person, request),
            "get" => {
                let approval = self.gateway.approval(needed(request, "id")?).map_err(|error| refused(&error))?;
                Ok(self.approval_told(&approval, person))
            }
            "approve" | "reject" => self.decide_approval(person, what == "approve", request).await,
            "revoke" | "review" => {
                let (id, reason) = (needed(request, "id")?, needed(request, "reason")?);
                let done = match what {
                    "revoke" => self.gateway.approval_revoke(id, person, reason).await,
                    _ => self.gateway.approval_review(id, person, reason).await,
                };
                done.map(|approval| self.approval_told(&approval, person)).map_err(|error| refused(&error))
            }
            _ => Err((StatusCode::NOT_FOUND, "no such endpoint".to_owned())),
        }
    }

    fn approval_told(&self, approval: &Approval, person: &Person) -> Value {
        let snapshot = self.gateway.snapshot();
        let page = self.gateway.approval_page(&approval.id);
        told(approval, &snapshot.organization.approvals, Some(person), &page, now_secs())
    }

    fn list_approvals(&self, person: &Person, request: &Value) -> Result<Value, Refused> {
        let mut states = Vec::new();
        for word in field(request, "state")?.unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
            let state = ApprovalState::parse(word);
            states.push(state.ok_or_else(|| bad(format!("`{word}` is no state of an approval")))?);
        }
        let limit = match request.get("limit") {
            None | Some(Value::Null) => Some(PAGE),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64(),
        };
        let limit = limit.filter(|limit| (1..=200).contains(limit)).ok_or_else(|| bad("`limit` is a number from 1 to 200"))?;
        let cursor = field(request, "cursor")?;
        let count = usize::try_from(limit).unwrap_or(usize::MAX);
        let (found, more) = self.gateway.approvals(&states, cursor, count).map_err(|error| refused(&error))?;
        let next = found.last().filter(|_| more).map(|last| last.id.clone());
        let approvals: Vec<Value> = found.iter().map(|approval| self.approval_told(approval, person)).collect();
        let organization = Arc::clone(&self.gateway.snapshot().organization);
        let approvers: Vec<Value> = organization.approvals.approvers.values().map(told_approver).collect();
        Ok(json!({"approvals": approvals, "next_cursor": next, "approvers": approvers, "gateway": self.journal.verifier_key()}))
    }

    async fn decide_approval(&self, person: &Person, approves: bool, request: &Value) -> Result<Value, Refused> {
        let id = needed(request, "id")?;
        let approval = self.gateway.approval(id).map_err(|error| refused(&error))?;
        let pins = request.get("pins").cloned().filter(|pins| !pins.is_null()).unwrap_or_else(|| json!({}));
        let pins = serde_json::from_value(pins).map_err(|_| bad("`pins` is an object of JSON pointers and values"))?;
        let ttl_secs = match request.get("ttl_secs") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_u64().ok_or_else(|| bad("`ttl_secs` is a number of seconds"))?),
        };
        if ttl_secs.is_some() && request.get("single_use").and_then(Value::as_bool) == Some(true) {
            return Err(bad("an approval is for one call or for a time, not both"));
        }
        let said = Said {
            approves,
            reason: field(request, "reason")?.unwrap_or_default().to_owned(),
            terms: Terms { ttl_secs, pins },
            break_glass: request.get("break_glass").and_then(Value::as_bool) == Some(true),
        };
        let by = match field(request, "note")? {
            None => person.clone(),
            Some(note) => {
                let organization = Arc::clone(&self.gateway.snapshot().organization);
                let proved = verify(&organization.approvals, &person.id, &self.journal.verifier_key(), &approval, &said, note);
                proved.map_err(|error: SignatureError| (StatusCode::FORBIDDEN, error.to_string()))?
            }
        };
        let Said { approves, reason, terms, break_glass } = said;
        let answer = Answer { by: by.clone(), approves, reason, terms, break_glass };
        let done = self.gateway.approval_answer(id, answer).await.map_err(|error| refused(&error))?;
        Ok(self.approval_told(&done, &by))
    }
}

fn field<'a>(request: &'a Value, key: &str) -> Result<Option<&'a str>, Refused> {
    text(request.get(key), key)
}

fn needed<'a>(request: &'a Value, key: &str) -> Result<&'a str, Refused> {
    field(request, key)?.ok_or_else(|| bad(format!("`{key}` is missing")))
}

/// Takes back what waits for people, or was agreed to, of what somebody has stopped.
pub(crate) async fn revoke_suspended(gateway: &Gateway, what: &Suspended, by: &str, reason: &str) -> Result<usize, String> {
    let person = Person { id: by.to_owned(), proof: remit_model::Proof::Token };
    let snapshot = gateway.snapshot();
    let server = |key: &remit_model::ServerKey, approval: &Approval| approval.server == key.to_string();
    let named = |approval: &Approval, name: &str| {
        let space = snapshot.spaces.get(&approval.space);
        // A tool that its space has no more may be the one.
        space
            .and_then(|space| space.tools_listed.iter().find(|tool| *tool.id == approval.tool))
            .is_none_or(|tool| tool.name == name)
    };
    let is = |approval: &Approval| match what {
        Suspended::Agent(agent) => approval.agent == *agent,
        Suspended::Space(space) => approval.space == *space,
        Suspended::User(user) => approval.user.as_deref() == Some(user),
        Suspended::Server(key) => server(key, approval),
        Suspended::Tool(key, name) => server(key, approval) && named(approval, name),
    };
    let why = format!("{what} was suspended: {reason}");
    gateway.approvals_revoke(&person, &why, is).await.map_err(|error| error.to_string())
}

/// `remit approvals`.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let home = Home::existing(&options.common.data)?;
    let printer = Printer::new(options.common.json);
    match &options.command {
        None => list(&home, printer, "PENDING").await,
        Some(ApprovalsCommand::List { state, all }) => {
            list(&home, printer, if *all { "" } else { state.as_deref().unwrap_or("PENDING") }).await
        }
        Some(ApprovalsCommand::Show { id }) => {
            let found = find(&home, id).await?;
            if printer.json { printer.line(&found.to_string()) } else { lines(printer, &whole(&found)) }
        }
        Some(ApprovalsCommand::Approve { answering, ttl_secs, pins, break_glass }) => {
            let found = find(&home, &answering.id).await?;
            let arguments = found.get("arguments").cloned().unwrap_or_default();
            let mut terms = Terms { ttl_secs: *ttl_secs, ..Terms::default() };
            for pointer in pins {
                let value = arguments.pointer(pointer);
                let value = value.ok_or_else(|| Failure::invalid(format!("`{pointer}` leads to nothing in the arguments")))?;
                terms.pins.insert(pointer.clone(), value.clone());
            }
            let reason = answering.reason.clone().unwrap_or_default();
            let said = Said { approves: true, reason, terms, break_glass: *break_glass };
            answer(&home, printer, &found, answering, &said).await
        }
        Some(ApprovalsCommand::Reject { answering }) => {
            let found = find(&home, &answering.id).await?;
            let reason = answering.reason.clone().ok_or_else(|| Failure::invalid("a rejection needs a --reason"))?;
            let said = Said { approves: false, reason, terms: Terms::default(), break_glass: false };
            answer(&home, printer, &found, answering, &said).await
        }
        Some(ApprovalsCommand::Revoke { id, reason, by }) => end(&home, printer, id, "revoke", reason, by).await,
        Some(ApprovalsCommand::Review { id, reason, by }) => end(&home, printer, id, "review", reason, by).await,
    }
}

async fn list(home: &Home, printer: Printer, state: &str) -> Result<(), Failure> {
    let mut cursor = String::new();
    let mut count = 0_usize;
    loop {
        let path = format!("/v1/approvals?limit=200&state={state}&cursor={cursor}");
        let page = operator(home, Method::GET, &path, None).await?;
        for approval in page.get("approvals").and_then(Value::as_array).into_iter().flatten() {
            count += 1;
            if printer.json {
                printer.line(&approval.to_string())?;
            } else {
                lines(printer, &short(approval))?;
            }
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    if count == 0 { printer.say("nothing waits for anybody") } else { Ok(()) }
}

fn lines(printer: Printer, lines: &[String]) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| printer.line(line))
}

/// The approval of an id, or of a part of one that no other has.
async fn find(home: &Home, id: &str) -> Result<Value, Failure> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Failure::invalid(format!("`{id}` is no id of an approval: `remit approvals` shows them")));
    }
    if id.starts_with("apr-") && id.len() >= 36 {
        return operator(home, Method::GET, &format!("/v1/approvals/{id}"), None).await;
    }
    if id.len() < ID_PART_MIN {
        return Err(Failure::invalid(format!("name at least {ID_PART_MIN} characters of the approval's id")));
    }
    let page = operator(home, Method::GET, "/v1/approvals?limit=200", None).await?;
    let all = page.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found =
        all.into_iter().filter(|approval| approval.get("id").and_then(Value::as_str).is_some_and(|of| of.contains(id)));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Failure::invalid(format!("several approvals have `{id}` in their id: name more of it"))),
        _ => Err(Failure::invalid(format!("there is no approval `{id}`: `remit approvals list --all` shows them"))),
    }
}

async fn answer(home: &Home, printer: Printer, found: &Value, answering: &Answering, said: &Said) -> Result<(), Failure> {
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut by = answering.by.clone();
    let mut note = None;
    if let Some(key) = &answering.key {
        let signer = crate::amend::reviewer(key)?;
        signer.verifier().name().clone_into(&mut by);
        let page = operator(home, Method::GET, "/v1/approvals?limit=1", None).await?;
        let gateway = page.get("gateway").and_then(Value::as_str).unwrap_or_default();
        // What is signed says which arguments: they are read here, not taken from what the gateway says of their digest.
        let arguments = text("arguments_text");
        let digest = remit_kernel::approval::arguments_digest(text("arguments_salt"), arguments);
        let asked = Asked { id: text("id"), agent: text("agent"), tool: text("tool"), arguments_digest: &digest };
        note = Some(sign(&signer, gateway, &asked, said).map_err(|error| Failure::invalid(error.to_string()))?);
    }
    let mut body = json!({"by": by, "reason": said.reason, "note": note});
    if said.approves {
        let terms = json!({"ttl_secs": said.terms.ttl_secs, "pins": said.terms.pins, "break_glass": said.break_glass});
        crate::change::merge(&mut body, terms);
    }
    let what = if said.approves { "approve" } else { "reject" };
    let done = operator(home, Method::POST, &format!("/v1/approvals/{}/{what}", text("id")), Some(&body)).await?;
    if printer.json { printer.line(&done.to_string()) } else { lines(printer, &short(&done)) }
}

async fn end(home: &Home, printer: Printer, id: &str, what: &str, reason: &str, by: &str) -> Result<(), Failure> {
    let found = find(home, id).await?;
    let id = found.get("id").and_then(Value::as_str).unwrap_or_default();
    let body = json!({"by": by, "reason": reason});
    let done = operator(home, Method::POST, &format!("/v1/approvals/{id}/{what}"), Some(&body)).await?;
    if printer.json { printer.line(&done.to_string()) } else { lines(printer, &short(&done)) }
}

/// Control characters and what hides in a text, made visible.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c.to_string(),
            c if c.is_control() || hidden(c) => c.escape_unicode().to_string(),
            c => c.to_string(),
        })
        .collect()
}

/// Characters that show nothing, or turn the direction of what follows.
fn hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// An approval in a few lines.
fn short(approval: &Value) -> Vec<String> {
    let text = |key: &str| approval.get(key).and_then(Value::as_str).unwrap_or_default();
    let at = |key: &str| rfc3339(approval.get(key).and_then(Value::as_u64).unwrap_or_default().saturating_mul(1000));
    let user = approval.get("user").and_then(Value::as_str).map(|user| format!(" for {user}")).unwrap_or_default();
    let mut lines = vec![
        format!("{:<9} {}  {}", text("state"), text("id"), at("asked_at_secs")),
        plain(&format!(
            "  {}{user} in {} calls {} ({}, {} risk)",
            text("agent"),
            text("space"),
            text("tool"),
            text("class"),
            text("risk")
        )),
        plain(&format!("  {}", text("arguments_text"))),
    ];
    for rule in approval.get("rules").and_then(Value::as_array).into_iter().flatten() {
        let number = |key: &str| rule.get(key).and_then(Value::as_u64).unwrap_or_default();
        let named = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let who: Vec<&str> =
            rule.get("approvers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let who = if who.is_empty() { String::new() } else { format!(", of {}", who.join(", ")) };
        lines.push(format!(
            "  rule {} ({}): {} of {} approvals{who}",
            named("id"),
            named("at"),
            number("approvals_got"),
            number("approvals_needed")
        ));
    }
    match text("state") {
        "PENDING" => lines.push(format!("  until {}", at("expires_at_secs"))),
        "APPROVED" => {
            let until = approval.pointer("/grant/until_secs").and_then(Value::as_u64).unwrap_or_default();
            let single = approval.pointer("/grant/single_use").and_then(Value::as_bool) == Some(true);
            let what = if single { "one call" } else { "calls" };
            lines.push(format!("  good for {what} until {}", rfc3339(until.saturating_mul(1000))));
        }
        _ => {
            if let Some(ended) = approval.get("ended") {
                let said = |key: &str| ended.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                lines.push(plain(&format!("  by {}: {}", said("by"), said("reason"))));
            }
        }
    }
    if approval.get("awaits_review").and_then(Value::as_bool) == Some(true) {
        lines.push("  ! the glass was broken: `remit approvals review` says what came of looking at it".to_owned());
    }
    lines
}

/// All of an approval.
fn whole(approval: &Value) -> Vec<String> {
    let mut lines = short(approval);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    lines.push(format!("  decision {}, page {}", text(approval, "decision"), text(approval, "url")));
    for before in approval.get("led_to").and_then(Value::as_array).into_iter().flatten() {
        let at = before.get("at_ms").and_then(Value::as_u64).unwrap_or_default();
        lines.push(plain(&format!("  before: {} {} {}", rfc3339(at), text(before, "verdict"), text(before, "tool"))));
    }
    for vote in approval.get("votes").and_then(Value::as_array).into_iter().flatten() {
        let emergency = if vote.get("break_glass").and_then(Value::as_bool) == Some(true) { " (break-glass)" } else { "" };
        lines.push(plain(&format!(
            "  {} {}{emergency} [{}] {}",
            text(vote, "by"),
            text(vote, "verdict"),
            text(vote, "proof"),
            text(vote, "reason")
        )));
    }
    if let Some(you) = approval.get("you").filter(|you| you.get("may").and_then(Value::as_bool) == Some(false)) {
        lines.push(plain(&format!("  you can't decide it: {}", text(you, "why"))));
    }
    lines
}
