"""A Kubernetes API server for tests: pods, their logs and events over real HTTP, with all that can go wrong.

Holds: the standard library only; loopback only; what a test has written, in memory.
Plan:  ``PodServer`` answers the requests that readers of pod logs make (list, get, log, events) as an API server
does, with its words. A container's log is what ``write`` put there, each line stamped. Scripted faults (``refuse``,
``cut``, ``stall``, ``close_early``) meet the next requests they fit.

Not here: watches, writes, any other resource.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import select
import socket
import ssl
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from logflume.closing import Closing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping


_SECOND = 1_000_000_000
_STAMP_LENGTH = len("2024-11-20T12:34:56.000000000Z ")
_PIECE_BYTES = 64 * 1024
_NAP_S = 0.05
_KEPT_REQUESTS = 10_000

_LOG_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log")
_POD_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)")
_LIST_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/(pods|events)")


def stamp(ts_ns: int) -> bytes:
    """Write a time as kubelet does: nine digits, UTC."""
    whole, rest = divmod(ts_ns, _SECOND)
    return f"{datetime.fromtimestamp(whole, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z".encode()


class ContainerLog:
    """What one run of a container has written, with times. Any thread may write; followers see it at once.

    Memory: all that was written.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._lines = bytearray()  # "<stamp> <text>\n" …
        self.file_start = 0  # rotation: a reader that comes now begins here
        self.ended = False
        self.last_ns = 0

    def write(self, data: bytes, ts_ns: int | None = None) -> None:
        """Append whole lines; each gets a time of its own, from ``ts_ns`` on."""
        with self._changed:
            at_ns = time.time_ns() if ts_ns is None else ts_ns
            for line in io.BytesIO(data):  # at \n only
                at_ns = max(at_ns, self.last_ns + 1) if ts_ns is None else at_ns
                self._lines += stamp(at_ns) + b" " + line
                self.last_ns = at_ns
                at_ns += 1
            self._changed.notify_all()

    def load(self, stamped: bytes) -> None:
        """Append lines that carry their times already."""
        with self._changed:
            self._lines += stamped
            self._changed.notify_all()

    def rotate(self) -> None:
        """Go on in a new file: who follows reads on, who comes later does not see what was before."""
        with self._changed:
            self.file_start = len(self._lines)

    def content(self, *, since_file: bool = False) -> bytes:
        """Return all that was written, with times."""
        return bytes(self._lines[self.file_start if since_file else 0 :])

    def size(self) -> int:
        """Return how much has been written."""
        return len(self._lines)

    def piece(self, at: int, max_bytes: int) -> bytes:
        """Return bytes from an offset on."""
        return bytes(self._lines[at : at + max_bytes])

    def begin_of(self, since_ns: int | None, tail_lines: int | None) -> int:
        """Return where a request with these limits begins to read."""
        begin = self.file_start
        if tail_lines is not None:
            begin = self._tail(tail_lines)
        if since_ns is not None:
            text = stamp(since_ns)
            while begin < len(self._lines) and self._lines[begin : begin + len(text)] < text:
                begin = self._lines.find(b"\n", begin) + 1 or len(self._lines)
        return begin

    def _tail(self, lines: int) -> int:
        at = len(self._lines)
        for _ in range(lines):
            if at <= self.file_start:
                break
            at = self._lines.rfind(b"\n", self.file_start, at - 1) + 1 or self.file_start
        return max(at, self.file_start)


@dataclass
class Container:
    """One container of a pod: its runs, the last one being the one there is now."""

    name: str
    changed: threading.Condition
    state: dict[str, Any] = field(default_factory=lambda: {"running": {"startedAt": "2024-11-20T12:34:56Z"}})
    last_state: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    runs: list[ContainerLog] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runs.append(ContainerLog(self.changed))

    @property
    def log(self) -> ContainerLog:
        """What the present run writes."""
        return self.runs[-1]

    def id_of(self, run: int) -> str:
        """Return the runtime's id of a run."""
        return f"containerd://{self.name}-{run}"

    def end(self, exit_code: int = 0, reason: str = "Completed") -> None:
        """End the present run."""
        with self.changed:
            ended = {"exitCode": exit_code, "reason": reason, "containerID": self.id_of(self.restarts)}
            self.state = {"terminated": ended}
            self.log.ended = True
            self.changed.notify_all()

    def wait(self, reason: str, message: str = "") -> None:
        """Wait to start, for this reason."""
        with self.changed:
            self.state = {"waiting": {"reason": reason, "message": message}}

    def restart(self, exit_code: int = 1, reason: str = "Error") -> None:
        """End, and run anew with an empty log."""
        self.end(exit_code, reason)
        with self.changed:
            self.last_state = self.state
            self.state = {"running": {"startedAt": "2024-11-20T12:40:00Z"}}
            self.restarts += 1
            self.runs.append(ContainerLog(self.changed))
            self.changed.notify_all()

    def status(self) -> dict[str, Any]:
        """Return what the API server says of it."""
        begun = "waiting" not in self.state
        return {
            "name": self.name,
            "image": "example/task:1",
            "imageID": "example/task@sha256:0",
            "ready": "running" in self.state,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
            "containerID": self.id_of(self.restarts) if begun else "",
        }


class Pod:
    """One pod; ``containers`` by name, the init ones first."""

    def __init__(
        self,
        namespace: str,
        name: str,
        changed: threading.Condition,
        *,
        labels: Mapping[str, str],
        containers: Iterable[str],
        init_containers: Iterable[str],
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.labels = dict(labels)
        self.annotations: dict[str, str] = {}
        self.uid = str(uuid.uuid4())
        self.phase = "Running"
        self.reason = ""
        self.message = ""
        self.conditions: list[dict[str, str]] = []
        self.deleted_at: str | None = None
        self.restart_policy = "Never"
        self._init = tuple(init_containers)
        self._changed = changed
        self.containers = {each: Container(each, changed) for each in (*self._init, *containers)}

    @property
    def log(self) -> ContainerLog:
        """The log of the first container that is no init container."""
        return self.first.log

    @property
    def first(self) -> Container:
        """The first container that is no init container."""
        return next(each for name, each in self.containers.items() if name not in self._init)

    def evict(self, message: str) -> None:
        """Fail as a node does it that has no room: the containers are gone, and their logs with them."""
        with self._changed:
            self.phase, self.reason, self.message = "Failed", "Evicted", message
            for each in self.containers.values():
                each.state = {}
                each.log.ended = True
            self._changed.notify_all()

    def as_json(self) -> dict[str, Any]:
        """Return what the API server says of it."""
        statuses = {name: each.status() for name, each in self.containers.items() if each.state}
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": self.uid,
                "labels": self.labels,
                "annotations": self.annotations,
                **({"deletionTimestamp": self.deleted_at} if self.deleted_at else {}),
            },
            "spec": {
                "restartPolicy": self.restart_policy,
                "initContainers": [{"name": name} for name in self._init],
                "containers": [{"name": name} for name in self.containers if name not in self._init],
            },
            "status": {
                "phase": self.phase,
                "reason": self.reason,
                "message": self.message,
                "conditions": self.conditions,
                "initContainerStatuses": [status for name, status in statuses.items() if name in self._init],
                "containerStatuses": [status for name, status in statuses.items() if name not in self._init],
            },
        }


@dataclass(frozen=True)
class Request:
    """One request as it came: its path, and its parameters."""

    path: str
    query: dict[str, str]


@dataclass
class _Fault:
    kind: str  # "refuse" | "cut" | "stall" | "close"
    path_contains: str
    times: int
    at_bytes: int = 0
    status: int = 0
    message: str = ""
    retry_after_s: int | None = None


class PodServer(Closing):
    """The API server; a context manager. Its words and status codes are those of Kubernetes.

    Attributes:
        requests: the last ones, oldest first.
        token: the bearer token that is asked for; None: none is.
    """

    def __init__(self, *, token: str | None = None, certificate: tuple[str, str] | None = None) -> None:
        """Listen on a free port of loopback; with a certificate and its key (paths of PEM files) by TLS."""
        self.token = token
        self._certificate = certificate
        self.requests: deque[Request] = deque(maxlen=_KEPT_REQUESTS)
        self.changed = threading.Condition()
        self._pods: dict[tuple[str, str], Pod] = {}
        self._events: list[dict[str, Any]] = []
        self._faults: list[_Fault] = []
        self._forbidden: set[tuple[str, str]] = set()
        self._stalled = True
        self._number = 0
        self._http: _Http | None = None
        self._port = 0
        self.start()

    # what there is

    def add_pod(
        self,
        name: str,
        *,
        namespace: str = "default",
        labels: Mapping[str, str] | None = None,
        containers: Iterable[str] = ("base",),
        init_containers: Iterable[str] = (),
        restart_policy: str = "Never",
    ) -> Pod:
        """Make a running pod; one that has the name is replaced by it."""
        pod = Pod(
            namespace,
            name,
            self.changed,
            labels=labels or {},
            containers=containers,
            init_containers=init_containers,
        )
        pod.restart_policy = restart_policy
        with self.changed:
            self._pods[namespace, name] = pod
        return pod

    def delete_pod(self, pod: Pod) -> None:
        """Delete it, and its logs."""
        with self.changed:
            self._pods.pop((pod.namespace, pod.name), None)
            for container in pod.containers.values():
                container.log.ended = True
            self.changed.notify_all()

    def add_event(self, pod: Pod, reason: str, message: str, *, kind: str = "Warning") -> None:
        """Let something have happened to a pod."""
        self._events.append(
            {
                "metadata": {"name": f"{pod.name}.{len(self._events)}", "namespace": pod.namespace},
                "type": kind,
                "reason": reason,
                "message": message,
                "lastTimestamp": f"2024-11-20T12:{len(self._events) % 60:02d}:00Z",
                "involvedObject": {"kind": "Pod", "name": pod.name, "uid": pod.uid, "namespace": pod.namespace},
            }
        )

    # what goes wrong

    def refuse(
        self,
        status: int,
        message: str = "as scripted",
        *,
        path_contains: str = "/log",
        times: int = 1,
        retry_after_s: int | None = None,
    ) -> None:
        """Answer the next requests with this status."""
        fault = _Fault("refuse", path_contains, times, status=status, message=message, retry_after_s=retry_after_s)
        self._faults.append(fault)

    def forbid(self, verb: str, resource: str) -> None:
        """Let the caller not have this verb on this resource (``pods``, ``pods/log``, ``events``)."""
        self._forbidden.add((verb, resource))

    def cut(self, at_bytes: int, *, times: int = 1) -> None:
        """Break the connection of the next logs after so many bytes."""
        self._faults.append(_Fault("cut", "/log", times, at_bytes))

    def close_early(self, at_bytes: int, *, times: int = 1) -> None:
        """End the next logs after so many bytes as if that were all, as kubelet does under some rotations."""
        self._faults.append(_Fault("close", "/log", times, at_bytes))

    def stall(self, at_bytes: int, *, times: int = 1) -> None:
        """Send nothing after so many bytes of the next logs, until ``release``."""
        self._stalled = True
        self._faults.append(_Fault("stall", "/log", times, at_bytes))

    def release(self) -> None:
        """End all stalls."""
        with self.changed:
            self._stalled = False
            self.changed.notify_all()

    def stop(self) -> None:
        """Go away: connections break, new ones are refused."""
        http, self._http = self._http, None
        if http is not None:
            http.going = True
            with self.changed:
                self.changed.notify_all()
            http.shutdown()
            http.server_close()

    def start(self) -> None:
        """Come (back) on the same port."""
        self._http = _Http(("127.0.0.1", self._port), _Handler)
        self._http.kube = self
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(_NAP_S,), name="pod-server", daemon=True).start()

    # how it is reached

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{self._port}"

    def write_kubeconfig(
        self, path: str | os.PathLike[str], *, context: str = "test", others: Mapping[str, str] | None = None
    ) -> str:
        """Write a kubeconfig that leads here (and, by context, to the ``others``' URLs); return its path."""
        clusters = {context: self.url, **(others or {})}
        trust = {"certificate-authority": self._certificate[0]} if self._certificate else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": name, "cluster": {"server": url, **trust}} for name, url in clusters.items()],
            "users": [{"name": "reader", "user": {"token": self.token or "none"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "reader"}} for name in clusters],
        }
        Path(path).write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        return str(path)

    def close(self) -> None:
        """Stop, for good."""
        self.release()
        self.stop()

    # what the handler asks

    def take_fault(self, path: str) -> _Fault | None:
        """Return the fault that meets a request to this path."""
        with self.changed:
            for fault in self._faults:
                if fault.times > 0 and fault.path_contains in path:
                    fault.times -= 1
                    return fault
        return None

    def is_forbidden(self, verb: str, resource: str) -> bool:
        """Tell whether the caller may not."""
        return (verb, resource) in self._forbidden

    def find_pod(self, namespace: str, name: str) -> Pod | None:
        """Return the pod of that name."""
        return self._pods.get((namespace, name))

    def find_pods(self, namespace: str, selector: str) -> list[Pod]:
        """Return the pods that a label selector fits."""
        wanted = [part.partition("=") for part in selector.split(",") if part]
        return [
            pod
            for (of, _), pod in sorted(self._pods.items())
            if of == namespace and all(_fits(pod.labels, *each) for each in wanted)
        ]

    def find_events(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the events that a field selector fits."""
        wanted = dict(part.split("=", 1) for part in selector.split(",") if "=" in part)
        return [
            event
            for event in self._events
            if event["involvedObject"]["namespace"] == namespace
            and event["involvedObject"]["name"] == wanted.get("involvedObject.name", event["involvedObject"]["name"])
            and event["involvedObject"]["uid"] == wanted.get("involvedObject.uid", event["involvedObject"]["uid"])
        ]

    def wait_while_stalled(self, http: _Http, has_gone: Callable[[], bool]) -> None:
        """Wait until ``release``, or the end of the server or the client."""
        with self.changed:
            while self._stalled and not http.going and not has_gone():
                self.changed.wait(_NAP_S)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    kube: PodServer
    going = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what is tested."""


class _Refusal(Exception):
    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http
    _REASONS: ClassVar[dict[int, str]] = {
        400: "BadRequest",
        401: "Unauthorized",
        403: "Forbidden",
        404: "NotFound",
        410: "Expired",
        422: "Invalid",
        429: "TooManyRequests",
        500: "InternalError",
    }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        kube = self.server.kube
        kube.requests.append(Request(parts.path, query))
        fault = kube.take_fault(parts.path)
        try:
            self._admit(fault)
            self._route(parts.path, query, fault)
        except _Refusal as refusal:
            self._refuse(refusal)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _admit(self, fault: _Fault | None) -> None:
        token = self.server.kube.token
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if token is not None and (scheme.lower(), given) != ("bearer", token):
            raise _Refusal(401, "Unauthorized")
        if fault is not None and fault.kind == "refuse":
            raise _Refusal(fault.status, fault.message, fault.retry_after_s)

    def _route(self, path: str, query: dict[str, str], fault: _Fault | None) -> None:
        if found := _LOG_PATH.fullmatch(path):
            self._send_log(self._pod("pods/log", *found.groups()), query, fault)
        elif found := _POD_PATH.fullmatch(path):
            self._send(200, self._pod("pods", *found.groups()).as_json())
        elif found := _LIST_PATH.fullmatch(path):
            self._list(unquote(found[1]), found[2], query)
        else:
            raise _Refusal(404, "the server could not find the requested resource")

    def _pod(self, resource: str, namespace: str, name: str) -> Pod:
        namespace, name = unquote(namespace), unquote(name)
        self._allow("get", resource, namespace, name)
        pod = self.server.kube.find_pod(namespace, name)
        if pod is None:
            raise _Refusal(404, f'pods "{name}" not found')
        return pod

    def _allow(self, verb: str, resource: str, namespace: str, name: str = "") -> None:
        if self.server.kube.is_forbidden(verb, resource):
            what = f'{resource.partition("/")[0]} "{name}"' if name else resource
            user = 'User "system:serviceaccount:airflow:api-server"'
            cannot = f'cannot {verb} resource "{resource}" in API group "" in the namespace "{namespace}"'
            raise _Refusal(403, f"{what} is forbidden: {user} {cannot}")

    def _list(self, namespace: str, resource: str, query: dict[str, str]) -> None:
        self._allow("list", resource, namespace)
        kube = self.server.kube
        if resource == "pods":
            items = [pod.as_json() for pod in kube.find_pods(namespace, query.get("labelSelector", ""))]
        else:
            items = kube.find_events(namespace, query.get("fieldSelector", ""))
        kind = {"pods": "PodList", "events": "EventList"}[resource]
        self._send(
            200, {"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items[: int(query.get("limit", 500))]}
        )

    def _refuse(self, refusal: _Refusal) -> None:
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": refusal.message,
            "reason": self._REASONS.get(refusal.status, ""),
            "code": refusal.status,
        }
        more = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
        self._send(refusal.status, body, more)

    def _send(self, status: int, body: dict[str, Any], more: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self._begin(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, status: int) -> None:
        self.send_response(status)
        if self.close_connection:  # the client asked for that
            self.send_header("Connection", "close")

    # logs

    def _send_log(self, pod: Pod, query: dict[str, str], fault: _Fault | None) -> None:
        _check(pod.name, query)
        log = self._log_of(pod, query)
        self._begin(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left = fault.at_bytes if fault else None
        for piece in self._iter_log(log, query):
            shown = piece if left is None else piece[:left]
            if shown:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(shown), shown))
            if left is not None and fault is not None:
                left -= len(shown)
                if left <= 0 and self._meet(fault):
                    return
                left = left if left > 0 else None
                if left is None and (rest := piece[len(shown) :]):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(rest), rest))
        self.wfile.write(b"0\r\n\r\n")

    def _meet(self, fault: _Fault) -> bool:
        """Let a fault happen; whether it ends the answer."""
        self.wfile.flush()
        if fault.kind == "cut":
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(2)
            return True
        if fault.kind == "close":
            self.wfile.write(b"0\r\n\r\n")
            return True
        self.server.kube.wait_while_stalled(self.server, self._has_gone)
        return False

    def _has_gone(self) -> bool:
        """Whether the client has hung up."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        if isinstance(self.connection, ssl.SSLSocket):  # it cannot be peeked into; a client that reads sends nothing
            return True
        return not self.connection.recv(1, socket.MSG_PEEK)

    def _log_of(self, pod: Pod, query: dict[str, str]) -> ContainerLog:
        container = pod.containers.get(self._container_name(pod, query))
        if container is None:
            raise _Refusal(400, f"container {query['container']} is not valid for pod {pod.name}")
        if _is_true(query, "previous"):
            if container.restarts == 0:
                raise _Refusal(400, f'previous terminated container "{container.name}" in pod "{pod.name}" not found')
            return container.runs[-2]
        if not container.state:
            raise _Refusal(400, f'container "{container.name}" in pod "{pod.name}" is not available')
        waiting = container.state.get("waiting")
        if waiting and not container.last_state:
            reason = _WAITING.get(waiting["reason"], waiting["reason"])
            raise _Refusal(400, f'container "{container.name}" in pod "{pod.name}" is waiting to start: {reason}')
        return container.log

    def _container_name(self, pod: Pod, query: dict[str, str]) -> str:
        if "container" in query:
            return query["container"]
        if len(pod.as_json()["spec"]["containers"]) > 1:
            choice = " ".join(pod.containers)
            raise _Refusal(400, f"a container name must be specified for pod {pod.name}, choose one of: [{choice}]")
        return pod.first.name

    def _iter_log(self, log: ContainerLog, query: dict[str, str]) -> Iterator[bytes]:
        kube, http = self.server.kube, self.server
        tail = int(query["tailLines"]) if "tailLines" in query else None
        at = log.begin_of(_since_ns(query), tail)
        left = int(query["limitBytes"]) if "limitBytes" in query else None
        rest = b""
        while left is None or left > 0:
            if http.going:
                raise ConnectionAbortedError
            piece = log.piece(at, _PIECE_BYTES)
            if not piece:
                if not _is_true(query, "follow") or log.ended:
                    break
                with kube.changed:
                    if log.size() <= at and not log.ended:
                        kube.changed.wait(_NAP_S)
                if self._has_gone():
                    raise ConnectionAbortedError
                continue
            at += len(piece)
            if not _is_true(query, "timestamps"):
                rest += piece
                piece, rest = _without_stamps(rest)
            shown = piece if left is None else piece[:left]
            left = None if left is None else left - len(shown)
            yield shown
        if rest:
            yield rest[_STAMP_LENGTH:]


def _fits(labels: Mapping[str, str], key: str, equal: str, value: str) -> bool:
    """Tell whether labels have ``key``, ``key=value``, or do not have it (``!key``)."""
    if key.startswith("!"):
        return key[1:] not in labels
    return key in labels and (not equal or labels[key] == value)


def _is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in ("true", "True", "1", "t")


def _without_stamps(data: bytes) -> tuple[bytes, bytes]:
    """Return the whole lines without their times, and what is left."""
    whole, newline, rest = data.rpartition(b"\n")
    return b"".join(line[_STAMP_LENGTH:] for line in io.BytesIO(whole + newline)), rest


_LEAST = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
_LEAST_WORDS = ("must be greater than or equal to 0", "must be greater than 0")
_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def _check(pod: str, query: dict[str, str]) -> None:
    """Refuse parameters as a kube-apiserver does (1.36): what cannot be read, then what is too small, then both."""
    for name in _LEAST:
        if not re.fullmatch(r"-?\d+", query.get(name, "0")):
            raise _Refusal(400, f'strconv.ParseInt: parsing "{query[name]}": invalid syntax')
    if (since := query.get("sinceTime")) is not None:
        try:
            datetime.fromisoformat(re.sub(r"\.\d+", "", since.replace("Z", "+00:00")))
        except ValueError:
            like = '"2006-01-02T15:04:05Z07:00"'
            raise _Refusal(400, f'parsing time "{since}" as {like}: cannot parse "{since}" as "2006"') from None
    wrong = [
        f"{name}: Invalid value: {query[name]}: {_LEAST_WORDS[least]}"
        for name, least in _LEAST.items()
        if int(query.get(name, "1")) < least
    ]
    if since is not None and "sinceSeconds" in query:
        wrong.append("[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
    if wrong:
        told = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        raise _Refusal(422, f'PodLogOptions "{pod}" is invalid: {told}')


def _since_ns(query: dict[str, str]) -> int | None:
    """Return from when on lines are wanted: whole seconds, as API servers hand it on."""
    if "sinceSeconds" in query:
        return time.time_ns() - int(query["sinceSeconds"]) * _SECOND
    if "sinceTime" not in query:
        return None
    text = query["sinceTime"].replace("Z", "+00:00")
    return int(datetime.fromisoformat(re.sub(r"\.\d+", "", text)).timestamp()) * _SECOND
