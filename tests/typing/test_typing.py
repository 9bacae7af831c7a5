"""What a type checker tells the users of logflume: each file in ``cases`` is a program that mypy must agree with.

A case states types with ``assert_type``; what must be refused carries a ``type: ignore`` with its code, which mypy
reports as unused when the code would be let through.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"


def test_mypy_agrees_with_every_case() -> None:
    """The public API has the types that its documentation promises, under mypy --strict."""
    assert list(CASES.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(CASES)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout + run.stderr == ""
