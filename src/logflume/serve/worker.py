"""A worker's log server that speaks Airflow 3's protocol: ``GET /log/{path}``, a file as it is.

Holds: a file is sent only to who has a token for just that path, signed with the deployment's secret key, and only
       when it lies in the folder, whatever is linked or renamed at the same time. What is sent is as long as was said,
       also of a file that grows meanwhile; of one that shrinks the connection is cut, not ended as if all was there.
Plan:  the token is a JWT (HS512) in ``Authorization``, without a scheme, for the audience ``task-instance-logs``, with
       the claims ``exp``, ``iat``, ``nbf`` and ``filename``, which is the path. Without one that counts: 403, whatever
       was asked for. A file is read in a thread, a block at a time; memory: one block each.
"""

from __future__ import annotations

import asyncio
import errno
import os
import warnings
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

import jwt
from jwt.warnings import InsecureKeyLengthWarning
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from logflume.errors import UsageError
from logflume.serve.ranges import names_tag, wanted_part
from logflume.serve.webtokens import BROKEN, reason_of
from logflume.sources.opening import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

AUDIENCE = "task-instance-logs"
ALGORITHM = "HS512"
BLOCK_BYTES = 256 * 1024

_NO_FILE = {None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EACCES, errno.EPERM}
_CLAIMS = ["exp", "iat", "nbf", "filename"]


class Shrunk(Exception):
    """A file became shorter while it was sent; the answer cannot be what was said."""


def create_worker_app(folder: Path, secret_key: str, *, leeway_s: int = 30) -> Starlette:
    """Return an ASGI application that serves the files of a folder as Airflow's own log server does.

    Args:
        folder: ``[logging] base_log_folder`` of the worker.
        secret_key: ``[api] secret_key`` of the deployment.
        leeway_s: how far clocks may differ; ``[webserver] log_request_clock_grace``, 30 by default.

    Raises:
        UsageError: the key is empty: then everybody could sign.
    """
    if not secret_key:
        raise UsageError("expected the secret key of the deployment ([api] secret_key); it is empty")
    # How long the key is, is for whoever runs Airflow to say: its other parts take it as it is.
    warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
    files = _Files(str(folder), secret_key.encode(), leeway_s)
    return Starlette(routes=[Route("/log/{path:path}", files)])


@dataclass(frozen=True, slots=True)
class _Files:
    """The one route."""

    folder: str
    key: bytes
    leeway_s: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        path: str = scope["path_params"]["path"]
        refusal = self._refusal(headers.getlist("authorization"), path) or _wrong_method(scope["method"])
        if refusal:
            await refusal(scope, receive, send)
            return
        try:
            descriptor = await asyncio.to_thread(self._open, path)
        except (OSError, ValueError) as error:
            await _missing(error)(scope, receive, send)
            return
        try:
            await _File(descriptor, headers).send(scope, receive, send)
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        if path.startswith(("/", "\\")):
            raise FileNotFoundError
        return open_regular(os.path.join(self.folder, path), self.folder)  # noqa: PTH118 - a Path would drop `.` and `//`

    def _refusal(self, given: list[str], path: str) -> Response | None:
        if not given:
            return _problem(403, "Authorization header missing")
        try:
            claims = jwt.decode(
                given[0],
                self.key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                leeway=self.leeway_s,
                options={"require": _CLAIMS},
            )
        except BROKEN as error:
            return _problem(403, f"Forbidden. {reason_of(error)}")
        if len(given) > 1 or claims["filename"] != path:
            return _problem(403, "Forbidden. This token is for another file.")
        return None


@dataclass(frozen=True, slots=True)
class _File:
    """One open file and how it was asked for."""

    descriptor: int
    asked: Headers

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the file, a part of it, or that it has not changed.

        Raises:
            Shrunk: the connection has to be cut.
        """
        status = os.fstat(self.descriptor)
        etag = f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Type": "text/plain; charset=utf-8",
            "ETag": etag,
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
            "X-Content-Type-Options": "nosniff",
        }
        if names_tag(self.asked.get("if-none-match"), etag):
            await Response(status_code=304, headers=headers)(scope, receive, send)
            return
        wanted = self._wanted(status.st_size, {etag, headers["Last-Modified"]})
        if wanted is not None and not wanted:
            headers["Content-Range"] = f"bytes */{status.st_size}"
            await Response(status_code=416, headers=headers)(scope, receive, send)
            return
        part = wanted or range(status.st_size)
        headers["Content-Length"] = str(len(part))
        if wanted is not None:
            headers["Content-Range"] = f"bytes {part[0]}-{part[-1]}/{status.st_size}"
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200 if wanted is None else 206, "headers": raw})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
        else:
            await self._send_part(part, receive, send)

    def _wanted(self, size: int, validators: set[str]) -> range | None:
        """Return which bytes are wanted; empty: none of those there are; None: all."""
        if_range = self.asked.get("if-range")
        if if_range is not None and if_range not in validators:
            return None
        return wanted_part(self.asked.get("range"), size)

    async def _send_part(self, part: range, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            for offset in range(part.start, part.stop, BLOCK_BYTES):
                if gone.done():
                    return
                await send(await self._block(offset, part.stop))
            if not part:
                await send({"type": "http.response.body"})
        finally:
            gone.cancel()

    # Cancelled, a read in a thread goes on for a moment; what it returns is dropped.
    async def _block(self, offset: int, end: int) -> dict[str, object]:
        n_bytes = min(BLOCK_BYTES, end - offset)
        block = await asyncio.to_thread(os.pread, self.descriptor, n_bytes, offset)
        if len(block) < n_bytes:
            raise Shrunk
        return {"type": "http.response.body", "body": block, "more_body": offset + n_bytes < end}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _wrong_method(method: str) -> Response | None:
    return None if method in ("GET", "HEAD") else _problem(405, "Method Not Allowed", {"Allow": "GET, HEAD"})


def _missing(error: Exception) -> Response:
    """Return what Airflow's own says: 401 for a file that may not be read, 404 for what is no file in the folder.

    What cannot be told at the moment is 503: to its reader 404 means that the log is gone.
    """
    status = 401 if isinstance(error, PermissionError) else 404
    if isinstance(error, OSError) and error.errno not in _NO_FILE:
        status = 503
    return _problem(status, HTTPStatus(status).phrase)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, headers)
