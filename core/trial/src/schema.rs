//! The shape of what stands beside a configuration as JSON Schema (2020-12), for editors. [`crate::cases::read`] and [`crate::Lock::read`] check
//! more than a schema can say.

use remit_kernel::{Effect, Layer, Reason};
use serde_json::{Value, json};

/// The schemas by the name of the file in which they are published: of configuration files, of files of cases, of the lock.
pub fn all() -> [(&'static str, Value); 3] {
    [("configuration.schema.json", remit_config::schema()), ("cases.schema.json", cases()), ("tools.lock.schema.json", lock())]
}

/// The schema of a file of cases.
pub fn cases() -> Value {
    let named = json!({ "name": text("Unique in its file."), "each": {
        "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/row" }, "description": "A table: a case for each row. A row stands above its case.",
    } });
    let row = json!({ "name": text("What tells this row from the others.") });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://remit.invalid/cases.schema.json",
        "title": "Remit cases",
        "description": "Who calls what, and what must be said of it: `remit test` runs the files of a configuration directory's `tests/`.",
        "type": "object",
        "additionalProperties": false,
        "required": ["cases"],
        "properties": {
            "$schema": { "type": "string", "description": "For editors; Remit ignores it." },
            "defaults": object("What the cases of this file have in common.", &[], &said()),
            "cases": { "type": "array", "items": object("A case.", &["name"], &with(named)) },
        },
        "$defs": {
            "row": object("A row of a case's table.", &[], &with(row)),
            "one_or_many": { "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string", "minLength": 1 } }] },
            "role_arn": { "type": "string", "pattern": "^arn:[a-z-]+:iam::[0-9]{12}:role/", "description": "arn:aws:iam::<account>:role/<name>" },
            "risk": { "enum": ["low", "medium", "high", "critical"] },
            "time": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", "description": "UTC, such as 2026-01-15T12:00:00Z." },
            "layer": { "enum": words(Layer::ALL.iter().map(|layer| layer.as_str())) },
            "effect": { "enum": words(Effect::ALL.iter().map(|effect| effect.as_str())) },
            "reason": { "enum": words(Reason::ALL.iter().map(|reason| reason.as_str())) },
            "credential": credential(), "session": session(), "suppose": suppose(), "expect": expect(),
        },
    })
}

/// The schema of `tools.lock.json`.
pub fn lock() -> Value {
    let definition = json!({
        "type": "object", "required": ["name", "inputSchema"], "properties": { "name": { "type": "string" }, "inputSchema": { "type": "object" } },
        "description": "The definition as the server wrote it.",
    });
    let tool = object(
        "A tool that was accepted.",
        &["digest", "definition"],
        &json!({ "digest": { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "Of the definition's canonical form (RFC 8785)." }, "definition": definition }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://remit.invalid/tools.lock.schema.json",
        "title": "Remit lock of tools",
        "description": "The accepted definitions of servers' tools: `remit pins --export` writes it.",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "servers"],
        "properties": {
            "$schema": { "type": "string", "description": "For editors; Remit ignores it." },
            "version": { "const": 1 },
            "servers": {
                "type": "object", "additionalProperties": false, "description": "By account and name: 111122223333/helpdesk.",
                "patternProperties": { "^[0-9]{12}/[A-Za-z0-9_-]{1,40}$": { "type": "object", "maxProperties": 500, "additionalProperties": tool } },
            },
        },
    })
}

/// The keys that defaults, cases and rows have in common.
fn said() -> Value {
    json!({
        "space": many("The space's id."), "agent": many("The agent that calls."),
        "user": text("The user for whom the agent acts."),
        "claims": { "type": "object", "additionalProperties": { "type": "string", "minLength": 1 }, "description": "What the token claims beside `sub` and `client_id`: tags of policies' principal." },
        "credential": refer("credential"), "session": refer("session"),
        "policy_session": text("The policy session, for policies that look back; `case` without it."),
        "request": text("What the user has asked for: values that it names are the user's own."),
        "after": { "type": "array", "maxItems": 1000, "items": before(), "description": "The calls that came before, in order. Without it the case is the first call." },
        "tool": many("A tool by its exposed name: server___tool."), "prompt": many("A prompt by its exposed name."), "resource": many("A resource by its URI."),
        "arguments": { "type": "object", "description": "A tool's arguments. Without them the case is about the tool in general." },
        "risk": { "$ref": "#/$defs/risk", "description": "A risk that the caller states." },
        "source_ip": text("The caller's address; unknown without it, so that a condition on it denies."),
        "secure_transport": { "type": "boolean", "default": true, "description": "Whether the connection is encrypted." },
        "at": { "$ref": "#/$defs/time", "description": "When it happens; 2026-01-15T12:00:00Z without it." },
        "quota": object("What is used right now, this call counted.", &[], &json!({
            "calls_concurrent": count("Calls of this agent and tool under way."), "calls_per_minute": count("Calls of this agent and tool in the last minute."),
        })),
        "budgets_used_up": { "description": "Budgets of which nothing is left, by their names.", "anyOf": [
            { "type": "string" },
            { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string" } },
        ] },
        "unknown": { "description": "Facts that can't be found out.", "anyOf": [
            { "enum": ["identity", "quota", "revocations", "guardrails"] },
            { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": ["identity", "quota", "revocations", "guardrails"] } },
        ] },
        "trust": { "enum": ["probation", "supervised", "trusted", "autonomous"], "description": "The agent's trust tier, in every category; the one that everybody begins in without it." },
        "approved": { "type": "boolean", "default": false, "description": "Whether people agree to the call, where a rule of approvals holds it." },
        "suppose": refer("suppose"), "expect": refer("expect"),
    })
}

/// A call that came before.
fn before() -> Value {
    let mapping = |description: &str| json!({ "type": "object", "description": description });
    object(
        "A call that came before.",
        &["tool"],
        &json!({
            "tool": text("Its exposed name."), "arguments": mapping("Its arguments."), "result": mapping("Its structured result."),
            "ended": { "enum": ["done", "error", "in_flight"], "default": "done", "description": "How it ended: done, denied or failed, or not yet." },
            "ago": { "type": "string", "pattern": "^[0-9]{1,9}[smhd]$", "description": "How long before the case: 90s, 10m, 2h, 3d. A second apart without it." },
            "agent": text("Another agent that called."), "policy_session": text("Another policy session."),
        }),
    )
}

/// Those, and more.
fn with(mut more: Value) -> Value {
    if let (Some(more), Value::Object(said)) = (more.as_object_mut(), said()) {
        more.extend(said);
    }
    more
}

fn credential() -> Value {
    let scope = json!({ "enum": ["mcp:read", "mcp:write", "mcp:destroy"] });
    let properties = json!({
        "scopes": { "description": "What the token was narrowed to.", "anyOf": [scope.clone(), { "type": "array", "minItems": 1, "uniqueItems": true, "items": scope }] },
        "space": text("The space that the token is for; the case's own without it."),
        "expired": { "type": "boolean", "default": false }, "revoked": { "type": "boolean", "default": false },
        "issued_at": { "$ref": "#/$defs/time", "description": "A minute before the call without it." },
    });
    json!({ "description": "What the caller shows; a good credential without it.", "anyOf": [{ "const": "none" }, object("A credential.", &[], &properties)] })
}

fn session() -> Value {
    let tags = |description: &str| json!({ "type": "object", "additionalProperties": { "type": "string", "minLength": 1 }, "description": description });
    object(
        "The session in which the request is signed (SigV4).",
        &["role"],
        &json!({
            "role": refer("role_arn"), "name": text("Its name; `session` without one."),
            "tags": tags("Its tags."), "transitive_tags": tags("Those that go on to roles assumed from it."),
            "source_identity": text("Who is behind it."),
            "policy": { "type": "object", "description": "Its session policy: an IAM document." },
        }),
    )
}

fn suppose() -> Value {
    object(
        "What would be otherwise than the configuration says, for this case's space.",
        &[],
        &json!({
            "region": { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", "description": "It stood in this region." },
            "mandate": { "enum": ["READ_ONLY", "MUTATIVE", "DESTRUCTIVE"], "description": "It were mandated so." },
            "organizational_unit": { "type": "string", "pattern": "^ou-[a-z0-9-]{1,65}$", "description": "Its account hung there." },
            "role": refer("role_arn"),
            "external_id": text("This went with assuming roles of other accounts."),
            "tools": many("It listed these tools of its servers too: server___tool."),
        }),
    )
}

fn expect() -> Value {
    let properties = json!({
        "verdict": { "enum": ["allow", "hold", "deny"] },
        "reason": refer("reason"), "layer": { "$ref": "#/$defs/layer", "description": "The layer that denies first." },
        "effect": { "enum": ["IMPLICIT_DENY", "EXPLICIT_DENY"], "description": "Whether it denies because nothing allows, or by name." },
        "statement": many("Part of the statement that denies, or of one that allows."),
        "at": text("Where that statement stands: a file, with or without its first folders, with or without :line."),
        "acts_as": text("The ARN of the session as which the agent acts."),
        "risk": { "$ref": "#/$defs/risk", "description": "The risk at which the call is judged." },
        "remedy": many("Part of a change that would let the call pass."),
        "layers": {
            "type": "object", "propertyNames": refer("layer"), "additionalProperties": refer("effect"),
            "description": "What layers say, whichever decides.",
        },
    });
    let mut mapping = object("Everything that is named must hold.", &[], &properties);
    if let Some(map) = mapping.as_object_mut() {
        let any = ["verdict", "reason", "layer", "effect", "remedy"].map(|key| json!({ "required": [key] }));
        map.insert("anyOf".to_owned(), json!(any));
    }
    json!({ "description": "What must be said: a verdict, the reason of a denial, or more.", "anyOf": [{ "enum": ["allow", "hold", "deny"] }, refer("reason"), mapping] })
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    words.collect()
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn many(description: &str) -> Value {
    json!({ "$ref": "#/$defs/one_or_many", "description": format!("{description} A list stands for a case for each.") })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1, "description": description })
}

fn object(description: &str, required: &[&str], properties: &Value) -> Value {
    json!({ "description": description, "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}
