"""The command ``logflume``.

Holds: it ends as a Unix program does: quietly by SIGPIPE when its reader goes away, with 130 on Ctrl-C, with one line
       on stderr and 2 when it was called wrongly or something could not be read.
Plan:  here is only what must be settled before anything is imported; ``app`` knows the commands, and each of them is
       imported when it is called. The first block of ``cat`` waits for no module that it does not need.
"""

from __future__ import annotations

import os
import signal
import sys

FAILED = 2
"""Exit code of every error, and when something could not be read."""

INTERRUPTED = 130

_KEPT_BYTES = 4 * 1024 * 1024


def main() -> int:
    """Run the command line of this process; return its exit code."""
    _occupy_closed_descriptors()
    # A reader that goes away ends us at once, as it ends cat: the kernel releases all that is held.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _keep_memory()
    try:
        from logflume.cli.app import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return INTERRUPTED


def _keep_memory() -> None:
    """Let glibc reuse the memory of blocks instead of mapping it anew for each: see docs/decisions/0004."""
    bytearray(_KEPT_BYTES)


def _occupy_closed_descriptors() -> None:
    """Let no log file become standard output because that was closed: writing must go on failing there."""
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
