"""A reading of a log as frames: the bytes of the log, and beside them what is said about it, never mixed up.

Holds: a decoder keeps one frame of at most MAX_FRAME_BYTES, whatever it is fed.
Plan:  a frame is a letter, the length of what follows (4 bytes, big-endian), and that. What a log says can never pass
       for what is said about it, as a line among lines could. A reading that ends without END or PROBLEM was cut off.

    L  lines of the log, as they are
    C  cursor: JSON, ``cursor`` is the place after all lines before; ``lines`` and ``records`` how many those were;
       it comes again when nothing has come for a while
    G  gap: JSON, something is missing
    P  problem: JSON (RFC 9457), reading broke off here
    E  end: JSON, ``lines`` and ``records`` as above; there is no more

Not here: what to do about a cut (``logflume.client``), and what is sent when (``logflume.serve``).
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA_TYPE = "application/vnd.logflume.frames"

LINES = b"L"
CURSOR = b"C"
GAP = b"G"
PROBLEM = b"P"
END = b"E"

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""What follows a head is not longer; more lines take more frames."""

_HEAD = struct.Struct(">cI")
_KINDS = frozenset((LINES, CURSOR, GAP, PROBLEM, END))


class NoFrames(Exception):
    """These bytes are not frames: they come from something else, or were changed on their way."""


def lines_told(block: bytes) -> bytes:
    """Return a block of lines as frames."""
    starts = range(0, len(block), MAX_FRAME_BYTES)
    parts = (block[start : start + MAX_FRAME_BYTES] for start in starts) if len(starts) > 1 else (block,)
    return b"".join(piece for part in parts for piece in (_HEAD.pack(LINES, len(part)), part))


def told(kind: bytes, value: object) -> bytes:
    """Return a frame of JSON."""
    payload = json.dumps(value, separators=(",", ":"), default=str).encode()
    return _HEAD.pack(kind, len(payload)) + payload


def value_of(payload: bytes) -> dict[str, Any]:
    """Return what a frame tells.

    Raises:
        NoFrames: it is no JSON object.
    """
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise NoFrames("what a frame tells is no JSON") from None
    if not isinstance(value, dict):
        raise NoFrames("what a frame tells is no JSON object")
    return value


class Decoder:
    """Bytes, cut anywhere, to frames."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._have = 0
        self._kind = b""  # of the frame whose head was read
        self._need = _HEAD.size

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the frames that are whole now: kind, and what it holds. Exhaust it before feeding more.

        Raises:
            NoFrames: these are none.
        """
        start = 0
        while self._have + len(data) - start >= self._need:
            stop = start + self._need - self._have
            taken = self._taken(data[start:stop])
            start = stop
            if self._kind:
                yield self._kind, taken
                self._kind, self._need = b"", _HEAD.size
            else:
                self._begin(*_HEAD.unpack(taken))
        if start < len(data):
            self._pieces.append(data[start:])
            self._have += len(data) - start

    def _taken(self, last: bytes) -> bytes:
        taken = b"".join((*self._pieces, last))
        self._pieces.clear()
        self._have = 0
        return taken

    def _begin(self, kind: bytes, size: int) -> None:
        if kind not in _KINDS or size > MAX_FRAME_BYTES:
            raise NoFrames(f"there is no frame that begins with {kind!r} and {size}")
        self._kind, self._need = kind, size
