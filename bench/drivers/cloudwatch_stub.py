"""A slow CloudWatch Logs: ``cloudwatch_stub.py DELAY_S [--count | --order]``. Prints its port; a GET is told what came.

It answers each call after DELAY_S, and counts calls, events and bytes; with ``--count`` also which numbered lines came,
and how often, with ``--order`` their times, too. It is asynchronous and else looks into no body, so that it takes
little from those who are measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from dataclasses import asdict, dataclass

MESSAGE = b'"message":'
EVENT = re.compile(rb'"timestamp":(\d+),"message":"(\d{15})')
HIGHEST = 50_000_000


@dataclass
class Seen:
    """What came."""

    calls: int = 0
    events: int = 0
    body_bytes: int = 0
    largest_call_bytes: int = 0
    most_events: int = 0


SEEN = Seen()
TIMES: dict[int, int] = {}
"""With ``--order``: the earliest time of each numbered line."""

COUNTS = bytearray()
"""With ``--order`` or ``--count``: how often each numbered line came."""


def take(body: bytes, options: set[str]) -> None:
    """Count one call."""
    events = body.count(MESSAGE)
    SEEN.calls += 1
    SEEN.events += events
    SEEN.body_bytes += len(body)
    SEEN.most_events = max(SEEN.most_events, events)
    SEEN.largest_call_bytes = max(SEEN.largest_call_bytes, len(body))
    if options:
        for event in EVENT.finditer(body):
            number = int(event[2])
            if number >= len(COUNTS):
                COUNTS.extend(bytes(min(HIGHEST, 2 * number + 1000) - len(COUNTS)))
            COUNTS[number] = min(255, COUNTS[number] + 1)
            if "--order" in options:
                TIMES[number] = min(TIMES.get(number, int(event[1])), int(event[1]))


def counted() -> dict[str, int]:
    """Return how many different lines came, how many came again, and how many are earlier than one before them."""
    lines = len(COUNTS) - COUNTS.count(0)
    times = [TIMES[number] for number in sorted(TIMES)]
    disordered = sum(later < earlier for earlier, later in itertools.pairwise(times))
    return {"lines": lines, "doubled": sum(COUNTS) - lines, "disordered": disordered}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, options: set[str]) -> None:
    """Serve one connection."""
    while head := await _head(reader):
        length = next((int(line[15:]) for line in head if line[:15].lower() == b"content-length:"), 0)
        body = await reader.readexactly(length)
        answer = b"{}"
        if head[0].startswith(b"GET"):
            answer = json.dumps({**asdict(SEEN), **counted()}).encode()
        elif any(b"PutLogEvents" in line for line in head):
            take(body, options)
            await asyncio.sleep(delay_s)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: ")
        writer.write(b"%d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()
    writer.close()


async def _head(reader: asyncio.StreamReader) -> list[bytes]:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return []


async def main() -> None:
    """Serve until killed."""
    delay_s, options = float(sys.argv[1]), set(sys.argv[2:])
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, delay_s, options), "127.0.0.1", 0, limit=4 * 1024 * 1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
