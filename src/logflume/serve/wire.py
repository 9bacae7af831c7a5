"""One connection before and beside its requests: how much may come, how long it may take, how many there may be.

Holds: of a request that is not whole at most MAX_HEAD_BYTES and what one read brings are held, for at most HEAD_S (its
       body: BODY_S); nothing is held for a client that takes nothing for ``stall_s``. Whoever is refused is told why
       in a problem document, and counted by reason.
Plan:  uvicorn's protocol parses and answers; it knows no bounds, and here they are added around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from logflume.serve import problems
from logflume.serve.problems import Problem
from logflume.serve.streams import CUT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

MAX_HEAD_BYTES = 64 * 1024
"""Of an address and headers. A cursor of a log of 1,000 sources has some 45 KB of them."""

MAX_HEADERS = 100

HEAD_S = 10.0
"""How long a request may take to come, without its body."""

BODY_S = 20.0
"""How long its body may take; only the sign-in form has one that is read."""

RETRY_S = 5


class Why(Enum):
    """Why a connection was ended by the server."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    TOO_MANY = "too-many"
    STALLED = "stalled"


class _Said(NamedTuple):
    status: int
    type: str
    detail: str


_SAID = {
    Why.MALFORMED: _Said(400, "bad-request", "This is no HTTP/1.1 request."),
    Why.TOO_LARGE: _Said(
        431,
        "too-large",
        f"The address and headers of a request have at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers.",
    ),
    Why.TOO_SLOW: _Said(408, "too-slow", f"The request was not whole after {HEAD_S:.0f} s (its body: {BODY_S:.0f} s)."),
    Why.TOO_MANY: _Said(503, "too-many-connections", "This server has as many connections as it may. Try again soon."),
}


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What holds for the connections of one process.

    Attributes:
        max_connections: at once.
        stall_s: how long a client may take nothing of an answer before it is cut; 0: for ever.
        tell: is called for each connection that is ended by the server.
    """

    max_connections: int
    stall_s: float
    tell: Callable[[Why], None]


class WireConfig(uvicorn.Config):
    """A configuration of uvicorn whose connections are bounded."""

    def __init__(self, app: Any, wire: Wire, **more: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Take what uvicorn takes."""
        super().__init__(app, http=Connection, ws="none", **more)
        self.wire = wire


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: WireConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._wire = config.wire
        self._why = Why.MALFORMED
        self._is_head = True  # the next bytes are of a head
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._untaken_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._wire.max_connections:
            self._refuse(Why.TOO_MANY)
        else:
            self._expect(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: whatever waits is woken."""
        self._expect(None)
        self._end_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self.transport.is_closing():
            return
        if self._is_head:
            self._head_bytes += len(data)
            if self._deadline is None:
                self._expect(HEAD_S)
        super().data_received(data)
        if self._is_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(Why.TOO_LARGE)

    # What the parser finds

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._url_bytes = self._named_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of its address."""
        self._url_bytes += len(url)
        self._check_head()
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._named_bytes += len(name) + len(value)
        self._check_head()
        super().on_header(name, value)

    def _check_head(self) -> None:
        if self._url_bytes + self._named_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._why = Why.TOO_LARGE
            raise ValueError(self._why)  # the parser stops, and `send_400_response` is called

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._is_head = False
        self._head_bytes = 0
        self._expect(BODY_S)
        super().on_headers_complete()
        self.scope["extensions"] = {CUT: {"close": self.transport.close, "abort": self.transport.abort}}

    def on_message_complete(self) -> None:
        """Have all of it."""
        self._is_head = True
        self._expect(None)
        super().on_message_complete()

    # What is refused

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser did not take."""
        del msg
        self._refuse(self._why)

    def _refuse(self, why: Why) -> None:
        """Tell why, unless an answer is being sent, and end."""
        self._wire.tell(why)
        if not self._is_answering():
            said = _SAID[why]
            self.transport.write(_answer(Problem(said.status, said.type, said.detail)))
        self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return cycle is not None and cycle.response_started and not cycle.response_complete

    # What takes too long

    def _expect(self, seconds: float | None) -> None:
        """Await what is to come next for so long."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._is_head and not self._head_bytes:  # opened, and nothing was asked
            self.transport.close()
        else:
            self._refuse(Why.TOO_SLOW)

    def pause_writing(self) -> None:
        """Notice that the client takes less than it is sent."""
        super().pause_writing()
        if self._wire.stall_s:
            self._watch_stall()

    def resume_writing(self) -> None:
        """Notice that it has taken it."""
        self._end_stall()
        super().resume_writing()

    def _watch_stall(self) -> None:
        self._untaken_bytes = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self._wire.stall_s, self._on_stall)

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _on_stall(self) -> None:
        if self.transport.get_write_buffer_size() < self._untaken_bytes:
            self._watch_stall()
        else:
            self._stall = None
            self._wire.tell(Why.STALLED)
            self.transport.abort()


def _answer(problem: Problem) -> bytes:
    """Return a whole answer."""
    body = problem.response().body
    headers = (
        f"content-type: {problems.MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        *([f"retry-after: {RETRY_S}"] if problem.status == 503 else []),  # noqa: PLR2004 - of HTTP
        "connection: close",
    )
    return STATUS_LINE[problem.status] + "\r\n".join(headers).encode() + b"\r\n\r\n" + bytes(body)
