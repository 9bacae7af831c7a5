"""The programs in examples/ run, and do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.command import TIMEOUT_S, environment

if TYPE_CHECKING:
    import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_orchestrator(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Tasks run in order, are tried again, are shown as they run, and explained when they fail."""
    words = [sys.executable, str(EXAMPLES / "tiny_orchestrator.py"), str(tmp_path)]
    done = subprocess.run(words, env=environment(), timeout=TIMEOUT_S, check=False)
    said = capfd.readouterr().out.splitlines()
    assert done.returncode == 2
    assert [line for line in said if line.startswith("extract: ")] == [f"extract: fetched page {n}" for n in (1, 2, 3)]
    assert said.count("flaky: trying") == 2
    assert "    ValueError: column price is missing" in said
    assert "report: left out, for load has failed" in said
    assert (tmp_path / "clean/attempt=1/out.log").read_text() == "nothing to clean\n"
