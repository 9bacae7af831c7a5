"""What the routes have in common: which logs there are, who asks for which, and within which limits.

Holds: an answer that lasts goes within the limits of its caller, and ends when the caller does not count any more.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import Path, Request

from logflume.serve.callers import Refused
from logflume.serve.streams import BrokenOff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from logflume.serve.guard import Guard
    from logflume.serve.limits import Pace, Use
    from logflume.serve.shelf import Shelf

    Enter = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]

RECHECK_S = 15.0
"""How often it is asked whether somebody whose answer lasts still counts."""

LogId = Annotated[str, Path(max_length=4096, description="The id of a log, as the list gives it.")]


def shelf_of(request: Request) -> Shelf:
    """Return the logs of this server."""
    shelf: Shelf = request.app.state.shelf
    return shelf


def guard_of(request: Request) -> Guard:
    """Return who stands before them."""
    guard: Guard = request.app.state.guard
    return guard


def held(request: Request, use: Use, enter: Enter) -> Enter:
    """Return what enters the same within the limits of the caller, as long as the caller still counts."""
    guard, caller = guard_of(request), request.state.caller

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
        if time.monotonic() - checked_s >= RECHECK_S:
            try:
                await recheck()
            except Refused as refused:
                raise BrokenOff from refused
            checked_s = time.monotonic()
        await pace.wait_for(len(block))
        yield block
