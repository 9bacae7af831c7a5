"""Measure Airflow's own API server with the same log, one client, NDJSON: ``airflow_api.py FILES`` (three of them).

The files are those of one try of a finished task; Airflow is started for it, as the A/B comparison does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.ab import logs
from bench.ab.parts import read
from bench.ab.server import api_server


def main(files: list[Path]) -> None:
    """Read the log once, after Airflow has answered something else, and print what was measured."""
    with api_server("stock", {"log": "success"}) as (server, _):
        logs.put(server.home, "log", files)
        figures = read(server, "log")
    seconds = figures["seconds"]
    size = sum(file.stat().st_size for file in files)
    print(json.dumps({"seconds": seconds, "first_byte_s": figures["first_byte_s"], "mb_per_s": size / seconds / 1e6}))


main([Path(file) for file in sys.argv[1:]])
