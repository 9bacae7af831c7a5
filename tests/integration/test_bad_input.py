"""Bad input, row by row as the page of the docs has it: what is answered, and that the server goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.served import DEADLINE_S, Server, eventually, line, made, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bad-input.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (\d+|–) \| (?:`([\w-]+)`)? ?\| (.*?) ?\|$", re.MULTILINE)
LONG = "/api/v1/logs/long.log"
BIG_LINES = 100_000
FORM = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@dataclass(frozen=True)
class Told:
    """What the page says of one row."""

    status: int | None
    type: str | None


ROWS = {
    name: Told(None if status == "–" else int(status), type_ or None)
    for name, _, status, type_, _ in ROW.findall(PAGE.read_text())
}


@dataclass(frozen=True)
class Answer:
    """What came back; without a status when nothing did."""

    status: int | None
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str | None:
        """The type of a problem."""
        if self.headers.get("content-type") != "application/problem+json":
            return None
        found: str = json.loads(self.body)["type"]
        return found.removeprefix("urn:logflume:problem:")


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """Give the row of the page that a test is of."""
    return ROWS[request.function.__name__.removeprefix("test_")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a few logs, to everybody."""
    folder = tmp_path_factory.mktemp("bad")
    root = made(folder / "logs")
    (folder / "secret.txt").write_text(line(1, "not for you"))
    (root / "link.log").symlink_to(folder / "secret.txt")
    with serving(root, folder / "cache", "--max-search-bytes", "1000000") as running:
        eventually(lambda: running.get("logs/long.log").json()["lines"]["exact"])
        yield running
        running.client.close()  # each test has made a new one


@pytest.fixture(autouse=True)
def goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each of them others are served as before, and no descriptor is left."""
    if "server" not in request.fixturenames:
        yield
        return
    server: Server = request.getfixturevalue("server")
    server.client.close()
    server.client = httpx.Client(base_url=server.url + "/api/v1", timeout=DEADLINE_S)
    before = server.descriptors()
    yield
    assert server.get("logs/long.log/rows").status_code == 200
    eventually(lambda: server.descriptors() <= before + 1)  # the way of this very question


def sent(server: Server, data: bytes) -> Answer:
    """Send bytes, and return what comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        with contextlib.suppress(ConnectionError):  # it may be ended before all is sent
            connection.sendall(data)
        return received(connection)


def received(connection: socket.socket) -> Answer:
    """Return one answer, or what came of it."""
    answer = http.client.HTTPResponse(connection)
    with contextlib.closing(answer):  # it holds the connection's descriptor, too
        try:
            answer.begin()
            body = answer.read()
        except http.client.IncompleteRead as cut:
            body = cut.partial
        except (http.client.BadStatusLine, ConnectionError):
            return Answer(None, {}, b"")
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def asked(server: Server, path: str, *headers: str) -> Answer:
    """Ask for a path as it stands."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    return sent(server, "\r\n".join(lines).encode("latin-1"))


def check(answer: Answer, told: Told) -> None:
    """Compare with the page."""
    assert (answer.status, answer.type) == (told.status, told.type), answer.body[:500]


def test_the_page_and_the_tests_are_about_the_same() -> None:
    """Each row of the page has its test here, and each test its row."""
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    tests.discard("the_page_and_the_tests_are_about_the_same")
    assert set(ROWS) == tests
    assert len(ROWS) == PAGE.read_text().count("\n| `")


# Slow ones: all of them at the same time


@dataclass
class Slow:
    """What came of connections that were slow."""

    answers: dict[str, Answer]
    threads: list[threading.Thread]
    server: Server


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slow]:
    """Begin with all that is slow; a server where browsers sign in."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "tokens").touch(0o600)
    flags = ("--tokens-file", str(folder / "tokens"), "--metrics", "everybody")
    with serving(made(folder / "logs"), folder / "cache", *flags) as server:
        found = Slow({}, [], server)

        def drip(name: str, first: bytes, drop: bytes) -> None:
            with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S + 30) as connection:
                connection.sendall(first)
                connection.settimeout(1)
                data = b""
                with contextlib.suppress(ConnectionError):
                    while True:
                        try:
                            block = connection.recv(10_000)
                        except TimeoutError:
                            connection.sendall(drop)
                            continue
                        data += block
                        if not block:
                            break
                head, _, body = data.partition(b"\r\n\r\n")
                status = int(head.split()[1]) if head else None
                headers = dict(each.decode().split(": ", 1) for each in head.split(b"\r\n")[1:])
                found.answers[name] = Answer(status, headers, body)

        form = FORM + b"Content-Length: 999\r\n\r\n"
        for each in (
            ("slow_head", b"GET /api/v1/logs HTTP/1.1\r\nX-Drop: ", b"x"),
            ("slow_body", form, b"x"),
            ("silence", b"", b""),
        ):
            found.threads.append(threading.Thread(target=drip, args=each))
            found.threads[-1].start()
        yield found


# What is sent


def test_long_header(server: Server, told: Told) -> None:
    """It is refused before it is all there."""
    check(asked(server, LONG, "X-Long: " + "x" * 1_000_000), told)


def test_many_headers(server: Server, told: Told) -> None:
    """However short they are."""
    check(asked(server, LONG, *(f"X-{n}: 1" for n in range(1000))), told)


def test_long_query(server: Server, told: Told) -> None:
    """As any address that is too long."""
    check(asked(server, f"{LONG}?q={'x' * 1_000_000}"), told)


def test_many_parameters(server: Server, told: Told) -> None:
    """They cost no more than their bytes."""
    check(asked(server, f"{LONG}?{'&'.join('a=1' for _ in range(10_000))}"), told)


def test_large_form(slow: Slow, told: Told) -> None:
    """No more of it is read than a form may have."""
    head = FORM + b"Connection: close\r\nContent-Length: 1000000\r\n\r\n"
    check(sent(slow.server, head + b"x" * 1_000_000), told)


def test_body_of_get(server: Server, told: Told) -> None:
    """It is answered all the same."""
    request = f"GET {LONG} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n".encode()
    check(sent(server, request + b"x" * 1_000_000), told)


def test_no_http(server: Server, told: Told) -> None:
    """Whatever it is, it is told that it is not HTTP."""
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
        b"SSH-2.0-x\r\n\r\n",
        b"GET\r\n\r\n",
        b"\0" * 99,
    ):
        check(sent(server, data), told)


def test_two_lengths(server: Server, told: Told) -> None:
    """What follows is not taken for another request."""
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"GET {LONG} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(hidden)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    check(sent(server, head.encode() + b"0\r\n\r\n" + hidden), told)


def test_control_characters(server: Server, told: Told) -> None:
    """Nothing that could end a line of somebody's log."""
    check(asked(server, LONG, "X-Bad: a\0b"), told)


def test_other_method(server: Server, told: Told) -> None:
    """Nothing can be changed by any of them."""
    for method in ("DELETE", "PUT", "PATCH", "POST"):
        answer = sent(server, f"{method} {LONG} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        check(answer, told)
        assert "GET" in answer.headers["allow"]


def test_upgrade(server: Server, told: Told) -> None:
    """There is nothing else to speak."""
    request = (
        f"GET {LONG} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        connection.sendall(request.encode() + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        check(received(connection), told)


def test_pipeline(server: Server, told: Told) -> None:
    """None is lost and none comes before its turn."""
    one = "GET /api/v1/logs/long.log/rows?from={}&n=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        connection.sendall("".join(one.format(n) for n in range(200)).encode())
        data = b""
        while data.count(b'"rows":') < 200:
            block = connection.recv(100_000)
            assert block, data[-500:]
            data += block
    assert [int(n) for n in re.findall(rb'"from": ?(\d+)', data)] == list(range(200))
    assert data.count(f"HTTP/1.1 {told.status}".encode()) == 200


def test_dots(server: Server, told: Told) -> None:
    """No file outside of the folder, and no word about it."""
    for path in (
        "../secret.txt",
        "dag/../../secret.txt",
        "%2e%2e/secret.txt",
        "%2E./secret.txt",
        "..%2fsecret.txt",
        "./x",
    ):
        answer = asked(server, f"/api/v1/logs/{path}/stream")
        check(answer, told)
        assert b"not for you" not in answer.body
    assert asked(server, "/api/v1/logs/%252e%252e/secret.txt/stream").status == 404


def test_nul(server: Server, told: Told) -> None:
    """It is no part of a name."""
    check(asked(server, "/api/v1/logs/long.log%00.txt"), told)


def test_long_id(server: Server, told: Told) -> None:
    """Longer than any path."""
    check(asked(server, "/api/v1/logs/" + "x/" * 2500 + "x"), told)
    assert asked(server, "/api/v1/logs/" + "x" * 300 + ".log").status == 404


def test_not_utf8(server: Server, told: Told) -> None:
    """Such a log is listed under another id."""
    check(asked(server, "/api/v1/logs/%ff%fe.log"), told)


def test_link_out(server: Server, told: Told) -> None:
    """It is told that there is one, and nothing of what it leads to."""
    answer = asked(server, "/api/v1/logs/link.log/stream")
    check(answer, told)
    assert b"not for you" not in answer.body
    assert json.loads(answer.body)["logflume"]["gap"]["reason"] == "outside-root"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Callable[..., str]]]:
    """Serve to who has a token; and give what makes one."""
    folder = tmp_path_factory.mktemp("private")
    tokens = folder / "tokens"
    tokens.touch(0o600)

    def create(name: str, *flags: str) -> str:
        command = [sys.executable, "-m", "logflume", "token", "create", name, "--tokens-file", str(tokens), *flags]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]

    with serving(made(folder / "logs"), folder / "cache", "--tokens-file", str(tokens)) as server:
        yield server, create


def test_forged_token(private: tuple[Server, Callable[..., str]], told: Told) -> None:
    """With any character changed it is none."""
    server, create = private
    token = create("forged", "--logs", "*")
    for text in (token[:-1] + ("A" if token[-1] != "A" else "B"), "lft_0000000000000000_" + "x" * 43, "", "x" * 9000):
        check(asked(server, LONG, f"Authorization: Bearer {text}"), told)


def test_expired_token(private: tuple[Server, Callable[..., str]], told: Told) -> None:
    """From its last second on."""
    server, create = private
    token = create("short", "--logs", "*", "--days", "1")
    path = server.folder.parent / "tokens"
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    for row in rows:
        row["expires"] = int(time.time()) - 1 if row["name"] == "short" else row["expires"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    eventually(lambda: asked(server, LONG, f"Authorization: Bearer {token}").status != 200)
    check(asked(server, LONG, f"Authorization: Bearer {token}"), told)


def test_foreign_token(private: tuple[Server, Callable[..., str]], told: Told) -> None:
    """Nobody learns which logs there are."""
    server, create = private
    token = create("dag-only", "--logs", "dag")
    eventually(lambda: asked(server, "/api/v1/logs/dag/attempt=1.log", f"Authorization: Bearer {token}").status == 200)
    check(asked(server, LONG, f"Authorization: Bearer {token}"), told)
    check(asked(server, "/api/v1/logs/nothing.log", f"Authorization: Bearer {token}"), told)


def cursor(server: Server, log: str = "long.log") -> str:
    """Return a cursor of the server."""
    answer = asked(server, f"/api/v1/logs/{log}/stream?limit=3", "Accept: application/json")
    found: str = json.loads(answer.body)["after"]
    return found


def test_forged_cursor(server: Server, told: Told) -> None:
    """It is signed, and any change shows."""
    token = cursor(server)
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    for text in (changed, token + "x", "2.e30.x", "1.W10.x", "x"):
        check(asked(server, f"{LONG}/stream?after={text}"), told)


def test_foreign_cursor(server: Server, private: tuple[Server, Callable[..., str]], told: Told) -> None:
    """It counts for one log of one server."""
    check(asked(server, f"/api/v1/logs/dag/attempt=1.log/stream?after={cursor(server)}"), told)
    check(asked(server, f"/api/v1/logs/dag/attempt=1.log/search?q=x&after={cursor(server)}"), told)
    other, create = private
    token = create("of-the-other", "--logs", "*")
    address = f"{other.url}{LONG}/stream?limit=1"
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    eventually(lambda: httpx.get(address, headers=headers).status_code == 200)
    check(asked(server, f"{LONG}/stream?after={httpx.get(address, headers=headers).json()['after']}"), told)


def test_slow_pattern(server: Server, told: Told) -> None:
    """A line that makes others think for ages is searched like any other."""
    (server.folder / "evil.log").write_text(line(1, "a" * 200_000 + "!"))
    for pattern in ("(a%2B)%2B$", "(a|a)*$", "(.*)*x", "^(([a-z])%2B.)%2B[A-Z]([a-z])%2B$"):
        check(asked(server, f"/api/v1/logs/evil.log/stream?regex={pattern}"), told)


def test_large_pattern(server: Server, told: Told) -> None:
    """What it would take is known before it is taken."""
    for pattern in ("((x{1000}){1000}){1000}", "%5Cw{1000}{1000}", "(" * 300 + "x" + ")" * 300):
        check(asked(server, f"{LONG}/stream?regex={pattern}"), told)


def test_wrong_pattern(server: Server, told: Told) -> None:
    """The place of the mistake is told."""
    answer = asked(server, f"{LONG}/search?regex=ab)")
    check(answer, told)
    assert json.loads(answer.body)["position"] == 2


def test_endless_search(server: Server, told: Told) -> None:
    """It ends by itself; where it ended, another one goes on."""
    with (server.folder / "endless.log").open("w") as file:
        file.writelines(line(n % 3600, "x" * 1000) for n in range(5000))
    answer = asked(server, "/api/v1/logs/endless.log/search?q=nothing")
    check(answer, told)
    done = json.loads(answer.body.splitlines()[-1])["done"]
    assert not done["whole"]
    assert done["after"]
    assert done["bytes"] < 5_000_000


def test_many_connections(tmp_path: Path, told: Told) -> None:
    """Those who are there are served on, and a place is free when one leaves."""
    with serving(made(tmp_path / "logs"), tmp_path / "cache", "--max-connections", "4") as server:
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) for _ in range(4)]
        for each in held:
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert received(each).status == 200
        answer = asked(server, LONG)
        check(answer, told)
        assert int(answer.headers["retry-after"]) > 0
        held[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert received(held[0]).status == 200
        for each in held:
            each.close()
        eventually(lambda: asked(server, LONG).status == 200)


def test_taking_nothing(tmp_path: Path, told: Told) -> None:
    """It is cut, and all that it held is given back."""
    root = made(tmp_path / "logs")
    big(root)
    with (
        serving(root, tmp_path / "cache", "--stall-s", "1") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection,
    ):
        connection.sendall(b"GET /api/v1/logs/big.log/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: 'connections_ended_total{why="stalled"} 1.0' in httpx.get(server.url + "/metrics").text)
        eventually(lambda: 'logflume_in_use{use="reader"} 0.0' in httpx.get(server.url + "/metrics").text)
        assert told.status is None


# What happens to a log


def big(root: Path) -> Path:
    """Make a log that is longer than what sockets and buffers take."""
    path = root / "big.log"
    path.write_text(
        "".join(f"2024-11-20T12:00:{n * 60 // BIG_LINES:02d}Z line {n} {'x' * 400}\n" for n in range(BIG_LINES))
    )
    return path


class Reading:
    """Somebody who reads big.log, and has had the beginning of it, up to the first cursor."""

    def __init__(self, server: Server) -> None:
        self._client = httpx.Client(timeout=DEADLINE_S)
        self._answer = self._client.stream("GET", f"{server.url}/api/v1/logs/big.log/stream", params={"marks": True})
        self.status = 0
        self.lines: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        answer = self._answer.__enter__()
        self.status = answer.status_code
        self._lines = answer.iter_lines()
        while "cursor" not in (self.lines or [{}])[-1].get("logflume", {}):
            self.lines.append(json.loads(next(self._lines)))
        return self

    def rest(self) -> None:
        """Read to the end."""
        self.lines += [json.loads(text) for text in self._lines]

    def __exit__(self, *what: object) -> None:
        self._answer.__exit__(None, None, None)
        self._client.close()

    def is_whole(self) -> bool:
        """Tell whether each line came once, in order."""
        events = [each["event"] for each in self.lines if "event" in each]
        return [event.split()[2] for event in events] == [str(n) for n in range(BIG_LINES)]

    def gaps(self) -> list[dict[str, Any]]:
        """Return what was told to be missing."""
        return [each["logflume"]["gap"] for each in self.lines if "gap" in each.get("logflume", {})]

    def cursor(self) -> str:
        """Return the first cursor that was told."""
        found: str = next(each["logflume"]["cursor"] for each in self.lines if "cursor" in each.get("logflume", {}))
        return found


@pytest.fixture
def happening(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """Serve a log of one's own, to which something is to happen."""
    root = made(tmp_path / "logs")
    path = big(root)
    with serving(root, tmp_path / "cache", before=as_others()) as server:
        yield server, path


def as_others() -> tuple[str, ...]:
    """Return what makes root obey the modes of files, as others do."""
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def test_deleted(happening: tuple[Server, Path], told: Told) -> None:
    """Who has begun reads on; others learn that it is gone."""
    server, path = happening
    with Reading(server) as reading:
        path.unlink()
        reading.rest()
        assert (reading.status, reading.is_whole(), reading.gaps()) == (told.status, True, [])
    eventually(lambda: server.get("logs/big.log").status_code == 404)


def test_truncated(happening: tuple[Server, Path], told: Told) -> None:
    """What was cut off is missing, and that is told."""
    server, path = happening
    with Reading(server) as reading:
        os.truncate(path, 1000)
        reading.rest()
        assert reading.status == told.status
        assert not reading.is_whole()
        (gap,) = reading.gaps()
        assert gap["reason"] == "truncated"
    answer = server.get("logs/big.log/stream", params={"after": reading.cursor()})
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:logflume:problem:cursor-expired")


def test_replaced(happening: tuple[Server, Path], told: Told) -> None:
    """Nobody gets less than all of the old one; as with a log that was rotated, the new one follows."""
    server, path = happening
    with Reading(server) as reading:
        other = path.with_name("other")
        other.write_text(line(1, "another one"))
        other.rename(path)
        reading.rest()
        last = [each for each in reading.lines if each.get("event") == "another one"]
        reading.lines = [each for each in reading.lines if each not in last]
        assert (reading.status, reading.is_whole(), reading.gaps(), len(last)) == (told.status, True, [], 1)
    answer = server.get("logs/big.log/stream", params={"after": reading.cursor()})
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:logflume:problem:cursor-expired")
    assert json.loads(server.get("logs/big.log/stream").text)["event"] == "another one"


def test_rotated(happening: tuple[Server, Path], told: Told) -> None:
    """Its bytes have another name now, and are found under it."""
    server, path = happening
    with Reading(server) as reading:
        path.rename(path.with_name("big.log.1"))
        path.write_text("2024-11-20T12:01:00Z line new\n")
        reading.rest()
        assert reading.status == told.status
        assert reading.gaps() == []
        texts = [each["event"].split()[2] for each in reading.lines if "event" in each]
        assert texts[:BIG_LINES] == [str(n) for n in range(BIG_LINES)]
    answer = server.get("logs/big.log/stream", params={"after": reading.cursor()})
    assert answer.status_code == 200
    assert json.loads(answer.text.splitlines()[-1])["event"].endswith("new")


def test_unreadable(happening: tuple[Server, Path], told: Told) -> None:
    """Who has begun reads on; others are told why there is nothing."""
    server, path = happening
    with Reading(server) as reading:
        path.chmod(0)
        reading.rest()
        assert (reading.status, reading.is_whole()) == (told.status, True)
    answer = server.get("logs/big.log/stream")
    assert answer.status_code == told.status
    assert [json.loads(text)["logflume"]["gap"]["reason"] for text in answer.text.splitlines()] == ["permission-denied"]


def test_disk_full(tmp_path: Path, told: Told) -> None:
    """All is answered as ever."""
    root = made(tmp_path / "logs")
    with serving(root, tmp_path / "cache", before=("prlimit", "--fsize=100")) as server:
        eventually(lambda: server.get("logs/long.log").json()["lines"]["exact"])
        for path in ("", "/rows?from=-5", "/summary", "/locate?seq=7", "/stream", "/search?q=row"):
            assert server.get(f"logs/long.log{path}").status_code == told.status


def test_no_descriptors(tmp_path: Path, told: Told) -> None:
    """Who is there is told what could not be opened, who comes is turned away; afterwards all is well."""
    root = made(tmp_path / "logs")
    with serving(root, tmp_path / "cache", before=("prlimit", "--nofile=40:40")) as server:
        assert asked(server, f"{LONG}/rows").status == 200
        with contextlib.ExitStack() as held:
            first = held.enter_context(required(idle(server)))
            while (connection := idle(server)) is not None:
                held.enter_context(connection)
            answers = []
            for path in ("/raw", "/stream"):
                first.sendall(f"GET {LONG}{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                answers.append(received(first))
        check(answers[0], told)
        assert json.loads(answers[1].body)["logflume"]["gap"]["reason"] == "no-descriptors"
        eventually(lambda: asked(server, f"{LONG}/stream").body.count(b"\n") == 3000)


def required(connection: socket.socket | None) -> socket.socket:
    """Return it: the first one is not turned away."""
    assert connection is not None
    return connection


def idle(server: Server) -> socket.socket | None:
    """Return a connection that has asked once, or nothing when it was turned away."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
    with contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        if received(connection).status == 200:
            return connection
    connection.close()
    return None


# The slow ones again: they have had their time


def slow_answer(slow: Slow, name: str) -> Answer:
    """Wait for what came of one of them."""
    for each in slow.threads:
        each.join(DEADLINE_S + 30)
    return slow.answers[name]


def test_slow_head(slow: Slow, told: Told) -> None:
    """It is ended while it goes on; and counted."""
    check(slow_answer(slow, "slow_head"), told)
    assert 'logflume_connections_ended_total{why="too-slow"} 2.0' in httpx.get(slow.server.url + "/metrics").text


def test_slow_body(slow: Slow, told: Told) -> None:
    """It is ended, and whoever waited for it, too."""
    check(slow_answer(slow, "slow_body"), told)


def test_silence(slow: Slow, told: Told) -> None:
    """There is nothing to answer."""
    check(slow_answer(slow, "silence"), told)
