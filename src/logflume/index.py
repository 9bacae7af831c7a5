"""A sparse index of a merged log: seek by line, time and error; totals, and counts over time.

Invariant: what it covers is a beginning of the merged log. A place it names is exact: so many lines after a cursor.
Each query looks whether the sources still hold what was indexed, and raises IndexInvalid if not.
Plan:  an entry (see the core) every 64 KiB of merged log or more; a query merges the stretch between two of them.

Growth: of what each source has got since, the first record's effective time is looked at. At the earliest of these
        times the merged log changes: entries before it stay, and the merge goes on from the last of them. So a
        source that was silent for an hour costs nothing when it goes on with the present time, and the
        stretch from there on when it goes on with a time in the past, or with the rest of a line.
Thrown away and built anew: when a source is new, gone, renamed, cut or replaced; when settings that make the
        order are others; when the stored file is damaged or of another version. Growth of a compressed file is
        not noticed.

The log is merged as a whole, without a filter. A record over ``max_record_bytes`` counts as several.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from logflume import _core
from logflume.abc import TellsArrival
from logflume.closing import Closing
from logflume.cursor import Cursor, Mark
from logflume.dating import Head, read_head
from logflume.errors import BadCursor, CursorExpired, IndexInvalid, SourceFailed, UsageError
from logflume.indexcache import IndexCache, Stored
from logflume.merge import How, Merged, where
from logflume.outline import Base, End, Group, Marks
from logflume.records import Dedup, GapReason, Level, Output
from logflume.seek import UNTIMED_NS, Place, iter_lines

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from typing_extensions import Self

    from logflume._core import Filter, IndexEntry
    from logflume.abc import Log, Reader, Source
    from logflume.records import Position, SourceReport

ENTRY_EVERY_BYTES = 64 * 1024
"""Merged bytes from one entry to the next, of a log of few sources and more than some 40 MB."""

ENTRY_EVERY_BYTES_A_SOURCE = 2 * 1024
"""With many sources entries are so far apart for each of them: an entry holds a position in all."""

SMALL_INDEX_BYTES = 16 * 1024
"""About so large is the index of a smaller log: its entries are closer. It can be a few times that when the
log grew while it was indexed."""

MAX_BUCKETS = 10_000
"""The finest timeline that can be asked for."""

_EVER_NS = 2**63 - 1
_NO_LINE = 2**63
_KEEP_WHEN_GROWN_BY = 1.01  # all of it is written each time
_ONE_RECORD = 1  # as the size of a block
_ROW_BLOCK_BYTES = 64 * 1024
_NEWS_BYTES = 4 * 1024
_UNSETTLED_NS = 5_000_000_000  # within so long it is noted when bytes came
_CHANGED = frozenset({GapReason.TRUNCATED, GapReason.REPLACED, GapReason.VANISHED, GapReason.ROTATED_AWAY})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an index reaches.

    Attributes:
        done_bytes: how much of the sources is covered.
        total_bytes: how much there was when it was last looked; None when a source cannot tell.
        complete: whether all of that is covered.
    """

    done_bytes: int
    total_bytes: int | None
    complete: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """What the covered part of a log holds. A record that several sources hold counts once.

    Attributes:
        lines: those of these records; the last one of a source may lack its newline.
        records: each a line with a time and what belongs to it, or a line before all times.
        bytes: of these records, in their sources.
        levels: records by level, at the number of each Level.
        last_ns: time of the last record; None if none has one.
    """

    lines: int
    records: int
    bytes: int
    levels: tuple[int, ...]
    last_ns: int | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Records by time and level.

    A bucket can lack up to what lies between two entries at its end: the next one has it. The sum is exact.

    Attributes:
        first_ns: where the first bucket begins. Records that are earlier, or have no time, are in it.
        step_ns: length of a bucket.
        levels: for each bucket the records by level, at the number of each Level.
    """

    first_ns: int
    step_ns: int
    levels: tuple[tuple[int, ...], ...]


class LogIndex(Closing):
    """The index of one log: a context manager. Any thread may ask, also while another one builds.

    Answers are for what is covered so far; lines are counted from 0.

    Memory: the entries, at most 0.5 % of a large log; in a query or a build, what a merge holds.

    Attributes:
        failure: what ended the last build in the background; None if it went well.
        cache_error: why the index could not be kept; None if it was. It can be used all the same.
    """

    def __init__(self, log: Log, how: How | None = None, *, cache: IndexCache | None = None) -> None:
        """Take from the cache what still fits the log.

        Of ``how`` only what makes the order counts: dedup, zone, time_format, reference_ns, max_record_bytes.

        Raises:
            UsageError: ``how`` cannot be used.
        """
        self.failure: Exception | None = None
        self.cache_error: OSError | None = None
        self._log = log
        self._how = replace(how or How(), output=Output.TEXT, only=None, levels=False)
        self._how.merger(1)
        self._cache = cache or IndexCache()
        self._building = threading.Lock()
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._covered = self._load(log.sources())
        self._kept_bytes = self.progress.done_bytes

    # building

    def build(self) -> None:
        """Cover what the log holds now. Costs the reading of what is new.

        The index is kept when it has grown by a hundredth, or when it is closed.

        Raises:
            IndexInvalid: a source was cut or replaced meanwhile; build again.
        """
        with self._building:
            sources = self._log.sources()
            try:
                self._covered.catch_up(sources)
            except IndexInvalid:
                self._covered = self._nothing(sources)
            try:
                grown = self._covered.extend(self._stopping)
            except IndexInvalid:
                self._covered = self._nothing(sources)
                raise
            if grown and self.progress.done_bytes >= self._kept_bytes * _KEEP_WHEN_GROWN_BY:
                self._keep()

    def build_in_background(self) -> None:
        """Do so in a thread, unless one is at it; ``progress`` tells how far it is, ``close`` ends it."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._build_unseen, name="logflume-index", daemon=True)
                thread.start()
                self._thread = thread  # only now: who waits joins it

    def wait(self, timeout_s: float) -> bool:
        """Wait for a build in the background, up to a time; return whether none is under way."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def _build_unseen(self) -> None:
        self.failure = None
        try:
            self.build()
        except Exception as error:  # noqa: BLE001 - the edge of a thread
            self.failure = error

    def close(self) -> None:
        """End a build and keep what it has covered. Queries can still be asked."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._stopping.clear()
        if self.progress.done_bytes != self._kept_bytes:
            self._keep()

    def _nothing(self, sources: Sequence[Source]) -> Covered:
        now_ns = time.time_ns() if self._how.reference_ns is None else self._how.reference_ns
        return Covered(sources, replace(self._how, reference_ns=now_ns))

    def _load(self, sources: Sequence[Source]) -> Covered:
        stored = self._cache.read(_key(self._log.id, self._how, sources))
        if stored is not None:
            with contextlib.suppress(IndexInvalid):
                covered = Covered.restored(stored, sources, self._how)
                covered.catch_up(sources)
                return covered
        return self._nothing(sources)

    def _keep(self) -> None:
        self.cache_error = None
        self._kept_bytes = self.progress.done_bytes
        try:
            self._cache.write(_key(self._log.id, self._how, self._covered.sources), self._covered.stored())
        except OSError as error:
            self.cache_error = error

    # asking

    @property
    def covered(self) -> Covered:
        """What is covered now; it stays valid, and may be thrown away by the next build."""
        return self._covered

    @property
    def progress(self) -> Progress:
        """How far it reaches."""
        covered = self._covered
        return Progress(sum(covered.last()["positions"]), covered.total_bytes, covered.complete)

    @property
    def totals(self) -> Totals:
        """Sums over what is covered."""
        last = self._covered.last()
        last_ns = None if last["ts"] == UNTIMED_NS else last["ts"]
        return Totals(last["lines"], last["records"], last["bytes"], tuple(last["levels"]), last_ns)

    def locate_line(self, line: int) -> Place:
        """Return the place of a line.

        Raises:
            IndexInvalid: the log is not what was indexed; build again.
            UsageError: there is no such line in any log.
        """
        _require_line(line)
        covered = self._covered
        entry = covered.at_line(line)
        return Place(covered.cursor_at(entry), line - entry["lines"], line)

    def locate_time(self, ts_ns: int) -> Place:
        """Return the place of the first record of that time or later; the end of what is covered if there is none.

        Raises:
            IndexInvalid: the log is not what was indexed; build again.
            UsageError: 64 bits cannot hold that time.
        """
        since = where(since_ns=ts_ns)
        covered = self._covered
        entry = covered.before_time(ts_ns)
        if entry["bytes"] == covered.last()["bytes"]:
            return Place(covered.cursor_at(entry), 0, entry["lines"])
        return covered.place_of_match(entry, since, 0)

    def next_error(self, line: int, min_level: Level = Level.ERROR) -> Place | None:
        """Return the place of the first record of that level or a higher one that begins at ``line`` or after it.

        Raises:
            IndexInvalid: the log is not what was indexed; build again.
            UsageError: there is no such line in any log.
        """
        _require_line(line)
        covered = self._covered
        return covered.place_of_nth(covered.count_before(line, min_level), min_level)

    def previous_error(self, line: int, min_level: Level = Level.ERROR) -> Place | None:
        """Return the place of the last record of that level or a higher one that begins before ``line``.

        Raises:
            IndexInvalid: the log is not what was indexed; build again.
            UsageError: there is no such line in any log.
        """
        _require_line(line)
        covered = self._covered
        return covered.place_of_nth(covered.count_before(line, min_level) - 1, min_level)

    def iter_rows(self, line: int, lines: int, output: Output = Output.TEXT) -> Iterator[bytes]:
        """Yield ``lines`` lines from ``line`` on, in blocks: each line once, as the whole merge gives it.

        Fewer where the log ends; none from a line on that is not covered. Close it when it is not read to its end.

        Raises:
            IndexInvalid: the log is not what was indexed; build again.
            UsageError: there is no such line in any log.
        """
        _require_line(line)
        covered = self._covered
        if line > covered.last()["lines"]:
            return
        entry = covered.at_line(line)
        how = replace(covered.how, output=output)
        with covered.merged(entry, how, block_bytes=min(_ROW_BLOCK_BYTES, how.max_record_bytes // 4)) as merged:
            yield from iter_lines(merged, how, skip=line - entry["lines"], lines=lines)

    def counts(self, buckets: int) -> Timeline | None:
        """Return how many records of each level there are over time; None if none has a time.

        Costs no reading of the log.

        Raises:
            UsageError: ``buckets`` is not between 1 and MAX_BUCKETS.
        """
        if not 1 <= buckets <= MAX_BUCKETS:
            raise UsageError(f"a timeline has 1 to {MAX_BUCKETS} buckets, not {buckets}")
        return self._covered.timeline(buckets)

    def text_bytes(self, sizes: Mapping[str, int | None]) -> int | None:
        """Return how many bytes the merged text of sources of these names and sizes has; None if it covers others.

        Costs no reading of the log.
        """
        return self._covered.text_of(sizes)

    def locate_byte(self, offset: int, sizes: Mapping[str, int | None]) -> tuple[Cursor, int] | None:
        """Return a place before a byte of the merged text of sources, and how many bytes come between.

        The text is that of ``text_bytes``; None when it covers others by now.

        Raises:
            IndexInvalid: the log is not what was indexed; build again.
        """
        covered = self._covered
        entry = covered.at_text(offset)
        cursor = covered.cursor_at(entry)
        # What grew meanwhile may have moved the entry: it covers more, then, and says so.
        return None if covered.text_of(sizes) is None else (cursor, offset - entry["text"])

    def groups(self) -> tuple[list[Group], int | None]:
        """Return the groups of lines that the log itself marks, in the order in which they begin.

        The number beside is the line from which on no more are known, for there were too many; None: these are all.
        Costs no reading of the log.
        """
        return self._covered.groups()

    def counts_by_line(self, parts: int) -> list[tuple[int, ...]]:
        """Return how many records of each level, at the number of the Level, each of so many equal parts has.

        Costs no reading of the log: a part can lack up to what lies between two entries at its end; the next one has
        it. The sum is exact.

        Raises:
            UsageError: ``parts`` is not between 1 and MAX_BUCKETS.
        """
        if not 1 <= parts <= MAX_BUCKETS:
            raise UsageError(f"a log is counted in 1 to {MAX_BUCKETS} parts, not {parts}")
        return self._covered.parts(parts)


@dataclass(frozen=True, slots=True)
class _End:
    """How far a source was read.

    Attributes:
        offset: in all its bytes.
        mark: the same, durably; None at its start.
        first_key: which file, object, … its bytes began with.
    """

    offset: int = 0
    mark: Mark | None = None
    first_key: str | None = None


class Covered:
    """Entries of a log, with the sources they are of, and the places that must still be there."""

    def __init__(self, sources: Sequence[Source], how: How) -> None:
        self.sources = sources
        self.how = how
        self.total_bytes: int | None = None
        self.complete = False
        self._ends = [_End() for _ in sources]
        self._before_seam = False  # the last line has no newline: the next one of another source begins with it
        self._index = _core.Index(len(sources))
        self._marks = Marks()
        self._asking = threading.Lock()

    # what is stored

    @classmethod
    def restored(cls, stored: Stored, sources: Sequence[Source], how: How) -> Self:
        """Read what ``stored`` wrote.

        Raises:
            IndexInvalid: it is of another log, or damaged.
        """
        head = stored.head
        try:
            if head["settings"] != _settings(how) or head["names"] != [source.name for source in sources]:
                raise IndexInvalid("it is of other sources or settings")
            covered = cls(sources, replace(how, reference_ns=int(head["reference_ns"])))
            covered._index.extend(stored.entries)
            covered._ends = [_restored_end(*row) for row in head["ends"]]
            covered._marks = Marks.restored(head["marks"])
            covered._before_seam = head["before_seam"] is True
        except (KeyError, TypeError, ValueError, BadCursor) as error:
            raise IndexInvalid("the stored index is damaged") from error
        if [end.offset for end in covered._ends] != covered.last()["positions"]:
            raise IndexInvalid("the stored index is damaged")
        covered.complete = head.get("complete") is True
        return covered

    def stored(self) -> Stored:
        """Return what is to be kept."""
        head = {
            "settings": _settings(self.how),
            "reference_ns": self.how.reference_ns,
            "names": [source.name for source in self.sources],
            "ends": [_stored_end(end) for end in self._ends],
            "complete": self.complete,
            "before_seam": self._before_seam,
            "marks": self._marks.stored(),
        }
        return Stored(head, self._index.encoded())

    # what grows

    def catch_up(self, sources: Sequence[Source]) -> None:
        """Take the log as it is now, and keep what still is its beginning.

        Raises:
            IndexInvalid: nothing is.
        """
        if [source.name for source in sources] != [source.name for source in self.sources]:
            raise IndexInvalid("the log has other sources than were indexed")
        with _fitting():
            news_ns = [self._news_ns(source, number) for number, source in enumerate(sources)]
        changes_ns = [ns for ns in news_ns if ns is not None]
        if changes_ns and self._before_seam:
            changes_ns.append(self.last()["ts"])
            self._before_seam = False
        self._resume_before(min(changes_ns, default=_EVER_NS))
        self.complete = self.complete and not changes_ns
        self.sources = sources
        self.total_bytes = _total_bytes(sources)

    def extend(self, stopping: threading.Event) -> bool:
        """Cover what is not covered; False if there is nothing.

        Raises:
            IndexInvalid: a source was cut or replaced meanwhile: this covers nothing any more.
        """
        if self.complete:
            return False
        self.total_bytes = _total_bytes(self.sources)
        every_bytes = _entry_every_bytes(self.total_bytes, len(self.sources))
        begin = self.last()
        start = self.cursor_at(begin)
        how = replace(self.how, levels=True)
        with _fitting():
            merged = Merged(self.sources, how, start=start, block_bytes=every_bytes, index_every_bytes=every_bytes)
        with merged:
            for _ in merged:
                self._add(merged, begin)
                if stopping.is_set():
                    break
            else:
                merged.mark_index()
                self._add(merged, begin)
                self.complete = True
                self._before_seam = merged.cursor().owes_newline is not None
            _require_unchanged(merged.reports())
        self._end_at(merged.cursor() if self.complete else self.cursor_at(self.last()))
        return True

    def _news_ns(self, source: Source, number: int) -> int | None:
        """Return the time from which on a source's growth changes the merged log; None if it has not grown."""
        end = self._ends[number]
        block, came = _news(source, end, self.how.max_record_bytes)
        head = None if came is None else read_head(source, self.how)
        if head is not None and (redated_ns := _redated_ns(source, end, head)) is not None:
            return redated_ns
        if not block:
            return None
        if end.mark is None or _ends_line(source, end.mark):
            merger = replace(self.how, dedup=Dedup.OFF).merger(1, index_every_bytes=_ONE_RECORD)
            if head is not None:
                head.date(merger, 0, end.offset)
            return _first_ns(merger, block, came or [], UNTIMED_NS if end.mark is None else end.mark.floor_ns)
        # The line that has gone on may have another time now, but none before the record before it.
        return self.before_time(end.mark.floor_ns)["floors"][number]

    def _add(self, merged: Merged, begin: IndexEntry) -> None:
        encoded, marks = merged.take_index(), merged.take_marks()
        with self._asking:
            self._index.extend(encoded)
            self._marks.add(marks, Base(begin["lines"], _count(begin, Level.ERROR), self._index.last()["bytes"]))

    def _resume_before(self, ns: int) -> IndexEntry:
        with self._asking:
            entry = self._index.resume_before(ns)
            self._marks.resume_at(entry["lines"])
            return entry

    def _end_at(self, cursor: Cursor) -> None:
        offsets = self.last()["positions"]
        marks = cursor.marks_for(self.sources)
        places = zip(offsets, marks, self.sources, strict=True)
        self._ends = [_End(offset, mark, _first_key(source)) if offset else _End() for offset, mark, source in places]

    # what is asked

    def last(self) -> IndexEntry:
        """Return what all that is covered sums up to."""
        with self._asking:
            return self._index.last()

    def at_line(self, line: int) -> IndexEntry:
        """Return the last entry at or before a line."""
        with self._asking:
            return self._index.at_line(line)

    def at_text(self, offset: int) -> IndexEntry:
        """Return the last entry at or before a byte of the merged text."""
        with self._asking:
            return self._index.at_text(offset)

    def text_of(self, sizes: Mapping[str, int | None]) -> int | None:
        """Return how many bytes the merged text of sources of these names and sizes has; None if it covers others."""
        is_complete, last = self.complete, self.last()
        covers = dict(zip([source.name for source in self.sources], last["positions"], strict=True))
        return last["text"] if is_complete and covers == sizes else None

    def after_line(self, line: int) -> IndexEntry | None:
        """Return the first entry after a line; None when none reaches so far."""
        with self._asking:
            return self._index.after_line(line)

    def at_count(self, min_level: Level, count: int) -> IndexEntry:
        """Return the last entry up to which there were at most so many records of that level or a higher one."""
        with self._asking:
            return self._index.at_count(_bits(min_level), count)

    def before_time(self, ts_ns: int) -> IndexEntry:
        """Return the last entry all of whose records are before a time."""
        with self._asking:
            return self._index.before_time(ts_ns)

    def timeline(self, buckets: int) -> Timeline | None:
        """See ``LogIndex.counts``."""
        with self._asking:
            untimed, last = self._index.before_time(UNTIMED_NS + 1), self._index.last()
            first = self._index.after_line(untimed["lines"])
            if first is None:
                return None
            step_ns = -(-(last["ts"] - first["ts"] + 1) // buckets)
            ends_ns = [min(first["ts"] + step_ns * number, _EVER_NS) for number in range(1, buckets)]
            sums = [self._index.before_time(ns)["levels"] for ns in ends_ns]
        return Timeline(first["ts"], step_ns, tuple(_differences([*sums, last["levels"]])))

    def parts(self, parts: int) -> list[tuple[int, ...]]:
        """See ``LogIndex.counts_by_line``."""
        with self._asking:
            last = self._index.last()
            ends = [last["lines"] * number // parts for number in range(1, parts)]
            sums = [self._index.at_line(line)["levels"] for line in ends]
        return list(_differences([*sums, last["levels"]]))

    def groups(self) -> tuple[list[Group], int | None]:
        """See ``LogIndex.groups``."""
        with self._asking:
            last = self._index.last()
            end = End(last["lines"], last["ts"], _count(last, Level.ERROR))
            return self._marks.groups(end), self._marks.end_line

    def count_before(self, line: int, min_level: Level) -> int:
        """Count the records of ``min_level`` or higher that begin before a line."""
        with self._asking:
            entry, after = self._index.at_line(line), self._index.after_line(line)
        count = _count(entry, min_level)
        in_stretch = 0 if after is None else _count(after, min_level) - count
        if in_stretch:
            with contextlib.closing(self._iter_matches(entry, where(min_level=min_level))) as matches:
                count += sum(begins < line for begins in islice(matches, in_stretch))
        return count

    def place_of_nth(self, number: int, min_level: Level) -> Place | None:
        """Return the place of the record of ``min_level`` or higher that has so many before it."""
        if not 0 <= number < _count(self.last(), min_level):
            return None
        entry = self.at_count(min_level, number)
        return self.place_of_match(entry, where(min_level=min_level), number - _count(entry, min_level))

    def place_of_match(self, entry: IndexEntry, only: Filter, number: int) -> Place:
        """Return the place of a record that passes ``only``, ``number`` such ones after an entry.

        Raises:
            IndexInvalid: there is none: the log is not what was indexed.
        """
        with contextlib.closing(self._iter_matches(entry, only)) as matches:
            begins = next(islice(matches, number, None), None)
        if begins is None:
            raise IndexInvalid("the log is not what was indexed")
        return Place(self.cursor_at(entry), begins - entry["lines"], begins)

    def _iter_matches(self, entry: IndexEntry, only: Filter) -> Generator[int]:
        """Yield where the records that pass begin, after an entry, by going through all and those that pass at once.

        What makes a record pass (its level, a time that is the first of its kind) is in its bytes: the first one with
        the bytes of the first that passes is that one.
        """
        line = entry["lines"]
        passing = self.merged(entry, replace(self.how, only=only), block_bytes=_ONE_RECORD)
        with passing, self.merged(entry, self.how, block_bytes=_ONE_RECORD) as everything:
            for record in passing:
                # A newline at either end may belong to what is beside the record.
                wanted = record.strip(b"\n")
                for block in everything:
                    begins = line + len(block) - len(block.lstrip(b"\n"))
                    line += block.count(b"\n")
                    if block.strip(b"\n") == wanted:
                        yield begins
                        break

    def merged(self, entry: IndexEntry, how: How, *, block_bytes: int) -> Merged:
        """Merge from an entry on.

        Raises:
            IndexInvalid: the log is not what was indexed.
        """
        with _fitting():
            return Merged(self.sources, how, start=self.cursor_at(entry), workers=0, block_bytes=block_bytes)

    def cursor_at(self, entry: IndexEntry) -> Cursor:
        """Name the place of an entry durably, and see that all that is covered is still there.

        Raises:
            IndexInvalid: it is not.
        """
        places = zip(self.sources, entry["positions"], entry["floors"], self._ends, strict=True)
        with _fitting():
            return Cursor(tuple(_mark_at(*place) for place in places))


def _require_line(line: int) -> None:
    if not 0 <= line < _NO_LINE:
        raise UsageError(f"lines are counted from 0, in 63 bits: there is no line {line}")


def _mark_at(source: Source, offset: int, floor_ns: int, end: _End) -> Mark:
    """Name an offset of a source that still holds what it held when it was read up to ``end``."""
    if end.mark is not None:
        _open_at_end(source, end).close()
    if end.mark is not None and offset == end.offset:
        return Mark(source.name, end.mark.position, floor_ns)
    return Mark(source.name, _position_at(source, offset) if offset else None, floor_ns)


def _position_at(source: Source, offset: int) -> Position:
    with source.open(offset) as reader:
        return reader.position(offset)


def _open_at_end(source: Source, end: _End) -> Reader:
    """Open a source where reading it ended."""
    position = None if end.mark is None else end.mark.position
    reader = source.open(0 if position is None else position)
    # After a compressed file, offsets of positions are not counted from the start.
    if reader.start != end.offset and (source.seekable or _first_key(source) != end.first_key):
        reader.close()
        raise IndexInvalid(f"{source.name} does not begin where it did when it was indexed")
    return reader


def _first_key(source: Source) -> str | None:
    identity = source.peek_identity()
    return None if identity is None else identity.key


def _stored_end(end: _End) -> list[Any]:
    return [end.offset, None if end.mark is None else Cursor((end.mark,)).token(), end.first_key]


def _restored_end(offset: int, token: str | None, first_key: str | None) -> _End:
    (mark,) = (None,) if token is None else Cursor.from_token(token).marks
    return _End(offset, mark, first_key)


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    """Take a source that has lost what was indexed for what it is.

    Raises:
        IndexInvalid: it has.
    """
    try:
        yield
    except (CursorExpired, SourceFailed) as error:
        raise IndexInvalid(f"the log is not what was indexed: {error}") from error


def _redated_ns(source: Source, end: _End, head: Head) -> int | None:
    """Return from which time on lines have other dates than when they were indexed; None if they have not.

    When the last lines came was not noted yet, perhaps.
    """
    if end.mark is None or end.mark.position is None or (head.first is not None and end.offset > head.first):
        return None
    before = replace(end.mark.position, offset=max(0, end.mark.position.offset - 1))
    with source.open(before) as reader:
        came = reader.peek_arrivals() if reader.read_block(1) and isinstance(reader, TellsArrival) else []
    return end.mark.floor_ns - _UNSETTLED_NS if came and came[0][1] > end.mark.floor_ns else None


def _news(source: Source, end: _End, max_record_bytes: int) -> tuple[bytes, list[tuple[int, int]] | None]:
    """Return what came after ``end``: at least the first line, if it is no longer than a record may be.

    And when it did; None if nobody notes that.

    Raises:
        IndexInvalid: the source has lost what was before.
    """
    try:
        reader = _open_at_end(source, end)
    except SourceFailed:
        if end.mark is None:
            return b"", None
        raise
    news: bytes = b""
    dates = reader if isinstance(reader, TellsArrival) and reader.has_arrivals() else None
    came: list[tuple[int, int]] | None = None if dates is None else []
    with reader, contextlib.suppress(SourceFailed):
        while b"\n" not in news and len(news) <= max_record_bytes and (block := reader.read_block(_NEWS_BYTES)):
            news += block
            if dates is not None and not came:
                came = dates.peek_arrivals()[:1]
    return news, came


def _ends_line(source: Source, mark: Mark) -> bool:
    """Tell whether the byte before a mark ends a line."""
    if mark.position is None or mark.position.offset == 0:
        return False
    with source.open(replace(mark.position, offset=mark.position.offset - 1)) as reader:
        return reader.read_block(1) == b"\n"


def _first_ns(merger: _core.Merger, block: bytes, came: list[tuple[int, int]], floor_ns: int) -> int:
    """Return the effective time of the first record in what follows after ``floor_ns``, and came then."""
    merger.resume(0, floor_ns)
    merger.feed(0, block if block.endswith(b"\n") else block + b"\n", came)  # no entry is made where one is owed
    merger.finish(0)
    merger.take(_ONE_RECORD)
    entries = _core.Index(1)
    entries.extend(merger.take_index())
    # A piece of a record makes no entry.
    return max(floor_ns, entries.last()["ts"])


def _require_unchanged(reports: Sequence[SourceReport]) -> None:
    for report in reports:
        for gap in report.gaps:
            if report.bytes_read and gap.reason in _CHANGED:
                raise IndexInvalid(f"{gap.source} changed while it was indexed: {gap.detail}")


def _entry_every_bytes(total_bytes: int | None, sources: int) -> int:
    most = max(ENTRY_EVERY_BYTES, ENTRY_EVERY_BYTES_A_SOURCE * sources)
    entry_bytes = 32 + 8 * sources
    return most if total_bytes is None else max(1, min(most, total_bytes * entry_bytes // SMALL_INDEX_BYTES))


def _total_bytes(sources: Sequence[Source]) -> int | None:
    sizes = [source.peek_size() for source in sources]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _bits(min_level: Level) -> int:
    return sum(1 << level for level in Level if level >= min_level)


def _count(entry: IndexEntry, min_level: Level) -> int:
    return sum(entry["levels"][min_level:])


def _differences(sums: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Yield by how much each row of sums is larger than the one before it; the first as it is."""
    before: Sequence[int] = [0] * len(sums[0])
    for row in sums:
        yield tuple(now - then for now, then in zip(row, before, strict=True))
        before = row


def _settings(how: How) -> list[Any]:
    """What makes the order of a log, as JSON keeps it."""
    return [how.dedup.value, how.zone, how.time_format, how.max_record_bytes]


def _key(log_id: str, how: How, sources: Sequence[Source]) -> str:
    """Name an index in the cache: logs of one name in two folders are told apart by the identities of their sources."""
    names = [[source.name, _first_key(source)] for source in sources]
    return json.dumps([log_id, _settings(how), how.reference_ns, names])
