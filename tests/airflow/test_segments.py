"""Task logs that go into segments as they are written, by Airflow's own loggers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from logflume.airflow.segments import MAX_OPEN, SegmentRemoteLog
from logflume.sources.captured import is_captured

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "dag_id=d/run_id=r/task_id=t"


class Beside:
    """Airflow's own remote log, as far as it is asked for."""

    processors = ()
    setting = "theirs"

    def __init__(self) -> None:
        self.uploaded: list[str] = []

    def upload(self, path: str, ti: object) -> None:
        """Remember it."""
        del ti
        self.uploaded.append(path)

    def read(self, relative_path: str, ti: object) -> tuple[list[str], list[str]]:
        """Tell what was asked for."""
        del ti
        return [relative_path], ["text"]


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Airflow's log folder."""
    folder = tmp_path / "logs"
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(folder))
    return folder


def logger_of(path: Path, io: SegmentRemoteLog) -> Any:  # noqa: ANN401 - as structlog has it
    """Return a logger as Airflow's supervisor makes one for a task: it writes JSON into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp, render = structlog.processors.TimeStamper(fmt="iso"), structlog.processors.JSONRenderer()
    steps: list[Any] = [stamp, *io.processors, render]
    write = structlog.WriteLogger(path.open("a", buffering=1))
    return structlog.wrap_logger(write, processors=steps)


def events(path: Path) -> list[str]:
    """Return the events of a log."""
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def test_each_event_is_in_the_segment_when_it_is_logged(tmp_path: Path, base: Path) -> None:
    """What a task logs is in a stream of the same path, event by event, beside Airflow's own file."""
    io = SegmentRemoteLog(tmp_path / "kept")
    log = logger_of(base / FOLDER / "attempt=1.log", io)
    kept = tmp_path / "kept" / FOLDER / "attempt=1.log"
    for number in range(3):
        log.info("a line", rows=number)
        assert events(kept) == events(base / FOLDER / "attempt=1.log") == ["a line"] * (number + 1)
    first = json.loads(kept.read_text().splitlines()[0])
    assert (first["level"], first["rows"]) == ("info", 0)
    assert first["timestamp"] == json.loads((base / FOLDER / "attempt=1.log").read_text().splitlines()[0])["timestamp"]
    assert is_captured(kept.parent)
    io.upload(f"{FOLDER}/attempt=1.log", None)
    assert not is_captured(kept.parent)


def test_what_is_no_tasks_log_passes_by(tmp_path: Path) -> None:
    """A logger whose file lies elsewhere, and one that is none of Airflow's, leave nothing."""
    io = SegmentRemoteLog(tmp_path / "kept")
    logger_of(tmp_path / "elsewhere" / "a.log", io).info("x")
    (append,) = io.processors
    assert append(object(), "info", {"event": "x"}) == {"event": "x"}
    assert not (tmp_path / "kept").exists()


def test_a_folder_that_takes_nothing_breaks_no_task(tmp_path: Path, base: Path) -> None:
    """Where no stream can be opened, the task's own log goes on."""
    (tmp_path / "kept").write_text("a file")
    log = logger_of(base / FOLDER / "attempt=1.log", SegmentRemoteLog(tmp_path / "kept"))
    log.info("one")
    log.info("two")
    assert events(base / FOLDER / "attempt=1.log") == ["one", "two"]


def test_so_many_are_open_at_once(tmp_path: Path, base: Path) -> None:
    """Of more logs than may be open, the one opened first is closed, and opened again when it goes on."""
    io = SegmentRemoteLog(tmp_path / "kept")
    logs = [logger_of(base / str(n) / "attempt=1.log", io) for n in range(MAX_OPEN + 1)]
    for log in [*logs, logs[0]]:
        log.info("x")
    assert sum(is_captured(tmp_path / "kept" / str(n)) for n in range(MAX_OPEN + 1)) == MAX_OPEN
    assert events(tmp_path / "kept" / "0" / "attempt=1.log") == ["x", "x"]
    for n in range(MAX_OPEN + 1):
        io.upload(f"{n}/attempt=1.log")


def test_reading_and_uploading_are_the_others(tmp_path: Path) -> None:
    """What it stands beside reads, uploads, and has its other settings."""
    beside = Beside()
    io = SegmentRemoteLog(tmp_path, beside=beside)
    assert io.read("a.log", None) == (["a.log"], ["text"])
    io.upload("a.log", None)
    assert (beside.uploaded, io.setting) == (["a.log"], "theirs")
    alone = SegmentRemoteLog(tmp_path)
    assert alone.read("a.log", None) == ([], None)
    assert not hasattr(alone, "stream")
