"""What went wrong with a request, as RFC 9457 problem details.

Invariant: every answer from 400 on has the type ``application/problem+json``, and says whose fault it is, what is
gone, and how to go on. None holds a secret, a path of the server, or a traceback.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from logflume.errors import (
    BadCursor,
    BadPattern,
    CursorExpired,
    IndexInvalid,
    LogNotFound,
    SourceFailed,
    SpoolFull,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

TYPES = "urn:logflume:problem:"
"""Prefix of the stable words for programs."""

MEDIA_TYPE = "application/problem+json"
RETRY_S = 1
_AGAIN = {"Retry-After": str(RETRY_S)}


class Problem(Exception):
    """A request that is not answered as it was asked.

    Attributes:
        status: of HTTP.
        type: a stable word for programs.
        detail: one plain sentence for people.
        more: further members, such as ``position`` or ``oldest``.
        headers: of the answer.
    """

    def __init__(
        self, status: int, type_: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        self.status = status
        self.type = type_
        self.detail = detail
        self.more = more
        self.headers = dict(headers or {})
        super().__init__(detail)

    def as_json(self) -> dict[str, Any]:
        """Return the members of the object."""
        title = HTTPStatus(self.status).phrase
        return {"type": TYPES + self.type, "title": title, "status": self.status, "detail": self.detail, **self.more}

    def response(self) -> Response:
        """Return the answer."""
        body = json.dumps(self.as_json(), ensure_ascii=False, default=str).encode("utf-8", "replace")
        return Response(body, self.status, self.headers, MEDIA_TYPE)


def of_error(error: Exception) -> Problem | None:  # noqa: C901, PLR0911 - a table
    """Return the problem that an error of ours is to a caller; None if it is none of his."""
    match error:
        case Problem():
            return error
        case LogNotFound(name=name, near=near):
            return Problem(404, "no-such-log", f"There is no log {name!r}.", near=list(near))
        case CursorExpired(oldest=oldest, lost_bytes=lost_bytes):
            detail = f"{error}. Go on from `oldest`, or from the start where it is null."
            return Problem(410, "cursor-expired", detail, oldest=oldest, lost_bytes=lost_bytes)
        case BadPattern(pattern=pattern, reason=reason, position=position):
            return Problem(
                400, "bad-pattern", f"The pattern cannot be used: {reason}", pattern=pattern, position=position
            )
        case BadCursor():
            return Problem(400, "bad-cursor", f"{error}.")
        case UsageError():
            return Problem(400, "bad-request", f"{error}.")
        case IndexInvalid():
            detail = "The log was cut or replaced while it was looked at. Ask again."
            return Problem(503, "log-changed", detail, headers=_AGAIN)
        case SourceFailed(gap=gap):
            detail = f"{gap.detail} {gap.next_action}"
            return Problem(503, "source-failed", detail, headers=_AGAIN, source=gap.source, reason=gap.reason)
        case SpoolFull():
            return Problem(
                503, "spool-full", "There is no more place for what is read. Ask again later.", headers=_AGAIN
            )
        case OSError(strerror=reason):
            detail = f"The log cannot be read any further: {reason or 'the system gives no reason'}. Ask again."
            return Problem(503, "read-failed", detail, headers=_AGAIN)
    return None


def install(app: FastAPI) -> None:
    """Let the application answer with problems."""

    async def on_ours(request: Request, error: Exception) -> Response:
        problem = of_error(error)
        assert problem is not None, error  # noqa: S101 - only these classes are registered
        if "near" in problem.more:  # no names of logs that they may not read
            near: list[str] = problem.more["near"]  # type: ignore[assignment]
            problem.more["near"] = [name for name in near if request.state.caller.may_read(name)]
        return problem.response()

    async def on_bad_request(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return Problem(400, "bad-parameter", f"{name}: {first['msg']}", parameter=name).response()

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
        detail = f"{request.method} {request.url.path}: {error.detail}"
        type_ = "no-such-method" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "no-such-page"
        return Problem(error.status_code, type_, detail, headers=error.headers).response()

    async def on_fault(request: Request, error: Exception) -> Response:
        del request, error  # what runs the application tells it on stderr
        return Problem(500, "fault", "This is a fault of the server, which has told it to who runs it.").response()

    for kind in (Problem, LogNotFound, CursorExpired, UsageError, IndexInvalid, SourceFailed, SpoolFull, OSError):
        app.add_exception_handler(kind, on_ours)
    app.add_exception_handler(RequestValidationError, on_bad_request)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_fault)
