"""Object stores, as a sink and as a source: a folder, and S3 as moto plays it."""

from __future__ import annotations

import contextlib
import json
import zlib
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from logflume.errors import CursorExpired, SinkRefused, UsageError
from logflume.ship.segments import Segments
from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen
from logflume.sources.objectstore import ObjectSource, Part, open_store
from logflume.testing import check_sink, check_source, numbered_lines
from tests.moto_server import moto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.abc import Sink

ALL_SINK_CHECKS = 6
CONTENT = numbered_lines(60_000)
PART_BYTES = 100_000
RUN = "20261121T120000Z-00000000"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Run S3 with a bucket of ours."""
    with moto() as address:
        yield address


@pytest.fixture(params=["folder", "s3"])
def base(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the address of an empty store."""
    if request.param == "folder":
        return f"file://{tmp_path}/store"
    import boto3

    address = request.getfixturevalue("s3")
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
    }.items():
        monkeypatch.setenv(name, value)
    client: Any = boto3.client("s3")
    client.create_bucket(Bucket="logs")
    client.close()
    return f"s3://logs/{tmp_path.name}"


def put(url: str, pieces: list[tuple[int, bytes]], run: str = RUN) -> None:
    """Write parts as the sink does."""
    import obstore

    store = open_store(url)
    for start, data in pieces:
        part = Part(run, start, start + len(data), len(data), zlib.crc32(data))
        obstore.put(store, part.name, data)


def read(source: ObjectSource, start: int = 0) -> tuple[bytes, list[int | None]]:
    """Return all bytes, and what is missing."""
    with source.open(start) as reader:
        return b"".join(iter(reader.read_block, b"")), [gap.lost_bytes for gap in reader.gaps]


def cuts(content: bytes, size: int = PART_BYTES) -> list[tuple[int, bytes]]:
    """Return content in pieces of a size."""
    return [(at, content[at : at + size]) for at in range(0, len(content), size)]


def test_source(base: str) -> None:
    """What lies in parts reads as one source, from any offset and position, and a missing one says so."""
    put(f"{base}/out.log", cuts(CONTENT))
    passed = check_source(
        lambda: ObjectSource(f"{base}/out.log"),
        content=CONTENT,
        make_failing=lambda: ObjectSource(f"{base}/nothing/out.log"),
    )
    assert {"it opens at any offset", "a failure says why, and what to do"} <= set(passed)


def test_a_source_grows(base: str) -> None:
    """A reader at the end gets the parts that are added; a position from before goes on there."""
    url = f"{base}/out.log"
    put(url, [(0, b"first\n")])
    with ObjectSource(url).open() as reader:
        assert reader.read_block() == b"first\n"
        assert reader.read_block() == b""
        position = reader.position(6)
        put(url, [(6, b"more\n")])
        more = b""
        while not more:
            more = reader.read_block()
        assert more == b"more\n"
    with ObjectSource(url).open(position) as reader:
        assert (reader.start, reader.read_block()) == (6, b"more\n")


def test_parts_that_were_written_twice_are_read_once(base: str) -> None:
    """After a crash a part may be there again, cut differently: each byte comes once, in order."""
    parts = [(0, CONTENT[:100]), (100, CONTENT[100:200]), (100, CONTENT[100:300]), (250, CONTENT[250:400])]
    put(f"{base}/out.log", parts)
    assert read(ObjectSource(f"{base}/out.log")) == (CONTENT[:400], [])
    assert read(ObjectSource(f"{base}/out.log"), 270) == (CONTENT[270:400], [])


def test_what_is_missing_between_parts_is_a_gap(base: str) -> None:
    """A part that is not there, or is not what was written, is told with its bytes; the rest comes."""
    import obstore

    url = f"{base}/out.log"
    put(url, [(0, b"a" * 100), (150, b"b" * 100), (250, b"c" * 100)])
    put(url, [(0, b"d" * 10)], "20261122T000000Z-00000000")
    damaged = Part(RUN, 250, 350, 100, zlib.crc32(b"c" * 100))
    obstore.put(open_store(url), damaged.name, b"x" * 100)
    assert read(ObjectSource(url)) == (b"a" * 100 + b"b" * 100 + b"d" * 10, [50, 100])


def test_a_position_whose_part_is_gone_has_expired(base: str) -> None:
    """A cursor into a part that was deleted says so."""
    import obstore

    url = f"{base}/out.log"
    put(url, [(0, b"a" * 100), (100, b"b" * 100)])
    with ObjectSource(url).open() as reader:
        reader.read_block()
        position = reader.position(50)
    obstore.delete(open_store(url), position.identity.key)
    with pytest.raises(CursorExpired):
        ObjectSource(url).open(position)


def chosen(base: str, folder: Path, **options: object) -> Sink:
    """Return the sink as a file of settings names it."""
    return Chosen("objects", {"kind": "objectstore", "url": base, **options}, "", folder).make(folder, {})


@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_sink(base: str, tmp_path: Path, compress: str) -> None:
    """It passes the checks that every sink must; what it writes is read back by the source."""
    numbers = count()
    place = [base]

    def make() -> Sink:
        place[0] = f"{base}/{next(numbers)}"
        return chosen(place[0], tmp_path, compress=compress)

    def read_back() -> bytes:
        return read(ObjectSource(f"{place[0]}/log"))[0]

    assert len(check_sink(make, read_back=read_back)) == ALL_SINK_CHECKS - 1


def test_a_capture_is_read_back_and_goes_on(base: str, tmp_path: Path) -> None:
    """What is captured is in the store, in parts; a second delivery goes on, and one begun anew doubles nothing."""
    import obstore

    folder = tmp_path / "kept"
    segments = Segments(folder, "out.log")
    segments.append(CONTENT[:700_800])
    segments.close()
    assert ship(folder, [chosen(base, folder, part_bytes=100_000)])[0].done
    segments = Segments(folder, "out.log")
    segments.append(CONTENT[700_800:])
    segments.close()
    assert ship(folder, [chosen(base, folder, part_bytes=100_000)])[0].done
    source = ObjectSource(f"{base}/out.log")
    assert read(source) == (CONTENT, [])
    pieces = source.list_pieces()
    assert len(pieces) >= 5
    manifest_path = f"{pieces[0].part.run}/manifest.json"
    manifest = json.loads(bytes(obstore.get(open_store(f"{base}/out.log"), manifest_path).bytes()))
    assert (manifest["run"], manifest["end"]) == (pieces[0].part.run, len(CONTENT))
    for path in (folder / ".logflume" / "cursors").glob("*.cursor"):
        path.unlink()
    assert ship(folder, [chosen(base, folder, part_bytes=300_000)])[0].done
    assert read(source) == (CONTENT, [])


def test_a_folder_that_nobody_captures_into_goes_on_too(base: str, tmp_path: Path) -> None:
    """Where nobody counts a stream's bytes, parts go on behind those that are there."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "app.log").write_bytes(CONTENT[:50_400])
    ship(folder, [chosen(base, folder)], state=tmp_path / "state")
    with (folder / "app.log").open("ab") as file:
        file.write(CONTENT[50_400:])
    ship(folder, [chosen(base, folder)], state=tmp_path / "state")
    assert read(ObjectSource(f"{base}/app.log")) == (CONTENT, [])


@pytest.mark.parametrize(
    ("url", "said"), [("ftp://x/y", "ftp:// is no object store"), ("s3:/x", "expected an address such as")]
)
def test_what_is_no_store_is_refused(tmp_path: Path, url: str, said: str) -> None:
    """A wrong address is told before anything is opened."""
    with pytest.raises(UsageError, match=said):
        chosen(url, tmp_path)


def test_a_store_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    """Nobody who listens is a refusal like any other."""
    table = {"endpoint": "http://127.0.0.1:1", "allow_http": "true", "access_key_id": "x", "secret_access_key": "y"}
    with contextlib.closing(chosen("s3://logs/x", tmp_path, options=table)) as sink, pytest.raises(SinkRefused):
        sink.write(b"x\n")
