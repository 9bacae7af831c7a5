"""check_source over a pod-log server, read by the official Kubernetes client's connection pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logflume.sources.cluster import Cluster
from logflume.sources.podpump import Address
from logflume.sources.pods import PodSource
from logflume.testing import check_source, numbered_lines
from logflume.testing_kubernetes import PodServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Require

START_NS = 1_732_106_096_000_000_000
OPEN_LINE = b"2027-01-01T00:00:00.000000000Z "


@pytest.fixture
def server(require: Require) -> Iterator[PodServer]:
    """Run an API server."""
    require("kubernetes")
    with PodServer(token="secret") as running:  # noqa: S106 - of a test's own server
        yield running


class Place:
    """A pod's name, whose content the checks write anew."""

    def __init__(self, server: PodServer, folder: Path, content: bytes, *, follow: bool) -> None:
        self._server = server
        self._content = content
        self._follow = follow
        self._cluster = Cluster(config_file=server.write_kubeconfig(folder / "kubeconfig"))
        self.pod = server.add_pod("task")

    def make(self) -> PodSource:
        if self.pod.log.content() != self._content:
            self.replace(self._content)
        return PodSource(Address(self._cluster, "default", "task", "base"), follow=self._follow)

    def replace(self, data: bytes) -> None:
        self.pod = self._server.add_pod("task")
        self.pod.log.load(data)

    def append(self, data: bytes) -> None:
        self.pod.log.load(data)

    def make_failing(self) -> PodSource:
        return PodSource(Address(self._cluster, "default", "no-such-pod", "base"))


def stamped(server: PodServer, lines: int) -> bytes:
    """Return numbered lines as the cluster gives them: times a microsecond apart, over some seconds."""
    log = server.add_pod("stamping").log
    for number, line in enumerate(numbered_lines(lines).splitlines(keepends=True)):
        log.write(line, START_NS + number * 100_000)
    return log.content()


def test_a_container_is_a_source(server: PodServer, tmp_path: Path) -> None:
    """A container's log keeps the whole contract, read as it is now; a new pod of the name is not mixed with it."""
    place = Place(server, tmp_path, stamped(server, 30_000), follow=False)
    proven = check_source(place.make, content=place._content, replace=place.replace, make_failing=place.make_failing)
    assert "bytes that were replaced are not mixed with the new ones" in proven


def test_a_followed_container_is_a_source(server: PodServer, tmp_path: Path) -> None:
    """A container's log keeps the whole contract while it is followed, and what is written on comes."""
    content = stamped(server, 5_000) + OPEN_LINE
    place = Place(server, tmp_path, content, follow=True)
    proven = check_source(place.make, content=content, append=place.append)
    assert "what is appended comes, and nothing else" in proven
