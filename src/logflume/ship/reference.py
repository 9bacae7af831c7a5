"""The reference of ``logflume.toml``, made of what its tables declare.

Holds: every table and every setting is in it, for it is made of the same declarations that read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logflume.settings import rows_of
from logflume.ship.conditions import KINDS as CONDITIONS
from logflume.ship.conditions import Condition
from logflume.ship.config import Captured, ChildTable, Limits, Share, Supervised
from logflume.ship.outgoing import OutgoingTable, Redact, Sample
from logflume.ship.sinks import BUILT_IN, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLES: tuple[tuple[str, type], ...] = (
    ("[capture], [children.NAME.capture]", Captured),
    ("[supervise]", Supervised),
    ("[children.NAME]", ChildTable),
    ("[children.NAME.limits]", Limits),
    ("[children.NAME.share]", Share),
)
_OUTGOING: tuple[tuple[str, type], ...] = (
    ("[outgoing]", OutgoingTable),
    ("[outgoing.redact.NAME]", Redact),
    ("[outgoing.sample]", Sample),
)


def reference() -> str:
    """Return all tables, in Markdown."""
    return "".join(f"## `{title}`\n\n{_first_line(meaning)}\n\n{rows}\n" for title, meaning, rows in _iter_tables())


def _iter_tables() -> Iterator[tuple[str, str, str]]:
    for title, settings in _TABLES:
        yield title, settings.__doc__ or "", _table(settings)
    yield "[children.NAME.conditions.NAME], every kind", Condition.__doc__ or "", _table(Condition)
    shared = frozenset(name for name, _, _ in rows_of(Condition))
    for kind, condition in CONDITIONS.items():
        yield f'[children.NAME.conditions.NAME], kind = "{kind}"', condition.__doc__ or "", _table(condition, shared)
    for title, settings in _OUTGOING:
        yield title, settings.__doc__ or "", _table(settings)
    for name in sorted(BUILT_IN):
        known = kind_of(name)
        if known is not None:
            yield f'[sinks.NAME], kind = "{name}"', known.options.__doc__ or "", _table(known.options)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _table(settings: type, without: frozenset[str] = frozenset()) -> str:
    rows = [row for row in rows_of(settings) if row[0] not in without]
    if not rows:
        return "It has no options.\n"
    head = [("setting", "default", "meaning"), ("---",) * 3]
    return "".join(f"| {' | '.join(row)} |\n" for row in (*head, *rows))
