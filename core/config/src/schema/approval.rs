//! The shape of rules of approvals, of approvers and of channels.

use serde_json::{Value, json};

use super::{count, flag, label, object, one_of, refer, text, texts};

const NAME: &str = "^[\\p{L}\\p{N}@._+/#:-]{1,128}$";

fn several(of: &str, description: &str) -> Value {
    json!({ "type": "array", "uniqueItems": true, "minItems": 1, "items": refer(of), "description": description })
}

fn patterns(pattern: &str, description: &str) -> Value {
    json!({ "type": "array", "uniqueItems": true, "minItems": 1, "items": { "type": "string", "pattern": pattern }, "description": description })
}

fn name(description: &str) -> Value {
    json!({ "type": "string", "pattern": NAME, "description": description })
}

/// One of `approval_rules`.
pub(super) fn rule() -> Value {
    let mut hold = object(
        "Which calls wait. Every key that is given must be true of a call.",
        &[],
        &json!({
            "tools": patterns("^[^*]*\\*?$", "Of these tools, server___tool, or of those that begin so with * for the rest."),
            "categories": patterns("^[a-z0-9-]{1,32}$", "Of tools of any of these categories."),
            "classes": several("class", "Of tools of these classes."),
            "risk_min": refer("risk"), "trust_max": refer("trust_tier"),
            "agents": several("agent_id", "By these agents."),
            "spaces": patterns("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "In these spaces."),
            "delegated": { "type": "boolean", "description": "On a user's behalf, or not." },
            "when": text("Of which this is true: a condition of Cedar over principal and context, such as context.input.amount_cents > 100000. Where it doesn't fit a tool, all of its calls wait."),
        }),
    );
    if let Some(map) = hold.as_object_mut() {
        map.insert("minProperties".to_owned(), 1.into());
        if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(label::meant());
        }
    }
    let authentication = object(
        "How approvers must have proved who they are.",
        &[],
        &json!({
            "proven": flag("Whether a name that nothing proves is not enough. For critical calls it never is.", false),
            "acr": texts("A sign-in whose acr is one of these."),
            "age_secs_max": count("A sign-in at most this long ago; 900 for critical calls where nothing is said.", 604_800),
        }),
    );
    let escalation = object(
        "Who is asked besides, when nobody has answered.",
        &["after_secs"],
        &json!({
            "after_secs": count("After how long.", 604_800), "approvers": texts("People and groups who may agree from then on."),
            "channels": texts("The channels that are told."),
        }),
    );
    let ask = object(
        "Who has to agree, and how.",
        &[],
        &json!({
            "approvals": { "type": "integer", "minimum": 1, "maximum": 5, "default": 1, "description": "How many different people must agree." },
            "approvers": texts("The people and groups who may; without it, whoever may decide approvals at all."),
            "owner_may": { "type": "boolean", "description": "Whether the agent's owner may be one of them. For critical calls never." },
            "authentication": authentication,
            "pending_secs": count("How long a call waits for them; 3600 where nothing is said.", 604_800),
            "wait_secs": count("How long the call itself is kept open meanwhile; 45 where nothing is said.", 600),
            "grant_secs_max": count("For how long an approval may hold at most; without it, for one call alone.", 14_400),
            "escalate": { "type": "array", "maxItems": 5, "items": escalation, "description": "Who is asked besides, when nobody has answered." },
            "channels": texts("The channels that are told."),
        }),
    );
    object(
        "A rule that holds calls until people have agreed.",
        &["id", "hold"],
        &json!({ "id": name("Its id."), "hold": hold, "ask": ask }),
    )
}

/// One of `approvers`.
pub(super) fn approver() -> Value {
    let away = object(
        "An absence.",
        &["until", "deputy"],
        &json!({ "until": text("Until when: a date or a time, in quotes."), "deputy": name("The approver who decides in its place.") }),
    );
    object(
        "Somebody who decides approvals.",
        &["id"],
        &json!({
            "id": name("The name in records: what a provider vouches for at sign-in, such as an address."),
            "key": text("The public key that decisions from the command line are signed with, as remit review-key prints it."),
            "groups": texts("The groups that it is in."), "away": away,
        }),
    )
}

/// One of `approval_channels`.
pub(super) fn channel() -> Value {
    let webhook = object(
        "A signed request to an address.",
        &["url", "secret"],
        &json!({
            "url": text("The address."), "secret": refer("secret"), "network": refer("network"),
            "approver": name("The name under which it decides, as an approver: then it is given links that decide without a sign-in, each good once."),
        }),
    );
    let machine = object(
        "A state machine of AWS Step Functions: it is started with the approval, and its result decides.",
        &["state_machine", "credentials", "approver"],
        &json!({
            "state_machine": text("Its ARN."), "endpoint": text("The endpoint; AWS's own of its region without it."),
            "credentials": refer("secret"), "network": refer("network"), "approver": name("The name under which its result decides."),
        }),
    );
    let properties = json!({ "name": name("Its name."), "webhook": webhook, "step_functions": machine });
    one_of(object("Where those who must agree are told.", &["name"], &properties), &["webhook", "step_functions"])
}
