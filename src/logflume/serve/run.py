"""Run a server by its settings: in this process, or in several that share one socket.

Invariant: who is refused by the settings is told before anything listens. A signal to end lets open answers end within
``drain_s``, in every process. A process that dies is started again, but at most ten times a minute in all.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from logflume.catalog import ByPattern, FolderCatalog
from logflume.errors import UsageError
from logflume.indexcache import IndexCache
from logflume.serve.app import create_app
from logflume.serve.auth import Gate, read_key
from logflume.serve.guard import Guard
from logflume.serve.settings import check_binding
from logflume.serve.shelf import Shelf

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

    from starlette.types import ASGIApp

    from logflume.serve.settings import Settings

BACKLOG = 2048
"""Connections that wait to be taken."""

_MAX_RESTARTS = 10

_KEY_NAME = "server.key"
_MINUTE_S = 60.0


def serve(settings: Settings, listening: socket.socket) -> int:
    """Serve until a signal to end; return the exit code."""
    if settings.workers == 1:
        _serve_here(settings, listening, None)
        return 0
    with tempfile.TemporaryDirectory(prefix="logflume-metrics-") as folder:
        return _Processes(settings, listening, Path(folder)).run()


def check(settings: Settings) -> None:
    """Find what cannot be served, before anything listens.

    Raises:
        UsageError: with what to do.
    """
    check_binding(settings)
    if len(settings.folders) != 1:
        raise UsageError(f"one folder is served, not {len(settings.folders)}: name one that holds them all")
    if not settings.folders[0].is_dir():
        raise UsageError(f"{settings.folders[0]}: there is no such folder")
    Gate(settings, _key(settings, IndexCache()))


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: the address cannot be had.
    """
    host, port = settings.host.strip("[]"), settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        problem = f"{host}:{port} cannot be listened at: {error.strerror}. Try --port 0 for any free port"
        raise UsageError(problem) from None


def application(settings: Settings, metrics_folder: Path | None = None) -> tuple[ASGIApp, Guard]:
    """Return what is served, and what is to be closed after it.

    Raises:
        UsageError: the key, or the file of tokens or keys, cannot be used.
    """
    cache = IndexCache()
    key = _key(settings, cache)
    guard = Guard(settings, key=key, metrics_folder=metrics_folder)
    layout = ByPattern(settings.pattern) if settings.pattern else None
    catalog = FolderCatalog(settings.folders[0], layout=layout)
    shelf = Shelf(catalog, key=key, cache=cache, quiet_ends_s=settings.quiet_ends_s)
    return guard.wrap(create_app(shelf, guard)), guard


def _key(settings: Settings, cache: IndexCache) -> bytes:
    """Return what signs cursors and cookies: kept, so that they outlive the server."""
    if settings.key_file is not None:
        return read_key(settings.key_file)
    with contextlib.suppress(OSError):  # reading the key says why
        cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return read_key(cache.folder / _KEY_NAME)


def _serve_here(settings: Settings, listening: socket.socket, metrics_folder: Path | None) -> None:
    app, guard = application(settings, metrics_folder)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        root_path=settings.root_path,
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=settings.drain_s,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        guard.close()


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that an answer has no end: we cut it on purpose, and the access log has it."""
    return "without completing response" not in record.getMessage()


class _Processes:
    """Several processes, and one that only watches them."""

    def __init__(self, settings: Settings, listening: socket.socket, metrics_folder: Path) -> None:
        self._settings = settings
        self._arguments = (settings, listening, metrics_folder)
        self._running: list[ForkProcess] = []
        self._ending = threading.Event()
        self._restarts: deque[float] = deque(maxlen=_MAX_RESTARTS)

    def run(self) -> int:
        """Run them until a signal to end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ending.set())
        self._running = [self._start() for _ in range(self._settings.workers)]
        failed = False
        while not failed and not self._ending.wait(0.2):
            failed = not self._restart_dead()
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.join(self._settings.drain_s + 5)
            process.kill()
        return 2 if failed else 0

    def _start(self) -> ForkProcess:
        process = multiprocessing.get_context("fork").Process(target=_serve_in_child, args=self._arguments)
        process.start()
        return process

    def _restart_dead(self) -> bool:
        """Start those again that have died; False if they die too often."""
        for place, process in enumerate(self._running):
            if process.is_alive():
                continue
            now_s = time.monotonic()
            if len(self._restarts) == _MAX_RESTARTS and now_s - self._restarts[0] < _MINUTE_S:
                return False
            self._restarts.append(now_s)
            self._running[place] = self._start()
        return True


def _serve_in_child(settings: Settings, listening: socket.socket, metrics_folder: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # the server sets its own
    _serve_here(settings, listening, metrics_folder)
