"""What a request tells those who read a log for it: in which form it is wanted, and when it is over.

Holds: no right; it refuses nobody, and without it logs are read all the same.
Plan:  a context variable reaches from the request to the thread in which a log is read. What opens something notes it
       there, and the middleware closes it at the end, however that comes about. What it hands over is sent past
       Airflow's route (``past_route``).
"""

from __future__ import annotations

import asyncio
import contextvars
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logflume.airflow.past_route import NDJSON, Handed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from logflume.airflow.past_route import Blocks, Closable

_LOG = re.compile(r"/api/v2/dags/.+/logs/[0-9]+")


@dataclass(slots=True)
class _Served:
    """A request that is being served.

    Attributes:
        wants_lines: it is for NDJSON, and takes nothing else.
        handed: what goes past the route; None: the request is for something else than the log of a task.
    """

    wants_lines: bool
    handed: Handed | None
    opened: list[Closable] = field(default_factory=list)


_served: contextvars.ContextVar[_Served | None] = contextvars.ContextVar("logflume_served", default=None)


def close_with_request(opened: Closable) -> None:
    """Have something closed when the request that is being served is over; outside of one, nobody does."""
    served = _served.get()
    if served is not None:
        served.opened.append(opened)


def hand_over(rest: Blocks) -> bool:
    """Have lines sent after what the route gives; False: they must go through it. See ``Handed.take_after``."""
    served = _served.get()
    return served is not None and served.handed is not None and served.handed.take_after(rest)


def stand_in_for(rest: Blocks) -> bytes | None:
    """Have lines sent in the place of the one returned; None: they must go through the route. See ``Handed``."""
    served = _served.get()
    return None if served is None or served.handed is None else served.handed.take_in_place(rest)


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
        is_for_log = scope.get("method") == "GET" and _LOG.search(scope.get("path", "")) is not None
        handed = Handed(receive, send, after=wants_lines) if is_for_log else None
        served = _Served(wants_lines, handed)
        token = _served.set(served)
        try:
            await self._app(scope, receive, handed or send)
        finally:
            _served.reset(token)
            if handed is not None:
                served.opened += handed.release()
            if served.opened:
                await asyncio.shield(asyncio.to_thread(_close_all, served.opened))


def _close_all(opened: list[Closable]) -> None:
    for each in opened:
        each.close()
