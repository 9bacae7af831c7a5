"""What a spool really costs: the peak of a process of its own, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A process takes its peak (VmHWM) before and after; the reader begins late, so that most of the stream must wait.
PROGRAM = """
import sys, threading
from logflume.spool import Spool

block_bytes, total_bytes, memory_bytes, late_bytes = map(int, sys.argv[1:])

def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def write(spool, late):
    for n in range(total_bytes // block_bytes):
        spool.write(n.to_bytes(8, "little") * (block_bytes // 8))
        if n * block_bytes >= late_bytes:
            late.set()
    spool.finish()

spool, late = Spool(memory_bytes=memory_bytes), threading.Event()
before = peak_bytes()
writer = threading.Thread(target=write, args=(spool, late))
writer.start()
late.wait()
read_bytes = sum(map(len, iter(spool.read_block, b"")))
writer.join()
stats = spool.stats()
spool.close()
print(read_bytes, stats.spilled_bytes, stats.memory_peak_bytes, peak_bytes() - before)
"""

MIB = 1024 * 1024
MEMORY_BYTES = 8 * MIB
ALLOWANCE_BYTES = 4 * MIB  # a thread, blocks in both hands, slack of buffers and allocator


@pytest.mark.parametrize(
    ("block_bytes", "total_bytes"),
    [(256 * 1024, 500_000_000), (4096, 200_000_000), (16, 20_000_000)],
    ids=["large-blocks", "pages", "tiny-blocks"],
)
def test_memory_does_not_grow_with_the_stream(block_bytes: int, total_bytes: int) -> None:
    """Behind a reader that is most of the stream late, a process grows by ``memory_bytes`` and a few MiB at most."""
    arguments = [block_bytes, total_bytes, MEMORY_BYTES, total_bytes * 8 // 10]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    read_bytes, spilled_bytes, memory_peak_bytes, growth_bytes = map(int, run.stdout.split())
    assert read_bytes == total_bytes // block_bytes * block_bytes
    assert spilled_bytes > total_bytes // 3
    assert memory_peak_bytes <= MEMORY_BYTES + 2 * 256 * 1024
    assert growth_bytes <= MEMORY_BYTES + ALLOWANCE_BYTES
    assert growth_bytes > MEMORY_BYTES // 2, "the measurement measures nothing"
