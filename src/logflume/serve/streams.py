"""Send a reading of a log as the body of an answer.

Invariant: a body ends as it should only when all was sent. When something breaks in the middle, the last words say so
and the connection is cut. When the other side goes away, the reading is closed at once.
Which things that go wrong are an end of that kind: docs/reference/server.md, "When something breaks".
Memory: what the pump holds, and one compressed block.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import zstandard
from fastapi import Response

from logflume.errors import LogflumeError
from logflume.serve.accepting import weighted
from logflume.serve.drain import server_ends
from logflume.serve.problems import Problem, of_error
from logflume.serve.pump import Pump
from logflume.serve.reading import Media, broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from starlette.types import Receive, Scope, Send

    from logflume.serve.pump import Closing

CANCEL_AGAIN_S = 0.2
"""How long something that is given up may take to end before it is given up once more."""

LAST_WORDS_S = 1.0
"""How long who is cut is given to take why."""

CUT = "logflume.cut"
"""In ``extensions`` of a scope: calls that end the connection, once all that was sent is taken or at once."""

GZIP_LEVEL = 1
ZSTD_LEVEL = 1
_FAULTS = logging.getLogger("uvicorn.error")
_GZIP_WINDOW = 31  # of zlib: with the head and tail of gzip


class Encoder(Protocol):
    """Compresses a stream of blocks."""

    def compress(self, block: bytes) -> bytes:
        """Take a block; give out what is ready."""
        ...

    def flush(self) -> bytes:
        """Give out all there is, for the other side to read."""
        ...

    def finish(self) -> bytes:
        """Give out the end."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_WINDOW)

    def compress(self, block: bytes) -> bytes:
        return self._stream.compress(block)

    def flush(self) -> bytes:
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush(zlib.Z_FINISH)


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()

    def compress(self, block: bytes) -> bytes:
        return self._stream.compress(block)

    def flush(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


ENCODERS: dict[str, type[Encoder]] = {"zstd": _Zstd, "gzip": _Gzip}
"""What can be asked for in ``Accept-Encoding``, the better one first."""


def encoding_for(accepted: str | None) -> str | None:
    """Choose an encoding (RFC 9110, 12.5.3): of those with the highest weight the one we like best; None for none."""
    weights = dict(weighted(accepted or ""))
    any_weight = weights.get("*", 0.0)
    found = [(weights.get(name, any_weight), name) for name in ENCODERS]
    best = max(weight for weight, _ in found)
    return next(name for weight, name in found if weight == best) if best > 0 else None


class Ending:
    """Why an answer is to be broken off, once it is; asked between two blocks, in their thread."""

    def __init__(self) -> None:
        self.problem: Problem | None = None

    def check(self) -> None:
        """Break it off.

        Raises:
            Problem: it is to be.
        """
        if self.problem is not None:
            raise self.problem


class _Body:
    """Blocks as bytes to send, made in the pump's thread."""

    def __init__(self, blocks: Closing, form: Form) -> None:
        self._blocks = blocks
        self._form = form
        self._encoder = ENCODERS[form.encoding]() if form.encoding else None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._encoded()
        except Exception as error:
            if not self._closed:  # else it is the closing that broke it, and nobody is there to be told
                yield self._last_words(problem_of(error))
            raise BrokenOff from error

    def _encoded(self) -> Iterator[bytes]:
        for block in self._blocks:
            if self._form.ending is not None:
                self._form.ending.check()
            yield self._packed(block)
        yield b"" if self._encoder is None else self._encoder.finish()

    def _packed(self, block: bytes) -> bytes:
        if self._encoder is None:
            return block
        packed = self._encoder.compress(block)
        return packed + self._encoder.flush() if self._form.live else packed

    def _last_words(self, problem: Problem) -> bytes:
        words = broken(self._form.media, problem)
        return self._encoder.compress(words) + self._encoder.flush() if self._encoder else words

    def close(self) -> None:
        self._closed = True
        self._blocks.close()


class BrokenOff(Exception):
    """The last words are sent; the connection is to be cut."""


def problem_of(error: Exception) -> Problem:
    """Return what is said of an error in the middle of an answer."""
    problem = of_error(error)
    if problem is None and isinstance(error, LogflumeError):
        problem = Problem(503, "read-failed", "The log cannot be read any further.")
    if problem is not None:
        return problem
    _FAULTS.error("a fault in the middle of an answer", exc_info=error)
    return Problem(500, "fault", "This is a fault of the server, which has told it to who runs it.")


@asynccontextmanager
async def pumped(make: Callable[[], Closing], form: Form) -> AsyncIterator[AsyncIterator[bytes]]:
    """Make an answer in a thread while entered."""
    async with Pump(lambda: _Body(make(), form)) as pump:
        await pump.opened()
        yield pump


@dataclass(frozen=True, kw_only=True)
class Form:
    """In which form an answer is sent.

    Attributes:
        media: what the blocks are.
        encoding: how they are compressed; None: not.
        live: each block is to be read at once.
        head_only: the headers alone are wanted.
        status: of HTTP.
        headers: beside those that every stream has; a ``Content-Length`` is what will be sent, or less when it is cut.
        ending: breaks it off between two blocks; None: it can be broken off at any moment.
    """

    media: Media
    encoding: str | None
    live: bool = False
    head_only: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending | None = field(default_factory=Ending)


class StreamResponse(Response):
    """An answer whose body is made block by block."""

    def __init__(
        self,
        enter: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]],
        form: Form,
        *,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Describe the answer; ``enter`` opens what is sent, ``stop`` breaks it off because the server ends."""
        media = form.media.value
        is_text = form.media in {Media.TEXT, Media.EVENTS}
        media_type = f"{media}; charset=utf-8" if is_text else media
        super().__init__(status_code=form.status, media_type=media_type)
        self._enter = enter
        self._form = form
        self._stop = stop or asyncio.Event()
        del self.headers["content-length"]
        self.headers["Vary"] = "Accept, Accept-Encoding"
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"  # nginx would wait for 8 KiB
        if form.encoding:
            self.headers["Content-Encoding"] = form.encoding
        self.headers.update(form.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            LogflumeError: it cannot be opened; nothing has been sent then.
        """
        async with self._enter() as blocks:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if self._form.head_only:
                await send({"type": "http.response.body", "body": b""})
                return
            is_whole = await self._send(blocks, receive, send)
        if not is_whole:
            await _cut(scope, receive, LAST_WORDS_S if self._stop.is_set() else None)

    async def _send(self, blocks: AsyncIterator[bytes], receive: Receive, send: Send) -> bool:
        """Send until the end, or the client leaves, or the server ends; False if something is missing."""
        sending = asyncio.ensure_future(self._send_all(blocks, send))
        leaving = asyncio.ensure_future(_disconnect(receive))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({sending, leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                with suppress(BrokenOff, OSError):  # the missing end tells the other side
                    sending.result()
                    return True
            elif not leaving.done():
                await self._break_off(sending, send)
        finally:
            await _end(sending, leaving, stopping)
        return False

    async def _send_all(self, blocks: AsyncIterator[bytes], send: Send) -> None:
        try:
            async for block in blocks:
                if block:
                    await send({"type": "http.response.body", "body": block, "more_body": True})
        except BrokenOff:
            raise
        except Exception as error:
            words = broken(self._form.media, problem_of(error))
            await send({"type": "http.response.body", "body": words, "more_body": True})
            raise BrokenOff from error
        await send({"type": "http.response.body", "body": b""})

    async def _break_off(self, sending: asyncio.Future[None], send: Send) -> None:
        """Say that the server ends, to who takes it: behind the block that is being made, if it comes soon."""
        problem = server_ends()
        if self._form.ending is not None:
            self._form.ending.problem = problem
            await asyncio.wait({sending}, timeout=LAST_WORDS_S)
            if sending.done():
                return
        await _end(sending)
        if self._form.encoding is None:
            message = {"type": "http.response.body", "body": broken(self._form.media, problem), "more_body": True}
            with suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(send(message), LAST_WORDS_S)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until all have ended: ``asyncio.wait_for`` before Python 3.12 loses a cancel that comes as it is done."""
    left = {*tasks}
    while left:
        for each in left:
            each.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


async def _cut(scope: Scope, receive: Receive, within_s: float | None) -> None:
    """End the connection without the end of the answer, once what was sent is taken, or so much later."""
    cut = scope.get("extensions", {}).get(CUT)
    if cut is not None:
        cut["close"]()
        try:
            await asyncio.wait_for(_disconnect(receive), within_s)
        except asyncio.TimeoutError:
            cut["abort"]()
            await _disconnect(receive)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
