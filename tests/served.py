"""The server as its users have it, for tests: a process of its own, on a free port, asked over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEADLINE_S = 30


def line(second: int, text: str = "x", level: str = "info") -> str:
    """Return a line as Airflow writes them."""
    stamp = f"2024-11-20T12:{second // 60:02d}:{second % 60:02d}Z"
    return json.dumps({"timestamp": stamp, "level": level, "event": text}, separators=(",", ":")) + "\n"


def eventually(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


def made(root: Path) -> Path:
    """Make three logs: one of two sources, a long one, an empty one."""
    (root / "dag").mkdir(parents=True)
    (root / "dag" / "attempt=1.log").write_text("".join(line(n, f"worker {n}") for n in range(0, 60, 2)))
    (root / "dag" / "attempt=1.log.trigger.7.log").write_text(
        "".join(line(n, f"trigger {n}", "error" if n == 31 else "info") for n in range(1, 60, 2))
    )
    (root / "long.log").write_text("".join(line(n % 3600, f"row {n}") for n in range(3000)))
    (root / "empty.log").touch()
    return root


class Server:
    """A server process and a client for it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], url: str, said: list[str]) -> None:
        self.folder = folder
        self.process = process
        self.url = url
        self.said = said
        self.client = httpx.Client(base_url=url + "/api/v1", timeout=DEADLINE_S, verify=False)  # noqa: S501 - loopback

    def get(
        self, path: str, params: Mapping[str, str | int | bool] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Ask."""
        return self.client.get(path, params=params, headers=headers)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def descriptors(self) -> int:
        """Count what the server has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Count its threads."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def children(self) -> list[int]:
        """Return its worker processes."""
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in told.split()]


@contextlib.contextmanager
def serving(
    folder: Path, cache: Path, *flags: str, quiet: bool = True, before: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Run ``logflume serve`` on a free port, after the command ``before``; ``quiet``: it must say nothing more."""
    log = () if "--access-log" in flags else ("--access-log", "off")
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "logflume", "serve", str(folder), "--port", "0", *log, *flags],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    found = re.search(r"https?://[0-9.:\[\]]+", first)
    assert found, first + process.stderr.read()
    said = [first]
    listener = threading.Thread(target=said.extend, args=[process.stderr])
    listener.start()
    server = Server(folder, process, found[0], said)
    try:
        with server.client:
            yield server
    finally:
        is_running = process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        listener.join(DEADLINE_S)
        process.stderr.close()
    assert not is_running or process.returncode == 0
    assert not quiet or said[1:] == [], "".join(said)
