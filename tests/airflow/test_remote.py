"""Remote logs by the providers' own classes, beside servers that speak their stores' protocols."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from logflume import iter_merged
from logflume.airflow import RedisRemoteLog, remote
from logflume.merge import How
from logflume.records import GapReason, Output
from tests.airflow import stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "dag_id=d/run_id=r/task_id=t/attempt=1.log"
EVENTS = [f"line {number}" for number in range(2500)]
TEXT = "".join(json.dumps({"timestamp": "2024-11-20T12:34:56Z", "event": event}) + "\n" for event in EVENTS)
TI = SimpleNamespace(
    dag_id="d",
    task_id="t",
    run_id="r",
    map_index=-1,
    try_number=1,
    state="success",
    end_date=None,
    id="0190",
    dag_run=SimpleNamespace(logical_date=None, data_interval_start=None, data_interval_end=None, run_after=None),
)


def read(
    monkeypatch: pytest.MonkeyPatch,
    io: Any,  # noqa: ANN401 - the provider's class
    path: str = PATH,
    ti: Any = TI,  # noqa: ANN401 - a row
    number: int = 1,
    *,
    whole: bool = False,
) -> Any:  # noqa: ANN401 - three lists
    """Read as the handler does; give the lines' events (or ``whole`` lines), the gaps and the messages."""
    monkeypatch.setattr("airflow.logging_config.get_remote_task_log", lambda: io)
    found = remote.remote_logs(ti, number, path)
    with iter_merged(found.sources, How(output=Output.TEXT)) as merged:
        text = b"".join(merged).decode(errors="replace")
        gaps = merged.gaps
    return [(json.loads if whole else _event)(line) for line in text.splitlines()], gaps, found.messages


def _event(line: str) -> str:
    try:
        return str(json.loads(line)["event"])
    except ValueError:
        return line


# AWS


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    """Run S3 and CloudWatch."""
    with stores.aws() as url:
        yield url


@pytest.fixture
def connected(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Configure Airflow's connection to it; give what boto3 takes for the same."""
    extra = {"endpoint_url": aws_url, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "very-secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID", "aws_default")
    return {**extra, "aws_access_key_id": "key", "aws_secret_access_key": "very-secret"}


def s3_of(folder: Path) -> Any:  # noqa: ANN401 - the provider's class
    """Make the provider's class as Airflow does."""
    from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO

    return S3RemoteLogIO(remote_base="s3://logs/base", base_log_folder=str(folder), delete_local_copy=False)


def test_s3_is_read_in_chunks(connected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's object and its trigger's are read whole, under their own names; a missing log has no source."""
    import boto3

    client = boto3.client("s3", **connected)
    client.create_bucket(Bucket="logs")
    client.put_object(Bucket="logs", Key=f"base/{PATH}", Body=TEXT.encode() * 10)
    client.put_object(Bucket="logs", Key=f"base/{PATH}.trigger.3.log", Body=b"deferred")
    events, gaps, messages = read(monkeypatch, s3_of(tmp_path))
    assert sorted(events) == sorted([*EVENTS * 10, "deferred"])
    assert gaps == []
    assert messages == [f"s3://logs/base/{PATH}", f"s3://logs/base/{PATH}.trigger.3.log"]
    assert read(monkeypatch, s3_of(tmp_path), "no/such.log") == ([], [], [])


def test_an_s3_that_refuses_is_a_gap(
    connected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the store is a Gap with its words and none of the connection's secrets, and no line of a log."""
    io = s3_of(tmp_path)
    io.remote_base = "s3://no-such-bucket/base"
    events, (gap,), _ = read(monkeypatch, io)
    assert events == []
    assert gap.reason is GapReason.UNREADABLE
    assert "NoSuchBucket" in gap.detail
    assert "very-secret" not in gap.detail


def test_cloudwatch_is_streamed(connected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All events of a log stream come; a stream that is not there is told, and is no line of a log."""
    import boto3
    from airflow.providers.amazon.aws.log.cloudwatch_task_handler import CloudWatchRemoteLogIO

    client = boto3.client("logs", **connected)
    client.create_log_group(logGroupName="airflow")
    client.create_log_stream(logGroupName="airflow", logStreamName=PATH)
    now_ms = time.time_ns() // 10**6
    for begin in range(0, len(EVENTS), 500):
        events = [
            {"timestamp": now_ms + begin, "message": json.dumps({"event": each})} for each in EVENTS[begin:][:500]
        ]
        client.put_log_events(logGroupName="airflow", logStreamName=PATH, logEvents=events)
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:airflow"
    io = CloudWatchRemoteLogIO(
        remote_base=arn, log_group_arn=arn, base_log_folder=str(tmp_path), delete_local_copy=False
    )
    found, gaps, _ = read(monkeypatch, io)
    assert found == EVENTS
    assert gaps == []
    found, gaps, messages = read(monkeypatch, io, "no/such.log")
    assert (found, gaps) == ([], [])
    assert "no log stream" in messages[0]


# Search engines


def documents(log_id: str) -> list[dict[str, Any]]:
    """Return the lines of a log as the providers write them."""
    times = {"timestamp": "2024-11-20T12:34:56Z", "log_id": log_id, "host": "worker"}
    return [{"offset": number + 1, "event": event, **times} for number, event in enumerate(EVENTS)]


def elasticsearch(url: str, folder: Path) -> Any:  # noqa: ANN401 - the provider's class
    """Make Elasticsearch's class as Airflow does."""
    from airflow.providers.elasticsearch.log.es_task_handler import ElasticsearchRemoteLogIO

    template = "{dag_id}-{task_id}-{run_id}-{map_index}-{try_number}"
    return ElasticsearchRemoteLogIO(
        host=url, target_index="logs", base_log_folder=folder, delete_local_copy=False, log_id_template=template
    )


def opensearch(url: str, folder: Path) -> Any:  # noqa: ANN401 - as above
    """Make OpenSearch's class as Airflow does."""
    from airflow.providers.opensearch.log.os_task_handler import OpensearchRemoteLogIO

    template = "{dag_id}-{task_id}-{run_id}-{map_index}-{try_number}"
    host, port = url.rsplit(":", 1)
    return OpensearchRemoteLogIO(
        host=host,
        port=int(port),
        username="",
        password="",
        target_index="logs",
        base_log_folder=folder,
        delete_local_copy=False,
        log_id_template=template,
    )


SEARCHING = pytest.mark.parametrize("make", [elasticsearch, opensearch])


@SEARCHING
def test_search_engines_are_walked_to_the_end(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """All 2,500 lines come, of the try that was asked for; an error on the third page is a Gap behind two pages."""
    held = documents("d-t-r--1-1")
    with stores.serving(stores.SearchEngine, documents=held) as url:
        io = make(url, tmp_path)
        events, gaps, _ = read(monkeypatch, io)
        assert events == EVENTS
        assert gaps == []
        second = SimpleNamespace(**{**vars(TI), "try_number": 2})
        assert read(monkeypatch, io, ti=second, number=1)[0] == EVENTS
        events, gaps, messages = read(monkeypatch, io, ti=second, number=2)
        assert (events, gaps) == ([], [])
        assert "no log" in messages[0]
    with stores.serving(stores.SearchEngine, documents=held, fails_after=1500) as url:
        events, (gap,), _ = read(monkeypatch, make(url, tmp_path))
        assert events == EVENTS[:1999]  # two pages, of which the second begins with the last line of the first
        assert gap.reason is GapReason.UNREADABLE


@SEARCHING
@pytest.mark.parametrize("tied", [2, 999, 1000, 1001, 2500])
def test_lines_of_one_offset_come_once_each(
    make: Any,  # noqa: ANN401 - as above
    tied: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many lines have the same offset, and wherever a page ends among them, none is lost or repeated."""
    held = documents("d-t-r--1-1")
    for number, each in enumerate(held):
        each["offset"] = number // tied * tied  # the first ones have 0
    with stores.serving(stores.SearchEngine, documents=held) as url:
        events, gaps, _ = read(monkeypatch, make(url, tmp_path))
    assert (events, gaps) == (EVENTS, [])


@SEARCHING
def test_more_lines_of_one_offset_than_can_be_paged_through_are_a_gap(
    make: Any,  # noqa: ANN401 - as above
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond the bound the read ends with a reason."""
    monkeypatch.setattr("logflume.airflow.searching.MAX_TIED", 1500)
    held = [each | {"offset": 7} for each in documents("d-t-r--1-1")]
    with stores.serving(stores.SearchEngine, documents=held) as url:
        events, (gap,), _ = read(monkeypatch, make(url, tmp_path))
    assert events == EVENTS[:2000]
    assert "more than 1500 lines have the same offset" in gap.detail


@SEARCHING
def test_a_part_of_an_answer_is_a_gap(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """A store that leaves out what some of its shards have is not taken at its word."""
    with stores.serving(stores.SearchEngine, documents=documents("d-t-r--1-1"), failed_shards=1) as url:
        events, (gap,), _ = read(monkeypatch, make(url, tmp_path))
    assert events == []
    assert "1 of its shards failed" in gap.detail


def test_a_search_engine_that_is_away_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be reached is a Gap; the read goes on with what other places have."""
    url = f"http://127.0.0.1:{stores.free_port()}"
    events, gaps, _ = read(monkeypatch, elasticsearch(url, tmp_path))
    assert events == []
    assert [gap.reason for gap in gaps] == [GapReason.UNREADABLE]


# Redis, HDFS


def test_redis_is_read_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the provider's own handler wrote is read back, a page at a time; a missing log is told."""
    import logging

    from airflow.providers.redis.hooks.redis import RedisHook
    from airflow.providers.redis.log.redis_task_handler import _RedisHandler

    with ExitStack() as stack:
        port = stack.enter_context(stores.redis(tmp_path))
        monkeypatch.setenv("AIRFLOW_CONN_REDIS_DEFAULT", f"redis://127.0.0.1:{port}/0")
        client = RedisHook().get_conn()
        handler = _RedisHandler(client, PATH, max_lines=10_000, ttl_seconds=100)
        for line in TEXT.splitlines():
            handler.emit(logging.LogRecord("airflow.task", logging.INFO, "", 0, line, (), None))
        events, gaps, messages = read(monkeypatch, RedisRemoteLog())
        assert events == EVENTS
        assert (gaps, messages) == ([], [f"redis:{PATH}"])
        assert read(monkeypatch, RedisRemoteLog(), "other")[2] == ["There is no log redis:other."]
        client.close()
    events, (gap,), _ = read(monkeypatch, RedisRemoteLog())
    assert (events, gap.reason) == ([], GapReason.UNREADABLE)


def test_redis_is_written_when_a_task_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's lines are there once however often it is uploaded, its triggers' too, or the newest and how many not."""
    folder = tmp_path / "logs"
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(folder))
    file, trigger = folder / PATH, folder / f"{PATH}.trigger.7.log"
    file.parent.mkdir(parents=True)
    file.write_text(TEXT)
    trigger.write_bytes(b"deferred\n\nodd \xff\nno newline")
    (tmp_path / "secret").write_text("secret")
    with stores.redis(tmp_path) as port:
        monkeypatch.setenv("AIRFLOW_CONN_REDIS_DEFAULT", f"redis://127.0.0.1:{port}/0")
        io = RedisRemoteLog()
        for path in (PATH, f"{PATH}.trigger.7.log", PATH, "../secret", "no/such.log"):
            io.upload(path)
        events, gaps, messages = read(monkeypatch, io)
        assert sorted(events) == sorted([*EVENTS, "deferred", "", "odd \ufffd", "no newline"])
        assert (gaps, messages) == ([], [f"redis:{PATH}", f"redis:{PATH}.trigger.7.log"])
        assert read(monkeypatch, io, "../secret")[0] == []
        short = RedisRemoteLog(max_lines=2000)
        short.upload(PATH)
        events, _, _ = read(monkeypatch, short)
        told = "500 lines before this one were not kept: max_lines of RedisRemoteLog is 2000."
        assert [event for event in events if event not in {"deferred", "", "odd \ufffd", "no newline"}] == [
            told,
            *EVENTS[500:],
        ]


def test_hdfs_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of HDFS is read over WebHDFS; a missing one is told."""
    from airflow.providers.apache.hdfs.log.hdfs_task_handler import HdfsRemoteLogIO

    with stores.serving(stores.WebHdfs, files={f"/logs/{PATH}": TEXT.encode()}) as url:
        monkeypatch.setenv("AIRFLOW_CONN_WEBHDFS_DEFAULT", url.replace("http", "webhdfs"))
        monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID", "webhdfs_default")
        io = HdfsRemoteLogIO(remote_base="/logs", base_log_folder=str(tmp_path), delete_local_copy=False)
        events, gaps, _ = read(monkeypatch, io)
        assert (events, gaps) == (EVENTS, [])
        assert "no log" in read(monkeypatch, io, "other")[2][0]


# What is no provider's


def test_without_a_remote_store_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no remote logging is configured nobody is asked."""
    assert read(monkeypatch, None) == ([], [], [])


def test_a_secret_that_airflow_knows_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a provider raises is masked as Airflow masks."""
    from airflow.sdk.log import mask_secret

    mask_secret("open-sesame")

    class Store:
        def read(self, path: str, ti: object) -> None:
            raise PermissionError("401 for https://user:open-sesame@store/")

    _, (gap,), _ = read(monkeypatch, Store())
    assert "PermissionError: 401 for https://user:***@store/" in gap.detail


def test_an_older_try_is_read_with_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that looks at the row's try number sees the one that was asked for."""
    seen: list[int] = []

    class Store:
        def read(self, path: str, ti: Any) -> tuple[list[str], list[str]]:  # noqa: ANN401 - a row
            seen.append(ti.try_number)
            assert ti.dag_id == "d"
            return [], []

    read(monkeypatch, Store(), ti=SimpleNamespace(**{**vars(TI), "try_number": 3}), number=2)
    assert seen == [2]


def test_the_row_of_an_older_try_is_that_of_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database has the older try its own row is used, with its own host; else the present one."""
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import create_engine, insert
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import StaticPool

    table = TaskInstanceHistory.__table__
    engine = create_engine("sqlite://", poolclass=StaticPool)
    table.create(engine)
    key = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1}
    needed = {"pool": "default_pool", "pool_slots": 1, "state": "failed", "task_display_name": "t"}
    (primary,) = (column.name for column in table.primary_key)
    with Session(engine) as session:
        row = {**key, **needed, primary: uuid.uuid4(), "try_number": 1, "hostname": "first-host"}
        session.execute(insert(table).values(**row))
        session.commit()
    monkeypatch.setattr("airflow.utils.session.create_session", lambda: Session(engine))
    ti = SimpleNamespace(**{**vars(TI), "try_number": 3, "hostname": "third-host"})
    found = {number: remote.row_of(ti, number) for number in (1, 2, 3)}
    assert [(row.try_number, row.hostname) for row in found.values()] == [
        (1, "first-host"),
        (2, "third-host"),
        (3, "third-host"),
    ]
    engine.dispose()


def test_without_a_database_an_older_try_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that goes away does not hide a log that lies elsewhere."""

    def away() -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr("airflow.utils.session.create_session", away)
    assert remote.row_of(SimpleNamespace(**{**vars(TI), "try_number": 3}), 1).try_number == 1
