"""The viewer in a real browser, at the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browse import in_log, row, rows
from tests.served import line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browse import Look
    from tests.served import Server

LINES = 400_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a long log: its bar is scaled, and its last line far beyond what a browser lets an element be high."""
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "logs" / "dag id=ü").mkdir(parents=True)
    with (folder / "logs" / "dag id=ü" / "long & <b>.log").open("w") as log:
        log.writelines(line(n // 200, f"row {n + 1}") for n in range(LINES))
    with serving(folder / "logs", folder / "cache") as running:
        yield running


LONG = "dag id=ü/long & <b>.log"


def test_the_last_line_of_a_long_log_is_reached(look: Look, server: Server) -> None:
    """From the list to a log, its first rows, and by the scroll bar to its last line, with few elements."""
    page = look.page()
    page.goto(server.url)
    page.get_by_role("link", name="long & <b>.log").click()
    expect(row(page, 1)).to_contain_text("row 1")
    in_log(page, "scroller.scrollTop = scroller.scrollHeight")
    expect(row(page, LINES)).to_contain_text(f"row {LINES}")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.95)
    assert rows(page).count() < 60
