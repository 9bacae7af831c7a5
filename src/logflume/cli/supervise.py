"""``logflume supervise``: run the children of a file of settings.

Holds: nothing; see ``logflume.ship.supervise``.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import click

from logflume.cli.screen import say
from logflume.ship.config import read_config
from logflume.ship.supervise import Supervisor, ships_with


@click.command()
@click.argument("config", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Read FILE, say what is wrong with it, and run nothing.")
def command(config: Path, only_check: bool) -> int:
    """Run the children that FILE names, keep what they write, and ship it to its sinks.

    They are started in order, watched, and started again as FILE says. SIGTERM or Ctrl-C stops all of them, a second
    one kills them; other signals are passed on. When we are killed they go on, and the next supervisor takes them in.

    \b
    logflume supervise logflume.toml
    logflume supervise --check logflume.toml
    """
    known = read_config(config)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    supervisor = Supervisor(known, told=_tell, ships=ships_with(known))
    for child, folder in known.folders():
        known.make_sinks(folder, {"child": child})
    if only_check:
        sinks = ", ".join(sink.name for sink in known.sinks) or "no sink"
        sys.stdout.write(f"{', '.join(child.name for child in known.children)}; {sinks}\n")
        return 0
    return supervisor.run()


def _tell(text: str) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    say(f"{moment} {text}")
