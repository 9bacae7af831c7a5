"""Streaming gunzip and zstd: pieces, many members, faults, bombs; bytes in, bytes out."""

from __future__ import annotations

import gzip
import io
import random
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from logflume.abc import BLOCK_BYTES
from logflume.records import GapReason
from logflume.sources.compressed import MAX_WINDOW_BYTES, RAW_BYTES, Damage, Decoder, Format, detect
from logflume.testing import numbered_lines

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = numbered_lines(50_000)  # 1.2 MB: several pieces
NOISE = random.Random(1).randbytes(700_000)  # does not shrink: many pieces of input


def zstd(data: bytes, **options: int | bool) -> bytes:
    """Compress with a checksum at the end."""
    parameters = zstandard.ZstdCompressionParameters(**{"write_checksum": True, **options})
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def zstd_stream(data: bytes, window_log: int) -> bytes:
    """Compress as a pipe does: the size is not known before, and the window is as wide as was asked for."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    squeeze = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return squeeze.compress(data) + squeeze.flush()


PACKERS: dict[Format, Callable[[bytes], bytes]] = {Format.GZIP: gzip.compress, Format.ZSTD: zstd}
both = pytest.mark.parametrize("kind", list(Format))


def decoder(kind: Format, packed: bytes, *, piece_bytes: int = RAW_BYTES, **limits: int) -> Decoder:
    """Make a decoder over bytes that come in pieces of at most ``piece_bytes``."""
    raw = io.BytesIO(packed)
    return Decoder(kind, lambda size: raw.read(min(size, piece_bytes)), **limits)


def drain(decoder: Decoder, max_bytes: int = BLOCK_BYTES) -> bytes:
    """Read all, in blocks that are no larger than asked for."""
    blocks = list(iter(lambda: decoder.read(max_bytes), b""))
    assert max(map(len, blocks), default=0) <= max_bytes
    return b"".join(blocks)


def unpack(kind: Format, packed: bytes, **limits: int) -> tuple[bytes, Damage | None]:
    """Decode all there is, and say what was wrong."""
    stream = decoder(kind, packed, **limits)
    data = drain(stream)
    assert stream.read(1) == b""
    return data, stream.damage


# whole streams


@both
@pytest.mark.parametrize(
    "data", [b"", b"x", LINES, NOISE, bytes(5_000_000)], ids=["empty", "one", "lines", "noise", "zeros"]
)
def test_all_comes_back(kind: Format, data: bytes) -> None:
    """What was compressed comes out, unaltered and without damage."""
    assert unpack(kind, PACKERS[kind](data)) == (data, None)


@both
@pytest.mark.parametrize("max_bytes", [1, 7, 4096, BLOCK_BYTES, 10 * BLOCK_BYTES])
def test_blocks_are_no_larger_than_asked_for(kind: Format, max_bytes: int) -> None:
    """Any block size gives the same bytes."""
    data = LINES[: 5000 * max_bytes]
    assert drain(decoder(kind, PACKERS[kind](data)), max_bytes) == data


@both
@pytest.mark.parametrize("piece_bytes", [1, 2, 5, 1000])
def test_input_in_small_pieces(kind: Format, piece_bytes: int) -> None:
    """However the input is cut, the output is the same."""
    data = LINES[:30_000] + NOISE[:10_000]
    stream = decoder(kind, PACKERS[kind](data), piece_bytes=piece_bytes)
    assert drain(stream) == data
    assert stream.damage is None


@both
def test_many_members(kind: Format) -> None:
    """Compressed files that were joined are read through, empty members too."""
    parts = [b"one\n", b"", LINES, b"", b"two\n", NOISE]
    assert unpack(kind, b"".join(map(PACKERS[kind], parts))) == (b"".join(parts), None)


def test_zeros_behind_gzip_are_padding() -> None:
    """Blocks of tapes are filled up with zeros, between members too."""
    packed = gzip.compress(b"one\n") + bytes(512) + gzip.compress(b"two\n") + bytes(100_000)
    assert unpack(Format.GZIP, packed) == (b"one\ntwo\n", None)


def test_skippable_frames_are_skipped() -> None:
    """Frames for others' use, before, between and behind data, give nothing."""
    skippable = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 200_000) + bytes(200_000)
    packed = skippable + zstd(b"one\n") + skippable + zstd(b"two\n") + skippable
    assert unpack(Format.ZSTD, packed) == (b"one\ntwo\n", None)


def test_zstd_without_size_and_checksum() -> None:
    """A streaming compressor knows no size; with long distances the window is as large as is allowed."""
    assert unpack(Format.ZSTD, zstd(LINES, write_checksum=False, write_content_size=False)) == (LINES, None)
    assert unpack(Format.ZSTD, zstd_stream(LINES, 27)) == (LINES, None)


def test_gzip_with_name_and_comment() -> None:
    """The optional fields of the header are no data."""
    out = io.BytesIO()
    with gzip.GzipFile("some-name.log", "wb", fileobj=out) as file:
        file.write(LINES)
    assert unpack(Format.GZIP, out.getvalue()) == (LINES, None)


# damage


@both
def test_cut_anywhere(kind: Format) -> None:
    """A file cut short at any byte gives a beginning of the data and says where it ended; at a border it is whole."""
    data = LINES[:300]
    packed = PACKERS[kind](data)
    for end in range(1, len(packed)):
        shown, damage = unpack(kind, packed[:end])
        assert data.startswith(shown)
        assert damage is not None
        assert (damage.reason, damage.offset) == (GapReason.CORRUPT, end) or end < 20


@both
def test_cut_large_file_gives_most_of_it(kind: Format) -> None:
    """Of a file that was cut in the middle, about half comes."""
    packed = PACKERS[kind](NOISE)
    shown, damage = unpack(kind, packed[: len(packed) // 2])
    assert NOISE.startswith(shown)
    assert len(shown) > len(NOISE) // 2 - 140_000  # a zstd block is given whole or not at all
    assert damage is not None
    assert damage.offset == len(packed) // 2


def test_gzip_gives_every_byte_before_a_fault() -> None:
    """The step that fails is gone through once more: what was intact in it comes."""
    packed = bytearray(gzip.compress(LINES))
    packed[-20:-8] = b"\xff" * 12
    shown, damage = unpack(Format.GZIP, bytes(packed))
    assert LINES.startswith(shown[:-100])
    assert len(shown) > len(LINES) - 2000
    assert damage is not None
    assert abs(damage.offset - len(packed)) < 30


@both
def test_wrong_checksum(kind: Format) -> None:
    """All bytes come, and that they are not what was compressed is told."""
    packed = bytearray(PACKERS[kind](LINES))
    packed[-6 if kind is Format.GZIP else -1] ^= 1
    shown, damage = unpack(kind, bytes(packed))
    assert LINES.startswith(shown)
    assert len(shown) >= len(LINES) - 131_072
    assert damage is not None
    assert damage.reason is GapReason.CORRUPT


@both
@pytest.mark.parametrize("garbage", [b"x", b"trailing garbage, no magic\n" * 1000])
def test_bytes_behind_the_end(kind: Format, garbage: bytes) -> None:
    """What follows and is not compressed is told, at its offset."""
    packed = PACKERS[kind](LINES)
    shown, damage = unpack(kind, packed + garbage)
    assert shown == LINES
    assert damage is not None
    assert (damage.reason, damage.offset) == (GapReason.CORRUPT, len(packed))


@both
def test_random_faults_never_raise(kind: Format) -> None:
    """Whatever byte is flipped, it decodes, stops with damage, or (where no checksum covers it) gives other bytes."""
    chance = random.Random(7)
    data = LINES[:20_000]
    packed = PACKERS[kind](data)
    for _ in range(300):
        broken = bytearray(packed)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        shown, damage = unpack(kind, bytes(broken))
        assert shown == data or damage is not None or kind is Format.ZSTD
        assert len(shown) <= 10 * len(data)


@pytest.mark.parametrize(
    "packed",
    [
        b"\x28\xb5\x2f\xfd",  # nothing behind the magic
        b"\x28\xb5\x2f\xfd\x20\x00\x07\x00\x00",  # a block of the reserved kind
        b"\x28\xb5\x2f\xfd\x00\x58\xfd\xff\xff",  # a block larger than blocks are
        b"\x50\x2a\x4d\x18\xff\xff\xff\xff",  # a skippable frame of 4 GB that is not there
        b"\x50\x2a\x4d\x18\x00",  # half its header
    ],
)
def test_made_up_zstd(packed: bytes) -> None:
    """Frames that no compressor makes are damage."""
    shown, damage = unpack(Format.ZSTD, packed)
    assert shown == b""
    assert damage is not None
    assert damage.reason is GapReason.CORRUPT


def test_frame_that_needs_a_dictionary() -> None:
    """What cannot be decoded without a dictionary is damage."""
    words = zstandard.ZstdCompressionDict(LINES[:5000], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    trained = zstandard.train_dictionary(2000, [b"line %d of many\n" % number * 20 for number in range(500)])
    assert words.dict_id() == 0
    packed = zstandard.ZstdCompressor(dict_data=trained).compress(LINES)
    shown, damage = unpack(Format.ZSTD, packed)
    assert (shown, damage and damage.reason) == (b"", GapReason.CORRUPT)


# bounds


@both
def test_bomb_ends_at_the_limit(kind: Format) -> None:
    """No more comes than may be decoded, exactly as much does, and then it is told."""
    packed = PACKERS[kind](bytes(30_000_000))
    shown, damage = unpack(kind, packed, max_decoded_bytes=1_000_001)
    assert shown == bytes(1_000_001)
    assert damage is not None
    assert damage.reason is GapReason.TOO_LARGE
    assert unpack(kind, packed, max_decoded_bytes=30_000_000) == (bytes(30_000_000), None)


def test_window_that_is_too_large() -> None:
    """A frame that wants more memory than is allowed is not decoded; what lay before it comes."""
    wide = zstd_stream(NOISE, 28)
    assert zstandard.get_frame_parameters(wide).window_size > MAX_WINDOW_BYTES
    shown, damage = unpack(Format.ZSTD, zstd(b"before\n") + wide)
    assert shown == b"before\n"
    assert damage is not None
    assert damage.reason is GapReason.TOO_LARGE
    assert damage.offset == len(zstd(b"before\n"))


MEASURE = """
import io, resource, sys, gzip, zlib, zstandard
from logflume.sources.compressed import Decoder, Format
kind, packed = Format(sys.argv[1]), sys.stdin.buffer.read()
raw = io.BytesIO(packed)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream, total = Decoder(kind, raw.read), 0
while block := stream.read(1 << 18):
    total += len(block)
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@both
def test_bomb_takes_little_memory(kind: Format) -> None:
    """A hundred thousand times its size comes out of a bomb, and memory stays at a few blocks."""
    one = bytes(50_000_000)
    if kind is Format.GZIP:
        squeeze = zlib.compressobj(9, wbits=31)
        packed = squeeze.compress(one) + squeeze.flush()
    else:
        packed = zstd(one)
    run = subprocess.run([sys.executable, "-c", MEASURE, kind.value], input=packed * 8, capture_output=True, check=True)
    total, grown_kib = map(int, run.stdout.split())
    assert total == 400_000_000
    assert grown_kib < 24 * 1024


def test_many_tiny_members_are_read_through() -> None:
    """Tens of thousands of empty members end, and give what is behind them."""
    assert unpack(Format.GZIP, gzip.compress(b"") * 20_000 + gzip.compress(b"x")) == (b"x", None)
    assert unpack(Format.ZSTD, zstd(b"") * 20_000 + zstd(b"x")) == (b"x", None)


# recognising


@pytest.mark.parametrize(
    ("name", "first", "expected"),
    [
        ("x.log.gz", b"\x1f\x8b\x08\x00", Format.GZIP),
        ("x.log.1.gz", b"\x1f\x8b", Format.GZIP),
        ("x.log.zst", b"\x28\xb5\x2f\xfd", Format.ZSTD),
        ("x.log.zst", b"\x50\x2a\x4d\x18", Format.ZSTD),
        ("x.log.zst", b"\x28\xb5\x2f", None),
        ("x.log.gz", b"text", None),
        ("x.log.gz", b"", None),
        ("x.log.zst", b"", None),
        ("x.log.zst", b"\x1f\x8b\x08\x00", None),
        ("x.log", b"\x1f\x8b\x08\x00", None),
        ("x.log", b"\x28\xb5\x2f\xfd", None),
    ],
)
def test_name_and_first_bytes_decide(name: str, first: bytes, expected: Format | None) -> None:
    """Only what both the name and the first bytes call compressed is decoded."""
    assert detect(name, first) is expected
