//! Times as the journal writes them.

/// Milliseconds since the epoch of a time as entries have it: `2026-01-31T12:30:00.123Z`, or the beginning of one, down to its day.
pub fn time_ms(text: &str) -> Option<u64> {
    let field = |at: std::ops::Range<usize>, least: u64| match text.get(at) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?,
        None => Some(least),
    };
    let (year, month, day) = (field(0..4, 0)?, field(5..7, 1)?, field(8..10, 1)?);
    let (hours, minutes, secs, rest) = (field(11..13, 0)?, field(14..16, 0)?, field(17..19, 0)?, field(20..23, 0)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil, after Howard Hinnant's algorithm.
    let (shifted, month) = (year - u64::from(month <= 2), (month + 9) % 12);
    let (era, of_era) = (shifted / 400, shifted % 400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1;
    Some((((days.checked_sub(719_468)? * 24 + hours) * 60 + minutes) * 60 + secs) * 1000 + rest)
}
