"""`logflume run`: the command behaves as without us, and all that it writes is there to be read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.command import environment, interrupt, run, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODES = ["direct", "pipe", "fifo", "pty"]
PATIENCE_S = 60.0


def sh(folder: Path, script: str, *options: str) -> tuple[str | Path, ...]:
    """Return the words that run a script."""
    return ("run", "--dir", folder, *options, "--", "sh", "-c", script)


def kept(folder: Path, name: str = "out.log") -> bytes:
    """Return what is kept, as a user reads it."""
    done = run("cat", folder / name)
    assert done.code == 0
    return done.out


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again, up to the deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@contextlib.contextmanager
def ending(pid: int) -> Iterator[None]:
    """Kill an orphan at the end, if it is still there."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "script",
    ["true", "echo one; echo two >&2", "printf 'no newline'", "printf '\\000\\377\\r\\n\\n'", "seq 200000; exit 7"],
)
def test_output_and_exit_code_are_as_without_us(tmp_path: Path, mode: str, script: str) -> None:
    """What the command writes is shown and kept byte for byte, and its exit code is ours."""
    plain = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    done = run(*sh(tmp_path, script, "--capture", mode))
    assert (done.code, done.err) == (plain.returncode, "")
    assert done.out == plain.stdout
    assert kept(tmp_path) == plain.stdout


@pytest.mark.parametrize("mode", MODES)
def test_apart_keeps_both_outputs_apart(tmp_path: Path, mode: str) -> None:
    """With --apart standard error is shown on standard error and kept in a file of its own."""
    done = run(*sh(tmp_path, "echo out; echo err >&2", "--apart", "--capture", mode))
    assert (done.code, done.out, done.err) == (0, b"out\n", "err\n")
    assert (kept(tmp_path, "out.log"), kept(tmp_path, "err.log")) == (b"out\n", b"err\n")


def test_quiet_shows_nothing_and_keeps_all(tmp_path: Path) -> None:
    """--quiet keeps without showing."""
    done = run(*sh(tmp_path, "echo hello", "--quiet"))
    assert (done.out, done.err, kept(tmp_path)) == (b"", "", b"hello\n")


def test_standard_input_and_words_reach_the_command(tmp_path: Path) -> None:
    """The command has our input, and its own options stay its own."""
    done = run("run", "--dir", tmp_path, "--", "grep", "--invert-match", "-q", "x", stdin=b"x\n")
    assert done.code == 1
    assert run("run", "--dir", tmp_path, "cat", "-", stdin=b"given\n").out == b"given\n"


def test_a_second_run_goes_on_behind_the_first(tmp_path: Path) -> None:
    """One folder holds the output of several runs, in order; only what is new is shown; a torn line is ended."""
    run(*sh(tmp_path, "printf torn"))
    assert run(*sh(tmp_path, "echo second")).out == b"second\n"
    assert kept(tmp_path) == b"torn\nsecond\n"


def test_without_a_folder_it_says_where_the_output_is(tmp_path: Path) -> None:
    """Without --dir there is a new folder for each run, and it is named."""
    done = run("run", "--", "echo", "hello", XDG_STATE_HOME=str(tmp_path))
    assert done.out == b"hello\n"
    folder = next((tmp_path / "logflume").iterdir())
    assert done.err == f"logflume: the output is kept: logflume cat {folder}\n"
    assert kept(folder) == b"hello\n"


@pytest.mark.parametrize(("word", "code"), [("no-such-command", 127), ("./data", 126)])
def test_what_cannot_be_run_ends_as_in_a_shell(tmp_path: Path, word: str, code: int) -> None:
    """A missing command ends with 127, one that is no program with 126, and one line says so."""
    (tmp_path / "data").write_text("x")
    done = run("run", "--dir", tmp_path / "kept", "--", word, cwd=tmp_path)
    assert (done.code, done.out) == (code, b"")
    assert done.err.startswith(f"logflume: {word} cannot be run: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_that_ends_the_command_ends_us(tmp_path: Path, number: signal.Signals) -> None:
    """Whoever waits for us sees the same signal as without us."""
    done = run(*sh(tmp_path, f"echo before; kill -{number.value} $$"))
    assert (done.code, done.out) == (-number, b"before\n")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on_and_what_comes_after_is_kept(tmp_path: Path, mode: str, number: signal.Signals) -> None:
    """A command that goes on after a signal, and writes much, loses nothing."""
    script = f"trap 'seq 20000; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.01; done"
    with started(*sh(tmp_path, script, "--capture", mode)) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 5
    expected = b"".join(b"%d\n" % n for n in range(1, 20001))
    assert out == expected
    assert kept(tmp_path) == b"ready\n" + expected


def test_keys_of_a_terminal_come_once(tmp_path: Path) -> None:
    """Ctrl-C reaches the command once, though the terminal sends it to both of us."""
    script = (
        "n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; while [ $n -lt 1 ]; do sleep 0.01; done;"
        " i=0; while [ $i -lt 20 ]; do sleep 0.01; i=$((i+1)); done"  # time for a second one to come
    )
    program = (
        "import os, pty, sys\n"
        "pid, terminal = pty.fork()\n"
        "if not pid: os.execvp(sys.argv[1], sys.argv[1:])\n"
        "seen = b''\n"
        "pressed = False\n"
        "while True:\n"
        "    try: data = os.read(terminal, 1000)\n"
        "    except OSError: break\n"
        "    if not data: break\n"
        "    seen += data\n"
        "    if b'ready' in seen and not pressed: pressed = True; os.write(terminal, b'\\x03')\n"
        "sys.stdout.buffer.write(seen)\n"
    )
    words = [sys.executable, "-m", "logflume", *map(str, sh(tmp_path, script))]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, timeout=PATIENCE_S, env=environment(), check=True
    )
    assert done.stdout.count(b"got") == 1
    assert kept(tmp_path) == b"ready\ngot 1\n"


@pytest.mark.parametrize("mode", MODES)
def test_a_grandchild_that_writes_on_is_kept(tmp_path: Path, mode: str) -> None:
    """What a process left behind by the command writes is kept, also after the command has ended."""
    go = tmp_path / "go"
    script = f"(while [ ! -e {go} ]; do sleep 0.01; done; seq 400) & echo started"
    with started(*sh(tmp_path / "kept", script, "--capture", mode)) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        if mode == "direct":
            process.wait(PATIENCE_S)
        go.touch()
        process.wait(PATIENCE_S)
    expected = b"started\n" + b"".join(b"%d\n" % n for n in range(1, 401))
    wait_until(lambda: kept(tmp_path / "kept") == expected)


def test_the_command_outlives_us_in_direct_mode(tmp_path: Path) -> None:
    """Kill -9 of logflume takes nothing: the command goes on, and every line is there."""
    go = tmp_path / "go"
    script = f"echo $$; while [ ! -e {go} ]; do sleep 0.01; done; seq 1000; echo done"
    with started(*sh(tmp_path / "kept", script)) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        with ending(pid):
            process.kill()
            process.wait(PATIENCE_S)
            go.touch()
            wait_until(lambda: kept(tmp_path / "kept").endswith(b"\ndone\n"))
    assert kept(tmp_path / "kept").splitlines()[1:-1] == [b"%d" % n for n in range(1, 1001)]


@pytest.mark.parametrize("mode", MODES)
def test_the_command_does_not_wait_for_who_reads(tmp_path: Path, mode: str) -> None:
    """With an output that nobody reads the command still does all its work."""
    script = f"seq 300000; touch {tmp_path}/finished"
    with started(*sh(tmp_path / "kept", script, "--capture", mode)) as process:
        wait_until((tmp_path / "finished").exists)
        assert process.poll() is None  # it has much to show yet
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert out.count(b"\n") == 300000


@pytest.mark.parametrize("mode", MODES)
def test_a_reader_that_goes_away_stops_nothing(tmp_path: Path, mode: str) -> None:
    """With the reader of our output gone the command goes on, all is kept, and it is told."""
    with started(*sh(tmp_path / "kept", "seq 300000; exit 4", "--capture", mode)) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
        process.wait(PATIENCE_S)
    assert process.returncode == 4
    assert b"showing ended early" in said
    assert kept(tmp_path / "kept").endswith(b"\n300000\n")


def test_a_folder_is_captured_into_by_one(tmp_path: Path) -> None:
    """A second run into the same folder at the same time is refused."""
    with started(*sh(tmp_path, "echo ready; read line")[:], stdin=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        done = run(*sh(tmp_path, "true"))
        assert done.code == 2
        assert "is being captured into" in done.err


def test_what_is_captured_can_be_followed(tmp_path: Path) -> None:
    """`logflume tail -f FOLDER` prints lines as the command writes them."""
    with started(*sh(tmp_path, "echo ready; read line; echo second; read line"), stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        with started("tail", "-f", tmp_path) as tail:
            assert tail.stdout
            assert tail.stdout.readline() == b"ready\n"
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert tail.stdout.readline() == b"second\n"
            interrupt(tail)


def test_the_note_beside_says_what_ran_and_not_how(tmp_path: Path) -> None:
    """The program's name and exit code are noted; its arguments, which may be secret, are not."""
    run("run", "--dir", tmp_path, "--", "sh", "-c", "exit 3", "--password=hunter2")
    note = (tmp_path / ".logflume" / "capture.json").read_text()
    assert "hunter2" not in note
    known = json.loads(note)
    assert (known["program"], known["exit_code"]) == ("sh", 3)


@pytest.mark.parametrize("mode", ["pipe", "fifo", "direct"])
def test_a_writer_that_does_not_wait_loses_nothing(tmp_path: Path, mode: str) -> None:
    """A command whose output is non-blocking, and offers again what was not taken, is captured whole."""
    script = (
        "import os, select\n"
        "os.set_blocking(1, False)\n"
        "data = b''.join(b'%d\\n' % n for n in range(500000))\n"
        "while data:\n"
        "    try: data = data[os.write(1, data):]\n"
        "    except BlockingIOError: select.select((), (1,), ())\n"
    )
    done = run("run", "--dir", tmp_path, "--capture", mode, "--quiet", "--", sys.executable, "-c", script)
    assert done.code == 0
    assert (tmp_path / "out.log").read_bytes() == b"".join(b"%d\n" % n for n in range(500000))


@pytest.mark.parametrize("mode", MODES)
def test_a_command_that_closes_its_output_runs_on(tmp_path: Path, mode: str) -> None:
    """With its outputs closed the command is still waited for, and its exit code is ours."""
    script = f"echo before; exec >&- 2>&-; touch {tmp_path}/closed; read line; exit 6"
    with started(*sh(tmp_path / "kept", script, "--capture", mode), stdin=subprocess.PIPE) as process:
        wait_until((tmp_path / "closed").exists)
        assert process.poll() is None
        out, _ = process.communicate(b"\n", timeout=PATIENCE_S)
        assert (process.returncode, out) == (6, b"before\n")


@pytest.mark.parametrize("mode", MODES)
def test_writes_of_any_size_tear_no_line(tmp_path: Path, mode: str) -> None:
    """Lines that are written in pieces of 4,096 bytes, wherever these end, come out whole."""
    script = (
        "import os\n"
        "data = b''.join(b'%06d %s\\n' % (n, b'x' * (n % 200)) for n in range(5000))\n"
        "for start in range(0, len(data), 4096): os.write(1, data[start:start + 4096])\n"
    )
    done = run("run", "--dir", tmp_path, "--capture", mode, "--", sys.executable, "-c", script)
    expected = b"".join(b"%06d %s\n" % (n, b"x" * (n % 200)) for n in range(5000))
    assert (done.code, done.out) == (0, expected)
    assert kept(tmp_path) == expected


def test_the_command_outlives_us_with_a_fifo(tmp_path: Path) -> None:
    """Kill -9 of logflume takes nothing: the command goes on, and who captures there next reads what waited."""
    go = tmp_path / "go"
    script = f"echo $$; while [ ! -e {go} ]; do sleep 0.01; done; seq 100000; echo done"  # more than a pipe holds
    with started(*sh(tmp_path / "kept", script, "--capture", "fifo")) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        with ending(pid):
            process.kill()
            process.wait(PATIENCE_S)
            go.touch()
            done = run(*sh(tmp_path / "kept", "true", "--capture", "fifo"))
            assert done.code == 0
    assert kept(tmp_path / "kept").splitlines()[1:] == [*(b"%d" % n for n in range(1, 100001)), b"done"]


def test_a_fifo_that_is_none_is_refused(tmp_path: Path) -> None:
    """Where the FIFO should be, nothing else is written to."""
    (tmp_path / ".logflume").mkdir()
    (tmp_path / ".logflume" / "out.log.fifo").write_text("mine")
    done = run(*sh(tmp_path, "echo x", "--capture", "fifo"))
    assert (done.code, done.out) == (2, b"")
    assert "is no FIFO" in done.err


def test_a_terminal_is_one(tmp_path: Path) -> None:
    """With --capture pty the command's outputs are a terminal, and its bytes come as they are."""
    script = "import os, sys; print(os.isatty(1), os.isatty(2)); print('a\\rb')"
    done = run("run", "--dir", tmp_path, "--capture", "pty", "--", sys.executable, "-c", script)
    assert (done.code, done.out) == (0, b"True True\na\rb\n")
