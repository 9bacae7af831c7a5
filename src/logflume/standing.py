"""What any running merge can say of itself: what was missing, what came by, and the place it has come to.

Holds: nothing itself; it reads the merge of the core and the inputs of whoever drives that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from logflume.closing import Closing
from logflume.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume import _core
    from logflume.abc import Source
    from logflume.cursor import Mark
    from logflume.records import Gap


class Input(Protocol):
    """One source of a merge, as its driver holds it."""

    @property
    def source(self) -> Source:
        """What is read."""
        ...

    @property
    def gaps(self) -> Sequence[Gap]:
        """What was missing in it so far."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it could be opened."""
        ...

    @property
    def broke(self) -> Gap | None:
        """Why it ended while it was read, if it did."""
        ...

    def mark_at(self, offset: int, floor_ns: int) -> Mark:
        """Name a place in it, for a cursor."""
        ...


class Standing(Closing):
    """A merge on its way. ``_last_cursor`` stays when all else has been released."""

    _merger: _core.Merger
    _inputs: Sequence[Input]
    _last_cursor: Cursor | None

    @property
    def gaps(self) -> list[Gap]:
        """What has been found missing so far, source by source."""
        return [gap for entry in self._inputs for gap in entry.gaps]

    @property
    def fault(self) -> Gap | None:
        """What broke while it was read, when so did all others that could be opened: this is no end of the log."""
        opened = [entry for entry in self._inputs if entry.is_open]
        broke = [entry.broke for entry in opened if entry.broke is not None]
        return broke[0] if broke and len(broke) == len(opened) else None

    def stats(self) -> _core.Stats:
        """Return counts of records, lines, bytes, late ones, duplicates … so far, in all and by source."""
        return self._merger.stats()

    @property
    def resumable(self) -> bool:
        """Whether what goes on from ``cursor()`` gives exactly the rest.

        It does not within an instant at which sources are compared, which is in several blocks if it is larger than
        one, or not read yet: a duplicate may be shown then. Nor within a record in pieces, whose time it lacks.
        """
        return self._merger.resumable

    def cursor(self) -> Cursor:
        """Name the place after the last block given out; a merge that starts there gives what follows."""
        if self._last_cursor is not None:
            return self._last_cursor
        places = zip(self._inputs, self._merger.positions(), self._merger.floors(), strict=True)
        marks = tuple(entry.mark_at(offset, floor) for entry, offset, floor in places)
        owed = self._merger.owes_newline
        return Cursor(marks, None if owed is None else self._inputs[owed].source.name)


def owe_newline(merger: _core.Merger, start: Cursor | None, sources: Sequence[Source]) -> None:
    """Let a merge go on after a cursor that was taken after a last line without its newline."""
    owed = [number for number, source in enumerate(sources) if start and source.name == start.owes_newline]
    for number in owed:
        merger.owe_newline(number)
