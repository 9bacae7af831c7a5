"""What Airflow's plugin slots are given; Airflow finds it by its entry point (``airflow.plugins``).

Holds: every process of Airflow loads this module; the web application is made by the API server alone, at the first
       request for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from logflume.airflow.requests import NotesRequests

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/logflume"
NAME = "logflume"
TAB = "Log (logflume)"


def _base() -> str:
    """Return the path below which Airflow itself is served."""
    url: str = conf.get("api", "base_url", fallback="")
    return urlsplit(url).path.rstrip("/")


class _Web:
    """The web application, made when it is first asked for."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._app is None:
                self._app = await asyncio.to_thread(_make)
        await self._app(scope, receive, send)


def _make() -> ASGIApp:
    from logflume.airflow.web import create_web

    return create_web()


class LogLink(BaseOperatorLink):  # type: ignore[misc] # untyped where Airflow is not installed
    """A button on the task page that leads to the log on a page of its own."""

    name = TAB

    def get_link(self, operator: object, *, ti_key: Any) -> str:  # noqa: ANN401 - Airflow's key
        """Return the address of the page of a try."""
        del operator
        parts = (ti_key.dag_id, ti_key.run_id, ti_key.task_id, str(ti_key.map_index))
        path = "/".join(quote(part, safe="") for part in parts)
        return f"{_base()}{PREFIX}/tasks/{path}?try={max(1, ti_key.try_number)}"


class LogflumePlugin(AirflowPlugin):  # type: ignore[misc] # as above
    """The page, its API, the tab and the link; and what closes streams whose reader has gone."""

    name = NAME
    fastapi_apps: ClassVar[list[Any]] = [{"app": _Web(), "url_prefix": PREFIX, "name": NAME}]
    fastapi_root_middlewares: ClassVar[list[Any]] = [{"middleware": NotesRequests, "name": NAME}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": TAB,
            "href": f"{_base()}{PREFIX}/tasks/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}",
            "destination": "task_instance",
            "url_route": NAME,
        }
    ]
    global_operator_extra_links: ClassVar[list[Any]] = [LogLink()]
