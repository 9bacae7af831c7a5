"""The spool against a model: what may come out is known from what went in, whatever the order of calls."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from logflume import spool as spool_module
from logflume.errors import SpoolFull
from logflume.spool import SEGMENTS, Spool, WhenFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST_BLOCK = 300
PATIENCE_S = 60


class FlakyFile(FileIO):
    """An unnamed file that takes a part of a write, or none, whenever ``fails()`` says so."""

    def __init__(self, fails: Callable[[], bool]) -> None:
        descriptor, name = tempfile.mkstemp()
        Path(name).unlink()
        super().__init__(descriptor, "r+")
        self._fails = fails

    def write(self, data: object) -> int:
        if self._fails():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = memoryview(data)  # type: ignore[arg-type]
        return super().write(view[: len(view) // 2 + 1])


class SmallChunks(RuleBasedStateMachine):
    """One thread calls both sides, under the two policies that never wait.

    The model is all accepted bytes, the offsets at which blocks end, and the reader's offset among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(spool_module, "BLOCK_BYTES", 64)
        self.patch.setattr(spool_module, "_SMALL_BYTES", 32)
        self.patch.setattr(spool_module, "_open_unnamed", lambda _folder: FlakyFile(lambda: self.disk_full))
        self.disk_full = False
        self.written = b""
        self.edges = {0}
        self.at = 0
        self.gaps_seen = 0
        self.marks = random.Random(0)

    @initialize(
        memory_bytes=st.sampled_from([0, 40, 200, 1000]),
        disk_bytes=st.sampled_from([0, 100, 900, 5000]),
        policy=st.sampled_from([WhenFull.DROP_OLDEST, WhenFull.FAIL]),
    )
    def open(self, memory_bytes: int, disk_bytes: int, policy: WhenFull) -> None:
        self.memory_bytes, self.disk_bytes, self.policy = memory_bytes, disk_bytes, policy
        self.spool = Spool(memory_bytes=memory_bytes, disk_bytes=disk_bytes, when_full=policy)

    @property
    def held(self) -> int:
        stats = self.spool.stats()
        return stats.written_bytes - stats.read_bytes - stats.dropped_bytes

    @rule(size=st.integers(0, LARGEST_BLOCK))
    def write(self, size: int) -> None:
        block = self.marks.randbytes(size)
        before = self.spool.stats()
        try:
            assert self.spool.write(block)
        except SpoolFull as refusal:
            assert self.policy is WhenFull.FAIL
            assert refusal.lost_bytes == size  # noqa: PT017 - whether it is raised is what the model finds out
            assert before.memory_bytes + size > self.memory_bytes
        else:
            self.written += block
            self.edges.add(len(self.written))
        if self.spool.stats().dropped_bytes > before.dropped_bytes:
            assert self.policy is WhenFull.DROP_OLDEST
            assert before.memory_bytes + size > self.memory_bytes

    @rule(max_bytes=st.integers(1, 400))
    def read(self, max_bytes: int) -> None:
        block = self.spool.read_block(max_bytes, timeout_s=0)
        for gap in self.spool.gaps[self.gaps_seen :]:
            assert gap.offset == self.at
            assert self.at in self.edges, "a gap begins in the middle of a block"
            self.at += gap.lost_bytes or 0
            assert self.at in self.edges, "a gap ends in the middle of a block"
        self.gaps_seen = len(self.spool.gaps)
        assert len(block) <= max_bytes
        assert block == self.written[self.at : self.at + len(block)]
        self.at += len(block)
        assert block or self.at == len(self.written)

    @rule()
    @precondition(lambda self: not self.disk_full)
    def fill_the_disk(self) -> None:
        self.disk_full = True

    @rule()
    @precondition(lambda self: self.disk_full)
    def free_the_disk(self) -> None:
        self.disk_full = False

    @invariant()
    def bounds_hold(self) -> None:
        stats = self.spool.stats()
        assert stats.memory_peak_bytes <= self.memory_bytes + 2 * LARGEST_BLOCK
        assert stats.disk_peak_bytes <= self.disk_bytes
        assert len(self.spool._disk._segments) <= 2 * SEGMENTS + 1
        assert self.held >= 0

    def teardown(self) -> None:
        try:
            self.spool.finish()
            while not self.spool.ended:
                self.read(100)
            assert self.held == 0
            assert self.at == len(self.written)
        finally:
            self.spool.close()
            self.patch.undo()


def test_any_order_of_calls() -> None:
    """Any order of writes, reads and disk failures gives the bytes and gaps of the model, within the bounds."""
    run_state_machine_as_test(SmallChunks)


def random_blocks(rng: random.Random, total_bytes: int) -> Iterator[bytes]:
    """Yield blocks of wildly different sizes."""
    while total_bytes > 0:
        size = min(total_bytes, int(10 ** rng.uniform(0, 5.6)))
        yield rng.randbytes(size)
        total_bytes -= size


class Pair:
    """A writer thread and a reader thread on one spool, both driven by one seed."""

    def __init__(self, seed: int, spool: Spool, *, reads: int | None) -> None:
        self.blocks = list(random_blocks(random.Random(seed), 4_000_000))
        self.out = b""
        self._spool = spool
        self._reads = reads
        self._rng = random.Random(seed + 1)
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._read)]

    def run(self) -> None:
        """Let both go, until both have come back."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "one side waits for ever"

    def _write(self) -> None:
        for block in self.blocks:
            if not self._spool.write(block):
                return
        self._spool.finish()

    def _read(self) -> None:
        pieces: list[bytes] = []
        while self._reads is None or len(pieces) < self._reads:
            piece = self._spool.read_block(
                int(10 ** self._rng.uniform(1, 5.6)), timeout_s=self._rng.choice([None, 0.001])
            )
            pieces.append(piece)
            if not piece and self._spool.ended:
                break
        self.out = b"".join(pieces)
        self._spool.close()


@pytest.mark.parametrize("seed", range(20))
def test_two_threads_pass_all_bytes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under WAIT every byte comes through unaltered and within the bounds, on a disk that fails at random."""
    luck = random.Random(seed)
    monkeypatch.setattr(spool_module, "_open_unnamed", lambda _folder: FlakyFile(lambda: luck.random() < seed / 40))
    memory_bytes, disk_bytes = luck.choice([0, 50_000, 1_000_000]), luck.choice([0, 300_000, 2_000_000])
    spool = Spool(memory_bytes=memory_bytes, disk_bytes=disk_bytes)
    pair = Pair(seed, spool, reads=None)
    pair.run()
    assert pair.out == b"".join(pair.blocks)
    assert spool.gaps == []
    stats = spool.stats()
    assert stats.memory_peak_bytes <= memory_bytes + 2 * max(map(len, pair.blocks))
    assert stats.disk_peak_bytes <= disk_bytes


@pytest.mark.parametrize("seed", range(20))
def test_a_reader_that_leaves_lets_the_writer_go(seed: int) -> None:
    """Whenever the reader leaves, under any policy, the writer comes back and no descriptor stays open."""
    luck = random.Random(seed)
    before = set(Path("/proc/self/fd").iterdir())
    policy = luck.choice([WhenFull.WAIT, WhenFull.DROP_OLDEST])
    spool = Spool(memory_bytes=luck.choice([0, 50_000]), disk_bytes=luck.choice([0, 1_000_000]), when_full=policy)
    pair = Pair(seed, spool, reads=luck.randrange(30))
    pair.run()
    assert set(Path("/proc/self/fd").iterdir()) == before
    if not spool.gaps:
        assert b"".join(pair.blocks).startswith(pair.out)


SPILLER = """
import sys
from logflume.spool import Spool
spool = Spool(memory_bytes=1 << 20, folder=sys.argv[1])
for n in range(200):
    spool.write(bytes([n]) * 262144)
spool.read_block()
print(spool.stats().disk_bytes, flush=True)
sys.stdin.read()
"""


def files_held_in(folder: Path) -> dict[Path, int]:
    """Return the files of a folder that any process holds open, named or not, with their size on disk."""
    held = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()).startswith(f"{folder}/"):
                held[link] = link.stat().st_blocks * 512
        except OSError:  # a process that ended meanwhile, or somebody else's
            continue
    return held


def test_nothing_stays_after_a_crash(tmp_path: Path) -> None:
    """A process that spilled 50 MB and is killed leaves no file in the folder and no open descriptor on its disk."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SPILLER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as crashing:
        assert crashing.stdout
        assert int(crashing.stdout.readline()) > 50_000_000
        assert sum(files_held_in(tmp_path).values()) > 50_000_000
        assert list(tmp_path.iterdir()) == []
        crashing.send_signal(signal.SIGKILL)
        assert crashing.wait() == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
    assert files_held_in(tmp_path) == {}
