"""One reading of a log for one request: where it begins, when it ends, and what is said beside the lines.

Holds: what a merge holds, and the block given out.
Plan:  a merge, dressed for its media type; ``live`` follows. Whatever is missing is told where the media type has a
       place for it: NDJSON and server-sent events have, text has none.

Frames (``logflume.frames``) hold lines and what is said beside them apart, and say often where to go on.

Beside records, NDJSON has objects with the one key ``logflume``: ``{"logflume": {"gap": …}}`` when something is
missing, ``{"logflume": {"cursor": "…"}}`` when asked for, ``{"logflume": {"problem": …}}`` as the last line when it
breaks off, and ``{"logflume": {"time": "…"}}`` when nothing has come for a while.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from logflume import frames
from logflume.errors import CursorExpired, SourceFailed
from logflume.merge import iter_merged
from logflume.records import Output
from logflume.seek import cursor_at_time, find_tail, iter_lines, still_there
from logflume.serve.pump import is_crowd
from logflume.until import sources_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from logflume._core import Stats
    from logflume.abc import Log, Source
    from logflume.cursor import Cursor
    from logflume.merge import How, Merged
    from logflume.records import Gap, LogStatus
    from logflume.serve.problems import Problem
    from logflume.state import EndOfLog

BLOCK_BYTES = 256 * 1024
"""Bytes that are handed on at a time."""

_MARK_EVERY_BYTES = 1024 * 1024  # so many bytes come between two cursors
_FIRST_MARK_BYTES = 64 * 1024  # frames: from here on it doubles, so that short connections get on, too
_MARK_SHARE = 16  # a cursor, which grows with the number of sources, comes with so many times its own bytes
_MARK_SOON_S = 0.1  # frames: lines wait no longer for their cursor
_MARK_ANYWAY_S = 5.0  # frames: where nothing passes a filter, how far it was read is told as often

PAGE_BYTES = 8 * 1024 * 1024
"""A page of JSON ends here, at the end of a record, if not before."""

MAX_PUT_OFF_BYTES = 32 * 1024 * 1024
"""So long is a cursor put off within one instant at which several sources are compared, or one record in pieces."""

_NO_LIMIT = 2**63

MAX_GAPS_TOLD = 1000
"""Gaps told one by one; the number of the others comes at the end."""


class Media(str, Enum):
    """In which form a log is read."""

    NDJSON = "application/x-ndjson"
    TEXT = "text/plain"
    JSON = "application/json"
    EVENTS = "text/event-stream"
    FRAMES = frames.MEDIA_TYPE

    @property
    def output(self) -> Output:
        """What the merge gives for it, unless something else is asked for, in frames."""
        return Output.TEXT if self is Media.TEXT else Output.NDJSON


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What one reading is of.

    Attributes:
        log: with the sources that are wanted.
        how: to merge it.
        media: what comes out.
        after: go on after this place.
        since_ns: begin at this time.
        tail: begin so many lines before the end.
        limit: end after so many lines, at the end of a record.
        records: end after so many records.
        follow: go on as the log grows; ``live`` does that.
        until: end at this place.
        status: how whoever writes the log stood when it was asked for.
        ended: tells a follow that nothing more will be written.
        marks: tell cursors.
        key: signs them.
        count: is told what was merged, as often as there is news.
    """

    log: Log
    how: How
    media: Media
    after: Cursor | None = None
    since_ns: int | None = None
    tail: int | None = None
    limit: int | None = None
    records: int | None = None
    follow: bool = False
    until: Cursor | None = None
    status: LogStatus | None = None
    ended: EndOfLog | None = None
    marks: bool = False
    key: bytes = b""
    count: Callable[[Stats, list[Gap]], None] | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it ends before the log does."""
        return self.limit is not None or self.records is not None


class Reading:
    """Blocks of one answer. One thread iterates, any may close.

    Order, loss: those of a merge, or of a follow.
    """

    def __init__(self, wanted: Wanted) -> None:
        """Open the log.

        Raises:
            CursorExpired: what the cursor names is gone.
            UsageError: it cannot be read so.
        """
        self._wanted = wanted
        self._told = 0
        self._unmarked_bytes = 0
        with naming_oldest(wanted.log, wanted.after, wanted.key):
            self._open(wanted, wanted.log.sources())

    def _open(self, wanted: Wanted, sources: list[Source]) -> None:
        start, self._skip = _start(wanted, sources)
        if wanted.until is not None:
            sources = sources_until(sources, wanted.until)
            start = _within(start, sources)
        self._blocks: Merged
        if not wanted.is_limited:
            workers = 0 if is_crowd() else None  # others keep the processors busy
            self._blocks = iter_merged(sources, wanted.how, start=start, block_bytes=BLOCK_BYTES, workers=workers)
        else:  # a record at a time, and nothing is read that is not shown
            self._blocks = iter_merged(sources, wanted.how, start=start, block_bytes=1, workers=0)

    @property
    def gaps(self) -> list[Gap]:
        """What is missing so far."""
        return self._blocks.gaps

    def cursor(self) -> str:
        """Name the place after the last block."""
        return self._blocks.cursor().token(key=self._wanted.key, log_id=self._wanted.log.id)

    def close(self) -> None:
        """End it, from any thread."""
        self._blocks.close()
        if self._wanted.count is not None:
            self._wanted.count(self._blocks.stats(), self._blocks.gaps)

    def __iter__(self) -> Iterator[bytes]:
        """Yield it dressed for its media type.

        Raises:
            SourceFailed: what was read broke, and nothing else is left: this is no end.
        """
        if self._wanted.media is Media.TEXT:
            yield from self._text()
            return
        if self._wanted.media is Media.JSON:
            yield from self._page()
            return
        if self._wanted.media is Media.FRAMES:
            yield from self._framed()
            return
        for block in filter(None, self._lines()):
            yield from self._dressed(block)
        yield from self._dressed_end()
        self._require_end()

    def _require_end(self) -> None:
        if self._blocks.fault is not None:
            raise SourceFailed(self._blocks.fault)

    def _text(self) -> Iterator[bytes]:
        """Yield it; text has no place to tell in what went missing on the way, and so it has no end then.

        Raises:
            SourceFailed: something has.
        """
        known = len(self.gaps)
        yield from filter(None, self._lines())
        if len(self.gaps) > known:
            raise SourceFailed(self.gaps[-1])

    def _lines(self) -> Iterator[bytes]:
        """Yield blocks of lines, and b"" when nothing has come for a while."""
        if self._skip or self._wanted.media is not Media.FRAMES:
            plain = iter_lines(self._blocks, self._wanted.how, skip=self._skip)
        else:
            plain = iter(self._blocks.read_some, None)
        return self._limited(plain) if self._wanted.is_limited else plain

    def _limited(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        limit, records_left = self._wanted.limit or _NO_LIMIT, self._wanted.records or _NO_LIMIT
        lines = size = given = surplus = 0
        gathered: list[bytes] = []
        for block in blocks:
            lines += max(1, block.count(b"\n")) if block else 0
            records_left -= bool(block)
            gathered.append(block)
            size += len(block)
            surplus += len(block) if lines >= limit else 0
            is_full = (lines >= limit and self._can_end(surplus)) or not records_left
            is_full |= self._wanted.media is Media.JSON and given + size >= PAGE_BYTES
            if not block or size >= BLOCK_BYTES or is_full:
                yield b"".join(gathered)
                gathered.clear()
                given += size
                size = 0
            if is_full:
                return
        yield b"".join(gathered)

    def _can_go_on(self, put_off_bytes: int) -> bool:
        """Whether what goes on here gives exactly the rest, or this has been waited for long enough."""
        return self._blocks.resumable or put_off_bytes >= MAX_PUT_OFF_BYTES

    def _can_end(self, surplus_bytes: int) -> bool:
        """Whether a limit may end it here: not where whoever goes on from its cursor would be shown something twice."""
        tells_cursor = self._wanted.media in {Media.JSON, Media.FRAMES} or self._wanted.marks
        return not tells_cursor or self._blocks.resumable or surplus_bytes >= BLOCK_BYTES

    def _page(self) -> Iterator[bytes]:
        yield b'{"lines":['
        first = True
        for block in filter(None, self._lines()):
            yield (b"" if first else b",") + as_items(block)
            first = False
        after = self.cursor()
        is_end = next(iter(self._blocks), None) is None
        if first:  # nothing came, so that whoever polls is told at last
            self._require_end()
        rest = {
            "after": after,
            "end": is_end and self._blocks.fault is None,
            "state": None if self._wanted.status is None else self._wanted.status.state.value,
            "gaps": [asdict(gap) for gap in self.gaps[:MAX_GAPS_TOLD]],
        }
        yield b"]," + json.dumps(rest).encode()[1:] + b"\n"

    # frames

    def _framed(self) -> Iterator[bytes]:
        marked_s = time.monotonic() - _MARK_SOON_S  # the first lines come at once
        due_bytes = _FIRST_MARK_BYTES
        for block in self._lines():
            yield from self._new_gaps()
            self._unmarked_bytes += len(block)
            waited_s = time.monotonic() - marked_s
            is_late = waited_s >= (_MARK_SOON_S if self._unmarked_bytes else _MARK_ANYWAY_S)
            if (is_late or self._unmarked_bytes >= due_bytes) and self._can_go_on(self._unmarked_bytes):
                mark = self._mark()
                yield frames.lines_told(block) + mark if block else mark
                marked_s = time.monotonic()
                due_bytes = max(min(2 * due_bytes, _MARK_EVERY_BYTES), _MARK_SHARE * len(mark))
            elif block:
                yield frames.lines_told(block)
        yield from self._new_gaps()
        yield self._mark()
        self._require_end()
        if self._wanted.until is None:  # else a follow goes on there
            yield frames.told(frames.END, self._given())

    def _mark(self) -> bytes:
        self._unmarked_bytes = 0
        return frames.told(frames.CURSOR, {"cursor": self.cursor(), **self._given()})

    def _given(self) -> dict[str, int]:
        stats = self._blocks.stats()
        return {"lines": max(0, stats["lines_out"] - self._skip), "records": stats["records_out"]}

    # NDJSON, events

    def _dressed(self, block: bytes) -> Iterator[bytes]:
        yield from self._new_gaps()
        self._unmarked_bytes += len(block)
        can_go_on = self._can_go_on(self._unmarked_bytes)
        is_due = self._unmarked_bytes >= _MARK_EVERY_BYTES and can_go_on
        if is_due:
            self._unmarked_bytes = 0
        if self._wanted.media is Media.EVENTS:
            yield event(block, self.cursor() if can_go_on else None)
        elif self._wanted.marks and is_due:
            yield block + control("cursor", self.cursor())
        else:
            yield block

    def _dressed_end(self) -> Iterator[bytes]:
        yield from self._new_gaps()
        surplus = len(self.gaps) - MAX_GAPS_TOLD
        if self._wanted.media is Media.NDJSON and surplus > 0:
            yield control("more_gaps", surplus)
        if self._wanted.media is Media.NDJSON and self._wanted.marks:
            yield control("cursor", self.cursor())

    def _new_gaps(self) -> Iterator[bytes]:
        gaps = self.gaps
        for gap in gaps[self._told : MAX_GAPS_TOLD]:
            yield gap_told(self._wanted.media, gap)
        self._told = len(gaps)


@contextlib.contextmanager
def naming_oldest(log: Log, after: Cursor | None, key: bytes) -> Iterator[None]:
    """Let an expired cursor tell the oldest one that works instead of it.

    Raises:
        CursorExpired: it has, and now says so.
    """
    try:
        yield
    except CursorExpired as expired:
        if after is not None:
            left = still_there(log.sources(), after)
            expired.oldest = left.token(key=key, log_id=log.id) if left.marks else None
        raise


def gap_told(media: Media, gap: Gap) -> bytes:
    """Return what says that something is missing; b"" where there is no place for it."""
    if media is Media.EVENTS:
        return b"event: gap\ndata: " + json.dumps(asdict(gap)).encode() + b"\n\n"
    if media is Media.FRAMES:
        return frames.told(frames.GAP, asdict(gap))
    return control("gap", asdict(gap)) if media is Media.NDJSON else b""


def end_told(media: Media, status: LogStatus | None) -> bytes:
    """Return what says that a follow is over since the log has ended; b"" where there is no place for it."""
    told = {"state": status.state.value, "detail": status.detail} if status else {}
    if media is Media.EVENTS:
        return b"event: end\ndata: " + json.dumps(told).encode() + b"\n\n"
    if media is Media.FRAMES:
        return frames.told(frames.END, told)
    return control("end", told) if media is Media.NDJSON else b""


def as_items(lines: bytes) -> bytes:
    """Return lines of NDJSON as the items of a JSON array."""
    return lines.rstrip(b"\n").replace(b"\n", b",")


def control(name: str, value: object) -> bytes:
    """Return a line of NDJSON that is no record."""
    return json.dumps({"logflume": {name: value}}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def broken(media: Media, problem: Problem) -> bytes:
    """Return the last words of an answer that breaks off."""
    if media is Media.EVENTS:
        retry_s = problem.more.get("retry_s")
        again = b"retry: %d\n" % (1000 * retry_s) if isinstance(retry_s, int) else b""
        return again + b"event: problem\ndata: " + json.dumps(problem.as_json(), default=str).encode() + b"\n\n"
    if media is Media.FRAMES:
        return frames.told(frames.PROBLEM, problem.as_json())
    if media is Media.NDJSON:
        return control("problem", json.loads(json.dumps(problem.as_json(), default=str)))
    return b""


def event(lines: bytes, cursor: str | None) -> bytes:
    """Return one server-sent event (WHATWG HTML, 9.2) of whole NDJSON lines, each a line of its data."""
    body = b"data: " + lines.rstrip(b"\n").replace(b"\n", b"\ndata: ") + b"\n\n"
    return body if cursor is None else _id_line(cursor) + body


def _id_line(cursor: str) -> bytes:
    return b"id: " + cursor.encode() + b"\n"


def _within(start: Cursor | None, sources: Sequence[Source]) -> Cursor | None:
    """Return a cursor without the places of other sources."""
    if start is None:
        return None
    names = {source.name for source in sources}
    return replace(start, marks=tuple(mark for mark in start.marks if mark.source in names))


def _start(wanted: Wanted, sources: list[Source]) -> tuple[Cursor | None, int]:
    """Return where to begin, and how many lines come before that."""
    if wanted.after is not None:
        return wanted.after, 0
    if wanted.tail is not None:
        place = find_tail(sources, wanted.tail, wanted.how)
        return place.cursor, place.skip_lines
    if wanted.since_ns is not None:
        return cursor_at_time(sources, wanted.since_ns, wanted.how), 0
    return None, 0
