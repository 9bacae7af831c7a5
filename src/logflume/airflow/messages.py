"""What Airflow's readers are given: messages one by one, or many of them as ready lines.

Holds: one block of lines, and the message in the reader's hands. A message is the line itself until somebody looks in.
Plan:  the first message tells the readers apart. Who has it written as JSON before asking for the next writes lines
       (the NDJSON route): from then on each "message" is LINES_BYTES of ready lines. Who does not gathers messages
       (the JSON route): each is one line, which is decoded while the answer is written.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import SchemaSerializer, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LINES_BYTES = 4 * 1024
"""Ready lines that are given out as one message. Airflow joins 500 of them (``[api] log_stream_buffer_size``) for each
piece of its answer, so a piece is some 2 MiB."""


class Message:
    """One message, as its line of NDJSON; in Airflow's eyes a ``StructuredLogMessage``."""

    __slots__ = ("_line",)

    def __init__(self, line: str) -> None:
        self._line = line

    def model_dump_json(self, **_: object) -> str:
        """Return the line."""
        return self._line

    def model_dump(self, **_: object) -> dict[str, Any]:
        """Return its members; ``timestamp`` is text."""
        members: dict[str, Any] = json.loads(self._line, parse_int=_whole)
        return _without_lone_surrogates(members) if "\\ud" in self._line or "\\uD" in self._line else members

    @property
    def timestamp(self) -> str | None:
        """Its time as RFC 3339."""
        text: str | None = self.model_dump().get("timestamp")
        return text

    @property
    def event(self) -> str:
        """Its text."""
        text: str = self.model_dump()["event"]
        return text

    def __getattr__(self, name: str) -> object:
        try:
            return self.model_dump()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._line!r})"

    # What FastAPI writes an answer with asks each object for this.
    __pydantic_serializer__: ClassVar[SchemaSerializer] = SchemaSerializer(
        core_schema.any_schema(
            serialization=core_schema.plain_serializer_function_ser_schema(lambda message: message.model_dump())
        )
    )


def _whole(digits: str) -> int | float:
    """Read a whole number; Python refuses those of more digits than this."""
    return int(digits) if len(digits) < sys.int_info.str_digits_check_threshold else float(digits)


def _without_lone_surrogates(members: dict[str, Any]) -> dict[str, Any]:
    """Replace halves of characters, which JSON can hold and UTF-8 cannot, by U+FFFD."""
    text = json.dumps(members, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    cleaned: dict[str, Any] = json.loads(text)
    return cleaned


class _First(Message):
    """The message that shows what its reader does with messages."""

    __slots__ = ("is_written",)

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.is_written = False

    def model_dump_json(self, **_: object) -> str:
        self.is_written = True
        return self._line


def message_line(event: str, **more: object) -> str:
    """Return a message of our own as its line."""
    return json.dumps({"timestamp": None, "event": event, **more}, ensure_ascii=False, separators=(",", ":"))


def iter_messages(head: list[str], blocks: Callable[[bool], Iterable[bytes]]) -> Iterator[Message]:
    """Yield ``head`` (at least one line) and the lines of ``blocks`` of NDJSON in the way that suits who asks.

    ``blocks`` is told whether they are written as lines.

    Order, loss: those of the blocks. Memory: one block, and what is cut off it.
    """
    first = _First(head[0])
    yield first
    rest = "\n".join(head[1:])
    if first.is_written:
        if rest:
            yield Message(rest)
        for block in blocks(True):  # noqa: FBT003 - its one meaning
            yield from map(Message, _cut(block))
    else:
        yield from map(Message, head[1:])
        yield from iter_single(blocks(False))  # noqa: FBT003 - as above


def iter_single(blocks: Iterable[bytes]) -> Iterator[Message]:
    """Yield each line as a message of its own."""
    for block in blocks:
        yield from map(Message, block.decode().removesuffix("\n").split("\n"))


def _cut(block: bytes) -> Iterator[str]:
    """Cut whole lines into strings of some LINES_BYTES, each without its last newline."""
    text = block.decode()
    start, end = 0, len(text) - 1
    while start < end:
        newline = text.find("\n", start + LINES_BYTES, end)
        stop = end if newline < 0 else newline
        yield text[start:stop]
        start = stop + 1
