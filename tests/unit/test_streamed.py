"""Somebody else's stream as a source: the contract, what it raises, and that it is let go."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from logflume import iter_merged
from logflume.errors import CursorExpired, UsageError
from logflume.records import GapReason
from logflume.sources import streamed
from logflume.sources.streamed import StreamedSource, iter_texts, line_of
from logflume.testing import check_source, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


def lines_of(data: bytes) -> Iterator[bytes]:
    """Yield line by line."""
    yield from data.splitlines(keepends=True)


def broken() -> Iterator[bytes]:
    """Yield two lines, then break."""
    yield b"one\n"
    yield b"two\n"
    raise OSError("the store is away\nwith more lines")


def test_a_stream_is_a_source() -> None:
    """A stream keeps the whole contract; one that gives other bytes the next time is noticed."""
    content = numbered_lines(60_000)
    place = [content]

    def make_source() -> StreamedSource:
        place[0] = content
        return StreamedSource("stream", lambda: lines_of(place[0]))

    proven = check_source(make_source, content=content, make_failing=lambda: StreamedSource("stream", broken))
    assert "a failure says why, and what to do" in proven
    with make_source().open() as reader:
        while reader.read_block():
            pass
        position = reader.position(len(content) // 2)
    source = make_source()
    place[0] = b"another first line\n" + content
    with pytest.raises(CursorExpired, match="other bytes"):
        source.open(position)


def test_what_it_gave_before_it_broke_is_shown() -> None:
    """A stream that raises becomes a Gap with its reason, in one line; what came before is merged."""
    with iter_merged([StreamedSource("store", broken), StreamedSource("other", lambda: [b"three\n"])]) as merged:
        text = b"".join(merged)
        (gap,) = merged.gaps
    assert all(word in text for word in (b"one", b"two", b"three"))
    assert (gap.source, gap.reason) == ("store", GapReason.UNREADABLE)
    assert gap.detail == "It broke off: OSError: the store is away."


def test_a_slow_reader_does_not_hold_the_stream() -> None:
    """The stream is read to its end while nobody takes anything beyond the first byte; then it is closed."""
    ended = threading.Event()

    def stream() -> Iterator[bytes]:
        try:
            for number in range(3000):
                yield b"%d %s\n" % (number, b"x" * 1000)
        finally:
            ended.set()

    with StreamedSource("stream", stream, memory_bytes=256 * 1024).open() as reader:
        first = reader.read_block(1)
        assert ended.wait(PATIENCE_S)
        rest = b"".join(iter(reader.read_block, b""))
    assert (first + rest).count(b"\n") == 3000


def test_closing_ends_a_stream_in_its_middle() -> None:
    """Who goes away lets the stream go: its generator is closed, and its thread ends."""
    closed = threading.Event()

    def stream() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000 + b"\n"
        finally:
            closed.set()

    with StreamedSource("endless", stream, memory_bytes=100_000, disk_bytes=0).open() as reader:
        assert reader.read_block(7)
    assert closed.wait(PATIENCE_S)


def test_a_read_is_ended_by_closing() -> None:
    """A read that waits for a silent stream ends when another thread closes the reader."""
    go_on = threading.Event()

    def stream() -> Iterator[bytes]:
        go_on.wait(PATIENCE_S)
        yield b"late\n"

    reader = StreamedSource("silent", stream).open()
    threading.Timer(0.05, reader.interrupt).start()
    with pytest.raises(UsageError, match="closed"):
        reader.read_block()
    go_on.set()
    reader.close()


def test_nothing_is_begun_before_it_is_read() -> None:
    """Opening and closing asks nobody."""
    asked: list[int] = []

    def stream() -> Iterator[bytes]:
        asked.append(1)
        yield b"line\n"

    StreamedSource("stream", stream).open().close()
    assert asked == []


def test_anchors_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a stream is, few places of it are proved, and positions still open where they should."""
    monkeypatch.setattr(streamed, "MAX_ANCHORS", 8)
    content = numbered_lines(2000)
    source = StreamedSource("stream", lambda: lines_of(content))
    with source.open() as reader:
        while reader.read_block(100):
            pass
        assert len(reader._anchors) <= 8
        position = reader.position(len(content) - 50)
    with source.open(position) as again:
        assert b"".join(iter(again.read_block, b"")) == content[-50:]


class Message:
    """What Airflow streams hold."""

    def model_dump_json(self) -> str:
        return '{"event":"text"}'


@pytest.mark.parametrize(
    ("piece", "line"),
    [
        ("text", b"text\n"),
        ("text\n", b"text\n"),
        (b"bytes", b"bytes\n"),
        (Message(), b'{"event":"text"}\n'),
        ("\ud800", b"?\n"),
        ("", b"\n"),
        (7, b"7\n"),
    ],
)
def test_pieces_become_lines(piece: object, line: bytes) -> None:
    """Text, bytes and messages become lines that end once."""
    assert line_of(piece) == line


def test_whole_texts_come_in_pieces() -> None:
    """A text of any length is passed on in pieces, and only what lacks its newline gets one."""
    texts = ["é" * 100_000, "", "two\n"]
    pieces = list(iter_texts(texts))
    assert max(map(len, pieces)) <= 2 * streamed.PIECE_BYTES
    assert b"".join(pieces) == ("é" * 100_000 + "\ntwo\n").encode()
