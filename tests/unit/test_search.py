"""Records are found, each with its place in the whole merged log."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import pytest

from logflume.errors import UsageError
from logflume.merge import How, iter_merged, where
from logflume.records import Dedup, Output
from logflume.search import Hit, Search
from logflume.sources.memory import BytesSource

if TYPE_CHECKING:
    from collections.abc import Iterator


def sources(luck: Random, count: int) -> list[BytesSource]:
    """Make some, with tracebacks, equal times, lines that several have, and lines before all times."""
    made = []
    for number in range(count):
        lines = [b"before all times\n"] * luck.randrange(3)
        second = 0
        for _ in range(200):
            second += luck.randrange(2)
            text = luck.choice([b"one", b"two", b"needle", b"needle in several"])
            lines.append(b"2024-11-20T12:%02d:%02dZ %s\n" % (second // 60, second % 60, text))
            lines += [b"  more\n"] * luck.randrange(3) + ([b"  a needle here\n"] if luck.random() < 0.05 else [])
        made.append(BytesSource(f"s{number}", b"".join(lines)))
    return made


def found(search: Search) -> Iterator[Hit]:
    """Leave out the pauses."""
    return (hit for hit in search if hit is not None)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dedup", list(Dedup))
def test_each_hit_is_where_it_says(seed: int, dedup: Dedup) -> None:
    """The lines at its place in the merged log are the hit, and no record with the text is left out."""
    luck = Random(seed)
    logs = sources(luck, luck.randrange(1, 5))
    how = How(output=Output.TEXT, dedup=dedup)
    whole = b"".join(iter_merged(logs, how)).splitlines(keepends=True)
    wanted = How(output=Output.TEXT, dedup=dedup, only=where(contains="needle"))
    with Search(logs, wanted) as search:
        hits = list(found(search))
        assert search.line == len(whole)
    for hit in hits:
        lines = hit.record.splitlines(keepends=True)
        assert whole[hit.line : hit.line + len(lines)] == lines
    assert b"".join(hit.record for hit in hits) == b"".join(iter_merged(logs, wanted))
    assert [hit.line for hit in hits] == sorted({hit.line for hit in hits})


def test_a_search_goes_on_from_its_cursor() -> None:
    """Broken off after any hit, the rest comes with the same numbers."""
    logs = sources(Random(9), 3)
    how = How(output=Output.TEXT, dedup=Dedup.OFF, only=where(contains="needle"))
    with Search(logs, how) as search:
        hits = list(found(search))
    for count in (1, 10, len(hits)):
        with Search(logs, how) as first:
            hits_before = list(islice(found(first), count))
            start, line = first.cursor(), first.line
        with Search(logs, how, start=start, line=line) as rest:
            assert hits_before + list(found(rest)) == hits


def test_without_a_filter_there_is_nothing_to_search_for() -> None:
    """It is refused at once."""
    with pytest.raises(UsageError, match="look for"):
        Search([], How())
