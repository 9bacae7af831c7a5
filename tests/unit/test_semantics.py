"""What a merged log is: each rule a test, in the order in which the rules are written down."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from logflume.records import Level, Output
from tests.drive import Drive, merge_whole, merger
from tests.oracle import Rules

if TYPE_CHECKING:
    from logflume._core import Stats

SECOND_NS = 10**9


def utc_ns(text: str) -> int:
    """Return nanoseconds since 1970 of a time in UTC, which may have up to nine digits."""
    whole, _, fraction = text.partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * SECOND_NS + int(fraction.ljust(9, "0"))


START_NS = utc_ns("2024-11-20T12:34:56")


def at(second: float, text: str = "") -> bytes:
    """Write a timed line, without newline, so many seconds after 12:34:00."""
    return f"2024-11-20T12:34:{second:09.6f}Z {text}".encode()


def joined(*lines: bytes) -> bytes:
    """End each line with a newline."""
    return b"".join(line + b"\n" for line in lines)


def counts(*sources: bytes, levels: bool = False) -> Stats:
    """Merge sources and return what was counted."""
    core = merger(len(sources), levels=levels)
    Drive(core, [[source] for source in sources]).run()
    return core.stats()


def time_of(line: bytes, *, zone: str = "UTC", time_format: str | None = None, reference_ns: int = 0) -> int | None:
    """Return the time that the core sees in a line."""
    core = merger(1, zone=zone, time_format=time_format, reference_ns=reference_ns)
    Drive(core, [[line + b"\n"]]).run()
    return core.stats()["first_ns"]


# Record


def test_lines_without_a_time_go_with_the_line_before() -> None:
    """A record is a line with a time and the lines without one that follow it."""
    traceback = joined(at(1, "failed"), b"Traceback:", b"  File", b"", b"KeyError")
    other = joined(at(1.5, "between"))
    assert merge_whole([traceback, other]) == traceback + other
    assert counts(traceback, other)["records"] == 2
    assert counts(traceback, other)["lines"] == 6


def test_lines_without_any_time_go_with_the_line_before_by_their_shape() -> None:
    """Without times, indented lines go with the line before them, and so does the line that ends a traceback."""
    traceback = joined(b"Traceback (most recent call last):", b'  File "a.py", line 1', b"    a()", b"ValueError: b")
    source = joined(b"start") + traceback + joined(b"next", b"\tof next", b"last")
    assert counts(source)["records"] == 4
    assert merge_whole([source], rules=Rules(contains=b"a()")) == traceback
    assert merge_whole([source], rules=Rules(contains=b"of next")) == joined(b"next", b"\tof next")
    assert merge_whole([source], rules=Rules(levels=1 << Level.ERROR)) == traceback


def test_a_time_says_more_than_the_shape() -> None:
    """After a time, what is not indented belongs to it, and what has a time is a record, however it looks."""
    source = joined(b"Traceback (most recent call last):", at(1, "a"), b"ValueError: b", b"  c", at(2, "d"))
    assert counts(source)["records"] == 3


def test_lines_of_two_sources_never_mix_inside_a_record() -> None:
    """Two tracebacks at the same time come out one after the other."""
    first = joined(at(1, "first"), b"  of first", b"  end of first")
    second = joined(at(1, "second"), b"  of second", b"  end of second")
    assert merge_whole([second, first]) == second + first


def test_a_record_waits_for_its_last_line() -> None:
    """A record whose lines come in two blocks is not given out before its end is known."""
    core = merger(2)
    core.feed(0, joined(at(1, "failed"), b"Traceback:"))
    core.feed(1, joined(at(2), at(3)))
    assert core.take(1 << 18) == b""
    assert core.wanted() == [0]
    core.feed(0, joined(b"  File"))
    core.feed(0, joined(at(4)))
    assert core.take(1 << 18).startswith(joined(at(1, "failed"), b"Traceback:", b"  File", at(2)))


def test_an_idle_source_is_not_waited_for() -> None:
    """A live source that has nothing for now lets the others go on, until it is fed again."""
    core = merger(2)
    core.feed(0, joined(at(1), at(2)))
    assert core.take(1 << 18) == b""
    core.idle(1)
    assert core.take(1 << 18).startswith(joined(at(1)))
    core.feed(1, joined(at(3), at(4)))
    core.feed(0, joined(at(5), at(6)))
    assert joined(at(3)) in core.take(1 << 18)


def test_a_flush_gives_whole_lines_and_the_record_goes_on() -> None:
    """When a live source has nothing more, its open record comes out up to its last whole line; more may follow."""
    core = merger(1)
    scanner = core.scanner(0)
    core.push(0, scanner.scan(joined(at(1, "failed"), b"Traceback:") + b"  Fi"))
    assert core.take(1 << 18) == b""
    core.push(0, scanner.flush())
    assert core.take(1 << 18) == joined(at(1, "failed"), b"Traceback:")
    core.push(0, scanner.scan(b"le\n"))
    core.push(0, scanner.finish())
    core.finish(0)
    assert core.take(1 << 18) == b"  File\n"
    assert core.done


# Order


def test_order_is_by_time() -> None:
    """Sorted sources come out sorted."""
    even, odd = joined(at(0), at(2), at(4)), joined(at(1), at(3), at(5))
    assert merge_whole([even, odd]) == joined(*(at(second) for second in range(6)))


def test_order_is_by_nanoseconds() -> None:
    """The ninth digit decides."""
    late, early = b"2024-11-20T12:34:56.000000002Z b\n", b"2024-11-20T12:34:56.000000001Z a\n"
    assert merge_whole([late, early]) == early + late


def test_order_is_by_moment_not_by_clock_face() -> None:
    """Times of different zones are compared as moments."""
    noon_india, ten_utc = b"2024-11-20T12:00:00+05:30 a\n", b"2024-11-20T10:00:00Z b\n"
    assert merge_whole([ten_utc, noon_india]) == noon_india + ten_utc


def test_formats_merge_with_each_other() -> None:
    """Sources may each have a format of their own."""
    airflow_3 = b'{"timestamp":"2024-11-20T12:34:56.000002Z","event":"c"}\n'
    airflow_2 = b"[2024-11-20T12:34:56.000+0000] {a.py:1} INFO - a\n"
    kubernetes = b"2024-11-20T12:34:56.000001500Z stdout F b\n"
    assert merge_whole([airflow_3, airflow_2, kubernetes]) == airflow_2 + kubernetes + airflow_3


def test_ties_are_by_source_number() -> None:
    """At the same time the source with the lower number comes first."""
    sources = [joined(at(1, f"of {number}")) for number in range(5)]
    assert merge_whole(sources) == b"".join(sources)


def test_ties_in_one_source_are_by_position() -> None:
    """At the same time the lines of one source stay as they stand."""
    source = joined(at(1, "b"), at(1, "a"), at(1, "c"))
    other = joined(at(1, "d"))
    assert merge_whole([other, source]) == other + source


def test_a_late_line_keeps_its_place() -> None:
    """A line older than its source's latest stays behind it, is counted, and comes before later lines of others."""
    source = joined(at(1), at(5), at(3, "late"), at(7))
    other = joined(at(2), at(4), at(6))
    expected = joined(at(1), at(2), at(4), at(5), at(3, "late"), at(6), at(7))
    assert merge_whole([source, other]) == expected
    assert counts(source, other)["late"] == 1


def test_lines_before_the_first_time_come_first() -> None:
    """What stands before any time comes before everything, by source and position."""
    sources = [joined(b"a", b"b", at(9)), joined(at(1)), joined(b"c", at(2))]
    assert merge_whole(sources) == joined(b"a", b"b", b"c", at(1), at(2), at(9))


# Dedup


def test_a_record_of_two_sources_is_shown_once() -> None:
    """The same time and the same bytes in two sources are one record."""
    local = joined(at(1, "a"), b"  more", at(2, "b"))
    assert merge_whole([local, local, local]) == local
    assert counts(local, local, local)["duplicates"] == 4


def test_repeats_in_one_source_are_kept() -> None:
    """A line that was logged three times is shown three times."""
    source = joined(at(1, "again"), at(1, "again"), at(1, "again"))
    assert merge_whole([source]) == source
    assert merge_whole([source, source]) == source


def test_the_highest_count_of_any_source_wins() -> None:
    """Twice here and three times there is three times."""
    line = joined(at(1, "again"))
    assert merge_whole([line * 2, line * 3, line]) == line * 3


def test_the_same_bytes_at_another_time_are_another_record() -> None:
    """A late line has the time of the line before it, so its copy elsewhere is not the same record."""
    source, other = joined(at(5), at(1, "x")), joined(at(1, "x"))
    assert merge_whole([source, other]) == other + source


def test_records_that_differ_in_one_line_are_two() -> None:
    """Dedup compares whole records."""
    first, second = joined(at(1, "a"), b"  x"), joined(at(1, "a"), b"  y")
    assert merge_whole([first, second]) == first + second


def test_lines_before_the_first_time_are_deduplicated_too() -> None:
    """The same preamble in two copies is shown once."""
    source = joined(b"*** start", at(1))
    assert merge_whole([source, source]) == source


def test_a_copy_without_its_newline_is_the_same_record() -> None:
    """The final newline is no part of a record."""
    assert merge_whole([at(1, "a"), joined(at(1, "a"))]) == at(1, "a")
    assert merge_whole([joined(at(1, "a")), at(1, "a")]) == joined(at(1, "a"))


def test_dedup_can_be_switched_off() -> None:
    """Without dedup every record of every source is shown."""
    source = joined(at(1, "a"), at(2, "b"))
    expected = joined(at(1, "a"), at(1, "a"), at(2, "b"), at(2, "b"))
    assert merge_whole([source, source], dedup=False) == expected


# Never lossy: test_nasty_files.py goes on from here


def test_a_newline_is_added_only_inside() -> None:
    """A last line without newline gets one if anything follows it, and only then."""
    assert merge_whole([at(1), at(2)]) == joined(at(1)) + at(2)
    assert merge_whole([at(1), joined(at(2))]) == joined(at(1), at(2))
    assert merge_whole([joined(at(1)), at(2)]) == joined(at(1)) + at(2)


def test_thousands_of_tiny_sources_come_through() -> None:
    """5,000 sources of one line merge as few do."""
    sources = [joined(at(number % 60, str(number))) for number in range(5_000)]
    core = merger(len(sources))
    for number, source in enumerate(sources):
        core.feed(number, source)
        core.finish(number)
    expected = sorted(range(5_000), key=lambda number: number % 60)
    assert core.take(1 << 20) == b"".join(sources[number] for number in expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"timestamp":"2024-11-20T12:34:57Z","event":"x"}', None),
        (b' { "b" : [ 1.5e3 , true , null ] } \t\r', None),
        (b"{}", None),
        (b'{"a":"\\ud800"}', None),
        (b"plain", b"plain"),
        (b"", b""),
        (b"[1]", b"[1]"),
        (b"1", b"1"),
        (b'{"a":1}}', b'{\\"a\\":1}}'),
        (b'{"a":1,}', b'{\\"a\\":1,}'),
        (b'{"a":01}', b'{\\"a\\":01}'),
        (b'{"a":.5}', b'{\\"a\\":.5}'),
        (b'{"a":1.}', b'{\\"a\\":1.}'),
        (b'{"a":-}', b'{\\"a\\":-}'),
        (b'{"a":+1}', b'{\\"a\\":+1}'),
        (b'{"a":NaN}', b'{\\"a\\":NaN}'),
        (b'{"a":Infinity}', b'{\\"a\\":Infinity}'),
        (b'{"a":nul}', b'{\\"a\\":nul}'),
        (b'{"a":"\\x"}', b'{\\"a\\":\\"\\\\x\\"}'),
        (b'{"a":"\\u12g4"}', b'{\\"a\\":\\"\\\\u12g4\\"}'),
        (b"{a:1}", b"{a:1}"),
        (b'{"a" 1}', b'{\\"a\\" 1}'),
        (b'{"a":"\t"}', b'{\\"a\\":\\"\\t\\"}'),
        (b'{"a":"\x7f"}', None),
        (b'{"a":1}\x0b', b'{\\"a\\":1}\\u000b'),
        (b'{"a":1}\x00', b'{\\"a\\":1}\\u0000'),
        (b'{"a":"\xff"}', '{\\"a\\":\\"\ufffd\\"}'.encode()),
        (b'\x01\b\f\r\t\x1f\x7f"\\/', b'\\u0001\\b\\f\\r\\t\\u001f\x7f\\"\\\\/'),
        ("größe → 😀".encode(), "größe → 😀".encode()),
        (b"\xff \xe2\x82 \xf0\x9f\x92 \xed\xa0\x80 \xc0\xaf", b"\xff \xe2\x82 \xf0\x9f\x92 \xed\xa0\x80 \xc0\xaf"),
    ],
)
def test_ndjson_of_a_line(line: bytes, expected: bytes | None) -> None:
    """A JSON object passes as it is; anything else becomes the event of one, with the time of its record."""
    out = merge_whole([joined(at(1), line)], Output.NDJSON).split(b"\n", 1)[1]
    if expected is None:
        assert out == line + b"\n"
        return
    event = expected.decode("utf-8", "replace").encode()
    assert out == b'{"timestamp":"2024-11-20T12:34:01.000000Z","event":"' + event + b'"}\n'
    assert json.loads(out)["event"] == line.decode("utf-8", "replace")


def test_ndjson_shows_the_effective_time() -> None:
    """A late line is wrapped with the time by which it was ordered."""
    out = merge_whole([joined(at(5), at(3, "late"))], Output.NDJSON)
    assert [json.loads(line)["timestamp"][17:] for line in out.splitlines()] == ["05.000000Z", "05.000000Z"]


def test_ndjson_shows_nanoseconds_only_where_there_are() -> None:
    """Six digits when the time is whole micros, else nine."""
    out = merge_whole([b"2024-11-20T12:34:56.123Z a\n2024-11-20T12:34:56.123456789Z b\n"], Output.NDJSON)
    assert [json.loads(line)["timestamp"][20:] for line in out.splitlines()] == ["123000Z", "123456789Z"]


def test_ndjson_has_null_before_the_first_time() -> None:
    """A line before any time says so."""
    assert merge_whole([b"start\n"], Output.NDJSON) == b'{"timestamp":null,"event":"start"}\n'


def test_ndjson_ends_every_line() -> None:
    """The last line of NDJSON has a newline even where the source's has none."""
    assert merge_whole([b'{"a":1}'], Output.NDJSON) == b'{"a":1}\n'


def test_json_nests_128_levels() -> None:
    """An object with 128 levels passes as it is; one with 129 becomes text."""
    deep = [b'{"a":' * n + b"{}" + b"}" * n for n in (127, 128)]
    passed, wrapped = merge_whole([joined(*deep)], Output.NDJSON).splitlines()
    assert passed == deep[0]
    assert json.loads(wrapped)["event"].encode() == deep[1]


# Timestamps


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # Airflow 3
        (b'{"timestamp":"2024-11-20T12:34:56.123456Z","event":"x"}', "2024-11-20T12:34:56.123456"),
        (b'{"timestamp":"2024-11-20T12:34:56Z","event":"x"}', "2024-11-20T12:34:56"),
        (b'{"timestamp":"2024-11-20T12:34:56.123456+00:00"}', "2024-11-20T12:34:56.123456"),
        (b'{"timestamp":"2024-11-20T12:34:56.123456"}', "2024-11-20T12:34:56.123456"),
        # other JSON
        (b'{"event":"x","timestamp":"2024-11-20T12:34:56Z"}', "2024-11-20T12:34:56"),
        (b'{"event":{"ts":1},"ts":"2024-11-20T12:34:56Z"}', "2024-11-20T12:34:56"),
        (b'{ "time" : "2024-11-20T14:34:56.5+02:00" }', "2024-11-20T12:34:56.5"),
        (b'{"@timestamp":"2024-11-20T12:34:56.123456789Z"}', "2024-11-20T12:34:56.123456789"),
        (b'{"ts":1732106096}', "2024-11-20T12:34:56"),
        (b'{"ts":1732106096.123456}', "2024-11-20T12:34:56.123456"),
        (b'{"ts":1732106096123}', "2024-11-20T12:34:56.123"),
        (b'{"ts":1732106096123456}', "2024-11-20T12:34:56.123456"),
        (b'{"ts":1732106096123456789}', "2024-11-20T12:34:56.123456789"),
        (b'{"timestamp":null,"ts":1732106096}', "2024-11-20T12:34:56"),
        (b'{"timestamp":"2024-11-20T12:34:56Z","event":"cut', "2024-11-20T12:34:56"),
        # Airflow 2
        (b"[2024-11-20T12:34:56.123+0000] {load.py:88} INFO - x", "2024-11-20T12:34:56.123"),
        (b"[2024-11-20T14:34:56.123+0200] {load.py:88} INFO - x", "2024-11-20T12:34:56.123"),
        # RFC 3339 at the start, Kubernetes
        (b"2024-11-20T12:34:56.123456789Z stdout F x", "2024-11-20T12:34:56.123456789"),
        (b"2024-11-20T07:34:56-05:00 x", "2024-11-20T12:34:56"),
        (b"2024-11-20 12:34:56Z x", "2024-11-20T12:34:56"),
        # Python logging
        (b"2024-11-20 12:34:56,123 INFO x", "2024-11-20T12:34:56.123"),
        (b"2024-11-20 12:34:56 INFO x", "2024-11-20T12:34:56"),
        # syslog
        (b"<34>1 2024-11-20T12:34:56.123456Z host app 1 - - x", "2024-11-20T12:34:56.123456"),
        (b"<34>Nov 20 12:34:56 host app[1]: x", "2024-11-20T12:34:56"),
        (b"Nov 20 12:34:56 host app[1]: x", "2024-11-20T12:34:56"),
        (b"Nov  3 12:34:56 host app[1]: x", "2024-11-03T12:34:56"),
        # klog
        (b"I1120 12:34:56.123456       1 main.go:7] x", "2024-11-20T12:34:56.123456"),
        # Apache and nginx
        (b'127.0.0.1 - - [20/Nov/2024:12:34:56 +0000] "GET / HTTP/1.1" 200 5', "2024-11-20T12:34:56"),
        (b'127.0.0.1 - bob [20/Nov/2024:13:34:56 +0100] "GET / HTTP/1.1" 200 5 "-" "x"', "2024-11-20T12:34:56"),
        (b"[Wed Nov 20 12:34:56.123456 2024] [core:error] [pid 1] x", "2024-11-20T12:34:56.123456"),
        (b"2024/11/20 12:34:56 [error] 7#7: *1 x", "2024-11-20T12:34:56"),
    ],
)
def test_time_is_understood(line: bytes, expected: str) -> None:
    """Each format's time is recognised without configuration."""
    assert time_of(line, reference_ns=utc_ns("2024-11-21T00:00:00")) == utc_ns(expected)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"2019 rows were loaded",
        b"12:30 is noon",
        b"P1D is a day",
        b"2024-11-20 was a Wednesday",
        b"2024-13-20T12:34:56Z has no such month",
        b"2024-02-30T12:34:56Z has no such day",
        b"2024-11-20T25:34:56Z has no such hour",
        b"2024-11-20T12:61:56Z has no such minute",
        b"20241120 rows",
        b"1732106096 rows were loaded",
        b"[2024] was a year",
        b"[12:34:56] is a time of some day",
        b"Mayhem 20 12:34:56",
        b"I1320 12:34:56.123456 1 main.go:7] no such month",
        b"  2024 / 11",
        b'{"event":"2024-11-20T12:34:56Z"}',
        b'{"inner":{"timestamp":"2024-11-20T12:34:56Z"}}',
        b'{"timestamp":"noon"}',
        b'{"timestamp":true}',
        b'{"timestamp":{"ts":1732106096}}',
        b'{"level":"info","timestamp":"2024-11-20T12:34:56Z","event":"cut',
        b'["2024-11-20T12:34:56Z"]',
    ],
)
def test_what_looks_like_a_time_is_none(line: bytes) -> None:
    """Text that merely looks like a date does not begin a record."""
    assert time_of(line) is None


def test_naive_times_take_the_stated_zone() -> None:
    """A time without a zone is of the zone that was given, summer time and all."""
    winter, summer = b"2024-01-20 12:00:00,000 x", b"2024-07-20 12:00:00,000 x"
    assert time_of(winter) == utc_ns("2024-01-20T12:00:00")
    assert time_of(winter, zone="Europe/Berlin") == utc_ns("2024-01-20T11:00:00")
    assert time_of(summer, zone="Europe/Berlin") == utc_ns("2024-07-20T10:00:00")
    assert time_of(b"2024-07-20T12:00:00Z x", zone="Europe/Berlin") == utc_ns("2024-07-20T12:00:00")


def test_unknown_zone_is_refused() -> None:
    """A zone that does not exist is an error, not UTC."""
    with pytest.raises(ValueError, match="Mars"):
        merger(1, zone="Mars/Olympus")


def test_a_missing_year_is_the_nearest_past_one() -> None:
    """A format without a year takes it from the reference time, and does not lie far in its future."""
    new_year = utc_ns("2025-01-01T00:30:00")
    assert time_of(b"Dec 31 23:59:59 host app: x", reference_ns=new_year) == utc_ns("2024-12-31T23:59:59")
    assert time_of(b"Jan  1 00:10:00 host app: x", reference_ns=new_year) == utc_ns("2025-01-01T00:10:00")


def test_a_time_format_can_be_given() -> None:
    """A pattern of one's own is tried first; the others go on working."""
    form = "%d.%m.%Y %H:%M:%S"
    assert time_of(b"20.11.2024 12:34:56 x", time_format=form) == utc_ns("2024-11-20T12:34:56")
    assert time_of(at(1), time_format=form) == utc_ns("2024-11-20T12:34:01")
    assert time_of(b"20.11.2024 12:34:56 x") is None


# Levels


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b'{"timestamp":"2024-11-20T12:34:56Z","level":"debug"}', Level.DEBUG),
        (b'{"timestamp":"2024-11-20T12:34:56Z","level":"info"}', Level.INFO),
        (b'{"timestamp":"2024-11-20T12:34:56Z","level":"warning"}', Level.WARNING),
        (b'{"timestamp":"2024-11-20T12:34:56Z","event":"x","level":"error"}', Level.ERROR),
        (b'{"timestamp":"2024-11-20T12:34:56Z","level":"CRITICAL"}', Level.CRITICAL),
        (b'{"timestamp":"2024-11-20T12:34:56Z","level":"odd"}', Level.UNKNOWN),
        (b'{"timestamp":"2024-11-20T12:34:56Z","event":"error"}', Level.UNKNOWN),
        (b"[2024-11-20T12:34:56.123+0000] {load.py:88} ERROR - x", Level.ERROR),
        (b"[2024-11-20T12:34:56.123+0000] {load.py:88} INFO - ERROR", Level.INFO),
        (b"2024-11-20 12:34:56,123 WARNING x", Level.WARNING),
        (b"I1120 12:34:56.123456       1 main.go:7] x", Level.INFO),
        (b"E1120 12:34:56.123456       1 main.go:7] x", Level.ERROR),
        (b"<35>1 2024-11-20T12:34:56.123456Z host app 1 - - x", Level.ERROR),
        (b"2024/11/20 12:34:56 [error] 7#7: *1 x", Level.ERROR),
        (b"2024-11-20T12:34:56Z stdout F x", Level.UNKNOWN),
        (b"no time, no level", Level.UNKNOWN),
    ],
)
def test_level_is_understood(line: bytes, level: Level) -> None:
    """Each format's level is recognised, and what is unknown is unknown."""
    assert counts(line + b"\n", levels=True)["levels"] == [int(number == level) for number in range(6)]


# Filters


FILTERED = joined(b"start", at(1, "one"), b"  more of One", at(2, "two"), at(3, "three"))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(), [b"start", at(1, "one"), b"  more of One", at(2, "two"), at(3, "three")]),
        (Rules(since_ns=utc_ns("2024-11-20T12:34:02")), [at(2, "two"), at(3, "three")]),
        (Rules(until_ns=utc_ns("2024-11-20T12:34:02")), [b"start", at(1, "one"), b"  more of One"]),
        (Rules(contains=b"more"), [at(1, "one"), b"  more of One"]),
        (Rules(contains=b"ONE"), []),
        (Rules(contains=b"ONE", ignore_case=True), [at(1, "one"), b"  more of One"]),
        (Rules(contains=b"t", invert=True), [at(1, "one"), b"  more of One"]),
        (Rules(regex=r"^  more"), [at(1, "one"), b"  more of One"]),
        (Rules(regex=r"one$"), [at(1, "one"), b"  more of One"]),
        (Rules(regex=r"t(wo|hree)$"), [at(2, "two"), at(3, "three")]),
        (Rules(regex=r"T(wo|HREE)$", ignore_case=True), [at(2, "two"), at(3, "three")]),
        (Rules(regex=r"e", invert=True), [b"start", at(2, "two")]),
        (Rules(contains=b"t", since_ns=utc_ns("2024-11-20T12:34:03")), [at(3, "three")]),
        (Rules(contains=b"o", regex=r"t[a-z]+$"), [at(2, "two")]),
        (
            Rules(contains=b"o", regex=r"t[a-z]+$", invert=True),
            [b"start", at(1, "one"), b"  more of One", at(3, "three")],
        ),
        (Rules(levels=1 << Level.ERROR), []),
    ],
)
def test_filters_choose_whole_records(rules: Rules, expected: list[bytes]) -> None:
    """Since is inclusive, until is not, what has no time is before all, and a record passes whole or not at all."""
    assert merge_whole([FILTERED], rules=rules) == joined(*expected)


def test_level_filter_chooses_by_mask() -> None:
    """Several levels can pass; a traceback goes with its error."""
    error = b"[2024-11-20T12:34:56.123+0000] {a.py:1} ERROR - x\nTraceback:\n"
    info = b"[2024-11-20T12:34:57.123+0000] {a.py:1} INFO - x\n"
    unknown = b"2024-11-20T12:34:58Z x\n"
    source = error + info + unknown
    assert merge_whole([source], rules=Rules(levels=1 << Level.ERROR)) == error
    assert merge_whole([source], rules=Rules(levels=1 << Level.INFO | 1 << Level.UNKNOWN)) == info + unknown


def test_filter_uses_the_effective_time() -> None:
    """A late record is chosen by the time at which it is shown."""
    source = joined(at(5), at(1, "late"))
    assert merge_whole([source], rules=Rules(since_ns=utc_ns("2024-11-20T12:34:04"))) == source


def test_bad_regex_is_refused() -> None:
    """A bad pattern is an error that says where."""
    with pytest.raises(ValueError, match=r".") as caught:
        merger(1, rules=Rules(regex="a(b"))
    message, position = caught.value.args
    assert message
    assert position == 1


# Position


def test_positions_say_what_was_given_out() -> None:
    """A position is where the next record of that source begins."""
    first, second = joined(at(1), at(3)), joined(at(2, "two"), b"  more", at(4))
    core = merger(2)
    core.feed(0, first)
    core.feed(1, second)
    core.finish(0)
    core.finish(1)
    assert core.positions() == [0, 0]
    out = core.take(1)
    assert out == joined(at(1))
    assert core.positions() == [len(joined(at(1))), 0]
    assert core.take(1) == joined(at(2, "two"), b"  more")
    assert core.positions() == [len(joined(at(1))), len(joined(at(2, "two"), b"  more"))]


def test_positions_pass_what_was_filtered_and_repeated() -> None:
    """In the end everything was given out, shown or not."""
    source = joined(at(1), at(2))
    core = merger(2, rules=Rules(contains=b"nowhere"))
    assert Drive(core, [[source], [source]]).run() == b""
    assert core.done
    assert core.positions() == [len(source), len(source)]


@pytest.mark.parametrize("size", [1 << 20, 100_000, 4096])
def test_a_record_of_very_many_lines_passes_in_pieces(size: int) -> None:
    """Cut after the same lines, wherever the blocks are cut; no line is missing, and none is given out by itself."""
    data = joined(at(1, "failed"), *[b""] * 199_999, at(2, "next"))
    core = merger(1, output=Output.NDJSON)
    drive = Drive(core, [[data[start : start + size] for start in range(0, len(data), size)]], max_bytes=(1,))
    lines = drive.run().count(b"\n")
    assert (lines, core.stats()["pieces"], core.stats()["records"]) == (200_001, 3, 2)
    assert [block.count(b"\n") for block in drive.taken] == [65_536, 65_536, 65_536, 200_000 - 3 * 65_536, 1]
