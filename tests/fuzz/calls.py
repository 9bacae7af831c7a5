"""Any calls of the core, in any order, sensible or not: each works, or raises what a caller can mend; none panics.

Holds: a check raises when the core breaks that promise, and on nothing else. What the bytes of a log may do to it
       is checked in rust/fuzz; here it is what its callers may do.
Plan:  the bytes of an input choose the calls, one after the other, and what they are given.
"""

from __future__ import annotations

import base64
import contextlib
import zlib
from typing import TYPE_CHECKING

from logflume._core import Batch, Filter, Index, Merger, Scanner
from logflume.cursor import Cursor
from logflume.errors import BadCursor, UsageError
from logflume.merge import where

if TYPE_CHECKING:
    from collections.abc import Callable

MENDABLE = (ValueError, RuntimeError, OverflowError)
"""What the core may raise: bad arguments, a scanner asked for twice, numbers that it cannot hold."""

MAX_TAKES = 10_000

PIECES = [
    b"2024-11-20T12:34:56Z ok\n",
    b'{"timestamp":"2024-11-20T12:34:56.5Z","level":"error","event":"x"}\n',
    b"Traceback:\n",
    b"\n",
    b"no newline",
    b"\xff\x00\r",
    b"",
    b"x" * 100,
]


class Choices:
    """Numbers and bytes taken from an input; zeros when it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, bound: int) -> int:
        """Choose a number."""
        return self.take(1)[0] % bound

    def take(self, size: int) -> bytes:
        """Choose so many bytes."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken.ljust(size, b"\0")

    def text(self) -> bytes:
        """Choose some bytes of a log."""
        kind = self.below(len(PIECES) + 1)
        return self.take(self.below(40)) if kind == len(PIECES) else PIECES[kind]

    def number(self) -> int:
        """Choose a number of any size."""
        return int.from_bytes(self.take(self.below(10)), "little", signed=True)


class Calls:
    """One merger with all that belongs to it, and the calls that can be made."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._sources = choices.below(4)
        self._merger = Merger(
            self._sources,
            output=choices.below(3),
            dedup=bool(choices.below(2)),
            filter=_filter(choices) if choices.below(2) else None,
            levels=bool(choices.below(2)),
            max_record_bytes=choices.below(200),
            index_every_bytes=choices.below(200),
        )
        self._scanners: list[Scanner] = []
        self._batches: list[Batch] = []
        self._index = Index(choices.below(4))
        self._calls: list[Callable[[], object]] = [
            self._feed,
            self._feed,
            self._take,
            self._scanner,
            self._scan,
            self._push,
            lambda: self._merger.finish(self._source()),
            lambda: self._merger.idle(self._source()),
            lambda: self._merger.resume(self._source(), choices.number()),
            self._merger.add,
            self._merger.wanted,
            self._merger.positions,
            self._merger.floors,
            self._merger.stats,
            self._merger.mark_index,
            lambda: self._index.extend(self._merger.take_index()),
            lambda: self._index.extend(choices.text()),
            lambda: self._index.resume_before(choices.number()),
            lambda: self._index.at_line(choices.number()),
            lambda: self._index.after_line(choices.number()),
            lambda: self._index.at_count(choices.below(256), choices.number()),
        ]

    def make_one(self) -> None:
        """Make any call."""
        with contextlib.suppress(*MENDABLE):
            self._calls[self._choices.below(len(self._calls))]()

    def end(self) -> None:
        """Finish all sources: everything comes out, and it is done."""
        for source in range(len(self._merger.positions())):
            self._merger.finish(source)
        for _ in range(MAX_TAKES):
            if not self._merger.take(100) and self._merger.done:
                return
        raise AssertionError(f"all sources are finished, and it is not done: it wants {self._merger.wanted()}")

    def _source(self) -> int:
        return self._choices.below(6)

    def _feed(self) -> None:
        self._merger.feed(self._source(), self._choices.text())

    def _take(self) -> None:
        self._merger.take(self._choices.below(256))

    def _scanner(self) -> None:
        self._scanners.append(self._merger.scanner(self._source()))

    def _scan(self) -> None:
        if self._scanners:
            scanner = self._scanners[self._choices.below(len(self._scanners))]
            calls = [lambda: scanner.scan(self._choices.text()), scanner.flush, scanner.finish]
            self._batches.append(calls[self._choices.below(3)]())

    def _push(self) -> None:
        if self._batches:
            # Pushed twice, or to another source than it was scanned for: a caller's mistake, and no more.
            self._merger.push(self._source(), self._batches[self._choices.below(len(self._batches))])


def _filter(choices: Choices) -> Filter | None:
    try:
        return Filter(
            since_ns=choices.number() if choices.below(2) else None,
            levels=choices.below(256),
            contains=choices.take(choices.below(3)) if choices.below(2) else None,
            regex=choices.take(choices.below(6)).decode("latin-1") if choices.below(2) else None,
            ignore_case=bool(choices.below(2)),
            invert=bool(choices.below(2)),
        )
    except MENDABLE:
        return None


def check_calls(data: bytes) -> None:
    """Make the calls that these bytes say."""
    choices = Choices(data)
    calls = Calls(choices)
    while choices:
        calls.make_one()
    calls.end()


def check_token(data: bytes) -> None:
    """Read these bytes as a cursor's token, and as what one holds: it is refused, or it comes back as it was."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    payload = base64.urlsafe_b64encode(packer.compress(data) + packer.flush()).rstrip(b"=").decode()
    for token in (data.decode("utf-8", "surrogateescape"), f"2.{payload}."):
        with contextlib.suppress(BadCursor):
            cursor = Cursor.from_token(token)
            assert Cursor.from_token(cursor.token()) == cursor


def check_pattern(data: bytes) -> None:
    """Look for these bytes, as they are and as an expression: that works, or the expression is refused."""
    text = data.decode("utf-8", "surrogateescape")
    where(contains=data)
    where(contains=text, ignore_case=True)
    with contextlib.suppress(UsageError):
        where(regex=text)
