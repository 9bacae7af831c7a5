"""Segments against a model, through crashes at any point: what is there is always known from what was appended."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logflume.records import GapReason
from logflume.ship import chunks
from logflume.ship.segments import Fsync, Rules, Segments
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource
from logflume.sources.rotation import rotated_set

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 60
BUDGET_BYTES = 64 * 1024
NAME = "out.log"


class PulledPlug(Exception):
    """The process ends here."""


class Model:
    """Appends, looks, crashes and opens again; ``stream`` is all that may be read, the oldest of it gone."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.rules = Rules(
            budget_bytes=BUDGET_BYTES, segment_bytes=self.random.choice([900, 5000, 20000]), fsync=Fsync.NEVER
        )
        self.stream = b""
        self.segments = Segments(folder, NAME, self.rules)

    def append(self) -> None:
        data = self.random.randbytes(self.random.choice([1, 10, 300, 3000]))
        data += self.random.choice([b"", b"\n"])
        self.stream += data
        self.segments.append(data)

    def tick(self) -> None:
        self.segments.tick(self.random.randrange(1 << 60), to_end=self.random.random() < 0.5)

    def close(self) -> None:
        self.segments.close()
        self.open()

    def kill(self) -> None:
        """The process ends: what was written is there."""
        abandon(self.segments)
        self.open()

    def kill_while_rotating(self) -> None:
        """The process ends between two renames, or before the new file is there."""
        left = self.random.randrange(12)

        def count_down() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise PulledPlug

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(PulledPlug):
            for name in ("rename", "write_bytes", "unlink"):
                patch.setattr(Path, name, counted(getattr(Path, name), count_down))
            for _ in range(20):
                before = self.segments.end
                data = b"x" * 700 + b"\n"
                self.segments.append(data)
                assert self.segments.end == before + len(data)
                self.stream += data
        self.kill()

    def refuse_files(self) -> None:
        """The disk takes bytes, but for a while renames and new files at times only; then all is well again."""

        def refuse_at_times() -> None:
            if self.random.random() < 0.3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.MonkeyPatch.context() as patch:
            for name in ("rename", "write_bytes"):
                patch.setattr(Path, name, counted(getattr(Path, name), refuse_at_times))
            for _ in range(20):
                self.append()
        self.segments.append(b"\n" * self.rules.full_bytes())
        self.stream += b"\n" * self.rules.full_bytes()
        self.append()
        self.compare()

    def lose_power(self) -> None:
        """The system ends: of the newest segment only a part is left, of its index another."""
        abandon(self.segments)
        live = self.folder / NAME
        size_bytes = live.stat().st_size
        left = self.random.randint(0, size_bytes)
        os.truncate(live, left)
        self.stream = self.stream[: len(self.stream) - (size_bytes - left)]
        for index in (self.folder / SIDE).glob("*.index"):
            if self.random.random() < 0.5:
                os.truncate(index, self.random.randint(0, index.stat().st_size))
        self.open()

    def lose_indexes(self) -> None:
        """Somebody removes some indexes, and writes over others."""
        abandon(self.segments)
        for index in (self.folder / SIDE).glob("*.index"):
            chance = self.random.random()
            if chance < 0.3:
                index.unlink()
            elif chance < 0.6:
                with index.open("r+b") as file:
                    file.seek(self.random.randint(0, index.stat().st_size))
                    file.write(self.random.randbytes(10))
        self.open()

    def open(self) -> None:
        """Open again, and compare; a torn line has been ended."""
        if self.stream and not self.stream.endswith(b"\n") and self.sizes():
            self.stream += b"\n"
        self.segments = Segments(self.folder, NAME, self.rules)
        self.compare()

    def sizes(self) -> int:
        return sum(path.stat().st_size for path in rotated_set(self.folder / NAME))

    def compare(self) -> None:
        kept = b"".join(path.read_bytes() for path in rotated_set(self.folder / NAME))
        assert self.stream.endswith(kept)
        gone = len(self.stream) - len(kept)
        assert self.sizes() <= BUDGET_BYTES
        counted_bytes = sum(loss.lost_bytes for loss in self.segments.losses.all if loss.reason == "over the budget")
        assert gone <= counted_bytes, "bytes went that were not counted"
        with LocalSource(self.folder / NAME).open() as reader:
            assert b"".join(iter(reader.read_block, b"")) == kept
            assert {gap.reason for gap in reader.gaps} <= {GapReason.EXPIRED}  # what came before is not there any more


def counted(method: object, count_down: object) -> object:
    """Return a method of Path that may be the last thing that a process does."""

    def call(*args: object, **options: object) -> object:
        count_down()  # type: ignore[operator]
        return method(*args, **options)  # type: ignore[operator]

    return call


def abandon(segments: Segments) -> None:
    """Leave all as the end of the process leaves it."""
    descriptors = [segments._descriptor, segments._lock_file]
    for segment in [*segments._segments, *segments._forgotten]:
        if segment.chunks is not None:
            descriptors += [segment.chunks._segment, segment.chunks._index]
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.mark.parametrize("seed", range(60))
def test_any_crash_leaves_what_was_written(tmp_path: Path, seed: int) -> None:
    """After any crash the files hold a suffix of what was appended, in order, and what was given up is counted."""
    model = Model(tmp_path, seed)
    steps = [model.append] * 10 + [model.tick] * 4 + [model.close, model.kill, model.kill_while_rotating]
    steps += [model.lose_power, model.lose_indexes, model.refuse_files]
    for _ in range(STEPS):
        model.random.choice(steps)()
    model.compare()
    model.segments.close()


def entries(folder: Path) -> Iterator[tuple[chunks.Header, list[chunks.Entry]]]:
    """Yield what the indexes say."""
    for path in sorted((folder / SIDE).glob("*.index")):
        header = chunks.read_header(path)
        assert header
        yield header, list(chunks.iter_entries(path))


@pytest.mark.parametrize("seed", range(20))
def test_indexes_tell_where_segments_lie_and_when_their_bytes_came(tmp_path: Path, seed: int) -> None:
    """Without a crash the indexes cover every byte that is kept, in order, and every checksum fits."""
    model = Model(tmp_path, seed)
    for _ in range(STEPS):
        model.random.choice([model.append, model.append, model.tick])()
    model.segments.close()
    files = rotated_set(tmp_path / NAME)
    at = len(model.stream) - sum(path.stat().st_size for path in files)
    for path, (header, found) in zip(files, entries(tmp_path), strict=True):
        assert header.base == at
        assert header.key == (path.stat().st_dev, path.stat().st_ino)
        assert (found[-1].end if found else 0) == path.stat().st_size
        descriptor = os.open(path, os.O_RDONLY)
        index = tmp_path / SIDE / f"{NAME}.{header.base:020d}.index"
        assert list(chunks.iter_damage(descriptor, index)) == []
        os.close(descriptor)
        at += path.stat().st_size


def test_changed_bytes_are_counted_when_it_is_opened_again(tmp_path: Path) -> None:
    """Bytes that are not what was written count as lost, once; the rest stays."""
    segments = Segments(tmp_path, NAME)
    segments.append(b"a" * 100_000 + b"\n")
    segments.tick()
    segments.append(b"b" * 100_000 + b"\n")
    segments.close()
    with (tmp_path / NAME).open("r+b") as file:
        file.seek(150_000)
        file.write(b"\0" * 1000)
    for _ in range(2):
        segments = Segments(tmp_path, NAME)
        assert [(loss.offset, loss.lost_bytes) for loss in segments.losses.all] == [(100_001, 100_001)]
        segments.close()
    assert (tmp_path / NAME).stat().st_size == 200_002


def test_synced_bytes_that_a_power_failure_took_are_counted(tmp_path: Path) -> None:
    """What the index knows and the file has not is counted as lost."""
    segments = Segments(tmp_path, NAME, Rules(fsync=Fsync.ALWAYS))
    segments.append(b"line\n" * 1000)
    segments.close()
    os.truncate(tmp_path / NAME, 3000)
    segments = Segments(tmp_path, NAME)
    assert [(loss.offset, loss.lost_bytes) for loss in segments.losses.all] == [(3000, 2000)]
    segments.close()
