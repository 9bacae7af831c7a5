"""How a server ends, and what becomes of its worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.served import DEADLINE_S, Server, eventually, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPT = "logs/dag/attempt=1.log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Logs of one's own, one of them longer than what sockets take."""
    root = made(tmp_path / "logs")
    line = "2024-11-20T12:00:00Z " + "x" * 1000 + "\n"
    (root / "big.log").write_text(line * 40_000)
    return root


def temporary() -> list[Path]:
    """Return the folders of temporary files that a server may have."""
    return list(Path("/tmp").glob("logflume-metrics-*"))  # noqa: S108 - where they are made


class Slow:
    """A client that takes the first bytes of an answer, and the others when it is told to."""

    def __init__(self, server: Server, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
        self._socket.sendall(f"GET /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n".encode())
        self.got = self._socket.recv(1000)

    def rest(self) -> bytes:
        """Take the rest."""
        while block := self._socket.recv(1 << 20):
            self.got += block
        self._socket.close()
        return self.got


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_answers_end_before_the_server_does(
    folder: Path, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    """Who reads gets all of it, who comes is refused, who follows is told to connect again; then it ends with 0."""
    with serving(folder, tmp_path / "cache", "--workers", workers) as server:
        there = set(temporary())
        reading = Slow(server, "logs/big.log/stream")
        with server.client.stream("GET", f"{ATTEMPT}/stream", params={"follow": True, "tail": 1}) as follow:
            lines = follow.iter_lines()
            assert json.loads(next(lines))["event"] == "trigger 59"
            server.process.send_signal(number)
            told = json.loads(next(lines))["logflume"]["problem"]
            assert (told["type"], told["status"]) == ("urn:logflume:problem:server-ends", 503)
            with pytest.raises(httpx.RemoteProtocolError):
                next(lines)
        eventually(lambda: is_refused(server))
        assert server.process.poll() is None
        body = reading.rest()
        assert body.endswith(b"\r\n0\r\n\r\n")
        assert body.count(b"2024-11-20T12:00:00Z") == 40_000
        assert server.process.wait(DEADLINE_S) == 0
        assert set(temporary()) <= there


def is_refused(server: Server) -> bool:
    """Tell whether nobody listens any more."""
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.port)):
        return False
    return True


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_answer_that_takes_too_long_is_broken_off(folder: Path, tmp_path: Path, workers: str) -> None:
    """When the time is up it is told in a last line where there is a place for it, and the connection is cut."""
    with serving(folder, tmp_path / "cache", "--workers", workers, "--drain-s", "0") as server:
        reading = Slow(server, "logs/big.log/stream")
        searching = Slow(server, "logs/big.log/search?q=nothing")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE_S) == 0
        body = reading.rest()
        assert not body.endswith(b"\r\n0\r\n\r\n")
        assert body.count(b"2024-11-20T12:00:00Z") < 40_000
        assert searching.rest()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_at_once(folder: Path, tmp_path: Path, workers: str) -> None:
    """Whoever does not want to wait sends another one; no process is left."""
    with serving(folder, tmp_path / "cache", "--workers", workers) as server:
        reading = Slow(server, "logs/big.log/stream")
        children = server.children()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: is_refused(server))
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(DEADLINE_S)
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        with contextlib.suppress(ConnectionResetError):
            assert not reading.rest().endswith(b"\r\n0\r\n\r\n")


@pytest.fixture
def pair(folder: Path, tmp_path: Path) -> Iterator[Server]:
    """Serve with two processes, which may say something."""
    with serving(folder, tmp_path / "cache", "--workers", "2", quiet=False) as server:
        yield server


def sockets(pid: int) -> int:
    """Count the sockets of a process."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(link.readlink()).startswith("socket:")
    return found


def test_requests_are_spread(pair: Server) -> None:
    """Of many connections at once each process takes some, and the metrics of any are those of all."""
    eventually(lambda: len(pair.children()) == 2)
    first, second = pair.children()
    idle = sockets(first), sockets(second)
    clients: list[httpx.Client] = []

    def both_have_some() -> bool:
        more = [httpx.Client(base_url=pair.url, timeout=DEADLINE_S) for _ in range(10)]
        clients.extend(more)
        asking = [threading.Thread(target=client.get, args=["/api/v1/logs"]) for client in more]
        for each in asking:
            each.start()
        for each in asking:
            each.join(DEADLINE_S)
        return sockets(first) > idle[0] and sockets(second) > idle[1]

    eventually(both_have_some)
    counted = f'logflume_requests_total{{end="done",method="GET",route="/api/v1/logs",status="200"}} {len(clients)}.0'
    for client in clients[:10]:
        assert counted in client.get("/metrics").text
    for client in clients:
        client.close()


def test_a_process_that_dies_is_replaced(pair: Server) -> None:
    """It is told, with the reason, and another one takes its place; what it had counted is still in the sum."""
    assert pair.get("logs").status_code == 200
    dead = pair.children()[0]
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: len(pair.children()) == 2 and dead not in pair.children())
    eventually(lambda: "a worker process ended (signal 9)" in "".join(pair.said))

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):  # the dead one had taken it
            return httpx.get(f"{pair.url}/healthz", timeout=DEADLINE_S).status_code == 200
        return False

    eventually(answers)


def test_processes_that_die_again_and_again(pair: Server) -> None:
    """The whole says so, and ends with code 2, for whoever starts it again."""

    def kill() -> bool:
        for child in pair.children() if pair.process.poll() is None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return pair.process.poll() is not None

    with contextlib.suppress(FileNotFoundError):
        eventually(kill)
    assert pair.process.wait(DEADLINE_S) == 2
    assert "this server ends" in "".join(pair.said)


def test_workers_end_with_who_watches_them(pair: Server) -> None:
    """Killed without a word, it leaves no process behind."""
    eventually(lambda: len(pair.children()) == 2)
    children = pair.children()
    pair.process.kill()
    eventually(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))


def test_a_group_that_is_told_to_end(folder: Path, tmp_path: Path) -> None:
    """As service managers do it: each process is told, and answers still end."""
    with serving(folder, tmp_path / "cache", "--workers", "2", before=("setsid",)) as server:
        reading = Slow(server, "logs/big.log/stream")
        os.killpg(server.process.pid, signal.SIGTERM)
        eventually(lambda: is_refused(server))
        assert reading.rest().endswith(b"\r\n0\r\n\r\n")
        assert server.process.wait(DEADLINE_S) == 0
