//! One source: from bytes cut anywhere to timed records.
//!
//! Holds: one block (in the batch it gives back) and one open record, itself no longer than
//!        `max_record_bytes` and one block.
//! Plan:  a record is a line with a time and the lines after it without one. Whatever of a block is
//!        not yet a whole record (the *tail*) is carried over; everything else stays where it is and
//!        is only pointed at. What a record needs later (is each line JSON?) is found out here, so
//!        that several sources can be scanned in parallel while one thread merges.
//! Order: as in the source; a record's time is never below the one before it (effective time).
//! Loss:  none; a record over `max_record_bytes` goes on in pieces, cut at the same bytes
//!        wherever the blocks were cut.
//! Not here: order among sources, writing.

mod dating;
mod prescan;
mod shape;

pub use prescan::{Prescan, Prescanner};

use std::ops::Range;
use std::sync::Arc;

use crate::filter::{Filter, Hits};
use crate::json::{self, Nobody, Value, Visit};
use crate::level::{self, Level};
use crate::masks::Masks;
use crate::outline::{self, Sign};
use crate::stamp;

use dating::Dating;
use prescan::Guess;
use shape::Shape;

/// Time of lines before the first timed one of their source.
pub const UNTIMED: i64 = i64::MIN;

/// A line longer than a record may be is only looked at this far for its time.
const LONG_LINE_HEAD: usize = 4096;

/// A JSON line by itself is only looked at for its time up to this length.
const LONG_JSON: usize = 1 << 20;

/// A record of more lines passes in pieces too, however short they are: each line becomes an object in NDJSON.
pub const MAX_RECORD_LINES: u32 = 65_536;

/// How a source is to be scanned; the same for all sources of a merge.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four questions that have nothing to do with each other")]
pub struct Settings {
    /// Zone, format and reference of times.
    pub stamps: stamp::Settings,
    /// Which records pass.
    pub filter: Option<Arc<Filter>>,
    /// Recognise levels (for counts); a filter by level wants it too.
    pub levels: bool,
    /// Find out which lines are JSON objects (for NDJSON output).
    pub json: bool,
    /// A longer record passes in pieces.
    pub max_record_bytes: usize,
    /// Keep records that do not pass, marked, so that lines can be counted.
    pub keep_hidden: bool,
    /// Find where groups of lines begin and end.
    pub outline: bool,
}

impl Settings {
    fn wants_levels(&self) -> bool {
        self.levels || self.filter.as_ref().is_some_and(|filter| filter.levels != 0)
    }
}

/// Where a record is and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Effective time: the highest of its source so far.
    pub ts: i64,
    /// Offset in its region.
    pub start: u32,
    /// Length with its newline.
    pub len: u32,
    /// Number of lines that end in it.
    pub lines: u32,
    /// Its level, if levels are wanted.
    pub level: u8,
    flags: u8,
}

impl Record {
    const IN_HEAD: u8 = 1;
    const ALL_JSON: u8 = 2;
    const NO_JSON: u8 = 4;
    const GOES_ON: u8 = 8;
    const CUT_END: u8 = 16;
    const HIDDEN: u8 = 32;

    /// Every line is a JSON object: NDJSON can pass it as it is.
    #[inline]
    pub fn all_json(&self) -> bool {
        self.flags & Self::ALL_JSON != 0
    }

    /// No line can be a JSON object.
    #[inline]
    pub fn no_json(&self) -> bool {
        self.flags & Self::NO_JSON != 0
    }

    /// A piece: the next record of the source is more of the same.
    #[inline]
    pub fn goes_on(&self) -> bool {
        self.flags & Self::GOES_ON != 0
    }

    /// It did not pass the filter, and is there only to be counted.
    #[inline]
    pub fn hidden(&self) -> bool {
        self.flags & Self::HIDDEN != 0
    }

    /// A piece that ends within a line.
    #[inline]
    pub fn cut_end(&self) -> bool {
        self.flags & Self::CUT_END != 0
    }
}

/// What was counted while scanning; sums up over blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes fed.
    pub bytes: u64,
    /// Records found, before any filter.
    pub records: u64,
    /// Lines found, before any filter.
    pub lines: u64,
    /// Records whose own time was below an earlier one of their source.
    pub late: u64,
    /// Records that the filter kept back.
    pub filtered: u64,
    /// Pieces cut off records that were too long to pass whole.
    pub pieces: u64,
    /// Records by level (all unknown unless levels are wanted).
    pub levels: [u64; 6],
    /// Lowest time seen.
    pub first_ns: Option<i64>,
    /// Highest time seen.
    pub last_ns: Option<i64>,
}

impl Counts {
    /// Add the counts of another stretch or source.
    pub fn add(&mut self, other: &Counts) {
        self.bytes += other.bytes;
        self.records += other.records;
        self.lines += other.lines;
        self.late += other.late;
        self.filtered += other.filtered;
        self.pieces += other.pieces;
        for (sum, more) in self.levels.iter_mut().zip(other.levels) {
            *sum += more;
        }
        self.first_ns = [self.first_ns, other.first_ns].into_iter().flatten().min();
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// Records of one stretch of one source. Their bytes are in two regions: the *head* (what an earlier
/// block left open) and the block itself.
pub struct Batch<B> {
    head: Vec<u8>,
    head_base: u64,
    block: Option<B>,
    block_base: u64,
    records: Vec<Record>,
    /// Offset in the source up to which all is given out once these records are.
    pub end: u64,
    /// No later record of this source is below this time.
    pub floor: i64,
    /// From this record on they lie in the block one after the other, and can pass as they are.
    pub seamless_from: usize,
    /// What was counted on the way.
    pub counts: Counts,
    /// Where groups of lines begin and end, if that is wanted.
    pub signs: Vec<Sign>,
}

impl<B: AsRef<[u8]>> Batch<B> {
    /// The records, in order.
    #[inline]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The bytes of a record, with its newline if it has one.
    #[inline]
    pub fn bytes(&self, record: &Record) -> &[u8] {
        let region = if record.flags & Record::IN_HEAD != 0 { &self.head[..] } else { self.block() };
        &region[record.start as usize..record.start as usize + record.len as usize]
    }

    /// The bytes from the start of one record to the end of another, both from `seamless_from` on.
    #[inline]
    pub fn stretch(&self, first: &Record, last: &Record) -> &[u8] {
        &self.block()[first.start as usize..last.start as usize + last.len as usize]
    }

    /// Offset in the source at which a record ends.
    #[inline]
    pub fn end_of(&self, record: &Record) -> u64 {
        let base = if record.flags & Record::IN_HEAD != 0 { self.head_base } else { self.block_base };
        base + u64::from(record.start) + u64::from(record.len)
    }

    /// Bytes held in memory for this batch.
    pub fn held_bytes(&self) -> usize {
        self.head.len() + self.block().len()
    }

    #[inline]
    fn block(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], AsRef::as_ref)
    }
}

/// A record whose end is not known yet.
#[derive(Clone, Copy)]
struct Open {
    start: usize,
    ts: i64,
    lines: u32,
    /// A piece of it has been given out already; its level was known then.
    continues: Option<Level>,
    /// What the search for its time learnt of its first line.
    first_line: FirstLine,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstLine {
    Unknown,
    /// Begins with a plain string member that ends at this offset in the line.
    BeginsAsJson(u32),
    ValidJson,
}

/// One region of bytes while it is scanned.
struct Region<'b> {
    bytes: &'b [u8],
    masks: Option<&'b Masks>,
    utf8: bool,
    hits: Hits<'b>,
    flag: u8,
}

/// Splits one source into records.
pub struct Scanner {
    settings: Settings,
    stamps: stamp::Reader,
    masks: Masks,
    tail: Vec<u8>,
    tail_base: u64,
    /// Start of the unfinished line in the tail.
    tail_line: usize,
    /// The record the tail begins with, unless it begins with an unfinished line of unknown kind.
    open: Option<Open>,
    /// The unfinished line is so long that its kind was decided already: it is part of `open`.
    line_decided: bool,
    floor: i64,
    /// When bytes came, as long as that says when lines without a time were written. In a place of its own: seldom.
    dating: Option<Box<Dating>>,
    /// What the lines before say of whether one without a time goes on with them, where no time says it.
    shape: Shape,
    counts: Counts,
    records: Vec<Record>,
}

impl Scanner {
    /// A scanner at the start of a source.
    ///
    /// # Errors
    /// The time format cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, stamp::BadFormat> {
        Ok(Scanner::with(settings.clone(), stamp::Reader::new(&settings.stamps)?))
    }

    fn with(settings: Settings, stamps: stamp::Reader) -> Self {
        Scanner {
            settings,
            stamps,
            masks: Masks::default(),
            tail: Vec::new(),
            tail_base: 0,
            tail_line: 0,
            open: None,
            line_decided: false,
            floor: UNTIMED,
            dating: None,
            shape: Shape::default(),
            counts: Counts::default(),
            records: Vec::new(),
        }
    }

    /// Go on in the middle of a source whose latest effective time was `floor`.
    pub fn resume(&mut self, floor: i64) {
        self.floor = floor;
    }

    /// Date lines without a time by when they came, which [`Scanner::came`] tells; before anything is scanned.
    ///
    /// `until`: a line that has a time and begins before this byte ends that, as the lines after it belong to it.
    /// No line is dated later than `latest`.
    pub fn date(&mut self, until: u64, latest: i64) {
        self.dating = Some(Box::new(Dating::new(until, latest)));
    }

    /// Tell when the bytes of the next block came: from each of these of its bytes on, at this time; in order.
    pub fn came(&mut self, times: Vec<(u32, i64)>) {
        if let Some(dating) = &mut self.dating {
            dating.came(times);
        }
    }

    /// Let no record pass.
    pub fn hide(&mut self) {
        let nothing = Filter { since_ns: Some(i64::MAX), until_ns: Some(i64::MIN), ..Filter::default() };
        self.settings.filter = Some(Arc::new(nothing));
    }

    /// The highest time so far: no later record is below it.
    pub fn floor(&self) -> i64 {
        self.floor
    }

    /// Scan the next bytes of the source.
    ///
    /// # Panics
    /// If the block is 4 GiB or larger.
    pub fn scan<B: AsRef<[u8]>>(&mut self, block: B) -> Batch<B> {
        self.scan_with(block, None)
    }

    fn scan_with<B: AsRef<[u8]>>(&mut self, block: B, guess: Option<Guess>) -> Batch<B> {
        let bytes = block.as_ref();
        assert!(u32::try_from(bytes.len()).is_ok(), "a block is smaller than 4 GiB");
        self.counts.bytes += bytes.len() as u64;
        let block_base = self.tail_base + self.tail.len() as u64;
        let from = self.grow_tail(bytes);
        let head_records = self.records.len();
        let (head, head_base) = self.split_tail();
        match guess.filter(|guess| self.dating.is_none() && guess.fits(from, self.floor)) {
            Some(guess) => self.adopt(guess, block_base),
            None if from < bytes.len() => self.scan_block(bytes, from, block_base),
            None => {}
        }
        let in_block = &self.records[head_records..];
        let seamless_from = if self.is_seamless(in_block) { head_records } else { self.records.len() };
        let block = (self.records.len() > head_records).then_some(block);
        self.batch(head, head_base, block, block_base, seamless_from)
    }

    /// The source has ended: its last line is complete, with or without a newline.
    pub fn finish<B: AsRef<[u8]>>(&mut self) -> Batch<B> {
        let tail = std::mem::take(&mut self.tail);
        if self.tail_line < tail.len() {
            if self.line_decided {
                self.count_line();
            } else {
                self.end_line(&tail, tail.len());
            }
        }
        self.close_in_tail(&tail, tail.len());
        self.open = None;
        self.line_decided = false;
        self.tail_line = 0;
        let base = self.tail_base;
        self.tail_base += tail.len() as u64;
        self.batch(tail, base, None, base, usize::MAX)
    }

    /// Nothing more for now: give the whole lines of the open record, keep an unfinished line.
    ///
    /// Lines that come later without a time of their own make a record at the same time.
    pub fn flush<B: AsRef<[u8]>>(&mut self) -> Batch<B> {
        let mut tail = std::mem::take(&mut self.tail);
        let base = self.tail_base;
        if self.line_decided {
            std::mem::swap(&mut self.tail, &mut tail);
        } else {
            self.close_in_tail(&tail, self.tail_line);
            self.open = None;
            self.shape = Shape::default();
            self.tail = tail.split_off(self.tail_line);
            self.tail_base += self.tail_line as u64;
            self.tail_line = 0;
        }
        self.batch(tail, base, None, base, usize::MAX)
    }

    fn batch<B: AsRef<[u8]>>(
        &mut self,
        head: Vec<u8>,
        head_base: u64,
        block: Option<B>,
        block_base: u64,
        seamless_from: usize,
    ) -> Batch<B> {
        let records = std::mem::take(&mut self.records);
        self.records.reserve(records.len());
        let mut signs = Vec::new();
        if self.settings.outline {
            let in_head = records.partition_point(|record| record.flags & Record::IN_HEAD != 0);
            find_signs(&head, &records, 0..in_head, &mut signs);
            if let Some(block) = &block {
                find_signs(block.as_ref(), &records, in_head..records.len(), &mut signs);
            }
        }
        Batch {
            head,
            head_base,
            block,
            block_base,
            records,
            end: self.tail_base,
            floor: self.floor,
            seamless_from,
            counts: std::mem::take(&mut self.counts),
            signs,
        }
    }

    fn is_seamless(&self, records: &[Record]) -> bool {
        let mut next = records.first().map_or(0, |record| record.start);
        records.iter().all(|record| {
            let follows = record.start == next;
            next = record.start + record.len;
            follows && !record.hidden() && (record.all_json() || !self.settings.json)
        })
    }

    // ---- the tail: what earlier blocks left open -------------------------------------------

    /// Take from the block what completes the open record; give the offset where the rest begins.
    fn grow_tail(&mut self, block: &[u8]) -> usize {
        if self.tail.is_empty() {
            return 0;
        }
        let mut tail = std::mem::take(&mut self.tail);
        // What the last block left may itself be long.
        self.decide_long_line(&tail);
        self.cut_in_tail(&tail);
        let mut from = 0;
        while from < block.len() {
            let line = match memchr::memchr(b'\n', &block[from..]) {
                Some(length) => &block[from..=from + length],
                None => &block[from..],
            };
            let fresh_line = self.tail_line == tail.len();
            if fresh_line {
                self.begin_line(from);
            }
            let complete = line.last() == Some(&b'\n');
            let whole = fresh_line && complete;
            if whole && self.begins_record(line) {
                break;
            }
            tail.extend_from_slice(line);
            from += line.len();
            if whole {
                if self.is_loose() {
                    self.shape.add(&line[..line.len() - 1]);
                }
                self.count_line();
                self.tail_line = tail.len();
            } else if complete {
                self.end_tail_line(&tail);
            } else {
                self.decide_long_line(&tail);
            }
            self.cut_in_tail(&tail);
        }
        if self.tail_line == tail.len() && from < block.len() {
            self.close_in_tail(&tail, tail.len());
            self.open = None;
        }
        self.tail = tail;
        from
    }

    /// Whether a whole line begins a new record; changes nothing but what the clock remembers.
    fn begins_record(&mut self, line: &[u8]) -> bool {
        let line = &line[..line.len() - 1];
        let by_shape = self.is_loose() && self.shape.goes_on(line);
        if self.floor == UNTIMED && !by_shape {
            return true;
        }
        let time = self.time_of(line);
        if by_shape {
            return time.is_some();
        }
        match &self.dating {
            Some(dating) => time.is_some() || dating.begins_record(),
            None => time.is_some(),
        }
    }

    fn end_tail_line(&mut self, tail: &[u8]) {
        if self.line_decided {
            self.line_decided = false;
            self.count_line();
        } else {
            self.end_line(tail, tail.len() - 1);
        }
        self.tail_line = tail.len();
    }

    /// The line `tail_line..end` of the tail is complete: it begins a record or belongs to the open one.
    fn end_line(&mut self, tail: &[u8], end: usize) {
        let start = self.tail_line;
        self.place_line(tail, start, end);
        self.count_line();
    }

    fn place_line(&mut self, tail: &[u8], start: usize, end: usize) {
        let line = &tail[start..end];
        let own = self.time_of(line);
        let (begins, time) = self.place(line, own, self.open.is_some(), self.tail_base + start as u64);
        if begins {
            self.close_in_tail(tail, start);
            self.open = Some(self.open_record(start, time));
        }
    }

    fn count_line(&mut self) {
        self.counts.lines += 1;
        if let Some(open) = &mut self.open {
            open.lines += 1;
        }
    }

    /// A line that is longer than a record may be is placed before its end is known.
    fn decide_long_line(&mut self, tail: &[u8]) {
        let length = tail.len() - self.tail_line;
        if length > self.settings.max_record_bytes && !self.line_decided {
            self.place_line(tail, self.tail_line, tail.len());
            self.line_decided = true;
        }
    }

    fn close_in_tail(&mut self, tail: &[u8], end: usize) {
        if let Some(open) = self.open {
            let mut region = Region::of_tail(tail);
            self.close(&mut region, open, end);
        }
    }

    /// Give out pieces of the open record as long as more than `max_record_bytes` of it are known.
    fn cut_in_tail(&mut self, tail: &[u8]) {
        let known = if self.line_decided { tail.len() } else { self.tail_line };
        if let Some(open) = self.open {
            if known > open.start + self.settings.max_record_bytes || open.lines > MAX_RECORD_LINES {
                let mut region = Region::of_tail(tail);
                self.open = Some(self.cut(&mut region, open, known));
            }
        }
    }

    /// Separate what has been given out (the head of the batch) from what stays open.
    fn split_tail(&mut self) -> (Vec<u8>, u64) {
        let base = self.tail_base;
        let keep_from = self.open.map_or(self.tail_line, |open| open.start);
        if keep_from == 0 {
            return (Vec::new(), base);
        }
        let rest = self.tail.split_off(keep_from);
        let head = std::mem::replace(&mut self.tail, rest);
        self.tail_base += keep_from as u64;
        // A long line of which a piece is given out began before what stays.
        self.tail_line = self.tail_line.saturating_sub(keep_from);
        if let Some(open) = &mut self.open {
            open.start = 0;
        }
        (head, base)
    }

    // ---- the block: the hot path -----------------------------------------------------------

    fn scan_block(&mut self, block: &[u8], from: usize, block_base: u64) {
        let mut masks = std::mem::take(&mut self.masks);
        masks.fill(block, self.settings.json || self.settings.wants_levels());
        let utf8 = self.settings.json && is_utf8(&block[from..whole_lines(block)]);
        let mut region = Region { bytes: block, masks: Some(&masks), utf8, hits: Hits::new(block), flag: 0 };
        let mut open: Option<Open> = None;
        let mut line = from;
        for newline in masks.newlines(from) {
            let text = &block[line..newline];
            let own = self.time_of(text);
            self.begin_line(line);
            let (begins, time) = self.place(text, own, open.is_some(), block_base + line as u64);
            if begins {
                if let Some(open) = open {
                    self.close(&mut region, open, line);
                }
                open = Some(self.open_record(line, time));
            }
            self.counts.lines += 1;
            if let Some(open) = &mut open {
                open.lines += 1;
            }
            line = newline + 1;
        }
        self.begin_line(line);
        self.keep_tail(block, block_base, open, line);
        self.masks = masks;
    }

    fn keep_tail(&mut self, block: &[u8], block_base: u64, open: Option<Open>, line: usize) {
        let start = open.map_or(line, |open| open.start);
        self.tail.extend_from_slice(&block[start..]);
        self.tail_base = block_base + start as u64;
        self.tail_line = line - start;
        self.open = open.map(|open| Open { start: 0, ..open });
    }

    /// A record begins; its time becomes the floor of its source, or is late.
    #[inline]
    fn open_record(&mut self, start: usize, time: Option<Time>) -> Open {
        let first_line = time.map_or(FirstLine::Unknown, |time| time.first_line);
        if let Some(Time { ns, .. }) = time {
            if ns < self.floor {
                self.counts.late += 1;
                self.counts.first_ns = self.counts.first_ns.map(|first| first.min(ns));
            } else {
                self.floor = ns;
                self.counts.last_ns = Some(ns);
            }
            if self.counts.first_ns.is_none() {
                self.counts.first_ns = Some(ns);
            }
        }
        Open { start, ts: self.floor, lines: 0, continues: None, first_line }
    }

    /// The record is complete: if it passes, point at it.
    #[inline]
    fn close(&mut self, region: &mut Region, open: Open, end: usize) {
        if end == open.start {
            return;
        }
        let is_long = end - open.start > self.settings.max_record_bytes || open.lines > MAX_RECORD_LINES;
        let open = if is_long { self.cut(region, open, end) } else { open };
        self.add(region, open, end, open.lines, 0);
    }

    /// Give out pieces until at most `max_record_bytes` of the known bytes, and `MAX_RECORD_LINES` lines, are left.
    fn cut(&mut self, region: &mut Region, mut open: Open, known: usize) -> Open {
        let max = self.settings.max_record_bytes.max(8);
        while known - open.start > max || open.lines > MAX_RECORD_LINES {
            let bytes = &region.bytes[open.start..known.min(open.start + max)];
            let many = open.lines > MAX_RECORD_LINES;
            let last = many.then(|| memchr::memchr_iter(b'\n', bytes).nth(MAX_RECORD_LINES as usize - 1)).flatten();
            let at_line = last.or_else(|| memchr::memrchr(b'\n', bytes));
            let (length, flags) = match at_line {
                Some(newline) => (newline + 1, Record::GOES_ON),
                None => (character_boundary(bytes), Record::GOES_ON | Record::CUT_END),
            };
            let lines = u32::try_from(memchr::memchr_iter(b'\n', &bytes[..length]).count()).unwrap_or(u32::MAX);
            let level = self.add(region, open, open.start + length, lines, flags);
            open.start += length;
            open.lines = open.lines.saturating_sub(lines);
            self.counts.pieces += 1;
            open.continues = Some(level);
            open.first_line = FirstLine::Unknown;
        }
        open
    }

    /// Count a record or piece and, if it passes the filter, point at it. Returns its level.
    #[inline]
    fn add(&mut self, region: &mut Region, open: Open, end: usize, lines: u32, flags: u8) -> Level {
        let start = open.start;
        let line_end = end - usize::from(region.bytes[end - 1] == b'\n');
        let level = match open.continues {
            Some(level) => level,
            None => self.level_of(region, start, line_end, lines),
        };
        if open.continues.is_none() {
            self.counts.records += 1;
            self.counts.levels[level as usize] += 1;
        }
        let mut flags = flags;
        let piece = flags & Record::CUT_END != 0 || open.continues.is_some();
        if let Some(filter) = &self.settings.filter {
            if !filter.patterns.is_empty() {
                // Each piece passes or fails by itself: none may promise that another follows.
                flags &= !Record::GOES_ON;
            }
            let passes = filter.passes_stamp(open.ts, level as u8)
                && if piece {
                    // What is before and behind it in its line is not looked at, wherever the block was cut.
                    Hits::new(&region.bytes[start..line_end]).passes(filter, 0, line_end - start)
                } else {
                    region.hits.passes(filter, start, line_end)
                };
            if !passes {
                self.counts.filtered += 1;
                if !self.settings.keep_hidden {
                    return level;
                }
                flags |= Record::HIDDEN;
            }
        }
        let shows_json = self.settings.json && !piece && flags & Record::HIDDEN == 0;
        let kind = if shows_json { Self::kind(region, open, line_end, lines) } else { 0 };
        self.records.push(Record {
            ts: open.ts,
            start: start as u32,
            len: (end - start) as u32,
            lines,
            level: level as u8,
            flags: region.flag | flags | kind,
        });
        level
    }

    /// Which lines of a record are JSON objects.
    #[inline]
    fn kind(region: &Region, open: Open, end: usize, lines: u32) -> u8 {
        if lines <= 1 {
            let valid = region.first_is_json(open, end);
            return if valid { Record::ALL_JSON } else { Record::NO_JSON };
        }
        let (mut any, mut all) = (false, true);
        let mut line = open.start;
        for newline in memchr::memchr_iter(b'\n', &region.bytes[open.start..end]).chain([end - open.start]) {
            let valid = region.is_json(line, open.start + newline);
            any |= valid;
            all &= valid;
            line = open.start + newline + 1;
        }
        match (any, all) {
            (_, true) => Record::ALL_JSON,
            (false, _) => Record::NO_JSON,
            _ => 0,
        }
    }

    #[inline]
    fn level_of(&self, region: &Region, start: usize, end: usize, lines: u32) -> Level {
        if !self.settings.wants_levels() {
            return Level::Unknown;
        }
        let first_end = match lines {
            0 | 1 => end,
            _ => memchr::memchr(b'\n', &region.bytes[start..end]).map_or(end, |at| start + at),
        };
        region.level_of(start, first_end)
    }

    // ---- what a line without a time belongs to ----------------------------------------------

    /// Whether more than times decides what a line without one belongs to.
    #[inline]
    fn is_loose(&self) -> bool {
        self.floor == UNTIMED || self.dating.is_some()
    }

    /// Whether the line at `offset`, which has this time of its own or none, begins a record, and of what time.
    #[inline]
    fn place(&mut self, line: &[u8], own: Option<Time>, is_open: bool, offset: u64) -> (bool, Option<Time>) {
        if !self.is_loose() {
            return (own.is_some() || !is_open, own);
        }
        let by_shape = own.is_none() && is_open && self.shape.goes_on(line);
        self.shape.add(line);
        if by_shape {
            return (false, None);
        }
        let time = self.dated(own, offset);
        (time.is_some() || self.floor == UNTIMED || !is_open, time)
    }

    /// The next line begins at this byte of the block.
    fn begin_line(&mut self, at: usize) {
        if let Some(dating) = &mut self.dating {
            dating.begin_line(at);
        }
    }

    /// The time of the line begun last, which begins at `offset`: its own, or when it came.
    fn dated(&mut self, own: Option<Time>, offset: u64) -> Option<Time> {
        let Some(dating) = &mut self.dating else { return own };
        if own.is_some() {
            if dating.end_with_time(offset) {
                self.dating = None;
            }
            return own;
        }
        let ns = dating.date_line()?.max(self.floor);
        (ns != UNTIMED).then_some(Time { ns, first_line: FirstLine::Unknown })
    }

    // ---- times -----------------------------------------------------------------------------

    #[inline(always)]
    fn time_of(&mut self, line: &[u8]) -> Option<Time> {
        const AIRFLOW: &[u8] = b"{\"timestamp\":\"";
        let max = self.settings.max_record_bytes;
        let long = line.len() > max;
        let line = if long { &line[..max.min(LONG_LINE_HEAD)] } else { line };
        if let Some(rest) = line.strip_prefix(AIRFLOW) {
            if let Some((ns, length)) = self.stamps.rfc3339_prefix(rest) {
                let after = (AIRFLOW.len() + length + 1) as u32;
                return Some(Time { ns, first_line: FirstLine::BeginsAsJson(after) });
            }
        }
        self.time_of_other(line, long)
    }

    fn time_of_other(&mut self, line: &[u8], long: bool) -> Option<Time> {
        if line.first() == Some(&b'{') && !long {
            let mut finder = TimeFinder { stamps: &mut self.stamps, found: None };
            let valid = json::check(line, &mut finder);
            return finder.found.filter(|_| valid).map(|ns| Time { ns, first_line: FirstLine::ValidJson });
        }
        self.stamps.of_text(line).map(|ns| Time { ns, first_line: FirstLine::Unknown })
    }
}

#[derive(Clone, Copy)]
struct Time {
    ns: i64,
    first_line: FirstLine,
}

impl<'b> Region<'b> {
    fn of_tail(tail: &'b [u8]) -> Self {
        let utf8 = is_utf8(tail);
        Region { bytes: tail, masks: None, utf8, hits: Hits::new(tail), flag: Record::IN_HEAD }
    }

    /// Whether the first line of a record, up to `end`, is a JSON object.
    #[inline]
    fn first_is_json(&self, open: Open, end: usize) -> bool {
        if self.utf8 {
            match (open.first_line, self.masks) {
                (FirstLine::ValidJson, _) => return true,
                (FirstLine::BeginsAsJson(length), Some(masks)) => {
                    let after = open.start + length as usize;
                    if json::flat_after(self.bytes, masks, open.start, after, end) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        let first = self.bytes.get(open.start);
        matches!(first, Some(b'{' | b' ' | b'\t' | b'\r')) && self.is_json(open.start, end)
    }

    #[inline]
    fn is_json(&self, from: usize, to: usize) -> bool {
        let line = &self.bytes[from..to];
        let shaped = match self.masks {
            Some(masks) if json::flat(self.bytes, masks, from, to, &mut Nobody) => true,
            _ => json::check(line, &mut Nobody),
        };
        shaped && (self.utf8 || is_utf8(line))
    }

    fn level_of(&self, from: usize, to: usize) -> Level {
        let line = &self.bytes[from..to];
        if line.first() != Some(&b'{') {
            return level::of_text(line);
        }
        let mut finder = LevelFinder { level: Level::Unknown };
        let quick = self.masks.is_some_and(|masks| json::flat(self.bytes, masks, from, to, &mut finder));
        if !quick {
            finder.level = Level::Unknown;
            json::check(line, &mut finder);
        }
        finder.level
    }
}

/// Finds the first top-level member that names a time.
struct TimeFinder<'s> {
    stamps: &'s mut stamp::Reader,
    found: Option<i64>,
}

impl<'a> Visit<'a> for TimeFinder<'_> {
    fn member(&mut self, key: &'a [u8], value: Value<'a>) {
        let is_time = matches!(key, b"timestamp" | b"ts" | b"time" | b"@timestamp");
        if !is_time || self.found.is_some() {
            return;
        }
        self.found = match value {
            Value::Text(text) => self.stamps.of_json_str(text),
            Value::Number(token) => self.stamps.of_json_number(token),
            Value::Escaped | Value::Other => None,
        };
    }
}

/// Finds the first top-level member that names a level.
struct LevelFinder {
    level: Level,
}

impl<'a> Visit<'a> for LevelFinder {
    #[inline]
    fn member(&mut self, key: &'a [u8], value: Value<'a>) {
        let is_level = matches!(key, b"level" | b"levelname" | b"severity" | b"lvl" | b"log.level" | b"levelno");
        if !is_level || self.level != Level::Unknown {
            return;
        }
        self.level = match value {
            Value::Text(text) => level::from_json_str(text),
            Value::Number(token) if key == b"levelno" => level::from_python_levelno(token),
            Value::Number(token) => level::from_json_number(token),
            Value::Escaped | Value::Other => Level::Unknown,
        };
    }
}

/// Find where groups begin and end in some records, which lie in one region.
fn find_signs(region: &[u8], records: &[Record], numbers: Range<usize>, signs: &mut Vec<Sign>) {
    let end = records[numbers.clone()].last().map_or(0, |last| (last.start + last.len) as usize);
    let places = numbers.map(|number| {
        let record = &records[number];
        (number as u32, record.start as usize, (record.start + record.len) as usize)
    });
    outline::find(&region[..end], places, signs);
}

/// Where the whole lines of a block end.
fn whole_lines(block: &[u8]) -> usize {
    memchr::memrchr(b'\n', block).map_or(0, |at| at + 1)
}

fn is_utf8(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// The time of one line by itself, or None.
pub(crate) fn line_time(stamps: &mut stamp::Reader, line: &[u8]) -> Option<i64> {
    const AIRFLOW: &[u8] = b"{\"timestamp\":\"";
    if let Some((ns, _)) = line.strip_prefix(AIRFLOW).and_then(|rest| stamps.rfc3339_prefix(rest)) {
        return Some(ns);
    }
    if line.first() == Some(&b'{') && line.len() <= LONG_JSON {
        let mut finder = TimeFinder { stamps, found: None };
        let valid = json::check(line, &mut finder);
        return finder.found.filter(|_| valid);
    }
    stamps.of_text(&line[..line.len().min(LONG_LINE_HEAD)])
}

/// The level of one line by itself.
pub(crate) fn line_level(line: &[u8]) -> Level {
    if line.first() != Some(&b'{') {
        return level::of_text(line);
    }
    let mut finder = LevelFinder { level: Level::Unknown };
    json::check(line, &mut finder);
    finder.level
}

/// The largest cut of at most `bytes.len()` that tears no UTF-8 character.
pub(crate) fn character_boundary(bytes: &[u8]) -> usize {
    let continuation = bytes.iter().rev().take(3).take_while(|&&b| b & 0xc0 == 0x80).count();
    let lead = bytes.len() - continuation - 1;
    let wanted = match bytes[lead] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    if wanted > continuation + 1 {
        lead
    } else {
        bytes.len()
    }
}
