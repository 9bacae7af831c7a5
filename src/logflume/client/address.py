"""Where a log server is, and which of its logs is meant, from what somebody has typed or copied.

Holds: no user, password or token is taken from an address, and none ever gets into one.
Plan:  ``http(s)://host[:port]`` is the server. What follows is a path that the server has in front of all (behind a
       proxy), then the id of a log, perhaps as part of a link to the API or to the viewer. Where one ends and the other
       begins is plain in such links; otherwise it is asked, the shortest path first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/api/v1/logs"

MAX_PREFIX_PARTS = 8
"""How deep below its host a server is looked for."""

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VIEWS = ("stream", "rows", "search", "locate", "summary", "meta", "raw", "wait", "state")
_VIEWER = "/view/"


def is_address(text: str) -> bool:
    """Tell an address from a path."""
    return _SCHEME.match(text) is not None


@dataclass(frozen=True, slots=True)
class Given:
    """An address, taken apart.

    Attributes:
        origin: ``https://host:port``.
        path: what comes after it, decoded; without slashes at its ends.
    """

    origin: str
    path: str

    def candidates(self) -> Iterator[tuple[str, str]]:
        """Yield what it may mean, the likeliest first: a server, and the id of a log or ``""``."""
        parts = self.path.split("/") if self.path else []
        for number in range(min(len(parts), MAX_PREFIX_PARTS) + 1):
            yield self.base(parts[:number]), "/".join(parts[number:])

    def certain(self) -> tuple[str, str] | None:
        """Return the server and the id where the address is a link that tells them apart."""
        for marker, views in ((API + "/", _VIEWS), (_VIEWER, ())):
            prefix, found, log_id = f"/{self.path}/".partition(marker)
            if found:
                log_id = log_id.rstrip("/")
                head, _, last = log_id.rpartition("/")
                return self.base(prefix.strip("/").split("/")), head if head and last in views else log_id
        return None

    def base(self, parts: list[str]) -> str:
        """Return the address of a server below the host."""
        return "/".join([self.origin, *map(quote, filter(None, parts))])


def parse_address(text: str) -> Given:
    """Take an address apart.

    Raises:
        UsageError: it is none, or holds what does not belong in one; the text never repeats a secret.
    """
    if not is_address(text) or _CONTROL.search(text):
        raise UsageError("expected an address such as https://logs.example.com or http://127.0.0.1:8793")
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise UsageError(f"this is no address: {str(error).split(':')[0]}") from None
    if "@" in parts.netloc:
        raise UsageError("an address holds no user and no password: give a token in LOGFLUME_TOKEN or in a file")
    if not parts.hostname:
        raise UsageError("this address names no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    origin = f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
    return Given(origin, unquote(parts.path, errors="surrogateescape").strip("/"))


def base_of(text: str) -> str:
    """Return the address of a server as somebody gave it, in one form: without a slash at its end.

    Raises:
        UsageError: it is none, or names a log beside the server.
    """
    given = parse_address(text)
    if (certain := given.certain()) is not None:
        raise UsageError(f"expected the address of a server: {certain[0]}")
    return given.base(given.path.split("/"))


def log_path(log_id: str, view: str = "") -> str:
    """Return the path of a log in the API, below the address of a server.

    Raises:
        UsageError: it is no id: empty, or it would lead elsewhere.
    """
    if not log_id or any(part in {"", ".", ".."} for part in log_id.split("/")):
        raise UsageError(f"{log_id!r} is no id of a log")
    name = quote(log_id, safe="/=:+@,;!$&'()*~", errors="surrogateescape")
    return f"{API}/{name}/{view}" if view else f"{API}/{name}/meta"
