"""Measure the server from another process, over loopback: ``serve.py stream|poll|search|places FILES``.

The files are those of one log; the server is a process of its own, and this one is its client.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOGFLUME = Path(sys.executable).with_name("logflume")
PATTERN = "source-{*number}.log"
LOG = "/api/v1/logs/source-*.log"
READ_BYTES = 1 << 20
POLLS = 101
PLACES = 200
MIB = 1 << 20


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process = process
        self._address = address
        self.connection = http.client.HTTPConnection(address, timeout=600)

    def rss_bytes(self) -> int:
        """Return what it holds in memory now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def ask(self, path: str, accept: str = "*/*") -> http.client.HTTPResponse:
        """Send a request and return its answer, of which nothing but the head is read."""
        self.connection.request("GET", LOG + path, headers={"Accept": accept})
        answer = self.connection.getresponse()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status} {answer.read()[:200]!r}")
        return answer

    def timed(self, path: str) -> float:
        """Return how long a whole answer takes."""
        began = time.perf_counter()
        self.ask(path).read()
        return time.perf_counter() - began


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve a folder on a free port."""
    command: list[str | Path] = [LOGFLUME, "serve", folder, "--pattern", PATTERN, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - asked for in the line above
        said = process.stderr.readline()
        found = re.search(r"http://([0-9.:]+)", said)
        if found is None:
            raise RuntimeError(said + process.stderr.read())
        try:
            yield Served(process, found[1])
        finally:
            process.terminate()


def stream(server: Served) -> dict[str, float]:
    """Read the whole log once; before that, the head of it, so that nothing is measured that comes once a process."""
    server.ask("/stream?limit=1").read()
    before = server.rss_bytes()
    began = time.perf_counter()
    answer = server.ask("/stream")
    size = len(answer.read1(READ_BYTES))
    first_byte_s = time.perf_counter() - began
    buffer = bytearray(READ_BYTES)
    growth = 0
    while got := answer.readinto(buffer):
        size += got
        growth = max(growth, server.rss_bytes() - before) if size % (64 * MIB) < got else growth
    seconds = time.perf_counter() - began
    growth = max(growth, server.rss_bytes() - before)
    return {"seconds": seconds, "first_byte_s": first_byte_s, "growth_mib": growth / MIB, "bytes": size}


def poll(server: Served) -> dict[str, float]:
    """Ask again and again for what is new, when nothing is."""
    page = json.loads(server.ask("/stream?tail=1&limit=10", "application/json").read())
    path = f"/stream?after={page['after']}"
    times = []
    size = 0
    for _ in range(POLLS):
        began = time.perf_counter()
        answer = server.ask(path, "application/json")
        body = answer.read()
        times.append(time.perf_counter() - began)
        if json.loads(body)["lines"]:
            raise RuntimeError("there should be nothing new")
        size = len(body) + sum(len(name) + len(value) + 4 for name, value in answer.getheaders())
    return {"seconds": statistics.median(times), "answer_bytes": size}


def search(server: Served) -> dict[str, float]:
    """Look for a rare word in the whole log."""
    server.ask("/search?q=needle-7f3a&limit=1").read()
    began = time.perf_counter()
    answer = server.ask("/search?q=needle-7f3a")
    answer.readline()
    first_s = time.perf_counter() - began
    lines = answer.read().splitlines()
    if not json.loads(lines[-1])["done"]["whole"]:
        raise RuntimeError("it was not searched to the end")
    return {"seconds": time.perf_counter() - began, "first_hit_s": first_s}


def places(server: Served) -> dict[str, float]:
    """Jump about in an indexed log."""
    while not (meta := json.loads(server.ask("").read()))["lines"]["exact"]:
        time.sleep(0.2)
    lines = meta["lines"]["count"]
    luck = random.Random(1)  # noqa: S311 - the same places each time
    kinds: dict[str, Callable[[], str]] = {
        "rows": lambda: f"/rows?from={luck.randrange(lines)}&n=512",
        "locate": lambda: f"/locate?error=next&seq={luck.randrange(lines)}",
        "tail": lambda: "/stream?tail=512&limit=512",
    }
    p99s = {f"{kind}_p99": p99([server.timed(path()) for _ in range(PLACES)]) for kind, path in kinds.items()}
    return {"seconds": max(p99s.values()), **p99s}


def p99(times: list[float]) -> float:
    """Return the time that 99 of 100 do not exceed."""
    return statistics.quantiles(times, n=100)[-1]


MODES = {"stream": stream, "poll": poll, "search": search, "places": places}


def main(mode: str, files: list[str]) -> None:
    """Serve the folder of the files and print what was measured."""
    with served(Path(files[0]).parent) as server:
        print(json.dumps(MODES[mode](server)))


main(sys.argv[1], sys.argv[2:])
