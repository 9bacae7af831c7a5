//! Many sources into one: a k-way merge of scanned records, by time.
//!
//! Holds: for each source the batches fed and not yet given out; one output block.
//! Plan:  the source with the earliest next record gives a *run*: all its records that come before
//!        the next best source. Where a run lies in one piece and needs no rewriting, it is copied
//!        at once. Nothing is given out before every source that could have something earlier has
//!        been fed, has ended, or is idle.
//! Order: (effective time, source number, position). Loss: none.
//! Memory: what is fed (the driver feeds what [`Merger::wanted`] names), and `take`'s block.

use std::collections::VecDeque;
use std::ops::Range;

use crate::dedup::Instant;
use crate::given::Given;
use crate::index::Encoder;
use crate::level::Level;
use crate::outline::Sign;
use crate::render;
use crate::scan::{Batch, Counts, Record, Scanner, Settings, UNTIMED};
use crate::stamp;
use crate::tree::{LoserTree, NEVER};

/// What a merge gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// One JSON object a line.
    Ndjson,
    /// The lines as they were written.
    Text,
    /// Nothing: for counts and indexes.
    Nothing,
}

/// How to merge.
#[derive(Clone)]
pub struct Options {
    /// What to give out.
    pub output: Output,
    /// Show a record that several sources hold only once.
    pub dedup: bool,
    /// How each source is scanned; `json` follows from `output`.
    pub scan: Settings,
    /// Make an index entry after about so many bytes of records; 0 = none.
    pub index_every_bytes: u64,
    /// Tell where in the merged log each record is: those that the filter keeps back are merged too, and not shown.
    pub numbers: bool,
}

/// From so many sources on, processors do not see any more that each of them is read from front to back.
const HARDWARE_STREAMS: usize = 32;

const CACHE_LINE_BYTES: usize = 64;

/// What is told of a record that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Lines of the merged log before it.
    pub line: u64,
    /// Its effective time.
    pub ts: i64,
    /// Its level, if levels are wanted.
    pub level: u8,
    /// Its source.
    pub source: usize,
    /// Its lines.
    pub lines: u32,
    /// Whether it is a piece, and the next one of its source is more of the same.
    pub goes_on: bool,
}

/// A place of the merged log at which a group of lines begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Lines of the merged log before its own.
    pub line: u64,
    /// Time of its record.
    pub ts: i64,
    /// Errors, and worse, before its record.
    pub errors: u64,
    /// Its source.
    pub source: usize,
    /// What it says.
    pub sign: Sign,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More can come and is waited for.
    Waited,
    /// More can come, but nobody waits.
    Idle,
    Ended,
}

struct Input<B> {
    /// In a place of its own: the rest is looked at all the time.
    scanner: Option<Box<Scanner>>,
    /// Holds the next record; None only if there is none.
    current: Option<Batch<B>>,
    /// That record's number.
    next: usize,
    later: VecDeque<Batch<B>>,
    /// No record to come is below this time.
    floor: i64,
    state: State,
    position: u64,
    given_floor: i64,
    counts: Counts,
}

impl<B: AsRef<[u8]>> Input<B> {
    fn new(scanner: Scanner) -> Self {
        Input {
            scanner: Some(Box::new(scanner)),
            current: None,
            next: 0,
            later: VecDeque::new(),
            floor: UNTIMED,
            state: State::Waited,
            position: 0,
            given_floor: UNTIMED,
            counts: Counts::default(),
        }
    }

    fn push(&mut self, batch: Batch<B>) {
        self.counts.add(&batch.counts);
        self.floor = batch.floor;
        if self.current.is_some() {
            self.later.push_back(batch);
        } else {
            self.current = Some(batch);
            self.drop_used();
        }
    }

    /// Let go of batches that are given out, so that the first one has a next record.
    fn drop_used(&mut self) {
        while let Some(batch) = &self.current {
            if self.next < batch.records().len() {
                return;
            }
            self.position = batch.end;
            self.given_floor = batch.floor;
            self.current = self.later.pop_front();
            self.next = 0;
        }
    }

    #[inline]
    fn has_record(&self) -> bool {
        self.current.is_some()
    }

    /// The batch that holds the next records, and those records.
    #[inline]
    fn upcoming(&self) -> Option<(&Batch<B>, &[Record])> {
        self.current.as_ref().map(|batch| (batch, &batch.records()[self.next..]))
    }

    /// The next `count` records (all of the current batch) are done with.
    #[inline]
    fn advance(&mut self, count: usize) {
        let Some(batch) = &self.current else { return };
        self.next += count;
        let last = &batch.records()[self.next - 1];
        self.position = batch.end_of(last);
        self.given_floor = last.ts;
        self.drop_used();
    }

    /// Have the bytes of the next record come from memory meanwhile; it is some time until its turn.
    #[inline]
    fn load_next(&self) {
        if let Some((batch, [next, ..])) = self.upcoming() {
            let bytes = batch.bytes(next);
            for line in bytes.iter().step_by(CACHE_LINE_BYTES).take(2) {
                std::hint::black_box(*line);
            }
        }
    }

    #[inline]
    fn key(&self) -> i64 {
        match &self.current {
            Some(batch) => batch.records()[self.next].ts,
            None if self.state == State::Waited => self.floor,
            None => NEVER,
        }
    }
}

/// Merges records of `n` sources.
pub struct Merger<B> {
    inputs: Vec<Input<B>>,
    tree: LoserTree,
    options: Options,
    instant: Instant,
    out: Vec<u8>,
    /// TEXT: the last line given out, of this source, lacks its newline; it gets one if a line of another one follows.
    owes_newline: Option<usize>,
    /// This source has given a piece of a record, and the rest comes before anything else.
    unfinished: Option<usize>,
    given: Given,
    index: Option<Encoder>,
    /// Where groups of lines began and ended since that was asked last.
    marks: Vec<Mark>,
    /// Lines that have come by, shown or not; and what is told of each record that was shown.
    lines: u64,
    told: Vec<Told>,
}

impl<B: AsRef<[u8]>> Merger<B> {
    /// A merge of `n` sources, each at its start.
    ///
    /// # Errors
    /// The time format cannot be used.
    pub fn new(n: usize, mut options: Options) -> Result<Self, stamp::BadFormat> {
        options.scan.json = options.output == Output::Ndjson;
        options.scan.keep_hidden = options.numbers;
        options.scan.outline = options.index_every_bytes > 0;
        // Also without a source, which may be added: what cannot be used is told now.
        stamp::Reader::new(&options.scan.stamps)?;
        let inputs = (0..n).map(|_| Scanner::new(&options.scan).map(Input::new)).collect::<Result<Vec<_>, _>>()?;
        let index = (options.index_every_bytes > 0).then(|| Encoder::new(n));
        Ok(Merger {
            tree: LoserTree::new(n, if n == 0 { NEVER } else { UNTIMED }),
            inputs,
            options,
            instant: Instant::default(),
            out: Vec::new(),
            owes_newline: None,
            unfinished: None,
            given: Given::default(),
            index,
            marks: Vec::new(),
            lines: 0,
            told: Vec::new(),
        })
    }

    /// One more source, after all others in ties; its number. Not while index entries are made: they
    /// are of a fixed number of sources.
    ///
    /// # Errors
    /// The time format cannot be used.
    pub fn add(&mut self) -> Result<usize, stamp::BadFormat> {
        self.inputs.push(Input::new(Scanner::new(&self.options.scan)?));
        self.tree.add(UNTIMED);
        Ok(self.inputs.len() - 1)
    }

    /// Number of sources.
    pub fn sources(&self) -> usize {
        self.inputs.len()
    }

    /// Take the scanner of a source out, to scan in another thread; its batches come back by `push`.
    /// None if it is out already.
    pub fn scanner(&mut self, source: usize) -> Option<Scanner> {
        self.inputs[source].scanner.take().map(|scanner| *scanner)
    }

    /// Go on in the middle of a source whose latest effective time was `floor`; before anything is fed.
    pub fn resume(&mut self, source: usize, floor: i64) {
        let input = &mut self.inputs[source];
        if let Some(scanner) = &mut input.scanner {
            scanner.resume(floor);
        }
        input.floor = floor;
        input.given_floor = floor;
        self.tree.set(source, input.key());
    }

    /// Date lines of a source by when they came, as [`Scanner::date`] does; before anything is fed.
    pub fn date(&mut self, source: usize, until: u64, latest: i64) {
        if let Some(scanner) = &mut self.inputs[source].scanner {
            scanner.date(until, latest);
        }
    }

    /// Tell when the bytes came that a source is fed next.
    pub fn came(&mut self, source: usize, times: Vec<(u32, i64)>) {
        if let Some(scanner) = &mut self.inputs[source].scanner {
            scanner.came(times);
        }
    }

    /// TEXT: the source whose last line was given out without its newline, so that what follows may have to begin with one.
    pub fn owes_newline(&self) -> Option<usize> {
        self.owes_newline
    }

    /// Go on after such a line of a source.
    pub fn owe_newline(&mut self, source: usize) {
        self.owes_newline = Some(source);
    }

    /// Scan and push the next bytes of a source. Without its scanner nothing happens.
    pub fn feed(&mut self, source: usize, block: B) {
        if let Some(scanner) = &mut self.inputs[source].scanner {
            let batch = scanner.scan(block);
            self.push(source, batch);
        }
    }

    /// Take scanned records of a source; batches of one source come in order.
    pub fn push(&mut self, source: usize, batch: Batch<B>) {
        let input = &mut self.inputs[source];
        if input.state == State::Idle {
            input.state = State::Waited;
        }
        input.push(batch);
        let key = input.key();
        self.tree.set(source, key);
    }

    /// A source has ended.
    pub fn finish(&mut self, source: usize) {
        if let Some(scanner) = &mut self.inputs[source].scanner {
            let batch = scanner.finish();
            self.push(source, batch);
        }
        self.become_state(source, State::Ended);
    }

    /// A live source has nothing for now: give what whole lines it has and do not wait for it.
    pub fn idle(&mut self, source: usize) {
        if let Some(scanner) = &mut self.inputs[source].scanner {
            let batch = scanner.flush();
            self.push(source, batch);
        }
        if self.inputs[source].state != State::Ended {
            self.become_state(source, State::Idle);
        }
    }

    fn become_state(&mut self, source: usize, state: State) {
        self.inputs[source].state = state;
        let key = self.inputs[source].key();
        self.tree.set(source, key);
    }

    /// Sources that must be fed, finished or idled before more can come out.
    pub fn wanted(&self) -> Vec<usize> {
        if let Some(source) = self.unfinished {
            if !self.inputs[source].has_record() {
                return vec![source];
            }
        }
        let waited =
            self.inputs.iter().zip(0..).filter(|(input, _)| !input.has_record() && input.state == State::Waited);
        let mut waited: Vec<(i64, usize)> = waited.map(|(input, source)| (input.floor, source)).collect();
        if waited.len() > 1 || waited.first().is_some_and(|&(_, source)| source != self.tree.winner()) {
            let ready = self.inputs.iter().zip(0..).filter(|(input, _)| input.has_record());
            let first = ready.map(|(input, source)| (input.key(), source)).min().unwrap_or((NEVER, usize::MAX));
            waited.retain(|&place| place < first);
        }
        waited.into_iter().map(|(_, source)| source).collect()
    }

    /// Whether every source has ended and all is given out.
    pub fn done(&self) -> bool {
        self.inputs.iter().all(|input| input.state == State::Ended && !input.has_record())
    }

    /// For each source the offset up to which everything has been given out, shown or not.
    pub fn positions(&self) -> Vec<u64> {
        self.inputs.iter().map(|input| input.position).collect()
    }

    /// For each source the highest time given out: what `resume` wants with its position.
    pub fn floors(&self) -> Vec<i64> {
        self.inputs.iter().map(|input| input.given_floor).collect()
    }

    /// Whether a merge resumed here knows all that this one does: it is not within a record that comes in pieces,
    /// nor within an instant at which sources are compared.
    pub fn resumable(&self) -> bool {
        self.unfinished.is_none() && (self.inputs.is_empty() || !self.instant.covers(self.tree.key(self.tree.winner())))
    }

    /// What has come out so far.
    pub fn given(&self) -> Given {
        self.given
    }

    /// Records shown twice perhaps, because one instant held too many to compare.
    pub fn dedup_overflow(&self) -> u64 {
        self.instant.overflow
    }

    /// What was scanned of a source.
    pub fn counts(&self, source: usize) -> &Counts {
        &self.inputs[source].counts
    }

    /// Index entries made since the last call, encoded.
    pub fn take_index(&mut self) -> Vec<u8> {
        self.index.as_mut().map(Encoder::take).unwrap_or_default()
    }

    /// With `numbers`: what is told of each record given out since the last call.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// While index entries are made: where groups of lines began and ended since the last call.
    pub fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// Show nothing of a source; before anything is fed, and while its scanner is here. With `numbers` its lines count.
    pub fn hide(&mut self, source: usize) {
        if let Some(scanner) = &mut self.inputs[source].scanner {
            scanner.hide();
        }
    }

    /// Lines of the merged log that have come by, shown or not.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Make an index entry for what has been given out so far.
    pub fn mark_index(&mut self) {
        let (positions, floors) = (self.positions(), self.floors());
        if let Some(index) = &mut self.index {
            index.mark(&self.given, &positions, &floors);
        }
    }

    /// Merge until `max_bytes` have come out, or a source is wanted. A record is never split here: a
    /// longer one comes alone, and what NDJSON adds to the last one comes on top. With
    /// [`Output::Nothing`] the bytes are those of the records.
    ///
    /// A cut within an instant at which sources are compared is put off, up to twice `max_bytes`,
    /// so that a merge resumed here compares nothing with what it no longer knows.
    pub fn take(&mut self, max_bytes: usize) -> &[u8] {
        self.fill(max_bytes);
        self.taken()
    }

    /// What the last `take` gave out.
    pub fn taken(&self) -> &[u8] {
        &self.out
    }

    fn fill(&mut self, max_bytes: usize) {
        self.out.clear();
        let start = self.given.source_bytes;
        loop {
            let done = match self.options.output {
                Output::Nothing => usize::try_from(self.given.source_bytes - start).unwrap_or(usize::MAX),
                _ => self.out.len(),
            };
            let left = max_bytes.saturating_sub(done);
            if done > 0 && self.next_len() > left && !self.puts_cut_off(done, max_bytes) {
                break;
            }
            if !self.step(left) {
                break;
            }
        }
        self.given.bytes += self.out.len() as u64;
    }

    fn next_len(&self) -> usize {
        let source = self.tree.winner();
        self.inputs.get(source).and_then(Input::upcoming).map_or(0, |(_, records)| records[0].len as usize)
    }

    /// Whether a cut would come within an instant at which sources are compared, and can still wait.
    fn puts_cut_off(&self, done: usize, max_bytes: usize) -> bool {
        self.instant.covers(self.tree.key(self.tree.winner())) && done / 2 < max_bytes
    }

    /// Give out one run; false if that is not possible now.
    fn step(&mut self, budget: usize) -> bool {
        if self.inputs.is_empty() {
            return false;
        }
        let source = self.tree.winner();
        if let Some(unfinished) = self.unfinished {
            if unfinished != source {
                return self.finish_record(unfinished);
            }
        }
        if !self.inputs[source].has_record() {
            return false;
        }
        let (limit, rival) = self.tree.runner_up();
        self.run(source, limit, rival, budget);
        let key = self.inputs[source].key();
        if self.inputs.len() > HARDWARE_STREAMS {
            self.inputs[source].load_next();
        }
        self.tree.replay(key);
        self.mark_if_due();
        true
    }

    /// Another source would be next, but a record that has begun is given out first.
    fn finish_record(&mut self, source: usize) -> bool {
        if self.inputs[source].has_record() {
            self.run(source, UNTIMED, 0, 1);
            let key = self.inputs[source].key();
            self.tree.set(source, key);
            self.mark_if_due();
            return true;
        }
        if self.inputs[source].state == State::Ended {
            self.unfinished = None;
        }
        self.unfinished.is_none()
    }

    /// Give out the next record of `source`, and those after it that come before (limit, rival).
    fn run(&mut self, source: usize, limit: i64, rival: usize, budget: usize) {
        let Some((batch, records)) = self.inputs[source].upcoming() else { return };
        let next = &records[0];
        let mut count = 1;
        if self.options.dedup && (next.ts == limit || self.instant.covers(next.ts)) {
            if !self.instant.shows(next.ts, source, batch.bytes(next)) {
                self.given.duplicates += 1;
                self.inputs[source].advance(1);
                return;
            }
        } else {
            // At equal times the lower source number comes first; with dedup ties are compared.
            let ties_too = !self.options.dedup && source < rival;
            let through = if ties_too { limit } else { limit.saturating_sub(1) };
            count = run_length(records, through, budget);
        }
        self.give(source, count);
    }

    /// Write the next `count` records of `source` and count them.
    fn give(&mut self, source: usize, count: usize) {
        let Some((batch, records)) = self.inputs[source].upcoming() else { return };
        let run = &records[..count];
        let seamless = self.inputs[source].next >= batch.seamless_from;
        match self.options.output {
            Output::Nothing => {}
            _ if seamless => {
                if self.owes_newline.take().is_some_and(|other| other != source) {
                    self.out.push(b'\n');
                    self.given.seams += 1;
                }
                self.out.extend_from_slice(batch.stretch(&run[0], &run[count - 1]));
            }
            Output::Text => self.given.seams += text(source, batch, run, &mut self.owes_newline, &mut self.out),
            Output::Ndjson => {
                for record in run.iter().filter(|record| !record.hidden()) {
                    render::ndjson(batch.bytes(record), record, &mut self.out);
                }
            }
        }
        if let (Some(index), false) = (&self.index, batch.signs.is_empty()) {
            let first = self.inputs[source].next;
            note_marks(batch, first..first + count, source, (self.given.lines, index.errors()), &mut self.marks);
        }
        for record in run {
            if !record.hidden() {
                self.given.records += 1;
                self.given.lines += u64::from(record.lines);
                self.given.source_bytes += u64::from(record.len);
                if self.options.numbers {
                    self.told.push(Told {
                        line: self.lines,
                        ts: record.ts,
                        level: record.level,
                        source,
                        lines: record.lines,
                        goes_on: record.goes_on(),
                    });
                }
            }
            self.lines += u64::from(record.lines);
        }
        if let Some(index) = &mut self.index {
            index.count(run);
        }
        let last = run[count - 1];
        self.unfinished = last.goes_on().then_some(source);
        self.inputs[source].advance(count);
    }

    /// Make an index entry if it is time; but not within an instant at which sources are compared, nor before a seam:
    /// a merge resumed there would not know what was shown of it, or whose newline is owed.
    fn mark_if_due(&mut self) {
        let due = match &self.index {
            Some(index) => self.given.source_bytes >= index.marked_bytes() + self.options.index_every_bytes,
            None => false,
        };
        if due && self.owes_newline.is_none() && self.resumable() {
            self.mark_index();
        }
    }
}

/// Say where in the merged log the marks in some records are; `before` are the lines and errors before the first one.
fn note_marks<B: AsRef<[u8]>>(
    batch: &Batch<B>,
    records: Range<usize>,
    source: usize,
    before: (u64, u64),
    marks: &mut Vec<Mark>,
) {
    let begin = batch.signs.partition_point(|sign| (sign.record as usize) < records.start);
    let signs = batch.signs[begin..].iter().take_while(|sign| (sign.record as usize) < records.end);
    let (mut line, mut errors) = before;
    let mut next = records.start;
    for sign in signs {
        let record = sign.record as usize;
        for passed in &batch.records()[next..record] {
            line += u64::from(passed.lines);
            errors += u64::from(passed.level >= Level::Error as u8);
        }
        next = record;
        let ts = batch.records()[record].ts;
        marks.push(Mark { line: line + u64::from(sign.line), ts, errors, source, sign: sign.clone() });
    }
}

/// How many records, at least one, have a time up to `through` and together at most `budget` bytes.
#[inline]
fn run_length(records: &[Record], through: i64, budget: usize) -> usize {
    let mut bytes = records[0].len as usize;
    let mut count = 1;
    while count < records.len() && records[count].ts <= through {
        bytes += records[count].len as usize;
        if bytes > budget {
            break;
        }
        count += 1;
    }
    count
}

/// Append records of a source as they are; a line that lacks its newline gets it only when a line of another follows.
/// How many it has put there is returned.
fn text<B: AsRef<[u8]>>(
    source: usize,
    batch: &Batch<B>,
    run: &[Record],
    owes_newline: &mut Option<usize>,
    out: &mut Vec<u8>,
) -> u64 {
    let mut seams = 0;
    for record in run.iter().filter(|record| !record.hidden()) {
        let bytes = batch.bytes(record);
        if owes_newline.take().is_some_and(|other| other != source) {
            out.push(b'\n');
            seams += 1;
        }
        out.extend_from_slice(bytes);
        *owes_newline = (!record.cut_end() && bytes.last() != Some(&b'\n')).then_some(source);
    }
    seams
}
