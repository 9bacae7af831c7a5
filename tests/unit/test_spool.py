"""The spool: a bounded queue of bytes between a writer that must be let go and a reader that may be slow."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from io import FileIO
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import pytest

from logflume import spool as spool_module
from logflume.abc import BLOCK_BYTES
from logflume.errors import SourceFailed, SpoolFull, UsageError
from logflume.records import Gap, GapReason
from logflume.spool import MAX_GAPS, SEGMENTS, Spool, WhenFull

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 30
BIG = BLOCK_BYTES // 2  # from this size on a block is a chunk of its own


def big(mark: int, size: int = BIG) -> bytes:
    """Return a block of its own chunk, told apart by its bytes."""
    return bytes([mark]) * size


def drain(spool: Spool, max_bytes: int = BLOCK_BYTES) -> bytes:
    """Read to the end."""
    return b"".join(iter(lambda: spool.read_block(max_bytes), b""))


def descriptors() -> set[Path]:
    """Name the descriptors of this process; the one that lists them is always the next free one."""
    return set(Path("/proc/self/fd").iterdir())


def write_all(spool: Spool, blocks: list[bytes]) -> None:
    """Write all blocks, and finish."""
    for block in blocks:
        spool.write(block)
    spool.finish()


def until_it_waits(spool: Spool) -> None:
    """Return when the spool's writer has begun to wait."""
    while not spool.stats().waits:
        sleep(0.001)


class Aside:
    """A call made in a thread of its own; ``result()`` waits for it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._outcome: object = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._call()
        except UsageError as error:
            self._outcome = error

    def result(self) -> object:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "it still waits"
        return self._outcome


class TinyDisk:
    """A disk with few free bytes, or none: it takes what fits, then answers as a full or broken disk does."""

    def __init__(self, folder: Path, free_bytes: int, error: int = errno.ENOSPC) -> None:
        self.free_bytes = free_bytes
        self.error = error
        self.truncations = 0
        self._folder = folder

    def open(self, folder: object) -> FileIO:
        del folder
        path = self._folder / "segment"
        file = FileOnTinyDisk(path, self)
        path.unlink()
        return file


class FileOnTinyDisk(FileIO):
    """A file whose bytes come from, and go back to, a TinyDisk."""

    def __init__(self, path: Path, disk: TinyDisk) -> None:
        super().__init__(path, "x+")
        self._disk = disk

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        size = min(len(view), self._disk.free_bytes)
        if not size:
            raise OSError(self._disk.error, os.strerror(self._disk.error))
        self._disk.free_bytes -= size
        return super().write(view[:size])

    def truncate(self, size: int | None = None) -> int:
        self._disk.truncations += 1
        before = os.fstat(self.fileno()).st_size
        after = super().truncate(size)
        self._disk.free_bytes += before - after
        return after

    def close(self) -> None:
        if not self.closed:
            self._disk.free_bytes += os.fstat(self.fileno()).st_size
        super().close()


@pytest.fixture
def tiny_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyDisk:
    """Put all spools of a test on a disk without a free byte; the test frees what it wants."""
    disk = TinyDisk(tmp_path, 0)
    monkeypatch.setattr(spool_module, "_open_unnamed", disk.open)
    return disk


@pytest.mark.parametrize("policy", WhenFull)
def test_bytes_come_out_as_they_went_in(policy: WhenFull, tmp_path: Path) -> None:
    """Blocks of all sizes come out in order and unaltered, through memory and disk, whatever the policy."""
    blocks = [
        bytes([n % 251]) * size for n, size in enumerate((1, 0, 7, 4096, BIG - 1, BIG, BLOCK_BYTES, 3)) for _ in "ab"
    ]
    with Spool(memory_bytes=BIG, folder=tmp_path, when_full=policy) as spool:
        assert all(spool.write(block) for block in blocks)
        spool.finish()
        assert drain(spool) == b"".join(blocks)
        assert spool.stats().spilled_bytes > 0
        assert spool.gaps == []
        assert spool.ended


def test_memory_comes_first(tmp_path: Path) -> None:
    """While everything fits into memory no file is opened, not even in a folder that does not exist."""
    with Spool(memory_bytes=100, folder=tmp_path / "nowhere") as spool:
        before = descriptors()
        spool.write(b"a" * 60)
        spool.write(b"b" * 40)
        assert descriptors() == before
        assert spool.read_block() == b"a" * 60 + b"b" * 40
        assert spool.stats().disk_peak_bytes == 0


@pytest.mark.parametrize("memory_bytes", [0, 1000])
def test_no_block_is_larger_than_asked_for(memory_bytes: int) -> None:
    """A reader that asks for 7 bytes gets 1 to 7, from memory as from disk."""
    with Spool(memory_bytes=memory_bytes) as spool:
        for n in range(10):
            spool.write(bytes([n]) * 95)
        spool.finish()
        sizes = {len(block) for block in iter(lambda: spool.read_block(7), b"")}
        assert sizes <= set(range(1, 8))
        assert spool.stats().read_bytes == 950


def test_reading_begins_before_writing_ends() -> None:
    """A waiting reader gets the first block while the writer has not finished."""
    with Spool() as spool:
        reader = Aside(spool.read_block)
        spool.write(b"early")
        assert reader.result() == b"early"
        assert not spool.ended


def test_a_timed_read_tells_silence_from_the_end() -> None:
    """Without bytes a read gives b"" after its time; ``ended`` becomes true with ``finish`` only."""
    with Spool() as spool:
        assert spool.read_block(timeout_s=0) == b""
        assert not spool.ended
        spool.finish()
        assert spool.read_block(timeout_s=0) == b""
        assert spool.ended


def test_nothing_is_ever_listed_in_the_folder(tmp_path: Path) -> None:
    """What is on disk has no name, from the first spilled byte on."""
    with Spool(memory_bytes=0, folder=tmp_path) as spool:
        for n in range(20):
            spool.write(big(n))
            assert list(tmp_path.iterdir()) == []
        assert spool.stats().disk_bytes == 19 * BIG


def test_an_endless_stream_stays_within_its_disk(tmp_path: Path) -> None:
    """Sixteen times the disk bound flows through; files stay within it, and few."""
    bound = 16 * BIG
    with Spool(memory_bytes=BIG, disk_bytes=bound, folder=tmp_path, when_full=WhenFull.FAIL) as spool:
        before = len(descriptors())
        for n in range(256):
            spool.write(big(n))
            if n >= 14:
                assert spool.read_block() == big(n - 14)
            assert len(descriptors()) - before <= 2 * SEGMENTS + 1
        stats = spool.stats()
        assert stats.spilled_bytes > 10 * bound
        assert 0 < stats.disk_peak_bytes <= bound


def test_space_comes_back_while_reading() -> None:
    """Long before all is read, the files of what has been read are closed."""
    with Spool(memory_bytes=0, disk_bytes=64 * BIG) as spool:
        for n in range(65):
            spool.write(big(n))
        for _ in range(33):
            spool.read_block()
        assert spool.stats().disk_bytes == 32 * BIG


def test_tiny_blocks_share_buffers() -> None:
    """Blocks of two bytes are no objects of their own, or they would outweigh the bound many times."""
    with Spool(memory_bytes=BLOCK_BYTES, disk_bytes=0) as spool:
        for _ in range(BLOCK_BYTES // 2):
            spool.write(b"a\n")
        assert len(spool._memory) == 1
        assert spool.stats().memory_bytes == BLOCK_BYTES


def test_wait_makes_the_writer_wait() -> None:
    """Under WAIT a write beyond the bounds returns only when the reader has made room."""
    with Spool(memory_bytes=BIG, disk_bytes=BIG) as spool:
        spool.write(big(1))
        spool.write(big(2))
        writer = Aside(lambda: spool.write(big(3)))
        until_it_waits(spool)
        assert spool.stats().written_bytes == 2 * BIG
        assert spool.read_block() == big(1)
        assert writer.result() is True
        assert spool.read_block() == big(2)
        assert spool.read_block() == big(3)


def test_drop_oldest_leaves_a_gap_at_the_place() -> None:
    """Under DROP_OLDEST the oldest whole blocks go; the reader sees how many bytes, where, and why."""
    with Spool(name="pod", memory_bytes=BIG, disk_bytes=2 * BIG, when_full=WhenFull.DROP_OLDEST) as spool:
        spool.write(big(0))
        assert spool.read_block(10) == big(0, 10)
        for n in range(1, 6):
            assert spool.write(big(n))
        assert spool.gaps == []
        assert spool.read_block() == big(0, BIG - 10)  # a block that was begun is never cut
        assert spool.gaps == []
        assert spool.read_block() == big(3)
        (gap,) = spool.gaps
        assert (gap.source, gap.reason, gap.lost_bytes, gap.offset) == ("pod", GapReason.SPOOL_FULL, 2 * BIG, BIG)
        assert "were full" in gap.detail
        assert "disk_bytes" in gap.next_action
        assert [spool.read_block(), spool.read_block()] == [big(4), big(5)]
        assert spool.stats().dropped_bytes == 2 * BIG


def test_drop_oldest_in_memory_alone() -> None:
    """With no disk at all the oldest blocks in memory go, no more than needed."""
    with Spool(memory_bytes=3 * BIG, disk_bytes=0, when_full=WhenFull.DROP_OLDEST) as spool:
        for n in range(5):
            spool.write(big(n))
        spool.finish()
        assert drain(spool) == big(2) + big(3) + big(4)
        assert [gap.lost_bytes for gap in spool.gaps] == [2 * BIG]


def test_small_blocks_are_dropped_by_the_buffer() -> None:
    """Of small blocks no more is dropped at a time than one buffer of them, and whole ones only."""
    lines = [b"%06d\n" % n for n in range(100_000)]
    with Spool(memory_bytes=BLOCK_BYTES * 2, disk_bytes=0, when_full=WhenFull.DROP_OLDEST) as spool:
        for line in lines:
            spool.write(line)
        spool.finish()
        out = drain(spool)
        assert b"".join(lines).endswith(out)
        assert len(out) % 7 == 0
        assert len(out) > BLOCK_BYTES


def test_fail_refuses_the_block_and_keeps_the_rest() -> None:
    """Under FAIL a block beyond the bounds is refused by name and size; offered again after a read it is taken."""
    with Spool(name="pod", memory_bytes=BIG, disk_bytes=BIG, when_full=WhenFull.FAIL) as spool:
        spool.write(big(1))
        spool.write(big(2))
        with pytest.raises(SpoolFull, match=r"pod: \d+ bytes were refused") as refusal:
            spool.write(big(3))
        assert refusal.value.lost_bytes == BIG
        assert spool.read_block() == big(1)
        assert spool.write(big(3))
        spool.finish()
        assert drain(spool) == big(2) + big(3)
        assert spool.gaps == []


@pytest.mark.parametrize("policy", WhenFull)
def test_a_block_above_all_bounds_passes_when_nothing_else_is_held(policy: WhenFull) -> None:
    """One record larger than memory and disk together comes through instead of waiting for ever."""
    with Spool(memory_bytes=10, disk_bytes=10, when_full=policy) as spool:
        assert spool.write(b"x" * 1000)
        assert spool.read_block() == b"x" * 1000


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_disk_that_takes_no_more_is_the_bound(error: int, tiny_disk: TinyDisk) -> None:
    """Under DROP_OLDEST a refusing disk costs the oldest bytes, and the Gap names the system's reason."""
    tiny_disk.free_bytes, tiny_disk.error = 2 * BIG + 100, error
    with Spool(memory_bytes=BIG, when_full=WhenFull.DROP_OLDEST) as spool:
        for n in range(5):
            spool.write(big(n))
        spool.finish()
        out = drain(spool)
        (gap,) = spool.gaps
        assert os.strerror(error) in gap.detail
        assert gap.lost_bytes == 5 * BIG - len(out)
        assert out == b"".join(map(big, range(5)))[gap.lost_bytes :]
        assert spool.stats().disk_error == os.strerror(error)


def test_half_a_write_is_undone(tiny_disk: TinyDisk) -> None:
    """What a disk took of a chunk before it was full is given back, and never comes out."""
    tiny_disk.free_bytes = BIG + 100
    with Spool(memory_bytes=BIG, when_full=WhenFull.FAIL) as spool:
        spool.write(big(1))
        spool.write(big(2))
        with pytest.raises(SpoolFull, match="No space left"):
            spool.write(big(3))
        assert tiny_disk.free_bytes == 100
        assert tiny_disk.truncations == 1
        tiny_disk.free_bytes = 10 * BIG
        spool.write(big(3))
        spool.finish()
        assert drain(spool) == big(1) + big(2) + big(3)


def test_wait_outlives_a_full_disk(tiny_disk: TinyDisk) -> None:
    """Under WAIT all bytes pass a disk that never takes one: memory alone carries them, slower."""
    with Spool(memory_bytes=2 * BIG) as spool:
        blocks = [big(n) for n in range(50)]
        writer = Aside(lambda: write_all(spool, blocks))
        assert drain(spool) == b"".join(blocks)
        writer.result()
        assert spool.stats().memory_peak_bytes <= 3 * BIG
        assert tiny_disk.free_bytes == 0


def test_a_missing_folder_is_told() -> None:
    """A folder in which no file can be made counts as a full disk, and the error names the reason."""
    with Spool(memory_bytes=0, folder="/nonexistent/spool", when_full=WhenFull.FAIL) as spool:
        spool.write(b"one")
        with pytest.raises(SpoolFull, match="No such file"):
            spool.write(big(2))


RLIMITED = """
import resource, signal
from logflume.spool import Spool, WhenFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
with Spool(memory_bytes=500_000, when_full=WhenFull.DROP_OLDEST) as spool:
    blocks = [bytes([n]) * 200_000 for n in range(40)]
    for block in blocks:
        spool.write(block)
    spool.finish()
    out = b"".join(iter(spool.read_block, b""))
    (gap,) = spool.gaps
    assert out == b"".join(blocks)[gap.lost_bytes:], "bytes altered"
    assert 0 < gap.lost_bytes < 8_000_000, gap
    print(gap.detail)
"""


def test_a_real_limit_on_file_size() -> None:
    """The kernel's own refusal (EFBIG under RLIMIT_FSIZE) ends in a Gap, with all other bytes unaltered."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", RLIMITED], capture_output=True, text=True, check=False, env=environment)
    assert run.stderr == ""
    assert "File too large" in run.stdout


def test_what_the_disk_does_not_give_back_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that cannot be read back is passed over and reported; what follows comes out, and the wait goes on."""
    file = spool_module._open_unnamed(None)
    monkeypatch.setattr(spool_module, "_open_unnamed", lambda _folder: file)
    with Spool(name="pod", memory_bytes=0) as spool:
        spool.write(big(1))
        spool.write(big(2))
        file.truncate(10)
        reader = Aside(lambda: (spool.read_block(), spool.read_block()))
        spool.write(big(3))
        assert reader.result() == (big(2), big(3))
        (gap,) = spool.gaps
        assert (gap.source, gap.reason, gap.lost_bytes, gap.offset) == ("pod", GapReason.UNREADABLE, BIG, 0)
        assert spool.stats().dropped_bytes == BIG


def test_the_writers_error_comes_after_its_bytes() -> None:
    """What the writer read before it broke is read first; then its error is raised, each time."""
    gap = Gap("pod", GapReason.VANISHED, "The pod was deleted.", "Look at the archived log.")
    with Spool() as spool:
        spool.write(b"last words")
        spool.finish(SourceFailed(gap))
        spool.finish()  # the first call counts
        assert spool.read_block() == b"last words"
        for _ in range(2):
            with pytest.raises(SourceFailed) as failure:
                spool.read_block()
            assert failure.value.gap is gap


def test_write_after_finish_is_an_error() -> None:
    """A writer that goes on after its own end is told so."""
    with Spool() as spool:
        spool.finish()
        with pytest.raises(UsageError):
            spool.write(b"x")


def test_closing_lets_the_writer_go() -> None:
    """A writer that waits for room returns False at once when the reader goes, and so does every later write."""
    spool = Spool(memory_bytes=BIG, disk_bytes=0)
    spool.write(big(1))
    writer = Aside(lambda: spool.write(big(2)))
    until_it_waits(spool)
    spool.close()
    assert writer.result() is False
    assert spool.write(b"x") is False
    assert spool.write(b"") is False


def test_closing_wakes_a_waiting_reader() -> None:
    """A read that waits in another thread ends with an error, not with b"" that looks like the end of the log."""
    spool = Spool()
    reader = Aside(spool.read_block)
    spool.close()
    assert isinstance(reader.result(), UsageError)
    with pytest.raises(UsageError):
        spool.read_block(timeout_s=0)


def test_closing_gives_everything_back() -> None:
    """After close, at any point and also twice, no descriptor is open and no byte is held."""
    before = descriptors()
    spool = Spool(memory_bytes=BIG, disk_bytes=100 * BIG)
    for n in range(40):
        spool.write(big(n))
    spool.read_block(5)
    assert descriptors() > before
    spool.close()
    spool.close()
    assert descriptors() == before
    stats = spool.stats()
    assert (stats.memory_bytes, stats.disk_bytes) == (0, 0)
    assert not spool._memory
    assert not spool._begun


def test_figures_add_up() -> None:
    """Written bytes are read, dropped or held; the peaks are those that were reached."""
    with Spool(memory_bytes=2 * BIG, disk_bytes=4 * BIG, when_full=WhenFull.DROP_OLDEST) as spool:
        for n in range(10):
            spool.write(big(n))
        spool.read_block()
        stats = spool.stats()
        assert stats.written_bytes == 10 * BIG
        assert stats.read_bytes == BIG
        assert stats.dropped_bytes == 4 * BIG
        assert stats.memory_bytes == stats.memory_peak_bytes - BIG == 2 * BIG
        assert (stats.disk_bytes, stats.disk_peak_bytes) == (3 * BIG, 4 * BIG)


def test_gaps_themselves_are_bounded() -> None:
    """A reader that loses bytes for days holds a bounded list; its last gap gathers the rest."""
    with Spool(memory_bytes=1, disk_bytes=0, when_full=WhenFull.DROP_OLDEST) as spool:
        for _ in range(MAX_GAPS + 5):
            spool.write(b"a")
            spool.write(b"b")
            assert spool.read_block() == b"b"
        assert len(spool.gaps) == MAX_GAPS
        assert spool.gaps[-1].lost_bytes == 6
        assert sum(gap.lost_bytes or 0 for gap in spool.gaps) == MAX_GAPS + 5


@pytest.mark.parametrize("bounds", [{"memory_bytes": -1}, {"disk_bytes": -1}])
def test_bounds_below_zero_are_refused(bounds: dict[str, int]) -> None:
    """A negative bound is the caller's mistake and is said so at once."""
    with pytest.raises(UsageError):
        Spool(**bounds)  # type: ignore[arg-type]


def test_asking_for_no_bytes_is_refused() -> None:
    """``read_block(0)`` could only give b"", which would look like the end."""
    with Spool() as spool, pytest.raises(UsageError):
        spool.read_block(0)
