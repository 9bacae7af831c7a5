"""Where indexes of logs are kept between runs: one file a log in one folder.

Holds: a file is there whole or not at all (written aside, then renamed), and what is read is what was written
(checksum). All files together stay under ``max_bytes``: the one that was used longest ago goes first.
Plan:  MAGIC, checksum, length of the head, head (JSON), entries. Whatever cannot be read is no index: it is built anew.

A file holds names, sizes and times of a log, and fingerprints of its first bytes; none of its text. The folder is for
its owner only. Several processes may use it at once: the last one to finish an index of a log is right.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"logflume index 3\n"
"""Of another version nothing is read."""

MAX_CACHE_BYTES = 1024 * 1024 * 1024
"""Default of ``max_bytes``."""

_LENGTHS = struct.Struct("<II")  # checksum of all that follows it, length of the head
_CHECKSUM_BYTES = 4
_SUFFIX = ".index"
_PART_SUFFIX = ".index-part"


@dataclass(frozen=True)
class Stored:
    """What is kept of one log: a head in JSON, and entries as the core encodes them."""

    head: dict[str, Any]
    entries: bytes


class IndexCache:
    """A folder of indexes.

    Memory: one index at a time.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Touch nothing yet.

        Args:
            folder: by default ``logflume`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``.
            max_bytes: for all indexes together.
        """
        self._given = folder
        self._max_bytes = max_bytes

    def read(self, key: str) -> Stored | None:
        """Return what was last written under ``key``; None if there is nothing that can be read."""
        try:
            path = self._path(key)
            if path.stat().st_size > self._max_bytes:
                return None
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return _unpacked(data)

    def write(self, key: str, stored: Stored) -> None:
        """Keep an index, and let go of those used longest ago if they are too large together.

        Raises:
            OSError: the folder cannot be written; what was there stays.
        """
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(suffix=_PART_SUFFIX, dir=path.parent, delete=False) as file:
            part = Path(file.name)
            try:
                file.write(_packed(stored))
                file.close()
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        _evict(path.parent, self._max_bytes)

    @property
    def folder(self) -> Path:
        """Where the indexes are.

        Raises:
            FileNotFoundError: none was given, and there is no home folder.
        """
        return _default_folder() if self._given is None else Path(self._given)

    def _path(self, key: str) -> Path:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()
        return self.folder / (digest + _SUFFIX)


def _default_folder() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if home.is_absolute():  # a relative one counts as not set: XDG Base Directory Specification
        return home / "logflume"
    try:
        return Path.home() / ".cache" / "logflume"
    except RuntimeError as error:
        raise FileNotFoundError("there is no home folder for a cache") from error


def _evict(folder: Path, max_bytes: int) -> None:
    """Let go of the files that were used longest ago; parts that a killed process left grow old like others."""
    left = max_bytes
    for path, status in sorted(_files(folder), key=lambda file: -file[1].st_mtime_ns):
        left -= status.st_size
        if left < 0:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.iterdir():
        if path.name.endswith((_SUFFIX, _PART_SUFFIX)):
            with contextlib.suppress(FileNotFoundError):
                found.append((path, path.lstat()))
    return found


def _packed(stored: Stored) -> bytes:
    head = json.dumps(stored.head).encode()
    rest = struct.pack("<I", len(head)) + head + stored.entries
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def _unpacked(data: bytes) -> Stored | None:
    begin = len(MAGIC) + _LENGTHS.size
    if not data.startswith(MAGIC) or len(data) < begin:
        return None
    checksum, head_bytes = _LENGTHS.unpack_from(data, len(MAGIC))
    if zlib.crc32(memoryview(data)[len(MAGIC) + _CHECKSUM_BYTES :]) != checksum:
        return None
    try:
        head = json.loads(data[begin : begin + head_bytes])
    except (ValueError, RecursionError):
        return None
    return Stored(head, data[begin + head_bytes :]) if isinstance(head, dict) else None
