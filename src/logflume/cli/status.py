"""``logflume status``: how a capture stands, or all children of a supervisor.

Holds: what is shown at one moment; it looks at files, and asks nobody.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logflume.cli.screen import Out, reader_is_gone, visible
from logflume.cli.table import table
from logflume.errors import UsageError
from logflume.ship.status import read_status
from logflume.ship.supervise import read_supervised
from logflume.sizes import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from logflume.ship.status import SinkStatus, Status, StreamStatus

_STREAM_HEAD = ("stream", "files", "disk", "written", "lost")
_SINK_HEAD = ("sink", "backlog", "lag", "refusals", "now")
_CHILD_HEAD = ("child", "state", "pid", "starts", "written", "rate", "lost", "sinks behind", "conditions")

_FRESH_S = 10.0
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-w", "--watch", is_flag=True, help="Show it anew every second, with rates, until Ctrl-C.")
def command(folder: Path, as_json: bool, watch: bool) -> int:
    """Show how the capture in FOLDER stands, or those of a supervisor's children.

    What was written, what is kept and what was given up, for each stream; and for each sink what it has not had yet.

    \b
    logflume status logs/job
    logflume status --watch /var/log/airflow
    """
    if as_json and watch:
        raise UsageError("--json is one object; --watch shows it again and again")
    out = Out()
    looked = _look(folder)
    if as_json:
        out.write_text(json.dumps(_as_json(looked), indent=2) + "\n")
        return 0
    out.write_text("\n".join(_as_text(looked, {}, 0.0)) + "\n")
    try:
        while watch and not reader_is_gone():
            began_s = time.monotonic()
            time.sleep(1)
            before, looked = looked, _look(folder)
            lines = _as_text(looked, _written(before), time.monotonic() - began_s)
            out.write_text(_CLEAR + "\n".join(lines) + "\n")
    except KeyboardInterrupt:
        pass
    return 0


class _Looked:
    """What there is: one capture, or a supervisor's note and the captures of its children."""

    def __init__(self, folder: Path) -> None:
        self.supervised = read_supervised(folder)
        children = {name: folder / name for name in self.supervised.get("children", {})}
        folders = children or {folder.name: folder}
        self.captures = {name: read_status(path) for name, path in folders.items() if path.is_dir()}


def _look(folder: Path) -> _Looked:
    looked = _Looked(folder)
    if not any(status.streams or status.sinks for status in looked.captures.values()):
        raise UsageError(f"nothing was captured into {folder}, nor shipped from it")
    return looked


def _as_json(looked: _Looked) -> dict[str, Any]:
    captures = {name: asdict(status) for name, status in looked.captures.items()}
    if not looked.supervised:
        return next(iter(captures.values()))
    return {"supervisor": looked.supervised, "captures": captures}


def _written(looked: _Looked) -> dict[str, int]:
    return {name: sum(stream.end for stream in status.streams) for name, status in looked.captures.items()}


def _as_text(looked: _Looked, before: Mapping[str, int], seconds: float) -> list[str]:
    if not looked.supervised:
        (status,) = looked.captures.values()
        return list(_capture_lines(status))
    return list(_supervisor_lines(looked, before, seconds))


def _supervisor_lines(looked: _Looked, before: Mapping[str, int], seconds: float) -> Iterator[str]:
    known = looked.supervised
    age_s = time.time() - known["time_ns"] / 1e9
    stale = "" if age_s < _FRESH_S else f"; that was {age_s:.0f} s ago, and it may have ended"
    stopping = ", stopping" if known["stopping"] else ""
    late = f"its loop was {known['late_s'] * 1000:.0f} ms late at most"
    yield f"supervisor: process {known['pid']}{stopping}, {late}{stale}"
    rows = [
        _child_row(name, child, looked.captures.get(name), before.get(name), seconds)
        for name, child in known["children"].items()
    ]
    yield from table([_CHILD_HEAD, *rows], (False, False, True, True, True, True, True, False, False))
    sinks = [
        (visible(f"{name}: {sink.name}"), *_sink_row(sink)[1:])
        for name, status in looked.captures.items()
        for sink in status.sinks
    ]
    if sinks:
        yield ""
        yield from table([("child: sink", *_SINK_HEAD[1:]), *sinks], (False, True, True, True, False))


def _child_row(
    name: str, child: Mapping[str, Any], status: Status | None, before: int | None, seconds: float
) -> tuple[str, ...]:
    written = sum(stream.end for stream in status.streams) if status else 0
    rate = "-" if before is None or not seconds else f"{show_size((written - before) / seconds)}/s"
    lost = sum(stream.lost_bytes for stream in status.streams) if status else 0
    behind = [sink.name for sink in status.sinks if sink.backlog_bytes != 0] if status else []
    failing = [f"{each}: {found['fails']}" for each, found in child["conditions"].items() if found["fails"]]
    conditions = "; ".join(failing) or (f"{len(child['conditions'])} hold" if child["conditions"] else "-")
    state = child["state"] if child["exit_code"] is None else f"{child['state']} ({child['exit_code']})"
    texts = (name, state, str(child["pid"] or "-"), str(child["starts"]), show_size(written), rate, show_size(lost))
    return tuple(map(visible, (*texts, ", ".join(behind) or "-", conditions)))


def _capture_lines(status: Status) -> Iterator[str]:
    if status.program is not None:
        yield f"{visible(status.program)}: {_state(status)}"
    if status.streams:
        yield from table([_STREAM_HEAD, *map(_stream_row, status.streams)], (False, True, True, True, True))
    if status.sinks:
        yield ""
        yield from table([_SINK_HEAD, *map(_sink_row, status.sinks)], (False, True, True, True, False))


def _state(status: Status) -> str:
    if status.running:
        return f"running, process {status.pid}, {status.mode}"
    if status.exit_code is None:
        return f"how it ended was not noted; process {status.pid} may still run"
    return f"ended with {status.exit_code}" if status.exit_code >= 0 else f"ended by signal {-status.exit_code}"


def _stream_row(stream: StreamStatus) -> tuple[str, ...]:
    sizes = map(show_size, (stream.disk_bytes, stream.end, stream.lost_bytes))
    return (visible(stream.name), str(stream.files), *sizes)


def _sink_row(sink: SinkStatus) -> tuple[str, ...]:
    backlog = "?" if sink.backlog_bytes is None else show_size(sink.backlog_bytes)
    lag = "?" if sink.lag_s is None else f"{sink.lag_s:.0f} s"
    return (visible(sink.name), backlog, lag, str(sink.refusals), visible(sink.refused or "-"))
