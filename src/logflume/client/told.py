"""What a client tells of a question that is being answered, whichever way it waits.

Holds: the question; nothing of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logflume.client.asking import Blocks, Download, Hits
    from logflume.records import Gap


class OfBlocks:
    """Of blocks of whole lines."""

    _question: Blocks

    @property
    def cursor(self) -> str | None:
        """The place after the last block; ``stream(…, after=…)`` goes on there. None before the first one."""
        return self._question.cursor

    @property
    def gaps(self) -> list[Gap]:
        """What is missing so far, each once."""
        return self._question.gaps

    @property
    def lines(self) -> int:
        """Lines so far; of a follow 0."""
        return self._question.lines

    @property
    def records(self) -> int:
        """Records so far; of a follow 0."""
        return self._question.records

    @property
    def end(self) -> dict[str, Any]:
        """What was told at the end: of a follow, the ``state`` of the log and a ``detail``."""
        return self._question.end


class OfHits:
    """Of hits of a search."""

    _question: Hits

    @property
    def seq(self) -> int:
        """How many lines have been searched."""
        return self._question.seq

    @property
    def bytes_read(self) -> int:
        """How much the server has read for it."""
        return self._question.bytes_read

    @property
    def whole(self) -> bool:
        """Whether all was searched."""
        return self._question.whole

    @property
    def gaps(self) -> list[Gap]:
        """What was missing."""
        return self._question.gaps


class OfDownload:
    """Of the bytes of a source."""

    _question: Download

    @property
    def bytes_read(self) -> int:
        """How many have come."""
        return self._question.bytes_read
