"""Bring what a command writes to a CloudWatch at 5 ms a call: ``ship.py lines WAY LINES``, ``ship.py rate MB_S S``.

``ship.py stalled MODE LINES``: the same, captured that way, while every sink takes connections and never answers.

WAY is ``logflume`` (``logflume run --sink``) or ``watchtower`` (a ``logging`` handler in a program that logs as many
lines; in the environment of the peers). ``rate`` writes so much a second for so long, and counts what is lost or
doubled.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from bench.data import BUILD, LOGFLUME, ROOT
from bench.drivers.capture import writer

STUB = Path(__file__).with_name("cloudwatch_stub.py")
DELAY_S = "0.005"
PATIENCE_S = 600.0
TICK = os.sysconf("SC_CLK_TCK")
AWS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "eu-west-1"}
PACED = """
import sys, time
mb_s, seconds = float(sys.argv[1]), float(sys.argv[2])
block, number, begun = int(mb_s * 1e6 / 100 / 50), 0, time.monotonic()
write = sys.stdout.buffer.write
for turn in range(int(seconds * 50)):
    write(b"".join(b"%015d %083d\\n" % (line, 0) for line in range(number, number + block)))
    sys.stdout.buffer.flush()
    number += block
    time.sleep(max(0, begun + (turn + 1) / 50 - time.monotonic()))
open(sys.argv[3], "w").write(str(number))
"""
WATCHTOWER = """
import logging, sys, watchtower
handler = watchtower.CloudWatchLogHandler(log_group_name="g", log_stream_name="s")
log = logging.getLogger("bench")
log.setLevel(logging.INFO)
log.addHandler(handler)
for number in range(int(sys.argv[1])):
    log.info("%015d %s", number, "x" * 83)
handler.close()
"""


def seen(port: int) -> dict[str, int]:
    """Ask what came."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        found: dict[str, int] = json.load(answer)
        return found


class Meter(threading.Thread):
    """Looks what processor time the shipper of a folder has used, as long as it runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.cpu_s = 0.0
        self.rss_mib = 0.0
        self.over = threading.Event()
        self._note = folder / ".logflume" / "shipper.json"

    def run(self) -> None:
        """Look every few milliseconds."""
        while not self.over.wait(0.005):
            with contextlib.suppress(OSError, ValueError, IndexError):
                process = Path(f"/proc/{json.loads(self._note.read_text())['pid']}")
                fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
                self.cpu_s = (int(fields[11]) + int(fields[12])) / TICK
                status = process.joinpath("status").read_text()
                self.rss_mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024


def ship(folder: Path, child: list[str], port: int) -> dict[str, float]:
    """Run a command with a sink; return wall time and who used how much of the processor."""
    words = [str(LOGFLUME), "run", "-q", "--dir", str(folder), "--drain", str(PATIENCE_S), "--sink", "cloudwatch:g:s"]
    meter = Meter(folder)
    meter.start()
    begun_s = time.monotonic()
    environ = {**os.environ, **AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    subprocess.run([*words, "--", *child], check=True, env=environ)
    wall_s = time.monotonic() - begun_s
    meter.over.set()
    meter.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": wall_s,
        "all_cpu_s": used.ru_utime + used.ru_stime,
        "shipper_cpu_s": meter.cpu_s,
        "shipper_rss_mib": meter.rss_mib,
    }


def lines(folder: Path, way: str, count: int, port: int) -> dict[str, float]:
    """Deliver so many lines, written as fast as can be."""
    if way == "watchtower":
        python = ROOT / ".venv-peers" / "bin" / "python"
        environ = {**os.environ, **AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        begun_s = time.monotonic()
        subprocess.run([python, "-c", WATCHTOWER, str(count)], check=True, env=environ)
        return {"seconds": time.monotonic() - begun_s, "lost": count - seen(port)["events"], **seen(port)}
    report = folder.with_suffix(".json")
    found = ship(folder, [str(writer()), str(report), str(count)], port)
    child = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    found["supervisor_cpu_s"] = found["all_cpu_s"] - found["shipper_cpu_s"] - child["cpu_s"]
    return {**found, "child_s": child["seconds"], "lost": count - seen(port)["events"], **seen(port)}


def rate(folder: Path, mb_s: str, seconds: str, port: int) -> dict[str, float]:
    """Deliver so many MB a second."""
    report = folder.with_suffix(".count")
    found = ship(folder, [sys.executable, "-c", PACED, mb_s, seconds, str(report)], port)
    written = int(report.read_text())
    report.unlink()
    came = seen(port)
    behind_s = found["seconds"] - float(seconds)
    return {**found, **came, "written": written, "lost": written - came["lines"], "behind_s": behind_s}


def stalled(folder: Path, mode: str, count: str) -> dict[str, float]:
    """Let a command write while no sink answers; return what it saw of its writes."""
    report = folder.with_suffix(".json")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sinks = [f"http://127.0.0.1:{port}/", f"loki:http://127.0.0.1:{port}", f"otlp:http://127.0.0.1:{port}"]
        words = [str(LOGFLUME), "run", "-q", "--dir", str(folder), "--capture", mode, "--drain", "0"]
        options = [option for sink in sinks for option in ("--sink", sink)]
        subprocess.run([*words, *options, "--", str(writer()), str(report), count], check=True)
        with contextlib.suppress(OSError, ValueError):
            os.kill(json.loads((folder / ".logflume" / "shipper.json").read_text())["pid"], signal.SIGKILL)
    found: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    return found


def main() -> None:
    """Measure once."""
    what, first, second = sys.argv[1:4]
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BUILD))
    if what == "stalled":
        print(json.dumps(stalled(folder, first, second)))
        shutil.rmtree(folder)
        return
    options = ["--count"] if what == "rate" else []
    with subprocess.Popen([sys.executable, STUB, DELAY_S, *options], stdout=subprocess.PIPE) as stub:
        assert stub.stdout is not None  # noqa: S101 - it is a pipe
        try:
            port = int(stub.stdout.readline())
            found = lines(folder, first, int(second), port) if what == "lines" else rate(folder, first, second, port)
            print(json.dumps(found))
        finally:
            stub.kill()
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
