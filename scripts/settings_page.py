"""Write the tables of settings in docs/reference anew: `python scripts/settings_page.py`.

Holds: what stands before and after the tables is left as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from logflume.serve.settings import reference as server_reference
from logflume.ship.reference import reference as capture_reference

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[1] / "docs" / "reference"
PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "server-settings.md": ("logflume.serve.settings", server_reference),
    "capture-settings.md": ("logflume.ship.reference", capture_reference),
}
END = "<!-- end -->"


def main() -> None:
    """Replace the tables."""
    for name, (made_by, reference) in PAGES.items():
        page = DOCS / name
        begin = f"<!-- made by {made_by} -->\n"
        before, _, rest = page.read_text().partition(begin)
        _, _, after = rest.partition(END)
        page.write_text(before + begin + reference() + END + after)


if __name__ == "__main__":
    main()
