"""Standard output as a sink, for whatever reads it: a container's log driver, a pipe.

Holds: no descriptor of its own. A reader that waits keeps this sink waiting, and no other.
Order: as written. Loss: none; a block of which a part was written before the reader went is offered again whole.
Memory: nothing but the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import SinkRefused
from logflume.ship.show import write_all
from logflume.ship.sinks import SinkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.sinks import Origin


class StdoutSink:
    """See ``logflume.abc.Sink``."""

    def __init__(self, descriptor: int = 1, *, name: str | None = None) -> None:
        """Write to a descriptor that stays somebody else's."""
        self._descriptor = descriptor
        self.name = name or "stdout"

    def write(self, block: bytes) -> None:
        """Write a block, waiting as long as the reader needs.

        Raises:
            SinkRefused: nobody reads any more, or the descriptor is closed.
        """
        try:
            write_all(self._descriptor, block)
        except OSError as error:
            raise SinkRefused(self.name, error.strerror or str(error)) from error

    def close(self) -> None:
        """Release nothing."""


@dataclass(frozen=True, kw_only=True)
class StdoutOptions:
    """The options of this kind: there are none."""


def _make(options: StdoutOptions, origin: Origin) -> StdoutSink:
    del options
    return StdoutSink(name=origin.name)


def _words(words: str) -> Mapping[str, object] | None:
    return {} if words == "stdout" else None


KIND = SinkKind(StdoutOptions, _make, _words)
