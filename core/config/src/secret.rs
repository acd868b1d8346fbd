//! Secrets: named, never written. No message of this module repeats a text that it was given.

use remit_model::SecretRef;

use crate::item::Item;

/// How tokens of well-known services begin.
const PREFIXES: &[&str] = &[
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "npm_",
    "pypi-",
    "AIza",
    "ya29.",
    "SG.",
    "hvs.",
    "dop_v1_",
    "shpat_",
    "lin_api_",
    "eyJ",
    "Bearer ",
    "Basic ",
];

/// What a variable's name ends with when its value is a secret.
const NAME_ENDS: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
    "CREDENTIALS",
];

/// Whether a text looks like a secret by itself.
pub(crate) fn looks_secret(text: &str) -> bool {
    let prefixed = PREFIXES.iter().any(|prefix| text.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 8));
    let aws = ["AKIA", "ASIA"].iter().any(|prefix| {
        text.starts_with(prefix)
            && text.len() == 20
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    });
    let of = |test: fn(&u8) -> bool| text.bytes().any(|byte| test(&byte));
    let random = (32..=512).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte))
        && !text.starts_with(['/', '@'])
        && text.bytes().filter(u8::is_ascii_digit).count() >= 2
        && of(u8::is_ascii_uppercase)
        && of(u8::is_ascii_lowercase)
        && text.bytes().filter(|byte| b"/-_".contains(byte)).count() < 4;
    prefixed || aws || random || text.contains("-----BEGIN ")
}

/// Whether a variable of this name with this text would be a secret.
fn names_secret(name: &str, text: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    let path = text.starts_with(['/', '.']);
    NAME_ENDS.iter().any(|end| name.ends_with(end)) && text.len() >= 6 && !path
}

const SHAPES: &str = "`{ secret: name }` (then `remit secret set name`), `{ env: NAME }` or `{ file: path }`";

/// Where a secret is kept.
pub(crate) fn secret(item: &Item<'_>) -> Option<SecretRef> {
    if item.as_text().is_some() {
        item.error("a secret never stands in a configuration", format!("say where it is kept: {SHAPES}"));
        return None;
    }
    let object = item.object("a secret's place", &["secret", "env", "file"])?;
    let present = object.present(&["secret", "env", "file"]);
    let [key] = present.as_slice() else {
        item.error("a secret's place has exactly one of `secret`, `env` and `file`", format!("write one of {SHAPES}"));
        return None;
    };
    let value = object.get(key)?;
    let text = value.text()?;
    let (fits, rule) = match *key {
        "secret" => (
            secret_name(text),
            "a secret's name is 1 to 64 of letters, digits, `_`, `.` and `-`, and doesn't begin with `remit.`",
        ),
        "env" => (variable(text), "a variable's name is letters, digits and `_`, and doesn't start with a digit"),
        _ => (!text.contains('\n'), "a path is one line"),
    };
    if !fits || looks_secret(text) {
        value.error(
            format!("this is no name of a secret's place: {rule}"),
            format!("write one of {SHAPES}; never the secret itself"),
        );
        return None;
    }
    let text = text.to_owned();
    Some(match *key {
        "secret" => SecretRef::Stored(text),
        "env" => SecretRef::Env(text),
        _ => SecretRef::File(text),
    })
}

/// A variable of a child's environment: a text that is no secret, or where a secret is kept.
pub(crate) fn variable_value(name: &str, item: &Item<'_>) -> Option<SecretRef> {
    if !variable(name) {
        let what = format!("{} is no name of a variable", crate::item::shown(name));
        item.error(what, "a variable's name is letters, digits and `_`, and doesn't start with a digit");
        return None;
    }
    let Some(text) = item.as_text() else {
        if item.node.nodes().is_empty() && !matches!(item.node.value, crate::yaml::Value::Map(_)) {
            item.text();
            return None;
        }
        return secret(item);
    };
    if looks_secret(text) || names_secret(name, text) {
        item.error(format!("the value of `{name}` looks like a secret"), format!("say where it is kept: {SHAPES}"));
        return None;
    }
    Some(SecretRef::Plain(text.to_owned()))
}

/// Tells of a word of a command that looks like a secret.
pub(crate) fn word_checked(text: &str, item: &Item<'_>) {
    let named = text.strip_prefix("--").and_then(|option| option.split_once('='));
    if looks_secret(text) || named.is_some_and(|(name, value)| looks_secret(value) || names_secret(name, value)) {
        item.error(
            "this argument looks like a secret",
            "give it to the child in `env`, as `{ secret: name }`; arguments can be seen by all",
        );
    }
}

/// Remit's own secrets are out of reach: no configuration may send them to a server.
fn secret_name(text: &str) -> bool {
    !text.starts_with("remit.")
        && (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn variable(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognized_and_ordinary_texts_are_not() {
        for text in ["ghp_0123456789abcdef", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJIUzI1NiJ9.e30.x", "-----BEGIN PRIVATE KEY-----"]
        {
            assert!(looks_secret(text), "{text}");
        }
        assert!(looks_secret("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY1"));
        for text in
            ["production", "https://mcp.example.com/mcp", "helpdesk-token", "11112222-3333-4444-5555-666677778888", "sk-1"]
        {
            assert!(!looks_secret(text), "{text}");
        }
        assert!(names_secret("DB_PASSWORD", "hunter2!"));
        assert!(!names_secret("TOKEN", "/run/secrets/token"));
        assert!(!names_secret("MODE", "read-only"));
    }
}
