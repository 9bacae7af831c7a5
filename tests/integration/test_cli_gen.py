"""``logflume gen``: the options reach the generator, and what it writes is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logflume.generate import Layout, LineFormat, Pattern, Plan, write_log
from tests.integration.command import run

if TYPE_CHECKING:
    from pathlib import Path


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of each file by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("words", "plan", "layout"),
    [
        (["--lines", "500"], Plan(lines=500), Layout.FLAT),
        (["--bytes", "64kB", "--sources", "2"], Plan(bytes=64_000, sources=2), Layout.FLAT),
        (["--lines", "300", "--pattern", "late-start", "--format", "plain", "--seed", "7"],
         Plan(lines=300, pattern=Pattern.LATE_START, format=LineFormat.PLAIN, seed=7), Layout.FLAT),
        (["--lines", "300", "--duplicates", "0.5", "--ties", "0.25", "--format", "kubernetes", "--layout", "airflow"],
         Plan(lines=300, duplicates=0.5, ties=0.25, format=LineFormat.KUBERNETES), Layout.AIRFLOW),
    ],
)  # fmt: skip
def test_options_are_those_of_the_plan(words: list[str], plan: Plan, layout: Layout, tmp_path: Path) -> None:
    """The command writes the files that the library writes for the same plan."""
    done = run("gen", tmp_path / "made", *words)
    assert (done.code, done.err) == (0, "")
    write_log(tmp_path / "expected", plan, layout=layout)
    assert files_of(tmp_path / "made") == files_of(tmp_path / "expected")


def test_what_was_made_is_said(tmp_path: Path) -> None:
    """One line tells how many files of which size lie where."""
    done = run("gen", "demo", "--lines", "1000", cwd=tmp_path)
    size = sum(map(len, files_of(tmp_path / "demo").values()))
    assert done.text == f"3 files, {size / 1000:.1f} kB, in demo\n"


def test_airflow_layout_is_one_log_for_cat(tmp_path: Path) -> None:
    """What is made in Airflow's layout is read as one attempt, each line once and in order."""
    run("gen", tmp_path, "--lines", "1000", "--layout", "airflow", "--duplicates", "0.2")
    attempt = next(tmp_path.rglob("attempt=1.log"))
    assert run("cat", attempt).out.count(b"\n") == 1000


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The system's reason is said in one line with the path."""
    (tmp_path / "closed").mkdir(mode=0o555)
    done = run("gen", tmp_path / "closed" / "demo", "--lines", "10", timid=True)
    assert done.code == 2
    assert done.err == f"logflume: {tmp_path}/closed/demo: Permission denied\n"
