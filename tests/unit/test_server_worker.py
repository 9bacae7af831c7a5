from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.warnings import InsecureKeyLengthWarning

from logflume.errors import UsageError
from logflume.serve import worker
from logflume.serve.worker import BLOCK_BYTES, Shrunk, create_worker_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message

# As short as the one that Airflow makes when none is configured.
KEY = "c2hvcnQga2V5IG9mIHRlc3Rz"
NAME = "dag_id=d/run_id=manual__2024-11-20T12:34:56+00:00/task_id=t/attempt=1.log"
DATA = bytes(range(256)) * 4000  # several blocks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of logs."""
    root = tmp_path / "logs"
    path = root / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    (tmp_path / "secret.log").write_bytes(b"secret")
    return root


def token(name: str = NAME, key: str = KEY, algorithm: str = "HS512", **more: object) -> str:
    """Return a token as Airflow's API server makes it; None takes a claim away."""
    now = int(time.time())
    claims = {"jti": "x", "aud": "task-instance-logs", "nbf": now, "exp": now + 30, "iat": now, "filename": name}
    kept = {claim: value for claim, value in {**claims, **more}.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        return jwt.encode(kept, key, algorithm, {"kid": "not-used"})


def ask(
    folder: Path, name: str = NAME, *, authorization: str | None = "", method: str = "GET", **headers: str
) -> httpx.Response:
    """Ask for a file; with a good token for it unless another authorization, or None, is given."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(create_worker_app(folder, KEY))
        async with httpx.AsyncClient(transport=transport, base_url="http://worker:8793") as client:
            sent = {key.replace("_", "-"): value for key, value in headers.items()}
            if authorization is not None:
                sent["Authorization"] = authorization or token(name)
            return await client.request(method, "/log/" + quote(name).replace("..", "%2E%2E"), headers=sent)

    return asyncio.run(go())


def test_a_file_is_sent_as_it_is(folder: Path) -> None:
    """With the token that Airflow sends, which has no scheme before it, the answer is the file, byte for byte."""
    answer = ask(folder)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Accept-Ranges"] == "bytes"
    head = ask(folder, method="HEAD")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(DATA)))


def test_an_empty_file(folder: Path) -> None:
    """It is sent as the empty answer that it is."""
    (folder / "empty.log").touch()
    answer = ask(folder, "empty.log")
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")


def other_key() -> str:
    """Return a token of somebody else."""
    return token(key=secrets.token_hex(32))


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        (None, "Authorization header missing"),
        (lambda: "nonsense", "not made with a key"),
        (lambda: "Bearer " + token(), "not made with a key"),
        (other_key, "not made with a key"),
        (lambda: token(algorithm="HS256"), "not made with a key"),
        (lambda: jwt.encode({"filename": NAME}, "", "none"), "not made with a key"),
        (lambda: token("other.log"), "for another file"),
        (lambda: token("/log/" + NAME), "for another file"),
        (lambda: token(aud="other"), "audience"),
        (lambda: token(aud=None), "lacks a claim"),
        (lambda: token(filename=None), "lacks a claim"),
        (lambda: token(filename=[NAME]), "for another file"),
        (lambda: token(exp=None), "lacks a claim"),
        (lambda: token(iat=None), "lacks a claim"),
        (lambda: token(nbf=None), "lacks a claim"),
        (lambda: token(exp=int(time.time()) - 60), "expired"),
        (lambda: token(nbf=int(time.time()) + 600), "not valid yet"),
        (lambda: token(iat=int(time.time()) + 600), "not valid yet"),
    ],
)
def test_who_is_refused(folder: Path, authorization: Callable[[], str] | None, detail: str) -> None:
    """Without a token for this file that counts, the answer is 403 with a reason, as Airflow's reader expects it."""
    answer = ask(folder, authorization=authorization and authorization())
    assert answer.status_code == 403
    assert detail in answer.json()["detail"]


def test_clocks_may_differ(folder: Path) -> None:
    """Within the grace of Airflow a token that has just ended, or is just about to begin, counts."""
    now = int(time.time())
    assert ask(folder, authorization=token(exp=now - 10, nbf=now + 10, iat=now + 10)).status_code == 200


def test_a_refusal_comes_first(folder: Path) -> None:
    """Whoever has no token does not learn what files there are, or what methods."""
    for method, name in [("POST", NAME), ("GET", "none"), ("GET", "../secret.log")]:
        assert ask(folder, name, authorization=None, method=method).status_code == 403
    assert ask(folder, method="POST").status_code == 405


@pytest.mark.parametrize(
    "name",
    [
        "none.log",
        "",
        "dag_id=d",
        "../secret.log",
        "dag_id=d/../../secret.log",
        "link.log",
        "folder/secret.log",
        "/etc/passwd",
        "\\etc",
        "a\0b",
        "x" * 300,
        "pipe",
        NAME + "/x",
        "loop",
    ],
)
def test_what_is_no_file_here(folder: Path, name: str) -> None:
    """What leaves the folder, by dots or links, and what is no file, is not there; nothing else is said."""
    (folder / "link.log").symlink_to("../secret.log")
    (folder / "folder").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    answer = ask(folder, name)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_links_within_the_folder(folder: Path) -> None:
    """They are followed, as Airflow makes one to the latest run."""
    (folder / "latest").symlink_to(folder / "dag_id=d")
    name = NAME.replace("dag_id=d", "latest")
    assert ask(folder, name).content == DATA


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.EACCES, 401), (errno.EMFILE, 503), (errno.EIO, 503), (errno.ESTALE, 503)],
)
def test_files_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int) -> None:
    """A file that may not be read is 401, as Airflow's own says; what may be better soon is 503, and never 404."""

    def refuse(path: str, root: str) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(worker, "open_regular", refuse)
    assert ask(folder).status_code == status


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=1000000-", 206, slice(1_000_000, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=-99999999", 206, slice(0, None)),
        ("bytes=1023999-9999999", 206, slice(1_023_999, None)),
        ("bytes=1024000-", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bytes=9-3", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=x-y", 200, slice(None)),
        ("bytes=" + "9" * 99 + "-", 200, slice(None)),
    ],
)
def test_ranges(folder: Path, asked: str, status: int, part: slice) -> None:
    """One range is answered with it; what is no such range, or several, with all of the file."""
    answer = ask(folder, Range=asked)
    assert answer.status_code == status
    assert answer.content == (DATA[part] if status != 416 else b"")
    if status == 206:
        first = part.indices(len(DATA))[0]
        last = first + len(answer.content) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_any_range_is_answered(tmp_path_factory: pytest.TempPathFactory, asked: str) -> None:
    """Whatever is asked for, the answer is the file, a part of it, or that there is no such part."""
    folder = tmp_path_factory.getbasetemp() / "ranges"
    folder.mkdir(exist_ok=True)
    (folder / "a.log").write_bytes(b"0123456789")
    assert ask(folder, "a.log", Range="bytes=" + asked).status_code in (200, 206, 416)


def test_a_file_that_has_not_changed(folder: Path) -> None:
    """With its ETag a file is not sent again, and a range only of the same file."""
    etag = ask(folder, method="HEAD").headers["ETag"]
    unchanged = ask(folder, If_None_Match=f'"x", {etag}')
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert ask(folder, Range="bytes=0-1", If_Range=etag).status_code == 206
    with (folder / NAME).open("ab") as file:
        file.write(b"more")
    assert ask(folder, If_None_Match=etag).status_code == 200
    assert ask(folder, Range="bytes=0-1", If_Range=etag).content == DATA + b"more"


def send_while(folder: Path, change: Callable[[Path], object], *, gone_after: int | None = None) -> list[Message]:
    """Return what is sent of a file that changes when its first block is out."""
    messages: list[Message] = []
    path = folder / NAME
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)
        if len(messages) == 2:
            change(path)
        if len(messages) == gone_after:
            gone.set()
            for _ in range(3):
                await asyncio.sleep(0)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": f"/log/{NAME}",
        "headers": [(b"authorization", token().encode())],
        "query_string": b"",
    }
    asyncio.run(create_worker_app(folder, KEY)(scope, receive, send))
    return messages


def body(messages: list[Message]) -> bytes:
    """Return what was sent of the file."""
    return b"".join(message.get("body", b"") for message in messages)


def test_a_file_that_grows_while_it_is_sent(folder: Path) -> None:
    """What is sent is as long as was said: a running task's log does not break the answer."""
    messages = send_while(folder, lambda path: path.write_bytes(DATA * 2))
    assert hashlib.sha256(body(messages)).digest() == hashlib.sha256(DATA).digest()
    assert not messages[-1]["more_body"]


def test_a_file_that_shrinks_while_it_is_sent(folder: Path) -> None:
    """The answer is broken off, so that its reader knows that something is missing."""
    with pytest.raises(Shrunk):
        send_while(folder, lambda path: os.truncate(path, BLOCK_BYTES + 10))


def test_a_file_that_is_replaced_while_it_is_sent(folder: Path) -> None:
    """What is sent is the file that was there, to its end."""

    def replace(path: Path) -> None:
        path.unlink()
        path.write_bytes(b"other")

    assert body(send_while(folder, replace)) == DATA


def test_a_reader_that_goes_away(folder: Path) -> None:
    """No more is read for it, and the file is closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    messages = send_while(folder, lambda path: None, gone_after=3)
    assert len(messages) == 3
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_empty_key_is_refused(folder: Path) -> None:
    """With it everybody could sign."""
    with pytest.raises(UsageError, match="it is empty"):
        create_worker_app(folder, "")
