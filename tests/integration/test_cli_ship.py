"""`logflume ship` and `logflume run --sink`: what a process writes reaches its sinks, whoever is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.collector import collecting
from tests.integration.command import interrupt, run, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S = 60.0


def numbers(count: int) -> bytes:
    """Return what ``seq`` prints."""
    return b"".join(b"%d\n" % n for n in range(1, count + 1))


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again, up to the deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def content(path: Path) -> bytes:
    """Return what a file holds; nothing when there is none."""
    return path.read_bytes() if path.exists() else b""


def test_run_ships_while_it_runs(tmp_path: Path) -> None:
    """What a command writes reaches a sink before it ends, and all of it by then."""
    archive = tmp_path / "archive.log"
    words = (
        "run",
        "--dir",
        tmp_path / "kept",
        "--sink",
        f"file:{archive}",
        "--",
        "sh",
        "-c",
        "echo one; read x; seq 50000",
    )
    with started(*words, stdin=subprocess.PIPE) as process:
        wait_until(lambda: content(archive) == b"one\n")
        out, err = process.communicate(b"\n", timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, b"")
    assert out == content(archive) == b"one\n" + numbers(50000)


def test_a_sink_that_is_away_delays_nothing_and_gets_all_later(tmp_path: Path) -> None:
    """The command ends as usual, it is told that not all is shipped, and the process that ships goes on."""
    with collecting(tmp_path / "collector") as collector:
        collector.refuse(refusing=True)
        words = (
            "run",
            "-q",
            "--dir",
            tmp_path / "kept",
            "--drain",
            "0.2",
            "--sink",
            collector.url,
            "--",
            "seq",
            "1000",
        )
        with started(*words) as process:
            assert process.stderr
            said = process.stderr.readline() + process.stderr.readline()
            assert process.wait(PATIENCE_S) == 0
            assert b"it answered 503" in said
            assert b"goes on. If it ends: logflume ship" in said
            shipper = int(said.split(b"process ")[1].split()[0])
            try:
                collector.refuse(refusing=False)
                wait_until(lambda: collector.taken().count(b"\n") == 1000)
            finally:
                wait_for_end(shipper)


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended; kill it if it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.kill(pid, 0 if time.monotonic() < deadline else signal.SIGKILL)
        except ProcessLookupError:
            return
        if b") Z " in content_of_stat(pid):  # ended, and nobody waits for it here
            return
        time.sleep(0.01)


def content_of_stat(pid: int) -> bytes:
    """Return what the system says about a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as the system has it
            return file.read()
    except OSError:
        return b""


def common(first: bytes, second: bytes) -> int:
    """Return how many bytes at the beginning of both are the same."""
    pairs = enumerate(zip(first, second, strict=False))
    least = min(len(first), len(second))
    return least if first[:least] == second[:least] else next(at for at, (a, b) in pairs if a != b)


def test_a_killed_shipper_loses_nothing_and_doubles_one_batch_at_most(tmp_path: Path) -> None:
    """Killed again and again and begun anew, each line arrives, in order; twice only within what was offered last."""
    run("run", "-q", "--dir", tmp_path / "kept", "--", "seq", "600000")
    archive = tmp_path / "archive.log"
    for turn in range(6):
        with started("ship", tmp_path / "kept", "--sink", f"file:{archive}") as process:
            before = len(content(archive))
            wait_until(lambda before=before: len(content(archive)) > before or process.poll() is not None)  # type: ignore[misc]
            time.sleep(0.002 * turn)
            process.kill()
    assert run("ship", tmp_path / "kept", "--sink", f"file:{archive}").code == 0
    expected, at = numbers(600000), 0
    doubled = 0
    got = content(archive)
    seen = 0
    while seen < len(got):
        size = common(got[seen : seen + 65536], expected[at : at + 65536])
        if size:
            seen, at = seen + size, at + size
            continue
        piece = got[seen : seen + 4096]
        back = expected.rfind(piece, 0, at + len(piece) - 1)
        assert back >= 0
        assert at - back <= 2 * 256 * 1024
        at, doubled = back, doubled + 1
    assert at == len(expected)
    assert doubled <= 6


def test_the_rest_is_shipped_when_run_is_killed(tmp_path: Path) -> None:
    """With logflume run killed, the command writes on, and what it writes still reaches the sink."""
    go, archive = tmp_path / "go", tmp_path / "archive.log"
    script = f"echo ready; while [ ! -e {go} ]; do sleep 0.01; done; seq 5000"
    words = ("run", "-q", "--dir", tmp_path / "kept", "--sink", f"file:{archive}", "--", "sh", "-c", script)
    with started(*words) as process:
        wait_until(lambda: content(archive) == b"ready\n")
        process.kill()
        process.wait(PATIENCE_S)
        go.touch()
        wait_until(lambda: content(archive) == b"ready\n" + numbers(5000))


def test_files_that_something_else_writes_are_shipped(tmp_path: Path) -> None:
    """-f ships a growing, rotating file of any program, and goes on where it was; its state can lie elsewhere."""
    logs, archive = tmp_path / "logs", tmp_path / "archive.log"
    logs.mkdir()
    (logs / "app.log").write_bytes(b"first\n")
    words = ("ship", "-f", logs, "--sink", f"file:{archive}", "--state", tmp_path / "state")
    with started(*words) as process:
        wait_until(lambda: content(archive) == b"first\n")
        (logs / "app.log").rename(logs / "app.log.1")
        (logs / "app.log").write_bytes(b"second\n")
        wait_until(lambda: content(archive) == b"first\nsecond\n")
        interrupt(process)
        assert process.wait(PATIENCE_S) == 0
    with (logs / "app.log").open("ab") as file:
        file.write(b"third\n")
    assert run(*words[:1], *words[2:]).code == 0
    assert content(archive) == b"first\nsecond\nthird\n"
    assert not (logs / ".logflume").exists()


def test_status_tells_what_is_kept_lost_and_not_shipped(tmp_path: Path) -> None:
    """For people and for programs: a running capture, its end, bytes given up, and a sink that is behind."""
    folder = tmp_path / "kept"
    with started(
        "run", "--dir", folder, "--", "sh", "-c", "echo one; read x; exit 3", stdin=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert (
            f"running, process {json.loads(run('status', '--json', folder).out)['pid']}, direct"
            in run("status", folder).text
        )
        process.communicate(b"\n", timeout=PATIENCE_S)
    assert run("status", folder).text.startswith("sh: ended with 3\n")
    with collecting(tmp_path / "collector") as collector:
        collector.refuse(refusing=True)
        with started("ship", folder, "--sink", collector.url):
            wait_until(lambda: json.loads(run("status", "--json", folder).out)["sinks"][0:])
            wait_until(lambda: json.loads(run("status", "--json", folder).out)["sinks"][0]["refused"])
    (sink,) = json.loads(run("status", "--json", folder).out)["sinks"]
    assert (sink["name"], sink["backlog_bytes"]) == (collector.url, 4)
    run("run", "-q", "--dir", folder, "--capture", "pipe", "--budget", "64KiB", "--", "seq", "100000")
    status = json.loads(run("status", "--json", folder).out)
    (stream,) = status["streams"]
    assert stream["end"] == 4 + len(numbers(100000))
    assert stream["lost_bytes"] == stream["end"] - sum(path.stat().st_size for path in folder.glob("out.log*"))
    assert status["sinks"][0]["backlog_bytes"] == stream["end"]
