"""The certificate of a server, read again when its files change: a renewed one needs no restart.

Holds: connections that are open keep what they have; new ones get a chain and a key that fit. Files that do not fit, as
       while they are being replaced, change nothing, and are told once.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

from logflume.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LOOK_EVERY_S = 1.0


class Certificate:
    """A chain and a key, of one event loop."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Look at them, and load nothing: whoever serves has.

        Raises:
            UsageError: they cannot be used.
        """
        self._chain = chain
        self._key = key
        self._looked_s = time.monotonic()
        self._seen = self._look()
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def renew(self, context: ssl.SSLContext) -> None:
        """Let new connections have what the files hold now, if that is something else; looks once a second.

        Raises:
            UsageError: they cannot be used; once, until they change again.
        """
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        seen, before = self._look(), self._seen
        if seen != before:
            self._seen = seen
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # half of a pair would spoil the one that is served
            self._load(context)

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_state(path) for path in (self._chain, self._key)]

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._chain, self._key, password="")  # nobody is there to be asked
        except OSError as error:  # of ssl, too
            raise UsageError(f"tls_cert and tls_key cannot be used: {error.strerror or error}") from None


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
