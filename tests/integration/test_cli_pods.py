"""``logflume cat`` and ``tail`` on pods of a cluster, which a kubeconfig names."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from logflume.testing_kubernetes import PodServer
from tests.integration.command import COMMAND, environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Require

START_NS = 1_732_106_096_000_000_000


@pytest.fixture
def server(require: Require) -> Iterator[PodServer]:
    """Run an API server."""
    require("kubernetes")
    with PodServer() as running:
        yield running


@pytest.fixture
def config(server: PodServer, tmp_path: Path) -> str:
    """Give the kubeconfig that leads to it, under a context with every awkward character."""
    return server.write_kubeconfig(tmp_path / "kubeconfig", context="me@cluster/eu:1")


def test_a_pod_is_read_by_its_address(server: PodServer, config: str) -> None:
    """All containers of a pod come merged, or one, from the present context or a named one."""
    pod = server.add_pod("task", containers=["base", "sidecar"])
    pod.containers["sidecar"].log.write(b"second\n", START_NS + 1)
    pod.log.write(b"first\n", START_NS)
    done = run("cat", "k8s://default/task", KUBECONFIG=config)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[-1] for line in done.text.splitlines()] == ["first", "second"]
    one = run("cat", "k8s://me@cluster/eu:1@default/task/base", KUBECONFIG=config)
    assert one.text == "2024-11-20T12:34:56.000000000Z first\n"
    last = run("tail", "-n", "1", "k8s://default/task", KUBECONFIG=config)
    assert last.text.endswith("second\n")


def test_a_pod_is_followed(server: PodServer, config: str) -> None:
    """``tail -f`` shows what the pod writes, as it writes it, through a restart of the API server."""
    pod = server.add_pod("task")
    pod.log.write(b"before\n")
    words = [*COMMAND, "tail", "-f", "k8s://default/task"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(KUBECONFIG=config)
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline().endswith(b"before\n")
            pod.log.write(b"meanwhile\n")
            assert child.stdout.readline().endswith(b"meanwhile\n")
            server.stop()
            pod.log.write(b"while it was away\n")
            server.start()
            assert child.stdout.readline().endswith(b"while it was away\n")
        finally:
            child.terminate()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("k8s://default/no-such", "not-found: The cluster has no such pod"),
        ("k8s://default/task/no-such", "it has: base"),
        ("k8s://default", "k8s://[CONTEXT@]NAMESPACE/POD[/CONTAINER]"),
        ("k8s://other@default/task", "Expected object with name other"),
    ],
)
def test_what_is_wrong_is_said(server: PodServer, config: str, address: str, says: str) -> None:
    """A pod, container or context that is not there, and an address of another form, are said in a sentence."""
    server.add_pod("task")
    done = run("cat", address, KUBECONFIG=config)
    assert says in done.err
    assert "Traceback" not in done.err
    assert done.code == 2


def test_the_doctor_says_why_a_pod_has_no_log(server: PodServer, config: str) -> None:
    """``logflume doctor`` tells what the cluster says of each container, and what to do."""
    pod = server.add_pod("task", containers=["base", "sidecar"])
    pod.log.write(b"line\n")
    pod.containers["sidecar"].wait("ImagePullBackOff", "Back-off pulling image")
    done = run("doctor", "k8s://default/task", KUBECONFIG=config)
    assert "ok       default/task/base" in done.text
    assert "problem  default/task/sidecar: not-started: The image example/task:1 cannot be pulled" in done.text
    assert "pull secret" in done.text
    wrong = run("doctor", "k8s://default", KUBECONFIG=config)
    assert "a pod's address is k8s://" in wrong.text
