"""Where a source ends at this moment, and where an earlier read of it ended: what a continuation token is made of.

Holds: what is known when ``read()`` returns is all that a token is made of, for Airflow writes the token before it
       takes the first message. A source is read from its mark on only, and of that its last WINDOW_BYTES.
Plan:  open each source at its mark, look for the last newline in what is new, and for the latest time there. Lines
       before that newline are given now; a line that is being written comes, whole, with the next token. One that is no
       place to open anywhere (an executor's stream, a pod) is read once, and held for the answer. One that does not
       tell its size is read through, a block at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logflume.cursor import Cursor, Mark
from logflume.errors import CursorExpired, SourceFailed
from logflume.merge import How
from logflume.records import Output
from logflume.seek import UNTIMED_NS
from logflume.sources.held import HeldSource
from logflume.sources.openfile import FINGERPRINT_BYTES, TELLING_BYTES, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Reader, Source
    from logflume.records import Gap, Position

WINDOW_BYTES = 64 * 1024
"""So much of the end of what is new is looked at for a newline and a time; if there is none, four times as much."""

_GROWTH = 4
_NO_END = 2**63 - 1  # no source is so long


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one source.

    Attributes:
        source: the source.
        mark: where to go on; None: at its start.
        end: after its last whole line; None: it has none after ``mark``, or it was not looked for.
        whole_bytes: from ``mark`` to ``end``.
        bytes: from ``mark`` to its present end; None when nobody knows.
        gap: why it cannot be read.
        started_over: its mark no longer names anything, so it is read from its start.
        has_moved: an earlier answer came from other places, which are gone, and nothing tells where this one goes on.
    """

    source: Source
    mark: Mark | None
    end: Mark | None = None
    whole_bytes: int = 0
    bytes: int | None = None
    gap: Gap | None = None
    started_over: bool = False
    has_moved: bool = False

    @property
    def next_mark(self) -> Mark | None:
        """Where the next read goes on."""
        return self.end or self.mark


def look_at(sources: Sequence[Source], start: Cursor | None, *, through: bool) -> list[Look]:
    """See where each source ends now; ``start`` is where an earlier read ended.

    ``through``: those that do not tell their size are read, for somebody wants to go on from their end. Where two
    requests could give different bytes, the bytes are held: what was looked at is what is shown.

    Memory: that of ``HeldSource`` for each that is held.
    """
    marks = {} if start is None else {mark.source: mark for mark in start.marks}
    if through:
        sources = [source if source.seekable else HeldSource(source) for source in sources]
    gone = [marks.pop(name) for name in set(marks) - {source.name for source in sources}]
    looks = []
    for source in sources:
        mark = marks.get(source.name) or _taken_over(source, gone)
        look = _look(source, mark, through=through)
        looks.append(replace(look, has_moved=bool(gone) and mark is None))
    return looks


def _taken_over(source: Source, gone: Sequence[Mark]) -> Mark | None:
    """Return where to go on in a copy: a source that begins with the bytes with which one began that is gone."""
    try:
        first = _first_bytes(source) if gone else b""
        for mark in gone:
            position = mark.position
            covered = 0 if position is None else position.identity.fingerprint_bytes
            if position is None or not TELLING_BYTES <= covered <= len(first):
                continue
            if identity_of((0, 0), first[:covered]).fingerprint == position.identity.fingerprint:
                with source.open(position.offset) as reader:
                    return Mark(source.name, reader.position(position.offset), mark.floor_ns)
    except SourceFailed:  # said when it is looked at
        pass
    return None


def _first_bytes(source: Source) -> bytes:
    first = b""
    with source.open() as reader:
        while len(first) < FINGERPRINT_BYTES and (block := reader.read_block(FINGERPRINT_BYTES - len(first))):
            first += block
    return first


def _look(source: Source, mark: Mark | None, *, through: bool) -> Look:
    position = None if mark is None else mark.position
    try:
        with source.open(0 if position is None else position) as reader:
            size = source.peek_size()
            if size is None:
                found = _last_line(reader, reader.start, _NO_END) if through else None
            else:
                found = _find_end(source, reader, size)
            new_bytes = None if size is None else max(0, size - reader.start)
            if found is None:
                return Look(source, mark, bytes=new_bytes)
            at, place, latest_ns = found
            floor_ns = UNTIMED_NS if mark is None else mark.floor_ns
            end = Mark(source.name, place, max(floor_ns, latest_ns))
            return Look(source, mark, end, at - reader.start, new_bytes)
    except CursorExpired:
        return replace(_look(source, None, through=through), started_over=True)
    except SourceFailed as failed:
        return Look(source, mark, gap=failed.gap)


def _find_end(source: Source, reader: Reader, size: int) -> tuple[int, Position, int] | None:
    """Find the end of the last whole line between where the reader began and ``size``."""
    window_bytes = WINDOW_BYTES
    while (at := size - window_bytes) > reader.start:
        with source.open(at) as near_end:
            found = _last_line(near_end, at, size)
        if found is not None:
            return found
        window_bytes *= _GROWTH
    return _last_line(reader, reader.start, size)


def _last_line(reader: Reader, at: int, size: int) -> tuple[int, Position, int] | None:
    """Return where the last line of a stretch ends, and the latest time in it; None if no line ends there."""
    merger = How(output=Output.NONE).merger(1)
    offset, end = at, None
    while offset < size and (block := reader.read_block(min(size - offset, WINDOW_BYTES))):
        newline = block.rfind(b"\n")
        if newline >= 0:
            end = offset + newline + 1
        merger.feed(0, block)
        offset += len(block)
    if end is None:
        return None
    latest_ns = merger.stats()["last_ns"]
    return end, reader.position(end), UNTIMED_NS if latest_ns is None else latest_ns
