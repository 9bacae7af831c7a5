"""A real Airflow on loopback, for tests and benchmarks: its database, its components, its REST API.

Holds: nothing that was started runs on when this is left, however it is left; all of it lies in one folder.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from tests.data.airflow import make_sample
from tests.data.airflow.make_sample import COMPONENTS, Component, environment, free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEADLINE_S = 400.0
LOGFLUME = {"AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "logflume.airflow.LOGGING_CONFIG"}
USERS = ("admin", "guest")
"""Each is its own password; ``tests/data/airflow/config/sample_auth.py`` says what guests may see."""


@dataclass
class Airflow:
    """A running Airflow."""

    home: Path
    env: dict[str, str]
    client: httpx.Client
    components: list[Component]

    def wait_for(self, what: str, done: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Ask until it is so.

        Raises:
            TimeoutError: it is not, after ``deadline_s``.
        """
        end_s = time.monotonic() + deadline_s
        while not done():
            for component in self.components:
                component.check()
            if time.monotonic() > end_s:
                raise TimeoutError(f"no {what} within {deadline_s} s")
            time.sleep(0.2)

    def get(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON at a path of the API."""
        answer = self.client.get(f"/api/v2{path}", params=parameters)
        answer.raise_for_status()
        return answer.json()

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, object] | None = None) -> str:
        """Start a run; return its path in the API."""
        self.wait_for(f"DAG {dag_id}", lambda: self.client.get(f"/api/v2/dags/{quote(dag_id)}").is_success)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        answer = self.client.post(f"/api/v2/dags/{quote(dag_id)}/dagRuns", json=body)
        answer.raise_for_status()
        return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"

    def sign_in(self, user: str) -> httpx.Client:
        """Return a client of a user; close it."""
        answer = self.client.post("/auth/token", json={"username": user, "password": user})
        answer.raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=self.client.base_url, headers=headers, timeout=60, trust_env=False)

    def pids(self, name: str) -> list[int]:
        """Return the processes of a component, its own first."""
        own = next(component for component in self.components if component.name == name).process.pid
        return [own, *_children(own)]

    def state(self, path: str) -> str:
        """Return the state of a run, or of a task instance."""
        return str(self.get(path)["state"])


@contextlib.contextmanager
def airflow(
    venv: Path,
    home: Path,
    *,
    settings: Mapping[str, str],
    commands: dict[str, list[str]] = COMPONENTS,
    lines: int = 300,
) -> Iterator[Airflow]:
    """Run Airflow's components with a fresh home and database; ``settings`` are more environment variables."""
    port = free_port()
    with make_sample.fresh_home(home, venv, keep=False):
        shutil.copy(make_sample.HERE / "config" / "sample_auth.py", home / "config")
        env = environment(home, port, lines) | _test_settings(home) | dict(settings)
        python = f"{home}/venv/bin/python"
        make_sample.run_step("making the database", [python, "-m", "airflow", "db", "migrate"], env=env)
        with running(home, env, commands) as components, _client(port, components) as client:
            yield Airflow(home, env, client, components)


def _test_settings(home: Path) -> dict[str, str]:
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({user: user for user in USERS}))
    return {
        "AIRFLOW__CORE__AUTH_MANAGER": "sample_auth.SampleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:admin" for user in USERS),
        "GUEST_DENIED": str(home / "guest_denied"),
        "LIVE_LINES": str(home / "live_lines"),
    }


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += [int(child), *_children(int(child))]
    return found


@contextlib.contextmanager
def _client(port: int, components: list[Component]) -> Iterator[httpx.Client]:
    """Give a client that is signed in, once the API server answers."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        end_s = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                token = client.post("/auth/token", json={"username": USERS[0], "password": USERS[0]})
                if token.is_success:
                    break
            for component in components:
                component.check()
            if time.monotonic() > end_s:
                raise TimeoutError("the API server does not answer")
            time.sleep(0.2)
        client.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        yield client
