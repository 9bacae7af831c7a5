"""The viewer as its users have it: Debian's Chromium, and what tests ask of a page."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route

    Options = Mapping[str, Any]

DEADLINE_MS = 30_000

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Run Debian's Chromium, with a folder of its own that is gone afterwards."""
    expect.set_options(timeout=DEADLINE_MS)
    with tempfile.TemporaryDirectory(prefix="logflume-browser-") as folder, sync_playwright() as playwright:
        home: dict[str, str | float | bool] = {
            **os.environ,
            "HOME": folder,
            "XDG_CONFIG_HOME": folder,
            "XDG_CACHE_HOME": folder,
        }
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*_FLAGS, *flags], env=home)
        try:
            yield browser
        finally:
            browser.close()


class Look:
    """Opens pages, and hears what they complain about."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.said: list[str] = []

    def page(self, options: Options | None = None) -> Page:
        """Return a page in a profile of its own."""
        context = self._browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **(options or {})})
        context.set_default_timeout(DEADLINE_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("console", lambda told: self.said.append(told.text) if told.type == "error" else None)
        return page

    def log(self, url: str, log_id: str, more: str = "", options: Options | None = None) -> Page:
        """Open a log, and wait for its first rows."""
        page = self.page(options)
        page.goto(log_address(url, log_id) + more)
        expect(rows(page).first).to_be_visible()
        return page

    def close(self) -> None:
        """End all of it."""
        for context in self._contexts:
            context.close()


class Held:
    """Answers of the server that are held back until a test lets them go: late ones, every time.

    Of the requests whose address holds ``part``; those that come after the release pass at once.
    """

    def __init__(self, page: Page, part: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        self._is_open = False
        page.route(lambda address: part in address, self._take)

    def _take(self, route: Route) -> None:
        if self._is_open:
            route.continue_()
        else:
            self._routes.append(route)

    def wait(self, count: int = 1) -> None:
        """Wait until so many have been asked for."""
        deadline = time.monotonic() + DEADLINE_MS / 1000
        while len(self._routes) < count:
            assert time.monotonic() < deadline, f"{len(self._routes)} of {count} were asked for"
            self._page.evaluate("() => new Promise(requestAnimationFrame)")

    def release(self, *, backwards: bool = False) -> None:
        """Let all answers go, the first one first or last, and wait until the page has had them."""
        self._is_open = True
        for route in reversed(self._routes) if backwards else self._routes:
            with contextlib.suppress(PlaywrightError):  # the page has given it up
                route.fulfill(response=route.fetch())
        # An answer that was asked for later, and two frames, come after them.
        self._page.evaluate("() => fetch(location.href).then(answer => answer.text())")
        self._page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def log_address(url: str, log_id: str) -> str:
    """Return the page of a log."""
    return f"{url}/logs/{quote(log_id, safe='/')}"


def rows(page: Page) -> Locator:
    """Return the rows that hold a line."""
    return page.locator("task-log .row:not([hidden])[data-seq]")


def row(page: Page, number: int) -> Locator:
    """Return the row of a line, counted from 1 as people do."""
    return page.locator(f'task-log .row:not([hidden])[data-seq="{number - 1}"]')


def current(page: Page) -> Locator:
    """Return the row that keys are about."""
    return page.locator("task-log .row.current:not([hidden])")


def in_log(page: Page, script: str) -> Any:  # noqa: ANN401 - whatever JavaScript gives
    """Run a script with ``log``, the element, ``root``, what is in it, and ``scroller``."""
    start = "const log = document.querySelector('task-log'), root = log.shadowRoot, "
    return page.evaluate(f"() => {{ {start} scroller = root.querySelector('.scroller'); {script} }}")
