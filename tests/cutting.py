"""A TCP proxy that cuts: what stands between a client and a server on a bad day, for tests.

Holds: a connection is cut at a byte that luck names, by a reset or by a clean end; the clients and servers behind it
       learn nothing else. All threads end with it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

_RESET = struct.pack("ii", 1, 0)
_READ_BYTES = 65536


class Cutting:
    """Forwards connections, each only up to so many bytes of the answer; a context manager."""

    def __init__(self, port: int, seed: int, next_cut: Callable[[Random], int | None]) -> None:
        """Forward to a port; ``next_cut`` says after how many bytes each connection is cut, None: it is not."""
        self.upstream = port
        self.cuts = 0
        self._luck = Random(seed)
        self._next_cut = next_cut
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self.cut_all()
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join()
        self._listening.close()

    def cut_all(self) -> None:
        """Cut every connection there is now."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.add(client)
            thread = threading.Thread(target=self._serve, args=(client, self._next_cut(self._luck)))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, cut: int | None) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", self.upstream)) as server:
                self._open.add(server)
                asking = threading.Thread(target=_forward_and_end, args=(client, server))
                asking.start()
                was_cut = _forward(server, client, cut)
                self.cuts += was_cut
                if was_cut and self._luck.random() < 0.5:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                for each in (client, server):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
                asking.join()
                self._open -= {server}
        except OSError:  # the server is not there
            client.close()
        self._open -= {client}


def _forward_and_end(client: socket.socket, server: socket.socket) -> None:
    """Forward what is asked; when the client goes away, so does the connection to the server."""
    _forward(client, server, None)
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)


def _forward(source: socket.socket, target: socket.socket, most_bytes: int | None) -> bool:
    """Forward until one side ends, or so many bytes; tell whether these were too many."""
    left = most_bytes
    with contextlib.suppress(OSError):
        while data := source.recv(_READ_BYTES if left is None else min(_READ_BYTES, left + 1)):
            target.sendall(data if left is None else data[:left])
            if left is not None and len(data) > left:
                return True
            left = None if left is None else left - len(data)
    return False
