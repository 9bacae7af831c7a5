"""``logflume drain``: wait until sinks have what is there.

Holds: nothing; see ``logflume.ship.status``.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from logflume.cli import FAILED
from logflume.cli import options as ask
from logflume.cli.screen import say, visible
from logflume.cli.ship import again_of, shipping
from logflume.errors import UsageError
from logflume.ship.shipper import ship_all
from logflume.ship.sinks import KINDS
from logflume.ship.status import SinkStatus, read_status
from logflume.sizes import show_size

_LOOK_S = 0.1


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sink", "sinks", metavar="SINK", multiple=True, help=f"Ship there first, up to what is there: {KINDS}.")
@ask.config
@ask.plain
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Give up after so long. [default: never]",
)
def command(folder: Path, sinks: tuple[str, ...], config: Path | None, plain: bool, timeout_s: float | None) -> int:
    """Wait until every sink has had all that is in FOLDER.

    What is missing when the time is over is said. Whoever ships from FOLDER goes on meanwhile. Sinks that nobody ships
    to are named with --sink or --config, and get what is there now; it ends although somebody still captures.

    \b
    logflume drain logs/job --timeout 60
    logflume drain logs/job --sink file:/mnt/archive/job.log
    """
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    if sinks or config is not None:
        job = again_of(folder, sinks, config, plain=plain)
        return shipping(lambda looked: ship_all([job], ends_at_once=True, looked=looked), deadline_s)
    while left := _left(folder):
        if deadline_s is not None and time.monotonic() >= deadline_s:
            for sink in left:
                much = "an unknown number of bytes" if sink.backlog_bytes is None else show_size(sink.backlog_bytes)
                refused = f": {sink.refused}" if sink.refused else ""
                say(f"{visible(sink.name)} has not had {much}{visible(refused)}")
            return FAILED
        time.sleep(_LOOK_S)
    return 0


def _left(folder: Path) -> list[SinkStatus]:
    """Return the sinks that have not had all."""
    status = read_status(folder)
    if not status.sinks:
        raise UsageError(f"nothing was shipped from {folder} yet: name a --sink")
    return [sink for sink in status.sinks if sink.backlog_bytes != 0]
