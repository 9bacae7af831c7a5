"""Posts to one web server, for the sinks that speak HTTP.

Holds: as many connections as there are posts at once, each opened again when it breaks; an answer of ANSWER_BYTES at
       most. A name that is shown has no password in it.
Plan:  ``Posts`` is what such sinks have in common: a request is a post, and what becomes of it stands in the answer.
Not here: retries; the delivery has them. A redirect is refused and told.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import ssl
import threading
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from logflume.errors import SinkRefused, UsageError
from logflume.ship.requests import TAKEN, Requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.kinds import Held
    from logflume.ship.requests import Receipt, Request

TIMEOUT_S = 30.0
"""For a connection, and for each read of an answer."""

ANSWER_BYTES = 4096
"""No more of an answer is read."""

_OK = range(200, 300)
_SHOWN_CHARACTERS = 200
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: status, its words, the beginning of the body, and when it wants to be asked again."""

    status: int
    words: str
    said: bytes
    retry_after_s: float | None

    @property
    def is_ok(self) -> bool:
        """Whether it is a 2xx."""
        return self.status in _OK

    def refusal(self, sink: str) -> SinkRefused:
        """Return it as an error."""
        detail = f"it answered {self.status} {self.words} {_sentence(self.said)[:_SHOWN_CHARACTERS]}".rstrip()
        return SinkRefused(sink, detail, retry_after_s=self.retry_after_s, throttled=self.status == _TOO_MANY)


class Web:
    """One address to post to; many threads may."""

    def __init__(self, url: str, headers: Mapping[str, str], *, path: str = "", token: Held | None = None) -> None:
        """Open nothing yet. A user and password in ``url`` become basic authentication, and are never shown.

        Args:
            url: where to.
            headers: of every post.
            path: what is asked for where the address has no path of its own.
            token: sent as ``Authorization: Bearer``; read for each post, for it may be another one by then.

        Raises:
            UsageError: it is no address.
        """
        parts = urllib.parse.urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"this is no address of a sink: {error}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError("the address of a sink is http://HOST/PATH or https://HOST/PATH")
        where = f"[{host}]" if ":" in host else host
        shown = where if port is None else f"{where}:{port}"
        own_path = parts.path if parts.path not in ("", "/") or not path else path
        self.shown = f"{parts.scheme}://{shown}{own_path}"
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port
        self._target = (own_path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"User-Agent": "logflume", **headers}
        self._token = token
        if parts.username is not None:
            secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        self._free: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def post(self, sink: str, payload: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body; return what was answered, whatever it is.

        Raises:
            SinkRefused: there was no whole answer.
        """
        signed = self._signed(sink)
        connection = self._take()
        try:
            connection.request("POST", self._target, payload, {**self._headers, **signed, **headers})
            answer = connection.getresponse()
            promised = min(answer.length or 0, ANSWER_BYTES)
            said = answer.read(ANSWER_BYTES)
            if len(said) < promised:
                raise http.client.IncompleteRead(said, promised - len(said))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SinkRefused(sink, str(error) or type(error).__name__) from error
        if answer.isclosed():
            with self._lock:
                self._free.append(connection)
        else:  # there is more than we read
            connection.close()
        return Answer(answer.status, answer.reason, said, _seconds(answer.headers.get("Retry-After")))

    def _signed(self, sink: str) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token.read()}"}
        except ValueError as error:
            raise SinkRefused(sink, f"its token is not there: expected {error}") from None

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._free:
                return self._free.pop()
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)

    def close(self) -> None:
        """Release connections."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()


def _sentence(said: bytes) -> str:
    """Return what the body of a refusal says for people: the detail of a problem (RFC 9457), else its first line."""
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and isinstance(told.get("detail"), str):
        return " ".join(told["detail"].split())
    return said.decode("utf-8", "replace").partition("\n")[0]


class PostOptions(Protocol):
    """What the options of such sinks have in common."""

    @property
    def compress(self) -> str:
        """``gzip`` or ``none``."""
        ...

    @property
    def in_flight(self) -> int:
        """See RequestSink."""
        ...

    @property
    def linger_s(self) -> float:
        """See RequestSink."""
        ...

    @property
    def max_bytes_per_s(self) -> int | None:
        """See RequestSink."""
        ...


class Posts(Requests):
    """A sink whose requests are posts to one address."""

    def __init__(self, name: str, web: Web, options: PostOptions) -> None:
        """Open nothing yet."""
        self.name = name
        self.in_flight, self.linger_s = options.in_flight, options.linger_s
        self.max_bytes_per_s = options.max_bytes_per_s
        self._web, self._compress = web, options.compress

    def send(self, request: Request) -> Receipt:
        """Post it.

        Raises:
            SinkRefused: no answer, or one that says that it may be posted again.
        """
        body, encoding = squeezed(request.payload, self._compress)
        answer = self._web.post(self.name, body, encoding)
        receipt = self.receipt(request, answer)
        if receipt is None:
            raise answer.refusal(self.name)
        return receipt

    def receipt(self, request: Request, answer: Answer) -> Receipt | None:
        """Return what an answer says of a request; None: that it may be posted again."""
        del request
        return TAKEN if answer.is_ok else None

    def close(self) -> None:
        """Release connections."""
        self._web.close()


def squeezed(payload: bytes, compress: str) -> tuple[bytes, dict[str, str]]:
    """Return a body as ``compress`` wants it, and the header that says so."""
    if compress != "gzip":
        return payload, {}
    return gzip.compress(payload, 1, mtime=0), {"Content-Encoding": "gzip"}


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After in seconds; None for a date, or for what is neither."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
