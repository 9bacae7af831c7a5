"""Task logs that leave while they are written: for ``REMOTE_TASK_LOG`` of a logging configuration of one's own.

Holds: a task and its supervisor wait for nothing: each event is one append to a file (``ship.appender``), without a
       thread, a queue or a network in between. MAX_OPEN files are open at once.
Plan:  each task's log goes into a stream of its own, at the same path below a folder of ours as Airflow's below its;
       ``logflume ship -f FOLDER`` brings them to where they are wanted, so that the log of a pod that is killed is
       there to the last second. Reading, and what is done when a task ends, is left to another such object, if any.
Loss:  what the disk does not take; counted, and told in the stream itself. A stream that cannot be opened is told once.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logflume.errors import LogflumeError
from logflume.ship.appender import Appender, json_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.ship.segments import Rules

    Processor = Callable[[Any, str, Any], Any]

MAX_OPEN = 8
"""So many logs are written at once by one process; a supervisor of Airflow's writes one."""

log = logging.getLogger(__name__)


class SegmentRemoteLog:
    """Airflow's ``RemoteLogIO`` whose processors append to segments.

    In the module that ``[logging] logging_config_class`` names::

        from logflume.airflow.logging_config import LOGGING_CONFIG, REMOTE_TASK_LOG as STOCK
        from logflume.airflow.segments import SegmentRemoteLog

        REMOTE_TASK_LOG = SegmentRemoteLog("/var/lib/logflume/tasks", beside=STOCK)
    """

    def __init__(self, folder: str | os.PathLike[str], *, beside: Any = None, rules: Rules | None = None) -> None:  # noqa: ANN401 - Airflow's
        """Open nothing yet.

        Args:
            folder: where streams are kept; somebody ships what is in it.
            beside: Airflow's own remote log: it reads, uploads, and sees each event, too.
            rules: how each stream is kept.
        """
        self._folder = Path(folder)
        self._beside = beside
        self._rules = rules
        self._open: dict[str, Appender | None] = {}

    @property
    def processors(self) -> tuple[Processor, ...]:
        """What sees each event of a task's log before it is written."""
        return (*getattr(self._beside, "processors", ()), self._append)

    def _append(self, logger: object, method_name: str, event: Any) -> Any:  # noqa: ANN401 - as structlog has it
        path = _path_of(logger)
        if path is not None and isinstance(event, dict):
            appender = self._appender(path)
            if appender is not None:
                appender.append(json_line({"level": method_name, **event}))
        return event

    def _appender(self, path: str) -> Appender | None:
        if path not in self._open:
            while len(self._open) >= MAX_OPEN:
                self._close(next(iter(self._open)))
            self._open[path] = self._opened(path)
        return self._open[path]

    def _opened(self, path: str) -> Appender | None:
        where = self._folder / path
        try:
            return Appender(where.parent, where.name, self._rules)
        except (OSError, LogflumeError) as error:
            self._open[path] = None  # what is logged here comes this way, too
            log.warning("%s cannot be written: %s", where, error)
        return None

    def _close(self, path: str) -> None:
        appender = self._open.pop(path, None)
        if appender is not None:
            appender.close()

    def upload(self, path: str | os.PathLike[str], ti: object = None) -> None:
        """Close the stream of a task that has ended; then do what the other one does."""
        self._close(os.fspath(path))
        if self._beside is not None:
            self._beside.upload(path, ti)

    def read(self, relative_path: str, ti: object) -> tuple[list[str], list[str] | None]:
        """Return what the other one reads; nothing without it: the local file is read by Airflow itself."""
        if self._beside is None:
            return [], None
        found: tuple[list[str], list[str] | None] = self._beside.read(relative_path, ti)
        return found

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else the other one has: ``stream``, its settings
        if name.startswith("_") or self._beside is None:
            raise AttributeError(name)
        return getattr(self._beside, name)


def _path_of(logger: object) -> str | None:
    """Return where a logger's file lies below Airflow's log folder; None for what is no task's log."""
    from airflow.sdk.log import relative_path_from_logger

    if not hasattr(logger, "_file"):
        return None
    try:
        path = relative_path_from_logger(logger)
    except ValueError:  # it lies elsewhere
        return None
    return None if path is None or not path.name.endswith(".log") else path.as_posix()
