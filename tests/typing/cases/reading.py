"""Reading a log through the names that ``logflume`` itself gives."""

from __future__ import annotations

from typing_extensions import assert_type

import logflume
from logflume import Cursor, Dedup, FolderCatalog, Gap, How, Level, Log, Output, SourceReport, where
from logflume.follow import Followed
from logflume.merge import Merged

catalog = FolderCatalog("logs")
log = catalog.find("load/run/task/1")
assert_type(log, Log)
assert_type(logflume.log_of_paths(["a.log", "b.log"]), Log)

how = How(output=Output.TEXT, dedup=Dedup.OFF, only=where(min_level=Level.ERROR, regex="timeout"))
How(Output.TEXT)  # type: ignore[call-arg]
How(dedup=False)  # type: ignore[arg-type]
how.output = Output.NDJSON  # type: ignore[misc]
where(contains=b"bytes", since_ns=0)
where(since_ns="2024-11-20")  # type: ignore[arg-type]

with logflume.iter_merged(log.sources(), how) as merged:
    assert_type(merged, Merged)
    for block in merged:
        assert_type(block, bytes)
    assert_type(merged.gaps, list[Gap])
    assert_type(merged.reports(), list[SourceReport])
    assert_type(merged.stats()["lines"], int)
    merged.stats()["no such count"]  # type: ignore[typeddict-item]
    cursor = merged.cursor()

assert_type(cursor, Cursor)
assert_type(cursor.token(key=b"secret", log_id=log.id), str)
assert_type(Cursor.from_token("1..", key=b"secret"), Cursor)
logflume.iter_merged(log.sources(), start=cursor)
logflume.iter_merged(log.sources(), start="a token")  # type: ignore[arg-type]
logflume.iter_merged(log)  # type: ignore[arg-type]

with logflume.iter_followed(log, ended=lambda: True) as followed:
    assert_type(followed, Followed)
    assert_type(next(followed), bytes)
    assert_type(followed.read_block(timeout_s=1), "bytes | None")


async def serve() -> int:
    """Count what an event loop reads."""
    size = 0
    async for block in logflume.aiter_merged(log.sources(), how):
        assert_type(block, bytes)
        size += len(block)
    return size
