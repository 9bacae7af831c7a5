"""A task that prints many lines as fast as it can, and waits in the middle until somebody has had a look.

Holds no state. MANY_LINES in the environment says how many; it goes on when the file MANY_SEEN is there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

BATCH = 1000
DEADLINE_S = 600


def print_many_lines() -> None:
    """Print numbered lines."""
    lines = int(os.environ.get("MANY_LINES", "1000"))
    print_lines(0, lines // 2)
    deadline_s = time.monotonic() + DEADLINE_S
    while not Path(os.environ["MANY_SEEN"]).exists() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    print_lines(lines // 2, lines)


def print_lines(first: int, end: int) -> None:
    """Print a part of them."""
    for start in range(first, end, BATCH):
        sys.stdout.write("".join(f"number {number} of many\n" for number in range(start, min(start + BATCH, end))))
    sys.stdout.flush()


with DAG("many_lines", schedule=None, is_paused_upon_creation=False):
    PythonOperator(task_id="many", python_callable=print_many_lines)
