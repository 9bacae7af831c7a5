"""A log file together with its rotated predecessors: one source, oldest bytes first.

Invariant: each byte comes out once, in the order written; what cannot come out is a Gap. A reader holds one
descriptor between calls, and two more for a moment within a call: 1,000 readers need 1,002.

Plan:  the linear stream is the concatenation of the set (see ``rotation``), but for the hole that a capture may have
made in a file to give space back. A reader drains the file it holds, through its descriptor, whatever that file is
called by now or whether it is deleted; then it looks where this file is in the set and goes on with the next newer
one. It leaves a file only when a newer one has its first byte: a program that was not yet told of the rotation still
writes to the old one.

A file is known again by device, inode and its first FINGERPRINT_BYTES bytes: inodes are used again. With the
inode gone, or the file cut under the reader, a file of the set that begins with the same bytes is taken for its copy:
that is how a file stays known when rotation compresses it, or copies and truncates it ("copytruncate").

What cannot be done:

- What was written between the copy and the cut of a copytruncate, or not read before a plain truncation, is gone; a
  Gap says that a cut was seen. A cut file that has grown beyond the reader again is noticed by its first bytes only.
- A reader opened between the copy and the cut shows what was copied twice. One that had seen less than TELLING_BYTES
  bytes of a file does not know its copy: then there is a Gap.
- Two files that begin with the same FINGERPRINT_BYTES bytes cannot be told apart once the inode does not help.
- A file that is moved out of the set (a name with a date, another folder) is read to its end, through the
  descriptor; what comes and goes whole between two looks is never seen, but for the hole it leaves in the numbers.
- Several programs that write to the old and to the new file at the same time: what comes late to the old one is missed.
"""

from __future__ import annotations

import bisect
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, LogStatus, Position
from logflume.sources.ahead import Ahead, View
from logflume.sources.arrivals import Arrivals
from logflume.sources.captured import state_of_captured
from logflume.sources.compressed import MAX_DECODED_BYTES
from logflume.sources.fileset import FileSet, Moved, ends_all
from logflume.sources.openfile import FINGERPRINT_BYTES, TELLING_BYTES, Cut, OpenFile, Punched, Rewritten
from logflume.sources.opening import shown
from logflume.sources.rotation import MAX_NUMBER, Key, Member, rotated_set

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["MAX_GAPS", "MAX_STRETCHES", "LocalReader", "LocalSource", "rotated_set"]

MAX_GAPS = 1000
"""So many gaps of one reader are told apart; from there on the last one gathers the rest."""

MAX_STRETCHES = 1000
"""A reader can name positions in the file it reads, and in so many before it."""

_TRIES = 4  # a set that changes while it is looked at is looked at again
_TURNS = 2 * MAX_NUMBER  # changes of file that one call follows: any set, but not one that is rewritten for ever
_ANCHORS = 3  # so many files are looked at for one with TELLING_BYTES
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
        told_from: str | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            path: the newest file of the set; it need not exist while a rotated one does.
            root: no file that really lies outside of this folder is read.
            name: what people call it; the path by default.
            max_decoded_bytes: what one compressed file may give.
            told_from: what is missing is told with paths from this folder on; with whole ones by default.
        """
        text = os.fspath(path)
        if "\0" in text:
            raise UsageError("a path holds no NUL")
        root_text = None if root is None else os.fspath(root)
        self._files = FileSet(text, root_text, name or shown(text), max_decoded_bytes, told_from)

    @property
    def name(self) -> str:
        """What people call it."""
        return self._files.name

    @property
    def paths(self) -> tuple[str]:
        """The newest file of the set: what has been rotated changes no more."""
        return (self._files.path,)

    def survey(self) -> list[Member]:
        """Return the files of the set as they are now, oldest first."""
        return self._files.survey()

    @property
    def seekable(self) -> bool:
        """Whether no file of the set is compressed."""
        return not any(self._files.is_compressed(member) for member in self._files.survey())

    def open(self, start: int | Position = 0) -> LocalReader:
        """Open at a linear offset, or at a position: the file may have been renamed, copied or compressed since.

        A reader at a position counts ``start`` from the oldest file that is there now; but from the position's
        own file when a compressed one is before it, whose size nobody knows without decoding it.

        Raises:
            SourceFailed: it cannot be read.
            CursorExpired: the file of the position was cut, replaced or removed.
        """
        for _ in range(_TRIES):
            try:
                return self._open_at(start) if isinstance(start, Position) else self._open_from(start)
            except Moved:
                time.sleep(_PAUSE_S)
        detail = f"{self._files.told(self._files.path)} is replaced faster than it can be opened."
        raise SourceFailed(Gap(self._files.name, GapReason.UNREADABLE, detail, "Try again when it has come to rest."))

    def peek_size(self) -> int | None:
        """How many bytes can be read; None when there is no file, or a compressed one."""
        members = [member for member in self._files.survey() if member.regular]
        if not members or any(self._files.is_compressed(member) for member in members):
            return None
        return sum(self._files.readable_bytes(member) for member in members)

    def readable_before(self, offset: int) -> int:
        """Return how many of the first ``offset`` bytes can be read: the linear offset of what is behind them."""
        linear = 0
        for member in self._files.survey():
            if offset <= member.size_bytes:
                return linear + self._files.readable_bytes(member, max(0, offset))
            linear += self._files.readable_bytes(member)
            offset -= member.size_bytes
        return linear

    def peek_identity(self) -> Identity | None:
        """Identity of the oldest file that has a byte."""
        found = self._files.first_identity(self._files.survey(), min_bytes=1)
        return found[1] if found else None

    def peek_status(self) -> LogStatus:
        """Say when it was last written, and how the command stands whose output it is, if that was captured by us."""
        state, detail = state_of_captured(self._files.path, self._files.root)
        times = [member.mtime_ns for member in self._files.survey()]
        return LogStatus(state, max(times, default=None), detail)

    def _open_from(self, start: int) -> LocalReader:
        if start < 0:
            raise UsageError(f"an offset is 0 or more, not {start}")
        members = self._files.survey()
        gaps: list[Gap] = []
        left = start
        for index, member in enumerate(members):
            last = index == len(members) - 1
            try:
                file = self._files.open_member(member)
            except SourceFailed as broken:
                if last or ends_all(broken.gap):
                    raise
                gaps.append(replace(broken.gap, lost_bytes=member.plain_bytes, offset=start - left))
                continue
            left -= self._files.skip(file, left, readable=True)
            if last or not left:
                self._require_still(members, file)
                file.at += left  # beyond the end: bytes before the offset do not come out when they appear
                reader = LocalReader(self._files, file, Ahead(file.age, members[index + 1 :]), start, gaps)
                if not start and not index:
                    reader.note_beginning()
                return reader
            gaps.extend(self._files.damage_gaps(file, start - left))
            file.close()
        raise self._files.nothing_there()

    def _require_still(self, members: Sequence[Member], file: OpenFile) -> None:
        """Look once more now that a file is held, for nobody else can have its inode from now on."""
        if _outline(self._files.survey()) != _outline(members):
            file.close()
            raise Moved

    def _open_at(self, position: Position) -> LocalReader:
        identity, at = position.identity, position.offset
        if at < 0 or not 0 <= identity.fingerprint_bytes <= FINGERPRINT_BYTES:
            raise UsageError(f"an offset is 0 or more, a fingerprint covers up to {FINGERPRINT_BYTES} bytes")
        members = self._files.survey()
        file = self._files.find(members, identity, at)
        if file and self._files.skip(file, at) < at:
            file.close()
            file = None
        if file is None:
            raise CursorExpired(f"{self._files.name}: the file of this position was cut, replaced or removed")
        index = [member.key for member in members].index(file.key)
        ahead = Ahead(file.age, members[index + 1 :], begun=True)
        return LocalReader(self._files, file, ahead, self._before(members[:index]) + file.readable_before(at), [])

    def _before(self, older: Sequence[Member]) -> int:
        if any(self._files.is_compressed(member) for member in older):
            return 0
        return sum(self._files.readable_bytes(member) for member in older if member.regular)


class LocalReader(Closing):
    """Reads a LocalSource, and follows it: see ``logflume.abc.Reader``.

    Order:  as written, oldest file first.
    Loss:   each known one is a Gap in ``gaps``; a block never reaches across one.
    Memory: one block, FINGERPRINT_BYTES bytes; for a compressed file what ``compressed`` says.
    """

    def __init__(self, files: FileSet, file: OpenFile, ahead: Ahead, start: int, gaps: list[Gap]) -> None:
        self.start = start
        self.gaps = gaps
        self._files = files
        self._file = file
        self._expect(ahead)
        self._offset = start
        self._stretch = _Stretch(start, file.at)
        self._past: list[tuple[_Stretch, Identity]] = []
        self._unreadable: set[Key] = set()  # files ahead that are told to be so already
        self._failed: Gap | None = None
        self._closed = False
        self._arrivals = Arrivals(files.path, files.root)
        self._block_bytes = 0  # of the block read last

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
            block = self._read(max_bytes)
        except SourceFailed as broken:
            self._failed = broken.gap
            raise
        self._block_bytes = len(block)
        self._note_damage(block)
        return block

    def has_arrivals(self) -> bool:
        """Whether a capture notes things beside the files."""
        return self._arrivals.are_noted()

    def peek_arrivals(self) -> list[tuple[int, int]]:
        """Return when the bytes of the block read last came, as far as the capture noted it."""
        size, file = self._block_bytes, self._file
        return self._arrivals.of(file.key, file.at - size, size, file.mtime_ns()) if size else []

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

    def _read(self, max_bytes: int) -> bytes:
        for _ in range(_TURNS):
            try:
                block = self._read_or_move(max_bytes)
            except Moved:
                continue
            except OSError as error:
                raise self._files.failed(error, self._file.path, self._offset) from error
            if block is not None:
                return block
        return b""

    def _read_or_move(self, max_bytes: int) -> bytes | None:
        """Return the next block; None when there may be more in another place, to which it has moved on."""
        if not self._file.first and self._file.has_more() and self._take_copy_of_blank():
            return None
        try:
            block = self._file.read(max_bytes)
        except Rewritten:
            self._start_over()
            return None
        except Punched as hole:
            self._pass_hole(hole.end)
            return None
        self._offset += len(block)
        return block if block or not self._go_on() else None

    def _take_copy_of_blank(self) -> bool:
        """Go back from a file of which nothing had been seen to the copies that were made of it meanwhile, if any."""
        members = self._files.survey()
        age = next((member.age for member in members if member.key == self._file.key), None)
        if age is None:
            return False
        copies = [member for member in members if member.age > age and member.mtime_ns > self._file.seen_mtime_ns]
        if not copies:
            return False
        file = self._files.open_member(copies[0])
        self._change_to(file, Ahead(file.age, members[members.index(copies[0]) + 1 :], begun=True))
        return True

    # one file, punched, cut or overwritten under us

    def _pass_hole(self, end: int) -> None:
        """Go on behind what a capture gave up in order to keep its budget."""
        lost_bytes = self._file.pass_hole(end)
        name = self._files.told(self._file.path)
        detail = f"{lost_bytes} bytes of {name} were given up to keep the file within its budget."
        next_action = "Read what is left; give the capture a larger budget, or a sink that keeps up."
        self._note(GapReason.EXPIRED, detail, next_action, lost_bytes)
        self._end_stretch()
        self._stretch = _Stretch(self._offset, end)

    def _start_over(self) -> None:
        file = self._file
        members = self._files.survey()
        copy = self._files.find_copy_of_cut(members, file)
        if copy:
            self._files.skip(copy, file.at)
            newer = [member for member in members if member.age < copy.age]
            self._change_to(copy, Ahead(copy.age, newer, begun=True))
            return
        cut = file.find_cut()
        if file.at or file.unread_bytes():  # or else nothing was seen of it
            self._note_cut(cut, file.path, file.unread_bytes())
        if cut is Cut.AHEAD:
            file.forget_cut()
            return
        self._end_stretch()
        file.start_over()
        self._stretch = _Stretch(self._offset, 0)

    def note_beginning(self) -> None:
        """Note what a capture counted before the oldest file."""
        lost_bytes = self._arrivals.base_of(self._file.key)
        if lost_bytes:
            name = self._files.told(self._file.path)
            detail = f"{lost_bytes} bytes came before {name} begins: they were given up, or removed as it was wanted."
            next_action = "Read what is left; give the capture a larger budget, or look where it was shipped to."
            self._note(GapReason.EXPIRED, detail, next_action, lost_bytes)

    def _note_damage(self, block: bytes) -> None:
        """Note what of a block is not what was captured; it is passed on as it is."""
        file = self._file
        if file.compressed:
            return
        for damage in self._arrivals.iter_damage(file.key, file.at - len(block), block):
            where = f"bytes {damage.start} to {damage.end} of {self._files.told(file.path)}"
            detail = f"{where} do not fit their checksum; they are passed on as they are."
            self._note(GapReason.CORRUPT, detail, "Run logflume fsck.", damage.end - damage.start)

    # from one file to the next

    def _go_on(self) -> bool:
        """Move on to the next newer file; False while no newer one has a byte."""
        for gap in self._files.damage_gaps(self._file, self._offset):
            self._add(gap)
        if not self._ahead.newer and self._files.live_key() == self._file.key:
            return False
        if self._ahead.is_next_rotated and self._take_unchanged(self._ahead.newer[0]):
            return True
        view = self._settled_view()
        if self._file.has_more():
            return True  # written before the writer went on to a newer file
        return self._take_next(view)

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
        members = self._files.survey()
        keys = [member.key for member in members]
        index = keys.index(self._file.key) if self._file.key in keys else self._index_of_copy(members)
        if index is not None:
            return self._ahead.compare(members[index].age, members[index + 1 :])
        age = self._age_without_file(members)
        if age is not None:
            return self._ahead.compare(age, [member for member in members if member.age < age])
        return self._view_without_trace(members)

    def _index_of_copy(self, members: Sequence[Member]) -> int | None:
        copy = self._files.find_copy(members, self._file.identity(), self._file.at)
        if copy is None:
            return None
        with copy:
            return [member.key for member in members].index(copy.key)

    def _age_without_file(self, members: Sequence[Member]) -> int | None:
        """Return which age our file would have, were it still there; None when nothing tells."""
        if self._anchor is None:
            return None
        age, identity = self._anchor
        try:
            anchor = self._files.find(members, identity, 0)
        except SourceFailed as broken:
            if ends_all(broken.gap):
                raise
            return None
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

    def _take_unchanged(self, member: Member) -> bool:
        """Go on with the next file, without looking at the others, if it is where it was, and as it was."""
        try:
            file = self._files.open_member(member)
        except (Moved, SourceFailed):
            return False
        if not self._files.is_unchanged(member):
            file.close()
            return False
        self._change_to(file, self._ahead.passed_to(member))
        return True

    def _take_next(self, view: View) -> bool:
        """Go on with the next file that has a byte and can be read; False when there is none."""
        unreadable: dict[Key, Gap] = {}
        for member in view.newer:
            if member.is_empty or member.key in self._unreadable:
                continue
            try:
                file = self._files.open_member(member)
            except SourceFailed as broken:
                if not member.age or ends_all(broken.gap):
                    self._accept(view, unreadable)
                    raise
                unreadable[member.key] = replace(broken.gap, lost_bytes=member.plain_bytes, offset=self._offset)
                continue
            self._require_still(view, file)
            self._accept(view, unreadable)
            self._change_to(file, self._ahead.passed_to(member))
            return True
        self._accept(view, unreadable)
        return False

    def _require_still(self, view: View, file: OpenFile) -> None:
        """Look once more now that the next file is held, for nobody else can have its inode from now on."""
        again = self._view()
        if (again.age, again.missing, _outline(again.newer)) != (view.age, view.missing, _outline(view.newer)):
            file.close()
            raise Moved

    def _accept(self, view: View, unreadable: dict[Key, Gap]) -> None:
        self._note_missing(view)
        for gap in unreadable.values():
            self._add(gap)
        self._unreadable = {member.key for member in view.newer} & (self._unreadable | unreadable.keys())
        self._ahead.accept(view)
        self._expect(self._ahead)

    def _change_to(self, file: OpenFile, ahead: Ahead) -> None:
        self._end_stretch()
        self._file.close()
        self._file = file
        self._stretch = _Stretch(self._offset, file.at)
        self._expect(ahead)

    def _expect(self, ahead: Ahead) -> None:
        """Remember what lies ahead, and the first bytes of a new file of it: by them it is found when ours is gone."""
        self._ahead = ahead
        newest = ahead.newer[: -1 - _ANCHORS : -1]
        self._anchor = self._files.first_identity(newest, min_bytes=TELLING_BYTES)

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
            f"{self._files.told(path)} was {cut.value}.",
            "Rotate by renaming rather than by truncating, or read more often.",
            lost_bytes or None,
        )

    def _note(self, reason: GapReason, detail: str, next_action: str, lost_bytes: int | None) -> None:
        self._add(Gap(self._files.name, reason, detail, next_action, lost_bytes, self._offset))

    def _add(self, gap: Gap) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(gap)
        else:
            lost_bytes = (self.gaps[-1].lost_bytes or 0) + (gap.lost_bytes or 0)
            self.gaps[-1] = replace(self.gaps[-1], lost_bytes=lost_bytes)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """From which linear offset on a reader read a file, and from where in it."""

    start: int
    file_start: int

    def at(self, offset: int) -> int:
        return self.file_start + offset - self.start


def _outline(members: Sequence[Member]) -> list[tuple[Key, bool]]:
    """Return by what two looks at files are compared: that a file grows makes no difference."""
    return [(member.key, member.is_empty) for member in members]
