"""Processes that we start: their output where we want it, signals taken one by one, their end told.

Holds: each process that we started, and each that was left to us, is reaped at once and by nobody else. No Python runs
       between fork and exec. A signal is never sent to a number that may be another's by now.
Plan:  the signals we pass on are blocked here, before any thread begins, and taken one by one by ``next_signal``: there
       is no handler, and no moment at which one is lost. Processes get the mask that we had.
       What a terminal sends (Ctrl-C) goes to the whole group already: passed on, it would come twice.
Memory: what is said of a process is kept as long as whoever started it keeps it.
Not here: what becomes of the output.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""What we do not take for ourselves."""

NOT_FOUND = 127
NOT_EXECUTABLE = 126

_TAKEN = (*PASSED_ON, signal.SIGCHLD)
_BY_KERNEL = 0x80  # si_code(2) SI_KERNEL: a terminal's key, not somebody's kill
_OURS = (signal.SIGPIPE, signal.SIGXFSZ)  # which Python ignores
_NAP_S = 0.02
_LONG_S = 3600.0
_STAT_START = 19  # field 22 of proc(5) stat, counted behind the name
_STDIN = 0


class CannotStart(UsageError):
    """The command cannot be run; ``.exit_code`` is what a shell would end with."""

    def __init__(self, command: str, error: OSError) -> None:
        self.exit_code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        super().__init__(f"{command} cannot be run: {error.strerror}")


class Process:
    """One process.

    Attributes:
        pid: its number; its group's, too, if it was started in a session of its own.
        ended: set when it has ended.
        status: its wait status then; None where nobody could know (it was adopted).
    """

    def __init__(self, pid: int, *, leads: bool, pidfd: int | None = None) -> None:
        self.pid = pid
        self.ended = threading.Event()
        self.status: int | None = None
        self._leads = leads
        self._pidfd = pidfd
        self._lock = threading.Lock()

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None while it runs, or when unknown."""
        return None if self.status is None else os.waitstatus_to_exitcode(self.status)

    def send(self, number: int, *, alone: bool = False) -> None:
        """Send it a signal, from any thread; to its whole group, if it leads one, unless it is meant ``alone``.

        Nothing is sent when it has ended.
        """
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self.ended.is_set():
                return
            if self._leads and not alone:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def send_rest(self, number: int) -> bool:
        """Send a signal to what is left of its group; tell whether there was anything.

        A group's number is not given away while anybody is in it.
        """
        if not self._leads:
            return False
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _reaped(self, status: int | None) -> None:
        with self._lock:
            self.status = status
            self.ended.set()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def look(self) -> None:
        """See whether an adopted process has ended."""
        if self._pidfd is None:
            return
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if poll.poll(0):
            self._reaped(None)


class Processes:
    """All processes that this one starts. Make it in the main thread, before any other thread begins."""

    def __init__(self) -> None:
        self.orphans = 0
        self._lock = threading.Lock()
        self._running: dict[int, Process] = {}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)

    def start(
        self,
        words: Sequence[str],
        outputs: Mapping[int, int],
        *,
        environ: Mapping[str, str] | None = None,
        session: bool = False,
    ) -> Process:
        """Start ``words`` with our descriptor ``outputs[n]`` as its descriptor n.

        With ``session`` it leads a group of its own, which no terminal reaches, and reads nothing unless told what.

        Raises:
            CannotStart: there is no such command, or it may not be run.
        """
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in outputs.items()
        ]
        if session and _STDIN not in outputs:
            actions.append((os.POSIX_SPAWN_OPEN, _STDIN, os.devnull, os.O_RDONLY, 0))
        with self._lock:  # it may end before we know its number
            try:
                pid = os.posix_spawnp(
                    words[0],
                    list(words),
                    os.environ if environ is None else environ,
                    file_actions=actions,
                    setsid=session,
                    setsigmask=self._mask,
                    setsigdef=_OURS,
                )
            except OSError as error:
                raise CannotStart(words[0], error) from error
            process = self._running[pid] = Process(pid, leads=session)
        return process

    def adopt(self, pid: int, started: int) -> Process | None:
        """Take in a process that an earlier supervisor started; None when it has ended."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        if start_of(pid) != started:  # looked at now that the number cannot be given away unnoticed
            os.close(pidfd)
            return None
        process = Process(pid, leads=True, pidfd=pidfd)
        with self._lock:
            self._running[pid] = process
        return process

    def next_signal(self, timeout_s: float | None = None) -> int | None:
        """Wait for a signal and return it; None when a process has ended, or the time is up. Reaps what has ended."""
        told = signal.sigtimedwait(_TAKEN, _LONG_S if timeout_s is None else max(0.0, timeout_s))
        self.reap()
        if told is None or told.si_signo == signal.SIGCHLD or told.si_code == _BY_KERNEL:
            return None
        return told.si_signo

    def reap(self) -> None:
        """Reap all that have ended."""
        with self._lock:
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if not pid:
                    break
                process = self._running.pop(pid, None)
                if process is None:
                    self.orphans += 1
                else:
                    process._reaped(status)  # noqa: SLF001 - of this module
            for process in list(self._running.values()):
                process.look()
                if process.ended.is_set():
                    del self._running[process.pid]

    def wait_for(self, process: Process, timeout_s: float) -> bool:
        """Wait for the end of a process, in whatever thread; tell whether it has ended."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self.reap()
            left_s = deadline_s - time.monotonic()
            if process.ended.wait(max(0.0, min(_NAP_S, left_s))):
                return True
            if left_s <= 0:
                return False

    def release_signals(self) -> None:
        """Let signals end us again, as they did before."""
        while signal.sigtimedwait(_TAKEN, 0):  # sent to a process that has ended meanwhile
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def start_of(pid: int) -> int | None:
    """Return when a process began, in ticks since the system did: together with its number it is that process alone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - no path of ours
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[_STAT_START])


def end_like(status: int) -> int:
    """Return the exit code of a wait status; a signal that ended the child ends this process, too."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    sys.stdout.flush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    time.sleep(1)  # it may be one that is not delivered at once
    return 128 - code
