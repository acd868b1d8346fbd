//! Names and street addresses, by form and two short lists: enough for the common cases in English, far from all.

use std::ops::Range;

use super::{Cue, Hit, PiiType, byte, run};

/// First names that are rarely another word, of many languages.
pub(super) const FIRST_NAMES: &[&str] = &[
    "aaron",
    "abigail",
    "adam",
    "adrian",
    "ahmed",
    "aisha",
    "alan",
    "albert",
    "alejandro",
    "alex",
    "alexander",
    "alexandra",
    "alice",
    "alison",
    "amanda",
    "amelia",
    "amy",
    "ana",
    "andrea",
    "andreas",
    "andrew",
    "angela",
    "anita",
    "anna",
    "anne",
    "anthony",
    "antonio",
    "ashley",
    "barbara",
    "ben",
    "benjamin",
    "beth",
    "brandon",
    "brenda",
    "brian",
    "bruno",
    "camila",
    "carla",
    "carlos",
    "carol",
    "caroline",
    "catherine",
    "charles",
    "charlotte",
    "chen",
    "chloe",
    "chris",
    "christian",
    "christina",
    "christine",
    "christopher",
    "claire",
    "claudia",
    "cynthia",
    "daniel",
    "daniela",
    "david",
    "deborah",
    "denise",
    "dennis",
    "diana",
    "diane",
    "diego",
    "dmitri",
    "donald",
    "donna",
    "dorothy",
    "edward",
    "elena",
    "elizabeth",
    "ellen",
    "emily",
    "emma",
    "eric",
    "erik",
    "erin",
    "eva",
    "evelyn",
    "fatima",
    "felix",
    "fernando",
    "fiona",
    "francesca",
    "francis",
    "frank",
    "gary",
    "george",
    "giulia",
    "gregory",
    "hannah",
    "hans",
    "harold",
    "heather",
    "helen",
    "henry",
    "hiroshi",
    "ian",
    "ibrahim",
    "ingrid",
    "isabella",
    "ivan",
    "jacob",
    "jacqueline",
    "james",
    "jane",
    "janet",
    "jason",
    "javier",
    "jean",
    "jeffrey",
    "jennifer",
    "jeremy",
    "jessica",
    "joan",
    "joanna",
    "johan",
    "john",
    "johnny",
    "jonathan",
    "jorge",
    "joseph",
    "joshua",
    "juan",
    "judith",
    "julia",
    "julian",
    "julie",
    "justin",
    "karen",
    "karl",
    "katherine",
    "kathleen",
    "kenneth",
    "kevin",
    "kimberly",
    "klaus",
    "kumar",
    "kyle",
    "lars",
    "laura",
    "lauren",
    "lawrence",
    "leonardo",
    "linda",
    "lisa",
    "louis",
    "louise",
    "lucas",
    "lucia",
    "luis",
    "luca",
    "maria",
    "marco",
    "margaret",
    "marie",
    "mario",
    "marta",
    "martha",
    "martin",
    "mary",
    "matthew",
    "mei",
    "megan",
    "melissa",
    "mia",
    "michael",
    "michelle",
    "miguel",
    "mohamed",
    "mohammed",
    "monica",
    "muhammad",
    "nancy",
    "naomi",
    "natalie",
    "natasha",
    "nathan",
    "nicholas",
    "nicole",
    "nina",
    "noah",
    "nora",
    "oliver",
    "olivia",
    "omar",
    "oscar",
    "pamela",
    "patricia",
    "patrick",
    "paul",
    "paula",
    "pedro",
    "peter",
    "philip",
    "pierre",
    "priya",
    "rachel",
    "rafael",
    "ralph",
    "raymond",
    "rebecca",
    "ricardo",
    "richard",
    "robert",
    "roberto",
    "roger",
    "ronald",
    "rosa",
    "russell",
    "ruth",
    "ryan",
    "samantha",
    "samuel",
    "sandra",
    "sarah",
    "scott",
    "sebastian",
    "sergei",
    "sharon",
    "shirley",
    "simon",
    "sofia",
    "sophia",
    "sophie",
    "stefan",
    "stephanie",
    "stephen",
    "steven",
    "susan",
    "svetlana",
    "teresa",
    "theresa",
    "thomas",
    "timothy",
    "tyler",
    "valentina",
    "vanessa",
    "victoria",
    "vincent",
    "walter",
    "wei",
    "william",
    "xavier",
    "yuki",
    "yusuf",
    "zachary",
    "zoe",
];

/// Kinds of streets after a name.
pub(super) const STREETS: &[&str] = &[
    "street",
    "st.",
    "st,",
    "st ",
    "avenue",
    "ave",
    "ave.",
    "road",
    "rd.",
    "rd,",
    "rd ",
    "boulevard",
    "blvd",
    "lane",
    "ln.",
    "ln,",
    "drive",
    "dr.",
    "dr,",
    "court",
    "ct.",
    "ct,",
    "place",
    "pl.",
    "square",
    "terrace",
    "parkway",
    "pkwy",
    "highway",
    "hwy",
    "circle",
    "way",
    "close",
    "crescent",
    "trail",
];

/// A word that begins with a capital: where it ends.
fn capitalized(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let mut letters = rest.chars();
    letters.next().filter(|c| c.is_uppercase())?;
    let length: usize =
        rest.chars().take(24).take_while(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-')).map(char::len_utf8).sum();
    let word = rest.get(..length)?.trim_end_matches(['\'', '’', '-']);
    let lower = word.chars().skip(1).any(char::is_lowercase);
    (word.chars().count() >= 2 && lower).then(|| at + word.len())
}

/// A name after a title or an introduction, or one that begins with a common first name.
pub(super) fn name(text: &str, cue_range: Range<usize>, cue: Cue) -> Option<Hit> {
    const NOT: &[&str] = &[
        "The",
        "This",
        "That",
        "And",
        "For",
        "Is",
        "Not",
        "Sir",
        "Madam",
        "Team",
        "All",
        "Customer",
        "Everyone",
        "Colleagues",
        "Friends",
    ];
    let bytes = text.as_bytes();
    let (start, mut end, mut score);
    if cue == Cue::FirstName {
        start = cue_range.start;
        end = capitalized(text, start).filter(|&end| end == cue_range.end)?;
        score = 0.55;
    } else {
        let skip = |b: u8| matches!(b, b' ' | b'.' | b':' | b'"' | b'=' | b'\'' | b',') || cue == Cue::Introduction && b == b'\n';
        let mut at = cue_range.end + run(bytes, cue_range.end, 4, skip);
        if text.get(at..).is_some_and(|rest| rest.starts_with("is ")) {
            at += 3;
        }
        if at == cue_range.end && byte(bytes, at - 1).is_ascii_alphabetic() {
            return None;
        }
        // "Dr. " of a street's end has no name behind it, and a title is written with a capital.
        if cue == Cue::Title && !byte(bytes, cue_range.start).is_ascii_uppercase() {
            return None;
        }
        start = at;
        end = capitalized(text, start)?;
        if NOT.contains(&text.get(start..end)?) {
            return None;
        }
        score = if cue == Cue::Title { 0.75 } else { 0.7 };
    }
    // Further names and initials.
    for _ in 0..3 {
        let space = end + run(bytes, end, 1, |b| b == b' ');
        let initial = byte(bytes, space).is_ascii_uppercase() && byte(bytes, space + 1) == b'.';
        let next = if initial { Some(space + 2) } else { capitalized(text, space) };
        let Some(next) = next.filter(|_| space > end) else { break };
        end = next;
        score = (score + 0.15_f32).min(0.85);
    }
    if byte(bytes, end - 1) == b'.' {
        end -= 1;
    }
    Some(Hit::new(start..end, PiiType::Name, score))
}

/// A number, one to four words and a kind of street; what follows up to a postal code belongs to it.
pub(super) fn address(text: &str, cue_range: Range<usize>, cue: Cue) -> Option<Hit> {
    let bytes = text.as_bytes();
    if cue == Cue::Box {
        let at = cue_range.end + run(bytes, cue_range.end, 2, |b| matches!(b, b' ' | b'#'));
        let length = run(bytes, at, 7, |b| b.is_ascii_digit());
        return (length > 0).then(|| Hit::new(cue_range.start..tail(text, at + length), PiiType::Address, 0.85));
    }
    let plain = byte(bytes, cue_range.end - 1).is_ascii_alphabetic();
    if plain && byte(bytes, cue_range.end).is_ascii_alphabetic() || !byte(bytes, cue_range.start).is_ascii_uppercase() {
        return None;
    }
    let mut start = cue_range.start;
    let mut words = 0;
    loop {
        let rest = text.get(..start)?;
        let trimmed = rest.strip_suffix(' ')?;
        let word_start = trimmed
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '.' | '-' | '’')))
            .map_or(0, |at| at + trimmed.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let word = trimmed.get(word_start..)?;
        let number = word.bytes().next().is_some_and(|b| b.is_ascii_digit());
        if number && words > 0 && word.len() <= 7 && !word.contains('.') {
            start = word_start;
            break;
        }
        let ordinal = number && (word.ends_with("th") || word.ends_with("st") || word.ends_with("nd") || word.ends_with("rd"));
        let named = word.chars().next().is_some_and(char::is_uppercase) || ordinal;
        words += 1;
        if !named || words > 4 || cue_range.start - word_start > 60 {
            return None;
        }
        start = word_start;
    }
    let end = cue_range.end - usize::from(matches!(byte(bytes, cue_range.end - 1), b',' | b' '));
    Some(Hit::new(start..tail(text, end), PiiType::Address, 0.7))
}

/// How far an address goes on: up to four short parts after commas, the last of which may be a postal code.
fn tail(text: &str, end: usize) -> usize {
    let bytes = text.as_bytes();
    let mut last = end;
    for _ in 0..4 {
        let comma = last + run(bytes, last, 1, |b| matches!(b, b',' | b'.'));
        let at = comma + run(bytes, comma, 1, |b| b == b' ');
        if at == last {
            break;
        }
        let fits = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '#' | '-' | '.');
        let part: &str =
            text.get(at..).map_or("", |rest| rest.get(..rest.find(|c| !fits(c)).unwrap_or(rest.len())).unwrap_or(""));
        let mut part = part;
        // Only what is written like a place: capitals and numbers.
        let mut length = 0;
        for word in part.split(' ').take(4) {
            let fine = word.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || c == '#');
            if !fine || word.trim_end_matches('.').len() < word.len() && word.len() > 5 {
                break;
            }
            length += word.len() + usize::from(length > 0);
        }
        part = part.get(..length.min(part.len())).unwrap_or("").trim_end_matches(['.', ' ']);
        if part.is_empty() || part.len() > 32 {
            break;
        }
        last = at + part.len();
    }
    last
}
