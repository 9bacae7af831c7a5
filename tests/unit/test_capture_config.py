from __future__ import annotations

import re
from pathlib import Path

import pytest

from logflume.settings import BadSetting
from logflume.ship.conditions import KINDS as CONDITIONS
from logflume.ship.conditions import HttpCondition, Then
from logflume.ship.config import MAX_CHILDREN, MAX_CONDITIONS, Config, Restart, read_config
from logflume.ship.recording import Mode
from logflume.ship.reference import reference
from logflume.ship.sinks import BUILT_IN

WHOLE = """
[capture]
mode = "pipe"
budget = "10MB"

[supervise]
folder = "logs"

[children.web]
command = ["serve", "--port", "80"]
environment = {TZ = "UTC"}
after = ["base"]
[children.web.capture]
mode = "direct"
[children.web.limits]
open_files = 100
[children.web.conditions.answers]
kind = "http"
url = "http://127.0.0.1:80/"
then = "restart"

[children.base]
command = ["base"]
restart = "never"

[sinks.archive]
kind = "file"
path = "{child}.log"
"""

CHILD = '[supervise]\nfolder = "logs"\n[children.a]\ncommand = ["a"]\n'


def read(folder: Path, text: str) -> Config:
    """Read a file with that text."""
    path = folder / "logflume.toml"
    path.write_text(text)
    return read_config(path)


def test_all_tables_are_read(tmp_path: Path) -> None:
    """Each table ends up where it belongs; a child's own word on capture counts before the shared one."""
    config = read(tmp_path, WHOLE)
    base, web = config.children  # in the order in which they start
    assert (base.name, base.run.restart, base.captured.mode) == ("base", Restart.NEVER, Mode.PIPE)
    assert (web.run.command, web.run.environment) == (("serve", "--port", "80"), {"TZ": "UTC"})
    assert (web.captured.mode, web.captured.budget, web.limits.open_files) == (Mode.DIRECT, 10_000_000, 100)
    answers = web.conditions["answers"]
    assert isinstance(answers, HttpCondition)
    assert answers.then is Then.RESTART
    assert [*config.folders()] == [("base", tmp_path / "logs" / "base"), ("web", tmp_path / "logs" / "web")]
    assert [sink.name for sink in config.make_sinks(tmp_path / "logs" / "web", {"child": "web"})] == ["archive"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[captur]", r"captur: there is no such setting\. Did you mean capture\?"),
        ("[zzz]", r"zzz: .*There are the tables capture, supervise, children, sinks"),
        ("capture = 7", r"capture: expected a table: \[capture\]"),
        ('[capture]\nmode = "fast"', r"capture\.mode: expected one of direct, pipe, fifo, pty"),
        ('[capture]\nmod = "pipe"', r"capture\.mod: .* Did you mean mode\?"),
        ('[capture]\nbudget = "1kB"', r"capture\.budget: expected a size such as .*, at least 65536"),
        ('[capture]\nwhen_over = "wait"', r"capture\.when_over: this needs another mode than direct"),
        ('[capture]\nfsync = "always"', r"capture\.fsync: this needs another mode"),
        ("[capture]\nmax_age_s = 60", r"capture\.max_age_s: this needs another mode"),
        ("[supervise]", r"supervise\.folder: expected a path, and it is missing"),
        ('[supervise]\nfolder = "x"\nlisten = "here"', r"supervise\.listen: expected an address and a port"),
        ("[children.a]", r"children\.a\.command: expected a list of words such as .*, and it is missing"),
        ('[children.a]\ncommand = "a b"', r"children\.a\.command: expected a list of words"),
        ('[children.a]\ncommand = [""]', r"children\.a\.command: expected a list of words"),
        ('[children."../x"]\ncommand = ["a"]', r"children\.'\.\./x': a name is letters, digits"),
        (CHILD + 'restrat = "never"', r"children\.a\.restrat: .* Did you mean restart\?"),
        (CHILD + 'after = ["b"]', r"children\.a\.after = b: there is no such child\. There are: a"),
        (CHILD + 'after = ["a"]', r"children: no child can come after itself: a after a"),
        (CHILD + "environment = {A = 1}", r"children\.a\.environment: expected a table of names and texts"),
        (CHILD + 'umask = "9"', r"children\.a\.umask: expected octal digits"),
        (CHILD + 'stop_signal = "SIGTERM"', r"children\.a\.stop_signal: expected one of .*TERM"),
        (CHILD + "[children.a.capture]\nmax_age_s = 9", r"children\.a\.capture\.max_age_s: this needs another mode"),
        (CHILD + "[children.a.limits]\nopen_files = 1", r"children\.a\.limits\.open_files: expected a whole number"),
        (CHILD + "[children.a.share]\ncpus = 0", r"children\.a\.share\.cpus: expected a number from 0\.01"),
        (CHILD + "[children.a.conditions.x]", r"children\.a\.conditions\.x\.kind: expected one of http, command"),
        (CHILD + '[children.a.conditions.x]\nkind = "http"', r"children\.a\.conditions\.x\.url: expected an address"),
        (
            CHILD + '[children.a.conditions.x]\nkind = "sql"\nurl = "no url"',
            r"children\.a\.conditions\.x: its url is none",
        ),
        (
            CHILD + '[children.a.conditions.x]\nkind = "file"\npath = "x"',
            r"children\.a\.conditions\.x\.max_age_s: .* is missing",
        ),
        (
            CHILD + '[children.a.conditions.x]\nkind = "memory"\nmax_bytes = 1\nevery_s = 0',
            r"children\.a\.conditions\.x\.every_s: expected seconds, from 0\.1",
        ),
        ("[sinks]\narchive = 1", r"sinks\.archive: expected a table"),
        ("[sinks", r"expected TOML: .* \(at end of document"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, told: str) -> None:
    """A mistake names the file, the key, and what was expected there."""
    with pytest.raises(BadSetting, match=rf"logflume\.toml: {told}"):
        read(tmp_path, text)


def test_more_children_or_conditions_than_can_be_are_refused(tmp_path: Path) -> None:
    """Each costs threads, and so there is a bound."""
    many = "".join(f'[children.c{n}]\ncommand = ["a"]\n' for n in range(MAX_CHILDREN + 1))
    with pytest.raises(BadSetting, match=f"children: expected {MAX_CHILDREN} at most"):
        read(tmp_path, many)
    conditions = "".join(
        f'[children.a.conditions.c{n}]\nkind = "memory"\nmax_bytes = 1\n' for n in range(MAX_CONDITIONS + 1)
    )
    with pytest.raises(BadSetting, match=f"children.a.conditions: expected {MAX_CONDITIONS} at most"):
        read(tmp_path, CHILD + conditions)


def test_children_in_a_circle_are_refused(tmp_path: Path) -> None:
    """Two children that wait for each other would never start, and it is told which."""
    text = '[children.a]\ncommand = ["a"]\nafter = ["b"]\n[children.b]\ncommand = ["b"]\nafter = ["a"]\n'
    with pytest.raises(BadSetting, match=r"no child can come after itself: (a after b after a|b after a after b)"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The name of the file is in the error."""
    with pytest.raises(BadSetting, match=r"nowhere\.toml: cannot be read"):
        read_config(Path("nowhere.toml"))


def test_the_reference_is_true() -> None:
    """The page's tables are those made of the declarations; python scripts/settings_page.py writes them."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "capture-settings.md").read_text()
    found = re.search(r"(?<=<!-- made by logflume.ship.reference -->\n).*?(?=<!-- end -->)", page, re.DOTALL)
    assert found
    assert found[0] == reference()
    assert all(f'kind = "{name}"' in found[0] for name in (*CONDITIONS, *BUILT_IN))


@pytest.mark.parametrize("page", ["supervise.md", "capture.md"])
def test_files_of_the_how_tos_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """Every file of settings that a page shows is read without a mistake."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////airflow.db")
    text = (Path(__file__).parents[2] / "docs" / "how-to" / page).read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        read(tmp_path, block)
