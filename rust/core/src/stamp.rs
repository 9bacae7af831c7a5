//! The time at the start of a line, or in a JSON value, as nanoseconds UTC since 1970.
//!
//! Holds: the last minute and the last quarter of an hour of one source; nothing grows.
//! Plan:  an ISO time, in brackets or not, is tried before all; else the first byte of the line chooses the form.
//!        Digits are checked and summed eight at a time. A minute like the last one is not read again, nor is the
//!        zone's offset looked up again within a quarter of an hour.
//!
//! A time has a date **and** a time of day, and no letter, digit, `_` or `/` follows it. Forms of text lines, with no
//! byte before them but a byte order mark and colour escapes:
//!
//! | form | example |
//! |---|---|
//! | RFC 3339, Kubernetes | `2024-11-20T12:34:56.123456789Z stdout F msg` |
//! | Python logging, log4j, Postgres | `2024-11-20 12:34:56,123 - name - INFO - msg` |
//! | Go, nginx error | `2024/11/20 12:34:56 [error] msg` |
//! | Airflow 2, Celery, gunicorn | `[2024-11-20T12:34:56.123+0000] {file.py:12} INFO - msg` |
//! | Airflow 2.0 to 2.2 | `[2024-11-20, 12:34:56 UTC] {file.py:12} INFO - msg` |
//! | Apache error, `dmesg -T` | `[Wed Oct 11 14:32:52.123456 2000] [core:error] msg` |
//! | syslog RFC 5424 | `<165>1 2003-10-11T22:14:15.003Z host msg` |
//! | syslog RFC 3164 | `<34>Oct 11 22:14:15 host msg`, also without `<34>` |
//! | klog, glog | `I1120 12:34:56.123456   1 file.go:12] msg` |
//! | Apache and nginx access | `127.0.0.1 - - [20/Nov/2024:12:34:56 +0000] "GET /"` |
//! | logfmt | `time=2024-11-20T12:34:56Z level=info`, `level=info ts=1732106096.123 msg=x` |
//! | squid, `strace -ttt` | `1732106096.123 msg`: ten digits, then exactly 3, 6 or 9 |
//!
//! An ISO time takes `T`, `t` or a space between date and clock; a fraction of any length after `.` or `,` (digits
//! after the ninth are dropped); then `Z`, `+01:00`, `+0100`, `+01`, ` +0100`, ` UTC`, or nothing: such a naive time is
//! of the zone of the settings. A JSON string must be one ISO, RFC 3164 or access log time, or an epoch number, and
//! nothing else.
//!
//! Not times: a date alone, a clock alone, 30 February, hour 24, a year outside 1678-2261 (an `i64` of nanoseconds ends
//! there), an interval `2024-01-01T10:00:00/PT1H`, a whole number at the start of a line. Second 60 is the next
//! minute's first.

mod bad;
mod civil;
mod custom;
mod digits;
mod epoch;
mod forms;
mod zone;

pub use bad::BadFormat;
pub use civil::write_rfc3339;
pub(crate) use digits::load;
pub(crate) use forms::priority;

use custom::Format;
use forms::{Minutes, Stamp};
use zone::{Naive, Years};

const NS_PER_S: i64 = 1_000_000_000;

/// How times are read. The default: UTC, no format of one's own, reference 1970.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// IANA name of the zone of times that carry none; `""` is UTC.
    pub zone: String,
    /// A format as of strptime, tried before all others, at the start of a line or as a whole JSON string.
    pub time_format: Option<String>,
    /// "Now", for times without a year: theirs is the year that gives the latest time up to a day after this. 0 is
    /// 1970 like any other number; not knowing it puts such times into the year before 1970-01-02.
    pub reference_ns: i64,
}

/// Reads the times of one source, and remembers a little between them.
#[derive(Clone, Debug)]
pub struct Reader {
    custom: Option<Format>,
    minutes: Minutes,
    naive: Naive,
    years: Years,
}

impl Reader {
    /// A reader at the start of a source.
    ///
    /// # Errors
    /// The format cannot be used, or there is no such zone.
    pub fn new(settings: &Settings) -> Result<Reader, BadFormat> {
        let naive = Naive::new(&settings.zone)?;
        let years = Years::until(settings.reference_ns, &naive);
        let custom = settings.time_format.as_deref().map(|format| Format::new(format, &years)).transpose()?;
        Ok(Reader { custom, minutes: Minutes::default(), naive, years })
    }

    /// Time of a text line (without its `\n`), or None if it carries none.
    #[inline]
    pub fn of_text(&mut self, line: &[u8]) -> Option<i64> {
        if self.custom.is_none() {
            let bracket = usize::from(line.first() == Some(&b'['));
            if let Some(stamp) = forms::iso(&line[bracket..], &mut self.minutes) {
                return Some(self.ns(stamp));
            }
        }
        self.of_other_text(line)
    }

    /// Time of a line that does not begin as nearly all do.
    #[inline(never)]
    fn of_other_text(&mut self, line: &[u8]) -> Option<i64> {
        let line = skip_decoration(line);
        let stamp = self.custom_stamp(line).or_else(|| self.text_stamp(line))?;
        Some(self.ns(stamp))
    }

    /// Time of a JSON string value: the raw bytes between the quotes, all of them.
    pub fn of_json_str(&mut self, value: &[u8]) -> Option<i64> {
        let whole = |stamp: &Stamp| stamp.end == value.len();
        if let Some(stamp) = self.custom_stamp(value).filter(whole) {
            return Some(self.ns(stamp));
        }
        let stamp = forms::seldom_iso(value, &mut self.minutes)
            .or_else(|| forms::access_time(value))
            .or_else(|| forms::rfc3164(value, &self.years));
        match stamp {
            Some(stamp) => whole(&stamp).then(|| self.ns(stamp)),
            None => epoch::of_number(value),
        }
    }

    /// Time of a JSON number: seconds, milli-, micro- or nanoseconds since 1970, told apart by their size.
    ///
    /// | whole digits | unit | from | to |
    /// |---|---|---|---|
    /// | 9-11 | s | 1973-03-03 | 2262 |
    /// | 12-14 | ms | 1973-03-03 | 2262 |
    /// | 15-17 | µs | 1973-03-03 | 2262 |
    /// | 18-19 | ns | 1973-03-03 | 2262 |
    ///
    /// Fractions and exponents are exact to 19 digits. Anything smaller, larger or negative is no time.
    pub fn of_json_number(&mut self, token: &[u8]) -> Option<i64> {
        epoch::of_number(token)
    }

    /// If `bytes` begins with an ISO time followed by `"`: the time, and its length before the quote.
    ///
    /// What it gives, [`Reader::of_json_str`] gives too. None says nothing: ask that one. It is always None with a
    /// format of one's own.
    #[inline]
    pub fn rfc3339_prefix(&mut self, bytes: &[u8]) -> Option<(i64, usize)> {
        if self.custom.is_some() {
            return None;
        }
        if let Some(ns) = forms::same_minute_ns(bytes, &self.minutes) {
            return Some((ns, "2024-11-20T12:34:56.123456Z".len()));
        }
        let stamp = forms::seldom_iso(bytes, &mut self.minutes)?;
        (bytes.get(stamp.end) == Some(&b'"')).then(|| (self.ns(stamp), stamp.end))
    }

    fn custom_stamp(&self, line: &[u8]) -> Option<Stamp> {
        self.custom.as_ref()?.stamp(line, &self.years)
    }

    fn text_stamp(&mut self, line: &[u8]) -> Option<Stamp> {
        let (minutes, years) = (&mut self.minutes, &self.years);
        let stamp = match *line.first()? {
            b'1' | b'2' => forms::seldom_iso(line, minutes).or_else(|| forms::epoch(line)),
            b'[' => return bracketed(&line[1..], minutes),
            b'<' => {
                let message = forms::after_priority(line)?;
                return forms::seldom_iso(message, minutes).or_else(|| forms::rfc3164(message, years));
            }
            b'A'..=b'Z' => forms::klog(line, years).or_else(|| forms::rfc3164(line, years)),
            b'l' | b't' => forms::logfmt(line, minutes),
            b'0'..=b'9' | b'a'..=b'z' | b':' => None,
            _ => return None,
        };
        stamp.or_else(|| forms::access_line(line))
    }

    #[inline]
    fn ns(&mut self, stamp: Stamp) -> i64 {
        match stamp.offset_s {
            Some(offset_s) => (stamp.local_s - i64::from(offset_s)) * NS_PER_S + i64::from(stamp.nanos),
            None => self.naive.ns(stamp.local_s, stamp.nanos),
        }
    }
}

fn bracketed(inside: &[u8], minutes: &mut Minutes) -> Option<Stamp> {
    forms::seldom_iso(inside, minutes)
        .or_else(|| forms::comma_iso(inside, minutes))
        .or_else(|| forms::apache_error(inside))
}

/// The line without a byte order mark and colour escapes at its start.
#[inline]
pub(crate) fn skip_decoration(line: &[u8]) -> &[u8] {
    match line.first() {
        Some(0xef) => skip_escapes(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)),
        Some(0x1b) => skip_escapes(line),
        _ => line,
    }
}

/// The text after the colour escapes (`ESC [ 0;31 m`) at its start.
pub(crate) fn skip_escapes(mut text: &[u8]) -> &[u8] {
    while let Some(inside) = text.strip_prefix(b"\x1b[") {
        let parameters = inside.iter().take_while(|&&b| b.is_ascii_digit() || b == b';').count();
        match inside.get(parameters) {
            Some(b'm') => text = &inside[parameters + 1..],
            _ => break,
        }
    }
    text
}
