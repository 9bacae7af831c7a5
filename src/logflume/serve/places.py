"""Parts of a log by their place: lines, times, errors, counts.

Holds: an answer is bounded, and so is the work for it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Query, Request, Response

from logflume.moments import parse_moment, show_moment
from logflume.records import Level, Output
from logflume.seek import tail as tail_of
from logflume.serve import problems
from logflume.serve.asked import LogId, shelf_of
from logflume.serve.problems import Problem
from logflume.serve.query import MAX_LIMIT
from logflume.serve.reading import as_items

if TYPE_CHECKING:
    from logflume.index import LogIndex
    from logflume.seek import Place

MAX_ROWS = 1000
"""Lines in one answer of ``rows``."""

MAX_SUMMARY_BUCKETS = 2000


def rows(
    request: Request,
    log_id: LogId,
    from_: Annotated[
        int,
        Query(alias="from", ge=-MAX_LIMIT, lt=2**53, description="Ordinal of the first line; below 0: from the end."),
    ] = 0,
    n: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
) -> Response:
    """Return lines by their place in the merged log, as JSON objects.

    `from` is null where it is not known yet (asked for from the end while the index has not reached it).
    """
    shelf = shelf_of(request)
    log = shelf.find(log_id)
    index = shelf.index(log)
    total, complete = index.totals.lines, index.progress.complete
    first: int | None
    if from_ < 0 and not complete:
        first, blocks = None, list(tail_of(log.sources(), min(-from_, n)))
    else:
        first = max(0, total + from_) if from_ < 0 else from_
        _require_covered(index, first)
        blocks = list(index.iter_rows(first, n, Output.NDJSON))
    lines = as_items(b"".join(blocks))
    head = {"from": first, "lines": {"count": total, "exact": complete}}
    return Response(json.dumps(head)[:-1].encode() + b',"rows":[' + lines + b"]}\n", media_type="application/json")


def _require_covered(index: LogIndex, line: int) -> None:
    progress = index.progress
    if line > 0 and line >= index.totals.lines and not progress.complete:
        headers = {"Retry-After": str(problems.RETRY_S)}
        detail = "The index has not reached this line yet."
        raise Problem(503, "not-indexed-yet", detail, headers=headers, index=asdict(progress))


def locate(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    seq: Annotated[int | None, Query(ge=0, lt=2**53, description="A line; with `error`, where to look from.")] = None,
    ts: Annotated[str | None, Query(max_length=64, description="The first record of this time or later.")] = None,
    error: Annotated[Literal["next", "previous"] | None, Query(description="The next error at or after `seq`.")] = None,
    level: Annotated[Literal["warning", "error", "critical"], Query(description="What counts as one.")] = "error",
) -> dict[str, Any]:
    """Find a line: by time, or the next or previous error. `seq` is null when there is none."""
    shelf = shelf_of(request)
    log = shelf.find(log_id)
    index = shelf.index(log)
    place: Place | None
    if error is not None:
        look = index.next_error if error == "next" else index.previous_error
        place = look(seq or 0, Level[level.upper()])
    elif ts is not None:
        place = index.locate_time(parse_moment(ts, now_ns=index.totals.last_ns or 0))
    elif seq is not None:
        place = index.locate_line(min(seq, index.totals.lines))
    else:
        raise Problem(400, "bad-parameter", "One of seq, ts and error is needed.", parameter="seq")
    return {
        "seq": None if place is None else place.line,
        "after": None if place is None or place.skip_lines else place.cursor.token(key=shelf.key, log_id=log.id),
        "index": asdict(index.progress),
    }


def summary(
    request: Request, log_id: LogId, buckets: Annotated[int, Query(ge=1, le=MAX_SUMMARY_BUCKETS)] = 240
) -> dict[str, Any]:
    """Count records by time and level, as far as the index reaches."""
    shelf = shelf_of(request)
    index = shelf.index(shelf.find(log_id))
    timeline = index.counts(buckets)
    return {
        "first": None if timeline is None else show_moment(timeline.first_ns, 9),
        "step_ns": None if timeline is None else timeline.step_ns,
        "levels": [level.name.lower() for level in Level],
        "buckets": [] if timeline is None else timeline.levels,
        "index": asdict(index.progress),
    }
