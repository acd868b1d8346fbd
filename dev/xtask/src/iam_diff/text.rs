//! What the rules need to know of texts, written anew and plainly: nothing here may share a fault with the engine.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;

/// How a resource matches a pattern.
#[derive(PartialEq, Debug)]
pub(crate) enum Match {
    /// Not at all, or part by part.
    Plainly,
    /// Only if a star that ends its part of the ARN goes on beyond the colon.
    ByLastStar,
    /// Only if another wildcard does.
    AcrossColons,
}

/// How a resource matches a pattern; variables aren't understood here.
pub(crate) fn matches_resource(pattern: &str, resource: &str) -> Match {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    if parts.len() < 6 || resource == "*" {
        return Match::Plainly;
    }
    let by_parts = resource.splitn(6, ':').count() == 6
        && parts.iter().zip(resource.splitn(6, ':')).all(|(pattern, part)| glob(&tokens(pattern, false), part));
    let last = parts.len() - 1;
    let with_last_star: Vec<(char, bool)> = parts
        .iter()
        .enumerate()
        .flat_map(|(index, part)| {
            let mut tokens = tokens(part, index < last);
            if let Some(token) = tokens.last_mut() {
                token.1 &= token.0 != '*';
            }
            if index < last {
                tokens.push((':', false));
            }
            tokens
        })
        .collect();
    if by_parts {
        Match::Plainly
    } else if glob(&with_last_star, resource) {
        Match::ByLastStar
    } else if glob(&tokens(pattern, false), resource) {
        Match::AcrossColons
    } else {
        Match::Plainly
    }
}

/// The characters of a pattern; a wildcard with a flag stops at colons.
fn tokens(pattern: &str, stops: bool) -> Vec<(char, bool)> {
    pattern.chars().map(|c| (c, stops && matches!(c, '*' | '?'))).collect()
}

/// Matches by trying everything.
fn glob(pattern: &[(char, bool)], text: &str) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((('*', stops), rest)) => {
            let mut left = text;
            loop {
                if glob(rest, left) {
                    return true;
                }
                match left.chars().next() {
                    Some(c) if !(*stops && c == ':') => left = left.get(c.len_utf8()..).unwrap_or_default(),
                    _ => return false,
                }
            }
        }
        Some(((token, stops), rest)) => match text.chars().next() {
            Some(c) if (*token == '?' && !(*stops && c == ':')) || (*token == c && *token != '?') => {
                glob(rest, text.get(c.len_utf8()..).unwrap_or_default())
            }
            _ => false,
        },
    }
}

/// Whether a pattern has a wildcard or a variable where this resource has its type.
pub(crate) fn escapes_type(pattern: &str, resource: &str) -> bool {
    let Some(last) = resource.splitn(6, ':').nth(5) else { return false };
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let [_, _, _, region, account, pattern] = parts.as_slice() else { return false };
    let typed = last.contains(['/', ':']) && !(region.is_empty() && account.is_empty());
    let head = pattern.split(['/', ':']).next().unwrap_or_default();
    typed && *pattern != "*" && head.contains(['*', '?', '$'])
}

/// Whether a variable without a value stands in a text.
pub(crate) fn unresolved<'c>(text: &str, found: &impl Fn(&str) -> Option<&'c Value>) -> bool {
    text.split("${").skip(1).any(|rest| {
        let inside = rest.split('}').next().unwrap_or_default();
        let (key, default) = inside.split_once(", ").map_or((inside, false), |(key, _)| (key, true));
        if matches!(key, "*" | "?" | "$") {
            return false;
        }
        match found(key) {
            None => !default,
            Some(Value::String(value)) => value.is_empty(),
            Some(_) => true,
        }
    })
}

/// Whether a value of a request isn't of the type that an operator compares.
pub(crate) fn is_malformed(operator: &str, value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if operator.contains("Numeric") {
        scaled(value).is_none()
    } else if operator.contains("Date") {
        if digits(value) {
            value.len() == 4 || value.len() > 12
        } else {
            !(value.len() >= 7 && digits(value.get(..4).unwrap_or_default()))
        }
    } else if operator.contains("Bool") {
        !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false")
    } else if operator.contains("IpAddress") {
        value.parse::<IpAddr>().is_err()
    } else if operator.contains("Arn") {
        !(value.starts_with("arn:") && value.split(':').count() > 5)
    } else {
        false
    }
}

/// Whether this is an IPv4 address in IPv6's notation.
pub(crate) fn ip_is_mapped(value: &str) -> bool {
    value.parse::<Ipv6Addr>().is_ok_and(|address| address.to_ipv4_mapped().is_some())
}

/// A number times 10^20, exactly.
fn scaled(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok().filter(|_| !whole.is_empty())?;
    let shift = 20_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    digits.checked_mul(10_i128.checked_pow(shift)?).map(|scaled| sign * scaled)
}

/// A small integer that stands among the numbers of the cases as this one does.
pub(crate) fn rank(text: &str) -> String {
    let Some(number) = scaled(text) else { return text.to_owned() };
    let known: Vec<i128> = ["-1", "0", "0.1", "0.30000000000000004", "3", "10", "9007199254740992", "9007199254740993"]
        .iter()
        .filter_map(|text| scaled(text))
        .collect();
    known.iter().position(|known| *known == number).map_or_else(|| text.to_owned(), |position| position.to_string())
}

/// Seconds since the epoch as a date; anything else as it is.
pub(crate) fn iso(text: &str) -> String {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = text.parse::<i64>().ok().filter(|_| digits && text.len() != 4 && text.len() <= 12) else {
        return text.to_owned();
    };
    let (mut days, rest) = (seconds / 86400, seconds % 86400);
    let mut year = 1970;
    loop {
        let length = 365 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        if days < length {
            let february = length - 337;
            let mut month = 1;
            for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                if days < length {
                    break;
                }
                days -= length;
                month += 1;
            }
            let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
            return format!("{year:04}-{month:02}-{:02}T{hours:02}:{minutes:02}:{seconds:02}Z", days + 1);
        }
        days -= length;
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        let resource = "arn:aws:mcp:eu-west-1:111122223333:server/git/tool/push:force";
        assert_eq!(matches_resource("arn:aws:mcp:*:*:server/*", resource), Match::Plainly);
        assert_eq!(matches_resource("arn:aws:mcp:*:111122223333:force", resource), Match::Plainly);
        assert_eq!(matches_resource("arn:aws:mcp:eu-west-1:*:force", resource), Match::ByLastStar);
        assert_eq!(matches_resource("arn:aws:mcp:eu-west-1:1*h:force", resource), Match::AcrossColons);
        assert!(escapes_type("arn:aws:mcp:*:*:*s/tool/read", resource));
        assert!(!escapes_type("arn:aws:mcp:*:*:*", resource));
    }

    #[test]
    fn numbers_and_dates() {
        assert_eq!([rank("3.0"), rank("03"), rank("10.00"), rank("-0"), rank("1e1")], ["4", "4", "5", "1", "1e1"]);
        assert_eq!(iso("1769862600"), "2026-01-31T12:30:00Z");
        assert_eq!(iso("951868799"), "2000-02-29T23:59:59Z");
        assert_eq!(iso("2026"), "2026");
    }
}
