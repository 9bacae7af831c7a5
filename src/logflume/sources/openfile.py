"""One open file of a rotated set: how far it is read, and whether it still is what it was.

Invariant: a block that ``read`` gives lay behind the one before, in the same content. Each read looks at the first
bytes again *after* it: a file that is overwritten in between is noticed, and the block not given out.
Holds: one descriptor, FINGERPRINT_BYTES first bytes, and a decoder where the file is compressed.

Not here: names, other files of the set.
"""

from __future__ import annotations

import contextlib
import enum
import os
from io import FileIO
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.records import Identity
from logflume.sources.compressed import MAGIC_BYTES, Decoder, detect

if TYPE_CHECKING:
    from logflume.sources.compressed import Damage, Format
    from logflume.sources.rotation import Key, Member

FINGERPRINT_BYTES = 1024
"""How many first bytes of a file tell it from others."""


TELLING_BYTES = 32
"""A first line of so many bytes has a time in it, mostly: it is not that of another file."""


KEPT_HEAD_BYTES = 4096
"""A hole that begins here was punched to give space back: a capture keeps the head, which tells files apart."""


_BLOCKS_OF_BYTES = 512  # of st_blocks, whatever the file system


class Punched(Exception):
    """What was to be read next was given up; the file goes on at ``.end``."""

    def __init__(self, end: int) -> None:
        self.end = end
        super().__init__()


class Rewritten(Exception):
    """Bytes that were seen in a file are not in it any more."""


class Cut(enum.Enum):
    """How a file was rewritten; the value is the middle of a sentence."""

    BEFORE = "cut before it was read"
    BEHIND = "cut to less than had been read of it"
    AHEAD = "cut while it was read"
    OVERWRITTEN = "overwritten while it was read"


class OpenFile(Closing):
    """One open file of a set: how far it is read, and whether it is still the same.

    ``at`` counts decoded bytes; ``first`` holds the first FINGERPRINT_BYTES of them; ``seen_mtime_ns`` is when it was
    last written, as of the last look at its end at which it had bytes.
    """

    def __init__(self, descriptor: int, member: Member, max_decoded_bytes: int) -> None:
        self._io = FileIO(descriptor)  # which closes it, should everybody forget
        self.path = member.path
        self.age = member.age
        self.at = 0
        self.first = b""
        self.seen_mtime_ns = 0
        self._max_decoded_bytes = max_decoded_bytes
        self._decoder: Decoder | None = None
        self._damage_taken = False
        try:
            status = os.fstat(descriptor)
            self.key = status.st_dev, status.st_ino
            self._see(status)
            _advise(descriptor)
            self._look_at_first()
        except OSError:
            self.close()
            raise

    @property
    def compressed(self) -> bool:
        """Whether what is read is decoded."""
        return self._decoder is not None

    def read(self, max_bytes: int) -> bytes:
        """Return the next bytes; ``b""`` at the present end.

        Raises:
            Rewritten: what was read before is not in the file any more.
            Punched: what comes next was given up.
            OSError: the disk failed.
        """
        if not self.at and not self.first:
            self._look_at_first()
        if self._decoder:
            block = self._decoder.read(max_bytes)
        else:
            block = os.pread(self._io.fileno(), max_bytes, self.at)
            self._require_same(block)
            block = self._before_hole(block)
        self.at += len(block)
        return block

    def _before_hole(self, block: bytes) -> bytes:
        """Return what of a block just read cannot have been read from a hole."""
        hole_end = punched_until(self._io.fileno()) if block else 0
        if self.at >= hole_end:
            return block
        if self.at < KEPT_HEAD_BYTES:
            return block[: KEPT_HEAD_BYTES - self.at]
        raise Punched(hole_end)

    def pass_hole(self, end: int) -> int:
        """Go on behind a hole; return how many bytes are left out."""
        lost_bytes, self.at = end - self.at, end
        return lost_bytes

    def skip_readable(self, size: int) -> int:
        """Go on from the beginning by ``size`` bytes that can be read, or to the end; return by how many."""
        if self._decoder or size <= KEPT_HEAD_BYTES or not (hole_end := punched_until(self._io.fileno())):
            return self.skip(size)
        hole_bytes = hole_end - KEPT_HEAD_BYTES
        return self.skip(size + hole_bytes) - hole_bytes

    def readable_before(self, at: int) -> int:
        """How many bytes before ``at`` can be read."""
        if at <= KEPT_HEAD_BYTES or self._decoder:
            return at
        hole_end = punched_until(self._io.fileno())
        return at - max(0, min(at, hole_end) - KEPT_HEAD_BYTES)

    def skip(self, size: int) -> int:
        """Go on by ``size`` bytes, or to the end; return by how many."""
        if self._decoder is None:
            skipped = min(size, self._seen_bytes - self.at)
            self.at += skipped
            return skipped
        begin = self.at
        while left := begin + size - self.at:
            if not self.read(min(left, BLOCK_BYTES)):
                break
        return self.at - begin

    def identity(self) -> Identity:
        """Name the file by the first bytes that it has now, the more of them the better."""
        if len(self.first) < FINGERPRINT_BYTES and not self._decoder:
            with contextlib.suppress(OSError, ValueError):  # failing, or closed: what was seen before will do
                head = self._head()
                self.first = head if head.startswith(self.first) else self.first
        return identity_of(self.key, self.first)

    def is_same(self, identity: Identity) -> bool:
        """Tell whether it begins with the bytes of ``identity``; it may have grown."""
        return _digest(self.first[: identity.fingerprint_bytes]) == identity.fingerprint

    def is_copy(self, identity: Identity) -> bool:
        """Tell the same of a file of another inode: it must have as many first bytes, and enough to tell it by."""
        covered = identity.fingerprint_bytes
        return TELLING_BYTES <= covered == len(self.first) and self.is_same(identity)

    def is_grown_copy(self, identity: Identity) -> bool:
        """Tell the same of a file that may have more bytes than were known; those must be enough for a first time."""
        return identity.fingerprint_bytes >= TELLING_BYTES and self.is_same(identity)

    def may_hold(self, size: int) -> bool:
        """Whether it has so many bytes; of a compressed file nobody knows before they are decoded."""
        return self._decoder is not None or self._seen_bytes >= size

    def peek_plain(self, at: int, size: int) -> bytes:
        """Return some of its bytes as they are on disk; less at its end."""
        return os.pread(self._io.fileno(), size, at)

    def has_more(self) -> bool:
        """Whether bytes were added since the end was seen."""
        return self._decoder is None and self._size() > self.at

    def find_cut(self) -> Cut:
        """Say what became of it, after Rewritten."""
        if self._size() < self.at:
            return Cut.BEHIND
        return Cut.AHEAD if self._head().startswith(self.first) else Cut.OVERWRITTEN

    def forget_cut(self) -> None:
        """Go on where it was read to, whatever was cut off behind."""
        self._see(os.fstat(self._io.fileno()))

    def unread_bytes(self) -> int:
        """How many bytes were seen behind what was read."""
        return max(0, self._seen_bytes - self.at)

    def mtime_ns(self) -> int:
        """When it was last written."""
        return os.fstat(self._io.fileno()).st_mtime_ns

    def start_over(self) -> None:
        """Take it for a new file."""
        self.at = 0
        self.first = b""
        self._seen_bytes = 0

    def take_damage(self) -> Damage | None:
        """Return why decoding ended too early; once."""
        if self._decoder is None or self._damage_taken:
            return None
        damage = self._decoder.damage
        self._damage_taken = damage is not None
        return damage

    def close(self) -> None:
        """Release the descriptor."""
        with contextlib.suppress(OSError):
            self._io.close()

    def _look_at_first(self) -> None:
        kind = detect(self.path, os.pread(self._io.fileno(), MAGIC_BYTES, 0))
        if kind is None:
            self.first = self._head()
        else:
            self._decoder = self._decode(kind)
            self.first = _read_fully(self._decode(kind), FINGERPRINT_BYTES)

    def _decode(self, kind: Format) -> Decoder:
        at = 0

        def read_raw(max_bytes: int) -> bytes:
            nonlocal at
            raw = os.pread(self._io.fileno(), max_bytes, at)
            at += len(raw)
            return raw

        return Decoder(kind, read_raw, max_decoded_bytes=self._max_decoded_bytes)

    def _require_same(self, block: bytes) -> None:
        head = self._head()
        if not head.startswith(self.first):
            raise Rewritten
        self.first = head
        if block:
            self._seen_bytes = max(self._seen_bytes, self.at + len(block))
            return
        status = os.fstat(self._io.fileno())
        if status.st_size < self._seen_bytes:
            raise Rewritten
        self._see(status)

    def _see(self, status: os.stat_result) -> None:
        self._seen_bytes = status.st_size
        if status.st_size or not self.seen_mtime_ns:  # of an empty file, what counts is since when it may be another
            self.seen_mtime_ns = status.st_mtime_ns

    def _head(self) -> bytes:
        return os.pread(self._io.fileno(), FINGERPRINT_BYTES, 0)

    def _size(self) -> int:
        return os.fstat(self._io.fileno()).st_size


def punched_until(descriptor: int) -> int:
    """Return where a hole that begins behind the kept head ends; 0 when there is none."""
    if not is_sparse(os.fstat(descriptor)):
        return 0
    try:
        hole = os.lseek(descriptor, KEPT_HEAD_BYTES, os.SEEK_HOLE)
        return os.lseek(descriptor, hole, os.SEEK_DATA) if hole == KEPT_HEAD_BYTES else 0
    except OSError:  # nothing but holes behind it, or a file system that does not tell
        return 0


def is_sparse(status: os.stat_result) -> bool:
    """Whether a file has less on the disk than it is long, as one with a hole has."""
    return status.st_blocks * _BLOCKS_OF_BYTES < status.st_size


def key_text(key: Key) -> str:
    """Write device and inode as identities have them."""
    return f"{key[0]}:{key[1]}"


def identity_of(key: Key, first: bytes) -> Identity:
    """Name a file by device, inode and its first bytes, FINGERPRINT_BYTES at most."""
    return Identity(key_text(key), _digest(first), len(first))


def _digest(data: bytes) -> str:
    import hashlib  # takes as long as the first block of a log

    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read_fully(decoder: Decoder, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := decoder.read(size - len(data))):
        data += piece
    return data


def _advise(descriptor: int) -> None:
    """Let the system read ahead."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # advice only, and not every file system takes it
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
