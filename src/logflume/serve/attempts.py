"""Failed sign-ins of the last minute, by address.

Holds: of MAX_ADDRESSES at most it is known when they failed; those that failed longest ago are forgotten first. Tokens
       cannot be guessed (256 random bits); this keeps who tries from costing anything, and shows in the access log.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from logflume.serve.callers import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ADDRESSES = 4096
"""Whose failures are remembered."""

MAX_FAILURES = 10
"""Failures of one address within WITHIN_S; then it has to wait."""

WITHIN_S = 60.0

_NETWORK_BITS = 64  # of IPv6: what one host can choose its addresses from


class Attempts:
    """Counts failures. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failed)

    def check(self, address: str) -> None:
        """Let an address try.

        Raises:
            Refused: it has failed too often; with the seconds until it may try again.
        """
        times = self._failed.get(_host(address))
        if times is None or len(times) < MAX_FAILURES:
            return
        wait_s = times[0] + WITHIN_S - self._clock()
        if wait_s > 0:
            detail = f"Too many sign-ins from your address have failed. Try again in {int(wait_s) + 1} s."
            raise Refused(429, "too-many-failures", detail, {"Retry-After": str(int(wait_s) + 1)})

    def failed(self, address: str) -> None:
        """Remember a failure."""
        host = _host(address)
        times = self._failed.setdefault(host, deque(maxlen=MAX_FAILURES))
        times.append(self._clock())
        self._failed.move_to_end(host)
        if len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)


def _host(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:  # noqa: PLR2004 - of IP
        return str(ip)
    return str(ipaddress.ip_network((ip, _NETWORK_BITS), strict=False))
