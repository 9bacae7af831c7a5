"""What leads from a command's outputs to the disk, and stays while commands come and go.

Holds: whoever writes waits for nothing of ours: not for a sink, not for a thread that looks. Between it and the disk
       lie, in direct mode nothing, else what the system holds (PIPE_BYTES) and one buffer of as much.
Plan:  direct: the output *is* the segment file. Else a thread that does nothing else reads and appends: from a pipe,
       from a FIFO whose both ends the command holds, so that it outlives us, or from a terminal.
       Another thread indexes what has come.
Order: as written; of standard output and error in one file as the system took them.
Loss:  by the rules of ``segments`` only; what is in a pipe when we are killed.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import json
import os
import select
import signal
import stat
import sys
import termios
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.ship.processes import Process, Processes, start_of
from logflume.ship.segments import Rules, Segments, Writer
from logflume.ship.terminal import open_terminal
from logflume.sources.captured import NOTE, SIDE, read_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from logflume.ship.losses import Loss

PIPE_BYTES = 1024 * 1024
"""What a pipe is asked to hold, and what is read at once. Where the system grants less, it is what it grants."""

TICK_S = 0.05
"""How often it is looked what has come: bytes without a time of their own are dated to that."""

HOLD_S = 86_400
"""So long what is in a FIFO is held when both we and the command have ended."""

STDIN, STDOUT, STDERR = 0, 1, 2
NAMES = {STDOUT: "out.log", STDERR: "err.log"}

_NAP_S = 0.001
_SMALLEST_PIPE_BYTES = 64 * 1024


class Mode(enum.Enum):
    """How bytes get from the command to the disk.

    ``DIRECT``: it writes them there itself. It goes on when we are killed; nothing can make it wait.
    ``PIPE``: through a pipe and a thread. It can be made to wait; it ends by SIGPIPE when we are killed.
    ``FIFO``: the same, but it holds both ends. When we are killed it goes on, and waits when the pipe is full; whoever
    captures into that folder next reads on. Should it end before that, what waits in the pipe is held by a process that
    does nothing else, for HOLD_S at most.
    ``PTY``: through a terminal, for programs that show nothing, or all of it late, without one.
    """

    DIRECT = "direct"
    PIPE = "pipe"
    FIFO = "fifo"
    PTY = "pty"


@dataclass(frozen=True, slots=True)
class Lane:
    """What leads to one stream: what a command gets as its output, and what we read; None when it writes itself."""

    output: int
    reading: int | None


class Pump(threading.Thread):
    """Reads and appends, and does nothing else."""

    def __init__(self, reading: int, segments: Segments, *, naps: bool) -> None:
        """Own ``reading``. ``naps``: a pause after a small read lets more come at once, and saves most of the work."""
        super().__init__(name="logflume-pump", daemon=True)
        self.discarded_bytes = 0
        self.full_s = 0.0
        self.error: Exception | None = None
        self._reading = reading
        self._segments = segments
        self._naps = naps
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._leaving = False
        os.set_blocking(reading, False)

    def run(self) -> None:
        """Read to the end, whatever happens: who writes must not wait for ever."""
        capacity = _capacity(self._reading)
        buffer = bytearray(PIPE_BYTES)
        view = memoryview(buffer)
        since_s = time.monotonic()
        while size := self._read(buffer):
            if size >= capacity:
                self.full_s += time.monotonic() - since_s
            try:
                self._segments.append(view[:size])
            except Exception as error:  # noqa: BLE001 - the edge of a thread; it is counted and told
                self.error = error
                self.discarded_bytes += size
            since_s = time.monotonic()
            if self._naps and size < PIPE_BYTES // 2:
                time.sleep(_NAP_S)
        os.close(self._reading)

    def _read(self, buffer: bytearray) -> int:
        """Return how much was read; 0 at the end."""
        while True:
            try:
                return os.readv(self._reading, [buffer])
            except BlockingIOError:
                if self._leaving:
                    return 0
                self._wait()
            except OSError as error:
                if error.errno == errno.EIO:  # a terminal that nobody holds any more
                    return 0
                raise

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        poll.poll()

    def leave(self) -> None:
        """End when there is nothing to read at this moment, though somebody may write later."""
        self._leaving = True
        os.eventfd_write(self._wake, 1)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        super().join(timeout)
        if not self.is_alive() and self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


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
        if self.is_alive():
            self.join()


class Recording:
    """The streams of one folder. Make it, give ``outputs`` to commands, ``close`` it.

    Whoever has it has the folder for himself.
    """

    def __init__(
        self,
        folder: Path,
        mode: Mode,
        *,
        apart: bool = False,
        rules: Rules | None = None,
        stop_child: Callable[[], object] = lambda: None,
        seen: Callable[[bytes], object] | None = None,
    ) -> None:
        """Open the streams; nothing is read before ``begin``. ``seen`` is told what comes, by a thread of its own.

        Raises:
            UsageError: rules that cannot be kept; somebody captures into that folder; what should be a FIFO is none.
            OSError: the folder cannot be written.
        """
        self.folder, self.mode = folder, mode
        folder.mkdir(parents=True, exist_ok=True)
        writer = Writer.CHILD if mode is Mode.DIRECT else Writer.US
        self.streams = {
            number: Segments(folder, NAMES[number], rules, writer=writer, stop_child=stop_child, seen=seen)
            for number in ((STDOUT, STDERR) if apart else (STDOUT,))
        }
        self._lost_before = {number: len(segments.losses.all) for number, segments in self.streams.items()}
        self._lanes = {number: self._lane(segments) for number, segments in self.streams.items()}
        self._let_go = False
        self._holders: list[Process] = []
        self.watch = Watch(list(self.streams.values()))
        self.pumps = [
            Pump(lane.reading, self.streams[number], naps=mode is not Mode.PTY)
            for number, lane in self._lanes.items()
            if lane.reading is not None
        ]

    def _lane(self, segments: Segments) -> Lane:
        if self.mode is Mode.PIPE:
            reading, writing = open_pipe()
            return Lane(writing, reading)
        if self.mode is Mode.FIFO:
            reading, both = open_fifo(self.folder / SIDE / f"{segments.name}.fifo")
            return Lane(both, reading)
        if self.mode is Mode.PTY:
            reading, terminal = open_terminal()
            return Lane(terminal, reading)
        return Lane(segments.descriptor, None)

    @property
    def outputs(self) -> dict[int, int]:
        """What a command gets as its outputs, by their numbers."""
        known = {number: lane.output for number, lane in self._lanes.items()}
        return {STDERR: known[STDOUT], **known}

    @property
    def terminal(self) -> tuple[int, int] | None:
        """What is read of the terminal of standard output, and that terminal; None when it is none."""
        lane = self._lanes[STDOUT]
        return (lane.reading, lane.output) if self.mode is Mode.PTY and lane.reading is not None else None

    def begin(self, processes: Processes) -> None:
        """Start to read and to index.

        Raises:
            CannotStart: what should hold a FIFO cannot be started.
        """
        if self.mode is Mode.FIFO:
            self._hold(processes)
        for pump in self.pumps:
            pump.start()
        self.watch.start()

    def _hold(self, processes: Processes) -> None:
        """Let another process hold each FIFO, instead of those that did so for an earlier capture."""
        for lane in self._lanes.values():
            if lane.reading is not None:
                self._holders.append(processes.start(["sleep", str(HOLD_S)], {STDIN: lane.reading}, session=True))
        for pid, started in read_note(str(self.folder)).get("holders", []):
            if start_of(pid) == started:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def end_torn_lines(self) -> None:
        """End what an earlier command left without a newline, before another one begins: that is not its rest."""
        for number, segments in self.streams.items():
            lane = self._lanes[number]
            if (lane.reading is None or not _waits(lane.reading)) and _is_torn(segments.path):
                with contextlib.suppress(OSError):  # a full disk; nothing hangs on it
                    os.write(lane.output, b"\n")

    def let_go(self) -> None:
        """Close what we have of the outputs: when nobody else has them any more, that is their end."""
        if not self._let_go and self.mode is not Mode.DIRECT:
            for lane in self._lanes.values():
                os.close(lane.output)
        self._let_go = True

    def end(self) -> None:
        """Say that the command has ended: what is left in a pipe waits for no sink."""
        if self.pumps:
            for segments in self.streams.values():
                segments.ended.set()

    def close(self, *, timeout_s: float | None = None) -> bool:
        """Read to the end, for so long at most, and release all; tell whether that was the end.

        Without a time, as long as anybody has the outputs.
        """
        self.let_go()
        self.end()
        whole = True
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        for pump in self.pumps:
            if not pump.is_alive():
                continue
            pump.join(None if deadline_s is None else max(0.0, deadline_s - time.monotonic()))
            if pump.is_alive():
                whole = False
                pump.leave()
                pump.join()
        for holder in self._holders:
            holder.send(signal.SIGKILL)
        self.watch.end()
        for segments in self.streams.values():
            segments.close()
        return whole

    def note(self, process: Process | None, words: Sequence[str], **more: object) -> None:
        """Say beside the segments what runs; not its arguments, which may hold secrets."""
        known = {
            "format": 1,
            "program": os.path.basename(words[0]),  # noqa: PTH119 - a word, not a path
            "mode": self.mode.value,
            "pid": None if process is None else process.pid,
            "streams": [segments.name for segments in self.streams.values()],
            "exit_code": None if process is None else process.exit_code,
            "holders": [(holder.pid, start_of(holder.pid)) for holder in self._holders],
            **more,
        }
        beside = self.folder / SIDE / "capture.part"
        with contextlib.suppress(OSError):  # a note only
            beside.write_text(json.dumps(known) + "\n", encoding="utf-8")
            beside.replace(beside.with_name(NOTE))

    def lost(self) -> list[Loss]:
        """Return what was given up since it was opened."""
        return [loss for number, each in self.streams.items() for loss in each.losses.all[self._lost_before[number] :]]

    def iter_troubles(self) -> Iterator[str]:
        """Yield plain sentences about what went wrong."""
        for pump in self.pumps:
            if pump.error:
                yield f"{pump.discarded_bytes} bytes could not be kept: {pump.error}"
        for segments in self.streams.values():
            if segments.stats.refused:
                yield f"{segments.name}: the disk refused at times: {segments.stats.refused}"
            if segments.stats.sync_error:
                yield f"{segments.name}: could not be synced: {segments.stats.sync_error}"
        if self.watch.error:
            yield f"the index is not whole: {self.watch.error}"


def _waits(reading: int) -> bool:
    """Tell whether there is something to read."""
    return bool(int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, b"\0" * 4), sys.byteorder))


def _is_torn(path: Path) -> bool:
    """Tell whether a file ends within a line."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        return size_bytes > 0 and os.pread(file.fileno(), 1, size_bytes - 1) != b"\n"
    return False


def open_pipe() -> tuple[int, int]:
    """Return both ends of a pipe, as large as the system grants."""
    reading, writing = os.pipe()
    _enlarge(writing)
    return reading, writing


def open_fifo(path: Path) -> tuple[int, int]:
    """Return a FIFO to read, and to be held by whoever writes: opened both ways, it needs nobody who reads.

    Raises:
        UsageError: something else is there.
        OSError: it cannot be made or opened.
    """
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    if not stat.S_ISFIFO(path.lstat().st_mode):
        raise UsageError(f"{path} is no FIFO: remove it")
    both = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    _enlarge(both)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), both


def _enlarge(pipe: int) -> None:
    size = PIPE_BYTES
    while size > _SMALLEST_PIPE_BYTES:
        try:
            size = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
        except OSError:  # this user's pipes together hold enough already
            size //= 2
        else:
            return


def _capacity(reading: int) -> int:
    try:
        return fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
    except OSError:  # a terminal
        return PIPE_BYTES
