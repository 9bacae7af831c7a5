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
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logflume.sources.captured import SIDE
from logflume.sources.opening import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    end = 0
    with path.open("rb") as file:
        file.seek(HEADER.size + first * ENTRY.size)
        while values := _unpack(ENTRY, file.read(ENTRY.size)):
            entry = Entry(*values[:3])
            if entry.end <= end:
                return
            end = entry.end
            yield entry


class Arrivals:
    """When the bytes of one stream came, file by file."""

    def __init__(self, path: str, root: str | None) -> None:
        """Look at nothing yet; ``path`` is that of the newest file."""
        folder, self._name = os.path.split(path)
        self._side = Path(folder, SIDE)
        self._root = root
        self._indexes: dict[Key, str] = {}

    def are_noted(self) -> bool:
        """Whether there is anything at all beside the files."""
        return self._side.is_dir()

    def of(self, key: Key, start: int, size: int, changed_ns: int) -> list[tuple[int, int]]:
        """Return when ``size`` bytes of a file from ``start`` on came: from which of them on, at which time, in ns.

        What came last may not be noted yet: that had come when the file was last changed. Nothing where nobody noted.
        """
        with contextlib.suppress(OSError), self._open_index(key) as index:
            return _times(index, start, size, changed_ns)
        return []

    @contextlib.contextmanager
    def _open_index(self, key: Key) -> Iterator[int]:
        """Open the index of a file to read.

        Raises:
            OSError: it has none.
        """
        if key not in self._indexes:
            self._look()
        path = self._indexes.get(key)
        if path is None:
            raise FileNotFoundError
        descriptor = open_regular(path, self._root)
        try:
            header = header_of(os.pread(descriptor, HEADER.size, 0))
            if header is None or header.key != key:
                del self._indexes[key]
                raise FileNotFoundError
            yield descriptor
        finally:
            os.close(descriptor)

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
                    self._indexes[header.key] = path


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
