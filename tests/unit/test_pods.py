"""Logs of pods: what is read, how a broken connection is mended, why there is no log."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from logflume import iter_merged
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason
from logflume.sources import podpump
from logflume.sources.cluster import Cluster
from logflume.sources.podplace import Place, Search, Trail, stamp_of
from logflume.sources.podpump import Address
from logflume.sources.pods import PodLog, PodReader, PodSource, WhenLost, find_pods
from logflume.testing import numbered_lines
from logflume.testing_kubernetes import Pod, PodServer, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from logflume.abc import Reader
    from tests.conftest import Require

SECOND = 1_000_000_000
START_NS = 1_732_106_096_000_000_000
PATIENCE_S = 30.0


@pytest.fixture
def server(require: Require) -> Iterator[PodServer]:
    """Run an API server."""
    require("kubernetes")
    with PodServer() as running:
        yield running


@pytest.fixture
def cluster(server: PodServer, tmp_path: Path) -> Cluster:
    """Give the way to it that a kubeconfig says."""
    return Cluster(config_file=server.write_kubeconfig(tmp_path / "kubeconfig"))


def source_of(cluster: Cluster, pod: Pod, *, follow: bool = False, previous: bool = False) -> PodSource:
    """Return the source of the pod's first container."""
    return PodSource(Address(cluster, pod.namespace, pod.name, pod.first.name, previous), follow=follow)


def read_all(reader: Reader) -> bytes:
    """Read to the end, or the present end."""
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


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s, "it did not come to pass"
        threading.Event().wait(0.01)


# what is read


def test_all_containers_of_a_pod_are_merged_by_the_time_of_the_cluster(server: PodServer, cluster: Cluster) -> None:
    """Init containers, containers and sidecars come in the order in which they wrote."""
    pod = server.add_pod("task", containers=["base", "sidecar"], init_containers=["init"])
    for number, name in enumerate(["init", "base", "sidecar", "base"]):
        pod.containers[name].log.write(b"%d %s\n" % (number, name.encode()), START_NS + number)
    log = PodLog(cluster, "default", "task")
    with iter_merged(log.sources()) as merged:
        lines = b"".join(merged).splitlines()
    assert [line.split()[-1][:-2] for line in lines] == [b"init", b"base", b"sidecar", b"base"]
    assert merged.gaps == []
    assert [source.name for source in log.sources()] == [
        "default/task/init",
        "default/task/base",
        "default/task/sidecar",
    ]


def test_containers_can_be_chosen(server: PodServer, cluster: Cluster) -> None:
    """Only the container asked for is read; one that the pod does not have is said with those it has."""
    server.add_pod("task", containers=["base", "sidecar"]).log.write(b"mine\n", START_NS)
    (source,) = PodLog(cluster, "default", "task", containers=["base"]).sources()
    with source.open() as reader:
        assert reader.read_block() == stamp(START_NS) + b" mine\n"
    (wrong,) = PodLog(cluster, "default", "task", containers=["bass"]).sources()
    with pytest.raises(SourceFailed, match="base, sidecar"):
        wrong.open()


def test_the_former_run_of_a_restarted_container_is_a_source_of_its_own(server: PodServer, cluster: Cluster) -> None:
    """With previous, what the container wrote before its restart is read, too."""
    pod = server.add_pod("task")
    pod.log.write(b"before\n", START_NS)
    pod.first.restart()
    pod.log.write(b"after\n", START_NS + SECOND)
    sources = PodLog(cluster, "default", "task", previous=True).sources()
    with iter_merged(sources) as merged:
        text = b"".join(merged)
    assert [source.name for source in sources] == ["default/task/base/previous", "default/task/base"]
    assert text.index(b"before") < text.index(b"after")


def test_the_number_of_last_lines_can_be_bounded(server: PodServer, cluster: Cluster) -> None:
    """tail_lines gives so many last lines, None gives all, and 0 is refused with a sentence."""
    server.add_pod("task").log.write(b"1\n2\n3\n", START_NS)
    (source,) = PodLog(cluster, "default", "task", tail_lines=2).sources()
    with source.open() as reader:
        assert [line[-2:] for line in read_all(reader).splitlines()] == [b" 2", b" 3"]
    with pytest.raises(UsageError, match="1 or more, or None for all"):
        PodLog(cluster, "default", "task", tail_lines=0)


@pytest.mark.parametrize("at", [100, 20_000])
def test_the_times_of_the_cluster_can_be_left_out(server: PodServer, cluster: Cluster, at: int) -> None:
    """Without stamps lines come as they were written, through breaks, and positions lead to the same bytes."""
    pod = server.add_pod("task")
    written = b"".join(b'{"timestamp":"2024-11-20T12:34:56Z","event":"%d"}\n\n' % number for number in range(1000))
    pod.log.write(written)
    pod.first.end()
    server.cut(at)
    (source,) = PodLog(cluster, "default", "task", stamps=False).sources()
    with source.open() as reader:
        assert read_all(reader) == written
        positions = [reader.position(offset) for offset in (1, 700, len(written) - 1)]
    for position in positions:
        with source.open(position) as reader:
            assert read_all(reader) == written[position.offset :]
    with source.open(77) as reader:
        assert read_all(reader) == written[77:]


def test_pods_are_found_by_labels(server: PodServer, cluster: Cluster) -> None:
    """A label with a value must have it, one without must be there."""
    server.add_pod("one", namespace="airflow", labels={"dag_id": "sales", "airflow-worker": "7"})
    server.add_pod("two", namespace="airflow", labels={"dag_id": "sales"})
    found = find_pods(cluster, "airflow", {"dag_id": "sales", "airflow-worker": None})
    assert [view.name for view in found] == ["one"]
    assert len(find_pods(cluster, "airflow", {"dag_id": "sales"})) == 2
    assert find_pods(cluster, "default", {"dag_id": "sales"}) == []


def test_one_kubeconfig_leads_to_several_clusters(server: PodServer, tmp_path: Path) -> None:
    """A context names the cluster; one that is not there is said."""
    with PodServer() as other:
        other.add_pod("task").log.write(b"of the other cluster\n")
        path = server.write_kubeconfig(tmp_path / "kubeconfig", others={"other": other.url})
        (source,) = PodLog(Cluster(config_file=path, context="other"), "default", "task").sources()
        with source.open() as reader:
            assert b"of the other cluster" in read_all(reader)
    with pytest.raises(UsageError, match="no-such"):
        find_pods(Cluster(config_file=path, context="no-such"), "default", {})


def test_without_any_configuration_it_is_said(tmp_path: Path, require: Require) -> None:
    """No kubeconfig and no service account is the caller's fault, and told so."""
    require("kubernetes")
    with pytest.raises(UsageError, match="no Kubernetes cluster is configured"):
        find_pods(Cluster(config_file=str(tmp_path / "none")), "default", {})


def test_a_client_that_is_there_can_be_used(server: PodServer, tmp_path: Path, require: Require) -> None:
    """An API object of the official client, set up by somebody else, leads to the cluster; it reads the same log."""
    require("kubernetes")
    from kubernetes import client, config

    server.add_pod("task").log.write(b"line\n", START_NS)
    configuration = client.Configuration()
    config.load_kube_config(server.write_kubeconfig(tmp_path / "kubeconfig"), client_configuration=configuration)
    api = client.CoreV1Api(client.ApiClient(configuration))
    (source,) = PodLog(Cluster.of_client(api), "default", "task").sources()
    with source.open() as reader:
        assert read_all(reader) == stamp(START_NS) + b" line\n"
    assert [pod.metadata.name for pod in api.list_namespaced_pod("default").items] == ["task"]
    stock = api.read_namespaced_pod_log("task", "default", timestamps=True, _preload_content=False)
    assert stock.data == stamp(START_NS) + b" line\n"


# connections that break

FAULTS: dict[str, Callable[[PodServer, int], None]] = {
    "cut": lambda server, at: server.cut(at),
    "closed early": lambda server, at: server.close_early(at),
    "refused for being busy": lambda server, at: server.refuse(429, retry_after_s=0),
    "an error of the server": lambda server, at: server.refuse(500),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", [100, 31 * 7 + 5, 20_000])
def test_a_follow_goes_on_after_a_break(server: PodServer, cluster: Cluster, fault: str, at: int) -> None:
    """However a connection breaks, and wherever in a line: each byte comes once, and no gap is told."""
    pod = server.add_pod("task")
    pod.log.write(b"".join(line + b"\n" for line in (b"", b"x", b"word " * 40)) * 300)
    for _ in range(3):
        FAULTS[fault](server, at)
    with source_of(cluster, pod, follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        pod.log.write(b"more\n")
        read += read_until(reader, pod.log.size() - len(read))
        assert read == pod.log.content()
        assert reader.gaps == []


def test_credentials_may_be_renewed_meanwhile(server: PodServer, cluster: Cluster) -> None:
    """One refusal of credentials is tried again: plugins and mounted tokens renew them."""
    pod = server.add_pod("task")
    pod.log.write(b"line\n")
    server.refuse(401)
    with source_of(cluster, pod).open() as reader:
        assert read_all(reader) == pod.log.content()


@pytest.mark.parametrize("at", [100, 50_000])
def test_a_log_that_ended_is_read_whole_through_breaks(server: PodServer, cluster: Cluster, at: int) -> None:
    """What does not follow goes on after a break, too."""
    pod = server.add_pod("task")
    pod.log.write(numbered_lines(3000))
    pod.first.end()
    server.cut(at)
    server.cut(at + 7)
    with source_of(cluster, pod).open() as reader:
        assert read_all(reader) == pod.log.content()
        assert reader.gaps == []


def test_lines_of_one_instant_come_as_often_as_they_are(server: PodServer, cluster: Cluster) -> None:
    """Equal lines with equal times at the place of a break are neither lost nor repeated."""
    pod = server.add_pod("task")
    for _ in range(50):
        pod.log.write(b"same\n", START_NS)
    pod.first.end()
    server.cut(10 * len(stamp(START_NS) + b" same\n") + 3)
    with source_of(cluster, pod).open() as reader:
        assert read_all(reader) == pod.log.content()


def test_a_follow_outlives_a_restart_of_the_api_server(server: PodServer, cluster: Cluster) -> None:
    """While the API server is away reading waits; when it is back, reading goes on without loss."""
    pod = server.add_pod("task")
    pod.log.write(b"before\n")
    with source_of(cluster, pod, follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        server.stop()
        pod.log.write(b"meanwhile\n")
        assert reader.read_block() == b""
        server.start()
        read += read_until(reader, pod.log.size() - len(read))
        assert read == pod.log.content()
        assert reader.gaps == []


def test_rotation_during_a_break_is_a_gap(server: PodServer, cluster: Cluster) -> None:
    """When the last line that was read is gone from the log, lines after it may be: a Gap lies at that very place."""
    pod = server.add_pod("task")
    pod.log.write(b"one\ntwo\n")
    with source_of(cluster, pod, follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        server.stop()
        pod.log.write(b"never seen\n")
        pod.log.rotate()
        pod.log.write(b"three\n")
        server.start()
        rest = read_until(reader, len(stamp(0)) + len(b" three\n"))
        assert rest == pod.log.content(since_file=True)
        (gap,) = reader.gaps
    assert (gap.reason, gap.offset) == (GapReason.ROTATED_AWAY, len(read))


def test_rotation_while_connected_loses_nothing(server: PodServer, cluster: Cluster) -> None:
    """A follow goes over a rotation, and is told of no gap; a break after it is mended within the new file."""
    pod = server.add_pod("task")
    pod.log.write(b"one\n")
    with source_of(cluster, pod, follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        wait_for(lambda: any(request.query.get("follow") == "true" for request in server.requests))
        pod.log.write(b"and a half\n")  # when it has come, the follow is under way
        read += read_until(reader, pod.log.size() - len(read))
        pod.log.rotate()
        pod.log.write(b"two\n")
        read += read_until(reader, pod.log.size() - len(read))
        server.stop()
        server.start()
        pod.log.write(b"three\n")
        read += read_until(reader, pod.log.size() - len(read))
        assert read == pod.log.content()
        assert reader.gaps == []


def test_a_silent_connection_is_opened_anew(
    server: PodServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection on which nothing comes any more does not hold reading up for ever."""
    monkeypatch.setattr(podpump, "SILENCE_S", 0.2)
    pod = server.add_pod("task")
    pod.log.write(numbered_lines(2000))
    pod.first.end()
    server.stall(30_000)
    with source_of(cluster, pod).open() as reader:
        assert read_all(reader) == pod.log.content()


def test_tries_are_bounded(server: PodServer, cluster: Cluster) -> None:
    """An API server that answers with errors only ends the reading with its words, after MAX_TRIES requests."""
    pod = server.add_pod("task")
    server.refuse(500, "etcd is away", times=1000)
    with source_of(cluster, pod).open() as reader, pytest.raises(SourceFailed, match="500: etcd is away"):
        reader.read_block()
    assert len([request for request in server.requests if request.path.endswith("/log")]) == podpump.MAX_TRIES


def test_close_ends_a_read_at_once(server: PodServer, cluster: Cluster) -> None:
    """A reader that waits in a stalled read is ended by close in another thread, and leaves no thread behind."""
    pod = server.add_pod("task")
    pod.log.write(b"one\n")
    server.stall(0)
    before = set(threading.enumerate())
    reader = source_of(cluster, pod).open()
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(UsageError, match="closed"):
            reader.read_block()
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    wait_for(lambda: any(request.path.endswith("/log") for request in server.requests))
    reader.close()
    assert ended.wait(PATIENCE_S)
    thread.join()
    wait_for(lambda: {each for each in threading.enumerate() if each.name.startswith("logflume-pod")} <= before)


def test_closing_a_merge_does_not_wait_for_a_stalled_pod(server: PodServer, cluster: Cluster) -> None:
    """A merge that is closed while a pod's log stalls ends, though the log does not."""
    pod = server.add_pod("task")
    pod.log.write(b"one\n")
    server.stall(0)
    merged = iter_merged([source_of(cluster, pod)])
    wait_for(lambda: any(request.path.endswith("/log") for request in server.requests))
    began_s = time.monotonic()
    merged.close()
    assert time.monotonic() - began_s < podpump.SILENCE_S


def certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate for loopback, and its key."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a cluster of a test")])
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return str(paths[0]), str(paths[1])


def test_all_of_it_works_by_tls(tmp_path: Path, require: Require) -> None:
    """As clusters are: certificates are checked, a follow goes on after a cut, close ends a stalled read at once."""
    require("kubernetes")
    with PodServer(token="secret", certificate=certificate(tmp_path)) as server:  # noqa: S106 - of a test's own
        path = server.write_kubeconfig(tmp_path / "kubeconfig")
        pod = server.add_pod("task")
        pod.log.write(numbered_lines(2000))
        server.cut(20_000)
        with source_of(Cluster(config_file=path), pod, follow=True).open() as reader:
            read = read_until(reader, pod.log.size())
            pod.log.write(b"more\n")
            read += read_until(reader, pod.log.size() - len(read))
            assert read == pod.log.content()
        server.stall(0)
        asked = len(server.requests)
        reader = source_of(Cluster(config_file=path), pod).open()

        def interrupt() -> None:
            wait_for(lambda: any(request.path.endswith("/log") for request in list(server.requests)[asked:]))
            reader.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(UsageError, match="closed"):
            reader.read_block()
        thread.join()
        reader.close()
        assert reader._thread is not None
        assert not reader._thread.is_alive()
        stranger = Cluster(config_file=path, ca_file=str(tmp_path / "key.pem"))
        with pytest.raises(SourceFailed, match="cannot be reached"):
            find_pods(stranger, "default", {})


def test_in_a_cluster_the_service_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Require
) -> None:
    """In a pod, the address is in the environment, and the token and the certificates are mounted."""
    require("kubernetes")
    from kubernetes.config import incluster_config

    with PodServer(token="mounted", certificate=certificate(tmp_path)) as server:  # noqa: S106 - of a test's own
        (tmp_path / "token").write_text("mounted")
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "certificate.pem"))
        host, port = server.url.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "there is none"))
        pod = server.add_pod("task")
        pod.log.write(b"one\n")
        for cluster in (Cluster(in_cluster=True), Cluster()):
            with source_of(cluster, pod).open() as reader:
                assert read_all(reader) == pod.log.content()


def test_outside_of_a_cluster_there_is_none_around_us(require: Require) -> None:
    """Who says that this runs in a pod, and is wrong, is told."""
    require("kubernetes")
    with pytest.raises(UsageError, match="no Kubernetes cluster is configured here"):
        find_pods(Cluster(in_cluster=True), "default", {})


# containers that run again


def test_a_follow_goes_on_into_the_next_run(server: PodServer, cluster: Cluster) -> None:
    """When a container is restarted, the rest of its former run is read, and then the next run."""
    pod = server.add_pod("task", restart_policy="Always")
    pod.log.write(b"first run\n")
    with source_of(cluster, pod, follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        server.stop()
        pod.log.write(b"its end\n")
        former = pod.log
        pod.first.restart()
        pod.log.write(b"second run\n")
        server.start()
        read += read_until(reader, former.size() + pod.log.size() - len(read))
        assert read == former.content() + pod.log.content()
        assert reader.gaps == []
        position = reader.position(former.size() + 40)
    with source_of(cluster, pod).open(position) as again:
        assert read_all(again) == (former.content() + pod.log.content())[former.size() + 40 :]


def test_a_follow_ends_with_a_container_that_does_not_run_again(server: PodServer, cluster: Cluster) -> None:
    """After the container's end all is read, and the reader says that it has ended."""
    pod = server.add_pod("task")
    pod.log.write(b"only run\n")
    with source_of(cluster, pod, follow=True).open() as reader:
        read = read_until(reader, pod.log.size())
        pod.log.write(b"last words")
        pod.first.end()
        read += read_until(reader, pod.log.size() - len(read))
        wait_for(lambda: reader.read_block() == b"" and reader.ended)
        assert read == pod.log.content()


def test_a_pod_that_is_deleted_under_a_follow_is_a_gap(server: PodServer, cluster: Cluster) -> None:
    """Nobody can say whether a deleted pod's last lines were read: that is told."""
    pod = server.add_pod("task")
    pod.log.write(b"line\n")
    with source_of(cluster, pod, follow=True).open() as reader:
        read_until(reader, pod.log.size())
        server.delete_pod(pod)
        with pytest.raises(SourceFailed) as failed:
            read_until(reader, 1)
    assert failed.value.gap.reason is GapReason.VANISHED


def test_a_position_resumes_by_time(server: PodServer, cluster: Cluster) -> None:
    """What is asked for again begins in the position's second, not at the log's start."""
    pod = server.add_pod("task")
    for number in range(3000):
        pod.log.write(b"line %d\n" % number, START_NS + number * SECOND // 10)
    with source_of(cluster, pod).open() as reader:
        read = read_all(reader)
        position = reader.position(len(read) - 10)
    with source_of(cluster, pod).open(position) as again:
        assert read_all(again) == read[-10:]
    assert "sinceTime" in server.requests[-1].query


def read_and_close(reader: PodReader) -> bytes:
    """Read to the present end, and close."""
    with reader:
        return read_all(reader)


def test_a_lost_position_can_be_gone_on_from(server: PodServer, cluster: Cluster) -> None:
    """Where that is wanted, what the present file or run has follows a gap; a former run's rest leads to the next."""
    pod = server.add_pod("task", restart_policy="Always")
    source = PodSource(Address(cluster, "default", "task", "base"), tail_lines=2, when_lost=WhenLost.GO_ON)
    pod.log.write(b"one\ntwo\nthree\n")
    reader = source.open()
    assert [line[31:] for line in read_and_close(reader).splitlines()] == [b"two", b"three"]
    position = reader.position(reader.start + 2 * 31 + 10)
    pod.log.write(b"four\n")
    pod.first.restart()
    pod.log.write(b"five\n")
    reader = source.open(position)
    assert [line[31:] for line in read_and_close(reader).splitlines()] == [b"four", b"five"]
    assert reader.gaps == []
    position = reader.position(reader.start + 31 + 5)
    assert read_and_close(source.open(position))[31:] == b"five\n"
    pod.log.rotate()
    pod.log.write(b"six\nseven\neight\n")
    position = source.open(position).position(reader.start + 31 + 5)  # nothing was read: it is still the same place
    reader = source.open(position)
    assert [line[31:] for line in read_and_close(reader).splitlines()] == [b"six", b"seven", b"eight"]
    assert [gap.reason for gap in reader.gaps] == [GapReason.ROTATED_AWAY]
    pod.first.restart()
    pod.first.restart()
    pod.log.write(b"nine\nten\neleven\n")
    reader = source.open(position)
    assert [line[31:] for line in read_and_close(reader).splitlines()] == [b"nine", b"ten", b"eleven"]
    assert [gap.reason for gap in reader.gaps] == [GapReason.REPLACED]


def test_a_tail_that_begins_among_lines_of_one_time_is_gone_on_from(server: PodServer, cluster: Cluster) -> None:
    """Where the last lines have the time of earlier ones, the place is known by the first of them."""
    pod = server.add_pod("task")
    pod.log.load(b"".join(b"2024-11-20T12:34:56.000000001Z line %d\n" % number for number in range(20)))
    source = PodSource(Address(cluster, "default", "task", "base"), tail_lines=3, stamps=False)
    reader = source.open()
    assert read_and_close(reader) == b"line 17\nline 18\nline 19\n"
    position = reader.position(reader.start + 24)
    pod.log.load(b"2024-11-20T12:34:56.000000001Z line 20\n2024-11-20T12:34:56.000000002Z line 21\n")
    assert read_and_close(source.open(position)) == b"line 20\nline 21\n"


def test_a_position_in_a_file_that_was_rotated_away_has_expired(server: PodServer, cluster: Cluster) -> None:
    """A position never opens at other bytes than those it named; one that was tampered with neither."""
    pod = server.add_pod("task")
    pod.log.write(b"one\ntwo\n", START_NS)
    with source_of(cluster, pod).open() as reader:
        position = reader.position(len(read_all(reader)) - 3)
    pod.log.rotate()
    pod.log.write(b"three\n", START_NS + SECOND)
    with pytest.raises(CursorExpired, match="rotated"):
        source_of(cluster, pod).open(position)
    for key in (position.identity.key[:-3], position.identity.key + "]", "x"):
        tampered = type(position)(type(position.identity)(key, "", 1), position.offset)
        with pytest.raises(CursorExpired):
            source_of(cluster, pod).open(tampered)


# why there is no log


def gap_of(source: PodSource) -> Gap:
    """Return why a source cannot be read."""
    with pytest.raises(SourceFailed) as failed, source.open() as reader:
        reader.read_block()
    return failed.value.gap


def _image(server: PodServer, pod: Pod) -> None:
    pod.phase = "Pending"
    pod.first.wait("ImagePullBackOff", 'Back-off pulling image "nope:1"')


def _unschedulable(server: PodServer, pod: Pod) -> None:
    pod.phase = "Pending"
    pod.first.state = {}
    said = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}
    pod.conditions = [{"type": "PodScheduled", "status": "False", **said}]


def _mounting(server: PodServer, pod: Pod) -> None:
    pod.phase = "Pending"
    pod.first.wait("ContainerCreating")
    server.add_event(pod, "FailedMount", 'secret "aws" not found')
    server.add_event(pod, "Scheduled", "fine", kind="Normal")


def _evicted(server: PodServer, pod: Pod) -> None:
    pod.evict("The node was low on resource: memory.")


def _deleted(server: PodServer, pod: Pod) -> None:
    server.delete_pod(pod)


def _forbidden(server: PodServer, pod: Pod) -> None:
    server.forbid("get", "pods/log")


def _forbidden_pod(server: PodServer, pod: Pod) -> None:
    server.forbid("get", "pods")


def _unauthorized(server: PodServer, pod: Pod) -> None:
    server.token = "another"  # noqa: S105 - of a test's own server


def _gone(server: PodServer, pod: Pod) -> None:
    server.refuse(410, "too old")


def _node_away(server: PodServer, pod: Pod) -> None:
    server.refuse(500, "Get https://node:10250: dial tcp: i/o timeout", times=1000)


def _collected(server: PodServer, pod: Pod) -> None:
    pod.log.load(b"unable to retrieve container logs for containerd://base-0")
    pod.first.end()


def _away(server: PodServer, pod: Pod) -> None:
    server.stop()


@pytest.mark.parametrize(
    ("make", "reason", "says", "advises"),
    [
        (_image, GapReason.NOT_STARTED, "ImagePullBackOff: Back-off pulling image", "pull secret"),
        (_unschedulable, GapReason.NOT_STARTED, "Unschedulable: 0/3 nodes", "node selector"),
        (_mounting, GapReason.NOT_STARTED, 'FailedMount: secret "aws" not found', "Wait"),
        (_evicted, GapReason.VANISHED, "Evicted: The node was low on resource: memory", "keep logs elsewhere"),
        (_deleted, GapReason.NOT_FOUND, 'pods "task" not found', "remote logging"),
        (_forbidden, GapReason.PERMISSION_DENIED, "forbidden", 'Add the verb "get" on "pods/log"'),
        (_forbidden_pod, GapReason.PERMISSION_DENIED, "forbidden", 'Add the verb "get" on "pods"'),
        (_unauthorized, GapReason.PERMISSION_DENIED, "credentials", "Renew"),
        (_gone, GapReason.EXPIRED, "too old", "copy"),
        (_node_away, GapReason.UNREADABLE, "500: Get https://node:10250", "API server"),
        (_collected, GapReason.VANISHED, "unable to retrieve container logs", "ended pods"),
        (_away, GapReason.UNREADABLE, "cannot be reached", "network"),
    ],
)
def test_why_there_is_no_log_is_told(
    server: PodServer,
    cluster: Cluster,
    make: Callable[[PodServer, Pod], None],
    *,
    reason: GapReason,
    says: str,
    advises: str,
) -> None:
    """Each way not to have a log has its reason, the cluster's own words, and what to do."""
    pod = server.add_pod("task")
    make(server, pod)
    gap = gap_of(source_of(cluster, pod))
    assert (gap.reason, gap.source) == (reason, "default/task/base")
    assert says in gap.detail
    assert advises in gap.next_action


def test_a_container_that_was_killed_is_read_and_told(server: PodServer, cluster: Cluster) -> None:
    """The log of a container that ran out of memory is shown whole, and a Gap at its end says why it ends."""
    pod = server.add_pod("task")
    pod.log.write(b"allocating\n")
    pod.first.end(137, "OOMKilled")
    with source_of(cluster, pod).open() as reader:
        assert read_all(reader) == pod.log.content()
        (gap,) = reader.gaps
    assert (gap.reason, gap.offset) == (GapReason.KILLED, pod.log.size())
    assert "memory limit" in gap.next_action


def test_a_pod_that_cannot_be_seen_is_a_source_that_says_so(server: PodServer, cluster: Cluster) -> None:
    """Asked for all containers of a pod that is not there, the log is one gap, and a merge goes on."""
    with iter_merged(PodLog(cluster, "default", "no-such").sources()) as merged:
        assert b"".join(merged) == b""
        assert [gap.reason for gap in merged.gaps] == [GapReason.NOT_FOUND]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"null", b'{"metadata":[],"status":7,"spec":{"containers":[3]}}'])
def test_hostile_answers_are_gaps(
    cluster: Cluster, server: PodServer, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API server that talks nonsense is no reason for anything but a Gap."""
    pod = server.add_pod("task")
    from logflume.sources.cluster import ApiStream

    monkeypatch.setattr(ApiStream, "read_all", lambda self, max_bytes: answer)
    gap = gap_of(source_of(cluster, pod))
    assert gap.reason in (GapReason.UNREADABLE, GapReason.NOT_FOUND)


def test_no_token_is_told(server: PodServer, tmp_path: Path) -> None:
    """What is told of a refusal has no credentials in it."""
    server.token = "very-secret"  # noqa: S105 - of a test's own server
    pod = server.add_pod("task")
    cluster = Cluster(config_file=server.write_kubeconfig(tmp_path / "kubeconfig"))
    server.token = "changed"  # noqa: S105 - as above
    assert "very-secret" not in str(gap_of(source_of(cluster, pod)))


def test_credentials_that_cannot_be_renewed_are_a_gap(server: PodServer, require: Require) -> None:
    """A plugin or mounted token that fails later is told as such, without what it said: that may hold a secret."""
    require("kubernetes")
    from kubernetes import client, config

    def renew(_: object) -> None:
        raise config.ConfigException("exec: very-secret")

    pod = server.add_pod("task")
    configuration = client.Configuration()
    configuration.host = server.url
    configuration.api_key = {"authorization": "Bearer old"}
    configuration.refresh_api_key_hook = renew
    gap = gap_of(source_of(Cluster.of_client(client.ApiClient(configuration)), pod))
    assert gap.reason is GapReason.UNREADABLE
    assert "cannot be renewed: ConfigException" in gap.detail
    assert "very-secret" not in str(gap)


# places


def lines_at(*times: int) -> list[bytes]:
    """Return a line for each time."""
    return [stamp(START_NS + at) + b" line %d\n" % number for number, at in enumerate(times)]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_place_is_found_again_however_blocks_are_cut(size: int) -> None:
    """For every place in a log, a search in it gives exactly what comes after the place."""
    data = b"".join(lines_at(0, 0, 1, 1, 1, 2, 3 * SECOND, 3 * SECOND)) + stamp(START_NS + 4 * SECOND) + b" open"
    for end in range(40, len(data)):
        trail, given = Trail(), 0
        while given < end:
            cut = trail.cut_at(data[given:end])
            if cut == 0:
                break
            trail.note(data[given : given + cut], given)
            given += cut
        place = trail.place
        if place is None:
            continue
        search = Search(place)
        rest = b"".join(search.feed(data[at : at + size]) for at in range(0, len(data), size))
        rest += search.feed(b"", at_end=True)
        assert search.found
        assert rest == data[given:], end


def test_a_place_that_is_gone_is_noticed() -> None:
    """When later lines come and the place's own line has not, it is gone, and no later line is kept back."""
    old, new = lines_at(0, 5)
    trail = Trail()
    trail.note(old, 0)
    place = trail.place
    assert place is not None
    search = Search(place)
    assert search.feed(new) == new
    assert search.found is False


def test_places_kept_of_a_log_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a log of any length a fixed number of places is kept, and each offset is still led to."""
    from logflume.sources import podplace

    monkeypatch.setattr(podplace, "MAX_CHECKPOINTS", 16)
    lines = lines_at(*range(1000))
    trail, given = Trail(), 0
    for line in lines:
        trail.note(line, given)
        given += len(line)
    assert len(trail._checkpoints) <= 16
    data = b"".join(lines)
    for offset in range(1, len(data), 997):
        found = trail.place_before(offset)
        assert found is not None
        place, after = found
        assert Search(place).feed(data)[after:] == data[offset:]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"2024-11-20T12:34:56.123456789Z text", b"2024-11-20T12:34:56.123456789Z"),
        (b"2024-11-20T12:34:56Z text", b"2024-11-20T12:34:56Z"),
        (b"2024-11-20T12:34:56.1+02:00 ", b"2024-11-20T12:34:56.1+02:00"),
        (b"2024-11-20T12:34:56.123456789Z", b""),
        (b"2024-11-20 12:34:56 text", b""),
        (b"", b""),
    ],
)
def test_times_of_lines(line: bytes, expected: bytes) -> None:
    """The cluster's time is recognised with any number of digits and any offset, and nothing else is."""
    assert stamp_of(line) == expected


def test_a_zone_is_minded_when_a_log_is_asked_for() -> None:
    """A node that writes times with an offset is asked for the right second, with the margin."""
    assert Place(b"2024-11-20T12:34:56.9+02:00").since == "2024-11-20T10:34:55Z"
