from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from logflume.serve import problems
from logflume.serve.guard import Guard
from logflume.serve.limits import Use
from logflume.serve.settings import Folder, Settings
from logflume.serve.tokens import TokenFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a server that callers sign in at."""
    (tmp_path / "tokens").touch(0o600)
    return Settings(tokens_file=tmp_path / "tokens", max_readers_per_caller=1)


@pytest.fixture
def token(settings: Settings) -> str:
    """Give a token for what is in a/."""
    assert settings.tokens_file
    return TokenFile(settings.tokens_file).create("ci", ["a/"])


@contextmanager
def guarded(settings: Settings) -> Iterator[tuple[Guard, ASGIApp]]:
    """Give a guard and the application that it stands before."""
    guard = Guard(settings, key=b"k" * 32)
    app = FastAPI()
    problems.install(app)

    async def read(request: Request, log_id: str) -> str:
        with guard.limits.using(request.state.caller, Use.READ) as pace:
            await pace.wait_for(10)
            return log_id

    app.add_api_route("/logs/{log_id:path}/stream", read, dependencies=[Depends(guard.gate.admit)])
    guard.install(app)
    try:
        yield guard, guard.wrap(app)
    finally:
        guard.close()


def ask(app: ASGIApp, path: str, token: str | None = None, **headers: str) -> httpx.Response:
    """Ask an application."""

    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            signed = {"Authorization": f"Bearer {token}"} if token else {}
            return await client.get(path, headers={**signed, **headers})

    return asyncio.run(go())


def test_a_guarded_route(settings: Settings, token: str) -> None:
    """It is for callers and their logs; refusals are problems, with the headers of every answer."""
    with guarded(settings) as (_, app):
        assert ask(app, "/logs/a/x/stream", token).json() == "a/x"
        for path, used, status in [("/logs/a/x/stream", None, 401), ("/logs/b/x/stream", token, 403)]:
            answer = ask(app, path, used)
            assert (answer.status_code, answer.json()["status"]) == (status, status)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["X-Request-ID"]
            assert answer.headers["Cache-Control"] == "no-store"
        page = ask(app, "/logs/a/x/stream", Accept="text/html")
        assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Flogs%2Fa%2Fx%2Fstream")


def test_one_too_many(settings: Settings, token: str) -> None:
    """The answer is 429 with when to try again, and whose limit it is."""
    with guarded(settings) as (guard, app):
        assert settings.tokens_file
        caller = asyncio.run(guard.gate.caller_of_token(token))
        with guard.limits.using(caller, Use.READ):
            answer = ask(app, "/logs/a/x/stream", token)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
        assert answer.json() | {"limit": 1, "of": "reader", "yours": True} == answer.json()
        assert ask(app, "/logs/a/x/stream", token).status_code == 200


@pytest.mark.parametrize(
    ("who", "without", "with_token"), [("callers", 401, 200), ("everybody", 200, 200), ("off", 404, 404)]
)
def test_who_reads_metrics(settings: Settings, token: str, who: str, without: int, with_token: int) -> None:
    """Those whom the setting names; requests are counted by the template of their route."""
    with guarded(replace(settings, metrics=who)) as (_, app):
        ask(app, "/logs/a/x/stream", token)
        assert ask(app, "/metrics").status_code == without
        answer = ask(app, "/metrics", token)
        assert answer.status_code == with_token
        if with_token == 200:
            line = (
                'logflume_requests_total{end="done",method="GET",route="/logs/{log_id:path}/stream",status="200"} 1.0'
            )
            assert line in answer.text
            assert 'logflume_in_use{use="reader"} 0.0' in answer.text


def test_readiness(
    settings: Settings, token: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is 503 while tokens cannot be read; the path and the reason are said to who runs the server, once."""
    monkeypatch.setattr("logflume.serve.smallfile.LOOK_EVERY_S", 0.0)
    assert settings.tokens_file
    with guarded(settings) as (_, app):
        assert ask(app, "/readyz").json() == {"status": "ok"}
        settings.tokens_file.chmod(0o644)
        for _ in range(3):
            answer = ask(app, "/readyz")
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:logflume:problem:not-ready")
            assert str(settings.tokens_file) not in answer.text
        said = [record.getMessage() for record in caplog.records if record.name == "logflume.serve.guard"]
        assert len(said) == 1
        assert said[0].startswith(f"{settings.tokens_file}: others can read it")
        settings.tokens_file.chmod(0o600)
        assert ask(app, "/readyz").status_code == 200


def test_readiness_needs_the_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is 503 while a folder of logs cannot be listed, such as one that is not mounted."""
    folder = tmp_path / "logs"
    folder.mkdir()
    with guarded(Settings(folders=(Folder(None, folder),))) as (_, app):
        assert ask(app, "/readyz").status_code == 200
        folder.rmdir()
        answer = ask(app, "/readyz")
        assert (answer.status_code, str(folder) in answer.text) == (503, False)
        assert f"{folder}: cannot be listed" in caplog.text
        folder.mkdir()
        assert ask(app, "/readyz").status_code == 200


@pytest.mark.parametrize(("where", "lines"), [("stderr", 2), ("stdout", 2), ("off", 0)])
def test_the_access_log(
    settings: Settings, token: str, capsys: pytest.CaptureFixture[str], where: str, lines: int
) -> None:
    """A line a request goes where the setting says, with the caller's name and without the token."""
    with guarded(replace(settings, access_log=where)) as (_, app):
        ask(app, f"/logs/a/x/stream?access_token={token}", token)
        ask(app, "/none")
    written = capsys.readouterr()
    found = (written.out if where == "stdout" else written.err).splitlines()
    assert len(found) == lines
    if lines:
        row = json.loads(found[0])
        assert (row["caller"], row["query"], row["status"]) == ("ci", ["access_token"], 200)
    assert token.split("_", 2)[2] not in written.out + written.err
