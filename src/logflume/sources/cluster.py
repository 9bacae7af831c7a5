"""A Kubernetes API server, asked over HTTP as the official client is set up to ask it.

Holds: nothing between two calls: each has a connection of its own, closed at its end. An answer that is no stream is
at most MAX_ANSWER_BYTES long. No text of an error has a token in it.

Plan:  ``kubernetes.config`` finds the server, its certificates and credentials (kubeconfig with its contexts and
plugins, in-cluster), and renews them; the connection pool is the official client's. Requests are made on that pool,
because the generated calls know no ``sinceTime``, and differ from release to release.

Not here: what pods are (``podstate``), reading on after a break (``pods``).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from logflume.closing import Closing
from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


CONNECT_S = 5.0
"""So long may it take to reach the API server."""

ANSWER_S = 30.0
"""So long may the API server take to answer, but for a stream that has begun."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A longer answer (many pods, large ones) is refused."""

MAX_MESSAGE_CHARS = 400
"""What the API server says of an error or a pod is cut after so many characters."""

DEFAULT_CONFIG = "~/.kube/config"
"""Where the kubeconfig is when nobody says."""

_ERROR_BYTES = 64 * 1024
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"  # what Kubernetes tells each container


class ApiRefused(Exception):
    """The API server answered, and not with what was asked for: ``.status``, its ``.message``, ``.retry_after_s``."""

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        super().__init__(f"{status}: {message}")


class ApiBroken(Exception):
    """The API server could not be reached, or the connection broke; ``.message`` says how."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class _Stale(ApiBroken):
    """No answer came; it may have been a connection that the other side had closed before."""


class Cluster:
    """One API server. Making it loads nothing and asks nobody; threads may share it.

    Use ``Cluster()`` for what ``kubectl`` would use here (kubeconfig, or in-cluster where there is none),
    ``Cluster(context=…)`` for one of several, ``Cluster.of_client(core_v1_api)`` for a client that is made already.

    Memory: the official client, loaded at the first request (some 25 MB); then nothing between requests.
    """

    def __init__(
        self,
        *,
        context: str | None = None,
        config_file: str | None = None,
        in_cluster: bool | None = None,
        verify_tls: bool = True,
        ca_file: str | None = None,
        make_client: Callable[[], Any] | None = None,
    ) -> None:
        """Say where; nothing is looked at yet.

        Args:
            context: of the kubeconfig; None: its current one.
            config_file: the kubeconfig; None: ``KUBECONFIG``, then ``~/.kube/config``.
            in_cluster: use the service account of the pod this runs in; None: where there is no kubeconfig.
            verify_tls: check the API server's certificate.
            ca_file: certificates to check it with, instead of those that the configuration names.
            make_client: gives a ``kubernetes.client`` API object or ApiClient instead of all that; called once.
        """
        self.context = context
        self._config_file = config_file
        self._in_cluster = in_cluster
        self._verify_tls = verify_tls
        self._ca_file = ca_file
        self._make_client = make_client
        self._loading = threading.Lock()
        self._client: Any = None

    @classmethod
    def of_client(cls, client: Any) -> Cluster:  # noqa: ANN401 - an ApiClient, or any API object made of one
        """Ask as this client of the official library does."""
        return cls(make_client=lambda: client)

    @property
    def address(self) -> str:
        """URL of the API server.

        Raises:
            UsageError: the configuration cannot be used.
        """
        return str(self._loaded().configuration.host).rstrip("/")

    def read_json(self, path: str, query: Iterable[tuple[str, str | int]] = ()) -> dict[str, Any]:
        """Get one object.

        Raises:
            ApiRefused: the API server says no.
            ApiBroken: it cannot be reached, or its answer is no JSON object, or too long.
            UsageError: the configuration cannot be used.
        """
        with self.open_stream(path, query) as stream:
            data = stream.read_all(MAX_ANSWER_BYTES)
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(found := json.loads(data), dict):
                return found
        raise ApiBroken("the API server's answer is no JSON object")

    def open_stream(
        self, path: str, query: Iterable[tuple[str, str | int]] = (), *, silence_s: float = ANSWER_S
    ) -> ApiStream:
        """Begin to get bytes; a connection that is silent for ``silence_s`` counts as broken.

        Raises:
            ApiRefused: the API server says no.
            ApiBroken: it cannot be reached.
            UsageError: the configuration cannot be used.
        """
        client = self._loaded()
        url = f"{self.address}{path}?{urlencode(list(query), quote_via=quote)}"
        try:
            response = self._get(client, url, silence_s)
        except _Stale:
            response = self._get(client, url, silence_s)
        stream = ApiStream(response)
        if response.status != 200:  # noqa: PLR2004 - HTTP
            raise _refusal(stream, response)
        return stream

    def _get(self, client: Any, url: str, silence_s: float) -> Any:  # noqa: ANN401 - the official client has no types
        import urllib3

        try:
            return client.rest_client.pool_manager.request(
                "GET",
                url,
                headers=self._headers(client),
                timeout=urllib3.Timeout(connect=CONNECT_S, read=silence_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.ProtocolError as error:
            raise _Stale(_plain(error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise ApiBroken(_plain(error)) from None

    def _headers(self, client: Any) -> dict[str, str]:  # noqa: ANN401 - the official client has no types
        headers = {"Accept": "application/json, */*", "Connection": "close", **client.default_headers}
        for setting in _credentials(client).values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers

    def _loaded(self) -> Any:  # noqa: ANN401 - as above
        with self._loading:
            if self._client is None:
                self._client = _api_client(self._make_client() if self._make_client else self._configured())
            return self._client

    def _configured(self) -> Any:  # noqa: ANN401 - as above
        try:
            from kubernetes import client, config
        except ImportError:
            raise UsageError("to read pods, install the client: pip install 'logflume[kubernetes]'") from None
        configuration = client.Configuration()
        path = self._config_file or os.environ.get("KUBECONFIG") or DEFAULT_CONFIG
        try:
            if self._is_in_cluster(path):
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(path, self.context, client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise UsageError(_unconfigured(path, plain_text(error))) from None
        configuration.verify_ssl = self._verify_tls and configuration.verify_ssl
        configuration.ssl_ca_cert = self._ca_file or configuration.ssl_ca_cert
        return client.ApiClient(configuration)

    def _is_in_cluster(self, path: str) -> bool:
        """Whether the service account of this pod is to be used."""
        if self._in_cluster is not None:
            return self._in_cluster
        chosen = self.context or self._config_file
        return not chosen and not _exists(path) and _IN_CLUSTER in os.environ


class ApiStream(Closing):
    """Bytes that the API server sends. ``shut_down`` may be called by any thread, and ends a read under way.

    Loss:   none in silence: an end that is not the server's raises ApiBroken.
    Memory: what is asked for, and the buffer of one connection.
    """

    def __init__(self, response: Any) -> None:  # noqa: ANN401 - a urllib3 response, which only this module knows
        self._response = response

    def read_some(self, max_bytes: int) -> bytes:
        """Return the next bytes as soon as there are any; ``b""`` at the end.

        Raises:
            ApiBroken: the connection broke, or was silent for too long.
        """
        import urllib3

        try:
            return bytes(self._response.read1(max_bytes))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: shut down under the read
            raise ApiBroken(_plain(error)) from None

    def read_all(self, max_bytes: int) -> bytes:
        """Return all there is.

        Raises:
            ApiBroken: it broke, or is longer than ``max_bytes``.
        """
        data = bytearray()
        while block := self.read_some(min(max_bytes, 64 * 1024)):
            data += block
            if len(data) > max_bytes:
                raise ApiBroken(f"the API server's answer is longer than {max_bytes} bytes")
        return bytes(data)

    def shut_down(self) -> None:
        """End what is being read, at once, from any thread. Never raises."""
        with contextlib.suppress(Exception):  # it may have ended by itself, in any way
            self._response.shutdown()

    def close(self) -> None:
        """Release the connection. Never raises."""
        with contextlib.suppress(Exception):
            self._response.close()


def _exists(path: str) -> bool:
    """Whether one of the files of a kubeconfig is there."""
    return any(Path(each).expanduser().exists() for each in path.split(os.pathsep) if each)


def _unconfigured(path: str, said: str) -> str:
    if _exists(path):
        return f"the kubeconfig {path} cannot be used: {said} (`kubectl config get-contexts` shows what is in it)"
    return (
        f"no Kubernetes cluster is configured here: there is no kubeconfig at {path}, and this is no pod of a cluster. "
        "Name one in KUBECONFIG"
    )


def _api_client(client: Any) -> Any:  # noqa: ANN401 - as above
    """Return the ApiClient of an API object, or itself."""
    return getattr(client, "api_client", client)


def _credentials(client: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return how to authenticate now; a plugin or a mounted file may have to renew it first."""
    from kubernetes.config import ConfigException

    try:
        settings: dict[str, Any] = client.configuration.auth_settings()
    except (ConfigException, OSError) as error:
        raise ApiBroken(f"its credentials cannot be renewed: {type(error).__name__}") from None
    return settings


def _refusal(stream: ApiStream, response: Any) -> ApiRefused:  # noqa: ANN401 - as above
    with stream:
        try:
            body = stream.read_all(_ERROR_BYTES)
        except ApiBroken as broken:
            body = broken.message.encode()
    asked = response.headers.get("Retry-After", "")
    return ApiRefused(response.status, _message_of(body), float(asked) if asked.isdecimal() else None)


def _message_of(body: bytes) -> str:
    """Return what a Status object says, or the text itself."""
    with contextlib.suppress(ValueError, RecursionError):
        status = json.loads(body)
        if isinstance(status, dict) and isinstance(status.get("message"), str):
            return plain_text(status["message"])
    return plain_text(body.decode("utf-8", "replace")) or "it said nothing more"


def plain_text(text: object) -> str:
    """Return one line that is safe to show, of at most MAX_MESSAGE_CHARS characters."""
    shown = " ".join(
        "".join(char if char.isprintable() else " " for char in str(text)[: 4 * MAX_MESSAGE_CHARS]).split()
    )
    return shown if len(shown) <= MAX_MESSAGE_CHARS else shown[: MAX_MESSAGE_CHARS - 1] + "…"


def _plain(error: BaseException) -> str:
    """Say what broke without addresses of objects."""
    import urllib3

    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return f"the API server was not reached within {CONNECT_S:g} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "the API server was silent for too long"
    cause = error.args[-1] if error.args else error  # ('Connection aborted.', RemoteDisconnected(…))
    return plain_text(str(cause).rpartition("): ")[2] or type(error).__name__)


def path_of(*segments: str) -> str:
    """Join segments to a path of the core API, each quoted."""
    return "/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def iter_items(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list."""
    items = answer.get("items")
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))
