"""Merge what was asked for, show how far it is, and say what was missing.

Holds: every gap is said on stderr, once, also when the reading is broken off.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.cli.bar import Bar
from logflume.cli.screen import say
from logflume.merge import Merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from logflume.abc import Source
    from logflume.cli.paths import GivenLog
    from logflume.cursor import Cursor
    from logflume.merge import How
    from logflume.records import Gap

_FEW_SOURCES = 200


@contextmanager
def merging(
    log: GivenLog,
    sources: Sequence[Source],
    how: How,
    *,
    with_bar: bool,
    start: Cursor | None = None,
    block_bytes: int = BLOCK_BYTES,
    index_every_bytes: int = 0,
) -> Iterator[Merged]:
    """Merge while entered; then release everything and say the gaps."""
    allow_descriptors(len(sources))
    # A stream may keep a thread waiting for ever; the main thread alone is woken by Ctrl-C.
    workers = 0 if log.streams else None
    merged = Merged(
        sources, how, start=start, workers=workers, block_bytes=block_bytes, index_every_bytes=index_every_bytes
    )
    try:
        size = None if start else partial(total_bytes, sources)
        with Bar("reading", lambda: _bytes_read(merged), size, wanted=with_bar):
            yield merged
    finally:
        merged.close()
        say_gaps(gaps_of(log, merged))


def gaps_of(log: GivenLog, merged: Merged) -> list[Gap]:
    """Return all that is missing: paths, and what their sources found."""
    return [*log.missing, *merged.gaps]


def allow_descriptors(sources: int) -> None:
    """Use what the system grants: each source, or reader, holds a descriptor, and the usual soft limit is 1,024."""
    if sources > _FEW_SOURCES:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bytes_read(merged: Merged) -> int:
    return sum(report.bytes_read for report in merged.reports())


def total_bytes(sources: Sequence[Source]) -> int | None:
    """Return the size of all sources together, None when that of one is not known."""
    total = 0
    for source in sources:
        size = source.peek_size()
        if size is None:
            return None
        total += size
    return total


def say_gaps(gaps: Iterable[Gap]) -> None:
    """Say what is missing, a line each."""
    for gap in gaps:
        say(f"{gap.source}: {gap.reason.value}: {gap.detail} {gap.next_action}")
