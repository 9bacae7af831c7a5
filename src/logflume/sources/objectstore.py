"""A log in an object store: what ``logflume.ship.sinks.objectstore`` wrote there, as one source.

Invariant: each byte comes out once, in the order written; what is missing between two parts is a Gap.
Plan:  a stream is the objects below its prefix, one folder for each run, in the order of their names. The name of a
       part says which bytes of the stream it is about, how many it holds, and their checksum; so one listing is the
       whole plan, parts that were written twice are seen, and reading begins anywhere.
Holds: one listing (MAX_PARTS names), one part of MAX_PART_BYTES.

Not here: objects of others; writing.
"""

from __future__ import annotations

import bisect
import re
import time
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


MAX_PARTS = 200_000
"""A stream of more parts is not read: name one of its runs."""

MAX_PART_BYTES = 64 * 1024 * 1024
"""A larger object is no part of ours."""

MANIFEST = "manifest.json"

LIST_S = 1.0
"""How often a reader at the end looks for more."""

_NAME = re.compile(r"(?:.*/)?([^/]+)/(\d{20})-(\d{20})-(\d+)-([0-9a-f]{8})\.log(\.zst)?")
_ADDRESS = re.compile(r"(s3|s3a|gs|az|azure|abfs|abfss|adl|file|memory)://")
_FINGERPRINT_BYTES = 1024
_SHOWN_CHARS = 150
_RETRY: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


def is_address(text: str) -> bool:
    """Tell whether a text names a place in an object store, and no path."""
    return _ADDRESS.match(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One object of a stream.

    Attributes:
        run: the folder it is in: one for each folder that was captured into.
        start, end: which bytes of the captured stream it is about.
        size_bytes: how many bytes it holds; more than end - start where it says itself what is missing before it.
        crc: the CRC-32 of these.
        compressed: whether it is a frame of zstd.
    """

    run: str
    start: int
    end: int
    size_bytes: int
    crc: int
    compressed: bool = False

    @property
    def name(self) -> str:
        """Return its name below the stream's prefix."""
        ending = ".log.zst" if self.compressed else ".log"
        return f"{self.run}/{self.start:020d}-{self.end:020d}-{self.size_bytes}-{self.crc:08x}{ending}"


def part_of(path: str) -> Part | None:
    """Return what the name of an object says; None of an object that is no part."""
    found = _NAME.fullmatch(path)
    if found is None or int(found[4]) > MAX_PART_BYTES:
        return None
    return Part(found[1], int(found[2]), int(found[3]), int(found[4]), int(found[5], 16), found[6] is not None)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is read of a part: all but ``skip`` first bytes, from linear offset ``begin`` on."""

    part: Part
    begin: int
    skip: int
    lost_bytes: int

    @property
    def end(self) -> int:
        """Linear offset behind it."""
        return self.begin + self.part.size_bytes - self.skip


def pieces_of(parts: Iterable[Part]) -> list[Piece]:
    """Return what is read of parts, in order: what was written twice once, and what is missing between them.

    A batch that was on its way when a process was killed may be there twice, cut differently.
    """
    pieces: list[Piece] = []
    run, at, linear = "", 0, 0
    for part in sorted(parts, key=lambda part: (part.run, part.start, -part.end)):
        if part.run != run:
            run, at = part.run, part.start
        if part.end <= at and part.start < at:
            continue
        plain = part.size_bytes == part.end - part.start
        skip = max(0, at - part.start) if plain else 0
        pieces.append(Piece(part, linear, skip, max(0, part.start - at)))
        at, linear = part.end, pieces[-1].end
    return pieces


def open_store(url: str, options: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - there is one class a service
    """Return the store and prefix that ``url`` names: ``s3://BUCKET/PREFIX``, ``gs://…``, ``az://…``, ``file:///…``.

    Raises:
        UsageError: it is no such address, or obstore is missing.
    """
    try:
        from obstore.store import LocalStore, from_url
    except ImportError:
        raise UsageError("obstore is missing: pip install 'logflume[objectstore]'") from None
    try:
        if url.startswith("file://"):
            return LocalStore.from_url(url, mkdir=True)
        own: Any = dict(options or {})
        # It is an option of the connection; as one of the service it would end the process.
        client: Any = {"allow_http": True} if own.pop("allow_http", "") == "true" else None
        return from_url(url, config=own or None, client_options=client, retry_config=_RETRY)
    except Exception as error:
        raise UsageError(f"{url} is no object store: {first_line(error)}") from error


class ObjectSource:
    """One stream in an object store.

    Order:  as captured. Loss: parts that are not there, or are not what was written; each is a Gap.
    Memory: nothing here; see ObjectReader.
    """

    seekable = True

    def __init__(self, url: str, *, name: str | None = None, options: dict[str, str] | None = None) -> None:
        """Look at nothing yet.

        Args:
            url: the store, and the stream's prefix in it: ``s3://BUCKET/PREFIX/out.log``.
            name: what people call it; the last word of the address if None.
            options: for the service, as obstore names them; else the environment's are taken.
        """
        self.url = url.rstrip("/")
        self.name = name or self.url.rpartition("/")[2]
        self._options = options
        self._store: Any = None

    def open(self, start: int | Position = 0) -> ObjectReader:
        """Open at a linear byte offset, or at a durable position.

        Raises:
            SourceFailed: it cannot be listed, or holds no part.
            CursorExpired: the part of a position is gone.
        """
        pieces = self.list_pieces()
        if not pieces:
            raise SourceFailed(
                Gap(
                    self.name,
                    GapReason.NOT_FOUND,
                    f"There are no parts of a log below {self.url}.",
                    "Check the address.",
                )
            )
        offset = start if isinstance(start, int) else self._offset_of(start, pieces)
        return ObjectReader(self, pieces, offset)

    def _offset_of(self, position: Position, pieces: list[Piece]) -> int:
        if position.offset < 0:
            raise UsageError("an offset is 0 or more")
        for piece in pieces:
            if piece.part.name == position.identity.key and _fingerprint(piece.part) == position.identity.fingerprint:
                return piece.begin + max(0, position.offset - piece.skip)
        raise CursorExpired(f"{self.name}: the part {position.identity.key} of this position is not there any more")

    def list_pieces(self, after: str | None = None) -> list[Piece]:
        """Return what there is to read; of parts whose names are after ``after`` only.

        Raises:
            SourceFailed: the store refuses, or there are too many.
        """
        try:
            parts = list(self._iter_parts(after))
        except SourceFailed:
            raise
        except Exception as error:
            raise SourceFailed(_gap_of(error, self.name, self.url)) from error
        return pieces_of(parts)

    def _iter_parts(self, after: str | None) -> Iterator[Part]:
        import obstore

        count = 0
        for page in obstore.list(self.store(), offset=after):
            for each in page:
                part = part_of("/" + each["path"])
                if part is not None:
                    count += 1
                    yield part
            if count > MAX_PARTS:
                detail = f"There are more than {MAX_PARTS:,} parts."
                raise SourceFailed(Gap(self.name, GapReason.TOO_LARGE, detail, "Name the folder of one run."))

    def store(self) -> Any:  # noqa: ANN401 - as open_store
        """Return the store; made when it is first needed."""
        if self._store is None:
            self._store = open_store(self.url, self._options)
        return self._store

    def read_part(self, piece: Piece, at: int) -> bytes:
        """Return the bytes of a piece from ``at`` on; a whole one is compared with its checksum.

        Raises:
            SourceFailed: the part is gone, unreadable, or not what was written.
        """
        part, skip = piece.part, piece.skip + at
        try:
            data = self._fetch(part, skip)
        except Exception as error:
            raise SourceFailed(_gap_of(error, self.name, part.name)) from error
        expected_bytes = part.size_bytes - (skip if not part.compressed else 0)
        if len(data) != expected_bytes or (len(data) == part.size_bytes and zlib.crc32(data) != part.crc):
            detail = f"{part.name} is not what was written."
            raise SourceFailed(
                Gap(self.name, GapReason.CORRUPT, detail, "Look for a copy of it.", part.size_bytes - skip)
            )
        return data[skip:] if part.compressed else data

    def _fetch(self, part: Part, skip: int) -> bytes:
        import obstore

        if part.compressed:
            import zstandard

            raw = bytes(obstore.get(self.store(), part.name).bytes())
            return zstandard.ZstdDecompressor().decompress(raw, max_output_size=part.size_bytes)
        if not skip:
            return bytes(obstore.get(self.store(), part.name).bytes())
        if skip >= part.size_bytes:
            return b""
        return bytes(obstore.get_range(self.store(), part.name, start=skip, end=part.size_bytes))

    def peek_size(self) -> int | None:
        """Bytes that can be read at this moment; None when nobody knows."""
        try:
            pieces = self.list_pieces()
        except SourceFailed:
            return None
        return pieces[-1].end if pieces else None

    def peek_identity(self) -> Identity | None:
        """Identity of the first part; None when there is none or the store refuses."""
        try:
            pieces = self.list_pieces()
        except SourceFailed:
            return None
        return _identity(pieces[0].part) if pieces else None


class ObjectReader(Closing):
    """Reads a stream, and follows it: see ``logflume.abc.Reader``.

    Order:  as captured. Loss: a part that is missing or damaged is a Gap.
    Memory: the names of all parts, and one part.
    """

    def __init__(self, source: ObjectSource, pieces: list[Piece], offset: int) -> None:
        self.start = offset
        self.gaps: list[Gap] = []
        self._source = source
        self._pieces = pieces
        self._at = offset
        self._number = max(0, bisect.bisect_right([piece.begin for piece in pieces], offset) - 1)
        self._data = b""
        self._data_at = 0
        self._listed_s = time.monotonic()
        self._closed = False

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; ``b""`` when there is nothing more at this moment.

        Raises:
            SourceFailed: the store cannot be read; what was read before stays valid.
        """
        if self._closed:
            raise UsageError("read after close")
        if max_bytes < 1:
            raise UsageError(f"max_bytes is 1 or more, not {max_bytes}")
        while self._data_at >= len(self._data):
            if not self._load_next():
                return b""
        block = self._data[self._data_at : self._data_at + max_bytes]
        self._data_at += len(block)
        self._at += len(block)
        return block

    def _load_next(self) -> bool:
        """Fetch what comes next; False when there is nothing."""
        self._data, self._data_at = b"", 0
        while self._number < len(self._pieces) and self._at >= self._pieces[self._number].end:
            self._number += 1
        if self._number >= len(self._pieces):
            return self._look_for_more()
        piece = self._pieces[self._number]
        if self._at == piece.begin and piece.lost_bytes and self._number:
            self._note_missing(piece)
        try:
            self._data = self._source.read_part(piece, self._at - piece.begin)
        except SourceFailed as broken:
            if broken.gap.reason not in (GapReason.CORRUPT, GapReason.NOT_FOUND):
                raise
            self.gaps.append(broken.gap)
            self._at = piece.end
        return True

    def _look_for_more(self) -> bool:
        """List what was added behind the last part; at most every LIST_S."""
        now_s = time.monotonic()
        if now_s - self._listed_s < LIST_S:
            return False
        self._listed_s = now_s
        last = self._pieces[-1]
        new = self._source.list_pieces(last.part.name)
        if not new:
            return False
        whole = pieces_of([last.part, *(piece.part for piece in new)])
        shift = last.begin - last.skip
        self._pieces += [Piece(each.part, each.begin + shift, each.skip, each.lost_bytes) for each in whole[1:]]
        return len(whole) > 1

    def _note_missing(self, piece: Piece) -> None:
        detail = f"{piece.lost_bytes} bytes before {piece.part.name} are not there."
        action = "Look whether parts were deleted; ship them again from where they were captured."
        self.gaps.append(
            Gap(self._source.name, GapReason.EXPIRED, detail, action, piece.lost_bytes, offset=piece.begin)
        )

    def position(self, offset: int) -> Position:
        """Name the linear ``offset`` durably: a part, and how far into it."""
        if not self.start <= offset <= max(self._at, self.start):
            raise UsageError(f"{offset} is not between {self.start} and {self._at}, what was read")
        number = max(0, bisect.bisect_right([piece.begin for piece in self._pieces], offset) - 1)
        piece = self._pieces[number]
        return Position(_identity(piece.part), offset - piece.begin + piece.skip)

    def close(self) -> None:
        """Release what is held."""
        self._closed = True
        self._data = b""


def _identity(part: Part) -> Identity:
    return Identity(part.name, _fingerprint(part), min(part.size_bytes, _FINGERPRINT_BYTES))


def _fingerprint(part: Part) -> str:
    return f"{part.crc:08x}"


def _gap_of(error: Exception, source: str, what: str) -> Gap:
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError) or kind == "NotFoundError":
        return Gap(source, GapReason.NOT_FOUND, f"{what} is not there.", "Check the address.")
    if isinstance(error, PermissionError) or kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return Gap(source, GapReason.PERMISSION_DENIED, f"{what} may not be read.", "Check credentials and policies.")
    return Gap(source, GapReason.UNREADABLE, f"{what} cannot be read: {first_line(error)}.", "Try again.")


def first_line(error: BaseException) -> str:
    """Return what an error of obstore says, without what is for its programmers."""
    said = str(error).partition("Debug source")[0]
    text = " ".join(said.split()) or type(error).__name__
    # What the service answered stands at the end, behind a long address.
    return text if len(text) <= 2 * _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} … {text[-_SHOWN_CHARS:]}"
