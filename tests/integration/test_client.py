"""The client as its users have it: against a real server, through cuts at any byte, kills and rotation."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from logflume import AsyncClient, Client, LogflumeError, Output
from logflume.client import patience
from tests.cutting import Cutting
from tests.drive import merge_whole
from tests.random_logs import Odd, random_log
from tests.served import DEADLINE_S, Server, eventually, line, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from typing_extensions import Self

    from logflume.client import Stream

ATTEMPT = "dag/attempt=1.log"
STEP_BYTES = 900_000  # more than lie between the first two cursors of an answer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(patience, "MAX_WAIT_S", 0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve logs that nobody changes: among them one of three sources with everything that makes order hard."""
    folder = tmp_path_factory.mktemp("served")
    made(folder / "logs")
    for number, content in enumerate(random_log(7, 80_000, odd=Odd(unfinished=0))):
        name = "attempt=1.log" + (f".trigger.{number}.log" if number else "")
        (folder / "logs" / "hard").mkdir(exist_ok=True)
        (folder / "logs" / "hard" / name).write_bytes(content)
    with serving(folder / "logs", folder / "cache") as running:
        yield running


def early(luck: Random) -> int:
    """Cut soon: in the head of the answer, in a frame, between two."""
    return luck.randrange(STEP_BYTES if luck.random() < 0.3 else 2000)


def hard(server: Server, output: Output) -> bytes:
    """Return what the hard log is when nothing is cut."""
    paths = sorted((server.folder / "hard").iterdir())
    return merge_whole([path.read_bytes() for path in paths], output=output)


@pytest.mark.parametrize(("seed", "output"), [(1, Output.TEXT), (2, Output.NDJSON)])
def test_a_log_comes_whole_through_any_cuts(server: Server, seed: int, output: Output) -> None:
    """Many cuts, each at some byte: the log is the same as without, byte for byte."""
    wanted = hard(server, output)
    with Cutting(server.port, seed, early) as between, Client(between.url) as client:
        with client.stream("hard/attempt=1.log", output=output) as stream:
            read = b"".join(stream)
        assert read == wanted
        assert stream.lines == wanted.count(b"\n")
        assert between.cuts >= 60
        assert stream.cuts == between.cuts


def test_the_async_client_does_the_same(server: Server) -> None:
    """One question after the other in an event loop, through cuts."""

    async def read(url: str) -> bytes:
        async with AsyncClient(url) as client, client.stream("hard/attempt=1.log", output=Output.TEXT) as stream:
            return b"".join([block async for block in stream])

    with Cutting(server.port, 3, early) as between:
        assert asyncio.run(read(between.url)) == hard(server, Output.TEXT)
        assert between.cuts >= 50


class Reading:
    """A stream that is read in a thread of its own."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.read = b""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Self:
        """Begin, if it has not."""
        if self._thread.ident is None:
            self._thread.start()
        return self

    def _run(self) -> None:
        try:
            for block in self.stream:
                self.read += block
        except LogflumeError as error:
            self.error = error

    def lines(self) -> int:
        """Count what has come."""
        assert self.error is None, self.error
        return self.read.count(b"\n")

    def close(self) -> None:
        """End it from this thread."""
        self.stream.close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert self.error is None


class Growing:
    """A log of one file, and of those it was rotated to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = b""
        self.rotated = 0
        path.touch()

    def write(self, lines: int) -> None:
        """Write whole lines, some in two halves."""
        for _ in range(lines):
            row = line(self.written.count(b"\n"), "of a log that grows").encode()
            with self.path.open("ab", buffering=0) as file:
                file.write(row[:20])
                file.write(row[20:])
            self.written += row

    def rotate(self) -> None:
        """Do what logging handlers do."""
        for number in range(self.rotated, 0, -1):
            self.path.with_name(f"{self.path.name}.{number}").rename(f"{self.path}.{number + 1}")
        self.path.rename(f"{self.path}.1")
        self.rotated += 1

    def lines(self) -> int:
        """Count them."""
        return self.written.count(b"\n")


def test_a_follow_goes_on_through_kills_and_rotation(tmp_path: Path) -> None:
    """The server is killed while a log is followed, and started again; meanwhile it is written and rotated."""
    (tmp_path / "logs").mkdir()
    log = Growing(tmp_path / "logs" / "task.log")
    log.write(30)
    with (
        Cutting(1, 1, lambda _: None) as between,
        Client(between.url) as client,
        client.stream("task.log", output=Output.TEXT, follow=True) as stream,
    ):
        reading = Reading(stream)
        for _ in range(2):
            with serving(log.path.parent, tmp_path / "cache", "--drain-s", "5") as running:
                between.upstream = running.port
                reading.start()
                log.write(50)
                eventually(lambda: reading.lines() == log.lines())
                log.rotate()
                log.write(20)
                eventually(lambda: reading.lines() >= log.lines() - 10)
                running.process.kill()
                running.process.wait(DEADLINE_S)
            log.write(25)
            log.rotate()
            log.write(5)
        with serving(log.path.parent, tmp_path / "cache", "--drain-s", "5") as running:
            between.upstream = running.port
            log.write(3)
            eventually(lambda: reading.lines() == log.lines())
            reading.close()
    assert reading.read == log.written
    assert stream.cuts >= 2


def test_a_follow_goes_on_through_any_cuts(tmp_path: Path) -> None:
    """A log that is written and rotated while every connection is cut soon comes as it was written."""
    (tmp_path / "logs").mkdir()
    log = Growing(tmp_path / "logs" / "task.log")
    with (
        serving(log.path.parent, tmp_path / "cache", "--drain-s", "5") as running,
        Cutting(running.port, 5, lambda luck: luck.randrange(4000)) as between,
        Client(between.url) as client,
    ):
        reading = Reading(client.stream("task.log", output=Output.TEXT, follow=True)).start()
        for number in range(16):
            log.write(10)
            if number % 4 == 3:
                log.rotate()
            eventually(lambda: reading.lines() >= log.lines() - 10)
        eventually(lambda: reading.lines() == log.lines())
        reading.close()
    assert reading.read == log.written
    assert reading.stream.cuts >= 3


def test_a_follow_of_nothing_new_misses_nothing(tmp_path: Path) -> None:
    """Cut before anything has come, a follow from the end goes on from where the end was then."""
    (tmp_path / "logs").mkdir()
    log = Growing(tmp_path / "logs" / "task.log")
    log.write(5)
    with (
        serving(log.path.parent, tmp_path / "cache", "--drain-s", "5") as running,
        Cutting(running.port, 1, lambda _: None) as between,
        Client(between.url) as client,
    ):
        reading = Reading(client.stream("task.log", output=Output.TEXT, follow=True, tail=0)).start()
        eventually(lambda: reading.stream.cursor)
        before = log.written
        between.upstream = 1
        between.cut_all()
        log.write(7)
        eventually(lambda: reading.stream.cuts > 1)
        between.upstream = running.port
        eventually(lambda: reading.lines() == 7)
        reading.close()
    assert before + reading.read == log.written
