"""Rows, places and groups over HTTP: exact by an index, and answered all the same where it has not reached."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logflume.catalog import FolderCatalog
from logflume.index import LogIndex
from logflume.indexcache import IndexCache
from logflume.serve.app import create_app
from logflume.serve.guard import Guard
from logflume.serve.settings import Settings
from logflume.serve.shelf import Shelf
from tests.served import line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from logflume.abc import Log

RECORDS = 3000


class _Slow(Shelf):
    """A shelf whose index of a log is made of its first bytes, and never grows."""

    folder: Path
    share: float

    def index(self, log: Log) -> LogIndex:
        """Return such an index."""
        path = self.folder / log.id
        whole = path.read_bytes()
        index = LogIndex(log, cache=IndexCache(self.folder / "none"))
        if self.share:
            path.write_bytes(whole[: whole.index(b"\n", int(len(whole) * self.share)) + 1])
            index.build()
            path.write_bytes(whole)
            index.covered.catch_up(log.sources())
        assert not index.progress.complete
        return index


Ask = "Callable[..., dict[str, Any]]"


def asking(shelf: Shelf) -> Callable[..., dict[str, Any]]:
    """Return what asks the application about the log ``a.log``."""
    guard = Guard(Settings(access_log="off"), key=b"k" * 32)
    app = guard.wrap(create_app(shelf, guard))

    def ask(path: str, **params: str | int) -> dict[str, Any]:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
                return await client.get(
                    f"/api/v1/logs/a.log/{path}", params={k.rstrip("_"): v for k, v in params.items()}
                )

        answer = asyncio.run(go())
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    return ask


@pytest.fixture(params=[0, 0.3])
def slow(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """Ask about a log of which nothing, or a third, is indexed."""
    errors = {500, 2500}
    lines = [line(n, f"row {n}", "error" if n in errors else "info") for n in range(RECORDS)]
    (tmp_path / "a.log").write_text("".join(lines))
    shelf = _Slow(FolderCatalog(tmp_path), key=b"k" * 32)
    shelf.folder, shelf.share = tmp_path, request.param
    return asking(shelf)


def number_of(row: dict[str, Any]) -> int:
    """Return which row it is."""
    return int(row["event"].removeprefix("row "))


@pytest.mark.parametrize("seq", [0, 1, 900, 1500, 2900])
def test_rows_of_any_place(slow: Callable[..., dict[str, Any]], seq: int) -> None:
    """They come, consecutive, from near the place that was asked for."""
    page = slow("rows", from_=seq, n=20)
    numbers = [number_of(row) for row in page["rows"]]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert page["from"] == seq
    if page["exact"]:
        assert numbers[0] == seq
    else:
        assert abs(numbers[0] - seq) < RECORDS // 5
        assert page["seqs"] == list(range(seq, seq + 20))
    assert abs(page["expected"] - RECORDS) < RECORDS // 3


def test_the_end(slow: Callable[..., dict[str, Any]]) -> None:
    """The last rows are the last rows, whatever their ordinals; with a filter, the last that pass."""
    page = slow("rows", from_=-5, n=5)
    assert [number_of(row) for row in page["rows"]] == list(range(RECORDS - 5, RECORDS))
    assert (page["from"], page["exact"], page["lines"]["exact"]) == (None, False, False)
    page = slow("rows", from_=-5, n=5, level="error")
    assert [number_of(row) for row in page["rows"]][-1] == 2500


def test_rows_far_beyond_the_end(slow: Callable[..., dict[str, Any]]) -> None:
    """There are none."""
    assert slow("rows", from_=10**9)["rows"] == []


def test_places_before_they_are_indexed(slow: Callable[..., dict[str, Any]]) -> None:
    """A line, a time and the last error are found; the cursor beside leads to the rows."""
    for params in ({"seq": 2000}, {"ts": "2024-11-20T12:33:20Z"}):
        place = slow("locate", **params)
        assert not place["exact"]
        assert abs(place["seq"] - 2000) < RECORDS // 4
        page = slow("rows", after=place["after"], n=3)
        numbers = [number_of(row) for row in page["rows"]]
        assert abs(numbers[0] - 2000) < RECORDS // 5
        if "ts" in params:
            assert numbers == [2000, 2001, 2002]
    last = slow("locate", error="previous")
    assert abs(last["seq"] - 2500) < RECORDS // 4
    assert number_of(slow("rows", after=last["after"], n=1)["rows"][0]) == 2500
    assert not last["exact"]


def test_counts_say_how_far_they_reach(slow: Callable[..., dict[str, Any]]) -> None:
    """The timeline and the groups are of what is covered, and say so."""
    assert not slow("summary")["exact"]
    assert not slow("outline")["exact"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Ask about a log that is indexed: groups, tracebacks, a long line."""
    folder = tmp_path_factory.mktemp("logs")
    text = line(0, "::group::Setup") + line(1, "x") + line(2, "::group::Inner") + line(3, "::endgroup::")
    text += line(4, "boom", "error") + "Traceback\n  deep\n" + line(5, "::endgroup::")
    text += json.dumps({"timestamp": "2024-11-20T12:00:06Z", "level": "info", "event": "é" * 30_000, "n": 1}) + "\n"
    text += line(7, "::group::Rest") + line(8, "last", "error")
    (folder / "a.log").write_text(text)
    shelf = Shelf(FolderCatalog(folder), key=b"k" * 32, cache=IndexCache(folder / "cache"))
    ask = asking(shelf)
    while not ask("summary")["exact"]:
        pass
    return ask


def test_records_beside_rows(whole: Callable[..., dict[str, Any]]) -> None:
    """A traceback is one record, wherever in it the rows begin."""
    page = whole("rows", from_=5, n=2)
    (record,) = page["records"]
    assert record == {
        "seq": 4,
        "lines": 3,
        "time": "2024-11-20T12:00:04.000000000Z",
        "level": "error",
        "source": "a.log",
    }
    assert (page["from"], page["next"], page["previous"], page["exact"]) == (5, 7, 5, True)
    assert whole("rows", from_=0, n=100)["next"] is None


def test_filtered_rows_keep_their_places(whole: Callable[..., dict[str, Any]]) -> None:
    """Forwards and backwards, by level and text; `next` and `previous` lead on."""
    page = whole("rows", from_=0, n=3, level="error")
    assert (page["seqs"], page["next"]) == ([4, 5, 6], 7)
    page = whole("rows", from_=7, n=3, level="error")
    assert (page["seqs"], page["next"]) == ([10], None)
    page = whole("rows", before=10, n=2, level="error")
    assert (page["seqs"], page["previous"]) == ([5, 6], 5)
    assert whole("rows", before=10, n=3, level="error")["seqs"] == [4, 5, 6]
    assert whole("rows", from_=-1, n=9, q="group::")["seqs"] == [9]
    assert whole("rows", from_=0, n=9, source="a.log")["seqs"] == list(range(9))
    assert whole("rows", from_=0, since="2024-11-20T12:00:07Z")["seqs"] == [9, 10]
    assert whole("rows", from_=0, until="2024-11-20T12:00:02Z")["seqs"] == [0, 1]


def test_long_rows_are_cut_on_demand(whole: Callable[..., dict[str, Any]]) -> None:
    """A row beyond the cut keeps its short members, tells its length, and comes whole when asked for alone."""
    page = whole("rows", from_=8, n=1, cut=8192)
    (row,) = page["rows"]
    assert row["level"] == "info"
    assert row["n"] == 1
    assert set(row["event"]) == {"é"}
    assert len(row["event"]) < 8192
    assert page["cut"] == {
        "8": len(json.dumps("é" * 30_000))
        + len('{"timestamp": "2024-11-20T12:00:06Z", "level": "info", "event": , "n": 1}')
    }
    whole_row = whole("rows", from_=8, n=1)
    assert len(whole_row["rows"][0]["event"]) == 30_000
    assert whole_row["cut"] == {}


def test_groups(whole: Callable[..., dict[str, Any]]) -> None:
    """With title, extent, depth and errors within; in pages, and those around a line."""
    told = whole("outline")
    assert [(g["title"], g["first"], g["last"], g["depth"], g["errors"], g["open"]) for g in told["groups"]] == [
        ("Setup", 0, 7, 0, 1, False),
        ("Inner", 2, 3, 1, 0, False),
        ("Rest", 9, 10, 0, 1, True),
    ]
    assert (told["after"], told["until"], told["exact"]) == (None, None, True)
    first = whole("outline", limit=1)
    assert (len(first["groups"]), first["after"]) == (1, 0)
    assert [g["title"] for g in whole("outline", after=first["after"])["groups"]] == ["Inner", "Rest"]
    assert [g["title"] for g in whole("outline", at=3)["groups"]] == ["Setup", "Inner"]
    assert whole("outline", at=8)["groups"] == []


def test_errors_are_found(whole: Callable[..., dict[str, Any]]) -> None:
    """The next and the previous one; without a line the first and the last."""
    assert whole("locate", error="next")["seq"] == 4
    assert whole("locate", error="next", seq=5)["seq"] == 10
    assert whole("locate", error="previous")["seq"] == 10
    assert whole("locate", error="previous", seq=10)["seq"] == 4
    assert whole("locate", error="previous", seq=0) | {"index": 0} == {
        "seq": None,
        "exact": True,
        "after": None,
        "index": 0,
    }
