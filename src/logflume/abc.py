"""The contracts. Whoever implements one proves it with ``logflume.testing``.

A **Source** is one place where bytes of a log lie (a file with its rotated predecessors, an object, a
pod). It is cheap to make and holds nothing open. ``open`` gives a **Reader**, which holds what must be
closed. Bytes come in blocks of any size, cut anywhere: finding lines is the core's work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from logflume.records import Gap, Identity, LogStatus, Position

BLOCK_BYTES = 256 * 1024
"""The unit of flow: no block that moves through logflume is larger, but for a single longer record."""


@runtime_checkable
class Reader(Protocol):
    """Bytes of one source, from an offset on. A context manager; closing twice is fine.

    Order:  as written. Loss: each missing stretch is a Gap in ``gaps``, in the order met.
    Memory: at most one block of ``max_bytes``, and what a decompressor needs (stated by its source).
    """

    @property
    def start(self) -> int:
        """Linear byte offset at which this reader began."""
        ...

    @property
    def gaps(self) -> list[Gap]:
        """What has been found missing so far; grows while reading."""
        ...

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; ``b""`` when there is nothing more at this moment.

        After ``b""`` a live source may have more later: calling again is allowed and cheap.

        Raises:
            SourceFailed: nothing more can be read; what was read before stays valid.
        """
        ...

    def position(self, offset: int) -> Position:
        """Name the linear ``offset`` (``start`` ≤ offset ≤ what was read) durably, for a cursor."""
        ...

    def close(self) -> None:
        """Release every descriptor, thread and temporary file now. Never raises."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Interruptible(Protocol):
    """What a Reader has, too, when its reads may have to wait for somebody else: a network, another process."""

    def interrupt(self) -> None:
        """End a read under way in another thread, at once, and every later one: they raise. Never raises itself."""
        ...


def interrupt(reader: object) -> None:
    """End the reads of a reader that can do that; do nothing to any other."""
    if isinstance(reader, Interruptible):
        reader.interrupt()


@runtime_checkable
class TellsArrival(Protocol):
    """What a Reader has, too, when somebody may have noted when its bytes came: lines without a time are dated so."""

    def has_arrivals(self) -> bool:
        """Whether anybody noted it; a file that nobody captured has none, and costs a look."""
        ...

    def peek_arrivals(self) -> list[tuple[int, int]]:
        """Return when the bytes of the block read last came: from which of them on, at which time in ns; in order."""
        ...


@runtime_checkable
class Source(Protocol):
    """One place where bytes of a log lie. Making it costs nothing and opens nothing."""

    @property
    def name(self) -> str:
        """What people call it; unique within a log."""
        ...

    @property
    def seekable(self) -> bool:
        """Whether ``open(n)`` costs the same for every n (a file: yes; gzip: no)."""
        ...

    def open(self, start: int | Position = 0) -> Reader:
        """Open at a linear byte offset, or at a durable position.

        Raises:
            SourceFailed: it cannot be read; its gap says why.
            CursorExpired: a Position whose bytes are gone.
        """
        ...

    def peek_size(self) -> int | None:
        """Bytes that can be read at this moment, without reading them; None when unknown."""
        ...

    def peek_identity(self) -> Identity | None:
        """Identity of the first bytes there are; None when there are none or it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What one place answers when it is asked for the log of a task's try: an executor, a remote store, a log server.

    Attributes:
        messages: what is told to people beside the log, a sentence each, without secrets: where it was found, or why
            it was not and what to do.
        sources: what can be read; the same name for the same thing at each call, so that a cursor goes on.
    """

    messages: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)


@runtime_checkable
class ExecutorLogs(Protocol):
    """What an executor has when it can give the log of a task that it runs. ``logflume.executors`` asks it.

    An executor that streams has ``supports_streaming_logs = True`` and
    ``get_streaming_task_log(ti, try_number) -> (messages, streams)``, too: each stream is an iterable of lines (text,
    bytes, or messages that know their JSON). It is preferred when it is advertised, or there; what raises
    NotImplementedError is passed over, and ``get_task_log`` asked instead.
    """

    def get_task_log(self, ti: Any, try_number: int) -> tuple[list[str], list[str]]:  # noqa: ANN401 - Airflow's own
        """Return what is told to people, and the texts of the log, whole, in memory.

        Raises:
            NotImplementedError: it has no logs to give.
        """
        ...


@runtime_checkable
class Log(Protocol):
    """One log: the sources that merge into it, in tie order."""

    @property
    def id(self) -> str:
        """Stable name within its catalog, ``/``-separated, safe to show."""
        ...

    def sources(self) -> list[Source]:
        """Return the sources as they are now; new files may appear between two calls."""
        ...


@runtime_checkable
class TellsStatus(Protocol):
    """What a log, or a source, offers beside its contract when it knows how its writer stands."""

    def peek_status(self) -> LogStatus:
        """Say how whoever writes it stands. Cheap, for it is asked every second. Never raises for what it finds.

        Once it says that the writer has ended, every byte can be read.
        """
        ...


@runtime_checkable
class TellsPaths(Protocol):
    """What a source offers beside its contract when its bytes lie in files of this machine, which can be watched."""

    @property
    def paths(self) -> Sequence[str]:
        """Files, there or not, one of which changes whenever the source does."""
        ...


@runtime_checkable
class Catalog(Protocol):
    """Which logs there are. Found lazily: nothing walks a whole tree to answer about one log."""

    def iter_logs(self, prefix: str = "", after: str = "") -> Iterator[Log]:
        """Yield logs whose id starts with ``prefix``, in id order, those after id ``after`` only."""
        ...

    def find(self, log_id: str) -> Log:
        """Return one log.

        Raises:
            LogNotFound: with the nearest names.
        """
        ...


@runtime_checkable
class Sink(Protocol):
    """Where captured blocks go. At least once, in order; each sink has its own durable cursor."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def write(self, block: bytes) -> None:
        """Take whole lines; return when they are accepted for good.

        Raises:
            LogflumeError: not accepted; the same block may be offered again.
        """
        ...

    def close(self) -> None:
        """Release everything; what was accepted stays accepted."""
        ...
