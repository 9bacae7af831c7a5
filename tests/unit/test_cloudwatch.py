from __future__ import annotations

import contextlib
import json
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from logflume.errors import SinkRefused, UsageError
from logflume.ship.requests import request_of
from logflume.ship.shipper import ship
from logflume.ship.sinks import sink_of
from logflume.ship.sinks.cloudwatch import MAX_CALL_BYTES, MAX_EVENTS, CloudWatchSink
from tests.web import Answer, Asked, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.web import Service

DAY_MS = 24 * 3600 * 1000


class Logs:
    """A CloudWatch Logs: keeps the limits, and fails as it is told."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.groups: set[str] = set()
        self.calls: list[list[dict[str, Any]]] = []
        self.others: list[tuple[str, dict[str, Any]]] = []
        self.next_answers: list[Answer] = []
        self.dice: random.Random | None = None
        self.meeting: threading.Barrier | None = None
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        action, body = asked.headers["X-Amz-Target"].partition(".")[2], json.loads(asked.body)
        return self._answer(action, body)

    def _answer(self, action: str, body: dict[str, Any]) -> Answer:
        with self._lock:
            if action != "PutLogEvents":
                self.others.append((action, body))
                return self._make(action, body)
            if self.next_answers:
                return self.next_answers.pop(0)
        if self.meeting is not None:
            self.meeting.wait(60)
        whole = self.dice is None or self.dice.random() < 0.5
        lost = self.dice is not None and self.dice.random() < 0.3
        if not whole and not lost:
            return throttled() if self.dice and self.dice.random() < 0.5 else Answer(500, b"<html>sorry</html>")
        with self._lock:
            stream = self.streams.get((body["logGroupName"], body["logStreamName"]))
            if stream is None:
                return refusal("ResourceNotFoundException")
            check(body["logEvents"])
            self.calls.append(body["logEvents"])
            stream += body["logEvents"]
        return Answer(200, b'{"nextSequenceToken": "7"}', cut=5 if lost else None)

    def _make(self, action: str, body: dict[str, Any]) -> Answer:
        group, stream = body["logGroupName"], body.get("logStreamName", "")
        if action == "CreateLogGroup":
            self.groups.add(group)
        elif action == "CreateLogStream":
            if group not in self.groups:
                return refusal("ResourceNotFoundException")
            if (group, stream) in self.streams:
                return refusal("ResourceAlreadyExistsException")
            self.streams[group, stream] = []
        return Answer()

    def events(self, group: str = "g", stream: str = "s") -> list[str]:
        """Return all messages in the order in which CloudWatch shows them."""
        return [event["message"] for event in sorted(self.streams[group, stream], key=lambda event: event["timestamp"])]


def refusal(kind: str, status: int = 400) -> Answer:
    """Return an error as AWS words it."""
    return Answer(status, json.dumps({"__type": kind, "message": f"this is {kind}"}).encode())


def throttled() -> Answer:
    """Return what AWS says to those who ask too much."""
    return refusal("ThrottlingException")


def check(events: list[dict[str, Any]]) -> None:
    """Keep the limits of PutLogEvents."""
    times = [event["timestamp"] for event in events]
    assert 0 < len(events) <= MAX_EVENTS
    assert sum(len(event["message"].encode()) + 26 for event in events) <= MAX_CALL_BYTES
    assert times == sorted(times)
    assert times[-1] - times[0] <= DAY_MS
    assert all(event["message"] for event in events)


@pytest.fixture
def logs() -> Logs:
    """Give an empty service."""
    return Logs()


@pytest.fixture
def service(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Run it, and lead boto3 there."""
    with serving(logs.answer) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        yield service


def sink(tmp_path: Path) -> CloudWatchSink:
    """Return the sink of group ``g`` and stream ``s``."""
    made = sink_of("cloudwatch:g:s", beside=tmp_path)
    assert isinstance(made, CloudWatchSink)
    return made


def lines(count: int) -> bytes:
    """Return numbered lines of 100 bytes."""
    return b"".join(b"%099d\n" % number for number in range(count))


@pytest.mark.usefixtures("service")
def test_calls_are_as_few_as_can_be_and_in_order(tmp_path: Path, logs: Logs) -> None:
    """30,000 lines of 100 bytes are 4 calls, each full but for the last; all arrive in their order."""
    (tmp_path / "out.log").write_bytes(lines(30_000))
    (progress,) = ship(tmp_path, [sink(tmp_path)])
    assert progress.done
    assert logs.events() == lines(30_000).decode().splitlines()
    assert sorted(map(len, logs.calls)) == [30_000 - 3 * (MAX_CALL_BYTES // 125), *[MAX_CALL_BYTES // 125] * 3]
    assert (progress.events, progress.batches, progress.refusals) == (30_000, 4, 0)


@pytest.mark.usefixtures("service")
def test_every_kind_of_failure_loses_nothing(tmp_path: Path, logs: Logs) -> None:
    """Throttled, failing, and cut off in half of all answers, it delivers each line at least once, in order."""
    written = lines(60_000)
    (tmp_path / "out.log").write_bytes(written)
    logs.dice = random.Random(5)
    (progress,) = ship(tmp_path, [sink(tmp_path)])
    assert progress.done
    assert progress.refusals > 0
    events = logs.events()
    assert list(dict.fromkeys(events)) == written.decode().splitlines()
    again = Counter(call[0]["message"] for call in logs.calls)
    sizes = {call[0]["message"]: len(call) for call in logs.calls}
    assert len(events) - 60_000 == sum((times - 1) * sizes[first] for first, times in again.items())


@pytest.mark.usefixtures("service")
def test_several_calls_are_on_their_way(tmp_path: Path, logs: Logs) -> None:
    """Two calls of one stream meet at the service; its events are in order all the same."""
    (tmp_path / "out.log").write_bytes(lines(30_000))
    logs.meeting = threading.Barrier(2)
    assert ship(tmp_path, [sink(tmp_path)])[0].done
    assert logs.events() == lines(30_000).decode().splitlines()


@pytest.mark.usefixtures("service")
def test_times_of_lines_are_kept(tmp_path: Path, logs: Logs) -> None:
    """An event has the time of its line; one without has that of the line before, at least."""
    text = b"2024-11-20T12:34:56.789Z first\n  its second line\n2024-11-20T12:34:55Z late\n2024-11-22T00:00:00Z far\n"
    (tmp_path / "out.log").write_bytes(text)
    ship(tmp_path, [sink(tmp_path)])
    events = sorted((event for call in logs.calls for event in call), key=lambda event: event["timestamp"])
    assert events[0] == {"timestamp": 1732106096789, "message": "2024-11-20T12:34:56.789Z first"}
    assert len(logs.calls) >= 2, "a call spans a day at most"


@pytest.mark.usefixtures("service")
def test_a_line_that_is_too_long_goes_on_in_marked_events(tmp_path: Path, logs: Logs) -> None:
    """Nothing of a line of 3 MB is cut off; each event fits."""
    written = "".join(f"{number:07d}é" for number in range(350_000))
    (tmp_path / "out.log").write_bytes(written.encode() + b"\nnext\n")
    (progress,) = ship(tmp_path, [sink(tmp_path)])
    mark = "[logflume: the line goes on]"
    *parts, last = logs.events()
    assert last == "next"
    assert "".join(part.removeprefix(mark + " ").removesuffix(" " + mark) for part in parts) == written
    assert max(len(part.encode()) for part in parts) <= 256 * 1024 - 26
    assert progress.parts == len(parts)


@pytest.mark.usefixtures("service")
def test_what_is_never_taken_is_counted_and_told(tmp_path: Path, logs: Logs) -> None:
    """Events that AWS rejects are not sent again; how many, and why, stands in the progress."""
    (tmp_path / "out.log").write_bytes(lines(100))
    info = {"tooOldLogEventEndIndex": 10, "expiredLogEventEndIndex": 20, "tooNewLogEventStartIndex": 95}
    logs.next_answers = [Answer(200, json.dumps({"rejectedLogEventsInfo": info}).encode())]
    (progress,) = ship(tmp_path, [sink(tmp_path)])
    assert progress.done
    assert progress.rejected == 25
    assert progress.why_rejected == (
        "20 events older than AWS takes, or than the retention; 5 events more than 2 hours ahead"
    )


def test_it_goes_slower_when_it_is_throttled(tmp_path: Path, service: Service, logs: Logs) -> None:
    """Half as many calls are on their way after each throttling, and more again after successes."""
    from logflume.ship.senders import Pace

    with contextlib.closing(sink(tmp_path)) as made:
        packer = made.packer("out.log")
        packer.feed(b"x\n", 0)
        packed = packer.take(everything=True)
        assert packed
        made.send(request_of("out.log", packed))
        logs.next_answers = [throttled()]
        with pytest.raises(SinkRefused) as refused:
            made.send(request_of("out.log", packed))
    assert refused.value.throttled
    pace = Pace(4, None, lambda: 0.0)
    pace.throttled()
    assert pace.allowed == 2
    pace.throttled()
    pace.throttled()
    assert pace.allowed == 1
    for _ in range(20):
        pace.taken()
    assert pace.allowed == 4
    assert len([asked for asked in service.asked if "PutLogEvents" in asked.headers["X-Amz-Target"]]) == 2


@pytest.mark.usefixtures("service")
def test_group_and_stream_are_made_and_made_again(tmp_path: Path, logs: Logs) -> None:
    """Missing at first or deleted meanwhile, group and stream are made; the names come from what is captured."""
    (tmp_path / "out.log").write_bytes(b"one\n")
    with contextlib.closing(sink_of("cloudwatch:g", beside=tmp_path)) as made:
        made.write(b"one\n")
        ((group, stream),) = logs.streams
        assert group == "g"
        assert stream.endswith("/log")
        logs.streams.clear()
        with pytest.raises(SinkRefused, match="ResourceNotFound"):
            made.write(b"two\n")
        made.write(b"two\n")
    assert logs.events("g", stream) == ["two"]


@pytest.mark.usefixtures("service")
def test_without_credentials_it_says_so_and_goes_on_when_they_come(
    tmp_path: Path, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing credentials are a refusal, and are looked for again."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with contextlib.closing(sink(tmp_path)) as made:
        with pytest.raises(SinkRefused, match="Unable to locate credentials"):
            made.write(b"one\n")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        made.write(b"one\n")
        logs.next_answers = [refusal("ExpiredTokenException")]
        with pytest.raises(SinkRefused, match="ExpiredToken"):
            made.write(b"two\n")
        made.write(b"two\n")
    assert logs.events() == ["one", "two"]


def test_a_retention_that_aws_does_not_know_is_refused(tmp_path: Path) -> None:
    """A wrong number of days is told before anything is opened."""
    from logflume.ship.sinks import Chosen

    table = {"kind": "cloudwatch", "group": "g", "retention_days": 8}
    with pytest.raises(UsageError, match="retention_days is one of 1, 3, 5, 7"):
        Chosen("cw", table, "logflume.toml", tmp_path).make(tmp_path, {})
