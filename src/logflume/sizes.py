"""Numbers of bytes as people write and read them, in powers of 1,000."""

from __future__ import annotations

import re

_UNITS = "kMGTP"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtp])(i)?)?b?", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Return the bytes that ``4096``, ``830MB``, ``10G`` or ``1.5GiB`` stand for.

    Raises:
        ValueError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no size; write 4096, 830MB or 1.5GiB")
    number, unit, binary = found.groups()
    power = _UNITS.lower().index(unit.lower()) + 1 if unit else 0
    base = 1024.0 if binary else 1000.0
    return round(float(number) * float(base**power))


def show_size(size_bytes: float) -> str:
    """Return a size with three or four digits: ``830.1 MB``."""
    unit = ""
    for larger in _UNITS:
        if size_bytes < 999.95:  # noqa: PLR2004 - what would be shown as 1000.0
            break
        size_bytes, unit = size_bytes / 1000, larger
    return f"{size_bytes:.1f} {unit}B" if unit else f"{size_bytes:.0f} B"
