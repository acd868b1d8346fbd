//! Adjudications: why the engines differ on a case, each with a proof.
//!
//! A rule is no opinion: it rewrites the case into one that says, in words on which both engines agree, what the rule holds
//! that the case means. The rule explains the case only if the other engine then decides as Remit did at first. The rules stand
//! with AWS's words in `docs/reference/iam-deviations.md`.

use serde_json::{Map, Value, json};

use super::text::{Match, escapes_type, ip_is_mapped, is_malformed, iso, matches_resource, rank, unresolved};

/// Why the engines differ.
pub(crate) struct Rule {
    /// Its name in the document.
    pub(crate) name: &'static str,
    /// Whether Remit may be the less strict of the two: then AWS's words must be clear.
    pub(crate) may_grant: bool,
    /// Says the same in other words; nothing if the rule has no part in the case.
    pub(crate) rewrite: fn(&Value) -> Value,
}

/// Every rule.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "variable-without-value", may_grant: false, rewrite: variable_without_value },
    Rule { name: "list-without-set-operator", may_grant: false, rewrite: list_without_set_operator },
    Rule { name: "malformed-value", may_grant: false, rewrite: malformed_value },
    Rule { name: "any-value-if-exists", may_grant: false, rewrite: any_value_if_exists },
    Rule { name: "empty-text-in-a-set", may_grant: false, rewrite: empty_text_in_a_set },
    Rule { name: "mapped-address", may_grant: false, rewrite: mapped_address },
    Rule { name: "wildcard-in-service", may_grant: false, rewrite: wildcard_in_service },
    Rule { name: "wildcard-in-type", may_grant: false, rewrite: wildcard_in_type },
    Rule { name: "inner-wildcard-and-colon", may_grant: false, rewrite: inner_wildcard_and_colon },
    Rule { name: "star-in-request", may_grant: false, rewrite: star_in_request },
    Rule { name: "not-principal-in-full", may_grant: false, rewrite: not_principal_in_full },
    Rule { name: "names-differ-in-case", may_grant: false, rewrite: names_differ_in_case },
    Rule { name: "everyone-within-boundary", may_grant: false, rewrite: everyone_within_boundary },
    Rule { name: "trust-in-everyone", may_grant: false, rewrite: trust_in_everyone },
    Rule { name: "trust-within-boundary", may_grant: false, rewrite: trust_within_boundary },
    Rule { name: "web-identity-is-federated", may_grant: false, rewrite: web_identity_is_federated },
    Rule { name: "null-on-empty-list", may_grant: true, rewrite: null_on_empty_list },
    Rule { name: "special-characters", may_grant: true, rewrite: special_characters },
    Rule { name: "exact-numbers", may_grant: true, rewrite: exact_numbers },
    Rule { name: "epoch-in-seconds", may_grant: true, rewrite: epoch_in_seconds },
    Rule { name: "prefix-of-zero", may_grant: true, rewrite: prefix_of_zero },
    Rule { name: "address-without-prefix", may_grant: true, rewrite: address_without_prefix },
    Rule { name: "star-crosses-colon", may_grant: true, rewrite: star_crosses_colon },
    Rule { name: "session-by-its-own-name", may_grant: true, rewrite: session_by_its_own_name },
    Rule { name: "federated-by-trust-alone", may_grant: true, rewrite: federated_by_trust_alone },
];

type Object = Map<String, Value>;

/// Changes every statement; `kind` is the field that its policy stands in.
fn each(case: &Value, mut change: impl FnMut(&str, &mut Object)) -> Value {
    let mut case = case.clone();
    let fields = [
        "identityPolicies",
        "permissionBoundaries",
        "sessionPolicy",
        "serviceControlPolicies",
        "resourceControlPolicies",
        "resourcePolicy",
        "trustPolicy",
    ];
    for field in fields {
        if let Some(value) = case.get_mut(field) {
            policies(field, value, &mut change);
        }
    }
    case
}

fn policies(field: &str, value: &mut Value, change: &mut impl FnMut(&str, &mut Object)) {
    if let Some(list) = value.as_array_mut() {
        list.iter_mut().for_each(|value| policies(field, value, change));
        return;
    }
    match value.get_mut("Statement") {
        Some(Value::Array(statements)) => {
            for statement in statements.iter_mut().filter_map(Value::as_object_mut) {
                change(field, statement);
            }
        }
        Some(Value::Object(statement)) => change(field, statement),
        _ => {}
    }
}

fn denies(statement: &Object) -> bool {
    statement.get("Effect").is_some_and(|effect| effect == "Deny")
}

/// Makes a statement apply to nothing.
fn void(field: &str, statement: &mut Object) {
    statement.remove("NotAction");
    statement.insert("Action".into(), if field == "trustPolicy" { "sts:None" } else { "none:None" }.into());
}

fn found<'c>(case: &'c Value, key: &str) -> Option<&'c Value> {
    let context = case.pointer("/request/context")?.as_object()?;
    context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

fn text<'c>(case: &'c Value, pointer: &str) -> &'c str {
    case.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_array().map_or_else(|| vec![one(value)], |list| list.iter().map(one).collect())
}

/// What can't be told: a Deny goes without the tests that `undecided` finds, an Allow goes altogether.
fn undecided(case: &Value, undecided: impl Fn(&str, &str, &Value) -> bool) -> Value {
    each(case, |field, statement| {
        let deny = denies(statement);
        let Some(operators) = statement.get_mut("Condition").and_then(Value::as_object_mut) else { return };
        let mut any = false;
        for (operator, tests) in operators.iter_mut() {
            if let Some(tests) = tests.as_object_mut() {
                let before = tests.len();
                tests.retain(|key, values| !undecided(operator, key, values));
                any |= tests.len() < before;
            }
        }
        operators.retain(|_, tests| tests.as_object().is_some_and(|tests| !tests.is_empty()));
        if operators.is_empty() {
            statement.remove("Condition");
        }
        if any && !deny {
            void(field, statement);
        }
    })
}

/// The same of resources: a Deny is about all of them, an Allow goes altogether.
fn undecided_resource(case: &Value, undecided: impl Fn(&str) -> bool) -> Value {
    each(case, |field, statement| {
        for key in ["Resource", "NotResource"] {
            let Some(patterns) = statement.get(key) else { continue };
            if !texts(patterns).iter().any(|pattern| undecided(pattern)) {
                continue;
            }
            if denies(statement) {
                statement.remove(key);
                statement.insert("Resource".into(), "*".into());
            } else {
                void(field, statement);
            }
        }
    })
}

fn variable_without_value(case: &Value) -> Value {
    let lookup = |key: &str| found(case, key);
    let case = &undecided(case, |_, _, values| texts(values).iter().any(|value| unresolved(value, &lookup)));
    undecided_resource(case, |pattern| unresolved(pattern, &lookup))
}

fn list_without_set_operator(case: &Value) -> Value {
    undecided(case, |operator, key, _| {
        !operator.starts_with("For") && operator != "Null" && found(case, key).is_some_and(Value::is_array)
    })
}

fn malformed_value(case: &Value) -> Value {
    undecided(case, |operator, key, _| {
        operator != "Null" && found(case, key).is_some_and(|value| texts(value).iter().any(|value| is_malformed(operator, value)))
    })
}

fn any_value_if_exists(case: &Value) -> Value {
    undecided(case, |operator, key, _| {
        operator.starts_with("ForAnyValue:")
            && operator.ends_with("IfExists")
            && found(case, key).is_none_or(|value| value.as_array().is_some_and(Vec::is_empty))
    })
}

fn empty_text_in_a_set(case: &Value) -> Value {
    undecided(case, |operator, key, _| operator.starts_with("For") && found(case, key).is_some_and(|value| texts(value) == [""]))
}

fn mapped_address(case: &Value) -> Value {
    undecided(case, |operator, key, _| {
        operator.contains("IpAddress")
            && found(case, key).is_some_and(|value| texts(value).iter().any(|value| ip_is_mapped(value)))
    })
}

fn wildcard_in_type(case: &Value) -> Value {
    let resource = text(case, "/request/resource/resource");
    undecided_resource(case, |pattern| escapes_type(pattern, resource))
}

fn wildcard_in_service(case: &Value) -> Value {
    undecided_resource(case, |pattern| pattern.split(':').nth(2).is_some_and(|service| service.contains(['*', '?'])))
}

fn inner_wildcard_and_colon(case: &Value) -> Value {
    let resource = text(case, "/request/resource/resource");
    undecided_resource(case, |pattern| matches_resource(pattern, resource) == Match::AcrossColons)
}

fn star_crosses_colon(case: &Value) -> Value {
    let resource = text(case, "/request/resource/resource").to_owned();
    each(case, |_, statement| {
        for key in ["Resource", "NotResource"] {
            let Some(patterns) = statement.get_mut(key) else { continue };
            let changed: Vec<String> = texts(patterns)
                .into_iter()
                .map(
                    |pattern| if matches_resource(&pattern, &resource) == Match::ByLastStar { resource.clone() } else { pattern },
                )
                .collect();
            *patterns = changed.into();
        }
    })
}

/// A star in a request is a star, which only a wildcard and a literal star match.
fn star_in_request(case: &Value) -> Value {
    let starred = text(case, "/request/resource/resource").len() > 1 && text(case, "/request/resource/resource").contains('*');
    let mut case = each(case, |_, statement| {
        for key in ["Resource", "NotResource"] {
            let Some(patterns) = statement.get_mut(key).filter(|_| starred) else { continue };
            *patterns = texts(patterns).into_iter().map(|pattern| pattern.replace("${*}", "Z")).collect::<Vec<_>>().into();
        }
    });
    if let Some(resource) = case.pointer_mut("/request/resource/resource") {
        let plain = match resource.as_str() {
            Some("*") => "arn:zz:zz:zz:zz:zz".to_owned(),
            Some(text) => text.replace('*', "Z"),
            None => return case,
        };
        *resource = plain.into();
    }
    case
}

/// Whether the principal is left out by name in full: with its account, and with its role if it is a session.
fn is_excepted(case: &Value, named: &Value) -> bool {
    let principal = text(case, "/request/principal");
    let Some(account) = principal.split(':').nth(4) else { return false };
    let named = named.get("AWS").map(texts).unwrap_or_default();
    let has = |name: &str| named.iter().any(|other| other == name);
    let by_account = has(account) || has(&format!("arn:aws:iam::{account}:root"));
    let own = match principal.split_once(":assumed-role/") {
        Some((_, session)) => format!("arn:aws:iam::{account}:role/{}", session.split('/').next().unwrap_or_default()),
        None => principal.to_owned(),
    };
    by_account && (principal.ends_with(":root") || has(&own))
}

fn not_principal_in_full(case: &Value) -> Value {
    each(case, |_, statement| {
        let partial = statement.get("NotPrincipal").is_some_and(|named| named.get("AWS").is_some() && !is_excepted(case, named));
        if partial {
            statement.remove("NotPrincipal");
            statement.insert("Principal".into(), "*".into());
        }
    })
}

fn names_differ_in_case(case: &Value) -> Value {
    each(case, |_, statement| {
        if !denies(statement)
            && let Some(principal) = statement.get_mut("Principal")
        {
            let other = principal.to_string().replace("role/AGENT", "role/other");
            *principal = serde_json::from_str(&other).unwrap_or_default();
        }
    })
}

fn is_everyone(principal: Option<&Value>) -> bool {
    principal.is_some_and(|principal| {
        *principal == "*" || principal.get("AWS").is_some_and(|aws| texts(aws).iter().any(|name| name == "*"))
    })
}

fn everyone_within_boundary(case: &Value) -> Value {
    let bounded = case.get("permissionBoundaries").is_some();
    each(case, |field, statement| {
        if bounded && field == "resourcePolicy" && !denies(statement) && is_everyone(statement.get("Principal")) {
            void(field, statement);
        }
    })
}

fn trust_in_everyone(case: &Value) -> Value {
    let principal = text(case, "/request/principal");
    let account = principal.split(':').nth(4).unwrap_or_default();
    let is_federated = is_federated(principal);
    each(case, |field, statement| {
        if field != "trustPolicy" || denies(statement) || !is_everyone(statement.get("Principal")) {
            return;
        }
        if is_federated {
            void(field, statement);
        } else if account.len() == 12 {
            statement.insert("Principal".into(), json!({ "AWS": account }));
        }
    })
}

/// A trust policy that names a session or a user grants within boundary and session policy, as one that names the role does.
fn trust_within_boundary(case: &Value) -> Value {
    let principal = text(case, "/request/principal");
    let account = principal.split(':').nth(4).unwrap_or_default();
    let limited = match principal.split_once(":assumed-role/") {
        Some((_, session)) => format!("arn:aws:iam::{account}:role/{}", session.split('/').next().unwrap_or_default()),
        None => account.to_owned(),
    };
    let bounded = case.get("permissionBoundaries").is_some();
    each(case, |field, statement| {
        let Some(named) = statement.get_mut("Principal") else { return };
        if bounded && field == "trustPolicy" {
            let other = named.to_string().replace(&format!("\"{principal}\""), &format!("\"{limited}\""));
            *named = serde_json::from_str(&other).unwrap_or_default();
        }
    })
}

fn is_federated(principal: &str) -> bool {
    principal.contains(":oidc-provider/") || (!principal.starts_with("arn:") && !principal.ends_with(".amazonaws.com"))
}

/// Only who is federated assumes a role with a web identity, and in no other way.
fn web_identity_is_federated(case: &Value) -> Value {
    let web = text(case, "/request/action").eq_ignore_ascii_case("sts:AssumeRoleWithWebIdentity");
    let federated = is_federated(text(case, "/request/principal"));
    let misfit = if web { !federated } else { federated && text(case, "/request/action").eq_ignore_ascii_case("sts:AssumeRole") };
    each(case, |field, statement| {
        if misfit && field == "trustPolicy" && !denies(statement) {
            void(field, statement);
        }
    })
}

fn null_on_empty_list(case: &Value) -> Value {
    each(case, |_, statement| {
        let Some(tests) =
            statement.get_mut("Condition").and_then(|condition| condition.get_mut("Null")).and_then(Value::as_object_mut)
        else {
            return;
        };
        let empty: Vec<String> =
            tests.keys().filter(|key| found(case, key).is_some_and(|value| *value == json!([]))).cloned().collect();
        for key in empty {
            if let Some(values) = tests.remove(&key) {
                tests.insert(format!("none:{}", key.replace(':', "-")), values);
            }
        }
    })
}

/// `${*}`, `${?}` and `${$}` are characters; an operator without wildcards takes them as they are.
fn special_characters(case: &Value) -> Value {
    each(case, |_, statement| {
        let operators = statement.get_mut("Condition").and_then(Value::as_object_mut).into_iter().flatten();
        let equality = |operator: &str| operator.contains("StringEquals") || operator.contains("StringNotEquals");
        for (_, tests) in operators.filter(|(operator, _)| equality(operator)) {
            for (_, values) in tests.as_object_mut().into_iter().flatten() {
                let plain = |text: String| {
                    let plain = text.replace("${*}", "*").replace("${?}", "?");
                    if plain.contains("${$}{") { plain } else { plain.replace("${$}", "$") }
                };
                *values = texts(values).into_iter().map(plain).collect::<Vec<_>>().into();
            }
        }
    })
}

/// Changes the values of tests, and of the request under the same keys.
fn values(case: &Value, of: impl Fn(&str) -> bool, change: impl Fn(String) -> Vec<String>) -> Value {
    let mut keys = Vec::new();
    let mut case = each(case, |_, statement| {
        let operators = statement.get_mut("Condition").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, tests) in operators.filter(|(operator, _)| of(operator)) {
            for (key, values) in tests.as_object_mut().into_iter().flatten() {
                keys.push(key.to_lowercase());
                *values = texts(values).into_iter().flat_map(&change).collect::<Vec<_>>().into();
            }
        }
    });
    let context = case.pointer_mut("/request/context").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, value) in context.filter(|(key, _)| keys.contains(&key.to_lowercase())) {
        let changed: Vec<String> =
            texts(value).into_iter().map(|text| change(text.clone()).into_iter().next().unwrap_or(text)).collect();
        *value = match (value.is_array(), changed.as_slice()) {
            (false, [one]) => one.clone().into(),
            _ => changed.into(),
        };
    }
    case
}

fn exact_numbers(case: &Value) -> Value {
    values(case, |operator| operator.contains("Numeric"), |number| vec![rank(&number)])
}

fn epoch_in_seconds(case: &Value) -> Value {
    values(case, |operator| operator.contains("Date"), |date| vec![iso(&date)])
}

fn prefix_of_zero(case: &Value) -> Value {
    let halves = |range: String| {
        if range == "0.0.0.0/0" { vec!["0.0.0.0/1".to_owned(), "128.0.0.0/1".to_owned()] } else { vec![range] }
    };
    values(case, |operator| operator.contains("IpAddress"), halves)
}

fn address_without_prefix(case: &Value) -> Value {
    each(case, |_, statement| {
        let operators = statement.get_mut("Condition").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, tests) in operators.filter(|(operator, _)| operator.contains("IpAddress")) {
            for (_, values) in tests.as_object_mut().into_iter().flatten() {
                let full = |range: String| if range.contains('/') { range } else { format!("{range}/32") };
                *values = texts(values).into_iter().map(full).collect::<Vec<_>>().into();
            }
        }
    })
}

/// What is granted to a session by its own name is limited by its policy only where that denies.
fn session_by_its_own_name(case: &Value) -> Value {
    let principal = text(case, "/request/principal");
    let mut own = false;
    each(case, |field, statement| {
        let by_arn = || {
            statement.get("Condition").is_some_and(|condition| {
                ["StringEquals", "StringLike", "ArnEquals", "ArnLike"].iter().any(|operator| {
                    let tests = condition.get(operator).and_then(Value::as_object);
                    tests.is_some_and(|tests| tests.keys().any(|key| key.eq_ignore_ascii_case("aws:PrincipalArn")))
                })
            })
        };
        let named = statement.get("Principal").and_then(|principal| principal.get("AWS")).map(texts).unwrap_or_default();
        let direct = named.iter().any(|name| name == principal) || (is_everyone(statement.get("Principal")) && by_arn());
        own |= field == "resourcePolicy" && !denies(statement) && direct;
    });
    let mut case = case.clone();
    if let Some(statements) = case.pointer_mut("/sessionPolicy/Statement").filter(|_| own) {
        let all = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
        *statements = match statements.take() {
            Value::Array(mut list) => {
                list.push(all);
                list.into()
            }
            one => json!([one, all]),
        };
    }
    case
}

/// Who is federated has no policies of its own: the trust policy alone decides, as it does for a service.
fn federated_by_trust_alone(case: &Value) -> Value {
    const SERVICE: &str = "idp.amazonaws.com";
    let provider = text(case, "/request/principal").to_owned();
    if !is_federated(&provider) {
        return case.clone();
    }
    let mut case = each(case, |_, statement| {
        for key in ["Principal", "NotPrincipal"] {
            let Some(named) = statement.get_mut(key).and_then(Value::as_object_mut) else { continue };
            let providers = named.get("Federated").map(texts).unwrap_or_default();
            if providers.contains(&provider) {
                let mut services = named.get("Service").map(texts).unwrap_or_default();
                services.push(SERVICE.to_owned());
                named.insert("Service".into(), services.into());
            }
        }
    });
    if let Some(principal) = case.pointer_mut("/request/principal") {
        *principal = SERVICE.into();
    }
    case
}
