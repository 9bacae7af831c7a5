"""How a capture stands, from what lies in its folder.

Holds: it looks and changes nothing; who captures and ships is not asked, and may be gone.
Memory: what a folder of that kind may hold: MAX_SEGMENTS indexes a stream, a cursor for each sink.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from logflume.ship import chunks, cursors
from logflume.ship.losses import read_losses
from logflume.sources.captured import SIDE, is_captured, read_note
from logflume.sources.openfile import key_text
from logflume.sources.rotation import rotated_set

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream.

    Attributes:
        name: of its newest file.
        files: how many there are.
        disk_bytes: what they take.
        end: how many bytes ever came, but those that were cut off by a power failure.
        lost_bytes: how many were given up.
    """

    name: str
    files: int
    disk_bytes: int
    end: int
    lost_bytes: int


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink.

    Attributes:
        name: of the sink.
        backlog_bytes: what it has not had yet, those that were given up included; None where nobody counts.
        refusals: how often it refused, as its shipper last noted.
        refused: why it refuses now, so noted.
        sent_bytes: what it has accepted since its shipper began, so noted.
        lost_bytes: what was given up before it could have it, so noted.
        redacted, left_out, counts: what became of lines on their way, so noted.
        lag_s: how long ago the oldest of its backlog came; 0 without one, None where nobody knows.
    """

    name: str
    backlog_bytes: int | None
    refusals: int
    refused: str | None
    sent_bytes: int = 0
    lost_bytes: int = 0
    lag_s: float | None = None
    redacted: int = 0
    left_out: int = 0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """A whole capture.

    Attributes:
        running: whether somebody captures at this moment.
        program, mode, pid, exit_code: what the last run noted; None when there is no note.
        streams, sinks: what there is.
    """

    running: bool
    program: str | None
    mode: str | None
    pid: int | None
    exit_code: int | None
    streams: list[StreamStatus]
    sinks: list[SinkStatus]


def read_status(folder: Path) -> Status:
    """Look at a folder.

    Raises:
        OSError: it cannot be read.
    """
    note = read_note(str(folder))
    names = sorted(path.name[: -len(".lock")] for path in (folder / SIDE).glob("*.lock"))
    streams = [_stream(folder, name) for name in names]
    noted = {each["sink"]: each for each in _read_note(folder / SIDE / "shipper.json").get("sinks", [])}
    ends = {stream.name: stream.end for stream in streams}
    sinks = []
    for cursor in cursors.read_all(folder / SIDE / "cursors"):
        each = noted.get(cursor.sink, {})
        backlog = _backlog(cursor.places, ends)
        sinks.append(
            SinkStatus(
                cursor.sink,
                backlog,
                each.get("refusals", 0),
                each.get("refused"),
                each.get("sent_bytes", 0),
                each.get("lost_bytes", 0),
                0.0 if backlog == 0 else _lag_s(folder, cursor.places, ends),
                each.get("redacted", 0),
                each.get("left_out", 0),
                each.get("counts", {}),
            )
        )
    return Status(
        running=is_captured(folder),
        program=note.get("program"),
        mode=note.get("mode"),
        pid=note.get("pid"),
        exit_code=note.get("exit_code"),
        streams=streams,
        sinks=sinks,
    )


def _read_note(path: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        note = json.loads(path.read_text("utf-8"))
        return note if isinstance(note, dict) else {}
    return {}


def _stream(folder: Path, name: str) -> StreamStatus:
    files = [path.stat() for path in rotated_set(folder / name)]
    headers = map(chunks.read_header, (folder / SIDE).glob(f"{name}.*.index"))
    bases = {key_text(header.key): header.base for header in headers if header}
    sizes = sum(file.st_size for file in files)
    end = bases.get(key_text((files[-1].st_dev, files[-1].st_ino)), sizes - files[-1].st_size) if files else 0
    lost = read_losses(folder / SIDE / f"{name}.losses")
    return StreamStatus(
        name,
        len(files),
        sum(file.st_blocks * 512 for file in files),
        end + (files[-1].st_size if files else 0),
        sum(loss.lost_bytes for loss in lost),
    )


def _backlog(places: dict[str, cursors.Place], ends: dict[str, int]) -> int | None:
    backlog = 0
    for name, end in ends.items():
        place = places.get(name)
        if place is not None and place.offset is None:
            return None
        backlog += end - (place.offset or 0 if place else 0)
    return backlog


def _lag_s(folder: Path, places: dict[str, cursors.Place], ends: dict[str, int]) -> float | None:
    """Return how long ago the oldest byte came that a sink has not had, as the indexes know."""
    now_ns = time.time_ns()
    came = [
        _came_ns(folder, name, offset, now_ns)
        for name, end in ends.items()
        if (offset := _offset_of(places.get(name))) < end
    ]
    known = [came_ns for came_ns in came if came_ns is not None]
    return max(0.0, (now_ns - min(known)) / 1e9) if known else None


def _offset_of(place: cursors.Place | None) -> int:
    return (place.offset or 0) if place else 0


def _came_ns(folder: Path, name: str, offset: int, now_ns: int) -> int | None:
    """Return when the byte at an offset of a stream came: now, when it is not indexed yet; None without an index."""
    came_ns = None
    for path in sorted((folder / SIDE).glob(f"{name}.*.index")):
        header = chunks.read_header(path)
        if header is None:
            continue
        came_ns = now_ns
        with contextlib.suppress(OSError):
            for entry in chunks.iter_entries(path):
                if header.base + entry.end > offset:
                    return entry.time_ns
    return came_ns
