//! What becomes of lines on their way out: secrets are covered, some are left out, all are counted and tagged.
//!
//! Holds: one block and what becomes of it. Patterns are matched in linear time, each within one line.
//! Plan:  a block that no rule concerns passes untouched. Else it is written anew record by record: a record is a line
//!        with a time, or a JSON object, and the lines without one that follow it. Where each of its lines ends before
//!        and after is told, so that what a sink has acknowledged can be known to the line.
//! Order: as fed. Loss: what sampling leaves out, counted; text that is no UTF-8 gets U+FFFD where it becomes JSON.
//! Not here: which lines belong to a block; see [`last_record_start`].

use memchr::{memchr, memrchr};
use regex::bytes::Regex;

use crate::filter::{compile, BadPattern};
use crate::json::{self, Nobody};
use crate::level::Level;
use crate::render;
use crate::scan::{line_level, line_time};
use crate::stamp;

/// How far back [`last_record_start`] looks; a longer record is cut.
pub const MAX_LOOK_BACK_BYTES: usize = 64 << 10;

/// What is to become of lines.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What matches is replaced; `$1` and `${name}` stand for groups.
    pub redact: Vec<(String, String)>,
    /// Lines that match are counted, each pattern by itself; before anything is covered or left out.
    pub count: Vec<String>,
    /// Of the records whose first line matches, one in so many is kept.
    pub sample: Option<(String, u64)>,
    /// No more lines than these leave for each second in which they came; the first of a burst are kept.
    pub lines_per_s: Option<u64>,
    /// Each record becomes one JSON object, with its time, its level, and these tags (the inside of a JSON object).
    pub as_records: Option<String>,
}

/// What became of a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// What is sent instead.
    pub bytes: Vec<u8>,
    /// For each line of `bytes`: where it ends there, and where the block goes on behind it.
    pub ends: Vec<(u32, u32)>,
}

/// Applies rules to the blocks of one stream.
#[derive(Debug)]
pub struct Outgoing {
    redact: Vec<(Regex, Vec<u8>)>,
    count: Vec<Regex>,
    sample: Option<(Regex, u64)>,
    rate: Option<Rate>,
    as_records: Option<String>,
    stamps: stamp::Reader,
    sampled: u64,
    /// Lines that matched each pattern of `count`.
    pub counts: Vec<u64>,
    /// Places that were covered.
    pub redacted: u64,
    /// Lines that were left out.
    pub left_out: u64,
}

impl Outgoing {
    /// Begin a stream.
    ///
    /// # Errors
    /// A pattern cannot be used.
    pub fn new(rules: &Rules, stamps: stamp::Reader) -> Result<Self, BadPattern> {
        let compiled = |source: &String| compile(source, false, true);
        let with = |(source, text): &(String, String)| Ok((compiled(source)?, text.clone().into_bytes()));
        Ok(Outgoing {
            redact: rules.redact.iter().map(with).collect::<Result<_, _>>()?,
            count: rules.count.iter().map(compiled).collect::<Result<_, _>>()?,
            sample: rules.sample.as_ref().map(|(source, each)| Ok((compiled(source)?, *each))).transpose()?,
            rate: rules.lines_per_s.map(Rate::new),
            as_records: rules.as_records.clone(),
            stamps,
            sampled: 0,
            counts: vec![0; rules.count.len()],
            redacted: 0,
            left_out: 0,
        })
    }

    /// Apply the rules to whole lines that had come by `arrived_ns`; None: they pass as they are.
    pub fn apply(&mut self, block: &[u8], arrived_ns: i64) -> Option<Sent> {
        self.tally(block);
        let over = self.rate.as_mut().is_some_and(|rate| rate.is_over(count_lines(block), arrived_ns));
        let concerned = |regex: &Regex| regex.is_match(block);
        let untouched = !over
            && self.as_records.is_none()
            && !self.redact.iter().any(|(regex, _)| concerned(regex))
            && !self.sample.as_ref().is_some_and(|(regex, _)| concerned(regex));
        if untouched {
            if let Some(rate) = &mut self.rate {
                rate.take(count_lines(block));
            }
            return None;
        }
        let mut sent = Sent::default();
        let mut at = 0;
        while at < block.len() {
            let end = self.record_end(block, at);
            if self.is_kept(first_line(&block[at..end])) && self.is_within_rate(&block[at..end]) {
                self.write(block, at, end, arrived_ns, &mut sent);
            } else {
                self.left_out += count_lines(&block[at..end]);
                if let Some(last) = sent.ends.last_mut() {
                    last.1 = cast(end);
                }
            }
            at = end;
        }
        Some(sent)
    }

    fn tally(&mut self, block: &[u8]) {
        for (regex, count) in self.count.iter().zip(&mut self.counts) {
            let mut at = 0;
            while let Some(hit) = regex.find_at(block, at) {
                *count += 1;
                match memchr(b'\n', &block[hit.start()..]) {
                    Some(rest) => at = hit.start() + rest + 1,
                    None => break,
                }
            }
        }
    }

    /// Where the record that begins at `start` ends: before the next line with a time, or that is an object.
    fn record_end(&mut self, block: &[u8], start: usize) -> usize {
        let mut end = line_end(block, start);
        if !begins(&mut self.stamps, without_newline(&block[start..end])) {
            return end; // nothing says that what follows belongs to it
        }
        while end < block.len() {
            let next = line_end(block, end);
            if begins(&mut self.stamps, without_newline(&block[end..next])) {
                break;
            }
            end = next;
        }
        end
    }

    fn is_kept(&mut self, line: &[u8]) -> bool {
        match &self.sample {
            Some((regex, each)) if regex.is_match(line) => {
                self.sampled += 1;
                (self.sampled - 1).is_multiple_of(*each)
            }
            _ => true,
        }
    }

    fn is_within_rate(&mut self, record: &[u8]) -> bool {
        self.rate.as_mut().is_none_or(|rate| rate.take(count_lines(record)))
    }

    fn write(&mut self, block: &[u8], start: usize, end: usize, arrived_ns: i64, sent: &mut Sent) {
        if self.as_records.is_some() {
            self.write_object(&block[start..end], arrived_ns, &mut sent.bytes);
            sent.ends.push((cast(sent.bytes.len()), cast(end)));
            return;
        }
        let mut at = start;
        while at < end {
            let next = line_end(block, at);
            let body = without_newline(&block[at..next]);
            let covered = self.covered(body);
            sent.bytes.extend_from_slice(covered.as_deref().unwrap_or(body));
            if next - at > body.len() {
                sent.bytes.push(b'\n');
            }
            sent.ends.push((cast(sent.bytes.len()), cast(next)));
            at = next;
        }
    }

    /// The text with every secret covered; None when there is none.
    fn covered(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let mut covered: Option<Vec<u8>> = None;
        for (regex, replacement) in &self.redact {
            let now = covered.as_deref().unwrap_or(text);
            let hits = regex.find_iter(now).count();
            if hits > 0 {
                self.redacted += hits as u64;
                covered = Some(regex.replace_all(now, &replacement[..]).into_owned());
            }
        }
        covered
    }

    /// Write a record as one object: its own, with tags added, where it is one and nothing follows it.
    fn write_object(&mut self, record: &[u8], arrived_ns: i64, out: &mut Vec<u8>) {
        let time = line_time(&mut self.stamps, first_line(record)).unwrap_or(arrived_ns);
        let level = line_level(first_line(record));
        let body = without_newline(record);
        let lines: Vec<Vec<u8>> =
            body.split(|&byte| byte == b'\n').map(|line| self.covered(line).unwrap_or_else(|| line.to_vec())).collect();
        let text = lines.join(&b'\n');
        let tags = self.as_records.as_deref().unwrap_or_default();
        if text.first() == Some(&b'{') && memchr(b'\n', &text).is_none() && is_object(&text) {
            let inside = text.trim_ascii_end();
            out.extend_from_slice(&inside[..inside.len() - 1]);
            let empty = inside[1..inside.len() - 1].trim_ascii().is_empty();
            out.extend_from_slice(if empty || tags.is_empty() { b"" } else { b"," });
        } else {
            out.extend_from_slice(b"{\"timestamp\":\"");
            stamp::write_rfc3339(time, out);
            out.extend_from_slice(b"\",\"level\":");
            out.extend_from_slice(name_of(level).as_bytes());
            out.extend_from_slice(b",\"event\":\"");
            render::escape(&text, out);
            out.extend_from_slice(if tags.is_empty() { b"\"" } else { b"\"," });
        }
        out.extend_from_slice(tags.as_bytes());
        out.extend_from_slice(b"}\n");
    }
}

/// How many lines may leave: as many as came at the rate, and what was not used of the last second.
#[derive(Debug)]
struct Rate {
    lines_per_s: u64,
    left: u64,
    arrived_ns: Option<i64>,
}

impl Rate {
    fn new(lines_per_s: u64) -> Self {
        Rate { lines_per_s, left: lines_per_s, arrived_ns: None }
    }

    /// Some lines have come by a time; whether they are more than may leave.
    fn is_over(&mut self, lines: u64, arrived_ns: i64) -> bool {
        let before = self.arrived_ns.replace(arrived_ns).unwrap_or(arrived_ns);
        let elapsed = u128::from(arrived_ns.saturating_sub(before).max(0).unsigned_abs());
        let more = u128::from(self.lines_per_s) * elapsed / 1_000_000_000;
        self.left = self.left.min(self.lines_per_s).saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        lines > self.left
    }

    /// Let so many leave together, if any may.
    fn take(&mut self, lines: u64) -> bool {
        let any = self.left > 0;
        self.left = self.left.saturating_sub(lines);
        any
    }
}

/// Where the last record of some whole lines begins; None when none begins in the last [`MAX_LOOK_BACK_BYTES`].
pub fn last_record_start(stamps: &mut stamp::Reader, block: &[u8]) -> Option<usize> {
    let mut end = block.len();
    while end > 0 && block.len() - end < MAX_LOOK_BACK_BYTES {
        let start = memrchr(b'\n', &block[..end - 1]).map_or(0, |newline| newline + 1);
        if begins(stamps, without_newline(&block[start..end])) {
            return Some(start);
        }
        end = start;
    }
    None
}

fn begins(stamps: &mut stamp::Reader, line: &[u8]) -> bool {
    line.first() == Some(&b'{') || line_time(stamps, line).is_some()
}

fn line_end(block: &[u8], start: usize) -> usize {
    memchr(b'\n', &block[start..]).map_or(block.len(), |newline| start + newline + 1)
}

fn without_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

fn first_line(record: &[u8]) -> &[u8] {
    without_newline(&record[..line_end(record, 0)])
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64 + u64::from(!text.ends_with(b"\n"))
}

fn is_object(text: &[u8]) -> bool {
    json::check(text, &mut Nobody) && simdutf8::basic::from_utf8(text).is_ok()
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::Unknown => "null",
        Level::Debug => "\"debug\"",
        Level::Info => "\"info\"",
        Level::Warning => "\"warning\"",
        Level::Error => "\"error\"",
        Level::Critical => "\"critical\"",
    }
}

/// Blocks are far below 4 GiB; whoever makes them sees to that.
fn cast(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_700_000_000_000_000_000;

    fn outgoing(rules: &Rules) -> Outgoing {
        Outgoing::new(rules, reader()).unwrap()
    }

    fn reader() -> stamp::Reader {
        stamp::Reader::new(&stamp::Settings { zone: "UTC".into(), ..Default::default() }).unwrap()
    }

    fn text(sent: Option<Sent>) -> String {
        String::from_utf8(sent.unwrap().bytes).unwrap()
    }

    #[test]
    fn what_no_rule_concerns_passes() {
        let rules = Rules { redact: vec![("secret".into(), "***".into())], ..Rules::default() };
        assert_eq!(outgoing(&rules).apply(b"nothing here\n", AT), None);
    }

    #[test]
    fn secrets_are_covered_and_lines_keep_their_ends() {
        let rules = Rules { redact: vec![(r"(token=)\S+".into(), "$1***".into())], ..Rules::default() };
        let mut out = outgoing(&rules);
        let sent = out.apply(b"a token=abc b token=d\nplain\n\nlast token=e", AT).unwrap();
        assert_eq!(sent.bytes, b"a token=*** b token=***\nplain\n\nlast token=***");
        assert_eq!(sent.ends, vec![(24, 22), (30, 28), (31, 29), (45, 41)]);
        assert_eq!(out.redacted, 3);
    }

    #[test]
    fn a_pattern_never_joins_two_lines() {
        let rules = Rules { redact: vec![(r"a\s+b".into(), "-".into())], ..Rules::default() };
        assert_eq!(text(outgoing(&rules).apply(b"a\nb\na b\n", AT)), "a\nb\n-\n");
    }

    #[test]
    fn lines_are_counted_once_each() {
        let rules = Rules { count: vec!["e".into(), "^x".into()], ..Rules::default() };
        let mut out = outgoing(&rules);
        assert_eq!(out.apply(b"eee\nxe\nx\nno\n", AT), None);
        assert_eq!(out.counts, [2, 2]);
    }

    #[test]
    fn sampling_leaves_out_whole_records() {
        let rules = Rules { sample: Some(("DEBUG".into(), 2)), ..Rules::default() };
        let mut out = outgoing(&rules);
        let block =
            b"2024-11-20 12:00:00 DEBUG 1\n  more\n2024-11-20 12:00:01 DEBUG 2\n  more\n2024-11-20 12:00:02 INFO 3\n";
        let sent = out.apply(block, AT).unwrap();
        assert_eq!(sent.bytes, b"2024-11-20 12:00:00 DEBUG 1\n  more\n2024-11-20 12:00:02 INFO 3\n");
        assert_eq!(sent.ends, vec![(28, 28), (35, 70), (62, 97)]);
        assert_eq!(out.left_out, 2);
    }

    #[test]
    fn records_become_objects_with_tags() {
        let tags = r#""child":"a""#;
        let rules =
            Rules { as_records: Some(tags.into()), redact: vec![("hunter2".into(), "***".into())], ..Rules::default() };
        let block = b"2024-11-20 12:00:00 ERROR bad hunter2\n  at \"x\"\n{\"event\":\"y\"}\n{}\nuntimed\n";
        let sent = outgoing(&rules).apply(block, AT);
        let expected = concat!(
            r#"{"timestamp":"2024-11-20T12:00:00.000000Z","level":"error","event":"2024-11-20 12:00:00 ERROR bad ***\n  at \"x\"","child":"a"}"#,
            "\n",
            r#"{"event":"y","child":"a"}"#,
            "\n",
            r#"{"timestamp":"2023-11-14T22:13:20.000000Z","level":null,"event":"{}\nuntimed","child":"a"}"#,
            "\n",
        );
        assert_eq!(text(sent), expected);
    }

    #[test]
    fn the_last_record_is_found() {
        let block = b"2024-11-20 12:00:00 a\n more\n2024-11-20 12:00:01 b\n more\n";
        assert_eq!(last_record_start(&mut reader(), block), Some(28));
        assert_eq!(last_record_start(&mut reader(), b"x\ny\n"), None);
        assert_eq!(last_record_start(&mut reader(), b""), None);
        assert_eq!(last_record_start(&mut reader(), b"{}\n"), Some(0));
    }
}
