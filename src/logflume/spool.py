"""Keep bytes between one writer that must be let go and one reader that may be slow.

Invariant: bytes come out once, in the order written, unaltered; what a full spool drops is a Gap at the
very place. Held at any moment: memory <= ``memory_bytes`` + one block for each side, disk <= ``disk_bytes``,
descriptors <= 2 x ``SEGMENTS`` + 1.

Plan: from old to new, bytes lie in the *begun* chunk (in the reader's hands), in the disk's segments, in
memory. A chunk is one block, or several small ones in one buffer: it is spilled, read back and dropped
whole, so that what is dropped begins and ends where blocks do. New blocks always go to memory; when it is
full its oldest chunk goes to disk. While the reader keeps up, no file is opened.

Segments are files without a name: kill -9 leaves nothing behind. The space of one comes back when all of it
has been read or dropped. One lock guards all of it and is held for at most one chunk of disk work.

Not here: threads, lines, the copying from a source into a spool.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import tempfile
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import SpoolFull, UsageError
from logflume.records import Gap, GapReason

if TYPE_CHECKING:
    from io import FileIO


MEMORY_BYTES = 8 * 1024 * 1024
"""Default of ``memory_bytes``."""

DISK_BYTES = 1024 * 1024 * 1024
"""Default of ``disk_bytes``."""

SEGMENTS = 8
"""In how many files the disk's share lies when it is full: descriptors are few, and gaps are few and large."""

MAX_GAPS = 1000
"""So many gaps of one spool are told apart; from there on the last one gathers the rest."""

_SMALL_BYTES = BLOCK_BYTES // 2  # blocks below share a buffer: an object for each of them could outweigh their bytes


class WhenFull(enum.Enum):
    """What happens to a block for which neither memory nor disk has room.

    ``WAIT``: the writer waits for the reader. ``DROP_OLDEST``: the oldest unread bytes go, and a Gap
    says so. ``FAIL``: ``write`` raises SpoolFull, and what was accepted stays.
    """

    WAIT = "wait"
    DROP_OLDEST = "drop-oldest"
    FAIL = "fail"


@dataclass(slots=True)
class SpoolStats:
    """What a spool holds and has done; ``written == read + dropped + held`` while it is open.

    Attributes:
        written_bytes: accepted from the writer.
        read_bytes: given to the reader.
        dropped_bytes: will never come out: dropped by policy, or not readable back from disk.
        spilled_bytes: went through a file.
        memory_bytes: held in memory now, the begun chunk included.
        memory_peak_bytes: the most of it.
        disk_bytes: size of the files now; of a file half read it is all.
        disk_peak_bytes: the most of it.
        waits: how often the writer had to wait for the reader.
        disk_error: the last reason for which the disk took less than its bound; None when it never did.
    """

    written_bytes: int = 0
    read_bytes: int = 0
    dropped_bytes: int = 0
    spilled_bytes: int = 0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    disk_bytes: int = 0
    disk_peak_bytes: int = 0
    waits: int = 0
    disk_error: str | None = None


class Spool(Closing):
    """A bounded FIFO of bytes: one thread writes and finishes, another one reads and closes.

    ``read_block``, ``gaps`` and ``close`` mean what they mean in ``logflume.abc.Reader``. There is no
    ``position``: the bytes are gone once read, only their source can be resumed.

    Order:  as written.
    Loss:   none under WAIT. DROP_OLDEST: whole blocks, each stretch a Gap. FAIL: the block that is refused.
            Whatever the policy, a chunk that the disk does not give back is a Gap.
    Memory: ``memory_bytes`` + one block for each side (small blocks share buffers with up to 1/8 of slack);
            then ``disk_bytes`` of unnamed files in ``folder``.
    """

    def __init__(
        self,
        *,
        name: str = "spool",
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
        when_full: WhenFull = WhenFull.WAIT,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            name: what its gaps call the source.
            memory_bytes: what memory may hold before files are used.
            disk_bytes: what files may hold; 0 for memory only.
            when_full: what happens beyond.
            folder: where files go (default: ``tempfile.gettempdir()``); on tmpfs they would be memory again.
        """
        if memory_bytes < 0 or disk_bytes < 0:
            raise UsageError(f"a spool's bounds are 0 or more, not {memory_bytes} and {disk_bytes}")
        self._name = name
        self._memory_bound = memory_bytes
        self._when_full = when_full
        self._changed = threading.Condition(threading.Lock())
        self._begun = b""
        self._begun_at = 0
        self._disk = _Disk(folder, disk_bytes)
        self._memory: deque[bytes | bytearray] = deque()
        self._offset = 0  # of the next byte to come out, in all that was written
        self._dropped_bytes = 0  # between the begun chunk and the next; not yet a Gap
        self._full_because = ""
        self._gaps: list[Gap] = []
        self._stats = SpoolStats()
        self._finished = False
        self._error: Exception | None = None
        self._closed = False

    # the writer's side

    def write(self, block: bytes) -> bool:
        """Take one block; False when the reader has gone and nothing more is wanted.

        Raises:
            SpoolFull: no room, under ``WhenFull.FAIL``; the same block may be offered again.
        """
        with self._changed:
            if self._finished:
                raise UsageError("write after finish")
            if block and self._make_room(len(block)):
                self._store(block)
                self._changed.notify_all()
            return not self._closed

    def finish(self, error: Exception | None = None) -> None:
        """Say that no more comes. The reader gets all that was written, then the end, or ``error`` raised.

        The first call counts; later ones change nothing.
        """
        with self._changed:
            if not self._finished and not self._closed:
                self._finished = True
                self._error = error
                self._changed.notify_all()

    # the reader's side

    def read_block(self, max_bytes: int = BLOCK_BYTES, *, timeout_s: float | None = None) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes, waiting for them; ``b""`` at the end or after ``timeout_s``.

        ``ended`` tells the two apart. A block never reaches across a Gap: when ``gaps`` has grown, the gap
        lies just before the block returned.

        Raises:
            Exception: what the writer gave to ``finish``, after everything written before it.
            UsageError: the spool is closed, before the call or during it.
        """
        if max_bytes < 1:
            raise UsageError(f"max_bytes is 1 or more, not {max_bytes}")
        with self._changed:
            self._changed.wait_for(self._ready, timeout_s)
            if self._closed:
                raise UsageError("the spool is closed")
            return self._take(max_bytes)

    @property
    def gaps(self) -> list[Gap]:
        """What was dropped so far among the bytes before the reader; at most ``MAX_GAPS``."""
        return self._gaps

    @property
    def ended(self) -> bool:
        """Whether the writer has finished and everything has been read."""
        with self._changed:
            return self._finished and not self._holds_bytes()

    def close(self) -> None:
        """Drop everything held, give memory and files back, and wake the writer. Never raises."""
        with self._changed:
            self._closed = True
            self._error = None
            self._begun = b""
            self._memory.clear()
            self._stats.memory_bytes = self._stats.disk_bytes = 0
            disk, self._disk = self._disk, _Disk(None, 0)
            self._changed.notify_all()
        disk.close()  # outside of the lock: freeing large files takes a while, and the other side is to go on now

    # either side

    def stats(self) -> SpoolStats:
        """Return the figures of this moment."""
        with self._changed:
            return replace(self._stats)

    # making room; the lock is held in all that follows

    def _make_room(self, size: int) -> bool:
        while not self._closed and not self._fits(size):
            if not self._spill_oldest():
                self._give_way(size)
        return not self._closed

    def _fits(self, size: int) -> bool:
        """With nothing queued, a block of any size is taken: otherwise one above the bound would wait for ever."""
        return not self._memory or self._stats.memory_bytes + size <= self._memory_bound

    def _spill_oldest(self) -> bool:
        chunk = self._memory[0]
        if not self._disk.has_room(len(chunk)):
            self._full_because = f"{self._memory_bound} bytes in memory and {self._disk.bound} on disk were full"
            return False
        try:
            self._disk.append(chunk)
        except OSError as error:
            self._stats.disk_error = error.strerror
            self._full_because = f"the disk took no more ({error.strerror})"
            return False
        self._memory.popleft()
        self._stats.spilled_bytes += len(chunk)
        self._count_memory(-len(chunk))
        self._count_disk()
        return True

    def _give_way(self, size: int) -> None:
        if self._when_full is WhenFull.WAIT:
            self._stats.waits += 1
            self._changed.wait()  # memory holds a chunk then, so a reader cannot be waiting too
        elif self._when_full is WhenFull.DROP_OLDEST:
            self._drop_oldest()
        else:
            detail = f"{self._name}: {size} bytes were refused: the reader is too slow, and {self._full_because}."
            raise SpoolFull(detail, lost_bytes=size)

    def _drop_oldest(self) -> None:
        if self._disk:
            lost_bytes = self._disk.drop_segment()
            self._count_disk()
        else:
            lost_bytes = len(self._memory.popleft())
            self._count_memory(-lost_bytes)
        self._dropped_bytes += lost_bytes
        self._stats.dropped_bytes += lost_bytes

    def _store(self, block: bytes) -> None:
        tail = self._memory[-1] if self._memory else b""
        if len(block) >= _SMALL_BYTES:
            self._memory.append(block)
        elif isinstance(tail, bytearray) and len(tail) + len(block) <= BLOCK_BYTES:
            tail += block
        else:
            self._memory.append(bytearray(block))
        self._stats.written_bytes += len(block)
        self._count_memory(len(block))

    # reading

    def _holds_bytes(self) -> bool:
        return bool(self._begun or self._disk or self._memory)

    def _ready(self) -> bool:
        """Begin a chunk unless one is begun; a chunk that the disk does not give back is passed over."""
        while not self._begun and (self._disk or self._memory):
            self._begin_next()
        return bool(self._begun) or self._finished or self._closed

    def _take(self, max_bytes: int) -> bytes:
        piece = self._begun[self._begun_at : self._begun_at + max_bytes]
        if not piece and self._error:
            raise self._error
        self._begun_at += len(piece)
        self._offset += len(piece)
        self._stats.read_bytes += len(piece)
        self._release_begun()
        self._changed.notify_all()
        return piece

    def _release_begun(self) -> None:
        if self._begun and self._begun_at == len(self._begun):
            self._count_memory(-len(self._begun))
            self._begun = b""

    def _begin_next(self) -> None:
        self._report_dropped()
        self._begun_at = 0
        if self._disk:
            self._begun = self._read_back()
            self._count_memory(len(self._begun))
            self._count_disk()
        else:
            self._begun = bytes(self._memory.popleft())

    def _read_back(self) -> bytes:
        size = self._disk.next_bytes
        try:
            return self._disk.take()
        except OSError as error:
            self._stats.disk_error = error.strerror
            self._stats.dropped_bytes += size
            detail = f"{size} bytes that were put on disk could not be read back: {error.strerror}."
            advice = "Check the disk that the spool's folder is on, then read the source again."
            self._report(GapReason.UNREADABLE, detail, advice, size)
            return b""

    def _report_dropped(self) -> None:
        if self._dropped_bytes:
            lost_bytes = self._dropped_bytes
            detail = f"{lost_bytes} unread bytes were dropped: the reader was too slow, and {self._full_because}."
            advice = "Read the source again if it still has them, read faster, or give the spool a larger disk_bytes."
            self._report(GapReason.SPOOL_FULL, detail, advice, lost_bytes)
            self._dropped_bytes = 0

    def _report(self, reason: GapReason, detail: str, next_action: str, lost_bytes: int) -> None:
        gap = Gap(self._name, reason, detail, next_action, lost_bytes, self._offset)
        self._offset += lost_bytes
        if len(self._gaps) < MAX_GAPS:
            self._gaps.append(gap)
        else:
            self._gaps[-1] = _gathered(self._gaps[-1], lost_bytes)

    # figures

    def _count_memory(self, change: int) -> None:
        self._stats.memory_bytes += change
        self._stats.memory_peak_bytes = max(self._stats.memory_peak_bytes, self._stats.memory_bytes)

    def _count_disk(self) -> None:
        self._stats.disk_bytes = self._disk.used_bytes
        self._stats.disk_peak_bytes = max(self._stats.disk_peak_bytes, self._stats.disk_bytes)


def _gathered(gap: Gap, lost_bytes: int) -> Gap:
    total = (gap.lost_bytes or 0) + lost_bytes
    return replace(gap, lost_bytes=total, detail=f"{total} bytes were lost in many places from here on.")


class _Disk:
    """Chunks in a few unnamed files, first in, first out; true while it holds any.

    Loss: none; an ``append`` that raises has stored nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, bound: int) -> None:
        self.bound = bound
        self.used_bytes = 0
        self._folder = folder
        self._segment_bytes = bound // SEGMENTS
        self._segments: deque[_Segment] = deque()

    def __bool__(self) -> bool:
        return bool(self._segments)

    def has_room(self, size: int) -> bool:
        return self.used_bytes + size <= self.bound

    def append(self, chunk: bytes | bytearray) -> None:
        if self._segments and self._segments[-1].size_bytes + len(chunk) <= self._segment_bytes:
            self._segments[-1].append(chunk)
        else:
            self._segments.append(_segment_of(chunk, self._folder))
        self.used_bytes += len(chunk)

    @property
    def next_bytes(self) -> int:
        return self._segments[0].chunk_sizes[0]

    def take(self) -> bytes:
        """Return the oldest chunk and forget it, also when reading it raises OSError."""
        segment = self._segments[0]
        try:
            return segment.take()
        finally:
            if not segment.chunk_sizes:
                self.drop_segment()

    def drop_segment(self) -> int:
        """Forget the oldest file; return how many bytes in it had not been taken."""
        segment = self._segments.popleft()
        self.used_bytes -= segment.size_bytes
        segment.close()
        return sum(segment.chunk_sizes)

    def close(self) -> None:
        while self._segments:
            self.drop_segment()


class _Segment:
    """Some chunks in one unnamed file."""

    def __init__(self, file: FileIO) -> None:
        self.size_bytes = 0
        self.chunk_sizes: deque[int] = deque()
        self._taken_bytes = 0
        self._file = file

    def append(self, chunk: bytes | bytearray) -> None:
        self._file.seek(self.size_bytes)
        try:
            _write_all(self._file, chunk)
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self.size_bytes)
            raise
        self.size_bytes += len(chunk)
        self.chunk_sizes.append(len(chunk))

    def take(self) -> bytes:
        size, at = self.chunk_sizes.popleft(), self._taken_bytes
        self._taken_bytes += size
        chunk = os.pread(self._file.fileno(), size, at)
        if len(chunk) < size:
            raise OSError(errno.EIO, "the file is shorter than what was written to it")
        return chunk

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it holds is not wanted any more
            self._file.close()


def _segment_of(chunk: bytes | bytearray, folder: str | os.PathLike[str] | None) -> _Segment:
    segment = _Segment(_open_unnamed(folder))
    try:
        segment.append(chunk)
    except OSError:
        segment.close()
        raise
    return segment


def _open_unnamed(folder: str | os.PathLike[str] | None) -> FileIO:
    """Open a file that no folder lists (O_TMPFILE; where there is none, unlinked at once)."""
    return tempfile.TemporaryFile(dir=folder, buffering=0)


def _write_all(file: FileIO, chunk: bytes | bytearray) -> None:
    with memoryview(chunk) as view:
        done = 0
        while done < len(view):
            done += file.write(view[done:])
