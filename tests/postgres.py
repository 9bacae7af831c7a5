"""A real PostgreSQL on loopback, which can be stopped and started while somebody uses it.

Holds: it listens on 127.0.0.1 and a free port only, runs as a user without rights when root starts it, and is gone with
       its folder at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.data.airflow.make_sample import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 60.0
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""


@dataclass
class Postgres:
    """A server with a database ``airflow``."""

    programs: Path
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How SQLAlchemy names it."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self.port}/airflow"

    def make(self) -> None:
        """Make its files and its database."""
        data = str(self.folder / "data")
        options = ["--username=airflow", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C.UTF-8"]
        self._run("initdb", f"--pgdata={data}", *options)
        self.start()
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=airflow", "airflow")

    def start(self) -> None:
        """Start it; wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off", "unix_socket_directories": ""}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "postgres.out").open("ab") as output:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                **_as_nobody(),
            )
        end_s = time.monotonic() + DEADLINE_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise TimeoutError((self.folder / "postgres.out").read_text(errors="replace")[-2000:])
            time.sleep(0.1)

    def stop(self) -> None:
        """End it at once, and the connections of those who use it."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast"
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait()

    def ask(self, query: str) -> str:
        """Return the one value that a query gives."""
        words = ["--host=127.0.0.1", f"--port={self.port}", "--username=airflow", "--no-align", "--tuples-only"]
        asked = [str(self.programs / "psql"), *words, f"--command={query}", "airflow"]
        return subprocess.run(asked, check=True, capture_output=True, text=True, cwd=self.folder).stdout.strip()

    def _answers(self) -> bool:
        asked = [str(self.programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self.programs / program, *words], capture_output=True, check=False, cwd=self.folder, **_as_nobody()
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')[-2000:]}")


def _as_nobody() -> dict[str, Any]:
    return {"user": UNPRIVILEGED, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def programs() -> Path | None:
    """Return where Debian's newest PostgreSQL is; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    return found[-1] if found else None


@contextlib.contextmanager
def postgres(folder_of_programs: Path) -> Iterator[Postgres]:
    """Run a fresh one."""
    # Not below pytest's folders, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="logflume-postgres-"))
    server = Postgres(folder_of_programs, folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED, "nogroup")
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
