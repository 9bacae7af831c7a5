"""An address instead of paths: the same commands, with a server between them and the log.

Holds: what the client holds. Output is that of the same sources here, byte for byte.
Plan:  ``cat``, ``tail`` and ``grep`` are one reading each, asked for in different ways; ``stat`` shows what the
       server has counted. What keeps us waiting is said on stderr, once for each reason.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from logflume.cli import FAILED
from logflume.cli.bar import Bar
from logflume.cli.paths import offer
from logflume.cli.reading import say_gaps
from logflume.cli.screen import STDOUT, Out, is_file, reader_is_gone, say, visible, wants_colours
from logflume.cli.table import table
from logflume.client.address import parse_address
from logflume.client.answers import gap_of
from logflume.errors import ForeignServer, LogflumeError, LogNotFound, ServerRefused, SignInNeeded, UsageError
from logflume.records import Output
from logflume.sizes import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logflume.cli.asked import Asked
    from logflume.cli.place import Place
    from logflume.client import Client, Meta, Stream
    from logflume.client.answers import SourceAnswer
    from logflume.client.connecting import Which
    from logflume.records import Gap

LOOK_S = 1.0
"""How often it is looked whether somebody still reads what is followed."""

MAX_OFFERED = 5
"""Logs that are offered where none or a wrong one is named."""

_NO_PAGE = frozenset(("", "no-such-page"))
_LONG_WAIT_S = 1.0
_NOT_HERE = "have it from the files themselves"


def cat(asked: Asked, place: Place) -> int:
    """Print a log; return the exit code."""
    out = asked.out()
    with _reached(asked) as log, log.stream(after=place.token()) as stream:
        try:
            _print(asked, stream, out)
        finally:
            if place.wanted and stream.cursor is not None and out.whole:
                place.keep(stream.cursor)
    return FAILED if stream.gaps else 0


def tail(asked: Asked, lines: int, *, follow: bool) -> int:
    """Print its last lines, and perhaps what comes; return the exit code."""
    out = asked.out()
    with _reached(asked) as log, log.stream(tail=lines, follow=follow) as stream:
        if not follow:
            _print(asked, stream, out)
            return FAILED if stream.gaps else 0
        _end_with_reader()
        said = 0
        try:
            for block in stream:
                said = _say_new(stream.gaps, said)
                out.write(block)
        finally:
            _say_new(stream.gaps, said)
            out.end()
    return 0


def grep(asked: Asked, *, count: bool, max_records: int | None) -> int:
    """Print what matches, or how many records do; return the exit code."""
    out = asked.out()
    with _reached(asked) as log:
        output = Output.NONE if count else None
        with log.stream(output=output, records=max_records) as stream:
            _print(asked, stream, out)
    if count:
        out.write_text(f"{stream.records}\n")
    if stream.gaps:
        return FAILED
    return 0 if stream.records else 1


def stat(asked: Asked, *, as_json: bool) -> int:
    """Print what a log is made of, as far as the server's index knows; return the exit code."""
    with _reached(asked) as log:
        options = {
            "--source": asked.source,
            "--no-dedup": asked.no_dedup,
            "--zone": asked.zone != "UTC",
            "--time-format": asked.time_format,
        }
        for name in (name for name, given in options.items() if given):
            raise UsageError(f"{name} is nothing that a server has counted by: {_NOT_HERE}")
        meta = log.counted()
    if as_json:
        Out().write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n")
    else:
        Out().write_text("\n".join(_as_text(meta, colours=wants_colours(asked.color))) + "\n")
    gaps = [gap_of(gap) for source in meta["sources"] for gap in source["gaps"]]
    say_gaps(gaps)
    return FAILED if gaps else 0


def _print(asked: Asked, stream: Stream, out: Out) -> None:
    """Print all of a stream, with a bar where there is room for one; then say what is missing."""
    size = 0
    wanted = not asked.quiet and is_file(STDOUT)
    try:
        with Bar("reading", lambda: size, None, wanted=wanted):
            for block in stream:
                size += len(block)
                out.write(block)
        out.end()
    finally:
        say_gaps(stream.gaps)


def _say_new(gaps: Sequence[Gap], said: int) -> int:
    say_gaps(gaps[said:])
    return len(gaps)


def _end_with_reader() -> None:
    """End as by SIGPIPE when nobody reads any more, although nothing may come that could be written."""

    def look() -> None:
        while not reader_is_gone():
            threading.Event().wait(LOOK_S)
        os.kill(os.getpid(), signal.SIGPIPE)

    threading.Thread(target=look, name="logflume-look", daemon=True).start()


@contextmanager
def _reached(asked: Asked) -> Iterator[_Log]:
    """Reach the one log that is named, while entered.

    Raises:
        LogflumeError: in words that say what to do.
    """
    if len(asked.paths) > 1:
        raise UsageError("an address stands alone, with the name of one log in it: ADDRESS/ID")
    try:
        client, log_id = _find_server(asked)
        with client:
            try:
                yield _Log(client, log_id or _only_log(client), asked)
            except LogNotFound as error:
                raise _not_found(client, error) from None
    except SignInNeeded as error:
        hint = "give a token: LOGFLUME_TOKEN=… or --token-file FILE"
        raise SignInNeeded(f"{error.detail.rstrip('.')}: {hint}", status=error.status, type=error.type) from None


def _find_server(asked: Asked) -> tuple[Client, str]:
    """Return the server and the id that an address means, asking where that is not plain.

    Raises:
        LogflumeError: there is none, or it does not let us in.
    """
    given = parse_address(asked.paths[0])
    certain = given.certain()
    found: tuple[str, str] | None = None
    first_error: LogflumeError | None = None
    for base, log_id in [certain] if certain else given.candidates():
        client = _client(asked, base)
        try:
            if next(client.logs(log_id), None) is not None:
                return client, log_id
            found = found or (base, log_id)
        except (ForeignServer, ServerRefused) as error:
            if isinstance(error, ServerRefused) and error.type not in _NO_PAGE:  # a log server's own words
                client.close()
                raise
            first_error = first_error or error
        client.close()
    if found is None:
        assert first_error is not None  # noqa: S101 - there is at least one candidate
        raise first_error
    return _client(asked, found[0]), found[1]


def _client(asked: Asked, base: str) -> Client:
    try:
        from logflume.client import Client
    except ModuleNotFoundError as missing:
        raise UsageError(str(missing)) from None
    return Client(base, token_file=asked.token_file, ca_file=asked.ca_file, on_wait=_Waits())


class _Waits:
    """Says why we wait, once for each reason."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, error: LogflumeError, wait_s: float) -> None:
        """Take what went wrong."""
        if wait_s >= _LONG_WAIT_S and str(error) != self._said:
            self._said = str(error)
            say(f"{error}; trying again")


def _only_log(client: Client) -> str:
    """Return the log of a server that has one.

    Raises:
        UsageError: there are none or several; with some names.
    """
    names = _names(client, "")
    if len(names) == 1:
        return names[0]
    there = f"there are {_listed(names)}" if names else "this server has none that you may read"
    raise UsageError(f"name a log: {client.address}/ID; {there}")


def _not_found(client: Client, error: LogNotFound) -> LogflumeError:
    """Return the error for a name that is no log: a folder of logs, perhaps."""
    names = _names(client, error.name.rstrip("/") + "/")
    if names:
        return UsageError(f"{error.name} is a folder: name one of its logs; there are {_listed(names)}")
    return error


def _names(client: Client, prefix: str) -> list[str]:
    return [log["id"] for log in itertools.islice(client.logs(prefix), MAX_OFFERED + 1)]


def _listed(names: Sequence[str]) -> str:
    more = " and more" if len(names) > MAX_OFFERED else ""
    return ", ".join(names[:MAX_OFFERED]) + more


class _Log:
    """One log of a server, and what is asked about it."""

    def __init__(self, client: Client, log_id: str, asked: Asked) -> None:
        self._client = client
        self._id = log_id
        self._asked = asked

    def stream(
        self,
        *,
        output: Output | None = None,
        follow: bool = False,
        tail: int | None = None,
        after: str | None = None,
        records: int | None = None,
    ) -> Stream:
        """Read it as it was asked for."""
        return self._client.stream(
            self._id,
            output=Output[self._asked.output.upper()] if output is None else output,
            follow=follow,
            tail=tail,
            after=after,
            records=records,
            **self._which(),
        )

    def _which(self) -> Which:
        asked = self._asked
        return {
            "since": asked.since_ns(),
            "until": asked.until_ns(),
            "level": asked.level,
            "source": self._sources(),
            "q": _as_text_of(asked.literal),
            "regex": asked.regex,
            "ignore_case": asked.ignore_case,
            "invert": asked.invert,
            "zone": asked.zone,
            "time_format": asked.time_format,
            "dedup": not asked.no_dedup,
        }

    def _sources(self) -> list[str]:
        """Return the names that the patterns fit.

        Raises:
            UsageError: there are none.
        """
        if not self._asked.source:
            return []
        names = [source["name"] for source in self._client.meta(self._id)["sources"]]
        found = [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in self._asked.source)]
        if not found:
            wanted = self._asked.source
            raise UsageError(f"no source is called {' or '.join(wanted)}; {offer(wanted[0], names)}")
        return found

    def counted(self) -> Meta:
        """Return what it is made of, when all of it has been counted."""
        with Bar("counting", lambda: 0, None, wanted=not self._asked.quiet):
            while not (meta := self._client.meta(self._id))["lines"]["exact"]:
                threading.Event().wait(LOOK_S / 4)
        return meta


def _as_text_of(literal: str | None) -> str | None:
    try:
        return None if literal is None else literal.encode().decode()
    except UnicodeEncodeError:
        raise UsageError(f"a server looks for text, and this is not UTF-8: {_NOT_HERE}") from None


_HEAD = ("source", "bytes", "lines", "first", "last", "gaps")
_RIGHT = (False, True, True, False, False, True)


def _as_text(meta: Meta, *, colours: bool) -> list[str]:
    from logflume.cli.timeline import paint
    from logflume.records import Level

    rows = [_row(each) for each in meta["sources"]]
    gaps = sum(len(each["gaps"]) for each in meta["sources"])
    first, last = (_second(meta[name]) for name in ("first", "last"))
    rows.append(("total", show_size(meta["bytes"]), str(meta["lines"]["count"]), first, last, str(gaps)))
    counts = [(level, f"{level.name.lower()} {meta['levels'][level.name.lower()]}") for level in reversed(Level)]
    shown = [(level, text) for level, text in counts if not text.endswith(" 0")]
    levels = ", ".join(paint(text, level) if colours else text for level, text in shown) or "-"
    return [*table([_HEAD, *rows], _RIGHT), "", f"{'levels':<11} {levels}"]


def _row(source: SourceAnswer) -> tuple[str, ...]:
    return (visible(source["name"]), _size(source["bytes"]), "-", "-", "-", str(len(source["gaps"])))


def _size(size: Any) -> str:  # noqa: ANN401 - of JSON
    return show_size(size) if isinstance(size, int) else "-"


def _second(moment: str | None) -> str:
    return "-" if moment is None else moment[:23] + "Z"
