"""Supervise a child while every sink hangs, and report what both felt: ``stalled.py [SECONDS] [WAY]``.

The child writes lines of 100 bytes, one write each, all the time. Two sinks take connections and never answer; another
one is a pipe that nobody reads. ``p99_ms`` and ``p999_ms`` are of the child's writes, ``late_ms`` is the most that the
supervisor's loop was late, and ``delivered`` must be 0.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.data import BUILD, LOGFLUME
from bench.drivers.capture import writer

SETTINGS = """
[supervise]
folder = "logs"
drain_s = 0
[capture]
mode = "{way}"
budget = "200MB"
[children.writer]
command = {command}
restart = "never"
[children.writer.conditions.alive]
kind = "command"
command = ["true"]
every_s = 0.5
[sinks.silent]
kind = "http"
url = "http://127.0.0.1:{port}/"
[sinks.silent-too]
kind = "http"
url = "http://127.0.0.1:{port}/other"
[sinks.unread]
kind = "file"
path = "unread"
"""
LINES_A_SECOND = 20_000


def main() -> None:
    """Measure once."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    way = sys.argv[2] if len(sys.argv) > 2 else "direct"
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BUILD))
    try:
        print(json.dumps(measure(folder, seconds, way)))
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, seconds: float, way: str) -> dict[str, float]:
    """Supervise the child for so long."""
    report = folder / "report.json"
    lines = str(int(seconds * LINES_A_SECOND))
    command = [str(writer()), str(report), lines, "100", str(1_000_000 // LINES_A_SECOND)]
    os.mkfifo(folder / "unread")
    held = os.open(folder / "unread", os.O_RDWR)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        text = SETTINGS.format(way=way, command=json.dumps(command), port=silent.getsockname()[1])
        (folder / "logflume.toml").write_text(text, encoding="utf-8")
        supervisor = subprocess.Popen([LOGFLUME, "supervise", folder / "logflume.toml"], stderr=subprocess.DEVNULL)
        note = folder / "logs" / ".logflume" / "supervise.json"
        supervisor.wait(seconds * 10 + 60)
        known = json.loads(note.read_text(encoding="utf-8"))
        shipped = json.loads((folder / "logs" / "writer" / ".logflume" / "shipper.json").read_text(encoding="utf-8"))
        os.killpg(known["shipper"][0], signal.SIGKILL)
    os.close(held)
    seen: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
    seen["late_ms"] = known["late_s"] * 1000
    seen["rounds"] = known["rounds"]
    seen["delivered"] = sum(sink["sent_bytes"] for sink in shipped["sinks"] if sink["sink"] != "unread")
    return seen


if __name__ == "__main__":
    main()
