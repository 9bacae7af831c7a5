"""Lines and what is said about them, apart: bytes cut anywhere come out as the frames that went in."""

from __future__ import annotations

import itertools
import struct
from random import Random

import pytest

from logflume import frames


def decoded(data: bytes, cuts: list[int]) -> list[tuple[bytes, bytes]]:
    """Feed data in parts."""
    decoder = frames.Decoder()
    edges = [0, *sorted(cuts), len(data)]
    return [frame for start, end in itertools.pairwise(edges) for frame in decoder.feed(data[start:end])]


@pytest.mark.parametrize("seed", range(20))
def test_frames_come_out_whole_wherever_they_are_cut(seed: int) -> None:
    """Every frame comes once, as it was, in order."""
    luck = Random(seed)
    sent = [(frames.LINES, luck.randbytes(luck.choice((0, 1, 5, 3000)))) for _ in range(20)]
    data = b"".join(frames.lines_told(lines) for _, lines in sent)
    cuts = [luck.randrange(len(data)) for _ in range(luck.randrange(60))]
    assert decoded(data, cuts) == sent


def test_what_is_told_is_an_object() -> None:
    """JSON goes in and comes out."""
    [(kind, payload)] = decoded(frames.told(frames.CURSOR, {"cursor": "1.a.b"}), [])
    assert (kind, frames.value_of(payload)) == (frames.CURSOR, {"cursor": "1.a.b"})


def test_a_block_larger_than_a_frame_takes_several() -> None:
    """Whatever is sent can be read."""
    block = b"x" * (frames.MAX_FRAME_BYTES + 5)
    sizes = [len(payload) for _, payload in decoded(frames.lines_told(block), [])]
    assert sizes == [frames.MAX_FRAME_BYTES, 5]


@pytest.mark.parametrize(
    "data", [b"<html><body>", b"HTTP/1.1 200 OK", struct.pack(">cI", b"L", frames.MAX_FRAME_BYTES + 1), b"\x00" * 5]
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """Before anything of it is kept."""
    with pytest.raises(frames.NoFrames):
        decoded(data, [])


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_told_must_be_an_object(payload: bytes) -> None:
    """Anything else is refused, and nothing else is raised."""
    with pytest.raises(frames.NoFrames):
        frames.value_of(payload)
