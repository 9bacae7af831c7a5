"""Run the real command in a process of its own, as a user's shell would.

Holds: nothing of the caller's terminal reaches it; what it prints is whole in memory, and small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-m", "logflume")
SAMPLE = Path(__file__).parents[1] / "data" / "airflow" / "sample" / "logs"
DEFERRED = next(SAMPLE.glob("dag_id=log_sample/*/task_id=deferred"))
TIMEOUT_S = 60

_DROP_FROM_BOUNDING_SET = 24  # prctl(2)
_MAY_READ_ALL = (1, 2)  # capabilities(7): DAC_OVERRIDE, DAC_READ_SEARCH


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()


def run(*words: str | Path, stdin: bytes = b"", cwd: Path | None = None, timid: bool = False, **environ: str) -> Done:
    """Run ``logflume WORDS`` to its end; ``timid``: with no more rights than the modes of files give."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(**environ),
        timeout=TIMEOUT_S,
        check=False,
        preexec_fn=_drop_rights if timid and os.geteuid() == 0 else None,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def environment(**environ: str) -> dict[str, str]:
    """Return this process's environment without what changes output."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    return {**kept, "TERM": "xterm", **environ}


@contextlib.contextmanager
def started(*words: str | Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``logflume WORDS`` while entered; kill it then if it still runs, or when it hangs."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process: subprocess.Popen[bytes] = subprocess.Popen([*COMMAND, *map(str, words)], env=environment(), **options)  # type: ignore[call-overload]
    watchdog = threading.Timer(TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        watchdog.join()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Do what Ctrl-C does."""
    process.send_signal(signal.SIGINT)


def _drop_rights() -> None:
    """Let root be refused like anybody: from the next exec on, file modes count."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in _MAY_READ_ALL:
        if libc.prctl(_DROP_FROM_BOUNDING_SET, *map(ctypes.c_ulong, (capability, 0, 0, 0))):
            raise OSError(ctypes.get_errno(), "prctl")
