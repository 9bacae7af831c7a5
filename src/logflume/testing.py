"""What a third party needs to prove a source or a sink of its own, and fakes with behaviour to test with.

Holds: needs no test framework; a check fails with a plain sentence, and never because something was slow.
Plan:  ``check_source`` and ``check_sink`` run a list of small checks, each on readers of its own, and return
the names of those that passed: what has been proven. Checks for which nothing was given (a way to append, a
source that fails) or that this system cannot measure are left out of that list, never counted as passed.

Fakes: ``FakeSource`` (blocks cut, pauses, stalls, failures, gaps, growth), ``LiveFile`` (a real file that is
written, rotated and truncated as programs do it). Input: ``numbered_lines``, ``cut``, ``every_cut``.

Not here: time limits. A source that hangs hangs its check; give the test a timeout.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import count, pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, LogflumeError, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from logflume.abc import Reader, Sink, Source

T = TypeVar("T")

_PATIENCE_S = 5.0  # for what the system does in its own time: a thread that ends, bytes that arrive
_NAP_S = 0.005
_OPEN_FILES = Path("/proc/self/fd")  # where the system tells
_FEW_BYTES = 4096  # as much is read in blocks of 1 and 7 bytes
_FINGERPRINT_BYTES = 1024


class ConformanceFailed(AssertionError):
    """Some checks failed: ``.failures`` maps the name of each to what went wrong; ``.passed`` names the others."""

    def __init__(self, failures: dict[str, str], passed: Sequence[str]) -> None:
        self.failures = failures
        self.passed = list(passed)
        lines = [f"- {check}: {sentence}" for check, sentence in failures.items()]
        super().__init__("\n".join([f"{len(failures)} of {len(failures) + len(passed)} checks failed", *lines]))


def check_source(
    make_source: Callable[[], Source],
    *,
    content: bytes,
    append: Callable[[bytes], object] | None = None,
    truncate: Callable[[int], object] | None = None,
    replace: Callable[[bytes], object] | None = None,
    make_failing: Callable[[], Source] | None = None,
) -> list[str]:
    """Run every check of ``logflume.abc.Source`` that can be run, and return the names of those that passed.

    Args:
        make_source: called many times; each call gives a new source over the *same* place, which holds
            exactly ``content`` again (decompressed, for a source that decompresses).
        content: at least a few lines, all different (``numbered_lines``); more than 1 MiB of them lets the
            cost of a seek be checked.
        append: adds bytes at the end of that place, for a source that can grow.
        truncate: cuts that place to so many bytes.
        replace: puts a new file or object with these bytes in that place.
        make_failing: gives a source that cannot be read, for a reason of its own kind.

    Raises:
        ConformanceFailed: with one plain sentence for each check that failed.
    """
    return _run(_SOURCE_CHECKS, _SourceCase(make_source, content, append, truncate, replace, make_failing))


def check_sink(
    make_sink: Callable[[], Sink],
    *,
    read_back: Callable[[], bytes],
    refuse: Callable[[bool], object] | None = None,
    kept_as: Callable[[bytes], bytes] = bytes,
) -> list[str]:
    """Run every check of ``logflume.abc.Sink`` that can be run, and return the names of those that passed.

    Args:
        make_sink: called many times; each call gives a new sink over the same place, which is empty then.
        read_back: all bytes that this place has accepted, in its order.
        refuse: makes that place refuse what it is given (True), and accept again (False).
        kept_as: what that place makes of a block, where it keeps no bytes but text: ``as_text``, say.

    Raises:
        ConformanceFailed: with one plain sentence for each check that failed.
    """
    return _run(_SINK_CHECKS, _SinkCase(make_sink, read_back, refuse, kept_as))


def as_text(block: bytes) -> bytes:
    """Return a block as a service keeps it that takes UTF-8 only: whatever is none is U+FFFD."""
    return block.decode("utf-8", "replace").encode()


# How checks are run


class _Broken(AssertionError):
    """A check found something; the text is a plain sentence."""


class _NotApplicable(Exception):
    """A check has nothing to check here."""


@dataclass(frozen=True)
class _SourceCase:
    make: Callable[[], Source]
    content: bytes
    append: Callable[[bytes], object] | None
    truncate: Callable[[int], object] | None
    replace: Callable[[bytes], object] | None
    make_failing: Callable[[], Source] | None


@dataclass(frozen=True)
class _SinkCase:
    make: Callable[[], Sink]
    read_back: Callable[[], bytes]
    refuse: Callable[[bool], object] | None
    kept_as: Callable[[bytes], bytes]


_SOURCE_CHECKS: dict[str, Callable[[_SourceCase], None]] = {}
_SINK_CHECKS: dict[str, Callable[[_SinkCase], None]] = {}


def _source_check(name: str) -> Callable[[Callable[[_SourceCase], None]], None]:
    return lambda check: _SOURCE_CHECKS.update({name: check})


def _sink_check(name: str) -> Callable[[Callable[[_SinkCase], None]], None]:
    return lambda check: _SINK_CHECKS.update({name: check})


def _run(checks: dict[str, Callable[[T], None]], case: T) -> list[str]:
    passed, failures, unexpected = [], {}, None
    for name, check in checks.items():
        try:
            check(case)
        except _NotApplicable:
            continue
        except _Broken as finding:
            failures[name] = str(finding)
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything; that is a finding
            failures[name] = f"It raised {type(error).__name__}: {error}"
            unexpected = unexpected or error
        else:
            passed.append(name)
    if failures:
        raise ConformanceFailed(failures, passed) from unexpected
    return passed


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise _Broken(sentence)


def _given(something: T | None) -> T:
    if something is None:
        raise _NotApplicable
    return something


# The checks of a source


@_source_check("it has all that a Source and a Reader need")
def _check_members(case: _SourceCase) -> None:
    source = case.make()
    _require_members(source, ("name", "seekable", "open", "peek_size", "peek_identity"))
    _require(isinstance(source.seekable, bool), f"seekable is True or False, not {source.seekable!r}.")
    with source.open() as reader:
        _require_members(reader, ("start", "gaps", "read_block", "position", "close", "__enter__", "__exit__"))


def _require_members(thing: object, members: Iterable[str]) -> None:
    missing = [member for member in members if not hasattr(thing, member)]
    _require(not missing, f"{type(thing).__name__} has no {', '.join(missing)}.")


@_source_check("making it opens nothing")
def _check_making(case: _SourceCase) -> None:
    _use(case.make(), _read_to_end)  # what a process makes once (a connection pool, say) is made now
    with _nothing_left("After a source was made, and before open") as held:
        held.append(case.make())


@_source_check("its name stays the same")
def _check_name(case: _SourceCase) -> None:
    source = case.make()
    name = source.name
    _require(name and isinstance(name, str), f"name is a text that is not empty, not {name!r}.")
    _use(source, _read_to_end)
    _require(source.name == name, f"name was {name!r} before reading and {source.name!r} after it.")
    other = case.make().name
    _require(other == name, f"Two sources of the same place are called {name!r} and {other!r}.")


@_source_check("peek_size gives the size, or None")
def _check_size(case: _SourceCase) -> None:
    source = case.make()
    for moment in ("before", "after"):
        size = source.peek_size()
        _require(size in (None, len(case.content)), f"It gave {size!r} {moment} reading {len(case.content)} bytes.")
        _use(source, _read_to_end)


@_source_check("peek_identity names these bytes")
def _check_identity(case: _SourceCase) -> None:
    source = case.make()
    identity = source.peek_identity()
    _require(source.peek_identity() == identity, "Asked twice, it gave two identities.")
    if not case.content:
        return
    if identity is None:
        raise _Broken("It gave None, although there are bytes to read.")
    covered = identity.fingerprint_bytes
    _require(0 < covered <= _FINGERPRINT_BYTES, f"The fingerprint covers {covered} bytes, not 1 to 1,024.")
    _require(identity.key and identity.fingerprint, f"Its key or fingerprint is empty: {identity}.")
    with source.open() as reader:
        named = reader.position(0).identity
    _require(named == identity, f"position(0) names other bytes, {named}, than peek_identity, {identity}.")


@_source_check("all bytes come, unaltered, whatever the block size")
def _check_content(case: _SourceCase) -> None:
    source = case.make()
    for max_bytes in (BLOCK_BYTES, 4096):
        with source.open() as reader:
            _require_same(_read_to_end(reader, max_bytes), case.content, f"In blocks of {max_bytes}")
    for max_bytes in (1, 7):
        with source.open() as reader:
            blocks = (reader.read_block(max_bytes) for _ in range(_FEW_BYTES // max_bytes))
            read = b"".join(takewhile(bool, blocks))  # at the end, a source may have to ask far away
            _require_same(read, case.content[: len(read)], f"In blocks of {max_bytes}")


@_source_check("a block is bytes, and no larger than asked for")
def _check_blocks(case: _SourceCase) -> None:
    source = case.make()
    for max_bytes in (1, 7, 4096, BLOCK_BYTES):
        with source.open() as reader:
            for _ in range(max(1, _FEW_BYTES // max_bytes)):
                block = reader.read_block(max_bytes)
                _require(type(block) is bytes, f"A block is {type(block).__name__}.")
                _require(len(block) <= max_bytes, f"Asked for {max_bytes} bytes, it gave {len(block)}.")
                if not block:
                    break


@_source_check('b"" comes at the end only, and again when asked again')
def _check_end(case: _SourceCase) -> None:
    with case.make().open() as reader:
        read = len(_read_to_end(reader))
        for _ in range(3):
            more = len(reader.read_block())
            _require(not more, f'After {read} of {len(case.content)} bytes it gave b"", and then {more} bytes more.')


@_source_check("it opens at any offset")
def _check_offsets(case: _SourceCase) -> None:
    source, size = case.make(), len(case.content)
    for offset in sorted({0, 1, size // 3, size // 2, size - 1, size} & set(range(size + 1))):
        with source.open(offset) as reader:
            _require(reader.start == offset, f"Opened at {offset}, start is {reader.start}.")
            _require_same(_read_to_end(reader), case.content[offset:], f"Opened at {offset} of {size}")


@_source_check("beyond the end there is nothing")
def _check_beyond(case: _SourceCase) -> None:
    try:
        with case.make().open(len(case.content) + 1000) as reader:
            block = reader.read_block()
    except LogflumeError:
        return
    _require(not block, f"Opened 1,000 bytes beyond the end, it gave {len(block)} bytes.")


@_source_check("two readers do not disturb each other")
def _check_two_readers(case: _SourceCase) -> None:
    source = case.make()
    with source.open() as slow:
        first = slow.read_block(7)
        with source.open() as quick:
            _require_same(_read_to_end(quick), case.content, "The second reader of one source")
        rest = _read_to_end(slow)
    _require_same(first + rest, case.content, "The first reader, after a second one came and went")


@_source_check("a reader can go on in another thread")
def _check_threads(case: _SourceCase) -> None:
    outcome: list[bytes | Exception] = []

    def go_on() -> None:
        try:
            with contextlib.closing(reader):
                outcome.append(_read_to_end(reader))
        except Exception as error:  # noqa: BLE001 - the edge of a thread; it is raised again below
            outcome.append(error)

    reader = case.make().open()
    first = reader.read_block(7)
    thread = threading.Thread(target=go_on)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    _require_same(first + outcome[0], case.content, "Begun in one thread and read on in another one")


@_source_check("a position opens at its place, also for another source of the same place")
def _check_positions(case: _SourceCase) -> None:
    size = len(case.content)
    for offset in sorted({0, size // 3, size}):
        other, source = case.make(), case.make()  # in this order: making one may write its place anew
        with source.open(offset // 2) as reader:
            _read_bytes(reader, offset - offset // 2)
            position = reader.position(offset)
        for again in (source, other):
            with again.open(position) as reader:
                _require(reader.start == offset, f"Opened at the position of {offset}, start is {reader.start}.")
                _require_same(_read_to_end(reader), case.content[offset:], f"From the position of {offset} on")


@_source_check("a whole log has no gaps")
def _check_no_gaps(case: _SourceCase) -> None:
    with case.make().open() as reader:
        _read_to_end(reader)
        _require(reader.gaps == [], f"Nothing is missing, and yet: {reader.gaps}.")


@_source_check("closing twice is fine")
def _check_close_twice(case: _SourceCase) -> None:
    reader = case.make().open()
    reader.read_block(7)
    reader.close()
    reader.close()


@_source_check("a with block closes it, and lets errors through")
def _check_context(case: _SourceCase) -> None:
    source = case.make()
    _use(source, _read_to_end)
    with _nothing_left("After a with block was left") as held, source.open() as reader:
        held.append(reader)
        reader.read_block(7)
    with contextlib.suppress(_Passing):
        with source.open():
            raise _Passing
        raise _Broken("An exception raised in the with block did not come out of it.")


class _Passing(Exception):
    """Raised in a with block in order to see it come out."""


@_source_check("closing at any point releases descriptors, threads and temporary files")
def _check_release(case: _SourceCase) -> None:
    points: dict[str, Callable[[Reader], object]] = {
        "before the first byte": lambda _reader: None,
        "after a first block": lambda reader: reader.read_block(7),
        "at the end": _read_to_end,
    }
    source = case.make()
    for point, read in points.items():
        _use(source, read)
        with _nothing_left(f"After close {point}") as held:
            held.append(_use(source, read))


@_source_check("a seek reads no old bytes")
def _check_seek_cost(case: _SourceCase) -> None:
    source, size = case.make(), len(case.content)
    if not source.seekable or size < 4 * BLOCK_BYTES or _cost(lambda: _use(source, _read_to_end)) < size:
        raise _NotApplicable
    near_the_end = size - _FEW_BYTES
    cost = min(_cost(lambda: _use(source, _read_to_end, near_the_end)) for _ in range(3))  # others may read meanwhile
    _require(
        cost < 2 * BLOCK_BYTES,
        f"seekable is True, but to read the last {_FEW_BYTES} bytes it read {cost} bytes of {size}.",
    )


@_source_check("a failure says why, and what to do")
def _check_failure(case: _SourceCase) -> None:
    make_failing = _given(case.make_failing)
    with contextlib.suppress(SourceFailed):
        _use(make_failing(), _read_to_end)
    source = make_failing()
    with _nothing_left("After it failed") as held:
        failure = _failure_of(source)
        held.append(failure)  # and with it all that the failed call had in its hands
    gap = failure.gap
    _require(gap.source == source.name, f"The gap is of {gap.source!r}, the source is called {source.name!r}.")
    _require(isinstance(gap.reason, GapReason), f"The gap's reason is {gap.reason!r}, which is no GapReason.")
    _require(gap.detail.strip(), "The gap's detail is empty.")
    _require(gap.next_action.strip(), "The gap's next_action is empty.")


def _failure_of(source: Source) -> SourceFailed:
    try:
        _use(source, _read_to_end)
    except SourceFailed as failure:
        return failure
    raise _Broken("It was to fail, and could be opened and read: no log looks like an empty log.")


@_source_check("what is appended comes, and nothing else")
def _check_append(case: _SourceCase) -> None:
    append, source = _given(case.append), case.make()
    parts = [b"appended in ", b"two parts\n"]
    with source.open() as reader:
        _read_to_end(reader)
        position = reader.position(len(case.content))
        for part in parts:
            append(part)
            _require_same(_await_bytes(reader, len(part)), part, "Read on after an append")
        _require(not reader.gaps, f"Nothing is missing, and yet: {reader.gaps}.")
    with source.open(position) as reader:
        _require_same(_await_bytes(reader, len(b"".join(parts))), b"".join(parts), "From the old end's position on")
    size = source.peek_size()
    _require(size in (None, len(case.content) + len(b"".join(parts))), f"peek_size is {size} after the append.")


@_source_check("what is cut off is told")
def _check_truncate(case: _SourceCase) -> None:
    truncate, source, size = _given(case.truncate), case.make(), len(case.content)
    if size < 8:  # noqa: PLR2004 - quarters of less are nothing
        raise _NotApplicable
    at = size * 3 // 4
    with source.open() as reader:
        _read_bytes(reader, at)
        position = reader.position(at)
        truncate(size // 2)
        _require_told(reader, case.content[at:])
    _require_expired(source, position, f"Cut to {size // 2} bytes, it still opens at the position of {at}")


def _require_told(reader: Reader, rest: bytes) -> None:
    """Bytes that it can still reach may come; if they are not all, there is a Gap or a failure."""
    read = b""
    with contextlib.suppress(SourceFailed):
        for _ in _patience():
            read += reader.read_block()
            if reader.gaps or read == rest:
                return
            _require(rest.startswith(read), f"The reader went on with bytes that were not there: {read[:40]!r}.")
        raise _Broken(f"{len(rest) - len(read)} bytes before the reader went away, without a Gap or a failure.")


@_source_check("bytes that were replaced are not mixed with the new ones")
def _check_replace(case: _SourceCase) -> None:
    replace, source, at = _given(case.replace), case.make(), len(case.content) // 2
    before = source.peek_identity()
    other = b"other bytes, and more of them\n" + case.content
    with source.open() as reader:
        _read_bytes(reader, at)
        position = reader.position(at)
        replace(other)
        _require_told(reader, case.content[at:])
    _require(source.peek_identity() != before, "peek_identity is the same after the bytes were replaced.")
    _require_expired(source, position, f"With all bytes replaced, it still opens at the position of {at}")
    with source.open() as reader:
        _require_same(_read_to_end(reader), other, "Opened anew after the bytes were replaced")


def _require_expired(source: Source, position: Position, otherwise: str) -> None:
    try:
        source.open(position).close()
    except CursorExpired:
        return
    raise _Broken(f"{otherwise} and does not raise CursorExpired.")


# The checks of a sink

_BLOCKS = [b"first\n", b"two\nlines\n", bytes(range(256)).replace(b"\n", b"") + b"\n", b"x" * (BLOCK_BYTES - 1) + b"\n"]


@_sink_check("it has all that a Sink needs")
def _check_sink_members(case: _SinkCase) -> None:
    sink = case.make()
    _require_members(sink, ("name", "write", "close"))
    sink.close()


@_sink_check("its name stays the same")
def _check_sink_name(case: _SinkCase) -> None:
    with contextlib.closing(case.make()) as sink:
        name = sink.name
        _require(name and isinstance(name, str), f"name is a text that is not empty, not {name!r}.")
        sink.write(_BLOCKS[0])
        _require(sink.name == name, f"name was {name!r} before a write and {sink.name!r} after it.")


@_sink_check("blocks are accepted in order, unaltered, when write returns")
def _check_sink_order(case: _SinkCase) -> None:
    with contextlib.closing(case.make()) as sink:
        for written, block in enumerate(_BLOCKS, 1):
            sink.write(block)
            expected = b"".join(map(case.kept_as, _BLOCKS[:written]))
            _require_same(case.read_back(), expected, f"After {written} blocks were written")


@_sink_check("closing twice is fine, and what was accepted stays")
def _check_sink_close(case: _SinkCase) -> None:
    sink = case.make()
    sink.write(_BLOCKS[0])
    sink.close()
    sink.close()
    _require_same(case.read_back(), case.kept_as(_BLOCKS[0]), "After close")


@_sink_check("closing releases descriptors, threads and temporary files")
def _check_sink_release(case: _SinkCase) -> None:
    with contextlib.closing(case.make()) as sink:
        sink.write(_BLOCKS[0])
    with _nothing_left("After close") as held, contextlib.closing(case.make()) as sink:
        held.append(sink)
        sink.write(_BLOCKS[0])


@_sink_check("a refused block can be offered again")
def _check_sink_refusal(case: _SinkCase) -> None:
    refuse = _given(case.refuse)
    with contextlib.closing(case.make()) as sink:
        sink.write(_BLOCKS[0])
        refuse(True)  # noqa: FBT003 - on or off
        try:
            sink.write(_BLOCKS[1])
        except LogflumeError:
            pass
        else:
            raise _Broken("Its place refused a block, and write raised nothing.")
        finally:
            refuse(False)  # noqa: FBT003 - as above
        sink.write(_BLOCKS[1])
        sink.write(_BLOCKS[2])
    rest = case.read_back()
    for block in map(case.kept_as, _BLOCKS[:3]):
        _require(rest.startswith(block), f"At {rest[:40]!r} the block {block[:40]!r} was expected.")
        while rest.startswith(block):  # at least once
            rest = rest[len(block) :]
    _require(not rest, f"It holds {len(rest)} bytes that nobody wrote.")


# What checks are made of


def _read_to_end(reader: Reader, max_bytes: int = BLOCK_BYTES) -> bytes:
    return b"".join(iter(lambda: reader.read_block(max_bytes), b""))


def _read_bytes(reader: Reader, left: int) -> None:
    """Read exactly so many bytes."""
    while left:
        block = reader.read_block(left)
        _require(block, f'It gave b"" with {left} bytes still to come.')
        left -= len(block)


def _await_bytes(reader: Reader, wanted: int) -> bytes:
    """Read until so many bytes have come, or patience is at its end; then what comes right behind them."""
    read = b""
    for _ in _patience():
        read += reader.read_block()
        if len(read) >= wanted:
            break
    return read + reader.read_block()


def _patience() -> Iterator[None]:
    deadline = time.monotonic() + _PATIENCE_S
    yield
    while time.monotonic() < deadline:
        time.sleep(_NAP_S)
        yield


def _use(source: Source, read: Callable[[Reader], object], start: int = 0) -> Reader:
    with contextlib.closing(source.open(start)) as reader:
        read(reader)
    return reader


def _require_same(read: bytes, expected: bytes, when: str) -> None:
    if read != expected:
        differing = (at for at, pair in enumerate(zip(read, expected, strict=False)) if pair[0] != pair[1])
        at = next(differing, min(len(read), len(expected)))
        was = f"{len(read)} bytes came where {len(expected)} were expected"
        raise _Broken(f"{when}: {was}; from byte {at} on {read[at : at + 40]!r} instead of {expected[at : at + 40]!r}.")


@contextlib.contextmanager
def _nothing_left(when: str) -> Iterator[list[object]]:
    """Require that what was opened inside is closed at the end; what is in the list yielded stays referenced."""
    held: list[object] = []
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir, usual = folder, tempfile.tempdir
        before = _resources(folder)
        try:
            yield held
            left = _resources(folder) - before
            for _ in _patience():
                left &= _resources(folder)
                if not left:
                    break
            _require(not left, f"{when} there is left: {', '.join(sorted(left))}.")
        finally:
            tempfile.tempdir = usual


def _resources(folder: str) -> set[str]:
    threads = {f"thread {thread.name}" for thread in threading.enumerate()}
    files = {f"temporary file {file.name}" for file in Path(folder).iterdir()}
    return threads | files | set(_descriptors())


def _descriptors() -> Iterator[str]:
    if not _OPEN_FILES.exists():
        raise _NotApplicable
    for link in list(_OPEN_FILES.iterdir()):
        with contextlib.suppress(OSError):  # the one that has just listed them
            yield f"descriptor {link.name} ({link.readlink()})"


def _cost(call: Callable[[], object]) -> int:
    """Bytes that this process reads by read and pread during a call; 0 where the kernel does not tell."""
    before = _read_by_now()
    call()
    return _read_by_now() - before


def _read_by_now() -> int:
    try:
        return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])  # "rchar: n"
    except OSError:
        return 0


# Fakes


class FakeSource:
    """A source that does what a test scripts, at byte offsets of its data; a block never reaches across one.

    Order:  as in ``data``.
    Loss:   what ``truncate`` cuts off before a reader is a Gap; ``gaps`` are reported where they lie.
    Memory: ``data``, and one block for each reader.
    """

    def __init__(
        self,
        name: str,
        data: bytes = b"",
        *,
        cuts: Iterable[int] = (),
        pauses: Iterable[int] = (),
        stall_at: int | None = None,
        fail_at: int | None = None,
        gaps: Sequence[Gap] = (),
        seekable: bool = True,
    ) -> None:
        """Script it.

        Args:
            name: what people call it.
            data: its bytes at first.
            cuts: where blocks end.
            pauses: where each reader gets ``b""`` once although more follows.
            stall_at: where reading waits until ``release`` or the reader's ``close``.
            fail_at: where reading raises SourceFailed, each time.
            gaps: in order; each is reported to a reader that comes to its ``offset`` (None: at once).
            seekable: what it says of itself.
        """
        self.name = name
        self.seekable = seekable
        self.opened = 0
        self._stage = _Stage(name, frozenset(cuts), frozenset(pauses), stall_at, fail_at, tuple(gaps))
        self._place = _Place(data)

    @property
    def open_readers(self) -> int:
        """How many readers are not closed."""
        return self._stage.open_readers

    @property
    def read_bytes(self) -> int:
        """How many bytes all readers have given out together."""
        return self._stage.read_bytes

    def open(self, start: int | Position = 0) -> FakeReader:
        """Open at an offset, or at a position.

        Raises:
            CursorExpired: the bytes of that position were cut off or replaced.
        """
        with self._stage.changed:
            if isinstance(start, Position):
                self._place.require(start)
                start = start.offset
            self.opened += 1
            self._stage.open_readers += 1
            return FakeReader(self._stage, self._place, start)

    def peek_size(self) -> int:
        """Bytes there are now."""
        return len(self._place.data)

    def peek_identity(self) -> Identity | None:
        """Which bytes these are; None when there are none."""
        return self._place.identity() if self._place.data else None

    def append(self, data: bytes) -> None:
        """Grow."""
        with self._stage.changed:
            self._place.data += data

    def truncate(self, size: int) -> None:
        """Lose all bytes from ``size`` on."""
        with self._stage.changed:
            self._place.data = self._place.data[:size]

    def replace(self, data: bytes) -> None:
        """Put other bytes in place; open readers keep the old ones, as those of a renamed file do."""
        with self._stage.changed:
            self._place = _Place(data)

    def release(self) -> None:
        """End the stall, for all readers."""
        with self._stage.changed:
            self._stage.stall_at = None
            self._stage.changed.notify_all()


@dataclass
class _Stage:
    """What a FakeSource and its readers share: the script, one lock, and figures."""

    name: str
    cuts: frozenset[int]
    pauses: frozenset[int]
    stall_at: int | None
    fail_at: int | None
    gaps: tuple[Gap, ...]
    open_readers: int = 0
    read_bytes: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def block_end(self, at: int, limit: int) -> int:
        """Return where a block that begins at ``at`` must end, at ``limit`` at the latest."""
        stops = {*self.cuts, *self.pauses, self.stall_at, self.fail_at, *(gap.offset for gap in self.gaps)}
        return min((stop for stop in stops if stop is not None and at < stop < limit), default=limit)


class _Place:
    """What a FakeSource's name stands for at one time: as a file, until another one takes its name."""

    _numbers = count()

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._key = f"fake:{next(self._numbers)}"

    def identity(self, covered: int = _FINGERPRINT_BYTES) -> Identity:
        first = self.data[:covered]
        return Identity(self._key, hashlib.blake2b(first, digest_size=16).hexdigest(), len(first))

    def require(self, position: Position) -> None:
        same = self.identity(position.identity.fingerprint_bytes) == position.identity
        if not same or position.offset > len(self.data):
            raise CursorExpired("the bytes of this position were cut off or replaced")


class FakeReader(Closing):
    """Reads a FakeSource; see ``logflume.abc.Reader``."""

    def __init__(self, stage: _Stage, place: _Place, start: int) -> None:
        self.start = start
        self.gaps: list[Gap] = []
        self._stage = stage
        self._place = place
        self._at = start
        self._size = len(place.data)  # when last looked at
        self._paused_at: int | None = None
        self._unreported = [gap for gap in stage.gaps if gap.offset is None or gap.offset >= start]
        self._closed = False

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes as scripted.

        Raises:
            SourceFailed: at ``fail_at``.
            UsageError: the reader is closed, before the call or during its stall.
        """
        with self._stage.changed:
            self._stage.changed.wait_for(lambda: self._closed or self._at != self._stage.stall_at)
            if self._closed:
                raise UsageError("the reader is closed")
            self._report_gaps()
            self._report_truncation()
            if self._at == self._stage.fail_at:
                raise SourceFailed(self._gap(GapReason.UNREADABLE, "It fails here, as scripted."))
            return b"" if self._pauses() else self._take(max_bytes)

    def position(self, offset: int) -> Position:
        """Name ``offset``."""
        return Position(self._place.identity(), offset)

    def close(self) -> None:
        """End, and let a stalled read in another thread end too."""
        with self._stage.changed:
            self._stage.open_readers -= not self._closed
            self._closed = True
            self._stage.changed.notify_all()

    def _report_gaps(self) -> None:
        while self._unreported and (self._unreported[0].offset or 0) <= self._at:
            self.gaps.append(self._unreported.pop(0))

    def _report_truncation(self) -> None:
        size, before = len(self._place.data), self._size
        self._size = size
        if size < self._at and size < before:
            self.gaps.append(self._gap(GapReason.TRUNCATED, "Bytes before the reader were cut off."))
            self._at = size

    def _gap(self, reason: GapReason, detail: str) -> Gap:
        return Gap(self._stage.name, reason, detail, "Look at the test that made it so.", offset=self._at)

    def _pauses(self) -> bool:
        if self._at not in self._stage.pauses or self._at == self._paused_at:
            return False
        self._paused_at = self._at
        return True

    def _take(self, max_bytes: int) -> bytes:
        block = self._place.data[self._at : self._stage.block_end(self._at, self._at + max_bytes)]
        self._at += len(block)
        self._stage.read_bytes += len(block)
        return block


class LiveFile(Closing):
    """A real log file, written, rotated and cut as programs do it; a context manager.

    It holds the file open, as a program does: after ``rename_away`` or ``unlink`` it writes on into the
    file that has lost its name, until ``reopen``.
    """

    def __init__(self, path: str | os.PathLike[str], data: bytes = b"") -> None:
        """Open ``path`` to append, making it where it is not, and write ``data``."""
        self.path = Path(path)
        self._file = self.path.open("ab", buffering=0)
        self.write(data)

    def write(self, data: bytes) -> None:
        """Append, visible at once; half a line is fine."""
        self._file.write(data)

    def rotate(self) -> None:
        """Rename to ``.1`` (an older ``.1`` to ``.2``, and so on), and go on in a new file."""
        self.rename_away()
        self.reopen()

    def rename_away(self) -> None:
        """Rename to ``.1`` as rotation does, and write on into the renamed file."""
        self._make_way(1)
        self.path.rename(self._rotated(1))

    def copy_truncate(self) -> None:
        """Copy to ``.1``, then cut the file to nothing: rotation for programs that cannot reopen."""
        self._make_way(1)
        shutil.copyfile(self.path, self._rotated(1))
        self.truncate()

    def truncate(self, size: int = 0) -> None:
        """Cut the file."""
        self._file.truncate(size)

    def replace(self, data: bytes) -> None:
        """Put a new file with ``data`` in its place in one step, and go on in that."""
        aside = self.path.with_name(self.path.name + ".new")
        aside.write_bytes(data)
        aside.replace(self.path)
        self.reopen()

    def unlink(self) -> None:
        """Delete the file's name, and write on into it."""
        self.path.unlink()

    def reopen(self) -> None:
        """Go on in the file that has the name now; make one where there is none."""
        self._file.close()
        self._file = self.path.open("ab", buffering=0)

    def close(self) -> None:
        """Stop writing; the file stays."""
        self._file.close()

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _make_way(self, number: int) -> None:
        if self._rotated(number).exists():
            self._make_way(number + 1)
            self._rotated(number).rename(self._rotated(number + 1))


# Input


def numbered_lines(lines: int) -> bytes:
    """Return so many lines, each different from all others, of 24 bytes each."""
    return b"".join(b"this is line %10d\n" % number for number in range(lines))


def cut(data: bytes, points: Iterable[int]) -> Iterator[bytes]:
    """Yield the pieces between these offsets, none of them empty; together they are ``data``."""
    edges = sorted({0, len(data), *(point for point in points if 0 < point < len(data))})
    for begin, end in pairwise(edges):
        yield data[begin:end]


def every_cut(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield ``data`` in two pieces for each place where it can be cut in two."""
    for point in range(1, len(data)):
        yield data[:point], data[point:]
