"""Logs of executors: who is asked, what is never made, and what the contract gives."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from logflume import iter_merged
from logflume.abc import ExecutorLogs, Found
from logflume.executors import ExecutorName, LogAccess, PodSettings, Way, ask_executor, pod_logs, way_of
from logflume.executors.pods import labels_of, namespace_of, safe_label
from logflume.records import GapReason, Output
from logflume.sources.cluster import Cluster
from logflume.testing_kubernetes import Pod, PodServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Require

KUBERNETES = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"
LOCAL = "airflow.executors.local_executor.LocalExecutor"
CELERY = "airflow.providers.celery.executors.celery_executor.CeleryExecutor"
CELERY_KUBERNETES = "airflow.providers.celery.executors.celery_kubernetes_executor.CeleryKubernetesExecutor"
LOCAL_KUBERNETES = "airflow.providers.cncf.kubernetes.executors.local_kubernetes_executor.LocalKubernetesExecutor"


@dataclass
class Task:
    """A task instance as far as its log is concerned."""

    dag_id: str = "sales"
    task_id: str = "load"
    run_id: str = "manual__2024-11-20T12:34:56+00:00"
    map_index: int = -1
    queue: str = "default"
    executor: str | None = None
    hostname: str = "load-pod"
    id: str = "0190-ti"
    executor_config: dict[str, Any] = field(default_factory=dict)


def text_of(found: Found) -> bytes:
    """Read all its sources."""
    from logflume.merge import How

    with iter_merged(found.sources, How(output=Output.TEXT)) as merged:
        return b"".join(merged)


def no_conf(section: str, key: str, team: str | None) -> str | None:
    """Say nothing."""
    return None


# who is asked


@pytest.mark.parametrize(
    ("class_path", "way"),
    [
        (KUBERNETES, Way.POD),
        (LOCAL_KUBERNETES, Way.POD_OF_A_QUEUE),
        (CELERY_KUBERNETES, Way.POD_OF_A_QUEUE),
        (CELERY, Way.WORKER),
        (LOCAL, Way.WORKER),
    ],
)
def test_airflows_own_executors_are_known_by_name(class_path: str, way: Way) -> None:
    """How their logs are had is known without importing them: Airflow is not even installed here."""
    assert way_of(class_path) is way
    assert "airflow" not in sys.modules


def module_with(**classes: type) -> ModuleType:
    """Make a module that holds these classes under their own names."""
    module = ModuleType("executors_of_ours")
    for name, cls in classes.items():
        cls.__module__, cls.__qualname__ = "executors_of_ours", name
        setattr(module, name, cls)
    return module


class Base:
    """Stands for Airflow's BaseExecutor, whose method gives nothing."""

    def get_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[str]]:
        return [], []


Base.__module__, Base.__qualname__ = "airflow.executors.base_executor", "BaseExecutor"


class Pods(Base):
    """Stands for Airflow's KubernetesExecutor."""

    def __init__(self) -> None:
        raise AssertionError("it is never made")

    def get_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[str]]:
        raise AssertionError("it is never asked")


Pods.__module__, Pods.__qualname__ = KUBERNETES.rsplit(".", 1)


def test_an_executor_of_ones_own_is_known_by_its_ancestors(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only changes how pods are made is asked as its ancestor is; one that gives logs is asked itself."""
    quiet = type("Quiet", (Base,), {})
    tuned = type("Tuned", (Pods,), {"start": lambda self: None})
    own = type("Own", (Pods,), {"get_task_log": lambda self, ti, try_number: ([], [])})
    plain = type("Plain", (), {})
    monkeypatch.setitem(sys.modules, "executors_of_ours", module_with(Quiet=quiet, Tuned=tuned, Own=own, Plain=plain))
    ways = [way_of(f"executors_of_ours.{name}") for name in ("Quiet", "Tuned", "Own", "Plain")]
    assert ways == [Way.WORKER, Way.POD, Way.OWN, Way.WORKER]


NAMES = [
    ExecutorName(LOCAL, "LocalExecutor"),
    ExecutorName(KUBERNETES, "pods"),
    ExecutorName(CELERY, "CeleryExecutor", team="blue"),
    ExecutorName(KUBERNETES, team="blue"),
]


@pytest.mark.parametrize(
    ("wanted", "team", "expected"),
    [
        (None, None, 0),
        ("pods", None, 1),
        (KUBERNETES, None, 1),
        ("KubernetesExecutor", None, 1),
        (None, "blue", 2),
        (KUBERNETES, "blue", 3),
        ("pods", "blue", 1),
        (None, "red", 0),
        ("CeleryExecutor", None, None),
        ("nonsense", None, None),
    ],
)
def test_executors_are_found_by_class_alias_and_team(
    wanted: str | None, team: str | None, expected: int | None
) -> None:
    """Of several executors at once the one that the task asks for is taken, the team's before everybody's."""
    found = LogAccess(NAMES, no_conf).find(wanted, team)
    assert found is (None if expected is None else NAMES[expected])


def test_an_executor_that_is_not_configured_is_told() -> None:
    """A task that asks for an executor that is gone gets a sentence with those there are."""
    found = LogAccess(NAMES, no_conf).ask(Task(executor="gone"), 1)
    assert "'gone' is not configured here" in found.messages[0]
    assert "LocalExecutor, pods" in found.messages[0]


def test_workers_logs_are_somebody_elses() -> None:
    """For executors with a worker's log server there is nothing to say here, and nothing is said."""
    assert LogAccess(NAMES, no_conf).ask(Task(), 1) == Found()


# pods


@pytest.fixture
def server(require: Require) -> Iterator[PodServer]:
    """Run an API server."""
    require("kubernetes")
    with PodServer() as running:
        yield running


def conf_for(path: str, **more: str) -> Callable[..., str | None]:
    """Return a configuration that leads to a cluster."""
    said = {"namespace": "airflow", "in_cluster": "False", "config_file": path, **more}
    return lambda section, key, team=None: said.get(key) if section in ("kubernetes_executor", "logflume") else None


def add_pod(server: PodServer, task: Task, try_number: int = 1, name: str = "load-pod", **labels: str) -> Pod:
    """Make the pod of a try, as the executor does."""
    found = {key: value for key, value in labels_of(task, try_number).items() if value is not None}
    labels = {**found, "airflow-worker": "7", **labels}
    return server.add_pod(name, namespace="airflow", labels=labels, containers=["base", "istio-proxy"])


@pytest.mark.parametrize("executor", ["pods", KUBERNETES])
def test_the_pod_of_a_running_task_is_read(server: PodServer, tmp_path: Path, executor: str) -> None:
    """The pod is found by its labels, its container base is read, lines come as they were written."""
    task = Task(executor=executor)
    add_pod(server, task).log.write(b'{"timestamp":"2024-11-20T12:34:56Z","event":"one"}\nplain\n')
    add_pod(server, task, 2, "second-try").log.write(b"of another try\n")
    add_pod(server, Task(task_id="other"), 1, "other").log.write(b"of another task\n")
    add_pod(server, Task(map_index=3), 1, "mapped").log.write(b"of a mapped one\n")
    access = LogAccess(NAMES, conf_for(server.write_kubeconfig(tmp_path / "kubeconfig")))
    found = access.ask(task, 1)
    assert text_of(found) == b'{"timestamp":"2024-11-20T12:34:56Z","event":"one"}\nplain\n'
    assert found.messages == [
        "Attempting to fetch logs from pod load-pod through kube API",
        "Found logs through kube API: the last 100 lines of pod airflow/load-pod",
    ]
    assert text_of(access.ask(Task(executor=executor, map_index=3), 1)) == b"of a mapped one\n"


@pytest.mark.parametrize("class_path", [LOCAL_KUBERNETES, CELERY_KUBERNETES])
def test_an_executor_of_two_is_asked_by_the_tasks_queue(server: PodServer, tmp_path: Path, class_path: str) -> None:
    """Only tasks of the queue for pods have one; what the queue is called can be configured."""
    path = server.write_kubeconfig(tmp_path / "kubeconfig")
    add_pod(server, Task()).log.write(b"in a pod\n")
    conf = conf_for(path)
    access = LogAccess([ExecutorName(class_path)], conf)
    assert access.ask(Task(queue="default"), 1) == Found()
    assert text_of(access.ask(Task(queue="kubernetes"), 1)) == b"in a pod\n"
    section = "local_kubernetes_executor" if "Local" in class_path else "celery_kubernetes_executor"

    def renamed(asked: str, key: str, team: str | None) -> str | None:
        return "pods" if (asked, key) == (section, "kubernetes_queue") else conf(asked, key)

    assert text_of(LogAccess([ExecutorName(class_path)], renamed).ask(Task(queue="pods"), 1)) == b"in a pod\n"


def test_the_task_instances_own_pod_is_preferred(server: PodServer, tmp_path: Path) -> None:
    """Where the provider sets the task instance's id, a pod of a former one with equal labels is not taken."""
    cluster = Cluster(config_file=server.write_kubeconfig(tmp_path / "kubeconfig"))
    task, settings = Task(), PodSettings("airflow")
    add_pod(server, task, name="own", ti_id=task.id).log.write(b"own\n")
    add_pod(server, task, name="former", ti_id="another").log.write(b"former\n")
    assert text_of(pod_logs(cluster, settings, task, 1)) == b"own\n"
    server.delete_pod(server.find_pods("airflow", f"ti_id={task.id}")[0])
    (source,) = pod_logs(cluster, settings, task, 1).sources
    assert source.peek_identity() is None


@pytest.mark.parametrize("text", ["0", "-5", "many"])
def test_a_number_of_lines_below_one_is_refused(text: str) -> None:
    """What Airflow refuses is refused here, with a sentence that says what to set; nobody is asked."""
    settings = PodSettings.of_conf(lambda section, key: text if key == "running_pod_log_lines" else None)
    found = pod_logs(Cluster(config_file="/nowhere"), settings, Task(), 1)
    assert f"is '{text}'" in found.messages[-1]
    assert "1 or more, or [logflume] running_pod_log_lines = all" in found.messages[-1]
    assert found.sources == []


@pytest.mark.parametrize(("said", "lines"), [({}, 100), ({"kubernetes_executor": "2"}, 2), ({"logflume": "all"}, None)])
def test_how_many_lines_are_shown(server: PodServer, tmp_path: Path, said: dict[str, str], lines: int | None) -> None:
    """Airflow's own option is honoured, and no limit is a choice of ours."""
    settings = PodSettings.of_conf(lambda section, key: said.get(section) if key == "running_pod_log_lines" else None)
    add_pod(server, Task()).log.write(b"line\n" * 150)
    cluster = Cluster(config_file=server.write_kubeconfig(tmp_path / "kubeconfig"))
    found = pod_logs(cluster, PodSettings("airflow", settings.tail_lines), Task(), 1)
    assert text_of(found).count(b"\n") == (lines or 150)


def test_a_task_without_a_pod_is_told_why(server: PodServer, tmp_path: Path) -> None:
    """A pod that is gone is a gap that says what the cluster remembers of it, and other sources still show."""
    cluster = Cluster(config_file=server.write_kubeconfig(tmp_path / "kubeconfig"))
    pod = add_pod(server, Task())
    server.add_event(pod, "Evicted", "The node was low on resource: ephemeral-storage.")
    server.delete_pod(pod)
    found = pod_logs(cluster, PodSettings("airflow"), Task(), 1)
    with iter_merged(found.sources) as merged:
        list(merged)
        (gap,) = merged.gaps
    assert gap.reason is GapReason.NOT_FOUND
    assert "Evicted: The node was low on resource" in gap.detail
    assert "remote logging" in gap.next_action


def test_no_cluster_is_told() -> None:
    """A configuration that leads nowhere is a gap that names its options, not an error of the whole read."""
    found = pod_logs(Cluster(config_file="/no/such/file"), PodSettings(), Task(), 1)
    with iter_merged(found.sources) as merged:
        list(merged)
        (gap,) = merged.gaps
    assert "config_file" in gap.next_action


class Metadata:
    namespace = "of-the-task"


class Override:
    metadata = Metadata()


@pytest.mark.parametrize(
    ("config", "namespace"),
    [
        ({}, None),
        ({"pod_override": Override()}, "of-the-task"),
        ({"pod_override": {"metadata": {"namespace": "written"}}}, "written"),
        ({"pod_override": None}, None),
        ({"pod_override": {"metadata": {"namespace": ""}}}, None),
    ],
)
def test_a_task_may_name_its_namespace(config: dict[str, Any], namespace: str | None) -> None:
    """The pod_override's namespace is found in an object and in what it is serialised to."""
    assert namespace_of(Task(executor_config=config)) == namespace


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("load", "load"),
        ("a.b-c_d", "a.b-c_d"),
        ("manual__2024-11-20T12:34:56+00:00", "manual__2024-11-20T1234560000-cf7b5a315"),
        ("größe", "gre-fdbb3a562"),
        ("x" * 63, "x" * 63),
        ("x" * 64, "x" * 53 + "-c1bb4f81d"),
        ("", ""),
    ],
)
def test_labels_are_those_of_airflow(text: str, label: str) -> None:
    """Texts that no label can have become what Airflow's executor makes of them."""
    assert safe_label(text) == label


# the contract


class Legacy:
    """Has whole texts."""

    def get_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[str]]:
        return [f"try {try_number}"], ["one\ntwo", "three\n"]


class Streaming(Legacy):
    """Streams, and says so."""

    supports_streaming_logs = True
    asked = 0

    def get_streaming_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        self.asked += 1
        return ["streaming"], [iter(["one\n", "two"]), iter(["three"])]


class SilentlyStreaming(Legacy):
    """Has the method, and does not say so: as today's Kubernetes provider."""

    def get_streaming_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        return ["streaming"], [iter(["one\n", "two"]), iter(["three"])]


class NotYet(Legacy):
    """Advertises what is not implemented."""

    supports_streaming_logs = True

    def get_streaming_task_log(self, ti: object, try_number: int) -> NoReturn:
        raise NotImplementedError


class SaysNo(SilentlyStreaming):
    """Has the method, and says that it is not to be used."""

    supports_streaming_logs = False


class BaseThatStreams:
    """Stands for a BaseExecutor that has both, and gives nothing."""

    supports_streaming_logs = False

    def get_streaming_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        return [], []


BaseThatStreams.__module__ = "airflow.executors.base_executor"


class OnlyTexts(BaseThatStreams, Legacy):
    """Knows nothing of what its base class has."""


class StreamsOnly(BaseThatStreams):
    """Overrides the method, and knows nothing of what is said beside it."""

    get_streaming_task_log = SilentlyStreaming.get_streaming_task_log


class NoLogs:
    """Has neither."""

    def get_task_log(self, ti: object, try_number: int) -> NoReturn:
        raise NotImplementedError


class Nothing:
    """Answers with nothing."""

    def get_task_log(self, ti: object, try_number: int) -> None:
        return None


@pytest.mark.parametrize(
    ("executor", "messages"),
    [
        (Legacy(), ["try 2"]),
        (Streaming(), ["streaming"]),
        (SilentlyStreaming(), ["streaming"]),
        (NotYet(), ["try 2"]),
        (SaysNo(), ["try 2"]),
        (OnlyTexts(), ["try 2"]),
        (StreamsOnly(), ["streaming"]),
    ],
)
def test_streams_are_preferred_and_texts_still_work(executor: ExecutorLogs, messages: list[str]) -> None:
    """Streaming is taken when it is advertised or there, texts otherwise; the lines are the same."""
    found = ask_executor(executor, Task(), 2, name="ours")
    assert found.messages == messages
    assert sorted(text_of(found).splitlines()) == [b"one", b"three", b"two"]
    # Texts follow each other in one source; streams are one each.
    assert [source.name for source in found.sources] == ["ours", "ours 2"][: len(found.sources)]


@pytest.mark.parametrize("executor", [NoLogs(), Nothing(), object()])
def test_an_executor_without_logs_has_none(executor: object) -> None:
    """What raises NotImplementedError, answers nothing, or has no method, is no error."""
    assert ask_executor(executor, Task(), 1, name="ours") == Found()


def test_a_stream_that_is_opened_again_is_asked_for_again() -> None:
    """Streams can be read once; a source can be read as often as one likes."""
    executor = Streaming()
    found = ask_executor(executor, Task(), 1, name="ours")
    assert executor.asked == 1
    assert text_of(found) == text_of(found)
    assert executor.asked > 1


class Costly(Legacy):
    """Begins a process when it is made, as Kubernetes executors did; ends it in end()."""

    made = 0

    def __init__(self, team_name: str | None = None) -> None:
        type(self).made += 1
        self.team_name = team_name
        self._manager = multiprocessing.Manager()

    def end(self) -> None:
        self._manager.shutdown()


def test_an_executor_that_must_be_made_is_made_once_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked by many threads at once it is made once for the process, and closing ends what it has begun."""
    monkeypatch.setitem(sys.modules, "executors_of_ours", module_with(Costly=Costly))
    access = LogAccess([ExecutorName("executors_of_ours.Costly", "costly")], no_conf)
    before = set(multiprocessing.active_children())
    texts: list[bytes] = []
    threads = [threading.Thread(target=lambda: texts.append(text_of(access.ask(Task(), 1)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Costly.made == 1
    assert len(set(texts)) == 1
    assert len(texts) == 8
    assert len(set(multiprocessing.active_children()) - before) == 1
    access.close()
    access.close()
    assert set(multiprocessing.active_children()) == before


def test_a_teams_executor_is_made_for_the_team() -> None:
    """The team is given to the constructor, and each team has its own."""
    made: list[ExecutorName] = []

    def make(name: ExecutorName) -> object:
        made.append(name)
        return Legacy()

    sys.modules["executors_of_ours"] = module_with(
        Legacy=type("Legacy", (Legacy,), {"get_task_log": Legacy.get_task_log})
    )
    try:
        names = [ExecutorName("executors_of_ours.Legacy"), ExecutorName("executors_of_ours.Legacy", team="blue")]
        access = LogAccess(names, no_conf, make=make)
        for team in (None, "blue", "blue", None):
            access.ask(Task(), 1, team=team)
        access.close()
    finally:
        del sys.modules["executors_of_ours"]
    assert [name.team for name in made] == [None, "blue"]


def test_the_contract_can_be_asked_about() -> None:
    """An executor that gives logs is one that has the method, whoever its ancestors are."""
    assert isinstance(Legacy(), ExecutorLogs)
    assert not isinstance(object(), ExecutorLogs)
