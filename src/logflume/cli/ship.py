"""``logflume ship``: bring the logs of a folder to sinks.

Holds: nothing; see ``logflume.ship.shipper``.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli import FAILED
from logflume.cli import options as ask
from logflume.cli.screen import say
from logflume.errors import UsageError
from logflume.ship.config import Config, read_config
from logflume.ship.shipper import Job, is_changed, ship_all
from logflume.ship.sinks import KINDS, sink_of, tags_of_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from logflume.abc import Sink
    from logflume.ship.delivery import Progress

AGAIN_S = 60.0
"""What is wrong with a sink is told again after so long without it; one that comes and goes fills no terminal."""

AGAIN = "it is offered again until it is taken"


@click.command()
@click.argument(
    "folder", metavar="[FOLDER]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--sink", "sinks", metavar="SINK", multiple=True, help=f"Where to: {KINDS}.")
@ask.config
@click.option("-f", "--follow", is_flag=True, help="Go on as files grow, until a signal.")
@click.option(
    "--state",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where it is kept how far each sink is. [default: .logflume in FOLDER]",
)
def command(folder: Path | None, sinks: tuple[str, ...], config: Path | None, follow: bool, state: Path | None) -> int:
    """Bring all files in FOLDER to each sink, from where it was the last time.

    With --config and without FOLDER: those of all children that the file names.

    Each sink goes at its own pace. It ends when all is delivered and nobody captures into FOLDER any more. What a sink
    refuses is offered again, for ever.

    \b
    logflume ship logs/job --sink file:/mnt/archive/job.log
    logflume ship -f /var/log/app --sink http://collector:8080/logs --state ~/.local/state/app
    """
    known = None if config is None else read_config(config)
    jobs = [*_iter_jobs(folder, sinks, known, state)]
    return shipping(lambda looked: ship_all(jobs, follow=follow, looked=looked))


def _iter_jobs(folder: Path | None, words: Sequence[str], known: Config | None, state: Path | None) -> Iterator[Job]:
    """Yield what is to be shipped.

    Raises:
        UsageError: it is not said what, or where to; a sink cannot be.
    """
    if not words and (known is None or not known.sinks):
        raise UsageError("say where to: --sink SINK, or --config FILE with a table [sinks.NAME]")
    folders = [(None, folder)] if folder is not None else [*known.folders()] if known is not None else []
    if not folders:
        raise UsageError("say what is shipped: FOLDER, or --config FILE with [supervise] and [children.NAME]")
    for child, each in folders:
        if folder is None and not each.exists():
            continue  # a child that has not run yet
        yield job_of(each, words, known, state=state, child=child)


def job_of(
    folder: Path, words: Sequence[str], known: Config | None, *, state: Path | None = None, child: str | None = None
) -> Job:
    """Return what is shipped from one folder: to the sinks that words and a file name, as that file says."""
    tags = {"child": child or folder.absolute().name}
    made = made_of(words, folder) + (known.make_sinks(folder, tags) if known else [])
    rules = known.outgoing if known else None
    return Job(folder, made, state, None if rules is None else partial(rules.stage, {**tags_of_host(), **tags}))


def again_of(folder: Path, words: Sequence[str], config: Path | None, *, plain: bool) -> Job:
    """Return the same for what is shipped again: what was changed on its way before does not leave as it is by mistake.

    Raises:
        UsageError: it would, or it is not said where to.
    """
    if config is None and not plain and is_changed(folder):
        raise UsageError(
            f"what left {folder} was changed by [outgoing] of a file of settings, redacted perhaps: name it with "
            "--config FILE, or say --plain"
        )
    job = job_of(folder, words, None if config is None else read_config(config))
    if not job.sinks:
        raise UsageError("say where to: --sink SINK, or --config FILE with a table [sinks.NAME]")
    return replace(job, stage=None) if plain else job


def made_of(words: Sequence[str], folder: Path) -> list[Sink]:
    """Return the sinks that words name, each once, for what lies in a folder."""
    return [sink_of(one, beside=folder) for one in dict.fromkeys(words)]


def shipping(
    deliver: Callable[[Callable[[Sequence[Progress]], bool]], list[Progress]], deadline_s: float | None = None
) -> int:
    """Deliver until all is done, a signal or a deadline; return the exit code."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    told = _Told()

    def looked(progress: Sequence[Progress]) -> bool:
        told.look(progress)
        return not stopped.is_set() and (deadline_s is None or time.monotonic() < deadline_s)

    progress = deliver(looked)
    told.look(progress, at_end=True)
    for each in progress:
        if each.lost_bytes:
            say(f"{each.sink}: {each.lost_bytes} bytes were given up before it could have them")
    return 0 if stopped.is_set() or all(each.done and not each.trouble for each in progress) else FAILED


class _Told:
    """Says what is wrong with a sink once: again when it is something else, or has been well for AGAIN_S in between."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._last: dict[int, tuple[str, float]] = {}
        self._last_rejected: dict[int, str] = {}

    def look(self, progress: Sequence[Progress], *, at_end: bool = False) -> None:
        for each in progress:
            wrong = each.refused or each.trouble
            if wrong:
                self._look(id(each), wrong if each.refused is None else f"{wrong}; {AGAIN}", at_end=at_end)
            if each.why_rejected and self._last_rejected.get(id(each)) != each.why_rejected:
                say(f"{each.sink} will never take {each.rejected} events: {each.why_rejected}")
                self._last_rejected[id(each)] = each.why_rejected

    def _look(self, sink: int, wrong: str, *, at_end: bool) -> None:
        now_s = self._now_s()
        told, seen_s = self._last.get(sink, ("", float("-inf")))
        is_new = now_s - seen_s >= AGAIN_S or (at_end and told != wrong)
        if is_new:
            say(wrong)
        if is_new or told == wrong:
            self._last[sink] = (wrong, now_s)
