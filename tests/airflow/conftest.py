"""What the tests of the handler share: a log folder, and tasks as Airflow hands them over.

Holds: a test needs no database and no server unless it asks for one; the file's name is given instead of rendered
       from a DAG run. There is one server in all, for the plugin's application is made once in a process.
"""

from __future__ import annotations

import json
from itertools import chain, islice
from pathlib import Path
from types import GeneratorType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.utils.log.log_reader import TaskLogReader

from logflume.airflow import TaskLogHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.airflow.api import Api

Messages = list[dict[str, Any]]


class GivenName(TaskLogHandler):  # type: ignore[misc] # untyped where Airflow is not installed
    """The handler, told the name of a log's file."""

    def _render_filename(self, ti: SimpleNamespace, try_number: int, **_: object) -> str:
        return f"{ti.folder}/attempt={try_number}.log"


class TaskLogs:
    """A log folder, and the two ways in which Airflow's API reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "dag_id=d" / "run_id=r" / "task_id=t"
        self.folder.mkdir(parents=True)
        self.handler = GivenName(str(root))

    def write(self, name: str, text: str | bytes, *, append: bool = False) -> Path:
        """Write a file of the task."""
        path = self.folder / name
        with path.open("ab" if append else "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        return path

    def task(self, state: str = "success", **more: object) -> SimpleNamespace:
        """Make a task instance."""
        given = {"try_number": 1, "state": state, "hostname": "", "folder": self.folder.relative_to(self.root), **more}
        return SimpleNamespace(**given)

    def read(
        self, metadata: dict[str, Any] | None = None, *, state: str = "success", number: int = 1, **more: object
    ) -> tuple[Messages, dict[str, Any]]:
        """Read as the JSON route does: the metadata is complete before the first message is taken."""
        stream, found = self.handler.read(self.task(state, **more), number, metadata=metadata or {})
        assert isinstance(stream, GeneratorType | chain | islice)
        found = json.loads(json.dumps(found))  # it goes to the client and comes back
        return [message.model_dump() for message in list(stream)], found

    def lines(self, *, state: str = "success", number: int = 1, **more: object) -> Messages:
        """Read as the NDJSON route does."""
        reader = TaskLogReader()
        reader.log_handler = self.handler
        text = "".join(reader.read_log_stream(self.task(state, **more), number, {"download_logs": False}))
        assert text.endswith("\n")
        return [json.loads(line) for line in text.removesuffix("\n").split("\n")]

    def both(self, **asked: Any) -> Messages:  # noqa: ANN401 - as those
        """Read in both ways, which give the same; without the group of sources."""
        messages, _ = self.read(**asked)
        assert self.lines(**asked) == messages
        return body(messages)


def body(messages: Messages) -> Messages:
    """Return what comes after the group that tells the sources."""
    ends = [number for number, message in enumerate(messages) if message["event"] == "::endgroup::"]
    assert messages[0]["event"] == "::group::Log message source details"
    return messages[ends[0] + 1 :]


def told(messages: Messages) -> list[str]:
    """Return what the group says."""
    return [message["event"] for message in messages[1 : len(messages) - len(body(messages)) - 1]]


def descriptors() -> set[str]:
    """Name what this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except OSError:
            continue
    return found


@pytest.fixture(scope="session")
def server() -> Iterator[Api]:
    """Serve Airflow's API, to somebody who may see everything."""
    from tests.airflow.api import SIGNED_IN, serving

    with pytest.MonkeyPatch.context() as patched:
        for name, value in SIGNED_IN.items():
            patched.setenv(name, value)
        with serving() as api:
            yield api


@pytest.fixture
def logs(tmp_path: Path) -> TaskLogs:
    """Give an empty log folder."""
    return TaskLogs(tmp_path)


@pytest.fixture
def events(logs: TaskLogs) -> Callable[..., list[str]]:
    """Give what reads a log in both ways and returns the texts."""
    return lambda **asked: [message["event"] for message in logs.both(**asked)]
