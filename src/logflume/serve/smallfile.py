"""A small file that a server depends on, read again when it changes.

Holds: what is used is what the file held at most LOOK_EVERY_S ago. A file that cannot be read or understood any more
       is an error from then on: what was taken back must not go on counting.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T_co = TypeVar("T_co", covariant=True)

MAX_FILE_BYTES = 4 * 1024 * 1024
LOOK_EVERY_S = 1.0

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Read:
    """What a file holds, and who may read it."""

    data: bytes
    mode: int

    def is_private(self) -> bool:
        """Tell whether only its owner can read and write it."""
        return not self.mode & _OTHERS


class SmallFile(Generic[T_co]):
    """A file and what is made of it. For one event loop: only ``look`` takes time, and may run in a thread."""

    def __init__(self, path: Path, make: Callable[[Read], T_co]) -> None:
        """Read it.

        Raises:
            UsageError: it cannot be read, or ``make`` refuses it; with the path and the reason.
        """
        self._path = path
        self._make = make
        self._seen: tuple[int, ...] | None = None
        self._looked_s = 0.0
        self._error: UsageError | None = None
        self._value: T_co | None = None
        self.look()
        self.value()

    def is_due(self) -> bool:
        """Tell whether it is time to ``look``."""
        return time.monotonic() - self._looked_s >= LOOK_EVERY_S

    def look(self) -> None:
        """Read it again if it has changed. Never raises; what is wrong is raised by ``value``."""
        self._looked_s = time.monotonic()
        try:
            found = self._path.stat()
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
            if seen != self._seen:
                self._value, self._error = self._make(read_small(self._path)), None
                self._seen = seen
        except OSError as error:
            self._fail(f"cannot be read: {error.strerror}")
        except UsageError as error:
            self._fail(str(error))

    def _fail(self, reason: str) -> None:
        self._seen = None
        self._value = None
        self._error = UsageError(f"{self._path}: {reason}")

    def value(self) -> T_co:
        """Return what was made of it.

        Raises:
            UsageError: it cannot be read or used.
        """
        if self._error is not None:
            raise UsageError(str(self._error))
        assert self._value is not None  # noqa: S101 - one of both is always there
        return self._value


def read_small(path: Path) -> Read:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read.
        UsageError: it is no regular file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError("expected a file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"expected at most {MAX_FILE_BYTES} bytes")
    return Read(data, stat.S_IMODE(found.st_mode))
