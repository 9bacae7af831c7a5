"""What ``logflume run`` notes beside the files that it captures, for who reads them.

Holds: it looks and changes nothing, never outside of the root; whoever captures may be gone.
Plan:  the folder SIDE beside the files holds a note on the command, and for each stream a lock that is held as long as
       it is captured. The exit code is noted after the last byte. A note without one, of a stream that nobody
       captures, is of a capture that was killed: its command may still be writing, and so nobody knows.
Not here: what makes these files (``logflume.ship``).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from logflume.records import LogState, LogStatus
from logflume.sources.opening import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SIDE = ".logflume"
"""The folder beside the segments for all that is not output."""

NOTE = "capture.json"

MAX_NOTE_BYTES = 64 * 1024
"""A larger note is none of ours."""


def is_captured(folder: Path) -> bool:
    """Tell whether somebody captures into a folder at this moment."""
    return any(_is_locked(str(path), None) for path in (folder / SIDE).glob("*.lock"))


def read_note(folder: str, root: str | None = None) -> dict[str, Any]:
    """Return what was noted on the command that writes, or wrote, into a folder; empty when nothing was."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        descriptor = open_regular(os.path.join(folder, SIDE, NOTE), root)  # noqa: PTH118 - as the system is asked
        with os.fdopen(descriptor, "rb") as file:
            note = json.loads(file.read(MAX_NOTE_BYTES))
        return note if isinstance(note, dict) else {}
    return {}


def state_of_captured(path: str, root: str | None) -> tuple[LogState, str]:
    """Return how the command stands whose output the file ``path`` is, and its exit code in words."""
    folder, name = os.path.split(path)
    note = read_note(folder, root)
    streams, code = note.get("streams"), note.get("exit_code")
    if not isinstance(streams, list) or name not in streams:
        return LogState.UNKNOWN, ""
    if _is_locked(os.path.join(folder, SIDE, f"{name}.lock"), root):  # noqa: PTH118 - as the system is asked
        return LogState.RUNNING, ""
    if not isinstance(code, int):
        return LogState.UNKNOWN, ""
    return (LogState.FAILED, f"exit code {code}") if code else (LogState.SUCCEEDED, "")


def _is_locked(path: str, root: str | None) -> bool:
    """Tell whether somebody holds a lock; whoever wants it in just that moment tries again."""
    try:
        descriptor = open_regular(path, root)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def joined(each: Iterable[LogStatus]) -> LogStatus:
    """Return what the statuses of all sources of a log say of it: one that runs makes it running."""
    known = list(each)
    written = [status.written_ns for status in known if status.written_ns is not None]
    states = {status.state for status in known}
    order = (LogState.RUNNING, LogState.UNKNOWN, LogState.FAILED, LogState.ENDED, LogState.SUCCEEDED)
    state = next((state for state in order if state in states), LogState.UNKNOWN)
    details = dict.fromkeys(status.detail for status in known if status.state is state and status.detail)
    return LogStatus(state, max(written, default=None), ", ".join(details))
