"""Keep the results, and write them as the page that people read.

Holds: ``bench/results/latest.json`` is the one record; ``docs/benchmarks.md`` is made of it and of nothing else. A row
       that was not run again keeps its older figures, with their date and commit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.data import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LATEST = ROOT / "bench" / "results" / "latest.json"
PAGE = ROOT / "docs" / "benchmarks.md"

# A row as it lies in the record: words and numbers only.
Record = dict[str, Any]

HEAD = """\
# Benchmarks

Made by `make bench` (all rows) or `make bench BENCH="seed tail"` (some). Not edited by hand.

Whole commands are timed, each in a process of its own with its start included, its output going to `/dev/null` where
nothing else is said; contestants take turns (A B A B), and a ratio is the median of the ratios of the rounds. Files are
in the page cache where a row does not say *cold*. Peers run in the same session as we do; a slow one runs once.
RSS includes about 8 MiB of the launcher's own, for everybody. What is not there yet, or not installed, is named under
its table.
"""


def load(path: Path) -> Record:
    """Return the record as it is; an empty one at first."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}


def save(path: Path, record: Record) -> None:
    """Write the record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def page(record: Record, order: Iterable[str]) -> str:
    """Return the whole page; rows in the order of the table."""
    rows = [(name, record["rows"][name]) for name in order if name in record["rows"]]
    parts = [HEAD, "## What must be reached\n", *table_of_targets(rows)]
    for name, row in rows:
        parts += [f"\n## {name}: {row['work']}\n", *table_of_contestants(row), *notes(row)]
    parts += ["\n## Machines\n", *machines(rows)]
    return "\n".join(parts) + "\n"


def table_of_targets(rows: Iterable[tuple[str, Record]]) -> list[str]:
    """Return the table of the issue with what was measured."""
    lines = ["| work | figure | must | hope | measured | |", "|---|---|---|---|---|---|"]
    for _, row in rows:
        for target in row["targets"]:
            cells = [row["work"], target["label"], limit(target, "must"), limit(target, "hope")]
            lines.append(f"| {' | '.join(cells)} | {measured(target)} | {target['verdict']} |")
    return lines


def limit(target: Record, which: str) -> str:
    """Show a limit with its direction."""
    value = target[which]
    return "" if value is None else f"{'≥' if target['higher_is_better'] else '≤'} {value:g} {target['unit']}"


def measured(target: Record) -> str:
    """Show a figure, or that there is none."""
    value = target["value"]
    return "-" if value is None else f"**{number(value)} {target['unit']}**"


def number(value: float) -> str:
    """Show three digits, and never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """Show a time in the unit that suits it."""
    if value is None:
        return ""
    return f"{value:.3g} s" if value >= 0.9995 else f"{value * 1e3:.3g} ms"


def table_of_contestants(row: Record) -> list[str]:
    """Return who took how long, and how much memory."""
    if not row["contestants"]:
        return []
    lines = [
        "| who | wall: median (least - most) | of ours | MB/s | CPU | first byte | RSS | heap | output | rounds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in row["contestants"]:
        cells = [
            each["name"],
            f"{seconds(each['wall_s'])} ({seconds(each['least_s'])} - {seconds(each['most_s'])})",
            f"{each['of_ours']:.3g} ×" if each["of_ours"] else "",
            number(row["bytes"] / each["wall_s"] / 1e6) if row["bytes"] and each["whole"] else "",
            seconds(each["cpu_s"]),
            seconds(each["first_byte_s"]),
            mib(each["rss_bytes"]),
            mib(each["anonymous_bytes"]),
            f"{each['out_bytes']:,} B" if each["out_bytes"] is not None and each["whole"] else "",
            str(each["rounds"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def mib(size: int | None) -> str:
    """Show memory."""
    return "" if size is None else f"{number(size / (1 << 20))} MiB"


def notes(row: Record) -> list[str]:
    """Return what was measured on, by what, and who is missing."""
    log = f" on {row['bytes'] / 1e6:,.0f} MB in {row['files']} files ({row['log']})" if row["bytes"] else ""
    lines = [f"\nMeasured {row['date']} at commit {row['machine']['commit']}{log}."]
    lines += [f"Left out: {name} ({why})." for name, why in row["absent"].items()]
    return [*lines, "\n```sh", *row["commands"], "```"]


def machines(rows: Iterable[tuple[str, Record]]) -> list[str]:
    """Return each machine that figures of this page come from."""
    seen: dict[str, list[str]] = {}
    for name, row in rows:
        words = "; ".join(f"{key}: {value}" for key, value in row["machine"].items() if key != "commit")
        seen.setdefault(words, []).append(name)
    return [f"- {words} ({', '.join(names)})" for words, names in seen.items()]
