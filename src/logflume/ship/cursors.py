"""How far each sink has come: one small file for each, written aside and renamed.

Holds: a cursor names bytes that its sink has acknowledged, never others. It is whole or it is the one before: a file
       that does not fit its own checksum is set aside and told, and shipping begins anew rather than at a guess.
Plan:  ``save`` after each acknowledgement (the end of any process loses none of it); ``sync`` before what lies behind
       is removed from the disk, so that no power failure brings back a cursor whose bytes are gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.records import Identity, Position

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1
MAX_CURSOR_BYTES = 1024 * 1024
"""A longer file is no cursor."""

_ENDING = ".cursor"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Place:
    """How far one stream has been acknowledged.

    Attributes:
        position: the file, and the offset in it.
        offset: all bytes of the stream before that, those that were lost too; None where nobody counts them.
    """

    position: Position
    offset: int | None


class Cursor:
    """The cursor of one sink: a place in each stream. One thread uses it, and of all processes one."""

    def __init__(self, folder: Path, sink: str) -> None:
        """Read it; a sink that was never here has no places yet.

        Raises:
            UsageError: another process ships to that sink from here.
        """
        self._path = folder / (_UNSAFE.sub("-", sink)[:80] + f"-{zlib.crc32(sink.encode()):08x}{_ENDING}")
        self._lock = _lock(self._path.with_suffix(".lock"), sink)
        self.sink = sink
        self.damage: str | None = None
        self.places: dict[str, Place] = {}
        try:
            self.places = read_cursor(self._path).places
        except FileNotFoundError:
            pass
        except ValueError as error:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            self.damage = f"the cursor of {sink} is damaged ({error}); it was set aside as {aside.name}"

    def save(self, places: Mapping[str, Place]) -> None:
        """Keep these places, and those of other streams as they were.

        Raises:
            OSError: the disk takes no more; the file is as it was.
        """
        self.places = {**self.places, **places}
        body = json.dumps({"format": FORMAT, "sink": self.sink, "places": _plain(self.places)})
        beside = self._path.with_suffix(".part")
        beside.write_text(f"{zlib.crc32(body.encode()):08x} {body}\n", encoding="ascii")
        beside.replace(self._path)

    def close(self) -> None:
        """Let others ship to that sink."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(path: Path, sink: str) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"another process ships to {sink} from here: wait for it, or end it") from None
    return descriptor


def _plain(places: Mapping[str, Place]) -> dict[str, object]:
    return {name: asdict(place) for name, place in places.items()}


def read_cursor(path: Path) -> Stored:
    """Return what a file holds.

    Raises:
        ValueError: it is no cursor, or not a whole one.
    """
    with path.open("rb") as file:
        text = file.read(MAX_CURSOR_BYTES + 1)
    checksum, _, body = text.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        raise ValueError("its checksum is another one")
    known = json.loads(body)
    if known.get("format") != FORMAT:
        raise ValueError(f"its format is {known.get('format')!r}, not {FORMAT}")
    return Stored(known["sink"], {name: _place(plain) for name, plain in known["places"].items()})


def _place(plain: dict[str, dict[str, dict[str, str]]]) -> Place:
    position = plain["position"]
    identity = Identity(**position["identity"])  # type: ignore[arg-type]  # as _plain wrote it, by its checksum
    return Place(Position(identity, int(position["offset"])), plain["offset"])  # type: ignore[call-overload, arg-type]


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept of one sink."""

    sink: str
    places: dict[str, Place]


def move_back(folder: Path, stream: str, ends: Mapping[str, Place]) -> list[str]:
    """Where cursors are behind the end of a file, move them to that end; return whose.

    A power failure took bytes that sinks had had already. What comes next is written from the end on, and is not to be
    taken for those. A cursor that somebody uses is left alone: its reader sees the file itself.

    Args:
        folder: of the cursors.
        stream: its name.
        ends: the end of each of its files by key, the newest last.
    """
    moved = []
    for stored in read_all(folder):
        place = stored.places.get(stream)
        end = None if place is None else _end_before(place, ends)
        if end is not None:
            with contextlib.suppress(UsageError), contextlib.closing(Cursor(folder, stored.sink)) as cursor:
                cursor.save({stream: end})
                moved.append(stored.sink)
    return moved


def _end_before(place: Place, ends: Mapping[str, Place]) -> Place | None:
    """Return the end of its file that a place is behind; None while it is not, and of a file that is not there.

    Of such a file nothing is said: it may be a copy of the folder, whose files are known by their first bytes.
    """
    end = ends.get(place.position.identity.key)
    return end if end is not None and place.position.offset > end.position.offset else None


def read_all(folder: Path) -> list[Stored]:
    """Return what is kept of every sink that has a good cursor here."""
    found = []
    for path in sorted(folder.glob(f"*{_ENDING}")):
        with contextlib.suppress(OSError, ValueError):
            found.append(read_cursor(path))
    return found


def sync_all(folder: Path) -> None:
    """Bring every cursor to the disk."""
    for path in [*folder.glob(f"*{_ENDING}"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
