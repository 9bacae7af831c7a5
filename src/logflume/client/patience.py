"""How long a client tries again, and how fast.

Holds: waits double from FIRST_WAIT_S up to MAX_WAIT_S, each cut at random by up to half, so that many clients of one
       server do not come back at once; what the server asks for counts if it is more. After ``give_up_s`` without
       getting on, the last failure is raised; where nobody has answered yet after NEVER_MET_S, and at once where nobody
       listens.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.client.answers import Failure

FIRST_WAIT_S = 0.1
MAX_WAIT_S = 10.0
GIVE_UP_S = 60.0
NEVER_MET_S = 5.0


class Patience:
    """That of one question. One thread asks."""

    def __init__(
        self,
        give_up_s: float = GIVE_UP_S,
        *,
        met: bool = False,
        clock: Callable[[], float] = time.monotonic,
        luck: Callable[[], float] = random.random,
    ) -> None:
        """Begin; ``met`` if the server has answered before."""
        self._give_up_s = give_up_s
        self._met = met
        self._clock = clock
        self._luck = luck
        self._failing_since_s: float | None = None
        self._tries = 0
        self._tried_s = clock()

    def answered(self) -> None:
        """Note that there is a server."""
        self._met = True

    def heard(self) -> None:
        """Note that the connection is alive, and nothing more can be expected of it."""
        self._failing_since_s = None
        if self._clock() - self._tried_s >= MAX_WAIT_S:
            self._tries = 0

    def got_on(self) -> None:
        """Note that something new came."""
        self._failing_since_s = None
        self._tries = 0

    def wait_s(self, failure: Failure) -> float:
        """Return how long to wait before the next try.

        Raises:
            LogflumeError: that of the failure; there is no next try.
        """
        now_s = self._clock()
        if not failure.again or (failure.silent and not self._met):
            raise failure.error
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        wait_s: float = min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** min(self._tries, 30)) * (1 - self._luck() / 2)
        if failure.after_s is not None:
            wait_s = max(wait_s, failure.after_s * (1 + self._luck() / 10))
        is_met = self._met or failure.after_s is not None
        give_up_s = self._give_up_s if is_met else min(self._give_up_s, NEVER_MET_S)
        if now_s + wait_s - self._failing_since_s > give_up_s:
            raise failure.error
        self._tries += 1
        self._tried_s = now_s
        return wait_s
