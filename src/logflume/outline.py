"""Groups of lines, as a log itself marks them: ``::group::``, sections of GitLab, headers of Buildkite.

Invariant: a group is named by its first and last line in the merged log. A group that ends where another begins, or
that nobody ended, has an end all the same. Groups of one source are nested or apart; those of two may overlap.
Bounds: MAX_MARKS marks of a log, and KEPT_SHARE of its size: what comes after them is not told, and that is.
Plan:  the core finds marks while an index is made; this keeps them beside its entries, and pairs them when asked.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from logflume.errors import IndexInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_MARKS = 10_000
"""Marks that are kept of one log: a beginning and an end are two."""

KEPT_SHARE = 400
"""Marks take up to one byte for so many of the log, but MIN_KEPT_BYTES in any case."""

MIN_KEPT_BYTES = 16 * 1024

_MARK_BYTES = 40  # of a stored mark without its title
_GROUP, _END_GROUP, _SECTION, _END_SECTION, _HEADER, _OPEN_HEADER = range(6)  # as in the core
_ESCAPE_CHARS = 6  # of a JSON escape that was cut
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x1f\x7f]")
_SECTION_TEXT = re.compile(r"([0-9]{0,20}):([^\[\r\x1b]*)(\[[^\]]*\])?[\r\x1b]*(.*)", re.DOTALL)


class Mark(NamedTuple):
    """Where a group begins or ends.

    Attributes:
        line: of the merged log.
        ts_ns: time of its record.
        errors: how many records of the level error or higher come before it.
        source: number of its source.
        kind: what it says, as the core numbers it.
        name: of a section; else "".
        title: for people.
        is_collapsed: whether it is to be shown closed.
    """

    line: int
    ts_ns: int
    errors: int
    source: int
    kind: int
    name: str
    title: str
    is_collapsed: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A group of lines.

    Attributes:
        title: for people; may be "".
        first: its first line in the merged log, which is the mark itself.
        last: its last line.
        depth: in how many other groups of its source it is.
        source: number of its source.
        is_collapsed: whether it is to be shown closed.
        is_open: whether nobody has ended it yet.
        has_end_mark: whether its last line says only that it ends.
        first_ns: time at which it begins.
        last_ns: time at which it ends, or of what came last.
        errors: records of the level error or higher from its first to its last line, of any source.
    """

    title: str
    first: int
    last: int
    depth: int
    source: int
    is_collapsed: bool
    is_open: bool
    has_end_mark: bool
    first_ns: int
    last_ns: int
    errors: int


class Marks:
    """The marks of one log, in order. Use it under a lock.

    Attributes:
        end_line: from this line on none are kept; None: all are.
    """

    def __init__(self) -> None:
        self.end_line: int | None = None
        self._marks: list[Mark] = []
        self._bytes = 0

    def resume_at(self, line: int) -> None:
        """Forget all from a line on: it is looked at again."""
        self._marks = [mark for mark in self._marks if mark.line < line]
        self._bytes = sum(map(_bytes_of, self._marks))
        if self.end_line is not None and self.end_line >= line:
            self.end_line = None

    def add(self, rows: Iterable[tuple[int, int, int, int, int, bool, bytes]], base: Base) -> None:
        """Add what the core tells of a merge that began at ``base``, and has covered so many bytes."""
        for line, ts_ns, errors, source, kind, is_escaped, title in rows:
            if self.end_line is not None:
                return
            mark = Mark(line + base.lines, ts_ns, errors + base.errors, source, kind, *_parsed(kind, title, is_escaped))
            self._bytes += _bytes_of(mark)
            allowed = max(MIN_KEPT_BYTES, base.covered_bytes // KEPT_SHARE)
            if len(self._marks) >= MAX_MARKS or self._bytes > allowed:
                self.end_line = mark.line
                return
            self._marks.append(mark)

    def stored(self) -> list[Any]:
        """Return what JSON can keep."""
        return [self.end_line, *self._marks]

    @classmethod
    def restored(cls, stored: object) -> Marks:
        """Read what ``stored`` gave.

        Raises:
            IndexInvalid: it is not that.
        """
        marks = cls()
        rows = stored if isinstance(stored, list) else []
        try:
            marks.end_line = None if rows[0] is None else int(rows[0])
            marks._marks = [Mark(*row) for row in rows[1:]]
        except (IndexError, TypeError, ValueError) as error:
            raise IndexInvalid("the stored index is damaged") from error
        marks._bytes = sum(map(_bytes_of, marks._marks))
        return marks

    def groups(self, end: End) -> list[Group]:
        """Pair them, in the order in which groups begin."""
        pairing = _Pairing()
        for mark in self._marks:
            pairing.take(mark)
        return pairing.finish(end)


class Base(NamedTuple):
    """Where the merge began whose marks are added, and how many bytes of the log are covered."""

    lines: int
    errors: int
    covered_bytes: int


class End(NamedTuple):
    """What all that is covered comes to."""

    lines: int
    ts_ns: int
    errors: int


class _Pairing:
    """Groups that have begun and not ended, for each source."""

    def __init__(self) -> None:
        self._begun: list[tuple[Mark, int]] = []
        self._ends: dict[int, tuple[int, int, int]] = {}
        self._stacks: dict[int, list[int]] = {}
        self._marked: set[int] = set()

    def take(self, mark: Mark) -> None:
        stack = self._stacks.setdefault(mark.source, [])
        if mark.kind == _END_GROUP:
            self._end(stack, [_GROUP], None, mark)
        elif mark.kind == _END_SECTION:
            self._end(stack, [_SECTION], mark.name, mark)
        else:
            if mark.kind in (_HEADER, _OPEN_HEADER):
                self._end(stack, [_HEADER, _OPEN_HEADER], None, mark._replace(line=mark.line - 1))
            self._begun.append((mark, len(stack)))
            stack.append(len(self._begun) - 1)

    def _end(self, stack: list[int], kinds: Sequence[int], name: str | None, mark: Mark) -> None:
        """End the innermost group of that kind and name, and all within it; nothing, if there is none."""
        for place in reversed(range(len(stack))):
            begun = self._begun[stack[place]][0]
            if begun.kind in kinds and name in (None, begun.name):
                if mark.kind in (_END_GROUP, _END_SECTION):
                    self._marked.add(stack[place])
                for number in stack[place:]:
                    self._ends[number] = (max(mark.line, self._begun[number][0].line), mark.ts_ns, mark.errors)
                del stack[place:]
                return

    def finish(self, end: End) -> list[Group]:
        """Return them all; what has not ended lasts to the end."""
        open_end = (end.lines - 1, end.ts_ns, end.errors)
        ends = [self._ends.get(number, open_end) for number in range(len(self._begun))]
        return [
            Group(
                title=mark.title,
                first=mark.line,
                last=max(mark.line, last),
                depth=depth,
                source=mark.source,
                is_collapsed=mark.is_collapsed,
                is_open=number not in self._ends,
                has_end_mark=number in self._marked,
                first_ns=mark.ts_ns,
                last_ns=max(mark.ts_ns, last_ns),
                errors=errors - mark.errors,
            )
            for number, ((mark, depth), (last, last_ns, errors)) in enumerate(zip(self._begun, ends, strict=True))
        ]


def _bytes_of(mark: Mark) -> int:
    return _MARK_BYTES + len(mark.name) + len(mark.title)


def _parsed(kind: int, title: bytes, is_escaped: bool) -> tuple[str, str, bool]:  # noqa: FBT001 - of the core
    """Return name, title, and whether it is to be shown closed."""
    text = title.decode("utf-8", "replace")
    if is_escaped:
        text = _unescaped(text)
    if kind not in (_SECTION, _END_SECTION):
        return "", _CONTROL.sub("", text).strip(), kind == _HEADER
    found = _SECTION_TEXT.fullmatch(text)
    if found is None:
        return "", _CONTROL.sub("", text).strip(), False
    name = _CONTROL.sub("", found[2])
    return name, _CONTROL.sub("", found[4].removeprefix("[0K")).strip(), "collapsed=true" in (found[3] or "")


def _unescaped(text: str) -> str:
    """Read it as a JSON string; a title that was cut may end within an escape."""
    for end in range(len(text), max(-1, len(text) - _ESCAPE_CHARS - 1), -1):
        try:
            return str(json.loads(f'"{text[:end]}"', strict=False)).encode("utf-8", "replace").decode()
        except ValueError:
            continue
    return text
