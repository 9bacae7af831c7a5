"""Which kinds of sinks there are; and sinks made of words on a command line, or of a table of settings.

Holds: making one opens nothing and imports only what that one needs. A name that is shown has no password in it.
Plan:  a kind is a ``SinkKind``: its options, declared as settings, and how a sink is made of them. Words such as
       ``file:PATH`` become a table of options first, so that both ways are checked by the same declarations.
       Those of others are found as entry points of the group ``logflume.sinks``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from logflume.errors import UsageError
from logflume.settings import BadSetting, read_table, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logflume.abc import Sink

Options = TypeVar("Options")

KINDS = (
    "file:PATH, stdout[:json|:prefixed], http://HOST/PATH, https://HOST/PATH, cloudwatch:GROUP[:STREAM], "
    "s3://BUCKET/PREFIX (gs:, az:), "
    "objectstore:file:///FOLDER, loki:http://HOST:3100, otlp:http://HOST:4318, redis://HOST:PORT/DB[#KEY]"
)
"""Those that can be named on a command line."""

GROUP = "logflume.sinks"
"""The entry points by which other packages bring kinds: the name of the kind, and a ``SinkKind``."""

BUILT_IN = {
    "cloudwatch": "logflume.ship.sinks.cloudwatch",
    "file": "logflume.ship.sinks.file",
    "http": "logflume.ship.sinks.http",
    "loki": "logflume.ship.sinks.loki",
    "objectstore": "logflume.ship.sinks.objectstore",
    "otlp": "logflume.ship.sinks.otlp",
    "redis": "logflume.ship.sinks.redis",
    "stdout": "logflume.ship.sinks.stdout",
}
"""The modules of our own kinds; each has a ``KIND``."""

_ALIASES = {
    "https": "http",
    "rediss": "redis",
    "s3": "objectstore",
    "gs": "objectstore",
    "az": "objectstore",
}
"""How words may begin other than with the name of their kind."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where what a sink gets comes from.

    Attributes:
        folder: where it is captured.
        name: what the sink is called, and its place is kept under; None: as it calls itself.
        tags: what is known of all of it, such as ``child`` and ``host``.
    """

    folder: Path
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """Put the values of tags where ``text`` names them: ``{host}``."""
        return str(_filled(text, self.tags))


@dataclass(frozen=True, slots=True)
class SinkKind(Generic[Options]):
    """One kind of sinks.

    Attributes:
        options: a dataclass whose fields are declared by ``logflume.settings.setting`` and ``required``.
        make: makes a sink of such options; opens nothing. It may refuse what does not go together (UsageError).
        words: makes a table of options of words on a command line, None of words that are none of this kind; without
            it, such a sink is named in a file of settings only.
    """

    options: type[Options]
    make: Callable[[Options, Origin], Sink]
    words: Callable[[str], Mapping[str, object] | None] | None = None


def kind_of(name: str) -> SinkKind[Any] | None:
    """Return a kind by its name; None when there is none.

    Raises:
        UsageError: it is there and does not load.
    """
    if name in BUILT_IN:
        kind: SinkKind[Any] = importlib.import_module(BUILT_IN[name]).KIND
        return kind
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        return _load(entry)
    return None


def _load(entry: importlib.metadata.EntryPoint) -> SinkKind[Any]:
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the sink {entry.name} of {entry.value} does not load: {error}") from error
    if not isinstance(loaded, SinkKind):
        raise UsageError(f"the sink {entry.name} of {entry.value} is no logflume.ship.sinks.SinkKind")
    return loaded


def kind_names() -> list[str]:
    """Name every kind there is."""
    return sorted({*BUILT_IN, *(entry.name for entry in importlib.metadata.entry_points(group=GROUP))})


def sink_of(words: str, *, beside: Path, name: str | None = None) -> Sink:
    """Return the sink that ``words`` name, for what lies in the folder ``beside``.

    Raises:
        UsageError: there is none of that kind; a file would lie in the folder, and be shipped to itself.
    """
    scheme = words.partition(":")[0]
    kind = kind_of(_ALIASES.get(scheme, scheme))
    table = kind.words(words) if kind is not None and kind.words is not None else None
    if kind is None or table is None:
        raise UsageError(f"{words!r} is no sink; there are {KINDS}")
    return kind.make(read_table(kind.options, table, scheme, Path.cwd()), Origin(beside, name, tags_of_host()))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A sink that a file of settings names.

    Attributes:
        name: what it is called there.
        table: its options, as they are written; ``{child}`` and other tags in a text stand for their values.
        where: the file.
        base: where relative paths start.
    """

    name: str
    table: Mapping[str, object]
    where: str
    base: Path

    def make(self, folder: Path, tags: Mapping[str, str]) -> Sink:
        """Make it, for what lies in a folder.

        Raises:
            BadSetting: there is no such kind, or its options do not fit.
            UsageError: as its kind says.
        """
        under = f"sinks.{self.name}."
        named = self.table.get("kind")
        if not isinstance(named, str):
            raise BadSetting(self.where, f"{under}kind", f"expected one of {', '.join(kind_names())}")
        kind = kind_of(named)
        if kind is None:
            refuse_unknown(
                self.where,
                named,
                kind_names(),
                f"There are: {', '.join(kind_names())}.",
                under=f"{under}kind = ",
                what="kind of sinks",
            )
            raise AssertionError  # it is refused
        known = {**tags_of_host(), **tags}
        options = {key: _filled(value, known) for key, value in self.table.items() if key != "kind"}
        made = read_table(kind.options, options, self.where, self.base, under=under)
        return kind.make(made, Origin(folder, self.name, known))


def tags_of_host() -> dict[str, str]:
    """Return what is known of everything on this machine."""
    return {"host": socket.gethostname()}


def _filled(value: object, tags: Mapping[str, str]) -> object:
    if isinstance(value, str):
        for name, text in tags.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [_filled(each, tags) for each in value]
    if isinstance(value, dict):
        return {key: _filled(each, tags) for key, each in value.items()}
    return value
