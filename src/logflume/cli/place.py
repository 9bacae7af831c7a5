"""Where to go on in a log, and where to say how far we came: a token that is given, printed, or kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from logflume.cli.screen import say
from logflume.cursor import Cursor


@dataclass(frozen=True)
class Place:
    """Where to go on, and where to say how far we came."""

    cursor: str | None
    print_cursor: bool
    cursor_file: str | None

    @property
    def wanted(self) -> bool:
        """Whether any was asked for."""
        return bool(self.cursor or self.print_cursor or self.cursor_file)

    def start(self) -> Cursor | None:
        """Return the place to go on from.

        Raises:
            BadCursor: it was not made by us.
        """
        token = self.token()
        return Cursor.from_token(token) if token else None

    def token(self) -> str | None:
        """Return the place to go on from, as it was given."""
        return self.cursor or self._kept()

    def _kept(self) -> str | None:
        if self.cursor_file is None:
            return None
        try:
            return Path(self.cursor_file).read_text("ascii", "replace").strip() or None
        except FileNotFoundError:  # the first time
            return None

    def keep(self, token: str) -> None:
        """Name the place."""
        if self.print_cursor:
            say(f"cursor: {token}")
        if self.cursor_file is not None:
            beside = Path(f"{self.cursor_file}.part")
            beside.write_text(token + "\n")
            beside.replace(self.cursor_file)
