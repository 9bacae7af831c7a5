"""``tests/airflow`` in the company of each Airflow that is supported, in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Require

ROOT = Path(__file__).parents[2]
VENVS = {"3.1": ".venv-airflow-3.1", "3.2": ".venv-airflow-3.2", "3.3": ".venv-airflow"}
# `make test-airflow` names all of them: each more takes a minute or two to install.
VERSIONS = os.environ.get("AIRFLOW_VERSIONS", "3.3").split()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VERSIONS)
def test_airflow_finds_its_contract_kept(version: str, tmp_path: Path) -> None:
    """All of ``tests/airflow`` passes beside the Airflow of this environment; providers' classes, with the newest."""
    python = ROOT / VENVS[version] / "bin" / "python"
    if not python.exists():
        message = f"there is no {python.parent.parent}: make airflow"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST", "PYTHON"))
    }
    environment |= {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    # Providers' own classes come with the newest Airflow only.
    whole = version == VERSIONS[-1]
    tests = ["tests/airflow"] if whole else [f"tests/airflow/test_{name}.py" for name in ("handler", "served")]
    here = ["-c", "tests/airflow/pytest.ini", "--rootdir", "tests/airflow", *tests]
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-x", *here],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


WITHOUT = """
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
token = {"end_of_log": False, "log_pos": 0, "logflume": "1.W10."}
stream, metadata = handler.read(ti, 1, metadata=token)
print(json.dumps([message.event for message in stream]))
"""


def test_uninstalling_leaves_airflow_as_it_was(tmp_path: Path, require: Require) -> None:
    """Nothing of logflume is left in the environment, and Airflow's own handler goes on with a token of ours."""
    require("cp")
    venv = ROOT / VENVS["3.3"]
    if not venv.exists():
        message = f"there is no {venv}: make airflow"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    (tmp_path / "attempt=1.log").write_text('{"timestamp":"2024-11-20T12:00:00Z","event":"still here"}\n')
    environment = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "HOME": str(tmp_path)}
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:  # beside the environment: files are linked
        copy = Path(folder) / "venv"
        subprocess.run(["cp", "-al", venv, copy], check=True)
        python = copy / "bin" / "python"
        quietly = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([python, *quietly, "uninstall", "--yes", "logflume"], env=environment, check=True)
        assert not [path for part in ("bin", "lib") for path in (copy / part).rglob("*logflume*")]
        run = subprocess.run(
            [python, "-c", WITHOUT, tmp_path], env=environment, capture_output=True, text=True, check=False
        )
    assert run.returncode == 0, run.stderr[-4000:]
    assert json.loads(run.stdout.splitlines()[-1]) == ["still here"]
