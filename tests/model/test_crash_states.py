"""A power failure at any moment, whatever it takes of the unsynced: what was synced is there, and all tools work."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from logflume.ship import chunks
from logflume.ship.cursors import Cursor, read_cursor
from logflume.ship.feed import Bases, Feed
from logflume.ship.fsck import check, repair
from logflume.ship.replay import replay
from logflume.ship.segments import Fsync, Rules, Segments
from logflume.ship.shipper import Job
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource
from logflume.sources.rotation import rotated_set
from tests.model.crashes import Call, Recorder, State, iter_states
from tests.unit.test_delivery import ListSink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "out.log"
LINE_BYTES = 20
FEW = 150
"""So many states are tried; all of them with LOGFLUME_ALL_STATES set, which takes minutes."""

RULES = Rules(64 * 1024, segment_bytes=16 * 1024, fsync=Fsync.ALWAYS)


@dataclass
class Known:
    """What had happened by a moment."""

    appended: int = 0  # bytes whose append had begun
    synced: int = 0  # … had returned
    delivered: int = 0
    removed: int = 0


@dataclass
class Story:
    """What was done, and what is known at each call of it."""

    stream: bytes = b""
    calls: list[Call] = field(default_factory=list)
    inodes: dict[int, int] = field(default_factory=dict)

    def restore(self, state: State, folder: Path) -> None:
        """Write a state; files that name others by their inodes name the new ones."""
        new = state.restore(folder)
        (folder / SIDE / "cursors").mkdir(parents=True, exist_ok=True)
        renamed = {self.inodes[number]: inode for number, inode in new.items()}
        device = folder.stat().st_dev
        for path in (folder / SIDE).glob("*.index"):
            header = chunks.read_header(path)
            if header is not None:
                other = chunks.Header(header.base, (device, renamed.get(header.key[1], 0)), header.began_ns)
                path.write_bytes(other.pack() + path.read_bytes()[chunks.HEADER.size :])
        for path in (folder / SIDE / "cursors").glob("*.cursor"):
            with contextlib.suppress(ValueError):
                read_cursor(path)
                body = path.read_text().partition(" ")[2].rstrip("\n")
                found = re.sub(r"(\d+):(\d+)", lambda key: f"{key[1]}:{renamed.get(int(key[2]), 0)}", body)
                path.write_text(f"{zlib.crc32(found.encode()):08x} {found}\n")

    def known(self, moment: int) -> Known:
        known = Known()
        for call in self.calls[:moment]:
            if call.what == "mark":
                setattr(known, call.path, call.at)
        return known


def deliver(folder: Path, sink: list[bytes], recorder: Recorder | None = None, turns: int = 100) -> None:
    """Bring what is there to a sink that keeps everything, as a delivery does it."""
    with contextlib.closing(Cursor(folder / SIDE / "cursors", "sink")) as cursor:
        feed = Feed(LocalSource(folder / NAME), cursor.places.get(NAME), Bases(folder, NAME))
        with contextlib.closing(feed):
            for _ in range(turns):
                batch = feed.next_batch(last=True)
                if batch is None:
                    return
                sink.append(batch.block)
                if recorder is not None:
                    recorder.mark("delivered", sum(map(len, sink)))
                cursor.save({NAME: batch.place})


def record(folder: Path, monkeypatch: pytest.MonkeyPatch, *, delivering: bool, seed: int) -> Story:
    """Write until segments rotate and the oldest go, shipping now and then; close and open in between."""
    story, dice = Story(), random.Random(seed)
    (folder / SIDE / "cursors").mkdir(parents=True)
    recorder = Recorder(folder)
    taken: list[bytes] = []
    with monkeypatch.context() as patches:
        recorder.install(patches)
        for _ in range(2):
            segments = Segments(folder, NAME, RULES)
            for turn in range(9):
                count = dice.randint(1, 900)
                start = len(story.stream) // LINE_BYTES
                data = b"".join(b"%019d\n" % number for number in range(start, start + count))
                story.stream += data
                recorder.mark("appended", len(story.stream))
                segments.append(data)
                recorder.mark("removed", segments._segments[0].base)
                recorder.mark("synced", len(story.stream))
                if turn % 4 == 0:
                    segments.tick()
                if delivering and turn % 5 == 2:
                    deliver(folder, taken, recorder)
            segments.close()
    assert len(story.stream) > 2 * RULES.budget_bytes
    story.calls, story.inodes = recorder.calls, recorder.inodes
    recorder.close()
    return story


def first_line_at(kept: bytes, otherwise: int) -> int:
    """Return where in the stream what is kept begins."""
    return int(kept[:19]) * LINE_BYTES if len(kept) >= 19 else otherwise


def require_recovered(folder: Path, story: Story, state: State) -> None:
    """What was synced and not given up is there, in order; what was given up and not delivered is counted."""
    known = story.known(state.calls)
    segments = Segments(folder, NAME, RULES)
    kept = b"".join(path.read_bytes() for path in rotated_set(folder / NAME))
    start = first_line_at(kept, known.removed)
    body = kept if story.stream[start:].startswith(kept) else kept.removesuffix(b"\n")
    assert story.stream[start:].startswith(body), "what is kept is no stretch of what was written"
    assert start + len(body) >= known.synced, "synced bytes are gone"
    # A removal is noted behind the append that made it.
    issued = max(known.removed, *(call.at for call in story.calls[: state.calls + 60] if call.path == "removed"), 0)
    assert start <= issued, "the oldest are gone, and nobody removed them"
    lost_bytes = segments.losses.lost_bytes
    assert start - known.delivered <= lost_bytes, (
        f"{start} went, {known.delivered} were delivered, {lost_bytes} counted"
    )
    segments.close()


def require_delivered(folder: Path, story: Story, state: State) -> None:
    """All that is kept and was not delivered before is delivered; nothing but the last batches comes twice."""
    before = story.stream[: story.known(state.calls).delivered]
    kept = b"".join(path.read_bytes() for path in rotated_set(folder / NAME))
    after: list[bytes] = []
    deliver(folder, after)
    lines = Counter(before.splitlines()) + Counter(line for line in b"".join(after).splitlines() if line[:1] != b"{")
    missing = set(kept.splitlines()) - lines.keys() - {b""}
    assert not missing, f"{len(missing)} lines were not delivered: {sorted(missing)[:3]}"


def require_tools_work(folder: Path) -> None:
    """Fsck finds its way, and leaves no fault; a replay brings all."""
    check(folder)
    repair(folder)
    assert check(folder) == []
    sink = ListSink()
    assert replay(Job(folder, [sink]))[0].done
    kept = b"".join(path.read_bytes() for path in rotated_set(folder / NAME))
    got = b"".join(line for line in sink.all.splitlines(keepends=True) if line[:1] != b"{")
    assert got == kept


@pytest.mark.parametrize("delivering", [True, False], ids=["with a sink", "without"])
def test_every_state_that_a_crash_can_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivering: bool) -> None:
    """Each beginning and reordering of what was not synced recovers without loss of what was."""
    story = record(tmp_path / "recorded", monkeypatch, delivering=delivering, seed=3)
    states = list(iter_states(story.calls))
    assert len(states) > FEW
    step = 1 if os.environ.get("LOGFLUME_ALL_STATES") else len(states) // FEW
    for number, state in enumerate(states[::step]):
        folder = tmp_path / "state"
        folder.mkdir()
        story.restore(state, folder)
        try:
            if number % 5 == 0:  # the tools work before anything is recovered, too
                copy = tmp_path / "copy"
                story.restore(state, copy)
                require_tools_work(copy)
                shutil.rmtree(copy)
            require_recovered(folder, story, state)
            require_delivered(folder, story, state)
            if number % 5 == 1:
                require_tools_work(folder)
        except Exception as error:
            raise AssertionError(f"state {number} after {state.calls} calls: {sorted(state.files)}") from error
        shutil.rmtree(folder)


def test_a_state_is_what_a_crash_may_leave() -> None:
    """Of what was not synced any part may be there; what was synced always is."""
    calls: Sequence[Call] = [
        Call("create", 1, "a"),
        Call("write", 1, data=b"one", at=0),
        Call("sync", 1),
        Call("syncdir", path="."),
        Call("write", 1, data=b"twoo", at=3),
        Call("rename", path="a", other="b"),
    ]
    states = [state.files for state in iter_states(calls)]
    assert all(next(iter(state.files.values())).startswith(b"one") for state in iter_states(calls) if state.calls >= 4)
    found = {(name, data) for files in states for name, data in files.items()}
    assert {("a", b"one"), ("a", b"onetw"), ("b", b"onetwoo"), ("b", b"one")} <= found
