//! Lines into requests: what a log service takes at once, within its limits.
//!
//! Holds: the blocks fed and not yet packed, and one request, which is no larger than its limits say (text that is
//!        escaped grows up to six times).
//! Plan:  each line becomes one event, written in the service's own form behind the one before. A request ends where the
//!        next event would not fit. It says up to where it goes, so that what is acknowledged can be known to the line.
//! Order: as fed; times never fall, for services sort by them, unless the clock was set back by more than an hour: then
//!        they begin again with a new request, for services refuse what is ahead of their time.
//! Loss:  none; an event over `max_event_bytes` goes on in further ones, marked. Text that is no UTF-8 gets U+FFFD, but
//!        for Redis.
//! Not here: sending, retries, any clock: who feeds says when the lines came.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write as _;

use crate::json::{self, Nobody};
use crate::level::Level;
use crate::render;
use crate::scan::{character_boundary, line_level, line_time};
use crate::stamp;

/// What stands at the end of an event whose line goes on in the next one, and at the start of that.
pub const GOES_ON: &str = "[logflume: the line goes on]";

/// How far times may be ahead of the clock after it was set back.
pub const AHEAD_NS: i64 = 3600 * 1_000_000_000;

/// How one event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `PutLogEvents`: `{"timestamp":ms,"message":"…"}`; what counts is the message and 26 bytes.
    CloudWatch,
    /// Loki's push API: `["ns","…"]`.
    Loki,
    /// A log record of OTLP/JSON.
    Otlp,
    /// A command of Redis, as `before` begins it: the last argument is the line.
    Redis,
    /// One JSON object a line; a line that is one passes as it is.
    Ndjson,
    /// `before` and the line.
    Text,
}

/// What one request may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Events.
    pub max_events: usize,
    /// Bytes, as the form counts them.
    pub max_bytes: usize,
    /// Text of one event; what is longer goes on in the next.
    pub max_event_bytes: usize,
    /// From its first event to its last.
    pub max_span_ns: i64,
    /// Each event is later than the one before by this at least.
    pub event_step_ns: i64,
    /// The first event of a request is later than the last of the one before by this at least.
    pub request_step_ns: i64,
}

/// What stands around.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// At the start of a request.
    pub opening: Vec<u8>,
    /// At its end.
    pub closing: Vec<u8>,
    /// Before each event.
    pub before: Vec<u8>,
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// What is sent.
    pub payload: Vec<u8>,
    /// How many events it holds.
    pub events: usize,
    /// So many of them are parts of a line that was too long.
    pub parts: usize,
    /// Up to which byte of all that was fed every line is in this request or an earlier one.
    pub end: u64,
    /// Time of its first event.
    pub first_ns: i64,
    /// Time of its last event.
    pub last_ns: i64,
}

struct Fed<B> {
    block: B,
    at: usize,
    arrived_ns: i64,
}

/// Makes requests of the lines of one stream.
pub struct Packer<B> {
    form: Form,
    limits: Limits,
    frame: Frame,
    stamps: stamp::Reader,
    fed: VecDeque<Fed<B>>,
    /// Bytes of all blocks that are packed.
    done: u64,
    /// How much of the line at `done` is in events already, and whether more of it came before that.
    part: usize,
    continues: bool,
    request: Packed,
    counted: usize,
    floor_ns: i64,
    after_ns: i64,
    scratch: Vec<u8>,
}

impl<B: AsRef<[u8]>> Packer<B> {
    /// A packer at the start of a stream.
    ///
    /// # Errors
    /// The zone or format of times cannot be used.
    pub fn new(
        form: Form,
        limits: Limits,
        frame: Frame,
        stamps: &stamp::Settings,
    ) -> Result<Packer<B>, stamp::BadFormat> {
        Ok(Packer {
            form,
            limits,
            frame,
            stamps: stamp::Reader::new(stamps)?,
            fed: VecDeque::new(),
            done: 0,
            part: 0,
            continues: false,
            request: Packed::default(),
            counted: 0,
            floor_ns: i64::MIN,
            after_ns: i64::MIN,
            scratch: Vec::new(),
        })
    }

    /// Take lines that had come at `arrived_ns`; a line that has no newline at the end of a block goes no further.
    pub fn feed(&mut self, block: B, arrived_ns: i64) {
        if !block.as_ref().is_empty() {
            self.fed.push_back(Fed { block, at: 0, arrived_ns });
        }
    }

    /// Bytes that were fed and are in no request that was taken.
    pub fn held_bytes(&self) -> usize {
        let fed: usize = self.fed.iter().map(|fed| fed.block.as_ref().len() - fed.at).sum();
        fed + self.request.payload.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.fed.is_empty() && self.request.events == 0
    }

    /// The next request that is full; with `everything` also the last one, which is not.
    pub fn take(&mut self, everything: bool) -> Option<Packed> {
        while let Some(fed) = self.fed.pop_front() {
            match self.pack(&fed) {
                Some(at) => {
                    self.fed.push_front(Fed { at, ..fed });
                    return Some(self.give());
                }
                None => self.request.end = self.done,
            }
        }
        (everything && self.request.events > 0).then(|| self.give())
    }

    fn give(&mut self) -> Packed {
        self.request.payload.extend_from_slice(&self.frame.closing);
        self.counted = 0;
        self.after_ns = self.request.last_ns.saturating_add(self.limits.request_step_ns);
        let room = self.request.payload.len();
        let next = Packed { end: self.done, payload: Vec::with_capacity(room + room / 8), ..Packed::default() };
        std::mem::replace(&mut self.request, next)
    }

    /// Pack what is left of a block; where it goes on when the request is full.
    fn pack(&mut self, fed: &Fed<B>) -> Option<usize> {
        let block = fed.block.as_ref();
        let mut at = fed.at;
        while at < block.len() {
            let newline = memchr::memchr(b'\n', &block[at..]);
            let end = newline.map_or(block.len(), |length| at + length);
            if !self.add_line(&block[at..end], newline.is_some(), fed.arrived_ns) {
                return Some(at);
            }
            let next = end + usize::from(newline.is_some());
            self.done += (next - at) as u64;
            self.request.end = self.done;
            at = next;
        }
        None
    }

    /// Add what is not added yet of a line; false when the request is full.
    fn add_line(&mut self, line: &[u8], whole: bool, arrived_ns: i64) -> bool {
        let time_ns = line_time(&mut self.stamps, line);
        // What is replaced grows: whether a line is long is a question about what is sent.
        let sent: Cow<'_, [u8]> = if self.form == Form::Redis { Cow::Borrowed(line) } else { as_utf8(line) };
        let long = sent.len() > self.limits.max_event_bytes;
        // What does not end is the beginning of more only if it is long: a log may end without a newline.
        let cut = long && !whole;
        if !long && !self.continues {
            return self.add(&sent, line, time_ns, arrived_ns, false);
        }
        let room = self.limits.max_event_bytes.saturating_sub(2 * (GOES_ON.len() + 1)).max(8);
        loop {
            let rest = &sent[self.part..];
            let length = if rest.len() > room { character_boundary(&rest[..room]) } else { rest.len() };
            let goes_on = length < rest.len() || cut;
            let mut text = std::mem::take(&mut self.scratch);
            text.clear();
            if self.part > 0 || self.continues {
                text.extend_from_slice(GOES_ON.as_bytes());
                text.push(b' ');
            }
            text.extend_from_slice(&rest[..length]);
            if goes_on {
                text.push(b' ');
                text.extend_from_slice(GOES_ON.as_bytes());
            }
            let added = self.add(&text, line, time_ns, arrived_ns, true);
            self.scratch = text;
            if !added {
                return false;
            }
            self.part += length;
            if self.part >= sent.len() {
                self.part = 0;
                self.continues = cut;
                return true;
            }
        }
    }

    /// Add one event; false when it does not fit any more.
    fn add(&mut self, text: &[u8], line: &[u8], time_ns: Option<i64>, arrived_ns: i64, is_part: bool) -> bool {
        // Nobody writes a line before the time that is in it: one that says so would push all later ones ahead.
        let own_ns = time_ns.map_or(arrived_ns, |ns| ns.min(arrived_ns));
        let first = self.request.events == 0;
        if self.floor_ns.saturating_sub(arrived_ns) > AHEAD_NS {
            if !first {
                return false;
            }
            (self.floor_ns, self.after_ns) = (i64::MIN, i64::MIN);
        }
        let mut ns = own_ns.max(self.floor_ns);
        if first {
            ns = ns.max(self.after_ns);
            self.request.payload.extend_from_slice(&self.frame.opening);
        }
        let size = self.size_of(text);
        let full = self.request.events >= self.limits.max_events
            || self.counted + size > self.limits.max_bytes
            || ns.saturating_sub(self.request.first_ns) > self.limits.max_span_ns;
        if !first && full {
            return false;
        }
        if first {
            self.request.first_ns = ns;
        }
        self.write(text, line, ns, arrived_ns);
        self.counted += size;
        self.request.last_ns = ns;
        self.floor_ns = ns.saturating_add(self.limits.event_step_ns);
        self.request.events += 1;
        self.request.parts += usize::from(is_part);
        true
    }

    /// What an event counts towards `max_bytes`: not more than it will be, but for escapes.
    fn size_of(&self, text: &[u8]) -> usize {
        text.len().max(1)
            + match self.form {
                Form::CloudWatch => 26,
                Form::Loki => 28,
                Form::Otlp => 160,
                Form::Redis => self.frame.before.len() + 16,
                Form::Ndjson => 64,
                Form::Text => self.frame.before.len() + 1,
            }
    }

    fn write(&mut self, text: &[u8], line: &[u8], ns: i64, arrived_ns: i64) {
        let first = self.request.events == 0;
        let out = &mut self.request.payload;
        if !first && matches!(self.form, Form::CloudWatch | Form::Loki | Form::Otlp) {
            out.push(b',');
        }
        match self.form {
            Form::CloudWatch => {
                number(b"{\"timestamp\":", ns.div_euclid(1_000_000), b",\"message\":\"", out);
                // An empty message is refused.
                render::escape_valid(if text.is_empty() { b" " } else { text }, out);
                out.extend_from_slice(b"\"}");
            }
            Form::Loki => {
                number(b"[\"", ns, b"\",\"", out);
                render::escape_valid(text, out);
                out.extend_from_slice(b"\"]");
            }
            Form::Otlp => {
                number(b"{\"timeUnixNano\":\"", ns, b"\",\"observedTimeUnixNano\":\"", out);
                number(b"", arrived_ns, b"\"", out);
                severity(line_level(line), out);
                out.extend_from_slice(b",\"body\":{\"stringValue\":\"");
                render::escape_valid(text, out);
                out.extend_from_slice(b"\"}}");
            }
            Form::Redis => {
                out.extend_from_slice(&self.frame.before);
                let _ = write!(out, "${}\r\n", text.len());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Form::Ndjson => {
                if text.first() == Some(&b'{') && json::check(text, &mut Nobody) {
                    out.extend_from_slice(text);
                } else {
                    out.extend_from_slice(b"{\"timestamp\":\"");
                    stamp::write_rfc3339(ns, out);
                    out.extend_from_slice(b"\",\"event\":\"");
                    render::escape_valid(text, out);
                    out.extend_from_slice(b"\"}");
                }
                out.push(b'\n');
            }
            Form::Text => {
                out.extend_from_slice(&self.frame.before);
                out.extend_from_slice(text);
                out.push(b'\n');
            }
        }
    }
}

fn number(before: &[u8], number: i64, after: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
    out.extend_from_slice(after);
}

/// The severity of OTLP's data model.
fn severity(level: Level, out: &mut Vec<u8>) {
    let (number, text) = match level {
        Level::Unknown => return,
        Level::Debug => (5, "DEBUG"),
        Level::Info => (9, "INFO"),
        Level::Warning => (13, "WARN"),
        Level::Error => (17, "ERROR"),
        Level::Critical => (21, "FATAL"),
    };
    let _ = write!(out, ",\"severityNumber\":{number},\"severityText\":\"{text}\"");
}

fn as_utf8(text: &[u8]) -> Cow<'_, [u8]> {
    match simdutf8::basic::from_utf8(text) {
        Ok(_) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(String::from_utf8_lossy(text).into_owned().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn limits() -> Limits {
        Limits {
            max_events: 10_000,
            max_bytes: 1 << 20,
            max_event_bytes: 1 << 18,
            max_span_ns: 24 * 3600 * S,
            event_step_ns: 0,
            request_step_ns: 0,
        }
    }

    fn packer(form: Form, limits: Limits) -> Packer<Vec<u8>> {
        let frame = Frame { opening: b"<".to_vec(), closing: b">".to_vec(), before: b"@".to_vec() };
        Packer::new(form, limits, frame, &stamp::Settings::default()).unwrap()
    }

    fn packed(form: Form, limits: Limits, text: &[u8]) -> Vec<Packed> {
        let mut packer = packer(form, limits);
        packer.feed(text.to_vec(), 7 * S);
        std::iter::from_fn(|| packer.take(true)).collect()
    }

    fn text(packed: &Packed) -> &str {
        std::str::from_utf8(&packed.payload).unwrap()
    }

    #[test]
    fn each_form_is_as_its_service_wants_it() {
        let line = b"1970-01-01T00:00:03Z ERROR \"no\"\n";
        for (form, wanted) in [
            (Form::CloudWatch, r#"<{"timestamp":3000,"message":"1970-01-01T00:00:03Z ERROR \"no\""}>"#),
            (Form::Loki, r#"<["3000000000","1970-01-01T00:00:03Z ERROR \"no\""]>"#),
            (
                Form::Otlp,
                "<{\"timeUnixNano\":\"3000000000\",\"observedTimeUnixNano\":\"7000000000\",\"severityNumber\":17,\
                 \"severityText\":\"ERROR\",\"body\":{\"stringValue\":\"1970-01-01T00:00:03Z ERROR \\\"no\\\"\"}}>",
            ),
            (Form::Redis, "<@$31\r\n1970-01-01T00:00:03Z ERROR \"no\"\r\n>"),
            (
                Form::Ndjson,
                "<{\"timestamp\":\"1970-01-01T00:00:03.000000Z\",\"event\":\"1970-01-01T00:00:03Z ERROR \\\"no\\\"\"}\n>",
            ),
            (Form::Text, "<@1970-01-01T00:00:03Z ERROR \"no\"\n>"),
        ] {
            let requests = packed(form, limits(), line);
            assert_eq!(requests.len(), 1);
            assert_eq!(text(&requests[0]), wanted);
            assert_eq!((requests[0].events, requests[0].end), (1, line.len() as u64));
        }
    }

    #[test]
    fn a_request_is_full_where_the_next_event_does_not_fit() {
        let five = Limits { max_events: 2, ..limits() };
        let sizes: Vec<_> =
            packed(Form::CloudWatch, five, b"a\nb\nc\nd\ne").iter().map(|r| (r.events, r.end)).collect();
        assert_eq!(sizes, [(2, 4), (2, 8), (1, 9)]);
        let exact = Limits { max_bytes: 2 * (26 + 3), ..limits() };
        let sizes: Vec<_> =
            packed(Form::CloudWatch, exact, b"aaa\nbbb\ncccc\nddd\n").iter().map(|r| r.events).collect();
        assert_eq!(sizes, [2, 1, 1]);
        let span = Limits { max_span_ns: S, ..limits() };
        let lines = b"1970-01-01T00:00:01Z\n1970-01-01T00:00:02Z\n1970-01-01T00:00:03Z\n";
        let sizes: Vec<_> = packed(Form::CloudWatch, span, lines).iter().map(|r| r.events).collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[test]
    fn times_never_fall_and_are_never_ahead_of_arrival() {
        let lines =
            b"1970-01-01T00:00:03Z a\n1970-01-01T00:00:02Z b\nc\n2090-01-01T00:00:00Z d\n1970-01-01T00:00:06Z e\n";
        let requests = packed(Form::Loki, Limits { event_step_ns: 1, ..limits() }, lines);
        let stamps: Vec<_> = text(&requests[0]).split("[\"").skip(1).map(|event| &event[..10]).collect();
        assert_eq!(stamps, ["3000000000", "3000000001", "7000000000", "7000000001", "7000000002"]);
        let two = Limits { max_events: 1, request_step_ns: 1_000_000, ..limits() };
        let stamps: Vec<_> = packed(Form::CloudWatch, two, b"a\nb\n").iter().map(|r| r.first_ns).collect();
        assert_eq!(stamps, [7 * S, 7 * S + 1_000_000]);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_times_anew() {
        let mut packer = packer(Form::CloudWatch, limits());
        let now_ns = 1_732_106_096_000_000_000;
        packer.feed(b"wrong\nwrong, too\n".to_vec(), now_ns + 2 * AHEAD_NS);
        packer.feed(b"right\n".to_vec(), now_ns);
        packer.feed(b"a little back\n".to_vec(), now_ns - AHEAD_NS / 2);
        let first = packer.take(true).unwrap();
        let second = packer.take(true).unwrap();
        assert_eq!((first.events, second.events), (2, 2));
        assert_eq!((second.first_ns, second.last_ns), (now_ns, now_ns));
    }

    #[test]
    fn a_long_line_goes_on_in_marked_events() {
        let small = Limits { max_event_bytes: 100, ..limits() };
        let line = format!("{}é{}\nnext\n", "a".repeat(41), "b".repeat(60));
        let requests = packed(Form::Text, small, line.as_bytes());
        let events: Vec<_> = text(&requests[0]).trim_matches(['<', '>']).lines().map(|line| &line[1..]).collect();
        let first = format!("{} {GOES_ON}", "a".repeat(41));
        assert_eq!(events[0], first);
        let whole: String = events[..3]
            .iter()
            .map(|event| event.replace(&format!("{GOES_ON} "), "").replace(&format!(" {GOES_ON}"), ""))
            .collect();
        assert_eq!(whole + "\nnext\n", line);
        assert_eq!((requests[0].events, requests[0].parts), (events.len(), 3));
    }

    #[test]
    fn a_part_of_a_long_line_moves_no_end() {
        let one = Limits { max_event_bytes: 100, max_events: 1, ..limits() };
        let line = "a".repeat(80) + &"b".repeat(40);
        let ends: Vec<_> = packed(Form::Text, one, format!("x\n{line}\n").as_bytes()).iter().map(|r| r.end).collect();
        assert_eq!(ends, [2, 2, 2, 123]);
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_marked() {
        let small = Limits { max_event_bytes: 100, ..limits() };
        let mut packer = packer(Form::Text, small);
        packer.feed("a".repeat(101).into_bytes(), 0);
        packer.feed(b"end\n".to_vec(), 0);
        let request = packer.take(true).unwrap();
        assert!(text(&request).ends_with(&format!("@{GOES_ON} end\n>")), "{}", text(&request));
    }

    #[test]
    fn what_is_no_text_is_replaced_and_an_empty_line_is_a_blank() {
        let requests = packed(Form::CloudWatch, limits(), b"a\xffb\n\n");
        assert_eq!(
            text(&requests[0]),
            "<{\"timestamp\":7000,\"message\":\"a\u{fffd}b\"},{\"timestamp\":7000,\"message\":\" \"}>"
        );
        assert_eq!(packed(Form::Redis, limits(), b"a\xff\n")[0].payload, b"<@$2\r\na\xff\r\n>");
    }

    #[test]
    fn text_that_grows_by_being_replaced_keeps_the_limit() {
        let small = Limits { max_event_bytes: 120, ..limits() };
        let requests = packed(Form::Text, small, &[&[0xff; 100][..], b"\n"].concat());
        let lines: Vec<_> = text(&requests[0]).trim_matches(['<', '>']).lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 121), "{lines:?}");
        assert_eq!(text(&requests[0]).matches('\u{fffd}').count(), 100);
    }

    #[test]
    fn nothing_is_given_before_it_is_full_unless_it_is_asked_for() {
        let mut packer = packer(Form::Text, limits());
        packer.feed(b"a\n".to_vec(), 0);
        assert_eq!(packer.take(false), None);
        assert!(!packer.is_empty());
        assert_eq!(packer.take(true).map(|r| r.events), Some(1));
        assert!(packer.is_empty());
        assert_eq!(packer.take(true), None);
    }
}
