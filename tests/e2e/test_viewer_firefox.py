"""The viewer in Debian's Firefox ESR, which caps heights elsewhere than Chromium does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browse import log_address
from tests.served import serving

if TYPE_CHECKING:
    from tests.conftest import Require

SCRIPT = Path(__file__).parents[2] / "web" / "test" / "firefox.mjs"
LINES = 1_000_000
LOG = "long.log"


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_firefox_shows_a_long_log(require: Require, tmp_path: Path, ratio: int) -> None:
    """It opens, reaches the last line by a key and by the scroll bar, follows, searches, and tells its keys."""
    require("firefox-esr")
    require("npm")
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / LOG
    with file.open("w") as log:
        log.writelines(
            f"2024-11-20T12:00:00Z INFO row {number}{' Needle' * (number == 700_000)}\n"
            for number in range(1, LINES + 1)
        )
    with serving(tmp_path / "logs", tmp_path / "cache") as server:
        words = [log_address(server.url, LOG), str(file), str(LINES), str(ratio)]
        looked = subprocess.run(["node", SCRIPT, *words], capture_output=True, text=True, timeout=220, check=False)
    assert looked.returncode == 0, looked.stderr
    told = json.loads(looked.stdout)
    assert told["said"] == []
    assert told["ratio"] == ratio
    assert told["reached"] == [
        "the first line",
        "the last line by a key",
        "the last line by the scroll bar",
        "a new line",
        "a hit",
        "the help",
    ]
