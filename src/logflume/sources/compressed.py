"""Decode gzip and zstd as a stream, never holding more than one piece.

Invariant: what comes out is a prefix of what was compressed, as long as it can be; when it is not all of it,
``damage`` says why. Whatever the input is, one ``read`` gives at most ``max_bytes``.
Holds: one piece of input and one of output (RAW_BYTES, BLOCK_BYTES), and the decoder's window: 32 KiB for
gzip, up to MAX_WINDOW_BYTES for zstd.

Plan:  gzip is decoded member by member; before each step the state of zlib is kept, because a step that fails
gives nothing: it is then gone through again byte by byte, up to the fault. zstd is given to its decoder block by
block, each of which is at most 128 KiB decoded: so output is bounded, a file cut short is noticed (the library
alone ends silently there), and nothing before a fault is lost.

A file is compressed when its name *and* its first bytes say so. A ``.gz`` that is plain text is read as text.
A ``.log`` that begins like gzip is passed on as it is: a live file is given byte for byte, and no task can
make its log unreadable by what it prints. A compressed file is taken to be complete: growth is not followed.

Not here: opening files, rotation.
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.records import GapReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_DECODED_BYTES = 64 * 1024**3
"""Default of ``max_decoded_bytes``: what one compressed file may give before it is taken for a bomb."""

MAX_WINDOW_BYTES = 128 * 1024 * 1024
"""The largest zstd window that is decoded (``zstd --long=27``): it is held in memory."""

RAW_BYTES = 64 * 1024
"""How much compressed input is read at a time."""

MAGIC_BYTES = 4
"""How many first bytes ``detect`` wants to see."""


class Format(enum.Enum):
    """How a file is compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class Damage:
    """Why decoding ended before the end.

    Attributes:
        reason: CORRUPT or TOO_LARGE.
        detail: the end of a sentence that begins with the file's name.
        offset: in the compressed file, where the trouble was noticed.
    """

    reason: GapReason
    detail: str
    offset: int


def detect(name: str, first: bytes) -> Format | None:
    """Say how a file is compressed, by its name and its first MAGIC_BYTES; None when it is not."""
    if name.endswith(".gz") and first.startswith(_GZIP_MAGIC):
        return Format.GZIP
    if name.endswith(".zst") and (first == _ZSTD_MAGIC or _is_skippable(first)):
        return Format.ZSTD
    return None


class Decoder:
    """Gives out in pieces what ``read_raw`` gives in compressed ones.

    Order:  as compressed.
    Loss:   from the first fault on; ``damage`` tells.
    Memory: one piece each way and the window; see the module.
    """

    def __init__(
        self,
        kind: Format,
        read_raw: Callable[[int], bytes],
        *,
        max_decoded_bytes: int = MAX_DECODED_BYTES,
        max_window_bytes: int = MAX_WINDOW_BYTES,
    ) -> None:
        """Read nothing yet.

        Args:
            kind: the format.
            read_raw: gives the next 1 to n bytes of the file, ``b""`` at its end.
            max_decoded_bytes: no more than this comes out.
            max_window_bytes: a zstd frame that wants a larger window is not decoded.
        """
        self._raw = _Raw(read_raw)
        pieces = _gunzip(self._raw) if kind is Format.GZIP else _unzstd(self._raw, max_window_bytes)
        self._pieces = filter(None, pieces)
        self._piece = memoryview(b"")
        self._left = max_decoded_bytes
        self._damage: Damage | None = None

    @property
    def damage(self) -> Damage | None:
        """Why it ended too early; None while it goes on, and when all came out."""
        return self._damage

    def read(self, max_bytes: int) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; ``b""`` at the end."""
        if not self._piece:
            self._piece = memoryview(self._next_piece())
        block = self._piece[:max_bytes]
        self._piece = self._piece[max_bytes:]
        return bytes(block)

    def _next_piece(self) -> bytes:
        try:
            piece = next(self._pieces, b"")
        except _Damaged as found:
            self._end(found.reason, found.detail)
            return b""
        if len(piece) > self._left:
            self._end(GapReason.TOO_LARGE, "holds more than may be decoded of one file")
            piece = piece[: self._left]
        self._left -= len(piece)
        return piece

    def _end(self, reason: GapReason, detail: str) -> None:
        self._damage = Damage(reason, detail, self._raw.offset)
        self._pieces = filter(None, ())


class _Damaged(Exception):
    def __init__(self, reason: GapReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail


class _Raw:
    """Compressed input with a look ahead; ``offset`` counts what was taken."""

    def __init__(self, read_raw: Callable[[int], bytes]) -> None:
        self._read_raw = read_raw
        self._held = b""
        self._at = 0
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes without taking them; fewer only at the end."""
        while len(self._held) - self._at < size and (more := self._read_raw(RAW_BYTES)):
            self._held = self._held[self._at :] + more
            self._at = 0
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes; fewer only at the end."""
        taken = self.peek(size)
        self._at += len(taken)
        self.offset += len(taken)
        return taken

    def take_some(self) -> bytes:
        """Return the next bytes, as many as come; ``b""`` at the end."""
        return self.take(len(self._held) - self._at or RAW_BYTES)

    def give_back(self, unused_bytes: int) -> None:
        """Untake the last of what was taken just now."""
        self._at -= unused_bytes
        self.offset -= unused_bytes


# gzip

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # the largest window, and gzip's header and trailer


def _gunzip(raw: _Raw) -> Iterator[bytes]:
    while head := raw.peek(1):
        if head == b"\0" and raw.offset:  # padding, as tapes have it
            raw.take(1)
        elif raw.peek(2) == _GZIP_MAGIC:
            yield from _gunzip_member(raw)
        else:
            raise _Damaged(GapReason.CORRUPT, "goes on with bytes that are not gzip")


def _gunzip_member(raw: _Raw) -> Iterator[bytes]:
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    while not inflater.eof:
        taken = raw.take_some()
        if not taken:
            yield inflater.flush()
            raise _Damaged(GapReason.CORRUPT, "ends in the middle of its compressed data")
        before = inflater.copy()
        try:
            piece = inflater.decompress(taken, BLOCK_BYTES)
        except zlib.error:
            raw.give_back(len(taken))
            yield _up_to_fault(before, raw)
            raise _Damaged(GapReason.CORRUPT, "is damaged: its compressed data make no sense") from None
        raw.give_back(len(inflater.unused_data or inflater.unconsumed_tail))
        yield piece


def _up_to_fault(inflater: zlib._Decompress, raw: _Raw) -> bytes:
    """Decode once more what is known to fail, byte by byte, leaving ``raw`` at the fault."""
    piece = bytearray()
    try:
        while len(piece) < BLOCK_BYTES:
            piece += inflater.decompress(raw.peek(1), BLOCK_BYTES - len(piece))
            raw.take(1)
    except zlib.error:
        pass
    return bytes(piece)


# zstd

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # the last three of four bytes; the first is 0x50 to 0x5f
_LONGEST_FRAME_HEADER = 18
_BLOCK_HEADER_BYTES = 3
_CHECKSUM_BYTES = 4
_RLE_BLOCK = 1
_RESERVED_BLOCK = 3


def _unzstd(raw: _Raw, max_window_bytes: int) -> Iterator[bytes]:
    while head := raw.peek(MAGIC_BYTES):
        if head == _ZSTD_MAGIC:
            yield from _unzstd_frame(raw, max_window_bytes)
        elif _is_skippable(head):
            _skip_frame(raw)
        else:
            raise _Damaged(GapReason.CORRUPT, "goes on with bytes that are not zstd")


def _unzstd_frame(raw: _Raw, max_window_bytes: int) -> Iterator[bytes]:
    import zstandard

    header = raw.peek(_LONGEST_FRAME_HEADER)
    try:
        frame = zstandard.get_frame_parameters(header)
        if frame.window_size > max_window_bytes:
            raise _Damaged(GapReason.TOO_LARGE, f"wants {frame.window_size} bytes of memory to be decoded")
        decode = zstandard.ZstdDecompressor(max_window_size=max_window_bytes).decompressobj().decompress
        yield from map(decode, _iter_zstd_frame(raw, header, _CHECKSUM_BYTES * frame.has_checksum))
    except zstandard.ZstdError:
        raise _Damaged(GapReason.CORRUPT, "is damaged: its compressed data make no sense") from None


def _iter_zstd_frame(raw: _Raw, header: bytes, checksum_bytes: int) -> Iterator[bytes]:
    """Yield a frame's header, its blocks one by one, its checksum: each as it must be given to the decoder."""
    import zstandard

    yield _take_all(raw, zstandard.frame_header_size(header))
    last = False
    while not last:
        block_header = int.from_bytes(_peek_all(raw, _BLOCK_HEADER_BYTES), "little")
        last = bool(block_header & 1)
        kind, size = block_header >> 1 & 3, block_header >> 3
        if kind == _RESERVED_BLOCK or size > zstandard.BLOCKSIZE_MAX:
            raise _Damaged(GapReason.CORRUPT, "is damaged: it holds a block of no known kind")
        yield _take_all(raw, _BLOCK_HEADER_BYTES + (1 if kind == _RLE_BLOCK else size))
    if checksum_bytes:
        yield _take_all(raw, checksum_bytes)


def _is_skippable(head: bytes) -> bool:
    return head[1:] == _SKIPPABLE and head[0] >> 4 == 5  # noqa: PLR2004 - see _SKIPPABLE


def _skip_frame(raw: _Raw) -> None:
    left = int.from_bytes(_take_all(raw, 8)[4:], "little")
    while left:
        left -= len(_take_all(raw, min(left, RAW_BYTES)))


def _peek_all(raw: _Raw, size: int) -> bytes:
    if len(data := raw.peek(size)) < size:
        raw.take(size)
        raise _Damaged(GapReason.CORRUPT, "ends in the middle of its compressed data")
    return data


def _take_all(raw: _Raw, size: int) -> bytes:
    return raw.take(len(_peek_all(raw, size)))
