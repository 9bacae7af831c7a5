"""What of a stream was given up, on disk before it goes.

Holds: MAX_LOSSES lines of JSON at most, the total always. The file is written aside and renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_LOSSES = 100
"""So many losses are told apart; then the two oldest become one."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes that nobody can read any more and some sink has not had.

    Attributes:
        time_ns: when they were given up.
        offset: where in the stream they began.
        lost_bytes: how many.
        reason: a few words.
    """

    time_ns: int
    offset: int
    lost_bytes: int
    reason: str


RESERVE_BYTES = 64 * 1024
"""So much of the disk is held back, so that a loss can be written down when it is full."""


class Losses:
    """The losses of one stream, those of earlier times too."""

    def __init__(self, path: Path, reserve: Path, *, durable: bool = False) -> None:
        """Read them, and hold back RESERVE_BYTES in the file ``reserve``, if the disk has as much.

        Args:
            path: their file.
            reserve: what is given up when the disk is full.
            durable: a power failure takes no loss that was counted: each waits for the disk.
        """
        self._path = path
        self._reserve = reserve
        self._durable = durable
        self.all = read_losses(path)
        if is_damaged(path):
            path.replace(path.with_suffix(".losses.damaged"))
            self._write()
        with contextlib.suppress(OSError), reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)

    def add(self, loss: Loss) -> None:
        """Count one more; it is on disk when this returns, if the disk takes anything.

        A refusing disk is no reason not to go on: the count stays right in memory and is written with the next.
        """
        self.all.append(loss)
        if len(self.all) > MAX_LOSSES:
            first, second = self.all[:2]
            gathered = Loss(second.time_ns, first.offset, first.lost_bytes + second.lost_bytes, first.reason)
            self.all[:2] = [gathered]
        try:
            self._write()
        except OSError:
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)
                self._write()

    def _write(self) -> None:
        beside = self._path.with_suffix(".part")
        beside.write_text("".join(json.dumps(asdict(each)) + "\n" for each in self.all), encoding="ascii")
        if self._durable:
            sync(beside)
        beside.replace(self._path)
        if self._durable:
            sync(self._path.parent)

    @property
    def lost_bytes(self) -> int:
        """All that was ever lost."""
        return sum(each.lost_bytes for each in self.all)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_losses(path: Path) -> list[Loss]:
    """Return the losses in a file; none when there is no file. Lines that are none are left out."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [loss for line in lines[: MAX_LOSSES + 1] if (loss := loss_of(line)) is not None]


def loss_of(line: str) -> Loss | None:
    """Return what a line says; None of one that was damaged."""
    try:
        loss = Loss(**json.loads(line))
    except (ValueError, TypeError):
        return None
    counted = all(isinstance(number, int) for number in (loss.time_ns, loss.offset, loss.lost_bytes))
    return loss if counted and isinstance(loss.reason, str) else None


def is_damaged(path: Path) -> bool:
    """Tell whether a file of losses holds anything else."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return False
    return any(loss_of(line) is None for line in lines)
