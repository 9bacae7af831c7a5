"""Remote logs in the clouds of Google, Azure and Alibaba: providers' classes, beside servers that act like them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from logflume.airflow.providers import RANGE_BYTES
from logflume.records import GapReason
from tests.airflow import stores
from tests.airflow.test_remote import EVENTS, PATH, TEXT, TI, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BIG = TEXT.encode() * 40  # more than one range
KEY = "c2VjcmV0IGtleSBvZiBuby1ib2R5"


def connect(monkeypatch: pytest.MonkeyPatch, kind: str, extra: Mapping[str, object]) -> None:
    """Configure Airflow's connection for remote logs."""
    monkeypatch.setenv("AIRFLOW_CONN_LOGS", json.dumps({"conn_type": kind, "extra": extra}))
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID", "logs")


def gcs(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - the provider's class
    """Make Google's class for objects as Airflow does."""
    from airflow.providers.google.cloud.log.gcs_task_handler import GCSRemoteLogIO

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    connect(monkeypatch, "google_cloud_platform", {"is_anonymous": True, "project": "p"})
    return GCSRemoteLogIO(remote_base="gs://logs/base", base_log_folder=folder, delete_local_copy=False)


def wasb(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - as above
    """Make Azure's class as Airflow does."""
    from airflow.providers.microsoft.azure.log.wasb_task_handler import WasbRemoteLogIO

    account = f"AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={url}/devstoreaccount1"
    connect(monkeypatch, "wasb", {"connection_string": f"DefaultEndpointsProtocol=http;{account}"})
    return WasbRemoteLogIO(
        remote_base="base", base_log_folder=folder, delete_local_copy=False, wasb_container="airflow"
    )


def oss(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - as above
    """Make Alibaba's class as Airflow does."""
    from airflow.providers.alibaba.cloud.log.oss_task_handler import OSSRemoteLogIO

    keys = {"auth_type": "AK", "access_key_id": "key", "access_key_secret": KEY, "region": "cn-hangzhou"}
    connect(monkeypatch, "oss", keys | {"endpoint": url})
    return OSSRemoteLogIO(remote_base="oss://airflow/base", base_log_folder=folder, delete_local_copy=False)


STORES = pytest.mark.parametrize(
    ("make", "server", "store"),
    [
        (gcs, stores.GoogleStorage, "gs://logs/"),
        (wasb, stores.AzureBlobs, "wasb://airflow/"),
        (oss, stores.AliyunObjects, "oss://airflow/"),
    ],
)


@STORES
def test_an_object_is_read_whole_whatever_its_bytes(
    make: Any,  # noqa: ANN401 - one of those
    server: Any,  # noqa: ANN401 - a handler
    store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An object of several ranges comes whole, in order, a byte that is no UTF-8 included; a missing one is told."""
    files = {f"base/{PATH}": BIG + b"odd \xff byte\n", "base/empty.log": b""}
    spans: list[int] = []
    with stores.serving(server, files=files, spans=spans) as url:
        io = make(url, tmp_path, monkeypatch)
        events, gaps, messages = read(monkeypatch, io)
        assert gaps == []
        assert max(spans, default=0) <= RANGE_BYTES + 1  # Google's ends one byte later than it is asked for
        assert sum(spans) in {0, len(files[f"base/{PATH}"])}  # OSS gives one answer, which is read bit by bit
        assert messages == [f"{store}base/{PATH}"]
        assert events[:-1] == EVENTS * 40
        assert events[-1] == "odd \ufffd byte"
        assert read(monkeypatch, io, "empty.log")[:2] == ([], [])
        events, gaps, messages = read(monkeypatch, io, "no/such.log")
        assert (events, gaps) == ([], [])
        assert all("There is no log" in text for text in messages)


@STORES
def test_a_store_that_refuses_is_a_gap(
    make: Any,  # noqa: ANN401 - as above
    server: Any,  # noqa: ANN401 - as above
    store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal is a Gap with the store's words and none of the connection's secrets; it is no empty log."""
    with stores.serving(server, files={f"base/{PATH}": BIG}, denied=True) as url:
        events, (gap,), messages = read(monkeypatch, make(url, tmp_path, monkeypatch))
    assert (events, messages) == ([], [])
    assert gap.reason is GapReason.UNREADABLE
    assert gap.detail.startswith("The remote log could not be read: ")
    assert KEY not in gap.detail


@pytest.mark.parametrize(("make", "server"), [(gcs, stores.GoogleStorage), (wasb, stores.AzureBlobs)])
def test_the_objects_of_a_try_are_told_from_others(
    make: Any,  # noqa: ANN401 - as above
    server: Any,  # noqa: ANN401 - as above
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Triggers' objects belong to the try; one whose name only begins like it (`1` and `10`) does not."""
    names = [f"base/x/1{end}" for end in ("", ".trigger.7.log", ".trigger.8.log", "0", "0.trigger.7.log")]
    with stores.serving(server, files={name: name.encode() + b"\n" for name in names}) as url:
        events, gaps, _ = read(monkeypatch, make(url, tmp_path, monkeypatch), "x/1")
    assert (sorted(events), gaps) == (names[:3], [])


def test_a_connection_that_is_not_there_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that can only log why it has no connection is not taken for an empty store."""
    io = oss("http://127.0.0.1:1", tmp_path, monkeypatch)
    monkeypatch.delenv("AIRFLOW_CONN_LOGS")
    events, (gap,), _ = read(monkeypatch, io)
    assert events == []
    assert "connection" in gap.detail


# Cloud Logging


def entries() -> list[tuple[str, str, dict[str, str]]]:
    """Return the lines of two tries as the provider labels them."""
    labels = {"dag_id": "d", "task_id": "t", "logical_date": "2024-11-20T12:34:56+00:00"}
    times = [f"2024-11-20T12:34:56.{number:06}Z" for number in range(len(EVENTS))]
    written = [(at, event, labels | {"try_number": "1"}) for at, event in zip(times, EVENTS, strict=True)]
    return [*written, (times[-1], "second try", labels | {"try_number": "2"})]


@pytest.mark.parametrize("name", ["CloudLoggingRemoteLogIO", "StackdriverRemoteLogIO"])
@pytest.mark.filterwarnings("ignore:.*Stackdriver:Warning")
def test_cloud_logging_is_walked_with_times(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of the try come, each line with its time and level; what refuses is a Gap."""
    import grpc
    from airflow.providers.google.cloud.log import cloud_logging_task_handler, stackdriver_task_handler
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
    from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

    home: Any = stackdriver_task_handler if name.startswith("S") else cloud_logging_task_handler
    monkeypatch.setattr(
        cloud_logging_task_handler, "get_credentials_and_project_id", lambda **_: (AnonymousCredentials(), "p")
    )
    date = SimpleNamespace(isoformat=lambda: "2024-11-20T12:34:56+00:00")
    ti = SimpleNamespace(**{**vars(TI), "logical_date": date})
    with stores.cloud_logging(entries()) as address, grpc.insecure_channel(address) as channel:
        # The provider has no way to name another address; all but the channel is its own.
        client = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))
        io = getattr(home, name)(base_log_folder=tmp_path)
        io._logging_service_client = client
        lines, gaps, _ = read(monkeypatch, io, ti=ti, whole=True)
        assert gaps == []
        assert [line["event"] for line in lines] == EVENTS
        assert lines[0] == {"timestamp": "2024-11-20T12:34:56.000000Z", "event": "line 0", "level": "warning"}
        assert lines[-1]["timestamp"] == "2024-11-20T12:34:56.002499Z"
        second = SimpleNamespace(**{**vars(ti), "try_number": 2})
        assert read(monkeypatch, io, ti=second, number=2)[0] == ["second try"]
        third = SimpleNamespace(**{**vars(ti), "try_number": 3})
        events, gaps, messages = read(monkeypatch, io, ti=third, number=3)
        assert (events, gaps) == ([], [])
        assert "There is no log" in messages[0]
