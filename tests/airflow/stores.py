"""Servers that stand for remote log stores, for tests beside the providers' own classes.

Holds: loopback only; each is a context manager that ends what it began.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < give_up_s, "the server did not come"
        time.sleep(0.05)


@contextmanager
def running(*words: object) -> Iterator[None]:
    """Run a program while entered."""
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield
        finally:
            child.kill()


@contextmanager
def aws() -> Iterator[str]:
    """Run moto's server, from the environment of the other tests; give its URL."""
    port = free_port()
    with running(ROOT / ".venv" / "bin" / "python", "-m", "moto.server", "-H", "127.0.0.1", "-p", port):
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Run a Redis server; give its port."""
    port = free_port()
    with running("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", folder):
        wait_for_port(port)
        yield port


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **held: object) -> Iterator[str]:
    """Serve HTTP in a thread; give the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), held))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Json(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing."""

    def answer(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        """Send a body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class SearchEngine(_Json):
    """As much of Elasticsearch and OpenSearch as their providers ask: search by log id and offset, count.

    It gives at most 1,000 hits, as it is asked to, and breaks after ``fails_after``.
    """

    documents: list[dict[str, Any]]
    fails_after: int | None

    def do_POST(self) -> None:
        """Search or count."""
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        text = json.dumps(asked)
        after = int(re.search(r'"gt": (\d+)', text)[1])  # type: ignore[index] # the providers always ask so
        found = [each for each in self.documents if each["offset"] > after and json.dumps(each["log_id"]) in text]
        if "_count" in self.path:
            self.answer({"count": len(found)})
        elif self.fails_after is not None and after >= self.fails_after:
            self.answer({"error": {"type": "circuit_breaking_exception", "reason": "too large"}, "status": 400}, 400)
        else:
            size = int(asked.get("size") or parse_qs(urlsplit(self.path).query)["size"][0])
            hits = [{"_index": "logs", "_id": str(each["offset"]), "_source": each} for each in found[:size]]
            self.answer({"took": 1, "timed_out": False, "hits": {"total": {"value": len(found)}, "hits": hits}})

    def do_GET(self) -> None:
        """Say who it is."""
        self.answer({"version": {"number": "9.0.0"}, "tagline": "You Know, for Search"})


class WebHdfs(_Json):
    """As much of WebHDFS as the provider asks: the status of a file, and its content."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        """Give a status or a content."""
        path, _, query = self.path.partition("?")
        name = path.removeprefix("/webhdfs/v1")
        if name not in self.files and name != "/":
            missing = {
                "exception": "FileNotFoundException",
                "javaClassName": "x",
                "message": f"File does not exist: {name}",
            }
            self.answer({"RemoteException": missing}, 404)
        elif "op=OPEN" in query:
            self.answer(self.files[name], kind="application/octet-stream")
        else:
            kind = "DIRECTORY" if name == "/" else "FILE"
            self.answer({"FileStatus": {"type": kind, "length": len(self.files.get(name, b"")), "pathSuffix": ""}})
