"""The server is asked at random, by its own OpenAPI text: what it answers is what that says, and never a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.served import DEADLINE_S, Server, eventually, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Require

# A log that there is, or every answer would be 404; nothing that lasts.
CONFIG = """
[parameters]
"path.log_id" = "{log}"
"query.follow" = "false"
"query.wait" = 0

[checks]
# What excludes each other cannot be said in OpenAPI.
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 410, 416, 431]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a few logs."""
    folder = tmp_path_factory.mktemp("openapi")
    with serving(made(folder / "logs"), folder / "cache") as running:
        eventually(lambda: running.get("logs/long.log").json()["lines"]["exact"])
        yield running


@pytest.mark.parametrize("how", [("long.log", "coverage,fuzzing", "8"), ("nothing.log", "fuzzing", "2")])
def test_answers_are_as_the_text_says(
    server: Server, tmp_path: Path, require: Require, how: tuple[str, str, str]
) -> None:
    """Status, media type and schema of each answer are in the text; what does not fit it is refused, never a fault."""
    require("schemathesis")
    log, phases, examples = how
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(log=log))
    words = (
        "--phases",
        phases,
        "--max-examples",
        examples,
        "--mode",
        "all",
        "--generation-deterministic",
        "--no-color",
    )
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", *words]
    address = server.url + "/api/v1/openapi.json"
    done = subprocess.run([*command, address], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=110)
    assert done.returncode == 0, "\n".join(text[:400] for text in done.stdout.splitlines()[-200:])
    assert "Tested: " in done.stdout


def test_the_text_is_for_people(server: Server) -> None:
    """Each operation says what it does, each parameter what it means or how it is bounded; HEAD is not told apart."""
    text = httpx.get(server.url + "/api/v1/openapi.json", timeout=DEADLINE_S).json()
    for path, operations in text["paths"].items():
        assert list(operations) == ["get"], path
        operation = operations["get"]
        assert len(operation["description"]) > 20, path
        for parameter in operation.get("parameters", []):
            told = parameter["schema"]
            assert "description" in parameter or {"minimum", "maximum"} <= set(told), (path, parameter["name"])
        assert "200" in operation["responses"], path
    assert "Problem" in json.dumps(text["components"])
    names = [operations["get"]["operationId"] for operations in text["paths"].values()]
    assert len(set(names)) == len(names)
    assert {"logs", "logs_log_id_stream", "healthz"} <= set(names)
