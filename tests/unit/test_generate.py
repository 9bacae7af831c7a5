from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from logflume.errors import UsageError
from logflume.generate import NEEDLE, NEEDLE_FIRST, Layout, LineFormat, Pattern, Plan, write_log

if TYPE_CHECKING:
    from pathlib import Path


def numbers(files: list[Path]) -> list[int]:
    """Return the line numbers that the events of JSON files carry, by time, each once."""
    lines = {line for file in files for line in file.read_bytes().splitlines()}
    events = [str(json.loads(line)["event"]).replace(NEEDLE.decode(), "") for line in sorted(lines)]
    found = [re.search(r"\d+", event) for event in events]
    return [int(match.group()) for match in found if match]


def test_bytes_never_change(tmp_path: Path) -> None:
    """The same plan gives the same bytes on every machine and in every version."""
    files = write_log(tmp_path, Plan(lines=5_000, duplicates=0.1, ties=0.1))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert digest == "c3fffa6cd8255e66c4572f5b26a020b3c403d399c65291fc03a011e6d4ce30e3"


def test_another_seed_is_another_log(tmp_path: Path) -> None:
    """The seed matters."""
    logs = [write_log(tmp_path / str(seed), Plan(lines=100, sources=1, seed=seed))[0].read_bytes() for seed in (0, 1)]
    assert logs[0] != logs[1]


@pytest.mark.parametrize("pattern", Pattern)
def test_merged_numbers_have_no_gap(tmp_path: Path, pattern: Pattern) -> None:
    """Whatever the pattern and the copies, the lines by time are 0, 1, 2, … and each is there."""
    files = write_log(tmp_path, Plan(lines=3_000, sources=5, pattern=pattern, duplicates=0.2))
    assert numbers(files) == list(range(3_000))


@pytest.mark.parametrize("line_format", LineFormat)
def test_size_in_bytes_is_met(tmp_path: Path, line_format: LineFormat) -> None:
    """A plan of so many bytes gives that many within 1 %."""
    files = write_log(tmp_path, Plan(bytes=4_000_000, format=line_format))
    assert sum(file.stat().st_size for file in files) == pytest.approx(4_000_000, rel=0.01)


def test_progress_ends_at_the_size_of_the_files(tmp_path: Path) -> None:
    """Progress grows with each block up to what was written, and its goal is about right."""
    seen: list[tuple[int, int]] = []
    files = write_log(tmp_path, Plan(lines=20_000), progress=lambda done, goal: seen.append((done, goal)))
    total = sum(file.stat().st_size for file in files)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == total
    assert seen[-1][1] == pytest.approx(total, rel=0.01)


def test_needle_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    """The rare literal stands in its line and in no other."""
    (file,) = write_log(tmp_path, Plan(lines=4_000, sources=1))
    lines = file.read_bytes().splitlines()
    assert [number for number, line in enumerate(lines) if NEEDLE in line] == [NEEDLE_FIRST]


def test_airflow_layout_has_trigger_logs_beside_the_attempt(tmp_path: Path) -> None:
    """In Airflow's layout the first source is the attempt, and the others are its trigger logs."""
    files = write_log(tmp_path, Plan(lines=10), layout=Layout.AIRFLOW)
    assert [file.name for file in files] == [
        "attempt=1.log",
        "attempt=1.log.trigger.1.log",
        "attempt=1.log.trigger.2.log",
    ]
    assert {file.parent.relative_to(tmp_path).parts[0] for file in files} == {"dag_id=demo"}


def test_files_are_overwritten(tmp_path: Path) -> None:
    """Making a log again leaves nothing of the one before in its files."""
    write_log(tmp_path, Plan(lines=100))
    again = write_log(tmp_path, Plan(lines=10))
    assert numbers(again) == list(range(10))


def test_no_lines_make_empty_files(tmp_path: Path) -> None:
    """An empty log still has its files."""
    assert [file.read_bytes() for file in write_log(tmp_path, Plan(lines=0))] == [b"", b"", b""]


@pytest.mark.parametrize(
    ("plan", "part"),
    [
        (Plan(lines=1, bytes=1), "lines or bytes"),
        (Plan(lines=-1), "negative"),
        (Plan(sources=0), "sources"),
        (Plan(ties=1.5), "ties"),
        (Plan(duplicates=float("nan")), "duplicates"),
        (Plan(start_ns=-1), "negative"),
    ],
)
def test_bad_plan_is_refused(tmp_path: Path, plan: Plan, part: str) -> None:
    """A plan that cannot be carried out is refused before anything is written."""
    with pytest.raises(UsageError, match=part):
        write_log(tmp_path, plan)
    assert list(tmp_path.iterdir()) == []
