from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from logflume.ship.cgroups import make_group, remove_group
from logflume.ship.config import Share
from logflume.ship.metrics import FAMILIES, as_text, escaped
from logflume.ship.processes import start_of
from logflume.ship.supervise import Beat

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of control groups as version 2 has it; ours is its root."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    for name in ("cgroup.subtree_control", "cgroup.procs"):
        (tmp_path / name).write_text("")
    return tmp_path


def own_group(tree: Path) -> Path:
    """Return where our own group lies in a tree."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:  # noqa: PTH123 - no path of ours
        line = next(line for line in file if line.startswith("0::/"))
    found = tree / line.strip().removeprefix("0::/")
    found.mkdir(parents=True, exist_ok=True)
    (found / "cgroup.subtree_control").write_text("")
    return found


def test_a_control_group_has_the_share(tree: Path) -> None:
    """Memory, processors and processes are written as the system wants them; the group can be removed."""
    above = own_group(tree)
    group = make_group("web", Share(memory=100_000_000, cpus=1.5, processes=10), tree)
    assert group.parent == above
    written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {
        "memory.max": "100000000\n",
        "memory.oom.group": "1\n",
        "cpu.max": "150000 100000\n",
        "pids.max": "10\n",
    }
    assert (above / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"


def test_only_what_is_wanted_is_limited(tree: Path) -> None:
    """A share of processors says nothing of memory."""
    own_group(tree)
    group = make_group("web", Share(cpus=0.5), tree)
    assert [path.name for path in group.iterdir()] == ["cpu.max"]
    (group / "cpu.max").unlink()
    remove_group(group)
    assert not group.exists()


def test_without_control_groups_it_is_told(tmp_path: Path) -> None:
    """Where there are none of version 2, nothing is made."""
    with pytest.raises(OSError, match="no control groups of version 2"):
        make_group("web", Share(cpus=1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_cannot_forge_a_figure() -> None:
    """Quotes, newlines and backslashes in a label stay within it."""
    assert escaped('a"} 1\nlogflume_x 2\\') == 'a\\"} 1\\nlogflume_x 2\\\\'


def test_every_figure_has_its_meaning(tmp_path: Path) -> None:
    """Figures come in families with their type and their meaning, each family once."""
    known = {
        "late_s": 0.5,
        "rounds": 7,
        "orphans": 0,
        "children": {
            "a": {
                "state": "running",
                "starts": 2,
                "lines": 3,
                "pipe_full_s": 0.0,
                "waited_s": 0.0,
                "conditions": {"x": {"fails": "no", "failed_looks": 4}},
            }
        },
    }
    lines = as_text(known, tmp_path).splitlines()
    assert 'logflume_child_condition_ok{child="a",condition="x"} 0' in lines
    assert "logflume_supervisor_late_seconds_max 0.5" in lines
    told = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(told) == len(set(told))
    assert set(told) <= {f"logflume_{name}" for name in FAMILIES}


def test_lateness_is_the_most_there_was() -> None:
    """A round that was late is remembered; one that was not is no credit."""
    beat = Beat()
    beat.round(time.monotonic() - 2)
    beat.round(time.monotonic() + 2)
    assert 2 <= beat.latest_s < 60
    assert beat.late_s == 0
    assert beat.rounds == 2


def test_a_process_is_known_by_its_start() -> None:
    """Two processes of one number are told apart; one that is not there has none."""
    assert start_of(os.getpid()) == start_of(os.getpid())
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert start_of(pid) is None  # it has ended, though nobody has reaped it
    os.waitpid(pid, 0)
    assert start_of(pid) is None
