"""What a pod says of itself: its containers, which run of each has a log, and why another one has none.

Holds: nothing of the cluster's answer is trusted: what is missing, or of another kind than it should be, is not said.
Plan:  objects stay the dictionaries that the API server sent; these functions read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume.records import Gap, GapReason
from logflume.sources.cluster import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable

Obj = dict[str, Any]

_PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIGURING = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")

_SIGKILLED = 137  # 128 + 9

_TODO = {
    "pull": "Check the image's name and tag, and the pull secret of the pod.",
    "configure": "Check the secrets, config maps, volumes and the command that the pod names.",
    "schedule": "Give the cluster room, or let the pod ask for less; check its node selector and tolerations.",
    "evict": "The log went with the pod. Ask for the memory and disk that the task needs, and keep logs elsewhere.",
    "memory": "Raise the memory limit of the container, or let the task need less.",
    "wait": "Wait until it has started.",
    "gone": "Keep the logs of ended pods elsewhere (remote logging), or keep the pods longer.",
}


@dataclass(frozen=True)
class Run:
    """One run of a container, which has a log of its own.

    Attributes:
        id: what the container runtime calls it; nothing else ever has that name.
        is_over: whether it has ended.
        reason: why it ended, as the cluster says it (``OOMKilled``, ``Completed``, …).
        exit_code: with which code it ended.
    """

    id: str
    is_over: bool
    reason: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class PodView:
    """A pod as the API server described it at one moment."""

    pod: Obj

    @property
    def name(self) -> str:
        """What it is called."""
        return _text(_obj(self.pod, "metadata"), "name")

    @property
    def namespace(self) -> str:
        """Where it is."""
        return _text(_obj(self.pod, "metadata"), "namespace")

    @property
    def uid(self) -> str:
        """What no other pod is ever called."""
        return _text(_obj(self.pod, "metadata"), "uid")

    @property
    def labels(self) -> Obj:
        """Its labels."""
        return _obj(_obj(self.pod, "metadata"), "labels")

    @property
    def created(self) -> str:
        """When it was made, as the cluster writes times."""
        return _text(_obj(self.pod, "metadata"), "creationTimestamp")

    @property
    def phase(self) -> str:
        """``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Unknown``."""
        return _text(_obj(self.pod, "status"), "phase")

    def container_names(self) -> list[str]:
        """Name all containers in the order in which they start."""
        spec = _obj(self.pod, "spec")
        kinds = ("initContainers", "containers", "ephemeralContainers")
        return [name for kind in kinds for each in _list(spec, kind) if (name := _text(each, "name"))]

    def status_of(self, container: str) -> Obj:
        """Return what is said of one container."""
        status = _obj(self.pod, "status")
        kinds = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        found = (each for kind in kinds for each in _list(status, kind) if _text(each, "name") == container)
        return next(found, {})

    def run_of(self, container: str) -> Run | None:
        """Return the run whose log the API server would give now; None when there is none."""
        status = self.status_of(container)
        state = _obj(status, "state")
        if "running" in state:
            return Run(_text(status, "containerID") or self._numbered(container, status), is_over=False)
        return self._ended(_obj(state, "terminated")) or self.previous_run_of(container)

    def previous_run_of(self, container: str) -> Run | None:
        """Return the run before the present one; None when there is none."""
        return self._ended(_obj(_obj(self.status_of(container), "lastState"), "terminated"))

    def _numbered(self, container: str, status: Obj) -> str:
        return f"{self.uid}/{container}/{status.get('restartCount', 0)}"

    def _ended(self, terminated: Obj) -> Run | None:
        run_id = _text(terminated, "containerID")
        if not run_id:
            return None
        code = terminated.get("exitCode")
        return Run(
            run_id, is_over=True, reason=_text(terminated, "reason"), exit_code=code if isinstance(code, int) else None
        )

    def may_run_again(self, container: str, run: Run) -> bool:
        """Whether a container of which this run has ended may be run again."""
        is_going = self.phase in ("Pending", "Running", "") and "deletionTimestamp" not in _obj(self.pod, "metadata")
        spec = _obj(self.pod, "spec")
        policy = _text(spec, "restartPolicy")
        is_init = any(_text(each, "name") == container for each in _list(spec, "initContainers"))
        is_done = run.exit_code == 0 and (is_init or policy != "Always")
        return is_going and policy != "Never" and not is_done


def why_no_log(view: PodView, container: str, source: str, events: Iterable[Obj] = ()) -> Gap:
    """Say why a container has no log: from its state, the pod's, and what has happened to the pod."""
    reason, detail, todo = _why(view, container)
    happened = last_warning(events)
    if happened and happened not in detail:
        detail = f"{detail} The cluster says: {happened}."
    return Gap(source, reason, detail, todo)


def _why(view: PodView, container: str) -> tuple[GapReason, str, str]:
    status, waiting = _obj(view.pod, "status"), _obj(_obj(view.status_of(container), "state"), "waiting")
    pod_reason, message = _text(status, "reason"), _said(status)
    if pod_reason in ("Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "Shutdown"):
        return GapReason.VANISHED, f"The pod was stopped by its node: {pod_reason}{message}.", _TODO["evict"]
    if waiting:
        return _why_waiting(view, container, waiting)
    if view.phase == "Failed":
        return (
            GapReason.VANISHED,
            f"The pod failed ({pod_reason or 'no reason given'}{message}), and left no log.",
            _TODO["gone"],
        )
    if "deletionTimestamp" in _obj(view.pod, "metadata"):
        return GapReason.VANISHED, "The pod is being deleted, and its container has no log any more.", _TODO["gone"]
    if container not in view.container_names():
        names = ", ".join(view.container_names()) or "none"
        return GapReason.NOT_FOUND, f"The pod has no container {container!r}; it has: {names}.", "Name one of these."
    return _why_pending(view)


def _why_waiting(view: PodView, container: str, waiting: Obj) -> tuple[GapReason, str, str]:
    reason, message = _text(waiting, "reason") or "no reason given", _said(waiting)
    if reason in _PULLING:
        image = plain_text(_text(view.status_of(container), "image")) or "its image"
        return GapReason.NOT_STARTED, f"The image {image} cannot be pulled: {reason}{message}.", _TODO["pull"]
    if reason in _CONFIGURING:
        return GapReason.NOT_STARTED, f"The container cannot be started: {reason}{message}.", _TODO["configure"]
    return GapReason.NOT_STARTED, f"The container has not started: {reason}{message}.", _TODO["wait"]


def _why_pending(view: PodView) -> tuple[GapReason, str, str]:
    for condition in _list(_obj(view.pod, "status"), "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = _text(condition, "reason") or "not scheduled"
            return GapReason.NOT_STARTED, f"No node has taken the pod: {reason}{_said(condition)}.", _TODO["schedule"]
    phase = plain_text(view.phase) or "in no known phase"
    return GapReason.NOT_STARTED, f"The pod is {phase}, and the container has not started.", _TODO["wait"]


def why_cut_short(run: Run, source: str, offset: int) -> Gap | None:
    """Say that a log that was read whole ends where its container was killed; None when it was not."""
    why, todo = plain_text(run.reason) or "SIGKILL", "See the pod's events, and whether somebody deleted it."
    if run.reason == "OOMKilled":
        why, todo = "OOMKilled: it used too much memory", _TODO["memory"]
    elif run.exit_code != _SIGKILLED:
        return None
    detail = f"The container was killed ({why}; exit code {run.exit_code}): what it had not yet written is missing."
    return Gap(source, GapReason.KILLED, detail, todo, offset=offset)


def last_warning(events: Iterable[Obj]) -> str:
    """Return the newest warning among events, as ``Reason: message``; "" when there is none."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return ""
    newest = max(warnings, key=lambda event: _text(event, "lastTimestamp") or _text(event, "eventTime"))
    return f"{plain_text(_text(newest, 'reason'))}{_said(newest)}"


def _said(obj: Obj) -> str:
    message = plain_text(_text(obj, "message")).rstrip(".")
    return f": {message}" if message else ""


def _obj(parent: Obj, key: str) -> Obj:
    found = parent.get(key)
    return found if isinstance(found, dict) else {}


def _list(parent: Obj, key: str) -> list[Obj]:
    found = parent.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(parent: Obj, key: str) -> str:
    found = parent.get(key)
    return found if isinstance(found, str) else ""
