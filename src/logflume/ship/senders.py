"""The threads that send one sink's requests, each until it is taken.

Holds: as many requests as the sink takes at once. A request is sent again, for ever, after a random part of a delay
       that doubles up to MAX_DELAY_S, or after what the sink asks for.
Plan:  a sink that says it is asked too often is asked by half as many threads, and by one more after as many
       successes as there are threads. A limit on bytes a second is kept by starting later.
Not here: order; who submits sees to it that places are kept in order.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from logflume.errors import LogflumeError, SinkRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from logflume.ship.requests import Receipt, Request, RequestSink

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 30.0
"""A sink that refuses is asked again after so long at most, unless it asks for longer."""

MAX_ASKED_S = 300.0
"""No sink can ask for a longer delay."""

MAX_IN_FLIGHT = 16
"""So many requests of one sink are on their way at most, whatever it says of itself."""


@dataclass(eq=False)
class Ticket:
    """One request on its way; ``receipt`` is there when it has arrived."""

    request: Request
    receipt: Receipt | None = None


class Report(Protocol):
    """Who wants to know how it goes; called from many threads."""

    def refused(self, error: Exception) -> None:
        """A request was refused."""

    def taken(self, request: Request, receipt: Receipt) -> None:
        """A request was taken."""


class Pace:
    """How much one sink is asked: threads at once, and bytes a second. Many threads use it."""

    def __init__(self, in_flight: int, max_bytes_per_s: int | None, now_s: Callable[[], float]) -> None:
        """Begin with all threads."""
        self.in_flight = max(1, min(in_flight, MAX_IN_FLIGHT))
        self.allowed = self.in_flight
        self._rate = max_bytes_per_s
        self._now_s = now_s
        self._free_s = float("-inf")
        self._successes = 0
        self._lock = threading.Lock()

    def taken(self) -> None:
        """Go on a little faster after a while."""
        with self._lock:
            self._successes += 1
            if self._successes >= self.allowed:
                self._successes = 0
                self.allowed = min(self.in_flight, self.allowed + 1)

    def throttled(self) -> None:
        """Go on with half as many."""
        with self._lock:
            self._successes = 0
            self.allowed = max(1, self.allowed // 2)

    def reserve(self, size_bytes: int) -> float:
        """Take the time that sending so much needs; return in how many seconds it begins."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now_s = self._now_s()
            begin_s = max(now_s, self._free_s)
            self._free_s = begin_s + size_bytes / self._rate
            return begin_s - now_s


class Senders:
    """Threads that send; one thread submits and collects."""

    def __init__(
        self, sink: RequestSink, report: Report, stopping: threading.Event, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start nothing before something is submitted."""
        self.pace = Pace(sink.in_flight, sink.max_bytes_per_s, now_s)
        self._sink = sink
        self._report = report
        self._stopping = stopping
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._arrived = threading.Condition()
        self._news = False
        self._jitter = random.Random()  # noqa: S311 - it spreads load, it keeps no secret

    @property
    def busy(self) -> bool:
        """Whether a request is on its way."""
        return self._under_way > 0

    @property
    def has_room(self) -> bool:
        """Whether one more may be sent now."""
        return self._under_way < self.pace.allowed

    def submit(self, request: Request) -> Ticket:
        """Send it, in a thread; whether it has arrived stands in the ticket."""
        if len(self._threads) < min(self._under_way + 1, self.pace.in_flight):
            name = f"logflume-send-{self._sink.name}-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._run, name=name, daemon=True))
            self._threads[-1].start()
        self._under_way += 1
        ticket = Ticket(request)
        self._queue.put(ticket)
        return ticket

    def collect(self, tickets: Iterable[Ticket]) -> bool:
        """See which of those submitted have arrived since; tell whether any has."""
        under_way = sum(ticket.receipt is None for ticket in tickets)
        moved = under_way < self._under_way
        self._under_way = under_way
        return moved

    def wait(self, seconds: float) -> None:
        """Wait until something has arrived, or so long."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._news, seconds)
            self._news = False

    def end(self, seconds: float) -> None:
        """Let threads end after what they are at; wait so long for it."""
        for _ in self._threads:
            self._queue.put(None)
        deadline_s = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _run(self) -> None:
        while (ticket := self._queue.get()) is not None:
            self._send(ticket)
            with self._arrived:
                self._news = True
                self._arrived.notify_all()

    def _send(self, ticket: Ticket) -> None:
        """Send it until it is taken, or we are told to stop."""
        self._stopping.wait(self.pace.reserve(len(ticket.request.payload)))
        delay_s = FIRST_DELAY_S
        while not self._stopping.is_set():
            try:
                receipt = self._sink.send(ticket.request)
            except Exception as error:  # noqa: BLE001 - whatever a sink raises, the request is kept and told
                asked_s = self._refused(error)
            else:
                self.pace.taken()
                self._report.taken(ticket.request, receipt)
                ticket.receipt = receipt
                return
            self._stopping.wait(self._jitter.uniform(0, delay_s) if asked_s is None else min(asked_s, MAX_ASKED_S))
            delay_s = min(2 * delay_s, MAX_DELAY_S)

    def _refused(self, error: Exception) -> float | None:
        """Count it; return after how many seconds the sink wants to be asked again, if it says so."""
        if not isinstance(error, LogflumeError):
            error = SinkRefused(self._sink.name, f"{type(error).__name__}: {error}")
        self._report.refused(error)
        if not isinstance(error, SinkRefused):
            return None
        if error.throttled:
            self.pace.throttled()
        return error.retry_after_s
