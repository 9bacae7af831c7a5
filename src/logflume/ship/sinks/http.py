"""A web address as a sink: each request is one POST of NDJSON, or of the lines as they are.

Holds: the requests on their way, and the connections of ``web``. Accepted is a 2xx.
Order: as written; with more than one in flight, as the server takes them. Loss: none.
Twice: a request whose answer did not come is sent again, with the same ``Idempotency-Key``: a digest of it and of its
       place in the captured stream, so that equal lines of another place have another one.
"""

from __future__ import annotations

import enum
import hashlib
import os
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume import _core
from logflume.kinds import Held, HeldSecret, OneOf, Pairs, Seconds, Size, Text, Whole
from logflume.settings import required, setting
from logflume.ship.requests import TAKEN, Blocks, Receipt, Requests
from logflume.ship.run import run_of
from logflume.ship.sinks import SinkKind
from logflume.ship.sinks.web import Web, squeezed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin

BATCH_BYTES = 1024 * 1024
"""A request of that size is full."""

_MAX_LINE_BYTES = 8 * 1024 * 1024


class Body(enum.Enum):
    """What is sent: ``NDJSON``, one object a line, always; or ``LINES``, as they were written."""

    NDJSON = "application/x-ndjson"
    LINES = "text/plain; charset=utf-8"


class HttpSink(Requests):
    """See ``logflume.ship.requests.RequestSink``."""

    def __init__(
        self,
        url: str,
        *,
        body: Body = Body.NDJSON,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        compress: str = "none",
        folder: Path | None = None,
        token: Held | None = None,
    ) -> None:
        """Open nothing yet. A user and password in ``url`` become basic authentication, and are never shown.

        Args:
            url: where to; ``{stream}`` in it is the name of the captured file.
            body: what is sent.
            headers: further ones.
            name: what it is called; its address if None.
            compress: ``gzip`` or ``none``.
            folder: what is captured lies there.
            token: sent as ``Authorization: Bearer``; read for each request.

        Raises:
            UsageError: it is no address.
        """
        self._url, self._headers, self._token = url, {"Content-Type": body.value, **(headers or {})}, token
        self._webs: dict[str, Web] = {}
        self.name = name or Web(url, {}).shown
        self._body, self._compress, self._folder = body, compress, folder
        self._begun = os.urandom(8).hex()
        self._lock = threading.Lock()
        self.batch_bytes = BATCH_BYTES

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        del stream
        if self._body is Body.LINES:
            return Blocks(self.batch_bytes)
        return _core.Packer(
            "ndjson",
            max_events=self.batch_bytes,
            max_bytes=self.batch_bytes,
            max_event_bytes=_MAX_LINE_BYTES,
            reference_ns=time.time_ns(),
        )

    def send(self, request: Request) -> Receipt:
        """Post it.

        Raises:
            SinkRefused: no answer, or another one than 2xx.
        """
        body, encoding = squeezed(request.payload, self._compress)
        web = self._web_of(request.stream)
        answer = web.post(self.name, body, {"Idempotency-Key": self._key_of(request), **encoding})
        if not answer.is_ok:
            raise answer.refusal(self.name)
        return TAKEN

    def _web_of(self, stream: str) -> Web:
        """Return where a stream is posted to; most have one place."""
        url = self._url.replace("{stream}", urllib.parse.quote(stream))
        with self._lock:
            if url not in self._webs:
                self._webs[url] = Web(url, self._headers, token=self._token)
            return self._webs[url]

    def _key_of(self, request: Request) -> str:
        """Return what a request is known by, now and when it is sent again."""
        if request.end is None or self._folder is None:  # nobody counts this stream but we, since we began
            place = f"{self._begun} {request.packed_end}"
        else:
            place = f"{run_of(self._folder)} {request.start} {request.end}"
        about = f"{place}\n{request.stream}\n".encode()
        return hashlib.blake2b(about + request.payload, digest_size=16).hexdigest()

    def close(self) -> None:
        """Release connections."""
        for web in self._webs.values():
            web.close()


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """The options of this kind."""

    url: str = required(
        Text("an address: http://HOST/PATH or https://HOST/PATH", r"https?://.+"),
        "Where to; `{stream}` in it is the name of the captured file.",
    )
    body: str = setting(
        OneOf(("ndjson", "lines")), "ndjson", "What is sent: each line as an object of JSON, or as it was written."
    )
    headers: Mapping[str, str] | None = setting(Pairs(), None, "Further headers.")
    token: Held | None = setting(HeldSecret(), None, "Sent as `Authorization: Bearer …`.")
    compress: str = setting(OneOf(("none", "gzip")), "none", "Whether bodies are compressed.")
    batch_bytes: int = setting(Size(1024), BATCH_BYTES, "A request of that size is full.")
    linger_s: float = setting(Seconds(0, 60), 1.0, "How long lines wait at most for a request to become full.")
    in_flight: int = setting(Whole(1, 16), 1, "How many requests are on their way at once; beyond 1 order may be lost.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


def _make(options: HttpOptions, origin: Origin) -> HttpSink:
    sink = HttpSink(
        origin.fill(options.url),
        body=Body.NDJSON if options.body == "ndjson" else Body.LINES,
        headers=options.headers,
        name=origin.name,
        compress=options.compress,
        folder=origin.folder,
        token=options.token,
    )
    sink.batch_bytes, sink.linger_s = options.batch_bytes, options.linger_s
    sink.in_flight, sink.max_bytes_per_s = options.in_flight, options.max_bytes_per_s
    return sink


def _words(words: str) -> Mapping[str, object]:
    return {"url": words}


KIND = SinkKind(HttpOptions, _make, _words)
