"""What is told to Prometheus of a supervisor, its children, and the sinks.

Holds: as many series as there are children, streams and sinks; a name is escaped, so that nobody can forge a line.
Plan:  what is known is in memory (``Supervisor.describe``) or beside the segments (``status``); it is written as text.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from logflume.ship.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.ship.status import Status

PREFIX = "logflume_"

_SPECIAL = re.compile(r'[\\"\n]')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}

FAMILIES = {
    "child_up": ("gauge", "Whether the child runs."),
    "child_starts_total": ("counter", "How often it was started."),
    "child_condition_ok": ("gauge", "Whether the condition does not fail."),
    "child_condition_failed_looks_total": ("counter", "Looks at the condition that failed."),
    "captured_bytes_total": ("counter", "Bytes that ever came from the child."),
    "captured_lines_total": ("counter", "Lines that came from it since the supervisor began."),
    "kept_disk_bytes": ("gauge", "What its output takes on the disk."),
    "lost_bytes_total": ("counter", "Bytes of it that were given up."),
    "pipe_full_seconds_total": ("counter", "How long its pipe was full, at most."),
    "pipe_waited_seconds_total": ("counter", "How long its pipe was not read, for a sink to go on."),
    "sink_backlog_bytes": ("gauge", "What the sink has not had yet."),
    "sink_lag_seconds": ("gauge", "How long ago the oldest of that came; 0 when it has all."),
    "sink_sent_bytes_total": ("counter", "Bytes that the sink has accepted since shipping began."),
    "sink_refusals_total": ("counter", "How often it refused: each is tried again."),
    "sink_lost_bytes_total": ("counter", "Bytes that were given up before it could have them."),
    "sink_redacted_total": ("counter", "Places that were covered on the way."),
    "sink_left_out_lines_total": ("counter", "Lines that sampling left out."),
    "sink_matched_lines_total": ("counter", "Lines on their way that matched a pattern of [outgoing] count."),
    "sink_up": ("gauge", "Whether it does not refuse now."),
    "supervisor_late_seconds_max": ("gauge", "The latest that the supervisor's loop ever was."),
    "supervisor_rounds_total": ("counter", "How often the loop went round."),
    "orphans_reaped_total": ("counter", "Processes left to the supervisor by others that have ended."),
}


def as_text(known: dict[str, Any], folder: Path) -> str:
    """Return all figures, in the text format."""
    found: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for name, labels, value in _iter_all(known, folder):
        shown = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
        found[name].append(f"{PREFIX}{name}{{{shown}}} {value}" if shown else f"{PREFIX}{name} {value}")
    lines = []
    for name, (kind, meaning) in FAMILIES.items():
        if found[name]:
            lines += [f"# HELP {PREFIX}{name} {meaning}", f"# TYPE {PREFIX}{name} {kind}", *found[name]]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return the value of a label as it stands between quotes."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _iter_all(known: dict[str, Any], folder: Path) -> Iterator[tuple[str, dict[str, str], float]]:
    yield "supervisor_late_seconds_max", {}, known["late_s"]
    yield "supervisor_rounds_total", {}, known["rounds"]
    yield "orphans_reaped_total", {}, known["orphans"]
    for name, child in known["children"].items():
        labels = {"child": name}
        yield "child_up", labels, int(child["state"] == "running")
        yield "child_starts_total", labels, child["starts"]
        yield "captured_lines_total", labels, child["lines"]
        yield "pipe_full_seconds_total", labels, child["pipe_full_s"]
        yield "pipe_waited_seconds_total", labels, child["waited_s"]
        for condition, each in child["conditions"].items():
            both = {**labels, "condition": condition}
            yield "child_condition_ok", both, int(each["fails"] is None)
            yield "child_condition_failed_looks_total", both, each["failed_looks"]
        with contextlib.suppress(OSError):
            yield from _iter_kept(labels, read_status(folder / name))


def _iter_kept(labels: dict[str, str], status: Status) -> Iterator[tuple[str, dict[str, str], float]]:
    for stream in status.streams:
        both = {**labels, "stream": stream.name}
        yield "captured_bytes_total", both, stream.end
        yield "kept_disk_bytes", both, stream.disk_bytes
        yield "lost_bytes_total", both, stream.lost_bytes
    for sink in status.sinks:
        both = {**labels, "sink": sink.name}
        if sink.backlog_bytes is not None:
            yield "sink_backlog_bytes", both, sink.backlog_bytes
        if sink.lag_s is not None:
            yield "sink_lag_seconds", both, sink.lag_s
        yield "sink_sent_bytes_total", both, sink.sent_bytes
        yield "sink_refusals_total", both, sink.refusals
        yield "sink_lost_bytes_total", both, sink.lost_bytes
        yield "sink_redacted_total", both, sink.redacted
        yield "sink_left_out_lines_total", both, sink.left_out
        for counter, count in sink.counts.items():
            yield "sink_matched_lines_total", {**both, "counter": counter}, count
        yield "sink_up", both, int(sink.refused is None)
