"""The remote log of a try: whatever Airflow's configured provider has of it, each object a source behind a spool.

Holds: nothing; a store is asked what it has, and read when the source is.
Plan:  ``providers.walk`` says what there is. A provider that raises, now or while it is read, is a source that says
why, and the others still show. Older tries are read with their own row, for providers look at ``ti.try_number``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from logflume.abc import Found
from logflume.airflow.providers import MAX_PARTS, Part, walk
from logflume.records import Gap, GapReason
from logflume.sources.missing import MissingSource
from logflume.sources.streamed import StreamedSource

if TYPE_CHECKING:
    from logflume.abc import Source

_said = logging.getLogger(__name__)

_TODO = "Check the remote logging connection, its permissions and the store; the log of the API server has the details."


def remote_logs(ti: Any, try_number: int, path: str) -> Found:  # noqa: ANN401 - Airflow's task instance
    """Ask the remote log store for the log of a try; nothing when none is configured.

    Args:
        ti: Airflow's ``TaskInstance`` or ``TaskInstanceHistory``.
        try_number: which try.
        path: of its log, relative to the log folder.

    Order:  objects by name. Loss: none; what cannot be read is a source that says why.
    Memory: that of ``StreamedSource`` while it is read; a provider without a walker or ``stream`` gives whole texts.
    """
    io = _configured()
    if io is None:
        return Found()
    try:
        messages, parts = walk(io, path, row_of(ti, try_number))
    except Exception as error:  # noqa: BLE001 - somebody else's code; the other places still have the log
        _said.warning("the remote log store failed", exc_info=True)
        return Found([], [MissingSource(Gap(f"{_name(io)} {path}", GapReason.UNREADABLE, _say(error), _TODO))])
    shown: list[Source] = [_source(part) for part in parts[:MAX_PARTS]]
    if len(parts) > MAX_PARTS:
        messages = [*messages, f"{len(parts) - MAX_PARTS} of {len(parts)} objects of this try are not shown."]
    return Found(messages, shown)


def _configured() -> Any:  # noqa: ANN401 - a class of a provider, or None
    from airflow import logging_config

    get = getattr(logging_config, "get_remote_task_log", None)  # since Airflow 3.2
    return get() if get else logging_config.REMOTE_TASK_LOG


def _source(part: Part) -> StreamedSource:
    return StreamedSource(part.name, part.make, say=_say, next_action=_TODO)


def _name(io: object) -> str:
    return type(io).__name__.removesuffix("RemoteLogIO")


def _say(error: BaseException) -> str:
    """Say what a provider raised, in one line, without the secrets that Airflow knows of."""
    text = str(error).strip().partition("\n")[0][:300]
    return f"The remote log could not be read: {type(error).__name__}{': ' if text else ''}{_masked(text)}."


def _masked(text: str) -> str:
    from airflow.sdk.log import redact

    return str(redact(text))


def row_of(ti: Any, try_number: int) -> Any:  # noqa: ANN401 - Airflow's rows
    """Return the row of a try: the task instance itself, that of its history, or itself as if it were of that try."""
    if ti.try_number == try_number:
        return ti
    try:
        return _history_row(ti, try_number) or _OfTry(ti, try_number)
    except Exception:  # noqa: BLE001 - no database, or another one: what identifies a log is known without
        _said.warning("the history of a try could not be read", exc_info=True)
        return _OfTry(ti, try_number)


def _history_row(ti: Any, try_number: int) -> Any:  # noqa: ANN401 - as above
    from airflow.models.taskinstancehistory import TaskInstanceHistory as Row
    from airflow.utils.session import create_session

    of_task = (getattr(Row, key) == getattr(ti, key) for key in ("dag_id", "task_id", "run_id", "map_index"))
    with create_session() as session:
        row = session.query(Row).filter(*of_task, Row.try_number == try_number).first()
        if row is not None:
            session.expunge(row)
        return row


class _OfTry:
    """A row that says another try number, and is the same in all else."""

    def __init__(self, ti: Any, try_number: int) -> None:  # noqa: ANN401 - as above
        self._ti = ti
        self.try_number = try_number

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._ti, name)
