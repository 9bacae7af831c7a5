"""Whatever fails, for however long: nothing is lost within the budget, and all that is wrong is told."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from logflume.catalog import log_of_paths
from logflume.errors import SinkRefused
from logflume.ship.cursors import Cursor, read_all
from logflume.ship.delivery import Delivery
from logflume.ship.segments import Rules, Segments
from logflume.ship.shipper import ship
from logflume.ship.sinks import sink_of
from logflume.ship.sinks.http import Body, HttpSink
from logflume.sources.captured import SIDE
from tests.unit.test_delivery import PATIENCE_S, ListSink, lines, wait_until
from tests.web import Answer, Asked, serving

if TYPE_CHECKING:
    from pathlib import Path

NAME = "out.log"
DAY_S = 24 * 3600.0

FAILURES = {
    "throttled": Answer(429, b"slow down", {"Retry-After": "0"}),
    "failing": Answer(500, b"sorry"),
    "moved away": Answer(301, b"", {"Location": "http://elsewhere/"}),
    "half an answer": Answer(200, b"x" * 1000, cut=10),
    "no answer": Answer(200, b"x" * 1000, cut=0),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_server_that_fails_in_its_way(tmp_path: Path, failure: str) -> None:
    """Every third request fails; each line arrives, in order, and again only with a request whose answer was lost."""
    (tmp_path / NAME).write_bytes(lines(20_000))
    taken: list[bytes] = []
    count = [0]

    def answer(asked: Asked) -> Answer:
        count[0] += 1
        fails = count[0] % 3 == 1
        if not fails or FAILURES[failure].cut is not None:
            taken.append(asked.body)
        return FAILURES[failure] if fails else Answer(204, b"")

    with serving(answer) as running:
        sink = HttpSink(running.url, body=Body.LINES)
        sink.batch_bytes = 40_000
        (progress,) = ship(tmp_path, [sink])
    assert progress.done
    assert progress.refusals > 0
    once = [body for number, body in enumerate(taken) if number == 0 or body != taken[number - 1]]
    assert b"".join(once) == lines(20_000)


def test_a_server_that_is_slow(tmp_path: Path) -> None:
    """A server that takes its time for each answer delays no other sink, and gets all in the end."""
    (tmp_path / NAME).write_bytes(lines(20_000))
    gate = threading.Event()

    def answer(asked: Asked) -> Answer:
        assert gate.wait(PATIENCE_S)
        return Answer(204, b"")

    quick = ListSink("quick")
    with serving(answer) as running:
        slow = HttpSink(running.url, body=Body.LINES)
        thread = threading.Thread(target=ship, args=(tmp_path, [slow, quick]))
        thread.start()
        wait_until(lambda: quick.all == lines(20_000))
        gate.set()
        thread.join(PATIENCE_S)
        assert b"".join(asked.body for asked in running.asked) == lines(20_000)


def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    """It is refused, and told; nothing is sent."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=elsewhere", "-days", "1"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda _: Answer(), tls=context) as running:
        sink = sink_of(running.url, beside=tmp_path)
        with pytest.raises(SinkRefused, match="certificate verify failed"):
            sink.write(b"x\n")
        assert running.asked == []


class Simulated(threading.Event):
    """An event for which waiting takes no time: a clock goes on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now_s += timeout or 0.0
        return self.is_set()


def test_a_sink_that_is_away_for_a_day(tmp_path: Path) -> None:
    """After an outage of 24 hours all arrives, in order; it was asked every half minute at least, and not much more."""
    (tmp_path / NAME).write_bytes(lines(1000))
    clock = Simulated()

    class Away(ListSink):
        def write(self, block: bytes) -> None:
            self.offered += 1
            if clock.now_s < DAY_S:
                raise SinkRefused(self.name, "nobody there")
            self.taken.append(block)

    sink = Away()
    delivery = Delivery(tmp_path, log_of_paths([tmp_path]), sink, lambda: True)
    delivery._senders._stopping = clock
    delivery.run()
    assert sink.all == lines(1000)
    assert delivery.progress.done
    assert DAY_S / 30 < sink.offered < 4 * DAY_S / 30


def test_beyond_the_budget_what_is_lost_is_counted(tmp_path: Path) -> None:
    """While a sink is away for longer than the budget lasts, what goes is counted, and it is told when it is back."""
    segments = Segments(tmp_path, NAME, Rules(64 * 1024))
    with contextlib.closing(Cursor(tmp_path / SIDE / "cursors", "list")) as cursor:
        cursor.save({})
    for start in range(0, 20_000, 500):
        segments.append(lines(500, start))
    segments.close()
    sink = ListSink()
    (progress,) = ship(tmp_path, [sink])
    kept = b"".join(line for line in sink.all.splitlines(keepends=True) if not line.startswith(b"{"))
    assert lines(20_000).endswith(kept)
    assert segments.losses.lost_bytes == progress.lost_bytes == 400_000 - len(kept) > 0


def test_a_disk_that_takes_no_cursor_keeps_no_sink_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is told, delivery goes on, and the place is kept when the disk takes it again."""
    (tmp_path / NAME).write_bytes(lines(50_000))
    refusing, real = [True], Cursor.save

    def save(cursor: Cursor, places: Any) -> None:  # noqa: ANN401 - as it has it
        if refusing[0] and places:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(cursor, places)

    monkeypatch.setattr(Cursor, "save", save)
    sink = ListSink()
    over = threading.Event()
    delivery = Delivery(tmp_path, log_of_paths([tmp_path]), sink, over.is_set)
    delivery.start()
    wait_until(lambda: sink.all == lines(50_000))
    wait_until(lambda: "cannot be kept: No space left" in (delivery.progress.trouble or ""))
    refusing[0] = False
    wait_until(lambda: read_all(tmp_path / SIDE / "cursors")[0].places)
    over.set()
    delivery.join(PATIENCE_S)
    assert (delivery.progress.done, delivery.progress.trouble) == (True, None)


def test_a_disk_that_fails_to_read_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails is told; when the disk reads again, delivery goes on where it was, and nothing comes twice."""
    (tmp_path / NAME).write_bytes(lines(50_000))
    failing, real = threading.Event(), os.pread
    failed = [0]

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if failing.is_set() and size > 4096 and offset > 300_000:
            failed[0] += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, size, offset)

    failing.set()
    monkeypatch.setattr(os, "pread", pread)
    sink = ListSink()
    over = threading.Event()
    delivery = Delivery(tmp_path, log_of_paths([tmp_path]), sink, over.is_set)
    delivery.start()
    wait_until(lambda: failed[0] > 3)
    assert delivery.progress.trouble is not None
    failing.clear()
    wait_until(lambda: sink.all == lines(50_000))
    over.set()
    delivery.join(PATIENCE_S)


def test_a_disk_that_fails_to_write_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that a failing disk did not take are a loss; what comes then is kept, on a line of its own."""
    segments = Segments(tmp_path, NAME)
    segments.append(b"one\n")
    real, failing = os.write, [True]

    def write(descriptor: int, data: bytes) -> int:
        if failing[0] and descriptor == segments.descriptor:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    segments.append(b"two\n")
    failing[0] = False
    segments.append(b"three\n")
    segments.close()
    assert (tmp_path / NAME).read_bytes() == b"one\nthree\n"
    assert [(loss.offset, loss.lost_bytes) for loss in segments.losses.all] == [(4, 4)]


@pytest.mark.parametrize("seed", range(4))
def test_a_clock_that_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever the clock says, days back or years ahead, all is kept and delivered in order."""
    dice, real_ns = random.Random(seed), time.time_ns
    jump_ns = [0]
    monkeypatch.setattr(time, "time_ns", lambda: max(1, real_ns() + jump_ns[0]))
    segments = Segments(tmp_path, NAME, Rules(1 << 20, max_age_s=60, segment_bytes=50_000))
    for start in range(0, 20_000, 500):
        jump_ns[0] = dice.choice([0, -3600, 3600, -(10**6), 10**8, -(10**10)]) * 10**9
        segments.append(lines(500, start))
        segments.tick()
    segments.close()
    sink = HttpSink("http://127.0.0.1:1/", name="ndjson")
    packer = sink.packer(NAME)
    packer.feed(lines(10), time.time_ns())
    assert packer.take(everything=True)
    taken = ListSink()
    assert ship(tmp_path, [taken])[0].done
    assert taken.all == lines(20_000)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Where no cursor can be kept, nothing is shipped, and it says why; a state elsewhere is the way round."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    (folder / NAME).write_bytes(lines(10))
    (folder / SIDE).write_text("in the way")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        ship(folder, [ListSink()])
    sink = ListSink()
    assert ship(folder, [sink], state=tmp_path / "state")[0].done
    assert sink.all == lines(10)
