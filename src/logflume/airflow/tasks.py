"""The logs of task instances, as a catalog of the engine: ``dag/run/task/map_index/try``, each part percent-encoded.

Holds: no database session is open but while a row is read; what is kept of a row is what finding its log takes.
Plan:  a log looks at its row again every ROW_S, and asks where it lies every PLACES_S: while it is followed, its task
       ends, new files appear, and the log moves to the remote store. While the database is away, what was known of a
       row holds on.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from airflow.models import TaskInstance, Trigger
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.log.log_reader import TaskLogReader
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import joinedload

from logflume.airflow.collect import collect, name_of_log
from logflume.airflow.settling import has_settled
from logflume.errors import LogNotFound
from logflume.records import LogState, LogStatus
from logflume.serve.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.abc import Log, Source

ROW_S = 2.0
"""How often the row of a task is looked at again."""

PLACES_S = 5.0
"""How often it is asked anew where a log lies."""

AWAY_S = 5
"""When to ask again while the database is away."""

_said = logging.getLogger(__name__)

_STATES = {
    TaskInstanceState.RUNNING: LogState.RUNNING,
    TaskInstanceState.DEFERRED: LogState.RUNNING,
    TaskInstanceState.SUCCESS: LogState.SUCCEEDED,
    TaskInstanceState.FAILED: LogState.FAILED,
}

_SAY_ALL = (TaskInstanceState.RUNNING, TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)
"""States of a task that say no more than that of its log."""


def log_id_of(dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> str:
    """Name the log of a try."""
    return "/".join(quote(str(part), safe="") for part in (dag_id, run_id, task_id, map_index, try_number))


def database_is_away() -> Problem:
    """Return what is said to who asks meanwhile."""
    detail = "Airflow's database does not answer. The log is still there: ask again in a while."
    return Problem(503, "database-away", detail, headers={"Retry-After": str(AWAY_S)})


class TaskCatalog:
    """Finds logs by what Airflow calls them; it lists none, for who may see which is for Airflow to say."""

    def iter_logs(self, prefix: str = "", after: str = "") -> Iterator[Log]:
        """Yield nothing."""
        del prefix, after
        yield from ()

    def find(self, log_id: str) -> TaskLog:
        """Find a try.

        Raises:
            LogNotFound: the database has none of that name.
            Problem: the database does not answer.
        """
        parts = [unquote(part) for part in log_id.split("/")]
        try:
            dag_id, run_id, task_id, map_index, try_number = parts
            key = (dag_id, run_id, task_id, int(map_index), int(try_number))
        except ValueError:
            raise LogNotFound(log_id) from None
        return TaskLog(log_id, key)


def latest_try(dag_id: str, run_id: str, task_id: str, map_index: int) -> int | None:
    """Return the number of the try that a task instance is at; None if there is no such task instance."""
    query = select(TaskInstance.try_number).where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.run_id == run_id,
        TaskInstance.task_id == task_id,
        TaskInstance.map_index == map_index,
    )
    with create_session() as session:
        number: int | None = session.scalar(query)
    return number


class TaskLog:
    """The log of one try; see ``logflume.abc.Log``."""

    def __init__(self, log_id: str, key: tuple[str, str, str, int, int]) -> None:
        """Look at the row.

        Raises:
            LogNotFound: there is none.
            Problem: the database does not answer.
        """
        self.id = log_id
        self._key = key
        self._looking = threading.Lock()
        self._looked_s = self._asked_s = float("-inf")
        self._sources: list[Source] = []
        try:
            self._row = self._look()
        except DBAPIError as error:
            raise database_is_away() from error

    def sources(self) -> list[Source]:
        """Return where it lies now."""
        with self._looking:
            before = self._row.state
            self._refresh()
            if self._row.state != before or time.monotonic() - self._asked_s >= PLACES_S:
                self._sources = collect(self._row, self._key[4], self._path, self._folder).sources
                self._asked_s = time.monotonic()
            return list(self._sources)

    def peek_status(self) -> LogStatus:
        """Say how its task stands."""
        with self._looking:
            self._refresh()
            state = self._row.state
            if self._row.try_number != self._key[4]:
                return LogStatus(LogState.ENDED)
            detail = "" if state in _SAY_ALL else str(state or "")
            status = LogStatus(_STATES.get(state, LogState.ENDED), detail=detail)
            # Who follows is given what comes after the end, too.
            return status if has_settled(self._row) else replace(status, state=LogState.RUNNING)

    def _refresh(self) -> None:
        if time.monotonic() - self._looked_s < ROW_S:
            return
        try:
            self._row = self._look()
        except DBAPIError:
            self._looked_s = time.monotonic()
            _said.warning("the row of %s cannot be looked at; what was known of it holds on", self.id, exc_info=True)

    def _look(self) -> Any:  # noqa: ANN401 - Airflow's task instance
        """Read the row, with what is needed of it, and let the session go."""
        dag_id, run_id, task_id, map_index, try_number = self._key
        with create_session() as session:
            for model in (TaskInstance, TaskInstanceHistory):
                query = select(model).where(
                    model.dag_id == dag_id,
                    model.run_id == run_id,
                    model.task_id == task_id,
                    model.map_index == map_index,
                    model.try_number == try_number,
                )
                if model is TaskInstance:
                    query = query.options(joinedload(TaskInstance.trigger).joinedload(Trigger.triggerer_job))
                row = session.scalar(query.options(joinedload(model.dag_run)))
                if row is not None:
                    handler = _handler()
                    self._path = name_of_log(handler, row, try_number)
                    self._folder = handler.local_base
                    self._looked_s = time.monotonic()
                    session.expunge_all()
                    return row
        raise LogNotFound(self.id)


def _handler() -> Any:  # noqa: ANN401 - untyped where Airflow is not installed
    """Return the handler that Airflow reads logs with; a fresh one if that knows no files."""
    handler = TaskLogReader().log_handler
    if isinstance(handler, FileTaskHandler):
        return handler
    from airflow.config_templates.airflow_local_settings import BASE_LOG_FOLDER

    return FileTaskHandler(BASE_LOG_FOLDER)
