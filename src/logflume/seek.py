"""Find a time in a log, or its last lines, without an index and without reading what lies before.

Invariant: a place that is found cuts the merged log at one time: no source has a record before its mark that
belongs after the cut. So a merge that starts there gives exactly the rest of the whole merge.
Plan:  *look*: from any byte on, see the next line that has a time. A time is found by looking where it should be, and
       halfway, until LOOK_BYTES are left, and by reading those, and STEP_BACK_BYTES before them. For the tail a
       window at the end of each source is looked at; T is the latest of the times at which these windows begin,
       and what comes after T is merged and counted. While that is too little, the windows that begin latest grow.
Exact: for sources that are sorted by time. In others a line may stand STEP_BACK_BYTES (for a tail
       ``warm_up_bytes``) away from its place in time; what is misplaced farther can be missed. One source
       alone has its exact tail in any order.
Memory: blocks of each source that is merged, as its merge says; no line is kept.

A source that cannot be sought in (a compressed one) is read through; so is, once, a stretch without any time. A source
that fails has no mark: the merge that starts at the place meets the failure again, and has its Gap.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from logflume.abc import TellsArrival
from logflume.cursor import Cursor, Mark
from logflume.dating import Head, read_head
from logflume.errors import CursorExpired, SourceFailed
from logflume.merge import How, iter_merged, where
from logflume.records import Dedup, Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from logflume._core import Merger, Stats
    from logflume.abc import Reader, Source
    from logflume.records import Position

LOOK_BYTES = 64 * 1024
"""A time is looked for until so little is left, which is read."""

STEP_BACK_BYTES = 64 * 1024
"""So far before the place of a time it is read, in case lines stand there later than they should."""

UNTIMED_NS = -(2**63)
"""The time of lines before the first timed one of their source."""

_ANY_TIME_NS = UNTIMED_NS + 1
_NEVER_NS = 2**63 - 1
_NO_END = 2**63 - 1  # no source is so long
_FIRST_LOOK_BYTES = 4 * 1024
_WARM_UP_BYTES_IN_ALL = 8 * 1024 * 1024
_LINE_BYTES = 256  # what a line is taken to be long, for the first windows
_GROWTH = 4
_CLOSER = 32  # a look at where a time should be is taken so much closer than the last one
_ALL_AT_ONCE = 1 << 62


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is in a merged log.

    Attributes:
        cursor: where to start a merge.
        skip_lines: so many lines of that merge come before it; ``iter_lines`` leaves them out.
        line: its ordinal in the log, counted from 0; None where no index knows it.
    """

    cursor: Cursor
    skip_lines: int = 0
    line: int | None = None


class Blocks(Protocol):
    """A running merge, as far as skipping lines needs it; ``Merged`` is one."""

    def __next__(self) -> bytes:
        """Return the next block."""
        ...

    def stats(self) -> Stats:
        """Return the counts so far."""
        ...


def cursor_at_time(sources: Sequence[Source], ts_ns: int, how: How | None = None) -> Cursor:
    """Return where a merge starts so as to give the records of ``ts_ns`` and later, and no others.

    Takes some 10 looks of a few KiB at each source that can be sought in, however large it is; 50 where lines were
    written most unevenly.

    Raises:
        UsageError: ``how`` cannot be used, or 64 bits cannot hold that time.

    Order, loss: exact in sorted sources; the module says what can be missed in others.
    Memory: one block.
    """
    times = _Times(how or How())
    return _cursor(_mark_at_time(times, source, ts_ns) for source in sources)


def cursor_at_share(sources: Sequence[Source], share: float, how: How | None = None) -> Cursor:
    """Return a place about so far in the log, 0 to 1 of its bytes; costs a look at the largest source, and its time.

    Order, loss: nothing is before the place that belongs after it, as with ``cursor_at_time``.
    """
    times = _Times(how or How())
    sizes = [(size, source) for source in sources if (size := _sought_bytes(source))]
    if not sizes:
        return Cursor(())
    size, source = max(sizes, key=lambda each: each[0])
    try:
        sight = times.look(source, int(size * share), since_ns=UNTIMED_NS if len(sources) == 1 else _ANY_TIME_NS)
    except SourceFailed:
        return Cursor(())
    if sight is None or sight.ns is None:
        return Cursor(())
    if len(sources) == 1:
        return Cursor((Mark(source.name, sight.position, UNTIMED_NS),))
    return cursor_at_time(sources, sight.ns, times.how)


def still_there(sources: Sequence[Source], cursor: Cursor) -> Cursor:
    """Return the oldest place to go on from after an expired cursor: the same in sources that still have its bytes.

    Others are read from the first byte that they have; those that are gone are left out. A merge that starts there
    gives no record of the former again.
    """
    known = {mark.source: mark for mark in cursor.marks}
    kept = [known[source.name] for source in sources if source.name in known and _holds(source, known[source.name])]
    return Cursor(tuple(kept))


def _holds(source: Source, mark: Mark) -> bool:
    """Tell whether a source still has the bytes before a mark; one that cannot be read may have them."""
    try:
        if mark.position is not None:
            source.open(mark.position).close()
    except CursorExpired:
        return False
    except SourceFailed:
        return True
    return True


def find_tail(sources: Sequence[Source], lines: int, how: How | None = None, *, max_bytes: int | None = None) -> Place:
    """Return where the last ``lines`` lines of the merged log begin: of those that pass, if ``how`` has a filter.

    Without a filter about so much is read as these lines are long; with one, windows grow backwards until enough lines
    pass, or ``max_bytes`` were looked at. What is written meanwhile comes on top. A source that can be read only once
    is no source for this.

    Raises:
        UsageError: ``how`` cannot be used.
        CursorExpired: a source was cut or replaced meanwhile; ask again.

    Order, loss: exact in sorted sources; the module says what can be missed in others.
    Memory: as a merge of these sources.
    """
    times = _Times(how or How())
    sizes = [(source, _sought_bytes(source)) for source in sources]
    warm_up = warm_up_bytes(len(sources))
    windows = [_Window(times, source, size, warm_up) for source, size in sizes if size is not None]
    cut = _find_cut(times, windows, lines, alone=len(sources) == 1, max_bytes=max_bytes)
    others = [source for source, size in sizes if size is None]
    if others and cut.after_ns is not None:
        marks = [_mark_at_time(times, source, cut.after_ns + 1) for source in others]
        cut = replace(cut, cursor=_cursor([*cut.cursor.marks, *marks]), lines=None)
    there = _count_lines(times.how, sources, cut.cursor) if cut.lines is None else cut.lines
    return Place(cut.cursor, max(0, there - lines))


def tail(sources: Sequence[Source], lines: int, how: How | None = None) -> Iterator[bytes]:
    """Yield the last ``lines`` lines of the merged log in blocks: of those that pass, if ``how`` has a filter.

    What cannot be read is left out; to hear of it use ``find_tail`` and ``iter_merged``, which has the gaps.

    Raises:
        UsageError: ``how`` cannot be used.
        CursorExpired: a source was cut or replaced meanwhile; ask again.

    Order, loss: exact in sorted sources; the module says what can be missed in others.
    Memory: as a merge of these sources.
    """
    how = _fixed(how or How())
    place = find_tail(sources, lines, how)
    with iter_merged(sources, how, start=place.cursor) as merged:
        yield from iter_lines(merged, how, skip=place.skip_lines)


def iter_lines(merged: Blocks, how: How, *, skip: int, lines: int | None = None) -> Iterator[bytes]:
    """Yield the blocks of a merge without its first ``skip`` lines, and ``lines`` lines at most.

    ``how`` is what ``merged`` was made with. Its blocks must not be larger than a quarter of ``max_record_bytes``, as
    they are by default: a piece of a line, which is an object of its own in NDJSON, is the last in its block then.

    Order, loss: those of the merge. Memory: one block.
    """
    first, stop = 0, None if lines is None else skip + lines
    while stop is None or first < stop:
        block = next(merged, b"")
        if not block:
            return
        if stop is None and first >= skip:
            yield block
            continue
        begin = _after_lines(block, skip - first)
        end = len(block) if stop is None else _after_lines(block, stop - first)
        if begin < end:
            yield block[begin:end]
        first = merged.stats()["lines_out"] if how.output is Output.NDJSON else first + block.count(b"\n")


def warm_up_bytes(sources: int) -> int:
    """How far a line may be misplaced in each of so many sources for their tail to be exact."""
    return max(_FIRST_LOOK_BYTES, min(STEP_BACK_BYTES, _WARM_UP_BYTES_IN_ALL // max(sources, 1)))


def _after_lines(block: bytes, lines: int) -> int:
    """Return the offset after so many lines of a block, or its length."""
    if lines <= 0:
        return 0
    parts = block.split(b"\n", lines)
    return len(block) - len(parts[-1]) if len(parts) > lines else len(block)


def _fixed(how: How) -> How:
    """Let all merges of one search take the same time for now."""
    return how if how.reference_ns is not None else replace(how, reference_ns=time.time_ns())


def _sought_bytes(source: Source) -> int | None:
    """Size of a source that can be sought in."""
    return source.peek_size() if source.seekable else None


def _cursor(marks: Iterable[Mark | None]) -> Cursor:
    return Cursor(tuple(mark for mark in marks if mark is not None))


def _count_lines(how: How, sources: Sequence[Source], cursor: Cursor) -> int:
    with iter_merged(sources, replace(how, output=Output.NONE), start=cursor, block_bytes=_ALL_AT_ONCE) as merged:
        deque(merged, maxlen=0)
        return merged.stats()["lines_out"]


# Looking at one source


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was seen from some byte of a source on.

    Attributes:
        ns: time of the line that was looked for, or of the one after it; None if there is no such line.
        start: where it begins; if there is none, the end of what was read.
        position: the same, durably.
        highest_ns: the highest time up to where was read.
    """

    ns: int | None
    start: int
    position: Position
    highest_ns: int


class _Times:
    """Sees times as a merge does."""

    def __init__(self, how: How) -> None:
        self.how = _fixed(how)
        self._heads: dict[str, Head] = {}

    def look(
        self,
        source: Source,
        at: int,
        *,
        since_ns: int = _ANY_TIME_NS,
        until: int = _NO_END,
        read_bytes: int = _FIRST_LOOK_BYTES,
    ) -> _Sight | None:
        """See the first line from byte ``at`` on that has a time, of at least ``since_ns``.

        At least ``read_bytes`` are read, and then no more than it takes; none from byte ``until`` on. None if no
        line begins there.

        Raises:
            SourceFailed: the source cannot be read.
        """
        how = replace(self.how, output=Output.TEXT, dedup=Dedup.OFF, only=where(since_ns=since_ns), levels=False)
        merger = how.merger(1)
        seen = _Seen(merger)
        with source.open(max(0, at - 1)) as reader:
            dates = self._dated(merger, source, reader)
            for offset, block, came in _iter_from_line(reader, at, until, dates, first_bytes=read_bytes + 1):
                seen.add(offset, block, came)
                if seen.ns is not None and offset + len(block) >= at + read_bytes:
                    break
            if until == _NO_END:
                seen.end()
            return None if seen.begin is None else seen.sight(reader)

    def _dated(self, merger: Merger, source: Source, reader: Reader) -> TellsArrival | None:
        """Have lines without a time dated as a whole merge does; the beginning of each source is looked at once."""
        if not isinstance(reader, TellsArrival) or not reader.has_arrivals():
            return None
        if source.name not in self._heads:
            self._heads[source.name] = read_head(source, self.how)
        return reader if self._heads[source.name].date(merger, 0, reader.start) else None

    def mark(self, source: Source, at: int, since_ns: int) -> Mark | None:
        """Name the first line from byte ``at`` on whose time is at least ``since_ns``; None for the start.

        Raises:
            SourceFailed: the source cannot be read.
        """
        back = STEP_BACK_BYTES
        while (sight := self.look(source, at, since_ns=since_ns)) is None and at > 0:
            at = max(0, at - back)  # from there to the end it was all one line
            back *= _GROWTH
        if sight is None or sight.start == 0:
            return None
        floor_ns = sight.highest_ns if sight.ns is None else max(UNTIMED_NS, since_ns - 1)
        return Mark(source.name, sight.position, floor_ns)


class _Span:
    """The part of a source in which a time begins: all before ``low`` is earlier, all from ``high`` on is not."""

    def __init__(self, times: _Times, source: Source, size: int, ts_ns: int) -> None:
        self.low, self.high = 0, size
        self._low_ns = self._high_ns = UNTIMED_NS
        self._times = times
        self._source = source
        self._ts_ns = ts_ns

    def narrow(self) -> None:
        """Look until no more than LOOK_BYTES are left: where the time should be, and halfway if that was of no use."""
        self._look(1)
        self._look(self.high - LOOK_BYTES)
        while (width := self.high - self.low) > LOOK_BYTES:
            should_be, about = self._expected(), max(width // _CLOSER, LOOK_BYTES // 4)
            self._look(should_be - about)
            self._look(should_be + about)
            if self.high - self.low > width // 2:
                self._look((self.low + self.high) // 2)

    def _expected(self) -> int:
        """Where the time would be if lines were written evenly."""
        if UNTIMED_NS in (self._low_ns, self._high_ns) or self._low_ns >= self._high_ns:
            return (self.low + self.high) // 2
        share = (self._ts_ns - self._low_ns) / (self._high_ns - self._low_ns)
        return self.low + int((self.high - self.low) * share)

    def _look(self, at: int) -> None:
        if not self.low < at < self.high:
            return
        sight = self._times.look(self._source, at, until=self.high)
        if sight is None or sight.ns is None or sight.start >= self.high:
            self.high = at
        elif sight.ns >= self._ts_ns:
            self.high, self._high_ns = at, sight.ns
        else:
            self.low, self._low_ns = sight.start, sight.ns


class _Seen:
    """Lines that are being looked at, by a merger of one source."""

    def __init__(self, merger: Merger) -> None:
        self.begin: int | None = None
        self.ns: int | None = None
        self._start = 0
        self._merger = merger

    def add(self, offset: int, block: bytes, came: list[tuple[int, int]]) -> None:
        """Take the next bytes, which begin at ``offset`` of the source, and when they came."""
        self.begin = offset if self.begin is None else self.begin
        self._merger.feed(0, block, came)
        self._merger.idle(0)
        self._take()

    def end(self) -> None:
        """Take a last line without its newline for whole, as a merge does at the end of a source."""
        self._merger.finish(0)
        self._take()

    def _take(self) -> None:
        if self.ns is None and self.begin is not None:
            line = self._merger.take(1)
            self._start = self.begin + self._merger.positions()[0] - len(line)
            self.ns = self._merger.floors()[0] if line else None

    def sight(self, reader: Reader) -> _Sight:
        """Sum up."""
        highest_ns = self._merger.stats()["last_ns"]
        return _Sight(
            self.ns, self._start, reader.position(self._start), UNTIMED_NS if highest_ns is None else highest_ns
        )


def _iter_from_line(
    reader: Reader, at: int, until: int, dates: TellsArrival | None, *, first_bytes: int
) -> Iterator[tuple[int, bytes, list[tuple[int, int]]]]:
    """Yield blocks, their offsets and when they came, from the first line on that begins at byte ``at`` or later."""
    offset, passing, size = reader.start, at > 0, first_bytes
    while offset < until and (block := reader.read_block(size)):
        offset += len(block)
        size = LOOK_BYTES
        came = [] if dates is None else dates.peek_arrivals()
        if passing:
            before, newline, block = block.partition(b"\n")
            passing = not newline
            came = [(max(0, first - len(before) - 1), ns) for first, ns in came]
        if not passing:
            yield offset - len(block), block, came


def _mark_at_time(times: _Times, source: Source, ts_ns: int) -> Mark | None:
    try:
        size = _sought_bytes(source)
        if size is None:
            return times.mark(source, 0, ts_ns)
        span = _Span(times, source, size, ts_ns)
        span.narrow()
        return times.mark(source, max(0, span.low - STEP_BACK_BYTES), ts_ns)
    except SourceFailed:
        return None


# The ends of sources


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a tail begins, after which time that is, how many lines follow; None: from the start, not counted."""

    cursor: Cursor = Cursor(())  # noqa: RUF009 - it never changes
    after_ns: int | None = None
    lines: int | None = None


def _find_cut(
    times: _Times, windows: Sequence[_Window], lines: int, *, alone: bool, max_bytes: int | None = None
) -> _Cut:
    """Widen the windows until ``lines`` lines follow a cut."""
    window_bytes = warm_up_bytes(len(windows)) + max(LOOK_BYTES, lines * _LINE_BYTES) // max(1, len(windows))
    for window in windows:
        window.widen(window_bytes)
    while not all(window.whole for window in windows):
        cut = windows[0].cut() if alone else _cut_of_all(windows)
        if cut is not None:
            there = _count_lines(times.how, [window.source for window in windows], cut.cursor)
            looked_bytes = sum(window.bytes for window in windows)
            if there >= lines or (max_bytes is not None and looked_bytes >= max_bytes):
                return replace(cut, lines=there)
        _widen_latest(windows)
    return _Cut()


def _cut_of_all(windows: Sequence[_Window]) -> _Cut | None:
    """Cut after the time at which the last window begins; None while one shows no time."""
    after_ns = max(window.begins_ns for window in windows if not window.whole)
    if after_ns == _NEVER_NS:
        return None
    return _Cut(_cursor(window.mark_after(after_ns) for window in windows), after_ns)


def _widen_latest(windows: Sequence[_Window]) -> None:
    narrow = [window for window in windows if not window.whole]
    middle_ns = statistics.median_low(window.begins_ns for window in narrow)
    for window in narrow:
        if window.begins_ns >= middle_ns:
            window.widen(window.bytes * _GROWTH)


class _Window:
    """The last bytes of a source, as seen for a tail."""

    def __init__(self, times: _Times, source: Source, size: int, warm_up: int) -> None:
        self.source = source
        self.bytes = 0
        self.whole = False
        self._times = times
        self._size = size
        self._warm_up = warm_up
        self._sight: _Sight | None = None

    def widen(self, window_bytes: int) -> None:
        """Look at so many bytes at the end, or at all there are."""
        self.bytes = window_bytes
        at = self._size - window_bytes
        self.whole = at <= 0
        try:
            self._sight = None if self.whole else self._times.look(self.source, at, read_bytes=self._warm_up)
        except SourceFailed:
            self.whole = True

    @property
    def begins_ns(self) -> int:
        """Time after which everything of the source is in the window."""
        return _NEVER_NS if self._sight is None or self._sight.ns is None else self._sight.highest_ns

    def mark_after(self, ns: int) -> Mark | None:
        """Name the first line after that time."""
        try:
            return self._times.mark(self.source, 0 if self._sight is None else self._sight.start, ns + 1)
        except SourceFailed:
            return None

    def cut(self) -> _Cut | None:
        """Cut where the window begins, whatever the time; None if that would be within a record."""
        sight = self._sight
        if self.bytes >= self._times.how.max_record_bytes and (sight is None or sight.ns is None):
            # Longer records are judged in pieces, too.
            sight = self._times.look(self.source, self._size - self.bytes, since_ns=UNTIMED_NS)
        if sight is None or sight.ns is None:
            return None
        return _Cut(Cursor((Mark(self.source.name, sight.position, UNTIMED_NS),)))
