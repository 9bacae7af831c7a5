"""Lines without a time that are dated by when they came: the core against the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from tests.drive import merger
from tests.oracle import Dates
from tests.property.test_merge_against_oracle import START_S, Way, files, outputs, untimed_lines, ways

if TYPE_CHECKING:
    from logflume.records import Output

FIRST_NS = START_S * 10**9

steps_ns = st.sampled_from([-(10**9), 0, 1, 999, 10**6, 10**9, 2 * 10**9, 6 * 10**9, 60 * 10**9])
untimed_files = st.lists(untimed_lines, max_size=8).map(lambda lines: b"".join(line + b"\n" for line in lines))


@st.composite
def dates(draw: st.DrawFn, size: int) -> Dates | None:
    """When some bytes came; a clock may have been set back meanwhile, and the first bytes may have no time."""
    if draw(st.integers(0, 4)) == 0:
        return None
    places = sorted(draw(st.sets(st.integers(0, max(0, size)), max_size=6)) | draw(st.sampled_from([set(), {0}])))
    now_ns, times = FIRST_NS, []
    for place in places:
        now_ns += draw(steps_ns)
        times.append((place, now_ns))
    latest_ns = draw(st.sampled_from([2**63 - 1, 2**63 - 1, FIRST_NS + 10**9]))
    return Dates(times, draw(st.sampled_from([0, 0, 40, 1 << 16])), latest_ns)


@st.composite
def dated_logs(draw: st.DrawFn) -> tuple[list[bytes], list[Dates | None]]:
    """Some files with and without times, and when they came."""
    sources = draw(st.lists(files() | untimed_files, min_size=1, max_size=4))
    return sources, [draw(dates(len(source))) for source in sources]


@given(dated_logs(), outputs, st.booleans(), ways)
def test_dated_lines_are_merged_as_the_oracle_says(
    log: tuple[list[bytes], list[Dates | None]], output: Output, dedup: bool, way: Way
) -> None:
    """However sources are cut into blocks and given, lines without a time come at the time at which they came."""
    sources, when = log
    core = merger(len(sources), output=output, dedup=dedup)
    expected = oracle.merge(sources, output=output, dedup=dedup, dates=when)
    assert way.drive(core, sources, when).run() == expected.out
    stats = core.stats()
    assert (stats["late"], stats["duplicates"]) == (expected.late, expected.duplicates)


@given(dated_logs(), ways, st.integers(0, 20))
def test_a_dated_merge_goes_on_where_it_was(log: tuple[list[bytes], list[Dates | None]], way: Way, blocks: int) -> None:
    """What follows a place is the same in a merge that goes on there, from offsets and times alone."""
    sources, when = log
    whole = way.drive(merger(len(sources), dedup=False), sources, when)
    while len(whole.taken) < blocks and whole.step():
        pass
    if not whole.merger.resumable or whole.merger.owes_newline is not None:
        return
    places, floors = whole.merger.positions(), whole.merger.floors()
    before = len(whole.taken)
    whole.run()

    rest = merger(len(sources), dedup=False)
    for number, floor_ns in enumerate(floors):
        rest.resume(number, floor_ns)
    later = [shifted(each, source, place) for each, source, place in zip(when, sources, places, strict=True)]
    cut = [source[place:] for source, place in zip(sources, places, strict=True)]
    assert way.drive(rest, cut, later).run() == b"".join(whole.taken[before:])


def shifted(when: Dates | None, source: bytes, place: int) -> Dates | None:
    """Return the same as seen from a place on; None behind a line with a time that ended it."""
    if when is None:
        return None
    offset = 0
    for line in source[:place].split(b"\n"):
        if offset < min(place, when.until) and oracle.time_of(line) is not None:
            return None
        offset += len(line) + 1
    before = [(0, ns) for first, ns in when.times if first < place]
    times = before[-1:] + [(first - place, ns) for first, ns in when.times if first >= place]
    return Dates(times, max(0, when.until - place), when.latest_ns)
