"""The viewer behind nginx, under a prefix, where callers sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.behind import NGINX, behind_nginx
from tests.browse import current, row
from tests.served import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.behind import Proxied
    from tests.browse import Look
    from tests.conftest import Require


@pytest.fixture
def proxied(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Proxied]:
    """Run both."""
    require(NGINX)
    with behind_nginx(tmp_path_factory.mktemp("prefix"), read_timeout_s=60) as running:
        yield running


def test_the_page_works_behind_a_proxy(look: Look, proxied: Proxied) -> None:
    """Under a prefix: sign in, find a log in the list, search in it, see it grow, read the help, and go back."""
    page = look.page()
    page.goto(f"{proxied.url}/")
    page.get_by_label("Token").fill(proxied.token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Find logs by name").fill("long")
    page.get_by_role("link", name="long.log").click()
    expect(row(page, 1)).to_contain_text("row 0")
    assert page.url.startswith(f"{proxied.url}/logs/long.log")
    page.keyboard.press("/")
    expect(page.locator(".query")).to_be_focused()
    page.keyboard.type("row 2345")
    page.keyboard.press("Enter")
    expect(current(page)).to_contain_text("row 2345")
    page.locator(".scroller").focus()
    page.keyboard.press("F")
    expect(row(page, 3000)).to_be_in_viewport(ratio=0.9)
    with (proxied.server.folder / "long.log").open("a") as log:
        log.write(line(3599, "one more"))
    expect(row(page, 3001)).to_contain_text("one more")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next page")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Logs").click()
    expect(page.get_by_role("link", name="long.log")).to_be_visible()
    assert page.url == f"{proxied.url}/"
