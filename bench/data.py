"""The logs that are measured on, made by ``logflume gen`` and kept under ``build/bench``.

Holds: a folder that exists is complete (it is made beside and renamed); the same words always name the same bytes.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
LOGFLUME = ROOT / ".venv" / "bin" / "logflume"
LINE_BYTES = 96
"""About what a generated line takes; only for asking whether the disk has room."""


class NotThereYet(Exception):
    """Something of ours that a row needs does not exist yet; the row says so and the others go on."""


def source_number(path: Path) -> int:
    """Return the number in a file's name: source-10.log comes after source-9.log."""
    return int("0" + "".join(filter(str.isdigit, path.stem)))


@dataclass(frozen=True)
class Dataset:
    """A generated log, by the words that generate it.

    Attributes:
        lines: over all sources, at scale 1.
        fleeting: too large to be kept; removed when its rows are done.
    """

    lines: int
    sources: int = 3
    pattern: str = "interleaved"
    format: str = "json"
    duplicates: float = 0.0
    fleeting: bool = False

    def scaled(self, scale: float) -> Dataset:
        """Return the same log with fewer or more lines, and never fewer than its sources."""
        return replace(self, lines=max(self.sources, round(self.lines * scale)))

    @property
    def folder(self) -> Path:
        """Where it lies or will lie."""
        return BUILD / f"{self.format}-{self.pattern}-{self.lines}-{self.sources}-{self.duplicates:g}"

    def make(self) -> list[Path]:
        """Return its files in order, generating them first where they are not there.

        Raises:
            NotThereYet: there is no ``logflume gen``, or no room for this log.
        """
        if not self.folder.exists():
            self._generate()
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(files, key=source_number)

    def _generate(self) -> None:
        if not LOGFLUME.exists():
            raise NotThereYet("logflume gen")
        BUILD.mkdir(parents=True, exist_ok=True)
        needed = self.lines * LINE_BYTES * 1.1
        if shutil.disk_usage(BUILD).free < needed:
            raise NotThereYet(f"{needed / 1e9:.0f} GB of free disk")
        beside = self.folder.with_suffix(".part")
        shutil.rmtree(beside, ignore_errors=True)
        done = subprocess.run(self._command(beside), capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotThereYet(f"logflume gen ({done.stderr.strip()[-200:]})")
        beside.rename(self.folder)

    def _command(self, folder: Path) -> list[str | Path]:
        words = {
            "--lines": self.lines,
            "--sources": self.sources,
            "--pattern": self.pattern,
            "--format": self.format,
            "--duplicates": self.duplicates,
            "--seed": 1,
        }
        return [LOGFLUME, "gen", folder, *(str(word) for pair in words.items() for word in pair)]

    def remove(self) -> None:
        """Free its disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


VIEWED = Dataset(10_000_000)
"""What the viewer is looked at with."""

SEED = Dataset(8_670_000)
"""The log of the first seed: 830 MB."""

SMALL = Dataset(100_000)

PATTERNS = {name: replace(SEED, pattern=name) for name in ("runs", "disjoint", "skewed", "late-start")}
PLAIN = Dataset(5_000_000, format="plain")
MANY = Dataset(10_400_000, sources=1000)
HUGE = Dataset(104_000_000, fleeting=True)
