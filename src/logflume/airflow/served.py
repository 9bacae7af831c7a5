"""The log servers of workers and triggerers, as Airflow's configuration and the task's row name them.

Holds: a hostname that a row names is asked only when it is allowed; a token is for one file and some seconds.
Plan:  while a try runs, whoever writes its log now is asked: the triggerer of a deferred one, and its worker. Files of
       this very machine are read as files.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.tokens import JWTGenerator, get_signing_key
from airflow.configuration import conf
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.net import get_hostname

from logflume.abc import Found
from logflume.sources.hosts import AllowedHosts
from logflume.sources.logserver import LogServerSource, Served

if TYPE_CHECKING:
    from logflume.abc import Source

AUDIENCE = "task-instance-logs"
WORKER_PORT, TRIGGERER_PORT = 8793, 8794


def served_logs(ti: Any, path: str, *, local: bool) -> Found:  # noqa: ANN401 - Airflow's task instance
    """Name the log servers that may have the log at ``path``; nobody is asked yet.

    Args:
        ti: Airflow's task instance.
        path: of its log, relative to the log folder.
        local: its files have been found on this machine.
    """
    sources: list[Source] = []
    job = getattr(ti, "triggerer_job", None)
    if job and job.hostname and not (local and _is_here(job.hostname)):
        sources.append(_source(job.hostname, _triggerer_port(), f"{path}.trigger.{job.id}.log"))
    if ti.hostname and not (local and _is_here(ti.hostname)):
        port = conf.getint("logging", "worker_log_server_port", fallback=WORKER_PORT)
        sources.append(_source(ti.hostname, port, path))
    if not sources and not local:
        if getattr(getattr(ti, "task", None), "inherits_from_empty_operator", False):
            return Found([FileTaskHandler.inherits_from_empty_operator_log_message])
        who = "trigger" if job else "worker"
        no_host = f"Could not read served logs: Hostname not available for {who}."
        return Found([f"{no_host} Please check your `hostname_callable` configuration."])
    return Found([source.name for source in sources], sources)


def _source(host: str, port: int, path: str) -> LogServerSource:
    timeout_s = conf.getfloat("api", "log_fetch_timeout_sec", fallback=5.0)
    served = Served(
        host=host,
        port=port,
        path="/log/" + quote(path),
        token=functools.partial(_token, path),
        hosts=AllowedHosts.of(conf.get("logflume", "log_server_hosts", fallback="").split(",")),
        connect_s=timeout_s,
        read_s=timeout_s,
    )
    return LogServerSource(served)


def _token(path: str) -> str:
    """Sign what Airflow's log server wants to see."""
    generator = JWTGenerator(
        secret_key=get_signing_key("api", "secret_key"),
        algorithm="HS512",
        private_key=None,
        issuer=None,
        valid_for=conf.getint("webserver", "log_request_clock_grace", fallback=30),
        audience=AUDIENCE,
    )
    token: str = generator.generate({"filename": path})
    return token


def _triggerer_port() -> int:
    older = conf.getint("logging", "triggerer_log_server_port", fallback=TRIGGERER_PORT)
    port: int = conf.getint("logging", "trigger_log_server_port", fallback=older)
    return port


def _is_here(hostname: str) -> bool:
    """Tell whether a machine is this one."""
    return bool(hostname == get_hostname())
