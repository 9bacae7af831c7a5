"""Airflow's own logging configuration, with logflume's handler in the place of the one that reads task logs.

Holds: everything that the deployment has configured (levels, formats, remote logging, extra loggers) stays; what writes
       a task's log is unchanged. Without logflume, Airflow's default does the same again.

A provider's own handler (Elasticsearch has one) is kept for what else it knows: links to the page of its service.

Airflow looks for ``REMOTE_TASK_LOG`` and ``DEFAULT_REMOTE_CONN_ID`` in the module that ``logging_config_class`` names.
"""

from __future__ import annotations

import copy
from typing import Any

from airflow.config_templates import airflow_local_settings as stock

HANDLER = "logflume.airflow.handler.TaskLogHandler"
LINKED_HANDLER = "logflume.airflow.handler.LinkedTaskLogHandler"
STOCK_HANDLER = "airflow.utils.log.file_task_handler.FileTaskHandler"
_COMMON = {"base_log_folder", "filters", "formatter", "level"}


def _ours(stock_handler: dict[str, Any]) -> dict[str, Any]:
    """Return what stands in the place of a handler; itself if it reads no task logs, or what only it can read."""
    name: str = stock_handler.get("class", "")
    if name == STOCK_HANDLER:
        return {**stock_handler, "class": HANDLER}
    if name.endswith("TaskHandler") and stock.REMOTE_TASK_LOG is not None:  # it reads the same store
        kept = {key: value for key, value in stock_handler.items() if key in _COMMON}
        return {**kept, "class": LINKED_HANDLER, "linking": {**stock_handler}}
    return stock_handler


LOGGING_CONFIG: dict[str, Any] = copy.deepcopy(stock.DEFAULT_LOGGING_CONFIG)
LOGGING_CONFIG["handlers"] = {name: _ours(each) for name, each in LOGGING_CONFIG["handlers"].items()}

REMOTE_TASK_LOG = stock.REMOTE_TASK_LOG
DEFAULT_REMOTE_CONN_ID = stock.DEFAULT_REMOTE_CONN_ID
