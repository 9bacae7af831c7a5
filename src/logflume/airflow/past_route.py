"""The lines of a log, sent past Airflow's route once it has let them in.

Holds: an answer is Airflow's until its route has begun it, with its status and headers; no right is looked at here, and
       nobody is let in. At most MAX_PAST_ROUTE answers at once; of each, what a pump holds.
Plan:  NDJSON: the route writes the first messages; when it wants to end the answer, the lines follow. JSON: the route
       writes one message that stands for all lines, and its answer, which is small then, is sent with the lines in the
       place of that. What nobody takes this way goes through the route.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message, Receive, Send

MAX_PAST_ROUTE = 64
"""Answers whose lines go past the route at once, each with a thread; those of further ones go through it."""

PIECE_BLOCKS = 4
"""Blocks that are sent as one: to hand each over costs a quarter of the time that merging takes."""

NDJSON = b"application/x-ndjson"

_PAST_ROUTE = threading.BoundedSemaphore(MAX_PAST_ROUTE)


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


class Handed:
    """The sender of one answer, with what was handed over for it.

    Order, loss: those of the blocks. Memory: those that the pump holds (``logflume.serve.pump``), and what the route
    gives beside the lines.
    """

    def __init__(self, receive: Receive, send: Send, *, after: bool) -> None:
        """Take nothing yet; ``after``: NDJSON is wanted, and nothing else."""
        self._receive = receive
        self._send = send
        self._after = after
        self._begun = False
        self._can_grow = False
        self._rest: Blocks | None = None
        self._name = b""
        self._held: list[Message] = []

    def take_after(self, rest: Blocks) -> bool:
        """Take lines to send when the route wants to end its answer, if that is under way and can become longer."""
        if not self._after or not self._can_grow or not self._has_place():
            return False
        self._rest = rest
        return True

    def take_in_place(self, rest: Blocks) -> bytes | None:
        """Take lines to send in the place of the one returned, which the route is to write; None: not taken."""
        if self._after or self._begun or not self._has_place():
            return None
        self._rest = rest
        self._name = secrets.token_hex(16).encode()
        return b'{"timestamp":null,"event":"%s"}\n' % self._name

    def _has_place(self) -> bool:
        return self._rest is None and _PAST_ROUTE.acquire(blocking=False)

    def release(self) -> list[Closable]:
        """Free the place, for the answer is over; return what is to be closed."""
        if self._rest is None:
            return []
        _PAST_ROUTE.release()
        return [self._rest]

    async def __call__(self, message: Message) -> None:
        """Send a message of the route."""
        if message["type"] == "http.response.start":
            self._begun = True
            self._can_grow = _can_grow(message)
        if self._rest is None:
            await self._send(message)
        elif self._after:
            await self._send_before_rest(message, self._rest)
        else:
            await self._send_around_rest(message, self._rest)

    async def _send_before_rest(self, message: Message, rest: Blocks) -> None:
        if message.get("more_body", False):
            await self._send(message)
            return
        await self._send_body(message.get("body", b""))
        await self._send_rest(rest)
        await self._send({"type": "http.response.body", "body": b""})

    async def _send_around_rest(self, message: Message, rest: Blocks) -> None:
        """Hold the answer back until it is whole; send it with the lines in the place of what stands for them."""
        self._held.append(message)
        if message["type"] == "http.response.start" or message.get("more_body", False):
            return
        start, *pieces = self._held
        if start["status"] != HTTPStatus.OK:
            for held in self._held:
                await self._send(held)
            return
        before, after = self._around(b"".join(piece.get("body", b"") for piece in pieces))
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await self._send({**start, "headers": headers})
        await self._send_body(before.removesuffix(b","))
        await self._send_while_wanted(_Items(rest, begun=before.endswith(b",")))
        await self._send({"type": "http.response.body", "body": after})

    def _around(self, body: bytes) -> tuple[bytes, bytes]:
        """Split an answer where the lines belong.

        Raises:
            RuntimeError: somebody made something else of what stands for them.
        """
        parts = re.split(rb"\{[^{}]*%s[^{}]*\}" % self._name, body)
        if len(parts) != 2:  # noqa: PLR2004 - before and after it
            raise RuntimeError("Airflow's answer has no place for the lines of the log")
        return parts[0], parts[1]

    async def _send_while_wanted(self, rest: Blocks) -> None:
        """Send until the other side leaves, for which the JSON route, unlike that of NDJSON, does not look."""
        sending = asyncio.ensure_future(self._send_rest(rest))
        leaving = asyncio.ensure_future(_disconnect(self._receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait({sending, leaving})

    async def _send_rest(self, rest: Blocks) -> None:
        # What moves blocks into an event loop is loaded where logs are read, not in every process of Airflow.
        from logflume.serve.pump import Pump

        async with Pump(lambda: _Pieces(rest)) as pieces:
            async for piece in pieces:
                await self._send_body(piece)

    async def _send_body(self, body: bytes) -> None:
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


class _Pieces:
    """Blocks joined to larger ones; the first as it is, at once."""

    def __init__(self, rest: Blocks) -> None:
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        blocks = iter(self._rest)
        yield from itertools.islice(blocks, 1)
        while several := list(itertools.islice(blocks, PIECE_BLOCKS)):
            yield b"".join(several)

    def close(self) -> None:
        self._rest.close()


class _Items:
    """Lines as items of a list; ``begun``: others stand before them."""

    def __init__(self, rest: Blocks, *, begun: bool) -> None:
        self._rest = rest
        self._begun = begun

    def __iter__(self) -> Iterator[bytes]:
        comma = b"," if self._begun else b""
        for block in self._rest:
            # A newline stands between lines and nowhere else.
            yield comma + block.removesuffix(b"\n").replace(b"\n", b",")
            comma = b","

    def close(self) -> None:
        self._rest.close()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _can_grow(start: Message) -> bool:
    """Tell whether an answer is NDJSON without an end that is known already."""
    names = {name.lower() for name, _ in start.get("headers", ())}
    is_open = names.isdisjoint({b"content-length", b"content-encoding"})
    return bool(start["status"] == HTTPStatus.OK and is_open and _type_of(start) == NDJSON)


def _type_of(start: Message) -> bytes:
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    kind: bytes = headers.get(b"content-type", b"").partition(b";")[0].strip()
    return kind
