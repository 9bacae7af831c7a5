"""Every error of logflume: whose fault, what is gone, how to go on. Fields first, text second.

::

    LogflumeError
    ├── UsageError          the caller's fault: a bad argument, pattern or configuration
    │   ├── BadPattern      .pattern, .position
    │   └── BadCursor       the token is no cursor of ours, or of another log
    ├── SourceFailed        one source broke; .gap says why; the others go on
    ├── CursorExpired       the bytes under a cursor are gone; .oldest still works
    ├── SinkRefused         a sink did not take a block: offer it again, after .retry_after_s
    ├── SpoolFull           the spool's disk bound was reached under WhenFull.FAIL
    ├── IndexInvalid        an index does not fit its log any more; it is thrown away and built anew
    ├── LogNotFound         no log of that name; .near names the closest ones
    ├── ServerUnreachable   no answer from a log server, or none any more; .cursor goes on
    ├── ServerRefused       a log server answers, but not this; .status, .retry_after_s, .cursor
    │   ├── SignInNeeded    it wants a token that counts
    │   └── NotAllowed      the token does not cover that log
    └── ForeignServer       what answers is no log server, or its answers are changed on their way
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.records import Gap


class LogflumeError(Exception):
    """Root of the tree; never raised itself."""


class UsageError(LogflumeError):
    """The call itself is wrong; the text says what was expected."""


class BadPattern(UsageError):
    """A regular expression or time format that cannot be used; ``.position`` is a byte offset in it."""

    def __init__(self, pattern: str, reason: str, position: int | None = None) -> None:
        self.pattern = pattern
        self.reason = reason
        self.position = position
        where = "" if position is None else f" at {position}"
        super().__init__(f"bad pattern {pattern!r}{where}: {reason}")


class BadCursor(UsageError):
    """The token was not made by this logflume, was changed on its way, or belongs to another log."""


class SourceFailed(LogflumeError):
    """One source cannot be read. ``.gap`` says why and what to do; other sources go on."""

    def __init__(self, gap: Gap) -> None:
        self.gap = gap
        super().__init__(f"{gap.source}: {gap.detail} {gap.next_action}")


class CursorExpired(LogflumeError):
    """Truncation, replacement or retention passed this cursor.

    Resume at ``.oldest`` (a cursor token, or None: read from the start). ``.lost_bytes`` are gone,
    when that is known.
    """

    def __init__(self, detail: str, *, oldest: str | None = None, lost_bytes: int | None = None) -> None:
        self.oldest = oldest
        self.lost_bytes = lost_bytes
        super().__init__(detail)


class SinkRefused(LogflumeError):
    """A sink did not take a block. It is safe on disk: offer it again, after ``.retry_after_s`` if that is told.

    ``.throttled``: it is asked too much, and will be asked less.
    """

    def __init__(self, sink: str, detail: str, *, retry_after_s: float | None = None, throttled: bool = False) -> None:
        self.sink = sink
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.throttled = throttled
        super().__init__(f"{sink}: {detail}")


class SpoolFull(LogflumeError):
    """A spool reached ``disk_bytes``; ``.lost_bytes`` could not be kept."""

    def __init__(self, detail: str, *, lost_bytes: int = 0) -> None:
        self.lost_bytes = lost_bytes
        super().__init__(detail)


class IndexInvalid(LogflumeError):
    """An index was made of other bytes, by another version, or is damaged. Nothing is lost but time."""


class LogNotFound(LogflumeError):
    """The catalog has no such log; ``.near`` holds the nearest names (at most five)."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        self.name = name
        self.near = tuple(near)
        hint = f" Nearest: {', '.join(self.near)}." if self.near else ""
        super().__init__(f"no log named {name!r}.{hint}")


class ServerUnreachable(LogflumeError):
    """A log server cannot be reached, or has not been for as long as is waited for it.

    Nothing is lost: ``.cursor`` is the place after all that was given out (None: from where it was asked for).
    """

    def __init__(self, address: str, reason: str, *, cursor: str | None = None) -> None:
        self.address = address
        self.reason = reason
        self.cursor = cursor
        super().__init__(f"{address} cannot be reached: {reason}")


class ServerRefused(LogflumeError):
    """A log server does not answer what was asked.

    Attributes:
        status: of HTTP.
        type: its stable word for the reason, such as ``too-many``; "" if it gave none.
        retry_after_s: when it wants to be asked again, if it said so.
        cursor: the place after all that was given out; None: from where it was asked for.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        type: str = "",  # noqa: A002 - as in the answer
        retry_after_s: float | None = None,
        cursor: str | None = None,
    ) -> None:
        self.detail = detail
        self.status = status
        self.type = type
        self.retry_after_s = retry_after_s
        self.cursor = cursor
        super().__init__(detail)


class SignInNeeded(ServerRefused):
    """The server wants to know who asks: give a token that counts, in ``LOGFLUME_TOKEN`` or in a file."""


class NotAllowed(ServerRefused):
    """The token does not cover that log; whoever gave it can make one that does."""


class ForeignServer(LogflumeError):
    """What answers at this address is no log server, or something in between changes what it says."""

    def __init__(self, address: str, detail: str) -> None:
        self.address = address
        self.detail = detail
        super().__init__(f"{address}: {detail}")
