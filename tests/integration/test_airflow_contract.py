"""``tests/airflow`` in the company of each Airflow that is supported, in environments of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENVS = {"3.1": ".venv-airflow-3.1", "3.2": ".venv-airflow-3.2", "3.3": ".venv-airflow"}
OLDER = ("bad_input", "hand_over", "handler", "plugin", "segments", "served", "worker")
"""Of these, what is asked beside older versions."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VENVS)
def test_airflow_finds_its_contract_kept(version: str, tmp_path: Path) -> None:
    """All of ``tests/airflow`` passes beside the Airflow of this environment; providers' classes, with the newest."""
    python = ROOT / VENVS[version] / "bin" / "python"
    if not python.exists():
        message = f"there is no {python.parent.parent}: make airflows"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST", "PYTHON"))
    }
    environment |= {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    # Providers' own classes come with the newest Airflow only.
    whole = version == list(VENVS)[-1]
    tests = ["tests/airflow"] if whole else [f"tests/airflow/test_{name}.py" for name in OLDER]
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
