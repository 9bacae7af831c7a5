"""Look at a log in Debian's Chromium, as a reader would, with a delay added to each answer: ``viewer.py FILES``.

The files are those of one log; server, browser and this program are processes of their own on one machine.
``viewer.py --live SECONDS FILES`` watches the page's memory while the log grows at 5,000 lines a second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.drivers.serve import LINES_A_S, TICKS_A_S, served
from tests.browse import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

DELAY_MS = 20
OPENINGS = 5
JUMPS = 100
FRAMES = 300
MB = 1e6
SIZE = {"width": 1280, "height": 800}

_FIRST_ROWS = """(() => {
    const look = () => {
        const row = document.querySelector('task-log')?.shadowRoot?.querySelector('.row[data-seq]');
        if (row) window.firstRows = performance.now(); else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})()"""

_LOOKS = """const root = document.querySelector('task-log').shadowRoot, scroller = root.querySelector('.scroller');
    const frame = () => new Promise(requestAnimationFrame);
    const shown = () => !root.querySelector('.row.waiting:not([hidden])');"""

_JUMPS = (
    """async (jumps) => { """
    + _LOOKS
    + """
    const times = [];
    let seed = 1;
    for (let at = 0; at < jumps; at += 1) {
        seed = seed * 48271 % 2147483647;
        const began = performance.now();
        scroller.scrollTop = seed / 2147483647 * scroller.scrollHeight;
        await frame();
        while (!shown()) await frame();
        times.push(performance.now() - began);
        await new Promise((done) => setTimeout(done, 200));
    }
    return times.sort((a, b) => a - b);
}"""
)

_SCROLL = (
    """async (frames) => { """
    + _LOOKS
    + """
    await frame();
    const began = performance.now();
    for (let at = 0; at < frames; at += 1) { scroller.scrollTop += 37; await frame(); }
    return 1000 * frames / (performance.now() - began);
}"""
)

_SEARCH = (
    """async (text) => { """
    + _LOOKS
    + """
    const query = root.querySelector('.query');
    const began = performance.now();
    query.value = text;
    query.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, composed: true}));
    const count = () => root.querySelector('.count')?.textContent ?? '';
    while (!/of|\\bhits\\b/.test(count())) await frame();
    return performance.now() - began;
}"""
)

_CANCEL = (
    """async () => { """
    + _LOOKS
    + """
    const query = root.querySelector('.query');
    query.value = 'no such text anywhere';
    query.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, composed: true}));
    while (!root.querySelector('[aria-label="Cancel the search"]')) await frame();
    const began = performance.now();
    root.querySelector('[aria-label="Cancel the search"]').click();
    while (root.querySelector('[aria-label="Cancel the search"]')) await frame();
    return performance.now() - began;
}"""
)

_ELEMENTS = """() => {
    const count = (root) => [...root.querySelectorAll('*')].reduce(
        (sum, each) => sum + 1 + (each.shadowRoot ? count(each.shadowRoot) : 0), 0);
    return count(document);
}"""

_IS_OPEN = "() => window.firstRows !== undefined"


def slowed(browser: Browser, address: str = "about:blank") -> tuple[Page, CDPSession]:
    """Open a page whose every request takes DELAY_MS longer."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.add_init_script(_FIRST_ROWS)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": DELAY_MS, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", limits)
    page.goto(address)
    return page, session


def heap_bytes(session: CDPSession) -> float:
    """Return what the page holds after a collection."""
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    return used


def look(browser: Browser, address: str) -> dict[str, Any]:
    """Open, jump, scroll, search."""
    blank, session = slowed(browser)
    empty = heap_bytes(session)
    blank.close()
    opened = []
    for _ in range(OPENINGS):
        page, session = slowed(browser, address + "#L1")
        page.wait_for_function(_IS_OPEN)
        opened.append(page.evaluate("window.firstRows") / 1000)
        page.context.close()
    page, session = slowed(browser, address + "#L1")
    page.wait_for_function(_IS_OPEN)
    jumps = page.evaluate(_JUMPS, JUMPS)
    page.evaluate("() => document.querySelector('task-log').shadowRoot.querySelector('.scroller').scrollTop = 2000000")
    frames = page.evaluate(_SCROLL, FRAMES)
    elements = page.evaluate(_ELEMENTS)
    hit_ms = page.evaluate(_SEARCH, "needle")
    cancel_ms = page.evaluate(_CANCEL)
    return {
        "first_rows": sorted(opened)[len(opened) // 2],
        "jump_p50": jumps[len(jumps) // 2] / 1000,
        "jump_p99": jumps[int(len(jumps) * 0.99) - 1] / 1000,
        "frames": frames,
        "page_mb": (heap_bytes(session) - empty) / MB,
        "elements": elements,
        "first_hit": hit_ms / 1000,
        "cancel": cancel_ms / 1000,
    }


def live(browser: Browser, address: str, path: Path, seconds: float) -> dict[str, Any]:
    """Follow a log that grows, and say by how much the page has after the first tenth of the time."""
    size = path.stat().st_size
    page, session = slowed(browser, address)
    page.wait_for_function(_IS_OPEN)
    page.keyboard.press("F")
    try:
        with path.open("ab") as log:
            warm = grown(log.fileno(), seconds / 10, session)
            after = grown(log.fileno(), seconds, session)
    finally:
        os.truncate(path, size)
    return {"live_growth_mb": (after - warm) / MB, "live_page_mb": after / MB}


def grown(descriptor: int, seconds: float, session: CDPSession) -> float:
    """Write for so long; return what the page holds then."""
    end_s = time.monotonic() + seconds
    line = b'{"timestamp":"2024-11-21T12:34:56Z","level":"info","event":"one more row of a log that grows"}\n'
    while time.monotonic() < end_s:
        os.write(descriptor, line * (LINES_A_S // TICKS_A_S))
        time.sleep(1 / TICKS_A_S)
    return heap_bytes(session)


def main(words: list[str]) -> None:
    """Print what was measured."""
    seconds = float(words[1]) if words[0] == "--live" else 0.0
    files = words[2:] if seconds else words
    with served(Path(files[0]).parent) as server, chromium() as browser:
        while not json.loads(server.ask("/meta").read())["lines"]["exact"]:
            time.sleep(0.1)
        address = f"http://{server.address}/logs/source-*.log"
        began = time.perf_counter()
        told = live(browser, address, Path(files[0]), seconds) if seconds else look(browser, address)
        print(json.dumps({"seconds": time.perf_counter() - began, **told}))


if __name__ == "__main__":
    main(sys.argv[1:])
