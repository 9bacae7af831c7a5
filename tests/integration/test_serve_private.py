"""A server for others: HTTPS, and nothing secret in what it writes about itself."""

from __future__ import annotations

import datetime as dt
import html
import json
import os
import re
import ssl
import subprocess
import sys
import time
from ipaddress import IPv4Address
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.served import DEADLINE_S, eventually, line, made, serving

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPT = "/api/v1/logs/dag/attempt=1.log"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC0hIQ"  # noqa: S105 - of this test


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of this machine for an hour, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    made_of = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made_of = made_of.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = made_of.add_extension(names, critical=False).sign(key, hashes.SHA256())
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return cert_path, key_path


def token_of(tokens: Path, name: str, *flags: str) -> str:
    """Make a token."""
    command = [sys.executable, "-m", "logflume", "token", "create", name, "--tokens-file", str(tokens), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def test_no_answer_holds_a_path_of_the_server(tmp_path: Path) -> None:
    """What is missing is told with paths from the served folder on, in every form; also when that is gone itself."""
    folder = made(tmp_path / "logs") / "dag"
    (folder / "attempt=1.log.trigger.8.log").symlink_to("/dev/null")
    (folder / "attempt=1.log.trigger.9.log.1.gz").write_bytes(b"\x1f\x8b\x08 damaged")
    os.mkfifo(folder / "alone.log")
    with serving(tmp_path / "logs", tmp_path / "cache") as server:
        kinds = ("application/x-ndjson", "application/json", "application/vnd.logflume.frames")
        path = "logs/dag/attempt=1.log"
        answers = [server.get(f"{path}/stream", headers={"Accept": kind}) for kind in kinds]
        answers += [server.get(path), server.get(f"{path}/search", {"q": "worker"})]
        for answer in answers:
            assert b"dag/attempt=1.log.trigger.8.log leads to no file inside" in answer.content, answer.content
        answers += [server.get("logs/dag/alone.log/raw"), server.get("logs/dag/gone.log")]
        assert "dag/alone.log" in answers[-2].json()["detail"]
        server.folder.rename(tmp_path / "elsewhere")
        answers += [server.get("logs"), server.get(path)]
        for answer in answers:
            assert str(tmp_path).encode() not in answer.content
            assert str(tmp_path) not in repr(answer.headers)


def test_https(tmp_path: Path) -> None:
    """The log comes over TLS, followed and cut as without; the cookie is Secure; plain HTTP is no way in."""
    cert, key = certificate(tmp_path)
    tokens = tmp_path / "tokens"
    token = token_of(tokens, "ci", "--logs", "*")
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--tokens-file", str(tokens))
    with serving(made(tmp_path / "logs"), tmp_path / "cache", *flags) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(cert))
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=server.url, verify=trusted, headers=headers, timeout=DEADLINE_S) as client:
            assert client.get(f"{ATTEMPT}/stream").text.count("\n") == 60
            assert "; secure" in client.get("/sign-in").headers["set-cookie"].lower()
            descriptors = server.descriptors()
            with client.stream("GET", f"{ATTEMPT}/stream", params={"follow": True, "tail": 1}) as answer:
                assert json.loads(next(answer.iter_lines()))["event"] == "trigger 59"
            eventually(lambda: 'logflume_in_use{use="follower"} 0.0' in client.get("/metrics").text)
            assert server.descriptors() <= descriptors + 1
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url.replace("https", "http"))
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)  # nobody knows this certificate


def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    """It is told before anything is served, by name and without a traceback."""
    cert, key = certificate(tmp_path)
    key.write_text("no key")
    command = [sys.executable, "-m", "logflume", "serve", str(made(tmp_path / "logs")), "--port", "0"]
    flags = ["--tls-cert", str(cert), "--tls-key", str(key)]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, "Traceback" in done.stderr, "tls_key" in done.stderr) == (2, False, True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_is_renewed(tmp_path: Path, workers: str) -> None:
    """New connections get the new one without a restart; half of a pair is told and changes nothing."""
    (tmp_path / "new").mkdir()
    cert, key = certificate(tmp_path)
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--workers", workers)
    with serving(made(tmp_path / "logs"), tmp_path / "cache", *flags, quiet=False) as server:
        first = ssl.get_server_certificate(("127.0.0.1", server.port))
        assert first == cert.read_text()
        assert server.get("logs").status_code == 200
        new_cert, new_key = certificate(tmp_path / "new")
        new_cert.replace(cert)
        eventually(lambda: "cannot be used" in "".join(server.said[1:]))
        assert ssl.get_server_certificate(("127.0.0.1", server.port)) == first
        new_key.replace(key)
        eventually(lambda: ssl.get_server_certificate(("127.0.0.1", server.port)) == cert.read_text())
        assert cert.read_text() != first
        assert server.get("logs").status_code == 200


def test_no_secret_is_written(tmp_path: Path) -> None:
    """Whatever way tokens, cookies, cursors and texts of searches come, none is in what the server writes."""
    tokens, keys = tmp_path / "tokens", tmp_path / "jwks"
    keys.write_text(json.dumps({"keys": [{"kty": "oct", "k": SECRET}]}))
    keys.chmod(0o600)
    token = token_of(tokens, "ci", "--logs", "*")
    other = token_of(tokens, "other", "--logs", "dag")
    secret = jwt.utils.base64url_decode(SECRET)
    web = jwt.encode({"sub": "ann", "aud": "me", "exp": time.time() + 600, "logs": ["*"]}, secret, "HS256")
    flags = ("--tokens-file", str(tokens), "--jwks-file", str(keys), "--jwt-audience", "me", "--access-log", "stderr")
    secrets = [SECRET, token, other, web]
    with serving(made(tmp_path / "logs"), tmp_path / "cache", *flags, quiet=False) as server:
        (server.folder / "note.log").write_text(line(1, "a-line-of-a-log"))
        with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
            for text in (token, other, web, "lft_0123456789abcdef_" + "z" * 43, "wrong-token-of-somebody"):
                secrets.append(text)
                client.get(f"{ATTEMPT}/stream", headers={"Authorization": f"Bearer {text}"})
                client.get(f"{ATTEMPT}/stream", headers={"Authorization": text})
                client.get(f"{ATTEMPT}/stream", params={"token": text, "access_token": text, text: ""})
                client.get(f"{ATTEMPT}/rows?{quote(text)}")
                page = client.get("/sign-in").text
                fields = dict(re.findall(r'name="(proof|next)" type="hidden" value="([^"]*)"', page))
                form = {name: html.unescape(value) for name, value in fields.items()}
                client.post("/sign-in", data=form | {"token": text})
                secrets.append(form["proof"])
            secrets += client.cookies.values()
            headers = {"Authorization": f"Bearer {token}"}
            page = client.get(f"{ATTEMPT}/stream?limit=1", headers=headers | {"Accept": "application/json"}).json()
            secrets += [page["after"], "a-search-for-a-person", "a-line-of-a-log"]
            for asked in ("after=" + page["after"], "q=a-search-for-a-person", "regex=a-search-for-a-person("):
                client.get(f"{ATTEMPT}/stream?{asked}", headers=headers)
            client.get("/api/v1/logs/note.log/stream", headers=headers)
        key = (tmp_path / "cache" / "logflume" / "server.key").read_text().strip()
        secrets.append(key)
    said = "".join(server.said)
    assert said.count('"route"') > 30
    assert [secret for secret in secrets if secret in said] == []
