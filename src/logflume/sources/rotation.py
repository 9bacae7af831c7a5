"""Which files make up one log file with its rotated predecessors, and in which order they were written.

Invariant: oldest first, each file once. Finding a set takes bounded time, however many files lie in the folder.

Plan:  names are matched by their number only: ``x.log.12``, ``x.log.3.gz``, ``x.log.3.zst``; a higher number is
older, and ``x.log`` itself is the newest. Where one number exists both plain and compressed, the plain one
counts: the other is being made of it. A folder of up to MAX_LISTED names is listed. In a larger one, or one that
may not be listed, names are tried from 0 upward, until MAX_MISSES numbers in a row do not exist.

``survey`` looks until it sees the same twice, since a rotation may be under way while it looks.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.sources.opening import is_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LISTED = 256
"""A folder with more names is not listed: its sets are found by trying names."""

MAX_LISTED_FOLDER_BYTES = 16 * 1024
"""Nor is a folder whose own size tells that it is, or was, a large one: to begin listing it costs most already."""

MAX_MISSES = 8
"""So many numbers in a row that do not exist end a set, where names are tried."""

MAX_NUMBER = 9999
"""The highest number that is taken for one of rotation, rather than a date or a process id."""

_COMPRESSED = (".gz", ".zst")
_LIVE = -1  # in place of the number that the newest file does not have

_TRIES = 5
_NUMBERED = re.compile(r"([0-9]{1,4})(\.gz|\.zst)?")

Key = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a set, as it was when looked at.

    Attributes:
        path: its name then.
        age: how often it was rotated: 0 for the newest, then as numbered (one more where numbers begin with 0).
        key: device and inode.
        size_bytes: as on disk.
        mtime_ns: when it was last written.
        regular: whether it is a file that may be read, and no folder, pipe or link out of the root.
    """

    path: str
    age: int
    key: Key
    size_bytes: int
    mtime_ns: int
    regular: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read; what is no file says so when it is opened."""
        return self.regular and not self.size_bytes

    @property
    def is_packed(self) -> bool:
        """Whether it is called a compressed file."""
        return self.path.endswith(_COMPRESSED)

    @property
    def plain_bytes(self) -> int | None:
        """How many bytes it gives; None where that cannot be told from outside."""
        return self.size_bytes if self.regular and not self.is_packed else None


def rotated_set(path: str | os.PathLike[str], listing: Iterable[str] | None = None) -> list[Path]:
    """Return the existing files of the set of ``path``, oldest first.

    Args:
        path: the newest file, whether it exists or not.
        listing: the names in its folder, where the caller knows them already; nothing is looked up then.
    """
    folder, base = os.path.split(os.fspath(path))
    names = _names(folder, base) if listing is None else listing
    return [Path(folder, name) for _, name in _in_order(base, names)]


def survey(path: str, root: str | None) -> list[Member]:
    """Return the set of ``path`` with what is known of each file, oldest first; read nothing.

    A link that leaves ``root`` is not followed: what is told is about the link.
    """
    live = look(path, 0, root)
    before = [live.key] if live else []  # a single file that stays is looked at no third time
    members: list[Member] = []
    for _ in range(_TRIES):
        members = _look_at_all(path, root)
        keys = [member.key for member in members]
        if keys == before:
            break
        before = keys
    return members


def look(path: str, age: int, root: str | None) -> Member | None:
    """Return what is known of one file of that age; None when there is none."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) and (root is None or is_inside(path, root)):
            status = Path(path).stat()
    except OSError:
        return None
    return Member(
        path,
        age,
        (status.st_dev, status.st_ino),
        status.st_size,
        status.st_mtime_ns,
        stat.S_ISREG(status.st_mode),
    )


def _names(folder: str, base: str) -> Iterable[str]:
    listed = _list(folder)
    return _try_names(folder, base) if listed is None else listed


def _list(folder: str) -> list[str] | None:
    folder = folder or "."
    try:
        if Path(folder).stat().st_size > MAX_LISTED_FOLDER_BYTES:
            return None
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, MAX_LISTED + 1)]
    except OSError:  # one may be allowed to open files in a folder and not to list it
        return None
    return names if len(names) <= MAX_LISTED else None


def _try_names(folder: str, base: str) -> Iterator[str]:
    inside = f"{folder}{os.sep}" if folder else ""
    if os.access(inside + base, os.F_OK):
        yield base
    misses = 0
    for number in range(MAX_NUMBER + 1):
        candidates = [f"{base}.{number}{suffix}" for suffix in ("", *_COMPRESSED)]
        found = [name for name in candidates if os.access(inside + name, os.F_OK)]
        yield from found
        misses = 0 if found else misses + 1
        if misses == MAX_MISSES:
            return


def _in_order(base: str, names: Iterable[str]) -> list[tuple[int, str]]:
    """Return number and name of each file of the set, oldest first, one for each number."""
    prefix = base + "."
    found: dict[int, str] = {}
    for name in names:
        if name == base:
            found[_LIVE] = name
        elif name.startswith(prefix) and (match := _NUMBERED.fullmatch(name, len(prefix))):
            number = int(match[1])
            found[number] = min(name, found.get(number, name), key=len)
    return sorted(found.items(), reverse=True)


def _look_at_all(path: str, root: str | None) -> list[Member]:
    folder, base = os.path.split(path)
    if root is not None and not is_inside(folder or ".", root):
        return []
    by_key: dict[Key, Member] = {}
    names = _in_order(base, _names(folder, base))
    first = 0 if any(number == 0 for number, _ in names) else 1
    for number, name in names:
        member = look(str(Path(folder, name)), 0 if number == _LIVE else number - first + 1, root)
        if member:
            by_key.pop(member.key, None)  # one file of two names, as rotation by link and unlink has: the newer counts
            by_key[member.key] = member
    return list(by_key.values())
