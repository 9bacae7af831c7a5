//! Scan and merge: nothing is lost, whatever the bytes are and wherever they are cut.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use logflume_core::filter::{Filter, Pattern};
use logflume_core::json::{self, Nobody};
use logflume_core::merge::{Merger, Options, Output};
use logflume_core::scan::{Scanner, Settings};

use super::{is_object, Luck};

const HEAD_BYTES: usize = 5;
const MAX_SOURCES: usize = 6;
const WHOLE: usize = 1 << 20;
const RECORD_BYTES: [usize; 5] = [WHOLE, WHOLE, 16, 20, 64];
const TAKE_BYTES: [usize; 4] = [WHOLE, 1, 33, 500];

/// Three bytes of options, two that seed the luck; then sources, with a byte 0x1e between two.
pub fn check(data: &[u8]) {
    let Some((head, rest)) = data.split_at_checked(HEAD_BYTES) else { return };
    let sources: Vec<&[u8]> = rest.splitn(MAX_SOURCES, |&byte| byte == 0x1e).collect();
    let case = Case::new(head);
    cuts_do_not_matter(&case, &sources);
    a_resumed_merge_goes_on(&case, &sources);
    for source in &sources {
        text_of_one_source_is_itself(&case, source);
        every_line_becomes_an_object(&case, source);
    }
}

/// How to merge, as the first bytes say.
struct Case {
    options: Options,
    take_bytes: usize,
    scanned_apart: bool,
    seed: [u8; 2],
}

impl Case {
    fn new(head: &[u8]) -> Self {
        let [flags, sizes, filters, seed @ ..] = head else { unreachable!("the head has its length") };
        let scan = Settings {
            filter: filter(*filters).map(Arc::new),
            levels: flags & 4 != 0,
            max_record_bytes: RECORD_BYTES[usize::from(*sizes) % RECORD_BYTES.len()],
            ..Settings::default()
        };
        let output = if flags & 1 == 0 { Output::Text } else { Output::Ndjson };
        let index_every_bytes = if flags & 16 == 0 { 0 } else { 50 };
        Case {
            options: Options { output, dedup: flags & 2 != 0, scan, index_every_bytes, numbers: flags & 32 != 0 },
            take_bytes: TAKE_BYTES[usize::from(*sizes) / RECORD_BYTES.len() % TAKE_BYTES.len()],
            scanned_apart: flags & 8 != 0,
            seed: [seed[0], seed[1]],
        }
    }

    fn with(&self, output: Output, filter: Option<Arc<Filter>>) -> Options {
        let scan = Settings { filter, ..self.options.scan.clone() };
        Options { output, scan, ..self.options.clone() }
    }

    fn in_pieces(&self) -> bool {
        self.options.scan.max_record_bytes < WHOLE
    }
}

fn filter(byte: u8) -> Option<Filter> {
    let mut filter = Filter { invert: byte & 8 != 0, ..Filter::default() };
    match byte % 8 {
        0..=2 => return None,
        3 => filter.since_ns = Some(1_732_106_096_000_000_000),
        4 => filter.until_ns = Some(1_732_106_096_500_000_000),
        5 => filter.levels = byte >> 2,
        6 => filter.patterns.push(Pattern::literal(b"ok", byte & 16 != 0).expect("a short literal")),
        _ => filter.patterns.push(expression().clone()),
    }
    Some(filter)
}

/// Compiled once: that takes longer than all else.
fn expression() -> &'static Pattern {
    static EXPRESSION: OnceLock<Pattern> = OnceLock::new();
    EXPRESSION.get_or_init(|| Pattern::regex(r"^\S+ [a-z]+$|\boka?\b", false).expect("a good expression"))
}

/// One merge under way: what is still to be fed, and what came out.
struct Drive<'a> {
    merger: Merger<&'a [u8]>,
    scanners: Vec<Option<Scanner>>,
    blocks: Vec<VecDeque<&'a [u8]>>,
    ended: Vec<bool>,
    luck: Luck,
    out: Vec<u8>,
}

impl<'a> Drive<'a> {
    fn new(options: Options, sources: &[&'a [u8]], mut luck: Luck, cut: Cut) -> Self {
        let merger = Merger::new(sources.len(), options).expect("UTC is a zone");
        let blocks = sources.iter().map(|source| cut.blocks(source, &mut luck)).collect();
        let scanners = sources.iter().map(|_| None).collect();
        Drive { merger, scanners, blocks, ended: vec![false; sources.len()], luck, out: Vec::new() }
    }

    fn scan_apart(&mut self) {
        for (source, scanner) in self.scanners.iter_mut().enumerate() {
            *scanner = self.merger.scanner(source);
        }
    }

    fn resume(&mut self, floors: &[i64]) {
        for (source, floor) in floors.iter().enumerate() {
            self.merger.resume(source, *floor);
        }
    }

    fn run(&mut self, take_bytes: usize) -> &[u8] {
        while self.step(take_bytes) {}
        &self.out
    }

    /// Take once, feeding what it wants; false at the end.
    fn step(&mut self, take_bytes: usize) -> bool {
        loop {
            let block = self.merger.take(take_bytes);
            self.out.extend_from_slice(block);
            if !block.is_empty() {
                return true;
            }
            if self.merger.done() {
                return false;
            }
            let wanted = self.merger.wanted();
            assert!(!wanted.is_empty(), "nothing comes out, nothing is wanted, and it is not done");
            let chosen = wanted[self.luck.below(wanted.len())];
            self.feed(chosen);
        }
    }

    /// The same for a log that grows: sources are idle now and then.
    fn run_live(&mut self, take_bytes: usize) -> &[u8] {
        while !self.merger.done() {
            self.out.extend_from_slice(self.merger.take(take_bytes));
            let source = self.luck.below(self.blocks.len());
            match self.luck.below(3) {
                0 if !self.ended[source] => self.merger.idle(source),
                _ => self.feed(source),
            }
        }
        self.run(take_bytes)
    }

    fn feed(&mut self, source: usize) {
        if self.ended[source] {
            return;
        }
        let block = self.blocks[source].pop_front();
        match (&mut self.scanners[source], block) {
            (None, Some(block)) => self.merger.feed(source, block),
            (Some(scanner), Some(block)) => {
                let batch = if self.luck.below(2) == 0 {
                    scanner.scan(block)
                } else {
                    let prescan = scanner.prescanner().prescan(block);
                    scanner.scan_prescanned(prescan)
                };
                self.merger.push(source, batch);
            }
            (scanner, None) => {
                if let Some(scanner) = scanner {
                    let batch = scanner.finish();
                    self.merger.push(source, batch);
                }
                self.merger.finish(source);
                self.ended[source] = true;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Cut {
    Nowhere,
    Anywhere,
}

impl Cut {
    fn blocks<'a>(self, source: &'a [u8], luck: &mut Luck) -> VecDeque<&'a [u8]> {
        let mut blocks = VecDeque::new();
        let mut rest = source;
        let most = [2, 9, 40, 200][luck.below(4)];
        while !rest.is_empty() {
            let size = match self {
                Cut::Nowhere => rest.len(),
                Cut::Anywhere => luck.below(most + 1).min(rest.len()),
            };
            let (block, left) = rest.split_at(size);
            blocks.push_back(block);
            rest = left;
        }
        blocks
    }
}

fn cuts_do_not_matter(case: &Case, sources: &[&[u8]]) {
    let mut whole = Drive::new(case.options.clone(), sources, Luck::new(&case.seed), Cut::Nowhere);
    let expected = whole.run(WHOLE).to_vec();
    let mut cut = Drive::new(case.options.clone(), sources, Luck::new(&case.seed), Cut::Anywhere);
    if case.scanned_apart {
        cut.scan_apart();
    }
    assert_same(cut.run(case.take_bytes), &expected, "cut anywhere, it is another log");
    assert_eq!(cut.merger.positions(), lengths(sources), "not every byte was given out");
    for source in 0..sources.len() {
        assert_eq!(cut.merger.counts(source), whole.merger.counts(source), "counts depend on where blocks are cut");
    }
    assert_eq!(cut.merger.given().lines, whole.merger.given().lines);
    if case.options.output == Output::Ndjson {
        assert!(expected.is_empty() || expected.ends_with(b"\n"));
        lines_of(&expected).for_each(|line| assert!(is_object(line), "no JSON: {}", String::from_utf8_lossy(line)));
    }
}

fn a_resumed_merge_goes_on(case: &Case, sources: &[&[u8]]) {
    // With pieces and repeats a merge resumed within a record, or an instant, knows less than one that goes on.
    if case.in_pieces() || case.options.dedup {
        return;
    }
    let mut first = Drive::new(case.options.clone(), sources, Luck::new(&case.seed), Cut::Anywhere);
    for _ in 0..first.luck.below(4) {
        first.step(case.take_bytes);
    }
    let given = first.out.clone();
    if !given.is_empty() && !given.ends_with(b"\n") {
        return; // a line without a newline, which only a merge that goes on knows to end
    }
    let (positions, floors) = (first.merger.positions(), first.merger.floors());
    let rests = sources.iter().zip(positions).map(|(source, at)| &source[usize::try_from(at).unwrap_or(0)..]);
    let rests: Vec<&[u8]> = rests.collect();
    let mut second = Drive::new(case.options.clone(), &rests, Luck::new(&case.seed), Cut::Anywhere);
    second.resume(&floors);
    let resumed = [&given, second.run(case.take_bytes)].concat();
    assert_same(&resumed, first.run(case.take_bytes), "resumed, it is another log");
}

fn text_of_one_source_is_itself(case: &Case, source: &[u8]) {
    let options = case.with(Output::Text, None);
    let mut drive = Drive::new(options.clone(), &[source], Luck::new(&case.seed), Cut::Anywhere);
    assert_same(drive.run(case.take_bytes), source, "the text of one source is not its own");
    assert_eq!(drive.merger.given().lines, lines_of(source).count() as u64);
    let mut live = Drive::new(options, &[source], Luck::new(&case.seed), Cut::Anywhere);
    assert_same(live.run_live(case.take_bytes), source, "followed, the text of one source is not its own");
}

fn every_line_becomes_an_object(case: &Case, source: &[u8]) {
    let mut options = case.with(Output::Ndjson, None);
    options.scan.max_record_bytes = WHOLE;
    let mut drive = Drive::new(options, &[source], Luck::new(&case.seed), Cut::Anywhere);
    let objects = drive.run(case.take_bytes);
    let (mut objects, mut lines) = (lines_of(objects), lines_of(source));
    for line in lines.by_ref() {
        let object = objects.next().expect("an object for each line");
        if object == line && json::check(line, &mut Nobody) {
            assert!(is_object(line));
            continue;
        }
        let written: serde_json::Value = serde_json::from_slice(object).expect("valid JSON");
        assert_eq!(written["event"], *String::from_utf8_lossy(line));
        assert!(!json::check(line, &mut Nobody) || std::str::from_utf8(line).is_err(), "it was JSON already");
    }
    assert_eq!(objects.next(), None, "an object without a line");
}

/// Lines without their newlines; the last one may lack it.
fn lines_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

fn lengths(sources: &[&[u8]]) -> Vec<u64> {
    sources.iter().map(|source| source.len() as u64).collect()
}

fn assert_same(got: &[u8], expected: &[u8], sentence: &str) {
    if got != expected {
        let (got, expected) = (String::from_utf8_lossy(got), String::from_utf8_lossy(expected));
        panic!("{sentence}:\n{got:?}\ninstead of\n{expected:?}");
    }
}
