"""How a server is reached, and what failures of the network mean: what both clients share.

Holds: a token goes to the one server that the client was made for. No redirect is followed; TLS is always verified.
"""

from __future__ import annotations

import json
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import httpx

from logflume import _core
from logflume.client.address import base_of
from logflume.client.answers import Failure, failure_of_answer, failure_of_kind, unreachable
from logflume.client.asking import level_name, moment, params_of
from logflume.client.patience import GIVE_UP_S
from logflume.client.secret import Token
from logflume.errors import ForeignServer, LogflumeError, ServerRefused, ServerUnreachable, SignInNeeded, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logflume.client.asking import Moment, Params
    from logflume.records import Level

WAIT_S = 25.0
"""How long one waits for a log to change, unless told otherwise."""

MAX_WAIT_S = 60.0
"""A server lets one wait so long for a log to change."""

TIMEOUT_S = 60.0
"""A connection on which nothing comes for so long is cut; servers send something every 15 s."""

CONNECT_S = 10.0

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Answers that are no streams are not longer."""

JSON = "application/json"
_BROKE_OFF = ("Server disconnected", "peer closed")  # how such an error begins
_NOBODY_LISTENS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_OK = frozenset((200, 206))


class Which(TypedDict, total=False):
    """Which records, and how their times are read; all may be left out.

    Keys:
        since, until: times as people write them (``15m``: before now, by this machine's clock), or nanoseconds.
        level: this one and higher ones.
        source: names of sources.
        q, regex: what records contain, or match (in linear time).
        ignore_case, invert: of ``q`` and ``regex``.
        zone: of times that name none, IANA.
        time_format: of this log's times, as for ``strptime``.
        dedup: False shows a record once for each source that holds it.
    """

    since: Moment
    until: Moment
    level: Level | str | None
    source: str | Sequence[str]
    q: str | None
    regex: str | None
    ignore_case: bool
    invert: bool
    zone: str
    time_format: str | None
    dedup: bool


def wait_params(version: str, wait_s: float, timeout_s: float) -> Params:
    """Return what waits for another version, within what a connection may be silent.

    Raises:
        UsageError: nobody can wait so long.
    """
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise UsageError(f"one can wait for 0 to {MAX_WAIT_S:g} s, not {wait_s:g}")
    return params_of(wait=min(wait_s, timeout_s / 2), version=version)


def which_params(
    *,
    since: Moment = None,
    until: Moment = None,
    level: Level | str | None = None,
    source: str | Sequence[str] = (),
    q: str | None = None,
    regex: str | None = None,
    ignore_case: bool = False,
    invert: bool = False,
    zone: str = "UTC",
    time_format: str | None = None,
    dedup: bool = True,
) -> Params:
    """Return what ``Which`` says as parameters.

    Raises:
        UsageError: a time or level that is none.
    """
    return params_of(
        since=moment(since, zone),
        until=moment(until, zone),
        level=level_name(level),
        source=[source] if isinstance(source, str) else list(source),
        q=q,
        regex=regex,
        ignore_case=ignore_case,
        invert=invert,
        zone=None if zone == "UTC" else zone,
        time_format=time_format,
        dedup=None if dedup else "false",
    )


class BrokenAnswer(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to reach one server.

    Attributes:
        base: its address.
        token: who asks.
        tls: how certificates are checked.
        timeout_s: when a silent connection is cut.
        give_up_s: how long it is tried again.
        compress: ask for compressed answers.
        on_wait: is told why and how long it waits before it tries again.
    """

    base: str
    token: Token
    tls: ssl.SSLContext | bool
    timeout_s: float = TIMEOUT_S
    give_up_s: float = GIVE_UP_S
    compress: bool = False
    on_wait: Callable[[LogflumeError, float], None] | None = None

    @classmethod
    def of(
        cls,
        address: str,
        *,
        token: str | None,
        token_file: str | os.PathLike[str] | None,
        ca_file: str | os.PathLike[str] | None,
        tls: ssl.SSLContext | None,
        timeout_s: float,
        give_up_s: float,
        compress: bool,
        on_wait: Callable[[LogflumeError, float], None] | None,
    ) -> Options:
        """Check them.

        Raises:
            UsageError: an address that is none, a token or certificate that cannot be read.
        """
        base = base_of(address)
        return cls(
            base=base,
            token=Token(token, token_file),
            tls=_context(ca_file, tls) if base.startswith("https") else True,
            timeout_s=timeout_s,
            give_up_s=give_up_s,
            compress=compress,
            on_wait=on_wait,
        )

    def for_httpx(self) -> dict[str, Any]:
        """Return the arguments of ``httpx.Client``."""
        return {
            "verify": self.tls,
            "timeout": httpx.Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s)),
            "follow_redirects": False,
        }

    def headers(self, accept: str) -> dict[str, str]:
        """Return what is sent with a question."""
        return {
            "Accept": accept,
            "Accept-Encoding": "zstd, gzip" if self.compress else "identity",
            "User-Agent": f"logflume/{_core.__version__}",
            **self.token.headers(),
        }

    def is_renewed(self, failure: Failure) -> bool:
        """Tell whether a refused token has been replaced meanwhile."""
        return isinstance(failure.error, SignInNeeded) and self.token.read_again()


def _context(ca_file: str | os.PathLike[str] | None, tls: ssl.SSLContext | None) -> ssl.SSLContext:
    """Return what checks certificates: those that this system trusts, or those of a file alone."""
    if tls is not None:
        return tls
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else os.fspath(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{ca_file}: expected certificates (PEM): {error.strerror or 'there is none in it'}") from None


def check_answer(address: str, answer: httpx.Response, accept: str) -> None:
    """Refuse an answer of another kind, before its body is read.

    Raises:
        BrokenAnswer: it is one.
    """
    failure = failure_of_kind(address, answer.headers.get("content-type", ""), accept)
    if failure is not None:
        raise BrokenAnswer(failure)


def refused(address: str, answer: httpx.Response, body: bytes) -> BrokenAnswer:
    """Return what an answer other than 200 is raised as."""
    return BrokenAnswer(failure_of_answer(address, answer.status_code, answer.headers, body))


def is_ok(answer: httpx.Response) -> bool:
    """Tell whether it was answered."""
    return answer.status_code in _OK


def failure_of_network(address: str, error: httpx.RequestError) -> Failure:
    """Return what an error of the network means."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError):
        return Failure(ForeignServer(address, "its answer is damaged: it cannot be unpacked"), again=True)
    if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(_BROKE_OFF):
        return Failure(ForeignServer(address, "what answers there does not speak HTTP"), again=True, silent=True)
    return unreachable(address, _reason(error), silent=isinstance(error, _NOBODY_LISTENS))


def _reason(error: httpx.RequestError) -> str:
    """Say why, in the words of the system, which hold nothing of what was sent."""
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate does not count: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as we do; is it http and not https?"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return "it broke off"
    return type(error).__name__ if isinstance(error, httpx.LocalProtocolError) else str(error) or "it broke off"


def failure_of(address: str, error: Exception) -> Failure:
    """Return what stopped a try."""
    return failure_of_network(address, error) if isinstance(error, httpx.RequestError) else error.failure  # type: ignore[attr-defined]


def name_place(failure: Failure, cursor: str | None) -> None:
    """Let an error say where to go on."""
    if isinstance(failure.error, ServerUnreachable | ServerRefused):
        failure.error.cursor = cursor


def json_object(address: str, body: bytes) -> dict[str, Any]:
    """Return the object that was answered.

    Raises:
        BrokenAnswer: it is none.
    """
    if len(body) > MAX_ANSWER_BYTES:
        detail = f"its answer is longer than {MAX_ANSWER_BYTES} bytes"
        raise BrokenAnswer(Failure(ForeignServer(address, detail)))
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BrokenAnswer(Failure(ForeignServer(address, "its answer is damaged: it is no JSON object")))
    return value
