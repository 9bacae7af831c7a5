"""A live source read once for one request."""

from __future__ import annotations

import pytest

from logflume.errors import SourceFailed
from logflume.records import Gap, GapReason
from logflume.sources import held
from logflume.sources.held import HeldSource
from logflume.testing import FakeSource, check_source, numbered_lines


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


def test_a_large_source_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What exceeds the bound is read from its source, and has no size."""
    monkeypatch.setattr(held, "HELD_BYTES", 100)
    source = HeldSource(FakeSource("place", numbered_lines(50), seekable=False))
    assert read(source) == read(source) == numbered_lines(50)
    assert source.peek_size() is None
    assert not source.seekable


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
