//! How a record is written: as it is (TEXT), or as one JSON object a line (NDJSON).
//!
//! Order, loss: bytes in, the same bytes or their JSON form out; invalid UTF-8 becomes U+FFFD, in
//! NDJSON only. Memory: appends to the caller's buffer; a line grows at most six times.

use std::borrow::Cow;

use crate::json::{self, Nobody};
use crate::scan::{Record, UNTIMED};
use crate::stamp;

/// Append a record, line by line, as NDJSON.
pub fn ndjson(bytes: &[u8], record: &Record, out: &mut Vec<u8>) {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if record.all_json() {
        out.extend_from_slice(body);
        out.push(b'\n');
        return;
    }
    let mut writer = LineWriter::new(record.ts);
    let mut start = 0;
    for newline in memchr::memchr_iter(b'\n', body) {
        writer.line(&body[start..newline], record, false, out);
        start = newline + 1;
    }
    writer.line(&body[start..], record, record.cut_end(), out);
}

struct LineWriter {
    /// `{"timestamp":…,"event":"`
    opening: Vec<u8>,
}

impl LineWriter {
    fn new(ts: i64) -> Self {
        let mut opening = Vec::with_capacity(64);
        opening.extend_from_slice(b"{\"timestamp\":");
        if ts == UNTIMED {
            opening.extend_from_slice(b"null");
        } else {
            opening.push(b'"');
            stamp::write_rfc3339(ts, &mut opening);
            opening.push(b'"');
        }
        opening.extend_from_slice(b",\"event\":\"");
        LineWriter { opening }
    }

    /// `partial`: the line goes on in the next piece.
    fn line(&mut self, line: &[u8], record: &Record, partial: bool, out: &mut Vec<u8>) {
        if !record.no_json() && !partial && is_object(line) {
            out.extend_from_slice(line);
            out.push(b'\n');
            return;
        }
        out.extend_from_slice(&self.opening);
        escape(line, out);
        out.extend_from_slice(if partial { b"\",\"partial\":true}\n" } else { b"\"}\n" });
    }
}

fn is_object(line: &[u8]) -> bool {
    json::check(line, &mut Nobody) && simdutf8::basic::from_utf8(line).is_ok()
}

/// Append text as the inside of a JSON string.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    let valid: Cow<'_, [u8]> = match simdutf8::basic::from_utf8(text) {
        Ok(_) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(String::from_utf8_lossy(text).into_owned().into_bytes()),
    };
    escape_valid(&valid, out);
}

/// Append text that is valid UTF-8 as the inside of a JSON string.
pub(crate) fn escape_valid(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let plain = json::plain_run(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&special) = rest.get(plain) else { return };
        escape_byte(special, out);
        rest = &rest[plain + 1..];
    }
}

fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_json_wants_it() {
        for (text, escaped) in [
            (&b"plain"[..], &b"plain"[..]),
            (b"a\"b\\c\td\re\x08\x0c\x00\x1f\x7f", b"a\\\"b\\\\c\\td\\re\\b\\f\\u0000\\u001f\x7f"),
            ("é\u{2028}😀".as_bytes(), "é\u{2028}😀".as_bytes()),
            (b"a\xffb\xe2\x82", "a\u{fffd}b\u{fffd}".as_bytes()),
            (b"0123456789abcdef\"0123456789abcdef", b"0123456789abcdef\\\"0123456789abcdef"),
        ] {
            let mut out = vec![];
            escape(text, &mut out);
            assert_eq!(out, escaped);
        }
    }
}
