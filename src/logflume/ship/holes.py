"""What Linux can do with a file that others write to: take blocks out of it, and tell whether anybody does.

Holds: nothing.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SET_SIGNAL = 10  # fcntl(2): F_SETSIG
_PUNCH = 3  # fallocate(2): FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


def has_writers(descriptor: int) -> bool:
    """Tell whether any process has the file open for writing; ``descriptor`` reads it. When in doubt, yes."""
    try:
        fcntl.fcntl(descriptor, _SET_SIGNAL, signal.SIGURG)  # which ends nobody, should a writer come just now
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def punch_hole(path: Path, start: int, size_bytes: int) -> None:
    """Give the blocks of a range of a file back to the system; it reads as NULs from then on.

    Raises:
        OSError: the file system cannot do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("r+b") as file:
        if libc.fallocate(file.fileno(), _PUNCH, ctypes.c_int64(start), ctypes.c_int64(size_bytes)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
