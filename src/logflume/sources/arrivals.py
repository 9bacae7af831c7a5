"""When the bytes of a captured file came: the index that a capture keeps beside each of its files, as read.

Holds: nothing is believed that does not carry its checksum; nothing is read outside of the root; nothing is held open.
Plan:  an index names its file by device and inode. It is HEADER and then entries of one size, so that those about some
       bytes are found by halving. ``docs/reference/segments.md`` tells the layout.
Memory: MAX_TIMES entries; where more are about a block, so many of them, evenly spread.
Not here: writing it (``logflume.ship.chunks``).
"""

from __future__ import annotations

import bisect
import contextlib
import os
import struct
import time
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from logflume.sources.captured import SIDE
from logflume.sources.opening import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logflume.sources.rotation import Key

MAGIC = b"LFsegm01"

HEADER = struct.Struct("<8sQQQqI")
"""Magic, base, device, inode, time in ns, CRC-32 of all that."""

ENTRY = struct.Struct("<QqII")
"""End within the segment, time in ns, CRC-32 of the bytes since the entry before, CRC-32 of all that."""

MAX_TIMES = 16_384
"""So many times are told of one block; that is one for each second of four hours and a half."""

MAX_INDEXES = 1000
"""So many indexes of one stream are looked at for that of a file; a capture keeps a tenth of that."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an index is about.

    Attributes:
        base: offset in the stream at which the segment begins: all bytes that ever came before it.
        key: device and inode of the segment.
        began_ns: when it was begun.
    """

    base: int
    key: Key
    began_ns: int

    def pack(self) -> bytes:
        """Return it as it is in a file."""
        return _checked(HEADER, MAGIC, self.base, *self.key, self.began_ns)


@dataclass(frozen=True, slots=True)
class Entry:
    """Bytes of a segment up to ``end``, which had come at ``time_ns``; ``crc`` is of those since the last entry."""

    end: int
    time_ns: int
    crc: int

    def pack(self) -> bytes:
        """Return it as it is in a file."""
        return _checked(ENTRY, self.end, self.time_ns, self.crc)


def _checked(layout: struct.Struct, *values: object) -> bytes:
    body = layout.pack(*values, 0)[:-4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def _unpack(layout: struct.Struct, data: bytes) -> tuple[Any, ...] | None:
    if len(data) != layout.size or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    return layout.unpack(data)


def header_of(data: bytes) -> Header | None:
    """Return the header that an index begins with; None when it is none."""
    values = _unpack(HEADER, data[: HEADER.size])
    if values is None or values[0] != MAGIC:
        return None
    _, base, device, inode, began_ns, _ = values
    return Header(base, (device, inode), began_ns)


def read_header(path: Path) -> Header | None:
    """Return the header of an index; None when the file is not there or is none."""
    try:
        with path.open("rb") as file:
            return header_of(file.read(HEADER.size))
    except OSError:
        return None


def iter_entries(path: Path, first: int = 0) -> Iterator[Entry]:
    """Yield the good entries of an index from number ``first`` on, up to the first bad one."""
    with path.open("rb") as file:
        yield from entries_in(file, first)


def entries_in(file: BinaryIO, first: int = 0) -> Iterator[Entry]:
    """Yield the same of an open one."""
    end = 0
    file.seek(HEADER.size + first * ENTRY.size)
    while values := _unpack(ENTRY, file.read(ENTRY.size)):
        entry = Entry(*values[:3])
        if entry.end <= end:
            return
        end = entry.end
        yield entry


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are not what came."""

    start: int
    end: int


class Known:
    """When the bytes of one segment came, and what they were; what its index says is read once."""

    def __init__(self, open_index: Callable[[], BinaryIO]) -> None:
        self._open_index = open_index
        self._ends: list[int] = []
        self._times_ns: list[int] = []
        self._crcs: list[int] = []
        self._summed_to: int | None = None  # the sum of the bytes from the entry's start on to there is known
        self._entry = 0
        self._crc = 0

    def arrived_ns(self, offset: int) -> int:
        """Return when the byte at ``offset`` had come: as its index says, or now."""
        if not self._ends or offset >= self._ends[-1]:
            self._read_on()
        number = bisect.bisect_right(self._ends, offset)
        return self._times_ns[number] if number < len(self._ends) else time.time_ns()

    def _read_on(self) -> None:
        with contextlib.suppress(OSError), self._open_index() as file:
            for entry in entries_in(file, len(self._ends)):
                self._ends.append(entry.end)
                self._times_ns.append(entry.time_ns)
                self._crcs.append(entry.crc)

    def iter_damage(self, offset: int, block: bytes) -> Iterator[Damage]:
        """Sum up the bytes of a block, and yield the stretches whose sums are others than the index says.

        What is read before the index tells of it is not compared, nor what is read only in part.
        """
        end = offset + len(block)
        if not block:  # nothing to sum up, and where it begins may be within what comes
            return
        if not self._ends or end > self._ends[-1]:
            self._read_on()
        if self._summed_to != offset:
            self._entry, self._crc = bisect.bisect_left(self._ends, offset), 0
            self._entry += self._start < offset
        at, view = max(offset, self._start), memoryview(block)
        while at < end and self._entry < len(self._ends):
            stop = min(self._ends[self._entry], end)
            self._crc = zlib.crc32(view[at - offset : stop - offset], self._crc)
            at = stop
            if at == self._ends[self._entry]:
                if self._crc != self._crcs[self._entry]:
                    yield Damage(self._start, at)
                self._entry, self._crc = self._entry + 1, 0
        self._summed_to = at if at == end else None

    @property
    def _start(self) -> int:
        """Where the present entry's bytes begin."""
        return self._ends[min(self._entry, len(self._ends)) - 1] if self._entry and self._ends else 0


class Arrivals:
    """When the bytes of one stream came, file by file."""

    def __init__(self, path: str, root: str | None) -> None:
        """Look at nothing yet; ``path`` is that of the newest file."""
        folder, self._name = os.path.split(path)
        self._side = Path(folder, SIDE)
        self._root = root
        self._are_noted: bool | None = None
        self._indexes: dict[Key, tuple[str, int] | None] = {}
        self._known: tuple[Key, Known] | None = None

    def are_noted(self) -> bool:
        """Whether there is anything at all beside the files; looked at once."""
        if self._are_noted is None:
            self._are_noted = self._side.is_dir()
        return self._are_noted

    def base_of(self, key: Key) -> int:
        """Return how many bytes of the stream came before a file; 0 where nobody counted them."""
        found = self._index_of(key) if self.are_noted() else None
        return 0 if found is None else found[1]

    def iter_damage(self, key: Key, offset: int, block: bytes) -> Iterator[Damage]:
        """Yield which stretches of a file that end in a block just read are not what came, as far as that is noted."""
        if not self.are_noted() or self._index_of(key) is None:
            return iter(())
        if self._known is None or self._known[0] != key:
            self._known = key, Known(partial(self._open_file, key))
        return self._known[1].iter_damage(offset, block)

    def of(self, key: Key, start: int, size: int, changed_ns: int) -> list[tuple[int, int]]:
        """Return when ``size`` bytes of a file from ``start`` on came: from which of them on, at which time, in ns.

        What came last may not be noted yet: that had come when the file was last changed. Nothing where nobody noted.
        """
        with contextlib.suppress(OSError), self._open_file(key) as file:
            return _times(file.fileno(), start, size, changed_ns)
        return []

    def _open_file(self, key: Key) -> BinaryIO:
        """Open the index of a file to read.

        Raises:
            OSError: it has none.
        """
        found = self._index_of(key)
        if found is None:
            raise FileNotFoundError
        file = os.fdopen(open_regular(found[0], self._root), "rb")
        header = header_of(os.pread(file.fileno(), HEADER.size, 0))
        if header is None or header.key != key:
            file.close()
            raise FileNotFoundError
        return file

    def _index_of(self, key: Key) -> tuple[str, int] | None:
        """Return path and base of the index of a file; one that has none when it is first read has none."""
        if key not in self._indexes:
            with contextlib.suppress(OSError):
                self._look()
            self._indexes.setdefault(key, None)
        return self._indexes[key]

    def _look(self) -> None:
        prefix, suffix = f"{self._name}.", ".index"
        names = (entry.name for entry in os.scandir(self._side))
        names = (name for name in names if name.startswith(prefix) and name.endswith(suffix))
        for name in sorted(names, reverse=True)[:MAX_INDEXES]:
            path = str(self._side / name)
            with contextlib.suppress(OSError):
                descriptor = open_regular(path, self._root)
                try:
                    header = header_of(os.pread(descriptor, HEADER.size, 0))
                finally:
                    os.close(descriptor)
                if header is not None:
                    self._indexes[header.key] = path, header.base


def _times(index: int, start: int, size: int, changed_ns: int) -> list[tuple[int, int]]:
    entries = (os.fstat(index).st_size - HEADER.size) // ENTRY.size
    first = bisect.bisect_right(range(entries), start, key=lambda number: _end_of(index, number))
    behind = bisect.bisect_left(range(entries), start + size, key=lambda number: _end_of(index, number))
    step = -(-(behind - first) // MAX_TIMES) or 1
    times, at = [], start
    for number in (*range(first, behind, step), *range(behind, min(behind + 1, entries))):
        values = _unpack(ENTRY, os.pread(index, ENTRY.size, HEADER.size + number * ENTRY.size))
        if values is None or values[0] <= at:
            break
        times.append((at - start, values[1]))
        at = values[0]
        if at >= start + size:
            return times
    return [*times, (at - start, changed_ns)]


def _end_of(index: int, number: int) -> int:
    return int.from_bytes(os.pread(index, 8, HEADER.size + number * ENTRY.size), "little")
