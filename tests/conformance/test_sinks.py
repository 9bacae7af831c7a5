"""The sinks that come with logflume, by the checks that anybody's must pass."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from logflume.errors import SinkRefused, UsageError
from logflume.ship.sinks import sink_of
from logflume.ship.sinks.file import FileSink
from logflume.ship.sinks.http import Body, HttpSink
from logflume.ship.sinks.stdout import StdoutSink
from logflume.testing import check_sink
from tests.collector import collecting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector import Collector

ALL_CHECKS = 6


def test_file_sink(tmp_path: Path) -> None:
    """A file keeps every block once, also after a disk that took only a part of one."""
    path = tmp_path / "archive.log"

    def make() -> FileSink:
        path.unlink(missing_ok=True)
        return FileSink(path)

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def refuse(refusing: bool) -> None:
        limit = path.stat().st_size + 3 if refusing else usual[0]  # three bytes of the next block fit
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))

    try:
        passed = check_sink(make, read_back=path.read_bytes, refuse=refuse)
    finally:
        refuse(refusing=False)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(passed) == ALL_CHECKS


def test_stdout_sink(tmp_path: Path) -> None:
    """Standard output takes every block as it is; closing the sink leaves it open."""
    descriptor = os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    standing = os.dup(descriptor)

    def make() -> StdoutSink:
        os.ftruncate(standing, 0)
        return StdoutSink(descriptor)

    def refuse(refusing: bool) -> None:
        if refusing:
            os.close(descriptor)
        else:
            os.dup2(standing, descriptor)

    try:
        passed = check_sink(make, read_back=(tmp_path / "output").read_bytes, refuse=refuse)
    finally:
        os.close(descriptor)
        os.close(standing)
    assert len(passed) == ALL_CHECKS


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """Give a web server of our own."""
    with collecting(tmp_path / "collector") as collector:
        yield collector


def test_http_sink(collector: Collector) -> None:
    """A web server gets every block as it is, and again what it refused."""

    def make() -> HttpSink:
        collector.clear()
        return HttpSink(collector.url, body=Body.LINES)

    passed = check_sink(make, read_back=collector.taken, refuse=collector.refuse)
    assert len(passed) == ALL_CHECKS


def test_http_sends_ndjson(collector: Collector) -> None:
    """By default each line is sent as a JSON object; what is one already passes untouched, whatever else there is."""
    with contextlib.closing(HttpSink(collector.url)) as sink:
        sink.write(b'{"event":"first","n":1}\nplain \xff\n\n{broken\n')
        sink.write(b"2024-11-20T12:34:56Z later\n")
    lines = collector.taken().splitlines()
    assert lines[0] == b'{"event":"first","n":1}'
    assert [json.loads(line)["event"] for line in lines][1:] == [
        "plain \ufffd",
        "",
        "{broken",
        "2024-11-20T12:34:56Z later",
    ]
    kinds = {request["Content-Type"] for request in collector.requests()}
    assert kinds == {"application/x-ndjson"}


def test_http_says_what_was_wrong_and_when_to_come_again(collector: Collector) -> None:
    """A refusal tells the status, and how long the server wants to be left alone."""
    collector.refuse(status=429, refusing=True, **{"Retry-After": "7"})
    with contextlib.closing(HttpSink(collector.url)) as sink:
        with pytest.raises(SinkRefused, match="it answered 429 Too Many Requests") as refusal:
            sink.write(b'{"n":1}\n')
        assert refusal.value.retry_after_s == 7
        collector.refuse(refusing=False)
        sink.write(b'{"n":1}\n')
    first, second = collector.requests()
    assert first["Idempotency-Key"] == second["Idempotency-Key"]


def test_http_passwords_are_sent_and_never_shown(collector: Collector) -> None:
    """A password in an address reaches the server as basic authentication, and no name or error has it."""
    address = collector.url.replace("http://", "http://ann:s3cret@")
    with contextlib.closing(HttpSink(address + "?token=t0ken")) as sink:
        assert "s3cret" not in sink.name
        assert "t0ken" not in sink.name
        collector.refuse(refusing=True)
        with pytest.raises(SinkRefused) as refusal:
            sink.write(b"x\n")
        assert "s3cret" not in str(refusal.value)
    assert collector.requests()[0]["Authorization"] == "Basic YW5uOnMzY3JldA=="
    assert collector.requests()[0]["path"] == "/logs?token=t0ken"


def test_http_without_a_server_refuses() -> None:
    """Nobody who listens is a refusal like any other."""
    sink = HttpSink("http://127.0.0.1:1/")
    with pytest.raises(SinkRefused, match="refused"):
        sink.write(b"x\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "is no sink; there are file:PATH, stdout"),
        ("file:", "is no sink"),
        ("s4://bucket", "is no sink"),
        ("s3:bucket", "is no sink"),
        ("s3://", "expected an address such as"),
        ("http://", "HOST"),
        ("http://h:99999/", "no address"),
        ("file:{folder}/out.txt", "would be shipped to itself"),
        ("file:{folder}/../{name}/deep/out.txt", "would be shipped to itself"),
    ],
)
def test_what_is_no_sink_is_refused(tmp_path: Path, words: str, said: str) -> None:
    """Wrong words, and a file that would be shipped to itself, are refused before anything is opened."""
    with pytest.raises(UsageError, match=said):
        sink_of(words.format(folder=tmp_path, name=tmp_path.name), beside=tmp_path)


def test_a_file_sink_begins_a_new_file_when_the_old_one_was_renamed(tmp_path: Path) -> None:
    """Whoever rotates the archive loses nothing."""
    with contextlib.closing(FileSink(tmp_path / "a.log")) as sink:
        sink.write(b"first\n")
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        sink.write(b"second\n")
    assert [(tmp_path / name).read_bytes() for name in ("a.log.1", "a.log")] == [b"first\n", b"second\n"]
