"""An environment that logflume was installed in and taken out of again: Airflow is what it was."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow_home import airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-airflow"
LINE = '{"timestamp":"2024-11-20T12:00:00Z","event":"still here"}\n'
LOG = "/api/v2/dags/left/dagRuns/run/taskInstances/task/logs/1"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def venv() -> Iterator[Path]:
    """Give an environment with Airflow, in which the wheel of logflume had been installed with its extra."""
    if not VENV.exists():
        message = f"there is no {VENV}: make airflow"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:  # beside the environment: files are linked
        copy = Path(folder) / "venv"
        subprocess.run(["cp", "-al", VENV, copy], check=True)
        pip = [str(copy / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "uninstall", "--yes", "logflume"], check=True)
        yield copy


IN_PROCESS = """
import json, sys
from types import SimpleNamespace
from airflow.plugins_manager import ensure_plugins_loaded
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.log.log_reader import TaskLogReader
import importlib.metadata, importlib.util
assert importlib.util.find_spec("logflume") is None
assert not [each for each in importlib.metadata.entry_points(group="airflow.plugins") if each.name == "logflume"]
handler = TaskLogReader().log_handler
assert type(handler) is FileTaskHandler, handler
handler.local_base = sys.argv[1]
handler._render_filename = lambda ti, number: "attempt=1.log"
ti = SimpleNamespace(try_number=1, state="success")
token = {"end_of_log": False, "log_pos": 0, "logflume": "2.Y2AAAA."}
stream, metadata = handler.read(ti, 1, metadata=token)
print(json.dumps([message.event for message in stream]))
"""


def test_nothing_is_left_and_tokens_of_ours_are_taken(venv: Path, tmp_path: Path) -> None:
    """No file of logflume is left in the environment, and Airflow's own handler goes on with a token of ours."""
    assert not [path for part in ("bin", "lib") for path in (venv / part).rglob("*logflume*")]
    (tmp_path / "attempt=1.log").write_text(LINE)
    environment = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "HOME": str(tmp_path)}
    asked = [str(venv / "bin" / "python"), "-c", IN_PROCESS, str(tmp_path)]
    run = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    assert json.loads(run.stdout.splitlines()[-1]) == ["still here"]


def test_the_api_server_answers_as_it_did(venv: Path, tmp_path: Path) -> None:
    """Airflow's own reader answers both routes, no plugin is left, and no page of ours."""
    with airflow(venv, tmp_path / "home", settings={}, commands={"api-server": ["api-server"]}) as server:
        rows = [str(ROOT / "bench" / "airflow_rows.py"), "left", "run", "task", "success"]
        subprocess.run([venv / "bin" / "python", *rows], env=server.env, check=True, stdout=subprocess.DEVNULL)
        log = server.home / "logs" / "dag_id=left" / "run_id=run" / "task_id=task" / "attempt=1.log"
        log.parent.mkdir(parents=True)
        log.write_text(LINE)
        told = ["::group::Log message source details", str(log), "::endgroup::", "still here"]
        lines = server.client.get(LOG, headers={"Accept": "application/x-ndjson"}).text.splitlines()
        assert [json.loads(line)["event"] for line in lines] == told
        answer = server.client.get(LOG, headers={"Accept": "application/json"}).json()
        assert [message["event"] for message in answer["content"]] == told
        assert [each["name"] for each in server.get("/plugins")["plugins"] if "logflume" in each["name"]] == []
        nowhere, ours = (server.client.get(f"/{path}/tasks/left/run/task/-1") for path in ("nowhere", "logflume"))
        assert (ours.status_code, ours.text) == (nowhere.status_code, nowhere.text)
