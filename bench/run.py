"""Run the benchmarks: ``python -m bench.run [--scale 0.1] [--quick] [row …]``, or ``make bench``.

Holds: a row that cannot run yet says so and the others go on; only figures at full scale reach the record and the docs.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shlex
import sys
from typing import TYPE_CHECKING

from bench import machine, report
from bench.data import BUILD, ROOT, NotThereYet
from bench.measure import Contestant, Runs, alternate
from bench.rows import OURS, ROWS, Input, Row, Target, input_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROUNDS = 5
QUICK_SCALE = 0.05
QUICK_ROUNDS = 3


def main() -> int:
    """Measure, print, and keep what was measured at full scale."""
    options = parse(sys.argv[1:])
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    scale, rounds = (QUICK_SCALE, QUICK_ROUNDS) if options.quick else (options.scale, options.rounds)
    full = scale == 1
    path = report.LATEST if full else BUILD / "results.json"
    record = report.load(path)
    for row in rows:
        result = measure(row, scale, rounds)
        record["rows"][row.name] = result
        report.save(path, record)
        show(row, result)
        if row.log and row.log.fleeting and row is last_on(row, rows):
            row.log.scaled(scale).remove()
    text = report.page(record, [row.name for row in ROWS])
    page = report.PAGE if full else BUILD / "benchmarks.md"
    page.write_text(text, encoding="utf-8")
    print(f"\nwritten to {page.relative_to(ROOT)}" + ("" if full else "; docs/benchmarks.md is kept for full scale"))
    return 0


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure logflume and its peers.")
    parser.add_argument("rows", nargs="*", choices=[[], *(row.name for row in ROWS)], metavar="row")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the size of every log")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help=f"scale {QUICK_SCALE}, {QUICK_ROUNDS} rounds")
    return parser.parse_args(words)


def last_on(row: Row, rows: Sequence[Row]) -> Row:
    """Return the last of the rows that needs the log of this one."""
    return [each for each in rows if each.log == row.log][-1]


def measure(row: Row, scale: float, rounds: int) -> report.Record:
    """Return one row as it goes into the record."""
    say(f"{row.name}: making its log")
    log, contestants, results = Input((), 0), list[Contestant](), dict[str, Runs]()
    try:
        log = input_of(row, scale)
        contestants = row.contestants(log)
        results, absent = alternate(contestants, rounds, lambda text: say(f"{row.name}: {text}"))
    except NotThereYet as error:
        absent = {OURS: str(error)}
    say("")
    return {
        "work": row.work,
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "machine": machine.describe(),
        "bytes": log.size,
        "files": len(log.files),
        "log": f"{row.log.scaled(scale).lines:,} lines, {row.log.format}, {row.log.pattern}" if row.log else "",
        "targets": [judge(target, results, log) for target in row.targets],
        "contestants": [contestant_record(runs, results, whole=row.whole) for runs in results.values()],
        "absent": absent,
        "commands": [shown(each, log) for each in contestants],
    }


def judge(target: Target, results: Mapping[str, Runs], log: Input) -> report.Record:
    """Return one figure and whether it keeps its limits; no figure where a contestant is missing."""
    try:
        value = target.figure(results, log)
    except KeyError:
        value = None
    return {
        "label": target.label,
        "unit": target.unit,
        "must": target.must,
        "hope": target.hope,
        "higher_is_better": target.higher_is_better,
        "value": value,
        "verdict": "not there yet" if value is None else target.verdict(value),
    }


def contestant_record(runs: Runs, results: Mapping[str, Runs], *, whole: bool) -> report.Record:
    """Return what one contestant cost."""
    walls = [run.wall_s for run in runs.runs]
    ours = results.get(OURS)
    first = [run.first_byte_s for run in runs.runs if run.first_byte_s is not None]
    heaps = [run.anonymous_bytes for run in runs.runs if run.anonymous_bytes is not None]
    return {
        "name": runs.name,
        "wall_s": runs.wall_s,
        "least_s": min(walls),
        "most_s": max(walls),
        "of_ours": runs.wall_s / ours.wall_s if ours and ours is not runs else None,
        "cpu_s": runs.median(lambda run: run.cpu_s),
        "first_byte_s": sorted(first)[len(first) // 2] if first else None,
        "rss_bytes": runs.rss_bytes,
        "anonymous_bytes": max(heaps, default=None),
        "out_bytes": runs.out_bytes,
        "rounds": len(walls),
        "whole": whole,
    }


def shown(contestant: Contestant, log: Input) -> str:
    """Show a command as one would type it, its many files as FILES."""
    files = set(map(str, log.files))
    words = [str(word).replace(f"{ROOT}/", "") for word in contestant.argv if str(word) not in files]
    settings = [f"{key}={value}" for key, value in contestant.env.items() if key == "LC_ALL"]
    return " ".join([*settings, *map(shlex.quote, words), *(["FILES"] if files else [])])


def show(row: Row, result: report.Record) -> None:
    """Print one row while others are still running."""
    print(f"\n{row.name}: {row.work}")
    for line in report.table_of_contestants(result)[2:]:
        print("  " + line.strip("| "))
    for target in result["targets"]:
        limits = ", ".join(
            f"{which} {report.limit(target, which)}" for which in ("must", "hope") if target[which] is not None
        )
        print(f"  {target['label']}: {report.measured(target).strip('*')} ({limits}) {target['verdict']}")
    for name, why in result["absent"].items():
        print(f"  left out: {name} ({why})")


def say(text: str) -> None:
    """Tell what is running, on a terminal only."""
    if sys.stderr.isatty():
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\x1b[K{text[: columns - 1]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
