"""The routes of the API.

Invariant: no route blocks the event loop, reads more than it is bounded to, or shows a log that the catalog has not.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response

from logflume.cursor import Cursor
from logflume.errors import SourceFailed
from logflume.moments import parse_moment, show_moment
from logflume.records import Level, Output
from logflume.seek import tail as tail_of
from logflume.serve import problems
from logflume.serve.callers import Refused
from logflume.serve.limits import Use
from logflume.serve.live import Live
from logflume.serve.problems import Problem
from logflume.serve.query import MAX_LIMIT, Chosen, Filters
from logflume.serve.reading import HEARTBEAT_S, Media, Reading, Wanted, as_items
from logflume.serve.searching import MAX_HITS, MAX_SEARCH_S, Searching, Sought
from logflume.serve.streams import BrokenOff, Form, StreamResponse, encoding_for, pumped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from logflume.abc import Source
    from logflume.index import LogIndex
    from logflume.seek import Place
    from logflume.serve.callers import Caller
    from logflume.serve.guard import Guard
    from logflume.serve.limits import Pace
    from logflume.serve.shelf import Shelf

    Enter = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]

MAX_LOGS = 1000
"""Logs on one page of the list."""

MAX_ROWS = 1000
"""Lines in one answer of ``rows``."""

MAX_SUMMARY_BUCKETS = 2000

DEFAULT_PAGE = 1000
"""Lines of a JSON page where no limit is given."""

_ABOUT = """
Merged task logs. A **log** is one or more sources (files, with their rotated and compressed predecessors) that are
merged by time; its id is a path. Every answer is bounded; errors are problem details (RFC 9457).

Read a log: `curl http://127.0.0.1:8793/api/v1/logs/LOG/stream`. Follow it: `…/stream?follow=true`. Look at any part
of it: `…/rows?from=1000&n=50`.
"""

LogId = Annotated[str, Path(max_length=4096, description="The id of a log, as the list gives it.")]
WantedFilters = Annotated[Filters, Depends()]


def create_app(shelf: Shelf, guard: Guard) -> FastAPI:
    """Return the ASGI application that serves the logs of a shelf; it closes the shelf when it ends.

    ``guard`` says who may read which log; ``guard.wrap`` goes around what is returned.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        shelf.close()

    app = FastAPI(
        title="logflume",
        description=_ABOUT,
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.shelf = shelf
    app.state.live = Live(shelf.key)
    app.state.guard = guard
    problems.install(app)
    guard.install(app)
    app.add_api_route("/healthz", _healthz, methods=["GET", "HEAD"], tags=["operations"])
    logs = APIRouter(prefix="/api/v1/logs", dependencies=[Depends(guard.gate.admit)])
    logs.add_api_route("", list_logs, methods=["GET", "HEAD"], tags=["logs"])
    one = "/{log_id:path}"
    logs.add_api_route(f"{one}/stream", stream, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/search", search, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/rows", rows, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/locate", locate, methods=["GET", "HEAD"], tags=["read"])
    logs.add_api_route(f"{one}/summary", summary, methods=["GET", "HEAD"], tags=["read"])
    logs.add_api_route(f"{one}/meta", meta, methods=["GET", "HEAD"], tags=["logs"])
    logs.add_api_route(one, meta, methods=["GET", "HEAD"], tags=["logs"])
    for route in logs.routes:  # directly: the access log names the whole path of a route
        app.router.routes.append(route)
    return app


async def _healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


def _shelf(request: Request) -> Shelf:
    shelf: Shelf = request.app.state.shelf
    return shelf


def _guard(request: Request) -> Guard:
    guard: Guard = request.app.state.guard
    return guard


def _held(request: Request, use: Use, enter: Enter) -> Enter:
    """Return what enters the same within the limits of the caller, as long as the caller still counts."""
    guard, caller = _guard(request), request.state.caller

    @asynccontextmanager
    async def entered() -> AsyncIterator[AsyncIterator[bytes]]:
        with guard.limits.using(caller, use) as pace:
            async with enter() as blocks:
                yield _paced(blocks, pace, partial(guard.gate.recheck, caller))

    return entered


async def _paced(
    blocks: AsyncIterator[bytes], pace: Pace, recheck: Callable[[], Awaitable[None]]
) -> AsyncIterator[bytes]:
    checked_s = time.monotonic()
    async for block in blocks:
        if time.monotonic() - checked_s >= HEARTBEAT_S:
            try:
                await recheck()
            except Refused as refused:
                raise BrokenOff from refused
            checked_s = time.monotonic()
        await pace.wait_for(len(block))
        yield block


def list_logs(
    request: Request,
    prefix: Annotated[str, Query(max_length=4096, description="Only ids that start so.")] = "",
    after: Annotated[str, Query(max_length=4096, description="Only ids after this one: the `after` of a page.")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LOGS)] = 100,
) -> dict[str, Any]:
    """List logs in the order of their ids, a page at a time; `after` is null on the last one."""
    caller: Caller = request.state.caller
    found: list[str] = []
    for narrow in caller.narrow(prefix):
        logs = (log.id for log in _shelf(request).catalog.iter_logs(narrow, after) if caller.may_read(log.id))
        found += islice(logs, limit + 1)
    found = sorted(set(found))[: limit + 1]
    return {
        "logs": [{"id": log_id} for log_id in found[:limit]],
        "after": found[limit - 1] if len(found) > limit else None,
    }


def meta(request: Request, log_id: LogId) -> dict[str, Any]:
    """Tell what a log is made of. `lines.exact` is false while the index has not reached the end."""
    shelf = _shelf(request)
    log = shelf.find(log_id)
    index, status = shelf.index(log), shelf.status(log)
    totals, progress, timeline = index.totals, index.progress, index.counts(1)
    return {
        "id": log.id,
        "state": status.state.value,
        "state_detail": status.detail,
        "written": None if status.written_ns is None else show_moment(status.written_ns, 9),
        "bytes": progress.total_bytes,
        "lines": {"count": totals.lines, "exact": progress.complete},
        "records": totals.records,
        "first": None if timeline is None else show_moment(timeline.first_ns, 9),
        "last": None if totals.last_ns is None else show_moment(totals.last_ns, 9),
        "levels": _levels(totals.levels),
        "index": asdict(progress),
        "sources": [_source(source) for source in log.sources()],
    }


def _source(source: Source) -> dict[str, Any]:
    """Open a source to hear what it answers."""
    try:
        with source.open() as reader:
            gaps = list(reader.gaps)
    except SourceFailed as failure:
        return {"name": source.name, "state": "failed", "bytes": None, "gaps": [asdict(failure.gap)]}
    return {"name": source.name, "state": "ok", "bytes": source.peek_size(), "gaps": [asdict(gap) for gap in gaps]}


def _levels(counts: tuple[int, ...]) -> dict[str, int]:
    return {level.name.lower(): counts[level] for level in Level}


def stream(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    filters: WantedFilters,
    after: Annotated[str | None, Query(description="Go on after this cursor; no old byte is read.")] = None,
    tail: Annotated[int | None, Query(ge=0, le=MAX_LIMIT, description="Begin so many lines before the end.")] = None,
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_LIMIT, description="End after so many lines, at the end of a record.")
    ] = None,
    follow: Annotated[bool, Query(description="Go on as the log grows.")] = False,  # noqa: FBT002 - a parameter of HTTP
    marks: Annotated[bool, Query(description="NDJSON: tell cursors, in lines of their own.")] = False,  # noqa: FBT002
    output: Annotated[
        Literal["ndjson", "text", "none"], Query(description="Frames: what is in them; `none`: only counts.")
    ] = "ndjson",
    records: Annotated[int | None, Query(ge=1, lt=2**53, description="End after so many records.")] = None,
) -> Response:
    """Read a log, merged. `Accept` chooses the form.

    - `application/x-ndjson` (default): one JSON object a line. Objects with the one key `logflume` are about the log:
      a `gap`, a `cursor`, a `problem`.
    - `text/plain`: the lines as they were written.
    - `application/json`: a page `{"lines": […], "after": cursor, "end": true|false, "gaps": […]}`.
    - `application/vnd.logflume.frames`: lines as `output` says, and places to go on from, told apart by lengths.
    - `text/event-stream`: follows; each event holds lines of NDJSON; its id is a cursor, where `Last-Event-ID` goes on.
    """
    shelf = _shelf(request)
    media = _media(request)
    log = shelf.find(log_id)
    follow = follow or media is Media.EVENTS
    token = after or request.headers.get("last-event-id")
    if sum(choice is not None for choice in (token, tail)) > 1:
        raise Problem(400, "bad-parameter", "after and tail exclude each other.", parameter="tail")
    if follow and (limit is not None or records is not None):
        raise Problem(400, "bad-parameter", "A follow has no limit.", parameter="limit" if limit else "records")
    if media is Media.JSON:
        if follow:
            raise Problem(400, "bad-parameter", "A JSON page has an end: poll with `after`.", parameter="follow")
        limit = limit or DEFAULT_PAGE
    form_of_lines = Output[output.upper()] if media is Media.FRAMES else media.output
    wanted = Wanted(
        log=Chosen(log.id, filters.sources_of(log)) if filters.sources else log,
        how=filters.how(form_of_lines),
        media=media,
        after=Cursor.from_token(token, key=shelf.key, log_id=log.id) if token else None,
        since_ns=filters.since_ns(),
        tail=tail,
        limit=limit,
        records=records,
        follow=follow,
        marks=marks,
        key=shelf.key,
        status=shelf.status(log) if media is Media.JSON else None,
        ended=shelf.end_of(log) if follow else None,
        count=_guard(request).metrics.new_reading().update,
    )
    if media is Media.JSON:
        return _page(wanted)
    form = Form(media=media, encoding=_encoding(request), live=follow, head_only=request.method == "HEAD")
    if follow and request.method == "GET":
        kind = (log.id, form_of_lines, *filters.key())
        live: Live = request.app.state.live
        joined = _held(request, Use.FOLLOW, lambda: live.joined(wanted, kind))
        return StreamResponse(joined, replace(form, encoding=None))
    return StreamResponse(_held(request, Use.READ, lambda: pumped(lambda: Reading(wanted), form)), form)


def _page(wanted: Wanted) -> Response:
    """Make a page in this thread: it is small, and each hand-over to another thread would take longest."""
    with closing(Reading(wanted)) as reading:
        return Response(b"".join(reading), media_type=Media.JSON.value, headers={"Cache-Control": "no-store"})


def _encoding(request: Request) -> str | None:
    return encoding_for(request.headers.get("accept-encoding"))


def search(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    filters: WantedFilters,
    after: Annotated[str | None, Query(description="Go on there: `after` of an earlier search.")] = None,
    seq: Annotated[int, Query(ge=0, lt=2**53, description="With `after`: `seq` of the same search.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_HITS, description="End after so many hits.")] = 1000,
    seconds: Annotated[float, Query(gt=0, le=MAX_SEARCH_S, description="End after so long.")] = MAX_SEARCH_S,
) -> Response:
    """Find records, and where they are in the merged log, as NDJSON.

    `{"seq", "rows"}` is a hit: the ordinal of its first line, and its lines. `{"progress": {"hits", "seq", "bytes"}}`
    comes now and then; `{"done": {"hits", "whole", "seq", "after", …}}` at the end. Leave, and the search stops.
    """
    shelf = _shelf(request)
    log = shelf.find(log_id)
    sought = Sought(
        log_id=log.id,
        sources=filters.sources_of(log),
        how=filters.how(Output.NDJSON),
        start=Cursor.from_token(after, key=shelf.key, log_id=log.id) if after else None,
        line=seq if after else 0,
        max_hits=limit,
        max_s=seconds,
        budget=_guard(request).limits.new_budget(),
        key=shelf.key,
    )
    is_head = request.method == "HEAD"
    form = Form(media=Media.NDJSON, encoding=_encoding(request), live=True, head_only=is_head)
    return StreamResponse(_held(request, Use.SEARCH, lambda: pumped(lambda: Searching(sought), form)), form)


def _media(request: Request) -> Media:
    """Choose the form (RFC 9110, 12.5.1): the first of those with the highest weight."""
    weights: list[tuple[float, Media]] = []
    for part in request.headers.get("accept", "*/*").split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights += [(float(weight), media) for media in _named(name)]
        except ValueError:
            continue
    weights = [(weight, media) for weight, media in weights if weight > 0]
    if not weights:
        forms = ", ".join(media.value for media in Media)
        raise Problem(406, "not-acceptable", f"A log is given as one of: {forms}.")
    best = max(weight for weight, _ in weights)
    return next(media for weight, media in weights if weight == best)


def _named(name: str) -> list[Media]:
    if name in {"*/*", "application/*", "application/ndjson", "application/jsonl"}:
        return [Media.NDJSON]
    if name == "text/*":
        return [Media.TEXT]
    return [media for media in Media if media.value == name]


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
    shelf = _shelf(request)
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
    shelf = _shelf(request)
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
    shelf = _shelf(request)
    index = shelf.index(shelf.find(log_id))
    timeline = index.counts(buckets)
    return {
        "first": None if timeline is None else show_moment(timeline.first_ns, 9),
        "step_ns": None if timeline is None else timeline.step_ns,
        "levels": [level.name.lower() for level in Level],
        "buckets": [] if timeline is None else timeline.levels,
        "index": asdict(index.progress),
    }
