"""Remote log stores of Airflow's providers, read piece by piece where the provider's own ``read`` takes all at once.

Holds: one page or one chunk of a store's object at a time, in the thread of whoever reads.
Plan:  a walker for each provider that materialises, cuts off or hides errors; each says what there is (``Part``), and
gives it when it is read. Walkers use the provider's own connection, paths and queries; a class that changes ``read`` or
``stream`` is taken at its word, and has none.

What a walker mends: Elasticsearch gives its first 1,000 lines only, and like OpenSearch an error as the end; S3 and
OSS give an error as the log's text; S3, WASB, HDFS and Cloud Logging give whole texts; CloudWatch a made-up line for a
missing stream.
"""

from __future__ import annotations

import copy
import functools
import importlib
import json
import os
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from logflume.sources.streamed import iter_texts, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK_BYTES = 256 * 1024
"""So much of an object is taken from a store at once."""

MAX_PARTS = 256
"""Objects of one try: a try has one, and one for each run of a trigger."""

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


def _module_of(io: Any) -> Any:  # noqa: ANN401 - as walk
    """Return the provider's module that has the helpers of a class."""
    homes = [cls.__module__ for cls in type(io).__mro__ if cls.__name__ in _WALKERS]
    return importlib.import_module(homes[-1])  # a provider's class may itself be of an older one


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


class _Telling:
    """A search client whose errors are kept: the providers swallow them, and an error looks like the end."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - the provider's client
        self._client = client
        self.error: Exception | None = None

    def search(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - as above
        try:
            return self._client.search(*args, **kwargs)
        except Exception as error:
            self.error = error
            raise

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._client, name)


def _search(io: Any, path: str, ti: Any, *, read: str) -> Walked:  # noqa: ANN401, ARG001 - see walk; every walker takes it
    module = _module_of(io)
    log_id = module._render_log_id(io.log_id_template, ti, ti.try_number)  # noqa: SLF001 - there is no public way
    pages = functools.partial(_iter_pages, io, ti, log_id, read)
    if next(pages(), None) is None:
        return [f"There is no log {log_id} in {type(io).__name__.removesuffix('RemoteLogIO')}."], []
    name = f"{type(io).__name__.removesuffix('RemoteLogIO')} {log_id}"
    return [name], [Part(name, lambda: _iter_hits(pages(), module))]


def _iter_pages(io: Any, ti: Any, log_id: str, read: str) -> Iterator[Any]:  # noqa: ANN401 - as above
    """Yield page after page, each after the last line of the one before it.

    Raises:
        Exception: what the store's client raised.
    """
    own = copy.copy(io)  # with a client of this walk alone; the original serves others meanwhile
    vars(own).update(vars(io))  # a copy of an attrs class has its fields only
    own.client = telling = _Telling(io.client)
    offset: object = 0
    while True:
        page = getattr(own, read)(log_id, offset, ti)
        if telling.error is not None:
            raise telling.error
        if page is None or not page.hits:
            return
        yield page
        last = attrgetter(own.offset_field)(page[-1])
        if last == offset:
            return
        offset = last


def _iter_hits(pages: Iterable[Any], module: Any) -> Iterator[bytes]:  # noqa: ANN401 - as above
    for page in pages:
        for hit in page:
            fields = module._build_log_fields(hit.to_dict())  # noqa: SLF001 - there is no public way
            yield json.dumps(fields, default=str).encode() + b"\n"


# object stores


def _s3(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    bucket, prefix = io.hook.parse_s3_url(s3url=os.path.join(io.remote_base, path))  # noqa: PTH118 - an URL
    keys = sorted(io.hook.list_keys(bucket_name=bucket, prefix=prefix) or [])
    return _objects((f"s3://{bucket}/{key}", functools.partial(_iter_s3, io, bucket, key)) for key in keys)


def _iter_s3(io: Any, bucket: str, key: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    body = io.hook.get_key(key, bucket).get()["Body"]
    try:
        yield from body.iter_chunks(CHUNK_BYTES)
    finally:
        body.close()


def _wasb(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    prefix = os.path.join(io.remote_base, path)  # noqa: PTH118 - as above
    names = sorted(io.hook.get_blobs_list(container_name=io.wasb_container, prefix=prefix) or [])
    return _objects((f"wasb://{io.wasb_container}/{name}", functools.partial(_iter_wasb, io, name)) for name in names)


def _iter_wasb(io: Any, name: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    yield from io.hook.download(io.wasb_container, name).chunks()


def _hdfs(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    full = os.path.join(io.remote_base, path)  # noqa: PTH118 - as above
    if not io.hook.check_for_path(full):
        return [f"There is no log {full} in HDFS."], []
    return _objects([(f"hdfs:{full}", lambda: _iter_hdfs(io, full))])


def _iter_hdfs(io: Any, full: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    with io.hook.get_conn().read(full, chunk_size=CHUNK_BYTES) as chunks:
        yield from chunks


def _oss(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401, ARG001 - as above
    if not io.oss_log_exists(path):
        return [f"There is no log {path} in OSS."], []
    return _objects([(f"oss://{io.bucket_name}/{io.base_folder}/{path}", lambda: _iter_oss(io, path))])


def _iter_oss(io: Any, path: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    yield from _text(io.hook.read_key(io.bucket_name, f"{io.base_folder}/{path}"))  # whole: its SDKs differ in streams


def _objects(found: Iterable[tuple[str, Callable[[], Iterable[bytes]]]]) -> Walked:
    parts = [Part(name, make) for name, make in found]
    return [part.name for part in parts], parts


# logs in pages


def _cloud_logging(io: Any, path: str, ti: Any) -> Walked:  # noqa: ANN401 - as above
    labels = _module_of(io)._task_instance_to_labels(ti)  # noqa: SLF001 - there is no public way
    pages = functools.partial(_iter_entries, io, io.prepare_log_filter(labels))
    name = f"Cloud Logging for {path}"
    if next(pages(), None) is None:
        return [f"There is no log in {name}."], []
    return [name], [Part(name, pages)]


def _iter_entries(io: Any, log_filter: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    token = None
    while True:
        text, token = io._read_single_logs_page(log_filter, token)  # noqa: SLF001 - as above
        yield from iter_texts([text] if text else [])
        if not token:
            return


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
    "HdfsRemoteLogIO": _hdfs,
    "OSSRemoteLogIO": _oss,
    "OpensearchRemoteLogIO": functools.partial(_search, read="_os_read"),
    "S3RemoteLogIO": _s3,
    "StackdriverRemoteLogIO": _cloud_logging,
    "WasbRemoteLogIO": _wasb,
}
