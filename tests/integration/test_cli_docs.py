"""The examples of the pages for users are run again, so that they stay true.

In a ``console`` block each line after ``$`` is a command, and what follows is what it prints on both outputs. ``…``
stands for what differs from run to run. All run one after the other in one folder that holds the sample logs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.command import COMMAND, SAMPLE, TIMEOUT_S, environment

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@dataclass
class Shell:
    """Runs commands in one folder, where ``logflume`` is the one under test."""

    folder: Path

    def __post_init__(self) -> None:
        programs = self.folder.with_name("programs")
        programs.mkdir()
        (programs / "logflume").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
        (programs / "logflume").chmod(0o755)
        self._environ = environment(PATH=f"{programs}:{environment()['PATH']}")

    def run(self, command: str) -> str:
        """Return all that a command prints."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a shell in a folder with the sample logs."""
    folder = tmp_path / "here"
    shutil.copytree(SAMPLE, folder / "logs")
    return Shell(folder)


def fits(printed: str, expected: str) -> bool:
    """Tell whether what was printed is what was expected, with anything within a line for each ``…``."""
    return re.fullmatch(re.escape(expected).replace("…", ".*"), printed) is not None


@pytest.mark.parametrize(
    ("page", "at_least"), [("README.md", 6), ("docs/tutorial.md", 6), ("docs/reference/command-line.md", 20)]
)
def test_examples_of_a_page_are_true(shell: Shell, page: str, at_least: int) -> None:
    """Each command of the page prints what the page says."""
    examples = [example for block in BLOCK.findall((ROOT / page).read_text()) for example in EXAMPLE.findall(block)]
    assert len(examples) >= at_least
    for command, expected in examples:
        printed = shell.run(command)
        assert fits(printed, expected), f"$ {command}\n{printed}"


def test_the_program_of_the_tutorial_runs(shell: Shell) -> None:
    """The library's example in the tutorial counts the errors of the sample."""
    program = re.findall(r"^```python\n(.*?)^```$", (PAGES / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)[-1]
    (shell.folder / "program.py").write_text(program)
    assert shell.run(f"{COMMAND[0]} program.py") == "9 errors; 0 sources could not be read\n"


def test_every_command_has_an_example() -> None:
    """No command of the help is missing on the page."""
    from logflume.cli.app import COMMANDS

    page = (PAGES / "reference" / "command-line.md").read_text()
    shown = " ".join(command for command, _ in EXAMPLE.findall("".join(BLOCK.findall(page))))
    assert [name for name in COMMANDS if f"logflume {name}" not in shown] == []


def test_every_option_is_on_the_page() -> None:
    """No long option of any command is missing on the page."""
    import importlib

    from logflume.cli.app import COMMANDS

    page = (PAGES / "reference" / "command-line.md").read_text()
    commands = [importlib.import_module(f"logflume.cli.{name}").command for name in COMMANDS]
    options = {option for command in commands for each in command.params for option in each.opts if option[:2] == "--"}
    assert "--since" in options
    assert sorted(option for option in options if not re.search(rf"`[^`]*{option}\b", page)) == []
