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

from airflow.sdk.log import redact
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy.exc import SQLAlchemyError

from logflume.abc import Found
from logflume.airflow.local import local_files
from logflume.airflow.served import served_logs
from logflume.records import Gap, GapReason
from logflume.sources.missing import MissingSource

if TYPE_CHECKING:
    from collections.abc import Callable

_BETWEEN_TRIES = (TaskInstanceState.UP_FOR_RETRY, TaskInstanceState.UP_FOR_RESCHEDULE)

_TEMPLATE = (
    "Mend [logging] log_filename_template; runs of before keep theirs, in the table log_template of the database."
)

_said = logging.getLogger(__name__)


def name_of_log(handler: Any, ti: Any, try_number: int) -> str | Gap:  # noqa: ANN401 - Airflow's handler, and row
    """Return the path of a try's log below the log folder; a Gap where the template of its run cannot be filled in.

    Raises:
        SQLAlchemyError: the database cannot be asked for the template.
    """
    try:
        name: str = handler._render_filename(ti, try_number)  # noqa: SLF001 - Airflow's name of the file
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - a template is somebody else's code
        detail = f"The name of the log's file cannot be told: {type(error).__name__}: {error}."
        return Gap("template", GapReason.UNREADABLE, detail, _TEMPLATE)
    return name


def collect(ti: Any, try_number: int, path: str | Gap, base_folder: str) -> Found:  # noqa: ANN401 - Airflow's row
    """Ask every place that may hold the log of a try.

    Args:
        ti: Airflow's ``TaskInstance`` or ``TaskInstanceHistory``.
        try_number: which try.
        path: of its log, relative to the log folder, as Airflow's template of file names has it; or why there is none.
        base_folder: the log folder.
    """
    if isinstance(path, Gap):
        return Found([], [MissingSource(path)])
    remote = _ask("the remote log store", _of_module("logflume.airflow.remote", "remote_logs"), ti, try_number, path)
    executor = Found()
    if ti.state == TaskInstanceState.RUNNING:
        executor = _ask("the executor", _of_module("logflume.airflow.running", "executor_logs"), ti, try_number)
    ended = ti.state not in State.unfinished
    local = Found() if ended and remote.sources else local_files(base_folder, path)
    served = Found()
    if _may_be_served(ti, have=bool(local.sources or remote.sources), have_executor=bool(executor.sources)):
        served = _ask("the log servers", served_logs, ti, path, local=bool(local.sources))
    found = [remote, executor, local, served]
    messages = [text for each in found for text in each.messages]
    sources = [source for each in found for source in each.sources]
    if not messages and not sources and not ended:
        messages.append(
            f"There is no log yet: the task is {ti.state or 'not scheduled'}. It begins when the task runs."
        )
    return Found(messages, sources)


def _may_be_served(ti: Any, *, have: bool, have_executor: bool) -> bool:  # noqa: ANN401 - Airflow's task instance
    """Tell whether log servers are asked: while the try runs, and later when there is nothing elsewhere."""
    if ti.state in (TaskInstanceState.RUNNING, TaskInstanceState.DEFERRED):
        return not have_executor
    return not have and (ti.state not in State.unfinished or ti.state in _BETWEEN_TRIES)


def _of_module(module: str, function: str) -> Callable[..., Found]:
    """Return a function of a module that may not be there; then one that finds nothing."""
    try:
        call: Callable[..., Found] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return lambda *_: Found()
    return call


def _ask(place: str, call: Callable[..., Found], *arguments: object, **named: object) -> Found:
    """Ask one place; what it raises is a message."""
    try:
        return call(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - somebody else's code; the other places still have the log
        _said.warning("asking %s for the log failed", place, exc_info=True)
        return Found([str(redact(f"Could not read from {place}: {type(error).__name__}: {error}"))])
