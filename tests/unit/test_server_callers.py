from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.errors import UsageError
from logflume.serve.callers import ANYBODY, MAX_PREFIXES, Caller, Refused, parse_prefixes

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = st.builds(str.__add__, st.text("ab/", min_size=1, max_size=4), st.sampled_from(["", "*"]))


@pytest.mark.parametrize(
    ("prefix", "covered", "not_covered"),
    [
        ("*", ["a", "a/b.log", "", "a/"], []),
        ("dag=load", ["dag=load", "dag=load/", "dag=load/x.log"], ["dag=load2/x.log", "dag=loa", "x/dag=load/y"]),
        ("dag=load/", ["dag=load", "dag=load/", "dag=load/x.log"], ["dag=load2/x.log"]),
        ("dag=load*", ["dag=load/x.log", "dag=load2/x.log"], ["dag=loa/x.log", "x/dag=load"]),
        ("a/b.log", ["a/b.log", "a/b.log/x"], ["a/b.log.gz", "a/b"]),
    ],
)
def test_what_a_prefix_covers(prefix: str, covered: list[str], not_covered: list[str]) -> None:
    """A prefix ends at a folder; with a star it ends anywhere."""
    caller = Caller("x", (prefix,))
    assert [log_id for log_id in covered + not_covered if caller.may_read(log_id)] == covered


@pytest.mark.parametrize("log_id", ["a/../b", "../b", "a/..", "/etc/passwd", "a//b", "./a", "a/.", "..", "a\0", "a\nb"])
@pytest.mark.parametrize("prefixes", [("*",), ("a",), ("",), ("..",)])
def test_what_no_prefix_covers(log_id: str, prefixes: tuple[str, ...]) -> None:
    """An id that could leave its folder, or has control characters, is nobody's."""
    assert not Caller("x", prefixes).may_read(log_id)


def test_refusals_do_not_tell_whether_there_is_such_a_log() -> None:
    """Whoever may not read a log gets one answer, whatever it is called."""
    texts = set()
    for log_id in ["secret/x.log", "none"]:
        with pytest.raises(Refused) as caught:
            Caller("x", ("mine/",)).check(log_id)
        texts.add((caught.value.status, caught.value.detail))
    assert len(texts) == 1
    ANYBODY.check("any.log")


@given(st.lists(PREFIX, max_size=4), st.text("ab/", max_size=4), st.lists(st.text("ab/", max_size=6), max_size=20))
def test_listing_by_narrowed_prefixes_finds_all_that_may_be_read(
    prefixes: Sequence[str], prefix: str, ids: Sequence[str]
) -> None:
    """Going through the narrowed prefixes gives each log once, in order, and the same as looking at all of them."""
    caller = Caller("x", tuple(prefixes))
    wanted = [each for each in sorted(set(ids)) if each.startswith(prefix) and caller.may_read(each)]
    narrowed = caller.narrow(prefix)
    found = [each for part in narrowed for each in sorted(set(ids)) if each.startswith(part) and caller.may_read(each)]
    assert found == wanted


def test_narrowing_passes_over_foreign_folders() -> None:
    """A caller of two folders does not have the others listed."""
    caller = Caller("x", ("b/", "a/c*", "a/c/d"))
    assert caller.narrow() == ("a/c", "b")
    assert caller.narrow("a/") == ("a/c",)
    assert caller.narrow("b/x") == ("b/x",)
    assert caller.narrow("c") == ()


@pytest.mark.parametrize(
    "wrong", ["", "a*b", "**", "/a", "a//b", "../a", "a/..", ".", "a\n", "a\0b", "x" * 1025, 1, None, ["a"]]
)
def test_prefixes_that_cannot_be(wrong: object) -> None:
    """What covers nothing, or too much by mistake, is refused with what was expected."""
    with pytest.raises(UsageError, match="expected a prefix"):
        parse_prefixes(["a/", wrong])


def test_too_many_prefixes() -> None:
    """Their number is bounded."""
    assert len(parse_prefixes(["a"] * MAX_PREFIXES)) == MAX_PREFIXES
    with pytest.raises(UsageError, match="at most 100"):
        parse_prefixes(["a"] * (MAX_PREFIXES + 1))
