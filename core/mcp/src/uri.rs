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
    fn templates() {
        assert!(template_matches("test://template/{id}/data", "test://template/123/data"));
        assert!(!template_matches("test://template/{id}/data", "test://template/1/2/data"));
        assert!(template_matches("file:///{+path}", "file:///a/b/c"));
        assert!(!template_matches("file:///{+path}", "http://a"));
        assert!(template_matches("a{?q}", "a"));
        assert!(!template_matches("{a}{b}{c}{d}{e}{f}{g}x", &"y".repeat(500)));
    }
}
