"""Airflow's own logging configuration, with logflume's handler in the place of the one that reads task logs.

Holds: everything that the deployment has configured (levels, formats, remote logging, extra loggers) stays; what writes
       a task's log is unchanged. Without logflume, Airflow's default does the same again.

Airflow looks for ``REMOTE_TASK_LOG`` and ``DEFAULT_REMOTE_CONN_ID`` in the module that ``logging_config_class`` names.
"""

from __future__ import annotations

import copy
from typing import Any

from airflow.config_templates import airflow_local_settings as stock

HANDLER = "logflume.airflow.handler.TaskLogHandler"
STOCK_HANDLER = "airflow.utils.log.file_task_handler.FileTaskHandler"

LOGGING_CONFIG: dict[str, Any] = copy.deepcopy(stock.DEFAULT_LOGGING_CONFIG)
for _handler in LOGGING_CONFIG["handlers"].values():
    if _handler.get("class") == STOCK_HANDLER:
        _handler["class"] = HANDLER

REMOTE_TASK_LOG = stock.REMOTE_TASK_LOG
DEFAULT_REMOTE_CONN_ID = stock.DEFAULT_REMOTE_CONN_ID
