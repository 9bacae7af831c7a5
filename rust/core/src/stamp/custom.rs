//! A format of one's own, as of strptime: the directives of `jiff::fmt::strtime`, `%f` as in Python.
//!
//! Plan: a known time is written with each directive, then with the whole format, and read again. Whatever could never
//! be read is found when the format is given, not line by line.

use super::bad::BadFormat;
use super::forms::Stamp;
use super::zone::Years;
use super::{civil, NS_PER_S};
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

/// A format that can be read, and carries a date and a time of day.
#[derive(Clone, Debug)]
pub struct Format {
    pattern: String,
}

impl Format {
    pub fn new(pattern: &str, years: &Years) -> Result<Format, BadFormat> {
        let bad = |position, reason| BadFormat { pattern: pattern.to_owned(), position, reason };
        for (position, directive) in directives(pattern.as_bytes()) {
            read_sample(directive).map_err(|reason| bad(Some(position), reason))?;
        }
        let sample = read_sample(pattern.as_bytes()).map_err(|reason| bad(None, reason))?;
        stamp_of(&sample, 0, years).map_err(|reason| bad(None, reason.to_owned()))?;
        Ok(Format { pattern: pattern.to_owned() })
    }

    /// The time that `line` begins with.
    pub fn stamp(&self, line: &[u8], years: &Years) -> Option<Stamp> {
        let (time, end) = BrokenDownTime::parse_prefix(&self.pattern, line).ok()?;
        stamp_of(&time, end, years).ok()
    }
}

/// Each directive of a format, from its `%` to its letter, and where it begins.
fn directives(pattern: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + pattern[at..].iter().position(|&byte| byte == b'%')?;
        let letter = pattern[start + 1..].iter().position(|byte| byte.is_ascii_alphabetic() || *byte == b'%');
        at = letter.map_or(pattern.len(), |letter| start + 2 + letter);
        Some((start, &pattern[start..at]))
    })
}

/// Write 2024-11-20 12:34:56.123456 UTC in this format, and read it again.
fn read_sample(format: &[u8]) -> Result<BrokenDownTime, String> {
    let sample = DateTime::constant(2024, 11, 20, 12, 34, 56, 123_456_000);
    sample
        .to_zoned(TimeZone::UTC)
        .and_then(|sample| BrokenDownTime::from(&sample).to_string(format))
        .and_then(|text| BrokenDownTime::parse_prefix(format, text))
        .map(|(time, _)| time)
        .map_err(|error| error.to_string())
}

fn stamp_of(time: &BrokenDownTime, end: usize, years: &Years) -> Result<Stamp, &'static str> {
    if time.iana_time_zone().is_some() {
        return Err("the name of a zone is not read, only an offset (%z)");
    }
    let nanos = time.subsec_nanosecond().unwrap_or(0).unsigned_abs();
    if let Some(epoch) = time.timestamp() {
        let ns = epoch.as_second().checked_mul(NS_PER_S).and_then(|ns| ns.checked_add(nanos.into()));
        return ns.and_then(|ns| Stamp::of_epoch(ns, end)).ok_or("outside of the years 1678 to 2261");
    }
    if time.hour().is_none() {
        return Err("it carries no time of day");
    }
    let clock = time.to_time().map_err(|_| "its time of day is incomplete")?;
    let clock_s =
        (i32::from(clock.hour()) * 3600 + i32::from(clock.minute()) * 60 + i32::from(clock.second())).unsigned_abs();
    let local_s = local_s(time, clock_s, years)?;
    Ok(Stamp { local_s, nanos, offset_s: time.offset().map(Offset::seconds), end })
}

fn local_s(time: &BrokenDownTime, clock_s: u32, years: &Years) -> Result<i64, &'static str> {
    if let (None, None, Some(month), Some(day)) = (time.year(), time.iso_week_year(), time.month(), time.day()) {
        let (month, day) = (month.unsigned_abs().into(), day.unsigned_abs().into());
        return years.latest_s(month, day, clock_s).ok_or("there is no such day");
    }
    let date = time.to_date().map_err(|_| "it carries no date")?;
    let [month, day] = [date.month(), date.day()].map(|part| u32::from(part.unsigned_abs()));
    let midnight_s = u32::try_from(date.year()).ok().and_then(|year| civil::midnight_s(year, month, day));
    midnight_s.map(|midnight_s| midnight_s + i64::from(clock_s)).ok_or("outside of the years 1678 to 2261")
}
