"""A web address as a sink: each request is one POST of NDJSON, or of the lines as they are.

Holds: the requests on their way, and the connections of ``web``. Accepted is a 2xx.
Order: as written; with more than one in flight, as the server takes them. Loss: none.
Twice: a request whose answer did not come is sent again, with the same ``Idempotency-Key``, a digest of it.
"""

from __future__ import annotations

import enum
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume import _core
from logflume.kinds import OneOf, Pairs, Seconds, Secret, Size, Text, Whole
from logflume.settings import required, setting
from logflume.ship.requests import TAKEN, Blocks, Receipt, Requests
from logflume.ship.sinks import SinkKind
from logflume.ship.sinks.web import Web, squeezed

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    ) -> None:
        """Open nothing yet. A user and password in ``url`` become basic authentication, and are never shown.

        Raises:
            UsageError: it is no address.
        """
        self._web = Web(url, {"Content-Type": body.value, **(headers or {})})
        self.name = name or self._web.shown
        self._body, self._compress = body, compress
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
        key = hashlib.blake2b(request.payload, digest_size=16).hexdigest()
        body, encoding = squeezed(request.payload, self._compress)
        answer = self._web.post(self.name, body, {"Idempotency-Key": key, **encoding})
        if not answer.is_ok:
            raise answer.refusal(self.name)
        return TAKEN

    def close(self) -> None:
        """Release connections."""
        self._web.close()


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """The options of this kind."""

    url: str = required(Text("an address: http://HOST/PATH or https://HOST/PATH", r"https?://.+"), "Where to.")
    body: str = setting(
        OneOf(("ndjson", "lines")), "ndjson", "What is sent: each line as an object of JSON, or as it was written."
    )
    headers: Mapping[str, str] | None = setting(Pairs(), None, "Further headers.")
    token: str | None = setting(Secret(), None, "Sent as `Authorization: Bearer …`.")
    compress: str = setting(OneOf(("none", "gzip")), "none", "Whether bodies are compressed.")
    batch_bytes: int = setting(Size(1024), BATCH_BYTES, "A request of that size is full.")
    linger_s: float = setting(Seconds(0, 60), 1.0, "How long lines wait at most for a request to become full.")
    in_flight: int = setting(Whole(1, 16), 1, "How many requests are on their way at once; beyond 1 order may be lost.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


def _make(options: HttpOptions, origin: Origin) -> HttpSink:
    signed = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    sink = HttpSink(
        options.url,
        body=Body.NDJSON if options.body == "ndjson" else Body.LINES,
        headers={**(options.headers or {}), **signed},
        name=origin.name,
        compress=options.compress,
    )
    sink.batch_bytes, sink.linger_s = options.batch_bytes, options.linger_s
    sink.in_flight, sink.max_bytes_per_s = options.in_flight, options.max_bytes_per_s
    return sink


def _words(words: str) -> Mapping[str, object]:
    return {"url": words}


KIND = SinkKind(HttpOptions, _make, _words)
