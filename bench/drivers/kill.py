"""Kill -9 whoever captures and whoever ships, again and again: ``kill.py TIMES [SEED]``. Prints what came through.

A command writes numbered lines under ``logflume run``, which is killed at a random moment; the command goes on to its
end, and the next one begins. Meanwhile ``logflume ship`` brings all to a CloudWatch of ours; it is killed at random
moments, too, and begun anew. At the end every line must have arrived, in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LINES = 2000
PIECES = 5
PATIENCE_S = 120.0
STUB = Path(__file__).with_name("cloudwatch_stub.py")
LOGFLUME = [sys.executable, "-m", "logflume"]
SCRIPT = 'n=$0; for piece in $(seq $2); do seq -f "%015.0f of this" $n $((n + $1 - 1)); n=$((n + $1)); sleep 0.02; done'
AWS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "eu-west-1"}


class Ordeal:
    """One folder, and those who work on it."""

    def __init__(self, folder: Path, port: int, seed: int) -> None:
        self.folder = folder
        self.dice = random.Random(seed)  # noqa: S311 - moments, no secrets
        self.environ = {**os.environ, **AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        self.shipper: subprocess.Popen[bytes] | None = None
        self.shippers_killed = 0

    def ship(self) -> None:
        """Ship, if nobody does."""
        if self.shipper is None or self.shipper.poll() is not None:
            words = ["ship", "-f", str(self.folder), "--sink", "cloudwatch:group:stream"]
            self.shipper = subprocess.Popen([*LOGFLUME, *words], env=self.environ)

    def kill_shipper(self) -> None:
        """End who ships, at once."""
        if self.shipper is not None:
            self.shipper.kill()
            self.shipper.wait()
            self.shippers_killed += 1

    def turn(self, first: int) -> None:
        """Run a command, kill who captures it, and wait for its end."""
        words = ["run", "-q", "--dir", str(self.folder), "--", "sh", "-c", SCRIPT, str(first), str(LINES // PIECES)]
        with subprocess.Popen([*LOGFLUME, *words, str(PIECES)], env=self.environ) as supervisor:
            child = self._child_of(supervisor)
            time.sleep(self.dice.uniform(0, 0.12))
            supervisor.kill()
        if self.dice.random() < 0.5:
            self.kill_shipper()
        self.ship()
        wait_for(lambda: not alive(child))

    def _child_of(self, supervisor: subprocess.Popen[bytes]) -> int:
        """Return the command's process, once it runs; a note of an earlier one is none."""
        note = self.folder / ".logflume" / "capture.json"
        before = note.stat().st_mtime_ns if note.exists() else 0

        def noted() -> bool:
            return (note.exists() and note.stat().st_mtime_ns > before) or supervisor.poll() is not None

        wait_for(noted)
        pid: int = json.loads(note.read_text())["pid"]
        return pid


def alive(pid: int) -> bool:
    """Tell whether a process runs."""
    with contextlib.suppress(OSError):
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    return False


def wait_for(condition: object) -> None:
    """Look again and again, up to the deadline."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline_s:
            raise SystemExit("it did not happen")
        time.sleep(0.01)


def seen(port: int) -> dict[str, int]:
    """Ask what came."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        found: dict[str, int] = json.load(answer)
        return found


def main() -> None:
    """Run it once."""
    times, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    base = Path(tempfile.mkdtemp(prefix="logflume-kill-"))
    began_s = time.monotonic()
    with subprocess.Popen([sys.executable, STUB, "0.005", "--order"], stdout=subprocess.PIPE) as stub:
        assert stub.stdout is not None  # noqa: S101 - it is a pipe
        port = int(stub.stdout.readline())
        ordeal = Ordeal(base / "kept", port, seed)
        try:
            (base / "kept").mkdir()
            for turn in range(times):
                ordeal.turn(turn * LINES)
            kept = sum(path.read_bytes().count(b" of this\n") for path in (base / "kept").glob("out.log*"))
            ordeal.ship()
            wait_for(lambda: seen(port)["lines"] >= kept)
            found = seen(port)
            report = {
                "seconds": time.monotonic() - began_s,
                "killed": times,
                "shippers_killed": ordeal.shippers_killed,
                "written": times * LINES,
                "kept": kept,
                "lost": times * LINES - found["lines"],
                "doubled": found["doubled"],
                "disordered": found["disordered"],
            }
            print(json.dumps(report))
        finally:
            if ordeal.shipper is not None:
                ordeal.shipper.send_signal(signal.SIGTERM)
                ordeal.shipper.wait()
            stub.kill()
            shutil.rmtree(base)


if __name__ == "__main__":
    main()
