"""Amazon CloudWatch Logs as a sink.

Holds: a request for each call on its way (1 MiB as AWS counts, up to some 6 MiB of JSON). A call is as full as the
       limits of PutLogEvents allow: 1,048,576 bytes with 26 for each event, 10,000 events, 24 hours, in order of time.
Plan:  the core makes the body of each call; boto3 finds credentials, region and proxies, signs and sends it. Retries
       are the delivery's: those of the SDK differ from version to version, and give up. Group and stream are made where
       they are missing.
Order: by time, in ms, as CloudWatch sorts; to keep that order with several calls on their way, each call begins a
       millisecond later than the one before ended. An event's time is the one in its line, else when it came.
Loss:  what AWS rejects for good (older than 14 days or than the retention, more than 2 hours ahead) is counted.
Twice: a call whose answer did not come is sent again; the service knows no duplicates.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume import _core
from logflume.errors import SinkRefused, UsageError
from logflume.kinds import Seconds, Size, Text, Whole, YesNo
from logflume.settings import required, setting
from logflume.ship.requests import TAKEN, Receipt, Requests
from logflume.ship.sinks import SinkKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin

MAX_CALL_BYTES = 1_048_576
"""What PutLogEvents takes: the UTF-8 of all messages, and 26 bytes for each."""

MAX_EVENTS = 10_000
MAX_SPAN_NS = 24 * 3600 * 10**9 - 10**9
"""From the first event of a call to its last; a second less than a day."""

MAX_EVENT_BYTES = 256 * 1024 - 26
"""Of one message, as every region and tool takes it; a longer line goes on in further events."""

TIMEOUT_S = 30.0
"""For a connection, and for each read of an answer."""

_MS_NS = 1_000_000
_GROUP = r"[\.\-_/#A-Za-z0-9{}]{1,512}"
_STREAM = r"[^:*]{1,512}"
_MISSING, _THERE = "ResourceNotFoundException", "ResourceAlreadyExistsException"
_THROTTLES = {"ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


@dataclass(frozen=True, kw_only=True)
class CloudWatchOptions:
    """The options of this kind."""

    group: str = required(Text("the name of a log group", _GROUP), "The log group.")
    stream: str = setting(
        Text("the name of a log stream, without : and *", _STREAM),
        "{host}/{stream}",
        "The log stream; `{stream}` is the name of the captured file.",
    )
    region: str | None = setting(Text(), None, "The region; as the environment or profile says, if not given.")
    profile: str | None = setting(Text(), None, "The profile of the AWS configuration.")
    endpoint: str | None = setting(
        Text("an address such as https://logs.eu-west-1.amazonaws.com", r"https?://.+"), None, "Another address."
    )
    create: bool = setting(YesNo(), default=True, meaning="Make the group and the stream where they are missing.")
    retention_days: int | None = setting(
        Whole(1, 3653), None, "How long a group made here keeps events; as AWS allows: 1, 3, 5, 7, 14, 30, …"
    )
    in_flight: int = setting(Whole(1, 16), 4, "How many calls are on their way at once.")
    linger_s: float = setting(Seconds(0, 60), 1.0, "How long lines wait at most for a call to become full.")
    max_event_bytes: int = setting(Size(1024), MAX_EVENT_BYTES, "A longer line goes on in further events, marked.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


class CloudWatchSink(Requests):
    """See ``logflume.ship.requests.RequestSink``."""

    def __init__(self, options: CloudWatchOptions, origin: Origin) -> None:
        """Open nothing yet.

        Raises:
            UsageError: a retention that AWS does not know.
        """
        if options.retention_days is not None and options.retention_days not in _DAYS:
            raise UsageError(f"retention_days is one of {', '.join(map(str, _DAYS))}")
        self._options = options
        self._group, self._named = origin.fill(options.group), origin.fill(options.stream)
        self.name = origin.name or f"cloudwatch:{options.group}:{options.stream}"  # the same on another host
        self.in_flight = options.in_flight
        self.linger_s = options.linger_s
        self.max_bytes_per_s = options.max_bytes_per_s
        self._making = threading.Lock()
        self._client: Any = None
        self._ready: set[str] = set()
        self._body = threading.local()

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        group, name = (json.dumps(text) for text in (self._group, self._stream(stream)))
        opening = f'{{"logGroupName":{group},"logStreamName":{name},"logEvents":['
        return _core.Packer(
            "cloudwatch",
            max_events=MAX_EVENTS,
            max_bytes=MAX_CALL_BYTES,
            max_event_bytes=self._options.max_event_bytes,
            max_span_ns=MAX_SPAN_NS,
            request_step_ns=_MS_NS,
            opening=opening.encode(),
            closing=b"]}",
            reference_ns=time.time_ns(),
        )

    def _stream(self, stream: str) -> str:
        return self._named.replace("{stream}", stream).replace(":", "-").replace("*", "-")

    def send(self, request: Request) -> Receipt:
        """Put the events of a request.

        Raises:
            SinkRefused: AWS did not take them, or could not be asked.
        """
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        stream = self._stream(request.stream)
        try:
            client = self._connect()
            if stream not in self._ready and self._options.create:
                self._make(client, stream)
            answer = self._put(client, stream, request.payload)
        except ClientError as error:
            raise self._refusal(error, stream) from error
        except (BotoCoreError, OSError) as error:
            if isinstance(error, NoCredentialsError):
                self._client = None  # so that they are looked for again
            raise SinkRefused(self.name, _one_line(error)) from error
        return self._receipt(answer, request.events)

    def _connect(self) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
        with self._making:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self) -> Any:  # noqa: ANN401 - as above
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise SinkRefused(self.name, "boto3 is missing: pip install 'logflume[aws]'") from error
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            max_pool_connections=self.in_flight,
        )
        region = self._options.region or os.environ.get(
            "AWS_REGION"
        )  # which ECS and Lambda set, and boto3 does not read
        session = boto3.Session(profile_name=self._options.profile, region_name=region)
        client = session.client("logs", endpoint_url=self._options.endpoint, config=config)
        client.meta.events.register("before-call.cloudwatch-logs.PutLogEvents", self._give_body)
        return client

    def _give_body(self, params: dict[str, Any], **_: object) -> None:
        """Put in what the core made: boto3 would look at each event twice."""
        params["body"] = self._body.made

    def _put(self, client: Any, stream: str, payload: bytes) -> Mapping[str, Any]:  # noqa: ANN401 - as above
        self._body.made = payload
        try:
            answer: Mapping[str, Any] = client.put_log_events(
                logGroupName=self._group,
                logStreamName=stream,
                logEvents=[{"timestamp": 0, "message": "as the core made them"}],
            )
        finally:
            del self._body.made
        return answer

    def _make(self, client: Any, stream: str) -> None:  # noqa: ANN401 - as above
        """Make the stream, and the group, if they are not there."""
        names = {"logGroupName": self._group, "logStreamName": stream}
        with self._making:
            if stream in self._ready:
                return
            if _refused_as(client.create_log_stream, names) == _MISSING:
                self._make_group(client)
                _refused_as(client.create_log_stream, names)
            self._ready.add(stream)

    def _make_group(self, client: Any) -> None:  # noqa: ANN401 - as above
        group, days = self._group, self._options.retention_days
        if _refused_as(client.create_log_group, {"logGroupName": group}) is None and days is not None:
            client.put_retention_policy(logGroupName=group, retentionInDays=days)

    def _refusal(self, error: Any, stream: str) -> SinkRefused:  # noqa: ANN401 - as above
        code = _code_of(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == _MISSING:
            self._ready.discard(stream)  # somebody has deleted it
        if code in {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"}:
            self._client = None  # so that credentials are looked for again
        throttled = code in _THROTTLES or status == 429  # noqa: PLR2004 - too many requests
        return SinkRefused(self.name, _one_line(error), throttled=throttled)

    def _receipt(self, answer: Mapping[str, Any], events: int) -> Receipt:
        """Read what is never taken. Indexes are of the first event that is good again, or of the first that is not."""
        info = answer.get("rejectedLogEventsInfo")
        if not info:
            return TAKEN
        old = max(info.get("tooOldLogEventEndIndex", 0), info.get("expiredLogEventEndIndex", 0))
        new = events - info["tooNewLogEventStartIndex"] if "tooNewLogEventStartIndex" in info else 0
        told = {"older than AWS takes, or than the retention": old, "more than 2 hours ahead": new}
        return Receipt(old + new, "; ".join(f"{many} events {why}" for why, many in told.items() if many))

    def close(self) -> None:
        """Release connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _code_of(error: Any) -> str:  # noqa: ANN401 - boto3 is imported where it is used
    return str(error.response.get("Error", {}).get("Code", ""))


def _refused_as(call: Callable[..., object], names: Mapping[str, str]) -> str | None:
    """Make a call; return its code when what is made is there, or what it is made in is not.

    Codes are compared: the classes of a client's exceptions are made anew by each thread that is first to ask.
    """
    from botocore.exceptions import ClientError

    try:
        call(**names)
    except ClientError as error:
        code = _code_of(error)
        if code not in (_MISSING, _THERE):
            raise
        return code
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _words(words: str) -> Mapping[str, object] | None:
    _, _, rest = words.partition(":")
    group, _, stream = rest.partition(":")
    return {"group": group, **({"stream": stream} if stream else {})} if group else None


KIND = SinkKind(CloudWatchOptions, CloudWatchSink, _words)
