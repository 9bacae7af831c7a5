"""A program that writes, rotates, cuts, copies, compresses and deletes at random, against a reader that follows it.

The oracle knows nothing of files but which numbered lines were in one when it was destroyed. Whatever happens:
lines come once and in order; a line that does not come was destroyed before it was read, and a Gap lies at its place.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from logflume.errors import CursorExpired
from logflume.sources import local
from logflume.sources.local import LocalSource
from logflume.sources.openfile import FINGERPRINT_BYTES, TELLING_BYTES

KEPT = 4  # rotated files
LINE_BYTES = 40


def line(number: int) -> bytes:
    """Write a line that says which one it is."""
    return b"%012d" % number + b"." * (LINE_BYTES - 13) + b"\n"


class Program:
    """The writer, and the rotation beside it. Each write has a time of its own, as far apart as in real life."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self.told = True  # False: the file was taken away, and we write on into it
        self._clock_ns = time.time_ns()
        self._descriptor = self._open()

    def write(self, data: bytes) -> None:
        os.write(self._descriptor, data)
        self._tick()

    def reopen(self) -> None:
        os.close(self._descriptor)
        self._descriptor = self._open()
        self.told = True
        self._tick()

    def _tick(self) -> None:
        self._clock_ns += 10**9
        os.utime(self._descriptor, ns=(self._clock_ns, self._clock_ns))

    def close(self) -> None:
        os.close(self._descriptor)

    def cut(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self._tick()

    def rotated(self) -> list[Path]:
        """Return the rotated files, newest first."""
        return [found for number in range(1, KEPT + 2) for found in self._of_number(number)]

    def make_way(self) -> None:
        """Rename each rotated file to the next number."""
        for number in range(KEPT, 0, -1):
            for found in self._of_number(number):
                found.rename(found.with_name(found.name.replace(f".log.{number}", f".log.{number + 1}")))

    def first_rotated(self) -> Path:
        return self.path.with_name(self.path.name + ".1")

    def _of_number(self, number: int) -> list[Path]:
        names = (f"{self.path.name}.{number}{suffix}" for suffix in ("", ".gz"))
        return [path for path in map(self.path.with_name, names) if path.exists()]

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def content(path: Path) -> bytes:
    """Read a file as the oracle does."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def numbers(data: bytes) -> set[int]:
    """Return which lines are in ``data``."""
    return {int(data[at : at + 12]) for at in range(0, len(data), LINE_BYTES)}


class Following(RuleBasedStateMachine):
    """Rules: what the program does, what rotation does, what the reader does."""

    def __init__(self) -> None:
        super().__init__()
        self._pause_s, local._PAUSE_S = local._PAUSE_S, 0.0
        self._folder = Path(tempfile.mkdtemp())
        self.program = Program(self._folder / "x.log")
        self.source = LocalSource(self.program.path, root=self._folder)
        self.destroyed: set[int] = set()
        self.unknowable: set[int] = set()  # destroyed before the reader can have seen that they exist
        self.sound = True
        self.copied_short = False  # a short file was copied and cut: the follower finds the copy, a position does not
        self.harm = 0  # how often something was done that may cost lines
        self._begin(0)

    def _begin(self, last: int) -> None:
        """Begin to read from the beginning, where the next line is ``last + 1``."""
        self.reader = self.source.open()
        self.last = last
        self._new_reader()
        self.partial = b""

    def _new_reader(self) -> None:
        self.offset = self.reader.start
        self.gaps_seen = 0
        self.gap_before = False

    def teardown(self) -> None:
        try:
            if self.sound:
                self.check_the_end()
        finally:
            local._PAUSE_S = self._pause_s
            self.reader.close()
            self.program.close()
            shutil.rmtree(self._folder)

    def check_the_end(self) -> None:
        self.program.reopen()
        self.append(1)
        self.drain()
        assert self.last == self.program.written
        if not self.harm:
            assert self.reader.gaps == []

    # what the oracle knows

    @property
    def holds_newest(self) -> bool:
        try:
            status = self.program.path.stat()
        except FileNotFoundError:
            return False
        return self.reader._file.key == (status.st_dev, status.st_ino)

    @property
    def is_uncut(self) -> bool:
        """Whether the newest file begins with what the reader saw of it."""
        return content(self.program.path).startswith(self.reader._file.first)

    @property
    def would_tell(self) -> bool:
        """Whether the reader has seen enough of its file to tell it from one with other lines."""
        return not 0 < len(self.reader._file.first) < 12

    def destroy(self, data: bytes) -> None:
        """Remember that the lines in ``data`` which were not read yet never will be."""
        self.destroyed |= {number for number in numbers(data) if number > self.last}
        self.harm += 1

    def destroy_file(self, path: Path) -> None:
        status = path.stat()
        data = content(path)
        held = self.reader._file.key == (status.st_dev, status.st_ino) and data.startswith(self.reader._file.first)
        if not held:  # or else it still can be read to its end
            self.destroy(data)
        self.harm += 1
        path.unlink()

    def check(self, block: bytes) -> None:
        """Compare what came with what must come."""
        self.sound = False
        self._check(block)
        self.sound = True

    def _check(self, block: bytes) -> None:
        for gap in self.reader.gaps[self.gaps_seen :]:
            assert gap.offset == self.offset
            self._check_end_of_file()
            self.gap_before = True
        self.gaps_seen = len(self.reader.gaps)
        self.offset += len(block)
        data = self.partial + block
        whole = len(data) - len(data) % LINE_BYTES
        for at in range(0, whole, LINE_BYTES):
            self.check_line(data[at : at + LINE_BYTES])
        self.partial = data[whole:]

    def _check_end_of_file(self) -> None:
        """Before a gap, a line may have been cut off in the middle."""
        if len(self.partial) >= 12:
            number = int(self.partial[:12])
            assert line(number).startswith(self.partial)
            self.check_number(number)
            self.last = number - 1  # its rest has not come
        self.partial = b""

    def check_line(self, one: bytes) -> None:
        assert one == line(int(one[:12]))
        self.check_number(int(one[:12]))
        self.gap_before = False

    def check_number(self, number: int) -> None:
        assert number > self.last, "a line came twice, or out of order"
        missing = set(range(self.last + 1, number))
        assert missing <= self.destroyed, "a line that still was there did not come"
        assert self.gap_before or missing <= self.unknowable, "lines are missing, and no gap says so"
        self.last = number

    # what the program does

    @rule(lines=st.integers(1, 80))
    def append(self, lines: int) -> None:
        self.program.write(b"".join(line(self.program.written + 1 + number) for number in range(lines)))
        self.program.written += lines

    @rule(half=st.integers(1, LINE_BYTES - 1))
    def append_in_two_halves(self, half: int) -> None:
        whole = line(self.program.written + 1)
        self.program.write(whole[:half])
        self.read(4096)
        self.program.write(whole[half:])
        self.program.written += 1

    @precondition(lambda self: not self.program.told)
    @rule()
    def is_told(self) -> None:
        self.program.reopen()

    # what rotation does

    def make_way(self) -> None:
        self.program.make_way()
        for path in self.program.rotated():
            if f".log.{KEPT + 1}" in path.name:
                self.destroy_file(path)

    @precondition(lambda self: self.program.told)
    @rule(times=st.integers(1, 3))
    def rotate(self, times: int) -> None:
        for _ in range(times):
            self.make_way()
            self.program.path.rename(self.program.first_rotated())
            self.program.reopen()
            self.append(1)

    @precondition(lambda self: self.program.told)
    @rule(empty=st.booleans())
    def rotate_without_telling(self, empty: bool) -> None:
        self.make_way()
        self.program.path.rename(self.program.first_rotated())
        self.program.told = False
        if empty:
            self.program.path.touch()

    @precondition(lambda self: self.program.told and self.would_tell)
    @rule()
    def copytruncate(self) -> None:
        self.make_way()
        shutil.copy2(self.program.path, self.program.first_rotated())
        if self.holds_newest and (len(self.reader._file.first) < TELLING_BYTES or not self.is_uncut):
            self.destroy(content(self.program.path))  # not known again: it may have grown since, or be another by now
            self._mark_unknowable()
        self.copied_short |= self.holds_newest and len(self.reader._file.first) < FINGERPRINT_BYTES
        if not self.holds_newest:  # nothing tells of a copy that was made and went while the reader was elsewhere
            self.unknowable |= numbers(content(self.program.path))
        self.program.cut()

    @precondition(lambda self: self.program.told and any(path.suffix != ".gz" for path in self.program.rotated()))
    @rule()
    def compress(self) -> None:
        path = next(path for path in self.program.rotated() if path.suffix != ".gz")
        self.harm += not path.stat().st_size  # nothing tells an empty file that was compressed from another one
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        shutil.copystat(path, packed)
        path.unlink()

    @precondition(lambda self: len(self.program.rotated()) > 2)
    @rule(which=st.integers(0, KEPT))
    def delete_rotated(self, which: int) -> None:
        rotated = self.program.rotated()
        begin = 0 if self.program.told else 1  # what is written on into an unlinked file can only be read by holding it
        self.destroy_file(rotated[begin + which % (len(rotated) - begin)])

    @precondition(lambda self: self.program.told and self.holds_newest and self.would_tell)
    @rule()
    def truncate(self) -> None:
        self.destroy(content(self.program.path))
        self._mark_unknowable()
        self.program.cut()

    def _mark_unknowable(self) -> None:
        if (
            not self.reader._file.first or not self.is_uncut
        ):  # all that the reader saw was an empty file, or the one before
            self.unknowable |= self.destroyed

    # a file that was copied and cut, and deleted before the reader saw that: what came to it in between is missed
    @precondition(lambda self: self.program.told and self.holds_newest and self.is_uncut)
    @rule()
    def delete(self) -> None:
        self.harm += 1
        self.program.path.unlink()
        self.program.told = False

    # what the reader does

    @rule(max_bytes=st.integers(1, 5000))
    def read(self, max_bytes: int) -> None:
        block = self.reader.read_block(max_bytes)
        assert len(block) <= max_bytes
        self.check(block)

    @rule()
    def drain(self) -> None:
        while block := self.reader.read_block():
            self.check(block)
        self.check(b"")
        if self.program.told:
            assert self.last == self.program.written or self.destroyed

    @rule()
    def stop_and_resume(self) -> None:
        position = self.reader.position(self.offset)
        gap_before = self.gap_before
        first = self.reader._file.first
        self.reader.close()
        try:
            self.reader = self.source.open(position)
        except CursorExpired:
            self.sound = False
            files = [path for path in [*self.program.rotated(), self.program.path] if path.exists()]
            assert self.harm or self.copied_short, "nothing was cut or deleted, and the position does not hold"
            for path in files:
                status, data = path.stat(), content(path)
                same = position.identity.key == f"{status.st_dev}:{status.st_ino}" and data.startswith(first)
                assert not same or len(data) < position.offset, "the file is there, and its position does not hold"
            self._begin_anew(files)
            self.sound = True
        else:
            self._new_reader()
            self.gap_before = gap_before

    def _begin_anew(self, files: list[Path]) -> None:
        if not self.program.told:
            self.program.reopen()
        self.destroyed = set(range(1, self.program.written + 1))
        for path in files:
            self.destroyed -= numbers(content(path))
        present = set(range(1, self.program.written + 1)) - self.destroyed
        self.unknowable = set(self.destroyed)
        self._begin(min(present, default=self.program.written + 1) - 1)


def test_nothing_is_lost_in_silence() -> None:
    """Every line comes once and in order, or was destroyed and a gap says so."""
    much = settings(
        max_examples=150,
        stateful_step_count=40,
        suppress_health_check=[HealthCheck.too_slow],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(Following, settings=much)


def test_a_compressed_file_with_the_inode_of_a_deleted_one() -> None:
    """It is not taken for that one, though its place is nearly the same: the lines of that one are a gap."""
    state = Following()
    state.rotate(times=1)
    state.compress()
    state.copytruncate()
    state.rotate(times=3)
    state.rotate_without_telling(empty=False)
    state.stop_and_resume()
    state.compress()
    state.compress()
    state.delete_rotated(which=2)
    state.append_in_two_halves(half=1)
    state.copytruncate()
    state.delete_rotated(which=1)
    state.compress()
    state.append_in_two_halves(half=1)
    state.teardown()
