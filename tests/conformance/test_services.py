"""Loki, an OpenTelemetry collector, Redis: sinks whose services know lines, by the checks that anybody's must pass."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from logflume.errors import SinkRefused
from logflume.ship.requests import Request, RequestSink, request_of
from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen, sink_of
from logflume.ship.sinks.stdout import Form, StdoutSink
from logflume.testing import as_text, check_sink
from tests.web import Answer, Asked, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.abc import Sink
    from tests.conftest import Require

ALL_CHECKS = 6
ONE_MB = 1_000_000


def made(folder: Path, **table: object) -> Any:  # noqa: ANN401 - a Sink and a RequestSink
    """Return a sink as a file of settings names it."""
    return Chosen("checked", table, "logflume.toml", folder).make(folder, {})


class Lines:
    """A service that keeps lines, refuses while told, and has a say on each request."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.refusing = False
        self.next_answers: list[Answer] = []
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        body = gzip.decompress(asked.body) if asked.headers.get("Content-Encoding") == "gzip" else asked.body
        with self._lock:
            if self.refusing:
                return Answer(429, b"slow down", {"Retry-After": "2"})
            if self.next_answers:
                return self.next_answers.pop(0)
            self.lines += self.lines_of(asked.path, body)
        return Answer(204, b"")

    def lines_of(self, path: str, body: bytes) -> list[str]:
        raise NotImplementedError

    def refuse(self, refusing: bool) -> None:
        self.refusing = refusing

    def text(self) -> bytes:
        return "".join(f"{line}\n" for line in self.lines).encode()


class Loki(Lines):
    """Drops a line that is equal to one of the same stream and time, as Loki does."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, str, str]] = set()
        self.labels: list[dict[str, str]] = []

    def lines_of(self, path: str, body: bytes) -> list[str]:
        assert path == "/loki/api/v1/push"
        kept = []
        for stream in json.loads(body)["streams"]:
            self.labels.append(stream["stream"])
            for at, line in stream["values"]:
                key = (json.dumps(stream["stream"]), at, line)
                kept += [] if key in self.seen else [line]
                self.seen.add(key)
        return kept


class Collector(Lines):
    """Reads by the official schema."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []
        self.resources: list[dict[str, str]] = []

    def lines_of(self, path: str, body: bytes) -> list[str]:
        from google.protobuf import json_format
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        assert path == "/v1/logs"
        request = json_format.Parse(body, ExportLogsServiceRequest())
        found = []
        for resource in request.resource_logs:
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            found += [record for scope in resource.scope_logs for record in scope.log_records]
        self.records += found
        return [record.body.string_value for record in found]


KINDS = {"loki": Loki, "otlp": Collector}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_web_service(kind: str, compress: str, tmp_path: Path) -> None:
    """It passes the checks that every sink must."""
    service = KINDS[kind]()
    with serving(service.answer) as running:

        def make() -> Sink:
            service.lines.clear()
            sink: Sink = made(tmp_path, kind=kind, url=running.url, max_event_bytes=ONE_MB, compress=compress)
            return sink

        passed = check_sink(make, read_back=service.text, refuse=service.refuse, kept_as=as_text)
    assert len(passed) == ALL_CHECKS


@pytest.mark.parametrize("kind", KINDS)
def test_a_capture_arrives_in_order(kind: str, tmp_path: Path) -> None:
    """Equal lines and those without a time arrive, too, each once, in order, although the service refuses at first."""
    service = KINDS[kind]()
    written = [f"{number // 3} of 2,000" for number in range(6000)]
    (tmp_path / "out.log").write_text("".join(f"{line}\n" for line in written))
    service.next_answers = [Answer(500, b"no"), Answer(503, b"", {"Retry-After": "0"})]
    with serving(service.answer) as running:
        (progress,) = ship(tmp_path, [sink_of(f"{kind}:{running.url}", beside=tmp_path)])
    assert (progress.done, progress.events, progress.refusals) == (True, 6000, 2)
    assert service.lines == written


def test_loki_labels(tmp_path: Path) -> None:
    """Labels come from the settings; the stream's name and tags stand for their values."""
    loki = Loki()
    with serving(loki.answer) as running:
        table = {"kind": "loki", "url": running.url, "labels": {"app": "{child}", "file": "{stream}"}, "tenant": "t1"}
        sink = Chosen("l", table, "", tmp_path).make(tmp_path, {"child": "scheduler"})
        with contextlib.closing(sink):
            sink.write(b"x\n")
        assert running.asked[0].headers["X-Scope-OrgID"] == "t1"
    assert loki.labels == [{"app": "scheduler", "file": "log"}]


def test_what_loki_never_takes_is_counted(tmp_path: Path) -> None:
    """A 400 that says that a line is too old is counted and not sent again; any other 400 is a refusal."""
    loki = Loki()
    loki.next_answers = [Answer(400, b"entry for stream '{}' has timestamp too old: 2020"), Answer(400, b"proxy")]
    with serving(loki.answer) as running, contextlib.closing(made(tmp_path, kind="loki", url=running.url)) as sink:
        request = first_request(sink, b"a\nb\n")
        receipt = sink.send(request)
        assert (receipt.rejected, "too old" in receipt.why) == (2, True)
        with pytest.raises(SinkRefused, match="400 Bad Request proxy"):
            sink.send(request)


def first_request(sink: RequestSink, lines: bytes) -> Request:
    """Return the first request of these lines."""
    packer = sink.packer("out.log")
    packer.feed(lines, time.time_ns())
    packed = packer.take(everything=True)
    assert packed
    return request_of("out.log", packed, 0, len(lines))


def test_otlp_records(tmp_path: Path) -> None:
    """A record has the time and level of its line, and when it was observed; the resource says where it is from."""
    collector = Collector()
    (tmp_path / "out.log").write_bytes(b"2024-11-20T12:34:56.789012Z ERROR it broke\n  here\n")
    with serving(collector.answer) as running:
        ship(tmp_path, [made(tmp_path, kind="otlp", url=running.url, attributes={"service.name": "etl"})])
    first, second = collector.records
    assert first.time_unix_nano == 1732106096789012000
    assert first.observed_time_unix_nano > first.time_unix_nano
    assert (first.severity_number, first.severity_text) == (17, "ERROR")
    assert (second.severity_number, second.body.string_value) == (0, "  here")
    assert collector.resources == [{"service.name": "etl", "log.file.name": "out.log"}]


def test_what_a_collector_never_takes_is_counted(tmp_path: Path) -> None:
    """A partial success says how many; a 400 means all, by OTLP's own rules."""
    collector = Collector()
    partial = {"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "too old"}}
    collector.next_answers = [Answer(200, json.dumps(partial).encode()), Answer(400, b"bad data")]
    with serving(collector.answer) as running, contextlib.closing(made(tmp_path, kind="otlp", url=running.url)) as sink:
        request = first_request(sink, b"a\nb\nc\nd\n")
        assert (sink.send(request).rejected, sink.send(request).rejected) == (3, 4)


@pytest.mark.parametrize(
    "said", [b"", b"[" * 4000, b"7", b'{"partialSuccess": 7}', b'{"partialSuccess": {"rejectedLogRecords": "-1"}}']
)
def test_whatever_a_collector_says_with_200_is_taken(tmp_path: Path, said: bytes) -> None:
    """An answer that nobody understands is a 200 all the same: the request is not sent again for ever."""
    with (
        serving(lambda _: Answer(200, said)) as running,
        contextlib.closing(made(tmp_path, kind="otlp", url=running.url)) as sink,
    ):
        assert sink.send(first_request(sink, b"a\n")).rejected == 0


@pytest.mark.parametrize(
    ("said", "told"), [(b'{"detail": "not\\nyou"}', "not you"), (b"[" * 4000, "[[["), (b"a\nb", "a")]
)
def test_what_a_refusal_says_is_told(tmp_path: Path, said: bytes, told: str) -> None:
    """The detail of a problem is told, else the first line of a refusal; hostile ones, too."""
    with (
        serving(lambda _: Answer(503, said)) as running,
        contextlib.closing(made(tmp_path, kind="otlp", url=running.url)) as sink,
        pytest.raises(SinkRefused, match=re.escape(f"503 Service Unavailable {told}")) as refusal,
    ):
        sink.send(first_request(sink, b"a\n"))
    assert len(str(refusal.value)) < 300


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run Redis on a socket; give its address and the file that holds its process."""
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "redis.sock"
    words = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not path.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            (folder / "pid").write_text(str(process.pid))
            yield f"unix://{path}", folder / "pid"
        finally:
            process.kill()


@pytest.fixture
def redis_url(require: Require, request: pytest.FixtureRequest) -> str:
    """Give the address of an empty Redis."""
    require("redis-server")
    url: str = request.getfixturevalue("redis_socket")[0]
    with contextlib.closing(client_of(url)) as client:
        client.flushall()
    return url


def client_of(url: str) -> Any:  # noqa: ANN401 - redis types its client loosely
    """Return a client of our own."""
    import redis

    return redis.Redis.from_url(url)


def entries(url: str, key: str) -> list[bytes]:
    """Return the lines of a stream."""
    with contextlib.closing(client_of(url)) as client:
        found = [fields[b"line"] for _, fields in client.xrange(key)]
        client.connection_pool.disconnect()
        return found


def test_redis(redis_url: str, tmp_path: Path) -> None:
    """It passes the checks that every sink must: bytes come as they were written."""
    numbers = count()
    key = [""]

    def make() -> Sink:
        key[0] = f"checked-{next(numbers)}"
        sink: Sink = made(tmp_path, kind="redis", url=redis_url, key=key[0])
        return sink

    def refuse(refusing: bool) -> None:
        with contextlib.closing(client_of(redis_url)) as client:
            client.config_set("maxmemory", 1 if refusing else 0)

    def read_back() -> bytes:
        return b"".join(line + b"\n" for line in entries(redis_url, key[0]))

    assert len(check_sink(make, read_back=read_back, refuse=refuse)) == ALL_CHECKS


def test_a_capture_goes_to_redis(redis_url: str, tmp_path: Path) -> None:
    """All lines are in the stream, in order, once; its length is bounded where that is wanted."""
    (tmp_path / "out.log").write_bytes(b"".join(b"%d\n" % number for number in range(5000)))
    (progress,) = ship(tmp_path, [made(tmp_path, kind="redis", url=redis_url)])
    assert (progress.done, progress.events) == (True, 5000)
    assert entries(redis_url, "logflume:out.log") == [b"%d" % number for number in range(5000)]
    short = made(tmp_path, kind="redis", url=redis_url, key="short", max_length=100)
    assert ship(tmp_path, [short], state=tmp_path / ".state")[0].done
    assert 100 <= len(entries(redis_url, "short")) < 5000


def test_redis_takes_a_request_once(redis_url: str, tmp_path: Path) -> None:
    """A request whose answer did not come is looked up, and not added again; also by the process that follows."""
    with contextlib.closing(made(tmp_path, kind="redis", url=redis_url, key="once")) as sink:
        request = first_request(sink, b"a\nb\n")
        sink.send(request)
        sink._unsure.add("out.log")  # as if the connection had broken before the answer
        sink.send(request)
    with contextlib.closing(made(tmp_path, kind="redis", url=redis_url, key="once")) as sink:
        sink.send(request)
    assert entries(redis_url, "once") == [b"a", b"b"]


def test_redis_needs_the_rights_that_the_page_names(redis_url: str, tmp_path: Path) -> None:
    """A user with no more than those can ship; one who lacks any is refused, and told."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "sinks.md").read_text()
    rights = page.partition("Rights, where Redis has ACLs: `")[2].partition("`")[0].split()
    assert len(rights) > 3
    with contextlib.closing(client_of(redis_url)) as client:
        client.execute_command("ACL", "SETUSER", "shipper", "reset", "on", ">s3cret", *rights)
        client.connection_pool.disconnect()
    url = redis_url.replace("unix://", "unix://shipper:s3cret@")
    (tmp_path / "out.log").write_bytes(b"one\ntwo\n")
    sink = made(tmp_path, kind="redis", url=url, key="logs:{child}:{stream}")
    assert "s3cret" not in sink.name
    (progress,) = ship(tmp_path, [sink])
    assert (progress.done, progress.refusals) == (True, 0)
    assert entries(redis_url, "logs:{child}:out.log") == [b"one", b"two"]
    with (
        contextlib.closing(made(tmp_path, kind="redis", url=url, key="elsewhere")) as sink,
        pytest.raises(SinkRefused, match=r"(?i)no permission|NOPERM"),
    ):
        sink.send(first_request(sink, b"a\n"))


def test_a_redis_that_stands_still_refuses(
    redis_url: str, redis_socket: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer is a refusal after the time allowed; nothing is doubled when it wakes."""
    monkeypatch.setattr("logflume.ship.sinks.redis.TIMEOUT_S", 0.2)
    pid = int(redis_socket[1].read_text())
    with contextlib.closing(made(tmp_path, kind="redis", url=redis_url, key="still")) as sink:
        request = first_request(sink, b"a\n")
        sink.send(first_request(sink, b"first\n"))
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(SinkRefused):
                sink.send(Request("out.log", request.payload, 1, 0, 0, 0, 6, 8))
        finally:
            os.kill(pid, signal.SIGCONT)
        sink.send(Request("out.log", request.payload, 1, 0, 0, 0, 6, 8))
    assert entries(redis_url, "still") == [b"first", b"a"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Form.AS_IS, b"2024-11-20T12:34:56Z a\n"),
        (Form.PREFIXED, b"log | 2024-11-20T12:34:56Z a\n"),
        (Form.JSON, b'{"timestamp":"2024-11-20T12:34:56.000000Z","event":"2024-11-20T12:34:56Z a"}\n'),
    ],
)
def test_forms_of_standard_output(tmp_path: Path, form: Form, expected: bytes) -> None:
    """Lines are written as they are, with the name of their stream, or as JSON."""
    descriptor = os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT)
    with contextlib.closing(StdoutSink(descriptor, form=form)) as sink:
        sink.write(b"2024-11-20T12:34:56Z a\n")
    os.close(descriptor)
    assert (tmp_path / "output").read_bytes() == expected
