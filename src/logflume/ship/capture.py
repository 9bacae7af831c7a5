"""Run one command and keep all that it writes.

Holds: the command waits for nothing of ours: not for the terminal, not for a sink, not for a thread that looks.
       In pipe mode PIPE_BYTES and one buffer of as much lie between it and the disk; in direct mode nothing does.
Plan:  direct: its output *is* the segment file. Pipe: a thread that does nothing else reads and appends.
       Either way another thread indexes what has come, and one shows it.
Order: as written; of standard output and error in one file as the system took them.
Loss:  by the rules of ``segments`` only. Who writes on after the command has ended (a grandchild) is kept: direct by
       the system, pipe by waiting until nobody holds the pipe any more.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logflume.ship.child import Child
from logflume.ship.segments import Rules, Segments, Writer
from logflume.ship.show import Show
from logflume.sources.captured import NOTE, SIDE
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from logflume.ship.losses import Loss

PIPE_BYTES = 1024 * 1024
"""What a pipe is asked to hold, and what is read at once. Where the system grants less, it is what it grants."""

TICK_S = 0.05
"""How often it is looked what has come: bytes without a time of their own are dated to that."""

STDOUT, STDERR = 1, 2

_NAP_S = 0.001
_STREAMS = {STDOUT: "out.log", STDERR: "err.log"}


class Mode(enum.Enum):
    """How bytes get from the command to the disk.

    ``DIRECT``: it writes them there itself. It goes on when we are killed; nothing can make it wait.
    ``PIPE``: through a pipe and a thread. It can be made to wait; it ends by SIGPIPE when we are killed.
    """

    DIRECT = "direct"
    PIPE = "pipe"


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


class Pump(threading.Thread):
    """Reads a pipe and appends, and does nothing else."""

    def __init__(self, pipe: int, segments: Segments) -> None:
        super().__init__(name="logflume-pump", daemon=True)
        self.discarded_bytes = 0
        self.error: Exception | None = None
        self._pipe = pipe
        self._segments = segments

    def run(self) -> None:
        """Read to the end of the pipe, whatever happens: who writes must not wait for ever."""
        buffer = bytearray(PIPE_BYTES)
        view = memoryview(buffer)
        while size := os.readv(self._pipe, [buffer]):
            try:
                self._segments.append(view[:size])
            except Exception as error:  # noqa: BLE001 - the edge of a thread; it is counted and told
                self.error = error
                self.discarded_bytes += size
            if size < PIPE_BYTES // 2:
                time.sleep(_NAP_S)  # so that more comes at once: it saves three quarters of the work
        os.close(self._pipe)


class Watch(threading.Thread):
    """Ticks all streams until the end."""

    def __init__(self, streams: Sequence[Segments]) -> None:
        super().__init__(name="logflume-watch-segments", daemon=True)
        self.error: Exception | None = None
        self._streams = streams
        self._over = threading.Event()

    def run(self) -> None:
        """Tick."""
        while not self._over.wait(TICK_S):
            for segments in self._streams:
                try:
                    segments.tick()
                except Exception as error:  # noqa: BLE001 - the edge of a thread; capture goes on, and it is told
                    self.error = error

    def end(self) -> None:
        """Stop ticking."""
        self._over.set()
        self.join()


def capture(wanted: Wanted, *, started: Callable[[], object] = lambda: None) -> Ended:
    """Run the command to its end; ``started`` is called when it runs.

    Raises:
        CannotStart: it cannot be run.
        UsageError: rules that cannot be kept; somebody captures into that folder.
        OSError: the folder cannot be written.
    """
    return _Capture(wanted).run(started)


class _Capture:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._child: Child | None = None
        writer = Writer.CHILD if wanted.mode is Mode.DIRECT else Writer.US
        numbers = (STDOUT, STDERR) if wanted.apart else (STDOUT,)
        self._streams: dict[int, Segments] = {}
        wanted.folder.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            self._streams[number] = Segments(
                wanted.folder, _STREAMS[number], wanted.rules, writer=writer, stop_child=self._stop_child
            )
        self._lost_before = {number: len(segments.losses.all) for number, segments in self._streams.items()}

    def run(self, started: Callable[[], object]) -> Ended:
        shows = (
            [Show(segments.path, number, _bytes_in_files(segments)) for number, segments in self._streams.items()]
            if self._wanted.shown
            else []
        )
        child, pumps = self._start()
        for pump in pumps:
            pump.start()
        for show in shows:
            show.begin()
        watch = Watch(list(self._streams.values()))
        watch.start()
        try:
            started()
            status = child.wait()
        finally:
            child.release_signals()
        if pumps:  # what is left in a pipe waits for no sink
            for segments in self._streams.values():
                segments.ended.set()
        for pump in pumps:
            pump.join()
        watch.end()
        for segments in self._streams.values():
            segments.close()
        for show in shows:
            show.end()
        self._note(child.pid, status)
        return Ended(status, self._lost(), list(_troubles(self._streams.values(), pumps, watch, shows)))

    def _start(self) -> tuple[Child, list[Pump]]:
        """Start the command; the descriptors that it alone should hold are closed here."""
        if self._wanted.mode is Mode.DIRECT:
            outputs = {number: segments.descriptor for number, segments in self._streams.items()}
            pipes: dict[int, int] = {}
        else:
            pairs = {number: open_pipe() for number in self._streams}
            outputs = {number: writing for number, (_, writing) in pairs.items()}
            pipes = {number: reading for number, (reading, _) in pairs.items()}
        try:
            self._child = Child(self._wanted.words, {STDERR: outputs[STDOUT], **outputs})
        finally:
            for number in pipes:
                os.close(outputs[number])
        self._note(self._child.pid, None)
        return self._child, [Pump(pipe, self._streams[number]) for number, pipe in pipes.items()]

    def _stop_child(self) -> None:
        if self._child is not None:
            self._child.send(signal.SIGTERM)

    def _note(self, pid: int, status: int | None) -> None:
        """Say beside the segments what ran; not its arguments, which may hold secrets."""
        known = {
            "format": 1,
            "program": os.path.basename(self._wanted.words[0]),  # noqa: PTH119 - a word, not a path
            "mode": self._wanted.mode.value,
            "pid": pid,
            "streams": [segments.name for segments in self._streams.values()],
            "exit_code": None if status is None else os.waitstatus_to_exitcode(status),
        }
        beside = self._wanted.folder / SIDE / "capture.part"
        with contextlib.suppress(OSError):  # a note only
            beside.write_text(json.dumps(known) + "\n", encoding="utf-8")
            beside.replace(beside.with_name(NOTE))

    def _lost(self) -> list[Loss]:
        return [loss for number, each in self._streams.items() for loss in each.losses.all[self._lost_before[number] :]]


def _bytes_in_files(segments: Segments) -> int:
    return LocalSource(segments.path).peek_size() or 0


def open_pipe() -> tuple[int, int]:
    """Return both ends of a pipe, as large as the system grants."""
    reading, writing = os.pipe()
    size = PIPE_BYTES
    while size > 64 * 1024:
        try:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
            break
        except OSError:  # this user's pipes together hold enough already
            size //= 2
    return reading, writing


def _troubles(streams: Iterable[Segments], pumps: Sequence[Pump], watch: Watch, shows: Sequence[Show]) -> Iterator[str]:
    for pump in pumps:
        if pump.error:
            yield f"{pump.discarded_bytes} bytes could not be kept: {pump.error}"
    for segments in streams:
        if segments.stats.refused:
            yield f"{segments.name}: the disk refused at times: {segments.stats.refused}"
        if segments.stats.sync_error:
            yield f"{segments.name}: could not be synced: {segments.stats.sync_error}"
    if watch.error:
        yield f"the index is not whole: {watch.error}"
    for show in shows:
        if show.error:
            yield f"showing ended early ({show.error}); all is kept"
