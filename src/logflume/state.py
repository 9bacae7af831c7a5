"""How whoever writes a log stands, and whether more will come.

Holds: what the log itself says counts. One that says nothing is unknown, unless a rule is given: quiet for so long,
       it has ended.
"""

from __future__ import annotations

import time
from dataclasses import replace

from logflume.abc import Log, TellsStatus
from logflume.records import LogState, LogStatus

_ASK_S = 0.5


def peek_status(log: Log, *, quiet_s: float = 0) -> LogStatus:
    """Return what is known of whoever writes a log.

    With ``quiet_s``, a log that says nothing itself is running as long as something was written within that time, and
    has ended then.
    """
    status = log.peek_status() if isinstance(log, TellsStatus) else LogStatus(LogState.UNKNOWN)
    if status.state is not LogState.UNKNOWN or not quiet_s or status.written_ns is None:
        return status
    is_quiet = time.time_ns() - status.written_ns >= quiet_s * 1e9
    return replace(status, state=LogState.ENDED if is_quiet else LogState.RUNNING)


class EndOfLog:
    """Tells a follow whether the log has ended: ``iter_followed(log, ended=EndOfLog(log))``. Asks twice a second."""

    def __init__(self, log: Log, *, quiet_s: float = 0) -> None:
        """Ask nothing yet; ``quiet_s`` as for ``peek_status``."""
        self.status = LogStatus(LogState.UNKNOWN)
        self._log = log
        self._quiet_s = quiet_s
        self._asked_s = float("-inf")

    def __call__(self) -> bool:
        """Tell whether nothing more will be written."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= _ASK_S and not self.status.state.is_over:
            self._asked_s = now_s
            self.status = peek_status(self._log, quiet_s=self._quiet_s)
        return self.status.state.is_over
