"""The threads of a server that wait for short things."""

from __future__ import annotations

import asyncio
import threading

from logflume.serve.threads import MAX_THREADS, take_threads


def names() -> list[str]:
    """Return the pool's threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("logflume-wait")]


def test_all_are_there_before_the_first_is_asked_for() -> None:
    """However much waits at once later, there are no more of them; they end with the loop."""

    async def serve() -> None:
        take_threads()
        assert len(names()) == MAX_THREADS
        told = await asyncio.gather(*(asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(100)))
        assert {name.rpartition("_")[0] for name in told} == {"logflume-wait"}
        assert len(names()) == MAX_THREADS

    asyncio.run(serve())
    assert names() == []
