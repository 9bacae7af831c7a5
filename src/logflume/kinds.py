"""What the value of a setting may be, and how it is read from text or TOML.

Holds: a value that does not fit is a ``ValueError`` without the value in it: somebody may have pasted a secret.
Plan:  one small class a kind; each says in words what it expects, for errors and for the reference.
"""

from __future__ import annotations

import enum
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from logflume.boundedfile import read_bounded
from logflume.sizes import parse_size

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=enum.Enum)

MAX_SECRET_BYTES = 64 * 1024

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")


class Kind(Protocol[T_co]):
    """Reads one value."""

    @property
    def expected(self) -> str:
        """Say in words what a value is, to follow "expected"."""
        ...

    def read(self, value: object, base: Path) -> T_co:
        """Make a value of text or of what TOML has; ``base`` is where relative paths start.

        Raises:
            ValueError: it is none.
        """
        ...


@dataclass(frozen=True)
class Text:
    """Text of one line, at least one character; perhaps of a certain shape."""

    expected: str = "text of one line"
    shape: str = r".+"

    def read(self, value: object, base: Path) -> str:
        """Take it as it is."""
        del base
        if not isinstance(value, str) or _CONTROL.search(value) or not re.fullmatch(self.shape, value):
            raise ValueError(self.expected)
        return value


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        """Name them."""
        return f"one of {', '.join(self.words)}"

    def read(self, value: object, base: Path) -> str:
        """Compare."""
        del base
        if value not in self.words:
            raise ValueError(self.expected)
        return str(value)


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int

    @property
    def expected(self) -> str:
        """Name the bounds."""
        return f"a whole number from {self.least:_} to {self.most:_}"

    def read(self, value: object, base: Path) -> int:
        """Take a number, or its digits, with or without ``_`` between them."""
        del base
        if isinstance(value, str) and re.fullmatch(r"-?[0-9](_?[0-9]){0,30}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(self.expected)
        return value


@dataclass(frozen=True)
class YesNo:
    """Yes or no."""

    expected: str = "true or false"

    def read(self, value: object, base: Path) -> bool:
        """Take a truth value, or a word for it."""
        del base
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in (*_YES, *_NO):
            return value.lower() in _YES
        raise ValueError(self.expected)


@dataclass(frozen=True)
class APath:
    """A path; it need not exist yet."""

    expected: str = "a path"

    def read(self, value: object, base: Path) -> Path:
        """Join it to where relative paths start; ``~`` is the home of this user."""
        if isinstance(value, Path):
            return base / value
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(self.expected)
        try:
            return base / Path(value).expanduser()
        except RuntimeError:
            raise ValueError(self.expected) from None


@dataclass(frozen=True)
class ListOf(Generic[T]):
    """Any number of values of one kind, as a list; in an environment variable with a separator between them."""

    kind: Kind[T]
    separator: str

    @property
    def expected(self) -> str:
        """Name what each is."""
        return f"a list, each {self.kind.expected} (in the environment with `{self.separator}` between them)"

    def read(self, value: object, base: Path) -> tuple[T, ...]:
        """Read each."""
        if isinstance(value, str):
            value = [part for part in value.split(self.separator) if part]
        if not isinstance(value, list | tuple):
            raise ValueError(self.expected)  # noqa: TRY004 - all kinds raise the same
        try:
            return tuple(self.kind.read(each, base) for each in value)
        except ValueError:
            raise ValueError(self.expected) from None


@dataclass(frozen=True)
class Seconds:
    """A time in seconds, with or without a fraction."""

    least: float = 0.0
    most: float = 31_536_000.0

    @property
    def expected(self) -> str:
        """Name the bounds."""
        return f"seconds, from {self.least:g} to {self.most:.0f}"

    def read(self, value: object, base: Path) -> float:
        """Take a number, or its digits."""
        del base
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", value, re.ASCII):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise ValueError(self.expected)
        if not self.least <= value <= self.most:
            raise ValueError(self.expected)
        return float(value)


@dataclass(frozen=True)
class Number:
    """A number, with or without a fraction."""

    least: float
    most: float

    @property
    def expected(self) -> str:
        """Name the bounds."""
        return f"a number from {self.least:g} to {self.most:g}"

    def read(self, value: object, base: Path) -> float:
        """Take a number."""
        del base
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise ValueError(self.expected)
        return float(value)


@dataclass(frozen=True)
class Size:
    """A number of bytes, as a number or as people write it."""

    least: int = 0
    expected: str = 'a size such as 4096, "830MB" or "1.5GiB"'

    def read(self, value: object, base: Path) -> int:
        """Take a number of bytes, or a size."""
        del base
        try:
            size_bytes = parse_size(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(self.expected) from None
        if isinstance(size_bytes, bool) or not isinstance(size_bytes, int):
            raise ValueError(self.expected)  # noqa: TRY004 - all kinds raise the same
        if size_bytes < self.least:
            raise ValueError(f"{self.expected}, at least {self.least}")
        return size_bytes


@dataclass(frozen=True)
class Member(Generic[E]):
    """A member of an enum, by its value."""

    members: type[E]

    @property
    def expected(self) -> str:
        """Name them."""
        return f"one of {', '.join(str(each.value) for each in self.members)}"

    def read(self, value: object, base: Path) -> E:
        """Find it."""
        del base
        try:
            return self.members(value)
        except ValueError:
            raise ValueError(self.expected) from None


@dataclass(frozen=True)
class Words:
    """A command as the list of its words; no shell is used."""

    expected: str = 'a list of words such as ["airflow", "scheduler"]'

    def read(self, value: object, base: Path) -> tuple[str, ...]:
        """Take each as it is."""
        del base
        if not isinstance(value, list | tuple) or not value or not value[0]:
            raise ValueError(self.expected)
        if not all(isinstance(word, str) and "\0" not in word for word in value):
            raise ValueError(self.expected)
        return tuple(value)


@dataclass(frozen=True)
class Pairs:
    """Names with a text each."""

    expected: str = 'a table of names and texts such as {TZ = "UTC"}'

    def read(self, value: object, base: Path) -> dict[str, str]:
        """Take each as it is."""
        del base
        if not isinstance(value, dict):
            raise ValueError(self.expected)  # noqa: TRY004 - all kinds raise the same
        for name, text in value.items():
            if not name or "=" in name or not isinstance(text, str) or "\0" in name + text:
                raise ValueError(self.expected)
        return dict(value)


@dataclass(frozen=True)
class Secret:
    """A secret: where it is, ``env:NAME`` or ``file:PATH``; or itself, where the file of settings is kept secret."""

    expected: str = "env:NAME, file:PATH, or the secret itself"

    def read(self, value: object, base: Path) -> str:
        """Fetch it; a newline at the end of a file is no part of it."""
        if not isinstance(value, str) or not value:
            raise ValueError(self.expected)
        kind, _, rest = value.partition(":")
        if kind == "env":
            if not os.environ.get(rest):
                raise ValueError(f"a value in the environment variable {rest}")
            return os.environ[rest]
        if kind == "file":
            return _read_secret(base / Path(rest).expanduser())
        return value


@dataclass(frozen=True)
class Held:
    """A secret that may change while it is used: a token that somebody writes anew into its file, say."""

    where: str
    base: Path

    def read(self) -> str:
        """Return it as it is now.

        Raises:
            ValueError: it is not there; with what was expected.
        """
        return Secret().read(self.where, self.base)

    def __repr__(self) -> str:
        return "Held(…)"


@dataclass(frozen=True)
class HeldSecret:
    """As ``Secret``; it is read again whenever it is used."""

    expected: str = Secret.expected

    def read(self, value: object, base: Path) -> Held:
        """See that it is there."""
        Secret().read(value, base)
        return Held(str(value), base)


def _read_secret(path: Path) -> str:
    try:
        data = read_bounded(path, MAX_SECRET_BYTES)
    except OSError as error:
        raise ValueError(f"a secret in {path}, which cannot be read: {error.strerror}") from None
    return data.decode("utf-8", "replace").rstrip("\r\n")
