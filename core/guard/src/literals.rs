//! Many words and shapes in one pass: a filter over six bytes at a time, a finer one where it hits, then an exact look.
//!
//! For each place, six table look-ups that don't wait for each other are combined by AND; what is left is the set of the shapes and words
//! that may begin there. Clean text costs a few cycles a byte, whatever the number of words, if what isn't there is seldom looked for
//! closely: therefore the second filter, on the bytes around and on whether any word begins with these very letters.

/// How many words share the filter's bits.
const BUCKETS: u32 = 48;
/// The first of the bits that are left for words.
const FIRST: u32 = 64 - BUCKETS;
/// How many bytes the filters see: the one before a place, and the first seven.
const WINDOW: usize = 8;
/// How many of the first bytes the first filter sees.
const FRONT: usize = 6;
/// How many marks other than letters and digits may begin something; with more, every place is looked at.
const MARKS: usize = 8;
/// The bits of shapes.
const SHAPES: u64 = (1 << FIRST) - 1;
/// How many lists the words' beginnings are spread over.
const HEADS: usize = 4096;
/// How many bits the set of the words' beginnings has, as a power of two.
const BEGINNING_BITS: u32 = 15;

/// A shape that isn't a word: what may stand before a place and in its first seven bytes.
pub(crate) struct Shape {
    /// What stands before, and then the first seven bytes.
    pub(crate) bytes: [fn(u8) -> bool; WINDOW],
}

/// What stands at a place, or may.
#[derive(Clone, Copy)]
pub(crate) enum Stands<T> {
    /// The bits of the shapes that may begin.
    Shapes(u16),
    /// A word: where it ends and what it stands for.
    Word(usize, T),
}

/// The filter and the words behind it.
pub(crate) struct Literals<T> {
    /// For each of the first bytes, the shapes and buckets of words that it fits.
    masks: Box<[[u64; 256]; FRONT]>,
    /// For the byte before and the seventh, the shapes that it fits.
    around: Box<[[u16; 256]; 2]>,
    /// The hashes of the words' first six letters, of shorter words the first four.
    beginnings: Box<[u64; 1 << (BEGINNING_BITS - 6)]>,
    words: Vec<(Box<[u8]>, T)>,
    heads: Vec<u32>,
    next: Vec<u32>,
    /// The marks that begin something; none if there are too many.
    marks: Option<[u8; MARKS]>,
    /// Whether something begins with a byte beyond ASCII: 1 or 0.
    wide: u8,
}

impl<T: Copy> Literals<T> {
    /// Builds the filter. Words are in lower case, of three bytes or more; a space in one stands for any of space, `_` and `-`.
    pub(crate) fn new(shapes: &[Shape], words: Vec<(Box<[u8]>, T)>) -> Self {
        let mut built = Self {
            masks: Box::new([[0; 256]; FRONT]),
            around: Box::new([[0; 256]; 2]),
            beginnings: Box::new([0; 1 << (BEGINNING_BITS - 6)]),
            words: Vec::with_capacity(words.len()),
            heads: vec![u32::MAX; HEADS],
            next: Vec::new(),
            marks: None,
            wide: 0,
        };
        for (bit, shape) in shapes.iter().enumerate().take(FIRST as usize) {
            let [before, front @ .., seventh] = shape.bytes;
            for (table, fits) in built.masks.iter_mut().zip(front) {
                for (byte, mask) in (0..=u8::MAX).zip(table.iter_mut()) {
                    *mask |= u64::from(fits(byte)) << bit;
                }
            }
            for (table, fits) in built.around.iter_mut().zip([before, seventh]) {
                for (byte, mask) in (0..=u8::MAX).zip(table.iter_mut()) {
                    *mask |= u16::from(fits(byte)) << bit;
                }
            }
        }
        for (word, value) in words {
            if word.len() >= 3 {
                built.add(word, value);
            }
        }
        let [first, ..] = &*built.masks;
        let begins = |range: std::ops::RangeInclusive<u8>| {
            range.filter(|byte| first.get(usize::from(*byte)).is_some_and(|mask| *mask != 0))
        };
        let marks: Vec<u8> = begins(0..=0x7f).filter(|byte| !byte.is_ascii_alphanumeric()).collect();
        built.wide = u8::from(begins(0x80..=0xff).next().is_some());
        // Unused places hold a byte that stands in no UTF-8 text.
        let mut held = [0xff; MARKS];
        if marks.len() <= MARKS {
            held.iter_mut().zip(&marks).for_each(|(place, &mark)| *place = mark);
            built.marks = Some(held);
        }
        built
    }

    fn add(&mut self, word: Box<[u8]>, value: T) {
        let length = if word.len() < 6 { 4 } else { 6 };
        let mut beginnings = vec![0];
        for place in 0..length {
            let folds: Vec<u64> = match word.get(place) {
                Some(&letter) => forms(letter).into_iter().map(|byte| u64::from(byte & 31)).collect(),
                // A word of three letters goes on with anything.
                None => (0..32).collect(),
            };
            beginnings = beginnings.iter().flat_map(|all| folds.iter().map(move |fold| all | fold << (place * 8))).collect();
        }
        for beginning in beginnings {
            let (index, bit) = hashed(beginning);
            self.beginnings.iter_mut().skip(index).take(1).for_each(|bits| *bits |= bit);
        }
        let [a, b, c] = [0, 1, 2].map(|i| word.get(i).copied().unwrap_or(0));
        // Words with the same first letters share a bit: the filter stays narrow.
        let bucket = FIRST + (u32::from(a) * 7 + u32::from(b) / 4) % BUCKETS;
        for (place, table) in self.masks.iter_mut().enumerate() {
            let forms = word.get(place).map_or_else(|| (0..=u8::MAX).collect(), |&letter| forms(letter));
            for byte in forms {
                if let Some(mask) = table.get_mut(usize::from(byte)) {
                    *mask |= 1 << bucket;
                }
            }
        }
        let index = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push((word, value));
        if let Some(slot) = self.heads.get_mut(head(a, b, c)) {
            self.next.push(*slot);
            *slot = index;
        }
    }

    /// The first filter: what may begin just after the first byte of a window.
    #[inline]
    fn front(&self, window: [u8; WINDOW]) -> u64 {
        let get = |table: &[u64; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
        let [one, two, three, four, five, six] = &*self.masks;
        let [_, a, b, c, d, e, f, _] = window;
        get(one, a) & get(two, b) & get(three, c) & get(four, d) & get(five, e) & get(six, f)
    }

    /// The second filter: the shapes that may still begin, and whether a word may.
    fn closer(&self, window: [u8; WINDOW], mask: u64) -> (u16, bool) {
        let get = |table: &[u16; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
        let [before, seventh] = &*self.around;
        let [a, .., b] = window;
        let shapes = u16::try_from(mask & SHAPES).unwrap_or(0) & get(before, a) & get(seventh, b);
        let letters = u64::from_le_bytes(window) >> 8 & 0x1f1f_1f1f_1f1f;
        let begins = |beginning: u64| {
            let (index, bit) = hashed(beginning);
            self.beginnings.get(index).copied().unwrap_or(0) & bit
        };
        // What begins with a letter or digit begins where a word does, not within.
        let [_, first, ..] = window;
        let within = a.is_ascii_alphanumeric() && first.is_ascii_alphanumeric();
        (shapes, mask & !SHAPES != 0 && !within && begins(letters) | begins(letters & 0xffff_ffff) != 0)
    }

    /// Calls `each` with each place where shapes may begin, and with each word that stands in a text, from left to right.
    #[inline]
    pub(crate) fn scan(&self, bytes: &[u8], mut each: impl FnMut(usize, Stands<T>)) {
        let mut hit = |at: usize, window: [u8; WINDOW], mask: u64| {
            let (shapes, begins) = self.closer(window, mask);
            if shapes != 0 {
                each(at, Stands::Shapes(shapes));
            }
            if begins {
                self.words_at(bytes, at, &mut each);
            }
        };
        // The text stands between line ends.
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(b'\n');
        let cut = |at: usize| {
            let mut window = [b'\n'; WINDOW];
            window.iter_mut().enumerate().for_each(|(i, place)| *place = (at + i).checked_sub(1).map_or(b'\n', byte));
            (window, self.front(window))
        };
        if !bytes.is_empty() {
            let (window, mask) = cut(0);
            hit(0, window, mask);
        }
        let (mut at, last) = (1, bytes.len().saturating_sub(WINDOW - 2).max(1));
        while at < last {
            let mut starts = match bytes.get(at..).and_then(|rest| rest.first_chunk::<64>()) {
                Some(block) => self.starts(byte(at - 1), block),
                None => u64::MAX,
            };
            if let Some(beyond) = (at + 64).checked_sub(last) {
                starts &= u64::MAX.checked_shr(u32::try_from(beyond).unwrap_or(64)).unwrap_or(0);
            }
            while starts != 0 {
                let place = at + starts.trailing_zeros() as usize;
                starts &= starts - 1;
                if let Some(&window) = bytes.get(place - 1..).and_then(|rest| rest.first_chunk::<WINDOW>()) {
                    let mask = self.front(window);
                    if mask != 0 {
                        hit(place, window, mask);
                    }
                }
            }
            at += 64;
        }
        for at in last..bytes.len() {
            let (window, mask) = cut(at);
            hit(at, window, mask);
        }
    }

    /// The places of a block where anything may begin: the first letter or digit after something else, and the marks that begin a shape or
    /// a word. Loops without branches, which the compiler makes wide.
    #[inline]
    fn starts(&self, before: u8, block: &[u8; 64]) -> u64 {
        let letters = places(block, alphanumeric);
        let earlier = letters << 1 | u64::from(before.is_ascii_alphanumeric());
        let Some(marks) = self.marks else { return !(letters & earlier) };
        let mut flags = [0; 64];
        for (flag, &b) in flags.iter_mut().zip(block) {
            *flag = marks.iter().fold(0, |any, &mark| any | u8::from(b == mark)) | (b >> 7 & self.wide);
        }
        letters & !earlier | packed(&flags)
    }

    fn words_at(&self, bytes: &[u8], at: usize, each: &mut impl FnMut(usize, Stands<T>)) {
        let Some(&[a, b, c]) = bytes.get(at..at + 3).and_then(|three| three.first_chunk::<3>()) else { return };
        let mut index = self.heads.get(head(a, b, c)).copied().unwrap_or(u32::MAX);
        while let Some((literal, value)) = self.words.get(index as usize) {
            let stands = bytes.get(at..at + literal.len());
            if stands.is_some_and(|stands| stands.iter().zip(literal).all(|(&byte, &letter)| same(letter, byte))) {
                each(at, Stands::Word(at + literal.len(), *value));
            }
            index = self.next.get(index as usize).copied().unwrap_or(u32::MAX);
        }
    }
}

/// The places of a block where a byte fits (1, or 0), as bits. What fits must be told without branches: the compiler makes the loop wide.
#[inline]
pub(crate) fn places(block: &[u8; 64], fits: impl Fn(u8) -> u8) -> u64 {
    let mut flags = [0; 64];
    for (flag, &b) in flags.iter_mut().zip(block) {
        *flag = fits(b);
    }
    packed(&flags)
}

/// Whether a byte is a letter or a digit of ASCII, as 1 or 0.
#[inline]
pub(crate) fn alphanumeric(b: u8) -> u8 {
    u8::from(b.wrapping_sub(b'0') < 10) | u8::from((b | 0x20).wrapping_sub(b'a') < 26)
}

/// Sixty-four flags as bits.
fn packed(flags: &[u8; 64]) -> u64 {
    let mut bits = 0;
    for (place, eight) in flags.chunks_exact(8).enumerate() {
        let eight = eight.first_chunk::<8>().map_or(0, |eight| u64::from_le_bytes(*eight));
        // Each flag times its own power of two lands in the highest byte, none in the way of another.
        bits |= (eight.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (place * 8);
    }
    bits
}

/// The place in the set of a beginning: which of its numbers, and the bit in it. A letter is its low five bits, which are the same in both cases.
#[inline]
fn hashed(beginning: u64) -> (usize, u64) {
    let hash = beginning.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BEGINNING_BITS);
    (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
}

/// The bytes that stand for a letter of a word.
fn forms(letter: u8) -> Vec<u8> {
    match letter {
        b' ' => vec![b' ', b'_', b'-'],
        _ if letter.is_ascii_alphabetic() => vec![letter.to_ascii_lowercase(), letter.to_ascii_uppercase()],
        _ => vec![letter],
    }
}

/// Whether a byte stands for a letter of a word.
fn same(letter: u8, byte: u8) -> bool {
    byte.eq_ignore_ascii_case(&letter) || (letter == b' ' && matches!(byte, b'_' | b'-'))
}

/// The list that a beginning belongs to. The low five bits of a letter are the same in both cases; what stands for a space is one.
fn head(a: u8, b: u8, c: u8) -> usize {
    let fold = |byte: u8| usize::from(if matches!(byte, b' ' | b'_' | b'-') { 0 } else { byte & 31 });
    (fold(a) * 1021 + fold(b) * 89 + fold(c) * 7) % HEADS
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pii;

    const WORDS: &[&str] =
        &["pin", "age", "aba", "mr ", "todo", "api_key", "call the", "do this now", "(c)", "[system", "ignoring", "étage"];

    /// A place, the shapes that may begin there, and the words that do: where each ends and which it is.
    type Place = (usize, u16, Vec<(usize, usize)>);

    /// What stands in a text, place by place and byte by byte.
    fn plainly(shapes: &[Shape], text: &[u8]) -> Vec<Place> {
        let byte = |at: usize| text.get(at).copied().unwrap_or(b'\n');
        let before = |at: usize| at.checked_sub(1).map_or(b'\n', byte);
        let places = (0..text.len()).map(|at| {
            let fits = |shape: &Shape| shape.bytes[0](before(at)) && (1..WINDOW).all(|i| shape.bytes[i](byte(at + i - 1)));
            let bits = shapes.iter().enumerate().filter(|(_, shape)| fits(shape)).fold(0, |bits, (bit, _)| bits | 1 << bit);
            let begins = !(byte(at).is_ascii_alphanumeric() && before(at).is_ascii_alphanumeric());
            let stands = |word: &[u8]| begins && (0..word.len()).all(|i| text.get(at + i).is_some_and(|&b| same(word[i], b)));
            let words = WORDS.iter().enumerate().filter(|(_, word)| stands(word.as_bytes()));
            (at, bits, words.map(|(index, word)| (at + word.len(), index)).collect())
        });
        places.filter(|(_, bits, words): &(_, _, Vec<_>)| *bits != 0 || !words.is_empty()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_filters_lose_nothing(pieces in prop::collection::vec(prop_oneof![
            prop::sample::select(WORDS).prop_map(str::to_uppercase),
            prop::sample::select(WORDS).prop_map(str::to_owned),
            prop::sample::select(WORDS).prop_map(|word| word.replace(' ', "_")),
            "[0-9a-fA-F:@+.() -]{0,24}", "[A-Z0-9]{0,20}", "[ -~é\n]{0,70}",
        ], 0..8), marks in 0usize..2) {
            let shapes = pii::shapes(|_| true);
            // With further marks there are too many, and every place is looked at.
            let more = ["!ab", "$cd", "&ef", "*gh", "=ij"].iter().take(marks * 5).map(|word| (word.as_bytes().into(), usize::MAX));
            let words = WORDS.iter().enumerate().map(|(index, word)| (word.as_bytes().into(), index)).chain(more).collect();
            let literals = Literals::new(&shapes, words);
            let text = pieces.concat();
            let mut seen: Vec<Place> = Vec::new();
            literals.scan(text.as_bytes(), |at, stands| {
                if seen.last().is_none_or(|last| last.0 != at) {
                    seen.push((at, 0, Vec::new()));
                }
                match (seen.last_mut(), stands) {
                    (Some(last), Stands::Shapes(bits)) => last.1 |= bits,
                    (Some(last), Stands::Word(end, index)) if index != usize::MAX => last.2.push((end, index)),
                    _ => {}
                }
            });
            seen.retain(|(_, bits, words)| *bits != 0 || !words.is_empty());
            seen.iter_mut().for_each(|(_, _, words)| words.sort_by_key(|word| word.1));
            prop_assert_eq!(seen, plainly(&shapes, text.as_bytes()));
        }
    }
}
