"""Segments: budgets and policies, holes, locks."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from logflume.errors import UsageError
from logflume.records import GapReason
from logflume.ship import cursors
from logflume.ship.segments import Fsync, Reclaim, Rules, Segments, WhenOver, Writer
from logflume.sources.captured import SIDE, is_captured
from logflume.sources.local import LocalSource
from logflume.sources.openfile import KEPT_HEAD_BYTES
from logflume.sources.rotation import rotated_set

if TYPE_CHECKING:
    from pathlib import Path

NAME = "out.log"
BUDGET_BYTES = 64 * 1024
LINE = b"%019d\n"
PATIENCE_S = 60


def lines(count: int, start: int = 0) -> bytes:
    """Return numbered lines of 20 bytes."""
    return b"".join(LINE % n for n in range(start, start + count))


def acknowledge(folder: Path, sink: str, taken_bytes: int) -> None:
    """Let a sink have so many of the bytes that are there."""
    with LocalSource(folder / NAME).open() as reader:
        at = 0
        while at < taken_bytes:
            at += len(reader.read_block(taken_bytes - at))
        place = cursors.Place(reader.position(at), None)
    with contextlib.closing(cursors.Cursor(folder / SIDE / "cursors", sink)) as cursor:
        cursor.save({NAME: place})


def test_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    """Under DROP_OLDEST the newest bytes stay, within the budget; what went is counted to the byte."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES))
    written = lines(10_000)
    for at in range(0, len(written), 1000):
        segments.append(written[at : at + 1000])
    with LocalSource(tmp_path / NAME).open() as reader:
        kept = b"".join(iter(reader.read_block, b""))
    assert BUDGET_BYTES // 2 < len(kept) <= BUDGET_BYTES
    assert written.endswith(kept)
    assert segments.losses.lost_bytes == len(written) - len(kept)
    segments.close()


def test_what_every_sink_has_goes_without_being_counted(tmp_path: Path) -> None:
    """Bytes that the slowest sink has had are no loss when they go."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES))
    segments.append(lines(400))
    segments.append(lines(400, 400))
    acknowledge(tmp_path, "quick", 16_000)
    acknowledge(tmp_path, "slow", 8_000)
    for n in range(800, 8800, 400):
        segments.append(lines(400, n))
    assert segments.losses.all[0].offset == 8_000
    segments.close()


def test_waiting_goes_on_when_sinks_do(tmp_path: Path) -> None:
    """Under WAIT nothing is lost: appending goes on when the sinks have had the oldest."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES, WhenOver.WAIT))
    segments.append(lines(400))
    acknowledge(tmp_path, "sink", 1)
    for n in range(400, 3200, 400):
        segments.append(lines(400, n))
    appended = threading.Event()

    def append() -> None:
        segments.append(lines(400, 3200))
        appended.set()

    thread = threading.Thread(target=append)
    thread.start()
    assert not appended.wait(0.2)
    acknowledge(tmp_path, "sink", 24_000)
    assert appended.wait(PATIENCE_S)
    thread.join()
    assert segments.stats.waits
    assert segments.losses.all == []
    segments.close()


def test_a_child_is_asked_to_stop_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """Under STOP_CHILD the child is told once, and all that it still writes is kept."""
    asked: list[bool] = []
    rules = Rules(BUDGET_BYTES, WhenOver.STOP_CHILD)
    segments = Segments(tmp_path, NAME, rules, stop_child=lambda: asked.append(True))
    for n in range(0, 8000, 400):
        segments.append(lines(400, n))
    assert asked == [True]
    assert segments.losses.all == []
    assert segments.size_bytes == 160_000
    segments.close()


@pytest.mark.parametrize("parts", [1, 7])
def test_a_hole_keeps_a_child_s_own_file_within_the_budget(tmp_path: Path, parts: int) -> None:
    """In direct mode the file gives its oldest space back; its readers get its head, a Gap, and its newest lines."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES), writer=Writer.CHILD)
    written = lines(20_020)
    step = len(written) // parts
    for at in range(0, len(written), step):
        os.write(segments.descriptor, written[at : at + step])
        segments.tick()
    assert (tmp_path / NAME).stat().st_blocks * 512 <= BUDGET_BYTES
    with LocalSource(tmp_path / NAME).open() as reader:
        kept = b"".join(iter(reader.read_block, b""))
        assert [gap.reason for gap in reader.gaps] == [GapReason.EXPIRED]
        lost_bytes = reader.gaps[0].lost_bytes
        assert reader.gaps[0].offset == KEPT_HEAD_BYTES
        position = reader.position(len(kept) - 20)
    assert kept[:KEPT_HEAD_BYTES] == written[:KEPT_HEAD_BYTES]
    assert written.endswith(kept[KEPT_HEAD_BYTES:])
    assert lost_bytes == len(written) - len(kept) == segments.losses.lost_bytes
    with LocalSource(tmp_path / NAME).open(position) as reader:
        assert reader.read_block() == written[-20:]
    segments.close()
    again = Segments(tmp_path, NAME, Rules(BUDGET_BYTES), writer=Writer.CHILD)
    again.tick()
    assert again.losses.lost_bytes == lost_bytes
    again.close()


def test_a_reader_that_is_overtaken_by_a_hole_is_told(tmp_path: Path) -> None:
    """A reader in the middle of what is given up goes on behind it, with a Gap of what it missed."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES), writer=Writer.CHILD)
    written = lines(20_000)
    os.write(segments.descriptor, written[:20_000])
    with LocalSource(tmp_path / NAME).open() as reader:
        first = reader.read_block(10_000)
        os.write(segments.descriptor, written[20_000:])
        segments.tick()
        rest = b"".join(iter(reader.read_block, b""))
        assert first + rest == written[:10_000] + written[10_000 + (reader.gaps[0].lost_bytes or 0) :]
    segments.close()


class FullDisk:
    """Stands in for os.write: takes so many bytes, then refuses."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.refused = threading.Event()
        self._write = os.write

    def __call__(self, descriptor: int, data: bytes) -> int:
        if not self.room_bytes:
            self.refused.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(descriptor, data[: self.room_bytes])
        self.room_bytes -= taken
        return taken


def test_a_full_disk_costs_the_oldest_first_and_then_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a disk refuses is counted to the byte, survives a restart, and the line it tore is ended."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES))
    segments.append(lines(400))
    segments.append(lines(400, 400))
    disk = FullDisk(50)
    monkeypatch.setattr(os, "write", disk)
    segments.append(lines(10, 800))
    assert not (tmp_path / "out.log.1").exists()
    disk.room_bytes = 1 << 40
    segments.append(lines(10, 810))
    segments.close()
    kept = lines(10, 800)[:50] + b"\n" + lines(10, 810)
    assert (tmp_path / NAME).read_bytes() == kept
    again = Segments(tmp_path, NAME)
    assert [(loss.lost_bytes, loss.reason) for loss in again.losses.all] == [
        (8000, "over the budget"),
        (8000, "over the budget"),
        (150, "the disk took no more"),
    ]
    again.close()


@pytest.mark.parametrize("when_over", [WhenOver.WAIT, WhenOver.STOP_CHILD])
def test_a_full_disk_is_waited_for_where_nothing_may_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when_over: WhenOver
) -> None:
    """Under the other policies appending waits until the disk takes the rest, and nothing is lost."""
    asked: list[bool] = []
    segments = Segments(tmp_path, NAME, Rules(when_over=when_over), stop_child=lambda: asked.append(True))
    disk = FullDisk(50)
    monkeypatch.setattr(os, "write", disk)
    thread = threading.Thread(target=segments.append, args=(lines(10),))
    thread.start()
    assert disk.refused.wait(PATIENCE_S)
    disk.room_bytes = 1 << 40
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    segments.close()
    assert (tmp_path / NAME).read_bytes() == lines(10)
    assert segments.losses.all == []
    assert asked == [True] * (when_over is WhenOver.STOP_CHILD)


def test_nothing_waits_any_more_when_the_child_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the end what a disk still refuses is given up and counted, and a sink that is away is not waited for."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES, WhenOver.WAIT))
    segments.ended.set()
    for n in range(0, 8000, 400):
        segments.append(lines(400, n))
    assert segments.size_bytes == 160_000
    monkeypatch.setattr(os, "write", FullDisk(0))
    segments.append(lines(1))
    monkeypatch.undo()
    segments.close()
    assert [loss.lost_bytes for loss in segments.losses.all] == [20]


def test_segments_are_changed_by_age(tmp_path: Path) -> None:
    """With a largest age a new segment is begun for what comes after it."""
    segments = Segments(tmp_path, NAME, Rules(max_age_s=1e-9))
    segments.append(b"first\n")
    segments.append(b"second\n")
    segments.close()
    assert [(tmp_path / name).read_bytes() for name in ("out.log.1", "out.log")] == [b"first\n", b"second\n"]


def test_a_stream_is_opened_by_one(tmp_path: Path) -> None:
    """While a stream is open nobody else can open it, and others can see that."""
    segments = Segments(tmp_path, NAME)
    assert is_captured(tmp_path)
    with pytest.raises(UsageError, match="is being captured into"):
        Segments(tmp_path, NAME)
    segments.close()
    assert not is_captured(tmp_path)


def test_a_line_that_somebody_still_writes_is_not_ended(tmp_path: Path) -> None:
    """A torn line is ended only when no process has the file open for writing any more."""
    (tmp_path / NAME).write_bytes(b"half")
    with (tmp_path / NAME).open("ab", buffering=0) as writer:
        Segments(tmp_path, NAME, writer=Writer.CHILD).close()
        writer.write(b" and the rest\n")
    assert (tmp_path / NAME).read_bytes() == b"half and the rest\n"


@pytest.mark.parametrize("fsync", list(Fsync))
def test_every_way_to_sync_keeps_the_same(tmp_path: Path, fsync: Fsync) -> None:
    """What is kept does not depend on when it is synced."""
    segments = Segments(tmp_path, NAME, Rules(BUDGET_BYTES, segment_bytes=1000, fsync=fsync))
    for n in range(0, 200, 10):
        segments.append(lines(10, n))
        segments.tick()
    segments.close()
    with LocalSource(tmp_path / NAME).open() as reader:
        assert b"".join(iter(reader.read_block, b"")) == lines(200)


@pytest.mark.parametrize(
    ("rules", "writer", "said"),
    [
        (Rules(1000), Writer.US, "at least 65536 bytes"),
        (Rules(when_over=WhenOver.WAIT), Writer.CHILD, "capture by a pipe"),
        (Rules(fsync=Fsync.ALWAYS), Writer.CHILD, "synced at intervals, or never"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(tmp_path: Path, rules: Rules, writer: Writer, said: str) -> None:
    """What cannot be promised is not accepted, and nothing is made."""
    with pytest.raises(UsageError, match=said):
        Segments(tmp_path / "new", NAME, rules, writer=writer)
    assert not (tmp_path / "new").exists()


def test_space_comes_back_when_every_sink_has_the_bytes(tmp_path: Path) -> None:
    """With a sink that has had all, older segments go at the next one, long before the budget; nothing is a loss."""
    rules = Rules(1 << 20, segment_bytes=20_000, reclaim=Reclaim.DELIVERED)
    segments = Segments(tmp_path, "out.log", rules)
    for _ in range(4):
        segments.append(b"x" * 14_999 + b"\n")
    assert len(rotated_set(tmp_path / "out.log")) == 4
    acknowledge(tmp_path, "sink", 60_000)
    segments.append(b"x" * 14_999 + b"\n")
    assert len(rotated_set(tmp_path / "out.log")) == 2
    assert segments.losses.all == []
    for _ in range(2):
        segments.append(b"x" * 14_999 + b"\n")
    assert len(rotated_set(tmp_path / "out.log")) == 3
    segments.close()


def test_space_comes_back_in_a_child_s_own_file(tmp_path: Path) -> None:
    """In direct mode what every sink has had becomes a hole; what it has not stays."""
    rules = Rules(1 << 26, reclaim=Reclaim.DELIVERED)
    segments = Segments(tmp_path, "out.log", rules, writer=Writer.CHILD)
    os.write(segments.descriptor, b"x" * 4_999_999 + b"\n")
    segments.tick()
    assert segments.size_bytes == 5_000_000
    acknowledge(tmp_path, "sink", 5_000_000)
    os.write(segments.descriptor, b"y" * 999_999 + b"\n")
    segments._reclaimed_s = float("-inf")
    segments.tick()
    assert 1_000_000 < segments.size_bytes < 1_100_000
    assert segments.losses.all == []
    segments.close()


def test_what_was_kept_long_enough_goes(tmp_path: Path) -> None:
    """A full segment whose last byte is too old goes with the next one, and counts as lost where no sink had it."""
    segments = Segments(tmp_path, "out.log", Rules(1 << 20, segment_bytes=20_000, keep_s=3600))
    for _ in range(3):
        segments.append(b"x" * 14_999 + b"\n")
    os.utime(tmp_path / "out.log.2", (1, 1))
    segments.append(b"x" * 14_999 + b"\n")
    assert len(rotated_set(tmp_path / "out.log")) == 3
    assert [(loss.offset, loss.lost_bytes) for loss in segments.losses.all] == [(0, 15_000)]
    segments.close()
