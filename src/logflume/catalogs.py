"""Several catalogs as one: the ids of each begin with its name.

Holds: what its catalogs hold; nothing is open between two logs. One that cannot be listed is found as a log whose id
       is its name with ``/`` behind it, and whose one source says why: the others go on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import LogNotFound, SourceFailed, UsageError
from logflume.records import Gap, GapReason
from logflume.state import peek_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from logflume.abc import Catalog, Log, Reader, Source
    from logflume.records import Identity, LogStatus, Position

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a catalog may be called."""


class NamedCatalogs:
    """Catalogs by name; see ``logflume.abc.Catalog``.

    Order, loss, memory: those of the catalogs, one after the other.
    """

    def __init__(self, catalogs: Mapping[str, Catalog]) -> None:
        """Join them.

        Raises:
            UsageError: a name that cannot be part of an id.
        """
        for name in catalogs:
            if not NAME.fullmatch(name):
                raise UsageError(f"{name!r} is no name of a folder: letters, digits, and . _ - within it")
        self._catalogs = dict(sorted(catalogs.items(), key=lambda each: f"{each[0]}/"))

    def iter_logs(self, prefix: str = "", after: str = "") -> Iterator[Log]:
        """Yield logs whose id starts with ``prefix``, in id order, those after id ``after`` only."""
        for name, catalog in self._catalogs.items():
            begin = f"{name}/"
            is_before = after > begin and not after.startswith(begin)
            if is_before or not (begin.startswith(prefix) or prefix.startswith(begin)):
                continue
            inner_after = after.removeprefix(begin) if after.startswith(begin) else ""
            try:
                for log in catalog.iter_logs(
                    prefix.removeprefix(begin) if prefix.startswith(begin) else "", inner_after
                ):
                    yield _Named(begin + log.id, log)
            except UsageError as error:
                if begin > after:
                    yield _Unlistable(begin, str(error))

    def find(self, log_id: str) -> Log:
        """Return one log.

        Raises:
            LogNotFound: with the nearest names.
        """
        name, _, inner = log_id.partition("/")
        catalog = self._catalogs.get(name)
        if catalog is None:
            import difflib

            near = difflib.get_close_matches(name, self._catalogs, n=5)
            raise LogNotFound(log_id, [f"{each}/{inner}" for each in near])
        try:
            return _Named(log_id, catalog.find(inner))
        except LogNotFound as error:
            raise LogNotFound(log_id, [f"{name}/{near}" for near in error.near]) from None
        except UsageError as error:
            if inner:
                raise LogNotFound(log_id, [f"{name}/"]) from None
            return _Unlistable(log_id, str(error))


@dataclass(frozen=True, slots=True)
class _Named:
    """A log under another id."""

    id: str
    log: Log

    def sources(self) -> list[Source]:
        """Return those of the log."""
        return self.log.sources()

    def peek_status(self) -> LogStatus:
        """Say what the log says."""
        return peek_status(self.log)


@dataclass(frozen=True, slots=True)
class _Unlistable:
    """Stands for the logs of a catalog that cannot be listed."""

    id: str
    reason: str

    def sources(self) -> list[Source]:
        """Return one that says why."""
        return [_Why(self.id, self.reason)]


@dataclass(frozen=True, slots=True)
class _Why:
    """A source that cannot be read."""

    name: str
    reason: str
    seekable = False

    def open(self, start: int | Position = 0) -> Reader:
        """Say why.

        Raises:
            SourceFailed: always.
        """
        del start
        next_action = "Let this user list the folder, or name another one."
        raise SourceFailed(Gap(self.name, GapReason.UNREADABLE, f"{self.reason}.", next_action))

    def peek_size(self) -> int | None:
        """Not known."""
        return None

    def peek_identity(self) -> Identity | None:
        """None."""
        return None
