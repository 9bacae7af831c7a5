"""What the pages on sinks say is done, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from logflume.ship.config import read_config
from logflume.ship.sinks import BUILT_IN

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page that are in a language."""
    return [text for kind, text in BLOCK.findall((PAGES / page).read_text()) if kind == language]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Write the files of the page, and install them as pip does."""
    for language in ("python", "toml"):
        for text in blocks("write-a-sink.md", language):
            first = text.partition("\n")[0]
            if first.startswith("# "):
                (tmp_path / first[2:]).write_text(text)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    about = tmp_path / f"logflume_program-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((group, entries),) = project["entry-points"].items()
    lines = [f"{name} = {what}" for name, what in entries.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    return tmp_path


def run(folder: Path, *words: str) -> str:
    """Run a command where the package is installed; return what it said."""
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sink_of_the_page_passes_its_own_test(package: Path) -> None:
    """The test that the page shows passes, by pytest."""
    run(package, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_program.py")


def test_the_sink_of_the_page_is_a_kind(package: Path) -> None:
    """With the settings that the page shows, and its command, what is written arrives through it."""
    (command,) = blocks("write-a-sink.md", "sh")
    run(package, sys.executable, "-m", *command.split())
    assert (package / "arrived.log").read_text() == "hello\n"


def test_every_kind_is_shown_as_it_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of settings on the page of all sinks makes a sink, and every kind has one."""
    monkeypatch.setenv("COLLECTOR_TOKEN", "s3cret")
    (tmp_path / "token").write_text("s3cret\n")
    shown = blocks("sinks.md", "toml")
    made = set()
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.toml"
        path.write_text(text.replace("/etc/logflume/token", str(tmp_path / "token")))
        for sink in read_config(path).make_sinks(tmp_path / "logs", {"child": "scheduler"}):
            sink.close()
        made |= {each.table["kind"] for each in read_config(path).sinks}
    assert made == set(BUILT_IN)
