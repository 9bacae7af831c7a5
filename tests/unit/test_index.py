"""The index of a log: every place exact, while the log grows, is cut, or is another one; and bounded in size."""

from __future__ import annotations

import gzip
import threading
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

import pytest

from logflume import index as index_module
from logflume.errors import IndexInvalid, SourceFailed, UsageError
from logflume.generate import Plan, write_log
from logflume.index import MAX_BUCKETS, LogIndex
from logflume.indexcache import IndexCache
from logflume.merge import How, iter_merged
from logflume.records import Dedup, Gap, GapReason, Level, Output
from logflume.seek import iter_lines
from logflume.sources.local import LocalSource
from logflume.testing import FakeSource
from tests.random_logs import BEGIN_NS, Odd, RandomLog, Whole, random_log, whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from logflume.abc import Source
    from logflume.records import Position
    from logflume.seek import Place
    from logflume.testing import FakeReader

SECOND_NS = 10**9
MONOTONE = Odd(late=0)
DISORDERLY = Odd(late=15)


class HeldLog:
    """A log of sources that a test holds; see ``logflume.abc.Log``."""

    def __init__(self, sources: Sequence[Source], log_id: str = "a log") -> None:
        self.held = list(sources)
        self.id = log_id

    def sources(self) -> list[Source]:
        return list(self.held)


def log_of(contents: Sequence[bytes]) -> HeldLog:
    """Make a log of sources with these bytes."""
    return HeldLog([FakeSource(f"source {number}", content) for number, content in enumerate(contents)])


@pytest.fixture
def cache(tmp_path: Path) -> IndexCache:
    """Keep indexes in a folder of the test's own."""
    return IndexCache(tmp_path / "cache")


def built(log: HeldLog, cache: IndexCache, how: How | None = None) -> LogIndex:
    """Index a log to its end."""
    index = LogIndex(log, how, cache=cache)
    index.build()
    assert index.progress.complete
    return index


def read_at(log: HeldLog, place: Place, how: How) -> bytes:
    """Merge from a place to the end."""
    with iter_merged(log.sources(), how, start=place.cursor, workers=0) as merged:
        return b"".join(iter_lines(merged, how, skip=place.skip_lines))


def require_exact(index: LogIndex, log: HeldLog, reference: Whole, luck: Random) -> None:
    """Compare everything the index can be asked with the whole merge."""
    how = How(output=Output.TEXT)
    lines = reference.written(Output.TEXT)
    assert index.totals.lines == reference.line_count
    assert index.totals.records == len(reference.records)
    assert index.totals.levels == tuple(sum(record.level == level for record in reference.records) for level in Level)
    for line in {0, reference.line_count, *(luck.randrange(reference.line_count + 1) for _ in range(8))}:
        place = index.locate_line(line)
        assert place.line == line
        assert read_at(log, place, how) == b"".join(lines[line:])
    for _ in range(8):
        require_exact_rows(index, reference, luck)
        require_exact_time(index, log, reference, BEGIN_NS + luck.randrange(-5, 100) * SECOND_NS)
    require_exact_bytes(index, log, reference, luck)
    for min_level in (Level.ERROR, Level.CRITICAL):
        require_exact_errors(index, reference, min_level, luck)


def require_exact_bytes(index: LogIndex, log: HeldLog, reference: Whole, luck: Random) -> None:
    """Compare the size of the text and the place of some of its bytes."""
    text = b"".join(iter_merged(log.sources(), How(output=Output.TEXT), workers=0))
    assert text == b"".join(reference.written(Output.TEXT))
    sizes = {source.name: source.peek_size() for source in log.sources()}
    assert index.text_bytes(sizes) == len(text)
    for offset in (0, *(luck.randrange(len(text)) for _ in range(4 if text else 0))):
        place = index.locate_byte(offset, sizes)
        assert place is not None
        with iter_merged(log.sources(), How(output=Output.TEXT), start=place[0], workers=0) as rest:
            assert b"".join(rest)[place[1] :] == text[offset:]


def require_exact_rows(index: LogIndex, reference: Whole, luck: Random) -> None:
    """Compare some rows in both outputs."""
    line, count = luck.randrange(reference.line_count + 3), luck.randrange(40)
    for output in (Output.TEXT, Output.NDJSON):
        expected = b"".join(reference.written(output)[line : line + count])
        assert b"".join(index.iter_rows(line, count, output)) == expected


def require_exact_time(index: LogIndex, log: HeldLog, reference: Whole, ts_ns: int) -> None:
    """Compare where a time begins."""
    place = index.locate_time(ts_ns)
    assert place.line == reference.line_at_time(ts_ns)
    rest = read_at(log, place, How(output=Output.TEXT))
    assert rest == b"".join(reference.written(Output.TEXT)[place.line :])


def require_exact_errors(index: LogIndex, reference: Whole, min_level: Level, luck: Random) -> None:
    """Compare the next and the previous error of some lines."""
    errors = reference.lines_of(min_level)
    for line in {0, reference.line_count, *(luck.randrange(reference.line_count + 1) for _ in range(6)), *errors[:3]}:
        after, before = index.next_error(line, min_level), index.previous_error(line, min_level)
        assert (after and after.line) == next((error for error in errors if error >= line), None)
        assert (before and before.line) == next((error for error in reversed(errors) if error < line), None)


@pytest.fixture(params=[1, 150, 2_000], ids="entries every {} bytes".format)
def _entry_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make entries so far apart, since a small log has them for each record."""
    monkeypatch.setattr(index_module, "_entry_every_bytes", lambda *_: request.param)


# exactness


@pytest.mark.usefixtures("_entry_size")
@pytest.mark.parametrize("odd", [MONOTONE, DISORDERLY], ids=["sorted", "late"])
@pytest.mark.parametrize("seed", range(6))
def test_every_place_is_where_the_whole_merge_has_it(seed: int, odd: Odd, cache: IndexCache) -> None:
    """Lines, times, errors and rows of random logs, with ties, duplicates, late and untimed lines."""
    contents = random_log(seed, 80, odd=odd)
    log = log_of(contents)
    require_exact(built(log, cache), log, whole(contents), Random(seed))


def test_without_dedup_the_index_counts_every_copy(cache: IndexCache) -> None:
    """The settings of the merge are those of the index."""
    contents = random_log(4, 80, odd=Odd(shared=50))
    index = built(log_of(contents), cache, How(dedup=Dedup.OFF))
    reference = whole(contents, dedup=False)
    assert index.totals.lines == reference.line_count > whole(contents).line_count
    assert b"".join(index.iter_rows(5, 30)) == b"".join(reference.written(Output.TEXT)[5:35])


def test_lines_in_pieces_keep_the_numbers_of_lines_after_them(cache: IndexCache) -> None:
    """A line over max_record_bytes is one line, in NDJSON too, where its pieces are objects."""
    long = b'{"timestamp":"2024-11-20T12:34:57Z","event":"' + b"y" * 40_000 + b'"}\n'
    contents = [b"[2024-11-20T12:34:56] a\n" + long + b"[2024-11-20T12:34:58] b\n[2024-11-20T12:34:59] c\n"]
    index = built(log_of(contents), cache, How(max_record_bytes=4_096))
    assert index.totals.lines == 4
    assert b"".join(index.iter_rows(1, 1)) == long
    assert b"".join(index.iter_rows(2, 1)) == b"[2024-11-20T12:34:58] b\n"
    assert b'"event":"[2024-11-20T12:34:58] b"' in b"".join(index.iter_rows(2, 1, Output.NDJSON))


def test_an_empty_log_has_no_places(cache: IndexCache) -> None:
    """No sources, or none with a byte: the end is the beginning."""
    for log in (HeldLog([]), log_of([b"", b""])):
        index = built(log, cache)
        assert index.totals.lines == 0
        assert index.totals.last_ns is None
        assert index.locate_line(0).line == index.locate_time(BEGIN_NS).line == 0
        assert index.next_error(0) is None
        assert index.previous_error(9) is None
        assert index.counts(5) is None
        assert list(index.iter_rows(0, 10)) == []


def test_a_source_that_cannot_be_read_does_not_hide_the_others(cache: IndexCache) -> None:
    """Their lines are indexed; once it can be read, its lines are too."""
    contents = random_log(9, 60)[:1] * 2
    refusing = Refusing("source 1", contents[1].replace(b"line", b"other"))
    log = HeldLog([FakeSource("source 0", contents[0]), refusing])
    index = built(log, cache)
    assert index.totals.lines == whole(contents[:1]).line_count
    refusing.refuses = False
    index.build()
    assert index.totals.lines == whole([contents[0], contents[1].replace(b"line", b"other")]).line_count


class Refusing(FakeSource):
    """Cannot be opened until it is told so."""

    refuses = True

    def open(self, start: int | Position = 0) -> FakeReader:
        if self.refuses:
            raise SourceFailed(Gap(self.name, GapReason.PERMISSION_DENIED, "It may not be read.", "Allow it."))
        return super().open(start)


# growth


@pytest.mark.usefixtures("_entry_size")
@pytest.mark.parametrize("odd", [MONOTONE, DISORDERLY], ids=["sorted", "late"])
@pytest.mark.parametrize("seed", range(6))
def test_an_index_grows_with_its_log(seed: int, odd: Odd, cache: IndexCache) -> None:
    """After each growth it is exact, though lines of some sources belong before what was indexed of others."""
    luck = Random(seed)
    made = RandomLog(luck, luck.randrange(1, 5), odd)
    contents = made.first(30)
    log = log_of([bytes(content) for content in contents])
    index = built(log, cache)
    for step in range(5):
        if step == 2:
            made.second -= 15  # some writer's clock is behind
        made.grow(contents[step % 2 :] or contents, 20)
        for source, content in zip(log.held, contents, strict=True):
            assert isinstance(source, FakeSource)
            source.append(bytes(content)[source.peek_size() :])
        index.build()
        require_exact(index, log, whole([bytes(content) for content in contents]), luck)


@pytest.mark.parametrize("seed", range(8))
def test_an_index_from_the_cache_grows_as_well(seed: int, cache: IndexCache) -> None:
    """A new process goes on where the last one ended, and finds what it would have found from the start."""
    luck = Random(seed)
    made = RandomLog(luck, 3)
    contents = made.first(60)
    log = log_of([bytes(content) for content in contents])
    built(log, cache)
    made.grow(contents[:2], 40)
    for source, content in zip(log.held, contents, strict=True):
        assert isinstance(source, FakeSource)
        source.append(bytes(content)[source.peek_size() :])
    require_exact(built(log, cache), log, whole([bytes(content) for content in contents]), luck)


def test_growth_costs_no_reading_of_what_was_indexed(tmp_path: Path, cache: IndexCache) -> None:
    """Building again reads the new lines, and of a sorted log no more than some old ones."""
    paths = write_log(tmp_path, Plan(lines=60_000, sources=2))
    contents = [path.read_bytes() for path in paths]
    halves = [content[: content.rfind(b"\n", 0, len(content) // 2) + 1] for content in contents]
    log = log_of(halves)
    index = built(log, cache)
    grown = 0
    for source, content in zip(log.held, contents, strict=True):
        assert isinstance(source, FakeSource)
        before = source.peek_size()
        source.append(content[before : before + 10_000])
        grown -= source.read_bytes
    index.build()
    grown += sum(source.read_bytes for source in log.held if isinstance(source, FakeSource))
    assert grown < 400_000


def test_nothing_new_costs_no_byte(cache: IndexCache) -> None:
    """Building again, and opening the stored index, read nothing of a log that has not grown."""
    log = log_of(random_log(1, 500))
    built(log, cache)
    before = [source.read_bytes for source in log.held if isinstance(source, FakeSource)]
    built(log, cache).build()
    assert [source.read_bytes for source in log.held if isinstance(source, FakeSource)] == before


def test_a_line_that_belongs_before_the_end_is_indexed_in_its_place(cache: IndexCache) -> None:
    """A source that was silent goes on with a line older than what others have written since."""
    early, late = b"[2024-11-20T12:34:56] first\n", b"[2024-11-20T12:34:59] last\n"
    log = log_of([early, late])
    index = built(log, cache)
    assert isinstance(log.held[0], FakeSource)
    log.held[0].append(b"[2024-11-20T12:34:58] between\n")
    index.build()
    assert b"".join(index.iter_rows(0, 3)) == early + b"[2024-11-20T12:34:58] between\n" + late
    assert b"".join(index.iter_rows(2, 1)) == late


def test_a_line_written_in_two_halves_is_indexed_by_its_whole_time(cache: IndexCache) -> None:
    """Its first half read like a time two hours later."""
    log = log_of(
        [b"[2024-11-20T12:00:00] a\n2024-11-20T12:34:56", b"[2024-11-20T11:00:00] b\n[2024-11-20T12:10:00] c\n"]
    )
    index = built(log, cache)
    assert b"".join(index.iter_rows(3, 1)) == b"2024-11-20T12:34:56"
    assert isinstance(log.held[0], FakeSource)
    log.held[0].append(b"+00:30 d\n")
    index.build()
    expected = (
        b"[2024-11-20T11:00:00] b\n[2024-11-20T12:00:00] a\n2024-11-20T12:34:56+00:30 d\n[2024-11-20T12:10:00] c\n"
    )
    assert b"".join(index.iter_rows(0, 9)) == expected
    assert b"".join(index.iter_rows(2, 1)) == b"2024-11-20T12:34:56+00:30 d\n"


# what does not fit


def test_a_cut_source_is_noticed_and_indexed_anew(cache: IndexCache) -> None:
    """A query says so instead of giving wrong lines; the next build starts over."""
    contents = random_log(2, 90)
    log = log_of(contents)
    index = built(log, cache)
    assert isinstance(log.held[0], FakeSource)
    log.held[0].truncate(len(contents[0]) // 2)
    with pytest.raises(IndexInvalid):
        list(index.iter_rows(0, 5))
    with pytest.raises(IndexInvalid):
        index.locate_line(3)
    index.build()
    require_exact(index, log, whole([contents[0][: len(contents[0]) // 2], *contents[1:]]), Random(2))


def test_a_replaced_source_is_noticed_and_indexed_anew(cache: IndexCache) -> None:
    """The same name and size do not make it the same log."""
    contents = random_log(5, 90)
    log = log_of(contents)
    index = built(log, cache)
    other = bytes(reversed(contents[0]))
    assert isinstance(log.held[0], FakeSource)
    log.held[0].replace(other)
    with pytest.raises(IndexInvalid):
        index.locate_line(0)
    assert built(log, cache).totals.lines == whole([other, *contents[1:]]).line_count


def test_a_new_source_has_all_indexed_anew(cache: IndexCache) -> None:
    """Its lines may belong anywhere."""
    contents = random_log(6, 90)
    log = log_of(contents)
    index = built(log, cache)
    log.held.insert(0, FakeSource("new", b"[2024-11-20T12:34:57] new\n"))
    index.build()
    require_exact(index, log, whole([b"[2024-11-20T12:34:57] new\n", *contents]), Random(6))


def test_a_source_that_is_gone_has_all_indexed_anew(cache: IndexCache) -> None:
    """What is left is exact again."""
    contents = [*random_log(8, 90), b"[2024-11-20T12:34:57] extra\n"]
    log = log_of(contents)
    index = built(log, cache)
    log.held.pop()
    index.build()
    require_exact(index, log, whole(contents[:-1]), Random(8))


def test_other_settings_have_an_index_of_their_own(cache: IndexCache) -> None:
    """Naive times in another zone make another order."""
    contents = [b"[2024-11-20T12:00:00] a\n", b"[2024-11-20T12:30:00+02:00] b\n"]
    log = log_of(contents)
    assert b"".join(built(log, cache).iter_rows(0, 1)) == contents[1]
    assert b"".join(built(log, cache, How(zone="Europe/Helsinki")).iter_rows(0, 1)) == contents[0]
    assert b"".join(built(log, cache).iter_rows(0, 1)) == contents[1]


def test_a_source_cut_while_it_is_indexed_leaves_no_index(cache: IndexCache) -> None:
    """What was read then is not what is there: nothing is kept, and building again works."""
    contents = random_log(3, 90)
    gap = Gap("source 0", GapReason.TRUNCATED, "It was cut.", "Do not.", offset=10)
    log = log_of(contents)
    log.held[0] = FakeSource("source 0", contents[0], gaps=[gap])
    index = LogIndex(log, cache=cache)
    with pytest.raises(IndexInvalid):
        index.build()
    assert index.totals.lines == 0
    log.held[0] = FakeSource("source 0", contents[0])
    index.build()
    assert index.totals.lines == whole(contents).line_count


def test_how_that_cannot_be_used_is_refused_at_once(cache: IndexCache) -> None:
    """A zone that does not exist is the caller's mistake."""
    with pytest.raises(UsageError):
        LogIndex(log_of([]), How(zone="Nowhere/Atlantis"), cache=cache)


# what is kept


def test_a_stored_index_answers_without_building(cache: IndexCache) -> None:
    """What another process has indexed is there at once, and complete."""
    contents = random_log(11, 200)
    log = log_of(contents)
    built(log, cache)
    stored = LogIndex(log, cache=cache)
    assert stored.progress.complete
    require_exact(stored, log, whole(contents), Random(11))


def test_a_little_growth_is_kept_when_the_index_is_closed(cache: IndexCache) -> None:
    """Not all of it is written for each new line, and nothing is lost."""
    contents = random_log(11, 900)
    log = log_of(contents)
    index = built(log, cache)
    assert isinstance(log.held[0], FakeSource)
    log.held[0].append(b"\n[2024-11-21T00:00:00] new\n")
    index.build()
    (file,) = cache.folder.iterdir()
    before = file.read_bytes()
    index.close()
    assert file.read_bytes() != before
    assert LogIndex(log, cache=cache).totals == index.totals


def test_a_damaged_file_is_built_anew(cache: IndexCache) -> None:
    """Wherever a byte is changed, or the file cut, the index is exact after building."""
    contents = random_log(12, 90)
    log = log_of(contents)
    built(log, cache)
    (path,) = cache.folder.iterdir()
    data = path.read_bytes()
    damaged = [data[:cut] for cut in range(0, len(data), 97)]
    damaged += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(0, len(data), 61)]
    for bytes_there in damaged:
        path.write_bytes(bytes_there)
        index = LogIndex(log, cache=cache)
        assert index.totals.lines == 0
        index.build()
        assert index.totals.lines == whole(contents).line_count


def test_a_folder_that_cannot_be_written_is_told_and_no_failure(tmp_path: Path) -> None:
    """The index works from memory, and says why it was not kept."""
    (tmp_path / "file").write_bytes(b"")
    index = built(log_of(random_log(1)), IndexCache(tmp_path / "file" / "cache"))
    assert isinstance(index.cache_error, OSError)
    assert index.totals.lines == whole(random_log(1)).line_count


def test_the_index_of_rotated_files_goes_on_after_a_rotation(tmp_path: Path, cache: IndexCache) -> None:
    """Renaming changes nothing that was indexed; removing the oldest file does."""
    path = tmp_path / "a.log"
    lines = [f"[2024-11-20T12:{number // 60:02}:{number % 60:02}] line {number}\n".encode() for number in range(900)]
    path.write_bytes(b"".join(lines[:300]))
    log = HeldLog([LocalSource(path)])
    index = built(log, cache)
    path.rename(tmp_path / "a.log.1")
    path.write_bytes(b"".join(lines[300:600]))
    index.build()
    assert b"".join(index.iter_rows(295, 10)) == b"".join(lines[295:305])
    (tmp_path / "a.log.1").unlink()
    with pytest.raises(IndexInvalid):
        list(index.iter_rows(295, 10))
    index.build()
    assert b"".join(index.iter_rows(295, 10)) == b"".join(lines[595:600])


def test_the_index_of_compressed_files_knows_when_the_oldest_is_gone(tmp_path: Path, cache: IndexCache) -> None:
    """Then every offset is another one, although the newest file has only grown."""
    lines = [f"[2024-11-20T12:{number // 60:02}:{number % 60:02}] line {number}\n".encode() for number in range(900)]
    for number in (2, 1):
        content = b"".join(lines[300 * (2 - number) : 300 * (3 - number)])
        (tmp_path / f"a.log.{number}.gz").write_bytes(gzip.compress(content))
    (tmp_path / "a.log").write_bytes(b"".join(lines[600:]))
    index = built(HeldLog([LocalSource(tmp_path / "a.log")]), cache)
    for line in (0, 295, 595, 895):
        assert b"".join(index.iter_rows(line, 10)) == b"".join(lines[line : line + 10])
    (tmp_path / "a.log.2.gz").unlink()
    with pytest.raises(IndexInvalid):
        list(index.iter_rows(595, 10))
    index.build()
    assert b"".join(index.iter_rows(295, 10)) == b"".join(lines[595:605])


# size, counts, the background


@pytest.mark.parametrize("sources", [1, 3, 200])
def test_an_index_is_small(sources: int, tmp_path: Path, cache: IndexCache) -> None:
    """At most 0.5 % of a log of 30 MB, with few sources and with many."""
    paths = write_log(tmp_path / "log", Plan(bytes=30_000_000, sources=sources))
    built(HeldLog([LocalSource(path) for path in paths]), cache)
    (file,) = cache.folder.iterdir()
    ends_bytes = 400 * sources  # the head: a name and a position of each source
    assert file.stat().st_size - ends_bytes < 0.005 * sum(path.stat().st_size for path in paths)


def test_an_index_of_a_log_that_grew_line_by_line_stays_small(cache: IndexCache) -> None:
    """Entries that were close when the log was small are few in the end."""
    lines = [f"[2024-11-20T12:{number // 60:02}:{number % 60:02}] line {number}\n".encode() for number in range(1_500)]
    source = FakeSource("a", lines[0])
    index = built(HeldLog([source]), cache)
    for line in lines[1:]:
        source.append(line)
        index.build()
    (file,) = cache.folder.iterdir()
    assert index.totals.lines == len(lines)
    assert file.stat().st_size < 4 * index_module.SMALL_INDEX_BYTES


@pytest.mark.parametrize("buckets", [1, 2, 7, 100])
def test_counts_over_time_are_exact_in_a_small_log(buckets: int, cache: IndexCache) -> None:
    """Each bucket has the records of its time by level; those before any time are in the first."""
    contents = random_log(13, 80)
    timeline = built(log_of(contents), cache).counts(buckets)
    assert timeline is not None
    expected = [[0] * len(Level) for _ in range(buckets)]
    for record in whole(contents).records:
        bucket = max(0, record.time_ns - timeline.first_ns) // timeline.step_ns
        expected[bucket][record.level] += 1
    assert [list(bucket) for bucket in timeline.levels] == expected


def test_counts_over_time_are_off_by_an_entry_at_most(tmp_path: Path, cache: IndexCache) -> None:
    """In a large log each sum up to a time lacks less than one stretch, and the last one nothing."""
    paths = write_log(tmp_path, Plan(lines=200_000))
    index = built(HeldLog([LocalSource(path) for path in paths]), cache)
    timeline = index.counts(50)
    assert timeline is not None
    records_in_stretch = 2 * index_module.ENTRY_EVERY_BYTES // 80
    sums = [*accumulate(sum(bucket) for bucket in timeline.levels)]
    for number, there in enumerate(sums[:-1], 1):
        exact = index.locate_time(timeline.first_ns + number * timeline.step_ns).line
        assert exact is not None
        assert exact - records_in_stretch < there <= exact
    assert sums[-1] == index.totals.records == 200_000


@pytest.mark.parametrize("buckets", [0, -1, MAX_BUCKETS + 1])
def test_a_timeline_has_a_bounded_number_of_buckets(buckets: int, cache: IndexCache) -> None:
    """None, or too many, are refused."""
    with pytest.raises(UsageError):
        built(log_of(random_log(1)), cache).counts(buckets)


@pytest.mark.parametrize("line", [-1, 2**63, 2**64])
def test_a_line_that_no_log_has_is_refused(line: int, cache: IndexCache) -> None:
    """Wherever a line is asked for."""
    index = built(log_of(random_log(1)), cache)
    for ask in (index.locate_line, index.next_error, index.previous_error):
        with pytest.raises(UsageError):
            ask(line)
    with pytest.raises(UsageError):
        list(index.iter_rows(line, 1))


@pytest.mark.parametrize("ts_ns", [-(2**63) - 1, 2**63])
def test_a_time_beyond_64_bits_is_refused(ts_ns: int, cache: IndexCache) -> None:
    """The core has no such times."""
    with pytest.raises(UsageError):
        built(log_of(random_log(1)), cache).locate_time(ts_ns)


def test_an_index_is_built_in_the_background_while_it_answers(cache: IndexCache) -> None:
    """Until a source goes on, what is before is there; in the end all is."""
    contents = random_log(14, 400, odd=Odd(untimed_head=0))
    stalled = FakeSource("source 0", contents[0], stall_at=len(contents[0]) // 2)
    log = HeldLog([stalled, *log_of(contents).held[1:]])
    with LogIndex(log, cache=cache) as index:
        index.build_in_background()
        assert not index.progress.complete
        assert b"".join(index.iter_rows(0, 0)) == b""
        stalled.release()
        wait_for(index)
        require_exact(index, log, whole(contents), Random(14))
    assert index.failure is None


def wait_for(index: LogIndex) -> None:
    """Wait until the background is done."""
    for thread in threading.enumerate():
        if thread.name == "logflume-index":
            thread.join()
    assert index.progress.complete


def test_closing_ends_a_build_and_keeps_what_it_had(tmp_path: Path, cache: IndexCache) -> None:
    """The next process begins where it was stopped, and is exact in the end."""
    paths = write_log(tmp_path, Plan(lines=300_000))
    log = HeldLog([LocalSource(path) for path in paths])
    index = LogIndex(log, cache=cache)
    index.build_in_background()
    while not index.progress.done_bytes:
        pass
    index.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("logflume")]
    done_bytes = index.progress.done_bytes
    stored = LogIndex(log, cache=cache)
    assert stored.progress.done_bytes == done_bytes
    stored.build()
    assert stored.totals.lines == 300_000
    with iter_merged(log.sources(), How(output=Output.TEXT)) as merged:
        lines = b"".join(merged).splitlines(keepends=True)
    assert b"".join(stored.iter_rows(234_567, 3)) == b"".join(lines[234_567:234_570])


def test_what_ends_a_build_in_the_background_can_be_asked(cache: IndexCache) -> None:
    """A log that cannot even name its sources any more is told, not lost."""
    log = log_of(random_log(1))
    index = LogIndex(log, cache=cache)
    log.held = [Unlisted("x")]
    index.build_in_background()
    index.close()
    assert isinstance(index.failure, RuntimeError)


class Unlisted(FakeSource):
    """Breaks as no source should."""

    def peek_size(self) -> int:
        raise RuntimeError("a bug")


def test_who_waits_for_a_build_that_is_just_beginning_is_told(
    cache: IndexCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting while another thread is about to start the build is no error, and there is one build in the end."""
    starts, may_start = threading.Event(), threading.Event()

    class Late(threading.Thread):
        def start(self) -> None:
            starts.set()
            may_start.wait()
            super().start()

    log = log_of([b"2024-11-20T12:00:00Z one\n"])
    with LogIndex(log, cache=cache) as index:
        beginner = threading.Thread(target=index.build_in_background)
        monkeypatch.setattr(threading, "Thread", Late)
        beginner.start()
        starts.wait()
        try:
            assert index.wait(0)
        finally:
            may_start.set()
            beginner.join()
        assert index.wait(60)
        assert index.totals.lines == 1
