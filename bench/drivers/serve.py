"""Measure the server from another process, over loopback: ``serve.py stream|poll|search|places|… FILES`` (see MODES).

The files are those of one log; the server is a process of its own, and this one is its client.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
import multiprocessing
import os
import random
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
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
LAST_OF_LINE = b"}"
FOLLOWERS = 1000
LINES_A_S = 5000
TICKS_A_S = 100
FOLLOW_S = 5
LATE_LINES = 21
QUIET_WAITS = 2
IDLE_S = 10.0
MIB = 1 << 20


class Served:
    """A running server."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], address: str) -> None:
        self.folder = folder
        self.process = process
        self.address = address
        self.connection = http.client.HTTPConnection(address, timeout=600)

    def rss_bytes(self) -> int:
        """Return what it holds in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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
def served(folder: Path, *flags: str, cache: str | None = None) -> Iterator[Served]:
    """Serve a folder on a free port; indexes are kept in ``cache``, or where they always are."""
    environ = os.environ if cache is None else {**os.environ, "XDG_CACHE_HOME": cache}
    command: list[str | Path] = [LOGFLUME, "serve", folder, "--pattern", PATTERN, "--port", "0", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None  # noqa: S101 - asked for in the line above
        said = process.stderr.readline()
        found = re.search(r"http://([0-9.:]+)", said)
        if found is None:
            raise RuntimeError(said + process.stderr.read())
        try:
            yield Served(folder, process, found[1])
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


def raw(server: Served) -> dict[str, float]:
    """Download one source, byte for byte."""
    source = json.loads(server.ask("").read())["sources"][0]
    server.ask(f"/raw?source={source['name']}&since=2100-01-01").read()
    buffer = bytearray(READ_BYTES)
    before, size = server.rss_bytes(), 0
    began = time.perf_counter()
    answer = server.ask(f"/raw?source={source['name']}")
    while got := answer.readinto(buffer):
        size += got
    seconds = time.perf_counter() - began
    if size != source["bytes"]:
        raise RuntimeError(f"{size} bytes came of {source['bytes']}")
    growth = (server.rss_bytes() - before) / MIB
    return {"seconds": seconds, "mb_per_s": size / seconds / 1e6, "growth_mib": growth}


def unindexed(server: Served) -> dict[str, float]:
    """Ask about a log that nobody has asked about before, while it is being indexed."""
    paths = {
        "head": "/rows?from=0&n=512",
        "end": "/rows?from=-512&n=512",
        "middle": "/rows?from=40000000&n=512",
        "last_error": "/locate?error=previous",
        "counts": "/summary",
    }
    times = {kind: server.timed(path) for kind, path in paths.items()}
    if json.loads(server.ask("/summary").read())["exact"]:
        raise RuntimeError("it was indexed before all was asked")
    return {"seconds": max(times.values()), **times}


def p99(times: list[float]) -> float:
    """Return the time that 99 of 100 do not exceed."""
    return statistics.quantiles(times, n=100)[-1]


class _Followers:
    """Viewers that read as much as there is, and count the lines."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._poll = select.epoll()
        self._buffer = bytearray(1 << 18)
        self._sockets: dict[int, socket.socket] = {}
        self._lines: dict[int, int] = {}
        self._silent: set[int] = set()
        for _ in range(FOLLOWERS):
            connection = socket.create_connection((host, int(port)))
            connection.sendall(f"GET {LOG}/stream?follow=true&tail=0 HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            number = connection.fileno()
            self._sockets[number], self._lines[number] = connection, 0
            self._poll.register(number, select.EPOLLIN)
            self._silent.add(number)

    def read(self, until_s: float, wanted: int) -> float | None:
        """Read until a time, or until all have so many lines: then return when that was."""
        while (left_s := until_s - time.perf_counter()) > 0:
            for number, _ in self._poll.poll(left_s):
                got = self._sockets[number].recv_into(self._buffer)
                if not got:
                    raise RuntimeError(f"the server cut a follow after {self._lines[number]} lines")
                self._lines[number] += self._buffer.count(LAST_OF_LINE, 0, got)
                self._silent.discard(number)
            if min(self._lines.values()) >= wanted:
                return time.perf_counter()
        return None

    def join(self) -> None:
        """Wait until all of them are let in: what comes from then on is for all."""
        while self._silent:
            self.read(time.perf_counter() + 0.1, LINES_A_S * FOLLOW_S)


def _write(path: Path) -> None:
    """Write to the log as it grows, in a process of its own."""
    began = time.perf_counter()
    stamp = dt.datetime.now(dt.timezone.utc)
    with path.open("ab", buffering=0) as file:
        for tick in range(FOLLOW_S * TICKS_A_S):
            now = (stamp + dt.timedelta(seconds=tick / TICKS_A_S)).isoformat().replace("+00:00", "Z")
            line = f'{{"timestamp":"{now}","level":"info","event":"a line of the log that grows"}}\n'
            file.write(line.encode() * (LINES_A_S // TICKS_A_S))
            time.sleep(max(0.0, began + (tick + 1) / TICKS_A_S - time.perf_counter()))


def _follow_all(server: Served, path: Path) -> dict[str, float]:
    wanted = LINES_A_S * FOLLOW_S
    all_of_them = _Followers(server.address)
    all_of_them.join()
    cpu_s, rss = server.cpu_s(), server.rss_bytes()
    began = time.perf_counter()
    writer = multiprocessing.Process(target=_write, args=(path,))
    writer.start()
    done = all_of_them.read(began + 120, wanted)
    writer.join()
    if done is None:
        raise RuntimeError("not all of them were ever up to date")
    return {
        "seconds": done - began - FOLLOW_S,
        "cores": (server.cpu_s() - cpu_s) / (done - began),
        "growth_mib": (server.rss_bytes() - rss) / MIB,
    }


def followers(server: Served) -> dict[str, float]:
    """Let a thousand viewers follow a log that grows; the server and all of them share this machine."""
    path = server.folder / "source-0.log"
    size = path.stat().st_size
    try:
        return _follow_all(server, path)
    finally:
        os.truncate(path, size)


# How soon who follows has a line -------------------------------------------------------------------------------------


def _json_line(text: str) -> bytes:
    now = dt.datetime.now(dt.timezone.utc).isoformat().replace("+00:00", "Z")
    return f'{{"timestamp":"{now}","level":"info","event":"{text}"}}\n'.encode()


def _text_line(text: str) -> bytes:
    return f"{dt.datetime.now(dt.timezone.utc).isoformat()} INFO {text}\n".encode()


def _followed(server: Served, path: Path, make: Callable[[str], bytes]) -> list[float]:
    """Write a line now and then, and time until it comes as an event."""
    answer = server.ask("/stream?tail=0", "text/event-stream")
    times = []
    luck = random.Random(1)  # noqa: S311 - the same pauses each time
    time.sleep(2.0)  # until it follows
    for number in range(LATE_LINES):
        time.sleep(luck.uniform(0.15, 0.3))
        began = time.perf_counter()
        with path.open("ab", buffering=0) as file:
            file.write(make(f"line {number}."))
        while f"line {number}.".encode() not in answer.readline():
            pass
        times.append(time.perf_counter() - began)
    server.connection.close()
    return times


def _waited(server: Served, path: Path) -> list[float]:
    """Write a line while somebody waits for the log to change, and time until that is told."""
    times = []
    for number in range(LATE_LINES // 2):
        version, quiet = "", 0
        while quiet < QUIET_WAITS:  # the index comes after
            now = json.loads(server.ask(f"?wait=1&version={version}").read())["version"]
            quiet = quiet + 1 if now == version else 0
            version = now
        server.connection.request("GET", f"{LOG}?wait=30&version={version}")
        time.sleep(0.2)
        began = time.perf_counter()
        with path.open("ab", buffering=0) as file:
            file.write(_json_line(f"line {number}."))
        server.connection.getresponse().read()
        times.append(time.perf_counter() - began)
    return times


def latency(_: Served) -> dict[str, float]:
    """Follow logs of their own, which are idle but for a line now and then; and one that is idle for long."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        one, two = (Path(folder) / f"source-{number}.log" for number in (0, 1))
        one.write_bytes(_json_line("first"))
        of_json = _followed(server, one, _json_line)
        of_text = _followed(server, one, _text_line)
        waited = _waited(server, one)
        two.write_bytes(_json_line("first"))
        of_two = _followed(server, two, _json_line)
        server.ask("/stream?tail=0", "text/event-stream")
        time.sleep(2.0)
        cpu_s = server.cpu_s()
        time.sleep(IDLE_S)
        cores = (server.cpu_s() - cpu_s) / IDLE_S
    return {
        "seconds": statistics.median(of_json),
        "json_p99": p99(of_json),
        "text": statistics.median(of_text),
        "two": statistics.median(of_two),
        "wait": statistics.median(waited),
        "idle_cores": cores,
    }


MODES = {
    "latency": latency,
    "followers": followers,
    "stream": stream,
    "poll": poll,
    "search": search,
    "places": places,
    "raw": raw,
    "unindexed": unindexed,
}


def main(mode: str, files: list[str]) -> None:
    """Serve the folder of the files and print what was measured."""
    with (
        tempfile.TemporaryDirectory() as empty,
        served(Path(files[0]).parent, cache=empty if mode == "unindexed" else None) as server,
    ):
        print(json.dumps(MODES[mode](server)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
