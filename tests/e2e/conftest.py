"""A real browser at a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browse import Look, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.conftest import Require


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module: while it is there, no other event loop can run."""
    with chromium() as running:
        yield running


@pytest.fixture
def look(request: pytest.FixtureRequest, require: Require) -> Iterator[Look]:
    """Open pages, and see that none of them broke any rule of the browser's."""
    require("chromium")
    require("npm")
    look = Look(request.getfixturevalue("browser"))
    yield look
    look.close()
    assert [said for said in look.said if not re.search(r"Failed to load resource", said)] == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser takes its time on a loaded machine."""
    for item in items:
        if Path(item.path).parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(240))
