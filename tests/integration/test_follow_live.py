"""Following real files while programs write, rotate, cut, remove and make them; each test by events and by polling."""

from __future__ import annotations

import gzip
import os
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from logflume.catalog import FolderCatalog, log_of_paths
from logflume.cursor import Cursor
from logflume.follow import Followed, iter_followed
from logflume.merge import How, iter_merged
from logflume.records import GapReason, Output
from logflume.testing import LiveFile
from logflume.watch import Watcher, WatchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from logflume.abc import Log

TEXT = How(output=Output.TEXT)


def at(second: float, text: str = "") -> bytes:
    """Write a whole line of that time."""
    return f"2024-11-20T12:34:{second:06.3f}Z {text}\n".encode()


def resources() -> tuple[set[threading.Thread], int]:
    """Return the threads, and how many descriptors are open."""
    return set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208


class Tail:
    """A followed log, and all that came of it."""

    def __init__(self, log: Log, waiter: Watcher | None, start: Cursor | None = None) -> None:
        self.over = threading.Event()
        self.followed: Followed = iter_followed(log, TEXT, start=start, ended=self.over.is_set, waiter=waiter)
        self.read = b""

    def until(self, expected: bytes) -> None:
        """Read until that much has come; it must be that."""
        while len(self.read) < len(expected):
            block = self.followed.read_block(0.5)
            assert block is not None, f"it ended after {self.read!r}"
            self.read += block
        assert self.read == expected

    def end(self) -> bytes:
        """Nobody writes any more: read the rest, and return everything."""
        self.over.set()
        self.read += b"".join(self.followed)
        return self.read

    def reasons(self) -> list[GapReason]:
        """Return why something is missing."""
        return [gap.reason for gap in self.followed.gaps]


@pytest.fixture(params=[WatchMode.AUTO, WatchMode.POLL, None], ids=["events", "looking", "no-watcher"])
def follow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Tail]]:
    """Give ``follow(path, …)``, which follows these paths; at the end no descriptor and no thread is left of it."""
    monkeypatch.setattr("logflume.follow.LIST_S", 0.1)
    before = resources()
    tails: list[Tail] = []

    def follow(*paths: Path, start: Cursor | None = None) -> Tail:
        watcher = Watcher(paths, poll_s=0.02, mode=request.param) if request.param else None
        tails.append(Tail(log_of_paths(paths), watcher, start))
        return tails[-1]

    yield follow
    for tail in tails:
        tail.followed.close()
    while resources()[0] - before[0] or resources()[1] > before[1]:  # the system's events end in their own time
        time.sleep(0.01)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFile]:
    """Give the program that writes the log; a first line is there."""
    with LiveFile(tmp_path / "x.log", at(0, "first")) as file:
        yield file


def test_new_bytes(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """Lines come as they are written, a line in two halves as a whole, the last one at the end as it is."""
    tail = follow(live.path)
    tail.until(at(0, "first"))
    live.write(at(1))
    tail.until(at(0, "first") + at(1))
    live.write(at(2)[:12])
    assert tail.followed.read_block(0.3) == b""
    live.write(at(2)[12:])
    tail.until(at(0, "first") + at(1) + at(2))
    live.write(b"no newline")
    assert tail.end() == at(0, "first") + at(1) + at(2) + b"no newline"
    assert tail.reasons() == []


def test_rotation(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """Nothing is lost or doubled when a file is renamed, once or several times, also while it is written on."""
    tail = follow(live.path)
    expected = at(0, "first")
    tail.until(expected)
    for number in range(1, 4):
        live.rotate()
        live.write(at(number))
        expected += at(number)
    tail.until(expected)
    live.rename_away()
    live.write(at(5, "into the renamed file"))
    tail.until(expected + at(5, "into the renamed file"))
    live.reopen()
    live.write(at(6))
    assert tail.end() == expected + at(5, "into the renamed file") + at(6)
    assert tail.reasons() == []


def test_rotation_with_compression(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """A renamed file that is compressed after it was read does not come again."""
    long = b"".join(at(number % 60 / 10, f"line {number}") for number in range(100))
    live.write(long)
    tail = follow(live.path)
    tail.until(at(0, "first") + long)
    live.rotate()
    rotated = live.path.with_name("x.log.1")
    live.path.with_name("x.log.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.unlink()
    live.write(at(10))
    assert tail.end() == at(0, "first") + long + at(10)
    assert tail.reasons() == []


def test_truncation(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """What was cut off is a Gap; what is written afterwards comes."""
    tail = follow(live.path)
    tail.until(at(0, "first"))
    live.truncate()
    while not tail.reasons():
        assert tail.followed.read_block(0.2) == b""
    live.write(at(1))
    tail.until(at(0, "first") + at(1))
    assert tail.reasons() == [GapReason.TRUNCATED]


def test_deletion_and_recreation(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """What is written into a file that lost its name still comes, and then what is in the new file of that name."""
    tail = follow(live.path)
    tail.until(at(0, "first"))
    live.unlink()
    live.write(at(1))
    tail.until(at(0, "first") + at(1))
    live.reopen()
    live.write(at(2))
    assert tail.end() == at(0, "first") + at(1) + at(2)


def test_a_file_that_is_missing_at_first(tmp_path: Path, follow: Callable[..., Tail]) -> None:
    """It is a Gap until it is there; then its bytes come."""
    path = tmp_path / "later.log"
    tail = follow(path)
    assert tail.followed.read_block(0.05) == b""
    assert tail.reasons() == [GapReason.NOT_FOUND]
    with LiveFile(path, at(1)) as late:
        tail.until(at(1))
        late.write(at(2))
        tail.until(at(1) + at(2))
    assert tail.reasons() == []


def test_a_new_file_in_a_followed_folder(tmp_path: Path, live: LiveFile, follow: Callable[..., Tail]) -> None:
    """It joins the log, in a new folder as well."""
    tail = follow(tmp_path)
    tail.until(at(0, "first"))
    (tmp_path / "deeper").mkdir()
    with LiveFile(tmp_path / "deeper" / "new.log", at(1)) as new:
        tail.until(at(0, "first") + at(1))
        live.write(at(2))
        tail.until(at(0, "first") + at(1) + at(2))
        new.write(at(3))
        tail.until(at(0, "first") + at(1) + at(2) + at(3))


def test_a_trigger_log_joins_its_attempt(tmp_path: Path, follow: Callable[..., Tail]) -> None:
    """A task that is deferred has a second file beside the one that is followed."""
    with LiveFile(tmp_path / "attempt=1.log", at(0)) as worker:
        tail = follow(worker.path)
        tail.until(at(0))
        with LiveFile(tmp_path / "attempt=1.log.trigger.7.log", at(1)) as trigger:
            tail.until(at(0) + at(1))
            trigger.write(at(2))
            worker.write(at(3))
            assert tail.end() == at(0) + at(1) + at(2) + at(3)


def test_order_across_two_live_files(tmp_path: Path, follow: Callable[..., Tail]) -> None:
    """What two programs write in one moment comes in the order of its times, and a traceback stays with its error."""
    with LiveFile(tmp_path / "a.log", at(0)) as a, LiveFile(tmp_path / "b.log", at(0, "b")) as b:
        tail = follow(a.path, b.path)
        expected = at(0) + at(0, "b")
        tail.until(expected)
        for second in range(1, 6):
            b.write(at(second + 0.5, "b"))
            a.write(at(second, "failed") + b"Traceback:\n")
            a.write(b"KeyError\n")
            expected += at(second, "failed") + b"Traceback:\nKeyError\n" + at(second + 0.5, "b")
            tail.until(expected)


def test_a_cursor_in_another_process(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """Its token leads on after a rotation, and nothing comes twice; what was half is whole then."""
    live.write(at(1) + at(2)[:20])
    tail = follow(live.path)
    tail.until(at(0, "first") + at(1))
    tail.followed.close()
    token = tail.followed.cursor().token(key=b"k", log_id="x")
    live.write(at(2)[20:])
    live.rotate()
    live.write(at(3))
    again = follow(live.path, start=Cursor.from_token(token, key=b"k", log_id="x"))
    again.until(at(2) + at(3))
    assert again.reasons() == []


def test_closing_ends_a_wait_in_another_thread(live: LiveFile, follow: Callable[..., Tail]) -> None:
    """Whoever waits for the next line is woken."""
    tail = follow(live.path)
    read: list[bytes] = []
    reading = threading.Thread(target=lambda: read.extend(tail.followed))
    reading.start()
    while not read:
        pass
    tail.followed.close()
    reading.join()
    assert read == [at(0, "first")]


def test_a_log_of_a_catalog(tmp_path: Path) -> None:
    """What a catalog finds can be followed as it is."""
    with LiveFile(tmp_path / "attempt=1.log", at(0)) as live:
        tail = Tail(FolderCatalog(tmp_path).find("attempt=1.log"), Watcher([tmp_path]))
        tail.until(at(0))
        live.write(at(1))
        assert tail.end() == at(0) + at(1)


def write_lines(paths: list[Path], lines: int, luck: random.Random, written: threading.Event) -> None:
    """Write numbered lines, each in two parts, to one file or another, and rotate now and then."""
    files = [LiveFile(path) for path in paths]
    for number in range(lines):
        line = at(number * 0.1 % 60, f"line {number}")
        cut = luck.randrange(len(line))
        file = luck.choice(files)
        file.write(line[:cut])
        file.write(line[cut:])
        if luck.random() < 0.05:
            file.rotate()
        time.sleep(luck.choice([0, 0, 0.005]))
    for file in files:
        file.close()
    written.set()


def read_on(tail: Tail, reads: int, *, to_its_end: bool) -> tuple[bytes, Cursor]:
    """Read some of a log, or the rest."""
    for _ in range(reads):
        tail.read += tail.followed.read_block(0.05) or b""
    read = tail.end() if to_its_end else tail.read
    tail.followed.close()
    return read, tail.followed.cursor()


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_or_doubled(seed: int, tmp_path: Path, follow: Callable[..., Tail]) -> None:
    """A reader that stops and goes on at its cursor, while programs write and rotate, has every line once, in order."""
    luck, written = random.Random(seed), threading.Event()
    paths = [tmp_path / f"{number}.log" for number in range(2)]
    writer = threading.Thread(target=write_lines, args=(paths, 400, random.Random(seed), written))
    writer.start()
    whole, is_last, cursor = b"", False, None
    while not is_last:
        is_last = written.is_set()
        read, cursor = read_on(follow(*paths, start=cursor), luck.randrange(1, 12), to_its_end=is_last)
        whole += read
    writer.join()
    assert sorted(int(line.rsplit(b" ", 1)[1]) for line in whole.splitlines()) == list(range(400))
    for path in paths:
        of_one_file = b"".join(iter_merged(log_of_paths([path]).sources(), TEXT)).splitlines()
        assert [line for line in whole.splitlines() if line in set(of_one_file)] == of_one_file
