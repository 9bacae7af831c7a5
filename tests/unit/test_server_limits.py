from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.serve import limits as module
from logflume.serve.callers import ANYBODY, Caller
from logflume.serve.limits import BURST_S, Bound, Bounds, Bucket, Limits, SearchBudget, TooMany, Use
from logflume.serve.settings import Settings

ANN = Caller("ann", ("*",))
BOB = Caller("bob", ("*",))
SMALL = Bounds(uses=dict.fromkeys(Use, Bound(3, 2)))


class Clock:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_one_too_many_of_a_caller() -> None:
    """The third reader of somebody who may have two is refused, with when to try again; another one's is not."""
    limits = Limits(SMALL)
    with limits.using(ANN, Use.READ), limits.using(ANN, Use.READ):
        with pytest.raises(TooMany) as caught, limits.using(ANN, Use.READ):
            pass
        assert (caught.value.of_caller, caught.value.bound, caught.value.retry_s) == (True, 2, 5)
        assert caught.value.detail == "You have 2 readers at once, which is the most. Try again when one has ended."
        with limits.using(BOB, Use.READ), limits.using(ANN, Use.SEARCH):
            assert limits.in_use().uses == {Use.READ: 3, Use.FOLLOW: 0, Use.SEARCH: 1}
    assert sum(limits.in_use().uses.values()) == 0


def test_one_too_many_in_all() -> None:
    """Callers without a name count in all only."""
    limits = Limits(SMALL)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(limits.using(ANYBODY, Use.FOLLOW))
        with pytest.raises(TooMany, match="This server has 3 followers at once"):
            stack.enter_context(limits.using(ANN, Use.FOLLOW))
        assert limits.in_use().callers == 0
    with limits.using(ANN, Use.FOLLOW):
        assert limits.in_use().uses[Use.FOLLOW] == 1


@given(
    st.lists(st.tuples(st.sampled_from([ANN, BOB, ANYBODY]), st.sampled_from(Use), st.booleans()), max_size=40),
)
def test_counts_against_a_list(steps: list[tuple[Caller, Use, bool]]) -> None:
    """In any order of beginnings and ends, exactly those are refused for whom a list of the others has no room."""
    limits = Limits(SMALL)
    going: list[tuple[Caller, Use, contextlib.ExitStack]] = []
    for caller, use, ends in steps:
        mine = [each for each in going if each[:2] == (caller, use)]
        if ends and mine:
            going.remove(mine[0])
            mine[0][2].close()
            continue
        stack = contextlib.ExitStack()
        has_room = sum(each[1] is use for each in going) < 3 and (not caller.signed_in or len(mine) < 2)
        try:
            stack.enter_context(limits.using(caller, use))
        except TooMany:
            assert not has_room
        else:
            assert has_room
            going.append((caller, use, stack))
        assert limits.in_use().uses == {each: Counter(g[1] for g in going)[each] for each in Use}


@pytest.mark.parametrize("cut", [True, False])
def test_a_disconnect_gives_all_back(cut: bool) -> None:
    """A reader that is cancelled, or breaks, while it waits for its turn leaves nothing behind."""

    async def go() -> None:
        limits = Limits(Bounds(uses=SMALL.uses, bytes_per_s_per_caller=1))
        begun = asyncio.Event()

        async def read() -> None:
            with limits.using(ANN, Use.READ) as pace:
                await pace.wait_for(10_000)
                begun.set()
                if not cut:
                    raise ConnectionError
                await pace.wait_for(1)

        task = asyncio.create_task(read())
        await asyncio.wait_for(begun.wait(), 10)
        if cut:
            task.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionError)):
            await task
        assert limits.in_use().uses[Use.READ] == 0

    asyncio.run(go())


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 20)), min_size=1, max_size=30),
)
def test_a_bucket_lets_through_what_it_says(bytes_per_s: int, claims: list[tuple[int, float]]) -> None:
    """Up to any moment no more has been let through than the rate gives, one burst, and one block; in order."""
    bucket = Bucket(bytes_per_s)
    now_s, sent, before_s = 0.0, 0, 0.0
    for n_bytes, pause_s in claims:
        now_s += pause_s
        at_s = now_s + bucket.claim(n_bytes, now_s)
        assert at_s >= before_s - 1e-9
        before_s = at_s
        assert sent <= bytes_per_s * (at_s + BURST_S) * (1 + 1e-9) + 1e-6
        sent += n_bytes


def test_no_rate_is_any_rate() -> None:
    """Without a bound nothing waits."""
    bucket = Bucket(0)
    assert [bucket.claim(10**12, 0.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.is_full(0)


def test_the_slower_of_both_rates_counts() -> None:
    """A caller is sent no more than its own rate, and all together no more than theirs."""

    async def seconds(bounds: Bounds, callers: list[Caller]) -> float:
        clock = Clock()
        limits = Limits(bounds, clock=clock, sleep=clock.sleep)
        with contextlib.ExitStack() as stack:
            paces = [stack.enter_context(limits.using(caller, Use.READ)) for caller in callers]
            for _ in range(50):
                for pace in paces:
                    await pace.wait_for(100)
        return clock.now_s

    own = Bounds(uses=SMALL.uses, bytes_per_s_per_caller=100)
    assert asyncio.run(seconds(own, [ANN])) == pytest.approx(48)
    assert asyncio.run(seconds(own, [ANYBODY])) == 0
    both = Bounds(uses=SMALL.uses, bytes_per_s=100, bytes_per_s_per_caller=100)
    assert asyncio.run(seconds(both, [ANN, BOB])) == pytest.approx(98)


def test_coming_again_is_no_new_burst() -> None:
    """Whoever ends and begins again finds the bucket as it was left, and is forgotten once it is full."""
    clock = Clock()
    limits = Limits(Bounds(uses=SMALL.uses, bytes_per_s_per_caller=10), clock=clock, sleep=clock.sleep)

    async def send(caller: Caller) -> float:
        before_s = clock.now_s
        with limits.using(caller, Use.READ) as pace:
            await pace.wait_for(100)
        return clock.now_s - before_s

    assert asyncio.run(send(ANN)) == 0
    assert asyncio.run(send(ANN)) == pytest.approx(9)
    clock.now_s += 1000
    asyncio.run(send(BOB))
    assert limits.in_use().callers == 1


def test_what_is_known_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many names push out those that have nothing going on, and never one that has."""
    monkeypatch.setattr(module, "MAX_CALLERS", 4)
    clock = Clock()
    limits = Limits(Bounds(uses=SMALL.uses, bytes_per_s_per_caller=1), clock=clock, sleep=clock.sleep)

    async def send(caller: Caller) -> None:
        with limits.using(caller, Use.READ) as pace:
            await pace.wait_for(100)

    with limits.using(ANN, Use.READ), limits.using(ANN, Use.READ):
        for number in range(20):
            asyncio.run(send(Caller(f"n{number}", ("*",))))
            assert limits.in_use().callers <= 4
        with pytest.raises(TooMany, match="You have 2"), limits.using(ANN, Use.READ):
            pass


def test_a_search_has_a_budget() -> None:
    """It ends with its bytes or its seconds, whichever is first."""
    clock = Clock()
    budget = SearchBudget(100, 10, clock)
    assert budget.spend(99)
    assert not budget.spend(1)
    assert budget.spent_bytes == 100
    budget = SearchBudget(100, 10, clock)
    clock.now_s += 10
    assert not budget.spend(1)
    assert Limits(SMALL, clock=clock).new_budget().spend(1)


def test_bounds_come_from_settings() -> None:
    """Each setting is the bound that it names."""
    settings = Settings(max_readers=1, max_followers_per_caller=2, max_searches=3, max_search_s=4, max_bytes_per_s=5)
    bounds = Bounds.of(settings)
    assert bounds.uses[Use.READ] == Bound(1, 16)
    assert bounds.uses[Use.FOLLOW].per_caller == 2
    assert bounds.uses[Use.SEARCH].in_all == 3
    assert (bounds.search_s, bounds.bytes_per_s) == (4, 5)
