"""Make logs for demos, tests and benchmarks: the same plan gives the same bytes, on every machine, for ever.

Holds: one block at a time. The core makes the bytes; here are only the names of files, and the writing.
Plan:  one file a source, one after the other; a source never needs another to be made.

What can be relied on: every source is sorted by time; each message carries the number of its line, so no two records
are alike, and a merge with dedup gives the numbers 0, 1, 2, … in that order (where the format shows micros and nothing
ties); one record in 2,000 is an error; ``NEEDLE`` stands in line ``NEEDLE_FIRST`` and every ``NEEDLE_EVERY`` after.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from logflume import _core
from logflume.abc import BLOCK_BYTES
from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDLE = b"needle-7f3a"
NEEDLE_FIRST = 2_000
NEEDLE_EVERY = 1_000_000
SEED_LINES = 8_670_000
"""Lines of the default log: as many as the log had that exhausted Airflow's API server, and as long."""


class Pattern(str, enum.Enum):
    """Which source a line goes to."""

    INTERLEAVED = "interleaved"  # a random one
    RUNS = "runs"  # bursts of 1,000 lines, one source after the other
    DISJOINT = "disjoint"  # one source after the other, once
    SKEWED = "skewed"  # a random one, but the first has ten times the lines of any other
    LATE_START = "late-start"  # a random one, but the last is empty until the others have half


class LineFormat(str, enum.Enum):
    """What a line looks like."""

    JSON = "json"  # Airflow 3
    PLAIN = "plain"  # Airflow 2, with tracebacks
    KUBERNETES = "kubernetes"  # a container runtime's


class Layout(str, enum.Enum):
    """What the files are called."""

    FLAT = "flat"  # source-0.log, source-1.log, …
    AIRFLOW = "airflow"  # dag_id=…/run_id=…/task_id=…/attempt=1.log, and trigger logs beside it


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make. Without ``lines`` and ``bytes`` it is the seed log: 8,670,000 lines, 830 MB.

    Attributes:
        lines: distinct lines, exactly; copies come on top.
        bytes: size of all files together, within 1 % from a few megabytes on. Give this or ``lines``.
        sources: number of files.
        pattern: which file a line goes to.
        format: what a line looks like.
        duplicates: fraction of records that stand in another file too, byte for byte.
        ties: fraction of records that have the time of the line before.
        seed: another seed gives another log.
        start_ns: time just before the first line; whole micros count.
    """

    lines: int | None = None
    bytes: int | None = None
    sources: int = 3
    pattern: Pattern = Pattern.INTERLEAVED
    format: LineFormat = LineFormat.JSON
    duplicates: float = 0.0
    ties: float = 0.0
    seed: int = 0
    start_ns: int = 1_732_106_096_000_000_000  # 2024-11-20T12:34:56Z


def write_log(
    folder: Path,
    plan: Plan | None = None,
    *,
    layout: Layout = Layout.FLAT,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write one file for each source under ``folder`` and return them in source order.

    Files of the same names are overwritten; others in the folder stay. ``progress`` is told, after each block,
    the bytes written so far and how many are expected (within 1 %).

    Raises:
        UsageError: a part of the plan is out of its range; nothing was written.
        OSError: a file could not be written; what was written before stays.

    Order:  each file is sorted by time.
    Memory: one block.
    """
    plan = plan or Plan()
    generator = _generator(plan)
    paths = [folder / _name(layout, source) for source in range(plan.sources)]
    done_bytes = 0
    for source, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while block := generator.next_block(source, BLOCK_BYTES):
                file.write(block)
                done_bytes += len(block)
                if progress:
                    progress(done_bytes, generator.expected_bytes)
    return paths


def _generator(plan: Plan) -> _core.Generator:
    lines = SEED_LINES if plan.lines is None and plan.bytes is None else plan.lines
    try:
        return _core.Generator(
            lines=lines,
            bytes=plan.bytes,
            sources=plan.sources,
            pattern=plan.pattern.value,
            format=plan.format.value,
            duplicates=plan.duplicates,
            ties=plan.ties,
            seed=plan.seed,
            start_us=plan.start_ns // 1_000,
        )
    except (ValueError, OverflowError) as error:
        raise UsageError(f"this log cannot be made: {error}") from error


def _name(layout: Layout, source: int) -> Path:
    if layout is Layout.FLAT:
        return Path(f"source-{source}.log")
    attempt = Path("dag_id=demo", "run_id=manual__2024-11-20T12:34:56+00:00", "task_id=load", "attempt=1.log")
    return attempt.with_name(f"attempt=1.log.trigger.{source}.log") if source else attempt
