"""What a request asks for, as values: the parameters that all ways of reading a log share.

Invariant: whatever is in the address becomes a value in stated bounds, or a problem that names the parameter.
"""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import Depends, Query

from logflume.errors import UsageError
from logflume.merge import How, where
from logflume.moments import parse_moment
from logflume.records import Dedup, Level, Output
from logflume.serve.problems import Problem
from logflume.window import Choice

if TYPE_CHECKING:
    from logflume import _core
    from logflume.abc import Log, Source

MAX_LIMIT = 100_000
"""Lines of one answer that is limited at all."""

MAX_PATTERN_CHARS = 4096

LevelName = Literal["debug", "info", "warning", "error", "critical"]

_TIME = "`2024-11-20T12:34:56Z`, `2024-11-20 12:34`, `15m` (before now), `@1732106096`"


_Asked = TypeVar("_Asked")


def _typed(asked: type[_Asked]) -> type[_Asked]:
    """Give a class of parameters a signature of types in the place of their names, which older FastAPI cannot resolve.

    FastAPI 0.117, which Airflow 3.1 brings, looks for the names in the module of a function, and of no class.
    """
    asked.__signature__ = inspect.signature(asked, eval_str=True)  # type: ignore[attr-defined]
    return asked


@_typed
class Filters:
    """Which records are wanted; a dependency of routes."""

    def __init__(
        self,
        *,
        since: Annotated[str | None, Query(max_length=64, description=f"From this time on: {_TIME}.")] = None,
        until: Annotated[str | None, Query(max_length=64, description="Before this time; as `since`.")] = None,
        level: Annotated[LevelName | None, Query(description="This level and higher ones.")] = None,
        source: Annotated[
            list[str] | None, Query(max_length=100, description="Only these sources, by name; may be repeated.")
        ] = None,
        q: Annotated[
            str | None, Query(min_length=1, max_length=MAX_PATTERN_CHARS, description="Records that contain this text.")
        ] = None,
        regex: Annotated[
            str | None,
            Query(min_length=1, max_length=MAX_PATTERN_CHARS, description="Records that match; linear time."),
        ] = None,
        ignore_case: Annotated[bool, Query(description="Of `q` and `regex`.")] = False,
        invert: Annotated[bool, Query(description="Records without `q`, or that do not match `regex`.")] = False,
    ) -> None:
        self.since = since
        self.until = until
        self.level = level
        self.sources = source
        self.q = q
        self.regex = regex
        self.ignore_case = ignore_case
        self.invert = invert

    def key(self) -> tuple[object, ...]:
        """Return what tells filters apart."""
        chosen = tuple(sorted(set(self.sources or ())))
        return (self.since, self.until, self.level, chosen, self.q, self.regex, self.ignore_case, self.invert)

    def how(self, output: Output) -> How:
        """Return how to merge."""
        return How(output=output, only=self._filter())

    def choice(self, log: Log) -> Choice:
        """Return which rows are wanted."""
        names = frozenset(source.name for source in self.sources_of(log)) if self.sources else None
        return Choice(
            self.how(Output.NDJSON),
            Level[self.level.upper()] if self.level else Level.UNKNOWN,
            names,
            self.since_ns(),
            _moment("until", self.until),
        )

    def since_ns(self) -> int | None:
        """Return the time to start at."""
        return _moment("since", self.since)

    def chooses_records(self) -> bool:
        """Tell whether some records of the sources are left out."""
        return any([self.since, self.until, self.level, self.q, self.regex])

    def resolved(self) -> tuple[object, ...]:
        """Return what tells apart what is left now: a time such as `15m` before now is another one at each moment."""
        return (*self.key(), self.since_ns(), _moment("until", self.until))

    def hidden(self, log: Log) -> list[int]:
        """Return the numbers of the sources that are not wanted."""
        wanted = {source.name for source in self.sources_of(log)}
        return [number for number, source in enumerate(log.sources()) if source.name not in wanted]

    def sources_of(self, log: Log) -> list[Source]:
        """Return the sources that are wanted."""
        there = log.sources()
        if not self.sources:
            return there
        names = {source.name for source in there}
        if missing := [name for name in self.sources if name not in names]:
            detail = f"This log has no source {missing[0]!r}."
            raise Problem(404, "no-such-source", detail, parameter="source", sources=sorted(names)[:100])
        return [source for source in there if source.name in set(self.sources)]

    def _filter(self) -> _core.Filter | None:
        until_ns = _moment("until", self.until)
        if not self.chooses_records():
            return None
        return where(
            since_ns=self.since_ns(),
            until_ns=until_ns,
            min_level=Level[self.level.upper()] if self.level else Level.UNKNOWN,
            contains=self.q,
            regex=self.regex,
            ignore_case=self.ignore_case,
            invert=self.invert,
        )


@_typed
class Merging:
    """How the lines of a stream are read and merged; a dependency of routes."""

    def __init__(
        self,
        *,
        zone: Annotated[str, Query(max_length=64, description="Of times that name none: `Europe/Berlin`.")] = "UTC",
        time_format: Annotated[
            str | None, Query(min_length=1, max_length=256, description="Of this log's times, as for `strptime`.")
        ] = None,
        dedup: Annotated[bool, Query(description="Show a record once that several sources hold.")] = True,
    ) -> None:
        self.zone = zone
        self.time_format = time_format
        self.dedup = dedup

    def key(self) -> tuple[object, ...]:
        """Return what tells them apart."""
        return (self.zone, self.time_format, self.dedup)

    def applied(self, how: How) -> How:
        """Return how to merge."""
        dedup = Dedup.ACROSS_SOURCES if self.dedup else Dedup.OFF
        return replace(how, zone=self.zone, time_format=self.time_format, dedup=dedup)


WantedFilters = Annotated[Filters, Depends()]
WantedMerging = Annotated[Merging, Depends()]


@dataclass(frozen=True)
class Chosen:
    """Some of the sources of a log, as a log."""

    id: str
    chosen: list[Source]

    def sources(self) -> list[Source]:
        """Return them."""
        return self.chosen


def moment(name: str, text: str, *, now_ns: int | None = None) -> int:
    """Return the time that a parameter says; what is relative counts from now.

    Raises:
        Problem: it says none.
    """
    try:
        return parse_moment(text, now_ns=time.time_ns() if now_ns is None else now_ns)
    except UsageError as error:
        raise Problem(400, "bad-parameter", f"{name}: {error}", parameter=name) from None


def _moment(name: str, text: str | None) -> int | None:
    return None if text is None else moment(name, text)
