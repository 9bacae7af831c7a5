"""A web server in a process of its own that keeps what it is sent, refuses when told, and answers slowly when told.

``FOLDER/taken`` gets the bodies, ``FOLDER/requests`` a line of JSON with the headers of each; while ``FOLDER/refuse``
holds a status and headers as JSON it answers that instead of 204. The port is printed.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_POST(self) -> None:
        """Keep a body, or refuse it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers = self._refusal()
        if status == 204:
            with (self.folder / "taken").open("ab") as file:
                file.write(body)
        with (self.folder / "requests").open("a") as file:
            file.write(json.dumps({"status": status, "path": self.path, **dict(self.headers)}) + "\n")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _refusal(self) -> tuple[int, dict[str, str]]:
        try:
            status, headers = json.loads((self.folder / "refuse").read_text())
        except FileNotFoundError:
            return 204, {}
        return status, headers

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


class Collector:
    """The server, from outside."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}/logs"
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        for name in ("taken", "requests"):
            (self.folder / name).write_bytes(b"")

    def taken(self) -> bytes:
        """Return all bodies that were accepted."""
        return (self.folder / "taken").read_bytes()

    def requests(self) -> list[dict[str, str]]:
        """Return status, path and headers of each request."""
        return [json.loads(line) for line in (self.folder / "requests").read_text().splitlines()]

    def refuse(self, refusing: bool, status: int = 503, **headers: str) -> None:
        """Refuse from now on, or accept."""
        if refusing:
            (self.folder / "refuse.part").write_text(json.dumps([status, headers]))
            (self.folder / "refuse.part").rename(self.folder / "refuse")
        else:
            (self.folder / "refuse").unlink()


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[Collector]:
    """Run the server while entered."""
    folder.mkdir()
    with subprocess.Popen([sys.executable, __file__, folder], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            yield Collector(folder, int(process.stdout.readline()))
        finally:
            process.kill()


def main() -> None:
    """Serve until killed."""
    Handler.folder = Path(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)  # noqa: T201 - its parent reads it
    server.serve_forever()


if __name__ == "__main__":
    main()
