"""What is missing between the file in hand and the next one: files as tables, no disk."""

from __future__ import annotations

import pytest

from logflume.sources.ahead import Ahead, View
from logflume.sources.rotation import Member


def files(text: str) -> list[Member]:
    """Read a table of files, oldest first: age, letter of the inode, ``z`` if compressed, and size."""
    members = []
    for word in text.split():
        age, rest = word.split(":")
        packed = rest.endswith("z")
        inode, size = rest[0], rest[1:].rstrip("z") or "10"
        name = f"x.log.{age}" if int(age) else "x.log"
        members.append(Member(name + ".gz" * packed, int(age), (1, ord(inode)), int(size), 0, regular=True))
    return members


@pytest.mark.parametrize(
    ("before", "now", "missing"),
    [
        # age of our own file | newer files, then the same later
        ("2 | 1:b 0:c", "2 | 1:b 0:c", 0),
        ("2 | 1:b 0:c", "3 | 2:b 1:c 0:d", 0),
        ("0 |", "1 | 0:b", 0),
        ("0 |", "3 | 2:b 1:c 0:d", 0),
        # a place without a file
        ("0 |", "3 | 1:c 0:d", 1),
        ("0 |", "3 | 0:d", 2),
        ("0 |", "3 | 2:b 0:d", 0),  # not on the way to the next
        ("2 | 1:b 0:c", "2 | 0:c", 1),
        ("2 | 1:b 0:c", "3 | 1:c 0:d", 1),
        # a place that never had a file
        ("3 | 1:b 0:c", "3 | 1:b 0:c", 0),
        ("3 | 1:b 0:c", "4 | 2:b 1:c 0:d", 0),
        ("3 | 1:b 0:c", "4 | 1:c 0:d", 1),
        # compressed
        ("2 | 1:b 0:c", "3 | 2:xz 1:c 0:d", 0),
        ("2 | 1:b 0:c", "3 | 2:xz 1:yz 0:d", 0),
        ("2 | 1:b 0:c", "2 | 1:x 0:c", 1),  # another plain one is no compressed one
        ("2 | 1:bz 0:c", "2 | 1:xz 0:c", 1),  # nor is another compressed one
        # the newest: removed, made again, not there for now
        ("1 | 0:b", "1 |", 1),
        ("1 | 0:b", "1 | 0:c", 1),
        ("1 | 0:b", "2 | 1:b", 0),
        ("1 |", "1 |", 0),
        ("1 |", "1 | 0:c", 0),
        # copied and cut: the copy gets older, the newest does not
        ("1 | 0:b", "2 | 1:x 0:b0", 0),
        # an inode that is of another file by now
        ("2 | 1:b 0:c", "4 | 3:x 2:y 1:z 0:b", 1),
        # an empty file is no next one
        ("2 | 1:b0 0:c", "3 | 2:b0 1:c 0:d", 0),
        ("0 |", "4 | 3:b0 1:c 0:d", 1),
    ],
)
def test_missing_on_the_way_to_the_next_file(before: str, now: str, missing: int) -> None:
    """What was there, or must have been there, and is not, is counted up to the next file with bytes."""
    age, _, newer = before.partition("|")
    age_now, _, newer_now = now.partition("|")
    view = Ahead(int(age), files(newer)).compare(int(age_now), files(newer_now))
    assert view.missing == missing


def test_what_was_counted_is_not_counted_again() -> None:
    """A view that was accepted is the state from then on; what is missing further on is counted there."""
    ahead = Ahead(4, files("3:b 2:c 1:d 0:e"))
    gap_now, gap_later = files("2:c 0:e"), files("2:c 0:e")
    view = ahead.compare(4, gap_now)
    assert (view.missing, [member.age for member in view.gone], view.lost_bytes) == (1, [3], 10)
    ahead.accept(view)
    assert ahead.compare(4, gap_later).missing == 0
    further = ahead.passed_to(gap_later[0])
    view = further.compare(2, files("0:e"))
    assert (view.missing, [member.age for member in view.gone]) == (1, [1])


def test_a_reader_that_comes_back_tolerates_no_hole() -> None:
    """Who has read a file before takes a place without a file next to it for a loss, of a size that nobody knows."""
    view = Ahead(3, files("1:b 0:c"), begun=True).compare(3, files("1:b 0:c"))
    assert (view.missing, view.lost_bytes) == (1, None)


def test_the_cut_of_a_file_ahead_is_measured() -> None:
    """A file that is shorter now was cut, unless a new one before it can be its copy."""
    ahead = Ahead(1, files("0:b500"))
    assert ahead.compare(1, files("0:b100")).cut_bytes == 400
    assert ahead.compare(2, files("1:x500 0:b100")).cut_bytes == 0
    assert ahead.compare(1, files("0:b600")).cut_bytes == 0


def test_a_guess_forgets_what_was_known() -> None:
    """When nothing tells how often the set was rotated, what was known does not count."""
    ahead = Ahead(2, files("1:b 0:c"))
    ahead.accept(View(9, files("8:x 0:y"), missing=1, is_guess=True))
    view = ahead.compare(9, files("8:x 0:y"))
    assert (view.missing, view.gone) == (0, [])
