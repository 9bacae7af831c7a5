"""A slow CloudWatch Logs: ``cloudwatch_stub.py DELAY_S [--look]``. Prints its port; a GET is told what came.

It answers each call after DELAY_S, and counts calls, events and bytes; with ``--look`` also which numbered lines came,
and how often. It is asynchronous and else looks into no body, so that it takes little from those who are measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass

MESSAGE = b'"message":"'


@dataclass
class Seen:
    """What came."""

    calls: int = 0
    events: int = 0
    body_bytes: int = 0
    largest_call_bytes: int = 0
    most_events: int = 0


SEEN = Seen()
LINES: dict[bytes, int] = {}


def take(body: bytes, *, look: bool) -> None:
    """Count one call."""
    events = body.count(MESSAGE)
    SEEN.calls += 1
    SEEN.events += events
    SEEN.body_bytes += len(body)
    SEEN.most_events = max(SEEN.most_events, events)
    SEEN.largest_call_bytes = max(SEEN.largest_call_bytes, len(body))
    if look:
        for event in json.loads(body)["logEvents"]:
            number = event["message"][:15].encode()
            LINES[number] = LINES.get(number, 0) + 1


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, *, look: bool) -> None:
    """Serve one connection."""
    while head := await _head(reader):
        length = next((int(line[15:]) for line in head if line[:15].lower() == b"content-length:"), 0)
        body = await reader.readexactly(length)
        answer = b"{}"
        if head[0].startswith(b"GET"):
            answer = json.dumps(
                {**asdict(SEEN), "lines": len(LINES), "doubled": sum(LINES.values()) - len(LINES)}
            ).encode()
        elif any(b"PutLogEvents" in line for line in head):
            take(body, look=look)
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
    delay_s, look = float(sys.argv[1]), "--look" in sys.argv
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, delay_s, look=look), "127.0.0.1", 0, limit=4 * 1024 * 1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
