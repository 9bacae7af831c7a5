"""`logflume run --capture pty` at a terminal: keys, job control and the size of the window are the command's."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.command import COMMAND, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 60.0
JOB = b"sh -c 'echo on\"\"e; exec sleep 1000'\n"  # once it has said something, keys are for it


class AtTerminal:
    """A command that leads a session at a terminal of ours."""

    def __init__(self, *words: str | Path) -> None:
        self.ours, theirs = pty.openpty()
        self.modes = termios.tcgetattr(theirs)
        self.resize(24, 80)
        self.seen = b""
        launch = (
            "import fcntl, os, sys, termios as t; fcntl.ioctl(0, t.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", launch, *map(str, COMMAND), *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=environment(),
        )
        self.theirs = theirs

    def resize(self, rows: int, columns: int) -> None:
        """Make the window so large."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.ours, keys)

    def wait_for(self, text: bytes) -> None:
        """Read until something is shown; what was shown before it is forgotten."""
        deadline = time.monotonic() + PATIENCE_S
        poll = select.poll()
        poll.register(self.ours, select.POLLIN)
        while text not in self.seen:
            assert time.monotonic() < deadline, f"never shown: {text!r}, but {self.seen!r}"
            if poll.poll(100):
                self.seen += os.read(self.ours, 4096)
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        """Release all."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[AtTerminal]:
    """Give an interactive shell that is captured."""
    shell = AtTerminal(
        "run", "--dir", tmp_path / "kept", "--capture", "pty", "--", "bash", "--norc", "--noprofile", "-i"
    )
    try:
        shell.type(b"PS1='ready''> '; set +o emacs\n")
        shell.wait_for(b"ready> ")
        yield shell
    finally:
        shell.close()


def test_keys_reach_what_runs_in_the_terminal(shell: AtTerminal, tmp_path: Path) -> None:
    """Ctrl-C ends what the shell runs and not the shell; Ctrl-D ends the shell, whose exit code is ours."""
    shell.type(JOB)
    shell.wait_for(b"one\r\n")
    shell.type(b"\x03")
    shell.wait_for(b"ready> ")
    shell.type(b"echo code $?\n")
    shell.wait_for(b"code 130")
    shell.type(b"(exit 7)\n\x04")
    assert shell.process.wait(timeout=PATIENCE_S) == 7
    assert b"code 130" in (tmp_path / "kept" / "out.log").read_bytes()


def test_jobs_can_be_stopped_and_go_on(shell: AtTerminal) -> None:
    """Ctrl-Z stops what the shell runs, which goes on in the foreground."""
    shell.type(JOB)
    shell.wait_for(b"one\r\n")
    shell.type(b"\x1a")
    shell.wait_for(b"Stopped")
    shell.type(b"fg\n")
    shell.wait_for(b"sleep 1000'\r\n")
    shell.type(b"\x03")
    shell.wait_for(b"ready> ")


def test_the_window_has_our_size(shell: AtTerminal) -> None:
    """The command's terminal is as large as ours, also when that changes."""
    shell.type(b"stty size; trap 'echo now $(stty size)' WINCH\n")
    shell.wait_for(b"24 80")
    shell.resize(33, 99)
    deadline = time.monotonic() + PATIENCE_S
    while b"33 99" not in shell.seen:
        assert time.monotonic() < deadline
        shell.type(b"stty size\n")
        shell.wait_for(b"ready> ")
    shell.type(b"exit\n")
    shell.process.wait(timeout=PATIENCE_S)


def test_our_terminal_is_as_it_was(shell: AtTerminal) -> None:
    """At the end the terminal has the modes that it had before."""
    assert termios.tcgetattr(shell.theirs) != shell.modes
    shell.type(b"exit\n")
    assert shell.process.wait(timeout=PATIENCE_S) == 0
    assert termios.tcgetattr(shell.theirs) == shell.modes


def test_a_command_that_is_not_there_leaves_the_terminal_alone(tmp_path: Path) -> None:
    """What cannot be run is told as ever."""
    nothing = AtTerminal("run", "--dir", tmp_path, "--capture", "pty", "--", "no-such-command")
    try:
        nothing.wait_for(b"no-such-command cannot be run: No such file or directory")
        assert nothing.process.wait(timeout=PATIENCE_S) == 127
        assert termios.tcgetattr(nothing.theirs) == nothing.modes
    finally:
        nothing.close()
