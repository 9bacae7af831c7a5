"""The server as its users have it: a process of its own, asked over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
import zstandard

from logflume import frames
from tests.drive import merge_whole
from tests.served import DEADLINE_S, Server, eventually, line, made, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Logs of one's own."""
    return made(tmp_path / "logs")


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Iterator[Server]:
    """Serve one's own logs."""
    with serving(folder, tmp_path / "cache") as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve logs that nobody changes."""
    folder = tmp_path_factory.mktemp("served")
    with serving(made(folder / "logs"), folder / "cache") as running:
        yield running


def merged(folder: Path, *names: str) -> bytes:
    """Merge files as the engine does."""
    return merge_whole([(folder / name).read_bytes() for name in names])


ATTEMPT = "logs/dag/attempt=1.log"


def test_the_list_is_paged(own: Server) -> None:
    """Logs come in the order of their ids, and ``after`` names where the next page begins."""
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = own.get("logs", params={"limit": 1, "after": after}).json()
        seen += [log["id"] for log in page["logs"]]
        after = page["after"]
    assert seen == ["dag/attempt=1.log", "empty.log", "long.log"]
    assert [log["id"] for log in own.get("logs", params={"prefix": "da"}).json()["logs"]] == ["dag/attempt=1.log"]


def test_a_log_tells_what_it_is_made_of(server: Server) -> None:
    """Counts, times and levels are those of all its sources, each of which is named."""
    eventually(lambda: server.get(ATTEMPT).json()["lines"]["exact"])
    told = server.get(ATTEMPT).json()
    assert told["lines"] == {"count": 60, "exact": True}
    assert told["first"] == "2024-11-20T12:00:00.000000000Z"
    assert told["last"] == "2024-11-20T12:00:59.000000000Z"
    assert (told["levels"]["info"], told["levels"]["error"]) == (59, 1)
    assert [source["name"] for source in told["sources"]] == ["attempt=1.log", "attempt=1.log.trigger.7.log"]


@pytest.mark.parametrize("accept", [None, "*/*", "application/x-ndjson", "text/plain;q=0.1, application/*"])
def test_a_stream_is_the_merged_log(server: Server, accept: str | None) -> None:
    """NDJSON unless another form is asked for, byte for byte."""
    headers = {"Accept": accept} if accept else {}
    answer = server.get(f"{ATTEMPT}/stream", headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content == merged(server.folder, "dag/attempt=1.log", "dag/attempt=1.log.trigger.7.log")


def test_a_stream_as_text(server: Server) -> None:
    """Text is what was written."""
    answer = server.get("logs/long.log/stream", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.content == (server.folder / "long.log").read_bytes()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_stream_is_compressed_when_asked(server: Server, encoding: str) -> None:
    """What is unpacked is the same."""
    with server.client.stream("GET", "logs/long.log/stream", headers={"Accept-Encoding": encoding}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda data: zlib.decompress(data, 31),
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }
    assert unpack[encoding](packed) == (server.folder / "long.log").read_bytes()


@pytest.mark.parametrize(
    ("parameters", "texts"),
    [
        ({"tail": 2}, ["worker 58", "trigger 59"]),
        ({"limit": 2}, ["worker 0", "trigger 1"]),
        ({"level": "error"}, ["trigger 31"]),
        ({"q": "worker 1"}, [f"worker {n}" for n in (10, 12, 14, 16, 18)]),
        ({"regex": "^.*(worker|trigger) 5[89]"}, ["worker 58", "trigger 59"]),
        ({"since": "2024-11-20T12:00:58Z"}, ["worker 58", "trigger 59"]),
        ({"until": "2024-11-20T12:00:02Z"}, ["worker 0", "trigger 1"]),
        ({"source": "attempt=1.log", "limit": 2}, ["worker 0", "worker 2"]),
        ({"tail": 3, "q": "worker", "limit": 2}, ["worker 54", "worker 56"]),
        ({"tail": 0}, []),
    ],
)
def test_what_is_streamed_can_be_chosen(server: Server, parameters: dict[str, str], texts: list[str]) -> None:
    """By place, level, text, time and source."""
    answer = server.get(f"{ATTEMPT}/stream", params=parameters)
    assert [json.loads(each)["event"] for each in answer.text.splitlines()] == texts


def test_pages_add_up_to_the_log(server: Server) -> None:
    """Each page goes on where the last one ended, and the last one says so."""
    events: list[str] = []
    after, ended = None, False
    while not ended:
        parameters = {"limit": "700"} | ({"after": after} if after else {})
        page = server.get("logs/long.log/stream", params=parameters, headers={"Accept": "application/json"}).json()
        assert len(page["lines"]) <= 700
        events += [each["event"] for each in page["lines"]]
        after, ended = page["after"], page["end"]
    assert events == [f"row {n}" for n in range(3000)]


def test_a_page_after_the_last_one_is_empty_until_the_log_grows(own: Server) -> None:
    """Polling gives what is new, and nothing else."""
    as_json = {"Accept": "application/json"}
    after = own.get(f"{ATTEMPT}/stream", headers=as_json).json()["after"]
    again = own.get(f"{ATTEMPT}/stream", params={"after": after}, headers=as_json).json()
    assert (again["lines"], again["end"]) == ([], True)
    with (own.folder / "dag" / "attempt=1.log").open("a") as file:
        file.write(line(70, "new"))
    grown = own.get(f"{ATTEMPT}/stream", params={"after": again["after"]}, headers=as_json).json()
    assert [each["event"] for each in grown["lines"]] == ["new"]


def test_cursors_outlive_the_server(folder: Path, tmp_path: Path) -> None:
    """Another process with the same cache folder goes on from them; one with another folder refuses them."""
    with serving(folder, tmp_path / "a") as first:
        last = first.get(f"{ATTEMPT}/stream", params={"limit": 59, "marks": True}).text.splitlines()[-1]
        token = json.loads(last)["logflume"]["cursor"]
    with serving(folder, tmp_path / "a") as second:
        answer = second.get(f"{ATTEMPT}/stream", params={"after": token})
        assert [json.loads(each)["event"] for each in answer.text.splitlines()] == ["trigger 59"]
        assert second.get("logs/long.log/stream", params={"after": token}).status_code == 400
    with serving(folder, tmp_path / "b") as third:
        assert third.get(f"{ATTEMPT}/stream", params={"after": token}).json()["type"].endswith("bad-cursor")


def test_a_cut_log_refuses_its_cursors(own: Server) -> None:
    """The bytes under a cursor are gone: 410, and how to go on."""
    as_json = {"Accept": "application/json"}
    after = own.get("logs/long.log/stream", params={"limit": 100}, headers=as_json).json()["after"]
    (own.folder / "long.log").write_text(line(5, "other"))
    answer = own.get("logs/long.log/stream", params={"after": after}, headers=as_json)
    assert (answer.status_code, answer.json()["oldest"]) == (410, None)


def test_rows_by_their_place(server: Server) -> None:
    """Any part of the log, also counted from its end."""
    eventually(lambda: server.get("logs/long.log").json()["lines"]["exact"])
    page = server.get("logs/long.log/rows", params={"from": 1234, "n": 3}).json()
    assert [row["event"] for row in page["rows"]] == ["row 1234", "row 1235", "row 1236"]
    assert (page["from"], page["lines"]) == (1234, {"count": 3000, "exact": True})
    last = server.get("logs/long.log/rows", params={"from": -2, "n": 5}).json()
    assert (last["from"], [row["event"] for row in last["rows"]]) == (2998, ["row 2998", "row 2999"])
    assert server.get("logs/long.log/rows", params={"from": 3000}).json()["rows"] == []
    assert server.get("logs/empty.log/rows").json()["rows"] == []


def test_places_are_found(server: Server) -> None:
    """By time, and from one error to the next."""
    eventually(lambda: server.get(ATTEMPT).json()["lines"]["exact"])

    def seq(**parameters: object) -> object:
        return server.get(f"{ATTEMPT}/locate", params={key: str(value) for key, value in parameters.items()}).json()[
            "seq"
        ]

    assert seq(ts="2024-11-20T12:00:31Z") == 31
    assert seq(error="next") == 31
    assert seq(error="next", seq=32) is None
    assert seq(error="previous", seq=60) == 31
    assert seq(seq=7) == 7


def test_a_search_tells_where_its_hits_are(server: Server) -> None:
    """Each hit comes with its place in the whole log; the last line says that all was searched."""
    told = [json.loads(each) for each in server.get("logs/long.log/search", params={"q": "row 299"}).text.splitlines()]
    hits = [each for each in told if "seq" in each]
    assert [(hit["seq"], hit["rows"][0]["event"]) for hit in hits] == [
        (n, f"row {n}") for n in [299, *range(2990, 3000)]
    ]
    assert told[-1]["done"] | {"bytes": 0} == {
        "hits": 11,
        "whole": True,
        "seq": 3000,
        "bytes": 0,
        "after": None,
        "gaps": [],
    }
    assert any("progress" in each for each in told)


def test_a_search_goes_on_where_it_ended(server: Server) -> None:
    """With the cursor and the place of the last line, the other hits come with their places."""
    parameters: dict[str, str | int | bool] = {"regex": 'row [0-9]*7$|row [0-9]*7"', "limit": 100}
    seen: list[int] = []
    whole = False
    while not whole:
        told = [json.loads(each) for each in server.get("logs/long.log/search", params=parameters).text.splitlines()]
        seen += [each["seq"] for each in told if "seq" in each]
        done = told[-1]["done"]
        whole = done["whole"]
        parameters |= {"after": done["after"] or "", "seq": done["seq"]}
    assert seen == list(range(7, 3000, 10))


def test_a_search_needs_something_to_look_for(server: Server) -> None:
    """Otherwise everything would be a hit."""
    assert server.get("logs/long.log/search").json()["type"] == "urn:logflume:problem:bad-request"


def test_a_summary_counts_every_record(server: Server) -> None:
    """The buckets of the timeline add up."""
    eventually(lambda: server.get(ATTEMPT).json()["lines"]["exact"])
    told = server.get(f"{ATTEMPT}/summary", params={"buckets": 7}).json()
    assert len(told["buckets"]) <= 7
    assert sum(map(sum, told["buckets"])) == 60
    assert sum(bucket[told["levels"].index("error")] for bucket in told["buckets"]) == 1


@pytest.mark.parametrize(
    ("path", "status", "type_"),
    [
        ("logs/nothing.log", 404, "no-such-log"),
        ("logs/nothing.log/stream", 404, "no-such-log"),
        ("logs/../../etc/passwd/rows", 403, "not-allowed"),
        ("logs/%2e%2e/%2e%2e/etc/passwd", 403, "not-allowed"),
        ("logs/a%00b", 403, "not-allowed"),
        ("logs/%ff%fe", 404, "no-such-log"),
        ("nowhere", 404, "no-such-page"),
        ("logs/long.log/stream?after=nonsense", 400, "bad-cursor"),
        ("logs/long.log/stream?regex=a(b", 400, "bad-pattern"),
        ("logs/long.log/stream?since=yesteryear", 400, "bad-parameter"),
        ("logs/long.log/stream?tail=-1", 400, "bad-parameter"),
        ("logs/long.log/stream?tail=1&after=x", 400, "bad-parameter"),
        ("logs/long.log/stream?source=other", 404, "no-such-source"),
        ("logs/long.log/rows?n=100000", 400, "bad-parameter"),
        ("logs/long.log/locate", 400, "bad-parameter"),
        ("logs/long.log/locate?ts=nonsense", 400, "bad-parameter"),
        ("logs/long.log/rows?after=nonsense", 400, "bad-cursor"),
        ("logs/long.log/rows?from=1&before=2", 400, "bad-parameter"),
        ("logs/long.log/rows?cut=1", 400, "bad-parameter"),
        ("logs/long.log/outline?limit=0", 400, "bad-parameter"),
        ("logs/long.log/raw?pack=zip", 400, "bad-parameter"),
        ("logs/long.log?wait=1000", 400, "bad-parameter"),
        ("logs?limit=0", 400, "bad-parameter"),
    ],
)
def test_mistakes_are_answered_as_problems(server: Server, path: str, status: int, type_: str) -> None:
    """Each with its status and a stable word, and never the path of a file."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=DEADLINE_S)
    connection.request("GET", f"/api/v1/{path}")  # as it stands: others tidy it up
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(body)
    assert (answer.status, told["status"], told["type"]) == (status, status, f"urn:logflume:problem:{type_}")
    assert str(server.folder) not in body


def test_the_place_of_a_mistake_in_a_pattern(server: Server) -> None:
    """A bad expression is told with the byte at which it goes wrong."""
    assert server.get("logs/long.log/stream", params={"regex": "ab)"}).json()["position"] == 2


def test_other_forms_are_refused(server: Server) -> None:
    """406 names those there are."""
    answer = server.get("logs/long.log/stream", headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "text/plain" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path", ["", "/long.log", "/long.log/stream", "/long.log/rows", "/long.log/summary", "/long.log/search?q=row"]
)
def test_head_answers_as_get_without_its_body(server: Server, path: str) -> None:
    """The same status and headers, wherever one can ask."""
    answer, got = server.client.head("logs" + path), server.get("logs" + path)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (
        200,
        got.headers["content-type"],
        b"",
    )


@pytest.mark.parametrize(("sources", "most_bytes"), [(1, 700), (5, 1000), (50, 4000), (1000, 60_000)])
def test_a_poll_of_five_sources_is_answered_in_a_kilobyte(
    folder: Path, tmp_path: Path, sources: int, most_bytes: int
) -> None:
    """With a token, and nothing new, headers and all; of a thousand sources, too, can be gone on."""
    for number in range(sources):
        (folder / f"attempt=7.log.trigger.{number}.log").write_text(line(number, f"{number} " * 200))
    as_json = {"Accept": "application/json"}
    with serving(folder, tmp_path / "cache", "--pattern", "attempt=7.log.trigger.{*number}.log") as server:
        (log,) = server.get("logs").json()["logs"]
        after = server.get(f"logs/{log['id']}/stream", {"limit": 2000}, as_json).json()["after"]
        answer = server.get(f"logs/{log['id']}/stream", {"after": after}, as_json)
        assert answer.json()["lines"] == []
        headers = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
        assert headers + len(answer.content) < most_bytes


def test_an_id_that_ends_like_an_address(folder: Path, tmp_path: Path) -> None:
    """A log whose id ends in /stream or /meta is asked for in full; nothing of it is ambiguous."""
    for name in ("stream", "meta"):
        (folder / "web" / name).mkdir(parents=True)
        (folder / "web" / name / "a.txt").write_text(line(1, name))
    with serving(folder, tmp_path / "cache", "--pattern", "{service}/{kind}/{*host}.txt") as server:
        pattern = "logs/web/{}/*.txt"
        assert [log["id"] for log in server.get("logs").json()["logs"]] == ["web/meta/*.txt", "web/stream/*.txt"]
        assert json.loads(server.get(pattern.format("stream") + "/stream").text)["event"] == "stream"
    (folder / "x").mkdir()
    (folder / "x" / "stream").write_text(line(1, "here"))
    with serving(folder, tmp_path / "cache", "--pattern", "{service}/{kind}") as server:
        assert server.get("logs/x/stream/meta").json()["id"] == "x/stream"
        assert json.loads(server.get("logs/x/stream/stream").text)["event"] == "here"
        assert server.get("logs/x/stream").status_code == 404


def test_a_follow_gives_what_comes(own: Server) -> None:
    """Lines that are written while it is read come, and none twice."""
    path = own.folder / "dag" / "attempt=1.log"
    with own.client.stream("GET", f"{ATTEMPT}/stream", params={"follow": True, "tail": 1}) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["event"] == "trigger 59"
        for n in range(100, 105):
            with path.open("a") as file:
                file.write(line(n, f"new {n}"))
            assert json.loads(next(lines))["event"] == f"new {n}"


def test_a_log_that_ends_ends_its_follows(tmp_path: Path) -> None:
    """What `logflume run` captures is followed until the command has ended: in every form, and by who comes later."""
    job = tmp_path / "job"
    command = [sys.executable, "-m", "logflume", "run", "-q", "--dir", str(job), "--", "sh", "-c"]
    with serving(tmp_path, tmp_path / "cache") as server:
        script = "echo one; read x; printf two; exit 3"
        with subprocess.Popen([*command, script], stdin=subprocess.PIPE) as child:
            eventually((job / "out.log").exists)
            eventually(lambda: server.get("logs/job/out.log").json()["state"] == "running")
            address = "logs/job/out.log/stream"
            with server.client.stream("GET", address, params={"follow": True}) as answer:
                lines = answer.iter_lines()
                assert json.loads(next(lines))["event"] == "one"
                child.communicate(b"\n", timeout=DEADLINE_S)
                rest = [json.loads(each) for each in lines]
            assert rest[0]["timestamp"] is not None  # when it came
            assert [rest[0]["event"], *rest[1:]] == [
                "two",
                {"logflume": {"end": {"state": "failed", "detail": "exit code 3"}}},
            ]
        text = server.get(address, {"follow": True}, {"Accept": "text/plain"})
        assert text.text == "one\ntwo"
        events = server.get(address, headers={"Accept": "text/event-stream"}).text
        assert events.endswith('event: end\ndata: {"state": "failed", "detail": "exit code 3"}\n\n')
        assert server.get(address, headers={"Accept": "application/json"}).json()["state"] == "failed"
        assert server.get("logs/job/out.log").json()["state_detail"] == "exit code 3"


def test_a_log_that_is_quiet_has_ended_by_rule(folder: Path, tmp_path: Path) -> None:
    """With such a rule the follow of an old log ends after its last line."""
    for path in (folder / "dag").iterdir():
        os.utime(path, (1e9, 1e9))
    with serving(folder, tmp_path / "cache", "--quiet-ends-s", "3600") as server:
        answer = server.get(f"{ATTEMPT}/stream", {"follow": True, "tail": 1})
        assert [json.loads(each) for each in answer.text.splitlines()][1:] == [
            {"logflume": {"end": {"state": "ended", "detail": ""}}}
        ]
        assert server.get("logs/long.log").json()["state"] == "running"


def test_many_follow_and_one_reads(own: Server) -> None:
    """However many follow a log, it is open once, and each gets every line once, wherever it began."""
    path = own.folder / "dag" / "attempt=1.log"
    url = f"{own.url}/api/v1/{ATTEMPT}/stream"
    got: dict[int, list[str]] = {}
    last = "new 199"

    def follow(number: int, tail: int) -> None:
        with httpx.stream("GET", url, params={"follow": True, "tail": tail}, timeout=DEADLINE_S) as answer:
            events = got.setdefault(number, [])
            for each in answer.iter_lines():
                events.append(json.loads(each).get("event", ""))
                if events[-1] == last:
                    return

    viewers = [threading.Thread(target=follow, args=(number, number % 3 * 30)) for number in range(12)]
    for number, viewer in enumerate(viewers):
        viewer.start()
        if number % 3 == 0:
            time.sleep(0.05)
    eventually(lambda: len(got) == 12)
    files_open = [link.readlink().name for link in Path(f"/proc/{own.process.pid}/fd").iterdir() if link.is_symlink()]
    assert files_open.count("attempt=1.log") <= 4  # a merge that catches up opens it for a moment
    with path.open("a") as file:
        for n in range(100, 200):
            file.write(line(n, f"new {n}"))
            file.flush()
            time.sleep(0.002)
    for viewer in viewers:
        viewer.join(DEADLINE_S)
    new = [f"new {n}" for n in range(100, 200)]
    for number, events in got.items():
        assert events[-100:] == new, number
        assert len(events) == 100 + number % 3 * 30
        assert len(set(events)) == len(events)


def test_who_comes_later_gets_what_was_there(own: Server) -> None:
    """A second viewer that begins at the start gets all lines, in order, and then what comes."""
    path = own.folder / "long.log"
    address = f"{own.url}/api/v1/logs/long.log/stream"
    with httpx.stream("GET", address, params={"follow": True, "tail": 1}, timeout=DEADLINE_S) as first:
        lines = first.iter_lines()
        assert json.loads(next(lines))["event"] == "row 2999"
        with path.open("a") as file:
            file.write(line(3599, "between"))
        assert json.loads(next(lines))["event"] == "between"
        with httpx.stream("GET", address, params={"follow": True}, timeout=DEADLINE_S) as second:
            others = second.iter_lines()
            assert [json.loads(next(others))["event"] for _ in range(3001)] == [f"row {n}" for n in range(3000)] + [
                "between"
            ]
            with path.open("a") as file:
                file.write(line(3599, "after"))
            assert json.loads(next(others))["event"] == json.loads(next(lines))["event"] == "after"


def test_a_follow_after_a_cut_is_refused(own: Server) -> None:
    """A cursor whose bytes are gone is answered before anything is sent."""
    last = own.get(f"{ATTEMPT}/stream", params={"marks": True}).text.splitlines()[-1]
    (own.folder / "dag" / "attempt=1.log").write_text(line(1, "another"))
    token = json.loads(last)["logflume"]["cursor"]
    assert own.get(f"{ATTEMPT}/stream", params={"follow": True, "after": token}).status_code == 410


def test_events_go_on_after_the_last_one_seen(own: Server) -> None:
    """The id of a server-sent event, given back, is where the next connection begins."""
    accept = {"Accept": "text/event-stream"}
    with own.client.stream("GET", f"{ATTEMPT}/stream", params={"tail": 1}, headers=accept) as answer:
        lines = answer.iter_lines()
        last_id = next(lines).removeprefix("id: ")
        assert json.loads(next(lines).removeprefix("data: "))["event"] == "trigger 59"
    with (own.folder / "dag" / "attempt=1.log").open("a") as file:
        file.write(line(100, "meanwhile"))
    with own.client.stream("GET", f"{ATTEMPT}/stream", headers=accept | {"Last-Event-ID": last_id}) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: ")
        assert json.loads(next(lines).removeprefix("data: "))["event"] == "meanwhile"


def test_who_leaves_leaves_nothing_behind(own: Server) -> None:
    """Descriptors and threads of cut reads and follows are gone soon after."""
    own.get("logs/long.log/stream")
    descriptors, threads = own.descriptors(), own.threads()
    pools = 16  # threads of the event loop's own pools, which stay
    for follow in (False, True) * 20:
        address = f"{own.url}/api/v1/logs/long.log/stream"
        with contextlib.suppress(httpx.HTTPError), httpx.stream("GET", address, params={"follow": follow}) as answer:
            next(answer.iter_raw(100))
    eventually(lambda: own.descriptors() <= descriptors + 1 and own.threads() <= threads + pools)


def test_a_log_that_breaks_off_says_so(folder: Path, tmp_path: Path) -> None:
    """What is missing is told in a line of its own, and the others go on."""
    (folder / "dag" / "attempt=1.log.1").mkdir()
    with serving(folder, tmp_path / "cache") as server:
        answer = server.get(f"{ATTEMPT}/stream")
        told = [json.loads(each) for each in answer.text.splitlines()]
        gaps = [each["logflume"]["gap"] for each in told if "logflume" in each]
        assert [gap["reason"] for gap in gaps] == ["special-file"]
        assert len(told) == 61


def test_ids_may_hold_anything(own: Server) -> None:
    """Spaces, colons, plus signs and letters of any script, as Airflow's run ids have them."""
    name = "run_id=manual__2024-11-20T12:34:56+00:00 ü#?.log"
    (own.folder / name).write_text(line(1, "here"))
    answer = own.get(f"logs/{quote(name)}/stream")
    assert json.loads(answer.text)["event"] == "here"


def test_another_address_is_refused(folder: Path) -> None:
    """Without authentication nobody but this machine is served."""
    command = [sys.executable, "-m", "logflume", "serve", str(folder), "--host", "0.0.0.0"]  # noqa: S104
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, "tokens_file" in done.stderr) == (2, True)


def test_a_port_that_is_taken(server: Server) -> None:
    """The message says which, and what to do."""
    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "logflume", "serve", str(server.folder), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, "--port 0" in done.stderr) == (2, True)


def test_callers_see_what_they_may(folder: Path, tmp_path: Path) -> None:
    """With a file of tokens nobody is let in without one, and each sees only the logs of its prefixes."""
    tokens = tmp_path / "tokens"
    command = [sys.executable, "-m", "logflume", "token", "create", "ci", "--logs", "dag", "--tokens-file", str(tokens)]
    made_token = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    token = made_token.stdout.split()[-1]
    with serving(folder, tmp_path / "cache", "--tokens-file", str(tokens)) as server:
        refused = server.get("logs")
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:logflume:problem:not-signed-in")
        headers = {"Authorization": f"Bearer {token}"}
        assert [log["id"] for log in server.get("logs", headers=headers).json()["logs"]] == ["dag/attempt=1.log"]
        assert server.get(f"{ATTEMPT}/rows", headers=headers).status_code == 200
        assert server.get("logs/long.log/stream", headers=headers).status_code == 403
        assert server.get("logs/dag/attempt=7.log", headers=headers).json()["near"] == ["dag/attempt=1.log"]


def test_one_reader_too_many(folder: Path, tmp_path: Path) -> None:
    """Beyond the limit: 429, and when to come again; a place is free once a reader has gone."""
    with serving(folder, tmp_path / "cache", "--max-followers", "1") as server:
        with server.client.stream("GET", f"{ATTEMPT}/stream", params={"follow": True, "tail": 0}):
            answer = httpx.get(f"{server.url}/api/v1/{ATTEMPT}/stream", params={"follow": True}, timeout=DEADLINE_S)
            assert (answer.status_code, answer.json()["type"]) == (429, "urn:logflume:problem:too-many")
            assert int(answer.headers["retry-after"]) > 0
        server.client.close()

        def is_free() -> bool:
            address = f"{server.url}/api/v1/{ATTEMPT}/stream"
            with httpx.stream("GET", address, params={"follow": True}, timeout=DEADLINE_S) as again:
                return again.status_code == 200

        eventually(is_free)


def test_what_was_read_is_counted(own: Server) -> None:
    """The metrics tell bytes and records of all merges, and every answer has its security headers."""
    answer = own.get("logs/long.log/stream")
    assert "default-src" in answer.headers["content-security-policy"]

    def counted() -> bool:
        text = httpx.get(f"{own.url}/metrics").text
        return re.search(r"^logflume_\w*records\w* 3000\.0$", text, re.MULTILINE) is not None

    eventually(counted)


def test_several_processes_serve_one_address(folder: Path, tmp_path: Path) -> None:
    """They share the socket and the key; all of them end with a signal."""
    with serving(folder, tmp_path / "cache", "--workers", "2", quiet=False) as server:
        tokens = set()
        for _ in range(8):
            page = httpx.get(
                f"{server.url}/api/v1/{ATTEMPT}/stream", params={"limit": 3}, headers={"Accept": "application/json"}
            )
            tokens.add(page.json()["after"])
        assert len(tokens) == 1
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        assert len(children) >= 2
        os.kill(int(children[0]), signal.SIGKILL)

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):  # the dead one had taken it
                return httpx.get(f"{server.url}/healthz", timeout=DEADLINE_S).status_code == 200
            return False

        eventually(answers)
    assert not [child for child in children if Path(f"/proc/{child}/cmdline").exists()]


def framed(server: Server, path: str, **parameters: str | int | bool) -> list[tuple[bytes, bytes]]:
    """Read frames to their end."""
    answer = server.get(path, params=parameters, headers={"Accept": frames.MEDIA_TYPE})
    assert answer.headers["content-type"] == frames.MEDIA_TYPE
    return list(frames.Decoder().feed(answer.content))


@pytest.mark.parametrize("output", ["text", "ndjson"])
def test_frames_hold_the_log_and_places_in_it(server: Server, output: str) -> None:
    """Whichever cursor one goes on from, the rest comes, and the end is told with counts."""
    told = framed(server, "logs/long.log/stream", output=output)
    lines = b"".join(payload for kind, payload in told if kind == frames.LINES)
    assert lines == (server.folder / "long.log").read_bytes()
    assert told[-1] == (frames.END, b'{"lines":3000,"records":3000}')
    given = b""
    for kind, payload in told:
        given += payload if kind == frames.LINES else b""
        if kind == frames.CURSOR:
            after = frames.value_of(payload)["cursor"]
            rest = framed(server, "logs/long.log/stream", output=output, after=after)
            assert given + b"".join(payload for kind, payload in rest if kind == frames.LINES) == lines


def test_frames_can_hold_counts_alone(server: Server) -> None:
    """Nothing of the log is sent, and it is known how much there is."""
    told = framed(server, f"{ATTEMPT}/stream", output="none", q="worker")
    assert [kind for kind, _ in told if kind == frames.LINES] == []
    assert told[-1] == (frames.END, b'{"lines":30,"records":30}')


def test_frames_end_after_so_many_records(server: Server) -> None:
    """As many as were asked for."""
    told = framed(server, f"{ATTEMPT}/stream", records=3)
    texts = [json.loads(row)["event"] for kind, payload in told if kind == frames.LINES for row in payload.splitlines()]
    assert texts == ["worker 0", "trigger 1", "worker 2"]
