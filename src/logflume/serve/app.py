"""The routes of the API.

Invariant: no route blocks the event loop, reads more than it is bounded to, or shows a log that the catalog has not.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from logflume.cursor import Cursor
from logflume.records import Output
from logflume.serve import described, problems
from logflume.serve.accepting import weighted
from logflume.serve.asked import LogId, guard_of, held, shelf_of
from logflume.serve.limits import Use
from logflume.serve.live import Live
from logflume.serve.meta import Waits, list_logs, meta
from logflume.serve.paging import Paged, Paging
from logflume.serve.places import MAX_ROWS, locate, outline, rows, summary
from logflume.serve.problems import Problem
from logflume.serve.query import MAX_LIMIT, Chosen, WantedFilters, WantedMerging
from logflume.serve.raw import raw
from logflume.serve.reading import Media, Reading, Wanted
from logflume.serve.searching import MAX_HITS, MAX_SEARCH_S, Searching, Sought
from logflume.serve.streams import Form, StreamResponse, encoding_for, pumped
from logflume.serve.threads import take_threads
from logflume.serve.walk import Walk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from logflume.abc import Log
    from logflume.serve.guard import Guard
    from logflume.serve.query import Filters
    from logflume.serve.shelf import Shelf

DEFAULT_PAGE = 1000
"""Lines of a JSON page where no limit is given."""

_ABOUT = """
Merged task logs. A **log** is one or more sources (files, with their rotated and compressed predecessors) that are
merged by time; its id is a path. Every answer is bounded; errors are problem details (RFC 9457).

Read a log: `curl http://127.0.0.1:8793/api/v1/logs/LOG/stream`. Follow it: `…/stream?follow=true`. Look at any part
of it: `…/rows?from=1000&n=50`.
"""


def create_app(shelf: Shelf, guard: Guard) -> FastAPI:
    """Return the ASGI application that serves the logs of a shelf; it closes the shelf when it ends.

    ``guard`` says who may read which log; ``guard.wrap`` goes around what is returned.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        take_threads()
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
    app.state.live = Live(shelf.key, heartbeat_s=guard.heartbeat_s, new_spool=guard.metrics.new_spool)
    app.state.waits = Waits(shelf)
    app.state.guard = guard
    problems.install(app)
    described.install(app)
    guard.install(app)
    app.add_api_route("/healthz", _healthz, methods=["GET", "HEAD"], tags=["operations"])
    logs = APIRouter(prefix="/api/v1/logs", dependencies=[Depends(guard.gate.admit)])
    logs.add_api_route("", list_logs, methods=["GET", "HEAD"], tags=["logs"])
    one = "/{log_id:path}"
    logs.add_api_route(f"{one}/stream", stream, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/raw", raw, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/search", search, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/pages", pages, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/rows", rows, methods=["GET", "HEAD"], tags=["read"], response_class=Response)
    logs.add_api_route(f"{one}/locate", locate, methods=["GET", "HEAD"], tags=["read"])
    logs.add_api_route(f"{one}/summary", summary, methods=["GET", "HEAD"], tags=["read"])
    logs.add_api_route(f"{one}/outline", outline, methods=["GET", "HEAD"], tags=["read"])
    logs.add_api_route(f"{one}/meta", meta, methods=["GET", "HEAD"], tags=["logs"])
    logs.add_api_route(one, meta, methods=["GET", "HEAD"], tags=["logs"])
    for route in logs.routes:  # directly: the access log names the whole path of a route
        app.router.routes.append(route)
    return app


async def _healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


def stream(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    filters: WantedFilters,
    merging: WantedMerging,
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
    shelf = shelf_of(request)
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
        how=merging.applied(filters.how(form_of_lines)),
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
        count=guard_of(request).metrics.new_reading().update,
    )
    if media is Media.JSON:
        return _page(wanted)
    form = Form(media=media, encoding=_encoding(request), live=follow, head_only=request.method == "HEAD")
    if follow and request.method == "GET":
        kind = (log.id, form_of_lines, *filters.key(), *merging.key())
        live: Live = request.app.state.live
        joined = held(request, Use.FOLLOW, lambda: live.joined(wanted, kind))
        return StreamResponse(joined, replace(form, encoding=None, ending=None), stop=guard_of(request).drain.follows)
    reading = held(request, Use.READ, lambda: pumped(lambda: Reading(wanted), form))
    return StreamResponse(reading, form, stop=guard_of(request).drain.answers)


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
    log = shelf_of(request).find(log_id)
    sought = Sought(
        walk=_walk(request, log, filters, Output.NDJSON, after, seq),
        max_hits=limit,
        max_s=seconds,
        count=guard_of(request).metrics.new_reading().update,
    )
    is_head = request.method == "HEAD"
    form = Form(media=Media.NDJSON, encoding=_encoding(request), live=True, head_only=is_head)
    searching = held(request, Use.SEARCH, lambda: pumped(lambda: Searching(sought), form))
    return StreamResponse(searching, form, stop=guard_of(request).drain.answers)


def pages(  # noqa: PLR0917 - called by name
    request: Request,
    log_id: LogId,
    filters: WantedFilters,
    every: Annotated[int, Query(ge=1, le=MAX_ROWS, description="Rows on a page.")] = 512,
    after: Annotated[str | None, Query(description="Go on there: `after` of an earlier answer.")] = None,
    seq: Annotated[int, Query(ge=0, lt=2**53, description="With `after`: `seq` of the same answer.")] = 0,
    row: Annotated[int, Query(ge=0, lt=2**53, description="With `after`: `rows` of the same answer.")] = 0,
) -> Response:
    """Count the rows that pass, and tell where each page of them begins, as NDJSON.

    `{"page": {"row", "seq"}}` is where a page begins: ask `rows` with the same filters and `from=seq`. `{"progress":
    {"rows", "seq"}}` comes now and then; `{"done": {"rows", "seq", "whole", "after"}}` at the end. When the log has
    grown, go on with `after`, `seq` and `row`. Leave, and the counting stops.
    """
    log = shelf_of(request).find(log_id)
    paged = Paged(walk=_walk(request, log, filters, Output.TEXT, after, seq), row=row if after else 0, every=every)
    form = Form(media=Media.NDJSON, encoding=_encoding(request), live=True, head_only=request.method == "HEAD")
    counting = held(request, Use.SEARCH, lambda: pumped(lambda: Paging(paged), form))
    return StreamResponse(counting, form, stop=guard_of(request).drain.answers)


def _walk(  # noqa: PLR0917 - what a question has
    request: Request, log: Log, filters: Filters, output: Output, after: str | None, line: int
) -> Walk:
    key = shelf_of(request).key
    return Walk(
        log_id=log.id,
        sources=log.sources(),
        hidden=filters.hidden(log),
        how=filters.how(output),
        start=Cursor.from_token(after, key=key, log_id=log.id) if after else None,
        line=line if after else 0,
        budget=guard_of(request).limits.new_budget(),
        key=key,
    )


def _media(request: Request) -> Media:
    """Choose the form (RFC 9110, 12.5.1): the first of those with the highest weight."""
    accepted = weighted(request.headers.get("accept", "*/*"))
    weights = [(weight, media) for name, weight in accepted for media in _named(name) if weight > 0]
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
