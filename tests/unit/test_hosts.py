"""Which hosts may be spoken to."""

from __future__ import annotations

import socket

import pytest

from logflume.errors import UsageError
from logflume.sources.hosts import AllowedHosts, HostRefused


@pytest.mark.parametrize(
    ("rules", "host", "allowed"),
    [
        ([], "127.0.0.1", True),
        ([], "10.1.2.3", True),
        ([], "192.168.7.8", True),
        ([], "[::1]", True),
        ([], "fd00::1", True),
        ([], "8.8.8.8", False),
        ([], "2001:4860:4860::8888", False),
        ([], "169.254.169.254", False),
        ([], "fe80::1", False),
        ([], "::ffff:8.8.8.8", False),
        ([], "::ffff:10.0.0.1", True),
        (["", " "], "127.0.0.1", True),
        (["203.0.113.0/24"], "203.0.113.9", True),
        (["203.0.113.0/24"], "10.1.2.3", False),
        (["203.0.113.9"], "203.0.113.9", True),
        (["169.254.0.0/16"], "169.254.169.254", True),
        (["localhost"], "localhost", True),
        (["LOCALHOST."], "localhost", True),
        (["local*"], "localhost", True),
        (["*.workers.svc"], "localhost", False),
    ],
)
def test_a_host_is_allowed_by_its_address_or_its_name(rules: list[str], host: str, allowed: bool) -> None:
    """Private addresses are, where nothing is said; else what is named is, and link-local ones only as a network."""
    hosts = AllowedHosts.of(rules)
    if allowed:
        assert hosts.addresses(host, 80)
    else:
        with pytest.raises(HostRefused, match="is not among those that may be asked"):
            hosts.addresses(host, 80)


def test_only_the_allowed_addresses_of_a_name_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to a private and to a public address leads to the private one only."""
    found = [(0, 0, 0, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1", "169.254.169.254", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert AllowedHosts.of([]).addresses("worker", 80) == ["10.0.0.1"]
    assert AllowedHosts.of(["worker"]).addresses("worker", 80) == ["8.8.8.8", "10.0.0.1"]


@pytest.mark.parametrize("host", ["no such name", "a" * 300, "-", "worker.invalid"])
def test_a_name_that_means_nothing_is_said(host: str) -> None:
    """A name that cannot be resolved is refused with the name."""
    with pytest.raises(HostRefused, match="cannot be resolved"):
        AllowedHosts.of([]).addresses(host, 80)


def test_a_rule_that_is_none_is_refused() -> None:
    """A slip in a network is told when the rules are read."""
    with pytest.raises(UsageError, match="is no network"):
        AllowedHosts.of(["10.0.0.0/99"])
