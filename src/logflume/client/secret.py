"""The token with which a client says who it is.

Holds: it is sent in a header, to one server, and is nowhere else: not in an address, an error, or what ``repr`` shows.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from logflume.boundedfile import read_bounded
from logflume.errors import UsageError

VARIABLE = "LOGFLUME_TOKEN"
FILE_VARIABLE = "LOGFLUME_TOKEN_FILE"

MAX_FILE_BYTES = 64 * 1024
"""A larger file holds no token."""

_SENDABLE = re.compile(r"[\x21-\x7e]+")


class Token:
    """A token, where it comes from, and what it is at the moment. A file is read again when its token is refused."""

    def __init__(self, token: str | None = None, file: str | os.PathLike[str] | None = None) -> None:
        """Take a token; else that of a file; else what the environment has, which may be none.

        Raises:
            UsageError: both are given, or it cannot be read or sent.
        """
        if token is not None and file is not None:
            raise UsageError("give a token or a file with one, not both")
        if token is None and file is None:
            token, file = os.environ.get(VARIABLE) or None, os.environ.get(FILE_VARIABLE) or None
        self._file = None if file is None or token is not None else Path(file)
        self._text = _checked(token, "the token") if token is not None else None
        self.read_again()

    def __repr__(self) -> str:
        return f"<{'no ' if self._text is None else ''}token>"

    def read_again(self) -> bool:
        """Read the file, if there is one; tell whether there is another token now.

        Raises:
            UsageError: it cannot be read, or holds none.
        """
        if self._file is None:
            return False
        before, self._text = self._text, _read(self._file)
        return self._text != before

    def headers(self) -> dict[str, str]:
        """Return what is sent."""
        return {} if self._text is None else {"Authorization": f"Bearer {self._text}"}


def _read(path: Path) -> str:
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return _checked(data.decode("latin-1").strip(), str(path))


def _checked(text: str, where: str) -> str:
    if not _SENDABLE.fullmatch(text):
        raise UsageError(f"{where}: expected a token: letters, digits and signs on one line")
    return text
