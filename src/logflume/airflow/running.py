"""The log of a running task, from whoever runs it; no executor of Airflow's own is made or imported for that.

Holds: one ``LogAccess`` for the process, made when a running task's log is first read.
Plan:  the configuration's names are Airflow's to read (aliases, teams); the rest is ``logflume.executors``.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.executors.executor_loader import ExecutorLoader

from logflume.executors import ExecutorName, LogAccess

if TYPE_CHECKING:
    from logflume.abc import Found

_making = threading.Lock()


def executor_logs(ti: Any, try_number: int) -> Found:  # noqa: ANN401 - Airflow's task instance
    """Ask the executor of a running try for its log; an answer without messages: ask the worker's log server.

    Order, loss, memory: those of ``LogAccess.ask``.
    """
    with _making:  # else two requests at once would make two
        access = _access()
    return access.ask(ti, try_number, team=_team_of(ti))


@functools.cache
def _access() -> LogAccess:
    names = ExecutorLoader.get_executor_names()
    return LogAccess([ExecutorName(each.module_path, each.alias, each.team_name) for each in names], _configured)


def _configured(section: str, key: str, team: str | None) -> str | None:
    of_team = {} if team is None else {"team_name": team}
    found = conf.get(section, key, fallback=None, **of_team)
    return None if found is None else str(found)


def _team_of(ti: Any) -> str | None:  # noqa: ANN401 - as above
    if not conf.getboolean("core", "multi_team", fallback=False):
        return None
    from airflow.models import DagModel

    return DagModel.get_team_name(ti.dag_id)  # type: ignore[no-any-return] # as above
