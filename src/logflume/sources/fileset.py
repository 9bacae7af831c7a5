"""The files of one rotated set: looked at, opened, found again.

Invariant: a file that is opened is the one that was looked at, and lies inside of the root; what cannot be opened
says why, as a gap of its source. Nothing is held but what the caller is given to close.

Plan:  files are known again by device, inode and first bytes. Where the inode is gone, or has other bytes, a file that
begins with the same bytes is taken for the copy: rotation compresses files, or copies and truncates them.

Not here: which file comes after which (``ahead``), reading on (``local``).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.errors import SourceFailed
from logflume.records import Gap, GapReason, Identity
from logflume.sources.openfile import FINGERPRINT_BYTES, TELLING_BYTES, OpenFile, is_sparse, key_text
from logflume.sources.opening import failed, open_regular, shown
from logflume.sources.rotation import Key, Member, look, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_TRIES = 4  # a set that changes while it is looked at is looked at again


class Moved(Exception):
    """A name stands for another file than a moment ago: look again."""


class FileSet:
    """One file and its rotated predecessors, as the system has them.

    Memory: nothing.
    """

    def __init__(
        self, path: str, root: str | None, name: str, max_decoded_bytes: int, told_from: str | None = None
    ) -> None:
        self.path = path
        self.name = name
        self.root = root
        self._max_decoded_bytes = max_decoded_bytes
        self._told_from = told_from

    def told(self, path: str) -> str:
        """Return what people are told of a path."""
        return shown(path if self._told_from is None else os.path.relpath(path, self._told_from))

    def failed(self, error: OSError, path: str, offset: int | None = None) -> SourceFailed:
        """Return the exception that says why a file cannot be read."""
        return failed(error, self.name, path, offset, self.told(path))

    def survey(self) -> list[Member]:
        """Look at the files there are now, oldest first.

        While rotation makes a copy of the newest file, packed or not, that file counts as the rotated one already, and
        the copy, which may be half done, does not.
        """
        members: list[Member] = []
        for _ in range(_TRIES):
            members = survey(self.path, self.root)
            if len(members) < 2 or not _may_be_copying(members[-2], members[-1]):  # noqa: PLR2004 - a file and its copy
                break
            with contextlib.suppress(Moved, SourceFailed, OSError):
                if self._is_copy(members[-2], members[-1]):
                    return [*members[:-2], replace(members[-1], age=1)]
        return members

    def _is_copy(self, copy: Member, live: Member) -> bool:
        """Whether one file has, as far as can be read, what the other one begins with."""
        end = max(0, copy.size_bytes - FINGERPRINT_BYTES)
        with self.open_member(copy) as file:
            first, last = file.first, file.peek_plain(end, copy.size_bytes - end)
        with self.open_member(live) as file:
            same = file.first.startswith(first)
            same_last = file.peek_plain(end, copy.size_bytes - end) == last
        is_long = len(first) >= TELLING_BYTES and copy.size_bytes <= live.size_bytes
        return same and (copy.is_packed or (is_long and same_last))

    def is_unchanged(self, member: Member) -> bool:
        """Whether a file is where it was, and as it was."""
        return look(member.path, member.age, self.root) == member

    def live_key(self) -> Key | None:
        """Device and inode of the newest file; None when there is none."""
        return _key_at(self.path)

    def open_member(self, member: Member) -> OpenFile:
        """Open one file of the set.

        Raises:
            SourceFailed: it cannot be read.
            Moved: it has another name by now.
        """
        try:
            file = OpenFile(open_regular(member.path, self.root), member, self._max_decoded_bytes)
        except FileNotFoundError:
            raise Moved from None
        except OSError as error:
            raise self.failed(error, member.path) from error
        if file.key != member.key:
            file.close()
            raise Moved
        return file

    def first_identity(self, members: Iterable[Member], *, min_bytes: int) -> tuple[int, Identity] | None:
        """Return age and identity of the first of these files that can be read and has so many bytes."""
        for member in members:
            with contextlib.suppress(Moved, SourceFailed), self.open_member(member) as file:
                if len(file.first) >= min_bytes:
                    return file.age, file.identity()
        return None

    def find(self, members: Sequence[Member], identity: Identity, at: int) -> OpenFile | None:
        """Open the file of an identity, if it has as many bytes as ``at``, or else its copy.

        Raises:
            SourceFailed: it is there, and cannot be read.
        """
        for member in members:
            if key_text(member.key) == identity.key:
                file = self.open_member(member)
                if file.is_same(identity) and file.may_hold(at):
                    return file
                file.close()
        return self.find_copy(members, identity, at)

    def find_copy(self, members: Sequence[Member], identity: Identity, at: int) -> OpenFile | None:
        """Open the newest file, of another inode than that of ``identity``, that holds its bytes up to ``at``.

        Raises:
            SourceFailed: no descriptor is left to look.
        """
        others = [member for member in reversed(members) if key_text(member.key) != identity.key]
        return self._find(others, lambda file: file.is_copy(identity) and file.may_hold(at))

    def find_copy_of_cut(self, members: Sequence[Member], cut: OpenFile) -> OpenFile | None:
        """Open the copy that was made of a file before it was cut: the first one written since we last saw it whole.

        Raises:
            SourceFailed: no descriptor is left to look.
        """
        identity, since_ns = cut.identity(), cut.seen_mtime_ns
        since = [member for member in members if member.age and member.key != cut.key and member.mtime_ns >= since_ns]
        return self._find(since, lambda file: file.is_grown_copy(identity) and file.may_hold(cut.at))

    def _find(self, members: Iterable[Member], fits: Callable[[OpenFile], bool]) -> OpenFile | None:
        for member in members:
            try:
                file = self.open_member(member)
            except Moved:
                continue
            except SourceFailed as broken:
                if ends_all(broken.gap):
                    raise
                continue
            if fits(file):
                return file
            file.close()
        return None

    def readable_bytes(self, member: Member, end: int | None = None) -> int:
        """How many bytes of a plain file, or before ``end``, can be read: all but those of a capture's hole."""
        end = member.size_bytes if end is None else end
        with contextlib.suppress(OSError, Moved, SourceFailed):
            if is_sparse(Path(member.path).stat()):
                with self.open_member(member) as file:
                    return file.readable_before(end)
        return end

    def skip(self, file: OpenFile, size: int, *, readable: bool = False) -> int:
        """Skip bytes of a file, or of those that can be read; close it when that fails.

        Raises:
            SourceFailed: the disk failed.
        """
        try:
            return file.skip_readable(size) if readable else file.skip(size)
        except OSError as error:
            file.close()
            raise self.failed(error, file.path) from error

    def damage_gaps(self, file: OpenFile, offset: int) -> list[Gap]:
        """Return the gap at the end of a compressed file that could not be decoded to its end, if so; once."""
        damage = file.take_damage()
        if damage is None:
            return []
        detail = f"{self.told(file.path)} {damage.detail} (noticed at byte {damage.offset} of the compressed file)."
        next_action = "What lay before is shown; restore the file to see the rest."
        return [Gap(self.name, damage.reason, detail, next_action, offset=offset)]

    def is_compressed(self, member: Member) -> bool:
        """Whether a file is called compressed, and is."""
        if not member.is_packed:
            return False
        with contextlib.suppress(Moved, SourceFailed), self.open_member(member) as file:
            return file.compressed
        return False

    def nothing_there(self) -> Exception:
        """Return why there is nothing to open; Moved when there is by now."""
        try:
            os.close(open_regular(self.path, self.root))
        except OSError as error:
            return self.failed(error, self.path)
        return Moved()  # it has come just now


def ends_all(gap: Gap) -> bool:
    """Whether what is missing says nothing about one file: no descriptor is left for any."""
    return gap.reason is GapReason.NO_DESCRIPTORS


def _key_at(path: str) -> Key | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _may_be_copying(copy: Member, live: Member) -> bool:
    """Whether the first rotated file was written later than the newest: else it is older, and finished."""
    if copy.age != 1 or live.age != 0 or live.is_empty or live.is_packed:
        return False
    return copy.mtime_ns > live.mtime_ns or (copy.is_packed and copy.mtime_ns == live.mtime_ns)
