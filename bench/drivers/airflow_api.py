"""Measure Airflow's own API server with the same log, one client, NDJSON: ``airflow_api.py FILES`` (three of them).

The files are those of one try of a finished task; Airflow is started for it, as the A/B comparison does.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.airflow_ab import MIB, Logs, api_server, ask
from bench.data import BUILD

PATH = "/api/v2/dags/bench/dagRuns/run/taskInstances/{}/logs/1"


def main(files: list[Path]) -> None:
    """Read the log once, after Airflow has answered something else, and print what was measured."""
    with tempfile.TemporaryDirectory(prefix="airflow-", dir=BUILD) as folder:  # where files can be linked to
        logs = Logs(Path(folder), 0, finished=files, quarter=files, held=files[0])
        with api_server(logs, ours=False) as server:
            server.client.get(PATH.format("none"))
            seen = ask(server, PATH.format("finished"), "application/x-ndjson")
    size = sum(file.stat().st_size for file in files)
    print(
        json.dumps(
            {
                "seconds": seen.seconds,
                "first_byte_s": seen.first_byte_s,
                "growth_mib": seen.anon_growth_bytes / MIB,
                "mb_per_s": size / seen.seconds / 1e6,
                "late": seen.late,
            }
        )
    )


main([Path(file) for file in sys.argv[1:]])
