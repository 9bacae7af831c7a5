"""What a command line asks for, as values; ``options`` declares what can be asked."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.cli.paths import GivenLog
from logflume.cli.screen import Out, wants_colours
from logflume.merge import How, where
from logflume.moments import parse_moment
from logflume.records import Dedup, Level, Output

if TYPE_CHECKING:
    from logflume import _core


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The answers to all options; those that a command does not have keep their default."""

    paths: tuple[str, ...]
    source: tuple[str, ...] = ()
    no_dedup: bool = False
    zone: str = "UTC"
    time_format: str | None = None
    quiet: bool = False
    color: str = "auto"
    raw: bool = False
    output: str = "text"
    since: str | None = None
    until: str | None = None
    level: str | None = None
    literal: str | None = None
    regex: str | None = None
    ignore_case: bool = False
    invert: bool = False
    token_file: str | None = None
    ca_file: str | None = None

    @classmethod
    def of(cls, answers: dict[str, object]) -> Asked:
        """Take what click has made of the options."""
        return cls(**answers)  # type: ignore[arg-type]  # click has checked each

    @property
    def is_remote(self) -> bool:
        """Whether a server is asked, and not this machine's files."""
        return any(path.lower().startswith(("http://", "https://")) for path in self.paths)

    def log(self, *, wait_for_missing: bool = False) -> GivenLog:
        """Return the log that is named."""
        return GivenLog(self.paths, self.source, wait_for_missing=wait_for_missing)

    def out(self) -> Out:
        """Return standard output as it is wanted."""
        return Out(colours=wants_colours(self.color), raw=self.raw)

    def how(self, *, output: Output | None = None, levels: bool = False) -> How:
        """Return how to merge; in the form asked for, or in ``output``.

        Raises:
            UsageError: a time or pattern that cannot be used.
        """
        return How(
            output=Output[self.output.upper()] if output is None else output,
            dedup=Dedup.OFF if self.no_dedup else Dedup.ACROSS_SOURCES,
            only=self._filter(),
            zone=self.zone,
            time_format=self.time_format,
            levels=levels,
        )

    def since_ns(self) -> int | None:
        """Return the time to start at."""
        return self._moment(self.since)

    def until_ns(self) -> int | None:
        """Return the time to end before."""
        return self._moment(self.until)

    def _moment(self, text: str | None) -> int | None:
        return None if text is None else parse_moment(text, now_ns=time.time_ns(), zone=self.zone)

    def _filter(self) -> _core.Filter | None:
        asked = (self.since, self.until, self.level, self.literal, self.regex)
        if all(each is None for each in asked):
            return None
        return where(
            since_ns=self.since_ns(),
            until_ns=self.until_ns(),
            min_level=Level[self.level.upper()] if self.level else Level.UNKNOWN,
            contains=None if self.literal is None else os.fsencode(self.literal),
            regex=self.regex,
            ignore_case=self.ignore_case,
            invert=self.invert,
        )
