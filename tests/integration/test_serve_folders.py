"""Several folders at one address."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.served import DEADLINE_S, line, made, serving

if TYPE_CHECKING:
    from pathlib import Path


def test_ids_begin_with_the_names_of_folders(tmp_path: Path) -> None:
    """The given name, or the folder's own; each log is read where it is, and nothing outside."""
    made(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "b.log").write_text(line(1, "of two"))
    with serving(tmp_path / "one", tmp_path / "cache", f"jobs={tmp_path / 'two'}") as server:
        found = [log["id"] for log in server.get("logs").json()["logs"]]
        assert found == ["jobs/b.log", "one/dag/attempt=1.log", "one/empty.log", "one/long.log"]
        assert server.get("logs/jobs/b.log/stream").json()["event"] == "of two"
        assert server.get("logs/jobs/b.log").json()["id"] == "jobs/b.log"
        missing = server.get("logs/job/b.log")
        assert (missing.status_code, missing.json()["near"]) == (404, ["jobs/b.log"])
        assert server.get("logs/b.log").status_code == 404


def refused(*words: str) -> str:
    """Return what is said when it cannot be served."""
    command = [sys.executable, "-m", "logflume", "serve", *words, "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    return done.stderr


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    """No folder, none there, two of one name, a name that is none: each in one plain sentence."""
    for folder in ("a/logs", "b/logs", "c d"):
        (tmp_path / folder).mkdir(parents=True)
    assert "name a folder" in refused()
    assert "there is no such folder" in refused(str(tmp_path / "none"))
    assert "there is no such folder" in refused(f"x={tmp_path / 'none'}")
    assert "two folders are called logs" in refused(str(tmp_path / "a/logs"), str(tmp_path / "b/logs"))
    assert "give it a name" in refused(str(tmp_path / "a/logs"), str(tmp_path / "c d"))
