//! Smaller cases: every way to leave something out of one, the largest first.

use serde_json::{Value, json};

/// The cases that are a step smaller than this one.
pub(crate) fn smaller(case: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let optional =
        ["permissionBoundaries", "sessionPolicy", "serviceControlPolicies", "resourceControlPolicies", "resourcePolicy"];
    for key in optional {
        if case.get(key).is_some() {
            push(&mut found, case, &[], |root| remove(root, key));
        }
    }
    for key in ["serviceControlPolicies", "resourceControlPolicies"] {
        for level in 0..len(case.get(key)) {
            push(&mut found, case, &[key], |levels| drop_at(levels, level));
            let path = format!("{level}");
            policies(&mut found, case, &[key, &path]);
        }
    }
    for key in ["identityPolicies", "permissionBoundaries"] {
        policies(&mut found, case, &[key]);
    }
    for key in ["sessionPolicy", "resourcePolicy", "trustPolicy"] {
        if case.get(key).is_some() {
            policy(&mut found, case, &[key]);
        }
    }
    let context = case.pointer("/request/context").and_then(Value::as_object);
    for (key, value) in context.into_iter().flatten() {
        push(&mut found, case, &["request", "context"], |context| remove(context, key));
        for at in 0..len(Some(value)) {
            push(&mut found, case, &["request", "context", key], |values| drop_at(values, at));
        }
        if key.chars().any(char::is_uppercase) && key.to_uppercase() == *key {
            let (old, new) = (key.clone(), key.to_lowercase());
            push(&mut found, case, &["request", "context"], |context| {
                if let Some(context) = context.as_object_mut()
                    && let Some(value) = context.remove(&old)
                {
                    context.insert(new.clone(), value);
                }
            });
        }
    }
    found.retain(|smaller| smaller != case);
    found
}

fn policies(found: &mut Vec<Value>, case: &Value, path: &[&str]) {
    for at in 0..len(at(case, path)) {
        push(found, case, path, |policies| drop_at(policies, at));
        let index = at.to_string();
        let mut inner = path.to_vec();
        inner.push(&index);
        policy(found, case, &inner);
    }
}

fn policy(found: &mut Vec<Value>, case: &Value, path: &[&str]) {
    let mut path = path.to_vec();
    path.push("Statement");
    if at(case, &path).is_some_and(Value::is_object) {
        statement(found, case, &path);
        return;
    }
    let count = len(at(case, &path));
    for index in 0..count {
        if count > 1 {
            push(found, case, &path, |statements| drop_at(statements, index));
        }
        let index = index.to_string();
        let mut inner = path.clone();
        inner.push(&index);
        statement(found, case, &inner);
    }
}

fn statement(found: &mut Vec<Value>, case: &Value, path: &[&str]) {
    let Some(here) = at(case, path).and_then(Value::as_object) else { return };
    push(found, case, path, |statement| remove(statement, "Condition"));
    for (key, all) in [("Action", "*"), ("NotAction", "none:None"), ("Resource", "*"), ("NotResource", "arn:aws:none:::none")] {
        let Some(value) = here.get(key) else { continue };
        push(found, case, path, |statement| {
            if let Some(statement) = statement.as_object_mut() {
                let plain = if key.starts_with("Not") { key.trim_start_matches("Not") } else { key };
                statement.remove(key);
                statement.insert(plain.to_owned(), json!(if key.starts_with("Not") { "*" } else { all }));
            }
        });
        values(found, case, path, key, value);
    }
    for key in ["Principal", "NotPrincipal"] {
        let mut inner = path.to_vec();
        inner.push(key);
        let Some(map) = here.get(key).and_then(Value::as_object) else { continue };
        if key == "Principal" {
            push(found, case, path, |statement| {
                if let Some(place) = statement.get_mut("Principal") {
                    *place = json!("*");
                }
            });
        }
        for (kind, value) in map {
            if map.len() > 1 {
                push(found, case, &inner, |map| remove(map, kind));
            }
            values(found, case, &inner, kind, value);
        }
    }
    let mut inner = path.to_vec();
    inner.push("Condition");
    let Some(operators) = here.get("Condition").and_then(Value::as_object) else { return };
    for (operator, tests) in operators {
        if operators.len() > 1 {
            push(found, case, &inner, |operators| remove(operators, operator));
        }
        let mut inner = inner.clone();
        inner.push(operator);
        let Some(tests) = tests.as_object() else { continue };
        for (key, value) in tests {
            if tests.len() > 1 {
                push(found, case, &inner, |tests| remove(tests, key));
            }
            values(found, case, &inner, key, value);
        }
        for (part, with) in [("IfExists", ""), ("ForAllValues:", ""), ("ForAnyValue:", "")] {
            if operator.contains(part) {
                let simple = operator.replace(part, with);
                push(found, case, path, |statement| {
                    if let Some(operators) = statement.get_mut("Condition").and_then(Value::as_object_mut)
                        && let Some(tests) = operators.remove(operator)
                    {
                        operators.insert(simple.clone(), tests);
                    }
                });
            }
        }
    }
}

/// One value less, or one instead of a list.
fn values(found: &mut Vec<Value>, case: &Value, path: &[&str], key: &str, value: &Value) {
    let Some(list) = value.as_array() else { return };
    let mut inner = path.to_vec();
    inner.push(key);
    for at in 0..list.len() {
        if list.len() > 1 {
            push(found, case, &inner, |values| drop_at(values, at));
        }
    }
    if let [one] = list.as_slice() {
        push(found, case, &inner, |values| *values = one.clone());
    }
}

fn at<'v>(case: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(case, |value, part| match value {
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    })
}

fn push(found: &mut Vec<Value>, case: &Value, path: &[&str], change: impl FnOnce(&mut Value)) {
    let mut smaller = case.clone();
    let place = path.iter().try_fold(&mut smaller, |value, part| match value {
        Value::Array(list) => list.get_mut(part.parse::<usize>().ok()?),
        _ => value.get_mut(part),
    });
    if let Some(place) = place {
        change(place);
        found.push(smaller);
    }
}

fn remove(map: &mut Value, key: &str) {
    if let Some(map) = map.as_object_mut() {
        map.remove(key);
    }
}

fn drop_at(list: &mut Value, at: usize) {
    if let Some(list) = list.as_array_mut()
        && at < list.len()
    {
        list.remove(at);
    }
}

fn len(value: Option<&Value>) -> usize {
    value.and_then(Value::as_array).map_or(0, Vec::len)
}
