"""``logflume grep``: print the records that match.

Holds: one block at a time. What a match gives is its whole record, with its traceback.
"""

from __future__ import annotations

import itertools

import click

from logflume.abc import BLOCK_BYTES
from logflume.cli import FAILED
from logflume.cli import options as ask
from logflume.cli.asked import Asked
from logflume.cli.reading import gaps_of, merging
from logflume.cli.screen import STDOUT, is_file

FOUND = 0
NOTHING = 1


@click.command()
@click.argument("pattern")
@ask.paths()
@click.option("-F", "--literal", "kind", flag_value="literal", default="literal", help="PATTERN is text. [default]")
@click.option("-E", "--regex", "kind", flag_value="regex", help="PATTERN is a regular expression.")
@ask.matching
@click.option("-c", "--count", is_flag=True, help="Print only how many records match.")
@click.option("-m", "--max-count", type=click.IntRange(min=1), metavar="N", help="Stop after N records.")
@ask.printing
@ask.filtering
@ask.merging
@ask.reaching
def command(pattern: str, kind: str, count: bool, max_count: int | None, **answers: object) -> int:
    """Print the records that match PATTERN, merged by time.

    PATTERN is plain text: [, ( and . stand for themselves. With -E it is a regular expression, in which ^ and $ match
    at each line; it is matched in linear time. A record is a line with its traceback, and is printed whole.

    \b
    logflume grep 'Task exited with return code' logs/
    logflume grep -E 'timeout after [0-9]+ s' --since 2h app.log
    logflume grep -c -i error app.log other.log

    Exit code: 0 found, 1 nothing found, 2 an error, or something could not be read.
    """
    asked = Asked.of({**answers, kind: pattern})
    if asked.is_remote:
        from logflume.cli import remote

        return remote.grep(asked, count=count, max_records=max_count)
    return grep(asked, count=count, max_records=max_count)


def grep(asked: Asked, *, count: bool, max_records: int | None) -> int:
    """Print what matches; return the exit code."""
    log = asked.log()
    sources = log.first_sources()
    out = asked.out()
    with_bar = (count or is_file(STDOUT)) and not asked.quiet
    # A block of one byte is as much as one record.
    block_bytes = 1 if max_records else BLOCK_BYTES
    with merging(log, sources, asked.how(), with_bar=with_bar, block_bytes=block_bytes) as merged:
        for block in itertools.islice(merged, max_records):
            if not count:
                out.write(block)
        found = merged.stats()["records_out"]
    if count:
        out.write_text(f"{found}\n")
    out.end()
    if gaps_of(log, merged):
        return FAILED
    return FOUND if found else NOTHING
