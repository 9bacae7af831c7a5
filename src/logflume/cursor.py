"""Where a reader of a log is: opaque, durable, and signed when it leaves the process.

Holds: for each source its name, position and highest time. Resuming reads no byte again.

A token is ``2.<payload>.<signature>``, both URL-safe base64 without padding (RFC 4648, 5). The payload is deflated
(RFC 1951): the marks by columns, each number as a varint, of each text what differs from the one before it. The
signature is HMAC-SHA256 (RFC 2104), cut to its first 128 bits, over the log's id and the payload, so that the token of
one log is refused for another. Without a key the signature is empty: for tokens that stay inside a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import BadCursor, CursorExpired
from logflume.records import Identity, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from logflume.abc import Source

VERSION = "2"

MAX_TOKEN_BYTES = 1024 * 1024
"""Longer tokens are refused unread; a source takes some 50 bytes."""

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
"""A token that becomes longer than that when it is inflated is refused."""

_SIGNED_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one source has been given out.

    Attributes:
        source: its name.
        position: where to go on; None: it could not be opened, so from its start.
        floor_ns: the highest time given out of it: lines without a time that follow have this one.
    """

    source: str
    position: Position | None
    floor_ns: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a merged log. Compare, store and send it; only what reads logs looks inside.

    Attributes:
        marks: how far each source has been given out.
        owes_newline: name of the source whose last line was given out as text without its newline.
    """

    marks: tuple[Mark, ...]
    owes_newline: str | None = None

    def marks_for(self, sources: Sequence[Source]) -> list[Mark | None]:
        """Return the mark of each source, None for those that are new since.

        Raises:
            CursorExpired: a source that had been read is gone.
        """
        known = {mark.source: mark for mark in self.marks}
        marks = [known.pop(source.name, None) for source in sources]
        gone = [mark.source for mark in known.values() if mark.position is not None]
        if gone:
            raise CursorExpired(f"{', '.join(gone)}: no longer among the sources of this log")
        return marks

    def token(self, *, key: bytes = b"", log_id: str = "") -> str:
        """Write this as text that is safe in a URL; signed if there is a key."""
        payload = _packed(self)
        return f"{VERSION}.{_encode(payload)}.{_signature(payload, key, log_id)}"

    @classmethod
    def from_token(cls, token: str, *, key: bytes = b"", log_id: str = "") -> Cursor:
        """Read what ``token()`` wrote with the same key and log.

        Raises:
            BadCursor: it is not that.
        """
        import hmac
        import zlib

        version, payload, signature = _parts(token)
        if version != VERSION:
            raise BadCursor("this cursor is of another version of logflume; read again from the start or the tail")
        if not hmac.compare_digest(
            signature.encode("utf-8", "surrogatepass"), _signature(payload, key, log_id).encode()
        ):
            raise BadCursor("this cursor was not made here, or is of another log; read again from the start")
        try:
            return _unpacked(payload)
        except (ValueError, zlib.error) as error:
            raise BadCursor("this cursor is damaged; read again from the start") from error


def _packed(cursor: Cursor) -> bytes:
    """Write a cursor by columns, which are alike in themselves."""
    import zlib

    writing = _Writing()
    marks, places = cursor.marks, [mark.position for mark in cursor.marks if mark.position is not None]
    writing.numbers([len(marks)])
    writing.texts([mark.source for mark in marks])
    floors = [mark.floor_ns for mark in marks]
    writing.numbers(_zigzag(floor - before) for before, floor in zip([0, *floors], floors, strict=False))
    writing.numbers(0 if mark.position is None else mark.position.offset + 1 for mark in marks)
    writing.texts([place.identity.key for place in places])
    writing.numbers(place.identity.fingerprint_bytes for place in places)
    writing.digests(place.identity.fingerprint for place in places)
    writing.texts([] if cursor.owes_newline is None else [cursor.owes_newline])
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(writing.data) + packer.flush()


def _unpacked(payload: bytes) -> Cursor:
    """Read what ``_packed`` wrote.

    Raises:
        ValueError, zlib.error: it is not that.
    """
    import itertools
    import zlib

    inflating = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    reading = _Reading(inflating.decompress(payload, MAX_PAYLOAD_BYTES))
    if not inflating.eof or inflating.unused_data:
        raise ValueError("more than a payload")
    (count,) = reading.numbers(1)
    sources = reading.texts(count)
    floors = list(itertools.accumulate(map(_unzigzag, reading.numbers(count))))
    ends = reading.numbers(count)
    placed = sum(map(bool, ends))
    keys, covered, digests = reading.texts(placed), reading.numbers(placed), reading.digests(placed)
    identities = map(Identity, keys, digests, covered)
    places = [Position(next(identities), end - 1) if end else None for end in ends]
    owed = reading.texts(1) if reading.has_more else [None]
    if reading.has_more or any(not -(2**63) <= floor < 2**63 for floor in floors):
        raise ValueError("more than a cursor")
    return Cursor(tuple(map(Mark, sources, places, floors)), owed[0])


def _zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _unzigzag(number: int) -> int:
    return -(number + 1) // 2 if number % 2 else number // 2


class _Writing:
    """Numbers and texts as bytes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def numbers(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            left = number
            while left >= 0x80:  # noqa: PLR2004 - seven bits a byte
                self.data.append(left & 0x7F | 0x80)
                left >>= 7
            self.data.append(left)

    def texts(self, texts: Iterable[str]) -> None:
        """Write of each what is not as in the one before it."""
        before = b""
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            same = _common(before, data)
            self.numbers((same, len(data) - same))
            self.data += data[same:]
            before = data

    def digests(self, digests: Iterable[str]) -> None:
        """Write texts most of which are bytes in hex."""
        for digest in digests:
            is_hex = len(digest) % 2 == 0 and not digest.strip("0123456789abcdef")
            data = bytes.fromhex(digest) if is_hex else digest.encode("utf-8", "surrogatepass")
            self.numbers((2 * len(data) + (not is_hex),))
            self.data += data


class _Reading:
    """What ``_Writing`` wrote. Each call raises ValueError when it is not that."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._data)

    def numbers(self, count: int) -> list[int]:
        if count > len(self._data):
            raise ValueError("fewer numbers than that")
        return [self._number() for _ in range(count)]

    def _number(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._bytes(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last one
                return number
        raise ValueError("a number of more than 70 bits")

    def _bytes(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count]
        if len(data) < count:
            raise ValueError("it ends too soon")
        self._at += count
        return data

    def texts(self, count: int) -> list[str]:
        texts: list[str] = []
        before, total = b"", 0
        for _ in range(count):
            same, more = self.numbers(2)
            before = before[:same] + self._bytes(more)
            total += len(before)
            if total > MAX_PAYLOAD_BYTES:
                raise ValueError("too much text")
            texts.append(before.decode("utf-8", "surrogatepass"))
        return texts

    def digests(self, count: int) -> list[str]:
        sizes = ((number // 2, number % 2) for number in (self._number() for _ in range(count)))
        return [
            self._bytes(size).decode("utf-8", "surrogatepass") if is_text else self._bytes(size).hex()
            for size, is_text in sizes
        ]


def _common(one: bytes, other: bytes) -> int:
    """How many first bytes are the same."""
    same = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(same, min(len(one), len(other)))


def _parts(token: str) -> tuple[str, bytes, str]:
    if len(token) > MAX_TOKEN_BYTES:
        raise BadCursor(f"a cursor is at most {MAX_TOKEN_BYTES} bytes long; this has {len(token)}")
    import base64
    import binascii

    parts = token.split(".")
    try:
        version, payload, signature = parts
        return version, base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", validate=True), signature
    except (ValueError, binascii.Error):
        raise BadCursor("this is no cursor; read from the start, or pass a cursor as it was given") from None


def _encode(data: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(payload: bytes, key: bytes, log_id: str) -> str:
    if not key:
        return ""
    import hashlib
    import hmac

    name = log_id.encode("utf-8", "surrogateescape")
    whole = hmac.new(key, len(name).to_bytes(8, "big") + name + payload, hashlib.sha256).digest()
    return _encode(whole[:_SIGNED_BYTES])
