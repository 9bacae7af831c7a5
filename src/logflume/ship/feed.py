"""One stream on its way to one sink: whole lines, and the place behind them.

Holds: one block, and one line that is not whole yet. A place is named only behind lines that were given out.
Plan:  a reader of ``sources.local`` begins at the cursor's place and follows rotation. Where bytes are missing, a line
       of JSON says how many, so that whoever reads the sink's side sees it, too. How many is known by counting: each
       segment's index says where in the stream it begins.
Order: as written. Loss: what was given up before it was read; told in its place.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.errors import CursorExpired, SourceFailed
from logflume.records import Gap, GapReason
from logflume.ship import chunks
from logflume.ship.cursors import Place
from logflume.ship.lines import WholeLines
from logflume.sources.arrivals import Known
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource
from logflume.sources.openfile import key_text
from logflume.sources.rotation import rotated_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from logflume.abc import Reader, Source
    from logflume.records import Position


@dataclass(frozen=True, slots=True)
class Batch:
    """What a sink is offered.

    Attributes:
        stream: the name of the stream.
        block: whole lines, up to BLOCK_BYTES and the rest of a line.
        place: where the stream goes on behind them.
        lost_bytes: how many are missing before them, as they say themselves.
        arrived_ns: when they had come.
        told_bytes: so much of the beginning is not of the stream: it tells of what is missing, and ends a torn line.
        place_behind: where the stream goes on behind so many bytes of the block, told_bytes or more; of whole lines.
    """

    stream: str
    block: bytes
    place: Place
    lost_bytes: int
    arrived_ns: int
    told_bytes: int
    place_behind: Callable[[int], Place]


class Bases:
    """Where in a stream each of its segments begins, and when its bytes came, as the indexes beside them tell."""

    def __init__(self, folder: Path, stream: str) -> None:
        self._folder = folder / SIDE
        self._stream = stream
        self._bases: dict[str, int] = {}
        self._of_segment: tuple[str, Known] | None = None

    def arrived_ns(self, position: Position) -> int:
        """Return when the byte at a position had come; now, where nobody noted it."""
        known = self._known(position)
        return time.time_ns() if known is None else known.arrived_ns(position.offset)

    def _known(self, position: Position) -> Known | None:
        key = position.identity.key
        base = self.offset_of(position)
        if base is None:
            return None
        if self._of_segment is None or self._of_segment[0] != key:
            index = self._folder / f"{self._stream}.{base - position.offset:020d}.index"
            self._of_segment = key, Known(lambda: index.open("rb"))
        return self._of_segment[1]

    def offset_of(self, position: Position) -> int | None:
        """Return how far in the stream a position lies; None when nobody counts."""
        key = position.identity.key
        if key not in self._bases:
            self._look()
        base = self._bases.get(key)
        return None if base is None else base + position.offset

    def linear_of(self, position: Position) -> int:
        """Return where a reader goes on whose position cannot be opened: at the end of its file, or at the beginning.

        A file that is shorter than the position has lost bytes that its sink has had. Of one that is not there nobody
        knows, and all comes again rather than not at all.
        """
        linear = 0
        source = self._folder.parent / self._stream
        for path in rotated_set(source):
            status = path.stat()
            linear += status.st_size
            if key_text((status.st_dev, status.st_ino)) == position.identity.key:
                return LocalSource(source).readable_before(linear) if position.offset > status.st_size else 0
        return 0

    def _look(self) -> None:
        headers = map(chunks.read_header, self._folder.glob(f"{self._stream}.*.index"))
        self._bases = {key_text(header.key): header.base for header in headers if header}


class Feed:
    """Reads one stream from a place on; one thread uses it."""

    def __init__(self, source: Source, place: Place | None, bases: Bases, lines: WholeLines | None = None) -> None:
        """Open nothing yet. ``lines`` says where a block may end; behind whole lines if None."""
        self.stream = source.name
        self.failed: Gap | None = None
        self._source = source
        self._place = place
        self._bases = bases
        self._lines = WholeLines() if lines is None else lines
        self._reader: Reader | None = None
        self._at = 0  # linear, in the reader
        self._gaps = 0
        self._expected: int | None = None
        self._missing: list[Gap] = []
        self._changed: list[Gap] = []

    def next_batch(self, *, last: bool) -> Batch | None:
        """Return what comes next; None when there is no whole line now. ``last``: no line becomes whole any more."""
        try:
            reader = self._open()
            while True:  # a line may be longer than a block
                block = reader.read_block(BLOCK_BYTES)
                batch = self._take(reader, block, last=last)
                if batch is not None or not block:
                    break
        except SourceFailed as broken:
            self.failed = broken.gap
            self._let_go()
            return None
        self.failed = None
        return batch

    def _let_go(self) -> None:
        """Close a reader that failed; the next one goes on behind the last whole line."""
        if self._reader is None:
            return
        end = max(self._at - len(self._lines.take_rest()), self._reader.start)
        offset = None if self._expected is None else self._expected - self._at + end
        self._place = Place(self._reader.position(end), offset)
        self.close()
        self._gaps = 0

    def _take(self, reader: Reader, block: bytes, *, last: bool) -> Batch | None:
        self._at += len(block)
        before = self._note_gaps(reader, len(block))
        lines = self._lines.feed(block) if block else self._lines.take_rest() if last else self._lines.take_ripe()
        told, lost_bytes = self._told()
        if not lines and not before and not told:
            return None
        arrived_ns = self._bases.arrived_ns(reader.position(self._at - len(block)))
        return self._batch(reader, before + told, lines, lost_bytes, arrived_ns)

    def _batch(self, reader: Reader, told: bytes, lines: bytes, lost_bytes: int, arrived_ns: int) -> Batch:
        end = self._at - len(self._lines.rest)
        linear = end - len(told) - len(lines)
        counted = None if self._expected is None else self._expected - self._at

        def place_behind(size: int) -> Place:
            offset = max(linear + size, reader.start)
            return Place(reader.position(offset), None if counted is None else counted + offset)

        block = told + lines
        return Batch(self.stream, block, place_behind(len(block)), lost_bytes, arrived_ns, len(told), place_behind)

    def _open(self) -> Reader:
        if self._reader is not None:
            return self._reader
        if self._place is None:
            self._reader = self._source.open()
            self._expected = 0
        else:
            self._expected = self._place.offset
            try:
                self._reader = self._source.open(self._place.position)
            except CursorExpired as expired:
                self._reader = self._source.open(self._bases.linear_of(self._place.position))
                advice = "Give the capture a larger budget, or a sink that keeps up."
                self._missing.append(Gap(self.stream, GapReason.EXPIRED, str(expired), advice, expired.lost_bytes))
                self._gaps = len(self._reader.gaps)  # what came before its beginning is told by that
        self._at = self._reader.start
        return self._reader

    def _note_gaps(self, reader: Reader, size: int) -> bytes:
        """Find what is missing before the block just read; return the torn line before it, ended."""
        new = reader.gaps[self._gaps :]
        self._gaps = len(reader.gaps)
        changed = [gap for gap in new if gap.reason is GapReason.CORRUPT and gap.lost_bytes is not None]
        self._changed += changed  # these bytes come all the same
        self._missing += [gap for gap in new if gap not in changed]
        if not size:
            return b""
        first = self._at - size == reader.start
        begins = self._bases.offset_of(reader.position(self._at - size)) if self._missing or first else self._expected
        if first and self._place is None and begins and not self._missing:
            detail = "they were given up before this sink began."
            self._missing.append(Gap(self.stream, GapReason.EXPIRED, detail, "Nothing can be done."))
        torn = b""
        if self._missing:
            counted = None if begins is None or self._expected is None else max(0, begins - self._expected)
            if counted is not None:
                self._missing[-1] = replace(self._missing[-1], lost_bytes=counted)
            torn = self._lines.take_rest()
            torn += b"\n" if torn else b""
        self._expected = None if begins is None else begins + size
        return torn

    def _told(self) -> tuple[bytes, int]:
        missing, self._missing = self._missing + self._changed, []
        self._changed = []
        return b"".join(map(line_of_gap, missing)), sum(gap.lost_bytes or 0 for gap in missing)

    def close(self) -> None:
        """Release the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def line_of_gap(gap: Gap) -> bytes:
    """Return what a sink is told about missing bytes, as a line of JSON."""
    now = time.time_ns()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
    much = "an unknown number of" if gap.lost_bytes is None else str(gap.lost_bytes)
    state = "damaged" if gap.reason is GapReason.CORRUPT else "missing here"
    record = {
        "timestamp": f"{moment}.{now % 10**9 // 1000:06d}Z",
        "level": "error",
        "event": f"{much} bytes of {gap.source} are {state}: {gap.detail}",
        "logger": "logflume",
        "reason": gap.reason.value,
        "lost_bytes": gap.lost_bytes,
    }
    return json.dumps(record).encode() + b"\n"
