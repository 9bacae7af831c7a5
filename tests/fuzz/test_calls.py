"""The checks of the fuzzer, on a few inputs each."""

from __future__ import annotations

import base64
import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.calls import check_calls, check_pattern, check_token

# What a token holds, whole or bitten, signed by nobody.
payloads = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["a", 0, "1:2"]),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_calls_in_any_order(data: bytes) -> None:
    """No call of the core panics, whoever makes it, and a merge of finished sources ends."""
    check_calls(data)


@given(st.binary(max_size=100) | st.builds(lambda payload: f"1.{payload}.".encode(), st.text(max_size=40)))
@example(b"1.W10.")
def test_any_token(data: bytes) -> None:
    """What is no cursor is refused as that."""
    check_token(data)


@given(payloads)
@example([["a", 5, 2**70, "k", "f", 0]])
def test_any_payload_of_a_token(payload: object) -> None:
    """JSON that is no cursor is refused as that."""
    encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=")
    check_token(b"1." + encoded + b".")


@given(st.binary(max_size=20) | st.text("ab(|)[]{}*+?^$\\.-1,<>:!=PpxudDwWsSbBAz").map(str.encode))
def test_any_pattern(data: bytes) -> None:
    """Whatever a person looks for is looked for, or refused with a reason."""
    check_pattern(data)
