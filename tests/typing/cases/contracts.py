"""A third party's source and sink fit the protocols without inheriting from anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import assert_type

from logflume.abc import Reader
from logflume.records import Identity, Position

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from logflume.abc import Sink, Source
    from logflume.records import Gap


class OneBlock:
    """A reader with all it needs, and nothing of ours."""

    start = 0

    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    def read_block(self, max_bytes: int = 1) -> bytes:
        return b""[:max_bytes]

    def position(self, offset: int) -> Position:
        return Position(Identity("", "", 0), offset)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Memory:
    """A source that opens such readers."""

    name = "memory"
    seekable = True

    def open(self, start: int | Position = 0) -> OneBlock:
        del start
        return OneBlock()

    def peek_size(self) -> int | None:
        return None

    def peek_identity(self) -> Identity | None:
        return None


class Forgetful:
    """No source: it cannot say how large it is."""

    name = "forgetful"
    seekable = True

    def open(self, start: int | Position = 0) -> OneBlock:
        del start
        return OneBlock()


class Null:
    """A sink that accepts everything."""

    name = "null"

    def write(self, block: bytes) -> None:
        del block

    def close(self) -> None: ...


source: Source = Memory()
sink: Sink = Null()
refused: Source = Forgetful()  # type: ignore[assignment]

assert_type(source.peek_size(), "int | None")
with source.open() as reader:
    assert_type(reader, Reader)
    assert_type(reader.read_block(), bytes)
    assert_type(reader.gaps, "list[Gap]")
sink.write("text")  # type: ignore[arg-type]
