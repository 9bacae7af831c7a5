"""Sources that end at a place of a cursor, where they end now, or after so many bytes; which of two places is later.

Invariant: a reader gives the bytes before the place and no byte after it, whatever has been written meanwhile. A merge
of such sources gives the records that were given out before that cursor, and no others.

Not here: sources that are newer than the cursor; they have given nothing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES, TellsArrival
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logflume.abc import Reader, Source
    from logflume.cursor import Cursor
    from logflume.records import Gap, Identity, Position

    Surplus = Callable[[Reader, int], int]


def sources_until(sources: Sequence[Source], end: Cursor) -> list[Source]:
    """Return the sources that had given anything at a cursor, each ending there."""
    ends = {mark.source: mark.position for mark in end.marks if mark.position is not None}
    return [_Until(source, _behind(ends[source.name])) for source in sources if source.name in ends]


def sources_now(sources: Sequence[Source]) -> list[Source]:
    """Return the sources, each ending where it ends at this moment; one whose size nobody knows ends when it does."""
    sizes = [(source, source.peek_size()) for source in sources]
    return [source if size is None else _Until(source, _beyond(size), size) for source, size in sizes]


def first_bytes(source: Source, n_bytes: int) -> Source:
    """Return a source that ends after so many bytes from where it is opened."""
    return _Until(source, lambda reader, offset: offset - reader.start - n_bytes)


def _behind(end: Position) -> Surplus:
    def surplus(reader: Reader, offset: int) -> int:
        here = reader.position(offset)
        return here.offset - end.offset if here.identity.key == end.identity.key else -1

    return surplus


def _beyond(size: int) -> Surplus:
    return lambda _, offset: offset - size


def has_reached(sources: Sequence[Source], here: Cursor, there: Cursor) -> bool:
    """Tell whether ``here`` is at or after ``there`` in every source.

    Raises:
        CursorExpired: the bytes under ``there`` are gone.
    """
    places = {mark.source: mark.position for mark in here.marks}
    known = {source.name: source for source in sources}
    for mark in there.marks:
        source, place = known.get(mark.source), places.get(mark.source)
        if mark.position is None or source is None:  # it has given nothing, or is gone
            continue
        if place is None or not _is_at_or_after(source, place, mark.position):
            return False
    return True


def _is_at_or_after(source: Source, here: Position, there: Position) -> bool:
    if here.identity.key == there.identity.key and here.offset >= there.offset:
        return True
    try:
        with source.open(there) as other:
            return _start_of(source, here) >= other.start
    except SourceFailed:  # whoever reads it is told
        return True


def _start_of(source: Source, here: Position) -> int:
    try:
        with source.open(here) as one:
            return one.start
    except CursorExpired:  # it is of a file that is no more: something newer will come
        return -1


class _Until:
    """A source up to a position."""

    def __init__(self, source: Source, surplus: Surplus, size: int | None = None) -> None:
        self._source = source
        self._surplus = surplus
        self._size = size

    @property
    def name(self) -> str:
        """That of the source."""
        return self._source.name

    @property
    def seekable(self) -> bool:
        """As the source."""
        return self._source.seekable

    def open(self, start: int | Position = 0) -> Reader:
        """Open it."""
        return _UntilReader(self._source.open(start), self._surplus)

    def peek_size(self) -> int | None:
        """What it has up to there; not known of a place of a cursor without opening it."""
        return self._size

    def peek_identity(self) -> Identity | None:
        """That of the source."""
        return self._source.peek_identity()


class _UntilReader(Closing):
    """A reader up to a position."""

    def __init__(self, reader: Reader, surplus: Surplus) -> None:
        self._reader = reader
        self._surplus_of = surplus
        self._offset = reader.start
        self._ended = self._surplus() >= 0

    @property
    def start(self) -> int:
        """That of the reader."""
        return self._reader.start

    @property
    def gaps(self) -> list[Gap]:
        """Those of the reader."""
        return self._reader.gaps

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes before the end."""
        if self._ended:
            return b""
        block = self._reader.read_block(max_bytes)
        self._offset += len(block)
        surplus = self._surplus()  # a block is of one file
        if surplus < 0 and block:
            return block
        self._ended = True
        kept = block[: len(block) - max(0, surplus)]
        self._offset -= len(block) - len(kept)
        return kept

    def has_arrivals(self) -> bool:
        """As the reader."""
        return isinstance(self._reader, TellsArrival) and self._reader.has_arrivals()

    def peek_arrivals(self) -> list[tuple[int, int]]:
        """As the reader, which may tell of bytes behind the end, too."""
        return self._reader.peek_arrivals() if isinstance(self._reader, TellsArrival) else []

    def _surplus(self) -> int:
        """How many bytes behind the end it has come; below 0 before it, and in another file."""
        return self._surplus_of(self._reader, self._offset)

    def position(self, offset: int) -> Position:
        """Name an offset."""
        return self._reader.position(offset)

    def close(self) -> None:
        """Release the reader."""
        self._reader.close()
