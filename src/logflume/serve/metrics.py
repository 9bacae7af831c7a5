"""Counts for Prometheus, in a registry of our own.

Holds: labels come from short lists (route templates, methods, statuses, reasons, uses), never from what a client sends,
       so the number of series is bounded. Of several processes each writes to files in one folder, and any of them
       gives the sum.
Plan:  ``prometheus_client`` decides when it is first loaded whether it counts in memory or in files, by the
       environment: it is loaded only when a ``Metrics`` is made.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.records import GapReason
from logflume.serve.limits import Use

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prometheus_client import CollectorRegistry, Counter, Gauge

    from logflume._core import Stats
    from logflume.records import Gap
    from logflume.serve.observe import Answered
    from logflume.serve.wire import Why

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FIRST_BYTE_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the histogram."""

_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LIVE = re.compile(r"gauge_live[a-z]*_([0-9]+)\.db")
_MERGED = {
    "bytes": "Bytes of sources that merges have read.",
    "records": "Records that merges have read.",
    "late": "Records that were older than one before them in their source.",
    "duplicates": "Records left out because another source held them.",
}


class Metrics:
    """What one process has counted. Any thread may count."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin to count; with a folder, together with the other processes that were given it, empty at the start.

        Raises:
            UsageError: prometheus_client was loaded before, and counts the other way.
        """
        if folder is not None:
            os.environ[_FOLDER_VARIABLE] = str(folder)
        import prometheus_client
        from prometheus_client import CollectorRegistry, values

        is_shared: bool = values.ValueClass._multiprocess  # noqa: SLF001 - there is no other way to ask
        if is_shared != (folder is not None):
            raise UsageError(f"{_FOLDER_VARIABLE}: metrics of one process are in memory, and of several in a folder")
        self._folder = folder
        self._registry = CollectorRegistry()
        if folder is None:
            prometheus_client.ProcessCollector(registry=self._registry)
        self._requests = self._counter("requests", "Requests that have ended.", "route", "method", "status", "end")
        self._sent = self._counter("sent_bytes", "Bytes of answers, as they were sent.", "route")
        self._gaps = self._counter("gaps", "What was found missing in sources.", "reason")
        self._merged = {name: self._counter(f"merged_{name}", text) for name, text in _MERGED.items()}
        self._ended = self._counter("connections_ended", "Connections that the server ended.", "why")
        self._in_use = self._gauge("in_use", "Readers, followers and searches now.", "use")
        self._spool = self._gauge("spool_bytes", "What spools hold now, in memory and on disk.", "where")
        self._first_byte = prometheus_client.Histogram(
            "logflume_first_byte_seconds",
            "From a request to the first byte of its answer.",
            ["route"],
            buckets=FIRST_BYTE_S,
            registry=self._registry,
        )
        self._begin()

    def _begin(self) -> None:
        """Let what is bounded be there from the start, at 0: what has never happened is told, too."""
        from logflume.serve.wire import Why

        for use in Use:
            self._in_use.labels(use.value)
        for where in ("memory", "disk"):
            self._spool.labels(where)
        for reason in GapReason:
            self._gaps.labels(reason.value)
        for why in Why:
            self._ended.labels(why.value)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        from prometheus_client import Counter

        return Counter(f"logflume_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        from prometheus_client import Gauge

        return Gauge(f"logflume_{name}", text, labels, registry=self._registry, multiprocess_mode="livesum")

    def answered(self, answered: Answered) -> None:
        """Count a request."""
        self._requests.labels(answered.route, answered.method, str(answered.status), answered.end).inc()
        self._sent.labels(answered.route).inc(answered.sent_bytes)
        if answered.first_byte_s is not None:
            self._first_byte.labels(answered.route).observe(answered.first_byte_s)

    def connection_ended(self, why: Why) -> None:
        """Count a connection that was not let go on; for ``Wire(tell=…)``."""
        self._ended.labels(why.value).inc()

    def in_use(self, use: Use, count: int) -> None:
        """Take how many there are now; for ``Limits(tell=…)``."""
        self._in_use.labels(use.value).set(count)

    def new_reading(self) -> ReadingCount:
        """Return what counts one merge."""
        return ReadingCount(self)

    def new_spool(self) -> SpoolCount:
        """Return what counts one spool."""
        return SpoolCount(self)

    def text(self) -> bytes:
        """Return everything in Prometheus' text form; with several processes it reads files, some milliseconds."""
        from prometheus_client import generate_latest

        return generate_latest(self._whole())

    def _whole(self) -> CollectorRegistry:
        if self._folder is None:
            return self._registry
        from prometheus_client import CollectorRegistry, multiprocess

        for pid in _dead(self._folder):
            multiprocess.mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]
        return registry


class ReadingCount:
    """Adds what one merge has done since it was last asked."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told = dict.fromkeys(_MERGED, 0)
        self._gaps_told = 0

    def update(self, stats: Stats, gaps: Sequence[Gap]) -> None:
        """Count up to here: with the statistics of the merge, and all of its gaps so far."""
        now = {"bytes": stats["bytes"], "records": stats["records"], "late": stats["late"]}
        now["duplicates"] = stats["duplicates"]
        for name, count in now.items():
            self._metrics._merged[name].inc(max(0, count - self._told[name]))  # noqa: SLF001 - one module
        self._told = now
        for gap in gaps[self._gaps_told :]:
            self._metrics._gaps.labels(gap.reason.value).inc()  # noqa: SLF001
        self._gaps_told = max(self._gaps_told, len(gaps))


class SpoolCount:
    """Keeps what one spool holds in the sum of all."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told = {"memory": 0, "disk": 0}

    def update(self, memory_bytes: int, disk_bytes: int = 0) -> None:
        """Take what it holds now."""
        self._change({"memory": memory_bytes, "disk": disk_bytes})

    def close(self) -> None:
        """Take it out: it holds nothing any more."""
        self._change({"memory": 0, "disk": 0})

    def _change(self, now: dict[str, int]) -> None:
        for where, count in now.items():
            self._metrics._spool.labels(where).inc(count - self._told[where])  # noqa: SLF001
        self._told = now


def _dead(folder: Path) -> list[int]:
    """Return the processes that left gauges behind and are no more."""
    pids = {int(found[1]) for path in folder.iterdir() if (found := _LIVE.fullmatch(path.name))}
    return [pid for pid in pids if not _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
