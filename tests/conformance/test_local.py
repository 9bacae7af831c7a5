"""The local source passes the public checks: plain, rotated, compressed, inside of a root."""

from __future__ import annotations

import gzip
import itertools
import os
from typing import TYPE_CHECKING

import pytest
import zstandard

from logflume.sources.local import LocalSource
from logflume.testing import check_source, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTENT = numbered_lines(60_000)  # 1.4 MB: enough for the cost of a seek to show


class Place:
    """A log file in a folder of its own, that can be changed as files are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def truncate(self, size: int) -> None:
        os.truncate(self.path, size)

    def replace(self, data: bytes) -> None:
        aside = self.path.with_name("aside")
        aside.write_bytes(data)
        aside.replace(self.path)

    def missing(self) -> LocalSource:
        return LocalSource(self.path.with_name("missing"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a log file's place."""
    return Place(tmp_path / "x.log")


@pytest.mark.parametrize("content", [CONTENT, b"", b"no newline"], ids=["long", "empty", "short"])
@pytest.mark.parametrize("with_root", [False, True])
def test_single_file(place: Place, content: bytes, with_root: bool) -> None:
    """One plain file is a source."""

    def make() -> LocalSource:
        place.path.write_bytes(content)
        return LocalSource(place.path, root=place.path.parent if with_root else None)

    passed = check_source(
        make,
        content=content,
        append=place.append,
        truncate=place.truncate if content else None,
        replace=place.replace if content else None,  # after an empty file, the new one simply follows
        make_failing=place.missing,
    )
    assert "what is appended comes, and nothing else" in passed


def test_rotated_set(place: Place) -> None:
    """Three files are one source, seekable from end to end."""
    cuts = [0, 500_000, 1_000_000, len(CONTENT)]

    def make() -> LocalSource:
        for number, (begin, end) in zip((2, 1, 0), itertools.pairwise(cuts), strict=True):
            place.path.with_name(f"x.log.{number}" if number else "x.log").write_bytes(CONTENT[begin:end])
        return LocalSource(place.path)

    passed = check_source(make, content=CONTENT, append=place.append, make_failing=place.missing)
    assert "a seek reads no old bytes" in passed


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compressed_file(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    """A compressed file is a source of what was compressed."""
    place = Place(tmp_path / f"x.log{suffix}")
    packed = pack(CONTENT)

    def make() -> LocalSource:
        place.path.write_bytes(packed)
        return LocalSource(place.path)

    passed = check_source(make, content=CONTENT, make_failing=place.missing)
    assert "a position opens at its place, also for another source of the same place" in passed
