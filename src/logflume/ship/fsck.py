"""Is what lies in a captured folder what came; and if not, put it in order without losing a byte.

Holds: checking changes nothing. Repairing changes no captured byte: what is damaged beside them is set aside under
       another name and made anew, and bytes that are not what came are written down as a loss.
Plan:  every segment is compared with the checksums of its index, its place in the stream with that of its neighbours;
       then cursors and notes. Each fault says what repairing does about it.
Memory: one piece of a segment, and what an index says.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.ship import chunks, cursors, losses
from logflume.ship.segments import bases_of, lock
from logflume.sources.captured import NOTE, SIDE
from logflume.sources.openfile import key_text, punched_until
from logflume.sources.rotation import rotated_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be.

    Attributes:
        path: the file.
        what: in words.
        repair: what repairing does.
        lost_bytes: how many captured bytes are gone or changed; 0 where none is.
        offset: where in the stream they begin, when that is known.
    """

    path: Path
    what: str
    repair: str
    lost_bytes: int = 0
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """One segment as it lies there."""

    path: Path
    key: str
    size_bytes: int
    header: chunks.Header | None
    index: Path | None


def check(folder: Path) -> list[Fault]:
    """Look at everything, change nothing.

    A stream that is being captured into may be ahead of its index; that is no fault.

    Raises:
        OSError: the folder cannot be read.
    """
    side = folder / SIDE
    found = [fault for name in streams_of(folder) for fault in _check_stream(folder, name)]
    found += _check_cursors(folder)
    found += [
        Fault(path, "it was not finished", "it is set aside") for path in sorted(side.rglob("*.part")) if path.is_file()
    ]
    note = side / NOTE
    if note.exists() and not _is_json(note):
        found.append(Fault(note, "it is no JSON", "it is set aside"))
    return found


def repair(folder: Path) -> list[Fault]:
    """Put in order what ``check`` finds; return that. Nobody may capture into the folder meanwhile.

    Raises:
        UsageError: somebody captures into it, or ships from it.
        OSError: the folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        for name in streams_of(folder):
            held.callback(os.close, lock(folder / SIDE / f"{name}.lock"))
        faults = check(folder)
        for name in streams_of(folder):
            _write_down(folder, name, [fault for fault in faults if fault.lost_bytes and _is_of(fault.path, name)])
        for fault in faults:
            if fault.path.parent != folder and fault.path.exists():
                _set_aside(fault.path)
        for name in streams_of(folder):
            _rebuild(folder, name, {fault.path for fault in faults})
    return faults


def streams_of(folder: Path) -> list[str]:
    """Name the streams that were captured into a folder."""
    return sorted(path.name.removesuffix(".lock") for path in (folder / SIDE).glob("*.lock"))


# Checking


def _check_stream(folder: Path, name: str) -> Iterator[Fault]:
    files = list(_files_of(folder, name))
    counted = losses.read_losses(folder / SIDE / f"{name}.losses")
    if losses.is_damaged(folder / SIDE / f"{name}.losses"):
        yield Fault(folder / SIDE / f"{name}.losses", "lines of it are damaged", "it is set aside; good lines stay")
    end: int | None = None
    for file in files:
        if file.header is None or file.index is None:
            yield Fault(file.path, "it has no index", "one is made, of the bytes as they are")
            end = None
            continue
        yield from _check_segment(file, counted)
        if end is not None and file.header.base > end and not _is_counted(counted, end, file.header.base):
            missing = file.header.base - end
            what = f"{missing} bytes before it are not there"
            yield Fault(file.path, what, "they are written down as lost", missing, end)
        end = file.header.base + file.size_bytes
    known = {file.index for file in files}
    for path in sorted((folder / SIDE).glob(f"{name}.*.index")):
        if path not in known:
            yield Fault(path, "it is damaged, or of a file that is not there", "it is set aside")


def _files_of(folder: Path, name: str) -> Iterator[_File]:
    headers = {path: chunks.read_header(path) for path in (folder / SIDE).glob(f"{name}.*.index")}
    by_key = {key_text(header.key): (path, header) for path, header in headers.items() if header}
    for path in rotated_set(folder / name):
        if path.suffix in _COMPRESSED:
            continue
        status = path.stat()
        key = key_text((status.st_dev, status.st_ino))
        index, header = by_key.get(key, (None, None))
        yield _File(path, key, status.st_size, header, index)


def _check_segment(file: _File, counted: list[losses.Loss]) -> Iterator[Fault]:
    assert file.header is not None  # noqa: S101 - as its caller has seen
    assert file.index is not None  # noqa: S101 - as above
    descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for damage in chunks.iter_damage(descriptor, file.index, punched_until(descriptor)):
            size = os.fstat(descriptor).st_size
            start = damage.start if damage.end <= size else max(damage.start, size)
            lost_bytes, offset = damage.end - start, file.header.base + start
            if _is_counted(counted, offset, offset + lost_bytes):
                continue
            state = "are not there" if damage.end > size else "are not what came"
            what = f"{lost_bytes} bytes from {start} on {state}"
            yield Fault(file.path, what, "they are written down as lost; the index is made anew", lost_bytes, offset)
    finally:
        os.close(descriptor)
    size_bytes = file.index.stat().st_size
    good = sum(1 for _ in chunks.iter_entries(file.index))
    if size_bytes != chunks.HEADER.size + good * chunks.ENTRY.size:
        yield Fault(file.index, "its end is damaged", "it is set aside, and made anew")


def _is_counted(counted: list[losses.Loss], start: int, end: int) -> bool:
    """Tell whether losses that are written down cover a range."""
    at = start
    for loss in sorted(counted, key=lambda loss: loss.offset):
        if loss.offset <= at < loss.offset + loss.lost_bytes:
            at = loss.offset + loss.lost_bytes
    return at >= end


def _check_cursors(folder: Path) -> Iterator[Fault]:
    side = folder / SIDE / "cursors"
    ends = {name: {file.key: file.size_bytes for file in _files_of(folder, name)} for name in streams_of(folder)}
    for path in sorted(side.glob("*.cursor")):
        try:
            stored = cursors.read_cursor(path)
        except (ValueError, OSError) as error:
            yield Fault(path, f"it is damaged ({error})", "it is set aside; its sink gets all again")
            continue
        for name, place in stored.places.items():
            size_bytes = ends.get(name, {}).get(place.position.identity.key)
            if size_bytes is not None and place.position.offset > size_bytes:
                what = f"{stored.sink} has had more of {name} than there is"
                yield Fault(path, what, "it is set aside; its sink gets all again")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


# Repairing


def _is_of(path: Path, name: str) -> bool:
    return path.name == name or path.name.startswith(f"{name}.")


def _write_down(folder: Path, name: str, faults: list[Fault]) -> None:
    if not faults:
        return
    kept = losses.Losses(folder / SIDE / f"{name}.losses", folder / SIDE / f"{name}.reserve")
    for fault in faults:
        kept.add(losses.Loss(time.time_ns(), fault.offset or 0, fault.lost_bytes, "found by fsck: " + fault.what))


def _rebuild(folder: Path, name: str, faulty: set[Path]) -> None:
    """Make indexes anew: of segments without one, and of those whose bytes are not what it says."""
    files = list(_files_of(folder, name))
    known = {file.header.key: file.index for file in files if file.header and file.index}
    for file, base in zip(files, bases_of([file.path for file in files], known), strict=True):
        if file.header is None or file.path in faulty:
            _rebuild_one(folder, name, file, base)


def _rebuild_one(folder: Path, name: str, file: _File, base: int) -> None:
    if file.index is not None:
        _set_aside(file.index)
    status = file.path.stat()
    began_ns = file.header.began_ns if file.header else status.st_mtime_ns
    header = chunks.Header(base, (status.st_dev, status.st_ino), began_ns)
    descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks.rebuild(folder / SIDE / f"{name}.{base:020d}.index", header, descriptor)
    finally:
        os.close(descriptor)


def _set_aside(path: Path) -> None:
    """Rename a file to a name that nobody looks for and nothing has yet."""
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged.{number}")
    path.rename(aside)
