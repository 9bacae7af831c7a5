"""Who may read which task's log: Airflow says, when it is asked for and again while it lasts.

Holds: the engine's routes see a caller only after Airflow's own dependency has let a request pass, and that caller may
       read the one log that was asked for. Without such a caller they refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from fastapi import HTTPException
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI looks at it when it runs

from logflume.serve.auth import Gate
from logflume.serve.callers import Caller, Refused, not_signed_in
from logflume.serve.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

CALLER = "logflume.caller"
"""Where in a scope the caller is."""


@dataclass(frozen=True, slots=True)
class AirflowCaller(Caller):
    """A user of Airflow who reads one log.

    Attributes:
        ask_again: raises Refused when they may not any more.
    """

    ask_again: Callable[[], Awaitable[None]] = field(kw_only=True, compare=False)


class AirflowGate(Gate):
    """Lets in who was let in by Airflow."""

    def __init__(self) -> None:
        super().__init__(Settings(), b"")

    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return who was let in.

        Raises:
            Refused: nobody was.
        """
        caller = connection.scope.get(CALLER)
        if not isinstance(caller, AirflowCaller):
            raise not_signed_in("Sign in to Airflow.")
        connection.state.caller = caller
        return caller

    async def admit(self, connection: HTTPConnection) -> Caller:
        """Return who was let in to the log that is asked for.

        Raises:
            Refused: nobody, or to another log.
        """
        caller = await self.caller(connection)
        caller.check(connection.path_params["log_id"])
        return caller

    async def recheck(self, caller: Caller) -> None:
        """Ask Airflow again.

        Raises:
            Refused: it says no by now.
        """
        if not isinstance(caller, AirflowCaller):
            raise not_signed_in("Sign in to Airflow.")
        await caller.ask_again()


def caller_of(user: Any, token: str | None, dag_id: str, log_id: str) -> AirflowCaller:  # noqa: ANN401 - Airflow's user
    """Return the caller that an admitted user is for one log.

    Args:
        user: of Airflow.
        token: with which they signed in; it is looked at again.
        dag_id: whose log it is.
        log_id: the one that they may read.
    """

    async def ask_again() -> None:
        try:
            now = await get_auth_manager().get_user_from_token(token) if token else user
            allowed = await run_in_threadpool(_may_read, now, dag_id)
        except HTTPException as error:
            raise Refused(error.status_code, "not-allowed", "Airflow does not let you in any more.") from None
        except DBAPIError as error:
            away = "Airflow's database does not answer, so nobody can say whether you may still read this log."
            raise Refused(503, "database-away", away) from error
        except Exception as error:  # an expired or revoked token, in the words of any library
            raise not_signed_in("Your sign-in to Airflow has ended.") from error
        if not allowed:
            raise Refused(403, "not-allowed", "You may not read this log any more.")

    return AirflowCaller(str(user.get_id()), (log_id,), ask_again=ask_again)


def _may_read(user: Any, dag_id: str) -> bool:  # noqa: ANN401 - Airflow's user
    allowed: bool = get_auth_manager().is_authorized_dag(
        method="GET", access_entity=DagAccessEntity.TASK_LOGS, details=_details(dag_id), user=user
    )
    return allowed


def _details(dag_id: str) -> Any:  # noqa: ANN401 - untyped where Airflow is not installed
    """Name a DAG, and its team where Airflow knows of teams."""
    from airflow.models.dag import DagModel

    team_of = getattr(DagModel, "get_team_name", None)
    return DagDetails(id=dag_id, team_name=team_of(dag_id)) if team_of else DagDetails(id=dag_id)
