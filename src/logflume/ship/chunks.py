"""The index beside a segment: when its bytes came, and what they were.

Holds: an index never says anything about a segment that is not so: each entry carries a checksum of itself and of the
       bytes that it is about, and the header names the segment. It can be lost: ``rebuild`` makes another, which
       knows the bytes but, of the times, only the last.
Plan:  one file for each segment, only ever appended to. ``HEADER`` first: where in its stream the segment begins, and
       its device and inode. Then entries: up to where the segment had come, when, and the CRC-32 of what came
       since the entry before. An entry that is not whole, or does not fit its checksum, ends the index.
Memory: one piece of PIECE_BYTES; entries are read one at a time.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from logflume.sources.arrivals import ENTRY, HEADER, Damage, Entry, Header, iter_entries, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ENTRY", "HEADER", "Chunks", "Damage", "Entry", "Header", "iter_damage", "iter_entries", "read_header"]

PIECE_BYTES = 1024 * 1024
"""The most bytes that one entry is about, but for the rare one made up of many small looks."""

ENTRY_EVERY_BYTES = 64 * 1024
"""Fewer bytes wait for their entry until ENTRY_EVERY_NS has gone by."""

ENTRY_EVERY_NS = 1_000_000_000


def iter_damage(segment: int, index: Path, first: int = 0) -> Iterator[Damage]:
    """Read the segment open as ``segment`` and yield what does not fit its index, also what is not there any more.

    What an entry says that begins before ``first`` is taken for true.
    """
    start = 0
    for entry in iter_entries(index):
        if start >= first and _crc_of(segment, start, entry.end) != entry.crc:
            yield Damage(start, entry.end)
        start = entry.end


def _crc_of(segment: int, start: int, end: int) -> int | None:
    crc = 0
    while start < end:
        piece = os.pread(segment, min(PIECE_BYTES, end - start), start)
        if not piece:
            return None
        crc = zlib.crc32(piece, crc)
        start += len(piece)
    return crc


class Chunks:
    """Writes the index of one segment, by looking how the segment has grown."""

    def __init__(self, path: Path, segment: int, seen: Callable[[bytes], object] | None = None) -> None:
        """Go on with the index at ``path``, which has a header; ``segment`` is a descriptor to read, which it owns.

        ``seen`` is told what comes, in pieces cut anywhere, by whoever looks.
        What follows the last good entry is cut off; what an entry says about bytes that are not there goes, too.
        """
        self._segment = segment
        self._index = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        size_bytes = os.fstat(segment).st_size
        self._end = good = 0
        for entry in iter_entries(path):
            if entry.end <= size_bytes:
                self._end, good = entry.end, good + 1
        os.ftruncate(self._index, HEADER.size + good * ENTRY.size)
        self._looked, self._crc = self._end, 0
        self._last_ns = 0
        self._seen = seen

    def look(self, now_ns: int, *, to_end: bool = False) -> int:
        """Index what came since the last look; ``to_end`` leaves nothing for later. Return the segment's size."""
        while piece := os.pread(self._segment, PIECE_BYTES - (self._looked - self._end) % PIECE_BYTES, self._looked):
            self._crc = zlib.crc32(piece, self._crc)
            self._looked += len(piece)
            if self._seen is not None:
                self._seen(piece)
            if self._looked - self._end >= ENTRY_EVERY_BYTES:
                self._add(now_ns)
        if self._looked > self._end and (to_end or now_ns - self._last_ns >= ENTRY_EVERY_NS):
            self._add(now_ns)
        return self._looked

    def _add(self, now_ns: int) -> None:
        os.write(self._index, Entry(self._looked, now_ns, self._crc).pack())
        self._end, self._crc, self._last_ns = self._looked, 0, now_ns

    def sync(self) -> None:
        """Bring the segment to the disk, then the index that tells of it."""
        os.fdatasync(self._segment)
        os.fdatasync(self._index)

    def close(self) -> None:
        """Release both descriptors."""
        os.close(self._segment)
        os.close(self._index)


def begin(path: Path, header: Header) -> None:
    """Make an index without entries."""
    path.write_bytes(header.pack())


def rebuild(path: Path, header: Header, segment: int) -> None:
    """Make the index of a segment anew, of its bytes as they are; each has the time of the last change."""
    entries = []
    start, status = 0, os.fstat(segment)
    while start < status.st_size:
        end = min(start + PIECE_BYTES, status.st_size)
        entries.append(Entry(end, status.st_mtime_ns, _crc_of(segment, start, end) or 0).pack())
        start = end
    path.write_bytes(header.pack() + b"".join(entries))
