"""What becomes of lines on their way to sinks: ``[outgoing]`` of a file of settings.

Holds: a block and what becomes of it. What is on the disk stays as it came; only what leaves is changed.
Plan:  the core does it (``_core.Outgoing``), with patterns in linear time. It tells where each line ends before and
       after, so that a sink's place stays right to the line. ``WholeRecords`` keeps the lines of a record in one block.
Order: as written. Loss: what ``sample`` and ``lines_per_s`` leave out, counted.
"""

from __future__ import annotations

import bisect
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logflume import _core
from logflume.kinds import OneOf, Pairs, Text, Whole
from logflume.settings import BadSetting, required, setting
from logflume.ship.lines import WholeLines

if TYPE_CHECKING:
    from collections.abc import Mapping

HOLD_S = 1.0
"""How long the last record is held back, for lines that belong to it."""

MAX_HELD_BYTES = 256 * 1024
"""A longer one is passed on in pieces."""

_PATTERN = Text("a regular expression, as of the crate regex")


@dataclass(frozen=True, kw_only=True)
class OutgoingTable:
    """What becomes of lines on their way to all sinks; the files stay as they are."""

    format: str = setting(
        OneOf(("lines", "records")),
        "lines",
        "`records`: a line with a time and those without one that follow it become one JSON object, with time, level "
        "and tags; a line that is an object gets the tags.",
    )
    tags: Mapping[str, str] | None = setting(
        Pairs(), None, "Added to each object, beside `child` and `host`; with `records` only."
    )
    lines_per_s: int | None = setting(
        Whole(1, 1_000_000_000),
        None,
        "Of each stream no more lines leave than so many for each second in which they came; the first of a burst do, "
        "the others are left out, counted.",
    )
    count: Mapping[str, str] | None = setting(
        Pairs(), None, "Names and patterns: how many lines match is in /metrics, by name."
    )


@dataclass(frozen=True, kw_only=True)
class Redact:
    """A secret to be covered."""

    pattern: str = required(_PATTERN, "What it looks like, within one line.")
    replacement: str = setting(Text(), "***", "What is there instead; `$1` stands for the first group.")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Records to be left out, but for a few; how many is counted."""

    pattern: str = required(_PATTERN, "What the first line of such a record looks like.")
    keep_one_in: int = required(Whole(2, 1_000_000_000), "Of so many one is kept, the first.")


@dataclass(frozen=True)
class Rules:
    """All that ``[outgoing]`` says."""

    table: OutgoingTable = field(default_factory=OutgoingTable)
    redact: tuple[Redact, ...] = ()
    sample: Sample | None = None

    @property
    def as_records(self) -> bool:
        """Whether records become objects."""
        return self.table.format == "records"

    def stage(self, tags: Mapping[str, str]) -> Stage:
        """Begin a stream of which these tags are known."""
        inside = json.dumps({**tags, **(self.table.tags or {})}, ensure_ascii=False)[1:-1]
        names = list(self.table.count or {})
        core = _core.Outgoing(
            redact=[(each.pattern, each.replacement) for each in self.redact],
            count=[(self.table.count or {})[name] for name in names],
            sample=None if self.sample is None else (self.sample.pattern, self.sample.keep_one_in),
            lines_per_s=self.table.lines_per_s,
            as_records=inside if self.as_records else None,
            reference_ns=time.time_ns(),
        )
        return Stage(core, names, WholeRecords(core) if self.as_records else WholeLines())


def check_pattern(pattern: str, where: str, key: str) -> None:
    """See that a pattern can be used.

    Raises:
        BadSetting: it cannot.
    """
    try:
        _core.Outgoing(redact=[], count=[pattern])
    except ValueError as error:
        reason, position = error.args
        at = "" if position is None else f" at {position}"
        raise BadSetting(where, key, f"bad pattern{at}: {reason}") from None


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a block; ``size_before`` tells which part of the block a part of it was."""

    block: bytes
    ends: memoryview
    ends_before: memoryview

    def size_before(self, size: int, whole: int) -> int | None:
        """Return how many bytes of the block became the first ``size``; None when no whole line is in these."""
        if size >= len(self.block):
            return whole
        lines = bisect.bisect_right(self.ends, size)
        return self.ends_before[lines - 1] if lines else None


class Stage:
    """Applies rules to one stream on its way to one sink; one thread uses it."""

    def __init__(self, core: _core.Outgoing, names: list[str], lines: WholeLines) -> None:
        self.lines = lines
        self._core = core
        self._names = names

    def apply(self, block: bytes, arrived_ns: int) -> Changed | None:
        """Return what becomes of whole lines; None when they stay as they are."""
        applied = self._core.apply(block, arrived_ns)
        if applied is None:
            return None
        changed, ends, ends_before = applied
        return Changed(changed, memoryview(ends).cast("I"), memoryview(ends_before).cast("I"))

    @property
    def redacted(self) -> int:
        """How many places were covered."""
        return self._core.redacted

    @property
    def left_out(self) -> int:
        """How many lines were left out."""
        return self._core.left_out

    @property
    def counts(self) -> dict[str, int]:
        """How many lines matched each pattern that is counted."""
        return dict(zip(self._names, self._core.counts, strict=True))


class WholeRecords(WholeLines):
    """Holds the last record back, for HOLD_S or until the next one begins: more of its lines may come."""

    def __init__(self, core: _core.Outgoing) -> None:
        super().__init__()
        self._core = core
        self._held_since_s: float | None = None

    def feed(self, block: bytes) -> bytes:
        """Return the whole records there are now."""
        whole = super().feed(block)
        start = self._core.last_record_start(whole)
        if start is None or len(whole) - start > MAX_HELD_BYTES:
            self._held_since_s = None
            return whole
        self.rest = whole[start:] + self.rest
        self._held_since_s = time.monotonic()
        return whole[:start]

    def take_ripe(self) -> bytes:
        """Return what was held long enough, up to its last whole line."""
        if self._held_since_s is None or time.monotonic() - self._held_since_s < HOLD_S:
            return b""
        self._held_since_s = None
        end = self.rest.rfind(b"\n") + 1
        ripe, self.rest = self.rest[:end], self.rest[end:]
        return ripe
