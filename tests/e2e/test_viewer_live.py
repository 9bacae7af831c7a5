"""The viewer at a log that is being written, and at a server that is not always there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browse import current, in_log, log_address, row, rows
from tests.served import line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browse import Look
    from tests.served import Server

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
LOG = "live.log"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve a folder of one's own."""
    (tmp_path / "logs").mkdir()
    with serving(tmp_path / "logs", tmp_path / "cache") as running:
        yield running


def write(server: Server, first: int, count: int, level: str = "info") -> None:
    """Append lines whose text is their number in the log."""
    with (server.folder / LOG).open("a") as log:
        log.writelines(line(number % 3600, f"row {number}", level) for number in range(first, first + count))


def require_right_numbers(page: Page) -> None:
    """See that each row in view has the text of its own line, and that no line is missing between them."""
    shown = in_log(
        page,
        """return [...root.querySelectorAll('.row:not([hidden])[data-seq]')].map(
            row => [+row.dataset.seq + 1, row.querySelector('.x').textContent]).sort((a, b) => a[0] - b[0])""",
    )
    first = shown[0][0]
    assert shown == [[first + at, f"row {first + at}"] for at in range(len(shown))]


def test_a_running_log_is_followed(look: Look, tmp_path: Path) -> None:
    """It opens at the end and goes along; scrolled up, it stays and tells what is new; the pill leads back."""
    logflume = [sys.executable, "-m", "logflume", "run", "--quiet", "--dir", str(tmp_path / "kept")]
    writer = subprocess.Popen([*logflume, "--", sys.executable, "-c", ECHO], stdin=subprocess.PIPE, text=True)
    assert writer.stdin is not None

    def say(first: int, count: int, level: str = "info") -> None:
        assert writer.stdin is not None
        writer.stdin.writelines(line(n % 3600, f"row {n}", level) for n in range(first, first + count))
        writer.stdin.flush()

    try:
        say(1, 500)
        with serving(tmp_path / "kept", tmp_path / "cache") as server:
            page = look.page()
            page.goto(server.url)
            page.locator("li.log a").first.click()
            expect(page.locator(".state")).to_contain_text("running")
            expect(row(page, 500)).to_be_in_viewport(ratio=0.9)
            say(501, 10)
            expect(row(page, 510)).to_be_in_viewport(ratio=0.9)
            page.keyboard.press("b")
            expect(page.locator(".follow")).to_have_attribute("aria-pressed", "false")
            say(511, 20, "error")
            expect(page.locator(".pill")).to_contain_text("20 new, 20 errors")
            expect(row(page, 511)).not_to_be_visible()
            page.locator(".pill").click()
            expect(row(page, 530)).to_be_in_viewport(ratio=0.9)
            say(531, 5000)
            expect(row(page, 5530)).to_be_in_viewport(ratio=0.9)
            page.get_by_role("button", name="Open them").click()
            expect(current(page)).to_be_in_viewport(ratio=0.9)
            # The first few may have come by themselves, slow enough to be read.
            first = int(current(page).get_attribute("data-seq") or "0") + 1
            assert 531 <= first <= 531 + 4 * 40
            require_right_numbers(page)
            writer.stdin.close()
            expect(page.locator(".state")).to_contain_text("succeeded")
    finally:
        writer.kill()
        writer.wait()


def test_a_link_lasts_while_the_log_grows(look: Look, server: Server) -> None:
    """The address of a line opens the same line after the log has grown by a tenth."""
    write(server, 1, 20_000)
    address = log_address(server.url, LOG) + "#L12345"
    page = look.page()
    page.goto(address)
    expect(row(page, 12_345)).to_contain_text("row 12345")
    write(server, 20_001, 2_000)
    expect(page.locator(".where")).to_contain_text("22,000")
    again = look.page()
    again.goto(address)
    expect(row(again, 12_345)).to_contain_text("row 12345")


def test_the_page_survives_a_restart(look: Look, server: Server, tmp_path: Path) -> None:
    """It says that the server is gone, and catches up when it is back, without a gap or a double row."""
    write(server, 1, 3_000)
    with serving(server.folder, tmp_path / "cache2") as first:
        page = look.log(first.url, LOG)
        page.keyboard.press("F")
        expect(row(page, 3_000)).to_be_in_viewport(ratio=0.9)
        port = str(first.port)
    expect(page.locator(".offline")).to_be_visible()
    write(server, 3_001, 700)
    with serving(server.folder, tmp_path / "cache2", "--port", port):
        expect(row(page, 3_700)).to_be_in_viewport(ratio=0.9)
        expect(page.locator(".offline")).not_to_be_visible()
        require_right_numbers(page)


def test_the_page_survives_a_cut(look: Look, server: Server) -> None:
    """While the network is cut the rows stay and the page says so; afterwards nothing is missing and nothing double."""
    write(server, 1, 3_000)
    page = look.log(server.url, LOG)
    page.keyboard.press("F")
    expect(row(page, 3_000)).to_be_in_viewport(ratio=0.9)
    page.context.set_offline(True)
    write(server, 3_001, 40)
    page.keyboard.press("g")
    expect(page.locator(".offline")).to_be_visible()
    expect(rows(page).or_(page.locator(".row.waiting")).first).to_be_attached()
    page.keyboard.press("G")
    page.context.set_offline(False)
    expect(row(page, 3_040)).to_be_in_viewport(ratio=0.9)
    require_right_numbers(page)
    page.keyboard.press("g")
    expect(row(page, 1)).to_be_in_viewport(ratio=0.9)
    require_right_numbers(page)


def test_a_log_that_is_replaced(look: Look, server: Server) -> None:
    """When the file begins anew, the page says so and shows what there is."""
    write(server, 1, 500)
    page = look.log(server.url, LOG)
    (server.folder / LOG).unlink()
    (server.folder / LOG).write_text(line(1, "another"))
    expect(page.get_by_text("The log was cut or replaced")).to_be_attached()
    expect(row(page, 1)).to_contain_text("another")


def test_an_empty_log_says_why(look: Look, server: Server) -> None:
    """There is a reason and a next action instead of rows; what comes is shown; a log that is not there is told."""
    (server.folder / LOG).touch()
    page = look.page()
    page.goto(log_address(server.url, LOG))
    expect(page.get_by_text("Nothing has been written yet")).to_be_visible()
    page.get_by_role("button", name="Why is there no log?").click()
    expect(page.get_by_role("row", name=LOG)).to_contain_text("ok")
    write(server, 1, 3)
    expect(row(page, 3)).to_be_visible()
    page.goto(log_address(server.url, "live.lgo"))
    expect(page.get_by_role("heading", name="There is no such log")).to_be_visible()


def test_what_each_source_answered_is_told(look: Look, server: Server) -> None:
    """The first gap is a row above the lines; the panel has each source, its answer, the reason, the time it took."""
    name = "attempt=1.log"
    (server.folder / name).write_text("".join(line(n, f"row {n}") for n in range(30)))
    (server.folder / f"{name}.1").symlink_to("/etc/hostname")
    os.mkfifo(server.folder / f"{name}.trigger.7.log")
    (server.folder / f"{name}.trigger.8.log").write_text(line(31, "triggered"))
    page = look.log(server.url, name)
    gap = page.get_by_role("note")
    expect(gap).to_contain_text("Gap")
    expect(gap).to_contain_text("Remove the symbolic link, or copy the file.")
    expect(page.locator(".low")).to_contain_text("3 sources, 2 with gaps")
    gap.get_by_role("button", name="All 2 gaps").click()
    panel = page.get_by_role("region", name="Sources")
    answers = [
        (name, "ok", "outside-root", r"\d kB"),
        (f"{name}.trigger.7.log", "failed", "special-file", "–"),
        (f"{name}.trigger.8.log", "ok", "", r"\d B"),
    ]
    for source, answer, reason, size in answers:
        told = panel.get_by_role("row").filter(has=page.get_by_role("rowheader", name=source, exact=True))
        expect(told.locator(".answer")).to_have_text(answer)
        expect(told).to_contain_text(reason)
        expect(told.get_by_role("cell").nth(1)).to_have_text(re.compile(size))
        expect(told.get_by_role("cell").nth(2)).to_have_text(re.compile(r"^\d+\.\d ms$"))
    expect(panel).to_contain_text("Name a regular file.")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    gap.get_by_role("button", name="Dismiss").click()
    expect(gap).to_have_count(0)


def test_a_browser_signs_in(look: Look, tmp_path: Path) -> None:
    """Where callers sign in, the page asks for a token, shows only what it allows, and keeps it nowhere."""
    folder = tmp_path / "logs"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "a.log").write_text(line(1, "row 1"))
    (folder / "b.log").write_text(line(1, "secret"))
    tokens = tmp_path / "tokens.json"
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "logflume",
            "token",
            "create",
            "reader",
            "--logs",
            "mine/",
            "--tokens-file",
            str(tokens),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    token = made.stdout.split()[-1]
    with serving(folder, tmp_path / "cache", "--tokens-file", str(tokens)) as server:
        page = look.page()
        page.goto(log_address(server.url, "mine/a.log"))
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(row(page, 1)).to_contain_text("row 1")
        assert token not in page.url + str(page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})"))
        assert token not in str(page.evaluate("document.cookie"))
        page.goto(server.url)
        expect(page.locator("li.log")).to_have_count(1)
        page.context.clear_cookies()
        page.goto(log_address(server.url, "mine/a.log"))
        expect(page.get_by_label("Token")).to_be_visible()
