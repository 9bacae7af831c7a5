"""Make real task logs: install Airflow, run the DAGs beside this file, keep the log folder.

Holds: nothing that was started runs on when this ends, however it ends; everything listens on loopback
       only; a log folder that names this machine is not handed over.
Plan:  virtual environment, home, database, components, trigger, wait, stop, check, copy.

    python tests/data/airflow/make_sample.py --output build/airflow-logs --lines 100000
    python tests/data/airflow/make_sample.py --output tests/data/airflow/sample/logs --lines 300   # the kept sample

Needs Python 3.10 to 3.13 and, the first time, a package index. Everything else it makes itself.
"""

# ruff: noqa: T201 - a program that tells how far it is

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AIRFLOW_VERSION = "3.3.2"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
STARTED_S = time.monotonic()

RUNS = {
    "log_sample": "manual__2024-11-20T12:34:56+00:00",
    "odd.näme-1": "odd run: ~100% 'done' [ü] {0} & #1?",
}
TASKS_THAT_FAIL = {"chained_failure", "killed"}
EXPECTED_FILES = (
    "task_id=all_levels/attempt=1.log",
    "task_id=flaky/attempt=2.log",
    "task_id=deferred/attempt=1.log.trigger.*.log",
    "task_id=mapped/map_index=2/attempt=1.log",
)


STOP_S = 10


class SampleError(Exception):
    """No logs were made. The text says which step failed and where to look."""


def say(text: str) -> None:
    """Show a step with the time since the start."""
    print(f"[{time.monotonic() - STARTED_S:6.1f} s] {text}", file=sys.stderr, flush=True)


def last_lines(text: str, count: int = 15) -> str:
    """Give the end of a program's output, indented."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-count:])


def run_step(name: str, command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command to its end; when it fails, say how it ended and its last lines."""
    say(name)
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        output = last_lines(done.stdout.decode(errors="replace"))
        raise SampleError(f"{name}: ended with code {done.returncode}:\n{output}")


def has_airflow(python: Path) -> bool:
    """Tell whether an environment holds the wanted version, without importing it."""
    query = "import importlib.metadata as m; print(m.version('apache-airflow'), m.version('apache-airflow-core'))"
    try:
        done = subprocess.run([python, "-c", query], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.split() == [AIRFLOW_VERSION] * 2


def install(venv: Path) -> None:
    """Make the virtual environment, unless it is there with the wanted version."""
    python = venv / "bin" / "python"
    if has_airflow(python):
        say(f"Airflow {AIRFLOW_VERSION} is installed in {venv}")
        return
    run_step(f"making {venv}", [sys.executable, "-m", "venv", str(venv)])
    wanted = [f"apache-airflow=={AIRFLOW_VERSION}", "apache-airflow-providers-standard"]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run_step(
        f"installing Airflow {AIRFLOW_VERSION} (a minute or more, once)",
        [*pip, "--constraint", str(HERE / "constraints.txt"), *wanted],
    )


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def fresh_home(home: Path, venv: Path, *, keep: bool) -> Iterator[Path]:
    """Make AIRFLOW_HOME with the DAGs in it, and remove it at the end.

    The virtual environment is a link inside it, so that tracebacks name no other folder.
    """
    try:
        home.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise SampleError(f"{home} exists. Remove it, or give another with --home.") from None
    try:
        shutil.copytree(HERE / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        (home / "venv").symlink_to(venv.resolve())
        (home / "config").mkdir()
        (home / "config" / "sample_host.py").write_text("def name():\n    return 'localhost'\n")
        yield home
    finally:
        if keep:
            say(f"{home} is kept")
        else:
            shutil.rmtree(home)


def environment(home: Path, port: int, lines: int) -> dict[str, str]:
    """Configure Airflow; nothing of the caller's environment comes along but PATH."""
    options = {
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__SECRET_KEY": secrets.token_hex(16),
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "CORE__HOSTNAME_CALLABLE": "sample_host.name",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": "3",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "LOGGING__NAMESPACE_LEVELS": "sample=DEBUG",
        "SCHEDULER__ALLOWED_RUN_ID_PATTERN": "^[^/]+$",
    }
    return {f"AIRFLOW__{name}": value for name, value in options.items()} | {
        "AIRFLOW_HOME": str(home),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{home}/venv/bin:{os.environ['PATH']}",
        "SAMPLE_LINES": str(lines),
        "TZ": "UTC",
    }


@dataclass
class Component:
    """One of Airflow's processes, in a process group of its own; its output is in a file."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def check(self) -> None:
        """Raise when it has ended: nothing else here ends it."""
        if self.process.poll() is not None:
            output = last_lines(self.output.read_text(errors="replace"))
            raise SampleError(f"{self.name} ended with code {self.process.returncode}:\n{output}")

    def ask_to_stop(self) -> None:
        """Ask it to end."""
        self.process.terminate()

    def stop(self) -> None:
        """Wait a while for its end, then kill what is left of its group."""
        try:
            self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end within {STOP_S} s: killing it")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


@contextlib.contextmanager
def running(home: Path, env: dict[str, str], commands: dict[str, list[str]] = COMPONENTS) -> Iterator[list[Component]]:
    """Start the components; stop them in any case."""
    components: list[Component] = []
    try:
        for name, arguments in commands.items():
            output = home / f"{name}.out"
            with output.open("wb") as sink:
                process = subprocess.Popen(
                    [home / "venv/bin/python", "-m", "airflow", *arguments],
                    env=env,
                    cwd=home,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            components.append(Component(name, process, output))
        say("started " + ", ".join(commands))
        yield components
    finally:
        say("stopping")
        for component in components:
            component.ask_to_stop()
        for component in components:
            component.stop()


class Api:
    """The little of Airflow's REST API that is needed here."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        # No proxy of the caller's environment stands between loopback and us.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token = ""

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """GET, or POST with a body. None as long as the server is not up."""
        if not self._token and path != "/auth/token":
            answer = self.call("/auth/token")
            if answer is None:
                return None
            self._token = answer["access_token"]
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers)  # noqa: S310 - loopback
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SampleError(f"{path}: {error.code} {error.read(500).decode(errors='replace')}") from None
        except (urllib.error.URLError, ConnectionError):
            return None


def wait_until(what: str, done: Callable[[], bool], components: list[Component], deadline_s: float) -> None:
    """Ask once a second, as long as all components live and there is time."""
    say(f"waiting for {what}")
    while not done():
        for component in components:
            component.check()
        if time.monotonic() > deadline_s:
            raise SampleError(f"no time left while waiting for {what}. Try a longer --timeout-s, or --keep-home.")
        time.sleep(1)


def run_path(dag_id: str) -> str:
    """Give the REST path of a DAG's one run."""
    return f"/api/v2/dags/{urllib.parse.quote(dag_id)}/dagRuns/{urllib.parse.quote(RUNS[dag_id], safe='')}"


def dags_are_known(api: Api) -> bool:
    """Tell whether the DAG file was read; a file that cannot be read fails at once."""
    for error in (api.call("/api/v2/importErrors") or {}).get("import_errors", []):
        raise SampleError(f"the DAG file does not load:\n{last_lines(error['stack_trace'])}")
    return {dag["dag_id"] for dag in (api.call("/api/v2/dags") or {}).get("dags", [])} >= RUNS.keys()


def runs_are_over(api: Api) -> bool:
    """Tell whether all runs have ended."""
    answers = [api.call(run_path(dag_id)) for dag_id in RUNS]
    return all(answer is not None and answer["state"] in {"success", "failed"} for answer in answers)


def check_tasks(api: Api) -> None:
    """Raise unless every task ended as it should."""
    for dag_id in RUNS:
        for task in api.call(run_path(dag_id) + "/taskInstances")["task_instances"]:
            wanted = "failed" if task["task_id"] in TASKS_THAT_FAIL else "success"
            say(f"  {task['task_id']} [{task['map_index']}] try {task['try_number']}: {task['state']}")
            if task["state"] != wanted:
                raise SampleError(f"{task['task_id']} is {task['state']}, not {wanted}; look at it with --keep-home.")


def run_dags(api: Api, components: list[Component], deadline_s: float) -> None:
    """Trigger every DAG once and see all tasks to their end."""
    wait_until("the API server and the DAGs", lambda: dags_are_known(api), components, deadline_s)
    for dag_id, run_id in RUNS.items():
        path = f"/api/v2/dags/{urllib.parse.quote(dag_id)}/dagRuns"
        api.call(path, {"dag_run_id": run_id, "logical_date": None})
    wait_until("the runs to end", lambda: runs_are_over(api), components, deadline_s)
    check_tasks(api)


def private_names(venv: Path, env: dict[str, str]) -> set[str]:
    """Collect what must not be in a published log: this machine, its folders, this run's secrets."""
    names = {str(ROOT), str(Path.home()), str(venv.resolve()), socket.gethostname()}
    names |= {value for name, value in env.items() if "SECRET" in name or "FERNET" in name}
    return names - {"/", "localhost"}


def check_files(logs: Path, private: set[str]) -> None:
    """Raise when a log is missing, or one says what nobody should know."""
    for pattern in EXPECTED_FILES:
        if not list(logs.glob(f"dag_id=*/run_id=*/{pattern}")):
            raise SampleError(f"Airflow wrote no {pattern}")
    names = re.compile(r"(?<![\w.-])(?:" + "|".join(map(re.escape, private)) + r")(?![\w.-])")
    for path in logs.glob("dag_id=*/**/attempt=*"):
        if found := names.search(path.read_text(encoding="utf-8")):
            raise SampleError(f"{path.parent.name}/{path.name} names something private: {found[0]}")


def copy_logs(logs: Path, output: Path) -> None:
    """Copy the logs of tasks; those of the components themselves stay behind."""
    for folder in logs.glob("dag_id=*"):
        shutil.copytree(folder, output / folder.name)
    files = [path for path in output.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    say(f"{output}: {len(files)} files, {size:,} bytes")


def make_logs(venv: Path, home: Path, output: Path, *, lines: int, timeout_s: float, keep_home: bool) -> None:
    """Do all of it. The time limit is for the DAG runs, not for the installation."""
    if output.exists():
        raise SampleError(f"{output} exists. Remove it, or give another with --output.")
    install(venv)
    port = free_port()
    api = Api(port)
    with fresh_home(home, venv, keep=keep_home):
        env = environment(home, port, lines)
        run_step("making the database", [f"{home}/venv/bin/python", "-m", "airflow", "db", "migrate"], env=env)
        with running(home, env) as components:
            run_dags(api, components, time.monotonic() + timeout_s)
        check_files(home / "logs", private_names(venv, env))
        copy_logs(home / "logs", output)


def main() -> int:
    """Read the options and make the logs."""
    parser = argparse.ArgumentParser(description="Make task logs with a real Apache Airflow.")
    parser.add_argument("--output", type=Path, required=True, help="new folder for the logs")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-airflow", help="made when it is not there")
    parser.add_argument("--home", type=Path, default=Path("/tmp/airflow"), help="AIRFLOW_HOME, made and removed")  # noqa: S108 - must be the same everywhere: tracebacks name it
    parser.add_argument("--lines", type=int, default=5000, help="lines of the task that prints a lot")
    parser.add_argument("--timeout-s", type=float, default=300, help="limit for the DAG runs")
    parser.add_argument("--keep-home", action="store_true", help="leave AIRFLOW_HOME for a look at it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        make_logs(
            options.venv,
            options.home,
            options.output,
            lines=options.lines,
            timeout_s=options.timeout_s,
            keep_home=options.keep_home,
        )
    except SampleError as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
