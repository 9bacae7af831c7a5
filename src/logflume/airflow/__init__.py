"""logflume inside Apache Airflow 3: the one package that imports ``airflow``.

What Airflow's configuration names: ``LOGGING_CONFIG`` (with ``REMOTE_TASK_LOG`` and ``DEFAULT_REMOTE_CONN_ID`` beside
it, where Airflow looks for them), ``TaskLogHandler``, ``LogflumePlugin``, ``RedisRemoteLog``. Each is loaded when it is
first asked for: a process of Airflow that only runs tasks imports nothing of logflume's engine.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "DEFAULT_REMOTE_CONN_ID": "logflume.airflow.logging_config",
    "LOGGING_CONFIG": "logflume.airflow.logging_config",
    "LogflumePlugin": "logflume.airflow.plugin",
    "REMOTE_TASK_LOG": "logflume.airflow.logging_config",
    "RedisRemoteLog": "logflume.airflow.redis",
    "TaskLogHandler": "logflume.airflow.handler",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the keys are text


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a dictionary, a class, an object of a provider
    """Load what Airflow asks for by its dotted name (PEP 562)."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'logflume.airflow' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
