"""Run a server by its settings: in this process, or in several that share one socket.

Holds: who is refused by the settings is told before anything listens. A signal to end (SIGTERM, SIGINT) closes the
       socket and lets open answers end within ``drain_s``, in every process; a second one ends all at once. A process
       that dies is started again, and told, but at most ten times a minute in all; when the one that watches them
       dies, the others end, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import multiprocessing
import multiprocessing.connection
import os
import resource
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from logflume.catalog import ByPattern, FolderCatalog
from logflume.catalogs import NAME, NamedCatalogs
from logflume.errors import UsageError
from logflume.indexcache import IndexCache
from logflume.serve import pump, taking
from logflume.serve.app import create_app
from logflume.serve.auth import Gate, read_key
from logflume.serve.certificate import Certificate
from logflume.serve.guard import Guard
from logflume.serve.settings import check_binding
from logflume.serve.shelf import Shelf
from logflume.serve.wire import Wire, WireConfig
from logflume.serve.worker import create_worker_app
from logflume.serve.workerconf import worker_conf

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess
    from types import FrameType

    from starlette.types import ASGIApp

    from logflume.abc import Catalog
    from logflume.serve.drain import Drain
    from logflume.serve.settings import Settings

BACKLOG = 2048
"""Connections that wait to be taken."""

_M_ARENA_MAX = -8  # of malloc.h
_MAX_RESTARTS = 10
_LOOK_S = 0.2
_TRIM_EVERY = 20  # ticks of the server: two seconds
_LAST_S = 4  # what is given to answers to be broken off, after their time is up

_KEY_NAME = "server.key"
_MINUTE_S = 60.0


def serve(settings: Settings, listening: socket.socket) -> int:
    """Serve until a signal to end; return the exit code."""
    if settings.workers == 1:
        _serve_here(settings, listening)
        return 0
    with tempfile.TemporaryDirectory(prefix="logflume-metrics-") as folder:
        return _Processes(settings, listening, Path(folder)).run()


def check(settings: Settings) -> None:
    """Find what cannot be served, before anything listens.

    Raises:
        UsageError: with what to do.
    """
    check_binding(settings)
    _certificate(settings)
    if settings.airflow_worker:
        worker_conf(settings, os.environ)
        return
    if not settings.folders:
        raise UsageError("name a folder whose logs are to be served: logflume serve logs/")
    for folder in settings.folders:
        if not folder.path.is_dir():
            raise UsageError(f"{folder.path}: there is no such folder")
    _catalog(settings)
    key = _key(settings, IndexCache())
    Gate(settings, key)
    if settings.take_into is not None:
        taking.prepare(settings, key)


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key)


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
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror  # without the address
        problem = f"{host}:{port} cannot be listened at: {reason}. Try --port 0 for any free port"
        raise UsageError(problem) from None


def application(settings: Settings, metrics_folder: Path | None = None) -> tuple[ASGIApp, Guard]:
    """Return what is served, and what is to be closed after it.

    Raises:
        UsageError: the key, or the file of tokens or keys, cannot be used.
    """
    if settings.airflow_worker:
        return _worker_application(settings, metrics_folder)
    cache = IndexCache()
    key = _key(settings, cache)
    guard = Guard(settings, key=key, metrics_folder=metrics_folder)
    shelf = Shelf(_catalog(settings), key=key, cache=cache, quiet_ends_s=settings.quiet_ends_s)
    app = create_app(shelf, guard)
    if settings.take_into is not None:
        taking.install(app, settings, key)
    return guard.wrap(app), guard


def _worker_application(settings: Settings, metrics_folder: Path | None) -> tuple[ASGIApp, Guard]:
    conf = worker_conf(settings, os.environ)
    guard = Guard(settings, key=secrets.token_bytes(), metrics_folder=metrics_folder)  # it signs nothing
    return guard.wrap(create_worker_app(conf.folder, conf.secret_key, leeway_s=conf.leeway_s)), guard


def served(settings: Settings, address: str) -> str:
    """Say what is served where."""
    if settings.airflow_worker:
        return f"{worker_conf(settings, os.environ).folder} is served to Airflow at {address}/log/"
    names = ", ".join(folder.name or folder.path.name for folder in settings.folders)
    verb = "is" if len(settings.folders) == 1 else "are"
    return f"{names} {verb} served at {address}/"


def _catalog(settings: Settings) -> Catalog:
    """Return the logs that are served.

    Raises:
        UsageError: two folders of one name, or one whose own name cannot be part of an id.
    """
    layout = ByPattern(settings.pattern) if settings.pattern else None
    if len(settings.folders) == 1 and settings.folders[0].name is None:
        return FolderCatalog(settings.folders[0].path, layout=layout)
    named: dict[str, Catalog] = {}
    for folder in settings.folders:
        name = folder.name or folder.path.resolve().name
        if name in named:
            raise UsageError(f"two folders are called {name}: give one another name, as in NAME={folder.path}")
        if not NAME.fullmatch(name):
            raise UsageError(f"{folder.path}: {name!r} cannot begin ids: give it a name, as in logs={folder.path}")
        named[name] = FolderCatalog(folder.path, layout=layout)
    return NamedCatalogs(named)


def _key(settings: Settings, cache: IndexCache) -> bytes:
    """Return what signs cursors and cookies: kept, so that they outlive the server."""
    if settings.key_file is not None:
        return read_key(settings.key_file)
    with contextlib.suppress(OSError):  # reading the key says why
        cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return read_key(cache.folder / _KEY_NAME)


def _serve_here(
    settings: Settings, listening: socket.socket, metrics_folder: Path | None = None, watcher: int | None = None
) -> None:
    _share_memory()
    app, guard = application(settings, metrics_folder)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    connections = min(settings.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)
    config = WireConfig(
        app,
        Wire(max_connections=connections, stall_s=settings.stall_s, tell=guard.metrics.connection_ended),
        log_level="error",  # what clients do is told by the access log and the metrics
        access_log=False,
        server_header=False,
        root_path=settings.root_path,
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=settings.drain_s + _LAST_S,
    )
    try:
        _Server(config, guard.drain, settings.drain_s, watcher, _certificate(settings)).run(sockets=[listening])
    finally:
        guard.close()


def _share_memory() -> None:
    """Let all threads take memory from a few places (docs/decisions/0029): what one frees, the next one uses."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has other ways
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, os.cpu_count() or 1)


def _give_back() -> None:
    """Give memory back to the system that nobody uses any more."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that an answer has no end: we cut it on purpose, and the access log has it."""
    return "without completing response" not in record.getMessage()


class _Server(uvicorn.Server):
    """A server that tells its answers when it ends, and ends with the process that watches it."""

    def __init__(
        self, config: WireConfig, drain: Drain, drain_s: float, watcher: int | None, certificate: Certificate | None
    ) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._drain = drain
        self._drain_s = drain_s
        self._watcher = watcher
        self._was_busy = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; when that has begun, end. Whoever is watched is told twice, as one of a group, and killed."""
        del frame
        if self.should_exit and self._watcher is None:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end; asked ten times a second."""
        if self._watcher not in {None, os.getppid()}:
            self.should_exit = True
        if self._certificate is not None and self.config.ssl is not None:
            try:
                self._certificate.renew(self.config.ssl)
            except UsageError as error:
                _say(f"{error}: what was read before is served on")
        if counter % _TRIM_EVERY == 0:
            is_busy = pump.running() > 0
            if self._was_busy and not is_busy:
                await asyncio.to_thread(_give_back)
            self._was_busy = is_busy
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._drain.begin(self._drain_s)
        await super().shutdown(sockets)


class _Processes:
    """Several processes, and one that only watches them."""

    def __init__(self, settings: Settings, listening: socket.socket, metrics_folder: Path) -> None:
        self._settings = settings
        self._listening = listening
        self._arguments = (settings, listening, metrics_folder, os.getpid())
        self._running: list[ForkProcess] = []
        self._signals = 0
        self._restarts: deque[float] = deque(maxlen=_MAX_RESTARTS)

    def run(self) -> int:
        """Run them until a signal to end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._running = [self._start() for _ in range(self._settings.workers)]
        failed = False
        while not failed and not self._signals:
            multiprocessing.connection.wait([process.sentinel for process in self._running], _LOOK_S)
            failed = not self._restart_dead()
        self._listening.close()  # who comes now is refused, and not left waiting
        self._end()
        return 2 if failed else 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1

    def _end(self) -> None:
        for process in self._running:
            process.terminate()
        deadline_s = time.monotonic() + self._settings.drain_s + 2 * _LAST_S
        while self._signals <= 1 and any(process.is_alive() for process in self._running):
            if time.monotonic() >= deadline_s:
                _say("worker processes did not end in time, and are killed")
                break
            multiprocessing.connection.wait([each.sentinel for each in self._running if each.is_alive()], _LOOK_S)
        for process in self._running:
            process.kill()
            process.join()

    def _start(self) -> ForkProcess:
        process = multiprocessing.get_context("fork").Process(target=_serve_in_child, args=self._arguments)
        process.start()
        return process

    def _restart_dead(self) -> bool:
        """Start those again that have died; False if they die too often."""
        for place, process in enumerate(self._running):
            if process.is_alive() or self._signals:
                continue
            now_s = time.monotonic()
            if len(self._restarts) == _MAX_RESTARTS and now_s - self._restarts[0] < _MINUTE_S:
                _say(f"worker processes ended {_MAX_RESTARTS} times within a minute: this server ends")
                return False
            self._restarts.append(now_s)
            _say(f"a worker process ended ({_how(process.exitcode)}); another one takes its place")
            self._running[place] = self._start()
        return True


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"code {code}"


def _say(text: str) -> None:
    sys.stderr.write(f"logflume: {text}\n")
    sys.stderr.flush()


def _serve_in_child(settings: Settings, listening: socket.socket, metrics_folder: Path, watcher: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # the server sets its own
    _serve_here(settings, listening, metrics_folder, watcher)
