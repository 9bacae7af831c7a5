"""What is asked of the API server, part by part; each part starts one of its own, and takes less than some minutes.

Holds: an answer is written to memory (``/dev/shm``) and looked at when it is there: what looks at it takes nothing from
       the server while it works.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ab import logs
from bench.ab.server import HOLDING, STREAMING, api_server, logs_of
from bench.ab.watch import Watch, cpu_s, read_bytes, until_quiet
from bench.data import SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.airflow_home import Airflow

Figures = dict[str, float]
"""By names that tell the unit."""

NDJSON, JSON = "application/x-ndjson", "application/json"
LIMIT_S = 340.0
"""An answer that takes longer is given up; what is known of it by then is its figure."""

PIECE_BYTES = 1 << 20
TABS = 20
TABS_S = 20.0
POLL_EVERY_S = 3.0
"""How often Airflow's own page asks for the log of a running task."""

HANG_UP_AFTER_S = 5.0


def finished(who: str) -> dict[str, Figures]:
    """Read the seed's finished log as NDJSON."""
    with _one_task(who, SEED.make()) as server:
        return {"830 MB, 8.67 M lines, NDJSON": read(server, "log", expected=SEED.lines)}


def quarter(who: str) -> dict[str, Figures]:
    """Read a quarter of it."""
    with _one_task(who, logs.QUARTER.make()) as server:
        return {"a quarter of it, NDJSON": read(server, "log", expected=logs.QUARTER.lines)}


def tenfold(who: str) -> dict[str, Figures]:
    """Read ten times as much, looking at nothing but what it takes."""
    try:
        with _one_task(who, logs.TENFOLD.make()) as server:
            return {"8.3 GB, 86.7 M lines, NDJSON": read(server, "log")}
    finally:
        logs.TENFOLD.remove()


def gzip(who: str) -> dict[str, Figures]:
    """Read a quarter of it as a browser does, compressed by the API server."""
    with _one_task(who, logs.QUARTER.make()) as server:
        return {"207 MB, 2.17 M lines, NDJSON, gzip": read(server, "log", encoding="gzip")}


def running(who: str) -> dict[str, Figures]:
    """Read the log of a running task from its executor."""
    tasks = {"streaming": f"running@{STREAMING}", "holding": f"running@{HOLDING}"}
    found = {}
    with api_server(who, tasks, logs.held()) as (server, _):
        for task in tasks:
            found[f"415 MB, 1 M lines, {task} executor"] = read(server, task, expected=logs.HELD_LINES)
    return found


def json_route(who: str) -> dict[str, Figures]:
    """Read a quarter of the seed's log as JSON."""
    with _one_task(who, logs.QUARTER.make()) as server:
        return {"207 MB, 2.17 M lines, JSON": read(server, "log", accept=JSON, expected=logs.QUARTER.lines)}


def repeats(who: str) -> dict[str, Figures]:
    """Read a log in which each line stands three times."""
    with _one_task(who, [logs.repeated()]) as server:
        return {"30,000 lines, each three times": read(server, "log", expected=logs.REPEATED_LINES)}


def poll(who: str) -> dict[str, Figures]:
    """Poll the JSON route with its token when nothing is new."""
    rounds = 1 if who == "stock" else 50
    with _one_task(who, logs.TENTH.make(), "deferred") as server:
        headers = {"Accept": JSON}
        token = server.client.get(logs_of("log"), headers=headers, timeout=LIMIT_S).json()["continuation_token"]
        took_s, read_s = [], []
        with Watch(server) as watch:
            for _ in range(rounds):
                before = read_bytes(server)
                began_s = time.perf_counter()
                answer = server.client.get(logs_of("log"), headers=headers, params={"token": token}, timeout=LIMIT_S)
                took_s.append(time.perf_counter() - began_s)
                read_s.append(read_bytes(server) - before)
                if answer.json()["content"]:
                    raise RuntimeError("something was new")
        plain_s = [_timed(server, logs_of("log").rpartition("/logs")[0]) for _ in range(50)]
    return {
        "83 MB, 867,000 lines, nothing new": {
            "seconds": statistics.median(took_s),
            "read_bytes": statistics.median(read_s),
            "temporary_bytes": watch.temporary_bytes,
            "task_route_s": statistics.median(plain_s),
        }
    }


def version(who: str) -> dict[str, Figures]:
    """Ask for something small while the log streams; stock streams a quarter of it."""
    data = logs.QUARTER if who == "stock" else SEED
    with _one_task(who, data.make()) as server, server.sign_in("admin") as client:
        ended = threading.Event()
        took_s: list[float] = []

        def ask() -> None:
            while not ended.is_set():
                began_s = time.perf_counter()
                client.get("/api/v2/version")
                took_s.append(time.perf_counter() - began_s)
                time.sleep(0.02)

        thread = threading.Thread(target=ask)
        thread.start()
        for _ in range(1 if who == "stock" else 5):
            with _answer(server, "log", NDJSON) as answer:
                while answer.read1(PIECE_BYTES):
                    pass
        ended.set()
        thread.join()
    return {"/api/v2/version while a log streams": _spread(took_s)}


def tabs(who: str) -> dict[str, Figures]:
    """Follow running tasks in many tabs while those tasks call the Execution API."""
    names = [f"tab{number:02}" for number in range(TABS)]
    found = {}
    with api_server(who, dict.fromkeys(names, "running")) as (server, tokens):
        for name in names:
            logs.put(server.home, name, [logs.tab()], copied=True)
        kinds = {"Airflow's own Logs page, every 3 s": _poll_as_a_page}
        if who == "logflume":
            kinds["logflume's tab, following"] = _follow
        for kind, run in kinds.items():
            found[f"{TABS} tabs, {kind}"] = _with_tabs(server, names, tokens, run)
    return found


def hang_up(who: str) -> dict[str, Figures]:
    """Go away in the middle of the log."""
    forms = {"NDJSON": NDJSON, "JSON": JSON} if who == "logflume" else {"NDJSON": NDJSON}
    found = {}
    with _one_task(who, SEED.make() if who == "logflume" else logs.QUARTER.make()) as server:
        for name, accept in forms.items():
            began_s = time.monotonic()
            with contextlib.suppress(TimeoutError), _answer(server, "log", accept, HANG_UP_AFTER_S) as answer:
                answer.read(20 * PIECE_BYTES)
            gone_after_s = time.monotonic() - began_s
            stopped_s, taken_s = until_quiet(server, LIMIT_S)
            figures = {"gone_after_s": gone_after_s, "stopped_s": stopped_s, "cpu_s": taken_s}
            found[f"a client that hangs up, {name}"] = figures
    return found


PARTS: dict[str, Callable[[str], dict[str, Figures]]] = {
    "running": running,
    "finished": finished,
    "quarter": quarter,
    "tenfold": tenfold,
    "gzip": gzip,
    "repeats": repeats,
    "json": json_route,
    "poll": poll,
    "version": version,
    "tabs": tabs,
    "hangup": hang_up,
}


def read(
    server: Airflow, task: str, *, accept: str = NDJSON, encoding: str = "identity", expected: int | None = None
) -> Figures:
    """Read a whole log; with ``expected`` lines, look at each of them afterwards."""
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        kept = Path(folder, "answer") if expected else Path("/dev/null")
        before_cpu_s = cpu_s(server)
        first_s, n_bytes, cut = 0.0, 0, False
        with Watch(server) as watch, kept.open("wb") as file:
            began_s = time.perf_counter()
            try:
                with _answer(server, task, accept, encoding=encoding) as answer:
                    while piece := answer.read1(PIECE_BYTES):
                        if not first_s and (encoding != "identity" or b'"timestamp":"' in piece):
                            first_s = time.perf_counter() - began_s
                        n_bytes += len(piece)
                        file.write(piece)
            except TimeoutError:
                cut = True
            seconds = time.perf_counter() - began_s
        figures: Figures = {"seconds": seconds, "first_byte_s": first_s, "answer_bytes": n_bytes, **watch.figures()}
        figures["cpu_s"] = cpu_s(server) - before_cpu_s
        if cut:
            return {**figures, "given_up": 1}
        return {**figures, **_order(kept, expected)} if expected else figures


def _order(answer: Path, expected: int) -> Figures:
    """Count the lines of an answer, those that are missing, and those that come after a later one."""
    lines = late = 0
    latest, rest = b"", b""
    with answer.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            data = rest + piece
            cut = data.rfind(b'"timestamp":')
            data, rest = (data[:cut], data[cut:]) if cut > 0 else (b"", data)
            for moment in _TIME.findall(data):
                lines += 1
                late += moment < latest
                latest = max(moment, latest)
    lines += len(_TIME.findall(rest))
    return {"lines": lines, "lost": expected - lines, "late": late}


_TIME = re.compile(rb'"timestamp":"([^"Z]+)')


@contextlib.contextmanager
def _one_task(who: str, files: list[Path], state: str = "success") -> Iterator[Airflow]:
    with api_server(who, {"log": state}) as (server, _):
        logs.put(server.home, "log", files)
        yield server


@contextlib.contextmanager
def _answer(
    server: Airflow, task: str, accept: str, timeout_s: float = LIMIT_S, encoding: str = "identity"
) -> Iterator[http.client.HTTPResponse]:
    """Ask for a log; the time limit is for each piece of it."""
    url = server.client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=timeout_s)
    try:
        headers = {"Accept": accept, "Authorization": server.client.headers["Authorization"]}
        headers["Accept-Encoding"] = encoding
        connection.request("GET", logs_of(task), headers=headers)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{answer.status}: {answer.read(1000)!r}")
        yield answer
    finally:
        connection.close()


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is made in it


def _timed(server: Airflow, path: str) -> float:
    began_s = time.perf_counter()
    server.client.get(path).raise_for_status()
    return time.perf_counter() - began_s


def _spread(took_s: list[float]) -> Figures:
    took_s.sort()
    return {
        "median_s": statistics.median(took_s),
        "p99_s": took_s[min(len(took_s) - 1, int(len(took_s) * 0.99))],
        "most_s": took_s[-1],
        "calls": len(took_s),
    }


def _with_tabs(
    server: Airflow,
    names: list[str],
    tokens: dict[str, str],
    run: Callable[[Airflow, str, threading.Event, Counter[str]], None],
) -> Figures:
    """Time heartbeats of the tasks while each has a tab open, and writes."""
    ended = threading.Event()
    seen: Counter[str] = Counter()
    threads = [threading.Thread(target=run, args=(server, name, ended, seen)) for name in names]
    threads.append(threading.Thread(target=_write, args=(server.home, names, ended)))
    for thread in threads:
        thread.start()
    try:
        time.sleep(2 * POLL_EVERY_S)
        took_s = _heartbeats(server, tokens)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    return _spread(took_s) | {"answers": seen["answers"], "failed": seen["failed"]}


def _heartbeats(server: Airflow, tokens: dict[str, str]) -> list[float]:
    took_s = []
    end_s = time.monotonic() + TABS_S
    with server.sign_in("admin") as client:
        while time.monotonic() < end_s:
            for told in tokens.values():
                number, token = told.split()
                headers = {"Authorization": f"Bearer {token}"}
                path, body = f"/execution/task-instances/{number}/heartbeat", {"hostname": "", "pid": 1}
                began_s = time.perf_counter()
                answer = client.put(path, headers=headers, json=body, timeout=LIMIT_S)
                took_s.append(time.perf_counter() - began_s)
                answer.raise_for_status()
                time.sleep(0.05)
                if time.monotonic() > end_s:
                    break
    return took_s


def _write(home: Path, names: list[str], ended: threading.Event) -> None:
    """Let each task log ten lines a second."""
    with contextlib.ExitStack() as stack:
        paths = [next((home / "logs").glob(f"**/task_id={name}/attempt=1.log")) for name in names]
        files = [stack.enter_context(path.open("a", buffering=1)) for path in paths]
        number = 0
        while not ended.wait(0.1):
            number += 1
            seconds, tenths = divmod(number, 10)
            for file in files:
                file.write(
                    f'{{"timestamp":"2024-11-20T13:00:{seconds % 60:02}.{tenths}00000Z","event":"more {number}"}}\n'
                )


def _poll_as_a_page(server: Airflow, name: str, ended: threading.Event, seen: Counter[str]) -> None:
    with server.sign_in("admin") as client:
        # Tabs are opened one after the other.
        ended.wait(POLL_EVERY_S * int(name.removeprefix("tab")) / TABS)
        while not ended.is_set():
            answer = client.get(logs_of(name), headers={"Accept": NDJSON}, timeout=LIMIT_S)
            seen["answers" if answer.is_success else "failed"] += 1
            ended.wait(POLL_EVERY_S)


def _follow(server: Airflow, name: str, ended: threading.Event, seen: Counter[str]) -> None:
    path = f"/logflume/api/v1/logs/bench/run/{name}/-1/1/stream"
    with (
        server.sign_in("admin") as client,
        client.stream("GET", path, params={"follow": "true", "tail": "100"}, timeout=LIMIT_S) as answer,
    ):
        seen["failed"] += not answer.is_success
        for _ in answer.iter_raw():
            seen["answers"] += 1
            if ended.is_set():
                break
