"""The lines of an NDJSON answer go past Airflow's route, and only past that one."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.utils.log.log_reader import TaskLogReader
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import logflume.airflow.past_route
from logflume.airflow.requests import NotesRequests

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from tests.airflow.conftest import TaskLogs

NDJSON = "application/x-ndjson"
LOG = "/api/v2/dags/d/dagRuns/r/taskInstances/t/logs/1"
LINES = [f'{{"timestamp":"2024-11-20T12:00:{second:02}Z","event":"line {second}"}}' for second in range(60)] * 100


class Served:
    """An application that answers as Airflow does, with the middleware inside of compression."""

    def __init__(self, logs: TaskLogs, answer: Callable[[Any], Response]) -> None:
        self.through_route: list[str] = []
        self._logs = logs
        self._answer = answer
        app = Starlette(routes=[Route("/{path:path}", self._serve)])
        self.client = TestClient(GZipMiddleware(NotesRequests(app), minimum_size=1))

    def _serve(self, request: Request) -> Response:
        del request
        reader = TaskLogReader()
        reader.log_handler = self._logs.handler
        return self._answer(self._noted(reader.read_log_stream(self._logs.task(), 1, {"download_logs": False})))

    def _noted(self, stream: Any) -> Any:  # noqa: ANN401 - Airflow's generator
        for text in stream:
            self.through_route.append(text)
            yield text

    def lines(self, path: str = LOG, **headers: str) -> list[str]:
        """Ask; return the lines after the group of sources."""
        answer = self.client.get(path, headers={"Accept": NDJSON, **headers})
        assert answer.status_code == 200
        lines: list[str] = answer.text.removesuffix("\n").split("\n")
        return lines[[json.loads(line)["event"] for line in lines].index("::endgroup::") + 1 :]


def streamed(stream: Any) -> Response:  # noqa: ANN401 - as above
    """Answer as Airflow's NDJSON route does."""
    return StreamingResponse(stream, media_type=NDJSON)


@pytest.fixture
def served(logs: TaskLogs) -> Served:
    """Give a log of 6,000 lines, served."""
    logs.write("attempt=1.log", "\n".join(LINES) + "\n")
    return Served(logs, streamed)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_lines_go_past_the_route(served: Served, encoding: str) -> None:
    """The route gives the group of sources, and all lines follow, each once and in order, compressed or not."""
    assert served.lines(**{"Accept-Encoding": encoding}) == LINES
    assert "line 1" not in "".join(served.through_route)


@pytest.mark.parametrize("path", ["/other", "/api/v2/dags/d/dagRuns/r/taskInstances/t/logs", "/my/logs/1"])
def test_another_route_is_given_all_lines(served: Served, path: str) -> None:
    """What reads logs at another address, and may do with them what it likes, has them from its own stream."""
    assert served.lines(path) == LINES
    assert "line 1" in "".join(served.through_route)


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson, */*"])
def test_another_form_is_given_all_lines(served: Served, accept: str) -> None:
    """Only a request for nothing but NDJSON has its answer lengthened."""
    assert served.lines(Accept=accept) == LINES
    assert "line 1" in "".join(served.through_route)


def test_an_answer_with_a_length_is_not_lengthened(logs: TaskLogs) -> None:
    """A route that gathers the lines before it answers has all of them."""
    logs.write("attempt=1.log", "\n".join(LINES) + "\n")
    served = Served(logs, lambda stream: PlainTextResponse("".join(stream), media_type=NDJSON))
    assert served.lines(**{"Accept-Encoding": "identity"}) == LINES


def test_a_second_log_of_one_answer_goes_through_the_route(logs: TaskLogs) -> None:
    """One reading is handed over; the lines of another one are not lost."""
    logs.write("attempt=1.log", "\n".join(LINES) + "\n")
    readings: list[Any] = []

    def both(stream: Any) -> Response:  # noqa: ANN401 - Airflow's generator
        again = logs.handler.read(logs.task(), 1, metadata={})[0]
        readings.append(again)
        return StreamingResponse((text for part in (stream, _written(again)) for text in part), media_type=NDJSON)

    answer = Served(logs, both).client.get(LOG, headers={"Accept": NDJSON})
    assert answer.text.count('"event":"line 1"') == 2 * LINES.count(LINES[1])


def test_more_answers_than_may_go_past_the_route_go_through_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the bound is read all the same, and a place is free again when an answer has ended."""
    monkeypatch.setattr("logflume.airflow.past_route._PAST_ROUTE", threading.BoundedSemaphore(1))
    for _ in range(3):
        served.through_route.clear()
        assert served.lines() == LINES
        assert "line 1" not in "".join(served.through_route)
    assert logflume.airflow.past_route._PAST_ROUTE.acquire(blocking=False)
    assert served.lines() == LINES
    assert "line 1" in "".join(served.through_route)


def _written(stream: Any) -> Any:  # noqa: ANN401 - as above
    return (f"{message.model_dump_json()}\n" for message in stream)


def test_nothing_is_open_when_a_client_has_left(logs: TaskLogs) -> None:
    """A connection that breaks while lines are sent leaves no descriptor and no thread."""
    path = logs.write("attempt=1.log", "\n".join(LINES * 20) + "\n")
    served = Served(logs, streamed)
    sent = 0

    async def breaking(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        async def counted(message: Any) -> None:  # noqa: ANN401 - as above
            nonlocal sent
            sent += len(message.get("body", b""))
            if sent > 200_000:
                assert str(path) in _descriptors()
                raise ConnectionResetError
            await send(message)

        await NotesRequests(Starlette(routes=[Route("/{path:path}", served._serve)]))(scope, receive, counted)

    with pytest.raises(ConnectionResetError):
        TestClient(breaking).get(LOG, headers={"Accept": NDJSON})
    assert str(path) not in _descriptors()


def test_a_source_that_breaks_is_told_after_the_lines(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found missing while lines are sent is the last message."""
    path = logs.write("attempt=1.log", "\n".join(LINES) + "\n")
    served = Served(logs, streamed)
    begin = TaskLogReader.read_log_stream

    def without_file(*given: Any) -> Any:  # noqa: ANN401 - as Airflow's
        for number, text in enumerate(begin(*given)):
            if number == 1:
                path.unlink()
            yield text

    monkeypatch.setattr(TaskLogReader, "read_log_stream", without_file)
    (last,) = served.lines()
    assert json.loads(last)["level"] == "warning"
    assert str(path) in json.loads(last)["event"]


# The JSON route


def gathered(logs: TaskLogs, **asked: Any) -> Callable[[Any], Response]:  # noqa: ANN401 - of a token
    """Return what answers as Airflow's JSON route does, in the place of a stream."""

    def answer(_: Any) -> Response:  # noqa: ANN401 - the stream that is not read
        stream, found = logs.handler.read(logs.task("running"), 1, metadata=dict(asked))
        content = [message.model_dump() for message in list(stream)]
        text = json.dumps({"content": content, "continuation_token": found}, separators=(",", ":"))
        return PlainTextResponse(text, media_type="application/json")

    return answer


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have logs of a few kilobytes be large ones."""
    monkeypatch.setattr("logflume.airflow.reply.COUNTED_BYTES", 1000)


def as_json(served: Served, **headers: str) -> tuple[list[Any], Any]:
    """Ask for JSON; return the messages and what a token is made of."""
    answer = served.client.get(LOG, headers={"Accept": "application/json", **headers})
    assert answer.status_code == 200
    return answer.json()["content"], answer.json()["continuation_token"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_messages_go_past_the_json_route(logs: TaskLogs, encoding: str) -> None:
    """A large log's messages stand in the answer after the group of sources, and after a token alone."""
    path = logs.write("attempt=1.log", "\n".join(LINES) + "\n")
    lines = [json.loads(line) for line in LINES]
    content, token = as_json(Served(logs, gathered(logs)), **{"Accept-Encoding": encoding})
    assert content[2]["event"] == "::endgroup::"
    assert content[3:] == lines
    path.write_bytes(path.read_bytes() * 2 + b"half a line")
    content, _ = as_json(Served(logs, gathered(logs, **token)), **{"Accept-Encoding": encoding})
    assert content == lines


@pytest.mark.usefixtures("small")
def test_a_large_log_without_a_line_is_an_answer_all_the_same(logs: TaskLogs) -> None:
    """Where nothing stands for the lines in the end, the list is whole."""
    logs.write("attempt=1.log", "x" * 5000)
    content, token = as_json(Served(logs, gathered(logs)))
    assert [message["event"] for message in content][-1] == "::endgroup::"
    content, _ = as_json(Served(logs, gathered(logs, **token)))
    assert content == []


def test_a_small_log_goes_through_the_json_route(logs: TaskLogs) -> None:
    """What is small has its length told, as ever."""
    logs.write("attempt=1.log", LINES[0] + "\n")
    answer = Served(logs, gathered(logs)).client.get(LOG, headers={"Accept-Encoding": "identity"})
    assert "content-length" in answer.headers
    assert answer.json()["content"][-1] == json.loads(LINES[0])


@pytest.mark.usefixtures("small")
def test_an_error_of_the_route_is_its_answer(logs: TaskLogs) -> None:
    """A route that fails after it has read says so, and no line follows."""
    logs.write("attempt=1.log", "\n".join(LINES) + "\n")

    def failing(stream: Any) -> Response:  # noqa: ANN401 - Airflow's
        gathered(logs)(stream)
        return PlainTextResponse("no", status_code=409)

    answer = Served(logs, failing).client.get(LOG)
    assert (answer.status_code, answer.text) == (409, "no")


@pytest.mark.usefixtures("small")
def test_an_answer_without_a_place_for_the_lines_is_an_error(logs: TaskLogs) -> None:
    """A route that makes something else of the messages fails; it never leaves out the lines in silence."""
    logs.write("attempt=1.log", "\n".join(LINES) + "\n")

    def counting(_: Any) -> Response:  # noqa: ANN401 - Airflow's
        stream, _found = logs.handler.read(logs.task(), 1, metadata={})
        return PlainTextResponse(str(len(list(stream))))

    served = Served(logs, counting)
    with pytest.raises(RuntimeError, match="no place for the lines"):
        served.client.get(LOG)


@pytest.mark.usefixtures("small")
def test_who_leaves_the_json_route_ends_its_work(logs: TaskLogs) -> None:
    """When the other side is gone, no more lines are read, though nothing that is sent says so."""
    path = logs.write("attempt=1.log", "\n".join(LINES * 50) + "\n")
    app = NotesRequests(Starlette(routes=[Route("/{path:path}", lambda _: gathered(logs)(None))]))
    sent: list[int] = []
    scope = {"type": "http", "method": "GET", "path": LOG, "headers": [], "query_string": b"", "root_path": ""}

    async def leave() -> None:
        gone = asyncio.Event()

        async def receive() -> Any:  # noqa: ANN401 - ASGI
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI
            sent.append(len(message.get("body", b"")))
            if sum(sent) > 200_000:
                gone.set()
            await asyncio.sleep(0)

        await app(scope, receive, send)

    asyncio.run(leave())
    assert sum(sent) < path.stat().st_size // 2
    assert str(path) not in _descriptors()


def _descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(entry))  # noqa: PTH115 - what is deleted is no path
        except OSError:
            continue
    return found
