"""What became of each request: an ASGI middleware that watches and touches nothing but one header.

Holds: blocks pass as they are, at once. Each request is told exactly once, when it has ended, however it ended. What
       is told is bounded and holds no value of a query, no header that signs in, and no body.
Plan:  ``Observed`` counts while the answer passes, and hands an ``Answered`` to whoever wants to know: the access log,
       the metrics. Every answer has an ``X-Request-ID``: the one it came with, when that is harmless, or a new one.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PATH_CHARS = 1024
MAX_QUERY_NAMES = 20
MAX_NAME_CHARS = 32
MAX_AGENT_CHARS = 200

NO_ROUTE = "none"
"""Stands for the route of a request that none was found for: paths that somebody makes up are no labels."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Answered:
    """One request and what became of it.

    Attributes:
        time_ns: when it came.
        request_id: its ``X-Request-ID``.
        method: of HTTP; ``OTHER`` when it is an unusual one.
        route: the template of its route, such as ``/api/v1/logs/{log_id}/rows``, as the route itself was declared
            (without the prefix of a router that was included with one); ``none``: no route.
        path: as it was asked for, cut at MAX_PATH_CHARS; may hold any character.
        query: the names of its parameters, no values.
        status: of the answer; 0: none was begun.
        sent_bytes: of bodies, as they were handed to the server's socket.
        duration_s: from its coming to its end.
        first_byte_s: from its coming to the first byte of the answer's body; None: there was none.
        caller: the name of who asked; None: nobody was told apart.
        client: their address.
        agent: their program, as it calls itself.
        end: ``done``; ``cut``: the client went away or was stopped; ``failed``: the application raised.
    """

    time_ns: int
    request_id: str
    method: str
    route: str
    path: str
    query: tuple[str, ...]
    status: int
    sent_bytes: int
    duration_s: float
    first_byte_s: float | None
    caller: str | None
    client: str
    agent: str
    end: str


class Observed:
    """Watches an application; ``tell`` is called in the event loop, and must be quick."""

    def __init__(self, app: ASGIApp, *, tell: Sequence[Callable[[Answered], None]]) -> None:
        self._app = app
        self._tell = tuple(tell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        seen = _Seen(scope, receive, send)
        try:
            await self._app(scope, seen.receive, seen.send)
        except Exception:
            seen.end = "cut" if seen.is_gone else "failed"
            raise
        except BaseException:  # cancelled: the server stops, or the client went away
            seen.end = "cut"
            raise
        finally:
            answered = seen.answered()
            for tell in self._tell:
                tell(answered)


class _Seen:
    """One request as it passes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._time_ns = time.time_ns()
        self._begun_s = time.perf_counter()
        self._first_byte_s: float | None = None
        self._status = 0
        self._sent_bytes = 0
        self._complete = False
        self.is_gone = False
        given = _header(scope, b"x-request-id")
        self._request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8).encode()
        scope["state"]["request_id"] = self._request_id.decode()
        self.end = "done"

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._complete:
            self.is_gone = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self._request_id)]}
        try:
            await self._send(message)
        except OSError:  # as ASGI 2.4 has it: the client has gone
            self.is_gone = True
            raise
        if message["type"] == "http.response.body":
            self._count(len(message.get("body", b"")), more=message.get("more_body", False))

    def _count(self, n_bytes: int, *, more: bool) -> None:
        if n_bytes and self._first_byte_s is None:
            self._first_byte_s = time.perf_counter() - self._begun_s
        self._sent_bytes += n_bytes
        self._complete = not more

    def answered(self) -> Answered:
        scope = self._scope
        method = scope["method"]
        caller = scope["state"].get("caller")
        end = "cut" if self.end == "done" and (self.is_gone or not self._complete) else self.end
        return Answered(
            time_ns=self._time_ns,
            request_id=self._request_id.decode(),
            method=method if method in _METHODS else "OTHER",
            route=_route(scope),
            path=scope["path"][:MAX_PATH_CHARS],
            query=_query_names(scope.get("query_string", b"")),
            status=self._status,
            sent_bytes=self._sent_bytes,
            duration_s=time.perf_counter() - self._begun_s,
            first_byte_s=self._first_byte_s,
            caller=None if caller is None else caller.name,
            client=str((scope.get("client") or ("",))[0]),
            agent=_header(scope, b"user-agent")[:MAX_AGENT_CHARS].decode("latin-1"),
            end=end,
        )


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or NO_ROUTE


def _query_names(query: bytes) -> tuple[str, ...]:
    """Name the parameters; what has no value is itself perhaps one that was pasted there, and is not named."""
    head = query[: 64 * MAX_NAME_CHARS * MAX_QUERY_NAMES]
    try:
        pairs = parse_qsl(head.decode("latin-1"), keep_blank_values=False, max_num_fields=None)
    except ValueError:
        return ()
    names = dict.fromkeys(name for name, _ in pairs if len(name) <= MAX_NAME_CHARS)
    return tuple(names)[:MAX_QUERY_NAMES]
