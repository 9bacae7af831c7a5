"""The end of a server, told to the answers that are going on.

Plan:  those that never end by themselves, follows, are told at once to connect again; the others when their time is up.
"""

from __future__ import annotations

import asyncio
import random

from logflume.serve.problems import Problem

RETRY_S = 5
"""Within so long who was told comes again, each at another moment."""


class Drain:
    """Whether a server ends. For one event loop."""

    def __init__(self) -> None:
        self.follows = asyncio.Event()
        self.answers = asyncio.Event()

    def begin(self, seconds: float) -> None:
        """End follows now, and other answers so much later."""
        self.follows.set()
        asyncio.get_running_loop().call_later(seconds, self.answers.set)


def server_ends() -> Problem:
    """Return what is said to whose answer is not whole."""
    retry_s = random.randint(1, RETRY_S)  # noqa: S311 - so that not all of them come at once
    detail = "This server ends, or begins anew. Ask again, and go on after the last cursor."
    return Problem(503, "server-ends", detail, retry_s=retry_s)
