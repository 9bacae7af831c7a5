"""``logflume tail``: the last lines, and with -f what comes.

Holds: one block. What is missing is said as soon as it is known while following, and once.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import click

from logflume.cli import FAILED
from logflume.cli import options as ask
from logflume.cli.asked import Asked
from logflume.cli.reading import allow_descriptors, gaps_of, merging, say_gaps
from logflume.cli.screen import reader_is_gone
from logflume.errors import UsageError
from logflume.seek import find_tail, iter_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume._core import Stats
    from logflume.cli.paths import GivenLog
    from logflume.follow import Followed
    from logflume.merge import How, Merged
    from logflume.records import Gap

LOOK_S = 1.0
"""How often it is looked whether somebody still reads what is followed."""


@click.command()
@ask.paths()
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True, help="How many lines.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on as the log grows, with its new files, until Ctrl-C; of a command that is captured, until it has ended.",
)
@ask.printing
@ask.filtering
@ask.patterns
@ask.matching
@ask.merging
@ask.reaching
def command(lines: int, follow: bool, **answers: object) -> int:
    """Print the last lines of the merged log, and with -f what comes.

    Options that choose records choose first: the last lines are the last of those.

    \b
    logflume tail attempt=1.log
    logflume tail -n 1000 --level error logs/
    logflume tail -f -n 0 app.log worker.log
    logflume tail -f http://127.0.0.1:8793/app.log
    """
    asked = Asked.of(answers)
    if asked.is_remote:
        from logflume.cli import remote

        return remote.tail(asked, lines, follow=follow)
    log = asked.log(wait_for_missing=follow)
    if log.streams:
        raise UsageError(f"{log.streams[0].name} can be read only once: logflume cat - | tail")
    how = replace(asked.how(), reference_ns=time.time_ns())
    return _follow(asked, log, how, lines) if follow else _tail(asked, log, how, lines)


def _tail(asked: Asked, log: GivenLog, how: How, lines: int) -> int:
    sources = log.first_sources()
    place = find_tail(sources, lines, how)
    out = asked.out()
    with merging(log, sources, how, start=place.cursor, with_bar=False) as merged:
        for block in iter_lines(merged, how, skip=place.skip_lines):
            out.write(block)
        out.end()
    return FAILED if gaps_of(log, merged) else 0


def _follow(asked: Asked, log: GivenLog, how: How, lines: int) -> int:
    from logflume.follow import iter_followed
    from logflume.state import EndOfLog
    from logflume.watch import Watcher

    sources = log.first_sources()
    allow_descriptors(len(sources))
    place = find_tail(sources, lines, how)
    out = asked.out()
    waiter = Watcher(asked.paths)
    with iter_followed(log, how, start=place.cursor, ended=EndOfLog(log), waiter=waiter) as followed:
        live = _Live(followed)
        try:
            # It has all of a merge that skipping lines needs: next() and stats().
            for block in iter_lines(cast("Merged", live), how, skip=place.skip_lines):
                out.write(block)
        finally:
            live.say_new_gaps()
            out.end()
    return 0


class _Live:
    """What is followed, as long as somebody reads it."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._said: set[Gap] = set()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.say_new_gaps()
        while (block := self._followed.read_block(LOOK_S)) is not None:
            self.say_new_gaps()
            if reader_is_gone():
                os.kill(os.getpid(), signal.SIGPIPE)  # as the next write would do, but it may never come
            if block:
                return block
        raise StopIteration

    def say_new_gaps(self) -> None:
        """Say what is missing and was not said yet."""
        new = [gap for gap in self._followed.gaps if gap not in self._said]
        self._said.update(new)
        say_gaps(new)

    def stats(self) -> Stats:
        """Return the counts so far."""
        return self._followed.stats()
