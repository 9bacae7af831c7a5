"""What a request tells those who read a log for it: in which form it is wanted, and when it is over.

Holds: nothing of an answer is changed. It carries no right, and refuses nobody; without it, logs are read all the same.
Plan:  a context variable reaches from the request to the thread in which a log is read. What opens something notes it
       there, and the middleware closes it at the end, however that comes about.
"""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

NDJSON = b"application/x-ndjson"


class Closable(Protocol):
    """What can be closed from any thread."""

    def close(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True, slots=True)
class _Served:
    """A request that is being served."""

    wants_lines: bool
    opened: list[Closable] = field(default_factory=list)


_served: contextvars.ContextVar[_Served | None] = contextvars.ContextVar("logflume_served", default=None)


def close_with_request(opened: Closable) -> None:
    """Have something closed when the request that is being served is over; outside of one, nobody does."""
    served = _served.get()
    if served is not None:
        served.opened.append(opened)


def wants_lines() -> bool:
    """Tell whether the request certainly is for NDJSON, whose answer has no position to go on from."""
    served = _served.get()
    return served is not None and served.wants_lines


class NotesRequests:
    """ASGI middleware that tells what is wanted, and closes what was opened when the request is over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, then close."""
        accepts = [value for name, value in scope.get("headers", ()) if name == b"accept"]
        served = _Served(wants_lines=accepts == [NDJSON])
        token = _served.set(served)
        try:
            await self._app(scope, receive, send)
        finally:
            _served.reset(token)
            if served.opened:
                await asyncio.shield(asyncio.to_thread(_close_all, served.opened))


def _close_all(opened: list[Closable]) -> None:
    for each in opened:
        each.close()
