"""The command as a Unix program: pipes, signals, terminals, descriptors that are closed or full."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from logflume.generate import Plan, write_log
from logflume.records import Output
from tests import oracle
from tests.integration.command import COMMAND, TIMEOUT_S, environment, interrupt, run, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = b"2024-11-20T10:00:00Z INFO hello\n"
SHELL_COMMAND = " ".join(COMMAND)


@pytest.fixture
def generated(tmp_path: Path) -> list[Path]:
    """Three files, much larger together than a pipe's buffer."""
    return write_log(tmp_path / "generated", Plan(lines=20_000))


def in_shell(script: str, *arguments: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a script in which $LOGFLUME is the command."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        env=environment(LOGFLUME=SHELL_COMMAND),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


# Pipes


@pytest.mark.parametrize("words", ["cat", "cat --output ndjson", "grep info", "tail -n 9999"])
def test_reader_that_goes_away_ends_the_command_quietly(words: str, generated: list[Path]) -> None:
    """With ``| head -n 1`` the command dies of SIGPIPE, as cat does, and says nothing."""
    done = in_shell(f'$LOGFLUME {words} "$@" | head -n 1; echo "${{PIPESTATUS[0]}}"', *generated)
    line, code = done.stdout.splitlines()
    assert line.startswith(b'{"timestamp"')
    assert code == b"141"
    assert done.stderr == b""


def test_full_disk_is_an_error(generated: list[Path]) -> None:
    """When standard output takes nothing, one line says why."""
    done = in_shell('$LOGFLUME cat "$@" >/dev/full', *generated)
    assert done.returncode == 2
    assert done.stderr == b"logflume: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("words", ["--version", "--help", "stat --help", "completion bash"])
def test_words_about_itself_need_room_too(words: str) -> None:
    """What the command says about itself is not lost in silence either."""
    done = in_shell(f"unset PYTHONUNBUFFERED; $LOGFLUME {words} >/dev/full")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"No space left on device" in done.stderr


@pytest.mark.parametrize("words", ["cat", "stat", "grep info", "tail"])
def test_closed_output_is_an_error(words: str, generated: list[Path]) -> None:
    """With standard output closed no file takes its number, and the command says that it cannot write."""
    before = [path.read_bytes() for path in generated]
    done = in_shell(f'$LOGFLUME {words} "$@" >&-', *generated)
    assert done.returncode == 2
    assert b"cannot write to standard output" in done.stderr
    assert [path.read_bytes() for path in generated] == before


def test_closed_output_does_not_go_into_what_gen_writes(tmp_path: Path) -> None:
    """With standard output closed a generated file holds its log and nothing else."""
    done = in_shell('$LOGFLUME gen "$1" --lines 100 --sources 1 >&-', tmp_path / "closed")
    assert done.returncode == 2
    (expected,) = write_log(tmp_path / "open", Plan(lines=100, sources=1))
    assert (tmp_path / "closed" / "source-0.log").read_bytes() == expected.read_bytes()


def test_output_that_does_not_block_gets_every_byte(generated: list[Path]) -> None:
    """A pipe that was set to O_NONBLOCK by somebody else is waited for when it is full."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, fcntl.fcntl(writing, fcntl.F_GETFL) | os.O_NONBLOCK)
    with started("cat", *generated, stdout=writing) as process:
        os.close(writing)
        time.sleep(0.2)  # let it fill the pipe
        with os.fdopen(reading, "rb") as pipe:
            out = pipe.read()
        assert process.wait() == 0
    assert out == oracle.merge([path.read_bytes() for path in generated], output=Output.TEXT).out


# Signals


def test_ctrl_c_ends_a_waiting_cat_quietly() -> None:
    """Interrupted while it waits for standard input, cat ends with 130 and no traceback."""
    with started("cat", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(LINE * 2)
        process.stdin.flush()
        assert process.stdout.read(len(LINE)) == LINE
        interrupt(process)
        assert process.wait() == 130
        assert process.stderr
        assert process.stderr.read() == b""


def test_ctrl_c_ends_a_cat_that_cannot_write(generated: list[Path]) -> None:
    """Interrupted while its reader does not read, cat ends with 130, and names no cursor it did not reach."""
    with started("cat", "--print-cursor", *generated) as process:
        assert process.stdout
        assert process.stdout.read(1)
        interrupt(process)
        assert process.wait() == 130
        assert process.stderr
        assert process.stderr.read() == b"logflume: no cursor: the output was broken off within a block\n"


def test_ctrl_c_ends_follow_quietly(tmp_path: Path) -> None:
    """Following ends with 130 and says nothing."""
    log = tmp_path / "app.log"
    log.write_bytes(LINE)
    with started("tail", "-f", log) as process:
        assert process.stdout
        assert process.stdout.readline() == LINE
        interrupt(process)
        assert process.wait() == 130
        assert process.stderr
        assert process.stderr.read() == b""


def test_follow_ends_when_its_reader_does(tmp_path: Path) -> None:
    """A command that follows notices that nobody reads any more without having to write first."""
    log = tmp_path / "app.log"
    log.write_bytes(LINE)
    with started("tail", "-f", log) as process:
        assert process.stdout
        assert process.stdout.readline() == LINE
        process.stdout.close()
        assert process.wait() == -signal.SIGPIPE


# Terminals


class Terminal:
    """A pseudo-terminal: what is written to its ``descriptor`` can be waited for."""

    def __init__(self) -> None:
        self._ours, self.descriptor = pty.openpty()
        self.shown = b""

    def show_until(self, wanted: bytes) -> bool:
        """Read until ``wanted`` was shown; False if the other side closes before."""
        while wanted not in self.shown:
            if not self._show_more(TIMEOUT_S):
                return False
        return True

    def show_all(self) -> bytes:
        """Read what is there now."""
        while self._show_more(0):
            pass
        return self.shown

    def _show_more(self, timeout_s: float) -> bool:
        if not select.select([self._ours], [], [], timeout_s)[0]:
            return False
        try:
            more = os.read(self._ours, 65536)
        except OSError:
            return False
        self.shown += more
        return bool(more)

    def close(self) -> None:
        """Let go of both sides."""
        os.close(self._ours)
        os.close(self.descriptor)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Give a terminal."""
    made = Terminal()
    yield made
    made.close()


def shown_on(terminal: Terminal, *words: str | Path, **environ: str) -> bytes:
    """Run a command whose output is the terminal; return what it shows, with the terminal's own CRs removed."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)],
        stdout=terminal.descriptor,
        env=environment(**environ),
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.returncode == 0
    return terminal.show_all().replace(b"\r\n", b"\n")


HOSTILE = (
    b"a\x1b]0;title\x07b\x1b[2Jc\rd\x00\x7f \xc2\x9b31m \xe2\x80\xaeevil \x9b \x08\x08 \x1b[31mred\x1b[0m\ttab\r\n"
)
SHOWN = b"a^[]0;title^Gb^[[2Jc^Md^@^? <U+009B>31m <U+202E>evil \\x9b ^H^H \x1b[31mred\x1b[0m\ttab\n"


@pytest.mark.parametrize("command", [["cat"], ["tail"], ["grep", "evil"]])
def test_terminal_is_not_commanded_by_a_log(command: list[str], terminal: Terminal, tmp_path: Path) -> None:
    """Control characters of a log are shown on a terminal, not sent; colours pass and are reset at the end."""
    (tmp_path / "hostile.log").write_bytes(HOSTILE)
    shown = shown_on(terminal, *command, tmp_path / "hostile.log")
    assert shown.replace(b"\r", b"") == SHOWN + b"\x1b[0m"


@pytest.mark.parametrize(
    ("words", "environ"), [(["--color", "never"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})]
)
def test_colours_can_be_refused(words: list[str], environ: dict[str, str], terminal: Terminal, tmp_path: Path) -> None:
    """Without colours no escape character at all reaches the terminal."""
    (tmp_path / "hostile.log").write_bytes(HOSTILE)
    shown = shown_on(terminal, "cat", *words, tmp_path / "hostile.log", **environ)
    assert b"\x1b" not in shown
    assert b"^[[31mred" in shown


def test_raw_sends_what_the_log_holds(terminal: Terminal, tmp_path: Path) -> None:
    """With --raw a terminal gets the bytes as they are."""
    (tmp_path / "hostile.log").write_bytes(HOSTILE)
    assert b"\x1b]0;title\x07" in shown_on(terminal, "cat", "--raw", tmp_path / "hostile.log")


def test_pipe_gets_what_the_log_holds(tmp_path: Path) -> None:
    """What is no terminal gets every byte as it is."""
    (tmp_path / "hostile.log").write_bytes(HOSTILE)
    assert run("cat", tmp_path / "hostile.log").out == HOSTILE


def test_characters_cut_between_blocks_are_shown_whole(terminal: Terminal, tmp_path: Path) -> None:
    """A line so long that it comes in pieces shows no broken character where it was cut."""
    text = "ä" * 1_100_000
    (tmp_path / "long.log").write_text(f"x{text}\n")
    process = subprocess.Popen([*COMMAND, "cat", tmp_path / "long.log"], stdout=terminal.descriptor, env=environment())
    assert terminal.show_until(b"\n")
    assert process.wait() == 0
    assert terminal.shown.decode() == f"x{text}\r\n"


def test_long_work_shows_a_bar_on_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    """Work that lasts shows how far it is on stderr, hides no cursor, and cleans up behind itself."""
    with (
        (tmp_path / "out").open("wb") as out,
        started("cat", "-", stdin=subprocess.PIPE, stdout=out, stderr=terminal.descriptor) as process,
    ):
        assert process.stdin
        process.stdin.write(LINE)
        process.stdin.flush()
        assert terminal.show_until(b"reading")
        process.stdin.close()
        assert process.wait() == 0
    assert b"\x1b[?25l" not in terminal.show_all()
    assert (tmp_path / "out").read_bytes() == LINE


@pytest.mark.parametrize("words", [["--quiet"], []], ids=["quiet", "into a pipe"])
def test_no_bar_where_nobody_wants_it(words: list[str], terminal: Terminal) -> None:
    """With --quiet, and into a pipe (to less, say, on the same terminal), stderr stays empty."""
    options = {"stdout": subprocess.DEVNULL} if words else {}
    with started("cat", "-", *words, stdin=subprocess.PIPE, stderr=terminal.descriptor, **options) as process:
        assert process.stdin
        process.stdin.write(LINE)
        process.stdin.flush()
        time.sleep(1.5)  # longer than a bar is waited for
        process.stdin.close()
        assert process.wait() == 0
    assert terminal.show_all() == b""


# What is loaded


def test_cat_loads_only_what_it_needs(tmp_path: Path) -> None:
    """The first block waits for no module of another command, nor for costly libraries."""
    (tmp_path / "app.log").write_bytes(LINE)
    program = "import sys; from logflume.cli import main; main(); print(*sys.modules, file=sys.stderr)"
    command = [COMMAND[0], "-c", program, "cat", str(tmp_path / "app.log")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    loaded = set(done.stderr.split())
    assert "logflume.cli.cat" in loaded
    others = {"rich", "ctypes", "zstandard", "asyncio", "logging", "concurrent.futures", "json.tool", "statistics"}
    ours = {
        f"logflume.{name}" for name in ("follow", "seek", "spool", "watch", "index", "cli.tail", "cli.grep", "cli.stat")
    }
    assert loaded & (others | ours) == set()
