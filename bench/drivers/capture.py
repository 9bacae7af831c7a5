"""Run a child whose output is captured, and report what the child saw: ``capture.py WAY LINES [BYTES_A_WRITE]``.

WAY is ``file`` (the child writes straight to a file), ``cat`` (through a pipe into ``cat > file``), the name of another
logger (through a pipe into that), ``loop`` or ``thread`` (read and discarded as by peers/polling.py), or ``direct``,
``pipe``, ``fifo`` or ``pty`` (under ``logflume run``). ``seconds`` is the child's own wall time, without the start of
Python.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.data import BUILD, LOGFLUME, ROOT

SOURCE = Path(__file__).with_name("writer.c")
BUDGET = "1GB"
LOGGERS = {
    "s6-log": 's6-log n20 s99999999 "$0"',
    "svlogd": 'svlogd "$0" 2> /dev/null',
    "multilog": 'multilog n20 s16777215 "$0"',
    "rotatelogs": 'rotatelogs -n 20 "$0/out.log" 64M',
}
"""Others that keep what a pipe brings, as they rotate by themselves; each into the folder."""

POLLING = ("loop", "thread")


def writer() -> Path:
    """Return the child, compiled anew when its source has changed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / "writer"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-o", program, SOURCE], check=True)
    return program


def command(way: str, folder: Path, child: list[str]) -> list[str]:
    """Return the command that runs the child in that way."""
    if way == "file":
        return ["sh", "-c", 'exec "$@" > "$0"', str(folder / "out.log"), *child]
    if way == "cat":
        return ["sh", "-c", '"$@" | cat > "$0"', str(folder / "out.log"), *child]
    if way in POLLING:
        return [sys.executable, str(ROOT / "bench" / "peers" / "polling.py"), way, *child]
    if way in LOGGERS:
        return ["sh", "-c", f'"$@" | {LOGGERS[way]}', str(folder), *child]
    return [str(LOGFLUME), "run", "-q", "--dir", str(folder), "--capture", way, "--budget", BUDGET, "--", *child]


def main() -> None:
    """Measure once."""
    way, lines, *size = sys.argv[1:]
    folder = Path(tempfile.mkdtemp(dir=BUILD))
    report = folder.with_suffix(".json")
    try:
        child = [str(writer()), str(report), lines, *size]
        subprocess.run(command(way, folder, child), check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seen = json.loads(report.read_text(encoding="utf-8"))
        total_bytes = int(lines) * int(size[0] if size else 100)
        kept = sum(path.stat().st_size for path in folder.glob("out.log*"))
        if way in {"file", "cat"} and kept != total_bytes:
            raise SystemExit(f"{kept} bytes are kept of {total_bytes}")
        seen["ours_cpu_s"] = used.ru_utime + used.ru_stime - seen["cpu_s"]
        seen["ours_cpu_s_for_100_mb"] = seen["ours_cpu_s"] / total_bytes * 100e6
        seen["rss_mib"] = used.ru_maxrss / 1024
        seen["mb_s"] = total_bytes / 1e6 / seen["seconds"]
        print(json.dumps(seen))
    finally:
        shutil.rmtree(folder)
        report.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
