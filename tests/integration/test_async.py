"""A merge in an event loop: the loop goes on whatever a source does, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from logflume.errors import CursorExpired, UsageError
from logflume.merge import How, aiter_merged, iter_merged
from logflume.readahead import MAX_BLOCK_BYTES, MAX_BLOCKS_AHEAD
from logflume.records import Output
from logflume.testing import FakeReader, FakeSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from logflume.abc import Source
    from logflume.cursor import Cursor
    from logflume.records import Position

T = TypeVar("T")

TEXT = How(output=Output.TEXT)


def lines_of(source: int, count: int = 500) -> bytes:
    """Return sorted lines."""
    seconds = range(source, source + 3 * count, 3)
    return b"".join(
        b"2024-11-20T%02d:%02d:%02dZ source %d\n" % (each // 3600, each // 60 % 60, each % 60, source)
        for each in seconds
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own; afterwards no thread of ours is left, and the loop had nothing to complain about."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        return await main

    outcome = asyncio.run(watched())
    gc.collect()
    assert complaints == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("logflume")]
    return outcome


def merged_of(
    sources: Sequence[Source], *, start: Cursor | None = None, block_bytes: int = 1000
) -> AsyncGenerator[bytes, None]:
    """Begin a merge; as a generator, to be closed with it."""
    merged = aiter_merged(sources, TEXT, start=start, block_bytes=block_bytes)
    assert hasattr(merged, "aclose")
    return merged  # type: ignore[return-value]


async def tick(times: int) -> None:
    """Let the loop go round so many times."""
    for _ in range(times):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go round until that is so."""
    while not condition():  # noqa: ASYNC110 - threads make it so, and have no event of the loop's
        await asyncio.sleep(0)


class SlowToOpen(FakeSource):
    """Tells when it is being opened, and is opened when it is let."""

    def __init__(self, name: str, data: bytes, *, failure: Exception | None = None) -> None:
        super().__init__(name, data)
        self.opening = threading.Event()
        self.may_open = threading.Event()
        self._failure = failure

    def open(self, start: int | Position = 0) -> FakeReader:
        self.opening.set()
        self.may_open.wait()
        if self._failure:
            raise self._failure
        return super().open(start)


def test_it_gives_what_the_synchronous_one_gives() -> None:
    """Block by block the same, with the same end."""
    sources = [FakeSource(f"s{number}", lines_of(number)) for number in range(3)]

    async def read() -> list[bytes]:
        return [block async for block in merged_of(sources)]

    assert run(read()) == list(iter_merged(sources, TEXT, block_bytes=1000))


def test_the_loop_goes_on_while_a_source_stalls() -> None:
    """Another coroutine runs while the merge waits for a source; that source goes on because of it."""
    data = [lines_of(0), lines_of(1)]
    stalled = FakeSource("stalled", data[0], stall_at=len(data[0]) // 2)

    async def release() -> None:
        await tick(1000)
        stalled.release()

    async def read() -> bytes:
        ticker = asyncio.create_task(release())
        read = b"".join([block async for block in merged_of([stalled, FakeSource("b", data[1])])])
        await ticker
        return read

    assert len(run(read())) == sum(map(len, data))


def test_the_loop_goes_on_while_a_source_is_opened() -> None:
    """Opening is no work of the loop either."""
    slow = SlowToOpen("slow", lines_of(0))

    async def open_it() -> None:
        await tick(1000)
        slow.may_open.set()

    async def read() -> bytes:
        ticker = asyncio.create_task(open_it())
        read = b"".join([block async for block in merged_of([slow])])
        await ticker
        return read

    assert run(read()) == lines_of(0)


def test_a_consumer_that_stops_reading_stops_the_sources() -> None:
    """Nothing is read that nobody asks for, but the blocks ahead and one in hand."""
    source = FakeSource("a", lines_of(0, 80_000))

    async def read_a_little() -> int:
        async with aclosing(merged_of([source])) as merged:
            await anext(merged)
            await tick(1000)
            return source.read_bytes

    assert run(read_a_little()) <= (1 + MAX_BLOCKS_AHEAD) * MAX_BLOCK_BYTES < source.peek_size()


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_closing_releases_everything(blocks: int) -> None:
    """Before the first block there is nothing to release; later all is released when aclose returns."""
    sources = [FakeSource(f"s{number}", lines_of(number)) for number in range(3)]

    async def read_a_little() -> list[int]:
        merged = merged_of(sources)
        for _ in range(blocks):
            await anext(merged)
        await merged.aclose()
        assert [block async for block in merged] == []
        return [source.open_readers for source in sources]

    assert run(read_a_little()) == [0, 0, 0]


def test_a_loop_that_ends_closes_what_was_left_open() -> None:
    """Breaking out of the iteration and returning is enough."""
    source = FakeSource("a", lines_of(0))

    async def read_a_little() -> None:
        async for _ in merged_of([source]):
            break

    run(read_a_little())
    assert source.open_readers == 0


def test_cancelling_a_stalled_read_releases_everything() -> None:
    """The cancelled task ends when the read under way does, and not before all is closed."""
    sources = [FakeSource("stalled", lines_of(0), stall_at=0), FakeSource("b", lines_of(1))]

    async def read() -> None:
        async for _ in merged_of(sources):
            pass

    async def cancel() -> None:
        task = asyncio.create_task(read())
        await until(lambda: all(source.open_readers for source in sources))
        await tick(100)
        task.cancel()
        await tick(100)
        assert not task.done()
        sources[0].release()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [source.open_readers for source in sources] == [0, 0]

    run(cancel())


def test_cancelling_twice_releases_everything() -> None:
    """An impatient second cancel ends the task at once; what is being read is closed when that is over."""
    stalled = FakeSource("stalled", lines_of(0), stall_at=0)

    async def read() -> None:
        async for _ in merged_of([stalled]):
            pass

    async def cancel() -> None:
        task = asyncio.create_task(read())
        await until(lambda: stalled.open_readers)
        for _ in range(2):
            task.cancel()
            await tick(100)
        assert task.cancelled()
        stalled.release()
        await until(lambda: not stalled.open_readers)

    run(cancel())


@pytest.mark.parametrize("failure", [None, CursorExpired("gone"), ZeroDivisionError()])
def test_cancelling_while_a_source_is_opened(failure: Exception | None) -> None:
    """What was being opened is closed once it is open, and whether it could be opened concerns nobody any more."""
    first, slow = FakeSource("first", lines_of(0)), SlowToOpen("slow", lines_of(1), failure=failure)

    async def read() -> None:
        async for _ in merged_of([first, slow]):
            pass

    async def cancel() -> None:
        task = asyncio.create_task(read())
        await until(slow.opening.is_set)
        task.cancel()
        await tick(100)
        slow.may_open.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [first.open_readers, slow.open_readers] == [0, 0]

    run(cancel())


def test_an_expired_cursor_is_raised() -> None:
    """Where the first block is asked for."""
    source = FakeSource("a", lines_of(0))
    with iter_merged([source], TEXT) as merged:
        next(merged)
    source.replace(b"other bytes\n")

    async def read() -> None:
        with pytest.raises(CursorExpired):
            await anext(merged_of([source], start=merged.cursor()))

    run(read())
    assert source.open_readers == 0


def test_what_cannot_be_used_is_raised() -> None:
    """A zone that is none is the caller's mistake here, too."""

    async def read() -> None:
        with pytest.raises(UsageError):
            await anext(aiter_merged([], How(zone="Mars/Olympus")))

    run(read())


def test_a_bug_in_a_source_is_raised() -> None:
    """It comes out of the iteration as it is, and everything is released."""

    class Buggy(FakeSource):
        def open(self, start: int | Position = 0) -> FakeReader:
            reader = super().open(start)
            reader.read_block = read_block  # type: ignore[method-assign]
            return reader

    def read_block(max_bytes: int = 0) -> bytes:
        raise ZeroDivisionError

    sources = [FakeSource("a", lines_of(0)), Buggy("b", lines_of(1))]

    async def read() -> None:
        with pytest.raises(ZeroDivisionError):
            await anext(merged_of(sources))

    run(read())
    assert [source.open_readers for source in sources] == [0, 0]


def test_many_at_once() -> None:
    """Merges side by side in one loop do not disturb each other, some of them ended early."""
    logs = [[FakeSource(f"s{log}-{number}", lines_of(number + log)) for number in range(3)] for log in range(30)]

    async def read(log: int) -> bytes:
        read = b""
        async with aclosing(merged_of(logs[log])) as merged:
            async for block in merged:
                read += block
                if log % 3 == 0 and len(read) > 5000:
                    break
        return read

    async def read_all() -> list[bytes]:
        return await asyncio.gather(*(read(log) for log in range(len(logs))))

    for log, got in zip(logs, run(read_all()), strict=True):
        assert b"".join(iter_merged(log, TEXT)).startswith(got)
        assert [source.open_readers for source in log] == [0, 0, 0]


def test_a_stalled_merge_holds_up_no_other() -> None:
    """While one log waits for its source, another one is read to its end."""
    stalled, quick = FakeSource("stalled", lines_of(0), stall_at=0), FakeSource("quick", lines_of(1))

    async def read(source: FakeSource) -> bytes:
        return b"".join([block async for block in merged_of([source])])

    async def read_both() -> bytes:
        waiting = asyncio.create_task(read(stalled))
        assert await read(quick) == lines_of(1)
        assert not waiting.done()
        stalled.release()
        return await waiting

    assert run(read_both()) == lines_of(0)
