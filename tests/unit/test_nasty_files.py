"""Files that break parsers: nothing of them is lost, and NDJSON of them is JSON."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import datetime, timezone
from textwrap import dedent
from typing import NamedTuple

import pytest

from logflume.records import Output
from tests.drive import Drive, merge_whole, merger

EARLY, LATE = b"2024-01-01T00:00:00Z early\n", b"2024-12-31T00:00:00Z late\n"


class Nasty(NamedTuple):
    """A file, and whether its last record stands before or between ``EARLY`` and ``LATE``."""

    name: str
    source: bytes
    stands: str


def timed(event: bytes, time: bytes = b"2024-06-01T00:00:00Z") -> bytes:
    """Write an Airflow 3 line whose event is any JSON value."""
    return b'{"timestamp":"' + time + b'","event":' + event + b"}\n"


IN_JUNE = timed(b'"in June"')

NASTY = [
    Nasty("empty", b"", "nowhere"),
    Nasty("only newlines", b"\n\n\n", "before"),
    Nasty("newlines between", b"\n\n" + IN_JUNE + b"\n\n" + IN_JUNE + b"\n", "between"),
    Nasty("no final newline", IN_JUNE + IN_JUNE[:-1], "between"),
    Nasty("CRLF", IN_JUNE.replace(b"\n", b"\r\n") * 2, "between"),
    Nasty("CRLF, plain", b"2024-06-01T00:00:00Z a\r\n  b\r\n\r\n", "between"),
    Nasty("lone CR", b"2024-06-01T00:00:00Z 10 %\r20 %\r2024-12-31T23:59:59Z 30 %\r\n", "between"),
    Nasty("only CR", b"\r", "before"),
    Nasty("NUL", b"2024-06-01T00:00:00Z \x00a\x00\n\x00\x00\n", "between"),
    Nasty("a hole in the file", b"2024-06-01T00:00:00Z a\n" + b"\x00" * 100_000 + b"\n", "between"),
    Nasty("control bytes", b"2024-06-01T00:00:00Z " + bytes(range(1, 32)).replace(b"\n", b"") + b"\x7f\n", "between"),
    Nasty("invalid UTF-8", b"2024-06-01T00:00:00Z \xff\xfe \xc3( \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82\n", "between"),
    Nasty("invalid UTF-8 in JSON", timed(b'"\xff"'), "between"),
    Nasty("UTF-8 cut at the end", b"2024-06-01T00:00:00Z \xf0\x9f\x92", "between"),
    Nasty("BOM", b"\xef\xbb\xbf" + IN_JUNE, "anywhere"),
    Nasty("BOM, then more", b"\xef\xbb\xbf" + IN_JUNE + IN_JUNE, "between"),
    Nasty("UTF-16", (IN_JUNE.decode() * 2).encode("utf-16"), "before"),
    Nasty("UTF-16, big end first", (IN_JUNE.decode() * 2).encode("utf-16-be"), "before"),
    Nasty("every byte", bytes(range(256)) * 4, "before"),
    Nasty("nested 10,000 deep", timed(b"[" * 10_000 + b"]" * 10_000), "between"),
    Nasty("nested 10,000 deep, objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n", "before"),
    Nasty("10,000 brackets, none closed", b'{"a":' * 10_000 + b"\n" + b"[" * 10_000, "before"),
    Nasty("duplicate keys", b'{"timestamp":"2024-06-01T00:00:00Z","timestamp":"2025-06-01T00:00:00Z"}\n', "between"),
    Nasty("event is a number", timed(b"1"), "between"),
    Nasty("event is null", timed(b"null"), "between"),
    Nasty("event is an object", timed(b'{"timestamp":"2025-01-01T00:00:00Z"}'), "between"),
    Nasty("event is a list", timed(b'["a",["b"]]'), "between"),
    Nasty("timestamp is null", b'{"timestamp":null,"event":"x"}\n', "before"),
    Nasty("timestamp is an object", b'{"timestamp":{"a":1},"event":"x"}\n', "before"),
    Nasty("timestamp is empty", b'{"timestamp":"","event":"x"}\n', "before"),
    Nasty("timestamp is 1e400", b'{"timestamp":1e400,"event":"x"}\n', "before"),
    Nasty("timestamp is -1e400", b'{"timestamp":-1e400,"event":"x"}\n', "before"),
    Nasty("timestamp has 400 digits", b'{"timestamp":' + b"9" * 400 + b"}\n", "before"),
    Nasty("event is 1e400", timed(b"1e400"), "between"),
    Nasty("event has 5,000 digits", timed(b"1" * 5_000), "between"),
    Nasty("year 0001", timed(b'"x"', b"0001-01-01T00:00:00Z"), "before"),
    Nasty("year 0000", timed(b'"x"', b"0000-01-01T00:00:00Z"), "before"),
    # A year that nanoseconds cannot say is no time. A wild one would drag all that follows it to the end.
    Nasty("year 9999", timed(b'"x"', b"9999-12-31T23:59:59.999999999Z"), "before"),
    Nasty("year 9999, plain", b"9999-12-31T23:59:59Z x\n  more\n", "before"),
    Nasty("year 9999 in a record", IN_JUNE + b"9999-12-31T23:59:59Z x\n" + IN_JUNE, "between"),
    Nasty("year 0001, its zone in the year before", timed(b'"x"', b"0001-01-01T00:00:00+14:00"), "before"),
    Nasty("30 digits of a second", timed(b'"x"', b"2024-06-01T00:00:00." + b"1" * 30 + b"Z"), "between"),
    Nasty("leap second", timed(b'"x"', b"2024-06-30T23:59:60Z"), "between"),
    Nasty("leap second, plain", b"2024-06-30T23:59:60.5Z x\n", "between"),
    Nasty("look-alikes", b"2019 rows were loaded\n12:30 is noon\nP1D is a day\n2024\n", "before"),
    Nasty("look-alikes in a record", IN_JUNE + b"2019 rows were loaded\n12:30 is noon\nP1D is a day\n", "between"),
    Nasty("quotes and backslashes", b'2024-06-01T00:00:00Z "\\" \\u0041 \\\\"\n', "between"),
    Nasty("JSON cut in a string", IN_JUNE + IN_JUNE[:-5] + b"\n", "between"),
    Nasty("JSON cut in its time", IN_JUNE + b'{"timestamp":"2024-06-01T00:0\n', "between"),
    Nasty("two objects on a line", IN_JUNE[:-1] * 2 + b"\n", "between"),
]

all_files = pytest.mark.parametrize("nasty", NASTY, ids=[nasty.name for nasty in NASTY])


def ndjson_texts(source: bytes, out: bytes) -> list[str]:
    """Return the text of each line: the line itself where it passed, its event where it was wrapped."""
    lines = source.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    given = out.split(b"\n")[:-1]
    assert len(given) == len(lines)
    for got in given:
        # Python refuses numbers beyond 4,300 digits; JSON does not.
        assert isinstance(json.loads(got, parse_int=str), dict)
    pairs = zip(lines, given, strict=True)
    return [got.decode() if got == line else json.loads(got)["event"] for line, got in pairs]


@all_files
@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_text_is_the_file(nasty: Nasty, block_bytes: int) -> None:
    """The text of one nasty file is that file, however it is cut."""
    if len(nasty.source) > 20_000 and block_bytes == 1:
        block_bytes = 100
    blocks = [nasty.source[at : at + block_bytes] for at in range(0, len(nasty.source), block_bytes)]
    core = merger(1)
    assert Drive(core, [blocks]).run() == nasty.source
    assert core.positions() == [len(nasty.source)]


@all_files
def test_ndjson_is_json_and_says_the_same(nasty: Nasty) -> None:
    """Each line of NDJSON is a JSON object, and together they hold the file's text."""
    out = merge_whole([nasty.source], Output.NDJSON)
    assert "\n".join(ndjson_texts(nasty.source, out)) == nasty.source.decode("utf-8", "replace").removesuffix("\n")


@all_files
def test_order_among_good_sources(nasty: Nasty) -> None:
    """A nasty file stands where its time says, and moves nothing of its neighbours."""
    last_line = nasty.source.removesuffix(b"\n").split(b"\n")[-1] + b"\n"
    out = merge_whole([EARLY, nasty.source, LATE])
    assert out.replace(EARLY, b"").replace(LATE, b"") == nasty.source + b"\n" * (
        not nasty.source.endswith(b"\n") and nasty.source != b""
    )
    places = {
        "before": out.endswith(last_line + EARLY + LATE),
        "between": EARLY in out and out.endswith(last_line + LATE),
        "nowhere": out == EARLY + LATE,
        "anywhere": EARLY in out and LATE in out,
    }
    assert places[nasty.stands]


@pytest.mark.parametrize(
    ("line", "zone", "expected"),
    [
        # 02:30 comes twice, and a first one is the first. It is left out: what a clock not yet set would show.
        ("2024-10-27 02:30:00,000", "Europe/Berlin", "2024-10-27T00:30:00"),
        ("2024-03-31 02:30:00,000", "Europe/Berlin", "2024-03-31T01:30:00"),
        ("2024-10-27 01:59:59,000", "Europe/Berlin", "2024-10-26T23:59:59"),
        ("2024-10-27 03:00:00,000", "Europe/Berlin", "2024-10-27T02:00:00"),
        ("2016-12-31T23:59:60Z", "UTC", "2017-01-01T00:00:00"),
    ],
)
def test_times_that_clocks_show_twice_or_never(line: str, zone: str, expected: str) -> None:
    """A fold, a gap and a leap second have a time within their second."""
    core = merger(1, zone=zone)
    Drive(core, [[line.encode() + b" x\n"]]).run()
    first_ns = core.stats()["first_ns"]
    assert first_ns is not None
    assert datetime.fromtimestamp(first_ns // 10**9, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") == expected


def test_a_dst_fold_is_two_hours() -> None:
    """When local clocks go back, the hour that comes twice is two hours: nothing is late."""
    minutes = [*range(60), *range(60)]
    source = b"".join(b"2024-10-27 02:%02d:00,000 x\n" % minute for minute in minutes)
    core = merger(1, zone="Europe/Berlin")
    assert Drive(core, [[source]]).run() == source
    counts = core.stats()
    assert counts["late"] == 0
    assert counts["first_ns"] is not None
    assert counts["last_ns"] == counts["first_ns"] + 119 * 60 * 10**9


def test_a_leap_second_is_between_its_neighbours() -> None:
    """23:59:60 comes after 23:59:59.9 and before 00:00:00.1."""
    lines = [b"2016-12-31T23:59:59.9Z a\n", b"2016-12-31T23:59:60Z b\n", b"2017-01-01T00:00:00.1Z c\n"]
    assert merge_whole([lines[2], lines[1], lines[0]]) == b"".join(lines)


def test_zones_may_be_mixed_in_one_file() -> None:
    """Each line's own offset counts."""
    source = b"2024-06-01T12:00:00+05:30 a\n2024-06-01T06:31:00Z b\n2024-05-31T20:32:00-10:00 c\n"
    core = merger(1)
    assert Drive(core, [[source]]).run() == source
    assert core.stats()["late"] == 0


# Lines longer than memory allows: they pass in pieces

PIECE_BYTES = 64 * 1024
LONG_LINES = {
    "plain": b"2024-06-01T00:00:00Z " + "é".encode() * 2_500_000 + b"\n",
    "JSON": timed(b'"' + b"x" * 5_000_000 + b'"'),
    "no time": b"\xff" * 5_000_000 + b"\n",
    "a long traceback": b"2024-06-01T00:00:00Z x\n" + b"  File\n" * 700_000,
}
long_lines = pytest.mark.parametrize("line", LONG_LINES.values(), ids=list(LONG_LINES))


def blocks_of(source: bytes) -> list[bytes]:
    """Cut a source into the blocks of a file reader."""
    return [source[at : at + (1 << 18)] for at in range(0, len(source), 1 << 18)]


@long_lines
def test_a_long_record_passes_in_pieces(line: bytes) -> None:
    """A record over the limit comes out whole, in bounded pieces, which are counted."""
    source = EARLY + line + LATE
    core = merger(1, max_record_bytes=PIECE_BYTES)
    drive = Drive(core, [blocks_of(source)])
    whole = drive.run() == source  # not asserted at once: nobody reads a diff of 5 MB
    assert whole
    assert max(map(len, drive.taken)) <= (1 << 18) + PIECE_BYTES
    assert core.stats()["pieces"] > 1
    assert core.positions() == [len(source)]


@long_lines
def test_a_long_record_is_json_in_pieces(line: bytes) -> None:
    """The pieces of a long line are JSON objects whose events make up the line; no character is cut in two."""
    core = merger(1, output=Output.NDJSON, max_record_bytes=PIECE_BYTES)
    out = Drive(core, [blocks_of(line)]).run()
    events = [json.loads(part)["event"] for part in out.split(b"\n")[:-1]]
    whole = "".join(events) == line.decode("utf-8", "replace").replace("\n", "")
    assert whole


def test_a_long_record_stays_in_its_place() -> None:
    """The pieces of a long record stand together, between what is before and after in other sources."""
    line = LONG_LINES["plain"]
    core = merger(2, max_record_bytes=PIECE_BYTES)
    whole = Drive(core, [[EARLY + LATE], blocks_of(line)]).run() == EARLY + line + LATE
    assert whole


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
def test_a_line_of_100_mb_takes_little_memory(output: Output) -> None:
    """A line of 100 MB passes in a process that never holds more than 64 MiB."""
    program = dedent(f"""
        import hashlib, json, pathlib, re
        from logflume._core import Merger
        merger, block, digest, seen = Merger(1, output={int(output)}), b"x" * 250_000, hashlib.sha256(), 0
        def take():
            global seen
            while out := merger.take(1 << 18):
                if {int(output)} == {int(Output.NDJSON)}:
                    out = b"".join(json.loads(line)["event"].encode() for line in out.splitlines())
                digest.update(out)
                seen += len(out)
        for _ in range(400):
            merger.feed(0, block)
            take()
        merger.finish(0)
        take()
        # Not ru_maxrss, which starts with what the parent process had.
        peak_kib = re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
        print(merger.done, seen, digest.hexdigest(), peak_kib)
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    done, seen, digest, peak_kib = run.stdout.split()
    expected = hashlib.sha256()
    for _ in range(100):
        expected.update(b"x" * 1_000_000)
    assert (done, int(seen)) == ("True", 100_000_000)
    assert digest == expected.hexdigest()
    assert int(peak_kib) < 64 * 1024
