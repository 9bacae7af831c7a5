"""Whether the log of a task that has ended is complete.

Holds: nothing. A worker reports the end of a task first, and then writes what is still in the pipe from it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

SETTLE_S = 5.0
"""So long after the end of a task its log may still grow, and is not said to have ended."""


def has_settled(ti: Any) -> bool:  # noqa: ANN401 - Airflow's task instance
    """Tell whether a task ended so long ago that its log is whole; a clock that is far off counts as long ago."""
    ended_at: datetime | None = getattr(ti, "end_date", None)
    if ended_at is None:
        return True
    return abs((datetime.now(tz=timezone.utc) - ended_at).total_seconds()) >= SETTLE_S
