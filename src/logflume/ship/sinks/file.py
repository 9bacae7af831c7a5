"""A file as a sink: blocks are added at its end.

Holds: one descriptor. A block that the disk takes only a part of is taken back, so that it is there once when it is
       offered again. When somebody renames the file (rotation), the next block begins a new one.
Order: as written. Loss: none but with the file itself. Twice: a block, or its first part, when our process is killed
       before it is acknowledged. Memory: nothing but the block.
Not here: several writers of one file; what they add at the moment of a refusal could be cut off.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.errors import SinkRefused, UsageError
from logflume.kinds import APath
from logflume.settings import required
from logflume.ship.sinks import SinkKind
from logflume.sources.opening import is_inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.sinks import Origin

_NO_FILE = -1


class FileSink:
    """See ``logflume.abc.Sink``. Accepted is what the system has: the end of any process takes none of it."""

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        """Open nothing yet."""
        self.path = Path(path).absolute()
        self._descriptor = _NO_FILE
        self.name = name or f"file:{self.path}"

    def write(self, block: bytes) -> None:
        """Add a block.

        Raises:
            SinkRefused: the disk did not take it; the file is as it was.
        """
        try:
            self._open()
            self._add(block)
        except OSError as error:
            self.close()
            raise SinkRefused(self.name, error.strerror or str(error)) from error

    def _open(self) -> None:
        if self._descriptor != _NO_FILE and not self._is_current():
            self.close()
        if self._descriptor == _NO_FILE:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o640)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def _add(self, block: bytes) -> None:
        size_bytes = os.fstat(self._descriptor).st_size
        left = memoryview(block)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with contextlib.suppress(OSError):  # a pipe or device takes nothing back
                os.ftruncate(self._descriptor, size_bytes)
            raise

    def close(self) -> None:
        """Release the descriptor."""
        if self._descriptor != _NO_FILE:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = _NO_FILE


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The options of this kind."""

    path: Path = required(APath(), "The file.")


def _make(options: FileOptions, origin: Origin) -> FileSink:
    if is_inside(str(options.path), str(origin.folder)):
        raise UsageError(
            f"{options.path} lies in {origin.folder}, and would be shipped to itself: choose another folder"
        )
    return FileSink(options.path, name=origin.name)


def _words(words: str) -> Mapping[str, object] | None:
    path = words.partition(":")[2]
    return {"path": path} if path else None


KIND = SinkKind(FileOptions, _make, _words)
