"""Addresses instead of paths: the same commands print the same, and say plainly what is wrong."""

from __future__ import annotations

import contextlib
import http.server
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.command import SAMPLE, TIMEOUT_S, Done, environment, interrupt, run, started
from tests.served import Server, eventually, line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "dag_id=log_sample/run_id=manual__2024-11-20T12:34:56+00:00"
DEFERRED = f"{RUN}/task_id=deferred/attempt=1.log"
BEHIND = "/behind/proxy"
SECRET = "a-token"  # noqa: S105 - of nobody
ODD = "a folder/50% off+é#1?.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve what a real Airflow wrote, and a log with an odd name."""
    folder = tmp_path_factory.mktemp("served") / "logs"
    folder.symlink_to(SAMPLE)
    with serving(folder, folder.with_name("cache")) as running:
        yield running


@pytest.mark.parametrize(
    "words",
    [
        ["cat"],
        ["cat", "--output", "ndjson"],
        ["cat", "--since", "2026-11-21T02:18:04Z", "--until", "2026-11-21T02:18:05.4Z"],
        ["cat", "--grep", "DAG", "--invert"],
        ["cat", "--regex", "(?i)trigger", "--no-dedup"],
        ["cat", "--source", "*.trigger.*"],
        ["cat", "--zone", "Europe/Berlin", "--since", "2026-11-21 03:18:04"],
        ["tail", "-n", "2", "--level", "info", "--output", "ndjson"],
        ["grep", "-i", "TRIGGER", "-m", "2"],
        ["grep", "-E", "^.*(DAG|Trigger)", "-c"],
        ["grep", "-c", "nothing of the kind"],
    ],
)
def test_an_address_prints_what_paths_print(server: Server, words: list[str]) -> None:
    """Output and exit code are those of the files themselves, byte for byte."""
    there = run(*words, f"{server.url}/{DEFERRED}")
    assert there == run(*words, SAMPLE / DEFERRED)


def test_links_are_addresses(server: Server) -> None:
    """What a browser or the API shows can be pasted."""
    wanted = run("tail", "-n", "1", SAMPLE / DEFERRED)
    for link in (f"{server.url}/api/v1/logs/{DEFERRED}", f"{server.url}/api/v1/logs/{DEFERRED}/stream?follow=true#L3"):
        assert run("tail", "-n", "1", link) == wanted


def test_places_are_kept_between_runs(server: Server, tmp_path: Path) -> None:
    """``--cursor-file`` and ``--print-cursor`` work with the server's cursors."""
    seen = tmp_path / "seen"
    first = run("cat", "--cursor-file", seen, "--print-cursor", f"{server.url}/{DEFERRED}")
    assert "logflume: cursor: 2." in first.err
    assert run("cat", "--cursor-file", seen, f"{server.url}/{DEFERRED}") == Done(0, b"", "")


def test_stat_tells_what_the_server_counted(server: Server) -> None:
    """Sources, sizes, times and levels; what it has not counted is asked of the files."""
    told = run("stat", f"{server.url}/{DEFERRED}")
    assert (told.code, told.err) == (0, "")
    assert "attempt=1.log.trigger.2.log" in told.text
    assert "levels      info 22" in told.text
    assert '"id": "dag_id=log_sample' in run("stat", "--json", f"{server.url}/{DEFERRED}").text
    refused = run("stat", "--no-dedup", f"{server.url}/{DEFERRED}")
    assert (refused.code, refused.err[:21]) == (2, "logflume: --no-dedup ")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", ["name a log: http://", "/ID; there are dag_id=log_sample/"]),
        ("dag_id=log_sampel", ["no log named 'dag_id=log_sampel'. Nearest: dag_id=log_sample"]),
        ("dag_id=log_sample", ["dag_id=log_sample is a folder: name one of its logs; there are dag_id=log_sample/"]),
        (DEFERRED + "?since=1", []),
    ],
)
def test_names_that_are_no_log_are_told(server: Server, path: str, said: list[str]) -> None:
    """With the nearest ones, or some of those there are."""
    done = run("cat", f"{server.url}/{path}")
    assert (done.code, done.err.count("\n")) == ((2, 1) if said else (0, 0))
    assert [each for each in said if each not in done.err] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cat", "http://127.0.0.1:1/x"], "http://127.0.0.1:1 cannot be reached: Connection refused"),
        (["cat", "http://nowhere.invalid/x"], "http://nowhere.invalid cannot be reached: "),
        (["cat", "http://user:secret@h/x"], "an address holds no user and no password"),
        (["cat", "http://h:port/x"], "this is no address"),
        (["cat", "http://127.0.0.1:1/x", "app.log"], "an address stands alone"),
        (["cat", "http://127.0.0.1:1/x", "--token-file", "no-such-file"], "no-such-file: No such file or directory"),
        (["cat", "http://127.0.0.1:1/x", "--since", "yesteryear"], "http://127.0.0.1:1 cannot be reached"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(words: list[str], said: str) -> None:
    """In one line, at once."""
    done = run(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1)
    assert said in done.err
    assert "secret" not in done.err


class WebSite(http.server.BaseHTTPRequestHandler):
    """Something that is no log server; below one path it hands on to one."""

    upstream = ""

    def do_GET(self) -> None:
        """Hand on, send on, or show a page."""
        if self.path.startswith(BEHIND + "/"):
            self.hand_on(self.path.removeprefix(BEHIND))
            return
        if self.path.startswith("/old"):
            self.send_response(302)
            self.send_header("Location", "http://elsewhere.example/new?token=abc")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def hand_on(self, path: str) -> None:
        """Do what a proxy does."""
        answer = httpx.get(self.upstream + path, headers={"Accept": self.headers["Accept"]})
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def website(upstream: str = "") -> Iterator[str]:
    """Run it."""
    WebSite.upstream = upstream
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), WebSite) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


def test_a_server_of_another_kind_is_told() -> None:
    """A web page is no log; whoever sends us on gets no token there."""
    with website() as url:
        page = run("cat", f"{url}/x", LOGFLUME_TOKEN=SECRET)
        assert (page.code, page.err.count("\n")) == (2, 1)
        assert "there is no log server: it answers with a web page" in page.err
        moved = run("cat", f"{url}/old/api/v1/logs/x", LOGFLUME_TOKEN=SECRET)
        assert "it sends us on to http://elsewhere.example/new. " in moved.err
        assert SECRET not in page.err + moved.err


def test_a_port_that_speaks_something_else_is_told() -> None:
    """HTTPS where there is none, and a program that says nothing of HTTP."""
    with website() as url:
        done = run("cat", url.replace("http:", "https:") + "/x")
        assert "it does not speak TLS as we do" in done.err
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(b"220 smtp.example.com ESMTP\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        done = run("cat", f"http://127.0.0.1:{listening.getsockname()[1]}/x")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (done.code, done.out, done.err.count("\n") >= 1) == (2, b"", True)


def test_signing_in(tmp_path: Path) -> None:
    """Without a token it is said how to give one; with one, from a file or the environment, the log comes."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine.log").write_text(line(1))
    (tmp_path / "logs" / "other.log").write_text(line(1))
    tokens = tmp_path / "tokens"
    token = run("token", "create", "me", "--logs", "mine.log", "--tokens-file", tokens).text.strip()
    (tmp_path / "token").write_text(token + "\n")
    with serving(tmp_path / "logs", tmp_path / "cache", "--tokens-file", str(tokens)) as guarded:
        mine = f"{guarded.url}/mine.log"
        refused = run("cat", mine)
        assert refused.code == 2
        assert refused.err.rstrip().endswith("give a token: LOGFLUME_TOKEN=… or --token-file FILE")
        wrong = run("cat", mine, LOGFLUME_TOKEN=token[:-1] + "x")
        assert (wrong.code, token[:-1] in wrong.err) == (2, False)
        for done in (run("cat", mine, "--token-file", tmp_path / "token"), run("cat", mine, LOGFLUME_TOKEN=token)):
            assert done == Done(0, line(1).encode(), "")
        other = run("cat", f"{guarded.url}/other.log", LOGFLUME_TOKEN=token)
        assert (other.code, other.out) == (2, b"")


def test_odd_names_and_addresses(tmp_path: Path) -> None:
    """Spaces, signs and letters of any kind; a path before all; IPv6."""
    (tmp_path / "logs" / "a folder").mkdir(parents=True)
    (tmp_path / "logs" / ODD).write_text(line(1))
    with (
        serving(tmp_path / "logs", tmp_path / "cache", "--host", "::1") as odd,
        website(odd.url) as site,
    ):
        for address in (
            f"{odd.url}/a folder/50%25 off+é%231%3F.log",
            f"{site}{BEHIND}/a%20folder/50%25%20off+%C3%A9%231%3f.log",
            f"{site}{BEHIND}/api/v1/logs/a%20folder/50%25%20off%2B%C3%A9%231%3f.log/rows?from=1",
        ):
            assert run("cat", address) == Done(0, line(1).encode(), "")


def test_a_follow_prints_what_comes(tmp_path: Path) -> None:
    """Until Ctrl-C, which ends it as it ends a local one."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "live.log"
    log.write_text(line(1))
    with (
        serving(tmp_path / "logs", tmp_path / "cache") as live,
        started("tail", "-f", "-n", "1", f"{live.url}/live.log") as following,
    ):
        assert following.stdout is not None
        assert following.stdout.readline() == line(1).encode()
        with log.open("a") as file:
            file.write(line(2))
        assert following.stdout.readline() == line(2).encode()
        interrupt(following)
        assert following.wait(TIMEOUT_S) == 130


def test_a_follow_ends_with_its_reader(tmp_path: Path) -> None:
    """When nobody reads any more it ends as by SIGPIPE, although nothing more comes."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "live.log").write_text(line(1))
    with (
        serving(tmp_path / "logs", tmp_path / "cache") as live,
        started("tail", "-f", f"{live.url}/live.log") as following,
    ):
        assert following.stdout is not None
        assert following.stdout.readline() == line(1).encode()
        following.stdout.close()
        assert following.wait(TIMEOUT_S) == -signal.SIGPIPE
        eventually(lambda: live.get("../../healthz").status_code == 200)


def test_a_pipe_that_ends_early_ends_the_command(server: Server) -> None:
    """As with files."""
    command = f"{sys.executable} -m logflume cat {server.url}/{RUN}/task_id=chatty/attempt=1.log | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        env=environment(),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")


def test_no_server_library_is_needed_for_files() -> None:
    """The local commands load nothing of the client."""
    program = (
        "import sys; sys.argv = ['logflume', 'tail', '-n', '0', sys.argv[1]]; from logflume.cli import main; main();"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'httpx', 'ssl', 'asyncio', 'http'}),"
        "'logflume.client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(SAMPLE / DEFERRED)],
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout == "[] False\n"
