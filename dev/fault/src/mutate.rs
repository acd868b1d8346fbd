//! Changes to bytes: of the kinds that find faults in parsers, and of those that a forger makes.

use crate::random::Random;

/// What means something in one of the formats.
const TOKENS: [&[u8]; 22] = [
    b"\n",
    b"\n\n",
    b"\r\n",
    b" ",
    b"+",
    b"\xe2\x80\x94 ",
    b"=",
    b"==",
    b"/",
    b"x",
    b".p/",
    b"0",
    b"000",
    b"x000/",
    b"255",
    b"256",
    b"-1",
    b"18446744073709551615",
    b"18446744073709551616",
    b"tile/entries/",
    b"\x00\x00",
    b"\xff\xff\xff\xff",
];
const CHANGES_MAX: u64 = 4;
/// How a frame lies in a segment: a checksum of all that follows it, a word with the payload's length, and so on up to the payload.
const FRAME_HEAD: usize = 24;
const FRAME_ALIGN: usize = 8;

/// Some changes to one of `all`; parts of the others may come into it.
pub(crate) fn mutate(all: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.of(all).cloned().unwrap_or_default();
    for _ in 0..=random.below(CHANGES_MAX) {
        change(&mut bytes, all, random);
    }
    bytes
}

/// One change.
pub(crate) fn change(bytes: &mut Vec<u8>, all: &[Vec<u8>], random: &mut Random) {
    let start = random.place(bytes.len() + 1);
    let end = start + random.place((bytes.len() - start).min(64) + 1);
    match random.below(8) {
        0 => flip(bytes, random),
        1 => {
            if let Some(byte) = bytes.get_mut(start) {
                *byte = random.byte();
            }
        }
        2 => drop(bytes.drain(start..end)),
        3 => {
            let part: Vec<u8> = bytes.get(start..end).unwrap_or_default().to_vec();
            let at = random.place(bytes.len() + 1);
            bytes.splice(at..at, part);
        }
        4 => bytes.truncate(start),
        5 | 6 => {
            let token = random.of(&TOKENS).copied().unwrap_or_default();
            bytes.splice(start..if random.below(2) == 0 { start } else { end }, token.iter().copied());
        }
        _ => {
            let other = random.of(all).cloned().unwrap_or_default();
            let from = random.place(other.len() + 1);
            bytes.truncate(start);
            bytes.extend_from_slice(other.get(from..).unwrap_or_default());
        }
    }
}

/// Flips a bit.
pub(crate) fn flip(bytes: &mut [u8], random: &mut Random) {
    let (place, bit) = (random.place(bytes.len()), random.below(8));
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << bit;
    }
}

/// Makes the checksums of all frames of a segment agree, as a forger would.
pub(crate) fn seal(bytes: &mut [u8]) {
    let mut offset = 0;
    while let Some(head) = bytes.get(offset..offset + FRAME_HEAD) {
        let word = head.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word));
        let length = usize::try_from(word & 0x00ff_ffff).unwrap_or(0);
        let end = offset + (FRAME_HEAD + length).next_multiple_of(FRAME_ALIGN);
        let Some((sum, covered)) = bytes.get_mut(offset..end).and_then(|frame| frame.split_at_mut_checked(4)) else { break };
        if word == 0 {
            break;
        }
        sum.copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
        offset = end;
    }
}
