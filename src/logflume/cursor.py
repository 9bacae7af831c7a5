"""Where a reader of a log is: opaque, durable, and signed when it leaves the process.

Holds: for each source its name, position and highest time. Resuming reads no byte again.

A token is ``1.<payload>.<signature>``, both URL-safe base64 without padding (RFC 4648, 5). The payload is
JSON; the signature is HMAC-SHA256 (RFC 2104) over the log's id and the payload, so that the token of one log
is refused for another. Without a key the signature is empty: for tokens that stay inside a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume.errors import BadCursor, CursorExpired
from logflume.records import Identity, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Source

VERSION = "1"

MAX_TOKEN_BYTES = 1024 * 1024
"""Longer tokens are refused unread; a source takes some 150 bytes."""


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
        import json

        rows = [_row(mark) for mark in self.marks]
        owed = [] if self.owes_newline is None else [self.owes_newline]
        payload = json.dumps([*rows, *owed], separators=(",", ":")).encode()
        return f"{VERSION}.{_encode(payload)}.{_signature(payload, key, log_id)}"

    @classmethod
    def from_token(cls, token: str, *, key: bytes = b"", log_id: str = "") -> Cursor:
        """Read what ``token()`` wrote with the same key and log.

        Raises:
            BadCursor: it is not that.
        """
        import hmac
        import json

        version, payload, signature = _parts(token)
        if version != VERSION:
            raise BadCursor("this cursor is of another version of logflume; read again from the start or the tail")
        if not hmac.compare_digest(
            signature.encode("utf-8", "surrogatepass"), _signature(payload, key, log_id).encode()
        ):
            raise BadCursor("this cursor was not made here, or is of another log; read again from the start")
        try:
            rows = json.loads(payload)
            owed = rows.pop() if rows and isinstance(rows[-1], str) else None
            return cls(tuple(_mark(row) for row in rows), owed)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError) as error:
            raise BadCursor("this cursor is damaged; read again from the start") from error


def _row(mark: Mark) -> list[Any]:
    if mark.position is None:
        return [mark.source, mark.floor_ns]
    identity = mark.position.identity
    where = [mark.position.offset, identity.key, identity.fingerprint, identity.fingerprint_bytes]
    return [mark.source, mark.floor_ns, *where]


def _mark(row: list[Any]) -> Mark:
    source, floor_ns, *where = row
    if not isinstance(source, str) or not isinstance(floor_ns, int) or not -(2**63) <= floor_ns < 2**63:
        raise TypeError(row)
    if not where:
        return Mark(source, None, floor_ns)
    offset, key, fingerprint, fingerprint_bytes = where
    identity = Identity(str(key), str(fingerprint), int(fingerprint_bytes))
    return Mark(source, Position(identity, int(offset)), floor_ns)


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
    return _encode(hmac.new(key, len(name).to_bytes(8, "big") + name + payload, hashlib.sha256).digest())
