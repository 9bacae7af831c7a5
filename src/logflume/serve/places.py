"""Parts of a log by their place: lines, times, errors, counts, groups.

Holds: an answer is bounded, and so is the work for it. A question about what the index has not reached yet is answered
       from what is there, and the answer says that it is not exact.
Plan:  exact by the index. Without it: the head by merging from the start, a place in the middle by the share of bytes,
       a time by bisection, the tail and the last error by looking backwards; ``seq`` is then what it should be about.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from logflume.cursor import Cursor
from logflume.errors import SourceFailed
from logflume.merge import How, where
from logflume.moments import show_moment
from logflume.records import Level, Output
from logflume.seek import Place, cursor_at_share, cursor_at_time, find_tail
from logflume.serve.asked import LogId, guard_of, shelf_of
from logflume.serve.limits import Use
from logflume.serve.problems import RETRY_S, Problem
from logflume.serve.query import MAX_LIMIT, WantedFilters, moment
from logflume.serve.reading import naming_oldest
from logflume.window import Choice, Record, Window, read_after, read_backward, read_forward, read_last

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Log, Source
    from logflume.index import LogIndex
    from logflume.outline import Group
    from logflume.serve.query import Filters
    from logflume.serve.shelf import Shelf
    from logflume.window import Row

MAX_ROWS = 1000
"""Lines in one answer of ``rows``."""

MAX_SUMMARY_BUCKETS = 2000

MAX_GROUPS = 1000
"""Groups in one answer of ``outline``."""

_MIN_CUT_BYTES = 256

TAIL_BYTES = 256 * 1024 * 1024
"""So much of the end of a log is looked at for what passes a filter, as long as it is not indexed."""

WAIT_S = 0.5
"""How long a question about what is not indexed yet waits for the index."""

_SEEN_BYTES = 64 * 1024  # so much of so many sources tells how long lines are, when nothing is indexed
_SEEN_SOURCES = 8


async def rows(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    filters: WantedFilters,
    from_: Annotated[
        int | None,
        Query(alias="from", ge=-MAX_LIMIT, lt=2**53, description="Ordinal of the first line; below 0: from the end."),
    ] = None,
    before: Annotated[int | None, Query(ge=0, lt=2**53, description="The last rows before this line.")] = None,
    after: Annotated[str | None, Query(description="Rows after a cursor, as `locate` gives one.")] = None,
    n: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    cut: Annotated[
        int | None, Query(ge=_MIN_CUT_BYTES, lt=2**31, description="Show so many bytes of longer rows.")
    ] = None,
) -> Response:
    """Return lines by their place in the merged log, as JSON objects, and what is known of their records.

    With filters, those that pass, from that place on or before it; `seqs` says where each row is, and `next` and
    `previous` where to look on: there may be rows there even when `rows` is empty, for one answer looks through some
    500 MB at most. `exact` is false where the index has not reached: then `seq` is what it should be about, and `from`
    is null when it was asked for from the end.
    """
    if sum(place is not None for place in (from_, before, after)) > 1:
        raise Problem(400, "bad-parameter", "from, before and after exclude each other.", parameter="from")
    shelf = shelf_of(request)

    def look() -> Response:
        log = shelf.find(log_id)
        if request.headers.get("accept", "").startswith("text/plain"):
            return _as_written(shelf.index(log), from_, n, filters)
        looking = _Looking(shelf, log, filters, n)
        if after is not None:
            looking.after(Cursor.from_token(after, key=shelf.key, log_id=log.id))
        elif before is not None:
            looking.before(before)
        elif from_ is not None and from_ < 0:
            looking.at_end(-from_)
        else:
            looking.at(from_ or 0)
        return looking.answer(cut)

    if not filters.chooses_records():
        return await run_in_threadpool(look)
    with guard_of(request).limits.using(request.state.caller, Use.READ):  # it may look through much
        return await run_in_threadpool(look)


def _as_written(index: LogIndex, from_: int | None, n: int, filters: Filters) -> Response:
    """Return whole lines as they were written: what somebody copies."""
    if from_ is None or from_ < 0 or filters.chooses_records() or filters.sources:
        raise Problem(400, "bad-parameter", "As text, lines are given from one on, unfiltered.", parameter="from")
    if not is_known(index, from_):
        detail = "The index has not reached this line yet."
        raise Problem(503, "not-indexed-yet", detail, headers={"Retry-After": str(RETRY_S)})
    lines = b"".join(index.iter_rows(from_, n, Output.TEXT))
    return Response(lines, media_type="text/plain; charset=utf-8")


class _Looking:
    """One question for rows, and its answer."""

    def __init__(self, shelf: Shelf, log: Log, filters: Filters, n: int) -> None:
        self._index = shelf.index(log)
        self._key = shelf.key
        self._log = log
        self._choice = filters.choice(log)
        self._is_filtered = filters.chooses_records() or bool(filters.sources)
        self._n = n
        self._window = Window()
        self._from: int | None = None
        self._exact = True

    def at(self, seq: int) -> None:
        """Show rows from a line on."""
        self._from = seq
        if is_known(self._index, seq):
            self._window = read_forward(self._index, seq, self._n, self._choice)
            return
        self._exact = False
        share = seq / max(1, lines_expected(self._index))
        sources = self._log.sources()
        cursor = cursor_at_share(sources, min(share, 1.0), self._choice.how) if share < 1 else None
        if cursor is not None:
            self._window = read_after(sources, Place(cursor, 0, seq), self._n, self._choice)

    def after(self, cursor: Cursor) -> None:
        """Show rows after a cursor."""
        self._exact = False
        sources = self._log.sources()
        self._from = line_expected(self._index, cursor, sources)
        with naming_oldest(self._log, cursor, self._key):
            self._window = read_after(sources, Place(cursor, 0, self._from), self._n, self._choice)

    def before(self, seq: int) -> None:
        """Show the last rows before a line."""
        self._exact = is_known(self._index, seq)
        self._window = read_backward(self._index, seq, self._n, self._choice)
        self._from = self._window.rows[0].seq if self._window.rows else seq

    def at_end(self, back: int) -> None:
        """Show rows that begin so many before the end."""
        total = self._index.totals.lines
        if not self._index.progress.complete:
            self._exact = False
            self._at_unknown_end(min(back, self._n))
        elif self._is_filtered:
            self._window = read_backward(self._index, total, min(back, self._n), self._choice)
            self._from = self._window.rows[0].seq if self._window.rows else total
        else:
            self.at(max(0, total - back))

    def _at_unknown_end(self, rows: int) -> None:
        sources = [source for source in self._log.sources() if _is_among(source, self._choice)]
        place = find_tail(sources, rows, self._choice.how, max_bytes=TAIL_BYTES)
        end_seq = lines_expected(self._index)
        self._window = read_last(sources, place.cursor, rows, self._choice, end_seq=end_seq)

    def answer(self, cut: int | None) -> Response:
        """Return it."""
        window, progress = self._window, self._index.progress
        count = self._index.totals.lines
        texts, shortened = _texts(window.rows, cut)
        told: dict[str, Any] = {
            "from": self._from,
            "exact": self._exact,
            "lines": {"count": count, "exact": progress.complete},
            "expected": count if progress.complete else lines_expected(self._index),
            "next": window.next_seq,
            "previous": window.previous_seq,
            "records": [_record(record) for record in window.records()],
            "cut": shortened,
            "index": asdict(progress),
        }
        if self._is_filtered or not self._exact:
            told["seqs"] = [row.seq for row in window.rows]
        body = json.dumps(told)[:-1].encode() + b',"rows":[' + b",".join(texts) + b"]}\n"
        return Response(body, media_type="application/json")


def _is_among(source: Source, choice: Choice) -> bool:
    return choice.sources is None or source.name in choice.sources


def _record(record: Record) -> dict[str, Any]:
    told = {
        "seq": record.seq,
        "lines": record.lines,
        "time": None if record.ts_ns is None else show_moment(record.ts_ns, 9),
        "level": record.level.name.lower(),
        "source": record.source,
    }
    return told | {"goes_on": True} if record.goes_on else told


def _texts(shown: Sequence[Row], cut: int | None) -> tuple[list[bytes], dict[str, int]]:
    """Return the rows, and how long those are that were cut."""
    long = {} if cut is None else {str(row.seq): len(row.text) for row in shown if len(row.text) > cut}
    return [_shortened(row.text, cut) if cut and len(row.text) > cut else row.text for row in shown], long


def _shortened(row: bytes, cut: int) -> bytes:
    """Return an object with its texts cut, the longest one to what is left; other long members are left out."""
    members: dict[str, Any] = json.loads(row)
    kept: dict[str, Any] = {}
    left = cut
    for name, value in sorted(members.items(), key=lambda member: len(str(member[1]))):
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text) <= left:
            kept[name] = value
        elif isinstance(value, str):
            kept[name] = value[:left]
        left = max(0, left - len(text) - len(name))
    return json.dumps({name: kept[name] for name in members if name in kept}, ensure_ascii=False).encode(
        "utf-8", "replace"
    )


# What is known before the index is whole


def is_known(index: LogIndex, seq: int) -> bool:
    """Tell whether a line is one that the index has reached; wait a moment for it."""
    if not _is_covered(index, seq):
        index.wait(WAIT_S)
    return _is_covered(index, seq)


def _is_covered(index: LogIndex, seq: int) -> bool:
    return index.progress.complete or seq <= index.totals.lines


def lines_expected(index: LogIndex) -> int:
    """Return how many lines a log has, or should have about, going by what is covered, or else by its first lines."""
    progress, lines, sources = index.progress, index.totals.lines, index.covered.sources
    total_bytes = progress.total_bytes or sum(source.peek_size() or 0 for source in sources)
    if progress.done_bytes:
        return max(lines, lines * total_bytes // progress.done_bytes)
    seen = [block for source in sources[:_SEEN_SOURCES] if (block := _first_bytes(source))]
    seen_lines = sum(block.count(b"\n") for block in seen)
    return total_bytes * seen_lines // sum(map(len, seen)) if seen_lines else 0


def _first_bytes(source: Source) -> bytes:
    with contextlib.suppress(SourceFailed), source.open() as reader:
        return reader.read_block(_SEEN_BYTES)
    return b""


def line_expected(index: LogIndex, cursor: Cursor, sources: Sequence[Source]) -> int:
    """Return which line a place that no index knows should be about, by the bytes before it."""
    sizes = {source.name: source.peek_size() or 0 for source in sources}
    before = sum(min(mark.position.offset, sizes.get(mark.source, 0)) for mark in cursor.marks if mark.position)
    total = sum(sizes.values())
    return lines_expected(index) * before // total if total else 0


def locate(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    seq: Annotated[int | None, Query(ge=0, lt=2**53, description="A line; with `error`, where to look from.")] = None,
    ts: Annotated[str | None, Query(max_length=64, description="The first record of this time or later.")] = None,
    error: Annotated[Literal["next", "previous"] | None, Query(description="The next error at or after `seq`.")] = None,
    level: Annotated[Literal["warning", "error", "critical"], Query(description="What counts as one.")] = "error",
) -> dict[str, Any]:
    """Find a line: by time, or the next or previous error. `seq` is null when there is none.

    `error=previous` without `seq` is the last one. Where the index has not reached, `exact` is false: `seq` is what it
    should be about, `after` a cursor for `rows?after=`; and a null `seq` says only that none was found so far.
    """
    shelf = shelf_of(request)
    log = shelf.find(log_id)
    index = shelf.index(log)
    if error is not None:
        place, exact = _error(log, index, seq, Level[level.upper()], is_next=error == "next")
    elif ts is not None:
        place, exact = _time(log, index, moment("ts", ts, now_ns=index.totals.last_ns))
    elif seq is not None:
        place, exact = _line(log, index, seq)
    else:
        raise Problem(400, "bad-parameter", "One of seq, ts and error is needed.", parameter="seq")
    return {
        "seq": None if place is None else place.line,
        "exact": exact,
        "after": None if place is None or place.skip_lines else place.cursor.token(key=shelf.key, log_id=log.id),
        "index": asdict(index.progress),
    }


def _line(log: Log, index: LogIndex, seq: int) -> tuple[Place | None, bool]:
    if is_known(index, seq):
        return index.locate_line(min(seq, index.totals.lines)), True
    share = seq / max(1, lines_expected(index))
    return Place(cursor_at_share(log.sources(), min(share, 1.0)), 0, seq), False


def _time(log: Log, index: LogIndex, ts_ns: int) -> tuple[Place | None, bool]:
    def is_reached() -> bool:
        last_ns = index.totals.last_ns
        return index.progress.complete or (last_ns is not None and ts_ns <= last_ns)

    if is_reached() or (index.wait(WAIT_S) and is_reached()):
        return index.locate_time(ts_ns), True
    sources = log.sources()
    cursor = cursor_at_time(sources, ts_ns)
    return Place(cursor, 0, line_expected(index, cursor, sources)), False


def _error(log: Log, index: LogIndex, seq: int | None, min_level: Level, *, is_next: bool) -> tuple[Place | None, bool]:
    if is_next:
        place = index.next_error(seq or 0, min_level)
        if place is None and not index.progress.complete:
            index.wait(WAIT_S)
            place = index.next_error(seq or 0, min_level)
        return place, place is not None or index.progress.complete
    line = 2**53 if seq is None else seq
    if is_known(index, line):
        # Without a line, it is the last one that is meant, and 0 has none before it.
        return index.previous_error(min(line, index.totals.lines), min_level), True
    return _last_error(log, index, line, min_level), False


def _last_error(log: Log, index: LogIndex, line: int, min_level: Level) -> Place | None:
    """Look for the last error where the index is not whole; of a line within it, for one that is known."""
    if line < lines_expected(index):
        return index.previous_error(index.totals.lines, min_level)
    sources = log.sources()
    choice = Choice(How(only=where(min_level=min_level)), min_level)
    found = find_tail(sources, 1, choice.how, max_bytes=TAIL_BYTES)
    window = read_last(sources, found.cursor, 1, choice, end_seq=lines_expected(index))
    if not window.rows:
        return index.previous_error(index.totals.lines, min_level)
    record = window.rows[0].record
    if record.ts_ns is None:
        return Place(found.cursor, found.skip_lines, record.seq)
    return Place(cursor_at_time(sources, record.ts_ns), 0, record.seq)  # which others of that time may precede


def summary(
    request: Request,
    log_id: LogId,
    buckets: Annotated[int, Query(ge=1, le=MAX_SUMMARY_BUCKETS)] = 240,
    by: Annotated[Literal["time", "line"], Query(description="What the buckets are equal parts of.")] = "time",
) -> dict[str, Any]:
    """Count records by time, or along the log, and level, as far as the index reaches: to the end when `exact`."""
    shelf = shelf_of(request)
    index = shelf.index(shelf.find(log_id))
    told: dict[str, Any] = {"exact": index.progress.complete, "levels": [level.name.lower() for level in Level]}
    if by == "line":
        told |= {"lines": index.totals.lines, "buckets": index.counts_by_line(buckets)}
    else:
        timeline = index.counts(buckets)
        told |= {
            "first": None if timeline is None else show_moment(timeline.first_ns, 9),
            "step_ns": None if timeline is None else timeline.step_ns,
            "buckets": [] if timeline is None else timeline.levels,
        }
    return told | {"index": asdict(index.progress)}


def outline(
    request: Request,
    log_id: LogId,
    after: Annotated[int, Query(ge=-1, lt=2**53, description="Only groups that begin after this line.")] = -1,
    at: Annotated[int | None, Query(ge=0, lt=2**53, description="Only groups that this line is in.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_GROUPS)] = 100,
) -> dict[str, Any]:
    """List the groups of lines that the log itself marks: `::group::`, sections of GitLab, headers of Buildkite.

    In the order in which they begin, as far as the index reaches. `after` is where to go on, null on the last page;
    `until` is the line from which on no more are known, for there were too many.
    """
    shelf = shelf_of(request)
    log = shelf.find(log_id)
    index = shelf.index(log)
    covered = index.covered
    groups, end_line = covered.groups()
    names = [source.name for source in covered.sources]
    if at is not None:
        found = [group for group in groups if group.first <= at <= group.last]
    else:
        found = [group for group in groups if group.first > after]
    page = found[:limit]
    # Those that begin in one line are not torn apart.
    page += [group for group in found[limit:] if group.first == page[-1].first]
    return {
        "groups": [_group(group, names) for group in page],
        "after": page[-1].first if len(found) > len(page) else None,
        "until": end_line,
        "exact": index.progress.complete,
        "index": asdict(index.progress),
    }


def _group(group: Group, names: Sequence[str]) -> dict[str, Any]:
    return {
        "title": group.title,
        "first": group.first,
        "last": group.last,
        "depth": group.depth,
        "source": names[group.source],
        "collapsed": group.is_collapsed,
        "open": group.is_open,
        "end_marked": group.has_end_mark,
        "begins": _shown_time(group.first_ns),
        "ends": _shown_time(group.last_ns),
        "errors": group.errors,
    }


def _shown_time(ns: int) -> str | None:
    return None if ns <= -(2**63) else show_moment(ns, 9)
