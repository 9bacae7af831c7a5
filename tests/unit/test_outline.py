"""Groups of lines that a log marks: found while it is indexed, paired when asked, kept beside the index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from logflume.catalog import log_of_paths
from logflume.errors import IndexInvalid
from logflume.index import LogIndex
from logflume.indexcache import IndexCache
from logflume.outline import MAX_MARKS, MIN_KEPT_BYTES, Group, Marks
from logflume.sources.memory import BytesSource

if TYPE_CHECKING:
    from pathlib import Path

    from logflume.abc import Source


class _Log:
    """A log in memory."""

    id = "log"

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def sources(self) -> list[Source]:
        """Return one for each text."""
        return [BytesSource(f"s{number}", text.encode()) for number, text in enumerate(self.texts)]


def groups_of(log: _Log, folder: Path) -> list[Group]:
    """Index a log and return its groups."""
    with LogIndex(log, cache=IndexCache(folder)) as index:
        index.build()
        return index.groups()[0]


def outlined(groups: list[Group]) -> list[tuple[str, int, int, int]]:
    """Return title, first and last line, and depth of each."""
    return [(group.title, group.first, group.last, group.depth) for group in groups]


def event(second: int, text: str, level: str = "info") -> str:
    """Return a line of Airflow."""
    return json.dumps({"timestamp": f"2024-11-20T12:00:{second:02}Z", "level": level, "event": text}) + "\n"


def test_groups_of_airflow(tmp_path: Path) -> None:
    """They nest, tell errors within, and have the time of their marks; escapes in titles are read."""
    text = "".join(
        [
            event(0, "before"),
            event(1, '::group::A "b" é'),
            event(2, "boom", "error"),
            event(3, "::group::inner"),
            event(4, "::endgroup::"),
            event(5, "::endgroup::"),
            event(6, "::endgroup::"),
            event(7, "boom", "error"),
        ]
    )
    first, inner = groups_of(_Log(text), tmp_path)
    assert outlined([first, inner]) == [('A "b" é', 1, 5, 0), ("inner", 3, 4, 1)]
    assert (first.errors, inner.errors, first.is_open) == (1, 0, False)
    assert first.has_end_mark
    assert inner.has_end_mark
    assert (first.last_ns - first.first_ns) == 4_000_000_000


def test_sections_of_gitlab(tmp_path: Path) -> None:
    """They are paired by name, closed on demand, and an outer end ends what is within."""
    text = (
        "section_start:1:outer\r\x1b[0K\x1b[36;1mOuter\x1b[0m\n"
        "x\n"
        "section_start:2:inner[hide_duration=true,collapsed=true]\r\x1b[0KInner\n"
        "y\n"
        "section_end:4:outer\r\x1b[0K\n"
        "section_end:4:nobody\r\x1b[0K\n"
    )
    groups = groups_of(_Log(text), tmp_path)
    assert outlined(groups) == [("Outer", 0, 4, 0), ("Inner", 2, 4, 1)]
    assert [group.is_collapsed for group in groups] == [False, True]
    assert [group.has_end_mark for group in groups] == [True, False]


def test_headers_of_buildkite(tmp_path: Path) -> None:
    """Each lasts to the next; the last one to the end, and is open; a diff is none."""
    text = "--- Build\nmake\n+++ Test\n--- a/file\n+++ b/file\n~~~ Clean\nrm\n"
    groups = groups_of(_Log(text), tmp_path)
    assert outlined(groups) == [("Build", 0, 1, 0), ("Test", 2, 4, 0), ("Clean", 5, 6, 0)]
    assert [group.is_open for group in groups] == [False, False, True]
    assert not any(group.has_end_mark for group in groups)


def test_groups_of_two_sources_may_overlap(tmp_path: Path) -> None:
    """An end of one source ends no group of another."""
    one = event(0, "::group::one") + event(4, "::endgroup::")
    two = event(2, "::group::two") + event(6, "::endgroup::")
    groups = groups_of(_Log(one, two), tmp_path)
    assert outlined(groups) == [("one", 0, 2, 0), ("two", 1, 3, 0)]
    assert [group.source for group in groups] == [0, 1]


def test_marks_across_blocks_and_in_long_records(tmp_path: Path) -> None:
    """A mark is found wherever the blocks are cut, and in a record of many lines."""
    filler = event(1, "x" * 777) * 1000
    text = (
        filler
        + event(2, "a traceback")
        + "line\n" * 5
        + "::group::deep\nline\n::endgroup::\n"
        + filler.replace(":01Z", ":03Z")
    )
    assert outlined(groups_of(_Log(text), tmp_path)) == [("deep", 1006, 1008, 0)]
    for shift in range(40):
        text = "y" * (256 * 1024 - 20 - shift) + "\n::group::T\n::endgroup::\n"
        assert outlined(groups_of(_Log(text), tmp_path / str(shift))) == [("T", 1, 2, 0)]


def test_groups_grow_with_the_log(tmp_path: Path) -> None:
    """An index that is extended, or read from the cache, knows the same groups as one that is made anew."""
    parts = ["".join([event(n, f"::group::g{n}"), event(n, "x"), event(n, "::endgroup::")]) for n in range(20)]
    path = tmp_path / "a.log"
    path.write_text(parts[0])
    log = log_of_paths([path])
    grown: tuple[list[Group], int | None] = ([], None)
    for n in range(1, 20):
        with LogIndex(log, cache=IndexCache(tmp_path / "kept")) as index:
            index.build()
            with path.open("a") as file:
                file.write(parts[n])
            index.build()
            grown = index.groups()
    assert grown[0] == groups_of(_Log("".join(parts)), tmp_path / "anew")
    assert outlined(grown[0])[-1] == ("g19", 57, 59, 0)


def test_too_many_marks_are_told(tmp_path: Path) -> None:
    """What is kept is bounded by the size of the log; from which line on there may be more is known."""
    lines = 3000
    with LogIndex(_Log("--- T\n" * lines), cache=IndexCache(tmp_path)) as index:
        index.build()
        groups, end_line = index.groups()
    assert len(groups) == MIN_KEPT_BYTES // 41 < lines
    assert end_line == len(groups)
    assert len(groups) <= MAX_MARKS


@pytest.mark.parametrize("stored", [None, [], {}, [1, 2], ["x"], [None, [1]]])
def test_damaged_marks_are_no_marks(stored: object) -> None:
    """They are found anew."""
    with pytest.raises(IndexInvalid):
        Marks.restored(stored)


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ('{"timestamp":"2024-11-20T12:00:00Z","event":"::group::' + "é" * 150 + '"}\n', "é" * 100),
        ('{"timestamp":"2024-11-20T12:00:00Z","event":"::group::' + "x" * 197 + '\\u00e9"}\n', "x" * 197),
        ('{"timestamp":"2024-11-20T12:00:00Z","event":"::group::a\\u001b[1mb\\nc"}\n', "abc"),
        ("::group::\n", ""),
    ],
)
def test_titles(raw: str, title: str, tmp_path: Path) -> None:
    """They are cut, without torn characters or escapes, and hold nothing that a terminal obeys."""
    (group,) = groups_of(_Log(raw), tmp_path)
    assert group.title == title
