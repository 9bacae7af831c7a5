"""Fuzz the calls of the core through its bindings, guided by what the Python code does.

Optional: ``pip install atheris`` beside logflume, then ``python -m tests.fuzz.run_atheris calls -max_total_time=60``
(or ``token``, ``pattern``). libFuzzer's own options follow the name. What it finds becomes an example in test_calls.py.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["logflume"]):
    from tests.fuzz.calls import check_calls, check_pattern, check_token

CHECKS = {"calls": check_calls, "token": check_token, "pattern": check_pattern}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], CHECKS[sys.argv[1]])
    atheris.Fuzz()
