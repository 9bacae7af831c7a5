"""Which files come after the one in hand, and which should: how a reader notices that one went missing.

Invariant: each file that was seen ahead, or whose number says that it must have been there, is either met or
counted as missing when the reader passes its place; once.

Plan:  a file's place is its age, how often the set was rotated since it was the newest. When our own file has grown
older by n, so have all others. A place without a file is a loss, unless it had none when reading began. A file
that was seen and is not there any more is one too, unless a compressed file has its place: that is what became of it.

Not here: looking at files; who calls this has seen them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from logflume.sources.rotation import Member


@dataclass(frozen=True, slots=True)
class View:
    """The newer files at one moment, oldest first, and what is missing on the way to the next one with bytes.

    Attributes:
        age: of our own file.
        newer: the files.
        missing: how many are missing.
        gone: those of them that had been seen.
        cut_bytes: by how much files ahead have become shorter.
        is_guess: nothing told the age; what was known before does not help any more.
    """

    age: int
    newer: Sequence[Member]
    missing: int = 0
    gone: Sequence[Member] = ()
    cut_bytes: int = 0
    is_guess: bool = False

    @property
    def next(self) -> Member | None:
        """The next file that has, or may have, bytes."""
        return next((member for member in self.newer if not member.is_empty), None)

    @property
    def lost_bytes(self) -> int | None:
        """Size of what is missing; None when not all of that was seen as plain files."""
        known = [member.plain_bytes for member in self.gone if member.plain_bytes is not None]
        return sum(known) if len(known) == self.missing else None


class Ahead:
    """What is known of the files that are newer than the one in hand.

    Memory: one Member for each.
    """

    def __init__(self, age: int, newer: Sequence[Member], *, begun: bool = False) -> None:
        """Begin with the file of an age.

        Args:
            age: of our own file.
            newer: the files that are there now.
            begun: whether somebody has read this file before: a place without a file is a loss then.
        """
        self.newer = newer
        self.age = age
        self._known = {member.age: member for member in newer}
        self._void = set() if begun else set(range(1, age)) - self._known.keys()

    @property
    def is_next_rotated(self) -> bool:
        """Whether the next place has a rotated file, with bytes: while it is unchanged, nothing else matters."""
        return self.age > 1 and bool(self.newer) and self.newer[0].age == self.age - 1 and not self.newer[0].is_empty

    def compare(self, age: int, newer: Sequence[Member]) -> View:
        """Compare what lies ahead now, when our file is of this age, with what should."""
        known, void = self._shifted(age - self.age)
        gone = _gone(known, newer)
        now = {member.age for member in newer}
        reach = next((member.age for member in newer if not member.is_empty), 0)
        passed = range(age - 1, reach - 1, -1)
        gone_here = [gone[place] for place in passed if place in gone]
        unseen = [place for place in passed if place and place not in known and place not in now and place not in void]
        return View(age, newer, len(gone_here) + len(unseen), gone_here, _cut_bytes(known, newer))

    def accept(self, view: View) -> None:
        """Take a view for what is known from now on; what it counted as missing is not counted again."""
        if view.is_guess:
            self._known, self._void = {}, set()
        known, self._void = self._shifted(view.age - self.age)
        reach = view.next.age if view.next else 0
        now = {member.age: member for member in view.newer}
        unmet = {place: seen for place, seen in _gone(known, view.newer).items() if place < reach}
        self._void |= set(range(reach, view.age)) - now.keys()
        self._known = now | unmet  # what is missing further on is counted when we come there
        self.age, self.newer = view.age, view.newer

    def passed_to(self, member: Member) -> Ahead:
        """Return what is ahead of one of the newer files."""
        further = Ahead(member.age, [other for other in self.newer if other.age < member.age])
        further._known = {place: seen for place, seen in self._known.items() if place < member.age}
        further._void = {place for place in self._void if place < member.age}
        return further

    def _shifted(self, by: int) -> tuple[dict[int, Member], set[int]]:
        return {place + by: seen for place, seen in self._known.items()}, {place + by for place in self._void}


def _is_same(seen: Member, place: int, now: Member) -> bool:
    """Whether a file can be one that was seen: an inode may be of another file by now."""
    if now.key != seen.key or now.is_packed != seen.is_packed:
        return False
    # The newest does not grow older when it is copied and cut.
    if now.age == place or (seen.age == 0 and now.age < place):
        return True
    # Files are renamed one after the other: one more or less, if it is as it was, or was written on as the newest.
    is_as_it_was = (now.mtime_ns, now.size_bytes) == (seen.mtime_ns, seen.size_bytes)
    return abs(now.age - place) == 1 and (is_as_it_was or (seen.age == 0 and now.size_bytes >= seen.size_bytes))


def _gone(known: Mapping[int, Member], newer: Sequence[Member]) -> dict[int, Member]:
    """Return, by place, the files that were seen and are not there any more, not even compressed."""
    there = {member.key: member for member in newer}
    packed = {member.age for member in newer if member.is_packed}

    def is_there(place: int, seen: Member) -> bool:
        same = seen.key in there and _is_same(seen, place, there[seen.key])
        return same or (place in packed and not seen.is_packed)

    return {place: seen for place, seen in known.items() if not is_there(place, seen)}


def _cut_bytes(known: Mapping[int, Member], newer: Sequence[Member]) -> int:
    """Return by how much files are shorter now, but those that have a new file before them: it can be the copy."""
    there = {member.key: member for member in newer}
    pairs = [(place, seen, there[seen.key]) for place, seen in known.items() if seen.key in there]
    same = [(seen, now) for place, seen, now in pairs if _is_same(seen, place, now)]
    keys = {now.key for _, now in same}
    oldest_new = max((member.age for member in newer if member.key not in keys), default=0)
    return sum(max(0, seen.size_bytes - now.size_bytes) for seen, now in same if now.age >= oldest_new)
