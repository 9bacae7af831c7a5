"""The server behind Debian's nginx, under a prefix, with the configuration that the docs give."""

from __future__ import annotations

import html
import json
import re
import time
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from tests.behind import NGINX, behind_nginx
from tests.served import DEADLINE_S, eventually, line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.behind import Proxied
    from tests.conftest import Require

ATTEMPT = "/api/v1/logs/dag/attempt=1.log"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Proxied]:
    """Run both; nginx waits for less long than it is told in the docs."""
    require(NGINX)
    with behind_nginx(tmp_path_factory.mktemp("nginx"), read_timeout_s=4) as running:
        yield running


def test_a_log_comes_as_it_is(proxied: Proxied) -> None:
    """The same bytes as without nginx, plain and compressed; HEAD and the list answer, too."""
    direct = httpx.get(proxied.server.url + ATTEMPT + "/stream", headers=proxied.headers).content
    assert len(direct.splitlines()) == 60
    assert proxied.get(ATTEMPT + "/stream").content == direct
    headers = proxied.headers | {"Accept-Encoding": "gzip"}
    with httpx.stream("GET", proxied.url + ATTEMPT + "/stream", headers=headers) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert zlib.decompress(packed, 31) == direct
    head = httpx.head(proxied.url + ATTEMPT + "/stream", headers=proxied.headers)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "application/x-ndjson", b"")
    assert [log["id"] for log in proxied.get("/api/v1/logs").json()["logs"]][:1] == ["dag/attempt=1.log"]


def test_any_id_finds_its_way(proxied: Proxied) -> None:
    """Spaces, colons, plus signs, percent signs and letters of any script arrive as they were sent."""
    name = "run_id=manual__2024-11-20T12:34:56+00:00 ü#?&%.log"
    (proxied.server.folder / name).write_text(line(1, "here"))
    assert json.loads(proxied.get(f"/api/v1/logs/{quote(name)}/stream").text)["event"] == "here"


def test_lines_come_at_once_and_heartbeats_keep_the_way_open(proxied: Proxied) -> None:
    """What is written is there before the answer ends; when nothing comes for longer than nginx waits, it goes on."""
    path = proxied.server.folder / "live.log"
    path.write_text(line(1, "first"))
    address = f"{proxied.url}/api/v1/logs/live.log/stream"
    for accept, heartbeat in (("application/x-ndjson", '{"logflume": {"time"'), ("text/event-stream", ": ")):
        headers = proxied.headers | {"Accept": accept}
        with httpx.stream(
            "GET", address, params={"follow": True, "tail": 1}, headers=headers, timeout=DEADLINE_S
        ) as answer:
            lines = answer.iter_lines()
            assert any(json_of(text).get("event") for text in lines)  # the first one, of a log that goes on
            begun = time.monotonic()
            beats = 0
            while time.monotonic() - begun < 5:  # longer than proxy_read_timeout
                beats += next(lines).startswith(heartbeat)
            assert beats
            with path.open("a") as file:
                file.write(line(2, "second"))
            assert any(json_of(text).get("event") == "second" for text in lines)


def json_of(text: str) -> dict[str, object]:
    """Return the object in a line of NDJSON, or of an event."""
    found: dict[str, object] = json.loads(text.removeprefix("data: ")) if "{" in text else {}
    return found


def test_who_leaves_leaves_nothing_behind(proxied: Proxied) -> None:
    """Nginx passes on that its client went away, and the follow ends."""
    descriptors = proxied.server.descriptors()
    address = f"{proxied.url}/api/v1/logs/long.log/stream"
    for _ in range(5):
        with httpx.stream("GET", address, params={"follow": True}, headers=proxied.headers) as answer:
            next(answer.iter_raw(100))
    in_use = httpx.get(proxied.url + "/metrics", headers=proxied.headers).text
    assert "logflume_in_use" in in_use
    eventually(lambda: 'logflume_in_use{use="follower"} 0.0' in proxied.get("/metrics").text)
    eventually(lambda: proxied.server.descriptors() <= descriptors + 8)  # ways that are kept for the next requests


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [("/api/v1/logs/nothing.log", 404, "no-such-log"), (ATTEMPT + "/rows?n=0", 400, "bad-parameter")],
)
def test_problems_come_as_they_are(proxied: Proxied, path: str, status: int, word: str) -> None:
    """Nginx puts no page of its own in their place."""
    answer = proxied.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"].endswith(word)


def test_long_cursors_pass(proxied: Proxied) -> None:
    """An address of 30 KB is not refused on the way: what is wrong with it is told by the server."""
    answer = proxied.get(f"{ATTEMPT}/stream?after={'x' * 30_000}")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:logflume:problem:bad-cursor")


def test_a_browser_signs_in_below_the_prefix(proxied: Proxied) -> None:
    """It is led to the form under the prefix, gets a cookie that counts there only, and is led back."""
    with httpx.Client(follow_redirects=False, headers={"Accept": "text/html"}) as browser:
        sent = browser.get(proxied.url + "/api/v1/logs")
        assert (sent.status_code, sent.headers["location"].split("?")[0]) == (303, "/logs/sign-in")
        base = proxied.url.removesuffix("/logs")
        page = browser.get(base + sent.headers["location"])
        fields = dict(re.findall(r'name="(proof|next)" type="hidden" value="([^"]*)"', page.text))
        form = {name: html.unescape(value) for name, value in fields.items()} | {"token": proxied.token}
        done = browser.post(proxied.url + "/sign-in", data=form)
        assert (done.status_code, done.headers["location"]) == (303, "/logs/api/v1/logs")
        cookie = next(value for value in done.headers.get_list("set-cookie") if "_form" not in value)
        assert "; Path=/logs;" in cookie
        assert "httponly" in cookie.lower()
        assert browser.get(proxied.url + "/api/v1/logs").status_code == 200


def told_client(proxied: Proxied, agent: str) -> str:
    """Return the address of who used an agent, by the access log."""

    def lines() -> list[str]:
        return [text for text in list(proxied.server.said) if f'"agent":"{agent}"' in text]

    eventually(lines)
    client: str = json.loads(lines()[0])["client"]
    return client


def test_who_asks_is_believed_of_proxies_only(proxied: Proxied) -> None:
    """The access log has the address that nginx saw, and a cookie is Secure when nginx says so, and nobody else."""
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    transport = httpx.HTTPTransport(local_address="127.0.0.2")  # trusted is 127.0.0.1 alone
    with httpx.Client(transport=transport, headers=forged) as stranger:
        stranger.get(proxied.url + "/healthz", headers={"User-Agent": "by-nginx"})
        page = stranger.get(proxied.server.url + "/sign-in", headers={"User-Agent": "straight"})
        assert "; secure" not in page.headers["set-cookie"].lower()
    assert told_client(proxied, "by-nginx") == told_client(proxied, "straight") == "127.0.0.2"
    page = httpx.get(proxied.server.url + "/sign-in", headers=forged | {"User-Agent": "a-proxy"})
    assert "; secure" in page.headers["set-cookie"].lower()
    assert told_client(proxied, "a-proxy") == "203.0.113.7"
