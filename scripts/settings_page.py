"""Write the table of docs/reference/server-settings.md anew: `python scripts/settings_page.py`.

Holds: what stands before and after the table is left as it is.
"""

from __future__ import annotations

from pathlib import Path

from logflume.serve.settings import reference

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "server-settings.md"
BEGIN = "<!-- made by logflume.serve.settings -->\n"
END = "<!-- end -->"


def main() -> None:
    """Replace the table."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + reference() + END + after)


if __name__ == "__main__":
    main()
