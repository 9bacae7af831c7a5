"""Blocks to a descriptor, all of each; and what of them may reach a terminal.

Holds: one block. To anything but a terminal bytes go as they are.
Plan:  a log is hostile input, and a terminal obeys escape sequences: they can retitle it, hide text, or type for its
       owner. So on a terminal every control character is shown instead of sent; colours alone may pass. That is one
       search through a block, not a look at its lines.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import stat

from logflume.errors import LogflumeError

STDIN = 0
STDOUT = 1
STDERR = 2

RESET = b"\x1b[0m"
ESCAPED = "backslashreplace"

# Tab and newline pass, and a CR that only ends a line. The last ranges reorder or hide text.
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)"
_HOSTILE = re.compile(_CONTROLS + r"|\x1b")
_HOSTILE_BUT_COLOURS = re.compile(_CONTROLS + r"|\x1b(?!\[[0-9;:]{0,32}m)")


class CannotWriteError(LogflumeError):
    """Standard output takes no more; what was written before is there."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to standard output: {error.strerror}")


class Out:
    """Standard output as a place for blocks.

    Attributes:
        whole: whether all of every block came out so far; False in the midst of a write.
    """

    def __init__(self, *, colours: bool = False, raw: bool = False) -> None:
        self.whole = True
        self._colours = colours
        # One that remembers: a piece of a very long line may end within a character.
        self._decoder = None if raw or not os.isatty(STDOUT) else codecs.getincrementaldecoder("utf-8")(ESCAPED)
        self._coloured = False

    def write(self, block: bytes) -> None:
        """Write a block of a log, waiting as long as the reader needs.

        Raises:
            CannotWriteError: the descriptor is closed, its disk is full, …
        """
        if self._decoder is None:
            self._send(block)
            return
        self._coloured |= self._colours and b"\x1b[" in block
        self._send(visible(self._decoder.decode(block), colours=self._colours).encode())

    def write_text(self, text: str) -> None:
        """Write our own words, as they are.

        Raises:
            CannotWriteError: as ``write``.
        """
        self._send(text.encode("utf-8", ESCAPED))

    def end(self) -> None:
        """Leave a terminal in no colour of the log."""
        if self._coloured:
            self._send(RESET)

    def _send(self, data: bytes) -> None:
        self.whole = False
        left = memoryview(data)
        try:
            while left:
                left = left[_write_some(left) :]
        except OSError as error:
            raise CannotWriteError(error) from error
        self.whole = True


def _write_some(data: memoryview) -> int:
    try:
        return os.write(STDOUT, data)
    except BlockingIOError:  # whoever shares the descriptor made it so; we wait all the same
        select.select((), (STDOUT,), ())
        return 0


def reader_is_gone() -> bool:
    """Tell whether the other end of our standard output was closed, without writing to it."""
    poll = select.poll()
    poll.register(STDOUT, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def say(text: str) -> None:
    """Say one line on stderr, whatever names and details are in it."""
    line = visible(f"logflume: {text}".replace("\n", " ")) + "\n"
    with contextlib.suppress(OSError):  # there is nowhere left to complain
        os.write(STDERR, line.encode("utf-8", ESCAPED))


def visible(text: str, *, colours: bool = False) -> str:
    """Return ``text`` with every control character shown: ``^[``, ``^M``, ``<U+202E>``."""
    return (_HOSTILE_BUT_COLOURS if colours else _HOSTILE).sub(_show, text)


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"<U+{code:04X}>"  # noqa: PLR2004 - ASCII has its caret notation


def wants_colours(choice: str, descriptor: int = STDOUT) -> bool:
    """Say whether to colour: ``auto`` does so on a terminal, unless NO_COLOR is set (no-color.org)."""
    if choice != "auto":
        return choice == "always"
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_file(descriptor: int) -> bool:
    """Say whether a descriptor leads neither to a terminal nor to another program."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return not (os.isatty(descriptor) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))
