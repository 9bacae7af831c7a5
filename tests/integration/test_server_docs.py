"""The examples of the API's page are run again, against a server of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.test_cli_docs import BLOCK, EXAMPLE, Shell, fits
from tests.served import eventually, serving

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "server.md"
LOG = """\
some time before the first one
2024-11-20T13:00:01Z INFO ::group::Load
2024-11-20T13:00:02Z ERROR it broke
Traceback
2024-11-20T13:00:03Z INFO ::endgroup::
"""


def test_examples_of_the_api_are_true(tmp_path: Path, require: Callable[[str], None]) -> None:
    """Each command prints what the page says, with ``URL`` being the server's and ``logs`` what it serves."""
    require("curl")
    require("jq")
    examples = [example for block in BLOCK.findall(PAGE.read_text()) for example in EXAMPLE.findall(block)]
    assert len(examples) >= 8
    here = tmp_path / "here"
    (here / "logs").mkdir(parents=True)
    (here / "logs" / "app.log").write_text(LOG)
    shell = Shell(here)
    with serving(here / "logs", tmp_path / "cache") as server:
        eventually(lambda: server.get("logs/app.log").json()["lines"]["exact"])
        for command, expected in examples:
            printed = shell.run(f"export URL={server.url}; {command}")
            assert fits(printed, expected), f"$ {command}\n{printed}"
