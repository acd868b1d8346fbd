//! Whether a URI can come from an RFC 6570 template: how a resource finds the server that offers its template.

/// Whether `uri` could be an expansion of `template`. Each expression matches any text that isn't empty, `{name}` none that
/// holds a slash; so a match says "this server may know it", never "this caller may read it".
pub fn template_matches(template: &str, uri: &str) -> bool {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((expression, tail)) = after.split_once('}') else { return false };
        parts.push(Part::Literal(literal));
        parts.push(Part::Expression { any: expression.starts_with(['+', '#', '/', '?', '&', ';', '.']) });
        rest = tail;
    }
    parts.push(Part::Literal(rest));
    matches(&parts, uri, &mut 10_000)
}

/// Whether a URI is written in the one way that everybody reads alike: scheme and authority in lower case, no segment that is empty, `.` or
/// `..`, nothing escaped that needs no escape, no slash, backslash or percent sign escaped at all. So what names it in a rule names all
/// that a server could take it for, and a prefix of it names a place that it can't leave (RFC 3986, section 6.2.2).
pub fn is_plain(uri: &str) -> bool {
    if uri.contains('\\') || uri.bytes().any(|byte| byte.is_ascii_control()) || !escapes_are_needed(uri) {
        return false;
    }
    let dots = uri.split(['/', '?', '#', ':']).any(|segment| matches!(segment, "." | ".."));
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    // RFC 8089: no host and `localhost` are the same place.
    let local = scheme == "file" && authority == "localhost";
    !dots && lower(scheme) && lower(authority) && !path.contains("//") && !local
}

/// Whether every escape is whole and stands for a character that could not stand there itself, and for none that would mean something
/// else once it is unescaped.
fn escapes_are_needed(uri: &str) -> bool {
    let mut parts = uri.split('%');
    parts.next();
    parts.all(|part| {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"-._~/\\%".contains(&byte) && !byte.is_ascii_control())
    })
}

enum Part<'a> {
    Literal(&'a str),
    Expression { any: bool },
}

fn matches(parts: &[Part<'_>], uri: &str, budget: &mut u32) -> bool {
    *budget = budget.saturating_sub(1);
    if *budget == 0 {
        return false;
    }
    match parts.split_first() {
        None => uri.is_empty(),
        Some((Part::Literal(literal), parts)) => uri.strip_prefix(literal).is_some_and(|rest| matches(parts, rest, budget)),
        Some((Part::Expression { any }, parts)) => {
            let mut ends = uri.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
            if *any && matches(parts, uri, budget) {
                return true;
            }
            ends.by_ref()
                .take_while(|(_, c)| *any || *c != '/')
                .any(|(end, _)| uri.get(end..).is_some_and(|rest| matches(parts, rest, budget)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_to_write_a_uri() {
        for plain in [
            "file:///public/a.txt",
            "kb://articles/reset-password",
            "test://x/1?q=a.b",
            "file:///a...b/..c",
            "urn:a:b",
            "kb://h/a%20b%C3%A9?q=//x",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "file:///public/../secret",
            "file:///public/%2e%2E/secret",
            "FILE:///secret",
            "file:///a/%2e./b",
            "file:///a\\..\\b",
            "file:///a/.%252e/b",
            "file:///a/./b",
            "file:///%73ecret/x",
            "file:///a%2fb",
            "file:///a%5cb",
            "file:///a%00b",
            "file:///a%2",
            "file:////secret",
            "file://localhost/secret",
            "https://a//b",
            "kb://HOST/x",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }

    #[test]
    fn templates() {
        assert!(template_matches("test://template/{id}/data", "test://template/123/data"));
        assert!(!template_matches("test://template/{id}/data", "test://template/1/2/data"));
        assert!(template_matches("file:///{+path}", "file:///a/b/c"));
        assert!(!template_matches("file:///{+path}", "http://a"));
        assert!(template_matches("a{?q}", "a"));
        assert!(!template_matches("{a}{b}{c}{d}{e}{f}{g}x", &"y".repeat(500)));
    }
}
