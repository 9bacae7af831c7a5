"""The access log: a line of JSON for each request, written beside the event loop.

Holds: nobody waits for it: at most MAX_LINES lines wait for whoever reads them, more are dropped, counted, and told
       in a line of their own. What a client sends can make neither a second line nor a control character.
Plan:  ``AccessLog`` is told an ``Answered`` and puts a line into a queue; a thread writes what is there at once.
"""

from __future__ import annotations

import json
import queue
import threading
from select import PIPE_BUF
from typing import TYPE_CHECKING, Protocol

from logflume.closing import Closing
from logflume.moments import show_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.serve.observe import Answered

MAX_LINES = 10_000
"""Lines that wait, each of some 500 bytes and at most 16 KiB."""

END_S = 2.0
"""How long closing waits for lines to be taken."""

_BATCH = 500


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Take text."""
        ...

    def flush(self) -> object:
        """Pass it on."""
        ...


class AccessLog(Closing):
    """Writes lines to a stream from a thread of its own.

    Order:  as requests ended.
    Loss:   lines beyond MAX_LINES that wait, or that the stream refuses; counted in ``dropped`` and told in the log.
    Memory: MAX_LINES lines.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._untold = 0
        self._counting = threading.Lock()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="logflume-access-log", daemon=True)
        self._thread.start()

    def __call__(self, answered: Answered) -> None:
        """Take one; never waits."""
        if self._lines.qsize() >= MAX_LINES:
            self._drop(1)
        else:
            self._lines.put(line_of(answered))

    def close(self) -> None:
        """Write what waits, for END_S at most, and end."""
        self._lines.put(None)
        self._thread.join(END_S)

    def _drop(self, lines: int) -> None:
        with self._counting:
            self.dropped += lines
            self._untold += lines

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = self._next_lines()
            ended = batch[-1] is None
            lines = [line for line in batch if line is not None]
            for piece in _pieces([*lines, *self._told()]):
                try:
                    self._stream.write("".join(piece))
                    self._stream.flush()
                except (OSError, ValueError):  # its reader is gone, its disk is full, or it was closed
                    self._drop(len(piece))

    def _next_lines(self) -> list[str | None]:
        """Return lines as they are there, at least one; None at the end: there will be no more."""
        batch = [self._lines.get()]
        while batch[-1] is not None and len(batch) < _BATCH and not self._lines.empty():
            batch.append(self._lines.get())
        return batch

    def _told(self) -> list[str]:
        with self._counting:
            untold, self._untold = self._untold, 0
        return [json.dumps({"dropped": untold}) + "\n"] if untold else []


def _pieces(lines: list[str]) -> Iterator[list[str]]:
    """Yield lines as they go into a pipe at once, between those of other processes and not into them."""
    piece: list[str] = []
    size = 0
    for line in lines:  # of ASCII
        if piece and size + len(line) > PIPE_BUF:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield piece


def line_of(answered: Answered) -> str:
    """Return a line of ASCII: JSON escapes control characters, and all that is not ASCII."""
    row = {
        "time": show_moment(answered.time_ns),
        "id": answered.request_id,
        "method": answered.method,
        "route": answered.route,
        "path": answered.path,
        "query": list(answered.query),
        "status": answered.status,
        "bytes": answered.sent_bytes,
        "ms": round(answered.duration_s * 1000, 3),
        "first_byte_ms": None if answered.first_byte_s is None else round(answered.first_byte_s * 1000, 3),
        "caller": answered.caller,
        "client": answered.client,
        "agent": answered.agent,
        "end": answered.end,
    }
    return json.dumps(row, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n"
