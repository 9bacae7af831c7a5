"""Many viewers of a log that grows, and one reader of it.

Invariant: however many follow the same log in the same way, it is read once. Each of them gets every record once: what
was there before it came by a merge that ends exactly where the shared follow then was, what comes later from that one.
Bounds: RING_BLOCKS blocks of RING_BYTES are kept for those that are slow; who falls behind them catches up by a merge
        of its own, and loses nothing. MAX_FOLLOWS follows at once.
Plan:  a thread follows and hands each block, with the cursor after it, to the event loop; all else happens there. The
       last one to leave ends the thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logflume import frames
from logflume.errors import LogflumeError, SourceFailed
from logflume.follow import SETTLE_S, iter_followed
from logflume.moments import show_moment
from logflume.seek import find_tail
from logflume.serve.problems import Problem
from logflume.serve.pump import Pump
from logflume.serve.reading import BLOCK_BYTES, Media, Reading, Wanted, control, end_told, event, gap_told
from logflume.serve.streams import problem_of
from logflume.until import has_reached
from logflume.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from logflume.cursor import Cursor
    from logflume.follow import Followed
    from logflume.records import Gap, LogStatus
    from logflume.serve.metrics import SpoolCount

RING_BLOCKS = 256
RING_BYTES = 8 * 1024 * 1024
"""What is kept of a live log for viewers that are slower than it."""

MAX_FOLLOWS = 256
"""Logs that are followed at once, by any number of viewers."""

_WAIT_S = 1.0
_HOLD_S = 2 * SETTLE_S
_PIECE_BYTES = 4 * BLOCK_BYTES
_MAX_PACE_S = 0.1
_PACE_S_A_VIEWER = 5e-5
_OVERTAKEN_S = 10.0
_OVERTAKEN_POLL_S = 0.02
_BEGIN_S = 0.5  # so long, at most, is a log looked at for its end, which a busy one does not have


@dataclass(frozen=True, slots=True)
class Piece:
    """What came at once: a block and the place after it, or a gap."""

    block: bytes
    cursor: Cursor
    token: str
    gap: Gap | None = None

    def dressed(self, media: Media, *, marks: bool) -> bytes:
        """Return it as it is sent."""
        if self.gap is not None:
            return gap_told(media, self.gap)
        if media is Media.EVENTS:
            return event(self.block, self.token)
        if media is Media.FRAMES:
            return frames.lines_told(self.block) + frames.told(frames.CURSOR, {"cursor": self.token})
        return self.block + control("cursor", self.token) if marks else self.block


class Live:
    """The follows that are shared; of one event loop."""

    def __init__(self, key: bytes, *, heartbeat_s: float, new_spool: Callable[[], SpoolCount]) -> None:
        """Follow nothing yet.

        Args:
            key: signs cursors.
            heartbeat_s: after so long without news viewers are told that there is none.
            new_spool: makes what counts the bytes that one follow keeps.
        """
        self._key = key
        self._heartbeat_s = heartbeat_s
        self._new_spool = new_spool
        self._shared: dict[Hashable, _Shared] = {}

    def __len__(self) -> int:
        return len(self._shared)

    @asynccontextmanager
    async def joined(self, wanted: Wanted, kind: Hashable) -> AsyncIterator[AsyncIterator[bytes]]:
        """Follow while entered: give the bytes to send. ``kind`` is equal for those that get the same.

        Raises:
            Problem: too many logs are followed.
            CursorExpired: the bytes under the cursor are gone.
        """
        shared = self._shared.get(kind)
        if shared is None or shared.ended:  # whatever has ended may go on meanwhile
            if len(self._shared) >= MAX_FOLLOWS:
                detail = "Too many logs are followed at this moment. Try again soon."
                raise Problem(503, "too-many-follows", detail, headers={"Retry-After": "5"})
            shared = self._shared[kind] = _Shared(wanted, self._key, self._new_spool())
        shared.viewers += 1
        viewer = _Viewer(shared, wanted, self._heartbeat_s)
        try:
            await shared.begun()
            await viewer.open()
            yield viewer.iter_bytes()
        finally:
            await asyncio.shield(viewer.close())
            shared.viewers -= 1
            if not shared.viewers:
                if self._shared.get(kind) is shared:
                    del self._shared[kind]
                await asyncio.shield(shared.close())


class _Shared:
    """One follow, and what came last of it."""

    def __init__(self, wanted: Wanted, key: bytes, spool: SpoolCount) -> None:
        self.viewers = 0
        self.error: BaseException | None = None
        self.ended = False
        self.first = 0  # number of the oldest piece that is kept
        self.here: Cursor | None = None
        self._log = wanted.log
        self._how = wanted.how
        self._ended_log = wanted.ended
        self._count = wanted.count
        self._key = key
        self._spool = spool
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._followed: Followed | None = None
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="logflume-live", daemon=True)
        self._thread.start()

    # in the thread

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            self._follow()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread
            end = error
        self._tell(self._end, end)
        self._tell(self._over.set)

    def _follow(self) -> None:
        place = find_tail(self._log.sources(), 0, replace(self._how, only=None))
        followed = iter_followed(
            self._log,
            self._how,
            start=place.cursor,
            ended=self._ended_log,
            waiter=Watcher(()),
            block_bytes=BLOCK_BYTES,
        )
        with self._changing:
            self._followed = followed
        with followed:
            if not self._stopped.is_set():
                _read_to_end(followed)
            self._tell(self._begin, followed.cursor())
            told = 0
            while not self._stopped.is_set() and (block := _read_piece(followed)) is not None:
                cursor = followed.cursor()
                token = cursor.token(key=self._key, log_id=self._log.id) if block else ""
                gaps = followed.gaps
                for gap in gaps[told:]:
                    self._tell(self._add, Piece(b"", cursor, "", gap))
                told = len(gaps)
                if self._count is not None:
                    self._count(followed.stats(), gaps)
                if followed.fault is not None:
                    raise SourceFailed(followed.fault)
                if block:
                    self._tell(self._add, Piece(block, cursor, token))
                    # What comes meanwhile comes as one: each piece costs each viewer a call of the system.
                    self._stopped.wait(min(_MAX_PACE_S, self.viewers * _PACE_S_A_VIEWER))
                else:
                    self._tell(self._pass, cursor)

    def _tell(self, call: object, *values: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *values)  # type: ignore[arg-type]

    # in the loop

    async def close(self) -> None:
        """End the thread."""
        with self._changing:
            self._stopped.set()
            followed = self._followed
        if followed is not None:
            await asyncio.to_thread(followed.close)
        await self._over.wait()  # after all that the thread has told
        self._thread.join()
        self._pieces.clear()
        self._spool.close()

    def _begin(self, here: Cursor) -> None:
        self.here = here
        self._wake()

    def _pass(self, here: Cursor) -> None:
        """Note that everything up to there was looked at, and nothing of it is for viewers."""
        self.here = here

    def _add(self, piece: Piece) -> None:
        self.here = piece.cursor
        self._pieces.append(piece)
        self._bytes += len(piece.block)
        while len(self._pieces) > RING_BLOCKS or self._bytes > RING_BYTES:
            self._bytes -= len(self._pieces.popleft().block)
            self.first += 1
        self._spool.update(self._bytes)
        self._wake()

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, Exception):  # told once to who runs the server, however many follow
            self.error = error if isinstance(error, LogflumeError) else problem_of(error)
        else:
            self.error = error
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @property
    def status(self) -> LogStatus | None:
        """How the log ended, when it did."""
        return None if self._ended_log is None else self._ended_log.status

    @property
    def count(self) -> int:
        """Number of the next piece."""
        return self.first + len(self._pieces)

    def piece(self, number: int) -> Piece:
        """Return a piece that is kept."""
        return self._pieces[number - self.first]

    async def begun(self) -> None:
        """Wait until it follows, or cannot."""
        while self.here is None:
            if self.error is not None:
                raise self.error
            if self.ended:
                return
            await self._news.wait()

    async def more(self, timeout_s: float) -> bool:
        """Wait for news; False if none came."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True


def _read_to_end(followed: Followed) -> None:
    """Pass by what is there, so that the first viewer's merge ends at the present end, or nearly so."""
    deadline_s = time.monotonic() + _BEGIN_S
    while time.monotonic() < deadline_s and followed.read_block(2 * SETTLE_S):
        pass


def _read_piece(followed: Followed) -> bytes | None:
    """Read what comes, up to a place from which can be gone on, if one comes soon; None at the end."""
    block = followed.read_block(_WAIT_S)
    size = len(block or b"")
    blocks = [block or b""]
    while block and not followed.resumable and size < _PIECE_BYTES:
        block = followed.read_block(_HOLD_S)
        blocks.append(block or b"")
        size += len(blocks[-1])
    return None if block is None and not size else b"".join(blocks)


class _Viewer:
    """One who follows."""

    def __init__(self, shared: _Shared, wanted: Wanted, heartbeat_s: float) -> None:
        self._shared = shared
        self._heartbeat_s = heartbeat_s
        self._wanted = replace(wanted, follow=False, count=None)
        self._number = 0
        self._place: Cursor | None = None
        self._past: Pump | None = None

    async def open(self) -> None:
        """Open what was there before the shared follow.

        Raises:
            CursorExpired: the bytes under the cursor are gone.
            Problem: the shared follow does not come to the cursor.
        """
        await self._be_overtaken()
        self._number, self._place = self._shared.count, self._shared.here
        if self._wanted.tail == 0 or (self._place is not None and self._wanted.after == self._place):
            return  # nothing was there
        wanted = replace(self._wanted, until=self._place)
        self._past = Pump(lambda: Reading(wanted))
        await self._past.opened()

    async def _be_overtaken(self) -> None:
        """Wait until the shared follow is where this one begins: from an earlier place it would tell some lines again.

        Cursors of other processes, and of an earlier run, can be ahead of it for a moment.
        """
        after, deadline_s = self._wanted.after, time.monotonic() + _OVERTAKEN_S
        while after is not None and (here := self._shared.here) is not None and not self._shared.ended:
            if here == after or await asyncio.to_thread(has_reached, self._wanted.log.sources(), here, after):
                return
            if time.monotonic() > deadline_s:
                raise Problem(503, "log-changed", "The log is not there yet. Ask again.", headers={"Retry-After": "1"})
            await asyncio.sleep(_OVERTAKEN_POLL_S)

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent."""
        while True:
            if self._past is not None:
                async for block in self._past:
                    yield block
                await self.close()
            if self._wanted.media is Media.FRAMES and self._place is not None:
                yield self._told_place(self._place)
            async for piece in self._pieces():
                if piece is None:
                    yield self._heartbeat()
                else:
                    self._place = piece.cursor
                    yield piece.dressed(self._wanted.media, marks=self._wanted.marks)
            if self._shared.ended:
                break
            # It fell behind what is kept: a merge goes on where it is.
            self._wanted = replace(self._wanted, after=self._place, tail=None, since_ns=None)
            await self.open()
        if self._shared.error is not None:
            raise self._shared.error
        yield end_told(self._wanted.media, self._shared.status)

    async def _pieces(self) -> AsyncIterator[Piece | None]:
        """Yield pieces as long as they are kept; None when nothing came for a while."""
        while self._number >= self._shared.first:
            if self._number < self._shared.count:
                self._number += 1
                yield self._shared.piece(self._number - 1)
            elif self._shared.ended:
                return
            elif not await self._shared.more(self._heartbeat_s):
                yield None

    def _heartbeat(self) -> bytes:
        if self._wanted.media is Media.EVENTS:
            return b": nothing new\n\n"
        if self._wanted.media is Media.FRAMES:
            return b"" if self._shared.here is None else self._told_place(self._shared.here)
        return control("time", show_moment(time.time_ns(), 9)) if self._wanted.media is Media.NDJSON else b""

    def _told_place(self, place: Cursor) -> bytes:
        cursor = place.token(key=self._wanted.key, log_id=self._wanted.log.id)
        return frames.told(frames.CURSOR, {"cursor": cursor})

    async def close(self) -> None:
        """End what is being read."""
        past, self._past = self._past, None
        if past is not None:
            await past.close()
