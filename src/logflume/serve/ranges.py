"""Parts of a representation, and validators of it (RFC 9110, 13 and 14).

Holds: at most one part is given. Of a header that asks for several, or that cannot be read, nothing counts: the whole
       is given then, as the standard lets a server do.
"""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def wanted_part(asked: str | None, size: int) -> range | None:
    """Return which bytes of ``size`` a ``Range`` asks for; empty: none of those there are; None: all."""
    found = _RANGE.fullmatch((asked or "").replace(" ", ""))
    if not found or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1 if last else size, size))


def names_tag(header: str | None, etag: str) -> bool:
    """Tell whether an ``If-None-Match`` names a tag, weakly or not, or any."""
    tags = [each.strip().removeprefix("W/") for each in (header or "").split(",")]
    return etag in tags or tags == ["*"]
