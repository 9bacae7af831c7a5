"""The public testing kit: good sources and sinks pass all of it, and each single defect is caught by its check."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume import testing
from logflume.abc import BLOCK_BYTES, Reader, Sink, Source
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position
from logflume.sources.memory import BytesReader, BytesSource
from logflume.testing import (
    ConformanceFailed,
    FakeReader,
    FakeSource,
    LiveFile,
    check_sink,
    check_source,
    cut,
    every_cut,
    numbered_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = numbered_lines(12_000)
DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-source.md"

SEEK = "a seek reads no old bytes"
FAILURE = "a failure says why, and what to do"
APPEND = "what is appended comes, and nothing else"
TRUNCATE = "what is cut off is told"
REPLACE = "bytes that were replaced are not mixed with the new ones"


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here comes late: what is not there at once never comes."""
    monkeypatch.setattr(testing, "_PATIENCE_S", 0.02)


# Good ones


def test_a_fake_source_keeps_the_whole_contract() -> None:
    """FakeSource passes every check but the cost of a seek, which memory does not have."""
    source = FakeSource("fake", cuts=[1, 100], gaps=[])

    def make() -> Source:
        source.replace(CONTENT)
        return source

    proven = check_source(
        make,
        content=CONTENT,
        append=source.append,
        truncate=source.truncate,
        replace=source.replace,
        make_failing=lambda: FakeSource("failing", CONTENT, fail_at=1000),
    )
    assert proven == [check for check in testing._SOURCE_CHECKS if check != SEEK]
    assert source.open_readers == 0


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"one line without an end", CONTENT], ids=["empty", "newline", "one", "many"]
)
def test_bytes_in_memory_are_a_source(content: bytes) -> None:
    """BytesSource passes whatever it holds; what nobody gave a means for is not counted as proven."""
    proven = check_source(lambda: BytesSource("bytes", content), content=content)
    assert set(testing._SOURCE_CHECKS) - set(proven) == {SEEK, FAILURE, APPEND, TRUNCATE, REPLACE}


def test_bytes_of_another_source_expire_a_position() -> None:
    """A position named in one BytesSource opens in another one over equal bytes, and in no other."""
    with BytesSource("a", CONTENT).open() as reader:
        position = reader.position(3)
        assert BytesSource("b", CONTENT).open(position).start == 3
        with pytest.raises(CursorExpired):
            BytesSource("a", CONTENT + b"x").open(position)
    with pytest.raises(UsageError):
        reader.read_block()
    with pytest.raises(UsageError):
        BytesSource("a", CONTENT).open(-1)


def test_the_documents_source_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code of the how-to runs as it stands there, its source has at most 40 lines, and it is proven."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    assert len([line for line in blocks[0].splitlines() if line]) <= 40
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own document
    assert set(testing._SOURCE_CHECKS) - set(names["proven"]) == {APPEND, TRUNCATE}
    assert capsys.readouterr().out.splitlines() == names["proven"]


# Sources with one defect


class Leak:
    """Something opened and forgotten; ``mend`` closes it when the test is over."""

    opened: list[Leak] = []  # noqa: RUF012 - all leaks of this module

    def __init__(self) -> None:
        self.descriptor = os.open(os.devnull, os.O_RDONLY)
        self.opened.append(self)

    @classmethod
    def mend(cls) -> None:
        while cls.opened:
            os.close(cls.opened.pop().descriptor)


@pytest.fixture(autouse=True)
def _mended() -> Iterator[None]:
    """Close what broken sources leave open."""
    yield
    Leak.mend()


class Wrapped:
    """A BytesSource whose readers are of another class; the defects are made by overriding."""

    seekable = True

    def __init__(self, reader: type[BytesReader] = BytesReader) -> None:
        self.reader = reader
        self.bytes = BytesSource("wrapped", CONTENT)

    @property
    def name(self) -> str:
        return "wrapped"

    def open(self, start: int | Position = 0) -> Reader:
        good = self.bytes.open(start)
        return self.reader(CONTENT, good.start, good.position(0).identity)

    def peek_size(self) -> int | None:
        return len(CONTENT)

    def peek_identity(self) -> Identity | None:
        return self.bytes.peek_identity()


class NoSize(Wrapped):
    peek_size = property()


class UndecidedSeekable(Wrapped):
    seekable = None  # type: ignore[assignment]


class OpensWhenMade(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.leak = Leak()


class NameOfItsOwn(Wrapped):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        NameOfItsOwn.made += 1
        self.number = self.made

    @property
    def name(self) -> str:
        return f"source {self.number}"


class NamelessUntilOpened(Wrapped):
    name = ""

    def open(self, start: int | Position = 0) -> Reader:
        self.name = "now it has one"
        return super().open(start)


class WrongSize(Wrapped):
    def peek_size(self) -> int | None:
        return len(CONTENT) + 1


class NoIdentity(Wrapped):
    def peek_identity(self) -> Identity | None:
        return None


class IdentityOfAllBytes(Wrapped):
    def peek_identity(self) -> Identity | None:
        return Identity("key", "fingerprint", len(CONTENT))


class IdentityUnlikePositions(Wrapped):
    def peek_identity(self) -> Identity | None:
        return Identity("another key", "fingerprint", 1024)


class AltersSomeBlocks(BytesReader):
    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        block = super().read_block(max_bytes)
        return block.replace(b"7\n", b"\n") if max_bytes == 4096 else block


class MoreThanAskedFor(BytesReader):
    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        return super().read_block(max(max_bytes, 100))


class MutableBlocks(BytesReader):
    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        return bytearray(super().read_block(max_bytes))  # type: ignore[return-value]


class EndsInTheMiddle(BytesReader):
    ended = False

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        if self._at > 100_000 and not self.ended:
            self.ended = True
            return b""
        return super().read_block(max_bytes)


class EndsOnce(BytesReader):
    ended = False

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        block = super().read_block(max_bytes)
        if not block:
            if self.ended:
                raise EOFError
            self.ended = True
        return block


class OneByteOff(Wrapped):
    def open(self, start: int | Position = 0) -> Reader:
        return super().open(start + 1 if isinstance(start, int) and start == len(CONTENT) // 3 else start)


class StartIsAlwaysZero(Wrapped):
    def open(self, start: int | Position = 0) -> Reader:
        reader = super().open(start)
        reader.start = 0  # type: ignore[misc]
        return reader


class RoundAndRound(Wrapped):
    def open(self, start: int | Position = 0) -> Reader:
        return super().open(start % (len(CONTENT) + 1) if isinstance(start, int) else start)


class OneReaderForAll(Wrapped):
    shared: BytesReader | None = None

    def open(self, start: int | Position = 0) -> Reader:
        if start:
            return super().open(start)
        if self.shared is None or self.shared._data is None:
            self.shared = self.bytes.open()
        return self.shared


class BoundToItsThread(BytesReader):
    thread: int | None = None

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        self.thread = self.thread or threading.get_ident()
        assert threading.get_ident() == self.thread, "made in another thread"
        return super().read_block(max_bytes)


class PositionsOfOneObject(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Identity] = {}

    def open(self, start: int | Position = 0) -> Reader:
        if isinstance(start, Position):
            start = Position(self.known[start.identity.key], start.offset)
        good = self.bytes.open(start)
        identity = good.position(0).identity
        self.known[identity.key] = identity
        return self.reader(CONTENT, good.start, identity)


class PositionsFromTheStartOfReading(BytesReader):
    def position(self, offset: int) -> Position:
        return super().position(offset - self.start)


class ImaginedGaps(BytesReader):
    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        self.gaps = [Gap("wrapped", GapReason.TRUNCATED, "Perhaps.", "None.")]
        return super().read_block(max_bytes)


class ClosesOnce(BytesReader):
    def close(self) -> None:
        if self._data is None:
            raise ValueError("closed already")
        super().close()


class WithDoesNotClose(BytesReader):
    leak: Leak | None = None

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        self.leak = self.leak or Leak()
        return super().read_block(max_bytes)

    def close(self) -> None:
        if self.leak:
            os.close(self.leak.descriptor)
            Leak.opened.remove(self.leak)
            self.leak = None

    def __exit__(self, *error: object) -> None: ...


class SwallowsErrors(BytesReader):
    def __exit__(self, *error: object) -> bool:  # type: ignore[override]
        self.close()
        return True


class LeaksAtTheEnd(BytesReader):
    leak: Leak | None = None

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        block = super().read_block(max_bytes)
        if (
            not block
            and self.start == 0
            and max_bytes == BLOCK_BYTES
            and threading.current_thread().name == "MainThread"
        ):
            self.leak = Leak()
        return block


class LeavesAThread(BytesReader):
    def close(self) -> None:
        if self._data is not None and self._at == 0:
            threading.Thread(target=threading.Event().wait, args=(1,), daemon=True).start()
        super().close()


class LeavesATemporaryFile(BytesReader):
    def close(self) -> None:
        if self._data is not None and self._at == 0:
            descriptor, _ = tempfile.mkstemp()
            os.close(descriptor)
        super().close()


SOURCE_DEFECTS: list[tuple[type[Wrapped | BytesReader], str]] = [
    (NoSize, "it has all that a Source and a Reader need"),
    (UndecidedSeekable, "it has all that a Source and a Reader need"),
    (OpensWhenMade, "making it opens nothing"),
    (NameOfItsOwn, "its name stays the same"),
    (NamelessUntilOpened, "its name stays the same"),
    (WrongSize, "peek_size gives the size, or None"),
    (NoIdentity, "peek_identity names these bytes"),
    (IdentityOfAllBytes, "peek_identity names these bytes"),
    (IdentityUnlikePositions, "peek_identity names these bytes"),
    (AltersSomeBlocks, "all bytes come, unaltered, whatever the block size"),
    (MoreThanAskedFor, "a block is bytes, and no larger than asked for"),
    (MutableBlocks, "a block is bytes, and no larger than asked for"),
    (EndsInTheMiddle, 'b"" comes at the end only, and again when asked again'),
    (EndsOnce, 'b"" comes at the end only, and again when asked again'),
    (OneByteOff, "it opens at any offset"),
    (StartIsAlwaysZero, "it opens at any offset"),
    (RoundAndRound, "beyond the end there is nothing"),
    (OneReaderForAll, "two readers do not disturb each other"),
    (BoundToItsThread, "a reader can go on in another thread"),
    (PositionsOfOneObject, "a position opens at its place, also for another source of the same place"),
    (PositionsFromTheStartOfReading, "a position opens at its place, also for another source of the same place"),
    (ImaginedGaps, "a whole log has no gaps"),
    (ClosesOnce, "closing twice is fine"),
    (WithDoesNotClose, "a with block closes it, and lets errors through"),
    (SwallowsErrors, "a with block closes it, and lets errors through"),
    (LeaksAtTheEnd, "closing at any point releases descriptors, threads and temporary files"),
    (LeavesAThread, "closing at any point releases descriptors, threads and temporary files"),
    (LeavesATemporaryFile, "closing at any point releases descriptors, threads and temporary files"),
]
# Defects that others of the checks cannot look past.
SEEN_BY_OTHERS_TOO = {NoSize, EndsInTheMiddle, StartIsAlwaysZero}


@pytest.mark.parametrize(("broken", "check"), SOURCE_DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_defect_is_caught_by_its_check(broken: type[Wrapped | BytesReader], check: str) -> None:
    """A source with one defect fails the check that is about it, and passes the others."""
    make = broken if issubclass(broken, Wrapped) else lambda: Wrapped(broken)
    with pytest.raises(ConformanceFailed) as failed:
        check_source(make, content=CONTENT)
    assert check in failed.value.failures
    if broken not in SEEN_BY_OTHERS_TOO:
        assert set(failed.value.failures) == {check}


class DeafToAppends(FakeSource):
    def open(self, start: int | Position = 0) -> FakeReader:
        reader = super().open(start)
        data = self._place.data
        reader._place.data, reader._place = data, type(self._place)(data)
        reader._place._key = self._place._key
        return reader


class BeginsAnewAfterAppends(FakeSource):
    def append(self, data: bytes) -> None:
        self._place.data += self._place.data + data


class SizeOfLongAgo(FakeSource):
    def append(self, data: bytes) -> None:
        self.size = self.peek_size()
        super().append(data)

    def replace(self, data: bytes) -> None:
        self.size = len(data)
        super().replace(data)

    def peek_size(self) -> int:
        return self.size


class SilentAboutCuts(FakeSource):
    def open(self, start: int | Position = 0) -> FakeReader:
        reader = super().open(start)
        reader._report_truncation = lambda: None  # type: ignore[method-assign]
        return reader


class PositionsLiveForEver(FakeSource):
    def open(self, start: int | Position = 0) -> FakeReader:
        return super().open(start.offset if isinstance(start, Position) else start)


class CutPositionsLive(FakeSource):
    def open(self, start: int | Position = 0) -> FakeReader:
        if isinstance(start, Position) and start.offset > self.peek_size():
            return super().open(start.offset)
        return super().open(start)


class MixesOldAndNew(FakeSource):
    def open(self, start: int | Position = 0) -> FakeReader:
        self.latest = super().open(start)
        return self.latest

    def replace(self, data: bytes) -> None:
        super().replace(data)
        if self.opened:
            self.latest._place = self._place


class KeepsItsIdentity(FakeSource):
    def peek_identity(self) -> Identity | None:
        identity = super().peek_identity()
        self.first = getattr(self, "first", identity)
        return self.first


LIVE_DEFECTS: list[tuple[type[FakeSource], set[str]]] = [
    (DeafToAppends, {APPEND}),
    (BeginsAnewAfterAppends, {APPEND}),
    (SizeOfLongAgo, {APPEND}),
    (SilentAboutCuts, {TRUNCATE}),
    (CutPositionsLive, {TRUNCATE}),
    (PositionsLiveForEver, {TRUNCATE, REPLACE}),
    (MixesOldAndNew, {REPLACE}),
    (KeepsItsIdentity, {REPLACE}),
]


@pytest.mark.parametrize(("broken", "checks"), LIVE_DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_defects_of_live_sources_are_caught(broken: type[FakeSource], checks: set[str]) -> None:
    """A source that grows, is cut or is replaced fails exactly the checks about what it does wrong."""
    source = broken("live")

    def make() -> Source:
        source.replace(CONTENT)
        return source

    live: dict[str, Any] = {"append": source.append, "truncate": source.truncate, "replace": source.replace}
    with pytest.raises(ConformanceFailed) as failed:
        check_source(make, content=CONTENT, **live)
    assert set(failed.value.failures) == checks


def failing(
    source: str = "failing",
    reason: str = GapReason.NOT_FOUND,
    detail: str = "It is gone.",
    action: str = "Look elsewhere.",
) -> SourceFailed:
    """Return the failure of a source, good unless told otherwise."""
    return SourceFailed(Gap(source, reason, detail, action))  # type: ignore[arg-type]


class Failing(Wrapped):
    """A source whose open raises what it is given."""

    name = "failing"

    def __init__(self, error: Exception, *, leak: bool = False) -> None:
        super().__init__()
        self.error = error
        self.leak = leak

    def open(self, start: int | Position = 0) -> Reader:
        if self.leak:
            Leak()
        raise self.error


def test_a_good_failure_passes() -> None:
    """A source that raises SourceFailed with a whole gap passes, also when it fails in the middle only."""
    assert FAILURE in check_source(Wrapped, content=CONTENT, make_failing=lambda: Failing(failing()))
    in_the_middle = FakeSource("failing", CONTENT, fail_at=1000)
    assert FAILURE in check_source(Wrapped, content=CONTENT, make_failing=lambda: in_the_middle)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(BytesSource("failing", b""), id="an empty log instead of a failure"),
        pytest.param(Failing(OSError("no such bucket")), id="an error that is not ours"),
        pytest.param(Failing(failing(source="another")), id="the gap of another source"),
        pytest.param(Failing(failing(reason="gone")), id="a reason in free words"),
        pytest.param(Failing(failing(detail=" ")), id="no detail"),
        pytest.param(Failing(failing(action="")), id="no advice"),
        pytest.param(Failing(failing(), leak=True), id="a descriptor left open"),
    ],
)
def test_bad_failures_are_caught(bad: Source) -> None:
    """A failure that does not say what it should, or leaves something open, is caught by its check."""
    with pytest.raises(ConformanceFailed) as failed:
        check_source(Wrapped, content=CONTENT, make_failing=lambda: bad)
    assert set(failed.value.failures) == {FAILURE}


class SkipsByReading(Wrapped):
    """Says that it is seekable, and reads all that lies before."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def open(self, start: int | Position = 0) -> Reader:
        offset = start.offset if isinstance(start, Position) else start
        with self.path.open("rb") as file:
            file.read(offset + 1 if offset else -1)
        return super().open(start)


def test_a_seek_that_reads_everything_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that claims to be seekable and reads its way to the offset fails; one that claims nothing passes."""
    content = numbered_lines(60_000)
    monkeypatch.setitem(globals(), "CONTENT", content)
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(ConformanceFailed) as failed:
        check_source(lambda: SkipsByReading(path), content=content)
    assert set(failed.value.failures) == {SEEK}
    monkeypatch.setattr(SkipsByReading, "seekable", False)
    assert SEEK not in check_source(lambda: SkipsByReading(path), content=content)


def test_all_failures_are_told_at_once() -> None:
    """The exception is an AssertionError that names each failed check with a sentence, and what passed."""

    class Doubtful(WrongSize):
        def peek_identity(self) -> Identity | None:
            return None

    with pytest.raises(AssertionError) as failed:
        check_source(Doubtful, content=CONTENT)
    assert isinstance(failed.value, ConformanceFailed)
    assert list(failed.value.failures) == ["peek_size gives the size, or None", "peek_identity names these bytes"]
    assert "making it opens nothing" in failed.value.passed
    first, *others = str(failed.value).splitlines()
    assert first.startswith("2 of ")
    assert others == [f"- {check}: {sentence}" for check, sentence in failed.value.failures.items()]


def test_what_the_source_raised_is_the_cause() -> None:
    """An exception that a check did not expect is kept, so that its traceback is shown."""
    with pytest.raises(ConformanceFailed) as failed:
        check_source(lambda: Wrapped(EndsOnce), content=CONTENT)
    assert isinstance(failed.value.__cause__, EOFError)


# Sinks


class ListSink:
    """A sink over a list that outlives it; it refuses when told to."""

    name = "list"
    accepted: list[bytes]
    refusing = False

    def __init__(self) -> None:
        type(self).accepted = []
        type(self).refusing = False

    def write(self, block: bytes) -> None:
        if self.refusing:
            raise UsageError("not now")
        self.accepted.append(block)

    def close(self) -> None: ...

    @classmethod
    def refuse(cls, refusing: bool) -> None:
        cls.refusing = refusing

    @classmethod
    def read_back(cls) -> bytes:
        return b"".join(cls.accepted)


class NoClose(ListSink):
    close = property()


class NameOfTheMoment(ListSink):
    @property
    def name(self) -> str:  # type: ignore[override]
        return f"list of {len(self.accepted)}"


class LatestFirst(ListSink):
    def write(self, block: bytes) -> None:
        super().write(block)
        self.accepted.sort(key=len, reverse=True)


class AcceptsAtClose(ListSink):
    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[bytes] = []

    def write(self, block: bytes) -> None:
        if self.refusing:
            raise UsageError("not now")
        self.waiting.append(block)

    def close(self) -> None:
        self.accepted += self.waiting
        self.waiting = []


class SinkClosesOnce(ListSink):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("closed already")
        self.closed = True


class EmptiesAtClose(ListSink):
    def close(self) -> None:
        del self.accepted[1:]
        self.accepted[:] = [block[:3] for block in self.accepted]


class SinkLeaks(ListSink):
    def close(self) -> None:
        Leak()


class RefusesInSilence(ListSink):
    def write(self, block: bytes) -> None:
        if not self.refusing:
            super().write(block)


class KeepsHalfOfWhatItRefuses(ListSink):
    def write(self, block: bytes) -> None:
        if self.refusing:
            self.accepted.append(block[:2])
        super().write(block)


class AcceptsTwice(ListSink):
    def write(self, block: bytes) -> None:
        if self.refusing:
            self.accepted.append(block)
        super().write(block)


REFUSAL = "a refused block can be offered again"
ORDER = "blocks are accepted in order, unaltered, when write returns"
CLOSE_SINK = "closing twice is fine, and what was accepted stays"


@pytest.mark.parametrize("good", [ListSink, AcceptsTwice])
def test_a_good_sink_passes(good: type[ListSink]) -> None:
    """A sink passes all checks, also one that accepts a refused block twice: at least once is the contract."""
    assert check_sink(good, read_back=good.read_back, refuse=good.refuse) == list(testing._SINK_CHECKS)
    assert REFUSAL not in check_sink(good, read_back=good.read_back)


@pytest.mark.parametrize(
    ("broken", "check", "alone"),
    [
        (NoClose, "it has all that a Sink needs", False),
        (NameOfTheMoment, "its name stays the same", True),
        (LatestFirst, ORDER, False),
        (AcceptsAtClose, ORDER, True),
        (SinkClosesOnce, CLOSE_SINK, True),
        (EmptiesAtClose, CLOSE_SINK, False),
        (SinkLeaks, "closing releases descriptors, threads and temporary files", True),
        (RefusesInSilence, REFUSAL, True),
        (KeepsHalfOfWhatItRefuses, REFUSAL, True),
    ],
)
def test_each_defect_of_a_sink_is_caught(broken: type[ListSink], check: str, alone: bool) -> None:
    """A sink with one defect fails the check that is about it."""
    with pytest.raises(ConformanceFailed) as failed:
        check_sink(broken, read_back=broken.read_back, refuse=broken.refuse)
    assert check in failed.value.failures
    assert not alone or set(failed.value.failures) == {check}


# Fakes


def test_blocks_end_where_they_are_cut() -> None:
    """A FakeSource's block never reaches across a cut; max_bytes still holds."""
    with FakeSource("fake", b"abcdefgh", cuts=[3, 4]).open() as reader:
        assert [reader.read_block(3), reader.read_block(), reader.read_block(), reader.read_block()] == [
            b"abc",
            b"d",
            b"efgh",
            b"",
        ]


def test_a_pause_is_an_empty_block_once() -> None:
    """At a pause each reader gets b"" once, and then what follows."""
    source = FakeSource("fake", b"abcd", pauses=[0, 2])
    for _ in "ab":
        with source.open() as reader:
            assert [reader.read_block() for _ in range(5)] == [b"", b"ab", b"", b"cd", b""]


def test_a_stall_lasts_until_release_or_close() -> None:
    """A stalled read in another thread goes on after release(), and ends with an error at close()."""
    for let_go, expected in ((FakeSource.release, b"cd"), (None, None)):
        source = FakeSource("fake", b"abcd", stall_at=2)
        reader = source.open()
        assert reader.read_block() == b"ab"
        outcome: list[bytes] = []

        def read(reader: FakeReader = reader, outcome: list[bytes] = outcome) -> None:
            with contextlib.suppress(UsageError):
                outcome.append(reader.read_block())

        thread = threading.Thread(target=read)
        thread.start()
        let_go(source) if let_go else reader.close()
        thread.join(30)
        assert not thread.is_alive()
        assert outcome == ([expected] if expected else [])
        reader.close()


def test_a_failure_comes_after_its_bytes_each_time() -> None:
    """fail_at lets that many bytes through, then raises whenever asked."""
    with FakeSource("fake", b"abcd", fail_at=3).open() as reader:
        assert reader.read_block() == b"abc"
        for _ in "ab":
            with pytest.raises(SourceFailed):
                reader.read_block()


def test_gaps_are_reported_where_they_lie() -> None:
    """A scripted gap is in ``gaps`` once the reader has come to its offset, not before."""
    gap = Gap("fake", GapReason.ROTATED_AWAY, "Gone.", "None.", lost_bytes=10, offset=2)
    with FakeSource("fake", b"abcd", gaps=[gap]).open() as reader:
        assert (reader.read_block(), reader.gaps) == (b"ab", [])
        assert (reader.read_block(), reader.gaps) == (b"cd", [gap])


def test_a_fake_grows_and_shrinks_under_its_readers() -> None:
    """Appended bytes come, a cut is a Gap, and a replaced source leaves open readers the old bytes."""
    source = FakeSource("fake", b"abcd")
    with source.open() as reader:
        assert (reader.read_block(), reader.read_block()) == (b"abcd", b"")
        source.append(b"ef")
        assert reader.read_block() == b"ef"
        source.truncate(2)
        assert (reader.read_block(), [gap.reason for gap in reader.gaps]) == (b"", [GapReason.TRUNCATED])
        source.append(b"X")
        source.replace(b"other")
        assert reader.read_block() == b"X"
    with source.open() as reader:
        assert reader.read_block() == b"other"


def test_a_fake_counts() -> None:
    """How often it was opened, who has not closed, and what was given out is told: for tests of drivers."""
    source = FakeSource("fake", b"abcd")
    with source.open() as first, source.open(2) as second:
        first.read_block(1)
        second.read_block()
        assert (source.opened, source.open_readers, source.read_bytes) == (2, 2, 3)
        first.close()
        assert source.open_readers == 1
    assert source.open_readers == 0


def names_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder with what they hold."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_live_file_rotates_as_programs_do(tmp_path: Path) -> None:
    """Rotation renames and goes on in a new file; between rename_away and reopen the renamed file still grows."""
    with LiveFile(tmp_path / "log", b"1") as log:
        log.rotate()
        log.write(b"2")
        log.rename_away()
        log.write(b"3")
        assert names_in(tmp_path) == {"log.1": b"23", "log.2": b"1"}
        log.reopen()
        log.write(b"4")
        log.copy_truncate()
        log.write(b"5")
        assert names_in(tmp_path) == {"log": b"5", "log.1": b"4", "log.2": b"23", "log.3": b"1"}


def test_a_live_file_is_cut_replaced_and_deleted(tmp_path: Path) -> None:
    """Cutting keeps the file, replacing makes another one in a step, deleting takes the name only."""
    with LiveFile(tmp_path / "log", b"12345") as log:
        inode = log.path.stat().st_ino
        log.truncate(2)
        log.write(b"x")
        assert names_in(tmp_path) == {"log": b"12x"}
        assert log.path.stat().st_ino == inode
        log.replace(b"new ")
        log.write(b"file")
        assert names_in(tmp_path) == {"log": b"new file"}
        assert log.path.stat().st_ino != inode
        log.unlink()
        log.write(b"unseen")
        assert names_in(tmp_path) == {}
        log.reopen()
        assert names_in(tmp_path) == {"log": b""}


@given(st.binary(max_size=50), st.lists(st.integers(-5, 60)))
def test_cut_loses_nothing(data: bytes, points: list[int]) -> None:
    """Wherever bytes are cut, the pieces are not empty, end at the points, and together are the bytes."""
    pieces = list(cut(data, points))
    assert b"".join(pieces) == data
    assert all(pieces)
    assert len(pieces) == len({point for point in points if 0 < point < len(data)}) + bool(data)


def test_every_cut_is_every_cut() -> None:
    """every_cut gives each way to cut bytes in two, in order."""
    assert list(every_cut(b"abc")) == [(b"a", b"bc"), (b"ab", b"c")]
    assert list(every_cut(b"a")) == []


def test_numbered_lines_differ() -> None:
    """Each line has 24 bytes and is like no other, so that what is lost, doubled or moved shows."""
    lines = numbered_lines(1000).splitlines(keepends=True)
    assert len(set(lines)) == 1000
    assert {len(line) for line in lines} == {24}


def test_the_kit_needs_no_test_framework() -> None:
    """It imports and works where neither pytest nor hypothesis is installed."""
    program = """
import sys
sys.modules["pytest"] = sys.modules["hypothesis"] = None
from logflume.testing import FakeSource, check_source
print(len(check_source(lambda: source, content=b"abc")) if (source := FakeSource("fake", b"abc")) else "")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert int(run.stdout) >= 17


def test_fakes_are_what_the_contracts_say() -> None:
    """The fakes and the source over bytes fit the protocols, for the type checker and when run."""
    sources: list[Source] = [FakeSource("fake"), BytesSource("bytes", b"")]
    readers: list[Reader] = [source.open() for source in sources]
    sink: Sink = ListSink()
    assert all(isinstance(source, Source) for source in sources)
    assert all(isinstance(reader, Reader) for reader in readers)
    assert isinstance(sink, Sink)
