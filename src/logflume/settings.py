"""Settings as dataclasses declare them, read from TOML.

Holds: a value is used only when its kind fits, and an unknown key is refused: no mistake is passed over in silence.
       No error holds a value: somebody may have pasted a secret.
Plan:  ``setting`` declares a field with its kind and its meaning; ``read_table`` makes a dataclass of a table.
       References and flags are made of the same declarations.
Memory: a file of MAX_FILE_BYTES at most.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from logflume.boundedfile import read_bounded
from logflume.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from logflume.kinds import Kind

T = TypeVar("T")

MAX_FILE_BYTES = 1024 * 1024

_MAX_SHOWN = 100
_NEAR_ENOUGH = 0.5


class BadSetting(UsageError):
    """A setting that cannot be used.

    Attributes:
        where: the file, variable or flag it is in.
        key: its name there.
        expected: what was expected, in words.
    """

    def __init__(self, where: str, key: str, expected: str) -> None:
        self.where = where
        self.key = key
        self.expected = expected
        place = where if where == key else f"{where}: {key}"
        super().__init__(f"{place}: {expected}")


def setting(kind: Kind[T], default: T | None, meaning: str) -> T:
    """Declare one setting; None is its default when it is not set."""
    return cast("T", dataclasses.field(default=default, metadata={"kind": kind, "meaning": meaning}))


def required(kind: Kind[T], meaning: str) -> T:
    """Declare a setting that must be given."""
    return cast("T", dataclasses.field(metadata={"kind": kind, "meaning": meaning}))


@dataclass(frozen=True)
class Declared:
    """One setting as it is declared; ``default`` is ``dataclasses.MISSING`` where it must be given."""

    name: str
    kind: Kind[Any]
    default: object
    meaning: str

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is dataclasses.MISSING


def declared_by(settings: type) -> dict[str, Declared]:
    """Return every setting of a dataclass by name, in order."""
    return {
        each.name: Declared(each.name, each.metadata["kind"], each.default, each.metadata["meaning"])
        for each in dataclasses.fields(settings)
    }


def read_toml(path: Path) -> dict[str, object]:
    """Return what a TOML file holds.

    Raises:
        BadSetting: it cannot be read, is too large, or is no TOML; with the place in it, without what is there.
    """
    where = str(path)
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
    except OSError as error:
        raise BadSetting(where, where, f"cannot be read: {error.strerror}") from None
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise BadSetting(where, where, f"expected UTF-8, and byte {error.start} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(where, where, f"expected TOML: {_place_in_toml(error)}") from None
    except (RecursionError, ValueError):
        raise BadSetting(where, where, "expected TOML") from None


def _place_in_toml(error: Exception) -> str:
    """Tell what is wrong, and where, without the text that is there."""
    what, bracket, where = str(error).rpartition("(")
    return f"{what.split(':')[0].strip()} ({where}" if bracket else "it is not"


def refuse_unknown(
    where: str, name: str, known: Iterable[str], see: str, *, under: str = "", what: str = "setting"
) -> None:
    """Refuse a name that is none of those ``known``.

    Raises:
        BadSetting: with the nearest name, else with what ``see`` says.
    """
    if name in known:
        return
    shown = name if name.isprintable() and len(name) <= _MAX_SHOWN else ascii(name[:_MAX_SHOWN])
    near = difflib.get_close_matches(name, known, 1, _NEAR_ENOUGH)
    hint = f"Did you mean {near[0]}?" if near else see
    raise BadSetting(where, under + shown, f"there is no such {what}. {hint}")


def read_value(kind: Kind[T], value: object, where: str, key: str, base: Path) -> T:
    """Read one value.

    Raises:
        BadSetting: it does not fit.
    """
    try:
        return kind.read(value, base)
    except ValueError as error:
        raise BadSetting(where, key, f"expected {error}") from None


def as_table(value: object, where: str, key: str) -> dict[str, object]:
    """Return a value that must be a table of TOML.

    Raises:
        BadSetting: it is none.
    """
    if not isinstance(value, dict):
        raise BadSetting(where, key, f"expected a table: [{key}]")
    return value


def read_table(settings: type[T], table: Mapping[str, object], where: str, base: Path, *, under: str = "") -> T:
    """Make a dataclass of settings of a table; ``under`` names the table in errors: ``sinks.archive.``.

    Raises:
        BadSetting: with the place, the key, and what was expected.
    """
    known = declared_by(settings)
    for name in table:
        refuse_unknown(where, name, known, f"There are: {', '.join(known) or 'none'}.", under=under)
    for name, each in known.items():
        if each.is_required and name not in table:
            raise BadSetting(where, under + name, f"expected {each.kind.expected}, and it is missing")
    values = {name: read_value(known[name].kind, value, where, under + name, base) for name, value in table.items()}
    return settings(**values)


def rows_of(settings: type) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of each setting, for a reference in Markdown."""
    return [
        (f"`{each.name}`", shown_default(each.default), meaning_of(each)) for each in declared_by(settings).values()
    ]


def meaning_of(each: Declared) -> str:
    """Return what a setting means and what its value is, for a cell of a table in Markdown."""
    expected = each.kind.expected
    return f"{each.meaning} {expected[0].upper()}{expected[1:]}.".replace("|", r"\|")


def shown_default(default: object) -> str:
    """Return a default as a reference shows it."""
    if default is dataclasses.MISSING:
        return "must be given"
    if default is None or default in ((), "", {}):
        return "–"
    if isinstance(default, enum.Enum):
        default = default.value
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{default:_}`" if isinstance(default, int) else f"`{default}`"
