"""One stream on its way to one sink: what was read, what is packed, what has arrived.

Holds: the places behind what is not acknowledged yet; as many blocks as the packer holds, and as many requests as
       are on their way.
Plan:  a packer counts the bytes that it is fed; a batch knows the place behind each of its lines. So a request that
       ends within a batch names a place to the line.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.ship.requests import request_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.ship.cursors import Place
    from logflume.ship.feed import Batch, Feed
    from logflume.ship.outgoing import Changed, Stage
    from logflume.ship.requests import Packed, Packer, Request
    from logflume.ship.senders import Ticket


@dataclass(frozen=True, slots=True)
class _Fed:
    """A batch, and how many bytes the packer was fed up to its beginning; ``changed`` is what was fed instead of it."""

    begin: int
    batch: Batch
    changed: Changed | None

    @property
    def block(self) -> bytes:
        """What the packer was fed."""
        return self.batch.block if self.changed is None else self.changed.block

    @property
    def end(self) -> int:
        """How many bytes it was fed up to its end."""
        return self.begin + len(self.block)

    def place_behind(self, fed: int) -> Place | None:
        """Return the place where ``fed`` bytes are packed; None while those are only what was told before it."""
        size: int | None = fed - self.begin
        if self.changed is not None:
            size = self.changed.size_before(fed - self.begin, len(self.batch.block))
        return self.batch.place_behind(size) if size is not None and size >= self.batch.told_bytes else None


class Lane:
    """A feed, a packer, and requests on their way, in order; one thread uses it."""

    def __init__(self, feed: Feed, packer: Packer, place: Place | None, stage: Stage | None = None) -> None:
        """Begin where the cursor is."""
        self.feed = feed
        self.stage = stage
        self._packer = packer
        self._fed = 0
        self._batches: deque[_Fed] = deque()
        self._way: deque[tuple[Ticket, Place | None]] = deque()
        self._end = None if place is None else place.offset
        self._waits_since_s: float | None = None

    def add(self, batch: Batch) -> None:
        """Take what was read."""
        changed = None if self.stage is None else self.stage.apply(batch.block, batch.arrived_ns)
        fed = _Fed(self._fed, batch, changed)
        self._batches.append(fed)
        self._fed = fed.end
        if not fed.block:
            return
        self._packer.feed(fed.block, batch.arrived_ns)
        if self._waits_since_s is None:
            self._waits_since_s = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether something was read that is in no request."""
        return not self._packer.is_empty

    @property
    def waited_s(self) -> float:
        """How long the oldest line has waited for its request."""
        return 0.0 if self._waits_since_s is None else time.monotonic() - self._waits_since_s

    def take(self, *, everything: bool) -> Packed | None:
        """Return the next request; with ``everything`` also one that is not full."""
        packed = self._packer.take(everything=everything)
        if packed is not None:
            self._waits_since_s = None if self._packer.is_empty else time.monotonic()
        return packed

    def sent(self, packed: Packed, submit: Callable[[Request], Ticket]) -> None:
        """Send it, and note up to where the stream is acknowledged once it has arrived."""
        place = self._place_behind(packed.end)
        start, end = self._end, self._end if place is None else place.offset
        self._end = end
        self._way.append((submit(request_of(self.feed.stream, packed, start, end)), place))

    def _place_behind(self, fed: int) -> Place | None:
        place = None
        while self._batches and self._batches[0].begin < fed:
            first = self._batches[0]
            place = first.place_behind(min(fed, first.end)) or place
            if fed < first.end:
                break
            self._batches.popleft()
        return place

    def on_their_way(self) -> list[Ticket]:
        """Return the requests whose place is not kept yet."""
        return [ticket for ticket, _ in self._way]

    def arrived_place(self) -> Place | None:
        """Return the place behind the last of those that have arrived with all before them; they are forgotten.

        What was left out has arrived, too.
        """
        kept = None
        while self._way and self._way[0][0].receipt is not None:
            kept = self._way.popleft()[1] or kept
        if self._batches and not self._way and self._packer.is_empty:  # all of them were left out
            kept = self._batches[-1].batch.place
            self._end = kept.offset
            self._batches.clear()
        return kept
