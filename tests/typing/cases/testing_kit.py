"""A third party proves a source with the public kit."""

from __future__ import annotations

from typing_extensions import assert_type

from logflume.abc import Sink, Source
from logflume.testing import FakeSource, check_sink, check_source

fake: Source = FakeSource("fake", b"one line\n")


def make_sink() -> Sink:
    """Stand for a sink of somebody's."""
    raise NotImplementedError


assert_type(check_source(lambda: fake, content=b"one line\n"), list[str])
assert_type(check_sink(make_sink, read_back=lambda: b""), list[str])
check_source(fake, content=b"")  # type: ignore[arg-type]
check_source(lambda: fake, b"")  # type: ignore[call-arg]
