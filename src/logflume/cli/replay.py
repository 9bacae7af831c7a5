"""``logflume replay``: send what is still there again.

Holds: nothing; see ``logflume.ship.replay``.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from logflume.cli import options as ask
from logflume.cli.ship import again_of, shipping
from logflume.moments import parse_moment
from logflume.ship.replay import replay
from logflume.ship.sinks import KINDS


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sink", "sinks", metavar="SINK", multiple=True, help=f"Where to: {KINDS}.")
@ask.config
@ask.plain
@click.option("--since", metavar="TIME", help="What came from then on: 2024-11-20T12:34:56Z, 12:34, 15m (ago).")
def command(folder: Path, sinks: tuple[str, ...], config: Path | None, plain: bool, since: str | None) -> int:
    """Send all that is kept in FOLDER to each sink, whatever it has had.

    How far sinks are stays as it is: what is captured later is shipped from there. With --since it begins where that
    came, to the second or the 64 KiB.

    \b
    logflume replay logs/job --sink cloudwatch:/jobs
    logflume replay logs/job --sink file:again.log --since 2h
    """
    since_ns = None if since is None else parse_moment(since, now_ns=time.time_ns())
    job = again_of(folder, sinks, config, plain=plain)
    return shipping(lambda looked: replay(job, since_ns=since_ns, looked=looked))
