"""The small values that everything else speaks of: levels, gaps, identities, positions.

Holds nothing but data; imports nothing of logflume. All times are ``ts_ns`` (int, UTC
nanoseconds since 1970), all offsets are bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.IntEnum):
    """How serious a record is. The numbers are those of the core, in rising order."""

    UNKNOWN = 0
    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4
    CRITICAL = 5


class Output(enum.IntEnum):
    """What a merge gives out.

    ``NDJSON``: one valid JSON object a line, always. ``TEXT``: the lines as they were
    written. ``NONE``: nothing (counting and index building).
    """

    NDJSON = 0
    TEXT = 1
    NONE = 2


class Dedup(enum.Enum):
    """Whether the same record (equal time, equal bytes) of *different* sources is shown once."""

    ACROSS_SOURCES = "across-sources"
    OFF = "off"


class GapReason(str, enum.Enum):
    """Why data is missing. The value is stable: it goes into JSON and metrics."""

    NOT_FOUND = "not-found"
    PERMISSION_DENIED = "permission-denied"
    VANISHED = "vanished"
    REPLACED = "replaced"
    TRUNCATED = "truncated"
    ROTATED_AWAY = "rotated-away"
    EXPIRED = "expired"
    SPECIAL_FILE = "special-file"
    OUTSIDE_ROOT = "outside-root"
    CORRUPT = "corrupt"
    TOO_LARGE = "too-large"
    NO_DESCRIPTORS = "no-descriptors"
    SPOOL_FULL = "spool-full"
    UNREADABLE = "unreadable"
    NOT_STARTED = "not-started"
    KILLED = "killed"


class LogState(str, enum.Enum):
    """How whoever writes a log stands. The value is stable: it goes into JSON.

    ``ENDED``: nobody writes any more, and how it went is not known. ``UNKNOWN``: nobody says.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ENDED = "ended"
    UNKNOWN = "unknown"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be written."""
        return self in (LogState.SUCCEEDED, LogState.FAILED, LogState.ENDED)


@dataclass(frozen=True, slots=True)
class LogStatus:
    """What is known of whoever writes a log.

    Attributes:
        state: how it stands.
        written_ns: when something was last written, as far as that is known.
        detail: more in a few words, such as ``exit code 3``.
    """

    state: LogState
    written_ns: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Data that should be there and is not: a fact about a log, never a line of it.

    Attributes:
        source: name of the source that misses it.
        reason: why, as a stable word.
        detail: one plain sentence for people, without secrets.
        next_action: what a person can do about it, one plain sentence.
        lost_bytes: how much is gone, when it is known.
        offset: byte offset in the source at which the gap lies, when it is known.
    """

    source: str
    reason: GapReason
    detail: str
    next_action: str
    lost_bytes: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which bytes a source holds, so that a cursor is never applied to other bytes.

    Attributes:
        key: inode and device of a file, or the etag of an object.
        fingerprint: digest of the first ``fingerprint_bytes`` bytes.
        fingerprint_bytes: how many first bytes that digest covers (at most 1,024).
    """

    key: str
    fingerprint: str
    fingerprint_bytes: int


@dataclass(frozen=True, slots=True)
class Position:
    """A durable place in a source: an identity, and a byte offset within *that* file or object.

    It stays valid when the file is renamed by rotation.
    """

    identity: Identity
    offset: int


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What one source answered when a log was read: the header of every read is made of these."""

    name: str
    state: str  # "reading" | "done" | "failed"
    bytes_read: int
    open_s: float
    gaps: tuple[Gap, ...]
