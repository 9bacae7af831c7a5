"""Standard input, or another descriptor that was open when we began (``<(command)``), as a source.

Holds: one block. What has been read is gone: no place in it can be named for another day.
"""

from __future__ import annotations

import os
import re

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed
from logflume.records import Gap, GapReason, Identity, Position

_NOWHERE = Identity("stream", "", 0)

_DESCRIPTOR = re.compile(r"/dev/fd/(\d{1,6})|/proc/self/fd/(\d{1,6})")


def stream_of(path: str) -> StreamSource | None:
    """Return the source that ``-``, ``/dev/stdin`` or ``/dev/fd/N`` stand for; None for every other path."""
    if path in ("-", "/dev/stdin"):
        return StreamSource("stdin", 0)
    found = _DESCRIPTOR.fullmatch(path)
    return StreamSource(path, int(found[1] or found[2])) if found else None


class StreamSource:
    """A source that can be read once. It leaves its descriptor open: the process ends soon after.

    Order: as it comes. Loss: none. Memory: one block.
    """

    seekable = False

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor

    def open(self, start: int | Position = 0) -> StreamReader:
        """Go on where the stream is.

        Raises:
            CursorExpired: for any place but the start.
        """
        if start != 0:
            raise CursorExpired(f"{self.name} is a stream: what was read of it cannot be found again")
        return StreamReader(self.name, self._descriptor)

    def peek_size(self) -> None:
        """Return None: nobody knows."""

    def peek_identity(self) -> None:
        """Return None: looking would consume."""


class StreamReader(Closing):
    """Reads a StreamSource; see ``logflume.abc.Reader``. It waits for what comes, in the calling thread."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.start = 0
        self.gaps: list[Gap] = []
        self._name = name
        self._descriptor = descriptor

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes, waiting for them; ``b""`` at the end.

        Raises:
            SourceFailed: the descriptor is closed, is a folder, …
        """
        try:
            return os.read(self._descriptor, max_bytes)
        except OSError as error:
            raise SourceFailed(self._gap(error)) from None

    def _gap(self, error: OSError) -> Gap:
        todo = "Give it a file or a pipe to read from."
        return Gap(self._name, GapReason.UNREADABLE, f"It cannot be read: {error.strerror}.", todo)

    def position(self, offset: int) -> Position:
        """Name ``offset``, for nothing but counting."""
        return Position(_NOWHERE, offset)

    def close(self) -> None:
        """Release nothing: the descriptor was open before us."""
