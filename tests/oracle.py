"""What a merged log is, in plain Python: the judge of the core.

Holds: nothing clever. Whole files in memory, one line at a time, one rule a function.
Plan:  lines → records → effective times → order → repeats dropped → filtered → written.

It knows only the formats that the property tests write: JSON with an RFC 3339 time, Airflow 2's bracket, RFC 3339 at
the start (Kubernetes); times without a zone are UTC. The many formats of the core have tables of their own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import groupby

from logflume.records import Level, Output

BELONGS_NS = 5 * 10**9
"""A line without a time that came no later after one that has one belongs to it."""

BEFORE_ALL = -(1 << 100)
"""The time of lines that stand before their source's first time."""

MAX_NESTING = 128
TIME_KEYS = ("timestamp", "ts", "time", "@timestamp")

RFC_3339 = rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?"
WHOLE_TIME = re.compile(RFC_3339)
AT_START = re.compile(RFC_3339 + rb" ")
IN_BRACKET = re.compile(rb"\[" + RFC_3339 + rb"\]")
IN_CUT_JSON = re.compile(rb'\{"timestamp":"' + RFC_3339 + rb'"')
AIRFLOW_2_LEVEL = re.compile(rb"\[[^]]*\] \{[^}]*\} ([A-Z]+) - ")


@dataclass
class Record:
    """One line with a time and the lines without one that follow it; or one line before any time."""

    source: int
    own_ns: int
    lines: list[bytes] = field(default_factory=list)  # without their newlines
    ends: bool = True  # with a newline
    time_ns: int = BEFORE_ALL  # effective: the highest of its source up to here

    @property
    def raw(self) -> bytes:
        """The bytes of the record without its final newline."""
        return b"\n".join(self.lines)

    @property
    def late(self) -> bool:
        """Whether it is older than something before it in its source."""
        return self.own_ns < self.time_ns

    @property
    def level(self) -> Level:
        """How serious its first line says it is."""
        return level_of(self.lines[0])


@dataclass(frozen=True)
class Rules:
    """What ``logflume._core.Filter`` is asked for, by the same names."""

    since_ns: int | None = None
    until_ns: int | None = None
    levels: int = 0
    contains: bytes | None = None
    regex: str | None = None
    ignore_case: bool = False
    invert: bool = False

    def pass_(self, record: Record) -> bool:
        """Tell whether the whole record is shown."""
        return self._in_time(record) and self._has_level(record) and self._has_text(record.raw)

    def _in_time(self, record: Record) -> bool:
        after = self.since_ns is None or record.time_ns >= self.since_ns
        before = self.until_ns is None or record.time_ns < self.until_ns
        return after and before

    def _has_level(self, record: Record) -> bool:
        return self.levels == 0 or bool(self.levels & 1 << record.level)

    def _has_text(self, raw: bytes) -> bool:
        if self.contains is None and self.regex is None:
            return True
        case = re.IGNORECASE if self.ignore_case else re.RegexFlag(0)
        literal = re.search(re.escape(self.contains or b""), raw, case)
        regex = re.search((self.regex or "").encode(), raw, re.MULTILINE | case)
        return bool(literal and regex) is not self.invert


@dataclass
class Merged:
    """What the merge must give, and count."""

    out: bytes
    late: int
    duplicates: int
    filtered: int


@dataclass
class Dates:
    """When the bytes of a source came.

    Attributes:
        times: from which byte on, at which time in ns; in order.
        until: a line with a time that begins before this byte ends that lines are dated so.
        latest_ns: no line is dated later.
    """

    times: list[tuple[int, int]]
    until: int = 0
    latest_ns: int = 2**63 - 1

    def came_ns(self, offset: int) -> int:
        """Return when a byte came."""
        return next((ns for first, ns in reversed(self.times) if first <= offset), BEFORE_ALL)


def merge(
    sources: list[bytes],
    *,
    output: Output,
    dedup: bool = True,
    rules: Rules | None = None,
    dates: list[Dates | None] | None = None,
) -> Merged:
    """Merge whole files."""
    each = zip(sources, dates or [None] * len(sources), strict=True)
    everything = [record for number, one in enumerate(each) for record in records_of(number, *one)]
    everything.sort(key=lambda record: (record.time_ns, record.source))  # stable, so position comes last
    kept = drop_repeats(everything) if dedup else everything
    shown = [record for record in kept if rules is None or rules.pass_(record)]
    return Merged(
        out=write_text(shown) if output is Output.TEXT else write_ndjson(shown),
        late=sum(record.late for record in everything),
        duplicates=len(everything) - len(kept),
        filtered=len(kept) - len(shown),
    )


def records_of(number: int, source: bytes, dates: Dates | None = None) -> list[Record]:
    """Split a source into records and give each its effective time."""
    splitter = Splitter(number, dates)
    lines = source.split(b"\n")
    last = lines.pop()
    for line in lines:
        splitter.add_line(line)
    if last:
        splitter.add_line(last)
        splitter.records[-1].ends = False
    return splitter.records


class Splitter:
    """Makes records of the lines of a source."""

    def __init__(self, number: int, dates: Dates | None) -> None:
        self.records: list[Record] = []
        self.number = number
        self.dates = dates
        self.offset = 0
        self.highest_ns = BEFORE_ALL
        self.in_traceback = False
        self.header_came_ns: int | None = None  # of the line with a time to which lines without one may belong

    def add_line(self, line: bytes) -> None:
        """Let a line begin a record, or go on with the one before."""
        own_ns = time_of(line)
        is_loose = self.dates is not None or self.highest_ns == BEFORE_ALL
        by_shape = is_loose and bool(self.records) and own_ns is None and self.goes_on(line)
        came_ns = self.dates.came_ns(self.offset) if self.dates else BEFORE_ALL
        if own_ns is not None:
            self.begin(own_ns)
            self.header_came_ns = came_ns
            if self.dates and self.offset < self.dates.until:
                self.dates = None
        elif by_shape:
            pass
        elif self.dates and (self.header_came_ns is None or came_ns > self.header_came_ns + BELONGS_NS):
            self.begin(max(self.highest_ns, min(came_ns, self.dates.latest_ns)))
            self.header_came_ns = None
        elif self.highest_ns == BEFORE_ALL:
            self.begin(BEFORE_ALL)
        self.records[-1].lines.append(line)
        indented = line.startswith((b" ", b"\t"))
        starts = line.startswith(b"Traceback (most recent call last):")
        self.in_traceback = starts or (self.in_traceback and indented)
        self.offset += len(line) + 1

    def goes_on(self, line: bytes) -> bool:
        """Tell whether a line belongs to those before it by its shape."""
        return self.in_traceback or line.startswith((b" ", b"\t"))

    def begin(self, own_ns: int) -> None:
        """Let a record begin."""
        self.highest_ns = max(self.highest_ns, own_ns)
        self.records.append(Record(self.number, own_ns, time_ns=self.highest_ns))


def drop_repeats(records: list[Record]) -> list[Record]:
    """Drop, at each time, what an earlier source has shown as often already."""
    kept = []
    for _, group in groupby(records, key=lambda record: record.time_ns):
        shown: Counter[bytes] = Counter()
        seen: Counter[tuple[int, bytes]] = Counter()
        for record in group:
            seen[record.source, record.raw] += 1
            if seen[record.source, record.raw] > shown[record.raw]:
                shown[record.raw] += 1
                kept.append(record)
    return kept


def write_text(records: list[Record]) -> bytes:
    """Write lines as they are; only the very last may lack its newline."""
    if not records:
        return b""
    return b"\n".join(record.raw for record in records) + b"\n" * records[-1].ends


def write_ndjson(records: list[Record]) -> bytes:
    """Write one valid JSON object for each line."""
    lines = [(record.time_ns, line) for record in records for line in record.lines]
    return b"".join((line if is_json(line) else wrap(time_ns, line)) + b"\n" for time_ns, line in lines)


def wrap(time_ns: int, line: bytes) -> bytes:
    """Make a JSON object of a line that is none."""
    time = "null" if time_ns == BEFORE_ALL else f'"{time_text(time_ns)}"'
    event = "".join(map(escape, line.decode("utf-8", "replace")))
    return f'{{"timestamp":{time},"event":"{event}"}}'.encode()


def escape(char: str) -> str:
    """Write a character inside a JSON string."""
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return short.get(char) or (f"\\u{ord(char):04x}" if char < " " else char)


def time_text(time_ns: int) -> str:
    """Write a time with six digits, or nine when micros are not enough."""
    seconds, nanos = divmod(time_ns, 10**9)
    second = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    fraction = f"{nanos:09}" if nanos % 1000 else f"{nanos // 1000:06}"
    return f"{second:%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def time_of(line: bytes) -> int | None:
    """Return the time that a line carries, in nanoseconds since 1970."""
    if line.startswith(b"{"):
        return time_in_json(line)
    return parse(AT_START.match(line) or IN_BRACKET.match(line))


def time_in_json(line: bytes) -> int | None:
    """Return the first time under a time key of an object, or what a cut one still says."""
    pairs = pairs_of(line)
    if pairs is None:
        return parse(IN_CUT_JSON.match(line))
    values = [value for key, value in pairs if key in TIME_KEYS and isinstance(value, str)]
    times = [parse(WHOLE_TIME.fullmatch(value.encode("utf-8", "replace"))) for value in values]
    return next((time for time in times if time is not None), None)


def parse(match: re.Match[bytes] | None) -> int | None:
    """Turn a matched time into nanoseconds since 1970; None when there is no such day or hour."""
    if match is None:
        return None
    second, fraction, zone = ((part or b"").decode() for part in match.groups())
    try:
        moment = datetime.strptime(second + (zone or "Z"), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    seconds = since_1970.days * 86_400 + since_1970.seconds
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


def is_json(line: bytes) -> bool:
    """Tell whether a line is a JSON object as RFC 8259 has it, not nested too deep."""
    return pairs_of(line) is not None


def pairs_of(line: bytes) -> list[tuple[str, object]] | None:
    """Return the top-level keys and values of a JSON object, in order, repeats and all; None if it is none."""
    if nesting_of(line) > MAX_NESTING:
        return None
    try:
        value = json.loads(
            line.decode(), object_pairs_hook=Pairs, parse_int=str, parse_float=float, parse_constant=refuse
        )
    except ValueError:  # of JSON or of UTF-8
        return None
    return value.pairs if isinstance(value, Pairs) else None


class Pairs:
    """A JSON object with its keys in order, repeats and all."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self.pairs = pairs


def refuse(name: str) -> None:
    """Refuse what Python takes for a number and JSON does not: NaN, Infinity."""
    raise ValueError(name)


def nesting_of(line: bytes) -> int:
    """Count how deep brackets nest outside of strings; of any bytes, JSON or not."""
    without_strings = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line, flags=re.DOTALL)
    depth = deepest = 0
    for byte in without_strings:
        depth += (byte in b"{[") - (byte in b"}]")
        deepest = max(deepest, depth)
    return deepest


def level_of(line: bytes) -> Level:
    """Return the level that JSON's ``level`` or Airflow 2's prefix names, or that of a crash."""
    if line.startswith(b"Traceback (most recent call last):"):
        return Level.ERROR
    pairs = pairs_of(line)
    if pairs is not None:
        name = next((value for key, value in pairs if key == "level"), "")
    else:
        match = AIRFLOW_2_LEVEL.match(line)
        name = match[1].decode() if match else ""
    return Level.__members__.get(str(name).upper(), Level.UNKNOWN)
