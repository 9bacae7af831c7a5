"""Streams that others send: each batch is added to its stream once, however often it comes.

Holds: a batch is on the disk whole, once, and no other one is cut by it. Nothing is written outside of the folder; a
       name that could lead there is none. At most MAX_OPEN streams are open, MAX_STREAMS are kept.
Plan:  each stream is ``segments`` of its own, in its budget. Before a batch is added, its key and where it will end
       are noted beside the stream; a key whose end is there was taken. What was noted and is not there, because the
       process was killed, is forgotten when the stream is opened again.
Order: of one stream as the calls came. Loss: beyond the budget, the oldest, counted. Twice: a batch that comes again
       after MAX_KEYS others, without a key, or after a kill in the middle of its write (the first part of it).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from logflume.closing import Closing
from logflume.errors import LogflumeError, UsageError
from logflume.ship.recording import Watch
from logflume.ship.segments import Rules, Segments
from logflume.sources.captured import SIDE
from logflume.sources.opening import is_inside

if TYPE_CHECKING:
    from pathlib import Path

MAX_OPEN = 64
"""Each open stream costs a thread that looks after it, and some descriptors."""

MAX_STREAMS = 10_000
"""A batch of one more is refused."""

MAX_PARTS = 8
MAX_NAME_CHARS = 512
MAX_KEYS = 64
"""So many batches of a stream are known again."""

ROOM_BYTES = 64 * 1024 * 1024
"""Nothing is taken when the disk has less than that."""

_PART = re.compile(r"[A-Za-z0-9_=@+-][A-Za-z0-9_=@+:,.-]{0,127}")
_ENDING = ".log"


class NoRoom(LogflumeError):
    """Nothing was taken, because there is no room: the disk is full, or there are too many streams. Offer it later."""


class Taken(Closing):
    """The streams in one folder. Any thread may add to them; no other process may have them open."""

    def __init__(self, folder: Path, rules: Rules | None = None) -> None:
        """Open nothing yet."""
        self._folder = folder
        self._rules = rules
        self._open: OrderedDict[str, _Stream] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str, lines: bytes, key: str | None) -> bool:
        """Add whole lines to a stream, which is made if it is not there; False: the batch of that key is there already.

        Raises:
            UsageError: ``name`` is none of a stream.
            NoRoom: nothing was taken.
            OSError: nothing was taken; the folder cannot be written.
        """
        check_name(name)
        if not lines.endswith(b"\n"):
            lines += b"\n"
        if shutil.disk_usage(self._folder).free < len(lines) + ROOM_BYTES:
            raise NoRoom("the disk is full")
        while True:
            stream = self._stream(name)
            with stream.lock:
                if not stream.is_closed:
                    return stream.add(lines, key)

    def _stream(self, name: str) -> _Stream:
        with self._lock:
            stream = self._open.get(name)
            if stream is None:
                path = self._path_of(name)
                stream = self._open[name] = _Stream(path.parent, path.name, self._rules)
            self._open.move_to_end(name)
            surplus = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MAX_OPEN)]
            for old in surplus:  # before anybody opens one of them again
                old.close()
        return stream

    def _path_of(self, name: str) -> Path:
        """Return where a stream lies; its folder is made.

        Raises:
            UsageError: something that was linked leads out of the folder, or is in the way.
            NoRoom: there are too many.
        """
        path = self._folder / name
        if not is_inside(str(path), str(self._folder)):
            raise UsageError("this name leads out of the folder")
        if not path.exists():
            there = itertools.islice(self._folder.rglob(f"*{_ENDING}"), MAX_STREAMS)
            if sum(1 for _ in there) >= MAX_STREAMS:
                raise NoRoom(f"there are {MAX_STREAMS} streams")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UsageError("a part of this name is a stream itself") from None
        return path

    def close(self) -> None:
        """Release all; what was added stays."""
        with self._lock:
            streams = list(self._open.values())
            self._open.clear()
        for stream in streams:
            stream.close()


def check_name(name: str) -> None:
    """Refuse what is no name of a stream.

    Raises:
        UsageError: with what was expected.
    """
    parts = name.split("/")
    fits = len(name) <= MAX_NAME_CHARS and len(parts) <= MAX_PARTS and all(map(_PART.fullmatch, parts))
    if not fits or not name.endswith(_ENDING):
        raise UsageError(
            f"expected the name of a stream such as HOST/scheduler/out.log: up to {MAX_PARTS} parts of letters, "
            f"digits and _=@+:,.- (none begins with a dot), {MAX_NAME_CHARS} characters at most, {_ENDING} at the end"
        )


class _Stream:
    """One of them; who uses it has its lock."""

    def __init__(self, folder: Path, name: str, rules: Rules | None) -> None:
        self.lock = threading.Lock()
        self.is_closed = False
        self._segments = Segments(folder, name, rules)
        self._watch = Watch([self._segments])
        self._watch.start()
        self._note = folder / SIDE / f"{name}.taken"
        noted, end = _read_keys(self._note), self._segments.end
        self._keys = {key: until for key, until in noted.items() if until <= end}
        if len(self._keys) < len(noted):
            self._write_keys()

    def add(self, lines: bytes, key: str | None) -> bool:
        if key in self._keys:
            return False
        before = self._segments.end
        if key is not None:
            self._note_key(key, before + len(lines))
        self._segments.append(lines)
        if self._segments.end - before >= len(lines):
            return True
        if key is not None:
            del self._keys[key]
            self._write_keys()
        raise NoRoom("the disk is full")

    def _note_key(self, key: str, until: int) -> None:
        self._keys[key] = until
        for oldest in list(self._keys)[:-MAX_KEYS]:
            del self._keys[oldest]
        try:
            self._write_keys()
        except OSError:
            del self._keys[key]
            raise

    def _write_keys(self) -> None:
        beside = self._note.with_name(f"{self._note.name}.part")
        beside.write_text(json.dumps(self._keys), encoding="ascii")
        beside.replace(self._note)

    def close(self) -> None:
        with self.lock:
            self.is_closed = True
            self._watch.end()
            self._segments.close()


def _read_keys(note: Path) -> dict[str, int]:
    """Return the keys that were noted; none of a note that is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(note.read_text("ascii"))
        if isinstance(found, dict) and all(isinstance(until, int) for until in found.values()):
            return found
    return {}
