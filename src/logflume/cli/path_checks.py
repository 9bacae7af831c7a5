"""The doctor's look at a path: is it there, may we read it, and is what it holds a log?

Holds: one block, and of each source at most LOOK_BYTES are read. No path is opened but by its source.
"""

# Names stay strings, as the command line has them and the system is asked for them.
# ruff: noqa: PTH110, PTH112, PTH114, PTH118, PTH120

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

from logflume.cli.findings import Finding, note, ok, owner_and_mode, problem, this_user
from logflume.cli.paths import GivenLog, gap_of_missing, is_elsewhere, is_missing
from logflume.cli.stream import stream_of
from logflume.cli.times import Times, read_times
from logflume.errors import UsageError
from logflume.merge import Merged
from logflume.moments import SECOND_NS, show_moment, show_span
from logflume.records import GapReason
from logflume.sizes import show_size
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume._core import Counts
    from logflume.abc import Source
    from logflume.merge import How
    from logflume.sources.rotation import Member

LOOK_BYTES = 16 * 1024 * 1024
"""So much of each source is read."""

HEAD_BYTES = 64 * 1024
"""In so much of it times are looked for line by line."""

MAX_SOURCES = 100
"""So many sources of one path are looked into."""

FRESH_NS = 60 * SECOND_NS


def iter_path_findings(path: str, how: How) -> Iterator[Finding]:
    """Look at one path of a command line and at what it holds."""
    if stream_of(path):
        yield note(path, "a stream can be read once, and the doctor does not")
    elif is_elsewhere(path):
        yield from _sources(path, how)
    elif found := _obstacle(path):
        yield found
    elif is_missing(path):
        gap = gap_of_missing(path)
        yield problem(path, gap.detail, gap.next_action)
    else:
        yield from _link(path)
        yield from _sources(path, how)


def _obstacle(path: str) -> Finding | None:
    """Return the first folder on the way that may not be entered, or the path if it may not be read."""
    real = os.path.realpath(path)
    above = list(itertools.accumulate(real.split("/")[:-1], lambda folder, name: f"{folder}/{name}"))
    for folder in above:
        if os.path.isdir(folder or "/") and not os.access(folder or "/", os.X_OK, effective_ids=True):
            return _denied(path, "enter", folder)
    needed = os.R_OK | (os.X_OK if os.path.isdir(real) else 0)
    if os.path.exists(real) and not os.access(real, needed, effective_ids=True):
        return _denied(path, "read", real)
    return None


def _denied(path: str, verb: str, at: str) -> Finding:
    text = f"{this_user()} may not {verb} {at} ({owner_and_mode(at)})"
    letter = "rx" if os.path.isdir(at) and verb == "read" else "x" if verb == "enter" else "r"
    return problem(path, text, f"Join its group, run as its owner, or: chmod o+{letter} '{at}'.")


def _link(path: str) -> Iterator[Finding]:
    if os.path.islink(path):
        yield note(path, f"is a symbolic link to {os.path.realpath(path)}")


def _sources(path: str, how: How) -> Iterator[Finding]:
    try:
        sources = GivenLog([path]).first_sources()
    except UsageError as error:
        yield problem(path, str(error), "Check the address." if is_elsewhere(path) else "Name a folder further down.")
        return
    if not sources:
        yield problem(path, "holds no file", "Check that this is where the program writes its logs.")
    folder = path if os.path.isdir(path) else "" if is_elsewhere(path) else os.path.dirname(path)
    for source in sources[:MAX_SOURCES]:
        yield from _source(os.path.join(folder, source.name), source, how)
    if len(sources) > MAX_SOURCES:
        text = f"{len(sources) - MAX_SOURCES} of {len(sources)} sources were not looked at"
        yield note(path, text, "Name a folder further down.")


def _source(name: str, source: Source, how: How) -> Iterator[Finding]:
    members = source.survey() if isinstance(source, LocalSource) else []
    head = b""
    with Merged([source], how, workers=0) as merged:
        for block in merged:
            head += block if len(head) < HEAD_BYTES else b""
            if merged.stats()["bytes"] >= LOOK_BYTES:
                break
    counts = merged.stats()
    for gap in merged.gaps:
        found = note if gap.reason is GapReason.OUTSIDE_ROOT else problem
        yield found(name, f"{gap.reason.value}: {gap.detail}", gap.next_action)
    if counts["bytes"]:
        yield ok(name, _facts(counts, members))
        yield from _time_findings(name, read_times(head, how), counts)
    elif not merged.gaps:
        todo = "Nothing was written yet, or it waits in the program's buffer (Python: set PYTHONUNBUFFERED=1)."
        yield note(name, f"is empty; {_last_write(members)}", todo)


def _facts(counts: Counts, members: list[Member]) -> str:
    more = "" if counts["bytes"] < LOOK_BYTES else "the first "
    files = f"{len(members)} files of rotation, " if len(members) > 1 else ""
    return f"{files}{more}{show_size(counts['bytes'])}, {counts['lines']} lines; {_last_write(members)}"


def _last_write(members: list[Member]) -> str:
    if not members:
        return "when it was written is not known"
    age_ns = max(0, time.time_ns() - max(member.mtime_ns for member in members))
    growing = "growing" if age_ns < FRESH_NS else "not growing"
    return f"{growing}, last written {show_span(age_ns)} ago"


def _time_findings(name: str, times: Times, counts: Counts) -> Iterator[Finding]:
    if not times.timed:
        todo = "Give its format: --time-format '%d.%m.%Y %H:%M:%S'. Lines without a time come before all others."
        yield note(name, f"none of its first {times.lines} lines has a time that is known", todo)
        return
    where = "" if times.names_zone else ", which names no zone: taken as that of --zone"
    when = "" if times.names_year else ", and no year: taken as the latest"
    yield ok(name, f"times: {times.form}{where}{when}; the first is {show_moment(times.first_ns)}")
    if counts["late"]:
        text = f"{counts['late']} of {counts['records']} records are older than one before them"
        yield note(name, text, "They keep their place; several writers, or a clock that was set back.")
