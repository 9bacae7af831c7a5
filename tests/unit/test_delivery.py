"""Deliveries: cursors, retries, gaps; one sink never waits for another."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import threading
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from logflume import _core
from logflume.catalog import log_of_paths
from logflume.errors import SinkRefused, UsageError
from logflume.ship import chunks
from logflume.ship.cursors import Cursor, read_all
from logflume.ship.delivery import Delivery
from logflume.ship.feed import Bases, Feed
from logflume.ship.lines import MAX_LINE_BYTES, WholeLines
from logflume.ship.requests import TAKEN, Requests
from logflume.ship.segments import Rules, Segments, Writer
from logflume.ship.senders import MAX_DELAY_S, MAX_IN_FLIGHT, Pace
from logflume.ship.shipper import MAX_SINKS, ship
from logflume.sources.arrivals import Known
from logflume.sources.captured import SIDE
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from logflume.ship.requests import Packer, Receipt, Request

NAME = "out.log"
PATIENCE_S = 60.0


class ListSink:
    """Keeps what it is given; refuses while ``refusing`` is set, and waits while ``open`` is not."""

    def __init__(self, name: str = "list") -> None:
        self.name = name
        self.taken: list[bytes] = []
        self.offered = 0
        self.refusing = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.closed = False

    def write(self, block: bytes) -> None:
        assert self.open.wait(PATIENCE_S)
        self.offered += 1
        if self.refusing.is_set():
            raise SinkRefused(self.name, "not now", retry_after_s=0.001)
        self.taken.append(block)

    def close(self) -> None:
        self.closed = True

    @property
    def all(self) -> bytes:
        return b"".join(self.taken)


def lines(count: int, start: int = 0) -> bytes:
    """Return numbered lines of 20 bytes."""
    return b"".join(b"%019d\n" % n for n in range(start, start + count))


def has_more_than(sink: ListSink, size: int) -> bool:
    """Tell whether a sink has taken so much."""
    return len(sink.all) > size


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again, up to the deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def segments(tmp_path: Path) -> Iterator[Segments]:
    """Give a stream that is being captured."""
    opened = Segments(tmp_path, NAME, Rules(64 * 1024))
    yield opened
    if not opened.ended.is_set():
        opened.close()


def test_all_is_delivered_once_to_each(tmp_path: Path) -> None:
    """Two sinks get every byte, in whole lines but for the last, and nothing again the next time."""
    (tmp_path / NAME).write_bytes(lines(50_000) + b"half")
    (tmp_path / "other.log").write_bytes(b"other\n")
    sinks = [ListSink("a"), ListSink("b")]
    assert all(progress.done for progress in ship(tmp_path, sinks))
    for sink in sinks:
        assert sink.closed
        assert sorted(sink.all.splitlines()) == sorted((lines(50_000) + b"half\nother").splitlines())
    again = ListSink("a")
    ship(tmp_path, [again])
    assert again.taken == []


def test_it_goes_on_while_somebody_captures(tmp_path: Path, segments: Segments) -> None:
    """Through rotation and partial lines all comes in order, and it ends when the capture does."""
    sink = ListSink()
    thread = threading.Thread(target=ship, args=(tmp_path, [sink]))
    thread.start()
    written = lines(2500)
    for at in range(0, len(written), 777):
        segments.append(written[at : at + 777])
        if at % 7770 == 0:
            wait_until(functools.partial(has_more_than, sink, at - 7770))
            assert all(block.endswith(b"\n") for block in list(sink.taken))
    assert (tmp_path / "out.log.1").exists()
    segments.close()
    thread.join(PATIENCE_S)
    assert sink.all == written


def test_a_slow_sink_delays_no_other(tmp_path: Path) -> None:
    """While one sink waits and another one refuses, a third gets all."""
    (tmp_path / NAME).write_bytes(lines(50_000))
    stuck, refusing, quick = ListSink("stuck"), ListSink("refusing"), ListSink("quick")
    stuck.open.clear()
    refusing.refusing.set()
    thread = threading.Thread(target=ship, args=(tmp_path, [stuck, refusing, quick]))
    thread.start()
    wait_until(lambda: quick.all == lines(50_000))
    assert stuck.taken == refusing.taken == []
    stuck.open.set()
    refusing.refusing.clear()
    thread.join(PATIENCE_S)
    assert stuck.all == refusing.all == lines(50_000)


def test_a_refused_block_is_offered_until_it_is_taken(tmp_path: Path) -> None:
    """Refusals are counted and told; the cursor does not move before the block is taken."""
    (tmp_path / NAME).write_bytes(lines(10))
    sink = ListSink()
    sink.refusing.set()
    delivery = Delivery(tmp_path, log_of_paths([tmp_path]), sink, lambda: True)
    delivery.start()
    wait_until(lambda: sink.offered > 5)
    assert delivery.progress.refused == "list: not now"
    (kept,) = read_all(tmp_path / SIDE / "cursors")
    assert kept.places == {}
    sink.refusing.clear()
    delivery.join(PATIENCE_S)
    assert sink.taken == [lines(10)]
    assert delivery.progress.done
    assert delivery.progress.refusals >= 5
    (kept,) = read_all(tmp_path / SIDE / "cursors")
    assert kept.places[NAME].position.offset == 200


def test_an_end_between_acknowledgement_and_cursor_doubles_one_block_only(tmp_path: Path) -> None:
    """Stopped at any moment and begun again, all comes at least once, and twice only what was offered last."""
    written = lines(80_000)
    (tmp_path / NAME).write_bytes(written)
    marks = random.Random(7)
    taken: list[bytes] = []
    for _ in range(20):
        sink = ListSink()
        delivery = Delivery(tmp_path, log_of_paths([tmp_path]), sink, lambda: True)
        stop_at = marks.randint(1, 3)
        save = delivery._cursor.save

        def save_or_end(places: object, stop_at: int = stop_at, sink: ListSink = sink, save: object = save) -> None:
            if len(sink.taken) >= stop_at:
                raise RuntimeError("the process ends")
            save(places)  # type: ignore[operator]

        delivery._cursor.save = save_or_end  # type: ignore[method-assign]
        delivery.run()
        taken += sink.taken
        if delivery.progress.done:
            break
    at = 0
    for before, block in zip([b"", *taken], taken, strict=False):
        at -= len(before) if block.startswith(before) and before else 0
        assert written[at : at + len(block)] == block
        at += len(block)
    assert at == len(written)


class ThreeAtOnce(Requests):
    """Takes requests of a few lines, three at a time, and keeps the first one waiting."""

    in_flight = 3
    linger_s = 0.0

    def __init__(self) -> None:
        self.name = "three"
        self.taken: list[Request] = []
        self.first = threading.Event()
        self._lock = threading.Lock()

    def packer(self, stream: str) -> Packer:
        del stream
        return _core.Packer("text", max_events=10, max_bytes=1 << 20, max_event_bytes=1 << 18)

    def send(self, request: Request) -> Receipt:
        if request.start in (None, 0):
            assert self.first.wait(PATIENCE_S)
        with self._lock:
            self.taken.append(request)
        return TAKEN


def test_the_place_is_behind_all_that_has_arrived_without_a_hole(tmp_path: Path, segments: Segments) -> None:
    """While the first request is on its way the place stays before it, whatever arrived behind; then it moves."""
    segments.append(lines(105))
    sink = ThreeAtOnce()
    delivery = Delivery(tmp_path, log_of_paths([tmp_path]), sink, lambda: False)
    delivery.start()
    wait_until(lambda: len(sink.taken) == 10)
    (kept,) = read_all(tmp_path / SIDE / "cursors")
    assert kept.places == {}
    sink.first.set()
    wait_until(lambda: read_all(tmp_path / SIDE / "cursors")[0].places)
    wait_until(lambda: read_all(tmp_path / SIDE / "cursors")[0].places[NAME].offset == 2100)
    delivery.stop()
    delivery.join(PATIENCE_S)
    assert b"".join(request.payload for request in sorted(sink.taken, key=lambda each: each.start or 0)) == lines(105)
    ranges = sorted((request.start or 0, request.end) for request in sink.taken)
    assert ranges == [(at, min(at + 200, 2100)) for at in range(0, 2100, 200)]


def test_what_was_given_up_is_told_in_its_place(tmp_path: Path, segments: Segments) -> None:
    """Where a slow sink misses bytes it gets a line that says how many; the rest is whole."""
    segments.append(lines(400))
    sink = ListSink()
    sink.open.clear()
    thread = threading.Thread(target=ship, args=(tmp_path, [sink]))
    thread.start()
    cursors = tmp_path / SIDE / "cursors"
    wait_until(lambda: read_all(cursors))
    time.sleep(0.1)  # it may have read the first block by now, or not: both must come out right
    for n in range(400, 20_000, 400):
        segments.append(lines(400, n))
    segments.close()
    sink.open.set()
    thread.join(PATIENCE_S)
    got = sink.all.splitlines(keepends=True)
    told = [json.loads(line) for line in got if line.startswith(b"{")]
    lost_bytes = sum(record["lost_bytes"] for record in told)
    kept = b"".join(line for line in got if not line.startswith(b"{"))
    assert len(kept) + lost_bytes == 400_000
    assert lost_bytes > 0
    assert kept.endswith(lines(1, 19_999))
    assert told[0]["reason"] in ("expired", "rotated-away")


def test_a_new_sink_is_told_what_was_given_up_before_it(tmp_path: Path, segments: Segments) -> None:
    """A sink that begins late hears how much there was before what is left."""
    for n in range(0, 8000, 400):
        segments.append(lines(400, n))
    segments.close()
    sink = ListSink()
    ship(tmp_path, [sink])
    first, rest = sink.all.split(b"\n", 1)
    assert json.loads(first)["lost_bytes"] == 160_000 - len(rest) == segments.losses.lost_bytes


def test_a_hole_in_a_child_s_own_file_is_told(tmp_path: Path) -> None:
    """In direct mode, too, a sink that comes late hears what was given up, in its place."""
    segments = Segments(tmp_path, NAME, Rules(64 * 1024), writer=Writer.CHILD)
    os.write(segments.descriptor, lines(20_000))
    segments.close()
    sink = ListSink()
    ship(tmp_path, [sink])
    told = [json.loads(line) for line in sink.all.splitlines() if line.startswith(b"{")]
    assert [record["lost_bytes"] for record in told] == [segments.losses.lost_bytes]


def test_a_damaged_cursor_is_set_aside_and_all_is_shipped_again(tmp_path: Path) -> None:
    """Rather twice than not at all: and it is told."""
    (tmp_path / NAME).write_bytes(lines(10))
    ship(tmp_path, [ListSink()])
    (path,) = (tmp_path / SIDE / "cursors").glob("*.cursor")
    path.write_bytes(path.read_bytes().replace(b"200", b"100"))
    sink = ListSink()
    (progress,) = ship(tmp_path, [sink])
    assert sink.all == lines(10)
    assert progress.trouble
    assert "is damaged (its checksum is another one)" in progress.trouble
    assert len(list((tmp_path / SIDE / "cursors").glob("*.damaged"))) == 1


def test_cursors_of_sinks_whose_names_look_alike_are_apart(tmp_path: Path) -> None:
    """Whatever a sink is called, its cursor is its own file in the folder."""
    names = ["http://h/a b", "http://h/a-b", "../../x", "x" * 500, "é"]
    for name in names:
        with contextlib.closing(Cursor(tmp_path, name)) as cursor:
            cursor.save({})
    assert len(read_all(tmp_path)) == len(names)
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path}


@pytest.mark.parametrize("count", [0, MAX_SINKS + 1])
def test_sinks_are_bounded(tmp_path: Path, count: int) -> None:
    """No sink, and too many, are refused."""
    with pytest.raises(UsageError, match="1 to 64 sinks"):
        ship(tmp_path, [ListSink(str(n)) for n in range(count)])


def test_delays_grow_up_to_their_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sink that gives no delay is asked again after random delays that double up to the bound."""
    (tmp_path / NAME).write_bytes(lines(1))
    bounds: list[float] = []

    class Dice(random.Random):
        def uniform(self, a: float, b: float) -> float:
            bounds.append(b)
            return 0.0

    class Refusing(ListSink):
        def write(self, block: bytes) -> None:
            if len(bounds) < 12:
                raise SinkRefused(self.name, "not now")
            super().write(block)

    monkeypatch.setattr(random, "Random", Dice)
    ship(tmp_path, [Refusing()])
    assert bounds[:4] == [0.1, 0.2, 0.4, 0.8]
    assert bounds[-1] == MAX_DELAY_S


@pytest.mark.parametrize("seed", range(20))
def test_whole_lines_are_whole(seed: int) -> None:
    """However blocks are cut, lines come out whole and in order, and long ones in pieces."""
    marks = random.Random(seed)
    data = b"".join(marks.randbytes(marks.choice([0, 1, 50])).replace(b"\n", b"") + b"\n" for _ in range(50))
    data += b"x" * marks.choice([0, 10, 3 * MAX_LINE_BYTES])
    whole, out, at = WholeLines(), b"", 0
    while at < len(data):
        size = marks.choice([1, 7, 100, 300_000])
        given = whole.feed(data[at : at + size])
        at += size
        out += given
        assert len(whole.rest) <= MAX_LINE_BYTES
        assert not given or given.endswith(b"\n") or len(given) > MAX_LINE_BYTES
    assert out + whole.take_rest() == data
    assert whole.rest == b""


def test_two_processes_do_not_ship_to_one_sink(tmp_path: Path) -> None:
    """While somebody ships to a sink, a second one is refused: all would come twice."""
    (tmp_path / NAME).write_bytes(lines(10))
    sink = ListSink()
    sink.open.clear()
    thread = threading.Thread(target=ship, args=(tmp_path, [sink]))
    thread.start()
    wait_until(lambda: read_all(tmp_path / SIDE / "cursors"))
    with pytest.raises(UsageError, match="another process ships to list"):
        ship(tmp_path, [ListSink()])
    sink.open.set()
    thread.join(PATIENCE_S)
    ship(tmp_path, [again := ListSink()])
    assert (sink.all, again.all) == (lines(10), b"")


def test_a_state_that_would_be_shipped_is_refused(tmp_path: Path) -> None:
    """Where cursors would lie among the logs, they would be shipped for ever; a hidden folder is fine."""
    (tmp_path / NAME).write_bytes(lines(10))
    with pytest.raises(UsageError, match="would be shipped to the sinks"):
        ship(tmp_path, [ListSink()], state=tmp_path / "state")
    assert ship(tmp_path, [ListSink()], state=tmp_path / ".state")[0].done


def test_a_cursor_behind_what_a_power_failure_left_skips_nothing(tmp_path: Path) -> None:
    """Bytes that a sink had had are gone from the disk; what is captured then reaches it, and nothing comes again."""
    segments = Segments(tmp_path, NAME, Rules(1 << 20))
    segments.append(lines(1000))
    segments.close()
    sink = ListSink()
    ship(tmp_path, [sink])
    os.truncate(tmp_path / NAME, 10_000)
    for path in (tmp_path / SIDE).glob("*.index"):  # it was not on the disk either
        os.truncate(path, 44)
    segments = Segments(tmp_path, NAME, Rules(1 << 20))
    segments.append(lines(2000, 5000))
    segments.close()
    again = ListSink()
    ship(tmp_path, [again])
    assert again.all == lines(2000, 5000)


def test_a_cursor_behind_the_end_begins_there(tmp_path: Path, segments: Segments) -> None:
    """Where nobody has captured again since, too, nothing is shipped twice."""
    segments.append(lines(1000))
    segments.close()
    ship(tmp_path, [ListSink()])
    os.truncate(tmp_path / NAME, 10_000)
    sink = ListSink()
    ship(tmp_path, [sink])
    assert b"0000000000000000001\n" not in sink.all


def test_bytes_that_are_not_what_came_are_told(tmp_path: Path, segments: Segments) -> None:
    """A stretch that does not fit its checksum is passed on as it is, with a line that says so."""
    for number in range(3):
        segments.append(lines(1000, number * 1000))
        segments.tick(number * 10**10, to_end=True)
    segments.close()
    whole = ListSink("whole")
    ship(tmp_path, [whole])
    assert whole.all == lines(3000)
    with max(tmp_path.glob("out.log*")).open("r+b") as file:
        file.seek(30)
        file.write(b"X")
    sink = ListSink()
    (progress,) = ship(tmp_path, [sink])
    told = [json.loads(line) for line in sink.all.splitlines() if line.startswith(b"{")]
    assert [record["reason"] for record in told] == ["corrupt"]
    assert progress.lost_bytes == told[0]["lost_bytes"] > 0
    kept = [line for line in sink.all.splitlines() if not line.startswith(b"{")]
    assert len(kept) == 3000
    assert sum(a != b for a, b in zip(kept, lines(3000).splitlines(), strict=True)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_live_stream_has_no_damage(tmp_path: Path, seed: int) -> None:
    """However reads, writes and looks fall, bytes that are what came are never told to be others."""
    dice = random.Random(seed)
    segments = Segments(tmp_path, NAME, Rules(1 << 20, segment_bytes=100_000))
    segments.append(lines(1))
    feed = Feed(LocalSource(tmp_path / NAME), None, Bases(tmp_path, NAME))
    read = [feed.next_batch(last=False)]
    for turn in range(200):
        act = dice.choice(["append", "tick", "read", "read", "tear"])
        if act == "append":
            segments.append(lines(dice.randint(1, 2000), turn * 2000))
        elif act == "tear":
            segments.append(b"half a line, ")
        elif act == "tick":
            segments.tick(turn * 10**9, to_end=dice.random() < 0.5)
        else:
            read.append(feed.next_batch(last=False))
    segments.close()
    while (batch := feed.next_batch(last=True)) is not None:
        read.append(batch)
    feed.close()
    assert [batch.block for batch in read if batch is not None and batch.told_bytes] == []


def test_what_was_read_before_the_index_told_of_it_is_not_compared(tmp_path: Path) -> None:
    """A look that found nothing within a stretch is no beginning of it; the next stretch is compared again."""
    index = tmp_path / "index"
    chunks.begin(index, chunks.Header(0, (1, 2), 0))
    known = Known(lambda: index.open("rb"))
    assert list(known.iter_damage(150, b"")) == []
    data = bytes(range(250)) * 2
    with index.open("ab") as file:
        for start, end in ((0, 100), (100, 200), (200, 300), (300, 400)):
            wrong = 1 if start == 300 else 0
            file.write(chunks.Entry(end, 0, zlib.crc32(data[start:end]) + wrong).pack())
    assert list(known.iter_damage(150, data[150:250])) == []
    assert list(known.iter_damage(250, data[250:500])) == [chunks.Damage(300, 400)]


def test_no_more_is_sent_in_a_second_than_is_allowed(tmp_path: Path) -> None:
    """Requests begin so much later that the bytes of each second stay within the limit; without one nothing waits."""
    now_s = [100.0]
    pace = Pace(4, 1000, lambda: now_s[0])
    assert [pace.reserve(500) for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]
    now_s[0] += 10
    assert pace.reserve(500) == 0.0
    assert [Pace(4, None, lambda: 0.0).reserve(10**9) for _ in range(2)] == [0.0, 0.0]
    assert Pace(1000, None, lambda: 0.0).in_flight == MAX_IN_FLIGHT


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_a_piece_of_a_long_line_tears_no_character(character: str, shift: int) -> None:
    """However its blocks are cut, each piece of a line that is too long is text by itself."""
    data = ("x" * shift + character * (MAX_LINE_BYTES // 2)).encode()
    whole = WholeLines()
    pieces = [whole.feed(data[at : at + 262_144]) for at in range(0, len(data), 262_144)]
    pieces.append(whole.take_rest())
    assert "".join(piece.decode() for piece in pieces).encode() == data
    assert max(map(len, pieces)) <= MAX_LINE_BYTES + 262_144
