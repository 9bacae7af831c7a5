"""What a client accepts, with which weights (RFC 9110, 12.4.2)."""

from __future__ import annotations


def weighted(header: str) -> list[tuple[str, float]]:
    """Return each thing of an ``Accept…`` header and its weight, in their order: 0, it is refused or cannot be read."""
    return [_weighted(part) for part in header.split(",")]


def _weighted(part: str) -> tuple[str, float]:
    name, *parameters = (text.strip().lower() for text in part.split(";"))
    text = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return name, min(1.0, max(0.0, float(text)))
    except ValueError:
        return name, 0.0
