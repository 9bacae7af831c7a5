"""One logflume sends to another one: over a real connection, with tokens, each batch once."""

from __future__ import annotations

import contextlib
import gzip
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logflume.errors import SinkRefused, UsageError
from logflume.serve.settings import load_settings
from logflume.serve.taking import MAX_BODY_BYTES
from logflume.serve.tokens import TokenFile
from logflume.ship.segments import Rules
from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen
from logflume.ship.taken import MAX_KEYS, MAX_OPEN, NoRoom, Taken
from logflume.testing import check_sink
from tests.served import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.served import Server

ALL_CHECKS = 6
STREAM = "/take/box/out.log"


class Place:
    """A server that takes lines, who may send, and what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / "kept"
        (folder / "logs").mkdir()
        self.writer = TokenFile(folder / "writers").create("box", ["box/"])
        self.reader = TokenFile(folder / "readers").create("ann", ["*"])

    @contextlib.contextmanager
    def run(self) -> Iterator[Server]:
        flags = ("--take-into", str(self.kept), "--writers-file", str(self.folder / "writers"))
        readers = ("--tokens-file", str(self.folder / "readers"))
        with serving(self.folder / "logs", self.folder / "cache", *flags, *readers) as server:
            yield server

    def post(self, server: Server, body: bytes, where: str = STREAM, /, **headers: str) -> httpx.Response:
        """Send lines with the writer's token."""
        return server.client.post(where, content=body, headers={"Authorization": f"Bearer {self.writer}", **headers})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a folder in which a server can run."""
    return Place(tmp_path)


def sink_to(server: Server, place: Place, **more: object) -> Any:  # noqa: ANN401 - a Sink and a RequestSink
    """Return the sink that a file of settings would name."""
    url = f"{server.url}/api/v1/take/{{child}}/{{stream}}"
    table = {"kind": "http", "url": url, "token": place.writer, "body": "lines", **more}
    return Chosen("central", table, "logflume.toml", place.folder).make(place.folder / "captured", {"child": "box"})


def test_a_capture_goes_to_another_logflume(place: Place, tmp_path: Path) -> None:
    """Every stream arrives in a file of its own, byte for byte, also as gzip; the server that has it can show it."""
    captured = tmp_path / "captured"
    captured.mkdir()
    for name, count in (("out.log", 60_000), ("err.log", 10)):
        (captured / name).write_bytes(b"".join(b"%019d\n" % number for number in range(count)))
    with place.run() as server:
        (progress,) = ship(captured, [sink_to(server, place, compress="gzip")])
    assert (progress.done, progress.refusals) == (True, 0)
    for name in ("out.log", "err.log"):
        assert (place.kept / "box" / name).read_bytes() == (captured / name).read_bytes()
    with serving(place.kept, tmp_path / "cache") as server:
        assert (
            server.client.get("/logs/box/out.log/stream", headers={"Accept": "text/plain"}).text.count("\n") == 60_000
        )


def test_it_is_a_sink_like_any_other(place: Place) -> None:
    """The sink and the server together pass the checks that every sink must; equal lines later on are kept."""
    with place.run() as server:

        def make() -> Any:  # noqa: ANN401 - as above
            number = len(list(place.kept.glob("box/*/log")))
            (place.kept / "box" / str(number) / "log").mkdir(parents=True)
            return sink_to(server, place, url=f"{server.url}/api/v1/take/box/{number}/x.log")

        def read_back() -> bytes:
            newest = max(place.kept.glob("box/*/x.log"), key=lambda path: int(path.parent.name), default=None)
            return newest.read_bytes() if newest is not None else b""

        assert len(check_sink(make, read_back=read_back)) == ALL_CHECKS - 1
        with contextlib.closing(sink_to(server, place, url=f"{server.url}/api/v1/take/box/x.log")) as sink:
            sink.write(b"tick\n")
            sink.write(b"tick\n")
        assert (place.kept / "box" / "x.log").read_bytes() == b"tick\ntick\n"


def test_the_same_key_adds_nothing(place: Place) -> None:
    """What comes again with its key is answered as before and kept once; by the server that follows, too."""
    with place.run() as server:
        answers = [place.post(server, b"one\n", **{"Idempotency-Key": "k1"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [204, 204]
        assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, True]
        assert place.post(server, b"one\n").status_code == 204
    with place.run() as server:
        assert "idempotency-replayed" in place.post(server, b"one\n", **{"Idempotency-Key": "k1"}).headers
        assert place.post(server, b"two", **{"Idempotency-Key": "k2"}).status_code == 204
    assert (place.kept / "box" / "out.log").read_bytes() == b"one\none\ntwo\n"


REFUSED_NAMES = [
    ("/take/other/out.log", 403, "may not write"),
    ("/take/box/../other/out.log", 403, "may not write"),
    ("/take/box/%2e%2e/other/out.log", 403, "may not write"),
    ("/take/box/.hidden.log", 400, "expected the name of a stream"),
    ("/take/box/out.txt", 400, "expected the name of a stream"),
    ("/take/box/a b.log", 400, "expected the name of a stream"),
    ("/take/box/" + "a/" * 8 + "x.log", 400, "expected the name of a stream"),
    ("/take/box/link/x.log", 400, "leads out"),
    ("/take/box/there.log/x.log", 400, "is a stream itself"),
]


def test_names_that_are_refused(place: Place) -> None:
    """A stream of nobody's prefix, and a name that could lead elsewhere, are refused; nothing is written."""
    (place.kept / "box").mkdir(parents=True)
    (place.kept / "box" / "link").symlink_to(place.folder)
    (place.kept / "box" / "there.log").write_bytes(b"")
    before = sorted(place.folder.rglob("*.log"))
    with place.run() as server:
        answers = [(where, place.post(server, b"x\n", where)) for where, *_ in REFUSED_NAMES]
    got = [(where, answer.status_code, answer.json()["detail"]) for where, answer in answers]
    for (where, status, told), (_, came, detail) in zip(REFUSED_NAMES, got, strict=True):
        assert (status, told in detail) == (came, True), (where, detail)
    assert {answer.headers["content-type"] for _, answer in answers} == {"application/problem+json"}
    assert sorted(place.folder.rglob("*.log")) == before


def test_only_writers_may(place: Place) -> None:
    """Without a token, and with that of a reader, nothing is taken; a writer's token reads nothing."""
    with place.run() as server:
        assert server.client.post(STREAM, content=b"x\n").status_code == 401
        reader = {"Authorization": f"Bearer {place.reader}"}
        assert server.client.post(STREAM, content=b"x\n", headers=reader).status_code == 401
        assert server.client.get("/logs", headers=reader).status_code == 200
        assert server.client.get("/logs", headers={"Authorization": f"Bearer {place.writer}"}).status_code == 401
        with (
            contextlib.closing(sink_to(server, place, token="lft_no")) as sink,  # noqa: S106 - it counts nowhere
            pytest.raises(
                SinkRefused, match=r"it answered 401 Unauthorized This token is not known here, or was revoked\.$"
            ),
        ):
            sink.write(b"x\n")
        TokenFile(place.folder / "writers").revoke("box")
        (place.folder / "writers").touch()
        deadline = threading.Event()
        for _ in range(600):  # a file of tokens is looked at once a second
            if place.post(server, b"x\n").status_code == 401:
                break
            deadline.wait(0.05)
        assert place.post(server, b"x\n").status_code == 401


def test_bodies_are_bounded(place: Place) -> None:
    """What is too large, also only when unpacked, or is no gzip, is refused whole; an empty body is nothing."""
    with place.run() as server:
        large = b"x" * MAX_BODY_BYTES + b"\n"
        assert place.post(server, large).status_code == 413
        packed = {"Content-Encoding": "gzip"}
        assert place.post(server, gzip.compress(large), **packed).status_code == 413
        assert place.post(server, b"no gzip", **packed).status_code == 400
        assert place.post(server, gzip.compress(b"x\n")[:-3], **packed).status_code == 400
        assert place.post(server, b"x\n", **{"Content-Encoding": "br"}).status_code == 415
        assert place.post(server, b"x\n", **{"Idempotency-Key": "a b"}).status_code == 400
        assert place.post(server, b"").status_code == 204
        assert not (place.kept / "box" / "out.log").exists()


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    """A server that was not told to takes nothing; half of the settings are refused."""
    (tmp_path / "logs").mkdir()
    with serving(tmp_path / "logs", tmp_path / "cache") as server:
        assert server.client.post(STREAM, content=b"x\n").status_code in (404, 405)
    with pytest.raises(UsageError, match="writers_file: expected a value, because take_into is set"):
        load_settings({"take_into": "x"}, {})
    with pytest.raises(UsageError, match="expected one of workers"):
        load_settings({"take_into": "x", "writers_file": "y", "workers": "2"}, {})


def test_a_batch_that_a_kill_tore_is_taken_again(tmp_path: Path) -> None:
    """A key that was noted and whose lines are not all there is forgotten, whatever comes then without a key."""
    with Taken(tmp_path) as streams:
        assert streams.add("a.log", b"first\n", "k1")
        assert streams.add("a.log", b"second\n", "k2")
    with (tmp_path / "a.log").open("r+b") as file:
        file.truncate(len(b"first\nsec"))
    with Taken(tmp_path) as streams:
        assert streams.add("a.log", b"more than was missing\n", None)
    with Taken(tmp_path) as streams:
        assert not streams.add("a.log", b"first\n", "k1")
        assert streams.add("a.log", b"second\n", "k2")
    assert (tmp_path / "a.log").read_bytes() == b"first\nsec\nmore than was missing\nsecond\n"


def test_what_a_full_disk_does_not_take_may_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of which the disk took a part, or nothing, is refused, and taken when there is room."""
    with Taken(tmp_path) as streams:
        streams.add("a.log", b"first\n", "k1")
        segments = streams._open["a.log"]._segments
        descriptor, segments._descriptor = segments._descriptor, -1  # a disk that refuses
        with pytest.raises(NoRoom):
            streams.add("a.log", b"second\n", "k2")
        segments._descriptor = descriptor
        assert streams.add("a.log", b"second\n", "k2")
        monkeypatch.setattr("shutil.disk_usage", lambda _: (0, 0, 0))
        monkeypatch.setattr("logflume.ship.taken.ROOM_BYTES", 2**60)
    assert (tmp_path / "a.log").read_bytes() == b"first\nsecond\n"


def test_open_streams_and_keys_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams there are, few are open, all are kept, and only so many; the oldest keys are forgotten."""
    with Taken(tmp_path, Rules(64 * 1024)) as streams:
        for turn in range(2):
            for number in range(MAX_OPEN + 5):
                assert streams.add(f"{number}.log", b"x\n", f"turn {turn}")
        assert len(streams._open) == MAX_OPEN
        assert {path.read_bytes() for path in tmp_path.glob("*.log")} == {b"x\nx\n"}
        for number in range(MAX_KEYS + 5):
            streams.add("0.log", b"y\n", f"key {number}")
        assert len(streams._open["0.log"]._keys) == MAX_KEYS
        monkeypatch.setattr("logflume.ship.taken.MAX_STREAMS", MAX_OPEN + 5)
        with pytest.raises(NoRoom, match="there are"):
            streams.add("one-more.log", b"x\n", None)


def test_many_threads_add_to_many_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With streams opened and closed all the time, each line of each thread is there once, in its order."""
    monkeypatch.setattr("logflume.ship.taken.MAX_OPEN", 2)
    with Taken(tmp_path) as streams:

        def add(thread: int) -> None:
            for number in range(30):
                streams.add(f"{number % 4}.log", b"%d %d\n" % (thread, number), f"{thread}.{number}")

        threads = [threading.Thread(target=add, args=[thread]) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [line for path in sorted(tmp_path.glob("*.log")) for line in path.read_text().splitlines()]
    assert sorted(found) == sorted(f"{thread} {number}" for thread in range(4) for number in range(30))
