from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.errors import UsageError
from logflume.serve import tokens
from logflume.serve.callers import Refused
from logflume.serve.smallfile import MAX_FILE_BYTES, Read, SmallFile
from logflume.serve.tokens import TokenFile, caller_of_id, find_caller, read_tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FAR_S = 4e9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where tokens are kept."""
    return tmp_path / "tokens"


def kept(path: Path) -> dict[str, tokens.Token]:
    """Return what a server reads."""
    return SmallFile(path, read_tokens).value()


def test_a_token_is_made_used_listed_and_revoked(path: Path) -> None:
    """What create gives signs its owner in with its prefixes, until it is revoked."""
    file = TokenFile(path)
    text = file.create("ci", ["dag=load/", "team_*"])
    caller = find_caller(kept(path), text, 0)
    assert (caller.name, caller.prefixes, caller.expires_s) == ("ci", ("dag=load/", "team_*"), None)
    assert [(each.name, each.id) for each in file.tokens()] == [("ci", caller.token_id)]
    assert file.revoke("ci").id == caller.token_id
    with pytest.raises(Refused, match="revoked"):
        find_caller(kept(path), text, 0)
    with pytest.raises(Refused, match="revoked"):
        caller_of_id(kept(path), caller.token_id, 0)


def test_the_file_is_private_and_holds_no_token(path: Path) -> None:
    """Its mode is 0600 whatever the umask, and the secret part of the token is not in it."""
    before = os.umask(0)
    try:
        text = TokenFile(path).create("ci", ["*"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.split("_", 2)[2] not in path.read_text()
    assert list(path.parent.iterdir()) == [path]


def test_a_token_expires(path: Path) -> None:
    """It counts up to its last second, and then is refused with a word on what to do."""
    file = TokenFile(path)
    text = file.create("ci", ["*"], valid_s=60)
    expires_s = file.tokens()[0].expires_s
    assert expires_s is not None
    assert find_caller(kept(path), text, expires_s - 1).expires_s == expires_s
    with pytest.raises(Refused, match="expired"):
        find_caller(kept(path), text, expires_s)


@given(st.text() | st.from_regex(r"lft_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_any_other_text_is_refused(text: str) -> None:
    """No text but a token of the file signs anybody in, and no refusal repeats it."""
    token = tokens.Token("0" * 16, "ci", "0" * 64, ("*",), 0, None)
    with pytest.raises(Refused) as caught:
        find_caller({token.id: token}, text, 0)
    assert caught.value.status == 401
    assert len(text) < 20 or text not in str(caught.value) + repr(caught.value)


def test_each_changed_character_counts(path: Path) -> None:
    """A token with one character changed is not that token."""
    text = TokenFile(path).create("ci", ["*"])
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(Refused):
            find_caller(kept(path), changed, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda file: file.create("ci", ["*"]), "there is a token named ci"),
        (lambda file: file.create("", ["*"]), "expected a name"),
        (lambda file: file.create("a\nb", ["*"]), "expected a name"),
        (lambda file: file.create("jwt:x", ["*"]), "expected a name"),
        (lambda file: file.create("anybody", ["*"]), "expected a name"),
        (lambda file: file.create("x", []), "at least one prefix"),
        (lambda file: file.create("x", ["a*b"]), "expected a prefix"),
        (lambda file: file.revoke("x"), "no token of that name"),
    ],
)
def test_what_cannot_be_made_or_revoked(path: Path, call: Callable[[TokenFile], object], message: str) -> None:
    """Each mistake is refused, and the file stays as it is."""
    TokenFile(path).create("ci", ["*"])
    before = path.read_bytes()
    with pytest.raises(UsageError, match=message):
        call(TokenFile(path))
    assert path.read_bytes() == before


def test_two_at_once(path: Path) -> None:
    """Tokens that are made at the same time are all kept."""
    threads = [threading.Thread(target=TokenFile(path).create, args=(f"n{number}", ["*"])) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.name for each in TokenFile(path).tokens()} == {f"n{number}" for number in range(16)}


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    """A change goes to the file that a symlink leads to."""
    (tmp_path / "real").mkdir()
    path.symlink_to("real/tokens")
    TokenFile(path).create("ci", ["*"])
    assert path.is_symlink()
    assert (tmp_path / "real" / "tokens").is_file()


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    """Neither the server nor the command trusts it, and both say what to do."""
    TokenFile(path).create("ci", ["*"])
    path.chmod(0o640)
    for call in (lambda: kept(path), TokenFile(path).tokens):
        with pytest.raises(UsageError, match=r"others can read it \(mode 0640\).*chmod 600"):
            call()


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"x",
        b"\xff",
        b'{"id":"0","name":"ci","sha256":"0","logs":[],"made":0,"expires":null}',
        b'{"id":"%s","name":"ci","sha256":"%s","logs":["a*b"],"made":0,"expires":null}' % (b"0" * 16, b"0" * 64),
        b'{"id":"%s","name":"ci","sha256":"%s","logs":[],"made":0,"expires":"x"}' % (b"0" * 16, b"0" * 64),
        b'{"id":"%s","name":"ci","sha256":"%s","logs":[],"made":0,"expires":true}' % (b"0" * 16, b"0" * 64),
        b"[" * 100_000,
    ],
)
def test_lines_that_are_not_ours(line: bytes) -> None:
    """A damaged line is an error that names it: dropping it in silence could keep somebody out, or let him in."""
    with pytest.raises(UsageError, match="line 2 is not as"):
        read_tokens(Read(b"\n" + line + b"\n", 0o600))


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    """Whatever the file holds, it is tokens or an error."""
    try:
        read_tokens(Read(data, 0o600))
    except UsageError as error:
        assert "line" in str(error)  # noqa: PT017 - most files are refused, and some are not


def test_too_many_tokens(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is bounded, in the file and when one is made."""
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    file = TokenFile(path)
    file.create("a", ["*"])
    file.create("b", ["*"])
    with pytest.raises(UsageError, match="there are 2 tokens"):
        file.create("c", ["*"])
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UsageError, match="at most 2"):
        file.tokens()


def test_a_file_is_read_again_when_it_changes(path: Path) -> None:
    """A server sees what was revoked, and a file that is gone or damaged lets nobody in any more."""
    file = TokenFile(path)
    file.create("a", ["*"])
    seen = SmallFile(path, read_tokens)
    assert not seen.is_due()
    file.create("b", ["*"])
    assert len(seen.value()) == 1
    seen.look()
    assert len(seen.value()) == 2
    file.revoke("a")
    seen.look()
    assert [each.name for each in seen.value().values()] == ["b"]
    good = path.read_bytes()
    path.write_bytes(b"damaged\n")
    seen.look()
    with pytest.raises(UsageError, match=f"{path}: line 1"):
        seen.value()
    path.unlink()
    seen.look()
    with pytest.raises(UsageError, match=f"{path}: cannot be read"):
        seen.value()
    path.touch(0o600)
    path.write_bytes(good)
    seen.look()
    assert len(seen.value()) == 1


def test_files_that_cannot_be_used(path: Path) -> None:
    """A missing file, a folder, a pipe and one that is too large are refused by name, at once."""
    with pytest.raises(UsageError, match=r"tokens: cannot be read: No such file"):
        kept(path)
    with pytest.raises(UsageError, match="Is a directory"):
        kept(path.parent)
    os.mkfifo(path, 0o600)
    with pytest.raises(UsageError, match="expected a file"):
        kept(path)
    path.unlink()
    path.touch(0o600)
    os.truncate(path, MAX_FILE_BYTES + 1)
    with pytest.raises(UsageError, match="at most"):
        kept(path)
    assert TokenFile(path.with_name("none")).tokens() == []
    with pytest.raises(UsageError, match="No such file"):
        TokenFile(path.parent / "x" / "y").create("a", ["*"])
