"""An API server of Airflow that holds the tasks which are measured, with its own reader or with logflume.

Holds: both are the same Airflow, started anew, with the same rows and files; only ``logging_config_class`` and the
       plugin differ. Nothing listens but on loopback; all that was made is removed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import BUILD, ROOT
from tests.airflow_home import LOGFLUME, airflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.airflow_home import Airflow

VENV = ROOT / ".venv-airflow"
WHO = ("stock", "logflume", "handler")
"""Airflow's own reader; logflume; and its handler without its plugin."""

HOLDING, STREAMING = "holding_executor.HoldingExecutor", "holding_executor.StreamingExecutor"

EXECUTORS = '''
"""Executors that have the whole log of a running task, as the Kubernetes one does."""

import os

from airflow.executors.base_executor import BaseExecutor


class HoldingExecutor(BaseExecutor):
    """Gives it in one piece."""

    def get_task_log(self, ti, try_number):
        with open(os.environ["HELD_LOG"], encoding="utf-8") as file:
            return ["held by the executor"], [file.read()]


class StreamingExecutor(HoldingExecutor):
    """Gives it line by line to those who ask for that."""

    supports_streaming_logs = True

    def get_streaming_task_log(self, ti, try_number):
        return ["streamed by the executor"], [self._lines()]

    def _lines(self):
        with open(os.environ["HELD_LOG"], encoding="utf-8") as file:
            for line in file:
                yield line
'''

HIDING = """
import importlib.metadata

found = importlib.metadata.distributions

def distributions(**asked):
    return (each for each in found(**asked) if each.metadata["Name"] != "logflume")

importlib.metadata.distributions = distributions
"""


@contextlib.contextmanager
def api_server(
    who: str, tasks: Mapping[str, str], held: Path | None = None
) -> Iterator[tuple[Airflow, dict[str, str]]]:
    """Run an API server with some tasks, each in a state; give it, and a token of the Execution API for each task.

    A state ``running@CLASS`` is that of a task which this executor runs; ``held`` is the log that it has.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    # On the same file system as the logs, which are linked and not copied.
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="home-") as folder:
        home = Path(folder) / "airflow"
        settings = {
            "AIRFLOW__CORE__EXECUTOR": f"LocalExecutor,{HOLDING},{STREAMING}",
            "HELD_LOG": str(held or ""),
            **({} if who == "stock" else LOGFLUME),
            **({} if who == "logflume" else {"PYTHONPATH": str(_no_plugin(Path(folder)))}),
        }
        with airflow(VENV, home, settings=settings, commands={"api-server": ["api-server"]}) as server:
            (home / "config" / "holding_executor.py").write_text(EXECUTORS)
            words = [word for pair in tasks.items() for word in pair]
            done = subprocess.run(
                [home / "venv/bin/python", ROOT / "bench" / "airflow_rows.py", "bench", "run", *words],
                env=server.env,
                check=True,
                stdout=subprocess.PIPE,
            )
            tokens: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
            server.client.get(logs_of("none"))  # what is loaded at the first request is not the log's
            has_plugin = "logflume" in server.client.get("/api/v2/plugins").text
            if has_plugin != (who == "logflume"):
                raise RuntimeError(f"{who} has the plugin: {has_plugin}")
            yield server, tokens


def _no_plugin(folder: Path) -> Path:
    """Make a folder that hides logflume's entry points from who has it in its path."""
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(HIDING)
    return hidden


def logs_of(task: str) -> str:
    """Return the address of a task's log."""
    return f"/api/v2/dags/bench/dagRuns/run/taskInstances/{task}/logs/1"
