//! Digits, eight at a time: the first byte of the text is the lowest byte of the word.

const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH_BIT: u64 = 0x8080_8080_8080_8080;

/// Adding this to the value of a digit leaves its high bit clear; to anything else below 0x80 sets it.
const DIGIT: u8 = 0x76;
/// The same for a byte that must be zero.
const ZERO: u8 = 0x7f;

/// Eight characters of which some are digits and the others are fixed.
struct Shape {
    zero: u64,
    limit: u64,
}

impl Shape {
    /// `0` stands for any digit, every other byte for itself.
    const fn new(shape: [u8; 8]) -> Shape {
        let mut limit = [ZERO; 8];
        let mut i = 0;
        while i < 8 {
            if shape[i] == b'0' {
                limit[i] = DIGIT;
            }
            i += 1;
        }
        Shape { zero: u64::from_le_bytes(shape), limit: u64::from_le_bytes(limit) }
    }

    /// If `word` has this shape: at each byte, ten times its digit and the next one.
    #[inline]
    fn pairs(&self, word: u64) -> Option<u64> {
        let digits = word ^ self.zero;
        if over(digits, self.limit) == 0 {
            Some(pairs(digits))
        } else {
            None
        }
    }
}

/// High bit of each byte of `bytes` that is over its limit.
#[inline]
const fn over(bytes: u64, limit: u64) -> u64 {
    (((bytes & LOW_SEVEN) + limit) | bytes) & HIGH_BIT
}

/// At each byte, ten times its digit and the next one; true up to the first byte that is no digit.
#[inline]
const fn pairs(digits: u64) -> u64 {
    digits.wrapping_mul(10).wrapping_add(digits >> 8)
}

const CLOCK: Shape = Shape::new(*b"00:00:00");
const DASHED: Shape = Shape::new(*b"0000-00-");
const SLASHED: Shape = Shape::new(*b"0000/00/");
const DAY_MINUTE: Shape = Shape::new(*b"00T00:00");
const SECONDS: Shape = Shape::new(*b":00.0000");
const MICROS_QUOTED: Shape = Shape::new(*b"000000Z\"");
const EIGHT: Shape = Shape::new(*b"00000000");

/// Adding this sets the high bit of an hour over 23, a minute over 59, a second over 60.
const CLOCK_LIMIT: u64 = u64::from_le_bytes([0x80 - 24, 0, 0, 0x80 - 60, 0, 0, 0x80 - 61, 0]);
const CLOCK_PAIRS: u64 = u64::from_le_bytes([0xff, 0, 0, 0xff, 0, 0, 0xff, 0]);

/// Seconds since midnight of `HH:MM:SS`; second 60 is a leap second.
#[inline]
pub fn clock_s(word: u64) -> Option<u32> {
    let pairs = CLOCK.pairs(word)? & CLOCK_PAIRS;
    if over(pairs, CLOCK_LIMIT) != 0 {
        return None;
    }
    let minutes = (pairs.wrapping_mul((60 << 24) + 1) >> 24) & 0xffff;
    Some(low(minutes * 60 + (pairs >> 48)))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "callers pass numbers of at most eight digits")]
const fn low(number: u64) -> u32 {
    number as u32
}

/// Second and microsecond of `:SS.ffffffZ"`.
#[inline]
pub fn second_micros(text: &[u8; 12]) -> Option<(u8, u32)> {
    let [_, second, ..] = SECONDS.pairs(load(text, 0))?.to_le_bytes();
    let [high, _, middle, _, low, ..] = MICROS_QUOTED.pairs(load(text, 4))?.to_le_bytes();
    let micros = (u32::from(high) * 100 + u32::from(middle)) * 100 + u32::from(low);
    (second <= 60).then_some((second, micros))
}

/// Year and month of `YYYY-MM-` or `YYYY/MM/`.
#[inline]
pub fn year_month(word: u64) -> Option<(u32, u32)> {
    let pairs = DASHED.pairs(word).or_else(|| SLASHED.pairs(word))?;
    let [century, _, year, _, _, month, _, _] = pairs.to_le_bytes();
    Some((u32::from(century) * 100 + u32::from(year), u32::from(month)))
}

/// Whether `word` begins with `0000`, as the offset of UTC mostly does.
#[inline]
pub fn is_0000(word: u64) -> bool {
    low(word & 0xffff_ffff) == u32::from_le_bytes(*b"0000")
}

/// Day, hour and minute of `DDTHH:MM`, of which the `T` is not looked at.
#[inline]
pub fn day_minute(word: u64) -> Option<(u32, u32, u32)> {
    const MIDDLE: u64 = 0xff << 16;
    let pairs = DAY_MINUTE.pairs(word & !MIDDLE | DAY_MINUTE.zero & MIDDLE)?;
    let [day, _, _, hour, _, _, minute, _] = pairs.to_le_bytes();
    if hour < 24 && minute < 60 {
        Some((day.into(), hour.into(), minute.into()))
    } else {
        None
    }
}

/// Hours, minutes and length of `HHMM`, `HH:MM` or `HH`.
#[inline]
pub fn hours_minutes(word: u64) -> Option<(u8, u8, usize)> {
    let [hours, _, minutes, after_colon, ..] = pairs(word ^ EIGHT.zero).to_le_bytes();
    let (minutes, length) = match count(word) {
        4 => (minutes, 4),
        2 if word.to_le_bytes()[2] == b':' && count(word >> 24) >= 2 => (after_colon, 5),
        2 => (0, 2),
        _ => return None,
    };
    if hours < 24 && minutes < 60 {
        Some((hours, minutes, length))
    } else {
        None
    }
}

/// How many digits `word` begins with.
#[inline]
pub fn count(word: u64) -> u32 {
    no_digits(word).trailing_zeros() / 8
}

/// High bit of each byte that is no digit.
#[inline]
const fn no_digits(word: u64) -> u64 {
    over(word ^ EIGHT.zero, EIGHT.limit)
}

/// The digits that `word` begins with, filled up with zeros behind to eight: `12` is 12,000,000.
#[inline]
pub fn left_aligned(word: u64) -> u32 {
    let stop = no_digits(word);
    let first_stop = stop & stop.wrapping_neg();
    let before_it = (first_stop >> 7).wrapping_sub(1);
    sum((word ^ EIGHT.zero) & before_it)
}

/// The number of eight digits, the first in the lowest byte.
#[inline]
const fn sum(digits: u64) -> u32 {
    let pairs = pairs(digits);
    let first_and_third = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul((1_000_000 << 32) + 100);
    let second_and_last = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul((10_000 << 32) + 1);
    low(first_and_third.wrapping_add(second_and_last) >> 32)
}

/// The eight bytes at `at`; what lies past the end reads as NUL, which is no digit.
#[inline]
pub fn load(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => load_short(rest),
    }
}

/// Fewer than eight bytes, without a loop: parts that overlap say the same.
fn load_short(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (length - 4));
    }
    let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
    match length {
        0 => 0,
        _ => byte(0) | byte(length / 2) | byte(length - 1),
    }
}

/// Two digits at `at`.
#[inline]
pub fn two(bytes: &[u8], at: usize) -> Option<u32> {
    Some(digit(bytes, at)? * 10 + digit(bytes, at + 1)?)
}

/// Four digits at `at`.
#[inline]
pub fn four(bytes: &[u8], at: usize) -> Option<u32> {
    Some(two(bytes, at)? * 100 + two(bytes, at + 2)?)
}

/// The digit at `at`.
#[inline]
pub fn digit(bytes: &[u8], at: usize) -> Option<u32> {
    let value = bytes.get(at)?.wrapping_sub(b'0');
    (value < 10).then_some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_and_summing_agree_with_the_standard_library(text in "[0-9]{0,8}[^0-9]{0,8}") {
            let word = load(text.as_bytes(), 0);
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            prop_assert_eq!(count(word) as usize, digits.len());
            prop_assert_eq!(left_aligned(word), format!("{digits:0<8}").parse().expect("eight digits"));
        }

        #[test]
        fn an_offset_is_hours_and_maybe_minutes(hours in 0..99_u8, minutes in 0..99_u8, rest in "[^0-9:][ -~]{0,3}") {
            let expected = |minutes, length| (hours < 24 && minutes < 60).then_some((hours, minutes, length));
            let read = |text: String| hours_minutes(load(text.as_bytes(), 0));
            prop_assert_eq!(read(format!("{hours:02}{minutes:02}{rest}")), expected(minutes, 4));
            prop_assert_eq!(read(format!("{hours:02}:{minutes:02}{rest}")), expected(minutes, 5));
            prop_assert_eq!(read(format!("{hours:02}{rest}")), expected(0, 2));
            prop_assert_eq!(read(format!("{hours:02}:{rest}")), expected(0, 2));
            prop_assert_eq!(read(format!("{hours:02}{}{rest}", minutes % 10)), None);
        }

        #[test]
        fn loading_pads_with_zeros(bytes in proptest::collection::vec(any::<u8>(), 0..20), at in 0..24_usize) {
            let padded: Vec<u8> = bytes.iter().copied().skip(at).chain([0; 8]).take(8).collect();
            prop_assert_eq!(load(&bytes, at).to_le_bytes().to_vec(), padded);
        }

        #[test]
        fn a_clock_is_two_digits_thrice_within_their_ranges(bytes: [u8; 8]) {
            let slow = || {
                let text = std::str::from_utf8(&bytes).ok()?;
                let parts: Vec<&str> = text.split(':').collect();
                let digits = parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()));
                let [hour, minute, second] = parts[..] else { return None };
                let [hour, minute, second] = [hour, minute, second].map(|part| part.parse::<u32>().unwrap_or(99));
                (digits && hour < 24 && minute < 60 && second < 61).then_some(hour * 3600 + minute * 60 + second)
            };
            prop_assert_eq!(clock_s(u64::from_le_bytes(bytes)), slow());
        }
    }

    #[test]
    fn every_clock_is_read() {
        for second in 0..86_400 {
            let text = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
            assert_eq!(clock_s(load(text.as_bytes(), 0)), Some(second), "{text}");
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_refused() {
        for (text, read) in [
            (*b"12:34:56", (|word| clock_s(word).is_some()) as fn(u64) -> bool),
            (*b"2024-11-", |word| year_month(word).is_some()),
            (*b"2024/11/", |word| year_month(word).is_some()),
        ] {
            assert!(read(u64::from_le_bytes(text)));
            for (at, wrong) in (0..8).flat_map(|at| (0..=255).map(move |wrong| (at, wrong))) {
                let mut bytes = text;
                bytes[at] = wrong;
                let same_kind = wrong == text[at] || wrong.is_ascii_digit() && text[at].is_ascii_digit();
                assert!(same_kind || !read(u64::from_le_bytes(bytes)), "{bytes:?}");
            }
        }
    }
}
