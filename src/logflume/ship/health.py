"""Answer /health and /metrics of a supervisor.

Holds: MAX_REQUESTS at once, each for TIMEOUT_S at most; more are refused. Nothing that a caller sends is kept, nothing
       but these two can be asked, and no answer names a command, its arguments or its environment.
Plan:  the standard library's server, in a thread of its own; figures are read where they lie, so no answer keeps
       anything else waiting. The format of /metrics is the text format of Prometheus.
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

from logflume.errors import UsageError
from logflume.ship.keeper import State
from logflume.ship.metrics import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from logflume.ship.keeper import Keeper

    Answer = tuple[int, str, str]
    """A code, the kind of what is said, and what is said."""

MAX_REQUESTS = 8
"""Requests that are answered at once."""

TIMEOUT_S = 5.0
"""How long a caller may take to ask, and to take the answer."""

_FAILING = 503


class Endpoint:
    """A server while it is entered."""

    def __init__(self, address: str, answers: Mapping[str, Callable[[], Answer]]) -> None:
        """Listen at ``HOST:PORT``; a request for a path is answered by the function that stands beside it.

        Raises:
            UsageError: this cannot be listened at.
        """
        host, _, port = address.rpartition(":")
        try:
            self._server = _Server(host.strip("[]"), int(port), answers)
        except (OSError, OverflowError) as error:
            raise UsageError(f"supervise.listen: {address} cannot be listened at: {error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="logflume-health", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, answers: Mapping[str, Callable[[], Answer]]) -> None:
        self.answers = answers
        self.free = threading.BoundedSemaphore(MAX_REQUESTS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base has it
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base has it
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base has it
        """Say nothing: a caller that goes away is no event."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(404)
            return
        code, kind, text = answer()
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def version_string(self) -> str:
        return "logflume"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base has it
        """Write no log of requests."""


def health(keepers: Sequence[Keeper], *, stopping: bool) -> Answer:
    """Say 200 while every child runs, or has ended well, and no condition fails; as JSON."""
    children = {}
    for keeper in keepers:
        good = keeper.state is State.RUNNING or keeper.is_well
        children[keeper.name] = {
            "ok": good and not keeper.failing,
            "state": keeper.state.value,
            "failing": keeper.failing,
        }
    good = all(child["ok"] for child in children.values()) and not stopping
    said = {"ok": good, "stopping": stopping, "children": children}
    return (200 if good else _FAILING), "application/json", json.dumps(said) + "\n"


def metrics(known: dict[str, Any], folder: Path) -> Answer:
    """Give the figures of a supervisor, in the text format of Prometheus."""
    return 200, "text/plain; version=0.0.4; charset=utf-8", as_text(known, folder)
