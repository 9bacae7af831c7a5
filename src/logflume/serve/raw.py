"""Downloads: a source byte for byte, or the merged text, whole or as filtered.

Holds: what is sent is what was said: as long, and of the bytes that the ETag stands for. A source that is cut,
       replaced or rotated away meanwhile cuts the connection; no wrong bytes end as if all was there.
Plan:  one plain source has a size: it is read from any offset, up to the size that it had when it was asked for, by a
       reader that knows its file by its first bytes and goes on through rotation. So has the merged text of plain
       sources once the index covers just them: it is merged from the entry before the part. All else has no size
       before it is made, and so no parts: compressed sources, some of several sources, filters.
Memory: what the pump holds, and one compressed block.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

from fastapi import Query, Request, Response

from logflume.abc import TellsStatus, interrupt
from logflume.errors import IndexInvalid, SourceFailed
from logflume.records import Gap, GapReason, Output
from logflume.serve.asked import LogId, guard_of, held, shelf_of
from logflume.serve.limits import Use
from logflume.serve.problems import Problem
from logflume.serve.query import Chosen, Filters, WantedFilters
from logflume.serve.ranges import names_tag, wanted_part
from logflume.serve.reading import BLOCK_BYTES, Media, Reading, Wanted
from logflume.serve.streams import ENCODERS, Form, StreamResponse, pumped
from logflume.until import sources_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from logflume.abc import Log, Source
    from logflume.index import LogIndex
    from logflume.records import Identity
    from logflume.serve.pump import Closing

    Make = Callable[[], Closing]

MAX_NAME_CHARS = 150
"""Of the file name that a download suggests."""

PACKED = {"gzip": ("application/gzip", ".gz"), "zstd": ("application/zstd", ".zst")}
"""How a download can be packed: its type, and the end of its name."""

_OF_PARTS = ("Accept-Ranges", "Content-Length", "Content-Range")
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+,@ -]+")


def raw(
    request: Request,
    log_id: LogId,
    filters: WantedFilters,
    pack: Annotated[Literal["gzip", "zstd"] | None, Query(description="Download it as such a file.")] = None,
) -> Response:
    """Download a source, or the whole log merged by time, as it was written.

    With one `source` (or where the log has just one) it is byte for byte that source: its rotated predecessors, then
    its newest file. Several sources, and what filters leave, come as merged text. Of a plain source, and of the whole
    merged text of plain ones as soon as it is indexed, parts can be had (`Range`, `If-Range`). When anything goes
    missing on the way the connection is cut: an answer that ends is whole.
    """
    shelf = shelf_of(request)
    log = shelf.find(log_id)
    sources = filters.sources_of(log)
    etag = _etag(log, sources, filters, pack)
    name = f"{log.id}/{sources[0].name}" if filters.sources and len(sources) == 1 else log.id
    headers = {"ETag": etag, "Content-Disposition": _disposition(name, pack)}
    if names_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if pack:
        headers["Content-Type"] = PACKED[pack][0]
    if len(sources) == 1 and not filters.chooses_records():
        return _source(request, sources[0], headers, pack)
    wanted = Wanted(
        log=Chosen(log.id, sources_now(sources)),
        how=filters.how(Output.TEXT),
        media=Media.TEXT,
        since_ns=filters.since_ns(),
        count=guard_of(request).metrics.new_reading().update,
    )
    sizes = {source.name: source.peek_size() for source in wanted.log.sources()}
    if filters.sources or filters.chooses_records() or pack or None in sizes.values():
        return _answer(request, lambda: Reading(wanted), headers, pack)
    return _text(request, wanted, sizes, shelf.index(log), headers)


def _text(
    request: Request, wanted: Wanted, sizes: Mapping[str, int | None], index: LogIndex, headers: dict[str, str]
) -> Response:
    """Answer with the merged text of a log; with a part of it where the index covers its sources up to these sizes."""
    # Times without a year are of the same one then, whatever part they are in.
    wanted = replace(wanted, how=replace(wanted.how, reference_ns=index.covered.how.reference_ns))
    size = index.text_bytes(sizes)
    if size is None:
        return _answer(request, lambda: Reading(wanted), headers, None)
    status, part = _asked_part(request, size, headers)
    try:
        place = index.locate_byte(part.start, sizes) if part.start else (None, 0)
    except IndexInvalid:
        place = None
    if place is None:
        for name in _OF_PARTS:
            headers.pop(name, None)
        return _answer(request, lambda: Reading(wanted), headers, None)
    after, skip = place
    return _answer(request, lambda: _Part(Reading(replace(wanted, after=after)), skip, part), headers, None, status)


def _source(request: Request, source: Source, headers: dict[str, str], pack: str | None) -> Response:
    size = source.peek_size() if source.seekable else None
    status, part = 200, range(size or 0)
    if size is not None and pack is None:
        status, part = _asked_part(request, size, headers)
    return _answer(request, lambda: _Copy(source, part, known=size is not None), headers, pack, status)


def _asked_part(request: Request, size: int, headers: dict[str, str]) -> tuple[int, range]:
    """Return the status and the part that is asked for of so many bytes, and tell them in the headers.

    Raises:
        Problem: there is no such part.
    """
    headers["Accept-Ranges"] = "bytes"
    if_range = request.headers.get("if-range")
    wanted = wanted_part(request.headers.get("range"), size) if if_range in (None, headers["ETag"]) else None
    if wanted is not None and not wanted:
        no_part = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        raise Problem(416, "no-such-part", f"There are {size} bytes.", headers=no_part, size=size)
    part = range(size) if wanted is None else wanted
    headers["Content-Length"] = str(len(part))
    if wanted is None:
        return 200, part
    headers["Content-Range"] = f"bytes {part[0]}-{part[-1]}/{size}"
    return 206, part


def _answer(request: Request, make: Make, headers: dict[str, str], pack: str | None, status: int = 200) -> Response:
    form = Form(
        media=Media.TEXT,
        encoding=None,
        head_only=request.method == "HEAD",
        status=status,
        headers={"Vary": "Accept-Encoding", **headers},
    )
    made = (lambda: _Packed(make(), pack)) if pack else make
    return StreamResponse(
        held(request, Use.READ, lambda: pumped(made, form)), form, stop=guard_of(request).drain.answers
    )


class _Copy:
    """Bytes of a source; of one whose size is known just those of ``part``."""

    def __init__(self, source: Source, part: range, *, known: bool) -> None:
        """Open it.

        Raises:
            SourceFailed: it cannot be read.
            IndexInvalid: it was replaced in this moment.
        """
        self._name = source.name
        self._reading = threading.Lock()
        self._stopped = False
        identity = source.peek_identity()
        self._reader = source.open(part.start)
        self._left = len(part) if known else None
        self._gaps = len(self._reader.gaps)
        if _key(source.peek_identity()) != _key(identity):
            self._reader.close()
            raise IndexInvalid(f"{source.name} was replaced")

    def __iter__(self) -> Iterator[bytes]:
        """Yield them.

        Raises:
            SourceFailed: they are not there any more.
        """
        while (self._left is None or self._left > 0) and not self._stopped:
            block = self._read(BLOCK_BYTES if self._left is None else min(BLOCK_BYTES, self._left))
            broken = next(itertools.filterfalse(_is_lasting, self._reader.gaps[self._gaps :]), None)
            if broken is not None:
                raise SourceFailed(broken)
            if not block and self._left is None:
                return
            if not block:
                raise SourceFailed(_shrunk(self._name))
            yield block
            self._left = None if self._left is None else self._left - len(block)

    def _read(self, most_bytes: int) -> bytes:
        with self._reading:
            if self._stopped:
                raise SourceFailed(_shrunk(self._name))
            return self._reader.read_block(most_bytes)

    def close(self) -> None:
        """Release it, when a read under way in another thread has ended."""
        self._stopped = True
        interrupt(self._reader)
        with self._reading:
            self._reader.close()


def _is_lasting(gap: Gap) -> bool:
    """Whether a download is whole all the same: nobody has what was given up, or what changed bytes were."""
    return gap.reason is GapReason.EXPIRED or (gap.reason is GapReason.CORRUPT and gap.lost_bytes is not None)


class _Part:
    """Bytes of a merged text: those of ``part``, after ``skip`` others."""

    def __init__(self, blocks: Closing, skip: int, part: range) -> None:
        self._blocks = blocks
        self._skip = skip
        self._left = len(part)

    def __iter__(self) -> Iterator[bytes]:
        """Yield them.

        Raises:
            SourceFailed: they are not there any more.
        """
        if not self._left:
            return
        for block in self._blocks:
            kept = block[self._skip : self._skip + self._left]
            self._skip = max(0, self._skip - len(block))
            self._left -= len(kept)
            yield kept
            if not self._left:
                return
        raise SourceFailed(_shrunk("The log"))

    def close(self) -> None:
        """Release them."""
        self._blocks.close()


class _Packed:
    """Blocks as a compressed file."""

    def __init__(self, blocks: Closing, kind: str) -> None:
        self._blocks = blocks
        self._encoder = ENCODERS[kind]()

    def __iter__(self) -> Iterator[bytes]:
        """Yield it; it has its end only when all was there."""
        for block in self._blocks:
            yield self._encoder.compress(block)
        yield self._encoder.finish()

    def close(self) -> None:
        """Release them."""
        self._blocks.close()


def _etag(log: Log, sources: Sequence[Source], filters: Filters, pack: str | None) -> str:
    """Return what is another one when any byte may be."""
    each = [(source.name, source.peek_size(), source.peek_identity(), _written_ns(source)) for source in sources]
    told = repr([log.id, each, filters.resolved(), pack])
    return f'"{hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()}"'


def _written_ns(source: Source) -> int | None:
    return source.peek_status().written_ns if isinstance(source, TellsStatus) else None


def _key(identity: Identity | None) -> str | None:
    return None if identity is None else identity.key


def _disposition(name: str, pack: str | None) -> str:
    """Suggest a name for the file (RFC 6266): the last characters, and none that a path or a header is made of."""
    whole = name.replace("/", "_").lstrip(".")[-MAX_NAME_CHARS:] or "log"
    whole += "" if "." in whole else ".log"
    whole += PACKED[pack][1] if pack else ""
    plain = _UNSAFE.sub("_", whole)
    starred = "" if plain == whole else f"; filename*=UTF-8''{quote(whole.encode('utf-8', 'replace'), safe='')}"
    return f'attachment; filename="{plain}"{starred}'


def _shrunk(name: str) -> Gap:
    detail = f"{name} became shorter while it was read."
    return Gap(name, GapReason.TRUNCATED, detail, "Ask again for what is there now.")
