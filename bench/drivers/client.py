"""Measure the client beside curl, over loopback: ``client.py client|curl FILES``. The server is a process of its own.

``client`` counts what ``Client.stream`` gives; ``curl`` has the same text without cursors, and throws it away. Both are
timed from the question to the end, after the head of the log was read once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.drivers.serve import LOG, Served, served
from logflume import Client, Output

LOG_ID = LOG.removeprefix("/api/v1/logs/")


def with_client(server: Served) -> dict[str, float]:
    """Read the whole log by blocks."""
    with Client(f"http://{server.address}") as client:
        next(client.stream(LOG_ID, output=Output.TEXT, limit=1))
        began = time.perf_counter()
        size = 0
        first_byte_s = 0.0
        with client.stream(LOG_ID, output=Output.TEXT) as stream:
            for block in stream:
                first_byte_s = first_byte_s or time.perf_counter() - began
                size += len(block)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "first_byte_s": first_byte_s, "bytes": size, "cuts": stream.cuts}


def with_curl(server: Served) -> dict[str, float]:
    """Read it as text, and keep nothing."""
    server.ask("/stream?limit=1", "text/plain").read()
    words = ["curl", "--silent", "--fail", "--output", "/dev/null", "--header", "Accept: text/plain"]
    began = time.perf_counter()
    subprocess.run([*words, f"http://{server.address}{LOG}/stream"], check=True)
    return {"seconds": time.perf_counter() - began}


def main(mode: str, files: list[str]) -> None:
    """Serve the folder of the files and print what was measured."""
    with served(Path(files[0]).parent) as server:
        print(json.dumps({"client": with_client, "curl": with_curl}[mode](server)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
