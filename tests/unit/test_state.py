"""How whoever writes a log stands: as it says, as `logflume run` noted, or by how long it was quiet."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from logflume.catalog import FolderCatalog, log_of_paths
from logflume.records import LogState, LogStatus
from logflume.ship.segments import lock
from logflume.sources.captured import MAX_NOTE_BYTES, SIDE, joined
from logflume.sources.memory import BytesSource
from logflume.state import EndOfLog, peek_status

if TYPE_CHECKING:
    from pathlib import Path

    from logflume.abc import Source


def captured(folder: Path, code: object, streams: object = ("out.log",)) -> Path:
    """Make what a capture leaves."""
    (folder / SIDE).mkdir(parents=True)
    (folder / "out.log").write_text("hello\n")
    (folder / SIDE / "capture.json").write_text(json.dumps({"streams": streams, "exit_code": code}))
    (folder / SIDE / "out.log.lock").touch()
    return folder


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        (0, LogState.SUCCEEDED, ""),
        (3, LogState.FAILED, "exit code 3"),
        (-9, LogState.FAILED, "exit code -9"),
        (None, LogState.UNKNOWN, ""),
        ("0", LogState.UNKNOWN, ""),
    ],
)
def test_the_note_of_a_capture_tells(code: object, state: LogState, detail: str, tmp_path: Path) -> None:
    """What the command ended with; a note without it, that nobody holds, tells nothing."""
    status = peek_status(FolderCatalog(captured(tmp_path, code)).find("out.log"))
    assert (status.state, status.detail) == (state, detail)


def test_what_is_being_captured_is_running(tmp_path: Path) -> None:
    """Whoever captures holds a lock, whatever an earlier run had noted; with the lock gone the note counts."""
    log = log_of_paths([captured(tmp_path, 3)])
    descriptor = lock(tmp_path / SIDE / "out.log.lock")
    assert peek_status(log).state is LogState.RUNNING
    os.close(descriptor)
    assert peek_status(log).state is LogState.FAILED


def test_only_the_files_that_were_captured(tmp_path: Path) -> None:
    """A file that somebody put beside them says nothing, and the log of both is unknown."""
    captured(tmp_path, 0)
    (tmp_path / "other.log").write_text("x\n")
    assert peek_status(FolderCatalog(tmp_path).find("other.log")).state is LogState.UNKNOWN
    assert peek_status(log_of_paths([tmp_path])).state is LogState.UNKNOWN


@pytest.mark.parametrize("note", ["", "[]", "{", '{"streams": 7, "exit_code": 0}', "[" * MAX_NOTE_BYTES, "\udcff"])
def test_a_note_that_is_none(note: str, tmp_path: Path) -> None:
    """Whatever stands there, the log is unknown and nothing is raised."""
    captured(tmp_path, 0)
    (tmp_path / SIDE / "capture.json").write_bytes(note.encode("utf-8", "surrogateescape"))
    assert peek_status(FolderCatalog(tmp_path).find("out.log")).state is LogState.UNKNOWN


def test_a_note_outside_of_the_root_is_not_read(tmp_path: Path) -> None:
    """A link that leads out of what is served tells nothing."""
    captured(tmp_path / "outside", 0)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "out.log").touch()
    (inside / SIDE).symlink_to(tmp_path / "outside" / SIDE)
    assert peek_status(FolderCatalog(inside).find("out.log")).state is LogState.UNKNOWN


def test_quiet_for_so_long_has_ended(tmp_path: Path) -> None:
    """With that rule a plain file runs until it has not been written to for a while; without it nobody knows."""
    path = tmp_path / "a.log"
    path.write_text("x\n")
    log = log_of_paths([path])
    assert peek_status(log).state is LogState.UNKNOWN
    assert peek_status(log, quiet_s=3600).state is LogState.RUNNING
    os.utime(path, (time.time() - 7200,) * 2)
    status = peek_status(log, quiet_s=3600)
    assert status.state is LogState.ENDED
    assert status.written_ns == path.stat().st_mtime_ns


def test_the_states_of_sources_join() -> None:
    """One that runs makes a log running; one that failed makes one that is over failed."""
    running, failed = LogStatus(LogState.RUNNING, 5), LogStatus(LogState.FAILED, 7, "exit code 1")
    succeeded, unknown = LogStatus(LogState.SUCCEEDED), LogStatus(LogState.UNKNOWN, 9)
    assert joined([failed, running, succeeded]) == LogStatus(LogState.RUNNING, 7)
    assert joined([failed, succeeded]) == failed
    assert joined([failed, unknown]) == LogStatus(LogState.UNKNOWN, 9)
    assert joined([]) == LogStatus(LogState.UNKNOWN)


class _Plain:
    """A log that offers nothing beside its contract."""

    id = "plain"

    def sources(self) -> list[Source]:
        """Return one."""
        return [BytesSource("a", b"x\n")]


class _Ending(_Plain):
    """A log that says how it stands."""

    state = LogState.RUNNING

    def peek_status(self) -> LogStatus:
        """Say it."""
        return LogStatus(self.state)


def test_who_says_nothing_is_unknown() -> None:
    """Such a log never ends."""
    assert peek_status(_Plain(), quiet_s=1).state is LogState.UNKNOWN
    assert not EndOfLog(_Plain())()


def test_an_end_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked now and then, and not again once it has said that it is over."""
    now_s = 0.0
    monkeypatch.setattr("logflume.state.time.monotonic", lambda: now_s)
    log = _Ending()
    ended = EndOfLog(log)
    assert not ended()
    log.state = LogState.FAILED
    assert not ended()
    now_s = 1.0
    assert ended()
    log.state, now_s = LogState.RUNNING, 2.0
    assert ended()
    assert ended.status.state is LogState.FAILED
