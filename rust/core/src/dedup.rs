//! The same record in different sources is shown once; repeats within one source are all shown.
//!
//! Holds: at most [`MAX_RECORDS`] counters, for one instant at a time.
//! Plan:  within one instant, sources come one after the other; the n-th occurrence of a record in
//!        a source is shown only if no earlier source has shown n of them.
//! Loss:  none by mistake but for a collision of a keyed 64-bit hash within one instant. Beyond
//!        the bound records are shown and counted as overflow: rather twice than not at all.

use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Distinct records of one instant that are remembered.
pub const MAX_RECORDS: usize = 1 << 16;

struct Times {
    /// By any source so far.
    shown: u32,
    /// In `source`.
    seen: u32,
    source: u32,
}

/// The records of one instant.
#[derive(Default)]
pub struct Instant {
    ts: Option<i64>,
    keyed: RandomState,
    records: HashMap<u64, Times>,
    /// Records shown although the bound was reached.
    pub overflow: u64,
}

impl Instant {
    /// Whether records of this time are being compared.
    #[inline]
    pub fn covers(&self, ts: i64) -> bool {
        self.ts == Some(ts)
    }

    /// Whether this record of this source is to be shown; sources come in order within an instant.
    pub fn shows(&mut self, ts: i64, source: usize, record: &[u8]) -> bool {
        if !self.covers(ts) {
            self.ts = Some(ts);
            self.records = HashMap::new();
        }
        let source = source as u32;
        let full = self.records.len() >= MAX_RECORDS;
        match self.records.entry(self.key(record)) {
            Entry::Vacant(_) if full => {
                self.overflow += 1;
                true
            }
            Entry::Vacant(slot) => {
                slot.insert(Times { shown: 1, seen: 1, source });
                true
            }
            Entry::Occupied(mut slot) => slot.get_mut().again(source),
        }
    }

    fn key(&self, record: &[u8]) -> u64 {
        let mut hasher = self.keyed.build_hasher();
        hasher.write(record.strip_suffix(b"\n").unwrap_or(record));
        hasher.finish()
    }
}

impl Times {
    fn again(&mut self, source: u32) -> bool {
        if self.source != source {
            self.source = source;
            self.seen = 0;
        }
        self.seen += 1;
        let more = self.seen > self.shown;
        self.shown += u32::from(more);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_count_of_any_source_is_shown() {
        let mut instant = Instant::default();
        let mut shown = |source, record: &[u8]| instant.shows(5, source, record);
        assert!(shown(0, b"a\n") && shown(0, b"a\n") && shown(0, b"b\n"));
        assert!(!shown(1, b"a\n") && !shown(1, b"a") && shown(1, b"a\n") && !shown(1, b"b\n"));
        assert!(!shown(2, b"a\n") && shown(2, b"c\n"));
        assert!(instant.shows(6, 0, b"a\n"));
    }

    #[test]
    fn beyond_the_bound_records_are_shown_and_counted() {
        let mut instant = Instant::default();
        for number in 0..=MAX_RECORDS {
            assert!(instant.shows(1, 0, number.to_string().as_bytes()));
        }
        assert!(instant.shows(1, 1, MAX_RECORDS.to_string().as_bytes()));
        assert!(!instant.shows(1, 1, b"0"));
        assert_eq!(instant.overflow, 2);
    }
}
