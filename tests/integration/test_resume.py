"""Going on where another process stopped: real files, tokens, growth and rotation in between; no byte twice."""

from __future__ import annotations

import gzip
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import pytest

from logflume.cursor import Cursor
from logflume.errors import CursorExpired
from logflume.merge import How, Merged, iter_merged
from logflume.records import Output
from logflume.sources.local import LocalSource
from logflume.testing import FakeSource
from tests.random_logs import Odd, RandomLog, random_log, whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from logflume.abc import Source

KEY = b"of this server"
# Larger than all records of one second together: sources are compared within it, and it is given out whole.
BLOCK_BYTES = 4_000
ENDED = Odd(unfinished=0)


def stop_after(sources: Sequence[Source], how: How, blocks: int, start: str | None = None) -> tuple[bytes, str]:
    """Read some blocks in one process; return them and the token with which it leaves."""
    cursor = None if start is None else Cursor.from_token(start, key=KEY, log_id="log")
    with iter_merged(sources, how, start=cursor, block_bytes=BLOCK_BYTES) as merged:
        read = b"".join(islice(merged, blocks))
        return read, merged.cursor().token(key=KEY, log_id="log")


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
@pytest.mark.parametrize("seed", range(10))
def test_reading_in_parts_gives_the_whole(seed: int, output: Output, tmp_path: Path) -> None:
    """Whichever blocks the parts end after, together they are the merge of the oracle."""
    luck = Random(seed)
    contents = random_log(seed, 600, odd=ENDED)
    sources: list[Source] = [put(tmp_path / f"{number}.log", content) for number, content in enumerate(contents)]
    parts, token = [b""], None
    while len(parts) < 3 or parts[-1]:
        part, token = stop_after(sources, How(output=output), luck.randrange(1, 4), token)
        parts.append(part)
    assert len(parts) > 4
    assert b"".join(parts) == b"".join(whole(contents).written(output))


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
@pytest.mark.parametrize("seed", range(10))
def test_parts_may_end_wherever_a_merge_is_resumable(seed: int, output: Output, tmp_path: Path) -> None:
    """With blocks of one record, which end within instants that sources share, no duplicate is shown after all."""
    luck = Random(seed)
    contents = random_log(seed, 300, odd=ENDED)
    sources: list[Source] = [put(tmp_path / f"{number}.log", content) for number, content in enumerate(contents)]
    how = How(output=output)
    parts: list[bytes] = []
    cursor, ended = None, False
    within = 0
    while not ended:
        with iter_merged(sources, how, start=cursor, block_bytes=1) as merged:
            left = luck.randrange(1, 9)
            while left > 0 or not merged.resumable:
                within += not merged.resumable
                block = next(merged, b"")
                parts.append(block)
                left -= 1
                if not block:
                    ended = True
                    break
            cursor = merged.cursor()
    assert within or len(sources) == 1
    assert b"".join(parts) == b"".join(whole(contents).written(output))


def put(path: Path, content: bytes) -> LocalSource:
    """Write a file and name it as a source."""
    path.write_bytes(content)
    return LocalSource(path)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_written_in_between_comes_once(seed: int, tmp_path: Path) -> None:
    """Files grow and rotate while nobody reads: every line comes, none twice, each in the order of its file."""
    luck = Random(seed)
    made = RandomLog(luck, 3, ENDED)
    contents = made.first(30)
    paths = [tmp_path / f"{number}.log" for number in range(3)]
    written = [0, 0, 0]
    parts, token = [], None
    how = How(output=Output.TEXT)
    for _ in range(8):
        for number, path in enumerate(paths):
            if luck.random() < 0.3 and path.exists():
                rotate(path)
            with path.open("ab") as file:
                file.write(contents[number][written[number] :])
            written[number] = len(contents[number])
        part, token = stop_after([LocalSource(path) for path in paths], how, luck.randrange(1, 9), token)
        parts.append(part)
        made.grow(contents, 20)
    parts.append(stop_after([LocalSource(path) for path in paths], how, 1_000, token)[0])
    lines = b"".join(parts).splitlines()
    for content, end in zip(contents, written, strict=True):
        own = bytes(content[:end]).splitlines()
        assert [line for line in lines if line in set(own)] != []
        assert is_within(dict.fromkeys(own), lines)


def is_within(own: dict[bytes, None], lines: list[bytes]) -> bool:
    """Tell whether the lines of a source stand in the merge in their order, where they first stand."""
    first = {line: number for number, line in reversed(list(enumerate(lines)))}
    places = [first[line] for line in own if b"line " in line and line in first]
    return len(places) == sum(b"line " in line for line in own)


def rotate(path: Path) -> None:
    """Rename a file and those rotated before it, as logging programs do."""
    for number in range(9, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))


@pytest.mark.parametrize("seed", range(5))
def test_no_old_byte_is_read(seed: int) -> None:
    """After a token each source gives out exactly the bytes behind its place."""
    contents = random_log(seed, 2_000, odd=ENDED)
    sources = [FakeSource(f"{number}", content) for number, content in enumerate(contents)]
    _, token = stop_after(sources, How(output=Output.TEXT), 5)
    before = [source.read_bytes for source in sources]
    places = {mark.source: mark.position for mark in Cursor.from_token(token, key=KEY, log_id="log").marks}
    rest, _ = stop_after(sources, How(output=Output.TEXT), 10_000, token)
    assert rest
    for source, content, read in zip(sources, contents, before, strict=True):
        position = places[source.name]
        assert position is not None
        assert source.read_bytes - read == len(content) - position.offset


def test_when_nothing_is_new_nothing_is_read() -> None:
    """A poll at the end of a log costs no byte, whatever its size."""
    sources = [FakeSource(f"{number}", content) for number, content in enumerate(random_log(1, 2_000))]
    _, token = stop_after(sources, How(), 10_000)
    before = [source.read_bytes for source in sources]
    for _ in range(3):
        part, token = stop_after(sources, How(), 10_000, token)
        assert part == b""
    assert [source.read_bytes for source in sources] == before


def test_a_compressed_file_is_resumed_within(tmp_path: Path) -> None:
    """A place in a rotated and compressed file is found again, and what is newer follows it."""
    contents = random_log(2, 900, odd=ENDED)
    content = b"".join(contents)
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(content))
    path.write_bytes(b"[2024-11-21T00:00:00] newest\n")
    first, token = stop_after([LocalSource(path)], How(output=Output.TEXT), 3)
    rest, _ = stop_after([LocalSource(path)], How(output=Output.TEXT), 10_000, token)
    assert first + rest == content + b"[2024-11-21T00:00:00] newest\n"
    assert rest


def test_a_cut_file_makes_the_token_expire(tmp_path: Path) -> None:
    """Other bytes are never given out for those that are gone."""
    source = put(tmp_path / "a.log", b"[2024-11-20T12:34:56] one\n" * 100)
    _, token = stop_after([source], How(), 10_000)
    (tmp_path / "a.log").write_bytes(b"[2024-11-20T12:34:56] two\n")
    with pytest.raises(CursorExpired):
        Merged([source], How(), start=Cursor.from_token(token, key=KEY, log_id="log"))
