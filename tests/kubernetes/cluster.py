"""A real kube-apiserver on loopback, and a node whose containers are what a test says: ``testing_kubernetes`` for real.

Holds: two processes, ended with it; a folder of certificates, the store and log files.
Plan:  pods are made through the API. What a kubelet would report of their containers is patched into their status, and
their log files are written as a container runtime writes them; the node reads these with kubelet's own code. Methods
are called as those of ``logflume.testing_kubernetes``, so that one test can be run against both.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import ipaddress
import json
import os
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes import client, config
from kubernetes.client.rest import ApiException

from logflume.closing import Closing
from logflume.testing_kubernetes import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

READY_S = 90.0
ADMIN = "admin"
READER = "api-server"  # the service account that reads logs
RIGHTS = {("get", "pods"), ("list", "pods"), ("get", "pods/log"), ("list", "events")}
_PEM = serialization.Encoding.PEM


def free_ports(number: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self._write("authority", self._name, self._key, is_authority=True)

    def make(self, name: str, group: str = "") -> tuple[str, str]:
        """Make a certificate for somebody, or for loopback; return its path, and its key's."""
        parts = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
        if group:
            parts.append(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group))
        return self._write(name, x509.Name(parts), ec.generate_private_key(ec.SECP256R1()), is_authority=False)

    @property
    def path(self) -> str:
        """Where its own certificate is."""
        return str(self._folder / "authority.pem")

    def _write(
        self, name: str, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool
    ) -> tuple[str, str]:
        now = dt.datetime.now(dt.timezone.utc)
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(loopback, critical=False)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        paths = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        paths[0].write_bytes(made.public_bytes(_PEM))
        plain = serialization.NoEncryption()
        paths[1].write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain))
        return str(paths[0]), str(paths[1])


class Log:
    """What one run of a container has written: a file in the form of the container runtimes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = b""  # as it is given out, with times
        self._file_start = 0
        self._last_ns = 0
        path.touch()

    def write(self, data: bytes, ts_ns: int | None = None) -> None:
        """Append whole lines; each gets a time of its own, from ``ts_ns`` on."""
        at_ns = time.time_ns() if ts_ns is None else ts_ns
        given, kept = b"", b""
        for line in io.BytesIO(data):
            at_ns = max(at_ns, self._last_ns + 1) if ts_ns is None else at_ns
            given += stamp(at_ns) + b" " + line
            kept += stamp(at_ns) + b" stdout F " + line
            self._last_ns = at_ns
            at_ns += 1
        self._append(kept, given)

    def load(self, stamped: bytes) -> None:
        """Append lines that carry their times already."""
        self._append(b"".join(line[:31] + b"stdout F " + line[31:] for line in io.BytesIO(stamped)), stamped)

    def _append(self, kept: bytes, given: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(kept)
        self._content += given

    def rotate(self) -> None:
        """Go on in a new file, as kubelet and the runtime do it."""
        self._path.rename(self._path.with_suffix(f".log.{time.time_ns()}"))
        self._path.touch()
        self._file_start = len(self._content)

    def content(self, *, since_file: bool = False) -> bytes:
        """Return all that was written, with times."""
        return self._content[self._file_start if since_file else 0 :]

    def size(self) -> int:
        """Return how much has been written."""
        return len(self._content)


@dataclass
class Container:
    """One container of a pod; what happens to it is reported at once."""

    name: str
    pod: Pod
    state: dict[str, Any] = field(default_factory=dict)
    last_state: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    runs: list[tuple[str, Log]] = field(default_factory=list)

    def begin(self) -> None:
        """Run, with an empty log."""
        run_id = uuid.uuid4().hex
        self.runs.append((run_id, Log(self.pod.server.logs / f"{run_id}.log")))
        self.state = {"running": {"startedAt": "2024-11-20T12:34:56Z"}}

    @property
    def log(self) -> Log:
        """What the present run writes."""
        return self.runs[-1][1]

    def end(self, exit_code: int = 0, reason: str = "Completed") -> None:
        """End the present run."""
        self._end(exit_code, reason)
        self.pod.report()

    def _end(self, exit_code: int, reason: str) -> None:
        run_id = self.runs[-1][0]
        (self.pod.server.logs / f"{run_id}.ended").touch()
        ended = {"exitCode": exit_code, "reason": reason, "containerID": f"containerd://{run_id}"}
        self.state = {
            "terminated": {**ended, "startedAt": "2024-11-20T12:34:56Z", "finishedAt": "2024-11-20T12:35:56Z"}
        }

    def restart(self, exit_code: int = 1, reason: str = "Error") -> None:
        """End, and run anew with an empty log."""
        self._end(exit_code, reason)
        self.last_state = self.state
        self.restarts += 1
        self.begin()
        self.pod.report()

    def wait(self, reason: str, message: str = "") -> None:
        """Wait to start, for this reason."""
        self.runs.clear()
        self.state = {"waiting": {"reason": reason, "message": message}}
        self.pod.report()

    def status(self) -> dict[str, Any]:
        """Return what a kubelet says of it."""
        return {
            "name": self.name,
            "image": "example/task:1",
            "imageID": "example/task@sha256:0",
            "ready": "running" in self.state,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
            **({"containerID": f"containerd://{self.runs[-1][0]}"} if self.runs else {}),
        }


class Pod:
    """One pod; ``containers`` by name, the init ones first."""

    def __init__(
        self, server: RealServer, namespace: str, name: str, containers: Iterable[str], init_containers: Iterable[str]
    ) -> None:
        self.server = server
        self.namespace = namespace
        self.name = name
        self.uid = ""
        self.phase = "Running"
        self.reason = ""
        self.message = ""
        self.conditions: list[dict[str, str]] = []
        self.init = tuple(init_containers)
        self.containers = {each: Container(each, self) for each in (*self.init, *containers)}
        for each in self.containers.values():
            each.begin()

    @property
    def log(self) -> Log:
        """The log of the first container that is no init container."""
        return self.first.log

    @property
    def first(self) -> Container:
        """The first container that is no init container."""
        return next(each for name, each in self.containers.items() if name not in self.init)

    def evict(self, message: str) -> None:
        """Fail as a node does it that has no room."""
        self.phase, self.reason, self.message = "Failed", "Evicted", message
        for each in self.containers.values():
            each.runs.clear()
            each.state = {}
        self.report()

    def report(self) -> None:
        """Say to the API server what has become of it, as a kubelet does."""
        shown = {name: each.status() for name, each in self.containers.items() if each.state}
        status = {
            "phase": self.phase,
            "reason": self.reason or None,
            "message": self.message or None,
            "conditions": self.conditions,
            "initContainerStatuses": [status for name, status in shown.items() if name in self.init],
            "containerStatuses": [status for name, status in shown.items() if name not in self.init],
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
        self.server.ask("PATCH", path, {"status": status})


class RealServer(Closing):
    """The cluster; a context manager. Started once for all tests: each takes a namespace of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start it, and wait until it is ready."""
        self._program = program
        self._folder = folder
        self._api: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._authority = Authority(folder)
        self._certificates = {name: self._authority.make(name) for name in ("api", "node", "kubelet-client")}
        self._certificates[ADMIN] = self._authority.make(ADMIN, "system:masters")
        self._authority.make("accounts")  # whose key signs tokens
        self._port, self.node_port, *self._etcd_ports = free_ports(4)
        self.config = str(folder / "admin.json")
        self._write_config(Path(self.config), self._certificate_user())
        try:
            self.start()
            self._start_node()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def authority(self) -> str:
        """Where the certificate is that its own are checked with."""
        return self._authority.path

    # processes

    def start(self) -> None:
        """Come (back) on the same port, with all that was there."""
        etcd, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        certificate, key = self._certificates["api"]
        kubelet_certificate, kubelet_key = self._certificates["kubelet-client"]
        accounts = str(self._folder / "accounts.key")
        flags = {
            "etcd-servers": etcd,
            "bind-address": "127.0.0.1",
            "secure-port": self._port,
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "tls-cert-file": certificate,
            "tls-private-key-file": key,
            "client-ca-file": self._authority.path,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": accounts,
            "service-account-signing-key-file": accounts,
            "service-cluster-ip-range": "10.0.0.0/24",
            "authorization-mode": "RBAC",
            "kubelet-certificate-authority": self._authority.path,
            "kubelet-client-certificate": kubelet_certificate,
            "kubelet-client-key": kubelet_key,
            "kubelet-preferred-address-types": "InternalIP",
            "disable-admission-plugins": "ServiceAccount",  # nobody here makes a default one for each namespace
        }
        words = [self._program, "api", str(self._folder / "etcd"), etcd, peer]
        self._api = self._run("api", [*words, *(f"--{name}={value}" for name, value in flags.items())])
        self._wait_for(self._api, "api", self._is_ready)

    def stop(self) -> None:
        """Go away at once: connections break, new ones are refused."""
        if self._api is not None:
            self._api.kill()
            self._api.wait()
            self._api = None

    def _start_node(self) -> None:
        certificate, key = self._certificates["node"]
        address = f"127.0.0.1:{self.node_port}"
        words = [self._program, "node", address, certificate, key, self._authority.path, str(self.logs), self.config]
        self._node = self._run("node", words)
        node = {"metadata": {"name": "node"}}
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.node_port}},
        }
        self.ask("POST", "/api/v1/nodes", node)
        self.ask("PATCH", "/api/v1/nodes/node/status", {"status": status})
        self._wait_for(self._node, "node", self._node_listens)

    def _run(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.out").open("ab") as out:
            return subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, "GOMAXPROCS": "2"})

    def _wait_for(self, process: subprocess.Popen[bytes], name: str, is_there: Any) -> None:  # noqa: ANN401 - a call
        give_up_s = time.monotonic() + READY_S
        while not is_there():
            if process.poll() is not None or time.monotonic() > give_up_s:
                said = (self._folder / f"{name}.out").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"the {name} did not come:\n{said}")
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            self.ask("GET", "/readyz")
        except (ApiException, OSError, Exception):  # noqa: BLE001 - not yet, whatever it says
            return False
        return True

    def _node_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.node_port)) == 0

    def close(self) -> None:
        """End both processes."""
        self.stop()
        if self._node is not None:
            self._node.kill()
            self._node.wait()
            self._node = None

    # the API

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Ask as somebody who may do everything.

        Raises:
            ApiException: the API server says no.
        """
        api = config.new_client_from_config(self.config)
        try:
            kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
            answer = api.call_api(
                path,
                method,
                header_params={"Content-Type": kind, "Accept": "application/json, */*"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
            data = getattr(answer, "data", None) or answer[0].data
        finally:
            api.rest_client.pool_manager.clear()
        return json.loads(data) if data[:1] == b"{" else data

    def add_namespace(self, name: str, rights: Iterable[tuple[str, str]] = RIGHTS) -> str:
        """Make a namespace with a service account that has these rights; return its token."""
        base, rbac = f"/api/v1/namespaces/{name}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self.ask("POST", f"{base}/serviceaccounts", {"metadata": {"name": READER}})
        self.allow(name, rights)
        group = "rbac.authorization.k8s.io"
        binding = {
            "metadata": {"name": READER},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": READER},
            "subjects": [{"kind": "ServiceAccount", "name": READER, "namespace": name}],
        }
        self.ask("POST", f"{rbac}/rolebindings", binding)
        asked = {"spec": {"audiences": None, "expirationSeconds": 3600}}
        answer = self.ask("POST", f"{base}/serviceaccounts/{READER}/token", asked)
        return str(answer["status"]["token"])

    def allow(self, namespace: str, rights: Iterable[tuple[str, str]]) -> None:
        """Let the service account have exactly these rights (RBAC)."""
        rules = [{"apiGroups": [""], "resources": [resource], "verbs": [verb]} for verb, resource in sorted(rights)]
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"
        role = {"metadata": {"name": READER}, "rules": rules}
        try:
            self.ask("PUT", f"{path}/{READER}", role)
        except ApiException as error:
            if error.status != 404:
                raise
            self.ask("POST", path, role)

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
        """Make a running pod."""
        pod = Pod(self, namespace, name, containers, init_containers)
        spec = {
            "nodeName": "node",
            "restartPolicy": restart_policy,
            "initContainers": [{"name": each, "image": "example/task:1"} for each in pod.init],
            "containers": [
                {"name": each, "image": "example/task:1"} for each in pod.containers if each not in pod.init
            ],
        }
        body = {"metadata": {"name": name, "labels": dict(labels or {})}, "spec": spec}
        made = self.ask("POST", f"/api/v1/namespaces/{namespace}/pods", body)
        pod.uid = made["metadata"]["uid"]
        pod.report()
        return pod

    def delete_pod(self, pod: Pod) -> None:
        """Delete it, and its logs."""
        self.ask("DELETE", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", {"gracePeriodSeconds": 0})
        for container in pod.containers.values():
            for run_id, _ in container.runs:
                (self.logs / f"{run_id}.ended").touch()

    def add_event(self, pod: Pod, reason: str, message: str, *, kind: str = "Warning") -> None:
        """Let something have happened to a pod."""
        now = dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"kind": "Pod", "name": pod.name, "uid": pod.uid, "namespace": pod.namespace, "apiVersion": "v1"}
        event = {
            "metadata": {"name": f"{pod.name}.{uuid.uuid4().hex[:12]}"},
            "type": kind,
            "reason": reason,
            "message": message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "involvedObject": about,
        }
        self.ask("POST", f"/api/v1/namespaces/{pod.namespace}/events", event)

    # how it is reached

    def write_kubeconfig(self, path: Path, token: str | None = None) -> str:
        """Write a kubeconfig for whoever has this token, or for who may do everything; return its path."""
        self._write_config(path, self._certificate_user() if token is None else {"token": token})
        return str(path)

    def _certificate_user(self) -> dict[str, str]:
        certificate, key = self._certificates[ADMIN]
        return {"client-certificate": certificate, "client-key": key}

    def _write_config(self, path: Path, user: dict[str, str]) -> None:
        found = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": self._authority.path}}
            ],
            "users": [{"name": "reader", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "reader"}}],
        }
        path.write_text(json.dumps(found), encoding="utf-8")  # JSON is YAML

    def client(self, path: str) -> client.CoreV1Api:
        """Return the official client for a kubeconfig."""
        return client.CoreV1Api(config.new_client_from_config(path))
