"""The pod of a task that Airflow's KubernetesExecutor runs: found by its labels, as that executor sets them.

Holds: nothing; a request or two for each task that is asked for.
Plan:  labels of the task select the pods; the one whose ``ti_id`` is this task instance's is preferred, then the
newest. Its container ``base`` is the source. Without a pod, what has happened to it lately is told.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from logflume.abc import Found
from logflume.errors import SourceFailed, UsageError
from logflume.records import Gap, GapReason
from logflume.sources.cluster import Cluster
from logflume.sources.missing import MissingSource
from logflume.sources.podpump import Address
from logflume.sources.pods import PodSource, WhenLost, find_pods
from logflume.sources.podstate import last_warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.sources.podstate import PodView

    Conf = Callable[[str, str], "str | None"]

LINES = 100
"""So many last lines of a running pod are shown when Airflow's configuration does not say."""

MAX_LABEL_CHARS = 63
"""What Kubernetes allows."""

_HASH_CHARS = 9
_UNSAFE = re.compile(r"^[^a-z0-9A-Z]*|[^a-zA-Z0-9_\-.]|[^a-z0-9A-Z]*$")
_TRUE = ("true", "t", "1", "yes", "y", "on")


@dataclass(frozen=True)
class PodSettings:
    """What Airflow's configuration says of pods.

    Attributes:
        namespace: where pods are, unless a task's ``pod_override`` says otherwise.
        tail_lines: so many last lines are shown of a running pod; None: all that the cluster has.
        refused: why ``tail_lines`` cannot be used; "" when it can.
        containers: names of those that are shown.
    """

    namespace: str = "default"
    tail_lines: int | None = LINES
    refused: str = ""
    containers: tuple[str, ...] = ("base",)

    @classmethod
    def of_conf(cls, conf: Conf) -> PodSettings:
        """Read ``[kubernetes_executor]`` and ``[logflume]``; ``conf(section, key)`` gives text, or None."""
        lines, refused = _lines(conf)
        names = tuple(
            name.strip() for name in (conf("logflume", "pod_containers") or "base").split(",") if name.strip()
        )
        return cls(conf("kubernetes_executor", "namespace") or "default", lines, refused, names)


def _lines(conf: Conf) -> tuple[int | None, str]:
    """Return how many last lines are shown, and why that cannot be used."""
    key, text = "[logflume] running_pod_log_lines", conf("logflume", "running_pod_log_lines")
    if text is None:
        key, text = "[kubernetes_executor] running_pod_log_lines", conf("kubernetes_executor", "running_pod_log_lines")
    elif text.strip().lower() == "all":
        return None, ""
    if text is None:
        return LINES, ""
    try:
        lines = int(text)
    except ValueError:
        lines = 0
    if lines >= 1:
        return lines, ""
    todo = "Set a number of 1 or more, or [logflume] running_pod_log_lines = all for no limit"
    return None, f"{key} is {text!r}, so the running pod's log is not read. {todo}."


def cluster_of_conf(conf: Conf, import_string: Callable[[str], Callable[[], Any]]) -> Cluster:
    """Return the cluster that ``[kubernetes_executor]`` leads to; nothing is asked or loaded yet."""
    section = "kubernetes_executor"
    factory = conf(section, "client_factory")
    if factory:
        return Cluster(make_client=partial(_made_by, factory, import_string))
    in_cluster = conf(section, "in_cluster")
    return Cluster(
        context=conf(section, "cluster_context") or None,
        config_file=conf(section, "config_file") or None,
        in_cluster=None if in_cluster is None else in_cluster.strip().lower() in _TRUE,
        verify_tls=(conf(section, "verify_ssl") or "true").strip().lower() in _TRUE,
        ca_file=conf(section, "ssl_ca_cert") or None,
    )


def _made_by(factory: str, import_string: Callable[[str], Callable[[], Any]]) -> Any:  # noqa: ANN401 - a client
    return import_string(factory)()


def pod_logs(cluster: Cluster, settings: PodSettings, ti: Any, try_number: int) -> Found:  # noqa: ANN401 - Airflow's own
    """Find the pod of a try and the containers that are to be shown.

    Order:  containers as the settings name them.
    Loss:   none; a pod that is not found, or not to be seen, is a source that says why.
    Memory: a source for each container.
    """
    pod_name = getattr(ti, "hostname", "") or ""
    messages = [f"Attempting to fetch logs from pod {pod_name} through kube API".replace("pod  ", "pod ")]
    if settings.refused:
        return Found([*messages, settings.refused])
    namespace = namespace_of(ti) or settings.namespace
    try:
        pod = _find_pod(cluster, namespace, ti, try_number)
    except (SourceFailed, UsageError) as error:
        gap = error.gap if isinstance(error, SourceFailed) else _unusable(namespace, error)
        return Found(messages, [MissingSource(gap)])
    if pod is None:
        return Found(messages, [MissingSource(_no_pod(cluster, namespace, pod_name, ti, try_number))])
    shown = "all" if settings.tail_lines is None else f"the last {settings.tail_lines}"
    messages.append(f"Found logs through kube API: {shown} lines of pod {namespace}/{pod.name}")
    addresses = (Address(cluster, namespace, pod.name, container) for container in settings.containers)
    lines, lost = settings.tail_lines, WhenLost.GO_ON
    return Found(messages, [PodSource(each, tail_lines=lines, stamps=False, when_lost=lost) for each in addresses])


def labels_of(ti: Any, try_number: int) -> dict[str, str | None]:  # noqa: ANN401 - as above
    """Return the labels that the executor puts on the pod of a try."""
    map_index = getattr(ti, "map_index", None)
    is_mapped = map_index is not None and map_index >= 0
    return {
        "dag_id": safe_label(ti.dag_id),
        "task_id": safe_label(ti.task_id),
        "run_id": safe_label(ti.run_id),
        "try_number": str(try_number),
        "kubernetes_executor": "True",
        "airflow-worker": None,  # an operator's own pods do not have it
        **({"map_index": str(map_index)} if is_mapped else {"!map_index": None}),
    }


def safe_label(text: str) -> str:
    """Return the value of a label for this text: itself where Kubernetes allows it, else cut and with a digest."""
    safe = _UNSAFE.sub("", text)
    if safe == text and len(safe) <= MAX_LABEL_CHARS:
        return safe
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:_HASH_CHARS]
    return f"{safe[: MAX_LABEL_CHARS - _HASH_CHARS - 1]}-{digest}"


def namespace_of(ti: Any) -> str | None:  # noqa: ANN401 - as above
    """Return the namespace that a task's ``pod_override`` names."""
    config = getattr(ti, "executor_config", None)
    override = config.get("pod_override") if isinstance(config, dict) else None
    metadata = override.get("metadata") if isinstance(override, dict) else getattr(override, "metadata", None)
    found = metadata.get("namespace") if isinstance(metadata, dict) else getattr(metadata, "namespace", None)
    return found if isinstance(found, str) and found else None


def _find_pod(cluster: Cluster, namespace: str, ti: Any, try_number: int) -> PodView | None:  # noqa: ANN401 - as above
    found = find_pods(cluster, namespace, labels_of(ti, try_number))
    ti_id = str(getattr(ti, "id", ""))
    own = [pod for pod in found if pod.labels.get("ti_id") == ti_id]
    others = [pod for pod in found if "ti_id" not in pod.labels]  # of a provider that does not set it
    return next(reversed(own or others), None)


def _no_pod(cluster: Cluster, namespace: str, pod_name: str, ti: Any, try_number: int) -> Gap:  # noqa: ANN401 - as above
    source = f"{namespace}/{pod_name or 'no pod'}"
    detail = f"There is no pod of try {try_number} of {ti.dag_id}.{ti.task_id} in the namespace {namespace!r}."
    happened = last_warning(Address(cluster, namespace, pod_name, "").events("")) if pod_name else ""
    if happened:
        detail += f" The cluster says: {happened}."
    todo = "It is not made yet, or was deleted when it ended: remote logging keeps the log then."
    return Gap(source, GapReason.NOT_FOUND, detail, todo)


def _unusable(namespace: str, error: UsageError) -> Gap:
    todo = "Check [kubernetes_executor] in_cluster, config_file and cluster_context."
    return Gap(f"{namespace}/pod", GapReason.UNREADABLE, f"The cluster cannot be asked: {error}.", todo)
