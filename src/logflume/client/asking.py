"""What is asked of a server, and how far the answers have come: everything about it but the network.

Holds: lines are given out only when the cursor after them is known, so that whatever happens then, asking again gives
       exactly those that were not. Until then they are kept: MAX_STEP_BYTES at most.
Plan:  one object is one question. ``params`` is what to ask next, ``feed`` takes what comes and gives out what is
       ready, ``ended`` says that all has come. A cut, at whatever byte, is only the end of one try.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from logflume import frames
from logflume.client.address import log_path
from logflume.client.answers import Hit, failure_of_problem, gap_of
from logflume.errors import CursorExpired, ForeignServer, UsageError
from logflume.moments import parse_moment, show_moment
from logflume.records import Level, Output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from logflume.client.answers import Failure
    from logflume.records import Gap

MAX_STEP_BYTES = 64 * 1024 * 1024
"""So much may lie between two cursors; servers tell one every mebibyte, or a record."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A hit of a search is not longer."""

_NDJSON = "application/x-ndjson"
_MOST_HITS = 10_000  # of one answer

T_co = TypeVar("T_co", covariant=True)
Params = list[tuple[str, str]]
Moment = str | int | None
"""A time as people write it (``15m``, ``2024-11-20T12:34:56Z``), or in nanoseconds since 1970."""


class BrokenOff(Exception):
    """The server told that it could not go on; ``.failure`` is why."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure)


class Asking(Protocol, Generic[T_co]):
    """One question whose answer comes in parts."""

    address: str
    path: str
    accept: str
    follow: bool
    ended: bool  # all has come
    complete: bool  # the last answer was as it should be

    def params(self) -> Params:
        """Return what to ask now, for all that has not come."""
        ...

    def headers(self) -> dict[str, str]:
        """Return what is to be sent beside the parameters."""
        ...

    def began(self, headers: Mapping[str, str]) -> None:
        """Note that an answer begins.

        Raises:
            LogflumeError: it cannot be gone on with.
        """
        ...

    def finished(self) -> None:
        """Note that an answer ended as HTTP wants it."""
        ...

    def feed(self, data: bytes) -> Iterator[T_co]:
        """Take bytes of the answer, and yield what is ready. Exhaust it before feeding more.

        Raises:
            BrokenOff: the server could not go on.
            ForeignServer: these are no bytes of a log server.
        """
        ...

    @property
    def cursor(self) -> str | None:
        """The place after all that was given out."""
        ...

    def place(self) -> object:
        """Return something that is another as soon as something new has come."""
        ...


def moment(value: Moment, zone: str = "UTC") -> str | None:
    """Return a time as it is sent: it stays the same however often it is asked again.

    Raises:
        UsageError: it is no time.
    """
    if value is None:
        return None
    ts_ns = value if isinstance(value, int) else parse_moment(value, now_ns=time.time_ns(), zone=zone)
    return show_moment(ts_ns, 9)


def level_name(level: Level | str | None) -> str | None:
    """Return a level as it is sent.

    Raises:
        UsageError: there is no such level.
    """
    if level is None:
        return None
    name = level.name if isinstance(level, Level) else level
    names = [each.name for each in Level if each]
    if name.upper() not in names:
        raise UsageError(f"no level is called {name!r}; there are {', '.join(names).lower()}")
    return name.lower()


def params_of(**given: object) -> Params:
    """Return parameters of an address: what is None or False is left out, of a sequence each member is sent."""
    found: Params = []
    for name, value in given.items():
        if value is None or value is False:
            continue
        values: Sequence[object] = value if isinstance(value, list | tuple) else [value]
        found += [(name.rstrip("_"), "true" if each is True else str(each)) for each in values]
    return found


class _Question:
    """What most of them do."""

    def headers(self) -> dict[str, str]:
        """Send nothing more."""
        return {}

    def finished(self) -> None:
        """Trust what the server itself says of an end, not that of HTTP."""


class Blocks(_Question):
    """A log as blocks of whole lines.

    Attributes:
        gaps: what is missing so far, each once.
        lines: lines that were given out; of a follow 0.
        records: records, likewise.
        end: what the server told at the end: of a follow, the state of the log.
    """

    accept = frames.MEDIA_TYPE

    def __init__(
        self,
        address: str,
        log_id: str,
        params: Params,
        *,
        output: Output,
        follow: bool = False,
        after: str | None = None,
        tail: int | None = None,
        limit: int | None = None,
        records: int | None = None,
    ) -> None:
        if after is not None and tail is not None:
            raise UsageError("after and tail exclude each other")
        if follow and (limit is not None or records is not None):
            raise UsageError("a follow has no limit")
        self.address = address
        self.path = log_path(log_id, "stream")
        self.follow = follow
        self.cursor = after
        self.gaps: list[Gap] = []
        self.lines = self.records = 0
        self.end: dict[str, Any] = {}
        self.ended = self.complete = False
        self._fixed = params + params_of(follow=follow, output=output.name.lower())
        self._tail = tail
        self._limit, self._max_records = limit, records
        self._given_before = (0, 0)
        self._decoder = frames.Decoder()
        self._step: list[bytes] = []
        self._step_bytes = 0

    def params(self) -> Params:
        """Return what to ask now."""
        return self._fixed + params_of(
            after=self.cursor,
            tail=self._tail if self.cursor is None else None,
            limit=None if self._limit is None else self._limit - self.lines,
            records=None if self._max_records is None else self._max_records - self.records,
        )

    def began(self, headers: Mapping[str, str]) -> None:
        """Forget what had come of an earlier answer, and was not given out."""
        del headers
        self._decoder = frames.Decoder()
        self._given_before = (self.lines, self.records)
        self._forget_step()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes of the answer, and yield blocks of whole lines."""
        try:
            for kind, payload in self._decoder.feed(data):
                if kind == frames.LINES:
                    self._keep(payload)
                elif kind == frames.CURSOR:
                    yield from self._take_step(frames.value_of(payload))
                else:
                    self._hear(kind, frames.value_of(payload))
        except frames.NoFrames as error:
            raise ForeignServer(self.address, f"its answer is damaged: {error}") from None

    def _keep(self, block: bytes) -> None:
        self._step.append(block)
        self._step_bytes += len(block)
        if self._step_bytes > MAX_STEP_BYTES:
            raise frames.NoFrames("no cursor comes")

    def _take_step(self, told: dict[str, Any]) -> Iterator[bytes]:
        step, cursor = self._step, told.get("cursor")
        if not isinstance(cursor, str):
            raise frames.NoFrames("there is no cursor in it")
        lines, records = (told.get(name, 0) for name in ("lines", "records"))
        self.cursor = cursor
        self.lines, self.records = self._given_before[0] + int(lines), self._given_before[1] + int(records)
        self.ended = self._has_enough()
        self._forget_step()
        yield from step

    def _has_enough(self) -> bool:
        return (self._limit is not None and self.lines >= self._limit) or (
            self._max_records is not None and self.records >= self._max_records
        )

    def _forget_step(self) -> None:
        self._step = []
        self._step_bytes = 0

    def _hear(self, kind: bytes, told: dict[str, Any]) -> None:
        if kind == frames.GAP:
            gap = gap_of(told)
            if gap not in self.gaps:
                self.gaps.append(gap)
        elif kind == frames.PROBLEM:
            raise BrokenOff(failure_of_problem(told))
        else:
            self.end = told
            self.ended = self.complete = True

    def place(self) -> object:
        """Return the cursor."""
        return self.cursor


class Hits(_Question):
    """The hits of a search: as many answers as it takes, one after the other.

    Attributes:
        hits: how many were given out.
        seq: how far the log was searched, in lines.
        bytes_read: how much the server read for the answers that are over, and this one.
        gaps: what is missing so far.
        whole: whether all was searched.
    """

    accept = _NDJSON
    follow = False

    def __init__(self, address: str, log_id: str, params: Params, *, limit: int | None = None) -> None:
        self.address = address
        self.path = log_path(log_id, "search")
        self.cursor: str | None = None
        self.hits = self.seq = self.bytes_read = 0
        self.gaps: list[Gap] = []
        self.whole = self.ended = self.complete = False
        self._fixed = params
        self._limit = limit
        self._from_seq = 0
        self._last_seq = -1
        self._bytes_before = 0
        self._rest = b""

    def params(self) -> Params:
        """Return what to ask now."""
        left = _MOST_HITS if self._limit is None else min(_MOST_HITS, self._limit - self.hits)
        again = params_of(after=self.cursor, seq=self._from_seq) if self.cursor is not None else []
        return self._fixed + again + params_of(limit=left)

    def began(self, headers: Mapping[str, str]) -> None:
        """Forget the rest of an earlier answer."""
        del headers
        self._rest = b""
        self.complete = False

    def feed(self, data: bytes) -> Iterator[Hit]:
        """Take bytes of the answer, and yield hits; those that an earlier answer had already are left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ForeignServer(self.address, f"a line of its answer is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            told = self._parsed(line)
            if "seq" in told and told["seq"] > self._last_seq:
                self._last_seq = told["seq"]
                self.hits += 1
                self.ended = self._limit is not None and self.hits >= self._limit
                yield cast("Hit", told)
            elif "progress" in told:
                self.seq = told["progress"]["seq"]
                self.bytes_read = self._bytes_before + told["progress"]["bytes"]
            elif "done" in told:
                self._finish(told["done"])
            elif "logflume" in told:
                raise BrokenOff(failure_of_problem(told["logflume"].get("problem", {})))

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise ForeignServer(self.address, "its answer is damaged: a line is no JSON object")
        return told

    def _finish(self, done: dict[str, Any]) -> None:
        self.seq, self.cursor = done["seq"], done["after"]
        self._from_seq = done["seq"]
        self._bytes_before += done["bytes"]
        self.bytes_read = self._bytes_before
        self.gaps = [gap_of(gap) for gap in done["gaps"]]
        self.whole = bool(done["whole"])
        self.complete = True
        self.ended = self.ended or self.whole

    def place(self) -> object:
        """Return how far it is."""
        return (self.seq, self.hits)


class Download:
    """A source, or the whole log as text, byte for byte as it was when the download began.

    After a cut the rest is asked for, where the server can give parts; else all of it, of which what had come is left
    out. Either only if nothing has changed: the server's ETag tells.
    """

    accept = "text/plain"
    follow = False
    cursor = None

    def __init__(self, address: str, log_id: str, params: Params) -> None:
        self.address = address
        self.path = log_path(log_id, "raw")
        self.ended = self.complete = False
        self.bytes_read = 0
        self._params = params
        self._etag: str | None = None
        self._skip = 0

    def params(self) -> Params:
        """Return what to ask."""
        return self._params

    def headers(self) -> dict[str, str]:
        """Ask for what has not come."""
        if not self.bytes_read or self._etag is None:
            return {}
        return {"Range": f"bytes={self.bytes_read}-", "If-Range": self._etag}

    def began(self, headers: Mapping[str, str]) -> None:
        """See whether it is the same, and where it begins.

        Raises:
            CursorExpired: it has changed.
            ForeignServer: it is another part.
        """
        part = headers.get("content-range")
        if not self.bytes_read:
            self._etag = headers.get("etag")
        elif self._etag is None or headers.get("etag") != self._etag:
            raise CursorExpired("the log has changed since this download began: begin again, or use stream()")
        if part is not None and not part.startswith(f"bytes {self.bytes_read}-"):
            raise ForeignServer(self.address, "its answer is damaged: it is another part of the download")
        self._skip = self.bytes_read if part is None else 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what had not come before."""
        new = data[self._skip :]
        self._skip -= len(data) - len(new)
        self.bytes_read += len(new)
        if new:
            yield new

    def finished(self) -> None:
        """Note that all has come."""
        self.ended = self.complete = True

    def place(self) -> object:
        """Return how much has come."""
        return self.bytes_read
