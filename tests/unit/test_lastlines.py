"""Places in a stream that are known again by the lines before them."""

from __future__ import annotations

import random

import pytest

from logflume.sources.lastlines import LINES, Anchor, LastLines, find_lines


def noted(data: bytes, cuts: list[int]) -> Anchor | None:
    """Note it in pieces."""
    last = LastLines()
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        last.note(data[begin:end])
    return last.anchor


@pytest.mark.parametrize("lines", [0, 1, 2, LINES - 1, LINES, LINES + 1, 5 * LINES])
def test_an_anchor_is_the_same_however_blocks_are_cut(lines: int) -> None:
    """It depends on what passed, and not on where it was cut."""
    random_ = random.Random(lines)
    data = b"".join(b"line %d\n" % number for number in range(lines)) + b"begun"
    whole = noted(data, [])
    assert (whole is None) is (lines == 0)
    for _ in range(50):
        assert noted(data, sorted(random_.choices(range(len(data) + 1), k=random_.randrange(8)))) == whole


@pytest.mark.parametrize("dropped", range(0, 101, 5))
@pytest.mark.parametrize("piece_bytes", [1, 10, 10_000])
def test_a_place_is_found_in_what_gives_its_last_lines_only(dropped: int, piece_bytes: int) -> None:
    """As long as one line before the place is still there, the offset after it is found; without any it is not."""
    before = [b"line %d\n" % number for number in range(100)]
    after = [b"new %d\n" % number for number in range(5)]
    anchor = noted(b"".join(before), [])
    assert anchor is not None
    data = b"".join(before[dropped:] + after)
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
    found = find_lines(anchor.lines, pieces)
    assert found == (len(data) - len(b"".join(after)) if dropped < 100 else None)


def test_a_line_at_the_start_that_looks_like_the_last_one_is_no_place() -> None:
    """All lines before the place count for more than the last one of them at the start."""
    before = [b"\n", *(b"line %d\n" % number for number in range(30)), b"\n"]
    anchor = noted(b"".join(before), [])
    assert anchor is not None
    assert find_lines(anchor.lines, [b"".join(before) + b"new\n"]) == len(b"".join(before))
