"""Who asks, and what they may read.

Holds: a caller reads a log only when one of its prefixes covers the log's id; none covers an id that leaves its folder.

A prefix ends at a folder: ``dag_id=load`` is the log or folder of that name and everything in it, and not
``dag_id=load_secret``. With a star at its end it is text: ``dag_id=load*`` is both. ``*`` alone is every log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_PREFIXES = 100
MAX_PREFIX_CHARS = 1024

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|(?:^|/)\.{0,2}/|(?:^|/)\.{1,2}$")
"""A control character, or a part of a path that is empty, ``.`` or ``..``; a ``/`` at the end is none of these."""


class Refused(Exception):
    """A request that its caller may not make; holds nothing that the caller sent.

    Attributes:
        status: of HTTP: 401 who are you, 403 not you, 503 this cannot be told at the moment.
        type: a stable word for programs.
        detail: one plain sentence for people.
        headers: of the answer.
    """

    def __init__(self, status: int, type_: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.type = type_
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(detail)


def not_signed_in(detail: str, error: str = "") -> Refused:
    """Return the refusal of somebody who has not said who they are, or not so that it can be believed."""
    challenge = 'Bearer realm="logflume"' + (f', error="{error}"' if error else "")
    return Refused(401, "not-signed-in", detail, {"WWW-Authenticate": challenge})


def bad_token(detail: str) -> Refused:
    """Return the refusal of a token."""
    return not_signed_in(detail, "invalid_token")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks.

    Attributes:
        name: of the token; ``jwt:`` and the subject of a JSON web token. Safe to show.
        prefixes: which logs they may read.
        signed_in: False for everybody at a server where nobody signs in.
        expires_s: when this ends, in seconds since 1970; None: it does not.
        token_id: of the token they signed in with, when that is one of ours.
    """

    name: str
    prefixes: tuple[str, ...]
    signed_in: bool = True
    expires_s: float | None = None
    token_id: str | None = None

    def may_read(self, log_id: str) -> bool:
        """Tell whether a log is theirs to read, whether or not there is such a log."""
        return not _UNSAFE.search(log_id) and any(_covers(prefix, log_id) for prefix in self.prefixes)

    def narrow(self, prefix: str = "") -> tuple[str, ...]:
        """Return prefixes, as text, under which all logs lie that start with ``prefix`` and may be read.

        None of them covers another, and they are sorted: listing one after the other is in order of the ids. What is
        listed is still to be asked for with ``may_read``.
        """
        bases = [each[:-1] if each.endswith("*") else each.rstrip("/") for each in self.prefixes]
        wanted = sorted({max(base, prefix, key=len) for base in bases if base.startswith(prefix[: len(base)])})
        kept: list[str] = []
        for each in wanted:
            if not kept or not each.startswith(kept[-1]):
                kept.append(each)
        return tuple(kept)

    def check(self, log_id: str) -> None:
        """Refuse to show a log that is not theirs to read.

        Raises:
            Refused: the same, whether or not there is such a log.
        """
        if not self.may_read(log_id):
            raise Refused(403, "not-allowed", "You may not read this log; ask whoever gave you your token.")


ANYBODY = Caller("anybody", ("*",), signed_in=False)
"""The caller at a server where nobody signs in."""


def _covers(prefix: str, log_id: str) -> bool:
    if prefix.endswith("*"):
        return log_id.startswith(prefix[:-1])
    folder = prefix.rstrip("/")
    return log_id == folder or log_id.startswith(folder + "/")


def parse_prefixes(texts: Iterable[object]) -> tuple[str, ...]:
    """Check prefixes that somebody wrote.

    Raises:
        UsageError: one that can cover nothing, or too many; with what was expected, and not what was given.
    """
    prefixes = tuple(_parse_prefix(text) for text in texts)
    if len(prefixes) > MAX_PREFIXES:
        raise UsageError(f"expected at most {MAX_PREFIXES} prefixes of logs")
    return prefixes


def _parse_prefix(text: object) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_PREFIX_CHARS or "*" in text[:-1] or _UNSAFE.search(text):
        raise UsageError(
            "expected a prefix of ids of logs, such as dag_id=load/ (all in it), team_* (all that begins so), * (all); "
            f"no part of it is empty, . or .., and it has at most {MAX_PREFIX_CHARS} characters"
        )
    return text
