"""Run several children: in order, watched, and stopped in order; one process ships what they write.

Holds: the loop never waits for a log, a sink, a condition or a request: TICK_S after TICK_S it looks at every child,
       and how late it was is measured and shown. Every process left to us is reaped, so it can be process 1.
Plan:  a ``keeper`` for each child. A child is started when those that it comes after are well, and stopped when those
       that come after it have ended. SIGTERM and SIGINT stop all, a second one kills; other signals are passed on.
       Two threads beside those of the keepers: one writes the note that ``logflume status`` reads, one answers /health
       and /metrics.
Loss:  none; what is written while nobody supervises is in the segments, or in a FIFO.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from logflume.errors import UsageError
from logflume.ship.keeper import Keeper, State, boot
from logflume.ship.processes import CannotStart, Process, Processes, start_of
from logflume.ship.systemd import Notifier
from logflume.sources.captured import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from logflume.ship.config import Config, Supervised
    from logflume.ship.health import Endpoint

TICK_S = 0.1
"""How often every child is looked at, but for its end, which is seen at once."""

NOTE_S = 1.0
"""How often it is noted how all stands."""

NOTE = "supervise.json"

_CLOSE_S = 5.0
_SHIPPER_STOP_S = 10.0
_SHIPPER_BACKOFF_S = 5.0
_BE_SUBREAPER = 36  # prctl(2): PR_SET_CHILD_SUBREAPER
_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Beat:
    """How regularly the loop goes round."""

    def __init__(self) -> None:
        self.rounds = 0
        self.late_s = 0.0
        self.latest_s = 0.0

    def round(self, due_s: float) -> float:
        """Count a round that should have been at ``due_s``; return the time."""
        now_s = time.monotonic()
        self.rounds += 1
        self.late_s = max(0.0, now_s - due_s)
        self.latest_s = max(self.latest_s, self.late_s)
        return now_s


class Supervisor:
    """All children of one file of settings. Make it in the main thread, before any other thread begins."""

    def __init__(self, config: Config, *, told: Callable[[str], object], ships: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            config: what is wanted; it has ``[supervise]`` and a child.
            told: is told what happens, in plain sentences.
            ships: the command that ships to the sinks; none: nothing is shipped.

        Raises:
            UsageError: there is no ``[supervise]``, or no child.
        """
        if config.supervised is None or not config.children:
            raise UsageError(f"{config.path}: to supervise, there must be a table [supervise] and one [children.NAME]")
        self.config = config
        self.settings: Supervised = config.supervised
        self.beat = Beat()
        self.keepers: list[Keeper] = []
        self.processes = Processes()
        self._told = told
        self._ships = list(ships)
        self._shipper = Shipper(self.processes, self._ships, told)
        self._notifier = Notifier()
        self._stopping_since_s: float | None = None
        self._ready = False
        self._pinged_s = 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether all is being stopped."""
        return self._stopping_since_s is not None

    def run(self) -> int:
        """Run until all children have ended for good; return the exit code.

        Raises:
            UsageError: somebody captures into a child's folder; there is no such user; an address is taken.
            OSError: a folder cannot be written.
        """
        ctypes.CDLL(None).prctl(_BE_SUBREAPER, 1, 0, 0, 0)
        note = Note(self)
        self._make_keepers()  # which is refused while another supervisor has a child's folder
        self._shipper.end_earlier(note.read().get("shipper"))
        with contextlib.ExitStack() as stack:
            if self.settings.listen is not None:
                stack.enter_context(self._endpoint(self.settings.listen))
            for keeper in self.keepers:
                keeper.begin()
            stack.enter_context(note)
            try:
                self._loop()
            finally:
                self._close()
        self._notifier.close()
        return self.exit_code

    def _endpoint(self, address: str) -> Endpoint:
        from logflume.ship import health  # it is costly to import, and rarely wanted elsewhere

        answers = {
            "/health": lambda: health.health(self.keepers, stopping=self.is_stopping),
            "/metrics": lambda: health.metrics(self.describe(), self.settings.folder),
        }
        return health.Endpoint(address, answers)

    def _make_keepers(self) -> None:
        for child in self.config.children:
            folder = self.settings.folder / child.name
            settings, counts = self.settings, self.settings.listen is not None
            keeper = Keeper(child, folder, self.processes, settings.when_killed, self._told, counts_lines=counts)
            self.keepers.append(keeper)

    # the loop

    def _loop(self) -> None:
        due_s = time.monotonic()
        while not all(keeper.is_over for keeper in self.keepers):
            number = self.processes.next_signal(due_s - time.monotonic())
            if number is not None:
                self._on_signal(number)
            now_s = time.monotonic()
            if now_s >= due_s:
                now_s = self.beat.round(due_s)
                due_s = now_s + TICK_S
            self._step(now_s)

    def _step(self, now_s: float) -> None:
        for keeper in self.keepers:
            keeper.step(now_s)
        if self.is_stopping:
            self._stop_in_order(now_s)
        else:
            self._start_in_order(now_s)
            self._see_essential(now_s)
        self._shipper.step(now_s)
        self._notify(now_s)

    def _start_in_order(self, now_s: float) -> None:
        known = {keeper.name: keeper for keeper in self.keepers}
        for keeper in self.keepers:
            if keeper.state is State.WAITING and all(known[name].is_well for name in keeper.settings.run.after):
                keeper.start(now_s)

    def _see_essential(self, now_s: float) -> None:
        for keeper in self.keepers:
            if keeper.is_over and keeper.settings.run.essential:
                self._told(f"{keeper.name} has ended, and is essential: all are stopped")
                self._stopping_since_s = now_s

    def _stop_in_order(self, now_s: float) -> None:
        """Stop each child once all those that come after it have ended; kill what is left when the time is over."""
        since_s = self._stopping_since_s or now_s
        for keeper in self.keepers:
            later = [each for each in self.keepers if keeper.name in each.settings.run.after]
            if all(each.is_over for each in later):
                keeper.stop(now_s, "all are stopped")
            if now_s - since_s >= self.settings.stop_s:
                keeper.stop(now_s, "the time for all to end is over")
                keeper.kill()

    def _on_signal(self, number: int) -> None:
        if number not in _STOPPING:
            for keeper in self.keepers:
                keeper.send(number)
            return
        now_s = time.monotonic()
        if self.is_stopping:
            self._told("a second signal: all are killed")
            self._stopping_since_s = now_s - self.settings.stop_s
            return
        self._notifier.tell("STOPPING=1")
        self._told(f"{signal.Signals(number).name}: all are stopped")
        self._stopping_since_s = now_s

    def _notify(self, now_s: float) -> None:
        if not self._ready and all(keeper.starts or keeper.pid for keeper in self.keepers):
            self._ready = True
            self._notifier.tell("READY=1", f"STATUS=running {len(self.keepers)} children")
        every_s = self._notifier.watchdog_s
        if every_s is not None and now_s - self._pinged_s >= every_s:
            self._pinged_s = now_s
            self._notifier.tell("WATCHDOG=1")

    # the end

    def _close(self) -> None:
        for keeper in self.keepers:
            keeper.close(_CLOSE_S)
        self._shipper.drain(self.settings.drain_s)
        self.processes.release_signals()

    @property
    def exit_code(self) -> int:
        """Our exit code: an essential child's; 0 when we were told to stop; else the first one that is not 0."""
        essential = [keeper for keeper in self.keepers if keeper.settings.run.essential and keeper.is_over]
        asked = self.is_stopping and not essential
        for keeper in essential or ([] if asked else self.keepers):
            code = keeper.exit_code
            if code != 0:
                return 1 if code is None else code if code > 0 else 128 - code
        return 0

    def describe(self) -> dict[str, Any]:
        """Return how all stands, for people and machines."""
        shipper = self._shipper.process
        return {
            "format": 1,
            "pid": os.getpid(),
            "time_ns": time.time_ns(),
            "stopping": self.is_stopping,
            "late_s": round(self.beat.latest_s, 6),
            "rounds": self.beat.rounds,
            "orphans": self.processes.orphans,
            "shipper": None if shipper is None else [shipper.pid, start_of(shipper.pid), boot()],
            "shipper_starts": self._shipper.starts,
            "children": {keeper.name: describe_child(keeper) for keeper in self.keepers},
        }


def describe_child(keeper: Keeper) -> dict[str, Any]:
    """Return how one child stands."""
    running = keeper.state is State.RUNNING
    return {
        "state": keeper.state.value,
        "pid": keeper.pid,
        "starts": keeper.starts,
        "lines": keeper.lines,
        "runs_s": round(time.monotonic() - keeper.started_s, 3) if running else None,
        "exit_code": keeper.exit_code,
        "why": keeper.why,
        "pipe_full_s": round(sum(pump.full_s for pump in keeper.recording.pumps), 3),
        "waited_s": round(sum(each.stats.waited_s for each in keeper.recording.streams.values()), 3),
        "conditions": {
            check.label.partition(".")[2]: {
                "holds": check.holds,
                "fails": check.fails(),
                "detail": check.detail,
                "looks": check.looks,
                "failed_looks": check.failed_looks,
            }
            for check in keeper.checks
        },
    }


class Shipper:
    """The process that ships: started, started again when it breaks, and waited for at the end."""

    def __init__(self, processes: Processes, words: Sequence[str], told: Callable[[str], object]) -> None:
        self.process: Process | None = None
        self.starts = 0
        self._processes = processes
        self._words = words
        self._told = told
        self._not_before_s = 0.0

    def end_earlier(self, noted: object) -> None:
        """End the one of an earlier supervisor: it may ship to other sinks than are wanted now."""
        if not isinstance(noted, list) or len(noted) != 3 or noted[2] != boot():  # noqa: PLR2004 - as it was noted
            return
        earlier = self._processes.adopt(noted[0], noted[1])
        if earlier is None:
            return
        earlier.send(signal.SIGTERM)
        if not self._processes.wait_for(earlier, _SHIPPER_STOP_S):
            earlier.send(signal.SIGKILL)
            self._processes.wait_for(earlier, _SHIPPER_STOP_S)

    def step(self, now_s: float) -> None:
        """Start it, if it is wanted and does not run."""
        if not self._words or now_s < self._not_before_s:
            return
        if self.process is not None and self.process.ended.is_set():
            self._told(f"shipping ended with {self.process.exit_code}; it is started again")
            self.process = None
            self._not_before_s = now_s + _SHIPPER_BACKOFF_S
        elif self.process is None:
            self._start(now_s)

    def _start(self, now_s: float) -> None:
        try:
            self.process = self._processes.start(self._words, {}, session=True)
            self.starts += 1
        except CannotStart as error:
            self._told(str(error))
            self._not_before_s = now_s + _SHIPPER_BACKOFF_S

    def drain(self, timeout_s: float) -> None:
        """Wait until all is shipped, for so long at most."""
        if self.process is None:
            return
        if not self._processes.wait_for(self.process, timeout_s):
            self._told(f"not all is shipped yet; process {self.process.pid} goes on. All is kept.")
        elif self.process.exit_code:
            self._told("not all is shipped; all is kept")


class Note(threading.Thread):
    """Notes how all stands, for ``logflume status`` and the next supervisor. What cannot be written is not."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(name="logflume-note", daemon=True)
        self._supervisor = supervisor
        self._path: Path = supervisor.settings.folder / SIDE / NOTE
        self._over = threading.Event()

    def run(self) -> None:
        """Note, again and again."""
        while not self._over.wait(NOTE_S):
            self._write()

    def read(self) -> dict[str, Any]:
        """Return what an earlier supervisor noted."""
        return read_supervised(self._supervisor.settings.folder)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside = self._path.with_suffix(".part")
            beside.write_text(json.dumps(self._supervisor.describe()) + "\n", encoding="utf-8")
            beside.replace(self._path)

    def __enter__(self) -> None:
        self._write()
        self.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._write()


def read_supervised(folder: Path) -> dict[str, Any]:
    """Return what a supervisor noted last in its folder; nothing when there was none."""
    with contextlib.suppress(OSError, ValueError):
        note = json.loads((folder / SIDE / NOTE).read_text("utf-8"))
        return note if isinstance(note, dict) else {}
    return {}


def ships_with(config: Config) -> list[str]:
    """Return the command that ships what a file of settings says; nothing when it names no sink."""
    if not config.sinks:
        return []
    return [sys.executable, "-m", "logflume", "ship", "--config", str(config.path)]
