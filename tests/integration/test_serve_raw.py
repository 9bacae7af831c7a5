"""Downloads: byte for byte, in parts, packed; and never a clean end of what is not whole."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import socket
import time
from typing import TYPE_CHECKING

import httpx
import pytest
import zstandard

from logflume.ship.segments import MIN_BUDGET_BYTES, Rules, Segments, Writer
from tests.drive import merge_whole
from tests.served import DEADLINE_S, Server, eventually, line, made, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = "logs/long.log/raw"
MERGED = "logs/dag/attempt=1.log/raw"
BIG_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve logs that nobody changes."""
    folder = tmp_path_factory.mktemp("served")
    root = made(folder / "logs")
    (root / "old.log").write_bytes(b"newest\r\n\xff\0 no newline")
    (root / "old.log.1").write_bytes(b"older\n")
    with gzip.open(root / "old.log.2.gz", "wb") as file:
        file.write(b"oldest\n")
    with serving(root, folder / "cache") as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """Serve logs of one's own, one of them large."""
    root = made(tmp_path / "logs")
    (root / "big.log").write_bytes(b"2024-11-20T12:00:00Z x\n" * (BIG_BYTES // 23))
    with serving(root, tmp_path / "cache") as running:
        yield running


def test_a_source_comes_byte_for_byte(server: Server) -> None:
    """One that the log has alone, with its size; one by name; one of rotated and compressed files."""
    long = (server.folder / "long.log").read_bytes()
    answer = server.get(LONG)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, long, str(len(long)))
    assert answer.headers["accept-ranges"] == "bytes"
    name = "attempt=1.log.trigger.7.log"
    named = server.get("logs/dag/attempt=1.log/raw", {"source": name})
    assert named.content == (server.folder / "dag" / name).read_bytes()
    old = server.get("logs/old.log/raw")
    assert old.content == b"oldest\nolder\nnewest\r\n\xff\0 no newline"
    assert "accept-ranges" not in old.headers


def test_several_sources_come_merged(server: Server) -> None:
    """As text, in the order of their times."""
    folder = server.folder / "dag"
    whole = merge_whole([path.read_bytes() for path in sorted(folder.iterdir())])
    assert server.get("logs/dag/attempt=1.log/raw").content == whole


def test_what_filters_leave_comes_as_text(server: Server) -> None:
    """Level, text and time choose records, as everywhere."""
    answer = server.get("logs/dag/attempt=1.log/raw", {"level": "error"})
    assert [json.loads(each)["event"] for each in answer.text.splitlines()] == ["trigger 31"]
    answer = server.get(LONG, {"since": "2024-11-20T12:49:58Z", "q": "row"})
    assert [json.loads(each)["event"] for each in answer.text.splitlines()] == ["row 2998", "row 2999"]


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=5-999999999", 206, slice(5, None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=9-2", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=999999999-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_parts(server: Server, asked: str, status: int, part: slice | None) -> None:
    """One part is given; of several, or of what is no range, the whole; 416 says how much there is."""
    whole = (server.folder / "long.log").read_bytes()
    answer = server.get(LONG, headers={"Range": asked})
    assert answer.status_code == status
    if part is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        assert answer.json()["type"] == "urn:logflume:problem:no-such-part"
        return
    assert answer.content == whole[part]
    assert int(answer.headers["content-length"]) == len(whole[part])
    if status == 206:
        first = range(len(whole))[part][0]
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(whole[part]) - 1}/{len(whole)}"


@pytest.fixture(scope="module")
def seamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a log of three sources: two hold the same records, and the last line of the third has no end."""
    folder = tmp_path_factory.mktemp("seamed")
    root = folder / "logs" / "dag"
    root.mkdir(parents=True)
    (root / "attempt=1.log").write_text("".join(line(n, f"worker {n}") for n in range(3000)))
    (root / "attempt=1.log.trigger.7.log").write_text("".join(line(n, f"worker {n}") for n in range(0, 3600, 7)))
    (root / "attempt=1.log.trigger.8.log").write_text("".join(line(n, "x" * 99) for n in range(1500))[:-1])
    with serving(folder / "logs", folder / "cache") as running:
        wait_indexed(running)
        yield running


def wait_indexed(server: Server) -> None:
    """Wait until parts of the merged text can be had."""
    eventually(lambda: "accept-ranges" in server.client.head(MERGED).headers)


def merged_of(server: Server) -> bytes:
    """Return the merged text, made by the core alone."""
    return merge_whole([path.read_bytes() for path in sorted((server.folder / "dag").iterdir())])


def test_the_merged_text_has_a_size(seamed: Server) -> None:
    """Once it is indexed; with the newline after the line that has none, without the records that came twice."""
    whole = merged_of(seamed)
    held = sum(path.stat().st_size for path in (seamed.folder / "dag").iterdir())
    assert len(whole) < held
    answer = seamed.get(MERGED)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, whole, str(len(whole)))
    assert seamed.client.head(MERGED).headers["content-length"] == str(len(whole))


@pytest.mark.parametrize("end", ["", "0", "9", "65536"])
def test_parts_of_the_merged_text(seamed: Server, end: str) -> None:
    """Each is the same stretch of the whole, wherever it begins."""
    whole = merged_of(seamed)
    seam = whole.index(line(1499, "x" * 99).encode()) + len(line(1499, "x" * 99))
    for first in [0, 1, seam - 2, seam - 1, seam, seam + 1, len(whole) // 3, len(whole) - 10, len(whole) - 1]:
        last = min(first + int(end), len(whole) - 1) if end else len(whole) - 1
        answer = seamed.get(MERGED, headers={"Range": f"bytes={first}-{last if end else ''}"})
        assert (answer.status_code, answer.content) == (206, whole[first : last + 1])
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
        assert answer.headers["content-length"] == str(last + 1 - first)


def test_what_is_no_part_of_the_merged_text(seamed: Server) -> None:
    """The last bytes are one; what is past the end is none; of what is chosen or packed there are no parts."""
    whole = merged_of(seamed)
    assert seamed.get(MERGED, headers={"Range": "bytes=-77"}).content == whole[-77:]
    past = seamed.get(MERGED, headers={"Range": f"bytes={len(whole)}-"})
    assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    stale = seamed.get(MERGED, headers={"Range": "bytes=5-9", "If-Range": '"another"'})
    assert (stale.status_code, stale.content) == (200, whole)
    for more in ({"level": "info"}, {"pack": "gzip"}):
        answer = seamed.get(MERGED, more, {"Range": "bytes=5-9"})
        assert (answer.status_code, "accept-ranges" in answer.headers) == (200, False)


def test_parts_of_a_merged_text_that_grows(own: Server) -> None:
    """By If-Range no part of another text comes; what grows after a last line without an end is counted right."""
    wait_indexed(own)
    etag = own.client.head(MERGED).headers["etag"]
    files = sorted((own.folder / "dag").iterdir())
    for step in range(4):
        with files[step % 2].open("a") as file:
            file.write(line(100 + step, f"grown {step}").rstrip("\n" if step < 2 else ""))
        whole = merged_of(own)
        part = {"Range": "bytes=9-", "If-Range": etag}
        stale = own.get(MERGED, headers=part)
        assert (stale.status_code, stale.content) == (200, whole)
        wait_indexed(own)
        etag = own.client.head(MERGED).headers["etag"]
        for first in (1, len(whole) - 90, len(whole) - 1):
            answer = own.get(MERGED, headers={"Range": f"bytes={first}-", "If-Range": etag})
            assert (answer.status_code, answer.content) == (206, whole[first:])


def test_validators(own: Server) -> None:
    """The tag stays while the bytes do: 304, and a part by If-Range; grown or replaced, it is another."""
    etag = own.get(LONG, headers={"Range": "bytes=0-0"}).headers["etag"]
    assert own.get(LONG, headers={"If-None-Match": f'"other", {etag}'}).status_code == 304
    assert own.get(LONG, headers={"Range": "bytes=0-0", "If-Range": etag}).status_code == 206
    with (own.folder / "long.log").open("a") as file:
        file.write(line(1))
    assert own.get(LONG, headers={"Range": "bytes=0-0", "If-Range": etag}).status_code == 200
    grown = own.get(LONG, headers={"If-None-Match": etag})
    assert (grown.status_code, len(grown.content)) == (200, (own.folder / "long.log").stat().st_size)
    whole = own.get("logs/dag/attempt=1.log/raw").headers["etag"]
    assert own.get("logs/dag/attempt=1.log/raw", {"level": "error"}).headers["etag"] != whole
    assert own.get("logs/dag/attempt=1.log/raw", {"pack": "gzip"}).headers["etag"] != whole


def test_head_tells_the_size(server: Server) -> None:
    """Without a byte of the body."""
    answer = server.client.head(LONG)
    size = (server.folder / "long.log").stat().st_size
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(size), b"")
    assert server.client.head(LONG, headers={"Range": "bytes=5-"}).headers["content-length"] == str(size - 5)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_packed(server: Server, kind: str) -> None:
    """A file of that kind, not an encoding: nobody unpacks it on the way."""
    answer = server.get(LONG, {"pack": kind}, {"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == f"application/{kind}"
    ending = {"gzip": ".gz", "zstd": ".zst"}[kind]
    assert f'filename="long.log{ending}"' in answer.headers["content-disposition"]
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }
    assert unpack[kind](answer.content) == (server.folder / "long.log").read_bytes()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a b.log", "a b.log"),
        ('quo"te\r\nX: y.log', None),
        ("ünï.log", "_n_.log"),
        ("semi;colon.log", "semi_colon.log"),
    ],
)
def test_the_suggested_name_is_safe(tmp_path: Path, name: str, plain: str | None) -> None:
    """Whatever a log is called, the header holds one file name and nothing else."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / name).write_text(line(1))
    with serving(tmp_path / "logs", tmp_path / "cache") as server:
        (log,) = server.get("logs").json()["logs"]
        answer = httpx.get(
            f"{server.url}/api/v1/logs/{httpx.URL('/' + log['id'].replace('%', '%25')).raw_path.decode()[1:]}/raw"
        )
    assert answer.status_code == 200
    said = answer.headers["content-disposition"]
    found = re.fullmatch(
        r"""attachment; filename="([A-Za-z0-9._=+,@ -]+)"(; filename\*=UTF-8''[A-Za-z0-9%._~-]+)?""", said
    )
    assert found, said
    assert plain is None or found[1] == plain


@contextlib.contextmanager
def begun(server: Server, path: str) -> Iterator[http.client.HTTPResponse]:
    """Ask, read a little, and let the rest wait in the server."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.request("GET", f"/api/v1/{path}")
        with connection.getresponse() as answer:
            assert answer.read(100)
            yield answer


def read_rest(answer: http.client.HTTPResponse) -> tuple[int, bool]:
    """Return how much came, and whether it ended as it should."""
    size = 100
    try:
        while block := answer.read(1024 * 1024):
            size += len(block)
    except (http.client.IncompleteRead, ConnectionError) as error:
        return size + len(getattr(error, "partial", b"")), False
    return size, answer.length in (0, None)


@pytest.mark.parametrize("query", ["", "?q=x", "?pack=gzip"])
def test_a_source_that_is_cut_cuts_the_connection(own: Server, query: str) -> None:
    """Truncated while it is sent: no clean end, in any form."""
    with begun(own, f"logs/big.log/raw{query}") as answer:
        (own.folder / "big.log").write_bytes(b"2024-11-20T12:00:00Z other\n" * 5)
        size, whole = read_rest(answer)
    assert not whole
    assert size < BIG_BYTES


def test_what_a_capture_has_left_comes_whole(own: Server) -> None:
    """Of a file in which a capture gave bytes up, all that is left is sent, whole or in parts; rows find it, too."""
    segments = Segments(own.folder / "job", "out.log", Rules(MIN_BUDGET_BYTES), writer=Writer.CHILD)
    for start in range(0, 10_000, 1000):
        os.write(segments.descriptor, b"".join(b"line %06d\n" % number for number in range(start, start + 1000)))
        segments.tick()
    segments.close()
    answer = own.get("logs/job/out.log/raw")
    left = answer.content
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(left)))
    assert left.startswith(b"line 000000\n")
    assert left.endswith(b"line 009999\n")
    assert len(left) <= MIN_BUDGET_BYTES
    part = own.get("logs/job/out.log/raw", headers={"Range": "bytes=4000-5000"})
    assert (part.status_code, part.content) == (206, left[4000:5001])
    eventually(lambda: own.get("logs/job/out.log").json()["lines"] == {"count": left.count(b"\n"), "exact": True})
    rows = own.get("logs/job/out.log/rows", {"from": left.count(b"\n") - 1, "n": 1}).json()["rows"]
    assert [row["event"] for row in rows] == ["line 009999"]


def test_a_source_that_is_rotated_comes_whole(own: Server) -> None:
    """Renamed while it is sent, it is read to where it ended when it was asked for, and not beyond."""
    size = (own.folder / "big.log").stat().st_size
    with begun(own, "logs/big.log/raw") as answer:
        (own.folder / "big.log").rename(own.folder / "big.log.1")
        (own.folder / "big.log").write_text(line(3, "new"))
        assert read_rest(answer) == (size, True)


def test_a_log_that_grows_comes_as_it_was(own: Server) -> None:
    """What is written meanwhile is not in it."""
    size = (own.folder / "big.log").stat().st_size
    with begun(own, "logs/big.log/raw?q=x") as answer:
        with (own.folder / "big.log").open("a") as file:
            file.write(line(3, "x"))
        assert read_rest(answer) == (size, True)


def test_who_leaves_a_download_leaves_nothing(own: Server) -> None:
    """Its descriptor is closed."""
    httpx.get(f"{own.url}/api/v1/{LONG}")
    before = own.descriptors()
    with begun(own, "logs/big.log/raw"):
        pass
    deadline = time.monotonic() + DEADLINE_S
    while own.descriptors() > before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
