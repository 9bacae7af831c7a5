"""Which records pass: what ``where()`` takes, what it refuses, and what comes through a merge."""

from __future__ import annotations

import pytest

from logflume.errors import BadPattern, UsageError
from logflume.merge import How, iter_merged, where
from logflume.records import Level, Output
from logflume.sources.memory import BytesSource

SECOND_NS = 10**9
START_NS = 1_732_106_096 * SECOND_NS  # 2024-11-20T12:34:56Z

LINES = [
    b'{"timestamp":"2024-11-20T12:34:56Z","level":"debug","event":"begin"}\n',
    b'{"timestamp":"2024-11-20T12:34:57Z","level":"info","event":"row ok"}\n',
    b'{"timestamp":"2024-11-20T12:34:58Z","event":"row odd"}\n',
    b'{"timestamp":"2024-11-20T12:34:59Z","level":"error","event":"ROW bad"}\n',
    b'{"timestamp":"2024-11-20T12:35:00Z","level":"critical","event":"end"}\n',
]


def passing(**only: object) -> list[int]:
    """Return the numbers of the lines that pass."""
    how = How(output=Output.TEXT, only=where(**only))  # type: ignore[arg-type]
    out = b"".join(iter_merged([BytesSource("log", b"".join(LINES))], how))
    return [number for number, line in enumerate(LINES) if line in out]


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"since_ns": START_NS + SECOND_NS}, [1, 2, 3, 4]),
        ({"until_ns": START_NS + SECOND_NS}, [0]),
        ({"since_ns": START_NS + 1, "until_ns": START_NS + 3 * SECOND_NS}, [1, 2]),
        ({"since_ns": START_NS + SECOND_NS, "until_ns": START_NS + SECOND_NS}, []),
        ({"contains": "row"}, [1, 2]),
        ({"contains": b"row"}, [1, 2]),
        ({"contains": "row", "ignore_case": True}, [1, 2, 3]),
        ({"contains": "row", "invert": True}, [0, 3, 4]),
        ({"contains": "r.w"}, []),
        ({"regex": "r.w"}, [1, 2]),
        ({"regex": "r.w", "ignore_case": True}, [1, 2, 3]),
        ({"regex": '"}$'}, [0, 1, 2, 3, 4]),
        ({"contains": "row", "regex": "ok"}, [1]),
        ({"contains": "row", "regex": "ok", "invert": True}, [0, 2, 3, 4]),
        ({"contains": "row", "min_level": Level.INFO}, [1]),
    ],
)
def test_parts_must_all_agree(only: dict[str, object], numbers: list[int]) -> None:
    """A record passes when every part that was given says so; ``invert`` turns literal and expression around."""
    assert passing(**only) == numbers


@pytest.mark.parametrize(
    ("min_level", "numbers"),
    [
        (Level.UNKNOWN, [0, 1, 2, 3, 4]),
        (Level.DEBUG, [0, 1, 3, 4]),
        (Level.INFO, [1, 3, 4]),
        (Level.WARNING, [3, 4]),
        (Level.ERROR, [3, 4]),
        (Level.CRITICAL, [4]),
    ],
)
def test_a_level_lets_higher_ones_pass(min_level: Level, numbers: list[int]) -> None:
    """A record without a level passes only when no level is asked for."""
    assert passing(min_level=min_level) == numbers


def test_a_record_passes_whole() -> None:
    """A hit in a traceback brings the line that it belongs to, and all of its lines."""
    failure = b"2024-11-20T12:34:56Z failed\nTraceback:\n  in load\nKeyError\n"
    other = b"2024-11-20T12:34:57Z went on\n"
    how = How(output=Output.TEXT, only=where(contains="in load"))
    assert b"".join(iter_merged([BytesSource("log", failure + other)], how)) == failure


def test_bytes_that_are_no_text_can_be_looked_for() -> None:
    """A text with surrogate escapes, as it comes from a command line, means the bytes that it stands for."""
    lines = b"2024-11-20T12:34:56Z caf\xe9\n2024-11-20T12:34:57Z caf\xc3\xa9\n"
    how = How(output=Output.TEXT, only=where(contains="caf\udce9"))
    assert b"".join(iter_merged([BytesSource("log", lines)], how)) == lines[:26]


@pytest.mark.parametrize(
    ("regex", "position"),
    [
        ("ab(c", 2),
        ("a)", 1),
        ("[z-a]", 1),
        ("größe(", 7),
        ("*", 0),
        ("a{2,1}", 1),
        ("\\p{Nothing}", 0),
        ("(?<n>a)(?<n>b)", 10),
    ],
)
def test_a_bad_expression_says_where(regex: str, position: int) -> None:
    """The position is the byte offset at which the trouble begins, the reason a sentence."""
    with pytest.raises(BadPattern) as caught:
        where(regex=regex)
    assert (caught.value.pattern, caught.value.position) == (regex, position)
    assert caught.value.reason


@pytest.mark.parametrize("regex", ["(\\w{500}){50}", "((((a{100}){100}){100}){100}){100}"])
def test_an_expression_that_grows_too_large_is_refused(regex: str) -> None:
    """No expression takes more than its bound of memory; what is refused has no place in it."""
    with pytest.raises(BadPattern) as caught:
        where(regex=regex)
    assert caught.value.position is None


def test_an_expression_that_is_no_text_is_refused() -> None:
    """Expressions are text: one with a lone surrogate is a bad pattern, and no other error."""
    with pytest.raises(BadPattern):
        where(regex="caf\udce9")


@pytest.mark.parametrize("field", ["since_ns", "until_ns"])
@pytest.mark.parametrize("beyond", [2**63, -(2**63) - 1])
def test_a_time_beyond_all_times_is_refused(field: str, beyond: int) -> None:
    """Nanoseconds that 64 bits cannot hold are the caller's mistake."""
    with pytest.raises(UsageError, match="64 bits"):
        where(**{field: beyond})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "how",
    [
        How(zone="Mars/Olympus"),
        How(time_format="%"),
        How(time_format="%Y-%m-%d"),
        How(max_record_bytes=-1),
        How(reference_ns=2**63),
    ],
    ids=["zone", "format", "format without a clock", "size", "reference"],
)
def test_how_that_cannot_be_used_is_refused(how: How) -> None:
    """A zone, a format or a number that cannot be used is told before anything is opened."""
    with pytest.raises(UsageError):
        iter_merged([], how)
