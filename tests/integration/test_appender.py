"""Logging from inside a program: every line whole and once, from any thread, process and fork."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logflume.errors import UsageError
from logflume.ship.appender import Appender, SegmentHandler, StructlogAppender
from logflume.ship.segments import MIN_BUDGET_BYTES, Rules
from tests.integration.command import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Require

FORKING = """
import logging, os, sys, threading
from logflume.ship.appender import Appender, SegmentHandler

appender = Appender(sys.argv[1])
log = logging.getLogger("x")
log.addHandler(SegmentHandler(appender))
log.setLevel(logging.INFO)
over = threading.Event()

def talk(number):
    n = 0
    while not over.is_set():
        log.info("%s", {"from": f"thread-{number}", "n": n})
        n += 1

threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
pids = []
for number in range(60):
    pid = os.fork()
    if not pid:
        for n in range(50):
            log.info("%s", {"from": f"fork-{number}", "n": n})
        os._exit(len(threading.enumerate()) - 1 + appender.keeps)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
over.set()
for thread in threads:
    thread.join()
appender.close()
sys.exit(any(codes))
"""


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[Appender]:
    """An appender in a folder of its own."""
    with Appender(tmp_path) as opened:
        yield opened


def logger_of(appender: Appender, name: str = "x") -> logging.Logger:
    """Return a logger that only this test has."""
    log = logging.Logger(name)  # noqa: LOG001 - it is to be forgotten
    log.addHandler(SegmentHandler(appender))
    return log


def events(folder: Path) -> list[dict[str, Any]]:
    """Return what was logged."""
    return [json.loads(line) for line in (folder / "app.log").read_bytes().splitlines()]


def test_forks_under_load_lose_and_tear_nothing(tmp_path: Path) -> None:
    """Eight threads log while 60 processes are forked, which log too: all end, no line is torn, lost or doubled."""
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(tmp_path)]
    done = subprocess.run(program, timeout=100, check=False)
    assert done.returncode == 0
    seen: dict[str, list[int]] = {}
    for event in events(tmp_path):
        known = json.loads(event["event"].replace("'", '"'))
        seen.setdefault(known["from"], []).append(known["n"])
    assert {name for name in seen if name.startswith("fork")} == {f"fork-{number}" for number in range(60)}
    assert len(seen) == 68
    for name, numbers in seen.items():
        assert numbers == list(range(len(numbers)))
        assert len(numbers) == 50 or name.startswith("thread")


def test_logging_events_are_whole(tmp_path: Path, appender: Appender) -> None:
    """A record is a line of JSON with time, level, logger, what was added, and its exception."""
    log = logger_of(appender, "a.b")
    try:
        int("no\nway")
    except ValueError:
        log.exception("it %s", "broke", extra={"task": "t1", "odd": {1}})
    (event,) = events(tmp_path)
    assert event["timestamp"].endswith("Z")
    assert (event["level"], event["logger"], event["event"], event["task"]) == ("error", "a.b", "it broke", "t1")
    assert event["exception"].startswith("Traceback")
    assert "ValueError: invalid literal" in event["exception"]
    assert event["odd"] == "{1}"


def test_a_formatter_counts(tmp_path: Path, appender: Appender) -> None:
    """With a formatter, what it makes is appended."""
    handler = SegmentHandler(appender, logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(lambda record: "hide" not in record.getMessage())
    log = logger_of(appender)
    log.handlers = [handler]
    log.info("not this")
    log.warning("hide this")
    log.warning("but \udcff this")
    assert (tmp_path / "app.log").read_bytes() == b"WARNING but \\udcff this\n"


def test_structlog_events_end_here(require: Require, tmp_path: Path, appender: Appender) -> None:
    """As the last processor of structlog it appends what it is given, rendered or not."""
    require("structlog")
    import structlog

    for before in ([], [structlog.processors.JSONRenderer()], [lambda *given: json.dumps(given[2]).encode()]):
        processors: list[Any] = [*before, StructlogAppender(appender)]
        structlog.wrap_logger(None, processors=processors).info("hello", task="t1")
    assert [(event["event"], event["task"]) for event in events(tmp_path)] == [("hello", "t1")] * 3


def test_an_event_loop_and_signals_may_log(tmp_path: Path, appender: Appender) -> None:
    """Many tasks of a loop log at once, and a signal handler in between."""
    log = logger_of(appender)

    async def talk(number: int) -> None:
        for n in range(20):
            log.info("%d %d", number, n)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, log.info, "signal")
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.gather(*(talk(number) for number in range(50)))

    asyncio.run(all_of_them())
    assert sorted(event["event"] for event in events(tmp_path)) == sorted(
        ["signal", *(f"{number} {n}" for number in range(50) for n in range(20))]
    )


def test_several_processes_write_one_stream(tmp_path: Path, appender: Appender) -> None:
    """A second one that opens the stream appends to it, and the first one keeps it."""
    assert appender.keeps
    with Appender(tmp_path) as second:
        assert not second.keeps
        second.append(b"second")
    appender.append(b"first")
    assert (tmp_path / "app.log").read_bytes() == b"second\nfirst\n"


def test_what_is_logged_is_shipped_and_kept_in_its_budget(tmp_path: Path) -> None:
    """The stream is one like any other: `status` and `ship` know it, and its oldest bytes go beyond the budget."""
    with Appender(tmp_path / "logs", "app.log", Rules(budget_bytes=MIN_BUDGET_BYTES)) as appender:
        for _ in range(100):
            appender.append(b"x" * 8191)
    status = json.loads(run("status", "--json", tmp_path / "logs").out)
    (stream,) = status["streams"]
    assert stream["end"] == 100 * 8192
    assert stream["lost_bytes"] > 0
    done = run("ship", tmp_path / "logs", "--sink", f"file:{tmp_path}/archive.log")
    assert done.code == 0
    assert "were given up" in done.err


def test_what_the_disk_refuses_is_told_later(tmp_path: Path, appender: Appender) -> None:
    """Lines that did not fit are counted, a torn one is ended, and what is missing is told by the next that fits."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    appender.append(b"a" * 99)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, usual[1]))
        assert not appender.append(b"b" * 99)
        assert not appender.append(b"c" * 99)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, handler)
    assert appender.lost_lines == 2
    assert appender.append(b"d")
    lines = (tmp_path / "app.log").read_bytes().splitlines()
    assert [lines[0], lines[-1]] == [b"a" * 99, b"d"]
    assert json.loads(lines[-2].lstrip(b"b"))["event"] == "2 lines are missing here: the disk took no more"


@pytest.mark.parametrize("name", ["app.txt", "../app.log", "", "a/b.log"])
def test_a_stream_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """A name that is a path, or that readers would not find, is refused."""
    with pytest.raises(UsageError, match="is no name of a stream"):
        Appender(tmp_path, name)


def test_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    """No thread and no descriptor stays, and closing twice is fine."""
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no path of ours
    appender = Appender(tmp_path)
    appender.append(b"x")
    appender.close()
    appender.close()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 - as above
