"""Finding a time and the tail without an index: the same as from the start, and little is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logflume import seek
from logflume.errors import SourceFailed
from logflume.merge import How, iter_merged, where
from logflume.records import Dedup, Gap, GapReason, Level, Output
from logflume.seek import STEP_BACK_BYTES, cursor_at_time, find_tail, iter_lines, tail, warm_up_bytes
from logflume.sources.memory import BytesSource
from logflume.testing import FakeSource
from tests.random_logs import BEGIN_NS, Odd, random_log, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.abc import Source
    from logflume.cursor import Cursor
    from logflume.records import Position
    from logflume.testing import FakeReader

SECOND_NS = 10**9
TEXT = How(output=Output.TEXT)
FEW_BYTES = 600_000


def sources_of(contents: Sequence[bytes]) -> list[Source]:
    """Make a source of each."""
    return [BytesSource(f"source {number}", content) for number, content in enumerate(contents)]


def line_at(second: int, text: str = "x" * 60) -> bytes:
    """Make a line of that second of November 2024."""
    minutes, seconds = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f'{{"timestamp":"2024-11-{1 + days:02}T{hours:02}:{minutes:02}:{seconds:02}Z","event":"{text}"}}\n'.encode()


def time_of(second: int) -> int:
    """Return the time of ``line_at(second)``."""
    return (1_730_419_200 + second) * SECOND_NS


def lines_at(seconds: range) -> bytes:
    """Make a line for each of these seconds."""
    return b"".join(map(line_at, seconds))


def merged_from(sources: Sequence[Source], how: How = TEXT, cursor: Cursor | None = None) -> bytes:
    """Merge to the end."""
    with iter_merged(sources, how, start=cursor, workers=0) as merged:
        return b"".join(merged)


def last_lines(text: bytes, lines: int) -> bytes:
    """Return the last lines of a text."""
    return b"".join(text.splitlines(keepends=True)[-lines:] if lines else [])


@pytest.fixture(params=["looks as they are", "looks of a line"])
def _look_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small logs be sought in as large ones are."""
    if request.param == "looks of a line":
        monkeypatch.setattr(seek, "LOOK_BYTES", 100)
        monkeypatch.setattr(seek, "STEP_BACK_BYTES", 50)
        monkeypatch.setattr(seek, "_FIRST_LOOK_BYTES", 30)
        monkeypatch.setattr(seek, "_LINE_BYTES", 20)


class Unreadable(FakeSource):
    """Knows its size, and cannot be opened."""

    def open(self, start: int | Position = 0) -> FakeReader:
        raise SourceFailed(Gap(self.name, GapReason.PERMISSION_DENIED, "It may not be read.", "Allow it."))


# a time


@pytest.mark.usefixtures("_look_size")
@pytest.mark.parametrize("seed", range(20))
def test_a_merge_from_a_time_equals_the_rest_of_the_whole_merge(seed: int) -> None:
    """From the cursor of any time come the records of that time and later, and no others."""
    contents = random_log(seed)
    sources = sources_of(contents)
    reference = whole(contents)
    lines = reference.written(Output.TEXT)
    for second in range(-2, 120, 7):
        ts_ns = BEGIN_NS + second * SECOND_NS
        cursor = cursor_at_time(sources, ts_ns)
        assert merged_from(sources, TEXT, cursor) == b"".join(lines[reference.line_at_time(ts_ns) :])


@pytest.mark.parametrize("seekable", [True, False])
def test_since_gives_the_same_from_the_cursor_as_from_the_start(seekable: bool) -> None:
    """Large sources, with and without seeking: the filter by time passes the same records."""
    sources: list[Source] = [
        FakeSource("a", lines_at(range(0, 20_000, 2)), seekable=seekable),
        FakeSource("b", lines_at(range(1, 20_000, 5))),
        FakeSource("empty"),
    ]
    for second in (0, 1, 7_777, 19_998, 30_000):
        since = How(output=Output.TEXT, only=where(since_ns=time_of(second)))
        assert merged_from(sources, since, cursor_at_time(sources, time_of(second))) == merged_from(sources, since)


def test_finding_a_time_reads_little_of_a_large_source() -> None:
    """Of 30 MB that can be sought in, less than one is read."""
    source = FakeSource("large", lines_at(range(300_000)))
    cursor = cursor_at_time([source], time_of(123_456))
    assert source.read_bytes < FEW_BYTES
    assert merged_from([source], TEXT, cursor).startswith(line_at(123_456))


def test_a_stretch_without_times_is_crossed() -> None:
    """Half a megabyte of a traceback between two timed lines misleads nobody, wherever the time is."""
    dump = b'  File "x.py", line 7, in run\n' * 20_000
    source = BytesSource("a", lines_at(range(5_000)) + dump + lines_at(range(5_000, 5_100)))
    for second in (0, 4_999, 5_000, 5_099):
        since = How(output=Output.TEXT, only=where(since_ns=time_of(second)))
        expected = merged_from([source], since)
        assert merged_from([source], TEXT, cursor_at_time([source], time_of(second))) == expected


def test_a_line_longer_than_any_look_is_crossed() -> None:
    """A line of 3 MB in the middle, ended or the last and not ended, hides no time after or before it."""
    long = line_at(1_000, "y" * 3_000_000)
    for content in (lines_at(range(1_000)) + long + lines_at(range(1_001, 1_100)), lines_at(range(1_000)) + long[:-1]):
        source = BytesSource("a", content)
        for second in (500, 1_000, 1_001, 2_000):
            since = How(output=Output.TEXT, only=where(since_ns=time_of(second)))
            expected = merged_from([source], since)
            assert merged_from([source], since, cursor_at_time([source], time_of(second))) == expected


def test_a_source_without_any_time_is_before_every_time() -> None:
    """Nothing comes of it from any time on, as with the filter."""
    untimed = BytesSource("notes", b"no time here\n" * 20_000)
    timed = BytesSource("a", lines_at(range(10)))
    cursor = cursor_at_time([untimed, timed], time_of(5))
    assert merged_from([untimed, timed], TEXT, cursor) == lines_at(range(5, 10))


def test_lines_a_little_late_are_not_missed() -> None:
    """A line may stand up to STEP_BACK_BYTES from its place in time, in either direction."""
    seconds = list(range(40_000))
    apart = STEP_BACK_BYTES // len(line_at(0)) // 2
    for second in range(2_000, 39_000, 997):
        seconds[second], seconds[second + apart] = seconds[second + apart], seconds[second]
    source = BytesSource("a", b"".join(map(line_at, seconds)))
    for second in range(2_000, 39_000, 1_499):
        since = How(output=Output.TEXT, only=where(since_ns=time_of(second)))
        cursor = cursor_at_time([source], time_of(second))
        assert set(merged_from([source], since, cursor).splitlines()) == set(merged_from([source], since).splitlines())


def test_a_source_that_fails_is_left_to_the_merge() -> None:
    """It has no mark; the merge from there has its gap, and the others are where they should be."""
    sources: list[Source] = [Unreadable("broken", b"x\n"), BytesSource("a", lines_at(range(100)))]
    cursor = cursor_at_time(sources, time_of(50))
    with iter_merged(sources, TEXT, start=cursor) as merged:
        assert b"".join(merged) == lines_at(range(50, 100))
        assert [gap.reason for gap in merged.gaps] == [GapReason.PERMISSION_DENIED]


# the tail


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
@pytest.mark.usefixtures("_look_size")
@pytest.mark.parametrize("seed", range(20))
def test_the_tail_is_the_end_of_the_whole_merge(seed: int, output: Output) -> None:
    """With ties, duplicates, tracebacks and lines before any time: the last N lines, for any N."""
    contents = random_log(seed)
    sources = sources_of(contents)
    lines = whole(contents).written(output)
    for count in (0, 1, 2, 5, 17, len(lines) - 1, len(lines), len(lines) + 9):
        assert b"".join(tail(sources, count, How(output=output))) == b"".join(lines[max(0, len(lines) - count) :])


@pytest.mark.parametrize("dedup", list(Dedup))
@pytest.mark.parametrize("count", [1, 100, 1_000, 30_000])
def test_the_tail_of_large_sources_is_the_end_of_the_whole_merge(count: int, dedup: Dedup) -> None:
    """One source is fast, one slow, one ended long ago, one a copy of another, one cannot be sought in."""
    fast, slow = lines_at(range(60_000)), lines_at(range(0, 60_000, 50))
    sources: list[Source] = [
        FakeSource("fast", fast),
        FakeSource("slow", slow),
        FakeSource("ended", lines_at(range(9_000))),
        FakeSource("copy", fast),
        FakeSource("packed", lines_at(range(59_000, 59_990)), seekable=False),
    ]
    how = How(output=Output.TEXT, dedup=dedup)
    assert b"".join(tail(sources, count, how)) == last_lines(merged_from(sources, how), count)


def test_the_tail_reads_only_the_ends() -> None:
    """Of three sources of 10 MB little more than the lines asked for is read."""
    sources = [FakeSource(f"{number}", lines_at(range(number, 300_000, 3))) for number in range(3)]
    lines = b"".join(tail(sources, 1_000, TEXT))
    assert lines == lines_at(range(299_000, 300_000))
    assert sum(source.read_bytes for source in sources) < 3 * FEW_BYTES


def test_the_tail_of_many_sources_reads_only_their_ends() -> None:
    """300 sources of 2 MB are looked at no farther back than the lines asked for need."""
    content = lines_at(range(20_000))
    sources = [FakeSource(f"{number}", content) for number in range(300)]
    how = How(output=Output.TEXT, dedup=Dedup.OFF)
    assert b"".join(tail(sources, 1_000, how)) == line_at(19_996) * 100 + b"".join(
        line_at(second) * 300 for second in range(19_997, 20_000)
    )
    assert max(source.read_bytes for source in sources) < FEW_BYTES


@pytest.mark.parametrize("count", [1, 10, 300, 5_000])
def test_the_tail_of_what_passes_goes_back_as_far_as_it_must(count: int) -> None:
    """With a filter the last N lines are those of the records that pass, however rare they are."""
    rare = [line_at(second, "error" if second % 200 == 0 else "fine") for second in range(60_000)]
    sources = sources_of([b"".join(rare[::2]), b"".join(rare[1::2]), b"".join(rare[::3])])
    how = How(output=Output.TEXT, only=where(contains="error"))
    assert b"".join(tail(sources, count, how)) == last_lines(merged_from(sources, how), count)


@pytest.mark.parametrize("count", [1, 50, 3_000])
def test_one_source_has_its_exact_tail_in_any_order(count: int) -> None:
    """Times that jump back and forth do not matter where there is nothing to merge."""
    content = b"".join(line_at(second * 7_919 % 50_000) for second in range(50_000))
    source = FakeSource("jumping", content)
    assert b"".join(tail([source], count, TEXT)) == last_lines(content, count)
    assert source.read_bytes < count * 1_000 + FEW_BYTES


@pytest.mark.parametrize("count", [1, 1_000])
def test_one_source_without_times_has_its_tail_near_its_end(count: int) -> None:
    """A plain text of 20 MB is not read from the start to find out that it has no time."""
    content = b"".join(b"plain line %d\n" % number for number in range(1_200_000))
    source = FakeSource("plain", content)
    assert b"".join(tail([source], count, TEXT)) == last_lines(content, count)
    assert source.read_bytes < len(content) // 2


def test_lines_that_are_late_within_the_warm_up_are_in_their_place() -> None:
    """The tail of two sources is exact when a line stands no farther than that from its place in time."""
    apart = warm_up_bytes(2) // len(line_at(0)) // 2
    seconds = list(range(60_000))
    for second in range(100, 59_000, 1_201):
        seconds[second], seconds[second + apart] = seconds[second + apart], seconds[second]
    sources = sources_of([b"".join(map(line_at, seconds)), lines_at(range(0, 60_000, 7))])
    everything = merged_from(sources)
    for count in range(1, 8_000, 333):
        assert b"".join(tail(sources, count, TEXT)) == last_lines(everything, count)


def test_a_source_that_fails_does_not_hide_the_tail_of_others() -> None:
    """Its gap is in the merge that starts at the place."""
    sources: list[Source] = [
        Unreadable("broken", lines_at(range(50_000))),
        FakeSource("a", lines_at(range(50_000))),
    ]
    place = find_tail(sources, 3, TEXT)
    with iter_merged(sources, TEXT, start=place.cursor) as merged:
        assert b"".join(iter_lines(merged, TEXT, skip=place.skip_lines)) == lines_at(range(49_997, 50_000))
        assert [gap.source for gap in merged.gaps] == ["broken"]


def test_a_line_that_has_not_ended_is_the_last_of_its_source_only() -> None:
    """It is counted, and stands where its time belongs even if others go on after it."""
    sources = sources_of([lines_at(range(40_000))[:-1], lines_at(range(0, 50_000, 2))])
    everything = merged_from(sources)
    for count in (1, 4_999, 5_000, 5_001, 5_002, 9_000):
        assert b"".join(tail(sources, count, TEXT)) == last_lines(everything, count)


def test_records_that_all_have_one_time_have_their_tail() -> None:
    """Where no time tells where to cut, all is merged."""
    sources = sources_of([line_at(5, "a") * 20_000, line_at(5, "b") * 20_000])
    assert b"".join(tail(sources, 3, TEXT)) == line_at(5, "b") * 3


def test_no_sources_have_no_tail_and_no_time() -> None:
    """An empty log is no error."""
    assert list(tail([], 10, TEXT)) == []
    assert cursor_at_time([], 0).marks == ()
    assert list(tail([BytesSource("empty", b"")], 10, TEXT)) == []


# lines of a merge


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
@pytest.mark.parametrize("block_bytes", [1, 100, 256 * 1024])
def test_any_lines_can_be_cut_out_of_a_merge(block_bytes: int, output: Output) -> None:
    """Skipping and stopping count lines, whatever the blocks are."""
    contents = random_log(7, 40)
    lines = whole(contents).written(output)
    how = How(output=output)
    for skip in range(0, len(lines) + 3, 5):
        for count in (None, 0, 1, 7, len(lines)):
            with iter_merged(sources_of(contents), how, workers=0, block_bytes=block_bytes) as merged:
                cut = b"".join(iter_lines(merged, how, skip=skip, lines=count))
            assert cut == b"".join(lines[skip : None if count is None else skip + count])


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
def test_a_line_in_pieces_counts_as_one(output: Output) -> None:
    """In NDJSON each piece is an object of its own, but the lines after it keep their numbers."""
    contents = [line_at(0) + line_at(1, "y" * 9_000) + line_at(2) + line_at(3)]
    how = How(output=output, max_record_bytes=1024)
    with iter_merged(sources_of(contents), how, block_bytes=256) as merged:
        everything = b"".join(merged).splitlines(keepends=True)
    for line, expected in enumerate([everything[:1], everything[1:-2], everything[-2:-1], everything[-1:]]):
        with iter_merged(sources_of(contents), how, block_bytes=256) as merged:
            assert b"".join(iter_lines(merged, how, skip=line, lines=1)) == b"".join(expected)


def test_levels_choose_before_lines_are_counted() -> None:
    """The last error of a log is found behind many lines that are none."""
    contents = random_log(3, 2_000, odd=Odd(untimed_head=0))
    how = How(output=Output.TEXT, only=where(min_level=Level.CRITICAL))
    sources = sources_of(contents)
    assert b"".join(tail(sources, 1, how)) == last_lines(merged_from(sources, how), 1)


def test_a_gap_in_a_source_is_no_end_of_it() -> None:
    """A source that reports missing bytes is sought in like any other."""
    gap = Gap("a", GapReason.ROTATED_AWAY, "A file is gone.", "Keep it.", offset=0)
    source = FakeSource("a", lines_at(range(9_000)), gaps=[gap])
    assert b"".join(tail([source], 2, TEXT)) == lines_at(range(8_998, 9_000))
