"""Where pages of what passes begin, counts along a log, lines as text, and the list of logs, over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from logflume.catalog import FolderCatalog
from logflume.indexcache import IndexCache
from logflume.serve.app import create_app
from logflume.serve.guard import Guard
from logflume.serve.settings import Settings
from logflume.serve.shelf import Shelf
from tests.served import line

if TYPE_CHECKING:
    from pathlib import Path


def test_pages_of_what_passes_are_told(tmp_path: Path) -> None:
    """Each page's place has its rows behind it, tracebacks count by their lines, and what has grown is gone on with."""
    text = "".join(
        line(n, f"row {n}", "error" if n % 3 == 0 else "info") + ("  below\n" if n % 9 == 0 else "") for n in range(600)
    )
    (tmp_path / "a.log").write_text(text)
    with shelf_of_folder(tmp_path) as shelf:
        told = paged(shelf, level="error", every=50)
        lines = [json.loads(each) for each in told.splitlines()]
        pages = [each["page"] for each in lines if "page" in each]
        done = lines[-1]["done"]
        rows = [got(shelf, f"rows?level=error&n=50&from={page['seq']}")["seqs"] for page in pages]
        assert [page["row"] for page in pages] == list(range(0, done["rows"], 50))
        whole = [seq for page in rows for seq in page]
        assert whole == sorted(set(whole))
        assert len(whole) == done["rows"] == 200 + 67
        assert done["whole"]
        assert done["seq"] == text.count("\n")

        with (tmp_path / "a.log").open("a") as log:
            log.writelines(line(600 + n, "late", "error") for n in range(100))
        more = paged(shelf, level="error", every=50, after=done["after"], seq=done["seq"], row=done["rows"])
        last = json.loads(more.splitlines()[-1])["done"]
        assert last["rows"] == done["rows"] + 100
        first = next(json.loads(each)["page"] for each in more.splitlines() if b"page" in each)
        assert first == {"row": 300, "seq": done["seq"] + 33}


def test_a_source_that_is_not_wanted_counts_no_rows(tmp_path: Path) -> None:
    """Pages and hits of one source are told by their places in the whole log."""
    (tmp_path / "a.log").write_text("".join(line(n, "one") for n in range(0, 100, 2)))
    (tmp_path / "a.log.1").write_text("")
    with shelf_of_folder(tmp_path) as shelf:
        done = json.loads(paged(shelf, source="a.log").splitlines()[-1])["done"]
    assert done["rows"] == done["seq"] == 50


def test_counts_along_a_log(tmp_path: Path) -> None:
    """Errors are counted by parts of the lines, and the sum is exact."""
    (tmp_path / "a.log").write_text("".join(line(0, "x", "error" if n > 900 else "info") for n in range(1000)))
    with shelf_of_folder(tmp_path) as shelf:
        told = got(shelf, "summary?by=line&buckets=10")
    errors = [part[told["levels"].index("error")] for part in told["buckets"]]
    assert sum(errors) == 99
    assert sum(errors[:8]) == 0


def test_lines_as_they_were_written(tmp_path: Path) -> None:
    """Asked for as text, rows are the file's own bytes; what cannot be given so is refused."""
    text = "".join(line(n, f"row {n}") for n in range(20))
    (tmp_path / "a.log").write_text(text)
    with shelf_of_folder(tmp_path) as shelf:
        assert answer(shelf, "rows?from=3&n=4").text == "".join(text.splitlines(keepends=True)[3:7])
        assert answer(shelf, "rows?from=3&level=error").status_code == 400


def test_the_list_tells_more_and_is_searched(tmp_path: Path) -> None:
    """Names are found by all words in them, a page at a time, with sizes where they are wanted."""
    for name in ("Load/one.log", "load/two.log", "other/LOAD.log", "other/x.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("12345\n")
    with shelf_of_folder(tmp_path) as shelf:
        first = got(shelf, "?contains=load&limit=2&details=true", log="")
        assert [log["id"] for log in first["logs"]] == ["Load/one.log", "load/two.log"]
        assert {log["bytes"] for log in first["logs"]} == {6}
        assert first["logs"][0]["written"]
        assert first["logs"][0]["state"] == "unknown"
        rest = got(shelf, f"?contains=load&limit=2&after={first['after']}", log="")
        assert rest == {"logs": [{"id": "other/LOAD.log"}], "after": None}
        assert got(shelf, "?contains=log%20TWO", log="")["logs"] == [{"id": "load/two.log"}]


def answer(shelf: Shelf, address: str, accept: str = "text/plain", log: str = "/a.log/") -> httpx.Response:
    """Ask."""
    guard = Guard(Settings(access_log="off"), key=b"k" * 32)
    app = guard.wrap(create_app(shelf, guard))

    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.get(f"/api/v1/logs{log}{address}", headers={"Accept": accept})

    return asyncio.run(go())


def got(shelf: Shelf, address: str, log: str = "/a.log/") -> dict[str, Any]:
    """Ask for JSON."""
    asked = answer(shelf, address, "application/json", log)
    assert asked.status_code == 200, asked.text
    told: dict[str, Any] = asked.json()
    return told


def paged(shelf: Shelf, **params: str | int) -> bytes:
    """Ask for pages."""
    return answer(shelf, f"pages?{urlencode(params)}").content


def shelf_of_folder(folder: Path) -> Shelf:
    """Return a shelf of its logs."""
    return Shelf(FolderCatalog(folder), key=b"k" * 32, cache=IndexCache(folder / "cache"))
