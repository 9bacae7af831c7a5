"""Measure the last 1,000 lines of a log: ``tail.py FILES``."""

from __future__ import annotations

import json
import sys
import time

from logflume.catalog import log_of_paths
from logflume.seek import tail

LINES = 1000


def main(paths: list[str]) -> None:
    """Find the tail and merge it."""
    started = time.perf_counter()
    text = b"".join(tail(log_of_paths(paths).sources(), LINES))
    seconds = time.perf_counter() - started
    lines = text.count(b"\n")
    if lines != LINES:
        raise RuntimeError(f"{lines} lines instead of {LINES}")
    print(json.dumps({"seconds": seconds}))


main(sys.argv[1:])
