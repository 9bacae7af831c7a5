//! What is missing in a time: its offset from UTC, or its year.

use super::bad::BadFormat;
use super::{civil, NS_PER_S};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::Timestamp;

/// Offsets are remembered for so long: no zone changes twice in this time.
const QUARTER_S: i64 = 900;
/// A line so little older than the one before was written late by another thread, not after the clock was put back.
const JITTER_NS: i64 = NS_PER_S;
/// 29 February comes at least this often (1896, 1904).
const LEAP_YEARS_APART: u32 = 8;

/// Turns naive times into UTC.
#[derive(Clone, Debug)]
pub struct Naive {
    /// None is UTC.
    zone: Option<TimeZone>,
    /// The quarter of an hour that `offset` is of.
    quarter: i64,
    offset: AmbiguousOffset,
    last_ns: i64,
}

impl Naive {
    pub fn new(name: &str) -> Result<Naive, BadFormat> {
        let zone = match name {
            "" | "UTC" => None,
            _ => Some(TimeZone::get(name).map_err(|error| BadFormat::of_zone(name, error.to_string()))?),
        };
        let offset = AmbiguousOffset::Unambiguous { offset: Offset::UTC };
        Ok(Naive { zone, quarter: i64::MIN, offset, last_ns: i64::MIN })
    }

    /// UTC of a wall clock's time.
    ///
    /// A time that the clock skipped is taken as if the clock had not been put forward yet. A time that came twice is
    /// the first of the two, unless the source would go back by that.
    #[inline]
    pub fn ns(&mut self, local_s: i64, nanos: u32) -> i64 {
        let utc = |offset: Offset| (local_s - i64::from(offset.seconds())) * NS_PER_S + i64::from(nanos);
        if self.zone.is_none() {
            return utc(Offset::UTC);
        }
        self.last_ns = match self.offset_at(local_s) {
            AmbiguousOffset::Unambiguous { offset } => utc(offset),
            AmbiguousOffset::Gap { before, .. } => utc(before),
            AmbiguousOffset::Fold { before, after } => {
                let first = utc(before);
                if first < self.last_ns.saturating_sub(JITTER_NS) {
                    utc(after)
                } else {
                    first
                }
            }
        };
        self.last_ns
    }

    fn offset_at(&mut self, local_s: i64) -> AmbiguousOffset {
        let quarter = local_s.div_euclid(QUARTER_S);
        if quarter == self.quarter {
            return self.offset;
        }
        let first_s = quarter * QUARTER_S;
        let offset = self.look_up(first_s);
        if offset != self.look_up(first_s + QUARTER_S - 1) {
            return self.look_up(local_s);
        }
        (self.quarter, self.offset) = (quarter, offset);
        offset
    }

    fn look_up(&self, local_s: i64) -> AmbiguousOffset {
        let wall_clock = Timestamp::from_second(local_s).map(|as_utc| TimeZone::UTC.to_datetime(as_utc));
        match (&self.zone, wall_clock) {
            (Some(zone), Ok(wall_clock)) => zone.to_ambiguous_timestamp(wall_clock).offset(),
            _ => AmbiguousOffset::Unambiguous { offset: Offset::UTC },
        }
    }

    /// Seconds that a wall clock of the zone shows at an instant.
    fn wall_clock_s(&self, ns: i64) -> i64 {
        let offset = self
            .zone
            .as_ref()
            .map_or(Offset::UTC, |zone| zone.to_offset(Timestamp::from_nanosecond(ns.into()).unwrap_or_default()));
        ns.div_euclid(NS_PER_S) + i64::from(offset.seconds())
    }
}

/// Chooses the year of a time that was written without one.
#[derive(Clone, Debug)]
pub struct Years {
    /// No time is later than this on the wall clock: a day after the reference.
    limit_s: i64,
    /// The year of `limit_s`.
    last: u32,
}

impl Years {
    pub fn until(reference_ns: i64, zone: &Naive) -> Years {
        let limit_s = zone.wall_clock_s(reference_ns.saturating_add(civil::S_PER_DAY * NS_PER_S));
        let (last, ..) = civil::date(limit_s);
        Years { limit_s, last }
    }

    /// The latest such time up to the limit, in seconds since 1970 on the wall clock.
    pub fn latest_s(&self, month: u32, day: u32, clock_s: u32) -> Option<i64> {
        (0..=LEAP_YEARS_APART)
            .filter_map(|ago| civil::midnight_s(self.last - ago, month, day))
            .map(|midnight_s| midnight_s + i64::from(clock_s))
            .find(|&local_s| local_s <= self.limit_s)
    }
}
