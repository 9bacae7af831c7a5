"""The pages for people: what they say, what they may do, how long they are kept, where they find the rest."""

from __future__ import annotations

import asyncio
import gzip
import html
import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

from logflume.catalog import FolderCatalog
from logflume.indexcache import IndexCache
from logflume.serve.app import create_app
from logflume.serve.auth import Gate
from logflume.serve.guard import Guard
from logflume.serve.pages import BUILT, pages_router
from logflume.serve.settings import Settings
from logflume.serve.shelf import Shelf

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from tests.conftest import Require

MAX_BUNDLE_BYTES = 30 * 1024


def get(app: ASGIApp, path: str, root_path: str = "", method: str = "GET", **headers: str) -> httpx.Response:
    """Ask an application."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(go())


def whole(folder: Path) -> ASGIApp:
    """Return all that is served."""
    guard = Guard(Settings(access_log="off"), key=b"k" * 32)
    shelf = Shelf(FolderCatalog(folder), key=b"k" * 32, cache=IndexCache(folder / "cache"))
    return guard.wrap(create_app(shelf, guard))


def pages(built: Path) -> FastAPI:
    """Return the pages with a viewer that was built into a folder, or was not."""
    app = FastAPI()
    app.include_router(pages_router(Gate(Settings(), b"k" * 32), built))
    return app


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Build a small viewer."""
    (tmp_path / "viewer-0123456789abcdef.js").write_text("viewer")
    (tmp_path / "list-0123456789abcdef.js").write_text("list")
    (tmp_path / "aside-0123456789abcdef.js").write_text("aside")
    return tmp_path


@pytest.mark.parametrize("prefix", ["/", "/some/prefix/"])
@pytest.mark.parametrize("path", ["", "logs/a.log", "logs/a/b/c.log", "logs/a%2Fb/c%20%3Cd%3E.log"])
def test_addresses_are_relative(built: Path, prefix: str, path: str) -> None:
    """Under any prefix that a proxy cuts off, the page finds its module and the API, however deep the log is."""
    page = get(pages(built), f"/{path}").text
    seen_at = f"http://proxy{prefix}{path}"
    module = re.search(r'<script type="module" src="([^"]+)">', page)
    source = re.search(r'<(?:task-log|log-list) src="([^"]+)"', page)
    assert module
    assert source
    assert re.fullmatch(rf"http://proxy{prefix}(list|viewer)-[0-9a-f]{{16}}\.js", urljoin(seen_at, module[1]))
    assert urljoin(seen_at, source[1]) == f"http://proxy{prefix}api/v1/{path or 'logs'}"


def test_a_root_path_is_no_part_of_the_address(built: Path) -> None:
    """A server that was told its prefix gives the same pages."""
    told = get(pages(built), "/logs/logs/a.log", root_path="/logs").text
    assert 'src="../api/v1/logs/a.log"' in told


def test_a_module_is_kept_for_good(built: Path) -> None:
    """It is named by its content, kept for a year, and compressed; the page is asked for anew."""
    page = get(pages(built), "/logs/a.log")
    name = re.search(r"viewer-[0-9a-f]{16}\.js", page.text)
    assert name
    module = get(pages(built), f"/{name[0]}", **{"Accept-Encoding": "gzip"})
    assert module.text == "viewer"
    assert module.headers["Content-Encoding"] == "gzip"
    assert "immutable" in module.headers["Cache-Control"]
    assert page.headers["Cache-Control"] == "no-cache"
    assert get(pages(built), "/aside-0123456789abcdef.js").text == "aside"
    (built / name[0]).rename(built / "viewer-fedcba9876543210.js")
    assert "viewer-fedcba9876543210.js" in get(pages(built), "/logs/a.log").text


def test_pages_of_others_have_an_address_that_stays(built: Path) -> None:
    """``viewer.js`` leads to the viewer that there is, and is asked for anew."""
    stays = get(pages(built), "/viewer.js")
    assert stays.text == 'export * from "./viewer-0123456789abcdef.js";\n'
    assert stays.headers["Cache-Control"] == "no-cache"


def test_what_a_page_may_do_is_little(built: Path, tmp_path: Path) -> None:
    """No script but the module, none inline, nothing from elsewhere, and no text that becomes markup."""
    page = get(whole(tmp_path), "/")
    policy = page.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    name = get(pages(built), "/logs/%22%3E%3Cscript%3Ealert(1)%3C/script%3E.log").text
    assert "<script>alert" not in name


def test_without_nodejs_the_page_says_how_to_build(tmp_path: Path) -> None:
    """Where the viewer was not built, its place says how to, and where the API is."""
    page = get(pages(tmp_path), "/logs/a/b.log").text
    assert "make viewer" in page
    assert 'href="../../api/v1/logs/a/b.log/stream"' in page
    assert "<script" not in page


def test_the_viewer_is_small(require: Require) -> None:
    """What a browser loads to show a log is at most 30 KiB, compressed, and the list less."""
    require("npm")
    for start in ("viewer", "list"):
        (module,) = BUILT.glob(f"{start}-*.js")
        assert 1000 < len(gzip.compress(module.read_bytes(), mtime=0)) <= MAX_BUNDLE_BYTES, module
        assert not re.findall(rb'import ?(?:\{[^}]*\} ?from)? ?"', module.read_bytes()), module


def test_pages_and_modules_answer_head(tmp_path: Path, built: Path) -> None:
    """Who only looks whether a page is there is told so, with the headers of the page."""
    assert get(whole(tmp_path), "/", method="HEAD").status_code == 200
    assert get(whole(tmp_path), "/logs/a.log", method="HEAD").headers["content-type"] == "text/html; charset=utf-8"
    module = re.search(r'src="([^"]+\.js)"', get(pages(built), "/").text)
    assert module
    assert get(pages(built), f"/{module[1]}", method="HEAD").headers["content-type"].startswith("text/javascript")


def test_what_a_viewer_asks_first_comes_with_its_page(built: Path) -> None:
    """The page of a log names its first rows and its sums to the browser, and the list names nothing of a log."""
    asked = re.compile(r'<link rel="preload" as="fetch" crossorigin href="([^"]+)">')
    app = pages(built)
    addresses = [
        urljoin("http://x/logs/a/b.log", html.unescape(each)) for each in asked.findall(get(app, "/logs/a/b.log").text)
    ]
    log = "http://x/api/v1/logs/a/b.log"
    assert addresses == [f"{log}/rows?from=0&n=512&cut=32768", f"{log}/meta"]
    assert asked.findall(get(app, "/").text) == []
