"""Tasks whose logs show every kind of line that Airflow writes.

Holds no state and needs nothing but Airflow's standard provider. SAMPLE_LINES in the
environment says how many lines `chatty` prints.
"""

# ruff: noqa: T201, LOG015 - odd logging is what these tasks are for

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from datetime import datetime, timedelta, timezone

import structlog
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG, TaskGroup, get_current_context
from airflow.sdk.log import mask_secret

CHATTY_LINES = int(os.environ.get("SAMPLE_LINES", "5000"))


class ShipmentError(Exception):
    """What the failing task ends with."""


def parse_weight(text: str) -> int:
    """Fail with a ValueError for anything but digits, two frames below the task."""
    return int(text)


def write_all_levels() -> None:
    """Log at every level, with positional arguments, keys of its own, a traceback, and over several lines."""
    log = logging.getLogger("sample.levels")
    structured = structlog.get_logger("sample.structlog")
    # Python's own handler is at INFO, as Airflow sets it up; only structlog lets DEBUG through.
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        structured.log(level, "structlog at level %s, number %d", logging.getLevelName(level), level)
        log.log(level, "logging at level %s, number %d", logging.getLevelName(level), level)
    logging.info("by the root logger")
    log.info("first line of one message\nsecond line\n\n\tfourth line, after an empty one")
    log.info("")
    log.info('quotes "double" and \'single\', a backslash \\ and a slash /, <b>no markup</b> & {"json": "inside"}')
    structured.warning("keys of its own", rows=2019, ratio=0.25, empty=None, nested={"path": ["a"]}, größe="12 µm")
    mask_secret("correct-horse-battery-staple")
    log.info("the password is correct-horse-battery-staple, as nobody may read")
    try:
        parse_weight("12 kg")
    except ValueError:
        log.exception("handled, and logged with its traceback")
    warnings.warn("a warning of Python itself", UserWarning, stacklevel=1)


def write_own_times() -> None:
    """Log with timestamps that the task sets: a whole second, another zone, and one that is out of order."""
    log = structlog.get_logger("sample.times")
    utc_plus_2 = timezone(timedelta(hours=2))
    log.info("a whole second", timestamp=datetime(2024, 11, 20, 12, 34, 56, tzinfo=timezone.utc))
    log.info("in another zone", timestamp=datetime(2024, 11, 20, 14, 34, 57, 500_000, tzinfo=utc_plus_2))
    log.info("a year before", timestamp=datetime(2023, 11, 20, 12, 34, 56, 123_456, tzinfo=timezone.utc))
    log.info("now again")


def print_odd_lines() -> None:
    """Print what is hard to read: other scripts, colours, marks, blank lines, look-alikes of dates, raw bytes."""
    print("Grüße aus Zürich, naïve café, 東京, Ελλάδα, עברית, 🚚 and a combining e\u0301")
    print("\x1b[31mred\x1b[0m \x1b[1;32mbold green\x1b[0m")
    print("::group::Loading")
    print("inside of the group")
    print("::endgroup::")
    print()
    print("   ")
    print("2019 rows were loaded")
    print("12:30 is noon")
    print("2019-03-04 10:11:12,345 INFO a line that brings a date of its own")
    print("[2019-03-04T10:11:12.345+0000] {old.py:7} ERROR - a line of another Airflow")
    print('{"timestamp":"2019-03-04T10:11:12Z","level":"error","event":"JSON in a print"}')
    print("progress 10 %\rprogress 50 %\rprogress 100 %")
    print("a line with a Windows ending\r")
    print("trailing spaces   ")
    print("\ttab, NUL \0 and BEL \a")
    print("unit separator \x1f, next line \x85, line separator \u2028, no-break space \u00a0, byte order mark \ufeff")
    print("same line, three times\n" * 3, end="")
    print("x" * 20_000)
    print("to the error stream", file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"bytes that are no UTF-8: \xff\xfe \xc3( \xed\xa0\x80\n")
    os.write(1, b"the last line, without a newline")


def fail_first_time() -> None:
    """Fail on the first try, succeed on the second."""
    if get_current_context()["ti"].try_number == 1:
        print("first try: about to fail")
        raise ShipmentError("the lorry is late, try again")
    print("second try: all is well")


def fail_with_a_chain() -> None:
    """Fail with a cause, and a context below it."""
    try:
        try:
            parse_weight("zwölf")
        except ValueError:
            raise KeyError("weight")  # noqa: B904 - a context that was not asked for is the point
    except KeyError as error:
        error.add_note("a note on the cause") if hasattr(error, "add_note") else None
        raise ShipmentError("nothing to ship:\nno weight") from error


def die_in_the_middle_of_a_line() -> None:
    """Be killed as the kernel kills for memory, half a line written."""
    print("whole line before the end", flush=True)
    os.write(1, b"half a line befo")
    os.kill(os.getpid(), signal.SIGKILL)


def greet(name: str) -> None:
    """Say hello to one of the mapped names."""
    logging.getLogger("sample.mapped").info("hello %s", name)
    print(f"printed for {name}")


with DAG("log_sample", schedule=None, is_paused_upon_creation=False):
    PythonOperator(task_id="all_levels", python_callable=write_all_levels)
    PythonOperator(task_id="own_times", python_callable=write_own_times)
    PythonOperator(task_id="odd_lines", python_callable=print_odd_lines)
    PythonOperator(task_id="flaky", python_callable=fail_first_time, retries=1, retry_delay=timedelta(seconds=1))
    PythonOperator(task_id="chained_failure", python_callable=fail_with_a_chain)
    PythonOperator(task_id="killed", python_callable=die_in_the_middle_of_a_line)
    DateTimeSensorAsync(
        task_id="deferred",
        # Rendered when the task starts, so that it always defers.
        target_time="{{ (macros.datetime.now().astimezone() + macros.timedelta(seconds=4)).isoformat() }}",
    )
    BashOperator(
        task_id="chatty",
        bash_command=f'for i in $(seq {CHATTY_LINES}); do echo "row $i of {CHATTY_LINES} was loaded"; done',
    )
    PythonOperator.partial(task_id="mapped", python_callable=greet).expand(op_args=[["Ada"], ["Grace"], ["Zoë"]])

with DAG("odd.näme-1", schedule=None, is_paused_upon_creation=False), TaskGroup("größe_group"):
    PythonOperator(task_id="attempt-1.log", python_callable=greet, op_args=["odd names"])
