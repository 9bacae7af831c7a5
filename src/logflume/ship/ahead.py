"""Blocks of the disk held for what a child is about to write into its segment.

Holds: a child that writes into its file itself gets the disk's refusal itself, and many programs end then. So up to
       AHEAD_BYTES behind the end of the file are allocated before they are written: as long as a child writes no more
       than that between two looks, a disk that becomes full is known here first, and it can be made room.
Plan:  ``fallocate`` keeps the file's size; what is held shows in ``du`` only. What is left is given back at the end,
       unless somebody still writes: that could take bytes that have just come.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import TYPE_CHECKING

from logflume.ship.holes import has_writers, punch_hole

if TYPE_CHECKING:
    from pathlib import Path

AHEAD_BYTES = 16 * 1024 * 1024
"""So much is held, a sixteenth of the budget at most; nothing, where that would be next to nothing."""

_LEAST_BYTES = 64 * 1024
_KEEP_SIZE = 1  # fallocate(2): FALLOC_FL_KEEP_SIZE
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Ahead:
    """What is held behind the end of one file."""

    def __init__(self, budget_bytes: int) -> None:
        wanted = min(AHEAD_BYTES, budget_bytes // 16)
        self._wanted = wanted if wanted >= _LEAST_BYTES else 0
        self._until = 0

    def held_bytes(self, size_bytes: int) -> int:
        """Return how much is held behind the end of a file of that size."""
        return max(0, self._until - size_bytes)

    def hold(self, descriptor: int, size_bytes: int) -> bool:
        """Hold more, when half of it is used up; False when the disk has no more.

        A file system that cannot do this, or a refusal of another kind, is left alone: writes show what it means.
        """
        if not self._wanted or self.held_bytes(size_bytes) > self._wanted // 2:
            return True
        libc = ctypes.CDLL(None, use_errno=True)
        start = max(size_bytes, self._until)
        size = size_bytes + self._wanted - start
        if libc.fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(size)):
            return ctypes.get_errno() not in _FULL
        self._until = start + size
        return True

    def release(self, path: Path) -> None:
        """Give back what is left, when nobody has the file open for writing."""
        with contextlib.suppress(OSError), path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            held = self.held_bytes(size_bytes)
            if held and not has_writers(file.fileno()):
                os.truncate(path, size_bytes)  # which some file systems take for giving back, and others do not
                punch_hole(path, size_bytes, held)
