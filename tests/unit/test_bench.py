"""The benchmark harness itself: it must not flatter anybody, and must survive what is not there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from bench import report
from bench.data import Dataset
from bench.measure import CommandFailed, Contestant, Run, Runs, alternate, is_cold, ratio, run_once
from bench.rows import ROWS, Target

if TYPE_CHECKING:
    from pathlib import Path


def python(program: str, **options: object) -> Contestant:
    """Return a contestant that runs a little Python."""
    return Contestant("it", [sys.executable, "-c", program], **options)  # type: ignore[arg-type]


def run(wall_s: float) -> Run:
    """Return a run of which only the time matters."""
    return Run(wall_s, wall_s, 1, None, None, None, {})


def test_output_is_counted() -> None:
    """A drained contestant's whole output is counted, more than a pipe holds."""
    assert run_once(python("print('x' * 3_000_000)", stdout="drain")).out_bytes == 3_000_001


def test_memory_is_the_commands_own() -> None:
    """Peak memory shows what the command takes, and not what this test process takes."""
    ballast = bytearray(300 << 20)
    small = run_once(python("pass")).rss_bytes
    large = run_once(python("x = bytearray(100 << 20)")).rss_bytes
    assert len(ballast) > small
    assert 90 << 20 < large - small < 110 << 20


def test_the_first_byte_is_enough() -> None:
    """A contestant that would print for ever ends when its first byte has come."""
    first = run_once(python("while True: print('x' * 100)", stdout="first"))
    assert first.first_byte_s is not None
    assert first.first_byte_s <= first.wall_s


def test_a_deaf_contestant_is_ended() -> None:
    """A contestant that goes on after its reader left is killed, and its first byte counts."""
    program = "import os, time; os.write(1, b'x'); time.sleep(600)"
    assert run_once(python(program, stdout="first")).first_byte_s is not None


def test_a_report_replaces_the_clock() -> None:
    """What times itself is believed, since its imports are not the work."""
    assert run_once(python('print(\'{"seconds": 0.25, "old_bytes": 0}\')', stdout="capture")).wall_s == 0.25


@pytest.mark.parametrize(
    ("contestant", "says"),
    [
        (python("import sys; sys.exit('out of luck')"), "exit code 1: out of luck"),
        (Contestant("it", ["/nonexistent/program"]), "exit code 127: .*No such file"),
        (python("pass", stdout="first"), "no byte came"),
    ],
)
def test_failure_is_told(contestant: Contestant, says: str) -> None:
    """A contestant that fails is reported with its last words, and never measured."""
    with pytest.raises(CommandFailed, match=says):
        run_once(contestant)


def test_contestants_take_turns(tmp_path: Path) -> None:
    """Rounds go A B A B after one warm-up each; a slow one runs once; one that fails, at whatever turn, is left out."""
    log = tmp_path / "order"
    note = f"open({str(log)!r}, 'a').write"

    def named(name: str, **options: object) -> Contestant:
        return Contestant(name, [sys.executable, "-c", f"{note}({name!r})"], **options)  # type: ignore[arg-type]

    broken = Contestant("X", [sys.executable, "-c", "raise SystemExit(1)"])
    fades = Contestant("Z", [sys.executable, "-c", f"raise SystemExit('B' in open({str(log)!r}).read())"])
    gone = Contestant("Y", [], missing="not installed")
    results, absent = alternate([named("A"), fades, named("B"), named("S", slow=True), broken, gone], 2, lambda _: None)
    assert log.read_text() == "ABS" + "AB" * 2
    assert {name: len(runs.runs) for name, runs in results.items()} == {"A": 2, "B": 2, "S": 1}
    assert absent.keys() == {"X", "Y", "Z"}


def test_ratio_is_of_rounds() -> None:
    """A machine that slows down for both does not change the ratio."""
    ours, theirs = Runs("a", [run(1), run(10), run(1)]), Runs("b", [run(2), run(20), run(2)])
    assert ratio(ours, theirs) == 0.5
    assert ratio(ours, Runs("slow", [run(4)])) == 0.25


def test_limits_have_a_direction() -> None:
    """A limit is kept on its own side only."""
    fast = Target("rate", "MB/s", lambda _results, _log: 0, must=300, hope=600, higher_is_better=True)
    small = Target("RSS", "MiB", lambda _results, _log: 0, must=64, hope=40)
    assert [fast.verdict(value) for value in (299, 300, 600)] == ["MISSED", "met", "hope met"]
    assert [small.verdict(value) for value in (65, 64, 40)] == ["MISSED", "met", "hope met"]


def test_cold_is_cold(tmp_path: Path) -> None:
    """A file that was just read is warm, so that the check of cold runs can tell."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * 10_000)
    with path.open("rb") as file:
        file.read()
        assert not is_cold(file.fileno())


def test_every_row_has_a_name_of_its_own() -> None:
    """The command line can name each row, and two logs never share a folder."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    logs = {row.log for row in ROWS if row.log}
    assert len({log.folder for log in logs}) == len(logs)
    assert Dataset(100, sources=7).scaled(0.001).lines == 7


def test_the_page_shows_what_is_missing() -> None:
    """A row that could not run is on the page, with the reason and no figure."""
    target = {"label": "wall", "unit": "s", "must": 1.0, "hope": None, "higher_is_better": False}
    row = {
        "work": "merge",
        "date": "2024-11-20",
        "machine": {"CPU": "a fast one", "commit": "abc"},
        "bytes": 0,
        "files": 0,
        "log": "",
        "targets": [{**target, "value": None, "verdict": "not there yet"}],
        "contestants": [],
        "absent": {"logflume": "logflume cat is not there yet"},
        "commands": ["logflume cat"],
    }
    page = report.page({"rows": {"seed": row}}, ["seed", "never run"])
    assert "| merge | wall | ≤ 1 s |  | - | not there yet |" in page
    assert "Left out: logflume (logflume cat is not there yet)." in page
    assert "- CPU: a fast one (seed)" in page


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0009, "0.9 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (12.345, "12.3 s"), (None, "")]
)
def test_times_are_readable(value: float | None, shown: str) -> None:
    """A time is shown with three digits in the unit that suits it, never with an exponent."""
    assert report.seconds(value) == shown
