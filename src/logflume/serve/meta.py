"""Which logs there are, and what each is made of; now, or as soon as that changes.

Holds: however many wait for one log to change, one watcher and one task look at it; the last one to leave ends them.
Bounds: MAX_WAITED logs are looked at for those who wait, each of whom counts as a follower.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from logflume.abc import TellsPaths
from logflume.errors import SourceFailed
from logflume.moments import show_moment
from logflume.records import Level
from logflume.serve.asked import LogId, guard_of, shelf_of
from logflume.serve.limits import Use
from logflume.serve.problems import Problem
from logflume.watch import Watcher

if TYPE_CHECKING:
    from logflume.abc import Log, Source
    from logflume.serve.callers import Caller
    from logflume.serve.shelf import Shelf

MAX_LOGS = 1000
"""Logs on one page of the list."""

MAX_NAMES_LOOKED_AT = 20_000
"""Names of logs that one search in the list looks at."""

MAX_WAIT_S = 60
"""How long one may wait for a change; most proxies cut after 60 s."""

MAX_WAITED = 256
"""Logs that are waited for at once, by any number of callers."""

MAX_SOURCES_TOLD = 1000
"""Sources told one by one; of the others the number."""

LOOK_S = 0.5
"""How often a log is looked at that somebody waits for, beside when its files change."""

GATHER_S = 0.02
"""Changes that come so soon after another are told as one."""


def list_logs(  # noqa: PLR0917 - called by name
    request: Request,
    prefix: Annotated[str, Query(max_length=4096, description="Only ids that start so.")] = "",
    after: Annotated[str, Query(max_length=4096, description="Only ids after this one: the `after` of a page.")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LOGS)] = 100,
    contains: Annotated[
        str, Query(max_length=256, description="Only ids that contain each of these words, in capitals or not.")
    ] = "",
    details: Annotated[bool, Query(description="Tell size and state, too.")] = False,  # noqa: FBT002 - of HTTP
) -> dict[str, Any]:
    """List logs in the order of their ids, a page at a time; `after` is null on the last one.

    With `contains`, one answer looks at so many names at most: a page can be short, or empty, and not be the last one.
    """
    caller: Caller = request.state.caller
    shelf = shelf_of(request)
    words = contains.casefold().split()
    most = max(MAX_NAMES_LOOKED_AT, limit + 1) if words else limit + 1
    looked: dict[str, Log] = {}
    for narrow in caller.narrow(prefix):
        logs = (log for log in shelf.catalog.iter_logs(narrow, after) if caller.may_read(log.id))
        looked |= {log.id: log for log in islice(logs, most)}
    names = sorted(looked)[:most]
    found = [name for name in names if all(word in name.casefold() for word in words)]
    last = found[limit - 1] if len(found) > limit else names[-1] if len(names) == most else None
    told = [_listed(shelf, looked[name]) if details else {"id": name} for name in found[:limit]]
    return {"logs": told, "after": last}


def _listed(shelf: Shelf, log: Log) -> dict[str, Any]:
    """Tell what is known without reading a log."""
    status = shelf.status(log)
    sizes = [size for source in log.sources() if (size := source.peek_size()) is not None]
    return {
        "id": log.id,
        "bytes": sum(sizes) if sizes else None,
        "state": status.state.value,
        "written": None if status.written_ns is None else show_moment(status.written_ns),
    }


async def meta(
    request: Request,
    log_id: LogId,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait until `version` is another one.")
    ] = 0,
    version: Annotated[
        str | None, Query(max_length=64, description="That of an earlier answer; or send it as `If-None-Match`.")
    ] = None,
) -> Response:
    """Tell what a log is made of, how far it is indexed, and whether it goes on.

    `lines.exact` is false while the index has not reached the end. With `wait`, the answer comes when the log has
    grown, ended or changed otherwise since `version`, and at last after so many seconds. An answer to `If-None-Match`
    is 304 when nothing has changed.
    """
    shelf = shelf_of(request)
    log = await run_in_threadpool(shelf.find, log_id)
    seen = request.headers.get("if-none-match")
    known = seen.strip().removeprefix("W/").strip('"') if seen else version
    now = await run_in_threadpool(version_of, shelf, log)
    if wait and known == now:
        with guard_of(request).limits.using(request.state.caller, Use.FOLLOW):
            now = await _waits(request).changed(request, log, now, wait)
    headers = {"ETag": f'"{now}"'}
    if seen and known == now:
        return Response(status_code=304, headers=headers)
    told = await run_in_threadpool(_describe, shelf, log)
    return Response(json.dumps(told | {"version": now}), headers=headers, media_type="application/json")


def version_of(shelf: Shelf, log: Log) -> str:
    """Return what is another one when anything that is told of a log has changed; nothing is read for it."""
    index, status = shelf.index(log), shelf.status(log)
    sources = [(source.name, source.peek_size()) for source in log.sources()]
    counted = [index.totals.lines, index.progress.complete, status.state.value, status.written_ns]
    return hashlib.blake2b(json.dumps([sources, counted]).encode(), digest_size=9).hexdigest()


def _describe(shelf: Shelf, log: Log) -> dict[str, Any]:
    index, status = shelf.index(log), shelf.status(log)
    totals, progress, timeline = index.totals, index.progress, index.counts(1)
    sources = log.sources()
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
        "levels": {level.name.lower(): totals.levels[level] for level in Level},
        "index": asdict(progress),
        "sources": [_source(source) for source in sources[:MAX_SOURCES_TOLD]],
        "more_sources": max(0, len(sources) - MAX_SOURCES_TOLD),
    }


def _source(source: Source) -> dict[str, Any]:
    """Open a source to hear what it answers, and how long that takes."""
    began = time.perf_counter()
    try:
        with source.open() as reader:
            state, size, gaps = "ok", source.peek_size(), list(reader.gaps)
    except SourceFailed as failure:
        state, size, gaps = "failed", None, [failure.gap]
    took_ms = round((time.perf_counter() - began) * 1000, 3)
    return {"name": source.name, "state": state, "bytes": size, "ms": took_ms, "gaps": [asdict(gap) for gap in gaps]}


def _waits(request: Request) -> Waits:
    waits: Waits = request.app.state.waits
    return waits


class Waits:
    """Those who wait for logs to change; of one event loop."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._looks: dict[str, _Look] = {}

    async def changed(self, request: Request, log: Log, version: str, wait_s: float) -> str:
        """Return the version of a log when it is another one, or after ``wait_s``, or when who asks has gone.

        Raises:
            Problem: too many logs are waited for.
        """
        look = self._looks.get(log.id)
        if look is None:
            if len(self._looks) >= MAX_WAITED:
                detail = "Too many logs are waited for at this moment. Try again soon, or ask without `wait`."
                raise Problem(503, "too-many-waits", detail, headers={"Retry-After": "5"})
            look = self._looks[log.id] = _Look(self._shelf, log, version)
        look.waiters += 1
        try:
            end_s = time.monotonic() + wait_s
            while look.version == version and (left_s := end_s - time.monotonic()) > 0:
                await look.next(min(left_s, LOOK_S))
                if await request.is_disconnected() or guard_of(request).drain.follows.is_set():
                    break
            return look.version
        finally:
            look.waiters -= 1
            if not look.waiters:
                del self._looks[log.id]
                await asyncio.shield(look.close())


class _Look:
    """One log that is looked at for all who wait for it."""

    def __init__(self, shelf: Shelf, log: Log, version: str) -> None:
        self.version = version
        self.waiters = 0
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(shelf, log))

    async def _run(self, shelf: Shelf, log: Log) -> None:
        watching = asyncio.ensure_future(asyncio.to_thread(self._watch, log, asyncio.get_running_loop()))
        try:
            await asyncio.shield(watching)
            while True:
                await self._look(shelf, log)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), LOOK_S)
                    await asyncio.sleep(GATHER_S)
                self._changed.clear()
        finally:
            await asyncio.to_thread((await watching).close)

    def _watch(self, log: Log, loop: asyncio.AbstractEventLoop) -> Watcher:
        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._changed.set)

        paths: list[str] = []
        with contextlib.suppress(Exception):  # whoever waits is told by the next look
            paths += (path for source in log.sources() if isinstance(source, TellsPaths) for path in source.paths)
        return Watcher(paths, poll_s=LOOK_S, tell=tell)

    async def _look(self, shelf: Shelf, log: Log) -> None:
        try:
            version = await asyncio.to_thread(version_of, shelf, log)
        except Exception:  # noqa: BLE001 - whoever waits asks again, and is told what it is
            version = ""
        if version != self.version:
            self.version = version
            self._news.set()
            self._news = asyncio.Event()

    async def next(self, timeout_s: float) -> None:
        """Wait for another version, up to a time."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)

    async def close(self) -> None:
        """Look no more."""
        self._task.cancel()
        await asyncio.wait({self._task})
