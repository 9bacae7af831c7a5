"""Changes of files as Linux tells them (inotify): at once, and nothing is done while there are none.

Holds: one descriptor for the events, one to be woken by, and READ_BYTES while it reads.
Plan:  folders are watched, not files, so that a file stays watched when it is rotated, removed and made again.
       Names stay bytes, as the system tells them.
Not here: what is changed by other machines, and events that were lost (``watch`` looks for both).
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_BYTES = 64 * 1024
"""So many bytes of events are taken at a time; the system keeps the others."""

_HEAD = struct.Struct("iIII")  # which folder, what, of which pair, how long the name is
_CHANGES = 0x002 | 0x004 | 0x040 | 0x080 | 0x100 | 0x200 | 0x400 | 0x800  # inotify.h: MODIFY … MOVE_SELF, no reads
_LOST = 0x4000  # Q_OVERFLOW


class Events:
    """Events of what is in some folders, not of what is below them. One thread waits; any may do all else."""

    def __init__(self) -> None:
        """Watch nothing yet.

        Raises:
            OSError: the system has no such events, or gives no more of them.
        """
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._events = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except AttributeError as error:
            raise OSError("this system tells of no changes") from error
        self._prefixes: tuple[bytes, ...] = ()
        self._folders: dict[int, bytes] = {}
        try:
            self._waking = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except BaseException:
            os.close(self._events)
            raise
        self._poll = select.poll()
        for descriptor in (self._events, self._waking):
            self._poll.register(descriptor, select.POLLIN)

    def add(self, folders: Iterable[str], prefixes: Iterable[str]) -> None:
        """Watch folders, too; of interest is what has a path with one of these prefixes.

        Raises:
            OSError: a folder is not there, or the system watches no more of them.
        """
        self._prefixes += tuple(map(os.fsencode, prefixes))
        for folder in map(os.fsencode, folders):
            self._folders[_checked(self._libc.inotify_add_watch(self._events, folder, _CHANGES))] = folder

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as something of interest has changed; False after ``timeout_s``, or when it is woken."""
        ready = {descriptor for descriptor, _ in self._poll.poll(timeout_s * 1000)}
        if self._waking in ready:
            os.eventfd_read(self._waking)
        return self._events in ready and self._is_of_interest(os.read(self._events, READ_BYTES))

    def _is_of_interest(self, told: bytes) -> bool:
        offset = 0
        while offset < len(told):
            number, what, _, size = _HEAD.unpack_from(told, offset)
            offset += _HEAD.size + size
            name = told[offset - size : offset].rstrip(b"\0")
            folder = self._folders.get(number, b"")
            path = os.path.join(folder, name) if name else folder  # noqa: PTH118 - bytes
            if what & _LOST or path.startswith(self._prefixes):
                return True
        return False

    def wake(self) -> None:
        """Let ``wait`` return now, or when it is next called."""
        os.eventfd_write(self._waking, 1)

    def close(self) -> None:
        """Release the descriptors; once, and when nobody waits any more."""
        os.close(self._events)
        os.close(self._waking)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
