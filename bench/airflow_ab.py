"""Airflow's API server with its own reader and with logflume, in turn, on the same logs: the A/B proof.

Holds: both are the same Airflow, started anew for each, with the same rows and files; only `logging_config_class`
       differs. Nothing listens but on loopback; all that was made is removed.
Plan:  rows and files instead of a scheduler; one request at a time, its first byte and its end timed; memory, processes
       and temporary bytes of the API server looked at every 20 ms meanwhile; the order of the lines checked afterwards.

    make airflow && .venv/bin/python -m bench.airflow_ab --lines 100000         # some minutes
    .venv/bin/python -m bench.airflow_ab                                        # the seeds' sizes, half an hour or more

| log | |
|---|---|
| `finished` | 8,670,000 lines in three interleaved files of an ended try, as NDJSON; a quarter of it as JSON |
| `running` | 1,000,000 lines that an executor has of a running task (`get_task_log`) |
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import LOGFLUME, ROOT
from tests.airflow_home import LOGFLUME as WITH_LOGFLUME
from tests.airflow_home import Airflow, airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

VENV = ROOT / ".venv-airflow"
SEED_LINES = 8_670_000
RUNNING_SHARE = 8.67
JSON_SHARE = 4
LOOK_S = 0.02
MIB = 1 << 20
FILES = ("attempt=1.log", "attempt=1.log.trigger.1.log", "attempt=1.log.trigger.2.log")

EXECUTOR = '''
"""An executor that holds a whole log of a running task, as the Kubernetes one does."""

import os

from airflow.executors.base_executor import BaseExecutor


class HoldingExecutor(BaseExecutor):
    def get_task_log(self, ti, try_number):
        with open(os.environ["HELD_LOG"], encoding="utf-8") as file:
            return ["held by the executor"], file.read().splitlines()
'''


@dataclass
class Seen:
    """What one request cost.

    Attributes:
        seconds: until its last byte.
        first_byte_s: until its first.
        lines: of the log, without what is said about it.
        bytes: of the answer.
        anon_growth_bytes: the most of the API server's anonymous memory, beyond what it had before.
        rss_bytes: the most of its resident memory.
        temporary_bytes: the most of deleted or temporary files that it had open.
        processes: the most at once.
        late: lines whose time is before that of a line above them.
        version_ms: median time of another request meanwhile.
        poll_s: a poll with the token, nothing being new; None where it was not asked for.
    """

    seconds: float = 0.0
    first_byte_s: float = 0.0
    lines: int = 0
    bytes: int = 0
    anon_growth_bytes: int = 0
    rss_bytes: int = 0
    temporary_bytes: int = 0
    processes: int = 0
    late: int = 0
    version_ms: float = 0.0
    poll_s: float | None = None


class Watch:
    """Looks at the API server's processes while something runs."""

    def __init__(self, server: Airflow) -> None:
        self._server = server
        self._ending = threading.Event()
        self._before = sum(_memory(pid)["RssAnon"] for pid in server.pids("api-server"))
        self.anon = self.rss = self.temporary = self.processes = 0
        self.versions_s: list[float] = []
        self._threads = [threading.Thread(target=run) for run in (self._look, self._ask)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        while not self._ending.wait(LOOK_S):
            pids = self._server.pids("api-server")
            memory = [_memory(pid) for pid in pids]
            self.anon = max(self.anon, sum(each["RssAnon"] for each in memory) - self._before)
            self.rss = max(self.rss, sum(each["VmRSS"] for each in memory))
            folder = self._server.home.parent
            self.temporary = max(self.temporary, sum(_temporary_bytes(pid, folder) for pid in pids))
            self.processes = max(self.processes, len(pids))

    def _ask(self) -> None:
        with self._server.sign_in("admin") as client:
            while not self._ending.wait(LOOK_S):
                began_s = time.perf_counter()
                client.get("/api/v2/version")
                self.versions_s.append(time.perf_counter() - began_s)


def _memory(pid: int) -> dict[str, int]:
    found = {"RssAnon": 0, "VmRSS": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    return found


def _temporary_bytes(pid: int, not_below: Path) -> int:
    """Sum up the files that a process has open where temporary ones are made."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            target = entry.readlink()
            if target.is_relative_to(tempfile.gettempdir()) and not target.is_relative_to(not_below):
                total += entry.stat().st_size
    return total


_TIME = re.compile(rb'"timestamp":"([^"]+)"')


def ask(server: Airflow, path: str, accept: str) -> Seen:
    """Ask for a whole log, keeping nothing of it but what is looked at in passing."""
    seen = Seen()
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    latest, rest = b"", b""
    with Watch(server) as watch:
        began_s = time.perf_counter()
        with server.client.stream("GET", path, headers=headers, timeout=3600) as answer:
            for piece in answer.iter_raw():
                seen.first_byte_s = seen.first_byte_s or time.perf_counter() - began_s
                seen.bytes += len(piece)
                data = rest + piece
                cut = data.rfind(b'"timestamp":')
                data, rest = (data[:cut], data[cut:]) if cut > 0 else (b"", data)
                for moment in _TIME.findall(data):
                    seen.lines += 1
                    seen.late += moment < latest
                    latest = max(moment, latest)
        seen.seconds = time.perf_counter() - began_s
    seen.lines += len(_TIME.findall(rest))
    seen.anon_growth_bytes, seen.rss_bytes = watch.anon, watch.rss
    seen.temporary_bytes, seen.processes = watch.temporary, watch.processes
    seen.version_ms = statistics.median(watch.versions_s or [0.0]) * 1e3
    return seen


def poll_with_token(server: Airflow, path: str) -> float:
    """Time a poll of the JSON route in which nothing is new."""
    headers = {"Accept": "application/json"}
    token = server.client.get(path, headers=headers, timeout=3600).json()["continuation_token"]
    began_s = time.perf_counter()
    answer = server.client.get(path, headers=headers, params={"token": token}, timeout=3600)
    seconds = time.perf_counter() - began_s
    if answer.json()["content"]:
        raise RuntimeError("something was new")
    return seconds


@dataclass
class Logs:
    """The files that are served: made once, linked into each home."""

    folder: Path
    lines: int
    finished: list[Path] = field(default_factory=list)
    quarter: list[Path] = field(default_factory=list)
    held: Path = Path()

    def make(self) -> None:
        """Generate them."""
        self.finished = self._generate("finished", self.lines, 3)
        self.quarter = self._generate("quarter", self.lines // JSON_SHARE, 3)
        (self.held,) = self._generate("held", int(self.lines / RUNNING_SHARE), 1)

    def _generate(self, name: str, lines: int, sources: int) -> list[Path]:
        folder = self.folder / name
        options = ["--lines", str(lines), "--sources", str(sources)]
        subprocess.run([LOGFLUME, "gen", str(folder), *options], check=True, stdout=subprocess.DEVNULL)
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def put(self, home: Path) -> None:
        """Put them where Airflow looks for the logs of the tasks."""
        for task, files in (("finished", self.finished), ("quarter", self.quarter), ("live", self.quarter)):
            folder = home / "logs" / "dag_id=bench" / "run_id=run" / f"task_id={task}"
            folder.mkdir(parents=True)
            for name, path in zip(FILES, files, strict=True):
                os.link(path, folder / name)


@contextlib.contextmanager
def api_server(logs: Logs, *, ours: bool) -> Iterator[Airflow]:
    """Run an API server that holds the tasks."""
    settings = {
        "AIRFLOW__CORE__EXECUTOR": "holding_executor.HoldingExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "HELD_LOG": str(logs.held),
        **(WITH_LOGFLUME if ours else {}),
    }
    # On the same file system as the logs, which are linked and not copied.
    home = logs.folder / ("ours" if ours else "stock")
    commands = {"api-server": ["api-server"]}
    with airflow(VENV, home, settings=settings, commands=commands) as server:
        (home / "config" / "holding_executor.py").write_text(EXECUTOR)
        rows = ["finished", "success", "quarter", "success", "live", "deferred", "running", "running"]
        script = ROOT / "bench" / "airflow_rows.py"
        subprocess.run(
            [home / "venv/bin/python", script, "bench", "run", *rows], env=server.env, check=True, capture_output=True
        )
        logs.put(home)
        yield server


def measure(logs: Logs, *, ours: bool) -> dict[str, Seen]:
    """Ask one Airflow for everything."""
    path = "/api/v2/dags/bench/dagRuns/run/taskInstances/{}/logs/1"
    ndjson = "application/x-ndjson"
    found = {}
    with api_server(logs, ours=ours) as server:
        server.client.get(path.format("none"))  # what is loaded at the first request is not the log's
        found["finished, NDJSON"] = ask(server, path.format("finished"), ndjson)
        found["a quarter, NDJSON"] = ask(server, path.format("quarter"), ndjson)
        found["running, by its executor"] = ask(server, path.format("running"), ndjson)
        found["a quarter, JSON"] = ask(server, path.format("quarter"), "application/json")
        found["a quarter, JSON"].poll_s = poll_with_token(server, path.format("live"))
    return found


COLUMNS: dict[str, Callable[[Seen], str]] = {
    "elapsed s": lambda seen: f"{seen.seconds:.2f}",
    "first byte s": lambda seen: f"{seen.first_byte_s:.3f}",
    "anonymous memory, growth MiB": lambda seen: f"{seen.anon_growth_bytes / MIB:.0f}",
    "peak RSS MiB": lambda seen: f"{seen.rss_bytes / MIB:.0f}",
    "temporary MB": lambda seen: f"{seen.temporary_bytes / 1e6:.0f}",
    "processes": lambda seen: str(seen.processes),
    "lines": lambda seen: f"{seen.lines:,}",
    "late lines": lambda seen: f"{seen.late:,}",
    "/version ms": lambda seen: f"{seen.version_ms:.0f}",
    "poll, nothing new, s": lambda seen: "" if seen.poll_s is None else f"{seen.poll_s:.3f}",
}


def table(results: dict[str, dict[str, Seen]]) -> str:
    """Return all of it as a table."""
    rows = [["log", "", *COLUMNS]]
    for work in next(iter(results.values())):
        rows += [[work, who, *(show(found[work]) for show in COLUMNS.values())] for who, found in results.items()]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Read the options; measure stock and ours in turn."""
    parser = argparse.ArgumentParser(description="Airflow's own reader and logflume, on a real API server.")
    parser.add_argument("--lines", type=int, default=SEED_LINES, help="of the finished log; the others follow")
    parser.add_argument("--only", choices=["stock", "logflume"], help="one of the two")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airflow-ab-") as folder:
        logs = Logs(Path(folder), options.lines)
        logs.make()
        who = [options.only] if options.only else ["stock", "logflume"]
        results = {each: measure(logs, ours=each == "logflume") for each in who}
    print(table(results))
    if options.json:
        plain = {each: {work: asdict(seen) for work, seen in found.items()} for each, found in results.items()}
        options.json.write_text(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    main()
