"""Follow a log while it is written: what there is, merged; then what comes, as it comes.

Holds: what a merge holds (one block and one record for each source). No thread but the watcher's.
Plan:  read whatever the merge wants. A source at its present end is waited for during ``settle_s``, so that
       a traceback written in two halves stays one record; then it is idle, and the merge goes on without it.
       When all are idle, wait for the watcher. New files of the log join as they appear.
       Of a log of one source, a line that is a JSON object is not waited for: a traceback would be inside.
Order: that of the merge for all that is there when it is read; a record that comes later than others of its
       time have been given out comes then, and late.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol

from logflume.abc import BLOCK_BYTES, TellsPaths, interrupt
from logflume.cursor import Cursor, Mark
from logflume.dating import dated
from logflume.errors import SourceFailed
from logflume.merge import How
from logflume.standing import Standing, owe_newline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from logflume import _core
    from logflume.abc import Log, Reader, Source, TellsArrival
    from logflume.records import Gap

SETTLE_S = 0.1
"""How long a record may go on after its last byte before it counts as whole."""

LIST_S = 1.0
"""How often the log is asked whether it has new sources."""


POLL_S = 0.25
"""How often sources are looked at where nothing tells of changes."""


class Waiter(Protocol):
    """Tells when sources may have changed; ``watch.Watcher`` is one."""

    def wait(self, timeout_s: float) -> bool:
        """Return True when something may have changed, False after ``timeout_s``."""
        ...

    def watch(self, paths: Iterable[str]) -> None:
        """Tell of changes of these files, too."""
        ...

    def wake(self) -> None:
        """End a wait in another thread."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class _Poller:
    """The waiter for sources that tell nothing: something may always have changed."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        self._woken.wait(min(timeout_s, POLL_S))
        self._woken.clear()
        return True

    def watch(self, paths: Iterable[str]) -> None:
        """All is looked at anyway."""

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """Nothing is held."""


def iter_followed(
    log: Log,
    how: How | None = None,
    *,
    start: Cursor | None = None,
    ended: Callable[[], bool] | None = None,
    waiter: Waiter | None = None,
    settle_s: float = SETTLE_S,
    block_bytes: int = BLOCK_BYTES,
) -> Followed:
    """Merge a log and go on as it grows; iterate over the result, which waits for what comes next.

    ``ended`` says that nobody writes any more (a task's state, say): then what is left is given out, the last
    line without a newline too, and the iteration ends. It is asked whenever there is nothing to read.
    ``waiter`` tells of changes (it is closed with the result); without one, sources are polled.

    Raises:
        UsageError: ``how`` cannot be used.
        CursorExpired: the bytes under ``start`` are gone.

    Order:  exact for what is there when it is read; see the module.
    Loss:   none; what is truncated or rotated away before it is read is a Gap in ``.gaps``.
    Memory: one block and one record for each source, and the block given out.
    """
    return Followed(
        log,
        how or How(),
        start=start,
        ended=ended or (lambda: False),
        waiter=waiter or _Poller(),
        settle_s=settle_s,
        block_bytes=block_bytes,
    )


class Followed(Standing):
    """A log that is being followed: an iterator of blocks, a context manager. One thread reads; any may close it."""

    def __init__(
        self,
        log: Log,
        how: How,
        *,
        start: Cursor | None,
        ended: Callable[[], bool],
        waiter: Waiter,
        settle_s: float,
        block_bytes: int,
    ) -> None:
        self._log = log
        self._how = how
        self._ended = ended
        self._waiter = waiter
        self._settle_s = settle_s
        self._block_bytes = block_bytes
        self._reading = threading.Lock()
        self._stopped = False
        self._closed = False
        self._ending = False
        self._last_cursor: Cursor | None = None
        self._inputs: list[_Live] = []
        self._look_s = LIST_S
        self._polled_s = self._listed_s = time.monotonic()
        try:
            self._merger = how.merger(0)
            self._open(start)
        except BaseException:
            self._release()
            raise

    def _open(self, start: Cursor | None) -> None:
        sources = self._log.sources()
        marks = start.marks_for(sources) if start else [None] * len(sources)
        for source, mark in zip(sources, marks, strict=True):
            self._add(source, mark)
        owe_newline(self._merger, start, sources)

    def _add(self, source: Source, mark: Mark | None) -> None:
        number = self._merger.add()
        if mark is not None:
            self._merger.resume(number, mark.floor_ns)
        entry = _Live(source, number, mark)
        self._inputs.append(entry)
        if isinstance(source, TellsPaths):
            self._waiter.watch(source.paths)
        else:
            self._look_s = POLL_S
        entry.open(self._merger, self._how)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next block, as soon as there is one.

        Raises:
            StopIteration: the log has ended, or this was closed.
        """
        while (block := self.read_block(LIST_S)) is not None:
            if block:
                return block
        raise StopIteration

    def read_block(self, timeout_s: float) -> bytes | None:
        """Return the next block; ``b""`` if none comes within ``timeout_s``; None when the log has ended.

        Raises:
            Exception: whatever a source raised that is no SourceFailed; once, and all is released.
        """
        try:
            with self._reading:
                block = self._next_block(time.monotonic() + timeout_s)
        except BaseException:
            self.close()
            raise
        if block is None:
            self.close()
        return block

    def _next_block(self, deadline_s: float) -> bytes | None:
        while not self._stopped:
            block = self._merger.take(self._block_bytes)
            if block:
                return block
            if self._read_sources() or self._begin_to_end():
                continue
            if self._ending:
                break
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return b""
            settling = any(entry.settling for entry in self._inputs)
            self._waiter.wait(min(left_s, self._settle_s if settling else self._look_s))
        return None

    def _read_sources(self) -> bool:
        """Read what the merge waits for, and now and then what it does not; whether anything came of it."""
        now_s = time.monotonic()
        if now_s - self._listed_s >= LIST_S:
            self._listed_s = now_s
            self._join_new_sources()
        wanted = set(self._merger.wanted())
        all_due = not wanted or self._ending or now_s - self._polled_s >= self._settle_s
        if all_due:
            self._polled_s = now_s
        # One that is neither wanted nor idle has a block, and waits for the others to come so far.
        due = [entry for entry in self._inputs if entry.number in wanted or (all_due and entry.idle)]
        came = [entry.read(self._merger, self._settle_s_of(entry)) for entry in due if not self._stopped]
        return any(came)

    def _settle_s_of(self, entry: _Live) -> float | None:
        """How long its last record is waited for; None at the end. Several sources have their order to wait for."""
        if self._ending:
            return None
        return 0.0 if entry.ends_whole and len(self._inputs) == 1 else self._settle_s

    def _join_new_sources(self) -> None:
        known = {entry.source.name for entry in self._inputs}
        for source in self._log.sources():
            if source.name not in known:
                self._add(source, None)
        for entry in self._inputs:
            entry.try_again(self._merger, self._how)

    def _begin_to_end(self) -> bool:
        """When nobody writes any more, read what is left; whether that begins now."""
        if self._ending or any(entry.settling for entry in self._inputs) or not self._ended():
            return False
        self._join_new_sources()
        self._ending = True
        return True

    def close(self) -> None:
        """Release everything now; a thread that waits for a block is woken. From any thread."""
        self._stopped = True
        self._waiter.wake()
        for entry in list(self._inputs):
            entry.interrupt()
        with self._reading:
            if self._closed:
                return
            self._closed = True
            try:
                self._last_cursor = self.cursor()
            finally:
                self._release()

    def _release(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._waiter.close)
            for entry in self._inputs:
                stack.callback(entry.close)


class _Live:
    """One source while it is followed.

    Attributes:
        idle: the merge does not wait for it.
        ends_whole: what was read of it last ends with a line that is a JSON object.
    """

    def __init__(self, source: Source, number: int, mark: Mark | None) -> None:
        self.source = source
        self.number = number
        self._mark = mark
        self._reader: Reader | None = None
        self._dates: TellsArrival | None = None
        self._failure: Gap | None = None
        self.idle = False
        self.ends_whole = False  # its last record will not go on
        self._over = False
        self._quiet_since_s: float | None = None

    def open(self, merger: _core.Merger, how: How) -> None:
        """Open it; what is not there (yet) is not waited for.

        Raises:
            CursorExpired: what its mark names is gone.
        """
        position = self._mark.position if self._mark else None
        try:
            self._reader = self.source.open(0 if position is None else position)
            self._dates = dated(merger, self.number, self.source, self._reader, how)
            self._failure = None
        except SourceFailed as failure:
            self._failure = failure.gap
            self._rest(merger)

    def try_again(self, merger: _core.Merger, how: How) -> None:
        """Open what could not be opened; it may have come, or been permitted, since."""
        if self._reader is None:
            self.open(merger, how)

    @property
    def is_open(self) -> bool:
        """Whether it could be opened."""
        return self._reader is not None

    @property
    def broke(self) -> Gap | None:
        """Why it ended while it was read, if it did."""
        return self._failure if self.is_open else None

    def _rest(self, merger: _core.Merger) -> None:
        merger.idle(self.number)
        self.idle = True
        self._quiet_since_s = None

    @property
    def settling(self) -> bool:
        """Whether it has had nothing for a moment, and its last record may go on."""
        return self._quiet_since_s is not None

    def read(self, merger: _core.Merger, settle_s: float | None) -> bool:
        """Feed the next block, or let the merge go on without; whether either happened.

        Without ``settle_s`` nobody writes any more: its present end is its end.
        """
        if self._over:
            return False
        try:
            block = self._reader.read_block() if self._reader else b""
        except SourceFailed as failure:
            self._failure = failure.gap
            self.finish(merger)
            return True
        if block:
            merger.feed(self.number, block, [] if self._dates is None else self._dates.peek_arrivals())
            self.idle, self._quiet_since_s = False, None
            self.ends_whole = _ends_whole(block)
            return True
        if settle_s is None:
            self.finish(merger)
            return True
        return self._settle(merger, settle_s)

    def _settle(self, merger: _core.Merger, settle_s: float) -> bool:
        if self.idle:
            return False
        now_s = time.monotonic()
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s
        if now_s - self._quiet_since_s < settle_s:
            return False
        self._rest(merger)
        return True

    def finish(self, merger: _core.Merger) -> None:
        """Nothing more is read of it: its last line is whole as it is."""
        self._over = True
        self._quiet_since_s = None
        merger.finish(self.number)

    def interrupt(self) -> None:
        """End a read that waits for somebody else."""
        interrupt(self._reader)

    def mark_at(self, offset: int, floor_ns: int) -> Mark:
        """Name the place ``offset`` bytes after where this began."""
        if self._reader is None:
            return self._mark or Mark(self.source.name, None, floor_ns)
        return Mark(self.source.name, self._reader.position(self._reader.start + offset), floor_ns)

    @property
    def gaps(self) -> list[Gap]:
        """What is missing of it so far."""
        found = list(self._reader.gaps) if self._reader is not None else []
        return found + ([self._failure] if self._failure is not None else [])

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _ends_whole(block: bytes) -> bool:
    """Tell whether the last line is a JSON object, to be looked at without reading it."""
    return block.endswith(b"}\n") and block.startswith(b"{", block.rfind(b"\n", 0, -1) + 1)
