"""Record what pip, pytest and npm write to a terminal, for tests: ``python -m scripts.record_colours FOLDER``.

Each program runs on a pseudo terminal of its own, in a folder of its own, so that it writes colours, progress and
carriage returns as it does for people. What it wrote is kept as it came, but for names of folders.
"""

from __future__ import annotations

import contextlib
import os
import pty
import sys
import tempfile
from pathlib import Path

TERMINAL = {
    "TERM": "xterm-256color",
    "COLUMNS": "100",
    "LINES": "40",
    "FORCE_COLOR": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "npm_config_color": "always",
    "npm_config_userconfig": os.devnull,
}

TEST = """
import pytest
import warnings

@pytest.mark.parametrize("n", range(5))
def test_good(n):
    assert n >= 0

@pytest.mark.skip(reason="not today")
def test_skipped():
    pass

def test_bad():
    warnings.warn("careful", UserWarning)
    got = {"rows": [1, 2, 3], "name": "größe"}
    assert got == {"rows": [1, 2, 4], "name": "größe"}
"""

PACKAGE = r"""{"name": "shown", "version": "1.0.0", "private": true, "scripts": {
"test": "node -e \"console.log('\\u001b[32m✔\\u001b[0m builds'); process.exit(1)\""}}
"""

PIP = [sys.executable, "-m", "pip"]
RUNS = {
    "pip.log": [
        [*PIP, "install", "--no-cache-dir", "--target", "there", "pygments==2.18.0"],
        [*PIP, "install", "--target", "there", "pygments==99"],
    ],
    "pytest.log": [[sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=yes", "-vv", "test_it.py"]],
    "npm.log": [["npm", "install", "left-pad@1.3.0"], ["npm", "test"], ["npm", "run", "nothing"]],
}


def record(command: list[str], folder: Path) -> bytes:
    """Return what a command writes to a terminal."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        os.execvpe(command[0], command, environment(folder))
    written = bytearray()
    with os.fdopen(terminal, "rb", buffering=0) as read, contextlib.suppress(OSError):  # EIO: it has ended
        while block := read.read(65536):
            written += block
    os.waitpid(child, 0)
    return bytes(written)


def environment(folder: Path) -> dict[str, str]:
    """Return one that has nothing of this machine's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "npm_config_"))}
    return {**kept, **TERMINAL, "HOME": str(folder)}


def main(target: Path) -> None:
    """Record all of them."""
    for name, commands in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "test_it.py").write_text(TEST)
            (Path(folder) / "package.json").write_text(PACKAGE)
            said = b"".join(record(command, Path(folder)) for command in commands)
            for path, shown in ((folder, "/build"), (sys.prefix, "/venv")):
                said = said.replace(path.encode(), shown.encode())
            (target / name).write_bytes(said)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
