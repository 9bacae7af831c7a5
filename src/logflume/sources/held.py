"""A live source that is read once for one request: looked at, measured and shown from the same bytes.

Holds: at most HELD_BYTES of its source, from where it was first opened; nothing of a source that has more.
Plan:  the first ``open`` reads on to the present end. What fits is served from memory from then on, and has a size;
what does not is left to the source itself. Make one for each request: it does not grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import SourceFailed, UsageError

if TYPE_CHECKING:
    from logflume.abc import Reader, Source
    from logflume.records import Gap, Identity, Position

HELD_BYTES = 1024 * 1024
"""A source with more than this from where it is opened is not held."""


class HeldSource:
    """A source as it was when it was first opened; see ``logflume.abc.Source``.

    Order, loss: those of the source. Memory: HELD_BYTES.
    """

    def __init__(self, source: Source) -> None:
        """Open nothing yet."""
        self.name = source.name
        self._source = source
        self._asked: int | Position | None = None
        self._reader: Reader | None = None  # closed; it still names positions
        self._data: bytes | None = None
        self._failure: SourceFailed | None = None

    @property
    def seekable(self) -> bool:
        """Whether it is held, or its source is seekable."""
        return self._data is not None or self._source.seekable

    def open(self, start: int | Position = 0) -> Reader:
        """Open at an offset, or at a position.

        Raises:
            SourceFailed: it cannot be read at all.
            CursorExpired: a Position whose bytes are gone.
        """
        if self._asked is None:
            self._hold(start)
        reader, data = self._reader, self._data
        if reader is None or data is None:
            return self._source.open(start)
        offset = reader.start if start == self._asked else start
        if not isinstance(offset, int) or not reader.start <= offset <= reader.start + len(data):
            return self._source.open(start)
        return HeldReader(self, reader, data, offset, self._failure)

    def _hold(self, start: int | Position) -> None:
        with self._source.open(start) as reader:
            data = bytearray()
            try:
                while len(data) <= HELD_BYTES and (block := reader.read_block()):
                    data += block
            except SourceFailed as failure:
                self._failure = failure
        self._asked = start
        if len(data) <= HELD_BYTES:
            self._reader, self._data = reader, bytes(data)

    def peek_size(self) -> int | None:
        """Return where it ended; None before it was opened, and when it is not held."""
        if self._reader is None or self._data is None:
            return None
        return self._reader.start + len(self._data)

    def peek_identity(self) -> Identity | None:
        """Ask the source."""
        return self._source.peek_identity()


class HeldReader(Closing):
    """Reads a HeldSource; see ``logflume.abc.Reader``."""

    def __init__(
        self, source: HeldSource, reader: Reader, data: bytes, offset: int, failure: SourceFailed | None
    ) -> None:
        self.start = offset
        self._source = source
        self._reader = reader
        self._data: bytes | None = data
        self._at = offset - reader.start
        self._failure = failure

    @property
    def gaps(self) -> list[Gap]:
        """What its source found missing up to here."""
        at = self._reader.start + self._at
        return [gap for gap in self._reader.gaps if gap.offset is None or gap.offset <= at]

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes; ``b""`` at the end.

        Raises:
            SourceFailed: the source broke there.
        """
        if self._data is None:
            raise UsageError("read after close")
        block = self._data[self._at : self._at + max_bytes]
        if not block and self._failure is not None:
            raise self._failure
        self._at += len(block)
        return block

    def position(self, offset: int) -> Position:
        """Name ``offset``, as the source does."""
        return self._reader.position(offset)

    def close(self) -> None:
        """Let go of the bytes."""
        self._data = None
