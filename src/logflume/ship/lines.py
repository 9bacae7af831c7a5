"""Whole lines out of blocks that are cut anywhere.

Holds: one line that is not whole yet, MAX_LINE_BYTES of it at most; a longer one passes in pieces of that size.
Plan:  only the last newline of a block is looked for. A piece tears no UTF-8 character: who gets it may keep text only.
"""

from __future__ import annotations

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is passed on in pieces."""


class WholeLines:
    """What was fed and is not yet part of a whole line is ``rest``."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, block: bytes) -> bytes:
        """Return the whole lines there are now."""
        end = block.rfind(b"\n") + 1
        if not end and len(self.rest) + len(block) <= MAX_LINE_BYTES:
            self.rest += block
            return b""
        if not end:
            end = len(block) - _torn_bytes(block)
        whole = self.rest + block[:end]
        self.rest = block[end:]
        return whole

    def take_ripe(self) -> bytes:
        """Return what was only held back for a while: nothing."""
        return b""

    def take_rest(self) -> bytes:
        """Return what is left, whole or not."""
        rest, self.rest = self.rest, b""
        return rest


def _torn_bytes(block: bytes) -> int:
    """Return how many bytes at the end are the beginning of a UTF-8 character whose rest is to come."""
    for back in range(1, min(3, len(block) - 1) + 1):
        byte = block[-back]
        if byte & 0xC0 != 0x80:  # noqa: PLR2004 - UTF-8: no byte that continues a character
            wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1  # noqa: PLR2004 - as above
            return back if wanted > back else 0
    return 0
