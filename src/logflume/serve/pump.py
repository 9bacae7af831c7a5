"""From a merge, which blocks its thread, to an event loop, which nothing may block.

Invariant: at most IN_FLIGHT blocks wait; a reader that is slow slows the merge. Once closed, whatever the moment, the
merge is closed, its thread has ended, and nothing is held.
Plan:  of many pumps, as many as there are processors make a block at a time, so that a small answer finds one free.
       Who waits for a disk keeps no other waiting longer than PATIENCE_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from typing_extensions import Self

IN_FLIGHT = 4
"""Blocks that have been made and not yet been sent; half as many where there are many readers."""


PATIENCE_S = 0.1
"""How long a pump waits for its turn."""

_TURNS = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
_running = 0  # pumps; changed in the event loop only


def running() -> int:
    """Return how many pumps there are."""
    return _running


def is_crowd() -> bool:
    """Tell whether there are pumps enough to keep all processors busy."""
    return _running > (os.cpu_count() or 1)


class Closing(Protocol):
    """What is pumped: blocks, until it is closed in another thread."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """End the iteration soon, and release everything."""
        ...


class Pump:
    """An asynchronous iterator over blocks that are made in a thread. Use it in one event loop, with ``async with``.

    Order, loss: those of what is pumped. Memory: IN_FLIGHT blocks.
    """

    def __init__(self, make: Callable[[], Closing]) -> None:
        """Begin at once: ``make`` is called in the thread, and what it raises is raised to who iterates."""
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._blocks: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._slots = threading.Semaphore(IN_FLIGHT // 2 if is_crowd() else IN_FLIGHT)
        self._changing = threading.Lock()
        self._stopped = False
        self._source: Closing | None = None
        self._thread = threading.Thread(target=self._run, name="logflume-pump", daemon=True)
        self._count(1)
        self._thread.start()

    def _count(self, change: int) -> None:
        global _running  # noqa: PLW0603 - of the process, as its processors are
        _running += change

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            source = self._make()
            with self._changing:
                self._source = source
                stopped = self._stopped
            self._call(self._note_opened, None)
            with contextlib.closing(source):
                if not stopped:
                    self._pump(source)
        except BaseException as error:  # noqa: BLE001 - the edge of a thread
            end = error
        self._call(self._note_opened, end)
        self._give(end)
        self._call(self._note_ended, None)

    def _pump(self, source: Closing) -> None:
        blocks = iter(source)
        while (block := _in_turn(blocks)) is not None:
            self._slots.acquire()
            if self._stopped:
                return
            self._give(block)

    def _give(self, item: bytes | BaseException | None) -> None:
        self._call(self._blocks.put_nowait, item)

    def _call(self, call: Callable[[Any], None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, value)

    def _note_opened(self, error: BaseException | None) -> None:
        if self._opened.done():
            return
        if error is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    def _note_ended(self, _: None) -> None:
        self._ended.set()

    async def opened(self) -> None:
        """Wait until ``make`` has returned.

        Raises:
            Exception: what it raised.
        """
        await asyncio.shield(self._opened)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next block.

        Raises:
            StopAsyncIteration: that was all.
            Exception: whatever making or iterating raised.
        """
        item = await self._blocks.get()
        if isinstance(item, bytes):
            self._slots.release()
            return item
        self._blocks.put_nowait(item)
        if item is None:
            raise StopAsyncIteration
        raise item

    async def close(self) -> None:
        """Close the merge and wait for its thread."""
        with self._changing:
            self._count(-1 if not self._stopped else 0)
            self._stopped = True
            source = self._source
        self._slots.release()
        if source is not None:
            await asyncio.to_thread(source.close)
        await self._ended.wait()  # and not in one of the few threads that all share
        self._thread.join()
        if self._opened.done():
            self._opened.exception()  # it is known, whether anybody asked or not

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self.close())


def _in_turn(blocks: Iterator[bytes]) -> bytes | None:
    has_turn = _TURNS.acquire(timeout=PATIENCE_S)
    try:
        return next(blocks, None)
    finally:
        if has_turn:
            _TURNS.release()
