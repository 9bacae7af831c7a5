"""Windows on a merged log: the rows of any place and any filter are those that a merge of everything gives."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from logflume import window as windows
from logflume.catalog import log_of_paths
from logflume.index import LogIndex
from logflume.indexcache import IndexCache
from logflume.merge import How, iter_merged, where
from logflume.records import Level, Output
from logflume.search import Search
from logflume.seek import Place, cursor_at_share, find_tail
from logflume.sources.memory import BytesSource
from logflume.window import Choice, Window, read_after, read_backward, read_forward, read_last

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.abc import Source

LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR")


def text_of(seed: int, records: int) -> bytes:
    """Make the log of one source: a record a second, some of them tracebacks; levels come in bursts."""
    chosen = random.Random(seed)
    lines = []
    for number in range(records):
        level = chosen.choice(LEVELS) if number // 200 % 3 == 0 else "INFO"
        stamp = f"2024-11-20T{12 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.{seed:03}Z"
        lines.append(f"{stamp} {level} source {seed} number {number}")
        if level == "ERROR":
            lines += ["Traceback:", f"  line {number}"]
    return ("\n".join(lines) + "\n").encode()


class _Log:
    """A log in memory, of several sources."""

    id = "log"

    def __init__(self, texts: list[bytes]) -> None:
        self.texts = texts

    def sources(self) -> list[Source]:
        """Return one for each text."""
        return [BytesSource(f"s{number}", text) for number, text in enumerate(self.texts)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogIndex]:
    """Index a log of three sources."""
    log = _Log([text_of(seed, 1500) for seed in range(3)])
    with LogIndex(log, cache=IndexCache(tmp_path_factory.mktemp("cache"))) as made:
        made.build()
        assert made.progress.complete
        yield made


@pytest.fixture(scope="module")
def lines(index: LogIndex) -> list[bytes]:
    """Return all lines of the merged log."""
    with iter_merged(index.covered.sources, How(output=Output.NDJSON)) as merged:
        return b"".join(merged).splitlines()


CHOICES = {
    "all": Choice(How()),
    "errors": Choice(How(only=where(min_level=Level.ERROR)), Level.ERROR),
    "warnings": Choice(How(only=where(min_level=Level.WARNING)), Level.WARNING),
    "text": Choice(How(only=where(contains="number 77"))),
    "rare": Choice(How(only=where(contains="source 1 number 1337"))),
    "none": Choice(How(only=where(contains="there is none"))),
    "both": Choice(How(only=where(min_level=Level.ERROR, regex="number 4[0-9][0-9]")), Level.ERROR),
}


def passing(index: LogIndex, choice: Choice, lines: list[bytes]) -> list[int]:
    """Return the lines that pass, by a search of everything."""
    if choice.how.only is None:
        return list(range(len(lines)))
    with Search(index.covered.sources, choice.how) as search:
        hits = [hit for hit in search if hit is not None]
    return [hit.line + number for hit in hits for number in range(hit.record.count(b"\n"))]


def shown(window: Window, lines: list[bytes]) -> list[int]:
    """Return the ordinals of the rows, having compared each with its line, and its record with its place."""
    for row in window.rows:
        assert row.text == lines[row.seq]
        assert row.record.seq <= row.seq < row.record.seq + row.record.lines
    assert window.records() == sorted(set(window.records()))
    return [row.seq for row in window.rows]


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("rows", [1, 7, 100, 1000])
def test_forward(index: LogIndex, lines: list[bytes], name: str, rows: int) -> None:
    """From any line on, the rows that pass come, and `next_seq` leads through all of them."""
    choice = CHOICES[name]
    there = passing(index, choice, lines)
    for seq in (0, 1, 2, 1000, 1001, 1002, 2345, len(lines) - 1, len(lines), len(lines) + 50):
        wanted = [each for each in there if each >= seq]
        window = read_forward(index, seq, rows, choice)
        assert shown(window, lines) == wanted[:rows]
        assert (window.next_seq is None) <= (len(wanted) <= rows)
    if rows >= 100:
        assert list(walk(index, choice, rows, lines)) == there


def walk(index: LogIndex, choice: Choice, rows: int, lines: list[bytes]) -> Iterator[int]:
    """Yield what window after window shows."""
    seq: int | None = 0
    while seq is not None:
        window = read_forward(index, seq, rows, choice)
        yield from shown(window, lines)
        assert window.next_seq is None or window.next_seq > seq
        seq = window.next_seq


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("rows", [1, 7, 100, 1000])
def test_backward(index: LogIndex, lines: list[bytes], name: str, rows: int) -> None:
    """Before any line, the last rows that pass come, and `previous_seq` leads back to the first one."""
    choice = CHOICES[name]
    there = passing(index, choice, lines)
    for seq in (0, 1, 2, 1000, 1001, 1002, 2345, len(lines) - 1, len(lines), len(lines) + 50):
        wanted = [each for each in there if each < seq]
        window = read_backward(index, seq, rows, choice)
        assert shown(window, lines) == wanted[-rows:]
        assert (window.previous_seq is None) <= (len(wanted) <= rows)
    if rows >= 100:
        found: list[int] = []
        place: int | None = len(lines)
        while place is not None:
            window = read_backward(index, place, rows, choice)
            found[:0] = shown(window, lines)
            assert window.previous_seq is None or window.previous_seq < place
            place = window.previous_seq
        assert found == there


def test_records_tell_what_they_are(index: LogIndex, lines: list[bytes]) -> None:
    """Time, level, source and extent; a window within a traceback has its whole extent."""
    errors = read_forward(index, 0, 3, CHOICES["errors"])
    (record,) = errors.records()
    assert (record.level, record.lines, len(errors.rows)) == (Level.ERROR, 3, 3)
    assert record.source in {"s0", "s1", "s2"}
    assert record.ts_ns is not None
    within = read_forward(index, record.seq + 1, 1, CHOICES["all"])
    assert within.records() == [record]
    assert shown(within, lines) == [record.seq + 1]


@pytest.mark.parametrize("names", [{"s1"}, {"s0", "s2"}, set()])
def test_sources_are_chosen(index: LogIndex, lines: list[bytes], names: set[str]) -> None:
    """What the others have is counted, and not shown."""
    choice = Choice(How(), sources=frozenset(names))
    wanted = [n for n, line in enumerate(lines) if any(f"source {name[1]} " in line.decode() for name in names)]
    timed = [seq for seq in walk(index, choice, 500, lines) if b"number" in lines[seq]]
    assert timed == wanted
    assert [row.seq for row in read_backward(index, 999, 1000, choice).rows if b"number" in row.text] == [
        n for n in wanted if n < 999
    ]


@pytest.mark.parametrize(("since", "until"), [(600, 900), (None, 5), (1490, None), (2000, None), (None, -5)])
def test_a_span_of_time(index: LogIndex, lines: list[bytes], since: int | None, until: int | None) -> None:
    """What is before and after it is not even looked at."""
    begin_ns = 1_732_104_000_000_000_000
    since_ns = None if since is None else begin_ns + since * 1_000_000_000
    until_ns = None if until is None else begin_ns + until * 1_000_000_000
    only = where(since_ns=since_ns, until_ns=until_ns)
    choice = Choice(How(only=only), since_ns=since_ns, until_ns=until_ns)
    there = passing(index, choice, lines)
    assert list(walk(index, choice, 1000, lines)) == there
    assert shown(read_backward(index, len(lines), 1000, choice), lines) == there[-1000:]


def test_a_window_costs_only_so_much(index: LogIndex, lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the budget is spent, it says how far it has looked, and the next one goes on there."""
    monkeypatch.setattr(windows, "MAX_SCAN_BYTES", 1)
    choice = CHOICES["rare"]
    (wanted,) = passing(index, choice, lines)
    first = read_forward(index, 0, 10, choice)
    assert first.next_seq is not None
    assert not first.rows or first.rows[0].seq == wanted
    back = read_backward(index, len(lines), 10, choice)
    assert back.previous_seq is not None
    seen = list(walk(index, choice, 10, lines))
    assert seen == [wanted]


def test_a_window_holds_only_so_much(index: LogIndex, lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before its rows get too large together, and goes on after them."""
    monkeypatch.setattr(windows, "MAX_WINDOW_BYTES", 1000)
    window = read_forward(index, 0, 1000, CHOICES["all"])
    assert 0 < len(window.rows) < 20
    assert window.next_seq == len(window.rows)
    assert shown(read_backward(index, 500, 1000, CHOICES["all"]), lines)[-1] == 499


def test_rows_beyond_what_is_indexed(tmp_path: Path) -> None:
    """A window that begins where the index ends goes on into what has come since."""
    path, grown = tmp_path / "a.log", text_of(0, 900)
    path.write_bytes(text_of(0, 300))
    log = log_of_paths([path])
    with LogIndex(log, cache=IndexCache(tmp_path / "cache")) as index:
        index.build()
        known = index.totals.lines
        path.write_bytes(grown)
        index.covered.catch_up(log.sources())
        assert not index.progress.complete
        window = read_forward(index, known - 5, 100, CHOICES["all"])
        assert [row.seq for row in window.rows] == list(range(known - 5, known + 95))
        errors = read_forward(index, 0, 1000, CHOICES["errors"])
        wanted = [n for n, line in enumerate(grown.splitlines()) if b" ERROR" in line or not line.startswith(b"2024")]
        assert [row.seq for row in errors.rows] == wanted


def test_without_an_index(tmp_path: Path) -> None:
    """Rows at a share of the log and at its end are right, and their ordinals about right."""
    del tmp_path
    for texts in ([text_of(0, 2000)], [text_of(seed, 1000) for seed in range(3)], [b"no time at all\n" * 999]):
        sources = _Log(texts).sources()
        with iter_merged(sources, How(output=Output.NDJSON)) as merged:
            lines = b"".join(merged).splitlines()
        place = Place(cursor_at_share(sources, 0.5), 0, len(lines) // 2)
        window = read_after(sources, place, 50, CHOICES["all"])
        assert [row.seq for row in window.rows] == list(range(len(lines) // 2, len(lines) // 2 + 50))
        at = next(n for n in range(len(lines)) if lines[n : n + 50] == [row.text for row in window.rows])
        assert abs(at - len(lines) // 2) < len(lines) // 10 or lines[0] == lines[-1]
        end = find_tail(sources, 20, How())
        last = read_last(sources, end.cursor, 20, CHOICES["all"], end_seq=len(lines))
        assert [row.text for row in last.rows] == lines[-20:]
        assert [row.seq for row in last.rows] == list(range(len(lines) - 20, len(lines)))


def test_a_line_in_pieces_is_one_row(tmp_path: Path) -> None:
    """Each row is a line, however long: of one that passes in pieces the first is shown."""
    long = b"x" * 5000
    text = b"".join(b"2024-11-20T12:00:%02dZ INFO %d\n%s\n" % (n, n, long if n % 7 == 0 else b"y") for n in range(60))
    how = How(max_record_bytes=1000)
    with LogIndex(_Log([text]), how, cache=IndexCache(tmp_path)) as index:
        index.build()
        window = read_forward(index, 0, 500, CHOICES["all"])
        assert [row.seq for row in window.rows] == list(range(120))
        pairs = itertools.pairwise(row.seq for row in read_backward(index, 120, 500, CHOICES["all"]).rows)
        assert all(later == earlier + 1 for earlier, later in pairs)
