"""What a merge really costs: the peak of a process of its own, as the kernel counts it, over sources made in it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

MIB = 1024 * 1024
MERGE_BYTES = 64 * MIB
"""What a process that merges a few sources of any size may take, Python and all."""

# Sources are made in the process that merges them, block by block, by the arguments given.
PROGRAM = """
import sys
from logflume import _core
from logflume.follow import iter_followed
from logflume.merge import How, iter_merged, where
from logflume.records import Identity, Output, Position

LINE = b"2024-11-20T12:34:56.000001Z row %09d of a log that is made on the fly\\n"

def generated(pattern, sources, total_bytes, source):
    # A generator of its own for each source: they are read in several threads.
    generator = _core.Generator(bytes=total_bytes, sources=sources, pattern=pattern, format="json", duplicates=0.0,
                                ties=0.0, seed=0, start_us=1_732_106_096_000_000, lines=None)
    return lambda max_bytes: generator.next_block(source, max_bytes)

def repeated(head, block, total_bytes):
    if head:
        yield head
    for _ in range(total_bytes // len(block)):
        yield block

def ties(total_bytes, source, same):
    # All at one time; each line different, or the same as that of the other sources.
    number = 0 if same else source * 10_000_000
    for _ in range(total_bytes // (2000 * len(LINE % 0))):
        yield b"".join(LINE % n for n in range(number, number + 2000))
        number += 2000

class Made:
    seekable = False

    def __init__(self, name, make):
        self.name, self.make = name, make

    def open(self, start=0):
        made = self.make()
        return Reader(made if callable(made) else cut(made))

    def peek_size(self):
        return None

    def peek_identity(self):
        return None

def cut(blocks):
    # The next bytes, no more than asked for.
    rest = b""
    def read_block(max_bytes):
        nonlocal rest
        block = rest or next(blocks, b"")
        rest = block[max_bytes:]
        return block[:max_bytes]
    return read_block

class Reader:
    start = 0

    def __init__(self, make):
        self.gaps, self.make = [], make

    def read_block(self, max_bytes=1 << 18):
        return self.make(max_bytes)

    def position(self, offset):
        return Position(Identity("made", "", 0), offset)

    def close(self):
        self.make = None

class Log:
    id = "log"

    def __init__(self, made):
        self.made = made

    def sources(self):
        return self.made

scenario, sources, total_bytes, output, driver = sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:]
BLANK = b"\\n" * (256 * 1024)
make = {
    "interleaved": lambda n: generated("interleaved", sources, total_bytes, n),
    "late-start": lambda n: generated("late-start", sources, total_bytes, n),
    "disjoint": lambda n: generated("disjoint", sources, total_bytes, n),
    "one-line": lambda n: repeated(LINE[:20] + b"Z ", b"x" * (256 * 1024), total_bytes),
    "one-record": lambda n: repeated(LINE % 0, b"  File dags/load.py, in load\\n" * 9000, total_bytes),
    "one-record-of-blank-lines": lambda n: repeated(LINE % 0, BLANK, total_bytes),
    "untimed": lambda n: repeated(b"", b"no time here\\n" * 20_000, total_bytes),
    "blank": lambda n: repeated(b"", BLANK, total_bytes),
    "ties": lambda n: ties(total_bytes // sources, n, same=False),
    "repeats": lambda n: ties(total_bytes // sources, n, same=True),
}[scenario]

def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

made = [Made(str(n), lambda n=n: make(n)) for n in range(sources)]
only = where(contains="no such text") if output == "FILTERED" else None
how = How(output=Output.NDJSON if only else Output[output], only=only)
if driver == "follow":
    merged = iter_followed(Log(made), how, ended=lambda: True)
else:
    merged = iter_merged(made, how, workers=None if driver == "threads" else 0)
longest = 0
with merged:
    for block in merged:
        longest = max(longest, len(block))
stats = merged.stats()
print(stats["bytes"], stats["records"], stats["dedup_overflow"], longest, peak_bytes())
"""


@dataclass(frozen=True)
class Run:
    """What a process merged, and what it took."""

    bytes: int
    records: int
    dedup_overflow: int
    longest_block: int
    peak_bytes: int


def run(scenario: str, total_bytes: int, *, sources: int = 1, output: str = "NDJSON", driver: str = "threads") -> Run:
    """Merge sources of so many bytes in all in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, scenario, str(sources), str(total_bytes), output, driver],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return Run(*map(int, done.stdout.split()))


def assert_small(done: Run, total_bytes: int) -> None:
    """Everything was merged, and what it took has nothing to do with how much that was."""
    assert done.bytes > total_bytes * 0.9
    assert 8 * MIB < done.peak_bytes <= MERGE_BYTES


@pytest.mark.parametrize("driver", ["threads", "no-threads", "follow"])
def test_memory_does_not_grow_with_the_log(driver: str) -> None:
    """Three interleaved sources take the same for four times the bytes."""
    small = run("interleaved", 300_000_000, sources=3, driver=driver)
    large = run("interleaved", 1_200_000_000, sources=3, driver=driver)
    assert_small(small, 300_000_000)
    assert_small(large, 1_200_000_000)
    assert abs(large.peak_bytes - small.peak_bytes) <= 4 * MIB


def test_a_thousand_sources() -> None:
    """With very many sources each reads less at a time; what they take together stays bounded."""
    done = run("interleaved", 300_000_000, sources=1000)
    assert done.bytes > 250_000_000
    assert done.peak_bytes <= 600 * MIB


@pytest.mark.parametrize("driver", ["threads", "follow"])
@pytest.mark.parametrize("scenario", ["late-start", "disjoint"])
def test_a_source_that_waits_for_the_others_holds_no_more(scenario: str, driver: str) -> None:
    """While one source is far behind in time, the others are not read on."""
    done = run(scenario, 300_000_000, sources=3, driver=driver)
    assert_small(done, 300_000_000)


@pytest.mark.parametrize("output", ["TEXT", "NDJSON", "FILTERED"])
@pytest.mark.parametrize("driver", ["threads", "follow"])
def test_a_line_without_end(output: str, driver: str) -> None:
    """A line of 100 MB passes in pieces of a megabyte."""
    done = run("one-line", 100_000_000, output=output, driver=driver)
    assert_small(done, 100_000_000)
    assert done.records == 1
    assert done.longest_block <= 2 * MIB


@pytest.mark.parametrize("output", ["TEXT", "NDJSON", "FILTERED"])
@pytest.mark.parametrize("driver", ["threads", "follow"])
def test_a_traceback_without_end(output: str, driver: str) -> None:
    """A record of 200 MB passes in pieces, too."""
    done = run("one-record", 200_000_000, output=output, driver=driver)
    assert_small(done, 200_000_000)
    assert done.records == 1
    assert done.longest_block <= 4 * MIB


@pytest.mark.parametrize("output", ["TEXT", "NDJSON", "FILTERED"])
def test_a_log_without_times(output: str) -> None:
    """Millions of lines before the first time are as many records, and none of them stays."""
    done = run("untimed", 50_000_000, output=output)
    assert_small(done, 50_000_000)
    assert done.records > 3_000_000


@pytest.mark.parametrize("output", ["TEXT", "NDJSON"])
def test_a_log_of_blank_lines(output: str) -> None:
    """The shortest lines there are need the longest table, and the most around them in NDJSON."""
    done = run("blank", 5_000_000, output=output)
    assert_small(done, 5_000_000)
    assert done.records > 4_500_000


def test_a_record_of_blank_lines() -> None:
    """A traceback may have any number of blank lines."""
    assert_small(run("one-record-of-blank-lines", 5_000_000), 5_000_000)


def test_many_logs_of_blank_lines() -> None:
    """What many sources take together stays bounded by their number, whatever their lines are."""
    assert run("blank", 1_000_000, sources=30).peak_bytes <= 128 * MIB


@pytest.mark.parametrize("scenario", ["ties", "repeats"])
def test_millions_of_records_of_one_instant(scenario: str) -> None:
    """So many are compared and no more; the others are shown and counted."""
    done = run(scenario, 100_000_000, sources=3)
    assert_small(done, 100_000_000)
    assert done.records > 1_000_000
    assert done.dedup_overflow > 1_000_000
