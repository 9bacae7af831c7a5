"""Which hosts may be spoken to: told before a byte, and so before a token, leaves.

Holds: what is connected to is one of the very addresses that were looked at; a name that resolves to something else a
       moment later leads nowhere else. Of a name with several addresses, the forbidden ones are left out.
Plan:  a rule is a name (``worker-1``, ``*.workers.svc``) or a network (``10.0.0.0/8``). A host is allowed by its name,
       or by its address. Without rules, private networks and this machine are allowed, and nothing on the internet is.
       Link-local addresses, where clouds keep their credentials, are allowed by nothing but a network that names them.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ADDRESSES = 8
"""So many addresses of one name are tried."""

PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
"""What is allowed where nothing is said: this machine, and networks that are nobody's on the internet."""


class HostRefused(Exception):
    """A host that may not be spoken to, or that is not known; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Rules for hosts.

    Attributes:
        names: patterns of names, in lower case.
        networks: of addresses.
    """

    names: tuple[str, ...]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, rules: Iterable[str]) -> AllowedHosts:
        """Read rules; without any, PRIVATE.

        Raises:
            UsageError: one of them is neither a name nor a network.
        """
        names: list[str] = []
        networks: list[Network] = []
        for rule in [rule.strip() for rule in rules if rule.strip()] or PRIVATE:
            try:
                networks.append(ipaddress.ip_network(rule.strip("[]"), strict=False))
            except ValueError:
                if "/" in rule:
                    raise UsageError(f"{rule!r} is no network: expected 10.0.0.0/8, or a name like *.workers") from None
                names.append(rule.lower().rstrip("."))
        return cls(tuple(names), tuple(networks))

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to, in the order in which the system prefers them.

        Raises:
            HostRefused: there are none.
        """
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise HostRefused(f"the host name {host!r} cannot be resolved ({error})") from None
        known = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]
        by_name = any(fnmatchcase(host.lower().rstrip("."), pattern) for pattern in self.names)
        allowed = [address for address in known if self._allows(address, by_name=by_name)]
        if not allowed:
            raise HostRefused(f"the host {host!r} ({', '.join(known)}) is not among those that may be asked")
        return allowed

    def _allows(self, text: str, *, by_name: bool) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if any(address in network for network in self.networks if network.version == address.version):
            return True
        return by_name and not address.is_link_local
