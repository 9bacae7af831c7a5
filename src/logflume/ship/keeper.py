"""Keep one child: start it, watch it, stop it, start it again.

Holds: ``step`` never waits. A child that ends is started again as its settings say, ever later when it ends ever again.
Plan:  a state and a moment: the supervisor's loop calls ``step`` ten times a second and after every end of a process.
       Its recording lives as long as the keeper, so that nothing is lost between two runs. A process that an earlier
       supervisor started is found by the note beside its segments, and kept on.
Not here: which child comes after which (``supervise``), how output is kept (``recording``).
"""

from __future__ import annotations

import contextlib
import enum
import grp
import json
import os
import pwd
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logflume.errors import UsageError
from logflume.ship import launch
from logflume.ship.cgroups import make_group, remove_group
from logflume.ship.conditions import Check, Then
from logflume.ship.config import Leftovers, Restart, WhenKilled
from logflume.ship.processes import CannotStart, Process, Processes, start_of
from logflume.ship.recording import Mode, Recording
from logflume.sources.captured import read_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logflume.ship.config import ChildSettings, Limits

_LIMITS = {
    "address_space": "RLIMIT_AS",
    "cpu_s": "RLIMIT_CPU",
    "open_files": "RLIMIT_NOFILE",
    "processes": "RLIMIT_NPROC",
    "core_size": "RLIMIT_CORE",
}
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_MAX_DOUBLINGS = 30
_KILL_AGAIN_S = 1.0


class State(enum.Enum):
    """How a child stands.

    ``WAITING``: for others, or for us. ``BACKOFF``: it ended and is started again soon. ``RUNNING``. ``STOPPING``: it
    was asked to end, or what it left behind was. ``ENDED``: for good.
    """

    WAITING = "waiting"
    BACKOFF = "backoff"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Keeper:
    """One child. Everything but ``run`` is called by one thread.

    Attributes:
        state: how it stands.
        starts: how often it was started.
        exit_code: how it ended last; None when that is not known, or it never did.
        why: why it was stopped, or not started, last.
        lines: how many it wrote since we began, where they are counted.
    """

    def __init__(
        self,
        settings: ChildSettings,
        folder: Path,
        processes: Processes,
        when_killed: WhenKilled,
        told: Callable[[str], object],
        *,
        counts_lines: bool = False,
    ) -> None:
        """Open its recording. Counting lines costs some processor time, and is for those who ask for metrics.

        Raises:
            UsageError: somebody captures into its folder; there is no such user or group.
            OSError: the folder cannot be written.
        """
        self.settings = settings
        self.name = settings.name
        self.state = State.WAITING
        self.starts = 0
        self.exit_code: int | None = None
        self.why: str | None = None
        self.process: Process | None = None
        self.started_s = 0.0
        self._processes = processes
        self._told = told
        self._when_killed = when_killed
        self._plan = plan_of(settings, when_killed)
        self._quick_ends = 0
        self._until_s = 0.0
        self._for_good = False
        self._again = False
        self._is_over_budget = False
        self._is_killed = False
        self.lines = 0
        self.recording = Recording(
            folder,
            settings.captured.mode,
            apart=settings.captured.apart,
            rules=settings.captured.rules(),
            stop_child=self._over_budget,
            seen=self._count if counts_lines else None,
        )
        self._group = self._make_group()
        self.checks = [Check(f"{self.name}.{name}", each, self) for name, each in settings.conditions.items()]

    def begin(self) -> None:
        """Start its threads, and take in what an earlier supervisor left."""
        before = read_note(str(self.recording.folder))
        self.recording.begin(self._processes)
        for check in self.checks:
            check.start()
        self._adopt(before)

    # what others may ask

    @property
    def pid(self) -> int | None:
        """Its number while it runs."""
        process = self.process
        return process.pid if process is not None and self.state in (State.RUNNING, State.STOPPING) else None

    @property
    def is_well(self) -> bool:
        """Whether those that come after it may start: it holds its conditions, or what runs once has ended with 0."""
        if self.state is State.ENDED:
            return self.exit_code == 0
        runs_once = self.settings.run.restart is Restart.NEVER and not self.checks
        return self.state is State.RUNNING and not runs_once and all(check.holds for check in self.checks)

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.state is State.ENDED

    @property
    def failing(self) -> dict[str, str]:
        """Which of its conditions fail, and why."""
        return {check.label.partition(".")[2]: why for check in self.checks if (why := check.fails()) is not None}

    def run(self, words: Sequence[str], output: int, timeout_s: float) -> int | None:
        """Run a command for a condition; see ``conditions.Subject``."""
        environ = {**self._environment(), "LOGFLUME_CHILD_PID": str(self.pid or "")}
        process = self._processes.start(words, {1: output, 2: output}, environ=environ, session=True)
        if not process.ended.wait(timeout_s):
            process.send(signal.SIGKILL)
            process.ended.wait()
            return None
        return process.exit_code

    # what the supervisor asks for

    def start(self, now_s: float) -> None:
        """Start it, unless it runs already."""
        if self.state not in (State.WAITING, State.BACKOFF):
            return
        self.recording.end_torn_lines()
        try:
            process = self._start()
        except CannotStart as error:
            self.exit_code = error.exit_code
            self.started_s = now_s
            self._told(f"{self.name}: {error}")
            self._after_end(now_s)
            return
        self.starts += 1
        self._runs(process, now_s)

    def stop(self, now_s: float, why: str, *, for_good: bool = True) -> None:
        """Ask it to end, and kill it when its time is over; ``for_good``, or to be started again."""
        self._for_good |= for_good
        if self.state is State.RUNNING and self.process is not None:
            self.why, self._again = why, not for_good
            self._told(f"{self.name}: {why}: it is asked to end")
            run = self.settings.run
            self.process.send(signal.Signals[f"SIG{run.stop_signal}"], alone=run.stop_whom == "command")
            self._is_killed = False
            self._enter(State.STOPPING, now_s + run.stop_s)
        elif self.state in (State.WAITING, State.BACKOFF) and for_good:
            self._enter(State.ENDED, now_s)

    def kill(self) -> None:
        """Kill it, and all that is left of it."""
        self._until_s = 0.0

    def send(self, number: int) -> None:
        """Send a signal to all of its group."""
        if self.process is not None:
            self.process.send(number)

    def step(self, now_s: float) -> None:
        """Do what is to be done now."""
        process = self.process
        if self.state is State.RUNNING and process is not None:
            if process.ended.is_set():
                self._on_end(process, now_s)
            elif self._is_over_budget:
                self._is_over_budget = False
                self.stop(now_s, "its output is over the budget")
            else:
                self._see_conditions(now_s)
        elif self.state is State.STOPPING and process is not None:
            self._go_on_stopping(process, now_s)
        elif self.state is State.BACKOFF and now_s >= self._until_s:
            self.start(now_s)

    def close(self, timeout_s: float) -> None:
        """Release all; what is still in a pipe is read for so long."""
        for check in self.checks:
            check.end()
        if not self.recording.close(timeout_s=timeout_s):
            self._told(f"{self.name}: a process that it left behind still has its output; what it writes is not kept")
        self._note()
        if self._group is not None:
            remove_group(self._group)
        for trouble in self.recording.iter_troubles():
            self._told(f"{self.name}: {trouble}")

    # how a run goes

    def _start(self) -> Process:
        words: Sequence[str] = self.settings.run.command
        if self._plan or self._group is not None:
            plan = {**self._plan, "cgroup": str(self._group) if self._group else None, "parent": os.getpid()}
            words = [sys.executable, "-I", "-S", launch.PATH, json.dumps(plan), *words]
        return self._processes.start(words, self.recording.outputs, environ=self._environment(), session=True)

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS}
        return {**ours, **self._plan.get("environment", {}), **(self.settings.run.environment or {})}

    def _runs(self, process: Process, now_s: float) -> None:
        self.process, self.started_s, self._again = process, now_s, False
        self._enter(State.RUNNING, 0.0)
        for check in self.checks:
            check.forget()
        self._note()

    def _adopt(self, note: dict[str, Any]) -> None:
        pid, started = note.get("pid"), note.get("started")
        if not isinstance(pid, int) or not isinstance(started, int) or note.get("boot") != boot():
            return
        process = self._processes.adopt(pid, started)
        if process is None:
            return
        now_s = time.monotonic()
        with Path("/proc/uptime").open(encoding="ascii") as file:
            uptime_s = float(file.read().split()[0])
        self._runs(process, now_s - (uptime_s - started / _TICKS_A_SECOND))
        self._told(f"{self.name}: process {pid} of an earlier supervisor goes on")
        if self.settings.captured.mode.value != note.get("mode") or self.settings.captured.mode in _DIE_WITH_US:
            self.stop(now_s, "its output leads to the earlier supervisor", for_good=False)

    def _see_conditions(self, now_s: float) -> None:
        for check in self.checks:
            why = check.fails(now_s)
            then = check.condition.then
            if why is None or then is Then.REPORT:
                continue
            check.forget()
            told = f"{check.label.partition('.')[2]} fails ({why})"
            if then is Then.SIGNAL:
                self._told(f"{self.name}: {told}: it is sent SIG{check.condition.send}")
                self.send(signal.Signals[f"SIG{check.condition.send}"])
            else:
                self.stop(now_s, told, for_good=then is Then.STOP)
            return

    def _on_end(self, process: Process, now_s: float) -> None:
        self.exit_code = process.exit_code
        self.why = _ended_with(process.exit_code)
        if self.settings.run.leftovers is Leftovers.STOP and process.send_rest(
            signal.Signals[f"SIG{self.settings.run.stop_signal}"]
        ):
            self._again = not self._for_good
            self._enter(State.STOPPING, now_s + self.settings.run.stop_s)
        else:
            self._told(f"{self.name}: {self.why}")
            self._after_end(now_s)

    def _go_on_stopping(self, process: Process, now_s: float) -> None:
        gone = process.ended.is_set()
        rest = gone and self.settings.run.leftovers is Leftovers.STOP and process.send_rest(0)
        if gone and not rest:
            self.exit_code = process.exit_code
            self._told(f"{self.name}: {_ended_with(process.exit_code)}")
            self._after_end(now_s)
        elif now_s >= self._until_s:
            if not gone and not self._is_killed:
                self._told(f"{self.name}: it is killed, for its time to end is over")
            self._is_killed = True
            process.send(signal.SIGKILL)
            process.send_rest(signal.SIGKILL)
            self._until_s = now_s + _KILL_AGAIN_S

    def _after_end(self, now_s: float) -> None:
        """Decide whether it is started again, and when."""
        asked, self._again, self.process = self._again, False, None
        self._note()
        if self._for_good or not (asked or self._wants_restart()):
            self._enter(State.ENDED, now_s)
            return
        run = self.settings.run
        quick = now_s - self.started_s < run.well_after_s
        self._quick_ends = self._quick_ends + 1 if quick else 0
        if run.max_restarts is not None and self._quick_ends > run.max_restarts:
            self.why = f"given up after {self._quick_ends} runs that were too short"
            self._told(f"{self.name}: {self.why}")
            self._enter(State.ENDED, now_s)
            return
        doublings = min(max(0, self._quick_ends - 1), _MAX_DOUBLINGS)
        self._enter(State.BACKOFF, now_s + min(run.max_backoff_s, run.backoff_s * 2**doublings))

    def _wants_restart(self) -> bool:
        restart = self.settings.run.restart
        return restart is Restart.ALWAYS or (restart is Restart.ON_FAILURE and self.exit_code != 0)

    def _enter(self, state: State, until_s: float) -> None:
        self.state, self._until_s = state, until_s

    def _over_budget(self) -> None:
        """Take note, in a thread of the recording, that it is to stop (WhenOver.STOP_CHILD)."""
        self._is_over_budget = True

    def _count(self, piece: bytes) -> None:
        self.lines += piece.count(b"\n")

    def _note(self) -> None:
        process = self.process
        self.recording.note(
            process,
            self.settings.run.command,
            exit_code=self.exit_code if process is None else None,
            started=None if process is None else start_of(process.pid),
            boot=boot(),
        )

    def _make_group(self) -> Path | None:
        share = self.settings.share
        if share.memory is None and share.cpus is None and share.processes is None:
            return None
        try:
            return make_group(self.name, share)
        except OSError as error:
            self._told(f"{self.name}: its share of the machine cannot be limited: {error}")
            return None


_DIE_WITH_US = (Mode.PIPE, Mode.PTY)
_NOT_THEIRS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID")


def _ended_with(code: int | None) -> str:
    if code is None:
        return "it ended, and how is not known"
    return f"it ended with {code}" if code >= 0 else f"it was ended by {signal.Signals(-code).name}"


def boot() -> str:
    """Return what tells this start of the system from others; empty where nothing does."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def plan_of(settings: ChildSettings, when_killed: WhenKilled) -> dict[str, Any]:
    """Return what ``launch`` has to do before the command; empty when nothing.

    Raises:
        UsageError: there is no such user or group.
    """
    run = settings.run
    plan: dict[str, Any] = {
        "limits": limits_of(settings.limits),
        "umask": None if run.umask is None else int(run.umask, 8),
        "folder": None if run.working_folder is None else str(run.working_folder),
        "terminal": settings.captured.mode is Mode.PTY,
        "death_signal": signal.SIGKILL if when_killed is WhenKilled.STOP else None,
        **_identity(settings.name, run.user, run.group),
    }
    return {name: value for name, value in plan.items() if value not in (None, False, {})}


def limits_of(limits: Limits) -> dict[str, int]:
    """Return the limits that are given, by the names of the system."""
    given = ((system, getattr(limits, ours)) for ours, system in _LIMITS.items())
    return {name: most for name, most in given if most is not None}


def _identity(child: str, user: str | None, group: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            found = {"uid": entry.pw_uid, "gid": entry.pw_gid, "groups": os.getgrouplist(user, entry.pw_gid)}
            found["environment"] = {"HOME": entry.pw_dir, "USER": user, "LOGNAME": user}
        if group is not None:
            found["gid"] = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise UsageError(f"children.{child}: {str(error.args[0]).strip(chr(34))}") from None
    return found
