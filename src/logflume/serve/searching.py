"""A search as the body of an answer: hits as they are found, and how far it has come.

Invariant: it ends after so many hits, or so long, or when the other side goes; the last line says whether all was
searched, and where to go on.

Lines of NDJSON, told apart by their keys: ``{"seq", "rows"}`` is a hit (the ordinal of its first line in the merged
log, and its lines), ``{"progress"}`` comes now and then, ``{"done"}`` at the end.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from logflume.errors import SourceFailed
from logflume.search import Search
from logflume.serve.reading import BLOCK_BYTES, MAX_GAPS_TOLD, as_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logflume._core import Stats
    from logflume.records import Gap
    from logflume.serve.walk import Walk

MAX_HITS = 10_000
"""Hits of one answer."""

MAX_SEARCH_S = 60.0
"""How long one answer is searched for."""

PROGRESS_S = 0.25
"""How often the progress is told."""


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What is searched for.

    Attributes:
        walk: where, and for what.
        max_hits: end after so many.
        max_s: end after so long.
        count: is told at the end what was searched.
    """

    walk: Walk
    max_hits: int
    max_s: float
    count: Callable[[Stats, list[Gap]], None]


class Searching:
    """Blocks of the answer. One thread iterates, any may close."""

    def __init__(self, sought: Sought) -> None:
        """Open the log.

        Raises:
            UsageError: there is nothing to look for.
            CursorExpired: the bytes under the start are gone.
        """
        self._sought = sought
        walk = sought.walk
        self._search = Search(walk.sources, walk.how, start=walk.start, line=walk.line, hidden=walk.hidden)
        self._deadline_s = time.monotonic() + sought.max_s
        self._told_s = time.monotonic()
        self._told_hits = 0
        self._hits = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines as they are found, the first one at once, the others gathered for a while.

        Raises:
            SourceFailed: what was searched broke, and nothing is left.
        """
        lines: list[bytes] = []
        size = 0
        whole = False
        for hit in self._search:
            if hit is not None:
                self._hits += 1
                lines.append(_as_line(hit.line, hit.record))
                size += len(lines[-1])
            if size >= BLOCK_BYTES or self._is_due():
                yield b"".join([*lines, self._progress()])
                lines.clear()
                size = 0
            if self._is_over():
                break
        else:
            whole = True
        if self._search.fault is not None:
            yield b"".join(lines)
            raise SourceFailed(self._search.fault)
        yield b"".join([*lines, self._done(whole=whole)])

    def _is_over(self) -> bool:
        if self._hits >= self._sought.max_hits or time.monotonic() >= self._deadline_s:
            return True
        budget = self._sought.walk.budget
        return not budget.spend(self._search.bytes_read - budget.spent_bytes)

    def _is_due(self) -> bool:
        """Whether it is time to tell how far it is; with the first hit it always is."""
        now_s = time.monotonic()
        is_first = self._hits > 0 and not self._told_hits
        is_due = is_first or now_s - self._told_s >= PROGRESS_S
        if is_due:
            self._told_s, self._told_hits = now_s, self._hits
        return is_due

    def _progress(self) -> bytes:
        progress = {"hits": self._hits, "seq": self._search.line, "bytes": self._search.bytes_read}
        return json.dumps({"progress": progress}).encode() + b"\n"

    def _done(self, *, whole: bool) -> bytes:
        done = {
            "hits": self._hits,
            "whole": whole,
            "seq": self._search.line,
            "bytes": self._search.bytes_read,
            "after": None if whole else self._sought.walk.token(self._search.cursor()),
            "gaps": [asdict(gap) for gap in self._search.gaps[:MAX_GAPS_TOLD]],
        }
        return json.dumps({"done": done}).encode() + b"\n"

    def close(self) -> None:
        """End it, from any thread."""
        self._search.close()
        self._sought.count(self._search.stats(), self._search.gaps)


def _as_line(seq: int, record: bytes) -> bytes:
    return b'{"seq":%d,"rows":[%s]}\n' % (seq, as_items(record))
