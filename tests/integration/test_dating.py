"""Captured output without times, merged by when it came: whole, from any place, followed, indexed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from logflume.catalog import log_of_paths
from logflume.dating import HEAD_BYTES
from logflume.follow import iter_followed
from logflume.index import LogIndex
from logflume.indexcache import IndexCache
from logflume.merge import How, iter_merged
from logflume.records import GapReason, Output
from logflume.seek import cursor_at_time, tail
from logflume.ship import chunks
from logflume.ship.segments import MIN_BUDGET_BYTES, Rules, Segments, Writer
from logflume.sources.arrivals import MAX_TIMES, Arrivals
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.abc import Source

TEXT = How(output=Output.TEXT)
BEGIN_NS = 1_732_106_096 * 10**9
STEP_NS = 2 * 10**9
STREAMS = ("err.log", "out.log")


@dataclass(frozen=True)
class Captured:
    """Two streams, and what their merge must be."""

    folder: Path
    rounds: list[bytes]

    def sources(self) -> list[Source]:
        """Return them in the order of their names."""
        return [LocalSource(self.folder / name, name=name) for name in STREAMS]

    def expected(self, first: int = 0) -> bytes:
        """Return what came, from a round on, in the order in which it came."""
        return b"".join(self.rounds[first:])


def time_of(number: int) -> int:
    """Return when a round came."""
    return BEGIN_NS + number * STEP_NS


def words(luck: Random, number: int) -> bytes:
    """Return some lines without a time."""
    return b"".join(b"row %d.%d %s\n" % (number, n, b"x" * luck.randrange(60)) for n in range(luck.randrange(1, 30)))


def capture(folder: Path, rounds: list[bytes], rules: Rules) -> None:
    """Write the rounds into two streams by turns, each at its time."""
    streams = [Segments(folder, name, rules) for name in STREAMS]
    for number, lines in enumerate(rounds):
        streams[number % 2].append(lines)
        for each in streams:
            each.tick(time_of(number))
    for each in streams:
        each.close()


@pytest.fixture(scope="module", params=["one-file", "rotated"])
def captured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """Capture two streams, with and without rotation; larger than what is looked at for times of their own."""
    luck = Random(0)
    rounds = [words(luck, number) for number in range(300)]
    folder = tmp_path_factory.mktemp("kept")
    capture(folder, rounds, Rules(segment_bytes=16 * 1024 if request.param == "rotated" else None))
    sizes = [source.peek_size() for source in Captured(folder, rounds).sources()]
    assert all(size is not None and size > HEAD_BYTES for size in sizes)
    assert len(list(folder.glob("out.log*"))) == (1 if request.param == "one-file" else 6)
    return Captured(folder, rounds)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_came_first_comes_first(captured: Captured, workers: int) -> None:
    """Lines without times of two captured streams are merged in the order in which they came."""
    with iter_merged(captured.sources(), TEXT, workers=workers) as merged:
        assert b"".join(merged) == captured.expected()
        assert merged.stats()["late"] == 0


def test_a_merge_goes_on_from_any_cursor(captured: Captured) -> None:
    """What follows the cursor after any block is the rest of the whole merge."""
    given = b""
    with iter_merged(captured.sources(), TEXT, workers=0, block_bytes=5000) as merged:
        for block in merged:
            given += block
            with iter_merged(captured.sources(), TEXT, start=merged.cursor(), workers=0) as rest:
                assert given + b"".join(rest) == captured.expected()


def test_times_and_tails_are_found_without_reading_all(captured: Captured) -> None:
    """A merge from a time gives what came then and later; the tail is the end of the whole merge."""
    for number in (0, 1, 2, 77, 150, 151, 298, 299):
        cursor = cursor_at_time(captured.sources(), time_of(number), TEXT)
        with iter_merged(captured.sources(), TEXT, start=cursor, workers=0) as rest:
            assert b"".join(rest) == captured.expected(number)
    for lines in (1, 10, 500):
        assert b"".join(tail(captured.sources(), lines, TEXT)) == b"".join(
            captured.expected().splitlines(keepends=True)[-lines:]
        )


def test_following_gives_the_same(captured: Captured) -> None:
    """A log that is followed from its beginning comes in the same order."""
    log = log_of_paths([str(captured.folder)])
    with iter_followed(log, TEXT, ended=lambda: True) as followed:
        assert b"".join(followed) == captured.expected()


def test_rows_are_those_of_the_whole_merge(captured: Captured, tmp_path: Path) -> None:
    """The index names lines and times as the whole merge has them."""
    index = LogIndex(log_of_paths([str(captured.folder)]), TEXT, cache=IndexCache(tmp_path / "cache"))
    index.build()
    lines = captured.expected().splitlines(keepends=True)
    assert index.totals.lines == len(lines)
    for first in (0, 1, 1000, 2345, len(lines) - 3):
        assert b"".join(index.iter_rows(first, 20)) == b"".join(lines[first : first + 20])
    place = index.locate_time(time_of(200))
    assert place.line == len(b"".join(captured.rounds[:200]).splitlines())


def test_ndjson_has_the_time_of_arrival(captured: Captured) -> None:
    """A line without a time gets that of its arrival in JSON."""
    with iter_merged(captured.sources(), How(), workers=0) as merged:
        assert next(merged).startswith(b'{"timestamp":"2024-11-20T12:34:56.000000Z","event":"row 0.0 ')


def test_what_is_left_of_a_punched_file_is_in_its_place(tmp_path: Path) -> None:
    """Behind a hole, too, lines come when they came."""
    luck = Random(1)
    rounds = [words(luck, number) for number in range(300)]
    rules = Rules(MIN_BUDGET_BYTES)
    streams = [Segments(tmp_path, name, rules, writer=Writer.CHILD) for name in STREAMS]
    for number, lines in enumerate(rounds):
        os.write(streams[number % 2].descriptor, lines)
        for each in streams:
            each.tick(time_of(number))
    for each in streams:
        each.close()
    with iter_merged(Captured(tmp_path, rounds).sources(), TEXT, workers=0) as merged:
        given = b"".join(merged).splitlines(keepends=True)
        assert {gap.reason for gap in merged.gaps} == {GapReason.EXPIRED}
    places = {line: place for place, line in enumerate(b"".join(rounds).splitlines(keepends=True))}
    whole = [places[line] for line in given if line in places]
    assert len(given) - len(whole) <= 8  # what the edges of the holes cut
    assert whole == sorted(whole)
    assert whole[-1] == len(places) - 1


BANNER = b"  __ \n /  \\ a banner\n"
TIMED = b"2024-11-20T12:34:58Z ready\nTraceback:\n  of three\n  lines\n2024-11-20T12:35:30Z done\n"


def test_a_log_with_times_of_its_own_keeps_them(tmp_path: Path) -> None:
    """What stands before the first time comes when it came, at that time at the latest; tracebacks stay whole."""
    (tmp_path / "a.log").write_bytes(b"2024-11-20T12:34:57Z other\n2024-11-20T12:35:00Z more\n")
    stream = Segments(tmp_path, "out.log")
    stream.append(BANNER)
    stream.tick(BEGIN_NS + 5 * 10**9)  # noted late
    stream.append(TIMED)
    stream.tick(BEGIN_NS + 50 * 10**9)
    stream.close()
    sources: list[Source] = [LocalSource(tmp_path / name) for name in ("a.log", "out.log")]
    lines = TIMED.splitlines(keepends=True)
    expected = [b"2024-11-20T12:34:57Z other\n", BANNER, *lines[:4], b"2024-11-20T12:35:00Z more\n", lines[4]]
    with iter_merged(sources, TEXT, workers=0) as merged:
        assert b"".join(merged) == b"".join(expected)


def test_old_times_stay_old(tmp_path: Path) -> None:
    """An old log that is captured today has its own times, whatever stands at its beginning."""
    stream = Segments(tmp_path, "out.log")
    stream.append(b"-- Logs begin here --\n" + TIMED)
    stream.tick(BEGIN_NS * 2)
    stream.close()
    with iter_merged([LocalSource(tmp_path / "out.log")], TEXT, workers=0) as merged:
        assert b"".join(merged) == b"-- Logs begin here --\n" + TIMED
        assert merged.stats()["first_ns"] == BEGIN_NS + 2 * 10**9
        assert merged.stats()["late"] == 0


def test_a_live_index_takes_over_when_it_is_noted_when_lines_came(tmp_path: Path) -> None:
    """Lines that were indexed before their arrival was noted are where the merge has them afterwards."""
    streams = [Segments(tmp_path, name) for name in STREAMS]
    log = log_of_paths([str(tmp_path)])
    index = LogIndex(log, TEXT, cache=None)
    for number in range(6):
        stream = streams[(number // 2) % 2]
        stream.append(b"row %d\n" % number)
        os.utime(stream.path, ns=(time_of(number), time_of(number)))
        if number % 2:
            stream.tick(time_of(number) + 10**9)
        index.build()
    for each in streams:
        each.close()
    index.build()
    with iter_merged(log.sources(), TEXT, workers=0) as merged:
        expected = b"".join(merged)
    assert b"".join(index.iter_rows(0, 10)) == expected
    for line in range(6):
        assert b"".join(index.iter_rows(line, 1)) == expected.splitlines(keepends=True)[line]


def test_an_index_that_is_damaged_or_of_another_file_dates_nothing(captured: Captured, tmp_path: Path) -> None:
    """Where nobody noted when lines came, or what was noted is damaged, they come through as ever."""
    folder = tmp_path / "kept"
    (folder / SIDE).mkdir(parents=True)
    for name in STREAMS:
        (folder / name).write_bytes(b"".join(captured.rounds))
        (folder / SIDE / f"{name}.{0:020d}.index").write_bytes(b"LFsegm01" + bytes(500))
    copied = replace(captured, folder=folder)
    with iter_merged(copied.sources(), TEXT, workers=0) as merged:
        assert len(b"".join(merged)) == len(captured.expected())


def entries(size: int) -> Iterator[tuple[int, int]]:
    """Yield ends and times, one for each byte."""
    yield from ((n + 1, BEGIN_NS + n) for n in range(size))


def test_times_of_one_block_are_bounded(tmp_path: Path) -> None:
    """Of very many times that are noted of one block, so many are told, spread over the block."""
    (tmp_path / SIDE).mkdir()
    (tmp_path / "out.log").write_bytes(bytes(3 * MAX_TIMES))
    status = (tmp_path / "out.log").stat()
    key = (status.st_dev, status.st_ino)
    noted = b"".join(chunks.Entry(end, ns, 0).pack() for end, ns in entries(3 * MAX_TIMES))
    (tmp_path / SIDE / "out.log.0.index").write_bytes(chunks.Header(0, key, 0).pack() + noted)
    times = Arrivals(str(tmp_path / "out.log"), None).of(key, 10, 3 * MAX_TIMES - 20, 0)
    assert MAX_TIMES - 10 <= len(times) <= MAX_TIMES + 2
    assert times[0] == (0, BEGIN_NS + 10)
    assert {ns - offset - BEGIN_NS for offset, ns in times[1:-1]} == {12}
    offset, ns = times[-1]
    assert 0 < 3 * MAX_TIMES - 20 - offset <= 3
    assert ns == BEGIN_NS + 3 * MAX_TIMES - 11
