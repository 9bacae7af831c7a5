"""Each service that is spoken to over HTTP, failing in each way: nothing is lost, and what comes twice is known."""

from __future__ import annotations

import contextlib
import random
import re
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logflume.errors import SinkRefused
from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen
from logflume.ship.sinks.http import HttpSink
from tests.conformance.test_services import Collector, Loki
from tests.unit.test_cloudwatch import Logs
from tests.web import Answer, Asked, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.web import Service

LINES = [f"{number:019d}" for number in range(12_000)]

FAILURES = {
    "throttled": Answer(429, b"slow down", {"Retry-After": "0"}),
    "failing": Answer(500, b"sorry"),
    "away behind its proxy": Answer(503, b"<html>", {"Retry-After": "0"}),
    "half an answer": Answer(200, b'{"half": "' + b"x" * 1000, cut=10),
    "no answer": Answer(200, b"x" * 1000, cut=0),
}


_ABOUT = "<LastModified>2024-11-20T12:34:56Z</LastModified><Size>1</Size><ETag>x</ETag>"


class Bucket:
    """An S3 that takes objects."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            keys = (path.removeprefix("/bucket/") for path in self.objects)
            found = "".join(f"<Contents><Key>{key}</Key>{_ABOUT}</Contents>" for key in keys)
            return Answer(200, f"<ListBucketResult>{found}</ListBucketResult>".encode())
        self.objects[asked.path] = asked.body
        return Answer(200, b"", {"ETag": '"x"'})

    @property
    def lines(self) -> list[str]:
        parts = [self.objects[path] for path in sorted(self.objects) if path.endswith(".log")]
        return b"".join(parts).decode().splitlines()


class Plain:
    """A service of NDJSON."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def answer(self, asked: Asked) -> Answer:
        self.lines += asked.body.decode().splitlines()
        return Answer(204, b"")


class CloudWatch(Logs):
    """As a list of lines."""

    @property
    def lines(self) -> list[str]:
        return self.events("g", "s") if self.streams else []


class Case:
    """A kind of sinks and its service."""

    def __init__(self, service: Any, table: Callable[[str], dict[str, object]], *, twice: bool) -> None:  # noqa: ANN401
        self.service, self.table, self.twice = service, table, twice

    def sink(self, folder: Path, url: str) -> Any:  # noqa: ANN401 - a Sink and a RequestSink
        return Chosen("checked", self.table(url), "logflume.toml", folder).make(folder, {})


def case_of(kind: str, *, in_flight: int = 1) -> Case:
    """Return one."""
    if kind == "http":
        return Case(
            Plain(), lambda url: {"kind": "http", "url": url, "body": "lines", "batch_bytes": 20_000}, twice=True
        )
    if kind == "loki":
        return Case(Loki(), lambda url: {"kind": "loki", "url": url, "batch_bytes": 20_000}, twice=False)
    if kind == "otlp":
        return Case(
            Collector(), lambda url: {"kind": "otlp", "url": url, "batch_bytes": 200_000, "in_flight": 1}, twice=True
        )
    if kind == "cloudwatch":
        table = {"kind": "cloudwatch", "group": "g", "stream": "s", "in_flight": 1}
        return Case(CloudWatch(), lambda url: {**table, "endpoint": url}, twice=True)
    options = {"allow_http": "true", "virtual_hosted_style_request": "false", "region": "eu-west-1"}
    secrets = {"access_key_id": "key", "secret_access_key": "s3cret"}
    table = {"kind": "objectstore", "url": "s3://bucket/logs", "part_bytes": 64 * 1024, "in_flight": in_flight}
    return Case(Bucket(), lambda url: {**table, "options": {**options, **secrets, "endpoint": url}}, twice=False)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give AWS some."""
    for name, value in {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)


KINDS = ["http", "loki", "otlp", "cloudwatch", "objectstore"]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(tmp_path: Path, kind: str, failure: str) -> None:
    """Every third request fails; each line arrives, in order, and again only where the service knows no repetition."""
    case = case_of(kind)
    (tmp_path / "out.log").write_text("".join(f"{line}\n" for line in LINES))
    count, lock = [0], threading.Lock()

    def answer(asked: Asked) -> Answer:
        with lock:
            count[0] += 1
            fails = count[0] % 3 == 1
        if not fails:
            return case.service.answer(asked)  # type: ignore[no-any-return]
        if FAILURES[failure].cut is not None:
            case.service.answer(asked)  # it was taken; only the answer is lost
        return FAILURES[failure]

    with serving(answer) as running:
        (progress,) = ship(tmp_path, [case.sink(tmp_path, running.url)])
    assert (progress.done, progress.rejected) == (True, 0)
    lines = case.service.lines
    assert list(dict.fromkeys(lines)) == LINES
    assert case.twice or len(lines) == len(LINES)


def test_parts_on_their_way_keep_their_places(tmp_path: Path) -> None:
    """With several parts on their way, and some refused at first, files of others are there once and in order."""
    bucket, dice, lock = Bucket(), random.Random(3), threading.Lock()

    def answer(asked: Asked) -> Answer:
        with lock:
            if asked.method == "PUT" and dice.random() < 0.4:
                if dice.random() < 0.5:
                    bucket.answer(asked)
                return Answer(403, b"not now")
            return bucket.answer(asked)

    written: list[str] = []
    with serving(answer) as running:
        for part in range(2):
            written += [f"{part} {number:019d}" for number in range(20_000)]
            (tmp_path / "out.log").write_text("".join(f"{line}\n" for line in written))
            sink = case_of("objectstore", in_flight=4).sink(tmp_path, running.url)
            assert ship(tmp_path, [sink])[0].done
    assert bucket.lines == written


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_nobody_knows(tmp_path: Path, kind: str, certificate: ssl.SSLContext) -> None:
    """Nothing is sent to a server that cannot prove who it is, and it is told why."""
    case = case_of(kind)
    with serving(case.service.answer, tls=certificate) as running:
        url = running.url.replace("127.0.0.1", "localhost")
        with (
            contextlib.closing(case.sink(tmp_path, url)) as sink,
            pytest.raises(SinkRefused, match=re.compile("certificate|error sending request|SSL", re.IGNORECASE)),
        ):
            send(sink, b"x\n")
        assert running.asked == []


def send(sink: Any, lines: bytes) -> None:  # noqa: ANN401 - as above
    """Send one request, whose place in its stream is known."""
    from logflume.ship.requests import request_of

    packer = sink.packer("out.log")
    packer.feed(lines, 0)
    sink.send(request_of("out.log", packer.take(everything=True), 0, len(lines)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Give what a server needs that nobody trusts."""
    folder = tmp_path_factory.mktemp("certificate")
    key, made = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*words, "-keyout", key, "-out", made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_refusal_says(tmp_path: Path, kind: str) -> None:
    """Who may not is told so with the service's own status, is offered no end, and is never taken for throttled."""
    case = case_of(kind)
    with (
        serving(lambda _: Answer(403, b'{"__type": "AccessDeniedException", "message": "not you"}')) as running,
        contextlib.closing(case.sink(tmp_path, running.url)) as sink,
    ):
        with pytest.raises(SinkRefused, match=r"403|AccessDenied|permission|forbidden|Forbidden") as refusal:
            send(sink, b"x\n")
        assert not refusal.value.throttled
        assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_throttles_is_known(tmp_path: Path, kind: str) -> None:
    """Being asked too often is understood as that, so that less is on its way."""
    case = case_of(kind)
    slow = b"<Error><Code>SlowDown</Code></Error>" if kind == "objectstore" else b"{}"
    with (
        serving(lambda _: Answer(429, slow, {"Retry-After": "3"})) as running,
        contextlib.closing(case.sink(tmp_path, running.url)) as sink,
    ):
        with pytest.raises(SinkRefused) as refusal:
            send(sink, b"x\n")
        assert refusal.value.throttled
        assert kind in ("cloudwatch", "objectstore") or refusal.value.retry_after_s == 3


def test_equal_requests_of_two_places_have_two_keys(tmp_path: Path) -> None:
    """A server that knows keys again takes equal lines of another place for other lines; a retry has its own key."""
    from logflume.ship.requests import Request

    def sent(running: Service) -> list[str]:
        return [asked.headers["Idempotency-Key"] for asked in running.asked]

    with (
        serving(lambda _: Answer(204, b"")) as running,
        contextlib.closing(HttpSink(running.url, folder=tmp_path)) as sink,
    ):
        for start, end in ((0, 5), (5, 10), (5, 10)):
            sink.send(Request("out.log", b"tick\n", 1, 0, 0, 0, start, end))
        sink.send(Request("err.log", b"tick\n", 1, 0, 0, 0, 0, 5))
        first, second, again, other = sent(running)
    assert second == again
    assert len({first, second, other}) == 3
