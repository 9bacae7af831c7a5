"""A log file together with its rotated predecessors: one source, oldest bytes first.

Invariant: each byte comes out once, in the order written; what cannot come out is a Gap. A reader holds one
descriptor between calls, and two more for a moment within a call: 1,000 readers need 1,002.

Plan:  the linear stream is the concatenation of the set (see ``rotation``). A reader drains the file it holds,
through its descriptor, whatever that file is called by now or whether it is deleted; then it looks where this
file is in the set and goes on with the next newer one. It leaves a file only when a newer one has its first
byte: a program that was not yet told of the rotation still writes to the old one.

A file is known again by device, inode and its first FINGERPRINT_BYTES bytes: inodes are used again. With the
inode gone, or the file cut under the reader, a file of the set that begins with the same bytes is taken for its copy:
that is how a file stays known when rotation compresses it, or copies and truncates it ("copytruncate").

What cannot be done:

- Bytes written between the copy and the cut of a copytruncate, or read too late before a plain truncation, are
  gone; a Gap says that a cut was seen. A cut file that has grown beyond the reader again is noticed by its first bytes
  only. Two files that begin with the same FINGERPRINT_BYTES bytes cannot be told apart once the inode does not help.
- A file that is moved out of the set (a name with a date, another folder) is read to its end, through the
  descriptor; files that come and go there between two reads are never seen.
- Several programs that write to the old and to the new file at the same time: what comes late to the old one is missed.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position
from logflume.sources.ahead import Ahead, View
from logflume.sources.compressed import MAX_DECODED_BYTES
from logflume.sources.openfile import FINGERPRINT_BYTES, Cut, OpenFile, Rewritten, key_text
from logflume.sources.opening import failed, open_regular, shown
from logflume.sources.rotation import MAX_NUMBER, Key, Member, look, rotated_set, survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["MAX_GAPS", "MAX_STRETCHES", "LocalReader", "LocalSource", "rotated_set"]

MAX_GAPS = 1000
"""So many gaps of one reader are told apart; from there on the last one gathers the rest."""

MAX_STRETCHES = 1000
"""A reader can name positions in the file it reads, and in so many before it."""

_TRIES = 4  # a set that changes while it is looked at is looked at again
_TURNS = 2 * MAX_NUMBER  # changes of file that one call follows: any set, but not one that is rewritten for ever
_TELLING_BYTES = 32  # a first line with a time in it is not that of another file
_PAUSE_S = 0.005  # a rotation that is under way is over then


class LocalSource:
    """One file and its rotated predecessors.

    Order:  as written.
    Loss:   none but what the module says; each is a Gap.
    Memory: nothing here; see LocalReader.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None = None,
        name: str | None = None,
        max_decoded_bytes: int = MAX_DECODED_BYTES,
    ) -> None:
        """Look at nothing yet.

        Args:
            path: the newest file of the set; it need not exist while a rotated one does.
            root: no file that really lies outside of this folder is read.
            name: what people call it; the path by default.
            max_decoded_bytes: what one compressed file may give.
        """
        self._path = os.fspath(path)
        if "\0" in self._path:
            raise UsageError("a path holds no NUL")
        self._root = None if root is None else os.fspath(root)
        self._name = name or shown(self._path)
        self._max_decoded_bytes = max_decoded_bytes

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    @property
    def seekable(self) -> bool:
        """Whether no file of the set is compressed."""
        return not any(self._is_compressed(member) for member in self.survey())

    def open(self, start: int | Position = 0) -> LocalReader:
        """Open at a linear offset, or at a position: the file may have been renamed, copied or compressed since.

        A reader at a position counts ``start`` from the oldest file that is there now; but from the position's
        own file when a compressed one is before it, whose size nobody knows without decoding it.

        Raises:
            SourceFailed: it cannot be read.
            CursorExpired: the file of the position was cut, replaced or removed.
        """
        for _ in range(_TRIES):
            with contextlib.suppress(Moved):
                return self._open_at(start) if isinstance(start, Position) else self._open_from(start)
        detail = f"{shown(self._path)} is replaced faster than it can be opened."
        raise SourceFailed(Gap(self._name, GapReason.UNREADABLE, detail, "Try again when it has come to rest."))

    def peek_size(self) -> int | None:
        """Sum of the sizes; None when there is no file, or a compressed one."""
        members = [member for member in self.survey() if member.regular]
        if not members or any(self._is_compressed(member) for member in members):
            return None
        return sum(member.size_bytes for member in members)

    def peek_identity(self) -> Identity | None:
        """Identity of the oldest file that has a byte."""
        found = self.first_identity(self.survey(), min_bytes=1)
        return found[1] if found else None

    def survey(self) -> list[Member]:
        """Look at the files there are now, oldest first."""
        return survey(self._path, self._root)

    def is_unchanged(self, member: Member) -> bool:
        """Whether a file is where it was, and as it was."""
        return look(member.path, member.age, self._root) == member

    def live_key(self) -> Key | None:
        """Device and inode of the newest file; None when there is none."""
        return _key_at(self._path)

    def open_member(self, member: Member) -> OpenFile:
        """Open one file of the set.

        Raises:
            SourceFailed: it cannot be read.
            Moved: it has another name by now.
        """
        try:
            file = OpenFile(open_regular(member.path, self._root), member, self._max_decoded_bytes)
        except FileNotFoundError:
            raise Moved from None
        except OSError as error:
            raise failed(error, self._name, member.path) from error
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
        for member in reversed(members):
            if key_text(member.key) == identity.key:
                continue
            try:
                file = self.open_member(member)
            except Moved:
                continue
            except SourceFailed as broken:
                if _ends_all(broken.gap):
                    raise
                continue
            if file.is_copy(identity) and file.may_hold(at):
                return file
            file.close()
        return None

    def skip(self, file: OpenFile, size: int) -> int:
        """Skip bytes of a file; close it when that fails.

        Raises:
            SourceFailed: the disk failed.
        """
        try:
            return file.skip(size)
        except OSError as error:
            file.close()
            raise failed(error, self._name, file.path) from error

    def damage_gaps(self, file: OpenFile, offset: int) -> list[Gap]:
        """Return the gap at the end of a compressed file that could not be decoded to its end, if so; once."""
        damage = file.take_damage()
        if damage is None:
            return []
        detail = f"{shown(file.path)} {damage.detail} (noticed at byte {damage.offset} of the compressed file)."
        next_action = "What lay before is shown; restore the file to see the rest."
        return [Gap(self._name, damage.reason, detail, next_action, offset=offset)]

    def _is_compressed(self, member: Member) -> bool:
        if not member.is_packed:
            return False
        with contextlib.suppress(Moved, SourceFailed), self.open_member(member) as file:
            return file.compressed
        return False

    def _open_from(self, start: int) -> LocalReader:
        if start < 0:
            raise UsageError(f"an offset is 0 or more, not {start}")
        members = self.survey()
        gaps: list[Gap] = []
        left = start
        for index, member in enumerate(members):
            last = index == len(members) - 1
            try:
                file = self.open_member(member)
            except SourceFailed as broken:
                if last or _ends_all(broken.gap):
                    raise
                gaps.append(replace(broken.gap, lost_bytes=member.plain_bytes, offset=start - left))
                continue
            left -= self.skip(file, left)
            if last or not left:
                file.at += left  # beyond the end: bytes before the offset do not come out when they appear
                return LocalReader(self, file, Ahead(file.age, members[index + 1 :]), start, gaps)
            gaps.extend(self.damage_gaps(file, start - left))
            file.close()
        raise self._nothing_there()

    def _open_at(self, position: Position) -> LocalReader:
        identity, at = position.identity, position.offset
        if at < 0 or not 0 <= identity.fingerprint_bytes <= FINGERPRINT_BYTES:
            raise UsageError(f"an offset is 0 or more, a fingerprint covers up to {FINGERPRINT_BYTES} bytes")
        members = self.survey()
        file = self.find(members, identity, at)
        if file and self.skip(file, at) < at:
            file.close()
            file = None
        if file is None:
            raise CursorExpired(f"{self._name}: the file of this position was cut, replaced or removed")
        index = [member.key for member in members].index(file.key)
        ahead = Ahead(file.age, members[index + 1 :], begun=True)
        return LocalReader(self, file, ahead, self._before(members[:index]) + at, [])

    def _before(self, older: Sequence[Member]) -> int:
        if any(self._is_compressed(member) for member in older):
            return 0
        return sum(member.size_bytes for member in older if member.regular)

    def _nothing_there(self) -> Exception:
        try:
            os.close(open_regular(self._path, self._root))
        except OSError as error:
            return failed(error, self._name, self._path)
        return Moved()  # it has come just now


class LocalReader:
    """Reads a LocalSource, and follows it: see ``logflume.abc.Reader``.

    Order:  as written, oldest file first.
    Loss:   each known one is a Gap in ``gaps``; a block never reaches across one.
    Memory: one block, FINGERPRINT_BYTES bytes; for a compressed file what ``compressed`` says.
    """

    def __init__(self, source: LocalSource, file: OpenFile, ahead: Ahead, start: int, gaps: list[Gap]) -> None:
        self.start = start
        self.gaps = gaps
        self._source = source
        self._file = file
        self._expect(ahead)
        self._offset = start
        self._stretch = _Stretch(start, file.at)
        self._past: list[tuple[_Stretch, Identity]] = []
        self._failed: Gap | None = None
        self._closed = False

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; ``b""`` when there is nothing more at this moment.

        Raises:
            SourceFailed: the disk, or the newest file, cannot be read; again each time.
        """
        if self._closed:
            raise UsageError("read after close")
        if max_bytes < 1:
            raise UsageError(f"max_bytes is 1 or more, not {max_bytes}")
        if self._failed:
            raise SourceFailed(self._failed)
        try:
            return self._read(max_bytes)
        except SourceFailed as broken:
            self._failed = broken.gap
            raise

    def position(self, offset: int) -> Position:
        """Name the linear ``offset``; of the last MAX_STRETCHES files only."""
        if not self.start <= offset <= self._offset:
            raise UsageError(f"{offset} is not between {self.start} and {self._offset}, what was read")
        if offset >= self._stretch.start:
            return Position(self._file.identity(), self._stretch.at(offset))
        index = bisect.bisect_right([stretch.start for stretch, _ in self._past], offset) - 1
        if index < 0:
            raise UsageError(f"{offset} lies more than {MAX_STRETCHES} files back")
        stretch, identity = self._past[index]
        return Position(identity, stretch.at(offset))

    def close(self) -> None:
        """Release the descriptor."""
        self._closed = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, max_bytes: int) -> bytes:
        for _ in range(_TURNS):
            try:
                block = self._file.read(max_bytes)
            except Rewritten:
                self._start_over()
                continue
            except OSError as error:
                raise failed(error, self._source.name, self._file.path, self._offset) from error
            self._offset += len(block)
            if block or not self._go_on():
                return block
        return b""

    # one file, cut or overwritten under us

    def _start_over(self) -> None:
        file = self._file
        members = self._source.survey()
        copy = self._source.find_copy(members, file.identity(), file.at)
        if copy:
            self._source.skip(copy, file.at)
            newer = [member for member in members if member.age < copy.age]
            self._change_to(copy, Ahead(copy.age, newer, begun=True))
            return
        cut = file.find_cut()
        self._note_cut(cut, file.path, file.unread_bytes())
        if cut is Cut.AHEAD:
            file.forget_cut()
            return
        self._end_stretch()
        file.start_over()
        self._stretch = _Stretch(self._offset, 0)

    # from one file to the next

    def _go_on(self) -> bool:
        """Move on to the next newer file; False while no newer one has a byte."""
        for gap in self._source.damage_gaps(self._file, self._offset):
            self._add(gap)
        if not self._ahead.newer and self._source.live_key() == self._file.key:
            return False
        if self._ahead.is_next_rotated and self._source.is_unchanged(self._ahead.newer[0]):
            return self._switch()
        view = self._settled_view()
        if self._file.has_more():
            return True  # written before the writer went on to a newer file
        self._note_missing(view)
        self._ahead.accept(view)
        self._expect(self._ahead)
        return self._switch()

    def _settled_view(self) -> View:
        """Look ahead; once more when something is missing, since a rotation may be under way."""
        view = self._view()
        for _ in range(_TRIES):
            if not view.missing:
                break
            time.sleep(_PAUSE_S)
            view = self._view()
        return view

    def _view(self) -> View:
        members = self._source.survey()
        keys = [member.key for member in members]
        index = keys.index(self._file.key) if self._file.key in keys else self._index_of_copy(members)
        if index is not None:
            return self._ahead.compare(members[index].age, members[index + 1 :])
        age = self._age_without_file(members)
        if age is not None:
            return self._ahead.compare(age, [member for member in members if member.age < age])
        return self._view_without_trace(members)

    def _index_of_copy(self, members: Sequence[Member]) -> int | None:
        copy = self._source.find_copy(members, self._file.identity(), self._file.at)
        if copy is None:
            return None
        with copy:
            return [member.key for member in members].index(copy.key)

    def _age_without_file(self, members: Sequence[Member]) -> int | None:
        """Return which age our file would have, were it still there; None when nothing tells."""
        if self._anchor is None:
            return None
        age, identity = self._anchor
        anchor = self._source.find(members, identity, 0)
        if anchor is None:
            return None
        with anchor:
            return self._ahead.age + anchor.age - age

    def _view_without_trace(self, members: Sequence[Member]) -> View:
        """Take for newer what was written after our file was; where there are rotated ones, others may be gone."""
        since_ns = self._file.mtime_ns()
        newer = [member for member in members if member.age == 0 or member.mtime_ns >= since_ns]
        rotated = any(member.age for member in members)
        unsure = rotated and not all(member.is_empty for member in newer)
        age = newer[0].age + 1 if newer else 1
        return View(age, newer, missing=len(self._ahead.newer) + 1 if unsure else 0, is_guess=True)

    def _switch(self) -> bool:
        """Open the next newer file that has a byte; False when there is none."""
        for member in self._ahead.newer:
            if member.is_empty:
                continue
            try:
                file = self._source.open_member(member)
            except Moved:
                return True
            except SourceFailed as broken:
                if not member.age or _ends_all(broken.gap):
                    raise
                self._add(replace(broken.gap, lost_bytes=member.plain_bytes, offset=self._offset))
                continue
            self._change_to(file, self._ahead.passed_to(member))
            return True
        return False

    def _change_to(self, file: OpenFile, ahead: Ahead) -> None:
        self._end_stretch()
        self._file.close()
        self._file = file
        self._stretch = _Stretch(self._offset, file.at)
        self._expect(ahead)

    def _expect(self, ahead: Ahead) -> None:
        """Remember what lies ahead, and of its newest file the first bytes: by them it is found when ours is gone."""
        self._ahead = ahead
        identify = self._source.first_identity
        newest_first = ahead.newer[::-1]
        self._anchor = identify(newest_first, min_bytes=_TELLING_BYTES) or identify(newest_first, min_bytes=1)

    def _end_stretch(self) -> None:
        self._past.append((self._stretch, self._file.identity()))
        del self._past[:-MAX_STRETCHES]

    # what is missing

    def _note_missing(self, view: View) -> None:
        if view.missing:
            vanished = [member.age for member in view.gone] == [0]
            what = "The newest file was removed" if vanished else "A file was removed or rotated away"
            self._note(
                GapReason.VANISHED if vanished else GapReason.ROTATED_AWAY,
                f"{what} before it was read.",
                "Keep rotated files for longer, or read more often.",
                view.lost_bytes,
            )
        if view.cut_bytes:
            self._note_cut(Cut.BEFORE, view.newer[-1].path, view.cut_bytes)

    def _note_cut(self, cut: Cut, path: str, lost_bytes: int) -> None:
        self._note(
            GapReason.REPLACED if cut is Cut.OVERWRITTEN else GapReason.TRUNCATED,
            f"{shown(path)} was {cut.value}.",
            "Rotate by renaming rather than by truncating, or read more often.",
            lost_bytes or None,
        )

    def _note(self, reason: GapReason, detail: str, next_action: str, lost_bytes: int | None) -> None:
        self._add(Gap(self._source.name, reason, detail, next_action, lost_bytes, self._offset))

    def _add(self, gap: Gap) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(gap)
        else:
            lost_bytes = (self.gaps[-1].lost_bytes or 0) + (gap.lost_bytes or 0)
            self.gaps[-1] = replace(self.gaps[-1], lost_bytes=lost_bytes)


class Moved(Exception):
    """A name stands for another file than a moment ago: look again."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """From which linear offset on a reader read a file, and from where in it."""

    start: int
    file_start: int

    def at(self, offset: int) -> int:
        return self.file_start + offset - self.start


def _ends_all(gap: Gap) -> bool:
    """Whether what is missing says nothing about one file: no descriptor is left for any."""
    return gap.reason is GapReason.NO_DESCRIPTORS


def _key_at(path: str) -> Key | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
