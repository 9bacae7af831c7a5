"""Run one command and print what it cost as JSON. A process of its own, so that it can be small.

Holds: imports next to nothing. A forked child's peak RSS starts from its parent's, so the launcher's own few MB are
       the least that can be measured; a harness of 60 MB would show 60 MB for ``cat``.
Plan:  fork, exec, read what must be read, wait4.

``python -S -E bench/launch.py '{"argv": […], "env": {…}, "stdout": "null|drain|first|capture", "anonymous": false}'``
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time

READ_BYTES = 1 << 20
CAPTURE_BYTES = 1 << 20
SAMPLE_S = 0.005
STOP_S = 2.0
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ; fcntl names it from Python 3.10 on, on Linux


def main(spec: dict[str, object]) -> dict[str, object]:
    """Run the command to its end, or to its first byte, and return what it cost."""
    mode = spec["stdout"]
    stderr = os.memfd_create("stderr")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, SET_PIPE_SIZE, READ_BYTES)
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        become(spec, os.open(os.devnull, os.O_WRONLY) if mode == "null" else writing, stderr)
    os.close(writing)
    peak = AnonymousPeak(pid) if spec.get("anonymous") else None
    out, out_bytes, first_s = (b"", None, None) if mode == "null" else read_output(reading, str(mode), started)
    os.close(reading)
    if mode == "first":
        threading.Timer(STOP_S, os.kill, (pid, 9)).start()
    _, status, usage = os.wait4(pid, 0)
    return {
        "wall_s": time.perf_counter() - started,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "rss_bytes": usage.ru_maxrss * 1024,
        "code": os.waitstatus_to_exitcode(status),
        "first_byte_s": first_s,
        "out_bytes": out_bytes,
        "out": out.decode(errors="replace"),
        "anonymous_bytes": peak.stop() if peak else None,
        "stderr": os.pread(stderr, 4000, max(0, os.fstat(stderr).st_size - 4000)).decode(errors="replace"),
    }


def become(spec: dict[str, object], stdout: int, stderr: int) -> None:
    """Turn this forked child into the command. Never returns."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        argv = list(map(str, spec["argv"]))  # type: ignore[call-overload]
        os.execvpe(argv[0], argv, {**os.environ, **spec["env"]})  # type: ignore[dict-item]
    except OSError as error:
        os.write(2, str(error).encode())
    finally:
        os._exit(127)


def read_output(pipe: int, mode: str, started: float) -> tuple[bytes, int, float | None]:
    """Return the beginning of the output, its size, and when its first byte came."""
    kept, size, first_s = b"", 0, None
    while block := os.read(pipe, READ_BYTES):
        if first_s is None:
            first_s = time.perf_counter() - started
        size += len(block)
        if mode == "capture":
            kept = (kept + block)[:CAPTURE_BYTES]
        elif mode == "first":
            break
    return kept, size, first_s


class AnonymousPeak:
    """Watches the heap of a process (its anonymous resident memory), many times a second."""

    def __init__(self, pid: int) -> None:
        self._path = f"/proc/{pid}/status"
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                with open(self._path, encoding="ascii") as status:  # noqa: PTH123 - pathlib would weigh a megabyte
                    anonymous = next((line for line in status if line.startswith("RssAnon")), "RssAnon: 0 kB")
            except OSError:
                return
            self._peak = max(self._peak, int(anonymous.split()[1]) * 1024)

    def stop(self) -> int:
        """Return the peak in bytes."""
        self._ended.set()
        self._thread.join()
        return self._peak


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)
    os._exit(0)  # not waiting for the timer
