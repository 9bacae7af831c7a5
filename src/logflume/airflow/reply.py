"""One answer to Airflow: what the sources hold from a position on, and the position that comes after it.

Holds: the metadata is complete when this is made. Nothing is open before the first message is taken, nor after the
       last, nor once the stream is dropped.
Plan:  a first answer begins with what each place said; one that goes on has the new lines only. While the try runs, an
       answer with a position ends at the last whole line of each source; one without shows all there is.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from logflume._core import Messages
from logflume.airflow.messages import iter_messages, iter_single, message_line
from logflume.airflow.positions import look_at
from logflume.airflow.requests import close_with_request, hand_over, stand_in_for, wants_lines
from logflume.cursor import Cursor
from logflume.errors import BadCursor, LogflumeError
from logflume.merge import How, iter_merged
from logflume.records import Output
from logflume.seek import iter_lines
from logflume.until import first_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from logflume.abc import Found, Source
    from logflume.airflow.messages import Message
    from logflume.airflow.past_route import Closable
    from logflume.records import Gap

POSITION = "logflume"
TOLD = "logflume_told"
"""The names of our parts of a continuation token: where to go on, and which sources were told to be unreadable."""

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""A longer line passes in pieces."""

COUNTED_BYTES = 1024 * 1024
"""Of so much, ``log_pos`` is counted beforehand; of more it is known when the stream has been consumed."""

_HOW = How(max_record_bytes=MAX_RECORD_BYTES)


class Reply:
    """What Airflow gets for one request."""

    def __init__(self, found: Found, asked: dict[str, Any], *, over: bool, ended: bool, page_lines: int = 0) -> None:
        """Look where everything ends now.

        Args:
            found: what the places said, and the sources.
            asked: Airflow's metadata: of the token that it was sent, or of a first request.
            over: this try does not run any more.
            ended: nobody writes to its log any more.
            page_lines: an answer of messages ends after so many lines, and its token goes on there; 0: it does not.
        """
        self._found = found
        self._over = over
        self._ended = ended
        self._goes_on = POSITION in asked or "log_pos" in asked
        start = _cursor(asked)
        self._looks = look_at(found.sources, start, through=not ended and not wants_lines())
        self._given = int(asked.get("log_pos", 0))
        # A token of Airflow's own handler counts lines.
        self._skip = self._given if start is None else 0
        self.metadata: dict[str, Any] = {"end_of_log": ended, "log_pos": self._given + self._count()}
        self._told = set(asked.get(TOLD) or ())
        if not ended:
            self.metadata[POSITION] = Cursor(tuple(look.next_mark for look in self._looks if look.next_mark)).token()
            if failed := [look.source.name for look in self._looks if look.gap]:
                self.metadata[TOLD] = failed
        self._page: list[bytes] | None = None
        if page_lines and not wants_lines():
            self._take_page(page_lines)

    def messages(self) -> Iterator[Message]:
        """Yield the messages; nothing is read before the first is asked for, or after the stream is closed.

        Order:  what the places said, the lines of the log by time, then what was found missing while reading.
        Loss:   none that is not among the messages.
        Memory: one block and one record for each source.
        """
        if self._goes_on:
            yield from iter_single(self._head_of_more())
            yield from iter_single(self._of_answer(written=False))
        else:
            yield from iter_messages(self._head(), lambda written: self._of_answer(written=written))

    def _head(self) -> list[str]:
        """Return the group that says where the log is from, as Airflow's UI folds it."""
        failed = {look.source.name for look in self._looks if look.gap}
        said = [text for text in self._found.messages if text not in failed]
        said += [_told(look.gap) for look in self._looks if look.gap]
        return [
            message_line("::group::Log message source details"),
            *map(message_line, said),
            message_line("::endgroup::"),
        ]

    def _head_of_more(self) -> Iterator[bytes]:
        for look in self._looks:
            name = look.source.name
            if look.started_over and not look.gap:
                yield _warning(f"{name} was cut or replaced since the last look; it follows from its start.")
            if look.has_moved and not look.gap:
                yield _warning(f"The log is read from another place now, {name}; it follows from its start.")
            if look.gap and name not in self._told:
                yield _warning(_told(look.gap))

    def _of_answer(self, *, written: bool) -> Iterable[bytes]:
        """Return the lines that are wanted: all there are where they are written, else up to a line or a page's end.

        Many of them go past Airflow's route where that can be.
        """
        if written:
            self.metadata["end_of_log"] = self._over  # else the route reads it again, and gives it twice
            rest = _Rest(self._blocks, whole=True)
            return () if hand_over(rest) else rest
        if self._page is not None:
            return self._page
        rest = _Rest(self._blocks, whole=self._ended)
        stand_in = None if self._is_small() else stand_in_for(rest)
        return rest if stand_in is None else [stand_in]

    def _take_page(self, lines: int) -> None:
        """Read the first lines now, for their end is where the token goes on; nothing is kept if that is all."""
        sources, start = self._readable(whole=self._ended)
        convert = Messages().convert
        page: list[bytes] = []
        taken = 0
        try:
            with iter_merged(sources, _HOW, start=start, workers=0, block_bytes=1) as merged:
                for block in iter_lines(merged, _HOW, skip=self._skip):
                    page.append(convert(block))
                    taken += block.count(b"\n")
                    if taken >= lines:
                        after = merged.cursor()
                        break
                else:
                    return
                if next(merged, None) is None:
                    return
        except LogflumeError:  # said when it is read
            return
        self._page = page
        self.metadata = {"end_of_log": False, "log_pos": self._given + taken, POSITION: after.token()}

    def _blocks(self, *, whole: bool, opened: Callable[[Closable], None]) -> Iterator[bytes]:
        """Yield the lines as blocks of NDJSON; ``whole``: up to the end, a last line without its newline too."""
        sources, start = self._readable(whole=whole)
        if not sources:
            return
        convert = Messages().convert
        lines = 0
        try:
            with iter_merged(sources, _HOW, start=start, workers=0 if self._is_small() else None) as merged:
                opened(merged)
                for block in iter_lines(merged, _HOW, skip=self._skip):
                    yield convert(block)
                lines = merged.stats()["lines_out"]
                gaps = merged.gaps
            yield from (_warning(_told(gap)) for gap in gaps)
        except LogflumeError as error:
            yield _warning(f"The log cannot be read any further: {error}. Ask again.")
        self.metadata["log_pos"] = self._given + max(0, lines - self._skip)

    def _readable(self, *, whole: bool) -> tuple[list[Source], Cursor]:
        looks = [look for look in self._looks if not look.gap]
        if not whole:
            looks = [look for look in looks if look.end]
        start = Cursor(tuple(look.mark for look in looks if look.mark))
        if whole:
            return [look.source for look in looks], start
        return [first_bytes(look.source, look.whole_bytes) for look in looks], start

    def _is_small(self) -> bool:
        return all(look.bytes is not None for look in self._looks) and self._bytes() <= COUNTED_BYTES

    def _bytes(self) -> int:
        return sum(look.bytes or 0 for look in self._looks)

    def _count(self) -> int:
        """Count the lines of an answer that is small."""
        if not self._is_small():
            return 0
        sources, start = self._readable(whole=self._ended)
        how = replace(_HOW, output=Output.NONE)
        try:
            with iter_merged(sources, how, start=start, workers=0) as merged:
                for _ in merged:
                    pass
                return max(0, merged.stats()["lines_out"] - self._skip)
        except LogflumeError:  # said when it is read
            return 0


class _Rest:
    """All lines of an answer, which are read in one thread and may be closed in another."""

    def __init__(self, read: Callable[..., Iterator[bytes]], *, whole: bool) -> None:
        self._read = read
        self._whole = whole
        self._changing = threading.Lock()
        self._merged: Closable | None = None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._read(whole=self._whole, opened=self._opened)

    def _opened(self, merged: Closable) -> None:
        close_with_request(merged)
        with self._changing:
            self._merged = merged
            closed = self._closed
        if closed:
            merged.close()

    def close(self) -> None:
        """End the reading soon."""
        with self._changing:
            self._closed = True
            merged = self._merged
        if merged is not None:
            merged.close()


def _cursor(asked: dict[str, Any]) -> Cursor | None:
    """Return the position in a token; a damaged one is none."""
    token = asked.get(POSITION)
    if not isinstance(token, str):
        return None
    try:
        return Cursor.from_token(token)
    except BadCursor:
        return None


def _told(gap: Gap) -> str:
    return f"{gap.source}: {gap.detail} {gap.next_action}"


def _warning(text: str) -> bytes:
    return message_line(text, level="warning", logger="logflume").encode() + b"\n"
