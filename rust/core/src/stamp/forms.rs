//! One function for each form of a time. None of them knows a zone, and none allocates.

use super::zone::Years;
use super::{civil, digits, epoch, NS_PER_S};
use memchr::memchr;

/// The bracket of an access log's time begins within so many bytes.
const ACCESS_HEAD_BYTES: usize = 256;
/// Facility 23, severity 7.
const MAX_PRIORITY: u32 = 191;

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds from 1970-01-01 00:00:00 on the writer's wall clock.
    pub local_s: i64,
    pub nanos: u32,
    /// What the wall clock is ahead of UTC; None if that was not written.
    pub offset_s: Option<i32>,
    /// Offset of the first byte after the time.
    pub end: usize,
}

impl Stamp {
    /// The time `ns`, if the years we hold have it.
    pub fn of_epoch(ns: i64, end: usize) -> Option<Stamp> {
        let local_s = ns.div_euclid(NS_PER_S);
        let nanos = u32::try_from(ns.rem_euclid(NS_PER_S)).ok()?;
        civil::SPAN_S.contains(&local_s).then_some(Stamp { local_s, nanos, offset_s: Some(0), end })
    }

    /// Nothing follows that would make it part of something else.
    #[inline]
    fn standing_alone(self, bytes: &[u8]) -> Option<Stamp> {
        match bytes.get(self.end) {
            Some(&next) if CONTINUES[usize::from(next)] => None,
            _ => Some(self),
        }
    }
}

/// Letters, digits, `_` and `/`: a time that one of these follows is part of something else.
const CONTINUES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'/';
        byte += 1;
    }
    table
};

/// Reads `2024-11-20T12:34`, and remembers the last one.
#[derive(Clone, Debug)]
pub struct Minutes {
    text: [u8; 16],
    minute_s: i64,
}

impl Default for Minutes {
    /// A minute that is as good as any other.
    fn default() -> Minutes {
        Minutes { text: *b"1970-01-01T00:00", minute_s: 0 }
    }
}

impl Minutes {
    /// The minute in seconds since 1970.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as `iso`")]
    fn read(&mut self, text: &[u8; 16]) -> Option<i64> {
        if *text != self.text {
            self.minute_s = read_minute(text)?;
            self.text = *text;
        }
        Some(self.minute_s)
    }
}

/// The nanoseconds of `2024-11-20T12:34:56.123456Z"`, if it is in the minute that was read last: what most lines
/// of a task's log begin with.
#[inline]
pub fn same_minute_ns(bytes: &[u8], minutes: &Minutes) -> Option<i64> {
    let (minute, rest) = bytes.split_first_chunk::<16>()?;
    if *minute != minutes.text {
        return None;
    }
    let (second, micros) = digits::second_micros(rest.first_chunk()?)?;
    Some((minutes.minute_s + i64::from(second)) * NS_PER_S + i64::from(micros) * 1000)
}

#[inline(never)]
fn read_minute(text: &[u8; 16]) -> Option<i64> {
    if !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month) = digits::year_month(digits::load(text, 0))?;
    let (day, hour, minute) = digits::day_minute(digits::load(text, 8))?;
    Some(civil::midnight_s(year, month, day)? + i64::from(hour * 3600 + minute * 60))
}

/// `2024-11-20T12:34:56`, then a fraction and an offset if there are any.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is most of the time that a line takes, and returns more than two words")]
pub fn iso(bytes: &[u8], minutes: &mut Minutes) -> Option<Stamp> {
    let (minute, rest) = bytes.split_first_chunk::<16>()?;
    let &[b':', tens @ b'0'..=b'6', ones @ b'0'..=b'9', ..] = rest else { return None };
    let second = (tens - b'0') * 10 + (ones - b'0');
    if second > 60 {
        return None;
    }
    let local_s = minutes.read(minute)? + i64::from(second);
    let (nanos, end) = fraction(bytes, 19);
    let (offset_s, end) = offset(bytes, end)?;
    Stamp { local_s, nanos, offset_s, end }.standing_alone(bytes)
}

/// [`iso`] where it is not what nearly every line begins with.
#[inline(never)]
pub fn seldom_iso(bytes: &[u8], minutes: &mut Minutes) -> Option<Stamp> {
    iso(bytes, minutes)
}

/// An ISO time with a comma after the date: `2024-11-20, 12:34:56 UTC`.
pub fn comma_iso(bytes: &[u8], minutes: &mut Minutes) -> Option<Stamp> {
    if bytes.get(10..12) != Some(b", ") {
        return None;
    }
    let mut without = [0; 40];
    let text = &bytes[..bytes.len().min(without.len() + 1)];
    without[..10].copy_from_slice(&text[..10]);
    without[10..text.len() - 1].copy_from_slice(&text[11..]);
    let stamp = iso(&without[..text.len() - 1], minutes)?;
    Some(Stamp { end: stamp.end + 1, ..stamp })
}

/// Nanoseconds of `.123` or `,123` at `at`, and the end of it; digits after the ninth count for nothing.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `iso`")]
fn fraction(bytes: &[u8], at: usize) -> (u32, usize) {
    if !matches!(bytes.get(at), Some(b'.' | b',')) {
        return (0, at);
    }
    let word = digits::load(bytes, at + 1);
    let tens_of_ns = digits::left_aligned(word);
    match digits::count(word) {
        0 => (0, at),
        8 => long_fraction(bytes, at + 9, tens_of_ns),
        count => (tens_of_ns * 10, at + 1 + count as usize),
    }
}

/// The rest of a fraction whose first eight digits are known.
#[inline]
fn long_fraction(bytes: &[u8], at: usize, tens_of_ns: u32) -> (u32, usize) {
    let Some(ninth) = digits::digit(bytes, at) else { return (tens_of_ns * 10, at) };
    let mut end = at + 1;
    while digits::digit(bytes, end).is_some() {
        end += 1;
    }
    (tens_of_ns * 10 + ninth, end)
}

/// Offset from UTC written at `at`, if one is, and the end of it.
///
/// None: what is there begins like an offset and is not one.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `iso`")]
fn offset(bytes: &[u8], at: usize) -> Option<(Option<i32>, usize)> {
    let Some(&sign) = bytes.get(at) else { return Some((None, at)) };
    if sign | 0x20 == b'z' {
        return Some((Some(0), at + 1));
    }
    match sign {
        b'+' | b'-' if digits::is_0000(digits::load(bytes, at + 1)) => Some((Some(0), at + 5)),
        b'+' | b'-' => signed_offset(bytes, at, sign),
        b' ' if matches!(bytes[at + 1..], [b'+' | b'-', b'0'..=b'9', ..] | [b'U', ..]) => {
            Some(spaced_offset(bytes, at))
        }
        _ => Some((None, at)),
    }
}

/// `+01:00`, `+0100` or `+01`.
#[inline(never)]
fn signed_offset(bytes: &[u8], at: usize, sign: u8) -> Option<(Option<i32>, usize)> {
    let word = digits::load(bytes, at + 1);
    if digits::count(word) == 0 {
        return Some((None, at));
    }
    let (hours, minutes, length) = digits::hours_minutes(word)?;
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    Some((Some(if sign == b'-' { -seconds } else { seconds }), at + 1 + length))
}

/// ` UTC` or ` +0100`; any other word after the space belongs to the message.
#[inline(never)]
fn spaced_offset(bytes: &[u8], at: usize) -> (Option<i32>, usize) {
    let after_space = &bytes[at + 1..];
    match after_space[0] {
        b'U' if after_space.starts_with(b"UTC") && !is_word(after_space.get(3)) => (Some(0), at + 4),
        sign @ (b'+' | b'-') if digits::four(after_space, 1).is_some() && !is_word(after_space.get(5)) => {
            signed_offset(bytes, at + 1, sign).unwrap_or((None, at))
        }
        _ => (None, at),
    }
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_alphanumeric)
}

/// `Oct 11 22:14:15`, the day padded with a space or a zero.
pub fn rfc3164(line: &[u8], years: &Years) -> Option<Stamp> {
    let (month, day) = (month(line)?, padded_day(line, 4)?);
    let clock_s = digits::clock_s(digits::load(line, 7))?;
    if line[3] != b' ' || line[6] != b' ' {
        return None;
    }
    let (nanos, end) = fraction(line, 15);
    let local_s = years.latest_s(month, day, clock_s)?;
    Stamp { local_s, nanos, offset_s: None, end }.standing_alone(line)
}

/// `I1120 12:34:56.123456`: severity, month, day, and a clock with a fraction.
pub fn klog(line: &[u8], years: &Years) -> Option<Stamp> {
    if !matches!(line.first()?, b'D' | b'I' | b'W' | b'E' | b'F' | b'C') || line.get(5) != Some(&b' ') {
        return None;
    }
    let (month, day) = (digits::two(line, 1)?, digits::two(line, 3)?);
    let clock_s = digits::clock_s(digits::load(line, 6))?;
    let (nanos, end) = fraction(line, 14);
    if end == 14 {
        return None;
    }
    let local_s = years.latest_s(month, day, clock_s)?;
    Stamp { local_s, nanos, offset_s: None, end }.standing_alone(line)
}

/// What follows the priority of syslog: `<34>`, and the version `1 ` of RFC 5424 if it is there.
pub fn after_priority(line: &[u8]) -> Option<&[u8]> {
    let (_, message) = priority(line)?;
    Some(message.strip_prefix(b"1 ").unwrap_or(message))
}

/// The number in `<34>` and what follows it.
pub fn priority(line: &[u8]) -> Option<(u32, &[u8])> {
    let text = line.strip_prefix(b"<")?;
    let number = text.iter().take(3).map_while(|byte| byte.is_ascii_digit().then(|| u32::from(byte - b'0')));
    let count = number.clone().count();
    let number = number.fold(0, |number, digit| number * 10 + digit);
    let message = text[count..].strip_prefix(b">")?;
    (count > 0 && number <= MAX_PRIORITY).then_some((number, message))
}

/// `Wed Oct 11 14:32:52.123456 2000]`, without the bracket before it.
pub fn apache_error(inside: &[u8]) -> Option<Stamp> {
    let (weekday, rest) = inside.split_first_chunk::<4>()?;
    if !matches!(weekday, b"Mon " | b"Tue " | b"Wed " | b"Thu " | b"Fri " | b"Sat " | b"Sun ") {
        return None;
    }
    let (month, day) = (month(rest)?, padded_day(rest, 4)?);
    let clock_s = digits::clock_s(digits::load(rest, 7))?;
    let (nanos, at) = fraction(rest, 15);
    let year = digits::four(rest, at + 1)?;
    if rest[3] != b' ' || rest[6] != b' ' || rest[at] != b' ' || rest.get(at + 5) != Some(&b']') {
        return None;
    }
    let local_s = civil::midnight_s(year, month, day)? + i64::from(clock_s);
    Some(Stamp { local_s, nanos, offset_s: None, end: weekday.len() + at + 5 })
}

/// `host - user [20/Nov/2024:12:34:56 +0000]`
pub fn access_line(line: &[u8]) -> Option<Stamp> {
    let head = &line[..line.len().min(ACCESS_HEAD_BYTES)];
    let host = memchr(b' ', head)?;
    let after_host = head[host..].strip_prefix(b" - ")?;
    let user = memchr(b' ', after_host).filter(|&length| length > 0)?;
    let time = after_host[user..].strip_prefix(b" [")?;
    access_time(&line[head.len() - time.len()..])
}

/// `20/Nov/2024:12:34:56 +0000`
pub fn access_time(bytes: &[u8]) -> Option<Stamp> {
    let head: &[u8; 20] = bytes.first_chunk()?;
    if head[2] != b'/' || head[6] != b'/' || head[11] != b':' {
        return None;
    }
    let day = digits::two(head, 0)?;
    let midnight_s = civil::midnight_s(digits::four(head, 7)?, month(&head[3..])?, day)?;
    let clock_s = digits::clock_s(digits::load(head, 12))?;
    let (offset_s, end) = offset(bytes, 20)?;
    Stamp { local_s: midnight_s + i64::from(clock_s), nanos: 0, offset_s, end }.standing_alone(bytes)
}

/// `1732106096.123` and a space: the years 2001 to 2065 in a precision that programs print. Other numbers are numbers.
pub fn epoch(line: &[u8]) -> Option<Stamp> {
    if line.get(10) != Some(&b'.') {
        return None;
    }
    let (_, end) = fraction(line, 10);
    if !matches!(end, 14 | 17 | 20) || line.get(end) != Some(&b' ') {
        return None;
    }
    Stamp::of_epoch(epoch::of_number(&line[..end])?, end)
}

/// `time=…` or `ts=…`, first or after `level=…`: an ISO time or a number, in quotes or not.
pub fn logfmt(line: &[u8], minutes: &mut Minutes) -> Option<Stamp> {
    let pair = match line.strip_prefix(b"level=") {
        Some(level) => &level[memchr(b' ', &level[..level.len().min(ACCESS_HEAD_BYTES)])? + 1..],
        None => line,
    };
    let key = [&b"time="[..], b"ts=", b"t=", b"timestamp="].into_iter().find(|key| pair.starts_with(key))?;
    let value = &pair[key.len()..];
    match value.strip_prefix(b"\"") {
        Some(value) => seldom_iso(value, minutes).filter(|stamp| value.get(stamp.end) == Some(&b'"')),
        None => seldom_iso(value, minutes).or_else(|| logfmt_number(value)),
    }
}

fn logfmt_number(value: &[u8]) -> Option<Stamp> {
    let end = value.iter().take(32).position(u8::is_ascii_whitespace).unwrap_or(value.len());
    Stamp::of_epoch(epoch::of_number(&value[..end])?, end)
}

fn month(bytes: &[u8]) -> Option<u32> {
    let month = match bytes.first_chunk()? {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    Some(month)
}

/// `11`, `01` or ` 1`.
fn padded_day(bytes: &[u8], at: usize) -> Option<u32> {
    let tens = if bytes.get(at) == Some(&b' ') { 0 } else { digits::digit(bytes, at)? };
    Some(tens * 10 + digits::digit(bytes, at + 1)?)
}
