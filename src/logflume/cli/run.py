"""``logflume run``: run a command, keep and show its output.

Holds: nothing; see ``logflume.ship.capture``.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from logflume.cli import options as ask
from logflume.cli.screen import say
from logflume.errors import UsageError
from logflume.ship.capture import Ended, Wanted, capture
from logflume.ship.config import Captured, Config, read_config
from logflume.ship.processes import CannotStart, Process, Processes, end_like
from logflume.ship.recording import Mode
from logflume.ship.segments import Fsync, Reclaim, WhenOver
from logflume.ship.sinks import KINDS, sink_of
from logflume.sizes import show_size

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND …", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--dir",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the output is kept. [default: a new folder in ~/.local/state/logflume]",
)
@click.option("-q", "--quiet", is_flag=True, help="Keep the output and do not show it.")
@click.option(
    "--capture",
    "mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="Whether COMMAND writes the files itself, or we read a pipe, a FIFO that outlives us, a terminal. "
    "[default: direct]",
)
@click.option(
    "--apart",
    is_flag=True,
    default=None,
    help="Keep standard error in a file of its own, and show it on standard error.",
)
@click.option(
    "--budget", metavar="SIZE", callback=ask.size, help="What all files of a stream may take. [default: 1 GiB]"
)
@click.option(
    "--when-over",
    type=click.Choice([each.value for each in WhenOver]),
    help="What happens beyond the budget. [default: drop-oldest]",
)
@click.option(
    "--max-age",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Begin a new file when the newest is so old; not with --capture direct.",
)
@click.option(
    "--fsync",
    type=click.Choice([each.value for each in Fsync]),
    help="What a power failure may take: 30 s or so, 0.5 s, nothing. [default: never]",
)
@click.option(
    "--reclaim",
    type=click.Choice([each.value for each in Reclaim]),
    help="When space comes back: beyond the budget, or when every sink has the bytes. [default: over-budget]",
)
@click.option(
    "--keep",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="A full file goes when its last byte came so long ago.",
)
@ask.config
@click.option("--sink", "sinks", metavar="SINK", multiple=True, help=f"Ship the output there, too: {KINDS}.")
@click.option(
    "--drain",
    "drain_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How long to wait at the end for sinks that do not have all; shipping goes on without us.",
)
def command(
    words: tuple[str, ...],
    folder: Path | None,
    quiet: bool,
    mode: str | None,
    apart: bool | None,
    budget: int | None,
    when_over: str | None,
    max_age: float | None,
    fsync: str | None,
    reclaim: str | None,
    keep: float | None,
    config: Path | None,
    sinks: tuple[str, ...],
    drain_s: float,
) -> int:
    """Run COMMAND, show its output as it comes, and keep it in files that anything can read.

    COMMAND never waits for the terminal, nor for anything else that reads its output. Its exit code is ours, signals
    are passed on, and in the default mode it goes on writing even when we are killed.

    \b
    logflume run -- python job.py
    logflume run --dir logs/job --quiet -- ./serve --port 8080
    logflume run --dir logs/job --capture pipe --budget 100MB -- make
    """
    known = None if config is None else read_config(config)
    captured = known.captured if known is not None else Captured()
    given = {
        "mode": None if mode is None else Mode(mode),
        "apart": apart,
        "budget": budget,
        "when_over": None if when_over is None else WhenOver(when_over),
        "max_age_s": max_age,
        "fsync": None if fsync is None else Fsync(fsync),
        "reclaim": None if reclaim is None else Reclaim(reclaim),
        "keep_s": keep,
    }
    captured = replace(captured, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # each of its own type
    kept = folder or _new_folder(words[0])
    wanted = Wanted(words, kept, captured.mode, captured.apart, not quiet, captured.rules())
    if captured.when_over is WhenOver.WAIT and not sinks and not (known and known.sinks):
        raise UsageError("with --when-over wait there must be a --sink to wait for")
    shipping = Shipping(kept, [*dict.fromkeys(sinks)], drain_s, known)
    return run(wanted, shipping, told=folder is None)


@dataclass(frozen=True)
class Shipping:
    """Which sinks are wanted, and how long to wait for them.

    The process that ships is in a session of its own: Ctrl-C is for the command, and when we are killed it goes on.
    """

    folder: Path
    sinks: list[str]
    drain_s: float
    config: Config | None = None

    def check(self) -> None:
        """See that there are such sinks.

        Raises:
            UsageError: there is one that cannot be.
        """
        for words in self.sinks:
            sink_of(words, beside=self.folder)
        if self.config is not None:
            self.config.make_sinks(self.folder, {"child": self.folder.absolute().name})

    def start(self, processes: Processes) -> Process | None:
        """Start to ship, if there is a sink."""
        named = self.config if self.config is not None and self.config.sinks else None
        if not self.sinks and named is None:
            return None
        options = [option for words in self.sinks for option in ("--sink", words)]
        if named is not None:
            options += ["--config", str(named.path)]
        program = [sys.executable, "-m", "logflume", "ship", *options, "--", str(self.folder)]
        return processes.start(program, {}, session=True)

    def drain(self, shipper: Process | None, processes: Processes) -> None:
        """Wait for it as long as is wanted, and say what is not delivered."""
        if shipper is None:
            return
        again = f"logflume ship {self.folder}"
        if not processes.wait_for(shipper, self.drain_s):
            say(f"not all is shipped yet; process {shipper.pid} goes on. If it ends: {again}")
        elif shipper.exit_code:
            say(f"not all is shipped; all is kept. Ship the rest: {again}")


def run(wanted: Wanted, shipping: Shipping, *, told: bool) -> int:
    """Run it; return the exit code, or end by the signal that ended it."""
    # Whoever reads what we show may go away; the command is not to notice, and Python raises an error instead.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    shipping.check()
    shippers: list[Process | None] = []
    processes = Processes()
    try:
        ended = capture(wanted, processes, started=lambda: shippers.append(shipping.start(processes)))
    except CannotStart as error:
        say(str(error))
        return error.exit_code
    _tell(ended)
    shipping.drain(shippers[0], processes)
    if told:
        say(f"the output is kept: logflume cat {wanted.folder}")
    return end_like(ended.status)


def _tell(ended: Ended) -> None:
    for trouble in ended.troubles:
        say(trouble)
    if ended.lost:
        lost_bytes = sum(loss.lost_bytes for loss in ended.lost)
        say(f"{show_size(lost_bytes)} of the output were given up: {ended.lost[-1].reason}")


def _new_folder(program: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = _NO_NAME.sub("-", Path(program).name)[:50] or "command"
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return Path(state).expanduser() / "logflume" / f"{name}-{moment}-{os.getpid()}"
