"""The logs that Airflow serves while it is measured: made once, linked into each home.

Holds: what was made stays under ``build/bench``; what is too large for that is removed after its part.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.data import BUILD, SEED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = ("attempt=1.log", "attempt=1.log.trigger.1.log", "attempt=1.log.trigger.2.log")
"""What three sources of one try are called."""

QUARTER = SEED.scaled(1 / 4)
TENTH = SEED.scaled(1 / 10)
TENFOLD = replace(SEED.scaled(10), fleeting=True)

HELD_LINES = 1_000_000
HELD_LINE_BYTES = 415
"""Of the log that an executor holds: the 415 MB of the seed's measurement."""

REPEATED_LINES = 30_000
TAB_LINES = 20_000


def held() -> Path:
    """Return the log of a running task that its executor has."""
    return _written("held.log", HELD_LINES, lambda number: _line(number, "x" * (HELD_LINE_BYTES - 82)))


def repeated() -> Path:
    """Return a log in which every line stands three times."""
    return _written("repeated.log", REPEATED_LINES, lambda number: _line(number // 3, ""))


def tab() -> Path:
    """Return what a running task has logged when somebody looks."""
    return _written("tab.log", TAB_LINES, lambda number: _line(number, "y" * 20))


def put(home: Path, task: str, files: list[Path], *, copied: bool = False) -> None:
    """Put files where Airflow looks for the log of a task."""
    folder = home / "logs" / "dag_id=bench" / "run_id=run" / f"task_id={task}"
    folder.mkdir(parents=True)
    for name, path in zip(FILES, files, strict=False):
        if copied:
            (folder / name).write_bytes(path.read_bytes())
        else:
            os.link(path, folder / name)


def _line(number: int, more: str) -> str:
    seconds, micros = divmod(number * 1000, 10**6)
    minutes, seconds = divmod(seconds, 60)
    moment = f"2024-11-20T12:{minutes:02}:{seconds:02}.{micros:06}Z"
    return f'{{"timestamp":"{moment}","level":"info","event":"row {number:07} {more}"}}\n'


def _written(name: str, lines: int, line: Callable[[int], str]) -> Path:
    path = BUILD / "airflow" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("w") as file:
            file.writelines(map(line, range(lines)))
        part.rename(path)
    return path
