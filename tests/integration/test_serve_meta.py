"""What a log is made of, and waiting for it to change; cursors that have expired; answers that break off."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logflume.errors import SourceFailed
from logflume.records import Gap, GapReason
from logflume.serve.reading import Media
from logflume.serve.streams import Form, StreamResponse, pumped
from tests.served import DEADLINE_S, Server, eventually, line, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path

ATTEMPT = "logs/dag/attempt=1.log"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """Serve one's own logs."""
    with serving(made(tmp_path / "logs"), tmp_path / "cache") as running:
        yield running


def settled(server: Server, path: str = ATTEMPT) -> dict[str, Any]:
    """Return what a log is made of once its index is whole."""
    eventually(lambda: server.get(path).json()["lines"]["exact"])
    told: dict[str, Any] = server.get(path).json()
    return told


def test_sources_tell_what_they_answered(own: Server) -> None:
    """Each with its size, how long it took, and what is missing of it."""
    (own.folder / "dag" / "attempt=1.log.1").mkdir()
    told = own.get(ATTEMPT).json()["sources"]
    assert [source["name"] for source in told] == ["attempt=1.log", "attempt=1.log.trigger.7.log"]
    assert all(source["ms"] >= 0 for source in told)
    assert [gap["reason"] for gap in told[0]["gaps"]] == ["special-file"]
    assert (told[1]["state"], told[1]["gaps"]) == ("ok", [])


def test_nothing_has_changed(own: Server) -> None:
    """With the tag of an earlier answer the next one is 304, at once or after waiting."""
    version = settled(own)["version"]
    answer = own.get(ATTEMPT, headers={"If-None-Match": f'"{version}"'})
    assert (answer.status_code, answer.headers["etag"]) == (304, f'"{version}"')
    assert own.get(ATTEMPT, {"wait": 1}, {"If-None-Match": f'"{version}"'}).status_code == 304
    assert own.get(ATTEMPT, {"wait": 1, "version": version}).json()["version"] == version
    assert own.get(ATTEMPT, {"wait": 30, "version": "another"}).json()["version"] == version


def test_waiting_ends_with_the_change(own: Server) -> None:
    """All who wait for a log hear of its growth, and of it once."""
    version = settled(own)["version"]
    heard: list[dict[str, Any]] = []
    path = f"{own.url}/api/v1/{ATTEMPT}"

    def wait() -> None:
        answer = httpx.get(path, params={"wait": 30, "version": version}, timeout=DEADLINE_S + 10)
        heard.append(answer.json())

    waiters = [threading.Thread(target=wait) for _ in range(10)]
    for waiter in waiters:
        waiter.start()
    eventually(lambda: "follower" in httpx.get(f"{own.url}/metrics").text)
    assert not heard
    with (own.folder / "dag" / "attempt=1.log").open("a") as file:
        file.write(line(100, "new"))
    for waiter in waiters:
        waiter.join(DEADLINE_S)
    assert len(heard) == 10
    assert all(told["version"] != version for told in heard)
    assert heard[0]["bytes"] > 0
    assert len({told["bytes"] for told in heard}) == 1


def test_waiting_ends_when_the_log_is_gone(own: Server) -> None:
    """Whoever waits is answered as if they had asked now."""
    version = settled(own, "logs/long.log")["version"]

    def remove() -> None:
        (own.folder / "long.log").unlink()

    timer = threading.Timer(0.3, remove)
    timer.start()
    answer = own.get("logs/long.log", {"wait": 30, "version": version})
    timer.join()
    assert answer.status_code == 200
    assert answer.json()["sources"][0]["state"] == "failed"
    assert own.get("logs/long.log").status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_of_what_is_for_operators(own: Server, path: str) -> None:
    """As with GET, without the body."""
    answer = httpx.head(own.url + path, timeout=DEADLINE_S)
    assert (answer.status_code, answer.content) == (200, b"")


def test_who_leaves_waits_no_more(own: Server) -> None:
    """The place of one who has gone is free again."""
    version = settled(own)["version"]
    connection = http.client.HTTPConnection(own.url.removeprefix("http://"), timeout=DEADLINE_S)
    connection.request("GET", f"/api/v1/{ATTEMPT}?wait=60&version={version}")

    def followers() -> float:
        text = httpx.get(f"{own.url}/metrics").text
        lines = [each for each in text.splitlines() if "follow" in each and not each.startswith("#")]
        return sum(float(each.split()[-1]) for each in lines if 'use="follower"' in each or "followers" in each)

    eventually(lambda: followers() == 1)
    connection.close()
    eventually(lambda: followers() == 0)


def test_the_oldest_cursor_that_works(own: Server) -> None:
    """One source was replaced: 410 names a cursor that reads it from its start, and no old record of the other."""
    as_json = {"Accept": "application/json"}
    after = own.get(f"{ATTEMPT}/stream", headers=as_json).json()["after"]
    (own.folder / "dag" / "attempt=1.log").write_text(line(100, "other file"))
    answer = own.get(f"{ATTEMPT}/stream", {"after": after}, as_json)
    assert answer.status_code == 410
    again = own.get(f"{ATTEMPT}/stream", {"after": answer.json()["oldest"]}, as_json)
    assert [each["event"] for each in again.json()["lines"]] == ["other file"]
    rows = own.get(f"{ATTEMPT}/rows", {"after": after})
    assert (rows.status_code, rows.json()["oldest"]) == (410, answer.json()["oldest"])


def test_text_that_lost_something_has_no_end(tmp_path: Path) -> None:
    """A source that is cut while it is sent cuts the connection, for text cannot tell; NDJSON tells, and ends."""
    root = made(tmp_path / "logs")
    with serving(root, tmp_path / "cache") as server:
        for accept, whole in (("text/plain", False), ("application/x-ndjson", True)):
            (root / "big.log").write_bytes(b'{"timestamp":"2024-11-20T12:00:00Z","event":"x"}\n' * 1_000_000)
            headers = {"Accept": accept, "Accept-Encoding": "identity"}
            with server.client.stream("GET", "logs/big.log/stream", headers=headers) as answer:
                blocks = answer.iter_raw()
                rest = [next(blocks)]
                (root / "big.log").write_bytes(b"")
                try:
                    rest += blocks
                    assert whole
                    (told,) = [each for each in b"".join(rest).splitlines() if b"logflume" in each]
                    assert json.loads(told)["logflume"]["gap"]["reason"] == "truncated"
                except httpx.RemoteProtocolError:
                    assert not whole


class _Breaking:
    """Blocks that end with an error."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"event":"one"}\n'
        raise SourceFailed(Gap("a", GapReason.UNREADABLE, "It broke.", "Mend it."))

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("media", list(Media))
def test_a_fault_is_the_last_record_and_no_end(media: Media) -> None:
    """What breaks in the middle says so where there is a place for it, and the body is never finished."""

    async def run() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(dict(message))

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(DEADLINE_S)
            return {"type": "http.disconnect"}

        form = Form(media=media, encoding=None)
        await StreamResponse(lambda: pumped(_Breaking, form), form)({"type": "http"}, receive, send)
        return sent

    start, *bodies = asyncio.run(run())
    assert start["status"] == 200
    assert all(body["more_body"] for body in bodies)
    last = bodies[-1]["body"]
    if media is Media.NDJSON:
        assert json.loads(last)["logflume"]["problem"]["type"] == "urn:logflume:problem:source-failed"
    if media is Media.EVENTS:
        assert last.startswith(b"event: problem\n")
    if media is Media.TEXT:
        assert last == b'{"event":"one"}\n'


def test_a_list_is_paged_by_its_last_id(own: Server) -> None:
    """`after` need not be a log that is still there, and no page repeats another."""
    for number in range(25):
        (own.folder / f"n{number:02}.log").touch()
    began = time.monotonic()
    seen: list[str] = []
    after: str | None = "long.log"
    while after is not None:
        page = own.get("logs", {"after": after, "limit": 10}).json()
        seen += [log["id"] for log in page["logs"]]
        after = page["after"]
        if after is not None:
            (own.folder / after).unlink()
        assert time.monotonic() - began < DEADLINE_S
    assert seen == [f"n{number:02}.log" for number in range(25)]
