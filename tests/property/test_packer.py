"""Requests of any lines, within any limits, against what can be said of them without the core."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logflume import _core

MARK = "[logflume: the line goes on]"
ARRIVED_NS = 2_000_000_000 * 10**9
STAMPS = [
    b"",
    b"2024-11-20T12:34:56Z ",
    b"2024-11-20T12:34:55Z ",
    b"2030-01-01T00:00:00Z ",
    b'{"timestamp":"2024-11-21T',
]

odd = st.sampled_from([b"", b"{", b"}{", b"\r"])
text = st.one_of(st.binary(max_size=200), st.text(max_size=120).map(str.encode), odd)
lines = st.tuples(st.sampled_from(STAMPS), text).map(lambda parts: b"".join(parts).replace(b"\n", b""))
logs = st.lists(lines, max_size=40)


def as_message(line: bytes) -> str:
    """Return a line as a service keeps it."""
    return line.decode("utf-8", "replace") or " "


def requests(log: list[bytes], cuts: list[int], **limits: int) -> list[Any]:
    """Feed a log in blocks of whole lines, and take all requests."""
    packer = _core.Packer("cloudwatch", opening=b"[", closing=b"]", **limits)  # type: ignore[arg-type]  # each is an int
    edges = sorted({0, len(log), *(cut % (len(log) + 1) for cut in cuts)})
    found = []
    for begin, end in pairwise(edges):
        packer.feed(b"".join(line + b"\n" for line in log[begin:end]), ARRIVED_NS)
        while (packed := packer.take(everything=False)) is not None:
            found.append(packed)
    while (packed := packer.take(everything=True)) is not None:
        found.append(packed)
    assert packer.is_empty
    return found


@given(logs, st.lists(st.integers(0, 100), max_size=5), st.integers(1, 6), st.integers(40, 900), st.integers(100, 300))
def test_requests_keep_the_limits_and_lose_nothing(
    log: list[bytes], cuts: list[int], max_events: int, max_bytes: int, max_event_bytes: int
) -> None:
    """Each is valid JSON within its limits, in order of time; together they are the log, and say up to where."""
    found = requests(
        log, cuts, max_events=max_events, max_bytes=max_bytes, max_event_bytes=max_event_bytes, request_step_ns=10**6
    )
    events = [json.loads(packed.payload) for packed in found]
    for packed, request in zip(found, events, strict=True):
        sizes = [len(event["message"].encode()) + 26 for event in request]
        assert len(request) == packed.events <= max_events
        assert len(sizes) == 1 or sum(sizes) <= max_bytes
    stamps = [[event["timestamp"] for event in request] for request in events]
    assert all(times == sorted(times) for times in stamps)
    assert all(later[0] > earlier[-1] for earlier, later in pairwise(stamps))
    messages = [event["message"] for request in events for event in request]
    assert whole(messages) == [as_message(line) for line in log]
    ends = [packed.end for packed in found]
    behind = [0, *accumulate(len(line) + 1 for line in log)]
    assert ends == sorted(ends)
    assert set(ends) <= set(behind)
    assert (ends[-1] if ends else 0) == behind[-1]


def whole(messages: list[str]) -> list[str]:
    """Put lines together again that went on in further events."""
    found: list[str] = []
    goes_on = False
    for message in messages:
        part = message.removeprefix(MARK + " ") if goes_on else message
        ends = not part.endswith(" " + MARK)
        part = part.removesuffix(" " + MARK)
        if goes_on:
            found[-1] += part
        else:
            found.append(part)
        goes_on = not ends
    return found


@given(logs, st.lists(st.integers(0, 100), max_size=5), st.lists(st.integers(0, 100), max_size=5))
def test_where_blocks_are_cut_makes_no_difference(log: list[bytes], cuts: list[int], others: list[int]) -> None:
    """The same lines, fed in other blocks, make the same requests."""
    limits = {"max_events": 4, "max_bytes": 500, "max_event_bytes": 200}
    first, second = (requests(log, each, **limits) for each in (cuts, others))
    assert [packed.payload for packed in first] == [packed.payload for packed in second]
    assert [packed.end for packed in first] == [packed.end for packed in second]
