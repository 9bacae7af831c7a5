//! A sparse index of a merged log: where to resume the merge so as to be near a line, time or error.
//!
//! Holds: the encoded entries (some 30 bytes for each 64 KiB of log and few sources), and every
//!        [`FRAME`]th entry in full.
//! Plan:  an entry says how far each source was given out and what had been counted by then. Entries
//!        are stored as differences from the one before: variable-length integers, seven bits a byte
//!        (LEB128, as in DWARF), signed ones in zigzag order (as in Protocol Buffers).
//!
//! ```text
//! entry  := bytes seams lines records ts± levels-bitmap {count of each level in the bitmap}
//!           changed {source-gap position floor±}
//! ```
//! Not here: files, identity of sources; whoever stores an index checks that it fits its log.

use crate::given::Given;
use crate::level::Level;
use crate::scan::{Record, UNTIMED};

/// One entry in so many is kept in full.
pub const FRAME: usize = 64;

/// What had been given out at one place of the merged log; sums from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Bytes of records, in their sources.
    pub bytes: u64,
    /// Newlines that the merged text has beside these, after last lines that lack theirs.
    pub seams: u64,
    /// Lines: the ordinal of the next line.
    pub lines: u64,
    /// Records.
    pub records: u64,
    /// Time of the last record.
    pub ts: i64,
    /// Records by level.
    pub levels: [u64; 6],
    /// For each source the offset up to which it was given out.
    pub positions: Vec<u64>,
    /// For each source its highest time given out.
    pub floors: Vec<i64>,
}

impl Entry {
    /// The start of a log of `n` sources.
    pub fn start(n: usize) -> Self {
        Entry {
            bytes: 0,
            seams: 0,
            lines: 0,
            records: 0,
            ts: UNTIMED,
            levels: [0; 6],
            positions: vec![0; n],
            floors: vec![UNTIMED; n],
        }
    }

    /// Bytes of the merged text.
    pub fn text(&self) -> u64 {
        self.bytes.saturating_add(self.seams)
    }

    /// How many records of the levels in `mask` there had been.
    pub fn of_levels(&self, mask: u8) -> u64 {
        let counts = self.levels.iter().zip(0..).filter(|(_, level)| mask & (1_u8 << level) != 0);
        counts.fold(0, |sum: u64, (count, _)| sum.saturating_add(*count))
    }

    fn is_before(&self, ts: i64) -> bool {
        self.records == 0 || self.ts < ts
    }

    /// The entry of a whole log that is this one of a merge resumed at `base`; None beyond all numbers.
    fn counted_from(&self, base: &Entry) -> Option<Entry> {
        let sums = |ours: &[u64], theirs: &[u64]| -> Option<Vec<u64>> {
            ours.iter().zip(theirs).map(|(our, their)| our.checked_add(*their)).collect()
        };
        Some(Entry {
            bytes: self.bytes.checked_add(base.bytes)?,
            seams: self.seams.checked_add(base.seams)?,
            lines: self.lines.checked_add(base.lines)?,
            records: self.records.checked_add(base.records)?,
            ts: self.ts.max(base.ts),
            levels: sums(&self.levels, &base.levels)?.try_into().ok()?,
            positions: sums(&self.positions, &base.positions)?,
            floors: self.floors.iter().zip(&base.floors).map(|(our, their)| *our.max(their)).collect(),
        })
    }
}

/// Encodes entries while a merge goes on.
pub struct Encoder {
    last: Entry,
    ts: i64,
    levels: [u64; 6],
    encoded: Vec<u8>,
}

impl Encoder {
    /// An encoder for a log of `n` sources, at its start.
    pub fn new(n: usize) -> Self {
        Encoder { last: Entry::start(n), ts: UNTIMED, levels: [0; 6], encoded: Vec::new() }
    }

    /// Records that were given out.
    #[inline]
    pub fn count(&mut self, run: &[Record]) {
        for record in run {
            self.levels[usize::from(record.level)] += 1;
        }
        if let Some(record) = run.last() {
            self.ts = record.ts;
        }
    }

    /// Errors, and worse, of all records counted.
    pub fn errors(&self) -> u64 {
        self.levels[Level::Error as usize..].iter().sum()
    }

    /// `bytes` of the last entry.
    pub fn marked_bytes(&self) -> u64 {
        self.last.bytes
    }

    /// Make an entry, unless nothing has been given out since the last one.
    pub fn mark(&mut self, given: &Given, positions: &[u64], floors: &[i64]) {
        if given.source_bytes == self.last.bytes && positions == self.last.positions {
            return;
        }
        let entry = Entry {
            bytes: given.source_bytes,
            seams: given.seams,
            lines: given.lines,
            records: given.records,
            ts: self.ts,
            levels: self.levels,
            positions: positions.to_vec(),
            floors: floors.to_vec(),
        };
        encode(&entry, &self.last, &mut self.encoded);
        self.last = entry;
    }

    /// The entries encoded since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.encoded)
    }
}

fn encode(entry: &Entry, last: &Entry, out: &mut Vec<u8>) {
    put(entry.bytes - last.bytes, out);
    put(entry.seams - last.seams, out);
    put(entry.lines - last.lines, out);
    put(entry.records - last.records, out);
    put(zigzag(entry.ts.wrapping_sub(last.ts)), out);
    let grown = entry.levels.iter().zip(last.levels).map(|(now, then)| now - then);
    let bitmap = grown.clone().zip(0..).filter(|(more, _)| *more > 0).fold(0_u8, |bits, (_, level)| bits | 1 << level);
    out.push(bitmap);
    grown.filter(|more| *more > 0).for_each(|more| put(more, out));
    let changed = |source: &usize| {
        entry.positions[*source] != last.positions[*source] || entry.floors[*source] != last.floors[*source]
    };
    let sources: Vec<usize> = (0..entry.positions.len()).filter(changed).collect();
    put(sources.len() as u64, out);
    let mut next = 0;
    for source in sources {
        put((source - next) as u64, out);
        put(entry.positions[source] - last.positions[source], out);
        put(zigzag(entry.floors[source].wrapping_sub(last.floors[source])), out);
        next = source + 1;
    }
}

/// Make `entry` the one after itself by reading a difference; the offset after it, or None if the
/// bytes are no whole entry.
fn decode(entry: &mut Entry, bytes: &[u8], at: usize) -> Option<usize> {
    let mut reader = Reader { bytes, at };
    entry.bytes = entry.bytes.checked_add(reader.get()?)?;
    entry.seams = entry.seams.checked_add(reader.get()?)?;
    entry.lines = entry.lines.checked_add(reader.get()?)?;
    entry.records = entry.records.checked_add(reader.get()?)?;
    entry.ts = entry.ts.wrapping_add(unzigzag(reader.get()?));
    let bitmap = reader.byte()?;
    for level in 0..6 {
        if bitmap & (1 << level) != 0 {
            entry.levels[level] = entry.levels[level].checked_add(reader.get()?)?;
        }
    }
    let mut next = 0_usize;
    for _ in 0..reader.get()? {
        let source = next.checked_add(usize::try_from(reader.get()?).ok()?)?;
        let position = entry.positions.get_mut(source)?;
        *position = position.checked_add(reader.get()?)?;
        entry.floors[source] = entry.floors[source].wrapping_add(unzigzag(reader.get()?));
        next = source + 1;
    }
    Some(reader.at)
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn get(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

/// The bytes are no index of this many sources.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged;

/// Entries that can be searched.
pub struct Index {
    encoded: Vec<u8>,
    /// Every [`FRAME`]th entry from the start (which is entry 0), and where the next one begins.
    frames: Vec<(Entry, usize)>,
    entries: usize,
    last: Entry,
    /// Where the merge began that tells the entries to come.
    base: Entry,
    /// What it told last, counted from there.
    told: Entry,
}

/// An entry, how many are before it, and where the next one begins.
struct Spot {
    entry: Entry,
    number: usize,
    next: usize,
}

impl Index {
    /// An index of a log of `n` sources that knows the start only.
    pub fn new(n: usize) -> Self {
        let start = Entry::start(n);
        Index {
            encoded: Vec::new(),
            frames: vec![(start.clone(), 0)],
            entries: 1,
            last: start.clone(),
            base: start.clone(),
            told: start,
        }
    }

    /// Add entries that a merge told, or that were stored.
    ///
    /// # Errors
    /// The bytes are damaged; the entries before the damage are added.
    pub fn extend(&mut self, encoded: &[u8]) -> Result<(), Damaged> {
        let mut at = 0;
        while at < encoded.len() {
            let mut told = self.told.clone();
            at = decode(&mut told, encoded, at).ok_or(Damaged)?;
            let entry = told.counted_from(&self.base).ok_or(Damaged)?;
            self.told = told;
            self.push(entry);
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) {
        encode(&entry, &self.last, &mut self.encoded);
        if self.entries.is_multiple_of(FRAME) {
            self.frames.push((entry.clone(), self.encoded.len()));
        }
        self.entries += 1;
        self.last = entry;
    }

    /// Forget the entries that reach `ts`. What is added next was told by a merge resumed at the last
    /// entry left, which counts from there.
    pub fn resume_before(&mut self, ts: i64) -> &Entry {
        let spot = self.search(|entry| entry.is_before(ts));
        self.encoded.truncate(spot.next);
        self.entries = spot.number + 1;
        self.frames.truncate(spot.number / FRAME + 1);
        self.told = Entry::start(spot.entry.positions.len());
        self.base = spot.entry.clone();
        self.last = spot.entry;
        &self.last
    }

    /// Number of entries; the start is one.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The entries as they are stored: an index of as many sources can be extended with them.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The entry that reaches farthest.
    pub fn last(&self) -> &Entry {
        &self.last
    }

    /// The last entry before which `wanted` holds for all; it must hold for the start, and never again
    /// once it does not.
    fn search(&self, wanted: impl Fn(&Entry) -> bool) -> Spot {
        let frame = self.frames.partition_point(|(entry, _)| wanted(entry)).max(1) - 1;
        let (entry, next) = self.frames[frame].clone();
        let mut best = Spot { entry, number: frame * FRAME, next };
        while let Some(spot) = self.after(&best).filter(|spot| wanted(&spot.entry)) {
            best = spot;
        }
        best
    }

    fn after(&self, spot: &Spot) -> Option<Spot> {
        if spot.next >= self.encoded.len() {
            return None;
        }
        let mut entry = spot.entry.clone();
        let next = decode(&mut entry, &self.encoded, spot.next)?;
        Some(Spot { entry, number: spot.number + 1, next })
    }

    /// The last entry at or before a line.
    pub fn at_line(&self, line: u64) -> Entry {
        self.search(|entry| entry.lines <= line).entry
    }

    /// The last entry at or before a byte of the merged text.
    pub fn at_text(&self, offset: u64) -> Entry {
        self.search(|entry| entry.text() <= offset).entry
    }

    /// The first entry after a line; None if no entry reaches so far.
    pub fn after_line(&self, line: u64) -> Option<Entry> {
        self.after(&self.search(|entry| entry.lines <= line)).map(|spot| spot.entry)
    }

    /// The last entry all of whose records are before a time.
    pub fn before_time(&self, ts: i64) -> Entry {
        self.search(|entry| entry.is_before(ts)).entry
    }

    /// The last entry up to which there were at most `count` records of the levels in `mask`: the next
    /// one of them follows before any other entry.
    pub fn at_count(&self, mask: u8, count: u64) -> Entry {
        self.search(|entry| entry.of_levels(mask) <= count).entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(steps: &[(u64, i64, usize, u8)]) -> (Vec<Entry>, Vec<u8>) {
        let mut encoder = Encoder::new(3);
        let mut entry = Entry::start(3);
        let mut all = vec![entry.clone()];
        let mut given = Given::default();
        for &(size, ts, source, level) in steps {
            given.source_bytes += size;
            given.seams += size % 2;
            given.lines += size / 10;
            given.records += size / 20;
            entry.bytes = given.source_bytes;
            entry.seams = given.seams;
            entry.lines = given.lines;
            entry.records = given.records;
            entry.ts = ts;
            entry.levels[usize::from(level)] += 1;
            entry.positions[source] += size;
            entry.floors[source] = ts;
            encoder.ts = ts;
            encoder.levels = entry.levels;
            encoder.mark(&given, &entry.positions, &entry.floors);
            all.push(entry.clone());
        }
        (all, encoder.take())
    }

    proptest! {
        #[test]
        fn every_entry_comes_back_and_is_found(
            steps in prop::collection::vec((10_u64..1 << 40, any::<i64>(), 0_usize..3, 0_u8..6), 0..300),
            line: u64, cut: prop::sample::Index,
        ) {
            let (all, encoded) = entries(&steps);
            let mut index = Index::new(3);
            let cut = cut.index(encoded.len() + 1);
            if index.extend(&encoded[..cut]).is_err() {
                index.extend(&encoded[index.encoded().len()..]).unwrap();
            } else {
                index.extend(&encoded[cut..]).unwrap();
            }
            prop_assert_eq!(index.encoded(), &encoded);
            prop_assert_eq!(index.entries(), all.len());
            prop_assert_eq!(index.last(), all.last().unwrap());
            let line = line % (all.last().unwrap().lines + 2);
            prop_assert_eq!(Some(&index.at_line(line)), all.iter().rfind(|entry| entry.lines <= line));
            let offset = all[all.len() / 2].text();
            prop_assert_eq!(Some(&index.at_text(offset)), all.iter().rfind(|entry| entry.text() <= offset));
            let after = index.after_line(line);
            prop_assert_eq!(after.as_ref(), all.iter().find(|entry| entry.lines > line));
            let mask = 1 << 4;
            let errors = index.at_line(line).of_levels(mask);
            let here = index.at_count(mask, errors);
            prop_assert_eq!(Some(&here), all.iter().rfind(|entry| entry.of_levels(mask) <= errors));
        }

        #[test]
        fn a_merge_resumed_at_an_entry_goes_on_with_the_same_entries(
            steps in prop::collection::vec((10_u64..1 << 40, any::<i64>(), 0_usize..3, 0_u8..6), 1..300),
            reached: prop::sample::Index,
        ) {
            let mut steps = steps;
            steps.sort_by_key(|step| step.1);
            let (all, encoded) = entries(&steps);
            let reached = steps[reached.index(steps.len())].1;
            let mut index = Index::new(3);
            index.extend(&encoded).unwrap();
            let left = index.resume_before(reached).clone();
            prop_assert_eq!(Some(&left), all.iter().rfind(|entry| entry.is_before(reached)));
            let done = index.entries() - 1;
            let (_, rest) = entries(&steps[done..]);
            index.extend(&rest).unwrap();
            prop_assert_eq!(index.entries(), all.len());
            prop_assert_eq!(index.encoded(), &encoded);
            prop_assert_eq!(index.at_line(u64::MAX), all.last().unwrap().clone());
        }

        #[test]
        fn damaged_bytes_never_panic(bytes: Vec<u8>) {
            let mut index = Index::new(2);
            let _ = index.extend(&bytes);
            index.at_line(5);
        }
    }
}
