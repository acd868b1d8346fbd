//! Looking for bytes, eight at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Whether two texts are the same; for the short ones that are compared here, sooner than the library's way.
#[inline]
pub(crate) fn same(mut one: &[u8], mut other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    while let (Some((head, rest)), Some((other_head, other_rest))) =
        (one.split_first_chunk::<8>(), other.split_first_chunk::<8>())
    {
        if head != other_head {
            return false;
        }
        (one, other) = (rest, other_rest);
    }
    if let (Some((head, rest)), Some((other_head, other_rest))) = (one.split_first_chunk::<4>(), other.split_first_chunk::<4>()) {
        if head != other_head {
            return false;
        }
        (one, other) = (rest, other_rest);
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// What follows a text that this begins with.
#[inline]
pub(crate) fn after<'b>(bytes: &'b [u8], head: &[u8]) -> Option<&'b [u8]> {
    let (start, rest) = bytes.split_at_checked(head.len())?;
    same(start, head).then_some(rest)
}

/// A high bit for each byte of a word that is this one.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zero_where_equal = word ^ (u64::from(byte) * ONES);
    !(((zero_where_equal & LOW) + LOW) | zero_where_equal | LOW)
}

/// The first place of a byte.
#[inline]
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let found = equal(u64::from_le_bytes(*chunk), byte);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|other| *other == byte).map(|at| chunks.len() * 8 + at)
}

/// Visits the places of two bytes, in order; each with whether it's the first of the two.
#[inline]
pub(crate) fn each_of(bytes: &[u8], one: u8, other: u8, mut visit: impl FnMut(usize, bool)) {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let ones = equal(word, one);
        let mut found = ones | equal(word, other);
        while found != 0 {
            let rest = found & (found - 1);
            visit(index * 8 + found.trailing_zeros() as usize / 8, ones & found & !rest != 0);
            found = rest;
        }
    }
    for (at, byte) in rest.iter().enumerate() {
        if *byte == one || *byte == other {
            visit(chunks.len() * 8 + at, *byte == one);
        }
    }
}

/// Whether a capital letter stands in it, or one of `@[\]^_`.
#[inline]
pub(crate) fn has_capitals(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let in_chunks = chunks.iter().any(|chunk| equal(u64::from_le_bytes(*chunk) & (0xe0 * ONES), 0x40) != 0);
    in_chunks || rest.iter().any(|byte| byte & 0xe0 == 0x40)
}

/// The first place of a text that isn't empty.
#[inline]
pub(crate) fn find_all(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        from += bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if after(bytes.get(from..)?, wanted).is_some() {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capitals() {
        for byte in 0..=255_u8 {
            let expected = matches!(byte, b'@'..=b'_');
            assert_eq!(has_capitals(&[byte]), expected);
            assert_eq!(has_capitals(&[b'a', b'-', b':', byte, b'0', 0xff, 0x80, b'z']), expected);
        }
    }

    proptest! {
        #[test]
        fn as_the_slow_way(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 1, b':', b'/', 0x7f, 0x80, 0xff]), 0..40), wanted in prop::collection::vec(prop::sample::select(vec![b':', b'/']), 1..4)) {
            prop_assert!(same(&bytes, &bytes.clone()));
            prop_assert_eq!(same(&bytes, &wanted), bytes == wanted);
            prop_assert_eq!(after(&bytes, &wanted), bytes.strip_prefix(wanted.as_slice()));
            let mut changed = bytes.clone();
            if let Some(byte) = changed.last_mut() {
                *byte ^= 1;
                prop_assert!(!same(&bytes, &changed));
            }
            prop_assert_eq!(find(&bytes, b':'), bytes.iter().position(|byte| *byte == b':'));
            let mut places = Vec::new();
            each_of(&bytes, b':', b'/', |at, first| places.push((at, first)));
            let slow = bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b':' | b'/'));
            let slow: Vec<(usize, bool)> = slow.map(|(at, byte)| (at, *byte == b':')).collect();
            prop_assert_eq!(places, slow);
            prop_assert!(!has_capitals(&bytes));
            prop_assert_eq!(find_all(&bytes, &wanted), bytes.windows(wanted.len()).position(|part| part == wanted));
        }
    }
}
