//! Days that a text names, however people write them.

/// The most days of one text.
const DAYS_MAX: usize = 256;
/// The most numbers of one list of days, such as `13, 14 and 15 May`.
const LIST_MAX: usize = 8;

/// A day as a text names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Day {
    /// The year; `None` where the text doesn't say it.
    pub(crate) year: Option<u16>,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
}

impl Day {
    fn new(year: Option<u16>, month: u16, day: u16) -> Option<Self> {
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && year.is_none_or(|year| (1000..=9999).contains(&year));
        let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
        fits.then_some(Self { year, month, day })
    }

    /// Whether who names `self` may mean `other`: a day without a year is one of any year.
    pub(crate) fn may_be(self, other: Self) -> bool {
        self.month == other.month && self.day == other.day && (self.year.is_none() || self.year == other.year)
    }

    /// As ISO 8601 writes it; `None` without a year.
    pub(crate) fn iso(self) -> Option<String> {
        self.year.map(|year| format!("{year:04}-{:02}-{:02}", self.month, self.day))
    }
}

/// What a text is made of, as far as days are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A number, and how many digits it has.
    Number(u16, usize),
    /// The name of a month.
    Month(u16),
    /// A word or mark that joins the days of a list: `to`, `and`, `the`, a comma.
    Joins,
    /// What joins a day and its month: `of`.
    Of,
    /// Or a hyphen, which joins days as well.
    Hyphen,
    /// Anything else.
    Other,
}

/// The days that a text names: `2024-05-13`, `13.5.2024`, `May 13th, 2024`, `from the 13th to the 17th of May`. Of days and months in figures
/// whose order nobody can tell, such as `5/6/2024`, both readings count. Months are read in English.
pub(crate) fn days(text: &str) -> Vec<Day> {
    let mut found = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\'')) {
        in_figures(word, &mut found);
    }
    in_words(&tokens(text), &mut found);
    found.truncate(DAYS_MAX);
    found
}

/// A day written in figures at the beginning of a word, such as `2024-05-13T10:00`.
fn in_figures(word: &str, found: &mut Vec<Day>) {
    let word = word.trim_end_matches(['.', ':', '!', '?']);
    let Some(mark) = word.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, '-' | '/' | '.')) else { return };
    let mut parts = word.splitn(3, mark);
    let (Some(first), Some(second), Some(third)) = (parts.next(), parts.next(), parts.next()) else { return };
    // Behind the day may stand a time.
    let end = third.find(|c: char| !c.is_ascii_digit()).unwrap_or(third.len());
    let (third, rest) = third.split_at(end);
    if rest.starts_with(|c: char| c != 'T' && c != 't') {
        return;
    }
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() <= 4);
    let (Some(a), Some(b), Some(c)) = (number(first), number(second), number(third)) else { return };
    if first.len() == 4 {
        found.extend(Day::new(Some(a), b, c));
    } else if third.len() == 4 {
        found.extend(Day::new(Some(c), b, a));
        if a != b {
            found.extend(Day::new(Some(c), a, b));
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| if first.is_ascii_digit() { c.is_ascii_digit() } else { c.is_alphabetic() };
        let end = if first.is_ascii_digit() || first.is_alphabetic() {
            rest.find(|c: char| !same(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        if first.is_ascii_digit() {
            let ordinal = ["st", "nd", "rd", "th"].iter().find(|end| {
                rest.get(..2).is_some_and(|next| next.eq_ignore_ascii_case(end))
                    && !rest.get(2..).is_some_and(|next| next.starts_with(char::is_alphanumeric))
            });
            if ordinal.is_some() {
                rest = rest.get(2..).unwrap_or_default();
            }
            tokens.push(word.parse().map_or(Token::Other, |number| Token::Number(number, word.len())));
        } else if first.is_alphabetic() {
            tokens.push(month(word).map_or_else(|| joining(word), Token::Month));
        } else if matches!(first, '-' | '\u{2013}' | '\u{2014}') {
            tokens.push(Token::Hyphen);
        } else if matches!(first, ',' | '&' | '.') {
            tokens.push(Token::Joins);
        } else if !first.is_whitespace() {
            tokens.push(Token::Other);
        }
    }
    tokens
}

fn joining(word: &str) -> Token {
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    match ["to", "and", "or", "the", "until", "till", "through"].into_iter().any(is) {
        true => Token::Joins,
        false if is("of") => Token::Of,
        false => Token::Other,
    }
}

fn month(word: &str) -> Option<u16> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let word = word.to_ascii_lowercase();
    let at = MONTHS.iter().position(|name| *name == word || (word.len() == 3 && name.starts_with(&word)));
    let at = at.or_else(|| (word == "sept").then_some(8))?;
    u16::try_from(at + 1).ok()
}

/// Days around the names of months: of a list before them, as in `13th of May`, or behind, as in `May 13`, with the year that follows.
fn in_words(tokens: &[Token], found: &mut Vec<Day>) {
    for (at, token) in tokens.iter().enumerate() {
        let Token::Month(month) = token else { continue };
        let (before, after) = (tokens.get(..at).unwrap_or_default(), tokens.get(at + 1..).unwrap_or_default());
        let (behind, year) = list(after.iter());
        let written_first = matches!(after, [Token::Number(_, 1 | 2), ..] | [Token::Joins, Token::Number(_, 1 | 2), ..])
            && !matches!(before, [.., Token::Number(..)] | [.., Token::Number(..), Token::Of]);
        let days = match before {
            _ if written_first => behind,
            // In `May 13 to June` the 13 isn't June's.
            [.., Token::Number(..)] | [.., Token::Number(..), Token::Of | Token::Hyphen] => list(before.iter().rev()).0,
            _ => continue,
        };
        found.extend(days.into_iter().filter_map(|day| Day::new(year, *month, day)));
        if found.len() > DAYS_MAX {
            return;
        }
    }
}

/// The days of a list that begins here, and the year that ends it.
fn list<'a>(tokens: impl Iterator<Item = &'a Token>) -> (Vec<u16>, Option<u16>) {
    let (mut days, mut year) = (Vec::new(), None);
    let mut joined = 0;
    for token in tokens {
        match token {
            Token::Joins | Token::Of | Token::Hyphen if joined < 3 => joined += 1,
            Token::Number(number, 4) => {
                year = Some(*number);
                break;
            }
            Token::Number(number, 1 | 2) if days.len() < LIST_MAX && (days.is_empty() || joined > 0) => {
                days.push(*number);
                joined = 0;
            }
            _ => break,
        }
    }
    (days, year)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let mut found: Vec<String> =
            days(text).iter().map(|day| day.iso().unwrap_or_else(|| format!("--{:02}-{:02}", day.month, day.day))).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_day_is_one_however_it_is_written() {
        for text in [
            "on 2024-05-13.",
            "at 2024-05-13T10:00:00Z",
            "13.05.2024",
            "on 13/5/2024",
            "May 13, 2024",
            "May 13th 2024",
            "the 13th of May, 2024",
            "13 May 2024",
            "13-MAY-2024",
        ] {
            assert_eq!(named(text), ["2024-05-13"], "{text}");
        }
        assert_eq!(named("on May 13th at 10:00"), ["--05-13"]);
    }

    #[test]
    fn lists_and_ranges_name_each_day_that_they_say() {
        assert_eq!(named("from the 13th to the 17th of May 2024"), ["2024-05-13", "2024-05-17"]);
        assert_eq!(named("May 13-17, 2024"), ["2024-05-13", "2024-05-17"]);
        assert_eq!(named("13, 14 and 15 Sept"), ["--09-13", "--09-14", "--09-15"]);
        assert_eq!(named("June 28 to July 3, 2024"), ["--06-28", "2024-07-03"]);
        assert_eq!(named("from 28 June 2024 to 3 July 2024"), ["2024-06-28", "2024-07-03"]);
        assert_eq!(named("between 2024-11-30 and 2024-12-02"), ["2024-11-30", "2024-12-02"]);
    }

    #[test]
    fn both_readings_count_where_nobody_can_tell() {
        assert_eq!(named("5/6/2024"), ["2024-05-06", "2024-06-05"]);
        assert_eq!(named("5/13/2024"), ["2024-05-13"]);
    }

    #[test]
    fn what_is_no_day_names_none() {
        for text in
            ["", "may I have 13?", "version 1.2.2024.3", "room 13", "10.0.0.1", "2024-13-40", "45 May", "in May 2024", "8,000"]
        {
            assert_eq!(named(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_day_without_a_year_is_one_of_any() {
        let day = |year| Day { year, month: 5, day: 13 };
        assert!(day(None).may_be(day(Some(2024))) && day(Some(2024)).may_be(day(Some(2024))));
        assert!(!day(Some(2023)).may_be(day(Some(2024))) && !day(Some(2024)).may_be(day(None)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 512, ..Default::default() })]

        /// Nothing that anybody writes is more than a day, and a day that is written in a text is found wherever it stands.
        #[test]
        fn any_text_names_days_or_none(
            before in "[a-z0-9 ,.:/-]{0,20}|\\PC{0,20}", after in "[a-z0-9 ,.:/-]{0,20}|\\PC{0,20}",
            year in 1000_u16..=9999, month in 1_u8..=12, day in 1_u8..=31,
        ) {
            let wanted = Day { year: Some(year), month, day };
            let found = days(&format!("{before} {} {after}", wanted.iso().unwrap_or_default()));
            proptest::prop_assert!(found.contains(&wanted));
            proptest::prop_assert!(found.iter().all(|day| (1..=12).contains(&day.month) && (1..=31).contains(&day.day)));
        }
    }
}
