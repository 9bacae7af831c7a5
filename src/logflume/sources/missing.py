"""A source that is known to be missing: it opens nothing, and says why.

Holds: one Gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from logflume.errors import SourceFailed

if TYPE_CHECKING:
    from logflume.records import Gap, Position


class MissingSource:
    """Stands for a log that should be there, so that its Gap is told with those of the others. Loss: all of it."""

    seekable = False

    def __init__(self, gap: Gap) -> None:
        self.name = gap.source
        self.gap = gap

    def open(self, start: int | Position = 0) -> NoReturn:  # noqa: ARG002 - what every source takes
        """Say why it cannot be.

        Raises:
            SourceFailed: always.
        """
        raise SourceFailed(self.gap)

    def peek_size(self) -> None:
        """Return None: there is nothing."""

    def peek_identity(self) -> None:
        """Return None: there is nothing."""
