"""AWS as moto plays it, in a process of its own on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Run it while entered; give its address."""
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    quiet = {**os.environ, "MOTO_ALLOW_NONEXISTENT_REGION": "true"}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=quiet
    ) as process:
        try:
            assert process.stdout
            found = next(match for line in process.stdout if (match := re.search(rb"^port (\d+)", line)))
            yield f"http://127.0.0.1:{int(found[1])}"
        finally:
            process.kill()
