#!/usr/bin/env python3
"""Move the fragments of ``changelog.d`` into ``CHANGELOG.md`` under a version: ``scripts/release_notes.py 0.2.0``.

Holds: a fragment is removed only after its text stands in the changelog; nothing is written when a fragment has no
known kind.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = ("added", "changed", "fixed", "removed", "security")
MARK = "<!-- releases -->\n"


def section(kind: str, fragments: list[Path]) -> str:
    """Return the part of the notes for one kind; empty when there is nothing of it."""
    texts = [path.read_text().strip().replace("\n", "\n  ") for path in fragments if kind_of(path) == kind]
    return "".join([f"\n### {kind.capitalize()}\n\n", *(f"- {text}\n" for text in texts)]) if texts else ""


def kind_of(path: Path) -> str:
    """Read the kind off a fragment's name."""
    return path.name.partition("-")[0]


def main(version: str) -> None:
    """Write the notes, then remove the fragments."""
    fragments = sorted(path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md")
    strange = [path.name for path in fragments if kind_of(path) not in KINDS]
    if strange or not fragments:
        sys.exit(f"no known kind: {', '.join(strange)}" if strange else "there are no fragments to release")
    today = dt.datetime.now(tz=dt.timezone.utc).date()
    notes = f"\n## {version} ({today})\n" + "".join(section(kind, fragments) for kind in KINDS)
    changelog = ROOT / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(MARK, MARK + notes, 1))
    for path in fragments:
        path.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/release_notes.py VERSION")
    main(sys.argv[1])
