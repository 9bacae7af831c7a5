"""How much callers may have of a server at once: readers, followers, searches, and bytes a second.

Holds: whatever is begun within ``with`` is given back when that is left, however it is left. Of callers who have
       nothing going on at most MAX_CALLERS are known; of the others as many as the bounds in all let be.
Plan:  counters, in all and by name. Whoever is one too many is refused at once, and waits in no queue that nobody sees.
       Bytes are not refused but slowed: each block waits for its time (a token bucket, kept as the time at which it
       would be full again).

For one event loop; nothing here blocks or is shared between threads. Callers who have not signed in have no name to
count by: for them only the bounds in all hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from logflume.serve.callers import Caller
    from logflume.serve.settings import Settings

MAX_CALLERS = 10_000
"""Whose use of the last seconds is remembered."""

BURST_S = 1.0
"""What one may be ahead of its bytes a second."""

RETRY_S = 5
"""What is said to who is refused: places become free when an answer ends, and nobody knows when."""


class Use(Enum):
    """What is counted."""

    READ = "reader"
    FOLLOW = "follower"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Bound:
    """How many at once."""

    in_all: int
    per_caller: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """All bounds; 0 bytes a second: any."""

    uses: dict[Use, Bound]
    bytes_per_s: int = 0
    bytes_per_s_per_caller: int = 0
    search_bytes: int = 50_000_000_000
    search_s: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """Return those of settings."""
        return cls(
            uses={
                Use.READ: Bound(settings.max_readers, settings.max_readers_per_caller),
                Use.FOLLOW: Bound(settings.max_followers, settings.max_followers_per_caller),
                Use.SEARCH: Bound(settings.max_searches, settings.max_searches_per_caller),
            },
            bytes_per_s=settings.max_bytes_per_s,
            bytes_per_s_per_caller=settings.max_bytes_per_s_per_caller,
            search_bytes=settings.max_search_bytes,
            search_s=settings.max_search_s,
        )


class TooMany(Exception):
    """One more would be too many: 429, and come again.

    Attributes:
        use: of what.
        bound: how many there may be.
        of_caller: whether they are all this caller's.
        retry_s: after which time to try again.
        detail: one plain sentence for people.
    """

    def __init__(self, use: Use, bound: int, *, of_caller: bool) -> None:
        self.use = use
        self.bound = bound
        self.of_caller = of_caller
        self.retry_s = RETRY_S
        whose = "You have" if of_caller else "This server has"
        self.detail = f"{whose} {bound} {use.value}s at once, which is the most. Try again when one has ended."
        super().__init__(self.detail)


class Bucket:
    """Bytes a second. Who takes more than there is waits, in the order of asking.

    Holds: within any time t no more than ``bytes_per_s`` × (t + BURST_S) bytes and one block are let through.
    """

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._full_s = 0.0  # when it is full again, on the clock of time.monotonic()

    def claim(self, n_bytes: int, now_s: float) -> float:
        """Take bytes out; return how many seconds later they may be sent."""
        if not self._bytes_per_s:
            return 0.0
        wait_s = max(0.0, self._full_s - now_s - BURST_S)
        self._full_s = max(self._full_s, now_s) + n_bytes / self._bytes_per_s
        return wait_s

    def is_full(self, now_s: float) -> bool:
        """Tell whether nothing of the last seconds counts any more."""
        return self._full_s <= now_s


@dataclass(slots=True)
class _Known:
    """What one caller has going on."""

    bucket: Bucket
    uses: Counter[Use] = field(default_factory=Counter)

    def is_idle(self, now_s: float) -> bool:
        return not self.uses.total() and self.bucket.is_full(now_s)


@dataclass(frozen=True, slots=True)
class InUse:
    """What is going on, for metrics."""

    uses: dict[Use, int]
    callers: int


class Limits:
    """Counts what callers have going on. For one event loop."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tell: Callable[[Use, int], None] | None = None,
    ) -> None:
        """Count from nothing; ``tell`` is called with each new count, in all."""
        self.bounds = bounds
        self._clock = clock
        self._sleep = sleep
        self._tell = tell
        self._uses: Counter[Use] = Counter()
        self._bucket = Bucket(bounds.bytes_per_s)
        self._known: OrderedDict[str, _Known] = OrderedDict()

    @contextlib.contextmanager
    def using(self, caller: Caller, use: Use) -> Iterator[Pace]:
        """Have one reader, follower or search while entered; what it sends goes through the pace that it is given.

        Raises:
            TooMany: there are as many as there may be.
        """
        known = self._begin(caller, use)
        try:
            yield Pace([self._bucket, *([known.bucket] if known else [])], self._clock, self._sleep)
        finally:
            if known:
                known.uses[use] -= 1
            self._count(use, -1)

    def new_budget(self) -> SearchBudget:
        """Return what one search may spend, from now on."""
        return SearchBudget(self.bounds.search_bytes, self.bounds.search_s, self._clock)

    def in_use(self) -> InUse:
        """Return what is going on now."""
        return InUse({use: self._uses[use] for use in Use}, len(self._known))

    def _begin(self, caller: Caller, use: Use) -> _Known | None:
        bound = self.bounds.uses[use]
        if self._uses[use] >= bound.in_all:
            raise TooMany(use, bound.in_all, of_caller=False)
        known = self._remember(caller.name) if caller.signed_in else None
        if known:
            if known.uses[use] >= bound.per_caller:
                raise TooMany(use, bound.per_caller, of_caller=True)
            known.uses[use] += 1
        self._count(use, 1)
        return known

    def _count(self, use: Use, change: int) -> None:
        self._uses[use] += change
        if self._tell:
            self._tell(use, self._uses[use])

    def _remember(self, name: str) -> _Known:
        known = self._known.get(name)
        if known is None:
            self._forget_idle()
            known = self._known[name] = _Known(Bucket(self.bounds.bytes_per_s_per_caller))
        self._known.move_to_end(name)
        return known

    def _forget_idle(self) -> None:
        """Forget those seen longest ago who have nothing going on; of many, also what they have lately been sent."""
        now_s = self._clock()
        while self._known and next(iter(self._known.values())).is_idle(now_s):
            self._known.popitem(last=False)
        if len(self._known) >= MAX_CALLERS:
            unused = [name for name, known in self._known.items() if not known.uses.total()]
            for name in unused[: len(self._known) - MAX_CALLERS + 1]:
                del self._known[name]


class Pace:
    """Lets the bytes of one answer through at the pace of its caller and of all; the bytes themselves stay with you."""

    def __init__(
        self, buckets: list[Bucket], clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._buckets = buckets
        self._clock = clock
        self._sleep = sleep

    async def wait_for(self, n_bytes: int) -> None:
        """Return when so many bytes may be sent. Cancelled while waiting, they stay taken."""
        now_s = self._clock()
        wait_s = max(bucket.claim(n_bytes, now_s) for bucket in self._buckets)
        if wait_s > 0:
            await self._sleep(wait_s)


class SearchBudget:
    """What one search may read: bytes and seconds. Any one thread may spend it."""

    def __init__(self, max_bytes: int, max_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end_s = clock() + max_s
        self.max_bytes = max_bytes
        self.spent_bytes = 0

    def spend(self, n_bytes: int) -> bool:
        """Count what was read; False: stop now, and say how far it went."""
        self.spent_bytes += n_bytes
        return self.spent_bytes < self.max_bytes and self._clock() < self._end_s
