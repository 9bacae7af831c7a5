"""Many sources into one stream of blocks: the drivers around the core's merge.

Holds: for each source at most the block merged from, those scanned ahead (``readahead``) and one record; and the
       block given out. Closing at any point releases descriptors and threads at once.
Plan:  the core says which source it wants. Up to ``workers`` threads read and scan ahead; the caller's thread
       merges. A source that fails becomes a Gap, and the others go on.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from logflume import _core
from logflume.abc import interrupt
from logflume.cursor import Cursor, Mark
from logflume.dating import dated
from logflume.errors import BadPattern, SourceFailed, UsageError
from logflume.readahead import ScannedAhead, Stopped, Workers
from logflume.records import Dedup, Level, Output, SourceReport
from logflume.standing import Standing, owe_newline

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from logflume.abc import Reader, Source
    from logflume.records import Gap, Position

MAX_RECORD_BYTES = 1024 * 1024
"""A longer record passes in pieces."""

GIVEN_BYTES = 112 * 1024
"""Size of the blocks given out: below the 128 KiB from which glibc maps each allocation anew, whose page
faults cost as much as the whole merge (docs/decisions/0004)."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How to merge; the same for every driver.

    Attributes:
        output: what comes out.
        dedup: whether a record that several sources hold is shown once.
        only: which records pass (``where()`` makes one).
        zone: IANA zone of times that carry none.
        time_format: strptime-like format of this log's times, tried before the known ones.
        reference_ns: the "now" of formats without a year; None: the time of the call.
        levels: recognise and count levels.
        max_record_bytes: a longer record passes in pieces.
    """

    output: Output = Output.NDJSON
    dedup: Dedup = Dedup.ACROSS_SOURCES
    only: _core.Filter | None = None
    zone: str = "UTC"
    time_format: str | None = None
    reference_ns: int | None = None
    levels: bool = False
    max_record_bytes: int = MAX_RECORD_BYTES

    def merger(self, sources: int, *, index_every_bytes: int = 0, numbers: bool = False) -> _core.Merger:
        """Make the core of a merge.

        Raises:
            UsageError: the zone or the time format cannot be used.
        """
        try:
            return _core.Merger(
                sources,
                output=self.output,
                dedup=self.dedup is Dedup.ACROSS_SOURCES,
                filter=self.only,
                zone=self.zone,
                time_format=self.time_format,
                reference_ns=time.time_ns() if self.reference_ns is None else self.reference_ns,
                levels=self.levels,
                max_record_bytes=self.max_record_bytes,
                index_every_bytes=index_every_bytes,
                numbers=numbers,
            )
        except (ValueError, OverflowError) as error:
            raise UsageError(str(error)) from None


def where(
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    min_level: Level = Level.UNKNOWN,
    contains: str | bytes | None = None,
    regex: str | None = None,
    ignore_case: bool = False,
    invert: bool = False,
) -> _core.Filter:
    """Say which records pass; a record passes or fails whole, all parts must agree.

    ``since_ns`` is inclusive, ``until_ns`` exclusive, both on the record's effective time. ``min_level``
    lets that level and higher ones pass, so unknown only by default. ``contains`` is literal; ``regex``
    runs in linear time, ``^`` and ``$`` match at lines. ``invert`` turns these two around. A record over
    ``max_record_bytes`` is judged piece by piece.

    Raises:
        BadPattern: the expression cannot be used; its ``.position`` says where.
        UsageError: a time that 64 bits cannot hold.
    """
    levels = sum(1 << level for level in Level if level >= min_level) if min_level else 0
    literal = contains.encode("utf-8", "surrogateescape") if isinstance(contains, str) else contains
    try:
        return _core.Filter(
            since_ns=since_ns,
            until_ns=until_ns,
            levels=levels,
            contains=literal,
            regex=regex,
            ignore_case=ignore_case,
            invert=invert,
        )
    except ValueError as error:
        reason, position = error.args if len(error.args) == 2 else (str(error), None)  # noqa: PLR2004 - the core's pair
        raise BadPattern(regex or repr(contains), reason, position) from None
    except OverflowError as error:
        raise UsageError(f"since_ns and until_ns are nanoseconds since 1970 in 64 bits: {error}") from None


def iter_merged(
    sources: Sequence[Source],
    how: How | None = None,
    *,
    start: Cursor | None = None,
    workers: int | None = None,
    block_bytes: int = GIVEN_BYTES,
) -> Merged:
    """Merge sources by time; iterate over the result for its blocks of whole records, or pieces of long ones.

    ``start`` resumes an earlier merge of the same log without reading an old byte. ``workers`` threads read
    ahead; 0 reads in the calling thread, None takes what suits the machine. A block is at most ``block_bytes``
    long, but for a single longer record and what NDJSON adds to the last one.

    Raises:
        UsageError: ``how`` cannot be used.
        CursorExpired: the bytes under ``start`` are gone.

    Order:  exact when each source is sorted; a late record keeps its place in its source.
    Loss:   none; what cannot be read is a Gap in ``.gaps``.
    Memory: for each source one block, those scanned ahead and one record; and the block given out.
    """
    return Merged(sources, how or How(), start=start, workers=workers, block_bytes=block_bytes)


Told: TypeAlias = "tuple[int, int, int, int, int, bool]"
"""What a merge with ``numbers`` tells of a record that it gave out: how many lines of the merged log come before it,
its time (UNTIMED_NS before the first of its source), the number of its Level if levels are wanted, the number of its
source, how many lines it has, and whether it is a piece of a longer one of which more follows."""


class Merged(Standing):
    """A running merge: an iterator of blocks, a context manager. One thread at a time.

    ``.gaps`` and ``.reports()`` say what was missing, ``.cursor()`` where to go on, ``.stats()`` what came by.
    """

    _inputs: list[_Input]

    def __init__(
        self,
        sources: Sequence[Source],
        how: How,
        *,
        start: Cursor | None = None,
        workers: int | None = None,
        block_bytes: int = GIVEN_BYTES,
        index_every_bytes: int = 0,
        numbers: bool = False,
        hidden: Iterable[int] = (),
    ) -> None:
        self._merger = how.merger(len(sources), index_every_bytes=index_every_bytes, numbers=numbers)
        for number in hidden:
            self._merger.hide(number)
        self._block_bytes = block_bytes
        # Held while a block is made, so that nothing is closed under a read.
        self._working = threading.Lock()
        self._stopped = False
        self._closed = False
        self._last_cursor: Cursor | None = None
        marks = start.marks_for(sources) if start else [None] * len(sources)
        self._inputs = [_Input(*each) for each in zip(sources, range(len(sources)), marks, strict=True)]
        self._workers = Workers(len(sources), workers)
        # For a merge that is dropped and not closed.
        self._dropped = weakref.finalize(self, _close_dropped, self._workers, self._inputs)
        self._dropped.atexit = False
        try:
            self._open(start, how)
        except BaseException:
            self.close()
            raise

    def _open(self, start: Cursor | None, how: How) -> None:
        owe_newline(self._merger, start, [entry.source for entry in self._inputs])
        for entry in self._inputs:
            if entry.mark is not None:
                self._merger.resume(entry.number, entry.mark.floor_ns)
            entry.open(self._merger, len(self._inputs), how)
        for entry in self._inputs:
            entry.start(self._workers)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next block.

        Raises:
            StopIteration: all sources have ended, or this was closed.
            Exception: whatever a source raised that is no SourceFailed; once, and all is released.
        """
        while (block := self.read_some()) is not None:
            if block:
                return block
        raise StopIteration

    def read_some(self) -> bytes | None:
        """Return the next block; ``b""`` when sources had to be read and it is not made yet; None at the end.

        Raises:
            Exception: whatever a source raised that is no SourceFailed; once, and all is released.
        """
        try:
            with self._working, contextlib.suppress(Stopped):
                block = self._try_block()
                if block is not None:
                    return block
        except BaseException:
            self.close()
            raise
        self.close()
        return None

    def _try_block(self) -> bytes | None:
        if self._stopped:
            return None
        block = self._merger.take(self._block_bytes)
        if block:
            return block
        if self._merger.done:
            return None
        # Nothing may be wanted although there is more: Output.NONE gives nothing out.
        for number in self._merger.wanted():
            if not self._stopped:
                self._inputs[number].feed(self._merger)
        return b""

    def reports(self) -> list[SourceReport]:
        """Return what each source answered, how long its opening took, and how much was read of it."""
        return [entry.report() for entry in self._inputs]

    def take_told(self) -> list[Told]:
        """Return, with ``numbers``, what is told of each record given out since the last call."""
        return self._merger.take_told()

    def take_marks(self) -> list[tuple[int, int, int, int, int, bool, bytes]]:
        """Return, while index entries are made, where groups of lines began and ended since the last call."""
        return self._merger.take_marks()

    @property
    def lines(self) -> int:
        """Merged lines that have come by, shown or (with ``numbers``) kept back."""
        return self._merger.lines

    def take_index(self) -> bytes:
        """Return the index entries made since the last call."""
        return self._merger.take_index()

    def mark_index(self) -> None:
        """Make an index entry for this place."""
        self._merger.mark_index()

    def close(self) -> None:
        """Release threads and descriptors now; waits at most for reads under way that nothing ends. From any thread."""
        self._stopped = True
        for entry in self._inputs:
            entry.stop()
        with self._working:
            if self._closed:
                return
            self._closed = True
            self._dropped.detach()
            self._workers.close()
            try:
                self._last_cursor = self.cursor()
            finally:
                _close_all(self._inputs)


async def aiter_merged(
    sources: Sequence[Source],
    how: How | None = None,
    *,
    start: Cursor | None = None,
    block_bytes: int = GIVEN_BYTES,
) -> AsyncIterator[bytes]:
    """Do what ``iter_merged`` does, for an event loop: no call of it blocks the loop.

    Opening, reading and merging happen in the loop's default thread pool, one block at a time and only when
    asked for: a slow consumer slows the sources. Order, loss, memory and errors are those of ``iter_merged``.
    """
    import asyncio

    make = functools.partial(Merged, sources, how or How(), start=start, block_bytes=block_bytes)
    opening = asyncio.get_running_loop().run_in_executor(None, make)
    try:
        merged = await asyncio.shield(opening)
        while block := await asyncio.to_thread(next, merged, b""):
            yield block
    finally:
        # A cancelled task, too, ends only when everything is released.
        await asyncio.shield(_close_opened(opening))


async def _close_opened(opening: Future[Merged]) -> None:
    """Close what was opened, or is being opened still; whoever asked for it was told why it could not be."""
    import asyncio

    await asyncio.wait([opening])
    if opening.exception() is None:
        await asyncio.to_thread(opening.result().close)


class _Input:
    """One source while it is merged."""

    def __init__(self, source: Source, number: int, mark: Mark | None) -> None:
        self.source = source
        self.number = number
        self.mark = mark
        self.state = "reading"
        self.open_s = 0.0
        self._failure: Gap | None = None
        self._reader: Reader | None = None
        self._scanner: _core.Scanner | None = None
        self._ahead: ScannedAhead | None = None

    def open(self, merger: _core.Merger, sources: int, how: How) -> None:
        """Open the source, one of so many; one that fails has ended, with its Gap.

        Raises:
            CursorExpired: what its mark names is gone.
        """
        start: int | Position = 0
        if self.mark is not None and self.mark.position is not None:
            start = self.mark.position
        began = time.perf_counter()
        try:
            self._reader = self.source.open(start)
            dates = dated(merger, self.number, self.source, self._reader, how)
            self._scanner = merger.scanner(self.number)
            self._ahead = ScannedAhead(self._reader, self._scanner, sources, dates)
        except SourceFailed as failure:
            self._end(merger, failure.gap)
        self.open_s = time.perf_counter() - began

    def start(self, workers: Workers) -> None:
        """Have it read ahead in these threads, if there are any."""
        if self._ahead is not None:
            self._ahead.start(workers)

    def stop(self) -> None:
        """Begin no other read, and let ``feed`` wait for none: it raises Stopped. From any thread."""
        if self._ahead is not None:
            self._ahead.stop()
        interrupt(self._reader)

    def feed(self, merger: _core.Merger) -> None:
        """Push the next batch, or the end."""
        try:
            batch = self._ahead.take() if self._ahead is not None else None
        except SourceFailed as failure:
            self._end(merger, failure.gap)
            return
        if batch is None:
            self._end(merger)
        else:
            merger.push(self.number, batch)

    @property
    def bytes_read(self) -> int:
        return 0 if self._ahead is None else self._ahead.bytes_read

    def _end(self, merger: _core.Merger, failure: Gap | None = None) -> None:
        self.state = "done" if failure is None else "failed"
        self._failure = failure
        if self._scanner is not None:
            merger.push(self.number, self._scanner.finish())
            self._scanner = None
        merger.finish(self.number)

    @property
    def is_open(self) -> bool:
        """Whether it could be opened."""
        return self._reader is not None

    @property
    def broke(self) -> Gap | None:
        """Why it ended while it was read, if it did."""
        return self._failure if self.is_open else None

    @property
    def gaps(self) -> list[Gap]:
        """What is missing of it so far."""
        found = list(self._reader.gaps) if self._reader is not None else []
        return found + ([self._failure] if self._failure is not None else [])

    def report(self) -> SourceReport:
        return SourceReport(self.source.name, self.state, self.bytes_read, self.open_s, tuple(self.gaps))

    def mark_at(self, offset: int, floor_ns: int) -> Mark:
        """Name the place ``offset`` bytes after where this began."""
        if self._reader is None:
            return self.mark or Mark(self.source.name, None, floor_ns)
        return Mark(self.source.name, self._reader.position(self._reader.start + offset), floor_ns)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _close_dropped(workers: Workers, inputs: Sequence[_Input]) -> None:
    """Do what ``Merged.close`` does, but wait for no read: who collects garbage may hold what that waits for."""
    for entry in inputs:
        entry.stop()
    workers.close_behind(functools.partial(_close_all, inputs))


def _close_all(inputs: Sequence[_Input]) -> None:
    """Close each, whatever happens to the others."""
    with contextlib.ExitStack() as stack:
        for entry in inputs:
            stack.callback(entry.close)
