"""A small file, read whole: settings, secrets.

Holds: of a file that is larger than it should be no more than that is read.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read, or has more than so many bytes; ``strerror`` says it without the path.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes} bytes")
    return data
