"""The settings in docs/how-to/airflow-remote-logs.md do what the page says."""

from __future__ import annotations

import configparser
import importlib
import pkgutil
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "airflow-remote-logs.md"
STORES = {
    "S3": "S3RemoteLogIO",
    "CloudWatch": "CloudWatchRemoteLogIO",
    "GCS": "GCSRemoteLogIO",
    "Cloud Logging (Stackdriver)": "StackdriverRemoteLogIO",
    "Azure Blob Storage (WASB)": "WasbRemoteLogIO",
    "Alibaba OSS": "OSSRemoteLogIO",
    "HDFS": "HdfsRemoteLogIO",
    "Elasticsearch": "ElasticsearchRemoteLogIO",
    "OpenSearch": "OpensearchRemoteLogIO",
    "Redis": "RedisRemoteLog",
}


def section(name: str) -> str:
    """Return the text below a heading of the page."""
    return PAGE.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def snippet(name: str, kind: str) -> str:
    """Return the code of a section."""
    found = re.search(rf"```{kind}\n(.*?)```", section(name), re.DOTALL)
    assert found is not None
    return found[1]


def configure(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set what the page sets; return the name of the logging configuration."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(snippet(name, "ini"))
    for part in settings.sections():
        for key, value in settings[part].items():
            monkeypatch.setenv(f"AIRFLOW__{part}__{key}".upper(), value)
    return settings["logging"]["logging_config_class"]


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give what makes the logging configuration again from the settings; all is as before at the end."""
    from airflow.config_templates import airflow_local_settings

    from logflume.airflow import logging_config

    def make() -> dict[str, Any]:
        importlib.reload(airflow_local_settings)
        return dict(vars(importlib.reload(logging_config)))

    yield make
    monkeypatch.undo()
    make()


@pytest.mark.parametrize("name", [name for name in STORES if name != "Redis"])
def test_airflow_finds_the_store_of_the_page(name: str, anew: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """With these settings the remote log is the provider's, and logflume reads it."""
    assert configure(name, monkeypatch) == "logflume.airflow.LOGGING_CONFIG"
    made = anew()
    assert type(made["REMOTE_TASK_LOG"]).__name__ == STORES[name]
    assert made["LOGGING_CONFIG"]["handlers"]["task"]["class"].startswith("logflume.airflow.handler.")


def test_a_providers_links_stay(anew: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """In the place of Elasticsearch's handler ours reads, and the links of that one are given."""
    from types import SimpleNamespace

    from airflow.logging_config import _ActiveLoggingConfig
    from airflow.utils.log.log_reader import TaskLogReader

    from logflume.airflow.handler import LinkedTaskLogHandler

    for name in (
        "logging_config_loaded",
        "remote_task_log",
        "default_remote_conn_id",
    ):  # the provider's handler sets them
        monkeypatch.setattr(_ActiveLoggingConfig, name, getattr(_ActiveLoggingConfig, name))
    configure("Elasticsearch", monkeypatch)
    made = dict(anew()["LOGGING_CONFIG"]["handlers"]["task"])
    assert made.pop("class").endswith(".LinkedTaskLogHandler")
    for of_logging in ("formatter", "filters"):
        made.pop(of_logging, None)
    handler = LinkedTaskLogHandler(**made)
    monkeypatch.setattr(TaskLogReader, "log_handler", handler)
    assert TaskLogReader().supports_external_link
    assert handler.log_name == "Elasticsearch"
    run = SimpleNamespace(get_log_template=lambda **_: SimpleNamespace(elasticsearch_id="{dag_id}-{try_number}"))
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, dag_run=run, get_dagrun=lambda **_: run)
    url = handler.get_external_log_url(ti, 2)
    assert url.startswith("https://kibana.example.org/app/discover?log_id=d-")


def test_redis_is_named_by_a_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of the page is found by Airflow as its logging configuration, and its store with it."""
    from airflow._shared.logging.remote import discover_remote_log_handler

    def import_string(path: str) -> Any:  # noqa: ANN401 - as Airflow's, which is elsewhere in each version
        return pkgutil.resolve_name(path)

    (tmp_path / "redis_logs.py").write_text(snippet("Redis", "python"))
    monkeypatch.syspath_prepend(tmp_path)
    name = configure("Redis", monkeypatch)
    store, _ = discover_remote_log_handler(name, "unused.NAME", import_string)
    assert type(store).__name__ == STORES["Redis"]
    assert store.redis_conn_id == "redis_default"
    assert import_string(name)["handlers"]["task"]["class"] == "logflume.airflow.handler.TaskLogHandler"
    sys.modules.pop("redis_logs")
