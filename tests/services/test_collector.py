"""A real OpenTelemetry Collector between the sink and a service of ours: what it understood, it passes on."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen
from tests.conformance.test_services import Collector
from tests.web import Answer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.ship.delivery import Progress

PATIENCE_S = 60.0
CONFIG = """yaml:
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  otlp_http:
    endpoint: {behind}
    encoding: json
    compression: none
    sending_queue:
      enabled: false
    retry_on_failure:
      enabled: false
service:
  telemetry:
    metrics:
      level: none
    logs:
      level: error
  pipelines:
    logs:
      receivers: [otlp]
      exporters: [otlp_http]
"""


@pytest.fixture
def behind() -> Iterator[tuple[Collector, str]]:
    """Give what is behind the collector, and the collector's address."""
    service = Collector()
    with serving(service.answer) as running, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        words = ["build/collector", "--config", CONFIG.format(port=port, behind=running.url)]
        with subprocess.Popen(words) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(url, process)
                yield service, url
            finally:
                process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody answers."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "the collector ended"
        assert time.monotonic() < deadline_s
        with contextlib.suppress(ConnectionError, urllib.error.URLError):
            try:
                urllib.request.urlopen(url)  # noqa: S310 - on loopback
            except urllib.error.HTTPError:
                return
        time.sleep(0.05)


def shipped(folder: Path, url: str, **more: object) -> Progress:
    """Ship what is in a folder; return how it went."""
    table = {"kind": "otlp", "url": url, **more}
    return ship(folder, [Chosen("otel", table, "logflume.toml", folder).make(folder, {})])[0]


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_all_arrives_in_order(behind: tuple[Collector, str], tmp_path: Path, compress: str) -> None:
    """A collector takes every line once, in order, whatever is in it, and tells level, time and resource as we do."""
    service, url = behind
    written = [f"2024-11-20T12:34:56.789012Z ERROR {number} ünï\t\x07" for number in range(20_000)]
    (tmp_path / "out.log").write_text("".join(f"{line}\n" for line in written) + "  no time\n\n")
    progress = shipped(tmp_path, url, compress=compress, attributes={"service.name": "etl"})
    assert (progress.done, progress.events, progress.rejected, progress.refusals) == (True, 20_002, 0, 0)
    assert service.lines == [*written, "  no time", ""]
    first = service.records[0]
    assert (first.time_unix_nano, first.severity_number, first.severity_text) == (1732106096789012000, 17, "ERROR")
    assert service.resources[0] == {"service.name": "etl", "log.file.name": "out.log"}


def test_a_line_of_a_megabyte_and_bytes_that_are_no_text(behind: tuple[Collector, str], tmp_path: Path) -> None:
    """A long line arrives in marked pieces; what is no UTF-8 is U+FFFD."""
    service, url = behind
    (tmp_path / "out.log").write_bytes(b"x" * 1_000_000 + b"\n\xff\xfe\n")
    progress = shipped(tmp_path, url)
    mark = "[logflume: the line goes on]"
    *parts, last = service.lines
    assert "".join(part.removeprefix(f"{mark} ").removesuffix(f" {mark}") for part in parts) == "x" * 1_000_000
    assert (last, progress.rejected) == ("\ufffd\ufffd", 0)


def test_what_is_behind_it_may_be_away(behind: tuple[Collector, str], tmp_path: Path) -> None:
    """While whoever is behind the collector refuses, so does the collector; then all arrives, in order."""
    service, url = behind
    service.next_answers = [Answer(503, b"", {"Retry-After": "0"}), Answer(429, b"", {"Retry-After": "0"}), Answer(502)]
    (tmp_path / "out.log").write_text("".join(f"{number}\n" for number in range(1000)))
    progress = shipped(tmp_path, url)
    assert (progress.done, progress.rejected) == (True, 0)
    assert progress.refusals >= 3
    assert service.lines == [str(number) for number in range(1000)]
