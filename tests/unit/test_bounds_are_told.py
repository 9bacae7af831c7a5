"""The page on memory names every bound there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOUND = re.compile(r"^((?:MAX|MIN)_\w+|\w+_BYTES|SEGMENTS|ENTRIES) = ", re.MULTILINE)
CORE_BOUND = re.compile(r"^pub const ((?:MAX_\w+|\w+_BYTES)): \w+ = ", re.MULTILINE)
NOT_OF_MEMORY = {
    "FINGERPRINT_BYTES",  # 1 KiB, by contract
    "KEY_BYTES",  # length of a key
    "LITTLE_ROOM_BYTES",  # room on a disk that the doctor finds little
    "MAGIC_BYTES",
    "MAX_LABEL_CHARS",  # what Kubernetes allows
    "MAX_LINES",  # lines that the doctor looks at for times
    "MAX_POLL_S",  # a time
    "MAX_START_US",  # a time of a made-up log
    "MAX_STEPS",  # characters of a bar
    "NO_ROOM_BYTES",
    "SMALL_INDEX_BYTES",
    "TELLING_BYTES",  # how much of a file tells it from others
}


def test_every_bound_is_on_the_page() -> None:
    """No public constant that bounds something is missing in docs/memory.md."""
    page = (ROOT / "docs" / "memory.md").read_text()
    python = [path.read_text() for path in (ROOT / "src" / "logflume").rglob("*.py")]
    core = [path.read_text() for path in (ROOT / "rust" / "core" / "src").rglob("*.rs")]
    names = {name for text in python for name in BOUND.findall(text)}
    names |= {name for text in core for name in CORE_BOUND.findall(text)}
    assert {"MAX_RECORD_BYTES", "PATTERN_BYTES"} <= names
    public = {name for name in names if not name.startswith("_")} - NOT_OF_MEMORY
    assert sorted(name for name in public if name not in page) == []
