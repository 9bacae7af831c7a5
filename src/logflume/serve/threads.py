"""The threads that wait for others in an event loop's stead: for a reader to be closed, for a look at a file.

Holds: MAX_THREADS, all of them from the start: how many a server has does not tell how much it was asked.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

MAX_THREADS = 8
"""Of one process, for short waits; what finds none free waits its turn."""

_START_S = 10.0


def take_threads() -> None:
    """Give the running loop its threads; those that a system does not grant at once come later."""
    pool = ThreadPoolExecutor(MAX_THREADS, "logflume-wait")
    met = threading.Barrier(MAX_THREADS)
    for _ in range(MAX_THREADS):
        pool.submit(met.wait, _START_S)  # none is free for the next one before all are there
    asyncio.get_running_loop().set_default_executor(pool)
