"""Who runs a task, and how its log is had without that executor's runtime.

Holds: at most one executor of each configured name in a process, and only of those that give logs themselves: made
lazily, under a lock, never started, ended with the process. Everything else is decided by names.

Plan:  Airflow's own executors are known by their class path, and not imported. Of another one the class is imported
(that is what its author wrote it for), and its ancestors are looked at: what it does not give itself is had as its
ancestor's is.
"""

from __future__ import annotations

import atexit
import enum
import importlib
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume.abc import Found
from logflume.executors.contract import ask_executor
from logflume.executors.pods import PodSettings, cluster_of_conf, pod_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logflume.sources.cluster import Cluster

_said = logging.getLogger(__name__)

END_S = 5.0
"""So long may an executor take to end when its process does."""

_KUBERNETES = "airflow.providers.cncf.kubernetes.executors"
_CELERY = "airflow.providers.celery.executors"
_GIVING = ("get_streaming_task_log", "get_task_log")


class Way(enum.Enum):
    """How the log of a running task is had.

    ``POD``: from its pod. ``POD_OF_A_QUEUE``: from its pod if its queue is the one for pods. ``WORKER``: from the
    worker's log server; the executor has nothing. ``OWN``: from the executor itself, which has to be made for that.
    """

    POD = "pod"
    POD_OF_A_QUEUE = "pod of a queue"
    WORKER = "worker"
    OWN = "own"


_WAYS = {
    f"{_KUBERNETES}.kubernetes_executor.KubernetesExecutor": Way.POD,
    f"{_KUBERNETES}.local_kubernetes_executor.LocalKubernetesExecutor": Way.POD_OF_A_QUEUE,
    f"{_CELERY}.celery_kubernetes_executor.CeleryKubernetesExecutor": Way.POD_OF_A_QUEUE,
    f"{_CELERY}.celery_executor.CeleryExecutor": Way.WORKER,
    "airflow.providers.edge3.executors.edge_executor.EdgeExecutor": Way.WORKER,
    "airflow.executors.local_executor.LocalExecutor": Way.WORKER,
    "airflow.executors.sequential_executor.SequentialExecutor": Way.WORKER,
    "airflow.executors.base_executor.BaseExecutor": Way.WORKER,
}
_SECTIONS = {"LocalKubernetesExecutor": "local_kubernetes_executor"}  # of the queue for pods


@dataclass(frozen=True)
class ExecutorName:
    """One executor as Airflow's configuration names it.

    Attributes:
        class_path: dotted path of its class.
        alias: what tasks may call it, beside the class path and the class's name.
        team: whose it is; None: everybody's.
    """

    class_path: str
    alias: str | None = None
    team: str | None = None

    def is_called(self, name: str) -> bool:
        """Tell whether a task that asks for ``name`` means this one."""
        return name in (self.alias, self.class_path, self.class_path.rpartition(".")[2])


class LogAccess:
    """Gives the logs of running tasks; one for a process, used by all its threads.

    Make one with the names of the configuration, in its order, and a way to look into it; then ``ask`` for each task.
    An answer without messages means that the worker's log server is to be asked.

    Memory: a cluster's client for each team, and executors of your own that give logs themselves.
    """

    def __init__(
        self,
        names: Sequence[ExecutorName],
        conf: Callable[[str, str, str | None], str | None],
        *,
        make: Callable[[ExecutorName], object] | None = None,
    ) -> None:
        """Make nothing yet.

        Args:
            names: all configured executors; the first of a team (or of nobody's) is its default.
            conf: gives text for section, key and team; None where nothing is said.
            make: makes an executor that has to be made; None: calls its class (with ``team_name`` for a team's).
        """
        self._names = list(names)
        self._conf = conf
        self._make = make or _make
        self._making = threading.Lock()
        self._made: dict[ExecutorName, object] = {}
        self._made_by_pid = os.getpid()
        self._clusters: dict[str | None, tuple[Cluster, PodSettings]] = {}

    def ask(self, ti: Any, try_number: int, *, team: str | None = None) -> Found:  # noqa: ANN401 - Airflow's own
        """Ask whoever runs a try for its log.

        Raises:
            Exception: whatever an executor of your own raises when it is made or asked.

        Order, loss, memory: those of ``pod_logs`` and ``ask_executor``.
        """
        wanted = getattr(ti, "executor", None)
        name = self.find(wanted, team)
        if name is None:
            known = ", ".join(each.alias or each.class_path for each in self._names)
            return Found([f"The task's executor {wanted!r} is not configured here ([core] executor has: {known})."])
        way = way_of(name.class_path)
        if way is Way.OWN:
            return ask_executor(self._executor(name), ti, try_number, name=name.alias or name.class_path)
        if way is Way.POD or (way is Way.POD_OF_A_QUEUE and self._is_for_pods(name, ti)):
            cluster, settings = self._cluster(name.team)
            return pod_logs(cluster, settings, ti, try_number)
        return Found()

    def find(self, wanted: str | None, team: str | None = None) -> ExecutorName | None:
        """Return the executor that a task asks for, the team's before everybody's; None when there is none."""
        for of in dict.fromkeys((team, None)):
            for name in self._names:
                if name.team == of and (not wanted or name.is_called(wanted)):
                    return name
        return None

    def _is_for_pods(self, name: ExecutorName, ti: Any) -> bool:  # noqa: ANN401 - as above
        section = _SECTIONS.get(name.class_path.rpartition(".")[2], "celery_kubernetes_executor")
        return bool(ti.queue == (self._conf(section, "kubernetes_queue", name.team) or "kubernetes"))

    def _cluster(self, team: str | None) -> tuple[Cluster, PodSettings]:
        with self._making:
            if team not in self._clusters:
                conf = self._conf_of(team)
                self._clusters[team] = cluster_of_conf(conf, _import), PodSettings.of_conf(conf)
            return self._clusters[team]

    def _conf_of(self, team: str | None) -> Callable[[str, str], str | None]:
        return lambda section, key: self._conf(section, key, team)

    def _executor(self, name: ExecutorName) -> object:
        """Return the one executor of this name in this process."""
        with self._making:
            if self._made_by_pid != os.getpid():  # a fork has the parent's executors, which are the parent's to end
                self._made, self._made_by_pid = {}, os.getpid()
            if name not in self._made:
                if not self._made:
                    atexit.register(self.close)
                self._made[name] = self._make(name)
            return self._made[name]

    def close(self) -> None:
        """End the executors that were made here. Waits END_S for each at most; never raises."""
        with self._making:
            made, self._made = self._made, {}
        atexit.unregister(self.close)
        if self._made_by_pid != os.getpid():
            return
        for executor in made.values():
            thread = threading.Thread(target=_end, args=(executor,), name="logflume-executor-end", daemon=True)
            thread.start()
            thread.join(END_S)


def way_of(class_path: str) -> Way:
    """Say how logs of an executor's tasks are had; only one that is not Airflow's own is imported.

    Raises:
        ImportError, AttributeError: there is no such class.
    """
    if class_path in _WAYS:
        return _WAYS[class_path]
    for ancestor in _import(class_path).__mro__:
        known = _WAYS.get(f"{ancestor.__module__}.{ancestor.__qualname__}")
        if known is not None:
            return known
        if any(method in vars(ancestor) for method in _GIVING):
            return Way.OWN
    return Way.WORKER


def _make(name: ExecutorName) -> object:
    cls = _import(name.class_path)
    return cls() if name.team is None else cls(team_name=name.team)


def _import(path: str) -> Any:  # noqa: ANN401 - a class or a function
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _end(executor: object) -> None:
    """End an executor that was never started, with whatever its constructor has begun."""
    end: Callable[[], object] = getattr(executor, "end", _nothing)
    try:
        end()
    except NotImplementedError:
        pass
    except Exception:  # noqa: BLE001 - somebody else's code, at the end of the process
        _said.warning("%s could not be ended", type(executor).__name__, exc_info=True)


def _nothing() -> None:
    return None
