"""``logflume status``: how a capture stands.

Holds: nothing; see ``logflume.ship.status``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli.screen import Out, visible
from logflume.cli.table import table
from logflume.errors import UsageError
from logflume.ship.status import read_status
from logflume.sizes import show_size

if TYPE_CHECKING:
    from logflume.ship.status import SinkStatus, Status, StreamStatus


_STREAM_HEAD = ("stream", "files", "disk", "written", "lost")
_SINK_HEAD = ("sink", "backlog", "refusals", "now")


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, as_json: bool) -> int:
    """Show how the capture in FOLDER stands.

    What was written, what is kept and what was given up, for each stream; and for each sink what it has not had yet.

    \b
    logflume status logs/job
    """
    status = read_status(folder)
    if not status.streams and not status.sinks:
        raise UsageError(f"nothing was captured into {folder}, nor shipped from it")
    text = json.dumps(asdict(status), indent=2) if as_json else "\n".join(_as_text(status))
    Out().write_text(text + "\n")
    return 0


def _as_text(status: Status) -> list[str]:
    lines = []
    if status.program is not None:
        lines.append(f"{visible(status.program)}: {_state(status)}")
    if status.streams:
        lines += table([_STREAM_HEAD, *map(_stream_row, status.streams)], (False, True, True, True, True))
    if status.sinks:
        lines += ["", *table([_SINK_HEAD, *map(_sink_row, status.sinks)], (False, True, True, False))]
    return lines


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
    return (visible(sink.name), backlog, str(sink.refusals), visible(sink.refused or "-"))
