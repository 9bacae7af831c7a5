"""Cursors as tokens: what comes back is what was written, and nothing else is taken for one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.cursor import MAX_TOKEN_BYTES, Cursor, Mark
from logflume.errors import BadCursor, CursorExpired
from logflume.merge import How, iter_merged
from logflume.records import Identity, Output, Position
from logflume.sources.memory import BytesSource

KEY = b"a key that only this process knows"

POSITIONS = st.builds(
    Position,
    st.builds(Identity, st.text(max_size=20), st.text(string.hexdigits, max_size=32), st.integers(0, 1024)),
    st.integers(0, 2**63 - 1),
)
MARKS = st.builds(Mark, st.text(max_size=30), st.none() | POSITIONS, st.integers(-(2**63), 2**63 - 1))
CURSORS = st.builds(Cursor, st.lists(MARKS, max_size=6).map(tuple))
CURSOR = Cursor((Mark("attempt=1.log", Position(Identity("64769:1234", "00ff", 1024), 4_096), 1_732_106_096 * 10**9),))


def token_of(payload: object) -> str:
    """Write any JSON as an unsigned token."""
    return "1." + base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode() + "."


@given(CURSORS, st.binary(max_size=40), st.text(max_size=20))
def test_a_token_is_read_as_it_was_written(cursor: Cursor, key: bytes, log_id: str) -> None:
    """Any cursor, with any key and log."""
    assert Cursor.from_token(cursor.token(key=key, log_id=log_id), key=key, log_id=log_id) == cursor


@given(CURSORS)
def test_a_token_is_safe_in_a_url(cursor: Cursor) -> None:
    """It holds only letters, digits and the marks that RFC 3986 leaves as they are."""
    assert set(cursor.token(key=KEY)) <= set(string.ascii_letters + string.digits + "-_.")


@given(CURSORS, st.data())
def test_a_changed_token_is_refused(cursor: Cursor, data: st.DataObject) -> None:
    """Whichever character is another one, left out or added, a signed token is no cursor any more."""
    token = cursor.token(key=KEY, log_id="a log")
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.= \0"))
    for changed in (
        token[:at] + letter + token[at + 1 :],
        token[:at] + token[at + 1 :],
        token[:at] + letter + token[at:],
    ):
        try:
            read = Cursor.from_token(changed, key=KEY, log_id="a log")
        except BadCursor:
            continue
        assert changed == token or read == cursor  # base64 ignores the last bits of a last character


def test_a_token_of_another_log_or_key_is_refused() -> None:
    """It is signed for one log, by one key; without a key it is not signed, and refused where one is wanted."""
    token = CURSOR.token(key=KEY, log_id="log one")
    for key, log_id in ((KEY, "log two"), (b"another key", "log one"), (b"", "log one"), (KEY, "")):
        with pytest.raises(BadCursor):
            Cursor.from_token(token, key=key, log_id=log_id)
    with pytest.raises(BadCursor):
        Cursor.from_token(CURSOR.token(), key=KEY, log_id="log one")


def test_the_name_of_a_log_cannot_be_moved_into_the_payload() -> None:
    """Name and payload are signed apart: no other pair of them gives the same bytes to sign."""
    payload = json.dumps([]).encode()
    naive = hmac.new(KEY, b"log" + payload, hashlib.sha256).digest()
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"og" + payload, naive)]
    with pytest.raises(BadCursor):
        Cursor.from_token(f"1.{parts[0]}.{parts[1]}", key=KEY, log_id="l")


def test_a_token_of_another_version_says_so() -> None:
    """The reader is told what to do instead."""
    with pytest.raises(BadCursor, match="version"):
        Cursor.from_token("2" + CURSOR.token()[1:])


@pytest.mark.parametrize(
    "token", ["", "x", "1", "..", "1..", "1.a", "1.a.b.c", "1.%%%.", "1.é.", "\0", "1.W10.extra", "1.W10.\ud800"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """Text of any other shape."""
    with pytest.raises(BadCursor):
        Cursor.from_token(token)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        5,
        "text",
        {"a": 1},
        [5],
        [None],
        [[]],
        [["a"]],
        [["a", "5"]],
        [[5, 5]],
        [["a", 5, 1]],
        [["a", 5, 1, "key", "print"]],
        [["a", 5, None, "key", "print", 3]],
        [["a", 5, "x", "key", "print", 3]],
        [["a", 5, 1, "key", "print", 3, 4]],
        [["a", 5, float("nan"), "key", "print", 3]],
        [["a", 5, float("inf"), "key", "print", 3]],
        [["a", 2**63]],
    ],
)
def test_a_payload_of_another_shape_is_refused(payload: object) -> None:
    """JSON that no cursor writes, without a key that would have refused it."""
    with pytest.raises(BadCursor):
        Cursor.from_token(token_of(payload))


@pytest.mark.parametrize("text", [b"[[[", b"[" * 100_000, b"\xff", b"", b"[[1e999999999]]"])
def test_a_payload_that_is_no_json_is_refused(text: bytes) -> None:
    """Cut, nested too deep, or not even text."""
    with pytest.raises(BadCursor):
        Cursor.from_token("1." + base64.urlsafe_b64encode(text).rstrip(b"=").decode() + ".")


def test_a_token_that_is_too_long_is_refused_unread() -> None:
    """Nobody makes us decode megabytes."""
    with pytest.raises(BadCursor, match="at most"):
        Cursor.from_token("1." + "A" * MAX_TOKEN_BYTES + ".")


def test_a_thousand_sources_fit_into_a_token() -> None:
    """The bound is far from what a large log needs."""
    position = Position(Identity("64769:123456789", "f" * 32, 1024), 2**40)
    cursor = Cursor(tuple(Mark(f"task={number}/attempt=1.log", position, 2**60) for number in range(1_000)))
    token = cursor.token(key=KEY)
    assert len(token) < MAX_TOKEN_BYTES // 3
    assert Cursor.from_token(token, key=KEY) == cursor


def test_a_cursor_of_other_bytes_has_expired() -> None:
    """A token whose source holds other bytes by now is a cursor, but leads nowhere."""
    with iter_merged([BytesSource("a", b"one\n")], How(output=Output.TEXT)) as merged:
        list(merged)
        token = merged.cursor().token(key=KEY)
    cursor = Cursor.from_token(token, key=KEY)
    for sources in ([BytesSource("a", b"two\n")], [BytesSource("b", b"one\n")], []):
        with pytest.raises(CursorExpired):
            iter_merged(sources, How(output=Output.TEXT), start=cursor)
