"""Kill -9 of whoever captures and whoever ships, at random moments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[2] / "bench" / "drivers" / "kill.py"


@pytest.mark.timeout(600)
def test_nothing_is_lost_whoever_is_killed() -> None:
    """Twenty supervisors and some shippers later every line has arrived, in order, doubled within a batch at most."""
    done = subprocess.run([sys.executable, DRIVER, "20"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["killed"], report["lost"], report["disordered"]) == (20, 0, 0)
    assert report["shippers_killed"] > 0
    assert report["doubled"] <= report["shippers_killed"] * 4 * 8388
