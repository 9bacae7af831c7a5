"""Many clients of one server: ``crowd.py whole|many|cuts|gone logflume|nginx FILES``; ``CUTS=500`` for fewer of them.

``whole``: one client reads the whole log.
``many``: half of the clients read as fast as they can, half slowly, while somebody else asks for small things.
``cuts``: clients that leave in the middle of whatever they read, and what they leave behind.
``gone``: one client at a time that leaves, and how long the server holds anything of what it read.

The files are those of one log; the server is a process of its own, the clients are others. nginx serves the largest
file as it is, and parts of it in place of rows.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import os
import random
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.drivers.serve import LOG, MIB, Served, p99, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Event

CLIENTS = 32
MANY_S = 10.0
SETTLED_S = 2.0
PAUSE_S = 0.005
FAST_BYTES = 1 << 20
SLOW_BYTES = 64 * 1024
SLOW_EVERY_S = 0.05

CUTS = int(os.environ.get("CUTS", "10000"))
FIRST_OF_CUTS = 5  # a fifth of them; what is left of these is noted, too
WARM = 500
WARM_ROUNDS = 6
CUTTERS = 64
CUT_BYTES = 1 << 20
IDLE_S = 12.0
END_S = 120.0
AFTER_S = 1.0

LEAVE_EACH = 25
LEAVE_BYTES = 100_000
LOOK_S = 0.002

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; root {root}; location = /healthz {{ return 200 "ok"; }} }}
}}
"""


@dataclass(frozen=True)
class Target:
    """A server that is measured, and how it is asked."""

    address: str
    pids: list[int]
    whole: str
    part: Callable[[], str]
    part_headers: Callable[[], dict[str, str]]
    cut: tuple[str, ...]

    def rss_bytes(self) -> int:
        """Return what its processes hold in memory now."""
        texts = [Path(f"/proc/{pid}/status").read_text(encoding="ascii") for pid in self.pids]
        return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts) * 1024

    def held(self) -> dict[str, int]:
        """Count what its processes hold: descriptors, threads, files without a name."""
        links = [link for pid in self.pids for link in Path(f"/proc/{pid}/fd").iterdir()]
        names = []
        for link in links:
            with contextlib.suppress(FileNotFoundError):
                names.append(str(link.readlink()))
        threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in self.pids)
        temporary = sum(name.endswith("(deleted)") for name in names)
        return {"descriptors": len(names), "threads": threads, "temporary": temporary}


@contextlib.contextmanager
def logflume(files: list[Path]) -> Iterator[Target]:
    """Serve the log with logflume, indexed."""
    with served(files[0].parent, "--max-readers", str(2 * CUTTERS), "--max-searches", str(2 * CUTTERS)) as server:
        while not (meta := json.loads(server.ask("").read()))["lines"]["exact"]:
            time.sleep(0.2)
        lines = meta["lines"]["count"]
        luck = random.Random(1)  # noqa: S311 - the same places each time
        yield Target(
            address=server.address,
            pids=[_pid(server)],
            whole=f"{LOG}/stream",
            part=lambda: f"{LOG}/rows?from={luck.randrange(lines)}&n=512",
            part_headers=dict,
            cut=(
                f"{LOG}/stream",
                f"{LOG}/stream?follow=true",
                f"{LOG}/stream?follow=true&tail=10",
                f"{LOG}/stream?level=error",
                f"{LOG}/search?q=needle-7f3a",
                f"{LOG}/raw",
                f"{LOG}/rows?from=-1000&n=1000",
                f"{LOG}?wait=30&version={meta['version']}",
            ),
        )


def _pid(server: Served) -> int:
    return server.process.pid


@contextlib.contextmanager
def nginx(files: list[Path]) -> Iterator[Target]:
    """Serve the largest file with nginx."""
    largest = max(files, key=lambda path: path.stat().st_size)
    size = largest.stat().st_size
    luck = random.Random(1)  # noqa: S311 - the same places each time
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]

    def part() -> dict[str, str]:
        first = luck.randrange(size)
        return {"Range": f"bytes={first}-{first + 64 * 1024}"}

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=port, root=largest.parent.resolve()), encoding="utf-8")
        with subprocess.Popen([NGINX, "-c", config], stderr=subprocess.DEVNULL) as process:
            try:
                _await(lambda: _answers(port))
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
                yield Target(
                    address=f"127.0.0.1:{port}",
                    pids=[process.pid, *map(int, children.split())],
                    whole=f"/{largest.name}",
                    part=lambda: f"/{largest.name}",
                    part_headers=part,
                    cut=(f"/{largest.name}",),
                )
            finally:
                process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as some:
        return some.connect_ex(("127.0.0.1", port)) == 0


def _await(holds: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + END_S
    while not (held := holds()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return held


def _ask(address: str, path: str) -> socket.socket:
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
    return connection


# Many at once --------------------------------------------------------------------------------------------------------


def _read_all(target: Target, stop: Event, got: multiprocessing.Queue[int]) -> None:
    """Read the whole log again and again, with half of the clients slowly."""
    buffer = bytearray(FAST_BYTES)
    poll = select.epoll()
    fast: dict[int, socket.socket] = {}
    total = 0

    def begin() -> None:
        connection = _ask(target.address, target.whole)
        fast[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)

    for _ in range(CLIENTS // 2):
        begin()
    slow = [_ask(target.address, target.whole) for _ in range(CLIENTS // 2)]
    due_s = time.monotonic()
    while not stop.is_set():
        for number, _ in poll.poll(SLOW_EVERY_S):
            size = fast[number].recv_into(buffer)
            total += size
            if not size:
                poll.unregister(number)
                fast.pop(number).close()
                begin()
        if time.monotonic() >= due_s:
            due_s += SLOW_EVERY_S
            for connection in slow:
                with contextlib.suppress(BlockingIOError):
                    connection.recv_into(buffer, SLOW_BYTES, socket.MSG_DONTWAIT)
    got.put(total)


def many(target: Target) -> dict[str, float]:
    """Ask for small things while 32 others read the whole log."""
    connection = http.client.HTTPConnection(target.address, timeout=600)

    def timed(path: str, headers: dict[str, str]) -> float:
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in {200, 206}:
            raise RuntimeError(f"{path}: {answer.status}")
        return time.perf_counter() - began

    for _ in range(5):
        timed(target.part(), target.part_headers())
    before = target.rss_bytes()
    stop = multiprocessing.Event()
    got: multiprocessing.Queue[int] = multiprocessing.Queue()
    crowd = multiprocessing.get_context("fork").Process(target=_read_all, args=(target, stop, got))
    crowd.start()
    time.sleep(SETTLED_S)
    health, parts = [], []
    growth = 0
    end_s = time.monotonic() + MANY_S
    while time.monotonic() < end_s:
        health.append(timed("/healthz", {}))
        parts.append(timed(target.part(), target.part_headers()))
        growth = max(growth, target.rss_bytes() - before)
        time.sleep(PAUSE_S)
    stop.set()
    total = got.get(timeout=END_S)
    crowd.join()
    return {
        "seconds": max(p99(health), p99(parts)),
        "healthz_p99": p99(health),
        "rows_p99": p99(parts),
        "growth_mib": growth / MIB,
        "rate": total / (SETTLED_S + MANY_S) / 1e6,
    }


# Who leaves in the middle --------------------------------------------------------------------------------------------


def _cut(target: Target, luck: random.Random) -> None:
    connection = _ask(target.address, luck.choice(target.cut))
    wanted = luck.choice((0, luck.randrange(2000), luck.randrange(CUT_BYTES)))
    connection.settimeout(luck.choice((0.001, 0.05, 1)))
    with contextlib.suppress(OSError):
        while wanted > 0 and (got := len(connection.recv(min(wanted, 1 << 16)))):
            wanted -= got
    if luck.random() < 0.5:  # cut, not closed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _cut_many(target: Target, count: int, seed: int) -> None:
    def cut(number: int) -> None:
        luck = random.Random(seed + number)  # noqa: S311 - the same cuts each time
        for _ in range(count // CUTTERS):
            _cut(target, luck)

    cutters = [threading.Thread(target=cut, args=[number]) for number in range(CUTTERS)]
    for each in cutters:
        each.start()
    for each in cutters:
        each.join()


def _settled(target: Target, idle_s: float = IDLE_S) -> tuple[dict[str, int], int]:
    """Return what is held when that has not changed for a while, in which idle threads of pools end; and the RSS."""
    held, since_s = target.held(), time.monotonic()
    end_s = since_s + END_S
    while time.monotonic() < min(end_s, since_s + idle_s):
        time.sleep(0.1)
        now = target.held()
        if now != held:
            held, since_s = now, time.monotonic()
    _ask_once(target)  # a pool looks for idle threads of its own when it is asked for one
    time.sleep(AFTER_S)
    return target.held(), target.rss_bytes()


def _ask_once(target: Target) -> None:
    connection = http.client.HTTPConnection(target.address, timeout=END_S)
    with contextlib.closing(connection):
        connection.request("GET", target.part(), headers=target.part_headers())
        connection.getresponse().read()


def _warm(target: Target) -> tuple[dict[str, int], int]:
    """Cut until pools of threads have grown to their bounds; return what is held then, and the RSS."""
    held, rss = _settled(target, 0)
    for seed in range(WARM_ROUNDS):
        threads = held["threads"]
        _cut_many(target, WARM, -1 - seed * CUTTERS)
        held, rss = _settled(target)
        if seed and held["threads"] <= threads:
            break
    return held, rss


def cuts(target: Target) -> dict[str, float]:
    """Begin to read and leave, and count what is left of it, beyond what the first of them left.

    What an allocator keeps for itself shows after the first fifth; what leaks grows with each further one.
    """
    before, rss = _warm(target)
    first = CUTS // FIRST_OF_CUTS
    began = time.perf_counter()
    _cut_many(target, first, 2)
    seconds = time.perf_counter() - began
    _, rss_first = _settled(target)
    began = time.perf_counter()
    _cut_many(target, CUTS - first, 3)
    seconds += time.perf_counter() - began
    after, rss_all = _settled(target)
    left = {name: after[name] - before[name] for name in before}
    grown = {"rss_first_mib": rss_first - rss, "rss_mib": rss_all - rss, "rss_later_mib": rss_all - rss_first}
    return {"seconds": seconds, **left, **{name: size / MIB for name, size in grown.items()}}


def gone(target: Target) -> dict[str, float]:
    """Leave in the middle of each kind of answer, and time how long anything of it is held."""
    _warm(target)
    times = []
    for path in target.cut:
        _begin_and_leave(target, path)
        _settled(target, 1.0)
        times += [_time_until_gone(target, path) for _ in range(LEAVE_EACH)]
    return {"seconds": statistics.median(times), "p99": p99(times), "most": max(times)}


def _begin_and_leave(target: Target, path: str) -> None:
    with _ask(target.address, path) as connection:
        connection.settimeout(0.3)  # a follow without news sends its head
        taken = 0
        with contextlib.suppress(TimeoutError):
            while taken < LEAVE_BYTES and (got := len(connection.recv(1 << 14))):
                taken += got


def _time_until_gone(target: Target, path: str) -> float:
    """Return how long after the client has left no more descriptors and threads are held than before it came."""
    before = target.held()
    _begin_and_leave(target, path)
    began = time.perf_counter()
    while any(count > before[name] for name, count in target.held().items()):
        if time.perf_counter() - began > END_S:
            raise RuntimeError(f"{path}: something of it is held for ever: {before}, {target.held()}")
        time.sleep(LOOK_S)
    return time.perf_counter() - began


def whole(target: Target) -> dict[str, float]:
    """Read all there is once, as one client."""
    buffer = bytearray(FAST_BYTES)
    with _ask(target.address, target.whole) as connection:
        began = time.perf_counter()
        total = connection.recv_into(buffer)
        first_byte_s = time.perf_counter() - began
        while got := connection.recv_into(buffer):
            total += got
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "first_byte_s": first_byte_s, "mb_per_s": total / seconds / 1e6}


MODES: dict[str, Callable[[Target], dict[str, float]]] = {"whole": whole, "many": many, "cuts": cuts, "gone": gone}
SERVERS = {"logflume": logflume, "nginx": nginx}


def main(mode: str, server: str, files: list[str]) -> None:
    """Serve the files and print what was measured."""
    with SERVERS[server]([Path(file) for file in files]) as target:
        print(json.dumps(MODES[mode](target)))


main(sys.argv[1], sys.argv[2], sys.argv[3:])
