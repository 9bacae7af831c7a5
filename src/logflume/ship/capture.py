"""Run one command and keep all that it writes.

Holds: the command waits for nothing of ours: not for the terminal, not for a sink, not for a thread that looks.
Plan:  a ``recording`` leads its output to the disk; another thread shows what has come.
Order: as written; of standard output and error in one file as the system took them.
Loss:  by the rules of ``segments`` only. Who writes on after the command has ended (a grandchild) is kept: direct by
       the system, else by waiting until nobody holds the output any more.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logflume.ship import launch
from logflume.ship.processes import CannotStart, Process, Processes
from logflume.ship.recording import STDIN, Mode, Recording
from logflume.ship.segments import Rules
from logflume.ship.show import Show
from logflume.ship.terminal import Keys, is_ours
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from logflume.ship.losses import Loss
    from logflume.ship.segments import Segments


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run and how.

    Attributes:
        words: the command.
        folder: where its output is kept.
        mode: how it gets there.
        apart: standard error goes to a file of its own.
        shown: it is shown on our own outputs, too.
        rules: how it is kept.
    """

    words: Sequence[str]
    folder: Path
    mode: Mode = Mode.DIRECT
    apart: bool = False
    shown: bool = True
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of it.

    Attributes:
        status: the command's wait status.
        lost: what was given up while it ran.
        troubles: plain sentences about what else went wrong.
    """

    status: int
    lost: list[Loss]
    troubles: list[str]


def capture(wanted: Wanted, processes: Processes, *, started: Callable[[], object] = lambda: None) -> Ended:
    """Run the command to its end; ``started`` is called when it runs.

    Raises:
        CannotStart: it cannot be run.
        UsageError: rules that cannot be kept; somebody captures into that folder.
        OSError: the folder cannot be written.
    """
    return _Capture(wanted, processes).run(started)


class _Capture:
    def __init__(self, wanted: Wanted, processes: Processes) -> None:
        self._wanted = wanted
        self._processes = processes
        self._child: Process | None = None
        self._recording = Recording(
            wanted.folder, wanted.mode, apart=wanted.apart, rules=wanted.rules, stop_child=self._stop_child
        )

    def run(self, started: Callable[[], object]) -> Ended:
        recording = self._recording
        shows = [*self._iter_shows()]
        try:
            recording.begin(self._processes)
            self._child = child = self._start()
            keys = self._keys()
        except CannotStart:
            recording.close()
            raise
        recording.let_go()
        recording.note(child, self._wanted.words)
        if keys is not None:
            keys.begin()
        for show in shows:
            show.begin()
        try:
            started()
            status = self._wait(child)
        finally:
            if keys is not None:
                keys.end()
            self._processes.release_signals()
        recording.close()
        for show in shows:
            show.end()
        recording.note(child, self._wanted.words)
        return Ended(status, recording.lost(), [*recording.iter_troubles(), *_iter_troubles(shows)])

    def _start(self) -> Process:
        """Start the command: in a session of its own that its terminal controls, if we are run at a terminal, too.

        Where nobody types there is no such session: when its leader ends, all others of it are hung up.

        Raises:
            CannotStart: it cannot be run.
        """
        words, outputs = self._wanted.words, self._recording.outputs
        terminal = self._recording.terminal
        if terminal is None or not is_ours(STDIN):
            return self._processes.start(words, outputs)
        if shutil.which(words[0]) is None:
            number = errno.EACCES if os.path.exists(words[0]) else errno.ENOENT  # noqa: PTH110 - a word, not a path
            raise CannotStart(words[0], OSError(number, os.strerror(number)))
        program = [sys.executable, "-I", "-S", launch.PATH, json.dumps({"terminal": True}), *words]
        return self._processes.start(program, {STDIN: terminal[1], **outputs}, session=True)

    def _keys(self) -> Keys | None:
        """Return what passes on what is typed, when we have a terminal and the command has one of its own."""
        terminal = self._recording.terminal
        return Keys(STDIN, terminal[0]) if terminal is not None and is_ours(STDIN) else None

    def _iter_shows(self) -> Iterator[Show]:
        if self._wanted.shown:
            for number, segments in self._recording.streams.items():
                yield Show(segments.path, number, _bytes_in_files(segments))

    def _wait(self, child: Process) -> int:
        """Pass signals on until the child has ended; return its wait status."""
        while child.status is None:
            number = self._processes.next_signal()
            if number is not None:
                child.send(number)
        return child.status

    def _stop_child(self) -> None:
        if self._child is not None:
            self._child.send(signal.SIGTERM)


def _bytes_in_files(segments: Segments) -> int:
    return LocalSource(segments.path).peek_size() or 0


def _iter_troubles(shows: Sequence[Show]) -> Iterator[str]:
    for show in shows:
        if show.error:
            yield f"showing ended early ({show.error}); all is kept"
