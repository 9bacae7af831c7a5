"""Measure building and keeping the index of a log: ``index.py FILES``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from logflume.catalog import log_of_paths
from logflume.index import LogIndex
from logflume.indexcache import IndexCache


def main(paths: list[str]) -> None:
    """Build it in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with LogIndex(log_of_paths(paths), cache=IndexCache(folder)) as index:
            index.build()
            seconds = time.perf_counter() - started
            covered = index.progress
        if not covered.complete or index.cache_error:
            raise RuntimeError(f"the index is not whole: {covered}, {index.cache_error}")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    print(json.dumps({"seconds": seconds, "size_ratio": size / covered.done_bytes}))


main(sys.argv[1:])
