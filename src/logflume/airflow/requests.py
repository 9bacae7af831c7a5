"""What a request tells those who read a log for it, and how the rest of an answer is sent beside Airflow's route.

Holds: no right; it refuses nobody, and without it logs are read all the same. An answer is Airflow's until its route
       has begun it and wants to end it: then, if the route's own log was handed over, its lines follow as blocks.
Plan:  a context variable reaches from the request to the thread in which a log is read. What opens something notes it
       there, and the middleware closes it at the end, however that comes about. Lines can be handed over only while an
       answer of NDJSON that anything can be added to is under way, to a request for the log of a task.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NDJSON = b"application/x-ndjson"

MAX_PAST_ROUTE = 64
"""Answers whose lines go past the route at once, each with a thread; those of further ones go through it."""

_PAST_ROUTE = threading.BoundedSemaphore(MAX_PAST_ROUTE)
_LOG = re.compile(r"/api/v2/dags/.+/logs/[0-9]+")
_FINAL_LENGTH = {b"content-length", b"content-encoding"}


class Closable(Protocol):
    """What can be closed from any thread."""

    def close(self) -> None:
        """Release everything."""
        ...


class Blocks(Closable, Protocol):
    """Whole lines of NDJSON, until it is closed."""

    def __iter__(self) -> Iterator[bytes]:
        """Begin to read; once only."""
        ...


@dataclass(slots=True)
class _Served:
    """A request that is being served.

    Attributes:
        wants_lines: it is for NDJSON, and takes nothing else.
        takes_blocks: its answer has begun, and more can be added to it.
        rest: what is to be added.
    """

    wants_lines: bool
    is_for_log: bool
    opened: list[Closable] = field(default_factory=list)
    takes_blocks: bool = False
    rest: Blocks | None = None


_served: contextvars.ContextVar[_Served | None] = contextvars.ContextVar("logflume_served", default=None)


def close_with_request(opened: Closable) -> None:
    """Have something closed when the request that is being served is over; outside of one, nobody does."""
    served = _served.get()
    if served is not None:
        served.opened.append(opened)


def hand_over(rest: Blocks) -> bool:
    """Have blocks sent, as they are, after what the route gives; False: they must go through the route.

    Order, loss: those of the blocks. Memory: those that the pump holds (``logflume.serve.pump``).
    """
    served = _served.get()
    if served is None or not served.takes_blocks or served.rest is not None or not _PAST_ROUTE.acquire(blocking=False):
        return False
    served.rest = rest
    return True


def wants_lines() -> bool:
    """Tell whether the request certainly is for NDJSON, whose answer has no position to go on from."""
    served = _served.get()
    return served is not None and served.wants_lines


class NotesRequests:
    """ASGI middleware that tells what is wanted, sends what was handed over, and closes what was opened."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, then close."""
        accepts = [value for name, value in scope.get("headers", ()) if name == b"accept"]
        wants_lines = accepts == [NDJSON]
        served = _Served(wants_lines, wants_lines and _LOG.search(scope.get("path", "")) is not None)
        token = _served.set(served)
        try:
            await self._app(scope, receive, _Sender(served, send) if served.is_for_log else send)
        finally:
            _served.reset(token)
            if served.rest is not None:
                _PAST_ROUTE.release()
            if served.opened:
                await asyncio.shield(asyncio.to_thread(_close_all, served.opened))


class _Sender:
    """Passes an answer on; before its end, it sends what was handed over."""

    def __init__(self, served: _Served, send: Send) -> None:
        self._served = served
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._served.takes_blocks = _can_grow(message)
        elif self._served.rest is not None and not message.get("more_body", False):
            if message.get("body"):
                await self._send({**message, "more_body": True})
            await self._send_rest(self._served.rest)
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _send_rest(self, rest: Blocks) -> None:
        # What moves blocks into an event loop is loaded where logs are read, not in every process of Airflow.
        from logflume.serve.pump import Pump

        async with Pump(lambda: rest) as blocks:
            async for block in blocks:
                if block:
                    await self._send({"type": "http.response.body", "body": block, "more_body": True})


def _can_grow(start: Message) -> bool:
    """Tell whether an answer is NDJSON without an end that is known already."""
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip()
    return start["status"] == _OK and kind == NDJSON and not _FINAL_LENGTH & headers.keys()


_OK = 200


def _close_all(opened: list[Closable]) -> None:
    for each in opened:
        each.close()
