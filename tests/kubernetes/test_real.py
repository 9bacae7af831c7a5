"""Pods' logs from a real kube-apiserver; and that ``logflume.testing_kubernetes`` answers as it does."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.config import incluster_config

from logflume import iter_merged
from logflume.errors import SourceFailed
from logflume.executors import PodSettings, pod_logs
from logflume.executors.pods import labels_of
from logflume.merge import How
from logflume.records import Gap, GapReason, Output
from logflume.sources.cluster import ApiBroken, ApiRefused, Cluster, path_of
from logflume.sources.pods import PodLog, PodReader, PodSource, find_pods
from logflume.testing_kubernetes import PodServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kubernetes.cluster import RealServer
    from tests.kubernetes.conftest import Place

PATIENCE_S = 60.0
STAMP_BYTES = len("2024-11-20T12:34:56.000000000Z ")


def read_all(reader: PodReader) -> bytes:
    """Read to the present end, and close."""
    with reader:
        return b"".join(iter(reader.read_block, b""))


def read_until(reader: PodReader, wanted: int) -> bytes:
    """Read until so many bytes have come."""
    read = b""
    give_up_s = time.monotonic() + PATIENCE_S
    while len(read) < wanted and time.monotonic() < give_up_s:
        read += (block := reader.read_block())
        if not block:
            threading.Event().wait(0.01)
    return read


def gap_of(source: PodSource) -> Gap:
    """Return why a source cannot be read."""
    with pytest.raises(SourceFailed) as failed, source.open() as reader:
        reader.read_block()
    return failed.value.gap


# the same words


def _waiting(reason: str) -> Callable[[Any], None]:
    return lambda pod: pod.first.wait(reason, "a message")


def _two_containers(pod: Any) -> None:  # noqa: ANN401 - a pod of either kind
    pod.log.write(b"one\ntwo\n")


def _ended(pod: Any) -> None:  # noqa: ANN401 - as above
    pod.log.write(b"one\ntwo\n")
    pod.first.end(137, "OOMKilled")


def _without_status(pod: Any) -> None:  # noqa: ANN401 - as above
    pod.evict("The node was low on resource: memory.")


REQUESTS: list[tuple[str, Callable[[Any], None], dict[str, str | int]]] = [
    ("log", _two_containers, {"container": "base"}),
    ("log", _two_containers, {"container": "base", "tailLines": 1}),
    ("log", _two_containers, {"container": "base", "tailLines": 0}),
    ("log", _two_containers, {"container": "base", "tailLines": -1}),
    ("log", _two_containers, {"container": "base", "tailLines": "many"}),
    ("log", _two_containers, {"container": "base", "limitBytes": 5}),
    ("log", _two_containers, {"container": "base", "limitBytes": 0}),
    ("log", _two_containers, {"container": "base", "sinceTime": "2024-01-01T00:00:00Z"}),
    ("log", _two_containers, {"container": "base", "sinceTime": "2099-01-01T00:00:00Z"}),
    ("log", _two_containers, {"container": "base", "sinceTime": "yesterday"}),
    ("log", _two_containers, {"container": "base", "sinceSeconds": 0}),
    ("log", _two_containers, {"container": "base", "sinceSeconds": 3, "sinceTime": "2024-01-01T00:00:00Z"}),
    ("log", _two_containers, {"container": "base", "previous": "true"}),
    ("log", _two_containers, {"container": "none"}),
    ("log", _two_containers, {}),
    ("log", _ended, {"container": "base"}),
    ("log", _waiting("ContainerCreating"), {"container": "base"}),
    ("log", _waiting("ErrImagePull"), {"container": "base"}),
    ("log", _waiting("ImagePullBackOff"), {"container": "base"}),
    ("log", _waiting("CreateContainerConfigError"), {"container": "base"}),
    ("log", _without_status, {"container": "base"}),
]


def answer_of(cluster: Cluster, path: str, query: dict[str, str | int]) -> object:
    """Return an answer's bytes, or its status and words."""
    try:
        with cluster.open_stream(path, list(query.items())) as stream:
            return stream.read_all(100_000)
    except ApiRefused as refused:
        return refused.status, refused.message


@pytest.mark.parametrize(("what", "make", "query"), REQUESTS)
def test_both_answer_in_the_same_words(
    place: Place, tmp_path: Path, what: str, make: Callable[[Any], None], query: dict[str, str | int]
) -> None:
    """Each request for a log has the same status, words and bytes from the real server and from the stand-in."""
    with PodServer() as stand_in:
        cluster = Cluster(config_file=stand_in.write_kubeconfig(tmp_path / "stand-in"))
        answers = []
        for server, at in ((place.server, place.cluster), (stand_in, cluster)):
            pod = server.add_pod("task", namespace=place.namespace, containers=("base", "side"), init_containers=("i",))
            make(pod)
            answers.append(answer_of(at, path_of("namespaces", place.namespace, "pods", "task", what), query))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("path", ["/api/v1/namespaces/{}/pods/gone", "/api/v1/namespaces/{}/pods/gone/log"])
def test_what_is_not_there_is_refused_alike(either: Place, path: str) -> None:
    """A pod that is gone has the real server's status and words."""
    assert answer_of(either.cluster, path.format(either.namespace), {}) == (404, 'pods "gone" not found')


@pytest.mark.parametrize(("verb", "resource"), [("get", "pods"), ("get", "pods/log"), ("list", "pods")])
def test_what_is_forbidden_is_told_with_what_to_add(either: Place, verb: str, resource: str) -> None:
    """RBAC's 403 names the verb and the resource, which is what the Role lacks."""
    either.add_pod().log.write(b"one\n")
    either.forbid(verb, resource)
    if verb == "list":
        with pytest.raises(SourceFailed) as failed:
            find_pods(either.cluster, either.namespace, {"a": "b"})
        gap = failed.value.gap
    else:
        gap = gap_of(either.source())
    assert gap.reason is GapReason.PERMISSION_DENIED
    assert f'Add the verb "{verb}" on "{resource}"' in gap.next_action


def test_a_token_that_is_not_accepted_is_told(either: Place, tmp_path: Path) -> None:
    """401 is credentials, not rights."""
    either.add_pod()
    config = json.loads(Path(either.kubeconfig).read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": "stale"}
    path = tmp_path / "stale"
    path.write_text(json.dumps(config), encoding="utf-8")
    either.kubeconfig = str(path)
    gap = gap_of(either.source())  # which begins by looking at the pod
    assert (gap.reason, gap.detail) == (
        GapReason.PERMISSION_DENIED,
        "The cluster does not accept our credentials: Unauthorized.",
    )


# what is read


def test_all_containers_of_a_pod_are_merged(either: Place) -> None:
    """Init containers, containers and former runs come in the order of the node's times."""
    pod = either.add_pod(containers=("base", "side"), init_containers=("init",))
    begin_ns = 1_732_106_096_000_000_000
    for number, name in enumerate(["init", "base", "side", "base", "side"]):
        pod.containers[name].log.write(f"{name} {number}\n".encode(), begin_ns + number)
    pod.first.restart()
    pod.first.log.write(b"base 5\n", begin_ns + 5)
    log = PodLog(either.cluster, either.namespace, "task", previous=True)
    with iter_merged(log.sources(), How(output=Output.TEXT)) as merged:
        lines = b"".join(merged).splitlines()
    assert [line[STAMP_BYTES:] for line in lines] == [b"init 0", b"base 1", b"side 2", b"base 3", b"side 4", b"base 5"]


@dataclass
class Task:
    """A task instance as far as its log is concerned."""

    dag_id: str = "größe"
    task_id: str = "load + transform"
    run_id: str = "manual__2024-11-20T12:34:56+00:00"
    map_index: int = 3
    hostname: str = "task"
    id: str = "0190-ti"
    executor_config: dict[str, Any] = field(default_factory=dict)


def test_the_pod_of_a_task_is_found_by_the_executors_labels(either: Place) -> None:
    """A real server takes the labels and the selector; the task instance's own pod is read, its last lines only."""
    labels = {key: value for key, value in labels_of(Task(), 2).items() if value}
    either.add_pod("other", labels={**labels, "airflow-worker": "7", "ti_id": "another"}).log.write(b"other\n")
    pod = either.add_pod(labels={**labels, "airflow-worker": "7", "ti_id": "0190-ti"})
    pod.log.write(b"one\ntwo\nthree\n")
    either.add_pod("operators-own", labels=labels).log.write(b"operator\n")
    found = pod_logs(either.cluster, PodSettings(either.namespace, tail_lines=2), Task(), 2)
    with iter_merged(found.sources, How(output=Output.TEXT)) as merged:
        assert b"".join(merged) == b"two\nthree\n"
    unmapped = pod_logs(either.cluster, PodSettings(either.namespace), Task(map_index=-1), 2)
    with iter_merged(unmapped.sources, How(output=Output.TEXT)) as merged:
        assert b"".join(merged) == b""
        assert "There is no pod of try 2" in merged.gaps[0].detail


def test_in_a_cluster_the_service_account_is_used(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pod, the address is in the environment, and the token and the certificates are mounted."""
    (tmp_path / "token").write_text(place.token)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", place.server.authority)
    host, port = place.server.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "there is none"))
    place.add_pod().log.write(b"one\n")
    found = PodLog(Cluster(), place.namespace, "task", stamps=False)
    with iter_merged(found.sources(), How(output=Output.TEXT)) as merged:
        assert b"".join(merged) == b"one\n"


def test_the_official_client_reads_the_same(place: Place) -> None:
    """What ``kubectl logs --timestamps`` would show is what a source gives, byte for byte."""
    pod = place.add_pod()
    pod.log.write(b"".join(b"line %d \xc3\xa9\n" % number for number in range(5000)))
    stock = place.server.client(place.kubeconfig).read_namespaced_pod_log(
        "task", place.namespace, container="base", timestamps=True, _preload_content=False
    )
    assert read_all(place.source().open()) == stock.data == pod.log.content()


def test_a_follow_outlives_a_restart_of_the_api_server(either: Place) -> None:
    """The API server is killed while a log is followed, and comes back: no line is missing, none comes twice."""
    pod = either.add_pod()
    pod.log.write(b"".join(b"before %d\n" % number for number in range(1000)))
    with either.source(follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        pod.log.write(b"followed\n")
        read += read_until(reader, pod.log.size() - len(read))
        either.server.stop()
        pod.log.write(b"meanwhile\n")
        either.server.start()
        pod.log.write(b"after\n")
        read += read_until(reader, pod.log.size() - len(read))
        assert read == pod.log.content()
        assert reader.gaps == []
        pod.first.end()
        while not reader.ended:
            assert reader.read_block() == b""


def test_a_follow_goes_over_a_rotation(either: Place) -> None:
    """Kubelet follows a log into its new file, and so do we; a break after that is mended within the new file."""
    pod = either.add_pod()
    pod.log.write(b"one\n")
    with either.source(follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        pod.log.write(b"and a half\n")
        read += read_until(reader, pod.log.size() - len(read))
        pod.log.rotate()
        pod.log.write(b"two\n")
        read += read_until(reader, pod.log.size() - len(read))
        either.server.stop()
        pod.log.write(b"three\n")
        either.server.start()
        read += read_until(reader, pod.log.size() - len(read))
        assert (read, reader.gaps) == (pod.log.content(), [])


def test_what_was_rotated_away_during_a_break_is_a_gap(either: Place) -> None:
    """When the API server was away while the node rotated the log, what may be missing is told."""
    pod = either.add_pod()
    pod.log.write(b"one\ntwo\n")
    with either.source(follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        either.server.stop()
        pod.log.write(b"never seen\n")
        pod.log.rotate()
        pod.log.write(b"three\n")
        either.server.start()
        assert read_until(reader, STAMP_BYTES + 6) == pod.log.content(since_file=True)
        assert [(gap.reason, gap.offset) for gap in reader.gaps] == [(GapReason.ROTATED_AWAY, len(read))]


def test_a_follow_goes_on_into_the_next_run(either: Place) -> None:
    """A container that is restarted while it is followed: the rest of its run, then the next one."""
    pod = either.add_pod(restart_policy="OnFailure")
    pod.log.write(b"one\n")
    with either.source(follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        first = pod.log
        first.write(b"two\n")
        pod.first.restart()
        pod.log.write(b"three\n")
        read += read_until(reader, first.size() + pod.log.size() - len(read))
        assert read == first.content() + pod.log.content()


def test_a_pod_that_is_deleted_while_it_is_followed(either: Place) -> None:
    """What it wrote stays; the end is told as one where lines may be missing, or as the pod's."""
    pod = either.add_pod()
    pod.log.write(b"one\n")
    with either.source(follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        either.server.delete_pod(pod)
        with pytest.raises(SourceFailed) as failed:
            read_until(reader, 1)
    assert read == pod.log.content()
    assert failed.value.gap.reason is GapReason.VANISHED


@pytest.mark.parametrize("lines", [1, 7, 100])
def test_polls_repeat_and_lose_nothing(either: Place, lines: int) -> None:
    """Positions open where they were named, where many lines have one time, and where only a tail was read."""
    pod = either.add_pod()
    position, seen, written = None, b"", 0
    for _ in range(4):
        for number in range(written, written + lines):
            pod.log.load(b"2024-11-20T12:34:56.%09dZ line %d\n" % (number // 10, number))
        written += lines
        reader = either.polled(tail_lines=5).open(position or 0)
        new = read_all(reader)
        seen += new
        position = reader.position(reader.start + len(new))
    first = max(0, lines - 5)
    assert seen == b"".join(b"line %d\n" % number for number in range(first, written))


def test_polls_over_rotation_and_restart(either: Place) -> None:
    """What was rotated away is told, and what is there then comes once; a former run leads to the next."""
    pod = either.add_pod(restart_policy="OnFailure")
    pod.log.write(b"one\n")
    reader = either.polled(tail_lines=5).open()
    position = reader.position(reader.start + len(read_all(reader)))
    pod.log.write(b"two\n")
    pod.first.restart()
    pod.log.write(b"three\n")
    reader = either.polled(tail_lines=5).open(position)
    new = read_all(reader)
    assert (new, reader.gaps) == (b"two\nthree\n", [])
    position = reader.position(reader.start + len(new))
    pod.log.rotate()
    pod.log.write(b"".join(b"line %d\n" % number for number in range(50)))
    reader = either.polled(tail_lines=5).open(position)
    assert read_all(reader) == b"".join(b"line %d\n" % number for number in range(50))
    assert [gap.reason for gap in reader.gaps] == [GapReason.ROTATED_AWAY]


def test_a_line_that_is_longer_than_kubelets_pieces_is_one(place: Place) -> None:
    """A runtime cuts lines at 16 KiB; kubelet's reader puts them together, and so the line's time comes once."""
    pod = place.add_pod()
    pod.log.write(b"x" * 100_000 + b"\n")
    run_id = pod.first.runs[-1][0]
    with (place.server.logs / f"{run_id}.log").open("ab") as file:
        file.writelines(
            [
                b"2099-11-20T12:34:56.000000000Z stdout P " + b"y" * 16384 + b"\n",
                b"2099-11-20T12:34:56.000000000Z stdout F z\n",
            ]
        )
    reader = place.polled().open()
    assert read_all(reader) == b"x" * 100_000 + b"\n" + b"y" * 16384 + b"z\n"


# why there is no log


def _image(place: Place, pod: Any) -> None:  # noqa: ANN401 - a pod of either kind
    pod.phase = "Pending"
    pod.first.wait("ImagePullBackOff", 'Back-off pulling image "nope:1"')


def _unschedulable(place: Place, pod: Any) -> None:  # noqa: ANN401 - as above
    pod.phase = "Pending"
    said = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}
    pod.conditions = [{"type": "PodScheduled", "status": "False", **said}]
    pod.first.state = {}
    _report(pod)


def _mounting(place: Place, pod: Any) -> None:  # noqa: ANN401 - as above
    pod.phase = "Pending"
    pod.first.wait("ContainerCreating")
    place.server.add_event(pod, "FailedMount", 'secret "aws" not found')
    place.server.add_event(pod, "Scheduled", "fine", kind="Normal")


def _evicted(place: Place, pod: Any) -> None:  # noqa: ANN401 - as above
    pod.evict("The node was low on resource: memory.")


def _deleted(place: Place, pod: Any) -> None:  # noqa: ANN401 - as above
    place.server.delete_pod(pod)


def _report(pod: Any) -> None:  # noqa: ANN401 - as above
    if not hasattr(pod, "report"):
        return
    pod.report()


@pytest.mark.parametrize(
    ("make", "reason", "says"),
    [
        (_image, GapReason.NOT_STARTED, "ImagePullBackOff: Back-off pulling image"),
        (_unschedulable, GapReason.NOT_STARTED, "Unschedulable: 0/3 nodes"),
        (_mounting, GapReason.NOT_STARTED, 'FailedMount: secret "aws" not found'),
        (_evicted, GapReason.VANISHED, "Evicted: The node was low on resource: memory"),
        (_deleted, GapReason.NOT_FOUND, 'pods "task" not found'),
    ],
)
def test_why_there_is_no_log(either: Place, make: Callable[[Place, Any], None], reason: GapReason, says: str) -> None:
    """The pod's status and events say why, in what a real server makes of them, too."""
    pod = either.add_pod()
    make(either, pod)
    gap = gap_of(either.source())
    assert gap.reason is reason
    assert says in gap.detail


def test_a_container_that_was_killed_is_read_and_told(either: Place) -> None:
    """OOMKilled is in the status of the container; its log is read, and ends with a gap."""
    pod = either.add_pod()
    pod.log.write(b"one\n")
    pod.first.end(137, "OOMKilled")
    reader = either.source().open()
    assert read_all(reader) == pod.log.content()
    assert [gap.reason for gap in reader.gaps] == [GapReason.KILLED]


def test_a_log_whose_file_is_gone_is_told(place: Place, real: RealServer) -> None:
    """A node without the file says so in the place of lines; that is no line of the log."""
    pod = place.add_pod()
    (real.logs / f"{pod.first.runs[-1][0]}.log").unlink()
    gap = gap_of(place.source())
    assert gap.reason is GapReason.VANISHED


def test_a_node_that_is_away_is_told(place: Place, real: RealServer) -> None:
    """The API server cannot reach the node: what it says is shown, with where to look."""
    place.add_pod()
    real.ask("PATCH", "/api/v1/nodes/node/status", {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}})
    try:
        with (
            pytest.raises((ApiRefused, ApiBroken)) as refused,
            place.cluster.open_stream(path_of("namespaces", place.namespace, "pods", "task", "log")),
        ):
            pass
        assert isinstance(refused.value, ApiRefused)
        assert "connection refused" in refused.value.message
        gap = gap_of(place.source())
        assert (gap.reason, "API server answered 5" in gap.detail) == (GapReason.UNREADABLE, True)
    finally:
        port = {"kubeletEndpoint": {"Port": real.node_port}}
        real.ask("PATCH", "/api/v1/nodes/node/status", {"status": {"daemonEndpoints": port}})
