"""Keep what was measured beside Airflow, and write the page that people read.

Holds: ``bench/results/airflow.json`` is the one record; ``docs/airflow-benchmarks.md`` is made of it and of nothing
       else. A part that was not run again keeps its older figures, with their date and commit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.ab.server import WHO
from bench.data import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORD = ROOT / "bench" / "results" / "airflow.json"
PAGE = ROOT / "docs" / "airflow-benchmarks.md"
MIB = 1 << 20

Figures = dict[str, float]
Record = dict[str, dict[str, dict[str, Any]]]
"""By part, then by who, then ``rows`` (what was asked, and its figures) and ``about`` (machine, commit, date)."""

HEAD = """\
# Beside Airflow's own reader

Made by `python -m bench.airflow_ab`; not edited by hand. It starts the same API server of Airflow 3.3.2 (SQLite, one
worker) for each part, with Airflow's own reader (*stock*), with logflume, and with its handler but not its plugin
(*handler*), on the same rows and files, which are in the page cache. The client writes the answer to memory, and
looks at its lines afterwards. *First byte* is the first of a line of the log, after what is said about it. *Growth*
is the most anonymous memory that the API server's processes had beyond what they had before; *temporary* the most
bytes of temporary files that they had open, both looked at every 50 ms. *Late* lines come after one with a later
time; *lost* ones are in the files and not in the answer. Each once, on a machine where compilers ran now and then:
look at the CPU time of the API server beside elapsed. In the stock parts of 2026-11-21 the plugin of logflume was
loaded, too; it looked at the headers of each request, and did nothing else.
"""

SEEDS = """
## What the seeds measured

On other machines, so for orientation only: the 830 MB log read as one string took 3-4 GB and about 60 s; the 415 MB
of a running task took +2,093.9 MiB of anonymous memory, 2,964.4 MiB in all and 33.2 s materialised; +179.9 MiB,
1,193.4 MiB and 19.4 s as a stream (of a change that is proposed to Airflow).
"""

TITLES = {
    "running": "A running task's log, through its executor",
    "finished": "The finished log of the seed, as NDJSON",
    "quarter": "A quarter of it, as NDJSON",
    "tenfold": "Ten times as much, as NDJSON",
    "gzip": "A quarter of it, as NDJSON, compressed as browsers ask for it",
    "repeats": "Lines that stand three times",
    "json": "A whole log through the JSON route",
    "poll": "A poll with a token, nothing being new",
    "version": "Another request while the log streams",
    "tabs": "Tasks that call the Execution API while their logs are followed",
    "hangup": "A client that hangs up",
}


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


NOTES = {
    "poll": "Of logflume's, its handler takes 0.75 ms (200 polls in one process, the same files); the rest is "
    "Airflow's own: signing in, its queries, its answer.",
    "finished": "Stock takes some six minutes for it, and is measured with a quarter of it.",
}

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "seconds": ("elapsed", _time),
    "first_byte_s": ("first byte", _time),
    "cpu_s": ("CPU", _time),
    "anon_growth_bytes": ("growth", lambda value: f"{value / MIB:,.0f} MiB"),
    "rss_bytes": ("peak RSS", lambda value: f"{value / MIB:,.0f} MiB"),
    "temporary_bytes": ("temporary", lambda value: f"{value / 1e6:,.0f} MB"),
    "processes": ("processes", lambda value: f"{value:.0f}"),
    "answer_bytes": ("answer", lambda value: f"{value / 1e6:,.0f} MB"),
    "lines": ("lines", lambda value: f"{value:,.0f}"),
    "late": ("late", lambda value: f"{value:,.0f}"),
    "lost": ("lost", lambda value: f"{value:,.0f}"),
    "read_bytes": ("read for it, database and all", lambda value: f"{value / 1000:,.1f} kB"),
    "task_route_s": ("the route of the task itself, beside", _time),
    "median_s": ("median", _time),
    "p99_s": ("p99", _time),
    "most_s": ("most", _time),
    "calls": ("calls", lambda value: f"{value:,.0f}"),
    "answers": ("pieces or answers to the tabs", lambda value: f"{value:,.0f}"),
    "failed": ("failed", lambda value: f"{value:,.0f}"),
    "gone_after_s": ("hung up after", _time),
    "stopped_s": ("worked on for", _time),
}


@dataclass(frozen=True)
class Target:
    """What must be reached, and how it is found in the record."""

    what: str
    must: float
    hope: float | None
    unit: str
    figure: Callable[[Record], float]
    at_least: bool = False

    def row(self, record: Record) -> str:
        """Return its line of the table."""
        sign = "≥" if self.at_least else "≤"
        hope = "" if self.hope is None else f"{sign} {self.hope:g} {self.unit}"
        try:
            value = self.figure(record)
        except KeyError:
            return f"| {self.what} | {sign} {self.must:g} {self.unit} | {hope} | - | not measured |"
        verdict = (
            "hope met" if self._meets(value, self.hope) else "met" if self._meets(value, self.must) else "**missed**"
        )
        return f"| {self.what} | {sign} {self.must:g} {self.unit} | {hope} | {value:,.3g} {self.unit} | {verdict} |"

    def _meets(self, value: float, limit: float | None) -> bool:
        return limit is not None and (value >= limit if self.at_least else value <= limit)


def _ours(record: Record, part: str, figure: str) -> list[float]:
    return [row[figure] for row in record[part]["logflume"]["rows"].values() if figure in row]


def _most(figure: str, *parts: str, scale: float = 1) -> Callable[[Record], float]:
    return lambda record: max(value for part in parts for value in _ours(record, part, figure)) * scale


def _first_byte_ms(record: Record) -> float:
    """Return the latest first byte where the log did not have to be made first."""
    rows = [row for part in (*_NDJSON, "tenfold") for row in record[part]["logflume"]["rows"].items()]
    return float(max(figures["first_byte_s"] for label, figures in rows if HOLDS not in label)) * 1e3


def _times_faster(part: str) -> Callable[[Record], float]:
    def ratio(record: Record) -> float:
        (stock,) = record[part]["stock"]["rows"].values()
        (ours,) = record[part]["logflume"]["rows"].values()
        return float(stock["seconds"] / ours["seconds"])

    return ratio


def _against_four_quarters(record: Record) -> float:
    """Return how much faster the whole log is than four times stock's quarter: it takes stock some six minutes."""
    (stock,) = record["quarter"]["stock"]["rows"].values()
    (ours,) = record["finished"]["logflume"]["rows"].values()
    return float(4 * stock["seconds"] / ours["seconds"])


def _p99_ms(kind: str) -> Callable[[Record], float]:
    def figure(record: Record) -> float:
        rows = record["tabs"]["logflume"]["rows"].items()
        return float(max(figures["p99_s"] for label, figures in rows if kind in label)) * 1e3

    return figure


def _of_stock(part: str, figure: str) -> Callable[[Record], float]:
    def share(record: Record) -> float:
        (stock,) = record[part]["stock"]["rows"].values()
        (ours,) = record[part]["logflume"]["rows"].values()
        return float(ours[figure] / stock[figure])

    return share


_NDJSON = ("running", "finished", "quarter", "repeats")
_LOCAL = ("finished", "quarter", "tenfold", "json", "poll")
HOLDS = "holding executor"
_GROWTH = "anon_growth_bytes"
TARGETS = (
    Target(
        "first byte through Airflow's own NDJSON route, any size (but what an executor gives as one text, once it has)",
        *(150, 40, "ms"),
        _first_byte_ms,
    ),
    Target(
        "whole seed log, faster than four times stock's quarter", 100, 200, "×", _against_four_quarters, at_least=True
    ),
    Target("a quarter of it, faster than stock", 100, 200, "×", _times_faster("quarter"), at_least=True),
    Target("growth of anonymous memory, 830 MB", 48, 24, "MiB", _most(_GROWTH, "finished", scale=1 / MIB)),
    Target("growth of anonymous memory, 8.3 GB", 48, 24, "MiB", _most(_GROWTH, "tenfold", scale=1 / MIB)),
    Target("growth for 207 MB through the JSON route", 750, None, "MiB", _most(_GROWTH, "json", scale=1 / MIB)),
    Target("the same, as a part of stock's", 0.25, None, "", _of_stock("json", _GROWTH)),
    Target("temporary bytes for local files", 0, None, "MB", _most("temporary_bytes", *_LOCAL, scale=1e-6)),
    Target("order violations", 0, None, "lines", _most("late", *_NDJSON, "json")),
    Target("lines lost", 0, None, "lines", _most("lost", *_NDJSON, "json")),
    Target("poll with a token and nothing new", 10, None, "ms", _most("seconds", "poll", scale=1e3)),
    Target("`/api/v2/version` while it streams, median", 10, None, "ms", _most("median_s", "version", scale=1e3)),
    Target("Execution API calls while 20 tabs of logflume follow, p99", 100, None, "ms", _p99_ms("following")),
    Target("the same, 20 of Airflow's own pages that poll", 100, None, "ms", _p99_ms("own Logs page")),
    Target("work after a client has hung up", 1, None, "s", _most("stopped_s", "hangup")),
)


def load() -> Record:
    """Return the record as it is; an empty one at first."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def keep(part: str, who: str, rows: dict[str, Figures], about: dict[str, str]) -> None:
    """Put one part into the record."""
    record = load()
    record.setdefault(part, {})[who] = {"rows": rows, "about": about}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write() -> None:
    """Write the page."""
    PAGE.write_text(text_of(load()), encoding="utf-8")


def text_of(record: Record) -> str:
    """Return the page."""
    lines = [HEAD, "## What must be reached\n", "| | must | hope | measured | |", "|---|---|---|---|---|"]
    lines += [target.row(record) for target in TARGETS]
    for part, title in TITLES.items():
        if part in record:
            note = [NOTES[part], ""] if part in NOTES else []
            lines += [f"\n## {title}\n", *note, *_table(record[part]), "", *_about(record[part])]
    return "\n".join(lines) + "\n" + SEEDS


def _table(part: dict[str, dict[str, Any]]) -> Iterator[str]:
    labels = dict.fromkeys(label for each in part.values() for label in each["rows"])
    rows = [(label, who, part[who]["rows"].get(label)) for label in labels for who in _in_order(part)]
    by_row = [(label, who, figures) for label, who, figures in rows if figures]
    shown = [name for name in COLUMNS if any(name in figures for _, _, figures in by_row)]
    yield "| | | " + " | ".join(COLUMNS[name][0] for name in shown) + " |"
    yield "|---" * (len(shown) + 2) + "|"
    for label, who, figures in by_row:
        cells = [COLUMNS[name][1](figures[name]) if name in figures else "" for name in shown]
        if figures.get("given_up"):
            cells[0] = f"given up after {cells[0]}"
        yield f"| {label} | {who} | " + " | ".join(cells) + " |"


def _in_order(part: dict[str, dict[str, Any]]) -> list[str]:
    return [who for who in WHO if who in part]


def _about(part: dict[str, dict[str, Any]]) -> Iterator[str]:
    for who in _in_order(part):
        about = part[who]["about"]
        machine = f"{about['CPU']}, {about['memory']}, Linux {about['kernel']}"
        yield f"{who}: {about['date']}, commit {about['commit']}, {machine}.  "
