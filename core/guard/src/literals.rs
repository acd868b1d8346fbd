//! Many words and shapes in one pass: a filter of five bytes at a time, then an exact look.
//!
//! For each place, five table look-ups that don't wait for each other are combined by AND; what is left is the set of the shapes that
//! may begin there. Clean text costs a few cycles a byte, whatever the number of words.

/// How many words share the filter's bits.
const BUCKETS: u32 = 48;
/// The first of the bits that are left for words.
const FIRST: u32 = 64 - BUCKETS;
/// How many marks other than letters and digits may begin something; with more, every place is looked at.
const MARKS: usize = 8;
/// How many lists the words' beginnings are spread over.
const HEADS: usize = 4096;

/// A shape that isn't a word: what may stand before a place and in its first four bytes.
pub(crate) struct Shape {
    /// What stands before, and then the first four bytes.
    pub(crate) bytes: [fn(u8) -> bool; 5],
}

/// The filter and the words behind it.
pub(crate) struct Literals<T> {
    masks: Box<[[u64; 256]; 5]>,
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
            masks: Box::new([[0; 256]; 5]),
            words: Vec::with_capacity(words.len()),
            heads: vec![u32::MAX; HEADS],
            next: Vec::new(),
            marks: None,
            wide: 0,
        };
        for (bit, shape) in shapes.iter().enumerate().take(FIRST as usize) {
            for (table, fits) in built.masks.iter_mut().zip(shape.bytes) {
                for (byte, mask) in (0..=u8::MAX).zip(table.iter_mut()) {
                    *mask |= u64::from(fits(byte)) << bit;
                }
            }
        }
        for (word, value) in words {
            if word.len() >= 3 {
                built.add(word, value);
            }
        }
        let [_, first, ..] = &*built.masks;
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
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| word.get(i).copied().unwrap_or(0));
        // Words with the same first letters share a bit: the filter stays narrow.
        let bucket = FIRST + (u32::from(a) * 7 + u32::from(b) / 4) % BUCKETS;
        let [before, first, second, third, fourth] = &mut *self.masks;
        let open = !a.is_ascii_alphanumeric();
        for (byte, mask) in (0..=u8::MAX).zip(before.iter_mut()) {
            *mask |= u64::from(open || !byte.is_ascii_alphanumeric()) << bucket;
        }
        if word.len() == 3 {
            fourth.iter_mut().for_each(|mask| *mask |= 1 << bucket);
        }
        for (table, letter) in [(first, a), (second, b), (third, c), (fourth, d)] {
            let forms = if letter == b' ' {
                [b' ', b'_', b'-']
            } else {
                [letter, letter.to_ascii_lowercase(), letter.to_ascii_uppercase()]
            };
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

    /// Calls `shape` with each place where a shape may begin (its bits), and `word` with each word that stands at a place.
    #[inline]
    pub(crate) fn scan(&self, bytes: &[u8], mut shape: impl FnMut(usize, u64), mut word: impl FnMut(usize, usize, T)) {
        const SHAPES: u64 = (1 << FIRST) - 1;
        let [zero, one, two, three, four] = &*self.masks;
        let get = |table: &[u64; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
        let mut hit = |at: usize, mask: u64| {
            if mask & SHAPES != 0 {
                shape(at, mask & SHAPES);
            }
            if mask & !SHAPES != 0 {
                self.words_at(bytes, at, &mut word);
            }
        };
        // The text stands between line ends.
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(b'\n');
        let slow = |at: usize| {
            let before = at.checked_sub(1).map_or(b'\n', byte);
            get(zero, before) & get(one, byte(at)) & get(two, byte(at + 1)) & get(three, byte(at + 2)) & get(four, byte(at + 3))
        };
        if !bytes.is_empty() {
            hit(0, slow(0));
        }
        let (mut at, last) = (1, bytes.len().saturating_sub(3));
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
                if let Some(&[a, b, c, d, e]) = bytes.get(place - 1..).and_then(|rest| rest.first_chunk::<5>()) {
                    let mask = get(zero, a) & get(one, b) & get(two, c) & get(three, d) & get(four, e);
                    if mask != 0 {
                        hit(place, mask);
                    }
                }
            }
            at += 64;
        }
        for at in bytes.len().saturating_sub(3).max(1)..bytes.len() {
            hit(at, slow(at));
        }
    }

    /// The places of a block where anything may begin: the first letter or digit after something else, and the marks that begin a shape or
    /// a word. Loops without branches, which the compiler makes wide.
    #[inline]
    fn starts(&self, before: u8, block: &[u8; 64]) -> u64 {
        let Some(marks) = self.marks else { return u64::MAX };
        let letters = places(block, alphanumeric);
        let mut flags = [0; 64];
        for (flag, &b) in flags.iter_mut().zip(block) {
            *flag = marks.iter().fold(0, |any, &mark| any | u8::from(b == mark)) | (b >> 7 & self.wide);
        }
        let earlier = letters << 1 | u64::from(before.is_ascii_alphanumeric());
        letters & !earlier | packed(&flags)
    }

    fn words_at(&self, bytes: &[u8], at: usize, word: &mut impl FnMut(usize, usize, T)) {
        let Some(&[a, b, c]) = bytes.get(at..at + 3).and_then(|three| three.first_chunk::<3>()) else { return };
        let mut index = self.heads.get(head(a, b, c)).copied().unwrap_or(u32::MAX);
        while let Some((literal, value)) = self.words.get(index as usize) {
            let stands = bytes.get(at..at + literal.len());
            if stands.is_some_and(|stands| stands.iter().zip(literal).all(|(&byte, &letter)| same(letter, byte))) {
                word(at, at + literal.len(), *value);
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

/// Whether a byte stands for a letter of a word.
fn same(letter: u8, byte: u8) -> bool {
    byte.eq_ignore_ascii_case(&letter) || (letter == b' ' && matches!(byte, b'_' | b'-'))
}

/// The list that a beginning belongs to. The low five bits of a letter are the same in both cases; what stands for a space is one.
fn head(a: u8, b: u8, c: u8) -> usize {
    let fold = |byte: u8| usize::from(if matches!(byte, b' ' | b'_' | b'-') { 0 } else { byte & 31 });
    (fold(a) * 1021 + fold(b) * 89 + fold(c) * 7) % HEADS
}
