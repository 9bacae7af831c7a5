"""A scheduler of a few lines whose tasks' logs are kept, followed and shown by logflume.

    python examples/tiny_orchestrator.py FOLDER     # runs five tasks; then look: logflume serve FOLDER

Plan:  each try of a task is a command under ``logflume run``: it never waits for its log, and goes on writing should
       this program be killed. Its folder is the log: followed here while the task runs, and asked for its last lines
       when the task has failed.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from logflume import How, Output, iter_followed, log_of_paths
from logflume.seek import tail

LINES_TOLD = 3


@dataclass(frozen=True)
class Task:
    """A command, and what has to succeed before it."""

    name: str
    command: str
    after: tuple[str, ...] = ()
    tries: int = 1


TASKS = (
    Task("extract", 'for n in 1 2 3; do echo "fetched page $n"; sleep 0.1; done'),
    Task("flaky", "echo trying; test -e again || { touch again; echo 'ERROR no route to host' >&2; exit 1; }", tries=2),
    Task("load", f"{sys.executable} -c 'raise ValueError(\"column price is missing\")'", after=("extract",)),
    Task("report", "echo all is loaded", after=("load",)),
    Task("clean", "echo nothing to clean", after=("extract", "flaky")),
)


def main() -> int:
    """Run all tasks in order; return how many have failed."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "logs").absolute()
    failed: set[str] = set()
    for task in TASKS:
        if missing := failed.intersection(task.after):
            print(f"{task.name}: left out, for {', '.join(missing)} has failed")
            failed.add(task.name)
        elif not any(run(task, attempt, root / task.name) for attempt in range(1, task.tries + 1)):
            print(f"{task.name}: failed; this is why:")
            for line in explain(root / task.name):
                print(f"    {line}")
            failed.add(task.name)
    print(f"look at all of it: logflume serve {root}")
    return len(failed)


def run(task: Task, attempt: int, folder: Path) -> bool:
    """Run one try of a task, printing its log as it grows; return whether it has succeeded."""
    kept = folder / f"attempt={attempt}"
    kept.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "logflume", "run", "--quiet", "--dir", str(kept), "--", "sh", "-c", task.command]
    with subprocess.Popen(words, cwd=folder) as process:
        how = How(output=Output.TEXT)
        with iter_followed(log_of_paths([kept]), how, ended=lambda: process.poll() is not None) as log:
            for block in log:
                for line in block.decode(errors="replace").splitlines():
                    print(f"{task.name}: {line}", flush=True)
        return process.wait() == 0


def explain(folder: Path) -> list[str]:
    """Return the end of the log of all tries, merged."""
    end = tail(log_of_paths([folder]).sources(), LINES_TOLD, How(output=Output.TEXT))
    return b"".join(end).decode(errors="replace").splitlines()


if __name__ == "__main__":
    sys.exit(main())
