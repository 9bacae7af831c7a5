"""``logflume serve``: the logs of a folder over HTTP."""

from __future__ import annotations

import os
import signal

import click

from logflume.cli import _keep_memory
from logflume.cli.reading import allow_descriptors
from logflume.cli.serverflags import settings_flags
from logflume.errors import UsageError
from logflume.serve.settings import load_settings

MANY = 2048
"""Descriptors that a server wants at least."""


@click.command()
@click.argument("folders", nargs=-1, metavar="[NAME=]FOLDER …")
@settings_flags
def command(**flags: object) -> int:
    """Serve every log under a folder over HTTP; under several, ids begin with their names.

    \b
    logflume serve logs/
    logflume serve airflow=/opt/airflow/logs jobs=/var/log/jobs
    curl http://127.0.0.1:8793/api/v1/logs
    logflume serve --airflow-worker --host 0.0.0.0

    Each flag can also be in a file (--config), or in the environment.
    """
    settings = load_settings(flags, os.environ)
    try:
        from logflume.serve import run
    except ModuleNotFoundError as missing:
        raise UsageError(f"serving needs more: pip install 'logflume[serve]' ({missing.name} is not there)") from None
    run.check(settings)
    # Other commands end quietly when nobody reads on; who leaves a server must not end it.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    _keep_memory()
    allow_descriptors(MANY)
    with run.listen(settings) as listening:
        host, port = listening.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        scheme = "https" if settings.tls else "http"
        click.echo(run.served(settings, f"{scheme}://{address}{settings.root_path}"), err=True)
        return run.serve(settings, listening)
