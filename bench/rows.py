"""What is measured: each row is some work, who does it, and what it must reach.

A row names its contestants (ours first) and its targets. A target turns the runs into one figure and knows its limits.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import data
from bench.data import LOGFLUME, ROOT, Dataset, NotThereYet
from bench.measure import Contestant, Runs, ratio

if TYPE_CHECKING:
    from pathlib import Path

OURS = "logflume"
SORT = "sort -m"
AIRFLOW = "Airflow 3.3.2"
API = "Airflow 3.3.2's API server, a quarter of it"
NGINX = "nginx, one file"
MIB = 1 << 20
PEERS = ROOT / "bench" / "peers"

Results = Mapping[str, Runs]


@dataclass(frozen=True)
class Input:
    """The files that a row is measured on."""

    files: Sequence[Path]
    lines: int

    @functools.cached_property
    def size(self) -> int:
        """All bytes."""
        return sum(path.stat().st_size for path in self.files)


@dataclass(frozen=True)
class Target:
    """One figure and its limits, in the words and units of the table."""

    label: str
    unit: str
    figure: Callable[[Results, Input], float]
    must: float | None
    hope: float | None = None
    higher_is_better: bool = False

    def verdict(self, value: float) -> str:
        """Say which of the limits the figure keeps."""
        if self.hope is not None and self._keeps(value, self.hope):
            return "hope met"
        if self.must is None:
            return "no limit"
        return "met" if self._keeps(value, self.must) else "MISSED"

    def _keeps(self, value: float, limit: float) -> bool:
        return value >= limit if self.higher_is_better else value <= limit


@dataclass(frozen=True)
class Row:
    """Some work, on some log, by several.

    Attributes:
        name: how the command line calls it.
        work: what is done, in words.
        contestants: made from the input, ours first.
        targets: what must be reached.
        log: the generated log; None for work without one.
        whole: whether the log is read to its end, so that bytes a second mean something.
    """

    name: str
    work: str
    contestants: Callable[[Input], list[Contestant]]
    targets: Sequence[Target] = field(default=())
    log: Dataset | None = None
    whole: bool = True


# Figures ---------------------------------------------------------------------------------------------------------


def times(peer: str) -> Callable[[Results, Input], float]:
    """Return our wall time as a multiple of a peer's."""
    return lambda results, _: ratio(results[OURS], results[peer])


def speedup(peer: str) -> Callable[[Results, Input], float]:
    """Return how many times faster we are than a peer."""
    return lambda results, _: 1 / ratio(results[OURS], results[peer])


def rate(results: Results, log: Input) -> float:
    """Return input bytes a second, in MB/s."""
    return log.size / results[OURS].wall_s / 1e6


def peak_rss(results: Results, log: Input) -> float:
    """Return our peak resident memory in MiB."""
    del log
    return results[OURS].rss_bytes / MIB


def first_byte_ms(results: Results, log: Input) -> float:
    """Return the time until the first byte came out, process start included."""
    del log
    return results[OURS].median(lambda run: run.first_byte_s or 0.0) * 1e3


def reported(key: str, factor: float = 1.0) -> Callable[[Results, Input], float]:
    """Return what our driver measured inside itself."""

    def figure(results: Results, log: Input) -> float:
        del log
        return results[OURS].median(lambda run: run.report[key]) * factor

    return figure


def import_ms(results: Results, log: Input) -> float:
    """Return what importing adds to the start of Python."""
    del log
    return (results[OURS].wall_s - results["python -c pass"].wall_s) * 1e3


# Contestants -----------------------------------------------------------------------------------------------------


@functools.cache
def has_command(name: str) -> bool:
    """Tell whether our command line knows a command already."""
    if not LOGFLUME.exists():
        return False
    return subprocess.run([LOGFLUME, name, "--help"], capture_output=True, check=False).returncode == 0


def ours(command: str, *words: str | Path, name: str = OURS, **options: object) -> Contestant:
    """Return one of our commands."""
    missing = None if has_command(command) else f"logflume {command} is not there yet"
    return Contestant(name, [LOGFLUME, command, *words], missing=missing, **options)  # type: ignore[arg-type]


def driver(script: str, *words: str | Path, name: str = OURS, **options: object) -> Contestant:
    """Return a small program that measures a library function inside itself."""
    argv = [ROOT / ".venv" / "bin" / "python", ROOT / "bench" / "drivers" / script, *words]
    return Contestant(name, argv, stdout="capture", env={"PYTHONPATH": str(ROOT)}, **options)  # type: ignore[arg-type]


def program(name: str, *argv: str | Path, **options: object) -> Contestant:
    """Return a peer from the system, if it is installed."""
    missing = None if shutil.which(argv[0]) else f"{argv[0]} is not installed (make bench-peers)"
    return Contestant(name, argv, missing=missing, **options)  # type: ignore[arg-type]


def script(name: str, venv: str, file: str, *words: str | Path, **options: object) -> Contestant:
    """Return a peer written in Python, in an environment of its own."""
    python = ROOT / venv / "bin" / "python"
    path = PEERS / file
    missing = None if python.exists() and path.exists() else f"{venv} or {file} is not there"
    return Contestant(name, [python, path, *words], missing=missing, **options)  # type: ignore[arg-type]


def sort_m(log: Input, **options: object) -> Contestant:
    """Return GNU sort's merge, bytewise."""
    return program(SORT, "sort", "-m", *log.files, env={"LC_ALL": "C"}, **options)


def cat_against_sort(log: Input) -> list[Contestant]:
    """Return the merge against the one yardstick."""
    return [ours("cat", "--output", "ndjson", *log.files), sort_m(log)]


def cat_against_all(log: Input) -> list[Contestant]:
    """Return the merge against everybody who can do it."""
    return [
        ours("cat", "--output", "ndjson", *log.files),
        ours("cat", "--output", "text", *log.files, name="logflume, text"),
        sort_m(log),
        program("cat (no merge)", "cat", *log.files),
        script("heapq.merge", ".venv-peers", "heapq_merge.py", *log.files, slow=True),
        script("polars", ".venv-peers", "polars_merge.py", *log.files, slow=True),
        script("DuckDB", ".venv-peers", "duckdb_merge.py", *log.files, slow=True),
        program("lnav", "lnav", "-I", PEERS / "lnav", "-n", *log.files, slow=True, env={"HOME": str(data.BUILD)}),
        script(AIRFLOW, ".venv-airflow", "airflow_read.py", *log.files, slow=True, stdout="capture"),
    ]


def materialise_against_stream(log: Input) -> list[Contestant]:
    """Return the seed's comparison: all in memory, against a stream."""
    return [
        ours("cat", "--output", "ndjson", *log.files, anonymous=True),
        script("materialise, sort, join", ".venv-peers", "materialise.py", *log.files, anonymous=True, slow=True),
    ]


def first_byte(log: Input) -> list[Contestant]:
    """Return who must show something at once."""
    return [
        ours("cat", "--output", "ndjson", *log.files, stdout="first"),
        ours("cat", "--output", "text", *log.files, stdout="first", name="logflume, text"),
        sort_m(log, stdout="first"),
        program("python -c pass", ROOT / ".venv" / "bin" / "python", "-c", "print()", stdout="first"),
    ]


def cold_tail(log: Input) -> list[Contestant]:
    """Return the last 1,000 lines, from the disk: inside the library, and as a command."""
    return [
        driver("tail.py", *log.files, cold=log.files),
        ours("tail", "-n", "1000", *log.files, name="logflume tail (with process start)", cold=log.files),
        program("tail -n 1000 (no merge)", "tail", "-n", "1000", *log.files, cold=log.files),
    ]


def cold_seek(log: Input) -> list[Contestant]:
    """Return the first block from the middle of a log, by time, from the disk."""
    since = middle_time(log)
    return [
        driver("seek.py", since, *log.files, cold=log.files),
        ours("cat", "--since", since, *log.files, name="logflume cat --since", cold=log.files, stdout="first"),
    ]


def middle_time(log: Input) -> str:
    """Return the timestamp of a line half way through the largest file of a JSON log."""
    largest = max(log.files, key=lambda path: path.stat().st_size)
    with largest.open("rb") as file:
        file.seek(largest.stat().st_size // 2)
        file.readline()
        line = file.readline()
    return line.partition(b'"timestamp":"')[2].partition(b'"')[0].decode()


def grep_literal(log: Input) -> list[Contestant]:
    """Return the search for one rare word."""
    word = "needle-7f3a"  # of the generator: one line in a million
    return [
        ours("grep", word, *log.files, stdout="drain", ok=(0, 1)),
        program("ripgrep (no merge)", "rg", "-I", "-F", word, *log.files, stdout="drain", ok=(0, 1)),
        program(
            "grep (no merge)", "grep", "-h", "-F", word, *log.files, stdout="drain", ok=(0, 1), env={"LC_ALL": "C"}
        ),
    ]


def grep_regex(log: Input) -> list[Contestant]:
    """Return the search for a pattern with few hits."""
    pattern = r"(failed|needle)[^,]* row [0-9]+"  # one line in 2,000
    return [
        ours("grep", "-E", pattern, *log.files, stdout="drain", ok=(0, 1)),
        program("ripgrep (no merge)", "rg", "-I", pattern, *log.files, stdout="drain", ok=(0, 1)),
        program(
            "grep -E (no merge)",
            "grep",
            "-h",
            "-E",
            pattern,
            *log.files,
            stdout="drain",
            ok=(0, 1),
            env={"LC_ALL": "C"},
        ),
    ]


def whole_over_http(log: Input) -> list[Contestant]:
    """Return who serves a whole log to one client; Airflow a quarter of it, which takes it more than a minute."""
    quarter = data.SEED.scaled(log.lines / data.SEED.lines / 4)
    home = ROOT / ".venv-airflow"
    missing = None if home.exists() else ".venv-airflow is not there (make airflow)"
    files = () if missing else quarter.make()
    return [
        driver("serve.py", "stream", *log.files),
        driver("crowd.py", "whole", "nginx", *log.files, name=NGINX, missing=_no_nginx()),
        driver("airflow_api.py", *files, name=API, missing=missing, slow=True),
    ]


def _no_nginx() -> str | None:
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    return None if found else "nginx is not installed (make packages)"


def crowd(mode: str) -> Callable[[Input], list[Contestant]]:
    """Return who serves many clients at once; nginx serves the largest file as it is."""

    def contestants(log: Input) -> list[Contestant]:
        is_long = mode == "cuts"
        return [
            driver("crowd.py", mode, "logflume", *log.files, slow=is_long),
            driver("crowd.py", mode, "nginx", *log.files, name=NGINX, missing=_no_nginx(), slow=is_long),
        ]

    return contestants


PLAIN_FILE = "a plain file"
PIPE = "logflume, pipe"
LINES_WRITTEN = "1000000"
RATES = ("100", "50", "10", "1")


def capturing(name: str, way: str, *words: str) -> Contestant:
    """Return a child whose output is captured in some way; see the driver."""
    by_itself = way in {"file", "cat", "loop", "thread"}
    missing = None if by_itself or has_command("run") else "logflume run is not there yet"
    if way == name and not shutil.which(way):
        missing = f"{way} is not installed (make bench-peers)"
    program: list[str | Path] = [ROOT / ".venv" / "bin" / "python", ROOT / "bench" / "drivers" / "capture.py"]
    return Contestant(name, [*program, way, *words], stdout="capture", env={"PYTHONPATH": str(ROOT)}, missing=missing)


def capture_lines(log: Input) -> list[Contestant]:
    """Return who takes a million lines from a child that makes a call for each."""
    del log
    ways = {OURS: "direct", PIPE: "pipe", "logflume, fifo": "fifo", PLAIN_FILE: "file", "cat > file": "cat"}
    peers = {name: name for name in ("s6-log", "svlogd", "multilog", "rotatelogs")}
    loops = {"a supervisor's one loop, discarded": "loop", "a thread of it, discarded": "thread"}
    return [capturing(name, way, LINES_WRITTEN) for name, way in {**ways, **peers, **loops}.items()]


def stalled(log: Input) -> list[Contestant]:
    """Return a supervisor all of whose sinks hang."""
    del log
    return [driver("stalled.py", "30", slow=True)]


def capture_flood(log: Input) -> list[Contestant]:
    """Return who takes 2 GB in large writes, within 1 GB of disk."""
    del log
    ways = {OURS: "pipe", "logflume, direct": "direct", PLAIN_FILE: "file"}
    return [capturing(name, way, "32000", "65536") for name, way in ways.items()]


@functools.cache
def has_module(name: str) -> bool:
    """Tell whether the environment of the peers has a module."""
    python = ROOT / ".venv-peers" / "bin" / "python"
    return python.exists() and not subprocess.run([python, "-c", f"import {name}"], check=False).returncode


def shipping(name: str, what: str, *words: str) -> Contestant:
    """Return who brings what is written to a CloudWatch at 5 ms a call; see the driver."""
    missing = None
    if "watchtower" in words and not has_module("watchtower"):
        missing = "watchtower is not installed"
    program: list[str | Path] = [ROOT / ".venv" / "bin" / "python", ROOT / "bench" / "drivers" / "ship.py"]
    return Contestant(name, [*program, what, *words], stdout="capture", env={"PYTHONPATH": str(ROOT)}, missing=missing)


def ship_cloudwatch(log: Input) -> list[Contestant]:
    """Return who brings a million lines to CloudWatch; the peer a twentieth of them."""
    del log
    ours = shipping(OURS, "lines", "logflume", LINES_WRITTEN)
    return [ours, shipping("watchtower, 50,000 lines", "lines", "watchtower", "50000")]


def ship_rates(log: Input) -> list[Contestant]:
    """Return us at four rates."""
    del log
    return [shipping(f"{OURS}, {rate} MB/s" if rate != "100" else OURS, "rate", rate, "5") for rate in RATES]


def ship_stalled(log: Input) -> list[Contestant]:
    """Return a child that writes ten million lines while no sink answers."""
    del log
    return [shipping(OURS, "stalled", "direct", "10000000"), shipping(PIPE, "stalled", "pipe", "10000000")]


def reported_by(name: str, key: str, factor: float = 1.0) -> Callable[[Results, Input], float]:
    """Return what the driver of one contestant measured."""

    def figure(results: Results, log: Input) -> float:
        del log
        return results[name].median(lambda run: run.report[key]) * factor

    return figure


def killing(log: Input) -> list[Contestant]:
    """Return the ordeal of 200 kills."""
    del log
    return [driver("kill.py", "200", slow=True)]


def moto(log: Input) -> list[Contestant]:
    """Return a million lines to AWS as moto plays it."""
    del log
    return [driver("moto.py", LINES_WRITTEN, slow=True)]


def piped(results: Results, log: Input) -> float:
    """Return the child's wall time in pipe mode over that of a child that writes straight to a file."""
    del log
    return ratio(results[PIPE], results[PLAIN_FILE])


def running_logs(*provider: Path) -> Callable[[Input], list[Contestant]]:
    """Return who reads a running pod's log, in Airflow's environment: beside the newest provider, or the one given."""

    def contestants(log: Input) -> list[Contestant]:
        del log
        python, path = ROOT / ".venv-airflow" / "bin" / "python", ROOT / "bench" / "drivers" / "executor_logs.py"
        missing = None if all(each.exists() for each in (python, *provider)) else "it is not there (make airflow)"
        kinds = {OURS: "logflume", AIRFLOW: "stock"}
        return [
            Contestant(name, [python, path, kind, "1000", "8", "100", *provider], stdout="capture", missing=missing)
            for name, kind in kinds.items()
        ]

    return contestants


LEFT_BEHIND = [
    Target("processes left behind", "", reported("processes_left"), must=0),
    Target("Airflow: processes left behind", "", reported_by(AIRFLOW, "processes_left"), must=None),
    Target("threads left behind", "", reported("threads_left"), must=0),
    Target("files left open", "", reported("files_left"), must=0),
    Target("Airflow: files left open", "", reported_by(AIRFLOW, "files_left"), must=None),
    Target("memory that the first reads take for good", "MB", reported("mb_of_first"), must=None),
    Target("memory that all other reads add", "MB", reported("mb_of_rest"), must=8),
    Target("Airflow: memory that the first reads take", "MB", reported_by(AIRFLOW, "mb_of_first"), must=None),
    Target("time", "s", reported("seconds"), must=None),
    Target("Airflow: time", "s", reported_by(AIRFLOW, "seconds"), must=None),
]


def import_time(log: Input) -> list[Contestant]:
    """Return Python with and without us."""
    del log
    python = ROOT / ".venv" / "bin" / "python"
    return [
        Contestant(OURS, [python, "-c", "import logflume"]),
        Contestant("python -c pass", [python, "-c", "pass"]),
    ]


# The table -------------------------------------------------------------------------------------------------------

ROWS = [
    Row(
        "seed",
        "`logflume cat --output ndjson` of the seed log (8.67 M lines, 3 interleaved, JSON validated, dedup on)",
        cat_against_all,
        [
            Target("wall against `sort -m`", "×", times(SORT), must=1.5, hope=1.0),
            Target("times faster than Airflow 3.3.2", "×", speedup(AIRFLOW), 150, 400, higher_is_better=True),
            Target("peak RSS", "MiB", peak_rss, must=64, hope=40),
        ],
        data.SEED,
    ),
    *(
        Row(
            name,
            f"the same, pattern {name}",
            cat_against_sort,
            [Target("wall against `sort -m`", "×", times(SORT), must=1.2, hope=0.6)],
            log,
        )
        for name, log in data.PATTERNS.items()
    ),
    Row(
        "plain",
        "interleaved legacy plain text with tracebacks, to NDJSON",
        cat_against_sort,
        [Target("throughput", "MB/s", rate, must=300, hope=600, higher_is_better=True)],
        data.PLAIN,
    ),
    Row(
        "many",
        "1,000 sources of 1 MB merged",
        cat_against_sort,
        [
            Target("throughput", "MB/s", rate, must=300, higher_is_better=True),
            Target("peak RSS", "MiB", peak_rss, must=600),
        ],
        data.MANY,
    ),
    Row(
        "materialise",
        "the seed's comparison: materialise, sort and join, against a stream",
        materialise_against_stream,
        [Target("times faster", "×", speedup("materialise, sort, join"), must=None, higher_is_better=True)],
        data.SEED,
    ),
    Row(
        "first-block",
        "first block out of `cat` of the seed log, process start included",
        first_byte,
        [Target("first byte", "ms", first_byte_ms, must=150, hope=80)],
        data.SEED,
        whole=False,
    ),
    Row(
        "resume",
        "resume with a cursor when nothing is new",
        lambda log: [driver("resume.py", *log.files)],
        [
            Target("old bytes read", "bytes", reported("old_bytes"), must=0),
            Target("bytes read to know the files again", "bytes", reported("all_bytes"), must=None),
            Target("time", "ms", reported("seconds", 1e3), must=1),
        ],
        data.SEED,
        whole=False,
    ),
    Row(
        "grep-literal",
        "`grep` a rare literal in the seed log, merged",
        grep_literal,
        [Target("throughput", "MB/s", rate, must=1000, higher_is_better=True)],
        data.SEED,
    ),
    Row(
        "grep-regex",
        "`grep -E` a regex in the seed log, merged",
        grep_regex,
        [Target("throughput", "MB/s", rate, must=500, higher_is_better=True)],
        data.SEED,
    ),
    Row(
        "index",
        "index of the seed log",
        lambda log: [driver("index.py", *log.files)],
        [
            Target("built at", "MB/s", rate, must=500, higher_is_better=True),
            Target("size of the log", "%", reported("size_ratio", 100), must=0.5),
        ],
        data.SEED,
    ),
    Row(
        "capture",
        "`logflume run`: the wall time of a child that writes 1 M lines of 100 bytes, one write each",
        capture_lines,
        [
            Target("direct, against a child that writes to a file", "×", times(PLAIN_FILE), must=1.15),
            Target("pipe, against the same", "×", piped, must=0.8),
            Target("our CPU for 100 MB, process start included", "s", reported("ours_cpu_s"), must=None),
        ],
        whole=False,
    ),
    Row(
        "capture-flood",
        "`logflume run --capture pipe --budget 1GB`: a child that writes 2 GB in writes of 64 KiB",
        capture_flood,
        [
            Target("sustained", "MB/s", reported("mb_s"), must=200, higher_is_better=True),
            Target("our CPU for 100 MB", "s", reported("ours_cpu_s_for_100_mb"), must=0.3),
            Target("peak RSS", "MiB", reported("rss_mib"), must=64),
        ],
        whole=False,
    ),
    Row(
        "stalled",
        "`logflume supervise`: a child writes 20,000 lines a second for 30 s, and every sink hangs",
        stalled,
        [
            Target("child's write, p99", "ms", reported("p99_ms"), must=1),
            Target("child's write, p99.9", "ms", reported("p999_ms"), must=5),
            Target("the supervisor's loop is late by at most", "ms", reported("late_ms"), must=100),
            Target("bytes that a sink took", "", reported("delivered"), must=0),
        ],
        whole=False,
    ),
    Row(
        "ship-cloudwatch",
        "`logflume run --sink cloudwatch:…`: 1 M lines of 100 bytes from a child to a CloudWatch at 5 ms a call",
        ship_cloudwatch,
        [
            Target("all delivered after", "s", reported("seconds"), must=3),
            Target("calls (120 is the least possible number)", "", reported("calls"), must=120),
            Target("lines lost", "", reported("lost"), must=0),
            Target("supervisor's CPU, process start included", "s", reported("supervisor_cpu_s"), must=0.3),
            Target("shipper's CPU, boto3 included", "s", reported("shipper_cpu_s"), must=2),
            Target("shipper's peak RSS", "MiB", reported("shipper_rss_mib"), must=None),
        ],
        whole=False,
    ),
    Row(
        "ship-rates",
        "the same at 1, 10, 50, 100 MB/s for 5 s: lines lost, lines doubled",
        ship_rates,
        [
            *(
                Target(f"{what} at {rate} MB/s", "", reported_by(f"{OURS}, {rate} MB/s", what), must=0)
                for rate in reversed(RATES[1:])
                for what in ("lost", "doubled")
            ),
            Target("lost at 100 MB/s", "", reported("lost"), must=0),
            Target("doubled at 100 MB/s", "", reported("doubled"), must=0),
            Target("all there after the last line at 100 MB/s", "s", reported("behind_s"), must=None),
        ],
        whole=False,
    ),
    Row(
        "ship-stalled",
        "a child writes 10 M lines of 100 bytes, one write each, while three sinks take connections and never answer",
        ship_stalled,
        [
            Target("direct: p99 of its writes", "ms", reported("p99_ms"), must=1),
            Target("direct: p99.9", "ms", reported("p999_ms"), must=5),
            Target("pipe: p99", "ms", reported_by(PIPE, "p99_ms"), must=1),
            Target("pipe: p99.9", "ms", reported_by(PIPE, "p999_ms"), must=5),
        ],
        whole=False,
    ),
    Row(
        "kill",
        "kill -9 of the supervisor 200 times, and of the shipper: 400,000 lines to CloudWatch",
        killing,
        [
            Target("lines lost", "", reported("lost"), must=0),
            Target("lines out of order", "", reported("disordered"), must=0),
            Target("lines doubled", "", reported("doubled"), must=None),
            Target("shippers killed", "", reported("shippers_killed"), must=None),
        ],
        whole=False,
    ),
    Row(
        "moto",
        "`logflume ship` of 1 M lines to CloudWatch Logs and S3 as moto plays them, read back by boto3",
        moto,
        [
            *(
                Target(f"{service}: lines {what}", "", reported(f"{key}_{what}"), must=0)
                for service, key in (("CloudWatch Logs", "cloudwatch"), ("S3", "s3"))
                for what in ("lost", "doubled", "disordered")
            ),
            Target("streams whose manifest does not name their end", "", reported("manifests_missing"), must=0),
            Target("shipped after (moto takes most of it)", "s", reported("seconds"), must=None),
        ],
        whole=False,
    ),
    Row(
        "import",
        "`import logflume`",
        import_time,
        [Target("added to the start of Python", "ms", import_ms, must=50)],
        whole=False,
    ),
    Row(
        "huge",
        "`logflume cat --output ndjson` of 10 GB",
        cat_against_sort,
        [
            Target("peak RSS", "MiB", peak_rss, must=64, hope=40),
            Target("wall against `sort -m`", "×", times(SORT), must=1.5, hope=1.0),
        ],
        data.HUGE,
    ),
    Row(
        "tail",
        "tail 1,000 lines in a 10 GB log, cold",
        cold_tail,
        [Target("time in the library", "ms", reported("seconds", 1e3), must=50, hope=20)],
        data.HUGE,
        whole=False,
    ),
    Row(
        "serve-stream",
        "whole seed log over HTTP, one client, NDJSON",
        whole_over_http,
        [
            Target("throughput", "MB/s", rate, must=400, hope=800, higher_is_better=True),
            Target("first byte", "ms", reported("first_byte_s", 1e3), must=30),
            Target("growth of the server's RSS", "MiB", reported("growth_mib"), must=32),
            Target("nginx, one of the files", "MB/s", reported_by(NGINX, "mb_per_s"), None, higher_is_better=True),
            Target(
                "Airflow's API server, a quarter", "MB/s", reported_by(API, "mb_per_s"), None, higher_is_better=True
            ),
            Target("Airflow's API server, a quarter: first byte", "ms", reported_by(API, "first_byte_s", 1e3), None),
        ],
        data.SEED,
    ),
    Row(
        "client-stream",
        "whole seed log over HTTP as text: `Client.stream`, which can go on after any cut, beside curl",
        lambda log: [
            driver("client.py", "client", *log.files),
            driver("client.py", "curl", *log.files, name="curl"),
        ],
        [
            Target("throughput", "MB/s", rate, must=400, higher_is_better=True),
            Target("first byte", "ms", reported("first_byte_s", 1e3), must=30),
            Target("times curl", "", times("curl"), must=2, hope=1.25),
        ],
        data.SEED,
    ),
    Row(
        "serve-poll",
        "poll over HTTP with a cursor when nothing is new",
        lambda log: [driver("serve.py", "poll", *log.files)],
        [
            Target("request and answer", "ms", reported("seconds", 1e3), must=3),
            Target("answer", "bytes", reported("answer_bytes"), must=1024),
        ],
        data.SEED,
        whole=False,
    ),
    Row(
        "serve-search",
        "search for a rare literal in the seed log over HTTP",
        lambda log: [driver("serve.py", "search", *log.files)],
        [
            Target("whole search", "s", reported("seconds"), must=1.5),
            Target("first hit", "s", reported("first_hit_s"), must=0.5),
        ],
        data.SEED,
    ),
    Row(
        "serve-followers",
        "1,000 followers of one live log at 5,000 lines/s, over HTTP",
        lambda log: [driver("serve.py", "followers", *log.files)],
        [
            Target("the last one is up to date after", "s", reported("seconds"), must=1),
            Target("the server's processor time", "cores", reported("cores"), must=1),
            Target("growth of the server's RSS", "MiB", reported("growth_mib"), must=None),
        ],
        data.SMALL,
        whole=False,
    ),
    Row(
        "serve-latency",
        "from the writing of a line to its being read by who follows, over HTTP, on an idle log",
        lambda log: [driver("serve.py", "latency", *log.files, slow=True)],
        [
            Target("an event, one source of JSON lines: half of them", "ms", reported("seconds", 1e3), must=50),
            Target("the same, p99", "ms", reported("json_p99", 1e3), must=None),
            Target("an event, one source of text", "ms", reported("text", 1e3), must=None),
            Target("an event, two sources", "ms", reported("two", 1e3), must=None),
            Target("an answer to `?wait=`", "ms", reported("wait", 1e3), must=50),
            Target("the server while nothing is written", "cores", reported("idle_cores"), must=0.01),
        ],
        data.SMALL,
        whole=False,
    ),
    Row(
        "serve-many",
        "32 clients read the seed log over HTTP, half of them slowly, while another asks for small things",
        crowd("many"),
        [
            Target("growth of the server's RSS", "MiB", reported("growth_mib"), must=200),
            Target("`/healthz`, p99", "ms", reported("healthz_p99", 1e3), must=100, hope=30),
            Target("`rows`, p99", "ms", reported("rows_p99", 1e3), must=100, hope=30),
            Target("to all of them", "MB/s", reported("rate"), must=None),
        ],
        data.SEED,
        whole=False,
    ),
    Row(
        "serve-cuts",
        "10,000 reads, searches and follows that are cut at random",
        crowd("cuts"),
        [
            Target("descriptors left", "", reported("descriptors"), must=0),
            Target("threads left", "", reported("threads"), must=0),
            Target("temporary files left", "", reported("temporary"), must=0),
            Target("RSS after all, beyond after the first 2,000", "MiB", reported("rss_later_mib"), must=1),
            Target(
                "RSS after the first 2,000, beyond after 1,000 to warm up", "MiB", reported("rss_first_mib"), must=None
            ),
            Target("the cuts took", "s", reported("seconds"), must=120),
        ],
        data.SEED.scaled(0.25),
        whole=False,
    ),
    Row(
        "serve-gone",
        "a client leaves in the middle of an answer: until nothing of it is held",
        lambda log: [driver("crowd.py", "gone", "logflume", *log.files, slow=True)],
        [
            Target("half of them", "s", reported("seconds"), must=1),
            Target("p99", "s", reported("p99"), must=1),
            Target("the slowest", "s", reported("most"), must=1),
        ],
        data.SEED.scaled(0.25),
        whole=False,
    ),
    Row(
        "serve-places",
        "rows, next error and tail at random places of a 10 GB log, over HTTP",
        lambda log: [driver("serve.py", "places", *log.files)],
        [
            Target("rows, p99", "ms", reported("rows_p99", 1e3), must=50, hope=20),
            Target("locate, p99", "ms", reported("locate_p99", 1e3), must=50, hope=20),
            Target("tail, p99", "ms", reported("tail_p99", 1e3), must=50, hope=20),
        ],
        data.HUGE,
        whole=False,
    ),
    Row(
        "serve-unindexed",
        "the first questions about a 10 GB log that nobody has indexed, over HTTP",
        lambda log: [driver("serve.py", "unindexed", *log.files)],
        [
            Target("first rows", "ms", reported("head", 1e3), must=None, hope=200),
            Target("last rows", "ms", reported("end", 1e3), must=None, hope=500),
            Target("rows in the middle", "ms", reported("middle", 1e3), must=None, hope=1000),
            Target("last error", "ms", reported("last_error", 1e3), must=None, hope=1000),
        ],
        data.HUGE,
        whole=False,
    ),
    Row(
        "serve-raw",
        "download of one source of the seed log over HTTP",
        lambda log: [driver("serve.py", "raw", *log.files)],
        [
            Target("throughput", "MB/s", reported("mb_per_s"), must=None, higher_is_better=True),
            Target("growth of the server's RSS", "MiB", reported("growth_mib"), must=32),
        ],
        data.SEED,
        whole=False,
    ),
    Row(
        "running-pods",
        "1,000 reads of a running pod's log, 100 lines, from 8 threads of one process, Kubernetes provider 10.25",
        running_logs(),
        LEFT_BEHIND,
        None,
        whole=False,
    ),
    Row(
        "running-pods-10.13",
        "the same beside provider 10.13, whose executor starts a process when it is made",
        running_logs(ROOT / ".venv-airflow" / "provider-10.13"),
        LEFT_BEHIND,
        None,
        whole=False,
    ),
    Row(
        "viewer",
        "the viewer in Chromium on 10 million lines, 20 ms added to each answer",
        lambda log: [driver("viewer.py", *log.files)],
        [
            Target("first rows", "ms", reported("first_rows", 1e3), must=200),
            Target("jump, p99", "ms", reported("jump_p99", 1e3), must=200),
            Target("scrolling", "frames/s", reported("frames"), must=58, higher_is_better=True),
            Target("page memory beyond the empty page", "MB", reported("page_mb"), must=16),
            Target("elements", "", reported("elements"), must=400),
            Target("first hit of a rare text", "ms", reported("first_hit", 1e3), must=1500),
            Target("cancelling a search", "ms", reported("cancel", 1e3), must=200),
        ],
        data.VIEWED,
        whole=False,
    ),
    Row(
        "viewer-live",
        "the viewer follows a log that grows by 5,000 lines a second for 10 minutes",
        lambda log: [driver("viewer.py", "--live", "600", *log.files)],
        [Target("growth of the page", "MB", reported("live_growth_mb"), must=4)],
        data.VIEWED.scaled(0.01),
        whole=False,
    ),
    Row(
        "seek",
        "seek by time in a 10 GB log, cold",
        cold_seek,
        [Target("time to the first block in the library", "ms", reported("seconds", 1e3), must=50, hope=20)],
        data.HUGE,
        whole=False,
    ),
]


def input_of(row: Row, scale: float) -> Input:
    """Make the log of a row.

    Raises:
        NotThereYet: it cannot be made here.
    """
    if row.log is None:
        return Input((), 0)
    log = row.log.scaled(scale)
    files = log.make()
    if not files:
        raise NotThereYet(f"logflume gen left no file in {log.folder}")
    return Input(files, log.lines)
