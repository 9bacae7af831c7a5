"""Airflow's own log server, asked as the handler asks it."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from airflow.configuration import conf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.airflow.conftest import TaskLogs

SECTIONS = {
    ("api", "secret_key"): "a" * 32,
    ("logging", "worker_log_server_port"): "",
    ("logging", "trigger_log_server_port"): "",
    ("api", "log_fetch_timeout_sec"): "5",
}


@pytest.fixture
def remote(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run Airflow's log server over a folder, as another machine would; both ports lead to it."""
    from airflow.utils.serve_logs.log_server import create_app

    folder = tmp_path_factory.mktemp("worker")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        for (section, key), value in SECTIONS.items():
            monkeypatch.setenv(f"AIRFLOW__{section.upper()}__{key.upper()}", value or port)
        monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(folder))
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield folder
        finally:
            server.should_exit = True
            thread.join()


def write(folder: Path, logs: TaskLogs, name: str, text: str, *, append: bool = False) -> None:
    """Write a file on the other machine."""
    path = folder / logs.folder.relative_to(logs.root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if append else "w") as file:
        file.write(text)


def line(second: int, event: str) -> str:
    """Return a line as Airflow 3 writes it."""
    return json.dumps({"timestamp": f"2024-11-20T12:00:{second:02}Z", "event": event}) + "\n"


def events(messages: list[dict[str, Any]]) -> list[str]:
    """Return the texts."""
    return [message["event"] for message in messages]


def test_a_running_task_elsewhere_is_read_and_followed(logs: TaskLogs, remote: Path) -> None:
    """A worker's file comes over its log server, and with a token only what is new of it."""
    logs.folder = logs.folder.with_name("task_id=größe ünd [x]")
    write(remote, logs, "attempt=1.log", line(1, "a") + "half")
    messages, token = logs.read(state="running", hostname="127.0.0.1")
    assert messages[1]["event"].startswith("http://127.0.0.1:")
    assert events(messages)[-1] == "a"
    write(remote, logs, "attempt=1.log", " a line\n" + line(2, "b"), append=True)
    messages, token = logs.read(token, state="running", hostname="127.0.0.1")
    assert events(messages) == ["half a line", "b"]
    messages, token = logs.read(token, state="running", hostname="127.0.0.1")
    assert messages == []


def test_a_deferred_task_has_its_triggerers_log(logs: TaskLogs, remote: Path) -> None:
    """Worker and triggerer are both asked, and merged."""

    class Job:
        hostname = "127.0.0.1"
        id = 7

    write(remote, logs, "attempt=1.log", line(1, "worker") + line(3, "worker again"))
    write(remote, logs, "attempt=1.log.trigger.7.log", line(2, "triggerer"))
    messages = logs.lines(state="deferred", hostname="127.0.0.1", triggerer_job=Job())
    assert events(messages)[-3:] == ["worker", "triggerer", "worker again"]


def test_what_both_machines_have_is_shown_once(logs: TaskLogs, remote: Path) -> None:
    """A shared folder: the local file and the worker's copy of it, untimed first lines included."""
    text = "untimed\n" + line(1, "a") + line(2, "b")
    logs.write("attempt=1.log", text)
    write(remote, logs, "attempt=1.log", text)
    messages = logs.lines(state="running", hostname="127.0.0.1")
    assert events(messages)[-4:] == ["::endgroup::", "untimed", "a", "b"]


def test_a_finished_task_without_files_is_asked_for_at_its_worker(logs: TaskLogs, remote: Path) -> None:
    """When nothing is left here, the worker may still have it."""
    write(remote, logs, "attempt=1.log", line(1, "kept"))
    messages, metadata = logs.read(state="failed", hostname="127.0.0.1")
    assert events(messages)[-1] == "kept"
    assert metadata["end_of_log"] is True


@pytest.mark.parametrize(
    ("key", "hostname", "words"),
    [
        ("a" * 32, "127.0.0.1", "does not have this log (404). This attempt may have run on a different worker"),
        ("b" * 32, "127.0.0.1", "refuses the token (403). Please make sure that all your Airflow components"),
        ("a" * 32, "8.8.8.8", "is not among those that may be asked"),
        ("a" * 32, "worker.invalid", "cannot be resolved"),
        ("a" * 32, "", "Could not read served logs: Hostname not available for worker."),
    ],
)
def test_why_there_is_no_log_is_said(  # noqa: PLR0917 - fixtures and a table
    logs: TaskLogs, remote: Path, monkeypatch: pytest.MonkeyPatch, key: str, hostname: str, words: str
) -> None:
    """Each refusal says why, and what to do, in the group of sources."""
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", key)
    assert conf.get("api", "secret_key") == key
    messages, _ = logs.read(state="failed", hostname=hostname)
    assert words in " ".join(events(messages))
    assert events(messages)[-1] == "::endgroup::"


def test_a_log_server_that_is_away_hides_nothing_else(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would have had is told with the reason and what to do, and what lies elsewhere is shown."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])  # nobody listens there when this is left
    monkeypatch.setenv("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", port)
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "a" * 32)
    logs.write("attempt=1.log", line(1, "here"))
    messages = logs.lines(state="running", hostname="127.0.0.1")
    assert events(messages)[-1] == "here"
    words = " ".join(events(messages))
    assert "does not answer" in words
    assert "Check that the machine is up" in words
