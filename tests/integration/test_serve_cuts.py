"""Many who leave in the middle of what they read, and what is left of them."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.served import DEADLINE_S, Server, eventually, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = "/api/v1/logs/big.log"
ASKED = (
    f"{LOG}/stream",
    f"{LOG}/stream?level=error",
    f"{LOG}/stream?follow=true",
    f"{LOG}/stream?follow=true&tail=5",
    f"{LOG}/search?q=nothing",
    f"{LOG}/raw",
    f"{LOG}/rows?from=-500&n=500",
    f"{LOG}?wait=30",
)
HEADERS = ("", "Accept-Encoding: gzip\r\n", "Accept-Encoding: zstd\r\n", "Accept: text/event-stream\r\n")
CUTS = 320
CUTTERS = 8
ROUNDS = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a log that is longer than what sockets take."""
    folder = tmp_path_factory.mktemp("cuts")
    root = made(folder / "logs")
    (root / "big.log").write_text(("2024-11-20T12:00:00Z " + "x" * 400 + "\n") * 100_000)
    with serving(root, folder / "cache") as running:
        eventually(lambda: running.get("logs/big.log").json()["lines"]["exact"])
        yield running


def cut(server: Server, luck: random.Random) -> None:
    """Ask for something, read some of it, and leave; or break off as a network does."""
    request = f"GET {luck.choice(ASKED)} HTTP/1.1\r\nHost: x\r\n{luck.choice(HEADERS)}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        connection.sendall(request.encode())
        connection.settimeout(luck.choice((0.001, 0.02, 0.2)))
        with contextlib.suppress(TimeoutError):
            connection.recv(luck.choice((1, 1000, 100_000)))
        if luck.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut_many(server: Server, seed: int) -> None:
    """Do so in several threads."""

    def many(number: int) -> None:
        luck = random.Random(seed + number)
        for _ in range(CUTS // CUTTERS):
            cut(server, luck)

    cutters = [threading.Thread(target=many, args=[number]) for number in range(CUTTERS)]
    for each in cutters:
        each.start()
    for each in cutters:
        each.join()


def bytes_read(server: Server) -> int:
    """Return what its process has read so far, of files and sockets."""
    return int(Path(f"/proc/{server.process.pid}/io").read_text().split()[1])


def in_use(server: Server) -> float:
    """Return how many readers, followers and searches there are."""
    text = httpx.get(f"{server.url}/metrics").text
    return sum(float(each.split()[1]) for each in text.splitlines() if each.startswith("logflume_in_use{"))


def temporary(server: Server) -> list[str]:
    """Return the files without a name that it has open, among them perhaps its standard output."""
    links = []
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(link.readlink()))
    return [name for name in links if name.endswith("(deleted)")]


def test_nothing_is_left_of_who_leaves(server: Server) -> None:
    """Descriptors, threads, files without a name and places among the readers: all are given back, and reading ends."""
    cut_many(server, 1)
    eventually(lambda: not in_use(server))
    before, files = server.descriptors(), temporary(server)
    counts = [server.threads()]
    # Pools grow to their bound, and end growing; what a reader leaves would grow each time.
    while len(counts) < 2 or counts[-1] > counts[-2]:
        assert len(counts) < ROUNDS, counts
        cut_many(server, len(counts) + 1)
        eventually(lambda: not in_use(server))
        counts.append(server.threads())
    eventually(lambda: server.descriptors() <= before)
    assert temporary(server) == files


def test_reading_ends_with_who_reads(server: Server) -> None:
    """Soon after the last one has left, not a byte of the log is read any more."""
    for path in ASKED[:6]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connection.recv(1000)

    def is_still() -> bool:
        first = bytes_read(server)
        time.sleep(0.5)
        return bytes_read(server) - first < 10_000  # a tick of the event loop reads some

    eventually(is_still)
