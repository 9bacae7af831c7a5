"""Streams end with their request: what a request has opened is closed when it is over.

Holds: nothing of the request is read, and nothing of the answer changed. It carries no right, and refuses nobody.
Plan:  a context variable reaches from the request to the thread in which a log is read; what opens something notes it
       there, and the middleware closes it at the end, however that comes about.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Closable(Protocol):
    """What can be closed from any thread."""

    def close(self) -> None:
        """Release everything."""
        ...


_opened: contextvars.ContextVar[list[Closable] | None] = contextvars.ContextVar("logflume_opened", default=None)


def close_with_request(opened: Closable) -> None:
    """Have something closed when the request that is being served is over; outside of one, nobody does."""
    noted = _opened.get()
    if noted is not None:
        noted.append(opened)


class ClosesStreams:
    """ASGI middleware that closes what was noted while it served a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, then close."""
        noted: list[Closable] = []
        token = _opened.set(noted)
        try:
            await self._app(scope, receive, send)
        finally:
            _opened.reset(token)
            if noted:
                await asyncio.shield(asyncio.to_thread(_close_all, noted))


def _close_all(noted: list[Closable]) -> None:
    for each in noted:
        each.close()
