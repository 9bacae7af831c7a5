"""A few rows of a merged log by their place, as they are or as a filter leaves them, and what is known of each record.

Invariant: a row is a line, and its ``seq`` is the ordinal of that line in the merged log as nobody filtered it: a place
stays what it is, whatever is filtered. No window costs more than MAX_SCAN_BYTES and MAX_SCAN_S: if that was too little,
it says how far it has looked.
Plan:  forward: merge from the index entry before the place, with what does not pass counted. Backward: the same from
       earlier and earlier entries. A filter by level passes over what the index knows to have none.
Memory: MAX_WINDOW_BYTES of rows, and what a merge holds.

Of a line that is so long that it passes in pieces, the first piece is its row.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from logflume.merge import Merged
from logflume.records import Level, Output
from logflume.seek import UNTIMED_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Self

    from logflume._core import IndexEntry
    from logflume.abc import Source
    from logflume.cursor import Cursor
    from logflume.index import Covered, LogIndex
    from logflume.merge import How
    from logflume.seek import Place

MAX_SCAN_BYTES = 512 * 1024 * 1024
"""So much of a log is looked through for one window."""

MAX_SCAN_S = 1.0
"""So long is looked for one window."""

MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""A window ends after so many bytes of rows, with what it has."""

_BLOCK_BYTES = 64 * 1024
_FILTERED_BLOCK_BYTES = 4 * 1024  # a larger one is looked for beyond the last row that is wanted
_LEVELS = tuple(Level)
_NEAR_BYTES = 8 * 1024 * 1024  # so much is read rather than passed over
_QUIET_LINES = 10_000  # so far without a row, and the index is asked where the next one may be
_SPAN_GROWTH = 4  # backwards, each step looks so much further


class Record(NamedTuple):
    """A record of which a window shows rows.

    Attributes:
        seq: its first line in the merged log.
        lines: how many it has; not all of them need be in the window.
        ts_ns: its time; None before the first time of its source.
        level: its level.
        source: name of its source.
        goes_on: whether it is a piece of a longer one, of which more follows.
    """

    seq: int
    lines: int
    ts_ns: int | None
    level: Level
    source: str
    goes_on: bool


class Row(NamedTuple):
    """A line: its ordinal, its object of NDJSON, the record that it is of."""

    seq: int
    text: bytes
    record: Record

    def shifted(self, lines: int) -> Row:
        """Return it so many lines further on."""
        return Row(self.seq + lines, self.text, self.record._replace(seq=self.record.seq + lines))


@dataclass(slots=True)
class Window:
    """Rows, and how far was looked.

    Attributes:
        rows: in order; their records follow each other.
        next_seq: where to go on; None: there is nothing more in the log.
        previous_seq: there may be rows before this line; None: there are none.
    """

    rows: Sequence[Row] = field(default_factory=list)
    next_seq: int | None = None
    previous_seq: int | None = None

    def records(self) -> list[Record]:
        """Return the records that its rows are of, each once."""
        return list(dict.fromkeys(row.record for row in self.rows))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows are wanted.

    Attributes:
        how: its filter is the choice; what makes the order is the index's.
        min_level: the level of that filter.
        sources: names of the sources that are wanted; None: all.
        since_ns, until_ns: the times of that filter.
    """

    how: How
    min_level: Level = Level.UNKNOWN
    sources: frozenset[str] | None = None
    since_ns: int | None = None
    until_ns: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether no row is left out."""
        return self.how.only is None and self.sources is None


def read_forward(index: LogIndex, seq: int, rows: int, choice: Choice) -> Window:
    """Return the first rows from line ``seq`` on that pass; also beyond what the index covers.

    Raises:
        IndexInvalid: the log is not what was indexed; build again.
    """
    return _Looking(index, choice, rows).forward(seq)


def read_backward(index: LogIndex, seq: int, rows: int, choice: Choice) -> Window:
    """Return the last rows before line ``seq`` that pass, of those that the index covers.

    Raises:
        IndexInvalid: the log is not what was indexed; build again.
    """
    return _Looking(index, choice, rows).backward(seq)


def read_after(sources: Sequence[Source], place: Place, rows: int, choice: Choice) -> Window:
    """Return the first rows from a place on that no index knows; its ``line`` is what their ``seq`` are counted from.

    Raises:
        CursorExpired: the bytes under the cursor are gone.
    """
    kept, seq = _Kept(rows), place.line or 0
    with _Rows(sources, choice, place.cursor, line=seq - place.skip_lines, budget=_Budget()) as reading:
        next_seq = _fill(kept, reading, seq)
    return Window(kept.rows, next_seq, seq or None)


def read_last(sources: Sequence[Source], start: Cursor, rows: int, choice: Choice, *, end_seq: int) -> Window:
    """Return the last rows after a place that no index knows, counted so that the log ends at ``end_seq``.

    Raises:
        CursorExpired: the bytes under the cursor are gone.
    """
    kept, budget = _Kept(rows), _Budget()
    with _Rows(sources, choice, start, line=0, budget=budget) as reading:
        for row in reading:
            if row is not None:
                kept.add_last(row)
                kept.drop_first()
            elif budget.is_spent:
                break
        shift = max(0, end_seq - reading.line)
    shifted = [row.shifted(shift) for row in kept.rows]
    return Window(shifted, None, shifted[0].seq if shifted else end_seq)


class _Budget:
    """What a window may still cost."""

    def __init__(self) -> None:
        self._end_s = time.monotonic() + MAX_SCAN_S
        self._left_bytes = MAX_SCAN_BYTES

    def spend(self, size: int) -> None:
        """Count what was read."""
        self._left_bytes -= size

    @property
    def is_spent(self) -> bool:
        """Whether to stop now."""
        return self._left_bytes <= 0 or time.monotonic() >= self._end_s


class _Rows:
    """The rows of a merge that pass; None now and then, where one can break off."""

    def __init__(
        self,
        sources: Sequence[Source],
        choice: Choice,
        start: Cursor | None,
        *,
        line: int,
        budget: _Budget,
        first: int = 0,
    ) -> None:
        wanted = choice.sources
        hidden = [number for number, source in enumerate(sources) if wanted is not None and source.name not in wanted]
        how = replace(choice.how, output=Output.NDJSON, levels=True)
        size = min(_BLOCK_BYTES if choice.is_all else _FILTERED_BLOCK_BYTES, how.max_record_bytes // 4)
        self._merged = Merged(sources, how, start=start, workers=0, block_bytes=size, numbers=True, hidden=hidden)
        self._names = [source.name for source in sources]
        self._begin = line
        self._first = first
        self.budget = budget
        self._read_bytes = 0

    @property
    def line(self) -> int:
        """All before this line has come by."""
        return self._begin + self._merged.lines

    def __iter__(self) -> Iterator[Row | None]:
        seen = -1
        while (block := self._merged.read_some()) is not None:
            for row in self._rows_of(block):
                if row.seq > seen:
                    yield row
                    seen = row.seq
            self._spend()
            yield None

    def _rows_of(self, block: bytes) -> Iterator[Row]:
        texts = block.split(b"\n")
        at = 0
        for line, ts_ns, level, source, lines, goes_on in self._merged.take_told():
            seq = self._begin + line
            begin, at = at, at + (lines or 1)  # a piece of a line is an object of its own
            if seq + lines <= self._first and lines:
                continue
            time_ns = None if ts_ns == UNTIMED_NS else ts_ns
            record = Record(seq, lines, time_ns, _LEVELS[level], self._names[source], goes_on)
            for number, text in enumerate(texts[begin:at]):
                yield Row(seq + number, text, record)

    def _spend(self) -> None:
        read_bytes = sum(report.bytes_read for report in self._merged.reports())
        self.budget.spend(read_bytes - self._read_bytes)
        self._read_bytes = read_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._merged.close()


class _Kept:
    """The first rows of those that come, or the last, within MAX_WINDOW_BYTES."""

    def __init__(self, most: int) -> None:
        self.rows: deque[Row] = deque()
        self._most = most
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no place for more."""
        return len(self.rows) >= self._most or self._bytes >= MAX_WINDOW_BYTES

    def add_last(self, row: Row) -> None:
        """Keep it as the last one."""
        self.rows.append(row)
        self._bytes += len(row.text)

    def add_first(self, row: Row) -> None:
        """Keep it as the first one."""
        self.rows.appendleft(row)
        self._bytes += len(row.text)

    def drop_first(self) -> None:
        """Let go of surplus at the front."""
        while len(self.rows) > self._most or (self._bytes > MAX_WINDOW_BYTES and len(self.rows) > 1):
            self._bytes -= len(self.rows.popleft().text)


def _fill(kept: _Kept, reading: _Rows, first: int, *, stop: int | None = None, quiet: int | None = None) -> int | None:
    """Keep rows from line ``first`` on, up to ``stop``, and return where to go on; None at the end.

    It stops as well when the budget is spent, or no row came for so many lines.
    """
    last_line = reading.line
    for row in reading:
        if row is None:
            if stop is not None and reading.line >= stop:
                return None
            is_quiet = quiet is not None and reading.line - last_line > quiet
            if reading.line > first and (reading.budget.is_spent or is_quiet):
                return reading.line
            continue
        if stop is not None and row.seq >= stop:
            return None
        if row.seq >= first:
            kept.add_last(row)
            last_line = row.seq
        if kept.is_full:
            return row.seq + 1
    return None


class _Looking:
    """One search for a window."""

    def __init__(self, index: LogIndex, choice: Choice, rows: int) -> None:
        covered = index.covered
        self._covered: Covered = covered
        self._choice = replace(choice, how=replace(covered.how, only=choice.how.only))
        self._kept = _Kept(rows)
        self._most = rows
        self._budget = _Budget()
        self._stop = self._line_of(index, choice.until_ns)
        start = self._line_of(index, choice.since_ns)
        self._start = start or 0 if choice.since_ns is None or start is not None else self._covered.last()["lines"]

    def _line_of(self, index: LogIndex, ts_ns: int | None) -> int | None:
        """Return the first line of a time; None when it is not among what is covered."""
        if ts_ns is None or ts_ns > self._covered.last()["ts"]:
            return None
        return index.locate_time(ts_ns).line

    @property
    def _by_level(self) -> bool:
        return self._choice.min_level > Level.UNKNOWN

    def _reading(self, entry: IndexEntry, first: int = 0) -> _Rows:
        covered = self._covered
        start = covered.cursor_at(entry)
        return _Rows(covered.sources, self._choice, start, line=entry["lines"], budget=self._budget, first=first)

    def forward(self, seq: int) -> Window:
        next_seq: int | None = max(seq, self._start)
        while next_seq is not None and not self._kept.is_full and not self._budget.is_spent:
            entry = self._before_next(self._covered.at_line(next_seq))
            knows_more = self._by_level and next_seq < self._covered.last()["lines"]
            quiet = _QUIET_LINES if knows_more else None
            with self._reading(entry, next_seq) as reading:
                next_seq = _fill(self._kept, reading, next_seq, stop=self._stop, quiet=quiet)
        return Window(self._kept.rows, next_seq, min(seq, self._covered.last()["lines"]) or None)

    def _before_next(self, entry: IndexEntry) -> IndexEntry:
        """Return the last entry before the next record of the wanted level, or the given one."""
        if not self._by_level:
            return entry
        return self._covered.at_count(self._choice.min_level, _count(entry, self._choice.min_level))

    def backward(self, seq: int) -> Window:
        end = min(seq, self._covered.last()["lines"], seq if self._stop is None else self._stop)
        first_end, span = end, self._most
        while end > self._start and not self._kept.is_full and not self._budget.is_spent:
            entry = self._before_last(end) if self._by_level else self._covered.at_line(max(0, end - span))
            if entry is None:
                end = 0
                break
            if not self._put_before(entry, end, whole=end == first_end):
                break
            end, span = entry["lines"], span * _SPAN_GROWTH
        begin = self._kept.rows[0].seq if self._kept.is_full else end
        return Window(self._kept.rows, min(seq, self._covered.last()["lines"]), begin if begin > self._start else None)

    def _before_last(self, end: int) -> IndexEntry | None:
        """Return an entry before the last records of the wanted level that may be before a line; None: none is.

        As many of them as are wanted, unless that is far: it is only for one that much is passed over.
        """
        min_level = self._choice.min_level
        after = self._covered.after_line(end - 1) or self._covered.last()
        there = _count(after, min_level)
        if not there:
            return None
        wanted = min(there, self._most - len(self._kept.rows))
        entry = self._covered.at_count(min_level, there - wanted)
        while wanted > 1 and after["bytes"] - entry["bytes"] > _NEAR_BYTES:
            wanted = max(1, wanted // _SPAN_GROWTH)
            entry = self._covered.at_count(min_level, there - wanted)
        return entry if entry["lines"] < end else self._covered.at_line(end - 1)

    def _put_before(self, entry: IndexEntry, end: int, *, whole: bool) -> bool:
        """Add the last rows between an entry and a line, before those that are kept.

        False, and nothing is added, when that would cost too much; unless it has to be done, to get on at all.
        """
        part = _Kept(self._most - len(self._kept.rows))
        with self._reading(entry) as reading:
            for row in reading:
                if row is not None and row.seq < end:
                    part.add_last(row)
                    part.drop_first()
                elif row is not None or reading.line >= end:
                    break
                elif self._budget.is_spent and not whole:
                    return False
        for row in reversed(part.rows):
            self._kept.add_first(row)
        return True


def _count(entry: IndexEntry, min_level: Level) -> int:
    return sum(entry["levels"][min_level:])
