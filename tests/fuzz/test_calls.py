"""The checks of the fuzzer, on a few inputs each."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.calls import check_calls, check_pattern, check_token


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_calls_in_any_order(data: bytes) -> None:
    """No call of the core panics, whoever makes it, and a merge of finished sources ends."""
    check_calls(data)


@given(st.binary(max_size=100) | st.builds(lambda payload: f"2.{payload}.".encode(), st.text(max_size=40)))
@example(b"1.W10.")
@example(b"2.Y2AAAA.")
@example(b"\x01\x00\x01a\x00\x05\x00\x01k\x08\x02\xff")  # of what one holds: a whole mark
def test_any_token(data: bytes) -> None:
    """What is no cursor is refused as that, whether its form or what it holds is wrong."""
    check_token(data)


@given(st.binary(max_size=20) | st.text("ab(|)[]{}*+?^$\\.-1,<>:!=PpxudDwWsSbBAz").map(str.encode))
def test_any_pattern(data: bytes) -> None:
    """Whatever a person looks for is looked for, or refused with a reason."""
    check_pattern(data)
