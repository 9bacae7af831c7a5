"""Send what is still in a folder again, to sinks that need not know that they had it.

Holds: cursors of its own, in a folder that is thrown away: where the sinks really are stays as it is.
Plan:  the indexes say when bytes came; a replay from a time on begins at the last entry before that.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.ship import chunks
from logflume.ship.cursors import Cursor, Place
from logflume.ship.fsck import streams_of
from logflume.ship.shipper import Job, ship_all
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logflume.ship.delivery import Progress


def replay(
    job: Job,
    *,
    since_ns: int | None = None,
    looked: Callable[[Sequence[Progress]], bool] = lambda _: True,
) -> list[Progress]:
    """Deliver all that is there, or what came since a time, to every sink of a job; return how far.

    Raises:
        UsageError, OSError: as ``ship``.

    Order:  of each stream as written. Loss: as ``ship``; the first line may be a part of one that began before.
    Memory: as ``ship``.
    """
    with tempfile.TemporaryDirectory(prefix="logflume-replay-") as state:
        if since_ns is not None:
            names = streams_of(job.folder)
            places = {name: place for name in names if (place := place_at(job.folder, name, since_ns))}
            for sink in job.sinks:
                cursor = Cursor(Path(state), sink.name)
                cursor.save(places)
                cursor.close()
        return ship_all([replace(job, state=Path(state))], looked=looked, ends_at_once=True)


def place_at(folder: Path, name: str, since_ns: int) -> Place | None:
    """Return the place in a stream before which all came earlier; None when nobody noted it, or nothing is there."""
    headers = {path: chunks.read_header(path) for path in sorted((folder / SIDE).glob(f"{name}.*.index"))}
    starts = (_before(path, header, since_ns) for path, header in headers.items() if header)
    wanted = next((start for start in starts if start is not None), None)
    last = next((header for header in reversed(headers.values()) if header), None)
    source = LocalSource(folder / name)
    if source.peek_size() is None or last is None:
        return None
    first = next(header for header in headers.values() if header)
    size_bytes = sum(member.size_bytes for member in source.survey())
    offset = size_bytes if wanted is None else min(max(0, wanted - first.base), size_bytes)
    with source.open(source.readable_before(offset)) as reader:
        return Place(reader.position(reader.start), first.base + offset)


def _before(index: Path, header: chunks.Header, since_ns: int) -> int | None:
    """Return the offset in the stream up to which an index knows only earlier bytes; None if it knows no later ones."""
    end = 0
    for entry in chunks.iter_entries(index):
        if entry.time_ns >= since_ns:
            return header.base + end
        end = entry.end
    return None
