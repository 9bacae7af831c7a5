"""Measure the first block from some time on: ``seek.py 2024-11-20T12:34:56.789Z FILES``."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time

from logflume.catalog import log_of_paths
from logflume.merge import How, iter_merged, where
from logflume.seek import cursor_at_time

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def main(since: str, paths: list[str]) -> None:
    """Find the time and merge one block from there."""
    moment = dt.datetime.fromisoformat(since.replace("Z", "+00:00"))
    since_ns = (moment - EPOCH) // dt.timedelta(microseconds=1) * 1000
    started = time.perf_counter()
    sources = log_of_paths(paths).sources()
    start = cursor_at_time(sources, since_ns)
    with iter_merged(sources, How(only=where(since_ns=since_ns)), start=start) as merged:
        block = next(merged)
        seconds = time.perf_counter() - started
    if since.encode() not in block.partition(b"\n")[0]:
        raise RuntimeError(f"the block does not begin at {since}")
    print(json.dumps({"seconds": seconds}))


main(sys.argv[1], sys.argv[2:])
