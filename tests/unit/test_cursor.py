"""Cursors as tokens: what comes back is what was written, and nothing else is taken for one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.cursor import MAX_PAYLOAD_BYTES, MAX_TOKEN_BYTES, Cursor, Mark
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
CURSORS = st.builds(Cursor, st.lists(MARKS, max_size=6).map(tuple), st.none() | st.text(max_size=20))
CURSOR = Cursor((Mark("attempt=1.log", Position(Identity("64769:1234", "00ff", 1024), 4_096), 1_732_106_096 * 10**9),))


def token_of(written: bytes) -> str:
    """Deflate bytes into an unsigned token."""
    packer = zlib.compressobj(wbits=-15)
    return "2." + encoded(packer.compress(written) + packer.flush()) + "."


def encoded(payload: bytes) -> str:
    """Write bytes as a part of a token."""
    return base64.urlsafe_b64encode(payload).rstrip(b"=").decode()


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
    payload = base64.urlsafe_b64decode(Cursor(()).token().split(".")[1] + "==")
    naive = hmac.new(KEY, b"log" + payload, hashlib.sha256).digest()[:16]
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"og" + payload, naive)]
    with pytest.raises(BadCursor):
        Cursor.from_token(f"2.{parts[0]}.{parts[1]}", key=KEY, log_id="l")


def test_a_token_of_another_version_says_so() -> None:
    """The reader is told what to do instead; so is who still has one of the first version."""
    for version in ("1", "3"):
        with pytest.raises(BadCursor, match="version"):
            Cursor.from_token(version + CURSOR.token()[1:])


@pytest.mark.parametrize(
    "token", ["", "x", "2", "..", "2..", "2.a", "2.a.b.c", "2.%%%.", "2.é.", "\0", "2.Y2AAAA.extra", "2.Y2AAAA.\ud800"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """Text of any other shape."""
    with pytest.raises(BadCursor):
        Cursor.from_token(token)


@given(st.binary(max_size=200))
def test_bytes_of_another_shape_are_refused_or_a_cursor(written: bytes) -> None:
    """Whatever is deflated, without a key that would have refused it, nothing but BadCursor comes of it."""
    try:
        cursor = Cursor.from_token(token_of(written))
    except BadCursor:
        return
    assert Cursor.from_token(cursor.token()) == cursor


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\x01",
        b"\xff" * 20,
        b"\xff\xff\xff\xff\x7f",  # marks by the milliard
        b"\x01\x00\x7fa\x00\x00",  # a text that ends too soon
        b"\x01\x00\x01\xff\x00\x00",  # no UTF-8
        b"\x01\x00\x01a" + b"\xff" * 9 + b"\x03" + b"\x00",  # a time of more than 64 bits
        b"\x00\x00\x01a\x00",  # something behind the end
    ],
)
def test_bytes_that_are_no_cursor_are_refused(written: bytes) -> None:
    """Cut, out of range, or too long."""
    with pytest.raises(BadCursor):
        Cursor.from_token(token_of(written))


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x00" * 50, zlib.compress(b"\x00")])
def test_a_payload_that_cannot_be_inflated_is_refused(payload: bytes) -> None:
    """Cut, something else, or of another format."""
    with pytest.raises(BadCursor):
        Cursor.from_token(f"2.{encoded(payload)}.")


def test_what_becomes_too_large_is_refused() -> None:
    """However short it is: zeros by the megabyte, and texts that repeat those before them."""
    name = b"\x00\xc0\x84\x3d" + b"a" * 1_000_000
    again = b"\xc0\x84\x3d\x00" * 50
    for written in (bytes(MAX_PAYLOAD_BYTES + 1), b"\x33" + name + again):
        with pytest.raises(BadCursor):
            Cursor.from_token(token_of(written))


def test_a_token_that_is_too_long_is_refused_unread() -> None:
    """Nobody makes us decode megabytes."""
    with pytest.raises(BadCursor, match="at most"):
        Cursor.from_token("2." + "A" * MAX_TOKEN_BYTES + ".")


def many(count: int) -> Cursor:
    """Return a cursor as a folder of so many logs has it: inodes, times, sizes and digests that nobody can guess."""
    luck = random.Random(count)

    def position() -> Position:
        key = f"64769:{luck.randrange(10**6, 10**8)}"
        return Position(Identity(key, luck.randbytes(16).hex(), 1024), luck.randrange(2**30))

    names = [f"run_id=manual/task_id=step_{number}/attempt=1.log" for number in range(count)]
    return Cursor(tuple(Mark(name, position(), 1_732_106_096 * 10**9 + luck.randrange(10**12)) for name in names))


@pytest.mark.parametrize(("sources", "most_bytes"), [(1, 160), (5, 400), (50, 3_000), (1_000, 52_000)])
def test_how_long_a_token_is(sources: int, most_bytes: int) -> None:
    """A poll of a few sources is small, and a thousand sources fit into what servers take as an address."""
    token = many(sources).token(key=KEY)
    assert len(token) <= most_bytes
    assert Cursor.from_token(token, key=KEY) == many(sources)


def test_a_cursor_of_other_bytes_has_expired() -> None:
    """A token whose source holds other bytes by now is a cursor, but leads nowhere."""
    with iter_merged([BytesSource("a", b"one\n")], How(output=Output.TEXT)) as merged:
        list(merged)
        token = merged.cursor().token(key=KEY)
    cursor = Cursor.from_token(token, key=KEY)
    for sources in ([BytesSource("a", b"two\n")], [BytesSource("b", b"one\n")], []):
        with pytest.raises(CursorExpired):
            iter_merged(sources, How(output=Output.TEXT), start=cursor)
