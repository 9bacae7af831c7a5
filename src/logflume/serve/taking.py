"""Lines that others send here: ``POST /api/v1/take/STREAM``, which the sink ``http`` of another logflume does.

Holds: off unless it was asked for; then only who has a token of the writers' own file may, for streams that one of its
       prefixes covers. A reader's token writes nothing, and a writer's reads nothing. At most MAX_TAKING bodies of
       MAX_BODY_BYTES are held, each for BODY_S.
Plan:  a body is read whole before any of it is kept; a thread unpacks it and adds it to its stream
       (``logflume.ship.taken``). 204 means that it is in the file. The same ``Idempotency-Key`` again is answered like
       the first time, and adds nothing.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, FastAPI, Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from logflume.errors import UsageError
from logflume.serve.auth import Gate
from logflume.serve.callers import Refused
from logflume.serve.problems import Problem
from logflume.ship.segments import Rules
from logflume.ship.taken import MAX_NAME_CHARS, NoRoom, Taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path as FolderPath

    from logflume.serve.callers import Caller
    from logflume.serve.settings import Settings

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of one request, as it comes and unpacked."""

MAX_TAKING = 16
"""Requests whose bodies are held at once; more are refused, and come again."""

BODY_S = 60.0
"""How long a body may take to come."""

_RETRY = {"Retry-After": "5"}
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_GZIP = 16 + zlib.MAX_WBITS


def install(app: FastAPI, settings: Settings, key: bytes) -> None:
    """Let an application take lines; what is open is closed when it ends.

    Raises:
        UsageError: the file of tokens cannot be used, or the folder cannot be made.
    """
    folder, gate = prepare(settings, key)
    taking = _Taking(Taken(folder, Rules(settings.take_budget)), gate)
    app.add_api_route(
        "/api/v1/take/{stream:path}",
        taking.take,
        methods=["POST"],
        dependencies=[Depends(taking.gate.caller)],
        response_class=Response,
        include_in_schema=False,
    )
    _close_at_end(app, taking.streams)


def prepare(settings: Settings, key: bytes) -> tuple[FolderPath, Gate]:
    """Make the folder that lines are kept in, if it is not there; return it, and who tells writers apart.

    Raises:
        UsageError: the file of tokens cannot be used, or the folder cannot be made.
    """
    folder = settings.take_into
    assert folder is not None  # noqa: S101 - else nobody asks
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"take_into: {folder}: {error.strerror}") from None
    return folder, Gate(replace(settings, tokens_file=settings.writers_file, jwks_file=None, cookie="off"), key)


def _close_at_end(app: FastAPI, streams: Taken) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner(app):
            yield
        await run_in_threadpool(streams.close)

    app.router.lifespan_context = lifespan


class _Taking:
    """The route. For one event loop."""

    def __init__(self, streams: Taken, gate: Gate) -> None:
        self.streams, self.gate = streams, gate
        self._held = 0

    async def take(self, request: Request, stream: Annotated[str, Path(max_length=MAX_NAME_CHARS)]) -> Response:
        """Add lines to a stream."""
        caller: Caller = request.state.caller
        if not caller.may_read(stream):
            raise Refused(403, "not-allowed", "This token may not write to this stream; ask whoever gave it to you.")
        if self._held >= MAX_TAKING:
            raise Problem(429, "too-many", "Too many are sending at once. Send it again.", headers=_RETRY)
        self._held += 1
        try:
            return await self._take(request, stream)
        finally:
            self._held -= 1

    async def _take(self, request: Request, stream: str) -> Response:
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise Problem(400, "bad-key", "Idempotency-Key: expected 1 to 128 visible characters of ASCII.")
        packed = await _body_of(request)
        try:
            is_new = await run_in_threadpool(self._add, stream, packed, request.headers.get("content-encoding"), key)
        except NoRoom as error:
            raise Problem(503, "no-room", f"Nothing was taken: {error}. Send it again.", headers=_RETRY) from None
        except OSError:
            detail = "Nothing was taken: the folder of this server cannot be written. Send it again."
            raise Problem(503, "no-room", detail, headers=_RETRY) from None
        return Response(status_code=204, headers={} if is_new else {"Idempotency-Replayed": "true"})

    def _add(self, stream: str, packed: bytes, encoding: str | None, key: str | None) -> bool:
        lines = _unpacked(packed, encoding)
        return self.streams.add(stream, lines, key) if lines else True


async def _body_of(request: Request) -> bytes:
    """Return a body, as it comes.

    Raises:
        Problem: it is too large, breaks off, or takes too long.
    """
    try:
        return await asyncio.wait_for(_read(request), BODY_S)
    except ClientDisconnect:
        raise Problem(400, "cut-off", "The body broke off; nothing was taken.") from None
    except asyncio.TimeoutError:
        raise Problem(408, "too-slow", f"The body took longer than {BODY_S:.0f} s; nothing was taken.") from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> Problem:
    detail = f"A body has {MAX_BODY_BYTES} bytes at most, unpacked, too; send less at once (batch_bytes)."
    return Problem(413, "too-large", detail, headers={"Connection": "close"}, max_bytes=MAX_BODY_BYTES)


def _unpacked(packed: bytes, encoding: str | None) -> bytes:
    if encoding in (None, "", "identity"):
        return packed
    if encoding != "gzip":
        raise Problem(415, "bad-encoding", "Content-Encoding: expected gzip, or none.")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Problem(400, "bad-body", "The body is no gzip; nothing was taken.") from None
    if len(plain) > MAX_BODY_BYTES:
        raise _too_large()
    if not unpacker.eof or unpacker.unused_data:
        raise Problem(400, "bad-body", "The body is no single whole stream of gzip; nothing was taken.")
    return plain
