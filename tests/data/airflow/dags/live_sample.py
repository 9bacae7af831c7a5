"""A task that logs what it is told, when it is told: a test writes lines into a file, and the task logs them.

Holds no state. LIVE_LINES in the environment is that file; the line ``end`` ends the task.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

DEADLINE_S = 300


def log_what_is_told() -> None:
    """Log each line of the file as it comes, until ``end``."""
    log = logging.getLogger("sample.live")
    told = 0
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        path = Path(os.environ["LIVE_LINES"])
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines[told:]:
            if line == "end":
                return
            log.info(line)
        told = len(lines)
        time.sleep(0.1)


with DAG("live_sample", schedule=None, is_paused_upon_creation=False):
    PythonOperator(task_id="live", python_callable=log_what_is_told)
