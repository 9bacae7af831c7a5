"""Standard output as a sink, for whatever reads it: a container's log driver, a pipe. As it is, prefixed, or as JSON.

Holds: no descriptor of its own. A reader that waits keeps this sink waiting, and no other.
Order: as written. Loss: none; a block of which a part was written before the reader went is offered again whole.
Memory: nothing but the block.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume import _core
from logflume.errors import SinkRefused
from logflume.kinds import Member, Text
from logflume.settings import setting
from logflume.ship.lines import MAX_LINE_BYTES
from logflume.ship.requests import TAKEN, Blocks, Receipt, Requests
from logflume.ship.show import write_all
from logflume.ship.sinks import SinkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin


BATCH_BYTES = 256 * 1024


class Form(enum.Enum):
    """How lines are written: as they ``are``, after a ``prefix``, or as an object of ``json`` each."""

    AS_IS = "as-is"
    PREFIXED = "prefixed"
    JSON = "json"


class StdoutSink(Requests):
    """See ``logflume.ship.requests.RequestSink``."""

    linger_s = 0.0

    def __init__(
        self, descriptor: int = 1, *, form: Form = Form.AS_IS, prefix: str = "{stream} | ", name: str | None = None
    ) -> None:
        """Write to a descriptor that stays somebody else's; ``{stream}`` in a prefix is the name of the stream."""
        self._descriptor, self._form, self._prefix = descriptor, form, prefix
        self.name = name or ("stdout" if form is Form.AS_IS else f"stdout:{form.value}")

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        if self._form is Form.AS_IS:
            return Blocks()
        return _core.Packer(
            "ndjson" if self._form is Form.JSON else "text",
            max_events=BATCH_BYTES,
            max_bytes=BATCH_BYTES,
            max_event_bytes=MAX_LINE_BYTES + BATCH_BYTES,
            before=self._prefix.replace("{stream}", stream).encode(),
            reference_ns=time.time_ns(),
        )

    def send(self, request: Request) -> Receipt:
        """Write a request, waiting as long as the reader needs.

        Raises:
            SinkRefused: nobody reads any more, or the descriptor is closed.
        """
        try:
            write_all(self._descriptor, request.payload)
        except OSError as error:
            raise SinkRefused(self.name, error.strerror or str(error)) from error
        return TAKEN

    def close(self) -> None:
        """Release nothing."""


@dataclass(frozen=True, kw_only=True)
class StdoutOptions:
    """The options of this kind."""

    form: Form = setting(Member(Form), Form.AS_IS, "How lines are written.")
    prefix: str = setting(Text(), "{stream} | ", "Before each line that is prefixed; `{stream}` is the captured file.")


def _make(options: StdoutOptions, origin: Origin) -> StdoutSink:
    return StdoutSink(form=options.form, prefix=origin.fill(options.prefix), name=origin.name)


def _words(words: str) -> Mapping[str, object] | None:
    _, _, form = words.partition(":")
    return {"form": form} if form in {"json", "prefixed"} else {} if words == "stdout" else None


KIND = SinkKind(StdoutOptions, _make, _words)
