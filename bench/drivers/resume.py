"""Measure going on with a cursor where nothing is new: ``resume.py FILES``."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from logflume.catalog import log_of_paths
from logflume.cursor import Cursor
from logflume.merge import How, iter_merged
from logflume.records import Output

ROUNDS = 21
KEY = b"a secret of the server"


def all_bytes_read() -> int:
    """Return what this process has read of anything so far."""
    counts = Path("/proc/self/io").read_text(encoding="ascii")
    return int(counts.partition("rchar: ")[2].split()[0])


def main(paths: list[str]) -> None:
    """Read the log to its end, keep the place as text, and go on from there again and again."""
    log = log_of_paths(paths)
    with iter_merged(log.sources(), How(output=Output.TEXT)) as merged:
        for _ in merged:
            pass
        token = merged.cursor().token(key=KEY, log_id=log.id)

    def resume() -> tuple[float, int, int]:
        before, started = all_bytes_read(), time.perf_counter()
        start = Cursor.from_token(token, key=KEY, log_id=log.id)
        with iter_merged(log.sources(), start=start) as resumed:
            new = list(resumed)
            content = sum(report.bytes_read for report in resumed.reports())
        seconds = time.perf_counter() - started
        if new:
            raise RuntimeError("there should be nothing new")
        return seconds, content, all_bytes_read() - before

    rounds = [resume() for _ in range(ROUNDS)]
    seconds, contents, reads = zip(*rounds, strict=True)
    asking = -all_bytes_read() + all_bytes_read()
    report = {"seconds": statistics.median(seconds), "old_bytes": max(contents), "all_bytes": max(reads) - asking}
    print(json.dumps(report))


main(sys.argv[1:])
