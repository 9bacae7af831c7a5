"""The source over HTTP passes the public checks, beside a log server that speaks Airflow's protocol."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import jwt
import pytest

from logflume.serve.worker import ALGORITHM, AUDIENCE
from logflume.sources.hosts import AllowedHosts
from logflume.sources.logserver import LogServerSource, Served
from logflume.testing import check_source, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "k" * 64
CONTENT = numbered_lines(60_000)
SERVER = """
import sys, uvicorn
from pathlib import Path
from logflume.serve.worker import create_worker_app
folder, key, descriptor = sys.argv[1:]
uvicorn.run(create_worker_app(Path(folder), key), fd=int(descriptor), log_level="critical", lifespan="off")
"""


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Serve a folder; give where."""
    host: str = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    # In a process of its own: what is left open is looked for in this one.
    command = [sys.executable, "-c", SERVER, str(tmp_path), KEY, str(listening.fileno())]
    with listening, subprocess.Popen(command, pass_fds=[listening.fileno()]) as server:
        try:
            yield host, listening.getsockname()[1]
        finally:
            server.kill()


def source_of(address: tuple[str, int], name: str) -> LogServerSource:
    """Return the source of a file in the folder."""

    def token() -> str:
        claims = {"aud": AUDIENCE, "filename": name, "exp": 2**32, "iat": 1, "nbf": 1}
        return jwt.encode(claims, KEY, ALGORITHM)

    return LogServerSource(Served(address[0], address[1], f"/log/{name}", token, AllowedHosts.of([])))


@pytest.mark.parametrize("content", [CONTENT, b"", b"no newline"], ids=["long", "empty", "short"])
def test_a_served_file_is_a_source(address: tuple[str, int], tmp_path: Path, content: bytes) -> None:
    """All that is promised of a source holds over HTTP: offsets, positions, growth, failures, nothing left open."""
    path = tmp_path / "x.log"

    def make() -> LogServerSource:
        path.write_bytes(content)
        return source_of(address, "x.log")

    def append(data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    def replace(data: bytes) -> None:
        aside = path.with_name("aside")
        aside.write_bytes(data)
        aside.replace(path)

    passed = check_source(
        make,
        content=content,
        append=append,
        truncate=(lambda size: os.truncate(path, size)) if content else None,
        replace=replace if content else None,
        make_failing=lambda: source_of(address, "missing.log"),
    )
    assert "what is appended comes, and nothing else" in passed
