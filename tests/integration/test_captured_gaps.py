"""What a capture gave up, or what was changed since: readers of every kind say so, and show all the rest."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from logflume.catalog import log_of_paths
from logflume.follow import iter_followed
from logflume.index import LogIndex
from logflume.indexcache import IndexCache
from logflume.merge import How, iter_merged
from logflume.records import Gap, GapReason, Output
from logflume.seek import tail
from logflume.ship.feed import Bases, Feed
from logflume.ship.segments import MIN_BUDGET_BYTES, Rules, Segments, Writer
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource
from tests.unit.test_segments import NAME, lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXT = How(output=Output.TEXT)


def merged(folder: Path) -> tuple[bytes, list[Gap]]:
    """Return what a merge gives of a folder, and what is missing."""
    with iter_merged(log_of_paths([str(folder)]).sources(), TEXT) as merge:
        return b"".join(merge), merge.gaps


def shipped(folder: Path) -> tuple[bytes, int]:
    """Return what a sink is offered of a folder, and how many bytes it is told are missing."""
    given, lost_bytes = b"", 0
    with contextlib.closing(Feed(LocalSource(folder / NAME), None, Bases(folder, NAME))) as feed:
        while batch := feed.next_batch(last=True):
            given += batch.block
            lost_bytes += batch.lost_bytes
    return given, lost_bytes


def reasons(gaps: Sequence[Gap]) -> list[tuple[GapReason, int | None]]:
    """Return why bytes are missing, and how many."""
    return [(gap.reason, gap.lost_bytes) for gap in gaps]


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """Capture 200 kB within a budget of 64 KiB: whole files were given up."""
    segments = Segments(tmp_path, NAME, Rules(MIN_BUDGET_BYTES))
    segments.append(lines(10_000))
    segments.close()
    return tmp_path


@pytest.fixture
def punched(tmp_path: Path) -> Path:
    """Do the same where the command writes itself: there is a hole."""
    segments = Segments(tmp_path, NAME, Rules(MIN_BUDGET_BYTES), writer=Writer.CHILD)
    for start in range(0, 10_000, 1000):
        os.write(segments.descriptor, lines(1000, start))
        segments.tick()
    segments.close()
    return tmp_path


def test_files_that_were_given_up_are_a_gap(rotated: Path) -> None:
    """A merge says how many bytes came before what is left; a sink is told the same, once."""
    given, gaps = merged(rotated)
    assert lines(10_000).endswith(given)
    assert len(given) <= MIN_BUDGET_BYTES
    assert reasons(gaps) == [(GapReason.EXPIRED, 200_000 - len(given))]
    offered, lost_bytes = shipped(rotated)
    assert lost_bytes == 200_000 - len(given)
    assert offered.count(b"logflume") == 1
    assert offered.endswith(given)


@pytest.mark.parametrize("kind", ["rotated", "punched"])
def test_every_reader_comes_across_what_is_missing(kind: str, request: pytest.FixtureRequest) -> None:
    """A log of which bytes were given up is followed, and has its tail; what is left is the same everywhere."""
    folder: Path = request.getfixturevalue(kind)
    log = log_of_paths([str(folder)])
    given, gaps = merged(folder)
    assert [gap.reason for gap in gaps] == [GapReason.EXPIRED]
    with iter_followed(log, TEXT, ended=lambda: True) as followed:
        assert b"".join(followed) == given
        assert reasons(followed.gaps) == reasons(gaps)
    kept = given.splitlines(keepends=True)
    assert b"".join(tail(log.sources(), 10, TEXT)) == b"".join(kept[-10:])


def require_rows(index: LogIndex, folder: Path) -> None:
    """Build an index, and look whether it finds lines where a merge has them."""
    index.build()
    kept = merged(folder)[0].splitlines(keepends=True)
    assert index.progress.complete
    assert index.progress.done_bytes == index.progress.total_bytes
    assert index.totals.lines == len(kept)
    for first in (0, 1, len(kept) // 2, len(kept) - 2):
        assert b"".join(index.iter_rows(first, 5)) == b"".join(kept[first : first + 5])


@pytest.mark.parametrize("kind", ["rotated", "punched"])
def test_what_is_left_is_indexed(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Lines of a log of which bytes were given up are counted from what is left; also by an index that was kept."""
    folder: Path = request.getfixturevalue(kind)
    cache = IndexCache(tmp_path_factory.mktemp("cache"))
    for _ in range(2):
        with LogIndex(log_of_paths([str(folder)]), TEXT, cache=cache) as index:
            require_rows(index, folder)


def test_an_index_follows_a_hole_that_grows(tmp_path: Path) -> None:
    """While a command writes and the oldest bytes are given up, lines are found where a merge has them."""
    segments = Segments(tmp_path / "kept", NAME, Rules(MIN_BUDGET_BYTES), writer=Writer.CHILD)
    with LogIndex(log_of_paths([str(tmp_path / "kept")]), TEXT, cache=IndexCache(tmp_path / "cache")) as index:
        for start in range(0, 10_000, 2000):
            os.write(segments.descriptor, lines(2000, start))
            segments.tick()
            require_rows(index, tmp_path / "kept")
    segments.close()


def test_offsets_leave_out_what_was_given_up(punched: Path) -> None:
    """A reader that begins at an offset gives what one from the beginning gives from there on."""
    source = LocalSource(punched / NAME)
    with source.open() as whole:
        left = b"".join(iter(whole.read_block, b""))
        assert source.peek_size() == len(left)
        for offset in (0, 1, 4095, 4096, 4097, 10_000, len(left) - 1, len(left)):
            with source.open(offset) as part:
                assert part.start == offset
                assert b"".join(iter(part.read_block, b"")) == left[offset:]
            with source.open(whole.position(offset)) as part:
                assert part.start == offset
                assert b"".join(iter(part.read_block, b"")) == left[offset:]


def test_bytes_that_were_changed_are_a_gap_and_come_all_the_same(tmp_path: Path) -> None:
    """Where a byte of a captured file is another one now, the stretch is told; nothing is left out."""
    segments = Segments(tmp_path, NAME)
    for start in range(0, 50_000, 5000):
        segments.append(lines(5000, start))
        segments.tick(to_end=True)
    segments.close()
    with (tmp_path / NAME).open("r+b") as file:
        file.seek(350_003)
        file.write(b"X")
    given, gaps = merged(tmp_path)
    assert given == (tmp_path / NAME).read_bytes()
    assert reasons(gaps) == [(GapReason.CORRUPT, 100_000)]
    assert "bytes 300000 to 400000" in gaps[0].detail
    offered, lost_bytes = shipped(tmp_path)
    assert lost_bytes == 100_000
    assert offered.count(b'"reason": "corrupt"') == 1
    assert b"".join(line for line in offered.splitlines(keepends=True) if line[:1] != b"{") == given


def test_a_damaged_index_is_set_aside_when_the_stream_is_opened_again(tmp_path: Path) -> None:
    """What cannot be believed is kept under another name, and nothing of the output is lost."""
    segments = Segments(tmp_path, NAME)
    segments.append(lines(1000))
    segments.close()
    (index,) = (tmp_path / SIDE).glob("*.index")
    index.write_bytes(b"no index")
    assert merged(tmp_path) == (lines(1000), [])
    Segments(tmp_path, NAME).close()
    assert index.with_suffix(".damaged").read_bytes() == b"no index"
    assert merged(tmp_path) == (lines(1000), [])
