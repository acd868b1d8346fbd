//! What a person doesn't see and a model does: found, and taken out of the form that the other detectors read.
//!
//! Source: Unicode 16 (UTS 39 confusables and UAX 9, the tag block E0000–E007F, variation selectors), ECMA-48 escape sequences.

use std::{borrow::Cow, ops::Range};

use unicode_normalization::UnicodeNormalization;

/// The kinds of hidden text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HiddenText {
    /// Tag characters: invisible ASCII.
    UnicodeTags,
    /// Invisible characters inside of words, or many of them.
    ZeroWidth,
    /// Variation selectors that carry data.
    VariationSelectors,
    /// Directional controls where nothing is written from right to left, or overrides.
    BidiControl,
    /// Terminal sequences beyond colours.
    AnsiEscape,
    /// Control characters that erase.
    ControlCharacter,
    /// Letters of another script that look like Latin ones.
    Homoglyph,
}

impl HiddenText {
    /// The name under which it is reported.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnicodeTags => "UNICODE_TAGS",
            Self::ZeroWidth => "ZERO_WIDTH",
            Self::VariationSelectors => "VARIATION_SELECTORS",
            Self::BidiControl => "BIDI_CONTROL",
            Self::AnsiEscape => "ANSI_ESCAPE",
            Self::ControlCharacter => "CONTROL_CHARACTER",
            Self::Homoglyph => "HOMOGLYPH",
        }
    }
}

/// One piece of hidden text and where it stands in the text as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// What it is.
    pub kind: HiddenText,
    /// Its bytes.
    pub range: Range<usize>,
}

/// A stretch of the text that reads differently from how it is stored.
struct Change {
    range: Range<usize>,
    reads: String,
}

/// A text as a model may read it, with the way back to the text as given.
pub struct Normal<'t> {
    /// The readable form: borrowed where nothing is hidden.
    pub text: Cow<'t, str>,
    /// What was hidden.
    pub hidden: Vec<Hidden>,
    /// What the hidden characters say, where they say something: apart from the text, so that it splits and hides nothing there.
    pub said: Vec<(Range<usize>, String)>,
    /// Where each change stands in the readable form.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl<'t> Normal<'t> {
    /// Reads a text.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let mut reader =
            Reader { text, changes: Vec::new(), hidden: Vec::new(), said: Vec::new(), word: 0..0, word_changes: false };
        let mut at = 0;
        while let Some(next) = suspect(bytes, at) {
            at = reader.step(next).max(next + 1);
        }
        reader.finish()
    }

    /// A text in which nothing is known to be hidden.
    pub(crate) fn plain(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), hidden: Vec::new(), said: Vec::new(), places: Vec::new() }
    }

    /// The bytes of the text as given that a range of the readable form stands for.
    #[must_use]
    pub fn original(&self, range: &Range<usize>) -> Range<usize> {
        if self.places.is_empty() {
            return range.clone();
        }
        let start = self.back(range.start, false);
        let end = if range.end > range.start { self.back(range.end - 1, true) } else { start };
        start..end.max(start)
    }

    /// One offset; with `end`, the offset just after the byte.
    fn back(&self, offset: usize, end: bool) -> usize {
        let after = self.places.partition_point(|(reads, _)| reads.start <= offset);
        let Some((reads, stands)) = after.checked_sub(1).and_then(|index| self.places.get(index)) else {
            return offset + usize::from(end);
        };
        if offset < reads.end {
            return if end { stands.end } else { stands.start };
        }
        stands.end + (offset - reads.end) + usize::from(end)
    }
}

/// The next byte that isn't plain: not ASCII, or a control character that hides.
pub(crate) fn suspect(bytes: &[u8], from: usize) -> Option<usize> {
    let plain = |b: u8| b & 0x80 == 0 && b != 0x1b && b != 0x08 && b != 0x7f;
    let mut at = from;
    let rest = bytes.get(from..)?;
    for block in rest.chunks(128) {
        // Without a branch in it, the compiler makes this loop wide.
        let strange =
            block.iter().fold(0u8, |all, &b| all | (b & 0x80) | u8::from(b == 0x1b) | u8::from(b == 0x08) | u8::from(b == 0x7f));
        if strange != 0 {
            return block.iter().position(|&b| !plain(b)).map(|offset| at + offset);
        }
        at += block.len();
    }
    None
}

struct Reader<'t> {
    text: &'t str,
    changes: Vec<Change>,
    hidden: Vec<Hidden>,
    said: Vec<(Range<usize>, String)>,
    /// The word looked at last and whether its look-alikes are read as Latin.
    word: Range<usize>,
    word_changes: bool,
}

impl<'t> Reader<'t> {
    fn char_at(&self, at: usize) -> Option<char> {
        self.text.get(at..)?.chars().next()
    }

    fn char_before(&self, at: usize) -> Option<char> {
        self.text.get(..at)?.chars().next_back()
    }

    fn found(&mut self, kind: HiddenText, range: Range<usize>) {
        if let Some(last) = self.hidden.last_mut()
            && last.kind == kind
            && range.start <= last.range.end + 1
        {
            last.range.end = last.range.end.max(range.end);
            return;
        }
        self.hidden.push(Hidden { kind, range });
    }

    fn change(&mut self, range: Range<usize>, reads: String) {
        self.changes.push(Change { range, reads });
    }

    /// Takes hidden characters out and keeps what they say.
    fn say(&mut self, range: Range<usize>, says: String) {
        if !says.is_empty() {
            self.said.push((range.clone(), says));
        }
        self.change(range, String::new());
    }

    /// Looks at what begins at a byte and says where to go on.
    fn step(&mut self, at: usize) -> usize {
        let Some(c) = self.char_at(at) else { return at + 1 };
        let end = at + c.len_utf8();
        match c {
            '\u{1b}' | '\u{9b}' => self.escape(at, c),
            '\u{8}' | '\u{7f}' => {
                self.found(HiddenText::ControlCharacter, at..end);
                self.change(at..end, String::new());
                end
            }
            '\u{e0000}'..='\u{e007f}' => self.tags(at),
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => self.selectors(at),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                if matches!(c, '\u{202d}' | '\u{202e}') || !self.near_right_to_left(at) {
                    self.found(HiddenText::BidiControl, at..end);
                }
                self.change(at..end, String::new());
                end
            }
            _ if is_invisible(c) => self.invisible(at),
            _ if c.is_ascii() => end,
            _ => self.letter(at, c),
        }
    }

    /// ECMA-48 control sequences and operating system commands.
    fn escape(&mut self, at: usize, c: char) -> usize {
        let bytes = self.text.as_bytes();
        let get = |i: usize| bytes.get(i).copied().unwrap_or(0);
        let after = at + c.len_utf8();
        let (mut end, mut colours) = (after, false);
        if c == '\u{9b}' || get(after) == b'[' {
            let first = if c == '\u{9b}' { after } else { after + 1 };
            end = first;
            while end < first + 64 && matches!(get(end), 0x20..=0x3f) {
                end += 1;
            }
            let parameters = self.text.get(first..end).unwrap_or_default();
            // Selecting colours is what programs do; concealing (8) isn't.
            colours = get(end) == b'm' && !parameters.split(';').any(|p| p == "8");
            end += usize::from(matches!(get(end), 0x40..=0x7e));
        } else if get(after) == b']' {
            end = after + 1;
            while end < bytes.len() && end < after + 4096 && get(end) != 0x07 && get(end) != 0x1b {
                end += 1;
            }
            end += if get(end) == 0x07 { 1 } else { 2 * usize::from(get(end) == 0x1b && get(end + 1) == b'\\') };
        } else if get(after).is_ascii_graphic() {
            end = after + 1;
        }
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let end = end.min(self.text.len());
        if !colours {
            self.found(HiddenText::AnsiEscape, at..end);
        }
        self.change(at..end, String::new());
        end
    }

    /// A run of tag characters, read as the ASCII that it mirrors; a flag (black flag, tags, cancel) is none.
    fn tags(&mut self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let run: Vec<char> = rest.chars().take_while(|c| matches!(c, '\u{e0000}'..='\u{e007f}')).collect();
        let end = at + run.len() * 4;
        let flag = self.char_before(at) == Some('\u{1f3f4}') && run.len() <= 8 && run.last() == Some(&'\u{e007f}');
        if !flag {
            let says: String =
                run.iter().filter_map(|&c| char::from_u32(u32::from(c) - 0xe_0000)).filter(|c| !c.is_control()).collect();
            self.found(HiddenText::UnicodeTags, at..end);
            self.say(at..end, says);
        }
        end
    }

    /// Variation selectors: one after a character is a style, several are bytes.
    fn selectors(&mut self, at: usize) -> usize {
        let byte = |c: char| match u32::from(c) {
            code @ 0xfe00..=0xfe0f => u8::try_from(code - 0xfe00).ok(),
            code @ 0xe_0100..=0xe_01ef => u8::try_from(code - 0xe_0100 + 16).ok(),
            _ => None,
        };
        let (mut end, mut data) = (at, Vec::new());
        for c in self.text.get(at..).unwrap_or_default().chars() {
            let Some(b) = byte(c) else { break };
            data.push(b);
            end += c.len_utf8();
        }
        let mut says = String::new();
        if data.len() > 1 {
            self.found(HiddenText::VariationSelectors, at..end);
            if data.len() >= 4 && data.iter().all(|b| b.is_ascii() && !b.is_ascii_control()) {
                says = String::from_utf8(data).unwrap_or_default();
            }
        }
        self.say(at..end, says);
        end
    }

    /// Characters without width: joiners between letters of scripts that need them stay.
    fn invisible(&mut self, at: usize) -> usize {
        let (mut end, mut count) = (at, 0);
        let mut soft = true;
        let mut joiner = true;
        for c in self.text.get(at..).unwrap_or_default().chars().take_while(|&c| is_invisible(c)) {
            end += c.len_utf8();
            count += 1;
            soft &= matches!(c, '\u{ad}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
            joiner &= matches!(c, '\u{200c}' | '\u{200d}');
        }
        let (before, after) = (self.char_before(at), self.char_at(end));
        let wide = |c: Option<char>| c.is_some_and(|c| c > '\u{5ff}');
        if joiner && count == 1 && (wide(before) || before == Some('\u{fe0f}')) && wide(after) {
            return end;
        }
        let mark = at == 0 && end == 3;
        let inside = before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric);
        if !mark && !soft && (inside || count > 2) {
            self.found(HiddenText::ZeroWidth, at..end);
        }
        self.change(at..end, String::new());
        end
    }

    fn near_right_to_left(&self, at: usize) -> bool {
        let rtl = |c: char| matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}');
        let before = self.text.get(..at).unwrap_or_default().chars().rev().take(80).any(rtl);
        before || self.text.get(at..).unwrap_or_default().chars().take(80).any(rtl)
    }

    /// Letters that look like others: styled forms by NFKC, look-alikes where they are mixed with Latin.
    fn letter(&mut self, at: usize, c: char) -> usize {
        let end = at + c.len_utf8();
        if let Some(latin) = look_alike(c) {
            if !self.word.contains(&at) {
                self.word = word_around(self.text, at);
                self.word_changes = self.is_disguised();
            }
            if self.word_changes {
                self.found(HiddenText::Homoglyph, at..end);
                self.change(at..end, latin.to_string());
            }
            return end;
        }
        let styled = matches!(c, '\u{1d400}'..='\u{1d7ff}');
        if styled
            || matches!(c, '\u{2100}'..='\u{214f}' | '\u{2460}'..='\u{24ff}' | '\u{ff01}'..='\u{ff5e}' | '\u{fb00}'..='\u{fb06}' | '\u{1f130}'..='\u{1f189}' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}')
        {
            let reads: String = c.nfkc().collect();
            // The sign for `No` stays: as letters it would hide the number after it.
            if reads.is_ascii() && !(reads.len() > 1 && matches!(c, '\u{2100}'..='\u{214f}')) {
                if styled {
                    self.found(HiddenText::Homoglyph, at..end);
                }
                self.change(at..end, reads);
            }
        }
        end
    }

    /// Whether the current word mixes Latin with look-alikes, or is made of them alone amid Latin words.
    fn is_disguised(&self) -> bool {
        let word = self.text.get(self.word.clone()).unwrap_or_default();
        let letters = word.chars().filter(|c| c.is_alphabetic());
        let (mut latin, mut alike, mut other) = (0, 0, 0);
        for c in letters {
            match c {
                _ if c.is_ascii() => latin += 1,
                _ if look_alike(c).is_some() => alike += 1,
                _ => other += 1,
            }
        }
        if latin > 0 {
            return other == 0;
        }
        if other > 0 || alike < 3 {
            return false;
        }
        let before = self.text.get(..self.word.start).unwrap_or_default().chars().rev().find(|c| c.is_alphabetic());
        let after = self.text.get(self.word.end..).unwrap_or_default().chars().find(|c| c.is_alphabetic());
        [before, after].into_iter().flatten().all(|c| c.is_ascii_alphabetic()) && (before.is_some() || after.is_some())
    }

    fn finish(self) -> Normal<'t> {
        if self.changes.is_empty() {
            return Normal { text: Cow::Borrowed(self.text), hidden: self.hidden, said: self.said, places: Vec::new() };
        }
        let mut text = String::with_capacity(self.text.len());
        let (mut places, mut at) = (Vec::with_capacity(self.changes.len()), 0);
        for change in self.changes {
            text.push_str(self.text.get(at..change.range.start).unwrap_or_default());
            let start = text.len();
            text.push_str(&change.reads);
            at = change.range.end;
            places.push((start..text.len(), change.range));
        }
        text.push_str(self.text.get(at..).unwrap_or_default());
        Normal { text: Cow::Owned(text), hidden: self.hidden, said: self.said, places }
    }
}

/// The word around a byte, at most 64 characters to each side.
fn word_around(text: &str, at: usize) -> Range<usize> {
    let inside = |c: &char| c.is_alphanumeric() || is_invisible(*c);
    let left: usize = text.get(..at).unwrap_or_default().chars().rev().take(64).take_while(inside).map(char::len_utf8).sum();
    let right: usize = text.get(at..).unwrap_or_default().chars().take(64).take_while(inside).map(char::len_utf8).sum();
    at - left..at + right
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
            ..='\u{200f}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
    )
}

/// The Latin letter that a Cyrillic, Greek or Armenian one looks like (of UTS 39's confusables, those that fonts draw alike).
fn look_alike(c: char) -> Option<char> {
    const PAIRS: &[(&str, &str)] = &[
        ("аеорсухіјѕһԁԛԝвкмнтгпЅІЈАВЕКМНОРСТХУԚԜҮүӏ", "aeopcyxijshdqwbkmhtrnSIJABEKMHOPCTXYQWYyl"),
        ("αορνικυτχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aopvikutxyABEZHIKMNOPTYX"),
        ("օսցհոՕՍ", "ougho0U"),
    ];
    if !('\u{370}'..='\u{58f}').contains(&c) {
        return None;
    }
    PAIRS.iter().find_map(|(from, to)| from.chars().zip(to.chars()).find(|(other, _)| *other == c).map(|(_, latin)| latin))
}
