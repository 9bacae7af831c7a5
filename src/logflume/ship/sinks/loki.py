"""Grafana Loki's push API as a sink.

Holds: the requests on their way, and the connections of ``web``. Accepted is a 2xx.
Order: as written: each line has a time of its own, a nanosecond behind the one before at least, because Loki takes two
       equal lines of one time for one.
Loss:  lines that Loki says it will never take (too old, too long) are counted.
Twice: a request whose answer did not come is sent again; lines with a time of their own come out once, for Loki knows
       a line and its time again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume import _core
from logflume.kinds import Held, HeldSecret, OneOf, Pairs, Seconds, Size, Text, Whole
from logflume.settings import required, setting
from logflume.ship.requests import Receipt
from logflume.ship.sinks import SinkKind
from logflume.ship.sinks.web import Posts, Web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin
    from logflume.ship.sinks.web import Answer

PUSH = "/loki/api/v1/push"
BATCH_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 256 * 1024
"""Of one line, as Loki's ``max_line_size`` is by default; a longer one goes on in further lines."""

_BAD_REQUEST = 400
_NEVER = (b"too far behind", b"too old", b"too new", b"greater than max line", b"Max entry size", b"max-line-size")


@dataclass(frozen=True, kw_only=True)
class LokiOptions:
    """The options of this kind."""

    url: str = required(Text("an address: http://HOST:3100 or https://HOST", r"https?://.+"), "Where Loki is.")
    labels: Mapping[str, str] | None = setting(
        Pairs(), None, 'Labels of every line; `{job = "logflume", host = "{host}", stream = "{stream}"}` if not given.'
    )
    tenant: str | None = setting(Text(), None, "Sent as `X-Scope-OrgID`.")
    token: Held | None = setting(HeldSecret(), None, "Sent as `Authorization: Bearer …`.")
    compress: str = setting(OneOf(("none", "gzip")), "none", "Whether bodies are compressed.")
    batch_bytes: int = setting(Size(1024), BATCH_BYTES, "A request of that size is full.")
    max_event_bytes: int = setting(Size(1024), MAX_EVENT_BYTES, "A longer line goes on in further ones, marked.")
    linger_s: float = setting(Seconds(0, 60), 1.0, "How long lines wait at most for a request to become full.")
    in_flight: int = setting(Whole(1, 16), 1, "How many requests are on their way at once.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


class LokiSink(Posts):
    """See ``logflume.ship.requests.RequestSink``."""

    def __init__(self, options: LokiOptions, origin: Origin) -> None:
        """Open nothing yet.

        Raises:
            UsageError: it is no address.
        """
        headers = {"Content-Type": "application/json"}
        if options.tenant:
            headers["X-Scope-OrgID"] = options.tenant
        web = Web(options.url, headers, path=PUSH, token=options.token)
        super().__init__(origin.name or f"loki:{web.shown}", web, options)
        self._options = options
        labels = options.labels or {"job": "logflume", "host": "{host}", "stream": "{stream}"}
        self._labels = {name: origin.fill(text) for name, text in labels.items()}

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        labels = json.dumps({name: text.replace("{stream}", stream) for name, text in self._labels.items()})
        return _core.Packer(
            "loki",
            max_events=self._options.batch_bytes,
            max_bytes=self._options.batch_bytes,
            max_event_bytes=self._options.max_event_bytes,
            event_step_ns=1,
            opening=f'{{"streams":[{{"stream":{labels},"values":['.encode(),
            closing=b"]}]}",
            reference_ns=time.time_ns(),
        )

    def receipt(self, request: Request, answer: Answer) -> Receipt | None:
        """Return what an answer says: taken, never to be taken, or None."""
        if answer.status == _BAD_REQUEST and any(words in answer.said for words in _NEVER):
            return Receipt(request.events, answer.said.decode("utf-8", "replace").partition("\n")[0][:200])
        return super().receipt(request, answer)


def _words(words: str) -> Mapping[str, object] | None:
    url = words.partition(":")[2]
    return {"url": url} if url.startswith(("http://", "https://")) else None


KIND = SinkKind(LokiOptions, LokiSink, _words)
