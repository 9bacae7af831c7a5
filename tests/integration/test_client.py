"""The client as its users have it: against a real server, through cuts at any byte, kills and rotation."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import TYPE_CHECKING

import pytest

from logflume import (
    AsyncClient,
    Client,
    CursorExpired,
    LogflumeError,
    LogNotFound,
    NotAllowed,
    Output,
    ServerRefused,
    ServerUnreachable,
    SignInNeeded,
    UsageError,
)
from logflume.client import patience
from logflume.serve.tokens import TokenFile
from tests.cutting import Cutting
from tests.drive import merge_whole
from tests.random_logs import Odd, random_log
from tests.served import DEADLINE_S, Server, eventually, line, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from typing_extensions import Self

    from logflume.client import Meta, Stream

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


def test_a_download_comes_whole_through_any_cuts(server: Server) -> None:
    """A source and an indexed log in parts; else it comes from the start again, and what had come is left out."""
    source = (server.folder / "hard" / "attempt=1.log").read_bytes()
    with Cutting(server.port, 6, lambda luck: luck.randrange(STEP_BYTES)) as between, Client(between.url) as client:
        assert b"".join(client.raw("hard/attempt=1.log", source="attempt=1.log")) == source
        assert between.cuts
        between.cuts = 0
        with client.raw("long.log") as whole:
            assert b"".join(whole) == (server.folder / "long.log").read_bytes()
    with Cutting(server.port, 7, lambda luck: luck.randrange(12_000_000)) as between, Client(between.url) as client:
        assert b"".join(client.raw("hard/attempt=1.log")) == hard(server, Output.TEXT)


def test_a_download_of_what_has_changed_is_not_patched_up(tmp_path: Path) -> None:
    """Cut, and changed before the rest could be had: it is told, and no file is made of two."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "big.log"
    log.write_text("".join(line(n % 3600, f"row {n}") for n in range(60_000)))
    with (
        serving(log.parent, tmp_path / "cache") as running,
        Cutting(running.port, 1, lambda _: 300_000) as between,
        Client(between.url) as client,
        client.raw("big.log") as download,
    ):
        next(download)
        log.write_text(line(1, "another log"))
        with pytest.raises(CursorExpired, match="has changed"):
            list(download)


def test_everything_else_can_be_asked_through_cuts(server: Server) -> None:
    """Lists, counts, pages, rows, places and hits are those of the server."""
    with Cutting(server.port, 8, lambda luck: luck.randrange(40_000)) as between, Client(between.url) as client:
        assert [log["id"] for log in client.logs()] == [ATTEMPT, "empty.log", "hard/attempt=1.log", "long.log"]
        assert [log["id"] for log in client.logs("l")] == ["long.log"]
        eventually(lambda: client.meta("long.log")["lines"] == {"count": 3000, "exact": True})
        pages = list(client.pages("long.log", limit=20, q="row 29"))
        assert [row["event"] for page in pages for row in page["lines"]] == [
            f"row {n}" for n in (29, *range(290, 300), *range(2900, 3000))
        ]
        assert client.rows("long.log", 7, 1)["rows"][0]["event"] == "row 7"
        assert client.locate(ATTEMPT, error="next")["seq"] == 31
        assert sum(map(sum, client.summary(ATTEMPT)["buckets"])) == 60
        with client.search("long.log", q="row 29") as search:
            assert [hit["seq"] for hit in search] == [29, *range(290, 300), *range(2900, 3000)]
        assert (search.whole, search.seq, search.gaps) == (True, 3000, [])
        assert [hit["seq"] for hit in client.search("long.log", q="row 29", limit=2)] == [29, 290]
        assert between.cuts


def test_the_async_client_asks_everything_too(server: Server) -> None:
    """The same questions in an event loop; what is left early is closed."""

    async def ask() -> None:
        async with AsyncClient(server.url) as client:
            assert [log["id"] async for log in client.logs("l")] == ["long.log"]
            assert (await client.meta("long.log"))["id"] == "long.log"
            assert [len(page["lines"]) async for page in client.pages("long.log", limit=2000)] == [2000, 1000]
            assert (await client.rows("long.log", 7, 1))["rows"][0]["event"] == "row 7"
            assert (await client.locate("long.log", seq=3))["seq"] == 3
            assert (await client.summary(ATTEMPT, 1))["levels"]
            async with client.search("long.log", q="row 299") as search:
                assert (await anext(search))["seq"] == 299
            async with client.raw("long.log") as download:
                data = b"".join([block async for block in download])
            assert data == (server.folder / "long.log").read_bytes()
            async with client.stream("hard/attempt=1.log", follow=True) as stream:
                async for _ in stream:
                    break
            with pytest.raises(LogNotFound):
                await client.meta("lonk.log")

    asyncio.run(ask())


def test_a_change_is_waited_for(tmp_path: Path) -> None:
    """It comes as soon as the log has grown; without a change, the same comes when the time is over."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "a.log"
    log.write_text(line(1))

    async def wait(url: str, version: str) -> Meta:
        async with AsyncClient(url) as client:
            return await client.wait("a.log", version, wait_s=0)

    with serving(log.parent, tmp_path / "cache") as running, Client(running.url) as client:
        eventually(lambda: client.meta("a.log")["lines"]["exact"])
        known = client.meta("a.log")
        assert client.wait("a.log", known["version"], wait_s=0.1)["version"] == known["version"]
        assert asyncio.run(wait(running.url, known["version"]))["version"] == known["version"]
        appending = threading.Timer(0.2, log.write_text, [line(1) + line(2)])
        appending.start()
        grown = client.wait("a.log", known["version"], wait_s=60)
        appending.join()
        assert grown["version"] != known["version"]
        assert grown["sources"][0]["bytes"] == len(line(1) + line(2))
        assert asyncio.run(wait(running.url, known["version"]))["version"] != known["version"]
        for wait_s in (-1, 61, math.nan):
            with pytest.raises(UsageError, match="one can wait"):
                client.wait("a.log", "", wait_s=wait_s)


def test_errors_are_those_of_the_tree(server: Server) -> None:
    """With what programs need to know."""
    with Client(server.url) as client:
        with pytest.raises(LogNotFound) as missing:
            next(client.stream("lonk.log"))
        assert missing.value.near == ("long.log",)
        for wrong in ({"regex": "a(b"}, {"after": "2.x.y"}, {"source": "nobody"}, {"time_format": "%Q"}):
            with pytest.raises(UsageError):
                next(client.stream("long.log", **wrong))  # type: ignore[arg-type]  # of several types
        stream = client.stream("long.log")
        next(stream)
    with pytest.raises(UsageError, match="closed"):
        list(client.logs())
    with pytest.raises(ServerUnreachable, match="refused"):
        list(Client("http://127.0.0.1:1").logs())


def test_who_gives_up_tells_where_to_go_on(server: Server) -> None:
    """When the server stays away, the error has the cursor, and with it the rest comes later."""
    with (
        Cutting(server.port, 1, lambda _: 700_000) as between,
        Client(between.url, give_up_s=0.2) as client,
        client.stream("hard/attempt=1.log", output=Output.TEXT) as stream,
    ):
        first = [next(stream)]
        between.upstream = 1
        with pytest.raises(ServerUnreachable) as gone:
            first += stream
    with Client(server.url) as client:
        rest = client.stream("hard/attempt=1.log", output=Output.TEXT, after=gone.value.cursor)
        assert b"".join([*first, *rest]) == hard(server, Output.TEXT)


def test_a_busy_server_is_waited_for(tmp_path: Path) -> None:
    """429 is no error until patience ends; why one waits is told."""
    folder = made(tmp_path / "logs")
    said: list[str] = []
    with serving(folder, tmp_path / "cache", "--max-followers", "1") as busy, Client(busy.url) as client:
        first = client.stream("empty.log", follow=True)
        Reading(first).start()
        eventually(lambda: first.cursor)

        def make_room(error: LogflumeError, wait_s: float) -> None:
            assert isinstance(error, ServerRefused)
            assert (error.status, error.type) == (429, "too-many")
            assert wait_s >= (error.retry_after_s or 0)
            said.append(error.detail)
            first.close()

        with (
            Client(busy.url, on_wait=make_room) as other,
            other.stream("long.log", output=Output.TEXT, follow=True) as second,
        ):
            assert next(second)
    assert said


def test_a_token_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    """A follow outlives the token it began with; without another one it ends with an error that does not show it."""
    folder = made(tmp_path / "logs")
    tokens = TokenFile(tmp_path / "tokens")
    file = tmp_path / "token"
    file.write_text(tokens.create("one", ["*"]))
    with (
        serving(folder, tmp_path / "cache", "--tokens-file", str(tmp_path / "tokens")) as guarded,
        Client(guarded.url, token_file=file) as client,
    ):
        assert client.meta("long.log")["id"] == "long.log"
        tokens.revoke("one")
        old = file.read_text()
        file.write_text(tokens.create("two", ["dag"]))

        def is_the_other() -> bool:
            try:
                client.meta("long.log")
            except NotAllowed:  # and not that one has to sign in
                return True
            return False

        eventually(is_the_other)
        assert client.meta(ATTEMPT)["id"] == ATTEMPT
        with Client(guarded.url, token=old) as stranger, pytest.raises(SignInNeeded) as refused:
            stranger.meta(ATTEMPT)
        assert old not in repr(refused.value) + str(refused.value.__dict__)
