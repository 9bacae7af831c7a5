"""OpenTelemetry as a sink: log records by OTLP over HTTP, in its JSON form.

Holds: the requests on their way, and the connections of ``web``. Accepted is a 2xx.
Order: as written; each record has the time of its line and when it was observed. Level is severity.
Loss:  records that the collector says it will never take (partial success, 400) are counted.
Twice: a request whose answer did not come is sent again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume import _core
from logflume.kinds import OneOf, Pairs, Seconds, Size, Text, Whole
from logflume.settings import required, setting
from logflume.ship.requests import TAKEN, Receipt
from logflume.ship.sinks import SinkKind
from logflume.ship.sinks.web import Posts, Web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin
    from logflume.ship.sinks.web import Answer

LOGS = "/v1/logs"
BATCH_BYTES = 1024 * 1024
MAX_EVENTS = 10_000
MAX_EVENT_BYTES = 256 * 1024

_BAD_REQUEST = 400


@dataclass(frozen=True, kw_only=True)
class OtlpOptions:
    """The options of this kind."""

    url: str = required(Text("an address: http://HOST:4318 or https://HOST", r"https?://.+"), "Where the collector is.")
    attributes: Mapping[str, str] | None = setting(
        Pairs(), None, 'Of the resource; `{"service.name" = "logflume", "host.name" = "{host}"}` if not given.'
    )
    headers: Mapping[str, str] | None = setting(Pairs(), None, "Further headers, such as an API key.")
    compress: str = setting(OneOf(("none", "gzip")), "gzip", "Whether bodies are compressed.")
    batch_bytes: int = setting(Size(1024), BATCH_BYTES, "A request of that size is full.")
    max_event_bytes: int = setting(Size(1024), MAX_EVENT_BYTES, "A longer line goes on in further records, marked.")
    linger_s: float = setting(Seconds(0, 60), 1.0, "How long lines wait at most for a request to become full.")
    in_flight: int = setting(Whole(1, 16), 1, "How many requests are on their way at once; beyond 1 order may be lost.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


class OtlpSink(Posts):
    """See ``logflume.ship.requests.RequestSink``."""

    def __init__(self, options: OtlpOptions, origin: Origin) -> None:
        """Open nothing yet.

        Raises:
            UsageError: it is no address.
        """
        web = Web(options.url, {"Content-Type": "application/json", **(options.headers or {})}, path=LOGS)
        super().__init__(origin.name or f"otlp:{web.shown}", web, options)
        self._options = options
        attributes = options.attributes or {"service.name": "logflume", "host.name": "{host}"}
        self._attributes = {name: origin.fill(text) for name, text in attributes.items()}

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        known = {**self._attributes, "log.file.name": stream}
        resource = {"attributes": [_attribute(name, text) for name, text in known.items()]}
        opening = f'{{"resourceLogs":[{{"resource":{json.dumps(resource)},"scopeLogs":[{{"scope":{{"name":"logflume"}},'
        return _core.Packer(
            "otlp",
            max_events=MAX_EVENTS,
            max_bytes=self._options.batch_bytes,
            max_event_bytes=self._options.max_event_bytes,
            opening=(opening + '"logRecords":[').encode(),
            closing=b"]}]}]}",
            reference_ns=time.time_ns(),
        )

    def receipt(self, request: Request, answer: Answer) -> Receipt | None:
        """Return what an answer says: what is taken, never to be taken, or None."""
        if answer.is_ok:
            return _receipt(answer.said)
        if answer.status == _BAD_REQUEST:  # by OTLP's own rules it must not be sent again
            return Receipt(request.events, answer.refusal(self.name).detail)
        return None


def _attribute(name: str, text: str) -> dict[str, object]:
    return {"key": name, "value": {"stringValue": text}}


def _receipt(said: bytes) -> Receipt:
    try:
        partial = json.loads(said or b"{}").get("partialSuccess") or {}
        rejected = max(0, int(partial.get("rejectedLogRecords", 0)))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return TAKEN
    return Receipt(rejected, str(partial.get("errorMessage", ""))[:200]) if rejected else TAKEN


def _words(words: str) -> Mapping[str, object] | None:
    url = words.partition(":")[2]
    return {"url": url} if url.startswith(("http://", "https://")) else None


KIND = SinkKind(OtlpOptions, OtlpSink, _words)
