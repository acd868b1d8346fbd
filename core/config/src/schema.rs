//! The shape of a configuration file as JSON Schema, for editors. [`crate::read`] checks more than a schema can say.

mod alarm;
mod approval;
mod behaviour;
mod budget;
mod cloudwatch;
mod delivery;
mod guardrail;
mod iam;
mod label;
mod retention;
mod sandbox;
mod trust;
mod witness;

use serde_json::{Value, json};

/// The JSON Schema (2020-12) of one configuration document.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://remit.invalid/configuration.schema.json",
        "title": "Remit configuration",
        "description": "One file of a configuration directory. All files are read together; lists with the same name are joined.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "$schema": { "type": "string", "description": "For editors; Remit ignores it." },
            "organization": organization(),
            "change_review": change_review(),
            "registry": object("How the registry of servers is kept; at most one in all files.", &[], &json!({ "second_person": flag("Whether somebody else than who submitted a server has to approve it, signed in at the console.", false) })),
            "retention": retention::retention(), "behaviour": behaviour::behaviour(), "cloudwatch": cloudwatch::cloudwatch(),
            "trust": trust::trust(),
            "witnessing": witness::witnessing(),
            "console": console(),
            "organizational_units": list("The tree between the root and the accounts.", "unit"),
            "accounts": list("The accounts.", "account"),
            "policies": list("Managed and control policies, by name.", "policy"),
            "roles": list("The roles: who may act in them, and what they may do.", "role"),
            "users": list("People and automations that sign requests with keys of their own.", "user"),
            "servers": list("The MCP servers, each registered once in its account.", "server"),
            "sandbox_profiles": list("What servers that Remit starts may reach on this machine, by name.", "sandbox_profile"),
            "trust_zones": list("Servers that are trusted alike: what they run in, and which roles call them.", "trust_zone"),
            "spaces": list("The agent spaces: where agents and tools meet.", "space"),
            "agents": list("The agents: workload identities.", "agent"),
            "issuers": list("OpenID Connect issuers that may vouch for agents or users.", "issuer"),
            "tool_policies": list("The registry: which agent may call which tool. No row, no call.", "tool_policy"),
            "approval_rules": list("Which calls wait until people have agreed.", "approval_rule"),
            "approvers": list("The people who decide approvals.", "approver"),
            "approval_channels": list("Where those who must agree are told.", "approval_channel"),
            "deliveries": list("Where records of decisions are delivered: a SIEM, a collector, a data lake.", "delivery"),
            "guardrails": list("What must not pass to tools or from them: versions of guardrails.", "guardrail"),
            "bedrock_policies": list("Where guardrails are attached, with the inheritance of AWS Organizations' Bedrock policies.", "bedrock_policy"),
            "invariants": list("What must never be possible, whatever else the configuration says; a change that makes it possible is refused.", "invariant"),
            "alarms": list("What is watched in the decisions, and what is done when it is too much.", "alarm"),
            "budgets": list("How much of what calls cost agents, spaces and users may use up.", "budget"),
        },
        "$defs": {
            "account": account(), "unit": iam::unit(), "policy": iam::policy(), "role": iam::role(), "user": iam::user(),
            "document": iam::document(), "policy_names": iam::policy_names(), "tags": iam::tags(), "role_name": iam::role_name(),
            "server": server(), "space": space(), "space_server": space_server(), "agent": agent(),
            "agent_credential": agent_credential(), "claim_rule": claim_rule(), "issuer": issuer(), "tool_policy": tool_policy(), "invariant": invariant(),
            "approval_rule": approval::rule(), "approver": approval::approver(), "approval_channel": approval::channel(), "delivery": delivery::delivery(),
            "guardrail": guardrail::version(), "bedrock_policy": guardrail::policy(),
            "budget": budget::budget(), "alarm": alarm::alarm(), "alarm_action": alarm::action(),
            "results": label::results(), "argument_role": label::argument_role(),
            "sandbox_profile": sandbox::profile(), "trust_zone": sandbox::zone(), "trust_zone_name": sandbox::zone_name(), "sandbox_profile_name": sandbox::profile_name(), "sandbox": sandbox::sandbox(),
            "trust_tier": { "enum": ["probation", "supervised", "trusted", "autonomous"] },
            "account_id": { "type": "string", "pattern": "^[0-9]{12}$", "description": "Twelve digits, in quotes. May be left out if there is only one account." },
            "agent_id": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{3,255}$" },
            "server_name": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$", "description": "Unique in its account; it becomes the prefix of the tools: server___tool." },
            "secret": secret(), "credential": credential(), "oauth": oauth(), "tool": tool(),
            "class": { "enum": ["READ_ONLY", "MUTATIVE", "DESTRUCTIVE"] },
            "risk": { "enum": ["low", "medium", "high", "critical"] },
            "findings_admitted": { "enum": ["none", "low", "medium"], "default": "medium", "description": "How grave what the scan of definitions finds may be for a tool to be admitted at first sight. The strictest on the way down the tree counts." },
            "network": { "enum": ["public", "private", "loopback"], "default": "public", "description": "Which addresses the name may resolve to." },
        },
    })
}

fn list(description: &str, of: &str) -> Value {
    json!({ "description": description, "type": ["array", "null"], "items": refer(of) })
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn object(description: &str, required: &[&str], properties: &Value) -> Value {
    json!({ "description": description, "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn texts(description: &str) -> Value {
    json!({ "type": "array", "uniqueItems": true, "items": { "type": "string", "minLength": 1 }, "description": description })
}

fn count(description: &str, max: u64) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": max, "description": description })
}

fn flag(description: &str, default: bool) -> Value {
    json!({ "type": "boolean", "default": default, "description": description })
}

/// Exactly one of these keys.
fn one_of(mut object: Value, keys: &[&str]) -> Value {
    let ways: Vec<Value> = keys.iter().map(|key| json!({ "required": [key] })).collect();
    if let Some(map) = object.as_object_mut() {
        map.insert("oneOf".to_owned(), ways.into());
    }
    object
}

fn organization() -> Value {
    object(
        "The organization; at most one in all files.",
        &[],
        &json!({
            "id": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$", "default": "o-local" },
            "name": text("Its name, for people."),
            "partition": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$", "default": "aws", "description": "The partition of its ARNs." },
            "root": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$", "default": "r-root", "description": "The id of the root of its tree." },
            "owner": text("Who administers it, such as an address."), "management_account": refer("account_id"),
            "service_control_policies": refer("policy_names"), "resource_control_policies": refer("policy_names"), "findings_admitted": refer("findings_admitted"),
        }),
    )
}

fn change_review() -> Value {
    object(
        "Who has to agree to a change of the configuration; at most one in all files.",
        &["reviewers"],
        &json!({
            "required": flag("Whether a change takes effect only once it was approved.", true),
            "approvals": { "type": "integer", "minimum": 1, "maximum": 5, "default": 1, "description": "How many different reviewers must approve; the author is never one of them." },
            "reviewers": { "type": "array", "uniqueItems": true, "maxItems": 100, "items": { "type": "string", "minLength": 1 }, "description": "The public halves of their keys, as `remit review-key NAME` prints them." },
        }),
    )
}

fn console() -> Value {
    let sign_in = object(
        "The OpenID provider that signs people in.",
        &["issuer", "client_id"],
        &json!({
            "issuer": text("Its identifier; its discovery document stands below."),
            "client_id": text("The client id that Remit was given there."),
            "client_secret": refer("secret"),
            "scopes": texts("The scopes that are asked for; `openid` always is. Without any: `openid` and `email`."),
            "network": refer("network"),
        }),
    );
    object(
        "How people come to the console; at most one in all files.",
        &[],
        &json!({
            "sign_in": sign_in,
            "roles": { "type": "array", "uniqueItems": true, "maxItems": 64, "items": { "type": "string", "pattern": "^arn:[^:]+:iam::[0-9]{12}:role/.+$" }, "description": "The roles that may be taken there; the trust policy of each says by whom." },
            "session_secs_max": { "type": "integer", "minimum": 900, "maximum": 43200, "default": 43200, "description": "How long a session lasts at most." },
        }),
    )
}

fn invariant() -> Value {
    let pattern = |pattern: &str, description: &str| json!({ "type": "array", "uniqueItems": true, "minItems": 1, "maxItems": 1000, "items": { "type": "string", "pattern": pattern }, "description": description });
    let several = |of: &str, description: &str| json!({ "type": "array", "uniqueItems": true, "minItems": 1, "maxItems": 1000, "items": refer(of), "description": description });
    let space = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    let mut never = object(
        "Who must never call what, and where. Every key that is given narrows it.",
        &[],
        &json!({
            "agents": several("agent_id", "These agents. Without any key about agents: every agent."),
            "agents_except": several("agent_id", "Every agent but these."),
            "agents_outside_spaces": pattern(space, "Every agent that none of these spaces lists."),
            "agents_outside_accounts": several("account_id", "Every agent that is of none of these accounts."),
            "tools": pattern("^[^*]*\\*?$", "Tools by name, server___tool, or by the beginning of one with * for the rest."),
            "categories": pattern("^[a-z0-9-]{1,32}$", "Tools of one of these categories."),
            "classes": several("class", "Tools of one of these classes."),
            "spaces": pattern(space, "In these spaces. Without it: in every space."),
            "when": text("The calls that are meant: a condition of Cedar over principal and context, such as context.input.amount_cents > 5000000. Without it: every call."),
            "without_approval": flag("Whether calls that people must agree to are not meant.", false),
        }),
    );
    let ways = ["agents", "agents_except", "agents_outside_spaces", "agents_outside_accounts"];
    let pairs =
        ways.iter().enumerate().flat_map(|(at, one)| ways.iter().skip(at + 1).map(move |two| json!({ "required": [one, two] })));
    let pairs: Vec<Value> = pairs.collect();
    if let Some(map) = never.as_object_mut() {
        map.insert(
            "anyOf".to_owned(),
            json!([{ "required": ["tools"] }, { "required": ["categories"] }, { "required": ["classes"] }]),
        );
        map.insert("not".to_owned(), json!({ "anyOf": pairs }));
    }
    object("What must never be possible.", &["name", "never"], &json!({ "name": text("Its name."), "never": never }))
}

fn account() -> Value {
    object(
        "An account.",
        &["id", "name"],
        &json!({
            "id": refer("account_id"), "name": text("Its name, for people."), "owner": text("Who administers it, such as an address."),
            "organizational_unit": { "type": "string", "pattern": "^ou-[a-z0-9-]{1,65}$", "description": "The unit that it is in; directly below the root without one." },
            "service_control_policies": refer("policy_names"), "resource_control_policies": refer("policy_names"), "findings_admitted": refer("findings_admitted"),
            "permissions_boundary": text("The boundary of every role and user of the account: a managed policy."),
            "tags": refer("tags"),
        }),
    )
}

fn server() -> Value {
    let command = |description: &str| json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 }, "description": description });
    let env = json!({
        "type": "object", "description": "The child's whole environment.",
        "additionalProperties": { "anyOf": [{ "type": "string" }, refer("secret")] },
    });
    let limits = object(
        "What it may cost.",
        &[],
        &json!({
            "connect_timeout_ms": count("How long a connection may take.", 60_000),
            "call_timeout_ms": count("How long a call may take until its answer is complete.", 3_600_000),
            "result_bytes_max": count("The largest result that is passed on.", 268_435_456),
            "calls_max": count("How many calls may be under way at once.", 100_000),
        }),
    );
    let properties = json!({
        "name": refer("server_name"), "account": refer("account_id"),
        "url": text("Its address, for one that runs elsewhere."),
        "launch": command("A command that Remit starts; it prints one line {\"url\": …} and serves HTTP there."),
        "command": command("A command that Remit starts; it speaks MCP on standard input and output."),
        "env": env, "network": refer("network"),
        "protocol": { "enum": ["auto", "2026-07-28", "legacy"], "default": "auto", "description": "Which era Remit speaks to it." },
        "credential": refer("credential"), "limits": limits, "sandbox": refer("sandbox"),
        "results": refer("results"),
        "tools": { "type": "object", "additionalProperties": refer("tool"), "description": "Your word on its tools, by the server's own names." },
        "cost": budget::stated(),
        "tags": refer("tags"), "resource_policy": refer("document"),
        "status": { "enum": ["DRAFT", "APPROVED", "DEPRECATED"], "default": "APPROVED", "description": "How it stands in the registry where nobody has said anything else of this registration: a DRAFT has to be approved (remit servers)." },
        "zone": refer("trust_zone_name"),
        "service_principal": { "type": "string", "pattern": "^[A-Za-z0-9.-]{1,128}$", "description": "What aws:CalledViaAWSMCP is in calls of its tools; its name where none is given." },
    });
    one_of(object("An MCP server.", &["name"], &properties), &["url", "launch", "command"])
}

fn tool() -> Value {
    object(
        "What you say of a tool; it stands above what the server says.",
        &[],
        &json!({
            "class": refer("class"), "risk": refer("risk"),
            "categories": { "type": "array", "uniqueItems": true, "items": { "type": "string", "pattern": "^[a-z0-9-]{1,32}$" }, "description": "Such as delete, transfer, publish." },
            "expose_as": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "The name to expose instead of the server's own." },
            "results": refer("results"),
            "arguments": { "type": "object", "maxProperties": 256, "additionalProperties": refer("argument_role"), "description": "What its arguments do, where the schema doesn't say or says it wrong." },
        }),
    )
}

fn secret() -> Value {
    let properties = json!({
        "secret": { "type": "string", "pattern": "^(?!remit\\.)[A-Za-z0-9_.-]{1,64}$", "description": "A name in Remit's store: `remit secret set NAME`." },
        "env": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$", "description": "A variable of the Remit process." },
        "file": text("A file."),
    });
    one_of(object("Where a secret is kept. It never stands here itself.", &[], &properties), &["secret", "env", "file"])
}

fn credential() -> Value {
    let header = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" });
    let api_key =
        object("A header of your choice.", &["header", "value"], &json!({ "header": header, "value": refer("secret") }));
    let properties = json!({ "bearer": refer("secret"), "api_key": api_key, "oauth": refer("oauth") });
    one_of(
        object("What Remit shows the server. The agent's own token never is.", &[], &properties),
        &["bearer", "api_key", "oauth"],
    )
}

fn oauth() -> Value {
    let properties = json!({
        "grant": { "enum": ["client_credentials", "authorization_code"], "default": "client_credentials", "description": "authorization_code takes a person's consent, once: `remit connect ACCOUNT/NAME`." },
        "client_id": text("The client id. With authorization_code it may be left out: Remit registers itself."),
        "client_secret": refer("secret"), "private_key": refer("secret"),
        "algorithm": { "enum": ["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "EdDSA"], "default": "ES256", "description": "What the private key signs with." },
        "token_endpoint": text("For client_credentials; found by discovery when it is left out."),
        "issuer": text("For authorization_code: the only authorization server that may be used."),
        "client_metadata_url": { "type": "string", "pattern": "^https://", "description": "For authorization_code: where Remit's client metadata document is published." },
        "scopes": texts("The scopes to ask for."),
    });
    let mut oauth = object("OAuth 2.1, with Remit as the client.", &[], &properties);
    let by_code = json!({ "properties": { "grant": { "const": "authorization_code" } }, "required": ["grant"] });
    let with_code = json!({
        "properties": { "token_endpoint": false },
        "not": { "required": ["client_secret", "private_key"] },
        "dependentRequired": { "client_secret": ["client_id"], "private_key": ["client_id"] },
        "dependentSchemas": { "client_id": { "properties": { "client_metadata_url": false } } },
    });
    let without = json!({
        "required": ["client_id"],
        "properties": { "issuer": false, "client_metadata_url": false },
        "oneOf": [{ "required": ["client_secret"] }, { "required": ["private_key"] }],
    });
    if let Some(map) = oauth.as_object_mut() {
        map.extend([("if".to_owned(), by_code), ("then".to_owned(), with_code), ("else".to_owned(), without)]);
    }
    oauth
}

fn space() -> Value {
    object(
        "An agent space: one boundary, one MCP endpoint.",
        &["id", "region"],
        &json!({
            "id": { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "description": "Its endpoint is /spaces/<id>/mcp." },
            "account": refer("account_id"),
            "region": { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$" },
            "agents": { "type": ["array", "null"], "uniqueItems": true, "items": refer("agent_id"), "description": "The agents that may enter." },
            "mandate": { "$ref": "#/$defs/class", "default": "READ_ONLY", "description": "The highest class of tool that may be called here." },
            "servers": { "type": ["array", "null"], "items": refer("space_server"), "description": "The servers that meet here, in order." },
            "role": refer("role_name"), "operator_role": refer("role_name"),
            "policy_set": policy_set(),
            "keep_results": { "type": "boolean", "default": false, "description": "Keep what tools answer, sealed, beside the journal, as arguments are." },
            "signed_requests": signed_requests(),
            "quotas": object("Limits for each agent; none where one is left out.", &[], &json!({
                "calls_concurrent_max": count("Calls under way at once, per agent and tool.", 1_000_000),
                "calls_per_minute_max": count("Calls started in a minute, per agent and tool.", 1_000_000),
                "sessions_max": count("Sessions held open at once, per agent.", 1_000_000),
            })),
        }),
    )
}

fn policy_set() -> Value {
    let file = object(
        "A file of policies in Cedar or Dogwood.",
        &["file"],
        &json!({
            "file": { "type": "string", "pattern": "\\.(cedar|dw)$", "description": "Its path, relative to this file." },
            "mode": { "enum": ["ACTIVE", "LOG_ONLY"], "default": "ACTIVE", "description": "LOG_ONLY: asked and recorded, and nothing comes of it." },
        }),
    );
    object(
        "Policies that judge every call of a tool here, with its arguments and with what came before. All other layers still apply.",
        &["policies"],
        &json!({
            "mode": { "enum": ["ENFORCE", "LOG_ONLY"], "default": "ENFORCE", "description": "LOG_ONLY: the whole set is asked and recorded, and nothing comes of it." },
            "policies": { "type": ["array", "null"], "maxItems": 1000, "items": file },
        }),
    )
}

fn space_server() -> Value {
    let tools = json!({
        "description": "The tools that are admitted, by the server's own names, or all that are pinned.",
        "oneOf": [{ "const": "all" }, { "type": "array", "uniqueItems": true, "items": { "type": "string", "minLength": 1 } }],
    });
    object(
        "A server of a space.",
        &["server", "tools"],
        &json!({
            "server": refer("server_name"), "tools": tools, "account": refer("account_id"), "role": refer("role_name"),
            "external_id": { "type": "string", "pattern": "^[A-Za-z0-9_+=,.@:/-]{2,1224}$", "description": "What goes with assuming the role; the space's ARN without one." },
            "prompts": flag("Whether its prompts are admitted.", false),
            "resources": flag("Whether its resources are admitted.", false),
            "prefix": flag("Whether names carry the server's prefix. At most one server of a space may go without.", true),
        }),
    )
}

fn agent() -> Value {
    object(
        "An agent.",
        &["id", "owner"],
        &json!({
            "id": refer("agent_id"), "account": refer("account_id"),
            "owner": text("Who answers for it, such as an address."),
            "suspended": flag("A suspended agent may do nothing.", false), "tags": refer("tags"),
            "credentials": { "type": ["array", "null"], "items": refer("agent_credential"), "description": "How it proves who it is." },
            "request_keys": request_keys(), "signed_requests": signed_requests(),
        }),
    )
}

fn signed_requests() -> Value {
    json!({ "enum": ["accepted", "required"], "default": "accepted", "description": "required: a user's request (`remit/request`) that isn't signed is nobody's word." })
}

fn request_keys() -> Value {
    let keys = json!({ "type": "object", "required": ["keys"], "properties": { "keys": { "type": "array", "minItems": 1, "maxItems": 20, "items": { "type": "object" } } } });
    let keys = object(
        "The public keys with which its users' requests are signed.",
        &[],
        &json!({ "jwks": keys, "jwks_file": text("A .json or .jwks file with a JSON Web Key Set, relative to this one.") }),
    );
    one_of(keys, &["jwks", "jwks_file"])
}

fn agent_credential() -> Value {
    let keys = json!({ "type": "object", "required": ["keys"], "properties": { "keys": { "type": "array", "minItems": 1, "maxItems": 20, "items": { "type": "object" } } } });
    let external = object(
        "A token of another issuer.",
        &["issuer", "rules"],
        &json!({
            "issuer": text("A name from `issuers`."), "rules": { "type": "array", "minItems": 1, "items": refer("claim_rule"), "description": "All of them must hold." },
        }),
    );
    let properties = json!({ "jwks_file": text("A file with its public keys, relative to this file."), "jwks": keys, "external": external, "role": iam::acting() });
    let object = one_of(object("A credential.", &[], &properties), &["jwks_file", "jwks", "external", "role"]);
    json!({ "anyOf": [{ "const": "client_secret", "description": "A secret that Remit makes." }, object] })
}

fn claim_rule() -> Value {
    let properties = json!({
        "claim": text("The claim's name; dots descend into objects."), "equals": text("The claim is this text."),
        "contains": text("The claim is a list that holds this text."), "contains_any": texts("The claim is a list that holds one of these."),
    });
    one_of(object("A rule on a claim.", &["claim"], &properties), &["equals", "contains", "contains_any"])
}

fn issuer() -> Value {
    object(
        "An OpenID Connect issuer.",
        &["name", "url"],
        &json!({
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
            "url": text("Its identifier; its discovery document stands below."),
            "audiences": texts("The audiences that are accepted besides the space's own address."),
            "network": refer("network"), "users": flag("Whether its tokens may name the user for whom an agent acts.", false),
        }),
    )
}

fn tool_policy() -> Value {
    let mut row = object(
        "A row of the registry.",
        &["agent", "tool"],
        &json!({
            "agent": refer("agent_id"),
            "tool": { "type": "string", "pattern": "^[^*]*\\*?$", "minLength": 1, "description": "server___tool, server___prompts/name or server___resources/uri; a `*` at the end stands for any rest." },
            "allowed": flag("A row that forbids stands above every row that allows.", true),
            "max_risk": { "$ref": "#/$defs/risk", "description": "The highest risk at which it may be called." },
        }),
    );
    let forbids = json!({ "properties": { "allowed": { "const": false } }, "required": ["allowed"] });
    if let Some(map) = row.as_object_mut() {
        map.insert("if".to_owned(), json!({ "not": forbids }));
        map.insert("then".to_owned(), json!({ "required": ["max_risk"] }));
    }
    row
}
