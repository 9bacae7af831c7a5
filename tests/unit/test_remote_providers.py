"""What is made of any provider's answers, by fakes that behave like one (the real classes: tests/airflow)."""

# ruff: noqa: ANN401 - what a provider has carries no types here

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from logflume.airflow.providers import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

TI = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1)
PATH = "dag_id=d/run_id=r/task_id=t/attempt=1.log"
LINES = [json.dumps({"event": f"line {number}"}) for number in range(2500)]
TEXT = "".join(f"{line}\n" for line in LINES)


def provider(name: str, members: dict[str, Any], module: str = "airflow.providers.of.a.test") -> Any:
    """Make an object of a class that stands in a provider's module."""
    return type(name, (), {"__module__": module, **members})()


def content(walked: tuple[list[str], list[Any]]) -> bytes:
    """Read all parts, twice: a part gives the same each time."""
    _, parts = walked
    data = b"".join(b"".join(part.make()) for part in parts)
    assert b"".join(b"".join(part.make()) for part in parts) == data
    return data


# what Airflow's own protocol gives


def test_a_provider_that_streams_is_streamed() -> None:
    """Streams are taken where there are any, lazily, and closed; read is not called."""
    closed: list[int] = []

    def stream(self: object, path: str, ti: object) -> tuple[list[str], list[Iterator[str]]]:
        def lines() -> Iterator[str]:
            try:
                yield from LINES
            finally:
                closed.append(1)

        return [f"gs://bucket/{path}"], [lines()]

    walked = walk(provider("OwnRemoteLogIO", {"stream": stream, "read": None}), PATH, TI)
    assert closed == []
    assert content(walked) == TEXT.encode()
    assert closed == [1, 1]
    assert [part.name for part in walked[1]] == [f"gs://bucket/{PATH}"]


@pytest.mark.parametrize(
    ("found", "expected"), [(None, b""), ([], b""), (["one\ntwo", "three\n"], b"one\ntwo\nthree\n")]
)
def test_a_provider_that_reads_is_read(found: list[str] | None, expected: bytes) -> None:
    """Whole texts, or none, are taken where there are no streams."""
    reading = provider("OwnRemoteLogIO", {"read": lambda self, path, ti: (["from somewhere"], found)})
    walked = walk(reading, PATH, TI)
    assert walked[0] == ["from somewhere"]
    assert content(walked) == expected


def test_a_class_of_ones_own_is_taken_at_its_word() -> None:
    """One that changes what a provider's class reads is read as it says, not as its ancestor's store."""
    ancestor = type("S3RemoteLogIO", (), {"__module__": "airflow.providers.amazon.aws.log.s3_task_handler"})
    own = type("Own", (ancestor,), {"read": lambda self, path, ti: ([], ["mine"])})
    assert content(walk(own(), PATH, TI)) == b"mine\n"


def test_what_a_provider_raises_is_raised() -> None:
    """Nothing is swallowed on the way: whoever asks makes a Gap of it."""

    def read(self: object, path: str, ti: object) -> Any:
        raise ConnectionError("the store is away")

    with pytest.raises(ConnectionError, match="away"):
        walk(provider("OwnRemoteLogIO", {"read": read}), PATH, TI)


# logs in pages


def cloudwatch(lines: list[str], messages: list[str] | None = None) -> Any:
    """Stand for Amazon's provider."""

    def stream(self: object, path: str, ti: object) -> tuple[list[str], list[Iterator[str]]]:
        return messages or ["Reading remote log from Cloudwatch"], [] if messages else [iter(lines)]

    return provider("CloudWatchRemoteLogIO", {"stream": stream, "log_group": "group", "read": None})


def test_a_stream_of_cloudwatch_is_streamed_and_a_missing_one_told() -> None:
    """The provider's made-up line for a missing stream becomes a message; what it could not begin is raised."""
    assert content(walk(cloudwatch(LINES), PATH, TI)) == TEXT.encode()
    missing = '{"event":"No log stream found in CloudWatch (log_group=group, log_stream=x)."}'
    for lines in ([missing], []):
        messages, parts = walk(cloudwatch(lines), PATH, TI)
        assert parts == []
        assert "no log stream" in messages[0]
    with pytest.raises(RuntimeError, match="AccessDenied"):
        walk(cloudwatch([], ["Reading remote log", "AccessDeniedException"]), PATH, TI)
