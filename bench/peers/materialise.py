"""What Airflow 2 did to read a log: every line into one list, sorted, deduplicated, joined to one string.

The shape of ``_interleave_logs`` and of its callers, in their simplest form; the comparison of the first seed.
"""

from __future__ import annotations

import itertools
import sys
from datetime import datetime
from pathlib import Path

MARK = '"timestamp":"'


def timestamp(line: str) -> datetime:
    """Parse the time of one line."""
    start = line.index(MARK) + len(MARK)
    return datetime.fromisoformat(line[start : line.index('"', start)].rstrip("Z") + "+00:00")


def main(paths: list[str]) -> None:
    """Write the lines of all files by time."""
    contents = [Path(path).read_text() for path in paths]
    records = [(timestamp(line), number, line) for text in contents for number, line in enumerate(text.splitlines())]
    records.sort()
    unique = [line for line, _ in itertools.groupby(line for _, _, line in records)]
    sys.stdout.write("\n".join(unique) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
