"""A place in a stream that has no positions: known again by the lines before it.

Holds: digests of the last LINES lines, and of all that was before them; no line is kept.
Plan:  ``LastLines`` notes what passes. A stream that gives the same again has the same digest up to the place. In one
that gives its last lines only, and has gone on since, ``find_lines`` finds the place by the lines before it.

Not here: streams, threads.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINES = 16
"""So many lines before a place are known again; among more equal ones in a row, places look alike."""

_LINE_BYTES = 6  # of a line's digest: several of them by chance are out of the question


class Anchor(NamedTuple):
    """A place after a line.

    Attributes:
        at: its offset.
        digest: of all before it.
        lines: digests of the last lines before it, one after the other, as hexadecimal digits.
    """

    at: int
    digest: str
    lines: str


class LastLines:
    """Notes what passes. ``anchor`` is the place after the last whole line; None while there is none."""

    def __init__(self) -> None:
        self.anchor: Anchor | None = None
        self._at = 0
        self._all = hashlib.blake2b(digest_size=16)
        self._line = _digest_of_line()  # of the one that has no end yet
        self._lines: deque[bytes] = deque(maxlen=LINES)

    def note(self, block: bytes) -> None:
        """Take what comes next."""
        *lines, rest = block.rsplit(b"\n", LINES + 1)
        if not lines:
            self._line.update(rest)
        elif len(lines) <= LINES:  # the first of them is the end of one that had begun before
            self._line.update(lines[0])
            self._lines.append(self._line.digest())
        self._lines.extend(_digest_of_line(line).digest() for line in lines[1:])
        self._all.update(block[: len(block) - len(rest)])
        if lines:
            digest, of_lines = self._all.hexdigest(), b"".join(self._lines).hex()
            self.anchor = Anchor(self._at + len(block) - len(rest), digest, of_lines)
            self._line = _digest_of_line(rest)
        self._all.update(rest)
        self._at += len(block)


def find_lines(wanted: str, blocks: Iterable[bytes]) -> int | None:
    """Return the offset after the lines of an Anchor; None when they are not there.

    All of them are looked for; then the last of them as the first lines of the blocks, which begin with these when the
    stream has dropped what was before. Where places look alike the first is taken: lines may come twice, none is lost.

    Memory: one block.
    """
    last = [wanted[at : at + 2 * _LINE_BYTES] for at in range(0, len(wanted), 2 * _LINE_BYTES)]
    seen: deque[str] = deque(maxlen=len(last))
    at_start = None
    for number, (digest, end) in enumerate(_iter_lines(blocks), start=1):
        seen.append(digest)
        if digest != last[-1]:
            continue
        if list(seen) == last:
            return end
        if number < len(last) and list(seen) == last[-number:]:
            at_start = end
    return at_start


def _iter_lines(blocks: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    """Yield each whole line's digest, and the offset after it."""
    offset, line = 0, _digest_of_line()
    for block in blocks:
        *ends, rest = block.split(b"\n")
        for end in ends:
            line.update(end)
            offset += len(end) + 1
            yield line.hexdigest(), offset
            line = _digest_of_line()
        line.update(rest)
        offset += len(rest)


def _digest_of_line(begin: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(begin, digest_size=_LINE_BYTES)
