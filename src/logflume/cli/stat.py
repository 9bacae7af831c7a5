"""``logflume stat``: what a log is made of.

Holds: counts, and an index entry for each block, of which there are some ENTRIES, or more of a log over a gigabyte: the
       index is less than a thousandth of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from logflume import _core
from logflume.abc import BLOCK_BYTES
from logflume.cli import FAILED
from logflume.cli import options as ask
from logflume.cli.asked import Asked
from logflume.cli.reading import gaps_of, merging, total_bytes
from logflume.cli.screen import Out, visible, wants_colours
from logflume.cli.table import table
from logflume.cli.timeline import Timeline, draw, paint, read_timeline
from logflume.moments import show_moment
from logflume.records import Level, Output
from logflume.seek import UNTIMED_NS
from logflume.sizes import show_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume._core import Counts, Stats
    from logflume.merge import Merged
    from logflume.records import Gap, SourceReport

ENTRIES = 4096
ENTRY_BYTES = 64 * 1024
"""What lies between two entries when the size of a source is not known."""

ONLY_WHEN_MARKED = 1 << 62
"""As a distance between entries: no entry but those that are asked for."""


@click.command()
@ask.paths()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@ask.merging
@ask.reaching
def command(as_json: bool, **answers: object) -> int:
    """Show what a log is made of: its sources, levels, and when it was written.

    \b
    logflume stat attempt=1.log attempt=1.log.trigger.1.log
    logflume stat --json logs/ | jq .total

    late: lines that are older than one before them in their source; they keep their place.
    duplicates: records that another source holds, too; cat prints them once.
    """
    asked = Asked.of(answers)
    if asked.is_remote:
        from logflume.cli import remote

        return remote.stat(asked, as_json=as_json)
    return stat(asked, as_json=as_json)


def stat(asked: Asked, *, as_json: bool) -> int:
    """Print the table or the object; return the exit code."""
    log = asked.log()
    sources = log.first_sources()
    index = _core.Index(len(sources))
    size = total_bytes(sources)
    block_bytes = ENTRY_BYTES if size is None else min(max(1, size // ENTRIES), BLOCK_BYTES)
    how = asked.how(output=Output.TEXT, levels=True)
    first_ns = None
    with merging(
        log, sources, how, with_bar=not asked.quiet, block_bytes=block_bytes, index_every_bytes=ONLY_WHEN_MARKED
    ) as merged:
        for _ in merged:
            merged.mark_index()
            index.extend(merged.take_index())
            first_ns = index.last()["ts"] if first_ns in (None, UNTIMED_NS) else first_ns
    timeline = None if first_ns in (None, UNTIMED_NS) else read_timeline(index, first_ns)
    gaps = gaps_of(log, merged)
    if as_json:
        text = json.dumps(_as_json(merged, log.missing, timeline), indent=2, ensure_ascii=False)
    else:
        text = "\n".join(_as_text(merged, log.missing, timeline, colours=wants_colours(asked.color)))
    Out().write_text(text + "\n")
    return FAILED if gaps else 0


# for people


_HEAD = ("source", "bytes", "lines", "first", "last", "late", "gaps")
_RIGHT = (False, True, True, False, False, True, True)


def _as_text(merged: Merged, missing: Sequence[Gap], timeline: Timeline | None, *, colours: bool) -> list[str]:
    stats = merged.stats()
    reports = merged.reports()
    pairs = zip(reports, stats["sources"], strict=True)
    rows = [_row(report.name, counts, len(report.gaps)) for report, counts in pairs]
    rows += [(visible(gap.source), "-", "-", "-", "-", "-", "1") for gap in missing]
    if len(rows) > 1:
        rows.append(_row("total", stats, sum(len(report.gaps) for report in reports) + len(missing)))
    facts = {"duplicates": str(stats["duplicates"]), "levels": _levels(stats["levels"], colours=colours)}
    lines = [*table([_HEAD, *rows], _RIGHT), "", *(f"{name:<11} {fact}" for name, fact in facts.items())]
    if timeline:
        names = ["timeline", "", ""]
        lines += [f"{name:<11} {line}" for name, line in zip(names, draw(timeline, colours=colours), strict=False)]
    return lines


def _row(name: str, counts: Counts, gaps: int) -> tuple[str, ...]:
    first, last = (None if ts_ns is None else show_moment(ts_ns) for ts_ns in (counts["first_ns"], counts["last_ns"]))
    sizes = (show_size(counts["bytes"]), str(counts["lines"]))
    return (visible(name), *sizes, first or "-", last or "-", str(counts["late"]), str(gaps))


def _levels(counts: Sequence[int], *, colours: bool) -> str:
    shown = [(level, f"{level.name.lower()} {counts[level]}") for level in reversed(Level) if counts[level]]
    return ", ".join(paint(text, level) if colours else text for level, text in shown) or "-"


# for programs


def _as_json(merged: Merged, missing: Sequence[Gap], timeline: Timeline | None) -> dict[str, Any]:
    stats = merged.stats()
    pairs = zip(merged.reports(), stats["sources"], strict=True)
    return {
        "sources": [_source_as_json(report, counts) for report, counts in pairs],
        "missing": [asdict(gap) for gap in missing],
        "total": {**_counts_as_json(stats), "duplicates": stats["duplicates"]},
        "timeline": None if timeline is None else _timeline_as_json(timeline),
    }


def _source_as_json(report: SourceReport, counts: Counts) -> dict[str, Any]:
    gaps = [asdict(gap) for gap in report.gaps]
    return {"name": report.name, "state": report.state, **_counts_as_json(counts), "gaps": gaps}


def _counts_as_json(counts: Counts | Stats) -> dict[str, Any]:
    times = {"first": counts["first_ns"], "last": counts["last_ns"]}
    return {
        "bytes": counts["bytes"],
        "records": counts["records"],
        "lines": counts["lines"],
        "late": counts["late"],
        **{name: None if ts_ns is None else show_moment(ts_ns, 9) for name, ts_ns in times.items()},
        "levels": _levels_as_json(counts["levels"]),
    }


def _levels_as_json(counts: Sequence[int]) -> dict[str, int]:
    return {level.name.lower(): counts[level] for level in Level}


def _timeline_as_json(timeline: Timeline) -> dict[str, Any]:
    steps = [{"lines": step.lines, "levels": _levels_as_json(step.levels)} for step in timeline.steps]
    return {"start": show_moment(timeline.start_ns, 9), "step_ns": timeline.step_ns, "steps": steps}
