"""Where each page of what passes a filter begins, as the body of an answer: what a scroll bar needs to know.

Invariant: a row is a line, as in ``rows``; ``seq`` is its ordinal in the whole log, whatever is filtered. It ends after
so long, or when the other side goes; the last line says how far it has come, and where to go on, also when the log has
grown.

Lines of NDJSON, told apart by their keys: ``{"page": {"row", "seq"}}`` is the first row of a page and its place,
``{"progress"}`` comes now and then, ``{"done"}`` at the end.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import SourceFailed
from logflume.merge import Merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.serve.walk import Walk

MAX_PAGING_S = 60.0
"""How long one answer counts."""

PROGRESS_S = 0.1
"""How often the progress is told; after FIRST_S for the first time."""

FIRST_S = 0.02

_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Paged:
    """What is counted.

    Attributes:
        walk: where, and what passes.
        row: how many rows are before it.
        every: rows on a page.
    """

    walk: Walk
    row: int
    every: int


class Paging:
    """Blocks of the answer. One thread iterates, any may close.

    Memory: that of a merge.
    """

    def __init__(self, paged: Paged) -> None:
        """Open the log.

        Raises:
            CursorExpired: the bytes under the start are gone.
        """
        self._paged = paged
        self._rows = paged.row
        walk = paged.walk
        self._seen = walk.line - 1  # the last line that was counted
        self._end_s = time.monotonic() + MAX_PAGING_S
        self._tell_s = time.monotonic() + FIRST_S
        self._merged = Merged(
            walk.sources, walk.how, start=walk.start, block_bytes=_BLOCK_BYTES, numbers=True, hidden=walk.hidden
        )

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines as pages begin.

        Raises:
            SourceFailed: what was counted broke, and nothing is left.
        """
        begun: list[bytes] = []
        while (block := self._merged.read_some()) is not None:
            if block:
                begun += self._pages()
            now_s = time.monotonic()
            if now_s >= self._tell_s:
                self._tell_s = now_s + PROGRESS_S
                yield b"".join([*begun, _line("progress", rows=self._rows, seq=self._seq)])
                begun.clear()
            if now_s >= self._end_s or self._is_spent():
                break
        else:
            if self._merged.fault is not None:
                yield b"".join(begun)
                raise SourceFailed(self._merged.fault)
            yield b"".join([*begun, self._done(whole=True)])
            return
        yield b"".join([*begun, self._done(whole=False)])

    def _pages(self) -> Iterator[bytes]:
        """Count the rows of a block; yield the pages that begin in it."""
        every, base = self._paged.every, self._paged.walk.line
        for line, _, _, _, lines, _ in self._merged.take_told():
            first = max(base + line, self._seen + 1)
            last = base + line + (lines or 1) - 1
            rows = last - first + 1  # none of a further piece of a long line
            if rows <= 0:
                continue
            for row in range(-(-self._rows // every) * every, self._rows + rows, every):
                yield _line("page", row=row, seq=first + row - self._rows)
            self._rows += rows
            self._seen = last

    @property
    def _seq(self) -> int:
        return self._paged.walk.line + self._merged.lines

    def _is_spent(self) -> bool:
        budget = self._paged.walk.budget
        read_bytes = sum(report.bytes_read for report in self._merged.reports())
        return not budget.spend(read_bytes - budget.spent_bytes)

    def _done(self, *, whole: bool) -> bytes:
        after = self._paged.walk.token(self._merged.cursor())
        return _line("done", rows=self._rows, seq=self._seq, whole=whole, after=after)

    def close(self) -> None:
        """End it, from any thread."""
        self._merged.close()


def _line(kind: str, **told: int | bool | str) -> bytes:
    return json.dumps({kind: told}).encode() + b"\n"
