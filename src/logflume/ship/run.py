"""What the captures into one folder are called, for sinks that keep several of them apart.

Holds: a word that is made once and kept beside the captured files; who deletes it begins anew.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from typing import TYPE_CHECKING

from logflume.sources.captured import SIDE

if TYPE_CHECKING:
    from pathlib import Path


def run_of(folder: Path) -> str:
    """Return when a folder's name was first asked for, and a random word; a folder that cannot be written: its path."""
    kept = folder / SIDE / "run"
    with contextlib.suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError), kept.open("x", encoding="ascii") as file:
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            file.write(f"{moment}-{os.urandom(4).hex()}")
        word = kept.read_text("ascii")
        if word:
            return word
    return f"path-{zlib.crc32(os.fsencode(folder.absolute())):08x}"
