"""Remote log stores of Airflow's providers, by fakes that behave like their classes (the real ones: tests/airflow)."""

# ruff: noqa: ANN401 - what a provider has carries no types here

from __future__ import annotations

import contextlib
import io as bytes_io
import itertools
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from logflume.airflow.providers import CHUNK_BYTES, walk

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


# Elasticsearch and OpenSearch


class Hit:
    def __init__(self, number: int) -> None:
        self.offset = number + 1
        self.event = f"line {number}"

    def to_dict(self) -> dict[str, Any]:
        return {"event": self.event, "secret_field": "not shown"}


class Page(list[Hit]):
    @property
    def hits(self) -> list[Hit]:
        return list(self)


class SearchClient:
    """Answers a thousand lines at a time, and can break at one of them."""

    def __init__(self, lines: int, fails_at: int | None) -> None:
        self.lines = lines
        self.fails_at = fails_at

    def search(self, after: int) -> list[Hit]:
        if self.fails_at is not None and after >= self.fails_at:
            raise TimeoutError("the cluster is red")
        return [Hit(number) for number in range(after, min(after + 1000, self.lines))]


def searching(name: str, read: str, lines: int, fails_at: int | None = None) -> Any:
    """Stand for the provider: its page read returns None for the end, and for an error."""
    module = ModuleType(f"airflow.providers.{name.lower()}.of.a.test")
    module._render_log_id = lambda template, ti, number: f"{ti.dag_id}-{number}"  # type: ignore[attr-defined]
    module._build_log_fields = lambda fields: {"event": fields["event"]}  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module

    def page(self: Any, log_id: str, offset: int, ti: object) -> Page | None:
        try:
            return Page(self.client.search(int(offset))) or None
        except TimeoutError:
            return None

    members = {
        "log_id_template": "",
        "offset_field": "offset",
        "client": SearchClient(lines, fails_at),
        read: page,
        "read": lambda self, path, ti: ([], ["never"]),
    }
    return provider(name, members, module.__name__)


SEARCHING = [("ElasticsearchRemoteLogIO", "_es_read"), ("OpensearchRemoteLogIO", "_os_read")]


@pytest.mark.parametrize(("name", "read"), SEARCHING)
def test_pages_of_a_search_engine_are_walked_to_the_end(name: str, read: str) -> None:
    """All lines come, beyond the first thousand, in the form that the provider gives them."""
    walked = walk(searching(name, read, len(LINES)), PATH, TI)
    assert content(walked) == TEXT.encode()
    assert walked[0] == [f"{name.removesuffix('RemoteLogIO')} d-1"]


@pytest.mark.parametrize(("name", "read"), SEARCHING)
def test_an_error_of_a_search_engine_is_no_end(name: str, read: str) -> None:
    """An error on a later page is raised, though the provider swallows it; the provider's object is not changed."""
    io = searching(name, read, 2500, fails_at=2000)
    _, (part,) = walk(io, PATH, TI)
    pieces = iter(part.make())
    assert len(list(itertools.islice(pieces, 2000))) == 2000
    with pytest.raises(TimeoutError, match="red"):
        next(pieces)
    assert type(io.client) is SearchClient
    with pytest.raises(TimeoutError):
        walk(searching(name, read, 2500, fails_at=0), PATH, TI)


def test_a_search_engine_without_the_log_says_so() -> None:
    """No hit is a message, not a line of the log."""
    messages, parts = walk(searching("ElasticsearchRemoteLogIO", "_es_read", 0), PATH, TI)
    assert (messages, parts) == (["There is no log d-1 in Elasticsearch."], [])


# object stores


class Store:
    """Objects by name, read in chunks, never whole."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.largest = 0

    def chunks_of(self, name: str, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        if name not in self.objects:
            raise FileNotFoundError(name)
        stream = bytes_io.BytesIO(self.objects[name])
        while chunk := stream.read(size):
            self.largest = max(self.largest, len(chunk))
            yield chunk


class WasbHook(Store):
    def get_blobs_list(self, container_name: str, prefix: str) -> list[str]:
        return [name for name in self.objects if name.startswith(prefix)]

    def download(self, container_name: str, name: str) -> Any:
        return SimpleNamespace(chunks=lambda: self.chunks_of(name))


class HdfsHook(Store):
    def check_for_path(self, path: str) -> bool:
        return path in self.objects

    def get_conn(self) -> HdfsHook:
        return self

    def read(self, path: str, chunk_size: int) -> Any:
        return contextlib.nullcontext(self.chunks_of(path, chunk_size))


class OssHook(Store):
    def read_key(self, bucket: str, key: str) -> str:
        return b"".join(self.chunks_of(key)).decode()


BIG = TEXT.encode() * 20


def wasb(objects: dict[str, bytes]) -> Any:
    """Stand for Azure's provider."""
    members = {"remote_base": "logs", "wasb_container": "airflow", "hook": WasbHook(objects), "read": None}
    return provider("WasbRemoteLogIO", members)


def hdfs(objects: dict[str, bytes]) -> Any:
    """Stand for HDFS's provider."""
    return provider("HdfsRemoteLogIO", {"remote_base": "logs", "hook": HdfsHook(objects), "read": None})


def oss(objects: dict[str, bytes]) -> Any:
    """Stand for Alibaba's provider."""
    hook = OssHook(objects)
    exists = {"oss_log_exists": lambda self, path: f"logs/{path}" in objects}
    return provider(
        "OSSRemoteLogIO", {"bucket_name": "airflow", "base_folder": "logs", "hook": hook, "read": None, **exists}
    )


@pytest.mark.parametrize("make", [wasb, hdfs, oss])
def test_objects_of_a_store_are_read_in_chunks(make: Any) -> None:
    """What lies in the store comes as it is, no more than a chunk of it at a time; what does not is a message."""
    io = make({f"logs/{PATH}": BIG})
    assert content(walk(io, PATH, TI)) == BIG
    assert io.hook.largest <= CHUNK_BYTES
    messages, parts = walk(make({}), PATH, TI)
    assert parts == []
    assert all("no log" in text for text in messages)


def test_the_log_of_a_trigger_is_an_object_of_its_own() -> None:
    """Objects that begin with the log's name are parts, by name."""
    io = wasb({f"logs/{PATH}.trigger.7.log": b"deferred\n", f"logs/{PATH}": b"task\n"})
    _, parts = walk(io, PATH, TI)
    assert [part.name for part in parts] == [f"wasb://airflow/logs/{PATH}", f"wasb://airflow/logs/{PATH}.trigger.7.log"]


# logs in pages


def cloud_logging(pages: list[str]) -> Any:
    """Stand for Google's provider."""
    module = ModuleType("airflow.providers.google.of.a.test")
    module._task_instance_to_labels = lambda ti: {"task_id": ti.task_id}  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module

    def page(self: object, log_filter: str, token: str | None) -> tuple[str, str]:
        number = int(token or 0)
        return pages[number], str(number + 1) if number + 1 < len(pages) else ""

    members = {"prepare_log_filter": lambda self, labels: str(labels), "_read_single_logs_page": page, "read": None}
    ancestor = type("CloudLoggingRemoteLogIO", (), {"__module__": module.__name__, **members})
    return type("StackdriverRemoteLogIO", (ancestor,), {"__module__": module.__name__})()


@pytest.mark.parametrize(
    ("pages", "expected"), [(["one\ntwo", "", "three"], b"one\ntwo\nthree\n"), ([""], b""), (["", "late"], b"late\n")]
)
def test_pages_of_cloud_logging_are_walked(pages: list[str], expected: bytes) -> None:
    """All pages come, one at a time, also behind an empty one."""
    assert content(walk(cloud_logging(pages), PATH, TI)) == expected


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
