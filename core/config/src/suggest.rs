//! "Did you mean": the nearest of a few names.

/// The name among `known` that `text` is probably a slip for.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let near = known.into_iter().map(|name| (distance(&text, name), name));
    let (steps, name) = near.min()?;
    let allowed = (text.len().max(name.chars().count()) / 3).clamp(1, 3);
    (steps <= allowed).then_some(name)
}

/// ", did you mean `…`?", or nothing.
pub fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(text, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// The edit distance (Levenshtein), ignoring case.
fn distance(text: &[char], name: &str) -> usize {
    let name: Vec<char> = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in text.iter().enumerate() {
        let mut next = vec![i + 1];
        for ((b, kept), removed) in name.iter().zip(&row).zip(row.iter().skip(1)) {
            let added = next.last().copied().unwrap_or_default() + 1;
            next.push((kept + usize::from(a != b)).min(removed + 1).min(added));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        assert_eq!(nearest("agent", ["agents", "servers"]), Some("agents"));
        assert_eq!(nearest("Medum", ["low", "medium"]), Some("medium"));
        assert_eq!(nearest("zebra", ["low", "medium"]), None);
        assert_eq!(nearest("", ["low"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
