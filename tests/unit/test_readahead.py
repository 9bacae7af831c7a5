"""Blocks scanned ahead: in order, each once, however many threads share a source."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from logflume.merge import How
from logflume.readahead import MAX_BLOCKS_AHEAD, MIN_BLOCK_BYTES, ScannedAhead, Stopped, Workers
from logflume.records import Output, Position
from tests.drive import merge_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from logflume.abc import Reader
    from logflume.records import Gap

LINE = b"2024-11-20T12:%02d:%02d.%03dZ %s\n"


class Blocks:
    """A reader of given blocks; an exception among them is raised."""

    def __init__(self, blocks: list[bytes | BaseException]) -> None:
        self.start = 0
        self.gaps: list[Gap] = []
        self.sizes: list[int] = []
        self.inside = 0
        self._blocks = list(blocks)

    def read_block(self, max_bytes: int = 1 << 18) -> bytes:
        """Return the next one."""
        self.inside += 1
        assert self.inside == 1, "two threads read at once"
        self.sizes.append(max_bytes)
        time.sleep(0)
        block = self._blocks.pop(0) if self._blocks else b""
        self.inside -= 1
        if isinstance(block, BaseException):
            raise block
        return block

    def position(self, offset: int) -> Position:
        """Nobody asks."""
        raise NotImplementedError(offset)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def log(luck: Random, lines: int) -> bytes:
    """A log, some of its lines without a time, some late."""
    moments = sorted(luck.randrange(3_600_000) for _ in range(lines))
    made = []
    for moment in moments:
        ms = moment if luck.random() < 0.98 else luck.randrange(3_600_000)
        made.append(LINE % (ms // 60_000, ms // 1000 % 60, ms % 1000, b"x" * luck.randrange(80)))
        made.extend([b"  without a time\n"] * (luck.randrange(4) if luck.random() < 0.1 else 0))
    return b"".join(made)


def cut(luck: Random, data: bytes, size: int) -> list[bytes | BaseException]:
    """Cut it into blocks of about that size."""
    blocks: list[bytes | BaseException] = []
    while data:
        length = luck.randrange(1, 2 * size)
        blocks.append(data[:length])
        data = data[length:]
    return blocks


def take_all(ahead: ScannedAhead) -> None:
    """Take to the end."""
    while ahead.take():
        pass


def merged(reader: Reader, threads: int, luck: Random) -> Iterator[bytes]:
    """Merge one source that is read in so many threads."""
    merger = How(output=Output.TEXT).merger(1)
    scanner = merger.scanner(0)
    ahead = ScannedAhead(reader, scanner, 1)
    workers = Workers(1, threads)
    ahead.start(workers)
    try:
        while batch := ahead.take():
            merger.push(0, batch)
            while block := merger.take(1000):
                yield block
            if luck.random() < 0.2:
                time.sleep(0.001)
        merger.push(0, scanner.finish())
        merger.finish(0)
        while block := merger.take(1000):
            yield block
    finally:
        ahead.stop()
        workers.close()


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("size", [30, 1000, 20_000])
def test_one_source_in_any_number_of_threads(threads: int, size: int) -> None:
    """What comes out does not depend on who scanned what."""
    luck = Random(size)
    data = log(luck, 3000)
    got = b"".join(merged(Blocks(cut(luck, data, size)), threads, luck))
    assert got == merge_whole([data])


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_comes_after_what_was_read_before_it(threads: int) -> None:
    """What a reader raises is raised in its place."""
    luck = Random(1)
    data = log(luck, 300)
    reader = Blocks([*cut(luck, data, 500), OSError("the disk")])
    got: list[bytes] = []
    with pytest.raises(OSError, match="the disk"):
        got.extend(merged(reader, threads, luck))
    assert data.startswith(b"".join(got)[:-2000])
    assert len(b"".join(got)) > len(data) - 2000


def test_no_more_is_read_than_may_wait() -> None:
    """A consumer that asks for nothing keeps a source from being read on."""
    luck = Random(2)
    reader = Blocks(cut(luck, log(luck, 1000), 1000))
    merger = How().merger(1)
    ahead = ScannedAhead(reader, merger.scanner(0), 1)
    workers = Workers(1, 2)
    ahead.start(workers)
    deadline = time.monotonic() + 10
    while len(reader.sizes) < MAX_BLOCKS_AHEAD and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(reader.sizes) == MAX_BLOCKS_AHEAD
    for taken in range(1, 20):
        ahead.take()
        assert len(reader.sizes) <= taken + MAX_BLOCKS_AHEAD
    ahead.stop()
    workers.close()
    with pytest.raises(Stopped):
        take_all(ahead)


def test_a_source_is_read_in_small_blocks_until_its_first_time() -> None:
    """Until then each line is a record, and takes more memory than its bytes."""
    reader = Blocks([b"no time\n", b"none either\n", LINE % (1, 1, 1, b"x"), b"more\n"])
    merger = How().merger(1)
    ahead = ScannedAhead(reader, merger.scanner(0), 1)
    take_all(ahead)
    assert reader.sizes == [MIN_BLOCK_BYTES] * 3 + [512 * 1024] * 2


def test_stop_wakes_who_waits() -> None:
    """Whoever waits for a source that says nothing is told that it is over."""
    going_on = threading.Event()

    class Silent(Blocks):
        def read_block(self, max_bytes: int = 1 << 18) -> bytes:
            going_on.wait(10)
            return super().read_block(max_bytes)

    merger = How().merger(1)
    ahead = ScannedAhead(Silent([]), merger.scanner(0), 1)
    workers = Workers(1, 1)
    ahead.start(workers)
    threading.Timer(0.02, ahead.stop).start()
    with pytest.raises(Stopped):
        ahead.take()
    going_on.set()
    workers.close()
