"""``logflume stat``: figures that add up."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from logflume.generate import Plan, write_log
from logflume.records import Output
from tests import oracle
from tests.integration.command import DEFERRED, SAMPLE, run

if TYPE_CHECKING:
    from pathlib import Path


def stat(*words: str | Path, code: int = 0) -> Any:  # noqa: ANN401 - it is JSON
    """Return what ``logflume stat --json`` prints."""
    done = run("stat", "--json", *words)
    assert done.code == code
    return json.loads(done.out)


@pytest.fixture
def generated(tmp_path: Path) -> list[Path]:
    """Three files with copies."""
    return write_log(tmp_path / "generated", Plan(lines=20_000, duplicates=0.1))


def test_figures_are_those_of_the_files(generated: list[Path]) -> None:
    """Bytes and lines are those that wc counts; late and duplicates those of the oracle."""
    told = stat(*generated)
    sources = [path.read_bytes() for path in generated]
    expected = oracle.merge(sources, output=Output.TEXT)
    assert [source["name"] for source in told["sources"]] == [path.name for path in generated]
    assert [source["bytes"] for source in told["sources"]] == [len(source) for source in sources]
    assert [source["lines"] for source in told["sources"]] == [source.count(b"\n") for source in sources]
    assert told["total"]["bytes"] == sum(map(len, sources))
    assert told["total"]["duplicates"] == expected.duplicates
    assert told["total"]["late"] == expected.late
    assert told["missing"] == []


def test_levels_and_times_are_those_of_the_lines(generated: list[Path]) -> None:
    """Each source's levels are counted, and its first and last time named to the nanosecond."""
    for source, path in zip(stat(*generated)["sources"], generated, strict=True):
        events = [json.loads(line) for line in path.read_bytes().splitlines()]
        counted = {level: sum(event["level"] == level for event in events) for level in ("info", "error", "debug")}
        assert {level: source["levels"][level] for level in counted} == counted
        assert source["first"] == events[0]["timestamp"].replace("Z", "000Z")
        assert source["last"] == events[-1]["timestamp"].replace("Z", "000Z")


def test_timeline_adds_up(generated: list[Path]) -> None:
    """The timeline's steps hold every line that cat prints, and so many steps are used that one can see something."""
    timeline = stat(*generated)["timeline"]
    printed = run("cat", *generated).out.count(b"\n")
    assert sum(step["lines"] for step in timeline["steps"]) == printed
    assert 20 <= len(timeline["steps"]) <= 60
    assert sum(step["levels"]["error"] for step in timeline["steps"]) == 10


def test_small_log_has_an_exact_timeline(tmp_path: Path) -> None:
    """Of a few lines each is in the step of its time."""
    seconds = [0, 1, 1, 7]
    log = tmp_path / "small.log"
    log.write_text("".join(f"2024-11-20T10:00:{second:02}Z INFO x\n" for second in seconds))
    timeline = stat(log)["timeline"]
    per_second = 1_000_000_000 // timeline["step_ns"]
    lines = [step["lines"] for step in timeline["steps"]]
    assert timeline["start"] == "2024-11-20T10:00:00.000000000Z"
    assert {number: count for number, count in enumerate(lines) if count} == {0: 1, per_second: 2, 7 * per_second: 1}


def test_table_for_people(tmp_path: Path) -> None:
    """Piped, the table is plain text: a row for each source, totals, levels, bars, and marks where errors are."""
    (tmp_path / "a.log").write_bytes(
        b"2024-11-20T10:00:00Z INFO a\n2024-11-20T10:00:09Z ERROR b\nTraceback\n2024-11-20T10:00:03Z INFO late\n"
    )
    (tmp_path / "b.log").write_bytes(b"2024-11-20T10:00:00Z INFO a\n")
    done = run("stat", tmp_path)
    assert done.text == (
        "source  bytes  lines  first                     last                      late  gaps\n"
        "a.log    98 B      4  2024-11-20T10:00:00.000Z  2024-11-20T10:00:09.000Z     1     0\n"
        "b.log    28 B      1  2024-11-20T10:00:00.000Z  2024-11-20T10:00:00.000Z     0     0\n"
        "total   126 B      5  2024-11-20T10:00:00.000Z  2024-11-20T10:00:09.000Z     1     0\n"
        "\n"
        "duplicates  1\n"
        "levels      error 1, info 3\n"
        "timeline    ▃                                            █\n"
        "                                                         !  ! has errors\n"
        "            each step 200 ms from 2024-11-20T10:00:00.000Z, most lines in one: 3\n"
    )


def test_colours_only_when_asked_for_in_a_pipe() -> None:
    """Piped output has no escape sequence unless --color always asks for it."""
    assert "\x1b" not in run("stat", DEFERRED).text
    assert "\x1b[32m" in run("stat", "--color", "always", DEFERRED).text
    assert re.sub(r"\x1b\[\d+m", "", run("stat", "--color", "always", DEFERRED).text) == run("stat", DEFERRED).text


def test_early_line_out_of_order_does_not_stretch_the_timeline() -> None:
    """A line dated long before its neighbours is shown with them, so the timeline covers when things were written."""
    told = stat(SAMPLE / "dag_id=log_sample")
    assert told["total"]["first"] < "2024"
    assert told["timeline"]["start"] > "2026"


def test_what_is_missing_is_in_the_figures(generated: list[Path], tmp_path: Path) -> None:
    """A path that is not there and a source that cannot be read are listed with their reasons; the exit code is 2."""
    (tmp_path / "generated" / "folder.log").symlink_to("/etc/passwd")
    told = stat(tmp_path / "generated", tmp_path / "gone", code=2)
    assert [gap["reason"] for gap in told["missing"]] == ["not-found"]
    reasons = {source["name"]: [gap["reason"] for gap in source["gaps"]] for source in told["sources"]}
    assert reasons.pop("folder.log") == ["outside-root"]
    assert set(map(tuple, reasons.values())) == {()}
    done = run("stat", *generated, tmp_path / "gone")
    assert re.search(r"gone +- +- +- +- +- +1\n", done.text)


@pytest.mark.parametrize("content", [b"", b"no time\nat all\n"])
def test_log_without_times_has_no_timeline(content: bytes) -> None:
    """Standard input without a single time is counted all the same."""
    told = json.loads(run("stat", "--json", "-", stdin=content).out)
    assert told["timeline"] is None
    assert told["total"]["lines"] == content.count(b"\n")
    assert run("stat", "-", stdin=content).code == 0
