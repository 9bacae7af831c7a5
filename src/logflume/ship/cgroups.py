"""A control group (v2) for a child: what all of its processes together may take.

Holds: only groups below our own are made, and removed when they are empty.
Plan:  controllers can be handed down only by a group that has no process itself, so we move into a leaf first. Where
       this is not allowed (no delegation, a read-only tree, version 1) the caller is told, and goes on without.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logflume.ship.config import Share

ROOT = Path("/sys/fs/cgroup")

_PERIOD_US = 100_000
_OURS = "logflume-supervisor"


def make_group(name: str, share: Share, root: Path = ROOT) -> Path:
    """Make the control group of a child; processes are added by whoever starts them.

    Raises:
        OSError: it is not allowed here.
    """
    above = _own_group(root)
    limits: dict[str, dict[str, int | str | None]] = {
        "memory": {"memory.max": share.memory, "memory.oom.group": None if share.memory is None else 1},
        "cpu": {"cpu.max": None if share.cpus is None else f"{int(share.cpus * _PERIOD_US)} {_PERIOD_US}"},
        "pids": {"pids.max": share.processes},
    }
    wanted = {each: known for each, files in limits.items() if (known := _given(files))}
    _hand_down(above, list(wanted))
    group = above / f"logflume-{name}"
    group.mkdir(exist_ok=True)
    for files in wanted.values():
        for file, value in files.items():
            (group / file).write_text(f"{value}\n", encoding="ascii")
    return group


def _given(files: dict[str, int | str | None]) -> dict[str, int | str | None]:
    return {file: value for file, value in files.items() if value is not None}


def _own_group(root: Path) -> Path:
    if not (root / "cgroup.controllers").exists():
        raise OSError("there are no control groups of version 2")
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::/"):
            found = root / line.removeprefix("0::/").lstrip("/")
            return found.parent if found.name == _OURS else found
    raise OSError("we are in no control group of version 2")


def _hand_down(group: Path, controllers: list[str]) -> None:
    switch = group / "cgroup.subtree_control"
    missing = [each for each in controllers if each not in switch.read_text(encoding="ascii").split()]
    if not missing:
        return
    text = " ".join(f"+{each}" for each in missing)
    try:
        switch.write_text(text, encoding="ascii")
    except OSError:
        leaf = group / _OURS
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(f"{os.getpid()}", encoding="ascii")
        switch.write_text(text, encoding="ascii")


def remove_group(group: Path) -> None:
    """Remove a group that has no process any more; one that has stays."""
    with contextlib.suppress(OSError):
        group.rmdir()
