"""Following a log in a made-up time: what comes when, in which order, and what is left behind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from logflume import follow
from logflume.abc import BLOCK_BYTES
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.follow import LIST_S, POLL_S, Followed, iter_followed
from logflume.merge import How, iter_merged
from logflume.records import Gap, GapReason, Output
from logflume.testing import FakeReader, FakeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from logflume.abc import Source
    from logflume.cursor import Cursor
    from logflume.records import Position

TEXT = How(output=Output.TEXT)
SETTLE_S = 0.125  # a fraction that sums of it hold exactly


def at(second: float, text: str = "") -> bytes:
    """Write a whole line of that time."""
    return f"2024-11-20T12:34:{second:06.3f}Z {text}\n".encode()


class World:
    """A clock that goes on only while somebody waits, what happens at which time, and a waiter that is told of it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits = 0
        self.closed = 0
        self.watched: list[str] = []
        self._events: list[tuple[float, Callable[[], object]]] = []

    def then(self, at_s: float, do: Callable[[], object]) -> None:
        """Let something happen; in the order of time."""
        self._events.append((at_s, do))
        self._events.sort(key=lambda event: event[0])

    def monotonic(self) -> float:
        """Stand in for the module ``time``."""
        return self.now_s

    def wait(self, timeout_s: float) -> bool:
        assert timeout_s > 0
        assert not self.closed
        self.waits += 1
        until_s = self.now_s + timeout_s
        if self._events and self._events[0][0] <= until_s:
            at_s, do = self._events.pop(0)
            self.now_s = max(self.now_s, at_s)
            do()
            return True
        self.now_s = until_s
        return False

    def watch(self, paths: Iterable[str]) -> None:
        self.watched += paths

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Give the time in which the log is followed."""
    world = World()
    monkeypatch.setattr(follow, "time", world)
    return world


@dataclass
class FakeLog:
    """A log whose sources may become more."""

    present: list[Source]
    id: str = "log"
    listed: int = field(default=0, init=False)

    def sources(self) -> list[Source]:
        self.listed += 1
        return list(self.present)


class Later(FakeSource):
    """A source that cannot be opened at first."""

    missing = True

    def open(self, start: int | Position = 0) -> FakeReader:
        if self.missing:
            raise SourceFailed(Gap(self.name, GapReason.NOT_FOUND, "It is not there.", "Wait for it."))
        return super().open(start)

    def appear(self) -> None:
        self.missing = False


def followed(
    world: World, *sources: Source, ends_s: float = 10.0, start: Cursor | None = None, how: How = TEXT
) -> Followed:
    """Follow these sources until that time."""
    return follow_until(world, FakeLog(list(sources)), ends_s, start=start, how=how)


def follow_until(
    world: World, log: FakeLog, ends_s: float, *, start: Cursor | None = None, how: How = TEXT
) -> Followed:
    """Follow a log until that time."""
    if ends_s > 0:
        world.then(ends_s, lambda: None)
    return iter_followed(log, how, start=start, ended=lambda: world.now_s >= ends_s, waiter=world, settle_s=SETTLE_S)


def comings(world: World, followed: Followed) -> Iterator[tuple[float, bytes]]:
    """Yield what comes, and when."""
    for block in followed:
        yield round(world.now_s, 6), block


# What comes, and when


def test_what_is_there_comes_first_then_what_is_written(world: World) -> None:
    """Both as soon as the records can be taken for whole: when they have had the time to settle."""
    source = FakeSource("a", at(1) + at(2))
    world.then(5.0, lambda: source.append(at(3)))
    assert list(comings(world, followed(world, source))) == [(0.0, at(1)), (SETTLE_S, at(2)), (5.0 + SETTLE_S, at(3))]


def test_a_record_that_is_followed_by_another_comes_at_once(world: World) -> None:
    """Only the last record of a source can go on, so only that one is waited for."""
    source = FakeSource("a", at(1))
    world.then(0.0625, lambda: source.append(at(2) + at(3)))
    assert list(comings(world, followed(world, source))) == [(0.0625, at(1) + at(2)), (0.0625 + SETTLE_S, at(3))]


def test_half_a_line_waits_for_its_other_half(world: World) -> None:
    """However long it takes; the rest of the log does not wait for it."""
    whole = at(2, "in two halves")
    source, other = FakeSource("a", at(1) + whole[:30]), FakeSource("b")
    world.then(3.0, lambda: other.append(at(3)))
    world.then(5.0, lambda: source.append(whole[30:]))
    assert list(comings(world, followed(world, source, other))) == [
        (SETTLE_S, at(1)),
        (3.0 + SETTLE_S, at(3)),
        (5.0 + SETTLE_S, whole),
    ]


@pytest.mark.parametrize(
    ("text", "other", "comes_s"),
    [
        (b'{"timestamp":"2024-11-20T12:34:57Z","event":"x"}\n', None, 5.0),
        (b'{"timestamp":"2024-11-20T12:34:57Z","event":"x"}\n', b"", 5.0 + SETTLE_S),
        (b'{"timestamp":"2024-11-20T12:34:57Z","event":"x"}\nTraceback:\n', None, 5.0 + SETTLE_S),
        (b'{"timestamp":"2024-11-20T12:34:57Z","event":"x"}\n  }\n', None, 5.0 + SETTLE_S),
    ],
)
def test_a_line_of_json_comes_at_once(world: World, text: bytes, other: bytes | None, comes_s: float) -> None:
    """Nothing of it is to come; but where there is another source, its older lines may be."""
    source = FakeSource("a", at(1))
    others = [] if other is None else [FakeSource("b", other)]
    world.then(5.0, lambda: source.append(text))
    assert list(comings(world, followed(world, source, *others, how=TEXT)))[-1] == (comes_s, text)


class OnDisk(FakeSource):
    """A source that says which file it is."""

    @property
    def paths(self) -> tuple[str]:
        return (f"/logs/{self.name}",)


def test_who_waits_is_told_of_files(world: World) -> None:
    """Each source that lies in files is watched from when it joins."""
    log = FakeLog([OnDisk("a", at(1))])
    world.then(2.5, lambda: log.present.append(OnDisk("b", at(2))))
    list(follow_until(world, log, 10.0))
    assert world.watched == ["/logs/a", "/logs/b"]


def test_a_traceback_in_two_halves_stays_one_record(world: World) -> None:
    """What is written within the settling time belongs to the record before, also for the order."""
    source, other = FakeSource("a", at(1, "failed") + b"Traceback:\n"), FakeSource("b", at(2))
    world.then(SETTLE_S * 0.9, lambda: source.append(b"  in load\n"))
    world.then(SETTLE_S * 1.8, lambda: source.append(b"KeyError\n"))
    merged = followed(world, source, other)
    assert b"".join(merged) == at(1, "failed") + b"Traceback:\n  in load\nKeyError\n" + at(2)
    assert merged.stats()["records"] == 2


def test_a_traceback_that_comes_too_late_keeps_its_time(world: World) -> None:
    """After the settling time it is a record of its own, of the same time; no byte of it is lost."""
    source = FakeSource("a", at(1, "failed"))
    world.then(1.0, lambda: source.append(b"Traceback:\n"))
    merged = followed(world, source, how=How(output=Output.NDJSON))
    events = b"".join(merged).splitlines()
    assert [event[: len('{"timestamp":"2024-11-20T12:34:01')] for event in events] == [
        b'{"timestamp":"2024-11-20T12:34:01'
    ] * 2
    assert merged.stats()["records"] == 2
    assert merged.stats()["late"] == 0


def test_two_sources_come_in_order_of_time(world: World) -> None:
    """A record that is written a moment later than a younger one of another source still comes first."""
    a, b = FakeSource("a", at(1)), FakeSource("b", at(1, "too"))
    world.then(2.00, lambda: a.append(at(10)))
    world.then(2.05, lambda: b.append(at(9)))
    assert b"".join(followed(world, a, b)) == at(1) + at(1, "too") + at(9) + at(10)


def test_what_comes_too_late_for_its_place_comes_when_it_comes(world: World) -> None:
    """A quiet source is not waited for longer than the settling time."""
    a, b = FakeSource("a", at(1)), FakeSource("b", at(1, "too"))
    world.then(2.0, lambda: a.append(at(10)))
    world.then(4.0, lambda: b.append(at(9)))
    assert list(comings(world, followed(world, a, b)))[-2:] == [(2.0 + SETTLE_S, at(10)), (4.0 + SETTLE_S, at(9))]


def test_a_source_that_never_rests_is_not_held_back(world: World) -> None:
    """While one source is written all the time, its records come, and a seldom one's too."""
    busy, seldom = FakeSource("busy"), FakeSource("seldom", at(0, "seldom"))
    for number in range(1, 400):
        world.then(number * 0.02, lambda number=number: busy.append(at(number * 0.02)))  # type: ignore[misc]
        if number == 200:
            world.then(4.001, lambda: seldom.append(at(4.001, "seldom")))
    came = list(comings(world, followed(world, busy, seldom)))
    out = b"".join(block for _, block in came)
    assert len(out.splitlines()) == 401
    for at_s, block in came[1:]:
        written_s = float(block.split(b":")[2].split(b"Z")[0])
        assert at_s - written_s <= 2 * SETTLE_S


def test_a_source_that_pauses_is_read_on(world: World) -> None:
    """Nothing more for a moment is no end."""
    data = b"".join(map(at, range(50)))
    source = FakeSource("a", data, cuts=range(0, len(data), 37), pauses=range(0, len(data), 100))
    assert b"".join(followed(world, source)) == data


def test_a_source_that_is_ahead_waits_for_the_others(world: World) -> None:
    """While one source has older records to give, no more is read of the others, however slow the reader is."""
    older = FakeSource("older", b"".join(at(0.001 * number) for number in range(40_000)))
    younger = FakeSource("younger", b"".join(at(50 + 0.0001 * number) for number in range(40_000)))
    merged = followed(world, older, younger, ends_s=-1)
    while older.read_bytes < older.peek_size():
        assert merged.read_block(0)
        assert younger.read_bytes <= BLOCK_BYTES
        world.now_s += SETTLE_S
    assert younger.peek_size() > 3 * BLOCK_BYTES
    assert b"".join(merged).endswith(at(54))


def test_nothing_is_read_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet log costs a look at each source now and then, and no byte; more often where nothing tells of changes."""
    for kind, most in ((OnDisk, 1100), (FakeSource, 4100)):
        world, source = World(), kind("a", at(1))
        monkeypatch.setattr(follow, "time", world)
        assert b"".join(followed(world, source, ends_s=1000.0)) == at(1)
        assert source.read_bytes == len(at(1))
        assert world.waits < most


# Sources that come and go


def test_a_new_source_joins(world: World) -> None:
    """From its start, at the latest so long after it appeared as the log is listed."""
    log = FakeLog([FakeSource("a", at(1))])
    world.then(3.0, lambda: log.present.append(FakeSource("b", at(2) + at(3))))
    merged = follow_until(world, log, 10)
    came = list(comings(world, merged))
    assert b"".join(block for _, block in came) == at(1) + at(2) + at(3)
    assert came[1][0] <= 3.0 + 2 * LIST_S + SETTLE_S


def test_a_log_that_is_empty_at_first(world: World) -> None:
    """It is followed, too: its first source may come at any time, even just before the end."""
    log = FakeLog([])
    world.then(5.0, lambda: log.present.append(FakeSource("a", at(1))))
    assert b"".join(follow_until(world, log, 5)) == at(1)


def test_a_missing_source_is_read_when_it_appears(world: World) -> None:
    """Until then it is a Gap; afterwards it is none, and no byte of it is missing."""
    late = Later("b", at(2))
    merged = followed(world, FakeSource("a", at(1)), late)
    assert [(gap.source, gap.reason) for gap in merged.gaps] == [("b", GapReason.NOT_FOUND)]
    world.then(4.0, late.appear)
    assert b"".join(merged) == at(1) + at(2)
    assert merged.gaps == []


def test_a_missing_source_is_waited_for_by_nobody(world: World) -> None:
    """Others go on as if it were not in the log."""
    assert list(comings(world, followed(world, Later("a"), FakeSource("b", at(1))))) == [(SETTLE_S, at(1))]


def test_a_source_that_is_listed_no_more_is_still_followed(world: World) -> None:
    """Its name may be gone; what is written into it still comes."""
    source = FakeSource("a", at(1))
    log = FakeLog([source])
    world.then(3.0, log.present.clear)
    world.then(6.0, lambda: source.append(at(2)))
    assert b"".join(follow_until(world, log, 10)) == at(1) + at(2)


def test_a_source_that_fails_does_not_end_the_others(world: World) -> None:
    """What came before stays, half a line too; the rest is a Gap."""
    broken, other = FakeSource("a", at(1) + b"half a line", fail_at=len(at(1)) + 4), FakeSource("b", at(2))
    world.then(3.0, lambda: other.append(at(3)))
    merged = followed(world, broken, other)
    assert b"".join(merged) == at(1) + b"half\n" + at(2) + at(3)
    assert [(gap.source, gap.reason) for gap in merged.gaps] == [("a", GapReason.UNREADABLE)]


def test_what_was_cut_off_is_a_gap(world: World) -> None:
    """A truncated source is followed on, and says what happened."""
    source = FakeSource("a", at(1) + at(2))
    world.then(3.0, lambda: source.truncate(0))
    world.then(4.0, lambda: source.append(at(3)))
    merged = followed(world, source)
    assert b"".join(merged) == at(1) + at(2) + at(3)
    assert [gap.reason for gap in merged.gaps] == [GapReason.TRUNCATED]


# The end


def test_the_end_gives_what_is_left(world: World) -> None:
    """When nobody writes any more, the last line comes without its newline, and everything is released."""
    source = FakeSource("a", at(1) + at(2)[:-1])
    merged = followed(world, source, ends_s=3.0)
    assert list(comings(world, merged))[-1] == (3.0, at(2)[:-1])
    assert source.open_readers == 0
    assert world.closed == 1
    assert merged.read_block(1.0) is None
    assert list(merged) == []


def test_what_is_written_right_before_the_end_comes(world: World) -> None:
    """A program may write and end in one moment: all is read once more, new sources too, and merged in order."""
    source, log = FakeSource("a", at(1)), FakeLog([])
    log.present.append(source)

    def ended() -> bool:
        if len(log.present) == 1:
            source.append(at(2) + b"last")
            log.present.append(FakeSource("b", at(1.5) + at(3)))
        return True

    merged = iter_followed(log, TEXT, ended=ended, waiter=world, settle_s=SETTLE_S)
    assert b"".join(merged) == at(1) + at(1.5) + at(2) + b"last\n" + at(3)


def test_an_ended_log_is_read_to_its_end_at_once(world: World) -> None:
    """Following a log of a task that is over is reading it; only the settling of what may be half is waited for."""
    data = [b"".join(at(second) for second in range(number, 60, 3)) for number in range(3)]
    sources = [FakeSource(str(number), each) for number, each in enumerate(data)]
    merged = followed(world, *sources, ends_s=0.0)
    assert b"".join(merged) == b"".join(map(at, range(60)))
    assert world.now_s <= 2 * SETTLE_S


def test_a_log_without_sources_ends(world: World) -> None:
    """Nothing is there, nothing comes, and nobody writes: that is the end."""
    assert list(followed(world, ends_s=2.0)) == []
    assert world.closed == 1


# Reading with a time limit


def test_read_block_comes_back_in_time(world: World) -> None:
    """With nothing, when nothing came; at once, when something is there; with None at the end."""
    source = FakeSource("a", at(1) + at(2))
    merged = followed(world, source, ends_s=10.0)
    assert merged.read_block(0) == at(1)
    assert world.now_s == 0
    assert merged.read_block(0) == b""
    assert world.now_s == 0
    assert merged.read_block(1.0) == at(2)
    began_s = world.now_s
    assert merged.read_block(0.25) == b""
    assert world.now_s == began_s + 0.25
    world.then(10.0, lambda: None)
    while (block := merged.read_block(1.0)) is not None:
        assert block == b""
    assert world.now_s >= 10
    assert merged.read_block(1.0) is None


def test_blocks_are_no_larger_than_asked(world: World) -> None:
    """What is there at once comes in several blocks."""
    data = b"".join(map(at, range(50)))
    merged = iter_followed(FakeLog([FakeSource("a", data)]), TEXT, ended=lambda: True, waiter=world, block_bytes=100)
    blocks = list(merged)
    assert b"".join(blocks) == data
    assert max(map(len, blocks)) <= 100


# Cursors


def test_a_cursor_resumes_at_any_moment(world: World) -> None:
    """Whoever goes on at a cursor gets what follows, whether half lines, new sources or failures were under way."""

    def write() -> Sequence[tuple[float, Callable[[], object]]]:
        return [
            (1.0, lambda: a.append(at(3)[:20])),
            (1.5, lambda: b.append(at(4))),
            (2.0, lambda: a.append(at(3)[20:])),
            (2.5, lambda: b.append(b"  of 4\n")),
            (3.0, late.appear),
            (3.5, lambda: a.append(at(6) + at(7) + b"half")),
        ]

    steps = 0
    stops = True
    while stops:
        world.now_s, world.closed, world._events = 0.0, 0, []
        a, b, late = FakeSource("a", at(1) + at(2)), FakeSource("b", at(2, "b")), Later("late", at(5) + at(5, "again"))
        for at_s, do in write():
            world.then(at_s, do)
        first = followed(world, a, b, late, ends_s=5.0)
        read = b""
        for _ in range(steps):
            block = first.read_block(SETTLE_S / 2)
            stops = block is not None
            read += block or b""
        first.close()
        world.closed = 0
        second = followed(world, a, b, late, ends_s=5.0, start=first.cursor())
        read += b"".join(second)
        expected = [at(1), at(2), at(2, "b"), at(3), at(4), b"  of 4\n", at(5), at(5, "again"), at(6), at(7), b"half"]
        assert sorted(read.splitlines()) == sorted(b"".join(expected).splitlines()), f"stopped after {steps} reads"
        steps += 1
    assert steps > 20


def test_following_goes_on_where_reading_stopped(world: World) -> None:
    """A cursor of a merge is one of a followed log, and the other way round."""
    sources = [FakeSource("a", at(1) + at(3)), FakeSource("b", at(2))]
    merged = iter_merged(sources, TEXT)
    assert b"".join(merged) == at(1) + at(2) + at(3)
    sources[1].append(at(4))
    tail = followed(world, *sources, start=merged.cursor())
    assert b"".join(tail) == at(4)
    sources[0].append(at(5))
    assert b"".join(iter_merged(sources, TEXT, start=tail.cursor())) == at(5)


def test_a_cursor_after_close_is_that_of_the_last_block(world: World) -> None:
    """What was read and not given out comes again, once."""
    source = FakeSource("a", at(1) + at(2) + at(3))
    merged = followed(world, source, ends_s=-1)
    read = merged.read_block(0)
    before = merged.cursor()
    merged.close()
    world.closed = 0
    assert merged.cursor() == before
    assert read == at(1) + at(2)
    assert b"".join(followed(world, source, start=before)) == at(3)


@pytest.mark.parametrize("gone", [True, False])
def test_an_expired_cursor_leaves_nothing_open(gone: bool, world: World) -> None:
    """A source that is gone, or holds other bytes, is told at once; what was opened, and the waiter, are closed."""
    sources = [FakeSource("a", at(1)), FakeSource("b", at(2))]
    merged = iter_merged(sources, TEXT)
    assert b"".join(merged)
    if gone:
        sources.pop()
    else:
        sources[1].replace(b"other bytes\n")
    with pytest.raises(CursorExpired):
        followed(world, *sources, start=merged.cursor())
    assert [source.open_readers for source in sources] == [0] * len(sources)
    assert world.closed == 1


# Bugs, and the caller's mistakes


class Bug(Exception):
    """What a source raises that was not written as the contract asks."""


class Buggy(FakeSource):
    """A source that can be read for a while."""

    def __init__(self, name: str, data: bytes, *, reads: int) -> None:
        super().__init__(name, data)
        self.reads = reads

    def open(self, start: int | Position = 0) -> FakeReader:
        if not self.reads:
            raise Bug
        reader = super().open(start)
        read, left = reader.read_block, iter(range(self.reads - 1))

        def read_block(max_bytes: int = 1 << 18) -> bytes:
            if next(left, None) is None:
                raise Bug
            return read(max_bytes)

        reader.read_block = read_block  # type: ignore[method-assign]
        return reader


@pytest.mark.parametrize("reads", [1, 2, 5])
def test_a_bug_in_a_source_is_raised_once(reads: int, world: World) -> None:
    """Then everything is released, and that is the end."""
    source, buggy = FakeSource("a", at(1)), Buggy("b", at(2), reads=reads)
    merged = followed(world, source, buggy)
    with pytest.raises(Bug):
        list(merged)
    assert [source.open_readers, buggy.open_readers, world.closed] == [0, 0, 1]
    assert list(merged) == []
    merged.close()
    assert world.closed == 1


def test_a_bug_in_open_is_raised(world: World) -> None:
    """What was opened before it is closed, and the waiter too."""
    source = FakeSource("a", at(1))
    with pytest.raises(Bug):
        followed(world, source, Buggy("b", at(2), reads=0))
    assert [source.open_readers, world.closed] == [0, 1]


def test_a_log_that_cannot_be_listed_any_more(world: World) -> None:
    """That is raised to whoever reads, and everything is released."""

    class Growing(FakeLog):
        def sources(self) -> list[Source]:
            if super().sources() and self.listed > 1:
                raise UsageError("too many files")
            return self.present

    source = FakeSource("a", at(1))
    merged = iter_followed(Growing([source]), TEXT, waiter=world)
    with pytest.raises(UsageError):
        list(merged)
    assert [source.open_readers, world.closed] == [0, 1]


def test_how_that_cannot_be_used_is_refused(world: World) -> None:
    """Before anything is opened; the waiter is closed all the same."""
    source = FakeSource("a", at(1))
    with pytest.raises(UsageError):
        followed(world, source, how=How(zone="Mars/Olympus"))
    assert [source.opened, world.closed] == [0, 1]


# Closing


def test_closing_releases_everything(world: World) -> None:
    """Before the first block and in the middle; twice is fine, and leaving a with block does it."""
    for blocks in range(3):
        sources = [FakeSource("a", at(1) + at(2)), FakeSource("b", at(3))]
        world.closed = 0
        with followed(world, *sources) as merged:
            for _ in range(blocks):
                merged.read_block(1.0)
            assert [source.open_readers for source in sources] == [1, 1]
        merged.close()
        assert [source.open_readers for source in sources] == [0, 0]
        assert world.closed == 1
        assert merged.read_block(1.0) is None


class Bell:
    """A waiter that waits until it is woken, however long that takes."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self._rung = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        self.waiting.set()
        return self._rung.wait()

    def watch(self, paths: Iterable[str]) -> None:
        pass

    def wake(self) -> None:
        self._rung.set()

    def close(self) -> None:
        self._rung.set()


def test_closing_from_another_thread_ends_a_wait() -> None:
    """A reader that waits for what comes next is woken, and its iteration ends."""
    source, bell = FakeSource("a"), Bell()
    merged = iter_followed(FakeLog([source]), TEXT, waiter=bell, settle_s=0)
    read: list[bytes] = []
    reading = threading.Thread(target=lambda: read.extend(merged))
    reading.start()
    bell.waiting.wait()
    merged.close()
    assert source.open_readers == 0
    reading.join()
    assert read == []


def test_closing_from_another_thread_waits_for_one_read_only() -> None:
    """A stalled read ends first; no other source is read meanwhile."""
    slow, never = FakeSource("slow", at(1), stall_at=0), FakeSource("never", at(2), stall_at=0)
    merged = iter_followed(FakeLog([slow, never]), TEXT, waiter=Bell())
    reading = threading.Thread(target=lambda: list(merged))
    reading.start()
    closing = threading.Thread(target=merged.close)
    closing.start()
    while not merged._stopped:
        pass
    slow.release()
    closing.join()
    reading.join()
    assert [slow.open_readers, never.open_readers, never.read_bytes] == [0, 0, 0]


def test_without_a_waiter_sources_are_polled() -> None:
    """What is appended comes although nothing tells of it, and close wakes the poller."""
    source = FakeSource("a", at(1))
    with iter_followed(FakeLog([source]), TEXT, settle_s=0) as merged:
        assert next(merged) == at(1)
        source.append(at(2))
        assert next(merged) == at(2)
        reading = threading.Thread(target=lambda: list(merged))
        reading.start()
        merged.close()
        reading.join()
    assert source.open_readers == 0
    assert POLL_S <= LIST_S
