"""A live source read once for one request."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from logflume.errors import CursorExpired, SourceFailed
from logflume.records import Gap, GapReason
from logflume.sources import held
from logflume.sources.held import HeldSource
from logflume.sources.streamed import StreamedSource
from logflume.testing import FakeSource, check_source, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(source: HeldSource, start: int = 0) -> bytes:
    """Read to the end."""
    with source.open(start) as reader:
        return b"".join(iter(lambda: reader.read_block(1000), b""))


def test_it_is_a_source() -> None:
    """A held source keeps the whole contract."""
    content = numbered_lines(2000)
    place = FakeSource("place", content)
    assert "it opens at any offset" in check_source(lambda: HeldSource(place), content=content)


def test_what_was_looked_at_is_what_is_shown() -> None:
    """One request reads its source once: what comes later is for the next one, and the size is that of what is held."""
    place = FakeSource("place", b"one\ntwo\n", seekable=False)
    source = HeldSource(place)
    assert source.peek_size() is None
    assert read(source) == b"one\ntwo\n"
    place.append(b"three\n")
    assert read(source) == b"one\ntwo\n"
    assert (source.peek_size(), place.opened) == (8, 1)
    with source.open() as reader:
        position = reader.position(4)
    later = HeldSource(place)
    with later.open(position) as reader:
        assert (reader.start, reader.read_block()) == (4, b"two\nthree\n")
    assert later.peek_size() == 14
    with later.open(9) as reader:
        assert reader.read_block() == b"hree\n"
    assert read(later, 0) == b"one\ntwo\nthree\n"


def test_a_large_source_is_held_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What memory does not hold lies in a file without a name, which goes with it; what is beyond its bound is left."""
    monkeypatch.setattr(held, "HELD_BYTES", 100)
    content = numbered_lines(50)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    source = HeldSource(FakeSource("place", content, seekable=False, cuts=range(0, 10_000, 30)))
    assert read(source) == read(source) == content
    assert read(source, 95) == content[95:]
    assert source.peek_size() == len(content)
    assert len(os.listdir("/proc/self/fd")) == descriptors + 1  # noqa: PTH208 - as above
    del source
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 - as above
    monkeypatch.setattr(held, "HELD_DISK_BYTES", 300)
    source = HeldSource(FakeSource("place", content, seekable=False, cuts=range(0, 10_000, 30)))
    assert read(source) == content[:300]


def test_a_full_disk_leaves_the_rest_to_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost when there is no room: the source then ends where the room does."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(held, "HELD_BYTES", 100)
    monkeypatch.setattr(os, "pwrite", full)
    content = numbered_lines(50)
    source = HeldSource(FakeSource("place", content, seekable=False, cuts=range(0, 10_000, 50)))
    assert read(source) == content[:100]
    assert source.peek_size() == 100


def test_what_broke_breaks_at_its_place() -> None:
    """What came before a failure is given, then the failure; gaps come where they lie."""
    gap = Gap("place", GapReason.TRUNCATED, "cut", "wait", offset=4)
    source = HeldSource(FakeSource("place", b"one\ntwo\n", fail_at=6, gaps=[gap]))
    with source.open() as reader:
        assert reader.read_block(3) == b"one"
        assert reader.gaps == []
        assert reader.read_block(100) == b"\ntw"
        assert reader.gaps == [gap]
        with pytest.raises(SourceFailed):
            reader.read_block()


def test_a_stream_that_never_ends_is_left_to_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes on as its writer writes is read for a while; what came later, or nothing at all, comes later."""
    monkeypatch.setattr(held, "HELD_S", 0.2)
    over = threading.Event()

    def live() -> Iterator[bytes]:
        yield b"line\n" * 20_000  # more than is gathered before it is passed on
        over.wait(60)

    source = StreamedSource("executor", live)
    seen, give_up_s = b"", time.monotonic() + 60
    try:
        while not seen and time.monotonic() < give_up_s:
            with contextlib.suppress(SourceFailed):  # nothing came in time
                seen = read(HeldSource(source))
    finally:
        over.set()
    assert seen == b"line\n" * 20_000


def last_lines(lines: list[bytes], number: int) -> StreamedSource:
    """Return what gives the last lines there are, as executors do."""
    return StreamedSource("executor", lambda: iter(lines[-number:]))


@pytest.mark.parametrize("new", [0, 1, 5, 9])
@pytest.mark.parametrize("kept", [10, 1000])
def test_a_stream_of_last_lines_is_gone_on_from(new: int, kept: int) -> None:
    """Each request gives what is new since the last one, although the stream begins somewhere else each time."""
    lines = [b"line %d\n" % number for number in range(100)]
    source = HeldSource(last_lines(lines, kept))
    shown = read(source)
    with source.open() as reader:
        position = reader.position(len(shown))
    for _ in range(3):
        more = [b"new %d of %d\n" % (number, len(lines)) for number in range(new)]
        lines += more
        source = HeldSource(last_lines(lines, kept))
        with source.open(position) as reader:
            assert b"".join(iter(reader.read_block, b"")) == b"".join(more)
            position = reader.position(reader.start + len(b"".join(more)))
        assert read(source) == b"".join(lines[-kept:])


def test_a_stream_that_has_gone_on_too_far_has_expired() -> None:
    """When none of the lines before the place is there any more, that is said."""
    lines = [b"line %d\n" % number for number in range(100)]
    source = HeldSource(last_lines(lines, 10))
    with source.open() as reader:
        position = reader.position(len(reader.read_block()))
    lines += [b"new %d\n" % number for number in range(10)]
    source = HeldSource(last_lines(lines, 10))
    with pytest.raises(CursorExpired):
        source.open(position)
    assert read(source) == b"".join(lines[-10:])
