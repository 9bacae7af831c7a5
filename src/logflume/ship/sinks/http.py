"""A web address as a sink: each block is one POST of NDJSON, or of the lines as they are.

Holds: one connection, opened again when it breaks; an answer of ANSWER_BYTES at most. Accepted is a 2xx.
Order: as written. Loss: none. Twice: a block whose answer did not come is sent again, with the same
       ``Idempotency-Key``, a digest of it. Memory: the block, and it again as NDJSON.
Not here: retries; the delivery has them. A redirect is refused and told.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import http.client
import ssl
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import SinkRefused, UsageError
from logflume.kinds import OneOf, Pairs, Secret, Text
from logflume.merge import How
from logflume.records import Output
from logflume.settings import required, setting
from logflume.ship.sinks import SinkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.sinks import Origin

TIMEOUT_S = 30.0
"""For a connection, and for each read of an answer."""

ANSWER_BYTES = 4096
"""No more of an answer is read."""

_OK = range(200, 300)


class Body(enum.Enum):
    """What is sent: ``NDJSON``, one object a line, always; or ``LINES``, as they were written."""

    NDJSON = "application/x-ndjson"
    LINES = "text/plain; charset=utf-8"


class HttpSink:
    """See ``logflume.abc.Sink``."""

    def __init__(
        self,
        url: str,
        *,
        body: Body = Body.NDJSON,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        """Open nothing yet. A user and password in ``url`` become basic authentication, and are never shown.

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
        self.name = name or f"{parts.scheme}://{shown}{parts.path}"
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._body = body
        self._headers = {"Content-Type": body.value, "User-Agent": "logflume", **(headers or {})}
        if parts.username is not None:
            secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        self._connection: http.client.HTTPConnection | None = None

    def write(self, block: bytes) -> None:
        """Send a block.

        Raises:
            SinkRefused: no answer, or another one than 2xx.
        """
        payload = as_ndjson(block) if self._body is Body.NDJSON else block
        key = hashlib.blake2b(block, digest_size=16).hexdigest()
        try:
            answer = self._post(payload, key)
            said = answer.read(ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SinkRefused(self.name, str(error) or type(error).__name__) from error
        if not answer.isclosed():  # there is more than we read
            self.close()
        if answer.status not in _OK:
            first = said.decode("utf-8", "replace").partition("\n")[0][:200]
            detail = f"it answered {answer.status} {answer.reason} {first}".rstrip()
            raise SinkRefused(self.name, detail, retry_after_s=_seconds(answer.headers.get("Retry-After")))

    def _post(self, payload: bytes, key: str) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._target, payload, {**self._headers, "Idempotency-Key": key})
        return self._connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def as_ndjson(block: bytes) -> bytes:
    """Return the lines of a block as one valid JSON object each; records stay in their order."""
    merger = How(output=Output.NDJSON).merger(1)
    pieces = []
    merger.feed(0, block)
    merger.finish(0)
    while piece := merger.take(len(block) + ANSWER_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After in seconds; None for a date, or for what is neither."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """The options of this kind."""

    url: str = required(Text("an address: http://HOST/PATH or https://HOST/PATH", r"https?://.+"), "Where to.")
    body: str = setting(
        OneOf(("ndjson", "lines")), "ndjson", "What is sent: each line as an object of JSON, or as it was written."
    )
    headers: Mapping[str, str] | None = setting(Pairs(), None, "Further headers.")
    token: str | None = setting(Secret(), None, "Sent as `Authorization: Bearer …`.")


def _make(options: HttpOptions, origin: Origin) -> HttpSink:
    signed = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    body = Body.NDJSON if options.body == "ndjson" else Body.LINES
    return HttpSink(options.url, body=body, headers={**(options.headers or {}), **signed}, name=origin.name)


def _words(words: str) -> Mapping[str, object]:
    return {"url": words}


KIND = SinkKind(HttpOptions, _make, _words)
