"""Airflow's own API server in this process, over rows that a test writes: no scheduler, no DAG, no task.

Holds: the database and the logs lie in AIRFLOW_HOME, which is a folder of the test run; loopback only.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import uvicorn
from airflow import settings
from airflow.models import DagModel, DagRun, TaskInstance
from airflow.models.dagbundle import DagBundleModel
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.tasklog import LogTemplate
from airflow.utils.db import initdb
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.log.log_reader import TaskLogReader
from sqlalchemy import delete, func, insert, select, update

from logflume.airflow import TaskLogHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

SIGNED_IN: dict[str, str] = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"}
WHEN = dt.datetime(2024, 11, 20, 12, 34, 56, tzinfo=dt.timezone.utc)
READERS = {"stock": FileTaskHandler, "logflume": TaskLogHandler}


class Api:
    """A running API server."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.folder = Path(os.environ["AIRFLOW_HOME"]) / "logs"
        self._runs = 0
        with settings.Session() as session:
            self._template = session.scalar(select(func.max(LogTemplate.id)))

    def read_with(self, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have logs read by the handler of Airflow (``stock``), or by that of logflume."""
        monkeypatch.setattr(TaskLogReader, "log_handler", READERS[reader](str(self.folder)))

    def add_template(self, filename: str) -> int:
        """Have the database know a template of file names; return its number."""
        with settings.Session() as session:
            row = LogTemplate(filename=filename, elasticsearch_id="x")
            session.add(row)
            session.commit()
            return int(row.id)

    def add(self, dag_id: str, run_id: str, task_id: str, *, template: int | None = None, **row: Any) -> None:  # noqa: ANN401
        """Add a run with one task instance; ``row`` are columns of it."""
        self._runs += 1
        run = {"dag_id": dag_id, "run_id": run_id, "run_type": "manual", "state": "success", "id": self._runs}
        when: dict[str, Any] = {"logical_date": WHEN + dt.timedelta(seconds=self._runs), "run_after": WHEN}
        when["log_template_id"] = template or self._template
        of_task = {"id": _new_id(), "dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1}
        plain = {
            "state": "success",
            "try_number": 1,
            "hostname": "",
            "pool": "default_pool",
            "task_display_name": task_id,
        }
        with settings.Session() as session:
            session.merge(DagBundleModel(name="made-up"))
            session.flush()
            session.merge(DagModel(dag_id=dag_id, bundle_name="made-up"))
            session.flush()
            session.execute(insert(DagRun.__table__).values(**run, **when))
            session.execute(insert(TaskInstance.__table__).values(**of_task | plain | row))
            session.commit()

    def clear(self, task_id: str) -> None:
        """Do what clearing a task and starting it again does: the try becomes history, the next one runs."""
        table, history = TaskInstance.__table__, TaskInstanceHistory.__table__
        with settings.Session() as session:
            row = dict(session.execute(table.select().where(table.c.task_id == task_id)).mappings().one())
            (primary,) = (column.name for column in history.primary_key)
            past = {name: value for name, value in row.items() if name in history.c}
            session.execute(insert(history).values(**past | {primary: row["id"], "state": "failed"}))
            more = {"try_number": row["try_number"] + 1, "state": "running", "id": _new_id()}
            session.execute(update(table).where(table.c.task_id == task_id).values(**more))
            session.commit()

    def end(self, task_id: str) -> None:
        """Have a task succeed now."""
        table = TaskInstance.__table__
        ended = {"state": "success", "end_date": dt.datetime.now(tz=dt.timezone.utc)}
        with settings.Session() as session:
            session.execute(update(table).where(table.c.task_id == task_id).values(**ended))
            session.commit()

    def forget(self) -> None:
        """Remove all rows and logs."""
        with settings.Session() as session:
            for model in (TaskInstanceHistory, TaskInstance, DagRun):
                session.execute(delete(model.__table__))
            session.commit()

    def write(self, path: str, data: bytes) -> Path:
        """Write a file of the log folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def ask(self, *parts: str, accept: str = "json", map_index: int = -1, token: str | None = None) -> httpx.Response:
        """Ask for the log of ``dag, run, task, try`` at Airflow's own route, as JSON or as NDJSON."""
        dag, run, task, number = (quote(part, safe="") for part in parts)
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{number}"
        parameters = {"map_index": str(map_index)} | ({} if token is None else {"token": token})
        return self.client.get(path, params=parameters, headers={"Accept": f"application/{accept}"})


def _new_id() -> uuid.UUID | str:
    """Return the id of a row, in the type that this version of Airflow keeps it in."""
    new = uuid.uuid4()
    return new if TaskInstance.__table__.c.id.type.python_type is uuid.UUID else str(new)


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the messages of an answer of either kind."""
    assert answer.status_code == 200, answer.text
    if "ndjson" in answer.headers["content-type"]:
        return [json.loads(line) for line in answer.content.decode().splitlines() if line]
    return list(answer.json()["content"])


@contextmanager
def serving() -> Iterator[Api]:
    """Serve Airflow's API; SIGNED_IN has to be in the environment."""
    from airflow.api_fastapi.app import create_app

    initdb()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            # After a fault the server ends the connection behind its answer; the next request on it would be lost.
            once = httpx.Limits(max_keepalive_connections=0)
            with httpx.Client(base_url=url, timeout=60, trust_env=False, limits=once) as client:
                token = client.get("/auth/token").json()["access_token"]
                client.headers["Authorization"] = f"Bearer {token}"
                yield Api(client)
        finally:
            server.should_exit = True
            thread.join()
