"""``logflume serve --airflow-worker`` beside Airflow's own log server, asked by Airflow's own code."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jwt
import pytest
import requests
import uvicorn
from airflow import __version__ as version
from airflow.api_fastapi.auth.tokens import JWTGenerator
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.serve_logs.log_server import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
VALID_S = 3600
"""Of tokens: some are made when the tests are gathered, long before they are used."""
KEY = "c2hvcnQga2V5IG9mIHRlc3Rz" * 4
NAME = "dag_id=d/run_id=manual__2024-11-20T12:34:56+00:00/task_id=t/attempt=1.log"
ODD = "dag_id=d/a folder/50% off é.log"
DATA = b"[2024-11-20T12:34:56.000+0000] one line\n" * 20_000
EMPTY = "dag_id=d/empty.log"
AUDIENCE = "task-instance-logs"
DEADLINE_S = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what a worker has: logs, an empty one, and a link to what is none of its."""
    root = tmp_path_factory.mktemp("worker") / "logs"
    for name, data in ((NAME, DATA), (ODD, b"an odd name\n" * 30), (EMPTY, b"")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    root.with_name("secret").write_bytes(b"of somebody else")
    (root / "link.log").symlink_to(root.with_name("secret"))
    return root


@pytest.fixture(scope="module")
def ports(folder: Path) -> Iterator[dict[str, str]]:
    """Run both servers over the folder; give their ports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API__SECRET_KEY", KEY)
        patch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(folder))
        words = [sys.executable, "-m", "logflume", "serve", "--airflow-worker", "--port", "0", "--access-log", "off"]
        # The dependencies of a server need not be where Airflow is.
        words[0] = str(ROOT / ".venv" / "bin" / "python")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            theirs = uvicorn.Server(uvicorn.Config(create_app(), log_level="critical"))
            thread = threading.Thread(target=theirs.run, kwargs={"sockets": [listening]})
            thread.start()
            ours = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ})
            try:
                assert ours.stderr is not None
                said = ours.stderr.readline()
                found = re.search(r":(\d+)/log/$", said)
                assert found, said
                yield {"airflow": str(listening.getsockname()[1]), "logflume": found[1]}
            finally:
                theirs.should_exit = True
                thread.join()
                ours.terminate()
                ours.communicate(timeout=DEADLINE_S)


def token(name: str, key: str = KEY, **claims: Any) -> str:  # noqa: ANN401 - of JSON
    """Return what Airflow sends; with other claims, what somebody else might."""
    if not claims:
        generator = JWTGenerator(
            secret_key=key,
            algorithm="HS512",
            private_key=None,
            issuer=None,
            valid_for=VALID_S,
            audience="task-instance-logs",
        )
        return str(generator.generate({"filename": name}))
    now = int(time.time())
    known = {"aud": AUDIENCE, "nbf": now, "exp": now + VALID_S, "iat": now, "filename": name}
    kept = {claim: value for claim, value in {**known, **claims}.items() if value is not None}
    return jwt.encode(kept, key, "HS512")


def both(ports: dict[str, str], path: str, method: str = "GET", **headers: str) -> tuple[requests.Response, ...]:
    """Ask both; the path goes as it is."""

    def ask(port: str) -> requests.Response:
        url = f"http://127.0.0.1:{port}/log/{path}"
        prepared = requests.Request(method, url, headers={k.replace("_", "-"): v for k, v in headers.items()}).prepare()
        prepared.url = url  # requests would take the dots away
        with requests.Session() as session:
            return session.send(prepared, timeout=DEADLINE_S)

    return tuple(ask(ports[name]) for name in ("airflow", "logflume"))


# Not the type: what Airflow tells of a log depends on the list of types of the machine.
TOLD = ("Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified")


PARTS = ["bytes=0-99", "bytes=100-", "bytes=-7", "bytes=5-100000000"]


# Not a part of nothing: what that is, Starlette tells otherwise than RFC 9110.
@pytest.mark.parametrize(
    ("name", "asked"),
    [*((name, part) for name in (NAME, ODD) for part in [None, *PARTS]), ("dag_id=d/empty.log", None)],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_are_sent_alike(ports: dict[str, str], name: str, asked: str | None, method: str) -> None:
    """The same status, bytes, and headers that say what they are; whole or in part."""
    headers = {"Range": asked} if asked else {}
    theirs, ours = both(ports, quote(name), method, Authorization=token(name), **headers)
    assert ours.status_code == theirs.status_code
    assert ours.content == theirs.content
    assert {key: ours.headers.get(key) for key in TOLD} == {key: theirs.headers.get(key) for key in TOLD}
    again = both(ports, quote(name), method, Authorization=token(name), If_None_Match=ours.headers["ETag"])[1]
    assert again.status_code == 304


OTHERS = "x" * 64


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (NAME, {}, 403),
        (NAME, {"Authorization": ""}, 403),
        (NAME, {"Authorization": "Bearer {}"}, 403),
        (NAME, {"Authorization": token(NAME, OTHERS)}, 403),
        (NAME, {"Authorization": token(EMPTY)}, 403),
        (NAME, {"Authorization": token(NAME, exp=int(time.time()) - 60)}, 403),
        (NAME, {"Authorization": token(NAME, nbf=int(time.time()) + 10 * VALID_S)}, 403),
        (NAME, {"Authorization": token(NAME, iat=int(time.time()) + 10 * VALID_S)}, 403),
        (NAME, {"Authorization": token(NAME, aud="somebody")}, 403),
        (NAME, {"Authorization": token(NAME, filename=None)}, 403),
        (NAME, {"Authorization": token(NAME, exp=None)}, 403),
        (NAME, {"Authorization": jwt.encode({"filename": NAME}, KEY, "HS256")}, 403),
        (NAME, {"Authorization": jwt.encode({"filename": NAME}, "", "none")}, 403),
        ("dag_id=d/nothing.log", {"Authorization": token("dag_id=d/nothing.log")}, 404),
        ("dag_id=d", {"Authorization": token("dag_id=d")}, 404),
        ("../secret", {"Authorization": token("../secret")}, 404),
        ("%2e%2e/secret", {"Authorization": token("../secret")}, 404),
        ("dag_id=d/../../secret", {"Authorization": token("dag_id=d/../../secret")}, 404),
        (NAME, {"Authorization": token(NAME), "Range": "bytes=99999999-"}, 416),
    ],
)
def test_requests_are_refused_alike(ports: dict[str, str], path: str, headers: dict[str, str], status: int) -> None:
    """Forged, foreign and old tokens, files that are not there or not in the folder: the same status."""
    if "{}" in headers.get("Authorization", ""):
        headers = {"Authorization": headers["Authorization"].format(token(path))}
    theirs, ours = both(ports, path, **headers)
    assert (theirs.status_code, ours.status_code) == (status, status)
    assert b"of somebody else" not in ours.content


def test_a_link_that_leads_out_of_the_folder_is_refused(ports: dict[str, str]) -> None:
    """It is not there; Airflow 3.1 says that it may not be read."""
    theirs, ours = both(ports, "link.log", Authorization=token("link.log"))
    assert theirs.status_code == (403 if version.startswith("3.1.") else 404)
    assert ours.status_code == 404
    assert b"of somebody else" not in ours.content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_alike(ports: dict[str, str], method: str) -> None:
    """Nothing but reading."""
    theirs, ours = both(ports, NAME, method, Authorization=token(NAME))
    assert ours.status_code == theirs.status_code == 405


@pytest.mark.parametrize("name", [NAME, ODD, EMPTY, "dag_id=d/nothing.log"])
@pytest.mark.parametrize("key", [KEY, OTHERS])
def test_airflow_reads_the_same_from_both(
    ports: dict[str, str], name: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler of Airflow's API server gives the same lines, and says the same, whichever server the worker runs."""
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", key)
    found = {}
    for server, port in ports.items():
        monkeypatch.setenv("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", port)
        task = SimpleNamespace(hostname="127.0.0.1", triggerer_job=None)
        sources, streams = FileTaskHandler(str(tmp_path))._read_from_logs_server(task, name)
        text = repr([sources, [list(stream) for stream in streams]])
        found[server] = text.replace(f":{port}/", ":PORT/")
    assert found["logflume"] == found["airflow"]
    assert ("one line" in found["logflume"]) is (name == NAME and key == KEY)
