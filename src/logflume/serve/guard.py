"""All that stands between a network and the routes, put together for one application.

Holds: settings alone decide; without any, everybody may read, nothing is slowed, and only the bounds in all hold.
Plan:  routes that show logs depend on ``guard.gate.admit``; ``install`` adds the sign-in pages, ``/metrics``,
       ``/readyz`` and the answers to refusals; ``wrap`` goes around the whole, and is what the server runs.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from logflume.serve.accesslog import AccessLog
from logflume.serve.auth import Gate
from logflume.serve.callers import Refused
from logflume.serve.drain import Drain
from logflume.serve.headers import SecurityHeaders
from logflume.serve.limits import Bounds, Limits, TooMany
from logflume.serve.metrics import MEDIA_TYPE, Metrics
from logflume.serve.observe import Observed
from logflume.serve.pages import pages_router
from logflume.serve.problems import Problem
from logflume.serve.signin import signin_address, signin_router

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from logflume.serve.observe import Answered
    from logflume.serve.settings import Settings

_said = logging.getLogger(__name__)


class Guard:
    """The gate, limits, metrics and access log of one process. For one event loop; ``close`` it at the end."""

    def __init__(self, settings: Settings, *, key: bytes, metrics_folder: Path | None = None) -> None:
        """Read the files of tokens and keys.

        Args:
            settings: of this server.
            key: signs cookies.
            metrics_folder: shared by several processes, empty at the start; None: there is one.

        Raises:
            UsageError: a file of tokens or keys cannot be read or used.
        """
        self._settings = settings
        self._problems: list[str] = []
        self.gate = Gate(settings, key)
        self.drain = Drain()
        self.heartbeat_s = settings.heartbeat_s
        self.metrics = Metrics(metrics_folder)
        self.limits = Limits(Bounds.of(settings), tell=self.metrics.in_use)
        streams = {"stderr": sys.stderr, "stdout": sys.stdout}
        self._log = AccessLog(streams[settings.access_log]) if settings.access_log in streams else None

    def install(self, app: FastAPI) -> None:
        """Add the pages and the answers to refusals."""
        app.include_router(signin_router(self.gate))
        app.include_router(pages_router(self.gate))
        self.install_answers(app)
        app.add_api_route("/readyz", self._readyz, methods=["GET", "HEAD"], tags=["operations"])
        if self._settings.metrics != "off":
            needed = [Depends(self.gate.caller)] if self._settings.metrics == "callers" else []
            app.add_api_route(
                "/metrics",
                self._metrics,
                methods=["GET", "HEAD"],
                tags=["operations"],
                dependencies=needed,
                response_class=Response,
            )

    def install_answers(self, app: FastAPI) -> None:
        """Add the answers to refusals, and nothing else."""
        app.add_exception_handler(Refused, self._on_refused)
        app.add_exception_handler(TooMany, _on_too_many)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the application with headers, counts and the access log around it."""
        tell: list[Callable[[Answered], None]] = [self.metrics.answered]
        if self._log:
            tell.append(self._log)
        return Observed(SecurityHeaders(app, frame_ancestors=self._settings.frame_ancestors), tell=tell)

    def close(self) -> None:
        """Write what the access log still holds."""
        if self._log:
            self._log.close()

    async def _readyz(self) -> dict[str, str]:
        """Say whether requests can be answered; what keeps them from it is said on stderr, once."""
        problems = await self.gate.problems() + await run_in_threadpool(self._lost_folders)
        for problem in problems:
            if problem not in self._problems:
                _said.error("%s", problem)
        self._problems = problems
        if problems:
            detail = "Logs cannot be served at the moment. The reason is in what this server writes about itself."
            raise Problem(503, "not-ready", detail, headers={"Retry-After": "5"})
        return {"status": "ok"}

    def _lost_folders(self) -> list[str]:
        """Return which folders of logs cannot be listed, and why."""
        lost = []
        for folder in self._settings.folders:
            try:
                os.scandir(folder.path).close()
            except OSError as error:
                lost.append(f"{folder.path}: cannot be listed: {error.strerror}")
        return lost

    async def _metrics(self) -> Response:
        """Give all counts in Prometheus' text form."""
        return Response(await run_in_threadpool(self.metrics.text), media_type=MEDIA_TYPE)

    async def _on_refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)  # noqa: S101 - registered for it
        wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if error.status == 401 and wants_page and self.gate.cookies:  # noqa: PLR2004 - of HTTP
            return RedirectResponse(signin_address(request), 303)
        return Problem(error.status, error.type, error.detail, headers=error.headers).response()


async def _on_too_many(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, TooMany)  # noqa: S101 - registered for it
    headers = {"Retry-After": str(error.retry_s)}
    more = {"limit": error.bound, "of": error.use.value, "yours": error.of_caller}
    return Problem(429, "too-many", error.detail, headers=headers, **more).response()
