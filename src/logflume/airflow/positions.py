"""Where a source ends at this moment, and where an earlier read of it ended: what a continuation token is made of.

Holds: what is known when ``read()`` returns is all that a token is made of, for Airflow writes the token before it
       takes the first message. A source is read from its mark on only, and of that its last WINDOW_BYTES.
Plan:  open each source at its mark, look for the last newline in what is new, and for the latest time there. Lines
       before that newline are given now; a line that is being written comes, whole, with the next token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.cursor import Cursor, Mark
from logflume.errors import CursorExpired, SourceFailed
from logflume.merge import How
from logflume.records import Output
from logflume.seek import UNTIMED_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Reader, Source
    from logflume.records import Gap, Position

WINDOW_BYTES = 64 * 1024
"""So much of the end of what is new is looked at for a newline and a time; if there is none, four times as much."""

_GROWTH = 4


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one source.

    Attributes:
        source: the source.
        mark: where to go on; None: at its start.
        end: after its last whole line; None: it has none after ``mark``.
        bytes: from ``mark`` to its present end; None when nobody knows.
        gap: why it cannot be read.
        started_over: its mark no longer names anything, so it is read from its start.
    """

    source: Source
    mark: Mark | None
    end: Mark | None = None
    bytes: int | None = None
    gap: Gap | None = None
    started_over: bool = False

    @property
    def next_mark(self) -> Mark | None:
        """Where the next read goes on."""
        return self.end or self.mark


def look_at(sources: Sequence[Source], start: Cursor | None) -> list[Look]:
    """See where each source ends now; ``start`` is where an earlier read ended."""
    marks = {} if start is None else {mark.source: mark for mark in start.marks}
    return [_look(source, marks.get(source.name)) for source in sources]


def _look(source: Source, mark: Mark | None) -> Look:
    position = None if mark is None else mark.position
    try:
        with source.open(0 if position is None else position) as reader:
            size = source.peek_size()
            if size is None:
                return Look(source, mark)
            new_bytes = max(0, size - reader.start)
            return Look(source, mark, _end(source, reader, size, mark), new_bytes)
    except CursorExpired:
        look = _look(source, None)
        return Look(source, None, look.end, look.bytes, look.gap, started_over=True)
    except SourceFailed as failed:
        return Look(source, mark, gap=failed.gap)


def _end(source: Source, reader: Reader, size: int, mark: Mark | None) -> Mark | None:
    """Find the end of the last whole line between where the reader began and ``size``."""
    window_bytes = WINDOW_BYTES
    while (at := max(reader.start, size - window_bytes)) < size:
        found = _last_line(reader if at == reader.start else None, source, at, size)
        if found is not None:
            position, latest_ns = found
            floor_ns = UNTIMED_NS if mark is None else mark.floor_ns
            return Mark(source.name, position, max(floor_ns, latest_ns))
        if at == reader.start:
            return None
        window_bytes *= _GROWTH
    return None


def _last_line(reader: Reader | None, source: Source, at: int, size: int) -> tuple[Position, int] | None:
    """Return where the last line of a stretch ends, and the latest time in it; None if no line ends there."""
    if reader is None:
        with source.open(at) as opened:
            return _last_line(opened, source, at, size)
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
    return reader.position(end), UNTIMED_NS if latest_ns is None else latest_ns
