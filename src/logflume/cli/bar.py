"""How far long work is, on stderr, for somebody who looks.

Holds: nothing of the log. The work itself never waits for the bar, nor does it tell it anything: a thread of the bar's
       own looks how far the work is, a few times a second.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from logflume.cli.screen import STDERR

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

PATIENCE_S = 1.0
"""Work that is over by then shows no bar, and does not import what draws one."""

LOOK_S = 0.25


class Bar:
    """While entered, and after PATIENCE_S: a bar of bytes done, on a terminal."""

    def __init__(
        self, label: str, done_bytes: Callable[[], int], total_bytes: Callable[[], int | None] | None, *, wanted: bool
    ) -> None:
        """Say what to look at, now and then; ``wanted`` if the caller's output leaves the terminal alone meanwhile."""
        self._label = label
        self._done_bytes = done_bytes
        self._total_bytes = total_bytes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logflume-bar", daemon=True)
        self._wanted = wanted and os.isatty(STDERR)

    def __enter__(self) -> Self:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._wanted:
            self._thread.join()

    def _run(self) -> None:
        if self._over.wait(PATIENCE_S):
            return
        from rich import progress as rich
        from rich.console import Console

        class PlainCursor(Console):
            """Leaves the cursor alone: SIGPIPE may end us while a bar is shown."""

            def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002, FBT002 - rich's signature
                return False

        columns = [
            rich.TextColumn(self._label),
            rich.BarColumn(),
            rich.DownloadColumn(),
            rich.TransferSpeedColumn(),
            rich.TimeRemainingColumn(),
        ]
        with rich.Progress(*columns, console=PlainCursor(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=self._total_bytes() if self._total_bytes else None)
            while not self._over.wait(LOOK_S):
                progress.update(task, completed=self._done_bytes())
