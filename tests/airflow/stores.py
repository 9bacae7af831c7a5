"""Servers that stand for remote log stores, for tests beside the providers' own classes.

Holds: loopback only; each is a context manager that ends what it began.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < give_up_s, "the server did not come"
        time.sleep(0.05)


@contextmanager
def running(*words: object) -> Iterator[None]:
    """Run a program while entered."""
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield
        finally:
            child.kill()


@contextmanager
def aws() -> Iterator[str]:
    """Run moto's server, from the environment of the other tests; give its URL."""
    port = free_port()
    with running(ROOT / ".venv" / "bin" / "python", "-m", "moto.server", "-H", "127.0.0.1", "-p", port):
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Run a Redis server; give its port."""
    port = free_port()
    with running("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", folder):
        wait_for_port(port)
        yield port


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **held: object) -> Iterator[str]:
    """Serve HTTP in a thread; give the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), held))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Json(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    spans: ClassVar[list[int]] = []

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing."""

    def answer(self, body: object, status: int = 200, kind: str = "application/json", **headers: Any) -> None:  # noqa: ANN401 - text
        """Send a body; none of it when only its headers were asked for."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def part(self, data: bytes, **headers: Any) -> None:  # noqa: ANN401 - as above
        """Send the bytes of an object that were asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("x-ms-range") or self.headers.get("Range") or "")
        if asked is None:
            self.answer(data, kind="text/plain", **headers)
            return
        begin, end = int(asked[1]), min(int(asked[2] or len(data)) + 1, len(data))
        self.spans.append(end - begin)
        if begin >= len(data):
            self.answer(b"", 416, Content_Range=f"bytes */{len(data)}")
            return
        span = f"bytes {begin}-{end - 1}/{len(data)}"
        self.answer(data[begin:end], 206, "text/plain", Content_Range=span, **headers)


class SearchEngine(_Json):
    """As much of Elasticsearch and OpenSearch as their providers ask: search by log id and offset, count.

    It gives at most 1,000 hits, as it is asked to, and breaks after ``fails_after``.
    """

    documents: list[dict[str, Any]]
    fails_after: int | None = None
    failed_shards = 0

    def do_POST(self) -> None:
        """Search or count."""
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        text = json.dumps(asked)
        after = int(re.search(r'"gt": (-?\d+)', text)[1])  # type: ignore[index] # the providers always ask so
        found = [
            (number, each)
            for number, each in enumerate(self.documents)
            if each["offset"] > after and json.dumps(each["log_id"]) in text
        ]
        found.sort(key=lambda numbered: numbered[1]["offset"])
        if "_count" in self.path:
            self.answer({"count": len(found)})
        elif self.fails_after is not None and after >= self.fails_after:
            self.answer({"error": {"type": "circuit_breaking_exception", "reason": "too large"}, "status": 400}, 400)
        else:
            query = parse_qs(urlsplit(self.path).query)  # Elasticsearch's client asks in the body, OpenSearch's here
            begin, size = (int(asked.get(key) or query.get(key, ["0"])[0]) for key in ("from", "size"))
            page = found[begin : begin + size]
            hits = [{"_index": "logs", "_id": str(number), "_source": each} for number, each in page]
            answer = {"took": 1, "timed_out": False, "hits": {"total": {"value": len(found)}, "hits": hits}}
            self.answer(answer | {"_shards": {"total": 2, "failed": self.failed_shards}})

    def do_GET(self) -> None:
        """Say who it is."""
        self.answer({"version": {"number": "9.0.0"}, "tagline": "You Know, for Search"})


class WebHdfs(_Json):
    """As much of WebHDFS as the provider asks: the status of a file, and its content."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        """Give a status or a content."""
        path, _, query = self.path.partition("?")
        name = path.removeprefix("/webhdfs/v1")
        if name not in self.files and name != "/":
            missing = {
                "exception": "FileNotFoundException",
                "javaClassName": "x",
                "message": f"File does not exist: {name}",
            }
            self.answer({"RemoteException": missing}, 404)
        elif "op=OPEN" in query:
            self.answer(self.files[name], kind="application/octet-stream")
        else:
            kind = "DIRECTORY" if name == "/" else "FILE"
            self.answer({"FileStatus": {"type": kind, "length": len(self.files.get(name, b"")), "pathSuffix": ""}})


class GoogleStorage(_Json):
    """As much of Google Cloud Storage as its client asks for: objects by prefix, in pages of two, and their bytes."""

    files: dict[str, bytes]
    denied: bool = False

    def do_GET(self) -> None:
        """List, or give an object or its bytes."""
        address = urlsplit(self.path)
        name = unquote(address.path.rpartition("/o/")[2])
        query = parse_qs(address.query)
        if self.denied:
            self.answer({"error": {"code": 403, "message": "no storage.objects.list access"}}, 403)
        elif address.path.endswith("/o"):
            names = sorted(name for name in self.files if name.startswith(query["prefix"][0]))
            begin = int(query.get("pageToken", ["0"])[0])
            more = {"nextPageToken": str(begin + 2)} if len(names) > begin + 2 else {}
            self.answer(
                {"kind": "storage#objects", "items": [_google(each) for each in names[begin : begin + 2]], **more}
            )
        elif name not in self.files:
            self.answer({"error": {"code": 404, "message": f"No such object: logs/{name}"}}, 404)
        elif query.get("alt") == ["media"]:
            self.part(self.files[name])
        else:
            self.answer(_google(name) | {"size": str(len(self.files[name]))})


def _google(name: str) -> dict[str, str]:
    return {"kind": "storage#object", "bucket": "logs", "name": name, "generation": "1"}


class AzureBlobs(_Json):
    """As much of Azure's blob storage as its client asks for: blobs by prefix, and ranges of their bytes."""

    files: dict[str, bytes]
    denied: bool = False

    def do_GET(self) -> None:
        """List, or give bytes."""
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        name = unquote(address.path).removeprefix("/devstoreaccount1/airflow/")
        if self.denied:
            text = (
                b"<?xml version='1.0'?><Error><Code>AuthorizationFailure</Code><Message>not allowed</Message></Error>"
            )
            self.answer(text, 403, "application/xml", x_ms_error_code="AuthorizationFailure")
        elif query.get("comp") == ["list"]:
            self.answer(self._listed(query.get("prefix", [""])[0]), kind="application/xml")
        elif name not in self.files:
            self.answer(b"", 404, "application/xml", x_ms_error_code="BlobNotFound")
        else:
            dated = {"Last_Modified": "Wed, 20 Nov 2024 12:34:56 GMT", "ETag": '"1"'}
            self.part(self.files[name], x_ms_blob_type="BlockBlob", **dated)

    def _listed(self, prefix: str) -> bytes:
        # The hook asks for what lies directly below a prefix.
        names = sorted(name for name in self.files if name.startswith(prefix))
        blobs = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{len(self.files[name])}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for name in names
        )
        listed = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
        return f"<?xml version='1.0'?>{listed}".encode()


class AliyunObjects(_Json):
    """As much of Alibaba's OSS as its client asks for: whether an object is there, and its bytes."""

    files: dict[str, bytes]
    denied: bool = False

    def do_HEAD(self) -> None:
        """As GET."""
        self.do_GET()

    def do_GET(self) -> None:
        """Give the object, addressed by path as clients do where the endpoint is an IP address."""
        name = unquote(urlsplit(self.path).path).removeprefix("/airflow/")
        if self.denied or name not in self.files:
            status, code = (403, "AccessDenied") if self.denied else (404, "NoSuchKey")
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            # Of an answer without a body, the error is in a header.
            self.answer(
                text, status, "application/xml", x_oss_err=base64.b64encode(text).decode(), x_oss_request_id="1"
            )
        else:
            self.answer(self.files[name], kind="text/plain", x_oss_request_id="1")


@contextmanager
def cloud_logging(entries: list[tuple[str, str, dict[str, str]]]) -> Iterator[str]:
    """Serve Cloud Logging's gRPC with entries (time, text, labels), 1,000 a page; give ``host:port``."""
    import grpc
    from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse, LogEntry

    def listed(request: Any, context: object) -> Any:  # noqa: ANN401 - Google's types
        wanted = dict(re.findall(r'labels\.(\w+)="([^"]*)"', request.filter))
        found = [entry for entry in entries if wanted.items() <= entry[2].items()]
        begin = int(request.page_token or 0)
        page = [
            LogEntry(timestamp=at, json_payload={"message": text}, labels=labels, severity="WARNING")
            for at, text, labels in found[begin : begin + request.page_size]
        ]
        more = str(begin + request.page_size) if begin + request.page_size < len(found) else ""
        return ListLogEntriesResponse(entries=page, next_page_token=more)

    method = grpc.unary_unary_rpc_method_handler(
        listed, ListLogEntriesRequest.deserialize, ListLogEntriesResponse.serialize
    )
    service = grpc.method_handlers_generic_handler("google.logging.v2.LoggingServiceV2", {"ListLogEntries": method})
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
