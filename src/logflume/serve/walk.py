"""A whole log that is walked for one answer, of which something is told: what a search and the counting of pages share.

Holds nothing but data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Source
    from logflume.cursor import Cursor
    from logflume.merge import How
    from logflume.serve.limits import SearchBudget


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What is walked, and from where.

    Attributes:
        log_id: of the log.
        sources: all of the log.
        hidden: numbers of those of which nothing is told.
        how: with the filter.
        start: where to begin.
        line: the number of the line there.
        budget: end when it is spent.
        key: signs cursors.
    """

    log_id: str
    sources: Sequence[Source]
    hidden: Sequence[int]
    how: How
    start: Cursor | None
    line: int
    budget: SearchBudget
    key: bytes

    def token(self, cursor: Cursor) -> str:
        """Name a place of this log."""
        return cursor.token(key=self.key, log_id=self.log_id)
