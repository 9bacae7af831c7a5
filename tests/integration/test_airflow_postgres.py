"""A real Airflow on PostgreSQL: tasks of all kinds, a million lines, and a database that goes away."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.airflow_home import LOGFLUME, airflow
from tests.postgres import postgres, programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow_home import Airflow
    from tests.postgres import Postgres

VENV = Path(__file__).parents[2] / ".venv-airflow"
DEADLINE_S = 400.0
MANY = 1_000_000
THREADS = 40
"""Of an API server of Airflow, for all of its routes."""

READERS = 4
ENDED = ("success", "failed")
NDJSON = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
JSON = {"Accept": "application/json"}
SAMPLE, MANY_LINES = "/dags/log_sample/dagRuns/sample", "/dags/many_lines/dagRuns/many"
OURS = "/logflume/api/v1/logs/many_lines/many/many/-1/1/stream"
LIVE = "/logflume/api/v1/logs/live_sample/live/live/-1/1"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """Give PostgreSQL."""
    found = programs()
    if found is None:
        message = "there is no PostgreSQL below /usr/lib/postgresql: make packages"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with postgres(found) as running:
        yield running


@pytest.fixture(scope="module")
def server(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Give an Airflow whose sample DAG has run, and whose many lines are being printed."""
    if not (VENV / "bin" / "python").exists():
        message = f"there is no {VENV}: make airflow"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    home = tmp_path_factory.mktemp("airflow") / "home"
    settings = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url,
        "AIRFLOW__LOGFLUME__HEARTBEAT_S": "1",
        "AIRFLOW__LOGFLUME__MAX_READERS_PER_CALLER": str(READERS),
        "AIRFLOW__CORE__PARALLELISM": "5",
        "MANY_LINES": str(MANY),
        "MANY_SEEN": str(home / "many_seen"),
    }
    with airflow(VENV, home, settings=LOGFLUME | settings) as running:
        for dag, run in (("many_lines", "many"), ("log_sample", "sample")):
            running.trigger(dag, run)
        running.wait_for("end of the sample", lambda: running.state(SAMPLE) in ENDED)
        task = f"{MANY_LINES}/taskInstances/many"
        running.wait_for("the task of many lines", lambda: running.state(task) == "running")
        yield running


def log_path(run: str, task: str, number: int = 1) -> str:
    """Return where the log of a try is."""
    return f"/api/v2{run}/taskInstances/{task}/logs/{number}"


def events(server: Airflow, path: str, **parameters: int) -> list[str]:
    """Ask the NDJSON route; return the texts."""
    answer = server.client.get(path, headers=NDJSON, params=parameters, timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text[:2000]
    assert answer.content.endswith(b"\n")
    return [json.loads(line)["event"] for line in answer.content.removesuffix(b"\n").split(b"\n")]


def numbers(texts: list[str]) -> list[int]:
    """Return the numbers of the many lines."""
    return [int(text.split()[1]) for text in texts if text.startswith("number ")]


def test_many_lines_are_read_while_they_are_printed(server: Airflow) -> None:
    """Each look at the running task's log gives all lines so far, each once and in order."""
    seen = 0
    deadline_s = time.monotonic() + DEADLINE_S
    while seen < MANY // 2:
        assert time.monotonic() < deadline_s
        found = numbers(events(server, log_path(MANY_LINES, "many")))
        assert found == list(range(len(found)))
        assert len(found) >= seen
        seen = len(found)
        time.sleep(1)  # to look takes what printing needs
    assert server.state(f"{MANY_LINES}/taskInstances/many") == "running"
    (server.home / "many_seen").touch()


def test_what_failed_was_tried_again_deferred_mapped_and_killed_is_told(server: Airflow) -> None:
    """The logs of all kinds of tasks hold what those tasks say."""
    assert "first try: about to fail" in events(server, log_path(SAMPLE, "flaky", 1))
    assert "second try: all is well" in events(server, log_path(SAMPLE, "flaky", 2))
    deferred = events(server, log_path(SAMPLE, "deferred"))
    assert deferred.index("trigger starting") < deferred.index("trigger completed")
    for index, name in enumerate(("Ada", "Grace", "Zoë")):
        assert f"hello {name}" in events(server, log_path(SAMPLE, "mapped"), map_index=index)
    assert "half a line befo" in events(server, log_path(SAMPLE, "killed"))
    answer = server.client.get(log_path(SAMPLE, "chained_failure"), headers=NDJSON)
    assert '"exc_type":"ShipmentError"' in answer.text


def test_a_million_lines_are_all_there(server: Airflow) -> None:
    """When the task has ended, each of its lines is given once, in order, and the file's own bytes with it."""
    task = f"{MANY_LINES}/taskInstances/many"
    server.wait_for("end of the many lines", lambda: server.state(task) in ENDED)
    (log,) = (server.home / "logs").glob("dag_id=many_lines/**/attempt=1.log")
    # The worker writes what is still in the pipe after it has reported the end.
    last = f"number {MANY - 1} of many".encode()
    server.wait_for("last line", lambda: last in log.read_bytes()[-10_000:], DEADLINE_S)
    answer = server.client.get(log_path(MANY_LINES, "many"), headers=NDJSON, timeout=DEADLINE_S).content
    assert numbers([json.loads(line)["event"] for line in answer.removesuffix(b"\n").split(b"\n")]) == list(range(MANY))
    head, end, body = answer.partition(b'"event":"::endgroup::"}\n')
    assert (head.count(b"\n"), end != b"") == (2, True)
    written = log.read_bytes()
    assert body == written[: len(body)]
    messages = server.client.get(log_path(MANY_LINES, "many"), headers=JSON, timeout=DEADLINE_S).json()["content"]
    assert numbers([message["event"] for message in messages]) == list(range(MANY))


def test_readers_that_stall_hold_up_nobody(server: Airflow, database: Postgres) -> None:
    """More stalled readers than Airflow has threads keep none of those and no session; one too many is refused."""
    stalled = []  # what is not kept hangs up
    with ExitStack() as stack:
        for path in [log_path(MANY_LINES, "many")] * (THREADS + 5) + [OURS] * READERS:
            answer = stack.enter_context(server.client.stream("GET", path, headers=NDJSON, timeout=DEADLINE_S))
            assert answer.status_code == 200
            stalled.append(answer.iter_raw())
            next(stalled[-1])
        refused = server.client.get(OURS)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert server.get("/dags/log_sample/dagRuns")["total_entries"] == 1
        held = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        server.wait_for("end of all transactions", lambda: database.ask(held) == "0", DEADLINE_S)


def test_a_follow_outlives_the_database(server: Airflow, database: Postgres) -> None:
    """A follow goes on while the database is away, with what is written meanwhile.

    From here on the scheduler may be gone: it does not outlive its database.
    """
    task = f"{server.trigger('live_sample', 'live')}/taskInstances/live"
    server.wait_for("live task", lambda: server.state(task) == "running")
    server.wait_for("its log", lambda: server.client.get(f"{LIVE}/stream").content != b"")
    (log,) = (server.home / "logs").glob("dag_id=live_sample/**/attempt=1.log")
    with server.client.stream("GET", f"{LIVE}/stream", params={"follow": "true"}, timeout=DEADLINE_S) as answer:
        assert answer.status_code == 200
        told = answer.iter_lines()
        next(told)
        database.stop()
        try:
            with log.open("a") as file:
                file.write("written without a database\n")
            assert any("written without a database" in line for line in told)
        finally:
            database.start()
    wait_until_it_is_back(server)


def test_a_stream_outlives_the_database(server: Airflow, database: Postgres) -> None:
    """A log that is being sent when the database goes is sent to its end; then the next requests say what is wrong."""
    whole = server.client.get(log_path(MANY_LINES, "many"), headers=NDJSON, timeout=DEADLINE_S).content
    read = []
    with server.client.stream("GET", log_path(MANY_LINES, "many"), headers=NDJSON, timeout=DEADLINE_S) as answer:
        pieces = answer.iter_raw()
        read.append(next(pieces))
        database.stop()
        try:
            read += pieces
            for path in (log_path(SAMPLE, "flaky"), "/logflume/api/v1/logs/log_sample/sample/flaky/-1/1"):
                assert server.client.get(path, headers=NDJSON).status_code in (500, 503)
            told = server.client.get("/logflume/api/v1/logs/log_sample/sample/flaky/-1/1/stream")
            assert told.status_code == 503
            assert told.json()["type"] == "urn:logflume:problem:database-away"
            assert int(told.headers["retry-after"]) > 0
        finally:
            database.start()
    assert b"".join(read) == whole
    wait_until_it_is_back(server)


def wait_until_it_is_back(server: Airflow) -> None:
    """Wait until logs are read as before."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        answers = [server.client.get(path) for path in (log_path(SAMPLE, "flaky"), f"{LIVE}/stream?limit=1")]
        if all(answer.status_code == httpx.codes.OK for answer in answers):
            return
        assert time.monotonic() < deadline_s, [answer.text for answer in answers]
        time.sleep(0.5)
