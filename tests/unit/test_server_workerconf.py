"""Where a worker's log server finds folder, key and clock grace of its Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume.errors import UsageError
from logflume.serve.settings import check_binding, load_settings
from logflume.serve.workerconf import WorkerConf, worker_conf

KEY = {"AIRFLOW__API__SECRET_KEY": "of-the-environment"}


def conf(environ: dict[str, str], home: Path, **flags: object) -> WorkerConf:
    """Find it, with a home of Airflow that may hold a file."""
    settings = load_settings({"airflow_worker": True, **flags}, {})
    return worker_conf(settings, {"AIRFLOW_HOME": str(home), **environ})


def test_the_environment_is_enough(tmp_path: Path) -> None:
    """As in a container: no file of Airflow, the folder where Airflow puts it by itself."""
    assert conf(KEY, tmp_path) == WorkerConf(tmp_path / "logs", "of-the-environment", 30)
    told = {
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{tmp_path}/$NAME",
        "AIRFLOW__WEBSERVER__LOG_REQUEST_CLOCK_GRACE": "90",
    }
    assert conf(KEY | told, tmp_path) == WorkerConf(tmp_path / "$NAME", "of-the-environment", 90)


def test_the_file_of_airflow_is_read(tmp_path: Path) -> None:
    """What the environment does not say; a percent sign is a percent sign."""
    text = "[api]\nsecret_key = 100%of-the-file\n[logging]\nbase_log_folder = /var/logs\n"
    (tmp_path / "airflow.cfg").write_text(text)
    assert conf({}, tmp_path) == WorkerConf(Path("/var/logs"), "100%of-the-file", 30)
    assert conf(KEY, tmp_path) == WorkerConf(Path("/var/logs"), "of-the-environment", 30)
    (tmp_path / "other.cfg").write_text("[webserver]\nsecret_key = old\n")
    other = {"AIRFLOW_CONFIG": str(tmp_path / "other.cfg")}
    assert conf(other, tmp_path) == WorkerConf(tmp_path / "logs", "old", 30)


def test_flags_come_first(tmp_path: Path) -> None:
    """A folder, and a file with the key."""
    (tmp_path / "key").write_text("of-its-file\n")
    (tmp_path / "mine").mkdir()
    flags = {"folders": [str(tmp_path / "mine")], "airflow_secret_file": str(tmp_path / "key")}
    found = conf(KEY, tmp_path, **flags)
    assert (found.folder, found.secret_key) == (tmp_path / "mine", "of-its-file")
    assert "of-its-file" not in repr(found)


@pytest.mark.parametrize(
    ("environ", "cfg", "said"),
    [
        ({}, "", "AIRFLOW__API__SECRET_KEY"),
        ({"AIRFLOW__API__SECRET_KEY_CMD": "cat key"}, "", "--airflow-secret-file"),
        (KEY | {"AIRFLOW__WEBSERVER__LOG_REQUEST_CLOCK_GRACE": "soon"}, "", "expected seconds"),
        (KEY | {"AIRFLOW__WEBSERVER__LOG_REQUEST_CLOCK_GRACE": "9" * 30}, "", "expected seconds"),
        (KEY, "[api\nsecret_key = hidden", "cannot be read as a configuration"),
    ],
)
def test_what_is_missing_is_said(environ: dict[str, str], cfg: str, said: str, tmp_path: Path) -> None:
    """With where to put it, and without any key."""
    (tmp_path / "airflow.cfg").write_text(cfg)
    with pytest.raises(UsageError) as refused:
        conf(environ, tmp_path)
    assert said in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b" \n", b"\xff\xfe", None])
def test_a_file_without_a_key_is_refused(data: bytes | None, tmp_path: Path) -> None:
    """An empty key would let everybody sign."""
    if data is not None:
        (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match="key"):
        conf(KEY, tmp_path, airflow_secret_file=str(tmp_path / "key"))


def test_one_folder_is_served(tmp_path: Path) -> None:
    """Airflow asks for paths in one."""
    with pytest.raises(UsageError, match="one folder"):
        conf(KEY, tmp_path, folders=[str(tmp_path), str(tmp_path)])


def test_it_may_be_reached_by_others() -> None:
    """Nobody reads anything without a token, so any address will do."""
    check_binding(load_settings({"airflow_worker": True, "host": "0.0.0.0"}, {}))  # noqa: S104 - what is tested
