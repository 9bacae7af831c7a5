//! Times of text lines and JSON values: one table a form, one of refusals, and properties with jiff as the oracle.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::Timestamp;
use logflume_core::level::{self, Level};
use logflume_core::stamp::{write_rfc3339, Reader, Settings};
use proptest::prelude::*;

/// The oracle: what jiff reads in an RFC 3339 text.
fn ns(rfc3339: &str) -> i64 {
    let time: Timestamp = rfc3339.parse().expect(rfc3339);
    i64::try_from(time.as_nanosecond()).expect(rfc3339)
}

fn reader(zone: &str, time_format: Option<&str>, reference: &str) -> Reader {
    let time_format = time_format.map(str::to_owned);
    Reader::new(&Settings { zone: zone.to_owned(), time_format, reference_ns: ns(reference) }).expect("good settings")
}

fn utc() -> Reader {
    reader("", None, "2024-12-01T00:00:00Z")
}

/// Each line has the time given, also with `\r` behind it, a byte order mark or colours before it, and in a reader that
/// has read all the others.
fn each_line_has_its_time(mut reader: Reader, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let expected = Some(ns(expected));
        assert_eq!(reader.of_text(line.as_bytes()), expected, "{line}");
        for decorated in [format!("{line}\r"), format!("\u{feff}{line}"), format!("\x1b[2m\x1b[0;32m{line}")] {
            assert_eq!(reader.of_text(decorated.as_bytes()), expected, "{decorated}");
        }
    }
}

#[test]
fn rfc_3339_at_the_start_of_a_line() {
    each_line_has_its_time(
        utc(),
        &[
            ("2024-11-20T12:34:56Z", "2024-11-20T12:34:56Z"),
            ("2024-11-20T12:34:56Z msg", "2024-11-20T12:34:56Z"),
            ("2024-11-20t12:34:56z msg", "2024-11-20T12:34:56Z"),
            ("2024-11-20T12:34:56.1Z msg", "2024-11-20T12:34:56.1Z"),
            ("2024-11-20T12:34:56.123456Z msg", "2024-11-20T12:34:56.123456Z"),
            ("2024-11-20T12:34:56.1234567Z msg", "2024-11-20T12:34:56.1234567Z"),
            ("2024-11-20T12:34:56.12345678Z msg", "2024-11-20T12:34:56.12345678Z"),
            ("2024-11-20T12:34:56.123456789Z stdout F msg", "2024-11-20T12:34:56.123456789Z"),
            ("2024-11-20T12:34:56.1234567891Z msg", "2024-11-20T12:34:56.123456789Z"),
            ("2024-11-20T12:34:56.123456789123456789123456789Z msg", "2024-11-20T12:34:56.123456789Z"),
            ("2024-11-20T12:34:56.123+01:00 msg", "2024-11-20T11:34:56.123Z"),
            ("2024-11-20T12:34:56.123-0330 msg", "2024-11-20T16:04:56.123Z"),
            ("2024-11-20T12:34:56+05 msg", "2024-11-20T07:34:56Z"),
            ("2024-11-20T12:34:56+00:00: msg", "2024-11-20T12:34:56Z"),
            ("2024-11-20T12:34:56-00:00", "2024-11-20T12:34:56Z"),
            ("2024-11-20T00:30:00+23:59 msg", "2024-11-19T00:31:00Z"),
            ("2024-11-20 12:34:56 UTC msg", "2024-11-20T12:34:56Z"),
            ("2024-11-20 12:34:56.123 UTC [77] LOG:  msg", "2024-11-20T12:34:56.123Z"),
            ("2024-11-20 12:34:56 +0100 [info]: msg", "2024-11-20T11:34:56Z"),
            ("2024-11-20 12:34:56 -10 degrees", "2024-11-20T12:34:56Z"),
            ("2024-11-20 12:34:56 UTCP", "2024-11-20T12:34:56Z"),
            ("2024-11-20 12:34:56.", "2024-11-20T12:34:56Z"),
            ("2024-11-20 12:34:56, then", "2024-11-20T12:34:56Z"),
            ("2024-11-20 12:34:56-msg", "2024-11-20T12:34:56Z"),
            ("2024-11-20T12:34:56.5\tmsg", "2024-11-20T12:34:56.5Z"),
            ("2016-12-31T23:59:60Z leap second", "2017-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60.5Z leap second", "2017-01-01T00:00:00.5Z"),
            ("2024-02-29T00:00:00Z leap day", "2024-02-29T00:00:00Z"),
            ("2000-02-29T00:00:00Z leap day", "2000-02-29T00:00:00Z"),
            ("1969-12-31T23:59:59.9Z before 1970", "1969-12-31T23:59:59.9Z"),
            ("1678-01-01T00:00:00Z first", "1678-01-01T00:00:00Z"),
            ("2261-12-31T23:59:59.999999999Z last", "2261-12-31T23:59:59.999999999Z"),
        ],
    );
}

#[test]
fn dates_with_a_space_or_with_slashes() {
    each_line_has_its_time(
        utc(),
        &[
            ("2024-11-20 12:34:56,123 - name - INFO - msg", "2024-11-20T12:34:56.123Z"),
            ("2024-11-20 12:34:56,123 INFO msg", "2024-11-20T12:34:56.123Z"),
            ("2024-11-20 12:34:56.123 [thread] INFO class - msg", "2024-11-20T12:34:56.123Z"),
            ("2024-11-20 12:34:56.123 | INFO     | a:b:1 - msg", "2024-11-20T12:34:56.123Z"),
            ("2024/11/20 12:34:56 [error] 7#7: msg", "2024-11-20T12:34:56Z"),
            ("2024/11/20 12:34:56.123456 msg", "2024-11-20T12:34:56.123456Z"),
        ],
    );
}

#[test]
fn times_in_brackets() {
    each_line_has_its_time(
        utc(),
        &[
            ("[2024-11-20T12:34:56.123+0000] {file.py:12} INFO - msg", "2024-11-20T12:34:56.123Z"),
            ("[2024-11-20T12:34:56.123+0100] {file.py:12} INFO - msg", "2024-11-20T11:34:56.123Z"),
            ("[2024-11-20 12:34:56,123] {file.py:12} INFO - msg", "2024-11-20T12:34:56.123Z"),
            ("[2024-11-20, 12:34:56 UTC] {file.py:12} INFO - msg", "2024-11-20T12:34:56Z"),
            ("[2024-11-20, 12:34:56", "2024-11-20T12:34:56Z"),
            ("2024-11-20 12:34:56 ", "2024-11-20T12:34:56Z"),
            ("[2024-11-20 12:34:56 +0000] [7] [INFO] msg", "2024-11-20T12:34:56Z"),
            ("[2024-11-20 12:34:56,123: INFO/MainProcess] msg", "2024-11-20T12:34:56.123Z"),
            ("[2024-11-20T12:34:56,123][INFO ][name] msg", "2024-11-20T12:34:56.123Z"),
            ("[Wed Oct 11 14:32:52.123456 2000] [core:error] msg", "2000-10-11T14:32:52.123456Z"),
            ("[Wed Oct 11 14:32:52 2000] [error] msg", "2000-10-11T14:32:52Z"),
            ("[Wed Oct  1 14:32:52 2000] msg", "2000-10-01T14:32:52Z"),
        ],
    );
}

#[test]
fn syslog_and_klog() {
    each_line_has_its_time(
        utc(),
        &[
            ("<165>1 2003-10-11T22:14:15.003Z host app - - msg", "2003-10-11T22:14:15.003Z"),
            ("<165>1 2003-10-11T22:14:15.003-07:00 host msg", "2003-10-12T05:14:15.003Z"),
            ("<34>2003-10-11T22:14:15Z host msg", "2003-10-11T22:14:15Z"),
            ("<34>Oct 11 22:14:15 host msg", "2024-10-11T22:14:15Z"),
            ("<0>Oct 11 22:14:15 host msg", "2024-10-11T22:14:15Z"),
            ("<191>Oct 11 22:14:15 host msg", "2024-10-11T22:14:15Z"),
            ("Oct 11 22:14:15 host msg", "2024-10-11T22:14:15Z"),
            ("Oct  1 22:14:15 host msg", "2024-10-01T22:14:15Z"),
            ("Oct 01 22:14:15 host msg", "2024-10-01T22:14:15Z"),
            ("Oct 11 22:14:15.123456 host msg", "2024-10-11T22:14:15.123456Z"),
            ("I1120 12:34:56.123456   1 file.go:12] msg", "2024-11-20T12:34:56.123456Z"),
            ("E0101 00:00:00.000001   1 file.go:12] msg", "2024-01-01T00:00:00.000001Z"),
            ("F1120 12:34:56.123456   1 file.go:12] msg", "2024-11-20T12:34:56.123456Z"),
        ],
    );
}

#[test]
fn access_logs() {
    each_line_has_its_time(
        utc(),
        &[
            (r#"127.0.0.1 - - [20/Nov/2024:12:34:56 +0000] "GET / HTTP/1.1" 200 1"#, "2024-11-20T12:34:56Z"),
            (r#"127.0.0.1 - anna [20/Nov/2024:12:34:56 -0800] "GET /""#, "2024-11-20T20:34:56Z"),
            (r#"::1 - - [20/Nov/2024:12:34:56 +0000] "GET /""#, "2024-11-20T12:34:56Z"),
            (r#"2001:db8::1 - - [20/Nov/2024:12:34:56 +0000] "GET /""#, "2024-11-20T12:34:56Z"),
            (r#"host.example.com - - [20/Nov/2024:12:34:56 +0000] "GET /""#, "2024-11-20T12:34:56Z"),
            (r#"Decent.example.com - - [20/Nov/2024:12:34:56 +0000] "GET /""#, "2024-11-20T12:34:56Z"),
            (r#"time.example.com - - [20/Nov/2024:12:34:56 +0000] "GET /""#, "2024-11-20T12:34:56Z"),
        ],
    );
}

#[test]
fn logfmt_and_epoch_seconds() {
    each_line_has_its_time(
        utc(),
        &[
            ("time=2024-11-20T12:34:56.123Z level=info msg=x", "2024-11-20T12:34:56.123Z"),
            (r#"time="2024-11-20T12:34:56+01:00" level=info msg=x"#, "2024-11-20T11:34:56Z"),
            ("ts=2024-11-20T12:34:56.123456789Z caller=a.go:1", "2024-11-20T12:34:56.123456789Z"),
            ("t=2024-11-20T12:34:56+0000 lvl=info", "2024-11-20T12:34:56Z"),
            ("timestamp=2024-11-20T12:34:56Z a=b", "2024-11-20T12:34:56Z"),
            ("level=info ts=2024-11-20T12:34:56Z msg=x", "2024-11-20T12:34:56Z"),
            ("level=info ts=1732106096.123 msg=x", "2024-11-20T12:34:56.123Z"),
            ("ts=1732106096", "2024-11-20T12:34:56Z"),
            ("1732106096.123    234 127.0.0.1 TCP_MISS/200", "2024-11-20T12:34:56.123Z"),
            ("1732106096.123456 write(1)", "2024-11-20T12:34:56.123456Z"),
            ("1732106096.123456789 x", "2024-11-20T12:34:56.123456789Z"),
        ],
    );
}

const NO_TIMES: &[&str] = &[
    "",
    "\r",
    "[",
    "[]",
    "<",
    "<34>",
    "\u{feff}",
    "\x1b[",
    "\x1b[31m",
    "2019 rows were loaded",
    "12:30 is noon",
    "P1D left",
    "PT5M",
    "2024-01-01 was a Monday",
    "2024-01-01/2024-01-02 is an interval",
    "2024-01-01T10:00:00/PT1H",
    "2024-01-01T10:00:00Z/2024-01-02T10:00:00Z",
    "now loading",
    "2024-13-45T99:00:00Z x",
    "2024-01-01T10:00:00abc",
    "2024-01-01T10:00:00Zulu",
    "2024-01-01T10:00:00_1",
    "2024-01-01T10:00:00+1",
    "2024-01-01T10:00:00+010",
    "2024-01-01T10:00:00+24:00",
    "2024-01-01T10:00:00+01:60",
    "2024-01-01T10:00:00.5x",
    "2024-01-01T10:00",
    "2024-01-01T10:00Z",
    "2024-01-01  10:00:00",
    "2024-01-01x10:00:00",
    "2024-01/01 10:00:00",
    "2024/01-01 10:00:00",
    "24-01-01 10:00:00",
    "2024-1-1 10:00:00",
    "2024-02-30T10:00:00Z",
    "2023-02-29T10:00:00Z",
    "1900-02-29T10:00:00Z",
    "2024-04-31T10:00:00Z",
    "2024-00-01T10:00:00Z",
    "2024-01-00T10:00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T10:60:00Z",
    "2024-01-01T10:00:61Z",
    "2024-01-01T10:00:70Z",
    "0001-01-01T00:00:00Z",
    "1677-12-31T23:59:59Z",
    "2262-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "20241120 123456",
    "20241120T123456Z",
    "1.2.3.4 connected",
    "May the force be with you",
    "Oct 11",
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0:00 NUL",
    "May 12 apples",
    "Oct 11 rows",
    "Oct 32 22:14:15 host",
    "Oct 00 22:14:15 host",
    "Feb 30 22:14:15 host",
    "Oct 11 24:14:15 host",
    "Oct 11 22:14:15x",
    "oct 11 22:14:15 host",
    "<192>Oct 11 22:14:15 host",
    "<>Oct 11 22:14:15 host",
    "<1234>Oct 11 22:14:15 host",
    "<34> Oct 11 22:14:15 host",
    "<b>Oct 11 22:14:15</b>",
    "I1120 12:34:56 no fraction",
    "I1320 12:34:56.123456 x",
    "A1120 12:34:56.123456 x",
    "[Wed Oct 11 14:32:52 2000",
    "[Wed Oct 11 14:32:52 20001]",
    "[Xed Oct 11 14:32:52 2000] x",
    "[Wed Oct 32 14:32:52 2000] x",
    "[ERROR] msg",
    "127.0.0.1 - - [20/Nov/2024 12:34:56 +0000]",
    "127.0.0.1 - - [31/Nov/2024:12:34:56 +0000]",
    "127.0.0.1 -  [20/Nov/2024:12:34:56 +0000]",
    "he said - at [20/Nov/2024:12:34:56 +0000]",
    "see [20/Nov/2024:12:34:56 +0000]",
    "time=now level=info",
    "time=12 s",
    r#"time="2024-11-20T12:34:56Z level=info"#,
    "level=info msg=x",
    "xtime=2024-11-20T12:34:56Z",
    "1732106096 rows",
    "1732106096",
    "1732106096123 ms",
    "1732106096.12 x",
    "1732106096.123",
    "1732106096.1234 x",
    "3732106096.123 x",
    "11732106096.123 x",
    " 2024-11-20T12:34:56Z indented lines continue a record",
    "\t2024-11-20T12:34:56Z",
    "x2024-11-20T12:34:56Z",
    "{\"timestamp\":\"2024-11-20T12:34:56Z\"}",
    "Traceback (most recent call last):",
    "ValueError: 2024-11-20T12:34:56Z",
];

#[test]
fn what_is_no_time() {
    let long_host = format!("{} - - [20/Nov/2024:12:34:56 +0000] \"GET /\"", "h".repeat(300));
    let mut reader = utc();
    for &line in NO_TIMES.iter().chain([&long_host.as_str()]) {
        assert_eq!(reader.of_text(line.as_bytes()), None, "{line}");
        assert_eq!(reader.of_text(format!("{line}\r").as_bytes()), None, "{line} with CR");
    }
}

#[test]
fn a_json_string_is_a_time_as_a_whole_or_not_at_all() {
    let mut reader = utc();
    for (value, expected) in [
        ("2024-11-20T12:34:56.123456Z", "2024-11-20T12:34:56.123456Z"),
        ("2024-11-20T12:34:56Z", "2024-11-20T12:34:56Z"),
        ("2024-11-20T12:34:56", "2024-11-20T12:34:56Z"),
        ("2024-11-20T12:34:56.5", "2024-11-20T12:34:56.5Z"),
        ("2024-11-20 12:34:56,123", "2024-11-20T12:34:56.123Z"),
        ("2024-11-20T12:34:56.123+01:00", "2024-11-20T11:34:56.123Z"),
        ("2024-11-20T12:34:56+0100", "2024-11-20T11:34:56Z"),
        ("2024-11-20T12:34:56+01", "2024-11-20T11:34:56Z"),
        ("2024-11-20 12:34:56 UTC", "2024-11-20T12:34:56Z"),
        ("2024-11-20 12:34:56 +0100", "2024-11-20T11:34:56Z"),
        ("2024/11/20 12:34:56", "2024-11-20T12:34:56Z"),
        ("20/Nov/2024:12:34:56 +0000", "2024-11-20T12:34:56Z"),
        ("Oct 11 22:14:15", "2024-10-11T22:14:15Z"),
        ("1732106096", "2024-11-20T12:34:56Z"),
        ("1732106096.123", "2024-11-20T12:34:56.123Z"),
        ("1732106096123456", "2024-11-20T12:34:56.123456Z"),
    ] {
        assert_eq!(reader.of_json_str(value.as_bytes()), Some(ns(expected)), "{value}");
    }
    for value in [
        "",
        "2024-11-20",
        "2024-11-20T12:34:56Z ",
        "2024-11-20T12:34:56.",
        "2024-11-20T12:34:56.Z",
        "2024-11-20T12:34:56Z msg",
        "[2024-11-20T12:34:56Z]",
        " 2024-11-20T12:34:56Z",
        "2024-11-20T12:34:56+01:0",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "Oct 11 22:14:15 host",
        "<34>Oct 11 22:14:15",
        "time=2024-11-20T12:34:56Z",
        "now",
        "12",
        "-1732106096",
    ] {
        assert_eq!(reader.of_json_str(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn a_json_number_is_told_by_its_size() {
    let mut reader = utc();
    for (token, expected) in [
        ("1732106096", "2024-11-20T12:34:56Z"),
        ("1732106096.123456", "2024-11-20T12:34:56.123456Z"),
        ("1732106096.1234567891234", "2024-11-20T12:34:56.123456789Z"),
        ("1732106096123", "2024-11-20T12:34:56.123Z"),
        ("1732106096123.456", "2024-11-20T12:34:56.123456Z"),
        ("1732106096123456", "2024-11-20T12:34:56.123456Z"),
        ("1732106096123456789", "2024-11-20T12:34:56.123456789Z"),
        ("1732106096123456789.9", "2024-11-20T12:34:56.123456789Z"),
        ("1.732106096123e9", "2024-11-20T12:34:56.123Z"),
        ("1.732106096E+9", "2024-11-20T12:34:56Z"),
        ("1.732106096123e+18", "2024-11-20T12:34:56.123Z"),
        ("1732106096000e-3", "2024-11-20T12:34:56Z"),
        ("1e9", "2001-09-09T01:46:40Z"),
        ("100000000", "1973-03-03T09:46:40Z"),
        ("99999999999999", "5138-11-16T09:46:39.999Z"),
    ] {
        let expected = i64::try_from(expected.parse::<Timestamp>().expect(expected).as_nanosecond()).ok();
        assert_eq!(reader.of_json_number(token.as_bytes()), expected, "{token}");
    }
    for token in [
        "",
        "0",
        "-0",
        "1",
        "12.5",
        "99999999",
        "-1732106096",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "9e18.5",
        "1732106096.",
        "1732106096.e1",
        "1732106096e",
        "1732106096e+",
        "1732106096x",
        ".5",
        "01732106096",
        "0.1732106096e10",
        "null",
        "NaN",
        "9223372036854775808",
        "99999999999",
        "123456789012345678901234567890",
        "1732106096 ",
        "+1732106096",
    ] {
        assert_eq!(reader.of_json_number(token.as_bytes()), None, "{token}");
    }
    assert_eq!(reader.of_json_number(b"9223372036854775807"), Some(i64::MAX));
}

#[test]
fn the_fast_path_of_json_gives_the_time_and_its_length() {
    let mut reader = utc();
    let line = br#"2024-11-20T12:34:56.123456Z","level":"info"}"#;
    assert_eq!(reader.rfc3339_prefix(line), Some((ns("2024-11-20T12:34:56.123456Z"), 27)));
    assert_eq!(reader.rfc3339_prefix(b"2024-11-20T12:34:56Z\""), Some((ns("2024-11-20T12:34:56Z"), 20)));
    assert_eq!(reader.rfc3339_prefix(b"2024-11-20T12:34:56\""), Some((ns("2024-11-20T12:34:56Z"), 19)));
    for nothing in
        ["", "\"", "2024-11-20T12:34:56Z", "2024-11-20T12:34:56Z \"", "2024-11-20T12:34:56Z\\u0022\"", "1732106096\""]
    {
        assert_eq!(reader.rfc3339_prefix(nothing.as_bytes()), None, "{nothing}");
    }
    let mut own_format = reader_of_format("%Y-%d-%m %H:%M:%S");
    assert_eq!(own_format.rfc3339_prefix(b"2024-11-20T12:34:56Z\""), None);
}

#[test]
fn naive_times_are_of_the_zone_of_the_settings() {
    let mut reader = reader("Europe/Berlin", None, "2024-12-01T00:00:00Z");
    for (line, expected) in [
        ("2024-11-20 12:34:56,123 INFO msg", "2024-11-20T11:34:56.123Z"),
        ("2024-07-20 12:34:56,123 INFO msg", "2024-07-20T10:34:56.123Z"),
        ("2024-11-20T12:34:56Z msg", "2024-11-20T12:34:56Z"),
        ("2024-11-20T12:34:56+05:00 msg", "2024-11-20T07:34:56Z"),
        ("Jul 20 12:34:56 host msg", "2024-07-20T10:34:56Z"),
        ("I0720 12:34:56.123456   1 file.go:12] msg", "2024-07-20T10:34:56.123456Z"),
        // The clock was put forward at 02:00: this hour did not exist.
        ("2024-03-31 02:30:00 msg", "2024-03-31T01:30:00Z"),
        ("2024-03-31 01:59:59 msg", "2024-03-31T00:59:59Z"),
        ("2024-03-31 03:00:00 msg", "2024-03-31T01:00:00Z"),
    ] {
        assert_eq!(reader.of_text(line.as_bytes()), Some(ns(expected)), "{line}");
    }
}

#[test]
fn a_log_that_runs_through_the_hour_that_comes_twice_stays_in_order() {
    let mut reader = reader("Europe/Berlin", None, "2024-12-01T00:00:00Z");
    for (line, expected) in [
        ("2024-10-27 01:59:59", "2024-10-26T23:59:59Z"),
        ("2024-10-27 02:00:00", "2024-10-27T00:00:00Z"),
        ("2024-10-27 02:59:59.500", "2024-10-27T00:59:59.500Z"),
        // Another thread was a little late: not yet the second pass.
        ("2024-10-27 02:59:59.100", "2024-10-27T00:59:59.100Z"),
        ("2024-10-27 02:00:01", "2024-10-27T01:00:01Z"),
        ("2024-10-27 02:30:00", "2024-10-27T01:30:00Z"),
        ("2024-10-27 02:59:59", "2024-10-27T01:59:59Z"),
        ("2024-10-27 03:00:00", "2024-10-27T02:00:00Z"),
    ] {
        assert_eq!(reader.of_text(line.as_bytes()), Some(ns(expected)), "{line}");
    }
}

#[test]
fn a_time_without_a_year_is_the_latest_one_up_to_a_day_after_the_reference() {
    for (line, reference, expected) in [
        ("Dec 31 23:59:59 x", "2025-01-01T00:00:00Z", "2024-12-31T23:59:59Z"),
        ("Jan  1 23:59:59 x", "2025-01-01T00:00:00Z", "2025-01-01T23:59:59Z"),
        ("Jan  2 00:00:00 x", "2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z"),
        ("Jan  2 00:00:01 x", "2025-01-01T00:00:00Z", "2024-01-02T00:00:01Z"),
        ("Jan  1 00:00:00 x", "2024-12-31T12:00:00Z", "2025-01-01T00:00:00Z"),
        ("Feb 29 00:00:00 x", "2025-06-01T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("Feb 29 00:00:00 x", "2103-06-01T00:00:00Z", "2096-02-29T00:00:00Z"),
        ("Jan  1 10:00:00 x", "1970-01-01T00:00:00Z", "1970-01-01T10:00:00Z"),
        ("Nov 20 10:00:00 x", "1970-01-01T00:00:00Z", "1969-11-20T10:00:00Z"),
    ] {
        let mut reader = reader("", None, reference);
        assert_eq!(reader.of_text(line.as_bytes()), Some(ns(expected)), "{line}, {reference}");
    }
    for (reference_ns, expected) in [(i64::MIN, None), (i64::MAX, Some(ns("2261-11-20T10:00:00Z")))] {
        let settings = Settings { reference_ns, ..Settings::default() };
        assert_eq!(Reader::new(&settings).expect("any reference").of_text(b"Nov 20 10:00:00 x"), expected);
    }
}

fn reader_of_format(time_format: &str) -> Reader {
    reader("", Some(time_format), "2024-12-01T00:00:00Z")
}

#[test]
fn a_format_of_ones_own_comes_before_all_others() {
    for (format, line, expected) in [
        ("%d.%m.%Y %H:%M:%S,%f", "20.11.2024 12:34:56,123 msg", "2024-11-20T12:34:56.123Z"),
        ("%d.%m.%Y %H:%M:%S,%f", "20.11.2024 12:34:56,000123 msg", "2024-11-20T12:34:56.000123Z"),
        ("## %Y%m%d-%H%M%S", "## 20241120-123456 msg", "2024-11-20T12:34:56Z"),
        ("%Y-%d-%m %H:%M:%S", "2024-01-02 12:34:56 msg", "2024-02-01T12:34:56Z"),
        ("%Y-%m-%d %H:%M:%S%.f %z", "2024-11-20 12:34:56.5 +0100", "2024-11-20T11:34:56.5Z"),
        ("%b %d, %Y %I:%M:%S %p", "Nov 20, 2024 02:34:56 PM", "2024-11-20T14:34:56Z"),
        ("%m/%d %H:%M", "11/20 12:34 no year", "2024-11-20T12:34:00Z"),
        ("%j %Y %H", "325 2024 12h", "2024-11-20T12:00:00Z"),
        ("%s", "1732106096 msg", "2024-11-20T12:34:56Z"),
        ("@%s.%f", "@1732106096.123 msg", "2024-11-20T12:34:56.123Z"),
        // Where it does not fit, the other forms are tried.
        ("%d.%m.%Y %H:%M:%S", "2024-11-20T12:34:56Z msg", "2024-11-20T12:34:56Z"),
    ] {
        each_line_has_its_time(reader_of_format(format), &[(line, expected)]);
    }
    let mut reader = reader_of_format("%d.%m.%Y %H:%M:%S");
    for line in [
        "",
        "20.11.2024",
        "no time",
        "x 20.11.2024 12:34:56",
        "31.02.2024 12:34:56",
        "20.11.9999 12:34:56",
        "20.11.-2024 12:34:56",
    ] {
        assert_eq!(reader.of_text(line.as_bytes()), None, "{line}");
    }
    assert_eq!(reader.of_json_str(b"20.11.2024 12:34:56"), Some(ns("2024-11-20T12:34:56Z")));
    assert_eq!(reader.of_json_str(b"20.11.2024 12:34:56 x"), None);
    let mut epoch = reader_of_format("%s.%f");
    assert_eq!(epoch.of_text(b"9223372036.999999999 x"), None);
    assert_eq!(epoch.of_text(b"-9223372036.999999999 x"), None);
    let mut berlin = reader_of_format_in("Europe/Berlin", "%d.%m.%Y %H:%M:%S");
    assert_eq!(berlin.of_text(b"20.07.2024 12:34:56 x"), Some(ns("2024-07-20T10:34:56Z")));
}

fn reader_of_format_in(zone: &str, time_format: &str) -> Reader {
    reader(zone, Some(time_format), "2024-12-01T00:00:00Z")
}

#[test]
fn a_bad_setting_is_told_with_its_place() {
    for (zone, format, position, reason) in [
        ("", "%Y-%m-%d", None, "no time of day"),
        ("", "%H:%M:%S", None, "no date"),
        ("", "msg", None, "no time of day"),
        ("", "", None, "no time of day"),
        ("", "%Y-%m-%d %H:%M:%S %Z", Some(18), "abbreviation"),
        ("", "%Y-%m-%d %H:%M:%S %Q", None, "zone"),
        ("", "%Y-%!-%d %H", Some(3), ""),
        ("", "%Y-%m-%d %H%", Some(11), ""),
        ("", "%é %H", Some(0), ""),
        ("Mars/Olympus", "%s", None, "Mars/Olympus"),
    ] {
        let settings = Settings { zone: zone.to_owned(), time_format: Some(format.to_owned()), reference_ns: 0 };
        let bad = Reader::new(&settings).expect_err(format);
        assert_eq!(
            (bad.position, bad.pattern.as_str()),
            (position, if zone.is_empty() { format } else { zone }),
            "{bad}"
        );
        assert!(bad.to_string().contains(reason), "{bad}");
    }
}

#[test]
fn times_are_written_with_six_digits_or_nine() {
    for (time, text) in [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("2024-11-20T12:34:56.1Z", "2024-11-20T12:34:56.100000Z"),
        ("2024-11-20T12:34:56.123456Z", "2024-11-20T12:34:56.123456Z"),
        ("2024-11-20T12:34:56.123456789Z", "2024-11-20T12:34:56.123456789Z"),
        ("2024-11-20T12:34:56.000000001Z", "2024-11-20T12:34:56.000000001Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
    ] {
        assert_eq!(written(ns(time)), text);
    }
    assert_eq!(written(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    assert_eq!(written(i64::MAX), "2262-04-11T23:47:16.854775807Z");
}

fn written(ns: i64) -> String {
    let mut out = b"before ".to_vec();
    write_rfc3339(ns, &mut out);
    String::from_utf8(out).expect("ASCII").split_off("before ".len())
}

const FIRST_NS: i64 = -9_214_560_000_000_000_000;
const LAST_NS: i64 = 9_214_646_399_999_999_999;

fn seconds() -> impl Strategy<Value = i64> {
    FIRST_NS / 1_000_000_000..=LAST_NS / 1_000_000_000
}

fn civil(local_s: i64) -> DateTime {
    TimeZone::UTC.to_datetime(Timestamp::from_second(local_s).expect("within jiff's range"))
}

/// Lines of every form, to be damaged.
const LINES: &[&str] = &[
    "2024-11-20T12:34:56.123456789Z stdout F msg",
    "2024-11-20 12:34:56,123 - name - INFO - msg",
    "2024-11-20 12:34:56 +0100 UTC",
    "[2024-11-20T12:34:56.123+01:00] {file.py:12} INFO - msg",
    "[Wed Oct 11 14:32:52.123456 2000] [core:error] msg",
    "<165>1 2003-10-11T22:14:15.003Z host",
    "<34>Oct 11 22:14:15 host",
    "I1120 12:34:56.123456   1 file.go:12] msg",
    "127.0.0.1 - - [20/Nov/2024:12:34:56 +0000] \"GET /\"",
    "level=info ts=1732106096.123 msg=\"a \\\" b\" x=y",
    "time=\"2024-11-20T12:34:56Z\" level=error",
    "1732106096.123 x",
    "1.732106096123e+18",
    "\x1b[2m\u{feff}2024-11-20T12:34:56Z [\x1b[32m\x1b[1minfo     \x1b[0m] msg",
];

fn ask_everything(bytes: &[u8]) {
    for mut reader in [utc(), reader_of_format_in("Europe/Berlin", "%d.%m.%Y %H:%M:%S%.f")] {
        let time = reader.of_text(bytes);
        assert!(time.is_none_or(|time| (FIRST_NS - 86_400_000_000_000..=LAST_NS + 86_400_000_000_000).contains(&time)));
        reader.of_json_str(bytes);
        reader.of_json_number(bytes);
        if let Some((time, length)) = reader.rfc3339_prefix(bytes) {
            assert_eq!(reader.of_json_str(&bytes[..length]), Some(time));
        }
    }
    let levels = [level::of_text(bytes), level::from_json_str(bytes), level::from_json_number(bytes)];
    assert!(levels.iter().all(|level| *level <= Level::Critical));
}

#[test]
fn no_part_of_a_good_line_makes_it_panic() {
    for line in LINES {
        for at in 0..=line.len() {
            ask_everything(&line.as_bytes()[at..]);
            ask_everything(&line.as_bytes()[..at]);
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(ns in FIRST_NS..=LAST_NS, whole_micros: bool) {
        let ns = if whole_micros { ns / 1000 * 1000 } else { ns };
        let text = written(ns);
        let mut reader = utc();
        prop_assert_eq!(reader.of_json_str(text.as_bytes()), Some(ns));
        prop_assert_eq!(reader.of_text(text.as_bytes()), Some(ns));
        prop_assert_eq!(reader.rfc3339_prefix(format!("{text}\"").as_bytes()), Some((ns, text.len())));
        let by_jiff = Timestamp::from_nanosecond(ns.into()).expect("within jiff's range");
        prop_assert_eq!(text.parse::<Timestamp>().expect("RFC 3339"), by_jiff);
    }

    #[test]
    fn any_i64_is_written_as_jiff_writes_it(ns: i64) {
        let by_jiff = Timestamp::from_nanosecond(ns.into()).expect("within jiff's range");
        let digits = if ns % 1000 == 0 { 6 } else { 9 };
        prop_assert_eq!(written(ns), format!("{by_jiff:.digits$}"));
    }

    #[test]
    fn offsets_and_fractions_are_those_of_jiff(
        second in seconds(), fraction in "[0-9]{1,9}", offset_minutes in -1439..=1439_i32, colon: bool,
        separator in "[Tt ]",
    ) {
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let minutes = offset_minutes.abs();
        let colon = if colon { ":" } else { "" };
        let time = civil(second).strftime(&format!("%Y-%m-%d{separator}%H:%M:%S")).to_string();
        let text = format!("{time}.{fraction}{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
        let expected = (second - i64::from(offset_minutes) * 60) * 1_000_000_000
            + format!("{fraction:0<9}").parse::<i64>().expect("digits");
        prop_assert_eq!(utc().of_text(text.as_bytes()), Some(expected));
    }

    #[test]
    fn a_naive_time_is_what_jiff_finds_compatible(
        second in seconds(),
        zone in prop::sample::select(vec![
            "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns",
            "Africa/Monrovia",
        ]),
    ) {
        let zoned = TimeZone::get(zone).expect("bundled").to_zoned(civil(second)).expect("within jiff's range");
        let line = civil(second).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let expected = zoned.timestamp().as_second() * 1_000_000_000;
        prop_assert_eq!(reader(zone, None, "2024-12-01T00:00:00Z").of_text(line.as_bytes()), Some(expected));
    }

    #[test]
    fn a_steady_log_is_read_in_order_through_every_change_of_the_clock(
        year in 1990..2030_i64, steps in prop::collection::vec(1..1800_i64, 200..400),
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Sydney"]),
    ) {
        let time_zone = TimeZone::get(zone).expect("bundled");
        let changes = [civil((year - 1970) * 31_556_952 + 7_000_000), civil((year - 1970) * 31_556_952 + 23_000_000)];
        for change in changes {
            let start = time_zone.to_timestamp(change).expect("in range");
            let change = time_zone.following(start).next().expect("a change each half year").timestamp().as_second();
            let mut reader = reader(zone, None, "2024-12-01T00:00:00Z");
            let mut second = change - steps.iter().sum::<i64>() / 2;
            for step in &steps {
                second += step;
                let wall_clock = time_zone.to_datetime(Timestamp::from_second(second).expect("in range"));
                let line = wall_clock.strftime("%Y-%m-%d %H:%M:%S msg").to_string();
                prop_assert_eq!(reader.of_text(line.as_bytes()), Some(second * 1_000_000_000), "{}", line);
            }
        }
    }

    #[test]
    fn epoch_numbers_are_exact(ns in 100_000_000_000_000_000..=i64::MAX, cut in 0..=9_usize) {
        let unit = 10_i64.pow(9);
        let text = format!("{}.{:09}", ns / unit, ns % unit);
        let text = &text[..text.len() - cut];
        let step = 10_i64.pow(u32::try_from(cut).expect("small"));
        if cut < 9 {
            prop_assert_eq!(utc().of_json_number(text.as_bytes()), Some(ns / step * step));
        }
        prop_assert_eq!(utc().of_json_number(ns.to_string().as_bytes()), Some(ns));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        ask_everything(&bytes);
    }

    #[test]
    fn no_damage_to_a_good_line_makes_it_panic(
        line in prop::sample::select(LINES),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
    ) {
        let mut line = line.as_bytes().to_vec();
        for (at, byte) in damage {
            *at.get_mut(&mut line) = byte;
        }
        ask_everything(&line);
        let (from, to) = (from.index(line.len()), to.index(line.len()));
        ask_everything(&line[from.min(to)..from.max(to)]);
    }
}
