"""``logflume ship``: bring the logs of a folder to sinks.

Holds: nothing; see ``logflume.ship.shipper``.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli import FAILED
from logflume.cli.screen import say
from logflume.ship.shipper import ship
from logflume.ship.sinks import KINDS, sink_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logflume.abc import Sink
    from logflume.ship.delivery import Progress


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sink", "sinks", metavar="SINK", multiple=True, required=True, help=f"Where to: {KINDS}.")
@click.option("-f", "--follow", is_flag=True, help="Go on as files grow, until a signal.")
@click.option(
    "--state",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where it is kept how far each sink is. [default: .logflume in FOLDER]",
)
def command(folder: Path, sinks: tuple[str, ...], follow: bool, state: Path | None) -> int:
    """Bring all files in FOLDER to each sink, from where it was the last time.

    Each sink goes at its own pace. It ends when all is delivered and nobody captures into FOLDER any more. What a sink
    refuses is offered again, for ever.

    \b
    logflume ship logs/job --sink file:/mnt/archive/job.log
    logflume ship -f /var/log/app --sink http://collector:8080/logs --state ~/.local/state/app
    """
    return run(folder, [*dict.fromkeys(sinks)], follow=follow, state=state)


def run(folder: Path, sinks: Sequence[str], *, follow: bool, state: Path | None) -> int:
    """Ship; return the exit code."""
    return shipping(folder, sinks, lambda made, looked: ship(folder, made, follow=follow, state=state, looked=looked))


def shipping(
    folder: Path,
    sinks: Sequence[str],
    deliver: Callable[[Sequence[Sink], Callable[[Sequence[Progress]], bool]], list[Progress]],
    deadline_s: float | None = None,
) -> int:
    """Deliver to the sinks that words name until all is done, a signal or a deadline; return the exit code."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    told = _Told()

    def looked(progress: Sequence[Progress]) -> bool:
        told.look(progress)
        return not stopped.is_set() and (deadline_s is None or time.monotonic() < deadline_s)

    progress = deliver([sink_of(words, beside=folder) for words in dict.fromkeys(sinks)], looked)
    told.look(progress)
    for each in progress:
        if each.lost_bytes:
            say(f"{each.sink}: {each.lost_bytes} bytes were given up before it could have them")
    return 0 if stopped.is_set() or all(each.done and not each.trouble for each in progress) else FAILED


class _Told:
    """Says what is wrong with a sink once, and again when it is something else."""

    def __init__(self) -> None:
        self._last: dict[str, str | None] = {}
        self._last_rejected: dict[str, str] = {}

    def look(self, progress: Sequence[Progress]) -> None:
        for each in progress:
            wrong = each.refused or each.trouble
            if wrong and self._last.get(each.sink) != wrong:
                say(wrong if each.refused is None else f"{wrong}; it is offered again until it is taken")
            self._last[each.sink] = wrong
            if each.why_rejected and self._last_rejected.get(each.sink) != each.why_rejected:
                say(f"{each.sink} will never take {each.rejected} events: {each.why_rejected}")
                self._last_rejected[each.sink] = each.why_rejected
