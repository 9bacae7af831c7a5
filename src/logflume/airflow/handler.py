"""The handler that Airflow asks for task logs. Airflow's contract is kept here; all merging is the engine's.

Holds: nothing between two reads but its base folder. What writes logs is Airflow's own, inherited.
Plan:  find the places (``collect``), look where they end now (``positions``), tell where that is, give a stream that
       merges them while it is consumed (``messages``).

Airflow's contract: ``read(ti, try_number, metadata)`` returns a generator and metadata. That of a try that has ended is
exactly ``end_of_log`` and ``log_pos``; while it runs, what is beside them comes back with the next request, signed.
"""

from __future__ import annotations

import pkgutil
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.log.logging_mixin import ExternalLoggingMixin
from airflow.utils.state import TaskInstanceState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.airflow.messages import Message

_RUNNING = (TaskInstanceState.RUNNING, TaskInstanceState.DEFERRED)


class TaskLogHandler(FileTaskHandler):  # type: ignore[misc] # untyped where Airflow is not installed
    """Reads the log of a try from all places at once, merged by time, in bounded memory.

    Order:  by timestamp; a late line keeps its place in its source.
    Loss:   none; what cannot be read is told in the messages, with its reason.
    Memory: one block and one record for each source, whatever the size of the log.
    """

    def _read(
        self,
        ti: Any,  # noqa: ANN401 - Airflow's task instance
        try_number: int,
        metadata: dict[str, Any] | None = None,
    ) -> tuple[Iterator[Message], dict[str, Any]]:
        # Airflow loads its logging configuration in every process; few of them read logs.
        from logflume.airflow.collect import collect, name_of_log
        from logflume.airflow.reply import Reply
        from logflume.airflow.settling import has_settled

        found = collect(ti, try_number, name_of_log(self, ti, try_number), self.local_base)
        is_older = ti.try_number != try_number
        over = is_older or ti.state not in _RUNNING
        ended = is_older or (over and has_settled(ti))
        page_lines = conf.getint("logflume", "json_page_lines", fallback=0)
        reply = Reply(found, metadata or {}, over=over, ended=ended, page_lines=page_lines)
        return reply.messages(), reply.metadata


class LinkedTaskLogHandler(TaskLogHandler, ExternalLoggingMixin):  # type: ignore[misc] # as above
    """Reads as TaskLogHandler does, and gives the links of the provider's handler in whose place it is."""

    def __init__(self, base_log_folder: str, *, linking: dict[str, Any]) -> None:
        """Make nothing of the provider's yet; ``linking`` is how the logging configuration describes its handler."""
        super().__init__(base_log_folder)
        self._linking = dict(linking)

    @cached_property
    def _linked(self) -> Any:  # noqa: ANN401 - a class of a provider
        for of_logging in ("formatter", "filters", "level"):
            self._linking.pop(of_logging, None)
        return pkgutil.resolve_name(self._linking.pop("class"))(**self._linking)

    @property
    def log_name(self) -> str:
        """The name of the provider's service."""
        name: str = self._linked.log_name
        return name

    def get_external_log_url(self, task_instance: Any, try_number: int) -> str:  # noqa: ANN401 - as above
        """Return the address of a log in the provider's service."""
        url: str = self._linked.get_external_log_url(task_instance, try_number)
        return url

    @property
    def supports_external_link(self) -> bool:
        """Tell whether there are such addresses."""
        return bool(self._linked.supports_external_link)
