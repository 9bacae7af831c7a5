from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from logflume.generate import LineFormat, Pattern, Plan, write_log
from logflume.records import Output
from tests import oracle
from tests.drive import Drive, merge_whole, merger
from tests.oracle import Rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from logflume._core import Merger

START_S = 1_732_106_096  # 2024-11-20T12:34:56Z

# Few times and few texts, so that ties, repeats and lateness are common.
STEPS_NS = [0, 1, 999, 1_000, 1_500, 1_000_000, 999_999_999, 1_000_000_000, 60_000_000_000, 86_400_000_000_000]
ZONES = ["Z", "+00:00", "+05:30", "-08:00"]
WORDS = ["", "ok", "row ok", "Error: no such key", "größe", "→", '\\"quoted\\"', "back\\\\slash", "\\u0041", "\\ud800"]
LEVELS = ["debug", "info", "warning", "error", "critical", "odd"]

LOOK_ALIKES = [
    b"2019 rows were loaded",
    b"12:30 is noon",
    b"P1D is a day",
    b"[2024] was a year",
    b'{"event":"no time"}',
    b'{"inner":{"timestamp":"2024-11-20T12:34:56Z"}}',
    b'[{"timestamp":"2024-11-20T12:34:56Z"}]',
    b' {"timestamp":"2024-11-20T12:34:56Z"}',
    b'{"timestamp":null}',
    b'{"timestamp":"soon"}',
    b'{"logger":"task","timestamp":"2024-11-20T12:34:56Z","event":"cut',
    b'{"timestamp" :"2024-11-20T12:34:56Z","event":"cut',
    b'{"timestamp":"2024-11-20T12:34:56Z',
    b"{}",
    b" {} \t\r",
    b"{'timestamp':'2024-11-20T12:34:56Z'}",
    b'{"a":01}',
    b'{"a":NaN}',
    b'{"a":1e400}',
    b'{"a":"\x01"}',
    b'{"a":"\xff"}',
    b'{"a":' * 127 + b"{}" + b"}" * 127,
    b'{"a":' * 128 + b"{}" + b"}" * 128,
    b"\xef\xbb\xbf{}",
    b"\xed\xa0\x80 \xf0\x9f\x92 \xc0\xaf \xe2\x82",
    b"Traceback (most recent call last):",
    b'  File "dags/load.py", in load',
]
CUT_OR_ODD_BUT_TIMED = [
    b'{"timestamp":"2024-11-20T12:34:56Z"',
    b'{"timestamp":"2024-11-20T12:34:57.5Z","event":"cut',
    b'{"timestamp":"2024-11-20T12:34:56.000001Z","event":"\xff"}',
    b'{"timestamp":"2024-11-20T12:34:57Z","event":NaN}',
    b'{"timestamp":"2024-11-20T12:34:57Z","timestamp":"2024-11-20T12:34:56Z"}',
    b'{"timestamp":null,"ts":"2024-11-20T12:34:57Z"}',
    b'{ "event" : { "ts" : [ ] } , "@timestamp" : "2024-11-20T12:34:56+00:00" } \r',
    b'{"event":{"time":1},"time":"2024-11-20T12:34:56.000000001Z"}',
]


def second(time_ns: int, zone: str) -> tuple[str, str]:
    """Return a time's whole second in a zone, and its nine digits."""
    shift = timedelta(0) if zone == "Z" else datetime.strptime(zone, "%z").utcoffset() or timedelta(0)
    moment = datetime.fromtimestamp(time_ns // 10**9, tz=timezone.utc) + shift
    return moment.strftime("%Y-%m-%dT%H:%M:%S"), f"{time_ns % 10**9:09}"


times_ns = st.lists(st.sampled_from(STEPS_NS), max_size=3).map(lambda steps: START_S * 10**9 + sum(steps))


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    """A line of Airflow 3, or one that says the same with its keys elsewhere."""
    zone = draw(st.sampled_from(ZONES))
    whole, nanos = second(draw(times_ns), zone)
    digits = draw(st.sampled_from([0, 1, 3, 6, 6, 6, 9]))
    fraction = f".{nanos[:digits]}" if digits else ""
    pairs = [
        f'"{draw(st.sampled_from(oracle.TIME_KEYS))}":"{whole}{fraction}{zone}"',
        f'"level":"{draw(st.sampled_from(LEVELS))}"',
        f'"event":"{draw(st.sampled_from(WORDS))}"',
    ]
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    return ("{" + ",".join(pairs) + "}").encode()


@st.composite
def airflow_2_lines(draw: st.DrawFn) -> bytes:
    """A line of Airflow 2."""
    whole, nanos = second(draw(times_ns), "Z")
    level = draw(st.sampled_from(LEVELS)).upper()
    return f"[{whole}.{nanos[:3]}+0000] {{load.py:88}} {level} - {draw(st.sampled_from(WORDS))}".encode()


@st.composite
def kubernetes_lines(draw: st.DrawFn) -> bytes:
    """A line of a container runtime."""
    zone = draw(st.sampled_from(ZONES))
    whole, nanos = second(draw(times_ns), zone)
    return f"{whole}.{nanos}{zone} stdout F {draw(st.sampled_from(WORDS))}".encode()


# Anything but newlines and digits: no format has a time without digits.
free_bytes = st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\n0123456789"))
timed_lines = json_lines() | airflow_2_lines() | kubernetes_lines() | st.sampled_from(CUT_OR_ODD_BUT_TIMED)
untimed_lines = st.sampled_from(LOOK_ALIKES) | free_bytes | st.just(b"") | st.just(b"\r")
lines = timed_lines | timed_lines | untimed_lines


@st.composite
def files(draw: st.DrawFn, max_lines: int = 8) -> bytes:
    """A file in any order, or sorted; with or without its final newline."""
    chosen = draw(st.lists(lines, max_size=max_lines))
    if draw(st.booleans()):
        chosen.sort(key=lambda line: oracle.time_of(line) or 0)
    return b"\n".join(chosen) + b"\n" * draw(st.integers(0, 1))


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Some files, of which some stand in the log twice, whole or in part: local and remote copies."""
    sources = draw(st.lists(files(), min_size=1, max_size=4))
    for copied in draw(st.lists(st.sampled_from(sources), max_size=2)):
        first = draw(st.integers(0, copied.count(b"\n")))
        sources.append(b"\n".join(copied.split(b"\n")[first:]))
    return draw(st.permutations(sources))


@st.composite
def many_sources(draw: st.DrawFn) -> list[bytes]:
    """Up to 64 tiny files."""
    seldom_empty = st.lists(timed_lines, max_size=3).map(lambda chosen: b"".join(line + b"\n" for line in chosen))
    return draw(st.lists(seldom_empty, min_size=5, max_size=64))


@dataclass(frozen=True)
class Way:
    """One way to drive a merge: what is decided by luck, how large blocks and takes are."""

    seed: int
    block_bytes: int
    takes: tuple[int, ...]

    def drive(self, core: Merger, sources: list[bytes], dates: list[oracle.Dates | None] | None = None) -> Drive:
        """Cut the sources into blocks and drive the merger, some through scanners, some not."""
        luck = Random(self.seed)
        blocks = [cut(source, luck, self.block_bytes) for source in sources]
        return Drive(core, blocks, luck, self.takes, scanned=None, dates=dates or [])


def cut(source: bytes, luck: Random, mean_bytes: int) -> list[bytes]:
    """Cut a source into blocks anywhere; empty blocks among them."""
    blocks = []
    while source:
        size = luck.randint(0, 2 * mean_bytes) if mean_bytes > 1 else 1
        blocks.append(source[:size])
        source = source[size:]
    return blocks


ways = st.builds(
    Way,
    seed=st.integers(0, 2**32),
    block_bytes=st.sampled_from([1, 2, 5, 30, 200, 100_000]),
    takes=st.lists(st.sampled_from([1, 2, 10, 60, 100, 1_000, 1 << 18]), min_size=1, max_size=4).map(tuple),
)
outputs = st.sampled_from([Output.TEXT, Output.NDJSON])
limits = st.sampled_from([0, 20, 64, 150, 1 << 20])
rules = st.builds(
    Rules,
    since_ns=st.none() | times_ns,
    until_ns=st.none() | times_ns,
    levels=st.just(0) | st.integers(1, 63),
)
text_rules = st.builds(
    Rules,
    since_ns=st.none() | times_ns,
    contains=st.none() | st.sampled_from([b"row", b"ERROR", b"\xc3", b"\x00", b"\n", b"key\n", b""]),
    regex=st.none() | st.sampled_from([r"^\{", r"ok$", r"row|error", r"n[oO]", r"^$", r"\"event\":\"[a-z]*\"", r"ä|ö"]),
    ignore_case=st.booleans(),
    invert=st.booleans(),
)


@given(logs(), outputs, st.booleans(), ways)
def test_the_merge_is_the_oracles(sources: list[bytes], output: Output, dedup: bool, way: Way) -> None:
    """Whatever the lines, however cut, fed, scanned and taken: the bytes and the counts are the oracle's."""
    expected = oracle.merge(sources, output=output, dedup=dedup)
    core = merger(len(sources), output=output, dedup=dedup)
    out = way.drive(core, sources).run()
    assert out == expected.out
    assert core.positions() == [len(source) for source in sources]
    counts = core.stats()
    assert (counts["late"], counts["duplicates"]) == (expected.late, expected.duplicates)
    assert (counts["bytes"], counts["bytes_out"]) == (sum(map(len, sources)), len(out))


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
@pytest.mark.parametrize("line_format", LineFormat)
@pytest.mark.parametrize("pattern", Pattern)
def test_made_logs_merge_as_in_the_oracle(
    tmp_path: Path, pattern: Pattern, line_format: LineFormat, output: Output
) -> None:
    """Long runs, bursts, copies and ties, in blocks of the usual size and in small ones."""
    plan = Plan(lines=4_000, sources=4, pattern=pattern, format=line_format, duplicates=0.2, ties=0.2)
    sources = [path.read_bytes() for path in write_log(tmp_path, plan)]
    expected = oracle.merge(sources, output=output)
    for way in (Way(1, 100_000, (1 << 18,)), Way(2, 700, (5_000,))):
        core = merger(len(sources), output=output)
        assert way.drive(core, sources).run() == expected.out
        assert core.stats()["duplicates"] == expected.duplicates


@given(many_sources(), outputs, st.booleans(), ways)
def test_many_sources_merge_as_few_do(sources: list[bytes], output: Output, dedup: bool, way: Way) -> None:
    """From 5 to 64 sources the bytes are the oracle's."""
    out = way.drive(merger(len(sources), output=output, dedup=dedup), sources).run()
    assert out == oracle.merge(sources, output=output, dedup=dedup).out


@given(logs(), outputs, st.booleans(), rules | text_rules, ways)
def test_filters_select_the_oracles_records(
    sources: list[bytes], output: Output, dedup: bool, chosen: Rules, way: Way
) -> None:
    """A record passes a filter whole or fails whole, and the same ones pass as in the oracle."""
    core = merger(len(sources), output=output, dedup=dedup, rules=chosen)
    out = way.drive(core, sources).run()
    assert out == oracle.merge(sources, output=output, dedup=dedup, rules=chosen).out
    assert core.positions() == [len(source) for source in sources]


@given(files(max_lines=20), st.booleans(), limits, ways)
def test_one_source_comes_out_as_it_is(source: bytes, dedup: bool, limit: int, way: Way) -> None:
    """The text of one source is that source, byte for byte, in pieces or not."""
    assert way.drive(merger(1, dedup=dedup, max_record_bytes=limit), [source]).run() == source


@given(logs(), outputs, st.booleans(), limits, ways)
def test_pieces_do_not_depend_on_blocks(
    sources: list[bytes], output: Output, dedup: bool, limit: int, way: Way
) -> None:
    """Long records are cut at the same bytes however they come in."""
    cores = [merger(len(sources), output=output, dedup=dedup, max_record_bytes=limit) for _ in range(2)]
    assert way.drive(cores[0], sources).run() == Drive(cores[1], [[source] for source in sources]).run()


@given(logs())
def test_ndjson_is_always_json(sources: list[bytes]) -> None:
    """Every line of NDJSON is a JSON object, and there is one for each line that is shown as text."""
    ndjson = merge_whole(sources, Output.NDJSON)
    text = merge_whole(sources, Output.TEXT)
    assert ndjson == b"" or ndjson.endswith(b"\n")
    assert all(isinstance(json.loads(line), dict) for line in ndjson.split(b"\n")[:-1])
    assert ndjson.count(b"\n") == text.count(b"\n") + (text[-1:] not in (b"", b"\n"))


# Long enough to cross the blocks of bytes that are looked at together, wherever they end.
long_texts = st.builds(
    "".join, st.lists(st.builds(str.__mul__, st.sampled_from(["x", "\\", '"', "é"]), st.integers(0, 70)))
)
json_values = st.recursive(
    long_texts
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "\x7f"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\\", max_size=2), inner, max_size=3),
    max_leaves=6,
)
# What a byte is replaced by, or what comes in between.
TEETH = [
    b"",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"-",
    b"+",
    b"0",
    b".",
    b"e",
    b"E",
    b"u",
    b"n",
    b" ",
    b"\r",
]
TEETH += [
    b"\t",
    b"\x00",
    b"\x0b",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    "é".encode(),
    b"\\u12",
]


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """A JSON object that somebody has bitten."""
    value = draw(st.dictionaries(st.text("ab", max_size=2), json_values, max_size=4))
    ascii_only, spaced = draw(st.booleans()), draw(st.booleans())
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(" , ", " : ") if spaced else (",", ":"))
    line = text.encode("utf-8", "surrogatepass")
    for tooth in draw(st.lists(st.sampled_from(TEETH), max_size=3)):
        at = draw(st.integers(0, len(line)))
        line = line[:at] + tooth + line[at + draw(st.integers(0, 1)) :]
    return line


@given(st.lists(nearly_json(), min_size=1, max_size=5))
def test_json_is_told_from_what_is_none(chosen: list[bytes]) -> None:
    """What is a JSON object passes as it is and what is none is wrapped, exactly as Python's own parser tells them."""
    source = b"".join(line + b"\n" for line in chosen)
    assert merge_whole([source], Output.NDJSON) == oracle.merge([source], output=Output.NDJSON).out


@given(logs(), st.booleans(), ways)
def test_a_take_is_no_larger_than_asked(sources: list[bytes], dedup: bool, way: Way) -> None:
    """A block is as large as asked for, or one record; twice that with dedup, to hold the copies of one instant."""
    records = [record for number, source in enumerate(sources) for record in oracle.records_of(number, source)]
    longest = max((len(record.raw) + 1 for record in records), default=0)
    drive = way.drive(merger(len(sources), dedup=dedup), sources)
    drive.run()
    asked = way.takes + way.takes[-1:] * len(drive.taken)
    bounds = [2 * size + longest if dedup else max(size, longest) for size in asked]
    # Not counted: the newlines that last lines get which had none.
    owed = len(sources)
    assert all(len(block) <= bound + owed for block, bound in zip(drive.taken, bounds, strict=False))


@given(st.lists(lines, min_size=1, max_size=8), ways)
def test_positions_name_what_was_given_out(chosen: list[bytes], way: Way) -> None:
    """After each take the position of a lone source is the length of what came out so far."""
    source = b"".join(line + b"\n" for line in chosen)
    drive = way.drive(merger(1), [source])
    while drive.step():
        assert drive.merger.positions() == [len(b"".join(drive.taken))]


def stop_and_resume(sources: list[bytes], way: Way, stop: int, core: Callable[[], Merger]) -> bytes:
    """Merge, stop after some takes, and let a new merger go on from the positions and floors."""
    first = way.drive(core(), sources)
    for _ in range(stop):
        first.step()
    resumed = core()
    for number, floor_ns in enumerate(first.merger.floors()):
        resumed.resume(number, floor_ns)
    rests = [source[position:] for source, position in zip(sources, first.merger.positions(), strict=True)]
    return b"".join(first.taken) + way.drive(resumed, rests).run()


def end_lines(sources: list[bytes]) -> list[bytes]:
    """Let each source end with a newline: one that is owed is not known to who goes on."""
    return [source + b"\n" * (source[-1:] not in (b"", b"\n")) for source in sources]


stops = st.integers(0, 12)


@given(logs().map(end_lines), outputs, ways, stops)
def test_resuming_is_exact(sources: list[bytes], output: Output, way: Way, stop: int) -> None:
    """Without dedup, stopping anywhere and going on from there gives the same bytes."""
    resumed = stop_and_resume(sources, way, stop, lambda: merger(len(sources), output=output, dedup=False))
    assert resumed == oracle.merge(sources, output=output, dedup=False).out


@given(logs().map(end_lines), outputs, ways, stops)
def test_resuming_is_exact_where_sources_share_nothing(
    sources: list[bytes], output: Output, way: Way, stop: int
) -> None:
    """With dedup it is so where no two sources have a record in common."""
    whole = oracle.merge(sources, output=output)
    assume(whole.duplicates == 0)
    resumed = stop_and_resume(sources, way, stop, lambda: merger(len(sources), output=output))
    assert resumed == whole.out


@given(logs().map(end_lines), ways, stops)
def test_resuming_with_dedup_loses_nothing(sources: list[bytes], way: Way, stop: int) -> None:
    """With dedup a copy may be shown again when the stop came between it and its twin, but nothing is lost."""
    resumed = Counter(stop_and_resume(sources, way, stop, lambda: merger(len(sources))).split(b"\n"))
    whole = Counter(oracle.merge(sources, output=Output.TEXT).out.split(b"\n"))
    everything = Counter(b"".join(sources).split(b"\n"))
    assert whole <= resumed <= everything
