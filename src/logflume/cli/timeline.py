"""When a log's lines were written, and how serious they were: counts in steps of time, and a line of bars.

Holds: MAX_STEPS counts. What is between two entries of the index counts for the step in which it ends.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.moments import SECOND_NS, show_moment, show_span
from logflume.records import Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logflume._core import Index

MAX_STEPS = 60

_BARS = " ▁▂▃▄▅▆▇█"
_RESET = "\x1b[0m"
_COLOURS = {
    Level.UNKNOWN: "\x1b[32m",
    Level.DEBUG: "\x1b[32m",
    Level.INFO: "\x1b[32m",
    Level.WARNING: "\x1b[33m",
    Level.ERROR: "\x1b[31m",
    Level.CRITICAL: "\x1b[31m",
}
_SERIOUS = (Level.ERROR, Level.CRITICAL)

_ROUND_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_DAY_S = 86_400


@dataclass(frozen=True)
class Step:
    """What was written during one step: lines, and records by level."""

    lines: int
    levels: Sequence[int]

    @property
    def worst(self) -> Level:
        """The highest level there is; UNKNOWN for none."""
        return max((level for level in Level if self.levels[level]), default=Level.UNKNOWN)


@dataclass(frozen=True)
class Timeline:
    """Steps of equal length from ``start_ns`` on."""

    start_ns: int
    step_ns: int
    steps: Sequence[Step]


def read_timeline(index: Index, first_ns: int) -> Timeline:
    """Count a log whose index is given, from ``first_ns`` on, in round steps."""
    last_ns = index.last()["ts"]
    step_ns = next(step for step in _round_steps() if last_ns // step - first_ns // step < MAX_STEPS)
    start_ns = first_ns - first_ns % step_ns
    count = (last_ns - start_ns) // step_ns + 1
    edges = [index.before_time(min(start_ns + step_ns * number, 2**63 - 1)) for number in range(count)]
    edges.append(index.last())
    steps = [
        Step(after["lines"] - before["lines"], [b - a for a, b in zip(before["levels"], after["levels"], strict=True)])
        for before, after in itertools.pairwise(edges)
    ]
    return Timeline(start_ns, step_ns, steps)


def _round_steps() -> Iterator[int]:
    """Yield lengths that people count in, ever longer, from a millisecond on."""
    for power in range(6, 9):
        yield from (factor * 10**power for factor in (1, 2, 5))
    yield from (seconds * SECOND_NS for seconds in _ROUND_S)
    days = 1
    while True:
        yield from (days * factor * _DAY_S * SECOND_NS for factor in (1, 2, 5))
        days *= 10


def draw(timeline: Timeline, *, colours: bool) -> list[str]:
    """Return the bars, under them a mark at each step with errors if there are any, and what the steps are."""
    highest = max(step.lines for step in timeline.steps)
    bars = "".join(_bar(step, highest, colours=colours) for step in timeline.steps)
    marks = "".join("!" if step.worst in _SERIOUS else " " for step in timeline.steps)
    legend = (
        f"each step {show_span(timeline.step_ns)} from {show_moment(timeline.start_ns)}, most lines in one: {highest}"
    )
    return [bars, *([f"{marks.rstrip()}  ! has errors"] if "!" in marks else []), legend]


def _bar(step: Step, highest: int, *, colours: bool) -> str:
    bar = _BARS[-(-step.lines * (len(_BARS) - 1) // highest)] if highest else _BARS[0]
    return paint(bar, step.worst) if colours and step.lines else bar


def paint(text: str, level: Level) -> str:
    """Return ``text`` in the colour of a level."""
    return f"{_COLOURS[level]}{text}{_RESET}"
