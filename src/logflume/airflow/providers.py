"""Remote log stores of Airflow's providers, read piece by piece where the provider's own ``read`` takes all at once.

Holds: one page or one chunk of a store's object at a time, in the thread of whoever reads.
Plan:  a walker for each provider that materialises, cuts off or hides errors; each says what there is (``Part``), and
gives it when it is read. Walkers use the provider's own connection, paths and queries; a class that changes ``read`` or
``stream`` is taken at its word, and has none.

What a walker mends: Elasticsearch gives its first 1,000 lines only, and like OpenSearch an error as the end; S3 and
OSS give an error as the log's text; S3, WASB, OSS, HDFS and Cloud Logging give whole texts, the last one without times;
GCS stops at a byte that is no UTF-8; CloudWatch has a made-up line for a missing stream.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume.airflow.local import is_of
from logflume.airflow.searching import LogDocuments
from logflume.sources.streamed import iter_texts, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK_BYTES = 256 * 1024
"""So much of an object is passed on at once."""

RANGE_BYTES = 4 * 1024 * 1024
"""So much is asked for at once of stores that are asked for ranges: GCS, WASB."""

MAX_PARTS = 256
"""Objects of one try: a try has one, and one for each run of a trigger."""

_NOT_SATISFIABLE = 416

_SEVERITIES = {100: "debug", 200: "info", 300: "notice", 400: "warning", 500: "error", 600: "critical", 700: "alert"}
"""Of Cloud Logging, as its protocol numbers them."""

_NO_STREAM = "No log stream found in CloudWatch"


@dataclass(frozen=True)
class Part:
    """One object, stream or set of pages of a store.

    Attributes:
        name: where it is, for people.
        make: gives its bytes, from the start, each time.
    """

    name: str
    make: Callable[[], Iterable[bytes]]


Walked = tuple[list[str], list[Part]]  # what is told to people, and what there is


def walk(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401 - a provider's object, Airflow's task instance
    """Say what a remote store has of a try: by its walker, else by ``stream``, else by ``read``.

    Raises:
        Exception: whatever the provider raises.
    """
    walker = _walker_of(type(io))
    if walker is not None:
        walked: Walked = walker(io, path, ti)
        return walked
    stream = getattr(io, "stream", None)
    if stream is not None:
        return _asked(stream, path, ti, _lines)
    return _asked(io.read, path, ti, _text)


def _walker_of(cls: type) -> Any:  # noqa: ANN401 - a Walker, or None
    for ancestor in cls.__mro__:
        if ancestor.__name__ in _WALKERS and ancestor.__module__.startswith("airflow.providers."):
            return _WALKERS[ancestor.__name__]
        if {"read", "stream"} & vars(ancestor).keys():
            return None
    return None


def _home_of(io: Any) -> str:  # noqa: ANN401 - as walk
    """Return the provider's module that has the helpers of a class."""
    # A provider's class may itself be of an older one.
    return [cls.__module__ for cls in type(io).__mro__ if cls.__name__ in _WALKERS][-1]


# any provider


def _asked(ask: Callable[[str, Any], Any], path: str, ti: Any, lines_of: Callable[[Any], Iterable[bytes]]) -> Walked:  # noqa: ANN401
    """Ask a provider as Airflow does; what it gives can be read once, and is asked for again after that."""
    messages, found = ask(path, ti)
    unread = dict(enumerate(found or []))

    def make(number: int) -> Iterable[bytes]:
        if number not in unread:
            _, again = ask(path, ti)
            return lines_of(list(again or [])[number])
        return lines_of(unread.pop(number))

    names = list(messages) if len(messages) == len(unread) else [f"{path} {number + 1}" for number in unread]
    return list(messages), [Part(names[number], functools.partial(make, number)) for number in unread]


def _lines(stream: Iterable[Any]) -> Iterator[bytes]:
    try:
        yield from map(line_of, stream)
    finally:
        getattr(stream, "close", _nothing)()


def _text(text: str) -> Iterator[bytes]:
    return iter_texts([text])


def _nothing() -> None:
    return None


# Elasticsearch and OpenSearch


def _search(io: Any, path: str, ti: Any, *, read: str) -> Walked:  # noqa: ANN401, ARG001 - see walk; every walker takes it
    documents = LogDocuments(io, _home_of(io), read, ti)
    store = type(io).__name__.removesuffix("RemoteLogIO")
    if not documents.are_there():
        return [f"There is no log {documents.log_id} in {store}."], []
    name = f"{store} {documents.log_id}"
    return [name], [Part(name, documents.lines)]


# object stores


def _s3(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    bucket, prefix = io.hook.parse_s3_url(s3url=os.path.join(io.remote_base, path))  # noqa: PTH118 - an URL
    keys = io.hook.list_keys(bucket_name=bucket, prefix=prefix) or []
    return _objects(keys, prefix, f"s3://{bucket}/", lambda key: _iter_s3(io, bucket, key))


def _iter_s3(io: Any, bucket: str, key: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    body = io.hook.get_key(key, bucket).get()["Body"]
    try:
        yield from body.iter_chunks(CHUNK_BYTES)
    finally:
        body.close()


def _gcs(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    location = os.path.join(io.remote_base, path)  # noqa: PTH118 - as above
    bucket, _, prefix = location.removeprefix("gs://").partition("/")
    names = [blob.name for blob in io.client.list_blobs(bucket, prefix=prefix)]
    return _objects(names, prefix, f"gs://{bucket}/", lambda name: _iter_gcs(io, bucket, name))


def _iter_gcs(io: Any, bucket: str, name: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    with io.client.bucket(bucket).blob(name).open("rb", chunk_size=RANGE_BYTES) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _wasb(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    prefix = os.path.join(io.remote_base, path)  # noqa: PTH118 - as above
    names = _hook(io).get_blobs_list(container_name=io.wasb_container, prefix=prefix) or []
    return _objects(names, prefix, f"wasb://{io.wasb_container}/", lambda name: _iter_wasb(io, name))


def _iter_wasb(io: Any, name: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    """Yield range after range: of a blob that is asked for whole, the client takes 32 MiB at once."""
    at, size = 0, 1
    while at < size:
        try:
            found = io.hook.download(io.wasb_container, name, offset=at, length=RANGE_BYTES)
        except Exception as error:
            if getattr(error, "status_code", None) == _NOT_SATISFIABLE:  # of an empty blob there is no range
                return
            raise
        size = int(found.properties.content_range.rpartition("/")[2])
        data = found.readall()
        yield data
        at += len(data) or size


def _hdfs(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    full = os.path.join(io.remote_base, path)  # noqa: PTH118 - as above
    if not _hook(io).check_for_path(full):
        return [f"There is no log {full} in HDFS."], []
    return _objects([full], full, "hdfs:", lambda name: _iter_hdfs(io, name))


def _iter_hdfs(io: Any, full: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    with io.hook.get_conn().read(full, chunk_size=CHUNK_BYTES) as chunks:
        yield from chunks


def _oss(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    key = f"{io.base_folder}/{path}"
    if not _hook(io).key_exist(io.bucket_name, key):  # what the provider's own class asks takes an error for a no
        return [f"There is no log {key} in OSS."], []
    return _objects([key], key, f"oss://{io.bucket_name}/", lambda name: _iter_oss(io, name))


def _iter_oss(io: Any, key: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    sdk = getattr(importlib.import_module(type(io.hook).__module__), "oss", None)
    if sdk is None:  # an older provider, with another SDK
        yield from _text(io.hook.read_key(io.bucket_name, key))
        return
    client = io.hook._get_client()  # noqa: SLF001 - there is no public way
    with client.get_object(sdk.GetObjectRequest(bucket=io.bucket_name, key=key)).body as body:
        yield from body.iter_bytes(block_size=CHUNK_BYTES)


def _hook(io: Any) -> Any:  # noqa: ANN401 - as above
    """Return the hook of a provider whose class only logs that it cannot make one.

    Raises:
        LookupError: it could not.
    """
    if io.hook is None:
        raise LookupError("the provider cannot use the connection of [logging] remote_log_conn_id")
    return io.hook


def _objects(names: Iterable[str], log: str, store: str, read: Callable[[str], Iterable[bytes]]) -> Walked:
    """Name the objects of a log among those whose names begin with its name."""
    found = sorted(name for name in names if is_of(name, log))
    parts = [Part(f"{store}{name}", functools.partial(read, name)) for name in found]
    return [part.name for part in parts], parts


# logs in pages


def _cloud_logging(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401 - as above
    labels = importlib.import_module(_home_of(io))._task_instance_to_labels(ti)  # noqa: SLF001 - there is no public way
    lines = functools.partial(_iter_entries, io, io.prepare_log_filter(labels))
    name = f"Cloud Logging for {path}"
    if next(lines(), None) is None:
        return [f"There is no log in {name}."], []
    return [name], [Part(name, lines)]


def _iter_entries(io: Any, log_filter: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    _, project = io.credentials_and_project
    asked: dict[str, Any] = {
        "resource_names": [f"projects/{project}"],
        "filter": log_filter,
        "order_by": "timestamp asc",
        "page_size": 1000,
    }
    while True:
        client = io._logging_service_client  # noqa: SLF001 - there is no public way
        page = next(client.list_log_entries(request=asked).pages)
        yield from filter(None, map(_entry_line, page.entries))
        asked["page_token"] = page.next_page_token
        if not page.next_page_token:
            return


def _entry_line(entry: Any) -> bytes | None:  # noqa: ANN401 - a class of Google's
    """Return an entry as a line, with its time, which the provider leaves out; None if it has no text."""
    text = (entry.json_payload or {}).get("message") or entry.text_payload
    if not text:
        return None
    line = {"timestamp": entry.timestamp.rfc3339() if entry.timestamp else None, "event": text}
    if level := _SEVERITIES.get(entry.severity):
        line["level"] = level
    return json.dumps(line, default=str).encode() + b"\n"


def _cloudwatch(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401 - as above
    messages, parts = _asked(io.stream, path, ti, _lines)
    if not parts:  # it could not begin, and its reason is its last message
        raise RuntimeError(messages[-1])
    first = next(iter(parts[0].make()), None)  # what was begun is let go, and asked for anew by who reads
    if first is None or _NO_STREAM.encode() in first:
        return [f"There is no log stream {path} in CloudWatch's log group {io.log_group}."], []
    return messages, parts


_WALKERS: dict[str, Any] = {
    "CloudLoggingRemoteLogIO": _cloud_logging,
    "CloudWatchRemoteLogIO": _cloudwatch,
    "ElasticsearchRemoteLogIO": functools.partial(_search, read="_es_read"),
    "GCSRemoteLogIO": _gcs,
    "HdfsRemoteLogIO": _hdfs,
    "OSSRemoteLogIO": _oss,
    "OpensearchRemoteLogIO": functools.partial(_search, read="_os_read"),
    "S3RemoteLogIO": _s3,
    "StackdriverRemoteLogIO": _cloud_logging,
    "WasbRemoteLogIO": _wasb,
}
