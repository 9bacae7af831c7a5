"""Blocks read and scanned before they are asked for.

Invariant: batches of a source come in order, each once; at most ``blocks`` of them wait; its reader and its scanner are
each in one thread at a time.

Plan:  a thread that has read a block has the next one asked for before it scans, so that several threads share a source
where only one has anything to do. The thread whose block is next in order scans it; those ahead of it scan theirs by
guess (``Prescanner``), and whoever ends what is before them takes it over. A thread takes what is due without being
woken while there is something due: waking somebody for each block costs a third of the time.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple, Union

from logflume import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.abc import Reader, TellsArrival

READ_AHEAD_BYTES = 64 * 1024 * 1024
"""What all sources together may read ahead: with very many of them, each reads fewer and smaller blocks."""

MIN_BLOCK_BYTES = 32 * 1024
"""Also the size of the blocks in which a source is read until its first time: until then each line is a record."""

MAX_BLOCK_BYTES = 512 * 1024
"""Where few sources share what may be read ahead; larger ones save little (docs/decisions/0005)."""

MAX_BLOCKS_AHEAD = 2
"""So many blocks of one source are scanned before they are asked for."""

MAX_WORKERS = 32
"""Threads that read ahead, for any number of sources."""


def block_bytes_for(sources: int) -> int:
    """Bytes that each of so many sources reads at a time."""
    return max(MIN_BLOCK_BYTES, min(MAX_BLOCK_BYTES, READ_AHEAD_BYTES // max(sources, 1)))


def blocks_ahead_for(sources: int) -> int:
    """Blocks that each of so many sources scans ahead."""
    return max(1, min(MAX_BLOCKS_AHEAD, READ_AHEAD_BYTES // (max(sources, 1) * block_bytes_for(sources))))


_Done = Union["_core.Batch", BaseException, None]  # a batch, what broke off reading, the end
_Came = list[tuple[int, int]]  # when bytes of a block came, as the core wants it


class _Early(NamedTuple):
    """A block scanned by guess, and when its bytes came."""

    prescan: _core.Prescan
    came: _Came


class Stopped(Exception):
    """Reading was ended, in another thread perhaps."""


class Workers:
    """Threads that do what is due, first come, first served.

    Not ``concurrent.futures``: that loads ``logging``, and costs 20 µs a block where this costs 2.
    """

    def __init__(self, sources: int, workers: int | None) -> None:
        """Start up to ``workers`` threads (None: as many as the machine has processors) for so many sources."""
        if workers is None:
            workers = os.cpu_count() or 1
        self._due: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        for number in range(min(workers, sources * MAX_BLOCKS_AHEAD, MAX_WORKERS)):
            thread = threading.Thread(target=self._work, name=f"logflume-read-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system gives no more of them: those that there are, if any, read more each
                break
            self._threads.append(thread)

    def __bool__(self) -> bool:
        return bool(self._threads)

    def submit(self, task: Callable[[], None]) -> None:
        """Have it done; it must not raise."""
        self._due.put(task)

    def _work(self) -> None:
        while (task := self._due.get()) is not None:
            task()

    def close(self) -> None:
        """End the threads; waits for the reads under way."""
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()

    def close_behind(self, release: Callable[[], None]) -> None:
        """Do the same and then ``release``, but in one of the threads: this waits for nothing."""
        if self._threads:
            self._due.put(functools.partial(self._close_from_within, release))
        else:
            release()

    def _close_from_within(self, release: Callable[[], None]) -> None:
        self._threads.remove(threading.current_thread())
        self.close()
        release()
        self._due.put(None)


class ScannedAhead:
    """The batches of one source: ``take`` gives the next one.

    Attributes:
        bytes_read: so many bytes came out of the reader.
    """

    def __init__(self, reader: Reader, scanner: _core.Scanner, sources: int, dates: TellsArrival | None = None) -> None:
        """Read nothing yet.

        Args:
            reader: of the source.
            scanner: of the source.
            sources: how many there are in all; they share what may be read ahead.
            dates: tells when the block read last came, where that matters.
        """
        self.bytes_read = 0
        self._reader = reader
        self._scanner = scanner
        self._dates = dates
        self._prescanner = scanner.prescanner()
        self._block_bytes = block_bytes_for(sources)
        self._next_bytes = MIN_BLOCK_BYTES
        self._max_ahead = blocks_ahead_for(sources)
        self._workers: Workers | None = None  # None: it is read when asked for, by whoever asks
        self._stopped = False
        self._ready: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        # Numbers of blocks, and the lock under which they change: taken <= scanned <= read.
        self._changing = threading.Lock()
        self._reading = False
        self._read = 0
        self._scanned = 0
        self._taken = 0
        self._early: dict[int, _Early | _Done] = {}  # done before what comes before it

    def start(self, workers: Workers) -> None:
        """Read and scan in these threads, if there are any, from now on."""
        if workers:
            self._workers = workers
            self._ask(self._max_ahead)

    def stop(self) -> None:
        """Begin no other read, and let ``take`` wait for none: it raises Stopped. From any thread."""
        self._stopped = True
        self._ready.put(Stopped())

    def take(self) -> _core.Batch | None:
        """Return the next batch; None at the end.

        Raises:
            Stopped: ``stop`` was called.
            Exception: whatever the reader raised, in its place in the order.
        """
        if self._workers is None:
            block, came = self._read_block()
            return self._noted(self._scanner.scan(block, came)) if block else None
        batch = self._ready.get()
        if isinstance(batch, BaseException):
            raise batch
        self._taken += 1
        self._ask(self._max_ahead // 2 + 1)  # rather two at once than one each time
        return batch

    def _ask(self, below: int) -> None:
        """Have the next block read if fewer than so many wait, and nobody is at it."""
        with self._changing:
            if self._reading or self._read - self._taken >= below:
                return
            self._reading = True
        if self._workers:
            self._workers.submit(self._read_on)

    def _read_on(self) -> None:
        """Read a block and scan it."""
        if self._stopped:
            return
        try:
            block, came = self._read_block()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread
            self._put(self._read, error)
            return
        if block:
            number, is_next = self._count_block()
            self._put(number, self._scan(block, came, is_next=is_next))
        else:  # nobody reads any more: ``_reading`` stays as it is
            self._put(self._read, None)

    def _read_block(self) -> tuple[bytes, _Came]:
        block = self._reader.read_block(self._next_bytes)
        self.bytes_read += len(block)
        return block, [] if self._dates is None else self._dates.peek_arrivals()

    def _count_block(self) -> tuple[int, bool]:
        """Return the number of the block just read, and whether it is next in order; have the next one read."""
        with self._changing:
            number = self._read
            is_next = number == self._scanned
            self._read += 1
            goes_on = self._reading = self._read - self._taken < self._max_ahead
        if goes_on and self._workers:
            self._workers.submit(self._read_on)
        return number, is_next

    def _scan(self, block: bytes, came: _Came, *, is_next: bool) -> _Early | _Done:
        try:
            if is_next:
                return self._noted(self._scanner.scan(block, came))
            return _Early(self._prescanner.prescan(block), came)
        except BaseException as error:  # noqa: BLE001 - the edge of a thread
            return error

    def _put(self, number: int, item: _Early | _Done) -> None:
        """Give out what is next in order, and what has waited for that."""
        while True:
            with self._changing:
                if number != self._scanned:
                    self._early[number] = item
                    return
            done = self._take_over(item) if isinstance(item, _Early) else item
            self._ready.put(done)
            if not isinstance(done, _core.Batch):
                return
            with self._changing:
                self._scanned = number = number + 1
                if number not in self._early:
                    return
                item = self._early.pop(number)

    def _take_over(self, early: _Early) -> _Done:
        try:
            return self._noted(self._scanner.scan_prescanned(early.prescan, early.came))
        except BaseException as error:  # noqa: BLE001 - the edge of a thread
            return error

    def _noted(self, batch: _core.Batch) -> _core.Batch:
        if batch.timed:
            self._next_bytes = self._block_bytes
        return batch
