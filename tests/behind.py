"""The server behind Debian's nginx, under a prefix, with the configuration that the docs give."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.served import DEADLINE_S, Server, eventually, made, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = "/usr/sbin/nginx"
PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "run-the-server.md"
AROUND = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


class Proxied:
    """A server behind nginx."""

    def __init__(self, server: Server, url: str, token: str) -> None:
        self.server = server
        self.url = url
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **more: str) -> httpx.Response:
        """Ask by way of nginx."""
        return httpx.get(self.url + path, headers=self.headers | more, timeout=DEADLINE_S)


@contextlib.contextmanager
def behind_nginx(folder: Path, *, read_timeout_s: int) -> Iterator[Proxied]:
    """Run both; heartbeats come oftener than usual."""
    tokens = str(folder / "tokens")
    create = [sys.executable, "-m", "logflume", "token", "create", "ci", "--logs", "*", "--tokens-file", tokens]
    token = subprocess.run(create, capture_output=True, text=True, check=True).stdout.split()[-1]
    flags = ("--root-path", "/logs", "--tokens-file", tokens, "--access-log", "stderr", "--heartbeat-s", "1")
    with serving(made(folder / "logs"), folder / "cache", *flags, quiet=False) as server:
        port = free_port()
        text = re.findall(r"^```nginx\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
        for there, here in (
            ("listen 80;", f"listen 127.0.0.1:{port};"),
            ("127.0.0.1:8793", f"127.0.0.1:{server.port}"),
            ("proxy_read_timeout 60s;", f"proxy_read_timeout {read_timeout_s}s;"),
        ):
            assert there in text
            text = text.replace(there, here)
        config = folder / "nginx.conf"
        config.write_text(AROUND.format(folder=folder, server=text))
        nginx = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: listens(port))
            yield Proxied(server, f"http://127.0.0.1:{port}/logs", token)
        finally:
            nginx.terminate()
            nginx.wait(DEADLINE_S)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket() as some:
        return some.connect_ex(("127.0.0.1", port)) == 0
