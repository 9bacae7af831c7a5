"""Small random logs with everything that makes order hard, and what their merge must be by the oracle.

Holds: equal luck gives equal logs. Times are whole seconds, so that many are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

from logflume.records import Level, Output
from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN = datetime(2024, 11, 20, 12, 34, 56, tzinfo=timezone.utc)
BEGIN_NS = 1_732_106_096 * 10**9
LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass
class Odd:
    """How often something odd is done, of 100 records."""

    late: int = 0
    twice: int = 10
    shared: int = 10
    traceback: int = 10
    untimed_head: int = 50
    unfinished: int = 50


@dataclass
class RandomLog:
    """Sources that grow; times that only rise, but for late ones."""

    luck: Random
    sources: int
    odd: Odd = field(default_factory=Odd)
    second: int = 0
    number: int = 0
    rests: dict[int, bytes] = field(default_factory=dict)  # what the writer of a source has not written yet

    def first(self, records: int) -> list[bytearray]:
        """Make sources with about so many records."""
        head = b'no time yet\n\n{"level":"error","event":"nor here"}\n'
        made = [bytearray(head if self._chance(self.odd.untimed_head) else b"") for _ in range(self.sources)]
        self.grow(made, records)
        return made

    def grow(self, made: Sequence[bytearray], records: int) -> None:
        """Add about so many records; of some sources the last one is not whole until they grow again."""
        last = {}
        for source in made:
            source.extend(self.rests.pop(id(source), b""))
        for _ in range(records):
            record = self._record()
            writers = [self.luck.choice(made)] * (2 if self._chance(self.odd.twice) else 1)
            if self._chance(self.odd.shared):
                writers.append(self.luck.choice(made))
            for writer in writers:
                writer.extend(record)
                last[id(writer)] = record
        for source in made:
            if id(source) in last and self._chance(self.odd.unfinished):
                self.rests[id(source)] = rest = self._rest(last[id(source)])
                del source[-len(rest) :]

    def _rest(self, record: bytes) -> bytes:
        first_line = record.index(b"\n")
        # A line is cut where its level is not yet begun.
        cuts = [record.index(b'"level"') if record.startswith(b"{") else 5, *range(first_line, len(record))]
        return record[self.luck.choice(cuts) :]

    def _chance(self, percent: int) -> bool:
        return self.luck.randrange(100) < percent

    def _record(self) -> bytes:
        self.second += self.luck.choice((0, 0, 1, 3))
        self.number += 1
        back = self.luck.randrange(20) if self._chance(self.odd.late) else 0
        time = f"{BEGIN + timedelta(seconds=self.second - back):%Y-%m-%dT%H:%M:%S}"
        level = self.luck.choice(LEVELS)
        if self.luck.random() < 0.5:
            record = f'{{"timestamp":"{time}Z","level":"{level.lower()}","event":"line {self.number}"}}\n'
        else:
            record = f"[{time}.000+0000] {{task.py:7}} {level} - line {self.number}\n"
        if self._chance(self.odd.traceback):
            record += 'Traceback:\n  File "x.py"\n\n' * self.luck.randrange(1, 3)
        return record.encode()


def random_log(seed: int, records: int = 60, *, odd: Odd | None = None) -> list[bytes]:
    """Make the sources of a log at once."""
    luck = Random(seed)
    return [bytes(source) for source in RandomLog(luck, luck.randrange(1, 5), odd or Odd()).first(records)]


@dataclass
class Whole:
    """The merge of whole sources by the oracle: its records, and the line at which each begins."""

    records: list[oracle.Record]

    def __post_init__(self) -> None:
        self.begins = [0]
        for record in self.records:
            self.begins.append(self.begins[-1] + len(record.lines))

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return self.begins[-1]

    def written(self, output: Output) -> list[bytes]:
        """Return the lines with their newlines."""
        written = oracle.write_text(self.records) if output is Output.TEXT else oracle.write_ndjson(self.records)
        lines = written.split(b"\n")
        return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])

    def line_at_time(self, ts_ns: int) -> int:
        """Return the line at which the first record of that time or later begins, or the end."""
        times = [record.time_ns for record in self.records]
        return self.begins[next((n for n, time_ns in enumerate(times) if time_ns >= ts_ns), len(times))]

    def lines_of(self, min_level: Level) -> list[int]:
        """Return the lines at which records of that level or higher begin."""
        return [line for line, record in zip(self.begins, self.records, strict=False) if record.level >= min_level]


def whole(sources: Sequence[bytes], *, dedup: bool = True) -> Whole:
    """Merge whole sources."""
    everything = [record for number, source in enumerate(sources) for record in oracle.records_of(number, source)]
    everything.sort(key=lambda record: (record.time_ns, record.source))
    return Whole(oracle.drop_repeats(everything) if dedup else everything)
