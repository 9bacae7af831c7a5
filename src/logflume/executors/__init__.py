"""Logs of tasks that executors run, without their runtime: no constructor is called, no process or thread is left.

Holds: nothing but what ``access`` makes once for each process, for executors of your own that give logs themselves.
Plan:  ``LogAccess.ask`` says who runs a task (by class path, alias, team, queue) and how its log is had: from its pod
(``pods``), from the worker's log server (then nobody is asked here), or from the executor itself (``contract``).

``logflume.airflow`` is what uses it inside of Airflow; this package imports nothing of Airflow but the class of an
executor of your own.
"""

from __future__ import annotations

from logflume.executors.access import ExecutorName, LogAccess, Way, way_of
from logflume.executors.contract import ask_executor
from logflume.executors.pods import PodSettings, pod_logs

__all__ = ["ExecutorName", "LogAccess", "PodSettings", "Way", "ask_executor", "pod_logs", "way_of"]
