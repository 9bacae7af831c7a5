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


def test_a_token_goes_on_in_the_pods_log(running: PodServer, logs: TaskLogs) -> None:
    """The handler shows the pod's lines, and a poll with its token shows what is new and nothing else."""
    task: dict[str, Any] = {
        **TASKS[0],
        "hostname": "pod",
        "id": "0190",
        "queue": "default",
        "executor": "pods",
        "executor_config": {},
    }
    labels = {key: value for key, value in labels_of(SimpleNamespace(**task), 1).items() if value}
    pod = running.add_pod("pod", namespace="airflow", labels={**labels, "airflow-worker": "7"})
    pod.log.write(b'{"event":"one"}\n{"event":"two"}\n')
    messages, token = logs.read(None, state="running", **task)
    assert [message["event"] for message in messages][-2:] == ["one", "two"]
    assert any("Found logs through kube API" in message["event"] for message in messages)
    messages, token = logs.read(token, state="running", **task)
    assert messages == []
    pod.log.write(b'{"event":"three"}\n')
    messages, token = logs.read(token, state="running", **task)
    assert [message["event"] for message in messages] == ["three"]
    running.delete_pod(pod)
    messages, token = logs.read(None, state="running", **task)
    assert any("There is no pod of try 1" in message["event"] for message in messages)


def test_reading_leaves_nothing_behind() -> None:
    """A hundred reads from eight threads leave processes, threads and files as they were, and import no executor."""
    driver = str(ROOT / "bench" / "drivers" / "executor_logs.py")
    words = [sys.executable, driver, "logflume", "100", "8", "50"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["lines"] == [8 * 50, 100 * 50]
    assert not found["executor_imported"]
    for what in ("processes", "threads", "files"):
        assert found["after"][what] == found["before"][what], found
