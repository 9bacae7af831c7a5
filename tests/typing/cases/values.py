"""The small values are frozen and typed, and errors carry fields rather than text."""

from __future__ import annotations

from typing_extensions import assert_type

from logflume.errors import BadPattern, CursorExpired, LogflumeError, LogNotFound, SourceFailed
from logflume.records import Dedup, Gap, GapReason, Identity, Level, Output, Position

gap = Gap("local", GapReason.VANISHED, "It is gone.", "Look in the archive.")
assert_type(gap.reason, GapReason)
assert_type(gap.lost_bytes, "int | None")
gap.source = "other"  # type: ignore[misc]

assert_type(Position(Identity("1:2", "f00d", 16), 3).identity.fingerprint_bytes, int)
order: bool = Level.ERROR > Level.INFO
assert_type(int(Output.TEXT), int)
choice: Dedup = True  # type: ignore[assignment]


def resume(error: LogflumeError) -> str | None:
    """Tell errors apart by their class."""
    match error:
        case CursorExpired():
            assert_type(error.lost_bytes, "int | None")
            return error.oldest
        case SourceFailed():
            assert_type(error.gap, Gap)
        case BadPattern():
            assert_type(error.position, "int | None")
        case LogNotFound():
            assert_type(error.near, "tuple[str, ...]")
        case _:
            pass
    return None
