"""The logs that are being asked for, each with its index.

Invariant: at most MAX_OPEN_LOGS indexes are held; the one asked for longest ago is closed and kept in the cache folder.
An index is built by at most one thread at a time.

Any thread may ask.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from logflume.closing import Closing
from logflume.index import LogIndex
from logflume.state import EndOfLog, peek_status

if TYPE_CHECKING:
    from logflume.abc import Catalog, Log
    from logflume.indexcache import IndexCache
    from logflume.records import LogStatus

WAIT_S = 0.1
"""How long a question waits for an index: one of 50 MB is made meanwhile."""

MAX_OPEN_LOGS = 64
"""An index of a 10 GB log takes some 10 MB."""

REFRESH_S = 1.0
"""How often an index that is asked for looks whether its log has grown."""


class Shelf(Closing):
    """A catalog, and the indexes of the logs that were asked for last."""

    def __init__(
        self, catalog: Catalog, *, key: bytes, cache: IndexCache | None = None, quiet_ends_s: float = 0
    ) -> None:
        """Open nothing.

        Args:
            catalog: which logs there are.
            key: signs cursors; with the same one, those of an earlier run go on.
            cache: where indexes are kept.
            quiet_ends_s: a log that says nothing itself has ended when it was quiet for so long; 0: nobody knows.
        """
        self.catalog = catalog
        self.key = key
        self._cache = cache
        self._quiet_ends_s = quiet_ends_s
        self._changing = threading.Lock()
        self._open: OrderedDict[str, _Kept] = OrderedDict()

    def find(self, log_id: str) -> Log:
        """Return a log.

        Raises:
            LogNotFound: there is none of that name.
        """
        return self.catalog.find(log_id)

    def status(self, log: Log) -> LogStatus:
        """Return how whoever writes a log stands."""
        return peek_status(log, quiet_s=self._quiet_ends_s)

    def end_of(self, log: Log) -> EndOfLog:
        """Return what tells a follow that a log has ended."""
        return EndOfLog(log, quiet_s=self._quiet_ends_s)

    def index(self, log: Log) -> LogIndex:
        """Return the index of a log, which grows in the background up to what there is; wait for it up to WAIT_S."""
        with self._changing:
            kept = self._open.get(log.id)
            if kept is None:
                kept = self._open[log.id] = _Kept(LogIndex(log, cache=self._cache))
            self._open.move_to_end(log.id)
            surplus = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MAX_OPEN_LOGS)]
        for old in surplus:
            old.index.close()
        kept.refresh()
        return kept.index

    def close(self) -> None:
        """End all building; what was built is kept in the cache folder."""
        with self._changing:
            kept = list(self._open.values())
            self._open.clear()
        for each in kept:
            each.index.close()


class _Kept:
    """An index and when its log was last looked at."""

    def __init__(self, index: LogIndex) -> None:
        self.index = index
        self._looked_s = float("-inf")
        self._changing = threading.Lock()

    def refresh(self) -> None:
        """Have it cover what has come, now and then."""
        with self._changing:
            if time.monotonic() - self._looked_s < REFRESH_S:
                return
            self._looked_s = time.monotonic()
        self.index.build_in_background()
        self.index.wait(WAIT_S)
