"""AWS as moto plays it, over a real connection: what is shipped there is there, in order."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen, sink_of
from logflume.testing import as_text, check_sink
from tests.moto_server import moto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.abc import Sink
    from tests.conftest import Require

LINES = 20_000
ALL_CHECKS = 6


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Run moto for all tests here."""
    with moto() as address:
        yield address


@pytest.fixture
def aws(address: str, require: Require, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead whoever asks AWS there."""
    require("boto3")
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_CONFIG_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    return address


def events(group: str, stream: str) -> list[str]:
    """Return all messages of a stream, from the service's own pages."""
    import boto3

    client: Any = boto3.client("logs")
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = client.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
        if not page["events"]:
            client.close()
            return found
        found += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}


@pytest.mark.usefixtures("aws")
def test_cloudwatch_has_all_in_order(tmp_path: Path) -> None:
    """Every line arrives once, in the order written, in a group and stream that were not there."""
    (tmp_path / "out.log").write_bytes(b"".join(b"%099d\n" % number for number in range(LINES)))
    (progress,) = ship(tmp_path, [sink_of("cloudwatch:airflow/scheduler:one", beside=tmp_path)])
    assert (progress.done, progress.events, progress.refusals) == (True, LINES, 0)
    assert events("airflow/scheduler", "one") == [f"{number:099d}" for number in range(LINES)]


@pytest.mark.usefixtures("aws")
def test_cloudwatch_sink(tmp_path: Path) -> None:
    """It passes the checks that every sink must; how it is refused is tested beside its stub."""
    numbers = count()
    current = ["0"]

    def make() -> Sink:
        current[0] = str(next(numbers))
        table = {"kind": "cloudwatch", "group": "checked", "stream": current[0], "max_event_bytes": 1_000_000}
        return Chosen("checked", table, "", tmp_path).make(tmp_path, {})

    def read_back() -> bytes:
        return "".join(f"{message}\n" for message in events("checked", current[0])).encode()

    assert len(check_sink(make, read_back=read_back, kept_as=as_text)) == ALL_CHECKS - 1
