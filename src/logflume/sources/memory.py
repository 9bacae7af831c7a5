"""A source over bytes that are in memory already: for tests, and for logs that a caller holds.

Holds: the caller's bytes, never a copy of more than one block of them. Nothing to open, nothing to release.
"""

from __future__ import annotations

import functools
import hashlib

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, UsageError
from logflume.records import Gap, Identity, Position

_FINGERPRINT_BYTES = 1024


class BytesSource:
    """A log that is ``data``. A position in it is valid for a source over equal bytes only.

    Order: as given. Loss: none. Memory: ``data`` itself and one block for each reader.
    """

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        self._data = data

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    @property
    def seekable(self) -> bool:
        """True: any place in memory is as near as any other."""
        return True

    def open(self, start: int | Position = 0) -> BytesReader:
        """Open at an offset (beyond the end nothing is read), or at a position.

        Raises:
            CursorExpired: the position was named in other bytes.
        """
        if isinstance(start, int):
            return BytesReader(self._data, start, self._identity)
        if start.identity != self._identity or start.offset > len(self._data):
            raise CursorExpired(f"{self._name} holds other bytes than those in which this position was named")
        return BytesReader(self._data, start.offset, self._identity)

    def peek_size(self) -> int:
        """Length of the data."""
        return len(self._data)

    def peek_identity(self) -> Identity | None:
        """Digest of all the data; None when there is none."""
        return self._identity if self._data else None

    @functools.cached_property
    def _identity(self) -> Identity:
        first = self._data[:_FINGERPRINT_BYTES]
        return Identity(f"bytes:{_digest(self._data)}", _digest(first), len(first))


class BytesReader(Closing):
    """Reads a BytesSource; see ``logflume.abc.Reader``."""

    def __init__(self, data: bytes, start: int, identity: Identity) -> None:
        if start < 0:
            raise UsageError(f"an offset is 0 or more, not {start}")
        self.start = start
        self.gaps: list[Gap] = []
        self._data: bytes | None = data
        self._at = start
        self._identity = identity

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; ``b""`` at the end."""
        if self._data is None:
            raise UsageError("read after close")
        block = self._data[self._at : self._at + max_bytes]
        self._at += len(block)
        return block

    def position(self, offset: int) -> Position:
        """Name ``offset``."""
        return Position(self._identity, offset)

    def close(self) -> None:
        """Let go of the data."""
        self._data = None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
