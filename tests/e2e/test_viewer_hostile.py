"""What a log may hold, and cannot do; and who can use the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browse import current, in_log, log_address, row
from tests.served import line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browse import Look
    from tests.served import Server

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
ESC = "\x1b"
LONG = "x" * 3_000_000
HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 2'><style>*{display:none}</style>",
    f"{ESC}]8;;javascript:window.ran=3{ESC}\\click{ESC}]8;;{ESC}\\",
    f"{ESC}]8;;https://example.com/real{ESC}\\https://bank.example{ESC}]8;;{ESC}\\",
    "invoice\u202efdp.exe",
    f"{ESC}[31mred{ESC}[0m {ESC}[38;2;1;1;1mdark{ESC}[0m {ESC}[48;5;226mmarked{ESC}[0m",
    f"all is well{ESC}[2K{ESC}[1Athe line above{ESC}[8mhidden",
    "10 %\r50 %\r100 %",
    "NUL \x00 BEL \x07 and backspaces\x08\x08",
    "z" + "\u0301" * 500 + " marks on marks",
    "${7*7} {{7*7}} %s %n",
    LONG,
    "\u05e2\u05d1\u05e8\u05d9\u05ea stays",
    '"></a><iframe src="javascript:window.ran=4"></iframe>',
]
NAME = "<img src=x onerror=window.ran=5>.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a hostile log, of hostile name, and one that is longer than a screen."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "logs").mkdir()
    (folder / "logs" / NAME).write_text("".join(line(n, text) for n, text in enumerate(HOSTILE)))
    levels = ["debug", "info", "warning", "error", "critical"]
    (folder / "logs" / "levels.log").write_text(
        line(0, "::group::Load") + "".join(line(n, f"row {n} \x1b[32mgreen\x1b[0m", levels[n % 5]) for n in range(900))
    )
    for recorded in (Path(__file__).parents[1] / "data" / "coloured").iterdir():
        (folder / "logs" / recorded.name).write_bytes(recorded.read_bytes())
    with serving(folder / "logs", folder / "cache") as running:
        yield running


def text_of(page: Page, number: int) -> str:
    """Return what is shown of a line."""
    return row(page, number).locator(".x").inner_text()


def test_nothing_in_a_log_runs_or_lies(look: Look, server: Server) -> None:
    """Markup, links, escapes and direction marks are text to look at; what a link leads to is seen."""
    page = look.page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(server.url)
    expect(page.get_by_role("link", name=NAME)).to_be_visible()
    page.goto(log_address(server.url, NAME) + "?t=off#L1")
    expect(row(page, 14)).to_be_visible()
    assert text_of(page, 1) == HOSTILE[0]
    assert text_of(page, 2) == HOSTILE[1]
    assert text_of(page, 3) == "click ⟨javascript:window.ran=3⟩"
    assert text_of(page, 4) == "https://bank.example ⟨https://example.com/real⟩"
    link = row(page, 4).locator(".x a")
    expect(link).to_have_attribute("href", "https://example.com/real")
    expect(link).to_have_attribute("rel", re.compile("noopener"))
    assert text_of(page, 5) == "invoice⟨RLO⟩fdp.exe"
    assert text_of(page, 6) == "red dark marked"
    assert text_of(page, 7) == "all is wellthe line abovehidden"
    assert text_of(page, 8) == "100 %"
    assert text_of(page, 9) == "NUL ⟨NUL⟩ BEL ⟨BEL⟩ and backspaces⟨BS⟩⟨BS⟩"
    assert text_of(page, 11) == HOSTILE[10]
    assert text_of(page, 14) == HOSTILE[13]
    for _ in range(14):
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Record")).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert in_log(page, "return root.querySelectorAll('script, img, iframe, style').length") == 0
    assert [url for url in asked if not url.startswith((server.url, "data:"))] == []


def test_what_programs_write_to_a_terminal_is_readable(look: Look, server: Server) -> None:
    """Recorded runs of pip, pytest and npm: colours, progress that ends as it did, no escape and no spinner left."""
    page = look.log(server.url, "pip.log", "#L1")
    assert re.fullmatch(r"━{40} 1\.2/1\.2 MB [\d.]+ MB/s +0:00:00", text_of(page, 3).strip())
    expect(row(page, 6).locator(".f1")).to_contain_text("ERROR: Could not find a version")
    page = look.log(server.url, "npm.log", "#L1")
    expect(row(page, 2)).to_contain_text("added 1 package")
    page = look.log(server.url, "pytest.log", "#L1")
    expect(page.locator(".x .f2").first).to_contain_text("PASSED")
    for name in ("pip.log", "pytest.log", "npm.log"):
        page = look.log(server.url, name, "#L1")
        shown = in_log(page, "return root.querySelector('.layer').innerText")
        assert "\x1b" not in shown
        assert not re.search(r"ESC|(?<!u001b)\[\d+m|\[1G|\[0K|\?25l", shown), name


def test_no_row_leaves_its_place(look: Look, server: Server) -> None:
    """Marks upon marks and the longest line take one row's height, and paint nothing outside of it."""
    page = look.log(server.url, NAME, "#L10")
    expect(row(page, 12)).to_be_visible()
    for number in (10, 12):
        box = row(page, number).bounding_box()
        assert box is not None
        assert box["height"] == 20
        assert row(page, number).evaluate("each => getComputedStyle(each).contain") == "content"


def test_a_long_line_is_shown_in_pieces(look: Look, server: Server) -> None:
    """Of three million characters 8,192 are in the row; the rest comes when it is asked for, a piece at a time."""
    page = look.log(server.url, NAME, "#L12")
    expect(row(page, 12).locator(".more")).to_contain_text("more characters")
    assert len(text_of(page, 12)) < 8192 + 40
    row(page, 12).locator(".more").click()
    panel = page.get_by_role("region", name="Record")
    expect(panel.get_by_role("button", name=re.compile("Show 65,536 more characters"))).to_be_visible()
    panel.get_by_role("button", name=re.compile("Show 65,536 more")).click()
    assert len(panel.locator("pre").inner_text()) == 2 * 65_536


def test_colours_are_readable(look: Look, server: Server) -> None:
    """A colour too dark for the ground is mapped to one that can be read, in both themes."""
    for scheme in ("light", "dark"):
        page = look.log(server.url, NAME, "#L6", options={"color_scheme": scheme})
        ratio = row(page, 6).evaluate(CONTRAST)
        assert ratio >= 4.5, scheme


CONTRAST = """row => {
    const element = row.querySelector('.x .fg');
    const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
    const light = (color) => {
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        const linear = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(
            part => part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const host = element.getRootNode().host;
    const pair = [light(getComputedStyle(element).color), light(getComputedStyle(host).backgroundColor)].sort();
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


def violations(page: Page) -> list[str]:
    """Ask axe-core."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {json.dumps([node['target'] for node in each['nodes']])[:300]}" for each in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(look: Look, server: Server, scheme: str) -> None:
    """No rule for accessible pages is broken, in the list, the log, its menus, panels and dialogs."""
    page = look.page({"color_scheme": scheme, "bypass_csp": True})
    page.goto(server.url)
    expect(page.locator("li.log").first).to_be_visible()
    assert not violations(page), "\n".join(violations(page))
    page.goto(log_address(server.url, "levels.log"))
    expect(current(page)).to_be_visible()
    assert not violations(page), "\n".join(violations(page))
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    page.keyboard.type("row")
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_contain_text("of 900")
    page.locator("summary", has_text="View").click()
    expect(page.get_by_label("Time zone")).to_be_visible()
    assert not violations(page), "\n".join(violations(page))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert not violations(page), "\n".join(violations(page))


def test_narrow_and_zoomed(look: Look, server: Server) -> None:
    """At 360 pixels, and at twice the size, nothing is beside the screen and rows have room."""
    for size in ({"width": 360, "height": 640}, {"width": 640, "height": 400}):
        page = look.log(server.url, "levels.log", options={"viewport": size, "device_scale_factor": 2})
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        beside = in_log(
            page,
            """return [...root.querySelectorAll('button, input, select, summary, h1')].filter(
                each => each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 1).length""",
        )
        assert beside == 0
        assert in_log(page, "return scroller.clientHeight") >= 120


def test_all_by_keyboard(look: Look, server: Server) -> None:
    """From the list to a line's record, a filter, the help and back, no mouse is needed, and focus is seen."""
    page = look.page()
    page.goto(server.url)
    expect(page.locator("li.log").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("levels")
    expect(page.locator("li.log")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(current(page)).to_contain_text("row 3")
    page.keyboard.press("5")
    expect(page.locator(".where")).to_contain_text("180 shown")
    page.keyboard.press("Shift+Tab")
    focused = in_log(page, "return root.activeElement?.className ?? ''")
    assert focused
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator(".where")).to_contain_text("of 901")


def test_the_table_tells_its_rows(look: Look, server: Server) -> None:
    """Rows are rows of a table with their numbers; no part of it speaks by itself; one polite status does."""
    page = look.log(server.url, "levels.log", "#L5")
    table = page.get_by_role("table", name="Log lines")
    expect(table).to_have_attribute("aria-rowcount", "901")
    expect(row(page, 5)).to_have_attribute("aria-rowindex", "5")
    assert in_log(page, "return scroller.querySelectorAll('[aria-live], [role=status], [role=log]').length") == 0
    expect(page.get_by_role("status")).to_have_count(1)
