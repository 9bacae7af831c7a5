"""A live source that is read once for one request: looked at, measured and shown from the same bytes.

Holds: HELD_BYTES of its source in memory, up to HELD_DISK_BYTES in a file without a name; nothing before it is opened.
Plan:  the first ``open`` reads on to the present end, for HELD_S at most, or to the bound: what is beyond is left to
the next request. From then on it has a size, and is served from what is held. Make one for each request: it does not
grow.

The bytes of a source that has no size can be others at each request (an executor that gives the last 100 lines). One
that ``FindsAgain`` is asked where in these a position of an earlier request lies.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from logflume.abc import BLOCK_BYTES, interrupt
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logflume.abc import Reader, Source
    from logflume.records import Identity

HELD_BYTES = 1024 * 1024
"""What memory holds of a source; what is longer lies in a file."""

HELD_DISK_BYTES = 256 * 1024 * 1024
"""What the file holds; of a source that has more, the rest is left to the next request."""

HELD_S = 10.0
"""So long is a source read: what comes later, of one that goes on as its writer does, is left to the next request."""


@runtime_checkable
class FindsAgain(Protocol):
    """What a source has that cannot be opened at a place, but knows it by the lines before it."""

    def find_again(self, position: Position, blocks: Iterable[bytes]) -> int | None:
        """Return where in these bytes a position lies; None when it is not there.

        Raises:
            CursorExpired: it was never named in this source.
        """
        ...


class HeldSource:
    """A source as it was when it was first opened; see ``logflume.abc.Source``.

    Order, loss: those of the source. Memory: HELD_BYTES; disk: HELD_DISK_BYTES.
    """

    seekable = True

    def __init__(self, source: Source) -> None:
        """Open nothing yet."""
        self.name = source.name
        self._source = source
        self._asked: int | Position | None = None
        self._held: _Held | None = None

    def open(self, start: int | Position = 0) -> Reader:
        """Open at an offset, or at a position.

        Raises:
            SourceFailed: it cannot be read at all.
            CursorExpired: a Position whose bytes are gone.
        """
        if self._held is None:
            self._asked, self._held = start, self._hold(start)
        offset = self._held.begin if start == self._asked else start
        if not isinstance(offset, int) or not self._held.start <= offset <= self._held.end:
            return self._source.open(start)
        return HeldReader(self._held, offset)

    def _hold(self, start: int | Position) -> _Held:
        try:
            return _Held(self.name, self._source.open(start))
        except CursorExpired:
            if not isinstance(start, Position) or not isinstance(self._source, FindsAgain):
                raise
            held = _Held(self.name, self._source.open())
            begin = self._source.find_again(start, held.iter_blocks())
            if begin is None:
                raise
            held.begin = begin
            return held

    def peek_size(self) -> int | None:
        """Return where what is held ends; None before it was opened."""
        return None if self._held is None else self._held.end

    def peek_identity(self) -> Identity | None:
        """Ask the source."""
        return self._source.peek_identity()


class _Held:
    """What was read of a source: ``start`` and ``end`` are offsets in it, ``begin`` is where reading goes on.

    Loss: none; what a full disk does not take is left to the next request.
    """

    def __init__(self, name: str, reader: Reader) -> None:
        self._name = name
        self.reader = reader  # closed; it still names positions
        self.failure: SourceFailed | None = None
        self.start = self.begin = reader.start
        self._memory = bytearray()
        self._disk_bytes = 0
        self._descriptor: int | None = None
        with reader:
            self._read_all(reader)

    @property
    def end(self) -> int:
        """After the last byte that is held."""
        return self.start + len(self._memory) + self._disk_bytes

    def _read_all(self, reader: Reader) -> None:
        """Read to the present end, or the bound.

        Raises:
            SourceFailed: it gave nothing, and is silent.
        """
        timer = threading.Timer(HELD_S, interrupt, (reader,))
        timer.daemon = True
        timer.start()
        try:
            while self.end - self.start < HELD_DISK_BYTES and (block := reader.read_block()):
                if len(self._memory) + len(block) <= HELD_BYTES and not self._disk_bytes:
                    self._memory += block
                elif not self._write(block):
                    return
        except SourceFailed as failure:
            self.failure = failure
        except UsageError:  # the time is over
            if self.end == self.start:
                detail = f"Nothing came of it within {HELD_S:g} s."
                raise SourceFailed(Gap(self._name, GapReason.UNREADABLE, detail, "Ask again.")) from None
        finally:
            timer.cancel()

    def _write(self, block: bytes) -> bool:
        """Add to the file; False when the disk does not take it all."""
        try:
            if self._descriptor is None:
                with tempfile.TemporaryFile(buffering=0) as file:
                    self._descriptor = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._descriptor)
            written = os.pwrite(self._descriptor, block, self._disk_bytes)
        except OSError:
            return False
        self._disk_bytes += written
        return written == len(block)

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Return what is held from an offset on, at most so many bytes.

        Raises:
            SourceFailed: the disk does not give it back.
        """
        at = offset - self.start
        if at < len(self._memory) or self._descriptor is None:
            return bytes(self._memory[at : at + max_bytes])
        try:
            return os.pread(self._descriptor, min(max_bytes, self.end - offset), at - len(self._memory))
        except OSError as error:
            detail = f"What was read of it could not be read back from disk: {error.strerror}."
            raise SourceFailed(Gap(self._name, GapReason.UNREADABLE, detail, "Ask again.", offset=offset)) from None

    def iter_blocks(self) -> Iterator[bytes]:
        """Yield all that is held."""
        offset = self.start
        while block := self.read(offset, BLOCK_BYTES):
            offset += len(block)
            yield block


class HeldReader(Closing):
    """Reads a HeldSource; see ``logflume.abc.Reader``."""

    def __init__(self, held: _Held, offset: int) -> None:
        self.start = offset
        self._held: _Held | None = held
        self._reader = held.reader
        self._at = offset

    @property
    def gaps(self) -> list[Gap]:
        """What its source found missing up to here."""
        return [gap for gap in self._reader.gaps if gap.offset is None or gap.offset <= self._at]

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes; ``b""`` at the end.

        Raises:
            SourceFailed: the source broke there, or the file of what is held cannot be read.
        """
        if self._held is None:
            raise UsageError("read after close")
        block = self._held.read(self._at, max_bytes)
        if not block and self._held.failure is not None:
            raise self._held.failure
        self._at += len(block)
        return block

    def position(self, offset: int) -> Position:
        """Name ``offset``, as the source does."""
        return self._reader.position(offset)

    def close(self) -> None:
        """Let go of the bytes."""
        self._held = None
