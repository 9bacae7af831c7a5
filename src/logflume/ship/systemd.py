"""Tell systemd how we stand (sd_notify), where it asks for that.

Holds: nothing waits; what cannot be told is not told.
"""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """Speaks to ``NOTIFY_SOCKET``, if there is one.

    Attributes:
        watchdog_s: how often it wants to hear ``WATCHDOG=1``; None when it does not.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        usec = os.environ.get("WATCHDOG_USEC", "")
        meant = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 / 2 if usec.isdigit() and int(usec) and meant else None
        self._socket = (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if self._address else None
        )

    def tell(self, *lines: str) -> None:
        """Send some lines, such as ``READY=1``."""
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), address)

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
