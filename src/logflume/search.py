"""Find records in a merged log, and tell where in it each one is.

Invariant: a hit's ``line`` is its ordinal in the merged log as nobody filtered it; records that do not match are merged
too, and only counted.
Plan:  one merge, one record at a time. It can be broken off anywhere and goes on from its cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.closing import Closing
from logflume.errors import UsageError
from logflume.merge import How, Merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from logflume._core import Stats
    from logflume.abc import Source
    from logflume.cursor import Cursor
    from logflume.records import Gap

_ONE_RECORD = 1  # as the size of a block


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found.

    Attributes:
        line: so many lines of the merged log come before it.
        record: its lines, in the output that was asked for.
    """

    line: int
    record: bytes


class Search(Closing):
    """A running search: an iterator of hits, and of None now and then in between; a context manager.

    One thread iterates; any may close it.

    Order, loss: those of a merge. Memory: that of a merge.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        how: How,
        *,
        start: Cursor | None = None,
        line: int = 0,
        hidden: Iterable[int] = (),
    ) -> None:
        """Search from a place on, which is the line of that number; of sources ``hidden``, by number, nothing is found.

        Raises:
            UsageError: ``how`` has no filter: everything would be a hit.
            CursorExpired: the bytes under ``start`` are gone.
        """
        if how.only is None:
            raise UsageError("a search needs something to look for")
        self._first = line
        self._merged = Merged(sources, how, start=start, block_bytes=_ONE_RECORD, numbers=True, hidden=hidden)

    def __iter__(self) -> Iterator[Hit | None]:
        """Yield what is found; None when a block was searched and nothing was in it, so that one can break off."""
        while (record := self._merged.read_some()) is not None:
            if not record:
                yield None
            for line, *_ in self._merged.take_told():
                yield Hit(self._first + line, record)

    @property
    def line(self) -> int:
        """How far it has come."""
        return self._first + self._merged.lines

    @property
    def bytes_read(self) -> int:
        """How much of the sources was read."""
        return sum(report.bytes_read for report in self._merged.reports())

    @property
    def gaps(self) -> list[Gap]:
        """What was missing so far."""
        return self._merged.gaps

    @property
    def fault(self) -> Gap | None:
        """What broke, when nothing could be searched to its end."""
        return self._merged.fault

    def stats(self) -> Stats:
        """Return counts of what was searched so far."""
        return self._merged.stats()

    def cursor(self) -> Cursor:
        """Name the place after the last hit, at ``line``."""
        return self._merged.cursor()

    def close(self) -> None:
        """Release everything."""
        self._merged.close()
