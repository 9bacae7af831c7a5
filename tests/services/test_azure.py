"""Azure's own emulator of its Blob Storage takes what is shipped, and gives it back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import subprocess
import urllib.request
from email.utils import formatdate
from itertools import count
from typing import TYPE_CHECKING

import pytest

from logflume.ship.shipper import ship
from logflume.ship.sinks import Chosen
from logflume.sources.objectstore import ObjectSource
from logflume.testing import check_sink, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logflume.abc import Sink

ACCOUNT, CONTAINER = "ours", "logs"
KEY = base64.b64encode(b"for tests only").decode()
VERSION = "2021-12-02"
ALL_CHECKS = 6


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run it with a container; give the options of a sink."""
    folder = tmp_path_factory.mktemp("azure")
    words = ["build/azurite/node_modules/.bin/azurite-blob", "--blobPort", "0", "--location", str(folder)]
    environ = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    more = ["--skipApiVersionCheck", "--disableTelemetry"]
    with subprocess.Popen([*words, *more], stdout=subprocess.PIPE, env=environ) as process:
        try:
            assert process.stdout
            found = (re.search(rb"listens on (http://127.0.0.1:\d+)", line) for line in process.stdout)
            address = next(match[1].decode() for match in found if match)
            make_container(f"{address}/{ACCOUNT}")
            yield {
                "account_name": ACCOUNT,
                "account_key": KEY,
                "endpoint": f"{address}/{ACCOUNT}",
                "allow_http": "true",
            }
        finally:
            process.terminate()


def make_container(endpoint: str) -> None:
    """Make it, by Azure's own signature: obstore makes none."""
    now = formatdate(usegmt=True)
    about = f"x-ms-date:{now}\nx-ms-version:{VERSION}\n/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    signed = hmac.digest(base64.b64decode(KEY), ("PUT" + "\n" * 12 + about).encode(), hashlib.sha256)
    headers = {
        "x-ms-date": now,
        "x-ms-version": VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}",
    }
    url = f"{endpoint}/{CONTAINER}?restype=container"
    request = urllib.request.Request(url, method="PUT", headers=headers)  # noqa: S310 - on loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
        assert answer.status == 201


def read(url: str, options: dict[str, str]) -> bytes:
    """Return a stream as a reader of ours has it."""
    source = ObjectSource(url, options=options)
    with source.open() as reader:
        found = b"".join(iter(reader.read_block, b""))
        assert reader.gaps == []
    return found


def test_azure_is_a_sink_like_any_other(azure: dict[str, str], tmp_path: Path) -> None:
    """It passes the checks that every sink must; how it is refused is tested beside a stub."""
    numbers, current = count(), [""]

    def make() -> Sink:
        current[0] = f"az://{CONTAINER}/checked/{next(numbers)}"
        table = {"kind": "objectstore", "url": current[0], "options": azure}
        sink: Sink = Chosen("azure", table, "logflume.toml", tmp_path).make(tmp_path, {})
        return sink

    assert len(check_sink(make, read_back=lambda: read(f"{current[0]}/log", azure))) == ALL_CHECKS - 1


@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_a_capture_goes_to_azure_and_comes_back(azure: dict[str, str], tmp_path: Path, compress: str) -> None:
    """What was shipped in many parts, several at a time, is read again byte for byte."""
    content = numbered_lines(60_000)
    (tmp_path / "out.log").write_bytes(content)
    url = f"az://{CONTAINER}/{compress}/{{host}}"
    more = {"part_bytes": 100_000, "in_flight": 4, "compress": compress}
    table = {"kind": "objectstore", "url": url, "options": azure, **more}
    (progress,) = ship(tmp_path, [Chosen("azure", table, "logflume.toml", tmp_path).make(tmp_path, {"host": "box"})])
    assert (progress.done, progress.refusals) == (True, 0)
    assert progress.batches > 3
    assert read(f"az://{CONTAINER}/{compress}/box/out.log", azure) == content
