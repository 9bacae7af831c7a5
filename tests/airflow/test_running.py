"""Logs of running tasks beside Airflow's own Kubernetes provider: the same pods are found, nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from logflume.executors.pods import labels_of
from logflume.testing_kubernetes import PodServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.conftest import TaskLogs

ROOT = Path(__file__).parents[2]
TASKS = [
    {"dag_id": "sales", "task_id": "load", "run_id": "manual__2024-11-20T12:34:56+00:00", "map_index": -1},
    {"dag_id": "größe", "task_id": "group.task with / and +", "run_id": "x" * 80, "map_index": 7},
    {"dag_id": "-d-", "task_id": "_", "run_id": "~100% 'done' [ü] {0} & #1?", "map_index": 0},
]


@pytest.mark.parametrize("task", TASKS)
def test_pods_are_found_by_the_labels_that_the_provider_sets(task: dict[str, str | int]) -> None:
    """For names of every kind the labels are those of the provider's own code."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    stock = PodGenerator.build_labels_for_k8s_executor_pod(
        **task, try_number=2, airflow_worker=7, include_version=False
    )
    ours = {key: value for key, value in labels_of(SimpleNamespace(**task), 2).items() if not key.startswith("!")}
    assert {**ours, "airflow-worker": "7"} == stock
    mapped = task["map_index"] != -1
    assert ("!map_index" in labels_of(SimpleNamespace(**task), 2)) is not mapped


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodServer]:
    """Configure an executor whose pods are here."""
    from logflume.airflow import running as module

    with PodServer() as server:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor,pods:KubernetesExecutor")
        monkeypatch.setenv("AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER", "False")
        monkeypatch.setenv(
            "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE", server.write_kubeconfig(tmp_path / "kubeconfig")
        )
        monkeypatch.setenv("AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE", "airflow")
        monkeypatch.setattr("airflow.executors.executor_loader._executor_names", [])
        module._access.cache_clear()
        yield server
        module._access.cache_clear()


def test_airflows_configuration_says_who_runs_a_task(running: PodServer) -> None:
    """A task of one of several executors is asked for by its alias; others have nothing to say here."""
    from kubernetes.client import V1ObjectMeta, V1Pod

    from logflume.airflow.running import executor_logs

    task = SimpleNamespace(**TASKS[0], try_number=1, hostname="pod", id="0190", queue="default", executor="pods")
    task.executor_config = {"pod_override": V1Pod(metadata=V1ObjectMeta(namespace="of-the-task"))}
    labels = {key: value for key, value in labels_of(task, 1).items() if value}
    pod = running.add_pod("pod", namespace="of-the-task", labels={**labels, "airflow-worker": "7"})
    pod.log.write(b'{"event":"line"}\n')
    found = executor_logs(task, 1)
    with found.sources[0].open() as reader:
        assert reader.read_block() == b'{"event":"line"}\n'
    assert executor_logs(SimpleNamespace(executor=None), 1).messages == []
    assert "not configured" in executor_logs(SimpleNamespace(executor="gone"), 1).messages[0]


class PodTask:
    """A running task whose log is that of a pod, as a client of the JSON route sees it: by polls with a token."""

    def __init__(self, server: PodServer, logs: TaskLogs) -> None:
        self._logs = logs
        self._token: dict[str, Any] | None = None
        self.fields: dict[str, Any] = {
            **TASKS[0],
            "hostname": "pod",
            "id": "0190",
            "queue": "default",
            "executor": "pods",
            "executor_config": {},
        }
        labels = {key: value for key, value in labels_of(SimpleNamespace(**self.fields), 1).items() if value}
        self.pod = server.add_pod("pod", namespace="airflow", labels={**labels, "airflow-worker": "7"})

    def poll(self, *, anew: bool = False) -> list[str]:
        """Return the texts of what is new, without the group of the first answer."""
        messages, self._token = self._logs.read(None if anew else self._token, state="running", **self.fields)
        texts = [message["event"] for message in messages]
        return texts[texts.index("::endgroup::") + 1 :] if "::endgroup::" in texts else texts


def event(number: int) -> bytes:
    """Return a line of a task."""
    return b'{"event":"line %d"}\n' % number


def test_a_token_goes_on_in_the_pods_log(running: PodServer, logs: TaskLogs) -> None:
    """The handler shows the pod's lines, and a poll with its token shows what is new and nothing else."""
    task = PodTask(running, logs)
    task.pod.log.write(event(1) + event(2))
    assert task.poll() == ["line 1", "line 2"]
    assert task.poll() == []
    task.pod.log.write(event(3))
    assert task.poll() == ["line 3"]
    running.delete_pod(task.pod)
    messages, _ = logs.read(None, state="running", **task.fields)
    assert any("There is no pod of try 1" in message["event"] for message in messages)


@pytest.mark.parametrize("lines", [1, 7, 100])
@pytest.mark.parametrize("unlimited", [True, False])
def test_polls_of_a_pod_repeat_and_lose_nothing(
    running: PodServer, logs: TaskLogs, monkeypatch: pytest.MonkeyPatch, lines: int, unlimited: bool
) -> None:
    """However many lines come between two polls, all after the first answer's come once; equal times too."""
    if unlimited:
        monkeypatch.setenv("AIRFLOW__LOGFLUME__RUNNING_POD_LOG_LINES", "all")
    else:
        monkeypatch.setenv("AIRFLOW__KUBERNETES_EXECUTOR__RUNNING_POD_LOG_LINES", "5")
    task = PodTask(running, logs)
    stamp = b"2024-11-20T12:34:56.%09dZ "
    written = 0
    seen: list[str] = []
    for _ in range(4):
        for number in range(written, written + lines):
            task.pod.log.load(stamp % (number // 10) + event(number))  # ten lines have one time
        written += lines
        seen += task.poll()
    first = 0 if unlimited else max(0, lines - 5)
    assert seen == [f"line {number}" for number in range(first, written)]


def test_what_comes_while_an_answer_is_made_comes_with_the_next(
    running: PodServer, logs: TaskLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that are written between the token and the last message of its answer are in the next one."""
    monkeypatch.setenv("AIRFLOW__LOGFLUME__RUNNING_POD_LOG_LINES", "all")
    task = PodTask(running, logs)
    task.pod.log.write(b"".join(map(event, range(100_000))))  # 2 MB
    stream, token = logs.handler.read(logs.task("running", **task.fields), 1, metadata={})
    task.pod.log.write(event(100_000))
    texts = [message.event for message in stream]
    assert texts[texts.index("::endgroup::") + 1 :] == [f"line {number}" for number in range(100_000)]
    stream, _ = logs.handler.read(logs.task("running", **task.fields), 1, metadata=token)
    assert [message.event for message in stream] == ["line 100000"]


def test_a_pods_rotation_and_restart_between_polls(running: PodServer, logs: TaskLogs) -> None:
    """What was rotated away is told, and what is there then comes once; a restarted container's next run follows."""
    task = PodTask(running, logs)
    task.pod.restart_policy = "OnFailure"
    task.pod.log.write(event(1) + event(2))
    assert task.poll() == ["line 1", "line 2"]
    task.pod.log.write(event(3))
    task.pod.log.rotate()
    task.pod.log.write(b"".join(map(event, range(4, 304))))
    *lines, gap = task.poll()
    assert lines == [f"line {number}" for number in range(4, 304)]
    assert "may be missing: the log was rotated" in gap
    task.pod.log.write(event(304))
    task.pod.first.restart()
    task.pod.log.write(event(305))
    assert task.poll() == ["line 304", "line 305"]
    assert task.poll() == []


def test_a_log_that_takes_over_from_a_pod_is_told(running: PodServer, logs: TaskLogs) -> None:
    """When the try has ended the pod is not asked any more: what is there now is shown whole, and that is said."""
    task = PodTask(running, logs)
    task.pod.log.write(event(1) + event(2))
    messages, token = logs.read(None, state="running", **task.fields)
    logs.write("attempt=1.log", event(1) + event(2) + event(3))
    messages, token = logs.read(token, state="success", **task.fields)
    told, *texts = (message["event"] for message in messages)
    assert "is read from another place now" in told
    assert texts == ["line 1", "line 2", "line 3"]


class OneOfOurs:
    """An executor of one's own, which gives the last lines it has, or all."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.kept = 1_000_000
        self.asked = 0

    def get_streaming_task_log(self, ti: object, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        self.asked += 1
        return ["it is ours"], [iter(self.lines[-self.kept :])]


@pytest.mark.parametrize("kept", [20, 1_000_000])
@pytest.mark.parametrize("new", [0, 1, 19])
def test_polls_of_an_executors_stream_repeat_and_lose_nothing(
    logs: TaskLogs, monkeypatch: pytest.MonkeyPatch, kept: int, new: int
) -> None:
    """A stream that is given anew at each poll, whole or its last lines only, is gone on from its last line."""
    from logflume.airflow import running as module
    from logflume.executors import ask_executor

    executor = OneOfOurs()
    executor.kept = kept
    monkeypatch.setattr(module, "executor_logs", lambda ti, number: ask_executor(executor, ti, number, name="ours"))
    executor.lines = [f"line {number}" for number in range(100)]
    task: dict[str, Any] = {**TASKS[0], "state": "running"}
    messages, token = logs.read(None, **task)
    texts = [message["event"] for message in messages]
    assert texts[texts.index("::endgroup::") + 1 :] == executor.lines[-kept:]
    assert executor.asked == 1
    for _ in range(3):
        more = [f"line {len(executor.lines) + number}" for number in range(new)]
        executor.lines += more
        messages, token = logs.read(token, **task)
        assert [message["event"] for message in messages] == more
    executor.lines = [f"other {number}" for number in range(30)]
    messages, token = logs.read(token, **task)
    told, *texts = (message["event"] for message in messages)
    assert "ours was cut or replaced since the last look" in told
    assert texts == executor.lines[-kept:]


@pytest.mark.parametrize("provider", [None, "provider-10.13"])
def test_reading_leaves_nothing_behind(provider: str | None) -> None:
    """A hundred reads from eight threads leave all as it was, and import no executor, the leaking one neither."""
    driver = str(ROOT / "bench" / "drivers" / "executor_logs.py")
    words = [sys.executable, driver, "logflume", "100", "8", "50"]
    if provider is not None:
        words.append(str(Path(sys.prefix) / provider))
        assert Path(words[-1]).is_dir(), "make airflow"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["lines"] == [8 * 50, 100 * 50]
    assert not found["executor_imported"]
    for what in ("processes", "threads", "files"):
        assert found["after"][what] == found["before"][what], found


def test_the_older_provider_is_the_one_that_leaks() -> None:
    """What is shown to leave nothing behind is shown beside that which does: Airflow's own way starts a process."""
    driver = str(ROOT / "bench" / "drivers" / "executor_logs.py")
    words = [sys.executable, driver, "stock", "8", "8", "50", str(Path(sys.prefix) / "provider-10.13")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["provider"] == "10.13.0"
    assert found["processes_left"] >= 1
