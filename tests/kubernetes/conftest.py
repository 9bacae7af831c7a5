"""One real cluster for all tests here; each test has a namespace of its own in it."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from logflume.sources.cluster import Cluster
from logflume.sources.podpump import Address
from logflume.sources.pods import PodSource, WhenLost
from logflume.testing_kubernetes import PodServer
from tests.kubernetes.cluster import RIGHTS, RealServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Run a kube-apiserver and a node."""
    with RealServer(os.environ["LOGFLUME_KUBERNETES"], tmp_path_factory.mktemp("kubernetes")) as server:
        yield server


@dataclass
class Place:
    """A namespace, and who may read logs in it; in a real cluster, or in the one that stands for it in other tests."""

    server: Any
    namespace: str
    kubeconfig: str
    token: str

    @property
    def cluster(self) -> Cluster:
        """The way to it, as its kubeconfig says."""
        return Cluster(config_file=self.kubeconfig)

    def add_pod(self, name: str = "task", **more: Any) -> Any:  # noqa: ANN401 - of either kind
        """Make a running pod."""
        return self.server.add_pod(name, namespace=self.namespace, **more)

    def forbid(self, verb: str, resource: str) -> None:
        """Take this right from the reader."""
        if isinstance(self.server, RealServer):
            self.server.allow(self.namespace, RIGHTS - {(verb, resource)})
        else:
            self.server.forbid(verb, resource)

    def source(self, container: str = "base", *, pod: str = "task", previous: bool = False, **more: Any) -> PodSource:  # noqa: ANN401 - as PodSource takes it
        """Return the source of a container."""
        return PodSource(Address(self.cluster, self.namespace, pod, container, previous), **more)

    def polled(self, **more: Any) -> PodSource:  # noqa: ANN401 - as above
        """Return the source as Airflow's polls have it."""
        return self.source(stamps=False, when_lost=WhenLost.GO_ON, **more)


@pytest.fixture
def place(real: RealServer, tmp_path: Path) -> Place:
    """Give a new namespace in the real cluster, read with a service account's token."""
    namespace = f"airflow-{next(_numbers)}"
    token = real.add_namespace(namespace)
    return Place(real, namespace, real.write_kubeconfig(tmp_path / "kubeconfig", token), token)


@pytest.fixture(params=["real", "stand-in"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give a place in the real cluster, and then in what stands for it in other tests: both have to behave alike."""
    if request.param == "real":
        yield request.getfixturevalue("place")
        return
    with PodServer(token="secret") as server:  # noqa: S106 - of a test's own server
        yield Place(server, "airflow", server.write_kubeconfig(tmp_path / "stand-in"), "secret")
