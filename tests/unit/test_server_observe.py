from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from select import PIPE_BUF
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st

from logflume.errors import UsageError
from logflume.records import Gap, GapReason
from logflume.serve import accesslog
from logflume.serve.accesslog import AccessLog, line_of
from logflume.serve.callers import ANYBODY
from logflume.serve.headers import SecurityHeaders
from logflume.serve.limits import Use
from logflume.serve.metrics import Metrics
from logflume.serve.observe import MAX_PATH_CHARS, Answered, Observed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANSWERED = Answered(
    time_ns=0,
    request_id="id",
    method="GET",
    route="/x",
    path="/x",
    query=("q",),
    status=200,
    sent_bytes=10,
    duration_s=1.5,
    first_byte_s=0.004,
    caller="ci",
    client="127.0.0.1",
    agent="curl",
    end="done",
)


def stats(n_bytes: int) -> Any:  # noqa: ANN401
    """Return what a merge has counted, as far as it is looked at."""
    return {"bytes": n_bytes, "records": 10, "late": 2, "duplicates": 1}


def app() -> FastAPI:
    """Return an application with routes of several kinds."""
    made = FastAPI()

    def caller(request: Request) -> None:
        request.state.caller = ANYBODY

    async def read(log_id: str) -> StreamingResponse:
        async def blocks() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(blocks(), headers={"Cache-Control": "private"})

    async def broken() -> None:
        raise ZeroDivisionError

    routes = APIRouter(dependencies=[Depends(caller)])
    routes.add_api_route("/api/logs/{log_id:path}/stream", read)
    made.include_router(routes)
    made.add_api_route("/broken", broken)
    return made


def ask(wrapped: ASGIApp, address: str, **headers: str) -> httpx.Response:
    """Ask an application."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(wrapped, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(address, headers=headers)

    return asyncio.run(go())


def observed(address: str, **headers: str) -> tuple[Answered, httpx.Response]:
    """Return what was told of one request, and its answer."""
    told: list[Answered] = []
    answer = ask(Observed(app(), tell=[told.append]), address, **headers)
    assert len(told) == 1
    return told[0], answer


def test_a_request_is_told() -> None:
    """Route, status, bytes, times, caller and the names of parameters are told, and no value of a parameter."""
    told, answer = observed("/api/logs/a/b.log/stream?since=1&q=s3cret&flag", **{"User-Agent": "me"})
    assert (told.method, told.route, told.path) == ("GET", "/api/logs/{log_id:path}/stream", "/api/logs/a/b.log/stream")
    assert (told.status, told.sent_bytes, told.end, told.caller) == (200, 6, "done", "anybody")
    assert (told.query, told.agent) == (("since", "q"), "me")
    assert told.first_byte_s is not None
    assert 0 <= told.first_byte_s <= told.duration_s
    assert "s3cret" not in repr(told)
    assert answer.headers["X-Request-ID"] == told.request_id


def test_a_path_without_a_route_is_no_label() -> None:
    """Whatever paths are made up, they share one label."""
    for path in ("/none", "/" + "x" * 2000, "/%00%0a", "/../../etc"):
        told, _ = observed(path)
        assert (told.route, told.status) == ("none", 404)
        assert len(told.path) <= MAX_PATH_CHARS


def test_a_failure_is_told() -> None:
    """A route that raises is told as failed, with the status that the client got."""
    told, answer = observed("/broken")
    assert (told.end, answer.status_code, told.caller) == ("failed", 500, None)


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_X", True), ("", False), ("a b", False), ("x" * 65, False), ("{}", False)]
)
def test_request_ids(given: str, kept: bool) -> None:
    """A harmless id of the request is kept, any other is replaced."""
    told, answer = observed("/none", **{"X-Request-ID": given})
    assert (told.request_id == given) is kept
    assert answer.headers["X-Request-ID"] == told.request_id
    assert told.request_id


def scope_of(**more: object) -> Scope:
    """Return the scope of a request."""
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", **more}


def run_cut(inner: ASGIApp, *, send_breaks: bool = False) -> Answered:
    """Return what is told when the client goes away after the first block."""
    told: list[Answered] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            if gone.is_set() and send_breaks:
                raise OSError
            gone.set()

    async def go() -> None:
        await Observed(inner, tell=[told.append])(scope_of(), receive, send)

    asyncio.run(asyncio.wait_for(go(), 10))
    return told[0]


def test_a_client_that_goes_away_is_told() -> None:
    """Whether the application hears of it, is stopped, or just goes on, the request is told as cut."""
    start = {"type": "http.response.start", "status": 200}
    block = {"type": "http.response.body", "body": b"12345", "more_body": True}

    async def hears(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send(block)
        assert (await receive())["type"] == "http.disconnect"

    async def stops(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send(block)
        raise asyncio.CancelledError

    async def sends(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send(block)
        await send(block)

    told = run_cut(hears)
    assert (told.end, told.status, told.sent_bytes) == ("cut", 200, 5)
    heard: list[Answered] = []

    async def ignore(message: Message) -> None: ...

    async def nothing() -> Message:
        return {"type": "http.request"}

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Observed(stops, tell=[heard.append])(scope_of(), nothing, ignore))
    assert heard[0].end == "cut"
    broken: list[Answered] = []

    async def breaks(message: Message) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        asyncio.run(Observed(sends, tell=[broken.append])(scope_of(), nothing, breaks))
    assert (broken[0].end, broken[0].sent_bytes) == ("cut", 0)


@pytest.mark.parametrize("wrap", [lambda inner: Observed(inner, tell=[]), SecurityHeaders])
def test_blocks_pass_at_once(wrap: Any) -> None:  # noqa: ANN401
    """Each block is with the client before the next one is made; other kinds of connections pass untouched."""
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        for number in range(3):
            seen.append(f"make {number}")
            await send({"type": "http.response.body", "body": b"x", "more_body": number < 2})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            seen.append("sent")

    async def receive() -> Message:
        return {"type": "http.request"}

    asyncio.run(wrap(inner)(scope_of(), receive, send))
    assert seen == ["make 0", "sent", "make 1", "sent", "make 2", "sent"]
    seen.clear()
    asyncio.run(wrap(inner)({"type": "lifespan"}, receive, send))
    assert len(seen) == 6


def test_a_line_is_json_with_what_is_known() -> None:
    """Its names and units are stable."""
    assert json.loads(line_of(ANSWERED)) == {
        "time": "1970-01-01T00:00:00.000Z",
        "id": "id",
        "method": "GET",
        "route": "/x",
        "path": "/x",
        "query": ["q"],
        "status": 200,
        "bytes": 10,
        "ms": 1500.0,
        "first_byte_ms": 4.0,
        "caller": "ci",
        "client": "127.0.0.1",
        "agent": "curl",
        "end": "done",
    }


@given(st.text(), st.text(), st.text())
def test_a_line_is_one_line_of_plain_text(path: str, agent: str, name: str) -> None:
    """Whatever a client sends, there is one newline, at the end, and no control or foreign character."""
    line = line_of(replace(ANSWERED, path=path, agent=agent, query=(name,)))
    assert line[:-1].isprintable()
    assert line.isascii()
    assert line.endswith("\n")
    assert json.loads(line)["path"] == path


@given(st.binary(max_size=300))
def test_any_query_is_told(query: bytes) -> None:
    """Names of parameters are bounded in number and length, whatever the query is."""
    told: list[Answered] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None: ...

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None: ...

    asyncio.run(Observed(inner, tell=[told.append])(scope_of(query_string=query), receive, send))
    assert len(told[0].query) <= 20
    assert all(len(name) <= 32 for name in told[0].query)
    assert (told[0].status, told[0].end) == (0, "cut")


def test_lines_are_written_in_order() -> None:
    """All that was taken is there when the log is closed, in order."""
    stream = io.StringIO()
    with AccessLog(stream) as log:
        for number in range(2000):
            log(replace(ANSWERED, status=number))
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == list(range(2000))


class Stuck(io.StringIO):
    """A stream whose reader does not read until told."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.go_on.wait(10)
        return super().write(text)


def test_nobody_waits_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads it, lines are dropped, and their number is told once somebody does."""
    monkeypatch.setattr(accesslog, "MAX_LINES", 5)
    stream = Stuck()
    log = AccessLog(stream)
    log(ANSWERED)
    assert stream.reached.wait(10)
    for _ in range(8):
        log(ANSWERED)
    assert log.dropped == 3
    stream.go_on.set()
    log.close()
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["dropped"] for row in rows if "dropped" in row] == [3]
    assert len(rows) == 7


def test_lines_of_several_processes_stay_whole() -> None:
    """What is written at once fits into a pipe at once, so that no line comes into the middle of another."""
    written: list[str] = []

    class Pipe:
        def write(self, text: str, /) -> None:
            written.append(text)

        def flush(self) -> None:
            pass

    with AccessLog(Pipe()) as log:
        for _ in range(200):
            log(ANSWERED)
    assert all(text.endswith("\n") and len(text) <= PIPE_BUF for text in written)
    assert "".join(written).count("\n") == 200


def test_what_has_never_happened_is_told() -> None:
    """Series with a bounded number of labels are there from the start, at 0."""
    lines = lines_of(Metrics())
    for line in ('in_use{use="search"}', 'spool_bytes{where="disk"}', 'gaps_total{reason="truncated"}'):
        assert f"logflume_{line} 0.0" in lines
    assert 'logflume_connections_ended_total{why="stalled"} 0.0' in lines


def test_a_stream_that_breaks() -> None:
    """Lines that cannot be written are counted, and the server goes on."""
    stream = io.StringIO()
    stream.close()
    with AccessLog(stream) as log:
        log(ANSWERED)
    assert log.dropped == 1


def test_security_headers() -> None:
    """Every answer has them, errors too; no inline script may run, and only named origins may frame it."""
    wrapped = SecurityHeaders(app(), frame_ancestors=["https://airflow.example"])
    headers = ask(wrapped, "/api/logs/x/stream").headers  # says nothing of its type: taken for a page
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'self' https://airflow.example"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    for address in ("/none", "/broken"):
        data = ask(wrapped, address).headers
        assert data["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert (headers["X-Content-Type-Options"], data["X-Content-Type-Options"]) == ("nosniff", "nosniff")
    assert ask(wrapped, "/none").headers["Cache-Control"] == "no-store"
    assert ask(wrapped, "/api/logs/x/stream").headers["Cache-Control"] == "private"


def lines_of(metrics: Metrics) -> list[str]:
    """Return the samples of our own metrics."""
    return [line for line in metrics.text().decode().splitlines() if line.startswith("logflume_")]


def test_metrics() -> None:
    """Requests, bytes, first bytes, merges, gaps, uses and spools are counted, under stable names."""
    metrics = Metrics()
    metrics.answered(ANSWERED)
    metrics.answered(replace(ANSWERED, status=404, first_byte_s=None, end="cut"))
    metrics.in_use(Use.READ, 3)
    reading = metrics.new_reading()
    gap = Gap("s", GapReason.VANISHED, "", "")
    reading.update(stats(100), [])
    reading.update(stats(150), [gap])
    reading.update(stats(150), [gap, gap])
    spool = metrics.new_spool()
    spool.update(5, 7)
    spool.update(4, 7)
    found = lines_of(metrics)
    for line in (
        'logflume_requests_total{end="done",method="GET",route="/x",status="200"} 1.0',
        'logflume_requests_total{end="cut",method="GET",route="/x",status="404"} 1.0',
        'logflume_sent_bytes_total{route="/x"} 20.0',
        'logflume_first_byte_seconds_bucket{le="0.005",route="/x"} 1.0',
        'logflume_first_byte_seconds_count{route="/x"} 1.0',
        "logflume_merged_bytes_total 150.0",
        "logflume_merged_records_total 10.0",
        "logflume_merged_late_total 2.0",
        "logflume_merged_duplicates_total 1.0",
        'logflume_gaps_total{reason="vanished"} 2.0',
        'logflume_in_use{use="reader"} 3.0',
        'logflume_spool_bytes{where="memory"} 4.0',
        'logflume_spool_bytes{where="disk"} 7.0',
    ):
        assert line in found
    spool.close()
    assert 'logflume_spool_bytes{where="disk"} 0.0' in lines_of(metrics)
    assert b"process_resident_memory_bytes" in metrics.text()


def test_metrics_of_two_servers_are_apart() -> None:
    """Each has its own registry."""
    one, another = Metrics(), Metrics()
    one.answered(ANSWERED)
    assert any(line.startswith("logflume_requests_total{") for line in lines_of(one))
    assert not any(line.startswith("logflume_requests_total{") for line in lines_of(another))


PROGRAM = """
import sys
from pathlib import Path
from logflume.serve.limits import Use
from logflume.serve.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]))
metrics.in_use(Use.READ, 2)
metrics.new_reading().update({"bytes": 5, "records": 1, "late": 0, "duplicates": 0}, [])
print("ready", flush=True)
if sys.stdin.readline() == "show\\n":
    print(metrics.text().decode())
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Any]:
    """Give what starts a process that counts in a shared folder."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_metrics_of_several_processes(worker: Any) -> None:  # noqa: ANN401
    """Any process gives the sum of all; what one that died had counted stays, and what it had going on does not."""
    dead, alive, asked = worker(), worker(), worker()
    dead.kill()
    dead.communicate()
    text, _ = asked.communicate("show\n", timeout=60)
    assert "logflume_merged_bytes_total 15.0" in text
    assert 'logflume_in_use{use="reader"} 4.0' in text
    assert alive.poll() is None


def test_metrics_that_count_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for a shared folder when counting in memory has begun is refused: half of it would be missing."""
    Metrics()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    with pytest.raises(UsageError, match="PROMETHEUS_MULTIPROC_DIR"):
        Metrics(tmp_path)
