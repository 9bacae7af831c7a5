"""One command as a child: started with its output where we want it, signals passed on, its end told.

Holds: the child has our process group, our standard input and our environment. No Python runs between fork and exec.
Plan:  the signals we pass on are blocked here, before any thread begins, and taken one by one while we wait: there is
       no handler, and no moment at which one is lost. The child gets the mask that we had.
       What a terminal sends (Ctrl-C) goes to the whole group already: passed on, it would come twice.
Not here: what becomes of the output.
"""

from __future__ import annotations

import os
import resource
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


class CannotStart(UsageError):
    """The command cannot be run; ``.exit_code`` is what a shell would end with."""

    def __init__(self, command: str, error: OSError) -> None:
        self.exit_code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        super().__init__(f"{command} cannot be run: {error.strerror}")


class Child:
    """A running command. Make one before any thread begins, and wait for it in the main thread."""

    def __init__(self, words: Sequence[str], outputs: Mapping[int, int]) -> None:
        """Start ``words`` with our descriptor ``outputs[n]`` as its descriptor n.

        Raises:
            CannotStart: there is no such command, or it may not be run.
        """
        self._waiting = threading.Lock()
        self._gone = False
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
        try:
            self.pid = os.posix_spawnp(
                words[0],
                list(words),
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in outputs.items()],
                setsigmask=self._mask,
                setsigdef=_OURS,
            )
        except OSError as error:
            self.release_signals()
            raise CannotStart(words[0], error) from error

    def wait(self) -> int:
        """Pass signals on until the child has ended; return its wait status."""
        while True:
            told = signal.sigwaitinfo(_TAKEN)
            if told.si_signo == signal.SIGCHLD:
                status = self._ended()
                if status is not None:
                    return status
            elif told.si_code != _BY_KERNEL:
                self.send(told.si_signo)

    def _ended(self) -> int | None:
        with self._waiting:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._gone = bool(ended)
        return status if ended else None

    def send(self, number: int) -> None:
        """Send it a signal, from any thread; nothing when it has ended, for its number may be another's by now."""
        with self._waiting:
            if not self._gone:
                os.kill(self.pid, number)

    def release_signals(self) -> None:
        """Let signals end us again, as they did before."""
        while signal.sigtimedwait(_TAKEN, 0):  # sent to a child that has ended meanwhile
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


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
