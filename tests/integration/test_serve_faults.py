"""What breaks in the middle of an answer: a last record says so, and the connection is cut; never a clean end.

Each row of the table "When something breaks" of docs/reference/server.md that sources can cause, over real connections,
in every form and encoding.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import socket
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
import zstandard

from logflume import Client, frames
from logflume.errors import LogflumeError, LogNotFound, ServerRefused, SourceFailed, SpoolFull
from logflume.records import Output
from logflume.serve.app import create_app
from logflume.serve.guard import Guard
from logflume.serve.reading import Media
from logflume.serve.settings import Settings
from logflume.serve.shelf import Shelf
from logflume.serve.streams import Form, StreamResponse, pumped
from logflume.serve.wire import Wire, WireConfig
from logflume.testing import FakeReader, FakeSource
from tests.served import DEADLINE_S, line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from logflume.abc import Log, Source
    from logflume.records import Position

TEXT = "".join(line(n, f"row {n}") for n in range(2000)).encode()
AT = len(TEXT) // 2
PROBLEM = "urn:logflume:problem:"
STREAM = "/api/v1/logs/a/stream"
NDJSON, PLAIN, EVENTS = "application/x-ndjson", "text/plain", "text/event-stream"


class Raising(FakeSource):
    """A source whose readers raise something else than they may, from an offset on."""

    def __init__(self, name: str, data: bytes, error: Exception, at: int = AT) -> None:
        super().__init__(name, data, cuts=[AT])
        self.error = error
        self.at = at

    def open(self, start: int | Position = 0) -> FakeReader:
        reader = super().open(start)
        offset, read = reader.start, reader.read_block

        def read_block(max_bytes: int = 1 << 18) -> bytes:
            nonlocal offset
            if offset >= self.at:
                raise self.error
            block = read(max_bytes)
            offset += len(block)
            return block

        reader.read_block = read_block  # type: ignore[method-assign]
        return reader


@dataclass
class FakeLog:
    """A log of sources made here."""

    present: list[Source]
    id: str = "a"

    def sources(self) -> list[Source]:
        """Return them."""
        return list(self.present)


@dataclass
class OneLog:
    """A catalog of one."""

    log: Log

    def iter_logs(self, prefix: str = "", after: str = "") -> Iterator[Log]:
        """Yield it."""
        if self.log.id.startswith(prefix) and self.log.id > after:
            yield self.log

    def find(self, log_id: str) -> Log:
        """Return it."""
        if log_id != self.log.id:
            raise LogNotFound(log_id)
        return self.log


@contextlib.contextmanager
def served(*sources: Source) -> Iterator[str]:
    """Serve a log of these sources in this process, over loopback."""
    guard = Guard(Settings(), key=b"k" * 32)
    app = guard.wrap(create_app(Shelf(OneLog(FakeLog(list(sources))), key=b"k" * 32), guard))
    wire = Wire(max_connections=100, stall_s=0, tell=guard.metrics.connection_ended)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(WireConfig(app, wire, log_level="critical", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            guard.close()


def cut(url: str, accept: str, encoding: str = "identity", path: str = STREAM, **params: str | int) -> bytes:
    """Return what comes of an answer that must not have an end."""
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    with (
        httpx.Client(base_url=url, timeout=DEADLINE_S) as client,
        client.stream("GET", path, headers=headers, params=params) as answer,
    ):
        assert answer.status_code == 200
        return until_cut(answer.iter_raw())


def problem_in(last: bytes) -> str:
    """Return the type of the problem that a line of NDJSON tells."""
    type_: str = json.loads(last)["logflume"]["problem"]["type"]
    return type_.removeprefix(PROBLEM)


FAULTS: dict[str, tuple[Callable[[], Source], str]] = {
    "the only source breaks": (lambda: FakeSource("a", TEXT, fail_at=AT), "source-failed"),
    "the disk breaks": (lambda: Raising("a", TEXT, OSError(5, "Input/output error")), "read-failed"),
    "a spool is full": (lambda: Raising("a", TEXT, SpoolFull("full")), "spool-full"),
    "the merge breaks": (lambda: Raising("a", TEXT, ValueError("a fault of ours")), "fault"),
}


@pytest.fixture(params=FAULTS)
def faulty(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[tuple[str, str]]:
    """Serve a log that breaks in the middle; give the address, and what is to be told."""
    make, told = FAULTS[request.param]
    with caplog.at_level(logging.CRITICAL), served(make()) as url:
        yield url, told


def test_ndjson_that_breaks(faulty: tuple[str, str]) -> None:
    """The lines before it come, and the last one is the problem."""
    url, told = faulty
    *lines, last = cut(url, NDJSON).splitlines()
    assert problem_in(last) == told
    assert_beginning([each for each in lines if not each.startswith(b'{"logflume"')])


def assert_beginning(lines: list[bytes]) -> None:
    """Require the first thousand lines, but perhaps the last of them; and perhaps a part of another one."""
    assert lines[:1000] == TEXT.splitlines()[:1000]
    assert len(lines) in {1006, 1007, 1008}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_ndjson_that_breaks(faulty: tuple[str, str], encoding: str) -> None:
    """The problem can be read, and the compressed stream has no end either."""
    url, told = faulty
    got = cut(url, NDJSON, encoding)
    if encoding == "gzip":
        unpacked = zlib.decompressobj(wbits=31).decompress(got)
        with pytest.raises(EOFError):
            gzip.decompress(got)
    else:
        inflating = zstandard.ZstdDecompressor().decompressobj()
        unpacked = inflating.decompress(got)
        assert not inflating.eof
    assert problem_in(unpacked.splitlines()[-1]) == told


class Endless:
    """Blocks that have no end."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b'{"event":"one"}\n'

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
def test_a_server_that_ends_says_so(encoding: str | None) -> None:
    """Behind the last block, which a compressed answer has a place for, too."""

    async def run() -> bytes:
        sent, stop = bytearray(), asyncio.Event()

        async def send(message: MutableMapping[str, Any]) -> None:
            await asyncio.sleep(0)
            sent.extend(message.get("body", b""))
            if message["type"] == "http.response.body":
                assert message["more_body"]
                stop.set()

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(DEADLINE_S)
            return {"type": "http.disconnect"}

        form = Form(media=Media.NDJSON, encoding=encoding, live=True)
        await StreamResponse(lambda: pumped(Endless, form), form, stop=stop)({"type": "http"}, receive, send)
        return bytes(sent)

    got = asyncio.run(run())
    if encoding == "gzip":
        got = zlib.decompressobj(wbits=31).decompress(got)
    elif encoding == "zstd":
        got = zstandard.ZstdDecompressor().decompressobj().decompress(got)
    *lines, last = got.splitlines()
    assert set(lines) == {b'{"event":"one"}'}
    assert problem_in(last) == "server-ends"


def test_text_that_breaks(faulty: tuple[str, str]) -> None:
    """There is no place for a word in it: it is what was there, without an end."""
    got = cut(faulty[0], PLAIN)
    assert TEXT.startswith(got)


def test_frames_that_break(faulty: tuple[str, str]) -> None:
    """The last frame is the problem, and there is none that says it was the end."""
    url, told = faulty
    kinds = list(frames.Decoder().feed(cut(url, frames.MEDIA_TYPE)))
    assert kinds[-1][0] == frames.PROBLEM
    assert frames.value_of(kinds[-1][1])["type"].endswith(f":{told}")
    assert frames.END not in [kind for kind, _ in kinds]


def test_events_that_break(faulty: tuple[str, str]) -> None:
    """A follow that cannot even begin is refused; where it can, the last event is the problem."""
    url, told = faulty
    if told != "source-failed":
        answer = httpx.get(url + STREAM, headers={"Accept": EVENTS}, timeout=DEADLINE_S)
        assert (answer.status_code, answer.json()["type"]) == (503 if told != "fault" else 500, PROBLEM + told)
        return
    assert_problem_event(cut(url, EVENTS), told)


def assert_problem_event(got: bytes, told: str) -> None:
    """Require that the last event is a problem."""
    last = got.rstrip(b"\n").rpartition(b"\n\n")[2]
    assert b"event: problem\n" in last
    assert (PROBLEM + told).encode() in last


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(5, "Input/output error"), "read-failed"), (SpoolFull("full"), "spool-full"), (ValueError("x"), "fault")],
)
def test_follows_that_break(error: Exception, told: str, caplog: pytest.LogCaptureFixture) -> None:
    """What breaks in what is followed is told to all who follow, as the last event or line."""
    source = Raising("a", TEXT, error, at=1 << 30)
    with caplog.at_level(logging.CRITICAL), served(source) as url, httpx.Client(timeout=DEADLINE_S) as client:
        params = {"follow": True, "tail": 1}
        with (
            client.stream("GET", url + STREAM, params=params, headers={"Accept": EVENTS}) as events,
            client.stream("GET", url + STREAM, params=params) as lines,
        ):
            coming = [events.iter_raw(), lines.iter_raw()]
            assert all(b"row 1999" in next(blocks) for blocks in coming)
            source.at = 0
            of_events, of_lines = map(until_cut, coming)
        assert_problem_event(of_events, told)
        assert problem_in(of_lines.splitlines()[-1]) == told


def until_cut(blocks: Iterator[bytes]) -> bytes:
    """Return what comes before the connection is cut."""
    got = b""
    try:
        for block in blocks:
            got += block
    except httpx.RemoteProtocolError:
        return got
    pytest.fail(f"it has an end: {got[-500:]!r}")


@pytest.mark.parametrize("path", ["search", "pages"])
def test_searches_that_break(faulty: tuple[str, str], path: str) -> None:
    """None is done: the last line is the problem."""
    url, told = faulty
    lines = cut(url, NDJSON, path=f"/api/v1/logs/a/{path}", q="row 99").splitlines()
    assert problem_in(lines[-1]) == told
    assert not [each for each in lines if b'"done"' in each]


@pytest.mark.parametrize("source", ["", "a"])
def test_downloads_that_break(faulty: tuple[str, str], source: str) -> None:
    """They are shorter than was said."""
    params = {"source": source} if source else {}
    assert len(cut(faulty[0], PLAIN, path="/api/v1/logs/a/raw", **params)) < len(TEXT)


def test_pages_of_json_before_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    """What could be read is a page that is not the last one; the next one is 503, and says when to come again."""
    with caplog.at_level(logging.CRITICAL), served(FakeSource("a", TEXT, fail_at=AT)) as url:
        headers = {"Accept": "application/json"}
        page = httpx.get(url + STREAM, headers=headers, params={"limit": 5000}, timeout=DEADLINE_S).json()
        assert 900 < len(page["lines"]) < 1100
        assert page["end"] is False
        assert [gap["reason"] for gap in page["gaps"]] == ["unreadable"]
        answer = httpx.get(url + STREAM, headers=headers, params={"after": page["after"]}, timeout=DEADLINE_S)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["type"] == PROBLEM + "source-failed"


@pytest.mark.parametrize("output", [Output.NDJSON, Output.TEXT])
def test_a_client_takes_no_fault_for_an_end(faulty: tuple[str, str], output: Output) -> None:
    """It asks again as long as it is told to, gives out each line once, and raises what the server tells."""
    url, told = faulty
    read = b""
    raised: Exception | None = None
    with Client(url, give_up_s=0.5) as client, client.stream("a", output=output) as stream:
        try:
            for block in stream:
                read += block
        except LogflumeError as error:
            raised = error
    assert isinstance(raised, SourceFailed if told == "source-failed" else ServerRefused)
    whole = read.splitlines()[:1000]
    assert whole == TEXT.splitlines()[: len(whole)]
    assert read.count(b"\n") < 1010


def test_a_client_goes_on_when_the_fault_is_over() -> None:
    """A source that is mended meanwhile is read to its end, and no line is missing or comes twice."""
    source = FakeSource("a", TEXT, fail_at=AT)
    with served(source) as url, Client(url) as client, client.stream("a", output=Output.TEXT) as stream:
        read = next(iter(stream))
        source._stage.fail_at = None
        read += b"".join(stream)
    assert read == TEXT


def test_one_source_of_several_that_breaks() -> None:
    """The others go on: it is a gap, told where there is a place for it, and the end is one."""
    other = TEXT.replace(b"row", b"other")
    with served(FakeSource("a", TEXT, fail_at=AT), FakeSource("b", other)) as url:
        got = httpx.get(url + STREAM, headers={"Accept": NDJSON}, timeout=DEADLINE_S).text.splitlines()
        (gap,) = [json.loads(each) for each in got if "logflume" in each]
        assert (gap["logflume"]["gap"]["source"], gap["logflume"]["gap"]["reason"]) == ("a", "unreadable")
        assert sum("other" in each for each in got) == 2000
        cut(url, PLAIN)  # which has no place for it


def test_a_follow_of_which_one_source_breaks() -> None:
    """It goes on with the others."""
    first, second = FakeSource("a", TEXT, fail_at=len(TEXT)), FakeSource("b", TEXT)
    with (
        served(first, second) as url,
        httpx.Client(timeout=DEADLINE_S) as client,
        client.stream("GET", url + STREAM, params={"follow": True, "tail": 0}) as answer,
    ):
        lines = answer.iter_lines()
        assert json.loads(next(lines))["logflume"]["gap"]["source"] == "a"
        second.append(line(2500, "more").encode())
        assert json.loads(next(lines))["event"] == "more"
