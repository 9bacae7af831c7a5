"""Somebody else's stream of lines (an executor's, a provider's) as a source: let go at once, read at any pace.

Holds: one thread and one spool for each open reader, from its first read on. What the stream gives lies in the spool
(memory, then disk) until it is read, so that whoever gives it (a connection, a database session) is not held up by a
slow client; when the spool is full, it is.

Plan:  ``make`` is called anew by each reader, when it is first read. Its pieces are text, bytes or objects that know
their JSON; each becomes a line. A stream that raises ends with a Gap. A position holds digests of what was before
it (``lastlines``): a stream that gives something else the next time is noticed, never mixed, and ``find_again`` finds
the place in one that gives its last lines only.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position
from logflume.sources.lastlines import Anchor, LastLines, find_lines
from logflume.spool import DISK_BYTES, MEMORY_BYTES, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


PIECE_BYTES = 64 * 1024
"""Lines are gathered to so much before they go into the spool."""

MAX_ANCHORS = 4096
"""Places in a stream at which positions can be proved; of more, every second one is dropped."""

_GATHER_S = 0.05  # a stream that is slower than this is passed on line by line
_END_S = 1.0


def line_of(piece: object) -> bytes:
    """Return a piece of a stream as one line or several: bytes, text, or an object that writes itself as JSON."""
    if isinstance(piece, str):
        data = piece.encode("utf-8", "replace")
    elif isinstance(piece, bytes | bytearray | memoryview):
        data = bytes(piece)
    else:
        dump: Callable[[], str] | None = getattr(piece, "model_dump_json", None)
        data = (dump() if dump is not None else str(piece)).encode("utf-8", "replace")
    return data if data.endswith(b"\n") else data + b"\n"


def iter_texts(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield whole texts in pieces, so that they are not held twice; each text ends with a newline."""
    for text in texts:
        for begin in range(0, len(text), PIECE_BYTES):
            yield text[begin : begin + PIECE_BYTES].encode("utf-8", "replace")
        if text and not text.endswith("\n"):
            yield b"\n"


class StreamedSource:
    """A stream that can be asked for again; see ``logflume.abc.Source``.

    Order:  as the stream gives it.
    Loss:   none that is not a Gap; what the stream raises is one.
    Memory: ``memory_bytes`` and some blocks for each reader; then up to ``disk_bytes`` of unnamed files.
    """

    seekable = False

    def __init__(
        self,
        name: str,
        make: Callable[[], Iterable[bytes]],
        *,
        say: Callable[[BaseException], str] | None = None,
        next_action: str = "Look at the log of the process that serves this log, and ask again.",
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
    ) -> None:
        """Call nothing yet.

        Args:
            name: what people call it.
            make: gives the stream, from its start, each time; called in the reader's thread. A stream that has
                ``close`` is closed. It may raise SourceFailed.
            say: one sentence for what the stream raised, without secrets; None: its type and first line.
            next_action: what people can do about that.
            memory_bytes: what memory may hold of it for a slow reader.
            disk_bytes: what files may hold beyond.
        """
        self.name = name
        self._make = make
        self._say = say or _say
        self._next_action = next_action
        self._bounds = (memory_bytes, disk_bytes)

    def open(self, start: int | Position = 0) -> StreamedReader:
        """Open at an offset or a position; either costs reading what is before it.

        Raises:
            CursorExpired: the stream gives other bytes now than those before the position.
            SourceFailed: it broke before the position was reached.
        """
        reader = self._reader()
        offset = start.offset if isinstance(start, Position) else start
        if offset < 0:
            raise UsageError(f"an offset is 0 or more, not {offset}")
        try:
            reader.pass_over(offset, self._anchor(start) if isinstance(start, Position) else None)
        except BaseException:
            reader.close()
            raise
        return reader

    def _reader(self) -> StreamedReader:
        memory_bytes, disk_bytes = self._bounds
        spool = Spool(name=self.name, memory_bytes=memory_bytes, disk_bytes=disk_bytes)
        return StreamedReader(self.name, self._make, spool, self._failed)

    def find_again(self, position: Position, blocks: Iterable[bytes]) -> int | None:
        """Return where a position lies in what the stream gives now, by the lines before it; None when they are gone.

        Raises:
            CursorExpired: it was named in another log, or changed.
        """
        anchor = self._anchor(position)
        if anchor is None:
            return None
        end = find_lines(anchor.lines, blocks)
        return None if end is None else end + position.offset - anchor.at

    def _anchor(self, position: Position) -> Anchor | None:
        key, _, anchor = position.identity.key.partition(" ")
        if key != _key(self.name):
            raise CursorExpired(f"{self.name}: this position was named in another log")
        if not anchor:
            return None
        with contextlib.suppress(ValueError, TypeError):
            at, digest, lines = json.loads(anchor)
            if 0 < int(at) <= position.offset and bytes.fromhex(lines):
                return Anchor(int(at), str(digest), lines)
        raise CursorExpired("this position was not named by logflume, or was changed")

    def _failed(self, error: Exception) -> SourceFailed:
        if isinstance(error, SourceFailed):
            return error
        return SourceFailed(Gap(self.name, GapReason.UNREADABLE, self._say(error), self._next_action))

    def peek_size(self) -> None:
        """Return None: nobody knows."""

    def peek_identity(self) -> Identity:
        """Name the stream; positions in it prove what was before them."""
        return _identity(_key(self.name))


class StreamedReader(Closing):
    """Reads a StreamedSource; see ``logflume.abc.Reader``. Any thread may close it, which ends a read at once.

    A stream that waits for something when the reader is closed is ended when it gives its next piece.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Iterable[bytes]],
        spool: Spool,
        failed: Callable[[Exception], SourceFailed],
    ) -> None:
        """Begin nothing yet."""
        self.start = 0
        self._name = name
        self._make = make
        self._spool = spool
        self._failed = failed
        self._thread: threading.Thread | None = None
        self._at = 0
        self._last = LastLines()
        self._anchors: list[Anchor] = []
        self._every, self._passed = 1, 0

    @property
    def gaps(self) -> list[Gap]:
        """What the spool could not give back."""
        return self._spool.gaps

    def pass_over(self, offset: int, anchor: Anchor | None) -> None:
        """Read up to ``offset``.

        Raises:
            CursorExpired: the bytes before it are not those of the anchor.
            SourceFailed: the stream broke.
        """
        self.start = offset
        if anchor is not None:
            self._pass_to(anchor.at)
            passed = self._last.anchor
            if passed is None or passed[:2] != anchor[:2]:
                raise CursorExpired(f"{self._name} gives other bytes now than when this position was named")
        self._pass_to(offset)

    def _pass_to(self, offset: int) -> None:
        while self._at < offset and self.read_block(min(BLOCK_BYTES, offset - self._at)):
            pass

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes, waiting for them; ``b""`` at the end.

        Raises:
            SourceFailed: the stream raised something.
            UsageError: the reader is closed, before the call or during it.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"logflume-stream-{self._name}", daemon=True)
            self._thread.start()
        block = self._spool.read_block(max_bytes)
        if block:
            self._at += len(block)
            self._last.note(block)
            self._keep()
        return block

    def _keep(self) -> None:
        anchor = self._last.anchor
        self._passed += 1
        if anchor is None or self._passed % self._every:
            return
        self._anchors.append(anchor)
        if len(self._anchors) > MAX_ANCHORS:
            del self._anchors[::2]
            self._every *= 2

    def position(self, offset: int) -> Position:
        """Name ``offset``, with a proof of what is before it."""
        key = _key(self._name)
        number = bisect.bisect_right(self._anchors, offset, key=lambda anchor: anchor.at) - 1
        if number >= 0:
            key += " " + json.dumps(self._anchors[number], separators=(",", ":"))
        return Position(_identity(key), offset)

    def interrupt(self) -> None:
        """End a read under way, and every later one."""
        self._spool.close()

    def close(self) -> None:
        """Let the stream go."""
        self._spool.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_END_S)

    # the thread

    def _work(self) -> None:
        try:
            stream = self._make()
            with contextlib.closing(_Closing(stream)):
                self._spool_all(stream)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the reader raises it
            self._spool.finish(self._failed(error))
        else:
            self._spool.finish()

    def _spool_all(self, stream: Iterable[bytes]) -> None:
        gathered, since_s = bytearray(), time.monotonic()
        try:
            for piece in stream:
                gathered += piece
                now_s = time.monotonic()
                if len(gathered) >= PIECE_BYTES or now_s - since_s > _GATHER_S:
                    whole, gathered, since_s = gathered, bytearray(), now_s
                    if not self._write(whole):
                        return
        finally:  # also what came before the stream broke off
            self._write(gathered)

    def _write(self, data: bytearray) -> bool:
        """Put it into the spool in blocks; False when nobody reads any more."""
        return all(self._spool.write(bytes(data[at : at + BLOCK_BYTES])) for at in range(0, len(data), BLOCK_BYTES))


class _Closing:
    """Closes a stream if it can be closed; never raises."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - anything that can be iterated over
        self._stream = stream

    def close(self) -> None:
        with contextlib.suppress(Exception):  # somebody else's code, which has given all it had
            getattr(self._stream, "close", _nothing)()


def _nothing() -> None:
    return None


def _say(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0][:200]
    return f"It broke off: {type(error).__name__}{': ' if text else ''}{text}."


def _key(name: str) -> str:
    return "stream:" + hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _identity(key: str) -> Identity:
    return Identity(key, hashlib.blake2b(key.encode(), digest_size=16).hexdigest(), 1)
