"""The drivers of a merge: the same bytes whoever reads, failures that stay theirs, everything released at any point."""

from __future__ import annotations

import gc
import os
import random
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from logflume.cursor import Cursor
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.merge import How, Merged, iter_merged
from logflume.readahead import MAX_WORKERS, block_bytes_for, blocks_ahead_for
from logflume.records import Dedup, Gap, GapReason, Identity, Output, Position
from logflume.sources.local import LocalSource
from logflume.sources.memory import BytesSource
from logflume.testing import FakeReader, FakeSource, LiveFile
from tests.drive import merge_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from logflume.abc import Source

TEXT = How(output=Output.TEXT)
WORKERS = [0, 1, 3]


def lines_of(source: int, count: int = 300, *, step: int = 3, first: int = 0) -> bytes:
    """Return sorted lines, one each ``step`` seconds from ``first + source`` on; some have more lines."""
    lines = []
    for number in range(count):
        second = first + source + number * step
        lines.append(f"2024-11-20T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z source {source}\n")
        if number % 7 == 0:
            lines.append(f"  and more of {source}\n\n")
    return "".join(lines).encode()


def cut_often(name: str, data: bytes) -> FakeSource:
    """Return a source whose blocks end anywhere."""
    luck = random.Random(name)
    return FakeSource(name, data, cuts=luck.sample(range(len(data)), min(len(data), 40)))


def opened_bytes(merged: Merged) -> bytes:
    """Read to the end."""
    return b"".join(merged)


def resources() -> tuple[set[str], int]:
    """Return the names of threads, and how many descriptors are open."""
    return {thread.name for thread in threading.enumerate()}, len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], None]]:
    """Give a check that threads and descriptors are those of the beginning; it is made at the end as well."""
    before = resources()

    def check() -> None:
        assert resources() == before

    yield check
    check()


class Telling(FakeSource):
    """Tells when a read of it begins: at the stall, a reader is certainly under way."""

    def __init__(self, name: str, data: bytes, *, stall_at: int) -> None:
        super().__init__(name, data, stall_at=stall_at)
        self.reading = threading.Event()
        self._stall_at = stall_at

    def open(self, start: int | Position = 0) -> FakeReader:
        reader = super().open(start)
        read = reader.read_block

        def read_block(max_bytes: int = 1 << 18) -> bytes:
            if reader._at == self._stall_at:
                self.reading.set()
            return read(max_bytes)

        reader.read_block = read_block  # type: ignore[method-assign]
        return reader


class Unopenable(FakeSource):
    """A source that cannot be opened, for a reason of its own."""

    def open(self, start: int | Position = 0) -> FakeReader:
        raise SourceFailed(Gap(self.name, GapReason.PERMISSION_DENIED, "It is not ours to read.", "Ask its owner."))


class Bug(Exception):
    """What a source raises that was not written as the contract asks."""


class Buggy(FakeSource):
    """A source with a bug at one place, or after so many blocks."""

    def __init__(self, name: str, data: bytes, *, where: str, blocks: int = 0) -> None:
        super().__init__(name, data, cuts=range(0, len(data), 1000))
        self.where = where
        self.blocks = blocks

    def open(self, start: int | Position = 0) -> FakeReader:
        if self.where == "open":
            raise Bug
        reader = super().open(start)
        read, left, close = reader.read_block, iter(range(self.blocks)), reader.close

        def read_block(max_bytes: int = 1 << 18) -> bytes:
            if next(left, None) is None:
                raise Bug
            return read(max_bytes)

        def position(offset: int) -> Position:
            raise Bug

        def close_badly() -> None:
            close()
            raise Bug

        if self.where == "read":
            reader.read_block = read_block  # type: ignore[method-assign]
        if self.where == "position":
            reader.position = position  # type: ignore[method-assign]
        if self.where == "close":
            reader.close = close_badly  # type: ignore[method-assign]
        return reader


# The same bytes


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
@pytest.mark.parametrize("sources", [0, 1, 2, 7, 40])
def test_whoever_reads_the_bytes_are_the_same(sources: int, output: Output, workers: int) -> None:
    """Without threads, with one, and with fewer than sources, the merge is that of the core alone."""
    data = [lines_of(number, step=sources) for number in range(sources)]
    merged = iter_merged(
        [cut_often(f"s{number}", each) for number, each in enumerate(data)], How(output=output), workers=workers
    )
    assert opened_bytes(merged) == merge_whole(data, output)


@pytest.mark.parametrize("workers", WORKERS)
def test_dedup_is_the_same(workers: int) -> None:
    """What stands in several sources comes once, or as often as it stands there."""
    data = [lines_of(0), lines_of(0), lines_of(1)]
    sources = [cut_often(f"s{number}", each) for number, each in enumerate(data)]
    with iter_merged(sources, TEXT, workers=workers) as merged:
        assert opened_bytes(merged) == merge_whole([data[0], data[2]])
        assert merged.stats()["duplicates"] == 300
    with iter_merged(sources, How(output=Output.TEXT, dedup=Dedup.OFF), workers=workers) as merged:
        assert len(opened_bytes(merged)) == sum(map(len, data))


@pytest.mark.parametrize("workers", WORKERS)
def test_a_source_of_nothing(workers: int) -> None:
    """Empty sources are sources: they have nothing to say, and are done."""
    with iter_merged(
        [BytesSource("a", b""), BytesSource("b", lines_of(1)), BytesSource("c", b"")], TEXT, workers=workers
    ) as merged:
        assert opened_bytes(merged) == lines_of(1)
        assert [report.state for report in merged.reports()] == ["done"] * 3


@pytest.mark.parametrize("block_bytes", [0, 1, 100, 5_000, 1 << 20])
@pytest.mark.parametrize("workers", WORKERS)
def test_blocks_are_whole_records_and_no_larger_than_asked(block_bytes: int, workers: int) -> None:
    """A block ends with a record; only a single record may be longer than a block should be."""
    data = [lines_of(number) for number in range(3)]
    sources = [cut_often(f"s{number}", each) for number, each in enumerate(data)]
    blocks = list(iter_merged(sources, TEXT, workers=workers, block_bytes=block_bytes))
    assert b"".join(blocks) == merge_whole(data)
    longest_record = len(b"2024-11-20T00:00:00Z source 0\n  and more of 0\n\n")
    assert max(map(len, blocks)) <= max(block_bytes, longest_record)
    assert all(block.startswith(b"2024") and block.endswith(b"\n") for block in blocks)
    assert len(blocks) >= len(b"".join(data)) // max(block_bytes, longest_record)


def test_many_sources_read_smaller_blocks() -> None:
    """What all sources read at once is bounded, down to a size that is still worth reading."""
    assert block_bytes_for(0) == block_bytes_for(1) == block_bytes_for(128) == 512 * 1024
    assert block_bytes_for(1000) == 64 * 1024 * 1024 // 1000
    assert block_bytes_for(100_000) == 32 * 1024
    assert [blocks_ahead_for(count) for count in (0, 1, 64, 65, 1000, 100_000)] == [2, 2, 2, 1, 1, 1]


def test_a_system_without_threads_still_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, or only one, those that there are read; nobody waits for the others."""
    start = threading.Thread.start
    allowed = iter([True])

    def start_one(thread: threading.Thread) -> None:
        if not next(allowed, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    data = [lines_of(number) for number in range(3)]
    for _ in range(2):  # with one thread, and with none
        sources = [cut_often(f"s{number}", each) for number, each in enumerate(data)]
        assert opened_bytes(iter_merged(sources, TEXT, workers=3)) == merge_whole(data)


def test_threads_are_bounded() -> None:
    """However many workers are asked for, there are at most two threads a source, and never more than a few."""
    before = threading.active_count()
    with iter_merged([BytesSource(str(number), b"") for number in range(3)], workers=50):
        assert threading.active_count() - before <= 6
    with iter_merged([BytesSource(str(number), b"") for number in range(MAX_WORKERS + 5)], workers=1000):
        assert threading.active_count() - before <= MAX_WORKERS


# Sources that fail


@pytest.mark.parametrize("workers", WORKERS)
def test_a_source_that_cannot_be_opened(workers: int, nothing_left: Callable[[], None]) -> None:
    """It is a Gap with its reason; the others are merged as if it were not there."""
    data = [lines_of(0), lines_of(2)]
    sources = [FakeSource("a", data[0]), Unopenable("b", lines_of(1)), FakeSource("c", data[1])]
    with iter_merged(sources, TEXT, workers=workers) as merged:
        assert opened_bytes(merged) == merge_whole(data)
    assert [(gap.source, gap.reason) for gap in merged.gaps] == [("b", GapReason.PERMISSION_DENIED)]
    reports = merged.reports()
    assert [report.state for report in reports] == ["done", "failed", "done"]
    assert [report.bytes_read for report in reports] == [len(data[0]), 0, len(data[1])]
    assert [len(report.gaps) for report in reports] == [0, 1, 0]
    assert [source.open_readers for source in sources] == [0, 0, 0]
    nothing_left()


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("fail_at", [0, 1, 4_000, -1])
def test_a_source_that_fails_while_it_is_read(fail_at: int, workers: int, nothing_left: Callable[[], None]) -> None:
    """What came before is merged, half a line too; the rest is a Gap; the others go on to their end."""
    data = [lines_of(number) for number in range(3)]
    fail_at %= len(data[1]) + 1
    sources = [cut_often("a", data[0]), FakeSource("b", data[1], fail_at=fail_at), cut_often("c", data[2])]
    with iter_merged(sources, TEXT, workers=workers) as merged:
        assert opened_bytes(merged) == merge_whole([data[0], data[1][:fail_at], data[2]])
    assert [(gap.source, gap.reason, gap.offset) for gap in merged.gaps] == [("b", GapReason.UNREADABLE, fail_at)]
    assert [report.state for report in merged.reports()] == ["done", "failed", "done"]
    assert [report.bytes_read for report in merged.reports()] == [len(data[0]), fail_at, len(data[2])]
    assert [source.open_readers for source in sources] == [0, 0, 0]
    nothing_left()


@pytest.mark.parametrize("workers", WORKERS)
def test_all_sources_fail(workers: int) -> None:
    """A log of which nothing can be read is empty, with all the reasons, and no error."""
    sources = [Unopenable("a"), FakeSource("b", lines_of(0), fail_at=0)]
    with iter_merged(sources, TEXT, workers=workers) as merged:
        assert opened_bytes(merged) == b""
        assert [gap.reason for gap in merged.gaps] == [GapReason.PERMISSION_DENIED, GapReason.UNREADABLE]


def test_gaps_that_a_reader_reports_are_told_with_its_own_failure() -> None:
    """Gaps come source by source, in the order met, those of the reader before its failure."""
    gap = Gap("b", GapReason.ROTATED_AWAY, "Some of it is gone.", "Keep more.", offset=10)
    sources = [FakeSource("a", lines_of(0)), FakeSource("b", lines_of(1), fail_at=40, gaps=[gap])]
    with iter_merged(sources, TEXT) as merged:
        opened_bytes(merged)
        assert [(gap.reason, gap.offset) for gap in merged.gaps] == [(gap.reason, 10), (GapReason.UNREADABLE, 40)]
        assert merged.reports()[1].gaps == tuple(merged.gaps)


# Sources with bugs


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_bug_in_a_source_is_raised_once(workers: int, blocks: int, nothing_left: Callable[[], None]) -> None:
    """An exception that no contract knows comes to the caller as it is; then all is released, and the end."""
    sources = [
        FakeSource("a", lines_of(0)),
        Buggy("b", lines_of(1), where="read", blocks=blocks),
        FakeSource("c", lines_of(2)),
    ]
    merged = iter_merged(sources, TEXT, workers=workers, block_bytes=500)
    with pytest.raises(Bug):
        opened_bytes(merged)
    assert [source.open_readers for source in sources] == [0, 0, 0]
    nothing_left()
    assert list(merged) == []
    assert merged.cursor() == merged.cursor()
    merged.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_a_bug_in_open_is_raised(workers: int, nothing_left: Callable[[], None]) -> None:
    """What was opened before is closed again."""
    sources = [FakeSource("a", lines_of(0)), Buggy("b", lines_of(1), where="open")]
    with pytest.raises(Bug):
        iter_merged(sources, TEXT, workers=workers)
    assert [source.opened for source in sources] == [1, 0]
    assert [source.open_readers for source in sources] == [0, 0]
    nothing_left()


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("where", ["position", "close"])
def test_a_bug_while_closing_leaves_nothing_open(where: str, workers: int, nothing_left: Callable[[], None]) -> None:
    """The other sources are closed all the same, and a second close is quiet."""
    sources = [Buggy("a", lines_of(0), where=where), FakeSource("b", lines_of(1)), Buggy("c", lines_of(2), where=where)]
    merged = iter_merged(sources, TEXT, workers=workers, block_bytes=500)
    next(merged)
    with pytest.raises(Bug):
        merged.close()
    assert [source.open_readers for source in sources] == [0, 0, 0]
    nothing_left()
    merged.close()


# Closing


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("blocks", [0, 1, 5, 10_000])
def test_closing_at_any_point_releases_everything(
    blocks: int, workers: int, tmp_path: Path, nothing_left: Callable[[], None]
) -> None:
    """Before the first block, in the middle, at the end: no descriptor and no thread is left; closing twice is fine."""
    paths = [tmp_path / f"{number}.log" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(lines_of(number))
    merged = iter_merged([LocalSource(path) for path in paths], TEXT, workers=workers, block_bytes=500)
    for _, _ in zip(range(blocks), merged, strict=False):
        pass
    merged.close()
    nothing_left()
    merged.close()
    assert list(merged) == []


def test_the_end_releases_everything(nothing_left: Callable[[], None]) -> None:
    """A merge that is read to its end needs no close."""
    sources = [FakeSource(name, lines_of(0)) for name in "abc"]
    merged = iter_merged(sources, workers=3)
    opened_bytes(merged)
    assert [source.open_readers for source in sources] == [0, 0, 0]
    nothing_left()


def test_leaving_a_with_block_releases_everything(nothing_left: Callable[[], None]) -> None:
    """By an exception, too."""
    source = FakeSource("a", lines_of(0))
    with suppress(Bug), iter_merged([source], workers=1):
        raise Bug
    assert source.open_readers == 0


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("blocks", [0, 2])
def test_a_merge_that_is_dropped_releases_everything(blocks: int, workers: int) -> None:
    """Whoever forgets to close it leaves nothing behind, once the last reference is gone."""
    sources = [FakeSource(name, lines_of(number)) for number, name in enumerate("abc")]
    before = set(threading.enumerate())
    merged = iter_merged(sources, workers=workers, block_bytes=500)
    for _, _ in zip(range(blocks), merged, strict=False):
        pass
    threads = set(threading.enumerate()) - before
    assert len(threads) == workers
    del merged
    gc.collect()
    for thread in threads:
        thread.join()
    assert [source.open_readers for source in sources] == [0, 0, 0]


def test_a_dropped_merge_waits_for_no_read() -> None:
    """Dropping it while a source is stalled comes back at once; what is being read is closed when it is over."""
    stalled = Telling("a", lines_of(0), stall_at=0)
    before = set(threading.enumerate())
    merged = iter_merged([stalled, FakeSource("b", lines_of(1))], workers=1)
    stalled.reading.wait()
    (thread,) = set(threading.enumerate()) - before
    del merged
    gc.collect()
    assert stalled.open_readers == 1
    stalled.release()
    thread.join()
    assert stalled.open_readers == 0


@pytest.mark.parametrize("workers", WORKERS)
def test_closing_from_another_thread_waits_for_one_read_only(workers: int, nothing_left: Callable[[], None]) -> None:
    """While a slow source is read, close waits until that read is over, and no other one is begun for it."""
    slow = Telling("slow", lines_of(0), stall_at=0)
    never = [Telling(f"never{number}", lines_of(number), stall_at=0) for number in range(4)]
    with closing(iter_merged([slow, *never], TEXT, workers=min(workers, 1))) as merged:
        read: list[bytes] = []
        reading = threading.Thread(target=lambda: read.extend(merged))
        reading.start()
        slow.reading.wait()
        closer = threading.Thread(target=merged.close)
        closer.start()
        while not merged._stopped:
            pass
        slow.release()
        closer.join()
        reading.join()
    assert read == []
    assert not any(source.reading.is_set() for source in never)
    assert [source.open_readers for source in [slow, *never]] == [0] * 5


def test_two_threads_may_close(nothing_left: Callable[[], None]) -> None:
    """Each close comes back when all is released, whoever did it."""
    source = FakeSource("a", lines_of(0))
    merged = iter_merged([source], workers=1, block_bytes=100)
    next(merged)
    closers = [threading.Thread(target=merged.close) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert source.open_readers == 0


@pytest.mark.parametrize("workers", WORKERS)
def test_an_interrupted_read_ends_the_merge(workers: int, nothing_left: Callable[[], None]) -> None:
    """After Ctrl-C in a read nothing is read on, for bytes could come twice or in another order."""

    class Interrupted(FakeSource):
        def open(self, start: int | Position = 0) -> FakeReader:
            reader = super().open(start)

            def read_block(max_bytes: int = 1 << 18) -> bytes:
                raise KeyboardInterrupt

            reader.read_block = read_block  # type: ignore[method-assign]
            return reader

    merged = iter_merged([FakeSource("a", lines_of(0)), Interrupted("b", lines_of(1))], TEXT, workers=workers)
    with pytest.raises(KeyboardInterrupt):
        next(merged)
    assert list(merged) == []


# Cursors


def rest_from(cursor: Cursor, sources: list[Source], how: How = TEXT, workers: int = 0) -> bytes:
    """Return what follows a cursor."""
    return opened_bytes(iter_merged(sources, how, start=cursor, workers=workers))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
def test_a_cursor_resumes_after_any_block(output: Output, workers: int) -> None:
    """What was read and what follows its cursor are the whole, byte for byte, and no old byte is read."""
    how = How(output=output)
    data = [lines_of(number, 60) for number in range(3)]
    sources: list[Source] = [cut_often(f"s{number}", each) for number, each in enumerate(data)]
    whole = merge_whole(data, output)
    read = b""
    with iter_merged(sources, how, workers=workers, block_bytes=700) as merged:
        assert rest_from(merged.cursor(), sources, how, workers) == whole
        for block in merged:
            read += block
            assert read + rest_from(merged.cursor(), sources, how, workers) == whole
    assert read == whole
    assert rest_from(merged.cursor(), sources, how, workers) == b""


def test_resuming_reads_no_old_byte() -> None:
    """A merge that starts at a cursor reads what follows it, and an up-to-date one reads nothing."""
    sources = [FakeSource(f"s{number}", lines_of(number)) for number in range(3)]
    with iter_merged(sources, TEXT, workers=0, block_bytes=5_000) as merged:
        given = len(next(merged))
        cursor = merged.cursor()
        opened_bytes(merged)
    read = sum(source.read_bytes for source in sources)
    assert len(rest_from(cursor, list(sources))) == read - given
    assert sum(source.read_bytes for source in sources) == read + read - given
    assert rest_from(merged.cursor(), list(sources)) == b""
    assert sum(source.read_bytes for source in sources) == read + read - given


@pytest.mark.parametrize("workers", WORKERS)
def test_a_cursor_after_close_is_that_of_the_last_block(workers: int) -> None:
    """Closing changes no cursor, however much was read ahead."""
    data = [lines_of(number) for number in range(3)]
    sources: list[Source] = [cut_often(f"s{number}", each) for number, each in enumerate(data)]
    merged = iter_merged(sources, TEXT, workers=workers, block_bytes=1_000)
    read = next(merged) + next(merged)
    before = merged.cursor()
    merged.close()
    assert merged.cursor() == before
    assert read + rest_from(before, sources) == merge_whole(data)


def test_a_cursor_goes_on_in_grown_sources() -> None:
    """What is appended after the end comes when the merge is resumed, and nothing else."""
    sources = [FakeSource(f"s{number}", lines_of(number)) for number in range(2)]
    merged = iter_merged(sources, TEXT)
    opened_bytes(merged)
    for number, source in enumerate(sources):
        source.append(lines_of(number, 5, first=50_000))
    assert rest_from(merged.cursor(), list(sources)) == merge_whole(
        [lines_of(number, 5, first=50_000) for number in range(2)]
    )


def test_lines_that_follow_a_cursor_keep_their_time() -> None:
    """A traceback that was appended after its error was read has its time, and comes before later records of others."""
    sources = [FakeSource("a", b"2024-11-20T00:00:05Z failed\n"), FakeSource("b", b"2024-11-20T00:00:01Z begin\n")]
    merged = iter_merged(sources, TEXT)
    opened_bytes(merged)
    sources[0].append(b"Traceback\n")
    sources[1].append(b"2024-11-20T00:00:06Z end\n")
    assert rest_from(merged.cursor(), list(sources)) == b"Traceback\n2024-11-20T00:00:06Z end\n"


def test_a_cursor_knows_a_last_line_without_a_newline() -> None:
    """A line that follows it in a resumed merge stands on a line of its own, as in a merge that went on."""
    data = [b"2024-11-20T00:00:01Z no newline", b"2024-11-20T00:00:02Z of another source\n"]
    sources: list[Source] = [BytesSource(f"s{number}", each) for number, each in enumerate(data)]
    with iter_merged(sources, TEXT, block_bytes=1) as merged:
        read = next(merged)
        assert read + rest_from(Cursor.from_token(merged.cursor().token()), sources) == merge_whole(data)


def test_a_line_that_goes_on_after_a_cursor_goes_on() -> None:
    """No newline comes between the two halves of a line of one source."""
    source = FakeSource("a", b"2024-11-20T00:00:01Z one ")
    merged = iter_merged([source], TEXT)
    read = opened_bytes(merged)
    source.append(b"two\n")
    assert read + rest_from(merged.cursor(), [source]) == b"2024-11-20T00:00:01Z one two\n"


def test_sources_that_are_new_since_come_from_their_start() -> None:
    """A resumed merge reads them whole, in the order of the sources as they are now."""
    first, new = BytesSource("a", lines_of(0)), BytesSource("b", lines_of(1))
    merged = iter_merged([first], TEXT)
    opened_bytes(merged)
    assert rest_from(merged.cursor(), [new, first]) == lines_of(1)


def test_a_source_that_could_not_be_opened_is_read_when_it_can_be() -> None:
    """The cursor of a merge that missed it begins with its first byte."""
    merged = iter_merged([Unopenable("a"), BytesSource("b", lines_of(1))], TEXT)
    opened_bytes(merged)
    again = iter_merged([Unopenable("a"), BytesSource("b", lines_of(1))], TEXT, start=merged.cursor())
    assert opened_bytes(again) == b""
    assert rest_from(again.cursor(), [BytesSource("a", lines_of(0)), BytesSource("b", lines_of(1))]) == lines_of(0)


def test_a_source_that_failed_is_resumed_where_it_failed() -> None:
    """No byte of it comes twice, and none is missing."""
    data = lines_of(0)
    broken = FakeSource("a", data, fail_at=data.index(b"\n", 2_000) + 1)
    merged = iter_merged([broken], TEXT)
    read = opened_bytes(merged)
    broken._stage.fail_at = None
    assert read + rest_from(merged.cursor(), [broken]) == data


@pytest.mark.parametrize("workers", WORKERS)
def test_a_source_that_is_gone_makes_a_cursor_expire(workers: int, nothing_left: Callable[[], None]) -> None:
    """Its bytes are gone from this log: that is told, and nothing was opened."""
    sources = [FakeSource("a", lines_of(0)), FakeSource("b", lines_of(1))]
    with iter_merged(sources, TEXT) as merged:
        next(merged)
    opened = [source.opened for source in sources]
    with pytest.raises(CursorExpired, match="b"):
        iter_merged(sources[:1], TEXT, start=merged.cursor(), workers=workers)
    assert [source.opened for source in sources] == opened


@pytest.mark.parametrize("workers", WORKERS)
def test_replaced_bytes_make_a_cursor_expire(workers: int, nothing_left: Callable[[], None]) -> None:
    """A source that holds other bytes now is never read on from an old place; those opened before it are closed."""
    sources = [FakeSource("a", lines_of(0)), FakeSource("b", lines_of(1))]
    with iter_merged(sources, TEXT) as merged:
        next(merged)
    sources[1].replace(b"other bytes\n")
    with pytest.raises(CursorExpired):
        iter_merged(sources, TEXT, start=merged.cursor(), workers=workers)
    assert [source.open_readers for source in sources] == [0, 0]


def test_a_position_that_is_none_is_the_callers_mistake(nothing_left: Callable[[], None]) -> None:
    """A cursor made up by hand, with an offset that cannot be, is refused by the source, and nothing stays open."""
    from logflume.cursor import Cursor, Mark

    made_up = Cursor((Mark("a", Position(Identity("x", "y", 0), -1), 0),))
    with pytest.raises((UsageError, CursorExpired)):
        iter_merged([BytesSource("a", lines_of(0))], TEXT, start=made_up)


def test_a_cursor_while_a_rotated_set_is_read_ahead(tmp_path: Path) -> None:
    """A place is named in the file that holds it, even when another thread has gone on to the next files."""
    with LiveFile(tmp_path / "x.log") as live:
        for number in range(8):
            live.write(lines_of(0, 200, first=number * 1000))
            live.rotate()
        live.write(b"2024-11-20T23:00:00Z end\n")
    source = LocalSource(live.path)
    whole = opened_bytes(iter_merged([source], TEXT, workers=0))
    read = b""
    with iter_merged([source], TEXT, workers=1, block_bytes=1_000) as merged:
        for block in merged:
            read += block
            assert read + rest_from(merged.cursor(), [source]) == whole


# What was counted


@pytest.mark.parametrize("workers", WORKERS)
def test_stats_and_reports_add_up(workers: int) -> None:
    """Bytes read are bytes scanned, source by source; what came out is what was scanned less repeats."""
    data = [lines_of(0), lines_of(1), lines_of(0)]
    sources = [cut_often(f"s{number}", each) for number, each in enumerate(data)]
    with iter_merged(sources, How(output=Output.TEXT, levels=True), workers=workers) as merged:
        out = opened_bytes(merged)
    stats, reports = merged.stats(), merged.reports()
    assert (
        [report.bytes_read for report in reports]
        == [each["bytes"] for each in stats["sources"]]
        == list(map(len, data))
    )
    assert [report.name for report in reports] == ["s0", "s1", "s2"]
    assert all(report.open_s >= 0 for report in reports)
    assert stats["bytes"] == sum(map(len, data))
    assert stats["records"] == stats["records_out"] + stats["duplicates"] == 900
    assert stats["lines"] == sum(each.count(b"\n") for each in data)
    assert stats["bytes_out"] == stats["source_bytes_out"] == len(out)
    assert stats["levels"] == [900, 0, 0, 0, 0, 0]


def test_reports_tell_who_is_being_read() -> None:
    """Before the end a source is read; afterwards it is done, also when asked after close."""
    with iter_merged([BytesSource("a", lines_of(0))], workers=0, block_bytes=100) as merged:
        next(merged)
        assert [report.state for report in merged.reports()] == ["reading"]
        opened_bytes(merged)
        assert [report.state for report in merged.reports()] == ["done"]
    assert [report.state for report in merged.reports()] == ["done"]
