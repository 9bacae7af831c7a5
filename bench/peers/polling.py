"""A supervisor that reads its child's output line by line in Python: ``polling.py WAY COMMAND …``.

WAY is ``loop`` (one loop reads what there is, then looks at all else that it watches over, then sleeps) or ``thread``
(the same reading in a thread of its own): Amazon's image of Airflow before and after pull request 134 of
aws/amazon-mwaa-docker-images, written anew from its description. Lines are decoded, compared with a table of
expressions, and discarded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

LOOP_S = 1.0
THREAD_S = 0.1
COUNTED = [
    re.compile(text) for text in ("Traceback", "ERROR - ", "Broken DAG", "OperationalError", "Killed", "timed out")
]


class Reader:
    """Reads and forwards to nobody."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdout is None:
            raise ValueError("its output is no pipe")
        os.set_blocking(child.stdout.fileno(), False)
        self._child, self._stdout = child, child.stdout
        self.lines = self.matches = 0

    def read_all(self) -> None:
        """Take one line after the other until there is none."""
        while line := self._stdout.readline():
            text = line.decode("utf-8", "replace").rstrip()
            self.matches += sum(1 for pattern in COUNTED if pattern.search(text))
            self.lines += 1

    def go_on(self, nap_s: float) -> None:
        """Read to the child's end."""
        while self._child.poll() is None:
            self.read_all()
            time.sleep(nap_s)
        self.read_all()


def main() -> None:
    """Run the command."""
    way, *command = sys.argv[1:]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        reader = Reader(child)
        if way == "loop":
            reader.go_on(LOOP_S)
        else:
            thread = threading.Thread(target=reader.go_on, args=(THREAD_S,))
            thread.start()
            thread.join()
    sys.exit(child.returncode)


if __name__ == "__main__":
    main()
