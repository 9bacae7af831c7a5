"""One captured stream on disk: plain files that anything can read, in a stated budget.

Holds: the newest bytes are in NAME, older ones in NAME.1, NAME.2, … (the higher, the older), as they came and nothing
       else: ``cat``, ``tail -F``, and ``sources.local`` read them. Together they have the budget's size at most;
       each byte that was given up before every sink had it is counted, on disk, before it goes.
Plan:  what writes never looks: ``append`` (pipe) or the child itself (direct) adds bytes. ``tick``, in a thread of its
       own, looks how files have grown, keeps the index of each (``chunks``), syncs, and in direct mode punches holes.
       A full segment is renamed: from the oldest on, each to the next number, so that whenever that breaks off, all
       are there in their order. ``docs/reference/segments.md`` tells the layout.
Recovery: numbers are closed up; an index that is missing or of another file is made anew; bytes that an index knows
       and the file has not (a power failure took them) are counted as lost; a torn last line is ended.
Not here: threads, processes.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import itertools
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.records import Position
from logflume.ship import chunks, cursors
from logflume.ship.ahead import Ahead
from logflume.ship.holes import has_writers, punch_hole
from logflume.ship.losses import Loss, Losses, sync
from logflume.sources.captured import SIDE
from logflume.sources.openfile import (
    FINGERPRINT_BYTES,
    KEPT_HEAD_BYTES,
    identity_of,
    key_text,
    punched_until,
)
from logflume.sources.rotation import rotated_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from logflume.sources.rotation import Key

BUDGET_BYTES = 1024 * 1024 * 1024
MIN_BUDGET_BYTES = 64 * 1024
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_SEGMENTS = 100
"""More files of one stream count as over the budget, however small they are."""

RECLAIM_S = 1.0
"""How often it is looked what every sink has, where space comes back then."""

RECLAIM_BYTES = 1024 * 1024
"""A hole grows by so much at least."""

SYNC_S = 0.5
"""How much ``Fsync.INTERVAL`` lets a power failure take."""

VERIFIED_BYTES = 64 * 1024 * 1024
"""So much of the end of the newest segment is compared with its index when a stream is opened again."""

_SEGMENTS_A_BUDGET = 8
_NAP_S = 0.05
_LOCK_NAP_S = 0.02
_LOCK_TRIES = 10


class Fsync(enum.Enum):
    """What a power failure may take. What a process loses when it is killed is nothing, always.

    ``NEVER``: what the system had not written by itself; on Linux up to some 30 seconds.
    ``INTERVAL``: the last SYNC_S seconds, and what one sync takes.
    ``ALWAYS``: nothing that was appended; each append waits for the disk. Not in direct mode, where nobody appends.
    """

    NEVER = "never"
    INTERVAL = "interval"
    ALWAYS = "always"


class Writer(enum.Enum):
    """Who adds bytes: ``US``, by ``append`` (pipe), or the ``CHILD`` itself (direct)."""

    US = "us"
    CHILD = "child"


class WhenOver(enum.Enum):
    """What happens when the budget is used up and a sink still has not had the oldest bytes.

    ``WAIT``: nothing is read from the child until sinks have gone on; its writes wait then. Pipe only.
    ``DROP_OLDEST``: the oldest go, counted; readers and sinks see a Gap.
    ``STOP_CHILD``: the child is asked to end (SIGTERM); what it still writes is kept, over the budget.
    """

    WAIT = "wait"
    DROP_OLDEST = "drop-oldest"
    STOP_CHILD = "stop-child"


class Reclaim(enum.Enum):
    """When space comes back.

    ``OVER_BUDGET``: when the budget is used up; until then all can be read here.
    ``DELIVERED``: when every sink has acknowledged the bytes, and there is a sink.
    """

    OVER_BUDGET = "over-budget"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a stream is kept.

    Attributes:
        budget_bytes: for all its segments together.
        when_over: what happens beyond.
        segment_bytes: a segment of this size is full; an eighth of the budget, and MAX_SEGMENT_BYTES at most, if None.
        max_age_s: so is one that was begun so long ago, when something comes.
        fsync: what a power failure may take.
        reclaim: when space comes back before the budget is used up.
        keep_s: a full segment goes when its last byte came so long ago; what some sink has not had of it is counted.
    """

    budget_bytes: int = BUDGET_BYTES
    when_over: WhenOver = WhenOver.DROP_OLDEST
    segment_bytes: int | None = None
    max_age_s: float | None = None
    fsync: Fsync = Fsync.NEVER
    reclaim: Reclaim = Reclaim.OVER_BUDGET
    keep_s: float | None = None

    def full_bytes(self) -> int:
        """Return when a segment is full."""
        return self.segment_bytes or min(MAX_SEGMENT_BYTES, self.budget_bytes // _SEGMENTS_A_BUDGET)


@dataclass(eq=False)
class Segment:
    """One file of a stream.

    Attributes:
        base: offset in the stream at which it begins.
        key: device and inode.
        began_ns: when it was begun.
        size_bytes: as far as is known here.
        index: the file beside it.
        chunks: what writes that; None when all is written.
        sealed: whether no byte comes any more.
        punched_bytes: so much of its beginning, KEPT_HEAD_BYTES but, is a hole.
    """

    base: int
    key: Key
    began_ns: int
    size_bytes: int
    index: Path
    chunks: chunks.Chunks | None = None
    sealed: bool = False
    punched_bytes: int = 0

    @property
    def end(self) -> int:
        """Offset in the stream at which it ends."""
        return self.base + self.size_bytes


@dataclass
class Stats:
    """Figures of one stream since it was opened."""

    waits: int = 0
    waited_s: float = 0.0
    refused: str | None = None
    sync_error: str | None = None
    removed_bytes: int = field(default=0)


class Segments:
    """The files of one stream. One thread appends, one ticks; whoever opens it has it for himself.

    Order:  as appended.
    Loss:   by ``rules`` only; each is in ``losses`` before it happens.
    Memory: MAX_SEGMENTS times what Segment says, and a piece of the index's.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        rules: Rules | None = None,
        *,
        writer: Writer = Writer.US,
        stop_child: Callable[[], object] = lambda: None,
        seen: Callable[[bytes], object] | None = None,
    ) -> None:
        """Open, recover and go on with stream ``name`` in ``folder``, which is made if it is not there.

        ``seen`` is told what comes, in pieces cut anywhere, by the thread that ticks.

        Raises:
            UsageError: rules that cannot be kept; somebody else has this stream open.
            OSError: the folder cannot be written.
        """
        self.rules = rules or Rules()
        self._writer = writer
        if writer is Writer.CHILD and self.rules.when_over is WhenOver.WAIT:
            raise UsageError("a child that writes into its segment itself cannot be made to wait: capture by a pipe")
        if writer is Writer.CHILD and self.rules.fsync is Fsync.ALWAYS:
            raise UsageError("what a child writes into its segment itself is synced at intervals, or never")
        if self.rules.budget_bytes < MIN_BUDGET_BYTES:
            raise UsageError(f"a budget is at least {MIN_BUDGET_BYTES} bytes, not {self.rules.budget_bytes}")
        self.folder, self.name = folder, name
        self.path = folder / name
        self.stats = Stats()
        self.ended = threading.Event()
        self._side = folder / SIDE
        self._stop_child = stop_child
        self._seen = seen
        self._ahead = Ahead(self.rules.budget_bytes)
        self._asked_to_stop = False
        self._shifting = False
        self._torn = False
        self._synced_s = time.monotonic()
        self._reclaimed_s = float("-inf")
        (self._side / "cursors").mkdir(parents=True, exist_ok=True)
        self._lock_file = lock(self._side / f"{name}.lock", tries=_LOCK_TRIES)
        durable = self.rules.fsync is not Fsync.NEVER
        self.losses = Losses(self._side / f"{name}.losses", self._side / f"{name}.reserve", durable=durable)
        self._segments: list[Segment] = []
        self._forgotten: list[Segment] = []
        self._recover()
        self._descriptor = self._open_live()
        self._reclaim()

    # who writes

    @property
    def descriptor(self) -> int:
        """The newest segment, to be written to by a child: every write goes to its end."""
        return self._descriptor

    def append(self, data: bytes | memoryview) -> None:
        """Add bytes; waits under ``WhenOver.WAIT``, and while the disk takes nothing under any but DROP_OLDEST.

        Nothing waits any more once ``ended`` is set: the budget may then be exceeded, and what a disk refuses is given
        up. Bytes that are given up are counted; the line that they tear is ended.
        """
        full_bytes = self.rules.full_bytes()
        for start in range(0, len(data), full_bytes):
            self._append(memoryview(data)[start : start + full_bytes])

    def _append(self, data: bytes | memoryview) -> None:
        if self._is_full(len(data)):
            self._try_to_rotate(len(data))
        if self._torn:
            data = self._end_of_torn_line() + bytes(data)
            self._torn = False
        left = memoryview(data)
        while left:
            try:
                written = os.write(self._descriptor, left)
            except OSError as error:
                self.stats.refused = error.strerror
                if not self._after_refusal(error, len(left)):
                    self._torn = True
                    return
                continue
            self._segments[-1].size_bytes += written
            left = left[written:]
        if self.rules.fsync is Fsync.ALWAYS:
            os.fdatasync(self._descriptor)

    def _is_full(self, more: int) -> bool:
        live = self._segments[-1]
        if not live.size_bytes:
            return False
        age_s = self.rules.max_age_s
        is_old = age_s is not None and time.time_ns() - live.began_ns >= age_s * 1e9
        return is_old or live.size_bytes + more > self.rules.full_bytes()

    def _after_refusal(self, error: OSError, size: int) -> bool:
        """Make room on a disk that refused ``size`` bytes; False when they are given up."""
        if self.rules.when_over is WhenOver.DROP_OLDEST:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            if full and len(self._segments) > 1 and not self._shifting:
                self._drop_oldest(self._acknowledged())
                return True
        elif self.rules.when_over is WhenOver.STOP_CHILD:
            self._ask_to_stop()
        if self.rules.when_over is not WhenOver.DROP_OLDEST and not self.ended.wait(_NAP_S):
            return True
        self.losses.add(Loss(time.time_ns(), self._segments[-1].end, size, "the disk took no more"))
        return False

    def _end_of_torn_line(self) -> bytes:
        live = self._segments[-1]
        if not live.size_bytes:
            return b""
        with self.path.open("rb") as file:
            return b"" if os.pread(file.fileno(), 1, live.size_bytes - 1) == b"\n" else b"\n"

    # from one segment to the next

    def _try_to_rotate(self, more: int) -> None:
        """Go on in a new segment; in this one, for the time being, where the folder takes no new file."""
        try:
            if self._shifting:  # and that broke off
                self._undo_shift()
            self._make_room(more)
            self._rotate()
        except OSError as error:
            self.stats.refused = error.strerror

    def _rotate(self) -> None:
        self._shifting = True
        for number in range(len(self._segments) - 1, -1, -1):
            self._path_of(number).rename(self._path_of(number + 1))
        full = self._segments[-1]
        self._begin_segment(full.end)
        full.sealed = True
        self._shifting = False
        descriptor, self._descriptor = self._descriptor, self._open_live()
        try:
            if self.rules.fsync is not Fsync.NEVER:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def _undo_shift(self) -> None:
        first = self._path_of(1)
        live = os.fstat(self._descriptor)
        if first.exists() and (first.stat().st_dev, first.stat().st_ino) == (live.st_dev, live.st_ino):
            first.rename(self.path)  # over an empty one at most
        self._close_up(rotated_set(self.path))
        self._shifting = False

    def _path_of(self, number: int) -> Path:
        return self.path.with_name(f"{self.name}.{number}") if number else self.path

    def _begin_segment(self, base: int) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            status = os.fstat(descriptor)
            began_ns = time.time_ns()
            key = (status.st_dev, status.st_ino)
            index = self._side / f"{self.name}.{base:020d}.index"
            chunks.begin(index, chunks.Header(base, key, began_ns))
            if self.rules.fsync is not Fsync.NEVER:
                sync(self.folder)
                sync(self._side)
            writer = chunks.Chunks(index, descriptor, self._seen)
        except OSError:
            os.close(descriptor)
            raise
        self._segments.append(Segment(base, key, began_ns, 0, index, writer))

    def _open_live(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def _make_room(self, more: int) -> None:
        """Remove what every sink has, and then what must go, until the next segment, or ``more`` bytes, fit."""
        self._reclaim()
        allowed = max(0, self.rules.budget_bytes - max(more, self.rules.full_bytes()))
        while sum(each.size_bytes for each in self._segments) > allowed or len(self._segments) >= MAX_SEGMENTS:
            if len(self._segments) < 2:  # noqa: PLR2004 - the newest, and one to remove
                return
            acknowledged = self._acknowledged()
            if self._segments[0].end <= acknowledged or self.rules.when_over is WhenOver.DROP_OLDEST:
                self._drop_oldest(acknowledged)
            elif self.rules.when_over is WhenOver.STOP_CHILD:
                self._ask_to_stop()
                return
            elif not self._wait_for_sinks():
                return

    def _reclaim(self) -> None:
        """Remove older segments that every sink has, if that is wanted, and those that have been kept long enough."""
        if self.rules.reclaim is Reclaim.OVER_BUDGET and self.rules.keep_s is None:
            return
        acknowledged = self._acknowledged()
        while len(self._segments) > 1:
            delivered = self.rules.reclaim is Reclaim.DELIVERED and self._segments[0].end <= acknowledged
            if not delivered and not self._is_too_old():
                return
            self._drop_oldest(acknowledged, "it was kept for as long as it should be")

    def _is_too_old(self) -> bool:
        if self.rules.keep_s is None:
            return False
        changed_s = self._path_of(len(self._segments) - 1).stat().st_mtime
        return time.time() - changed_s >= self.rules.keep_s

    def _wait_for_sinks(self) -> bool:
        self.stats.waits += 1
        self.stats.waited_s += _NAP_S
        return not self.ended.wait(_NAP_S)

    def _ask_to_stop(self) -> None:
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self._stop_child()

    def _drop_oldest(self, acknowledged: int, reason: str = "over the budget") -> None:
        oldest = self._segments[0]
        start = max(oldest.base + oldest.punched_bytes, min(acknowledged, oldest.end))
        if start < oldest.end:
            self.losses.add(Loss(time.time_ns(), start, oldest.end - start, reason))
        with contextlib.suppress(OSError):
            cursors.sync_all(self._side / "cursors")
        oldest.sealed = True
        self._path_of(len(self._segments) - 1).unlink(missing_ok=True)
        oldest.index.unlink(missing_ok=True)
        self.stats.removed_bytes += oldest.size_bytes
        del self._segments[0]
        if oldest.chunks is not None:
            self._forgotten.append(oldest)

    def _acknowledged(self) -> int:
        """Return up to which offset of the stream every sink has it; the beginning when there is no sink."""
        kept = cursors.read_all(self._side / "cursors")
        return min((self._offset_of(each.places.get(self.name)) for each in kept), default=0)

    def _offset_of(self, place: cursors.Place | None) -> int:
        if place is None:
            return 0
        for segment in self._segments:
            if key_text(segment.key) == place.position.identity.key:
                return segment.base + place.position.offset
        return 0

    # who looks

    def tick(self, now_ns: int | None = None, *, to_end: bool = False) -> None:
        """Keep indexes and, in direct mode, the budget; sync when it is time. In one thread, again and again."""
        now_ns = time.time_ns() if now_ns is None else now_ns
        while self._forgotten:
            _close_index(self._forgotten.pop())
        for segment in list(self._segments):
            self._index(segment, now_ns, to_end=to_end)
        if self._writer is Writer.CHILD:
            self._segments[-1].size_bytes = os.fstat(self._descriptor).st_size
            if not self.ended.is_set():
                self._hold_ahead(self._segments[-1])
            self._keep_budget()
        self._sync()

    def _index(self, segment: Segment, now_ns: int, *, to_end: bool) -> None:
        if segment.chunks is None:
            return
        sealed = segment.sealed  # looked at before the bytes: what is sealed then does not grow
        segment.chunks.look(now_ns, to_end=sealed or to_end)
        if sealed:
            _close_index(segment)

    def _sync(self) -> None:
        if self.rules.fsync is not Fsync.INTERVAL or time.monotonic() - self._synced_s < SYNC_S:
            return
        writer = self._segments[-1].chunks
        try:
            if writer is not None:
                writer.sync()
        except OSError as error:
            self.stats.sync_error = error.strerror
        self._synced_s = time.monotonic()

    def _keep_budget(self) -> None:
        """Where the newest segment grows on: remove older ones, then punch a hole into it behind what must be kept."""
        live = self._segments[-1]
        if time.monotonic() - self._reclaimed_s >= RECLAIM_S:
            self._reclaimed_s = time.monotonic()
            self._reclaim()
            self._punch_delivered(live)
        used = os.fstat(self._descriptor).st_blocks * 512
        older = sum(each.size_bytes for each in self._segments[:-1])
        if used + older <= self.rules.budget_bytes:
            return
        if older:
            acknowledged = self._acknowledged()
            if self._segments[0].end <= acknowledged or self.rules.when_over is WhenOver.DROP_OLDEST:
                self._drop_oldest(acknowledged)
                return
        self._punch(live)

    def _hold_ahead(self, live: Segment) -> None:
        """Hold disk for what the child writes next; on a full disk make room for it, or ask the child to stop."""
        if self._ahead.hold(self._descriptor, live.size_bytes):
            return
        self.stats.refused = os.strerror(errno.ENOSPC)
        if self.rules.when_over is not WhenOver.DROP_OLDEST:
            self._ask_to_stop()
        elif len(self._segments) > 1:
            self._drop_oldest(self._acknowledged())
        else:
            start = max(KEPT_HEAD_BYTES, live.punched_bytes)
            self._give_up(live, start + (live.size_bytes - start) // 2, "the disk took no more")

    def _punch_delivered(self, live: Segment) -> None:
        """Give back what every sink has, RECLAIM_BYTES at a time at least."""
        if self.rules.reclaim is not Reclaim.DELIVERED:
            return
        until = (self._acknowledged() - live.base) // KEPT_HEAD_BYTES * KEPT_HEAD_BYTES
        if until - max(KEPT_HEAD_BYTES, live.punched_bytes) >= RECLAIM_BYTES:
            self._punch_until(live, until)

    def _punch(self, live: Segment) -> None:
        size_bytes = os.fstat(self._descriptor).st_size
        until = (size_bytes - self.rules.budget_bytes * 7 // 8) // KEPT_HEAD_BYTES * KEPT_HEAD_BYTES
        acknowledged = self._acknowledged() - live.base
        if self.rules.when_over is not WhenOver.DROP_OLDEST and acknowledged < until:
            self._ask_to_stop()
            until = acknowledged // KEPT_HEAD_BYTES * KEPT_HEAD_BYTES
        self._give_up(live, until, "over the budget")

    def _give_up(self, live: Segment, until: int, reason: str) -> None:
        """Give up the newest segment up to ``until``; what some sink has not had is counted before."""
        until = until // KEPT_HEAD_BYTES * KEPT_HEAD_BYTES
        start = max(KEPT_HEAD_BYTES, live.punched_bytes)
        if until <= start:
            return
        lost_from = max(start, self._acknowledged() - live.base)
        if lost_from < until:
            self.losses.add(Loss(time.time_ns(), live.base + lost_from, until - lost_from, reason))
        self._punch_until(live, until)

    def _punch_until(self, live: Segment, until: int) -> None:
        with contextlib.suppress(OSError):
            cursors.sync_all(self._side / "cursors")
        try:
            punch_hole(self.path, KEPT_HEAD_BYTES, until - KEPT_HEAD_BYTES)
        except OSError as error:
            self.stats.refused = f"no holes can be punched here ({error.strerror})"
            return
        self.stats.removed_bytes += until - max(KEPT_HEAD_BYTES, live.punched_bytes)
        live.punched_bytes = until

    # opening and closing

    def _recover(self) -> None:
        files = [path for path in rotated_set(self.path) if path.suffix not in (".gz", ".zst")]
        known = dict(self._iter_indexes())
        for key in known.keys() - {_key_of(path) for path in files}:
            known.pop(key).unlink()  # of a file that is not there any more
        for path, base in zip(files, bases_of(files, known), strict=True):
            self._segments.append(self._recover_segment(path, known, base))
        self._close_up(files)
        self._move_cursors_back()
        if not self.path.exists():
            self._begin_segment(self._segments[-1].end if self._segments else 0)
        self._end_torn_line()

    def _move_cursors_back(self) -> None:
        """See that no sink waits behind the end: what comes next would be taken for what it has had."""
        ends = {}
        for path, segment in zip(rotated_set(self.path), self._segments, strict=False):
            with path.open("rb") as file:
                first = os.pread(file.fileno(), FINGERPRINT_BYTES, 0)
            position = Position(identity_of(segment.key, first), segment.size_bytes)
            ends[position.identity.key] = cursors.Place(position, segment.end)
        if ends:
            with contextlib.suppress(OSError):
                cursors.move_back(self._side / "cursors", self.name, ends)

    def _iter_indexes(self) -> Iterator[tuple[Key, Path]]:
        for path in sorted(self._side.glob(f"{self.name}.*.index")):
            header = chunks.read_header(path)
            if header is None:
                path.replace(path.with_suffix(".damaged"))
            else:
                yield header.key, path

    def _recover_segment(self, path: Path, known: dict[Key, Path], base: int) -> Segment:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        index = self._side / f"{self.name}.{base:020d}.index"
        began_ns = status.st_mtime_ns
        header = chunks.read_header(known[key]) if key in known else None
        if header is not None and header.base == base:
            began_ns = header.began_ns
        else:
            if key in known:
                known[key].unlink()
            chunks.rebuild(index, chunks.Header(base, key, began_ns), descriptor)
        if path == self.path:
            self._count_damage(descriptor, index, chunks.Header(base, key, began_ns))
        writer = chunks.Chunks(index, descriptor, self._seen)
        segment = Segment(base, key, began_ns, status.st_size, index, writer, path != self.path)
        segment.punched_bytes = punched_until(descriptor)
        return segment

    def _count_damage(self, descriptor: int, index: Path, header: chunks.Header) -> None:
        """Count what the end of the system took of the newest segment, or changed in it; then index it as it is."""
        size_bytes = os.fstat(descriptor).st_size
        first = max(punched_until(descriptor), size_bytes - VERIFIED_BYTES)
        damages = list(chunks.iter_damage(descriptor, index, first))
        for damage in damages:
            start = damage.start if damage.end <= size_bytes else max(damage.start, size_bytes)
            reason = "gone or changed when the system ended"
            self.losses.add(Loss(time.time_ns(), header.base + start, damage.end - start, reason))
        if damages:
            chunks.rebuild(index, header, descriptor)

    def _close_up(self, files: list[Path]) -> None:
        """Number rotated files from 1 on again, the newest first: a rotation may have been broken off."""
        rotated = [path for path in reversed(files) if path != self.path]
        for number, path in enumerate(rotated, 1):
            if path != self._path_of(number):
                path.rename(self._path_of(number))

    def _end_torn_line(self) -> None:
        """End the last line where whoever wrote it is gone: the next output is not its rest."""
        written = next((number for number, each in enumerate(reversed(self._segments)) if each.size_bytes), None)
        if written is None:
            return
        with self._path_of(written).open("rb") as file:
            last = os.pread(file.fileno(), 1, os.fstat(file.fileno()).st_size - 1)
            if last == b"\n" or has_writers(file.fileno()):
                return
        with self.path.open("ab", buffering=0) as file:
            file.write(b"\n")
        self._segments[-1].size_bytes += 1

    def abandon(self) -> None:
        """Release the descriptors and nothing else, in a forked process: the stream is another's."""
        for segment in itertools.chain(self._segments, self._forgotten):
            _close_index(segment)
        os.close(self._descriptor)
        os.close(self._lock_file)

    def close(self) -> None:
        """Index what came last, sync if that is wanted, and release all; nobody appends any more."""
        self.ended.set()
        self.tick(to_end=True)
        if self.rules.fsync is not Fsync.NEVER:
            self._synced_s = 0.0
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)
        for segment in itertools.chain(self._segments, self._forgotten):
            _close_index(segment)
        os.close(self._descriptor)
        self._ahead.release(self.path)
        os.close(self._lock_file)

    # what is known

    @property
    def size_bytes(self) -> int:
        """What is kept, holes not counted."""
        return sum(each.size_bytes - each.punched_bytes for each in self._segments)

    @property
    def end(self) -> int:
        """Offset in the stream behind the last byte, those counted that were removed."""
        return self._segments[-1].end


def _close_index(segment: Segment) -> None:
    if segment.chunks is not None:
        segment.chunks.close()
        segment.chunks = None


def bases_of(files: list[Path], known: dict[Key, Path]) -> list[int]:
    """Return where in the stream each file begins: as its index says, else just before or behind the others."""
    sizes = [path.stat().st_size for path in files]
    headers = [chunks.read_header(known[key]) if (key := _key_of(path)) in known else None for path in files]
    first = next((number for number, header in enumerate(headers) if header is not None), 0)
    base = 0
    if headers and (header := headers[first]) is not None:
        base = max(0, header.base - sum(sizes[:first]))
    bases = []
    for size_bytes, header in zip(sizes, headers, strict=True):
        base = base if header is None else max(base, header.base)
        bases.append(base)
        base += size_bytes
    return bases


def _key_of(path: Path) -> Key:
    status = path.stat()
    return status.st_dev, status.st_ino


def lock(path: Path, *, tries: int = 1) -> int:
    """Take the lock that says that a stream is being captured; return the descriptor that holds it.

    It is tried several times, for whoever only looks holds it for a moment.

    Raises:
        UsageError: somebody else has it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    for _ in range(tries):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        time.sleep(_LOCK_NAP_S)
    os.close(descriptor)
    raise UsageError(f"{path.parent.parent} is being captured into: choose another folder")
