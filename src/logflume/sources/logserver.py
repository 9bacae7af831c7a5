"""A log that another machine serves over HTTP: a worker's or a triggerer's log server of Airflow 3, or any like it.

Holds: no token leaves before the host is allowed, and none follows a redirect. What arrives is read a piece at a time,
       with or without Content-Length, plain or gzipped. A connection that breaks is resumed where it broke.
Plan:  one request gives a reader its bytes; at their end, another one asks for what has come since (Range). A server
       that does not know ranges sends all, and what was read before is passed over. The log is known again by its
       first bytes, for such servers' etags change with each line.
Loss:  none that is not a Gap, or a SourceFailed with the reason and what to do.
"""

from __future__ import annotations

import hashlib
import zlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position
from logflume.sources.hosts import HostRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logflume.sources.hosts import AllowedHosts

FINGERPRINT_BYTES = 1024
MAX_RESUMES = 3
"""A connection that breaks without having brought a byte is tried so often again."""

PIECE_BYTES = 64 * 1024
"""What is unpacked at once; httpx takes as much from the connection."""

_PARTIAL, _NOT_SATISFIABLE = 206, 416


@dataclass(frozen=True, slots=True)
class Served:
    """Where a log is served, and how to ask for it.

    Attributes:
        host: name or address of the machine.
        port: of its log server.
        path: of the log there, percent-encoded, beginning with ``/``.
        token: makes what goes into ``Authorization``, for each request anew.
        hosts: which may be asked at all.
        connect_s: how long to wait for a connection.
        read_s: how long to wait for each next piece.
    """

    host: str
    port: int
    path: str
    token: Callable[[], str]
    hosts: AllowedHosts
    connect_s: float = 5.0
    read_s: float = 5.0

    @property
    def url(self) -> str:
        """The address, as it is shown."""
        return f"http://{_bracketed(self.host)}:{self.port}{self.path}"


class LogServerSource:
    """One log of a log server.

    Order:  as written there. Loss: see the module. Memory: one piece and one block.
    """

    def __init__(self, served: Served, *, name: str | None = None) -> None:
        """Ask for nothing yet."""
        self._served = served
        self._name = name or served.url

    @property
    def name(self) -> str:
        """What people call it: its address."""
        return self._name

    @property
    def seekable(self) -> bool:
        """True: a range costs the same wherever it begins."""
        return True

    def open(self, start: int | Position = 0) -> LogServerReader:
        """Open at an offset, or at a position.

        Raises:
            SourceFailed: the host is not allowed, does not answer, or refuses; the gap says why and what to do.
            CursorExpired: the log begins otherwise by now, or has become shorter.
        """
        if isinstance(start, int) and start < 0:
            raise UsageError(f"an offset is 0 or more, not {start}")
        reader = LogServerReader(self._served, self._name, 0 if isinstance(start, Position) else start)
        try:
            if isinstance(start, Position):
                reader.go_to(start)
            else:
                reader.begin()
        except BaseException:
            reader.close()
            raise
        return reader

    def peek_size(self) -> int | None:
        """Ask how long it is; None when it does not say."""
        try:
            with LogServerReader(self._served, self._name, 0) as reader:
                return reader.ask_size()
        except SourceFailed:
            return None

    def peek_identity(self) -> Identity | None:
        """Ask for its first bytes; None when there are none."""
        try:
            with LogServerReader(self._served, self._name, 0) as reader:
                first = reader.ask_first(FINGERPRINT_BYTES)
        except SourceFailed:
            return None
        return _identity(self._name, first) if first else None


class LogServerReader(Closing):
    """Reads a LogServerSource, and asks again at its end; see ``logflume.abc.Reader``."""

    def __init__(self, served: Served, name: str, start: int) -> None:
        self.start = start
        self.gaps: list[Gap] = []
        self._served = served
        self._name = name
        self._offset = start
        self._first: bytes | None = None
        self._client: httpx.Client | None = None
        self._body: _Body | None = None
        self._rest = b""
        self._failures = 0
        self._closed = False

    # opening

    def begin(self) -> None:
        """Ask for the bytes from ``start`` on."""
        self._ask()

    def go_to(self, position: Position) -> None:
        """Make sure that the log still is that of a position, and ask for the bytes from there on.

        Raises:
            CursorExpired: it is not.
        """
        identity = position.identity
        if not 0 <= identity.fingerprint_bytes <= FINGERPRINT_BYTES or position.offset < 0:
            raise UsageError(f"an offset is 0 or more, a fingerprint covers up to {FINGERPRINT_BYTES} bytes")
        first = self.ask_first(max(1, identity.fingerprint_bytes))[: identity.fingerprint_bytes]
        if _identity(self._name, first).fingerprint != identity.fingerprint:
            raise CursorExpired(f"{self._name}: the log of this position was replaced or removed")
        self.start = self._offset = position.offset
        self._ask()
        if self._body is None and self._size is not None and self._size < position.offset:
            raise CursorExpired(f"{self._name}: the log of this position has become shorter")

    def ask_size(self) -> int | None:
        """Return the size that the server tells."""
        with closing(self._answer("HEAD", {})) as answer:
            if "content-encoding" in answer.headers or "content-length" not in answer.headers:
                return None
            return int(answer.headers["content-length"])

    def ask_first(self, n_bytes: int) -> bytes:
        """Return the first bytes, fewer if there are no more."""
        with closing(self._answer("GET", {"Range": f"bytes=0-{n_bytes - 1}"})) as answer:
            if answer.status_code == _NOT_SATISFIABLE:
                return b""
            first = b""
            for piece in _Body(answer).pieces():
                first += piece
                if len(first) >= n_bytes:
                    break
            return first[:n_bytes]

    # reading

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; ``b""`` when there is nothing more at this moment.

        Raises:
            SourceFailed: the server refuses, or breaks off again and again.
        """
        if self._closed:
            raise UsageError("read after close")
        if max_bytes < 1:
            raise UsageError(f"max_bytes is 1 or more, not {max_bytes}")
        if not self._rest:
            self._rest = self._next_piece()
        block, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        self._offset += len(block)
        return block

    def _next_piece(self) -> bytes:
        """Return what comes next on the connection, or on a new one; ``b""`` at the present end."""
        asked = False
        while True:
            if self._body is None:
                if asked:
                    return b""
                self._ask()
                asked = True
                if self._body is None:
                    return b""
            try:
                piece = self._body.next()
            except _Broken as broken:
                self._end_body()
                self._failures += 1
                if self._failures > MAX_RESUMES:
                    raise self._failed(GapReason.UNREADABLE, f"breaks off: {broken}") from None
                asked = False
                continue
            if piece:
                self._failures = 0
                return piece
            self._end_body()
            asked = True  # it has come to its end just now

    def position(self, offset: int) -> Position:
        """Name the linear ``offset``."""
        if not self.start <= offset <= self._offset:
            raise UsageError(f"{offset} is not between {self.start} and {self._offset}, what was read")
        if self._first is None or len(self._first) < min(FINGERPRINT_BYTES, offset):
            self._first = self.ask_first(FINGERPRINT_BYTES)
        return Position(_identity(self._name, self._first), offset)

    def close(self) -> None:
        """Let go of the connection."""
        self._closed = True
        self._end_body()
        if self._client is not None:
            self._client.close()
            self._client = None

    # asking

    def _ask(self) -> None:
        """Ask for all from here on; no body if there is nothing."""
        self._end_body()
        self._size: int | None = None
        headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
        answer = self._answer("GET", headers)
        if answer.status_code == _NOT_SATISFIABLE:
            self._size = _told_size(answer)
            answer.close()
            self._note_cut()
            return
        passed = 0 if answer.status_code == _PARTIAL else self._offset
        self._body = _Body(answer, skip=passed)

    def _note_cut(self) -> None:
        """Say that the log is shorter than what was read of it, and go on at its start."""
        if self._size is None or self._size >= self._offset or self._offset == self.start:
            return
        lost = "It was cut or replaced on the machine that serves it."
        next_action = "Read again from the start; rotate by renaming rather than by truncating."
        raise SourceFailed(Gap(self._name, GapReason.TRUNCATED, lost, next_action, offset=self._offset))

    def _end_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _answer(self, method: str, headers: dict[str, str]) -> httpx.Response:
        """Return an answer that is one, its body not read; close it.

        Raises:
            SourceFailed: there is none, or a refusal.
        """
        answer = self._send(method, headers)
        if answer.status_code in (200, _PARTIAL, _NOT_SATISFIABLE):
            return answer
        answer.close()
        raise self._refusal(answer)

    def _send(self, method: str, headers: dict[str, str]) -> httpx.Response:
        served = self._served
        try:
            addresses = served.hosts.addresses(served.host, served.port)
        except HostRefused as refused:
            raise self._failed(GapReason.PERMISSION_DENIED, f"{refused}", _ALLOW) from None
        if self._client is None:
            timeout = httpx.Timeout(served.read_s, connect=served.connect_s)
            # No proxy and no password file of the environment: this is a machine of the deployment.
            self._client = httpx.Client(timeout=timeout, trust_env=False, verify=False)  # noqa: S501 - plain HTTP
        problem: Exception | None = None
        for address in addresses:
            request = self._client.build_request(
                method,
                f"http://{_bracketed(address)}:{served.port}{served.path}",
                headers={
                    "Host": f"{_bracketed(served.host)}:{served.port}",
                    "Accept-Encoding": "identity",
                    "Authorization": served.token(),
                    **headers,
                },
            )
            try:
                return self._client.send(request, stream=True, follow_redirects=False)
            except httpx.HTTPError as error:
                problem = error
        detail = f"does not answer: {_words(problem)}"
        raise self._failed(GapReason.UNREADABLE, detail, _REACH) from None

    def _refusal(self, answer: httpx.Response) -> SourceFailed:
        status = answer.status_code
        if status == 403:  # noqa: PLR2004 - of HTTP
            return self._failed(GapReason.PERMISSION_DENIED, "refuses the token (403)", _SAME_KEY)
        if status == 404:  # noqa: PLR2004 - of HTTP
            return self._failed(GapReason.NOT_FOUND, "does not have this log (404)", _NOT_THERE)
        if answer.is_redirect:
            return self._failed(GapReason.UNREADABLE, f"sends elsewhere ({status}); a token goes nowhere else", _DIRECT)
        return self._failed(GapReason.UNREADABLE, f"answers {status}", _REACH)

    def _failed(self, reason: GapReason, detail: str, next_action: str = "") -> SourceFailed:
        who = f"The log server {_bracketed(self._served.host)}:{self._served.port}"
        return SourceFailed(Gap(self._name, reason, f"{who} {detail}.", next_action or _REACH, offset=self._offset))


class _Broken(Exception):
    """The connection ended before its answer."""


class _Body:
    """The bytes of one answer, decoded, a bounded piece at a time."""

    def __init__(self, answer: httpx.Response, *, skip: int = 0) -> None:
        self._answer = answer
        self._skip = skip
        self._pieces = self.pieces()

    def next(self) -> bytes:
        """Return the next piece; ``b""`` at the end.

        Raises:
            _Broken: there should be more.
        """
        try:
            for piece in self._pieces:
                kept = piece[self._skip :]
                self._skip -= len(piece) - len(kept)
                if kept:
                    return kept
        except (httpx.HTTPError, zlib.error, EOFError) as error:
            raise _Broken(_words(error)) from None
        return b""

    def pieces(self) -> Iterator[bytes]:
        """Yield what arrives, decoded."""
        raw = self._answer.iter_raw()  # as it arrives: what has come is not lost when the connection breaks
        encoding = self._answer.headers.get("content-encoding", "identity").lower()
        if encoding == "identity":
            yield from raw
        elif encoding in {"gzip", "x-gzip"}:
            yield from _unzipped(raw)
        else:
            raise EOFError(f"it is encoded as {encoding}, which was not asked for")

    def close(self) -> None:
        self._answer.close()


def _unzipped(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Decode gzip; however small the input, no piece is larger than PIECE_BYTES."""
    decoder = zlib.decompressobj(wbits=31)
    for arrived in raw:
        packed = arrived
        while packed:
            piece = decoder.decompress(packed, PIECE_BYTES)
            packed = decoder.unconsumed_tail
            if piece:
                yield piece
            if decoder.eof:
                return
    if not decoder.eof:
        raise EOFError("the gzipped answer ends too soon")


def _identity(name: str, first: bytes) -> Identity:
    return Identity(f"served:{name}", hashlib.blake2b(first, digest_size=16).hexdigest(), len(first))


def _told_size(answer: httpx.Response) -> int | None:
    """Read ``Content-Range: bytes */SIZE``."""
    size = answer.headers.get("content-range", "").rpartition("/")[2]
    return int(size) if size.isascii() and size.isdigit() else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _words(error: Exception | None) -> str:
    return str(error) or type(error).__name__


_SAME_KEY = (
    "Please make sure that all your Airflow components (e.g. schedulers, api-servers, dag-processors, workers and "
    "triggerer) have the same 'secret_key' configured in '[api]' section and time is synchronized on all your machines "
    "(for example with ntpd)."
)
_NOT_THERE = (
    "This attempt may have run on a different worker whose logs are no longer accessible. "
    "Consider configuring remote logging (S3, GCS, etc.) for log persistence."
)
_ALLOW = "If it is a machine of this deployment, allow it: [logflume] log_server_hosts = NAME, *.DOMAIN or NETWORK."
_REACH = "Check that the machine is up, that its log server runs, and that this one reaches its port."
_DIRECT = "Name the log server itself, not a proxy that redirects."
