"""The viewer in a real browser, at the real server: finding one's way in a long log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browse import current, in_log, row, rows
from tests.served import line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browse import Look
    from tests.served import Server

LINES = 400_000
FIRST_ERROR = 250_001
LONG = "dag id=ü/long & <b>.log"
GROUPS = "groups.log"


def long_line(number: int) -> str:
    """Return one of the long log's lines: an error every 50,000 from FIRST_ERROR on, and one needle."""
    level = "error" if number >= FIRST_ERROR and number % 50_000 == 1 else "debug" if number % 2 else "info"
    text = f"row {number}" + (" Needle" if number == 333_333 else "") + (" weekly" if number % 100_000 == 7 else "")
    return line(number // 200, text, level)


def grouped() -> str:
    """Return a log with two groups and a traceback."""
    events = ["::group::Prepare", "one", "two", "::endgroup::", "between", "::group::Ship", *"abc", "::endgroup::"]
    text = "".join(line(n, event) for n, event in enumerate(events))
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: 1\n'
    return text + line(20, "it broke", "error") + trace + line(3000, "after a silence")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a long log, whose last line is beyond what a browser lets an element be high, and one with groups."""
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "logs" / "dag id=ü").mkdir(parents=True)
    with (folder / "logs" / "dag id=ü" / "long & <b>.log").open("w") as log:
        log.writelines(long_line(number) for number in range(1, LINES + 1))
    (folder / "logs" / GROUPS).write_text(grouped())
    with serving(folder / "logs", folder / "cache") as running:
        yield running


def test_the_last_line_of_a_long_log_is_reached(look: Look, server: Server) -> None:
    """From the list to a log, by the scroll bar to its last line and by a key to its first, with few elements."""
    page = look.page()
    page.goto(server.url)
    page.get_by_role("link", name="long & <b>.log").click()
    expect(rows(page).first).to_be_visible()
    in_log(page, "scroller.scrollTop = scroller.scrollHeight")
    expect(row(page, LINES)).to_contain_text(f"row {LINES}")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    page.locator(".scroller").focus()
    page.keyboard.press("g")
    expect(row(page, 1)).to_contain_text("row 1")
    assert in_log(page, "return scroller.scrollTop") == 0
    assert page.evaluate(COUNT_ELEMENTS) <= 400


COUNT_ELEMENTS = """() => {
    const count = (root) => [...root.querySelectorAll('*')].reduce(
        (sum, each) => sum + 1 + (each.shadowRoot ? count(each.shadowRoot) : 0), 0);
    return count(document);
}"""


@pytest.mark.parametrize("ratio", [2, 3])
def test_every_pixel_ratio_reaches_the_last_line(look: Look, server: Server, ratio: int) -> None:
    """Where browsers cap heights earlier, the end is reached all the same, and so is the line before it by a key."""
    page = look.log(server.url, LONG, options={"device_scale_factor": ratio})
    page.keyboard.press("G")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    page.keyboard.press("b")
    expect(row(page, LINES)).not_to_be_visible()


def test_small_scrolls_move_by_the_pixel(look: Look, server: Server) -> None:
    """Anywhere in a long log a turn of the wheel moves rows by as many pixels, forth and back to the same place."""
    page = look.log(server.url, LONG, "#L200000")
    expect(current(page)).to_contain_text("row 200000")
    before = current(page).bounding_box()
    current(page).hover()
    page.mouse.wheel(0, 60)
    page.wait_for_function(
        "y => Math.abs(document.querySelector('task-log').shadowRoot.querySelector('.current')"
        ".getBoundingClientRect().y - y) < 1",
        arg=(before or {"y": 0})["y"] - 60,
    )
    page.mouse.wheel(0, -60)
    page.wait_for_function(
        "y => Math.abs(document.querySelector('task-log').shadowRoot.querySelector('.current')"
        ".getBoundingClientRect().y - y) < 1",
        arg=(before or {"y": 0})["y"],
    )


def test_it_opens_at_the_first_error(look: Look, server: Server) -> None:
    """A log with errors shows its first one without any key pressed, and says so; one key goes to the next."""
    page = look.log(server.url, LONG)
    expect(current(page)).to_contain_text(f"row {FIRST_ERROR}")
    expect(page.get_by_text(f"Opened at the first of 3 errors, line {FIRST_ERROR:,}.")).to_be_visible()
    page.keyboard.press("e")
    expect(current(page)).to_contain_text("row 300001")
    page.keyboard.press("E")
    expect(current(page)).to_contain_text(f"row {FIRST_ERROR}")


def test_a_search_is_the_servers(look: Look, server: Server) -> None:
    """A rare text is found from anywhere, its hits are counted and gone through, forth, back and around."""
    page = look.log(server.url, LONG, "#L1")
    page.keyboard.press("/")
    page.keyboard.type("needle")
    page.keyboard.press("Enter")
    expect(current(page)).to_contain_text("row 333333 Needle")
    expect(current(page).locator("mark")).to_have_text("Needle")
    expect(page.locator(".count")).to_have_text("1 of 1")
    page.locator(".query").fill("weekly")
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_have_text("1 of 4")
    expect(current(page)).to_contain_text("row 7 weekly")
    page.locator(".scroller").focus()
    page.keyboard.press("n")
    expect(current(page)).to_contain_text("row 100007 weekly")
    page.keyboard.press("N")
    page.keyboard.press("N")
    expect(current(page)).to_contain_text("row 300007 weekly")
    page.wait_for_url("**?q=weekly#L300007")


def test_a_pattern_that_is_none_is_told(look: Look, server: Server) -> None:
    """A regular expression finds; one with a mistake says where it is."""
    page = look.log(server.url, LONG, "?q=row%20%5B34%5D0000%5Cb&regex=1#L1")
    expect(page.locator(".count")).to_have_text("2")
    page.keyboard.press("n")
    expect(current(page).locator("mark")).to_have_text("row 30000")
    page.locator(".query").fill("row (")
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_contain_text("The pattern cannot be used")


def test_control_f_is_taken_once(look: Look, server: Server) -> None:
    """Ctrl+F goes to the search; pressed again there, it is left to the browser."""
    page = look.log(server.url, LONG, "#L1")
    prevented = "e => { if (e.key === 'f') window.prevented = e.defaultPrevented; }"
    page.evaluate(f"() => addEventListener('keydown', {prevented})")
    page.keyboard.press("Control+f")
    expect(page.locator(".query")).to_be_focused()
    assert page.evaluate("window.prevented") is True
    page.keyboard.press("Control+f")
    assert page.evaluate("window.prevented") is False


def shown_texts(page: Page) -> list[str]:
    """Return the texts of the rows in view, from the top."""
    script = """return [...root.querySelectorAll('.row:not([hidden])[data-seq]')]
        .sort((a, b) => a.dataset.seq - b.dataset.seq).map(row => row.querySelector('.x').textContent)"""
    texts: list[str] = in_log(page, script)
    return texts


def test_a_filter_keeps_the_line(look: Look, server: Server) -> None:
    """A least level leaves what passes, at the line where one was; all is back with one key, at the same line."""
    page = look.log(server.url, LONG, "#L200000")
    expect(current(page)).to_contain_text("row 200000")
    page.keyboard.press("2")
    expect(page.locator(".where")).to_contain_text("of 200,0")
    expect(current(page)).to_contain_text("row 200000")
    expect(row(page, 200_002)).to_contain_text("row 200002")
    assert row(page, 200_001).count() == 0
    page.keyboard.press("4")
    expect(page.locator(".where")).to_contain_text("3 shown")
    expect(row(page, FIRST_ERROR)).to_be_visible()
    assert shown_texts(page) == ["row 250001", "row 300001", "row 350001"]
    page.keyboard.press("1")
    expect(page.locator(".where")).to_contain_text(f"of {LINES:,}")


def test_a_filtered_line_is_shown_in_context(look: Look, server: Server) -> None:
    """Text and time filters come in the address, and a line they leave is shown among all others."""
    page = look.log(server.url, LONG, "?text=weekly&since=2024-11-20T12:01:00Z")
    expect(page.locator(".where")).to_contain_text("3 shown")
    row(page, 200_007).locator(".x").click()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show in context").click()
    expect(row(page, 200_006)).to_contain_text("row 200006")
    expect(current(page)).to_contain_text("row 200007")
    page.wait_for_url("**#L200007")


def test_links_to_lines(look: Look, server: Server) -> None:
    """A range is chosen with shift, told in the address, opened from it, and its text is as it was written."""
    page = look.log(server.url, LONG, "#L120-L140")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.locator(".row.chosen")).to_have_count(21)
    row(page, 125).locator(".n").click()
    row(page, 127).locator(".n").click(modifiers=["Shift"])
    expect(page.locator(".row.chosen")).to_have_count(3)
    page.wait_for_url("**#L125-L127")
    page.get_by_role("button", name="Copy text").click()
    expect(page.get_by_text("The text is on the clipboard.")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == "".join(map(long_line, (125, 126, 127)))
    page.keyboard.press("y")
    page.wait_for_function("async () => (await navigator.clipboard.readText()).endsWith('#L125-L127')")


def test_a_link_beyond_the_end_is_told(look: Look, server: Server) -> None:
    """A line that there is not leads to the last one, and the page says so."""
    page = look.log(server.url, LONG, "#L999999999")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    expect(page.get_by_text("There is no line 999,999,999").first).to_be_visible()


def test_groups_and_tracebacks_fold(look: Look, server: Server) -> None:
    """A group and a traceback fold to their first line; what is under it comes back; a search opens it."""
    page = look.log(server.url, GROUPS, "#L2")
    expect(row(page, 1).locator(".fold")).to_have_attribute("aria-expanded", "true")
    expect(row(page, 1)).to_contain_text("Prepare")
    expect(row(page, 1)).to_contain_text("2 lines")
    expect(row(page, 4)).to_have_count(0)
    expect(row(page, 5)).to_contain_text("between")
    page.keyboard.press("x")
    expect(row(page, 2)).to_have_count(0)
    expect(row(page, 1).locator(".fold")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("]")
    expect(current(page)).to_contain_text("Ship")
    page.keyboard.press("X")
    expect(row(page, 2)).to_contain_text("one")
    page.keyboard.press("X")
    expect(row(page, 7)).to_have_count(0)
    row(page, 11).locator(".fold").click()
    expect(row(page, 12)).to_have_count(0)
    expect(row(page, 11)).to_contain_text("3 more")
    page.locator(".query").fill("two")
    page.keyboard.press("Enter")
    expect(row(page, 3)).to_contain_text("two")


def test_a_record_opens(look: Look, server: Server) -> None:
    """A record's panel has the whole traceback and its fields, follows the line, and closes with a key."""
    page = look.log(server.url, GROUPS, "#L11")
    expect(current(page)).to_contain_text("it broke")
    page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="Record")
    expect(panel.locator("pre")).to_contain_text("KeyError: 1")
    expect(panel.get_by_role("row", name="level")).to_contain_text("error")
    page.keyboard.press("Escape")
    expect(panel).not_to_be_visible()


def test_times(look: Look, server: Server) -> None:
    """Times are shown in UTC, since the start, in a zone with its offset, or not; a long silence is marked."""
    page = look.log(server.url, GROUPS, "?t=Asia/Tokyo#L15", options={"timezone_id": "America/New_York"})
    expect(row(page, 15).locator(".t")).to_have_text("21:50:00.000+09:00")
    expect(row(page, 15)).to_have_attribute("data-gap", "49 min 40 s of silence")
    page.keyboard.press("t")
    expect(row(page, 15).locator(".t")).to_have_text("12:50:00.000Z")
    page.keyboard.press("t")
    expect(row(page, 15).locator(".t")).to_have_text("07:50:00.000-05:00")
    page.keyboard.press("t")
    expect(row(page, 15).locator(".t")).to_have_text("+00:50:00.000")
    page.keyboard.press("t")
    expect(row(page, 15).locator(".t")).not_to_be_visible()


def test_the_timeline_leads_to_lines(look: Look, server: Server) -> None:
    """A click on the timeline goes to the time, and a drag leaves a range of time."""
    page = look.log(server.url, LONG, "#L1")
    canvas = page.locator(".timeline canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("400,000 records with 3 errors"))
    page.wait_for_function(
        "() => document.querySelector('task-log').shadowRoot.querySelector('.timeline canvas').width > 300"
    )
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] / 2, "y": 10})
    expect(current(page)).to_be_visible()
    page.wait_for_function(r"() => Math.abs(+location.hash.slice(2) - 200000) < 4000")
    canvas.hover(position={"x": box["width"] * 0.25, "y": 10})
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10, steps=3)
    page.mouse.up()
    page.wait_for_function("() => /since=.*until=/.test(location.search)")
    expect(page.locator(".where")).to_contain_text(re.compile(r"of (99|100|101),\d{3} shown"))


def test_go_to_and_marks(look: Look, server: Server) -> None:
    """A colon goes to a line or a time; marked lines are gone around."""
    page = look.log(server.url, LONG, "#L5")
    page.keyboard.press("m")
    expect(row(page, 5)).to_have_class(re.compile("marked"))
    for wanted, found in (("123,456", 123_456), ("12:10", 120_000), ("L77", 77)):
        page.keyboard.press(":")
        expect(page.get_by_label("Line or time")).to_be_focused()
        page.keyboard.type(wanted)
        page.keyboard.press("Enter")
        expect(current(page)).to_contain_text(f"row {found}")
    page.keyboard.press("'")
    expect(current(page)).to_contain_text("row 5")
    for wanted, key, found in (("90", "m", 90), ("60", '"', 5), ("60", "'", 90)):
        page.keyboard.press(":")
        expect(page.get_by_label("Line or time")).to_be_focused()
        page.keyboard.type(wanted)
        page.keyboard.press("Enter")
        expect(current(page)).to_contain_text(f"row {wanted}")
        page.keyboard.press(key)
        expect(current(page)).to_contain_text(f"row {found}")


def test_moving_by_keys(look: Look, server: Server) -> None:
    """Lines, pages, wrapping, sources, help and the switch for single keys all have their key."""
    page = look.log(server.url, LONG, "#L1000")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    expect(current(page)).to_contain_text("row 1001")
    page.keyboard.press("Space")
    expect(row(page, 1001)).not_to_be_visible()
    page.keyboard.press("PageUp")
    expect(row(page, 1001)).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator(".layer.wrap")).to_be_attached()
    page.keyboard.press("s")
    expect(row(page, 1001).locator(".s")).to_contain_text("long & <b>.log")
    page.keyboard.press("d")
    expect(page.get_by_role("link", name="Whole log, gzip")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_label("Single keys are shortcuts").last.uncheck()
    page.keyboard.press("Escape")
    page.locator(".scroller").focus()
    page.keyboard.press("w")
    expect(page.locator(".layer.wrap")).to_be_attached()
    page.keyboard.press("PageDown")
    expect(row(page, 1001)).not_to_be_visible()


def test_wrapped_rows_end_at_the_end(look: Look, server: Server) -> None:
    """With rows of any height, the last line stands at the bottom, and the bar goes back to the first."""
    page = look.log(server.url, LONG, "#L1", options={"viewport": {"width": 400, "height": 500}})
    page.keyboard.press("w")
    page.keyboard.press("G")
    expect(row(page, LINES)).to_be_in_viewport(ratio=0.9)
    in_log(page, "scroller.scrollTop = 0")
    expect(row(page, 1)).to_be_in_viewport(ratio=0.9)


def test_downloads_are_byte_for_byte(look: Look, server: Server) -> None:
    """The download is the file."""
    page = look.log(server.url, GROUPS, "#L1")
    page.keyboard.press("d")
    with page.expect_download() as download:
        page.get_by_role("link", name="Whole log, as written").click()
    assert download.value.path().read_text() == grouped()


def test_the_list_is_searched_by_the_server(look: Look, server: Server) -> None:
    """The list shows size, age and errors of each log, as a tree or flat, and finds by parts of names."""
    page = look.page()
    page.goto(server.url)
    listed = page.locator("li.log", has_text="groups.log")
    expect(listed).to_contain_text("ago")
    expect(listed.locator(".error")).to_contain_text("1")
    page.keyboard.press("/")
    page.keyboard.type("LONG dag")
    expect(listed).to_have_count(0)
    page.get_by_role("button", name="Flat list").click()
    expect(page.get_by_role("link", name=LONG)).to_be_visible()
    page.get_by_label("Find logs by name").fill("nothing like it")
    expect(page.get_by_text("No log has")).to_be_visible()


def test_what_is_kept_holds_no_log(look: Look, server: Server) -> None:
    """The browser keeps how things look, and nothing of a log."""
    page = look.log(server.url, LONG, "#L1")
    page.keyboard.press("w")
    kept = json.loads(page.evaluate("JSON.stringify({...localStorage})"))
    assert set(kept) == {"logflume-viewer"}
    assert set(json.loads(kept["logflume-viewer"])) == {"time", "wrap", "source", "theme", "keys", "gapS"}
