"""Read one task log with Airflow's own code, as its API server does for NDJSON, and time it.

Holds: Airflow 3.3.2's path, unchanged, from open files to encoded batches: line splitting, parsing, interleaving,
       the accumulator that spills to disk, the serialising, the batching. No database, no server, no socket.
Plan:  a handler that is told its files instead of asking the database for their names; the rest is Airflow's.

Runs inside the environment that holds Airflow. Several files are the sources of one log:

    .venv-airflow/bin/python bench/peers/airflow_read.py a.log b.log c.log

Prints one JSON object. `lines` and `bytes` count what is given out, so Airflow's own header (one line for each
source, and two) is among them. Importing Airflow is not timed; its memory is in `peak_rss_kb`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def peak_rss_kb() -> int:
    """Give this process's peak; `getrusage` would count the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def log_reader(paths: list[Path], limit_lines: int | None) -> Any:  # noqa: ANN401 - Airflow's class
    """Make Airflow's reader of a finished task whose log is in these files."""
    from airflow.utils.log import file_task_handler
    from airflow.utils.log.log_reader import TaskLogReader

    class GivenFiles(file_task_handler.FileTaskHandler):  # type: ignore[misc]
        """Airflow's handler without its database: the files are known."""

        def _render_filename(self, *_: object, **__: object) -> str:
            return "not used: the files are given"

        def _read_remote_logs(self, *_: object) -> None:
            raise NotImplementedError  # what Airflow itself raises where there is no remote store

        def _read_from_local(self, _: Path) -> tuple[list[str], list[Iterator[str]]]:
            # Opened as the overridden method opens them.
            streams = [file_task_handler._stream_lines_by_chunk(path.open(encoding="utf-8")) for path in paths]  # noqa: SLF001 - the very function to be timed
            if limit_lines is not None:
                streams = [islice(stream, limit_lines) for stream in streams]
            return [str(path) for path in paths], streams

    reader = TaskLogReader()
    reader.log_handler = GivenFiles(os.devnull)
    return reader


def read(paths: list[Path], limit_lines: int | None) -> dict[str, float | int]:
    """Read the log to its end into nothing, and count."""
    from airflow.api_fastapi.core_api.routes.public.log import _buffered_ndjson_stream
    from airflow.utils.state import TaskInstanceState

    reader = log_reader(paths, limit_lines)
    task = SimpleNamespace(state=TaskInstanceState.SUCCESS, try_number=1)
    lines = size_bytes = 0
    first_byte_s = 0.0
    with Path(os.devnull).open("wb", buffering=0) as sink:
        start_s = time.perf_counter()
        for batch in _buffered_ndjson_stream(reader.read_log_stream(task, 1, {})):
            data = batch.encode()
            if not size_bytes:
                first_byte_s = time.perf_counter() - start_s
            sink.write(data)
            lines += data.count(b"\n")
            size_bytes += len(data)
        seconds = time.perf_counter() - start_s
    return {
        "seconds": round(seconds, 3),
        "first_byte_s": round(first_byte_s, 3),
        "lines": lines,
        "bytes": size_bytes,
        "peak_rss_kb": peak_rss_kb(),
    }


def main() -> None:
    """Read the options, then the log."""
    parser = argparse.ArgumentParser(description="Time Airflow's own reader on the sources of one log.")
    parser.add_argument("paths", nargs="+", type=Path, help="the sources of one log")
    parser.add_argument("--limit-lines", type=int, help="read so many lines of each source at most")
    options = parser.parse_args()
    for path in options.paths:
        if not path.is_file():
            parser.error(f"{path} is no file")
    # Importing Airflow writes its configuration into AIRFLOW_HOME.
    with tempfile.TemporaryDirectory(prefix="airflow-read-") as home:
        os.environ["AIRFLOW_HOME"] = home
        with contextlib.redirect_stdout(sys.stderr):  # Airflow's own warnings go to stdout
            result = read(options.paths, options.limit_lines)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
