"""Where the log of one try of a task lies: which places are asked, in which order, and what each of them says.

Holds: asking opens nothing but what a place must open to answer; no executor is made. A place that fails is a message
       with its reason, and the others are still asked.
Plan:  remote store, executor (while the task runs), local files, log servers: as Airflow does, and in its order. What
       is not installed gives nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from airflow.utils.state import State, TaskInstanceState

from logflume.abc import Found
from logflume.airflow.local import local_files

if TYPE_CHECKING:
    from collections.abc import Callable

_said = logging.getLogger(__name__)


def collect(ti: Any, try_number: int, path: str, base_folder: str) -> Found:  # noqa: ANN401 - Airflow's task instance
    """Ask every place that may hold the log of a try.

    Args:
        ti: Airflow's ``TaskInstance`` or ``TaskInstanceHistory``.
        try_number: which try.
        path: of its log, relative to the log folder, as Airflow's template of file names has it.
        base_folder: the log folder.
    """
    remote = _ask("the remote log store", "logflume.airflow.remote", "remote_logs", ti, try_number, path)
    executor = Found()
    if ti.state == TaskInstanceState.RUNNING:
        executor = _ask("the executor", "logflume.airflow.running", "executor_logs", ti, try_number)
    ended = ti.state not in State.unfinished
    local = Found() if ended and remote.sources else local_files(base_folder, path)
    found = [remote, executor, local]
    return Found([text for each in found for text in each.messages], [at for each in found for at in each.sources])


def _ask(place: str, module: str, function: str, *arguments: object) -> Found:
    """Call ``function`` of a module that may not be there; what it raises is a message."""
    try:
        call: Callable[..., Found] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return Found()
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - somebody else's code; the other places still have the log
        _said.warning("asking %s for the log failed", place, exc_info=True)
        return Found([f"Could not read from {place}: {type(error).__name__}: {error}"])
