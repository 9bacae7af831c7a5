"""Time whole commands against each other: A B A B, so that a machine that slows down slows both.

Holds: every figure is of a process of its own, process start included, unless a driver measures inside itself.
Plan:  one warm-up each, whose output is read and counted; then rounds, each running every contestant once.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LAUNCHER = Path(__file__).with_name("launch.py")
TIMEOUT_S = 3600

RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class CommandFailed(Exception):
    """A contestant ended with an exit code that means failure; the text is the end of what it said."""


@dataclass(frozen=True)
class Contestant:
    """One command that does the work, ours or a peer's.

    Attributes:
        name: how the table calls it.
        argv: the command; its first word is looked up on PATH.
        env: added to the environment.
        stdout: "null", "drain" (read through a pipe), "first" (up to the first byte) or "capture" (it times
            itself, without the imports, and prints ``{"seconds": …}``).
        slow: runs once, without a warm-up.
        ok: exit codes of success.
        missing: why it cannot run here; it is then left out and the table says so.
        cold: files to be put out of the page cache before each run.
        anonymous: whether to watch its heap.
    """

    name: str
    argv: Sequence[str | Path]
    env: dict[str, str] = field(default_factory=dict)
    stdout: str = "null"
    slow: bool = False
    ok: Sequence[int] = (0,)
    missing: str | None = None
    cold: Sequence[Path] = ()
    anonymous: bool = False


@dataclass(frozen=True)
class Run:
    """What one run of one command cost."""

    wall_s: float
    cpu_s: float
    rss_bytes: int
    first_byte_s: float | None
    anonymous_bytes: int | None
    out_bytes: int | None
    report: dict[str, float]


@dataclass
class Runs:
    """All runs of one contestant, in the order of the rounds."""

    name: str
    runs: list[Run]
    out_bytes: int | None = None

    def median(self, figure: Callable[[Run], float]) -> float:
        """Return the median of one figure over all rounds."""
        return statistics.median(map(figure, self.runs))

    @property
    def wall_s(self) -> float:
        """Median wall time."""
        return self.median(lambda run: run.wall_s)

    @property
    def rss_bytes(self) -> int:
        """The highest peak of all rounds: a bound is a bound."""
        return max(run.rss_bytes for run in self.runs)


def ratio(ours: Runs, theirs: Runs) -> float:
    """Return our wall time over theirs: the median of the ratios of each round, or of medians when one ran once."""
    if len(ours.runs) != len(theirs.runs):
        return ours.wall_s / theirs.wall_s
    return statistics.median(a.wall_s / b.wall_s for a, b in zip(ours.runs, theirs.runs, strict=True))


def run_once(contestant: Contestant, stdout: str | None = None) -> Run:
    """Run one command once.

    Raises:
        CommandFailed: it did not do its work.
    """
    evict(contestant.cold)
    spec = {
        "argv": list(map(str, contestant.argv)),
        "env": contestant.env,
        "stdout": stdout or contestant.stdout,
        "anonymous": contestant.anonymous,
    }
    launcher = [sys.executable, "-S", "-E", str(LAUNCHER), json.dumps(spec)]
    done = subprocess.run(launcher, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    said = json.loads(done.stdout)
    if said["code"] not in contestant.ok and spec["stdout"] != "first":
        last = said["stderr"].strip().splitlines()[-1:] or ["it said nothing"]
        raise CommandFailed(f"exit code {said['code']}: {last[0]}")
    if spec["stdout"] == "first" and said["first_byte_s"] is None:
        raise CommandFailed(f"no byte came: {said['stderr'].strip()[-200:]}")
    report = json.loads(said["out"]) if spec["stdout"] == "capture" else {}
    if report:
        said |= {"first_byte_s": report.get("first_byte_s"), "out_bytes": None, "wall_s": report["seconds"]}
    return Run(
        wall_s=said["wall_s"],
        cpu_s=said["user_s"] + said["system_s"],
        rss_bytes=said["rss_bytes"],
        first_byte_s=said["first_byte_s"],
        anonymous_bytes=said["anonymous_bytes"],
        out_bytes=said["out_bytes"],
        report=report,
    )


def alternate(
    contestants: Sequence[Contestant], rounds: int, say: Callable[[str], None]
) -> tuple[dict[str, Runs], dict[str, str]]:
    """Run all contestants in turn, ``rounds`` times; return what they cost, and why others are left out."""
    absent = {each.name: each.missing for each in contestants if each.missing}
    results: dict[str, Runs] = {}
    for turn in range(rounds + 1):
        for each in contestants:
            if each.name in absent or (each.slow and turn > 0):
                continue
            say(f"{each.name}, {f'round {turn}' if turn else 'warm-up'}")
            try:
                if turn == 0:
                    results[each.name] = warm_up(each)
                else:
                    results[each.name].runs.append(run_once(each))
            except CommandFailed as error:
                results.pop(each.name, None)
                absent[each.name] = str(error)
    return results, absent


def warm_up(contestant: Contestant) -> Runs:
    """Run once with the output read and counted; of a slow contestant this is the only run, and not read."""
    if contestant.slow:
        return Runs(contestant.name, [run_once(contestant)])
    counted = run_once(contestant, "drain" if contestant.stdout == "null" else None)
    return Runs(contestant.name, [], counted.out_bytes)


def evict(files: Iterable[Path]) -> None:
    """Put files out of the page cache; where the kernel keeps them all the same, and we may, drop all of it."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            cold = is_cold(descriptor)
        finally:
            os.close(descriptor)
        if not cold and os.geteuid() == 0:
            Path("/proc/sys/vm/drop_caches").write_text("1", encoding="ascii")


def is_cold(descriptor: int) -> bool:
    """Tell whether the last page of a file would have to come from the disk."""
    end = os.fstat(descriptor).st_size
    try:
        os.preadv(descriptor, [bytearray(1)], max(0, end - 1), RWF_NOWAIT)
    except BlockingIOError:
        return True
    return end == 0
