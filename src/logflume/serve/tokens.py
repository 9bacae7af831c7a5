"""Tokens that are made by us: handed out once, kept as hashes in one file.

Holds: the file has the mode 0600 and no token in it; who reads it can sign in as nobody. Each change replaces it whole,
       and two at once come one after the other.
Plan:  a token is ``lft_<id>_<secret>``. The id finds the row, and the SHA-256 of the whole is compared in constant
       time. The secret has 256 random bits, so a slow hash would protect nothing that a fast one does not.
       A row is one line of JSON: ``{"id", "name", "sha256", "logs", "made", "expires"}``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.serve.callers import ANYBODY, Caller, bad_token, parse_prefixes
from logflume.serve.smallfile import Read, read_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_TOKENS = 10_000

MARK = "lft_"
"""How each begins, so that programs that look for leaked secrets can find it."""

_TOKEN = re.compile(r"lft_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token.

    Attributes:
        id: public; the part of the token between its underscores.
        name: whose it is; unique in its file.
        sha256: of the whole token, in hex.
        logs: prefixes of logs that may be read with it.
        made_s: when, in seconds since 1970.
        expires_s: when it ends; None: it does not.
    """

    id: str
    name: str
    sha256: str
    logs: tuple[str, ...]
    made_s: int
    expires_s: int | None

    def caller(self) -> Caller:
        """Return who comes with it."""
        return Caller(self.name, self.logs, expires_s=self.expires_s, token_id=self.id)


def find_caller(tokens: Mapping[str, Token], text: str, now_s: float) -> Caller:
    """Return who a token belongs to.

    Raises:
        Refused: it is none of ours, or has ended.
    """
    parts = _TOKEN.fullmatch(text)
    token = tokens.get(parts[1]) if parts else None
    if token is None or not hmac.compare_digest(token.sha256, _hash(text)):
        raise bad_token("This token is not known here, or was revoked.")
    return caller_of_id(tokens, token.id, now_s)


def caller_of_id(tokens: Mapping[str, Token], token_id: str | None, now_s: float) -> Caller:
    """Return who a token of that id belongs to; for one that has been shown before.

    Raises:
        Refused: it was revoked, or has ended.
    """
    token = tokens.get(token_id or "")
    if token is None:
        raise bad_token("This token is not known here, or was revoked.")
    if token.expires_s is not None and now_s >= token.expires_s:
        raise bad_token("This token has expired; ask for a new one.")
    return token.caller()


def read_tokens(read: Read) -> dict[str, Token]:
    """Return the tokens that a file keeps, by id.

    Raises:
        UsageError: others can read it, or a line is not as we write them.
    """
    if not read.is_private():
        raise UsageError(f"others can read it (mode {read.mode:04o}), and it holds tokens: chmod 600 it")
    lines = read.data.splitlines()
    if len(lines) > MAX_TOKENS:
        raise UsageError(f"expected at most {MAX_TOKENS} tokens")
    found = [_parse(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    return {token.id: token for token in found}


class TokenFile:
    """The file, for who makes, lists and revokes tokens. It is made with the first of them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()

    def tokens(self) -> list[Token]:
        """Return what it keeps, in the order they were made; nothing when it is not there.

        Raises:
            UsageError: it cannot be read or is not as we write it.
        """
        try:
            return list(read_tokens(read_small(self._path)).values())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be read: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"{self._path}: {error}") from None

    def create(self, name: str, logs: Iterable[str], *, valid_s: int | None = None) -> str:
        """Make a token and keep its hash; the text returned is kept nowhere.

        Raises:
            UsageError: the name is taken or none, a prefix cannot be one, or there are too many tokens.
        """
        if not _NAME.fullmatch(name) or name == ANYBODY.name:
            raise UsageError(
                f"expected a name of 1 to 64 letters, digits, or ._@- (not in front), and not {ANYBODY.name}"
            )
        prefixes = parse_prefixes(logs)
        if not prefixes:
            raise UsageError("expected at least one prefix of logs; * for all")
        token_id = secrets.token_hex(8)
        text = f"{MARK}{token_id}_{secrets.token_urlsafe(32)}"
        now_s = int(time.time())
        token = Token(token_id, name, _hash(text), prefixes, now_s, None if valid_s is None else now_s + valid_s)
        with self._changing() as tokens:
            if any(each.name == name for each in tokens):
                raise UsageError(f"there is a token named {name}; revoke it first, or take another name")
            if len(tokens) >= MAX_TOKENS:
                raise UsageError(f"there are {MAX_TOKENS} tokens; revoke some")
            self._replace([*tokens, token])
        return text

    def revoke(self, name: str) -> Token:
        """Take a token back, by its name or id.

        Raises:
            UsageError: there is none.
        """
        with self._changing() as tokens:
            gone = next((each for each in tokens if name in (each.name, each.id)), None)
            if gone is None:
                raise UsageError(f"there is no token of that name or id in {self._path}")
            self._replace([each for each in tokens if each != gone])
        return gone

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """Give what it keeps while nobody else changes it. What is locked is the folder: the file is replaced."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"{self._path.parent}: {error.strerror}") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield self.tokens()
            os.fsync(folder)
        finally:
            os.close(folder)

    def _replace(self, tokens: Sequence[Token]) -> None:
        target = self._path.resolve()  # a symlink stays one
        descriptor, new = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(_line(token) for token in tokens)
                file.flush()
                os.fsync(descriptor)
            Path(new).replace(target)
        except BaseException:
            Path(new).unlink(missing_ok=True)
            raise


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _line(token: Token) -> bytes:
    row = asdict(token)
    row |= {"made": row.pop("made_s"), "expires": row.pop("expires_s")}
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes, number: int) -> Token:
    try:
        row = json.loads(line)
        texts = (_fitting(_ID, row["id"]), _fitting(_NAME, row["name"]), _fitting(_HASH, row["sha256"]))
        return Token(*texts, parse_prefixes([*row["logs"]]), _seconds(row["made"]), _ending(row["expires"]))
    except (ValueError, TypeError, KeyError, RecursionError, UsageError):
        raise UsageError(f"line {number} is not as logflume token wrote it; remove that line") from None


def _fitting(shape: re.Pattern[str], text: str) -> str:
    if not shape.fullmatch(text):
        raise ValueError(shape.pattern)
    return text


def _seconds(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value


def _ending(value: object) -> int | None:
    return None if value is None else _seconds(value)
