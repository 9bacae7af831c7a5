from __future__ import annotations

from typing import TYPE_CHECKING

from logflume.cli.ship import AGAIN_S, _Told
from logflume.ship.delivery import Progress

if TYPE_CHECKING:
    import pytest


def test_what_is_wrong_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    """A refusal that lasts, or comes and goes, is told once; another one, and one after a good while, again."""
    now_s = [0.0]
    told = _Told(lambda: now_s[0])
    progress = Progress("cw")

    def look(seconds: float, refused: str | None, *, at_end: bool = False) -> list[str]:
        now_s[0] += seconds
        progress.refused = refused
        told.look([progress], at_end=at_end)
        return [line.removeprefix("logflume: ").partition(";")[0] for line in capfd.readouterr().err.splitlines()]

    assert look(0, "no credentials") == ["no credentials"]
    for _ in range(10_000):
        assert look(0.5, "no credentials") == []
    for refused in (None, "no credentials", None, "no credentials", "another", "no credentials"):
        assert look(0.5, refused) == []
    assert look(AGAIN_S, "another") == ["another"]
    assert look(1, None) == []
    assert look(AGAIN_S, "another") == ["another"]
    assert look(1, "a third") == []
    assert look(1, "a third", at_end=True) == ["a third"]


def test_what_is_never_taken_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """How many events a sink will never take, and why, is told when the reason is new."""
    told = _Told()
    progress = Progress("cw", rejected=7, why_rejected="too old")
    for _ in range(3):
        told.look([progress])
    assert capfd.readouterr().err.count("cw will never take 7 events: too old") == 1
