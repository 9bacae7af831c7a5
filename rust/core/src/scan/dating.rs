//! Lines without a time, dated by when they came.
//!
//! Holds: the times of one block, as many as whoever captured it noted.
//! Plan:  a line came when its first byte did. It is a record of its own, unless it came soon after a line with a time
//!        of its own: then it belongs to that one (a traceback). A source whose lines have times of their own from its
//!        beginning on needs none of this: its first one ends it.
//! Order: a date is never below the highest time before it; [`super::Scanner`] sees to that.

use super::UNTIMED;

/// A line that came no later after one with a time belongs to it. What notes when bytes came does so a second apart,
/// or somewhat more on a busy machine.
const BELONGS_NS: i64 = 5_000_000_000;

pub(super) struct Dating {
    until: u64,
    latest: i64,
    /// Of the block at hand: from which byte on it came when.
    times: Vec<(u32, i64)>,
    next: usize,
    /// When the line begun last came; `UNTIMED` if nobody noted that.
    came: i64,
    /// When the last line with a time of its own came, as long as lines belong to it.
    header: Option<i64>,
}

impl Dating {
    pub(super) fn new(until: u64, latest: i64) -> Self {
        Dating { until, latest, times: Vec::new(), next: 0, came: UNTIMED, header: None }
    }

    pub(super) fn came(&mut self, times: Vec<(u32, i64)>) {
        self.times = times;
        self.next = 0;
    }

    /// A line begins at a byte of the block, behind the one before; where the block has no such byte, it is not known yet.
    pub(super) fn begin_line(&mut self, at: usize) {
        while let Some(&(_, ns)) = self.times.get(self.next).filter(|(from, _)| *from as usize <= at) {
            self.came = ns;
            self.next += 1;
        }
    }

    /// A line with a time of its own was begun at `offset`; whether no line after it is dated any more.
    pub(super) fn end_with_time(&mut self, offset: u64) -> bool {
        self.header = Some(self.came);
        offset < self.until
    }

    /// Whether the line begun last is a record of its own, if it has no time.
    pub(super) fn begins_record(&self) -> bool {
        self.header.is_none_or(|header| self.came > header.saturating_add(BELONGS_NS))
    }

    /// When the line begun last, which has no time, was written; None if it belongs to the record before it.
    pub(super) fn date_line(&mut self) -> Option<i64> {
        if !self.begins_record() {
            return None;
        }
        self.header = None;
        Some(self.came.min(self.latest))
    }
}
