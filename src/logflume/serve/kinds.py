"""What the value of a setting may be, and how it is read from text or TOML.

Holds: a value that does not fit is a ``ValueError`` without the value in it: somebody may have pasted a secret.
Plan:  one small class a kind; each says in words what it expects, for errors and for the reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

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
