//! What each endpoint answers, as far as it is promised: the fields at the top and what they are. More may come.

use serde_json::{Map, Value, json};

/// Names and the JSON types of each, by `|`; one that ends in `!` is always there.
#[allow(clippy::too_many_lines, reason = "a table")]
fn fields(path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        "/v1/status" => &[
            ("snapshot!", "integer"),
            ("organization!", "string|null"),
            ("agents!", "array"),
            ("spaces!", "array"),
            ("servers!", "array"),
            ("connections!", "array"),
            ("findings!", "array"),
            ("policy_findings!", "array"),
            ("suspended!", "object"),
            ("configuration!", "object|null"),
        ],
        "/v1/explain" => &[("verdict!", "string"), ("layers!", "array")],
        "/v1/ways" => &[("action!", "string"), ("resource!", "string"), ("ways!", "array")],
        "/v1/effective" => &[("arn!", "string"), ("path!", "string"), ("policies!", "array")],
        "/v1/credentials" => {
            &[("Version!", "integer"), ("AccessKeyId!", "string"), ("SecretAccessKey!", "string"), ("Expiration!", "string")]
        }
        "/v1/secrets" => &[("secrets!", "array")],
        "/v1/secrets/put" => &[("name!", "string")],
        "/v1/secrets/delete" => &[("name!", "string"), ("deleted!", "boolean")],
        "/v1/agents/secret" => &[("agent!", "string"), ("client_id!", "string"), ("client_secret!", "string")],
        "/v1/pins/accept" => &[("server!", "string"), ("accepted!", "array")],
        "/v1/servers/reached" => &[("entry!", "integer")],
        "/v1/servers" => &[("servers!", "array")],
        "/v1/servers/submit" | "/v1/servers/status" => {
            &[("server!", "string"), ("status!", "string"), ("registration!", "string"), ("said!", "object|null")]
        }
        "/v1/connections" => &[("attempt!", "string"), ("server!", "string"), ("authorization_url!", "string")],
        "/v1/connections/forget" => &[("server!", "string"), ("forgotten!", "boolean")],
        "/v1/connections/{id}" => &[("state!", "string"), ("detail", "string")],
        "/v1/configuration/plan" | "/v1/configuration/diff" => &[("unchanged!", "boolean")],
        "/v1/configuration/history" => &[("versions!", "array"), ("more!", "boolean")],
        "/v1/configuration/files" => &[("version!", "integer"), ("path!", "string"), ("text!", "string")],
        "/v1/configuration/review" => &[("plan!", "string"), ("said!", "object"), ("review!", "object")],
        "/v1/configuration/withdraw" => &[("plan!", "string"), ("withdrawn!", "boolean")],
        "/v1/approvals" => {
            &[("approvals!", "array"), ("next_cursor!", "string|null"), ("approvers!", "array"), ("gateway!", "string")]
        }
        "/v1/approvals/{id}"
        | "/v1/approvals/{id}/approve"
        | "/v1/approvals/{id}/reject"
        | "/v1/approvals/{id}/revoke"
        | "/v1/approvals/{id}/review" => &[("id!", "string"), ("state!", "string")],
        "/v1/decisions" => &[("decisions!", "array"), ("next_cursor", "string"), ("behind", "integer")],
        "/v1/decisions/counts" => &[("series!", "array"), ("behind", "integer")],
        "/v1/decisions/standing" => &[("entries!", "integer"), ("durable!", "integer"), ("broken!", "string|null")],
        "/v1/decisions/rebuild" => &[("rebuilding!", "boolean"), ("entries!", "integer")],
        "/v1/decisions/{id}" => &[
            ("index!", "integer"),
            ("entry!", "object"),
            ("outcome", "object"),
            ("outcome_index", "integer"),
            ("proof!", "object|null"),
        ],
        "/v1/trust" | "/v1/trust/explain" => &[("initial!", "string"), ("agents!", "array")],
        "/v1/trust/promote" => &[("agent!", "string"), ("category!", "string"), ("from!", "string"), ("to!", "string")],
        "/v1/behaviour" => &[("watched!", "boolean"), ("agents!", "array"), ("findings!", "array"), ("counts!", "object")],
        "/v1/usage" => &[("time_unit!", "string"), ("budgets!", "array"), ("totals!", "array")],
        "/v1/alarms" => &[("alarms!", "array"), ("more!", "boolean")],
        "/v1/retention" => &[("days!", "integer|null"), ("rules!", "array"), ("holds!", "object")],
        "/v1/retention/sweep" | "/v1/retention/erase" => &[
            ("dry_run!", "boolean"),
            ("erased!", "integer"),
            ("kept_by_holds!", "integer"),
            ("segments!", "integer"),
            ("bytes_freed!", "integer"),
            ("not_yet!", "integer"),
        ],
        "/v1/reveal" => &[
            ("index!", "integer"),
            ("decision!", "string"),
            ("space!", "string"),
            ("arguments!", "object"),
            ("result!", "object"),
        ],
        "/v1/space-keys/destroy" => &[("space!", "string"), ("destroyed!", "boolean")],
        "/v1/archive" => &[("archived!", "integer"), ("segments!", "array"), ("failed!", "string|null")],
        "/v1/archive/restore" => &[("segment!", "integer"), ("restored!", "integer")],
        "/v1/retention/holds" | "/v1/retention/release" => &[("holds!", "object")],
        "/v1/incidents" => &[("agent!", "string"), ("agents!", "array")],
        "/v1/journal" => &[
            ("key!", "string"),
            ("size!", "integer"),
            ("root!", "string"),
            ("checkpoint!", "string"),
            ("health!", "string"),
            ("cosigned!", "string|null"),
        ],
        "/v1/journal/{index}" => &[
            ("key!", "string"),
            ("size!", "integer"),
            ("root!", "string"),
            ("checkpoint!", "string"),
            ("index!", "integer"),
            ("entry!", "string"),
            ("proof!", "array"),
        ],
        "/v1/console/link" => &[("address!", "string"), ("expires_in_secs!", "integer")],
        _ => &[],
    }
}

/// The JSON Schema of an endpoint's answer.
pub(crate) fn schema(path: &str) -> Value {
    let kind = |kinds: &str| match kinds.split('|').collect::<Vec<_>>().as_slice() {
        [one] => json!({"type": one}),
        several => json!({"type": several}),
    };
    let fields = fields(path);
    let properties: Map<String, Value> =
        fields.iter().map(|(name, kinds)| (name.trim_end_matches('!').to_owned(), kind(kinds))).collect();
    let required: Vec<&str> = fields.iter().filter_map(|(name, _)| name.strip_suffix('!')).collect();
    json!({"type": "object", "properties": properties, "required": required})
}
