"""A local reader that stays while its file grows, is rotated, cut, deleted and made again."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logflume.records import GapReason
from logflume.sources import local
from logflume.sources.local import LocalSource
from logflume.testing import LiveFile, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.abc import Reader
    from logflume.sources.local import LocalReader

LONG = numbered_lines(500)  # 12,000 bytes: enough to be known by its first bytes


def drain(reader: Reader, max_bytes: int = 4096) -> bytes:
    """Read all there is now."""
    return b"".join(iter(lambda: reader.read_block(max_bytes), b""))


def reasons(reader: Reader) -> list[GapReason]:
    """Return why data are missing, in order."""
    return [gap.reason for gap in reader.gaps]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Name a log file in a folder of its own."""
    return tmp_path / "x.log"


@pytest.fixture
def live(log: Path) -> Iterator[LiveFile]:
    """Give the program that writes the log; a first line is there."""
    with LiveFile(log, b"first\n") as file:
        yield file


@pytest.fixture
def reader(live: LiveFile) -> Iterator[LocalReader]:
    """Follow the log from its beginning; the first line has been read."""
    with LocalSource(live.path, root=live.path.parent).open() as reader:
        assert drain(reader) == b"first\n"
        yield reader


def rotated(live: LiveFile, number: int) -> Path:
    """Name a rotated file."""
    return live.path.with_name(f"{live.path.name}.{number}")


# growth


def test_line_in_two_halves(live: LiveFile, reader: LocalReader) -> None:
    """Half a line comes as soon as it is there, the other half later."""
    live.write(b"sec")
    assert drain(reader) == b"sec"
    assert drain(reader) == b""
    live.write(b"ond\n")
    assert drain(reader) == b"ond\n"
    assert reader.gaps == []


# rotation by renaming


def test_rotation(live: LiveFile, reader: LocalReader) -> None:
    """What was written before and after a rotation comes, in order."""
    live.write(b"before\n")
    live.rotate()
    live.write(b"after\n")
    assert drain(reader) == b"before\nafter\n"
    assert reader.gaps == []


def test_several_rotations_between_two_reads(live: LiveFile, reader: LocalReader) -> None:
    """Files that came and went on to other numbers meanwhile are read, each once, oldest first."""
    for number in range(5):
        live.rotate()
        live.write(b"file %d\n" % number)
    assert drain(reader) == b"".join(b"file %d\n" % number for number in range(5))
    assert reader.gaps == []


def test_rotations_while_an_old_file_is_read(live: LiveFile) -> None:
    """A slow reader that began with the oldest file misses nothing when all files change their names under it."""
    for number in range(3):
        live.rotate()
        live.write(b"file %d\n" % number)
    with LocalSource(live.path).open() as reader:
        assert reader.read_block(3) == b"fir"
        live.rotate()
        live.write(b"file 3\n")
        assert drain(reader) == b"st\nfile 0\nfile 1\nfile 2\nfile 3\n"
        assert reader.gaps == []


def test_program_that_still_writes_to_the_renamed_file(live: LiveFile, reader: LocalReader) -> None:
    """Until the new file has a byte, the renamed one is followed: the program may not have been told yet."""
    live.rename_away()
    live.path.touch()
    assert drain(reader) == b""
    live.write(b"late\n")
    assert drain(reader) == b"late\n"
    live.write(b"latest\n")
    live.reopen()
    live.write(b"new\n")
    assert drain(reader) == b"latest\nnew\n"
    assert reader.gaps == []


def test_rotation_under_way(live: LiveFile, reader: LocalReader) -> None:
    """While there is no newest file, nothing is missing yet."""
    live.write(b"before\n")
    live.rename_away()
    assert drain(reader) == b"before\n"
    live.reopen()
    live.write(b"after\n")
    assert drain(reader) == b"after\n"
    assert reader.gaps == []


def test_position_before_and_after_a_rotation(live: LiveFile, reader: LocalReader) -> None:
    """Positions of both files can be named by one reader, and lead on to the same bytes."""
    live.rotate()
    live.write(b"second\n")
    drain(reader)
    for offset in range(14):
        with LocalSource(live.path).open(reader.position(offset)) as again:
            assert drain(again) == b"first\nsecond\n"[offset:]


def test_read_file_was_compressed(live: LiveFile, reader: LocalReader) -> None:
    """A file that was read, rotated and compressed at once does not come again."""
    live.write(LONG)
    drain(reader)
    live.rotate()
    rotated(live, 1).with_suffix(".1.gz").write_bytes(gzip.compress(rotated(live, 1).read_bytes()))
    rotated(live, 1).unlink()
    live.write(b"new\n")
    assert drain(reader) == b"new\n"
    assert reader.gaps == []


def test_unread_files_were_compressed(live: LiveFile) -> None:
    """Files that are ahead of the reader may be compressed before it comes to them."""
    for number in range(3):
        live.rotate()
        live.write(b"file %d\n" % number)
    with LocalSource(live.path).open() as reader:
        reader.read_block(1)
        live.rotate()
        live.write(b"file 3\n")
        for number in (2, 3):
            file = rotated(live, number)
            file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        assert drain(reader) == b"irst\nfile 0\nfile 1\nfile 2\nfile 3\n"
        assert reader.gaps == []


# files that are gone before they were read


def test_file_deleted_between_rotations(live: LiveFile, reader: LocalReader) -> None:
    """A rotated file that was deleted before it was read is a gap at its place; the newer ones come."""
    for name in (b"a", b"b", b"c"):
        live.rotate()
        live.write(name)
    rotated(live, 2).unlink()
    assert drain(reader) == b"bc"
    (gap,) = reader.gaps
    assert (gap.reason, gap.offset) == (GapReason.ROTATED_AWAY, 6)


def test_gap_knows_the_size_of_what_was_seen(live: LiveFile) -> None:
    """The bytes of a file that was there when the reader began are counted when it goes."""
    for name in (b"abc", b"defg", b"hi"):
        live.rotate()
        live.write(name)
    with LocalSource(live.path).open() as reader:
        assert reader.read_block(2) == b"fi"
        rotated(live, 2).unlink()
        assert drain(reader) == b"rst\ndefghi"
        (gap,) = reader.gaps
        assert (gap.reason, gap.lost_bytes, gap.offset) == (GapReason.ROTATED_AWAY, 3, 6)


def test_everything_read_so_far_was_rotated_away(live: LiveFile, reader: LocalReader) -> None:
    """When not even the file being read is left, its last bytes come, then a gap, then what there is."""
    live.write(b"last\n")
    for name in (b"lost", b"kept", b"new"):
        live.rotate()
        live.write(name)
    rotated(live, 3).unlink()
    rotated(live, 2).unlink()
    assert reader.read_block() == b"last\n"
    assert reader.gaps == []
    assert drain(reader) == b"keptnew"
    (gap,) = reader.gaps
    assert (gap.reason, gap.offset) == (GapReason.ROTATED_AWAY, 11)


def test_oldest_file_goes_while_it_is_read(live: LiveFile) -> None:
    """Retention that removes the file in hand loses nothing: it is read to its end, and the next ones are there."""
    for _ in range(2):
        live.rotate()
        live.write(LONG)
    with LocalSource(live.path).open() as reader:
        reader.read_block(1)
        rotated(live, 2).unlink()
        live.rotate()
        live.write(b"new\n")
        assert drain(reader) == b"irst\n" + LONG + LONG + b"new\n"
        assert reader.gaps == []


def test_newest_file_goes_before_it_is_read(live: LiveFile) -> None:
    """A newest file that is deleted while the reader is still in an older one has vanished."""
    live.rotate()
    live.write(b"second\n")
    with LocalSource(live.path).open() as reader:
        reader.read_block(1)
        live.unlink()
        assert drain(reader) == b"irst\n"
        (gap,) = reader.gaps
        assert (gap.reason, gap.lost_bytes) == (GapReason.VANISHED, 7)
        live.reopen()
        live.write(b"third\n")
        assert drain(reader) == b"third\n"
        assert len(reader.gaps) == 1


def test_unreadable_file_of_a_set(live: LiveFile) -> None:
    """A rotated name that is no file is a gap at its place; the files around it come."""
    live.write(b"x")
    for number in (1, 3):
        rotated(live, number).write_bytes(b"%d\n" % number)
    os.mkfifo(rotated(live, 2))
    rotated(live, 4).mkdir()
    with LocalSource(live.path).open() as reader:
        assert drain(reader) == b"3\n1\nfirst\nx"
        assert reasons(reader) == [GapReason.SPECIAL_FILE] * 2
        assert [gap.offset for gap in reader.gaps] == [0, 2]


# deleted and made again


def test_deleted_file_is_read_to_its_end(live: LiveFile, reader: LocalReader) -> None:
    """Bytes of a deleted file come as long as it is written, and nothing is missing."""
    live.write(b"before\n")
    live.unlink()
    live.write(b"after\n")
    assert drain(reader) == b"before\nafter\n"
    assert drain(reader) == b""
    assert reader.gaps == []


def test_deleted_and_made_again(live: LiveFile, reader: LocalReader) -> None:
    """A new file of the same name comes after the last bytes of the old one, from its beginning."""
    live.write(b"old\n")
    live.unlink()
    live.reopen()
    live.write(b"new\n")
    assert drain(reader) == b"old\nnew\n"
    assert reader.gaps == []


def test_older_files_do_not_come_when_the_newest_is_made_again(live: LiveFile) -> None:
    """Deleting only the newest file does not bring the rotated ones back; that something is unsure is a gap."""
    live.rotate()
    os.utime(rotated(live, 1), ns=(0, 0))
    live.write(b"second\n")
    with LocalSource(live.path).open() as reader:
        drain(reader)
        live.unlink()
        assert drain(reader) == b""
        live.reopen()
        live.write(b"third\n")
        assert drain(reader) == b"third\n"
        assert reasons(reader) == [GapReason.ROTATED_AWAY]


def test_replaced_in_one_step(live: LiveFile, reader: LocalReader) -> None:
    """A file that another one is renamed over ends, and the other begins."""
    live.write(b"old\n")
    live.replace(b"new\n")
    assert drain(reader) == b"old\nnew\n"


def test_folder_removed_and_made_again(live: LiveFile, reader: LocalReader) -> None:
    """A reader waits for a whole folder to come back."""
    shutil.rmtree(live.path.parent)
    assert drain(reader) == b""
    live.path.parent.mkdir()
    live.path.write_bytes(b"new\n")
    assert drain(reader) == b"new\n"


def test_link_that_is_pointed_elsewhere(log: Path) -> None:
    """A ``latest`` link is followed to the next file once that has bytes."""
    one, two = log.with_name("one"), log.with_name("two")
    one.write_bytes(b"one\n")
    two.touch()
    log.symlink_to(one)
    with LocalSource(log).open() as reader:
        assert drain(reader) == b"one\n"
        log.unlink()
        log.symlink_to(two)
        assert drain(reader) == b""
        two.write_bytes(b"two\n")
        assert drain(reader) == b"two\n"
        assert reader.gaps == []


# cut in place


def test_truncation_then_new_bytes(live: LiveFile, reader: LocalReader) -> None:
    """A cut file is read from its beginning again, with a gap at the place."""
    live.truncate()
    live.write(b"new\n")
    assert drain(reader) == b"new\n"
    (gap,) = reader.gaps
    assert (gap.reason, gap.offset) == (GapReason.TRUNCATED, 6)


def test_truncation_counts_what_was_seen_unread(live: LiveFile) -> None:
    """Bytes that were seen and not read when the file was cut are counted."""
    live.write(LONG)
    with LocalSource(live.path).open() as reader:
        reader.read_block(1006)
        live.truncate()
        assert drain(reader) == b""
        (gap,) = reader.gaps
        assert (gap.reason, gap.lost_bytes, gap.offset) == (GapReason.TRUNCATED, 11_000, 1006)


def test_truncation_to_a_part(live: LiveFile, reader: LocalReader) -> None:
    """A file that is cut before the place it was read to is read from its beginning."""
    live.truncate(3)
    assert drain(reader) == b"fir"
    assert reasons(reader) == [GapReason.TRUNCATED]


def test_truncation_behind_the_reader(live: LiveFile) -> None:
    """A file that is cut between what was read and its end goes on there; what was cut off is counted."""
    live.write(LONG)
    with LocalSource(live.path).open() as reader:
        assert reader.read_block(1006) == b"first\n" + LONG[:1000]
        live.truncate(2006)
        assert drain(reader) == LONG[1000:2000]
        (gap,) = reader.gaps
        assert (gap.reason, gap.lost_bytes, gap.offset) == (GapReason.TRUNCATED, 10_000, 2006)
        live.write(b"new\n")
        assert drain(reader) == b"new\n"
        assert len(reader.gaps) == 1


def test_overwritten_with_more_bytes(live: LiveFile, reader: LocalReader) -> None:
    """A file that was cut and has grown beyond the reader again is found out by its first bytes."""
    live.truncate()
    live.write(LONG)
    assert drain(reader) == LONG
    assert reasons(reader) == [GapReason.REPLACED]


def test_a_block_of_an_overwritten_file_does_not_come(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is overwritten in the middle of a read gives no block made of the new bytes at the old place."""
    log.write_bytes(LONG)
    with LocalSource(log).open() as reader:
        assert reader.read_block(1200) == LONG[:1200]
        pread = os.pread

        def overwrite_first(descriptor: int, size: int, offset: int) -> bytes:
            if offset == 1200:
                log.write_bytes(b"other " * 4000)
            return pread(descriptor, size, offset)

        monkeypatch.setattr(os, "pread", overwrite_first)
        assert drain(reader) == b"other " * 4000
        assert reasons(reader) == [GapReason.REPLACED]


def test_positions_around_a_truncation(live: LiveFile, reader: LocalReader) -> None:
    """The place of the cut is named in the file as it is now."""
    live.truncate()
    live.write(b"new\n")
    drain(reader)
    with LocalSource(live.path).open(reader.position(6)) as again:
        assert drain(again) == b"new\n"


# copied, then cut


def test_copytruncate(live: LiveFile, reader: LocalReader) -> None:
    """What was read before does not come again with the copy, and what was unread comes from it."""
    live.write(LONG)
    assert drain(reader) == LONG
    live.write(b"unread\n")
    live.copy_truncate()
    live.write(b"new\n")
    assert drain(reader) == b"unread\nnew\n"
    assert reader.gaps == []


def test_copytruncate_in_the_middle_of_reading(live: LiveFile) -> None:
    """A reader that is far behind goes on in the copy."""
    live.write(LONG)
    with LocalSource(live.path).open() as reader:
        assert reader.read_block(2006) == b"first\n" + LONG[:2000]
        live.copy_truncate()
        live.write(b"new\n")
        assert drain(reader) == LONG[2000:] + b"new\n"
        assert reader.gaps == []


def test_copytruncate_twice_between_two_reads(live: LiveFile, reader: LocalReader) -> None:
    """The copy that was begun is found behind a newer one."""
    live.write(LONG)
    drain(reader)
    live.copy_truncate()
    live.write(b"second\n" + LONG)
    live.copy_truncate()
    live.write(b"third\n")
    assert drain(reader) == b"second\n" + LONG + b"third\n"
    assert reader.gaps == []


def test_copytruncate_with_compression(live: LiveFile, reader: LocalReader) -> None:
    """The copy may be compressed at once."""
    live.write(LONG)
    drain(reader)
    live.write(b"unread\n")
    live.copy_truncate()
    packed = rotated(live, 1).with_name("x.log.1.gz")
    packed.write_bytes(gzip.compress(rotated(live, 1).read_bytes()))
    rotated(live, 1).unlink()
    live.write(b"new\n")
    assert drain(reader) == b"unread\nnew\n"
    assert reader.gaps == []


def test_copy_before_the_cut_is_not_read(live: LiveFile, reader: LocalReader) -> None:
    """Between copying and cutting a reader stays with the file it has."""
    live.write(LONG)
    drain(reader)
    shutil.copyfile(live.path, rotated(live, 1))
    assert drain(reader) == b""
    live.write(b"too late for the copy\n")
    assert drain(reader) == b"too late for the copy\n"
    live.truncate()
    live.write(b"new\n")
    assert drain(reader) == b"new\n"
    assert reasons(reader) == [GapReason.TRUNCATED]  # of the copy nothing tells that what it lacks was read


# bounds


def test_gaps_are_bounded(live: LiveFile, reader: LocalReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many gaps the last one gathers the rest."""
    monkeypatch.setattr(local, "MAX_GAPS", 3)
    for _ in range(10):
        live.write(b"0123456789")
        reader.read_block(1)
        reader.read_block(1)
        live.truncate()
        assert drain(reader) == b""
    assert len(reader.gaps) == 3
    assert sum(gap.lost_bytes or 0 for gap in reader.gaps) <= 80


def test_following_leaves_no_descriptor(live: LiveFile, reader: LocalReader) -> None:
    """A reader that went through rotations, cuts and deletions holds one descriptor as before."""

    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(3):
        live.write(LONG)
        live.rotate()
        live.write(LONG)
        drain(reader)
        live.copy_truncate()
        drain(reader)
        live.unlink()
        live.reopen()
        live.write(b"x\n")
        drain(reader)
    assert count() == before
    reader.close()
    assert count() == before - 1


# real programs

PROGRAM = """
import gzip, logging.handlers, os, shutil, sys, time

def pack(source, target):
    with open(source, "rb") as plain, gzip.open(target, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    os.remove(source)

handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=4000, backupCount=200)
if sys.argv[2] == "gzip":
    handler.namer, handler.rotator = "{}.gz".format, pack
for number in range(5000):
    handler.emit(logging.LogRecord("x", 20, "", 0, "%010d and some more", (number,), None))
    if number % 500 == 0:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("rotation", ["plain", "gzip"])
def test_rotating_file_handler(log: Path, rotation: str) -> None:
    """A log that Python's own handler rotates, and compresses, all the time comes whole while it is written."""
    log.touch()
    chance = random.Random(1)
    lines = bytearray()
    with (
        subprocess.Popen([sys.executable, "-c", PROGRAM, log, rotation]) as program,
        LocalSource(log).open() as reader,
    ):
        while program.poll() is None:
            lines += reader.read_block(chance.choice([10, 1000, 100_000]))
        lines += drain(reader)
        assert reader.gaps == []
    assert program.returncode == 0
    assert bytes(lines) == b"".join(b"%010d and some more\n" % number for number in range(5000))
