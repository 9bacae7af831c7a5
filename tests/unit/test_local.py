"""One local file and its rotated set, read at rest: order, offsets, positions, and what is said of it."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from logflume.errors import CursorExpired, UsageError
from logflume.records import GapReason, Identity, Position
from logflume.sources import rotation
from logflume.sources.local import LocalSource, rotated_set
from logflume.testing import numbered_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.abc import Reader

CONTENT = numbered_lines(1000)  # 24,000 bytes


def drain(reader: Reader, max_bytes: int = 4096) -> bytes:
    """Read all there is now."""
    return b"".join(iter(lambda: reader.read_block(max_bytes), b""))


def read(source: LocalSource, start: int | Position = 0) -> bytes:
    """Open, read all there is, close."""
    with source.open(start) as reader:
        return drain(reader)


def names(paths: list[Path]) -> list[str]:
    """Return the last parts of paths."""
    return [path.name for path in paths]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Name a log file in a folder of its own."""
    return tmp_path / "x.log"


def write_set(log: Path, *, oldest: Callable[[bytes], bytes] | None = None, suffix: str = "") -> bytes:
    """Write three files of CONTENT, the oldest one through ``oldest``; return the linear stream."""
    first = CONTENT[:7000]
    log.with_name(f"x.log.2{suffix}").write_bytes(oldest(first) if oldest else first)
    log.with_name("x.log.1").write_bytes(CONTENT[7000:15000])
    log.write_bytes(CONTENT[15000:])
    return CONTENT


def descriptors() -> list[str]:
    """Name the open descriptors of this process."""
    return sorted(descriptor.name for descriptor in Path("/proc/self/fd").iterdir())


# the set


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["x.log"], ["x.log"]),
        (["x.log", "x.log.1", "x.log.2", "x.log.10"], ["x.log.10", "x.log.2", "x.log.1", "x.log"]),
        (["x.log.1", "x.log.3"], ["x.log.3", "x.log.1"]),
        (["x.log", "x.log.2.gz", "x.log.1", "x.log.3.zst"], ["x.log.3.zst", "x.log.2.gz", "x.log.1", "x.log"]),
        (["x.log", "x.log.1", "x.log.1.gz"], ["x.log.1", "x.log"]),
        (["x.log", "x.log.0"], ["x.log.0", "x.log"]),
        (
            ["x.log", "y.log.1", "x.log.trigger.1.log", "x.log.20241120", "x.log.1~", "x.log.-1", "x.log.\u0661"],
            ["x.log"],
        ),
        (["x.log", "x.log.trigger.123"], ["x.log"]),
        (["xxlog.1", "x.log.1.bz2", "x.log."], []),
        ([], []),
    ],
)
@pytest.mark.parametrize("how", ["listed", "tried", "given"])
def test_set_is_found_by_number(
    log: Path, present: list[str], expected: list[str], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a number after the name makes a file a predecessor, a higher one an older one, however names are found."""
    for name in present:
        log.with_name(name).touch()
    if how == "tried":
        monkeypatch.setattr(rotation, "MAX_LISTED", 0)
    if how == "given":
        assert names(rotated_set(log.with_name("elsewhere") / "x.log", present)) == expected
    else:
        assert names(rotated_set(log)) == expected


def test_large_folder_is_not_listed(log: Path) -> None:
    """Among more names than are listed, the set is found all the same."""
    for number in range(rotation.MAX_LISTED + 10):
        log.with_name(f"other{number}").touch()
    for name in ("x.log", "x.log.1", "x.log.9.gz"):
        log.with_name(name).touch()
    assert names(rotated_set(log)) == ["x.log.9.gz", "x.log.1", "x.log"]


def test_set_of_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is looked up in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("x.log").write_bytes(b"new\n")
    Path("x.log.1").write_bytes(b"old\n")
    assert read(LocalSource("x.log")) == b"old\nnew\n"


def test_folder_without_listing_right_is_tried(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be entered but not listed still gives the set."""
    write_set(log)

    def refuse(_path: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "scandir", refuse)
    assert read(LocalSource(log)) == CONTENT


# offsets


def test_set_is_one_stream(log: Path) -> None:
    """The linear stream is the concatenation, oldest first, without a gap, whatever the block size."""
    write_set(log)
    for max_bytes in (1000, 7001, 1 << 20):
        with LocalSource(log).open() as reader:
            assert drain(reader, max_bytes) == CONTENT
            assert reader.gaps == []


@pytest.mark.parametrize("start", [0, 1, 6999, 7000, 7001, 15000, 15001, 23999, 24000])
@pytest.mark.parametrize(("suffix", "pack"), [("", None), (".gz", gzip.compress), (".zst", zstandard.compress)])
def test_any_offset(log: Path, start: int, suffix: str, pack: Callable[[bytes], bytes] | None) -> None:
    """Opening at any linear offset gives what lies from there on, at each border of files too."""
    write_set(log, oldest=pack, suffix=suffix)
    with LocalSource(log).open(start) as reader:
        assert reader.start == start
        assert drain(reader) == CONTENT[start:]


def test_offset_beyond_the_end(log: Path) -> None:
    """Beyond the end there is nothing, and what fills the distance later does not come out."""
    log.write_bytes(b"0123456789")
    with LocalSource(log).open(15) as reader, log.open("ab", buffering=0) as writer:
        assert reader.read_block() == b""
        writer.write(b"abc")
        assert reader.read_block() == b""
        writer.write(b"defgh")
        assert reader.read_block() == b"fgh"
        assert reader.position(18).offset == 18
        assert reader.gaps == []


def test_empty_files_of_a_set_are_passed(log: Path) -> None:
    """Files without a byte are nothing to stop at."""
    for number, data in enumerate([b"", b"c", b"", b"b", b"a", b""]):
        log.with_name(f"x.log.{number}" if number else "x.log").write_bytes(data)
    assert read(LocalSource(log)) == b"abc"


def test_many_empty_compressed_files_do_not_end_it(log: Path) -> None:
    """A quiet log that is compressed each day leaves hundreds of empty files; what is behind them comes."""
    for number in range(1, 300):
        log.with_name(f"x.log.{number}.gz").write_bytes(gzip.compress(b""))
    log.write_bytes(b"at last\n")
    assert read(LocalSource(log)) == b"at last\n"


def test_only_rotated_files(log: Path) -> None:
    """Between renaming and making the new file there is none of that name, and the old one can be read."""
    log.with_name("x.log.1").write_bytes(b"old\n")
    with LocalSource(log).open() as reader:
        assert drain(reader) == b"old\n"
        log.write_bytes(b"new\n")
        assert drain(reader) == b"new\n"


def test_one_file_of_two_names_comes_once(log: Path) -> None:
    """Rotation by link and unlink gives one file two names for a moment; its bytes come once."""
    log.write_bytes(b"line\n")
    os.link(log, log.with_name("x.log.1"))
    assert read(LocalSource(log)) == b"line\n"


@pytest.mark.parametrize("start", [-1, -(10**20)])
def test_negative_offsets_are_refused(log: Path, start: int) -> None:
    """An offset below zero is the caller's mistake."""
    log.touch()
    with pytest.raises(UsageError):
        LocalSource(log).open(start)


def test_misuse_of_a_reader_is_refused(log: Path) -> None:
    """Blocks of no size, positions never reached, and reading after close are the caller's mistakes."""
    log.write_bytes(b"0123456789")
    with LocalSource(log).open(2) as reader:
        reader.read_block(3)
        with pytest.raises(UsageError):
            reader.read_block(0)
        for offset in (1, 6):
            with pytest.raises(UsageError):
                reader.position(offset)
    with pytest.raises(UsageError):
        reader.read_block()


def test_path_with_nul_is_refused(tmp_path: Path) -> None:
    """No file has such a name, and the system must not be asked for one."""
    with pytest.raises(UsageError):
        LocalSource(tmp_path / "a\0b")


# what is said of a source


def test_size_and_seekable(log: Path) -> None:
    """The size is the sum of plain files; a compressed one makes it unknown, and the source not seekable."""
    source = LocalSource(log)
    assert source.peek_size() is None
    write_set(log)
    assert (source.peek_size(), source.seekable) == (len(CONTENT), True)
    log.with_name("x.log.3.gz").write_bytes(gzip.compress(b"older\n"))
    assert (source.peek_size(), source.seekable) == (None, False)


def test_name(log: Path) -> None:
    """The name is the path, unless it is given, and never holds what would upset a terminal."""
    assert LocalSource(log).name == str(log)
    assert LocalSource(log, name="live").name == "live"
    assert "\x1b" not in LocalSource(log.with_name("\x1b[2J.log")).name
    LocalSource(os.fsdecode(b"/tmp/\xff.log")).name.encode()


def test_identity_is_that_of_the_oldest_bytes(log: Path) -> None:
    """Identity is None without bytes, covers what there is, and stays when the file is renamed."""
    source = LocalSource(log)
    assert source.peek_identity() is None
    log.touch()
    assert source.peek_identity() is None
    log.write_bytes(CONTENT)
    identity = source.peek_identity()
    assert identity is not None
    assert identity.fingerprint_bytes == 1024
    log.rename(log.with_name("x.log.1"))
    log.write_bytes(b"new\n")
    assert source.peek_identity() == identity


# positions


@pytest.mark.parametrize("offset", [0, 500, 6999, 7000, 12000, 15000, 24000])
def test_position_opens_at_its_place(log: Path, offset: int) -> None:
    """A position named anywhere in a set opens there, counted from the oldest file."""
    write_set(log)
    with LocalSource(log).open() as reader:
        drain(reader)
        position = reader.position(offset)
    with LocalSource(log).open(position) as reader:
        assert reader.start == offset
        assert drain(reader) == CONTENT[offset:]


def test_position_survives_rotation(log: Path) -> None:
    """After renaming, the position leads on in the renamed file, then in the newer ones."""
    log.write_bytes(CONTENT)
    with LocalSource(log).open() as reader:
        reader.read_block(5000)
        position = reader.position(4000)
    log.rename(log.with_name("x.log.2"))
    log.with_name("x.log.1").write_bytes(b"newer\n")
    log.write_bytes(b"newest\n")
    assert read(LocalSource(log), position) == CONTENT[4000:] + b"newer\nnewest\n"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
@pytest.mark.parametrize("size", [24000, 500])
def test_position_survives_compression(log: Path, suffix: str, pack: Callable[[bytes], bytes], size: int) -> None:
    """A file that was rotated and compressed is known by its first bytes, and the position holds."""
    log.write_bytes(CONTENT[:size])
    with LocalSource(log).open() as reader:
        reader.read_block(300)
        position = reader.position(200)
    log.with_name(f"x.log.1{suffix}").write_bytes(pack(CONTENT[:size]))
    log.unlink()
    log.write_bytes(b"new\n")
    assert read(LocalSource(log), position) == CONTENT[200:size] + b"new\n"


def test_position_survives_copytruncate(log: Path) -> None:
    """A file that was copied and cut goes on in its copy."""
    log.write_bytes(CONTENT)
    with LocalSource(log).open() as reader:
        reader.read_block(5000)
        position = reader.position(5000)
    log.with_name("x.log.1").write_bytes(CONTENT)
    log.write_bytes(b"new\n")
    assert read(LocalSource(log), position) == CONTENT[5000:] + b"new\n"


def test_position_in_a_short_file_holds_when_it_grows(log: Path) -> None:
    """A fingerprint of less than 1,024 bytes covers what there was, and still fits after growth."""
    log.write_bytes(CONTENT[:100])
    with LocalSource(log).open() as reader:
        drain(reader)
        position = reader.position(100)
    assert position.identity.fingerprint_bytes == 100
    with log.open("ab") as writer:
        writer.write(CONTENT[100:])
    assert read(LocalSource(log), position) == CONTENT[100:]


def test_position_in_an_empty_file(log: Path) -> None:
    """Before the first byte there is a place, too."""
    log.touch()
    with LocalSource(log).open() as reader:
        position = reader.position(0)
    log.write_bytes(b"first\n")
    assert read(LocalSource(log), position) == b"first\n"


def remove(log: Path) -> None:
    """Delete it."""
    log.unlink()


def cut(log: Path) -> None:
    """Cut it before the position."""
    os.truncate(log, 4999)


def replace(log: Path) -> None:
    """Put another file in its place."""
    other = log.with_name("other")
    other.write_bytes(b"other " * 4000)
    other.replace(log)


def overwrite_in_place(log: Path) -> None:
    """Write other bytes into it."""
    log.write_bytes(b"other " * 4000)


@pytest.mark.parametrize("change", [remove, cut, replace, overwrite_in_place])
def test_position_expires(log: Path, change: Callable[[Path], None]) -> None:
    """A file that was removed, cut, replaced or overwritten expires a position in it."""
    log.write_bytes(CONTENT)
    with LocalSource(log).open() as reader:
        reader.read_block(5000)
        position = reader.position(5000)
    change(log)
    with pytest.raises(CursorExpired):
        LocalSource(log).open(position)


def test_used_again_inode_is_no_old_file(log: Path) -> None:
    """Another file of the same device and inode is told apart by its first bytes."""
    log.write_bytes(CONTENT)
    with LocalSource(log).open() as reader:
        reader.read_block(5000)
        position = reader.position(5000)
    log.write_bytes(b"x" + CONTENT)  # in place: the inode is certainly the same
    with LocalSource(log).open() as reader:
        assert reader.position(0).identity.key == position.identity.key
    with pytest.raises(CursorExpired):
        LocalSource(log).open(position)


def test_file_cut_and_grown_again_with_other_bytes_expires(log: Path) -> None:
    """A file that is longer than the position again, but not the same, is found out."""
    log.write_bytes(CONTENT[:2000])
    with LocalSource(log).open() as reader:
        drain(reader)
        position = reader.position(2000)
    log.write_bytes(CONTENT[24:] * 2)
    with pytest.raises(CursorExpired):
        LocalSource(log).open(position)


def test_compressed_file_shorter_than_its_position_expires(log: Path) -> None:
    """A compressed copy that does not reach up to the position is not taken for the file."""
    log.write_bytes(CONTENT)
    with LocalSource(log).open() as reader:
        reader.read_block(5000)
        position = reader.position(5000)
    log.unlink()
    log.with_name("x.log.1.gz").write_bytes(gzip.compress(CONTENT[:4000]))
    with pytest.raises(CursorExpired):
        LocalSource(log).open(position)


@pytest.mark.parametrize(("fingerprint_bytes", "offset"), [(-1, 0), (1025, 0), (10**12, 0), (0, -1)])
def test_impossible_positions_are_refused(log: Path, fingerprint_bytes: int, offset: int) -> None:
    """A position that no reader named costs nothing, whatever is in it."""
    log.write_bytes(CONTENT)
    with pytest.raises(UsageError):
        LocalSource(log).open(Position(Identity("1:1", "", fingerprint_bytes), offset))


def test_a_position_behind_compressed_files_counts_from_its_own(log: Path) -> None:
    """What is compressed before a position is not decoded to find out how long it is."""
    write_set(log, oldest=gzip.compress, suffix=".gz")
    with LocalSource(log).open() as reader:
        drain(reader)
        position = reader.position(16000)
    with LocalSource(log).open(position) as reader:
        assert reader.start == 1000
        assert drain(reader) == CONTENT[16000:]
        assert reader.position(1000) == position


def test_resuming_reads_no_old_byte(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a position at the end, nothing is read before it but the first 1,024 bytes."""
    write_set(log)
    with LocalSource(log).open() as reader:
        drain(reader)
        position = reader.position(24000)
    reads: list[tuple[int, int]] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append((size, offset))
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert read(LocalSource(log), position) == b""
    assert {(size, offset) for size, offset in reads if offset < 9000} <= {(4, 0), (1024, 0)}


# what is held


def test_closing_leaves_no_descriptor(log: Path) -> None:
    """Whatever was opened to look, read, skip or follow is closed."""
    write_set(log, oldest=gzip.compress, suffix=".gz")
    source = LocalSource(log, root=log.parent)
    before = descriptors()
    for start in (0, 100, 8000, 24000):
        with source.open(start) as reader:
            drain(reader)
            position = reader.position(reader.start)
        with source.open(position):
            pass
    source.peek_identity()
    source.peek_size()
    assert source.seekable is False
    assert descriptors() == before


def test_a_reader_holds_one_descriptor(log: Path) -> None:
    """However many files a set has, and wherever in it one reads."""
    write_set(log, oldest=gzip.compress, suffix=".gz")
    before = len(descriptors())
    with LocalSource(log).open() as reader:
        while reader.read_block(1000):
            assert len(descriptors()) == before + 1


def test_forgotten_stretches(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that follows for ever remembers a bounded number of files, and says so of older offsets."""
    monkeypatch.setattr("logflume.sources.local.MAX_STRETCHES", 2)
    for number in range(5, 0, -1):
        log.with_name(f"x.log.{number}").write_bytes(b"%d\n" % number)
    with LocalSource(log).open() as reader:
        assert drain(reader) == b"5\n4\n3\n2\n1\n"
        assert reader.position(4).offset == 0
        with pytest.raises(UsageError):
            reader.position(3)


def test_threads_may_read_one_source_at_once(log: Path) -> None:
    """A source has no state that two readers could spoil."""
    write_set(log)
    source = LocalSource(log)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(read(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 8


# files that are not what they seem


def test_plain_text_called_gz_is_read_as_text(log: Path) -> None:
    """The first bytes decide together with the name."""
    log.with_name("x.log.1.gz").write_bytes(b"plain\n")
    log.write_bytes(b"too\n")
    assert read(LocalSource(log)) == b"plain\ntoo\n"
    assert LocalSource(log).seekable is True


def test_log_that_begins_like_gzip_is_passed_on(log: Path) -> None:
    """A live file is given byte for byte; what a task prints does not change how it is read."""
    data = gzip.compress(b"hidden\n")
    log.write_bytes(data)
    assert read(LocalSource(log)) == data


def test_compressed_file_may_be_the_newest(tmp_path: Path) -> None:
    """A single ``.gz`` is a source of its own, also when it is empty at first."""
    path = tmp_path / "x.log.gz"
    path.touch()
    with LocalSource(path).open() as reader:
        assert reader.read_block() == b""
        path.write_bytes(gzip.compress(b"line\n"))
        assert drain(reader) == b"line\n"


def test_damaged_rotated_file_is_a_gap_and_the_rest_comes(log: Path) -> None:
    """What could be decoded comes, then a gap with the offset in the compressed file, then the newer files."""
    whole = gzip.compress(CONTENT)
    log.with_name("x.log.1.gz").write_bytes(whole[: len(whole) // 2])
    log.write_bytes(b"new\n")
    with LocalSource(log).open() as reader:
        data = drain(reader)
        (gap,) = reader.gaps
    shown = data.removesuffix(b"new\n")
    assert len(shown) > 5000
    assert CONTENT.startswith(shown)
    assert data.endswith(b"new\n")
    assert (gap.reason, gap.offset) == (GapReason.CORRUPT, len(shown))
    assert str(len(whole) // 2) in gap.detail


def test_damage_is_told_when_it_is_skipped_too(log: Path) -> None:
    """An offset behind a damaged file does not hide the damage."""
    whole = gzip.compress(CONTENT)
    log.with_name("x.log.1.gz").write_bytes(whole[: len(whole) // 2])
    log.write_bytes(b"new\n")
    shown = len(read(LocalSource(log))) - 4
    with LocalSource(log).open(shown + 1) as reader:
        assert drain(reader) == b"ew\n"
        assert [gap.reason for gap in reader.gaps] == [GapReason.CORRUPT]


def test_bomb_is_bounded(log: Path) -> None:
    """A compressed file gives no more than may be decoded of one file, and a gap; newer files follow."""
    log.with_name("x.log.1.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    log.write_bytes(b"new\n")
    with LocalSource(log, max_decoded_bytes=1_000_000).open() as reader:
        assert drain(reader) == bytes(1_000_000) + b"new\n"
        assert [gap.reason for gap in reader.gaps] == [GapReason.TOO_LARGE]
