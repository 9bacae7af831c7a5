"""What the API server's processes take while something is asked of them.

Holds: nothing but the highest figures. It looks every LOOK_S; what lasts less than that can escape it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import ROOT

if TYPE_CHECKING:
    from typing_extensions import Self

    from tests.airflow_home import Airflow

LOOK_S = 0.05
QUIET_S = 2.0
"""So long without work, and it has stopped."""

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at memory, processes and temporary files while something runs."""

    def __init__(self, server: Airflow) -> None:
        self._server = server
        self._ending = threading.Event()
        self._before_bytes = sum(_memory(pid)["RssAnon"] for pid in server.pids("api-server"))
        self._thread = threading.Thread(target=self._look)
        self.anon_growth_bytes = self.rss_bytes = self.temporary_bytes = self.processes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def figures(self) -> dict[str, float]:
        """Return what was seen."""
        return {
            "anon_growth_bytes": self.anon_growth_bytes,
            "rss_bytes": self.rss_bytes,
            "temporary_bytes": self.temporary_bytes,
            "processes": self.processes,
        }

    def _look(self) -> None:
        while not self._ending.wait(LOOK_S):
            pids = self._server.pids("api-server")
            memory = [_memory(pid) for pid in pids]
            grown = sum(each["RssAnon"] for each in memory) - self._before_bytes
            self.anon_growth_bytes = max(self.anon_growth_bytes, grown)
            self.rss_bytes = max(self.rss_bytes, sum(each["VmRSS"] for each in memory))
            self.temporary_bytes = max(self.temporary_bytes, sum(map(_temporary_bytes, pids)))
            self.processes = max(self.processes, len(pids))


def cpu_s(server: Airflow) -> float:
    """Return the CPU time that the API server has taken so far."""
    return sum(_ticks(pid) for pid in server.pids("api-server")) * _TICK_S


def read_bytes(server: Airflow) -> int:
    """Return how much the API server has read so far, from whatever."""
    total = 0
    for pid in server.pids("api-server"):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/io").read_text().split()[1])
    return total


def until_quiet(server: Airflow, limit_s: float) -> tuple[float, float]:
    """Wait until the API server does nothing for a while; return when its work stopped, and its CPU time until then.

    An idle API server takes a little, too: less than a tenth of a processor is nothing.
    """
    began_s, began_cpu_s = time.monotonic(), cpu_s(server)
    stopped_s, stopped_cpu_s = 0.0, began_cpu_s
    before = began_cpu_s
    while time.monotonic() - began_s < limit_s:
        time.sleep(0.1)
        now, elapsed_s = cpu_s(server), time.monotonic() - began_s
        if now - before > 2 * _TICK_S:
            stopped_s, stopped_cpu_s = elapsed_s, now
        elif elapsed_s - stopped_s > QUIET_S:
            break
        before = now
    return stopped_s, stopped_cpu_s - began_cpu_s


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _memory(pid: int) -> dict[str, int]:
    found = {"RssAnon": 0, "VmRSS": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    return found


def _temporary_bytes(pid: int) -> int:
    """Sum up the files that a process has open where temporary ones are made."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            target = entry.readlink()
            if target.is_relative_to(tempfile.gettempdir()) and not target.is_relative_to(ROOT):
                total += entry.stat().st_size
    return total
