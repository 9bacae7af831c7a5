"""``logflume serve``: the logs of a folder over HTTP."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import click

from logflume.cli import _keep_memory
from logflume.cli.reading import allow_descriptors
from logflume.errors import UsageError

DEFAULT_PORT = 8793
BACKLOG = 2048
"""Connections that wait to be taken."""

GRACE_S = 5
"""So long an answer may go on after a signal to end."""

LOOPBACK = "127.0.0.1"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen at.")
@click.option("--pattern", help="Which files are a log, such as {service}/{*host}.log; by default Airflow's layout.")
def command(folder: Path, port: int, host: str, pattern: str | None) -> int:
    """Serve every log under a folder over HTTP.

    \b
    logflume serve logs/
    curl http://127.0.0.1:8793/api/v1/logs
    """
    try:
        import uvicorn

        from logflume.serve.run import app_for
    except ModuleNotFoundError as missing:
        raise UsageError(f"serving needs more: pip install 'logflume[serve]' ({missing.name} is not there)") from None
    if host not in {LOOPBACK, "localhost", "::1"}:
        raise UsageError(f"{host}: without authentication only this machine is served; leave out --host")
    # Other commands end quietly when nobody reads on; who leaves a server must not end it.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    app = app_for(folder, pattern=pattern)
    _keep_memory()
    allow_descriptors(BACKLOG)
    listening = listen(host, port)
    url = "http://{}:{}".format(*listening.getsockname()[:2])
    click.echo(f"{folder} is served at {url}/api/v1/logs", err=True)
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=GRACE_S)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: the address cannot be had.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened at: {error.strerror}. Try --port 0 for any free port"
        ) from None
