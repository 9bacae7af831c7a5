"""Show what is captured, as it comes.

Holds: one block. It reads the segments like anybody else: a terminal that waits keeps nobody waiting.
Order: as written. Loss: none while somebody reads; with the reader gone, showing ends and capture goes on.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from logflume.errors import SourceFailed
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from pathlib import Path

    from logflume.records import Gap

LOOK_S = 0.02
"""How often it is looked for more."""


class Show:
    """A thread that writes one captured stream, from ``start`` on, to a descriptor."""

    def __init__(self, path: Path, descriptor: int, start: int) -> None:
        """Open the stream; nothing is shown before ``begin``."""
        self.gaps: list[Gap] = []
        self.error: OSError | SourceFailed | None = None
        self._reader = LocalSource(path).open(start)
        self._descriptor = descriptor
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logflume-show", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Show what is left, for nothing more is written; then return."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._reader:
                self._show_all()
        except (OSError, SourceFailed) as error:
            self.error = error
        self.gaps = self._reader.gaps

    def _show_all(self) -> None:
        last = False
        while True:
            block = self._reader.read_block()
            if block:
                write_all(self._descriptor, block)
            elif last:
                return
            else:
                last = self._over.wait(LOOK_S)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, waiting as long as the other end needs.

    Raises:
        OSError: it takes no more.
    """
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # whoever shares the descriptor made it so; we wait all the same
            select.select((), (descriptor,), ())
