"""The engine's API and viewer for a task instance, below Airflow's own pages.

Holds: every route that shows a log depends on Airflow's ``requires_access_dag("GET", DagAccessEntity.TASK_LOGS)``, with
       the DAG's id in its path; the viewer's module, which is the same for everybody, is the only other one. No
       database session is open when the first byte is sent. Readers, followers and searches are bounded, in all and
       for each user.
Plan:  Airflow's dependency lets a request pass; then it is handed to the engine's own application (``logflume.serve``),
       whose gate takes no other callers than those.

| address | |
|---|---|
| ``/logflume/tasks/DAG/RUN/TASK/MAP_INDEX?try=N`` | the page; the latest try by default |
| ``/logflume/api/v1/logs/DAG/RUN/TASK/MAP_INDEX/TRY/stream`` | and all other routes of a log |
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import html
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, unquote

from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.api_fastapi.core_api.security import DagAccessEntity, GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import MutableHeaders

from logflume.airflow.access import CALLER, AirflowGate, caller_of
from logflume.airflow.tasks import TaskCatalog, database_is_away, latest_try, log_id_of
from logflume.serve.app import create_app
from logflume.serve.guard import Guard
from logflume.serve.pages import Pages
from logflume.serve.problems import Problem
from logflume.serve.settings import Settings
from logflume.serve.shelf import Shelf

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECTION = "logflume"
"""Of ``airflow.cfg``; what it can hold is in docs/how-to/airflow.md."""

_COUNTS = (
    *("max_readers", "max_readers_per_caller", "max_followers", "max_followers_per_caller"),
    *("heartbeat_s", "max_searches", "max_searches_per_caller", "max_bytes_per_s", "max_bytes_per_s_per_caller"),
)
_MAY_READ = [Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))]
_COOKIE = "_token"
_PAGE = "/tasks/"


class _AirflowGuard(Guard):
    """The engine's limits and counts, with Airflow's word on who may read."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        super().__init__(settings, key=key)
        self.gate = AirflowGate()

    def install(self, app: FastAPI) -> None:
        """Add the answers to refusals; signing in and pages are not the engine's here."""
        self.install_answers(app)


def create_web() -> ASGIApp:
    """Return the application that Airflow mounts."""
    guard = _AirflowGuard(_settings(), _key())
    engine = create_app(Shelf(TaskCatalog(), key=_key()), guard)
    app = FastAPI(title="logflume", openapi_url=None, docs_url=None, redoc_url=None)
    routes = _Routes(engine, Pages())
    task = "{dag_id}/{run_id}/{task_id}/{map_index}"
    app.add_api_route(f"{_PAGE}{task}", routes.page, dependencies=_MAY_READ)
    log = f"/api/v1/logs/{task}/{{try_number}}"
    for path in (log, f"{log}/{{rest:path}}"):
        app.add_api_route(path, routes.data, methods=["GET", "HEAD"], dependencies=_MAY_READ)
    app.add_api_route("/{name}.js", routes.pages.module, response_class=Response)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_refusal)
    app.add_exception_handler(DBAPIError, _on_database)
    return guard.wrap(app)


async def _on_problem(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Problem)  # noqa: S101 - registered for it
    return error.response()


async def _on_refusal(request: Request, error: Exception) -> Response:
    """Answer who asks for the page with a page: a browser shows nothing else in a frame."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if not getattr(request.scope.get("route"), "path", "").startswith(_PAGE):
        return await http_exception_handler(request, error)
    text = html.escape(f"There is no log to be seen here: {error.detail}")
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>logflume</title><p>{text}</p></html>'
    return HTMLResponse(page, error.status_code, error.headers)


async def _on_database(request: Request, error: Exception) -> Response:
    del request, error
    return database_is_away().response()


class _Routes:
    def __init__(self, engine: ASGIApp, pages: Pages) -> None:
        self._engine = engine
        self.pages = pages

    def page(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: str,
        number: Annotated[int | None, Query(alias="try", ge=1)] = None,
    ) -> Response:
        """Show the log of a try; the latest one unless another is asked for."""
        index = _index(map_index)
        if number is None or "%" in run_id:
            latest = latest_try(dag_id, run_id, task_id, index)
            if latest is None and "%" in run_id:  # Airflow's own pages encode such an id once too often
                run_id = unquote(run_id)
                latest = latest_try(dag_id, run_id, task_id, index)
            if latest is None:
                raise HTTPException(404, "there is no such task instance.")
            number = number or latest
        title = f"{task_id} {run_id} {dag_id}"
        # The id's own percent signs are part of it, so they are encoded once more in an address.
        return self.pages.lone_page(title, "../" * 4, _address(dag_id, run_id, task_id, index, max(1, number)))

    def data(  # noqa: PLR0917 - called by name
        self,
        request: Request,
        user: GetUserDep,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: str,
        try_number: int,
        rest: str = "",
    ) -> Response:
        """Hand an admitted request to the engine."""
        log_id = log_id_of(dag_id, run_id, task_id, _index(map_index), try_number)
        caller = caller_of(user, _token_of(request), dag_id, log_id)
        return _HandedOn(self._engine, f"/api/v1/logs/{log_id}" + (f"/{rest}" if rest else ""), caller)


class _HandedOn(Response):
    """The answer of another application."""

    def __init__(self, app: ASGIApp, path: str, caller: object) -> None:
        super().__init__()
        self._app = app
        self._path = path
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner: dict[str, Any] = {
            **{name: scope[name] for name in _PASSED if name in scope},
            "path": self._path,
            "raw_path": quote(self._path).encode(),
            "root_path": "",
            "state": {},
            CALLER: self._caller,
        }

        async def send_as_it_is(message: Message) -> None:
            if message["type"] == "http.response.start":
                _name_no_encoding(MutableHeaders(raw=message["headers"]))
            await send(message)

        await self._app(inner, receive, send_as_it_is)


def _name_no_encoding(headers: MutableHeaders) -> None:
    """Keep Airflow's compression off a stream that has none, as a follow: that of 3.1 holds lines back."""
    if headers.get("x-accel-buffering") == "no":
        headers.setdefault("content-encoding", "identity")


_PASSED = (
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "query_string",
    "headers",
    "client",
    "server",
    "extensions",
)


def _address(dag_id: str, run_id: str, task_id: str, map_index: int, number: int) -> str:
    parts = (dag_id, run_id, task_id, str(map_index), str(number))
    return "/".join(quote(part, safe="") for part in parts)


def _index(text: str) -> int:
    """Read a map index; Airflow leaves its placeholder where a task is not mapped."""
    return int(text) if text.lstrip("-").isdecimal() else -1


def _token_of(request: Request) -> str | None:
    """Return the token that a user came with, in the order in which Airflow looks for it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.cookies.get(_COOKIE)


def _settings() -> Settings:
    """Return the bounds of ``airflow.cfg``."""
    given = {name: conf.get(SECTION, name, fallback=None) for name in _COUNTS}
    counts: dict[str, Any] = {name: int(text) for name, text in given.items() if text is not None}
    return dataclasses.replace(Settings(access_log="off", metrics="off"), **counts)


@functools.cache
def _key() -> bytes:
    """Return what signs cursors: the same in all API servers of a deployment."""
    secret = get_signing_key("api", "secret_key")
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"logflume-cursor").digest()
