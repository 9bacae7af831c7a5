"""A disk that becomes full while a command writes into its log: the command's own writes go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from logflume.ship.ahead import Ahead
from tests.integration.command import COMMAND, environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISK_BYTES = 24 * 1024 * 1024
WRITER = """
import os, time
for n in range(4000):
    os.write(1, b"%06d " % n + b"x" * 16376 + b"\\n")   # 64 MB in all, at some 40 MB/s
    if n % 100 == 0: time.sleep(0.04)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system in memory, where this may be done."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode and not os.environ.get("CI"):
        pytest.skip("no file system may be mounted here")
    assert mounted.returncode == 0, mounted.stderr
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_does_not_fail_the_command(small_disk: Path) -> None:
    """More than the disk holds is written in direct mode: no write fails, the oldest goes, counted and told."""
    done = run("run", "--quiet", "--dir", small_disk / "kept", "--", sys.executable, "-c", WRITER)
    assert done.code == 0, done.err
    assert "were given up: the disk took no more" in done.err
    known = json.loads(run("status", "--json", small_disk / "kept").out)
    (stream,) = known["streams"]
    assert stream["end"] == 4000 * 16384
    assert 0 < stream["lost_bytes"] < stream["end"]
    shown = run("tail", "-n", "1", small_disk / "kept")
    assert shown.out.startswith(b"003999 ")


def test_a_full_disk_stops_the_command_if_that_is_wanted(small_disk: Path) -> None:
    """Under stop-child the command is asked to end before its own writes fail, and nothing is given up."""
    words = ["run", "--quiet", "--when-over", "stop-child", "--dir", str(small_disk / "kept")]
    done = subprocess.run(
        [*COMMAND, *words, "--", sys.executable, "-c", WRITER], env=environment(), capture_output=True, check=False
    )
    assert done.returncode == -15
    (stream,) = json.loads(run("status", "--json", small_disk / "kept").out)["streams"]
    assert stream["lost_bytes"] == 0


def test_what_is_held_is_given_back(tmp_path: Path) -> None:
    """While a command runs, disk is held for what it writes next; afterwards a file takes what is in it."""
    script = "echo x; touch ready; while [ ! -e go ]; do sleep 0.01; done"
    words = ["run", "--quiet", "--dir", "kept", "--", "sh", "-c", script]
    with subprocess.Popen([*COMMAND, *words], env=environment(), cwd=tmp_path) as process:
        path = tmp_path / "kept" / "out.log"
        while not path.exists() or path.stat().st_blocks * 512 < 1024 * 1024:
            assert process.poll() is None
        (tmp_path / "go").touch()
    assert path.stat().st_size == 2
    assert path.stat().st_blocks * 512 <= 8192


def test_what_is_held_is_bounded_and_never_shown(tmp_path: Path) -> None:
    """So much as a sixteenth of the budget is held, behind the end; the size of the file stays as it is."""
    path = tmp_path / "x"
    path.write_bytes(b"a" * 10)
    descriptor = os.open(path, os.O_RDWR)
    ahead = Ahead(16 * 1024 * 1024)
    assert ahead.hold(descriptor, 10)
    assert ahead.held_bytes(10) == 1024 * 1024
    assert ahead.hold(descriptor, 10)
    assert path.stat().st_size == 10
    ahead.release(path)  # somebody has it open for writing
    assert path.stat().st_blocks * 512 >= 1024 * 1024
    os.close(descriptor)
    ahead.release(path)
    assert path.stat().st_blocks * 512 <= 8192
    assert path.read_bytes() == b"a" * 10


def test_holes_are_read_over_by_every_command(tmp_path: Path) -> None:
    """A file whose oldest part is a hole is read, searched, measured, sought and followed behind it."""
    script = "i=0; while [ $i -lt 30000 ]; do echo 2024-11-20T12:34:56Z INFO line $i; i=$((i+1)); done; sleep 0.3"
    done = run("run", "-q", "--budget", "200kB", "--dir", tmp_path / "kept", "--", "sh", "-c", script)
    assert done.code == 0
    assert "were given up: over the budget" in done.err
    folder = tmp_path / "kept"
    for words in (["tail", "-n", "3"], ["cat"], ["grep", "line 29999"], ["tail", "-n", "5", "--output", "ndjson"]):
        shown = run(*words, folder)
        assert b"line 29999" in shown.out
        assert b"\0" not in shown.out
    assert "bytes" in run("cat", folder).err
    assert run("grep", "-c", "line 29999", folder).out == b"1\n"
    assert json.loads(run("stat", "--json", folder).out)["sources"][0]["lines"] < 30000
