"""Lines without a time, dated by when they came, where whoever captured them noted that.

Holds: a log that begins with times of its own is merged as if nobody had noted anything.
Plan:  whether a source has times is found out at its beginning, so that it is the same wherever reading begins. One
       that has none within HEAD_BYTES is dated line by line, to its end. In one that has, only the lines before the
       first are, and no later than that one. The core does the dating: it is told from which byte of a block on
       bytes came when.
Order: a date is never below the time of the line before it; it is up to a second later than the line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logflume import _core
from logflume.abc import TellsArrival
from logflume.errors import CursorExpired, SourceFailed
from logflume.records import Dedup, Output

if TYPE_CHECKING:
    from logflume.abc import Reader, Source
    from logflume.merge import How

HEAD_BYTES = 64 * 1024
"""A source whose first own time comes behind so much is one without times."""

_LATEST_NS = 2**63 - 1
_ANY_TIME_NS = -(2**63) + 1


@dataclass(frozen=True, slots=True)
class Head:
    """What the beginning of a source tells.

    Attributes:
        end: a line with a time that begins before this byte shows that the source has times.
        first: where the first such line begins; None if there is none, or none yet.
        first_ns: its time.
    """

    end: int = HEAD_BYTES
    first: int | None = None
    first_ns: int = _LATEST_NS

    def date(self, merger: _core.Merger, number: int, start: int) -> bool:
        """Have a merger date lines of a source that it is fed from byte ``start`` on; whether there can be any."""
        if self.first is not None and start >= self.first:
            return False
        merger.date(number, max(0, self.end - start), self.first_ns)
        return True


def dated(merger: _core.Merger, number: int, source: Source, reader: Reader, how: How) -> TellsArrival | None:
    """Have a merger date lines of a source, before it is fed; return who tells when blocks came, if that matters."""
    if not isinstance(reader, TellsArrival) or not reader.has_arrivals():
        return None
    return reader if read_head(source, how).date(merger, number, reader.start) else None


def read_head(source: Source, how: How) -> Head:
    """Find the first line with a time at the beginning of a source; of one that cannot be read nothing is known."""
    try:
        with source.open() as reader:
            head = b""
            while len(head) < HEAD_BYTES and (block := reader.read_block(HEAD_BYTES - len(head))):
                head += block
    except (SourceFailed, CursorExpired):
        return Head()
    end = head.rfind(b"\n") + 1 if len(head) == HEAD_BYTES else HEAD_BYTES
    only = _core.Filter(since_ns=_ANY_TIME_NS)
    merger = replace(how, output=Output.TEXT, dedup=Dedup.OFF, only=only, levels=False).merger(1, numbers=True)
    merger.feed(0, head)
    merger.idle(0)
    line = merger.take(1)
    if not line:
        return Head(end)
    first_ns = merger.take_told()[0][1]
    return Head(end, merger.positions()[0] - len(line), first_ns)
