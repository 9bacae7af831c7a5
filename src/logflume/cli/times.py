"""Which times a log carries, asked of the core itself: what it does not recognise is not recognised here.

Holds: the first lines of a block. There is no second table of formats to go out of date, but for their names.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logflume.merge import How

MAX_LINES = 100

_ANOTHER_ZONE = "Etc/GMT-1"
_LONG_NS = 3 * 366 * 86_400 * 1_000_000_000

_NAMES = (
    (r"\[\d{4}-", "[date and time] as Airflow 2 writes it"),
    (r"\d{4}-\d\d-\d\dT", "RFC 3339"),
    (r"\d{4}-\d\d-\d\d ", "date and time as Python logging writes it"),
    (r"[IWEFD]\d{4} ", "klog"),
    (r"<\d+>1 ", "syslog (RFC 5424)"),
    (r"(<\d+>)?[A-Z][a-z]{2} [ \d]\d ", "syslog (RFC 3164)"),
    (r".*\[\d\d/[A-Z][a-z]{2}/\d{4}:", "web server access log"),
)


@dataclass(frozen=True)
class Times:
    """What the first lines tell.

    Attributes:
        lines: how many were looked at.
        timed: how many of them begin a record with a time of its own.
        first_ns: the first of those times.
        form: what its format is called.
        names_zone: whether it names its zone or offset.
        names_year: whether it names its year.
    """

    lines: int
    timed: int
    first_ns: int = 0
    form: str = ""
    names_zone: bool = True
    names_year: bool = True


def read_times(block: bytes, how: How) -> Times:
    """Look at the first lines of a block."""
    lines = block.split(b"\n", MAX_LINES)[:MAX_LINES]
    lines = [line for line in lines if line.strip()]
    found = [(line, ts_ns) for line in lines if (ts_ns := _time_of(line, how)) is not None]
    if not found:
        return Times(len(lines), 0)
    line, ts_ns = found[0]
    return Times(
        lines=len(lines),
        timed=len(found),
        first_ns=ts_ns,
        form=_form(line, ts_ns, how),
        names_zone=_time_of(line, replace(how, zone=_ANOTHER_ZONE)) == _time_of(line, replace(how, zone="UTC")),
        names_year=_time_of(line, replace(how, reference_ns=ts_ns - _LONG_NS)) == ts_ns,
    )


def _time_of(line: bytes, how: How) -> int | None:
    merger = how.merger(1)
    merger.feed(0, line + b"\n")
    merger.finish(0)
    return merger.stats()["first_ns"]


def _form(line: bytes, ts_ns: int, how: How) -> str:
    text = line.decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        return _key(text, ts_ns, how)
    return next((name for pattern, name in _NAMES if re.match(pattern, text)), "known")


def _key(text: str, ts_ns: int, how: How) -> str:
    """Name the key whose value alone has that time."""
    try:
        members = json.loads(text).items()
    except (ValueError, RecursionError):
        return "JSON"
    alone = ((key, json.dumps({key: value}).encode()) for key, value in members)
    return next((f"JSON, key {key!r}" for key, line in alone if _time_of(line, how) == ts_ns), "JSON")
