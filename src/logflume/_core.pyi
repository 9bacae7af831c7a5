"""The typed face of the Rust core. It has no file, socket, thread or clock: bytes in, bytes out.

All methods release the GIL while they work. One object may be used by one thread at a time; a
``Scanner`` may live in another thread than the ``Merger`` it was made for.
"""

from collections.abc import Sequence
from typing import TypedDict, final

__version__: str

@final
class Filter:
    """Which records pass. A record passes or fails whole; parts given are ANDed."""

    def __init__(
        self,
        *,
        since_ns: int | None = None,  # inclusive, on the effective time
        until_ns: int | None = None,  # exclusive
        levels: int = 0,  # bit (1 << Level) for each level that passes; 0 = all
        contains: bytes | None = None,  # literal
        regex: str | None = None,  # linear-time engine, on bytes, `^`/`$` per line
        ignore_case: bool = False,
        invert: bool = False,  # of contains/regex
    ) -> None: ...  # ValueError(message, position) on a bad regex

@final
class Batch:
    """Scanned records of one source, not yet merged."""

    @property
    def records(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def timed(self) -> bool: ...  # its source has had a time by its end

@final
class Scanner:
    """Splits one source into timed records, and filters them. State: an open record, a running time."""

    def scan(self, block: bytes, came: Sequence[tuple[int, int]] = ()) -> Batch: ...  # came: see Merger.date
    def prescanner(self) -> Prescanner: ...
    def scan_prescanned(  # the same as scan() of its block
        self, prescan: Prescan, came: Sequence[tuple[int, int]] = ()
    ) -> Batch: ...
    def finish(self) -> Batch: ...  # the source ended: the open record is complete
    def flush(self) -> Batch: ...  # nothing more for now: give the open record's whole lines

@final
class Prescanner:
    """Scans blocks of a source by guess, before those before them are scanned; in any thread."""

    def prescan(self, block: bytes) -> Prescan: ...

@final
class Prescan:
    """One block, scanned by guess. Opaque."""

class Counts(TypedDict):
    """What was scanned; levels are all unknown unless they were wanted."""

    bytes: int
    records: int
    lines: int
    late: int
    filtered: int
    pieces: int
    levels: list[int]
    first_ns: int | None
    last_ns: int | None

class Stats(Counts):
    """What was scanned in all, what came out, and what was scanned of each source."""

    records_out: int
    lines_out: int
    bytes_out: int
    source_bytes_out: int
    duplicates: int
    dedup_overflow: int
    sources: list[Counts]

@final
class Merger:
    """Merge n sources by time. See docs/reference/semantics.md for every rule."""

    def __init__(
        self,
        n_sources: int,
        *,
        output: int = 0,  # records.Output
        dedup: bool = True,
        filter: Filter | None = None,
        zone: str = "UTC",  # of times that carry no zone; IANA name
        time_format: str | None = None,  # strptime-like, tried first, at the start of a line
        reference_ns: int = 0,  # "now" for formats without a year
        levels: bool = False,  # recognise and count levels (a level filter implies it)
        max_record_bytes: int = 1 << 20,
        index_every_bytes: int = 0,  # 0 = no index entries
        numbers: bool = False,  # tell where each record is: those kept back are merged too
    ) -> None: ...
    def add(self) -> int: ...  # one more source, last in ties; not with index_every_bytes
    def scanner(self, source: int) -> Scanner: ...  # once for each source: from then on `push` its batches
    @property
    def owes_newline(self) -> int | None: ...  # TEXT: whose last line came without its newline, and nothing since
    def owe_newline(self, source: int) -> None: ...  # go on after such a line
    # With numbers, of records given out since: merged lines before, time, level, source, lines, whether pieces follow
    def take_told(self) -> list[tuple[int, int, int, int, int, bool]]: ...
    # While index entries are made: line, time, errors before, source, kind, whether its title is escaped as JSON, title
    def take_marks(self) -> list[tuple[int, int, int, int, int, bool, bytes]]: ...
    def hide(self, source: int) -> None: ...  # before anything is fed: show nothing of it, only count its lines
    @property
    def lines(self) -> int: ...  # merged lines that have come by, shown or not
    # Before anything is fed: lines without a time are dated by ``came``, which tells from which byte of a block on it
    # came when (ns); until a line with a time begins before byte ``until``. None is dated later than ``latest_ns``.
    def date(self, source: int, until: int, latest_ns: int) -> None: ...
    def feed(self, source: int, block: bytes, came: Sequence[tuple[int, int]] = ()) -> None: ...  # scan here and push
    def push(self, source: int, batch: Batch) -> None: ...  # scanned elsewhere
    def finish(self, source: int) -> None: ...
    def idle(self, source: int) -> None: ...  # live: do not wait for it until it is fed again
    def wanted(self) -> list[int]: ...  # sources that must be fed (or finished, or idled) to go on
    def take(self, max_bytes: int) -> bytes: ...  # b"": something is wanted first, or all is done
    @property
    def done(self) -> bool: ...
    @property
    def resumable(self) -> bool: ...  # not within a record in pieces, nor an instant at which sources are compared
    def positions(self) -> list[int]: ...  # per source: byte offset up to which all has been given out
    def stats(self) -> Stats: ...
    def take_index(self) -> bytes: ...  # encoded index entries made since the last call
    def floors(self) -> list[int]: ...  # per source: highest time given out; `resume` wants it with the position
    def resume(self, source: int, floor_ns: int) -> None: ...  # before anything is fed
    def mark_index(self) -> None: ...  # make an index entry for this place

class IndexEntry(TypedDict):
    """What had been given out at one place of a merged log; sums from its start."""

    bytes: int
    text: int  # bytes of the merged text: those, and newlines after last lines that lack theirs
    lines: int
    records: int
    ts: int
    levels: list[int]
    positions: list[int]
    floors: list[int]

@final
class Index:
    """Entries of one log's index, searchable."""

    def __init__(self, n_sources: int) -> None: ...
    def extend(self, encoded: bytes) -> None: ...  # ValueError: damaged
    def resume_before(self, ts_ns: int) -> IndexEntry: ...  # forget what reaches it: go on there
    @property
    def entries(self) -> int: ...
    def encoded(self) -> bytes: ...  # for another Index to be extended with
    def last(self) -> IndexEntry: ...
    def at_line(self, line: int) -> IndexEntry: ...  # the last one at or before that line
    def at_text(self, offset: int) -> IndexEntry: ...  # the last one at or before that byte of the merged text
    def after_line(self, line: int) -> IndexEntry | None: ...  # the first one after it
    def before_time(self, ts_ns: int) -> IndexEntry: ...  # the last one all of whose records are before it
    def at_count(self, levels: int, count: int) -> IndexEntry: ...  # the last one up to that many of these levels

@final
class Generator:
    """Lines of a made-up log, by source; ``logflume.generate`` is its driver and explains the plan."""

    def __init__(
        self,
        *,
        lines: int | None = None,
        bytes: int | None = None,
        sources: int,
        pattern: str,
        format: str,
        duplicates: float,
        ties: float,
        seed: int,
        start_us: int,
    ) -> None: ...  # ValueError, OverflowError: out of range
    @property
    def lines(self) -> int: ...
    @property
    def expected_bytes(self) -> int: ...
    def next_block(self, source: int, max_bytes: int) -> bytes: ...  # whole records; b"" at the end

@final
class Messages:
    """Blocks of NDJSON as Airflow's clients expect messages: `event` is a string, `timestamp` RFC 3339 or null."""

    def __init__(self, *, zone: str = "UTC") -> None: ...  # ValueError: no such zone
    def convert(self, block: bytes) -> bytes: ...  # of whole lines as a Merger gives them; itself if it is fine

@final
class Packed:
    """One request."""

    @property
    def payload(self) -> bytes: ...
    @property
    def events(self) -> int: ...
    @property
    def parts(self) -> int: ...  # of them, parts of lines that were too long for one event
    @property
    def end(self) -> int: ...  # up to here all that was fed is in this request or an earlier one
    @property
    def first_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...

@final
class Outgoing:
    """Applies rules to whole lines on their way out: covers, counts, leaves out, makes objects of records."""

    def __init__(
        self,
        *,
        redact: list[tuple[str, str]],  # pattern, replacement with $1
        count: list[str],
        sample: tuple[str, int] | None = None,  # pattern of a record's first line, keep one in so many
        lines_per_s: int | None = None,  # of more in each second in which they came, the first
        as_records: str | None = None,  # the inside of an object with tags; None: lines stay lines
        zone: str = "UTC",
        reference_ns: int = 0,
    ) -> None: ...  # ValueError(message, position) on a bad regex
    def apply(self, block: bytes, arrived_ns: int) -> tuple[bytes, bytes, bytes] | None: ...
    # None: nothing changes; else the new block, and for each of its lines where it ends there and before, as u32
    def last_record_start(self, block: bytes) -> int | None: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def redacted(self) -> int: ...
    @property
    def left_out(self) -> int: ...

@final
class Packer:
    """Makes requests of the lines of one stream, each within the limits of a log service."""

    def __init__(
        self,
        form: str,  # cloudwatch, loki, otlp, redis, ndjson, text
        *,
        max_events: int,
        max_bytes: int,  # as the service counts them
        max_event_bytes: int,  # a longer line goes on in further events, marked
        max_span_ns: int = ...,
        event_step_ns: int = 0,  # an event is later than the one before by this at least
        request_step_ns: int = 0,  # so is the first of a request
        opening: bytes = b"",
        closing: bytes = b"",
        before: bytes = b"",  # redis and text: each event
        zone: str = "UTC",
        reference_ns: int = 0,
    ) -> None: ...
    def feed(self, block: bytes, arrived_ns: int) -> None: ...  # whole lines
    def take(self, *, everything: bool) -> Packed | None: ...  # a full one; with everything also what is not
    @property
    def held_bytes(self) -> int: ...
    @property
    def is_empty(self) -> bool: ...
