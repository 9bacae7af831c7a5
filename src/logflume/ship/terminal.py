"""Our own terminal, lent to a command that has another one: keys go there, and so does the size of the window.

Holds: what was typed and not taken yet, KEYS_BYTES at most. Our terminal gets back the modes that it had.
Plan:  while the command runs our terminal makes nothing of keys: the command's own does, so that Ctrl-C, Ctrl-Z and
       Ctrl-D mean there what they always mean. A thread passes them on, and looks at the size of our window.
Not here: what the command writes; that is captured and shown like any other output.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import threading
import tty

KEYS_BYTES = 4096
"""So much is read of what was typed before it is passed on."""

LOOK_S = 0.2
"""How often it is looked how large our window is."""

_OFLAG = 1  # of termios.tcgetattr


def open_terminal() -> tuple[int, int]:
    """Return what to read of a terminal, and the terminal: it passes bytes on as they are."""
    reading, terminal = os.openpty()
    modes = termios.tcgetattr(terminal)
    modes[_OFLAG] &= ~termios.OPOST  # no CR before each newline
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    with contextlib.suppress(OSError):  # ours may be none
        _set_size(terminal, _size(1))
    return reading, terminal


def is_ours(descriptor: int) -> bool:
    """Whether this is a terminal at which we may take what is typed: a program in the background may not."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


class Keys(threading.Thread):
    """Passes on what is typed at our terminal, from ``begin`` to ``end``."""

    def __init__(self, ours: int, theirs: int) -> None:
        """Take what is typed at ``ours`` to the terminal whose other end is ``theirs``; this keeps a copy of that."""
        super().__init__(name="logflume-keys", daemon=True)
        self._ours = ours
        self._theirs = os.dup(theirs)
        self._size = b""
        self._modes = termios.tcgetattr(ours)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)

    def begin(self) -> None:
        """Have our terminal make nothing of keys; what is written to it looks as before."""
        tty.setraw(self._ours, termios.TCSADRAIN)
        modes = termios.tcgetattr(self._ours)
        modes[_OFLAG] = self._modes[_OFLAG]
        termios.tcsetattr(self._ours, termios.TCSADRAIN, modes)
        self.start()

    def end(self) -> None:
        """Pass nothing on any more, and leave our terminal as it was."""
        os.eventfd_write(self._wake, 1)
        self.join()
        with contextlib.suppress(termios.error):  # it may have been closed
            termios.tcsetattr(self._ours, termios.TCSADRAIN, self._modes)
        os.close(self._theirs)
        os.close(self._wake)

    def run(self) -> None:
        """Pass on."""
        with contextlib.suppress(OSError):  # one of both is gone
            while self._wait_for(self._ours, select.POLLIN):
                keys = os.read(self._ours, KEYS_BYTES)
                if not keys:
                    return
                while keys and self._wait_for(self._theirs, select.POLLOUT):
                    keys = keys[os.write(self._theirs, keys) :]

    def _wait_for(self, descriptor: int, event: int) -> bool:
        """Wait until something can be done; False when this is to end."""
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._wake, select.POLLIN)
        while not (ready := dict(poll.poll(LOOK_S * 1000))):
            self._pass_on_size()
        self._pass_on_size()
        return self._wake not in ready

    def _pass_on_size(self) -> None:
        size = _size(self._ours)
        if size != self._size:
            self._size = size
            _set_size(self._theirs, size)


def _size(terminal: int) -> bytes:
    return fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8)


def _set_size(terminal: int, size: bytes) -> None:
    """Set it; who runs there is told by SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
