"""Answers that come late, every time: whatever the reader did since then counts, and a later answer is never undone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browse import Held, current, in_log, log_address, row, rows
from tests.served import line, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.browse import Look
    from tests.served import Server

LINES = 30_000
FIRST_ERROR = 20_001
LOG = "late.log"
OTHER = "records.log"


def text(number: int) -> str:
    """Return a line of the log: errors every 5,000 lines from FIRST_ERROR on, and a few rare words."""
    level = "error" if number >= FIRST_ERROR and number % 5000 == 1 else "debug" if number % 2 else "info"
    return line(number // 10, f"row {number}" + (" rare" if number % 10_000 == 7 else ""), level)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a log with errors far from its start, and one of tracebacks."""
    folder = tmp_path_factory.mktemp("late")
    (folder / "logs").mkdir()
    (folder / "logs" / LOG).write_text("".join(text(number) for number in range(1, LINES + 1)))
    records = (f"{line(n, f'record {n}')}Traceback of {n}\nError: {n}\n" for n in range(20))
    (folder / "logs" / OTHER).write_text("".join(records))
    with serving(folder / "logs", folder / "cache") as running:
        yield running


def opening(look: Look, server: Server, part: str, more: str = "", log: str = LOG) -> tuple[Page, Held]:
    """Open a log whose server holds back what has ``part`` in its address."""
    page = look.page()
    held = Held(page, part)
    page.goto(log_address(server.url, log) + more)
    held.wait()
    return page, held


def wheel(page: Page) -> None:
    """Turn the wheel over the rows."""
    page.locator(".scroller").hover()
    page.mouse.wheel(0, 40)


def click_the_timeline(page: Page) -> None:
    """Click near the start of the timeline."""
    canvas = page.locator(".timeline canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("30,000 records"))
    page.wait_for_function(
        "() => document.querySelector('task-log').shadowRoot.querySelector('.timeline canvas').width > 300"
    )
    canvas.click(position={"x": 20, "y": 10})


def search(page: Page) -> None:
    """Search for a text that is near the start."""
    page.locator(".query").fill("row 77")
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_contain_text("of")


ACTIONS: dict[str, tuple[Callable[[Page], None], int]] = {
    "a key to the end": (lambda page: page.keyboard.press("G"), LINES),
    "a page down": (lambda page: page.keyboard.press(" "), 40),
    "a line down": (lambda page: page.keyboard.press("j"), 1),
    "a page up, at the top": (lambda page: page.keyboard.press("b"), 1),
    "the wheel": (wheel, 10),
    "the scroll bar": (lambda page: in_log(page, "scroller.scrollTop = scroller.scrollHeight"), LINES),
    "a click on a line": (lambda page: row(page, 3).locator(".x").click(), 3),
    "a search": (search, 77),
    "another place in the address": (lambda page: page.evaluate("location.hash = '#L9000'"), 9000),
    "a filter": (lambda page: page.keyboard.press("2"), 2),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_the_opening_does_not_undo_what_the_reader_did(look: Look, server: Server, action: str) -> None:
    """Where the first error is, the server tells late; the reader has gone elsewhere, and stays there."""
    act, number = ACTIONS[action]
    page, held = opening(look, server, "/locate?")
    expect(rows(page).first).to_be_visible()
    act(page)
    expect(row(page, number)).to_be_in_viewport()
    held.release()
    expect(row(page, number)).to_be_in_viewport()
    expect(row(page, FIRST_ERROR)).to_have_count(0)
    expect(page.get_by_text("Opened at the first of")).to_have_count(0)


def test_the_opening_goes_to_the_error_all_the_same(look: Look, server: Server) -> None:
    """A reader who only looked on is taken to the first error, however late it is told."""
    page, held = opening(look, server, "/locate?")
    expect(rows(page).first).to_be_visible()
    page.keyboard.press("w")
    held.release()
    expect(current(page)).to_contain_text(f"row {FIRST_ERROR}")


@pytest.mark.parametrize("part", ["/meta", "/rows?"])
def test_keys_before_the_first_answer_count(look: Look, server: Server, part: str) -> None:
    """Whoever presses the key to the end before anything is there, is at the end when it comes."""
    page, held = opening(look, server, part)
    page.keyboard.press("G")
    held.release()
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    expect(page.get_by_text("Opened at the first of")).to_have_count(0)


def test_the_last_of_two_jumps_counts(look: Look, server: Server) -> None:
    """To an error, to a time, and then to a line: the line it is, when both answers come."""
    page = look.log(server.url, LOG, "#L5")
    held = Held(page, "/locate?")
    page.keyboard.press("e")
    held.wait()
    page.keyboard.press(":")
    page.get_by_label("Line or time").fill("12:10")
    page.keyboard.press("Enter")
    held.wait(2)
    page.keyboard.press(":")
    page.get_by_label("Line or time").fill("123")
    page.keyboard.press("Enter")
    expect(current(page)).to_contain_text("row 123")
    held.release()
    expect(current(page)).to_contain_text("row 123")
    page.wait_for_url("**#L123")


def test_a_click_on_the_timeline_is_given_up_for_a_key(look: Look, server: Server) -> None:
    """The time's line is told late; the reader is at the end by then."""
    page = look.log(server.url, LOG, "#L5")
    held = Held(page, "/locate?")
    click_the_timeline(page)
    held.wait()
    page.locator(".scroller").focus()
    page.keyboard.press("G")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    held.release()
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)


def test_a_search_does_not_call_back(look: Look, server: Server) -> None:
    """Hits come late: they are counted, and the reader who went on stays; the next search begins from there."""
    page = look.log(server.url, LOG, "#L5")
    held = Held(page, "/search?")
    page.locator(".query").fill("rare")
    page.keyboard.press("Enter")
    held.wait()
    page.locator(".scroller").focus()
    page.keyboard.press("G")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    held.release()
    expect(page.locator(".count")).to_have_text("3")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    page.keyboard.press("N")
    expect(current(page)).to_contain_text("row 20007 rare")


def test_a_search_that_was_replaced_is_silent(look: Look, server: Server) -> None:
    """Of two searches the later one's hits count, though the answer of the first comes as well."""
    page = look.log(server.url, LOG, "#L5")
    held = Held(page, "/search?")
    query = page.locator(".query")
    query.fill("rare")
    query.press("Enter")
    held.wait()
    query.fill("row 12345")
    query.press("Enter")
    held.wait(2)
    held.release()
    expect(page.locator(".count")).to_have_text("1 of 1")
    expect(current(page)).to_contain_text("row 12345")


def test_a_cancelled_search_stays_where_it_is(look: Look, server: Server) -> None:
    """Escape cancels a search that has not answered; nothing moves, then or later."""
    page = look.log(server.url, LOG, "#L5")
    held = Held(page, "/search?")
    page.locator(".query").fill("rare")
    page.keyboard.press("Enter")
    held.wait()
    page.keyboard.press("Escape")
    held.release()
    expect(page.locator(".count")).to_contain_text("stopped")
    expect(current(page)).to_contain_text("row 5")


def test_two_filters_in_a_row_keep_the_line(look: Look, server: Server) -> None:
    """The second level is chosen before the first one's rows have come: the line stays the one that was looked at."""
    page = look.log(server.url, LOG, "#L12346")
    expect(current(page)).to_contain_text("row 12346")
    held = Held(page, "/pages?")
    page.keyboard.press("2")
    held.wait()
    page.keyboard.press("1")
    expect(row(page, 12_345)).to_be_in_viewport()
    page.keyboard.press("2")
    held.wait(2)
    page.keyboard.press("2")
    held.wait(3)
    held.release()
    expect(current(page)).to_contain_text("row 12346")
    expect(current(page)).to_be_in_viewport()
    expect(row(page, 12_345)).to_have_count(0)


def test_a_filter_does_not_pull_back(look: Look, server: Server) -> None:
    """While a filter looks for the line that was kept, the reader has gone to the start, and stays there."""
    page = look.log(server.url, LOG, "#L12346")
    expect(current(page)).to_contain_text("row 12346")
    held = Held(page, "level=info")
    page.keyboard.press("2")
    held.wait()
    page.keyboard.press("g")
    held.release()
    expect(page.locator(".where")).to_contain_text("of 15,0")
    expect(row(page, 2)).to_be_in_viewport()


def test_a_records_panel_is_of_the_line(look: Look, server: Server) -> None:
    """Records are told late, the first one last of all: the panel shows the one of the line it is at."""
    page = look.log(server.url, OTHER, "#L1")
    expect(row(page, 1)).to_be_visible()
    held = Held(page, "/rows?")
    page.keyboard.press("Enter")
    held.wait()
    for _ in range(3):
        page.keyboard.press("j")
    expect(current(page)).to_contain_text("record 1")
    held.wait(2)
    held.release(backwards=True)
    panel = page.get_by_role("region", name="Record")
    expect(panel.locator("pre")).to_contain_text("Error: 1")
    expect(panel.locator("pre")).not_to_contain_text("Error: 0")


def test_following_is_left_at_once(look: Look, server: Server) -> None:
    """A page up leaves the end in the same moment: what comes before the next frame does not take the reader back."""
    page = look.log(server.url, LOG, "#L5")
    page.keyboard.press("F")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    told = in_log(
        page,
        """const key = new KeyboardEvent('keydown', {key: 'b', bubbles: true, composed: true});
        scroller.dispatchEvent(key);
        return log.updated.then(() => root.querySelector('.follow').getAttribute('aria-pressed'));""",
    )
    assert told == "false"
