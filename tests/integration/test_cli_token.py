from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from logflume.serve.smallfile import SmallFile
from logflume.serve.tokens import find_caller, read_tokens
from tests.integration.command import run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """The token alone is on standard output and signs in; it is listed without its secret, and gone when revoked."""
    environ: dict[str, Any] = {"LOGFLUME_SERVE_TOKENS_FILE": str(tmp_path / "tokens")}
    made = run("token", "create", "ci", "--logs", "a/", "--logs", "b*", "--days", "2", **environ)
    assert (made.code, len(made.text.splitlines())) == (0, 1)
    token = made.text.strip()
    assert token not in made.err
    caller = find_caller(SmallFile(tmp_path / "tokens", read_tokens).value(), token, 0)
    assert (caller.name, caller.prefixes) == ("ci", ("a/", "b*"))
    listed = run("token", "list", "--json", **environ)
    row = json.loads(listed.text)
    assert (row["name"], row["id"], row["logs"]) == ("ci", caller.token_id, ["a/", "b*"])
    shown = run("token", "list", **environ)
    assert "a/ b*" in shown.text
    assert token.split("_", 2)[2] not in listed.text + shown.text
    assert run("token", "revoke", "ci", **environ).text == f"revoked ci ({caller.token_id})\n"
    assert run("token", "list", **environ).text.splitlines() == ["name  id  made  expires  logs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["token", "create", "ci", "--logs", "/a", "--tokens-file", "t"], "expected a prefix"),
        (["token", "create", "ci", "--tokens-file", "t"], "Missing option '--logs'"),
        (["token", "create", "ci", "--logs", "*", "--days", "0", "--tokens-file", "t"], "--days"),
        (["token", "create", "ci", "--logs", "*"], "Missing option '--tokens-file'"),
        (["token", "create", "ci", "--logs", "*", "--tokens-file", "none/t"], "none: No such file or directory"),
        (["token", "revoke", "ci", "--tokens-file", "t"], "no token of that name"),
        (["token", "crate"], "No such command 'crate'"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], message: str) -> None:
    """Each is one line on stderr and the exit code 2."""
    done = run(*words, cwd=tmp_path)
    assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1)
    assert message in done.err
