from __future__ import annotations

import contextlib
import http.server
import os
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from logflume.ship.conditions import (
    Check,
    CommandCondition,
    Condition,
    FileCondition,
    HttpCondition,
    LifetimeCondition,
    MemoryCondition,
    ProcessCondition,
    SqlCondition,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.conftest import Require

PATIENCE_S = 30.0


class Child:
    """A child that runs, as a keeper shows it."""

    def __init__(self, pid: int | None = None, ran_s: float = 0.0) -> None:
        self.pid = os.getpid() if pid is None else pid
        self.started_s = time.monotonic() - ran_s

    def run(self, words: Sequence[str], output: int, timeout_s: float) -> int | None:
        try:
            return subprocess.run(words, stdout=output, stderr=output, timeout=timeout_s, check=False).returncode
        except subprocess.TimeoutExpired:
            return None


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code = int(self.path.strip("/"))
        self.send_response(code)
        self.end_headers()
        self.wfile.write(b'{"scheduler": "healthy"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Answer at this address with the code that its path names."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "options", "why"),
    [
        ("/200", {}, None),
        ("/302", {}, None),
        ("/200", {"contains": "healthy"}, None),
        ("/200", {"contains": "unhealthy"}, "its answer does not contain what it should"),
        ("/503", {}, "it answered 503 Service Unavailable"),
        ("/503", {"expect": (503,)}, None),
        ("/200", {"expect": (503,)}, "it answered 200 OK"),
    ],
)
def test_http(address: str, path: str, options: dict[str, str], why: str | None) -> None:
    """An address holds when it answers with a good code, and with what it should contain."""
    assert HttpCondition(url=address + path, **options).look(Child()) == why  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("true",), None),
        (("sh", "-c", "echo first; echo last words >&2; exit 3"), "it ended with 3: last words"),
        (("false",), "it ended with 1"),
        (("sleep", "60"), "it took too long"),
    ],
)
def test_command(words: tuple[str, ...], why: str | None) -> None:
    """A command holds when it ends with 0 in time; else its last line is told."""
    assert CommandCondition(command=words, timeout_s=0.5 if words[0] == "sleep" else 30).look(Child()) == why


def test_file(tmp_path: Path) -> None:
    """A file holds when it was changed not long ago; a child that was just started has time for that."""
    path = tmp_path / "beat"
    condition = FileCondition(path=path, max_age_s=10)
    assert condition.look(Child()) is None
    assert condition.look(Child(ran_s=60)) == f"{path} is not there"
    path.touch()
    assert condition.look(Child(ran_s=60)) is None
    os.utime(path, (time.time() - 100, time.time() - 100))
    assert condition.look(Child(ran_s=60)) == f"{path} was changed 100 s ago"


@pytest.mark.parametrize("alchemy", [False, True])
@pytest.mark.parametrize(
    ("stored", "age_s", "holds"),
    [
        ("'2024-11-20 12:34:56'", 60, False),
        ("'2024-11-20T12:34:56Z'", 1e9, True),
        ("strftime('%Y-%m-%dT%H:%M:%S', 'now')", 60, True),
        ("CAST(strftime('%s', 'now') AS INTEGER)", 60, True),
        ("CAST(strftime('%s', 'now') AS INTEGER) * 1000", 60, True),
        ("CAST(strftime('%s', 'now') AS INTEGER) * 1000000000", 60, True),
        ("NULL", 60, False),
    ],
)
def test_sql(require: Require, tmp_path: Path, stored: str, age_s: float, *, holds: bool, alchemy: bool) -> None:
    """A database holds when it answers, and its time, in whatever form, is not long ago."""
    if alchemy:
        require("sqlalchemy")
    path = tmp_path / "beats.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE job (beat)")
        connection.execute(f"INSERT INTO job VALUES ({stored})")  # noqa: S608 - ours
        connection.commit()
    url = f"sqlite+pysqlite:///{path}" if alchemy else f"sqlite:///{path}"
    condition = SqlCondition(url=url, query="SELECT beat FROM job", max_age_s=age_s)
    condition.check()
    assert (condition.look(Child(ran_s=1e6)) is None) is holds
    assert SqlCondition(url=url).look(Child()) is None


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """A database that cannot be asked is a failed look, and is not made."""
    check = Check("db", SqlCondition(url=f"sqlite:///{tmp_path / 'none.db'}", failures=1), Child())
    check.look()
    assert check.fails() == "OperationalError: unable to open database file"
    assert list(tmp_path.iterdir()) == []


def test_memory_counts_the_whole_session() -> None:
    """What grandchildren take counts, too."""
    program = "b = bytearray(64_000_000); print('ready', flush=True); input()"
    words = ["sh", "-c", f'{sys.executable} -c "{program}"; true']
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        assert "it takes" in str(MemoryCondition(max_bytes=64_000_000).look(Child(process.pid)))
        assert MemoryCondition(max_bytes=10**12).look(Child(process.pid)) is None
        process.stdin.write(b"\n")


def test_process(tmp_path: Path) -> None:
    """A process that went to the background holds as long as the number in its file is one that runs."""
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    condition = ProcessCondition(pid_file=path)
    assert condition.look(Child()) is None
    with subprocess.Popen(["true"]) as process:
        process.wait()
    path.write_text(str(process.pid))
    assert condition.look(Child()) == f"process {process.pid} does not run"
    path.write_text("x")
    assert condition.look(Child()) == f"there is no number in {path}"


def test_lifetime() -> None:
    """A child holds until it has run for so long."""
    assert LifetimeCondition(max_s=60).look(Child(ran_s=10)) is None
    assert LifetimeCondition(max_s=60).look(Child(ran_s=100)) == "it has run for 100 s"


class Told(Condition):
    """Says what it is told to say."""

    why: str | None = None

    def look(self, subject: object) -> str | None:
        return type(self).why


class Hangs(Condition):
    """Hangs until it is let go."""

    go = threading.Event()

    def look(self, subject: object) -> str | None:
        self.go.wait(PATIENCE_S)
        return None


def test_a_condition_fails_after_so_many_failed_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed look is none, a good one in between begins anew, and it says why."""
    check = Check("x", Told(failures=2, every_s=0.1), Child())
    moments = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    for why, fails in [("a", None), (None, None), ("b", None), ("c", "c"), ("d", "d"), (None, None)]:
        Told.why = why
        check.look()
        assert check.fails() == fails
    assert (check.looks, check.failed_looks) == (6, 4)


def test_a_look_that_hangs_fails() -> None:
    """A look that does not come to an end counts as failed once its time is over, without its thread's help."""
    check = Check("x", Hangs(failures=3, every_s=1, timeout_s=1), Child())
    thread = threading.Thread(target=check.look)
    thread.start()
    now_s = time.monotonic()
    deadline_s = now_s + PATIENCE_S
    while check.fails(now_s + 1000) is None:
        assert time.monotonic() < deadline_s
    assert check.fails(now_s + 1000) == "it does not come to an end"
    assert check.fails(now_s + 1) is None
    Hangs.go.set()
    thread.join(PATIENCE_S)
    assert check.fails(now_s + 1000) is None


def test_a_look_at_an_earlier_child_says_nothing_of_the_next() -> None:
    """What was seen of one run does not count against the run that began meanwhile."""
    child = Child()

    class Restarts(Condition):
        def look(self, subject: object) -> str | None:
            child.started_s += 1
            return "bad"

    check = Check("x", Restarts(failures=1), child)
    check.look()
    assert check.fails() is None
