"""Places in a pod's log: its lines are known again by the time that the cluster writes before each.

Holds: HEAD_BYTES of the last line, MAX_CHECKPOINTS places of a whole log.
Plan:  an API server gives lines since a whole second only, and from the present file on. So whoever goes on in a log
asks for that second and passes over what it has had: ``Trail`` notes the last line given out, ``Search`` finds it again
and gives what comes after it. When that line is not there any more, lines after it may be gone, too: that is said.

Not here: requests, threads.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

HEAD_BYTES = 4096
"""So much of a line is compared to know it again."""

MAX_CHECKPOINTS = 4096
"""Places kept of one reader, from which positions go on; of more, every second one is dropped."""

SINCE_MARGIN_S = 1
"""A log is asked for from so much earlier than the last line's second: clocks are set back a little now and then."""

STAMP_BYTES = 64
"""A line's time, and the space after it, are within so many first bytes of it."""

_STAMPS = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) ", re.MULTILINE)
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


class Head(NamedTuple):
    """The first bytes of a line: how many, and their digest."""

    size: int
    digest: str


@dataclass(frozen=True)
class Place:
    """The place within or after one line.

    Attributes:
        stamp: the line's time as it was written.
        nth: how many lines directly before it have the same time.
        size: so many bytes of the line are before the place.
        digest: of the first HEAD_BYTES of these.
        head: of the line, when nobody knows how many before it have the same time: it is the first that begins so.
    """

    stamp: bytes
    nth: int = 0
    size: int = 0
    digest: str = ""
    head: Head | None = None

    @property
    def since(self) -> str:
        """From when on the log must be asked for to find it."""
        seconds = _ts_ns(self.stamp) // 10**9 - SINCE_MARGIN_S
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def stamp_of(line: bytes) -> bytes:
    """Return a line's time as it is written; b"" when it has none."""
    found = _STAMP.match(line)
    return found[0] if found and line[found.end() : found.end() + 1] == b" " else b""


def _ts_ns(stamp: bytes) -> int:
    found = _STAMP.fullmatch(stamp)
    if found is None:
        raise ValueError(stamp)
    zone = found[3].decode().replace("Z", "+00:00")
    whole = datetime.fromisoformat(found[1].decode() + zone)
    return int(whole.timestamp()) * 10**9 + int((found[2] or b"").ljust(9, b"0") or 0)


def _digest(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=8).hexdigest()


class Trail:
    """Notes which lines have been given out; ``note`` each block, then ask for ``place`` and ``place_before``.

    A block may end within a line, but not within the time of one: ``cut_at`` says where it may.
    """

    def __init__(self, *, is_tail: bool = False) -> None:
        """Note from a log's start on; ``is_tail``: from somewhere in it, perhaps among lines of one time."""
        self._is_tail = is_tail
        self._first: tuple[int, Place] | None = None  # of a tail
        self._open = False  # the last line has no end yet
        self._stamp = b""
        self._nth = 0
        self._size = 0
        self._head = b""
        self._checkpoints: list[tuple[int, bytes]] = []
        self._every = 1
        self._passed = 0

    def cut_at(self, block: bytes) -> int:
        """Return how much of a block may be given out now."""
        begin = block.rfind(b"\n") + 1
        is_begun_now = begin > 0 or not self._open
        is_short = len(block) - begin < STAMP_BYTES and not stamp_of(block[begin:])
        return begin if is_begun_now and is_short else len(block)

    def without_stamps(self, block: bytes) -> bytes:
        """Return what is noted next without the times that the cluster wrote before the lines."""
        begin = (block.find(b"\n") + 1 or len(block)) if self._open else 0
        return block[:begin] + _STAMPS.sub(b"", block[begin:])

    def note(self, block: bytes, offset: int) -> None:
        """Take what comes next, which is called ``offset``."""
        first = block.find(b"\n") + 1 or len(block) if self._open else 0
        if first < len(block):
            stamp = stamp_of(block[first : first + STAMP_BYTES])
            if self._is_tail and self._first is None and stamp:
                line = block[first : first + HEAD_BYTES].partition(b"\n")[0]
                self._first = offset + first, Place(stamp, head=Head(len(line), _digest(line)))
            self._keep(offset + first, stamp)
            self._begin_last(block, first)
        else:
            self._head += block[: HEAD_BYTES - len(self._head)]
            self._size += len(block)
        self._open = not block.endswith(b"\n")

    def _begin_last(self, block: bytes, first: int) -> None:
        """Note the last line that begins in the block; its first one begins at ``first``."""
        at = max(first, block.rfind(b"\n", 0, len(block) - 1) + 1)
        stamp = stamp_of(block[at : at + STAMP_BYTES])
        self._head, self._size = block[at : at + HEAD_BYTES], len(block) - at
        nth = 0
        while at > first:
            at = max(first, block.rfind(b"\n", 0, at - 1) + 1)
            if stamp_of(block[at : at + STAMP_BYTES]) != stamp:
                break
            nth += 1
        else:
            nth += self._nth + 1 if self._stamp == stamp else 0
        self._stamp, self._nth = stamp, nth

    def _keep(self, offset: int, stamp: bytes) -> None:
        """Make a checkpoint of the first line of a time."""
        self._passed += 1
        if not stamp or stamp == self._stamp or self._passed % self._every:
            return
        if self._first is not None and stamp == self._first[1].stamp:
            return
        self._checkpoints.append((offset, stamp))
        if len(self._checkpoints) > MAX_CHECKPOINTS:
            del self._checkpoints[1::2]
            self._every *= 2

    @property
    def place(self) -> Place | None:
        """The place after all that was noted; None when no line with a time was."""
        return Place(self._stamp, self._nth, self._size, _digest(self._head)) if self._stamp else None

    @property
    def stamp(self) -> str:
        """The time of the last line."""
        return self._stamp.decode()

    def place_before(self, offset: int) -> tuple[Place, int] | None:
        """Return a place, and how many bytes after it ``offset`` is; None when no line with a time is before that."""
        number = bisect.bisect_right(self._checkpoints, (offset, b"\xff")) - 1
        if number >= 0:
            begin, stamp = self._checkpoints[number]
            return Place(stamp), offset - begin
        if self._first is not None and self._first[0] <= offset:
            return self._first[1], offset - self._first[0]
        return None


class Search:
    """Finds a place in a log that is read again from a little before it: ``feed`` gives what comes after it.

    Attributes:
        found: True: it was there, and nothing is missing. False: later lines came without it. None: not known yet.

    Memory: HEAD_BYTES of one line.
    """

    def __init__(self, place: Place) -> None:
        self.found: bool | None = None
        self._place = place
        self._ts_ns = _ts_ns(place.stamp)
        self._wanted = min(place.size, HEAD_BYTES) if place.head is None else place.head.size
        self._skip = max(0, place.size - self._wanted)
        self._nth = 0
        self._kept = b""
        self._in_line = False  # the rest of a line is being passed over

    def feed(self, block: bytes, *, at_end: bool = False) -> bytes:
        """Take what comes next; return what of it is after the place."""
        if self.found is None:
            self._kept += block
            self._drop_older()
            if not self._look(at_end=at_end):
                return b""
            block, self._kept = self._kept, b""
        passed = min(self._skip, len(block))
        self._skip -= passed
        return block[passed:]

    def _drop_older(self) -> None:
        """Pass over lines that are all older, without looking at each."""
        last = self._kept.rfind(b"\n") + 1
        last = last if last < len(self._kept) else self._kept.rfind(b"\n", 0, last - 1) + 1
        stamp = stamp_of(self._kept[last : last + STAMP_BYTES])
        if stamp and last and _ts_ns(stamp) < self._ts_ns:
            self._kept, self._in_line = self._kept[last:], False

    def _look(self, *, at_end: bool) -> bool:
        """Look at line after line; whether it is known now where the place is."""
        goes_on = True
        while goes_on and self.found is None:
            goes_on = self._step(at_end=at_end)
        return self.found is not None

    def _step(self, *, at_end: bool) -> bool:
        """Look at the next line, as far as it is there; False: more of it is needed."""
        if self._in_line:
            _, newline, self._kept = self._kept.partition(b"\n")
            self._in_line = not newline
        stamp = stamp_of(self._kept[:STAMP_BYTES])
        is_there = b"\n" in self._kept or len(self._kept) >= (self._wanted if stamp else STAMP_BYTES)
        if is_there or (at_end and self._kept):
            self._judge(stamp)
            return True
        return False

    def _judge(self, stamp: bytes) -> None:
        if stamp == self._place.stamp:
            self._judge_candidate()
        elif stamp and _ts_ns(stamp) > self._ts_ns:
            self._give_up()
        else:
            self._in_line = True

    def _judge_candidate(self) -> None:
        head = self._place.head
        if head is not None:
            self.found = True if _digest(self._kept[: head.size]) == head.digest else None
            self._in_line = self.found is None
        elif self._nth < self._place.nth:
            self._nth += 1
            self._in_line = True
        elif self._wanted and _digest(self._kept[: self._wanted]) != self._place.digest:
            self._give_up()
        else:
            self.found = True
            self._kept = self._kept[self._wanted :]

    def _give_up(self) -> None:
        self.found = False
        self._skip = 0


class Incoming:
    """The bytes of one answer, as they may be given out: what is known is passed over, no line's time is cut.

    Memory: STAMP_BYTES, and what a Search has.
    """

    def __init__(self, trail: Trail, search: Search | None) -> None:
        """Give what is after ``search``'s place; without one, all."""
        self.search = search
        self._trail = trail
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        """Take what comes next; return what may be given out now."""
        data = self._rest + (block if self.search is None else self.search.feed(block))
        size = self._trail.cut_at(data)
        self._rest = data[size:]
        return data[:size]

    def end(self, *, is_final: bool) -> bytes:
        """Return what was kept; when more will come, the beginning of a line without its time is not given out."""
        if self.search is not None:
            self._rest += self.search.feed(b"", at_end=True)
            if is_final and self.search.found is None:
                self.search.found = False
        is_told = is_final or self._rest.endswith(b"\n") or stamp_of(self._rest[:STAMP_BYTES])
        return self._rest if is_told else b""
