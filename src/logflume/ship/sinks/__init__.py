"""Sinks by the words that name them on a command line: ``file:PATH``, ``stdout``, ``http://…``.

Holds: making one opens nothing and imports only what that one needs. A name that is shown has no password in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.sources.opening import is_inside

if TYPE_CHECKING:
    from pathlib import Path

    from logflume.abc import Sink

KINDS = "file:PATH, stdout, http://HOST/PATH, https://HOST/PATH"


def sink_of(words: str, *, beside: Path) -> Sink:
    """Return the sink that ``words`` name, for what lies in the folder ``beside``.

    Raises:
        UsageError: there is none of that kind; a file would lie in the folder, and be shipped to itself.
    """
    kind, _, rest = words.partition(":")
    if kind == "file" and rest:
        from logflume.ship.sinks.file import FileSink

        if is_inside(rest, str(beside)):
            raise UsageError(f"{rest} lies in {beside}, and would be shipped to itself: choose another folder")
        return FileSink(rest)
    if words == "stdout":
        from logflume.ship.sinks.stdout import StdoutSink

        return StdoutSink()
    if kind in ("http", "https") and rest.startswith("//"):
        from logflume.ship.sinks.http import HttpSink

        return HttpSink(words)
    raise UsageError(f"{words!r} is no sink; there are {KINDS}")
