//! Dates of the Gregorian calendar, and seconds since 1970.

use super::NS_PER_S;

pub const S_PER_DAY: i64 = 86_400;
/// Years that an `i64` of nanoseconds holds from end to end.
const YEARS: std::ops::RangeInclusive<u32> = 1678..=2261;
/// The seconds of these years.
pub const SPAN_S: std::ops::Range<i64> = -9_214_560_000..9_214_646_400;
/// Days from 0001-01-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_162;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970_FROM_MARCH: i64 = 719_468;
/// Every span of 400 years has as many days.
const DAYS_PER_400_YEARS: u32 = 146_097;

/// Days of a common year before the month of that number, and before the next year.
const DAYS_BEFORE: [u32; 14] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// Seconds from 1970 to midnight of a date; None if there is no such date, or not in the years we hold.
#[inline]
pub fn midnight_s(year: u32, month: u32, day: u32) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let leap_day = u32::from(is_leap(year));
    let (before, after) = (DAYS_BEFORE[month as usize], DAYS_BEFORE[month as usize + 1]);
    if day == 0 || day > after - before + leap_day * u32::from(month == 2) {
        return None;
    }
    let day_of_year = before + leap_day * u32::from(month > 2) + day - 1;
    let full = year - 1;
    let days = full * 365 + full / 4 - full / 100 + full / 400 + day_of_year;
    Some((i64::from(days) - DAYS_TO_1970) * S_PER_DAY)
}

#[inline]
fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Year, month and day, and the second of that day. The seconds are those of any `i64` of nanoseconds.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "days 612,704 to 826,218 since year 0")]
pub fn date(local_s: i64) -> (u32, u32, u32, u32) {
    let seconds = (local_s + DAYS_TO_1970_FROM_MARCH * S_PER_DAY) as u64;
    let days = (seconds / S_PER_DAY as u64) as u32;
    let second = (seconds % S_PER_DAY as u64) as u32;
    // Years that begin in March have their leap day at the end.
    let (span, day) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let next_year = u32::from(month >= 10);
    (span * 400 + year + next_year, month + 3 - 12 * next_year, day, second)
}

/// Append `ns` as `2024-11-20T12:34:56.123456Z`; with nine digits when it is not of whole microseconds.
#[expect(clippy::cast_possible_truncation, reason = "a remainder is less than its divisor")]
pub fn write_rfc3339(ns: i64, out: &mut Vec<u8>) {
    let (year, month, day, second) = date(ns.div_euclid(NS_PER_S));
    let nanos = ns.rem_euclid(NS_PER_S) as u32;
    let (micros, below) = (nanos / 1000, nanos % 1000);
    // Written where it stays: a copy of bytes just written one by one would have to wait for them.
    out.extend_from_slice(b"0000-00-00T00:00:00.000000000Z");
    let Some(text) = out.last_chunk_mut::<30>() else { return };
    let mut put = |at: usize, number: u32| text[at..at + 2].copy_from_slice(&PAIRS[number as usize]);
    put(0, year / 100);
    put(2, year % 100);
    put(5, month);
    put(8, day);
    put(11, second / 3600);
    put(14, second / 60 % 60);
    put(17, second % 60);
    put(20, micros / 10_000);
    put(22, micros / 100 % 100);
    put(24, micros % 100);
    if below == 0 {
        text[26] = b'Z';
        out.truncate(out.len() - 3);
    } else {
        put(26, below / 10);
        text[28] = b'0' + (below % 10) as u8;
    }
}

/// `00` to `99`
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [*b"00"; 100];
    let mut number = 0_u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_years_we_hold_is_that_of_jiff() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut day = jiff::civil::date(1678, 1, 1);
        while day <= jiff::civil::date(2261, 12, 31) {
            let midnight = i64::from((day - epoch).get_days()) * S_PER_DAY;
            let parts = [i32::from(day.year()), i32::from(day.month()), i32::from(day.day())];
            let [year, month, of_month] = parts.map(i32::unsigned_abs);
            assert_eq!(midnight_s(year, month, of_month), Some(midnight), "{day}");
            assert_eq!(date(midnight + S_PER_DAY - 1), (year, month, of_month, 86_399), "{day}");
            assert_eq!(of_month == u32::from(day.days_in_month().unsigned_abs()), {
                midnight_s(year, month, of_month + 1).is_none()
            });
            day = day.tomorrow().expect("far from jiff's end");
        }
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for (year, month, day) in
            [(1677, 12, 31), (2262, 1, 1), (2024, 0, 1), (2024, 13, 1), (2024, 1, 0), (2023, 2, 29)]
        {
            assert_eq!(midnight_s(year, month, day), None, "{year}-{month}-{day}");
        }
    }
}
