//! Lines of NDJSON as Airflow's clients expect messages: `event` is a string, `timestamp` RFC 3339 or null.
//!
//! Holds: the time of the line before, and of a block that needs a change its changed copy.
//! Plan:  nearly every block is fine as it is, and is only looked at: each line begins with a time, perhaps a level, and
//!        its event, and the block holds no more such keys than lines. In any other block each line is judged.
//! Loss:  none. A line without a usable event or time is shown as text: the whole line is the event. A time of another
//!        kind is written anew, and the rest of its line stays as it was.
//!
//! What comes in is what [`crate::render`] writes: each line one valid JSON object.

use memchr::memmem;

use crate::json::{self, Value, Visit};
use crate::render;
use crate::stamp;

/// Turns blocks of NDJSON into messages.
pub struct Messages {
    stamps: stamp::Reader,
    /// The last time that was seen, as JSON: what a line without one is shown with.
    time: Vec<u8>,
}

/// What matters of one line.
#[derive(Default)]
struct Seen<'a> {
    events: usize,
    bad: bool,
    stamp: Option<Value<'a>>,
    other_time: Option<Value<'a>>,
}

impl<'a> Visit<'a> for Seen<'a> {
    fn member(&mut self, key: &'a [u8], value: Value<'a>) {
        match key {
            b"event" => {
                self.events += 1;
                self.bad |= !matches!(value, Value::Text(_) | Value::Escaped);
            }
            b"timestamp" => {
                self.bad |= self.stamp.is_some();
                self.stamp = Some(value);
            }
            b"ts" | b"time" | b"@timestamp" if self.other_time.is_none() => self.other_time = Some(value),
            _ => {}
        }
    }
}

impl Messages {
    /// Times without a zone are of that of `settings`.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn new(settings: &stamp::Settings) -> Result<Self, stamp::BadFormat> {
        Ok(Messages { stamps: stamp::Reader::new(settings)?, time: b"null".to_vec() })
    }

    /// Whole lines of NDJSON as messages; None if they are messages as they stand.
    pub fn convert(&mut self, block: &[u8]) -> Option<Vec<u8>> {
        if is_fine(block) {
            self.time.clear();
            self.time.extend_from_slice(last_time(block));
            return None;
        }
        let mut out = Vec::with_capacity(block.len() + block.len() / 8);
        for line in block.strip_suffix(b"\n").unwrap_or(block).split(|&byte| byte == b'\n') {
            self.line(line, &mut out);
            out.push(b'\n');
        }
        Some(out)
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(text) = with_windows_end(line) {
            self.note(line);
            out.extend_from_slice(text);
            out.extend_from_slice(b"\"}");
            return;
        }
        if begins_well(line) && count(line, b"\"event\"") == 1 && count(line, b"\"timestamp\"") == 1 {
            self.note(line);
            out.extend_from_slice(line);
            return;
        }
        self.judge(line, out);
    }

    fn note(&mut self, line: &[u8]) {
        self.time.clear();
        self.time.extend_from_slice(time_of(line).unwrap_or(b"null"));
    }

    fn judge(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut seen = Seen::default();
        let valid = json::check(line, &mut seen);
        let fine = valid && !seen.bad && seen.events == 1;
        match seen.stamp {
            None | Some(Value::Other) if fine && seen.stamp.is_none_or(|_| has_null_time(line)) => {
                out.extend_from_slice(line);
            }
            Some(Value::Text(text)) if fine && is_rfc3339(text) => {
                self.time.clear();
                self.time.push(b'"');
                self.time.extend_from_slice(text);
                self.time.push(b'"');
                out.extend_from_slice(line);
            }
            Some(value) if fine && self.learn(value) => {
                let (from, to) = range_of(line, value);
                out.extend_from_slice(&line[..from]);
                out.extend_from_slice(&self.time);
                out.extend_from_slice(&line[to..]);
            }
            _ => {
                if let Some(value) = seen.stamp.or(seen.other_time) {
                    self.learn(value);
                }
                out.extend_from_slice(b"{\"timestamp\":");
                out.extend_from_slice(&self.time);
                out.extend_from_slice(b",\"event\":\"");
                render::escape(line.strip_suffix(b"\r").unwrap_or(line), out);
                out.extend_from_slice(b"\"}");
            }
        }
    }

    /// Take over the time of a value, if it has one.
    fn learn(&mut self, value: Value<'_>) -> bool {
        let ns = match value {
            Value::Text(text) => self.stamps.of_json_str(text),
            Value::Number(token) => self.stamps.of_json_number(token),
            Value::Escaped | Value::Other => None,
        };
        if let Some(ns) = ns {
            self.time.clear();
            self.time.push(b'"');
            stamp::write_rfc3339(ns, &mut self.time);
            self.time.push(b'"');
        }
        ns.is_some()
    }
}

/// Whether every line of a block certainly is a message.
fn is_fine(block: &[u8]) -> bool {
    let mut lines = 0;
    let mut start = 0;
    for newline in memchr::memchr_iter(b'\n', block) {
        let line = &block[start..newline];
        if !begins_well(line) || line.ends_with(b"\\r\"}") {
            return false;
        }
        lines += 1;
        start = newline + 1;
    }
    start == block.len() && count(block, b"\"event\"") == lines && count(block, b"\"timestamp\"") == lines
}

fn count(text: &[u8], key: &[u8]) -> usize {
    memmem::find_iter(text, key).count()
}

const OPENING: &[u8] = b"{\"timestamp\":";

/// Whether a line begins with `{"timestamp":<time or null>,"event":"`, perhaps with a level between the two.
fn begins_well(line: &[u8]) -> bool {
    let Some(time) = time_of(line) else { return false };
    let rest = &line[OPENING.len() + time.len()..];
    let rest = match rest.strip_prefix(b",\"level\":\"") {
        Some(level) => match memchr::memchr(b'"', &level[..level.len().min(16)]) {
            Some(end) => &level[end + 1..],
            None => return false,
        },
        None => rest,
    };
    rest.starts_with(b",\"event\":\"")
}

/// The time that a line begins with, as JSON: RFC 3339 in quotes, or null.
fn time_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(OPENING)?;
    if value.starts_with(b"null") {
        return Some(&value[..4]);
    }
    let text = value.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', &text[..text.len().min(40)])?;
    is_rfc3339(&text[..end]).then(|| &value[..end + 2])
}

fn last_time(block: &[u8]) -> &[u8] {
    let body = block.strip_suffix(b"\n").unwrap_or(block);
    let start = memchr::memrchr(b'\n', body).map_or(0, |newline| newline + 1);
    time_of(&body[start..]).unwrap_or(b"null")
}

/// `{"timestamp":…,"event":"…\r"}`, as a text line of a Windows program is rendered: all of it before that `\r`.
fn with_windows_end(line: &[u8]) -> Option<&[u8]> {
    let text = line.strip_suffix(b"\\r\"}")?;
    let time = time_of(line)?;
    let event = text.get(OPENING.len() + time.len()..)?.strip_prefix(b",\"event\":\"")?;
    let slashes = event.iter().rev().take_while(|&&byte| byte == b'\\').count();
    // The event is the last member, and nothing else follows it.
    let whole = memchr::memchr_iter(b'"', event).all(|quote| quote > 0 && event[quote - 1] == b'\\');
    (slashes % 2 == 0 && whole).then_some(text)
}

/// Whether the member `timestamp`, which is neither text nor a number, is null.
fn has_null_time(line: &[u8]) -> bool {
    let Some(key) = memmem::find(line, b"\"timestamp\"") else { return false };
    let rest = line[key + b"\"timestamp\"".len()..].trim_ascii_start();
    rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
}

/// Where the value of a member is in its line, with the quotes of text.
fn range_of(line: &[u8], value: Value<'_>) -> (usize, usize) {
    let (inside, quotes) = match value {
        Value::Text(text) => (text, 1),
        Value::Number(token) => (token, 0),
        Value::Escaped | Value::Other => (&line[..0], 0),
    };
    let from = inside.as_ptr() as usize - line.as_ptr() as usize;
    (from - quotes, from + inside.len() + quotes)
}

/// Whether a text is a date and a time as RFC 3339 has them, as far as its digits and marks show.
fn is_rfc3339(text: &[u8]) -> bool {
    const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";
    let Some((head, rest)) = text.split_at_checked(SHAPE.len()) else { return false };
    let same = |(&byte, &shape): (&u8, &u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if !head.iter().zip(SHAPE).all(same) || !in_range(head) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    match rest {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            let pair =
                |tens: &u8, ones: &u8| (tens.is_ascii_digit() && ones.is_ascii_digit()).then_some([*tens, *ones]);
            pair(h1, h2).is_some_and(|hour| hour <= *b"23") && pair(m1, m2).is_some_and(|minute| minute <= *b"59")
        }
        _ => false,
    }
}

fn in_range(head: &[u8]) -> bool {
    let within = |at: usize, least: &[u8; 2], most: &[u8; 2]| {
        let pair = &head[at..at + 2];
        &least[..] <= pair && pair <= &most[..]
    };
    within(5, b"01", b"12")
        && within(8, b"01", b"31")
        && within(11, b"00", b"23")
        && within(14, b"00", b"59")
        && within(17, b"00", b"60")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(lines: &str) -> String {
        let mut messages = Messages::new(&stamp::Settings::default()).unwrap();
        let out = messages.convert(lines.as_bytes());
        String::from_utf8(out.unwrap_or_else(|| lines.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn messages_stay_as_they_were_written() {
        for line in [
            r#"{"timestamp":"2024-11-20T12:34:56Z","event":"a"}"#,
            r#"{"timestamp":"2024-11-20T12:34:56.123456789+01:00","level":"info","event":"a","n":1.10,"x":1e400}"#,
            r#"{"event":"a","timestamp":"2024-11-20T12:34:56Z"}"#,
            r#"{"timestamp":null,"event":"a"}"#,
            r#"{"timestamp": null , "event":"a"}"#,
            r#"{"event":"without a time"}"#,
            r#"{"timestamp":"2024-11-20T12:34:56Z","event":"the key \"event\" and \"timestamp\""}"#,
            r#"{"timestamp":"2024-11-20T12:34:56Z","event":"\u0065\n","logger":"event"}"#,
            r#"{"timestamp":"2024-11-20T12:34:56Z","event":"a\\r"}"#,
            r#"{"timestamp":"2024-11-20T12:34:56Z","level":"info","event":"written by a task\r"}"#,
        ] {
            assert_eq!(converted(&format!("{line}\n")), format!("{line}\n"));
        }
    }

    #[test]
    fn all_else_becomes_one() {
        for (line, message) in [
            (r#"{"a":1}"#, r#"{"timestamp":null,"event":"{\"a\":1}"}"#),
            (
                r#"{"timestamp":"2024-11-20T12:34:56Z","event":7}"#,
                r#"{"timestamp":"2024-11-20T12:34:56.000000Z","event":"{\"timestamp\":\"2024-11-20T12:34:56Z\",\"event\":7}"}"#,
            ),
            (
                r#"{"ts":1732106096,"msg":"x"}"#,
                r#"{"timestamp":"2024-11-20T12:34:56.000000Z","event":"{\"ts\":1732106096,\"msg\":\"x\"}"}"#,
            ),
            (
                r#"{"timestamp":1732106096.5,"event":"a","n":1.10}"#,
                r#"{"timestamp":"2024-11-20T12:34:56.500000Z","event":"a","n":1.10}"#,
            ),
            (
                r#"{"event":"a","timestamp":"2024-11-20 13:34:56,123+0100"}"#,
                r#"{"event":"a","timestamp":"2024-11-20T12:34:56.123000Z"}"#,
            ),
            (
                r#"{"timestamp":"yesterday","event":"a"}"#,
                r#"{"timestamp":null,"event":"{\"timestamp\":\"yesterday\",\"event\":\"a\"}"}"#,
            ),
            (
                r#"{"timestamp":true,"event":"a"}"#,
                r#"{"timestamp":null,"event":"{\"timestamp\":true,\"event\":\"a\"}"}"#,
            ),
            (
                r#"{"timestamp":"2024-13-20T12:34:56Z","event":"a"}"#,
                r#"{"timestamp":null,"event":"{\"timestamp\":\"2024-13-20T12:34:56Z\",\"event\":\"a\"}"}"#,
            ),
            (r#"{"event":"a","event":"b"}"#, r#"{"timestamp":null,"event":"{\"event\":\"a\",\"event\":\"b\"}"}"#),
            (r#"{"timestamp":null,"event":"of Windows\r"}"#, r#"{"timestamp":null,"event":"of Windows"}"#),
            (r#"{"timestamp":null,"event":"a \"quoted\" one\r"}"#, r#"{"timestamp":null,"event":"a \"quoted\" one"}"#),
        ] {
            assert_eq!(converted(&format!("{line}\n")), format!("{message}\n"));
        }
    }

    #[test]
    fn text_without_a_time_has_that_of_the_line_before() {
        let mut messages = Messages::new(&stamp::Settings::default()).unwrap();
        assert!(messages.convert(b"{\"timestamp\":\"2024-11-20T12:34:56Z\",\"event\":\"a\"}\n").is_none());
        let out = messages.convert(b"{\"a\":1}\n").unwrap();
        assert_eq!(out, b"{\"timestamp\":\"2024-11-20T12:34:56Z\",\"event\":\"{\\\"a\\\":1}\"}\n");
    }

    proptest::proptest! {
        #[test]
        fn whatever_object_comes_a_message_goes(
            keys in proptest::collection::vec("event|timestamp|ts|level|e|\\\\u0065vent", 0..4),
            values in proptest::collection::vec(
                r#""[a2T:\-]{0,8}"|"2024-11-20T12:34:56Z"|"2024-11-20 12:34:56"|1732106096|null|true|\{\}|"\\r""#, 4),
        ) {
            let members: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let out = converted(&format!("{{{}}}\n", members.join(",")));
            let line = out.trim_end().as_bytes();
            let mut seen = Seen::default();
            // A key with an escape is told to nobody; such a line is text, or has its event beside it.
            assert!(json::check(line, &mut seen) && seen.events == 1 && !seen.bad, "{out}");
            match seen.stamp {
                Some(Value::Text(time)) => assert!(is_rfc3339(time), "{out}"),
                value => assert!(value.is_none() || has_null_time(line), "{out}"),
            }
        }
    }
}
