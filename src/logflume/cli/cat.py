"""``logflume cat``: merge and print.

Holds: one block at a time between the merge and standard output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from logflume.cli import FAILED
from logflume.cli import options as ask
from logflume.cli.asked import Asked
from logflume.cli.place import Place
from logflume.cli.reading import gaps_of, merging
from logflume.cli.screen import STDOUT, is_file, say
from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Source
    from logflume.cli.paths import GivenLog
    from logflume.cursor import Cursor
    from logflume.merge import How, Merged


@click.command()
@ask.paths()
@ask.printing
@ask.filtering
@ask.patterns
@ask.matching
@ask.merging
@ask.reaching
@click.option("--cursor", metavar="TOKEN", help="Go on after the place that --print-cursor named.")
@click.option("--print-cursor", is_flag=True, help="At the end name the place on stderr: 'logflume: cursor: TOKEN'.")
@click.option("--cursor-file", metavar="FILE", help="Go on after the place kept in FILE; keep the new one there.")
def command(cursor: str | None, print_cursor: bool, cursor_file: str | None, **answers: object) -> int:
    """Merge logs by time and print them.

    PATHs are files, each with its rotated and compressed predecessors, folders with all files in them, and - for
    standard input. The same record in several files is printed once. Or one is the address of a log on a server.

    \b
    logflume cat attempt=1.log attempt=1.log.trigger.1.log
    logflume cat --since 15m --level error /var/log/app
    logflume cat --output ndjson --cursor-file seen app.log | ship
    """
    asked = Asked.of(answers)
    place = Place(cursor, print_cursor, cursor_file)
    if asked.is_remote:
        from logflume.cli import remote

        return remote.cat(asked, place)
    return cat(asked, place)


def cat(asked: Asked, place: Place) -> int:
    """Print the log; return the exit code."""
    log = asked.log()
    if place.wanted and log.streams:
        raise UsageError(f"there is no going on later in {log.streams[0].name}: leave the cursor options out")
    sources = log.first_sources()
    how = asked.how()
    start = place.start() or _start_at_time(asked, log, sources, how)
    out = asked.out()
    with merging(log, sources, how, start=start, with_bar=is_file(STDOUT) and not asked.quiet) as merged:
        try:
            for block in merged:
                out.write(block)
            out.end()
        finally:
            _keep(place, merged, whole=out.whole)
    return FAILED if gaps_of(log, merged) else 0


def _start_at_time(asked: Asked, log: GivenLog, sources: Sequence[Source], how: How) -> Cursor | None:
    """Find the place of ``--since`` without reading what comes before; the filter cuts exactly."""
    since_ns = asked.since_ns()
    if since_ns is None or log.streams:
        return None
    from logflume.seek import cursor_at_time

    return cursor_at_time(sources, since_ns, how)


def _keep(place: Place, merged: Merged, *, whole: bool) -> None:
    if not place.wanted:
        return
    merged.close()
    if whole:
        place.keep(merged.cursor().token())
    else:
        say("no cursor: the output was broken off within a block")
