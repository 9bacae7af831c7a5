//! How serious a record is: from a JSON member, or from the word that a text format puts behind the time.
//!
//! Holds: nothing.
//! Plan:  a text line is walked field by field, at most [`MAX_FIELDS`] of them within [`HEAD_BYTES`]: `[…]`, `{…}`, a
//!        number, a name. The walk ends where prose may begin: `error` in a message is no level. Unknown is unknown.
//!
//! | where | example |
//! |---|---|
//! | syslog priority | `<34>Oct 11 22:14:15 host msg` |
//! | klog | `E1120 12:34:56.123456   1 file.go:12] msg` |
//! | after the time, upper case | `2024-11-20 12:34:56,123 INFO msg` |
//! | … behind names between dashes or bars | `2024-11-20 12:34:56,123 - name - ERROR - msg` |
//! | … behind a dotted name, a number, braces | `[2024-11-20T12:34:56.123+0000] {file.py:12} INFO - msg` |
//! | in brackets, any case | `2024/11/20 12:34:56 [error] msg`, `[Wed …] [core:error] msg`, `[ERROR] msg` |
//! | first word, upper case | `WARNING:name:msg`, `INFO  [name] msg` |
//! | logfmt | `time=… level=error`, `level=info ts=…` |
//! | Kubernetes | `2024-11-20T12:34:56.123456789Z stdout F …`, then any of these |
//! | the first line of a crash | `Traceback (most recent call last):`, `Exception in thread "main" …`, `panic: …` |

use crate::stamp::{load, priority, skip_decoration, skip_escapes};

/// A level stands within so many bytes, or it is not seen.
const HEAD_BYTES: usize = 200;
/// A level is among so many fields after the time, or it is not seen.
const MAX_FIELDS: usize = 5;

/// How serious a record is, in rising order.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing said how serious it is.
    #[default]
    Unknown = 0,
    /// `trace`, `debug`, `verbose`
    Debug,
    /// `info`, `information`, `notice`
    Info,
    /// `warn`, `warning`
    Warning,
    /// `error`, `err`, `severe`
    Error,
    /// `fatal`, `critical`, `crit`, `alert`, `emerg`, `emergency`, `panic`
    Critical,
}

/// Names of up to eight letters, padded with spaces, frequent ones first.
const NAMES: [(&[u8; 8], Level); 16] = [
    (b"info    ", Level::Info),
    (b"debug   ", Level::Debug),
    (b"warning ", Level::Warning),
    (b"error   ", Level::Error),
    (b"warn    ", Level::Warning),
    (b"critical", Level::Critical),
    (b"trace   ", Level::Debug),
    (b"notice  ", Level::Info),
    (b"fatal   ", Level::Critical),
    (b"err     ", Level::Error),
    (b"crit    ", Level::Critical),
    (b"severe  ", Level::Error),
    (b"verbose ", Level::Debug),
    (b"alert   ", Level::Critical),
    (b"emerg   ", Level::Critical),
    (b"panic   ", Level::Critical),
];
const LONG_NAMES: [(&[u8], Level); 2] = [(b"information", Level::Info), (b"emergency", Level::Critical)];

/// Level of a name, in any case.
#[must_use]
pub fn from_name(name: &[u8]) -> Level {
    let known = if name.len() > 8 {
        LONG_NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| level)
    } else {
        // Letters become lower case, and NUL, which pads a short name, becomes a space. Nothing else becomes a letter.
        let lower = load(name, 0) | u64::from_le_bytes([0x20; 8]);
        NAMES.iter().find(|(known, _)| u64::from_le_bytes(**known) == lower).map(|(_, level)| level)
    };
    known.copied().unwrap_or_default()
}

/// Level of a JSON string (the raw bytes between the quotes): a name, or a number as of [`from_json_number`].
#[must_use]
pub fn from_json_str(value: &[u8]) -> Level {
    let value = value.trim_ascii();
    match value.first() {
        Some(b'0'..=b'9') => from_json_number(value),
        _ => from_name(value),
    }
}

/// Level of a JSON number under a key such as `level`: syslog severities 0-7, and the steps of ten of pino and bunyan
/// (10 trace … 60 fatal; those between count as the lower one).
///
/// Python's numbers mean other levels at 30, 40 and 50. They stand under a key of their own, `levelno`: for that
/// one ask [`from_python_levelno`].
#[must_use]
pub fn from_json_number(token: &[u8]) -> Level {
    match small_number(token) {
        Some(severity @ 0..=7) => from_syslog_severity(severity),
        Some(10..=29) => Level::Debug,
        Some(30..=39) => Level::Info,
        Some(40..=49) => Level::Warning,
        Some(50..=59) => Level::Error,
        Some(60..=69) => Level::Critical,
        _ => Level::Unknown,
    }
}

/// Level of a JSON number under Python's key `levelno`: 10 debug, 20 info, 30 warning, 40 error, 50 critical; those
/// between count as the lower one.
#[must_use]
pub fn from_python_levelno(token: &[u8]) -> Level {
    match small_number(token) {
        Some(1..=19) => Level::Debug,
        Some(20..=29) => Level::Info,
        Some(30..=39) => Level::Warning,
        Some(40..=49) => Level::Error,
        Some(50..=59) => Level::Critical,
        _ => Level::Unknown,
    }
}

fn small_number(token: &[u8]) -> Option<u32> {
    match *token {
        [ones @ b'0'..=b'9'] => Some(u32::from(ones - b'0')),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0')),
        _ => None,
    }
}

fn from_syslog_severity(severity: u32) -> Level {
    match severity {
        0..=2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    }
}

/// How a crash begins that a language's runtime tells of, where a message may begin: Python's, Java's, Go's.
const CRASHES: [(&[u8], Level); 3] = [
    (b"Traceback (most recent call last):", Level::Error),
    (b"Exception in thread \"", Level::Error),
    (b"panic: ", Level::Critical),
];

/// Level of a text line, looked for where its format puts it.
#[must_use]
pub fn of_text(line: &[u8]) -> Level {
    let head = skip_decoration(&line[..line.len().min(HEAD_BYTES)]);
    if let Some((priority, _)) = priority(head) {
        return from_syslog_severity(priority % 8);
    }
    if let Some(level) = of_klog(head) {
        return level;
    }
    match after_time(head) {
        Some(rest) => match after_stream(rest) {
            Some(message) => of_text(message),
            None => of_fields(rest),
        },
        None => of_first_word(head),
    }
}

/// `E1120 12:34:56.123456`
fn of_klog(head: &[u8]) -> Option<Level> {
    let [letter, month_day @ .., b' '] = head.first_chunk::<6>()? else { return None };
    if !month_day.iter().all(u8::is_ascii_digit) || head.get(8) != Some(&b':') || head.get(11) != Some(&b':') {
        return None;
    }
    match letter {
        b'D' => Some(Level::Debug),
        b'I' => Some(Level::Info),
        b'W' => Some(Level::Warning),
        b'E' => Some(Level::Error),
        b'F' | b'C' => Some(Level::Critical),
        _ => None,
    }
}

/// What follows the time, if the line begins with something of its shape. Whether it is valid does not matter here.
fn after_time(head: &[u8]) -> Option<&[u8]> {
    let inside = head.strip_prefix(b"[").unwrap_or(head);
    let time: &[u8; 19] = inside.first_chunk()?;
    match time {
        [b'0'..=b'9', _, _, _, b'-' | b'/', _, _, b'-' | b'/', _, _, _, _, _, b':', _, _, b':', ..] => {
            Some(after_offset(after_digits(&inside[19..], b".,")))
        }
        // Apache: `[Wed Oct 11 14:32:52.123456 2000]`
        [b'A'..=b'Z', _, _, b' ', _, _, _, b' ', _, _, b' ', _, _, b':', _, _, b':', ..] => after_byte(inside, b']'),
        _ => None,
    }
}

/// The text after one of `signs` and the digits behind it, if it begins so.
fn after_digits<'t>(text: &'t [u8], signs: &[u8]) -> &'t [u8] {
    match text {
        [sign, digits @ ..] if signs.contains(sign) => skip_digits(digits),
        _ => text,
    }
}

fn skip_digits(text: &[u8]) -> &[u8] {
    split_while(text, u8::is_ascii_digit).1
}

/// The text after `Z`, ` UTC`, `+01:00` or ` +0100`, if it begins so.
fn after_offset(text: &[u8]) -> &[u8] {
    match text {
        [b'Z' | b'z', rest @ ..] | [b' ', b'U', b'T', b'C', rest @ ..] => rest,
        [b' ', offset @ ..] if matches!(offset, [b'+' | b'-', b'0'..=b'9', ..]) => after_digits(offset, b"+-"),
        _ => after_digits(after_digits(text, b"+-"), b":"),
    }
}

fn after_byte(text: &[u8], wanted: u8) -> Option<&[u8]> {
    memchr::memchr(wanted, text).map(|at| &text[at + 1..])
}

/// The message that a container wrote: after ` stdout F ` or ` stderr P `.
fn after_stream(rest: &[u8]) -> Option<&[u8]> {
    let tag = rest.strip_prefix(b" stdout ").or_else(|| rest.strip_prefix(b" stderr "))?;
    tag.strip_prefix(b"F ").or_else(|| tag.strip_prefix(b"P "))
}

/// The first level among the fields after a time.
fn of_fields(mut rest: &[u8]) -> Level {
    for _ in 0..MAX_FIELDS {
        rest = skip_separators(rest);
        let (level, after) = of_field(rest);
        match after {
            Some(after) if level == Level::Unknown => rest = after,
            _ => return level,
        }
    }
    Level::Unknown
}

/// Level of the first field, and what follows it if the next field may hold one.
fn of_field(text: &[u8]) -> (Level, Option<&[u8]>) {
    match text.first() {
        Some(b'[') => of_brackets(text),
        Some(b'{') => (Level::Unknown, after_byte(text, b'}')),
        Some(b'(') => (Level::Unknown, after_byte(text, b')')),
        _ => of_word(text),
    }
}

/// `[error]`, `[info     ]`, `[core:error]`, also with colours.
fn of_brackets(text: &[u8]) -> (Level, Option<&[u8]>) {
    let Some(end) = memchr::memchr(b']', text) else { return (Level::Unknown, None) };
    let inside = skip_escapes(&text[1..end]);
    let inside = &inside[memchr::memrchr(b':', inside).map_or(0, |colon| colon + 1)..];
    let word = inside.split(|byte| matches!(byte, b' ' | 0x1b)).next().unwrap_or_default();
    (from_name(word), Some(&text[end + 1..]))
}

/// `INFO`, `ERROR:`, `INFO/MainProcess`. A number, a dotted name, or a name between dashes or bars may stand before it.
fn of_word(text: &[u8]) -> (Level, Option<&[u8]>) {
    if let Some(level) = of_crash(text) {
        return (level, None);
    }
    let (upper, rest) = split_while(text, u8::is_ascii_uppercase);
    if matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'|' | b':' | b'/' | b'[' | b']' | b',' | 0x1b)) {
        let level = from_name(upper);
        if level != Level::Unknown {
            return (level, None);
        }
    }
    let (word, rest) = split_while(text, |byte| !matches!(byte, b' ' | b'\t' | b'|' | 0x1b));
    if word.contains(&b'=') {
        return (of_logfmt(text), None);
    }
    let is_number = !word.is_empty() && skip_digits(word).is_empty();
    let is_dotted = word.contains(&b'.') && !word.ends_with(b".");
    let is_enclosed = skip_escapes(rest).starts_with(b" - ") || rest.starts_with(b" | ");
    (Level::Unknown, (is_number || is_dotted || is_enclosed).then_some(rest))
}

fn split_while(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len()))
}

/// The text after blanks, bars, brackets' ends, dashes between blanks, and colour escapes.
fn skip_separators(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [b' ' | b'\t' | b'|' | b':' | b',' | b']', ..] | [b'-', b' ', ..] => &text[1..],
            [0x1b, ..] if skip_escapes(text).len() < text.len() => skip_escapes(text),
            _ => return text,
        };
    }
}

/// Level of a line without a time of ours: `[ERROR] msg`, `ERROR:name:msg`, `INFO  [name] msg`, `level=error msg=x`.
fn of_first_word(head: &[u8]) -> Level {
    if head.first() == Some(&b'[') {
        return of_brackets(head).0;
    }
    if let Some(level) = of_crash(head) {
        return level;
    }
    let (word, rest) = split_while(head, u8::is_ascii_alphabetic);
    let in_upper_case = || if word.iter().all(u8::is_ascii_uppercase) { from_name(word) } else { Level::Unknown };
    match rest.first() {
        Some(b':') => in_upper_case(),
        Some(b' ') if rest.trim_ascii_start().first() == Some(&b'[') => in_upper_case(),
        Some(b'=') => of_logfmt(head),
        _ => Level::Unknown,
    }
}

fn of_crash(text: &[u8]) -> Option<Level> {
    CRASHES.iter().find(|(begin, _)| text.starts_with(begin)).map(|&(_, level)| level)
}

/// Value of the first key `level`, `lvl` or `severity` among `key=value` pairs.
fn of_logfmt(mut text: &[u8]) -> Level {
    while let Some(equals) = memchr::memchr(b'=', text) {
        let (key, value) = (&text[..equals], &text[equals + 1..]);
        let (value, rest) = logfmt_value(value);
        if matches!(key, b"level" | b"lvl" | b"severity") {
            return from_name(value);
        }
        text = rest.trim_ascii_start();
    }
    Level::Unknown
}

/// A value, without its quotes, and what follows it.
fn logfmt_value(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return split_while(text, |byte| !byte.is_ascii_whitespace());
    };
    let mut escaped = false;
    let end = quoted.iter().position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    match end {
        Some(end) => (&quoted[..end], &quoted[end + 1..]),
        None => (quoted, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        for (names, level) in [
            ("trace debug verbose", Level::Debug),
            ("info information notice", Level::Info),
            ("warn warning", Level::Warning),
            ("err error severe", Level::Error),
            ("fatal critical crit alert emerg emergency panic", Level::Critical),
        ] {
            for name in names.split(' ') {
                let capital = name[..1].to_uppercase() + &name[1..];
                for name in [name, &name.to_uppercase(), &capital] {
                    assert_eq!(from_name(name.as_bytes()), level, "{name}");
                    assert_eq!(from_json_str(name.as_bytes()), level, "{name}");
                }
                for no_name in [format!("{name}x"), format!("x{name}"), name[1..].to_owned(), format!("{name}[")] {
                    assert_eq!(from_name(no_name.as_bytes()), Level::Unknown, "{no_name}");
                }
            }
        }
        for no_name in ["", " ", "\0", "unknown", "log", "i", "E", "12", "informations", "really severe", "\u{fc}rgent"]
        {
            assert_eq!(from_name(no_name.as_bytes()), Level::Unknown, "{no_name}");
        }
    }

    #[test]
    fn numbers_of_json() {
        for (tokens, general, python) in [
            ("0", Level::Critical, Level::Unknown),
            ("1 2", Level::Critical, Level::Debug),
            ("3", Level::Error, Level::Debug),
            ("4", Level::Warning, Level::Debug),
            ("5 6", Level::Info, Level::Debug),
            ("7", Level::Debug, Level::Debug),
            ("10 15", Level::Debug, Level::Debug),
            ("20 25", Level::Debug, Level::Info),
            ("30 35", Level::Info, Level::Warning),
            ("40", Level::Warning, Level::Error),
            ("50", Level::Error, Level::Critical),
            ("60", Level::Critical, Level::Unknown),
            ("70 100 -3 010 3.0 1e1 x", Level::Unknown, Level::Unknown),
        ] {
            for token in tokens.split(' ') {
                assert_eq!(from_json_number(token.as_bytes()), general, "{token}");
                assert_eq!(from_python_levelno(token.as_bytes()), python, "{token}");
            }
        }
        assert_eq!(from_json_str(b"30"), Level::Info);
        assert_eq!(from_json_str(b" INFO "), Level::Info);
    }

    #[test]
    fn lines_of_every_format() {
        for (line, level) in [
            ("[2024-11-20T12:34:56.123+0000] {file.py:12} INFO - msg", Level::Info),
            ("[2024-11-20T12:34:56.123+0000] {a b.py:12} ERROR - msg", Level::Error),
            ("[2024-11-20 12:34:56,123] {file.py:12} WARNING - msg", Level::Warning),
            ("2024-11-20 12:34:56,123 - name - ERROR - msg", Level::Error),
            ("2024-11-20 12:34:56,123 - a.b.c - DEBUG - msg", Level::Debug),
            ("2024-11-20 12:34:56,123 - CRITICAL - msg", Level::Critical),
            ("2024-11-20 12:34:56,123 INFO msg", Level::Info),
            ("2024-11-20 12:34:56,123 INFO", Level::Info),
            ("2024-11-20 12:34:56,123 a.b.c INFO msg", Level::Info),
            ("2024-11-20 12:34:56.123 [main] WARN  a.b.C - msg", Level::Warning),
            ("2024-11-20T12:34:56.123+01:00  INFO 1234 --- [main] a.B : msg", Level::Info),
            ("2024-11-20 12:34:56.123 | SEVERE   | a:b:1 - msg", Level::Error),
            ("2024-11-20T12:34:56.123Z\tFATAL\ta/b.go:1\tmsg", Level::Critical),
            ("2024-11-20 12:34:56.123 UTC [77] ERROR:  relation", Level::Error),
            ("2024-11-20 12:34:56 +0100 [warn]: msg", Level::Warning),
            ("2024-11-20T12:34:56.123456Z 0 [Warning] [MY-010] msg", Level::Warning),
            ("2024-11-20 12:34:56 [info     ] msg", Level::Info),
            ("\x1b[2m2024-11-20 12:34:56\x1b[0m [\x1b[31m\x1b[1merror    \x1b[0m] msg", Level::Error),
            ("2024-11-20 12:34:56.123 \x1b[32mINFO\x1b[0m msg", Level::Info),
            ("[2024-11-20 12:34:56,123: INFO/MainProcess] msg", Level::Info),
            ("[2024-11-20 12:34:56 +0000] [7] [INFO] msg", Level::Info),
            ("[2024-11-20T12:34:56,123][INFO ][name] msg", Level::Info),
            ("2024/11/20 12:34:56 [error] 7#7: msg", Level::Error),
            ("2024/11/20 12:34:56 [emerg] 7#7: msg", Level::Critical),
            ("[Wed Oct 11 14:32:52.123456 2000] [core:error] [pid 1] msg", Level::Error),
            ("[Wed Oct 11 14:32:52 2000] [notice] msg", Level::Info),
            ("I1120 12:34:56.123456   1 file.go:12] msg", Level::Info),
            ("W1120 12:34:56.123456   1 file.go:12] msg", Level::Warning),
            ("E1120 12:34:56.123456   1 file.go:12] msg", Level::Error),
            ("F1120 12:34:56.123456   1 file.go:12] msg", Level::Critical),
            ("<34>Oct 11 22:14:15 host msg", Level::Critical),
            ("<165>1 2003-10-11T22:14:15.003Z host", Level::Info),
            ("<11>Oct 11 22:14:15 host INFO", Level::Error),
            ("<191>msg", Level::Debug),
            ("time=2024-11-20T12:34:56Z level=error msg=x", Level::Error),
            ("time=\"2024-11-20T12:34:56Z\" msg=\"a \\\" level=info\" level=warning", Level::Warning),
            ("level=info ts=2024-11-20T12:34:56Z", Level::Info),
            ("2024-11-20T12:34:56Z level=\"error\" msg=x", Level::Error),
            ("ts=1 lvl=crit", Level::Critical),
            ("2024-11-20T12:34:56.123456789Z stdout F 2024-11-20 12:34:56,123 ERROR msg", Level::Error),
            ("2024-11-20T12:34:56.123456789Z stderr F E1120 12:34:56.123456   1 f.go:1] msg", Level::Error),
            ("2024-11-20T12:34:56.123456789Z stderr P WARNING:name:msg", Level::Warning),
            ("WARNING:name:msg", Level::Warning),
            ("ERROR: msg", Level::Error),
            ("INFO  [name] msg", Level::Info),
            ("[ERROR] msg", Level::Error),
            ("[warn] msg", Level::Warning),
            ("\u{feff}[warn] msg", Level::Warning),
            ("Traceback (most recent call last):", Level::Error),
            ("2024-11-20T12:34:56.123456789Z Traceback (most recent call last):", Level::Error),
            ("2024-11-20T12:34:56.123456789Z stderr F Traceback (most recent call last):", Level::Error),
            ("Exception in thread \"main\" java.lang.IllegalStateException: x", Level::Error),
            ("panic: runtime error: index out of range [3]", Level::Critical),
        ] {
            assert_eq!(of_text(line.as_bytes()), level, "{line}");
            assert_eq!(of_text(format!("{line}\r").as_bytes()), level, "{line} with CR");
        }
    }

    #[test]
    fn prose_has_no_level() {
        let late = format!("2024-11-20 12:34:56 [{}] [error] msg", "x".repeat(HEAD_BYTES));
        let nested = "2024-11-20T12:34:56.123456789Z stdout F ".repeat(9) + "ERROR: x";
        for line in [
            "",
            "\r",
            "[",
            "<",
            "<>",
            "=",
            "level=",
            "error while reading",
            "it said: Traceback (most recent call last):",
            "Traceback of the day",
            "panic in the streets",
            "Error: msg",
            "error: msg",
            "ERROR while reading",
            "an ERROR [x]",
            "2024-11-20 12:34:56 error while reading",
            "2024-11-20 12:34:56 Error while reading",
            "2024-11-20 12:34:56 no ERROR here",
            "2024-11-20 12:34:56 Failed. ERROR",
            "2024-11-20 12:34:56 ERRORS",
            "2024-11-20 12:34:56",
            "2024-11-20 12:34:56,123 - name - no level - ERROR - msg",
            "2024-11-20 12:34:56 [a] [b] [c] [d] [e] [error] msg",
            "2024-11-20T12:34:56.123456789Z stdout F it was an error",
            "2024-11-20 1234 ERROR msg",
            "Oct 11 22:14:15 host app[1]: error",
            "127.0.0.1 - - [20/Nov/2024:12:34:56 +0000] \"GET /error HTTP/1.1\" 500 1",
            "time=2024-11-20T12:34:56Z msg=\"level=error\"",
            "time=2024-11-20T12:34:56Z msg=\"level=error",
            "E1120 no time",
            "<192>Oct 11 22:14:15 host msg",
            "[main] ERROR msg",
            "{\"level\":\"error\"}",
            &late,
            &nested,
        ] {
            assert_eq!(of_text(line.as_bytes()), Level::Unknown, "{line}");
        }
    }
}
