"""What a client gives, and what it takes."""

from __future__ import annotations

from typing_extensions import assert_type

from logflume import AsyncClient, Client, Gap, Output
from logflume.client import Hit, LogEntry, Meta, Stream


def read(client: Client) -> None:
    """Blocks, objects, and what is missing."""
    with client.stream("dag/x.log", output=Output.TEXT, since="15m", level="error", source=["a", "b"]) as stream:
        assert_type(stream, Stream)
        for block in stream:
            assert_type(block, bytes)
        assert_type(stream.cursor, str | None)
        assert_type(stream.gaps, list[Gap])
    for log in client.logs():
        assert_type(log, LogEntry)
    assert_type(client.meta("x"), Meta)
    assert_type(client.wait("x", client.meta("x")["version"], wait_s=1), Meta)
    for hit in client.search("x", q="error"):
        assert_type(hit, Hit)
    client.stream("x", sinse="15m")  # type: ignore[call-arg]
    client.stream("x", output="text")  # type: ignore[arg-type]
    client.locate("x", error="nearest")  # type: ignore[arg-type]


async def read_async(client: AsyncClient) -> None:
    """The same in an event loop."""
    async with client.stream("dag/x.log", follow=True, tail=10) as stream:
        async for block in stream:
            assert_type(block, bytes)
    async for log in client.logs():
        assert_type(log["id"], str)
    with client:  # type: ignore[attr-defined]
        pass
