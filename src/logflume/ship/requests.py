"""What a sink is given that takes many lines at once, and several requests at a time.

Holds: nothing but data. A ``RequestSink`` is a ``Sink`` too, one request after the other: ``check_sink`` proves both.
Plan:  a ``Packer`` makes requests of the lines of one stream, within the limits of a service; the one in the core knows
       several. ``OneByOne`` is how a sink that takes only blocks appears as one that takes requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from logflume.abc import Sink


class Packed(Protocol):
    """What a packer gives: bytes to send, and what is in them. The core's ``Packed`` is one."""

    @property
    def payload(self) -> bytes:
        """What is sent."""
        ...

    @property
    def events(self) -> int:
        """How many events are in it; 0 where nobody counts."""
        ...

    @property
    def parts(self) -> int:
        """How many of them are parts of lines that are too long for one event."""
        ...

    @property
    def end(self) -> int:
        """Up to which byte of all that was fed every line is in this one or one before."""
        ...

    @property
    def first_ns(self) -> int:
        """Time of its first event."""
        ...

    @property
    def last_ns(self) -> int:
        """Time of its last event."""
        ...


class Packer(Protocol):
    """Makes requests of the lines of one stream; one thread uses it.

    Order: as fed. Loss: none. Memory: what was fed and not taken, and one request.
    """

    def feed(self, block: bytes, arrived_ns: int) -> None:
        """Take whole lines that had come by then."""
        ...

    def take(self, *, everything: bool) -> Packed | None:
        """Return the next full request, or with ``everything`` also what is not full; None when there is none."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent at once.

    Attributes:
        stream: the name of the stream.
        payload: what a packer made.
        events, parts: how many are in it, as the packer counted.
        first_ns, last_ns: times of its first and last event.
        start, end: which bytes of the stream it is about; None where nobody counts them.
        packed_end: how many bytes were packed up to its end since this process began with the stream.
    """

    stream: str
    payload: bytes
    events: int
    parts: int
    first_ns: int
    last_ns: int
    start: int | None = None
    end: int | None = None
    packed_end: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a service said to a request that it took.

    Attributes:
        rejected: so many of its events it will never take; they are not offered again, and counted.
        why: in words.
    """

    rejected: int = 0
    why: str = ""


TAKEN = Receipt()


@runtime_checkable
class RequestSink(Protocol):
    """A sink that takes several requests at a time. It is a ``logflume.abc.Sink``, too."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def in_flight(self) -> int:
        """How many requests may be on their way at once; ``send`` is called from so many threads."""
        ...

    @property
    def linger_s(self) -> float:
        """How long lines wait at most for a request to become full."""
        ...

    @property
    def max_bytes_per_s(self) -> int | None:
        """How much may be sent in a second; None: as much as there is."""
        ...

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        ...

    def send(self, request: Request) -> Receipt:
        """Send a request; return when it is accepted for good.

        Raises:
            LogflumeError: it was not accepted; the same one may be sent again.
        """
        ...

    def close(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it is, as a request."""

    payload: bytes
    end: int
    first_ns: int
    last_ns: int
    events: int = 0
    parts: int = 0


class Blocks:
    """A packer that makes a request of each block; with ``max_bytes`` of as many as fit."""

    def __init__(self, max_bytes: int = 1) -> None:
        """Begin a stream; ``max_bytes``: a request of that size is full."""
        self._max_bytes = max_bytes
        self._waiting: list[tuple[bytes, int]] = []
        self._bytes = 0
        self._end = 0

    def feed(self, block: bytes, arrived_ns: int) -> None:
        """Take a block."""
        if block:
            self._waiting.append((block, arrived_ns))
            self._bytes += len(block)

    def take(self, *, everything: bool) -> Block | None:
        """Return what waits, when it is enough."""
        if not self._waiting or (self._bytes < self._max_bytes and not everything):
            return None
        payload = b"".join(block for block, _ in self._waiting)
        first_ns, last_ns = self._waiting[0][1], self._waiting[-1][1]
        self._waiting, self._bytes = [], 0
        self._end += len(payload)
        return Block(payload, self._end, first_ns, last_ns)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting


class OneByOne:
    """A sink of blocks as one of requests: a block at a time, at once."""

    in_flight = 1
    linger_s = 0.0
    max_bytes_per_s: int | None = None

    def __init__(self, sink: Sink) -> None:
        """Stand before it."""
        self._sink = sink
        self.name = sink.name

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        del stream
        return Blocks()

    def send(self, request: Request) -> Receipt:
        """Write it."""
        self._sink.write(request.payload)
        return TAKEN

    def close(self) -> None:
        """Release the sink."""
        self._sink.close()


def requests_of(sink: Sink) -> RequestSink:
    """Return a sink as one that takes requests."""
    return sink if isinstance(sink, RequestSink) else OneByOne(sink)


class Requests:
    """What makes a RequestSink a Sink: a block becomes requests, which are sent one after the other.

    Attributes:
        in_flight, linger_s, max_bytes_per_s: see RequestSink.
    """

    name: str
    in_flight = 1
    linger_s = 1.0
    max_bytes_per_s: int | None = None
    _written = 0

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        raise NotImplementedError

    def send(self, request: Request) -> Receipt:
        """Send a request."""
        raise NotImplementedError

    def write(self, block: bytes) -> None:
        """Take whole lines; see ``logflume.abc.Sink``."""
        import time

        packer = self.packer("log")
        packer.feed(block, time.time_ns())
        while packed := packer.take(everything=True):
            self.send(request_of("log", packed, before=self._written))
        self._written += len(block)

    def close(self) -> None:
        """Release nothing."""


def request_of(
    stream: str, packed: Packed, start: int | None = None, end: int | None = None, *, before: int = 0
) -> Request:
    """Return what a packer made as a request; ``before``: so many bytes were packed by others before it."""
    times = (packed.first_ns, packed.last_ns)
    return Request(stream, packed.payload, packed.events, packed.parts, *times, start, end, before + packed.end)
