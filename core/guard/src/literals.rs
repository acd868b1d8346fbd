//! Many words and shapes in one pass: a filter of five bytes at a time, then an exact look.
//!
//! For each place, five table look-ups that don't wait for each other are combined by AND; what is left is the set of the shapes that
//! may begin there. Clean text costs a few cycles a byte, whatever the number of words.

/// How many words share the filter's bits.
const BUCKETS: u32 = 48;
/// The first of the bits that are left for words.
const FIRST: u32 = 64 - BUCKETS;
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
}

impl<T: Copy> Literals<T> {
    /// Builds the filter. Words are in lower case, of three bytes or more; a space in one stands for any of space, `_` and `-`.
    pub(crate) fn new(shapes: &[Shape], words: Vec<(Box<[u8]>, T)>) -> Self {
        let mut built = Self {
            masks: Box::new([[0; 256]; 5]),
            words: Vec::with_capacity(words.len()),
            heads: vec![u32::MAX; HEADS],
            next: Vec::new(),
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
        for (before, window) in bytes.windows(5).enumerate() {
            if let [a, b, c, d, e] = *window {
                let mask = get(zero, a) & get(one, b) & get(two, c) & get(three, d) & get(four, e);
                if mask != 0 {
                    hit(before + 1, mask);
                }
            }
        }
        for at in bytes.len().saturating_sub(3).max(1)..bytes.len() {
            hit(at, slow(at));
        }
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

/// Whether a byte stands for a letter of a word.
fn same(letter: u8, byte: u8) -> bool {
    byte.eq_ignore_ascii_case(&letter) || (letter == b' ' && matches!(byte, b'_' | b'-'))
}

/// The list that a beginning belongs to. The low five bits of a letter are the same in both cases; what stands for a space is one.
fn head(a: u8, b: u8, c: u8) -> usize {
    let fold = |byte: u8| usize::from(if matches!(byte, b' ' | b'_' | b'-') { 0 } else { byte & 31 });
    (fold(a) * 1021 + fold(b) * 89 + fold(c) * 7) % HEADS
}
